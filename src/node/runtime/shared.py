"""The Python side of `isolation = "shared"`: one interpreter that runs one module for one user, many runs at once.

Standard library only. Frames as in `runner.py`, all on the standard input, so that a run needs no descriptors. What
belongs to a run is a pair of its id and the frame:

    node → interpreter  start {root, folder, module, …}     once; `alone` in its PID namespace, or not
    interpreter → node  ready {asynchronous}, or failed {kind, message, traceback}
    node → interpreter  [RUN, run {env, module_run}]
    node → interpreter  [RUN, stop]                         nobody waits for it any more
    node → interpreter  [RUN, answer {…}]                   as a child's
    interpreter → node  [RUN, output {stream, text}]        what it prints
    interpreter → node  [RUN, started | call | cancel | result {…}]   as a child's; with `left`, this interpreter is to
                                                            have no more runs

An `async` function is a task of the one event loop, any other has a thread. A run is known by its context: environment,
output and calls are its own, whatever else the interpreter has is everybody's.

What a run starts and changes is in `belongings.py`, its processor time in `processor.py`.
"""

import asyncio
import codecs
import collections
import contextvars
import inspect
import io
import os
import resource
import socket
import struct
import sys
import threading

import napt_belongings as belongings
import napt_compat as compat
import napt_network as network
import napt_processor as processor
import napt_runner as runner
import napt_seal as seal

# Bytes of what a run prints that go out in one piece, should it end no line.
PIECE = 64 * 1024

# Calls that a run has in flight; the node reads no more of them either.
WINDOW = 4096

# Bytes of the stack of a thread that runs a function; it counts against the interpreter's memory.
STACK = 2 * 1024 * 1024

# Processes that are none of a run's: the launcher's two, and this one.
OWN_PROCESSES = 3


CURRENT = belongings.CURRENT

# The end of a run that has used up its processor time. It was interrupted, and nobody knows in what.
SPENT = {"ok": False, "kind": "limit", "message": "", "limit": "cpu", "left": True}


