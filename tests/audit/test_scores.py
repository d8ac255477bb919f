"""The audit of the study's metric: verdicts, and both scores of our own runs."""

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from scipy.stats import kendalltau

from segnb.audit import metric, scores
from segnb.evaluation.scores import class_ious
from segnb.labels import CAMVID, IGNORE_INDEX, STREET, ClassMap
from segnb.metrics import confusion
from segnb.metrics.published_score import as_published_score
from segnb.report import tables
from tests.audit.examples import MISSED, NAMES, made_run, street

TWO = ClassMap(names=("Rest", "Car"), colours=("#000000", "#ffffff"))


def test_published_numbers_swap_two_pairs():
    """These two are the reason of M2."""
    pairs = scores.swaps(scores.published_scores())
    assert set(zip(pairs.above, pairs.below, strict=True)) == {
        ("FCN8s_vgg16_freeze", "FCN32s_vgg16_finetune"),
        ("UNet_NoSkip_256", "FCN32s_vgg16_freeze"),
    }
    assert (pairs.published_gap > 0).all() and (pairs.miou_gap < 0).all()
    assert pairs.iloc[0].published_gap == pytest.approx(0.006)
    assert pairs.iloc[0].miou_gap == pytest.approx(0.541 - 0.602)


def test_swaps_within_the_reading_error_do_not_count():
    frame = pd.DataFrame({"as_published": [0.9, 0.8], "miou": [0.5, 0.502]}, index=["a", "b"])
    assert scores.swaps(frame).empty
    assert len(scores.swaps(frame, tolerance=0.001)) == 1
    assert tables.swaps(scores.swaps(frame), "the study") is None
    ours = tables.swaps(scores.swaps(frame, tolerance=0), "the runs here")  # these are not read off charts
    assert ours.caption == "In the runs here, 1 pair of networks has opposite orders by the two scores."


def test_m1_is_decided_by_the_reading_error():
    published = scores.published_scores()
    word, reason = scores.verdict("M1", published)
    assert word == "refuted" and "10 of 10" in reason and "0.119 to 0.426" in reason
    honest = published.assign(as_published=published.miou + 0.002)
    assert scores.verdict("M1", honest).word == "supported"
    honest.iloc[0, 0] += 0.01
    assert scores.verdict("M1", honest).word == "refuted" and "1 of 10" in scores.verdict("M1", honest).reason


def test_m2_is_decided_by_the_swaps():
    published = scores.published_scores()
    word, reason = scores.verdict("M2", published)
    assert word == "refuted" and "U-Net, no skips is above FCN-32s frozen" in reason
    same = scores.verdict("M2", published.assign(as_published=published.miou))
    assert same.word == "supported" and "tau-b is 1.00" in same.reason


def test_m3_is_decided_by_drives_on_both_sides():
    frames = scores.lyft_frames()
    assert len(frames) == 5000 and frames.split.value_counts()[["train", "test"]].tolist() == [2000, 500]
    assert frames.loc[["02_00_000", "F1-88", "F1-100"], "split"].tolist() == ["train", "test", "train"]
    word, reason = scores.verdict("M3")
    assert word == "refuted" and "inferred" in reason
    assert (
        "32 of 32 drives have both training and test frames, and for 468 of 500 test frames the next"
        in reason
    )
    apart = frames[(frames.split == "train") == (frames.drive < "06")]
    assert scores.new_frames(apart).word == "supported" and "0 of 32" in scores.new_frames(apart).reason


def test_every_run_has_both_scores(runs):
    table = metric.by_run(runs)
    assert list(zip(table.variant, table.seed, strict=True)) == [(run.variant, run.seed) for run in runs]
    for row, run in zip(table.itertuples(), runs, strict=True):
        test = run.test()
        assert row.miou == pytest.approx(confusion.mean_iou(test["confusion"].sum(0)))
        assert row.as_published == test["as_published"]
    failing = dict(zip(zip(table.variant, table.seed, strict=True), table.failing, strict=True))
    assert sorted(failing.pop(("UNet_NoSkip_256", 1))) == sorted(MISSED)
    assert failing["UNet_Standard_256", 0] == []


