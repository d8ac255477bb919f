"""Resources of a step: memory, minutes and a GPU, for the Snakefile's rules and `segnb report`.

Estimates are on the safe side. They follow from a study's preset, its number of images and the family of a
network. Memory rests on measured training steps (tests/pipeline/test_resources.py compares), time on a slow
core; a comment says "assumed" where nothing was measured. If a cluster ends a run because its time is over,
one epoch is lost: the next try resumes the run.
"""

import math
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path

import psutil
from filelock import AcquireReturnProxy, Timeout

from segnb.errors import SegnbError
from segnb.models.registry import VARIANTS
from segnb.presets import FULL_WIDTH, Recipe
from segnb.runtime.machine import Machine, control_group, usable_cores
from segnb.runtime.processes import environment
from segnb.storage.files import locked
from segnb.study.study import Study

# MiB of a run before its first step: the kernel with torch and matplotlib (738 measured), the process that
# executes the notebook and, on a cluster, two of Snakemake.
PROCESSES = 1400
CUDA = 2048  # MiB more if CUDA is loaded, both of memory and of GPU memory; assumed
WORKER = 300  # MiB per process that renders scenes
STEP = 250  # MiB of a training step for buffers of kernels and a batch of data
STATE = 16  # bytes per parameter: itself, its gradient, and Adam's two averages
CHECKPOINT = 12  # bytes per parameter without its gradient, in main memory while it is written or read
# Bytes per pixel of the batch that a step in fp32 stores for the backward pass: 219 measured per channel of a
# U-Net's first level (with class gates), 3,540 for an FCN (fine-tuned).
UNET_PIXEL, FCN_PIXEL = 240, 3900
HALF = 0.7  # share of these bytes with convolutions in half precision; at most 0.64 measured
# Operations of a training step per pixel, with two per multiply-add: of a U-Net, per squared channel of its
# first level (1,090 counted, without residual blocks and gates); of a VGG16; of a head of full width.
UNET_STEP, TRUNK_STEP, HEAD_STEP = 1700, 1.9e6, 0.6e6
# Operations per second, assumed: of a thread of a slow CPU (70e9 in fp32, 134e9 in bf16 measured), and of a
# slow GPU, with less than a tenth of an H100's speed for any network of preset `paper`.
CPU_PACE, GPU_PACE = 15e9, 1.5e12
START = 15  # minutes before the first step: imports from a shared disk, features of a frozen backbone
TEST_SECONDS = 2.0  # of `segnb measure` per test image; less than half a second measured
RENDER_SECONDS = 4.0  # to render a scene and its test conditions on a slow core; assumed
LONGEST = 24 * 60  # minutes that many clusters allow; a longer run resumes in its next try


# A chapter, the claims, the report: they only read files of runs. A cluster may end a step after its minutes.
SMALL = {"mem_mb": 3 * 1024, "runtime": 60}


def training(study: Study, variant: str) -> dict[str, int]:
    """Return the resources of training one run with train.ipynb, like all others as in SMALL."""
    recipe, counts = study.recipe(VARIANTS[variant].family), study.settings["data"]["counts"]
    images = recipe.epochs * (counts["train"] + counts["val"])
    return _need(_run_mib(study, variant), images * _step(recipe, variant) / _pace(study.machine))


def testing(study: Study, variant: str) -> dict[str, int]:
    """Return those of `segnb measure`, whose images need little memory compared with a training step."""
    return _need(_run_mib(study, variant), study.settings["data"]["counts"]["test"] * TEST_SECONDS)


def costing(study: Study, variants: list[str]) -> dict[str, int]:
    """Return those of `segnb cost`: about forty training steps of each network, one after the other."""
    recipes = {variant: study.recipe(VARIANTS[variant].family) for variant in variants}
    operations = sum(40 * r.batch_size * _step(r, variant) for variant, r in recipes.items())
    return _need(max(_run_mib(study, variant) for variant in variants), operations / _pace(study.machine))


def timed_in_parallel(machine: Machine) -> bool:
    """Return whether `segnb cost` can run next to other steps, see `segnb.evaluation.cost`."""
    return machine.device == "cpu" and machine.threads == 1


def preparing(study: Study, cores: int) -> dict[str, int]:
    """Return those of `segnb arrays` for one size, with one process per core."""
    images = sum(study.settings["data"]["counts"].values())
    return _need(PROCESSES + cores * WORKER, images * RENDER_SECONDS / cores)


def step_mib(recipe: Recipe, family: str, half: bool) -> int:
    """Return the MiB by which a training step makes a process grow, at its peak.

    Args:
        recipe: gives width, size and batch size
        family: "fcn" or "unet"
        half: whether convolutions are in half precision
    """
    pixel = UNET_PIXEL * recipe.width if family == "unet" else FCN_PIXEL
    stored = recipe.batch_size * recipe.size**2 * pixel * (HALF if half else 1)
    return math.ceil(STEP + (STATE * _parameters(recipe, family) + stored) / 2**20)


