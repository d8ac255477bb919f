"""Numbers and reasons as text: the only place where the numbers of a claim are formatted."""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from segnb.audit import scores
from segnb.claims.metrics import early_epoch
from segnb.claims.verdicts import DECIDED, UNMEASURABLE, WORDS, MeasuredContrast, StudyVerdicts, Verdict
from segnb.presets import preset
from segnb.stats import decisions
from segnb.study.study import Study

AFFORDABLE = 20  # seeds; sentences name no exact number above it, and segnb prints no command for it
FURTHER = range(4)  # decimals beyond those of the unit
DIGITS = {"px": 2, "decades": 2, "": 3}  # decimals by unit; 1 for all other units


# ---- numbers ---------------------------------------------------------------------------------------------


def number(value: float, contrast: MeasuredContrast, sign: bool = False, more: int = 0) -> str:
    """Format a value of a comparison without its unit.

    Args:
        value: The value, unscaled.
        contrast: The comparison, which has the unit.
        sign: Whether positive values start with "+".
        more: Decimals beyond those of the unit.
    """
    return printed(value * contrast.scale, DIGITS.get(contrast.unit, 1) + more, sign)


def printed(value: float, decimals: int, sign: bool = False) -> str:
    """Format a number with a minus (−); zero, maybe rounded, has no sign."""
    text = f"{value:{'+' if sign else ''},.{decimals}f}"
    if not float(text.replace(",", "")):
        text = text.lstrip("+-")
    return text.replace("-", "−")


def signed(value: float, contrast: MeasuredContrast, more: int = 0) -> str:
    """Format a value of a comparison; a difference of networks has a sign."""
    return number(value, contrast, contrast.compares_networks, more)


def with_unit(text: str, unit: str) -> str:
    """Append a unit to a number, such as "3.1 points" and "25.0%"."""
    return f"{text}{'' if unit == '%' else ' '}{unit}".strip()


def interval(contrast: MeasuredContrast) -> str:
    """Format the interval, such as "0.4 to 5.8"; "" if the comparison has none."""
    ends, more = (contrast.low, contrast.high), _more(contrast)
    if None in ends:
        return ""
    if contrast.at_most:  # stored as the negative of the printed value
        ends = ends[::-1]
    return " to ".join(number(end, contrast, more=more) for end in ends)


def estimate(contrast: MeasuredContrast) -> str:
    """Format the estimate, with as many decimals as the interval."""
    return signed(contrast.estimate, contrast, _more(contrast))


def _more(contrast: MeasuredContrast) -> int:
    """Return the further decimals with which no end of an interval prints like a limit near it.

    The verdict depends on the side of the limit on which the end lies.
    """
    limits = {contrast.margin, -contrast.margin} if contrast.margin else {contrast.threshold}
    ends = {contrast.low, contrast.high} - limits - {None}
    for more in FURTHER:
        printed = {number(limit, contrast, more=more) for limit in limits}
        if not printed & {number(end, contrast, more=more) for end in ends}:
            break
    return more


def percent(level: float) -> str:
    """Format the level of an interval, such as "96.8%"."""
    return f"{100 * level:.1f}".removesuffix(".0") + "%"


def levels(verdicts: StudyVerdicts) -> str:
    """State the level of the intervals of each family."""
    if not verdicts.levels:
        return "All confidence intervals are at 95%."
    by_family = [
        f"{percent(level)} (claims {family.replace(', ours', ', our null hypotheses')})"
        for family, level in verdicts.levels.items()
    ]
    return (
        f"Confidence intervals are at {listed(by_family)}."
        " If tests are fixed before results, on average at most 5% of the supported and refuted claims are"
        " decided wrongly. Many tests were changed with results known; docs/methods.md of segnb lists them."
    )


def effect(contrast: MeasuredContrast, *, named: bool = False, level: bool = False) -> str:
    """Format estimate, unit and interval, such as "+3.1 points of mIoU (0.4 to 5.8)".

    Args:
        contrast: a comparison with an estimate.
        named: whether the metric is named before, so that the unit need not name it: "+3.1 points".
        level: whether to state the level of the interval: "(97.5% CI 0.4 to 5.8)".
    """
    unit = contrast.short_unit if named else contrast.unit
    text, ends = with_unit(estimate(contrast), unit), interval(contrast)
    prefix = f"{percent(contrast.level)} CI " if level else ""
    return f"{text} ({prefix}{ends})" if ends else text


def full_name(contrast: MeasuredContrast) -> str:
    """Name a comparison and its metric."""
    return f"{contrast.label}, {contrast.words}"