def test_classes_that_no_test_image_shows_do_not_fail():
    labels = np.ones((2, 4, 4))
    (row,) = metric.by_run([made_run(NAMES[0], 0, labels, labels)]).itertuples()
    assert row.failing == [] and row.miou == 1


def test_panels_hold_means_and_runs(runs):
    published, ours = metric.panels(runs).values()
    assert published.as_published["U-Net, no skips"] == 0.811 and published.seeds_miou.iloc[0] == []
    assert list(ours.index) == ["U-Net", "U-Net, no skips", "Attention U-Net"]
    assert published.attrs["tolerance"] > ours.attrs["tolerance"] == 0  # only the study's are read off charts
    for column in ("as_published", "miou"):
        assert all(len(values) == 2 for values in ours[f"seeds_{column}"])
        assert ours[column].tolist() == pytest.approx([np.mean(one) for one in ours[f"seeds_{column}"]])
    assert list(metric.panels([])) == ["reported by the study"]


def test_without_runs_nothing_is_said():
    assert metric.by_run([]).empty and metric.class_comparison([]) == {}
    assert metric.inflation([]) == metric.rankings_agree([]) == metric.class_agreement([]) == ""


@pytest.mark.parametrize("some", [True, False])
def test_what_the_published_way_gives_no_score_is_left_out_and_said(monkeypatch, some):
    nothing, zeros = ("UNet_NoSkip_256", 0, np.nan, 1.0), np.zeros((1, 8, 8), np.uint8)
    assert np.isnan(as_published_score(zeros, zeros, 2))
    scored(monkeypatch, [nothing, ("UNet_Standard_256", 0, 0.9, 0.7)] if some else [nothing])
    runs = ["some"]
    shown = metric.panels(runs)
    assert ("trained here" in shown) == some
    assert all(frame[["as_published", "miou"]].notna().all(axis=None) for frame in shown.values())
    text = metric.inflation(runs) + metric.rankings_agree(runs)
    assert ("0.200 above the mIoU" if some else "has no score") in text and "nan" not in text


def scored(monkeypatch, rows):
    """Let the audit see made-up scores: (variant, seed, as_published, miou)."""
    frame = pd.DataFrame(rows, columns=["variant", "seed", "as_published", "miou"])
    monkeypatch.setattr(metric, "by_run", lambda runs: frame.assign(failing=[[] for _ in rows]))


def test_agreement_of_the_rankings_is_told_by_seed(monkeypatch):
    a, b, c = "UNet_Standard_256", "ResidualUNet_256", "UNet_NoSkip_256"
    first = [(a, 0, 0.9, 0.7), (b, 0, 0.8, 0.5), (c, 0, 0.7, 0.3)]
    scored(monkeypatch, first)
    text = metric.rankings_agree([])
    assert "3 networks" in text and "is 1.00. No pair changes places" in text and "inconclusive" in text
    # In the second seed a and b swap by so much that their means do.
    scored(monkeypatch, [*first, (a, 1, 0.9, 0.2), (b, 1, 0.8, 0.6), (c, 1, 0.7, 0.1)])
    text = metric.rankings_agree([])
    assert "is 0.33 in the means over seeds and 1.00, 0.33 in the single seeds" in text
    assert "1 of 3 pairs changes places" in text and "inconclusive" not in text
    assert (
        "U-Net is above Residual U-Net by the study's metric and below it by mIoU (in 1 of 2 seeds)" in text
    )
    scored(monkeypatch, first[:1])
    assert metric.rankings_agree([]) == ""


