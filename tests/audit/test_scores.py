"""The audit of the published metric: verdicts, our own runs, and sixteen pixels worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup
from torchmetrics.segmentation import MeanIoU

from segnb.audit import example as example_module
from segnb.audit import scores as scores_module
from segnb.audit.example import bits, worked_example
from segnb.evaluation.scores import class_ious
from segnb.labels import CAMVID, IGNORE_INDEX, STREET, ClassMap
from segnb.metrics import confusion, published_score
from segnb.report import tables

TWO = ClassMap(names=("Rest", "Car"), colours=("#000000", "#ffffff"))


def fake(variant: str, seed: int, labels, predictions, classes=STREET):
    """As much of a measured run as the audit looks at, from label maps (N, H, W)."""
    labels, predictions = np.asarray(labels, np.uint8), np.asarray(predictions, np.uint8)
    counts = confusion.confusion(torch.from_numpy(labels), torch.from_numpy(predictions), len(classes))
    void = labels == IGNORE_INDEX
    plain = np.where(void, 0, labels), np.where(void, 0, predictions)
    score = published_score.as_published_score(*plain, len(classes))
    test = {"confusion": counts.numpy(), "as_published": np.array(score)}
    test["names"] = np.array([f"test {i}" for i in range(len(labels))])
    kept = {"labels": labels, "predictions": predictions}
    study = SimpleNamespace(classes=classes)
    return SimpleNamespace(
        variant=variant, seed=seed, study=study, test=lambda: test, predictions=lambda: kept
    )


def street(seed: int = 0, right: float = 0.8, missed: tuple[str, ...] = ()):
    """Labels and predictions (6, 16, 16): a share of the pixels right, some classes always taken for Road."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 13, (6, 16, 16))
    predictions = np.where(draw.random(labels.shape) < right, labels, draw.integers(0, 13, labels.shape))
    predictions[np.isin(labels, [STREET.id(name) for name in missed])] = STREET.id("Road")
    for name in missed:
        predictions[predictions == STREET.id(name)] = STREET.id("Road")
    return labels, predictions


NAMES = ("UNet_Standard_256", "UNet_NoSkip_256", "AttentionUNet_256")
MISSED = ("Fence", "Pole", "Pedestrian")


@pytest.fixture(scope="module")
def runs():
    """Three networks, one of them an extension, with two seeds; the second misses three classes."""
    missed = {"UNet_NoSkip_256": MISSED}
    return [
        fake(name, seed, *street(seed, 0.8 - 0.1 * i, missed.get(name, ())))
        for i, name in enumerate(NAMES)
        for seed in (0, 1)
    ]


# --- rankings and verdicts ---


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1, 2, 3], [10, 20, 30], 1),
        ([1, 2, 3], [3, 2, 1], -1),
        ([1, 2, 3, 4], [1, 2, 4, 3], 4 / 6),  # five pairs agree, one does not
        ([1, 1, 2], [1, 2, 3], 2 / np.sqrt(2 * 3)),  # one tie in a
        ([1, 1, 2], [5, 5, 4], -1),  # tied together counts neither way
        ([1, 1, 2, 2], [1, 2, 1, 2], 0),
    ],
)
def test_kendall_by_hand(a, b, expected):
    assert scores_module.kendall_tau_b(a, b) == pytest.approx(expected)
    assert scores_module.kendall_tau_b(b, a) == pytest.approx(expected)


def test_kendall_without_a_ranking():
    assert np.isnan(scores_module.kendall_tau_b([1, 1, 1], [1, 2, 3]))


def test_published_numbers_swap_two_pairs():
    """The two that CLAIMS M2 names."""
    pairs = scores_module.swaps(scores_module.published_scores())
    assert set(zip(pairs.above, pairs.below, strict=True)) == {
        ("FCN8s_vgg16_freeze", "FCN32s_vgg16_finetune"),
        ("UNet_NoSkip_256", "FCN32s_vgg16_freeze"),
    }
    assert (pairs.published_gap > 0).all() and (pairs.miou_gap < 0).all()
    assert pairs.iloc[0].published_gap == pytest.approx(0.006)
    assert pairs.iloc[0].miou_gap == pytest.approx(0.541 - 0.602)


