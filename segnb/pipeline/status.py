"""Progress of a study's runs, read from their folders: as data, and as text for a terminal.

    print(text(look()))

It writes nothing and imports no torch, so that it can be called at any time and often. Times are times of
training, estimated from measured epochs; evaluation takes extra time.
"""

import shlex
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import product
from pathlib import Path
from statistics import median

import pandas as pd

from segnb.errors import SegnbError, one_line
from segnb.models.registry import VARIANTS
from segnb.storage import root, runs_folder
from segnb.storage.files import holder, to_json
from segnb.study.study import Run, open_study

STATES = {  # of a run: sign, and words for it
    "done": ("✓", "done"),
    "trained": ("○", "trained but not evaluated"),
    "running": ("▸", "running"),
    "stopped": ("‖", "stopped"),
    "failed": ("✗", "failed"),
    "diverged": ("↯", "diverged"),
    "waiting": ("·", "waiting"),
}
MOST_SEEDS = 12  # with one cell each; for more seeds, the table counts runs per state
MOST_LISTED = 10  # runs of one state that have a line each


# ---- data -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunStatus:
    """The status of a run: one cell of the grid.

    Attributes:
        state: one of STATES
        epoch: number of complete epochs, of `epochs`; if `early`, training may stop before
        doing: "training" or "testing" while running; the step that failed ("train", "measure") afterwards
        left: remaining seconds of training; None if no epoch was measured
        error: one line on why it failed or how it diverged
        closer: command that shows more of the failure
        asked: whether the last report asked for this run
    """

    variant: str
    seed: int
    state: str
    epoch: int
    epochs: int
    early: bool
    doing: str = ""
    left: float | None = 0.0
    error: str = ""
    closer: str = ""
    asked: bool = True

    @property
    def sign(self) -> str:
        return STATES[self.state][0]


@dataclass(frozen=True)
class Grid:
    """The status of a study's runs: all that the last report asked for, and others that have begun.

    Attributes:
        runs: by variant and seed, row by row
        at_work: whether a report is being built in this project folder
    """

    study: str
    variants: list[str]
    seeds: list[int]
    runs: dict[tuple[str, int], RunStatus]
    at_work: bool

    def of(self, *states: str) -> list[RunStatus]:
        return [run for run in self.runs.values() if run.state in states]

    @property
    def counts(self) -> dict[str, int]:
        """Number of runs in each state that occurs."""
        return {state: len(self.of(state)) for state in STATES if self.of(state)}

    @property
    def ahead(self) -> list[RunStatus]:
        """The runs that 'make report' still has to finish, without failed ones."""
        unfinished = self.of("trained", "running", "stopped", "waiting")
        return [run for run in unfinished if run.asked or run.state == "running"]

    @property
    def beside(self) -> int:
        """Number of runs in parallel, as of now."""
        return max(1, len(self.of("running")))

    @property
    def left(self) -> float | None:
        """Seconds until all runs are trained, if as many as now run in parallel; None if unknown."""
        seconds = [run.left for run in self.ahead]
        return None if None in seconds else max(sum(seconds) / self.beside, *seconds, 0.0)

    def json(self) -> str:
        """Return the grid as JSON."""
        fields = ("study", "counts", "beside", "left", "at_work")
        runs = [asdict(run) for run in self.runs.values()]
        return to_json({name: getattr(self, name) for name in fields} | {"runs": runs}, indent=2)

    def by_variant(self) -> dict[str, dict[str, int]]:
        """Return the number of runs per variant and state, for states that occur."""
        counts = {name: dict.fromkeys(self.counts, 0) for name in self.variants}
        for run in self.runs.values():
            counts[run.variant][run.state] += 1
        return counts

    def table(self) -> pd.DataFrame:
        """Return the grid as text: one row per variant, one column per seed or, for many seeds, per state."""
        if len(self.seeds) > MOST_SEEDS:
            return pd.DataFrame.from_dict(self.by_variant(), orient="index").astype(object).replace(0, "")
        cells = {
            f"seed {seed}": [_cell(self.runs.get((name, seed))) for name in self.variants]
            for seed in self.seeds
        }
        return pd.DataFrame(cells, self.variants)


