"""Findings in sentences: every sign and verdict, files of both schemas, and networks that are missing."""

import re
from dataclasses import replace

import pytest

from segnb.claims import findings, saved
from segnb.claims.ledger import LEDGER
from segnb.claims.verdicts import UNMEASURABLE, WORDS, Verdict
from tests.claims.examples import UNTOLD, claim, part, verdicts
from tests.conftest import CHECKOUT

TRAINED = list(findings.TOPICS)
SUBJECTS = {name: subject for name, (subject, _) in findings.TOPICS.items()}

HERE = "on rendered street scenes"
OURS = "contrary to our null hypothesis"
ABOVE = "per network for a chance of 80% to refute the claim."
GATES = (
    f"Attention gates raise mIoU {HERE} by more than 1 point in at least one network, contrary to the study."
)


def decided(name: str, word: str, sign: int = 1, **changes) -> Verdict:
    """A claim of the ledger with made-up effects of one sign."""
    entry, low, high = LEDGER[name], *sorted((0.004 * sign, 0.058 * sign))
    parts = [
        part(one.label, plus=one.plus, minus=one.minus, estimate=0.031 * sign, low=low, high=high)
        for one in entry.contrasts
        if one.decides
    ]
    if entry.contrasts[0].at_most:  # negated, as `against` does
        turned = {"weight": -1, "scale": -100.0, "threshold": entry.contrasts[0].threshold}
        parts = [
            replace(one, estimate=-one.estimate, low=-one.high, high=-one.low, **turned) for one in parts
        ]
    facts = {"contrasts": tuple(parts), "kind": entry.kind, "margin": entry.margin}
    return claim(name, word, **facts | changes)


def audit(name: str, word: str) -> Verdict:
    return claim(name, word, kind="audit", origin="ours", **UNTOLD)


def said(*claims: Verdict, **changes) -> list[str]:
    return findings.findings(verdicts(*claims, **changes))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("name", TRAINED)
def test_a_finding_for_every_verdict_and_sign(name, word, sign):
    one = decided(name, word, sign)
    sentences = said(one)
    if word == "not measured":
        assert sentences == []
        return
    (text,) = sentences
    conclusion, rest = text.split(". ", 1)
    subject = SUBJECTS[name]
    if word in ("inconclusive", UNMEASURABLE):
        state = UNMEASURABLE if word == UNMEASURABLE else "not decided"
        assert conclusion.startswith(f"It is {state} whether {subject} ")
    else:
        assert conclusion.startswith(f"{subject.capitalize()} ") and "not decided" not in text
    first = "+3.1 points (97.5% CI 0.4 to 5.8)" if sign > 0 else "−3.1 points (97.5% CI −5.8 to −0.4)"
    again = re.sub(r"97\.5% CI ", "", first)
    assert rest.count(first) == 1 and rest.count(again) == len(one.deciding) - 1
    assert f", from 3 seeds per network (claim {name})." in rest
    assert ("it takes about 4 seeds per network" in rest) == (word == "inconclusive")
    assert text.endswith(".") and "{" not in text and "None" not in text and ".." not in text


@pytest.mark.parametrize(
    ("name", "word", "sign", "conclusion"),
    [
        ("U1", "supported", 1, "Skip connections raise mIoU on rendered street scenes, as the study claims."),
        (
            "U1",
            "refuted",
            -1,
            "Skip connections lower mIoU on rendered street scenes, contrary to the study.",
        ),
        ("F1", "supported", 1, "Finer strides raise mIoU on rendered street scenes, as the study claims."),
        (
            "F1",
            "refuted",
            -1,
            "Finer strides do not always raise mIoU on rendered street scenes, contrary to the study.",
        ),
        (
            "U7",
            "supported",
            -1,
            f"Residual blocks change mIoU {HERE} by less than 1 point, as our null hypothesis says.",
        ),
        ("U7", "refuted", 1, f"Residual blocks raise mIoU on rendered street scenes, {OURS}."),
        ("U7", "refuted", -1, f"Residual blocks lower mIoU on rendered street scenes, {OURS}."),
        (
            "U9",
            "supported",
            -1,
            f"Attention gates do not raise mIoU {HERE} by more than 1 point, as the study claims.",
        ),
        ("U9", "refuted", 1, GATES),
        (
            "U9",
            "inconclusive",
            1,
            "It is not decided whether attention gates raise mIoU by more than 1 point, which the study"
            " denies.",
        ),
    ],
)
def test_conclusions(name, word, sign, conclusion):
    one = replace(decided(name, word, sign), origin=LEDGER[name].origin)
    assert said(one)[0].startswith(f"{conclusion} ")


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({}, f"it takes about 4 seeds {ABOVE}"),
        ({"seeds_needed": 21}, f"it takes more than 20 seeds {ABOVE}"),
        ({"seeds_needed": None}, f"it takes more than 1,000 seeds {ABOVE}"),
        (
            {"seeds_needed": None, "images_suffice": False},
            "If the effect stays the same, it is too close to its limit for more seeds alone to decide the"
            " claim: that takes more test images, too.",
        ),
        (
            {"seeds": 1, "seeds_needed": None, "power": {}},
            "its interval covers test images only. Train at least three.",
        ),
        ({"seeds_needed": None, "power": {}}, "points (Attention residual U-Net − Residual U-Net)."),
    ],
)
def test_an_undecided_finding_says_what_would_settle_it(changes, end):
    assert said(decided("U9", "inconclusive", **changes))[0].endswith(end)


