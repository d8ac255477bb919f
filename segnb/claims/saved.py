"""Verdicts in files: claims.json of a study and its short form in results/.

`results/<name>.json` contains one line per claim, so that git shows the verdicts that a change affects.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

from segnb.claims.ledger import LEDGER
from segnb.claims.metrics import words_of
from segnb.claims.verdicts import DECIDED, WORDS, MeasuredContrast, StudyVerdicts, Verdict
from segnb.claims.wording import (
    counted,
    estimate,
    full_name,
    goal,
    headline,
    interval,
    levels,
    listed,
    needed,
    score,
    span,
    with_unit,
)
from segnb.errors import SegnbError
from segnb.models.registry import label
from segnb.storage import root
from segnb.storage.files import between, markdown_table, read_json, to_json, write_text
from segnb.study.study import Run, Study

MARKS = "<!-- claims -->", "<!-- /claims -->"  # around the table of one study in docs/claims.md
STUDIES = "<!-- studies -->", "<!-- /studies -->"  # around the list of reference studies, in the same page
SCORES = "<!-- scores -->", "<!-- /scores -->"  # around the scores in docs/performance.md
CLAIMS_PAGE, PERFORMANCE_PAGE = "docs/claims.md", "docs/performance.md"
KEYS = {"word": "verdict", "metric": "measure", "contrasts": "parts"}  # field: key in files
UNWRITTEN = ("effect", "caveat")  # fields that are not written
# The keys that are saved. The others follow from the ledger, or are useful only together with the runs.
SAVED_CLAIM = (
    "id family sentence kind margin verdict headline reason p_for p_against seeds seeds_needed power"
    " images_suffice decisive"
).split()
SAVED_CONTRAST = (
    "label measure words unit scale weight threshold margin decides estimate low high level se dof seeds"
    " missing"
).split()
OLDER = {"low95": "low", "high95": "high"}  # keys of schema 1


# ---- files -----------------------------------------------------------------------------------------------


def as_dict(verdicts: StudyVerdicts) -> dict:
    """Return the contents of claims.json."""

    def renamed(fields: list[tuple]) -> dict:
        return {KEYS.get(name, name): value for name, value in fields if name not in UNWRITTEN}

    entry = json.loads(to_json(asdict(verdicts, dict_factory=renamed)))
    for claim, written in zip(verdicts.claims, entry["claims"], strict=True):
        written |= {"family": claim.family, "parts": written.pop("parts")}  # parts last, as they are long
    return entry


def trimmed(verdicts: StudyVerdicts) -> dict:
    """Return the short form for results/: no paths, deciding comparisons only.

    Numbers keep all digits: a page that rounds a rounded number could differ from the report.
    """
    entry, short = as_dict(verdicts), []
    for claim, whole in zip(verdicts.claims, entry["claims"], strict=True):
        written = {key: whole[key] for key in SAVED_CLAIM}
        if claim.decisive is not None:
            written["decisive"] = claim.deciding.index(claim.decisive_contrast)
        parts = [part for part in whole["parts"] if part["decides"]]
        written["parts"] = [{key: part[key] for key in SAVED_CONTRAST} for part in parts]
        short.append(written)
    return entry | {"claims": short}


def from_dict(entry: dict) -> StudyVerdicts:
    """Return the verdicts of claims.json or of a saved file; missing keys keep their defaults."""
    claims = []
    for claim in entry["claims"]:
        contrasts = tuple(_made(MeasuredContrast, part) for part in claim["parts"])
        known = {"origin": LEDGER[claim["id"]].origin} if claim["id"] in LEDGER else {}
        claims.append(_made(Verdict, known | claim | {"parts": contrasts}))
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


def of_runs(study: Study, runs: list[Run]) -> StudyVerdicts | None:
    """Return the verdicts of a study's claims.json if they are on the networks and seeds of these runs."""
    if not study.claims_path.exists():
        return None
    stored = from_dict(read_json(study.claims_path))
    same_networks = {run.variant for run in runs} == {*stored.networks}
    same_seeds = {run.seed for run in runs} == {*stored.seeds}
    return stored if same_networks and same_seeds and stored.schema == StudyVerdicts.schema else None


def is_verdicts(entry: object) -> bool:
    """Return whether the contents of a JSON file are verdicts."""
    return isinstance(entry, dict) and {"study", "claims", "data"} <= entry.keys()


