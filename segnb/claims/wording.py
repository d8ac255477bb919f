"""Numbers, verdicts and commands in words: the one place where a claim's numbers are put into print."""

from collections.abc import Iterable

from segnb.audit import scores
from segnb.claims.claim import Contrast
from segnb.claims.effects import COSTS, MeasuredContrast
from segnb.claims.metrics import early_epoch
from segnb.claims.related_studies import COMPANIONS, PHOTOGRAPHS
from segnb.claims.verdicts import UNMEASURABLE, StudyVerdicts, Verdict
from segnb.models.registry import VARIANTS
from segnb.stats import decisions
from segnb.study.study import Study

AFFORDABLE = 20  # seeds; a command that asks for more is not printed
DIGITS = {"px": 2, "decades": 2, "": 3}  # after the point, by unit; 1 for all others


# ---- numbers ---------------------------------------------------------------------------------------------


def number(value: float, contrast: MeasuredContrast, sign: bool = False) -> str:
    """Print a value of a contrast, without its unit; with `sign`, "+" before one above zero."""
    text = f"{value * contrast.scale:+,.{DIGITS.get(contrast.unit, 1)}f}"
    rounded = float(text.replace(",", ""))
    return text.lstrip("+-" if not rounded else "" if sign else "+").replace("-", "−")


def signed(value: float, contrast: MeasuredContrast) -> str:
    """Print a value of a contrast, with its sign if it is a difference of networks."""
    return number(value, contrast, sign=bool(contrast.minus))


def interval(contrast: MeasuredContrast) -> str:
    """Print an interval, such as "0.4 to 5.8"; "" for what has none."""
    low, high = contrast.low, contrast.high
    if low is None:
        return ""
    if contrast.at_most:  # the negative of what is printed
        low, high = high, low
    return f"{number(low, contrast)} to {number(high, contrast)}"


def percent(level: float) -> str:
    """Print the level of an interval, such as "96.8 %"."""
    return f"{100 * level:.1f}".removesuffix(".0") + " %"


def levels(verdicts: StudyVerdicts) -> str:
    """Say in a sentence at which level each family's intervals are."""
    if not verdicts.levels:
        return "Intervals are at 95 %."
    told = [f"{percent(level)} ({family})" for family, level in verdicts.levels.items()]
    return f"Intervals are at {listed(told)}; of the verdicts given, at most 5 % are wrong on average."


def effect(contrast: MeasuredContrast) -> str:
    """Print estimate, unit and interval, such as "+3.1 points (0.4 to 5.8)"."""
    between = interval(contrast)
    text = f"{signed(contrast.estimate, contrast)} {contrast.unit}".strip()
    return f"{text} ({between})" if between else text


def full_name(contrast: MeasuredContrast) -> str:
    """Name a contrast and what is measured of it."""
    return f"{contrast.label}, {contrast.words}"


def headline(contrast: MeasuredContrast) -> str:
    """Put a contrast into words: name, estimate, unit and interval."""
    return f"{full_name(contrast)}: {effect(contrast)}"


def can_tell(claim: Verdict) -> str:
    """Print half the width of the widest deciding intervals, such as "±1.7 points"; "–" for none."""
    told = [f"±{number(one.half_width, one).lstrip('−')} {one.short_unit}".strip() for one in claim.widest]
    return listed(told) or "–"


def p_cell(p: float | None) -> str:
    """Print a probability in a cell of a table, or after "p is"."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def needed(claim: Verdict) -> str:
    """Print the seeds that would decide a claim with a chance of 80 %."""
    if not claim.power:
        return "–"
    return "no number" if claim.seeds_needed is None else f"{claim.seeds_needed:,}"


def listed(words: list[str]) -> str:
    """Join words as in "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


# ---- reasons ---------------------------------------------------------------------------------------------


def reason(claim: Verdict, decisive: MeasuredContrast | None, study: Study) -> str:
    """Give the numbers and the rule that gave the verdict, in a few sentences."""
    if claim.kind == "audit":
        text = scores.verdict(claim.id).reason
        return f"{text[0].upper()}{text[1:].rstrip('.')}."
    if claim.kind == "none":
        return claim.measured
    if claim.word == UNMEASURABLE:
        told = "; ".join(claim.floors)
        return f"{told[0].upper()}{told[1:]}: there is no room for a difference."
    if claim.word == "not measured":
        return f"Missing: {'; '.join(claim.missing)}."
    sentences = [_verdict(claim, decisive)]
    if any(contrast.metric.startswith("val:") for contrast in claim.deciding if not contrast.missing):
        epochs = study.recipe("fcn").epochs
        sentences.append(f"Early is after epoch {early_epoch(epochs)} of {epochs}.")
    if timed := [one for one in claim.contrasts if one.repeats == "rounds" and one.estimate is not None]:
        sentences.append(
            f"Beside it, timed on {study.machine.device_name}: {'; '.join(map(headline, timed))}."
        )
    if claim.word == "supported" and claim.caveat:
        sentences.append(claim.caveat)
    return " ".join(sentences)