def look(name: str = "latest") -> Grid:
    """Return the grid of a study as it is now, or raise SegnbError if there is no study of that name."""
    study = open_study(name)
    request = study.asked or {"variants": [], "seeds": []}
    rows = [name for name in request["variants"] if name in VARIANTS]
    begun = {(run.variant, run.seed) for run in study.begun()}
    requested = set(product(rows, request["seeds"])) or begun
    variants = list(dict.fromkeys([*rows, *sorted(variant for variant, _ in begun)]))
    seeds = sorted({seed for _, seed in requested | begun})
    recipes = {family: study.recipe(family) for family in ("fcn", "unet")}
    runs, seconds, started = {}, {}, {}
    for key in product(variants, seeds):
        if key in requested | begun:
            recipe, asked = recipes[VARIANTS[key[0]].family], key in requested
            run = RunStatus(*key, "waiting", 0, recipe.epochs, recipe.patience is not None, asked=asked)
            runs[key], seconds[key], started[key] = _read(study.run(*key), run)
    _estimate(runs, seconds, started)
    return Grid(study.name, variants, seeds, runs, holder(runs_folder() / ".lock") is not None)


def _read(folder: Run, run: RunStatus) -> tuple[RunStatus, list[float], float]:
    """Return the run with its folder's state, the seconds of its epochs, and when the current epoch began."""
    failure = _failure(folder)
    if mark := folder.diverged:
        return replace(run, state="diverged", epoch=mark["epoch"], error=mark["error"]), [], 0
    if folder.done:
        summary = folder.summary
        run = replace(run, state="trained", epoch=summary["epochs"])
        seconds = [summary["seconds"] / summary["epochs"]]
        if folder.confusion_path.exists() and not failure:
            return replace(run, state="done"), seconds, 0
    else:
        history = folder.history()
        seconds = history["seconds"].tolist() if len(history) else []
        run = replace(run, state="stopped" if seconds else "waiting", epoch=len(seconds))
    worker = folder.trainer()
    if worker is not None:
        doing = worker.get("what", "training").split()[0]
        return replace(run, state="running", doing=doing), seconds, _epoch_began(folder, worker)
    if failure:
        closer = _closer(folder, failure["log"])
        run = replace(run, state="failed", doing=failure["step"], error=failure["error"], closer=closer)
    return run, seconds, 0


def _failure(folder: Run) -> dict | None:
    try:
        return folder.failure
    except SegnbError as error:  # failed.json itself is damaged
        return {"step": "train", "error": str(error), "log": None}


def _epoch_began(folder: Run, worker: dict) -> float:
    """Return when the current epoch began: at the end of the previous epoch, or when training resumed."""
    try:
        since = datetime.fromisoformat(worker["since"]).timestamp()
    except (KeyError, ValueError):  # being written at this moment
        since = time.time()
    history = folder.history_path
    return max(since, history.stat().st_mtime if history.exists() else 0)


def _closer(folder: Run, log: str | None) -> str:
    """Return the command that shows the end of a log or, without a log, the folder."""
    path, command = folder.path, ["ls", "-l"]
    if log and (root() / log).exists():
        path, command = root() / log, ["tail", "-n", "40"]
    near = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return shlex.join([*command, str(near)])


def _estimate(runs: dict, seconds: dict, started: dict) -> None:
    """Set `left` of all runs from measured epochs of the run, else of its variant, else of its family."""
    measured = defaultdict(list)
    for (variant, _), values in seconds.items():
        for name in (variant, VARIANTS[variant].family) if values else ():
            measured[name].append(median(values))
    paces = {name: median(values) for name, values in measured.items()}
    for key, run in runs.items():
        if run.state not in ("running", "stopped", "waiting") or run.doing == "testing":
            continue
        family = VARIANTS[run.variant].family
        pace = median(seconds[key]) if seconds[key] else paces.get(run.variant, paces.get(family))
        left = None
        if pace is not None:
            elapsed = time.time() - started[key] if run.state == "running" else 0  # of the epoch in progress
            left = max((run.epochs - run.epoch) * pace - min(max(elapsed, 0), pace), 0.0)
        runs[key] = replace(run, left=left)


