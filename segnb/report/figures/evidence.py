"""The figures of the evidence: by distance to an edge, by size, by class, by level of a gate, by epoch.

Data come from `segnb.report.curves`. Lines carry their networks' names at their ends.
"""

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from segnb.labels import ClassMap
from segnb.report.figures.axes import bare, class_rows, legend_of_networks, name_ends, plain_log, wrapped
from segnb.report.figures.style import INK, QUIET, SMALL, Picture, figure, look, percent, sample

TALL = 3.1  # inches of an axis with its labels
NEW_IMAGES = "Vertical lines: 95 % interval for these very networks on new images."


def _lines(ax, curves: dict[str, pd.DataFrame], x_column: str | None, inches: float) -> None:
    """Curves with intervals and, right of the last point, their names.

    x_column: of the x positions, None for the rows' own order
    inches:   the height of the axis, about
    """
    count = len(curves)
    ends = {}
    for number, (label, curve) in enumerate(curves.items()):
        one = look(label)
        if x_column is None:  # intervals of several networks beside, not upon, each other
            x = np.arange(len(curve)) + (number - (count - 1) / 2) * 0.3 / count
        else:
            x = curve[x_column].to_numpy()
        ax.vlines(x, curve["low"], curve["high"], color=one.colour, lw=1.2, alpha=0.7)
        ax.plot(
            x, curve["value"], color=one.colour, ls=one.line, lw=1.8, marker=one.marker, mfc=one.fill, ms=5.5
        )
        ends[label] = np.array(x)[-1], curve["value"].iloc[-1]
    ax.margins(x=0.04)
    values = np.concatenate([curve[["value", "low", "high"]].to_numpy().ravel() for curve in curves.values()])
    if np.isfinite(values).any():
        low, high = np.nanmin(values), np.nanmax(values)
        room = 0.05 * (high - low) or 0.05
        ax.set_ylim(low - room, high + room)
    name_ends(ax, ends, inches)


def _families(curves: dict[str, pd.DataFrame]) -> list[tuple[str, dict[str, pd.DataFrame]]]:
    fcn = {label: curve for label, curve in curves.items() if label.startswith("FCN")}
    unet = {label: curve for label, curve in curves.items() if label not in fcn}
    return [(name, group) for name, group in (("FCN", fcn), ("U-Net", unet)) if group]


def _stacked(curves: dict[str, pd.DataFrame]):
    """A picture with an axis a family, and the pairs of axis and curves."""
    families = _families(curves)
    fig = Picture(height=TALL * len(families))
    axes = fig.subplots(len(families), 1, squeeze=False)[:, 0]
    for ax, (name, _) in zip(axes, families, strict=True):
        ax.set_title(name)
    return fig, [(ax, group) for ax, (_, group) in zip(axes, families, strict=True)]


def _numbers(curves: dict[str, pd.DataFrame], which: int) -> str:
    return "; ".join(f"{label} {curve['value'].iloc[which]:.2f}" for label, curve in curves.items())


@figure
def trimap(curves: dict[str, pd.DataFrame]) -> Picture:
    """IoU by distance to the nearest true edge, a line a network; `evidence_curves.trimap_curves`."""
    fig, axes = _stacked(curves)
    for ax, group in axes:
        _lines(ax, group, None, TALL - 0.8)
        names = next(iter(group.values())).index
        ax.set_xticks(range(len(names)), names)
        ax.set_ylabel("mIoU of these pixels, 1 is perfect")
    axes[-1][0].set_xlabel("distance to the nearest true edge, pixels")
    return fig.described(
        "IoU among pixels by their distance to the nearest edge of the ground truth. Nearest bin:"
        f" {_numbers(curves, 0)}. Farthest: {_numbers(curves, -1)}.",
        "Left are the pixels at the outlines, right those deep inside. A network that is coarse only at the"
        f" outlines falls behind only on the left. {NEW_IMAGES}{sample(curves.values())}",
    )


