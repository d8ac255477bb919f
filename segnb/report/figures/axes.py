"""Parts of figures: names at line ends and in legends, label maps with marks, plain logarithmic axes.

Many networks are named where their lines end (`name_ends`), few in a legend. Classes whose colours look
alike to some readers carry marks (`PATTERNS`).
"""

from collections.abc import Iterable, Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import offset_copy

from segnb.labels import LABEL_SETS, ClassMap
from segnb.report.figures.style import FAINT, INK, LINE, QUIET, SMALL, WIDTH, Picture, style_of


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


def short(name: str, most: float = 13) -> str:
    """A class's name where there is room for so many letters of usual width."""
    wide = np.cumsum([1.5 if c in "mwMW@%" else 0.55 if c in "fijlrtI.,'| " else 1 for c in name])
    if not len(wide) or wide[-1] <= most:
        return name
    return f"{name[: int((wide <= most - 1).sum())].rstrip()}…"


# Marks on classes whose colours come near to others' (in brackets) for those who do not see red or green:
# dots on Vegetation (Building, Fence, Pedestrian) and Sky (Pole, Sidewalk), strokes on Sidewalk (Pole), Other
# and Bicyclist (Road). A test finds the pairs. The colours stay as they are, since those of a folder's
# classes are part of its data's digest; and `ClassMap.paint` has no marks: pages know classes by colour.
PATTERNS = {"Vegetation": ".", "Sky": ".", "Sidewalk": "/", "Other": "/", "Bicyclist": "/"}


def pattern(classes: ClassMap, i: int) -> str:
    """The mark of a class of our own label sets: ".", "/" or none, ""."""
    return PATTERNS.get(classes.names[i], "") if classes.key in LABEL_SETS else ""


def marks(classes: ClassMap, i: int) -> dict:
    """How matplotlib draws a class's marks."""
    light = classes.palette[i] @ (0.299, 0.587, 0.114) > 0.45 * 255  # ink is legible from there on
    dot = pattern(classes, i) == "."
    return {
        "marker": "o" if dot else [(-1, -1), (1, 1)],
        "ms": 1.4 if dot else 3.4,
        "mew": 0 if dot else 0.8,
        "color": INK if light else "white",
        "ls": "",
        "alpha": 0.85,
    }


def legend_of_classes(
    fig: Picture, ids, classes: ClassMap, extra: dict[str, str] | None = None, numbered: bool = False, **how
) -> None:
    """Draw colour chips of the classes that the picture shows, then of `extra` {name: colour}.

    Args:
        numbered: whether ids stand before the names
        how: arguments of `legend`
    """
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
    """How tall the legend of these classes will be."""
    names = [*(classes.names[i] for i in ids), *extra]
    return 0.2 * -(-len(names) // _columns_of(names)) + 0.1


def _chip(colour: str, classes: ClassMap | None = None, i: int = 0) -> tuple:
    chip = Patch(facecolor=colour, edgecolor=QUIET, lw=0.6)
    return (chip, Line2D([], [], **marks(classes, i))) if classes and pattern(classes, i) else (chip,)


def panel(ax, picture: np.ndarray, title: str = "", classes: ClassMap | None = None, **how) -> None:
    """Draw a picture without axes; nothing wraps the title.

    Args:
        picture: with `classes`, two dimensions are a label map, drawn in class colours with their marks
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
    """Draw the marks of classes that have some, a fixed distance apart in print, none across an edge."""
    columns = ax.get_subplotspec().get_gridspec().ncols
    high, wide = labels.shape
    step = wide * columns * 0.075 / WIDTH  # pixels between marks, which are so many inches apart
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
    """Draw rows of pictures, each row with its name on the left.

    Args:
        rows: name and pictures of each row
        titles: of the columns
        room: inches for titles and what stands below the rows
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
