"""First sentences of captions: they change with the data, name ties, and claim no more than the intervals."""

import numpy as np
import pandas as pd
import pytest

from segnb.audit.metric import worked_example
from segnb.claims.wording import sentence
from segnb.labels import STREET
from segnb.report.figures import audit, findings, gates, images, learning, scores
from segnb.report.figures.style import percent
from tests.report.figures.made_up import class_comparison, part

FCN8, FCN16, UNET, NO_SKIPS = "FCN-8s frozen", "FCN-16s frozen", "U-Net", "U-Net, no skips"
NAN = np.nan


def frame(values, index=None, low=NAN, high=NAN) -> pd.DataFrame:
    return pd.DataFrame({"value": values, "low": low, "high": high}, index=index)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ({}, ""),
        ({UNET: (NAN, NAN, NAN)}, ""),
        ({UNET: (0.4754, 0.45, 0.5)}, "The highest mIoU is 0.475 (U-Net)."),
        (
            {UNET: (0.5, 0.45, 0.55), NO_SKIPS: (0.488, 0.44, 0.53)},
            "The highest mIoU is 0.500 (U-Net), 1.2 points above U-Net, no skips; their intervals overlap.",
        ),
        (
            {NO_SKIPS: (0.3, 0.2, 0.4), UNET: (0.5, 0.45, 0.55)},
            "The highest mIoU is 0.500 (U-Net), 20.0 points above U-Net, no skips; their intervals do not"
            " overlap.",
        ),
        (
            {UNET: (0.5, NAN, NAN), NO_SKIPS: (0.4, NAN, NAN)},
            "The highest mIoU is 0.500 (U-Net), 10.0 points above U-Net, no skips.",
        ),
        (
            {UNET: (0.5, 0, 1), NO_SKIPS: (0.50001, 0, 1), "Residual U-Net": (0.4, 0, 1)},
            "The highest mIoU is 0.500 (U-Net, no skips and U-Net).",
        ),
        (
            {FCN8: (0.5, NAN, NAN), FCN16: (0.4, NAN, NAN), UNET: (0.9, NAN, NAN)},
            "The highest mIoU of the FCNs is 0.500 (FCN-8s frozen), 10.0 points above FCN-16s frozen."
            " The highest mIoU of the U-Nets is 0.900 (U-Net).",
        ),
    ],
)
def test_the_highest_score_of_each_family(rows, expected):
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["miou", "low", "high"], dtype=float)
    assert scores.highest(table) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"A": 0.25}, "0.25 (A)"),
        ({"A": 0.25, "B": 0.251}, "0.25 (A and B)"),
        ({"A": 0.25, "B": 0.5, "C": 0.249}, "0.25 (A and C) to 0.50 (B)"),
        (dict.fromkeys("ABC", 0.5), "0.50 (all 3 classes)"),
        (dict.fromkeys("ABCD", 0.001) | {"E": 1}, "0.00 (4 classes) to 1.00 (E)"),
    ],
)
def test_values_that_print_alike_share_a_place(values, expected):
    assert findings.extremes(pd.Series(values), thing="classes") == expected


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            {"A": (0.5, 0.0123)},
            "The highest mIoU is 0.500 (A); the least time to predict an image is 12.3 ms (A).",
        ),
        (
            {"A": (0.5, 0.02), "B": (0.4, 0.01)},
            "The highest mIoU is 0.500 (A); the least time to predict an image is 10.0 ms (B).",
        ),
        (
            {"A": (0.5, 0.02), "B": (0.5, 0.01001), "C": (0.4, 0.01004)},
            "The highest mIoU is 0.500 (A and B); the least time to predict an image is 10.0 ms (B and C).",
        ),
    ],
)
def test_the_most_accurate_and_the_fastest_network(rows, expected):
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["miou", "predict_seconds"], dtype=float)
    table["predict_samples"] = [[[seconds]] for seconds in table.predict_seconds]
    assert scores.cost(table) == expected


