"""The metrics that claims compare, by name.

A metric that has images is `reduce(sums over images of what is counted in each)`, so that one weighted sum is
one draw of the bootstrap. A metric without images (an epoch count, a ratio of gradients) is a number per run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from inspect import signature
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from segnb.claims.claim import ENCODER
from segnb.claims.related_studies import Missing
from segnb.labels import CAMVID, STREET
from segnb.metrics import boundaries, objects
from segnb.metrics.confusion import class_iou, mean_iou, ratio
from segnb.models.registry import label
from segnb.study.study import Run

EARLY = 0.2  # share of the epochs after which training is still "early" (F11)
REACHED = 0.9  # of the lower final score of a pair: what counts as converged (U6)
FIRST_EPOCHS = 3  # whose gradients are compared (U5)
LEVELS = (1, 2, 3, 4)  # of a U-Net, each with a gate on its skip
# Classes that rendered scenes and photographs have in common (F12).
COMMON = tuple(name for name in STREET.names if name in CAMVID.names)


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


@dataclass(frozen=True)
class Metric:
    """A named quantity of a run.

    words:  what it is called in a sentence
    unit:   of a printed difference, which is the value times `scale`
    of:     (run, *rivals) -> ImageCounts, or a number where there are no images
    compares: whether `of` takes rivals: the runs of the same seed that the run is compared with
    """

    words: str
    unit: str
    scale: float
    of: Callable[..., ImageCounts | float]
    compares: bool = False


# ---- files of a run --------------------------------------------------------------------------------------


@lru_cache(maxsize=256)  # of about a megabyte each: every metric of a study asks again
def _read(run: Run, name: str, changed: int):
    return getattr(run, name)()


def file_of(run: Run, name: str):
    """What run.<name>() reads. Raises Missing where it was not written, in words that can be published."""
    path = run.confusion_path if name == "test" else getattr(run, f"{name}_path")
    if not path.exists():
        raise Missing(f"{label(run.variant)}, seed {run.seed}, has no {path.name}")
    return _read(run, name, path.stat().st_mtime_ns)


def _confusion(run: Run) -> np.ndarray:
    return file_of(run, "test")["confusion"]


# ---- from confusion matrices -----------------------------------------------------------------------------


def _mean_of(ids: list[int], confusion: np.ndarray) -> np.ndarray:
    """Mean IoU of some classes, of those of them that occur: (..., C, C) to (...)."""
    iou = class_iou(confusion)[..., ids]
    return ratio(np.nansum(iou, -1), (~np.isnan(iou)).sum(-1))


def _ids(run: Run, names: Sequence[str]) -> list[int]:
    classes = run.study.classes
    gone = [name for name in names if name not in classes.names]
    if gone or not names:
        raise Missing(f"the label set has no class {', '.join(gone)}" if gone else "no class counts as thin")
    return [classes.id(name) for name in names]


def _miou(run: Run) -> ImageCounts:
    return ImageCounts({"confusion": _confusion(run)}, mean_iou)


def _copied(run: Run) -> ImageCounts:
    """mIoU without a network: each test image has the mask of the training image that looks most alike."""
    if "copied" not in (found := file_of(run, "test")):
        raise Missing("what copying masks would score was not measured")
    return ImageCounts({"confusion": found["copied"]}, mean_iou)


def _iou_of(names: tuple[str, ...], run: Run) -> ImageCounts:
    return ImageCounts({"confusion": _confusion(run)}, partial(_mean_of, _ids(run, names)))


def _thin(run: Run) -> ImageCounts:
    return _iou_of(run.study.classes.thin, run)


def _thin_over_others(run: Run) -> ImageCounts:
    thin = _ids(run, run.study.classes.thin)
    others = [i for i in range(len(run.study.classes)) if i not in thin]
    return ImageCounts(
        {"confusion": _confusion(run)},
        lambda confusion: _mean_of(thin, confusion) - _mean_of(others, confusion),
    )


def _shifted(kind: str, run: Run) -> ImageCounts:
    """mIoU under other conditions minus that of the same scenes as they are."""
    found, confusion = file_of(run, "shifts"), _confusion(run)
    kinds = [str(one) for one in found["kinds"]]
    if kind not in kinds:
        raise Missing(f"no scenes with {kind} were tested")
    shifted, clean = np.zeros_like(confusion), np.zeros_like(confusion)
    scenes = found["confusion"].shape[1]  # the first of the test images
    shifted[:scenes], clean[:scenes] = found["confusion"][kinds.index(kind)], confusion[:scenes]
    return ImageCounts({"shifted": shifted, "clean": clean}, _difference("shifted", "clean"))


def _lost_without(level: int, run: Run) -> ImageCounts:
    """mIoU lost when the gate of a level (0: of all levels at once) is replaced by its image mean."""
    neutral = file_of(run, "gates")["neutral_confusion"][level - 1]  # that of all levels comes last
    return ImageCounts({"own": _confusion(run), "neutral": neutral}, _difference("own", "neutral"))


def _difference(plus: str, minus: str) -> Callable[..., np.ndarray]:
    return lambda **sums: mean_iou(sums[plus]) - mean_iou(sums[minus])


def _best_by_image(run: Run, *rivals: Run) -> ImageCounts:
    """Share of the images whose mIoU is highest with this run; a tie counts in parts."""
    scores = np.stack([mean_iou(_confusion(one)) for one in (run, *rivals)])  # (V, N)
    top = scores == scores.max(0)
    best = top[0] / top.sum(0)
    return ImageCounts({"best": best, "images": np.ones(len(best))}, _ratio("best", "images"))


def _best_by_class(run: Run, *rivals: Run) -> ImageCounts:
    """Share of the classes whose IoU is highest with this run; a tie counts in parts."""

    def reduce(confusions: np.ndarray) -> np.ndarray:
        iou = class_iou(confusions)  # (..., V, C)
        top = iou == np.nanmax(iou, -2, keepdims=True, initial=-1)
        share = top[..., 0, :] / np.maximum(top.sum(-2), 1)
        return share.sum(-1) / (~np.isnan(iou[..., 0, :])).sum(-1)

    confusions = np.stack([_confusion(one) for one in (run, *rivals)], axis=1)  # (N, V, C, C)
    return ImageCounts({"confusions": confusions}, reduce)


def _best_by_seed(run: Run, *rivals: Run) -> float:
    return float(all(_miou(run).value() > _miou(rival).value() for rival in rivals))


def _ratio(above: str, below: str) -> Callable[..., np.ndarray]:
    return lambda **sums: ratio(sums[above], sums[below])


# ---- from boundaries, objects, gates ---------------------------------------------------------------------


def _boundary(reduce: Callable[..., np.ndarray], then: Callable, run: Run) -> ImageCounts:
    """A reducer of `segnb.metrics.boundaries`, whose parameters are named as the sums that it takes."""
    found = file_of(run, "boundary")
    return ImageCounts(
        {name: found[name] for name in signature(reduce).parameters}, lambda **sums: then(reduce(**sums))
    )


def _objects(binned_by: str, place: int, value: str, run: Run) -> ImageCounts:
    """Recall or IoU of the objects of one bin of size ("area") or of the share in sight ("visible")."""
    table = file_of(run, "objects")
    if not len(table):
        things = run.study.classes.things
        raise Missing(
            f"no object of {', '.join(things)} is in the test images"
            if things
            else "the label set marks no class whose objects can be counted (column thing of classes.csv)"
        )
    if binned_by == "visible" and not np.isfinite(table[binned_by]).any():
        raise Missing("how much of each object is in sight is not known of these data")
    ends = objects.size_bins(table["area"]) if binned_by == "area" else objects.VISIBLE
    sums = objects.binned(table, table[binned_by], ends, len(_confusion(run)))
    return ImageCounts({name: sums[name][:, place] for name in (value, "count")}, _ratio(value, "count"))


def _hidden_over_seen(run: Run) -> ImageCounts:
    """Recall of objects that are mostly hidden minus that of those in full sight."""
    hidden, seen = (_objects("visible", place, "found", run).arrays for place in (0, -1))
    arrays = {f"hidden_{name}": array for name, array in hidden.items()}
    arrays |= {f"seen_{name}": array for name, array in seen.items()}
    of_hidden, of_seen = (_ratio(f"{which}_found", f"{which}_count") for which in ("hidden", "seen"))
    return ImageCounts(arrays, lambda **sums: of_hidden(**sums) - of_seen(**sums))


def _gate_variation(level: int, run: Run) -> ImageCounts:
    std = file_of(run, "gates")["std"][:, level - 1].mean(-1)  # (N,), mean over the maps of a class gate
    return ImageCounts({"std": std, "images": np.ones(len(std))}, _ratio("std", "images"))


# ---- from training: no images ----------------------------------------------------------------------------


def _curve(run: Run) -> np.ndarray:
    return run.history()["val_miou"].to_numpy()


def early_epoch(epochs: int) -> int:
    """The epoch, counted from 1, after which a share EARLY of the training is over."""
    return int(np.ceil(EARLY * epochs))


def _score_at(when: str, run: Run) -> float:
    """Validation mIoU early in training, at its end, or the rise between."""
    curve = _curve(run)
    if len(curve) < 2:
        raise Missing("a training of one epoch has no early part")
    early, final = curve[early_epoch(len(curve)) - 1], curve[-1]
    return float({"early": early, "final": final, "rise": final - early}[when])


def _epochs_to_converge(run: Run, *rivals: Run) -> float:
    """Epochs until validation mIoU reaches REACHED of the lower final one of the pair, read off a line
    between epochs; the last epoch if it never does."""
    curve = _curve(run)
    goal = REACHED * min(_curve(one)[-1] for one in (run, *rivals))
    reached = int(np.argmax(curve >= goal)) if (curve >= goal).any() else len(curve) - 1
    if reached == 0 or curve[reached] < goal:
        return float(reached + 1)
    below, above = curve[reached - 1], curve[reached]
    return float(reached + (goal - below) / (above - below))


def _gradient(stages: str, run: Run) -> float:
    """Mean log10 of ‖gradient‖/‖weight‖ over some layers of a U-Net, in the first epochs."""
    table = file_of(run, "gradients")
    asked = table["layer"].str.match(stages) & (table["epoch"] <= FIRST_EPOCHS) & (table["ratio"] > 0)
    if not asked.any():
        raise Missing(f"{label(run.variant)}, seed {run.seed}, kept no gradients of an encoder")
    return float(np.log10(table["ratio"][asked]).mean())


# ---- all of them -----------------------------------------------------------------------------------------


def _metrics() -> dict[str, Metric]:
    metrics: dict[str, Metric] = {}

    def add(name: str, words: str, of: Callable, unit="points", scale=100.0, compares=False) -> None:
        metrics[name] = Metric(words, unit, scale, of, compares)

    miou = "points of mIoU"
    add("miou", "mIoU", _miou, miou)
    add("copied", "mIoU", _copied, miou)
    add("miou:thin", "mIoU of the thin classes", _thin, miou)
    add("miou:thin-others", "mIoU of the thin classes beyond that of the others", _thin_over_others, miou)
    add("miou:common", "mIoU of the classes in common", partial(_iou_of, COMMON), miou)
    for name in dict.fromkeys(STREET.names + CAMVID.names):
        add(f"iou:{name}", f"{name} IoU", partial(_iou_of, (name,)), "points of IoU")
    for kind in ("occlusion", "fog", "night", "noise"):
        add(f"shift:{kind}", f"what {kind} does to mIoU", partial(_shifted, kind), miou)
    for level in LEVELS:
        add(f"lost:{level}", f"mIoU lost without gate {level}", partial(_lost_without, level), miou)
    add("lost:all", "mIoU lost without any gate", partial(_lost_without, 0), miou)
    share = ("%", 100.0, True)
    add("best:images", "share of images in which it is best", _best_by_image, *share)
    add("best:classes", "share of classes in which it is best", _best_by_class, *share)
    add("best:seeds", "share of seeds in which it is best", _best_by_seed, *share)

    for name, words, reduce in (
        ("boundary_iou", "boundary IoU", boundaries.boundary_iou),
        ("boundary_f1", "boundary F1", boundaries.boundary_f1),
    ):
        add(name, f"{words}, mean over 1, 2 and 3 px", partial(_boundary, reduce, lambda at: at.mean(-1)))
        for place, px in enumerate(boundaries.DISTANCES):
            add(f"{name}:{px}", f"{words} at {px} px", partial(_boundary, reduce, itemgetter((..., place))))
    for name, words, then, unit, scale in (
        ("roughness", "|log| of the contours' length over the true one", _off_one, "%", 100.0),
        ("edge_distance", "distance from true edges to predicted ones", np.asarray, "px", 1.0),
        ("edge_agreement", "agreement of edges with the image's gradients", np.asarray, "points", 100.0),
        ("softness", "width of the transition across true edges", np.asarray, "px", 1.0),
        ("missing_edges", "share of true edges without a transition", np.asarray, "points", 100.0),
    ):
        add(name, words, partial(_boundary, getattr(boundaries, name), then), unit, scale)

    for place, size in enumerate(objects.SIZES):
        add(f"recall:{size}", f"recall of {size} objects", partial(_objects, "area", place, "found"))
        add(f"object_iou:{size}", f"IoU of {size} objects", partial(_objects, "area", place, "iou"))
    for place, sight in enumerate(objects.VISIBILITIES):
        add(f"recall:{sight}", f"recall of objects {sight}", partial(_objects, "visible", place, "found"))
    add("recall:hidden-seen", "recall of objects mostly hidden beyond that in full sight", _hidden_over_seen)
    for level in LEVELS:
        words = f"standard deviation of gate {level} within an image"
        add(f"gate_variation:{level}", words, partial(_gate_variation, level), "", 1.0)

    add("val:rise", "rise of validation mIoU from early to the end", partial(_score_at, "rise"), miou)
    add("val:early", "validation mIoU early in training", partial(_score_at, "early"), miou)
    add("val:final", "validation mIoU at the end", partial(_score_at, "final"), miou)
    add("epochs", "epochs to converge", _epochs_to_converge, "epochs", 1.0, True)
    words = "log10 of the gradient-to-weight ratio"
    add("gradient", f"{words} in the encoder", partial(_gradient, "|".join(ENCODER)), "decades", 1.0)
    for stage in ENCODER:
        add(f"gradient:{stage}", f"{words} in {stage}", partial(_gradient, stage), "decades", 1.0)
    return metrics


def _off_one(lengths: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):  # a prediction without any contour is infinitely far off
        return np.abs(np.log(lengths))


METRICS = _metrics()
