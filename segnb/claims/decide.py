"""From the ledger and the runs to verdicts."""

from dataclasses import replace

import numpy as np

from segnb.audit import scores
from segnb.claims import wording
from segnb.claims.claim import NOTICEABLE, POINT, SHARE, Claim
from segnb.claims.effects import Effects, MeasuredContrast, finite
from segnb.claims.ledger import LEDGER
from segnb.claims.verdicts import DECIDED, RULES, StudyVerdicts, Verdict
from segnb.stats import decisions
from segnb.stats.decisions import SEEDS, outlook
from segnb.study.provenance import check
from segnb.study.study import Study


def decide(study: Study, variants: str = "all", seeds: str | int = "all") -> StudyVerdicts:
    """Decide every claim of the ledger.

    Raises:
        SegnbError: for a run in the study's folder that was trained as part of another study.
    """
    effects = Effects(study, variants, seeds)
    claims = {claim.id: _measured(claim, effects) for claim in LEDGER.values()}
    for family in {claim.family for claim in claims.values()}:
        tested = [claim for claim in claims.values() if claim.family == family and claim.tested]
        questions = {claim.id: claim.question(claim.tested) for claim in tested}
        for claim, decision in zip(tested, decisions.decide(questions).values(), strict=True):
            word, *p = decision
            p = dict(zip(decision._fields[1:], map(finite, p), strict=True))
            trained = [] if claim.missing else claim.trained
            ahead = outlook(*claim.question(trained), claims=len(tested))
            claims[claim.id] = replace(claim, word=word, **p, outlook=ahead)
    runs = study.measured(variants, seeds)
    check(study, runs)
    trained_seeds = sorted({run.seed for run in runs})
    verdicts = tuple(_verdict(study, claim, trained_seeds) for claim in claims.values())
    settings = study.settings
    return StudyVerdicts(
        study=study.name,
        preset=study.preset.name,
        date=max((run.provenance["started"][:10] for run in runs), default=""),
        data={key: settings["data"][key] for key in ("name", "origin", "digest", "counts")},
        seeds=trained_seeds,
        networks=list(dict.fromkeys(run.variant for run in runs)),
        machine=f"{study.machine.device_name}, {study.machine.precision}",
        weights=settings["weights"]["source"],
        code=settings["code"],
        settings=settings["preset"],
        command=wording.command(study, trained_seeds or range(study.preset.seeds)),
        rules={
            "alpha": decisions.ALPHA,
            "margin_points": 100 * POINT,
            "margin_share": 100 * SHARE,
            "noticeable_points": 100 * NOTICEABLE,
            "sentences": list(RULES.values()),
        },
        decided=_decided(verdicts),
        claims=verdicts,
    )


def _measured(claim: Claim, effects: Effects) -> Verdict:
    """The claim with the numbers of each contrast, and p of each alone."""
    verdict = Verdict(**vars(claim))
    contrasts = []
    for contrast in map(effects.measure, claim.contrasts):
        p = decisions.evidence(*verdict.question([contrast])) if contrast.effect else (None, None)
        contrasts.append(replace(contrast, margin=claim.margin, p=finite(p[0]), p_reversed=finite(p[1])))
    return replace(verdict, contrasts=tuple(contrasts))


def _verdict(study: Study, claim: Verdict, seeds: list[int]) -> Verdict:
    """The claim with its word, and all that is said of it."""
    claim = replace(
        claim,
        word=_word(claim),
        seeds=min((contrast.seeds for contrast in claim.trained), default=0),
        seeds_needed=claim.outlook.needed,
        power={seeds: finite(chance) for seeds, chance in claim.outlook.power.items()},
    )
    decisive = _decisive(claim)
    return replace(
        claim,
        reason=wording.reason(claim, decisive, study),
        headline=wording.headline(decisive) if decisive else "",
        command=wording.what_decides(study, claim, seeds),
        decisive=claim.contrasts.index(decisive) if decisive else None,
    )


def _word(claim: Verdict) -> str:
    if claim.kind == "audit":
        return scores.verdict(claim.id).word
    if claim.broken or (claim.tested and claim.word == "refuted"):
        return "refuted"
    if claim.missing:
        return "not measured"
    return claim.word if claim.tested else "supported"  # without a test all of it is counted


def _decisive(claim: Verdict) -> MeasuredContrast | None:
    """The contrast that refutes the claim, or the least certain of those that have to hold."""
    if claim.broken:
        return claim.broken[0]
    if not claim.tested:
        return min(claim.counted, key=claim.lead, default=None)
    if claim.one_seed:  # no test: the one least far, in errors, on the claim's side
        return min(claim.trained, key=lambda contrast: claim.lead(contrast) / (contrast.image_se or np.inf))
    least, p = (min, "p_reversed") if claim.word == "refuted" else (max, "p")
    return least(
        claim.tested, key=lambda contrast: 1 if getattr(contrast, p) is None else getattr(contrast, p)
    )


def _decided(verdicts: tuple[Verdict, ...]) -> dict[str, float]:
    """How many claims so many seeds are expected to decide; those that need none stay as they are."""
    if not any(claim.power for claim in verdicts):
        return {}
    fixed = sum(claim.word in DECIDED for claim in verdicts if not claim.power)
    return {str(n): fixed + sum(claim.power.get(str(n), 0) for claim in verdicts) for n in SEEDS}
