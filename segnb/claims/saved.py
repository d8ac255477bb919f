"""Verdicts in files: claims.json of a study, its short form in results/, and comparisons of two files.

`results/<name>.json` contains one line per claim, so that git shows the verdicts that a change affects.
"""

from dataclasses import is_dataclass
from pathlib import Path

from segnb.claims.effects import MeasuredContrast
from segnb.claims.verdicts import WORDS, StudyVerdicts, Verdict
from segnb.claims.wording import full_name, headline, interval, levels, signed, with_unit
from segnb.errors import SegnbError
from segnb.storage.files import between, markdown_table, read_json, to_json, write_text
from segnb.study.provenance import unlike

MARKS = "<!-- claims -->", "<!-- /claims -->"  # around the table of one study in docs/claims.md
CLAIMS_PAGE = "docs/claims.md"
DIGITS = 4  # significant digits of saved numbers
KEYS = {
    "word": "verdict",
    "metric": "measure",
    "contrasts": "parts",
}  # field: its key in files, if they differ
UNWRITTEN = ("effect", "caveat", "outlook")  # fields that are not written
# The keys that are saved. The others follow from the ledger, or are useful only together with the runs.
SAVED_CLAIM = (
    "id family sentence kind margin verdict headline reason p_for p_against seeds seeds_needed power decisive"
)
SAVED_CONTRAST = (
    "label measure words unit scale weight threshold decides estimate low high level se dof seeds missing"
)
OLDER = {"low95": "low", "high95": "high"}  # keys of schema 1
HOLM = (
    "The verdicts follow an older rule: Holm's correction decided, not the 95% intervals, so an interval may"
    " exclude a value that its verdict leaves open. The file does not contain the numbers needed to decide"
    " again by the present rule. It has the claims and metrics of an earlier version, in which seconds still"
    " decided."
)


# ---- files -----------------------------------------------------------------------------------------------


def as_dict(verdicts: StudyVerdicts) -> dict:
    """Return the contents of claims.json."""
    entry = _entry(verdicts)
    for claim, written in zip(verdicts.claims, entry["claims"], strict=True):
        written |= {"family": claim.family, "parts": written.pop("parts")}
    return entry


def _entry(value):
    """Return a dataclass as a dictionary with the keys of files."""
    if is_dataclass(value):
        values = {name: getattr(value, name) for name in value.__dataclass_fields__ if name not in UNWRITTEN}
        return {KEYS.get(name, name): _entry(field) for name, field in values.items()}
    return [_entry(item) for item in value] if isinstance(value, list | tuple) else value


def trimmed(verdicts: StudyVerdicts) -> dict:
    """Return the short form for results/: no paths, four digits, deciding comparisons only."""
    entry = as_dict(verdicts)
    for i, claim in enumerate(verdicts.claims):
        written = {key: entry["claims"][i][key] for key in SAVED_CLAIM.split()}
        if claim.decisive is not None:
            written["decisive"] = claim.deciding.index(claim.decisive_contrast)
        parts = [part for part in entry["claims"][i]["parts"] if part["decides"]]
        written["parts"] = [{key: part[key] for key in SAVED_CONTRAST.split()} for part in parts]
        entry["claims"][i] = written
    return _rounded(entry)


def _rounded(value):
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    return [_rounded(entry) for entry in value] if isinstance(value, list) else value


def from_dict(entry: dict) -> StudyVerdicts:
    """Return the verdicts of claims.json or of a saved file; missing keys keep their defaults."""
    claims = []
    for claim in entry["claims"]:
        contrasts = tuple(_made(MeasuredContrast, part) for part in claim["parts"])
        claims.append(_made(Verdict, claim | {"parts": contrasts}))
    return _made(StudyVerdicts, entry | {"claims": tuple(claims)})


def _made(kind: type, entry: dict):
    """Return a dataclass from a file's entry; keys of other versions are ignored."""
    keys = {name: KEYS.get(name, name) for name in kind.__dataclass_fields__}
    values = {name: entry[key] for name, key in keys.items() if key in entry}
    if kind is MeasuredContrast:
        values |= {name: entry[key] for key, name in OLDER.items() if key in entry}
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return kind(**values)


def write(verdicts: StudyVerdicts, path: Path) -> None:
    """Write the short form of verdicts, one line per claim."""
    saved = trimmed(verdicts)
    claims = ",\n".join(to_json(claim, ensure_ascii=False) for claim in saved.pop("claims"))
    head = to_json(saved, indent=1, ensure_ascii=False).removesuffix("\n}")
    write_text(path, f'{head},\n "claims": [\n{claims}\n]}}\n')


def read(path: Path) -> StudyVerdicts:
    """Read claims.json or a saved file.

    Raises:
        SegnbError: if the file contains no verdicts.
    """
    entry = read_json(path)
    if not is_verdicts(entry):
        raise SegnbError(f"{path}: no verdicts found (expected claims.json of a study or a file in results/)")
    return from_dict(entry)


def is_verdicts(entry: object) -> bool:
    """Return whether the contents of a JSON file are verdicts."""
    return isinstance(entry, dict) and {"study", "claims", "data"} <= entry.keys()


# ---- docs/claims.md --------------------------------------------------------------------------------------


