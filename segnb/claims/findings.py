"""Five findings of a study in plain sentences, for README.md and the first page of the report."""

from collections.abc import Sequence

from segnb.audit import scores
from segnb.claims.claim import Claim, Contrast
from segnb.claims.compare import counterpart, elsewhere
from segnb.claims.ledger import LEDGER
from segnb.claims.related_studies import origin
from segnb.claims.saved import CLAIMS_PAGE, PERFORMANCE_PAGE, older_tests, source
from segnb.claims.verdicts import DECIDED, UNMEASURABLE, StudyVerdicts, Verdict
from segnb.claims.wording import by_word, counted, counts, effect, listed, outlook, printed, score
from segnb.models.registry import label
from segnb.storage.files import between, in_markdown

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


def findings(verdicts: StudyVerdicts, others: Sequence[StudyVerdicts] = ()) -> list[str]:
    """Return up to five findings: reported scores, skips, strides, residual blocks and attention gates.

    The first sentence of a finding is its conclusion. A finding without evaluated networks is left out.

    Args:
        verdicts: of the study that is shown
        others: other studies; of those with other data, each finding gives the effects, too
    """
    claims = verdicts.by_id
    sentences = [_reported_scores(claims)] if "M1" in claims else []
    return sentences + list(filter(None, (on_claim(verdicts, name, others) for name in TOPICS)))


def on_claim(verdicts: StudyVerdicts, name: str, others: Sequence[StudyVerdicts] = ()) -> str:
    """Return the finding on a claim of TOPICS; "" for other claims, or without evaluated networks."""
    claim = verdicts.by_id.get(name) if name in TOPICS else None
    if claim is None or claim.word == "not measured":
        return ""
    subject, effects = TOPICS[name]
    elsewhere = "".join(_on_other_data(claim, verdicts, other) for other in others)
    images = in_markdown(origin(verdicts.data)).replace(". ", ".\u00a0")  # not the end of the conclusion
    return f"{_conclusion(subject, claim, images)} {_effects(effects, claim)}{elsewhere}{_settle(claim)}"


def emphasised(finding: str) -> str:
    """Return a finding in Markdown with its conclusion, the first sentence, in bold; "" for none."""
    return "**{}.** {}".format(*finding.split(". ", 1)) if finding else ""


def bullets(verdicts: StudyVerdicts, others: Sequence[StudyVerdicts] = ()) -> list[str]:
    """Return the findings as items of a Markdown list, with their conclusions in bold."""
    return [f"- {emphasised(finding)}" for finding in findings(verdicts, others)]


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
    lines = [*bullets(verdicts, others), "", *elsewhere(verdicts, others)]
    note = older_tests(verdicts)
    if verdicts.schema < StudyVerdicts.schema:
        note = f" The verdicts follow an older rule, which [the table of claims]({CLAIMS_PAGE}) explains."
    repeat = f" To repeat it, run `{verdicts.command}`." if verdicts.command else ""
    about = source(verdicts, name) + _scores(verdicts) + note + repeat
    first = " ".join([counts(verdicts), *caveats(verdicts)])
    return between(text, MARKS, "\n".join([first, "", *lines, "", about]))


def caveats(verdicts: StudyVerdicts) -> list[str]:
    """Say which verdicts longer training may change, and which are only counted."""
    decided = [claim for claim in verdicts.claims if claim.word in DECIDED and claim.deciding]
    exact = [claim.id for claim in decided if not claim.tested]
    levels = [claim for claim in decided if claim.decisive_contrast and claim.decisive_contrast.is_level]
    sentences = []
    if levels:
        refuted = [claim.id for claim in levels if claim.word == "refuted"]
        names = f" ({listed(refuted)})" if refuted else ""
        sentences.append(
            "Longer training may change verdicts on the score of one network, such as a recall: of these,"
            f" {by_word(levels)}{names}."
        )
    if exact:
        sentences.append(
            f"{listed(exact)} {'is' if len(exact) == 1 else 'are'} decided by counting parameters, operations"
            " or bytes."
        )
    return sentences


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
        swaps = scores.swaps(table)
        pairs = [f"{label(pair.below)} overtakes {label(pair.above)}" for pair in swaps.itertuples()]
        sentences.append(
            f"Ranked by this mean, {listed(pairs) or 'no network overtakes another'} (claim M2)."
        )
    return " ".join(sentences)