@pytest.mark.parametrize(
    ("rounds", "tied"),
    [([9, 10, 12], "AB"), ([11.5, 12, 13], "AB"), ([12.5, 13, 14], "A"), ([9, 9.5, 30], "AB")],
)
def test_a_time_is_the_least_only_if_no_other_round_is_as_short(rounds, tied):
    """The least time was named although it was noise: the rounds of another network overlapped with its."""
    table = pd.DataFrame({"miou": [0.5, 0.4], "predict_seconds": [10.0, np.median(rounds)]}, list("AB"))
    table["predict_samples"] = [[[8.0], [10.0], [12.0]], [[value] for value in rounds]]
    assert findings.tied_in_time(table, "predict") == list(tied)
    assert ("no network is clearly fastest" in scores.cost(table)) == (len(tied) > 1)
    mirrored = table.assign(predict_seconds=-table.predict_seconds)
    mirrored["predict_samples"] = table.predict_samples.map(
        lambda samples: [[-value] for (value,) in samples]
    )
    assert findings.tied_in_time(mirrored, "predict", least=False) == list(tied)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ({UNET: [0.2, 0.5]}, "The mIoU of U-Net is 0.20 (at 0–1 px) to 0.50 (at 1–2 px)."),
        ({UNET: [0.5, 0.5]}, "The mIoU of U-Net is 0.50 (at 0–1 px and at 1–2 px)."),
        (
            {UNET: [0.2, 0.5], NO_SKIPS: [0.1, 0.2]},
            "The mIoU of the two U-Nets differs most at 1–2 px: 0.20 (U-Net, no skips) to 0.50 (U-Net).",
        ),
        (
            {UNET: [0.5, 0.5], NO_SKIPS: [0.1, NAN]},
            "The mIoU of the two U-Nets differs most at 0–1 px: 0.10 (U-Net, no skips) to 0.50 (U-Net).",
        ),
        (
            {UNET: [0.2, 0.5], NO_SKIPS: [0.1999, 0.5]},
            "The mIoU of the two U-Nets differs by less than 0.01 everywhere.",
        ),
        (
            {FCN8: [0.3, 0.6], FCN16: [0.1, 0.6], "FCN-32s frozen": [0.1, 0.6]},
            "The mIoU of the FCNs differs most at 0–1 px: 0.10 (FCN-16s frozen and FCN-32s frozen) to 0.30"
            " (FCN-8s frozen).",
        ),
    ],
)
def test_the_position_of_the_widest_gap(lines, expected):
    curves = {label: frame(values, ["0–1", "1–2"]) for label, values in lines.items()}
    assert findings.widest_gap(curves, "mIoU", lambda px: f"at {px} px") == expected


@pytest.mark.parametrize(
    ("by_seed", "expected"),
    [
        ([[0.05], [-0.2]], "A differs most from B on Wall, by −20.0 points of IoU."),
        (
            [[0.3, 0.1, 0.5], [-0.2, 0.1, -0.5]],
            "A differs most from B on Car, by +30.0 points of IoU; all 3 seeds agree on the sign of 1 of 2"
            " differences.",
        ),
        (
            [[0.3, 0.1], [-0.2, -0.1]],
            "A differs most from B on Car, by +20.0 points of IoU; both seeds agree on the sign of 2 of 2"
            " differences.",
        ),
    ],
)
def test_the_class_of_the_largest_gain(by_seed, expected):
    """Intervals over test images, however narrow, are not counted: other seeds could give another sign."""
    gains = frame(np.mean(by_seed, axis=1), ["Car", "Wall"][: len(by_seed)], 0.01, 0.02)
    assert findings.class_gain(gains.assign(by_seed=by_seed), "A", "B") == expected


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (
            {"A": [3, 4], "B": [7, 3]},
            "No network is at the dashed line first with more seeds than another; the mean epoch is 3.5 for A"
            " and 5.0 for B.",
        ),
        (
            {"A": [3, 4, 3], "B": [7, 3, 3]},
            "No network is at the dashed line first with more seeds than another; the mean epoch is 3.3 for A"
            " and 4.3 for B.",
        ),
        (
            {"A": [3, 4, 3], "B": [7, 8, 3]},
            "A is at the dashed line first with 2 of 3 seeds; the mean epoch is 3.3 for A and 6.0 for B.",
        ),
        (
            {"A": [3], "B": [4]},
            "A is at the dashed line first with 1 of 1 seed; the mean epoch is 3.0 for A and 4.0 for B.",
        ),
    ],
)
def test_the_first_network_at_the_goal(epochs, expected):
    assert findings.first_at_goal(epochs) == expected


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ({"A": [0.001, 0.02]}, "The ratio of A is 0.001 (down1) to 0.02 (down2)."),
        (
            {"A": [0.001, 0.02], "B": [0.004, 0.02]},
            "The networks differ most in down1: 0.004 (B) is 4.0 times 0.001 (A).",
        ),
        (
            {"A": [NAN, 0.02], "B": [0.004, 0.01]},
            "The networks differ most in down2: 0.02 (A) is 2.0 times 0.01 (B).",
        ),
        # A reader divides the printed numbers: 6.42, not 0.00774 / 0.00117 = 6.62.
        (
            {"A": [0.00774, 0.02], "B": [0.00117, 0.02]},
            "The networks differ most in down1: 0.0077 (A) is 6.4 times 0.0012 (B).",
        ),
    ],
)
def test_the_layer_of_the_largest_ratio(ratios, expected):
    frames = {label: frame(values, ["down1", "down2"]) for label, values in ratios.items()}
    assert findings.strongest_layer(frames) == expected


