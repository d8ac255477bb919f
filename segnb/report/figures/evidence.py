"""The figures of the evidence: by distance to an edge, by size, by class, by level of a gate, by epoch.

Data come from `segnb.report.curves`. Lines carry their networks' names at their ends.
"""

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from segnb.labels import ClassMap
from segnb.metrics.objects import SIZES
from segnb.report.figures.axes import (
    grid,
    legend_of_networks,
    name_ends,
    name_rows,
    network_bars,
    network_points,
    note,
    plain_log,
    row_names,
    wrapped,
)
from segnb.report.figures.style import (
    INK,
    QUIET,
    SMALL,
    Picture,
    family_of,
    figure,
    percent,
    sample,
    style_of,
)

TITLES = {"fcn": "FCN", "unet": "U-Net"}  # of families
TALL = 3.1  # inches of an axis with its labels
NEW_IMAGES = "Vertical lines: 95 % interval for these very networks on new images."


def _by_family(
    curves: dict[str, pd.DataFrame], measured: str, x_label: str = "", x: str | None = None
) -> Picture:
    """Draw curves with intervals, an axis per family, with the networks' names right of the last points.

    Args:
        curves: see `network_points`; of one family all over the same rows
        measured: label of the y axes
        x_label: of the lowest x axis
        x: column of the x positions, on a logarithmic scale; None for the rows' own order
    """
    families: dict[str, dict[str, pd.DataFrame]] = {}
    for label, curve in curves.items():
        families.setdefault(family_of(label), {})[label] = curve
    fig = Picture(height=TALL * len(families))
    axes = grid(fig, len(families), 1)
    for ax, (family, group) in zip(axes, families.items(), strict=True):
        first = next(iter(group.values()))
        ends = network_points(ax, group, 0 if x else 0.3 / len(group), x, lines=True, size=5.5)
        ax.margins(x=0.04)
        values = pd.concat(group.values())[["value", "low", "high"]].to_numpy()
        if np.isfinite(values).any():
            low, high = np.nanmin(values), np.nanmax(values)
            room = 0.05 * (high - low) or 0.05
            ax.set_ylim(low - room, high + room)
        if x:
            plain_log(ax, "x")
            _name_sizes(ax, first.attrs["ends"])
        else:
            ax.set_xticks(range(len(first)), first.index)
        name_ends(ax, ends, TALL - 0.8)
        images = f", images of {first.attrs['size']} px a side" if x else ""
        ax.set(title=TITLES.get(family, family) + images, ylabel=measured)
    axes[-1].set_xlabel(x_label)
    return fig


def _numbers(curves: dict[str, pd.DataFrame], which: int) -> str:
    return "; ".join(f"{label} {curve['value'].iloc[which]:.2f}" for label, curve in curves.items())


@figure
def trimap(curves: dict[str, pd.DataFrame]) -> Picture:
    """IoU by distance to the nearest true edge, a line a network; `segnb.report.curves.trimap_curves`."""
    fig = _by_family(
        curves, "mIoU of these pixels, 1 is perfect", "distance to the nearest true edge, pixels"
    )
    return fig.described(
        "IoU among pixels by their distance to the nearest edge of the ground truth. Nearest bin:"
        f" {_numbers(curves, 0)}. Farthest: {_numbers(curves, -1)}.",
        "Left are the pixels at the outlines, right those deep inside. A network that is coarse only at the"
        f" outlines falls behind only on the left. {NEW_IMAGES}{sample(curves.values())}",
    )


@figure
def sizes(curves: dict[str, pd.DataFrame]) -> Picture:
    """Recall of objects by size, a line a network; `segnb.report.curves.size_curves`."""
    fig = _by_family(
        curves, "objects found, share of 1", "size of the object, px of area (log scale)", "area"
    )
    return fig.described(
        f"Share of objects found by their size. Smallest: {_numbers(curves, 0)}. Largest:"
        f" {_numbers(curves, -1)}.",
        "Objects of the test images by their size; one counts as found when at least half of its pixels get"
        " its class. Dashed: where small, medium and large begin, which are the cells of strides 8, 16 and"
        f" 32: {_ends(curves)}. {NEW_IMAGES}{sample(curves.values())}",
    )


