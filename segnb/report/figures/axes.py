"""Parts of figures: axes, names, bars, points and rows of networks, and label maps with a legend of classes.

Figures of many networks name them at the line ends (`name_ends`), figures of a few in a legend.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import offset_copy
from scipy.optimize import isotonic_regression

from segnb.labels import ClassMap
from segnb.report.figures.style import (
    FAINT,
    INK,
    LINE,
    QUIET,
    SMALL,
    WIDTH,
    Picture,
    marks,
    pattern,
    row_names,
    style_of,
    wrapped,
)

ROOM = 21  # letters of a line of a name right of an axis


def legend_of_networks(fig: Picture, labels: Iterable[str], empty: Axes | None = None) -> None:
    """Draw a legend of networks below the axes, or into an empty one."""
    keys = [Line2D([], [], **style_of(label).line, ms=7, lw=2, label=wrapped(label)) for label in labels]
    if empty:
        empty.legend(handles=keys, loc="center", handlelength=3)
    else:
        fig.legend(handles=keys, loc="outside lower center", ncols=min(3, len(keys)), handlelength=3)


def spread(wanted: Sequence[float], heights: Sequence[float]) -> np.ndarray:
    """Return centres of labels of these heights that do not overlap, close to the wanted centres.

    The order stays, and the sum of squared shifts is least.
    """
    order = np.argsort(wanted, kind="stable")
    tall = np.asarray(heights, float)[order]
    stacked = np.concatenate([[0], np.cumsum((tall[1:] + tall[:-1]) / 2)])  # centres without any gap
    places = np.empty(len(order))
    places[order] = isotonic_regression(np.asarray(wanted, float)[order] - stacked).x + stacked
    return places


def inches_of_names(labels: Iterable[str]) -> float:
    """Return the height of an axis, in inches, in which `name_ends` has room for these networks."""
    return LINE * sum(wrapped(label, ROOM).count("\n") + 1.1 for label in labels)


def name_ends(ax, ends: dict[str, tuple[float, float]], inches: float) -> None:
    """Name each curve right of the axis, with its marker, at the height of its end.

    Names are shifted vertically so that they do not overlap. They stay in the order of the ends, so that the
    lines to them never cross.

    Args:
        ends: {label: x and y of the last point}, in an axis whose scale no longer changes
        inches: approximate height of the axis
    """
    # Fixed, because the lines to the names would change them.
    ax.set_xlim(ax.get_xlim())
    ax.set_ylim(ax.get_ylim())
    to_axes = ax.transScale + ax.transLimits
    last = {label: to_axes.transform(end) for label, end in ends.items() if np.isfinite(end[1])}
    if not last:
        return
    ax.get_figure(root=True).key = tuple(last)
    names = {label: wrapped(label, ROOM) for label in last}
    heights = [LINE * (name.count("\n") + 1.1) / inches for name in names.values()]
    places = spread([y for _, y in last.values()], heights)
    halves = np.array(heights) / 2
    places -= max((places + halves).max() - 1.04, 0)
    places += max(-0.04 - (places - halves).min(), 0)
    # The lines are 24 points wide: steeper lines from ends close together would look like one.
    right = {points: offset_copy(ax.transAxes, ax.figure, points, 0, "points") for points in (3, 27, 33, 40)}
    for (label, (x, y)), place in zip(last.items(), places, strict=True):
        style = style_of(label)
        if x < 0.97:  # the curve ends before others
            ax.plot([x, 1], [y, y], c=style.colour, lw=0.9, ls=(0, (1, 2)), transform=ax.transAxes, zorder=1)
        how = {"arrowstyle": "-", "color": style.colour, "lw": 1, "shrinkA": 0, "shrinkB": 0}
        ends_at = {"xycoords": right[3], "xytext": (1, place), "textcoords": right[27]}
        ax.annotate("", (1, y), **ends_at, arrowprops=how, annotation_clip=False)
        ax.plot(1, place, **style.point, ms=6, transform=right[33], clip_on=False)
        ax.text(1, place, names[label], transform=right[40], va="center", fontsize=SMALL, linespacing=1.0)


def plain_log(ax, which: str = "y") -> None:
    """Make an axis ("x" or "y") logarithmic, with plain numbers: powers of ten would need math text."""
    ax.set(**{f"{which}scale": "log"})
    low, high = getattr(ax, f"get_{which}lim")()
    axis = getattr(ax, f"{which}axis")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 50 * low else (1,)))
    # "g" alone would print 1000 as 1e+03.
    plain = FuncFormatter(lambda value, _: f"{value:{',.0f' if value >= 100 else '.3g'}}")
    axis.set_major_formatter(plain)
    axis.set_minor_formatter(NullFormatter())


def note(ax, x: float, y: float, text: str, ground: str = "white", alpha: float = 0.85, **how) -> None:
    """Write small text on a slightly transparent background; `how` are arguments of `text`."""
    box = {"facecolor": ground, "edgecolor": "none", "pad": 1.5, "alpha": alpha}
    ax.text(x, y, text, fontsize=SMALL, bbox=box, **how)


def grid(fig: Picture, count: int, columns: int, **how) -> np.ndarray:
    """Return `count` axes in rows of `columns` axes; `how` are arguments of `subplots`."""
    axes = fig.subplots(-(-count // columns), columns, squeeze=False, **how).ravel()
    for ax in axes[count:]:
        ax.set_axis_off()
    return axes[:count]


def scale_below(fig: Picture, axes, drawn, words: str) -> None:
    """Put the colour scale of an image (`drawn`) below these axes."""
    fig.colorbar(drawn, ax=list(axes), location="bottom", aspect=45, shrink=0.6, label=words)


# ---- data of several networks or sources


def name_rows(ax, names: Iterable[str], y: Sequence[float] | None = None) -> None:
    """Name the rows of a chart at y (default: 0, 1, 2 …), the first on top, without horizontal grid lines."""
    names = list(names)
    y = range(len(names)) if y is None else y
    ax.set(yticks=y, yticklabels=names, ylim=(y[-1] + 0.55, -0.55))
    ax.grid(False, axis="y")
    ax.tick_params(axis="y", length=0)


def network_bars(ax, frame: pd.DataFrame, column: str, height: float) -> None:
    """Draw a horizontal bar for each network of the index; bars of frozen backbones are hatched.

    Args:
        frame: indexed by label; the columns low and high are the interval of an mIoU
        column: of the bar lengths; only "miou" gets error bars
        height: height of a bar, in rows
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
        ax.plot(ends, y, color=colour, lw=width, marker="|", ms=8, mew=width)  # white edge, for dark bars