class Run(compat.Run):
    """One of the runs in this interpreter."""

    def __init__(self, wire, id, frame):
        super().__init__(None, frame["module_run"], frame["env"])
        self.wire = wire
        self.id = id
        self.environ = {**BASE, **{os.fsencode(name): os.fsencode(value) for name, value in frame["env"].items()}}
        self.budget = frame["output"]
        self.network = frame["network"]
        # What has been printed and not sent: a decoder and the text by stream.
        self.printed = {}
        # Also what goes out of scope meanwhile may print.
        self.printing = threading.RLock()
        self.task = None
        self.belongings = belongings.Belongings()
        self.account = processor.Account(self)
        self.stopped = False
        self.flying = set()
        self.queued = collections.OrderedDict()
        # The places that it was told it cannot reach.
        self.told = set()

    # Calls

    def listen(self):
        return self.wire  # it reads already

    def send(self, message, **options):
        frame = compat.encode([self.id, message], **options)
        if message["op"] == "call":
            if len(frame) > compat.MAX_CALL:
                raise ValueError(f"the call is larger than {compat.MAX_CALL >> 20} MiB")
            with self.sending:
                if len(self.flying) >= WINDOW:
                    self.queued[message["id"]] = frame
                    return
                self.flying.add(message["id"])
        elif message["op"] == "cancel":
            with self.sending:
                if self.queued.pop(message["id"], None) is not None:
                    return
            self.landed(message["id"])
        self.wire.put(frame)
        if message["op"] == "output":
            # The last words of one that never lets the loop go on.
            self.wire.flush()

    def landed(self, number):
        """There is room for another call."""
        with self.sending:
            self.flying.discard(number)
            if not self.queued:
                return
            number, frame = self.queued.popitem(last=False)
            self.flying.add(number)
        self.wire.put(frame)

    def answered(self, answer):
        self.landed(answer["id"])
        loop, future = self.waiting.pop(answer["id"], (None, None))
        if loop is self.wire.loop:
            compat.settle(future, answer)
        elif future is not None:
            try:
                loop.call_soon_threadsafe(compat.settle, future, answer)
            except RuntimeError:  # the loop has been closed: nobody waits
                pass

    # Output

    def print(self, stream, data):
        with self.printing:
            if self.budget < 0:
                return  # the node ends it
            self.budget -= len(data)
            decoder, text = self.printed.get(stream) or (codecs.getincrementaldecoder("utf-8")("replace"), "")
            text += decoder.decode(data)
            end = len(text) if len(text) > PIECE else text.rfind("\n") + 1
            self.printed[stream] = (decoder, text[end:])
            if end:
                self.send({"op": "output", "stream": stream, "text": text[:end]})

    def flush(self):
        with self.printing:
            for stream, (decoder, text) in self.printed.items():
                text += decoder.decode(b"", True)
                if text:
                    self.send({"op": "output", "stream": stream, "text": text})
            self.printed = {}

    def log(self, text):
        self.print("stderr", text.encode("utf-8", "backslashreplace"))

    # From its beginning to its end

    def begin(self):
        context = contextvars.copy_context()
        context.run(CURRENT.set, self)
        if MODULE.asynchronous:
            self.task = context.run(self.wire.loop.create_task, self.perform())
            return
        MODULE.has_thread(1)
        before = threading.stack_size(STACK)
        try:
            threading.Thread(target=context.run, args=(self.perform_in_thread,), daemon=True).start()
        except RuntimeError as error:
            self.end({"ok": False, "kind": "exception", "message": f"the interpreter has no more threads: {error}"})
        finally:
            threading.stack_size(before)

    def invoke(self):
        inputs, self.module_run["inputs"] = runner.validated(MODULE.schema, self.module_run.get("inputs"))
        self.send({"op": "started"})
        return compat.invoke(MODULE.function, self.module_run, inputs, MODULE.component)

    async def perform(self):
        try:
            result = self.invoke()
            if inspect.isawaitable(result):
                result = await result
            reply = {"ok": True, "result": runner.text_of(result)}
        except BaseException as error:  # noqa: BLE001 - whatever a module raises is its run's error
            reply = self.raised(error)
        self.end(reply)

    def perform_in_thread(self):
        self.account.enter()
        try:
            result = self.invoke()
            if inspect.iscoroutine(result):
                result = asyncio.run(result)
            reply = {"ok": True, "result": runner.text_of(result)}
        except BaseException as error:  # noqa: BLE001 - whatever a module raises is its run's error
            reply = self.raised(error)
        self.account.leave()
        self.wire.loop.call_soon_threadsafe(self.end, reply)

    def raised(self, error):
        if self.stopped and isinstance(error, asyncio.CancelledError):
            return {"ok": False, "kind": "stopped", "message": "stopped"}
        return {**runner.failure(error, self.log), "limit": seal.reached(error)}

    def stop(self):
        self.stopped = True
        if self.task is not None:
            self.task.cancel()

    def end(self, reply):
        self.wire.runs.pop(self.id, None)
        if self.task is None:
            MODULE.has_thread(-1)
        if belongings.are_gone(self):
            self.belongings.is_over = True
            self.tell(reply)
        else:
            # In nobody's context.
            settling = contextvars.Context().run(self.wire.loop.create_task, self.settle(reply))
            self.wire.settling.add(settling)
            settling.add_done_callback(self.wire.settling.discard)

    async def settle(self, reply):
        left = await belongings.settle(self, self.wire.runs.values())
        if left:
            more = f", and {len(left) - 3} more" if len(left) > 3 else ""
            self.log(f"napt: the run leaves {', '.join(left[:3])}{more}: its interpreter takes no more runs\n")
            reply["left"] = True
        self.tell(reply)

    def tell(self, reply):
        self.flush()
        if self.account.is_spent:
            reply = SPENT
        frame = compat.encode([self.id, {"op": "result", **reply}])
        if len(frame) > compat.MAX_CALL:
            message = f"result limit of {compat.MAX_CALL >> 20} MiB reached"
            reply = {"ok": False, "kind": "result", "message": message, "left": reply.get("left", False)}
            frame = compat.encode([self.id, {"op": "result", **reply}])
        self.wire.put(frame)


class Wire(asyncio.Protocol):
    """The socket to the node. Frames leave in the order in which they were put, from whichever thread."""

    def __init__(self, loop):
        self.loop = loop
        self.thread = threading.get_ident()
        self.runs = {}
        # Runs that are over but for what they have left.
        self.settling = set()
        self.received = bytearray()
        self.out = collections.deque()
        self.is_due = False

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, error):
        os._exit(0)

    def data_received(self, data):
        received = self.received
        received += data
        at = 0
        while len(received) - at >= 4:
            (length,) = struct.unpack_from(">I", received, at)
            if len(received) - at - 4 < length:
                break
            self.handle(*runner.json.loads(received[at + 4 : at + 4 + length]))
            at += 4 + length
        del received[:at]

    def handle(self, id, message):
        if message["op"] == "run":
            run = self.runs[id] = Run(self, id, message)
            run.begin()
            return
        run = self.runs.get(id)
        if run is None:
            return  # it has ended meanwhile
        if message["op"] == "answer":
            run.answered(message)
        elif message["op"] == "stop":
            run.stop()

    def put(self, frame):
        self.out.append(frame)
        if threading.get_ident() != self.thread:
            self.loop.call_soon_threadsafe(self.flush)
        elif not self.is_due:
            # Once for all that is put meanwhile.
            self.is_due = True
            self.loop.call_soon(self.flush)

    def give_up(self, spent):
        """Ends this process, and these runs for having used too much; those beside them end with it."""
        for run in spent:
            self.out.append(compat.encode([run.id, {"op": "result", **SPENT}]))
        self.flush()
        os._exit(70)

    def flush(self):
        if threading.get_ident() != self.thread:
            return  # it is due
        self.is_due = False
        frames = []
        while self.out:
            frames.append(self.out.popleft())
        self.transport.write(b"".join(frames))


