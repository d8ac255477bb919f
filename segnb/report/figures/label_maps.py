"""Parts of figures that show label maps: panels, rows of images, the legend of classes.

Classes whose colours look alike to some readers have marks (`PATTERNS`).
"""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from segnb.labels import LABEL_SETS, ClassMap
from segnb.report.figures.style import FAINT, INK, QUIET, SMALL, WIDTH, Picture


def short(name: str, most: float = 13) -> str:
    """Cut a name that is wider than `most` letters of average width, and end it with an ellipsis."""
    wide = np.cumsum([1.5 if c in "mwMW@%" else 0.55 if c in "fijlrtI.,'| " else 1 for c in name])
    if not len(wide) or wide[-1] <= most:
        return name
    return f"{name[: int((wide <= most - 1).sum())].rstrip()}…"


# Marks for readers who do not see red or green, on classes whose colours look like the colours in brackets:
# dots on Vegetation (Building, Fence, Pedestrian) and Sky (Pole, Sidewalk), strokes on Sidewalk (Pole), Other
# and Bicyclist (Road). A test finds the pairs. The colours cannot change, because those of a folder's classes
# are part of the digest of its data. `ClassMap.paint` draws no marks: pages identify classes by colour.
PATTERNS = {"Vegetation": ".", "Sky": ".", "Sidewalk": "/", "Other": "/", "Bicyclist": "/"}


def pattern(classes: ClassMap, i: int) -> str:
    """Return the mark of a class of segnb's own label sets, "." or "/"; "" for none."""
    return PATTERNS.get(classes.names[i], "") if classes.key in LABEL_SETS else ""


def marks(classes: ClassMap, i: int) -> dict:
    """Return arguments of `plot` for the marks of a class."""
    light = classes.palette[i] @ (0.299, 0.587, 0.114) > 0.45 * 255  # light enough for dark marks
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
