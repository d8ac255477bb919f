"""Verdicts as HTML: summary sentences, the table of verdicts, and a folding block per claim.

`segnb.claims.decide` computes the verdicts; this module only displays them. The blocks are `<details>`, so
they open without a script and by keyboard. `segnb.report.html` styles them for the report.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby

from IPython.display import HTML

from segnb.audit.scores import READING_ERROR
from segnb.claims import findings, wording
from segnb.claims.compare import agreement, counterpart, in_words, p_of_difference
from segnb.claims.ledger import SENTENCES
from segnb.claims.verdicts import DECIDED, UNMEASURABLE, StudyVerdicts, Verdict
from segnb.claims.wording import counted, half_widths, listed, p_cell, signed, with_unit
from segnb.models.registry import label
from segnb.report.figures.claims import grouped
from segnb.report.figures.style import Picture, percent
from segnb.report.html import address, fill
from segnb.storage.files import to_json

SYMBOLS = {"supported": "✓", "refuted": "✗", "inconclusive": "?", UNMEASURABLE: "○", "not measured": "–"}
OTHER_TEST = "another test"  # of an earlier version: its verdict says nothing about this one
SYMBOLS[OTHER_TEST] = "–"
# CSS classes of the page.
COLOURS = dict.fromkeys(SYMBOLS, "quiet") | {"supported": "good", "refuted": "bad", "inconclusive": ""}
FAMILIES = {"F": "FCN", "U": "U-Net", "M": "The study's scores"}
CHAPTERS = {"F": "fcn.ipynb", "U": "unet.ipynb", "M": "audit.ipynb"}  # with the claims of a family
COLUMNS = 2  # reference studies that fit into the table of verdicts on a screen of 1,440 px
RULES_PLACE = "claims.ipynb#How-to-read-a-verdict"


# --- sentences about all claims ---


def power(verdicts: StudyVerdicts, saved: Sequence[StudyVerdicts] = ()) -> str:
    """Say how many claims more seeds would decide, of 3, 5 and 10; "" if no study gives an estimate.

    One seed shows no spread, so the estimate then comes from the first of the saved studies.
    """
    sources = {"stay the same": verdicts}
    sources |= {f"are as in {reference(number)}": study for number, study in enumerate(saved, start=1)}
    known = ((condition, study) for condition, study in sources.items() if study.decided)
    condition, source = next(known, ("", verdicts))
    more = {n: number for n, number in source.decided.items() if int(n) > len(verdicts.seeds)}
    if not more:
        return ""
    (seeds, number), *others = more.items()
    numbers = [f"{seeds} seeds would decide about {number:.0f} of the {len(source.claims)} claims"]
    numbers += [f"{seeds} seeds about {number:.0f}" for seeds, number in others]
    return f"If effects and spreads {condition}, {listed(numbers)}."


def saved_sentence(verdicts: StudyVerdicts, saved: Sequence[StudyVerdicts]) -> str:
    """List the reference studies and how far they agree with this one, in Markdown; "" without any."""
    if not saved:
        return ""
    items, older = [], []
    for number, study in enumerate(saved, start=1):
        if study.schema < StudyVerdicts.schema:
            older.append(reference(number))
        decided, found = study.count(*DECIDED), agreement(verdicts, study)
        hidden = "; shown in the claim blocks only" if number > COLUMNS else ""
        compared = f" {in_words(found, 'this study', 'it')}" if found.both else ""
        items.append(
            f"- *{reference(number).capitalize()}* ({described(study)}{hidden}) decides"
            f" {counted(decided, 'claim')}.{compared}"
        )
    text = "Reference studies are finished studies that come with segnb."
    if older:
        text += (
            f" The verdicts of {listed(older)} follow an older rule, Holm's correction, and not the"
            " printed 95% intervals. A claim can therefore be inconclusive there although its printed"
            " interval would decide it."
        )
    return "\n".join([text, "", *items])


def reference(number: int) -> str:
    """Name a reference study within a sentence."""
    return f"reference study {number}"


def described(verdicts: StudyVerdicts) -> str:
    """Name the preset, data, seeds, machine and date of a study."""
    return (
        f"preset {verdicts.preset}, {verdicts.images},"
        f" seed{'s' * (len(verdicts.seeds) > 1)} {', '.join(map(str, verdicts.seeds))}, {verdicts.machine},"
        f" {verdicts.date[:10]}"
    )


# --- sentences about one claim ---


def seeds_sentence(claim: Verdict) -> str:
    """Say what the seeds of a claim can resolve and, if it is not decided, what more seeds would bring."""
    seeds = f"This claim rests on {counted(claim.seeds, 'seed')}."
    if claim.widest:
        seeds = f"{seeds} The widest interval that decides is {half_widths(claim)}."
    if claim.word in DECIDED:
        return seeds
    chances = [f"{percent(chance, 0)} with {number} seeds" for number, chance in claim.power.items()]
    return f"{seeds} If effect and spread stay the same, the chance of a decision is {listed(chances)}."


def p_sentence(claim: Verdict) -> str:
    """Give the p values of the whole claim and the value that decides; "" if nothing was tested."""
    if claim.p_for is None:
        return ""
    p_for, p_against = _p(claim.p_for), _p(claim.p_against)
    return (
        f"For the whole claim, p is {p_for} for it and {p_against} against it; a verdict needs"
        f" p ≤ {1 - claim.level:.2g}."
    )


def _p(value: float) -> str:
    return p_cell(value).replace("<", "below")


def reference_reason(claim: Verdict, mine: Verdict) -> str:
    """Give the numbers behind the verdict of a reference study, and p of their difference from this one's."""
    decisive = claim.decisive_contrast
    if decisive is None or decisive.estimate is None:
        return claim.reason
    comparisons = len(claim.deciding)
    least = "favourable" if decisive.low is None else "certain"  # an exact number has no interval
    of = f"of {comparisons} comparisons"
    which = f"the one {of} that refutes the claim" if claim.word == "refuted" else f"the least {least} {of}"
    weakest = f", {which}" if comparisons > 1 else ""
    sentences = [f"{wording.headline(decisive)}{weakest}."]
    if claim.word == "inconclusive" and claim.power:
        sentences.append(wording.outlook(claim))
    p = p_of_difference(decisive, twin) if (twin := counterpart(decisive, mine)) else None
    if p is not None:
        chance = "chance could explain it" if p > 0.05 else "chance is an unlikely explanation"
        sentences.append(f"For the difference from this report's estimate, p is {_p(p)}, so {chance}.")
    return " ".join(sentences)


