"""What a job of the engine needs: memory, minutes, a GPU. The Snakefile's rules and `segnb report` ask here.

Estimates on the safe side, from a study's preset, its number of images and the family of a network. Memory
rests on measured training steps (tests/pipeline/test_resources.py checks it against some of them), time on a
slow core; what has not been measured says so. A training that a cluster ends for its time has lost one epoch:
the next try goes on from there.
"""

import math
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from filelock import AcquireReturnProxy, Timeout

from segnb.errors import SegnbError
from segnb.models.registry import VARIANTS
from segnb.presets import FULL_WIDTH, Recipe
from segnb.runtime.machine import Machine, control_group, usable_cores
from segnb.runtime.processes import environment
from segnb.storage.files import locked

if TYPE_CHECKING:
    from segnb.study.study import Study


# MiB of a run before its first step: the kernel with torch and matplotlib (738 measured), and beside it the
# process that executes the notebook and, on a cluster, two of Snakemake.
PROCESSES = 1400
CUDA = 2048  # MiB more where CUDA is loaded, of memory and of the GPU's; assumed
WORKER = 300  # MiB of a process that renders scenes
STEP = 250  # MiB of a training step beside what is counted here: buffers of kernels, a batch of data
STATE = 16  # bytes a parameter: itself, its gradient, and Adam's two averages
# Bytes a pixel of the batch that a step in fp32 keeps for the way back: 219 measured for each channel of a
# U-Net's first level (with class gates), 3,540 for an FCN (fine-tuned).
UNET_PIXEL, FCN_PIXEL = 240, 3900
HALF = 0.7  # of that, where convolutions are in half precision; at most 0.64 measured
# Operations of a training step on one pixel, a multiply-add being two: of a U-Net for each squared channel of
# its first level (1,090 counted, without residual blocks and gates), of a VGG16, and of a head of full width.
UNET_STEP, TRUNK_STEP, HEAD_STEP = 1700, 1.9e6, 0.6e6
# Operations a second, assumed: of a slow CPU's thread (70e9 in fp32, 134e9 in bf16 measured), and of a slow
# GPU, at less than a tenth of an H100's pace with any network of preset `paper`.
CPU_PACE, GPU_PACE = 15e9, 1.5e12
START = 15  # minutes before the first step: imports from a shared disk, a frozen trunk's features
TEST_SECONDS = 2.0  # of `segnb measure` on one test image; less than half a second measured
RENDER_SECONDS = 4.0  # to render a scene and its test conditions on one slow core; assumed
LONGEST = 24 * 60  # minutes, as many clusters allow; a training of days goes on in its next try


@dataclass(frozen=True)
class Need:
    mib: int  # memory
    minutes: int  # after which a cluster may end it


def training(study: "Study", variant: str) -> Need:
    """One run of train.ipynb."""
    recipe = study.preset.recipe(VARIANTS[variant].family)
    seen = study.settings["data"]["counts"]
    images = recipe.epochs * (seen["train"] + seen["val"])
    return Need(_run_mib(study, recipe, variant), _minutes(study.machine, images * _step(recipe, variant)))


def testing(study: "Study", variant: str) -> Need:
    """`segnb measure` of one run; what it keeps of an image is little beside a training step."""
    recipe = study.preset.recipe(VARIANTS[variant].family)
    seconds = study.settings["data"]["counts"]["test"] * TEST_SECONDS
    return Need(_run_mib(study, recipe, variant), _capped(START + seconds / 60))


def costing(study: "Study", variants: list[str]) -> Need:
    """`segnb cost`: some forty training steps of each network in turn."""
    recipes = {variant: study.preset.recipe(VARIANTS[variant].family) for variant in variants}
    operations = sum(40 * r.batch_size * _step(r, variant) for variant, r in recipes.items())
    mib = max(_run_mib(study, recipe, variant) for variant, recipe in recipes.items())
    return Need(mib, _minutes(study.machine, operations))


def preparing(study: "Study", cores: int) -> Need:
    """The arrays of one size, by as many processes as there are cores."""
    images = sum(study.settings["data"]["counts"].values())
    return Need(PROCESSES + cores * WORKER, _capped(START + images * RENDER_SECONDS / cores / 60))


