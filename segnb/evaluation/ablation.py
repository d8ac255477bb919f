"""Parts of a finished network switched off: skips and gates of some levels, and what gates listen to."""

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

FUSED = {4: "score_pool3", 5: "score_pool4"}  # layers of an FCN, by level


def skip_levels(variant: str) -> tuple[int, ...]:
    """The levels at which a network hands something across, finest first; level k has 2^(k-1) px a cell.

    Of an FCN these are the scores of pool3 (8 px) and pool4 (16 px) that join the coarser ones.
    """
    config = VARIANTS[variant].config
    if isinstance(config, UNetConfig):
        return gates.LEVELS if config.skip else ()
    return tuple(level for level in FUSED if config.stride < 2**level)


def gate_levels(variant: str) -> tuple[int, ...]:
    """The levels whose skips have gates."""
    return gates.LEVELS if VARIANTS[variant].gate != "none" else ()


@contextmanager
def without(
    model: nn.Module, size: int, skips: Collection[int] = (), gated: Collection[int] = ()
) -> Iterator[None]:
    """While it lasts, skips and gates of these levels say no more than their mean over the image.

    size: pixels a side of the image

    Each channel of a skip becomes its own mean, each map of a gate likewise. So no detail comes across, and
    what comes is still of a size that the network knows; zeros, which it has never met, would also shift all
    that follows, and what that costs could not be told from what the detail is worth. A gate whose skip is
    off does nothing.
    """

    def flat(level: int, values: Tensor) -> Tensor:
        return gates.image_mean(values, level, size).to(values.dtype).expand_as(values)

    def joined(level: int):
        def hook(block, inputs):
            (x,) = inputs  # the skip's channels, then as many from below
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
    """While it lasts, the signal of every gate is "shuffled", that of another image, or its "mean"."""

    def other(level: int, signal: Tensor) -> Tensor:
        if kind == "shuffled":
            return signal.roll(1, 0)  # of the image before in the batch
        return gates.image_mean(signal, level, size).to(signal.dtype).expand_as(signal)

    def hook(level: int):
        # Of `below` and `raised` a gate takes one; both are replaced.
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
    """Test a network without each of its parts: names (K,) and confusion int64 (K, N, C, C).

    pool3, pool4:  an FCN's scores of that layer; skips: all skips of a U-Net, see `without`
    signal:shuffled, signal:mean: the signal of all gates, see `signalled`; shuffled within a batch, so an
                   image that is alone in the last one keeps its own
    """
    size, levels = split.labels.shape[1], skip_levels(variant)
    fcn = isinstance(model, FCN)
    parts = {FUSED[k].removeprefix("score_"): without(model, size, (k,)) for k in levels if fcn}
    if levels and not fcn:
        parts["skips"] = without(model, size, levels)
    if gate_levels(variant):
        kinds = ("shuffled", "mean") if min(batch_size, len(split)) > 1 else ("mean",)
        parts |= {f"signal:{kind}": signalled(model, size, kind) for kind in kinds}
    found = []
    for part in parts.values():
        with part:
            found.append(evaluate(model, split, batch_size, machine).confusion.numpy())
    return {"names": np.array(list(parts)), "confusion": np.stack(found)} if parts else {}
