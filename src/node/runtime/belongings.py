"""What a run in a shared interpreter starts and changes is the run's: it has the run's context, and goes with the run.

At its end tasks and timers are cancelled, processes killed, what it has changed of the process set back, threads and work in
executors waited for. What then goes on all the same is told, and the interpreter is no good any more. What was there
before the first run is the module's, and stays. Standard library only.
"""

import asyncio
import concurrent.futures.thread
import contextvars
import functools
import locale
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import _posixsubprocess
import _thread

# How long what is left at the end of a run may take to end, in seconds.
PATIENCE = 1

# Timers that a run may have had before those that are over are forgotten.
TIMERS = 64

# The run that code belongs to; none while the module is imported.
CURRENT = contextvars.ContextVar("napt_run", default=None)


class Belongings:
    """Those of one run."""

    def __init__(self):
        self.tasks = set()
        # Those that were told to end.
        self.cancelled = set()
        self.timers = []
        self.most_timers = TIMERS
        # Threads by what stands for them, and work of executors.
        self.threads = set()
        self.work = set()
        # What sets back what it has changed, by what that is.
        self.changed = {}
        self.is_over = False

    def are_gone(self, own):
        """Whether nothing is left but this task of its own: most runs' end, so it takes next to no time."""
        return (
            not self.threads
            and not self.work
            and not self.changed
            and (not self.tasks or (len(self.tasks) == 1 and own in self.tasks))
            and (not self.timers or not self.has_timers())
        )

    def has_timers(self):
        now = time.monotonic()
        return any(not timer.cancelled() and timer.when() > now for timer in self.timers)

    def add_timer(self, timer):
        if len(self.timers) >= self.most_timers:
            now = time.monotonic()
            self.timers = [timer for timer in self.timers if not timer.cancelled() and timer.when() > now]
            self.most_timers = max(TIMERS, 2 * len(self.timers))
        self.timers.append(timer)

    def end(self):
        """Ends what can be ended, and gives what has not ended yet, in words."""
        for timer in self.timers:
            timer.cancel()
        self.timers = []
        for task in list(self.tasks - self.cancelled):
            self.cancelled.add(task)
            task.cancel()
        left = [f"the task `{task.get_name()}`" for task in list(self.tasks) if not task.done()]
        left += [f"the thread `{thread.name}`" for thread in list(self.threads)]
        for work in list(self.work):
            if not work.cancel() and not work.done():
                left.append("work in an executor")
        return left

    def set_back(self):
        """Takes back what it has changed of the process, and gives what cannot be, in words."""
        kept = []
        for what, back in self.changed.items():
            try:
                back()
            except (OSError, TypeError, ValueError) as error:
                kept.append(f"a change by `{what[0]}` ({error})")
        self.changed = {}
        return kept


# --- tasks, timers


class Loop(asyncio.SelectorEventLoop):
    """Tasks and timers are the run's that makes them."""

    def __init__(self):
        super().__init__()
        self.set_task_factory(task_of_run)

    def call_at(self, when, callback, *args, context=None):
        timer = super().call_at(when, callback, *args, context=context)
        run = CURRENT.get()
        if run is not None:
            if run.belongings.is_over:
                timer.cancel()
            else:
                run.belongings.add_timer(timer)
        return timer


def task_of_run(loop, coroutine, **kwargs):
    task = asyncio.Task(coroutine, loop=loop, **kwargs)
    run = CURRENT.get()
    if run is not None:
        run.belongings.tasks.add(task)
        task.add_done_callback(run.belongings.tasks.discard)
        if run.belongings.is_over:
            task.cancel()
    return task


# --- threads


class Bare:
    """Stands for a thread that was started without `threading`."""

    name = "_thread"