def headline(contrast: MeasuredContrast, level: bool = False) -> str:
    """Describe a comparison: name, metric, estimate, unit and interval; see `effect` for `level`."""
    return f"{full_name(contrast)}: {effect(contrast, named=True, level=level)}"


def score(mious: list[float]) -> str:
    """Format the mean test mIoU of several seeds and its standard deviation, such as "0.474 ± 0.009"."""
    spread = f" ± {np.std(mious, ddof=1):.3f}" if len(mious) > 1 else ""
    return f"{np.mean(mious):.3f}{spread}"


def half_widths(claim: Verdict) -> str:
    """Format half the width of the widest deciding intervals, such as "±1.7 points"; "–" without any."""
    widths = [
        with_unit(f"±{number(contrast.half_width, contrast).lstrip('−')}", contrast.short_unit)
        for contrast in claim.widest
    ]
    return listed(widths) or "–"


def p_cell(p: float | None) -> str:
    """Format a p-value with two significant digits; "–" for None."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:#.2g}"


def needed(claim: Verdict) -> str:
    """Format the number of seeds that would decide an open claim with a chance of 80%; "–" if decided."""
    if not claim.power or claim.word in DECIDED:
        return "–"
    if not claim.images_suffice:
        return "more images"
    return f"> {decisions.MOST_SEEDS:,}" if claim.seeds_needed is None else f"{claim.seeds_needed:,}"


def listed(words: list[str]) -> str:
    """Join words, such as "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def span(seeds: list[int]) -> str:
    """Join numbers of seeds, such as "0 to 6" and "1, 3 and 4"."""
    in_a_row = len(seeds) > 2 and sorted(seeds) == list(range(min(seeds), max(seeds) + 1))
    return f"{min(seeds)} to {max(seeds)}" if in_a_row else listed(list(map(str, sorted(seeds))))


def counted(number: int, thing: str) -> str:
    """Join a number and its noun, as in "1 epoch" and "2 epochs"."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def every(number: int) -> str:
    """Return "both" for 2, and "all 3" for 3."""
    return "both" if number == 2 else f"all {number}"


def sentence(text: str) -> str:
    """Return half a sentence as a sentence; "" for none."""
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""


def by_word(claims: Iterable[Verdict]) -> str:
    """Count claims by verdict, such as "3 are supported and 1 is refuted"; "" without claims."""
    counts = Counter(claim.word for claim in claims)
    return listed(
        [f"{counts[word]} {'is' if counts[word] == 1 else 'are'} {word}" for word in WORDS if counts[word]]
    )


def counts(verdicts: StudyVerdicts) -> str:
    """Count the claims of the study by verdict, then our null hypotheses."""
    sentences = []
    for name, ours in (("claims of the study", False), ("null hypotheses of ours", True)):
        claims = [claim for claim in verdicts.claims if (claim.origin == "ours") == ours]
        if claims:
            sentences.append(f"Of {len(claims)} {name}, {by_word(claims)}.")
    return " ".join(sentences)


# ---- reasons ---------------------------------------------------------------------------------------------


def reason(claim: Verdict, study: Study) -> str:
    """Explain a verdict in a few sentences: the numbers and the rule."""
    if claim.kind == "audit":
        return sentence(scores.verdict(claim.id).reason)
    if claim.kind == "none":
        return claim.measured
    if claim.word == UNMEASURABLE:
        return f"{sentence('; '.join(claim.floors))} That leaves no room for a difference."
    if claim.word == "not measured":
        return sentence("; ".join(claim.missing))
    sentences, decisive = [_verdict(claim)], claim.decisive_contrast
    if any(contrast.metric.startswith("val:") for contrast in claim.deciding if not contrast.missing):
        epochs = study.recipe("fcn").epochs
        rising = ", while the learning rate rises" if study.recipe("fcn").schedule == "one-cycle" else ""
        sentences.append(f"“Early” means after epoch {early_epoch(epochs)} of {epochs}{rising}.")
    timed = [contrast for contrast in claim.measured_contrasts if contrast.repeats == "rounds"]
    if timed:
        times = "; ".join(map(headline, timed))
        sentences.append(f"Times on {study.machine.device_name}, which do not decide: {times}.")
        beyond = [contrast for contrast in timed if claim.lead(contrast) < 0]
        if beyond and claim.word == "supported":
            where = "" if len(beyond) == len(timed) else f" in {len(beyond)} of {len(timed)} comparisons"
            sentences.append(f"By these times, the claim would not hold{where}.")
    if claim.word == "supported" and claim.caveat:
        sentences.append(claim.caveat)
    if claim.word in DECIDED and decisive.is_level:
        sentences.append(_trained_less(claim, study))
    return " ".join(filter(None, sentences))


def _trained_less(claim: Verdict, study: Study) -> str:
    """Say that more training may change a level; "" unless the training was shorter than the study's."""
    paper, family = preset("paper"), "unet" if claim.family == "U" else "fcn"
    here = study.settings["data"]["counts"]["train"], study.recipe(family).epochs
    there = paper.train, getattr(paper, family).epochs
    if here == there or here[0] > there[0] or here[1] > there[1]:
        return ""
    sizes = (
        f"{counted(here[1], 'epoch')} on {here[0]:,} images, in the study up to {there[1]} on {there[0]:,}"
    )
    return f"More training may change this value: here {sizes}."


