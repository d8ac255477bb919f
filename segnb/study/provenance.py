"""Provenance of a run (code, packages, data, weights, machine), and a check of runs that are compared.

A run's folder gets its provenance when the run begins. Runs of one study share data, preset, weights, machine
settings and training code, which define the study. They may differ in the commit, in packages that should not
affect any number, and in the processor; `segnb.report.provenance` prints these differences.
"""

import functools
import hashlib
import os
import platform
import subprocess
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, distribution, version
from itertools import groupby
from pathlib import Path
from statistics import mode
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from segnb import __version__
from segnb.errors import SegnbError
from segnb.models.registry import variant_named
from segnb.runtime.machine import cpu_name
from segnb.storage import iso_now

if TYPE_CHECKING:
    from segnb.study.study import Run, Study


# The checkout of this code; SEGNB_ROOT may name another folder, for runs.
CHECKOUT = Path(__file__).resolve().parents[2]
LOCK = CHECKOUT / "requirements.lock"


def software() -> str:
    """Return the versions of segnb, torch and Python, for the last cell of a notebook."""
    return f"segnb {__version__}, torch {version('torch')}, Python {platform.python_version()}"


# ---- one run ---------------------------------------------------------------------------------------------


def provenance(study: "Study") -> dict:
    """Return the provenance of a run that begins now in this process, without names of hosts or users.

    Returns:
        The content of provenance.json:

        segnb, commit, dirty, changed_files, diff_sha256: see `code_state`
        python, platform, processor: of this process
        packages:     {name: version} of segnb's requirements, see `installed`
        unlocked:     packages that differ from requirements.lock, see `differs_from_lock`
        study, preset, code, versions, data, weights, machine: of the study
        started:      local time with its offset from UTC
        resumed:      only after an interruption, see `resumed`
    """
    settings, packages = study.settings, installed()
    return {
        **code_state(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": cpu_name(),
        "packages": packages,
        "unlocked": differs_from_lock(packages),
        "study": study.name,
        **{name: settings.get(name) for name in ("preset", "code", "versions", "data", "weights", "machine")},
        "started": iso_now(),
    }


def resumed(record: dict) -> dict:
    """Return a run's record with an entry on its resumption now: commit, processor and time."""
    entry = {"commit": code_state()["commit"], "processor": cpu_name(), "started": iso_now()}
    return record | {"resumed": [*record.get("resumed", []), entry]}


def in_turn(record: dict, fact: str) -> list[str]:
    """Return the values of a fact of `resumed` in order: ["A", "B", "A"]; [] if it is unknown."""
    values = [entry.get(fact) for entry in (record, *record.get("resumed", []))]
    return [value for value, _ in groupby(filter(None, values))]


def code_state(checkout: Path = CHECKOUT) -> dict:
    """Return the version and commit of the code, and how the files differ from that commit.

    Returns:
        segnb:         the version
        commit:        40 hex digits
        dirty:         whether tracked files differ from the commit
        changed_files: their names
        diff_sha256:   digest of `git diff HEAD`; None if nothing differs

        All but the version are None without git, or if the folder is not the root of a checkout.
    """
    state = {"segnb": __version__} | dict.fromkeys(("commit", "dirty", "changed_files", "diff_sha256"))
    answer = _git(checkout, "rev-parse", "--show-toplevel", "HEAD") or b""
    top, _, commit = answer.decode().strip().partition("\n")
    if not commit or Path(top).resolve() != checkout.resolve():
        return state
    # The digest must not depend on the user's settings of git's output.
    plain = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--full-index", "--binary")
    diff = _git(checkout, "diff", "HEAD", *plain)
    names = _git(checkout, "diff", "HEAD", "--no-renames", "--name-only", "-z")
    if diff is None or names is None:
        return state | {"commit": commit}
    changed = [name.decode("utf-8", "backslashreplace") for name in names.split(b"\0") if name]
    return state | {
        "commit": commit,
        "dirty": bool(changed),
        "changed_files": changed,
        "diff_sha256": hashlib.sha256(diff).hexdigest() if diff else None,
    }


def _git(checkout: Path, *arguments: str) -> bytes | None:
    """Return the output of a git command, or None without git, a checkout or a commit."""
    # Hooks export GIT_DIR and GIT_WORK_TREE, with which git would answer for another repository.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_") or "CONFIG" in name
    }
    # The checkout may belong to another user. Its code runs already, so asking for its commit is safe.
    command = ["git", "-C", str(checkout), "-c", f"safe.directory={checkout}", *arguments]
    try:
        process = subprocess.run(command, capture_output=True, env=environment)
    except OSError:
        return None
    return process.stdout if process.returncode == 0 else None


# ---- runs that are compared ------------------------------------------------------------------------------


