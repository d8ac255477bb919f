"""Parts of figures: names at line ends and in legends, bars, points and rows of networks, logarithmic axes.

Many networks are named where their lines end (`name_ends`), few in a legend.
"""

from collections.abc import Iterable, Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import offset_copy

from segnb.report.figures.label_maps import short
from segnb.report.figures.style import FAINT, INK, LINE, SMALL, Picture, style_of


def wrapped(label: str, width: int = 24) -> str:
    """A label over as few lines as `width` allows, about equally long, never broken inside "U-Net"."""

    def lines(width: int) -> str:
        return fill(label, width, break_on_hyphens=False, break_long_words=False)

    fewest = lines(width).count("\n")
    return next(text for text in map(lines, range(1, width + 1)) if text.count("\n") == fewest)


def row_names(names: Iterable[str]) -> tuple[list[str], float]:
    """Names for the rows of a chart, over two lines where they are long, and inches per row."""
    rows = ["\n".join(short(line, 26) for line in wrapped(name).split("\n")[:2]) for name in names]
    return rows, 0.38 if any("\n" in row for row in rows) else 0.3


def legend_of_networks(fig: Picture, labels) -> None:
    keys = [Line2D([], [], **style_of(label).line, ms=7, lw=2, label=wrapped(label)) for label in labels]
    fig.legend(handles=keys, loc="outside lower center", ncols=min(3, len(keys)), handlelength=3)


def spread(wanted: Sequence[float], heights: Sequence[float]) -> np.ndarray:
    """Middles of labels of these heights that do not overlap, as near as possible to those wanted.

    In the same order as wanted; least squares, by pooling neighbours that would overlap.
    """
    order = np.argsort(wanted, kind="stable")
    tall = np.asarray(heights, float)[order]
    stacked = np.concatenate([[0], np.cumsum((tall[1:] + tall[:-1]) / 2)])  # middles of a pile of them
    pools: list[list[float]] = []
    for free in np.asarray(wanted, float)[order] - stacked:
        pools.append([free])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    places = np.empty(len(order))
    places[order] = np.concatenate([np.full(len(pool), np.mean(pool)) for pool in pools]) + stacked
    return places


def inches_of_names(labels: Iterable[str]) -> float:
    """How tall an axis has to be for `name_ends` to have room for these networks."""
    return LINE * sum(_beside(label).count("\n") + 1.1 for label in labels)


def _beside(label: str) -> str:
    return wrapped(label, 21)


def name_ends(ax, ends: dict[str, tuple[float, float]], inches: float) -> None:
    """Networks' names right of an axis, each with its marker and as high as its line ends, or nearly so.

    ends:   {label: x and y of the last point}, in an axis whose limits and scale no longer change
    inches: the height of the axis, about
    """
    ax.get_xlim(), ax.get_ylim()  # settles both
    to_axes = ax.transScale + ax.transLimits
    last = {label: to_axes.transform(end) for label, end in ends.items() if np.isfinite(end[1])}
    if not last:
        return
    names = {label: _beside(label) for label in last}
    heights = [LINE * (name.count("\n") + 1.1) / inches for name in names.values()]
    places = spread([y for _, y in last.values()], heights)
    halves = np.array(heights) / 2
    places -= max((places + halves).max() - 1.04, 0)
    places += max(-0.04 - (places - halves).min(), 0)
    beside = {far: offset_copy(ax.transAxes, ax.figure, far, 0, "points") for far in (3, 15, 21, 28)}
    for (label, (x, y)), place in zip(last.items(), places, strict=True):
        style = style_of(label)
        if x < 0.97:  # it ends before others do
            ax.plot([x, 1], [y, y], c=style.colour, lw=0.9, ls=(0, (1, 2)), transform=ax.transAxes, zorder=1)
        ax.annotate(
            "",
            (1, y),
            xycoords=beside[3],
            xytext=(1, place),
            textcoords=beside[15],
            arrowprops={"arrowstyle": "-", "color": style.colour, "lw": 1, "shrinkA": 0, "shrinkB": 0},
            annotation_clip=False,
        )
        ax.plot(1, place, **style.point, ms=6, transform=beside[21], clip_on=False)
        ax.text(1, place, names[label], transform=beside[28], va="center", fontsize=SMALL, linespacing=1.0)


def plain_log(ax, which: str = "y", times: float = 1) -> None:
    """Make an axis of data logarithmic, its numbers written out: powers of ten would need math text.

    times: the factor of the numbers, 100 for percent
    """
    ax.set(**{f"{which}scale": "log"})
    low, high = getattr(ax, f"get_{which}lim")()
    axis = getattr(ax, f"{which}axis")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 50 * low else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{times * value:.3g}"))
    axis.set_minor_formatter(NullFormatter())


