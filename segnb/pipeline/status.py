"""How far the runs of a study are, seen from their folders: as data, as text for a terminal, as HTML.

    print(text(look(), 80))

Nothing is written and torch stays out, so that it can be asked at any time, and often. Times are those of
training, by epochs that were measured; testing comes on top.
"""

import json
import os
import re
import shlex
import shutil
import textwrap
import threading
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from markupsafe import escape

from segnb.errors import SegnbError, one_line
from segnb.storage.locks import holder
from segnb.storage.project import root
from segnb.study.study import Run, Study, open_study
from segnb.storage.project import runs_folder
from segnb.report.templates import shell

if TYPE_CHECKING:  # brought in where a notebook asks for them; a terminal has no use for them
    from IPython.display import HTML
    from ipywidgets import Widget

STATES = {  # what a run can be: its sign, and in words
    "done": ("✓", "done"),
    "trained": ("○", "trained, not yet measured"),
    "running": ("▸", "running"),
    "stopped": ("‖", "stopped"),
    "failed": ("✗", "failed"),
    "waiting": ("·", "waiting"),
}
EVERY = 2.0  # seconds between two looks of who watches
TAIL = 40  # lines of a log
MOST_SEEDS = 12  # that a page has a cell each for; of more it gives numbers
MOST_TOLD = 10  # runs of one state that get lines of their own


