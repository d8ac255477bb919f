"""Figures of attention gates: where they are open, what they are worth, and how they fare under clutter."""

from itertools import chain

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from segnb.labels import ClassMap
from segnb.report.figures.axes import (
    inches_of_names,
    legend_of_networks,
    name_ends,
    network_points,
    scale_below,
    wrapped,
)
from segnb.report.figures.images import evenly
from segnb.report.figures.label_maps import panel, picture_rows, short
from segnb.report.figures.style import FAINT, INK, SMALL, WIDTH, Picture, figure, sample

OPEN = "cividis"  # one lightness scale, also for readers who do not see red or green
SCALE = {"cmap": OPEN, "vmin": 0, "vmax": 1}
VALUE = "value of the gate: 0 shut, 1 open"


def _levels(gates: dict[str, np.ndarray], i: int) -> list[np.ndarray]:
    """The maps of shown image i, a level each: float32 (M, h, w)."""
    return [gates[f"maps{k}"][i].astype(np.float32) for k in gates["levels"]]


def _titles(first: str, levels: list[np.ndarray]) -> list[str]:
    return [first, *(f"Level {k}" for k in range(1, len(levels) + 1))]


@figure
def attention(
    gates: dict[str, dict[str, np.ndarray]], kept: dict[str, np.ndarray], wanted: int = 2
) -> Picture:
    """Gate maps of some shown images, a row an image and network, a column a level.

    gates: {label: what `Run.gates()` gives}, of networks with one map a level
    kept:  what `Run.predictions()` gives: of the same images
    """
    pairs = [(i, label) for i in evenly(len(kept["names"]), wanted) for label in gates]
    maps = [_levels(gates[label], i) for i, label in pairs]
    rows = [
        (wrapped(label, 15), [kept["images"][i], *(one.mean(0) for one in levels)])
        for (i, label), levels in zip(pairs, maps, strict=True)
    ]
    fig, axes = picture_rows(rows, _titles("Image", maps[0]), 1.05, 0.2, **SCALE)
    for ax, one in zip(axes[:, 1:].flat, chain(*maps), strict=True):
        ax.set_xlabel(f"{one.mean():.2f} ± {one.std():.2f}", labelpad=3, fontsize=SMALL)
    told = [
        f"{label}, {kept['names'][i]}: mean {', '.join(f'{one.mean():.2f}' for one in levels)}"
        for (i, label), levels in zip(pairs, maps, strict=True)
    ]
    scale_below(fig, axes.flat, axes[0, 1].images[0], VALUE)
    return fig.described(
        f"Maps of the attention gates by level, finest first, for {len(rows)} pairs of image and network."
        f" {'; '.join(told)}.",
        "Bright: the gate lets the skip through; dark: it holds it back. Level 1 is the finest. A gate that"
        " is the same everywhere, however bright, selects nothing: beneath each map stand its mean and its"
        " standard deviation (±). Images evenly spread over those kept, networks of the first seed.",
    )


@figure
def class_attention(gates: dict[str, np.ndarray], kept: dict[str, np.ndarray], classes: ClassMap) -> Picture:
    """Class gates on one image: a row a class, a column a level.

    The image is the kept one with most classes in its ground truth; the classes are five of those, evenly
    spread from the one with most pixels to the one with fewest.
    """
    counts = np.stack([np.bincount(one.ravel(), minlength=256)[: len(classes)] for one in kept["labels"]])
    i = int((counts > 0).sum(1).argmax())
    present = [k for k in np.argsort(-counts[i], kind="stable") if counts[i, k]]
    shown = [present[k] for k in evenly(len(present), 5)]
    maps = _levels(gates, i)
    rows, told = [], []
    for k in shown:
        name = "\n".join(short(part, 16) for part in wrapped(classes.names[k], 16).split("\n")[:2])
        where = kept["labels"][i] == k
        faded = (kept["images"][i] * 0.35 + 160).clip(0, 255).astype(np.uint8)
        rows.append((name, [np.where(where[..., None], kept["images"][i], faded), *(one[k] for one in maps)]))
        told.append(f"{classes.names[k]} {', '.join(f'{one[k].mean():.2f}' for one in maps)}")
    fig, axes = picture_rows(rows, _titles("Where it is", maps), 1.0, **SCALE)
    scale_below(fig, axes.flat, axes[0, 1].images[0], VALUE)
    return fig.described(
        f"Maps of the class gates for {len(shown)} classes in {kept['names'][i]}, a column a level, finest"
        f" first. Means: {'; '.join(told)}.",
        "Each class has a gate of its own, taught to be bright where the class is. Left: the image with all"
        " but the class faded. The image is the kept one that shows most classes, the classes are spread"
        " evenly from its largest to its smallest.",
    )