def test_layers_are_named_in_words():
    for layer, words, short in (
        ("down4.0", "the first convolution of encoder level 4", "encoder 4 1st"),
        ("bottom.3", "the second convolution of the coarsest level", "bottom 2nd"),
        ("up1.block.3", "the second convolution of decoder level 1", "decoder 1 2nd"),
        ("up2.upconv", "the up-convolution of decoder level 2", "decoder 2 up"),
        ("score", "the output layer", "output"),
        ("down1", "down1", "down1"),
    ):
        assert (findings.layer_words(layer), findings.layer_words(layer, short=True)) == (words, short)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ({"A": [0.2, 0.5, 0.4]}, "A has its highest validation mIoU, 0.500, after epoch 2 of 3."),
        (
            {"A": [0.2, 0.5, 0.4], "B": [0.1, 0.2, 0.3]},
            "The highest validation mIoU is 0.500 (A); 1 of 2 runs is best after the last epoch.",
        ),
        (
            {"A": [0.2, 0.5, 0.4], "B": [0.1, 0.2, 0.5], "C": [0.1, 0.2, 0.3]},
            "The highest validation mIoU is 0.500 (A and B); 2 of 3 runs are best after the last epoch.",
        ),
    ],
)
def test_the_best_epochs(lines, expected):
    text = learning.best_epochs({label: [_history(line)] for label, line in lines.items()})
    assert sentence(text) == expected


def _history(mious: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"epoch": range(1, len(mious) + 1), "val_miou": mious})


def test_each_run_has_a_best_epoch_of_its_own():
    """The mean over seeds is highest in epoch 2, although no run is best there."""
    histories = {"A": [_history([0.5, 0.4, 0.1]), _history([0.1, 0.4, 0.5])], "B": [_history([0.1, 0.2])] * 2}
    assert learning.best_epochs(histories) == (
        "the highest validation mIoU, mean over seeds, is 0.500 (A); 3 of 4 runs are best after the last"
        " epoch"
    )


@pytest.mark.parametrize(
    ("inside", "outside", "expected"),
    [
        ({}, {}, ""),
        (
            {"Car": 0.25},
            {"Car": 0.75},
            "At level 1, no gate is on average more open on its class than elsewhere.",
        ),
        (
            {"Car": 0.75},
            {"Car": 0.25},
            "At level 1, the gate of Car has a mean value of 0.75 on the class and 0.25 elsewhere.",
        ),
        (
            {"Car": 0.75, "Wall": 0.5},
            {"Car": 0.5, "Wall": 0.125},
            "At level 1, the gate of Wall has a mean value of 0.50 on the class and 0.12 elsewhere, the"
            " largest difference.",
        ),
    ],
)
def test_the_class_gate_that_differs_most(inside, outside, expected):
    assert gates.class_contrast(inside, outside) == expected


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (
            {"A": [[-0.01, 0.03], [0.04, 0.06]]},
            "The loss in points of mIoU is 1.0 (A, level 1) to 5.0 (A, all levels); both seeds agree on the"
            " sign of 1 of 2 losses.",
        ),
        (
            {"A": [[0.01, -0.01, 0.03]], "B": [[-0.02, -0.03, -0.01]]},
            "The loss in points of mIoU is −2.0 (B, level 1) to 1.0 (A, level 1); all 3 seeds agree on the"
            " sign of 1 of 2 losses.",
        ),
    ],
)
def test_the_largest_loss_without_a_gate(levels, expected):
    frames = {
        name: frame(np.mean(seeds, axis=1), ["level 1", "all levels"][: len(seeds)]).assign(by_seed=seeds)
        for name, seeds in levels.items()
    }
    assert gates.gate_losses(frames) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ({"A": [0.5, 0.4, 0.2]}, "Night costs most points of mIoU: 30.0 (A)."),
        ({"A": [0.5, 0.1, 0.2]}, "Fog costs most points of mIoU: 40.0 (A)."),
        (
            {"A": [0.5, 0.4, 0.2], "B": [0.6, 0.4, 0.4]},
            "Night costs most points of mIoU: 20.0 (B) to 30.0 (A).",
        ),
        ({"A": [0.5, 0.6, 0.7]}, "On average, mIoU falls under no condition."),
    ],
)
def test_the_condition_of_the_largest_drop(lines, expected):
    curves = {label: frame(values, ["clean", "fog", "night"]) for label, values in lines.items()}
    assert gates.largest_drop(curves) == expected


