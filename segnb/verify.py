"""A finished run repeated and held against itself: `segnb verify RUN`.

The repetition is trained and tested in a project folder of its own, which borrows code, data and machine
settings and is removed afterwards. On one processor model a run gives the same numbers bit for bit.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load_file

from segnb.errors import SegnbError
from segnb.files import UNREADABLE, read_json, root, sha256, share_code, write_json
from segnb.machine import ALLOCATOR
from segnb.params import RunParams
from segnb.provenance import check, identity, in_turn, provenance, record, unlike
from segnb.rundir import RunDir, Study, settle

WRITTEN = "model.safetensors", "history.csv", "gradients.csv", "done.json"


@dataclass(frozen=True)
class Part:
    """A file of the run beside that of its repetition; `told` says how they differ, "" if they do not."""

    name: str
    told: str

    def __str__(self) -> str:
        return f"{self.name:<22} {f'differs: {self.told}' if self.told else 'same'}"


def verify(run: RunDir) -> tuple[list[Part], list[str]]:
    """What was compared, and remarks on the circumstances. Trains the run again.

    Raises SegnbError if the run is not finished, cannot be repeated here because it would belong to another
    study, or if the repetition fails.
    """
    if not run.done:
        raise SegnbError(f"{run.path} is not a finished run; train it first ('make report' does)")
    check(run.study, [run])
    params = _parameters(run)
    with _project(run) as folder:
        with _as_root(folder), redirect_stdout(sys.stderr):  # stdout is for the result
            study = settle(params.shared())
        _check_repeatable(run, study)
        again = study.run(run.variant, run.seed)
        tested = run.confusion_path.exists()
        begun, took = time.perf_counter(), run.summary["seconds"]
        print(f"repeating {run.path}, whose training took {took:.0f} s …", file=sys.stderr, flush=True)
        _execute(folder, again, params, tested)
        remarks = [f"repeated in {time.perf_counter() - begun:.0f} s", *_circumstances(run, study)]
        if not tested:
            remarks.append("the run has not been tested, so only its training was compared")
        return compare(run, again), remarks


# ---- the repetition --------------------------------------------------------------------------------------


def _parameters(run: RunDir) -> RunParams:
    """Those of the run, with data and weights as they were found when its study was settled."""
    told = RunParams.check(read_json(run.path / "params.json"))
    if (told.variant, told.seed) != (run.variant, run.seed):
        raise SegnbError(f"{run.path} holds {told.variant}, seed {told.seed}; move it to where that belongs")
    settled = run.study.settled
    source, file = settled["weights"]["source"], settled["weights"]["file"]
    found = {"data": settled["request"]["data"], "weights": file if source.startswith("file ") else source}
    return RunParams.check(told.model_dump() | found | {"study": None})


@contextmanager
def _project(run: RunDir) -> Iterator[Path]:
    """A project folder that has nothing of its own but its runs, none yet."""
    (root() / "cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="segnb-verify-") as name:
        folder = Path(name).resolve()
        share_code(root(), folder)
        (folder / "cache").symlink_to(root() / "cache")
        (folder / "runs").mkdir()
        known = run.study.path.parent / "machine.json"
        if known.exists():
            (folder / "runs" / "machine.json").write_bytes(known.read_bytes())
        yield folder


@contextmanager
def _as_root(folder: Path) -> Iterator[None]:
    """This process works in another project folder, and fetches nothing."""
    before = {name: os.environ.get(name) for name in ("SEGNB_ROOT", "SEGNB_OFFLINE")}
    os.environ |= _environment(folder)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _environment(folder: Path) -> dict[str, str]:
    return {"SEGNB_ROOT": str(folder), "SEGNB_OFFLINE": "1"}


def _check_repeatable(run: RunDir, study: Study) -> None:
    """Raises SegnbError if the run would now belong to another study: what differs and what to do."""
    now, then = identity(study.settled), identity(run.study.settled)
    told = unlike(now, then)
    if not told:
        return
    before, settled = record(run), run.study.settled
    commit = before.get("commit")
    checkout = f"check out commit {commit[:12]}" if commit else f"check out version {before.get('segnb')}"
    if before.get("changed_files"):
        checkout += f", to which {', '.join(before['changed_files'][:3])} had been changed"
    packages = " ".join(f"{name}=={version}" for name, version in (then["versions"] or {}).items())
    remedies = {
        "code": checkout,
        "preset": checkout,
        "versions": f"install {packages}",
        "data": "put the data back as they were",
        "weights": "put the weights back as they were",
        "machine": f"repeat it on {settled['machine']['device_name']}, with as many cores for this process",
    }
    todo = dict.fromkeys(remedies[what] for what in now if unlike({what: now[what]}, then))
    raise SegnbError(
        f"{run.path} cannot be repeated here, because this would be another study ({'; '.join(told[:4])}):"
        f" {' and '.join(todo)}"
    )


def _execute(folder: Path, run: RunDir, params: RunParams, tested: bool) -> None:
    """Train and test in that folder, as the Snakefile does. Raises SegnbError that says why a step failed."""
    request = folder / "request.json"
    write_json(request, params.model_dump() | {"study": run.study.name})
    notebook = folder / "notebooks" / "train.ipynb"
    steps = [["run", str(notebook), str(run.notebook_path), "-f", str(request)]]
    steps += [["measure", str(run.path)]] if tested else []
    for step in steps:
        # It ends with this process, whatever ends that.
        command = [sys.executable, "-m", "segnb.processes", str(os.getpid()), "segnb.cli", *step]
        environment = os.environ | ALLOCATOR | _environment(folder)
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("segnb: ")]
            last = (lines or done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise SegnbError(f"the repetition failed ({last.removeprefix('segnb: ')}); nothing was compared")


def _circumstances(run: RunDir, study: Study) -> list[str]:
    """In words: what is not as it was and need not, but might, make other numbers."""
    before, now = record(run), provenance(study)
    remarks = []
    processor = in_turn(before, "processor") or run.study.settled["machine"]["device_name"]
    if study.machine.device != "cpu":
        remarks.append("on a GPU the same bits are not promised")
    elif processor != now["processor"]:
        remarks.append(
            f"on {now['processor']}, where bits of a run that was made on {processor} are not promised"
        )
    others = [
        f"{name} {now['packages'].get(name)} instead of {version}"
        for name, version in before.get("packages", {}).items()
        if now["packages"].get(name) != version
    ]
    if others:
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        remarks.append(f"other packages: {', '.join(others[:5])}{more}")
    if before.get("commit") and before["commit"] != now["commit"]:
        remarks.append(f"another commit than {before['commit'][:12]}, with the same training code")
    return remarks


# ---- the comparison --------------------------------------------------------------------------------------


def compare(run: RunDir, again: RunDir) -> list[Part]:
    """Everything that training and, where the run was tested, testing write, but for durations."""
    names = {path.name for one in (run, again) for path in one.path.glob("*.npz")}
    names = [*WRITTEN, *(sorted(names) if run.confusion_path.exists() else [])]
    files = [(run.path / name, again.path / name) for name in names]
    # Runs of older versions have no gradients.csv.
    return [Part(a.name, _difference(a, b)) for a, b in files if a.exists() or b.exists()]


def _difference(mine: Path, other: Path) -> str:
    if not mine.exists() or not other.exists():
        return f"only in the {'repetition' if other.exists() else 'run'}"
    if sha256(mine) == sha256(other):
        return ""
    try:
        return READERS[mine.suffix](mine, other)
    except (*UNREADABLE, SafetensorError) as error:
        return f"cannot be read ({error})"


def _tables(mine: Path, other: Path) -> str:
    """Every digit counts, so cells are held against each other as they are written."""
    a, b = (_without_seconds(pd.read_csv(file, dtype=str, keep_default_na=False)) for file in (mine, other))
    if list(a) != list(b) or len(a) != len(b):
        return f"{len(a)} rows of {', '.join(a)} and {len(b)} of {', '.join(b)}"
    told = []
    for name in a:
        apart = a[name] != b[name]
        if apart.any():
            numbers = [pd.to_numeric(frame[name][apart], errors="coerce") for frame in (a, b)]
            told.append(f"{name} by up to {(numbers[0] - numbers[1]).abs().max():.3g}")
    return ", ".join(told)


def _without_seconds(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[[name for name in frame if not name.endswith("seconds")]]


def _summaries(mine: Path, other: Path) -> str:
    a, b = read_json(mine), read_json(other)
    # How long it took, and check sums of tables that say so too.
    names = [n for n in {**a, **b} if n not in ("seconds", "tables") and a.get(n) != b.get(n)]
    return ", ".join(f"{n} {a.get(n)} and {b.get(n)}" for n in names)


def _models(mine: Path, other: Path) -> str:
    a, b = load_file(mine), load_file(other)
    if {name: one.shape for name, one in a.items()} != {name: one.shape for name, one in b.items()}:
        return "other tensors"
    apart = [name for name in a if a[name].tobytes() != b[name].tobytes()]
    if not apart:
        return "the same tensors in another file"
    most = max(np.abs(a[name].astype(float) - b[name].astype(float)).max() for name in apart)
    return f"{len(apart)} of {len(a)} tensors, by up to {most:.3g}"


def _measures(mine: Path, other: Path) -> str:
    with np.load(mine) as a, np.load(other) as b:
        return _arrays(dict(a), dict(b))


def _arrays(mine: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> str:
    told = []
    for name in {**mine, **other}:
        if name not in mine or name not in other:
            told.append(f"{name} in one of the two only")
            continue
        a, b = mine[name], other[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            told.append(f"{name} {a.dtype}{list(a.shape)} and {b.dtype}{list(b.shape)}")
        elif a.tobytes() != b.tobytes():
            told.append(f"{name} {_apart(a, b)}")
    if "confusion" in mine and "confusion" in other and told:
        told.insert(0, _miou_apart(mine["confusion"], other["confusion"]))
    return "; ".join(told[:4]) + (f" and {len(told) - 4} more" if len(told) > 4 else "")


def _apart(a: np.ndarray, b: np.ndarray) -> str:
    count = int((a != b).sum())
    if a.dtype.kind not in "biuf":
        return f"in {count} of {a.size}"
    most = np.nanmax(np.abs(a.astype(float) - b.astype(float)), initial=0)
    return f"by up to {most:.3g} in {count} of {a.size}"


def _miou_apart(a: np.ndarray, b: np.ndarray) -> str:
    from segnb.measures import mean_iou

    counts = [one.reshape(-1, *one.shape[-2:]).sum(0) for one in (a, b)]
    return f"mIoU by {100 * abs(mean_iou(counts[0]) - mean_iou(counts[1])):.3g} points"


READERS = {".csv": _tables, ".json": _summaries, ".npz": _measures, ".safetensors": _models}