def follow_threads():
    start, bootstrap = threading.Thread.start, threading.Thread._bootstrap_inner
    # Of executors: they wait for the next run's work. What they work on is followed.
    worker = concurrent.futures.thread._worker

    def start_in_context(self):
        self._napt_context = contextvars.copy_context()
        run = CURRENT.get()
        if run is None or getattr(self, "_target", None) is worker:
            return start(self)
        run.belongings.threads.add(self)
        try:
            start(self)
        except BaseException:
            run.belongings.threads.discard(self)
            raise

    def bootstrap_in_context(self):
        run = self._napt_context.get(CURRENT)
        if run is None or self not in run.belongings.threads:
            self._napt_context.run(bootstrap, self)
            return
        run.account.enter()
        try:
            self._napt_context.run(bootstrap, self)
        finally:
            run.account.leave()
            run.belongings.threads.discard(self)

    threading.Thread.start, threading.Thread._bootstrap_inner = start_in_context, bootstrap_in_context

    start_bare = _thread.start_new_thread

    def start_new_thread(function, args, kwargs={}):
        run = CURRENT.get()
        if run is None:
            return start_bare(function, args, kwargs)
        context, thread = contextvars.copy_context(), Bare()

        def in_context(*args, **kwargs):
            run.account.enter()
            try:
                context.run(function, *args, **kwargs)
            finally:
                run.account.leave()
                run.belongings.threads.discard(thread)

        run.belongings.threads.add(thread)
        try:
            return start_bare(in_context, args, kwargs)
        except BaseException:
            run.belongings.threads.discard(thread)
            raise

    _thread.start_new_thread = _thread.start_new = start_new_thread

    submit = concurrent.futures.ThreadPoolExecutor.submit

    def submit_in_context(self, function, /, *args, **kwargs):
        run = CURRENT.get()
        if run is None:
            return submit(self, contextvars.copy_context().run, function, *args, **kwargs)
        context = contextvars.copy_context()

        def at_work():
            run.account.enter()
            try:
                return context.run(function, *args, **kwargs)
            finally:
                run.account.leave()

        work = submit(self, at_work)
        run.belongings.work.add(work)
        work.add_done_callback(run.belongings.work.discard)
        return work

    concurrent.futures.ThreadPoolExecutor.submit = submit_in_context


# --- processes


class Processes:
    """Those beside this one: whose they are, and their end."""

    def __init__(self):
        self.is_alone = False
        # Those that were there before the first run.
        self.own = set()
        # The run that has started a process, as far as it was seen.
        self.owners = {}
        # Runs of which one has started a process, where it was not seen.
        self.suspects = {}
        self.killed = set()
        # The list of what process 1 has: this one, and what has come to it since whoever started it has ended.
        self.orphans = None

    def follow(self):
        popen = subprocess.Popen.__init__

        def popen_with_environment(self, *args, **kwargs):
            if len(args) < 11 and kwargs.get("env") is None:
                kwargs["env"] = dict(os.environ)
            popen(self, *args, **kwargs)
            PROCESSES.started(self.pid)

        subprocess.Popen.__init__ = popen_with_environment
        for owner, name in (
            (os, "fork"),
            (os, "posix_spawn"),
            (os, "posix_spawnp"),
            (_posixsubprocess, "fork_exec"),
        ):
            setattr(owner, name, self.followed(getattr(owner, name)))

    def followed(self, start):
        @functools.wraps(start)
        def started(*args, **kwargs):
            pid = start(*args, **kwargs)
            if pid:
                self.started(pid)
            return pid

        return started

    def started(self, pid):
        run = CURRENT.get()
        if run is not None:
            self.owners[pid] = run

    def remember(self, is_alone):
        """What is there now stays. Alone in its PID namespace, this process sees also what detaches itself."""
        self.is_alone = is_alone
        if is_alone:
            try:
                self.orphans = os.open("/proc/1/task/1/children", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:  # a kernel without this list
                pass
        self.own = set(self.others())

    def are_none(self):
        """Whether there are no others, found out by as little as can be."""
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            return False
        except ChildProcessError:
            pass
        if self.is_alone:
            try:
                if os.pread(self.orphans, 64, 0).split() != [b"%d" % os.getpid()]:
                    return False
            except (OSError, TypeError):  # there is no such list
                if self.others():
                    return False
        if self.owners:
            self.owners = {}
        return True

    def others(self):
        """The others and their parents: all of the namespace, or those below this one."""
        parents = {}
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            try:
                with open(f"/proc/{pid}/stat") as file:
                    _, parent, *_ = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            parents[pid] = int(parent)
        me = os.getpid()
        if self.is_alone:
            return {pid: parent for pid, parent in parents.items() if pid not in (1, me)}
        below, grown = {me}, True
        while grown:
            found = {pid for pid, parent in parents.items() if parent in below and pid not in below}
            below, grown = below | found, bool(found)
        return {pid: parents[pid] for pid in below - {me}}

    def owner(self, pid, parents):
        while pid not in self.owners and parents.get(pid) in parents:
            pid = parents[pid]
        return self.owners.get(pid)

    def end_those_of(self, run, others):
        """Kills what is left of a run, and of those before it, and gives what is still there, in words."""
        if self.are_none():
            return []
        parents, others = self.others(), set(others)
        left = []
        for pid in parents.keys() - self.own:
            owner = self.owner(pid, parents)
            # One that has detached itself is of any of those that went on when it was found.
            whose = {owner} if owner is not None else self.suspects.setdefault(pid, others | {run})
            if whose & others:
                continue
            left.append(f"the process {pid}")
            try:
                os.kill(pid, signal.SIGKILL)
                # Whoever waits for it has had the time to.
                if pid in self.killed and parents[pid] == os.getpid():
                    os.waitpid(pid, os.WNOHANG)
            except OSError:
                pass
            self.killed.add(pid)
        self.killed &= parents.keys()
        for known in (self.owners, self.suspects):
            for pid in known.keys() - parents.keys():
                known.pop(pid, None)
        return left


PROCESSES = Processes()


# --- what is the process's, and there once for all runs

# As the module's import has left it, which is how runs find it.
BEFORE = {}


def remember(is_alone):
    """What is so now, once the module is imported, stays so."""
    PROCESSES.remember(is_alone)
    mask = os.umask(0)
    os.umask(mask)
    BEFORE.update(
        folder=os.getcwd(),
        mask=mask,
        locale=locale.setlocale(locale.LC_ALL),
        depth=sys.getrecursionlimit(),
        interval=sys.getswitchinterval(),
        signals={number: signal.getsignal(number) for number in signal.valid_signals()},
        timers={which: signal.getitimer(which)[1] for which in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)},
        limits={number: resource.getrlimit(number) for name, number in vars(resource).items() if name[:7] == "RLIMIT_"},
        priority=os.getpriority(os.PRIO_PROCESS, 0),
        variables=dict(os.environb._data),
        streams=(sys.stdout, sys.stderr),
    )


