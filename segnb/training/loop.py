"""The training loop, to be read from top to bottom.

`criterion` is the loss of a batch, `train_step` one update, `train_one_epoch` one pass over the training
images, `evaluate` one pass over a split without updates, and `fit` a whole training. None of them draws.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from segnb.data.batches import Split, in_order, shuffled
from segnb.errors import SegnbError
from segnb.labels import IGNORE_INDEX
from segnb.metrics.confusion import confusion as confusion_by_image
from segnb.metrics.confusion import mean_iou, most_likely
from segnb.models.attention import CLASS_GATE_WEIGHT, class_gate_loss
from segnb.models.build import parameter_groups
from segnb.models.fcn import FCN, FromFeatures
from segnb.presets import Recipe
from segnb.runtime.machine import Machine
from segnb.storage.run_folder import RunFolder
from segnb.training import checkpoint
from segnb.training.feature_cache import cached

# Nats a pixel, mean over an epoch: beyond them a training has diverged, though its loss is a number. A guess
# among 255 classes costs 5.5.
DIVERGED = 1000.0
HIGHEST = 0.01  # learning rate that is proposed where one was too high: with Adam more hardly ever trains


def criterion(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Average the cross-entropy over all labelled pixels.

    Args:
        logits: of any float type, (N, C, H, W)
        labels: long (N, H, W), class ids from 0, or IGNORE_INDEX
    """
    pixels = (labels != IGNORE_INDEX).sum().clamp(min=1)  # a batch of nothing but void costs nothing
    return F.cross_entropy(logits.float(), labels, ignore_index=IGNORE_INDEX, reduction="sum") / pixels


def train_step(
    model, images, labels, optimizer, scaler, machine: Machine
) -> tuple[torch.Tensor, torch.Tensor]:
    """Predict a batch, compute its gradients and update the weights.

    Args:
        images: float (B, 3, S, S), or their Taps for a network that starts from features
        labels: long (B, S, S)

    Returns:
        The cross-entropy and the logits (B, C, S, S), both detached.
    """
    tied = getattr(model, "has_class_gates", False)  # gate maps have a loss of their own
    with machine.autocast():
        logits, gates = model(images, return_gates=True) if tied else (model(images), ())
    loss = criterion(logits, labels)
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss + CLASS_GATE_WEIGHT * class_gate_loss(gates, labels) if tied else loss).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    return loss.detach(), logits.detach()


def train_one_epoch(model, batches, optimizer, scheduler, scaler, machine: Machine) -> dict[str, float]:
    """Update the weights once per batch.

    Returns:
        train_loss and train_miou, of the predictions made while learning; and gradients, by layer: the norm
        of its weight's gradient over that of the weight, both means over the steps.
    """
    model.train()
    loss_sum = torch.zeros((), device=machine.device, dtype=torch.float64)
    confusion = None
    layers = trained_layers(model)
    gradients, weights = torch.zeros(2, len(layers), device=machine.device)
    for images, labels in batches:
        loss, logits = train_step(model, images, labels, optimizer, scaler, machine)
        scheduler.step()
        gradients += torch.stack([w.grad.norm() for w in layers.values()])
        weights += torch.stack([w.detach().norm() for w in layers.values()])
        seen = confusion_by_image(labels, most_likely(logits), logits.shape[1]).sum(0)
        loss_sum += loss * seen.sum()  # the matrix counts the labelled pixels
        confusion = seen if confusion is None else confusion + seen
    return {
        "train_loss": (loss_sum / confusion.sum()).item(),
        "train_miou": float(mean_iou(confusion.cpu().numpy())),
        "gradients": dict(zip(layers, (gradients / weights).tolist(), strict=True)),
    }


def trained_layers(model) -> dict[str, torch.nn.Parameter]:
    """Return the weights of the convolutions that learn, by the layer's name: {"down1.0": …}."""
    kinds = torch.nn.Conv2d | torch.nn.ConvTranspose2d
    found = {name: layer.weight for name, layer in model.named_modules() if isinstance(layer, kinds)}
    # A network that starts from features carries the whole one, and its names, inside.
    return {name.removeprefix("fcn."): weight for name, weight in found.items() if weight.requires_grad}


@dataclass(frozen=True)
class Evaluation:
    """What a network makes of a split.

    loss:      mean cross-entropy per pixel
    confusion: int64 (N, C, C) on the CPU, one matrix of counts per image, ground truth by row
    """

    loss: float
    confusion: torch.Tensor

    @property
    def miou(self) -> float:
        """Mean IoU of the whole split."""
        return float(mean_iou(self.confusion.sum(0).numpy()))


