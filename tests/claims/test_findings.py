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
HERE = "on rendered street scenes"
OURS = "contrary to our null hypothesis"
ABOVE = "per network for a chance of 80% to refute the claim."
GATES = (
    f"Attention gates raise mIoU {HERE} by more than 1 point in at least one network, contrary to the study"
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


def said(*claims: Verdict, **changes) -> list[findings.Finding]:
    return findings.findings(verdicts(*claims, **changes))


def rows(text: str) -> list[list[str]]:
    """The cells of a Markdown table's body."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [line.strip("| ").split(" | ") for line in lines[2:]]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("word", [word for word in WORDS if word != UNMEASURABLE])  # mIoU always has room
@pytest.mark.parametrize("name", TRAINED)
def test_a_finding_for_every_verdict_and_sign(name, word, sign):
    one = decided(name, word, sign)
    sentences = said(one)
    if word == "not measured":
        assert sentences == [] and findings.on_claim(verdicts(one), name) == ""
        return
    (finding,) = sentences
    subject = findings.TOPICS[name]
    if word == "inconclusive":
        assert finding.conclusion.startswith(f"It is not decided whether {subject} ")
    else:
        assert finding.conclusion.startswith(f"{subject.capitalize()} ") and "not decided" not in str(finding)
    assert ("it takes about 4 seeds per network" in finding.rest) == (word == "inconclusive")
    text = findings.on_claim(verdicts(one), name)
    assert text.startswith(f"**{finding.conclusion}** (claim {name}).")
    assert "{" not in text and "None" not in text and ".." not in text and "  " not in text
    shown = "+3.1 (0.4 to 5.8)" if sign > 0 else "−3.1 (−5.8 to −0.4)"
    assert [row[:3] for row in rows(text)] == [[name, part.label, shown] for part in one.deciding]
    assert "| rendered street scenes, 3 seeds |" in text
    assert "\n\nDifferences in points of mIoU, with confidence intervals (CI) at 97.5%:\n\n| claim |" in text


@pytest.mark.parametrize(
    ("name", "word", "sign", "conclusion"),
    [
        ("U1", "supported", 1, "Skip connections raise mIoU on rendered street scenes, as the study claims"),
        (
            "U1",
            "refuted",
            -1,
            "Skip connections lower mIoU on rendered street scenes, contrary to the study",
        ),
        ("F1", "supported", 1, "Finer strides raise mIoU on rendered street scenes, as the study claims"),
        (
            "F1",
            "refuted",
            -1,
            "Finer strides do not always raise mIoU on rendered street scenes, contrary to the study",
        ),
        (
            "U7",
            "supported",
            -1,
            f"Residual blocks change mIoU {HERE} by less than 1 point, as our null hypothesis says",
        ),
        ("U7", "refuted", 1, f"Residual blocks raise mIoU on rendered street scenes, {OURS}"),
        ("U7", "refuted", -1, f"Residual blocks lower mIoU on rendered street scenes, {OURS}"),
        (
            "U9",
            "supported",
            -1,
            f"Attention gates do not raise mIoU {HERE} by more than 1 point, as the study claims",
        ),
        ("U9", "refuted", 1, GATES),
        (
            "U9",
            "inconclusive",
            1,
            "It is not decided whether attention gates raise mIoU by more than 1 point, which the study"
            " denies",
        ),
    ],
)
def test_conclusions(name, word, sign, conclusion):
    one = replace(decided(name, word, sign), origin=LEDGER[name].origin)
    assert said(one)[0].conclusion == conclusion


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({}, f"it takes about 4 seeds {ABOVE}"),
        ({"seeds_needed": 21}, f"it takes more than 20 seeds {ABOVE}"),
        ({"seeds_needed": None}, f"it takes more than 1,000 seeds {ABOVE}"),
        (
            {"seeds_needed": None, "images_suffice": False},
            "If the effect stays the same, more seeds alone cannot decide the claim. It needs more test"
            " images, too.",
        ),
        (
            {"seeds": 1, "seeds_needed": None, "power": {}},
            "its interval covers test images only. Train at least three.",
        ),
        ({"seeds_needed": None, "power": {}}, ""),
    ],
)
def test_an_undecided_finding_says_what_would_settle_it(changes, end):
    rest = said(decided("U9", "inconclusive", **changes))[0].rest
    assert rest.endswith(end) and bool(rest) == bool(end)


def test_a_conclusion_names_the_folder_of_the_images():
    folder = verdicts().data | {"origin": "the folder Dr. Smith", "name": "smith"}
    (finding,) = findings.findings(replace(verdicts(decided("U1", "supported")), data=folder))
    assert finding.conclusion == "Skip connections raise mIoU on the folder Dr. Smith, as the study claims"


def test_a_finding_gives_verdict_and_effects_on_other_data():
    one = decided("U1", "supported")
    lead = verdicts(one, decided("U7", "refuted"))

    def elsewhere(*claims, **changes):
        photographs = {"name": "camvid", "origin": "the folder camvid", "digest": "1"}
        return replace(verdicts(*claims, **changes), data=lead.data | photographs)

    other = elsewhere(replace(one, word="inconclusive"), decided("U7", "refuted", -1))
    skips, residual = findings.findings(lead, [lead, other])
    assert skips.rest == "With photographs (CamVid), the study's claim is inconclusive."
    assert residual.rest == "With photographs (CamVid), the study's claim is refuted, too."
    text = findings.in_sections(lead, [lead, other])
    here, there = "+3.1 (0.4 to 5.8)", "−3.1 (−5.8 to −0.4)"
    assert "| rendered street scenes, 3 seeds | photographs (CamVid), 3 seeds |" in text
    assert [row[2:4] for row in rows(text)] == [[here, here], [here, there]]

    single = replace(
        other, claims=(replace(one, word="inconclusive"), decided("U7", "inconclusive", seeds=1))
    )
    assert findings.in_sections(lead, [single, other]) == text  # one study of each data set
    changed = elsewhere(replace(one, contrasts=(replace(one.contrasts[0], threshold=0.02),)))
    assert findings.findings(lead, [changed])[0].rest == ""  # another test

    same = verdicts(*other.claims)
    assert "photographs" not in findings.in_sections(lead, [same])
    gone = replace(one, word="not measured", contrasts=(replace(one.contrasts[0], estimate=None),))
    assert findings.findings(lead, [elsewhere(gone)])[0].rest == ""
    assert [row[3] for row in rows(findings.in_sections(lead, [elsewhere(gone)]))] == ["–", "–"]


@pytest.mark.parametrize(("word", "judged"), [("supported", "right"), ("refuted", "wrong")])
def test_the_study_s_own_numbers_need_no_runs(word, judged):
    ((conclusion, about, text),) = said(claim("M1", word, kind="audit", origin="ours", **UNTOLD))
    assert (conclusion, about) == (f"The study's headline scores are {judged}", "M1")
    assert "reports mIoU of 0.789 to 0.974 for its 10 networks" in text and "0.855" in text
    assert text.endswith(
        "FCN-32s fine-tuned overtakes FCN-8s frozen and FCN-32s frozen overtakes U-Net, no skips (claim M2)."
    )


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("U1", ["+47.0"]),
        ("F1", ["+1.2", "+6.0", "+2.2", "+2.0"]),
        ("U7", ["−0.4"]),
        ("U9", ["–", "−1.8"]),
    ],
)
def test_the_table_gives_the_study_s_own_differences(name, own):
    text = findings.on_claim(verdicts(decided(name, "supported", 1)), name)
    assert [row[-1] for row in rows(text)] == own


def test_the_finding_on_one_claim_is_that_of_the_list():
    both = verdicts(decided("U1", "supported", 1), decided("U7", "refuted", 1), claim("U2"))
    texts = [str(finding) for finding in findings.findings(both)]
    assert [findings.on_claim(both, name).split("\n")[0] for name in ("U1", "U7")] == texts
    assert findings.in_sections(both).startswith("\n".join(f"- {text}" for text in texts) + "\n\n")
    assert findings.on_claim(both, "U2") == findings.on_claim(both, "F1") == ""


def test_the_table_names_other_numbers_of_seeds():
    text = findings.in_sections(verdicts(decided("U1", "supported"), decided("U7", "refuted", seeds=2)))
    assert "| rendered street scenes, 2 and 3 seeds |" in text
    assert "1 seed |" in findings.on_claim(verdicts(decided("U1", "inconclusive", seeds=1)), "U1")


def test_levels_of_one_network_and_counted_claims_are_named():
    level = claim("F2", "refuted", contrasts=(part("FCN-32s, frozen", minus=(), threshold=0.1),))
    limit = claim("F3", contrasts=(part("FCN-8s − FCN-16s, frozen", threshold=0.02),))
    exact = claim("F7", contrasts=(part("FCN-8s, fine-tuned − frozen", metric="parameters"),))
    open_level = replace(level, id="F4", word="inconclusive")
    assert findings.caveats(verdicts(level, limit, exact, open_level)) == [
        "Longer training may change any verdict on trained networks, above all those on the score of"
        " one network, such as a recall: 1 is refuted (F2).",
        "F7 is decided by counting parameters, operations or bytes.",
    ]
    assert findings.caveats(verdicts(limit, open_level)) == []


def test_verdicts_that_other_data_contradict_are_named_first():
    lead = verdicts(claim("F3"), claim("F4"), claim("F7", contrasts=(part(metric="parameters"),)))
    photographs = lead.data | {"name": "camvid", "origin": "the folder camvid"}
    other = replace(lead, claims=(claim("F3", "refuted"), claim("F4")), data=photographs)
    first, _ = findings.caveats(lead, [lead, other])
    assert first == "With photographs (CamVid), the verdict on F3 would be reversed."


def test_a_refuted_claim_with_missing_networks_says_so():
    whole = decided("F1", "refuted", -1)
    gone = replace(whole.contrasts[-1], estimate=None, low=None, high=None, missing="not trained")
    both = verdicts(replace(whole, contrasts=(*whole.contrasts[:-1], gone)))
    assert rows(findings.on_claim(both, "F1"))[-1][2] == "–"


@pytest.mark.parametrize("name", ["quick-streets", "quick-streets-h100", "quick-camvid"])
def test_files_of_older_versions_have_findings_and_name_the_claims_that_are_tested_otherwise(name):
    study = saved.read(CHECKOUT / "results" / f"{name}.json")
    texts = findings.findings(study)
    cells = [row[2] for row in rows(findings.in_sections(study))]
    assert len(texts) == 5 and all(re.fullmatch(r"[+−]?[\d.]+ \(.+ to .+\)", cell) for cell in cells)
    assert len(cells) == sum(len(study.by_id[name].deciding) for name in findings.TOPICS)
    page = findings.in_readme(" ".join(findings.MARKS), study, f"{name}.json")
    assert ("come from tests that segnb has replaced since" in page) == bool(saved.retested(study))
    assert (
        f"{findings.MARKS[0]}\nOf {sum(claim.origin != 'ours' for claim in study.claims)} claims of" in page
    )


def test_a_saved_study_says_the_same(verdicts):
    texts = findings.findings(verdicts)
    assert len(texts) == 5
    assert findings.findings(saved.from_dict(saved.trimmed(verdicts))) == texts
    assert findings.findings(saved.from_dict(saved.as_dict(verdicts))) == texts
