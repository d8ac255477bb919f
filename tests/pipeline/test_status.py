"""A grid of every kind of run: what is said of it, in a terminal, as JSON and on a page."""

import json
import os
import re
import shutil
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from segnb.cli import main
from segnb.errors import SegnbError
from segnb.models.registry import VARIANTS
from segnb.pipeline import status, status_html
from segnb.presets import PRESETS
from segnb.storage.files import held
from segnb.study.study import Run, Study
from tests.processes import until
from tests.synthetic_study import make_study

EPOCHS = 20
NAMES = ["FCN32s_vgg16_freeze", "UNet_Standard_256", "ResidualUNet_256"]
ROW = {"epoch": 1, "train_loss": 1.0, "val_loss": 1.0, "seconds": 60.0}


def begin(run: Run, epochs: int, seconds: float = 60.0) -> Run:
    run.path.mkdir(parents=True, exist_ok=True)
    run.write_history([ROW | {"epoch": epoch + 1, "seconds": seconds} for epoch in range(epochs)])
    return run


def fail(run: Run, step: str, error: str, log: Path | None = None) -> None:
    run.path.mkdir(parents=True, exist_ok=True)
    with pytest.raises(SegnbError), run.step(step, log):
        raise SegnbError(error)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Study:
    """Seed 0 of three networks, finished."""
    return make_study(tmp_path_factory.mktemp("made"), 1, variants=NAMES, images=2, epochs=EPOCHS)


@pytest.fixture
def study(project, made) -> Study:
    """Three networks asked for with three seeds; seed 0 of them is done, of the rest there is nothing yet."""
    copy = Study(shutil.copytree(made.path, project / "runs" / made.name))
    copy.ask(NAMES, [0, 1, 2])
    return copy


def states(grid: status.Grid) -> dict[tuple[str, int], str]:
    return {key: run.state for key, run in grid.runs.items()}


# ---- data -------------------------------------------------------------------------------------------


def test_each_state_is_told_from_the_files_alone(study):
    study.run(NAMES[0], 0).confusion_path.unlink()
    begin(study.run(NAMES[0], 1), 3)
    fail(study.run(NAMES[1], 1), "train", "no\nmemory")
    lost = study.run(NAMES[2], 2)
    fail(begin(lost, 1), "train", "the training diverged in epoch 1")
    lost.diverge(1, "the training diverged in epoch 1 of 10; try a lower learning rate")
    with begin(study.run(NAMES[2], 1), 4).at_work("training"):
        grid = status.look()
    assert states(grid) == {
        (NAMES[0], 0): "trained",
        (NAMES[1], 0): "done",
        (NAMES[2], 0): "done",
        (NAMES[0], 1): "stopped",
        (NAMES[1], 1): "failed",
        (NAMES[2], 1): "running",
        (NAMES[0], 2): "waiting",
        (NAMES[1], 2): "waiting",
        (NAMES[2], 2): "diverged",
    }
    one_each = dict.fromkeys(("trained", "running", "stopped", "failed", "diverged"), 1)
    assert grid.counts == {"done": 2} | one_each | {"waiting": 2}
    assert grid.runs[NAMES[2], 2] not in grid.ahead
    assert f"seed 2: {lost.diverged['error']}" in status.text(grid)
    assert list(grid.counts) == list(status.STATES)
    assert grid.runs[NAMES[1], 1].error == "no\\nmemory"
    assert (grid.runs[NAMES[2], 1].doing, grid.runs[NAMES[2], 1].epoch) == ("training", 4)
    assert status.look().runs[NAMES[2], 1].state == "stopped"  # the lock went with who held it


def test_a_run_before_its_first_epoch_is_waiting_unless_somebody_is_at_work_on_it(study):
    run = study.run(NAMES[1], 1)
    run.path.mkdir()
    run.write_history([])  # as training does before the first epoch
    assert status.look().runs[NAMES[1], 1].state == "waiting"
    with run.at_work("training"):
        assert status.progress(status.look().runs[NAMES[1], 1]).startswith(f"epoch 1 of {EPOCHS}, ")


def test_a_finished_run_may_be_tested_and_fail_in_it(study):
    run = study.run(NAMES[1], 0)
    run.confusion_path.unlink()
    with run.at_work("testing"):
        assert status.progress(status.look().runs[NAMES[1], 0]) == "evaluating"
    fail(run, "measure", "model.safetensors is damaged")
    seen = status.look().runs[NAMES[1], 0]
    assert (seen.state, seen.doing, status.progress(seen)[:17]) == ("failed", "measure", "evaluation failed")


