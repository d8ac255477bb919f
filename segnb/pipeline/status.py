"""How far the runs of a study are, read from their folders: as data and as text for a terminal.

    print(text(look()))

Nothing is written and torch stays out, so that it can be asked at any time, and often. Times are those of
training, by epochs that were measured; testing comes on top.
"""

import shlex
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from statistics import median

import pandas as pd

from segnb.errors import SegnbError, one_line
from segnb.models.registry import VARIANTS
from segnb.storage.files import holder, to_json
from segnb.storage.project import root, runs_folder
from segnb.study.study import Run, Study, open_study

STATES = {  # of a run: its sign, and in words
    "done": ("✓", "done"),
    "trained": ("○", "trained, not yet measured"),
    "running": ("▸", "running"),
    "stopped": ("‖", "stopped"),
    "failed": ("✗", "failed"),
    "diverged": ("↯", "diverged"),
    "waiting": ("·", "waiting"),
}
TAIL = 40  # lines of a log
MOST_SEEDS = 12  # with one cell each; of more seeds, the table counts runs per state
MOST_LISTED = 10  # runs of one state that get a line of their own


# ---- data -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunStatus:
    """One cell of the grid.

    state:  one of STATES
    epoch:  how many epochs are complete, of `epochs`; training may stop earlier if `early`
    doing:  "training" or "testing" while it is running, and what failed ("train", "measure") when it has
    left:   seconds of training that remain; None where no epoch was measured to tell by
    error:  why it failed or how it diverged, in one line; closer: the command that shows more of it
    asked:  whether the last report asked for it
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
    """The runs of a study: those that the last report asked for, and all others that have begun.

    runs:    by variant and seed, row by row
    at_work: whether a report is being made in this project folder
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
        """How many runs are in each state, of those that occur."""
        return {state: len(self.of(state)) for state in STATES if self.of(state)}

    @property
    def ahead(self) -> list[RunStatus]:
        """The runs that 'make report' still has to finish; failed ones are not among them."""
        unfinished = self.of("trained", "running", "stopped", "waiting")
        return [run for run in unfinished if run.asked or run.state == "running"]

    @property
    def beside(self) -> int:
        """Runs side by side, as of now."""
        return max(1, len(self.of("running")))

    @property
    def left(self) -> float | None:
        """Seconds until all are trained, so many side by side; None where that is not known."""
        seconds = [run.left for run in self.ahead]
        return None if None in seconds else max(sum(seconds) / self.beside, *seconds, 0.0)

    def json(self) -> str:
        """Return all of it as JSON."""
        fields = ("study", "counts", "beside", "left", "at_work")
        runs = [asdict(run) for run in self.runs.values()]
        return to_json({name: getattr(self, name) for name in fields} | {"runs": runs}, indent=2)

    def by_variant(self) -> dict[str, dict[str, int]]:
        """Return how many runs of each variant are in each of the states that occur."""
        counts = {name: dict.fromkeys(self.counts, 0) for name in self.variants}
        for run in self.runs.values():
            counts[run.variant][run.state] += 1
        return counts

    def table(self) -> pd.DataFrame:
        """Return the grid as text: a row per variant; a column per seed or, if there are many, per state."""
        if len(self.seeds) > MOST_SEEDS:
            return pd.DataFrame.from_dict(self.by_variant(), orient="index").astype(object).replace(0, "")
        cells = {
            f"seed {seed}": [_cell(self.runs.get((name, seed))) for name in self.variants]
            for seed in self.seeds
        }
        return pd.DataFrame(cells, self.variants)


def look(name: str = "latest") -> Grid:
    """Return the grid of a study as it is now. Raises SegnbError if there is no study of that name."""
    study = open_study(name)
    asked = study.asked or {"variants": [], "seeds": []}
    rows = [name for name in asked["variants"] if name in VARIANTS]
    begun = _folders(study)
    wanted = {(variant, seed) for variant in rows for seed in asked["seeds"]} or begun
    variants = list(dict.fromkeys([*rows, *sorted(variant for variant, _ in begun)]))
    seeds = sorted({seed for _, seed in wanted | begun})
    recipes = {family: study.preset.recipe(family) for family in ("fcn", "unet")}
    runs, seconds, started = {}, {}, {}
    for key in [(variant, seed) for variant in variants for seed in seeds]:
        if key in wanted | begun:
            recipe = recipes[VARIANTS[key[0]].family]
            run = RunStatus(
                *key, "waiting", 0, recipe.epochs, recipe.patience is not None, asked=key in wanted
            )
            read = _read(study.run(*key), run) if key in begun else (run, [], 0)
            runs[key], seconds[key], started[key] = read
    _estimate(runs, seconds, started)
    return Grid(study.name, variants, seeds, runs, holder(runs_folder() / ".lock") is not None)