# ---- data -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunStatus:
    """A cell of the grid.

    state:  one of STATES
    epoch:  how many whole epochs there are, of `epochs`; that many at most where `early`, by early stopping
    doing:  "training" or "testing" while it is running, and what failed ("train", "measure") when it has
    left:   seconds of training that remain; None where no epoch was measured to tell by
    error:  why it failed, in one line; closer: the command that shows more of it
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


@dataclass(frozen=True)
class Grid:
    """The runs of a study: those that a report asked for last, and what else there is of it.

    runs:    by variant and seed, row by row
    at_work: whether a report is being made in this project folder
    """

    study: str
    variants: list[str]
    seeds: list[int]
    runs: dict[tuple[str, int], Run]
    at_work: bool

    def of(self, *states: str) -> list[Run]:
        return [run for run in self.runs.values() if run.state in states]

    @property
    def counts(self) -> dict[str, int]:
        """How many runs are in each state, of those that occur."""
        return {state: len(self.of(state)) for state in STATES if self.of(state)}

    @property
    def ahead(self) -> list[Run]:
        """What there is still to do, without being told so anew: failed runs are not in it."""
        open_ones = self.of("trained", "running", "stopped", "waiting")
        return [run for run in open_ones if run.asked or run.state == "running"]

    @property
    def beside(self) -> int:
        """Runs side by side, as of now."""
        return max(1, len(self.of("running")))

    @property
    def left(self) -> float | None:
        """Seconds of training that all of it takes, so many side by side; None where that is not known."""
        lefts = [run.left for run in self.ahead]
        return None if None in lefts else max(sum(lefts) / self.beside, *lefts, 0.0)

    def json(self) -> str:
        told = {
            "study": self.study,
            "counts": self.counts,
            "beside": self.beside,
            "left": self.left,
            "at_work": self.at_work,
            "runs": [asdict(run) for run in self.runs.values()],
        }
        return json.dumps(told, indent=2)


def look(name: str = "latest") -> Grid:
    """The grid of a study as it is now. Raises SegnbError if there is no study of that name."""
    study = open_study(name)
    asked = study.asked or {"variants": [], "seeds": []}
    there = _folders(study)
    wanted = {(variant, seed) for variant in asked["variants"] for seed in asked["seeds"]} or there
    variants = list(dict.fromkeys([*asked["variants"], *sorted(variant for variant, _ in there)]))
    seeds = sorted({seed for _, seed in wanted | there})
    recipes = {name: study.preset.recipe(name) for name in ("fcn", "unet")}
    runs, seconds, began = {}, {}, {}
    for key in [(variant, seed) for variant in variants for seed in seeds]:
        if key in wanted | there:
            recipe = recipes[family(key[0])]
            run = Run(*key, "waiting", 0, recipe.epochs, recipe.patience is not None, asked=key in wanted)
            runs[key], seconds[key], began[key] = (
                _seen(study.run(*key), run) if key in there else (run, [], 0)
            )
    _tell_times(runs, seconds, began)
    return Grid(study.name, variants, seeds, runs, holder(runs_folder() / ".lock") is not None)


def family(variant: str) -> str:
    """As the registry says; but that brings torch, which takes seconds."""
    return "fcn" if variant.startswith("FCN") else "unet"


def _folders(study: Study) -> set[tuple[str, int]]:
    """Variant and seed of every run that has begun."""
    found = study.path.glob("*/seed*")
    return {(path.parent.name, int(path.name[4:])) for path in found if re.fullmatch(r"seed\d+", path.name)}


def _seen(folder: Run, run: Run) -> tuple[Run, list[float], float]:
    """The run as its folder shows it, the seconds of its epochs, and when the one in progress began."""
    failure = _failure(folder)
    if folder.done:
        summary = folder.summary
        run = replace(run, state="trained", epoch=summary["epochs"])
        seconds = [summary["seconds"] / summary["epochs"]]
        if folder.confusion_path.exists() and not failure:
            return replace(run, state="done"), seconds, 0
    else:
        seconds = _epochs(folder)
        run = replace(run, state="stopped" if seconds else "waiting", epoch=len(seconds))
    worker = folder.trainer()
    if worker is not None:
        doing = worker.get("what", "training").split()[0]
        return replace(run, state="running", doing=doing), seconds, _began(folder, worker)
    if failure:
        log = failure.get("log") or folder.path / f"{failure['step']}.log"
        told = {"doing": failure["step"], "error": failure["error"], "closer": _closer(folder, log)}
        return replace(run, state="failed", **told), seconds, 0
    return run, seconds, 0


def _failure(folder: Run) -> dict | None:
    try:
        return folder.failure
    except SegnbError as error:  # the file itself is damaged
        return {"step": "train", "error": str(error)}


def _epochs(folder: Run) -> list[float]:
    """Seconds of each whole epoch of a run that is not finished."""
    history = folder.history()
    return history["seconds"].tolist() if len(history) else []


def _began(folder: Run, worker: dict) -> float:
    """When the epoch in progress began: after the last whole one, or when training went on behind it."""
    try:
        since = datetime.fromisoformat(worker["since"]).timestamp()
    except (KeyError, ValueError):  # written this moment
        since = time.time()
    history = folder.history_path
    return max(since, history.stat().st_mtime if history.exists() else 0)


def _closer(folder: Run, log: str | Path) -> str:
    """The command that shows the end of a log, or where there is none, the folder."""
    log = root() / log
    command = ["tail", "-n", str(TAIL), _near(log)] if log.exists() else ["ls", "-l", _near(folder.path)]
    return shlex.join(command)


def _near(path: Path) -> str:
    """The path as one would type it from here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _tell_times(runs: dict, seconds: dict, began: dict) -> None:
    """Set `left` of all runs, by what epochs take: the run's own, else its variant's, else its family's."""
    found = defaultdict(list)
    for (variant, _), values in seconds.items():
        for name in (variant, family(variant)) if values else ():
            found[name].append(median(values))
    paces = {name: median(values) for name, values in found.items()}
    for key, run in runs.items():
        if run.state not in ("running", "stopped", "waiting") or run.doing == "testing":
            continue
        pace = median(seconds[key]) if seconds[key] else paces.get(key[0], paces.get(family(key[0])))
        if pace is None:
            runs[key] = replace(run, left=None)
            continue
        left = (run.epochs - run.epoch) * pace
        if run.state == "running":
            left -= min(max(time.time() - began[key], 0), pace)  # of the epoch in progress
        runs[key] = replace(run, left=max(left, 0.0))


# ---- in words ---------------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """As one says it: "8 min", "1 h 10 min", "2 d 4 h"."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    return f"{hours // 24} d" + (f" {hours % 24} h" if hours % 24 else "")


def remaining(seconds: float, early: bool) -> str:
    """ "about 8 min left"; early: training may stop before."""
    if seconds < 60:
        return "less than a minute left"
    return f"{'at most ' if early else ''}about {duration(seconds)} left"


def summary(grid: Grid) -> str:
    """One line: how many runs are in which state, and how long the rest takes."""
    if not grid.runs:
        return "no run yet: 'make report' trains a grid of them, notebooks/train.ipynb a single one"
    short = {"trained": "not yet measured"}
    counts = ", ".join(f"{number} {short.get(state, state)}" for state, number in grid.counts.items())
    told = f"{_count(len(grid.runs))}: {counts}"
    to_train = [run for run in grid.ahead if run.left != 0]
    if not to_train:
        return told
    if grid.left is None:
        return f"{told}; time left: not known before an epoch has been measured"
    left = remaining(grid.left, any(run.early for run in to_train))
    return f"{told}; {left}" + (f" on {grid.beside} side by side" if grid.beside > 1 else " one by one")


