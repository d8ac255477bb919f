"""One style for all figures: no text is clipped, overlaps or is too small; each network has its look."""

import base64
import fnmatch
import importlib
import itertools
import json
import pkgutil
import re
import warnings
from html import unescape
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font
from matplotlib.lines import Line2D
from matplotlib.text import Text

from segnb.audit.scores import study_scores
from segnb.claims.ledger import LEDGER
from segnb.claims.metrics import METRICS
from segnb.labels import STREET
from segnb.report import figures
from segnb.report.figures import style
from segnb.report.figures.evidence import sight, trimap
from segnb.report.figures.gates import shifts, worth
from segnb.report.figures.images import class_legend
from segnb.report.figures.learning import learning_curves
from segnb.report.figures.scores import cost_quality, score_bars
from segnb.report.tables import COSTS
from tests.report import figures as here
from tests.report.figures.made_up import (
    BINS,
    FCN,
    GATED,
    KINDS,
    MANY,
    SIGHT,
    STREETS,
    UNET,
    curves,
    history,
    lab,
    scores,
    with_attrs,
    worths,
)


def test_pictures_leave_no_open_figures():
    from matplotlib import pyplot

    learning_curves({"U-Net": [history()]}).png()
    assert pyplot.get_fignums() == []


@style.figure
def named(names: list[str]) -> style.Picture:
    fig = style.Picture()
    fig.subplots().set_xticks(range(len(names)), names)
    return fig


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["汽车", "सड़क", "도로", "ถนน", "🚗"])
def test_names_in_any_script_are_drawn_without_a_warning(name):
    assert named([name, "Car"]).png() and named([name, "Car"]).svg()


def test_letters_that_the_font_lacks_come_from_one_that_has_them(monkeypatch):
    usual, other = (FT2Font(findfont(name)).get_charmap().keys() for name in ("DejaVu Sans", "STIXGeneral"))
    letter = min(other - usual)  # matplotlib contains both fonts
    fonts = style.fonts_with(frozenset([letter]))
    assert len(fonts) == 1 and letter in FT2Font(findfont(fonts[0])).get_charmap()
    fig = named([chr(letter)])
    with_it = fig.png()
    assert any(fonts[0] in text.get_fontfamily() for text in fig.findobj(Text))
    monkeypatch.setattr(style, "fonts_with", lambda letters: ())
    assert named([chr(letter)]).png() != with_it


@pytest.mark.filterwarnings("error")
def test_another_warning_is_still_one(monkeypatch):
    monkeypatch.setattr(
        style.FigureCanvasAgg, "print_png", lambda *_, **__: warnings.warn("another", stacklevel=1)
    )
    with pytest.raises(UserWarning, match="another"):
        named(["a"]).png()


def test_bundle_is_a_sharp_png_with_its_description():
    fig = class_legend(STREET)
    data, metadata = fig.bundle()
    png = base64.b64decode(data["image/png"])
    described = metadata["image/png"]
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    pixels = int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
    assert pixels[0] == 2 * described["width"] and abs(pixels[1] - 2 * described["height"]) <= 1
    assert described["alt"] == fig.alt and "12 Traffic sign" in described["alt"]
    json.dumps([data, metadata])  # as notebooks are stored


def test_each_network_has_a_look_of_its_own():
    looks = {label: style.style_of(label) for label in MANY}
    assert len({*looks.values(), style.style_of("a network of another study")}) == len(MANY) + 1
    for family in (FCN, UNET):
        told_apart = {(looks[label].marker, looks[label].frozen) for label in family}
        assert len(told_apart) == len(family), "give each network of a family a marker of its own"


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_stay_apart_for_colour_blind_readers(sight):
    colours = sorted({style.style_of(label).colour for label in MANY})
    seen = {colour: lab(colour, SIGHT[sight]) for colour in colours}
    for i, one in enumerate(colours):
        for other in colours[i + 1 :]:
            assert np.linalg.norm(seen[one] - seen[other]) > 12, (
                f"{one} and {other} look alike to some readers"
            )


def modules(package) -> dict[str, ModuleType]:
    """Return the modules of a package by name."""
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    return {name: importlib.import_module(f"{package.__name__}.{name}") for name in names}


