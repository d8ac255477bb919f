"""Verdicts in words: the sentence that gives the numbers and the rule, and the command that would decide."""

from collections.abc import Iterable

import numpy as np

from segnb import statistics
from segnb.cases import Case, Outlook, audited, p_values
from segnb.claims import Claim
from segnb.companions import COMPANIONS, PHOTOGRAPHS
from segnb.contrasts import COSTS, Finding
from segnb.evidence import early_epoch
from segnb.models.registry import VARIANTS
from segnb.parts import Part
from segnb.results import p_words
from segnb.study.study import Study

AFFORDABLE = 20  # seeds; a command that asks for more is not printed


# ---- sentences -------------------------------------------------------------------------------------------


def number(found: Finding, value: float, sign: bool = False) -> str:
    """A value as it is printed, without its unit."""
    digits = 2 if found.unit in ("px", "decades") else 3 if not found.unit else 1
    return f"{value * found.scale:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def headline(found: Finding, level: float = 0.95) -> str:
    """The part in words: label, estimate, unit and interval."""
    estimate = number(found, found.estimate, sign=bool(found.part.minus))
    told = f"{found.part.label}, {found.words}: {estimate}"
    unit = f" {found.unit}" if found.unit else ""
    if found.effect is None:
        return told + unit
    low, high = found.interval(level)
    if np.isnan(low):
        return told + unit
    return f"{told}{unit} ({number(found, low)} to {number(found, high)})"


def decisive(case: Case) -> Finding | None:
    """The part that tells most: the one that refutes, or the least certain of those that have to hold."""
    if case.broken:
        return case.broken[0]
    if not case.tested:
        return min(case.counted, key=case.lead, default=None)
    if case.one_seed:  # no test: the one least far, in errors, on the claim's side
        return min(case.trained, key=lambda found: case.lead(found) / (found.effect.image_se or np.inf))
    tests = [p_values(case.claim, found) for found in case.tested]
    support, against = np.nan_to_num(np.array(tests), nan=1.0).T
    return case.tested[against.argmin() if case.verdict == "refuted" else support.argmax()]


def reason(case: Case, ahead: Outlook, study: Study) -> str:
    """A few sentences with the numbers and the rule that gave the verdict."""
    claim = case.claim
    if claim.kind == "audit":
        told = audited(claim).reason
        return f"{told[0].upper()}{told[1:].rstrip('.')}."
    if case.verdict == "not measured":
        return f"Missing: {'; '.join(case.missing)}."
    told = [_verdict(case, ahead)]
    if any(found.part.measure.startswith("val:") for found in case.measured):
        epochs = study.recipe("fcn").epochs
        told.append(f"Early is after epoch {early_epoch(epochs)} of {epochs}.")
    if case.verdict == "supported" and claim.caveat:
        told.append(claim.caveat)
    return " ".join(told)


def _verdict(case: Case, ahead: Outlook) -> str:
    found, parts = decisive(case), len(case.deciding)
    goal = _goal(case.claim, found)
    least = f", the least certain of {parts} contrasts" if parts > 1 else ""
    if case.verdict == "refuted":
        if case.broken:
            return f"{headline(found)}: counted, so exact, and not {goal}."
        p = p_words(case.decision.against_holm)
        of = f" It is one of {parts} contrasts that have to hold." if parts > 1 else ""
        return f"{headline(found)}, 95 % interval: not {goal} ({p} after Holm's correction).{of}"
    if case.decision is None:
        least = f", the least favourable of {parts} contrasts" if parts > 1 else ""
        return f"{headline(found)}{least}: counted, so exact, and {goal}."
    p = f"{p_words(case.decision.support_holm)} after Holm's correction"
    if case.verdict == "supported":
        level = 0.90 if case.claim.kind == "≈" else 0.95
        told = f"{headline(found, level)}, {100 * level:.0f} % interval"
        if parts > 1:
            every = "Both" if parts == 2 else f"All {parts}"
            return f"{every} contrasts lie {goal}; the least certain is {told} ({p})."
        return f"{told}: {goal} ({p})."
    if case.one_seed and not found.effect.images:
        return f"One seed: {headline(found)}{least}. What training anew would change is not known."
    told = f"{headline(found)}, 95 % interval{least}"
    if case.one_seed:
        return (
            f"One seed. {_these(found)} on new images: {told}. What training anew would change is not known."
        )
    if np.isnan(case.decision.support):
        return f"{headline(found)}{least}: the same in every run, which cannot be tested."
    one = "if it were the only claim"
    if case.decision.support < statistics.ALPHA:
        doubt = f"{goal} {one} ({p_words(case.decision.support)}), not among all ({p})"
    elif case.decision.against < statistics.ALPHA:
        against = f"{p_words(case.decision.against_holm)} after Holm's correction"
        doubt = f"not {goal} {one} ({p_words(case.decision.against)}), open among all ({against})"
    else:
        doubt = f"it may lie {goal} or not ({p})"
    return f"{told}: {doubt}. {_outlook(case, ahead)}"


