"""The speed of training compared with plain alternatives (`make bench`).

The alternatives are timed in alternation, so that a slow minute of the machine affects all of them, and the
results are ratios of medians. All of them run the recipe of a preset on random bytes, because the contents of
images do not change the cost of a step.
"""

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from segnb.data.batches import Split, shuffled
from segnb.models.build import build
from segnb.models.fcn import FromFeatures
from segnb.models.registry import VARIANTS
from segnb.presets import FULL_WIDTH, Preset, Recipe
from segnb.runtime.machine import Machine, usable_cores
from segnb.study.study import Run
from segnb.training import feature_cache
from segnb.training.autotune import Bench, resolve_machine
from segnb.training.loop import criterion, fit, train_one_epoch

UNET, FROZEN, TUNED = "UNet_Standard_256", "FCN8s_vgg16_freeze", "FCN8s_vgg16_finetune"
SMP = "smp.Unet(vgg16)"
ROUNDS = 5  # calls of each alternative that count
CLASSES = 13


def network(name: str, recipe: Recipe) -> torch.nn.Module:
    """Build a network of the registry, or `SMP`."""
    if name in VARIANTS:
        return build(name, CLASSES, recipe.width)
    import segmentation_models_pytorch as smp  # `make bench` installs it

    return smp.Unet("vgg16", encoder_weights=None, classes=CLASSES)


def random_split(count: int, size: int, seed: int = 0) -> Split:
    """Make images of `size` px per side with random pixels and labels."""
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (count, size, size, 3), np.uint8)
    labels = draw.integers(0, CLASSES, (count, size, size), np.uint8)
    return Split(images, labels, [f"{i}" for i in range(count)])


class Timed(Bench):
    """A network with its optimiser, whose steps and epochs are timed with the settings of a machine."""

    def __init__(self, name: str, recipe: Recipe, machine: Machine):
        machine.apply()
        torch.manual_seed(0)
        self.recipe = recipe
        slow = replace(recipe, learning_rate=1e-4, backbone_learning_rate=1e-4)  # noise is not to be learned
        super().__init__(network(name, recipe), slow, machine, CLASSES)
        if machine.compile:
            self.model.compile(dynamic=False)
        self.scheduler = torch.optim.lr_scheduler.ConstantLR(self.optimizer, 1.0)

    def gflops(self) -> float:
        """Return 10⁹ operations of a training step per image; backward counts as twice forward."""
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            self.model.train()(self.images[:1])
        return 3 * counter.get_total_flops() / 1e9

    def step_seconds(self) -> float:
        """Return the seconds of one training step."""
        self.machine.apply()
        start = time.perf_counter()
        self.step()
        return time.perf_counter() - start

    @torch.no_grad()
    def evaluation_seconds(self) -> float:
        """Return the seconds of one batch in evaluation, without the confusion matrix."""
        self.model.eval()
        start = time.perf_counter()
        with self.machine.autocast():
            criterion(self.model(self.images), self.labels).item()
        return time.perf_counter() - start

    def epoch_seconds(self, split, model=None) -> float:
        """Return the seconds of one training epoch."""
        self.machine.apply()
        start = time.perf_counter()
        batches = shuffled(split, self.recipe.batch_size, self.machine, 0, 1, self.recipe.mirror)
        train_one_epoch(
            model or self.model, batches, self.optimizer, self.scheduler, self.scaler, self.machine
        )
        return time.perf_counter() - start


