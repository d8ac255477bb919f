"""One style for all figures: nothing cut off or printed over, legible at half width, networks in their looks.

Every function that is decorated with `figure` takes part, see `test_no_figure_is_left_out`.
"""

import importlib
import itertools
import pkgutil

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.text import Text

from segnb.labels import CAMVID, CAR, LABEL_SETS, STREET, ClassMap
from segnb.report import figures
from segnb.report.figures import axes, style
from segnb.report.figures.audit import class_dots
from segnb.report.figures.claims import examples
from segnb.report.figures.evidence import (
    convergence,
    gain_by_class,
    gradients,
    sight,
    sizes,
    stride_bounds,
    trimap,
)
from segnb.report.figures.gates import class_attention, shifts, worth
from segnb.report.figures.images import (
    class_legend,
    class_masks,
    class_places,
    class_shares,
    images_with_labels,
    predictions,
    side_by_side,
)
from segnb.report.figures.learning import learning_curves
from segnb.report.figures.scores import class_scores, cost_quality, score_bars
from tests.report.figures import test_evidence as evidence
from tests.report.figures import test_figures as plain
from tests.report.figures.test_figures import MANY, SIGHT, UNET, lab

LONG = ClassMap(tuple(f"a class that has a name of many words {i:02d}" for i in range(13)), STREET.colours)
ONE_WORD = ClassMap(
    tuple(f"{'aclassnamewithoutanyspaceinit' * 2}"[:38] + f"{i:02d}" for i in range(13)), STREET.colours
)
LEVELS = [*(f"level {k}" for k in range(1, 5)), "all levels"]


def named(frame: pd.DataFrame, classes: ClassMap) -> pd.DataFrame:
    """The frame with these names instead of STREET's."""
    return frame.rename(index=dict(zip(STREET.names, classes.names, strict=True)))


