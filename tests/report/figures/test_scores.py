"""Figures of scores and costs."""

import numpy as np

from segnb.audit.scores import study_scores
from segnb.labels import STREET
from segnb.report.figures.images import predictions
from segnb.report.figures.scores import class_scores, cost_quality, score_bars
from tests.report.figures.made_up import (
    LONG,
    MANY,
    ONE_WORD,
    UNET,
    ious,
    kept,
    named,
    scores,
    without_interval,
)

FIGURES = {
    "score_bars": lambda: score_bars(scores(MANY, 3), study_scores()),
    "one bar": lambda: score_bars(without_interval(scores(["U-Net"], 1)), study_scores()),
    "class_scores": lambda: class_scores(ious(UNET)),
    "class_scores of many": lambda: class_scores(ious(MANY)),
    "one column": lambda: class_scores(ious(["U-Net"])),
    "cost_quality": lambda: cost_quality(scores(MANY, 1)),
    "one point": lambda: cost_quality(without_interval(scores(["U-Net"], 1))),
    "one network of several seeds": lambda: score_bars(scores(["U-Net"], 3), study_scores()),
    "no interval": lambda: score_bars(without_interval(scores(MANY, 1)), study_scores()),
    "no interval of cost": lambda: cost_quality(without_interval(scores(MANY, 3))),
    "scores of long names": lambda: class_scores(named(ious(MANY), LONG)),
    "scores of long words": lambda: class_scores(named(ious(UNET), ONE_WORD)),
}


def test_alt_text_tells_the_numbers():
    assert (
        "FCN-8s frozen 0.300 (0.250 to 0.350)" in score_bars(scores(["FCN-8s frozen"], 1), study_scores()).alt
    )
    fig = class_scores(ious(["U-Net"]))
    assert "Not in the test images: Pedestrian." in fig.alt
    wrong = (kept["labels"][0] != kept["predictions"][0]).mean()
    assert f"{100 * wrong:.1f}% in test 0" in predictions(kept, "U-Net", STREET, "all images").alt


def test_bars_mark_the_values_of_the_study():
    study, names = study_scores(), ["FCN-8s frozen", "FCN-8s fine-tuned", "Attention U-Net"]
    fig = score_bars(scores(names, 3), study)
    for ax, column in zip(fig.axes, ("miou", "loss"), strict=True):
        (marks,) = [line for line in ax.lines if line.get_marker() == "D"]
        assert list(marks.get_xdata()[:2]) == list(study[column][names[:2]]) or column == "loss"
        assert ax.get_xlim()[1] >= np.nan_to_num(marks.get_xdata()).max()
    assert "where a bar has none, the study published no value" in fig.caption
    assert "Diamonds" not in score_bars(scores(names[2:], 3), study).caption
