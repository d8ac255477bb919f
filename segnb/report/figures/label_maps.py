"""Parts of figures that show label maps: panels, rows of pictures, the legend of classes.

Classes whose colours look alike to some readers carry marks (`PATTERNS`).
"""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from segnb.labels import LABEL_SETS, ClassMap
from segnb.report.figures.style import FAINT, INK, QUIET, SMALL, WIDTH, Picture


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
