#!/usr/bin/env python3
"""Runs at `process`, beside their floors: latency, runs a second, a fresh start, idle memory, start of a node.

    cargo build --release && python3 benches/runtime/process.py target/release/napt [PART …]

The parts are `latency`, `throughput`, `fresh`, `memory` and `start`; all when none is named. Standard library only, and
everything in a temporary home; Python packages come from the cache folder NAPT_CACHE_DIR where that is set.
"""

import os
import statistics
import subprocess
import sys
import threading
import time

import bench
import floors

NAPT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/napt")
PARTS = sys.argv[2:] or ["latency", "throughput", "fresh", "memory", "start"]

SDK_IMPORTS = ["naptha_sdk.modules.agent", "naptha_sdk.schemas"]
SDK = {
    **{name: text.replace("plain", "withsdk") for name, text in bench.PLAIN.items() if not name.startswith("plain/")},
    "withsdk/run.py": (
        "from naptha_sdk.modules.agent import Agent\nfrom naptha_sdk.schemas import AgentRunInput\n\n\n"
        "async def run(module_run):\n    return 'hello'\n"
    ),
    "withsdk/schemas.py": "from pydantic import BaseModel\n\n\nclass InputSchema(BaseModel):\n    prompt: str = 'hi'\n",
}
SDK["pyproject.toml"] = SDK["pyproject.toml"].replace("[]", '["naptha-sdk"]')

# In flight at a time.
WIDTH = 16


def latency(table, node, module, package, folder, imports, python):
    connection = bench.Connection(node)
    for _ in range(10):
        connection.run(module, {})
    # By turns, so that what else the machine does meets both alike.
    floor, runs = [], []
    busy = bench.cpu(node.pid)
    for _ in range(6):
        floor += floors.fork(python, imports, folder, package, {}, 50)
        runs += bench.timed(lambda: connection.run(module, {}), 50)
    busy = (bench.cpu(node.pid) - busy) / len(runs) * 1e3
    floor, found = bench.median_ms(floor), bench.median_ms(runs)
    table.row(f"a run of `{module}`, median", found, "ms", ("fork, work, exit", floor), 1.3 * floor + 3)
    table.row(f"a run of `{module}`, p99", bench.percentile(runs, 0.99) * 1e3, "ms")
    table.row(f"processor time of the node for it", busy, "ms")


def throughput(table, node, module, seconds=5):
    until, counts = time.monotonic() + seconds, []

    def client():
        connection, count = bench.Connection(node), 0
        while time.monotonic() < until:
            connection.run(module, {})
            count += 1
        counts.append(count)

    clients = [threading.Thread(target=client) for _ in range(WIDTH)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    # Its bar is for what has nothing to import.
    bar = 200 if module == "agent:plain" else None
    table.row(f"runs a second of `{module}`, {WIDTH} in flight", sum(counts) / seconds, "/s", None, bar, at_least=True)


def fresh(table, root, module, imports, python):
    """A run of a module whose interpreter has rested: there is one that has imported nothing, and nothing else."""
    program = "\n".join(f"import {name}" for name in imports) or "pass"
    node = bench.Node(NAPT, root, "--keep-warm", "0").admit()
    connection = bench.Connection(node)
    connection.run(module, {})

    def has_rested(used):
        there = bench.parents(node.pid)
        return there and used.isdisjoint(there) and all(len(bench.below(one)) > 1 for one in there)

    floor, runs, used = [], [], set()
    for _ in range(9):
        bench.soon("its interpreter rests", lambda: has_rested(used))
        used = set(bench.parents(node.pid))
        floor += bench.timed(lambda: subprocess.run([python, "-I", "-c", program], check=True), 1)
        runs += bench.timed(lambda: connection.run(module, {}), 1, warm=0)
    node.stop()
    floor, found = bench.median_ms(floor), bench.median_ms(runs)
    table.row(f"a run of `{module}` that is not warm", found, "ms", ("`python -c` of its imports", floor), 1.2 * floor)


def memory(table, node, module, imports, python):
    """Of an idle warm module: its parent, beside a bare interpreter with its imports."""
    program = "import sys\n" + "\n".join(f"import {name}" for name in imports) + "\nprint(flush=True); sys.stdin.read()"
    bare = subprocess.Popen([python, "-I", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    bare.stdout.readline()
    floor = bench.anonymous(bare.pid)
    bare.communicate(b"")
    bench.soon("it has cooled down", lambda: all(bench.below(pid) == [pid] for pid in bench.parents(node.pid)))
    for pid in bench.parents(node.pid):
        table.row(f"`{module}`, idle and warm", bench.anonymous(pid), "MiB", ("its imports", floor), floor + 3)


def start(table, root):
    folder = root / "fresh"
    folder.mkdir()
    starts, idle = [], []
    for number in range(9):
        if number < 3:
            folder = root / f"fresh{number}"
            folder.mkdir()
        node = bench.Node(NAPT, folder)
        starts.append(node.start_up)
        idle.append(bench.pss(node.pid))
        node.stop()
    floor = bench.median_ms(bench.timed(lambda: subprocess.run([NAPT, "--version"], capture_output=True), 20))
    table.row("`napt node` until its first answer, new data", bench.median_ms(starts[:3]), "ms", ("`napt --version`", floor), 100)
    table.row("`napt node` until its first answer", bench.median_ms(starts[3:]), "ms", ("`napt --version`", floor), 100)
    table.row("`napt node`, idle (PSS)", statistics.median(idle), "MiB", None, 30)


def main():
    table = bench.Table(NAPT)
    with bench.home() as root:
        if "start" in PARTS:
            start(table, root)
        for files, module, package, imports in (
            (bench.PLAIN, "agent:plain", "plain", []),
            (SDK, "agent:withsdk", "withsdk", SDK_IMPORTS),
        ):
            if set(PARTS) <= {"start"}:
                break
            (root / package).mkdir()
            node = bench.Node(NAPT, root / package).admit()
            folder = bench.write(root / "modules" / package, files)
            node.deploy(folder)
            python = node.pythons()[0]
            bench.Connection(node).run(module, {})
            if "memory" in PARTS:
                memory(table, node, module, imports, python)
            if "latency" in PARTS:
                latency(table, node, module, package, folder, imports, python)
            if "throughput" in PARTS:
                throughput(table, node, module)
            node.stop()
            if "fresh" in PARTS:
                fresh(table, root / package, module, imports, python)
    table.end()


if __name__ == "__main__":
    main()
