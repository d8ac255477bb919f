"""Verdicts of finished studies as they are kept and compared: a small tracked file, a table, the differences.

`results/<name>.json` is claims.json without what can be left out, a line a claim, so that git shows which
verdicts a change has moved.
"""

import json
import re
from pathlib import Path

from segnb.errors import SegnbError
from segnb.storage.atomic import read_json, write_text
from segnb.storage.markdown import between, markdown_table
from segnb.study.provenance import unlike

MARKS = "<!-- claims -->", "<!-- /claims -->"  # between them README.md has the table of one kept study
DIGITS = 4  # significant ones, of numbers that are kept

# What is kept of a claim and of a part. The rest follows from the ledger, or is of use with the runs only.
CLAIM = ("id", "family", "sentence", "kind", "margin", "verdict", "headline", "reason", "p_holm", "seeds")
CLAIM += ("p_against_holm", "seeds_needed", "power", "decisive")
PART = (
    "label",
    "measure",
    "words",
    "unit",
    "scale",
    "decides",
    "estimate",
    "low95",
    "high95",
    "seeds",
    "missing",
)


# ---- keeping ---------------------------------------------------------------------------------------------


def trimmed(found: dict) -> dict:
    """What is tracked of claims.json: no paths, four digits, and of the parts those that decide."""
    claims = []
    for claim in found["claims"]:
        parts = [part for part in claim["parts"] if part["decides"]]
        decisive = claim["decisive"]
        if decisive is not None:
            decisive = parts.index(claim["parts"][decisive])
        kept = {key: claim[key] for key in CLAIM} | {"decisive": decisive}
        claims.append(kept | {"parts": [{key: part[key] for key in PART} for part in parts]})
    return _rounded({key: value for key, value in found.items() if key != "claims"} | {"claims": claims})


def _rounded(value):
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value


def write(found: dict, path: Path) -> None:
    """Write `trimmed` claims.json, a line a claim."""
    kept = trimmed(found)
    claims = ",\n".join(json.dumps(claim, ensure_ascii=False) for claim in kept.pop("claims"))
    head = json.dumps(kept, indent=1, ensure_ascii=False).removesuffix("\n}")
    write_text(path, f'{head},\n "claims": [\n{claims}\n]}}\n')


def read(path: Path) -> dict:
    """claims.json or a kept file. Raises SegnbError for a file that is neither."""
    found = read_json(path)
    if not isinstance(found, dict) or not {"study", "claims", "data"} <= found.keys():
        raise SegnbError(f"{path} holds no verdicts; name a study, its claims.json or a file of results/")
    return found


# ---- README ----------------------------------------------------------------------------------------------


def table(found: dict, name: str) -> str:
    """The verdicts as a Markdown table, under a line that says where they come from."""
    counts = found["data"]["counts"]
    seeds = len(found["seeds"])
    told = (
        f"From `results/{name}`: study `{found['study']}`, preset {found['preset']},"
        f" {found['data']['origin']} ({counts['train']} training and {counts['test']} test images),"
        f" {seeds} seed{'s' * (seeds != 1)} a network, trunk weights {found['weights']}, {found['machine']};"
        f" {found['date']}. p is that of the whole claim, after Holm's correction."
    )
    rows = ([claim["id"], claim["sentence"], claim["verdict"], _cell(claim)] for claim in found["claims"])
    return f"{told}\n\n{markdown_table(['id', 'claim', 'verdict', 'decided by'], rows)}"


def _cell(claim: dict) -> str:
    """The contrast that tells most, with the claim's corrected p; where there is none, why."""
    told = claim["headline"] or claim["reason"]
    p = claim["p_against_holm"] if claim["verdict"] == "refuted" else claim["p_holm"]
    if claim["headline"] and p is not None:
        told += f"; {p_words(p)}"
    return told.replace("|", r"\|")


