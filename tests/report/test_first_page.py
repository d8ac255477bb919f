"""The first page: the findings that lead, the figure of all claims, and reasons for caution."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from segnb.claims.saved import stored
from segnb.claims.verdicts import UNMEASURABLE
from segnb.report import first_page
from tests.claims.examples import claim, part, verdicts
from tests.conftest import CHECKOUT


def rows(html) -> dict:
    """The rows of the figure by claim."""
    found = BeautifulSoup(html.data, "html5lib").select(".overview li:not(.family)")
    return {row.b.get_text(): row for row in found}


def place(row) -> float:
    return float(row.select_one("circle")["cx"])


def test_a_row_shows_where_the_interval_lies_and_links_to_its_claim():
    half = 0.027
    comparison = part(estimate=2 * half, low=half, high=3 * half)
    row = rows(first_page.overview(verdicts(claim("F1", contrasts=(comparison,)))))["F1"]
    assert place(row) == pytest.approx(100 + 2 * 95 / first_page.HALF)
    ends = [float(row.select_one("line.interval")[name]) for name in ("x1", "x2")]
    assert ends == pytest.approx([100 + 95 / first_page.HALF, 100 + 3 * 95 / first_page.HALF])
    assert row.a["href"] == "fcn.ipynb#claim-F1" and row.svg["aria-label"].startswith(
        "supported: +5.4 points"
    )


@pytest.mark.parametrize(
    ("changes", "sign"),
    [
        ({"estimate": 0.02, "low": 0.01, "high": 0.03}, -1),  # beyond the margin of one point
        ({"estimate": -0.02, "low": -0.03, "high": -0.01}, -1),
        ({"estimate": 0.001, "low": -0.002, "high": 0.004}, 1),
        ({"estimate": -0.001, "low": -0.004, "high": 0.002}, 1),
    ],
)
def test_a_claim_of_no_difference_turns_at_the_end_of_its_margin(changes, sign):
    equal = claim("U7", kind="≈", margin=0.01, contrasts=(part(**changes),))
    assert (place(rows(first_page.overview(verdicts(equal)))["U7"]) - 100) * sign > 0


@pytest.mark.parametrize("study", stored(CHECKOUT / "results").values(), ids=lambda study: study.study)
def test_intervals_lie_as_their_verdicts_say(study):
    """Also if they are not symmetric: a share ends at 0%, and a widened interval at the limit."""
    if study.schema < 2:
        pytest.skip("decided by another rule, not by these intervals")
    ends = {
        "supported": (1, np.inf),
        "refuted": (-np.inf, -1),
        "inconclusive": (-1, 1),
        UNMEASURABLE: (-1, 1),
    }
    marks = [mark for claim in study.claims if (mark := first_page._mark(claim)) and not mark["exact"]]
    assert len(marks) > 20
    assert [mark for mark in marks if not ends[mark["word"]][0] <= mark["x"] <= ends[mark["word"]][1]] == []


@pytest.mark.parametrize(
    ("kind", "ends", "x"),
    [
        (">", (0.01, 0.02, 0.08), 2),
        (">", (-0.08, -0.02, -0.01), -2),
        (">", (-0.01, 0.0, 0.08), 0),  # exactly at the threshold
        ("≈", (-0.004, 0.004, 0.007), 2),
        ("≈", (-0.007, -0.004, 0.004), 2),
        ("≈", (0.02, 0.03, 0.08), -2),
        ("≈", (-0.08, -0.03, -0.02), -2),
    ],
)
def test_the_half_that_faces_the_limit_is_the_unit(kind, ends, x):
    numbers = dict(zip(("low", "estimate", "high"), ends, strict=True))
    open_claim = claim("U7", "inconclusive", kind=kind, margin=0.01, contrasts=(part(**numbers),))
    assert first_page._mark(open_claim)["x"] == pytest.approx(x)


def test_marks_without_interval_beyond_the_scale_and_without_any_number():
    counted = part(metric="parameters", low=None, high=None, estimate=1.2)
    far = part(estimate=1.0, low=0.99, high=1.01)
    shown = rows(
        first_page.overview(
            verdicts(
                claim("F8", contrasts=(counted,)),
                claim("U1", contrasts=(far,)),
                claim("M1", "refuted", kind="audit", contrasts=(), decisive=None),
                claim("F23", "not measured", contrasts=(), decisive=None),
                claim("F12", "not measured", contrasts=(part(), part(estimate=None, missing="no study"))),
            )
        )
    )
    assert shown["F8"].rect and not shown["F8"].select("line.interval")
    assert shown["U1"].select_one(".good > path") and not shown["U1"].circle
    assert float(shown["M1"].rect["x"]) < 100 and "bad" in shown["M1"].rect.parent["class"]
    for name in ("F23", "F12"):  # half of the evidence is no verdict, and has no mark
        assert shown[name].select_one("text").get_text() == "not measured"


def test_reference_studies_are_marks_in_the_same_row():
    other, third = (verdicts(claim("U1", word), study=word) for word in ("refuted", "supported"))
    without = verdicts(claim("F1"), study="without")
    page = first_page.overview(verdicts(), [other, without, third])
    marks = {mark["d"]: mark["class"][-1] for mark in rows(page)["U1"].select("path.reference")}
    shapes = first_page.SHAPES
    assert marks == {shapes["diamond"]: "bad", shapes["triangle"]: "good"}
    named = "a circle is reference study 2 and a triangle is reference study 3."
    assert named in " ".join(page.data.split())
    assert "a diamond is reference study 1." in first_page.overview(verdicts(), [other]).data


def test_with_one_seed_the_reference_study_leads():
    one = verdicts(*(replace(each, seeds=1, word="inconclusive") for each in (claim("U1"), claim("M1"))))
    reference = verdicts(claim("U1"), claim("M1", "refuted", kind="audit", contrasts=(), decisive=None))
    text = first_page.abstract(one, [reference])
    assert "One seed cannot decide" in text and "those of reference study 1 (preset quick" in text
    assert (
        "- **Skip connections raise mIoU on rendered street scenes, as the study claims** " in text
        and "([claim U1](unet.ipynb#claim-U1))" in text
    )
    own = first_page.abstract(reference, [reference])
    assert own.startswith("The findings of this report:") and "One seed" not in own
    assert "It is not decided whether skip connections raise mIoU" in first_page.abstract(one, [])
    assert (
        "one-seed" in first_page.overview(one).data and "one-seed" not in first_page.overview(reference).data
    )


def test_networks_that_still_improve_are_a_reason_for_caution():
    def run(variant: str, *mious: float):
        history = pd.DataFrame({"val_miou": mious})
        family = "fcn" if variant.startswith("FCN") else "unet"
        return SimpleNamespace(variant=variant, family=family, seed=0, history=lambda: history)

    runs = [
        run("FCN32s_vgg16_freeze", 0.1, 0.15),
        run("FCN8s_vgg16_freeze", 0.1, 0.105),
        run("UNet_Standard_256", 0.4),
    ]
    low = part(low=-0.01, floor="even U-Net has a recall of 1%")
    floored = claim("U19", "inconclusive", contrasts=(low,))
    assert first_page.caution(runs, verdicts(floored)) == (
        "In the last epoch, the validation mIoU of 1 of 2 FCNs (at most 5.0 points) still rises by more than"
        " 1 point, so more epochs would change their scores. For U19, the networks' scores, or the best"
        " scores that their strides allow, leave no room for a difference."
    )
    assert first_page.caution(runs[2:], verdicts(claim("U1"))) == ""


@pytest.mark.parametrize("changes", [{"metric": "boundary_iou:1"}, {"label": "U-Net"}])
def test_a_reference_study_that_decided_by_another_comparison_has_no_mark(changes):
    older = verdicts(claim("U1", contrasts=(part(**changes),)), study="older")
    row = rows(first_page.overview(verdicts(), [older]))["U1"]
    assert not row.select(".reference")


def test_the_caption_explains_every_colour_and_the_marks_of_older_studies():
    """An older study was decided by another rule, so its black marks can lie where others would be green."""
    text = {
        schema: first_page.overview(verdicts(), [replace(verdicts(study="other"), schema=schema)]).data
        for schema in (1, 2)
    }
    assert "Green is supported, red is refuted, grey is not measurable" in text[2]
    assert "black (white on a dark page) is inconclusive" in text[2]
    assert "a stricter rule" in text[1] and "a stricter rule" not in text[2]


def test_a_mark_without_interval_and_verdict_is_in_the_middle():
    open_claim = claim("U21", "inconclusive", contrasts=(part(low=None, high=None),))
    counted = claim("F8", contrasts=(part(low=None, high=None),))
    page = rows(first_page.overview(verdicts(open_claim, counted), [verdicts(counted, study="other")]))
    assert float(page["U21"].rect["x"]) == pytest.approx(95)
    assert len(page["F8"].select("rect")) == 1 and page["F8"].select("path.reference")
