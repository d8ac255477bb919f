"""How well boundaries are drawn: sums by image, and what makes a score of sums.

What is kept of a run is summed by image (`statistics`, and `segnb.metrics.softness` for what needs logits),
so that a bootstrap can weigh the images before a reducer (`boundary_iou`, `roughness` …) turns the total into
a score. The parameters of a reducer are named as the sums that it takes, and may have any axes in front:
totals (B, …) give scores (B, …).

An *edge* lies between two pixels, one above or beside the other, of different class; both are edge pixels.
Pixels that are IGNORE_INDEX in the labels are cut out of labels and prediction alike: they count in no sum,
and a class that ends at them has no edge there, because nobody knows where it ends.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt

from segnb.labels import IGNORE_INDEX
from segnb.metrics import confusion
from segnb.metrics.confusion import ratio

DISTANCES = (1, 2, 3)  # px of the tested image within which a boundary counts as met
TRIMAP = (0, 1, 2, 3, 5, 8, 13, 21, np.inf)  # px from the nearest true edge: ends of the trimap's bins
# Crofton's formula with lines in four directions, 45° apart: pixels are so many rows below and columns to the
# right of each other, and the lines of that direction so far apart.
LINES = {(0, 1): 1.0, (1, 0): 1.0, (1, 1): 0.5**0.5, (1, -1): 0.5**0.5}
WORD = 64  # bits of the largest integer, each of which stands for a class
CHUNK = 8  # images at a time, so that what is worked on stays in the processor's cache

# ---- parts ------------------------------------------------------------------------------------------


def neighbours(maps: np.ndarray, down: int, right: int) -> tuple[np.ndarray, np.ndarray]:
    """All pixels (N, H, W, …) that have a neighbour so many rows below and columns to the right, and those
    neighbours: two views of one shape. down ≥ 0."""
    height, width = maps.shape[1:3]
    first = slice(max(0, -right), width - max(0, right))
    second = slice(max(0, right), width - max(0, -right))
    return maps[:, : height - down, first], maps[:, down:, second]


def differ(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Where two pixels are of different class, and neither is IGNORE_INDEX."""
    return (first != second) & (first != IGNORE_INDEX) & (second != IGNORE_INDEX)


def edges(maps: np.ndarray) -> np.ndarray:
    """Edge pixels, on both sides of each edge: label maps (N, H, W) to bool (N, H, W)."""
    found = np.zeros(maps.shape, bool)
    for down, right in ((0, 1), (1, 0)):
        differs = differ(*neighbours(maps, down, right))
        for side in neighbours(found, down, right):
            side |= differs
    return found


def count(where: np.ndarray, maps: np.ndarray, classes: int) -> np.ndarray:
    """Pixels by image and class: bool (N, H, W) and label maps (N, H, W) to int64 (N, classes)."""
    pixels = np.flatnonzero(where)
    cells = pixels // where[0].size * classes + maps.reshape(-1)[pixels]
    return np.bincount(cells, minlength=len(maps) * classes).reshape(len(maps), classes)


def lengths(maps: np.ndarray, classes: int) -> np.ndarray:
    """Length in px of each class's contour inside the image: label maps (N, H, W) to float64 (N, classes).

    By Crofton's formula: π/2 times the mean, over directions, of how often parallel lines cross the contour
    times their distance. Unlike the number of edges, it tells a slanted contour from a staircase of large
    steps, which has the same number, and is right within some 5 % in any direction.
    """
    total = np.zeros((len(maps), classes))
    for (down, right), spacing in LINES.items():
        first, second = neighbours(maps, down, right)
        crossed = differ(first, second)
        total += spacing * (count(crossed, first, classes) + count(crossed, second, classes))
    return np.pi / 2 / len(LINES) * total


def bands(maps: np.ndarray) -> Iterator[np.ndarray]:
    """For each of DISTANCES: which pixels lie within d px of where their class ends, bool (N, H, W).

    Within d px means that the square of 2d + 1 px around the pixel holds another class, or leaves the image.
    That is what Cheng et al. 2021 have left of a class's mask when they take from it the mask eroded d times
    by 3×3 px, the image's border being a boundary. Each pixel is in the mask of one class, so highest and
    lowest id in the square tell all masks at once.
    """
    reach = max(DISTANCES)
    margin = ((0, 0), (reach, reach), (reach, reach))
    # IGNORE_INDEX is the one number that no class has; in `highest` it is free for what lies outside.
    highest = np.pad(np.where(maps == IGNORE_INDEX, 0, maps), margin, constant_values=IGNORE_INDEX)
    lowest = np.pad(maps, margin, constant_values=IGNORE_INDEX)
    for d in range(1, reach + 1):
        for axis in (1, 2):
            highest, lowest = _of_three(np.maximum, highest, axis), _of_three(np.minimum, lowest, axis)
        if d in DISTANCES:
            inner = slice(reach - d, reach - d + maps.shape[1]), slice(reach - d, reach - d + maps.shape[2])
            yield ((highest[:, *inner] != maps) | (lowest[:, *inner] != maps)) & (maps != IGNORE_INDEX)


