"""From the ledger and the runs to verdicts: what claims.json says.

Supported, refuted, inconclusive or not measured; every word is computed, by the rules below and the tests of
`segnb.statistics`.
"""

import numpy as np

from segnb import statistics
from segnb.cases import POWER_AT, Case, Outlook, outlook, p_values, question
from segnb.claims import LEDGER, NOTICEABLE, POINT, SHARE, Claim
from segnb.contrasts import Evidence, Finding
from segnb.reasons import command, decisive, headline, reason, what_decides
from segnb.study.provenance import check
from segnb.study.study import Study

SCHEMA = 1

# Read by position (segnb.report.claim_blocks): for ">", for "≈", Holm, counted numbers, one seed.
RULES = (
    "A claim that something is larger is supported when the 95 % interval of every deciding part lies above"
    " its threshold (zero, unless it says otherwise), and refuted when one lies below, corrected for the"
    " number of parts.",
    "A claim that nothing changes is supported when the 90 % interval of every deciding part lies within"
    " ±margin, and refuted when a 95 % interval, corrected for the number of parts, lies outside. That no"
    " difference was found is not enough: a study that is too small finds none.",
    "It must also pass Holm's correction over all claims on FCNs, or over all on U-Nets, that were tested.",
    "Numbers that are counted (parameters, operations, bytes, published scores) have no error and need no p.",
    "With one seed a claim about trained networks is inconclusive: an interval is then about these very"
    " networks on new images, which is not the claim.",
)


# ---- all of them -----------------------------------------------------------------------------------------


def decide(study: Study, variants: str = "all", seeds: str | int = "all") -> dict:
    """Every claim of the ledger with its verdict: what claims.json holds, ready for JSON (NaN is None).

    Raises SegnbError for a run in the study's folder that was trained as part of another study.
    """
    evidence = Evidence(study, variants, seeds)
    cases = [Case(claim, [evidence.finding(part) for part in claim.parts]) for claim in LEDGER.values()]
    ahead: dict[str, Outlook] = {case.claim.id: Outlook() for case in cases}
    for family in "FU":
        tested = {case.claim.id: case for case in cases if case.claim.family == family and case.tested}
        asked = {name: question(case.claim, case.tested) for name, case in tested.items()}
        for name, decision in statistics.decide(asked).items():
            tested[name].decision = decision
            ahead[name] = outlook(tested[name], len(tested))
    runs = study.measured(variants, seeds)
    check(study, runs)
    there = sorted({run.seed for run in runs})
    settled = study.settings
    written = [_written(study, case, ahead[case.claim.id], there) for case in cases]
    return {
        "schema": SCHEMA,
        "study": study.name,
        "preset": study.preset.name,
        "date": max((run.provenance["started"][:10] for run in runs), default=""),
        "data": {key: settled["data"][key] for key in ("name", "origin", "digest", "counts")},
        "seeds": there,
        "networks": list(dict.fromkeys(run.variant for run in runs)),
        "machine": f"{study.machine.device_name}, {study.machine.precision}",
        "weights": settled["weights"]["source"],
        "code": settled["code"],
        "settings": settled["preset"],
        "command": command(study, there or range(study.preset.seeds)),
        "rules": {
            "alpha": statistics.ALPHA,
            "margin_points": 100 * POINT,
            "margin_share": 100 * SHARE,
            "noticeable_points": 100 * NOTICEABLE,
            "sentences": list(RULES),
        },
        "decided": _decided(written),
        "claims": written,
    }


def _decided(written: list[dict]) -> dict[str, float]:
    """How many claims so many seeds are expected to decide; those that need none stay as they are."""
    if not any(claim["power"] for claim in written):
        return {}
    fixed = sum(c["verdict"] in ("supported", "refuted") for c in written if not c["power"])
    return {str(n): fixed + sum(c["power"].get(str(n), 0) for c in written) for n in POWER_AT}


def _written(study: Study, case: Case, ahead: Outlook, seeds: list[int]) -> dict:
    claim, decision, found = case.claim, case.decision, decisive(case)
    return {
        "id": claim.id,
        "family": claim.family,
        "sentence": claim.sentence,
        "section": claim.section,
        "kind": claim.kind,
        "margin": claim.margin,
        "verdict": case.verdict,
        "reason": reason(case, ahead, study),
        "headline": headline(found) if found else "",
        "measured": claim.measured,
        "p": _plain(decision and decision.support),
        "p_holm": _plain(decision and decision.support_holm),
        "p_against": _plain(decision and decision.against),
        "p_against_holm": _plain(decision and decision.against_holm),
        "seeds": min((found.effect.seeds for found in case.trained), default=0),
        "seeds_needed": ahead.needed,
        "power": {seeds: _plain(chance) for seeds, chance in ahead.power.items()},
        "command": what_decides(study, case, ahead, seeds),
        "figure": "",
        "decisive": case.findings.index(found) if found else None,
        "parts": [_part(claim, found) for found in case.findings],
    }


def _part(claim: Claim, found: Finding) -> dict:
    part, effect = found.part, found.effect
    numbers = dict.fromkeys(
        ("low95", "high95", "low90", "high90", "se", "dof", "seed_sd", "image_se", "p", "p_reversed")
    )
    if effect is not None:
        numbers["low95"], numbers["high95"] = found.interval(0.95)
        numbers["low90"], numbers["high90"] = found.interval(0.90)
        for name in ("se", "dof", "seed_sd", "image_se"):
            numbers[name] = getattr(effect, name)
        numbers["p"], numbers["p_reversed"] = p_values(claim, found)
    return {
        "label": part.label,
        "measure": part.measure,
        "words": found.words,
        "unit": found.unit,
        "scale": found.scale,
        "plus": list(part.plus),
        "minus": list(part.minus),
        "rivals": list(part.rivals),
        "weight": part.weight,
        "decides": part.decides,
        "repeats": found.repeats,
        "relative": found.unit == "%" and not part.rivals and found.repeats != "seeds",
        "threshold": part.threshold,
        "margin": claim.margin,
        "estimate": _plain(found.estimate),
        "seeds": effect.seeds if effect is not None else 0,
        "by_seed": [_plain(value) for value in effect.by_seed] if effect is not None else [],
        **{name: _plain(value) for name, value in numbers.items()},
        "missing": found.missing,
    }


def _plain(value) -> float | None:
    """A number for JSON: None for what is not finite."""
    return None if value is None or not np.isfinite(value) else float(value)
