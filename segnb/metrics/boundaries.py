"""Boundary metrics: sums for each image, and the reducers that turn sums into scores.

`statistics` computes the sums, and `segnb.metrics.softness` the sums that need logits. A bootstrap weights
and adds the sums of the images. A **reducer** (`boundary_iou`, `roughness` …) computes a score from the
total. Its parameters have the names of the sums and may have more axes in front: totals (B, …) give scores
(B, …).

An **edge** separates two pixels of different class, horizontal or vertical neighbours; both are **edge
pixels**. Void pixels of the labels are void in the prediction as well and count in no sum. Between a class
and void there is no edge, because the end of the class is unknown.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt, sobel

from segnb.labels import IGNORE_INDEX
from segnb.metrics import confusion
from segnb.metrics.confusion import class_mean, iou, ratio

DISTANCES = (1, 2, 3)  # px, tolerances within which a predicted boundary is correct
TRIMAP = (0, 1, 2, 3, 5, 8, 13, 21, np.inf)  # px from the nearest true edge: limits of the trimap's bins
# Crofton's formula uses parallel lines in four directions, 45° apart. {step to the next pixel of a line, in
# (rows, columns): distance between the lines, in px}
LINES = {(0, 1): 1.0, (1, 0): 1.0, (1, 1): 0.5**0.5, (1, -1): 0.5**0.5}
WORD = 64  # bits of the largest integer, one per class
CHUNK = 8  # images at a time, so that arrays stay in the processor's cache

# ---- parts ------------------------------------------------------------------------------------------


def neighbours(maps: np.ndarray, down: int, right: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two views of maps (N, H, W, …): the pixels that have a neighbour, and their neighbours.

    A neighbour is `down` rows below (0 or more) and `right` columns to the right (any sign).
    """
    height, width = maps.shape[1:3]
    first = slice(max(0, -right), width - max(0, right))
    second = slice(max(0, right), width - max(0, -right))
    return maps[:, : height - down, first], maps[:, down:, second]


