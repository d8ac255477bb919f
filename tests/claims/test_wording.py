"""Numbers and reasons as text, and commands."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from segnb.claims import wording
from segnb.claims.commands import make_report
from segnb.claims.decide import decide
from segnb.claims.related_studies import FALSE_COLOURS
from segnb.models.registry import VARIANTS
from segnb.study.study import Study
from tests.claims.examples import CLAIMS, by_id, claim, part
from tests.conftest import make_project
from tests.synthetic_study import make_study

UNET, NO_SKIP = "UNet_Standard_256", "UNet_NoSkip_256"
pytestmark = pytest.mark.usefixtures("few_draws", "without_outlook")


@pytest.mark.parametrize(
    ("value", "changes", "expected"),
    [
        (0.0314, {}, "+3.1"),
        (-0.0314, {}, "−3.1"),
        (-0.0001, {}, "0.0"),
        (12.3456, {}, "+1,234.6"),
        (0.735, {"unit": "px", "scale": 1}, "+0.73"),
        (0.0314, {"unit": "", "scale": 1}, "+0.031"),
        (0.735, {"label": "U-Net", "minus": (), "unit": "%"}, "73.5"),
        (-0.735, {"label": "U-Net", "minus": (), "unit": "%"}, "−73.5"),
        (0.0314, {"minus": ()}, "+3.1"),  # as in results/, which have no networks
    ],
)
def test_differences_have_a_sign_and_all_numbers_the_digits_of_their_unit(value, changes, expected):
    assert wording.signed(value, part(**changes)) == expected


def test_effect_is_estimate_unit_and_interval():
    assert wording.effect(part()) == "+3.1 points of mIoU (0.4 to 5.8)"
    counted = part(low=None, high=None, unit="%", estimate=0.25)
    assert wording.effect(counted) == "+25.0%"
    assert wording.effect(part(), named=True, level=True) == "+3.1 points (97.5% CI 0.4 to 5.8)"


@pytest.mark.parametrize(
    ("p", "text"),
    [(None, "–"), (0.0004, "< 0.001"), (0.00123, "0.0012"), (0.04567, "0.046"), (0.1, "0.10"), (1.0, "1.0")],
)
def test_p_has_two_significant_digits(p, text):
    assert wording.p_cell(p) == text


def test_seeds_needed_are_told_only_of_open_claims():
    assert [wording.needed(claim) for claim in CLAIMS] == ["–", "–", "–", "> 1,000", "–"]
    assert wording.needed(replace(CLAIMS[2], word="inconclusive")) == "4"
    assert wording.needed(replace(CLAIMS[3], images_suffice=False)) == "more images"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "0.4 to 5.8"),
        ({"low": -0.014, "high": -0.0001318}, "−1.40 to −0.01"),
        ({"low": -0.0003, "high": 0.02}, "−0.03 to 2.00"),
        ({"low": 0.0, "high": 0.02}, "0.0 to 2.0"),  # at the limit
        ({"low": 0.0502, "high": 0.06, "threshold": 0.05}, "5.02 to 6.00"),
        ({"low": -0.0001, "high": 0.06, "threshold": 0.05}, "0.0 to 6.0"),  # zero is not the limit
        ({"low": -0.01004, "high": 0.00998, "margin": 0.01}, "−1.004 to 0.998"),
        ({"low": 0.05 + 1e-9, "high": 0.06, "threshold": 0.05}, "5.0000 to 6.0000"),  # as far as it goes
    ],
)
def test_an_interval_prints_on_the_side_of_the_limit_on_which_it_lies(changes, expected):
    assert wording.interval(part(**changes)) == expected


def test_the_reason_tells_the_numbers_as_printed(claims):
    claim = claims["U1"]
    part = claim["parts"][claim["decisive"]]
    low, high = (100 * part[end] for end in ("low", "high"))
    assert claim["reason"] == (
        f"U-Net − U-Net, no skips, mIoU: {100 * part['estimate']:+.1f} points"
        f" ({wording.percent(part['level'])} CI {low:.1f} to {high:.1f}). The interval lies above zero."
    )
    assert "after epoch 2 of 10" in claims["F11"]["reason"]
    for name in ("U10", "U14"):
        assert "It is unclear whether the value lies above zero." in claims[name]["reason"]


def test_what_a_claim_can_tell_is_the_widest_deciding_interval_of_each_unit():
    parts = (
        part(low=0.0, high=0.02),
        part(low=-0.01, high=0.03),
        part(low=-1, high=9, decides=False),
        part(low=-1.0, high=2.0, unit="px", scale=1),
    )
    assert wording.half_widths(claim(contrasts=parts)) == "±2.0 points and ±1.50 px"
    assert wording.half_widths(claim(contrasts=(part(low=None, high=None),))) == "–"


def test_a_supported_claim_with_different_limits_names_them_all(study):
    level = part("U-Net, no skips", minus=(), weight=-1, threshold=-0.5, scale=-100, unit="%")
    both = claim("U17", contrasts=(part(), level), decisive=0)
    text = wording.reason(both, study)
    assert text.startswith("Both intervals lie on the side of the claim, above zero or below 50%. ")


def test_a_level_that_refutes_a_claim_may_change_with_more_training(study):
    level = part("FCN-32s", minus=(), threshold=0.5, unit="%")
    changes = (
        "More training may change this value: here 10 epochs on 240 images, in the study up to 15 on 1,600."
    )
    assert wording.reason(claim("F14", "refuted", contrasts=(level,)), study).endswith(changes)
    assert wording.reason(claim("F14", contrasts=(level,)), study).endswith(changes)  # for both verdicts
    for other in (
        claim("F14", "inconclusive", contrasts=(level,)),
        claim("F14", "refuted", contrasts=(part(),)),
    ):
        assert "More training" not in wording.reason(other, study)
    paper = SimpleNamespace(
        settings={"data": {"counts": {"train": 3000}}}, recipe=lambda family: SimpleNamespace(epochs=15)
    )
    assert "More training" not in wording.reason(claim("F14", contrasts=(level,)), paper)


@pytest.mark.parametrize("half_width, expected", [(0.017, True), (0.008, False)])
def test_a_margin_that_intervals_cannot_fit_in_is_told(study, half_width, expected):
    wide = part(estimate=0.009, low=0.009 - half_width, high=0.009 + half_width)
    one = claim("U9", "inconclusive", kind="≈", margin=0.01, contrasts=(wide,))
    assert (
        "Even an effect of zero could not support it: its widest interval is ±1.7 points."
        in wording.reason(one, study)
    ) == expected


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((0.36, 0.8), "By these times, the claim would not hold."),
        ((0.05, 0.8), "By these times, the claim would not hold in 1 of 2 comparisons."),
        ((0.05, 0.08), ""),
    ],
)
def test_times_beyond_the_limit_of_a_counted_claim_are_told(study, times, expected):
    counted = part(metric="gflops", estimate=0.07, low=None, high=None, unit="%")
    shown = [replace(counted, metric="train_seconds", estimate=time, decides=False) for time in times]
    one = claim("U8", kind="≈", margin=0.1, contrasts=(counted, *shown))
    text = wording.reason(one, study)
    assert "which do not decide" in text and text.endswith("gflops: +8.0%.") == (not expected)
    assert expected in text and ("would not hold" in text) == bool(expected)


def test_what_would_decide_a_smoke_study_is_a_preset_whose_scores_mean_something(tmp_path):
    effects = {UNET: 0.70, NO_SKIP: 0.55}
    place = make_project(tmp_path / "project")
    few = make_study(place, 1, effects, variants=list(effects), images=8, preset="smoke")
    verdicts = decide(few)
    claims = by_id(verdicts)
    assert claims["U1"]["command"] == "make report PRESET=quick SEEDS=0,1,2"
    assert claims["F1"]["command"].startswith("make report PRESET=quick ")
    assert verdicts.command == "make report PRESET=smoke SEEDS=0"  # computes this study again


def test_the_command_that_repeats_a_study_has_all_that_it_was_asked_for(study):
    asked = {"epochs": 2, "learning_rate": 0.002, "weights": "/some/where", "precision": None}
    other = Study(study.path)
    other.settings["request"].update(asked)  # as read, not in the file
    assert make_report(other, [0]) == "make report PRESET=quick SEEDS=0 EPOCHS=2 LEARNING_RATE=0.002"
    # "auto" may find other weights on another machine, so those that it found are named.
    assert make_report(study, [0]) == "make report PRESET=quick SEEDS=0 WEIGHTS=hed"
    other.settings["request"].update(dict.fromkeys(asked), weights="auto")
    assert make_report(other, [0]).endswith(" WEIGHTS=hed")
    other.settings["weights"]["source"] = "random"
    assert make_report(other, [0]).endswith(" WEIGHTS=random")
    other.settings["weights"]["source"] = "hed"
    other.settings["request"].update(dict.fromkeys(asked), backbone_learning_rate=5e-05)
    expected = "make report PRESET=quick SEEDS=0 BACKBONE_LEARNING_RATE=5e-05 WEIGHTS=hed"
    assert make_report(other, [0]) == expected
    other.settings["request"].update(data="/a/folder/streets", backbone_learning_rate=None)
    assert make_report(other, [0]) == "make report PRESET=quick DATA=path/to/streets SEEDS=0 WEIGHTS=hed"


def test_more_seeds_of_a_claim_on_other_data_are_seeds_of_those_data_too(tmp_path):
    folder = make_project(tmp_path / "project")
    names = [name for name in VARIANTS if name.startswith("FCN")]
    options = {"seeds": 1, "variants": names, "images": 8}
    study = make_study(folder, **options)
    make_study(folder, data=FALSE_COLOURS, **options)
    make_study(folder, data="camvid", label_set="camvid", **options)
    claim = by_id(decide(study))["F12"]
    assert claim["verdict"] == "inconclusive"
    first, second, own = claim["command"].split(" && ")
    of = f"SEEDS=0,1,2 VARIANTS={','.join(names)} WEIGHTS=hed"
    assert first == f"make report PRESET=quick DATA={FALSE_COLOURS} {of}"
    assert second == f"make report PRESET=quick DATA=path/to/camvid {of}"
    assert own == "make report PRESET=quick SEEDS=0,1,2 WEIGHTS=hed"


@pytest.mark.parametrize(
    ("value", "text"), [(-0.0004, "0.000"), (0.0, "0.000"), (-0.061, "−0.061"), (1234.5, "+1,234.500")]
)
def test_a_zero_has_no_sign(value, text):
    assert wording.printed(value, 3, sign=True) == text
