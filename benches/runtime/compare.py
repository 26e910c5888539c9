#!/usr/bin/env python3
"""The same function everywhere: a module of napt at `process` and at `shared`, and peers that are installed for it, one
after another on the same machine. Prints one table and draws the plot of docs/performance.md.

    cargo build --release && python3 benches/runtime/compare.py target/release/napt [--more | PEER …]

The peers are those of `peers.py`, which has some that only `--more` brings, or their names. The plot goes to `docs/performance.svg`.
"""

import os
import pathlib
import platform
import sys

import bench
import floors
import load
import peers
import plot

NAPT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/napt")
PEERS = peers.named(sys.argv[2:])
PLOT = pathlib.Path(__file__).parents[2] / "docs" / "performance.svg"

# What keeps one call from another, which is what most of the time goes into.
APART = {
    "napt process": "a process each, in a sandbox; durable",
    "napt shared": "one sandboxed interpreter; durable",
    "fastapi": "nothing; not durable",
    "celery": "nothing; a queue in memory",
    "restate": "nothing; durable",
    "rq": "a fork each; a queue in memory",
    "dramatiq": "nothing; a queue in memory",
    "dbos": "nothing; durable",
    "ray": "processes that are used again; not durable",
}


def module(name, isolation):
    """What the peers do, as a module."""
    return {
        "napt.toml": f'[module]\ntype = "agent"\n\n[limits]\nisolation = "{isolation}"\n',
        "pyproject.toml": bench.PLAIN["pyproject.toml"].replace("plain", name),
        f"{name}/run.py": peers.FUNCTION + '\n\nasync def run(module_run):\n    return answer(module_run["inputs"]["prompt"])\n',
        f"{name}/schemas.py": bench.PLAIN["plain/schemas.py"],
    }


def ours(root):
    """napt's two ways, and the floor: a bare parent that forks for each call."""
    (root / "node").mkdir()
    node = bench.Node(NAPT, root / "node", "--allow-shared").admit()
    found, inputs = {}, {"prompt": "hello"}
    for isolation in ("process", "shared"):
        name = f"echo_{isolation}"
        folder = bench.write(root / "modules" / name, module(name, isolation))
        node.deploy(folder)

        def connect(id=f"agent:{name}"):
            connection = bench.Connection(node)
            return lambda: connection.run(id, inputs)

        found[f"napt {isolation}"] = load.measure(connect)
        if isolation == "process":
            taken = floors.fork(node.pythons()[0], [], folder, name, inputs)
            floor = {"p50": bench.percentile(taken, 0.5), "p99": bench.percentile(taken, 0.99)}
    for figures in found.values():
        figures["memory"] = sum(map(bench.pss, bench.below(node.pid)))
    node.stop()
    return floor, found


def main():
    with bench.home() as root:
        floor, found = ours(root)
    found.update(peers.measured(PEERS))
    versions = "; ".join(figures["versions"] for figures in found.values() if "versions" in figures)
    machine = f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    print(f"{machine}; {versions}\n")
    print("| what | one call, median | p99 | beside a bare fork | calls a second, 16 in flight | memory | keeps calls apart |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print(f"| a bare fork, the function, exit | {floor['p50'] * 1e3:.2f} ms | {floor['p99'] * 1e3:.2f} ms | 1 |  |  | a process each |")
    for name, figures in found.items():
        print(
            f"| {name} | {figures['p50'] * 1e3:.2f} ms | {figures['p99'] * 1e3:.2f} ms | {figures['p50'] / floor['p50']:.2f} "
            f"| {figures['rate']:,.0f} | {figures['memory']:.0f} MiB | {APART[name]} |"
        )

    def rows(figure):
        return [(name, figure(figures), plot.OURS if name.startswith("napt") else plot.THEIRS) for name, figures in found.items()]

    charts = [
        ("One call, median", [("a bare fork", floor["p50"] * 1e3, plot.FLOOR), *rows(lambda figures: figures["p50"] * 1e3)], "ms"),
        ("Calls a second, 16 in flight", rows(lambda figures: figures["rate"]), "/s"),
    ]
    PLOT.write_text(plot.draw(charts, f"{machine}, one after another"))


if __name__ == "__main__":
    main()
