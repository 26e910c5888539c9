#!/usr/bin/env python3
"""The number-guessing contest and the chat of ten rounds, as one Markdown table: times, and the node's memory.

    cargo build --release && python3 benches/contest.py target/release/napt [N …]

Standard library only. The modules are those of `tests/fixtures/modules`: an orchestrator calls N agents at once with the
unmodified SDK, and each of them takes a second. Memory is the proportional set size (PSS), sampled while a contest
goes on: of the node itself, and of all its processes together. Everything runs in a temporary home.
"""

import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

NAPT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/napt")
SIZES = [int(size) for size in sys.argv[2:]] or [2, 10, 100, 1000]
MODULES = pathlib.Path(__file__).parent.parent / "tests" / "fixtures" / "modules"


def pss(pid):
    """Proportional set size of a process in MiB; nothing when it has ended."""
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024


def below(pid):
    """A process and all that it has started."""
    found, queue = [], [pid]
    while queue:
        one = queue.pop()
        found.append(one)
        for task in pathlib.Path(f"/proc/{one}/task").glob("*/children"):
            try:
                queue.extend(map(int, task.read_text().split()))
            except OSError:
                pass
    return found


class Memory(threading.Thread):
    """Peaks of the node and of all its processes while something goes on."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.node, self.all, self.processes = pid, 0, 0, 0
        self.over = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()

    def run(self):
        while not self.over.wait(0.5):
            self.sample()

    def sample(self):
        pids = below(self.pid)
        self.node = max(self.node, pss(self.pid))
        self.all = max(self.all, sum(map(pss, pids)))
        self.processes = max(self.processes, len(pids))


def main():
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        env = {**os.environ, "NAPT_HOME": str(root / "home")}
        log = open(root / "node.log", "w")
        node = subprocess.Popen(
            [NAPT, "node", "--listen", "127.0.0.1:0", "--data", str(root / "node"), "--message-format", "json"],
            env=env, stdout=subprocess.PIPE, stderr=log,
        )
        url = env["NAPT_NODE"] = json.loads(node.stdout.readline())["data"]["url"]

        def napt(*words):
            done = subprocess.run([NAPT, *words], cwd=MODULES, env=env, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"napt {' '.join(words)}: {done.stderr}")
            return done.stdout

        token = json.loads(napt("token", "new", "--message-format", "json"))["data"]["token"]
        for name in ("contest", "talk"):
            napt("deploy", name, "--no-verify")

        def call(path, body=None):
            headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
            return urllib.request.urlopen(urllib.request.Request(url + path, body, headers))

        def run(module, inputs):
            """A run over HTTP, accepted and followed to its end; the seconds that it took, and its result."""
            start = time.perf_counter()
            with call("/v1/runs", json.dumps({"module": module, "inputs": inputs}).encode()) as reply:
                view = json.load(reply)
            with call(f"/v1/runs/{view['id']}/events") as events:
                events.read()
            taken = time.perf_counter() - start
            with call(f"/v1/runs/{view['id']}") as reply:
                view = json.load(reply)
            if view["status"] != "completed":
                sys.exit(f"{module} {inputs}: {view['error']}")
            return taken, json.loads(view["result"])

        run("orchestrator:contest", {"agents": 2, "seconds": 0})
        idle = Memory(node.pid)
        idle.sample()
        rows.append(("idle, with warm parents", "", f"{idle.node:.0f} MiB", f"{idle.all:.0f} MiB", idle.processes))
        for size in SIZES:
            times = []
            with Memory(node.pid) as memory:
                for _ in range(5 if size <= 10 else 3 if size <= 100 else 1):
                    taken, won = run("orchestrator:contest", {"agents": size})
                    if won["agents"] != size:
                        sys.exit(f"{size} agents: {won}")
                    times.append(taken)
            rows.append(
                (
                    f"contest, N = {size}",
                    f"{statistics.median(times):.2f} s (n={len(times)})",
                    f"{memory.node:.0f} MiB",
                    f"{memory.all:.0f} MiB",
                    memory.processes,
                )
            )
        times = []
        with Memory(node.pid) as memory:
            for _ in range(5):
                taken, turns = run("orchestrator:talk", {"prompt": "begin"})
                if len(turns) != 20:
                    sys.exit(f"the chat has {len(turns)} turns")
                times.append(taken)
        rows.append(
            (
                "chat, 10 rounds × 2 agents, each turn into the knowledge base",
                f"{statistics.median(times):.2f} s (n={len(times)})",
                f"{memory.node:.0f} MiB",
                f"{memory.all:.0f} MiB",
                memory.processes,
            )
        )
        node.terminate()
        node.wait()

    version = subprocess.run([NAPT, "--version"], capture_output=True, text=True).stdout.strip()
    print(f"{version}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| what | time | node | all processes | processes |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")


if __name__ == "__main__":
    main()
