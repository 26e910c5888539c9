#!/usr/bin/env python3
"""How long `napt dev` takes from a save to the new answer, and what it weighs, as one Markdown table.

    cargo build --release && python3 benches/dev.py target/release/napt

Standard library only. A scaffolded orchestrator is served in a temporary home; Python packages come from the cache folder
NAPT_CACHE_DIR where that is set. A file of its agent is saved; once `napt dev` tells that this is live, the agent is run, and
must give the new answer. The floor, a bare import of the changed file by a Python that has everything else
imported, is measured in the same session.
"""

import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

NAPT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/napt")
TIMES = int(sys.argv[2]) if len(sys.argv) > 2 else 20

FLOOR = """
import importlib, sys, time
import naptha_sdk.inference, naptha_sdk.schemas
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
times = []
for _ in range(20):
    for name in [name for name in sys.modules if name.startswith("debate_agent")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    start = time.perf_counter()
    importlib.import_module("debate_agent.run")
    times.append(time.perf_counter() - start)
print(sorted(times)[len(times) // 2])
"""


def pss(pid):
    """Proportional set size of one process, in MiB."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024


def children(pid):
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


class Node:
    """A client with a token."""

    def __init__(self, url, token):
        self.url = url
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, self.headers)) as answer:
            return answer.read()

    def run(self, module, inputs):
        run = json.loads(self.ask("/v1/runs", {"module": module, "inputs": inputs}))["id"]
        self.ask(f"/v1/runs/{run}/events?follow=true")
        return json.loads(self.ask(f"/v1/runs/{run}")).get("result") or ""


def main():
    home = tempfile.mkdtemp(prefix="napt-bench-")
    env = {**os.environ, "HOME": home, "NAPT_HOME": f"{home}/napt"}

    def napt(*arguments, cwd):
        return subprocess.run([NAPT, *arguments], cwd=cwd, env=env, check=True, capture_output=True, text=True).stdout

    napt("new", "orchestrator", "debate", "--yes", "--set", "rounds=1", cwd=home)
    root = f"{home}/debate"
    agent = pathlib.Path(root, "modules/debate_agent/debate_agent/run.py")
    config = agent.parent / "configs" / "deployment.json"
    flags = ["--node-port", "0", "--registry-port", "0", "--message-format", "json", "--quiet"]
    dev = subprocess.Popen([NAPT, "dev", *flags], cwd=root, env=env, stdout=subprocess.PIPE, text=True)
    try:
        events = map(json.loads, dev.stdout)
        url = next(event for event in events if event["event"] == "listening")["data"]["node"]
        next(event for event in events if event["event"] == "watching")
        token = json.loads(napt("token", "new", "--message-format", "json", cwd=root))["data"]["token"]
        node = Node(url, token)
        idle, parents = pss(dev.pid), [pss(child) for child in children(dev.pid)]

        # It answers at once, so that nothing but the change is measured; the SDK is imported as before.
        answer = (
            "return f'code 0 {deployment.config.config_name} {deployment.config.system_prompt}'"
        )
        source = agent.read_text().replace("llm = deployment.config.llm_config", answer)
        settings = config.read_text()

        def save(path, text, old, new):
            assert old in text, f"{path}: {old} is not there"
            path.write_text(text.replace(old, new))
            return new.strip('"')

        def code(step):
            return save(agent, source, "code 0", f"code {step}")

        def prompt(step):
            return save(config, settings, "Answer in one to three sentences.", f"Prompt {step}.")

        def value(step):
            return save(config, settings, '"config_name": "debate_agent"', f'"config_name": "value_{step}"').split('"')[-1]

        rows = []
        for what, change in (("code", code), ("prompt", prompt), ("configuration", value)):
            answers, live = [], []
            for step in range(1, TIMES + 2):
                start = time.perf_counter()
                expected = change(step)
                reloaded = next(event for event in events if event["event"] in ("reloaded", "unchecked", "undeployed"))
                if reloaded["event"] != "reloaded":
                    raise SystemExit(f"the change was refused: {reloaded}")
                answer = node.run("agent:debate_agent", {"prompt": "x"})
                if expected not in answer:
                    raise SystemExit(f"{what}: `{expected}` is not in the answer: {answer}")
                # The first one of a kind also warms up whatever it has not used yet.
                if step > 1:
                    answers.append((time.perf_counter() - start) * 1e3)
                    live.append(reloaded["data"]["milliseconds"])
            rows.append((what, live, answers))
        # Only its own environment has the SDK.
        python = pathlib.Path(f"/proc/{children(dev.pid)[0]}/cmdline").read_bytes().split(b"\0")[0].decode()
        floor = float(subprocess.check_output([python, "-I", "-c", FLOOR, str(agent.parent.parent)])) * 1e3
    finally:
        dev.send_signal(signal.SIGINT)
        dev.wait(10)

    print("| what | median | worst | target |")
    print("| --- | --- | --- | --- |")
    for what, live, answers in rows:
        print(f"| {what} saved until it is live (n={TIMES}) | {statistics.median(live):.0f} ms | {max(live)} ms | |")
        print(f"| {what} saved until the answer | {statistics.median(answers):.0f} ms | {max(answers):.0f} ms | 300 ms |")
    ratio = statistics.median(rows[0][1]) / floor
    print(f"| floor: import of the changed file | {floor:.1f} ms | | code is live after {ratio:.0f} times that |")
    print(f"| idle `napt dev` (PSS) | {idle:.0f} MiB | | 60 MiB |")
    print(f"| its Python parents beside that | {', '.join(f'{parent:.0f}' for parent in parents)} MiB | | |")


if __name__ == "__main__":
    main()