def test_swaps_within_the_reading_error_do_not_count():
    scores = pd.DataFrame({"as_published": [0.9, 0.8], "miou": [0.5, 0.502]}, index=["a", "b"])
    assert scores_module.swaps(scores).empty
    assert len(scores_module.swaps(scores, tolerance=0.001)) == 1
    assert tables.swaps(scores_module.swaps(scores)) is None


def test_m1_is_decided_by_the_reading_error():
    published = scores_module.published_scores()
    word, reason = scores_module.verdict_m1(published)
    assert word == "refuted" and "10 of 10" in reason and "0.119 to 0.426" in reason
    honest = published.assign(as_published=published.miou + 0.002)
    assert scores_module.verdict_m1(honest).word == "supported"
    honest.iloc[0, 0] += 0.01
    assert (
        scores_module.verdict_m1(honest).word == "refuted"
        and "1 of 10" in scores_module.verdict_m1(honest).reason
    )


def test_m2_is_decided_by_the_swaps():
    published = scores_module.published_scores()
    word, reason = scores_module.verdict_m2(published)
    assert word == "refuted" and "U-Net, no skips is above FCN-32s frozen" in reason
    same = scores_module.verdict_m2(published.assign(as_published=published.miou))
    assert same.word == "supported" and "tau-b is 1.00" in same.reason


# --- our own runs ---


def test_every_run_has_both_scores(runs):
    found = scores_module.by_run(runs)
    assert list(zip(found.variant, found.seed, strict=True)) == [(run.variant, run.seed) for run in runs]
    for row, run in zip(found.itertuples(), runs, strict=True):
        test = run.test()
        assert row.miou == pytest.approx(confusion.mean_iou(test["confusion"].sum(0)))
        assert row.as_published == test["as_published"]
    failing = dict(zip(zip(found.variant, found.seed, strict=True), found.failing, strict=True))
    assert sorted(failing.pop(("UNet_NoSkip_256", 1))) == sorted(MISSED)
    assert failing["UNet_Standard_256", 0] == []


def test_classes_that_no_test_image_shows_do_not_fail():
    labels = np.ones((2, 4, 4))
    (row,) = scores_module.by_run([fake(NAMES[0], 0, labels, labels)]).itertuples()
    assert row.failing == [] and row.miou == 1


def test_panels_hold_means_and_runs(runs):
    published, ours = scores_module.panels(runs).values()
    assert published.as_published["U-Net, no skips"] == 0.811 and published.seeds_miou.iloc[0] == []
    assert list(ours.index) == ["U-Net", "U-Net, no skips", "Attention U-Net"]
    for column in ("as_published", "miou"):
        assert all(len(values) == 2 for values in ours[f"seeds_{column}"])
        assert ours[column].tolist() == pytest.approx([np.mean(one) for one in ours[f"seeds_{column}"]])
    assert list(scores_module.panels([])) == ["published numbers"]


def test_without_runs_nothing_is_said():
    assert scores_module.by_run([]).empty and scores_module.class_comparison([]) == {}
    assert (
        scores_module.inflation([])
        == scores_module.rankings_agree([])
        == scores_module.class_agreement([])
        == ""
    )


def scored(monkeypatch, rows):
    """The audit of made-up scores: (variant, seed, as_published, miou)."""
    frame = pd.DataFrame(rows, columns=["variant", "seed", "as_published", "miou"])
    monkeypatch.setattr(scores_module, "by_run", lambda runs: frame.assign(failing=[[] for _ in rows]))


def test_agreement_of_the_rankings_is_told_by_seed(monkeypatch):
    a, b, c = "UNet_Standard_256", "ResidualUNet_256", "UNet_NoSkip_256"
    first = [(a, 0, 0.9, 0.7), (b, 0, 0.8, 0.5), (c, 0, 0.7, 0.3)]
    scored(monkeypatch, first)
    told = scores_module.rankings_agree([])
    assert "3 networks" in told and "is 1.00. No pair swaps" in told and "inconclusive" in told
    # In the second seed a and b swap by so much that their means do.
    scored(monkeypatch, [*first, (a, 1, 0.9, 0.2), (b, 1, 0.8, 0.6), (c, 1, 0.7, 0.1)])
    told = scores_module.rankings_agree([])
    assert "is 0.33 in the means over seeds and 1.00, 0.33 seed by seed" in told
    assert "Of 3 pairs 1 swaps" in told and "inconclusive" not in told
    assert "U-Net is above Residual U-Net as published and below it by mIoU (so in 1 of 2 seeds)" in told
    scored(monkeypatch, first[:1])
    assert scores_module.rankings_agree([]) == ""


