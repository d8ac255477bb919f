"""The bootstrap over test images: the one that every interval and standard error of the report rests on.

A Bayesian bootstrap (Rubin 1981): a draw weights the images by Dirichlet(1, …, 1) and reduces the weighted
sums. Drawing images with replacement would lose a class that few of them show, and with it change what is
averaged; here every image keeps some weight. The weights depend on the names of the test images alone, so
the same images weigh the same for all seeds, networks, metrics and studies.

Frames of a drive that follow each other show nearly the same, and tell less than as many images. So blocks
of frames are weighted there: whole drives, or `RUNS` runs of consecutive frames of each drive where there are
fewer than `DRIVES`. Then nothing is said of other drives.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

AT_ONCE = 2**24  # numbers (128 MiB) that draws sum up at a time: with 255 classes all of them are a gigabyte
DRAWS = 2000  # a standard error from them is good to 1.6 %
DRIVES = 5  # tested on at least so many, intervals speak of other drives
RUNS = 5  # of 20 frames in the hundred of a drive: longer than neighbours resemble each other


def drive_of(name: str) -> str:
    """Return the drive of a test frame, which stands before the last slash of its name; "" for an image."""
    return name.rpartition("/")[0]


def blocks_of(names: Sequence[str]) -> np.ndarray:
    """Number the blocks of images that are independent of each other: (N,), from 0."""
    drives = [drive_of(name) for name in names]
    if not any(drives):
        return np.arange(len(names))
    blocks, first = np.zeros(len(names), int), 0
    for drive in sorted({*drives}):
        frames = sorted((i for i, of in enumerate(drives) if of == drive), key=lambda i: _in_time(names[i]))
        runs = 1 if len({*drives}) >= DRIVES else min(RUNS, len(frames))
        blocks[frames] = first + np.arange(len(frames)) * runs // len(frames)
        first += runs
    return blocks


def count_blocks(names: Sequence[str]) -> int:
    """Count the blocks of images that are independent of each other."""
    return int(blocks_of(names).max()) + 1


def _in_time(name: str) -> list:
    """Sort 9 before 10."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name))]


def speaks_of(names: Sequence[str]) -> str:
    """Say in a sentence what intervals speak of, and of how many blocks; "" where images are independent."""
    drives = {drive_of(name) for name in names}
    if not any(drives) or len(names) < 2:
        return ""
    count = len(drives)
    what = "1 drive" if count == 1 else f"{count} drives"
    text = f"The {len(names)} test frames come from {what}"
    if count >= DRIVES:
        return f"{text}: drives are weighted, and intervals speak of other drives."
    return (
        f"{text}, in which neighbours show nearly the same: {count_blocks(names)} runs of consecutive frames"
        f" are weighted, and intervals speak of other frames of the same {what.removeprefix('1 ')}, not of"
        " other drives."
    )


def weights_of(names: Sequence[str]) -> np.ndarray:
    """Draw weights of these test images, those of a block alike: (draws, N), see `image_weights`."""
    weights = image_weights(count_blocks(names), key=key_of(names))
    return weights if weights.shape[1] == len(names) else weights[:, blocks_of(names)]


def key_of(names: Sequence[str]) -> str:
    """Return the key of the weights of these test images: the SHA-256 of their names."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


@lru_cache(maxsize=4)
def image_weights(images: int, draws: int | None = None, *, key: str) -> np.ndarray:
    """Draw weights of the images.

    Args:
        images: how many there are, at least 2.
        draws: how many weightings; `DRAWS` by default.
        key: what the test images are, see `key_of`; the same key gives the same weights.

    Returns:
        Weights (draws, images), read-only; each row is above 0 and has mean 1.

    Raises:
        ValueError: for fewer than two images.
    """
    if images < 2:
        raise ValueError(f"{images} image says nothing about others: test on at least 2")
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
    weights = np.random.default_rng(seed).dirichlet(np.ones(images), draws or DRAWS) * images
    weights.flags.writeable = False
    return weights


def resample(
    counts: dict[str, np.ndarray], reduce: Callable[..., np.ndarray], weights: np.ndarray
) -> np.ndarray:
    """Compute a metric of one run under each weighting of the images.

    Args:
        counts: by name, what each image adds to the sums, (N, ...).
        reduce: takes sums over images by name, with leading axes, and gives the metric.
        weights: (B, N), see `image_weights`.

    Returns:
        The metric of each draw, (B, ...).

    Raises:
        ValueError: for weights of another number of images.
    """
    for array in counts.values():
        if len(array) != weights.shape[1]:
            raise ValueError(f"{len(array)} images and weights for {weights.shape[1]}")
    size = len(weights) * sum(array[0].size for array in counts.values())
    found = []
    for part in np.array_split(weights, min(-(-size // AT_ONCE), len(weights))):
        sums = {
            name: (part @ array.reshape(len(array), -1)).reshape(len(part), *array.shape[1:])
            for name, array in counts.items()
        }
        found.append(np.asarray(reduce(**sums), float))
    return np.concatenate(found)


def interval(
    runs: Sequence[dict[str, np.ndarray]],
    reduce: Callable[..., np.ndarray],
    names: Sequence[str],
    level: float = 0.95,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the CI over test images, seeds fixed, of the mean of a metric over seeds.

    Seeds are crossed with images: a draw weights the images once for all seeds. Training again is not in it.

    Args:
        runs: the `counts` of each seed, see `resample`.
        reduce: see `resample`; gives one number or one per class, size or level.
        names: of the test images.
        level: share of the draws between low and high.

    Returns:
        (low, high), each in the shape of the metric; NaN for a single image, which says nothing about others.
    """
    if len(names) < 2:
        value = reduce(**{name: array.sum(0) for name, array in runs[0].items()})
        nothing = np.full(np.shape(value), np.nan)[()]  # of one number a number, as below
        return nothing, nothing
    weights = weights_of(names)
    mean = np.mean([resample(counts, reduce, weights) for counts in runs], axis=0)
    low, high = np.quantile(mean, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def image_interval(
    confusions: Sequence[np.ndarray], names: Sequence[str], score: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the 95 % CI over test images, seeds fixed, of a score of confusion matrices.

    Args:
        confusions: one (N, C, C) per seed, over the same N test images.
        names: of these images.
        score: from counts (..., C, C) to one number, or to one per class.

    Returns:
        (low, high), see `interval`.
    """
    return interval([{"confusion": one} for one in confusions], lambda confusion: score(confusion), names)
