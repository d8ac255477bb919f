"""The smoke grid through a real Slurm: one node on this machine, started for these tests (tests/slurm).

Never a cluster that is there already. Skipped where Slurm's daemons or Snakemake's plugin are not installed,
and without root, which a Slurm of one's own takes.
"""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from segnb.pipeline import resources
from segnb.study.study import Study
from tests.conftest import make_project
from tests.slurm.one_node import missing, one_node

PLUGIN = "snakemake_executor_plugin_slurm"
VARIANTS, SEEDS = ["UNet_Standard_256", "UNet_NoSkip_256"], [0, 1]
EPOCHS = 40  # of a second or less each: long enough to take a node away in the middle
PATIENCE = 600  # seconds; on two cores that nobody else uses two minutes are enough

if importlib.util.find_spec(PLUGIN) is None:
    pytest.skip(f"{PLUGIN} is not installed: pip install -e '.[cluster]'", allow_module_level=True)
if missing():
    pytest.skip(f"Slurm is not installed here: no {', '.join(missing())}", allow_module_level=True)
if os.geteuid():
    pytest.skip("a Slurm of one's own takes root", allow_module_level=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    return make_project(tmp_path_factory.mktemp("slurm") / "project")


@pytest.fixture(scope="module")
def environment(project):
    """What Slurm's commands need; when the tests are over, nothing that ran under it is left."""
    with one_node(project.parent / "node") as found:
        yield os.environ | found | {"SEGNB_ROOT": str(project)}
    end = time.monotonic() + 20
    while (left := _running_in(project.parent)) and time.monotonic() < end:
        time.sleep(0.5)
    assert not left


@pytest.fixture(scope="module")
def study(project, environment) -> Study:
    """Settled in a job, as on a cluster it has to be: there it is a node that trains which decides."""
    command = [sys.executable, "-m", "segnb.cli", "study", "--preset", "smoke", "--epochs", str(EPOCHS)]
    told = subprocess.run(["srun", "--mem=2000", *command], env=environment, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return Study(project / "runs" / told.stdout.strip())


@pytest.fixture(scope="module")
def grid(project, environment, study):
    """The grid trained and tested, and one of its trainings requeued in the middle.

    Its name, and its history at that time."""
    asked = [f"study={study.name}", f"variants={','.join(VARIANTS)}", f"seeds={','.join(map(str, SEEDS))}"]
    command = [sys.executable, "-m", "snakemake", "--profile", "profiles/slurm", "--until", "measure"]
    command += ["--slurm-status-command", "squeue"]  # this Slurm keeps no accounts, which sacct reads
    command += ["--slurm-init-seconds-before-status-checks", "2", "--set-threads", "data=1"]
    with open(project / "log", "w") as log:
        engine = subprocess.Popen(
            [*command, "--config", *asked], cwd=project, env=environment, stdout=log, stderr=log
        )
    try:
        until = time.monotonic() + PATIENCE
        while True:
            assert engine.poll() is None and time.monotonic() < until, (project / "log").read_text()
            for job, wildcards in _trainings(environment):
                run = study.path / wildcards[0] / f"seed{wildcards[1]}"
                before = _history(run)
                if 4 <= len(before) < EPOCHS - 5:
                    subprocess.run(["scontrol", "requeue", job], env=environment, check=True)
                    assert engine.wait(PATIENCE) == 0, (project / "log").read_text()
                    return run, before
            time.sleep(0.1)
    finally:
        engine.kill()
        engine.wait()


def _trainings(environment) -> list[tuple[str, tuple[str, str]]]:
    """Jobs that train at the moment: their ids, and variant and seed."""
    told = subprocess.run(
        ["squeue", "--noheader", "--states=RUNNING", "--Format=JobID:20,Comment:200"],
        env=environment,
        capture_output=True,
        text=True,
    )
    found = [line.split() for line in told.stdout.splitlines()]
    mark = "rule_train_wildcards_"
    return [
        (job, tuple(comment.removeprefix(mark).rsplit("_", 1)))
        for job, comment in found
        if comment.startswith(mark)
    ]


def _history(run: Path) -> pd.DataFrame:
    path = run / "history.csv"
    return pd.read_csv(path) if path.exists() and path.stat().st_size > 2 else pd.DataFrame()


def _running_in(folder: Path) -> list[list[str]]:
    found = []
    for process in psutil.process_iter(["cmdline", "pid"]):
        line = process.info["cmdline"] or []
        if process.pid != os.getpid() and any(str(folder) in word for word in line):
            found.append(line)
    return found


def test_every_run_of_the_grid_is_trained_and_tested_by_a_job(study, grid):
    for variant in VARIANTS:
        for seed in SEEDS:
            run = study.run(variant, seed)
            assert run.done and run.test()["confusion"].shape[0] == 6
            assert len(run.history()) == EPOCHS
            assert not run.last_path.exists() and run.failure is None


def test_a_requeued_training_goes_on_behind_its_last_whole_epoch(grid, environment):
    run, before = grid
    after, kept = _history(run), len(before) - 1  # the last one may have been written without its state
    # Times differ from one training to the next: these epochs were not trained again.
    pd.testing.assert_frame_equal(after.iloc[:kept], before.iloc[:kept])
    assert len(after) == EPOCHS
    jobs = subprocess.run(
        ["scontrol", "show", "job"], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "Restarts=1" in jobs


def test_jobs_ask_for_what_the_estimates_say(study, grid, environment):
    jobs = subprocess.run(
        ["scontrol", "--oneliner", "show", "job"], env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    training = [line for line in jobs if "rule_train" in line]
    need = resources.training(study, VARIANTS[0])
    assert len(training) == len(VARIANTS) * len(SEEDS)
    for line in training:
        assert f"MinMemoryNode={need['mem_mb']}M" in line
        assert f"TimeLimit=00:{need['runtime']}:00" in line
