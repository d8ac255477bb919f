"""The reported score: the number that the study calls mIoU. Claims M1 and M2 compare it with mIoU."""

import numpy as np
import torch
from torch import Tensor

from segnb.labels import IGNORE_INDEX
from segnb.metrics.confusion import _check_maps


def as_published_score(
    labels: np.ndarray | Tensor, predictions: np.ndarray | Tensor, classes: int = 13
) -> float:
    """Compute the score that the study reports as mIoU, with the study's library and settings.

    The study passed label maps to `torchmetrics.segmentation.MeanIoU(num_classes=13)`. The default
    `input_format` of that metric is "one-hot", arrays (N, class, …) of zeros and ones, but the metric does
    not check its input. So it reads (N, H, W) as N images with H "classes" of W pixels each (torchmetrics
    1.9.0):

    - The intersection of a row of pixels is the sum of `label & prediction`, a bitwise AND of ids. The union
      is the sum of both minus the intersection, which equals the sum of `label | prediction`.
    - The score is the mean of intersection over union over all rows of all images. Rows with a union of 0
      (only id 0 in both, such as a strip of sky) are left out. All rows have the same weight, so the batch
      size, 8 in the study, and `num_classes` do not matter, except for rounding in float32.

    So the weight of a pixel is its id: 12 for Traffic sign, 1 for Building, 0 for Unlabeled unless it is
    mistaken. A wrong prediction scores for the bits that both ids share: Roadline (6 = 0110) predicted as
    Road (7 = 0111) is 6/7 right. And classes are never evaluated, so a rare class that is never predicted
    hardly lowers the score.

    Args:
        labels, predictions: integer (N, H, W), class ids; where the labels are IGNORE_INDEX, both count as
            id 0
        classes: passed to the metric; without effect

    Returns:
        0 to 1, and 1 for a perfect prediction; NaN if all ids are 0

    Raises:
        ValueError: if shapes differ or are not (N, H, W)
    """
    from torchmetrics.segmentation import MeanIoU  # here, because the import takes seconds

    _check_maps(labels, predictions)
    metric = MeanIoU(num_classes=classes)
    for start in range(0, len(labels), 8):
        truth = torch.asarray(labels[start : start + 8], dtype=torch.long)
        guess = torch.asarray(predictions[start : start + 8], dtype=torch.long)
        known = truth != IGNORE_INDEX
        metric.to(truth.device).update(guess * known, truth * known)
    return metric.compute().item()
