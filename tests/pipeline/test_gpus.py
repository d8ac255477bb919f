"""Which GPU a run takes, with GPUs that are only said to be there: locks are all that there is to it."""

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack

import pytest

from segnb.errors import SegnbError
from segnb.pipeline import resources
from segnb.pipeline.resources import claimed
from segnb.runtime.machine import Machine

TWO = ["GPU-aaaa", "7"]
GPU = Machine("cuda", "any", 1, "fp32")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in (resources.VISIBLE, resources.JOBS, "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / f"segnb-gpus-{os.getuid()}"


@pytest.fixture
def two(monkeypatch):
    monkeypatch.setattr(resources, "available", lambda: TWO)


def test_nvidia_smi_counts_gpus_and_without_it_there_are_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert resources.available() == []
    script = tmp_path / "nvidia-smi"
    script.write_text(
        "#!/bin/sh\necho 'GPU 0: an H100 (UUID: GPU-a)'\necho '  MIG 1g'\necho 'GPU 1: another'\n"
    )
    script.chmod(0o755)
    assert resources.available() == ["0", "1"]
    script.write_text("#!/bin/sh\necho 'no driver' >&2; exit 9\n")
    assert resources.available() == []


@pytest.mark.parametrize(
    "setting", [(resources.VISIBLE, named) for named in ("3", "GPU-bbbb", "")] + [("SLURM_JOB_ID", "1")]
)
def test_a_scheduler_that_has_chosen_is_left_alone(monkeypatch, own_folder, setting):
    monkeypatch.setenv(*setting)
    before = os.environ.get(resources.VISIBLE)
    with claimed(GPU) as gpu:
        assert gpu is None and os.environ.get(resources.VISIBLE) == before
    assert not own_folder.exists()


def test_a_run_sees_the_gpu_it_took_so_does_what_it_starts_and_afterwards_all_is_as_before(monkeypatch):
    monkeypatch.setenv(resources.VISIBLE, "5,GPU-cc")
    with claimed(GPU) as gpu, claimed(GPU) as inner:
        assert (gpu, inner, os.environ[resources.VISIBLE]) == ("5", None, "5")
    assert os.environ[resources.VISIBLE] == "5,GPU-cc"


@pytest.mark.parametrize(("jobs", "taken"), [("1", TWO), ("2", TWO), ("3", [*TWO, *TWO])])
def test_runs_spread_over_gpus_before_they_share_one_and_one_too_many_waits(
    two, monkeypatch, capsys, jobs, taken
):
    monkeypatch.setenv(resources.JOBS, jobs)
    runs = [ExitStack() for _ in taken]
    assert [run.enter_context(claimed(GPU)) for run in runs] == taken
    monkeypatch.setattr(resources.time, "sleep", lambda seconds: runs[1].close())
    with claimed(GPU) as gpu:
        assert gpu == TWO[1]
    assert capsys.readouterr().out == "waiting for a GPU: all are in use by other runs\n"


def test_a_gpu_is_free_again_once_its_process_is_killed(own_folder, two):
    code = (
        "import tempfile; from segnb.pipeline import resources as gpus\n"
        "from segnb.runtime.machine import Machine\n"
        f"tempfile.tempdir = {str(own_folder.parent)!r}; gpus.available = lambda: {TWO}\n"
        "with gpus.claimed(Machine('cuda', 'any', 1, 'fp32')) as gpu: print(gpu, flush=True); input()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as other:
        assert other.stdout.readline() == f"{TWO[0]}\n"
        with claimed(GPU) as gpu:
            assert gpu == TWO[1]
        other.kill()
    with claimed(GPU) as gpu:
        assert gpu == TWO[0]


@pytest.mark.parametrize("device, gpu", [("cuda", TWO[0]), ("cpu", None), (None, None)])
def test_a_gpu_is_claimed_for_a_machine_that_has_one(two, device, gpu):
    with claimed(device and Machine(device, "any", 1, "fp32")) as taken:
        assert taken == gpu


def test_a_folder_that_somebody_put_there_is_refused(own_folder, tmp_path, two):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    own_folder.symlink_to(elsewhere)
    with pytest.raises(SegnbError, match="belongs to another user"), claimed(GPU):
        pass
    assert not list(elsewhere.iterdir())
