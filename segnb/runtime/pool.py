"""Worker processes that render scenes, and how far they are."""

import itertools
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from tqdm import tqdm

from segnb.errors import SegnbError
from segnb.runtime.machine import usable_cores
from segnb.runtime.processes import end_with_parent

WORTH_IT = 6  # scenes per worker process: it takes as long to start as they to render


@contextmanager
def at_work(
    task: Callable, jobs: list[tuple], title: str, processes: int | None = None, told: bool = True
) -> Iterator[Iterator]:
    """Iterator of task(*job) in the order of the jobs, done here or by worker processes.

    task: a function of a module, which workers import
    processes: worker processes of one thread each; by default one per usable core, fewer for few jobs
    told: whether stderr says how far they are, see `progress`

    Raises ValueError for processes below 1, and SegnbError if a worker process dies.
    """
    if processes is not None and processes < 1:
        raise ValueError(f"processes: {processes} is too few; give at least 1, or None for one a core")
    processes = min(len(jobs), processes or min(len(jobs) // WORTH_IT or 1, usable_cores()))

    def counted(results: Iterable) -> Iterator:
        return progress(results, title, len(jobs), "scene") if told else iter(results)

    if processes == 1:
        yield counted(itertools.starmap(task, jobs))
        return
    # Spawned, not forked: a fork of a Jupyter kernel copies its threads' locks in whatever state they are.
    # An executor, not a Pool: when a worker dies (out of memory, no main guard) it raises, a Pool waits.
    try:  # its locks need /dev/shm, which a container may not have
        pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin, (os.getpid(),))
    except (OSError, NotImplementedError) as error:
        print(f"{title}: by one process, because there can be no others here ({error})", file=sys.stderr)
        yield counted(itertools.starmap(task, jobs))
        return
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
