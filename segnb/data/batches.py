"""Batches of a split, flipped and normalised on the device. `segnb.data.dataset` makes splits."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from segnb.runtime.machine import Machine

# ImageNet's channel means and standard deviations (RGB, 0..1). The study and its backbone use them too.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Split:
    """Images and labels of a split, usually memory-mapped.

    Args:
        images: uint8 (N, S, S, 3) RGB
        labels: uint8 (N, S, S) class ids, or IGNORE_INDEX
        names: of the images, (N,)
    """

    images: np.ndarray
    labels: np.ndarray
    names: list[str]

    def __len__(self) -> int:
        return len(self.names)

    def batch(
        self, chosen: np.ndarray, flips: np.ndarray, machine: Machine
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return normalised images, float (B, 3, S, S), and labels, long (B, S, S).

        Args:
            chosen: indices of images, (B,)
            flips: bool (N,), the images of the split to flip horizontally
            machine: the device and memory layout of the batch
        """
        images = _mirrored(torch.from_numpy(self.images[chosen]).to(machine.device), flips[chosen])
        return machine.arrange(normalise(images)), self.label_batch(chosen, flips, machine)

    def label_batch(self, chosen: np.ndarray, flips: np.ndarray, machine: Machine) -> torch.Tensor:
        """Return the labels of `batch` alone."""
        return _mirrored(torch.from_numpy(self.labels[chosen]).to(machine.device), flips[chosen]).long()


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Return images uint8 (N, H, W, 3) as float (N, 3, H, W) in channels_last memory.

    Channels are normalised with ImageNet's statistics.
    """
    mean = torch.tensor(MEAN, device=images.device) * 255
    std = torch.tensor(STD, device=images.device) * 255
    # channels_last stores NCHW tensors as NHWC, so this makes no copy.
    return ((images.float() - mean) / std).permute(0, 3, 1, 2)


def _mirrored(pictures: torch.Tensor, flips: np.ndarray) -> torch.Tensor:
    """Return images or labels (B, H, W, …), flipped horizontally if their entry of `flips` (B,) is true."""
    if flips.any():
        flip = torch.from_numpy(flips).to(pictures.device).view(-1, *[1] * (pictures.ndim - 1))
        pictures = torch.where(flip, pictures.flip(2), pictures)
    return pictures


def in_order(split: Split, batch_size: int, machine: Machine) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield batches of images float (B, 3, S, S) and labels long (B, S, S) in the order of the split.

    The last batch may be smaller. A `segnb.training.feature_cache.FeatureSplit` yields features instead of
    images.
    """
    unturned = np.zeros(len(split), bool)
    for start in range(0, len(split), batch_size):
        yield split.batch(np.arange(start, min(start + batch_size, len(split))), unturned, machine)


def shuffled(
    split: Split, batch_size: int, machine: Machine, seed: int, epoch: int, mirror: bool
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield batches in random order. With `mirror`, half of the images on average are horizontally flipped.

    Order and flips depend only on (seed, epoch).
    """
    draw = np.random.default_rng([seed, epoch])
    order = draw.permutation(len(split))
    flips = draw.random(len(split)) < 0.5 if mirror else np.zeros(len(split), bool)
    for start in range(0, len(order), batch_size):
        yield split.batch(order[start : start + batch_size], flips, machine)
