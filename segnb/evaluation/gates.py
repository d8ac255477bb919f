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

from segnb.labels import IGNORE_INDEX
from segnb.data.batches import Split
from segnb.runtime.machine import Machine
from segnb.models.unet import UNet
from segnb.training.loop import evaluate

LEVELS = (1, 2, 3, 4)  # finest first; maps of level k have a value for each cell of 2^(k-1) × 2^(k-1) pixels


def has_gates(model: torch.nn.Module) -> bool:
    return isinstance(model, UNet) and model.config.gate != "none"


@contextmanager
def watched(model: UNet, see: Callable[[int, Tensor], Tensor | None]) -> Iterator[None]:
    """While it lasts, see(level, maps) is called with what each gate returns, (B, M, h, w).

    What `see` returns takes the maps' place, unless it is None.
    """

    def hook(level: int):
        return lambda gate, inputs, maps: see(level, maps)

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


class Openness:
    """What the gates let through of each image of a split, gathered while the network predicts it.

    labels: uint8 (N, S, S), of the images in the order in which they will be seen
    keep:   indices of the images whose maps are kept
    """

    def __init__(self, labels: np.ndarray, classes: int, keep: np.ndarray):
        self.labels, self.classes, self.keep = labels, classes, set(keep.tolist())
        self._rows: dict[int, list[dict]] = {level: [] for level in LEVELS}  # by level, a row an image
        self._maps: dict[int, list] = {level: [] for level in LEVELS}

    def see(self, level: int, maps: Tensor) -> None:
        """The maps of the next images, for `watched`."""
        rows = self._rows[level]
        for one in on_image(maps, level, self.labels.shape[1]).float().cpu().numpy():
            if len(rows) in self.keep:
                self._maps[level].append(one.astype(np.float16))
            by_class = self._by_class(one, level, np.asarray(self.labels[len(rows)]))
            rows.append({"mean": one.mean((1, 2)), "std": one.std((1, 2))} | by_class)

    def _by_class(self, maps: np.ndarray, level: int, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Sums over the pixels of each class of the value of their cell: maps (M, h, w), labels (S, S)."""
        row, column = np.nonzero(labels != IGNORE_INDEX)
        label = labels[row, column]
        of = label if len(maps) > 1 else 0  # the class's own map, or the only one
        values = maps[of, row // 2 ** (level - 1), column // 2 ** (level - 1)].astype(float)
        return {
            "class_sum": np.bincount(label, values, minlength=self.classes),
            "class_squares": np.bincount(label, values**2, minlength=self.classes),
            "class_pixels": np.bincount(label, minlength=self.classes),
        }

    def statistics(self) -> dict[str, np.ndarray]:
        """With L levels, M maps a level (one, or one a class) and C classes:

        levels          (L,)
        mean, std       float32 (N, L, M), within the image
        class_sum       float64 (N, L, C), of the values at the pixels of a true class: those of the only map,
                        or of the class's own
        class_squares   the same of their squares
        class_pixels    int64 (N, L, C)
        maps1 … maps4   float16 (K, M, h, w), of the images to keep
        """
        names = self._rows[LEVELS[0]][0]
        sums = {
            name: np.stack([[row[name] for row in rows] for rows in self._rows.values()], 1) for name in names
        }
        maps = {f"maps{level}": np.stack(kept) for level, kept in self._maps.items()}
        return {"levels": np.array(LEVELS)} | sums | maps


def neutral_confusion(model: UNet, split: Split, batch_size: int, machine: Machine) -> np.ndarray:
    """Confusion without the maps of one level after the other, and last without any: int64 (L + 1, N, C, C).

    Without them means that each gate's value is the mean over its image.
    """
    size = split.labels.shape[1]

    def tested(levels: tuple[int, ...]) -> np.ndarray:
        def flatten(level: int, maps: Tensor) -> Tensor | None:
            return on_image(maps, level, size).float().mean((2, 3), keepdim=True) if level in levels else None

        with watched(model, flatten):
            return evaluate(model, split, batch_size, machine).confusion.numpy()

    return np.stack([*(tested((level,)) for level in LEVELS), tested(LEVELS)])


def openness(class_sum, class_pixels) -> np.ndarray:
    """Mean value at the pixels of each class, 0 to 1: sums (..., L, C) to (..., L, C); NaN without any."""
    pixels = np.asarray(class_pixels, float)
    return np.divide(class_sum, pixels, out=np.full(pixels.shape, np.nan), where=pixels > 0)


def class_variation(class_sum, class_squares, class_pixels) -> np.ndarray:
    """Standard deviation of the values at the pixels of each class, 0 to 0.5: (..., L, C) to (..., L, C)."""
    mean, square = openness(class_sum, class_pixels), openness(class_squares, class_pixels)
    return np.sqrt(np.maximum(square - mean**2, 0))
