"""Five findings of a study in plain sentences, for README.md and the first page of the report."""

from collections.abc import Sequence

from segnb.audit import scores
from segnb.claims.compare import elsewhere
from segnb.claims.saved import CLAIMS_PAGE, PERFORMANCE_PAGE, older_tests, source
from segnb.claims.verdicts import DECIDED, UNMEASURABLE, StudyVerdicts, Verdict
from segnb.claims.wording import counted, counts, effect, listed, outlook, score
from segnb.models.registry import label
from segnb.storage.files import between

MARKS = "<!-- findings -->", "<!-- /findings -->"  # around the findings of one study in README.md
EXPECTED = "FCN8s_vgg16_finetune", "UNet_Standard_256"  # their scores stand in README.md
# Claim: its subject, and sentences with a place for the effect of each deciding comparison, in their order.
TOPICS = {
    "U1": ("skip connections", "With them, the mIoU of a U-Net changes by {}"),
    "F1": (
        "finer strides",
        "From FCN-32s to FCN-16s, mIoU changes by {} with a frozen backbone and by {} with a fine-tuned"
        " backbone. From FCN-16s to FCN-8s, it changes by {} and {}",
    ),
    "U7": ("residual blocks", "With them, the mIoU of a U-Net changes by {}"),
    "U9": (
        "attention gates",
        "With them, the mIoU of a U-Net changes by {} and that of a residual U-Net by {}",
    ),
}


def findings(verdicts: StudyVerdicts) -> list[str]:
    """Return up to five findings: reported scores, skips, strides, residual blocks and attention gates.

    The first sentence of a finding is its conclusion. A finding without evaluated networks is left out.
    """
    claims = verdicts.by_id
    sentences = [_reported_scores(claims)] if "M1" in claims else []
    for name, (subject, effects) in TOPICS.items():
        claim = claims.get(name)
        if claim and claim.word != "not measured":
            sentences.append(f"{_conclusion(subject, claim)} {_effects(effects, claim)}{_settle(claim)}")
    return sentences


def bullets(verdicts: StudyVerdicts) -> list[str]:
    """Return the findings as items of a Markdown list, with their conclusions in bold."""
    return ["- **{}.** {}".format(*finding.split(". ", 1)) for finding in findings(verdicts)]


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
    lines = bullets(verdicts) + [f"- {sentence}" for sentence in elsewhere(verdicts, others, TOPICS)]
    note = older_tests(verdicts)
    if verdicts.schema < StudyVerdicts.schema:
        note = f" The verdicts follow an older rule, which [the table of claims]({CLAIMS_PAGE}) explains."
    repeat = f" To repeat it, run `{verdicts.command}`." if verdicts.command else ""
    about = source(verdicts, name) + _scores(verdicts) + note + repeat
    return between(text, MARKS, "\n".join([counts(verdicts), "", *lines, "", about]))


def _scores(verdicts: StudyVerdicts) -> str:
    """Return the scores of two networks, to expect of the preset; "" if they are not known."""
    known = [name for name in EXPECTED if name in verdicts.scores]
    if not known:
        return ""
    scored = listed([f"{label(name)} {score(verdicts.scores[name]['miou'])}" for name in known])
    return (
        f" Test mIoU, mean ± standard deviation over seeds: {scored}"
        f" ([all networks, with times]({PERFORMANCE_PAGE}#scores-and-times))."
    )


def _reported_scores(claims: dict[str, Verdict]) -> str:
    """Return the finding on the study's own numbers, which needs no runs."""
    table = scores.published_scores()
    reported, mean = (
        f"{table[column].min():.3f} to {table[column].max():.3f}" for column in ("as_published", "miou")
    )
    conclusion = {
        "supported": "The study's headline scores are right.",
        "refuted": "The study's headline scores are wrong.",
    }
    undecided = "It is not decided whether the study's headline scores are right."
    sentences = [
        conclusion.get(claims["M1"].word, undecided),
        "The study passed label maps to a metric that expects one-hot masks.",
        f"It reports mIoU of {reported} for its {len(table)} networks. The mean of its own class IoUs,"
        f" read off its bar charts to ±{scores.READING_ERROR}, is {mean} (claim M1).",
    ]
    if "M2" in claims and claims["M2"].word in conclusion:
        pairs = len(scores.swaps(table))
        change = f"{counted(pairs, 'pair')} of networks change{'s' * (pairs == 1)}"
        sentences.append(
            f"Ranked by this mean, {change if pairs else 'no networks change'} places (claim M2)."
        )
    return " ".join(sentences)


def _conclusion(subject: str, claim: Verdict) -> str:
    equal, at_most, several = claim.kind == "≈", claim.deciding[0].at_most, len(claim.deciding) > 1
    value = 100 * abs(claim.limit(claim.deciding[0]))
    points = f"{value:g} point{'s' * (value != 1)}"
    limit = f" by more than {points}" if equal or at_most else ""
    change = f"{'change' if equal else 'raise'} mIoU{limit}"
    if claim.word not in DECIDED:
        state = UNMEASURABLE if claim.word == UNMEASURABLE else "not decided"
        return f"It is {state} whether {subject} {change}."
    if claim.origin == "ours":
        agrees = " (the study makes no claim about it)"
    else:
        agrees = ", as the study claims" if claim.word == "supported" else ", contrary to the study"
    if claim.word == "supported" and equal:
        verb = f"change mIoU by less than {points}"
    elif claim.word == "supported":
        verb = f"do not {change}" if at_most else change
    elif several:
        verb = f"{change} in at least one network" if limit else "do not always raise mIoU"
    else:
        verb = "raise mIoU" if claim.decisive_contrast.estimate > 0 else "lower mIoU"
    return f"{subject.capitalize()} {verb}{agrees}."


def _effects(sentences: str, claim: Verdict) -> str:
    """Return the effect and interval of each comparison, with the number of seeds and the claim."""
    values = [
        "an unknown amount" if contrast.estimate is None else effect(contrast, named=True, level=not i)
        for i, contrast in enumerate(claim.deciding)
    ]
    return f"{sentences.format(*values)}, from {counted(claim.seeds, 'seed')} per network (claim {claim.id})."


def _settle(claim: Verdict) -> str:
    """Return what would decide an inconclusive claim; "" if nothing is known about it."""
    if claim.word != "inconclusive":
        return ""
    if claim.seeds == 1:
        return (
            " One seed cannot decide the claim: its interval covers test images only. Train at least three."
        )
    return f" {outlook(claim)}" if claim.power else ""
