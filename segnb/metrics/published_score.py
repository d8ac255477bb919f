"""The study's own score, which is not the mean IoU that it is called: claims M1 and M2 compare the two."""

import numpy as np
import torch
from torch import Tensor

from segnb.labels import IGNORE_INDEX
from segnb.metrics.confusion import _check_maps


def as_published_score(
    labels: np.ndarray | Tensor, predictions: np.ndarray | Tensor, classes: int = 13
) -> float:
    """The score that the study printed as mIoU, computed by the library and in the way that it used.

    labels, predictions: integer (N, H, W) class ids; where the labels are IGNORE_INDEX, both count as id 0

    The study fed label maps to `torchmetrics.segmentation.MeanIoU(num_classes=13)`, whose default
    `input_format` is "one-hot": (N, class, …) of zeros and ones. Nothing checks that, so (N, H, W) is
    taken for N images of H "classes" with W pixels each, and (torchmetrics 1.9.0)

    - the intersection of a row of pixels is the sum of `label & prediction`, the AND of the *bits of
      the ids*, and its union the sum of both minus that, which is the sum of `label | prediction`;
    - the score is the mean of their ratio over all rows of all images; rows where the union is 0
      (nothing but id 0 in both, such as a strip of sky) are left out. Every row weighs the same, so
      the batch size, 8 in the study, does not matter beyond rounding in float32, nor does `num_classes`.

    So a pixel counts by its id: Traffic sign 12, Building 1, Unlabeled nothing unless mistaken; a
    mistake scores for shared bits, as Roadline (6 = 0110) taken for Road (7 = 0111) is 6/7 right; and no
    class is ever looked at, so that rare ones that are never found hardly lower the score.

    Returns 0 to 1; 1 for a perfect prediction; NaN where every id is 0. Raises ValueError for shapes
    that differ or are not (N, H, W).
    """
    from torchmetrics.segmentation import MeanIoU  # it takes seconds to import, and chapters do without

    _check_maps(labels, predictions)
    metric = MeanIoU(num_classes=classes)
    for start in range(0, len(labels), 8):
        truth = torch.asarray(labels[start : start + 8], dtype=torch.long)
        guess = torch.asarray(predictions[start : start + 8], dtype=torch.long)
        known = truth != IGNORE_INDEX
        metric.to(truth.device).update(guess * known, truth * known)
    return metric.compute().item()
