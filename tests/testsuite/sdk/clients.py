"""What a user of Naptha's Python classes does, with the SDK as it is. Prints what came of it as JSON."""

import asyncio
import json
import os

from naptha_sdk.client.hub import Hub
from naptha_sdk.client.naptha import Naptha
from naptha_sdk.client.node import NodeClient, UserClient
from naptha_sdk import schemas
from naptha_sdk.modules.agent import Agent
from naptha_sdk.modules.environment import Environment
from naptha_sdk.modules.kb import KnowledgeBase
from naptha_sdk.modules.memory import Memory
from naptha_sdk.modules.orchestrator import Orchestrator
from naptha_sdk.modules.tool import Tool
from naptha_sdk.user import generate_keypair, get_public_key, sign_consumer_id

CLASSES = {"agent": Agent, "tool": Tool, "orchestrator": Orchestrator, "environment": Environment,
           "kb": KnowledgeBase, "memory": Memory}
key = os.environ["PRIVATE_KEY"]
found = {}


def node_config(node):
    """The node as others know it, for calls over its WebSocket: `websockets` wants a password beside a token."""
    return schemas.NodeConfig(
        id="node:x", owner="", public_key="", servers=[], models=[], docker_jobs=False, ports=[node.user_communication_port],
        user_communication_port=node.user_communication_port, ip=node.ip.replace("@", ":x@"),
    )


async def main():
    naptha = Naptha()
    me, node = naptha.user.id, naptha.node.node
    public = {"public_key": me.removeprefix("user:")}
    full = node_config(node)
    for kind, cls in CLASSES.items():
        prefix = "KB" if kind == "kb" else kind.capitalize()
        deployment_class = getattr(schemas, f"{prefix}Deployment")
        input_class = getattr(schemas, f"{prefix}RunInput")

        def run_input(inputs, name, of=node):
            deployment = deployment_class(node=of, module={"id": f"{kind}:{name}", "name": name, "module_type": kind})
            return input_class(consumer_id=me, inputs=inputs, deployment=deployment, signature=sign_consumer_id(me, key))

        own = found[kind] = {}
        created = await cls().create(deployment_class(node=node, module={"name": f"{kind}_echo"}))
        own["created"] = created["module"]["name"]
        poll = getattr(naptha.node, f"run_{kind}_and_poll")
        run = await poll(run_input({"word": "one"}, f"{kind}_echo"))
        own["run"] = [run.status, run.results]
        called = await cls().run(run_input({"word": "two"}, f"{kind}_echo", full))
        own["called"] = [called.status, called.results]
        failed = await NodeClient(full).run_module(kind, run_input({"fail": True}, f"{kind}_echo", full))
        own["failed"] = [failed.status, failed.error_message]
        try:
            await getattr(naptha.node, f"run_{kind}")(run_input({}, "nobody"))
        except Exception as error:
            own["unknown"] = str(error)
    user = await UserClient(node).check_user(public)
    await UserClient(node).register_user(public)
    await NodeClient(full).register_user(public)
    over_ws = await NodeClient(full).check_user(public)
    found["users"] = [user["is_registered"], over_ws["is_registered"], over_ws["id"] == me]

    async with naptha.hub as hub:
        await hub.signin("ada", os.environ["HUB_PASSWORD"])
        nodes = await hub.list_nodes()
        # Only the SDK's node writes there; this is its query.
        record = {"user_id": me, "key_name": "KEY", "secret_value": "sealed"}
        insert = "BEGIN TRANSACTION;\nINSERT INTO api_secrets $records;\nCOMMIT TRANSACTION;"
        await hub.surrealdb.query(insert, {"records": [record]})
        secrets = await hub.list_secrets()
        found["hub"] = {
            "user": (await hub.get_user_by_username("ADA"))["username"],
            "by key": (await hub.get_user_by_public_key(public["public_key"]))["username"],
            "nobody": await hub.get_user_by_username("nobody"),
            "modules": [module["name"] for module in await hub.list_modules("agent")],
            "one": len(await hub.list_modules("agent", "agent:agent_echo")),
            "none": len(await hub.list_modules("agent", "agent:nobody")),
            "nodes": [[of["id"], of["ip"], of["user_communication_port"]] for of in nodes],
            "node": [(await hub.get_node(nodes[0]["id"]))[name] for name in ("owner", "ip")],
            "servers": [[of["node_communication_protocol"], of["port"]] for of in await hub.list_servers()],
            "secrets": [[of[name] for name in ("user_id", "key_name", "secret_value")] for of in secrets],
            "by id": (await hub.get_user(me))["username"],
            "no node": await hub.get_node("node:" + "0" * 128),
        }
        record = {"name": "mine", "description": "first", "author": me, "parameters": "none", "module_type": "tool",
                  "module_url": "https://git.example/mine", "module_version": "v0.1", "module_entrypoint": "run.py",
                  "execution_type": "package"}
        described = found["described"] = []

        async def describe():
            described.append([module["description"] for module in await hub.list_modules("tool", "tool:mine")])

        await hub.create_module("tool", {"id": "tool:mine", **record})
        await describe()
        await hub.update_module("tool", {"id": "tool:mine", "description": "second"})
        await describe()
        await hub.create_or_update_module("tool", {"id": "tool:mine", **record, "description": "third"})
        await describe()
        await hub.delete_module("tool", "mine")
        await describe()
    made, file = generate_keypair("made.pem")
    with open(file) as text:
        found["made"] = {
            "public": [made, get_public_key(file)], "file": text.read(), "signature": sign_consumer_id(f"user:{made}", file)
        }
    async with Hub(os.environ["HUB_URL"], public["public_key"]) as hub:
        try:
            await hub.signin("Ada", "wrong")
        except Exception as error:
            found["wrong password"] = str(error)


asyncio.run(main())
print("FOUND " + json.dumps(found))