def _ends(curves: dict[str, pd.DataFrame]) -> str:
    """Say from how many pixels on an object is small, medium and large."""
    ends = {curve.attrs["size"]: curve.attrs["ends"] for curve in curves.values()}
    return "; ".join(
        f"{', '.join(map('{:,}'.format, px))} px in images of {size} px" for size, px in ends.items()
    )


def _name_sizes(ax, ends: list[int]) -> None:
    """Dashed lines where small, medium and large begin, and these words where there is room for them."""
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
    """Recall by how much of an object is in sight; `segnb.report.curves.sight_curves`."""
    fig = _by_family(curves, "objects found, share of 1")
    return fig.described(
        f"Share of objects found by how much of each is in sight. Mostly hidden: {_numbers(curves, 0)}."
        f" In full sight: {_numbers(curves, -1)}.",
        "Hidden objects are those that stand behind others; the renderer knows how much is in sight. Where a"
        f" line rises to the right, a network misses above all what is hidden. {NEW_IMAGES}"
        f"{sample(curves.values())}",
    )


@figure
def gain_by_class(frame: pd.DataFrame, plus: str, minus: str, classes: ClassMap) -> Picture:
    """Gain in IoU by class of network `plus` over `minus`; `segnb.report.curves.class_gains`."""
    names, inches = row_names(frame.index)
    fig = Picture(height=inches * len(frame) + 0.9)
    ax = fig.subplots()
    colours = dict(zip(classes.names, classes.colours, strict=True))
    ax.axvline(0, color=INK, lw=1.2)
    name_rows(ax, names)
    points = 100 * frame[["value", "low", "high"]]
    ax.hlines(range(len(frame)), points["low"], points["high"], color=style_of(plus).colour, lw=2)
    for y, (name, gain) in enumerate(points["value"].items()):
        ax.plot(gain, y, "o", ms=9, mfc=colours[name], mec=INK, mew=0.8, zorder=3)
        how = {"transform": ax.get_yaxis_transform(), "va": "center", "fontsize": SMALL}
        ax.text(1.01, y, f"{gain:+.1f}".replace("-", "−"), **how)
    ax.set_xlabel(wrapped(f"{plus} minus {minus}, points of class IoU", 56))
    told = ", ".join(f"{name} {gain:+.1f}" for name, gain in points["value"].items())
    return fig.described(
        f"Gain in IoU by class of {plus} over {minus}, in points: {told}.",
        f"Right of zero {plus} is better at the class; a line that crosses zero leaves open which is. Lines:"
        f" 95 % interval for these very networks on new images.{sample([frame])}",
    )


@figure
def stride_bounds(frame: pd.DataFrame) -> Picture:
    """FCN scores beside the best that their stride allows; `segnb.report.curves.stride_bounds`."""
    fig = Picture(height=0.46 * len(frame) + 0.9)
    ax = fig.subplots()
    name_rows(ax, frame.index)
    ax.barh(range(len(frame)), frame["bound"], 0.66, color="#eef0f2", edgecolor=QUIET, lw=0.8)
    network_bars(ax, frame, "miou", 0.4)
    texts = [f"{row['miou']:.3f} of {row['bound']:.3f}" for _, row in frame.iterrows()]
    ends = frame[["bound", "miou", "high"]].max(axis=1)  # a network may get beyond the bound
    ax.bar_label(ax.barh(range(len(frame)), ends, fill=False, lw=0), texts, padding=4, fontsize=SMALL)
    ax.set(xlim=(0, 1.25 * ends.max() or 1), xlabel="test mIoU, 1 is perfect")
    ax.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    told = "; ".join(f"{label} {text}" for label, text in zip(frame.index, texts, strict=True))
    return fig.described(
        f"Test mIoU of each FCN within the best that any network of its stride could reach: {told}.",
        "Grey: perfect scores on the grid of that stride, which are the share of each class in a cell,"
        " enlarged as an FCN's scores are at first. A network whose enlarging learns may get beyond it: where"
        " the bar ends far within the grey, the stride is not what limits it. Black lines: 95 % interval for"
        f" these very networks on new images.{sample([frame])}",
    )


