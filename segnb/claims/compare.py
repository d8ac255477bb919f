"""Comparison of two studies: which verdicts differ, and whether the studies agree.

A comparison of networks that both studies measured gives two estimates. If the studies differ only by chance,
the difference of the estimates has the variance SE² of one study plus SE² of the other. Its degrees of
freedom are computed like those of an effect (`segnb.stats.effect`). The procedure of Benjamini and Hochberg
(1995) at 5% finds differences beyond chance. Two studies of the same test images share the images' part of
the error, and with the same seeds often a part of the seeds' as well, so it finds fewer than it could.

Two studies *agree* if no difference passes that limit and no claim is supported in one study and refuted in
the other. A verdict that is open in one study only is no disagreement: the interval may just have been wider.
"""

from collections.abc import Iterable
from typing import NamedTuple

from scipy.special import ndtri, stdtr

from segnb.claims.saved import aligned, numbers
from segnb.claims.verdicts import DECIDED, MeasuredContrast, StudyVerdicts, Verdict
from segnb.claims.wording import counted, full_name, listed, span
from segnb.errors import SegnbError
from segnb.models.registry import FAMILIES, VARIANTS
from segnb.stats.decisions import level_of
from segnb.stats.effect import standard_error
from segnb.study.provenance import unlike

HOLM = (
    "The verdicts follow an older rule: Holm's correction decided, not the 95% intervals, so an interval may"
    " exclude a value that its verdict leaves open. The file does not contain the numbers needed to decide"
    " again by the present rule. It has the claims and metrics of an earlier version, in which seconds still"
    " decided."
)
NAMED = 5  # differences or claims that a sentence names


def unequal_settings(a: StudyVerdicts, b: StudyVerdicts) -> list[str]:
    """Return the differences of two studies in data and preset, in words."""
    return unlike(
        *(
            {"data": {"name": study.data["name"], "images": images}, "preset": study.settings}
            for study, images in zip((a, b), _images(a, b), strict=True)
        )
    )


def _images(a: StudyVerdicts, b: StudyVerdicts) -> list:
    """Return what identifies the images of each: their ground truth at common sizes, or else the digest.

    The digest of rendered scenes is that of the code that renders them, which may change without the scenes.
    """
    truths = [study.data.get("truth", {}) for study in (a, b)]
    sizes = sorted(truths[0].keys() & truths[1].keys())
    if not sizes:
        return [a.data["digest"], b.data["digest"]]
    return [{size: truth[size] for size in sizes} for truth in truths]


def check_comparable(a: StudyVerdicts, b: StudyVerdicts) -> None:
    """Check that two studies have the same data and preset.

    Raises:
        SegnbError: if they differ; the message names the differences.
    """
    if unequal := unequal_settings(a, b):
        raise SegnbError(
            f"{a.study} and {b.study} have different data or presets ({'; '.join(unequal[:3])}), which may be"
            " the reason for different verdicts. Use --anyway to compare them"
        )


class Agreement(NamedTuple):
    """How far two studies agree.

    both:      claims that both studies measured with the same deciding comparisons and limits
    differently: claims that both measured with other comparisons or limits
    opposite:  claims of `both` that one study supports and the other refutes
    decided:   claims of `both` that the first study decides by trained networks, not by counting
    confirmed: claims of `decided` with the same verdict in the second study
    open:      claims of `decided` that the second study neither supports nor refutes
    gained:    claims of `both` that only the second study decides
    compared:  comparisons with an error in both studies
    beyond:    comparisons that differ by more than chance
    smaller:   comparisons of these with a smaller effect in the other study
    """

    both: list[str]
    differently: list[str]
    opposite: list[str]
    decided: list[str]
    confirmed: list[str]
    open: list[str]
    gained: list[str]
    compared: int
    beyond: list[str]
    smaller: list[str]

    @property
    def agree(self) -> bool:
        return not self.opposite and not self.beyond

    def __str__(self) -> str:
        """Return the agreement in sentences."""
        more = ["…"] if len(self.beyond) > NAMED else []
        beyond = f": {'; '.join(self.beyond[:NAMED] + more)}" if self.beyond else ""
        end = f"The studies {'agree' if self.agree else 'do not agree'}."
        return f"{in_words(self)} {_beyond(self)}{beyond}. {end}"


