"""What a user of Naptha's StorageClient does, with the SDK as it is. Prints what came of it as JSON."""

import asyncio
import io
import json
import sys
import zipfile

from naptha_sdk.storage.schemas import (
    CreateStorageRequest,
    DeleteStorageRequest,
    ListStorageRequest,
    ReadStorageRequest,
    SearchStorageRequest,
    UpdateStorageRequest,
)
from naptha_sdk.storage.storage_client import StorageClient
from naptha_sdk.utils import url_to_node

found = {}


def named(name, content):
    file = io.BytesIO(content)
    file.name = name
    return file


def zipped(**files):
    file = named("all.zip", b"")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/") + ".txt", content)
    file.seek(0)
    return file


async def main():
    async with StorageClient(url_to_node(sys.argv[1])) as storage:

        async def ask(name, request):
            try:
                answer = await storage.execute(request)
                data = answer if isinstance(answer, bool) else [a.data for a in answer] if isinstance(answer, list) else answer.data
                found[name] = data.hex() if isinstance(data, bytes) else data
                return answer
            except Exception as error:
                found[name] = "refused: " + str(error)

        table = {"storage_type": "db", "path": "docs"}
        schema = {
            "id": {"type": "INTEGER", "primary_key": True},
            "text": {"type": "TEXT", "required": True},
            "tags": {"type": "TEXT[]"},
            "at": {"type": "TIMESTAMP"},
            "n": {"type": "FLOAT", "default": 1.5},
            "embedding": {"type": "VECTOR", "dimension": 3},
        }
        rows = [
            {"id": 1, "text": "a cat sat", "tags": ["x"], "at": "2025-01-02 03:04:05", "embedding": [0.25, 0, 0]},
            {"id": 2, "text": "a dog ran", "embedding": [1, 0, 0]},
            {"id": 3, "text": "a dog sat", "n": 2, "embedding": [1, 1, 0]},
        ]
        await ask("create table", CreateStorageRequest(**table, data={"schema": schema}))
        await ask("same table", CreateStorageRequest(**table, data={"schema": schema}))
        await ask("other schema", CreateStorageRequest(**table, data={"schema": {"id": {"type": "text"}}}))
        await ask("create rows", CreateStorageRequest(**table, data={"data": rows}))
        await ask("same rows", CreateStorageRequest(**table, data={"data": rows}))
        await ask("unknown column", CreateStorageRequest(**table, data={"data": {"id": 9, "text": "x", "colour": "red"}}))
        await ask("wrong dimension", CreateStorageRequest(**table, data={"data": {"id": 9, "text": "x", "embedding": [1]}}))
        await ask("no data", CreateStorageRequest(**table))
        await ask("read one", ReadStorageRequest(**table, options={"conditions": [{"id": 1}]}))
        await ask("both conditions", ReadStorageRequest(**table, options={"conditions": [{"n": 1.5}, {"id": 2}], "columns": ["id"]}))
        await ask("condition", ReadStorageRequest(**table, options={"condition": {"id": 3}, "columns": ["id"]}))
        await ask("mistyped", ReadStorageRequest(**table, options={"conditons": [{"id": 1}]}))
        paged = {"columns": ["id"], "order_by": "id", "order_direction": "desc", "limit": 1, "offset": 1}
        await ask("page", ReadStorageRequest(**table, options=paged))
        near = {"columns": ["id"], "vector_col": "embedding", "query_vector": [1, 0, 0], "top_k": 2, "include_similarity": True}
        await ask("near", ReadStorageRequest(**table, options=near))
        await ask("vectors are text", ReadStorageRequest(**table, options={"columns": ["embedding"], "limit": 1}))
        listed = await ask("list", ListStorageRequest(**table, options={"limit": 1, "offset": 2}))
        found["total"] = listed.data["metadata"]["custom"]["total"]
        await ask("update", UpdateStorageRequest(**table, data={"data": {"text": "a bird"}}, options={"condition": {"id": 1}}))
        await ask("update all", UpdateStorageRequest(**table, data={"data": {"text": "a bird"}}))
        await ask("search", SearchStorageRequest(**table, query="DOG sat"))
        await ask("search vector", SearchStorageRequest(**table, query=[1, 1, 0], query_type="vector", limit=1))
        await ask("search nonsense", SearchStorageRequest(**table, query="x", query_type="regex"))
        # What cognitive_memory and wikipedia_kb do: the condition is where the client loses it.
        await ask("delete lost", DeleteStorageRequest(**table, options={"condition": {"id": 1}}))
        await ask("delete", DeleteStorageRequest(**table, condition={"id": 1}))
        await ask("left", ReadStorageRequest(**table, options={"columns": ["id"]}))
        await ask("no table", ReadStorageRequest(storage_type="db", path="nothing"))

        folder = {"storage_type": "fs", "path": "my/folder"}
        await ask("fs create", CreateStorageRequest(**folder, file=named("a b.txt", b"hello\x00")))
        await ask("fs unpack", CreateStorageRequest(**folder, file=zipped(one=b"first", in__two=b"a second word")))
        await ask("fs nothing", CreateStorageRequest(**folder, data={"text": "x"}))
        await ask("fs read", ReadStorageRequest(storage_type="fs", path="my/folder/a b.txt"))
        whole = await storage.execute(ReadStorageRequest(storage_type="fs", path="my"))
        found["fs zip"] = sorted(zipfile.ZipFile(io.BytesIO(whole.data)).namelist())
        await ask("fs missing", ReadStorageRequest(storage_type="fs", path="my/none"))

        async def paths(name, request):
            entries = [a.data for a in await storage.execute(request)]
            found[name] = [[e["location"]["path"], e["metadata"]["content_type"] == "directory"] for e in entries]
            return entries

        entries = await paths("fs list", ListStorageRequest(**folder))
        found["fs times"] = all(e["metadata"]["modified_at"].isdigit() for e in entries)
        await paths("fs list all", ListStorageRequest(**folder, options={"recursive": True, "include_dirs": False, "pattern": "*o.txt"}))
        await ask("fs search", SearchStorageRequest(**folder, query="second"))
        await ask("fs update", UpdateStorageRequest(**folder, data={"data": {"a": 1}}))
        await ask("fs not empty", DeleteStorageRequest(**folder))
        await ask("fs delete", DeleteStorageRequest(**folder, options={"recursive": True}))
        await ask("fs gone", DeleteStorageRequest(**folder, options={"recursive": True}))
        await ask("fs ignored", DeleteStorageRequest(**folder, options={"ignore_missing": True}))

        pinned = await ask("ipfs create", CreateStorageRequest(storage_type="ipfs", path="x", file=named("h.txt", b"hello world")))
        cid = pinned.data["data"]["ipfs_hash"]
        await ask("ipfs read", ReadStorageRequest(storage_type="ipfs", path=cid))
        options = {"ipns_operation": "create"}
        name = await ask("ipns create", CreateStorageRequest(storage_type="ipfs", path="x", file=named("h.txt", b"v1"), options=options))
        name = name.data["data"]["ipns_hash"]
        options = {"ipns_operation": "update", "ipns_name": name}
        await ask("ipns update", CreateStorageRequest(storage_type="ipfs", path="x", file=named("h.txt", b"v2"), options=options))
        await ask("ipns read", ReadStorageRequest(storage_type="ipfs", path=name))
        await paths("ipfs list", ListStorageRequest(storage_type="ipfs", path=cid))
        await ask("ipfs search", SearchStorageRequest(storage_type="ipfs", path="x", query="WORLD"))
        await ask("ipfs delete", DeleteStorageRequest(storage_type="ipfs", path=cid))
        await ask("ipfs gone", ReadStorageRequest(storage_type="ipfs", path=cid))
        await ask("ipfs nonsense", ReadStorageRequest(storage_type="ipfs", path="nonsense"))


asyncio.run(main())
print("FOUND " + json.dumps(found))
