"""Verdicts as HTML: sentences of counts, the table of verdicts, and a block per claim that opens.

What is shown is what `segnb.claims.decide` computed; nothing is decided here. The blocks are `<details>`, so
that they open without a script, by keyboard too. `segnb.report.html` gives them the looks of the report.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

from IPython.display import HTML
from markupsafe import Markup

from segnb.claims import wording
from segnb.claims.claim import LIMITS
from segnb.claims.decide import decide
from segnb.claims.ledger import SENTENCES, STUDY
from segnb.claims.saved import from_dict, is_verdicts
from segnb.claims.verdicts import DECIDED, UNMEASURABLE, WORDS, StudyVerdicts, Verdict
from segnb.claims.wording import can_tell, listed, p_cell, percent
from segnb.report.figures.claims import grouped
from segnb.report.figures.style import SVG, Picture
from segnb.report.html import shell
from segnb.storage.files import markdown_table, read_json
from segnb.storage.project import root
from segnb.study.study import Study

SYMBOLS = {"supported": "✓", "refuted": "✗", "inconclusive": "?", UNMEASURABLE: "○", "not measured": "–"}
# Of the page.
COLOURS = dict.fromkeys(WORDS, "quiet") | {"supported": "good", "refuted": "bad", "inconclusive": ""}
FAMILIES = {"F": "FCN", "U": "U-Net", "M": "The study's scores"}
# Where else the report shows what a claim is about, next to the section it stands in: heading -> claims.
SEE_ALSO = {
    "fcn.ipynb#Upper-bound-of-each-stride": ("F1", "F13", "F14"),
    "fcn.ipynb#IoU-near-edges": ("F6", "F15"),
    "fcn.ipynb#IoU-per-class": ("F14",),
    "unet.ipynb#IoU-near-edges": ("U4", "U10"),
    "unet.ipynb#Recall-by-object-size": ("U13",),
    "audit.ipynb#Reported-score-and-mIoU": ("M1",),
    "audit.ipynb#Rankings": ("M2",),
}
CHAPTERS = {"F": "fcn.ipynb", "U": "unet.ipynb", "M": "audit.ipynb"}  # in which a family's claims stand
COLUMNS = 2  # saved studies that the table of verdicts has room for on a screen of 1,440 pixels


# --- what has been decided ---


def verdicts_of(study: Study, variants: str = "all", seeds: str | int = "all") -> StudyVerdicts:
    """Return the study's claims.json, or decide again where that is of other networks or seeds."""
    if study.claims_path.exists():
        entry, runs = read_json(study.claims_path), study.measured(variants, seeds)
        asked = {run.variant for run in runs}, {run.seed for run in runs}
        if entry["schema"] == StudyVerdicts.schema and asked == (set(entry["networks"]), set(entry["seeds"])):
            return from_dict(entry)
    return decide(study, variants, seeds)


def counts(verdicts: StudyVerdicts) -> str:
    """Say how many claims of the study have which verdict, and how many questions of ours."""
    groups = {"claims of the study": [], "further questions of ours": []}
    for claim in verdicts.claims:
        groups["further questions of ours" if claim.origin == "ours" else "claims of the study"].append(claim)
    sentences = []
    for name, claims in groups.items():
        numbers = {word: sum(claim.word == word for claim in claims) for word in WORDS}
        words = [f"{n} {'is' if n == 1 else 'are'} {word}" for word, n in numbers.items() if n]
        if words:
            sentences.append(f"Of {len(claims)} {name}, {listed(words)}.")
    return " ".join(sentences)


def citation() -> str:
    """Name the study that is tested and its code, in Markdown."""
    return f"“{STUDY['title']}”, {STUDY['about']} ([code]({STUDY['code']}))"


def power(verdicts: StudyVerdicts, saved: Sequence[StudyVerdicts] = ()) -> str:
    """Say in one sentence how many claims 3, 5 and 10 seeds would decide; "" where nothing is known of it.

    One seed knows no spread, so then it is what the first of the saved studies knows.
    """
    source = next((study for study in (verdicts, *saved) if study.decided), None)
    if source is None:
        return ""
    of_other = "One seed does not tell what more of them would decide; the kept study does. "
    numbers = [f"{seeds} seeds about {number:.0f}" for seeds, number in source.decided.items()]
    return (
        f"{'' if source is verdicts else of_other}If effects and spreads stay as they are, {listed(numbers)}"
        f" of the {len(source.claims)} claims would be decided, that is, supported or refuted."
    )


def saved_studies(folder: Path | None = None) -> list[StudyVerdicts]:
    """Read saved verdicts of studies of several seeds (one decides nothing), the most decided first.

    Args:
        folder: where they are, the project's results/ by default; files of another kind are passed over.
    """
    files = sorted((folder or root() / "results").glob("*.json"))
    entries = [read_json(file) for file in files if file.read_bytes().lstrip().startswith(b"{")]
    studies = [from_dict(entry) for entry in entries if is_verdicts(entry)]
    return sorted(
        (study for study in studies if len(study.seeds) > 1), key=lambda study: -study.count(*DECIDED)
    )


def saved_sentence(verdicts: StudyVerdicts, saved: Sequence[StudyVerdicts]) -> str:
    """Say what the saved studies are and how far they agree with this one; "" where none is saved."""
    sentences = []
    for number, study in enumerate(saved, start=1):
        pairs = [(mine.word, study.by_id[mine.id].word) for mine in verdicts.claims if mine.id in study.by_id]
        both = [mine == other for mine, other in pairs if mine in DECIDED and other in DECIDED]
        name = "The last column" if len(saved) == 1 else f"*Kept study {number}*"
        where = "" if number <= COLUMNS else ", told of in the claims' blocks only,"
        sentences.append(
            f"{name}{where} is an earlier study that comes with segnb ({described(study)}); it decided"
            f" {study.count(*DECIDED)} claims"
            + (f", and of the {len(both)} that both decide {sum(both)} alike." if both else ".")
        )
    return " ".join(sentences)


