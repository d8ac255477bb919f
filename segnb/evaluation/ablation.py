"""Ablations at test time: a network without its skips or gates, or with another gating signal.

A part is removed by replacing its values with their mean over the image. Nothing is trained again.
"""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from segnb.data.batches import Split
from segnb.evaluation import gates
from segnb.models.fcn import FCN
from segnb.models.registry import VARIANTS, UNetConfig
from segnb.runtime.machine import Machine
from segnb.training.loop import evaluate

FUSED = {4: "score_pool3", 5: "score_pool4"}  # by level, the layer whose scores an FCN adds


def skip_levels(variant: str) -> tuple[int, ...]:
    """Return the levels at which a network has skips, finest first.

    A cell of level k covers 2^(k-1) × 2^(k-1) px. The skips of an FCN are the scores of pool3 (8 px) and
    pool4 (16 px) that are added to coarser scores.
    """
    config = VARIANTS[variant].config
    if isinstance(config, UNetConfig):
        return gates.LEVELS if config.skip else ()
    return tuple(level for level in FUSED if config.stride < 2**level)


def gate_levels(variant: str) -> tuple[int, ...]:
    """Return the levels whose skips have gates, finest first."""
    return gates.LEVELS if VARIANTS[variant].gate != "none" else ()


@contextmanager
def without(
    model: nn.Module, size: int, skips: Collection[int] = (), gated: Collection[int] = ()
) -> Iterator[None]:
    """Replace skips and gate maps by their means over the image, within a `with` statement.

    A mean removes all detail of a channel or map and keeps its magnitude. Zeros would remove the detail too,
    but the network has never met them, so it would be unclear which of the two costs accuracy.

    Args:
        model: the network
        size: side of the images in pixels
        skips: levels whose skips are replaced
        gated: levels whose gate maps are replaced; without effect where the skip is replaced
    """

    def flat(level: int, values: Tensor) -> Tensor:
        return gates.image_mean(values, level, size).to(values.dtype).expand_as(values)

    def joined(level: int):
        def hook(block, inputs):
            (x,) = inputs  # (B, 2F, h, w): F channels of the skip, then F from below
            skip, below = x.chunk(2, dim=1)
            return (torch.cat([flat(level, skip), below], dim=1),)

        return hook

    def fused(level: int):
        return lambda layer, inputs, scores: flat(level, scores)

    def shut(level: int, maps: Tensor) -> Tensor | None:
        return flat(level, maps) if level in gated else None

    with ExitStack() as hooks:
        for level in skips:
            if isinstance(model, FCN):
                handle = getattr(model, FUSED[level]).register_forward_hook(fused(level))
            else:
                handle = getattr(model, f"up{level}").block.register_forward_pre_hook(joined(level))
            hooks.callback(handle.remove)
        if gated:
            hooks.enter_context(gates.watched(model, shut))
        yield


@contextmanager
def signalled(model: nn.Module, size: int, kind: str) -> Iterator[None]:
    """Replace the gating signals of all gates, within a `with` statement.

    Args:
        model: a U-Net with gates
        size: side of the images in pixels
        kind: "shuffled", the signal of another image; or "mean", the mean over the image
    """

    def other(level: int, signal: Tensor) -> Tensor:
        if kind == "shuffled":
            return signal.roll(1, 0)  # the previous image in the batch
        return gates.image_mean(signal, level, size).to(signal.dtype).expand_as(signal)

    def hook(level: int):
        # A gate uses either `below` or `raised` as its signal; both are replaced.
        return lambda gate, args, kwargs: (
            (args[0], other(level + 1, args[1])),
            {name: other(level, signal) for name, signal in kwargs.items()},
        )

    with ExitStack() as hooks:
        for level in gates.LEVELS:
            gate = getattr(model, f"up{level}").gate
            hooks.callback(gate.register_forward_pre_hook(hook(level), with_kwargs=True).remove)
        yield


def confusions(
    variant: str, model: nn.Module, split: Split, batch_size: int, machine: Machine
) -> dict[str, np.ndarray]:
    """Evaluate a network without each of its parts.

    The parts are "pool3" and "pool4" (scores of an FCN), "skips" (all skips of a U-Net; see `without`), and
    "signal:shuffled" and "signal:mean" (all gating signals; see `signalled`). Signals are shuffled within a
    batch, so an image that is alone in the last batch keeps its own signal.

    Returns:
        names: (K,), the parts
        confusion: int64 (K, N, C, C), the confusion of each image without that part
        An empty dict for a network without such parts.
    """
    size, levels = split.labels.shape[1], skip_levels(variant)
    fcn = isinstance(model, FCN)
    parts = {FUSED[k].removeprefix("score_"): without(model, size, (k,)) for k in levels if fcn}
    if levels and not fcn:
        parts["skips"] = without(model, size, levels)
    if gate_levels(variant):
        kinds = ("shuffled", "mean") if min(batch_size, len(split)) > 1 else ("mean",)
        parts |= {f"signal:{kind}": signalled(model, size, kind) for kind in kinds}
    counts = []
    for part in parts.values():
        with part:
            counts.append(evaluate(model, split, batch_size, machine).confusion.numpy())
    return {"names": np.array(list(parts)), "confusion": np.stack(counts)} if parts else {}