def identity(settings: dict) -> dict:
    """Return the settings that define a study, from study.json or provenance.json.

    The value is None for settings that an old version did not record.
    """
    data, weights, machine = (settings.get(name) or {} for name in ("data", "weights", "machine"))
    descriptive = ("device_name", "system", "torch")  # in which machines of a study may differ
    return {
        "data": data.get("digest"),
        "preset": settings.get("preset"),
        "weights": {name: weights.get(name) for name in ("source", "sha256")} if weights else None,
        "machine": {name: value for name, value in machine.items() if name not in descriptive} or None,
        "code": settings.get("code"),
        "versions": settings.get("versions"),
    }


def unlike(here: dict, there: dict) -> list[str]:
    """Return the differences of two results of `identity`, such as ["machine threads: 1 instead of 2"].

    Settings that are unknown on one side are left out.
    """
    known = [what for what, value in here.items() if value is not None and there[what] is not None]
    mine, theirs = ({k: v for what in known for k, v in _leaves(side[what], what)} for side in (here, there))
    pairs = {name: (mine.get(name, "nothing"), theirs.get(name, "nothing")) for name in mine | theirs}
    return [f"{name}: {_short(a)} instead of {_short(b)}" for name, (a, b) in pairs.items() if a != b]


def _leaves(value: Any, name: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(name, value)]
    return [leaf for key, child in value.items() for leaf in _leaves(child, f"{name} {key}")]


def _short(value: Any) -> str:
    """Return a value as text, with the first digits of a digest."""
    text = str(value)
    return f"{text[:12]}…" if len(text) > 24 and set(text) <= set("0123456789abcdef") else text


def check(study: "Study", runs: list["Run"]) -> None:
    """Compare the provenance of each run with its study, because a run's folder is easily copied.

    Raises:
        SegnbError: the first run that was trained as part of another study, or as another network.
    """
    expected = identity(study.settings)
    for run in runs:
        recorded, defined = record(run), network(run.variant)
        if differences := unlike(identity(recorded), expected):
            raise SegnbError(
                f"{run.path}: must not be compared with the other runs of study {study.name}, because its"
                f" settings differ ({abridged(differences, 3)}). Move it out of the study's folder."
            )
        if recorded.get("network", defined) != defined:
            raise SegnbError(
                f"{run.path}: was trained with another configuration of {run.variant}. Delete that folder to"
                " train the current network."
            )


def check_evaluations(study: "Study", runs: list["Run"]) -> None:
    """Check that the same code evaluated all runs.

    Raises:
        SegnbError: the first run that was evaluated by other code than most runs.
    """
    by_code = {run.path: run.evaluated_by() for run in runs}
    if len(set(by_code.values())) > 1:
        most = mode(by_code.values())
        path = next(path for path, code in by_code.items() if code != most)
        raise SegnbError(
            f"{path}: must not be compared with the other runs of study {study.name}, because another version"
            " of segnb evaluated it. Delete its test_confusion.npz and run 'make report' again."
        )


def evaluated_otherwise(run: "Run", code: str) -> bool:
    """Return whether a run was evaluated by other code than `code`; False for a file that is not readable."""
    try:
        return run.confusion_path.exists() and run.evaluated_by() != code
    except SegnbError:  # the step that needs the file says what to do
        return False


def network(variant: str) -> dict:
    """Return the configuration of a network that a run records: {field: value}."""
    return asdict(variant_named(variant).config)


def record(run: "Run") -> dict:
    """Return a run's provenance.json; {} without the file, if the run comes from another program."""
    return run.provenance if run.provenance_path.exists() else {}


def abridged(words: list[str], most: int = 6) -> str:
    """Join the first words: "a, b and 2 more"."""
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


@functools.cache
def installed() -> dict[str, str | None]:
    """Return the requirements of segnb, including indirect ones and without extras.

    Returns:
        {name: version}, sorted by name. The version is None if a package is missing.
    """
    versions: dict[str, str | None] = {}
    queue = ["segnb"]
    while queue:
        name = queue.pop()
        if name in versions:
            continue
        try:
            metadata = distribution(name).metadata
        except PackageNotFoundError:
            versions[name] = None
            continue
        versions[name] = metadata["Version"]
        queue += _applicable(metadata.get_all("Requires-Dist") or [])  # none of extras
    del versions["segnb"]
    return dict(sorted(versions.items()))


def differs_from_lock(versions: dict[str, str | None], lock: Path = LOCK) -> dict[str, list] | None:
    """Compare versions of `installed` with requirements.lock.

    Returns:
        {name: [version here, version in the lock or None]} of packages that differ; None without such a file.
    """
    if not lock.exists():
        return None
    # Hashes and comments are on lines of their own.
    lines = [line for line in lock.read_text(encoding="utf-8").splitlines() if line[:1].isalnum()]
    pins = _applicable([line.removesuffix("\\") for line in lines])
    locked = {name: str(pin.specifier).removeprefix("==") for name, pin in pins.items()}
    pairs = {name: [version, locked.get(name)] for name, version in versions.items()}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _applicable(requirements: list[str]) -> dict[str, Requirement]:
    """Return the requirements that apply to this machine, by name."""
    parsed = map(Requirement, requirements)
    return {canonicalize_name(r.name): r for r in parsed if r.marker is None or r.marker.evaluate()}