def differ(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return where two pixels are of different class and neither is void."""
    return (first != second) & (first != IGNORE_INDEX) & (second != IGNORE_INDEX)


def edges(maps: np.ndarray) -> np.ndarray:
    """Find the edge pixels, on both sides of each edge: label maps (N, H, W) -> bool (N, H, W)."""
    pixels = np.zeros(maps.shape, bool)
    for down, right in ((0, 1), (1, 0)):
        differs = differ(*neighbours(maps, down, right))
        for side in neighbours(pixels, down, right):
            side |= differs
    return pixels


def count(where: np.ndarray, maps: np.ndarray, classes: int) -> np.ndarray:
    """Count pixels by image and class: bool (N, H, W) and label maps (N, H, W) -> int64 (N, classes)."""
    pixels = np.flatnonzero(where)
    cells = pixels // where[0].size * classes + maps.reshape(-1)[pixels]
    return np.bincount(cells, minlength=len(maps) * classes).reshape(len(maps), classes)


def lengths(maps: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Estimate the length of the contours in a part of each image, in px.

    Crofton's formula: count how often parallel lines cross the contours, multiply by the distance of the
    lines, average over directions, and multiply by π/2. The error is at most about 5% for any direction of
    the contour. (The number of edges would not distinguish a slanted contour from a staircase of large
    steps.) The border of the image is no contour.

    Args:
        maps: label maps (N, H, W)
        where: bool (N, H, W), the part; a crossing counts if the pixel on either side of it is in the part

    Returns:
        float64 (N,)
    """
    total = np.zeros(len(maps))
    for (down, right), spacing in LINES.items():
        inside = np.logical_or(*neighbours(where, down, right))
        total += spacing * (differ(*neighbours(maps, down, right)) & inside).sum((1, 2))
    return np.pi / 2 / len(LINES) * total


def bands(maps: np.ndarray) -> Iterator[np.ndarray]:
    """Yield for each of DISTANCES the boundary band: bool (N, H, W), pixels within d px of another class.

    The square of 2d + 1 px around such a pixel contains another class or reaches beyond the image. So a band
    is the mask of a class minus the mask eroded d times by 3×3 px, as in Cheng et al. 2021, and the border
    of the image is a boundary. The highest and the lowest id in the square give the bands of all classes at
    once.
    """
    reach = max(DISTANCES)
    margin = ((0, 0), (reach, reach), (reach, reach))
    # No class has the id IGNORE_INDEX, so in `highest` it can mark pixels outside the image. Void is the
    # lowest id in `highest` and the highest one in `lowest`, so it changes neither.
    highest = np.pad(np.where(maps == IGNORE_INDEX, 0, maps), margin, constant_values=IGNORE_INDEX)
    lowest = np.pad(maps, margin, constant_values=IGNORE_INDEX)
    for d in range(1, reach + 1):
        for axis in (1, 2):
            highest, lowest = _of_three(np.maximum, highest, axis), _of_three(np.minimum, lowest, axis)
        if d in DISTANCES:
            inner = slice(reach - d, reach - d + maps.shape[1]), slice(reach - d, reach - d + maps.shape[2])
            yield ((highest[:, *inner] != maps) | (lowest[:, *inner] != maps)) & (maps != IGNORE_INDEX)


def _of_three(choose: np.ufunc, maps: np.ndarray, axis: int) -> np.ndarray:
    """Choose among each pixel and its two neighbours along an axis, which gets shorter by two."""
    first, middle, last = (np.moveaxis(maps, axis, 0)[i : i - 2 or None] for i in range(3))
    return np.moveaxis(choose(choose(first, middle), last), 0, axis)


def spread(bits: np.ndarray) -> Iterator[np.ndarray]:
    """Yield for each of DISTANCES the bits (N, H, W) of all pixels within d px (Euclidean), joined by OR."""
    reach = max(DISTANCES)
    padded = np.pad(bits, ((0, 0), (reach, reach), (reach, reach)))
    joined, height, width = np.zeros_like(bits), *bits.shape[1:]
    steps = range(-reach, reach + 1)
    near = sorted((np.hypot(y, x), y, x) for y in steps for x in steps)
    for d in DISTANCES:
        while near and near[0][0] <= d:
            _, y, x = near.pop(0)
            joined |= padded[:, reach + y : reach + y + height, reach + x : reach + x + width]
        yield joined


def gradient_ranks(images: np.ndarray) -> np.ndarray:
    """Rank each pixel by its gradient within its image: RGB uint8 (N, H, W, 3) -> float64 (N, H, W).

    The rank is 0 to 1, on average 0.5: the share of pixels with a weaker gradient, plus half of those with
    an equal one. The gradient is the Sobel magnitude of R + G + B, rounded to an integer.
    """
    ranks = np.empty(images.shape[:3])
    for rank, grey in zip(ranks, images.sum(-1, dtype=np.int32), strict=True):
        down, right = (sobel(grey, axis, mode="nearest") for axis in (0, 1))
        strength = np.hypot(down, right).round().astype(np.int64)
        equal = np.bincount(strength.ravel())
        rank[:] = ((np.cumsum(equal) - equal / 2) / strength.size)[strength]
    return ranks


def to_nearest(where: np.ndarray) -> np.ndarray:
    """Compute each pixel's distance in px to the nearest True pixel of its image; inf without one."""
    distances = np.full(where.shape, np.inf)
    for target, mask in zip(distances, where, strict=True):
        if mask.any():
            distance_transform_edt(~mask, distances=target)
    return distances


# ---- sums by image ----------------------------------------------------------------------------------


def statistics(
    images: np.ndarray, labels: np.ndarray, predictions: np.ndarray, classes: int
) -> dict[str, np.ndarray]:
    """Compute the sums of each image, from which the reducers compute scores.

    Args:
        images: RGB, uint8 (N, S, S, 3)
        labels, predictions: class ids, uint8 (N, S, S); labels may be IGNORE_INDEX

    Returns:
        With D distances, B bins of TRIMAP and C classes (counts are int64, other sums float64):
        iou_hits, iou_truth, iou_predicted: (N, D, C), px of the bands: in both and of the same class, true,
            predicted
        f1_precision_hits, f1_predicted: (N, D, C) and (N, 1, C), predicted edge pixels with a true edge
            pixel of the same class within d px, and all predicted edge pixels
        f1_recall_hits, f1_truth: the same for true edge pixels with a predicted one within d px
        length_truth, length_predicted: (N,), px, `lengths` of the true contours within 3 px of a predicted
            edge pixel, and of the predicted contours within 3 px of a true one
        edge_distance_sum, edge_count: (N,), px from true edge pixels to the nearest predicted one, at most
            the diagonal of the image; and the number of true edge pixels
        gradient_sum, gradient_count: (N,), `gradient_ranks` of predicted edge pixels, and their number
        trimap_hits, trimap_truth: (N, B, C), px by distance to the nearest true edge pixel
    """
    if not labels.shape == predictions.shape == images.shape[:3]:
        shapes = f"{labels.shape}, {predictions.shape} and {images.shape}"
        raise ValueError(f"labels, predictions and images: different sizes {shapes} (expected the same)")
    parts = []
    for start in range(0, len(labels), CHUNK):
        part = slice(start, start + CHUNK)
        truth = np.asarray(labels[part])
        guess = np.where(truth == IGNORE_INDEX, IGNORE_INDEX, predictions[part]).astype(np.uint8)
        sums = _edge_sums(np.asarray(images[part]), truth, guess, classes)
        parts.append(_band_counts(truth, guess, classes) | sums)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _band_counts(truth: np.ndarray, guess: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    counts: dict[str, list] = {"iou_hits": [], "iou_truth": [], "iou_predicted": []}
    for true_band, guessed_band in zip(bands(truth), bands(guess), strict=True):
        both = true_band & guessed_band & (truth == guess)
        counts["iou_hits"].append(count(both, truth, classes))
        counts["iou_truth"].append(count(true_band, truth, classes))
        counts["iou_predicted"].append(count(guessed_band, guess, classes))
    return {name: np.stack(parts, 1) for name, parts in counts.items()}


def _edge_sums(
    images: np.ndarray, truth: np.ndarray, guess: np.ndarray, classes: int
) -> dict[str, np.ndarray]:
    true_edges, guessed_edges = edges(truth), edges(guess)
    # Predicted edge pixels with a true one of their class within d px, and true ones with a predicted one.
    met, meeting = np.zeros((2, len(DISTANCES), len(truth), classes), np.int64)
    for first in range(0, classes, WORD):
        # One bit per class, so that one pass over the surroundings finds all classes of a word.
        bits = min(WORD, classes - first)
        bit = np.zeros(IGNORE_INDEX + 1, np.min_scalar_type(2**bits - 1))
        bit[first : first + bits] = 1 << np.arange(bits, dtype=bit.dtype)
        true_bits, guessed_bits = bit[truth] * true_edges, bit[guess] * guessed_edges
        for d, (near_truth, near_guess) in enumerate(
            zip(spread(true_bits), spread(guessed_bits), strict=True)
        ):
            met[d] += count((guessed_bits & near_truth) != 0, guess, classes)
            meeting[d] += count((true_bits & near_guess) != 0, truth, classes)

    to_guess, to_truth = to_nearest(guessed_edges), to_nearest(true_edges)
    # The number of a bin is the number of limits up to the distance.
    bins = np.digitize(to_truth, TRIMAP[1:-1])
    return {
        "f1_precision_hits": met.swapaxes(0, 1),
        "f1_recall_hits": meeting.swapaxes(0, 1),
        "f1_predicted": count(guessed_edges, guess, classes)[:, None],
        "f1_truth": count(true_edges, truth, classes)[:, None],
        "length_truth": lengths(truth, to_guess <= max(DISTANCES)),
        "length_predicted": lengths(guess, to_truth <= max(DISTANCES)),
        "edge_distance_sum": (np.minimum(to_guess, np.hypot(*truth.shape[1:])) * true_edges).sum((1, 2)),
        "edge_count": true_edges.sum((1, 2)),
        "gradient_sum": (gradient_ranks(images) * guessed_edges).sum((1, 2)),
        "gradient_count": guessed_edges.sum((1, 2)),
        "trimap_hits": _by_bin(truth == guess, bins, truth, classes),
        "trimap_truth": _by_bin(truth != IGNORE_INDEX, bins, truth, classes),
    }


def _by_bin(where: np.ndarray, bins: np.ndarray, maps: np.ndarray, classes: int) -> np.ndarray:
    """Count pixels by image, bin of TRIMAP and class: int64 (N, B, classes)."""
    total = len(TRIMAP) - 1
    cells = np.where(maps == IGNORE_INDEX, 0, maps) + bins * classes
    return count(where & (maps != IGNORE_INDEX), cells, total * classes).reshape(len(maps), total, classes)


def between(labels: np.ndarray, predictions: np.ndarray, things: list[int]) -> dict[str, np.ndarray]:
    """Count edge pixels between two thing classes, and how many are within 1 px of a predicted edge: (N,)."""
    where = edges(np.where(np.isin(labels, things), labels, IGNORE_INDEX))
    near = to_nearest(edges(np.where(labels == IGNORE_INDEX, IGNORE_INDEX, predictions))) <= 1
    return {"between_count": where.sum((1, 2)), "between_hits": (where & near).sum((1, 2))}


# ---- scores from sums -------------------------------------------------------------------------------


def boundary_iou(iou_hits, iou_truth, iou_predicted) -> np.ndarray:
    """Compute the boundary IoU at each of DISTANCES, 0 to 1: counts (..., D, C) -> (..., D).

    Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021; here with
    counts summed over images. It is the mean over the classes in the ground truth.
    """
    return class_mean(iou(np.stack([iou_hits, iou_truth, iou_predicted], -2)))


def boundary_f1(f1_precision_hits, f1_predicted, f1_recall_hits, f1_truth) -> np.ndarray:
    """Compute the boundary F1 at each of DISTANCES, 0 to 1: hits (..., D, C) -> (..., D).

    The totals f1_predicted and f1_truth are (..., 1, C). Csurka et al., "What is a good evaluation measure
    for semantic segmentation?", BMVC 2013, average the scores of the images; here counts are summed over
    images first. It is the mean over the classes with edges in the ground truth; a class never predicted has
    F1 0.
    """
    precision, recall = ratio(f1_precision_hits, f1_predicted), ratio(f1_recall_hits, f1_truth)
    score = np.nan_to_num(ratio(2 * precision * recall, precision + recall))
    return class_mean(np.where(f1_truth > 0, score, np.nan))


def roughness(length_predicted, length_truth) -> np.ndarray:
    """Divide the length of predicted contours by that of true ones, where both are within 3 px of each other.

    Above 1, contours are ragged; below 1, they cut corners. Missing and invented objects do not count,
    because one contour is not near the other there.
    """
    return ratio(length_predicted, length_truth)


def edge_distance(edge_distance_sum, edge_count) -> np.ndarray:
    """Compute the mean distance from true edge pixels to the nearest predicted one, in px, from 0 up."""
    return ratio(edge_distance_sum, edge_count)


def edge_agreement(gradient_sum, gradient_count) -> np.ndarray:
    """Compute the mean gradient rank of predicted edge pixels, 0 to 1; about 0.5 for random edges."""
    return ratio(gradient_sum, gradient_count)


def softness(softness_sum, softness_count) -> np.ndarray:
    """Compute the mean width of the transitions across true edges, in px, from 0 up."""
    return ratio(softness_sum, softness_count)


def missing_edges(softness_count, softness_edges) -> np.ndarray:
    """Compute the share of true edges across which the softmax has no transition, 0 to 1."""
    return 1 - ratio(softness_count, softness_edges)


def trimap(trimap_hits, trimap_truth) -> np.ndarray:
    """Compute the pixel accuracy in each bin of TRIMAP, 0 to 1: counts (..., B, C) -> (..., B).

    mIoU would not do. Far from edges, some classes have hardly a pixel, and a few false positives of a large
    class decide their IoU. Kohli, Ladický and Torr, "Robust higher order potentials for enforcing label
    consistency", IJCV 2009, use all pixels up to a distance: the sum of the bins up to it.
    """
    return ratio(trimap_hits.sum(-1), trimap_truth.sum(-1))


# ---- upper bound of a stride ------------------------------------------------------------------------


def stride_bound(labels: np.ndarray, stride: int, classes: int) -> np.ndarray:
    """Compute the confusion of perfect scores at a stride: labels (N, S, S) -> int64 (N, C, C)."""
    perfect = torch.from_numpy(at_stride(labels, stride, classes))
    return confusion.confusion(torch.from_numpy(np.array(labels)).long(), perfect, classes).numpy()


def at_stride(labels: np.ndarray, stride: int, classes: int) -> np.ndarray:
    """Predict with perfect scores at a stride: labels (N, S, S) -> class ids, uint8 (N, S, S).

    A cell of stride × stride pixels gets the share of each class as its score. The scores are upsampled
    bilinearly, as those of an untrained FCN are. Learned upsampling can exceed this bound. Other reductions
    (the most frequent class of a cell, the class at its centre) have a lower mIoU.

    Long, Shelhamer and Darrell, CVPR 2015, appendix A, compute such a bound on PASCAL VOC at full size:
    86.1%, 92.8% and 96.4% mean IoU at strides 32, 16 and 8.
    """
    maps = []
    for start in range(0, len(labels), CHUNK):
        truth = torch.from_numpy(np.array(labels[start : start + CHUNK])).long()
        margin = -truth.shape[1] % stride
        padded = F.pad(truth, (0, margin, 0, margin), value=IGNORE_INDEX)
        one_hot = torch.eye(IGNORE_INDEX + 1, classes)[padded].permute(0, 3, 1, 2)  # all 0 for void
        shares = F.avg_pool2d(one_hot, stride)
        raised = F.interpolate(shares, size=padded.shape[1:], mode="bilinear", align_corners=False)
        maps.append(confusion.most_likely(raised)[:, : truth.shape[1], : truth.shape[2]].byte())
    return torch.cat(maps).numpy()