def _of_three(choose: np.ufunc, maps: np.ndarray, axis: int) -> np.ndarray:
    """The chosen of each pixel and its two neighbours along an axis, which gets shorter by two."""
    first, middle, last = (np.moveaxis(maps, axis, 0)[i : i - 2 or None] for i in range(3))
    return np.moveaxis(choose(choose(first, middle), last), 0, axis)


def spread(bits: np.ndarray) -> Iterator[np.ndarray]:
    """For each of DISTANCES: the bits (N, H, W) of all pixels within d px, joined by OR."""
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
    """Where a pixel's gradient stands among those of its image: uint8 (N, H, W, 3) to float64 (N, H, W).

    0 to 1, 0.5 on average: the share of pixels where it is weaker, and half of those where it is equal. It is
    Sobel's, of the sum of the three colours, rounded to whole numbers.
    """
    grey = np.pad(images.sum(-1, dtype=np.int32), ((0, 0), (1, 1), (1, 1)), mode="edge")
    down, right = grey[:, 2:] - grey[:, :-2], grey[:, :, 2:] - grey[:, :, :-2]
    down = down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]
    right = right[:, :-2] + 2 * right[:, 1:-1] + right[:, 2:]
    ranks = np.empty(images.shape[:3])
    for rank, strength in zip(ranks, np.hypot(down, right).round().astype(np.int64), strict=True):
        equal = np.bincount(strength.ravel())
        rank[:] = ((np.cumsum(equal) - equal / 2) / strength.size)[strength]
    return ranks


def to_nearest(where: np.ndarray) -> np.ndarray:
    """Distance in px from each pixel to the nearest one of its image that is True: bool (N, H, W) to float64.

    inf in an image without any.
    """
    found = np.full(where.shape, np.inf)
    for distances, one in zip(found, where, strict=True):
        if one.any():
            distance_transform_edt(~one, distances=distances)
    return found


# ---- sums by image ----------------------------------------------------------------------------------


