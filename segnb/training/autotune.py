"""The fastest settings of this machine: precision, memory layout, optimiser kernel and compilation.

Two threads and one thread, or fp32 and bf16, give slightly different numbers. So the settings are part of a
study's identity, and segnb keeps them in runs/machine.json. Delete that file to time them again.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch

from segnb.errors import SegnbError
from segnb.models.build import build, parameter_groups
from segnb.models.registry import VARIANTS
from segnb.presets import Preset, Recipe
from segnb.runtime.machine import (
    ALLOCATOR,
    PRECISIONS,
    Machine,
    bits_environment,
    cpu_name,
    threads_of_one_run,
    usable_cores,
)
from segnb.storage.files import locked, read_json, to_json, write_json
from segnb.training.loop import train_step

WORTH = 0.8  # a lower precision is chosen if it takes less than this share of the time
COMPILE_FROM = 1200  # seconds of two complete runs; for shorter ones compilation takes longer than it saves
TRIAL_IMAGES = 2  # per step
TRIED = ("precision", "channels_last", "fused")  # settings that trials vary; torch.compile is separate
PATIENCE = 300  # seconds until a trial is aborted


class Bench:
    """A network with an optimiser and a batch of noise, to be timed; the cost does not depend on the images.

    Args:
        model: the network
        recipe: size of the images, batch size and learning rates
        machine: device and settings
        classes: of the network
    """

    def __init__(self, model: torch.nn.Module, recipe: Recipe, machine: Machine, classes: int = 13):
        self.model, self.machine = machine.place(model), machine
        groups = parameter_groups(self.model, recipe.learning_rate, recipe.backbone_learning_rate)
        self.optimizer, self.scaler = machine.adam(groups), machine.scaler()
        shape = (recipe.batch_size, recipe.size, recipe.size)
        noise = torch.randn(*shape, 3, device=machine.device)
        self.images = machine.arrange(noise.permute(0, 3, 1, 2))
        self.labels = torch.randint(0, classes, shape, device=machine.device)

    def step(self) -> float:
        """Make one training step and return its loss."""
        batch = self.model.train(), self.images, self.labels
        return train_step(*batch, self.optimizer, self.scaler, self.machine)[0].item()  # waits for the GPU

    @torch.no_grad()
    def forward(self) -> int:
        """Predict the batch and return the class of one pixel, which waits for the GPU."""
        self.model.eval()
        with self.machine.autocast():
            return self.model(self.images).argmax(1)[0, 0, 0].item()


def resolve_machine(runs: Path, preset: Preset, precision: str = "auto") -> Machine:
    """Return this machine's settings for a preset, from `runs/machine.json` or from trials.

    Args:
        runs: folder with machine.json
        preset: sets image sizes, widths and the length of runs
        precision: "auto" runs trials. A named precision is used without trials, so that the study has the
            same precision on every machine.

    Raises:
        SegnbError: for a precision that the device does not support, or if a plain training step fails.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if precision not in ("auto", *PRECISIONS[device]):
        choices = ", ".join(("auto", *PRECISIONS[device]))
        raise SegnbError(f"unsupported precision {precision!r} on {device} (expected one of {choices})")
    name = torch.cuda.get_device_name() if device == "cuda" else cpu_name()
    environment = bits_environment(device)
    threads = threads_of_one_run(usable_cores())
    plain = Machine(device, name, threads, "fp32", channels_last=False, fused=False, environment=environment)
    if precision != "auto":
        return replace(plain, precision=precision, channels_last=True, fused=True)
    sizes = "; ".join(f"{r.size} px, width {r.width}" for r in (preset.fcn, preset.unet))
    key = f"{name}, {usable_cores()} cores, torch {torch.__version__}, {sizes}"  # a trial depends on this
    key += "".join(f", {variable}={value}" for variable, value in environment.items())
    path = runs / "machine.json"
    entry = read_json(path).get(key) if path.exists() else None
    if entry is None:
        print(f"timing training settings on {name}, once per preset …", flush=True)
        machine, trials = choose(plain, preset)
        entry = {"chosen": asdict(machine), "trials": trials}
        _remember(path, key, entry)
    machine = Machine(**entry["chosen"])
    eager = next(t for t in entry["trials"] if all(t[field] == getattr(machine, field) for field in TRIED))
    if _run_seconds(eager, preset) < COMPILE_FROM:
        return machine
    compiled = replace(machine, compile=True)
    if "compiled" not in entry:
        print("timing torch.compile …", flush=True)
        entry["compiled"] = try_out(compiled, preset)
        _remember(path, key, entry)
    return compiled if _run_seconds(entry["compiled"], preset) < _run_seconds(eager, preset) else machine


