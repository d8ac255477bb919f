"""claims.json as HTML: sentences of counts, the table of verdicts, and for each claim a block that opens.

What is shown is what `segnb.verdicts.decide` wrote; nothing is decided here. The blocks are `<details>`, so
that they open without a script, by keyboard too. `segnb.report.html` gives them the looks of the report.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from IPython.display import HTML
from markupsafe import Markup

from segnb import verdicts
from segnb.report.figures.style import SVG, Picture
from segnb.report.templates import shell
from segnb.results import p_words
from segnb.storage.atomic import read_json
from segnb.storage.project import root
from segnb.study.study import Study

WORDS = ("supported", "refuted", "inconclusive", "not measured")
SYMBOLS = {"supported": "✓", "refuted": "✗", "inconclusive": "?", "not measured": "–"}
COLOURS = {"supported": "good", "refuted": "bad", "inconclusive": "", "not measured": "quiet"}  # of the page
FAMILIES = {"F": "FCN", "U": "U-Net", "M": "The published scores"}
# Which of the ledger's rules a kind of claim goes by, by their position.
RULES = {">": (0, 2), "≈": (1, 2), "exact": (3,), "audit": (3,)}
ONE_SEED = (4,)  # beside them where there is one
# Where else the report shows what a claim is about, beside the section it stands in: heading -> claims.
SEE_ALSO = {
    "fcn.ipynb#What-a-stride-allows": ("F1", "F13", "F14"),
    "fcn.ipynb#Pixels-near-an-edge": ("F6", "F15"),
    "fcn.ipynb#Class-by-class": ("F14",),
    "unet.ipynb#Pixels-near-an-edge": ("U4", "U10"),
    "unet.ipynb#Objects-by-size": ("U13",),
    "audit.ipynb#Scores-as-published-and-as-defined": ("M1",),
    "audit.ipynb#Rankings": ("M2",),
}
CHAPTERS = {"F": "fcn.ipynb", "U": "unet.ipynb", "M": "audit.ipynb"}  # in which a family's claims stand
COLUMNS = 2  # kept studies that the table of verdicts has room for on a screen of 1,440 pixels
DIGITS = {"px": 2, "decades": 2, "": 3}  # behind the point, by unit; 1 for all others


# --- what has been decided ---


def ledger_of(study: Study, variants: str = "all", seeds: str | int = "all") -> dict:
    """The study's claims.json, or the claims decided anew where that is of other networks or seeds."""
    if study.claims_path.exists():
        ledger, runs = read_json(study.claims_path), study.measured(variants, seeds)
        asked = {run.variant for run in runs}, {run.seed for run in runs}
        if ledger["schema"] == verdicts.SCHEMA and asked == (set(ledger["networks"]), set(ledger["seeds"])):
            return ledger
    return verdicts.decide(study, variants, seeds)


def of_family(ledger: dict, letter: str) -> list[dict]:
    """The claims on FCNs ("F"), on U-Nets ("U") or on the published scores ("M")."""
    return [claim for claim in ledger["claims"] if claim["family"] == letter]


def counts(ledger: dict) -> str:
    """One sentence: how many claims have which verdict."""
    words = [claim["verdict"] for claim in ledger["claims"]]
    told = [f"{words.count(word)} {'is' if words.count(word) == 1 else 'are'} {word}" for word in WORDS]
    return f"Of {len(words)} claims, {_listed(told)}."


def power(ledger: dict, kept: Sequence[dict] = ()) -> str:
    """One sentence: how many claims 3, 5 and 10 seeds would decide; "" where nothing is known of it.

    One seed knows no spread, so then it is what the first of the kept studies knows.
    """
    source = next((one for one in (ledger, *kept) if one["decided"]), None)
    if source is None:
        return ""
    told = [f"{seeds} seeds about {number:.0f}" for seeds, number in source["decided"].items()]
    return (
        (
            ""
            if source is ledger
            else "One seed does not tell what more of them would decide; the kept study does. "
        )
        + f"If effects and spreads stay as they are, {_listed(told)} of the {len(source['claims'])} claims"
        " would be decided, that is, supported or refuted."
    )


