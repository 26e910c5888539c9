"""The Python side of a napt node: a warm parent that forks a child for each run. Standard library only.

Frames on every socket: four bytes of length, big-endian, then JSON. The parent's socket is its standard input:

    node   → parent  start {imports, seal}                   `seal.py` has what is in `seal`, which may be missing; again
                                                             when it was started ahead, with nothing to import
    parent → node    ready {warm}                            all of it imported; warm is false when forking
                                                             after that would be unsafe
    node   → parent  fork {run} + fds channel, stdout, stderr, and those of control groups
    parent → node    forked {run, pid}, or refused {run, reason}
    parent → node    exited {run, status}                    nothing of the run is left then
    node   → parent  kill {run}

A child's own channel:

    node  → child    run {…}                                 once
    child → node     here                                    it has its run, of which nothing has been done before
    child → node     started                                 once, before the module's function is called
    child → node     call {id, type, target, input}          a call of a module, many at a time; `target` as in addresses
    child → node     cancel {id}                             nobody waits for that call any more
    node  → child    answer {id, status, data or message}    as the WebSocket door's
    child → node     result {ok, …}                          once, at the end

A `run` without a `module_run` imports the module and calls nothing; its result is a JSON object: empty when the module
is ready, else `error`, `traceback` and `missing`.

What unmodified modules and SDKs need is in `sdk.py`, `compat.py` and `network.py`, what shuts a run in in `seal.py`. What
only some modules need is not imported here: a parent is to be small, and soon there.
"""

import fcntl
import gc
import importlib
import io
import json
import mmap
import os
import select
import signal
import socket
import struct
import sys
import threading
import traceback
import types

import napt_compat as compat
import napt_network as network
import napt_seal as seal

# Characters of a message that says why a run failed.
MAX_MESSAGE = 8192

# Characters of a traceback in its log.
MAX_TRACEBACK = 64 * 1024

# Descriptors that come with one frame.
MAX_FDS = 8

# Bytes that are kept for the end of a run that runs out of memory.
RESERVE = 1 << 20


send, receive, read_exactly = compat.send, compat.receive, compat.read_exactly


def receive_with_fds(sock):
    """The fds travel with the first byte of the frame's length."""
    header, fds, _, _ = socket.recv_fds(sock, 4, MAX_FDS)
    if not header:
        raise EOFError
    header += read_exactly(sock, 4 - len(header))
    (length,) = struct.unpack(">I", header)
    return json.loads(read_exactly(sock, length)), fds


# --- the parent


def preload(imports):
    """Imports what the modules will import, so that children have it already."""
    for name in imports:
        try:
            importlib.import_module(name)
        except BaseException:  # noqa: BLE001 - the child will meet the same error, and report it
            pass
    for lazy in ("websockets.legacy.client", "asyncio.unix_events"):
        if lazy.split(".")[0] in sys.modules:
            try:
                importlib.import_module(lazy)
            except ImportError:
                pass
    if "httpx" in sys.modules:
        try:
            # Its TLS context is made here and shared by all children.
            sys.modules["httpx"].AsyncClient(timeout=1)
        except Exception:  # noqa: BLE001 - the child will meet the same error, and report it
            pass