def test_the_name_of_a_folder_does_not_end_the_conclusion():
    folder = verdicts().data | {"origin": "the folder Dr. Smith", "name": "smith"}
    (text,) = findings.findings(replace(verdicts(decided("U1", "supported")), data=folder))
    assert findings.emphasised(text).startswith(
        "**Skip connections raise mIoU on the folder Dr.\u00a0Smith, as the study claims.** With"
    )


def test_a_finding_gives_the_effects_on_other_data():
    photographs = {"name": "camvid", "origin": "the folder camvid", "digest": "1"}
    one = decided("U1", "supported")
    lead, other = verdicts(one), verdicts(replace(one, word="inconclusive"))
    (text,) = findings.findings(lead, [lead, replace(other, data=lead.data | photographs)])
    shown = (
        " With photographs (CamVid), the effect is +3.1 points (0.4 to 5.8), and the claim is not decided."
    )
    assert text.endswith(shown)
    assert "photographs" not in findings.findings(lead, [other])[0]
    gone = replace(one, contrasts=(replace(one.contrasts[0], estimate=None),))
    assert (
        "photographs"
        not in findings.findings(lead, [replace(verdicts(gone), data=lead.data | photographs)])[0]
    )
    (text,) = findings.findings(
        verdicts(decided("F1", "supported")),
        [replace(verdicts(decided("F1", "supported")), data=lead.data | photographs)],
    )
    assert text.count("With photographs (CamVid), the effects are ") == 1 and "not decided" not in text


@pytest.mark.parametrize("first", WORDS)
@pytest.mark.parametrize("second", WORDS)
def test_the_study_s_own_numbers_need_no_runs(first, second):
    (text,) = said(audit("M1", first), audit("M2", second))
    expected = {
        "supported": "The study's headline scores are right.",
        "refuted": "The study's headline scores are wrong.",
    }
    assert text.startswith(
        expected.get(first, "It is not decided whether the study's headline scores are right.")
    )
    assert "reports mIoU of 0.789 to 0.974 for its 10 networks" in text and "0.855" in text
    overtakes = (
        "FCN-32s fine-tuned overtakes FCN-8s frozen and FCN-32s frozen overtakes U-Net, no skips (claim M2)"
    )
    assert (overtakes in text) == (second in expected)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("U1", "give +47.0 points."),
        ("F1", "give +1.2, +6.0, +2.2 and +2.0 points."),
        ("U7", "give −0.4 points."),
        ("U9", "give −1.8 points (Attention residual U-Net − Residual U-Net)."),
    ],
)
def test_a_finding_gives_the_study_s_own_differences(name, own):
    assert f"(claim {name}). The study's own class IoUs {own}" in said(decided(name, "supported", 1))[0]


def test_the_finding_on_one_claim_is_that_of_the_list():
    both = verdicts(decided("U1", "supported", 1), decided("U7", "refuted", 1), claim("U2"))
    alone = [findings.on_claim(both, name) for name in ("U1", "U7")]
    assert alone == findings.findings(both)
    assert findings.bullets(both) == [f"- {findings.emphasised(text)}" for text in alone]
    assert findings.emphasised(alone[0]).startswith(
        "**Skip connections raise mIoU on rendered street scenes, as the study claims.** With"
    )
    assert findings.on_claim(both, "U2") == findings.on_claim(both, "F1") == findings.emphasised("") == ""


def test_levels_of_one_network_and_counted_claims_are_named():
    level = claim("F2", "refuted", contrasts=(part("FCN-32s, frozen", minus=(), threshold=0.1),))
    limit = claim("F3", contrasts=(part("FCN-8s − FCN-16s, frozen", threshold=0.02),))
    exact = claim("F7", contrasts=(part("FCN-8s, fine-tuned − frozen", metric="parameters"),))
    open_level = replace(level, id="F4", word="inconclusive")
    assert findings.caveats(verdicts(level, limit, exact, open_level)) == [
        "Longer training may change verdicts on the score of one network, such as a recall: of these, 1 is"
        " refuted (F2).",
        "F7 is decided by counting parameters, operations or bytes.",
    ]
    assert findings.caveats(verdicts(limit, open_level)) == []


def test_a_refuted_claim_with_missing_networks_says_so():
    whole = decided("F1", "refuted", -1)
    gone = replace(whole.contrasts[-1], estimate=None, low=None, high=None, missing="not trained")
    (text,) = said(replace(whole, contrasts=(*whole.contrasts[:-1], gone)))
    assert "and an unknown amount, from 3 seeds" in text


@pytest.mark.parametrize("name", ["quick-streets", "quick-streets-h100", "quick-camvid"])
def test_files_of_the_older_rule_have_findings_and_name_the_rule(name):
    study = saved.read(CHECKOUT / "results" / f"{name}.json")
    texts = findings.findings(study)
    assert len(texts) == 5 and all("points (" in text for text in texts[1:])
    page = findings.in_readme(" ".join(findings.MARKS), study, f"{name}.json")
    assert ("The verdicts follow an older rule" in page) == (study.schema == 1)
    assert (
        f"{findings.MARKS[0]}\nOf {sum(claim.origin != 'ours' for claim in study.claims)} claims of" in page
    )


def test_a_saved_study_says_the_same(verdicts):
    texts = findings.findings(verdicts)
    assert len(texts) == 5
    assert findings.findings(saved.from_dict(saved.trimmed(verdicts))) == texts
    assert findings.findings(saved.from_dict(saved.as_dict(verdicts))) == texts
