"""A raw client of the WebSocket door. Prints what came of it as JSON."""

import asyncio
import json
import sys
import urllib.request

import websockets

url, consumer, signature = sys.argv[1:4]
url = url.replace("http://", "ws://")
found = {}


def call(inputs, **more):
    deployment = {"node": {"ip": "localhost"}, "module": {"name": "worker"}}
    return {"consumer_id": consumer, "inputs": inputs, "deployment": deployment, "signature": signature, **more}


async def ask(message, kind="agent/run", **options):
    async with websockets.connect(f"{url}/ws/{kind}/1", **options) as socket:
        await socket.send(message if isinstance(message, str) else json.dumps(message))
        return json.loads(await socket.recv())


def is_processing():
    token, host = sys.argv[1].removeprefix("http://").split(":x@")
    request = urllib.request.Request(f"http://{host}/v1/runs", headers={"Authorization": f"Bearer {token}"})
    return json.load(urllib.request.urlopen(request))[0]["status"] == "processing"


async def main():
    # Pings are answered while the module works.
    async with websockets.connect(f"{url}/ws/agent/run/1") as socket:
        await socket.send(json.dumps(call({"seconds": 1})))
        answer, pongs = asyncio.ensure_future(socket.recv()), 0
        while not answer.done():
            try:
                await asyncio.wait_for(await socket.ping(), 5)
            except websockets.ConnectionClosedOK:  # the answer was quicker
                break
            pongs += 1
            await asyncio.wait([answer], timeout=0.001)
        reply = json.loads(await answer)
        found["long"] = [pongs > 5, reply["status"], reply["data"]["status"], reply["data"]["results"]]

    # Larger than what this library takes by default: only for those who say that they take it.
    large = "x" * (5 << 20)
    found["too large"] = await ask(call({"word": large}))
    says = {"napt-max-message": str(64 << 20)}
    reply = await ask(call({"word": large}), max_size=64 << 20, extra_headers=says)
    found["large"] = [reply["status"], reply["data"]["results"] == ["got " + large]]
    found["still too large"] = await ask(call({"word": large}), extra_headers={"napt-max-message": str(2 << 20)})
    other = await ask(call({"word": large}), max_size=None, user_agent_header="other/1")
    found["another library"] = other["status"]
    reply = await ask(call({"fail": True}))
    found["failed"] = [reply["status"], reply["data"]["status"], reply["data"]["error"], reply["data"]["error_message"]]
    for name, message, kind in [
        ("invalid JSON", "{", "agent/run"),
        ("no call", "[]", "agent/run"),
        ("unknown type", call({}), "foo/run"),
        ("data", call({}), "persona/run"),
        ("unknown module", call({}, deployment={"node": {}, "module": {"name": "nonesuch"}}), "agent/run"),
        ("bad signature", call({}, signature="garbage"), "agent/run"),
        ("another consumer", call({}, consumer_id="user:" + "0" * 128), "agent/run"),
        ("no key", {"public_key": "x"}, "user/check"),
    ]:
        found[name] = await ask(message, kind)
    found["check"] = await ask({"public_key": consumer.removeprefix("user:")}, "user/check")
    found["register"] = await ask({"public_key": consumer.removeprefix("user:")}, "user/register")

    # Callers that leave, at whatever moment; the last one while its run goes on.
    for last in [False] * 20 + [True]:
        async with websockets.connect(f"{url}/ws/agent/run/1") as socket:
            await socket.send(json.dumps(call({"seconds": 600})))
            await (await socket.ping())
            while last and not await asyncio.to_thread(is_processing):
                await asyncio.sleep(0.05)


asyncio.run(main())
print("FOUND " + json.dumps(found))