def _verdict(claim: Verdict) -> str:
    contrasts, decisive = len(claim.deciding), claim.decisive_contrast
    aim = goal(claim, decisive)
    several, result = contrasts > 1, headline(decisive, level=True)
    if claim.broken:
        return f"{result}. This number is counted, so exact, and is not {aim}."
    if not claim.tested:
        least = f"The least favourable of {contrasts} comparisons is " if several else ""
        return f"{least}{result}. This number is counted, so exact, and is {aim}."
    if claim.word == "refuted":
        needs = f" The claim needs {every(contrasts)} comparisons to hold." if several else ""
        return f"{result}. The interval lies {goal(claim, decisive, missed=True)}.{needs}"
    if decisive.seeds == 1 and decisive.effect.images:
        result = f"{result.removesuffix(')')}, test images only)"
    least = f"The least certain of {contrasts} comparisons is {result}." if several else f"{result}."
    if claim.few_seeds:
        return f"{'One seed' if decisive.seeds == 1 else 'Two seeds'} cannot decide this claim. {least}"
    if claim.word == "supported":
        if not several:
            return f"{least} The interval lies {aim}."
        aims = dict.fromkeys(goal(claim, contrast) for contrast in claim.deciding)
        where = aim if len(aims) == 1 else f"on the side of the claim, {' or '.join(aims)}"
        return f"{every(contrasts).capitalize()} intervals lie {where}. {least}"
    if claim.p_for is None:
        return f"{least} It is the same in every run, so it cannot be tested."
    return f"{least} It is unclear whether the value lies {aim}. {_too_wide(claim)}{outlook(claim)}"


def _too_wide(claim: Verdict) -> str:
    """State that a claim of equivalence could not have been supported, whatever the effect."""
    if claim.kind != "≈" or all(contrast.half_width <= claim.margin for contrast in claim.widest):
        return ""
    return f"Even an effect of zero could not support it: its widest interval is {half_widths(claim)}. "


def goal(claim: Verdict, contrast: MeasuredContrast, missed: bool = False) -> str:
    """State where a comparison must lie, such as "within ±1 point"; with `missed`, the other side."""
    value, unit = f"{claim.limit(contrast) * contrast.scale:g}", contrast.short_unit
    limit = with_unit(value, "point" if (value, unit) == ("1", "points") else unit)
    if claim.kind == "≈":
        return f"{'outside' if missed else 'within'} ±{limit}"
    side = "below" if contrast.at_most != missed else "above"
    return f"{side} {limit if contrast.threshold else 'zero'}"


def outlook(claim: Verdict) -> str:
    """State the seeds with which an inconclusive claim has a chance of 80% of a verdict, and that verdict."""
    if not claim.images_suffice:
        return (
            "If the effect stays the same, more seeds alone cannot decide the claim. It needs more test"
            " images, too."
        )
    leads = [claim.lead(contrast) for contrast in claim.deciding if contrast.estimate is not None]
    support = min(leads, default=0) > 0
    verdict = f"{'support' if support else 'refute'} the claim"
    if claim.kind == "≈":
        verdict = f"show that the value lies {goal(claim, claim.deciding[0], missed=not support)}"
    count = claim.seeds_needed
    if count is None:
        seeds = f"more than {decisions.MOST_SEEDS:,}"
    else:  # a large number is rough: another sample of seeds can give several times as many
        seeds = f"about {count}" if count <= AFFORDABLE else f"more than {AFFORDABLE}"
    return (
        f"If effect and spread stay the same, it takes {seeds} seeds per network for a chance of"
        f" {100 * decisions.POWER:.0f}% to {verdict}."
    )