def described(verdicts: StudyVerdicts) -> str:
    """Name preset, data, seeds, machine and date of a study."""
    return (
        f"preset {verdicts.preset}, {verdicts.data['origin']},"
        f" seed{'s' * (len(verdicts.seeds) > 1)} {', '.join(map(str, verdicts.seeds))}, {verdicts.machine},"
        f" {verdicts.date[:10]}"
    )


# --- in print ---


def unbroken(text: str) -> Markup:
    """Keep names such as U-Net and FCN-8s on one line."""
    name = re.compile(r"\b(U-Nets?|FCN-\d+s)\b")
    return Markup("").join(
        Markup('<span class="name">{}</span>').format(piece) if i % 2 else piece
        for i, piece in enumerate(name.split(text))
    )


def seeds_sentence(claim: Verdict) -> str:
    """Say what seeds are worth to a claim, and how many would decide it."""
    chances = [f"{seeds} seeds {100 * chance:.0f} %" for seeds, chance in claim.power.items()]
    bring = (
        "no number of seeds brings it to 80 % on these test images"
        if claim.seeds_needed is None
        else f"{claim.seeds_needed:,} seeds bring it to 80 %"
    )
    told = (
        f"{claim.seeds} here, which can tell {can_tell(claim)}." if claim.widest else f"{claim.seeds} here."
    )
    return (
        f"{told} If effect and spread stay as they are, the chance of a decision is with"
        f" {listed(chances)}; {bring}."
    )


def p_sentence(claim: Verdict) -> str:
    """Give the claim's p, for and against, and what decides; "" where nothing was tested."""
    if claim.p_for is None:
        return ""
    return (
        f"For the whole claim, p for it is {p_cell(claim.p_for)} and p against it {p_cell(claim.p_against)};"
        f" at most {1 - claim.level:.3f} decides, as the intervals at {percent(claim.level)} do."
    )


# --- HTML ---


def verdict_table(verdicts: StudyVerdicts, saved: Sequence[StudyVerdicts] = ()) -> HTML:
    """Show a row per claim: verdict, sentence, effect, seeds; then the verdicts of COLUMNS saved studies."""
    groups: dict[str, list[Verdict]] = {}
    for claim in verdicts.claims:
        groups.setdefault(FAMILIES[claim.family], []).append(claim)
    return _html(
        "claims.html.j2",
        groups=groups,
        several=any(claim.seeds > 1 for claim in verdicts.claims),
        saved=[{claim.id: claim.word for claim in study.claims} for study in saved[:COLUMNS]],
        chapters=CHAPTERS,
        levels=wording.levels(verdicts),
    )


def block(
    claim: Verdict,
    pictures: Sequence[Picture] = (),
    notes: Sequence[str] = (),
    saved: Sequence[StudyVerdicts] = (),
) -> HTML:
    """Show one claim, folded: sentence, verdict and why, what was measured, its contrasts and `pictures`.

    Args:
        claim: of a study's verdicts.
        pictures: its figures.
        notes: sentences under the pictures, such as why there are none.
        saved: saved studies, whose verdicts and reasons stand next to it where they measured it.
    """
    others = [(number, study.by_id.get(claim.id)) for number, study in enumerate(saved, start=1)]
    return _html(
        "claim.html.j2",
        claim=claim,
        saved=[(number, other) for number, other in others if other and other.word != "not measured"],
        many=len(saved) > 1,
        links=[place for place, claims in SEE_ALSO.items() if claim.id in claims],
        pictures=[_embedded(picture) for picture in pictures if picture.axes],
        notes=notes,
    )


def sentences(verdicts: StudyVerdicts) -> HTML:
    """Show the study's text in its own order, a row per sentence, with the verdicts on it."""
    latex = partial(re.sub, r"\$(\d+)\\times\$", r"\1×")  # the study's own
    shown = [replace(sentence, text=latex(sentence.text)) for sentence in SENTENCES]
    places = [(place, list(group)) for place, group in groupby(shown, lambda sentence: sentence.place)]
    return _html("sentences.html.j2", places=places, verdicts=verdicts, chapters=CHAPTERS)


def limits() -> str:
    """Tabulate what the study's absolute words are taken to mean, and why, in Markdown."""
    rows = [[f"“{word}”", limit.claim, limit.why] for word, limit in LIMITS.items()]
    return markdown_table(["The study's word", "True where", "Why"], rows)


def rules(verdicts: StudyVerdicts) -> HTML:
    """Show how a verdict is reached, as a list."""
    return _html("rules.html.j2", sentences=verdicts.rules["sentences"])


def _embedded(picture: Picture) -> dict:
    data, metadata = picture.bundle()
    return metadata["image/png"] | {
        "source": Markup("data:image/png;base64,") + data["image/png"],
        "svg": data.get(SVG, ""),
    }


def _html(template: str, **values) -> HTML:
    environment = shell()
    environment.filters["unbroken"] = unbroken
    values |= {"wording": wording, "symbols": SYMBOLS, "colours": COLOURS}
    values |= {call.__name__: call for call in (grouped, p_sentence, seeds_sentence)}
    return HTML(environment.get_template(template).render(values))
