"""Numbers, verdicts and commands in words: the one place where a claim's numbers are put into print."""

from collections.abc import Iterable

from segnb.audit import scores
from segnb.claims.claim import Contrast
from segnb.claims.effects import COSTS, MeasuredContrast
from segnb.claims.metrics import early_epoch
from segnb.claims.related_studies import COMPANIONS, PHOTOGRAPHS
from segnb.claims.verdicts import Verdict
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


def interval(contrast: MeasuredContrast, level: int = 95) -> str:
    """Print an interval, such as "0.4 to 5.8"; "" for what has none."""
    low, high = getattr(contrast, f"low{level}"), getattr(contrast, f"high{level}")
    return "" if low is None else f"{number(low, contrast)} to {number(high, contrast)}"


def effect(contrast: MeasuredContrast, level: int = 95) -> str:
    """Print estimate, unit and interval, such as "+3.1 points (0.4 to 5.8)"."""
    between = interval(contrast, level)
    text = f"{signed(contrast.estimate, contrast)} {contrast.unit}".strip()
    return f"{text} ({between})" if between else text


def full_name(contrast: MeasuredContrast) -> str:
    """Name a contrast and what is measured of it."""
    return f"{contrast.label}, {contrast.words}"


def headline(contrast: MeasuredContrast, level: int = 95) -> str:
    """Put a contrast into words: name, estimate, unit and interval."""
    return f"{full_name(contrast)}: {effect(contrast, level)}"


def p_words(p: float) -> str:
    """Print a probability in a sentence: "p = 0.012", or "p < 0.001" below that."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def p_cell(p: float | None) -> str:
    """Print a probability in a cell of a table, or after "p is"."""
    return "–" if p is None else p_words(p).removeprefix("p ").removeprefix("= ")


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
    if claim.word == "not measured":
        return f"Missing: {'; '.join(claim.missing)}."
    sentences = [_verdict(claim, decisive)]
    if any(contrast.metric.startswith("val:") for contrast in claim.deciding if not contrast.missing):
        epochs = study.recipe("fcn").epochs
        sentences.append(f"Early is after epoch {early_epoch(epochs)} of {epochs}.")
    if claim.word == "supported" and claim.caveat:
        sentences.append(claim.caveat)
    return " ".join(sentences)


def _verdict(claim: Verdict, decisive: MeasuredContrast) -> str:
    contrasts, goal, found = len(claim.deciding), _goal(claim, decisive), headline(decisive)
    least = f", the least certain of {contrasts} contrasts" if contrasts > 1 else ""
    if claim.word == "refuted":
        if claim.broken:
            return f"{found}: counted, so exact, and not {goal}."
        of = f" It is one of {contrasts} contrasts that have to hold." if contrasts > 1 else ""
        return f"{found}, 95 % interval: not {goal} ({_after_holm(claim.p_against_holm)}).{of}"
    if not claim.tested:
        least = f", the least favourable of {contrasts} contrasts" if contrasts > 1 else ""
        return f"{found}{least}: counted, so exact, and {goal}."
    if claim.word == "supported":
        level, p = 90 if claim.kind == "≈" else 95, _after_holm(claim.p_holm)
        found = f"{headline(decisive, level)}, {level} % interval"
        if contrasts > 1:
            every = "Both" if contrasts == 2 else f"All {contrasts}"
            return f"{every} contrasts lie {goal}; the least certain is {found} ({p})."
        return f"{found}: {goal} ({p})."
    if claim.one_seed:
        about = f". {_these(decisive)} on new images: {found}, 95 % interval"
        about = about if decisive.effect.images else f": {found}"
        return f"One seed{about}{least}. What training anew would change is not known."
    if claim.p is None:
        return f"{found}{least}: the same in every run, which cannot be tested."
    only = "if it were the only claim"
    if claim.p < decisions.ALPHA:
        doubt = f"{goal} {only} ({p_words(claim.p)}), not among all ({_after_holm(claim.p_holm)})"
    elif claim.p_against < decisions.ALPHA:
        against = _after_holm(claim.p_against_holm)
        doubt = f"not {goal} {only} ({p_words(claim.p_against)}), open among all ({against})"
    else:
        doubt = f"it may lie {goal} or not ({_after_holm(claim.p_holm)})"
    return f"{found}, 95 % interval{least}: {doubt}. {_outlook(claim)}"


def _after_holm(p: float) -> str:
    return f"{p_words(p)} after Holm's correction"


def _goal(claim: Verdict, contrast: MeasuredContrast) -> str:
    """Where the contrast has to lie."""
    value, unit = f"{claim.limit(contrast) * contrast.scale:g}", contrast.unit.partition(" of ")[0]
    limit = f"{value} {'point' if (value, unit) == ('1', 'points') else unit}"
    if claim.kind == "≈":
        return f"within ±{limit}"
    return f"above {limit}" if contrast.threshold else "above zero"


def _outlook(claim: Verdict) -> str:
    if not claim.trained:
        return "More rounds of timing would decide."
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
    if claim.kind == "audit":
        return "segnb claims"
    # No score of smoke means anything.
    preset = "quick" if study.preset.name == "smoke" else study.preset.name
    missing = [contrast for contrast in claim.deciding if contrast.missing]
    if claim.word == "not measured" and any(contrast.metric not in COSTS for contrast in missing):
        asked = seeds or range(study.preset.seeds)
        elsewhere = _of_related_studies(study, missing, asked, preset)
        return " && ".join(elsewhere or [command(study, asked, preset=preset)])
    if claim.word == "not measured" or (claim.word == "inconclusive" and not claim.trained):
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
