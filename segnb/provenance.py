"""Where a run comes from (code, packages, data, weights, machine), what differs between runs in that, and
which runs must not be compared.

`provenance` is written into a run's folder when it begins. Two runs of one study share data, preset, weights,
machine settings and training code, which make the study; they may still differ in the commit, in packages
that no number is expected to depend on, and in the processor. A report says so.
"""

import functools
import hashlib
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segnb import __version__
from segnb.errors import SegnbError
from segnb.files import iso_now, read_json
from segnb.packages import CHECKOUT, against_lock, installed

if TYPE_CHECKING:
    import pandas as pd

    from segnb.rundir import RunDir, Study

# Facts of a machine that do not make it another study.
DESCRIPTIVE = ("device_name", "system", "torch")


# What may be another when a run that was stopped goes on.
CHANGING = ("commit", "diff_sha256", "python", "platform", "processor")


# ---- one run ---------------------------------------------------------------------------------------------


def provenance(study: "Study") -> dict:
    """What provenance.json says of a run that begins now, in this process; no name of a host or a user.

    segnb, commit, dirty, changed_files, diff_sha256: see `code_state`
    python, platform, processor: of this process
    packages, records: {name: version} and {name: SHA-256} of what segnb needs, see `segnb.packages.installed`
    lock:         see `segnb.packages.against_lock`
    study, preset, code, versions, data, weights, machine: what the study was settled with
    started:      local time with its offset from UTC
    continued:    only where it went on under other circumstances, see `going_on`
    """
    from segnb.machine import cpu_name

    found, settled = installed(), study.settled
    packages = {name: version for name, (version, _) in found.items()}
    return {
        **code_state(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": cpu_name(),
        "packages": packages,
        "records": {name: record for name, (_, record) in found.items()},
        "lock": against_lock(packages),
        "study": study.name,
        **{name: settled.get(name) for name in ("preset", "code", "versions", "data", "weights", "machine")},
        "started": iso_now(),
    }


def going_on(record: dict, now: dict) -> dict:
    """A run's record when the run goes on under the circumstances `now`, another `provenance`.

    Where they are others than before, it has an entry more in `continued`: what is another, and started.
    """
    latest = record.copy()
    for entry in record.get("continued", []):
        latest |= entry
    others = {fact: now[fact] for fact in CHANGING if now[fact] != latest.get(fact)}
    if not others:
        return record
    return record | {"continued": [*record.get("continued", []), others | {"started": now["started"]}]}


def code_state(checkout: Path = CHECKOUT) -> dict:
    """The version of the code, and how it differs from the commit.

    segnb:         the version
    commit:        40 hex digits
    dirty:         whether files that git tracks differ from it
    changed_files: their names
    diff_sha256:   of `git diff HEAD`; None where nothing differs

    All but the version are None without git, or in a folder that is no checkout of its own.
    """
    found: dict[str, Any] = {
        "segnb": __version__,
        **dict.fromkeys(("commit", "dirty", "changed_files", "diff_sha256")),
    }
    asked = _git(checkout, "rev-parse", "--show-toplevel", "HEAD")
    top, _, commit = (asked or b"").decode().strip().partition("\n")
    if not commit or Path(top).resolve() != checkout.resolve():
        return found
    # What somebody has set git up to show must not change the digest.
    plain = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--full-index", "--binary")
    diff = _git(checkout, "diff", "HEAD", *plain)
    names = _git(checkout, "diff", "HEAD", "--no-renames", "--name-only", "-z")
    if diff is None or names is None:
        return found | {"commit": commit}
    changed = [name.decode("utf-8", "backslashreplace") for name in names.split(b"\0") if name]
    return found | {
        "commit": commit,
        "dirty": bool(changed),
        "changed_files": changed,
        "diff_sha256": hashlib.sha256(diff).hexdigest() if diff else None,
    }


def _git(checkout: Path, *arguments: str) -> bytes | None:
    """Output of a git command, or None where there is no git, no checkout or no commit."""
    try:
        done = subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


# ---- runs that are compared ------------------------------------------------------------------------------


def identity(settled: dict) -> dict:
    """What makes a study, of study.json or provenance.json; None for what an old version did not record."""
    data, weights, machine = (settled.get(name) or {} for name in ("data", "weights", "machine"))
    return {
        "data": data.get("digest"),
        "preset": settled.get("preset"),
        "weights": {name: weights.get(name) for name in ("source", "sha256")} if weights else None,
        "machine": {name: value for name, value in machine.items() if name not in DESCRIPTIVE} or None,
        "code": settled.get("code"),
        "versions": settled.get("versions"),
    }


def unlike(here: dict, there: dict) -> list[str]:
    """What differs between two of `identity`, in words: ["machine threads: 1 instead of 2"]; what either does
    not know is left out."""
    found = []
    for what, value in here.items():
        other = there[what]
        if value is None or other is None or value == other:
            continue
        pairs = _leaves(value), _leaves(other)
        for name in dict.fromkeys([*pairs[0], *pairs[1]]):
            mine, its = (pair.get(name, "nothing") for pair in pairs)
            if mine != its:
                found.append(f"{' '.join((what, *name))}: {_short(mine)} instead of {_short(its)}")
    return found


def _leaves(value: Any, name: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {key: leaf for k, v in value.items() for key, leaf in _leaves(v, (*name, k)).items()}


def _short(value: Any) -> str:
    """A digest by its first digits."""
    text = str(value)
    return f"{text[:12]}…" if len(text) > 24 and set(text) <= set("0123456789abcdef") else text


def check(study: "Study", runs: list["RunDir"]) -> None:
    """Raises SegnbError that names the first run that was trained as part of another study.

    Runs are told apart by folder names alone, and a folder is easily copied.
    """
    here = identity(study.settled)
    for run in runs:
        if told := unlike(identity(record(run)), here):
            raise SegnbError(
                f"{run.path} must not be compared with the other runs of study {study.name}, because it was"
                f" made with other settings ({_listed(told, 3)}); move it out of the study's folder"
            )


def record(run: "RunDir") -> dict:
    """A run's provenance.json, read once in a process as long as it does not change."""
    path = run.path / "provenance.json"
    try:
        state = path.stat()
    except FileNotFoundError:
        return {}  # as of runs that other programs have made
    return _read(path, state.st_mtime_ns)


@functools.cache
def _read(path: Path, when: int) -> dict:
    return read_json(path)


def differences(runs: list["RunDir"]) -> "pd.DataFrame":
    """What differs in where runs come from: a row a fact (index), column "runs": each value with its runs.

    Empty where nothing does. What a run of an old version did not record does not count as different.
    """
    import pandas as pd

    records = {run: record(run) for run in runs}
    rows = {}
    for fact, values in _by_value(records).items():
        if len(values) > 1:
            rows[fact] = "; ".join(f"{value}: {_named(found, len(runs))}" for value, found in values.items())
    return pd.DataFrame.from_dict(rows, orient="index", columns=["runs"])


def _by_value(records: dict["RunDir", dict]) -> dict[str, dict[str, list["RunDir"]]]:
    """{fact: {value: [runs]}}, both in the order in which they come."""
    found: dict[str, dict[str, list[RunDir]]] = {}
    packages = _packages(list(records.values()))
    for (run, one), told in zip(records.items(), packages, strict=True):
        for fact, value in {**_facts(one), "packages": told}.items():
            if value is not None:
                found.setdefault(fact, {}).setdefault(value, []).append(run)
    return found


def _facts(one: dict) -> dict[str, str | None]:
    """What a reader may want to know of a run's origin, but for packages and dates."""
    machine = one.get("machine") or {}
    return {
        "segnb": one.get("segnb"),
        "commit": in_turn(one, "commit", 12) or "not known" if "commit" in one else None,
        "uncommitted changes": _changes(one),
        "Python": in_turn(one, "python"),
        "system": in_turn(one, "platform") or machine.get("system"),
        "processor": in_turn(one, "processor") or (machine.get("device_name") if _is_cpu(machine) else None),
        "GPU": None if _is_cpu(machine) else machine.get("device_name"),
        "requirements.lock": _as_locked(one.get("lock")),
    }


def in_turn(one: dict, fact: str, digits: int | None = None) -> str | None:
    """What a run's record says of a fact, "A, then B" where it went on elsewhere; None: nothing.

    digits: how many characters of each are shown
    """
    values = [one.get(fact), *(entry[fact] for entry in one.get("continued", []) if fact in entry)]
    return ", then ".join(value[:digits] for value in values if value) or None


def _is_cpu(machine: dict) -> bool:
    return machine.get("device", "cpu") == "cpu"


def _changes(one: dict) -> str | None:
    changed = one.get("changed_files")
    if not changed:
        return "none" if one.get("commit") and changed is not None else None
    told = _listed(changed, 3)
    return f"{told} ({one['diff_sha256'][:8]})" if one.get("diff_sha256") else told


def _as_locked(lock: dict | None) -> str | None:
    if lock is None:
        return None
    others = _listed(list(lock["differs"]))
    return f"{lock['sha256'][:8]}, " + (
        f"but other versions of {others}" if others else "and all packages as in it"
    )


def _packages(records: list[dict]) -> list[str | None]:
    """The packages of each run that not all runs have, in words: "pillow 13.0.0 (1a2b3c4d)", its build.

    None for a run of an old version, which recorded a few only.
    """
    sets = [_builds(one) if "records" in one else None for one in records]
    kinds = {kind for kind in sets if kind is not None}
    shared = frozenset.intersection(*kinds) if kinds else frozenset()
    texts = {
        kind: _listed([f"{name} {version} ({build[:8]})" for name, version, build in sorted(kind - shared)])
        for kind in kinds
    }
    return [None if kind is None else texts[kind] for kind in sets]


def _builds(one: dict) -> frozenset[tuple[str, str, str]]:
    """(name, version, SHA-256) of each package."""
    return frozenset(
        (name, version or "missing", one["records"].get(name) or "")
        for name, version in one["packages"].items()
    )


def _listed(words: list[str], most: int = 6) -> str:
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def _named(runs: list["RunDir"], total: int) -> str:
    """Which of `total` runs: "UNet_NoSkip_256 seeds 0, 1", or how many if that would be long."""
    if len(runs) > 6:
        return f"{len(runs)} of {total} runs"
    seeds: dict[str, list[str]] = {}
    for run in runs:
        seeds.setdefault(run.variant, []).append(str(run.seed))
    return ", ".join(
        f"{name} seed{'s' * (len(found) > 1)} {' and '.join(found)}" for name, found in seeds.items()
    )


def sentence(runs: list["RunDir"]) -> str:
    """When the runs were made and what they have in common, as running text; "" without runs that tell."""
    records = {run: one for run in runs if (one := record(run))}
    if not records:
        return ""
    days = sorted({one["started"][:10] for one in records.values()})
    facts = _by_value(records)
    told = (
        f"{len(runs)} run{'s' * (len(runs) > 1)}, started {' to '.join(dict.fromkeys((days[0], days[-1])))}."
    )
    shared = [
        f"{fact} {value}"
        for fact, values in facts.items()
        for value, found in values.items()
        if value and len(found) == len(records)
    ]
    apart = [fact for fact, values in facts.items() if len(values) > 1]
    if shared:
        told += f" The same in all: {'; '.join(shared)}."
    return told + (f" Not the same in all, see the table: {'; '.join(apart)}." if apart else "")


def table(runs: list["RunDir"]):
    """`differences` as a table of the report, or None where there are none."""
    from segnb.tables import table

    return table(
        differences(runs),
        "What is not the same in all runs, with the runs that each value belongs to. Scores are not expected"
        " to depend on it beyond their last digits; what else they depend on is the same in all runs.",
    )
