"""The training loop, in reading order.

`criterion` computes the loss of a batch, `train_step` makes one update, `train_one_epoch` goes once over the
training images, `evaluate` computes loss and confusion of a split, and `fit` trains a network to the end.
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

# Nats per pixel, mean over an epoch. A run with a higher loss has diverged, even if its loss is finite.
# Guessing among 255 classes has a loss of 5.5.
DIVERGED = 1000.0
HIGHEST = 0.01  # highest learning rate proposed after a divergence; Adam hardly ever trains at higher ones


def criterion(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Compute the mean cross-entropy over all labelled pixels of a batch.

    Args:
        logits: (N, C, H, W), of any float type
        labels: long (N, H, W), class ids 0 to C - 1, or IGNORE_INDEX for void

    Returns:
        float32 scalar in nats per pixel; 0 if all pixels are void
    """
    pixels = (labels != IGNORE_INDEX).sum().clamp(min=1)
    return F.cross_entropy(logits.float(), labels, ignore_index=IGNORE_INDEX, reduction="sum") / pixels


def train_step(
    model, images, labels, optimizer, scaler, machine: Machine
) -> tuple[torch.Tensor, torch.Tensor]:
    """Update the weights with the gradients of one batch.

    Args:
        images: float (B, 3, S, S), ImageNet-normalised, or their Taps for a `FromFeatures` network
        labels: long (B, S, S), class ids or IGNORE_INDEX
        scaler: of the loss; it does nothing except in fp16

    Returns:
        The cross-entropy (scalar, nats per pixel) and the logits (B, C, S, S), both detached.
    """
    tied = getattr(model, "has_class_gates", False)  # gate maps tied to classes have a loss of their own
    with machine.autocast():
        logits, gates = model(images, return_gates=True) if tied else (model(images), ())
    loss = criterion(logits, labels)
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss + CLASS_GATE_WEIGHT * class_gate_loss(gates, labels) if tied else loss).backward()
    scaler.unscale_(optimizer)  # so that `train_one_epoch` can take the norms of the gradients
    scaler.step(optimizer)
    scaler.update()
    return loss.detach(), logits.detach()


