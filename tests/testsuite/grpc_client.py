"""The SDK's client of nodes over gRPC, and what it does not do itself with the SDK's stubs. Prints what came of it."""

import asyncio
import base64
import glob
import json
import os
import sys
import urllib.request

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from naptha_sdk.client import grpc_server_pb2 as pb
from naptha_sdk.client import grpc_server_pb2_grpc as stubs
from naptha_sdk.client.node import NodeClient
from naptha_sdk.schemas import (
    AgentDeployment,
    AgentRunInput,
    EnvironmentDeployment,
    EnvironmentRunInput,
    KBDeployment,
    KBRunInput,
    NodeConfig,
    ToolDeployment,
    ToolRunInput,
)
from naptha_sdk.user import get_public_key, sign_consumer_id

address, key, token, signature, short, data = sys.argv[1:7]
host, port = address.removeprefix("http://").split(":")
found = {}
consumer = "user:" + get_public_key(key)
node = NodeConfig(
    id="node:x", owner="x", public_key="x", ip=host, ports=[int(port)], servers=[], models=[], docker_jobs=False,
    user_communication_protocol="http", user_communication_port=int(port), node_communication_protocol="grpc",
    num_node_communication_servers=1, provider_types=["modules"],
)
classes = {
    "agent": (AgentDeployment, AgentRunInput),
    "tool": (ToolDeployment, ToolRunInput),
    "kb": (KBDeployment, KBRunInput),
    "environment": (EnvironmentDeployment, EnvironmentRunInput),
}


def call(kind, inputs, name=None, signature=None):
    deployment, run_input = classes[kind]
    return run_input(
        consumer_id=consumer,
        inputs=inputs,
        deployment=deployment(node=node, name=name or kind, module={"name": name or kind}),
        signature=signature or sign_consumer_id(consumer, key),
    )


async def refusal(awaitable):
    try:
        return str(await awaitable)
    except grpc.aio.AioRpcError as error:
        return [error.code().name, error.details()]


def health():
    return json.load(urllib.request.urlopen(f"{address}/health"))["status"]


async def main():
    client = NodeClient(node)
    user = {"public_key": get_public_key(key)}
    found["unknown"] = (await client.check_user(user)).get("is_registered", False)
    found["registered"] = await client.register_user(user)
    found["known"] = await client.check_user(user)
    for kind in classes:
        run = await client.run_module(kind, call(kind, {"n": 1, "half": 0.5, "none": None, "deep": [{"word": "it's"}]}))
        found[kind] = [run.status, run.error, run.results, run.error_message, bool(run.start_processing_time)]
    run = await client.run_module("agent", call("agent", {"fail": True}))
    found["failure"] = [run.status, run.error, run.results, run.error_message]
    run = await client.run_module("agent", call("agent", {"seconds": 6}))
    found["long"] = [run.status, run.duration > 6]
    found["unknown module"] = await refusal(client.run_module("agent", call("agent", {}, name="nonesuch")))
    found["bad signature"] = await refusal(client.run_module("agent", call("agent", {}, signature="00" * 64)))

    async with grpc.aio.insecure_channel(client.node_url) as channel:
        stub = stubs.GrpcServerStub(channel)
        found["alive"] = (await stub.is_alive(Empty())).ok
        found["stop"] = await refusal(stub.stop(Empty()))
        statuses = []
        inputs = Struct()
        inputs.update({"word": "one"})
        module = pb.BaseDeployment(node_input=pb.NodeConfigInput(ip=host), name="agent", module=pb.Module(name="agent"))

        async def run(metadata=None, **more):
            request = pb.ModuleRunRequest(
                **{"module_type": "agent", "consumer_id": consumer, "inputs": inputs, "kb_deployment": module,
                   "signature": sign_consumer_id(consumer, key), **more}
            )
            answers = [answer async for answer in stub.RunModule(request, metadata=metadata)]
            statuses[:] = [answer.status for answer in answers]
            return answers[-1]

        async def id_of(metadata=None):
            return (await run(metadata)).id

        async def check(id, metadata=None, kind="agent"):
            record = await stub.CheckModuleRun(pb.ModuleRunCheck(module_type=kind, run_id=id), metadata=metadata)
            return [record.status, list(record.results), dict(record.inputs)]

        slow = Struct()
        slow.update({"seconds": 6})
        await run(inputs=slow)
        found["statuses"] = statuses.copy()
        memory = pb.BaseDeployment(node_input=pb.NodeConfigInput(ip=host), module=pb.Module(name="memory"))
        remembered = await run(module_type="memory", kb_deployment=None, memory_deployment=memory)
        found["memory"] = [remembered.status, list(remembered.results), remembered.module_type]
        found["no deployment"] = await refusal(run(kb_deployment=None))
        found["orchestrator"] = await refusal(run(module_type="orchestrator", kb_deployment=None))
        found["unknown type"] = await refusal(run(module_type="foo"))
        found["web page"] = await refusal(stub.CheckUser(pb.CheckUserRequest(), metadata=[("origin", "http://a.b")]))
        bearer = [("authorization", f"Bearer {token}")]
        own = await id_of(bearer)
        found["checked"] = await check(own, bearer)
        found["another type"] = await refusal(check(own, bearer, "kb"))
        found["no run"] = await refusal(check("nonesuch", bearer))
        wrong = token[:-4] + ("1111" if token.endswith("0000") else "0000")
        found["wrong token"] = await refusal(check(own, [("authorization", f"Bearer {wrong}")]))
        found["signed"] = await refusal(check(own, [("authorization", "Napt " + signature)]))
        # It was good for a second, and a run above has taken six.
        found["expired"] = await refusal(check(own, [("authorization", f"Bearer {short}")]))
        tell = Struct()
        tell.update({"tell": True})
        telling = asyncio.create_task(run(bearer, inputs=tell))
        # The operator may look into a run's scratch folder.
        while not (told := glob.glob(os.path.join(data, "scratch", "*", "*", "told"))):
            await asyncio.sleep(0.02)
        with open(told[0]) as file:
            its_id, credential = file.read().split()
        its = [("authorization", "Basic " + base64.b64encode(credential.encode()).decode())]
        found["its own"] = (await check(its_id, its))[0]
        os.remove(told[0])
        await telling
        found["ended run"] = await refusal(check(its_id, its))
        huge = Struct()
        huge.update({"word": "x" * (65 << 20)})
        found["huge"] = (await refusal(run(inputs=huge)))[0]
    found["health"] = health()


asyncio.run(main())
print("FOUND " + json.dumps(found))
