"""The same function at peers, each in a throw-away environment that is installed here: FastAPI on uvicorn, a Celery task
over Redis, a Restate handler. With `--more` also RQ and Dramatiq over Redis, DBOS over SQLite, and Ray.

    python3 benches/runtime/peers.py [--more | fastapi celery restate rq dramatiq dbos ray]

Standard library only; Python packages come from the index that pip uses, Restate's server from npm's, and Redis from the
machine or from Debian's packages where it is not there.
"""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv

from load import http_caller, measure

HERE = pathlib.Path(__file__).parent

# What all of them do: the module of `process.py` does it too.
FUNCTION = '''
def answer(prompt):
    return f"You said: {prompt}"
'''

FASTAPI = FUNCTION + '''
from fastapi import FastAPI
from pydantic import BaseModel

class InputSchema(BaseModel):
    prompt: str

app = FastAPI()

@app.post("/run")
async def run(inputs: InputSchema):
    return {"result": answer(inputs.prompt)}
'''

CELERY = FUNCTION + '''
import os
from celery import Celery

app = Celery("echo", broker=os.environ["REDIS"], backend=os.environ["REDIS"])

@app.task
def run(prompt):
    return answer(prompt)

def call(prompt):
    return run.delay(prompt).get(timeout=60)
'''

RQ = FUNCTION + '''
import os
from redis import Redis
from rq import Queue

queue = Queue(connection=Redis.from_url(os.environ["REDIS"]))

def call(prompt):
    return queue.enqueue(answer, prompt).latest_result(timeout=60).return_value
'''

DRAMATIQ = FUNCTION + '''
import os
import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

broker = RedisBroker(url=os.environ["REDIS"])
broker.add_middleware(Results(backend=RedisBackend(url=os.environ["REDIS"])))
dramatiq.set_broker(broker)

@dramatiq.actor(store_results=True)
def run(prompt):
    return answer(prompt)

def call(prompt):
    return run.send(prompt).get_result(block=True, timeout=60_000)
'''

# Of what is asked by its own client, within its environment.
LOAD = '''
import json, os, sys
sys.path.insert(0, os.environ["LOAD"])
from echo import call
from load import measure

print(json.dumps(measure(lambda: lambda: call("hello"))))
'''

DBOS = FUNCTION + '''
import dbos
from fastapi import FastAPI
from pydantic import BaseModel

class InputSchema(BaseModel):
    prompt: str

app = FastAPI()
dbos.DBOS(config={"name": "echo", "system_database_url": "sqlite:///echo.sqlite", "log_level": "ERROR"})

@dbos.DBOS.workflow()
def run(prompt):
    return answer(prompt)

dbos.DBOS.launch()

@app.post("/run")
def serve(inputs: InputSchema):
    return {"result": run(inputs.prompt)}
'''

RAY = FUNCTION + '''
import json, os, sys, time
sys.path.insert(0, os.environ["LOAD"])
import ray
from load import measure
from peers import pss

start = time.perf_counter()
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
run = ray.remote(answer)

def call():
    return ray.get(run.remote("hello"))

call()
ready = time.perf_counter() - start
print(json.dumps({**measure(lambda: call), "ready": ready, "memory": pss(os.getpid())}))
'''

RESTATE = FUNCTION + '''
import restate

echo = restate.Service("echo")

@echo.handler()
async def run(ctx: restate.Context, inputs: dict) -> dict:
    return {"result": answer(inputs["prompt"])}

app = restate.app([echo])
'''


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def make_environment(folder, *packages):
    """A virtual environment with these packages; its `bin`."""
    venv.create(folder / "env", with_pip=True)
    pip = [folder / "env" / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *packages], check=True)
    return folder / "env" / "bin"


