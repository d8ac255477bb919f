"""Which GPU a run takes: its own where there are several, and one with others where they fit.

Snakemake counts GPUs but hands none out, and two project folders know nothing of each other. So a run takes
its share itself: a GPU's memory is cut into GiB, each of them a file to lock, in a folder of the user's under
the system's temporary one. A lock goes with the process that holds it, whatever ended that.

Whoever has set CUDA_VISIBLE_DEVICES to one GPU, as Slurm does, has chosen already.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from segnb.errors import SegnbError
from segnb.files import locked
from segnb.machine import Machine

VISIBLE = "CUDA_VISIBLE_DEVICES"
SPARE = 0.1  # of a GPU's memory, for what torch and the driver take beside the tensors
PAUSE = 2.0  # seconds between two looks for a free share


@dataclass(frozen=True)
class Gpu:
    index: int  # as nvidia-smi counts, and CUDA_VISIBLE_DEVICES where nothing else is meant
    uuid: str  # the same in every process and after a restart
    mib: int  # memory

    @property
    def shares(self) -> int:
        """GiB that runs may take; at least one, so that there is something to lock."""
        return max(1, int(self.mib * (1 - SPARE) / 1024))

    def taken_by(self, mib: int) -> int:
        """Shares of a run that needs `mib` MiB; one that is too large for the GPU takes all of it."""
        return min(self.shares, max(1, -(-mib // 1024)))


def installed() -> list[Gpu]:
    """NVIDIA GPUs that CUDA_VISIBLE_DEVICES leaves visible; [] where nvidia-smi knows of none."""
    if shutil.which("nvidia-smi") is None:
        return []
    asked = ["nvidia-smi", "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits"]
    told = subprocess.run(asked, capture_output=True, text=True)
    return visible(parse(told.stdout), os.environ.get(VISIBLE)) if told.returncode == 0 else []


def parse(told: str) -> list[Gpu]:
    """What nvidia-smi prints, a line a GPU: "0, GPU-8a1f…, 81559"; lines of another form are none."""
    gpus = []
    for line in told.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == 3 and fields[0].isdigit() and fields[2].isdigit():
            gpus.append(Gpu(int(fields[0]), fields[1], int(fields[2])))
    return gpus


def visible(gpus: list[Gpu], named: str | None) -> list[Gpu]:
    """Those that CUDA_VISIBLE_DEVICES names, by index or beginning of the UUID; all where it is not set."""
    if named is None:
        return gpus
    found = []
    for name in filter(None, map(str.strip, named.split(","))):
        found += [g for g in gpus if name == str(g.index) or (name[:4] == "GPU-" and g.uuid.startswith(name))]
    return found


def side_by_side(mib: int, gpus: list[Gpu]) -> int:
    """How many runs of `mib` MiB the GPUs hold together: at least one each, and one where none is known."""
    return sum(gpu.shares // gpu.taken_by(mib) for gpu in gpus) or 1


@contextmanager
def claimed(machine: Machine, mib: int, gpus: list[Gpu] | None = None) -> Iterator[Gpu | None]:
    """Hold `mib` MiB of the GPU of which most is free, and let CUDA see that one alone until the block ends.

    machine: of the study; with a CPU's nothing happens and None is given
    gpus:    to choose from; None looks

    Enter it before torch touches a GPU: CUDA reads CUDA_VISIBLE_DEVICES once. Processes that are started
    inside get the same one. Waits, and says so, while no GPU has enough left. None is also given where there
    is nothing to choose: CUDA_VISIBLE_DEVICES names a single GPU already, or nvidia-smi knows of none.
    """
    before = os.environ.get(VISIBLE)
    decided = before is not None and "," not in before
    gpus = [] if machine.device != "cuda" or decided else installed() if gpus is None else gpus
    if not gpus:
        yield None
        return
    with ExitStack() as locks:
        gpu = _wait_for(mib, gpus, locks)
        os.environ[VISIBLE] = gpu.uuid
        try:
            yield gpu
        finally:
            if before is None:
                del os.environ[VISIBLE]
            else:
                os.environ[VISIBLE] = before


def _wait_for(mib: int, gpus: list[Gpu], locks: ExitStack) -> Gpu:
    told = False
    while (gpu := _take(mib, gpus, locks)) is None:
        if not told:
            print(f"waiting for {mib / 1024:.0f} GiB of a GPU: other runs have them all", flush=True)
            told = True
        time.sleep(PAUSE)
    return gpu


def _take(mib: int, gpus: list[Gpu], locks: ExitStack) -> Gpu | None:
    """Lock shares of the GPU that has most left, until `locks` is closed; None if none has enough."""
    folder = _folder()
    with locked(folder / ".lock"):  # or two runs could each hold half of what both need
        free = {gpu: _free(folder, gpu) for gpu in gpus}
        fitting = [gpu for gpu in gpus if free[gpu] >= gpu.taken_by(mib)]
        if not fitting:
            return None
        gpu = max(fitting, key=free.__getitem__)
        left = gpu.taken_by(mib)
        for share in range(gpu.shares):
            left -= left > 0 and _lock(folder, gpu, share, locks)
        return gpu


def _free(folder: Path, gpu: Gpu) -> int:
    with ExitStack() as probe:
        return sum(_lock(folder, gpu, share, probe) for share in range(gpu.shares))


def _lock(folder: Path, gpu: Gpu, share: int, locks: ExitStack) -> bool:
    file = open(folder / f"{gpu.uuid}-{share}", "w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    locks.enter_context(file)
    return True


def _folder() -> Path:
    """Where the locks are. Raises SegnbError if somebody else has put something there."""
    folder = Path(tempfile.gettempdir()) / f"segnb-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise SegnbError(f"{folder} belongs to another user; remove it, or set TMPDIR to a folder of yours")
    return folder
