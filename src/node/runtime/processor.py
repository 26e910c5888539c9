"""The processor time of each run in a shared interpreter, and the end of one that has had too much of it. Standard library only.

A timer strikes each time when this process has used so much. What the main thread has used since then is the run's whose code
it interrupts; what a run's threads use is known exactly. Who has had too much gets `Spent` raised where it is: in its own code, or in what
that has called, never in the node's. Processes that a run starts have the same limit, each for itself, or as much as this one has
had, if that is more.
"""

import os
import resource
import signal
import sys
import threading
import time

from napt_belongings import CURRENT

try:
    import ctypes

    set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc
    set_async_exc.argtypes = [ctypes.c_ulong, ctypes.py_object]
except (ImportError, AttributeError):  # Python was built without it
    set_async_exc = None

# Seconds of processor time between two strikes.
TICK = 0.05

# How many seconds more a run may use until it has ended. Then the interpreter ends, and all runs with it.
GRACE = 3

# Folders of code that is not the module's.
OWN, STANDARD = os.path.dirname(__file__), os.path.dirname(os.__file__)


class Spent(BaseException):
    """The run has used up its processor time."""


# The accounts that threads work for.
AT_WORK = set()


class Account:
    """What one run has used."""

    def __init__(self, run):
        self.run = run
        self.used = 0.0
        self.is_spent = False
        # Of its threads by their numbers: the kernel's number of each, and how much of its time is in `used`.
        self.threads = {}

    def enter(self):
        """This thread works for the run from now on."""
        self.threads[threading.get_ident()] = (threading.get_native_id(), time.thread_time())
        AT_WORK.add(self)

    def leave(self):
        _, counted = self.threads.pop(threading.get_ident(), (None, None))
        if counted is not None:
            self.used += time.thread_time() - counted
        if not self.threads:
            AT_WORK.discard(self)

    def count(self):
        for ident, (native, counted) in list(self.threads.items()):
            try:
                # Linux's number for the clock of a thread; one that has ended has none.
                now = time.clock_gettime((~native << 3) | 6)
            except OSError:
                continue
            if self.threads.get(ident) == (native, counted):
                self.threads[ident] = (native, now)
                self.used += now - counted

    def interrupt(self):
        """Raises `Spent` in its threads."""
        frames = sys._current_frames()
        for ident in list(self.threads):
            if set_async_exc is not None and ident in frames and is_the_runs(frames[ident]):
                set_async_exc(ident, Spent)


class Watch:
    """Looks after all runs. `wire` has them."""

    def __init__(self, limit, wire):
        self.limit, self.wire = limit, wire
        self.pid = os.getpid()
        self.counted = time.thread_time()

    def begin(self):
        # It wakes the loop too, while a thread is at work; system calls go on.
        self.wire.loop.add_signal_handler(signal.SIGPROF, lambda: None)
        signal.signal(signal.SIGPROF, self.strike)
        signal.siginterrupt(signal.SIGPROF, False)
        signal.setitimer(signal.ITIMER_PROF, TICK, TICK)
        # What is started has it too. When this process has had more, Linux moves it on.
        signal.signal(signal.SIGXCPU, self.exceeded)
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        limit = self.limit if hard == resource.RLIM_INFINITY else min(self.limit, hard)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))

    def strike(self, number, frame):
        if os.getpid() != self.pid:
            return
        now = time.thread_time()
        used, self.counted = now - self.counted, now
        accounts = set(AT_WORK)
        run = CURRENT.get()
        current = run.account if run is not None else None
        if current is not None:
            current.used += used
            accounts.add(current)
        for account in accounts:
            account.count()
        # One that is over is ended otherwise.
        spent = [account for account in accounts if account.used >= self.limit and account.run.id in self.wire.runs]
        for account in spent:
            if account.used >= self.limit + GRACE:
                self.wire.give_up([account.run for account in spent])
            if not account.is_spent:
                account.is_spent = True
                self.wire.loop.call_soon_threadsafe(account.run.stop)
            account.interrupt()
        if current in spent and is_the_runs(frame):
            raise Spent

    def exceeded(self, number, frame):
        if os.getpid() != self.pid:
            # One that was forked: it has had its time.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def is_the_runs(frame):
    """Whether code is the run's own, or was called by that."""
    while frame is not None:
        name = frame.f_code.co_filename
        if os.path.dirname(name) == OWN:
            return False
        if not name.startswith((STANDARD, "<")) or "site-packages" in name:
            return True
        frame = frame.f_back
    return False