def note(ax, x: float, y: float, text: str, ground: str = "white", alpha: float = 0.85, **how) -> None:
    """Write small letters on a ground that the drawing shows through a little; how: arguments of `text`."""
    box = {"facecolor": ground, "edgecolor": "none", "pad": 1.5, "alpha": alpha}
    ax.text(x, y, text, fontsize=SMALL, bbox=box, **how)


def grid(fig: Picture, count: int, columns: int, **how) -> np.ndarray:
    """Return `count` axes in rows of so many columns; how: arguments of `subplots`."""
    axes = fig.subplots(-(-count // columns), columns, squeeze=False, **how).ravel()
    for ax in axes[count:]:
        ax.set_axis_off()
    return axes[:count]


def scale_below(fig: Picture, axes, drawn, words: str) -> None:
    """Put the colour scale of what is drawn beneath all these axes."""
    fig.colorbar(drawn, ax=list(axes), location="bottom", aspect=45, shrink=0.6, label=words)


# ---- data of several networks or sources


def name_rows(ax, names: Iterable[str], y: Sequence[float] | None = None) -> None:
    """Name the rows of a chart at y, by default 0, 1, 2 …, the first on top, without lines across."""
    names = list(names)
    y = range(len(names)) if y is None else y
    ax.set(yticks=y, yticklabels=names, ylim=(y[-1] + 0.55, -0.55))
    ax.grid(False, axis="y")
    ax.tick_params(axis="y", length=0)


def network_bars(ax, frame: pd.DataFrame, column: str, height: float) -> None:
    """Draw a horizontal bar for each network of the index, in rows; those of frozen trunks are hatched.

    Args:
        frame: columns low and high are the interval of an mIoU
        height: of a bar, in rows
    """
    styles = [style_of(label) for label in frame.index]
    ax.barh(
        range(len(frame)),
        frame[column],
        height,
        color=[style.fill for style in styles],
        edgecolor=[style.colour for style in styles],
        hatch=["////" if style.frozen else "" for style in styles],
        lw=1.5,
    )
    ends, y = frame[["low", "high"]].to_numpy().T, [range(len(frame))] * 2
    for colour, width in (("white", 3.6), (INK, 1.6)) if column == "miou" else ():
        ax.plot(ends, y, color=colour, lw=width, marker="|", ms=8, mew=width)  # its edge shows on dark bars


def network_points(
    ax,
    curves: dict[str, pd.DataFrame],
    apart: float = 0.0,
    x: str | None = None,
    factor: float = 1,
    lines: bool = False,
    size: float = 7,
) -> dict[str, tuple[float, float]]:
    """Draw each network's values with their intervals, vertical lines.

    Args:
        curves: by label, columns value, low, high
        apart: from network to network, so that their intervals do not lie on each other
        x: column of the x positions; by default 0, 1, 2 …
        factor: of the values, such as 100 for points
        lines: whether to join the points

    Returns:
        {label: x and y of the last point}
    """
    ends = {}
    for number, (label, curve) in enumerate(curves.items()):
        style, values = style_of(label), factor * curve["value"]
        places = np.arange(len(curve)) if x is None else curve[x].to_numpy()
        places = places + (number - (len(curves) - 1) / 2) * apart
        ax.vlines(
            places, factor * curve["low"], factor * curve["high"], color=style.colour, lw=1.3, alpha=0.8
        )
        # Marks that lie on each other stay apart: hollow ones let the others through.
        alone = style.point | ({"mfc": "none", "mew": 1.8} if style.frozen else {})
        ax.plot(places, values, **(style.line if lines else alone), ms=size, lw=1.8)
        ends[label] = places[-1], values.iloc[-1]
    return ends


def dot_rows(ax, frame: pd.DataFrame, styles: Iterable[dict], **how) -> None:
    """Draw a named row of markers for each row of the frame, one marker per column, joined by a broad line.

    Args:
        styles: arguments of `plot` for the markers of each column
        how: further arguments, for all markers
    """
    y = np.arange(len(frame))
    ax.hlines(y, frame.min(axis=1), frame.max(axis=1), color=FAINT, lw=3.5)
    for column, style in zip(frame, styles, strict=False):
        ax.plot(frame[column], y, ls="", clip_on=False, label=column, **style, **how)
    name_rows(ax, row_names(frame.index)[0])


def single_runs(ax, values: pd.Series, shift: float, **style) -> bool:
    """Mark the single runs next to their rows, where there are several of them.

    Args:
        values: a list for each row of the chart; NaN, or an empty one, without runs
        shift: of the marks, in rows
        style: of the marks, arguments of `plot`

    Returns:
        Whether any row has several.
    """
    runs = values.reset_index(drop=True).explode().astype(float)
    runs = runs[runs.index.duplicated(keep=False)]
    if len(runs):
        ax.plot(runs, runs.index + shift, ls="", clip_on=False, **style)
    return len(runs) > 0
