"""Verdicts in files: claims.json of a study, and what of it is saved in results/ and compared.

`results/<name>.json` is claims.json without what can be left out, a line per claim, so that git shows which
verdicts a change has moved.
"""

from dataclasses import is_dataclass
from pathlib import Path

from segnb.claims.effects import MeasuredContrast
from segnb.claims.verdicts import WORDS, StudyVerdicts, Verdict
from segnb.claims.wording import full_name, interval, levels, number
from segnb.errors import SegnbError
from segnb.storage.files import between, markdown_table, read_json, to_json, write_text
from segnb.study.provenance import unlike

MARKS = "<!-- claims -->", "<!-- /claims -->"  # between them README.md has the table of one saved study
DIGITS = 4  # significant ones, of numbers that are saved
KEYS = {"word": "verdict", "metric": "measure", "contrasts": "parts"}  # in files, where not the field's name
UNWRITTEN = ("effect", "caveat", "outlook")  # fields that no file has
# What is saved. The rest follows from the ledger, or is of use with the runs only.
SAVED_CLAIM = (
    "id family sentence kind margin verdict headline reason p_for p_against seeds seeds_needed power decisive"
)
SAVED_CONTRAST = "label measure words unit scale decides estimate low high level se dof seeds missing"
OLDER = {"low95": "low", "high95": "high"}  # in files of schema 1
HOLM = (
    "The verdicts are those of an older version: by Holm's correction, with 95 % intervals that did not"
    " decide, so that one may exclude what its verdict leaves open. The file does not hold what it would take"
    " to decide anew."
)


# ---- files -----------------------------------------------------------------------------------------------


def as_dict(verdicts: StudyVerdicts) -> dict:
    """Return what claims.json holds."""
    entry = _entry(verdicts)
    for claim, written in zip(verdicts.claims, entry["claims"], strict=True):
        written |= {"family": claim.family, "parts": written.pop("parts")}
    return entry


def _entry(value):
    """A dataclass as a file has it."""
    if is_dataclass(value):
        values = {name: getattr(value, name) for name in value.__dataclass_fields__ if name not in UNWRITTEN}
        return {KEYS.get(name, name): _entry(field) for name, field in values.items()}
    return [_entry(item) for item in value] if isinstance(value, list | tuple) else value


def trimmed(verdicts: StudyVerdicts) -> dict:
    """Return what is saved: no paths, four digits, and of the contrasts those that decide."""
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
    """Return the verdicts of claims.json or of a saved file; what the file has not is left at its default."""
    claims = []
    for claim in entry["claims"]:
        contrasts = tuple(_made(MeasuredContrast, part) for part in claim["parts"])
        claims.append(_made(Verdict, claim | {"parts": contrasts}))
    return _made(StudyVerdicts, entry | {"claims": tuple(claims)})


def _made(kind: type, entry: dict):
    """A dataclass from a file's entry; keys of other versions are passed over."""
    keys = {name: KEYS.get(name, name) for name in kind.__dataclass_fields__}
    values = {name: entry[key] for name, key in keys.items() if key in entry}
    if kind is MeasuredContrast:
        values |= {name: entry[key] for key, name in OLDER.items() if key in entry}
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return kind(**values)


def write(verdicts: StudyVerdicts, path: Path) -> None:
    """Write `trimmed` verdicts, a line per claim."""
    saved = trimmed(verdicts)
    claims = ",\n".join(to_json(claim, ensure_ascii=False) for claim in saved.pop("claims"))
    head = to_json(saved, indent=1, ensure_ascii=False).removesuffix("\n}")
    write_text(path, f'{head},\n "claims": [\n{claims}\n]}}\n')


def read(path: Path) -> StudyVerdicts:
    """Read claims.json or a saved file.

    Raises:
        SegnbError: for a file that is neither.
    """
    entry = read_json(path)
    if not is_verdicts(entry):
        raise SegnbError(f"{path} holds no verdicts; name a study, its claims.json or a file of results/")
    return from_dict(entry)


def is_verdicts(entry: object) -> bool:
    """Tell whether a JSON file is one of verdicts."""
    return isinstance(entry, dict) and {"study", "claims", "data"} <= entry.keys()


# ---- README ----------------------------------------------------------------------------------------------


