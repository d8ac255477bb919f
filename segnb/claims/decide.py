"""From the ledger and the runs to verdicts."""

import hashlib
from dataclasses import replace

import numpy as np

from segnb.audit import scores
from segnb.claims import wording
from segnb.claims.claim import Claim
from segnb.claims.commands import make_report, what_decides
from segnb.claims.effects import Effects, finite
from segnb.claims.ledger import LEDGER
from segnb.claims.verdicts import (
    DECIDED,
    RULES,
    UNMEASURABLE,
    MeasuredContrast,
    StudyVerdicts,
    Verdict,
)
from segnb.models.registry import VARIANTS
from segnb.stats import decisions
from segnb.stats.bootstrap import scope_of
from segnb.stats.decisions import SEEDS, Outlook, outlook
from segnb.study.provenance import check, check_evaluations
from segnb.study.study import Run, Study, by_variant


def decide(study: Study, variants: str = "all", seeds: str | int = "all") -> StudyVerdicts:
    """Decide every claim of the ledger.

    Raises:
        SegnbError: if the study's folder contains a run that was trained as part of another study.
    """
    runs = study.measured(variants, seeds)
    check(study, runs)
    check_evaluations(study, runs)
    effects = Effects(study, variants, seeds)
    effects.prepare(contrast for claim in LEDGER.values() for contrast in claim.contrasts)
    claims = {claim.id: _measured(claim, effects) for claim in LEDGER.values()}
    for family in {claim.corrected_with for claim in claims.values()}:
        claims |= _decided_together([claim for claim in claims.values() if claim.corrected_with == family])
    trained_seeds = sorted({run.seed for run in runs})
    verdicts = tuple(_verdict(study, claim, trained_seeds) for claim in claims.values())
    settings = study.settings
    scope = scope_of(runs[0].test()["names"]) if runs else ""
    return StudyVerdicts(
        study=study.name,
        preset=study.preset.name,
        date=max((run.provenance["started"][:10] for run in runs), default=""),
        data={key: settings["data"][key] for key in ("name", "origin", "digest", "counts")}
        | ({"truth": _truth(runs)} if study.is_rendered else {}),
        seeds=trained_seeds,
        networks=list(dict.fromkeys(run.variant for run in runs)),
        machine=f"{study.machine.device_name}, {study.machine.precision}",
        weights=settings["weights"]["source"],
        code=settings["code"],
        settings=settings["preset"],
        command=make_report(study, trained_seeds or range(study.preset.seeds)),
        rules={"sentences": [*RULES.values(), *filter(None, [scope])]},
        scores=_scores(effects, runs),
        decided=_expected(verdicts),
        claims=verdicts,
    )


def _truth(runs: list[Run]) -> dict[str, str]:
    """Return a digest of the pixels of each class in each test image, by size of the images in pixels."""
    of_size = {str(run.recipe.size): run for run in runs}
    truth = {size: run.test()["confusion"].sum(2, np.int64) for size, run in of_size.items()}
    return {size: hashlib.sha256(counts.tobytes()).hexdigest()[:16] for size, counts in truth.items()}


def _scores(effects: Effects, runs: list[Run]) -> dict[str, dict]:
    """Return the scores and the cost of each network, as `StudyVerdicts.scores` describes."""
    study = effects.study
    costs = study.cost().to_dict("index")
    images = study.settings["data"]["counts"]["train"]
    rows = {}
    for name, group in by_variant(runs).items():
        rows[name] = {"miou": [effects.score("miou", name, run.seed, drawn=False).value for run in group]}
        if cost := costs.get(name):
            epochs = study.recipe(VARIANTS[name].family).epochs
            rows[name]["minutes"] = cost["train_seconds"] * images * epochs / 60
            rows[name]["memory_mib"] = cost["memory_mib"]
    return rows


