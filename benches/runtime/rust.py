#!/usr/bin/env python3
"""Runs of a Rust module, beside spawning its binary: latency, runs a second, a start that is not warm, idle memory.

    cargo build --release && python3 benches/runtime/rust.py target/release/napt [PART …]

The parts are `latency`, `throughput`, `fresh` and `memory`; all when none is named. It needs `cargo` and `rustc`. Standard
library only, and everything in a temporary home; crates come from the cache folder NAPT_CACHE_DIR where that is set.
"""

import os
import sys
import threading
import time

import bench
import floors

NAPT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/napt")
PARTS = sys.argv[2:] or ["latency", "throughput", "fresh", "memory"]
MODULE = "agent:quick"
MAIN = """#[allow(dead_code)]
mod napt;

fn main() -> std::process::ExitCode {
    napt::serve(run)
}

fn run(_: &napt::Run) -> napt::Result<String> {
    Ok("hello".to_owned())
}
"""

# In flight at a time.
WIDTH = 16


def latency(table, node, binary):
    connection = bench.Connection(node)
    for _ in range(10):
        connection.run(MODULE, {})
    # By turns, so that what else the machine does meets both alike.
    floor, bare, runs = [], [], []
    busy = bench.cpu(node.pid)
    for _ in range(6):
        floor += bench.timed(lambda: floors.spawn_run(binary), 50)
        bare += bench.timed(floors.spawn, 50)
        runs += bench.timed(lambda: connection.run(MODULE, {}), 50)
    busy = (bench.cpu(node.pid) - busy) / len(runs) * 1e3
    floor, found = bench.median_ms(floor), bench.median_ms(runs)
    table.row("`/bin/true`, spawned", bench.median_ms(bare), "ms")
    table.row("a run, median", found, "ms", ("spawn, work, exit", floor), 1.3 * floor + 2)
    table.row("a run, p99", bench.percentile(runs, 0.99) * 1e3, "ms")
    table.row("processor time of the node for it", busy, "ms")


def throughput(table, node, seconds=5):
    until, counts = time.monotonic() + seconds, []

    def client():
        connection, count = bench.Connection(node), 0
        while time.monotonic() < until:
            connection.run(MODULE, {})
            count += 1
        counts.append(count)

    clients = [threading.Thread(target=client) for _ in range(WIDTH)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    table.row(f"runs a second, {WIDTH} in flight", sum(counts) / seconds, "/s")


def started(node):
    """The processes that the node has started."""
    return bench.below(node.pid)[1:]


def fresh(table, root):
    node = bench.Node(NAPT, root, "--keep-warm", "0").admit()
    connection = bench.Connection(node)
    connection.run(MODULE, {})
    runs = []
    for _ in range(9):
        bench.soon("its processes rest", lambda: not started(node))
        runs += bench.timed(lambda: connection.run(MODULE, {}), 1, warm=0)
    node.stop()
    table.row("a run that is not warm", bench.median_ms(runs), "ms")


def memory(table, node):
    def fewest():
        before = started(node)
        time.sleep(1)
        return before and before == started(node)

    bench.Connection(node).run(MODULE, {})
    # What waits for runs goes after a while.
    hot = sum(map(bench.anonymous, started(node)))
    count = len(started(node))
    bench.soon("it has cooled down", lambda: len(started(node)) < count and fewest())
    table.row("just used (anonymous)", hot, "MiB")
    table.row("idle and warm (anonymous)", sum(map(bench.anonymous, started(node))), "MiB", None, 3)


def main():
    table = bench.Table(NAPT)
    with bench.home() as root:
        node = bench.Node(NAPT, root).admit()
        node.command("new", "agent", "quick", "--lang", "rust", "--yes")
        bench.write(root / "quick", {"src/main.rs": MAIN})
        node.deploy(root / "quick")
        (binary,) = (root / "node" / "binaries").glob("*/*")
        if "latency" in PARTS:
            latency(table, node, str(binary))
        if "throughput" in PARTS:
            throughput(table, node)
        if "memory" in PARTS:
            memory(table, node)
        node.stop()
        if "fresh" in PARTS:
            fresh(table, root)
    table.end()


if __name__ == "__main__":
    main()
