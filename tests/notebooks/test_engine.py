"""`segnb report` and its engine on a user's data, after a failure and after an interruption.

These tests are not in test_report.py so that another process of `make test` can run them.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

import nbformat
import pytest
from bs4 import BeautifulSoup

from segnb.cli import main
from segnb.study.study import Run, open_study
from tests.chaos.engine import VARIANT, Report, left
from tests.conftest import CHECKOUT, make_dataset, make_project, segnb
from tests.processes import PATIENCE, gone, until

OWN = "UNet_NoSkip_256"  # the network that is trained on the user's data


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> tuple[Path, list[str]]:
    """Make a project with a network trained and tested on a folder with its own classes; with its options."""
    top = tmp_path_factory.mktemp("own")
    project, made, data = make_project(top / "project"), make_dataset(top / "made"), top / "my <u> frames"
    data.mkdir()
    for kind, name in (("images", "images"), ("labels", "masks")):
        (made / "train" / kind).rename(data / name)
    (data / "classes.csv").write_text("id,name,thing\n0,Sky,\n7,Road & <u>kerb</u>,\n9,Hedge,yes\n")
    options = ["--preset", "smoke", "--data", str(data), "--epochs", "2", "--learning-rate", "1e-5"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGNB_ROOT", str(project))
        assert main(["study", *options]) == 0
        run = open_study().run(OWN, 0)
        given = json.dumps(run.study.settings["request"] | {"variant": OWN, "study": run.study.name})
        notebook = str(project / "notebooks" / "train.ipynb")
        assert main(["run", notebook, str(run.notebook_path), "-y", given]) == 0
        assert main(["measure", str(run.path)]) == 0
    return project, [*options, "--variants", OWN]


def test_a_folder_with_classes_of_its_own_is_trained_tested_and_shown_like_the_scenes(own, monkeypatch):
    project, _ = own
    monkeypatch.setenv("SEGNB_ROOT", str(project))
    (run,) = open_study().measured()
    assert run.study.classes.names == ("Sky", "Road & <u>kerb</u>", "Hedge")
    assert run.test()["confusion"].shape == (2, 3, 3) and len(run.history()) == 2
    chapter = project / "dataset.ipynb"
    assert main(["run", str(project / "notebooks" / "dataset.ipynb"), str(chapter), "-y", "{}"]) == 0
    pages = [
        "".join(output["data"]["text/html"])
        for cell in nbformat.read(chapter, 4).cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    page = BeautifulSoup("".join(pages), "html5lib")
    assert "Road & <u>kerb</u>" in page.get_text() and not page.find_all("u")


def test_a_failed_step_shows_its_log_and_what_is_done_is_kept(own, monkeypatch):
    project, options = own
    monkeypatch.setenv("SEGNB_ROOT", str(project))
    run = open_study().run(OWN, 0)
    trained = run.history_path.stat().st_mtime_ns
    run.confusion_path.unlink()
    run.model_path.write_bytes(b"damaged")
    done = segnb(project, "report", *options)
    assert done.returncode == 1
    assert "model.safetensors: missing or damaged" in done.stdout + done.stderr
    assert "run the same command to resume" in done.stderr
    assert run.history_path.stat().st_mtime_ns == trained


def test_a_report_that_ends_while_a_kernel_trains_leaves_nobody_and_says_so_once(tmp_path):
    project = make_project(tmp_path / "project")
    options = ("--data", str(make_dataset(tmp_path / "dataset_048")), "--epochs", "10000")
    for number in (signal.SIGINT, signal.SIGKILL):
        with Report(project, *options) as report:
            assert report.find("kernel"), report.printed()
            assert until(lambda: list(project.glob(f"runs/*/{VARIANT}/seed0"))), report.printed()
            (run,) = project.glob(f"runs/*/{VARIANT}/seed0")
            begun = Run(run).history()
            assert until(lambda run=run, begun=begun: len(Run(run).history()) > len(begun)), report.printed()
            report.process.send_signal(number)
            assert report.end() == (130 if number == signal.SIGINT else -signal.SIGKILL)
            assert left(project, PATIENCE) == []
            assert report.printed().count("segnb: ") == (number == signal.SIGINT), report.printed()


def is_free(lock: IO) -> bool:
    """Return whether a lock can be taken, and take it then."""
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


@pytest.fixture
def engine(tmp_path):
    """Start a report with a fake engine instead of Snakemake.

    Yields the report, the pids of the engine and of a job, and the lock that report and engine hold.
    """
    folder = make_project(tmp_path / "project")
    (folder / "runs").mkdir()
    (tmp_path / "engine.py").write_text(
        "import os, subprocess, time\n"
        "print(os.getpid(), subprocess.Popen(['sleep', '1000']).pid, flush=True)\n"
        "time.sleep(1000)\n"
    )
    report = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "from segnb.cli.report import _run_engine, held, processes, runs_folder\n"
            "with processes.stoppable(), held(runs_folder() / '.lock', 'making a report') as lock:\n"
            "    _run_engine(['engine'], lock)",
        ],
        env=os.environ | {"SEGNB_ROOT": str(folder), "PYTHONPATH": f"{tmp_path}:{CHECKOUT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    pids = [int(word) for word in report.stdout.readline().split()]
    with open(folder / "runs" / ".lock", "w") as lock:
        yield report, *pids, lock
    report.kill()
    report.communicate()


def test_an_engine_ends_with_its_report_and_keeps_others_out_until_then(engine):
    report, own, job, lock = engine
    os.kill(own, signal.SIGSTOP)  # so that it notices the end of the report only later
    report.kill()
    report.wait()
    assert not is_free(lock)
    os.kill(own, signal.SIGCONT)
    assert until(lambda: gone(own) and gone(job))
    assert until(lambda: is_free(lock))  # a killed process closes its files a moment after it shows as ended


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_report_that_is_stopped_ends_its_engine_and_the_jobs(engine, number):
    report, own, job, lock = engine
    report.send_signal(number)
    assert report.wait(PATIENCE)
    assert gone(own) and gone(job)
    assert until(lambda: is_free(lock))
