#!/usr/bin/env python3
"""Many agents in one run: an orchestrator calls N agents at once, each of which takes a second.

    cargo build --release && python3 benches/runtime/agents.py target/release/napt [shared|process|sdk|own|N …]

At `process` and `shared`, with the unmodified SDK's calls (the number-guessing contest of `tests/fixtures/modules`) and
with napt's own. Standard library only, and everything in a temporary home; Python packages come from the cache folder
NAPT_CACHE_DIR where that is set. Memory is the proportional set size (PSS), sampled while a run goes on.
"""

import json
import os
import pathlib
import statistics
import sys
import time

import bench
import floors

NAPT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/napt")
WORDS = sys.argv[2:]
SIZES = [int(word) for word in WORDS if word.isdigit()] or [10, 100, 1000, 10_000]
ISOLATIONS = [word for word in ("shared", "process") if word in WORDS] or ["shared", "process"]
CALLS = [word for word in ("own", "sdk") if word in WORDS] or ["own", "sdk"]
# The node's own cap on processes that runs call for. The floor of `process` forks as many side by side.
CAP = 64 * os.cpu_count()
FIXTURES = pathlib.Path(__file__).parents[2] / "tests" / "fixtures" / "modules"

LIMITS = '\n[limits]\nisolation = "{isolation}"\nmemory = "2GiB"\ntimeout = "30m"\noutput = "1GiB"\n'
PROJECT = '[project]\nname = "{name}"\nversion = "0.1.0"\nrequires-python = ">=3.10"\ndependencies = []\n'

# With napt's own calls: what the contest does, without the SDK.
OWN = {
    "crowd/napt.toml": (
        '[module]\ntype = "orchestrator"\nname = "crowd"\nversion = "0.1.0"\n\n'
        '[dependencies]\n"agent:member" = {{ path = "../member", version = "0.1" }}\n' + LIMITS
    ),
    "crowd/pyproject.toml": PROJECT.format(name="crowd"),
    "crowd/crowd/run.py": (
        "import asyncio\n\nimport napt\n\n\n"
        "async def run(module_run):\n"
        "    agents = module_run['inputs']['agents']\n"
        "    calls = (napt.call('agent:member', {'number': number}) for number in range(agents))\n"
        "    numbers = [int(number) for number in await asyncio.gather(*calls)]\n"
        "    assert numbers == [number * 37 % 101 for number in range(agents)]\n"
        "    return {'agents': len(numbers)}\n"
    ),
    "crowd/crowd/schemas.py": bench.PLAIN["plain/schemas.py"],
    "crowd/crowd/configs/deployment.json": json.dumps(
        [{"name": "crowd", "module": {"name": "crowd"}, "agent_deployments": [{"name": "member"}]}]
    ).replace("{", "{{").replace("}", "}}"),
    "crowd/crowd/configs/agent_deployments.json": json.dumps(
        [{"name": "member", "module": {"name": "member"}}]
    ).replace("{", "{{").replace("}", "}}"),
    "member/napt.toml": '[module]\ntype = "agent"\nname = "member"\nversion = "0.1.0"\n' + LIMITS,
    "member/pyproject.toml": PROJECT.format(name="member"),
    "member/member/run.py": (
        "import asyncio\n\n\n"
        "async def run(module_run):\n"
        "    await asyncio.sleep(1)\n"
        "    return module_run['inputs']['number'] * 37 % 101\n"
    ),
    "member/member/schemas.py": bench.PLAIN["plain/schemas.py"],
}


def of_own(root, isolation):
    plain = ("run.py", "schemas.py", "pyproject.toml")
    files = {name: text if name.endswith(plain) else text.format(isolation=isolation) for name, text in OWN.items()}
    return bench.write(root, files) / "crowd", "orchestrator:crowd"


def of_sdk(root, isolation):
    for name in ("contest", "guesser"):
        for path in (FIXTURES / name).rglob("*"):
            if path.is_file():
                text = path.read_text() + (LIMITS.format(isolation=isolation) if path.name == "napt.toml" else "")
                bench.write(root, {str(path.relative_to(FIXTURES)): text})
    return root / "contest", "orchestrator:contest"


def main():
    rows, table = [], bench.Table(NAPT)
    with bench.home() as root:
        for isolation in ISOLATIONS:
            for calls in CALLS:
                folder = root / f"{calls}-{isolation}"
                folder.mkdir()
                node = bench.Node(NAPT, folder, "--allow-shared", "--limit", "output=1GiB").admit()
                project, module = (of_own if calls == "own" else of_sdk)(folder / "modules", isolation)
                node.deploy(project)
                connection = bench.Connection(node)
                connection.run(module, {"agents": 2, "seconds": 1.0})
                python = node.pythons()[0]
                imports = ["asyncio"] if calls == "own" else ["naptha_sdk.modules.agent", "naptha_sdk.schemas"]
                for agents in SIZES:
                    floor = floors.side_by_side(python, imports, 1.0, agents, CAP) if isolation == "process" else None
                    taken, busy = [], bench.cpu(node.pid)
                    with bench.Memory(node.pid) as memory:
                        for _ in range(3 if agents <= 100 else 1):
                            begun = time.perf_counter()
                            run = connection.run(module, {"agents": agents, "seconds": 1.0})
                            taken.append(time.perf_counter() - begun)
                    busy = (bench.cpu(node.pid) - busy) / len(taken)
                    result = json.loads(connection.result(run))
                    assert result["agents"] == agents, result
                    beside = f"{statistics.median(taken) / floor:.2f} × {floor:.2f} s" if floor else ""
                    rows.append(
                        f"| {agents:,} | {isolation} | {calls} | {statistics.median(taken):.2f} s | {beside} | {busy:.2f} s "
                        f"| {memory.node:.0f} MiB | {memory.all:.0f} MiB in {memory.processes} |"
                    )
                    print(rows[-1], file=sys.stderr, flush=True)
                    if agents == 10_000:
                        what = f"10,000 agents at `{isolation}`, {calls}"
                        bar = 1.3 * floor if floor else 30
                        table.row(what, statistics.median(taken), "s", ("its floor", floor) if floor else None, bar)
                        table.row(f"{what}: the node", memory.node, "MiB", bar=300)
                        table.row(f"{what}: all processes", memory.all, "MiB", bar=4096)
                node.stop()
    print("| agents | isolation | calls | time | beside its floor | processor, node | node | all processes |\n| --- | --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(rows) + "\n")
    table.end()


if __name__ == "__main__":
    main()
