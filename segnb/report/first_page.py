"""The first page of the report: findings, all claims in one figure, and reasons for caution."""

import re
from collections.abc import Sequence
from functools import partial

import numpy as np
from IPython.display import HTML

from segnb.claims.compare import elsewhere
from segnb.claims.findings import in_sections
from segnb.claims.saved import older_tests
from segnb.claims.verdicts import DECIDED, MeasuredContrast, StudyVerdicts, Verdict
from segnb.claims.wording import effect, listed
from segnb.models import registry
from segnb.report.claim_blocks import CHAPTERS, by_family, described, reference, render
from segnb.study.study import Run, by_variant, of_family

HALF = 5.0  # of the figure's width, in halves of an interval; marks beyond it are triangles
# Marks of the first reference studies, as SVG paths around the origin; a row has no room for more.
SHAPES = {
    "diamond": "M0-5l5 5-5 5-5-5z",
    "circle": "M-5 0a5 5 0 1 1 10 0a5 5 0 1 1-10 0z",
    "triangle": "M0-5l5 9h-10z",
}
STILL_RISING = 0.01  # mIoU per epoch: a point in the last epoch means that training stopped early


def abstract(verdicts: StudyVerdicts, saved: Sequence[StudyVerdicts]) -> str:
    """List the findings in Markdown, with the study that they come from and the data that contradict them.

    With one seed, they are those of the first reference study.
    """
    lead = saved[0] if saved and not verdicts.several_seeds else verdicts
    link = partial(re.sub, r"\(claim (\w)(\d+)\)", _link)
    if lead is verdicts:
        intro = "The findings of this report:"
    else:
        intro = (
            f"One seed cannot decide a claim about a network. The findings below are those of"
            f" {reference(1)} ({described(lead)}); [the figure](#fig-overview) shows this"
            " report's numbers next to them."
        )
    note = "" if lead is verdicts else older_tests(lead)
    others = [verdicts, *saved]
    return "\n".join([intro + note, "", link(in_sections(lead, others)), "", *elsewhere(lead, others)])


def _link(claim: re.Match) -> str:
    """Link "(claim U1)" to its block, in Markdown."""
    family, number = claim.groups()
    return f"([claim {family}{number}]({CHAPTERS[family]}#claim-{family}{number}))"


def overview(verdicts: StudyVerdicts, saved: Sequence[StudyVerdicts] = ()) -> HTML:
    """Show all claims in one figure: a row per claim with its interval and the first reference studies."""
    shown = dict(zip(SHAPES, saved, strict=False))
    names = [f"a {shape} is {reference(number)}" for number, shape in enumerate(shown, start=1)]

    def row(claim: Verdict) -> dict:
        others = {shape: study.by_id.get(claim.id) for shape, study in shown.items()}
        alike = {shape: _mark(other) for shape, other in others.items() if other and other.test == claim.test}
        marks = {shape: mark for shape, mark in alike.items() if mark}
        return {"claim": claim, "mark": _mark(claim), "references": marks}

    return render(
        "overview.html.j2",
        groups={name: list(map(row, claims)) for name, claims in by_family(verdicts).items()},
        half=HALF,
        one_seed=not verdicts.several_seeds,
        saved=saved,
        shapes=SHAPES,
        named_shapes=listed(names),
    )


def _mark(claim: Verdict) -> dict | None:
    """Place a claim in the figure, or return None if the claim is not measured.

    0 is where the verdict turns: the threshold of the deciding comparison, or the end of the margin. The unit
    is the half of the interval that faces this limit, so that a decided claim is at least 1 away from it.
    """
    decisive = claim.decisive_contrast
    if claim.word == "not measured":
        return None
    if decisive is not None and decisive.estimate is not None:
        lead, half, printed = claim.lead(decisive), _facing_half(claim, decisive), effect(decisive)
    elif claim.word in DECIDED:  # from the study's own numbers
        lead, half, printed = 1 - 2 * DECIDED.index(claim.word), None, ""
    else:
        return None
    if half and np.isfinite(lead):
        place = lead / half
    else:  # without an error, a verdict is certain, and anything else is open
        place = np.sign(lead) * np.inf if claim.word in DECIDED else 0.0
    return {
        "x": float(np.clip(place, -HALF, HALF)),
        "beyond": abs(place) > HALF,
        "exact": not half,
        "word": claim.word,
        "effect": printed,
    }


def _facing_half(claim: Verdict, contrast: MeasuredContrast) -> float | None:
    """Return the half of a comparison's interval that faces the limit; None without an interval."""
    if contrast.low is None:
        return None
    down = (claim.lead(contrast) > 0) == (claim.kind != "≈" or contrast.estimate < 0)
    return contrast.estimate - contrast.low if down else contrast.high - contrast.estimate


def caution(runs: list[Run], verdicts: StudyVerdicts) -> str:
    """Give reasons for caution: networks that need more epochs, and metrics without room; or ""."""
    sentences, parts = [], []
    for family, name in registry.FAMILIES.items():
        rises = [
            np.mean([run.history()["val_miou"].diff().fillna(0).iloc[-1] for run in group])
            for group in by_variant(of_family(runs, family)).values()
        ]
        rising = [rise for rise in rises if rise > STILL_RISING]
        if rising:
            parts.append(f"{len(rising)} of {len(rises)} {name} (at most {100 * max(rising):.1f} points)")
    if parts:
        sentences.append(
            f"In the last epoch, the validation mIoU of {listed(parts)} still rises by more than"
            f" {100 * STILL_RISING:.0f} point, so more epochs would change their scores."
        )
    floors = [claim.id for claim in verdicts.claims if claim.floors and claim.word not in DECIDED]
    if floors:
        sentences.append(
            f"For {listed(floors)}, the networks' scores, or the best scores that their strides allow, leave"
            " no room for a difference."
        )
    return " ".join(sentences)
