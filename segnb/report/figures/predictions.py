"""Figures of predictions: what networks make of test images, and where they are wrong."""

import matplotlib as mpl
import numpy as np

from segnb.labels import IGNORE_INDEX, ClassMap
from segnb.report.figures.axes import (
    grid,
    inches_of_classes,
    label_panel,
    legend_of_classes,
    panel,
    short,
    wrapped,
)
from segnb.report.figures.style import SMALL, WIDTH, WRONG, Picture, figure, percent


def pale(image: np.ndarray) -> np.ndarray:
    """The image, uint8 (S, S, 3), in light greys, for colours to be laid over."""
    grey = image.mean(-1, keepdims=True).repeat(3, -1)
    return (255 - (255 - grey) * 0.35).astype(np.uint8)


def evenly(count: int, wanted: int) -> np.ndarray:
    """At most `wanted` indices spread over 0 … count - 1, each once; none of nothing."""
    return np.unique(np.linspace(0, max(count - 1, 0), min(wanted, count)).round().astype(int))


def mistaken(truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Where a prediction is wrong: bool (S, S). Where nothing is labelled it cannot be."""
    return (truth != guess) & (truth != IGNORE_INDEX)


@figure
def predictions(kept: dict[str, np.ndarray], label: str, classes: ClassMap, wanted: int = 3) -> Picture:
    """A network at work: image, ground truth, prediction and errors of some test images.

    kept: what `RunDir.predictions()` gives; images are taken from it evenly
    """
    rows = evenly(len(kept["names"]), wanted)
    seen = classes.seen(kept["labels"][rows], kept["predictions"][rows])
    fig = Picture(height=len(rows) * (WIDTH / 4 + 0.12) + 0.3 + inches_of_classes(seen, classes))
    axes = fig.subplots(len(rows), 4, squeeze=False)
    shares = []
    for line, i in zip(axes, rows, strict=True):
        image, truth, guess = kept["images"][i], kept["labels"][i], kept["predictions"][i]
        wrong = mistaken(truth, guess)
        shares.append(wrong.mean())
        panel(line[0], image)
        line[0].set_ylabel(short(str(kept["names"][i]), 20), fontsize=SMALL)
        label_panel(line[1], truth, classes)
        label_panel(line[2], guess, classes)
        panel(line[3], marked(image, wrong))
        line[3].set_title(f"{percent(wrong.mean())} wrong", pad=4, color=WRONG)
    for ax, title in zip(axes[0], ("Image", "Ground truth", "Prediction"), strict=False):
        ax.set_title(title, pad=4)
    fig.suptitle(label, x=0.01, ha="left", fontsize=11.5, weight="bold")
    legend_of_classes(fig, seen, classes)
    chosen = f"{len(rows)} test images"
    if len(rows) < len(kept["names"]):
        chosen = f"{len(rows)} of {len(kept['names'])} kept test images, evenly spread"
    told = ", ".join(f"{percent(share)} in {kept['names'][i]}" for share, i in zip(shares, rows, strict=True))
    return fig.described(
        f"{label}: {len(rows)} test images with ground truth, prediction and errors. Wrong pixels: {told}.",
        f"{label} on {chosen}. Red pixels got another class than the ground truth's; above them stands their"
        " share of the image.",
    )


def marked(image: np.ndarray, where: np.ndarray, colour: str = WRONG) -> np.ndarray:
    """The image, uint8 (S, S, 3), in light greys, with the pixels of `where`, bool (S, S), in one colour."""
    painted = pale(image)
    painted[where] = np.round(255 * np.array(mpl.colors.to_rgb(colour)))
    return painted


def coloured(values: np.ndarray, scale: str) -> np.ndarray:
    """Values from 0 to 1, (S, S), in the colours of one of matplotlib's scales, uint8 (S, S, 3)."""
    return mpl.colormaps[scale](values, bytes=True)[..., :3]


@figure
def side_by_side(
    panels: list[tuple[str, np.ndarray]], seen: list[int], classes: ClassMap, extra: dict[str, str]
) -> Picture:
    """Pictures, uint8 (S, S, 3), or label maps, uint8 (S, S), beneath titles; the caller describes them.

    seen:  ids of classes for the legend
    extra: {text: colour} beside them
    """
    columns = 3 if len(panels) <= 6 or len(panels) == 9 else 4  # nine panels fill three rows
    rows = -(-len(panels) // columns)
    titles = ["\n".join(wrapped(part, 80 // columns) for part in title.split("\n")) for title, _ in panels]
    lines = max(title.count("\n") + 1 for title in titles)
    legend = inches_of_classes(seen, classes, extra)
    fig = Picture(height=rows * (WIDTH / columns + 0.2 * lines) + 0.2 + legend)
    for ax, title, (_, picture) in zip(grid(fig, len(panels), columns), titles, panels, strict=True):
        if picture.ndim == 2:
            label_panel(ax, picture, classes, title)
        else:
            panel(ax, picture, title)
    legend_of_classes(fig, seen, classes, extra)
    return fig
