"""Label maps and predictions for the tests of metrics, with class shares as uneven as in a street."""

import numpy as np
import torch

from segnb.labels import IGNORE_INDEX
from segnb.metrics import confusion

CLASSES = 5


def scenes(count: int = 4, size: int = 30, void: bool = False, seed: int = 0):
    """Make images, label maps and predictions of overlapping boxes."""
    draw = np.random.default_rng(seed)
    labels = np.zeros((count, size, size), np.uint8)
    for one in labels:
        for _ in range(9):
            y, x, h, w = draw.integers(0, size, 4)
            one[y : y + h // 2 + 1, x : x + w // 2 + 1] = draw.integers(CLASSES)
    predictions = np.roll(labels, (1, -1), (1, 2))
    predictions[:, ::7, ::5] = 3
    if void:
        labels[:, 4:9, :12] = IGNORE_INDEX
        labels[0, 15, 15] = IGNORE_INDEX
    images = draw.integers(0, 256, (count, size, size, 3), np.uint8)
    return images, labels, predictions


# Pixel shares of the classes in the study's training images in percent, by id.
SHARES = np.array([31.11, 8.45, 1.03, 1.03, 0.05, 0.49, 0.75, 19.41, 7.89, 12.38, 16.69, 0.70, 0.08])


def random_maps(images: int, classes: int = 13, size: int = 24, right: float = 0.7, seed: int = 0):
    """Make label maps and predictions that agree at a share `right`: int64 tensors (N, size, size)."""
    draw = np.random.default_rng(seed)
    shares = SHARES[:classes] / SHARES[:classes].sum()
    labels = draw.choice(classes, (images, size, size), p=shares)
    guesses = draw.choice(classes, (images, size, size), p=shares)
    predictions = np.where(draw.random(labels.shape) < right, labels, guesses)
    return torch.from_numpy(labels), torch.from_numpy(predictions)


def counted(labels, predictions, classes: int) -> np.ndarray:
    """Compute the confusion of all images, (C, C), as an array."""
    return confusion.confusion(labels, predictions, classes).sum(0).numpy()
