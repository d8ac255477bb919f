"""Processes that end when they should: with who started them, and with all that they started.

    python -m segnb.processes PID MODULE ARGUMENT ...

is `python -m MODULE ARGUMENT ...` that ends with the process PID, which has to be its parent. Snakemake, the
steps that it starts, and kernels are run in this way.
"""

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

import psutil

EVERY = 0.5  # seconds between two looks at who the parent is


class Terminated(KeyboardInterrupt):
    """SIGTERM as an exception: whatever cleans up after Ctrl-C cleans up after it too."""


@contextmanager
def stoppable() -> Iterator[None]:
    """In here SIGTERM raises Terminated, SIGINT KeyboardInterrupt; what comes after the first of them is
    ignored, because cleaning up has begun. For the main thread."""
    came: list[type[KeyboardInterrupt]] = []

    def stop(number: int, frame) -> None:
        for one in before:
            signal.signal(one, signal.SIG_IGN)
        came.append(Terminated if number == signal.SIGTERM else KeyboardInterrupt)
        raise came[0]

    # One that is ignored from outside, as Ctrl-C is by what a script starts in the background, stays so.
    before = {
        number: handler
        for number in (signal.SIGTERM, signal.SIGINT)
        if (handler := signal.getsignal(number)) != signal.SIG_IGN
    }
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    except Exception:
        if came:  # native code that it passed through has made an error of its own of it
            raise came[0] from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with_parent(parent: int | None = None) -> None:
    """From here on this process, and all that it started, ends when its parent does, however that ended.

    parent: the parent's pid, where it is known: one that ended before this call is noticed too
    """
    parent = parent or os.getppid()

    def watch() -> None:
        while os.getppid() == parent:  # not a look for pid 1: who adopts orphans differs
            time.sleep(EVERY)
        _kill(started_by(os.getpid()), os.getpid())
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="end_with_parent", daemon=True).start()


def stop(process: subprocess.Popen, grace: float, started: Collection[psutil.Process] = ()) -> int:
    """End a child and all that it started: SIGTERM, and SIGKILL for what is left after `grace` seconds, or is
    halted, which it could wait for in vain.

    started: what `started_by` gave before, if it may have left in the meantime

    Returns its exit code, negative for a signal.
    """
    until = time.monotonic() + grace
    told: set[psutil.Process] = set()
    while True:
        below = started_by(process.pid).union(started)  # anew each time: until it ends it may start others
        if process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                below.add(psutil.Process(process.pid))
        for one in below - told:
            with suppress(psutil.Error):
                one.terminate()
        told |= below
        if not any(map(_runs, told)) or time.monotonic() > until:
            break
        time.sleep(0.05)
    killed = _kill(told, process.pid)
    until = time.monotonic() + 1  # one that hangs in the system itself is not waited for
    while any(map(_runs, killed)) and time.monotonic() < until:
        time.sleep(0.01)
    return process.wait()


def started_by(pid: int) -> set[psutil.Process]:
    """What descends from a process or, where it leads a session, is in that: children of a process that was
    killed are nobody's descendants any more."""
    found: set[psutil.Process] = set()
    with suppress(psutil.NoSuchProcess):
        found.update(psutil.Process(pid).children(recursive=True))
    for other in psutil.pids():
        with suppress(OSError, psutil.Error):
            if other != pid and os.getsid(other) == pid:
                found.add(psutil.Process(other))
    return found


def _kill(known: set[psutil.Process], pid: int) -> set[psutil.Process]:
    """SIGKILL to processes and to whatever `pid` has started in the meantime. Returns all of them."""
    seen: set[psutil.Process] = set()
    new = known
    while new:  # all are halted first, so that none can start another
        for one in new:
            with suppress(psutil.Error):
                one.suspend()
        seen |= new
        new = started_by(pid) - seen
    for one in seen:
        with suppress(psutil.Error):
            one.kill()
    return seen


def _runs(process: psutil.Process) -> bool:
    """Whether it is there and does something: it has not ended, nor is it halted."""
    with suppress(psutil.NoSuchProcess):
        idle = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD, psutil.STATUS_STOPPED)
        return process.is_running() and process.status() not in idle
    return False


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    del sys.argv[:2]  # MODULE stands for the program's name, until runpy puts its path there
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