@figure
def convergence(pair: dict[str, dict[int, pd.DataFrame]], share: float) -> Picture:
    """Validation mIoU by epoch of two networks, and when each reaches `share` of the lower final one.

    pair: {label: {seed: history}}, the same seeds for both
    """
    seeds = sorted(next(iter(pair.values())))
    columns, lines = min(len(seeds), 2), -(-len(seeds) // 2)
    fig = Picture(height=2.4 * lines + 0.6)
    axes = grid(fig, len(seeds), columns, sharex=True, sharey=True)
    told = []
    for number, (ax, seed) in enumerate(zip(axes, seeds, strict=True)):
        goal = share * min(histories[seed]["val_miou"].iloc[-1] for histories in pair.values())
        ax.axhline(goal, color=QUIET, lw=1.2, ls=(0, (3, 3)))
        for label, histories in pair.items():
            style, history = style_of(label), histories[seed]
            ax.plot(history["epoch"], history["val_miou"], **style.line | {"marker": ""}, lw=2)
            there = history[history["val_miou"] >= goal]
            if len(there):
                epoch, value = there.iloc[0][["epoch", "val_miou"]]
                ax.plot([epoch, epoch], [0, value], color=style.colour, lw=1, ls=":")
                ax.plot(epoch, value, **style.point, ms=9, mec="white", mew=1)
            told.append(f"{label}, seed {seed}: {f'epoch {epoch:.0f}' if len(there) else 'never'}")
        ax.set(title=f"seed {seed}", ylim=(0, None))
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if number >= len(seeds) - columns:  # nothing is below
            ax.set_xlabel("epoch")
            ax.tick_params(labelbottom=True)
    axes[0].set_ylabel("validation mIoU")
    legend_of_networks(fig, pair)
    return fig.described(
        f"Validation mIoU by epoch. First epoch at {percent(share, 0)} of the lower final score of the pair:"
        f" {'; '.join(told)}.",
        f"Dashed: {percent(share, 0)} of the lower of the two final scores; marks: the first epoch there. The"
        " farther left a mark, the faster the network learns. Each panel is one seed, so that no interval is"
        " drawn.",
    )


@figure
def gradients(ratios: dict[str, pd.DataFrame]) -> Picture:
    """Gradient-to-weight ratio by layer; `segnb.report.curves.gradient_ratios`."""
    longest = max(ratios.values(), key=len)
    fig = Picture(height=3.6)
    ax = fig.subplots()
    network_points(
        ax, {label: frame.reindex(longest.index) for label, frame in ratios.items()}, 0.18, lines=True
    )
    plain_log(ax)
    ax.set_xticks(range(len(longest)), longest.index, rotation=90)
    ax.set_ylabel("length of gradient / weights")
    legend_of_networks(fig, ratios)
    several = any((frame["low"] < frame["high"]).any() for frame in ratios.values())
    told = "; ".join(f"{label} {frame['value'].iloc[0]:.2g}" for label, frame in ratios.items())
    return fig.described(
        f"Ratio of gradient to weights by layer over the first epochs. First layer: {told}.",
        "Length of the gradient divided by that of the weights: the higher, the more a step of training moves"
        " the layer. Layers in the order in which an image passes them: down1 is the finest level on the way"
        " down, bottom the coarsest, up1 the last on the way up."
        + (" Vertical lines: lowest and highest seed." if several else ""),
    )