def agreement(a: StudyVerdicts, b: StudyVerdicts) -> Agreement:
    """Compute how far two studies agree, in verdicts on claims that they test alike and in comparisons."""
    both = [(mine, b.by_id[mine.id]) for mine in a.claims if mine.id in b.by_id]
    both = [(x, y) for x, y in both if _measured(x) and _measured(y)]
    pairs = [(x, y) for x, y in both if x.test == y.test]
    p: dict[str, float] = {}  # by the comparison's name; several claims may share one
    smaller = set()
    for x, y in both:
        for contrast in x.deciding:
            twin = counterpart(contrast, y)  # may decide by another limit there
            value = p_of_difference(contrast, twin) if twin else None
            if value is not None:
                p[full_name(contrast)] = value
                if abs(twin.estimate) < abs(contrast.estimate):
                    smaller.add(full_name(contrast))
    limit = 1 - level_of(p.values())
    beyond = [name for name, value in p.items() if value <= limit]
    decided = [(x, y) for x, y in pairs if x.word in DECIDED and x.trained]
    return Agreement(
        both=[x.id for x, _ in pairs],
        differently=[x.id for x, y in both if x.test != y.test],
        opposite=[x.id for x, y in pairs if {x.word, y.word} == {*DECIDED}],
        decided=[x.id for x, _ in decided],
        confirmed=[x.id for x, y in decided if x.word == y.word],
        open=[x.id for x, y in decided if y.word not in DECIDED],
        gained=[x.id for x, y in pairs if x.word not in DECIDED and y.word in DECIDED],
        compared=len(p),
        beyond=beyond,
        smaller=[name for name in beyond if name in smaller],
    )


def elsewhere(verdicts: StudyVerdicts, others: Iterable[StudyVerdicts]) -> list[str]:
    """List how far other studies of the preset agree: of other data, machines or seeds.

    Args:
        verdicts: the study whose findings are shown
        others: the other studies

    Returns:
        Lines of Markdown; none if no study can be compared.
    """
    items = []
    for other in others:
        found = agreement(verdicts, other)
        if not found.compared or len(found.both) < len(found.differently) or other.preset != verdicts.preset:
            continue
        shared = not {*other.seeds}.isdisjoint(verdicts.seeds)
        if verdicts.on_other_data(other):
            result = _on_other_data(found)
        elif other.machine != verdicts.machine or not shared:
            result = ("agrees" if found.agree else "does not agree") + ", but shares seeds" * shared
        else:
            continue
        items.append(
            f"- {_described(verdicts, other)}: {result}. Of {counted(len(found.decided), 'verdict')}, it"
            f" confirms {len(found.confirmed)}, leaves {len(found.open)} open and contradicts"
            f" {listed(found.opposite) or 'none'}. {_beyond(found)}."
        )
    if not items:
        return []
    return [
        "Do other studies agree, in verdicts on trained networks that both studies reach by the same test?",
        "",
        *items,
        "",
        "A study agrees if it contradicts no verdict and if no comparison differs by more than chance. If it"
        " shares seeds, that shows only that runs can be repeated.",
    ]


def _described(verdicts: StudyVerdicts, other: StudyVerdicts) -> str:
    """Name what differs between the studies, and the seeds of the other."""
    other_data = other.data["name"] != verdicts.data["name"]
    families = _families(other)
    differences = {
        f"{other.images}, {other.data['counts']['test']} test images": other_data,
        other.machine: other.machine != verdicts.machine,
        "other images or settings": not other_data and unequal_settings(verdicts, other),
        "other backbone weights": other.weights != verdicts.weights,
        f"{listed(families)} only": families and families != _families(verdicts),
        f"seed{'s' * (len(other.seeds) > 1)} {span(other.seeds)}": True,
    }
    name = ", ".join(text for text, differs in differences.items() if differs)
    return name[0].upper() + name[1:]


def _on_other_data(found: Agreement) -> str:
    results = ["some verdicts are reversed"] if found.opposite else []
    if found.beyond:
        most = 2 * len(found.smaller) > found.compared
        results.append("most effects are smaller" if most else "effects have other sizes")
    return f"does not agree: {'; '.join(results)}" if results else "agrees"


def in_words(found: Agreement, a: str = "A", b: str = "B") -> str:
    """Say which verdicts of one study another confirms, does not decide or contradicts.

    Args:
        found: the agreement of the two
        a: name of the first study in a sentence
        b: name of the second
    """
    n = len(found.differently)
    more = f" {counted(n, 'more claim')} cannot be compared, because the tests differ." if n else ""
    gained = f" It decides {listed(found.gained)}, which {a} does not decide." if found.gained else ""
    undecided = f" ({listed(found.open)})" if found.open else ""
    return (
        f"Of the {counted(len(found.both), 'claim')} that both test alike, {a} decides {len(found.decided)}"
        f" by trained networks. Of these, {b} confirms {len(found.confirmed)} and does not decide"
        f" {len(found.open)}{undecided}. It contradicts {listed(found.opposite) or 'none'}.{gained}{more}"
    )