@pytest.mark.parametrize(
    ("gaps", "told"),
    [
        ([0.1, 0.25], "0.100 to 0.250 above"),
        ([0.1], "0.100 above"),
        ([-0.2, -0.05], "0.050 to 0.200 below"),
        ([-0.01, 0.2], "between 0.010 below and 0.200 above"),
        ([-0.0001, 0.2], "0.000 to 0.200 above"),
    ],
)
def test_inflation_is_told_in_words(monkeypatch, gaps, told):
    scored(monkeypatch, [("UNet_Standard_256", k, 0.5 + gap, 0.5) for k, gap in enumerate(gaps)])
    sentence = scores_module.inflation([])
    assert f"is {told} the dataset mIoU" in sentence and "none to hide" in sentence


def test_inflation_tries_out_what_failing_classes_cost(runs):
    """Worked out anew: three classes of thirteen, one of them found, and 1/13 each of mIoU."""
    told = scores_module.inflation(runs)
    assert "U-Net, no skips, seed" in told and "3 of its classes" in told and "on the 6 test images" in told
    (seed,) = [seed for seed in (0, 1) if f"no skips, seed {seed}" in told]
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
    scores = [published_score.as_published_score(labels, guess) for guess in (before, after)]
    assert gain > 3 / 13
    assert f"rise by {gain:.3f} and the published score by {scores[1] - scores[0]:.3f}" in told
    assert "hides failing classes" in told


def test_a_score_that_sees_failing_classes_does_not_hide_them():
    """All cars and half of the rest are missed: with two ids, a row is wrong as often as its pixels are."""
    labels = np.tile([0, 1, 1, 1], (2, 4, 1))
    run = fake(NAMES[0], 0, labels, np.zeros_like(labels), TWO)
    told = scores_module.inflation([run])
    assert "1 of its classes have an IoU below 0.1 (Car)" in told
    assert "the published score by 1.000" in told and "does not hide" in told


def test_void_pixels_count_in_neither_score():
    labels, predictions = street(missed=MISSED)
    void = labels.copy()
    void[:, ::2] = IGNORE_INDEX
    (told, cut) = (
        scores_module.inflation([fake(NAMES[0], 0, *maps)])
        for maps in ((void, predictions), (labels[:, 1::2], predictions[:, 1::2]))
    )
    assert told == cut


# --- class IoUs ---


def test_class_ious_stand_beside_the_published_ones(runs):
    frames = scores_module.class_comparison(runs)
    assert list(frames) == ["U-Net", "U-Net, no skips"]  # the study has no scores of the other
    frame = frames["U-Net"]
    assert list(frame.index) == list(STREET.names)
    assert frame.published["Car"] == 0.990 and frame.published["Pedestrian"] == 0.298
    assert frame.measured.tolist() == pytest.approx(class_ious(runs)["UNet_Standard_256"][:-1].tolist())
    assert all(np.mean(row.seeds) == pytest.approx(row.measured) for row in frame.itertuples())
    assert ((frame.low < frame.measured) & (frame.measured < frame.high)).all()


def test_other_label_sets_are_explained():
    labels = np.random.default_rng(0).integers(0, 11, (2, 8, 8))
    other = [fake(NAMES[0], 0, labels, labels, CAMVID)]
    assert scores_module.class_comparison(other) == {}
    told = scores_module.class_agreement(other)
    assert "11 others" in told and "Bicyclist" in told and "13 classes" in told
    extension = [fake("AttentionUNet_256", 0, *street())]
    assert "none of the networks" in scores_module.class_agreement(extension)