def get_ready(sock, start):
    """Imports what it is told to, and says whether only one thread is there after that: else forking would be unsafe."""
    imports, seal.POLICY = start["imports"], start.get("seal")
    # What is imported stays: looking for garbage among it meanwhile finds none.
    gc.disable()
    if imports:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (1, 2):
            os.dup2(null, fd)
        os.close(null)
        # An import may take long, or for ever: SIGIO ends this process when the node goes away meanwhile.
        fcntl.fcntl(sock, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(sock, fcntl.F_GETFL)
        fcntl.fcntl(sock, fcntl.F_SETFL, flags | os.O_ASYNC)
        preload(imports)
        fcntl.fcntl(sock, fcntl.F_SETFL, flags)
    end_others()
    gc.collect()
    gc.freeze()
    gc.enable()
    give_back_memory()
    warm = threading.active_count() == 1 and len(os.listdir("/proc/self/task")) == 1
    send(sock, {"op": "ready", "warm": warm})
    return warm


def parent(sock):
    compat.install()
    network.install()
    seal.control(seal.PR_SET_CHILD_SUBREAPER, 1)
    if not get_ready(sock, receive(sock)):
        return
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    runs = {}
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    poller.register(wake_read, select.POLLIN)
    me = os.getpid()
    try:
        while True:
            for fd, _ in poller.poll():
                if fd == wake_read:
                    os.read(wake_read, 4096)
                    reap(sock, runs)
                    continue
                message, fds = receive_with_fds(sock)
                if message["op"] == "kill":
                    # Not reaped yet, so the number is still this run's.
                    for pid in [pid for pid, run in runs.items() if run == message["run"]]:
                        kill_run(pid)
                    continue
                if message["op"] == "start":
                    if not get_ready(sock, message):
                        return
                    continue
                try:
                    pid = os.fork()
                except OSError as error:
                    send(sock, {"op": "refused", "run": message["run"], "reason": str(error)})
                else:
                    if pid == 0:
                        signal.set_wakeup_fd(-1)
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        for fd in (wake_read, wake_write):
                            os.close(fd)
                        sock.close()
                        tie(me)
                        child(fds)
                    runs[pid] = message["run"]
                    send(sock, {"op": "forked", "run": message["run"], "pid": pid})
                for fd in fds:
                    os.close(fd)
    except (EOFError, ConnectionError):
        pass
    finally:
        if os.getpid() == me:
            sweep({})


# --- processes


def give_back_memory():
    """What was needed to compile and is free again: to the system, where its C library can."""
    try:
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)
    except (ImportError, OSError, AttributeError):
        pass


