"""What runs count by test image, of which `segnb.claims.metrics` makes scores."""

from collections.abc import Callable
from functools import lru_cache
from inspect import signature
from typing import NamedTuple

import numpy as np
from scipy.stats import entropy, rankdata

from segnb.claims.related_studies import Missing
from segnb.metrics import boundaries, objects
from segnb.metrics.confusion import mean_iou, ratio
from segnb.models.registry import label
from segnb.study.study import Run

NEAR, FAR = 3, 8  # px from a true edge: within the largest tested distance, and beyond a cell of stride 8
LEVELS = (1, 2, 3, 4)  # of a U-Net, each with a gate on its skip


class ImageCounts(NamedTuple):
    """What a metric is made of: one entry per image, and what makes a value of their sums.

    arrays: by name, each (N, ...)
    reduce: takes them by name, each as (..., *rest), and gives (...)
    """

    arrays: dict[str, np.ndarray]
    reduce: Callable[..., np.ndarray]

    def value(self) -> float:
        return float(self.reduce(**{name: array.sum(0) for name, array in self.arrays.items()}))

    def by_image(self) -> np.ndarray:
        """Return the metric of each image by itself: (N,), NaN where it has none."""
        return np.asarray(self.reduce(**self.arrays), float)


@lru_cache(maxsize=256)  # of about a megabyte each: every metric of a study asks again
def _read(run: Run, name: str, changed: int):
    return getattr(run, name)()


def file_of(run: Run, name: str):
    """What run.<name>() reads. Raises Missing where it was not written, in words that can be published."""
    path = run.confusion_path if name == "test" else getattr(run, f"{name}_path")
    if not path.exists():
        raise Missing(f"{label(run.variant)}, seed {run.seed}, has no {path.name}")
    return _read(run, name, path.stat().st_mtime_ns)


def known(found: dict, name: str, run: Run) -> np.ndarray:
    """What a file has under a name. Raises Missing for runs of versions that did not measure it."""
    if name not in found:
        raise Missing(f"{label(run.variant)}, seed {run.seed}, was tested before segnb measured '{name}'")
    return found[name]


def confusion_of(run: Run) -> np.ndarray:
    return file_of(run, "test")["confusion"]


def ratio_of(above: str, below: str) -> Callable[..., np.ndarray]:
    return lambda **sums: ratio(sums[above], sums[below])


def difference_of(plus: str, minus: str) -> Callable[..., np.ndarray]:
    return lambda **sums: mean_iou(sums[plus]) - mean_iou(sums[minus])


# ---- edges, objects, gates, ablations ------------------------------------------------------------------


def lost_without(level: int, run: Run) -> ImageCounts:
    """mIoU lost when the gate of a level (0: of all levels at once) is replaced by its image mean."""
    neutral = file_of(run, "gates")["neutral_confusion"][level - 1]  # that of all levels comes last
    return ImageCounts({"own": confusion_of(run), "neutral": neutral}, difference_of("own", "neutral"))


def boundary(reduce: Callable[..., np.ndarray], then: Callable, run: Run) -> ImageCounts:
    """A reducer of `segnb.metrics.boundaries`, whose parameters are named as the sums that it takes."""
    found = file_of(run, "boundary")
    return ImageCounts(
        {name: found[name] for name in signature(reduce).parameters}, lambda **sums: then(reduce(**sums))
    )


def of_objects(binned_by: str, place: int, value: str, run: Run, among: str = "") -> ImageCounts:
    """The mean of a column of the objects of one bin of size ("area") or of the share in sight ("visible").

    Such as found, which gives their recall, or iou. Among: a column that has to be true.
    """
    table = file_of(run, "objects")
    if not len(table):
        things = run.study.classes.things
        raise Missing(
            f"no object of {', '.join(things)} is in the test images"
            if things
            else "the label set marks no class whose objects can be counted (column thing of classes.csv)"
        )
    known(table, value, run)
    if among:
        table = table[table[among]]
    if binned_by == "visible" and not np.isfinite(table[binned_by]).any():
        raise Missing("how much of each object is in sight is not known of these data")
    ends = objects.AREAS if binned_by == "area" else objects.VISIBLE
    sums = objects.binned(table, table[binned_by], ends, len(confusion_of(run)), (value,))
    return ImageCounts({name: sums[name][:, place] for name in (value, "count")}, ratio_of(value, "count"))