def network_points(
    ax,
    curves: dict[str, pd.DataFrame],
    apart: float = 0.0,
    x: str | None = None,
    lines: bool = False,
    size: float = 7,
) -> dict[str, tuple[float, float]]:
    """Draw each network's values with vertical error bars.

    Args:
        curves: by label; columns value, low, high
        apart: horizontal distance between networks, so that their error bars do not overlap
        x: column of the x positions (default: 0, 1, 2 …)
        lines: whether to join the points
        size: size of the markers, in points

    Returns:
        {label: x and y of the last point}
    """
    ends = {}
    for number, (label, curve) in enumerate(curves.items()):
        style = style_of(label)
        places = np.arange(len(curve)) if x is None else curve[x].to_numpy()
        places = places + (number - (len(curves) - 1) / 2) * apart
        ax.vlines(places, curve["low"], curve["high"], color=style.colour, lw=1.3, alpha=0.8)
        # Hollow markers, so that markers at the same place stay visible.
        alone = style.point | ({"mfc": "none", "mew": 1.8} if style.frozen else {})
        ax.plot(places, curve["value"], **(style.line if lines else alone), ms=size, lw=1.8)
        ends[label] = places[-1], curve["value"].iloc[-1]
    return ends


def dot_rows(ax, frame: pd.DataFrame, styles: Iterable[dict], **how) -> None:
    """Draw a named row for each row of the frame: a marker per column, joined by a broad line.

    Args:
        styles: arguments of `plot` for the markers of each column
        how: arguments of `plot` for all markers
    """
    y = np.arange(len(frame))
    ax.hlines(y, frame.min(axis=1), frame.max(axis=1), color=FAINT, lw=3.5)
    for column, style in zip(frame, styles, strict=False):
        ax.plot(frame[column], y, ls="", clip_on=False, label=column, **style, **how)
    name_rows(ax, row_names(frame.index)[0])


def single_runs(ax, values: pd.Series, shift: float, **style) -> bool:
    """Mark the single runs next to each row that has several runs.

    Args:
        values: a list of values for each row of the chart; NaN or an empty list for a row without runs
        shift: vertical shift of the marks, in rows
        style: arguments of `plot` for the marks

    Returns:
        Whether any row has several runs.
    """
    runs = values.reset_index(drop=True).explode().astype(float)
    runs = runs[runs.index.duplicated(keep=False)]
    if len(runs):
        ax.plot(runs, runs.index + shift, ls="", clip_on=False, **style)
    return len(runs) > 0


# ---- label maps


