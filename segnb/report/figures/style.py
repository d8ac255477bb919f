"""What all figures share: a figure with its description, one style, and one look for each network.

A figure is a function that takes data and returns a `Picture`; it reads no file and keeps no global
state. Networks go by their label ("U-Net") and keep one colour and one marker everywhere; frozen ones
are dashed or hollow. No letter is smaller than SMALL.
"""

import base64
import gzip
import io
import re
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache, wraps
from typing import NamedTuple

import matplotlib as mpl
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from segnb.models.registry import VARIANTS

WIDTH = 6.5  # inches
SMALL = 9.5  # points: 6.6 CSS pixels where a page shows the figure at half its width
LINE = 0.165  # inches of a line of letters of that size
DPI = 100  # CSS pixels an inch
SCALE = 2  # image pixels a CSS pixel, for sharp text on dense screens

# How a notebook stores the drawing beside the PNG: gzip, base64. JupyterLab passes over a kind that it does
# not know; the report offers it for download.
SVG = "application/vnd.segnb.svg+gzip"
RASTER = 1000  # pixels; an array of more that is drawn as a picture is a photograph or a mask, not a heat map

INK, QUIET, FAINT = "#1c2127", "#59626c", "#d5d9dd"
WRONG, MISSED, FOUND = "#d1281f", "#1467b8", "#3f9b5a"
STYLE = (
    dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), INK)
    | dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), QUIET)
    | dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), SMALL)
    | dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False)
    | {
        "text.parse_math": False,  # names of classes and files come from data, where a dollar is a dollar
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e6e8eb",
        "image.interpolation": "nearest",
        "hatch.linewidth": 1.5,
    }
)


NO_GLYPH = r"Glyph (\d+) "  # how matplotlib begins to say that a font lacks a letter


@lru_cache
def fonts_with(letters: frozenset[int]) -> tuple[str, ...]:
    """Return families of installed fonts that have as many of these letters (code points) as can be had."""
    has: dict[str, frozenset[int]] = {}
    for font in fontManager.ttflist if letters else ():
        if "Last Resort" not in font.name:  # which has a box for each letter
            with suppress(OSError, RuntimeError):  # it has been removed, or is of a kind that cannot be drawn
                has[font.name] = letters & FT2Font(font.fname).get_charmap().keys()
    found = []
    while has and letters & has[best := max(has, key=lambda name: len(letters & has[name]))]:
        found.append(best)
        letters -= has.pop(best)
    return tuple(found)


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

    def savefig(self, file: io.BytesIO, **options) -> None:
        """Save it; letters that its font lacks are taken from other fonts of this machine that have them."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            super().savefig(file, **options)
        lacking = [re.match(NO_GLYPH, str(one.message)) for one in told]
        for one in (one for one, lacks in zip(told, lacking, strict=True) if not lacks):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        fonts = fonts_with(frozenset(int(lacks[1]) for lacks in lacking if lacks))
        texts = [text for text in self.findobj(Text) if not {*fonts} <= {*text.get_fontfamily()}]
        if texts:
            for text in texts:
                text.set_fontfamily([*text.get_fontfamily(), *fonts])
            file.seek(0)
            file.truncate()
            self.savefig(file, **options)

    def png(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=DPI * SCALE)
        return buffer.getvalue()

    @property
    def scales(self) -> bool:
        """Whether it is lines and letters, which an SVG draws better than a PNG; photographs are not."""
        drawn = (image.get_array() for ax in self.axes for image in ax.images)
        return not any(array.shape[0] * array.shape[1] > RASTER for array in drawn)

    def svg(self) -> bytes:
        """The same drawing for any size of print, with its description; equal figures give equal bytes.

        Letters are outlines: the font is on few machines other than this, and another would not fit.
        """
        buffer = io.BytesIO()
        told = {"Date": None, "Creator": "segnb", "Description": self.alt}
        with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "segnb"}):
            self.savefig(buffer, format="svg", dpi=DPI * SCALE, metadata=told)
        return buffer.getvalue()

    def bundle(self, drawing: bool = True) -> tuple[dict, dict]:
        """Data and metadata as notebooks store them; width and height are in CSS pixels.

        drawing: with an SVG beside the PNG where that is worth it
        """
        width, height = (round(inches * DPI) for inches in self.get_size_inches())
        told = {"alt": self.alt, "caption": self.caption, "width": width, "height": height}
        data = {"image/png": base64.b64encode(self.png()).decode(), "text/plain": self.alt}
        if drawing and self.scales:
            self.set_layout_engine(
                "none"
            )  # for the PNG it has been laid out, which takes longer than drawing
            data[SVG] = base64.b64encode(gzip.compress(self.svg(), mtime=0)).decode()
        return data, {"image/png": told}


def show(fig: Picture) -> None:
    """Display a picture with its description. One without axes had no data to draw and is left out."""
    if fig.axes:
        data, metadata = fig.bundle()
        display(data, metadata=metadata, raw=True)


def figure(draw: Callable[..., Picture]) -> Callable[..., Picture]:
    """Decorator: draw in the common style, and draw nothing when the first argument is empty."""

    @wraps(draw)
    def drawn(data, *args, **kwargs) -> Picture:
        with mpl.rc_context(STYLE), warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", NO_GLYPH
            )  # where letters are measured: `Picture.savefig` sees to them
            return draw(data, *args, **kwargs) if len(data) else Picture()

    return drawn


class NetworkStyle(NamedTuple):
    """How a network is drawn, in every figure."""

    colour: str
    marker: str
    frozen: bool = False  # dashed lines, hollow markers, hatched bars

    @property
    def fill(self) -> str:
        return "white" if self.frozen else self.colour

    @property
    def line(self) -> dict:
        """Arguments of `plot` for a line with markers."""
        return self.point | {"ls": "--" if self.frozen else "-"}

    @property
    def point(self) -> dict:
        """Arguments of `plot` for markers alone."""
        return {"color": self.colour, "ls": "", "marker": self.marker, "mfc": self.fill}


BY_LABEL = {variant.label: variant for variant in VARIANTS.values()}
UNKNOWN = NetworkStyle(QUIET, "h")


def style_of(label: str) -> NetworkStyle:
    """The style of the network with that label; grey for one that is not in the registry."""
    if label not in BY_LABEL:
        return UNKNOWN
    variant = BY_LABEL[label]
    return NetworkStyle(variant.colour, variant.marker, variant.frozen)


def family_of(label: str) -> str:
    """The family of the network with that label; "" for one that is not in the registry."""
    return BY_LABEL[label].family if label in BY_LABEL else ""


def sample(frames: Iterable[pd.DataFrame]) -> str:
    """How much stands behind what is drawn, a sentence for a caption that begins with a space.

    frames: their attrs may say "images" and "seeds", and a column of that name as well; "" if nothing does
    """
    frames = list(frames)
    told = []
    for what, one in (("images", "test image"), ("seeds", "seed")):
        counts = sorted({n for frame in frames for n in frame.get(what, [frame.attrs.get(what)]) if n})
        if counts:
            many = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
            told.append(f"{many} {one}{'s' * (counts[-1] != 1)}")
    return f" n: {', '.join(told)}." if told else ""


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"