def said(claim: Verdict) -> str:
    """Say how the study makes a claim: a part of it reports a paper on attention gates."""
    if claim.origin == "implied":
        return "implies"
    by_paper = all("Based on the Paper" in place for place in claim.place.split("; "))
    return "reports from a paper" if by_paper else "says"


def in_study(claim: Verdict) -> str:
    """Give the study's own values of a claim's comparisons of mIoU; "" if it published none of them."""
    own = findings.in_study(claim)
    if not own:
        return ""
    values = [
        f"{part.label}: {with_unit(signed(part.weight * value, part), part.short_unit)}"
        for part, value in own
    ]
    error = 100 * READING_ERROR * max(len(part.networks) for part, _ in own)
    return (
        f"Differences of mIoU by its own class IoUs, from one run per network, read off its charts to about"
        f" ±{error:.1f} points: {'; '.join(values)}."
    )


def command_label(claim: Verdict) -> str:
    """Say what the command of a claim is for."""
    if claim.command.startswith("segnb claims") or claim.word not in ("inconclusive", "not measured"):
        return "To recompute it"
    if claim.word == "not measured":
        return "To test it"
    return "More seeds" if claim.seeds == 1 else "To decide it"


# --- HTML ---


def verdict_table(verdicts: StudyVerdicts, saved: Sequence[StudyVerdicts] = ()) -> HTML:
    """Show one row per claim, with the verdicts of the first COLUMNS reference studies."""
    columns = enumerate(saved[:COLUMNS], start=1)
    return render(
        "claims.html.j2",
        groups=by_family(verdicts),
        count=len(verdicts.claims),
        several=verdicts.several_seeds,
        saved={reference(number).capitalize(): _words(verdicts, study) for number, study in columns},
        levels=wording.levels(verdicts),
    )


def by_family(verdicts: StudyVerdicts) -> dict[str, list[Verdict]]:
    """Group the claims by the name of their family."""
    names = dict.fromkeys(FAMILIES[claim.family] for claim in verdicts.claims)
    return {name: [one for one in verdicts.claims if FAMILIES[one.family] == name] for name in names}


def _words(verdicts: StudyVerdicts, other: StudyVerdicts) -> dict[str, str]:
    """Return the verdicts of a reference study by claim."""
    pairs = [(claim, other.by_id[claim.id]) for claim in verdicts.claims if claim.id in other.by_id]
    return {
        its.id: its.word if its.word == "not measured" or mine.test == its.test else OTHER_TEST
        for mine, its in pairs
    }


def block(
    claim: Verdict,
    pictures: Sequence[Picture] = (),
    saved: Sequence[StudyVerdicts] = (),
) -> HTML:
    """Show one claim as a folded block: quote, verdict and reason, comparisons and figures.

    Args:
        claim: One verdict of a study.
        pictures: Figures of the claim.
        saved: Reference studies. One is left out if it did not measure the claim, or if both have the same
            verdict from the study's own scores.
    """
    references = []
    for number, study in enumerate(saved, start=1):
        other = study.by_id.get(claim.id)
        if other and other.word != "not measured" and (claim.contrasts or other.word != claim.word):
            older = ", older rule" if study.schema < StudyVerdicts.schema else ""
            references.append((reference(number).capitalize() + older, other))
    return render(
        "claim.html.j2",
        claim=claim,
        studys=in_study(claim),
        references=references,
        compares=to_json(_compared(claim)),
        rules=RULES_PLACE,
        pictures=[
            picture.description | {"source": address(picture.svg())} for picture in pictures if picture.axes
        ],
    )


def sentences(verdicts: StudyVerdicts) -> HTML:
    """Show the study's sentences in their order, one row each, with the verdicts on them."""
    latex = partial(re.sub, r"\$(\d+)\\times\$", r"\1×")  # the study is in LaTeX
    plain = [replace(sentence, text=latex(sentence.text)) for sentence in SENTENCES]
    places = [(place, list(group)) for place, group in groupby(plain, lambda sentence: sentence.place)]
    return render("sentences.html.j2", count=len(plain), places=places, verdicts=verdicts)


def _compared(claim: Verdict) -> list[tuple[str, list[str]]]:
    """List metric and networks of each comparison, for the links from the claim to figures that show them."""
    if not claim.contrasts:  # decided from the study's own numbers, so figures name the claim itself
        return [(claim.id, [])]
    return [(part.metric, list(map(label, part.networks))) for part in claim.contrasts]


def render(template: str, **values) -> HTML:
    """Fill a template with values and with what all templates of verdicts use."""
    calls = (said, grouped, p_sentence, seeds_sentence, reference_reason, command_label, counted)
    shared = {"wording": wording, "symbols": SYMBOLS, "colours": COLOURS, "chapters": CHAPTERS}
    shared |= {call.__name__: call for call in calls}
    return HTML(fill(template, **shared, **values))