def train_one_epoch(model, batches, optimizer, scheduler, scaler, machine: Machine) -> dict[str, float]:
    """Update the weights once per batch.

    Returns:
        train_loss: mean cross-entropy in nats per pixel, of the predictions made during training
        train_miou: mIoU of the same predictions, 0 to 1
        gradients: for each layer, the norm of its weight's gradient divided by the norm of the weight, both
            averaged over the steps
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
        loss_sum += loss * seen.sum()  # the matrix sums to the number of labelled pixels
        confusion = seen if confusion is None else confusion + seen
    return {
        "train_loss": (loss_sum / confusion.sum()).item(),
        "train_miou": float(mean_iou(confusion.cpu().numpy())),
        "gradients": dict(zip(layers, (gradients / weights).tolist(), strict=True)),
    }


def trained_layers(model) -> dict[str, torch.nn.Parameter]:
    """Return the weights of all trained convolutions, by the name of the layer: {"down1.0": …}."""
    kinds = torch.nn.Conv2d | torch.nn.ConvTranspose2d
    found = {name: layer.weight for name, layer in model.named_modules() if isinstance(layer, kinds)}
    # `FromFeatures` wraps an FCN. Without its prefix, names are the same with and without the cache.
    return {name.removeprefix("fcn."): weight for name, weight in found.items() if weight.requires_grad}


@dataclass(frozen=True)
class Evaluation:
    """Loss and confusion matrices of a network on a split.

    Attributes:
        loss: mean cross-entropy in nats per pixel
        confusion: int64 (N, C, C) on the CPU, pixels of each image by ground truth (row) and prediction
    """

    loss: float
    confusion: torch.Tensor

    @property
    def miou(self) -> float:
        """The mIoU of the split, 0 to 1."""
        return float(mean_iou(self.confusion.sum(0).numpy()))


@torch.no_grad()
def evaluate(
    model,
    split: Split,
    batch_size: int,
    machine: Machine,
    see: Callable[[torch.Tensor], None] = lambda logits: None,
) -> Evaluation:
    """Compute loss and confusion of all images of a split, without updates.

    Args:
        see: called with the logits of each batch, (B, C, S, S), for further metrics
    """
    model.eval()
    loss_sum = torch.zeros((), device=machine.device, dtype=torch.float64)
    confusions = []
    for images, labels in in_order(split, batch_size, machine):
        with machine.autocast():
            logits = model(images)
        confusions.append(confusion_by_image(labels, most_likely(logits), logits.shape[1]))
        loss_sum += criterion(logits, labels) * confusions[-1].sum()  # times the labelled pixels
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
    """Train a network and keep the weights of the epoch with the highest validation mIoU.

    After every epoch, the run folder contains history.csv, gradients.csv and the checkpoints of
    `segnb.training.checkpoint.Progress`; at the end, it contains model.safetensors. After an interruption,
    call `fit` again to resume after the last completed epoch. All random numbers depend on (seed, epoch)
    alone, so the results are the same. If the run is finished, nothing is trained.

    Args:
        seed: fixes the order of the images, horizontal flips and dropout
        run: folder for the results
        on_epoch: called after every epoch with the history so far
        feature_cache: folder for the features of a frozen backbone, which are then computed once for all
            epochs, seeds and strides; None computes them in every step

    Returns:
        The history, one dict per epoch.

    Raises:
        SegnbError: if another process trains this run, if all checkpoints are damaged, or if the run
            diverges or has diverged before (see `RunFolder.diverged`).
    """
    if not run.done:
        with run.at_work("training"):
            if run.diverged:
                raise SegnbError(f"{run.diverged['error']}; to train this run again, delete {run.path}")
            if not run.done:  # unless another process finished it in the meantime
                return _fit(model, train, val, recipe, seed, run, machine, on_epoch, feature_cache)
    run.tidy()  # removes the checkpoints if the process was killed right after it had finished
    rows = run.history().to_dict("records")
    on_epoch(rows)
    return rows


def _fit(model, train, val, recipe, seed, run, machine, on_epoch, feature_cache) -> list[dict]:
    """Train as `fit` describes, in the process that holds the lock of the run."""
    machine.place(model)
    optimizer = machine.adam(parameter_groups(model, recipe.learning_rate, recipe.backbone_learning_rate))
    scaler = machine.scaler()
    scheduler = _schedule(optimizer, recipe, steps=-(-len(train) // recipe.batch_size))
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}
    progress = checkpoint.Progress(run)

    def write_tables() -> None:
        """Write history.csv and gradients.csv from `rows` and `gradients`, which are assigned below."""
        if rows:
            run.write_history(rows)
            run.write_gradients(gradients)

    def save() -> None:
        """Write the tables and a checkpoint after an epoch."""
        write_tables()
        state = {name: part.state_dict() for name, part in parts.items()}
        progress.save(state | {"rows": rows, "gradients": gradients})

    rows, gradients = [], []
    state = progress.load(machine.device)
    if state is None:
        save()  # so that a run interrupted in its first epoch starts again from the same weights
    else:
        for name, part in parts.items():
            part.load_state_dict(state[name])
        rows, gradients = state["rows"], state["gradients"]
        del state  # on a GPU, it would take memory during the whole training
        write_tables()  # the tables on disk may be newer than the checkpoint
        on_epoch(rows)

    network, train, val = _from_features(model, train, val, recipe, machine, feature_cache)
    if machine.compile:
        network.compile(dynamic=False)  # static shapes; a smaller last batch is compiled separately
    for epoch in range(len(rows) + 1, recipe.epochs + 1):
        if stops_early(rows, recipe):
            break
        start = time.perf_counter()
        # For dropout; the batches have a generator of their own. Each (seed, epoch) has a number of its own.
        torch.manual_seed(seed * 1_000_003 + epoch)
        batches = shuffled(train, recipe.batch_size, machine, seed, epoch, recipe.mirror)
        rate = optimizer.param_groups[-1]["lr"]  # outside the backbone, at the start of the epoch
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
    """Return an error message if the losses of an epoch show a divergence, otherwise ""."""
    if row["train_loss"] <= DIVERGED and math.isfinite(row["val_loss"]):  # False if the training loss is NaN
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
    """Return the network and the splits to train with.

    If the backbone is frozen and its features fit into the cache, these are the layers above the backbone
    and the cached features; otherwise the arguments are returned unchanged.
    """
    if folder is None or not isinstance(model, FCN) or not model.config.freeze_trunk:
        return model, train, val
    found = []
    for split, mirror in ((train, recipe.mirror), (val, False)):
        found.append(cached(model, split, mirror, folder, machine, recipe.batch_size))
        if found[-1] is None:
            return model, train, val
    return FromFeatures(model, found[0].size), *found


def stops_early(rows: list[dict], recipe: Recipe) -> bool:
    """Return whether training stops after the epochs of a history, by the study's rule of early stopping.

    It stops once neither the validation loss nor the validation mIoU has improved by more than
    `recipe.min_delta` for `recipe.patience` epochs. If the patience is None, it never stops early.
    """
    loss, miou, idle = math.inf, -math.inf, 0
    for row in rows:
        lower, higher = row["val_loss"] < loss - recipe.min_delta, row["val_miou"] > miou + recipe.min_delta
        loss = row["val_loss"] if lower else loss
        miou = row["val_miou"] if higher else miou
        idle = 0 if lower or higher else idle + 1
    return recipe.patience is not None and idle >= recipe.patience


def _schedule(optimizer, recipe: Recipe, steps: int):
    """Make the schedule of the learning rate: constant, or one cycle (Smith 2018) over the run.

    Args:
        steps: per epoch
    """
    if recipe.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=recipe.epochs * steps,
        cycle_momentum=False,
    )