# --- what is a run's own


class Current:
    """In the place of `compat.RUN`: the run that asks."""

    def __bool__(self):
        return CURRENT.get() is not None

    def __getattr__(self, name):
        return getattr(CURRENT.get(), name)

    def __setattr__(self, name, value):
        setattr(CURRENT.get(), name, value)


# What the environment is outside of runs; theirs go over it.
BASE = {}


class Environ(type(os.environ)):
    """`os.environ` of the run that asks. Nothing goes into the process's own."""

    @property
    def _data(self):
        run = CURRENT.get()
        return BASE if run is None else run.environ

    def __setitem__(self, key, value):
        key, value = self.encodekey(key), self.encodevalue(value)
        self._data[key] = value

    def __delitem__(self, key):
        encoded = self.encodekey(key)
        try:
            del self._data[encoded]
        except KeyError:
            raise KeyError(key) from None


class Output(io.RawIOBase):
    """What is printed goes into the log of the run that prints."""

    def __init__(self, stream):
        self.stream = stream

    def writable(self):
        return True

    def write(self, data):
        run = CURRENT.get()
        if run is not None:
            run.print(self.stream, bytes(data))
        return len(data)


class Told:
    """In the place of `network.told`: each run's log tells of the places that it tried."""

    def __contains__(self, place):
        run = CURRENT.get()
        return run is None or place in run.told

    def __len__(self):
        return len(CURRENT.get().told)

    def add(self, place):
        CURRENT.get().told.add(place)


def separate():
    """Environment and output."""
    network.told = Told()
    BASE.update(os.environ._data)
    for environ in (os.environ, os.environb):
        environ.__class__ = Environ
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(Output(stream), "utf-8", "backslashreplace", write_through=True)
        for stream in ("stdout", "stderr")
    )
    compat.RUN = Current()


@compat.after_import("tempfile")
def own_temporary_folder(module):
    """The folder of the run instead of the first one's."""
    original = module._gettempdir

    def _gettempdir():
        return os.environ["TMPDIR"] if CURRENT.get() is not None else original()

    module._gettempdir = _gettempdir


# --- the program


class Module:
    """The module: its `InputSchema`, its function, and whether that is asynchronous."""

    # Processes and threads that all runs may have together, beside the threads that they are given.
    processes = None
    threads = 0
    set_limit = resource.setrlimit

    def has_thread(self, more):
        self.threads += more
        if self.processes is not None:
            _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
            most = self.processes + self.threads
            self.set_limit(resource.RLIMIT_NPROC, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


MODULE = Module()


def imported(start):
    """Imports the module; what the node is told of it."""
    printed = []
    try:
        MODULE.schema, MODULE.function = runner.module_of(start)
    except BaseException as error:  # noqa: BLE001 - whatever a module raises is what it has to say
        reply = runner.failure(error, printed.append)
        return {"op": "failed", "kind": reply["kind"], "message": reply["message"], "traceback": "".join(printed)}
    MODULE.asynchronous = inspect.iscoroutinefunction(MODULE.function)
    MODULE.component = start["component"]
    return {"op": "ready", "asynchronous": MODULE.asynchronous}


def serve(sock):
    start = compat.receive(sock)
    compat.install()
    network.install()
    separate()
    belongings.follow()
    limits = start["limits"]
    seal.limit_memory(limits["memory"])
    seal.bound(resource.RLIMIT_NOFILE, limits["files"])
    seal.bound(resource.RLIMIT_FSIZE, limits["file_size"])
    network.enter(start["network"])
    os.chdir(start["root"])
    sys.path.insert(0, start["folder"])
    sys.argv = [start["module"]]
    reply = imported(start)
    compat.send(sock, reply)
    if reply["op"] == "failed":
        return
    if start["alone"]:
        # Elsewhere all that the node's user runs would count.
        MODULE.processes = limits["processes"] + OWN_PROCESSES
        MODULE.has_thread(0)
    loop = belongings.Loop()
    asyncio.set_event_loop(loop)
    wire = Wire(loop)
    processor.Watch(limits["cpu"], wire).begin()
    belongings.remember(start["alone"])
    loop.run_until_complete(loop.create_unix_connection(lambda: wire, sock=sock))
    runner.gc.collect()
    runner.gc.freeze()
    while True:
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):
            pass  # of a task that a run has left; the other runs go on


def main():
    connection = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    # The node's end is this one's, whatever the module is doing.
    seal.control(seal.PR_SET_PDEATHSIG, runner.signal.SIGKILL)
    try:
        serve(connection)
    except (EOFError, ConnectionError):
        pass
