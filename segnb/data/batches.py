"""From a split to batches: whole ones, mirrored and normalised on the device.

Where splits come from: `segnb.data.dataset`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from segnb.runtime.machine import Machine

# ImageNet's channel means and deviations (RGB, 0..1), the normalisation of the study and of its trunk.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Split:
    """images uint8 (N, S, S, 3) RGB, labels uint8 (N, S, S) ids, names (N,); memory-mapped."""

    images: np.ndarray
    labels: np.ndarray
    names: list[str]

    def __len__(self) -> int:
        return len(self.names)

    def batch(
        self, chosen: np.ndarray, flips: np.ndarray, machine: Machine
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised images, float (B, 3, S, S), and labels, long (B, S, S).

        chosen: indices (B,); flips: bool (N,), which images of the split are mirrored
        """
        images = _mirrored(torch.from_numpy(self.images[chosen]).to(machine.device), flips[chosen])
        return machine.arrange(normalise(images)), self.label_batch(chosen, flips, machine)

    def label_batch(self, chosen: np.ndarray, flips: np.ndarray, machine: Machine) -> torch.Tensor:
        """The labels alone."""
        return _mirrored(torch.from_numpy(self.labels[chosen]).to(machine.device), flips[chosen]).long()


def normalise(images: torch.Tensor) -> torch.Tensor:
    """uint8 (N, H, W, 3) to float (N, 3, H, W) in channels_last memory, by ImageNet's statistics."""
    mean = torch.tensor(MEAN, device=images.device) * 255
    std = torch.tensor(STD, device=images.device) * 255
    # NHWC seen as NCHW is what channels_last means: no copy here.
    return ((images.float() - mean) / std).permute(0, 3, 1, 2)


def _mirrored(pictures: torch.Tensor, flips: np.ndarray) -> torch.Tensor:
    """Pictures (B, H, W, ...) with those turned left to right that `flips` (B,) names."""
    if flips.any():
        flip = torch.from_numpy(flips).to(pictures.device).view(-1, *[1] * (pictures.ndim - 1))
        pictures = torch.where(flip, pictures.flip(2), pictures)
    return pictures


def in_order(split: Split, batch_size: int, machine: Machine) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of (images float (B, 3, S, S), labels long (B, S, S)) in file order, the last one short.

    `split` may also be a `segnb.training.feature_cache.FeatureSplit`; then features take the place of images.
    """
    unturned = np.zeros(len(split), bool)
    for start in range(0, len(split), batch_size):
        yield split.batch(np.arange(start, min(start + batch_size, len(split))), unturned, machine)


def shuffled(
    split: Split, batch_size: int, machine: Machine, seed: int, epoch: int, mirror: bool
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The same in an order, and with mirrored images, that only (seed, epoch) decide."""
    draw = np.random.default_rng([seed, epoch])
    order = draw.permutation(len(split))
    flips = draw.random(len(split)) < 0.5 if mirror else np.zeros(len(split), bool)
    for start in range(0, len(order), batch_size):
        yield split.batch(order[start : start + batch_size], flips, machine)
