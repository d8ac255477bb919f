"""Five findings of a study in plain sentences, for README.md and the first page of the report."""

from collections.abc import Sequence
from typing import NamedTuple

from segnb.audit import scores
from segnb.claims.claim import Claim, Contrast
from segnb.claims.compare import agreement, counterpart, elsewhere
from segnb.claims.ledger import LEDGER
from segnb.claims.saved import PERFORMANCE_PAGE, of_other_data, older_tests, source
from segnb.claims.verdicts import DECIDED, MeasuredContrast, StudyVerdicts, Verdict
from segnb.claims.wording import (
    by_word,
    counts,
    estimate,
    interval,
    listed,
    outlook,
    percent,
    printed,
    score,
    span,
)
from segnb.models.registry import VARIANTS, label
from segnb.storage.files import between, markdown_table

MARKS = "<!-- findings -->", "<!-- /findings -->"  # around the findings of one study in README.md
EXPECTED = "FCN8s_vgg16_finetune", "UNet_Standard_256"  # their scores stand in README.md
TOPICS = {  # claims about a difference in mIoU
    "U1": "skip connections",
    "F1": "finer strides",
    "U7": "residual blocks",
    "U9": "attention gates",
}


class Finding(NamedTuple):
    """A conclusion without its full stop, the claim that it is about, and more sentences ("" for none)."""

    conclusion: str
    claim: str
    rest: str

    def __str__(self) -> str:
        """Return the finding in Markdown."""
        return f"**{self.conclusion}** (claim {self.claim}). {self.rest}".strip()


def findings(verdicts: StudyVerdicts, others: Sequence[StudyVerdicts] = ()) -> list[Finding]:
    """Return up to five findings: reported scores, skips, strides, residual blocks and attention gates.

    A finding without evaluated networks is left out.

    Args:
        verdicts: of the study that is shown
        others: other studies; of those with other data, each finding gives the verdict, too
    """
    reported = [_reported_scores(claim.word) for claim in verdicts.claims if claim.id == "M1"]
    there = of_other_data(verdicts, others)  # computed once for all claims
    return reported + [_finding(claim, verdicts, there) for claim in _measured(verdicts)]


def in_sections(verdicts: StudyVerdicts, others: Sequence[StudyVerdicts] = ()) -> str:
    """Return the findings as a Markdown list, with the differences in mIoU as a table below."""
    bullets = "\n".join(f"- {finding}" for finding in findings(verdicts, others))
    return "\n\n".join(filter(None, [bullets, _differences(_measured(verdicts), verdicts, others)]))


def on_claim(verdicts: StudyVerdicts, name: str) -> str:
    """Return the finding on a claim with its differences, in Markdown; "" for none."""
    claims = [claim for claim in _measured(verdicts) if claim.id == name]
    return "".join(f"{_finding(claim, verdicts)}\n\n{_differences([claim], verdicts)}" for claim in claims)


def in_readme(text: str, verdicts: StudyVerdicts, name: str, others: Sequence[StudyVerdicts] = ()) -> str:
    """Return README.md with the findings of results/<name> between its marks.

    Args:
        text: of README.md
        verdicts: those of results/<name>
        name: of the file
        others: all studies in results/, to say how far other machines and data agree

    Raises:
        SegnbError: if README.md has no marks.
    """
    lines = [in_sections(verdicts, others), "", *elsewhere(verdicts, others)]
    about = source(verdicts, name) + _scores(verdicts) + older_tests(verdicts)
    about += f" To repeat it, run `{verdicts.command}`."
    first = " ".join([counts(verdicts), *caveats(verdicts, others)])
    return between(text, MARKS, "\n".join([first, "", *lines, "", about]))


def caveats(verdicts: StudyVerdicts, others: Sequence[StudyVerdicts] = ()) -> list[str]:
    """Say which verdicts other data contradict, which longer training may change, and which are counted."""
    decided = [claim for claim in verdicts.claims if claim.word in DECIDED and claim.deciding]
    exact = [claim.id for claim in decided if not claim.tested]
    levels = [claim for claim in decided if claim.decisive_contrast and claim.decisive_contrast.is_level]
    sentences = []
    for other in of_other_data(verdicts, others):
        if opposite := agreement(verdicts, other).opposite:
            plural = "s" if len(opposite) > 1 else ""
            sentences.append(
                f"With {other.images}, the verdict{plural} on {listed(opposite)} would be reversed."
            )
    if levels:
        refuted = [claim.id for claim in levels if claim.word == "refuted"]
        names = f" ({listed(refuted)})" if refuted else ""
        sentences.append(
            "Longer training may change any verdict on trained networks, above all those on the score of one"
            f" network, such as a recall: {by_word(levels)}{names}."
        )
    if exact:
        sentences.append(
            f"{listed(exact)} {'is' if len(exact) == 1 else 'are'} decided by counting parameters, operations"
            " or bytes."
        )
    return sentences


def _scores(verdicts: StudyVerdicts) -> str:
    """Return the scores of two networks, to expect of the preset; "" if they are not known."""
    scored = [
        f"{label(name)} {score(row['miou'])} at {verdicts.settings[VARIANTS[name].family]['size']} px"
        for name, row in verdicts.scores.items()
        if name in EXPECTED
    ]
    if not scored:
        return ""
    return (
        f" Test mIoU, mean ± standard deviation over seeds: {listed(scored)}"
        f" ([all networks, with times]({PERFORMANCE_PAGE}#scores-and-times))."
    )