# {"module: case": a function that draws it}, of FIGURES in the tests of each module
CASES = {
    f"{name.removeprefix('test_')}: {case}": draw
    for name, module in modules(here).items()
    for case, draw in getattr(module, "FIGURES", {}).items()
}
DRAWING = {  # all functions that `figure` decorates
    f"{name}.{key}": drawing
    for name, module in modules(figures).items()
    for key, drawing in vars(module).items()
    if getattr(drawing, "__globals__", None) is vars(style)
    and hasattr(drawing, "__wrapped__")
    and drawing.__module__ == module.__name__
}


# What a figure can be evidence for: metrics, columns of cost.json, and claims without comparisons.
SHOWABLE = [*METRICS, *COSTS, *(claim.id for claim in LEDGER.values() if not claim.contrasts)]


def test_no_figure_is_left_out():
    assert {name.partition(".")[0] for name in DRAWING} >= {"images", "scores", "claims"}
    for name in DRAWING:
        module, _, drawing = name.partition(".")
        asked = [
            code for case, draw in CASES.items() if case.startswith(module) for code in draw.__code__.co_names
        ]
        case = f"give each figure a case: {name} in FIGURES of tests/report/figures/test_{module}.py"
        assert drawing in asked, case


def test_a_notebook_shows_the_caption_below_the_picture_at_the_anchor_of_links(monkeypatch):
    shown = []
    monkeypatch.setattr(style, "display", lambda what, **how: shown.append(what))
    fig = style.Picture(2).described("a line", "Red & <wrong>.")
    fig.name = "study_curves"
    fig.subplots()
    style.show(fig)
    picture, caption = shown
    assert "image/png" in picture and caption.metadata == {"caption": "fig-study-curves"}
    start = '<p id="fig-study-curves" style="scroll-margin-top: 220px">'
    assert caption.data == f"{start}<small>Red &amp; &lt;wrong&gt;.</small></p>"


@pytest.mark.parametrize("name", DRAWING)
def test_no_data_gives_no_picture(name, capsys):
    fig = DRAWING[name]([])
    assert not fig.axes
    style.show(fig)
    assert capsys.readouterr().out == ""


def drawn(fig: style.Picture, monkeypatch) -> list[Text]:
    """Return the texts that are drawn; ticks outside an axis, for example, are not."""
    texts = []
    whole = Text.draw

    def draw(text, renderer):
        texts.append(text)
        whole(text, renderer)

    monkeypatch.setattr(Text, "draw", draw)
    FigureCanvasAgg(fig).draw()
    return [text for text in dict.fromkeys(texts) if text.get_visible() and text.get_text().strip()]


def looks_in(fig: style.Picture) -> set[tuple[str, str, bool]]:
    """Return (colour, marker, whether hollow) of all markers in the colour of a network."""
    colours = {style.style_of(label).colour for label in MANY}
    found = set()
    for line in fig.findobj(Line2D):
        mark = line.get_marker()
        if mark in ("None", "", " ", "|", ".", None):  # "." are single images
            continue
        fill, edge = line.get_markerfacecolor(), to_hex(line.get_markeredgecolor())
        hollow = fill == "none" or to_hex(fill) == "#ffffff"
        colour = edge if hollow else to_hex(fill)
        if colour in colours:
            found.add((colour, mark, hollow))
    return found


def look(label: str) -> tuple[str, str, bool]:
    network = style.style_of(label)
    return network.colour, network.marker, network.frozen


