"""Figures of the evidence: by distance to an edge, by size and visibility of objects, by class, by epoch.

The data come from `segnb.report.curves`. Curves have the names of their networks at their ends.
"""

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from segnb.claims.metrics import epoch_at
from segnb.claims.wording import listed
from segnb.labels import ClassMap
from segnb.metrics.objects import SIZES
from segnb.report.figures import findings
from segnb.report.figures.axes import (
    grid,
    legend_of_networks,
    name_ends,
    name_rows,
    network_bars,
    network_points,
    note,
    plain_log,
    single_runs,
)
from segnb.report.figures.style import (
    INK,
    QUIET,
    SMALL,
    Picture,
    error_bars,
    figure,
    percent,
    row_names,
    style_of,
    whole_percent,
    wrapped,
)

TALL = 3.1  # inches of an axis with its labels


def _named_curves(
    curves: dict[str, pd.DataFrame], measured: str, x_label: str = "", x: str | None = None
) -> Picture:
    """Draw curves of a family with error bars, and the networks' names right of the last points.

    Args:
        curves: see `network_points`; all have the same rows
        measured: label of the y axis
        x_label: label of the x axis
        x: column of the x positions, on a logarithmic scale; None for the order of the rows
    """
    fig = Picture(height=TALL)
    ax = fig.subplots()
    first = next(iter(curves.values()))
    ends = network_points(ax, curves, 0 if x else 0.3 / len(curves), x, lines=True, size=5.5)
    ax.margins(x=0.04)
    (title,) = findings.by_family(curves)
    title = title.removesuffix("s")  # "FCN", "U-Net"
    if x:
        plain_log(ax, "x")
        _name_sizes(ax, first.attrs["ends"])
        title += ", images of {0}×{0} px".format(first.attrs["size"])
    else:
        ax.set_xticks(range(len(first)), first.index)
    name_ends(ax, ends, TALL - 0.8)
    ax.set(title=title, xlabel=x_label, ylabel=measured)
    return fig


def _numbers(curves: dict[str, pd.DataFrame], which: int) -> str:
    return "; ".join(f"{label} {curve['value'].iloc[which]:.2f}" for label, curve in curves.items())


@figure
def trimap(curves: dict[str, pd.DataFrame]) -> Picture:
    """Draw pixel accuracy against the distance to the nearest edge; `segnb.report.curves.trimap_curves`."""
    fig = _named_curves(
        curves, "share of correct pixels (1 is all)", "distance to the nearest edge of the ground truth (px)"
    )
    finding = findings.widest_gap(curves, "pixel accuracy", lambda px: f"at {px} px from an edge")
    return fig.described(
        "Pixel accuracy against the distance to the nearest edge of the ground truth. Nearest bin:"
        f" {_numbers(curves, 0)}. Farthest bin: {_numbers(curves, -1)}.",
        f"{finding} The distance to an edge grows to the right: a network that is coarse only at outlines is"
        " low only on the left."
        f"{error_bars(curves.values())}",
    ).shows(curves, "near", "far", "near-far", "boundary_*")


@figure
def sizes(curves: dict[str, pd.DataFrame]) -> Picture:
    """Draw the recall of objects against their size; `segnb.report.curves.size_curves`."""
    fig = _named_curves(curves, "recall of objects (1 is all)", "area of the object (px, log scale)", "area")
    facts = next(iter(curves.values())).attrs
    by_area = {label: curve.set_index("area") for label, curve in curves.items()}
    finding = findings.widest_gap(by_area, "recall", lambda area: f"for objects of about {area:,.0f} px")
    return fig.described(
        f"Recall of objects against their size. Smallest: {_numbers(curves, 0)}. Largest:"
        f" {_numbers(curves, -1)}.",
        f"{finding} Dashed lines mark where small, medium and large objects begin, at the cell areas of"
        f" strides 8, 16 and 32: {listed([f'{area:,}' for area in facts['ends']])} px in images of"
        f" {facts['size']}×{facts['size']} px.{error_bars(curves.values())}",
    ).shows(curves, *(f"recall:{size}" for size in SIZES))


