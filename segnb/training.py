"""The training loop in four functions: criterion, train_one_epoch, evaluate, fit. None of them draws."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from segnb import checkpoint, measures
from segnb.data.batches import Split, in_order, shuffled
from segnb.models.variants import parameter_groups
from segnb.presets import Recipe
from segnb.rundir import RunDir


def criterion(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over all pixels. logits (N, C, H, W) of any float type, labels long (N, H, W)."""
    return F.cross_entropy(logits.float(), labels)


def autocast(device: str, precision: str):
    """Context of the forward pass: bf16 for convolutions and matrix products, or nothing for fp32."""
    return torch.autocast(device, torch.bfloat16) if precision == "bf16" else nullcontext()


@dataclass(frozen=True)
class Evaluation:
    loss: float  # mean cross-entropy a pixel
    confusion: torch.Tensor  # int64 (N, C, C) on the CPU, one count matrix an image, truth by row

    @property
    def miou(self) -> float:
        return float(measures.mean_iou(self.confusion.sum(0).numpy()))


def train_one_epoch(model, batches, optimizer, scheduler, device: str, precision: str) -> dict[str, float]:
    """One pass with updates. Returns train_loss, train_miou (as seen while learning) and grad_norm."""
    model.train()
    loss_sum = torch.zeros((), device=device, dtype=torch.float64)
    norm_sum, images_seen, steps = torch.zeros((), device=device), 0, 0
    confusion = None
    parameters = [p for p in model.parameters() if p.requires_grad]
    for images, labels in batches:
        with autocast(device, precision):
            logits = model(images)  # (B, C, S, S)
        loss = criterion(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm_sum += torch.nn.utils.get_total_norm([p.grad for p in parameters])
        optimizer.step()
        scheduler.step()
        loss_sum += loss.detach() * len(images)
        seen = measures.confusion(labels, logits.detach().argmax(1), logits.shape[1]).sum(0)
        confusion = seen if confusion is None else confusion + seen
        images_seen, steps = images_seen + len(images), steps + 1
    return {
        "train_loss": loss_sum.item() / images_seen,
        "train_miou": float(measures.mean_iou(confusion.cpu().numpy())),
        "grad_norm": norm_sum.item() / steps,
    }


@torch.no_grad()
def evaluate(model, split: Split, batch_size: int, device: str, precision: str) -> Evaluation:
    """Loss and per-image confusion over a whole split, no image dropped."""
    model.eval()
    loss_sum = torch.zeros((), device=device, dtype=torch.float64)
    confusions = []
    for images, labels in in_order(split, batch_size, device):
        with autocast(device, precision):
            logits = model(images)
        loss_sum += criterion(logits, labels) * len(images)
        confusions.append(measures.confusion(labels, logits.argmax(1), logits.shape[1]))
    return Evaluation(loss_sum.item() / len(split), torch.cat(confusions).cpu())


def fit(
    model: torch.nn.Module,
    train: Split,
    val: Split,
    recipe: Recipe,
    seed: int,
    run: RunDir,
    device: str,
    precision: str,
    on_epoch: Callable[[list[dict]], None] = lambda rows: None,
) -> list[dict]:
    """Train by the recipe, keep the best weights, and return the history: one dict an epoch.

    Writes history.csv, model.safetensors (highest validation mIoU) and last.pt into the run folder
    after every epoch; started again after an interruption it goes on behind the last whole epoch, and
    everything drawn at random depends on (seed, epoch) alone, so the numbers are the same.
    A finished run is returned as it is. `on_epoch` is called with the history so far.
    """
    if run.done:
        rows = run.history().to_dict("records")
        on_epoch(rows)
        return rows
    model.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(
        parameter_groups(model, recipe.learning_rate, recipe.trunk_learning_rate), fused=True
    )
    scheduler = _schedule(optimizer, recipe, steps=-(-len(train) // recipe.batch_size))
    stopper = EarlyStopping(recipe)

    def save(rows: list[dict]) -> None:
        parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
        state = {name: part.state_dict() for name, part in parts.items()}
        checkpoint.save_state(run.last_path, state | {"rows": rows})

    rows: list[dict] = []
    if not run.last_path.exists():
        save(rows)  # the initial weights: a cell stopped in the first epoch and run again starts from them
    else:
        state = checkpoint.load_state(run.last_path, device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        rows = state["rows"]
        on_epoch(rows)
    for row in rows:
        stopper.update(row)

    for epoch in range(len(rows) + 1, recipe.epochs + 1):
        if stopper.stop:
            break
        start = time.perf_counter()
        torch.manual_seed(_mix(seed, epoch))  # dropout; the batches draw from (seed, epoch) themselves
        batches = shuffled(train, recipe.batch_size, device, seed, epoch, recipe.mirror)
        rate = optimizer.param_groups[-1]["lr"]
        trained = train_one_epoch(model, batches, optimizer, scheduler, device, precision)
        train_seconds = time.perf_counter() - start
        found = evaluate(model, val, recipe.batch_size, device, precision)
        row = {
            "epoch": epoch,
            "train_loss": trained["train_loss"],
            "val_loss": found.loss,
            "train_miou": trained["train_miou"],
            "val_miou": found.miou,
            "learning_rate": rate,
            "grad_norm": trained["grad_norm"],
            "train_seconds": train_seconds,
            "seconds": time.perf_counter() - start,
        }
        if all(found.miou > earlier["val_miou"] for earlier in rows):
            checkpoint.save_model(run.model_path, model)
        rows.append(row)
        stopper.update(row)
        run.write_history(rows)
        save(rows)
        on_epoch(rows)

    best = max(rows, key=lambda row: row["val_miou"])
    run.finish(
        {
            "epochs": len(rows),
            "best_epoch": best["epoch"],
            "best_val_miou": best["val_miou"],
            "seconds": sum(row["seconds"] for row in rows),
        }
    )
    return rows


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