def references(
    studies: dict[str, StudyVerdicts], without: StudyVerdicts | None = None
) -> dict[str, StudyVerdicts]:
    """Return the studies with several seeds, but not of smoke, by file name, the most `settled` first.

    Args:
        studies: by file name, see `stored`
        without: a study that is not a reference for itself
    """
    several = {
        name: study
        for name, study in studies.items()
        if len(study.seeds) > 1
        and study.preset != "smoke"  # its scores mean nothing
        and not (without and study.overlaps(without))
    }
    return dict(sorted(several.items(), key=lambda pair: (-settled(pair[1]), pair[0])))


def of_other_data(verdicts: StudyVerdicts, others: Sequence[StudyVerdicts]) -> list[StudyVerdicts]:
    """Return the study of each other data set with the same preset, the most `settled` one."""
    there = sorted(filter(verdicts.on_other_data, others), key=settled)
    return list({study.data["name"]: study for study in there}.values())


def settled(verdicts: StudyVerdicts) -> int:
    """Count the claims that are decided as segnb tests them today."""
    older = retested(verdicts)
    return sum(claim.word in DECIDED for claim in verdicts.claims if claim.id not in older)


def retested(verdicts: StudyVerdicts) -> list[str]:
    """Return the claims that segnb tests otherwise by now."""
    today = _tests_today()
    return [claim.id for claim in verdicts.claims if claim.test != today.get(claim.id)]


@cache
def _tests_today() -> dict[str, tuple]:
    """Return the `Verdict.test` of each claim of the ledger."""
    tests = {}
    for name, claim in LEDGER.items():
        parts = (MeasuredContrast(**vars(part), words=words_of(part.metric)) for part in claim.contrasts)
        tests[name] = Verdict(**vars(claim) | {"contrasts": tuple(parts)}).test
    return tests


def stored(folder: Path | None = None) -> dict[str, StudyVerdicts]:
    """Read all saved verdicts, by file name.

    Args:
        folder: Folder of JSON files, the project's results/ by default; files of other kinds are skipped.
    """
    files = sorted((folder or root() / "results").glob("*.json"))
    entries = {file.name: read_json(file) for file in files if file.read_bytes().lstrip().startswith(b"{")}
    return {name: from_dict(entry) for name, entry in entries.items() if is_verdicts(entry)}


# ---- docs/claims.md --------------------------------------------------------------------------------------


def source(verdicts: StudyVerdicts, name: str) -> str:
    """Describe the study behind results/<name>: preset, data, seeds, weights, machine and date."""
    counts = verdicts.data["counts"]
    return (
        f"From `results/{name}`: study `{verdicts.study}`, preset `{verdicts.preset}`,"
        f" {verdicts.images} ({counts['train']} training and {counts['test']} test images),"
        f" {counted(len(verdicts.seeds), 'seed')} per network ({span(verdicts.seeds)}),"
        f" backbone weights {verdicts.weights}, {verdicts.machine}; {verdicts.date}."
    )


def older_tests(verdicts: StudyVerdicts) -> str:
    """Name the `retested` claims in a sentence; "" without any."""
    changed = retested(verdicts)
    if not changed:
        return ""
    return (
        f" The verdicts on {listed(changed)} come from tests that segnb has replaced since (CHANGELOG.md says"
        " how), and may change when the study is evaluated again."
    )


def table(verdicts: StudyVerdicts, name: str, others: Sequence[StudyVerdicts] = ()) -> str:
    """Return the verdicts as a Markdown table, below a paragraph that describes the study.

    Args:
        verdicts: those of results/<name>
        name: of the file
        others: Other studies. Those of other data have a column each, with their verdicts by the same tests.
    """
    elsewhere = of_other_data(verdicts, others)
    rows = []
    for claim in verdicts.claims:
        decisive = claim.decisive_contrast  # formatted again, because older files have another style
        evidence, limit = claim.reason, "–"
        if decisive:
            of = f" (1 of {len(claim.deciding)})" if len(claim.deciding) > 1 else ""
            evidence, limit = headline(decisive) + of, goal(claim, decisive)
        ours = " *(ours)*" if claim.origin == "ours" else ""
        twins = [study.by_id.get(claim.id) for study in elsewhere]
        words = [twin.word if twin and claim.deciding and twin.test == claim.test else "–" for twin in twins]
        evidence = evidence.replace("|", r"\|")
        rows.append([claim.id, claim.sentence + ours, claim.word, *words, limit, evidence])
    places = [f"with {study.images}" for study in elsewhere]
    headings = ["id", "claim", "verdict", *places, "must be", "evidence"]
    about = f"{source(verdicts, name)} {levels(verdicts)}{older_tests(verdicts)}"
    return f"{about}\n\n{markdown_table(headings, rows)}"


