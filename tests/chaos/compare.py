"""Two project folders, file by file: what must be the same, and what may be left of a lost process."""

import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd

# What no two runs have in common: times, and what hangs on them.
TIMES = {"seconds", "minutes", "train_seconds", "started", "when"}
TIMES |= {"train_samples", "predict_samples", "predict_seconds"}
SUMS = {"history.csv"}  # the SHA-256, in done.json, of a table with times in it
# In which somebody may be at work; and how often a run was resumed.
CHECKOUT = {"commit", "dirty", "changed_files", "diff_sha256", "resumed"}
TRANSIENT = re.compile(r"last\.pt|previous\.pt|best-\d+\.safetensors|failed\.json")
STRAY = re.compile(r"\..*(?<!\.lock)")  # segnb's files have no such names, but for those in the making


def files(project: Path) -> dict[str, Path]:
    """All files of runs/, cache/ and report/ by their paths, but for locks."""
    found = (path for part in ("runs", "cache", "report") for path in (project / part).rglob("*"))
    return {
        str(path.relative_to(project)): path
        for path in sorted(found)
        if path.is_file() and not path.name.endswith(".lock")
    }


def content(path: Path):
    """What a file says, without times; anything that == compares."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, 4).cells
        return [(cell.source, cell.get("outputs")) for cell in cells]
    if path.suffix == ".json":
        return _timeless(json.loads(path.read_text()))
    if path.suffix == ".csv":
        frame = pd.read_csv(path)
        return frame[[name for name in frame if name not in TIMES]].to_csv()
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}
    return path.read_bytes()


def _timeless(value):
    if isinstance(value, dict):
        varying = TIMES | SUMS | CHECKOUT
        return {key: _timeless(one) for key, one in value.items() if key not in varying}
    return [_timeless(one) for one in value] if isinstance(value, list) else value


def differences(project: Path, wanted: Path) -> list[str]:
    """What a finished step has left that it should not have, or has not, or has otherwise."""
    found, expected = files(project), files(wanted)
    told = [f"{name} is left over" for name in found if name not in expected]
    told += [f"{name} is missing" for name in expected if name not in found]
    return told + [f"{name} differs" for name in found if _differs(found[name], expected.get(name))]


def half_done(project: Path, before: Path, after: Path) -> list[str]:
    """What a lost step has left that is neither as it was before nor as it is to be."""
    told, was, will_be = [], files(before), files(after)
    for name, path in files(project).items():
        if STRAY.fullmatch(path.name) or TRANSIENT.fullmatch(path.name) or _in_the_making(path):
            continue
        if path.name in ("history.csv", "gradients.csv") and _begins(path, will_be[name]):
            continue
        if name not in will_be:
            told.append(f"{name} should never be there")
        elif _differs(path, will_be[name]) and _differs(path, was.get(name, will_be[name])):
            told.append(f"{name} is neither old nor new")
    return told + [f"{name} is gone" for name in was if name not in files(project)]


def _in_the_making(path: Path) -> bool:
    """Arrays that do not count yet: features without done.json, pictures without their list of names."""
    if path.suffix != ".npy":
        return False
    if path.parent.parent.name == "features":
        return not (path.parent / "done.json").exists()
    return not (path.parent / f"{path.name.split('_')[0]}.json").exists()


def _differs(path: Path, other: Path | None) -> bool:
    if other is None:
        return False
    try:
        return content(path) != content(other)
    except Exception:  # it cannot be read
        return True


def _begins(path: Path, whole: Path) -> bool:
    """The first rows of a table."""
    if not path.stat().st_size:
        return False
    return path.read_text().strip() == "" or content(whole).startswith(content(path))