def legend_of_classes(
    fig: Picture, ids, classes: ClassMap, extra: dict[str, str] | None = None, numbered: bool = False, **how
) -> None:
    """Draw a legend of classes, then of `extra` {name: colour}.

    Args:
        ids: ids of the classes
        numbered: whether to print ids before the names
        how: arguments of `legend`
    """
    fig.class_colours = True
    chips = {f"{i}  " * numbered + classes.names[i]: _chip(classes.colours[i], classes, i) for i in ids}
    chips |= {name: _chip(colour) for name, colour in (extra or {}).items()}
    fig.legend(
        chips.values(),
        chips.keys(),
        handlelength=1.4,
        columnspacing=1.4,
        numpoints=3,
        handler_map={tuple: HandlerTuple(ndivide=1, pad=0)},
        **{"loc": "outside lower center", "ncols": _columns_of(chips)} | how,
    )


def _columns_of(names: Iterable[str]) -> int:
    return max(1, min(5, 85 // (max(map(len, names), default=1) + 5)))  # 85 characters fill a line


def inches_of_classes(ids, classes: ClassMap, extra: Iterable[str] = ()) -> float:
    """Return the height of the legend of these classes, in inches."""
    names = [*(classes.names[i] for i in ids), *extra]
    return 0.2 * -(-len(names) // _columns_of(names)) + 0.1


def _chip(colour: str, classes: ClassMap | None = None, i: int = 0) -> tuple:
    chip = Patch(facecolor=colour, edgecolor=QUIET, lw=0.6)
    return (chip, Line2D([], [], **marks(classes, i))) if classes and pattern(classes, i) else (chip,)


def panel(ax, picture: np.ndarray, title: str = "", classes: ClassMap | None = None, **how) -> None:
    """Draw an image without axes.

    Args:
        picture: an array for `imshow`; with `classes`, an array of two dimensions is a label map and is drawn
            in class colours with their marks
        title: not wrapped
        how: arguments of `imshow`
    """
    labelled = classes is not None and picture.ndim == 2
    ax.imshow(classes.paint(picture) if labelled else picture, **how)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set(visible=True, color=FAINT)
    ax.set_title(title, pad=4)
    if labelled:
        _mark_classes(ax, picture, classes)


def _mark_classes(ax, labels: np.ndarray, classes: ClassMap) -> None:
    """Draw the marks of classes, at a fixed distance in print, none across the edge of a class."""
    columns = ax.get_subplotspec().get_gridspec().ncols
    high, wide = labels.shape
    step = wide * columns * 0.075 / WIDTH  # pixels between marks that are 0.075 inches apart
    y, x = np.mgrid[step / 2 : high : step, step / 2 : wide : step]
    x = x + step / 2 * (np.arange(len(x)) % 2)[:, None]

    def at(up: float, left: float) -> np.ndarray:
        rows, places = np.floor(y + up * step).astype(int), np.floor(x + left * step).astype(int)
        return labels[rows.clip(0, high - 1), places.clip(0, wide - 1)]

    centre = at(0, 0)
    corners = [at(up, left) == centre for up in (-0.3, 0.3) for left in (-0.3, 0.3)]  # no mark cuts an edge
    inside = np.all(corners, axis=0) & (x < wide - 0.3 * step)
    for i in classes.seen(labels):
        where = inside & (centre == i)
        if pattern(classes, i) and where.any():
            ax.plot(x[where] - 0.5, y[where] - 0.5, **marks(classes, i))
    ax.set(xlim=(-0.5, wide - 0.5), ylim=(high - 0.5, -0.5))


def picture_rows(
    rows: Sequence[tuple[str, Sequence[np.ndarray]]],
    titles: Sequence[str],
    room: float,
    gap: float = 0.12,
    **how,
) -> tuple[Picture, np.ndarray]:
    """Draw rows of images, each row with its name on the left.

    Args:
        rows: name and images of each row
        titles: titles of the columns
        room: inches for titles above and legends below the rows
        gap: inches between rows
        how: arguments of `panel`

    Returns:
        The figure and its axes, (rows, columns).
    """
    columns = len(rows[0][1])
    fig = Picture(height=len(rows) * (WIDTH / columns + gap) + room)
    axes = fig.subplots(len(rows), columns, squeeze=False)
    for line, (name, pictures) in zip(axes, rows, strict=True):
        line[0].set_ylabel(name, fontsize=SMALL)
        for ax, picture in zip(line, pictures, strict=True):
            panel(ax, picture, **how)
    for ax, title in zip(axes[0], titles, strict=False):
        ax.set_title(title, pad=4)
    return fig, axes