def _spread(frame: pd.DataFrame) -> pd.DataFrame:
    """The variation within an image as values without intervals, less the row of all levels."""
    return frame[["spread"]].iloc[:-1].set_axis(["value"], axis=1).assign(low=np.nan, high=np.nan)


@figure
def worth(levels: dict[str, pd.DataFrame]) -> Picture:
    """What each level's gate is worth and how far it varies; `segnb.report.curves.gate_levels`."""
    names = max((frame.index for frame in levels.values()), key=len)
    fig = Picture(height=3.3 + 0.22 * -(-len(levels) // 3))
    left, right = fig.subplots(1, 2)
    network_points(left, levels, 0.16, factor=100)
    network_points(right, {label: _spread(frame) for label, frame in levels.items()}, 0.16)
    top = np.nanmax([frame["spread"].max() for frame in levels.values()])
    left.axhline(0, color=INK, lw=1.2, zorder=1)
    left.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names])
    left.set(title="lost without it", ylabel="points of mIoU")
    right.set_xticks(range(len(names) - 1), [name.replace(" ", "\n") for name in names[:-1]])
    right.set(title="variation within an image", ylabel="standard deviation", ylim=(0, 1.1 * top or 1))
    legend_of_networks(fig, levels)
    told = "; ".join(
        f"{label} {', '.join(f'{100 * value:.1f}' for value in frame['value'])}"
        for label, frame in levels.items()
    )
    return fig.described(
        "Points of mIoU lost when a level's gate is replaced by its image mean, level by level and all at"
        f" once: {told}.",
        "Left: how much worse a network gets when the gate of a level is replaced by its mean over the image,"
        " so that it selects nothing. Right: how much the gate varies within an image; 0 is the same"
        " everywhere. Vertical lines, left: 95 % interval for these very networks on new images; one that"
        f" crosses zero leaves open whether the gate is worth anything.{sample(levels.values())}",
    )


@figure
def shifts(scores: dict[str, pd.DataFrame], images: dict[str, np.ndarray]) -> Picture:
    """One street in clean and shifted form, and beneath it the scores on each kind.

    scores: `segnb.report.curves.shifted_scores`, networks with and without gates
    images: {kind: uint8 (S, S, 3)}, "clean" first
    """
    kinds = list(next(iter(scores.values())).index)
    tall = max(2.6, inches_of_names(scores))
    heights = WIDTH / len(kinds) + 0.3, tall + 0.6
    fig = Picture(height=sum(heights))
    top, bottom = fig.subfigures(2, 1, height_ratios=heights)
    for ax, kind in zip(top.subplots(1, len(kinds)), kinds, strict=True):
        if kind in images:
            panel(ax, images[kind], kind)
        else:
            ax.set_axis_off()
    ax = bottom.subplots()
    ends = network_points(ax, scores, 0.11)
    for place in np.arange(len(kinds) - 1) + 0.5:
        ax.axvline(place, color=FAINT, lw=1)
    ax.set_xticks(range(len(kinds)), kinds)
    ax.set(ylabel="test mIoU, 1 is perfect", xlim=(-0.5, len(kinds) - 0.5))
    ax.grid(False, axis="x")
    ax.yaxis.set_major_locator(MaxNLocator(6))
    name_ends(ax, {label: (len(kinds) - 0.5, y) for label, (_, y) in ends.items()}, tall)
    told = "; ".join(
        f"{label}: {', '.join(f'{kind} {value:.3f}' for kind, value in frame['value'].items())}"
        for label, frame in scores.items()
    )
    return fig.described(
        f"One street in each of {', '.join(kinds)}, and the test mIoU of networks with and without gates on"
        f" each. {told}.",
        "Above, the first street of the test set. Networks never saw such images in training. mIoU does not"
        " begin at 0 here. What a network loses is how far its mark falls from where it is on clean images."
        " Vertical lines: 95 % interval for these very networks on new images."
        f"{sample(scores.values())}",
    )