def follow_changes():
    """Functions that change the whole process, and how each change is set back."""
    chdir, umask, setlocale, put, unset = os.chdir, os.umask, locale.setlocale, os.putenv, os.unsetenv
    depth, interval = sys.setrecursionlimit, sys.setswitchinterval
    handler, alarm, timer = signal.signal, signal.alarm, signal.setitimer
    limit, priority = resource.setrlimit, os.setpriority

    def variable(name):
        value = BEFORE["variables"].get(os.fsencode(name))
        unset(name) if value is None else put(name, value)

    follow_change(os, "chdir", lambda _: chdir(BEFORE["folder"]))
    follow_change(os, "fchdir", lambda _: chdir(BEFORE["folder"]))
    follow_change(os, "umask", lambda _: umask(BEFORE["mask"]))
    follow_change(locale, "setlocale", lambda _: setlocale(locale.LC_ALL, BEFORE["locale"]))
    follow_change(sys, "setrecursionlimit", lambda _: depth(BEFORE["depth"]))
    follow_change(sys, "setswitchinterval", lambda _: interval(BEFORE["interval"]))
    follow_change(signal, "signal", lambda number: handler(number, BEFORE["signals"][number]))
    follow_change(signal, "alarm", lambda _: alarm(0))
    follow_change(signal, "setitimer", lambda which: timer(which, *2 * [BEFORE["timers"][which]]))
    follow_change(resource, "setrlimit", lambda number: limit(number, BEFORE["limits"][number]))
    follow_change(os, "nice", lambda _: priority(os.PRIO_PROCESS, 0, BEFORE["priority"]))
    follow_change(os, "setpriority", lambda _: priority(os.PRIO_PROCESS, 0, BEFORE["priority"]))
    follow_change(os, "putenv", variable)
    follow_change(os, "unsetenv", variable)


def follow_change(owner, name, back):
    """Runs that call this are known. `back` is given what their first argument was."""
    change = getattr(owner, name)

    @functools.wraps(change)
    def changed(first, *args, **kwargs):
        result = change(first, *args, **kwargs)
        run = CURRENT.get()
        if run is not None:
            run.belongings.changed[name, first] = functools.partial(back, first)
        return result

    setattr(owner, name, changed)


# --- the end of a run


def follow():
    """From now on it is known what is whose."""
    follow_threads()
    PROCESSES.follow()
    follow_changes()


def are_gone(run):
    """Whether a run has left nothing."""
    return (
        run.belongings.are_gone(run.task)
        and (sys.stdout, sys.stderr) == BEFORE["streams"]
        and PROCESSES.are_none()
    )


async def settle(run, others):
    """Ends what a run has left, while `others` go on, and gives what goes on all the same, in words."""
    until, pause = time.monotonic() + PATIENCE, 0.0005
    while True:
        left = run.belongings.end() + PROCESSES.end_those_of(run, others)
        if not left or time.monotonic() > until:
            break
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.05)
    run.belongings.is_over = True
    sys.stdout, sys.stderr = BEFORE["streams"]
    return left + run.belongings.set_back()
