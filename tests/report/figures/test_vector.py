"""Figures as SVG: they show what matplotlib draws, and stay small."""

import re
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest

from segnb.labels import STREET
from segnb.report.figures.images import images_with_labels
from segnb.report.figures.style import WIDTH, Picture
from segnb.report.html import address
from tests.report.figures.made_up import images, labels
from tests.report.test_embedding import pixels

EVIL = "<b> & \"two\" 100% #1 'one' {}"


def parsed(svg: str) -> ElementTree.Element:
    root = ElementTree.fromstring(svg)  # noqa: S314
    for tag in root.iter():
        tag.tag = tag.tag.rpartition("}")[2]
    return root


def plotted(draw) -> Picture:
    """Draw on the only axes of a figure of 100×50 CSS pixels that these axes fill."""
    fig = Picture()
    fig.set_size_inches(1, 0.5)
    fig.set_layout_engine("none")
    ax = fig.add_axes((0, 0, 1, 1))
    draw(ax)
    ax.set(xlim=(0, 100), ylim=(0, 50))
    ax.set_axis_off()
    return fig


@pytest.mark.parametrize("origin", ["upper", "lower"])
def test_images_keep_their_pixels_and_their_place(origin):
    array = STREET.paint(np.arange(6, dtype=np.uint8).reshape(2, 3))
    how = {"extent": (20, 50, 10, 30), "aspect": "auto", "origin": origin, "interpolation": "none"}
    image = parsed(plotted(lambda ax: ax.imshow(array, **how)).svg()).find("image")
    assert [float(image.get(key)) for key in ("x", "y", "width", "height")] == [20, 20, 30, 20]
    assert (pixels(image.get("href")) == (array if origin == "upper" else array[::-1])).all()


@pytest.mark.parametrize("transposed", [False, True])  # matplotlib lays horizontal colour bars out by columns
@pytest.mark.parametrize("upright", [False, True])
def test_a_colour_bar_is_one_image(upright, transposed):
    values, across, along = np.arange(64)[None], np.array([[0], [50]]), np.linspace(0, 50, 65)[None]
    x, y = np.broadcast_arrays(along, across)
    x, y = (y, x) if upright else (x, y)
    if transposed:
        x, y, values = x.T, y.T, values.T
    image = parsed(plotted(lambda ax: ax.pcolormesh(x, y, values, cmap="gray")).svg()).find("image")
    assert [float(image.get(key)) for key in ("width", "height")] == [50, 50]
    bar = pixels(image.get("href"))[..., 0]
    assert bar.shape == ((64, 1) if upright else (1, 64))
    ends = bar[[-1, 0], 0] if upright else bar[0, [0, -1]]
    assert ends.tolist() == [0, 255]


def test_a_heat_map_has_the_lines_between_its_cells():
    """Without them, a white cell cannot be told from the page."""
    how = {"cmap": "gray", "linewidth": 2, "edgecolor": "#ff0000"}
    x, y = np.meshgrid([0, 50, 100], [0, 25, 50])
    for given, count in ((how, 1), (how | {"linewidth": 0}, 0)):
        svg = plotted(lambda ax, given=given: ax.pcolormesh(x, y, np.eye(2), **given)).svg()
        lines = [path.get("d") for path in parsed(svg).findall("path") if path.get("d").count("M") == 6]
        assert (len(lines), "stroke:#ff0000" in svg) == (count, bool(count))  # three in each direction


def test_lines_marks_and_words_are_where_they_belong():
    def draw(ax):
        ax.plot([0, 100], [0, 50], color="#ff0000", lw=2, ls="--")
        ax.plot([10, 20, 30], [10, 20, 40], "o", ms=4, alpha=0.5)
        ax.bar([80], [20], width=10, hatch="//", color="#00ff00")
        ax.text(40, 5, "ab", rotation=90, weight="bold")

    svg = plotted(draw).svg()
    drawn = parsed(svg)
    lines = [path.get("d") for path in drawn.findall("path")]
    assert "M0 50 100 0" in lines and "M10 40L20 30L30 10" in lines
    assert any(line.startswith("M75 50 85 50 85 30 75 30") for line in lines)
    assert drawn.find("defs/marker/path") is not None and drawn.find("defs/pattern/path") is not None
    assert re.search(r"stroke:#ff0000;stroke-width:2\.78;stroke-dasharray:", svg)
    (word,) = drawn.iter("text")
    assert word.text == "ab" and "rotate(-90 " in word.get("transform")
    assert float(word.get("textLength")) == pytest.approx(20, abs=3)  # 10 points, bold


def test_missing_points_are_left_out():
    def draw(ax):
        ax.plot([10, 20, 30, 40], [10, np.nan, 20, 30], "o")
        ax.plot([10, 20, 30, 40, 50], [10, 20, np.nan, 30, 40])

    lines = [path.get("d") for path in parsed(plotted(draw).svg()).findall("path")]
    assert "M10 40L30 30L40 20" in lines and "M10 40 20 30M40 20 50 10" in lines


def test_words_of_users_are_words():
    svg = plotted(lambda ax: ax.text(1, 1, EVIL)).svg()
    assert next(parsed(svg).iter("text")).text == EVIL
    source = address(svg)
    assert not {"#", '"'} & {*source.removeprefix("data:")}
    assert unquote(source.removeprefix("data:image/svg+xml,")) == svg


def test_a_drawing_is_the_same_each_time_and_twice_as_large_as_on_the_page():
    first, second = (images_with_labels(images, labels, STREET) for _ in range(2))
    assert first.svg() == second.svg() == first.svg()
    root = parsed(first.svg())
    assert int(root.get("width")) == 2 * 100 * WIDTH
    assert root.get("viewBox").split()[2:] == [f"{int(root.get(key)) // 2}" for key in ("width", "height")]


def test_many_marks_take_few_bytes():
    places = np.random.default_rng(0).random((2, 1000)) * [[100], [50]]
    assert len(plotted(lambda ax: ax.plot(*places, "o")).svg()) < 12 * 1000
