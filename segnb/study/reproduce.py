"""A finished run trained again and compared with itself: `segnb verify RUN`.

The repetition is trained and tested in a temporary project folder, which borrows code, data and machine
settings. On one processor model a run gives the same numbers bit for bit.
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
from segnb.storage.checksums import sha256
from segnb.storage.files import read_json, write_json
from segnb.storage.project import root, share_code
from segnb.study.create import create_study
from segnb.study.provenance import check, identity, in_turn, listed, provenance, record, unlike
from segnb.study.study import Run, Study


def verify(run: Run) -> tuple[dict[str, bool], list[str]]:
    """Train and test a finished run again, and compare the two.

    Returns:
        Whether each file that was compared is the same, by its name, and remarks on the circumstances.

    Raises:
        SegnbError: The run is not finished, cannot be repeated here because it would belong to another study,
            or the repetition fails.
    """
    if not run.done:
        told = run.diverged["error"] if run.diverged else "train it first ('make report' does)"
        raise SegnbError(f"{run.path} is not a finished run; {told}")
    check(run.study, [run])
    params = _parameters(run)
    with _project(run) as folder:
        with redirect_stdout(sys.stderr):  # stdout is for the result
            study = create_study(params.shared())
        _check_repeatable(run, study)
        begun = time.perf_counter()
        duration = run.summary["seconds"]
        print(f"repeating {run.path}, whose training took {duration:.0f} s …", file=sys.stderr, flush=True)
        repetition, tested = study.run(run.variant, run.seed), run.confusion_path.exists()
        _execute(folder, repetition, params, tested)
        same = compare(run, repetition)
        remarks = [f"repeated in {time.perf_counter() - begun:.0f} s", *_circumstances(run, study)]
        if not tested:
            remarks.append("the run has not been tested, so only its training was compared")
        if not all(same.values()):
            scores = [f"{one.summary['best_val_miou']:.6f}" for one in (run, repetition)]
            remarks.append("best validation mIoU {}, repeated {}".format(*scores))
        return same, remarks


def compare(run: Run, repetition: Run) -> dict[str, bool]:
    """Tell whether the model, the history without durations, and the confusion matrices are the same."""
    same = {}
    for path in (run.model_path, run.history_path, run.confusion_path):
        digests = [_digest(folder / path.name) for folder in (run.path, repetition.path)]
        if any(digests):
            same[path.name] = digests[0] == digests[1]
    return same


def _digest(path: Path) -> str | None:
    """What has to be equal: a file's SHA-256, or a table's cells without durations. None if there is none."""
    if not path.exists():
        return None
    if path.suffix != ".csv":
        return sha256(path)
    # Cells are compared as they are written, because every digit counts and the file may be damaged.
    rows = csv.DictReader(path.read_text(errors="replace").splitlines())
    return str([{n: cell for n, cell in row.items() if not str(n).endswith("seconds")} for row in rows])


# ---- the repetition --------------------------------------------------------------------------------------


def _parameters(run: Run) -> RunParams:
    """Those of the run, with the data and weights that its study resolved."""
    params = RunParams.check(read_json(run.path / "params.json"))
    if (params.variant, params.seed) != (run.variant, run.seed):
        raise SegnbError(
            f"{run.path} holds {params.variant}, seed {params.seed}; move it to where that belongs"
        )
    settings = run.study.settings
    source, file = settings["weights"]["source"], settings["weights"]["file"]
    places = {"data": settings["request"]["data"], "weights": file if source.startswith("file ") else source}
    return RunParams.check(params.model_dump() | places | {"study": None})


@contextmanager
def _project(run: Run) -> Iterator[Path]:
    """Let this process, and those that it starts, work offline in a project folder that has no runs yet."""
    project = root()
    (project / "cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="segnb-verify-") as name:
        folder = Path(name).resolve()
        share_code(project, folder)
        (folder / "cache").symlink_to(project / "cache")
        (folder / "runs").mkdir()
        settings = run.study.path.parent / "machine.json"
        if settings.exists():
            (folder / "runs" / "machine.json").write_bytes(settings.read_bytes())
        with environment(ALLOCATOR | {"SEGNB_ROOT": str(folder), "SEGNB_OFFLINE": "1"}):
            yield folder


def _check_repeatable(run: Run, study: Study) -> None:
    """Raise SegnbError if the run would now belong to another study: what differs and what to do."""
    now, then = identity(study.settings), identity(run.study.settings)
    if not (differences := unlike(now, then)):
        return
    origin = record(run)
    commit = origin.get("commit")
    checkout = f"check out {f'commit {commit[:12]}' if commit else 'version ' + str(origin.get('segnb'))}"
    if origin.get("changed_files"):
        checkout += f", to which {listed(origin['changed_files'], 3)} had been changed"
    packages = " ".join(f"{name}=={version}" for name, version in (then["versions"] or {}).items())
    device = run.study.settings["machine"]["device_name"]
    variables = "".join(f", {name}={value}" for name, value in run.study.machine.environment.items())
    remedies = {
        "code": checkout,
        "preset": checkout,
        "versions": f"install {packages}",
        "data": "put the data back as they were",
        "weights": "put the weights back as they were",
        "machine": f"repeat it on {device}, with as many cores for this process{variables}",
    }
    steps = dict.fromkeys(remedies[what] for what in now if unlike({what: now[what]}, then))
    raise SegnbError(
        f"{run.path} cannot be repeated here, because this would be another study"
        f" ({'; '.join(differences[:4])}): {' and '.join(steps)}"
    )


def _execute(folder: Path, run: Run, params: RunParams, tested: bool) -> None:
    """Train and test in that folder, as the Snakefile does. Raise SegnbError that says why a step failed."""
    request = folder / "request.json"
    write_json(request, params.model_dump() | {"study": run.study.name})
    notebook = folder / "notebooks" / "train.ipynb"
    steps = [["run", str(notebook), str(run.notebook_path), "-f", str(request)]]
    steps += [["measure", str(run.path)]] if tested else []
    for step in steps:
        # It ends with this process, whatever ends that.
        command = [sys.executable, "-m", "segnb.runtime.processes", str(os.getpid()), "segnb.cli", *step]
        process = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if process.returncode:
            lines = process.stderr.strip().splitlines() or [f"exit code {process.returncode}"]
            reason = ([line for line in lines if line.startswith("segnb: ")] or lines)[-1]
            raise SegnbError(
                f"the repetition failed ({reason.removeprefix('segnb: ')}); nothing was compared"
            )


def _circumstances(run: Run, study: Study) -> list[str]:
    """Say what is not as it was and need not, but might, change the numbers."""
    before, now = record(run), provenance(study)
    processors = in_turn(before, "processor") or [run.study.settings["machine"]["device_name"]]
    remarks = []
    if study.machine.device != "cpu":
        remarks.append("on a GPU the same bits are not promised")
    elif processors != [now["processor"]]:
        made_on = f"a run that was made on {', then '.join(processors)}"
        remarks.append(f"on {now['processor']}, where bits of {made_on} are not promised")
    packages = {name: (now["packages"].get(name), then) for name, then in before.get("packages", {}).items()}
    others = [f"{name} {here} instead of {then}" for name, (here, then) in packages.items() if here != then]
    if others:
        remarks.append(f"other packages: {listed(others, 5)}")
    commits = in_turn(before, "commit")
    if commits and commits[-1] != now["commit"]:
        remarks.append(f"another commit than {commits[-1][:12]}, with the same training code")
    return remarks