def _name_sizes(ax, ends: list[int]) -> None:
    """Draw dashed lines where small, medium and large begin, and name the ranges with room for it."""
    left, right = ax.get_xlim()
    edges = np.clip([left, *ends, right], left, right)
    for edge in ends:
        ax.axvline(edge, color=QUIET, lw=1, ls=(0, (3, 3)), zorder=0)
    ax.set_xlim(left, right)
    for low, high, word in zip(edges[:-1], edges[1:], SIZES, strict=True):
        if np.log(high / low) > 0.13 * np.log(right / left):
            how = {"transform": ax.get_xaxis_transform(), "ha": "center", "va": "top", "color": QUIET}
            note(ax, np.sqrt(low * high), 0.99, word, **how)


@figure
def sight(curves: dict[str, pd.DataFrame]) -> Picture:
    """Draw the recall of objects against their visible share; `segnb.report.curves.sight_curves`."""
    fig = _named_curves(curves, "recall of objects (1 is all)")
    finding = findings.widest_gap(curves, "recall", lambda words: f"for objects that are {words}")
    return fig.described(
        f"Recall of objects against their visible share. Mostly hidden: {_numbers(curves, 0)}. In full sight:"
        f" {_numbers(curves, -1)}.",
        f"{finding} If a curve rises to the right, the network misses mainly objects that other objects hide."
        f" The renderer records the visible share of each object.{error_bars(curves.values())}",
    ).shows(curves, "recall:mostly hidden", "recall:in full sight", "recall:hidden-seen")


@figure
def gain_by_class(frame: pd.DataFrame, plus: str, minus: str, classes: ClassMap) -> Picture:
    """Draw IoU per class of network `plus` minus that of `minus`; `segnb.report.curves.class_gains`."""
    names, inches = row_names(frame.index)
    fig = Picture(height=inches * len(frame) + 0.9)
    fig.class_colours = True
    ax = fig.subplots()
    colours = dict(zip(classes.names, classes.colours, strict=True))
    ax.axvline(0, color=INK, lw=1.2)
    name_rows(ax, names)
    points = 100 * frame[["value", "low", "high"]]
    ax.hlines(range(len(frame)), points["low"], points["high"], color=style_of(plus).colour, lw=2)
    for y, (name, gain) in enumerate(points["value"].items()):
        ax.plot(gain, y, "o", ms=9, mfc=colours[name], mec=INK, mew=0.8, zorder=3)
        how = {"transform": ax.get_yaxis_transform(), "va": "center", "fontsize": SMALL}
        ax.text(1.01, y, findings.points(gain / 100), **how)
    seeds = frame["by_seed"].map(lambda values: [100 * value for value in values])
    several = single_runs(ax, seeds, 0.3, marker="o", ms=4, mfc="white", mec=INK, mew=0.8)
    ax.set_xlabel(wrapped(f"{plus} minus {minus}, points of class IoU", 56))
    values = ", ".join(f"{name} {findings.points(gain / 100)}" for name, gain in points["value"].items())
    return fig.described(
        f"IoU of {plus} minus IoU of {minus} for each class, in points: {values}.",
        f"{findings.class_gain(frame, plus, minus)} Right of zero, {plus} is better at the class."
        + (" Small rings are single seeds." if several else "")
        + f"{error_bars([frame])}",
    ).shows([plus, minus], "miou", "iou:*")


@figure
def stride_bounds(frame: pd.DataFrame) -> Picture:
    """Draw FCN scores and the bounds of their strides; `segnb.report.curves.stride_bounds`."""
    fig = Picture(height=0.46 * len(frame) + 0.9)
    ax = fig.subplots()
    name_rows(ax, frame.index)
    ax.barh(range(len(frame)), frame["bound"], 0.66, color="#eef0f2", edgecolor=QUIET, lw=0.8)
    network_bars(ax, frame, "miou", 0.4)
    texts = [f"{row['miou']:.3f} of {row['bound']:.3f}" for _, row in frame.iterrows()]
    ends = frame[["bound", "miou", "high"]].max(axis=1)  # a network can exceed the bound
    ax.bar_label(ax.barh(range(len(frame)), ends, fill=False, lw=0), texts, padding=4, fontsize=SMALL)
    ax.set(xlim=(0, 1.25 * ends.max() or 1), xlabel="test mIoU (1 is perfect)")
    ax.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    values = "; ".join(f"{label} {text}" for label, text in zip(frame.index, texts, strict=True))
    reached = findings.extremes(frame["miou"] / frame["bound"], whole_percent)
    return fig.described(
        f"Test mIoU of each FCN within the mIoU of a perfect prediction at its stride: {values}.",
        f"The networks reach {reached} of the mIoU of a perfect prediction at the same stride. Grey bars are"
        " that prediction: the true share of each class per cell of the stride's grid, upsampled bilinearly."
        " A network can exceed its grey bar, because its upsampling learns. If it ends far below, something"
        " other than the stride limits it."
        f"{error_bars([frame])}",
    ).shows(frame.index, "miou", "ceiling:*")


