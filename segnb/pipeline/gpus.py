"""Give each run a GPU: its own where there are enough, one shared with others otherwise.

Snakemake counts GPUs but hands none out, and two project folders know nothing of each other. So a run takes a
place on a GPU itself: a file to lock, in a folder of the user's under the system's temporary one. A scheduler
that has chosen a GPU, as Slurm does, is left alone.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path

from filelock import AcquireReturnProxy, FileLock, Timeout

from segnb.errors import SegnbError

VISIBLE = "CUDA_VISIBLE_DEVICES"
SHARED = "SEGNB_RUNS_PER_GPU"  # set by `segnb report` if more runs go side by side than there are GPUs
PAUSE = 2.0  # seconds between two looks for a free place


def available() -> list[str]:
    """Return the GPUs that this process may choose from, as CUDA_VISIBLE_DEVICES names them.

    [] where there is nothing to choose: without NVIDIA GPUs, in a Slurm job, or if CUDA_VISIBLE_DEVICES names
    a single one.
    """
    named = os.environ.get(VISIBLE)
    if named is not None:
        return named.split(",") if "," in named else []
    program = shutil.which("nvidia-smi")
    if program is None or "SLURM_JOB_ID" in os.environ:
        return []
    listing = subprocess.run([program, "--list-gpus"], capture_output=True, text=True).stdout
    return [str(index) for index in range(sum(line.startswith("GPU ") for line in listing.splitlines()))]


@contextmanager
def claimed() -> Iterator[str | None]:
    """Let CUDA see one GPU alone until the block ends; give its name, or None if there is nothing to choose.

    Enter it before torch touches a GPU: CUDA reads CUDA_VISIBLE_DEVICES once. Processes that are started
    inside get the same GPU. While all places are taken, this waits and says so.
    """
    gpus = available()
    if not gpus:
        yield None
        return
    before = os.environ.get(VISIBLE)
    gpu, lock = _wait_for_place(gpus, int(os.environ.get(SHARED, 1)))
    with lock:
        os.environ[VISIBLE] = gpu
        try:
            yield gpu
        finally:
            if before is None:
                del os.environ[VISIBLE]
            else:
                os.environ[VISIBLE] = before


def _wait_for_place(gpus: list[str], places: int) -> tuple[str, AcquireReturnProxy]:
    """Lock a free place. The first place of every GPU comes before any second one."""
    folder = _folder()
    waiting = False
    while True:
        for place, gpu in product(range(places), gpus):
            with suppress(Timeout):
                return gpu, FileLock(folder / f"{gpu}-{place}.lock").acquire(blocking=False)
        if not waiting:
            print("waiting for a GPU: other runs have them all", flush=True)
            waiting = True
        time.sleep(PAUSE)


def _folder() -> Path:
    """Return the folder of the locks. Raises SegnbError if somebody else has put something there."""
    folder = Path(tempfile.gettempdir()) / f"segnb-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise SegnbError(f"{folder} belongs to another user; remove it, or set TMPDIR to a folder of yours")
    return folder
