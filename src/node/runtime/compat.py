"""What modules of all generations need within a run, though nobody changes them. Standard library only.

It stands on `napt_sdk`, which has what every program written for the SDK needs: each shim is applied once what it
changes has been imported, and what an environment does not have is left alone.

    1.x     `run(module_run=…)`, `Agent()`, `create`, `run`
    0.2     `Agent(deployment=…)`, `call_agent_func`, `naptha_sdk.storage.storage_provider`
    2024    `run(inputs, worker_nodes, orchestrator_node, flow_run, cfg)`, `naptha_sdk.task.Task`
            `run(agent_run)`, `naptha_sdk.agent.Agent(orchestrator_run=…, agent_index=…)`
"""

import functools
import importlib
import importlib.machinery
import json
import os
import struct
import sys
import threading
import types

import napt_sdk
from napt_sdk import after_import

MAX_FRAME = 256 * 1024 * 1024

# Bytes of one call; the node's other doors have the same bound.
MAX_CALL = 64 * 1024 * 1024

# Bytes of the stack of the thread that reads answers; it counts against the run's memory.
STACK = 1024 * 1024


# --- frames: four bytes of length, big-endian, then JSON


def encode(message, **options):
    body = json.dumps(message, ensure_ascii=False, **options).encode("utf-8", "replace")
    return struct.pack(">I", len(body)) + body


def send(sock, message):
    sock.sendall(encode(message))