def alternately(work: dict[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, float]:
    """Call all in alternation and return the median seconds of each; the first round is a warm-up."""
    seconds = {name: [] for name in work}
    for _ in range(rounds + 1):
        for name, call in work.items():
            seconds[name].append(call())
    return {name: median(values[1:]) for name, values in seconds.items()}


# ---- the benchmarks -----------------------------------------------------------------------------------


def steps(preset: Preset, machine: Machine) -> dict[str, dict]:
    """Time a U-Net step in segnb's loop and in a plain loop, and a step of smp's U-Net in segnb's loop.

    smp's U-Net has the channels of VGG16, and a processor is more efficient with many channels. So ours is
    timed at full width too.
    """
    sides = {
        "plain": Timed(UNET, preset.unet, plain(machine)),
        "segnb": Timed(UNET, preset.unet, machine),
        "smp": Timed(SMP, preset.unet, machine),
        "wide": Timed(UNET, replace(preset.unet, width=FULL_WIDTH), machine),
    }
    seconds = alternately({name: side.step_seconds for name, side in sides.items()})
    return {
        name: {"ms_an_image": 1e3 * seconds[name] / side.recipe.batch_size, "gflops": side.gflops()}
        for name, side in sides.items()
    }


def frozen_epoch(preset: Preset, machine: Machine, images: int = 64) -> dict[str, float]:
    """Time an epoch of a frozen FCN-8s with and without cached features, in seconds per image."""
    side, split = Timed(FROZEN, preset.fcn, machine), random_split(images, preset.fcn.size)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        features = feature_cache.cached(
            side.model, split, preset.fcn.mirror, Path(folder), machine, preset.fcn.batch_size
        )
        making = time.perf_counter() - start
        head = FromFeatures(side.model, features.size)
        work = {
            "without": lambda: side.epoch_seconds(split),
            "with": lambda: side.epoch_seconds(features, head),
        }
        seconds = alternately(work, rounds=3)
    return {name: value / images for name, value in seconds.items()} | {"making": making / images}


def whole_training(preset: Preset, machine: Machine, epochs: int = 3) -> dict[str, float]:
    """Time a training of the preset's size with few epochs: as a whole, its epochs, and its steps alone."""
    recipe = replace(preset.unet, epochs=epochs, patience=None)
    side = Timed(UNET, recipe, machine)
    train, val = random_split(preset.train, recipe.size), random_split(preset.val, recipe.size, seed=1)
    bare: dict[str, list[float]] = {"step": [], "forward": []}
    pauses: list[float] = []  # seconds

    def few_steps(history: list[dict]) -> None:  # between epochs: a slow minute of the machine affects both
        start = time.perf_counter()
        bare["step"] += [side.step_seconds() for _ in range(6)][1:]
        bare["forward"] += [side.evaluation_seconds() for _ in range(6)][1:]
        pauses.append(time.perf_counter() - start)

    few_steps([])
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        run = Run(Path(folder) / UNET / "seed0")
        start = time.perf_counter()
        rows = fit(network(UNET, recipe), train, val, recipe, 0, run, machine, few_steps)
        whole = time.perf_counter() - start - sum(pauses[1:])
    # The last batch may be smaller, so the steps are scaled by images.
    per_image = {name: median(values) / recipe.batch_size for name, values in bare.items()}
    training = epochs * len(train) * per_image["step"]
    return {
        "training": whole,
        "its_steps": training + epochs * len(val) * per_image["forward"],
        "train_epochs": sum(row["train_seconds"] for row in rows),
        "train_steps": training,
    }


def memory(preset: Preset, machine: Machine) -> dict[str, int]:
    """Return the peak memory of each kind of training, see `peak_memory`."""
    cases = {
        "U-Net, plain loop": (UNET, preset.unet, plain(machine)),
        "U-Net, segnb": (UNET, preset.unet, machine),
        SMP: (SMP, preset.unet, machine),
        "FCN-8s frozen": (FROZEN, preset.fcn, machine),
        "FCN-8s frozen, kept features": (FROZEN, preset.fcn, machine, True),
        "FCN-8s fine-tuned": (TUNED, preset.fcn, machine),
    }
    return {name: peak_memory(*case) for name, case in cases.items()}


def plain(machine: Machine) -> Machine:
    """Return the settings of a plain loop: fp32, NCHW, eager, Adam without fusing."""
    return replace(machine, precision="fp32", channels_last=False, fused=False, compile=False)


def peak_memory(name: str, recipe: Recipe, machine: Machine, with_features: bool = False) -> int:
    """Return the peak memory of a few training steps in bytes, in a process of its own, without imports."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_memory_of, name, recipe, machine, with_features).result()


def _memory_of(name: str, recipe: Recipe, machine: Machine, with_features: bool) -> int:
    if machine.device == "cpu":
        before = _peak()
    side = Timed(name, recipe, machine)
    if with_features:
        with torch.no_grad(), machine.autocast():
            taps = side.model.features(side.images)
        side.images = type(taps)(*(tap.float() for tap in taps))
        side.model = FromFeatures(side.model, side.labels.shape[1:])
        # A training starts after the features are computed.
        if machine.device == "cpu":
            Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM to the current size (Linux)
        else:
            torch.cuda.reset_peak_memory_stats()
    for _ in range(3):
        side.step()
    return _peak() - before if machine.device == "cpu" else torch.cuda.max_memory_allocated()


def _peak() -> int:
    """Return the largest resident size so far, in bytes (Linux)."""
    (line,) = (line for line in Path("/proc/self/status").open() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def measure(preset: Preset, runs: Path) -> dict:
    """Run all benchmarks of training speed and describe the machine."""
    machine = resolve_machine(runs, preset)
    results: dict = {
        "preset": preset.name,
        "machine": asdict(machine),
        "cores": usable_cores(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }
    parts = {
        "steps": lambda: steps(preset, machine),
        "frozen_epoch": lambda: frozen_epoch(preset, machine),
        "frozen_epoch_fp32": lambda: frozen_epoch(preset, replace(machine, precision="fp32"), 16),
        "whole_training": lambda: whole_training(preset, machine),
        "memory": lambda: memory(preset, machine),
    }
    for name, part in parts.items():
        print(f"measuring {name.replace('_', ' ')} …", flush=True)
        results[name] = part()
    return results
