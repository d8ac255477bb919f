"""Networks trained beside any study, to find something out; kept, so that what was stopped goes on."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from segnb import checkpoint
from segnb.classes import STREET
from segnb.data.batches import Split
from segnb.fingerprint import code_digest
from segnb.machine import Machine
from segnb.models.variants import build
from segnb.presets import Recipe
from segnb.study.study import Run as RunDir
from segnb.training import fit


def trained(
    variant: str,
    seed: int,
    splits: tuple[Split, Split],
    recipe: Recipe,
    machine: Machine,
    folder: Path,
    what: list,
    begin: Callable[[torch.nn.Module], None] | None = None,
) -> tuple[Path, torch.nn.Module]:
    """A U-Net for the classes of STREET and the file of its weights, trained unless `folder` has it already.

    splits: what is learnt from, and what validation watches
    what: identifies the splits and what `begin` does, ready for JSON
    begin: changes the weights that the seed has drawn, before training
    """
    told = json.dumps([what, asdict(recipe), asdict(machine), code_digest()])
    run = RunDir(folder / hashlib.sha256(told.encode()).hexdigest()[:16] / variant / f"seed{seed}")
    torch.manual_seed(seed)
    model = build(variant, len(STREET), recipe.width)
    if begin:
        begin(model)
    fit(model, *splits, recipe, seed, run, machine)
    checkpoint.load_model(run.model_path, model)
    return run.model_path, machine.place(model)