@pytest.mark.filterwarnings("error")  # matplotlib warns when a layout or a glyph fails
@pytest.mark.parametrize("name", CASES)
def test_a_figure_is_in_the_style(name, monkeypatch):
    fig = CASES[name]()
    assert len(fig.alt) > 40 and len(fig.caption) > 40 and fig.caption.endswith(".")
    assert fig.name and all(fnmatch.filter(SHOWABLE, pattern) for pattern in fig.metrics)
    assert fig.get_size_inches()[0] == style.WIDTH
    fig.set_dpi(style.DPI * style.SCALE)  # as it is stored
    texts = drawn(fig, monkeypatch)
    pixels = np.asarray(fig.canvas.buffer_rgba())[..., :3]
    assert pixels.min() < 255
    for edge in (pixels[:6], pixels[-6:], pixels[:, :6], pixels[:, -6:]):
        assert edge.min() == 255, "something reaches the edge of the picture"
    boxes = {text: Text.get_window_extent(text) for text in texts}
    for text, box in boxes.items():
        assert text.get_fontsize() >= style.SMALL, text.get_text()
        assert "math" not in text.get_text()  # a dollar sign must not start math text
        assert box.x0 >= -1 and box.y0 >= -1, f"{text.get_text()!r} is cut off"
        assert box.x1 <= fig.bbox.x1 + 1 and box.y1 <= fig.bbox.y1 + 1, f"{text.get_text()!r} is cut off"
    for (one, box), (other, beside) in itertools.combinations(boxes.items(), 2):
        width = min(box.x1, beside.x1) - max(box.x0, beside.x0)
        height = min(box.y1, beside.y1) - max(box.y0, beside.y0)
        assert width <= 2 or height <= 2, f"{one.get_text()!r} lies on {other.get_text()!r}"
    assert looks_in(fig) <= {look(label) for label in MANY}
    words = re.findall(r"<text[^>]*>([^<]*)</text>", fig.svg())
    assert {line for text in texts for line in text.get_text().split("\n")} <= set(map(unescape, words))


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("learning: curves of all", MANY),
        ("scores: cost_quality", MANY),
        ("evidence: trimap", FCN),
        ("evidence: sizes", FCN),
        ("evidence: sight", UNET),
        ("gates: shifts of all", UNET),
        ("gates: worth of four", GATED),
        ("evidence: gradients", UNET[:2]),
        ("evidence: convergence", UNET[:2]),
        ("audit: slopes", MANY),
    ],
)
def test_every_network_is_drawn_and_named(name, labels, monkeypatch):
    fig = CASES[name]()
    assert looks_in(fig) == {look(label) for label in labels}
    told = {text.get_text().replace("\n", " ") for text in drawn(fig, monkeypatch)}
    assert set(labels) <= told


@pytest.mark.parametrize(
    "draw",
    [
        lambda attrs: trimap(with_attrs(curves(FCN, BINS), attrs)),
        lambda attrs: sight(with_attrs(curves(UNET, ["a", "b", "c"]), attrs)),
        lambda attrs: shifts(with_attrs(curves(UNET, KINDS), attrs), STREETS),
        lambda attrs: worth(with_attrs(worths(GATED), attrs)),
        lambda attrs: score_bars(*with_attrs({"": scores(MANY, 3)}, attrs).values(), study_scores()),
        lambda attrs: cost_quality(*with_attrs({"": scores(MANY, 3)}, attrs).values()),
    ],
)
def test_captions_say_what_the_intervals_are_and_of_how_many(draw):
    assert "95% confidence intervals over the test images" in draw({}).caption
    assert " n: " not in draw({}).caption
    assert draw({"images": 40, "seeds": 3}).caption.endswith(" n: 40 test images, 3 seeds.")


def test_networks_of_different_numbers_of_seeds():
    frames = with_attrs({"a": pd.DataFrame()}, {"images": 1, "seeds": 3}) | {"b": pd.DataFrame()}
    frames["b"].attrs["seeds"] = 1
    assert style.sample(frames.values()) == " n: 1 test image, 1 to 3 seeds."
    assert style.sample([]) == ""


@pytest.mark.parametrize(
    ("name", "turns"),
    [
        ("learning: curves of all", True),
        ("evidence: trimap", True),
        ("scores: cost_quality", True),
        ("images: class_legend", False),  # colours of classes are the same everywhere
        ("evidence: gains", False),
        ("images: predictions", False),
        ("scores: class_scores", False),  # its caption says that darker is better
        ("audit: worked_example", False),
    ],
)
def test_a_dark_page_turns_lines_and_text_alone(name, turns):
    fig = CASES[name]()
    assert fig.turns is turns and fig.bundle(drawing=False)[1]["image/png"]["turns"] is turns
