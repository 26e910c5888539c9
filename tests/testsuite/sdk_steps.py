"""Does what its third argument lists (`create` and `run` of modules) with the SDK as it is. Prints what came of it as
JSON, one entry a step."""

import asyncio
import json
import sys

from naptha_sdk import schemas
from naptha_sdk.client.node import UserClient
from naptha_sdk.user import get_public_key, sign_consumer_id
from naptha_sdk.utils import url_to_node

node, key, steps = url_to_node(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
NAMES = {"agent": "Agent", "tool": "Tool", "orchestrator": "Orchestrator", "environment": "Environment"}
NAMES |= {"kb": "KB", "memory": "Memory"}


async def do(client, consumer, step):
    kind = step["module"].split(":")[0]
    name = step["module"].split(":")[1]
    given = {"node": node, "module": {"name": name}} | step.get("deployment", {})
    deployment = getattr(schemas, NAMES[kind] + "Deployment")(**given)
    if step["do"] == "create":
        return await client.create(kind, deployment)
    run_input = getattr(schemas, NAMES[kind] + "RunInput")(
        consumer_id=consumer,
        inputs=step.get("inputs", {}),
        deployment=deployment,
        signature=step.get("signature") or sign_consumer_id(consumer, key),
    )
    run = await getattr(client, f"run_{kind}_and_poll")(run_input)
    return {"status": run.status, "results": run.results, "error": run.error_message, "id": run.id}


async def main():
    client = UserClient(node)
    user = {"public_key": get_public_key(key)}
    if not (await client.check_user(user))["is_registered"]:
        await client.register_user(user)
    consumer = (await client.check_user(user))["id"]
    for step in steps:
        try:
            found = await do(client, consumer, step)
        except Exception as error:
            body = getattr(getattr(error, "response", None), "text", "")
            found = {"failed": f"{error} {body}"}
        print("FOUND " + json.dumps(found), flush=True)


asyncio.run(main())