def in_list(text: str, studies: dict[str, StudyVerdicts]) -> str:
    """Return docs/claims.md with a table of the reference studies between its marks.

    Args:
        text: of the page
        studies: by file name, see `stored`

    Raises:
        SegnbError: if the page has no marks.
    """
    headings = ["file in `results/`", "images", "training / test", "machine", "networks", "seeds", "decided"]
    rows = []
    for name, verdicts in references(studies).items():
        sizes = " / ".join(str(verdicts.data["counts"][split]) for split in ("train", "test"))
        counts = [str(len(verdicts.networks)), span(verdicts.seeds)]
        decided = f"{verdicts.count(*DECIDED)} of {len(verdicts.claims)} claims"
        if retested(verdicts):
            decided += f", {settled(verdicts)} by today's tests"
        rows.append([f"`{name}`", verdicts.images, sizes, verdicts.machine, *counts, decided])
    return between(text, STUDIES, markdown_table(headings, rows), CLAIMS_PAGE)


def in_performance(text: str, studies: dict[str, StudyVerdicts]) -> str:
    """Return docs/performance.md with the scores of studies between its marks, one table each.

    Args:
        text: of the page
        studies: by file name, see `stored`; those without scores are left out

    Raises:
        SegnbError: if the page has no marks.
    """
    headings = ["network", "test mIoU, mean ± SD over seeds", "minutes of training", "memory of a step"]
    parts = []
    for name, verdicts in (references(studies) | studies).items():  # the most decided study first
        rows = []
        for network, row in verdicts.scores.items():
            timed = ["–", "–"]
            if "minutes" in row:
                minutes = f"{row['minutes']:.1f}" if row["minutes"] >= 0.05 else "< 0.1"
                timed = [minutes, f"{row['memory_mib']:.0f} MiB"]
            rows.append([label(network), score(row["miou"]), *timed])
        if rows:
            heading = f"### {verdicts.preset} on {verdicts.images}, {verdicts.machine}"
            parts += [heading, source(verdicts, name), markdown_table(headings, rows)]
    return between(text, SCORES, "\n\n".join(parts), PERFORMANCE_PAGE)


def in_page(text: str, verdicts: StudyVerdicts, name: str, others: Sequence[StudyVerdicts] = ()) -> str:
    """Return docs/claims.md with the table of these verdicts between its marks; see `table`.

    Raises:
        SegnbError: if the page has no marks.
    """
    return between(text, MARKS, table(verdicts, name, others), CLAIMS_PAGE)


# ---- on a terminal ---------------------------------------------------------------------------------------


def listing(verdicts: StudyVerdicts) -> str:
    """Return a table for the terminal with one line per claim, and counts of verdicts."""
    rows = [("id", "verdict", "effect", "interval", "seeds", "seeds needed", "claim", "effect of")]
    for claim in verdicts.claims:
        decisive = claim.decisive_contrast
        seeds = str(claim.seeds or "–"), needed(claim)
        named = full_name(decisive) if decisive else "–"
        rows.append((claim.id, claim.word, *numbers(decisive), *seeds, claim.sentence, named))
    counts = ", ".join(f"{verdicts.count(word)} {word}" for word in sorted(WORDS) if verdicts.count(word))
    return f"{aligned(rows)}\n\nStudy {verdicts.study}: {counts}.\n{levels(verdicts)}"


def aligned(rows: list[tuple[str, ...]]) -> str:
    """Return rows as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (map(str.ljust, row, widths) for row in rows)
    return "\n".join("  ".join(cells).rstrip() for cells in lines)


def numbers(contrast: MeasuredContrast | None) -> tuple[str, str]:
    """Return the estimate with its unit, and the interval."""
    if contrast is None or contrast.estimate is None:
        return "–", "–"
    return with_unit(estimate(contrast), contrast.unit), interval(contrast) or "–"
