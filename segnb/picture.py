"""What every figure is made of: a picture with its description, one style, and one look a network.

A figure is a function that takes data and returns a `Picture`; it reads no file and keeps no global
state. Networks go by their label ("U-Net") and keep one colour and one marker everywhere; frozen ones
are dashed or hollow.
"""

import base64
import html
import io
from collections.abc import Callable
from functools import wraps
from textwrap import fill
from typing import NamedTuple

import matplotlib as mpl
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from segnb.classes import ClassMap

WIDTH = 6.5  # inches; at 10 pt still legible when a phone shrinks it to 380 pixels
DPI = 100  # CSS pixels an inch
SCALE = 2  # image pixels a CSS pixel, for sharp text on dense screens

INK, QUIET, FAINT = "#1c2127", "#59626c", "#d5d9dd"
WRONG, MISSED, FOUND = "#d1281f", "#1467b8", "#3f9b5a"

STYLE = {
    "text.parse_math": False,  # names of classes and files come from data, where a dollar is a dollar
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e8eb",
    "image.interpolation": "nearest",
    "hatch.linewidth": 1.5,
}


class Picture(Figure):
    """A figure that also says in words what it shows.

    alt:     for a reader who cannot see it: what is drawn, with the main numbers
    caption: printed beneath: how to read it
    """

    alt = ""
    caption = ""

    def __init__(self, height: float = 1.0, width: float = WIDTH):
        super().__init__(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
        self.get_layout_engine().set(w_pad=0.06, h_pad=0.06)

    def described(self, alt: str, caption: str = "") -> "Picture":
        self.alt, self.caption = alt, caption
        return self

    def png(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=DPI * SCALE)
        return buffer.getvalue()

    def bundle(self) -> tuple[dict, dict]:
        """Data and metadata as notebooks store them; width and height are in CSS pixels."""
        width, height = (round(inches * DPI) for inches in self.get_size_inches())
        told = {"alt": self.alt, "caption": self.caption, "width": width, "height": height}
        return {"image/png": base64.b64encode(self.png()).decode(), "text/plain": self.alt}, {
            "image/png": told
        }


def show(fig: Picture) -> None:
    """Display a picture with its description. One without axes had no data to draw and is left out."""
    if fig.axes:
        data, metadata = fig.bundle()
        display(data, metadata=metadata, raw=True)


def say(sentence: str) -> None:
    """Display a computed sentence as running text; nothing for an empty one.

    Markdown, but no HTML: a sentence may name classes and files, which come from data.
    """
    if sentence:
        display(Markdown(html.escape(sentence, quote=False)))


def figure(draw: Callable[..., Picture]) -> Callable[..., Picture]:
    """Decorator: draw in the common style, and draw nothing when the first argument is empty."""

    @wraps(draw)
    def drawn(data, *args, **kwargs) -> Picture:
        with mpl.rc_context(STYLE):
            return draw(data, *args, **kwargs) if len(data) else Picture()

    return drawn


class Look(NamedTuple):
    """How a network is drawn, in every figure."""

    colour: str
    marker: str
    frozen: bool = False  # dashed lines, hollow markers, hatched bars

    @property
    def line(self) -> str:
        return "--" if self.frozen else "-"

    @property
    def fill(self) -> str:
        return "white" if self.frozen else self.colour


# FCNs are orange to brown and darker with finer strides, U-Nets all the rest. The colours are chosen so that
# any two stay apart for readers who do not see red, green or blue, which a test checks, and markers tell the
# members of a family apart without any colour.
LOOKS = {
    "FCN-32s frozen": Look("#e59a2f", "s", frozen=True),
    "FCN-32s fine-tuned": Look("#e59a2f", "s"),
    "FCN-16s frozen": Look("#c4561a", "^", frozen=True),
    "FCN-16s fine-tuned": Look("#c4561a", "^"),
    "FCN-8s frozen": Look("#6b2a0e", "o", frozen=True),
    "FCN-8s fine-tuned": Look("#6b2a0e", "o"),
    "U-Net": Look("#19449c", "o"),
    "U-Net, no skips": Look("#6ab8fb", "X"),
    "Residual U-Net": Look("#1d726f", "D"),
    "Attention residual U-Net": Look("#0e0837", "P"),
    "Attention U-Net": Look("#ac3bf6", "v"),
    "Attention residual U-Net, strided gate": Look("#729da1", "<"),
    "Class attention residual U-Net": Look("#a3074f", "s"),
}


def wrapped(label: str, width: int = 24) -> str:
    """A label over as few lines as `width` allows, about equally long, never broken inside "U-Net"."""

    def lines(width: int) -> str:
        return fill(label, width, break_on_hyphens=False, break_long_words=False)

    fewest = lines(width).count("\n")
    return next(text for text in map(lines, range(1, width + 1)) if text.count("\n") == fewest)


def look(label: str) -> Look:
    return LOOKS.get(label, Look(QUIET, "h"))


def _key(label: str) -> Line2D:
    """A network's entry in a legend."""
    one = look(label)
    return Line2D(
        [],
        [],
        color=one.colour,
        ls=one.line,
        marker=one.marker,
        mfc=one.fill,
        ms=7,
        lw=2,
        label=wrapped(label),
    )


def legend_of_networks(fig: Picture, labels) -> None:
    keys = [_key(label) for label in labels]
    fig.legend(handles=keys, loc="outside lower center", ncols=min(3, len(keys)), handlelength=3)


def short(name: str, most: int = 13) -> str:
    """A class's name where there is room for so many characters."""
    return name if len(name) <= most else f"{name[: most - 1].rstrip()}…"


def legend_of_classes(fig: Picture, ids, classes: ClassMap, extra: dict[str, str] | None = None) -> None:
    """Colour chips of the classes that the picture shows, then of `extra` {name: colour}."""
    chips = {classes.names[i]: classes.colours[i] for i in ids} | (extra or {})
    keys = [Patch(facecolor=colour, edgecolor=QUIET, lw=0.6, label=name) for name, colour in chips.items()]
    columns = max(1, min(5, 85 // (max(map(len, chips), default=1) + 5)))  # 85 characters fill a line
    fig.legend(handles=keys, loc="outside lower center", ncols=columns, handlelength=1.2, columnspacing=1.4)


def panel(ax, picture, title: str = "", **how) -> None:
    """A picture without axes; titles are kept short by the caller, since nothing wraps them."""
    ax.imshow(picture, **how)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set(visible=True, color=FAINT)
    ax.set_title(title, pad=4)


def bare(ax) -> None:
    ax.set_axis_off()


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"