# ---- images ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "shown", "expected"),
    [
        (
            [7, 7, 7, 9],
            "2 images",
            "2 images show 2 of 13 classes; the largest share of the pixels is 75.0% (Road).",
        ),
        (
            [7, 255, 255, 9],
            "this image",
            "This image shows 2 of 13 classes; the largest share of the pixels is 25.0% (Road and"
            " Vegetation).",
        ),
        (
            [7, 7],
            "1 image",
            "1 image shows 1 of 13 classes; the largest share of the pixels is 100.0% (Road).",
        ),
        ([255], "1 image", ""),
    ],
)
def test_the_largest_class(ids, shown, expected):
    assert images.largest_class(np.array([ids], np.uint8), STREET, shown) == expected


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        (
            {"train": [0.25, 0.5], "test": [0.5, 0.4]},
            "The ratio of the sources is largest for Car: 25.00% of the pixels (train) and 50.00% of the"
            " pixels (test).",
        ),
        (
            {"train": [0.25, 0.5], "test": [0.25, 0.1]},
            "The ratio of the sources is largest for Wall: 10.00% of the pixels (test) and 50.00% of the"
            " pixels (train).",
        ),
        (
            {"train": [0.05, 0.95], "val": [0, 1], "test": [0.02, 0.98]},
            "The ratio of the sources is largest for Car: 0.00% of the pixels (val) and 5.00% of the"
            " pixels (train).",
        ),
    ],
)
def test_the_class_that_the_sources_show_most_differently(shares, expected):
    assert images.least_alike(pd.DataFrame(shares, ["Car", "Wall"], dtype=float)) == expected


def test_the_shares_of_wrong_pixels():
    assert (
        images.wrong_pixels({"A": 0.25, "B": 0.5}) == "The share of wrong pixels is 25.0% (A) to 50.0% (B)."
    )
    assert images.wrong_pixels({}) == ""


# ---- audit and claims ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        ([0.75, 0.85], "The study's metric minus mIoU is +0.250 (ours)."),
        ([0.75, 0.5], "The study's metric minus mIoU is −0.100 to +0.250 (ours)."),
    ],
)
def test_the_gap_between_the_scores(reported, expected):
    panel = pd.DataFrame({"as_published": reported, "miou": [0.5, 0.6]}, ["A", "B"])
    one, several = (audit.gaps({"ours": panel.assign(seeds_miou=[[0.5] * n] * 2)}) for n in (1, 2))
    assert one == expected
    assert several == expected.replace("(ours)", "(ours, means over seeds)")


@pytest.mark.parametrize(
    ("miou", "tolerance", "swaps"),
    [([0.5, 0.55, 0.1], 0.003, 1), ([0.5, 0.502, 0.1], 0.003, 0), ([0.5, 0.502, 0.1], 0, 1)],
)
def test_the_number_of_swapped_pairs(miou, tolerance, swaps):
    panel = pd.DataFrame({"as_published": [0.9, 0.8, 0.3], "miou": miou}, ["A", "B", "C"])
    panel.attrs["tolerance"] = tolerance
    text = audit.swapped_pairs({"a": panel})
    assert text.startswith(f"{swaps} of 3 pairs of networks (a) swap places.")
    assert ("reading error" in text) == bool(tolerance)