def statistics(
    images: np.ndarray, labels: np.ndarray, predictions: np.ndarray, classes: int
) -> dict[str, np.ndarray]:
    """The sums of each image from which the reducers below make scores.

    images: uint8 (N, S, S, 3) RGB; labels, predictions: uint8 (N, S, S) ids, labels may be IGNORE_INDEX

    With D = len(DISTANCES), B bins of TRIMAP and C classes; counts are int64, other sums float64:

    iou_hits, iou_truth, iou_predicted    (N, D, C) px of the bands: in both and of one class, true, predicted
    f1_precision_hits, f1_predicted       (N, D, C), (N, 1, C) predicted edge pixels with a true one of their
                                          class within d px, and all of them
    f1_recall_hits, f1_truth              the same of true edge pixels, with a predicted one within d px
    length_truth, length_predicted        (N, C) px, see `lengths`
    edge_distance_sum, edge_count         (N,) px from true edge pixels to the nearest predicted one, or the
                                          diagonal of an image where none is predicted
    gradient_sum, gradient_count          (N,) see `gradient_ranks`, at predicted edge pixels
    trimap_hits, trimap_truth, trimap_predicted   (N, B, C) px by distance to the nearest true edge pixel

    Raises ValueError for shapes that differ.
    """
    if not labels.shape == predictions.shape == images.shape[:3]:
        shapes = f"{labels.shape}, {predictions.shape} and {images.shape}"
        raise ValueError(f"labels, predictions and images must be of the same pixels, not {shapes}")
    parts = []
    for start in range(0, len(labels), CHUNK):
        part = slice(start, start + CHUNK)
        truth = np.asarray(labels[part])
        guess = np.where(truth == IGNORE_INDEX, IGNORE_INDEX, predictions[part]).astype(np.uint8)
        parts.append(
            _band_counts(truth, guess, classes)
            | _edge_sums(np.asarray(images[part]), truth, guess, classes)
            | {
                "length_truth": lengths(truth, classes),
                "length_predicted": lengths(guess, classes),
            }
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _band_counts(truth: np.ndarray, guess: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    found: dict[str, list] = {"iou_hits": [], "iou_truth": [], "iou_predicted": []}
    for true_band, guessed_band in zip(bands(truth), bands(guess), strict=True):
        both = true_band & guessed_band & (truth == guess)
        found["iou_hits"].append(count(both, truth, classes))
        found["iou_truth"].append(count(true_band, truth, classes))
        found["iou_predicted"].append(count(guessed_band, guess, classes))
    return {name: np.stack(parts, 1) for name, parts in found.items()}


def _edge_sums(
    images: np.ndarray, truth: np.ndarray, guess: np.ndarray, classes: int
) -> dict[str, np.ndarray]:
    true_edges, guessed_edges = edges(truth), edges(guess)
    met, meeting = np.zeros((2, len(DISTANCES), len(truth), classes), np.int64)
    for first in range(0, classes, WORD):
        # A bit a class, so that the surroundings of as many classes are looked through at once.
        some = min(WORD, classes - first)
        bit = np.zeros(IGNORE_INDEX + 1, np.min_scalar_type(2**some - 1))
        bit[first : first + some] = 1 << np.arange(some, dtype=bit.dtype)
        true_bits, guessed_bits = bit[truth] * true_edges, bit[guess] * guessed_edges
        for d, (near_truth, near_guess) in enumerate(
            zip(spread(true_bits), spread(guessed_bits), strict=True)
        ):
            met[d] += count((guessed_bits & near_truth) != 0, guess, classes)
            meeting[d] += count((true_bits & near_guess) != 0, truth, classes)

    distances = np.minimum(to_nearest(guessed_edges), np.hypot(*truth.shape[1:]))
    # A bin's number is how many of the ends between bins lie below.
    bins = np.digitize(to_nearest(true_edges), TRIMAP[1:-1])
    return {
        "f1_precision_hits": met.swapaxes(0, 1),
        "f1_recall_hits": meeting.swapaxes(0, 1),
        "f1_predicted": count(guessed_edges, guess, classes)[:, None],
        "f1_truth": count(true_edges, truth, classes)[:, None],
        "edge_distance_sum": (distances * true_edges).sum((1, 2)),
        "edge_count": true_edges.sum((1, 2)),
        "gradient_sum": (gradient_ranks(images) * guessed_edges).sum((1, 2)),
        "gradient_count": guessed_edges.sum((1, 2)),
        "trimap_hits": _by_bin(truth == guess, bins, truth, classes),
        "trimap_truth": _by_bin(truth != IGNORE_INDEX, bins, truth, classes),
        "trimap_predicted": _by_bin(truth != IGNORE_INDEX, bins, guess, classes),
    }


def _by_bin(where: np.ndarray, bins: np.ndarray, maps: np.ndarray, classes: int) -> np.ndarray:
    """`count` by bin of TRIMAP as well, int64 (N, B, classes)."""
    known = len(TRIMAP) - 1
    cells = np.where(maps == IGNORE_INDEX, 0, maps) + bins * classes
    return count(where & (maps != IGNORE_INDEX), cells, known * classes).reshape(len(maps), known, classes)


def between(labels: np.ndarray, predictions: np.ndarray, things: list[int]) -> dict[str, np.ndarray]:
    """Edge pixels between things of two classes, and those within 1 px of a predicted edge: int64 (N,)."""
    where = edges(np.where(np.isin(labels, things), labels, IGNORE_INDEX))
    near = to_nearest(edges(np.where(labels == IGNORE_INDEX, IGNORE_INDEX, predictions))) <= 1
    return {"between_count": where.sum((1, 2)), "between_hits": (where & near).sum((1, 2))}


# ---- scores from sums -------------------------------------------------------------------------------


def boundary_iou(iou_hits, iou_truth, iou_predicted) -> np.ndarray:
    """Boundary IoU at each of DISTANCES, 0 to 1: counts (..., D, C) to (..., D).

    Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021, here with
    the counts of a class summed over all images; the mean over classes that occur in the truth.
    """
    union = iou_truth + iou_predicted - iou_hits
    return _class_mean(ratio(iou_hits, union), iou_truth)


def boundary_f1(f1_precision_hits, f1_predicted, f1_recall_hits, f1_truth) -> np.ndarray:
    """Boundary F1 at each of DISTANCES, 0 to 1: counts (..., D, C), the totals (..., 1, C), to (..., D).

    Csurka et al., "What is a good evaluation measure for semantic segmentation?", BMVC 2013, who take the
    mean of the images' own scores; here counts are summed first. The mean over classes that have an edge in
    the truth; 0 for one that is never predicted.
    """
    precision, recall = ratio(f1_precision_hits, f1_predicted), ratio(f1_recall_hits, f1_truth)
    score = np.nan_to_num(ratio(2 * precision * recall, precision + recall))
    return _class_mean(score, np.broadcast_to(f1_truth, score.shape))


def roughness(length_predicted, length_truth) -> np.ndarray:
    """Length of all predicted contours over that of all true ones: (..., C), (..., C) to (...).

    Above 1 outlines are ragged or too many; below 1 corners are cut or things are missing.
    """
    return ratio(np.sum(length_predicted, -1), np.sum(length_truth, -1))


def edge_distance(edge_distance_sum, edge_count) -> np.ndarray:
    """Mean distance from a true edge pixel to the nearest predicted one, in px from 0 up: (...) to (...)."""
    return ratio(edge_distance_sum, edge_count)


def edge_agreement(gradient_sum, gradient_count) -> np.ndarray:
    """Mean rank of the image's gradient at predicted edge pixels, 0 to 1; 0.5 for edges drawn anywhere."""
    return ratio(gradient_sum, gradient_count)


def softness(softness_sum, softness_count) -> np.ndarray:
    """Mean width of the transitions across true edges, in px from 0 up: (...) to (...)."""
    return ratio(softness_sum, softness_count)


def missing_edges(softness_count, softness_edges) -> np.ndarray:
    """Share of true edges across which the soft-max makes no transition, 0 to 1: (...) to (...)."""
    return 1 - ratio(softness_count, softness_edges)


def trimap(trimap_hits, trimap_truth, trimap_predicted) -> np.ndarray:
    """Mean IoU among the pixels of each bin of TRIMAP, 0 to 1: counts (..., B, C) to (..., B).

    The mean over classes that occur in the bin. Kohli, Ladický and Torr, "Robust higher order potentials for
    enforcing label consistency", IJCV 2009, take all pixels up to a distance: sum the bins up to it for that.
    """
    return _class_mean(ratio(trimap_hits, trimap_truth + trimap_predicted - trimap_hits), trimap_truth)


def _class_mean(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean over the classes (the last axis) of which there is something in the truth; NaN without any."""
    occurs = np.asarray(truth) > 0
    return ratio(np.where(occurs, scores, 0).sum(-1), occurs.sum(-1))


# ---- the best that a stride allows ------------------------------------------------------------------


def stride_bound(labels: np.ndarray, stride: int, classes: int) -> np.ndarray:
    """Confusion, int64 (N, C, C), of labels (N, S, S) and what perfect scores at a stride make of them."""
    perfect = torch.from_numpy(at_stride(labels, stride, classes))
    return confusion.confusion(torch.from_numpy(np.array(labels)).long(), perfect, classes).numpy()


def at_stride(labels: np.ndarray, stride: int, classes: int) -> np.ndarray:
    """Reduce labels (N, S, S) to a stride and bring them back: uint8 (N, S, S).

    Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015,
    appendix A, say in this way what a stride costs at least: 86.1, 92.8 and 96.4 % mean IoU are left of 32,
    16 and 8 on PASCAL VOC at full size. Here a cell of stride × stride pixels keeps the share of each class,
    and the shares are interpolated bilinearly, as an FCN's scores are at first: it is what an FCN would
    predict whose coarse scores are perfect. Of the common reductions it leaves most (the most frequent class
    of a cell, or that of its centre, leaves less); yet a network whose upsampling learns may get beyond it.
    """
    found = []
    for start in range(0, len(labels), CHUNK):
        truth = torch.from_numpy(np.array(labels[start : start + CHUNK])).long()
        margin = -truth.shape[1] % stride
        padded = F.pad(truth, (0, margin, 0, margin), value=IGNORE_INDEX)
        one_hot = torch.eye(IGNORE_INDEX + 1, classes)[padded].permute(0, 3, 1, 2)  # void is of no class
        shares = F.avg_pool2d(one_hot, stride)
        raised = F.interpolate(shares, size=padded.shape[1:], mode="bilinear", align_corners=False)
        found.append(confusion.most_likely(raised)[:, : truth.shape[1], : truth.shape[2]].byte())
    return torch.cat(found).numpy()
