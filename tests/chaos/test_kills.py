"""Processes that are killed or stopped at a moment that a seed draws, and two that want the same at once.

    pytest -m "" tests/chaos/test_kills.py -k "engine and first"

Nobody that worked for a killed one is left, and the next try ends with the same numbers bit for bit.
"""

import random
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from segnb.storage.files import holder
from segnb.study.study import Run
from tests.chaos import engine
from tests.chaos.compare import differences, half_done
from tests.chaos.stages import EPOCHS, UNET
from tests.chaos.test_faults import one_line
from tests.conftest import make_project

KILL, TERM, INT = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
RUN = f"runs/smoke-streets-*/{UNET}/seed0"
SOON = 5  # seconds after which nobody is left


def run_in(project: Path) -> Run:
    return Run(next(project.glob("runs/smoke-streets-*")) / UNET / "seed0")


def wait_for(true, seconds: float = 60):
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return found


# -- two at once -------------------------------------------------------------------------------------------


def test_two_trainings_of_a_run_at_once_give_the_numbers_of_one(stage, record_property):
    """The second waits, and finds what the first has made."""
    record_property("fault", ("two at once", "train-unet"))
    with stage.copy("train-unet") as project:
        with stage.begun("train-unet", project) as one, stage.begun("train-unet", project) as two:
            ends = [stage.end(one), stage.end(two)]
        for end in ends:
            assert end.code == 0 or refused(end), end
        assert any(end.code == 0 for end in ends)
        assert sum(end.told.get("epochs", 0) for end in ends) == EPOCHS
        assert differences(project, stage.after("train-unet")) == []


@pytest.mark.chaos
@pytest.mark.parametrize("second", ["train-unet", "measure-unet"])
def test_who_comes_second_to_a_run_is_refused_in_one_line(stage, second, record_property):
    """The first is halted, so that the second waits in vain."""
    record_property("fault", ("two at once", f"halted, {second}"))
    step = second
    with stage.copy(step) as project, stage.begun(step, project) as one:
        wait_for(lambda: holder(run_in(project).lock_path))
        halted = psutil.Process(one.pid)
        halted.suspend()
        late = stage.perform(second, project)
        assert refused(late) and str(one.pid) in late.told["text"], late
        halted.resume()
        assert stage.end(one).code == 0
        assert differences(project, stage.after(step)) == []


def refused(end) -> bool:
    return end.code == 1 and end.told["error"] == "SegnbError" and one_line(end.told["text"])


@pytest.mark.chaos
@pytest.mark.parametrize("step", ["create", "read", "render", "features", "claims", "export"])
def test_two_of_a_step_at_once_give_the_files_of_one(stage, step, record_property):
    record_property("fault", ("two at once", step))
    with stage.copy(step) as project:
        with stage.begun(step, project) as one, stage.begun(step, project) as two:
            for end in (stage.end(one), stage.end(two)):
                assert end.code == 0, end
        assert differences(project, stage.after(step)) == []