@torch.no_grad()
def evaluate(
    model,
    split: Split,
    batch_size: int,
    machine: Machine,
    see: Callable[[torch.Tensor], None] = lambda logits: None,
) -> Evaluation:
    """Compute loss and confusion of a whole split, no image dropped.

    Args:
        see: called with the logits of each batch, (B, C, S, S), for what else there is to know of them
    """
    model.eval()
    loss_sum = torch.zeros((), device=machine.device, dtype=torch.float64)
    confusions = []
    for images, labels in in_order(split, batch_size, machine):
        with machine.autocast():
            logits = model(images)
        confusions.append(confusion_by_image(labels, most_likely(logits), logits.shape[1]))
        loss_sum += criterion(logits, labels) * confusions[-1].sum()  # of its labelled pixels
        see(logits)
    confusion = torch.cat(confusions)
    return Evaluation((loss_sum / confusion.sum()).item(), confusion.cpu())


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
    """Train by the recipe and keep the weights of the epoch of highest validation mIoU.

    Writes history.csv, gradients.csv and what `segnb.training.checkpoint.Progress` keeps into the run folder
    after every epoch, and model.safetensors at the end. Called again after an interruption, it resumes after
    the last whole epoch; everything drawn at random depends on (seed, epoch) alone, so the numbers are the
    same. A finished run is returned as it is.

    Args:
        on_epoch: called with the history so far after every epoch
        feature_cache: folder for the features of a frozen trunk, so that they are computed once for all
            epochs, seeds and strides; None computes them in every step

    Returns:
        The history, one dict per epoch.

    Raises:
        SegnbError: if another process is training this run, if what it kept is damaged, or if the training
            diverges, now or earlier, see `RunFolder.diverged`.
    """
    if not run.done:
        with run.at_work("training"):
            if run.diverged:
                raise SegnbError(f"{run.diverged['error']}; to train this run again, delete {run.path}")
            if not run.done:  # while this process waited
                return _fit(model, train, val, recipe, seed, run, machine, on_epoch, feature_cache)
    run.tidy()  # in case it was killed right after it had finished
    rows = run.history().to_dict("records")
    on_epoch(rows)
    return rows


def _fit(model, train, val, recipe, seed, run, machine, on_epoch, feature_cache) -> list[dict]:
    """Do what `fit` says, in the one process that may."""
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

    rows, gradients = [], []
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
        torch.manual_seed(seed * 1_000_003 + epoch)  # dropout; the batches draw from (seed, epoch) themselves
        batches = shuffled(train, recipe.batch_size, machine, seed, epoch, recipe.mirror)
        rate = optimizer.param_groups[-1]["lr"]
        trained = train_one_epoch(network, batches, optimizer, scheduler, scaler, machine)
        train_seconds = time.perf_counter() - start
        validated = evaluate(network, val, recipe.batch_size, machine)
        row = {
            "epoch": epoch,
            "train_loss": trained["train_loss"],
            "val_loss": validated.loss,
            "train_miou": trained["train_miou"],
            "val_miou": validated.miou,
            "learning_rate": rate,
            "train_seconds": train_seconds,
            "seconds": time.perf_counter() - start,
        }
        rows.append(row)
        gradients += [
            {"epoch": epoch, "layer": layer, "ratio": ratio} for layer, ratio in trained["gradients"].items()
        ]
        if error := _divergence(row, recipe, optimizer, machine):
            write_tables()
            run.diverge(epoch, error)
            on_epoch(rows)
            raise SegnbError(error)
        if all(validated.miou > earlier["val_miou"] for earlier in rows[:-1]):
            progress.save_best(epoch, model)
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


def _divergence(row: dict, recipe: Recipe, optimizer, machine: Machine) -> str:
    """Say in a line that an epoch's losses are those of a training that diverges; "" if they are not."""
    if row["train_loss"] <= DIVERGED and math.isfinite(row["val_loss"]):  # NaN is not smaller
        return ""
    rates = {"LEARNING_RATE": recipe.learning_rate}
    if len(optimizer.param_groups) > 1:
        rates["BACKBONE_LEARNING_RATE"] = recipe.backbone_learning_rate
    lower = " ".join(f"{name}={min(rate / 10, HIGHEST):g}" for name, rate in rates.items())
    return (
        f"the training diverged in epoch {row['epoch']} of {recipe.epochs} (training loss"
        f" {row['train_loss']:.3g}, validation loss {row['val_loss']:.3g}); try a lower learning rate, such"
        f" as {lower}" + (", or PRECISION=fp32" if machine.precision != "fp32" else "")
    )


def _from_features(model, train: Split, val: Split, recipe: Recipe, machine: Machine, folder: Path | None):
    """Return what to train and on what: as given, or for a frozen trunk the rest of it on kept features."""
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
    """Schedule the learning rate: constant, or one cycle (Smith 2018) over all epochs of `steps` steps."""
    if recipe.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=recipe.epochs * steps,
        cycle_momentum=False,
    )
