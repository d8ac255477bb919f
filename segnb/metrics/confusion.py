"""The confusion matrix of each image, and the scores computed from it.

One matrix per image is enough for the IoU of each class, mIoU and pixel accuracy of a split (from the sum of
its matrices), and for a bootstrap over images (from weighted sums). The study's reported score cannot be
computed from it; see `segnb.metrics.published_score`.
"""

import numpy as np
import torch
from torch import Tensor

from segnb.labels import IGNORE_INDEX


def _check_maps(labels: np.ndarray | Tensor, predictions: np.ndarray | Tensor) -> None:
    """Raise ValueError unless both are (N, H, W) of the same shape."""
    if labels.ndim != 3 or tuple(labels.shape) != tuple(predictions.shape):
        shapes = f"{tuple(labels.shape)} and {tuple(predictions.shape)}"
        raise ValueError(f"labels and predictions must both be (N, H, W), not {shapes}")


def confusion(labels: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """Count the pixels of each image by true and predicted class, on the device of the tensors.

    Every pixel counts once, except for void pixels, which do not count.

    Args:
        labels: ground truth, integer (N, H, W), ids 0 to classes - 1, or IGNORE_INDEX for void
        predictions: integer (N, H, W), ids 0 to classes - 1
        classes: number of classes

    Returns:
        int64 (N, classes, classes): image, true class (row), predicted class (column). The matrix of a split
        is the sum over its images.

    Raises:
        ValueError: if shapes differ, numbers are not integers, or an id is not a class. Without this check,
            such an id would count in the cell of another pair of classes.
    """
    _check_maps(labels, predictions)
    if labels.is_floating_point() or predictions.is_floating_point():
        raise ValueError(f"labels and predictions must be ids, not {labels.dtype} and {predictions.dtype}")
    truth, guess = labels.flatten(1), predictions.flatten(1)  # (N, H·W)
    void = truth == IGNORE_INDEX
    truth = torch.where(void, 0, truth)
    for name, ids in (("labels", truth), ("predictions", guess)):
        if ids.numel() and (ids.min() < 0 or ids.max() >= classes):
            raise ValueError(f"{name} hold ids {ids.min()} to {ids.max()}, classes are 0 to {classes - 1}")
    # Number all cells (image, truth, guess). `image` is int64 and comes first, so that ids of one byte are
    # widened before the multiplication.
    image = torch.arange(len(truth), device=truth.device)[:, None]  # (N, 1)
    cell = (image * classes + truth) * classes + guess  # (N, H·W)
    every = len(truth) * classes**2
    counts = torch.bincount(torch.where(void, every, cell).flatten(), minlength=every + 1)[:every]
    return counts.view(len(truth), classes, classes)


def most_likely(logits: Tensor) -> Tensor:
    """Return the class with the highest logit: (N, C, H, W) -> long (N, H, W). The first wins a tie."""
    return logits.max(dim=1).indices  # argmax takes four times as long on a CPU, except in channels_last


def ratio(above, below, where=None) -> np.ndarray | float:
    """Divide, with NaN in place of a division by zero.

    Args:
        above, below: numbers or arrays that broadcast
        where: bool, False makes a result NaN; by default `below` > 0

    Returns:
        float64, of the broadcast shape
    """
    above, below = np.broadcast_arrays(np.asarray(above, np.float64), np.asarray(below, np.float64))
    return np.divide(
        above, below, out=np.full(below.shape, np.nan), where=below > 0 if where is None else where
    )[()]


def class_pixels(confusion: np.ndarray) -> np.ndarray:
    """Return the correct, true and predicted pixels of each class: (..., C, C) -> float64 (..., 3, C).

    They are enough for every IoU, and a bootstrap sums a quarter of the numbers.
    """
    counts = np.asarray(confusion, np.float64)
    return np.stack([np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)], -2)


def iou(pixels: np.ndarray) -> np.ndarray:
    """Compute the intersection over union (IoU) of each class from its pixels.

    A class without ground truth has IoU NaN, even if it is predicted. Otherwise a single wrong pixel would
    give it IoU 0, and the mean would jump. Such a pixel still lowers the IoU of its true class.

    Args:
        pixels: counts (..., 3, C), see `class_pixels`

    Returns:
        float64 (..., C), 0 to 1 or NaN
    """
    correct, true, predicted = np.moveaxis(pixels, -2, 0)
    return ratio(correct, true + predicted - correct, where=true > 0)


def class_mean(scores: np.ndarray) -> np.ndarray | float:
    """Average over the classes with a score: (..., C) -> (...); NaN if no class has one."""
    return ratio(np.nansum(scores, -1), (~np.isnan(scores)).sum(-1))


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """Compute the `iou` of each class: counts (..., C, C) -> float64 (..., C), 0 to 1 or NaN."""
    return iou(class_pixels(confusion))


def mean_iou(confusion: np.ndarray) -> np.ndarray | float:
    """Compute the mean IoU over the classes that occur in the ground truth.

    For the mIoU of a split, sum the matrices of its images first. The mean of the mIoUs of single images is
    another quantity.

    Args:
        confusion: counts (..., C, C)

    Returns:
        float64 (...), 0 to 1, or NaN for a matrix of zeros
    """
    return class_mean(class_iou(confusion))


def pixel_accuracy(confusion: np.ndarray) -> np.ndarray | float:
    """Return the share of correct pixels: (..., C, C) -> (...), 0 to 1, or NaN for a matrix of zeros."""
    counts = np.asarray(confusion, np.float64)
    return ratio(np.trace(counts, axis1=-2, axis2=-1), counts.sum((-2, -1)))