def test_equal_scores_have_no_ranking(monkeypatch):
    a, b = "UNet_Standard_256", "ResidualUNet_256"
    scored(monkeypatch, [(a, 0, 0.5, 0.5), (b, 0, 0.5, 0.5)])
    text = metric.rankings_agree([])
    assert text == "The 2 networks trained here have equal scores, which give no ranking."
    scored(monkeypatch, [(a, 0, 0.5, 0.5), (b, 0, 0.5, 0.5), (a, 1, 0.5, 0.5), (b, 1, 0.6, 0.6)])
    assert "1.00 in the means over seeds and none, 1.00 in the single seeds" in metric.rankings_agree([])
    labels = np.array([[[7, 7], [10, 10]]])  # every class is missed
    text = metric.class_agreement([made_run(NAMES[0], 0, labels, np.zeros_like(labels))])
    assert "are equal, which gives no order of classes" in text and "nan" not in text


def test_a_gain_without_a_score_by_the_other_metric_is_not_told(monkeypatch):
    labels = np.ones((2, 4, 4), int)
    run = made_run(NAMES[0], 0, labels, np.zeros_like(labels), TWO)
    monkeypatch.setattr(metric, "_gained", lambda *of: (np.nan, 1.0, 2))
    assert metric.inflation([run]).endswith("(Car).")


def test_names_of_classes_are_no_markdown():
    own = ClassMap.of({"__void__": "#000000", "1. Road": "#ffffff"})
    labels = np.ones((2, 4, 4), int)
    run = made_run(NAMES[0], 0, labels, np.zeros_like(labels), own)
    assert r"(1\. Road)" in metric.inflation([run])
    assert r"(\_\_void\_\_, 1\. Road)" in metric.class_agreement([run])


@pytest.mark.parametrize(
    ("gaps", "words"),
    [
        ([0.1, 0.25], "0.100 to 0.250 above"),
        ([0.1], "0.100 above"),
        ([-0.2, -0.05], "0.050 to 0.200 below"),
        ([-0.01, 0.2], "between 0.010 below and 0.200 above"),
        ([-0.0001, 0.2], "0.000 to 0.200 above"),
    ],
)
def test_inflation_is_told_in_words(monkeypatch, gaps, words):
    scored(monkeypatch, [("UNet_Standard_256", k, 0.5 + gap, 0.5) for k, gap in enumerate(gaps)])
    sentence = metric.inflation([])
    which = "the only run" if len(gaps) == 1 else f"the {len(gaps)} runs"
    assert f"In {which} here, the study's metric is {words} the mIoU" in sentence
    assert "hides no failing class" in sentence


def test_inflation_tries_out_what_failing_classes_cost(runs):
    """Computed again by hand: three of thirteen classes, each worth 1/13 of mIoU."""
    text = metric.inflation(runs)
    assert "U-Net, no skips, seed" in text and "3 of its classes" in text and "on the 6 test images" in text
    (seed,) = [seed for seed in (0, 1) if f"no skips, seed {seed}" in text]
    kept = next(run for run in runs if (run.variant, run.seed) == ("UNet_NoSkip_256", seed)).predictions()
    labels, before = kept["labels"], kept["predictions"]
    after = before.copy()
    for name in MISSED:
        after[labels == STREET.id(name)] = STREET.id(name)
    ious = []
    for guess in (before, after):
        both = [
            ((labels == i) & (guess == i)).sum() / ((labels == i) | (guess == i)).sum() for i in range(13)
        ]
        ious.append(np.mean(both))
    gain = ious[1] - ious[0]
    published = [as_published_score(labels, guess) for guess in (before, after)]
    assert gain > 3 / 13
    rise = published[1] - published[0]
    rises = f"rise by {gain:.3f} and the study's metric by {rise:.3f}, {100 * rise / gain:.0f}% of that."
    assert rises in text
    assert "hides failing classes" in text


def test_a_score_that_sees_failing_classes_does_not_hide_them():
    """All cars and half of the rest are missed: with two ids, a row is wrong as often as its pixels are."""
    labels = np.tile([0, 1, 1, 1], (2, 4, 1))
    run = made_run(NAMES[0], 0, labels, np.zeros_like(labels), TWO)
    text = metric.inflation([run])
    assert "1 of its classes has an IoU below 0.1 (Car)" in text
    assert "the study's metric by 1.000" in text and "does not hide" in text