def read_exactly(sock, length):
    parts = []
    while length:
        part = sock.recv(min(length, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def receive(sock):
    (length,) = struct.unpack(">I", read_exactly(sock, 4))
    if length > MAX_FRAME:
        raise EOFError
    return json.loads(read_exactly(sock, length))


# --- the run that this process is


class Run:
    """The run of this process, and its calls of other modules: many at a time, from any thread and event loop."""

    def __init__(self, sock, module_run, env):
        self.module_run = module_run or {}
        self.id = env["NAPT_RUN_ID"]
        self.secret = env["NAPT_RUN_TOKEN"].partition(":")[2]
        self.home = env["NAPT_NODE_URL"]
        self.process = os.getpid()
        self.sock = sock
        self.sending = threading.Lock()
        self.waiting = {}
        self.calls = 0
        self.reader = None
        # The last of its calls that failed, which the SDK tells nobody.
        self.failure = None

    def send(self, message, **options):
        frame = encode(message, **options)
        if message["op"] == "call" and len(frame) > MAX_CALL:
            raise ValueError(f"the call is larger than {MAX_CALL >> 20} MiB")
        with self.sending:
            self.sock.sendall(frame)

    def target(self, address):
        """The node that an address of this run means, and `None` for any other address: `ws://RUN.TARGET:SECRET@host`."""
        credential, at, _ = str(address).rpartition("://")[2].rpartition("@")
        run, _, secret = credential.partition(":")
        run, _, target = run.partition(".")
        mine = at and run == self.id and secret == self.secret and self.process == os.getpid()
        return target if mine else None

    async def call(self, module_type, target, run_input):
        """The node's answer to a run input, as its WebSocket door gives it."""
        answer = await self.ask({"type": module_type, "target": target, "input": run_input})
        record = answer.get("data")
        if record is not None and record["error"]:
            self.failure = f"`{module_type}:{record['deployment']['module']['name']}`: {record['error_message']}"
        return answer

    async def ask(self, call):
        """The node's answer to a call."""
        import asyncio

        loop = asyncio.get_running_loop()
        future = loop.create_future()
        with self.sending:
            self.calls += 1
            number = self.calls
            self.waiting[number] = (loop, future)
            if self.reader is None:
                self.reader = self.listen()
        try:
            self.send({"op": "call", "id": number, **call}, allow_nan=False)
            return await future
        except asyncio.CancelledError:
            # Also a timeout: whoever gave up waiting wants no run.
            self.send({"op": "cancel", "id": number})
            raise
        finally:
            self.waiting.pop(number, None)

    def listen(self):
        before = threading.stack_size(STACK)
        thread = threading.Thread(target=self.read, name="napt", daemon=True)
        thread.start()
        threading.stack_size(before)
        return thread

    def read(self):
        while True:
            try:
                answer = receive(self.sock)
            except (EOFError, OSError):
                return  # the node ends this process
            loop, future = self.waiting.pop(answer["id"], (None, None))
            if future is None:
                continue
            try:
                loop.call_soon_threadsafe(settle, future, answer)
            except RuntimeError:  # the loop has been closed: nobody waits
                pass


def settle(future, answer):
    if not future.done():
        future.set_result(answer)


# The run of this process, once it is one.
RUN = None


# --- nodes in all shapes


class Node(types.SimpleNamespace):
    """A node by the names of all generations, from a record in any of them, or from a URL."""

    def __init__(self, node=None, *_args, **_kwargs):
        if isinstance(node, str):
            node = {"ip": node} if "://" not in node else from_url(node)
        elif not isinstance(node, dict):
            node = vars(node) if node is not None else {}
        if not node.get("ip") or (node["ip"] == "localhost" and not port_of(node)):
            # By name, or not at all: the own node finds it.
            node = {**node, **from_url(RUN.home)}
        port = port_of(node) or 7001
        secure = node.get("user_communication_protocol") == "https"
        protocol = node.get("node_communication_protocol") or node.get("server_type")
        if protocol not in ("ws", "wss", "grpc"):
            protocol = "wss" if secure else "ws"
        ports = node.get("ports") or [port]
        super().__init__(
            **{
                **node,
                "user_communication_port": port,
                "user_communication_protocol": "https" if secure else "http",
                "node_communication_protocol": protocol,
                "http_port": port,
                "server_type": protocol,
                "ports": ports,
                "node_url": f"{protocol}://{node['ip']}:{ports[0]}",
            }
        )


def port_of(node):
    return node.get("user_communication_port") or node.get("http_port")


def from_url(url):
    scheme, _, rest = url.partition("://")
    credential, at, host = rest.rstrip("/").rpartition("@")
    host, _, port = host.partition(":")
    secure = scheme in ("https", "wss")
    return {
        "ip": credential + at + host,
        "user_communication_protocol": "https" if secure else "http",
        "user_communication_port": int(port) if port else (443 if secure else 7001),
    }


def is_complete(node):
    """Whether the SDK itself can connect to it."""
    return not isinstance(node, dict) and getattr(node, "ports", None)


# --- shims


@after_import("dotenv.main")
def keep_environment(module):
    """`load_dotenv(override=True)` must not replace what the node has set."""
    original = module.load_dotenv

    def load_dotenv(*args, **kwargs):
        if len(args) > 3:
            args = args[:3] + (False,) + args[4:]
        kwargs.pop("override", None)
        return original(*args, **kwargs)

    module.load_dotenv = load_dotenv


@after_import("httpx._transports.default")
def share_tls_context(module):
    """One TLS context for all clients of a process: building one takes 40 ms, and the SDK makes a client a call."""
    create = getattr(module, "create_ssl_context", None)
    if create is None:
        return
    cache = {}

    def create_ssl_context(*args, **kwargs):
        try:
            key = (args, tuple(sorted(kwargs.items())))
            if key not in cache:
                cache[key] = create(*args, **kwargs)
            return cache[key]
        except TypeError:  # an argument that cannot be a key
            return create(*args, **kwargs)

    module.create_ssl_context = create_ssl_context


@after_import("naptha_sdk.client.node")
def call_over_own_socket(module):
    """A call of a module goes over the run's own socket instead of a connection of its own: same rules, same answer."""
    import inspect

    original = getattr(getattr(module, "NodeClient", None), "send_receive_ws", None)
    if original is None or list(inspect.signature(original).parameters) != ["self", "data", "action"]:
        return

    async def send_receive_ws(self, data, action):
        module_type, _, verb = action.partition("/")
        target = RUN and verb == "run" and RUN.target(self.node_url)
        if not target:
            return await original(self, data, action)
        return await RUN.call(module_type, target, data.model_dump() if hasattr(data, "model_dump") else data)

    module.NodeClient.send_receive_ws = send_receive_ws


@after_import("naptha_sdk.client.node")
def connect_to_any_node(module):
    """A node's client takes a node as files and users write it; and it was called `Node`."""
    client = getattr(module, "NodeClient", None)
    if client is not None:
        original = client.__init__

        @functools.wraps(original)
        def __init__(self, node, *args, **kwargs):
            original(self, node if is_complete(node) else Node(node), *args, **kwargs)

        client.__init__ = __init__
    if not hasattr(module, "Node"):
        module.Node = Node


@after_import("naptha_sdk.utils")
def url_of_any_node(module):
    """The same for the clients of models, storage and users."""
    original = getattr(module, "node_to_url", None)
    if original is not None:
        module.node_to_url = lambda node: original(Node(node) if isinstance(node, dict) else node)


def agents_of_2024(kind):
    @after_import(f"naptha_sdk.modules.{kind}")
    def keyword_calls(module):
        """Classes by the caller's run and an index, or by a name and a worker; the keywords of a call are its inputs."""
        target = getattr(module, napt_sdk.CLASSES[kind])
        if not hasattr(target, "run"):
            return  # 0.2's own
        func = f"call_{kind}_func"
        original, call = target.__init__, getattr(target, func)

        def __init__(self, *args, **kwargs):
            caller = next((kwargs[name] for name in kwargs if name.endswith("_run") and name != "flow_run"), None)
            if f"{kind}_index" in kwargs:
                deployment = getattr(caller.deployment, f"{kind}_deployments")[kwargs[f"{kind}_index"]]
                args, kwargs = (deployment,), {}
            elif "fn" in kwargs:
                worker = kwargs.get("worker_node", kwargs.get("worker_node_url"))
                args, kwargs = (sub_deployment(kwargs["fn"], worker)[1],), {}
            original(self, *args, **kwargs)

        @functools.wraps(call)
        async def call_func(self, *args, **inputs):
            if args or not inputs or isinstance(next(iter(inputs.values())), napt_sdk.run_input_class(kind)):
                return await call(self, *args, **inputs)
            return await self.run({**new_run_input(inputs), "deployment": as_dict(self.deployment)})

        target.__init__ = __init__
        setattr(target, func, call_func)


for kind in napt_sdk.CLASSES:
    agents_of_2024(kind)


def as_dict(model):
    return model.model_dump() if hasattr(model, "model_dump") else model


# --- modules that an SDK had once


class Task:
    """A call of an agent by its name, as 2024's orchestrators made it."""

    def __init__(self, name=None, fn=None, worker_node=None, *_args, worker_node_url=None, **_kwargs):
        self.name = name
        self.fn = fn if isinstance(fn, str) else getattr(fn, "__name__", name)
        self.worker_node = worker_node if worker_node is not None else worker_node_url

    async def __call__(self, *_args, **inputs):
        return await run_task(self, parameters=inputs)


async def run_task(task, flow_run=None, parameters=None, *_args, **_kwargs):
    """The agent's result; its error is raised."""
    module_type, deployment = sub_deployment(task.fn, task.worker_node)
    target = RUN.target(Node(deployment["node"]).node_url)
    if target is None:
        raise RuntimeError(f"task `{task.name}` ({task.fn}): its worker is not a node of this run's deployment")
    answer = await RUN.call(module_type, target, {**new_run_input(parameters or {}), "deployment": deployment})
    record = answer.get("data")
    if record is None or record["error"]:
        reason = answer["message"] if record is None else record["error_message"]
        raise RuntimeError(f"task `{task.name}` ({task.fn}): {reason}")
    return record["results"][-1]


async def run_parallel_tasks(tasks, flow_run=None, parameters=None, *_args, **_kwargs):
    import asyncio

    return await asyncio.gather(*(run_task(task, parameters=parameters) for task in tasks))


def new_run_input(inputs):
    run = RUN.module_run
    return {"consumer_id": run.get("consumer_id", ""), "inputs": inputs, "signature": run.get("signature") or "none"}


def sub_deployment(fn, worker):
    """The type and the deployment of the module with this name: the own deployment's, on that worker if it has several,
    and here if it has none."""
    module_type, _, name = fn.rpartition(":")
    module_type = module_type or "agent"
    worker = Node(worker) if worker is not None else None
    own = RUN.module_run.get("deployment") or {}
    found = [
        deployment
        for deployment in own.get(f"{module_type}_deployments") or []
        if (deployment.get("module") or {}).get("name") == name
    ]
    there = [deployment for deployment in found if worker and Node(deployment["node"]).node_url == worker.node_url]
    return module_type, next(iter(there + found), {"node": own.get("node"), "module": {"name": name}})


def get_logger(name):
    import logging

    return logging.getLogger(name)


def load_yaml(path):
    import yaml

    with open(path) as file:
        return yaml.safe_load(file)


# What is provided whatever the SDK has: 0.1's own needs a node of its time.
TASKS = {
    "naptha_sdk.task": {"Task": Task},
    "naptha_sdk.task_engine": {"run_task": run_task, "run_parallel_tasks": run_parallel_tasks},
}

# What is provided where there is no SDK, as for most modules of 2024.
WITHOUT_SDK = {
    "naptha_sdk": {},
    "naptha_sdk.client": {},
    "naptha_sdk.client.node": {"Node": Node},
    "naptha_sdk.utils": {"get_logger": get_logger, "load_yaml": load_yaml},
}


class Provider:
    """Makes modules out of such a table."""

    def __init__(self, modules):
        self.modules = modules

    def find_spec(self, name, path=None, target=None):
        if name not in self.modules:
            return None
        is_package = any(other.startswith(f"{name}.") for other in self.modules)
        # A loader for each: shims are put into them.
        return importlib.machinery.ModuleSpec(name, Provider(self.modules), is_package=is_package)

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        vars(module).update(self.modules[module.__name__])


# --- napt's own calls: `import napt`


class CallError(Exception):
    """A call that has no result."""


def run():
    """The record of this run, as functions get it: `id`, `inputs`, `deployment`, …"""
    return RUN.module_run


async def call(module, inputs=None, node=None):
    """Runs a module that this one's deployment holds (`agent:NAME`) where it is placed, or on `node`: an id, or a record
    of the deployment. Gives its result as text; raises `CallError` when it has none."""
    module_type, deployment, target = placed(module, node)
    run_input = {**new_run_input(inputs or {}), "deployment": deployment}
    answer = await RUN.ask({"type": module_type, "target": target, "input": run_input, "brief": True})
    if answer["status"] == "success":
        return answer["data"]
    RUN.failure = f"`{module}`: {answer['message']}"
    raise CallError(RUN.failure)


def placed(module, node):
    """Its type, its deployment, and the node that it is called on."""
    module_type, _, name = module.rpartition(":")
    own = RUN.module_run.get("deployment") or {}
    found = [
        (deployment, target_of(deployment.get("node")))
        for deployment in own.get(f"{module_type or 'agent'}_deployments") or []
        if (deployment.get("module") or {}).get("name") == name
    ]
    if node is not None:
        target = target_of(node)
        found = [(deployment, there) for deployment, there in found if there == target]
    else:
        target = "local"
    return module_type or "agent", *next(iter(found), ({"module": {"name": name}}, target))


def target_of(node):
    """What a run's addresses have for a node."""
    if isinstance(node, str) and "://" not in node:
        here = (RUN.module_run.get("deployment") or {}).get("node") or {}
        return "local" if node in ("local", "localhost", here.get("id")) else node.removeprefix("node:")[:16]
    target = RUN.target(Node(node).node_url)
    if target is None:
        raise CallError("the node is none of this run's deployment")
    return target


OWN = {"napt": {"CallError": CallError, "call": call, "run": run}}


def install():
    """For what will be imported from now on."""
    sys.meta_path.insert(0, Provider(TASKS))
    napt_sdk.install()
    sys.meta_path.append(Provider(WITHOUT_SDK))
    # Last, so that a distribution of this name is found before.
    sys.meta_path.append(Provider(OWN))


# --- how a module's function is called


class Record(dict):
    """A mapping whose keys are attributes too."""

    __getattr__ = dict.get


# In a function's flags: `**` is among its parameters.
VAR_KEYWORDS = 0x08


def generation(function):
    """By the name of the first parameter: `module_run` is 1.x, `inputs` 2024, `agent_run` and the like between."""
    try:
        positional, named, rest = parameters(function)
    except (TypeError, ValueError):  # a callable that does not tell
        return "module_run", {}, True
    first = positional[0] if positional else "module_run"
    return ("module_run" if "module_run" in named else first), named, rest


def parameters(function):
    """The names that go by position, those that go by name, and whether any other name does."""
    if type(function) is types.FunctionType and not vars(function):
        # What nearly all are. To import `inspect` takes longer than all the rest of such a run.
        code = function.__code__
        names, count = code.co_varnames, code.co_argcount
        named = set(names[code.co_posonlyargcount : count + code.co_kwonlyargcount])
        return list(names[:count]), named, bool(code.co_flags & VAR_KEYWORDS)
    import inspect

    found = list(inspect.signature(function).parameters.values())
    positional = [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    named = {p.name for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return positional, named, any(p.kind is p.VAR_KEYWORD for p in found)


def invoke(function, module_run, inputs, component):
    """Calls a module's function in the way of its generation; `inputs` are its `InputSchema`, and the run has their dump."""
    first, named, rest = generation(function)
    if first == "module_run":
        return function(module_run=module_run)
    if first == "inputs":
        given = flow(module_run, component)
        return function(inputs=inputs, **{name: given[name] for name in given if rest or name in named})
    if first.endswith("_run"):
        return function(run_object(first, module_run, inputs))
    return function(module_run)


def flow(module_run, component):
    """What 2024's node gave beside the inputs."""
    deployment = module_run["deployment"]
    own = Node(deployment["node"])
    workers = [Node(sub["node"]) for sub in deployment.get("agent_deployments") or []] or [own]
    run = Record(
        module_run,
        agent_name=(deployment.get("module") or {}).get("name"),
        agent_run_params=module_run["inputs"],
        worker_nodes=[worker.node_url for worker in workers],
        child_runs=[],
        parent_runs=[],
    )
    return {
        "worker_nodes": workers,
        "worker_node_urls": run["worker_nodes"],
        "orchestrator_node": own,
        "flow_run": run,
        "agent_run": run,
        "cfg": component,
        "task_engine_cls": None,
        "node_cls": Node,
    }


def run_object(name, module_run, inputs):
    """The SDK's object for `agent_run` and the like, by its old names too; a record where there is no SDK."""
    module_type = name.removesuffix("_run")
    prefix = "KB" if module_type == "kb" else module_type.capitalize()
    try:
        cls = getattr(importlib.import_module("naptha_sdk.schemas"), f"{prefix}Run")
    except (ImportError, AttributeError):
        run = Record(module_run, inputs=inputs, deployment=Record(module_run["deployment"]))
    else:
        run = cls(**module_run)
        object.__setattr__(run, "inputs", inputs)
    deployment = run.deployment
    # Past pydantic, which knows no such fields.
    vars(deployment)[f"{module_type}_config"] = getattr(deployment, "config", None)
    vars(run)[f"{module_type}_deployment"] = deployment
    for sub_type in napt_sdk.CLASSES:
        vars(run)[f"{sub_type}_deployments"] = getattr(deployment, f"{sub_type}_deployments", None)
    return run