def _folders(study: Study) -> set[tuple[str, int]]:
    """Variant and seed of every run that has begun."""
    paths = [path for path in study.path.glob("*/seed*") if path.name[4:].isdecimal()]
    return {(path.parent.name, int(path.name[4:])) for path in paths if path.parent.name in VARIANTS}


def _read(folder: Run, run: RunStatus) -> tuple[RunStatus, list[float], float]:
    """Return the run as its folder shows it, the seconds of its epochs, and when the current one began."""
    failure = _failure(folder)
    if lost := folder.diverged:
        return replace(run, state="diverged", epoch=lost["epoch"], error=lost["error"]), [], 0
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
        closer = _closer(folder, failure.get("log") or folder.path / f"{failure['step']}.log")
        run = replace(run, state="failed", doing=failure["step"], error=failure["error"], closer=closer)
    return run, seconds, 0


def _failure(folder: Run) -> dict | None:
    try:
        return folder.failure
    except SegnbError as error:  # the file itself is damaged
        return {"step": "train", "error": str(error)}


def _epoch_began(folder: Run, worker: dict) -> float:
    """When the epoch in progress began: at the end of the one before, or when training was resumed."""
    try:
        since = datetime.fromisoformat(worker["since"]).timestamp()
    except (KeyError, ValueError):  # being written this moment
        since = time.time()
    history = folder.history_path
    return max(since, history.stat().st_mtime if history.exists() else 0)


def _closer(folder: Run, log: str | Path) -> str:
    """The command that shows the end of a log or, where there is none, the folder."""
    log = root() / log
    path, command = (log, ["tail", "-n", str(TAIL)]) if log.exists() else (folder.path, ["ls", "-l"])
    near = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return shlex.join([*command, str(near)])


def _estimate(runs: dict, seconds: dict, started: dict) -> None:
    """Set `left` of all runs by the epochs measured of the run, else of its variant, else of its family."""
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
            gone = time.time() - started[key] if run.state == "running" else 0  # of the epoch in progress
            left = max((run.epochs - run.epoch) * pace - min(max(gone, 0), pace), 0.0)
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
    """Return "about 8 min left"; early: training may stop before."""
    if seconds < 60:
        return "less than a minute left"
    return f"{'at most ' if early else ''}about {duration(seconds)} left"


def summary(grid: Grid) -> str:
    """Return one line: how many runs are in which state, and how long the rest takes."""
    if not grid.runs:
        return "no run yet: 'make report' trains a grid of them, notebooks/train.ipynb a single one"
    words = {"trained": "not yet measured"}
    counts = ", ".join(f"{number} {words.get(state, state)}" for state, number in grid.counts.items())
    line = f"{len(grid.runs)} run{'' if len(grid.runs) == 1 else 's'}: {counts}"
    to_train = [run for run in grid.ahead if run.left != 0]
    if not to_train:
        return line
    if grid.left is None:
        return f"{line}; time left: not known before an epoch has been measured"
    left = remaining(grid.left, any(run.early for run in to_train))
    return f"{line}; {left}" + (f" on {grid.beside} side by side" if grid.beside > 1 else " one by one")


def advice(grid: Grid) -> str:
    """Return what to do where runs are unfinished and nothing is at work; else ""."""
    if grid.at_work or grid.of("running") or not (grid.ahead or grid.of("failed")):
        return ""
    return "Nothing is at work here: 'make report', called as before, goes on."


def progress(run: RunStatus) -> str:
    """Return how far a running or stopped run is, or why it failed or how it diverged."""
    of = f"of {'at most ' if run.early else ''}{run.epochs}"
    if run.state == "diverged":
        return run.error
    if run.state == "failed":
        step = {"train": "training", "measure": "testing"}.get(run.doing, run.doing)
        return f"{step} failed: {run.error}"
    if run.state == "stopped":
        return f"stopped after epoch {run.epoch} {of}, goes on there"
    if run.doing == "testing":
        return "testing"
    left = "time left not known yet" if run.left is None else remaining(run.left, run.early)
    return f"epoch {_epoch(run)} {of}, {left}"


def epochs(run: RunStatus) -> str:
    """Return "12/50" for a run that is or was being trained, else ""."""
    return f"{_epoch(run)}/{run.epochs}" if run.state == "stopped" or run.doing == "training" else ""


def _cell(run: RunStatus | None) -> str:
    return f"{run.sign} {epochs(run)}".rstrip() if run else ""


def _epoch(run: RunStatus) -> int:
    """The epoch in progress, or the last one of a run that stopped."""
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
