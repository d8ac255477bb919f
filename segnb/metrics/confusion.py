"""Scores, all of them from counts.

One confusion matrix an image is the sufficient statistic: summed over a split it gives dataset IoU,
mean IoU and pixel accuracy, and re-weighted by image the bootstrap. The only score here that does
not come from it is the study's own, which is not a function of it.
"""

import numpy as np
import torch
from torch import Tensor

from segnb.labels import IGNORE_INDEX


def _check_maps(labels: np.ndarray | Tensor, predictions: np.ndarray | Tensor) -> None:
    if labels.ndim != 3 or tuple(labels.shape) != tuple(predictions.shape):
        shapes = f"{tuple(labels.shape)} and {tuple(predictions.shape)}"
        raise ValueError(f"labels and predictions must both be (N, H, W), not {shapes}")


def confusion(labels: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """Count the pixels of each image by true and predicted class, exactly, on the tensors' device.

    labels, predictions: integer (N, H, W), ids from 0 to classes - 1; labels may be IGNORE_INDEX

    Returns int64 (N, classes, classes): image, truth (row), prediction (column). The matrix of a split
    is the sum over images. Every pixel is counted once, but for those that are IGNORE_INDEX in the labels.

    Raises ValueError for shapes that differ, for other than whole numbers, and for an id outside the
    classes, which would otherwise be counted in some other cell.
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
    # Every (image, truth, guess) has a number of its own. `image` is int64 and comes first, so that ids
    # stored in a byte are widened before they are multiplied.
    image = torch.arange(len(truth), device=truth.device)[:, None]  # (N, 1)
    cell = (image * classes + truth) * classes + guess  # (N, H·W)
    every = len(truth) * classes**2
    counts = torch.bincount(torch.where(void, every, cell).flatten(), minlength=every + 1)[:every]
    return counts.view(len(truth), classes, classes)


def most_likely(logits: Tensor) -> Tensor:
    """The class of highest logit: (N, C, H, W) to long (N, H, W); the first of several that are equal."""
    return logits.max(dim=1).indices  # argmax takes four times as long on a CPU, unless in channels_last


def ratio(above, below, where=None) -> np.ndarray | float:
    """Divide, with NaN where there is nothing to divide by.

    Args:
        above, below: numbers or arrays that broadcast.
        where: which results have a value; those whose `below` is above 0 by default.
    """
    above, below = np.broadcast_arrays(np.asarray(above, np.float64), np.asarray(below, np.float64))
    return np.divide(
        above, below, out=np.full(below.shape, np.nan), where=below > 0 if where is None else where
    )[()]


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """Intersection over union of each class: confusion (..., C, C) to float64 (..., C), 0 to 1.

    NaN for a class without a pixel of *ground truth*, whether predicted or not: its IoU would be 0 by
    definition for one stray pixel, and averaging that in would make the mean jump. The stray pixel does
    not go free, as it is missing from the class that it belongs to.
    """
    counts = np.asarray(confusion, np.float64)
    hit = np.diagonal(counts, axis1=-2, axis2=-1)
    truth, guess = counts.sum(-1), counts.sum(-2)
    return ratio(hit, truth + guess - hit, where=truth > 0)


def mean_iou(confusion: np.ndarray) -> np.ndarray | float:
    """Mean IoU over the classes that occur in the ground truth: (..., C, C) to (...), 0 to 1.

    It is the mean of the numbers of `class_iou`, unrounded. For the dataset mIoU, sum the images'
    matrices first; the mean of the images' own mIoU is another quantity. NaN where nothing was counted.
    """
    iou = class_iou(confusion)
    return ratio(np.nansum(iou, -1), (~np.isnan(iou)).sum(-1))


def pixel_accuracy(confusion: np.ndarray) -> np.ndarray | float:
    """Share of pixels whose class is right: (..., C, C) to (...), 0 to 1. NaN where nothing was counted."""
    counts = np.asarray(confusion, np.float64)
    return ratio(np.trace(counts, axis1=-2, axis2=-1), counts.sum((-2, -1)))
