"""Floors that runs are measured against, in the interpreter of the module's own environment."""

import json
import os
import socket
import struct
import subprocess

# A bare parent with the same imports: forks, does the module's own work and exits.
FORK = """
import asyncio, gc, importlib, inspect, json, os, sys, time
imports, folder, package, entry, inputs, times = json.loads(sys.argv[1])
for name in imports:
    importlib.import_module(name)
gc.collect(); gc.freeze()
taken = []
for _ in range(times):
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        sys.path.insert(0, folder)
        schema = importlib.import_module(f"{package}.schemas").InputSchema
        function = getattr(importlib.import_module(f"{package}.{entry}"), entry)
        result = function(module_run={"inputs": schema(**inputs).model_dump()})
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
        json.dumps(result)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        sys.exit("the module's own work failed")
    taken.append(time.perf_counter() - start)
print(json.dumps(taken))
"""

# The same many at a time: each child takes so long, `width` of them side by side.
SIDE_BY_SIDE = """
import gc, importlib, json, os, sys, time
imports, seconds, count, width = json.loads(sys.argv[1])
for name in imports:
    importlib.import_module(name)
gc.collect(); gc.freeze()
start, started, ended = time.perf_counter(), 0, 0
while ended < count:
    while started < count and started - ended < width:
        if os.fork() == 0:
            time.sleep(seconds)
            os._exit(0)
        started += 1
    os.wait()
    ended += 1
print(json.dumps(time.perf_counter() - start))
"""


def ask(python, program, *arguments):
    done = subprocess.run([python, "-I", "-c", program, json.dumps(arguments)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def fork(python, imports, folder, package, inputs, times=300, entry="run"):
    """Seconds of each fork of a parent with these imports, the module's own work in it, and its exit."""
    # The first byte-compiles the module's files.
    return ask(python, FORK, imports, str(folder), package, entry, inputs, times + 1)[1:]


def side_by_side(python, imports, seconds, count, width):
    """Seconds until `count` children that each take so long have ended, `width` at a time."""
    return ask(python, SIDE_BY_SIDE, imports, seconds, count, width)


def spawn(program="/bin/true"):
    """Starts a program and waits for it."""
    pid = os.posix_spawn(program, [program], {})
    os.waitpid(pid, 0)


# A run as a node sends it.
RUN = json.dumps({"root": "/", "env": {}, "module_run": {"id": "1", "inputs": {}, "deployment": {}}}).encode()


def spawn_run(program):
    """Starts a Rust module's binary with nothing around it, has it do a run, and waits for its end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        pid = os.posix_spawn(program, [program], {}, file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)])
        theirs.close()
        ours.sendall(struct.pack(">I", len(RUN)) + RUN)
        answer = b""
        while part := ours.recv(65536):
            answer += part
    _, status = os.waitpid(pid, 0)
    if status or b"hello" not in answer:
        raise RuntimeError(f"it ended with {status}: {answer}")
