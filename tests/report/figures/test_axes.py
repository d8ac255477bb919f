"""Parts of figures: labels that do not overlap, and marks on classes that look alike."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from skimage.color import deltaE_ciede2000

from segnb.labels import LABEL_SETS, STREET, ClassMap
from segnb.report.figures import axes, style
from segnb.report.figures.evidence import sight
from segnb.report.figures.images import images_with_labels
from tests.report.figures import test_evidence, test_gates, test_learning, test_scores
from tests.report.figures.made_up import SIGHT, UNET, curve, lab


@pytest.mark.parametrize(
    ("label", "width", "lines"),
    [
        ("U-Net", 12, ["U-Net"]),
        ("Class attention residual U-Net", 24, ["Class attention", "residual U-Net"]),  # not U-Net alone
        ("FCN-32s fine-tuned", 12, ["FCN-32s", "fine-tuned"]),
        ("Attention residual U-Net", 24, ["Attention residual U-Net"]),
        ("Unbreakable-and-longer", 5, ["Unbreakable-and-longer"]),
    ],
)
def test_labels_are_wrapped_into_lines_of_about_the_same_length(label, width, lines):
    assert style.wrapped(label, width).split("\n") == lines


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
    key = fig.description["key"]  # which a phone shows below the figure
    assert [network["label"] for network in key] == list(UNET) and not any(n["frozen"] for n in key)
    within = test_gates.FIGURES["shifts of all"]()  # its lines are in a part of the figure
    assert [network["label"] for network in within.description["key"]] == list(UNET)
    lines = [line for line in ax.lines if line.get_transform() == ax.transData]
    ends_at = [ax.transData.transform(line.get_xydata()[-1])[1] for line in lines]
    assert np.abs(np.subtract(heights, ends_at)).max() < 25  # pixels, of about 230


LEADERS = {
    f"{module.__name__.rpartition('_')[2]}: {name}": module.FIGURES[name]
    for module, names in {
        test_learning: ("curves of all", "the study's FCNs", "the study's U-Nets"),
        test_evidence: ("trimap", "sizes", "sight"),
        test_gates: ("shifts",),
        test_scores: ("cost_quality",),
    }.items()
    for name in names
} | {"alike": lambda: sight({label: curve(["a", "b"], 0.5 - 1e-9 * k) for k, label in enumerate(UNET)})}


@pytest.mark.parametrize("name", LEADERS)
def test_lines_from_curves_to_names_begin_at_their_ends_and_never_cross(name):
    fig = LEADERS[name]()
    fig.draw_without_rendering()
    seen = 0
    for ax in fig.axes:
        arrows = [text for text in ax.texts if getattr(text, "arrow_patch", None)]
        begin, end = (
            np.array([place(arrow) for arrow in arrows]).reshape(-1, 2)
            for place in (lambda a: a.xycoords.transform(a.xy), lambda a: a.anncoords.transform(a.xyann))
        )
        for one, other in itertools.combinations(range(len(arrows)), 2):
            apart = begin[one, 1] - begin[other, 1]
            assert apart * (end[one, 1] - end[other, 1]) > 0 or apart == 0
        curves = [line for line in ax.lines if line.get_transform() == ax.transData]
        for arrow, (_, y) in zip(arrows, begin, strict=True):
            colour = to_hex(arrow.arrow_patch.get_edgecolor())
            points = [line.get_xydata() for line in curves if to_hex(line.get_color()) == colour]
            ends = [ax.transData.transform(of[np.isfinite(of[:, 1])][-1])[1] for of in points if len(of)]
            assert np.abs(np.subtract(ends, y)).min() < 1  # pixel
        seen += len(arrows)
    assert seen >= 4


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
    assert style.short(name, 11) == expected


def alike(classes: ClassMap) -> set[tuple[str, str]]:
    """Return pairs of classes whose colours look alike to some readers: 1 is just visible, 10 is obvious."""
    pairs = set()
    for cones in SIGHT.values():
        seen = np.array([lab(colour, cones) for colour in classes.colours])
        close = np.triu(deltaE_ciede2000(seen[:, None], seen[None]) < 10, 1)
        pairs |= {(classes.names[i], classes.names[k]) for i, k in np.argwhere(close)}
    return pairs


@pytest.mark.parametrize("classes", LABEL_SETS.values(), ids=LABEL_SETS)
def test_classes_that_look_alike_to_somebody_have_different_marks(classes):
    mark = {name: style.pattern(classes, i) for i, name in enumerate(classes.names)}
    assert all(mark[one] != mark[other] for one, other in alike(classes))
    assert sum(map(bool, mark.values())) <= len(alike(classes))  # no unnecessary mark


def test_users_classes_have_no_marks():
    own = ClassMap(("Vegetation", "Sidewalk"), STREET.colours[:2])
    assert [style.pattern(own, i) for i in range(2)] == ["", ""]


def test_marks_lie_on_their_classes_alone():
    """Marks are half of their width away from other classes."""
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
