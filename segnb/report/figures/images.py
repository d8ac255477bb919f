"""Figures of the data: images with their labels, classes, their shares and places."""

import matplotlib as mpl
import numpy as np
import pandas as pd

from segnb.labels import IGNORE_INDEX, ClassMap
from segnb.report.figures.axes import dot_rows, grid, note, plain_log, row_names, scale_below, wrapped
from segnb.report.figures.label_maps import (
    inches_of_classes,
    legend_of_classes,
    panel,
    pattern,
    picture_rows,
    short,
)
from segnb.report.figures.style import QUIET, WIDTH, WRONG, Picture, figure, percent


@figure
def images_with_labels(
    images: np.ndarray, labels: np.ndarray, classes: ClassMap, columns: int = 4
) -> Picture:
    """A contact sheet: images uint8 (N, S, S, 3), each above its labels uint8 (N, S, S) in class colours."""
    count = len(images)
    columns = min(columns, count)
    blocks = -(-count // columns)
    side = WIDTH / columns
    seen = classes.seen(labels)
    fig = Picture(height=2 * blocks * side + 0.1 + inches_of_classes(seen, classes))
    axes = fig.subplots(2 * blocks, columns, squeeze=False).reshape(blocks, 2, columns).swapaxes(1, 2)
    axes = axes.reshape(-1, 2)  # of an image and its labels
    for (above, below), image, map_of_labels in zip(axes, images, labels, strict=False):
        panel(above, image)
        panel(below, map_of_labels, classes=classes)
    for ax in axes[count:].flat:
        ax.set_axis_off()
    legend_of_classes(fig, seen, classes)
    return fig.described(
        f"{count} images, each above its labels painted in class colours."
        f" Classes to be seen: {', '.join(classes.names[i] for i in seen)}.",
        f"Each of the {count} images with its labels beneath: look for what the labels leave out or get"
        " wrong, which no network can learn.",
    )


@figure
def class_legend(classes: ClassMap) -> Picture:
    """The classes with their ids and colours."""
    columns = max(1, min(4, 76 // (max(map(len, classes.names)) + 7)))
    fig = Picture(height=0.34 * -(-len(classes) // columns) + 0.2)
    fig.subplots().set_axis_off()
    ids = range(len(classes))
    legend_of_classes(
        fig,
        ids,
        classes,
        numbered=True,
        loc="center",
        ncols=columns,
        fontsize=11,
        handleheight=1.2,
        labelspacing=0.7,
    )
    named = ", ".join(f"{i} {name}" for i, name in enumerate(classes.names))
    marked_too = any(pattern(classes, i) for i in range(len(classes)))
    return fig.described(
        f"Legend of the {len(classes)} classes by id: {named}.",
        "The classes with their ids and colours, which are the same in every picture."
        + (" Dots and strokes tell apart what looks alike to some readers." if marked_too else ""),
    )


@figure
def class_masks(image: np.ndarray, labels: np.ndarray, classes: ClassMap) -> Picture:
    """One image (S, S, 3) taken apart: its labels (S, S), then one binary mask a class."""
    columns = 5
    rows = -(-(len(classes) + 2) // columns)
    fig = Picture(height=rows * (WIDTH / columns + 0.28))
    axes = grid(fig, len(classes) + 2, columns)
    panel(axes[0], image, "Image")
    panel(axes[1], labels, "All classes", classes)
    shares = np.bincount(labels.ravel(), minlength=len(classes))[: len(classes)] / labels.size
    for i, ax in enumerate(axes[2:]):
        panel(ax, labels == i, f"    {short(classes.names[i], 11)}", cmap="gray_r", vmin=-0.06, vmax=1.15)
        chip = {"ms": 7, "mfc": classes.colours[i], "mec": QUIET, "mew": 0.6, "clip_on": False}
        ax.plot(0.05, 1.095, "s", transform=ax.transAxes, **chip)
        text = percent(shares[i]) if shares[i] >= 0.0005 else "< 0.1 %" if shares[i] else "absent"
        note(ax, 0.97, 0.05, text, transform=ax.transAxes, ha="right")
    present = ", ".join(f"{classes.names[i]} {percent(shares[i])}" for i in np.argsort(-shares) if shares[i])
    absent = ", ".join(classes.names[i] for i in range(len(classes)) if not shares[i])
    return fig.described(
        f"An image, its labels, and a black-on-white mask for each class. Shares of the pixels: {present}."
        + (f" Absent: {absent}." if absent else ""),
        "The same image taken apart: black is where the class is, the number its share of the pixels.",
    )


@figure
def class_places(heat: np.ndarray, classes: ClassMap) -> Picture:
    """Where in the image each class lives: heat (C, S, S), share of images with the class at that pixel."""
    columns = 5
    rows = -(-len(classes) // columns)
    fig = Picture(height=rows * (WIDTH / columns + 0.2) + 0.75)
    axes = grid(fig, len(classes), columns)
    centres = []
    for ax, name, share in zip(axes, classes.names, heat, strict=True):
        peak = share.max()
        panel(ax, share / peak if peak else share, short(name), cmap="viridis", vmin=0, vmax=1)
        text = f"max {percent(peak, 0 if peak >= 0.1 else 1)}" if peak else "absent"
        note(ax, 0.96, 0.05, text, "black", 0.55, transform=ax.transAxes, ha="right", color="white")
        if peak:
            down = (share.sum(1) @ np.arange(len(share))) / share.sum() / len(share)
            centres.append(f"{name} {100 * down:.0f} %")
    words = "share of images with the class here, relative to its own maximum"
    scale_below(fig, axes, axes[0].images[0], words)
    return fig.described(
        "A heat map a class of where in the image it lies. Mean height, from the top edge down: "
        + ", ".join(centres)
        + ".",
        "Bright is where the class is most often; each map has its own scale, with its maximum printed.",
    )


SOURCES = [("o", "#1a5fb4"), ("^", "#12837f"), ("s", "#6d3fb0"), ("D", "#6b7a00")]


@figure
def class_shares(pixels: pd.DataFrame, images: pd.DataFrame) -> Picture:
    """How much there is of each class.

    pixels: share of all pixels, 0 to 1: a row a class, a column a source ("train", "val", ...)
    images: share of the images in which the class occurs, the same shape
    """
    order = pixels.iloc[:, 0].sort_values(ascending=False).index
    fig = Picture(height=row_names(order)[1] * len(order) + 1.0)
    left, right = fig.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    styles = [{"marker": marker, "color": colour} for marker, colour in SOURCES[: len(pixels.columns)]]
    styles[-1]["mfc"] = "none"  # the reference lies on top, hollow
    dot_rows(left, 100 * pixels.where(pixels > 0).loc[order], styles, ms=7, mew=1.6)  # no log of 0
    dot_rows(right, 100 * images.loc[order], styles, ms=7, mew=1.6)
    left.set_xlabel("share of pixels, % (log scale)")
    positive = pixels.where(pixels > 0).min().min()
    left.set_xlim(left=100 * positive / 1.6)
    plain_log(left, "x")
    right.set(xlabel="share of images, %", xlim=(0, 100))
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    first = pixels.columns[0]
    told = ", ".join(f"{name} {percent(pixels[first][name], 2)}" for name in order)
    return fig.described(
        f"Dot plot of the classes by share of pixels and by share of images that show them, for"
        f" {', '.join(pixels.columns)}. Share of pixels in {first}: {told}.",
        "Left: how much of all pixels a class covers; the scale is logarithmic. Right: in how many images it"
        " occurs at all. The closer the marks of a row, the more the sources are alike.",
    )


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

    kept: what `Run.predictions()` gives; images are taken from it evenly
    """
    shown = evenly(len(kept["names"]), wanted)
    seen = classes.seen(kept["labels"][shown], kept["predictions"][shown])
    names = [str(kept["names"][i]) for i in shown]
    rows, shares = [], []
    for i, name in zip(shown, names, strict=True):
        image, truth, guess = kept["images"][i], kept["labels"][i], kept["predictions"][i]
        wrong = mistaken(truth, guess)
        shares.append(percent(wrong.mean()))
        rows.append((short(name, 20), [image, truth, guess, marked(image, wrong)]))
    room = 0.3 + inches_of_classes(seen, classes)
    fig, axes = picture_rows(rows, ("Image", "Ground truth", "Prediction"), room, classes=classes)
    for ax, share in zip(axes[:, 3], shares, strict=True):
        ax.set_title(f"{share} wrong", pad=4, color=WRONG)
    fig.suptitle(label, x=0.01, ha="left", fontsize=11.5, weight="bold")
    legend_of_classes(fig, seen, classes)
    chosen = f"{len(rows)} test images"
    if len(rows) < len(kept["names"]):
        chosen = f"{len(rows)} of {len(kept['names'])} kept test images, evenly spread"
    told = ", ".join(f"{share} in {name}" for share, name in zip(shares, names, strict=True))
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
        panel(ax, picture, title, classes)
    legend_of_classes(fig, seen, classes, extra)
    return fig
