"""What the benches of runs share: a node with modules in a temporary home, one run from request to result, memory and
processor time of its processes, and a table of ratios. Standard library only."""

import contextlib
import http.client
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
import urllib.parse

PLAIN = {
    "napt.toml": '[module]\ntype = "agent"\n',
    "pyproject.toml": '[project]\nname = "plain"\nversion = "0.1.0"\ndependencies = []\n',
    "plain/run.py": "def run(module_run):\n    return 'hello'\n",
    "plain/schemas.py": (
        "class InputSchema:\n"
        "    def __init__(self, **inputs):\n        self.inputs = inputs\n"
        "    def model_dump(self):\n        return self.inputs\n"
    ),
}


def write(folder, files):
    """A module's files; gives its folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def timed(action, times, warm=1):
    """Seconds of each, after some that count for nothing."""
    taken = []
    for number in range(warm + times):
        start = time.perf_counter()
        action()
        if number >= warm:
            taken.append(time.perf_counter() - start)
    return taken


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def below(pid):
    """A process and all that it has started; a child belongs to the thread that started it."""
    found, queue = [], [pid]
    while queue:
        one = queue.pop()
        found.append(one)
        # It may end meanwhile.
        with contextlib.suppress(OSError):
            for task in pathlib.Path(f"/proc/{one}/task").glob("*/children"):
                queue.extend(map(int, task.read_text().split()))
    return found


def memory(pid, kind):
    """In MiB; nothing of a process that has ended."""
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{kind}:")) / 1024


def pss(pid):
    """Proportional set size: what processes share counts in parts."""
    return memory(pid, "Pss")


def anonymous(pid):
    """What a process has written, and no file holds; whoever else runs does not change it."""
    return memory(pid, "Anonymous")


def soon(what, holds):
    """Waits until something holds that must hold within a minute."""
    until = time.monotonic() + 60
    while not holds():
        if time.monotonic() > until:
            sys.exit(f"{what}: not within a minute")
        time.sleep(0.01)


def cpu(pid):
    """Processor seconds of a process, and of its children that have ended."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def parents(pid):
    """The warm parents below a node: the interpreters that no interpreter has started."""
    def is_python(one):
        return "python" in os.path.basename(os.readlink(f"/proc/{one}/exe"))

    def walk(one):
        for child in below(one)[1:]:
            with contextlib.suppress(OSError):
                stat = pathlib.Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
                if is_python(child) and not is_python(int(stat[1])):
                    yield child

    return sorted(walk(pid))


class Memory(threading.Thread):
    """Peaks, in MiB, of a node and of all its processes while something goes on."""

    def __init__(self, pid, interval=0.5):
        super().__init__(daemon=True)
        self.pid, self.interval = pid, interval
        self.node = self.all = self.processes = 0
        self.over = threading.Event()

    def __enter__(self):
        self.sample()
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()
        self.sample()

    def run(self):
        while not self.over.wait(self.interval):
            self.sample()

    def sample(self):
        pids = below(self.pid)
        self.node = max(self.node, pss(self.pid))
        self.all = max(self.all, sum(map(pss, pids)))
        self.processes = max(self.processes, len(pids))


class Connection:
    """A client's connection to a node, kept open."""

    def __init__(self, node):
        self.http = http.client.HTTPConnection(node.host, node.port)
        self.headers = {"content-type": "application/json", "authorization": f"Bearer {node.token}"}

    def ask(self, method, path, body=None):
        self.http.request(method, path, None if body is None else json.dumps(body), self.headers)
        reply = self.http.getresponse()
        data = reply.read()
        if reply.status >= 300:
            sys.exit(f"{method} {path}: {data.decode()}")
        return data

    def run(self, module, inputs):
        """A run, from the request to its last event; its id."""
        view = json.loads(self.ask("POST", "/v1/runs", {"module": module, "inputs": inputs}))
        events = self.ask("GET", f"/v1/runs/{view['id']}/events")
        last = json.loads(next(line for line in reversed(events.splitlines()) if line.startswith(b"data:"))[5:])
        if last.get("status") != "completed":
            sys.exit(f"{module}: {last}")
        return view["id"]

    def result(self, run):
        return json.loads(self.ask("GET", f"/v1/runs/{run}"))["result"]


class Node:
    """A node that runs in a temporary home."""

    def __init__(self, napt, root, *flags):
        self.napt, self.root = napt, root
        self.env = {**os.environ, "NAPT_HOME": str(root / "home")}
        self.log = open(root / "node.log", "a")
        words = [napt, "node", "--listen", "127.0.0.1:0", "--data", str(root / "node"), "--message-format", "json"]
        begun = time.perf_counter()
        self.process = subprocess.Popen(
            [*words, *flags], env=self.env, stdout=subprocess.PIPE, stderr=self.log, start_new_session=True
        )
        url = json.loads(self.process.stdout.readline())["data"]["url"]
        parts = urllib.parse.urlsplit(url)
        self.host, self.port = parts.hostname, parts.port
        probe = http.client.HTTPConnection(self.host, self.port)
        probe.request("GET", "/health")
        probe.getresponse().read()
        # Until it has answered.
        self.start_up = time.perf_counter() - begun
        self.env["NAPT_NODE"] = url
        self.pid = self.process.pid
        self.token = None

    def admit(self):
        """Gets a token, which connections need."""
        self.token = json.loads(self.command("token", "new", "--message-format", "json"))["data"]["token"]
        return self

    def command(self, *words, cwd=None):
        done = subprocess.run([self.napt, *words], cwd=cwd or self.root, env=self.env, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"napt {' '.join(map(str, words))}: {done.stderr}")
        return done.stdout

    def deploy(self, folder):
        self.command("deploy", "--no-verify", cwd=folder)

    def pythons(self):
        """The interpreters of its environments, newest first."""
        cache = pathlib.Path(self.env.get("NAPT_CACHE_DIR") or self.root / "home" / "cache")
        found = cache.glob("environments/*/venv/bin/python")
        return sorted(found, key=lambda path: path.lstat().st_mtime, reverse=True)

    def stop(self):
        self.process.terminate()
        self.process.wait()


@contextlib.contextmanager
def home():
    with tempfile.TemporaryDirectory(prefix="napt-bench-") as folder:
        yield pathlib.Path(folder)


class Table:
    """Figures beside their floors, and whether they are within their bars."""

    def __init__(self, napt):
        self.napt, self.rows, self.missed = napt, [], 0

    def row(self, what, figure, unit, floor=None, bar=None, at_least=False):
        """`floor` is a name and a figure; the bar is in the figure's unit."""
        beside, verdict, within = "", "", ""
        if floor:
            beside = f"{figure / floor[1]:.2f} × {floor[0]} ({floor[1]:.4g} {unit})"
        if bar is not None:
            good = figure >= bar if at_least else figure <= bar
            self.missed += not good
            within, verdict = f"{'≥' if at_least else '≤'} {bar:.4g} {unit}", "✓" if good else "✗ missed"
        self.rows.append((what, f"{figure:.4g} {unit}", within, beside, verdict))

    def print(self):
        version = subprocess.run([self.napt, "--version"], capture_output=True, text=True).stdout.strip()
        print(
            f"{version}, {platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} cores, "
            f"Python {platform.python_version()}\n"
        )
        print("| what | figure | bar | beside its floor | |\n| --- | --- | --- | --- | --- |")
        for cells in self.rows:
            print("| " + " | ".join(cells) + " |")

    def end(self):
        """Prints it; the exit code is 1 when a bar is missed."""
        self.print()
        sys.exit(1 if self.missed else 0)


def median_ms(taken):
    return statistics.median(taken) * 1e3