def p_words(p: float) -> str:
    """A probability, wherever one is printed: "p = 0.012", or "p < 0.001" below that."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def in_readme(text: str, found: dict, name: str) -> str:
    """README.md with the table of these verdicts between its marks. Raises SegnbError if it has no marks."""
    return between(text, MARKS, table(found, name))


def shown_in(readme: str) -> tuple[str, str]:
    """What README.md has between its marks: the name of the kept file, "" if none, and the text."""
    shown = readme.partition(MARKS[0])[2].partition(MARKS[1])[0].strip()
    name = re.search(r"From `results/([^`]+)`", shown)
    return (name.group(1) if name else ""), shown


# ---- on a terminal ---------------------------------------------------------------------------------------


def listing(found: dict) -> str:
    """A line a claim: id, verdict, effect with its interval, seeds, seeds needed, and the sentence."""
    rows = [("id", "verdict", "effect", "95 % interval", "seeds", "needed", "claim")]
    for claim in found["claims"]:
        part = decisive(claim)
        rows.append(
            (
                claim["id"],
                claim["verdict"],
                _effect(part),
                _interval(part),
                str(claim["seeds"] or "–"),
                str(claim["seeds_needed"] or "–"),
                claim["sentence"],
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)), row[-1]])
        for row in rows
    ]
    words = [claim["verdict"] for claim in found["claims"]]
    counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(sorted(words)))
    return "\n".join([*lines, "", f"study {found['study']}: {counts}"])


def decisive(claim: dict) -> dict | None:
    """The part that the reason names."""
    return None if claim["decisive"] is None else claim["parts"][claim["decisive"]]


def _effect(part: dict | None) -> str:
    if part is None or part["estimate"] is None:
        return "–"
    return f"{_number(part, part['estimate'])} {part['unit']}".strip()


def _interval(part: dict | None) -> str:
    if part is None or part["low95"] is None:
        return "–"
    return f"{_number(part, part['low95'])} to {_number(part, part['high95'])}"


def _number(part: dict, value: float) -> str:
    return f"{value * part['scale']:.2f}".replace("-", "−")


# ---- what changed ----------------------------------------------------------------------------------------


def check_comparable(a: dict, b: dict) -> None:
    """Raises SegnbError that names what differs between studies of other data, or of another preset."""
    detailed = "settings" in a and "settings" in b  # which files of older versions do not have

    def settings(found: dict) -> dict:
        return {
            "data": {"name": found["data"]["name"], "digest": found["data"]["digest"]},
            "preset": found["settings"] if detailed else found["preset"],
        }

    if told := unlike(settings(a), settings(b)):
        raise SegnbError(
            f"{a['study']} and {b['study']} were not made of the same ({'; '.join(told[:3])}), so that their"
            " verdicts may differ for that alone; --anyway compares them all the same"
        )


def differences(a: dict, b: dict) -> tuple[bool, str]:
    """(whether a verdict differs, a text): what the two were made of, verdicts that differ, effects beside
    each other."""
    lines = [f"A  {_origin(a)}", f"B  {_origin(b)}", "", *_settings(a, b), ""]
    if 1 in (len(a["seeds"]), len(b["seeds"])):
        lines += ["Intervals of one seed are about these very networks on new images.", ""]
    mine, other = ({claim["id"]: claim for claim in found["claims"]} for found in (a, b))
    moved = [name for name in mine if name in other and mine[name]["verdict"] != other[name]["verdict"]]
    alone = sorted(set(mine) ^ set(other))
    for name in moved:
        lines.append(
            f"{name:<4} {mine[name]['verdict']} -> {other[name]['verdict']}: {mine[name]['sentence']}"
        )
    if alone:
        lines.append(f"only in one of the two: {', '.join(alone)}")
    if not moved:
        lines.append("no verdict differs")
    rows = [("", "", "A", "", "B", "")]
    for name in mine:
        rows += _effects(name, mine[name], other.get(name))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines.append("")
    lines += [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return bool(moved or alone), "\n".join(lines)


def _origin(found: dict) -> str:
    seeds = ", ".join(map(str, found["seeds"]))
    return f"{found['study']}: seeds {seeds or 'none'}, {found['machine']}, {found['date']}"


def _settings(a: dict, b: dict) -> list[str]:
    """A line each for data, preset, code, trunk weights and seeds: the same, or what they are."""
    pairs = {
        "data": (a["data"]["digest"], b["data"]["digest"]),
        "preset": (a["preset"], b["preset"]),
        "code": (a["code"], b["code"]),
        "weights": (a["weights"], b["weights"]),
        "seeds": (a["seeds"], b["seeds"]),
    }
    return [f"{name:<8} {'same' if x == y else f'differs: {x} and {y}'}" for name, (x, y) in pairs.items()]


def _effects(name: str, mine: dict, other: dict | None) -> list[tuple[str, ...]]:
    """A row a deciding part of A, with the same part of B."""
    there = {(part["label"], part["measure"]): part for part in (other or {"parts": []})["parts"]}
    rows = []
    for part in mine["parts"]:
        if not part["decides"]:
            continue
        twin = there.get((part["label"], part["measure"]))
        what = f"{part['label']}, {part['words']}"
        rows.append((name, what, _effect(part), _interval(part), _effect(twin), _interval(twin)))
        name = ""
    return rows
