"""Figures of the data: images with their labels, classes, and the share and position of each class."""

import matplotlib as mpl
import numpy as np
import pandas as pd

from segnb.claims.wording import counted, sentence
from segnb.labels import IGNORE_INDEX, ClassMap
from segnb.report.figures.axes import (
    dot_rows,
    grid,
    inches_of_classes,
    legend_of_classes,
    note,
    panel,
    picture_rows,
    plain_log,
    scale_below,
)
from segnb.report.figures.findings import extremes, names
from segnb.report.figures.style import (
    QUIET,
    WIDTH,
    WRONG,
    Picture,
    figure,
    pattern,
    percent,
    row_names,
    short,
    whole_percent,
    wrapped,
)

OPEN = "cividis"  # of gates; its lightness grows evenly, for readers who do not see red or green


@figure
def images_with_labels(images: np.ndarray, labels: np.ndarray, classes: ClassMap) -> Picture:
    """Draw images, each above its labels in class colours.

    Args:
        images: uint8 (N, S, S, 3)
        labels: uint8 (N, S, S)
    """
    count = len(images)
    columns = min(4, count)
    blocks = -(-count // columns)
    side = WIDTH / columns
    seen = classes.seen(labels)
    fig = Picture(height=2 * blocks * side + 0.1 + inches_of_classes(seen, classes))
    axes = fig.subplots(2 * blocks, columns, squeeze=False).reshape(blocks, 2, columns).swapaxes(1, 2)
    axes = axes.reshape(-1, 2)  # an image and its labels
    for (above, below), image, map_of_labels in zip(axes, images, labels, strict=False):
        panel(above, image)
        panel(below, map_of_labels, classes=classes)
    for ax in axes[count:].flat:
        ax.set_axis_off()
    legend_of_classes(fig, seen, classes)
    finding = largest_class(labels, classes, counted(count, "image"))
    return fig.described(
        f"{counted(count, 'image')}, each above its labels in class colours."
        f" Classes shown: {', '.join(classes.names[i] for i in seen)}.",
        f"{finding} Each image is above its label map; look for missing or wrong labels, because no network"
        " can learn what the labels leave out.",
    )


@figure
def class_legend(classes: ClassMap) -> Picture:
    """Draw a legend of the classes with their ids."""
    columns = max(1, min(4, 76 // (max(map(len, classes.names)) + 7)))
    fig = Picture(height=0.34 * -(-len(classes) // columns) + 0.2)
    fig.subplots().set_axis_off()
    ids = range(len(classes))
    how = {"loc": "center", "ncols": columns, "fontsize": 11, "handleheight": 1.2, "labelspacing": 0.7}
    legend_of_classes(fig, ids, classes, numbered=True, **how)
    named = ", ".join(f"{i} {name}" for i, name in enumerate(classes.names))
    marked_too = any(pattern(classes, i) for i in ids)
    return fig.described(
        f"Legend of the {len(classes)} classes by id: {named}.",
        f"The data have {len(classes)} class{'es' * (len(classes) != 1)}. Ids and colours are the same in"
        " every figure."
        + (" Dots and strokes mark colours that look alike to some readers." if marked_too else ""),
    )


def _squares(count: int, columns: int, gap: float, room: float = 0.0) -> tuple[Picture, np.ndarray]:
    """Return a figure and its axes for `count` square images in rows of `columns` images.

    Args:
        gap: inches between rows
        room: inches for what is above and below the rows
    """
    fig = Picture(height=-(-count // columns) * (WIDTH / columns + gap) + room)
    return fig, grid(fig, count, columns)


@figure
def class_masks(image: np.ndarray, labels: np.ndarray, classes: ClassMap) -> Picture:
    """Draw one image (S, S, 3), its labels (S, S), and one binary mask per class."""
    fig, axes = _squares(len(classes) + 2, 5, 0.28)
    panel(axes[0], image, "Image")
    panel(axes[1], labels, "All classes", classes)
    shares = np.bincount(labels.ravel(), minlength=len(classes))[: len(classes)] / labels.size
    for i, ax in enumerate(axes[2:]):
        panel(ax, labels == i, f"    {short(classes.names[i], 11)}", cmap="gray_r", vmin=-0.06, vmax=1.15)
        chip = {"ms": 7, "mfc": classes.colours[i], "mec": QUIET, "mew": 0.6, "clip_on": False}
        ax.plot(0.05, 1.095, "s", transform=ax.transAxes, **chip)
        text = percent(shares[i]) if shares[i] else "absent"
        note(ax, 0.97, 0.05, text, transform=ax.transAxes, ha="right")
    present = ", ".join(f"{classes.names[i]} {percent(shares[i])}" for i in np.argsort(-shares) if shares[i])
    absent = ", ".join(classes.names[i] for i in range(len(classes)) if not shares[i])
    finding = largest_class(labels, classes, "this image")
    return fig.described(
        f"An image, its labels, and a black-on-white mask for each class. Shares of the pixels: {present}."
        + (f" Absent: {absent}." if absent else ""),
        f"{finding} In each mask, the pixels of the class are black, and the number is their share of the"
        " image.",
    )


def largest_class(labels: np.ndarray, classes: ClassMap, images: str) -> str:
    """Say how many classes the images show and which has the largest share of their pixels.

    Args:
        labels: uint8 label maps
        images: words for them, such as "12 images"
    """
    counts = np.bincount(labels.ravel(), minlength=256)[: len(classes)]
    if not counts.any():
        return ""
    shares = pd.Series(counts / labels.size, classes.names)
    largest = f"{percent(shares.max())} ({names(shares, shares.max(), percent, 'classes')})"
    show = "shows" if images.startswith(("this", "1 ")) else "show"
    seen = f"{images} {show} {(counts > 0).sum()} of {len(classes)} classes"
    return sentence(f"{seen}; the largest share of the pixels is {largest}")


@figure
def class_places(heat: np.ndarray, classes: ClassMap) -> Picture:
    """Draw where in the image each class occurs.

    heat: float (C, S, S), share of the images that have the class at a pixel
    """
    fig, axes = _squares(len(classes), 5, 0.2, 0.75)
    centres = {}
    for ax, name, share in zip(axes, classes.names, heat, strict=True):
        peak = share.max()
        panel(ax, share / peak if peak else share, short(name), cmap="viridis", vmin=0, vmax=1)
        text = f"max {percent(peak, 0 if peak >= 0.1 else 1)}" if peak else "absent"
        note(ax, 0.96, 0.05, text, "black", 0.55, transform=ax.transAxes, ha="right", color="white")
        if peak:
            centres[name] = (share.sum(1) @ (np.arange(len(share)) + 0.5)) / share.sum() / len(share)
    words = "share of images with the class here, relative to its maximum"
    scale_below(fig, axes, axes[0].images[0], words)
    heights = extremes(pd.Series(centres, dtype=float), whole_percent, "classes")
    return fig.described(
        "Heat maps of the position of each class in the image. Mean distance from the top edge, relative to"
        f" the image height: {', '.join(f'{name} {whole_percent(down)}' for name, down in centres.items())}.",
        f"The mean distance from the top edge is {heights} of the image height. Bright pixels are where the"
        " class is most frequent; each map has its own scale, and its maximum is printed in it.",
    )


SOURCES = [("o", "#1a5fb4"), ("^", "#12837f"), ("s", "#6d3fb0"), ("D", "#6b7a00")]


@figure
def class_shares(pixels: pd.DataFrame, images: pd.DataFrame) -> Picture:
    """Draw the shares of pixels and images of each class.

    Args:
        pixels: share of the labelled pixels, 0 to 1: a row per class, a column per source ("train", …)
        images: share of the images in which the class occurs, in the same shape
    """
    order = pixels.iloc[:, 0].sort_values(ascending=False).index
    fig = Picture(height=row_names(order)[1] * len(order) + 1.0)
    left, right = fig.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    styles = [{"marker": marker, "color": colour} for marker, colour in SOURCES[: len(pixels.columns)]]
    styles[-1]["mfc"] = "none"  # the reference is on top
    positive = 100 * pixels.where(pixels > 0)  # no log of 0
    dot_rows(left, positive.loc[order], styles, ms=7, mew=1.6)
    dot_rows(right, 100 * images.loc[order], styles, ms=7, mew=1.6)
    left.set_xlabel("share of labelled pixels, % (log scale)")
    left.set_xlim(left=positive.min().min() / 1.6)
    plain_log(left, "x")
    right.set(xlabel="share of images, %", xlim=(0, 100))
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    first = pixels.columns[0]
    values = ", ".join(f"{name} {percent(pixels[first][name], 2)}" for name in order)
    return fig.described(
        f"Dot plot of the classes by share of pixels and by share of images that contain them, for"
        f" {', '.join(pixels.columns)}. Share of pixels in {first}: {values}.",
        f"{least_alike(pixels)} On the left is the share of the labelled pixels, on the right the"
        " share of the images that contain the class. The closer the marks of a row, the more similar are the"
        " sources.",
    ).shows([], *(["U32"] if "study's data" in pixels else []))


def least_alike(pixels: pd.DataFrame) -> str:
    """Say for which class the ratio of the sources is largest.

    pixels: share of pixels, a row per class, a column per source
    """
    shares = pixels[(pixels > 0).any(axis=1)]
    row = shares.loc[(shares.max(axis=1) / shares.min(axis=1)).idxmax()]  # infinite if a source has none
    span = [f"{percent(row[source], 2)} of the pixels ({source})" for source in (row.idxmin(), row.idxmax())]
    return sentence(f"the ratio of the sources is largest for {row.name}: {' and '.join(span)}")


def evenly(count: int, wanted: int) -> np.ndarray:
    """Return at most `wanted` different indices, evenly spaced from 0 to count - 1."""
    return np.unique(np.linspace(0, max(count - 1, 0), min(wanted, count)).round().astype(int))


def mistaken(truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Return where a prediction is wrong, bool (S, S); void pixels are never wrong."""
    return (truth != guess) & (truth != IGNORE_INDEX)


def wrong_share(truth: np.ndarray, guess: np.ndarray) -> float:
    """Return the share of wrong pixels among the labelled ones, 0 to 1, of maps (S, S)."""
    return float(mistaken(truth, guess).sum() / max((truth != IGNORE_INDEX).sum(), 1))


@figure
def predictions(saved: dict[str, np.ndarray], label: str, classes: ClassMap, sample: str) -> Picture:
    """Draw image, ground truth, prediction and errors of each image.

    Args:
        saved: a few images, in the form of `Run.predictions()`
        label: label of the network
        sample: what the images are
    """
    seen = classes.seen(saved["labels"], saved["predictions"])
    keys = ("names", "images", "labels", "predictions")
    rows, shares = [], []
    for name, image, truth, guess in zip(*(saved[key] for key in keys), strict=True):
        wrong = mistaken(truth, guess)
        shares.append(wrong_share(truth, guess))
        rows.append((short(name, 20), [image, truth, guess, marked(image, wrong)]))
    room = 0.3 + inches_of_classes(seen, classes)
    fig, axes = picture_rows(rows, ("Image", "Ground truth", "Prediction"), room, classes=classes)
    for ax, share in zip(axes[:, 3], shares, strict=True):
        ax.set_title(f"{percent(share)} wrong", pad=4, color=WRONG)
    fig.suptitle(label, x=0.01, ha="left", fontsize=11.5, weight="bold")
    legend_of_classes(fig, seen, classes)
    values = ", ".join(
        f"{percent(share)} in {name}" for share, name in zip(shares, saved["names"], strict=True)
    )
    return fig.described(
        f"{label}: {counted(len(rows), 'image')} with ground truth, prediction and errors. Wrong pixels:"
        f" {values}.",
        f"{wrong_pixels(pd.Series(shares, saved['names']), 'images')} Red pixels have another class than the"
        f" ground truth, and the number above is their share of the labelled pixels. n: {sample}.",
    )


def wrong_pixels(shares: dict[str, float] | pd.Series, thing: str = "networks") -> str:
    """Say which networks, or images, have the fewest and the most wrong pixels: shares, 0 to 1, by name."""
    values = pd.Series(shares, dtype=float).dropna()  # NaN without labelled pixels
    return "" if values.empty else f"The share of wrong pixels is {extremes(values, percent, thing)}."


def marked(image: np.ndarray, where: np.ndarray, colour: str = WRONG) -> np.ndarray:
    """Return the image, uint8 (S, S, 3), in 23 light greys, with `where`, bool (S, S), in one colour.

    So few greys look like all of them and take half as many bytes.
    """
    grey = image.mean(-1, keepdims=True).repeat(3, -1)
    painted = (255 - (255 - grey) * 0.35).astype(np.uint8) | 3
    painted[where] = np.round(255 * np.array(mpl.colors.to_rgb(colour)))
    return painted


def coloured(values: np.ndarray) -> np.ndarray:
    """Return values from 0 to 1, (...), in the colours of the scale `OPEN`, uint8 (..., 3)."""
    return mpl.colormaps[OPEN](values, bytes=True)[..., :3]


@figure
def side_by_side(
    panels: list[tuple[str, np.ndarray]], seen: list[int], classes: ClassMap, extra: dict[str, str]
) -> Picture:
    """Draw titled images, uint8 (S, S, 3), and label maps, uint8 (S, S); the caller describes the figure.

    Args:
        panels: (title, array)
        seen: ids of classes for the legend
        extra: {text: colour} of further entries of the legend
    """
    columns = 3 if len(panels) <= 6 or len(panels) == 9 else 4  # nine panels fill three rows
    titles = ["\n".join(wrapped(part, 80 // columns) for part in title.split("\n")) for title, _ in panels]
    lines = max(title.count("\n") + 1 for title in titles)
    room = 0.2 + inches_of_classes(seen, classes, extra)
    fig, axes = _squares(len(panels), columns, 0.2 * lines, room)
    for ax, title, (_, picture) in zip(axes, titles, panels, strict=True):
        panel(ax, picture, title, classes)
    legend_of_classes(fig, seen, classes, extra)
    return fig
