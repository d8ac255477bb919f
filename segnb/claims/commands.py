"""The commands that measure or decide claims, or compute their verdicts again."""

from collections.abc import Iterable

from segnb.claims.claim import COSTS, Contrast
from segnb.claims.related_studies import COMPANIONS, PHOTOGRAPHS
from segnb.claims.verdicts import Verdict
from segnb.claims.wording import AFFORDABLE
from segnb.models.registry import VARIANTS
from segnb.study.study import Study


def make_report(
    study: Study, seeds: Iterable[int], data: str = "", variants: Iterable[str] = (), preset: str = ""
) -> str:
    """Return the `make report` command of these seeds, with the other settings of the study."""
    request, own = study.settings["request"], study.settings["data"]["name"]
    data = data or (own if study.is_rendered else f"path/to/{own}")
    words = {
        "PRESET": preset or study.preset.name,
        "DATA": data if data != "streets" else "",  # the default
        "SEEDS": ",".join(map(str, seeds)),
        "VARIANTS": ",".join(variants),
    }
    auto = study.preset.weights == "auto" and request.get("weights") in (None, "auto")
    if auto and preset in ("", study.preset.name):  # on another machine, "auto" may find other weights
        request = request | {"weights": study.settings["weights"]["source"]}
    for key in ("epochs", "learning_rate", "backbone_learning_rate", "weights", "precision"):
        if request.get(key) and "/" not in str(request[key]):  # a path means nothing on another machine
            words[key.upper()] = str(request[key])
    return " ".join(["make report", *(f"{name}={word}" for name, word in words.items() if word)])


def what_decides(study: Study, claim: Verdict, seeds: list[int]) -> str:
    """Return the command that would measure or decide the claim, or that computes it again."""
    if claim.kind in ("audit", "none"):
        return "segnb claims"
    # The scores of smoke mean nothing.
    preset = "quick" if study.preset.name == "smoke" else study.preset.name
    if claim.word == "not measured":
        missing = [contrast for contrast in claim.deciding if contrast.missing]
        if all(contrast.metric in COSTS for contrast in missing):
            return f"segnb cost --study {study.name}"
        asked = seeds or range(study.preset.seeds)
        elsewhere = _of_related_studies(study, missing, asked, preset)
        return " && ".join(elsewhere or [make_report(study, asked, preset=preset)])
    count = max(3, len(seeds) + 1) if claim.few_seeds else claim.seeds_needed
    if claim.word == "inconclusive" and count and count <= AFFORDABLE:
        elsewhere = _of_related_studies(study, claim.deciding, range(count), preset)
        return " && ".join([*elsewhere, make_report(study, range(count), preset=preset)])
    return f"segnb claims --study {study.name}"


def _of_related_studies(
    study: Study, contrasts: Iterable[Contrast], seeds: Iterable[int], preset: str
) -> list[str]:
    """Return the commands that train these seeds of the comparisons' networks on other data."""
    networks = {network for contrast in contrasts for network in contrast.networks}
    commands = []
    for place in COMPANIONS:
        variants = [name for name in VARIANTS if f"{place}:{name}" in networks]
        if variants:
            data = "path/to/camvid" if place == PHOTOGRAPHS else place
            commands.append(make_report(study, seeds, data, variants, preset))
    return commands