def _count(runs: int) -> str:
    return f"{runs} run{'' if runs == 1 else 's'}"


def advice(grid: Grid) -> str:
    """What to do where something is left and nothing is at work; else ""."""
    if grid.at_work or grid.of("running") or not (grid.ahead or grid.of("failed")):
        return ""
    return "Nothing is at work here: 'make report', called as before, goes on."


def progress(run: Run) -> str:
    """How far a running or stopped run is."""
    of = f"of {'at most ' if run.early else ''}{run.epochs}"
    if run.state == "stopped":
        return f"stopped after epoch {run.epoch} {of}, goes on there"
    if run.doing == "testing":
        return "testing"
    left = "time left not known yet" if run.left is None else remaining(run.left, run.early)
    return f"epoch {_epoch(run)} {of}, {left}"


def _epoch(run: Run) -> int:
    """The epoch in progress, or the last one of a run that stopped."""
    return min(run.epoch + 1, run.epochs) if run.state == "running" else run.epoch


def step(run: Run) -> str:
    """Which step of a failed run it was."""
    return {"train": "training", "measure": "testing"}.get(run.doing, run.doing)


# ---- in a terminal ----------------------------------------------------------------------------------

COLOURS = {"done": "32", "running": "1;36", "stopped": "33", "failed": "1;31", "waiting": "2"}  # SGR codes


def text(grid: Grid, width: int, colour: bool = False) -> str:
    """The grid in lines of at most `width` characters, 70 or more, but for commands and long words."""
    width = max(width, 70)
    lines = [f"study {one_line(grid.study)}", *_wrapped(summary(grid), width), *_wrapped(advice(grid), width)]
    if grid.runs:
        lines += ["", *_table(grid, width, colour), "", *_wrapped("  ".join(_legend(grid)), width)]
    for runs in (grid.of("running", "stopped"), grid.of("failed")):
        lines += [""] * bool(runs) + [line for run in runs[:MOST_TOLD] for line in _details(run, width)]
        if len(runs) > MOST_TOLD:
            lines.append(f"and {len(runs) - MOST_TOLD} more")
    return "\n".join(line.rstrip() for line in lines)


