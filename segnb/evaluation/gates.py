"""What the gates on a U-Net's skips do: how open they are, where, and what is lost without their maps.

That a gate lets through 0.9 or 0.3 of a skip means nothing in itself, as the layers behind it make up for any
constant. What counts is how its values vary within an image, and how much worse the network gets once each
value is replaced by the mean over its image: not at all, if the gate did no more than scale.
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

LEVELS = (1, 2, 3, 4)  # finest first; maps of level k have a value for each cell of 2^(k-1) × 2^(k-1) pixels


def has_gates(model: torch.nn.Module) -> bool:
    return isinstance(model, UNet) and model.config.gate != "none"


@contextmanager
def watched(
    model: UNet,
    see: Callable[[int, Tensor], Tensor | None],
    weigh: Callable[[int, Tensor, Tensor], None] = lambda level, skip, gate: None,
) -> Iterator[None]:
    """While it lasts, see(level, maps) is called with what each gate returns, (B, M, h, w).

    What `see` returns takes the maps' place, unless it is None. Before that weigh(level, skip, gate) gets the
    skip (B, F, h, w) and what it is multiplied by.
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
    """The part of maps (B, M, h, w) that lies on an image of `size` pixels a side, without the padding."""
    side = -(-size // 2 ** (level - 1))
    return maps[..., :side, :side]


def image_mean(maps: Tensor, level: int, size: int) -> Tensor:
    """Average maps (B, M, h, w) over the image: float32 (B, M, 1, 1)."""
    return on_image(maps, level, size).float().mean((2, 3), keepdim=True)


class Openness:
    """Record what the gates let through of each image of a split while the network predicts it.

    Args:
        size: side of the images, in pixels
        keep: indices of the images whose maps are saved
    """

    def __init__(self, size: int, keep: np.ndarray):
        self.size, self.keep = size, set(keep.tolist())
        self._std: dict[int, list] = {level: [] for level in LEVELS}  # by level, one array (M,) per image
        self._maps: dict[int, list] = {level: [] for level in LEVELS}
        self._passed: dict[int, list] = {level: [] for level in LEVELS}

    def weigh(self, level: int, skip: Tensor, gate: Tensor) -> None:
        """The skips of the next images and what they are multiplied by, for `watched`."""
        skip, gate = (on_image(one, level, self.size).float() for one in (skip, gate))
        whole, passed = (one.square().sum((1, 2, 3)) for one in (skip, skip * gate))
        self._passed[level].append((passed / whole.clamp(min=1e-12)).double().cpu().numpy())

    def see(self, level: int, maps: Tensor) -> None:
        """The maps of the next images, for `watched`."""
        for one in on_image(maps, level, self.size).float().cpu().numpy():
            if len(self._std[level]) in self.keep:
                self._maps[level].append(one.astype(np.float16))
            self._std[level].append(one.std((1, 2)))

    def statistics(self) -> dict[str, np.ndarray]:
        """With L levels and M maps per level (one, or one per class):

        levels          (L,)
        passed          float64 (N,), share of the skips' energy (sum of squares) that gates let through, mean
                        over levels
        std             float32 (N, L, M), within the image
        maps1 … maps4   float16 (K, M, h, w), of the images to keep
        """
        maps = {f"maps{level}": np.stack(kept) for level, kept in self._maps.items()}
        passed = np.mean([np.concatenate(shares) for shares in self._passed.values()], axis=0)
        std = np.stack([*self._std.values()], 1)
        return {"levels": np.array(LEVELS), "std": std, "passed": passed} | maps


def neutral_confusion(model: UNet, split: Split, batch_size: int, machine: Machine) -> np.ndarray:
    """Confusion without the maps of one level after the other, and last without any: int64 (L + 1, N, C, C).

    Without them means that each gate's value is the mean over its image.
    """
    size = split.labels.shape[1]

    def tested(levels: tuple[int, ...]) -> np.ndarray:
        def flatten(level: int, maps: Tensor) -> Tensor | None:
            return image_mean(maps, level, size) if level in levels else None

        with watched(model, flatten):
            return evaluate(model, split, batch_size, machine).confusion.numpy()

    return np.stack([*(tested((level,)) for level in LEVELS), tested(LEVELS)])