def test_the_classes_measured_below_their_reported_iou():
    both = class_comparison([UNET, NO_SKIPS], 1)
    gaps = pd.concat(both.values()).eval("measured - published").dropna()
    text = audit.lower_classes(both)
    assert (
        f"in {(gaps < 0).sum()} of 24 pairs" in text and f"{findings.points(gaps.median())} points." in text
    )
    lower = {label: rows.assign(measured=rows.published - 0.125) for label, rows in both.items()}
    assert "in 26 of 26 pairs" in audit.lower_classes(lower) and "is −12.5 points." in audit.lower_classes(
        lower
    )


def test_the_classes_that_the_metric_of_the_study_hides():
    example = worked_example()
    missed = sum(example.ious == 0)
    assert audit.missed_classes(example) == (
        f"The study's metric is {example.as_published:.3f} and mIoU is {example.miou:.3f}; {missed} of"
        f" {len(example.ious)} classes have an IoU of 0 and {percent(example.accuracy, 0)} of the pixels are"
        " right."
    )


UP, DOWN, OPEN = part(), part(low=-0.05, high=-0.01), part(low=-0.01, high=0.01)
COUNTED = part(low=None, high=None)
LEVEL = {"label": "U-Net", "minus": (), "low": None, "high": None}
SHOWN = {"label": "U-Net", "minus": (), "decides": False}
LIMIT = {"label": "U-Net", "minus": (), "threshold": 0.05}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([UP], "The difference is +3.1 points of mIoU (0.4 to 5.8)."),
        ([part(**LEVEL)], "The value is 3.1 points of mIoU."),
        (
            [UP, UP, OPEN, DOWN],
            "Of 4 intervals, 2 are above zero, 1 is on both sides of zero and 1 is below zero.",
        ),
        ([OPEN, OPEN], "Both intervals are on both sides of zero."),
        ([UP, UP, UP], "All 3 intervals are above zero."),
        ([DOWN, DOWN], "Both intervals are below zero."),
        (
            [part(**LEVEL), part(**LEVEL, estimate=0.5)],
            "The values are 3.1 to 50.0 points of mIoU.",
        ),
        (
            [part(**LIMIT, low=0.1, high=0.2), part(**LIMIT, estimate=0.5, low=0.06, high=0.9)],
            "The values are 3.1 to 50.0 points of mIoU; both intervals are above the limit.",
        ),
        (
            [COUNTED, part(low=None, high=None, estimate=-0.1)],
            "The difference is above zero in 1 of 2 comparisons.",
        ),
        ([UP, part(**LEVEL)], "The interval is above zero."),
        # A level that is only shown has no limit: it is above zero, whatever the networks do.
        (
            [UP, DOWN, part(**SHOWN), part(**SHOWN)],
            "Of 2 deciding intervals, 1 is above zero and 1 is below zero.",
        ),
        # A difference next to deciding limits is not counted either.
        (
            [part(**LIMIT, low=0.1, high=0.2), part(decides=False)],
            "The deciding interval is above the limit.",
        ),
        # A claim of "at most" is printed as the negative.
        (
            [part(scale=-100, weight=-1), OPEN],
            "Of 2 intervals, 1 is below zero and 1 is on both sides of zero.",
        ),
    ],
)
def test_the_comparisons_of_a_claim(parts, expected):
    assert findings.comparisons(parts, ">") == expected


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([(0.001, 0.009), (-0.01, 0.01)], "Both intervals are within the band."),
        ([(0.02, 0.04), (-0.3, -0.011)], "Both intervals are outside the band."),
        ([(-0.02, 0.04), (0.001, 0.011), (0.01, 0.03)], "All 3 intervals are partly in the band."),
        (
            [(0.001, 0.009), (0.02, 0.03), (0.0, 0.02)],
            "Of 3 intervals, 1 is within the band, 1 is outside the band and 1 is partly in the band.",
        ),
    ],
)
def test_the_band_decides_a_claim_of_equivalence(ends, expected):
    parts = [part(margin=0.01, low=low, high=high) for low, high in ends]
    assert findings.comparisons(parts, "≈") == expected
    level = part(**SHOWN, margin=0.01, unit="", low=0.1, high=0.2)  # such as a standard deviation
    counted = expected.replace("comparisons", "deciding comparisons")  # the figure draws one more
    counted = counted.replace("intervals", "deciding intervals")
    assert findings.comparisons([*parts, level], "≈") == counted
