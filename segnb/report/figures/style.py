"""Parts that all figures share: a figure with its description, one style, the looks of networks and classes.

A figure is a function that takes data and returns a `Picture`. It reads no file and has no global state.
Networks go by their label ("U-Net") and have one colour and one marker everywhere. Networks with a
frozen backbone have dashed lines and hollow markers. Classes whose colours look alike to some readers have
marks (`PATTERNS`). No text is smaller than SMALL.
"""

import base64
import html
import io
import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import lru_cache, partial, wraps
from textwrap import fill
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from IPython.display import HTML, display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.image import AxesImage
from matplotlib.text import Text

from segnb.claims import wording
from segnb.labels import LABEL_SETS, ClassMap
from segnb.models.registry import VARIANTS
from segnb.report.figures.vector import drawing
from segnb.report.html import SVG, about
from segnb.report.text import say

WIDTH = 6.5  # inches
SMALL = 9.5  # points: 6.6 CSS pixels if a page shows the figure at half its width
LINE = 0.165  # inches: height of a line of text of that size
DPI = 100  # CSS pixels per inch
SCALE = 2  # image pixels per CSS pixel, for sharp text on dense screens

INK, QUIET, FAINT = "#1c2127", "#59626c", "#d5d9dd"
STUDY = {"marker": "D", "ms": 6, "mfc": "white", "color": INK, "mew": 1.3}  # a value of the study
WRONG, MISSED, FOUND = "#d1281f", "#1467b8", "#3f9b5a"
STYLE = (
    dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), INK)
    | dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), QUIET)
    | dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), SMALL)
    | dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False)
    | {
        "text.parse_math": False,  # names of classes and files may contain a dollar sign
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e6e8eb",
        "image.interpolation": "none",  # an SVG then contains the pixels of the array
        "hatch.linewidth": 1.5,
    }
)


NO_GLYPH = r"Glyph \d+ "  # start of matplotlib's warning that a font lacks a letter
# Code points that need no other font.
USUAL = frozenset([ord("\n"), *FT2Font(findfont(FontProperties())).get_charmap()])


@lru_cache
def fonts_with(letters: frozenset[int]) -> tuple[str, ...]:
    """Return families of installed fonts that together have as many of these code points as possible."""
    has: dict[str, frozenset[int]] = defaultdict(frozenset)
    for font in fontManager.ttflist if letters else ():
        if "Last Resort" not in font.name:  # that font has a box for every letter
            with suppress(OSError, RuntimeError):  # removed, or of a format that cannot be drawn
                has[font.name] |= letters & FT2Font(font.fname).get_charmap().keys()  # regular, bold, …
    families = []
    while has and letters & has[best := max(has, key=lambda name: len(letters & has[name]))]:
        families.append(best)
        letters -= has.pop(best)
    return tuple(families)


class Picture(Figure):
    """A figure with a description in words.

    Attributes:
        name: name of the function that draws it, with which the report makes its anchor
        class_colours: whether it shows the colours of classes, which are the same everywhere
        key: labels of the networks that are named right of it, where a phone does not show them
        alt: text for a reader who cannot see the figure: its content with the main numbers
        caption: text below the figure: the main finding, how to read the figure, its error bars, n
    """

    name = ""
    alt = ""
    caption = ""
    class_colours = False
    key: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()

    def __init__(self, height: float = 1.0):
        super().__init__(figsize=(WIDTH, height), dpi=DPI, layout="constrained", facecolor="white")
        self.get_layout_engine().set(w_pad=0.06, h_pad=0.06)

    def described(self, alt: str, caption: str = "") -> "Picture":
        """Set both texts and return the figure."""
        self.alt, self.caption = alt, caption
        return self

    def shows(self, networks: Iterable[str], *metrics: str) -> "Picture":
        """Set the labels of the networks and the metrics that the figure shows, and return the figure.

        The report links it with claims on them; see `segnb.report.html.about`.
        """
        self.networks, self.metrics = tuple(networks), metrics
        return self

    def _lay_out(self, draw: Callable[[], object]) -> None:
        """Compute the layout with `draw`. Letters that the font lacks come from other installed fonts.

        Later layouts would be the same, and to compute one takes longer than to draw.
        """
        for text in self.findobj(Text):
            fonts = fonts_with(frozenset(map(ord, text.get_text())) - USUAL)
            text.set_fontfamily([*dict.fromkeys([*text.get_fontfamily(), *fonts])])
        FigureCanvasAgg(self)  # its text has the sizes of a PNG
        self.dpi = DPI * SCALE
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", NO_GLYPH)  # no font has the letter
            draw()
        self.dpi = DPI
        self.set_layout_engine("none")

    def png(self) -> bytes:
        """Return the figure as a PNG of SCALE image pixels per CSS pixel."""
        file = io.BytesIO()
        self._lay_out(lambda: self.canvas.print_png(file))
        return file.getvalue()

    def svg(self) -> str:
        """Return the figure as an SVG; equal figures give equal text."""
        self._lay_out(lambda: self.get_layout_engine().execute(self))
        return drawing(self)

    @property
    def turns(self) -> bool:
        """Whether a dark page may turn its lightness: it has no image, heat map or colour of a class."""
        fields = (part for ax in self.axes for part in ax.get_children())
        return not self.class_colours and not any(isinstance(part, AxesImage | QuadMesh) for part in fields)

    @property
    def description(self) -> dict:
        """Texts, size in CSS pixels, and name and evidence of the figure as the report reads them."""
        width, height = (round(inches * DPI) for inches in self.get_size_inches())
        described = {"alt": self.alt, "caption": self.caption, "width": width, "height": height}
        evidence = about(self.name, self.networks, self.metrics)
        key = [{"label": label} | style_of(label)._asdict() for label in self.key]
        return described | {"about": evidence, "turns": self.turns, "key": key}

    def bundle(self, drawing: bool = True) -> tuple[dict, dict]:
        """Return data and metadata as notebooks store them.

        drawing: whether to add an SVG next to the PNG
        """
        data = {"image/png": base64.b64encode(self.png()).decode(), "text/plain": self.alt}
        if drawing:
            data[SVG] = self.svg()
        return data, {"image/png": self.description}

    def below(self) -> HTML:
        """Return the caption for a notebook, with the figure's anchor; the report drops it for its own."""
        anchor, height = f"fig-{self.name.replace('_', '-')}", self.get_size_inches()[1] * DPI + 20
        text = f'<p id="{anchor}" style="scroll-margin-top: {height:.0f}px">'  # a link shows the figure too
        return HTML(f"{text}<small>{html.escape(self.caption)}</small></p>", metadata={"caption": anchor})