@figure
def sizes(curves: dict[str, pd.DataFrame]) -> Picture:
    """Recall of objects by size, a line a network; `evidence_curves.size_curves`."""
    fig, axes = _stacked(curves)
    for ax, group in axes:
        ax.set_xscale("log")
        _lines(ax, group, "area", TALL - 0.8)
        ax.set_ylabel("objects found, share of 1")
        plain_log(ax, "x", 100)
        ax.xaxis.set_minor_formatter("")
        _name_thirds(ax, next(iter(group.values())).attrs["thirds"])
    axes[-1][0].set_xlabel("size of the object, % of the image (log scale)")
    return fig.described(
        f"Share of objects found by their size. Smallest: {_numbers(curves, 0)}. Largest:"
        f" {_numbers(curves, -1)}.",
        "An object counts as found when at least half of its pixels get its class. Each point is a sixth of"
        " all cars, people, poles and signs of the test images, at their median size; dashed lines part them"
        f" into thirds. {NEW_IMAGES}{sample(curves.values())}",
    )


def _name_thirds(ax, thirds: tuple[float, float]) -> None:
    """Dashed lines between small, medium and large, and these words where there is room for them."""
    left, right = ax.get_xlim()
    edges = np.clip([left, *thirds, right], left, right)
    for edge in thirds:
        ax.axvline(edge, color=QUIET, lw=1, ls=(0, (3, 3)), zorder=0)
    ax.set_xlim(left, right)
    for low, high, word in zip(edges[:-1], edges[1:], ("small", "medium", "large"), strict=True):
        if np.log(high / low) > 0.13 * np.log(right / left):
            ax.text(
                np.sqrt(low * high),
                0.99,
                word,
                transform=ax.get_xaxis_transform(),
                ha="center",
                va="top",
                fontsize=SMALL,
                color=QUIET,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.7},
            )


@figure
def sight(curves: dict[str, pd.DataFrame]) -> Picture:
    """Recall by how much of an object is in sight; `evidence_curves.sight_curves`."""
    fig = Picture(height=TALL)
    ax = fig.subplots()
    _lines(ax, curves, None, TALL - 0.5)
    names = next(iter(curves.values())).index
    ax.set_xticks(range(len(names)), names)
    ax.set_ylabel("objects found, share of 1")
    return fig.described(
        f"Share of objects found by how much of each is in sight. Mostly hidden: {_numbers(curves, 0)}."
        f" In full sight: {_numbers(curves, -1)}.",
        "Hidden objects are those that stand behind others; the renderer knows how much is in sight. Where a"
        f" line rises to the right, a network misses above all what is hidden. {NEW_IMAGES}"
        f"{sample(curves.values())}",
    )


@figure
def gain_by_class(frame: pd.DataFrame, plus: str, minus: str, classes: ClassMap) -> Picture:
    """Gain in IoU by class of network `plus` over `minus`; `evidence_curves.class_gains`."""
    names, inches = class_rows(frame.index)
    fig = Picture(height=inches * len(frame) + 0.9)
    ax = fig.subplots()
    rows = np.arange(len(frame))
    colours = dict(zip(classes.names, classes.colours, strict=True))
    ax.axvline(0, color=INK, lw=1.2)
    ax.hlines(rows, 100 * frame["low"], 100 * frame["high"], color=look(plus).colour, lw=2)
    for y, (name, row) in enumerate(frame.iterrows()):
        ax.plot(100 * row["value"], y, "o", ms=9, mfc=colours[name], mec=INK, mew=0.8, zorder=3)
        ax.annotate(
            f"{100 * row['value']:+.1f}".replace("-", "−"),
            (1.01, y),
            xycoords=ax.get_yaxis_transform(),
            va="center",
            fontsize=SMALL,
        )
    ax.set(yticks=rows, yticklabels=names, ylim=(len(frame) - 0.4, -0.6))
    ax.set_xlabel(f"{wrapped(plus, 60)} minus {wrapped(minus, 60)},\npoints of class IoU")
    ax.grid(False, axis="y")
    ax.tick_params(axis="y", length=0)
    told = ", ".join(f"{name} {100 * row['value']:+.1f}" for name, row in frame.iterrows())
    return fig.described(
        f"Gain in IoU by class of {plus} over {minus}, in points: {told}.",
        f"Right of zero {plus} is better at the class; a line that crosses zero leaves open which is. Lines:"
        f" 95 % interval for these very networks on new images.{sample([frame])}",
    )