def _goal(claim: Claim, found: Finding) -> str:
    """Where the contrast has to lie."""
    limit = claim.margin if claim.kind == "≈" else found.part.threshold
    value, unit = f"{limit * found.scale:g}", found.unit.partition(" of ")[0]
    limit = f"{value} {'point' if (value, unit) == ('1', 'points') else unit}"
    return (
        f"within ±{limit}"
        if claim.kind == "≈"
        else f"above {limit}"
        if found.part.threshold
        else "above zero"
    )


def _outlook(case: Case, ahead: Outlook) -> str:
    if not case.trained:
        return "More rounds of timing would decide."
    if ahead.needed is not None:
        return f"About {ahead.needed} seeds would decide if effect and spread stay as they are."
    if not ahead.images:
        return "No number of seeds would decide on these test images if the effect stays as it is."
    return f"More than {statistics.MOST_SEEDS} seeds would be needed if effect and spread stay as they are."


def _these(found: Finding) -> str:
    networks = len(_sides(found.part))
    return {1: "This network", 2: "These two networks"}.get(networks, f"These {networks} networks")


# ---- commands --------------------------------------------------------------------------------------------


def command(
    study: Study, seeds: Iterable[int], data: str = "", variants: Iterable[str] = (), preset: str = ""
) -> str:
    """`make report` for these seeds, with what else the study was asked for."""
    asked = study.settings["request"]
    words = {
        "PRESET": preset or study.preset.name,
        "DATA": data or _data(study),
        "SEEDS": ",".join(map(str, seeds)),
    }
    if variants:
        words["VARIANTS"] = ",".join(variants)
    for key in ("epochs", "learning_rate", "weights", "precision"):
        if asked.get(key) and "/" not in str(asked[key]):  # a path of this machine is nobody else's
            words[key.upper()] = str(asked[key])
    if words["DATA"] == "streets":
        del words["DATA"]
    return " ".join(["make report", *(f"{name}={word}" for name, word in words.items())])


def _data(study: Study) -> str:
    name = study.settings["data"]["name"]
    return name if name.startswith("streets") else f"path/to/{name}"


def what_decides(study: Study, case: Case, ahead: Outlook, seeds: list[int]) -> str:
    """The command that would measure or decide the claim; the one that computes it again if that is done."""
    if case.claim.kind == "audit":
        return "segnb claims"
    if case.verdict == "not measured":
        return _what_measures(study, case, seeds)
    if case.verdict == "inconclusive" and not case.trained:
        return f"segnb cost --study {study.name}"
    if case.verdict == "inconclusive":
        needed = max(3, len(seeds) + 1) if case.one_seed else ahead.needed
        if needed and needed <= AFFORDABLE:
            elsewhere = _of_companions(study, [found.part for found in case.deciding], range(needed))
            return " && ".join([*elsewhere, command(study, range(needed), preset=_preset(study))])
    return f"segnb claims --study {study.name}"


def _what_measures(study: Study, case: Case, seeds: list[int]) -> str:
    asked = seeds or range(study.preset.seeds)
    missing = [found.part for found in case.deciding if found.missing]
    if all(part.measure in COSTS for part in missing):
        return f"segnb cost --study {study.name}"
    commands = _of_companions(study, missing, asked) or [command(study, asked, preset=_preset(study))]
    return " && ".join(commands)


def _of_companions(study: Study, parts: Iterable[Part], seeds: Iterable[int]) -> list[str]:
    """What trains these seeds of the networks on other data that the parts name."""
    sides = {side for part in parts for side in _sides(part)}
    commands = []
    for place in COMPANIONS:
        variants = [name for name in VARIANTS if f"{place}:{name}" in sides]
        if variants:
            data = "path/to/camvid" if place == PHOTOGRAPHS else place
            commands.append(command(study, seeds, data, variants, _preset(study)))
    return commands


def _preset(study: Study) -> str:
    """The one that can decide something: no score of `smoke` means anything."""
    return "quick" if study.preset.name == "smoke" else study.preset.name


def _sides(part: Part) -> tuple[str, ...]:
    return (*part.plus, *part.minus, *part.rivals)