def tie(parent_pid):
    """A child dies with its parent, and what it starts stays below it, also what detaches itself."""
    seal.control(seal.PR_SET_CHILD_SUBREAPER, 1)
    seal.control(seal.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(70)


def end_others():
    """Ends what was started by imports, before there is a run: it would live beside all of them."""
    if seal.POLICY is None or os.getpid() != 1:
        sweep({})
        return
    try:
        # All of this namespace; none of them can start another one meanwhile.
        os.kill(-1, signal.SIGKILL)
        while True:
            os.waitpid(-1, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def reap(sock, runs):
    ended = []
    alone = False
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            alone = True
            break
        if pid == 0:
            break
        if pid in runs:
            kill(os.killpg, pid)
            ended.append((runs.pop(pid), os.waitstatus_to_exitcode(status)))
    if ended and not alone:
        sweep(runs)
    for run, status in ended:
        send(sock, {"op": "exited", "run": run, "status": status})


def sweep(runs):
    """Kills what no run in `runs` owns. Such processes have come to this one when theirs ended, as theirs will."""
    while True:
        strays = [pid for pid in below() if pid not in runs]
        if strays and seal.POLICY is not None:
            # What has left a run that goes on is still in its namespace.
            going_on = {users(pid) for pid in runs} - {users("self"), None}
            strays = [pid for pid in strays if users(pid) not in going_on]
        if not strays:
            return
        for pid in strays:
            kill_run(pid)
        for pid in strays:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass


def users(pid):
    """The user namespace of a process."""
    try:
        return os.readlink(f"/proc/{pid}/ns/user")
    except OSError:
        return None


def below():
    """The processes that this one is the parent of."""
    me = os.getpid()
    try:
        with open(f"/proc/self/task/{me}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except FileNotFoundError:  # a kernel without this list
        pass
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                _, _, fields = file.read().rpartition(")")
        except OSError:
            continue
        if int(fields.split()[1]) == me:
            found.append(int(pid))
    return found


def kill(how, pid):
    try:
        how(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def kill_run(pid):
    """Its group, and itself in case it has not made its group yet."""
    kill(os.killpg, pid)
    kill(os.kill, pid)


# --- the child


class Refused(Exception):
    """An end of a run that has a kind and a message of its own."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


def child(fds):
    try:
        os.setsid()
        channel_fd, stdout_fd, stderr_fd, *groups = fds
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (stdout_fd, 1), (stderr_fd, 2)):
            os.dup2(source, target)
            os.close(source)
        # What the module starts must not hold the channel open.
        os.set_inheritable(channel_fd, False)
        channel = socket.socket(fileno=channel_fd)
        title("napt-spare")
        prepare(groups)
        run = receive(channel)
        send(channel, {"op": "here"})
        title("napt-run")
        compat.RUN = compat.Run(channel, run["module_run"], run["env"])
        compat.RUN.send({"op": "result", **outcome(run)})
        # Nobody waits for more of what it prints.
        os.close(1)
        os.close(2)
        channel.shutdown(socket.SHUT_WR)
    except BaseException:  # noqa: BLE001 - nothing may return into the parent's loop
        try:
            log_exception(log)
        finally:
            os._exit(70)
    os._exit(0)


def title(text):
    """What `ps` and `top` call this process: who waits for a run, and who is one."""
    try:
        # Not emptied first, which a sandbox takes for more than writing.
        comm = os.open("/proc/self/comm", os.O_WRONLY)
        os.write(comm, text.encode())
        os.close(comm)
    except OSError:  # another system than Linux
        pass


def prepare(groups):
    """What every run needs, whatever it is. A child that waits for its run has done it by then."""
    os.environ.clear()
    seal.prepare(groups)
    for name, seed in (("random", "seed"), ("numpy.random", "seed")):
        if name in sys.modules:
            getattr(sys.modules[name], seed)()
    # A folder that the parent found out for itself.
    if "tempfile" in sys.modules:
        sys.modules["tempfile"].tempdir = None
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(fd, "w", closefd=False), "utf-8", "backslashreplace", line_buffering=True)
        for fd in (1, 2)
    )
    rehearse()


def rehearse():
    """Does once, to no effect, what a run begins with: memory that it writes to is then no longer shared with the parent,
    and folders that are looked through are known."""
    json.loads(compat.encode({"op": "result", "result": ""})[4:])
    compat.generation(rehearse)
    os.environ["LANG"] = "C.UTF-8"
    try:
        importlib.import_module("napt_rehearsal")
    except ImportError:
        pass


def outcome(run):
    # Given back when memory runs out, so that there is some to say so. Nothing is written there, so it costs nothing.
    reserve = mmap.mmap(-1, RESERVE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        seal.enter(run)
        reply = {"ok": True, "result": execute(run)}
    except BaseException as error:  # noqa: BLE001 - whatever a module raises is its run's error
        reserve.close()
        reply = {**failure(error, log), "limit": seal.reached(error)}
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass
    return reply


def failure(error, log):
    """The result of a run that raised this, whose traceback goes to `log`."""
    if isinstance(error, (Refused, seal.Unsealed)):
        kind, message = error.kind, str(error)
    else:
        log_exception(log)
        if isinstance(error, MemoryError):
            return {"ok": False, "kind": "memory", "message": "out of memory"}
        kind, message = "exception", f"the module called sys.exit({getattr(error, 'code', None)!r})"
        if not isinstance(error, SystemExit):
            message = "".join(traceback.format_exception_only(type(error), error)).strip()
            # A module that goes on as if nothing was stumbles over what is missing.
            before = getattr(compat.RUN, "failure", None)
            if before and before.partition(": ")[2] not in message:
                message += f" (a call failed before: {before})"
    if len(message) > MAX_MESSAGE:
        message = message[:MAX_MESSAGE] + "…"
    return {"ok": False, "kind": kind, "message": message}


def log_exception(log):
    """The traceback into the run's log."""
    try:
        text = traceback.format_exc()
        log(text[:MAX_TRACEBACK] + "…\n" if len(text) > MAX_TRACEBACK else text)
    except (OSError, MemoryError):
        pass


def log(text):
    """Whatever the module has done to `sys.stderr`."""
    os.write(2, text.encode("utf-8", "backslashreplace"))


def execute(run):
    enter(run)
    if run["module_run"] is None:
        return json.dumps(readiness(run))
    module_run = run["module_run"]
    schema, function = module_of(run)
    inputs, module_run["inputs"] = validated(schema, module_run.get("inputs"))
    compat.RUN.send({"op": "started"})
    result = compat.invoke(function, module_run, inputs, run["component"])
    if isinstance(result, types.CoroutineType):
        import asyncio

        result = asyncio.run(result)
    return text_of(result)


def module_of(run):
    """The module's `InputSchema` and function."""
    schema, function = schema_of(run), function_of(run)
    if isinstance(schema, ImportError):
        if compat.generation(function)[0] != "inputs":
            raise schema
        schema = AnyInputs  # in 2024, not every module had one
    return schema, function


def text_of(result):
    """What a run is answered with."""
    try:
        if isinstance(result, str):
            result.encode()
            return result
        return json.dumps(result, allow_nan=False, default=plain)
    except (TypeError, ValueError) as error:
        raise Refused("result", f"the module returned what is neither text nor JSON: {error}") from error


class AnyInputs(compat.Record):
    """For modules without an `InputSchema`."""

    def model_dump(self):
        return dict(self)


def plain(value):
    """A model as JSON."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def enter(run):
    """The surroundings of a run: environment, folder."""
    os.environ.clear()
    os.environ.update(run["env"])
    network.enter(run["network"])
    os.chdir(run["root"])
    sys.path.insert(0, run["folder"])
    sys.argv = [run["module"]]


def schema_of(run):
    """The module's `InputSchema`, or the error that there is no file for one."""
    try:
        schemas = importlib.import_module(run["schemas"])
    except ModuleNotFoundError as error:
        if error.name == run["schemas"]:
            return error
        raise
    schema = getattr(schemas, "InputSchema", None)
    if schema is None:
        raise Refused("schema", f"`{run['schemas']}` has no class `InputSchema`")
    return schema


def function_of(run):
    entry = importlib.import_module(run["module"])
    function = getattr(entry, run["function"], None)
    if not callable(function):
        raise Refused("entrypoint", f"`{run['module']}` has no function `{run['function']}`")
    return function


def readiness(run):
    """Imports what a run imports, and tells what is wrong with it."""
    try:
        module_of(run)
    except (MemoryError, SystemExit, Refused):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a module raises is what it has to say
        return {
            "error": exception_line(error),
            "traceback": own_traceback(error, run["root"]),
            "missing": error.name if isinstance(error, ModuleNotFoundError) else None,
        }
    return {}


def exception_line(error):
    return traceback.format_exception_only(type(error), error)[-1].strip().splitlines()[0]


def own_traceback(error, root):
    """The traceback in the module's own files, by their paths in its archive."""
    inside = os.path.join(root, "")
    parts = []
    while error is not None and len(parts) < 8:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(inside)]
        text = "".join(traceback.format_list(frames) + traceback.format_exception_only(type(error), error))
        parts.append(("Traceback (most recent call last):\n" if frames else "") + text)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    text = "\nwhich led to:\n\n".join(reversed(parts)).replace(inside, "").strip()
    return text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + "…"


def validated(schema, inputs):
    """The inputs as the module's `InputSchema`, and its dump: defaults are added, unknown keys dropped."""
    try:
        inputs = schema(**(inputs or {}))
        return inputs, inputs.model_dump()
    except (TypeError, ValueError) as error:
        raise Refused("inputs", f"the inputs do not fit `InputSchema`: {error}") from error


def main():
    connection = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        parent(connection)
    except (EOFError, ConnectionError):
        pass