def test_who_is_at_work_again_has_not_failed(study):
    fail(study.run(NAMES[1], 1), "train", "no memory")
    with study.run(NAMES[1], 1).at_work("training"):
        assert status.look().runs[NAMES[1], 1].state == "running"


def test_who_was_refused_meanwhile_leaves_no_failure_of_a_step_that_succeeds(study):
    run = study.run(NAMES[0], 0)
    with run.step("measure"), run.at_work("testing"):
        with pytest.raises(SegnbError, match="already testing"), run.step("measure"), run.at_work("testing"):
            pass
        assert run.failure
    assert run.failure is None and status.look().runs[NAMES[0], 0].state == "done"


def test_a_damaged_record_of_a_failure_is_a_failure(study):
    fail(study.run(NAMES[1], 1), "train", "no memory")
    (study.run(NAMES[1], 1).path / "failed.json").write_text("{")
    seen = status.look().runs[NAMES[1], 1]
    assert seen.state == "failed" and "failed.json: the file is damaged" in seen.error


def test_runs_that_nobody_asks_for_any_more_are_shown_and_not_waited_for(study):
    study.ask(NAMES[:1], [0])
    begin(study.run(NAMES[1], 5), 2)
    grid = status.look()
    assert grid.variants[0] == NAMES[0] and set(grid.variants) == set(NAMES)
    assert grid.seeds == [0, 5] and (NAMES[0], 5) not in grid.runs
    assert grid.runs[NAMES[1], 5].state == "stopped" and not grid.runs[NAMES[1], 5].asked
    assert grid.ahead == [] and grid.left == 0


def test_without_a_report_the_runs_that_are_there_are_the_grid(study):
    (study.path / "grid.json").unlink()
    begin(study.run(NAMES[1], 1), 2)
    grid = status.look()
    assert set(grid.runs) == {(name, 0) for name in NAMES} | {(NAMES[1], 1)}
    assert [run.seed for run in grid.ahead] == [1]


def test_folders_that_are_no_runs_are_not_looked_at(study):
    for name in ("chapters/seed", f"{NAMES[0]}/seedling", f"{NAMES[0]}/seed1b", "a network of old/seed1"):
        (study.path / name).mkdir(parents=True)
    assert len(status.look().runs) == 9


# ---- time -------------------------------------------------------------------------------------------


def test_time_left_rests_on_measured_epochs(study):
    done = 1.2  # seconds of a made-up epoch
    grid = status.look()
    assert grid.runs[NAMES[0], 1].left == pytest.approx(EPOCHS * done)
    assert grid.left == pytest.approx(6 * EPOCHS * done)
    begin(study.run(NAMES[1], 1), 5, seconds=60)
    runs = status.look().runs
    assert runs[NAMES[1], 1].left == (EPOCHS - 5) * 60  # of its own epochs
    assert runs[NAMES[2], 1].left == pytest.approx(EPOCHS * done)  # of its network's


def test_time_left_of_a_network_without_epochs_is_its_familys_and_of_an_unknown_family_unknown(project):
    made = make_study(project, 1, variants=["UNet_Standard_256"], images=2, epochs=EPOCHS)
    made.ask(["ResidualUNet_256", "UNet_Standard_256"], [0])
    assert status.look().runs["ResidualUNet_256", 0].left == pytest.approx(EPOCHS * 1.2)
    made.ask(["FCN32s_vgg16_freeze", "UNet_Standard_256"], [0])
    grid = status.look()
    assert grid.runs["FCN32s_vgg16_freeze", 0].left is None and grid.left is None
    assert "the time left is unknown until an epoch is complete" in status.summary(grid)


def test_the_epoch_in_progress_counts_as_far_as_it_can_be(study):
    run = begin(study.run(NAMES[1], 1), 4, seconds=100)
    with run.at_work("training"):
        history = run.path / "history.csv"
        os.utime(history, (time.time() - 30,) * 2)  # but work has only just gone on
        assert status.look().runs[NAMES[1], 1].left == pytest.approx(16 * 100, abs=5)
        (run.path / ".lock.json").write_text(
            json.dumps({"what": "training it", "since": "2000-01-01T00:00:00+0000"})
        )
        assert status.look().runs[NAMES[1], 1].left == pytest.approx(16 * 100 - 30, abs=5)
        os.utime(history, (time.time() - 5000,) * 2)  # takes longer than others did
        assert status.look().runs[NAMES[1], 1].left == 15 * 100