def unknown(frames: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Without intervals, as with a single image, and one value missing."""
    frames = {label: frame.assign(low=np.nan, high=np.nan) for label, frame in frames.items()}
    next(iter(frames.values())).iloc[-1, 0] = np.nan
    return frames


def stopped(seeds: int) -> dict[str, list[pd.DataFrame]]:
    """Histories of all networks, each with an end of its own."""
    return {
        label: [plain.history(6 + i, seed=10 * i + k) for k in range(seeds)] for i, label in enumerate(MANY)
    }


def worths(names: list[str]) -> dict[str, pd.DataFrame]:
    spread = [0.1, 0.2, 0.1, 0.05, np.nan]
    return {name: evidence.curve(LEVELS, 0.01).assign(spread=spread) for name in names}


def lowercase(kept: dict) -> dict:
    return kept | {"names": np.array([f"a/file/name/as/some/tools/make/them_{i:06d}_10" for i in range(6)])}


HARD = {
    "pictures and label maps": lambda: side_by_side(
        [("Image", plain.images[0]), ("Ground truth", plain.labels[0])],
        [0, 1, 2, 3],
        STREET,
        {"wrong": "#000000"},
    ).described(
        "An image beside its labels, as a caller would say.", "How to read it, which the caller says as well."
    ),
    "curves of all": lambda: learning_curves(stopped(3)),
    "curves of all, one seed": lambda: learning_curves(stopped(1)),
    "curves of a U-Net or two": lambda: learning_curves({label: [plain.history()] for label in UNET[:2]}),
    "one network of several seeds": lambda: score_bars(plain.scores(["U-Net"], 3)),
    "no interval": lambda: score_bars(plain.without_interval(plain.scores(MANY, 1))),
    "no interval of cost": lambda: cost_quality(plain.without_interval(plain.scores(MANY, 3))),
    "trimap without": lambda: trimap(unknown(evidence.curves(MANY, evidence.BINS))),
    "sight of one": lambda: sight(evidence.curves(["U-Net"], ["hidden", "partly", "all"])),
    "gains of long names": lambda: gain_by_class(
        evidence.curve(LONG.names, -0.2, 0.03), UNET[-1], UNET[-2], LONG
    ),
    "one bound": lambda: stride_bounds(
        pd.DataFrame({"miou": 0.3, "low": np.nan, "high": np.nan, "bound": 0.5}, index=MANY[:1])
    ),
    "shares of long names": lambda: class_shares(*(named(frame, LONG) for frame in plain.share_tables())),
    "scores of long names": lambda: class_scores(named(plain.ious(MANY), LONG)),
    "scores of long words": lambda: class_scores(named(plain.ious(UNET), ONE_WORD)),
    "legend of long names": lambda: class_legend(LONG),
    "legend of long words": lambda: class_legend(ONE_WORD),
    "legend of photographs": lambda: class_legend(CAMVID),
    "legend of two": lambda: class_legend(CAR),
    "masks of long words": lambda: class_masks(plain.images[0], plain.labels[0], ONE_WORD),
    "places of long names": lambda: class_places(plain.heat, LONG),
    "labels of long names": lambda: images_with_labels(plain.images, plain.labels, LONG),
    "predictions of long names": lambda: predictions(lowercase(plain.kept), MANY[-2], LONG),
    "examples of long names": lambda: examples(
        evidence.THREE.assign(name="a/file/name/as/some/tools/make/them_000019_10"),
        evidence.part(),
        evidence.images,
        evidence.labels,
        evidence.GUESSES,
        LONG,
        0,
    ),
    "class gates of long names": lambda: class_attention(evidence.gates(13), evidence.kept, LONG),
    "class gates of long words": lambda: class_attention(evidence.gates(13), evidence.kept, ONE_WORD),
    "worth of one": lambda: worth(unknown(worths(UNET[3:4]))),
    "worth of four": lambda: worth(worths(UNET[3:])),
    "shifts of one": lambda: shifts(unknown(evidence.curves(["U-Net"], evidence.KINDS)), {}),
    "shifts of all": lambda: shifts(evidence.curves(UNET, evidence.KINDS), {}),
    "gradients of one": lambda: gradients(evidence.curves(["U-Net"], ["down1", "down2"])),
    "gradients of a narrow range": lambda: gradients(
        {"U-Net": evidence.curve(["down1", "down2"], 0.0021, 0.005)}
    ),
    "sizes of a narrow range": lambda: sizes(
        {
            label: curve.assign(area=np.linspace(0.003, 0.006, 6))
            for label, curve in evidence.by_size((0.004, 0.005)).items()
        }
    ),
    "shares of a narrow range": lambda: class_shares(
        *(frame.clip(lower=0.2) for frame in plain.share_tables())
    ),
    "convergence of two seeds": lambda: convergence(
        {"U-Net": evidence.histories(2), "U-Net, no skips": evidence.histories(2, 0.3)}, 0.9
    ),
    "dots of long names": lambda: class_dots(
        {label: named(frame, LONG) for label, frame in plain.class_comparison(plain.STUDY, 3).items()}
    ),
}
CASES = (
    {f"{name} (figures)": draw for name, draw in plain.FIGURES.items()}
    | {f"{name} (evidence)": draw for name, draw in evidence.FIGURES.items()}
    | HARD
)


def figure_functions() -> set[str]:
    """Names of all functions of the package that draw figures."""
    found = set()
    for name in (module.name for module in pkgutil.iter_modules(figures.__path__)):
        module = importlib.import_module(f"segnb.report.figures.{name}")
        found |= {
            key
            for key, drawing in vars(module).items()
            if hasattr(drawing, "__wrapped__")
            and drawing.__globals__ is vars(style)
            and drawing.__module__ == module.__name__
        }
    return found


def test_no_figure_is_left_out():
    found = figure_functions()
    assert {"learning_curves", "score_bars", "differences", "trimap", "attention", "slopes"} <= found
    asked = {name for draw in CASES.values() for name in draw.__code__.co_names}
    assert found <= asked, "give each figure a case in this file, or in the tests of its module"


def drawn(fig: style.Picture, monkeypatch) -> list[Text]:
    """The texts that a reader gets to see; ticks beyond an axis, say, are never drawn."""
    texts = []
    whole = Text.draw

    def draw(text, renderer):
        texts.append(text)
        whole(text, renderer)

    monkeypatch.setattr(Text, "draw", draw)
    FigureCanvasAgg(fig).draw()
    return [text for text in dict.fromkeys(texts) if text.get_visible() and text.get_text().strip()]


def looks_in(fig: style.Picture) -> set[tuple[str, str, bool]]:
    """(colour, marker, whether hollow) of all that is marked in the colour of a network."""
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
        assert "math" not in text.get_text()  # a dollar is a dollar, so matplotlib must not write math text
        assert box.x0 >= -1 and box.y0 >= -1, f"{text.get_text()!r} is cut off"
        assert box.x1 <= fig.bbox.x1 + 1 and box.y1 <= fig.bbox.y1 + 1, f"{text.get_text()!r} is cut off"
    for (one, box), (other, beside) in itertools.combinations(boxes.items(), 2):
        width = min(box.x1, beside.x1) - max(box.x0, beside.x0)
        height = min(box.y1, beside.y1) - max(box.y0, beside.y0)
        assert width <= 2 or height <= 2, f"{one.get_text()!r} lies on {other.get_text()!r}"
    assert looks_in(fig) <= {look(label) for label in MANY}


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("curves of all", MANY),
        ("cost_quality (figures)", MANY),
        ("trimap (evidence)", MANY),
        ("sizes (evidence)", MANY),
        ("sight (evidence)", UNET),
        ("shifts of all", UNET),
        ("worth of four", UNET[3:]),
        ("gradients (evidence)", UNET[:2]),
        ("convergence (evidence)", UNET[:2]),
        ("slopes (figures)", MANY),
    ],
)
def test_every_network_is_drawn_and_named(name, labels, monkeypatch):
    fig = CASES[name]()
    assert looks_in(fig) == {look(label) for label in labels}
    told = {text.get_text().replace("\n", " ") for text in drawn(fig, monkeypatch)}
    assert set(labels) <= told


def test_every_seed_is_thin_and_the_mean_bold():
    fig = learning_curves({"U-Net": [plain.history(5, k) for k in range(3)]})
    for ax in fig.axes:
        widths = sorted(line.get_linewidth() for line in ax.lines)
        assert len(widths) == 4 and widths[2] < 1 and widths[3] >= 2


@pytest.mark.parametrize(
    "draw",
    [
        lambda attrs: trimap(with_attrs(evidence.curves(MANY, evidence.BINS), attrs)),
        lambda attrs: sight(with_attrs(evidence.curves(UNET, ["a", "b", "c"]), attrs)),
        lambda attrs: shifts(with_attrs(evidence.curves(UNET, evidence.KINDS), attrs), {}),
        lambda attrs: worth(with_attrs(worths(UNET[3:]), attrs)),
        lambda attrs: score_bars(*with_attrs({"": plain.scores(MANY, 3)}, attrs).values()),
        lambda attrs: cost_quality(*with_attrs({"": plain.scores(MANY, 3)}, attrs).values()),
    ],
)
def test_captions_say_what_the_intervals_are_and_of_how_many(draw):
    assert "95 % interval" in draw({}).caption and " n: " not in draw({}).caption
    assert draw({"images": 40, "seeds": 3}).caption.endswith(" n: 40 test images, 3 seeds.")


def with_attrs(frames: dict[str, pd.DataFrame], attrs: dict) -> dict[str, pd.DataFrame]:
    for frame in frames.values():
        frame.attrs.update(attrs)
    return frames


def test_networks_of_different_numbers_of_seeds():
    frames = with_attrs({"a": pd.DataFrame()}, {"images": 1, "seeds": 3}) | {"b": pd.DataFrame()}
    frames["b"].attrs["seeds"] = 1
    assert style.sample(frames.values()) == " n: 1 test image, 1 to 3 seeds."
    assert style.sample([]) == ""


@pytest.mark.parametrize(
    ("wanted", "heights", "places"),
    [
        ([0, 10, 20], [2, 2, 2], [0, 10, 20]),  # room enough
        ([5, 5], [2, 2], [4, 6]),
        ([0, 10, 10.5], [1, 2, 4], [0, 8.75, 11.75]),  # apart by half of each height
        ([3, 1, 2], [2, 2, 2], [4, 0, 2]),  # in the same order
    ],
)
def test_spread_moves_labels_apart_and_no_further(wanted, heights, places):
    assert axes.spread(wanted, heights) == pytest.approx(places)


def test_names_stand_as_high_as_their_lines_end_and_in_their_order():
    ends = {
        label: pd.DataFrame({"value": [0.1, 0.1 * k]}).assign(low=0.1, high=0.2)
        for k, label in enumerate(UNET)
    }
    fig = sight({label: frame.set_axis(["a", "b"]) for label, frame in ends.items()})
    fig.draw_without_rendering()
    (ax,) = fig.axes
    heights = [box.get_window_extent().intervaly.mean() for box in ax.texts if box.get_text()]
    assert len(heights) == len(UNET) and heights == sorted(heights)
    lines = [line for line in ax.lines if line.get_transform() == ax.transData]
    ends_at = [ax.transData.transform(line.get_xydata()[-1])[1] for line in lines]
    assert np.abs(np.subtract(heights, ends_at)).max() < 25  # pixels, of about 230


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", ""),
        ("Traffic sign", "Traffic sign"),
        ("wwwwwwww", "wwwwww…"),
        ("illicit little filling", "illicit little f…"),
    ],
)
def test_names_are_cut_where_the_room_ends(name, expected):
    assert axes.short(name, 11) == expected


# --- classes ---


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """CIEDE2000 of two colours of CIELAB: 1 can just be seen, 10 at a glance.

    Formulae and names as in Sharma, Wu and Dalal, Color Research and Application 30(1), 2005.
    """
    lightness, chroma = np.array([one[0], other[0]]), np.hypot(*np.transpose([one[1:], other[1:]]))
    seventh = chroma.mean() ** 7
    stretch = 1.5 - 0.5 * np.sqrt(seventh / (seventh + 25**7))
    a, b = np.array([one[1], other[1]]) * stretch, np.array([one[2], other[2]])
    chroma, hue = np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360
    turn = (hue[1] - hue[0] + 180) % 360 - 180 if chroma.all() else 0
    middle = hue[0] + turn / 2 if chroma.all() else hue.sum()
    big = 2 * np.sqrt(chroma.prod()) * np.sin(np.radians(turn / 2))
    light, strong = lightness.mean(), chroma.mean()
    waves = ((0.17, 1, -30, -1), (0.24, 2, 0, 1), (0.32, 3, 6, 1), (0.20, 4, -63, -1))
    t = 1 + sum(sign * by * np.cos(np.radians(k * middle + at)) for by, k, at, sign in waves)
    weights = (
        1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2),
        1 + 0.045 * strong,
        1 + 0.015 * strong * t,
    )
    steps = np.array([np.diff(lightness)[0], np.diff(chroma)[0], big]) / weights
    around = 30 * np.exp(-((((middle % 360) - 275) / 25) ** 2))
    rotation = -2 * np.sqrt(strong**7 / (strong**7 + 25**7)) * np.sin(np.radians(2 * around))
    return float(np.sqrt((steps**2).sum() + rotation * steps[1] * steps[2]))


@pytest.mark.parametrize(
    ("one", "other", "expected"),  # pairs 1, 17, 20 and 25 of the paper's table
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (58, 24, 15), 19.4535),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ],
)
def test_the_difference_is_that_of_the_paper(one, other, expected):
    assert difference(np.array(one), np.array(other)) == pytest.approx(expected, abs=1e-4)


def alike(classes: ClassMap) -> set[tuple[str, str]]:
    """Pairs of classes whose colours somebody does not tell apart at a glance."""
    colours = [[lab(colour, sight) for colour in classes.colours] for sight in SIGHT.values()]
    return {
        (classes.names[i], classes.names[k])
        for seen in colours
        for i, k in itertools.combinations(range(len(classes)), 2)
        if difference(seen[i], seen[k]) < 10
    }


@pytest.mark.parametrize("classes", LABEL_SETS.values(), ids=LABEL_SETS)
def test_classes_that_look_alike_to_somebody_have_different_marks(classes):
    mark = {name: axes.pattern(classes, i) for i, name in enumerate(classes.names)}
    assert all(mark[one] != mark[other] for one, other in alike(classes))
    assert sum(map(bool, mark.values())) <= len(alike(classes))  # none without need


def test_users_classes_have_no_marks():
    own = ClassMap(("Vegetation", "Sidewalk"), STREET.colours[:2])
    assert [axes.pattern(own, i) for i in range(2)] == ["", ""]


def test_marks_lie_on_their_classes_alone():
    """And far from other classes: half of the width of a mark."""
    green, pink, road = (STREET.id(name) for name in ("Vegetation", "Sidewalk", "Road"))
    labels = np.full((64, 64), road, np.uint8)
    labels[:32, :40], labels[40:, 10:] = green, pink
    fig = images_with_labels(np.zeros((1, 64, 64, 3), np.uint8), labels[None], STREET)
    ax = fig.axes[1]
    assert (ax.images[0].get_array() == STREET.paint(labels)).all()  # the colours themselves are exact
    assert len(ax.lines) == 2
    for line, one in zip(ax.lines, (pink, green), strict=True):
        places = np.round(line.get_xydata()).astype(int)
        assert len(places) > 20 and {*labels[places[:, 1], places[:, 0]]} == {one}


def test_legends_show_the_marks():
    labels = np.array([[STREET.id(name) for name in ("Vegetation", "Sidewalk", "Road")]], np.uint8)
    fig = images_with_labels(np.zeros((1, 1, 3, 3), np.uint8), labels[None], STREET)
    (legend,) = fig.legends
    assert [text.get_text() for text in legend.get_texts()] == ["Road", "Sidewalk", "Vegetation"]
    assert len([line for line in legend.findobj(Line2D) if line.get_alpha()]) == 2