def table(verdicts: StudyVerdicts, name: str) -> str:
    """Write the verdicts as a Markdown table, under a line that says where they come from."""
    counts, seeds = verdicts.data["counts"], len(verdicts.seeds)
    source = (
        f"From `results/{name}`: study `{verdicts.study}`, preset {verdicts.preset},"
        f" {verdicts.data['origin']} ({counts['train']} training and {counts['test']} test images),"
        f" {seeds} seed{'s' * (seeds != 1)} a network, trunk weights {verdicts.weights}, {verdicts.machine};"
        f" {verdicts.date}. {HOLM if verdicts.schema < StudyVerdicts.schema else levels(verdicts)}"
    )
    rows = []
    for claim in verdicts.claims:
        decided_by = (claim.headline or claim.reason).replace("|", r"\|")
        rows.append([claim.id, claim.sentence, claim.word, decided_by])
    return f"{source}\n\n{markdown_table(['id', 'claim', 'verdict', 'decided by'], rows)}"


def in_readme(text: str, verdicts: StudyVerdicts, name: str) -> str:
    """Return README.md with the table of these verdicts between its marks.

    Raises:
        SegnbError: if it has no marks.
    """
    return between(text, MARKS, table(verdicts, name))


# ---- on a terminal ---------------------------------------------------------------------------------------


def listing(verdicts: StudyVerdicts) -> str:
    """Write a line per claim: id, verdict, effect, interval, seeds, seeds needed, sentence."""
    rows = [("id", "verdict", "effect", "interval", "seeds", "needed", "claim")]
    for claim in verdicts.claims:
        seeds = str(claim.seeds or "–"), str(claim.seeds_needed or "–")
        rows.append((claim.id, claim.word, *_numbers(claim.decisive_contrast), *seeds, claim.sentence))
    counts = ", ".join(f"{verdicts.count(word)} {word}" for word in sorted(WORDS) if verdicts.count(word))
    return f"{_aligned(rows)}\n\nstudy {verdicts.study}: {counts}\n{levels(verdicts)}"


def _aligned(rows: list[tuple[str, ...]]) -> str:
    """Lines whose columns are as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (map(str.ljust, row, widths) for row in rows)
    return "\n".join("  ".join(cells).rstrip() for cells in lines)


def _numbers(contrast: MeasuredContrast | None) -> tuple[str, str]:
    """Estimate with its unit, and interval."""
    if contrast is None or contrast.estimate is None:
        return "–", "–"
    return f"{number(contrast.estimate, contrast)} {contrast.unit}".strip(), interval(contrast) or "–"


# ---- what changed ----------------------------------------------------------------------------------------


def check_comparable(a: StudyVerdicts, b: StudyVerdicts) -> None:
    """Check that two studies are of the same data and preset.

    Raises:
        SegnbError: that names what differs.
    """
    sides = [{"data": {key: side.data[key] for key in ("name", "digest")}} for side in (a, b)]
    detailed = a.settings and b.settings  # which files of older versions do not have
    for side, verdicts in zip(sides, (a, b), strict=True):
        side["preset"] = verdicts.settings if detailed else verdicts.preset
    if unequal := unlike(*sides):
        raise SegnbError(
            f"{a.study} and {b.study} were not made of the same ({'; '.join(unequal[:3])}), so that their"
            " verdicts may differ for that alone; --anyway compares them all the same"
        )


def differences(a: StudyVerdicts, b: StudyVerdicts) -> tuple[bool, str]:
    """Compare two studies.

    Returns:
        Whether a verdict differs, and a text: what the two were made of, verdicts that differ, effects next
        to each other.
    """
    lines = [f"A  {_origin(a)}", f"B  {_origin(b)}", "", *_settings(a, b), ""]
    if 1 in (len(a.seeds), len(b.seeds)):
        lines += ["Intervals of one seed are about these very networks on new images.", ""]
    if {a.schema, b.schema} != {StudyVerdicts.schema}:
        lines += [HOLM, ""]
    pairs = [(claim, b.by_id.get(claim.id)) for claim in a.claims]
    moved = [(mine, other) for mine, other in pairs if other and mine.word != other.word]
    alone = sorted(a.by_id.keys() ^ b.by_id.keys())
    lines += [f"{mine.id:<4} {mine.word} -> {other.word}: {mine.sentence}" for mine, other in moved]
    if alone:
        lines.append(f"only in one of the two: {', '.join(alone)}")
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
    """A line each for data, preset, code, trunk weights and seeds: the same, or what they are."""
    pairs = {"data": (a.data["digest"], b.data["digest"])}
    pairs |= {name: (getattr(a, name), getattr(b, name)) for name in ("preset", "code", "weights", "seeds")}
    return [f"{name:<8} {'same' if x == y else f'differs: {x} and {y}'}" for name, (x, y) in pairs.items()]