@figure
def stride_bounds(frame: pd.DataFrame) -> Picture:
    """FCN scores beside the best that their stride allows; `evidence_curves.stride_bounds`."""
    fig = Picture(height=0.46 * len(frame) + 0.9)
    ax = fig.subplots()
    for y, (label, row) in enumerate(frame.iterrows()):
        one = look(label)
        ax.barh(y, row["bound"], height=0.66, color="#eef0f2", edgecolor=QUIET, lw=0.8)
        ax.barh(
            y,
            row["miou"],
            height=0.4,
            color=one.fill,
            edgecolor=one.colour,
            lw=1.5,
            hatch="////" if one.frozen else None,
        )
        for colour, thick in (("white", 3.6), (INK, 1.6)):
            ax.plot([row["low"], row["high"]], [y, y], color=colour, lw=thick, marker="|", ms=8, mew=thick)
        ax.text(
            row["bound"] + 0.01,
            y,
            f"{row['miou']:.3f} of {row['bound']:.3f}",
            va="center",
            fontsize=SMALL,
        )
    ax.set(
        yticks=range(len(frame)),
        yticklabels=frame.index,
        ylim=(len(frame) - 0.5, -0.5),
        xlim=(0, 1.25 * frame["bound"].max()),
        xlabel="test mIoU, 1 is perfect",
        xticks=[0, 0.2, 0.4, 0.6, 0.8, 1],
    )
    ax.grid(False, axis="y")
    ax.tick_params(axis="y", length=0)
    told = "; ".join(f"{label} {row['miou']:.3f} of {row['bound']:.3f}" for label, row in frame.iterrows())
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
    columns = min(len(seeds), 2)
    rows = -(-len(seeds) // 2)
    fig = Picture(height=2.4 * rows + 0.6)
    axes = fig.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    told = []
    for number, (ax, seed) in enumerate(zip(axes, seeds, strict=False)):
        goal = share * min(histories[seed]["val_miou"].iloc[-1] for histories in pair.values())
        ax.axhline(goal, color=QUIET, lw=1.2, ls=(0, (3, 3)))
        for label, histories in pair.items():
            one, history = look(label), histories[seed]
            ax.plot(history["epoch"], history["val_miou"], color=one.colour, lw=2, ls=one.line)
            there = history[history["val_miou"] >= goal]
            if len(there):
                epoch, value = there.iloc[0][["epoch", "val_miou"]]
                ax.plot([epoch, epoch], [0, value], color=one.colour, lw=1, ls=":")
                ax.plot(epoch, value, one.marker, ms=9, mfc=one.fill, mec="white", mew=1)
            told.append(f"{label}, seed {seed}: {f'epoch {epoch:.0f}' if len(there) else 'never'}")
        ax.set(title=f"seed {seed}", ylim=(0, None))
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if number >= len(seeds) - columns:  # nothing is below
            ax.set_xlabel("epoch")
            ax.tick_params(labelbottom=True)
    for ax in axes[len(seeds) :]:
        bare(ax)
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
    """Gradient-to-weight ratio by layer; `evidence_curves.gradient_ratios`."""
    longest = max(ratios.values(), key=len)
    fig = Picture(height=3.6)
    ax = fig.subplots()
    for number, (label, frame) in enumerate(ratios.items()):
        one = look(label)
        x = np.array([longest.index.get_loc(name) for name in frame.index if name in longest.index], float)
        known = frame[frame.index.isin(longest.index)]
        x += (number - (len(ratios) - 1) / 2) * 0.18
        ax.vlines(x, known["low"], known["high"], color=one.colour, lw=1.2)
        ax.plot(
            x, known["value"], color=one.colour, ls=one.line, marker=one.marker, mfc=one.fill, ms=6, lw=1.6
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
