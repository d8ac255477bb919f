"""Processes that end with the process that started them, and take along what they started themselves.

    python -m segnb.runtime.processes PID MODULE ARGUMENT ...

is `python -m MODULE ARGUMENT ...` that ends with the process PID, which must be its parent. Snakemake, the
steps that it starts, and kernels run in this way.
"""

import contextlib
import itertools
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress

import numpy as np
import psutil
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from tqdm import tqdm

from segnb.errors import SegnbError
from segnb.runtime.machine import usable_cores

EVERY = 0.5  # seconds between two looks at who the parent is


class Terminated(KeyboardInterrupt):
    """SIGTERM as an exception: whatever cleans up after Ctrl-C cleans up after it too."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise Terminated on SIGTERM and KeyboardInterrupt on SIGINT; for the main thread.

    Signals after the first one are ignored, because cleaning up has begun.
    """
    received: list[type[KeyboardInterrupt]] = []

    def interrupt(number: int, frame) -> None:
        for handled in before:
            signal.signal(handled, signal.SIG_IGN)
        received.append(Terminated if number == signal.SIGTERM else KeyboardInterrupt)
        raise received[0]

    # A signal that is ignored from outside, as Ctrl-C is in what a script starts in the background, stays so.
    before = {
        number: handler
        for number in (signal.SIGTERM, signal.SIGINT)
        if (handler := signal.getsignal(number)) != signal.SIG_IGN
    }
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    except Exception:
        if received:  # native code that the signal passed through has made an error of its own of it
            raise received[0] from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with_parent(parent: int | None = None) -> None:
    """End this process, and all below it, when its parent ends, however that happens.

    Args:
        parent: the parent's pid, where it is known: then a parent that ended before this call is noticed too
    """
    parent = parent or os.getppid()

    def watch() -> None:
        while os.getppid() == parent:  # not a look for pid 1: who adopts orphans differs
            time.sleep(EVERY)
        _kill_below(os.getpid())
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="end_with_parent", daemon=True).start()


def stop(process: subprocess.Popen, grace: float) -> int:
    """End a child process and all below it: SIGTERM, then SIGKILL for what is left.

    Args:
        process: the child
        grace: seconds between the two, less if nothing but halted processes is left

    Returns:
        The child's exit code, negative for a signal.
    """
    tree = _tree(process.pid) if process.poll() is None else []
    for each in tree:
        with suppress(psutil.Error):
            each.terminate()
    until = time.monotonic() + grace
    while any(map(_runs, tree)) and time.monotonic() < until:
        time.sleep(0.05)
    _kill_below(process.pid, tree)
    process.kill()
    return process.wait()


def _tree(pid: int) -> list[psutil.Process]:
    """A process and its descendants; [] if it has ended."""
    with suppress(psutil.NoSuchProcess):
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    return []


def _kill_below(pid: int, tree: Iterable[psutil.Process] = ()) -> None:
    """SIGKILL to `tree` and to all below a process, and to its group if it leads one."""
    for each in [*tree, *_tree(pid)]:
        if each.pid != pid:
            with suppress(psutil.Error):
                each.kill()
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL)  # also reaches processes whose own parent is gone


def _runs(process: psutil.Process) -> bool:
    """Whether a process has neither ended nor been halted."""
    with suppress(psutil.NoSuchProcess):
        idle = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD, psutil.STATUS_STOPPED)
        return process.is_running() and process.status() not in idle
    return False


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    del sys.argv[:2]  # MODULE stands for the program's name, until runpy puts its path there
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


@contextlib.contextmanager
def at_work(
    task: Callable, jobs: list[tuple], title: str, processes: int | None = None, told: bool = True
) -> Iterator[Iterator]:
    """Iterator of task(*job) in the order of the jobs, done here or by worker processes.

    task: a function of a module, which workers import
    processes: worker processes of one thread each, by default one a usable core
    told: whether stderr says how far they are, see `progress`

    Raises ValueError for processes below 1, and SegnbError if a worker process dies.
    """
    if processes is not None and processes < 1:
        raise ValueError(f"processes: {processes} is too few; give at least 1, or None for one a core")
    processes = min(len(jobs), processes or usable_cores())

    def counted(results: Iterable) -> Iterator:
        return progress(results, title, len(jobs), "scene") if told else iter(results)

    if processes == 1:
        yield counted(itertools.starmap(task, jobs))
        return
    # Spawned, not forked: a fork of a Jupyter kernel copies its threads' locks in whatever state they are.
    # An executor, not a Pool: when a worker dies (out of memory, no main guard) it raises, a Pool waits.
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin, (os.getpid(),))
    try:
        yield counted(pool.map(task, *zip(*jobs, strict=True)))
    except BrokenProcessPool:
        raise SegnbError(
            "a process that renders scenes died: give it more memory, or processes=1; a script that calls"
            ' render() needs the line if __name__ == "__main__":'
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(parent: int) -> None:
    end_with_parent(parent)  # a worker waits for jobs for ever, even if who gives them has been killed
    one_thread()


def one_thread() -> None:
    """Keep Embree from starting a thread a core in each worker.

    Its thread pool is as large as the cores that the process may use when the first scene is built, so
    for that moment there is one. NumPy needs no such care: nothing here goes through BLAS.
    """
    if hasattr(os, "sched_setaffinity"):
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
        first = EmbreeScene()
        TriangleMesh(first, np.eye(3, dtype=np.float32)[None])
        first.run(np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32))
        os.sched_setaffinity(0, cores)


def progress(results: Iterable, title: str, total: int, unit: str) -> Iterator:
    """The results unchanged; on stderr a bar where a person watches, and a line every tenth elsewhere."""
    if sys.stderr.isatty():
        yield from tqdm(results, desc=title, total=total, unit=unit)
        return
    for done, result in enumerate(results, 1):
        yield result
        if done * 10 // total > (done - 1) * 10 // total:
            print(f"{title}: {done} of {total} {unit}s", file=sys.stderr, flush=True)