def test_side_by_side_is_as_many_as_run_and_no_shorter_than_the_longest(study):
    with ExitStack() as at_work:
        for name in NAMES[1:]:
            at_work.enter_context(begin(study.run(name, 1), 10, seconds=1.2).at_work("training"))
        grid = status.look()
        assert grid.beside == 2
        assert grid.left == pytest.approx((2 * 10 + 4 * EPOCHS) * 1.2 / 2, abs=2)
        assert re.search(
            r"; (about 1 min|less than a minute) left with 2 runs in parallel$", status.summary(grid)
        )
        study.ask(NAMES, [0, 1])
        begin(study.run(NAMES[1], 1), 10, seconds=6000)
        assert status.look().left == pytest.approx(60_000, abs=60)


def test_early_stopping_makes_it_at_most(project):
    made = make_study(project, 1, variants=NAMES, images=2, preset="paper", epochs=50)
    made.ask(NAMES, [0, 1])
    assert PRESETS["paper"].unet.patience and not PRESETS["paper"].fcn.patience
    begin(made.run(NAMES[1], 1), 4)
    told = status.text(status.look())
    assert "; at most about " in told
    assert f"{NAMES[1]}, seed 1: stopped after epoch 4 of at most 50" in told


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(90, "2 min"), (3570, "1 h"), (4200, "1 h 10 min"), (86_400, "1 d"), (187_000, "2 d 4 h")],
)
def test_durations_are_said_as_one_says_them(seconds, words):
    assert status.duration(seconds) == words


# ---- in a terminal ----------------------------------------------------------------------------------


def busy(study: Study) -> ExitStack:
    """Runs of every kind; hold what is returned while looking."""
    begin(study.run(NAMES[0], 1), 3)
    log = study.run(NAMES[1], 1).path / "train.log"
    fail(study.run(NAMES[1], 1), "train", "out of memory " * 12, log)
    log.write_text("...")
    stack = ExitStack()
    stack.enter_context(begin(study.run(NAMES[2], 1), 4).at_work("training"))
    return stack


def test_a_terminal_gets_the_grid_and_a_line_per_run_in_progress_or_failed(study):
    with busy(study):
        lines = status.text(status.look()).splitlines()
    assert lines[1].startswith("9 runs: 3 done, 1 running, 1 stopped, 1 failed, 3 waiting; about ")
    assert next(line for line in lines if line.startswith(NAMES[2])).split() == [
        NAMES[2],
        "✓",
        "▸",
        "5/20",
        "·",
    ]
    assert f"‖ {NAMES[0]}, seed 1: stopped after epoch 3 of 20, will resume there" in lines
    failed = next(index for index, line in enumerate(lines) if "training failed: out of memory" in line)
    assert lines[failed + 1] == f"    tail -n 40 {study.run(NAMES[1], 1).path}/train.log"


def test_all_networks_and_five_seeds_fit_into_80_columns_and_77_seeds_become_numbers(project):
    made = make_study(project, 1, variants=NAMES[:1], images=2)
    made.ask(list(VARIANTS), list(range(5)))
    for seed in range(1, 5):
        begin(made.run("UNet_Standard_256", seed), 7)
    lines = status.text(status.look()).splitlines()
    table = lines[3 : 4 + len(VARIANTS)]
    assert max(map(len, table)) <= 80
    row = next(line for line in table if line.startswith("UNet_Standard_256"))
    assert row.split() == ["UNet_Standard_256", "·", *(["‖", "7/10"] * 4)]
    made.ask(list(VARIANTS), list(range(77)))
    lines = status.text(status.look()).splitlines()
    count = 77 * len(VARIANTS)
    assert lines[1].startswith(f"{count} runs: 1 done, 4 stopped, {count - 5} waiting")
    assert next(line for line in lines if line.startswith("UNet_St")).split() == [
        "UNet_Standard_256",
        "4",
        "73",
    ]


def test_reasons_command_no_terminal(study):
    fail(study.run(NAMES[0], 7), "train", "\x1b[31m red")
    assert "\x1b" not in status.text(status.look()) and r"\x1b[31m red" in status.text(status.look())


def test_a_command_is_quoted_and_from_here(project, monkeypatch):
    odd = make_study(project, 1, variants=NAMES[:1], images=2, name="odd; $(study)")
    run = odd.run(NAMES[1], 0)
    fail(run, "train", "no memory", run.path / "train.log")
    assert status.look(odd.name).runs[NAMES[1], 0].closer == f"ls -l '{run.path}'"  # no log
    (run.path / "train.log").write_text("")
    monkeypatch.chdir(odd.path.parent)
    closer = status.look(odd.name).runs[NAMES[1], 0].closer
    assert closer == f"tail -n 40 'odd; $(study)/{NAMES[1]}/seed0/train.log'"
    fail(run, "train", "no memory")  # by hand, so the log is an earlier one
    assert status.look(odd.name).runs[NAMES[1], 0].closer.startswith("ls -l ")


