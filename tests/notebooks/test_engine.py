"""`segnb report` and its engine on data of one's own, on bad input, and when it fails or is stopped.

Apart from test_report.py so that another process of `make test` can run these.
"""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
from bs4 import BeautifulSoup

from segnb.storage.files import held
from segnb.study.study import open_study
from tests.conftest import CHECKOUT, make_dataset, make_project, segnb
from tests.processes import PATIENCE, gone, until


def test_a_folder_with_classes_of_its_own_trains_and_reports_like_the_scenes(tmp_path, monkeypatch):
    folder = make_project(tmp_path / "project")
    made = make_dataset(tmp_path / "dataset_048")
    data = tmp_path / "my <u> frames"
    data.mkdir()
    for kind, name in (("images", "images"), ("labels", "masks")):
        (made / "train" / kind).rename(data / name)
    (data / "classes.csv").write_text("id,name,thing\n0,Sky,\n7,Road & <u>kerb</u>,\n9,Hedge,yes\n")
    asked = ["--data", str(data), "--variants", "UNet_NoSkip_256", "--epochs", "2", "--learning-rate", "1e-5"]
    done = segnb(folder, "report", "--preset", "smoke", *asked)
    assert done.returncode == 0, done.stdout + done.stderr
    page = BeautifulSoup((folder / "report" / "index.html").read_text(), "html5lib")
    told = page.get_text()
    assert data.name in told and "Road & <u>kerb</u>" in told and not page.find_all("u")
    assert "All 3 classes count" in told
    monkeypatch.setenv("SEGNB_ROOT", str(folder))
    (run,) = open_study().measured()
    assert run.study.classes.names == ("Sky", "Road & <u>kerb</u>", "Hedge")
    assert run.test()["confusion"].shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--preset", "fast"], "preset 'fast' is unknown; choose from smoke, quick"),
        (["--data", "nowhere"], "data 'nowhere' is neither"),
        (["--variants", "UNet"], "choose from"),
        (["--seeds", "x"], "whole numbers"),
        (["--epochs", "0"], "'epochs'"),
    ],
)
def test_bad_input_is_one_line(tmp_path, arguments, told):
    folder = make_project(tmp_path / "project")
    done = segnb(folder, "report", "--preset", "smoke", *arguments)
    assert done.returncode == 1
    assert told in done.stderr and done.stderr.count("\n") == 1
    assert not (folder / "runs").exists() or not list((folder / "runs").glob("*/study.json"))


def test_a_bad_file_is_one_line_before_anything_is_trained(tmp_path):
    folder = make_project(tmp_path / "project")
    data = make_dataset(tmp_path / "dataset_048")
    (data / "test" / "labels" / "0002.png").write_bytes(b"")
    done = segnb(folder, "report", "--preset", "smoke", "--data", str(data), "--variants", "UNet_NoSkip_256")
    assert done.returncode == 1
    assert "0002.png" in done.stderr and done.stderr.count("\n") == 1
    assert not list(folder.glob("runs/*/UNet*"))


def test_a_failed_step_shows_its_log_and_what_is_done_is_kept(tmp_path, monkeypatch):
    folder = make_project(tmp_path / "project")
    data = make_dataset(tmp_path / "dataset_048")
    asked = ["report", "--preset", "smoke", "--data", str(data), "--variants", "UNet_NoSkip_256"]
    assert segnb(folder, *asked).returncode == 0
    monkeypatch.setenv("SEGNB_ROOT", str(folder))
    run = open_study().run("UNet_NoSkip_256", 0)
    run.confusion_path.unlink()
    run.model_path.write_bytes(b"damaged")
    for made in (run.study.path / "chapters", folder / "report"):  # from which Snakemake would see no need
        shutil.rmtree(made)
    done = segnb(folder, *asked)
    assert done.returncode == 1
    assert "model.safetensors is damaged" in done.stdout + done.stderr
    assert "the same command goes on from there" in done.stderr


@pytest.fixture
def engine(tmp_path):
    """A report at work on an engine that stands in for Snakemake: the report, the pids of the engine and of a
    job, and the lock that report and engine hold."""
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
            "from segnb.cli import report\nfrom segnb.runtime import processes\n"
            "with processes.stoppable():\n    report._run_engine(['engine'])",
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
    os.kill(own, signal.SIGSTOP)  # so that it does not see at once that it is alone
    report.kill()
    report.wait()
    with pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.kill(own, signal.SIGCONT)
    assert until(lambda: gone(own) and gone(job))
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_report_that_is_stopped_ends_its_engine_and_the_jobs(engine, number):
    report, own, job, lock = engine
    report.send_signal(number)
    assert report.wait(PATIENCE)
    assert gone(own) and gone(job)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_two_reports_at_once_in_one_folder_are_refused(tmp_path):
    folder = make_project(tmp_path / "project")
    data = make_dataset(tmp_path / "dataset_048")
    (folder / "runs").mkdir()
    with held(folder / "runs" / ".lock", "making a report"):
        done = segnb(folder, "report", "--preset", "smoke", "--data", str(data))
    assert done.returncode == 1
    assert re.search(rf"^segnb: process {os.getpid()} on .+ is making a report already", done.stderr, re.M)