def test_agreement_of_the_classes_follows_the_numbers():
    labels, predictions = street()
    labels[labels == 4], predictions[predictions == 4] = 7, 7  # no pedestrians anywhere
    run = fake("UNet_NoSkip_256", 0, labels, predictions)
    told = scores_module.class_agreement([run])
    frame = scores_module.class_comparison([run])["U-Net, no skips"].drop("Pedestrian")
    tau = scores_module.kendall_tau_b(frame.published, frame.measured)
    assert f"is {tau:.2f} (1 is the same order)" in told and "Pedestrian" not in told
    first = (frame.measured - frame.published).abs().idxmax()
    assert f"apart: {first} ({frame.measured[first]:.2f} here, {frame.published[first]:.2f} pub" in told


# --- tables ---


def cells(styler) -> dict[str, list[str]]:
    page = BeautifulSoup(styler.to_html(), "html5lib")
    return {row.th.text: [cell.text for cell in row.find_all("td")] for row in page.tbody.find_all("tr")}


def test_table_of_every_run(runs):
    rows = cells(tables.every_run(runs))
    assert len(rows) == 8 + 2 * 3 + 3  # networks of the study without runs, three with two seeds and a mean
    assert rows["FCN-8s frozen"] == ["0.850", "0.541", "+0.309", "1"] + ["–"] * 4
    assert rows["Attention U-Net, seed 0"][:4] == ["–"] * 4
    one = scores_module.by_run(runs).iloc[3]
    assert (one.variant, one.seed) == ("UNet_NoSkip_256", 1)
    assert rows["U-Net, no skips, seed 1"] == [
        "0.811",
        "0.385",
        "+0.426",
        "7",
        f"{one.as_published:.3f}",
        f"{one.miou:.3f}",
        f"{one.as_published - one.miou:+.3f}",
        "3",
    ]
    means = scores_module.panels(runs)["trained here"].loc["U-Net, no skips"]
    assert rows["U-Net, no skips, mean"][4:6] == [f"{means.as_published:.3f}", f"{means.miou:.3f}"]
    assert len(cells(tables.every_run([]))) == 10


def test_table_of_swaps():
    rows = cells(tables.swaps(scores_module.swaps(scores_module.published_scores())))
    assert rows["1"] == ["FCN-8s frozen", "FCN-32s fine-tuned", "+0.006", "-0.061"]


# --- the worked example ---


@pytest.fixture(scope="module")
def example():
    return worked_example()


def test_example_is_scored_by_what_scores_the_runs(example):
    metric = MeanIoU(num_classes=13)
    metric.update(torch.tensor(example.guess[None]).long(), torch.tensor(example.truth[None]).long())
    assert example.as_published == metric.compute().item()
    assert example.as_published == published_score.as_published_score(
        example.truth[None], example.guess[None]
    )
    assert example.as_published == pytest.approx(example.sums.ratio.mean())


def test_example_by_hand(example):
    """Upper row: 9 + 9 + 8 + 1 + 1 + 1 of 9 + 9 + 13 + 5 + 1 + 1; lower: 7·4 + 6 + 4 + 10·2 of 7·6 + 10·2."""
    assert example.sums.both_bits.tolist() == [29, 58] and example.sums.any_bits.tolist() == [38, 62]
    assert example.as_published == pytest.approx((29 / 38 + 58 / 62) / 2)
    assert example.accuracy == 12 / 16
    assert example.ious.to_dict() == pytest.approx(
        {"Unlabeled": 1, "Building": 2 / 3, "Vegetation": 2 / 3, "Road": 4 / 6, "Car": 1}
        | dict.fromkeys(("Traffic sign", "Pole", "Roadline", "Pedestrian"), 0)
    )
    assert example.miou == pytest.approx(4 / 9)
    assert example.as_published > example.accuracy > example.miou  # or it would show nothing


def test_example_pixels_are_the_bits_of_the_ids(example):
    sign = example.pixels.iloc[4]
    assert (sign.row, sign.truth, sign.guess) == (0, 12, 9)
    assert [bits(number) for number in sign[["truth", "guess", "both_bits", "any_bits"]]] == [
        "1100",
        "1001",
        "1000",
        "1101",
    ]
    assert len(example) == len(example.pixels) == 16


def test_example_sentence_tells_its_numbers(example):
    told = example_module.sentence(example)
    assert "12 of 16 pixels are right (75 %)" in told and "4 of 9 classes" in told
    assert "Roadline (6 = 0110) taken for Road (7 = 0111) is 6/7 right" in told
    assert f"{example.as_published:.3f}" in told and "0.444" in told
