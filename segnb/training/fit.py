"""TODO segnb.training.fit.fit"""

import time
from collections.abc import Callable
from pathlib import Path

import torch

from segnb.data.batches import Split, shuffled
from segnb.models.build import parameter_groups
from segnb.models.fcn import FCN, FromFeatures
from segnb.presets import Recipe
from segnb.runtime.machine import Machine
from segnb.storage.run_folder import RunFolder
from segnb.training import checkpoint
from segnb.training.feature_cache import cached
from segnb.training.loop import evaluate, train_one_epoch


def fit(
    model: torch.nn.Module,
    train: Split,
    val: Split,
    recipe: Recipe,
    seed: int,
    run: RunFolder,
    machine: Machine,
    on_epoch: Callable[[list[dict]], None] = lambda rows: None,
    feature_cache: Path | None = None,
) -> list[dict]:
    """Train by the recipe, keep the weights of the epoch of highest validation mIoU, and return the history:
    one dict per epoch.

    Writes history.csv, gradients.csv and what `segnb.training.checkpoint.Progress` keeps into the run folder
    after every epoch, and model.safetensors at the end. Called again after an interruption, it
    resumes after the last whole epoch, and everything drawn at random depends on (seed, epoch) alone, so the
    numbers are the same. A finished run is returned as it is. `on_epoch` is called with the history so far.

    feature_cache: folder in which a frozen trunk's features are kept, so that it is computed once for all
                   epochs, seeds and strides; None computes it in every step

    Raises SegnbError if another process is training this run, or if what it kept is damaged.
    """
    if not run.done:
        with run.at_work("training"):
            if not run.done:  # while this process waited
                return _fit(model, train, val, recipe, seed, run, machine, on_epoch, feature_cache)
    run.tidy()  # in case it was killed right after it had finished
    rows = run.history().to_dict("records")
    on_epoch(rows)
    return rows


def _fit(model, train, val, recipe, seed, run, machine, on_epoch, feature_cache) -> list[dict]:
    machine.place(model)
    optimizer = machine.adam(parameter_groups(model, recipe.learning_rate, recipe.backbone_learning_rate))
    scaler = machine.scaler()
    scheduler = _schedule(optimizer, recipe, steps=-(-len(train) // recipe.batch_size))
    stopper = EarlyStopping(recipe)

    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}
    progress = checkpoint.Progress(run)

    def write_tables() -> None:
        if rows:
            run.write_history(rows)
            run.write_gradients(gradients)

    def save() -> None:
        write_tables()
        state = {name: part.state_dict() for name, part in parts.items()}
        progress.save(state | {"rows": rows, "gradients": gradients})

    rows: list[dict] = []
    gradients: list[dict] = []
    state = progress.load(machine.device)
    if state is None:
        save()  # a cell stopped in the first epoch and run again starts from the same weights
    else:
        for name, part in parts.items():
            part.load_state_dict(state[name])
        rows, gradients = state["rows"], state["gradients"]
        write_tables()  # the state may be older than they are
        on_epoch(rows)
    for row in rows:
        stopper.update(row)

    network, train, val = _from_features(model, train, val, recipe, machine, feature_cache)
    if machine.compile:
        network.compile(dynamic=False)  # the short last batch has its own kernels from the first epoch on
    for epoch in range(len(rows) + 1, recipe.epochs + 1):
        if stopper.stop:
            break
        start = time.perf_counter()
        torch.manual_seed(_mix(seed, epoch))  # dropout; the batches draw from (seed, epoch) themselves
        batches = shuffled(train, recipe.batch_size, machine, seed, epoch, recipe.mirror)
        rate = optimizer.param_groups[-1]["lr"]
        trained = train_one_epoch(network, batches, optimizer, scheduler, scaler, machine)
        train_seconds = time.perf_counter() - start
        found = evaluate(network, val, recipe.batch_size, machine)
        row = {
            "epoch": epoch,
            "train_loss": trained["train_loss"],
            "val_loss": found.loss,
            "train_miou": trained["train_miou"],
            "val_miou": found.miou,
            "learning_rate": rate,
            "train_seconds": train_seconds,
            "seconds": time.perf_counter() - start,
        }
        if all(found.miou > earlier["val_miou"] for earlier in rows):
            progress.save_best(epoch, model)
        rows.append(row)
        gradients += [
            {"epoch": epoch, "layer": layer, "ratio": ratio} for layer, ratio in trained["gradients"].items()
        ]
        stopper.update(row)
        save()
        on_epoch(rows)

    best = max(rows, key=lambda row: row["val_miou"])
    summary = {
        "epochs": len(rows),
        "best_epoch": best["epoch"],
        "best_val_miou": best["val_miou"],
        "seconds": sum(row["seconds"] for row in rows),
    }
    progress.keep_best()
    run.finish(summary)
    return rows


def _from_features(model, train: Split, val: Split, recipe: Recipe, machine: Machine, folder: Path | None):
    """What to train and on what: as given, or for a frozen trunk the rest of the network on kept features."""
    if folder is None or not isinstance(model, FCN) or not model.config.freeze_trunk:
        return model, train, val
    found = []
    for split, mirror in ((train, recipe.mirror), (val, False)):
        found.append(cached(model, split, mirror, folder, machine, recipe.batch_size))
        if found[-1] is None:
            return model, train, val
    return FromFeatures(model, found[0].size), *found


class EarlyStopping:
    """Stop once neither validation loss nor mIoU has improved by `min_delta` for `patience` epochs.

    The study's rule: both must fail to improve. Without a patience it never stops.
    """

    def __init__(self, recipe: Recipe):
        self.patience, self.min_delta = recipe.patience, recipe.min_delta
        self.loss, self.miou, self.idle = float("inf"), float("-inf"), 0

    def update(self, row: dict) -> None:
        lower = row["val_loss"] < self.loss - self.min_delta
        higher = row["val_miou"] > self.miou + self.min_delta
        self.loss = row["val_loss"] if lower else self.loss
        self.miou = row["val_miou"] if higher else self.miou
        self.idle = 0 if lower or higher else self.idle + 1

    @property
    def stop(self) -> bool:
        return self.patience is not None and self.idle >= self.patience


def _schedule(optimizer, recipe: Recipe, steps: int):
    """Learning rate by step: constant, or one cycle (Smith 2018) over all epochs of `steps` steps."""
    if recipe.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=recipe.epochs * steps,
        cycle_momentum=False,
    )


def _mix(seed: int, epoch: int) -> int:
    return seed * 1_000_003 + epoch