def versions(binaries, *names):
    code = "import importlib.metadata as m, sys; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
    return subprocess.run([binaries / "python", "-c", code, *names], capture_output=True, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def running(words, log, **options):
    """A process with all that it starts, ended in the end."""
    with open(log, "wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT, start_new_session=True, **options)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)


def wait_for(action, what, log, within=60):
    """The seconds until `action()` raises nothing any more."""
    start = time.perf_counter()
    while True:
        try:
            action()
            return time.perf_counter() - start
        except (OSError, RuntimeError, urllib.error.URLError) as error:
            if time.perf_counter() - start > within:
                sys.exit(f"{what} did not start: {error}\n{pathlib.Path(log).read_text()[-2000:]}")
            time.sleep(0.01)


def pss(pid):
    """Proportional set size of a process and of what it started, in MiB."""
    total, queue = 0, [pid]
    while queue:
        one = queue.pop()
        try:
            text = pathlib.Path(f"/proc/{one}/smaps_rollup").read_text()
            for task in pathlib.Path(f"/proc/{one}/task").glob("*/children"):
                queue.extend(map(int, task.read_text().split()))
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total / 1024


def over_http(folder, text, packages):
    """A server in uvicorn, whose program `echo` has `app`."""
    binaries = make_environment(folder, *packages)
    (folder / "echo.py").write_text(text)
    port, log = free_port(), folder / "log"
    connect = http_caller("127.0.0.1", port, "/run", {"prompt": "hello"})
    words = [binaries / "uvicorn", "echo:app", "--port", str(port), "--log-level", "warning", "--no-access-log"]
    with running(words, log, cwd=folder) as server:
        ready = wait_for(lambda: connect()(), "uvicorn", log)
        found = measure(connect)
        return {**found, "ready": ready, "memory": pss(server.pid), "versions": versions(binaries, packages[0], "uvicorn")}


def fastapi(folder):
    return over_http(folder, FASTAPI, ["fastapi", "uvicorn[standard]"])


def redis(folder):
    """`redis-server`: the machine's, or Debian's packages unpacked here."""
    found = shutil.which("redis-server")
    if found:
        return [found], dict(os.environ)
    packages = ["redis-tools", "libjemalloc2", "liblua5.1-0", "liblzf1", "libatomic1", "lua-cjson", "lua-bitop"]
    subprocess.run(["apt-get", "download", "-qq", *packages], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder / "debian"], check=True)
    libraries = ":".join(str(path) for path in (folder / "debian" / "usr" / "lib").glob("*-linux-*"))
    server = next((folder / "debian").rglob("redis-check-rdb"))
    # One binary that is told by its name what it is.
    (server.parent / "redis-server").unlink(missing_ok=True)
    (server.parent / "redis-server").symlink_to(server.name)
    return [server.parent / "redis-server"], {**os.environ, "LD_LIBRARY_PATH": libraries}


def over_redis(folder, text, packages, *worker):
    """A queue in Redis, with a worker of these words, whose program `echo` has `call`."""
    binaries = make_environment(folder, "redis", *packages)
    (folder / "echo.py").write_text(text)
    (folder / "client.py").write_text(LOAD)
    port, log = free_port(), folder / "log"
    words, env = redis(folder)
    with running([*words, "--port", str(port), "--save", "", "--bind", "127.0.0.1"], folder / "redis.log", env=env) as broker:
        wait_for(lambda: socket.create_connection(("127.0.0.1", port)).close(), "Redis", folder / "redis.log")
        env = {**os.environ, "REDIS": f"redis://127.0.0.1:{port}/0", "LOAD": str(HERE), "PYTHONPATH": str(folder)}
        words = [binaries / worker[0], *(word.format(redis=env["REDIS"]) for word in worker[1:])]
        with running(words, log, cwd=folder, env=env) as process:
            one = "from echo import call; call('hello')"
            start = time.perf_counter()
            subprocess.run([binaries / "python", "-c", one], cwd=folder, env=env, check=True)
            ready = time.perf_counter() - start
            done = subprocess.run([binaries / "python", "client.py"], cwd=folder, env=env, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{worker[0]}'s load: {done.stderr}")
            memory = pss(process.pid) + pss(broker.pid)
            told = versions(binaries, packages[0].partition("[")[0], "redis")
            return {**json.loads(done.stdout), "ready": ready, "memory": memory, "versions": told}


def celery(folder):
    worker = ["celery", "-A", "echo", "worker", "--concurrency", "2", "--loglevel", "warning"]
    return over_redis(folder, CELERY, ["celery", "packaging"], *worker)


def rq(folder):
    return over_redis(folder, RQ, ["rq"], "rq", "worker-pool", "--num-workers", "2", "--quiet", "--url", "{redis}")


def dramatiq(folder):
    worker = ["dramatiq", "echo", "--processes", "2", "--threads", "1"]
    return over_redis(folder, DRAMATIQ, ["dramatiq[redis]"], *worker)


def dbos(folder):
    return over_http(folder, DBOS, ["dbos", "fastapi", "uvicorn[standard]"])


def ray(folder):
    binaries = make_environment(folder, "ray")
    (folder / "client.py").write_text(RAY)
    env = {**os.environ, "LOAD": str(HERE), "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run([binaries / "python", "client.py"], cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"Ray's load: {done.stderr}")
    return {**json.loads(done.stdout.splitlines()[-1]), "versions": versions(binaries, "ray")}


def restate(folder):
    binaries = make_environment(folder, "restate-sdk[serde]", "hypercorn")
    (folder / "echo.py").write_text(RESTATE)
    subprocess.run(["npm", "install", "--silent", "--prefix", folder, "@restatedev/restate-server"], check=True)
    server = next(path for path in (folder / "node_modules" / "@restatedev").glob("*/bin/restate-server") if path.stat().st_size > 1 << 20)
    ingress, admin, fabric, port = (free_port() for _ in range(4))
    env = {
        **os.environ,
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{fabric}",
        "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{fabric}",
        "RESTATE_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }
    log = folder / "log"
    begin = time.perf_counter()
    with (
        running([server, "--base-dir", folder / "data", "--node-name", "bench"], log, env=env) as durable,
        running([binaries / "hypercorn", "echo:app", "--bind", f"127.0.0.1:{port}"], folder / "hypercorn.log", cwd=folder) as handler,
    ):
        wait_for(lambda: socket.create_connection(("127.0.0.1", port)).close(), "hypercorn", folder / "hypercorn.log")

        def register():
            body = json.dumps({"uri": f"http://127.0.0.1:{port}"}).encode()
            request = urllib.request.Request(f"http://127.0.0.1:{admin}/deployments", body, {"content-type": "application/json"})
            urllib.request.urlopen(request).read()

        wait_for(register, "Restate", log)
        connect = http_caller("127.0.0.1", ingress, "/echo/run", {"prompt": "hello"})
        wait_for(lambda: connect()(), "the handler", log)
        ready = time.perf_counter() - begin
        found = measure(connect)
        version = subprocess.run([server, "--version"], capture_output=True, text=True).stdout.split()
        told = f"restate-server {version[1] if len(version) > 1 else '?'}, {versions(binaries, 'restate-sdk', 'hypercorn')}"
        return {**found, "ready": ready, "memory": pss(durable.pid) + pss(handler.pid), "versions": told}


PEERS = {"fastapi": fastapi, "celery": celery, "restate": restate}
MORE = {"rq": rq, "dramatiq": dramatiq, "dbos": dbos, "ray": ray}


def named(words):
    """The peers that a command line asks for."""
    return [*PEERS, *MORE] if "--more" in words else words or list(PEERS)


def measured(names):
    """The figures of these peers, one after another, each alone on the machine."""
    found = {}
    for name in names:
        with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
            found[name] = {**PEERS, **MORE}[name](pathlib.Path(folder))
    return found


def main():
    for name, figures in measured(named(sys.argv[1:])).items():
        print(
            f"{name}: ready {figures['ready']:.2f} s, one call {figures['p50'] * 1e3:.1f} ms (p99 {figures['p99'] * 1e3:.1f}), "
            f"{figures['rate']:.0f} a second with 16 in flight, {figures['memory']:.0f} MiB; {figures['versions']}"
        )


if __name__ == "__main__":
    main()