SMALL = Need(3 * 1024, 60)  # a chapter, the claims, the report: they read files that runs have left


def step_mib(recipe: Recipe, family: str, half: bool) -> int:
    """MiB by which a training step makes a process grow, at its peak.

    half: whether convolutions are in half precision
    """
    width = recipe.width / FULL_WIDTH
    # The largest of each family at full width: the class-gated U-Net, and FCN-32s.
    parameters = 33e6 * width**2 if family == "unet" else 15e6 + 104e6 * width
    pixel = UNET_PIXEL * recipe.width if family == "unet" else FCN_PIXEL
    kept = recipe.batch_size * recipe.size**2 * pixel * (HALF if half else 1)
    return math.ceil(STEP + (STATE * parameters + kept) / 2**20)


def _run_mib(study: "Study", recipe: Recipe, variant: str) -> int:
    half = study.machine.precision in ("bf16", "fp16")
    cuda = study.machine.device == "cuda"
    return PROCESSES + (CUDA if cuda else step_mib(recipe, VARIANTS[variant].family, half))


def _step(recipe: Recipe, variant: str) -> float:
    """Operations of a training step on one image."""
    if VARIANTS[variant].family == "unet":
        return recipe.size**2 * UNET_STEP * recipe.width**2
    return recipe.size**2 * (TRUNK_STEP + HEAD_STEP * recipe.width / FULL_WIDTH)


def _minutes(machine: Machine, operations: float) -> int:
    pace = GPU_PACE if machine.device == "cuda" else CPU_PACE * machine.threads
    return _capped(START + operations / pace / 60)


def _capped(minutes: float) -> int:
    return min(LONGEST, math.ceil(minutes))


# ---- this machine --------------------------------------------------------------------------------------


def available_mib() -> int:
    """MiB that are free now, of a container's limit where there is one."""
    told = [*control_group("memory", "memory.max"), *control_group("memory", "memory.limit_in_bytes")]
    limits = [int(limit) for limit in told if limit.isdigit()]  # not "max"
    return min([psutil.virtual_memory().available, *limits]) // 2**20


@dataclass(frozen=True)
class Budget:
    """What Snakemake may hand out on one machine at a time."""

    jobs: int  # runs side by side
    mib: int
    gpus: int  # to train on; 0 where the study is on a CPU

    def arguments(self, threads: int) -> list[str]:
        """Return options for Snakemake's command line; threads: of one run."""
        limits = [f"mem_mb={self.mib}"]
        if self.gpus:
            limits.append(f"gpu={self.gpus * self.runs_per_gpu}")
        return ["--cores", str(self.jobs * threads), "--resources", *limits]

    @property
    def runs_per_gpu(self) -> int:
        """How many runs share a GPU: one, unless more runs than GPUs were asked for."""
        return math.ceil(self.jobs / self.gpus) if self.gpus else 1


def budget(study: "Study", variants: list[str], jobs: int | None = None) -> Budget:
    """Return how many runs go side by side.

    Args:
        study: the study
        variants: those to be trained
        jobs: the number asked for; None: one per GPU, or as many as fill the cores

    Fewer go where memory is short; a single run goes whatever it needs.
    """
    mib = available_mib()
    count = (len(available()) or 1) if study.machine.device == "cuda" else 0
    fitting = max(1, mib // min(training(study, variant).mib for variant in variants))
    filling = max(1, usable_cores() // study.machine.threads)
    return Budget(min(jobs or min(filling, count or filling), fitting), mib, count)


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
    gpu, lock = _wait_for_place(gpus, int(os.environ.get(SHARED, 1)))
    with lock, environment({VISIBLE: gpu}):
        yield gpu


def claimed_for(machine: Machine | None) -> AbstractContextManager:
    """Claim a GPU for a run on this machine if that is one with a GPU; see `claimed`."""
    return claimed() if machine is not None and machine.device == "cuda" else nullcontext()


def _wait_for_place(gpus: list[str], places: int) -> tuple[str, AcquireReturnProxy]:
    """Lock a free place. The first place of every GPU comes before any second one."""
    folder = _folder()
    waiting = False
    while True:
        for place, gpu in product(range(places), gpus):
            with suppress(Timeout):
                return gpu, locked(folder / f"{gpu}-{place}.lock", blocking=False)
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