def _parameters(recipe: Recipe, family: str) -> float:
    """Return the parameters of the family's largest network: the class-gated U-Net, or FCN-32s."""
    width = recipe.width / FULL_WIDTH
    return 33e6 * width**2 if family == "unet" else 15e6 + 104e6 * width


def _run_mib(study: Study, variant: str) -> int:
    recipe = study.recipe(family := VARIANTS[variant].family)
    fixed = PROCESSES + math.ceil(CHECKPOINT * _parameters(recipe, family) / 2**20)
    if study.machine.device == "cuda":
        return fixed + CUDA
    return fixed + step_mib(recipe, family, half=study.machine.precision in ("bf16", "fp16"))


def _step(recipe: Recipe, variant: str) -> float:
    """Return the operations of a training step per image."""
    if VARIANTS[variant].family == "unet":
        return recipe.size**2 * UNET_STEP * recipe.width**2
    return recipe.size**2 * (TRUNK_STEP + HEAD_STEP * recipe.width / FULL_WIDTH)


def _pace(machine: Machine) -> float:
    """Return operations per second."""
    return GPU_PACE if machine.device == "cuda" else CPU_PACE * machine.threads


def _need(mib: int, seconds: float) -> dict[str, int]:
    return {"mem_mb": mib, "runtime": min(LONGEST, math.ceil(START + seconds / 60))}


# ---- this machine --------------------------------------------------------------------------------------


def available_mib() -> int:
    """Return the free memory in MiB, or the limit of a container if that is lower."""
    values = [*control_group("memory", "memory.max"), *control_group("memory", "memory.limit_in_bytes")]
    limits = [int(value) for value in values if value.isdigit()]  # not "max"
    return min([psutil.virtual_memory().available, *limits]) // 2**20


ASIDE = "aside"  # resource of steps that run next to trainings, one at a time


@dataclass(frozen=True)
class Budget:
    """The resources that Snakemake may use at a time on one machine."""

    jobs: int  # runs in parallel
    mib: int
    gpus: int  # 0 if the study trains on a CPU

    def arguments(self, threads: int) -> list[str]:
        """Return options for Snakemake's command line, for runs of that many threads."""
        limits = [f"mem_mb={self.mib}", f"{ASIDE}=1"]
        if self.gpus:
            limits.append(f"gpu={self.jobs}")
        # Next to runs on GPUs there are cores for a step that needs none, such as rendering.
        cores = (self.jobs + bool(self.gpus)) * threads
        return ["--cores", str(cores), "--resources", *limits]


def budget(study: Study, variants: list[str], jobs: int | None = None) -> Budget:
    """Return the number of runs in parallel, with its memory and GPUs.

    If memory is short there are fewer, but always at least one.

    Args:
        study: the study
        variants: networks to train
        jobs: number of runs that the user wants; None: one per GPU, or as many as fill the cores
    """
    mib = available_mib()
    gpus = (len(available()) or 1) if study.machine.device == "cuda" else 0
    fitting = max(1, mib // min(_run_mib(study, variant) for variant in variants))
    filling = max(1, usable_cores() // study.machine.threads)
    return Budget(min(jobs or min(filling, gpus or filling), fitting), mib, gpus)


VISIBLE = "CUDA_VISIBLE_DEVICES"
JOBS = "SEGNB_JOBS"  # set by `segnb report` to the number of runs in parallel


def available() -> list[str]:
    """Return the GPUs that this process may choose from, as CUDA_VISIBLE_DEVICES names them.

    The list is empty if there is no choice: without NVIDIA GPUs, in a Slurm job, or if CUDA_VISIBLE_DEVICES
    names a single one.
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
def claimed(machine: Machine | None) -> Iterator[str | None]:
    """Reserve one GPU until the block ends if the machine of the run has one, and hide the others from CUDA.

    Enter the block before torch uses a GPU, because CUDA reads CUDA_VISIBLE_DEVICES only once. Processes that
    are started in the block get the same GPU. If all GPUs are taken, this prints a line and waits.

    Yields:
        The GPU's name, or None if there is no choice.
    """
    gpus = available() if machine and machine.device == "cuda" else []
    if not gpus:
        yield None
        return
    places = math.ceil(int(os.environ.get(JOBS, 1)) / len(gpus))  # runs that share a GPU
    gpu, lock = _wait_for_place(gpus, places)
    with lock, environment({VISIBLE: gpu}):
        yield gpu


def _wait_for_place(gpus: list[str], places: int) -> tuple[str, AcquireReturnProxy]:
    """Lock a free place on a GPU; GPUs without a run come first."""
    folder = _folder()
    for tries in count():
        for place, gpu in product(range(places), gpus):
            with suppress(Timeout):
                return gpu, locked(folder / f"{gpu}-{place}.lock", blocking=False)
        if not tries:
            print("waiting for a GPU: all are in use by other runs", flush=True)
        time.sleep(2)


def _folder() -> Path:
    """Return the folder of the locks, or raise SegnbError if it belongs to another user."""
    folder = Path(tempfile.gettempdir()) / f"segnb-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise SegnbError(
            f"{folder}: belongs to another user. Remove it, or set TMPDIR to a folder of your own."
        )
    return folder