@figure
def convergence(pair: dict[str, dict[int, pd.DataFrame]], share: float) -> Picture:
    """Draw validation mIoU per epoch of two networks, and when each reaches `share` of the lower final mIoU.

    pair: {label: {seed: history}}, with the same seeds for both
    """
    seeds = sorted(next(iter(pair.values())))
    lines = -(-len(seeds) // 3)
    columns = -(-len(seeds) // lines)
    fig = Picture(height=2.4 * lines + 0.6)
    axes = grid(fig, len(seeds), columns, sharex=True, sharey=True)
    epochs: dict[str, list[float]] = {label: [] for label in pair}
    texts = []
    for number, (ax, seed) in enumerate(zip(axes, seeds, strict=True)):
        goal = share * min(histories[seed]["val_miou"].iloc[-1] for histories in pair.values())
        ax.axhline(goal, color=QUIET, lw=1.2, ls=(0, (3, 3)))
        for label, histories in pair.items():
            style, history = style_of(label), histories[seed]
            ax.plot(history["epoch"], history["val_miou"], **style.line | {"marker": ""}, lw=2)
            scores = history["val_miou"].to_numpy()
            epoch = epoch_at(scores, goal)  # both reach the goal, at the latest in their last epoch
            value = np.interp(epoch, history["epoch"], scores)
            ax.plot([epoch, epoch], [0, value], color=style.colour, lw=1, ls=":")
            ax.plot(epoch, value, **style.point, ms=9, mec="white", mew=1)
            epochs[label].append(epoch)
            texts.append(f"{label}, seed {seed}: epoch {epoch:.1f}")
        ax.set(title=f"seed {seed}", ylim=(0, None))
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if number >= len(seeds) - columns:  # in the lowest row
            ax.set_xlabel("epoch")
        ax.tick_params(labelbottom=True)
    axes[0].set_ylabel("validation mIoU")
    legend_of_networks(fig, pair, next(iter(fig.axes[len(seeds) :]), None))
    return fig.described(
        f"Validation mIoU per epoch. Epoch at {percent(share, 0)} of the lower final mIoU of the pair:"
        f" {'; '.join(texts)}.",
        f"{findings.first_at_goal(epochs)} The dashed line is {percent(share, 0)} of the lower final mIoU of"
        " the pair. A mark is the point where a curve reaches it, between two epochs; further left means"
        " faster learning. Each panel is one seed, so there are no error bars.",
    ).shows(pair, "epochs")


@figure
def gradients(ratios: dict[str, pd.DataFrame]) -> Picture:
    """Draw the ratio of gradient to weights per layer; `segnb.report.curves.gradient_ratios`."""
    longest = max(ratios.values(), key=len)
    fig = Picture(height=3.6)
    ax = fig.subplots()
    network_points(
        ax, {label: frame.reindex(longest.index) for label, frame in ratios.items()}, 0.18, lines=True
    )
    plain_log(ax)
    names = [findings.layer_words(layer, short=True) for layer in longest.index]
    ax.set_xticks(range(len(longest)), names, rotation=90)
    ax.set_ylabel("norm of gradient / weights")
    legend_of_networks(fig, ratios)
    several = any((frame["low"] < frame["high"]).any() for frame in ratios.values())
    values = "; ".join(f"{label} {frame['value'].iloc[0]:.2g}" for label, frame in ratios.items())
    return fig.described(
        f"Norm of the gradient divided by norm of the weights per layer, over the first epochs. First layer:"
        f" {values}.",
        f"{findings.strongest_layer(ratios)} The higher the ratio, the more a step changes the layer."
        " Claims U5 and U21 compare a layer's ratio with those of decoder level 1, next to the loss."
        " Layers are in the order in which an image passes them. Level 1 has the resolution of the image, 1st"
        " and 2nd are the convolutions of a level, and up is the up-convolution before them."
        + (" Vertical lines extend from the lowest to the highest seed." if several else ""),
    ).shows(ratios, "gradient*")
