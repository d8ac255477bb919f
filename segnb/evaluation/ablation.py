"""A finished network on one image: as trained, or with skips and gates of some levels switched off."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from segnb.data.batches import normalise
from segnb.evaluation import evaluate, gates
from segnb.models.fcn import FCN
from segnb.models.registry import VARIANTS, UNetConfig
from segnb.runtime.machine import Machine, bits_environment, usable_cores
from segnb.study.study import Run, Study

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


def here(study: Study) -> Machine:
    """The settings to look with: the study's on all cores, or the CPU in full precision where its GPU is not.

    Whoever waits is glad of the cores; sums in another order may tip a pixel that two classes share.
    """
    machine = replace(study.machine, threads=usable_cores())
    if machine.device == "cuda" and not torch.cuda.is_available():
        machine = replace(machine, device="cpu", precision="fp32")
    return replace(machine, environment=bits_environment(machine.device))


@lru_cache(maxsize=16)  # all variants of a seed: half a gigabyte at quick size, four at the study's own
def network(run: Run) -> nn.Module:
    """Return the run's network, kept in memory. Raises SegnbError as `evaluate.load` does."""
    machine = here(run.study)
    machine.apply()
    return evaluate.load(run, machine)


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


class Prediction(NamedTuple):
    """What a network makes of one image.

    probabilities: float (C, S, S)
    maps:          {level: float (M, h, w)} of its gates, M one or one per class; empty without gates
    """

    probabilities: Tensor
    maps: dict[int, np.ndarray]

    @property
    def classes(self) -> np.ndarray:
        """uint8 (S, S): the class of highest probability."""
        return self.probabilities.max(0).indices.byte().numpy()

    @property
    def confidence(self) -> np.ndarray:
        """uint8 (S, S): that probability × 255."""
        return (self.probabilities.amax(0) * 255).round().byte().numpy()


def predict(
    run: Run, image: np.ndarray, skips: Collection[int] = (), gated: Collection[int] = ()
) -> Prediction:
    """Predict an image, uint8 (S, S, 3), with skips and gates of some levels switched off, see `without`."""
    model, machine, size = network(run), here(run.study), len(image)
    maps: dict[int, np.ndarray] = {}

    def see(level: int, found: Tensor) -> None:
        maps[level] = gates.on_image(found, level, size)[0].float().cpu().numpy()

    watching = gates.watched(model, see) if gates.has_gates(model) else nullcontext()
    batch = machine.arrange(normalise(torch.from_numpy(image[None]).to(machine.device)))
    # Watched last, to see what `without` makes of the maps.
    with without(model, size, skips, gated), watching, torch.inference_mode(), machine.autocast():
        logits = model(batch)
    return Prediction(logits[0].float().softmax(0).cpu(), dict(sorted(maps.items())))