def _measured(claim: Claim, effects: Effects) -> Verdict:
    """Return the claim with the numbers of each comparison, and the p of each alone."""
    verdict = Verdict(**vars(claim))
    contrasts = []
    for contrast in map(effects.measure, claim.contrasts):
        alone = decisions.evidence(*verdict.question([contrast])) if contrast.effect else (None, None)
        p_for, p_against = map(finite, alone)
        contrasts.append(replace(contrast, margin=claim.margin, p_for=p_for, p_against=p_against))
    return replace(verdict, contrasts=tuple(contrasts))


def _decided_together(claims: list[Verdict]) -> dict[str, Verdict]:
    """Return the claims of a family by id, each with its verdict, and all with intervals of one level."""
    results = decisions.decide({claim.id: claim.question(claim.trained) for claim in claims if claim.tested})
    level = next((decision.level for decision in results.values()), 1 - decisions.ALPHA)
    decided = {}
    for claim in claims:
        facts = {"contrasts": tuple(_with_interval(contrast, claim, level) for contrast in claim.contrasts)}
        if claim.tested:
            word, p_for, p_against, _ = results[claim.id]
            ahead = Outlook() if claim.missing else outlook(*claim.question(claim.tested), level=level)
            facts |= {"word": word, "p_for": finite(p_for), "p_against": finite(p_against), **ahead._asdict()}
        decided[claim.id] = replace(claim, **facts)
    return decided


def _with_interval(contrast: MeasuredContrast, claim: Verdict, level: float) -> MeasuredContrast:
    """Return the comparison with the interval that decides; none if all seeds agree, which is untestable."""
    effect = contrast.effect
    if effect is None or (effect.seeds > 1 and not effect.testable):
        return contrast
    kind, _, (margin,) = claim.question([contrast])
    ends = decisions.interval(effect, level, kind if contrast.decides else "", margin, len(claim.trained))
    if contrast.unit == "%" and not contrast.minus:  # a share
        ends = np.clip(ends, *((-1.0, 0.0) if contrast.at_most else (0.0, 1.0)))
    low, high = map(finite, ends)
    return replace(contrast, low=low, high=high, level=level)


def _verdict(study: Study, claim: Verdict, seeds: list[int]) -> Verdict:
    """Return the claim with its verdict, reason, headline and command."""
    seeds_of_all = min((contrast.seeds for contrast in claim.tested), default=0)
    claim = replace(claim, word=_word(claim), seeds=seeds_of_all)
    if claim.word == UNMEASURABLE:
        claim = replace(claim, **Outlook()._asdict())
    if decisive := _decisive(claim):
        claim = replace(claim, decisive=claim.contrasts.index(decisive), headline=wording.headline(decisive))
    command = what_decides(study, claim, seeds)
    return replace(claim, reason=wording.reason(claim, study), command=command)


def _word(claim: Verdict) -> str:
    if claim.kind == "audit":
        return scores.verdict(claim.id).word
    if claim.broken or (claim.tested and claim.word == "refuted"):
        return "refuted"
    if claim.missing or claim.kind == "none":
        return "not measured"
    if claim.floors and claim.word == "inconclusive":
        return UNMEASURABLE
    return claim.word if claim.tested else "supported"  # without a test, everything is counted


def _decisive(claim: Verdict) -> MeasuredContrast | None:
    """Return the comparison that refutes the claim, or else the least certain one."""
    if claim.broken:
        return claim.broken[0]
    if not claim.tested:
        return min(claim.counted, key=claim.lead, default=None)

    def known(p: float | None) -> float:
        return np.inf if p is None else p

    if claim.word == "refuted":
        return min(claim.tested, key=lambda contrast: known(contrast.p_against))
    if claim.few_seeds:  # no test: the smallest lead in standard errors
        return min(claim.tested, key=lambda contrast: claim.lead(contrast) / (contrast.image_se or np.inf))
    return max(claim.tested, key=lambda contrast: known(contrast.p_for))


def _expected(verdicts: tuple[Verdict, ...]) -> dict[str, float]:
    """Return the expected number of decided claims by number of seeds."""
    if not any(claim.power for claim in verdicts):
        return {}
    fixed = sum(claim.word in DECIDED for claim in verdicts if not claim.power)
    return {str(n): fixed + sum(claim.power.get(str(n), 0) for claim in verdicts) for n in SEEDS}
