"""The pictures that stand in the place of the explorer where no kernel runs."""

import numpy as np

from segnb.evaluation import ablation
from segnb.explorer import album as album_module
from segnb.explorer.album import Album, Scene, wrong_share
from segnb.models import registry
from segnb.report.figures.gates import OPEN
from segnb.report.figures.predictions import coloured, marked, mistaken, side_by_side
from segnb.report.figures.style import MISSED, WRONG, Picture, percent
from segnb.study import study
from segnb.study.study import Run


def overview(album: Album, scene: Scene) -> Picture:
    """Every network's errors on one test image, the first seed of each."""
    image, truth = (kind[max(kind)] for kind in (scene.images, scene.labels))
    panels = [("Picture", image), ("Ground truth", truth)]
    told = []
    for name, runs in study.by_variant(album.runs).items():
        size, label = ablation.side(runs[0]), registry.label(name)
        wrong = mistaken(scene.labels[size], album.predicted(runs[0])[scene.number])
        share = percent(album.wrong(runs[:1])[scene.number])
        panels.append((f"{label}\n{share} wrong", marked(scene.images[size], wrong)))
        told.append(f"{label} {share}")
    fig = side_by_side(panels, album.classes.seen(truth), album.classes, {"wrong": WRONG})
    return fig.described(
        f"{scene.name}, its ground truth, and where each network is wrong. Wrong pixels: {'; '.join(told)}.",
        f"Every network's errors on {scene.name}, the image of median difficulty: on half of the test images"
        " more pixels are wrong (mean over networks), on half fewer. With a kernel this picture makes way for"
        " the explorer.",
    )


def taken_apart(album: Album, scene: Scene, run: Run) -> Picture:
    """One network on one test image as trained and with all skips off, and its gates' maps."""
    size, classes = ablation.side(run), album.classes
    image, truth = scene.images[size], scene.labels[size]
    whole = ablation.seen_inside(run, image)
    flat = ablation.seen_inside(run, image, skips=ablation.skip_levels(run.variant))
    changed = whole.classes != flat.classes
    shares = [percent(wrong_share(truth, one.classes)) for one in (whole, flat)]
    panels = [
        ("Picture", image),
        ("Ground truth", truth),
        (f"As trained\n{shares[0]} wrong", whole.classes),
        (f"All skips off\n{shares[1]} wrong", flat.classes),
        (f"What changed\n{percent(changed.mean())}", marked(image, changed, MISSED)),
    ]
    means = {level: maps.mean(0) for level, maps in whole.maps.items()}
    for level, mean in means.items():
        title = f"Gate {level}" + " (mean)" * (len(whole.maps[level]) > 1)
        panels.append((f"{title}\n{mean.mean():.2f} ± {mean.std():.2f}", _heat(mean, level, size)))
    named = album_module.named(run)
    seen = classes.seen(truth, whole.classes, flat.classes)
    gates = (
        " Gates are dark where they hold the skip back and bright where they let it through." if means else ""
    )
    fig = side_by_side(panels, seen, classes, {"changed": MISSED})
    return fig.described(
        f"{named} on {scene.name}: {shares[0]} of the pixels wrong as trained, {shares[1]} with every skip at"
        f" its mean over the image, {percent(changed.mean())} changed."
        + "".join(f" Gate {level}: mean {mean.mean():.2f}." for level, mean in means.items()),
        f"{named} with its skips switched off: each channel that is handed across is replaced by its mean"
        f" over the image.{gates} With a kernel this picture makes way for the switches.",
    )


def _heat(values: np.ndarray, level: int, size: int) -> np.ndarray:
    """A map (h, w) from 0 to 1 in colour, at the pixels of its image, uint8 (S, S, 3)."""
    cell = 2 ** (level - 1)
    pixels = values.repeat(cell, 0).repeat(cell, 1)[:size, :size]
    return coloured(pixels, OPEN)
