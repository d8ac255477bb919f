"""Figures of the audit: their texts and marks."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from segnb.audit import metric
from segnb.report.figures.audit import AS_PUBLISHED, MIOU, class_dots, slopes, two_scores, worked_example
from tests.report.figures.made_up import (
    FCN,
    LONG,
    MANY,
    SIGHT,
    STUDY,
    both_scores,
    class_comparison,
    lab,
    named,
    overlaps,
)

FIGURES = {
    "two_scores": lambda: two_scores({"a": both_scores(STUDY, 1), "b": both_scores(MANY, 3)}),
    "one score": lambda: two_scores({"a": both_scores(STUDY, 0), "b": both_scores(["U-Net"], 1)}),
    "slopes": lambda: slopes({"published numbers": both_scores(MANY, 1)}),
    "two slopes": lambda: slopes(
        {"published numbers": both_scores(STUDY, 1), "trained here": both_scores(MANY[::-1], 3)}
    ),
    "class_dots": lambda: class_dots(class_comparison(STUDY, 3)),
    "class_dots of a family": lambda: class_dots(class_comparison(FCN, 1)),
    "class_dots of one": lambda: class_dots(class_comparison(["U-Net"], 1)),
    "worked_example": lambda: worked_example(metric.worked_example()),
    "dots of long names": lambda: class_dots(
        {label: named(frame, LONG) for label, frame in class_comparison(STUDY, 3).items()}
    ),
}


def two(names, as_published, miou) -> pd.DataFrame:
    return pd.DataFrame({"as_published": as_published, "miou": miou}, index=names)


@pytest.mark.parametrize("name", ["slopes", "two slopes"])
def test_slopes_keep_room_for_lines_and_scores(name):
    fig = FIGURES[name]()
    fig.draw_without_rendering()
    ax, opposite = fig.axes
    texts = [*ax.texts, *ax.get_yticklabels(), *opposite.get_yticklabels()]
    assert not overlaps(texts)
    for line in ax.lines:
        assert np.ptp(line.get_window_extent().intervalx) > 0.08 * fig.bbox.width


def test_slopes_keep_their_panels_apart():
    """Scores of two panels run together if less than the width of a digit or two is between them."""
    fig = FIGURES["two slopes"]()
    fig.draw_without_rendering()
    texts = [text.get_window_extent() for text in fig.axes[0].texts]
    between = [(a, b) for a in texts for b in texts if a.x1 <= b.x0 and a.y0 < b.y1 and b.y0 < a.y1]
    assert between and min(b.x0 - a.x1 for a, b in between) > 0.03 * fig.bbox.width


def test_slopes_do_not_turn_ties_into_swaps():
    tied = two(["U-Net", "Residual U-Net"], [0.9, 0.9], [0.5, 0.6])
    for frame, swapped in ((tied, 0), (tied.assign(as_published=[0.9, 0.8]), 1)):
        fig = slopes({"ours": frame})
        assert f"Pairs that swap: ours {swapped}." in fig.alt
        assert f"{swapped} of 1 pairs of networks (ours) swap places." in fig.caption
        level = [len(set(line.get_ydata())) == 1 for line in fig.axes[0].lines]
        assert level == [not swapped] * 2
    assert "ours, study's metric: U-Net; Residual U-Net. ours, mIoU: Residual U-Net; U-Net." in fig.alt


def test_one_network_has_no_ranking():
    one = two(["U-Net"], [0.9], [0.5])
    alone = slopes(metric.panels([])).alt
    assert slopes(metric.panels([]) | {"trained here": one}).alt == alone


def test_only_pairs_beyond_the_reading_error_are_bold():
    frame = two(["U-Net", "Residual U-Net", "Attention U-Net"], [0.9, 0.8, 0.3], [0.5, 0.502, 0.1])
    frame.attrs["tolerance"] = 0.003
    fig = slopes({"the study's": frame})
    fig.draw_without_rendering()
    assert {text.get_weight() for text in fig.axes[0].get_yticklabels()} == {"normal"}
    fig = slopes({"ours": frame.assign(miou=[0.5, 0.55, 0.1])})
    bold = {text.get_text() for text in fig.axes[0].get_yticklabels() if text.get_weight() == "bold"}
    assert bold == {"U-Net", "Residual U-Net"}


def test_two_scores_say_what_is_missing():
    fig = FIGURES["two_scores"]()
    assert [[text.get_text() for text in ax.texts] for ax in fig.axes] == [
        ["no score"] * (len(MANY) - len(STUDY)),
        [],
    ]
    assert f"a, {len(STUDY)} networks" in fig.alt and f"b, {len(MANY)} networks" in fig.alt


def test_two_scores_show_every_run():
    panel = FIGURES["two_scores"]().axes[1]
    ticks = [line.get_xdata() for line in panel.lines if line.get_marker() == "|"]
    assert [len(values) for values in ticks] == [3 * len(MANY)] * 2
    assert "single runs" in FIGURES["two_scores"]().caption and "runs" not in FIGURES["one score"]().caption


def test_charts_of_the_published_numbers_alone():
    published = metric.panels([])
    assert "FCN-8s fine-tuned 0.891 and 0.682" in two_scores(published).alt
    assert "reported by the study 2." in slopes(published).alt


def test_class_dots_put_what_the_study_finds_on_top():
    frames = class_comparison(["U-Net", "Residual U-Net"], 1)
    fig = class_dots(frames)
    order = [text.get_text() for text in fig.axes[0].get_yticklabels()]
    means = sum(frame.published for frame in frames.values())
    assert list(means[order]) == sorted(means, reverse=True)
    (dots,) = [line for line in fig.axes[0].lines if line.get_marker() == "o"]
    assert np.isnan(dots.get_xdata()).sum() == 1  # no pedestrians
    assert "classes that no test image shows" in fig.caption
    row = frames["U-Net"].loc["Car"]
    assert dots.get_xdata()[list(dots.get_ydata()).index(order.index("Car"))] == row.measured


def test_worked_example_shows_its_numbers():
    example = metric.worked_example()
    fig = worked_example(example)
    *rows, bars = fig.axes
    for row, ax in enumerate(rows):
        texts = [text.get_text() for text in ax.texts]
        sums = example.sums.loc[row]
        assert f"{sums.both_bits:.0f}/{sums.any_bits:.0f}\n= {sums.ratio:.3f}" in texts
        assert sum("\n" in text and " " not in text for text in texts) == 4 * 8  # ids and their bits
        fig.draw_without_rendering()
        assert not overlaps(text for text in ax.findobj(Text) if text.get_visible())
    shown = [text.get_text() for text in bars.texts]
    assert shown[-3:] == [f"{value:.3f}" for value in (example.miou, example.accuracy, example.as_published)]
    assert f"study's metric {example.as_published:.3f}" in fig.alt and "12 (1100)" in fig.alt
    assert fig.caption.startswith(f"The study's metric is {example.as_published:.3f} and mIoU is")


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_of_the_scores_stay_apart_for_colour_blind_readers(sight):
    seen = [lab(colour, SIGHT[sight]) for colour in (MIOU, AS_PUBLISHED)]
    assert all(np.linalg.norm(one - other) > 12 for one, other in pairwise(seen))
