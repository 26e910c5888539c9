#!/usr/bin/env python3
"""Runs at `shared`, beside calling the function in that interpreter: latency, and runs a second.

    cargo build --release && python3 benches/runtime/shared.py target/release/napt

Standard library only, and everything in a temporary home.
"""

import os
import subprocess
import sys
import threading
import time

import bench

NAPT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/napt")
SECONDS = 5

MODULE = {
    **{name.replace("plain", "sharer"): text.replace("plain", "sharer") for name, text in bench.PLAIN.items()},
    "napt.toml": bench.PLAIN["napt.toml"] + '\n[limits]\nisolation = "shared"\n',
    "sharer/run.py": "async def run(module_run):\n    return 'hello'\n",
}

# The floor: the inputs validated and the function called, in an event loop that runs already.
FLOOR = """
import asyncio, json, time
from sharer.run import run
from sharer.schemas import InputSchema

async def main(times):
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        inputs = InputSchema(**{})
        await asyncio.create_task(run(module_run={"inputs": inputs.model_dump()}))
        taken.append(time.perf_counter() - begun)
    print(json.dumps(taken))

asyncio.run(main(1000))
"""


def throughput(node, clients):
    until, counts = time.monotonic() + SECONDS, []

    def client():
        connection, count = bench.Connection(node), 0
        while time.monotonic() < until:
            connection.run("agent:sharer", {})
            count += 1
        counts.append(count)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS


def main():
    table = bench.Table(NAPT)
    with bench.home() as root:
        (root / "sharer").mkdir()
        node = bench.Node(NAPT, root / "sharer", "--allow-shared").admit()
        folder = bench.write(root / "module", MODULE)
        node.deploy(folder)
        python, connection = node.pythons()[0], bench.Connection(node)
        for _ in range(50):
            connection.run("agent:sharer", {})
        called = subprocess.run([python, "-c", FLOOR], cwd=folder, capture_output=True, text=True, check=True).stdout
        floor = bench.median_ms(bench.json.loads(called))
        busy = bench.cpu(node.pid)
        taken = bench.timed(lambda: connection.run("agent:sharer", {}), 500)
        busy = (bench.cpu(node.pid) - busy) / len(taken) * 1e3
        found = bench.median_ms(taken)
        table.row("a run at `shared`, median", found, "ms", ("the function called", floor), floor + 1.5)
        table.row("a run at `shared`, p99", bench.percentile(taken, 0.99) * 1e3, "ms")
        table.row("processor time of the node for it", busy, "ms")
        table.row("runs a second at `shared`, 16 in flight", throughput(node, 16), "/s", None, 1000, at_least=True)
        node.stop()
    table.end()


if __name__ == "__main__":
    main()
