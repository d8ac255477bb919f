"""Skips and gates at test time: gate maps, and networks without skips, without gates or with another signal.

A part is removed by replacing its values with their mean over the image. Nothing is trained again.

The mean of a gate map has no meaning, because the layers after the gate can compensate for any constant. So
two questions matter: how much the map varies within an image, and how much worse the network is if the map
is replaced by its mean over the image. If a gate only scales the skip, the network is no worse.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from segnb.data.batches import Split
from segnb.metrics.confusion import confusion, most_likely
from segnb.models.fcn import FCN, Taps
from segnb.models.registry import VARIANTS, UNetConfig
from segnb.models.unet import UNet
from segnb.runtime.machine import Machine
from segnb.training.loop import evaluate

LEVELS = (1, 2, 3, 4)  # of a U-Net, finest first; a cell of level k covers 2^(k-1) × 2^(k-1) pixels
FUSED = {4: "pool3", 5: "pool4"}  # by level, the tap whose scores an FCN adds


def skip_levels(variant: str) -> tuple[int, ...]:
    """Return the levels at which a network has skips, finest first.

    The skips of an FCN are the scores of pool3 (8 px per cell) and pool4 (16 px) that are added to coarser
    scores.
    """
    config = VARIANTS[variant].config
    if isinstance(config, UNetConfig):
        return LEVELS if config.skip else ()
    # A cell of a level has 2^(level - 1) px, and the network adds the scores of cells from its stride on.
    return tuple(level for level in FUSED if config.stride < 2**level)


def gate_levels(variant: str) -> tuple[int, ...]:
    """Return the levels whose skips have gates, finest first."""
    return LEVELS if VARIANTS[variant].gate != "none" else ()


def on_image(maps: Tensor, level: int, size: int) -> Tensor:
    """Crop maps (B, M, h, w) to an image of `size` pixels per side, without the padding."""
    side = -(-size // 2 ** (level - 1))
    return maps[..., :side, :side]


def image_mean(maps: Tensor, level: int, size: int) -> Tensor:
    """Average maps (B, M, h, w) over the image: float32 (B, M, 1, 1)."""
    return on_image(maps, level, size).float().mean((2, 3), keepdim=True)


# ---- gate maps ------------------------------------------------------------------------------------------


@contextmanager
def watched(
    model: nn.Module,
    levels: Collection[int],
    see: Callable[[int, Tensor], Tensor | None],
    weigh: Callable[[int, Tensor, Tensor], None] = lambda level, skip, gate: None,
) -> Iterator[None]:
    """Observe, and optionally replace, the gate maps of a network, within a `with` statement.

    Args:
        model: the network
        levels: levels whose gates are observed
        see: called as see(level, maps) with the maps (B, M, h, w) of each gate. Its result replaces the
            maps, unless it is None.
        weigh: called before `see` as weigh(level, skip, gate), with the skip (B, F, h, w) and the factor of
            the skip, (B, F, h, w) or (B, 1, h, w)
    """

    def gated(level: int, gate: nn.Module, inputs: tuple, maps: Tensor) -> Tensor | None:
        weigh(level, inputs[0], gate.per_channel(maps))
        return see(level, maps)

    with ExitStack() as hooks:
        for level in levels:
            gate = getattr(model, f"up{level}").gate
            hooks.enter_context(gate.register_forward_hook(partial(gated, level)))
        yield


class Openness:
    """Statistics of the gate maps of each image, recorded while the network predicts a split.

    Args:
        size: side of the images in pixels
        keep: indices of the images whose maps are stored
    """

    def __init__(self, size: int, keep: np.ndarray):
        self.size, self.keep = size, set(keep.tolist())
        self._std: dict[int, list] = {level: [] for level in LEVELS}  # by level, one array (M,) per image
        self._maps: dict[int, list] = {level: [] for level in LEVELS}
        self._passed: dict[int, list] = {level: [] for level in LEVELS}

    def weigh(self, level: int, skip: Tensor, gate: Tensor) -> None:
        """Add the skips of the next images and their factors; see `watched`."""
        skip, gate = (on_image(values, level, self.size).float() for values in (skip, gate))
        energy, passed = (values.square().sum((1, 2, 3)) for values in (skip, skip * gate))
        self._passed[level].append((passed / energy.clamp(min=1e-12)).double().cpu().numpy())

    def see(self, level: int, maps: Tensor) -> None:
        """Add the maps of the next images; see `watched`."""
        for image in on_image(maps, level, self.size).float().cpu().numpy():  # (M, h, w)
            if len(self._std[level]) in self.keep:
                self._maps[level].append(image.astype(np.float16))
            self._std[level].append(image.std((1, 2)))

    def statistics(self) -> dict[str, np.ndarray]:
        """Return the statistics, for L levels and M maps per level (one, or one per class).

        Returns:
            levels: (L,)
            passed: float64 (N,), 0 to 1, share of the skips' energy (sum of squares) that the gates pass,
                mean over levels
            std: float32 (N, L, M), standard deviation of a map within the image
            maps1 … maps4: float16 (K, M, h, w), the maps of the K images to keep
        """
        maps = {f"maps{level}": np.stack(images) for level, images in self._maps.items()}
        passed = np.mean([np.concatenate(shares) for shares in self._passed.values()], axis=0)
        std = np.stack([*self._std.values()], 1)
        return {"levels": np.array(LEVELS), "std": std, "passed": passed} | maps


# ---- networks without parts -----------------------------------------------------------------------------


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
        return image_mean(values, level, size).to(values.dtype).expand_as(values)

    def joined(level: int, block: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        skip, below = inputs[0].chunk(2, dim=1)  # (B, 2F, h, w): F channels of the skip, then F from below
        return torch.cat([flat(level, skip), below], dim=1)

    def fused(level: int, layer: nn.Module, inputs: tuple, scores: Tensor) -> Tensor:
        return flat(level, scores)

    with ExitStack() as hooks:
        for level in skips:
            if isinstance(model, FCN):
                layer = getattr(model, f"score_{FUSED[level]}")
                hooks.enter_context(layer.register_forward_hook(partial(fused, level)))
            else:
                block = getattr(model, f"up{level}").block
                hooks.enter_context(block.register_forward_pre_hook(partial(joined, level)))
        hooks.enter_context(watched(model, gated, flat))
        yield


@contextmanager
def signalled(model: UNet, size: int, kind: str) -> Iterator[None]:
    """Replace the gating signals of all gates, within a `with` statement.

    Args:
        model: a U-Net with gates
        size: side of the images in pixels
        kind: "shuffled", the signal of another image; or "mean", the mean over the image
    """

    def other(level: int, signal: Tensor) -> Tensor:
        if kind == "shuffled":
            return signal.roll(1, 0)  # the previous image in the batch
        return image_mean(signal, level, size).to(signal.dtype).expand_as(signal)

    def replaced(level: int, gate: nn.Module, inputs: tuple, named: dict) -> tuple[tuple, dict]:
        # A gate uses either `below` or `raised` as its signal; both are replaced.
        skip, below = inputs
        return (skip, other(level + 1, below)), {"raised": other(level, named["raised"])}

    with ExitStack() as hooks:
        for level in LEVELS:
            gate = getattr(model, f"up{level}").gate
            hooks.enter_context(gate.register_forward_pre_hook(partial(replaced, level), with_kwargs=True))
        yield


class Unfused:
    """Confusion of an FCN without each of the scores that it adds, counted while it predicts a split.

    The backbone does most of the work, so all parts share its taps of a batch.

    Args:
        levels: `skip_levels` of the network; () counts nothing
        model: the network
        split: the images
        machine: sets the device and the precision
    """

    def __init__(self, levels: tuple[int, ...], model: FCN, split: Split, machine: Machine):
        self.model, self.split, self.machine = model, split, machine
        self._counts: dict[int, list[Tensor]] = {level: [] for level in levels}
        self._seen = 0

    def see(self, trunk: nn.Module, inputs: tuple, taps: Taps) -> None:
        """Count the next images, as a forward hook of the backbone."""
        size, count = self.split.labels.shape[1:], len(taps.pool5)
        chosen = np.arange(self._seen, self._seen + count)
        labels = self.split.label_batch(chosen, np.zeros(len(self.split), bool), self.machine)
        for level, counts in self._counts.items():
            with without(self.model, size[0], [level]):
                logits = self.model.decode(taps, size)
            counts.append(confusion(labels, most_likely(logits), logits.shape[1]))
        self._seen += count

    def statistics(self) -> dict[str, np.ndarray]:
        """Return names (K,) and confusion int64 (K, N, C, C), as `confusions` does."""
        counts = {FUSED[level]: torch.cat(parts).cpu().numpy() for level, parts in self._counts.items()}
        return {"names": np.array(list(counts)), "confusion": np.stack([*counts.values()])} if counts else {}


def confusions(
    variant: str, model: UNet, split: Split, batch_size: int, machine: Machine
) -> dict[str, np.ndarray]:
    """Evaluate a U-Net without each of its parts.

    The parts are "skips" (all of them; see `without`), and "signal:shuffled" and "signal:mean" (all gating
    signals; see `signalled`). Signals are shuffled within a batch, so an image that is alone in the last
    batch keeps its own signal.

    Returns:
        names: (K,), the parts
        confusion: int64 (K, N, C, C), the confusion of each image without that part
        An empty dict for a network without such parts.
    """
    size, levels = split.labels.shape[1], skip_levels(variant)
    parts = {"skips": without(model, size, levels)} if levels else {}
    if gate_levels(variant):
        kinds = ("shuffled", "mean") if min(batch_size, len(split)) > 1 else ("mean",)
        parts |= {f"signal:{kind}": signalled(model, size, kind) for kind in kinds}
    counts = []
    for part in parts.values():
        with part:
            counts.append(evaluate(model, split, batch_size, machine).confusion.numpy())
    return {"names": np.array(list(parts)), "confusion": np.stack(counts)} if parts else {}


def neutral_confusion(model: UNet, split: Split, batch_size: int, machine: Machine) -> np.ndarray:
    """Evaluate a network without the gate maps of each level, and of all levels.

    Each map is replaced by its mean over the image.

    Returns:
        Confusion of each image, int64 (L + 1, N, C, C): without level 1, 2, …, and without all levels.
    """
    size, counts = split.labels.shape[1], []
    for levels in (*([level] for level in LEVELS), LEVELS):
        with watched(model, levels, lambda level, maps: image_mean(maps, level, size)):
            counts.append(evaluate(model, split, batch_size, machine).confusion.numpy())
    return np.stack(counts)
