"""The bootstrap over test images, on which every interval and standard error of the report rests.

It is a Bayesian bootstrap (Rubin 1981): each draw weights the images by Dirichlet(1, …, 1) and reduces the
weighted sums. Drawing images with replacement could lose a class that few images show, and so change the set
of averaged classes; here every image keeps a positive weight. The weights depend only on the names of the
test images, so the same images have the same weights for all seeds, networks, metrics and studies.

Consecutive frames of a drive are similar and contain less information than as many independent images. For
drives, the bootstrap therefore weights blocks of frames: whole drives, or, with fewer than `DRIVES` drives,
`RUNS` runs of consecutive frames per drive. In the second case, intervals do not cover other drives.
"""

import hashlib
import re
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

AT_ONCE = 2**24  # numbers (128 MiB) summed at a time; all draws with 255 classes would take a gigabyte
DRAWS = 2000  # the relative error of a standard error is 1.6%
DRIVES = 5  # from this number of test drives, intervals cover other drives
LEVEL = 0.95  # of intervals over images
RUNS = 5  # 20 of a drive's hundred frames each, longer than the similarity of neighbours lasts


def drive_of(name: str) -> str:
    """Return the drive of a test frame, the part of its name before the last slash; "" for an image."""
    return name.rpartition("/")[0]


def blocks_of(names: Sequence[str]) -> np.ndarray:
    """Return the block of each image, (N,), numbered from 0; blocks are independent of each other."""
    drives = [drive_of(name) for name in names]
    if not any(drives):
        return np.arange(len(names))
    blocks, first = np.zeros(len(names), int), 0
    for drive in sorted({*drives}):
        frames = sorted((i for i, own in enumerate(drives) if own == drive), key=lambda i: in_time(names[i]))
        runs = 1 if len({*drives}) >= DRIVES else min(RUNS, len(frames))
        blocks[frames] = first + np.arange(len(frames)) * runs // len(frames)
        first += runs
    return blocks


def count_blocks(names: Sequence[str], among: np.ndarray | None = None) -> int:
    """Return the number of independent blocks of images, all or the images in `among`, bool (N,)."""
    _, blocks = _key_and_blocks(tuple(names))  # cached, because every score of a study asks
    return len(np.unique(blocks if among is None else blocks[among]))


def in_time(name: str) -> list:
    """Return a sort key that puts 9 before 10."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name))]


def scope_of(names: Sequence[str]) -> str:
    """Describe the blocks of frames and the scope of the intervals; "" for independent images."""
    drives = {drive_of(name) for name in names}
    if not any(drives) or len(names) < 2:
        return ""
    count = len(drives)
    text = f"The {len(names)} test frames come from {count} drive{'s' * (count > 1)}."
    if count >= DRIVES:
        return f"{text} The bootstrap weights whole drives, so intervals cover other drives."
    same = f"{count} drives" if count > 1 else "drive"
    return (
        f"{text} Consecutive frames are similar, so the bootstrap weights {count_blocks(names)} runs of"
        f" consecutive frames. Intervals cover other frames of the same {same}, but not other drives."
    )


def weights_of(names: Sequence[str]) -> np.ndarray:
    """Return weights of these test images, equal within a block: (draws, N), see `image_weights`."""
    key, blocks = _key_and_blocks(tuple(names))
    weights = image_weights(int(blocks.max()) + 1, key=key)
    return weights if weights.shape[1] == len(names) else weights[:, blocks]  # indexing makes a copy


@lru_cache(maxsize=4)
def _key_and_blocks(names: tuple[str, ...]) -> tuple[str, np.ndarray]:
    return hashlib.sha256("\n".join(names).encode()).hexdigest(), blocks_of(names)


@lru_cache(maxsize=4)
def image_weights(images: int, draws: int | None = None, *, key: str) -> np.ndarray:
    """Draw weights of the images.

    Args:
        images: number of images, at least 2.
        draws: number of weightings (default: `DRAWS`).
        key: of the test images; the same key gives the same weights.

    Returns:
        Weights (draws, images), read-only, positive; each row has mean 1.
    """
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
    weights = np.random.default_rng(seed).dirichlet(np.ones(images), draws or DRAWS) * images
    weights.flags.writeable = False
    return weights


def resample(
    counts: dict[str, np.ndarray],
    reduce: Callable[..., np.ndarray],
    weights: np.ndarray,
    last: deque[tuple[np.ndarray, np.ndarray]] | None = None,
) -> np.ndarray:
    """Compute a metric of one run under each weighting of the images.

    Args:
        counts: by name, the contribution of each image to the sums, (N, ...).
        reduce: takes sums over images by name, with leading axes, and returns the metric.
        weights: (B, N), see `image_weights`.
        last: arrays with their sums in earlier calls with these weights, because many metrics sum the same
            arrays; small sums of this call are added.

    Returns:
        The metric of each draw, (B, ...).
    """
    size = len(weights) * sum(array[0].size for array in counts.values())
    parts = min(-(-size // AT_ONCE), len(weights))
    draws = []
    for part in np.array_split(weights, parts):
        sums = {name: _sums(array, part, last if parts == 1 else None) for name, array in counts.items()}
        draws.append(np.asarray(reduce(**sums), float))
    return np.concatenate(draws)


def _sums(array: np.ndarray, weights: np.ndarray, last: deque[tuple[np.ndarray, np.ndarray]] | None):
    """Return the weighted sums of an array over images, (B, ...), see `resample`."""
    known = next((sums for same, sums in last or () if same is array), None)
    if known is not None:
        return known
    sums = (weights @ array.reshape(len(array), -1)).reshape(len(weights), *array.shape[1:])
    if last is not None and sums.size * (last.maxlen or 1) <= AT_ONCE:
        last.append((array, sums))
    return sums


def interval(
    runs: Sequence[dict[str, np.ndarray]],
    reduce: Callable[..., np.ndarray],
    names: Sequence[str],
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the 95% CI over test images, seeds fixed, of the mean of a metric over seeds.

    Seeds are crossed with images: a draw weights the images once for all seeds. The interval does not cover
    the variation between runs.

    Args:
        runs: the `counts` of each seed, see `resample`.
        reduce: see `resample`; returns one number, or one per class, size or level.
        names: of the test images.

    Returns:
        (low, high), each in the shape of the metric; NaN for a single image.
    """
    if len(names) < 2:
        value = reduce(**{name: array.sum(0) for name, array in runs[0].items()})
        undefined = np.full(np.shape(value), np.nan)[()]  # [()] makes a number of a single number, as below
        return undefined, undefined
    weights = weights_of(names)
    mean = np.mean([resample(counts, reduce, weights) for counts in runs], axis=0)
    low, high = np.quantile(mean, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high


def image_interval(
    confusions: Sequence[np.ndarray], names: Sequence[str], score: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the 95% CI over test images, seeds fixed, of a score of confusion matrices.

    Args:
        confusions: one (N, C, C) per seed, over the same N test images.
        names: of these images.
        score: from counts (..., C, C) to one number, or one per class.

    Returns:
        (low, high), see `interval`.
    """
    runs = [{"confusion": matrix} for matrix in confusions]
    return interval(runs, lambda confusion: score(confusion), names)  # its argument may have another name
