"""What a user of Naptha's Python API does, with the SDK as it is. Prints what came of it as JSON."""

import asyncio
import json
import sys

from naptha_sdk.client.node import UserClient
from naptha_sdk.inference import InferenceClient
from naptha_sdk.schemas import AgentDeployment, AgentRunInput
from naptha_sdk.storage.schemas import (
    CreateStorageRequest,
    DeleteStorageRequest,
    ListStorageRequest,
    ReadStorageRequest,
    UpdateStorageRequest,
)
from naptha_sdk.storage.storage_client import StorageClient
from naptha_sdk.user import get_public_key, sign_consumer_id
from naptha_sdk.utils import url_to_node

node, key = url_to_node(sys.argv[1]), sys.argv[2]
found = {}


async def main():
    client = UserClient(node)
    public = get_public_key(key)
    user = {"public_key": public}
    if not (await client.check_user(user))["is_registered"]:
        await client.register_user(user)
    found["user"] = await client.check_user(user)
    consumer = found["user"]["id"]

    def run_input(inputs, name="worker", signature=None):
        return AgentRunInput(
            consumer_id=consumer,
            inputs=inputs,
            deployment=AgentDeployment(node=node, module={"id": f"agent:{name}", "name": name, "module_type": "agent"}),
            signature=signature or sign_consumer_id(consumer, key),
        )

    created = await client.create("agent", AgentDeployment(node=node, module={"name": "worker"}))
    found["created"] = created["module"]["name"]
    for name, given in {"success": {"word": "one"}, "failure": {"fail": True}, "no inputs": None}.items():
        run = await client.run_agent_and_poll(run_input(given))
        found[name] = [run.status, run.error, run.results, run.error_message]
    for name, wrong in {
        "unknown module": run_input({}, name="nonesuch"),
        "bad signature": run_input({}, signature="00" * 64),
        "no signature": run_input({}, signature="garbage"),
    }.items():
        try:
            found[name] = str(await client.run_agent(wrong))
        except Exception as error:
            found[name] = str(error)

    models = InferenceClient(node)
    found["models"] = [model["id"] for model in (await models.list_models())["data"]]
    chat = {"model": "napt/echo", "messages": [{"role": "user", "content": "hello"}]}
    found["said"] = (await models.run_inference(chat)).choices[0].message.content

    async with StorageClient(node) as storage:
        table = {"storage_type": "db", "path": "sdk"}
        schema = {"id": {"type": "integer", "primary_key": True}, "text": {"type": "text"}}
        await storage.execute(CreateStorageRequest(**table, data={"schema": schema}))
        rows = [{"id": 1, "text": "it's\x00 \x1bfine"}, {"id": 2, "text": "x'); DROP TABLE sdk; --"}]
        await storage.execute(CreateStorageRequest(**table, data={"data": rows}))
        change = {"data": {"text": "changed"}}
        await storage.execute(UpdateStorageRequest(**table, data=change, options={"condition": {"id": 1}}))
        options = {"conditions": [{"id": 2}], "columns": ["text"]}
        found["read"] = (await storage.execute(ReadStorageRequest(**table, options=options))).data
        try:
            await storage.execute(DeleteStorageRequest(**table))
            found["delete"] = "all is lost"
        except Exception as error:
            found["delete"] = str(error)
        await storage.execute(DeleteStorageRequest(**table, condition={"id": 2}))
        found["listed"] = (await storage.execute(ListStorageRequest(**table))).data["data"]


asyncio.run(main())
print("FOUND " + json.dumps(found))