def test_what_to_do_is_said_where_nothing_is_at_work(study, project):
    assert "Run 'make report' with the same settings to resume." in status.advice(status.look())
    with held(project / "runs" / ".lock", "making a report"):
        assert status.advice(status.look()) == ""
    study.ask(NAMES, [0])
    assert status.advice(status.look()) == ""


def test_the_command_prints_and_its_code_says_whether_something_failed(study, capsys):
    assert main(["status"]) == 0
    assert capsys.readouterr().out.startswith(f"study {study.name}\n9 runs: 3 done, 6 waiting")
    fail(study.run(NAMES[1], 1), "train", "no memory")
    assert main(["status", study.name, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {"done": 3, "failed": 1, "waiting": 5}
    assert [run["error"] for run in told["runs"] if run["state"] == "failed"] == ["no memory"]
    shutil.rmtree(study.run(NAMES[1], 1).path)
    study.run(NAMES[1], 1).diverge(1, "the training diverged in epoch 1")
    assert main(["status"]) == 1
    assert "9 runs: 3 done, 1 diverged, 5 waiting" in capsys.readouterr().out
    assert main(["status", "nothing"]) == 1
    assert "unknown study 'nothing' (expected one of" in capsys.readouterr().err


def test_looking_writes_nothing(study):
    before = {path: path.stat().st_mtime_ns for path in study.path.rglob("*")}
    main(["status"])
    assert {path: path.stat().st_mtime_ns for path in study.path.rglob("*")} == before


# ---- in a notebook ----------------------------------------------------------------------------------


def test_a_page_escapes_what_data_say(study):
    fail(study.run(NAMES[1], 0), "train", "<b>no</b> memory")
    page = status_html.html(status.look())
    assert "<b>no" not in page
    assert "&lt;b&gt;no&lt;/b&gt; memory" in page


def test_a_page_says_with_sign_and_word_what_it_says_with_colour(study):
    with busy(study):
        page = status_html.html(status.look())
    for state, word in (
        ("done", "done"),
        ("waiting", "waiting"),
        ("failed", "failed"),
        ("stopped", "stopped 3/20"),
    ):
        cell = re.search(rf'<td class="{state}"[^>]*>(.*?)</td>', page)[1]
        assert status.STATES[state][0] in cell and word in cell
    assert "epoch 5/20" in page and "left</small>" in page
    assert all(f".segnb-status .{state}" in page for state in status.STATES)  # each has a tint


def test_a_page_of_many_seeds_has_numbers(study):
    study.ask(NAMES, list(range(77)))
    page = status_html.html(status.look())
    assert page.count("<td") == 2 * len(NAMES) and ">76</td>" in page


@pytest.fixture
def watched(study, monkeypatch):
    """A study looked at in JupyterLab, often."""
    monkeypatch.setenv("JPY_SESSION_NAME", "any.ipynb")
    monkeypatch.setattr(status_html, "EVERY", 0.05)
    monkeypatch.setattr(status_html, "_widgets", {})
    yield study
    for widget in status_html._widgets.values():
        widget.close()
    gone()


def refreshing() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("status of")]


def gone() -> None:
    for thread in refreshing():
        thread.join(10)
        assert not thread.is_alive()


def test_a_widget_follows_until_all_is_done(watched):
    watched.ask([NAMES[1]], [0, 1])
    widget = status_html.live()
    assert "4 runs: 3 done, 1 waiting" in widget.value
    begin(watched.run(NAMES[1], 1), 4)
    for name in ("done.json", "test_confusion.npz"):
        os.link(watched.run(NAMES[1], 0).path / name, watched.run(NAMES[1], 1).path / name)
    gone()
    assert "4 runs: 4 done" in widget.value


def test_a_cell_run_twice_has_one_widget_that_is_refreshed(watched):
    first, second = status_html.live(), status_html.live()
    assert first.comm is None and second.comm is not None
    begin(watched.run(NAMES[1], 1), 4)
    assert until(lambda: len(refreshing()) == 1 and f"stopped 4/{EPOCHS}" in second.value)
    second.close()
    gone()


def test_a_widget_that_cannot_look_says_so_and_stops(watched, monkeypatch):
    widget = status_html.live()
    monkeypatch.setattr(status, "look", lambda name: 1 / 0)
    gone()
    assert "ZeroDivisionError" in widget.value


def test_without_a_person_it_is_drawn_once(study, monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert "3 done, 6 waiting" in status_html.live().data
    assert not refreshing()


def test_without_a_study_it_says_what_to_do(project, monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert "make report" in status_html.live().data
