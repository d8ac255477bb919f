"""Repetition of a finished run and comparison of the two: `segnb verify RUN`.

The repetition is trained and evaluated in a temporary project folder, which uses the code, data and machine
settings of the project. On the same model of processor, a run gives the same numbers bit for bit.
"""

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from segnb.errors import SegnbError
from segnb.params import RunParams
from segnb.runtime.machine import ALLOCATOR
from segnb.runtime.processes import environment
from segnb.storage import root, share_code
from segnb.storage.checksums import sha256
from segnb.storage.files import read_json, to_json
from segnb.study.create import create_study
from segnb.study.provenance import abridged, check, identity, in_turn, provenance, record, unlike
from segnb.study.study import Run, Study


def verify(run: Run) -> tuple[dict[str, bool], list[str]]:
    """Train and evaluate a finished run again, and compare the two.

    Returns:
        Whether each compared file is the same, by name; and remarks on differences in circumstances.

    Raises:
        SegnbError: the run would belong to another study here, or its repetition fails.
    """
    check(run.study, [run])
    params = _parameters(run)
    with _project(run) as folder:
        with redirect_stdout(sys.stderr):  # stdout is for the result alone
            study = create_study(params.shared())
        _check_repeatable(run, study)
        begun = time.perf_counter()
        duration = run.summary["seconds"]
        print(f"repeating {run.path}, which trained for {duration:.0f} s …", file=sys.stderr, flush=True)
        repetition, evaluated = study.run(run.variant, run.seed), run.confusion_path.exists()
        _execute(folder, repetition, params, evaluated)
        same = compare(run, repetition)
        remarks = [f"repeated in {time.perf_counter() - begun:.0f} s", *_circumstances(run, study)]
        if not evaluated:
            remarks.append("the run has not been evaluated, so only its training was compared")
        if not all(same.values()):
            before, now = run.summary["best_val_miou"], repetition.summary["best_val_miou"]
            remarks.append(f"best validation mIoU {before:.6f}, repeated {now:.6f}")
        return same, remarks


def compare(run: Run, repetition: Run) -> dict[str, bool]:
    """Return whether model, history (without durations) and confusion matrices are the same, by file."""
    names = [path.name for path in (run.model_path, run.history_path, run.confusion_path)]
    digests = {name: (_digest(run.path / name), _digest(repetition.path / name)) for name in names}
    return {name: first == second for name, (first, second) in digests.items() if first or second}


def _digest(path: Path) -> str | None:
    """Return a file's SHA-256, or the cells of a table without durations; None without the file."""
    if not path.exists():
        return None
    if path.suffix != ".csv":
        return sha256(path)
    # Compare cells as text, because every digit counts and the file may be damaged.
    rows = csv.DictReader(path.read_text(errors="replace").splitlines())
    return str([{n: cell for n, cell in row.items() if not str(n).endswith("seconds")} for row in rows])


# ---- the repetition --------------------------------------------------------------------------------------


def _parameters(run: Run) -> RunParams:
    """Return the parameters of the run, with the data and weights that its study resolved."""
    params = RunParams.check(read_json(run.path / "params.json"))
    if (params.variant, params.seed) != (run.variant, run.seed):
        raise SegnbError(
            f"{run.path}: contains {params.variant}, seed {params.seed}. Move it to the folder of that run."
        )
    weights, data = run.study.weights, run.study.settings["request"]["data"]
    source = str(weights.file) if weights.is_users else weights.source
    return RunParams.check(params.model_dump() | {"data": data, "weights": source, "study": None})


@contextmanager
def _project(run: Run) -> Iterator[Path]:
    """Make a project folder without runs, for this process and its children to work in offline."""
    project = root()
    (project / "cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="segnb-verify-") as name:
        folder = Path(name).resolve()
        share_code(project, folder)
        (folder / "cache").symlink_to(project / "cache")
        (folder / "runs").mkdir()
        (folder / "runs" / "machine.json").symlink_to(run.study.path.parent / "machine.json")
        with environment(ALLOCATOR | {"SEGNB_ROOT": str(folder), "SEGNB_OFFLINE": "1"}):
            yield folder


def _check_repeatable(run: Run, study: Study) -> None:
    """Raise SegnbError, with differences and remedies, if the run would now belong to another study."""
    now, then = identity(study.settings), identity(run.study.settings)
    if not (differences := unlike(now, then)):
        return
    origin = record(run)
    commit = origin.get("commit")
    checkout = f"Check out {f'commit {commit[:12]}' if commit else 'version ' + str(origin.get('segnb'))}"
    if origin.get("changed_files"):
        checkout += f" with its uncommitted changes of {abridged(origin['changed_files'], 3)}"
    packages = " ".join(f"{name}=={version}" for name, version in (then["versions"] or {}).items())
    device = run.study.settings["machine"]["device_name"]
    variables = "".join(f", {name}={value}" for name, value in run.study.machine.environment.items())
    remedies = {
        "code": checkout,
        "preset": checkout,
        "versions": f"Install {packages}",
        "data": "Restore the data",
        "weights": "Restore the weights",
        "machine": f"Repeat it on {device}, with the same number of usable cores{variables}",
    }
    steps = dict.fromkeys(remedies[what] for what in now if unlike({what: now[what]}, then))
    raise SegnbError(
        f"{run.path}: cannot be repeated here, because it would belong to another study"
        f" ({'; '.join(differences[:4])}). {'. '.join(steps)}."
    )


def _execute(folder: Path, run: Run, params: RunParams, evaluated: bool) -> None:
    """Train and evaluate in that folder as the Snakefile does, or raise SegnbError with the reason."""
    request = to_json(params.model_dump() | {"study": run.study.name})
    notebook = folder / "notebooks" / "train.ipynb"
    steps = [["run", str(notebook), str(run.notebook_path), "-y", request]]
    steps += [["measure", str(run.path)]] if evaluated else []
    for step in steps:
        # It ends with this process, however that ends.
        command = [sys.executable, "-m", "segnb.runtime.processes", str(os.getpid()), "segnb.cli", *step]
        process = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if process.returncode:
            lines = process.stderr.strip().splitlines() or [f"exit code {process.returncode}"]
            reason = ([line for line in lines if line.startswith("segnb: ")] or lines)[-1]
            raise SegnbError(
                f"the repetition failed, so nothing was compared: {reason.removeprefix('segnb: ')}"
            )


def _circumstances(run: Run, study: Study) -> list[str]:
    """Return differences in circumstances that might, but need not, change numbers."""
    before, now = record(run), provenance(study)
    processors = in_turn(before, "processor") or [run.study.settings["machine"]["device_name"]]
    remarks = []
    if study.machine.device != "cpu":
        remarks.append("on a GPU, results need not be the same bit for bit")
    elif processors != [now["processor"]]:
        remarks.append(
            f"on {now['processor']}, while the run was trained on {', then '.join(processors)}:"
            " results need not be the same bit for bit"
        )
    packages = {name: (now["packages"].get(name), then) for name, then in before.get("packages", {}).items()}
    others = [f"{name} {here} instead of {then}" for name, (here, then) in packages.items() if here != then]
    if others:
        remarks.append(f"other packages: {abridged(others, 5)}")
    commits = in_turn(before, "commit")
    if commits and commits[-1] != now["commit"]:
        remarks.append(f"a commit other than {commits[-1][:12]}, with the same training code")
    return remarks