def _pixels_by_edge(run: Run) -> dict[str, np.ndarray]:
    """What `boundaries.trimap` takes, of the pixels near true edges and far from them: (N, 2, C) each."""
    found = file_of(run, "boundary")
    ends = found["trimap_edges"]
    groups = ends[1:] <= NEAR, ends[:-1] >= FAR
    return {
        name: np.stack([found[name][:, group].sum(1) for group in groups], 1)
        for name in signature(boundaries.trimap).parameters
    }


def by_edge(then: Callable, run: Run) -> ImageCounts:
    """mIoU of the pixels near true edges, of those far from them, or how much the first is higher."""
    return ImageCounts(_pixels_by_edge(run), lambda **sums: then(boundaries.trimap(**sums)))


def share_of(file: str, above: str, below: str, run: Run) -> ImageCounts:
    """A share whose two sums a file has by image."""
    found = file_of(run, file)
    known(found, above, run)
    return ImageCounts({name: found[name] for name in (above, below)}, ratio_of(above, below))


def lost_part(name: str, run: Run) -> ImageCounts:
    """mIoU lost when a part of the network is switched off."""
    found = file_of(run, "ablation")
    names = [str(one) for one in found["names"]]
    if name not in names:
        raise Missing(f"{label(run.variant)} has no {name}")
    off = found["confusion"][names.index(name)]
    return ImageCounts({"own": confusion_of(run), "off": off}, difference_of("own", "off"))


def of_maps(measure: Callable[[np.ndarray, np.ndarray], float], run: Run) -> ImageCounts:
    """The mean over levels of a measure of gate maps, in the images whose maps a run keeps."""
    found, kept = file_of(run, "gates"), file_of(run, "predictions")
    car = run.study.classes.id("Car") if "Car" in run.study.classes.names else -1
    values, count = np.zeros((2, len(confusion_of(run))))
    for k, image in enumerate(found["index"]):
        for level in LEVELS:
            gate = found[f"maps{level}"][k].astype(float).mean(0)  # (h, w)
            where = kept["labels"][k][:: 2 ** (level - 1), :: 2 ** (level - 1)] == car
            value = measure(gate, where)
            if np.isfinite(value):
                values[image] += value
                count[image] += 1
    return ImageCounts({"values": values, "count": count}, ratio_of("values", "count"))


def auc(gate: np.ndarray, where: np.ndarray) -> float:
    """How well values tell the pixels that are so from the others: area under the ROC curve, NaN without."""
    inside, outside = where.sum(), (~where).sum()
    if not inside or not outside:
        return np.nan
    return (rankdata(gate)[where.ravel()].sum() - inside * (inside + 1) / 2) / (inside * outside)


def evenness(gate: np.ndarray, where: np.ndarray) -> float:
    """Entropy of a map's values as shares of their sum, over that of a constant map: 1 is even."""
    share = gate.ravel() / max(gate.sum(), np.finfo(float).tiny)
    return float(entropy(share) / np.log(share.size))


def hidden_over_seen(run: Run) -> ImageCounts:
    """Recall of objects that are mostly hidden minus that of those in full sight."""
    hidden, seen = (of_objects("visible", place, "found", run).arrays for place in (0, -1))
    arrays = {f"hidden_{name}": array for name, array in hidden.items()}
    arrays |= {f"seen_{name}": array for name, array in seen.items()}
    of_hidden, of_seen = (ratio_of(f"{which}_found", f"{which}_count") for which in ("hidden", "seen"))
    return ImageCounts(arrays, lambda **sums: of_hidden(**sums) - of_seen(**sums))


def gate_variation(level: int, run: Run) -> ImageCounts:
    std = file_of(run, "gates")["std"][:, level - 1].mean(-1)  # (N,), mean over the maps of a class gate
    return ImageCounts({"std": std, "images": np.ones(len(std))}, ratio_of("std", "images"))


def let_through(run: Run) -> ImageCounts:
    """Share of the skips' energy that gates let through, mean over images."""
    passed = known(file_of(run, "gates"), "passed", run)
    return ImageCounts({"passed": passed, "images": np.ones(len(passed))}, ratio_of("passed", "images"))
