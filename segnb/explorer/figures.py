"""Figures of the explorer for readers without a kernel."""

import numpy as np

from segnb.evaluation import ablation, evaluate
from segnb.explorer.album import Album, Scene, named, wrong_share
from segnb.models import registry
from segnb.report.figures.gates import OPEN
from segnb.report.figures.images import coloured, fewest_wrong, marked, mistaken, side_by_side
from segnb.report.figures.style import MISSED, WRONG, Picture, percent
from segnb.study import study
from segnb.study.study import Run


def overview(album: Album, scene: Scene) -> Picture:
    """Draw the errors of every network on one test image, for the first seed of each."""
    image, truth = (kind[max(kind)] for kind in (scene.images, scene.labels))
    panels = [("Image", image), ("Ground truth", truth)]
    shares = {}
    for name, runs in study.by_variant(album.runs).items():
        size, label = runs[0].recipe.size, registry.label(name)
        wrong = mistaken(scene.labels[size], album.predicted(runs[0])[scene.number])
        shares[label] = album.wrong(runs[:1])[scene.number]
        panels.append((f"{label}\n{percent(shares[label])} wrong", marked(scene.images[size], wrong)))
    values = "; ".join(f"{label} {percent(share)}" for label, share in shares.items())
    fig = side_by_side(panels, album.classes.seen(truth), album.classes, {"wrong": WRONG})
    return fig.described(
        f"{scene.name}, its ground truth, and the errors of each network. Wrong pixels: {values}.",
        f"{fewest_wrong(shares)} Red pixels are wrong. {scene.name} is the test image of median difficulty,"
        " by the mean share of wrong pixels over all networks. With a running kernel, the explorer replaces"
        " this figure.",
    )


def taken_apart(album: Album, scene: Scene, run: Run) -> Picture:
    """Draw the predictions of one network on one test image with and without its skips, and its gate maps."""
    size, classes = run.recipe.size, album.classes
    image, truth = scene.images[size], scene.labels[size]
    whole = evaluate.predict(run, image)
    flat = evaluate.predict(run, image, skips=ablation.skip_levels(run.variant))
    changed = whole.classes != flat.classes
    shares = [percent(wrong_share(truth, prediction.classes)) for prediction in (whole, flat)]
    panels = [
        ("Image", image),
        ("Ground truth", truth),
        (f"As trained\n{shares[0]} wrong", whole.classes),
        (f"All skips off\n{shares[1]} wrong", flat.classes),
        (f"Changed pixels\n{percent(changed.mean())}", marked(image, changed, MISSED)),
    ]
    means = {level: maps.mean(0) for level, maps in whole.maps.items()}
    for level, mean in means.items():
        title = f"Gate {level}" + " (mean)" * (len(whole.maps[level]) > 1)
        panels.append((f"{title}\n{mean.mean():.2f} ± {mean.std():.2f}", _heat(mean, level, size)))
    network = named(run)
    seen = classes.seen(truth, whole.classes, flat.classes)
    gates = " Gate maps are bright where the gate lets the skip through." if means else ""
    fig = side_by_side(panels, seen, classes, {"changed": MISSED})
    return fig.described(
        f"{network} on {scene.name}: {shares[0]} of the pixels are wrong as trained and {shares[1]} with"
        f" every skip replaced by its mean over the image; {percent(changed.mean())} change."
        + "".join(f" Gate {level}: mean {mean.mean():.2f}." for level, mean in means.items()),
        f"Switching off all skips of {network} changes the class of {percent(changed.mean())} of the pixels:"
        f" {shares[0]} are wrong before and {shares[1]} after. A skip that is off has each channel replaced"
        f" by its mean over the image.{gates} With a running kernel, the explorer replaces this figure.",
    )


def _heat(values: np.ndarray, level: int, size: int) -> np.ndarray:
    """Return a map (h, w), 0 to 1, in colour and at the size of its image, uint8 (S, S, 3)."""
    cell = 2 ** (level - 1)
    pixels = values.repeat(cell, 0).repeat(cell, 1)[:size, :size]
    return coloured(pixels, OPEN)
