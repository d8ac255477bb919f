"""The metrics of the claims, by name.

A metric over test images is a function of counts summed over the images, so that each weighted sum gives a
draw of the bootstrap. A metric without images, such as a number of epochs, is one number per run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

import numpy as np

from segnb.claims import by_image
from segnb.claims.by_image import FAR, LEVELS, NEAR, ImageCounts, file_of, miou, pixels_of, share
from segnb.claims.claim import COSTS, ENCODER
from segnb.claims.related_studies import Missing
from segnb.labels import CAMVID, STREET
from segnb.metrics import boundaries, objects
from segnb.metrics.confusion import iou
from segnb.study.study import Run

EARLY = 0.2  # share of the epochs that counts as early in training (F11)
REACHED = 0.9  # share of a final score that counts as converged (U6)
FIRST_EPOCHS = 3  # epochs whose gradients are compared (U5)
LAST = "up1"  # the last block of a U-Net's decoder
# Classes that rendered scenes and photographs have in common (F12).
COMMON = tuple(name for name in STREET.names if name in CAMVID.names)


@dataclass(frozen=True)
class Metric:
    """A metric of a run.

    words:    its name in a sentence
    unit:     of a printed difference, which is the value times `scale`
    of:       (run, *rivals) -> ImageCounts, or a number for a metric without images
    compares: whether `of` takes rivals: runs with the same seed to compare the run with
    share:    whether it is a share from 0 to 1 whose level is meaningful by itself
    """

    words: str
    unit: str
    of: Callable[..., ImageCounts | float]
    compares: bool = False
    share: bool = False

    @property
    def scale(self) -> float:
        return 100.0 if self.unit == "%" or self.unit.startswith("points") else 1.0


# ---- from confusion matrices -----------------------------------------------------------------------------


def _ids(run: Run, names: Sequence[str]) -> list[int]:
    classes = run.study.classes
    if not names:
        raise Missing("the label set marks no class as thin")
    if missing := [name for name in names if name not in classes.names]:
        raise Missing(f"the label set has no class {', '.join(missing)}")
    return [classes.id(name) for name in names]


def _miou(run: Run) -> ImageCounts:
    return miou(pixels_of(run))


def _copied(run: Run) -> ImageCounts:
    """mIoU without a network: each test image gets the mask of the most similar training image."""
    if "copied" not in (arrays := file_of(run, "test")):
        raise Missing("the score of copied masks was not computed")
    return miou(arrays["copied"])


def _iou_of(names: tuple[str, ...], run: Run) -> ImageCounts:
    return miou(pixels_of(run), _ids(run, names))


def _thin(run: Run) -> ImageCounts:
    return _iou_of(run.study.classes.thin, run)


def _thin_minus_others(run: Run) -> ImageCounts:
    thin = _ids(run, run.study.classes.thin)
    others = [i for i in range(len(run.study.classes)) if i not in thin]
    return miou(pixels_of(run), thin) - miou(pixels_of(run), others)


def _shifted(kind: str, run: Run) -> ImageCounts:
    """mIoU under other conditions minus mIoU of the same scenes without them."""
    arrays, clean = file_of(run, "shifts"), pixels_of(run)
    kinds = arrays["kinds"].tolist()
    if kind not in kinds:
        raise Missing(f"the networks were not evaluated on scenes with {kind}")
    shifted = arrays["confusion"][kinds.index(kind)]
    if more := len(clean) - len(shifted):  # only the first test images are shifted
        nothing = np.zeros_like(clean[:more])
        shifted, clean = (np.concatenate([part[: len(shifted)], nothing]) for part in (shifted, clean))
    return miou(shifted) - miou(clean)


def _best_by_image(run: Run, *rivals: Run) -> ImageCounts:
    """Share of images on which this run has the highest mIoU; ties are split evenly.

    An image without labelled pixels does not count.
    """
    scores = np.stack([_miou(rival).by_image() for rival in (run, *rivals)])  # (V, N)
    top = scores == scores.max(0)
    return share(top[0] / np.maximum(top.sum(0), 1), np.isfinite(scores[0]).astype(float))


def _best_by_class(run: Run, *rivals: Run) -> ImageCounts:
    """Share of classes on which this run has the highest IoU; ties are split evenly."""

    def reduce(pixels: np.ndarray) -> np.ndarray:
        ious = iou(pixels)  # (..., V, C)
        top = ious == np.nanmax(ious, -2, keepdims=True, initial=-1)
        wins = top[..., 0, :] / np.maximum(top.sum(-2), 1)
        return wins.sum(-1) / (~np.isnan(ious[..., 0, :])).sum(-1)

    pixels = np.stack([pixels_of(rival) for rival in (run, *rivals)], axis=1)  # (N, V, 3, C)
    return ImageCounts({"pixels": pixels}, reduce)


def _best_by_seed(run: Run, *rivals: Run) -> float:
    return float(all(_miou(run).value() > _miou(rival).value() for rival in rivals))


# ---- from training: no images ----------------------------------------------------------------------------


def _curve(run: Run) -> np.ndarray:
    return run.history()["val_miou"].to_numpy()


def early_epoch(epochs: int) -> int:
    """Return the epoch, counted from 1, after which a share EARLY of the training is over."""
    return int(np.ceil(EARLY * epochs))


def _score_at(when: str, run: Run) -> float:
    """Validation mIoU early in training, at its end, or the difference."""
    curve = _curve(run)
    if len(curve) < 2:
        raise Missing("a run of one epoch has no early part")
    early, final = curve[early_epoch(len(curve)) - 1], curve[-1]
    return float({"early": early, "final": final, "rise": final - early}[when])


def _epochs_to_converge(run: Run, *rivals: Run) -> float:
    """Epochs until validation mIoU reaches a share REACHED of the final mIoU, or of the lowest of its rivals.

    Interpolated between epochs; the last epoch if it is never reached.
    """
    curve = _curve(run)
    epoch = epoch_at(curve, REACHED * min(_curve(rival)[-1] for rival in (run, *rivals)))
    return float(len(curve)) if np.isnan(epoch) else epoch


def epoch_at(curve: np.ndarray, goal: float) -> float:
    """Return the epoch, from 1, at which a score per epoch first reaches a goal; NaN if never.

    Interpolated between epochs.
    """
    if not (curve >= goal).any():
        return np.nan
    reached = int(np.argmax(curve >= goal))
    if reached == 0:
        return 1.0
    below, above = curve[reached - 1], curve[reached]
    return float(reached + (goal - below) / (above - below))


def _gradient_fall(run: Run) -> float:
    """Decades from the gradient of the decoder's last block to that of the weakest encoder stage."""
    return _gradient(LAST, run) - min(_gradient(stage, run) for stage in ENCODER)