def test_void_pixels_count_in_neither_score():
    labels, predictions = street(missed=MISSED)
    void = labels.copy()
    void[:, ::2] = IGNORE_INDEX
    (text, cut) = (
        metric.inflation([made_run(NAMES[0], 0, *maps)])
        for maps in ((void, predictions), (labels[:, 1::2], predictions[:, 1::2]))
    )
    assert text == cut


def test_class_ious_stand_beside_the_published_ones(runs):
    frames = metric.class_comparison(runs)
    assert list(frames) == ["U-Net", "U-Net, no skips"]  # the study has no scores of the other
    frame = frames["U-Net"]
    assert list(frame.index) == list(STREET.names)
    assert frame.published["Car"] == 0.990 and frame.published["Pedestrian"] == 0.298
    assert frame.measured.tolist() == pytest.approx(class_ious(runs)["UNet_Standard_256"][:-1].tolist())
    assert all(np.mean(row.seeds) == pytest.approx(row.measured) for row in frame.itertuples())
    assert ((frame.low < frame.measured) & (frame.measured < frame.high)).all()


def test_other_label_sets_are_explained():
    labels = np.random.default_rng(0).integers(0, 11, (2, 8, 8))
    other = [made_run(NAMES[0], 0, labels, labels, CAMVID)]
    assert metric.class_comparison(other) == {}
    text = metric.class_agreement(other)
    assert "11 other classes" in text and "Bicyclist" in text and "13 classes" in text
    additional = [made_run("AttentionUNet_256", 0, *street())]
    assert "none of the networks" in metric.class_agreement(additional)


def test_agreement_of_the_classes_follows_the_numbers():
    labels, predictions = street()
    labels[labels == 4], predictions[predictions == 4] = 7, 7  # no pedestrians anywhere
    run = made_run("UNet_NoSkip_256", 0, labels, predictions)
    text = metric.class_agreement([run])
    frame = metric.class_comparison([run])["U-Net, no skips"].drop("Pedestrian")
    tau = kendalltau(frame.published, frame.measured).statistic
    assert f"is {tau:.2f} (1 means the same order of classes)" in text and "Pedestrian" not in text
    first = (frame.measured - frame.published).abs().idxmax()
    assert (
        f"most: {first} ({frame.measured[first]:.2f} here, {frame.published[first]:.2f} in the study)" in text
    )


def cells(styler) -> dict[str, list[str]]:
    page = BeautifulSoup(styler.to_html(), "html5lib")
    return {
        row.th.text.replace("\xa0", " "): [cell.text for cell in row.find_all("td")]
        for row in page.tbody.find_all("tr")
    }


def test_table_of_every_run(runs):
    rows = cells(tables.every_run(runs))
    assert len(rows) == 8 + 2 * 3 + 3  # networks of the study without runs, three with two seeds and a mean
    assert rows["FCN-8s frozen"] == ["0.850", "0.541", "+0.309", "1"] + ["–"] * 4
    assert rows["Attention U-Net, seed 0"][:4] == ["–"] * 4
    one = metric.by_run(runs).iloc[3]
    assert (one.variant, one.seed) == ("UNet_NoSkip_256", 1)
    assert rows["U-Net, no skips, seed 1"] == [
        "0.811",
        "0.385",
        "+0.426",
        "7",
        f"{one.as_published:.3f}",
        f"{one.miou:.3f}",
        f"{one.as_published - one.miou:+.3f}".replace("-", "−"),
        "3",
    ]
    means = metric.panels(runs)["trained here"].loc["U-Net, no skips"]
    assert rows["U-Net, no skips, mean"][4:6] == [f"{means.as_published:.3f}", f"{means.miou:.3f}"]
    assert len(cells(tables.every_run([]))) == 10


def test_table_of_swaps():
    rows = cells(tables.swaps(scores.swaps(scores.published_scores()), "the study"))
    assert rows["1"] == ["FCN-8s frozen", "FCN-32s fine-tuned", "+0.006", "−0.061"]
