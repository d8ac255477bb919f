"""Worker processes that render scenes, and their progress on stderr."""

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

PROCESSES = "SEGNB_PROCESSES"  # variable with the number of workers, for steps that share the machine
WORTH_IT = 6  # scenes that render in the time in which a worker process starts


@contextmanager
def at_work(
    task: Callable, jobs: list[tuple], title: str, processes: int | None = None, verbose: bool = True
) -> Iterator[Iterator]:
    """Give an iterator of task(*job) in the order of the jobs, computed here or by worker processes.

    Args:
        task: function of a module, which workers import
        jobs: arguments of each call
        title: of the progress on stderr
        processes: number of workers with one thread each; None: as many as `PROCESSES` says, or else one per
            usable core, and fewer for few jobs
        verbose: whether to print progress, see `progress`

    Raises:
        ValueError: `processes` is below 1.
        SegnbError: a worker process died.
    """
    if processes is not None and processes < 1:
        raise ValueError(f"processes={processes}: too few (expected at least 1, or None for one per core)")
    cores = int(os.environ.get(PROCESSES) or 0) or usable_cores()
    processes = min(len(jobs), processes or min(len(jobs) // WORTH_IT or 1, cores))

    pool = None
    if processes > 1:
        # Spawn, because a forked Jupyter kernel would copy the locks of its threads in any state. Use an
        # executor, because it raises if a worker dies (out of memory, no main guard), while a Pool would
        # wait.
        spawn = multiprocessing.get_context("spawn")
        try:  # its locks need /dev/shm, which a container may lack
            pool = ProcessPoolExecutor(processes, spawn, _begin, (os.getpid(),))
        except (OSError, NotImplementedError) as error:
            told = f"{title}: using a single process, because no other can be started ({error})"
            print(told, file=sys.stderr)
    try:
        results = pool.map(task, *zip(*jobs, strict=True)) if pool else itertools.starmap(task, jobs)
        yield progress(results, title, len(jobs), "scene") if verbose else iter(results)
    except BrokenProcessPool:
        raise SegnbError(
            "a process that renders scenes died. Use a machine with more memory, or processes=1. A script"
            ' that calls render() needs the line if __name__ == "__main__":'
        ) from None
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)


def _begin(parent: int) -> None:
    """Begin a worker: it ends with its parent, and Embree uses a single thread in it.

    Embree's thread pool is as large as the number of cores that the process may use when it builds its first
    scene, so this builds one with a single core allowed. NumPy needs nothing like it, because rendering does
    not use BLAS.
    """
    end_with_parent(parent)  # or a worker would wait for jobs for ever after its parent was killed
    if hasattr(os, "sched_setaffinity"):
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
        first = EmbreeScene()
        TriangleMesh(first, np.eye(3, dtype=np.float32)[None])
        first.run(np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32))
        os.sched_setaffinity(0, cores)


def progress(results: Iterable, title: str, total: int, unit: str) -> Iterator:
    """Yield the results, with a progress bar on a terminal, and elsewhere one line per tenth on stderr."""
    if sys.stderr.isatty():
        yield from tqdm(results, desc=title, total=total, unit=unit)
        return
    for done, result in enumerate(results, 1):
        yield result
        if done * 10 // total > (done - 1) * 10 // total:
            print(f"{title}: {done} of {total} {unit}s", file=sys.stderr, flush=True)