def show(fig: Picture, otherwise: str = "") -> None:
    """Display a picture with its texts, or a sentence if it is empty: without axes it had no data to draw."""
    if not fig.axes:
        say(otherwise)
        return
    data, metadata = fig.bundle()
    display(data, metadata=metadata, raw=True)
    display(fig.below())


def figure(draw: Callable[..., Picture]) -> Callable[..., Picture]:
    """Decorate a function to draw in the common style, and nothing if its first argument is empty."""

    @wraps(draw)
    def drawn(data, *args, **kwargs) -> Picture:
        with mpl.rc_context(STYLE), warnings.catch_warnings():
            # Text is measured while drawing; `Picture` replaces fonts that lack a letter.
            warnings.filterwarnings("ignore", NO_GLYPH)
            fig = draw(data, *args, **kwargs) if len(data) else Picture()
            fig.name = draw.__name__
            return fig

    return drawn


class NetworkStyle(NamedTuple):
    """The look of a network, the same in every figure."""

    colour: str
    marker: str
    frozen: bool = False  # dashed lines, hollow markers, hatched bars

    @property
    def fill(self) -> str:
        """Fill colour of markers and bars."""
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
    """Return the style of the network with that label; grey if it is not in the registry."""
    variant = BY_LABEL.get(label)
    return NetworkStyle(variant.colour, variant.marker, variant.frozen) if variant else UNKNOWN


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


def sample(frames: Collection[pd.DataFrame]) -> str:
    """Say how many images and seeds a figure rests on, as a sentence for a caption that begins with a space.

    frames: `attrs` may have "images" and "seeds", or columns of these names; "" if none has
    """
    numbers = []
    for key, thing in (("images", "test image"), ("seeds", "seed")):
        counts = sorted({n for frame in frames for n in frame.get(key, [frame.attrs.get(key)]) if n})
        if counts:
            span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
            numbers.append(f"{span} {thing}{'s' * (counts[-1] != 1)}")
    return f" n: {', '.join(numbers)}." if numbers else ""


def intervals(frames: Collection[pd.DataFrame]) -> str:
    """Say what the error bars of a figure contain; begins with a space.

    frames: columns low and high, the interval over test images; NaN for a single image
    """
    if any(np.isfinite(frame[["low", "high"]].to_numpy(float)).any() for frame in frames):
        return " Error bars are 95% confidence intervals over the test images."
    return " There are no error bars, because a single test image gives no interval."


def error_bars(frames: Collection[pd.DataFrame]) -> str:
    """Say what the error bars of a figure contain, and n; see `intervals` and `sample`."""
    return intervals(frames) + sample(frames)


# ---- texts


def wrapped(label: str, width: int = 24) -> str:
    """Wrap a label into as few lines of at most `width` letters as possible, of similar length.

    Lines are broken only at spaces, never inside "U-Net".
    """

    def lines(width: int) -> str:
        return fill(label, width, break_on_hyphens=False, break_long_words=False)

    fewest = lines(width).count("\n")
    return next(text for text in map(lines, range(1, width + 1)) if text.count("\n") == fewest)


def row_names(names: Iterable[str]) -> tuple[list[str], float]:
    """Return names for the rows of a chart, long ones on two lines, and the height of a row in inches."""
    rows = ["\n".join(short(line, 26) for line in wrapped(name).split("\n")[:2]) for name in names]
    return rows, 0.38 if any("\n" in row for row in rows) else 0.3


def short(name: str, most: float = 13) -> str:
    """Cut a name that is wider than `most` letters of average width, and end it with an ellipsis."""
    wide = np.cumsum([1.5 if c in "mwMW@%" else 0.55 if c in "fijlrtI.,'| " else 1 for c in name])
    if not len(wide) or wide[-1] <= most:
        return name
    return f"{name[: int((wide <= most - 1).sum())].rstrip()}…"


def signed(value: float) -> str:
    """Print a difference of scores, such as "−0.061"."""
    return wording.printed(value, 3, sign=True)


def percent(share: float, digits: int = 1) -> str:
    """Print a share, 0 to 1, in percent, such as "12.3%"; only exactly 0 and 1 print as 0% and 100%."""
    printed, step = round(100 * share, digits), 10**-digits
    if 0 < share < 1 and printed in (0, 100):
        return f">{100 - step:.{digits}f}%" if printed else f"<{step:.{digits}f}%"
    return f"{100 * share:.{digits}f}%"


whole_percent = partial(percent, digits=0)