def _remember(path: Path, key: str, entry: dict) -> None:
    """Add an entry to machine.json; the entries of other processes stay."""
    with locked(path.with_name(".machine.lock")):
        write_json(path, (read_json(path) if path.exists() else {}) | {key: entry})


def choose(plain: Machine, preset: Preset) -> tuple[Machine, list[dict]]:
    """Choose the fastest settings by timing trial steps.

    Trials vary the layout, then the precision, then the optimiser, each based on the fastest settings so far.

    Args:
        plain: the baseline, which has to work: fp32, NCHW, no fused optimiser
        preset: sets image sizes and widths

    Returns:
        The settings, and the trials: settings with seconds, or with the reason of a failure.

    Raises:
        SegnbError: if a step fails with the settings of `plain`.
    """
    trials: list[dict] = []

    def seconds(machine: Machine) -> float:
        trial = try_out(machine, preset)
        trials.append({field: getattr(machine, field) for field in TRIED} | trial)
        return float("inf") if "failed" in trial else trial["unet"] + trial["fcn"]

    best, fastest = plain, seconds(plain)
    if fastest == float("inf"):
        reason = trials[-1]["failed"]
        raise SegnbError(f"{plain.device}: trial step failed ({reason}). Check the installation of torch.")
    # On CPUs, half precision is faster only in channels_last, and can crash the process in NCHW.
    lower = [{"precision": name, "channels_last": True} for name in PRECISIONS[plain.device][1:]]
    for change in ({"channels_last": True}, *lower, {"fused": True}):
        machine = replace(best, **change)
        if (duration := seconds(machine)) < (WORTH if change in lower else 1) * fastest:
            best, fastest = machine, duration
    return best, trials


def _run_seconds(trial: dict, preset: Preset) -> float:
    """Estimate the seconds of a U-Net's and a fine-tuned FCN's run together, from a trial."""
    if "failed" in trial:
        return float("inf")
    images = {family: preset.train * preset.recipe(family).epochs for family in ("unet", "fcn")}
    return trial["start"] + sum(trial[family] / TRIAL_IMAGES * images[family] for family in images)


def try_out(machine: Machine, preset: Preset) -> dict:
    """Time training steps in another process, because a poorly supported precision may crash it.

    Returns:
        Seconds per step: "unet" (U-Net), "fcn" (fine-tuned FCN-8s), and "start" (the first steps of both
        together, which include compilation); or {"failed": reason}.
    """
    job = to_json({"machine": asdict(machine), "recipes": [asdict(preset.unet), asdict(preset.fcn)]})
    command = [sys.executable, "-m", "segnb.training.autotune", job]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, env=os.environ | ALLOCATOR
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"no result after {PATIENCE} s"}
    if result.returncode:
        last = (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]
        return {"failed": last}
    return json.loads(result.stdout.splitlines()[-1])


def _time_steps(machine: Machine, recipes: list[Recipe]) -> dict:
    """Time training steps in this process; see `try_out`.

    The result is the fastest of three steps after the first, because other processes can only slow a step
    down.
    """
    machine.apply()
    seconds = {"start": 0.0}
    for name, recipe in zip(("UNet_Standard_256", "FCN8s_vgg16_finetune"), recipes, strict=True):
        bench = Bench(build(name, width=recipe.width), replace(recipe, batch_size=TRIAL_IMAGES), machine)
        if machine.compile:
            bench.model.compile(dynamic=False)
        times = []
        for _ in range(4):
            start = time.perf_counter()
            bench.step()
            times.append(time.perf_counter() - start)
        seconds[VARIANTS[name].family] = min(times[1:])
        seconds["start"] += times[0]
    return seconds


if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    print(to_json(_time_steps(Machine(**job["machine"]), [Recipe(**recipe) for recipe in job["recipes"]])))
