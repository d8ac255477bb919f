"""Choose what this machine trains fastest with: precision, memory layout, optimiser kernel, compilation.

Two threads and one thread, or fp32 and bf16, give slightly different numbers. So the choice is part of a
study's identity, and segnb keeps it in runs/machine.json. Delete that file to choose again.
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

WORTH = 0.8  # fewer digits have to save at least a fifth of the time
COMPILE_FROM = 1200  # seconds of two whole runs, below which torch.compile hardly wins back its start
TRIAL_IMAGES = 2  # per step
TRIED = ("precision", "channels_last", "fused")  # in turn; torch.compile for long runs alone
PATIENCE = 300  # seconds after which a trial is given up


def resolve_machine(runs: Path, preset: Preset, precision: str = "auto") -> Machine:
    """This machine's settings for a preset: from `runs/machine.json` if known, otherwise by trying.

    precision: "auto", or one that is taken as it is, with no trial: the study is then trained in it anywhere

    Raises SegnbError for a precision that the device does not have.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if precision not in ("auto", *PRECISIONS[device]):
        choices = ", ".join(("auto", *PRECISIONS[device]))
        raise SegnbError(f"precision={precision!r} does not exist on {device}: choose from {choices}")
    name = torch.cuda.get_device_name() if device == "cuda" else cpu_name()
    environment = bits_environment(device)
    plain = Machine(
        *(device, name, threads_of_one_run(usable_cores()), "fp32"),
        channels_last=False,
        fused=False,
        environment=environment,
    )
    if precision != "auto":
        return replace(plain, precision=precision, channels_last=True, fused=True)
    sizes = "; ".join(f"{r.size} px, width {r.width}" for r in (preset.fcn, preset.unet))
    key = f"{name}, {usable_cores()} cores, torch {torch.__version__}, {sizes}"  # what a trial depends on
    key += "".join(f", {name}={value}" for name, value in environment.items())
    path = runs / "machine.json"
    known = read_json(path) if path.exists() else {}
    if key not in known:
        print(f"trying out what {name} trains fastest with, once for this preset …", flush=True)
        machine, trials = choose(plain, preset)
        known[key] = {"chosen": asdict(machine), "trials": trials}
        _remember(path, key, known[key])
    entry = known[key]
    machine = Machine(**entry["chosen"])
    eager = next(t for t in entry["trials"] if all(t[field] == getattr(machine, field) for field in TRIED))
    if _run_seconds(eager, preset) < COMPILE_FROM:
        return machine
    compiled = replace(machine, compile=True)
    if "compiled" not in entry:
        print("trying out torch.compile …", flush=True)
        entry["compiled"] = try_out(compiled, preset)
        _remember(path, key, entry)
    return compiled if _run_seconds(entry["compiled"], preset) < _run_seconds(eager, preset) else machine


def _remember(path: Path, key: str, entry: dict) -> None:
    """Beside what another process may have found in the meantime."""
    with locked(path.with_name(".machine.lock")):
        write_json(path, (read_json(path) if path.exists() else {}) | {key: entry})


def choose(plain: Machine, preset: Preset) -> tuple[Machine, list[dict]]:
    """The fastest settings by trial steps, and what was tried: settings and seconds, or why it failed.

    plain: fp32, NCHW, no fused optimiser: what everything else is held against, and has to work

    Layout, then precision, then the optimiser; each in turn on top of the last choice.
    """
    trials: list[dict] = []

    def seconds(machine: Machine) -> float:
        found = try_out(machine, preset)
        trials.append({field: getattr(machine, field) for field in TRIED} | found)
        return float("inf") if "failed" in found else found["unet"] + found["fcn"]

    best, fastest = plain, seconds(plain)
    if fastest == float("inf"):
        told = trials[-1]["failed"]
        raise SegnbError(f"a trial step on {plain.device} failed: {told}; check the torch installation")

    def consider(machine: Machine, worth: float = 1.0) -> None:
        nonlocal best, fastest
        if (found := seconds(machine)) < worth * fastest:
            best, fastest = machine, found

    consider(replace(best, channels_last=True))
    for precision in PRECISIONS[plain.device][1:]:
        # On CPUs half precision pays in channels_last alone, and has crashed the process in NCHW.
        consider(replace(best, precision=precision, channels_last=True), WORTH)
    consider(replace(best, fused=True))
    return best, trials


def _run_seconds(trial: dict, preset: Preset) -> float:
    """How long a U-Net's and a fine-tuned FCN's training take together at a trial's pace, start included."""
    if "failed" in trial:
        return float("inf")
    seen = {family: preset.train * preset.recipe(family).epochs for family in ("unet", "fcn")}
    return trial["start"] + sum(trial[family] / TRIAL_IMAGES * images for family, images in seen.items())


def try_out(machine: Machine, preset: Preset) -> dict:
    """Seconds of a training step: {"unet": of a U-Net, "fcn": of a fine-tuned FCN-8s, "start": of the first
    step of both, which is when compilation happens}.

    In a process of its own, because a half-supported precision may take the process down; then
    {"failed": why}.
    """
    told = to_json({"machine": asdict(machine), "recipes": [asdict(preset.unet), asdict(preset.fcn)]})
    command = [sys.executable, "-m", "segnb.training.autotune", told]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, env=os.environ | ALLOCATOR
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"no answer within {PATIENCE} s"}
    if result.returncode:
        last = (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]
        return {"failed": last}
    return json.loads(result.stdout.splitlines()[-1])


def _time_steps(machine: Machine, recipes: list[Recipe]) -> dict:
    """What `try_out` returns, in this process: the best of three steps after the first, because other work on
    the machine can only make a step slower."""
    machine.apply()
    seconds = {"start": 0.0}
    for name, recipe in zip(("UNet_Standard_256", "FCN8s_vgg16_finetune"), recipes, strict=True):
        model = machine.place(build(name, width=recipe.width)).train()
        if machine.compile:
            model.compile(dynamic=False)
        optimizer, scaler = machine.adam(parameter_groups(model, 1e-4, 1e-4)), machine.scaler()
        shape = (TRIAL_IMAGES, recipe.size, recipe.size)
        images = machine.arrange(torch.randn(*shape, 3, device=machine.device).permute(0, 3, 1, 2))
        labels = torch.zeros(shape, dtype=torch.long, device=machine.device)
        times = []
        for _ in range(4):
            begun = time.perf_counter()
            loss, _ = train_step(model, images, labels, optimizer, scaler, machine)
            loss.item()  # waits for a GPU
            times.append(time.perf_counter() - begun)
        seconds[VARIANTS[name].family] = min(times[1:])
        seconds["start"] += times[0]
    return seconds


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(to_json(_time_steps(Machine(**asked["machine"]), [Recipe(**one) for one in asked["recipes"]])))