def source(verdicts: StudyVerdicts, name: str) -> str:
    """Describe the study behind results/<name>: preset, data, seeds, weights, machine and date."""
    counts, seeds = verdicts.data["counts"], len(verdicts.seeds)
    origin = verdicts.data["origin"].partition(" (segnb.")[0]
    return (
        f"From `results/{name}`: study `{verdicts.study}`, preset `{verdicts.preset}`, {origin}"
        f" ({counts['train']} training and {counts['test']} test images),"
        f" {seeds} seed{'s' * (seeds != 1)} per network, backbone weights {verdicts.weights},"
        f" {verdicts.machine}; {verdicts.date}."
    )


def table(verdicts: StudyVerdicts, name: str) -> str:
    """Return the verdicts as a Markdown table, below a paragraph that describes the study."""
    rows = []
    for claim in verdicts.claims:
        decisive = claim.decisive_contrast  # formatted again, because older files have another style
        evidence = headline(decisive) if decisive else claim.reason
        rows.append([claim.id, claim.sentence, claim.word, evidence.replace("|", r"\|")])
    rule = HOLM if verdicts.schema < StudyVerdicts.schema else levels(verdicts)
    return (
        f"{source(verdicts, name)} {rule}\n\n{markdown_table(['id', 'claim', 'verdict', 'evidence'], rows)}"
    )


def in_page(text: str, verdicts: StudyVerdicts, name: str) -> str:
    """Return docs/claims.md with the table of these verdicts between its marks.

    Raises:
        SegnbError: if the page has no marks.
    """
    return between(text, MARKS, table(verdicts, name), CLAIMS_PAGE)


# ---- on a terminal ---------------------------------------------------------------------------------------


def listing(verdicts: StudyVerdicts) -> str:
    """Return a table for the terminal with one line per claim, and counts of verdicts."""
    rows = [("id", "verdict", "effect", "interval", "seeds", "seeds needed", "claim", "effect of")]
    for claim in verdicts.claims:
        decisive = claim.decisive_contrast
        seeds = str(claim.seeds or "–"), str(claim.seeds_needed or "–")
        named = full_name(decisive) if decisive else "–"
        rows.append((claim.id, claim.word, *_numbers(decisive), *seeds, claim.sentence, named))
    counts = ", ".join(f"{verdicts.count(word)} {word}" for word in sorted(WORDS) if verdicts.count(word))
    return f"{_aligned(rows)}\n\nStudy {verdicts.study}: {counts}.\n{levels(verdicts)}"


def _aligned(rows: list[tuple[str, ...]]) -> str:
    """Pad each column to the width of its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (map(str.ljust, row, widths) for row in rows)
    return "\n".join("  ".join(cells).rstrip() for cells in lines)


def _numbers(contrast: MeasuredContrast | None) -> tuple[str, str]:
    """Return the estimate with its unit, and the interval."""
    if contrast is None or contrast.estimate is None:
        return "–", "–"
    return with_unit(signed(contrast.estimate, contrast), contrast.unit), interval(contrast) or "–"


# ---- comparisons -----------------------------------------------------------------------------------------


def check_comparable(a: StudyVerdicts, b: StudyVerdicts) -> None:
    """Check that two studies have the same data and preset.

    Raises:
        SegnbError: if they differ; the message names the differences.
    """
    sides = [{"data": {key: side.data[key] for key in ("name", "digest")}} for side in (a, b)]
    detailed = a.settings and b.settings  # missing in files of older versions
    for side, verdicts in zip(sides, (a, b), strict=True):
        side["preset"] = verdicts.settings if detailed else verdicts.preset
    if unequal := unlike(*sides):
        raise SegnbError(
            f"{a.study} and {b.study} have different data or presets ({'; '.join(unequal[:3])}), which may be"
            " the reason for different verdicts. Use --anyway to compare them"
        )


def differences(a: StudyVerdicts, b: StudyVerdicts) -> tuple[bool, str]:
    """Compare two studies.

    Returns:
        Whether a verdict differs, and a text with the origin of both, the verdicts that differ and the
        effects next to each other.
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
    moved = [(mine, other) for mine, other in pairs if other and mine.word != other.word]
    alone = sorted(a.by_id.keys() ^ b.by_id.keys())
    lines += [f"{mine.id:<4} {mine.word} -> {other.word}: {mine.sentence}" for mine, other in moved]
    if alone:
        lines.append(f"in only one of the two studies: {', '.join(alone)}")
    if not moved:
        lines.append("no verdict differs")
    rows = [("", "", "A", "", "B", "")]
    for mine, other in pairs:
        twins = {(twin.label, twin.metric): twin for twin in (other.contrasts if other else ())}
        for i, contrast in enumerate(mine.deciding):
            numbers = (*_numbers(contrast), *_numbers(twins.get((contrast.label, contrast.metric))))
            rows.append(("" if i else mine.id, full_name(contrast), *numbers))
    return bool(moved or alone), "\n".join([*lines, "", _aligned(rows)])


def _origin(verdicts: StudyVerdicts) -> str:
    seeds = ", ".join(map(str, verdicts.seeds))
    return f"{verdicts.study}: seeds {seeds or 'none'}, {verdicts.machine}, {verdicts.date}"


def _settings(a: StudyVerdicts, b: StudyVerdicts) -> list[str]:
    """Return one line each for data, preset, code, backbone weights and seeds: the same, or both values."""
    pairs = {"data": (a.data["digest"], b.data["digest"])}
    pairs |= {name: (getattr(a, name), getattr(b, name)) for name in ("preset", "code", "weights", "seeds")}
    return [f"{name:<8} {'same' if x == y else f'differs: {x} and {y}'}" for name, (x, y) in pairs.items()]