def _conclusion(subject: str, claim: Verdict, images: str) -> str:
    equal, at_most, several = claim.kind == "≈", claim.deciding[0].at_most, len(claim.deciding) > 1
    value = 100 * abs(claim.limit(claim.deciding[0]))
    points = f"{value:g} point{'s' * (value != 1)}"
    limit = f" by more than {points}" if equal or at_most else ""
    change = f"{'change' if equal else 'raise'} mIoU{limit}"
    if claim.word not in DECIDED:
        state = UNMEASURABLE if claim.word == UNMEASURABLE else "not decided"
        denies = ", which the study denies" if at_most else ""
        return f"It is {state} whether {subject} {change}{denies}."
    if claim.origin == "ours":
        agrees = (
            "as our null hypothesis says" if claim.word == "supported" else "contrary to our null hypothesis"
        )
    else:
        agrees = "as the study claims" if claim.word == "supported" else "contrary to the study"
    if claim.word == "supported" and equal:
        verb = f"change mIoU by less than {points}"
    elif claim.word == "supported":
        verb = f"do not {change}" if at_most else change
    elif several:
        verb = f"{change} in at least one network" if limit else "do not always raise mIoU"
    else:
        verb = "raise mIoU" if claim.decisive_contrast.estimate > 0 else "lower mIoU"
    verb = verb.replace("mIoU", f"mIoU on {images}")
    return f"{subject.capitalize()} {verb}, {agrees}."


def _effects(sentences: str, claim: Verdict) -> str:
    """Return the effect and interval of each comparison, with the number of seeds and the claim."""
    values = [
        "an unknown amount" if contrast.estimate is None else effect(contrast, named=True, level=not i)
        for i, contrast in enumerate(claim.deciding)
    ]
    seeds = counted(claim.seeds, "seed")
    return (
        f"{sentences.format(*values)}, from {seeds} per network (claim {claim.id}).{_own(LEDGER[claim.id])}"
    )


def _on_other_data(claim: Verdict, verdicts: StudyVerdicts, other: StudyVerdicts) -> str:
    """Give the effects of the same comparisons on other data; "" for the same data, or if one is missing."""
    its = other.by_id.get(claim.id)
    if its is None or not verdicts.on_other_data(other):
        return ""
    twins = [counterpart(contrast, its) for contrast in claim.deciding]
    if None in twins:
        return ""
    still_open = claim.word in DECIDED and its.word not in DECIDED
    values = listed([effect(twin, named=True) for twin in twins])
    return (
        f" With {in_markdown(origin(other.data))}, the effect{'s are' if len(twins) > 1 else ' is'} {values}"
        f"{', and the claim is not decided' if still_open else ''}."
    )


def _own(claim: Claim) -> str:
    """Give the study's own differences, which its author can compare; "" without any."""
    own = [(part, printed(100 * value, 1, sign=True)) for part, value in in_study(claim) if part.decides]
    if not own:
        return ""
    if len(own) == sum(part.decides for part in claim.contrasts):  # in the order of the effects before
        return f" The study's own class IoUs give {listed([value for _, value in own])} points."
    named = [f"{value} points ({part.label})" for part, value in own]
    return f" The study's own class IoUs give {listed(named)}."


def in_study(claim: Claim) -> list[tuple[Contrast, float]]:
    """Return a claim's comparisons of mIoU of networks that the study trained, with the study's own value.

    The value is the difference of means of its class IoUs, 0 to 1, before it is weighted.
    """
    parts = [part for part in claim.contrasts if part.metric == "miou"]
    miou = scores.published_scores().miou if parts else {}  # the file is read only for others
    parts = [part for part in parts if {*part.networks} <= {*miou.keys()}]
    return [(part, miou[[*part.plus]].sum() - miou[[*part.minus]].sum()) for part in parts]


def _settle(claim: Verdict) -> str:
    """Return what would decide an inconclusive claim; "" if nothing is known about it."""
    if claim.word != "inconclusive":
        return ""
    if claim.seeds == 1:
        return (
            " One seed cannot decide the claim: its interval covers test images only. Train at least three."
        )
    return f" {outlook(claim)}" if claim.power else ""