def _wrapped(told: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(one_line(told), width, subsequent_indent=indent, break_on_hyphens=False)


def _table(grid: Grid, width: int, colour: bool) -> list[str]:
    """A row a network: the most telling cells that fit, and where none do, how many runs are in a state."""
    lines: list[str] = []
    for cell in (_words, _short, _sign):
        rows = [[_cell(grid.runs.get((name, seed)), cell) for seed in grid.seeds] for name in grid.variants]
        lines = _aligned("seed", grid.variants, [f"{seed}" for seed in grid.seeds], rows, width, colour)
        if lines:
            return lines
    rows = [[(f"{n or ''}", state) for state, n in row.items()] for row in by_variant(grid).values()]
    return _aligned(f"{len(grid.seeds)} seeds", grid.variants, list(grid.counts), rows, 999, colour)


def by_variant(grid: Grid) -> dict[str, dict[str, int]]:
    """How many runs of each variant are in each of the states that occur."""
    counts = {name: dict.fromkeys(grid.counts, 0) for name in grid.variants}
    for run in grid.runs.values():
        counts[run.variant][run.state] += 1
    return counts


def _cell(run: Run | None, told) -> tuple[str, str]:
    """Text and state; nothing where a run was neither asked for nor begun."""
    return (told(run), run.state) if run else ("", "")


def _words(run: Run) -> str:
    return f"{_sign(run)} {cell_words(run)}"


def cell_words(run: Run) -> str:
    """ "12/50" of what is trained, else the state in a word."""
    if run.state == "stopped" or run.doing == "training":
        return f"{_epoch(run)}/{run.epochs}"
    return run.doing if run.state == "running" else run.state


def _short(run: Run) -> str:
    return _words(run) if "/" in cell_words(run) else _sign(run)


def _sign(run: Run) -> str:
    return STATES[run.state][0]


def _aligned(
    corner: str,
    names: list[str],
    heads: list[str],
    rows: list[list[tuple[str, str]]],
    width: int,
    colour: bool,
) -> list[str]:
    """Lines of a table with names on the left; none if they would be longer than `width`."""
    names = [one_line(name) for name in names]
    first = max(map(len, [corner, *names]))
    widths = [max(len(head), *(len(row[i][0]) for row in rows)) for i, head in enumerate(heads)]
    for gap in (2, 1):
        if first + sum(widths) + gap * len(widths) <= width:
            break
    else:
        return []

    def line(name: str, cells: list[tuple[str, str]]) -> str:
        padded = [f"{told:<{wide}}" for (told, _), wide in zip(cells, widths, strict=True)]
        if colour:
            codes = [COLOURS.get(state) for _, state in cells]
            padded = [
                f"\x1b[{code}m{one}\x1b[0m" if code else one for one, code in zip(padded, codes, strict=True)
            ]
        return (" " * gap).join([f"{name:<{first}}", *padded])

    return [line(corner, [(head, "") for head in heads]), *map(line, names, rows)]


def _legend(grid: Grid) -> list[str]:
    return [f"{sign} {told}" for state, (sign, told) in STATES.items() if state in grid.counts]


def _details(run: Run, width: int) -> list[str]:
    who = f"{_sign(run)} {run.variant}, seed {run.seed}"
    if run.state != "failed":
        return _wrapped(f"{who}: {progress(run)}", width, "  ")
    return [*_wrapped(f"{who}: {step(run)} failed: {run.error}", width, "  "), f"    {one_line(run.closer)}"]


def watch(name: str = "latest") -> Grid:
    """Print the grid anew every two seconds until nothing is left to do, or Ctrl-C. Returns the last one.

    For a terminal: each drawing takes the place of the one before.
    """
    grid, height = look(name), 0
    try:
        while True:
            columns, rows = shutil.get_terminal_size()
            lines = text(grid, columns, "NO_COLOR" not in os.environ).split("\n")
            # Lines that are too long take several rows; what has left the screen cannot be drawn over.
            taken = [-(-len(re.sub(r"\x1b\[[\d;]*m", "", line)) // columns) or 1 for line in lines]
            while sum(taken) >= rows and len(taken) > 1:
                taken.pop()
            up = f"\x1b[{height}F" if height else ""
            print(f"{up}\x1b[J" + "\n".join(lines[: len(taken)]), flush=True)
            height = sum(taken)
            if not grid.ahead:
                break
            time.sleep(EVERY)
            grid = look(name)
    except KeyboardInterrupt:
        print()
    return grid


# ---- in a notebook ----------------------------------------------------------------------------------


def html(grid: Grid) -> str:
    """The same for a page, light or dark; what the study's files say is shown as it is written."""
    filled = shell()
    filled.globals |= {one.__name__: one for one in (advice, by_variant, cell_words, progress, step, summary)}
    filled.globals |= {"STATES": STATES, "remaining": remaining, "now": time.strftime("%H:%M:%S")}
    filled.filters["line"] = one_line
    return filled.get_template("status.html.j2").render(
        grid=grid, cells=len(grid.seeds) <= MOST_SEEDS, failed=grid.of("failed"), most=MOST_TOLD
    )


def live(name: str = "latest") -> "Widget | HTML":
    """The grid of a study, drawn anew every two seconds until nothing is left to do or the widget is closed.

    A study has one such widget a kernel: another call, as of a cell that is run twice, closes the one before.
    Where nobody watches (papermill, nbconvert) it is drawn once, as HTML that stays without a kernel.
    """
    if "JPY_SESSION_NAME" not in os.environ:  # as in `segnb.report.figures.learning.LiveCurves`
        from IPython.display import HTML

        return HTML(_page(name)[0])
    from ipywidgets import HTML as Widget

    if name in _shown:
        _shown.pop(name).close()
    page, over = _page(name)
    widget = _shown[name] = Widget(page)
    if not over:
        threading.Thread(target=_refresh, args=(widget, name), daemon=True, name=f"status of {name}").start()
    return widget


_shown: dict[str, "Widget"] = {}


def _page(name: str) -> tuple[str, bool]:
    """What to show now, and whether that will stay so. Without a study, a sentence on what to do."""
    try:
        grid = look(name)
    except SegnbError as error:
        return str(escape(error)), True
    return html(grid), not grid.ahead


def _refresh(widget: "Widget", name: str) -> None:
    over = False
    while not over and widget.comm is not None:  # None: closed
        time.sleep(EVERY)
        try:
            page, over = _page(name)
        except Exception as error:  # or the table would stand still without a word
            page, over = f"{escape(repr(error))}: run the cell again", True
        widget.value = page
