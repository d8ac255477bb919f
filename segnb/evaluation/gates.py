"""Attention gates at test time: their maps, how open they are, and the loss without them.

The mean of a gate map has no meaning, because the layers after the gate can compensate for any constant. So
two questions matter: how much the map varies within an image, and how much worse the network is if the map
is replaced by its mean over the image. If a gate only scales the skip, the network is no worse.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from segnb.data.batches import Split
from segnb.models.unet import UNet
from segnb.runtime.machine import Machine
from segnb.training.loop import evaluate

LEVELS = (1, 2, 3, 4)  # of a U-Net, finest first; a cell of level k covers 2^(k-1) × 2^(k-1) pixels


def has_gates(model: torch.nn.Module) -> bool:
    """Return whether the network is a U-Net with gates."""
    return isinstance(model, UNet) and model.config.gate != "none"


@contextmanager
def watched(
    model: UNet,
    see: Callable[[int, Tensor], Tensor | None],
    weigh: Callable[[int, Tensor, Tensor], None] = lambda level, skip, gate: None,
) -> Iterator[None]:
    """Observe, and optionally replace, the gate maps of a network, within a `with` statement.

    Args:
        model: a U-Net with gates
        see: called as see(level, maps) with the maps (B, M, h, w) of each gate. Its result replaces the
            maps, unless it is None.
        weigh: called before `see` as weigh(level, skip, gate), with the skip (B, F, h, w) and the factor of
            the skip, (B, F, h, w) or (B, 1, h, w)
    """

    def hook(level: int):
        def gated(gate, inputs, maps):
            weigh(level, inputs[0], gate.per_channel(maps))
            return see(level, maps)

        return gated

    handles = [getattr(model, f"up{level}").gate.register_forward_hook(hook(level)) for level in LEVELS]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def on_image(maps: Tensor, level: int, size: int) -> Tensor:
    """Crop maps (B, M, h, w) to an image of `size` pixels per side, without the padding."""
    side = -(-size // 2 ** (level - 1))
    return maps[..., :side, :side]


def image_mean(maps: Tensor, level: int, size: int) -> Tensor:
    """Average maps (B, M, h, w) over the image: float32 (B, M, 1, 1)."""
    return on_image(maps, level, size).float().mean((2, 3), keepdim=True)


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


def neutral_confusion(model: UNet, split: Split, batch_size: int, machine: Machine) -> np.ndarray:
    """Evaluate a network without the gate maps of each level, and of all levels.

    Each map is replaced by its mean over the image.

    Returns:
        Confusion of each image, int64 (L + 1, N, C, C): without level 1, 2, …, and without all levels.
    """
    size = split.labels.shape[1]

    def tested(levels: tuple[int, ...]) -> np.ndarray:
        def flatten(level: int, maps: Tensor) -> Tensor | None:
            return image_mean(maps, level, size) if level in levels else None

        with watched(model, flatten):
            return evaluate(model, split, batch_size, machine).confusion.numpy()

    return np.stack([*(tested((level,)) for level in LEVELS), tested(LEVELS)])