# -- one process -------------------------------------------------------------------------------------------


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("number", [KILL, TERM, INT], ids=lambda number: number.name)
@pytest.mark.parametrize("step", ["train-unet", "train-fcn", "measure-unet"])
def test_a_signal_costs_the_epoch_in_progress_and_nothing_else(stage, step, number, seed, record_property):
    draw = random.Random(f"{step} {number.name} {seed}")
    with stage.copy(step) as project:
        with stage.begun(step, project) as process:
            wait_for(lambda: process.report.exists() or list(project.rglob(".lock")))  # it has begun
            time.sleep(draw.random() * stage.seconds(step))
            with suppress(psutil.NoSuchProcess):
                psutil.Process(process.pid).send_signal(number)
            first = stage.end(process)
        print("ended with", first.code)
        if first.code != 0:
            record_property("fault", (step, f"{number.name} at any moment"))
        assert first.code in (0, -KILL if number == KILL else 3)
        assert half_done(project, stage.before(step), stage.after(step)) == []
        looked = stage.perform("look", project)
        assert looked.code == 0, looked
        epochs = len(run_in(project).history())

        second = stage.perform(step, project)
        assert second.code == 0, second
        assert differences(project, stage.after(step)) == []
        if step == "train-unet":
            assert second.told.get("epochs", 0) <= EPOCHS - max(epochs - 1, 0)


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("who", "number"), [("parent", KILL), ("parent", TERM), ("worker", KILL)], ids=["KILL", "TERM", "worker"]
)
@pytest.mark.parametrize("step", ["render", "shift"])
def test_no_worker_outlives_the_renderer(stage, step, who, number, seed, record_property):
    draw = random.Random(f"{step} {who} {number.name} {seed}")
    with stage.copy(step) as project:
        with stage.begun(step, project, workers=True) as process:
            parent = psutil.Process(process.pid)
            workers = wait_for(lambda: renderers(parent))
            time.sleep(draw.random() * stage.seconds(step) / 2)
            workers = {*workers, *renderers(parent)}
            alive = [one for one in workers if one.is_running()]
            with suppress(psutil.NoSuchProcess):
                (draw.choice(alive or [parent]) if who == "worker" else parent).send_signal(number)
            first = stage.end(process)
            if first.code != 0:  # it was quicker than the signal
                record_property("fault", (step, f"{number.name} to a {who}"))
            _, left = psutil.wait_procs(workers, SOON)
            for one in left:
                one.kill()
            assert not left
        print("ended with", first)
        if first.code == 1:  # a worker that nobody waits for any more is not missed
            assert refused(first), first
        else:
            assert first.code in (0, -KILL, 3)
        second = stage.perform(step, project, workers=True)
        assert second.code == 0, second
        assert differences(project, stage.after(step)) == []


def renderers(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return [one for one in process.children() if "spawn_main" in " ".join(one.cmdline())]
    return []


# -- whole reports -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A report that nobody disturbs: its project, and how long it took."""
    folder = tmp_path_factory.mktemp("engine")
    (folder / "undisturbed").mkdir()
    with engine.Report(make_project(folder / "undisturbed" / "project")) as report:
        assert report.end() == 0, report.printed()
    return report.project, time.monotonic() - report.begun


# In the order in which they come to work.
CHAINS = {
    "first": [("arrays", KILL), ("kernel", KILL), ("measure", KILL), ("chapter", KILL), ("export", KILL)],
    "second": [
        *(("report", KILL), ("run", TERM), ("snakemake", KILL)),
        *(("claims", KILL), ("chapter's kernel", KILL)),
    ],
    "third": [("snakemake", TERM), ("run", KILL), ("kernel", TERM), ("report", TERM), ("report", INT)],
}


@pytest.mark.chaos
@pytest.mark.parametrize("chain", CHAINS)
def test_an_engine_that_is_killed_again_and_again_ends_with_the_same_numbers(
    undisturbed, chain, tmp_path, record_property
):
    """Each try is killed further on than the one before; the last one is let be."""
    wanted, whole = undisturbed
    draw = random.Random(chain)
    project = make_project(tmp_path / "project")
    for who, number in CHAINS[chain]:
        with engine.Report(project) as report:
            victim = report.find(who)
            assert victim, f"{who} never came: {report.printed()}"
            # Within a step, whose length depends on the machine as that of the whole report does.
            time.sleep(draw.random() * whole / (6 if who in ("report", "snakemake") else 25))
            if not victim.is_running():  # too late: whoever is at work then
                victim = psutil.Process(report.process.pid)
            print(f"{number.name} to {who}: {engine.command(victim)[-100:]}")
            victim.send_signal(number)
            record_property("fault", ("report", f"{number.name} to {who}"))
            code = report.end()
            assert engine.left(project, SOON) == []
            assert code != 0 and "Traceback" not in report.printed(), report.printed()
        for run in map(Run, project.glob("runs/*/*/seed*")):
            assert run.trainer() is None
            assert run.failure is None or one_line(run.failure["error"])

    with engine.Report(project) as report:
        assert report.end() == 0, report.printed()
        assert engine.left(project, SOON) == []
    assert engine.differences(project, wanted) == []
    shutil.rmtree(project)