def _reported_scores(word: str) -> Finding:
    """Return the finding on the study's own numbers, which needs no runs; `word` is the verdict on M1."""
    table = scores.published_scores()
    reported, mean = (
        f"{table[column].min():.3f} to {table[column].max():.3f}" for column in ("as_published", "miou")
    )
    pairs = [
        f"{label(pair.below)} overtakes {label(pair.above)}" for pair in scores.swaps(table).itertuples()
    ]
    return Finding(
        f"The study's headline scores are {'right' if word == 'supported' else 'wrong'}",
        "M1",
        "The study passed label maps to a metric that expects one-hot masks."
        f" It reports mIoU of {reported} for its {len(table)} networks. The mean of its own class IoUs,"
        f" read off its bar charts to ±{scores.READING_ERROR}, is {mean}."
        f" Ranked by this mean, {listed(pairs) or 'no network overtakes another'} (claim M2).",
    )


def _measured(verdicts: StudyVerdicts) -> list[Verdict]:
    """Return the claims of TOPICS whose networks are evaluated."""
    claims = [verdicts.by_id[name] for name in TOPICS if name in verdicts.by_id]
    return [claim for claim in claims if claim.word != "not measured"]


def _finding(claim: Verdict, verdicts: StudyVerdicts, others: Sequence[StudyVerdicts] = ()) -> Finding:
    conclusion = _conclusion(TOPICS[claim.id], claim, verdicts.images)
    sentences = [_on_other_data(claim, other) for other in others]
    return Finding(conclusion, claim.id, " ".join(filter(None, [*sentences, _settle(claim)])))


def _conclusion(subject: str, claim: Verdict, images: str) -> str:
    equal, at_most, several = claim.kind == "≈", claim.deciding[0].at_most, len(claim.deciding) > 1
    value = 100 * abs(claim.limit(claim.deciding[0]))
    points = f"{value:g} point{'s' * (value != 1)}"
    limit = f" by more than {points}" if equal or at_most else ""
    change = f"{'change' if equal else 'raise'} mIoU{limit}"
    if claim.word not in DECIDED:
        return f"It is not decided whether {subject} {change}{', which the study denies' if at_most else ''}"
    supported = claim.word == "supported"
    if claim.origin == "ours":
        agrees = "as our null hypothesis says" if supported else "contrary to our null hypothesis"
    else:
        agrees = "as the study claims" if supported else "contrary to the study"
    if supported and equal:
        verb = f"change mIoU by less than {points}"
    elif supported:
        verb = f"do not {change}" if at_most else change
    elif several:
        verb = f"{change} in at least one network" if limit else "do not always raise mIoU"
    else:
        verb = "raise mIoU" if claim.decisive_contrast.estimate > 0 else "lower mIoU"
    verb = verb.replace("mIoU", f"mIoU on {images}")
    return f"{subject.capitalize()} {verb}, {agrees}"


def _on_other_data(claim: Verdict, other: StudyVerdicts) -> str:
    """Give the verdict on other data; "" if it is missing there or comes from another test."""
    its = other.by_id.get(claim.id)
    if its is None or its.word == "not measured" or its.test != claim.test:
        return ""
    whose = "our null hypothesis" if claim.origin == "ours" else "the study's claim"
    return f"With {other.images}, {whose} is {its.word}{', too' if its.word == claim.word else ''}."


def _differences(
    claims: Sequence[Verdict], verdicts: StudyVerdicts, others: Sequence[StudyVerdicts] = ()
) -> str:
    """Tabulate the deciding comparisons of claims, here, on other data and in the study; "" for none.

    All are differences of mIoU, so that the sentence above the table gives their unit.
    """
    shown = [verdicts, *of_other_data(verdicts, others)]
    rows, levels = [], set()
    for claim in claims:
        its = [study.by_id.get(claim.id) for study in shown]
        own = {part.label: printed(100 * value, 1, sign=True) for part, value in in_study(LEDGER[claim.id])}
        for contrast in claim.deciding:
            twins = [counterpart(contrast, one) if one else None for one in its]
            levels |= {twin.level for twin in twins if twin and twin.low is not None}
            rows.append([claim.id, contrast.label, *map(_cell, twins), own.get(contrast.label, "–")])
    if not rows:
        return ""
    heads = [f"{study.images}, {_seeds(claims, study)}" for study in shown]
    head = ["claim", "difference", *heads, "the study's class IoUs, 1 run"]
    level = " to ".join(dict.fromkeys(map(percent, (min(levels, default=0.95), max(levels, default=0.95)))))
    return f"Differences in points of mIoU, with confidence intervals (CI) at {level}:\n\n" + markdown_table(
        head, rows
    )


def _cell(contrast: MeasuredContrast | None) -> str:
    if contrast is None:
        return "–"
    ends = interval(contrast)
    return estimate(contrast) + (f" ({ends})" if ends else "")


def _seeds(claims: Sequence[Verdict], study: StudyVerdicts) -> str:
    """State the number of seeds per network behind a study's verdicts on claims."""
    seeds = sorted({study.by_id[claim.id].seeds for claim in claims if claim.id in study.by_id} - {0})
    return f"{span(seeds)} seed{'' if seeds == [1] else 's'}" if seeds else "not measured"


def in_study(claim: Claim) -> list[tuple[Contrast, float]]:
    """Return a claim's comparisons of mIoU of networks that the study trained, with the study's own value.

    The value is the difference of means of its class IoUs, 0 to 1, before it is weighted.
    """
    miou = scores.published_scores().miou
    return [
        (part, miou[[*part.plus]].sum() - miou[[*part.minus]].sum())
        for part in claim.contrasts
        if part.metric == "miou" and {*part.networks} <= {*miou.index}
    ]


def _settle(claim: Verdict) -> str:
    """Return what would decide an inconclusive claim; "" if nothing is known about it."""
    if claim.word != "inconclusive":
        return ""
    if claim.seeds == 1:
        return "One seed cannot decide the claim: its interval covers test images only. Train at least three."
    return outlook(claim) if claim.power else ""