def tracked(folder: Path | None = None) -> list[dict]:
    """Kept outcomes of studies of several seeds (one decides nothing), that with most claims decided first.

    folder: where they are, the project's results/ by default; files of another kind are passed over
    """
    found = [read_json(path) for path in sorted((folder or root() / "results").glob("*.json"))]
    kept = [one for one in found if isinstance(one, dict) and {"study", "claims"} <= one.keys()]
    kept = [one for one in kept if len(one["seeds"]) > 1]
    return sorted(kept, key=lambda one: -_decided(one))


def tracked_sentence(ledger: dict, kept: Sequence[dict]) -> str:
    """What the kept studies are and how far they agree with this one; "" where none is kept."""
    told = []
    for number, one in enumerate(kept, start=1):
        here, there = _words(ledger), _words(one)
        both = [i for i in here if here[i] in WORDS[:2] and there.get(i) in WORDS[:2]]
        same = sum(here[i] == there[i] for i in both)
        name = "The last column" if len(kept) == 1 else f"*Kept study {number}*"
        where = "" if number <= COLUMNS else ", told of in the claims' blocks only,"
        told.append(
            f"{name}{where} is an earlier study that comes with segnb ({described(one)}); it decided"
            f" {_decided(one)} claims"
            + (f", and of the {len(both)} that both decide {same} alike." if both else ".")
        )
    return " ".join(told)


def _decided(ledger: dict) -> int:
    return sum(claim["verdict"] in WORDS[:2] for claim in ledger["claims"])


def _words(ledger: dict) -> dict[str, str]:
    return {claim["id"]: claim["verdict"] for claim in ledger["claims"]}


def described(ledger: dict) -> str:
    """Preset, data, seeds, machine and date of a study."""
    seeds = ledger["seeds"]
    return (
        f"preset {ledger['preset']}, {ledger['data']['origin']},"
        f" seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}, {ledger['machine']},"
        f" {ledger['date'][:10]}"
    )


# --- numbers in print ---


def amount(value: float, part: dict) -> str:
    """A value of a part in print, with its sign and without its unit."""
    text = f"{value * part['scale']:+,.{DIGITS.get(part['unit'], 1)}f}"
    return (text if float(text.replace(",", "")) else text.lstrip("+-")).replace("-", "−")


def interval(part: dict) -> str:
    """The 95 % interval of a part in print; "" for what has none."""
    if part["low95"] is None:
        return ""
    return f"{amount(part['low95'], part)} to {amount(part['high95'], part)}"


def effect(part: dict) -> str:
    """Estimate, unit and interval of a part in print."""
    between = interval(part)
    return f"{amount(part['estimate'], part)} {part['unit']}".strip() + (f" ({between})" if between else "")


def full_name(part: dict) -> str:
    """A part in print: its contrast and what is measured of it."""
    return f"{part['label']}, {part['words']}"


def grouped(parts: Sequence[dict]) -> dict[str, list[tuple[str, int]]]:
    """Parts under what they have in common: {heading: [(name of the row, position in `parts`)]}.

    Headings are the contrasts and rows what is measured, or the other way round: whichever takes fewer.
    """
    contrasts = {part["label"] for part in parts}
    measures = {part["words"] for part in parts}
    head, row = ("label", "words") if len(contrasts) <= len(measures) else ("words", "label")
    groups: dict[str, list[tuple[str, int]]] = {}
    for place, part in enumerate(parts):
        groups.setdefault(part[head], []).append((part[row], place))
    return groups


def unbroken(text: str) -> Markup:
    """The text with names such as U-Net and FCN-8s that stay on one line."""
    name = re.compile(r"\b(U-Nets?|FCN-\d+s)\b")
    return Markup("").join(
        Markup('<span class="name">{}</span>').format(piece) if i % 2 else piece
        for i, piece in enumerate(name.split(text))
    )


def measured(claim: dict) -> list[dict]:
    """The parts of a claim that have a number."""
    return [part for part in claim["parts"] if not part["missing"] and part["estimate"] is not None]


def decisive(claim: dict) -> dict | None:
    """The part that the reason names, None where there is none."""
    place = claim["decisive"]
    return None if place is None else claim["parts"][place]


def seeds_needed(claim: dict) -> str:
    """The seeds that would decide a claim with a chance of 80 %, in print."""
    if not claim["power"]:
        return "–"
    return "no number" if claim["seeds_needed"] is None else f"{claim['seeds_needed']:,}"


