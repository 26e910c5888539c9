#!/usr/bin/env python3
"""The bars that napt must stay under, each beside its floor, measured in the same run.

    cargo build --release && python3 benches/bars.py target/release/napt

Standard library only, and `tar`, `gzip` and `taskset`. Everything runs in a temporary home. A bar that is missed is
marked, and the exit code is 1.
"""

import http.client
import json
import multiprocessing
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

NAPT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/napt")
MIB = 1 << 20
# Index lines are asked for so long.
SECONDS = 5


def median(action, times):
    """Seconds, after one try that counts for nothing."""
    action()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def ask(port, path, until, answer):
    """Asks for the same index line again and again on one connection, and tells how often it came."""
    connection, count = http.client.HTTPConnection("127.0.0.1", port), 0
    while time.monotonic() < until:
        connection.request("GET", path)
        reply = connection.getresponse()
        if reply.status != 200 or not reply.read():
            break
        count += 1
    answer.put(count)


def bare_server(port_of):
    """The floor of a server in this language: accepts, reads a head, sends a fixed answer."""
    import socket
    import threading

    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    port_of.put(listener.getsockname()[1])
    body = b'{"name":"a"}\n'
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    def serve(connection):
        while connection.recv(65536):
            connection.sendall(reply)

    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def lines_a_second(port, path, clients=4):
    """How many answers a second come to clients on the cores that the server does not have."""
    answers = multiprocessing.Queue()
    until = time.monotonic() + SECONDS
    askers = [multiprocessing.Process(target=ask, args=(port, path, until, answers)) for _ in range(clients)]
    for asker in askers:
        asker.start()
    total = sum(answers.get() for _ in askers)
    for asker in askers:
        asker.join()
    return total / SECONDS


def tree(folder, files, size):
    """Files of text and of noise, as a project with some data has."""
    chance = random.Random(1)
    words = [bytes(chance.choices(b"abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(2000)]
    for number in range(files):
        path = folder / f"d{number % 40}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = b" ".join(chance.choices(words, k=size // 6))[: size // 2]
        path.write_bytes(text + chance.randbytes(size - len(text)))


def main():
    rows, missed = [], 0

    def row(what, found, bar, floor, unit, at_least=False):
        """One line: the figure, its floor and their ratio, and whether it is within its bar."""
        nonlocal missed
        good = found >= bar if at_least else found <= bar
        missed += not good
        sign = "≥" if at_least else "≤"
        ratio = f"{found / floor[1]:.2f}× {floor[0]} ({floor[1]:.4g} {unit})"
        rows.append(f"| {what} | {found:.4g} {unit} | {sign} {bar:.4g} {unit} | {ratio} | {'✓' if good else '✗ missed'} |")

    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        env = {**os.environ, "NAPT_HOME": str(root / "home")}

        def run(*words, cwd=root):
            done = subprocess.run(words, cwd=cwd, env=env, capture_output=True)
            if done.returncode:
                sys.exit(f"{' '.join(map(str, words))}: {done.stderr.decode()}")
            return done.stdout

        def napt(*words, cwd=root):
            return run(NAPT, *words, cwd=cwd)

        start = ("/bin/true", median(lambda: run("/bin/true"), 100) * 1e3)
        row("`napt --version`", median(lambda: napt("--version"), 100) * 1e3, 10, start, "ms")

        names = iter(range(1000))
        new = median(lambda: napt("new", "orchestrator", f"n{next(names)}", "--yes"), 20) * 1e3
        copies = iter(range(1000))
        floor = median(lambda: run("cp", "-r", "n0", f"copy{next(copies)}"), 20) * 1e3
        row("`napt new orchestrator`", new, 50, ("`cp -r` of its result", floor), "ms")

        work = root / "workspace"
        work.mkdir()
        (work / "napt.toml").write_text('[workspace]\nmembers = ["*"]\n')
        for number in range(20):
            napt("new", "agent", f"agent{number}", "--yes", cwd=root)
            shutil.move(root / f"agent{number}", work / f"agent{number}")
            shutil.rmtree(work / f"agent{number}" / ".git", ignore_errors=True)
        check = median(lambda: napt("check", cwd=work), 20) * 1e3
        floor = median(lambda: run("sh", "-c", "find . -type f -print0 | xargs -0 cat", cwd=work), 20) * 1e3
        row("`napt check`, 20 modules", check, 100, ("`cat` of its files", floor), "ms")

        data = root / "data"
        data.mkdir()
        tree(data, 2000, 40 * MIB // 2000)
        (data / "napt.toml").write_text('[module]\ntype = "persona"\nname = "data"\nversion = "0.1.0"\nruntime = "data"\n')
        floor = median(lambda: run("sh", "-c", "tar c --exclude=./target . | gzip -6 > ../floor.tar.gz", cwd=data), 3)
        packed = median(lambda: napt("package", "--no-verify", cwd=data), 3)
        row("`napt package --no-verify`, 40 MiB in 2,000 files", packed, 1.2 * floor, ("`tar \\| gzip -6`", floor), "s")

        # One core for the server; its clients have the others, so that what is measured is the server.
        cores = sorted(os.sched_getaffinity(0))
        words = ["taskset", "-c", str(cores[0]), NAPT, "registry", "--listen", "127.0.0.1:0", "--data", str(root / "registry")]
        server = subprocess.Popen(
            [*words, "--message-format", "json"], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        url = json.loads(server.stdout.readline())["data"]["url"]
        env["NAPT_REGISTRY"] = url
        small = root / "small"
        small.mkdir()
        (small / "napt.toml").write_text('[module]\ntype = "persona"\nname = "small"\nversion = "0.1.0"\nruntime = "data"\n')
        napt("login")
        napt("publish", cwd=small)
        ports = multiprocessing.Queue()
        bare = multiprocessing.Process(target=bare_server, args=(ports,), daemon=True)
        bare.start()
        os.sched_setaffinity(bare.pid, {cores[0]})
        os.sched_setaffinity(0, set(cores[1:] or cores))
        port = ports.get()
        floor = lines_a_second(port, "/")
        bare.terminate()
        found = lines_a_second(urllib.parse.urlsplit(url).port, "/index/persona/small")
        os.sched_setaffinity(0, set(cores))
        row("index lines, server on one core", found, 5000, ("a bare loop in Python", floor), "/s", at_least=True)
        server.terminate()
        server.wait()

    print("| what | figure | bar | beside its floor | |\n| --- | --- | --- | --- | --- |")
    print("\n".join(rows))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
