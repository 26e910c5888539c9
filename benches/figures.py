#!/usr/bin/env python3
"""First figures of napt, as one Markdown table: start, new, check, warm runs, the chat, idle memory.

    cargo build --release && python3 benches/figures.py target/release/napt

Standard library only. Everything runs in a temporary home, with a registry and a node of its own; Python packages come
from the cache folder NAPT_CACHE_DIR where that is set. The floor of a run, a fork of a parent that has the same imports
and the exit of the child, is measured in the same session with the node's own environment.
"""

import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

NAPT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/napt")

FLOOR = """
import gc, os, sys, time
import naptha_sdk.modules.agent, naptha_sdk.inference, naptha_sdk.schemas
gc.collect(); gc.freeze()
times = []
for _ in range(200):
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    times.append(time.perf_counter() - start)
print(" ".join(f"{t:.6f}" for t in times))
"""

PLAIN_RUN = "def run(module_run):\n    return 'hello'\n"
PLAIN_SCHEMA = (
    "class InputSchema:\n"
    "    def __init__(self, **inputs):\n        self.inputs = inputs\n"
    "    def model_dump(self):\n        return self.inputs\n"
)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def timed(action, times):
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return taken


def milliseconds(taken):
    return f"median {statistics.median(taken) * 1e3:.1f} ms, p99 {percentile(taken, 0.99) * 1e3:.1f} ms (n={len(taken)})"


def memory(pid):
    """Proportional set size of a process and its children, in MiB."""
    total, queue = 0, [pid]
    while queue:
        one = queue.pop()
        try:
            text = pathlib.Path(f"/proc/{one}/smaps_rollup").read_text()
            # A child belongs to the thread that started it.
            tasks = pathlib.Path(f"/proc/{one}/task").glob("*/children")
            children = [child for task in tasks for child in task.read_text().split()]
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
        queue.extend(int(child) for child in children)
    return total / 1024


class Server:
    def __init__(self, words, env):
        self.process = subprocess.Popen(
            [NAPT, *words, "--message-format", "json"], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.url = json.loads(self.process.stdout.readline())["data"]["url"]

    def stop(self):
        self.process.terminate()
        self.process.wait()


def main():
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        env = {**os.environ, "NAPT_HOME": str(root / "home")}

        def napt(*words, cwd=root):
            done = subprocess.run([NAPT, *words], cwd=cwd, env=env, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"napt {' '.join(words)}: {done.stderr}")
            return done.stdout

        napt("--version")
        rows.append(("start (`napt --version`)", milliseconds(timed(lambda: napt("--version"), 50))))
        names = iter(range(1000))
        rows.append(
            (
                "`napt new orchestrator`",
                milliseconds(timed(lambda: napt("new", "orchestrator", f"n{next(names)}", "--yes"), 20)),
            )
        )
        napt("new", "orchestrator", "debate", "--yes")
        work = root / "debate"
        rows.append(("`napt check`, 3 modules", milliseconds(timed(lambda: napt("check", cwd=work), 20))))

        registry = Server(["registry", "--listen", "127.0.0.1:0", "--data", str(root / "registry")], env)
        node = Server(["node", "--listen", "127.0.0.1:0", "--data", str(root / "node")], env)
        env["NAPT_REGISTRY"], env["NAPT_NODE"] = registry.url, node.url
        rows.append(
            ("memory, idle (PSS)", f"registry {memory(registry.process.pid):.0f} MiB, node {memory(node.process.pid):.0f} MiB")
        )
        token = json.loads(napt("token", "new", "--message-format", "json"))["data"]["token"]
        start = time.perf_counter()
        napt("deploy", cwd=work)
        rows.append(("`napt deploy` of the 3 modules, first time", f"{time.perf_counter() - start:.1f} s"))

        plain = root / "plain"
        (plain / "plain").mkdir(parents=True)
        (plain / "napt.toml").write_text('[module]\ntype = "agent"\n')
        (plain / "pyproject.toml").write_text('[project]\nname = "plain"\nversion = "0.1.0"\ndependencies = []\n')
        (plain / "plain" / "run.py").write_text(PLAIN_RUN)
        (plain / "plain" / "schemas.py").write_text(PLAIN_SCHEMA)
        napt("deploy", cwd=plain)

        def run(module, inputs):
            """A run over HTTP: accepted, then followed to its end."""
            headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}

            def call(path, body=None):
                return urllib.request.urlopen(urllib.request.Request(node.url + path, body, headers))

            with call("/v1/runs", json.dumps({"module": module, "inputs": inputs}).encode()) as reply:
                view = json.load(reply)
            with call(f"/v1/runs/{view['id']}/events") as events:
                last = [line for line in events.read().splitlines() if line.startswith(b"data:")][-1]
            end = json.loads(last[5:])
            if end.get("status") != "completed":
                sys.exit(f"{module}: {end}")

        for module, inputs, what in (
            ("agent:plain", {}, "warm run, a module without the SDK"),
            ("agent:debate_agent", {"prompt": "hello"}, "warm run, an agent with the SDK and one inference call"),
        ):
            run(module, inputs)
            rows.append((what, milliseconds(timed(lambda: run(module, inputs), 200))))

        environments = pathlib.Path(env.get("NAPT_CACHE_DIR", root / "home" / "cache")) / "environments"
        for python in sorted(environments.glob("*/venv/bin/python")):
            done = subprocess.run([python, "-I", "-c", FLOOR], capture_output=True, text=True)
            if done.returncode == 0:
                rows.append(("floor: fork and exit with the SDK imported", milliseconds([float(t) for t in done.stdout.split()])))
                imports = "import naptha_sdk.modules.agent, naptha_sdk.inference, naptha_sdk.schemas"
                taken = timed(lambda: subprocess.run([python, "-I", "-c", imports], check=True), 5)
                rows.append(("floor: a fresh interpreter with the same imports", f"median {statistics.median(taken):.2f} s"))
                break

        chat = timed(lambda: run("orchestrator:debate", {"prompt": "Should every meeting have an agenda?"}), 10)
        rows.append(
            (
                "the chat: 5 rounds × 2 agents, each turn written to the knowledge base",
                f"median {statistics.median(chat):.2f} s, max {max(chat):.2f} s (n={len(chat)})",
            )
        )
        rows.append(("memory after all that (PSS), node with its 4 warm parents", f"{memory(node.process.pid):.0f} MiB"))
        node.stop()
        registry.stop()

    version = subprocess.run([NAPT, "--version"], capture_output=True, text=True).stdout.strip()
    print(f"{version}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| what | figure |\n| --- | --- |")
    for what, figure in rows:
        print(f"| {what} | {figure} |")


if __name__ == "__main__":
    main()
