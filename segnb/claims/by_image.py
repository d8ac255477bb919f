"""Counts per test image from the files of runs, for `segnb.claims.metrics`."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from inspect import signature
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.stats import entropy, rankdata

from segnb.claims.related_studies import Missing
from segnb.metrics import boundaries, objects
from segnb.metrics.confusion import class_mean, class_pixels, iou, ratio
from segnb.models.registry import label
from segnb.study.study import Run

FEWEST = 10  # images of which a bootstrap interval is made, or half of all if that is less
NEAR, FAR = 3, 8  # px from a true edge, less and at least: boundary metrics end at 3, stride 8 has such cells
CONFUSIONS = {"confusion", "copied", "neutral_confusion"}  # the arrays of files that are confusion matrices
LEVELS = (1, 2, 3, 4)  # of a U-Net; each has a gate on its skip


class ImageCounts(NamedTuple):
    """Counts per image, and the function that computes a metric from their sums.

    arrays: by name, each (N, ...)
    reduce: takes sums of the arrays by name, each (..., *rest), and returns the metric (...)
    """

    arrays: dict[str, np.ndarray]
    reduce: Callable[..., np.ndarray]

    def value(self) -> float:
        """Return the metric over all images."""
        return float(self.reduce(**{name: array.sum(0) for name, array in self.arrays.items()}))

    def by_image(self) -> np.ndarray:
        """Return the metric of each image: (N,), NaN for images without a value."""
        return np.asarray(self.reduce(**self.arrays), float)

    def __sub__(self, other: "ImageCounts") -> "ImageCounts":
        """Return the difference of two metrics of the same images."""
        plus = {f"plus_{name}": array for name, array in self.arrays.items()}
        minus = {f"minus_{name}": array for name, array in other.arrays.items()}

        def reduce(**sums: np.ndarray) -> np.ndarray:
            ours = {name: sums[f"plus_{name}"] for name in self.arrays}
            theirs = {name: sums[f"minus_{name}"] for name in other.arrays}
            return self.reduce(**ours) - other.reduce(**theirs)

        return ImageCounts(plus | minus, reduce)

    def contributing(self) -> np.ndarray:
        """Return whether each image contributes, (N,), for instance because it shows small objects.

        Raises:
            Missing: if those are too few for an interval.
        """
        arrays = list(self.arrays.values())
        counted = np.any([array.reshape(len(array), -1).any(axis=1) for array in arrays], axis=0)
        if counted.sum() < min(FEWEST, len(counted) / 2):
            raise Missing(
                f"only {counted.sum()} of {len(counted)} test images count, too few for an interval"
            )
        return counted


def miou(pixels: np.ndarray, classes: Sequence[int] | slice = slice(None)) -> ImageCounts:
    """mIoU of all classes, or of some, from their `class_pixels` in each image, (N, 3, C)."""
    return ImageCounts({"pixels": pixels}, lambda pixels: class_mean(iou(pixels[..., classes])))


def share(above: np.ndarray, below: np.ndarray) -> ImageCounts:
    """The ratio of two sums over images, (N,) each."""
    return ImageCounts({"above": above, "below": below}, ratio)


def image_mean(values: np.ndarray) -> ImageCounts:
    """The mean of one value per image, (N,)."""
    return share(values, np.ones(len(values)))


# ---- files ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)  # about a megabyte each; every metric of a study reads them again
def _read(run: Run, name: str, changed: int):
    contents = run.gates("std", "passed", "neutral_confusion") if name == "gates" else getattr(run, name)()
    if isinstance(contents, dict):
        contents |= {key: class_pixels(contents[key]) for key in CONFUSIONS & contents.keys()}
    return contents


def file_of(run: Run, name: str):
    """Return the contents of a run's file, as `run.<name>()` reads them, with `class_pixels` of its matrices.

    Raises:
        Missing: if the file does not exist; the message contains no path.
    """
    path = run.confusion_path if name == "test" else getattr(run, f"{name}_path")
    if not path.exists():
        raise Missing(f"{label(run.variant)}, seed {run.seed}, has no {path.name}")
    return _read(run, name, path.stat().st_mtime_ns)


def require(arrays: dict, name: str, run: Run) -> np.ndarray:
    """Return the array `name` of a run's file.

    Raises:
        Missing: if the run was evaluated by a version without this array.
    """
    if name not in arrays:
        raise Missing(
            f"{label(run.variant)}, seed {run.seed}, was evaluated by an older segnb, without '{name}'"
        )
    return arrays[name]


def pixels_of(run: Run) -> np.ndarray:
    """Return the pixels of each class in each test image, (N, 3, C), see `class_pixels`."""
    return file_of(run, "test")["confusion"]


# ---- edges, objects, gates, ablations ------------------------------------------------------------------


def lost_without(level: int, run: Run) -> ImageCounts:
    """mIoU lost if the gate of a level (0: of all levels at once) is replaced by its image mean."""
    neutral = file_of(run, "gates")["neutral_confusion"][level - 1]  # all levels at once come last
    return miou(pixels_of(run)) - miou(neutral)


def boundary(reduce: Callable[..., np.ndarray], run: Run, then: Callable = np.asarray) -> ImageCounts:
    """Counts for a reducer of `segnb.metrics.boundaries`, whose parameters name the sums that it takes."""
    arrays = file_of(run, "boundary")
    sums = {name: arrays[name] for name in signature(reduce).parameters}
    return ImageCounts(sums, lambda **sums: then(reduce(**sums)))


def of_objects(binned_by: str, place: int, value: str, run: Run, among: str = "") -> ImageCounts:
    """The mean of a column over the objects of one bin.

    Args:
        binned_by: "area", or "visible" for the visible share of an object.
        place: position of the bin.
        value: column whose mean is taken, such as "found" for recall, or "iou".
        run: evaluated run.
        among: column that must be true for an object to count.
    """
    table = file_of(run, "objects")
    if not len(table):
        things = run.study.classes.things
        raise Missing(
            f"the test images contain no object of {', '.join(things)}"
            if things
            else "the label set marks no class of countable objects (column thing of classes.csv)"
        )
    require(table, value, run)
    if among:
        table = table[table[among]]
    if binned_by == "visible" and not np.isfinite(table[binned_by]).any():
        raise Missing("these data do not include the visible share of each object")
    ends = objects.AREAS if binned_by == "area" else objects.VISIBLE
    sums = objects.binned(table, table[binned_by], ends, len(pixels_of(run)), (value,))
    return share(sums[value][:, place], sums["count"][:, place])


def by_edge(then: Callable, run: Run) -> ImageCounts:
    """`boundaries.trimap` near true edges, far from them, or the difference, as `then` selects."""
    arrays = file_of(run, "boundary")
    ends = arrays["trimap_edges"]
    zones = ends[1:] <= NEAR, ends[:-1] >= FAR
    names = signature(boundaries.trimap).parameters
    sums = {name: np.stack([arrays[name][:, bins].sum(1) for bins in zones], 1) for name in names}
    return ImageCounts(sums, lambda **sums: then(boundaries.trimap(**sums)))


def share_of(above: str, below: str, run: Run) -> ImageCounts:
    """The ratio of two sums of boundary.npz."""
    arrays = file_of(run, "boundary")
    return share(require(arrays, above, run), arrays[below])


def lost_part(name: str, run: Run) -> ImageCounts:
    """mIoU lost if a part of the network is ablated."""
    arrays = file_of(run, "ablation")
    names = arrays["names"].tolist()
    if name not in names:
        raise Missing(f"{label(run.variant)} has no {name}")
    return miou(pixels_of(run)) - miou(arrays["confusion"][names.index(name)])


def of_maps(measure: Callable[[np.ndarray, np.ndarray], float], run: Run) -> ImageCounts:
    """The mean over levels of a property of a gate map and the cars, in the images with stored maps.

    At coarse levels, small cars may have no pixel: such levels do not count.
    """
    file_of(run, "gates")  # raises Missing without the file
    gates, saved = run.gates(), file_of(run, "predictions")
    car = run.study.classes.id("Car") if "Car" in run.study.classes.names else -1
    values, count = np.zeros((2, len(pixels_of(run))))
    for k, image in enumerate(gates["index"]):
        cars = without_bonnet(saved["labels"][k] == car)
        maps = {level: gates[f"maps{level}"][k].astype(float).mean(0) for level in LEVELS}  # (h, w)
        found = [measure(maps[level], cars[:: 2 ** (level - 1), :: 2 ** (level - 1)]) for level in LEVELS]
        if finite := [value for value in found if np.isfinite(value)]:
            values[image], count[image] = np.mean(finite), 1
    return share(values, count)


def without_bonnet(cars: np.ndarray) -> np.ndarray:
    """Return cars, bool (S, S), as 1, other pixels as 0, and the bonnet of the recording car as NaN.

    It is most of the cars' pixels, always at the same place, so the row of a pixel would tell cars apart.
    """
    parts, count = ndimage.label(cars, np.ones((3, 3)))
    bonnet = np.bincount(parts[-1], minlength=count + 1) >= objects.BONNET * len(cars)
    bonnet[0] = False  # the rest of the image
    return np.where(bonnet[parts], np.nan, cars)


def auc(gate: np.ndarray, where: np.ndarray) -> float:
    """Return the area under the ROC curve of `gate` for the pixels where `where` is 1, not 0.

    Pixels that are NaN do not count. NaN if all or none of the others are 1.
    """
    gate, where = gate[~np.isnan(where)], where[~np.isnan(where)] == 1
    inside, outside = where.sum(), (~where).sum()
    if not inside or not outside:
        return np.nan
    return (rankdata(gate)[where].sum() - inside * (inside + 1) / 2) / (inside * outside)


def evenness(gate: np.ndarray) -> float:
    """Return the entropy of a map's values as shares of their sum, relative to a constant map (1 is even)."""
    share = gate.ravel() / max(gate.sum(), np.finfo(float).tiny)
    return float(entropy(share) / np.log(share.size))


def hidden_minus_seen(run: Run) -> ImageCounts:
    """Recall of mostly hidden objects minus recall of objects in full sight."""
    return of_objects("visible", 0, "found", run) - of_objects("visible", -1, "found", run)


def gate_variation(level: int, run: Run) -> ImageCounts:
    """Standard deviation of a gate's values within an image, mean over images."""
    return image_mean(file_of(run, "gates")["std"][:, level - 1].mean(-1))  # over the maps of a class gate


def let_through(run: Run) -> ImageCounts:
    """Share of the skips' energy that the gates let through, mean over images."""
    return image_mean(file_of(run, "gates")["passed"])