def seeds_sentence(claim: dict) -> str:
    """What seeds are worth to a claim, and how many would decide it; "" where they have no part in it."""
    if not claim["power"]:
        return ""
    chances = [f"{seeds} seeds {100 * chance:.0f} %" for seeds, chance in claim["power"].items()]
    needed = claim["seeds_needed"]
    return (
        f"{claim['seeds']} here. If effect and spread stay as they are, the chance of a decision is with"
        f" {_listed(chances)}; "
        + (
            "no number of seeds brings it to 80 % on these test images."
            if needed is None
            else f"{needed:,} seeds bring it to 80 %."
        )
    )


def p_value(p: float | None) -> str:
    """For a cell of a table, or after "p is"."""
    return "–" if p is None else p_words(p).removeprefix("p ").removeprefix("= ")


def p_sentence(claim: dict) -> str:
    """The claim's p, raw and corrected; "" where nothing was tested."""
    if claim["p"] is None:
        return ""
    over = {"F": "FCNs", "U": "U-Nets"}[claim["family"]]
    return (
        f"For the whole claim p is {p_value(claim['p'])}, after Holm's correction over all claims on {over}"
        f" {p_value(claim['p_holm'])}."
    )


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


# --- HTML ---


def verdict_table(ledger: dict, kept: Sequence[dict] = ()) -> HTML:
    """A row a claim: verdict, sentence, effect, seeds; then what the first COLUMNS kept studies say."""
    groups = {name: of_family(ledger, letter) for letter, name in FAMILIES.items()}
    return _html(
        "claims.html.j2",
        groups={name: claims for name, claims in groups.items() if claims},
        several=any(claim["seeds"] > 1 for claim in ledger["claims"]),
        kept=[_words(one) for one in kept[:COLUMNS]],
        chapters=CHAPTERS,
    )


def block(
    ledger: dict,
    claim: dict,
    pictures: Sequence[Picture] = (),
    notes: Sequence[str] = (),
    kept: Sequence[dict] = (),
) -> HTML:
    """One claim, folded: sentence, verdict and why, what was measured, its parts and `pictures`.

    notes: sentences under the pictures, such as why there are none
    kept:  ledgers of kept studies, whose verdicts and reasons stand beside where they measured it
    """
    rules = ledger["rules"]["sentences"]
    return _html(
        "claim.html.j2",
        claim=claim,
        rule=" ".join(rules[i] for i in RULES[claim["kind"]] + ONE_SEED * (claim["seeds"] == 1)),
        kept=[(number, one) for number, one in enumerate(_of(kept, claim["id"]), start=1) if one],
        many=len(kept) > 1,
        links=[(place, _heading(place)) for place, claims in SEE_ALSO.items() if claim["id"] in claims],
        pictures=[_embedded(picture) for picture in pictures if picture.axes],
        notes=notes,
    )


def _of(kept: Sequence[dict], name: str) -> list[dict | None]:
    """The claim of that name in each kept study; None where it has not been measured."""
    claims = [next((claim for claim in one["claims"] if claim["id"] == name), None) for one in kept]
    return [claim if claim and claim["verdict"] != "not measured" else None for claim in claims]


def rules(ledger: dict) -> HTML:
    """How a verdict is reached, as a list."""
    return _html("rules.html.j2", sentences=ledger["rules"]["sentences"])


def _heading(place: str) -> str:
    """What a link to a heading is called: "claims.ipynb#Objects-by-size" -> "Objects by size"."""
    return place.partition("#")[2].replace("-", " ")


def _embedded(picture: Picture) -> dict:
    data, metadata = picture.bundle()
    return metadata["image/png"] | {
        "source": Markup("data:image/png;base64,") + data["image/png"],
        "svg": data.get(SVG, ""),
    }


def _html(template: str, **values) -> HTML:
    filled = shell()
    printed = (amount, decisive, effect, grouped, interval, p_sentence, p_value, seeds_needed, seeds_sentence)
    filled.filters["unbroken"] = unbroken
    filled.globals |= {one.__name__: one for one in printed} | {"symbols": SYMBOLS, "colours": COLOURS}
    return HTML(filled.get_template(template).render(values))