def _gradient_share(stages: str, run: Run) -> float:
    """Gradient of some stages relative to that of the decoder's last block, next to the loss, in decades.

    All gradients shrink with the loss, which falls faster in a network that learns faster.
    """
    return _gradient(stages, run) - _gradient(LAST, run)


def _gradient(stages: str, run: Run) -> float:
    """Mean log10 of ‖gradient‖/‖weight‖ over layers of a U-Net in the first epochs."""
    table = file_of(run, "gradients")
    ratio, early = table["ratio"].to_numpy(), table["epoch"].to_numpy() <= FIRST_EPOCHS
    rows = early & table["layer"].str.match(stages).to_numpy()
    return float(np.log10(ratio[rows]).mean())


# ---- all of them -----------------------------------------------------------------------------------------


def _metrics() -> dict[str, Metric]:
    metrics: dict[str, Metric] = {}

    def add(name: str, words: str, of: Callable, unit="points", compares=False, share=False) -> None:
        metrics[name] = Metric(words, unit, of, compares, share)

    points = "points of mIoU"
    add("miou", "mIoU", _miou, points)
    add("copied", "mIoU", _copied, points)
    add("miou:thin", "mIoU of the thin classes", _thin, points)
    add("miou:thin-others", "mIoU of the thin classes minus that of the others", _thin_minus_others, points)
    add("miou:common", "mIoU of the common classes", partial(_iou_of, COMMON), points)
    for name in dict.fromkeys(STREET.names + CAMVID.names):
        add(f"iou:{name}", f"{name} IoU", partial(_iou_of, (name,)), "points of IoU", share=True)
    for kind in ("occlusion", "fog", "night", "noise"):
        add(f"shift:{kind}", f"change in mIoU ({kind})", partial(_shifted, kind), points)
    for level in LEVELS:
        words = f"mIoU lost without the gate of level {level}"
        add(f"lost:{level}", words, partial(by_image.lost_without, level), points)
    add("lost:all", "mIoU lost without any gate", partial(by_image.lost_without, 0), points)
    for name, of in (("images", _best_by_image), ("classes", _best_by_class), ("seeds", _best_by_seed)):
        add(f"best:{name}", f"share of {name} with the best score", of, "%", compares=True)

    for name, words, reduce in (
        ("boundary_iou", "boundary IoU", boundaries.boundary_iou),
        ("boundary_f1", "boundary F1", boundaries.boundary_f1),
    ):
        of = partial(by_image.boundary, reduce, then=lambda at: at.mean(-1))
        add(name, f"{words}, mean over 1, 2 and 3 px", of)
        for place, px in enumerate(boundaries.DISTANCES):
            of = partial(by_image.boundary, reduce, then=itemgetter((..., place)))
            add(f"{name}:{px}", f"{words} at {px} px", of)
    for name, words, unit in (
        ("roughness", "length of matching contours as a share of the true length", "points"),
        ("edge_distance", "distance from true to predicted edges", "px"),
        ("edge_agreement", "agreement of predicted edges with image gradients", "points"),
        ("softness", "width of transitions across true edges", "px"),
        ("missing_edges", "share of true edges without a transition", "points"),
    ):
        add(name, words, partial(by_image.boundary, getattr(boundaries, name)), unit)

    for place, (size, px) in enumerate(objects.SIDES.items()):
        words = f"{size} objects ({px} px per side at {objects.CELLS_OF}×{objects.CELLS_OF})"
        for name, start, column, among in (
            ("recall", "recall of", "found", ""),
            ("object_iou", "IoU of", "iou", ""),
            ("found_iou", "IoU of found", "iou", "found"),
            ("intact", "one-piece recall of", "intact", ""),
            ("ceiling", "recall with perfect scores of", "reachable", ""),
        ):
            of = partial(by_image.of_objects, "area", place, column, among=among)
            add(f"{name}:{size}", f"{start} {words}", of, share=True)
    for place, sight in enumerate(objects.VISIBILITIES):
        of = partial(by_image.of_objects, "visible", place, "found")
        add(f"recall:{sight}", f"recall of objects {sight}", of)
    words = "recall of mostly hidden objects minus recall of objects in full sight"
    add("recall:hidden-seen", words, by_image.hidden_minus_seen)
    for level in LEVELS:
        words = f"standard deviation of the gate of level {level} within an image"
        add(f"gate_variation:{level}", words, partial(by_image.gate_variation, level), "")

    near, far = f"pixel accuracy less than {NEAR} px from true edges", f"pixel accuracy {FAR} px or more from"
    add("near", near, partial(by_image.by_edge, itemgetter((..., 0))), share=True)
    add("far", f"{far} true edges", partial(by_image.by_edge, itemgetter((..., 1))), share=True)
    gap = partial(by_image.by_edge, lambda accuracy: accuracy[..., 0] - accuracy[..., 1])
    add("near-far", f"{near} minus {far} them", gap)
    of = partial(by_image.share_of, "false_parts", "pixels")
    add("false_parts", "share of pixels in false parts", of)
    words = "recall of edges between objects"
    add("between", words, partial(by_image.share_of, "between_hits", "between_count"), share=True)
    for name, words in (
        ("pool3", "without the scores of pool3"),
        ("pool4", "without the scores of pool4"),
        ("skips", "without any skip"),
        ("signal:mean", "with only the mean of the gating signal"),
        ("signal:shuffled", "with another image's gating signal"),
    ):
        add(f"lost:{name}", f"mIoU lost {words}", partial(by_image.lost_part, name), points)
    words = "share of skip energy that the gates let through"
    add("let_through", words, by_image.let_through, share=True)
    for name, words, measure in (
        ("gate_auc", "AUC of gate values for cars without the bonnet", by_image.auc),
        ("gate_spread", "evenness of gate maps (1 is even)", lambda gate, cars: by_image.evenness(gate)),
    ):
        add(name, words, partial(by_image.of_maps, measure), "")

    add("val:rise", "rise in validation mIoU from early to final", partial(_score_at, "rise"), points)
    add("val:early", "validation mIoU early in training", partial(_score_at, "early"), points)
    add("val:final", "final validation mIoU", partial(_score_at, "final"), points)
    words = f"epochs to {REACHED:.0%} of the lower final score"
    add("epochs", words, _epochs_to_converge, "epochs", compares=True)
    add("epochs:own", f"epochs to {REACHED:.0%} of its own final score", _epochs_to_converge, "epochs")
    ratio = "gradient-to-weight ratio in {}, relative to the decoder's last block".format
    add("gradient", ratio("encoder and bottleneck"), partial(_gradient_share, "|".join(ENCODER)), "decades")
    words = "fall of the gradient-to-weight ratio towards the encoder"
    add("gradient:fall", words, _gradient_fall, "decades")
    for stage in ENCODER:
        where = "the bottleneck" if stage == "bottom" else f"encoder level {stage[-1]}"
        add(f"gradient:{stage}", ratio(where), partial(_gradient_share, stage), "decades")
    return metrics


METRICS = _metrics()


def words_of(metric: str) -> str:
    """Return the name of a metric in a sentence."""
    return COSTS[metric][0] if metric in COSTS else METRICS[metric].words
