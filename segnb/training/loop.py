"""The training loop: criterion, train_step, train_one_epoch, evaluate, fit. None of them draws."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from segnb.data.batches import Split, in_order
from segnb.labels import IGNORE_INDEX
from segnb.metrics import confusion as confusion_module
from segnb.metrics.confusion import mean_iou, most_likely
from segnb.models.attention import CLASS_GATE_WEIGHT, class_gate_loss
from segnb.runtime.machine import Machine


def criterion(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over all labelled pixels.

    logits (N, C, H, W) of any float type; labels long (N, H, W), ids from 0, or IGNORE_INDEX
    """
    pixels = (labels != IGNORE_INDEX).sum().clamp(min=1)  # a batch of nothing but void costs nothing
    return F.cross_entropy(logits.float(), labels, ignore_index=IGNORE_INDEX, reduction="sum") / pixels


@dataclass(frozen=True)
class Evaluation:
    loss: float  # mean cross-entropy a pixel
    confusion: torch.Tensor  # int64 (N, C, C) on the CPU, one count matrix an image, truth by row

    @property
    def miou(self) -> float:
        return float(mean_iou(self.confusion.sum(0).numpy()))


def train_step(
    model, images, labels, optimizer, scaler, machine: Machine
) -> tuple[torch.Tensor, torch.Tensor]:
    """Forwards, backwards, update. Returns the cross-entropy and the logits (B, C, S, S), both detached.

    images: float (B, 3, S, S), or the Taps of them for a network that starts from features
    """
    tied = getattr(model, "has_class_gates", False)  # gate maps that are told which class is theirs
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
    """One pass with updates.

    Returns train_loss and train_miou, as seen while learning; and gradients, by layer: the norm of its
    weight's gradient over that of the weight, both means over the steps.
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
        seen = confusion_module.confusion(labels, most_likely(logits), logits.shape[1]).sum(0)
        loss_sum += loss * seen.sum()  # the matrix counts the labelled pixels
        confusion = seen if confusion is None else confusion + seen
    return {
        "train_loss": (loss_sum / confusion.sum()).item(),
        "train_miou": float(mean_iou(confusion.cpu().numpy())),
        "gradients": dict(zip(layers, (gradients / weights).tolist(), strict=True)),
    }


def trained_layers(model) -> dict[str, torch.nn.Parameter]:
    """Weights of the convolutions that learn, by the layer's name: {"down1.0": …}."""
    kinds = torch.nn.Conv2d | torch.nn.ConvTranspose2d
    found = {name: layer.weight for name, layer in model.named_modules() if isinstance(layer, kinds)}
    # A network that starts from features carries the whole one, and its names, inside.
    return {name.removeprefix("fcn."): weight for name, weight in found.items() if weight.requires_grad}


@torch.no_grad()
def evaluate(
    model,
    split: Split,
    batch_size: int,
    machine: Machine,
    see: Callable[[torch.Tensor], None] = lambda logits: None,
) -> Evaluation:
    """Loss and per-image confusion over a whole split, no image dropped.

    `see` is called with the logits of each batch, (B, C, S, S), for what else there is to know of them.
    """
    model.eval()
    loss_sum = torch.zeros((), device=machine.device, dtype=torch.float64)
    confusions = []
    for images, labels in in_order(split, batch_size, machine):
        with machine.autocast():
            logits = model(images)
        confusions.append(confusion_module.confusion(labels, most_likely(logits), logits.shape[1]))
        loss_sum += criterion(logits, labels) * confusions[-1].sum()  # of its labelled pixels
        see(logits)
    confusion = torch.cat(confusions)
    return Evaluation((loss_sum / confusion.sum()).item(), confusion.cpu())