def _beyond(found: Agreement) -> str:
    beyond = len(found.beyond) or "none"
    verb = "differs" if beyond in (1, "none") else "differ"
    return f"Of {counted(found.compared, 'comparison')}, {beyond} {verb} by more than chance"


def _families(verdicts: StudyVerdicts) -> list[str]:
    trained = {VARIANTS[name].family for name in verdicts.networks if name in VARIANTS}
    return [name for family, name in FAMILIES.items() if family in trained]


def counterpart(contrast: MeasuredContrast, claim: Verdict) -> MeasuredContrast | None:
    """Return the same comparison of another study's verdict, if it was measured there."""
    measured = (part for part in claim.deciding if part.estimate is not None)
    return next((part for part in measured if part.identity == contrast.identity), None)


def _measured(claim: Verdict) -> bool:
    return bool(claim.deciding) and all(contrast.estimate is not None for contrast in claim.deciding)


def p_of_difference(a: MeasuredContrast, b: MeasuredContrast) -> float | None:
    """Return the two-sided p of the difference of two estimates.

    None if one is counted, or comes from one seed, so that the variation between runs is unknown.

    Files of schema 1 have no standard error. It is then half the 95% interval over the normal quantile, which
    is too large, because the quantile of these intervals was larger.
    """
    if any(part.low is None or part.seeds == 1 for part in (a, b)):
        return None
    (se_a, dof_a), (se_b, dof_b) = (
        (part.half_width / ndtri(0.975), 1e9) if part.se is None else (part.se, part.dof) for part in (a, b)
    )
    se, dof = standard_error(se_a**2, dof_a, se_b**2, dof_b)
    return float(2 * stdtr(dof, -abs(a.estimate - b.estimate) / se)) if se else None


def differences(a: StudyVerdicts, b: StudyVerdicts) -> tuple[bool, str]:
    """Compare two studies.

    Returns:
        Whether they agree, and a text with the origin of both, their `agreement`, the verdicts that differ
        and the effects next to each other.
    """
    lines = [f"A  {_origin(a)}", f"B  {_origin(b)}", "", *_settings(a, b), ""]
    if 1 in (len(a.seeds), len(b.seeds)):
        lines += [
            "With one seed, intervals cover the choice of test images but not the variation between runs.",
            "",
        ]
    if {a.schema, b.schema} != {StudyVerdicts.schema}:
        lines += [HOLM, ""]
    pairs = [(claim, b.by_id.get(claim.id)) for claim in a.claims]
    found = agreement(a, b)
    lines += [str(found), ""]
    moved = [(mine, other) for mine, other in pairs if other and mine.word != other.word]
    alone = sorted(a.by_id.keys() ^ b.by_id.keys())
    for mine, other in moved:
        by_test = "" if mine.test == other.test else " (by different tests)"
        lines.append(f"{mine.id:<4} {mine.word} -> {other.word}{by_test}: {mine.sentence}")
    if alone:
        lines.append(f"in only one of the two studies: {', '.join(alone)}")
    if not moved:
        lines.append("no verdict differs")
    rows = [("", "", "A", "", "B", "")]
    for mine, other in pairs:
        twins = {(twin.label, twin.metric): twin for twin in (other.contrasts if other else ())}
        for i, contrast in enumerate(mine.deciding):
            twin = twins.get((contrast.label, contrast.metric))
            rows.append(("" if i else mine.id, full_name(contrast), *numbers(contrast), *numbers(twin)))
    return found.agree, "\n".join([*lines, "", aligned(rows)])


def _origin(verdicts: StudyVerdicts) -> str:
    seeds = ", ".join(map(str, verdicts.seeds))
    return f"{verdicts.study}: seeds {seeds or 'none'}, {verdicts.machine}, {verdicts.date}"


def _settings(a: StudyVerdicts, b: StudyVerdicts) -> list[str]:
    """Return one line each for data, preset, code, backbone weights and seeds: the same, or both values."""
    pairs = {"data": tuple(_images(a, b))}
    pairs |= {name: (getattr(a, name), getattr(b, name)) for name in ("preset", "code", "weights", "seeds")}
    return [f"{name:<8} {'same' if x == y else f'differs: {x} and {y}'}" for name, (x, y) in pairs.items()]
