"""One undisturbed study to hold all others against, and processes that are forked ready to work."""

import contextlib
import json
import multiprocessing
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.chaos import stages
from tests.chaos.shim import Fault
from tests.conftest import CHECKOUT, make_dataset, make_project

SURVIVED = pytest.StashKey[Counter]()


class Outcome(NamedTuple):
    """How a process ended."""

    code: int  # 0, 1 after an error, or minus the signal that ended it
    told: dict  # see `stages.perform`; empty if it was killed from outside


class Stage:
    """A folder in which projects are set up, and the undisturbed one before and after each step."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.context = multiprocessing.get_context("forkserver")
        self.undisturbed = make_project(self._new("undisturbed"))
        self._actions: dict[str, list] = {}
        self._seconds: dict[str, float] = {}
        make_dataset(folder / "folder", train=3, test=2, size=stages.SIZE)

    def _new(self, name: str) -> Path:
        # Two folders deep, so that all of them find the data set at the same place.
        (self.folder / name).mkdir()
        return self.folder / name / "project"

    def _reach(self, step: str) -> None:
        """Do the undisturbed steps up to this one, those that nobody has asked for before."""
        for name in list(stages.STAGES)[len(self._actions) : list(stages.STAGES).index(step) + 1]:
            shutil.copytree(self.undisturbed, self._new(f"before-{name}"), symlinks=True)
            begun = time.monotonic()
            outcome = self.perform(name, self.undisturbed)
            assert outcome.code == 0, f"undisturbed, {name} gave {outcome}"
            self._seconds[name] = time.monotonic() - begun
            self._actions[name] = outcome.told["actions"]
            shutil.copytree(self.undisturbed, self._new(f"after-{name}"), symlinks=True)

    def actions(self, step: str) -> list:
        """What the undisturbed step did, see `Shim`."""
        self._reach(step)
        return self._actions[step]

    def seconds(self, step: str) -> float:
        """How long it took."""
        self._reach(step)
        return self._seconds[step]

    def before(self, step: str) -> Path:
        self._reach(step)
        return self.folder / f"before-{step}" / "project"

    def after(self, step: str) -> Path:
        self._reach(step)
        return self.folder / f"after-{step}" / "project"

    @contextmanager
    def copy(self, step: str, after: bool = False) -> Iterator[Path]:
        """A project of one's own as it is before, or after, a step."""
        project = self._new("disturbed")
        try:
            yield Path(
                shutil.copytree(self.after(step) if after else self.before(step), project, symlinks=True)
            )
        finally:
            shutil.rmtree(project.parent)

    @contextmanager
    def begun(self, step: str, project: Path, fault: Fault | None = None, workers=False):
        """The process of a step, which is killed if it still runs at the end."""
        report = project.parent / f"{time.monotonic_ns()}.json"
        process = self.context.Process(target=stages.perform, args=(step, project, report, fault, workers))
        process.start()
        process.report = report
        try:
            yield process
        finally:
            process.kill()
            process.join()

    def perform(self, step: str, project: Path, fault: Fault | None = None, workers=False) -> Outcome:
        with self.begun(step, project, fault, workers) as process:
            return self.end(process)

    @staticmethod
    def end(process) -> Outcome:
        process.join(120)
        assert process.exitcode is not None, "the process hangs"
        told = json.loads(process.report.read_text()) if process.report.exists() else {}
        return Outcome(process.exitcode, told)


@pytest.fixture(scope="session")
def stage(tmp_path_factory) -> Stage:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.chaos.stages"])
    with contextlib.chdir(CHECKOUT):  # where the server finds its modules
        return Stage(tmp_path_factory.mktemp("chaos"))


# -- the table at the end ------------------------------------------------------------------------------------


def pytest_configure(config):
    config.stash[SURVIVED] = Counter()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    faults = [value for name, value in item.user_properties if name == "fault"]
    for where, kind in faults if report.when == "call" else ():
        item.config.stash[SURVIVED][where, kind, report.outcome] += 1
    return report


def pytest_terminal_summary(terminalreporter, config):
    counted = config.stash[SURVIVED]
    if not counted:
        return
    terminalreporter.section("faults")
    terminalreporter.line(f"{'step':<16}{'what went wrong':<28}{'faults':>8}{'survived':>10}")
    for where, kind in dict.fromkeys((where, kind) for where, kind, _ in counted):
        passed = counted[where, kind, "passed"]
        total = sum(count for key, count in counted.items() if key[:2] == (where, kind))
        terminalreporter.line(f"{where:<16}{kind:<28}{total:>8}{passed:>10}")
    total, passed = counted.total(), sum(n for key, n in counted.items() if key[2] == "passed")
    terminalreporter.line(f"{'all':<44}{total:>8}{passed:>10}")