# ---- in words ---------------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """Return "8 min", "1 h 10 min" or "2 d 4 h"."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    return f"{hours // 24} d" + (f" {hours % 24} h" if hours % 24 else "")


def remaining(seconds: float, early: bool) -> str:
    """Return "about 8 min left", or "at most about 8 min left" if training may stop early."""
    if seconds < 60:
        return "less than a minute left"
    return f"{'at most ' if early else ''}about {duration(seconds)} left"


def summary(grid: Grid) -> str:
    """Return one line: the number of runs in each state, and the time left."""
    if not grid.runs:
        return "no runs yet: 'make report' trains all networks, notebooks/train.ipynb a single one"
    counts = ", ".join(f"{number} {STATES[state][1]}" for state, number in grid.counts.items())
    line = f"{len(grid.runs)} run{'' if len(grid.runs) == 1 else 's'}: {counts}"
    to_train = [run for run in grid.ahead if run.left != 0]
    if not to_train:
        return line
    if grid.left is None:
        return f"{line}; the time left is unknown until an epoch is complete"
    left = remaining(grid.left, any(run.early for run in to_train))
    parallel = grid.beside
    return f"{line}; {left} with {parallel} run{'' if parallel == 1 else 's'} in parallel"


def advice(grid: Grid) -> str:
    """Return what to do if runs are unfinished and no process is working on them, else ""."""
    if grid.at_work or grid.of("running") or not (grid.ahead or grid.of("failed")):
        return ""
    return "Nothing is running. Run 'make report' with the same settings to resume."


def progress(run: RunStatus) -> str:
    """Return the progress of a running or stopped run, or why it failed or diverged."""
    total = f"{'at most ' if run.early else ''}{run.epochs}"
    if run.state == "diverged":
        return run.error
    if run.state == "failed":
        step = {"train": "training", "measure": "evaluation"}.get(run.doing, run.doing)
        return f"{step} failed: {run.error}"
    if run.state == "stopped":
        return f"stopped after epoch {run.epoch} of {total}, will resume there"
    if run.doing == "testing":
        return "evaluating"
    left = "time left unknown" if run.left is None else remaining(run.left, run.early)
    return f"epoch {_epoch(run)} of {total}, {left}"


def epochs(run: RunStatus) -> str:
    """Return "12/50" for a run in training or stopped, else ""."""
    return f"{_epoch(run)}/{run.epochs}" if run.state == "stopped" or run.doing == "training" else ""


def _cell(run: RunStatus | None) -> str:
    return f"{run.sign} {epochs(run)}".rstrip() if run else ""


def _epoch(run: RunStatus) -> int:
    """Return the current epoch, or the last complete epoch of a stopped run."""
    return min(run.epoch + 1, run.epochs) if run.state == "running" else run.epoch


def text(grid: Grid) -> str:
    """Return the grid as lines for a terminal."""
    lines = [f"study {grid.study}", summary(grid), advice(grid)]
    if grid.runs:
        legend = "  ".join(" ".join(STATES[state]) for state in grid.counts)
        lines += [*grid.table().to_string().split("\n"), legend]
    for runs in (grid.of("running", "stopped"), grid.of("failed", "diverged")):
        for run in runs[:MOST_LISTED]:
            lines += [
                f"{run.sign} {run.variant}, seed {run.seed}: {progress(run)}",
                run.closer and f"    {run.closer}",
            ]
        if len(runs) > MOST_LISTED:
            lines.append(f"and {len(runs) - MOST_LISTED} more")
    return "\n".join(one_line(line) for line in lines if line)