def _verdict(claim: Verdict, decisive: MeasuredContrast) -> str:
    contrasts, aim, found = len(claim.deciding), goal(claim, decisive), headline(decisive)
    least = f", the least certain of {contrasts} contrasts" if contrasts > 1 else ""
    if claim.broken:
        return f"{found}: counted, so exact, and not {aim}."
    if not claim.tested:
        least = f", the least favourable of {contrasts} contrasts" if contrasts > 1 else ""
        return f"{found}{least}: counted, so exact, and {aim}."
    if claim.one_seed:
        about = f". {_these(decisive)} on new images: {found}, {percent(claim.level)} interval"
        about = about if decisive.effect.images else f": {found}"
        return f"One seed{about}{least}. What training anew would change is not known."
    found = f"{found}, {percent(claim.level)} interval" if interval(decisive) else found
    if claim.word == "refuted":
        of = f" It is one of {contrasts} contrasts that have to hold." if contrasts > 1 else ""
        return f"{found}: not {aim}.{of}"
    if claim.word == "supported" and contrasts > 1:
        every = "Both" if contrasts == 2 else f"All {contrasts}"
        return f"{every} contrasts lie {aim}; the least certain is {found}."
    if claim.word == "supported":
        return f"{found}: {aim}."
    if claim.p_for is None:
        return f"{found}{least}: the same in every run, which cannot be tested."
    return f"{found}{least}: it may lie {aim} or not. {_too_wide(claim)}{_outlook(claim)}"


def _too_wide(claim: Verdict) -> str:
    """That a claim of equivalence could not have been supported, whatever the effect."""
    wide = [one for one in claim.widest if claim.kind == "≈" and one.half_width > claim.margin]
    if not wide:
        return ""
    return f"With these seeds it could not be supported even at an effect of zero ({can_tell(claim)}). "


def goal(claim: Verdict, contrast: MeasuredContrast) -> str:
    """Say where the contrast has to lie, such as "within ±1 point"."""
    value, unit = f"{claim.limit(contrast) * contrast.scale:g}", contrast.short_unit
    limit = f"{value} {'point' if (value, unit) == ('1', 'points') else unit}"
    if claim.kind == "≈":
        return f"within ±{limit}"
    if contrast.at_most:
        return f"below {limit}"
    return f"above {limit}" if contrast.threshold else "above zero"


def _outlook(claim: Verdict) -> str:
    if claim.seeds_needed is not None:
        return f"About {claim.seeds_needed} seeds would decide if effect and spread stay as they are."
    if not claim.outlook.images_suffice:
        return "No number of seeds would decide on these test images if the effect stays as it is."
    return f"More than {decisions.MOST_SEEDS} seeds would be needed if effect and spread stay as they are."


def _these(contrast: Contrast) -> str:
    networks = len(contrast.networks)
    return {1: "This network", 2: "These two networks"}.get(networks, f"These {networks} networks")


# ---- commands --------------------------------------------------------------------------------------------


def command(
    study: Study, seeds: Iterable[int], data: str = "", variants: Iterable[str] = (), preset: str = ""
) -> str:
    """Write `make report` for these seeds, with what else the study was asked for."""
    request, own = study.settings["request"], study.settings["data"]["name"]
    words = {
        "PRESET": preset or study.preset.name,
        "DATA": data or (own if own.startswith("streets") else f"path/to/{own}"),
        "SEEDS": ",".join(map(str, seeds)),
    }
    if variants:
        words["VARIANTS"] = ",".join(variants)
    for key in ("epochs", "learning_rate", "weights", "precision"):
        if request.get(key) and "/" not in str(request[key]):  # a path of this machine is nobody else's
            words[key.upper()] = str(request[key])
    if words["DATA"] == "streets":
        del words["DATA"]
    return " ".join(["make report", *(f"{name}={word}" for name, word in words.items())])


def what_decides(study: Study, claim: Verdict, seeds: list[int]) -> str:
    """Write the command that would measure or decide the claim, or the one that computes it again."""
    if claim.kind in ("audit", "none"):
        return "segnb claims"
    # No score of smoke means anything.
    preset = "quick" if study.preset.name == "smoke" else study.preset.name
    missing = [contrast for contrast in claim.deciding if contrast.missing]
    if claim.word == "not measured" and any(contrast.metric not in COSTS for contrast in missing):
        asked = seeds or range(study.preset.seeds)
        elsewhere = _of_related_studies(study, missing, asked, preset)
        return " && ".join(elsewhere or [command(study, asked, preset=preset)])
    if claim.word == "not measured":
        return f"segnb cost --study {study.name}"
    count = max(3, len(seeds) + 1) if claim.one_seed else claim.seeds_needed
    if claim.word == "inconclusive" and count and count <= AFFORDABLE:
        elsewhere = _of_related_studies(study, claim.deciding, range(count), preset)
        return " && ".join([*elsewhere, command(study, range(count), preset=preset)])
    return f"segnb claims --study {study.name}"


def _of_related_studies(
    study: Study, contrasts: Iterable[Contrast], seeds: Iterable[int], preset: str
) -> list[str]:
    """What trains these seeds of the networks on other data that the contrasts name."""
    networks = {network for contrast in contrasts for network in contrast.networks}
    commands = []
    for place in COMPANIONS:
        variants = [name for name in VARIANTS if f"{place}:{name}" in networks]
        if variants:
            data = "path/to/camvid" if place == PHOTOGRAPHS else place
            commands.append(command(study, seeds, data, variants, preset))
    return commands
