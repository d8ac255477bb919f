"""Which GPU a run takes, with GPUs that are only said to be there: locks are all that there is to it."""

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from segnb import cli, gpus
from segnb.errors import SegnbError
from segnb.gpus import Gpu, claimed, parse, side_by_side, visible
from segnb.machine import Machine
from segnb.presets import preset

CUDA = Machine("cuda", "a GPU", 1, "bf16")
CPU = Machine("cpu", "a CPU", 1, "fp32")
TWO = [Gpu(0, "GPU-aaaa", 24576), Gpu(1, "GPU-bbbb", 24576)]  # 21 shares each
HALF, WHOLE = 10 * 1024, 20 * 1024  # MiB


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    return tmp_path / f"segnb-gpus-{os.getuid()}"


def test_what_nvidia_smi_prints_is_read_and_the_rest_is_not():
    told = "0, GPU-8a1f-1, 81559\n1, GPU-77, 24576\n\nNo devices were found\n2, GPU-x, [N/A]\n"
    assert parse(told) == [Gpu(0, "GPU-8a1f-1", 81559), Gpu(1, "GPU-77", 24576)]


@pytest.mark.parametrize(
    ("named", "left"),
    [(None, [0, 1]), ("1", [1]), ("1,0", [1, 0]), ("GPU-aa", [0]), ("", []), ("-1", []), ("7", [])],
)
def test_cuda_visible_devices_says_which_there_are(named, left):
    assert [gpu.index for gpu in visible(TWO, named)] == left


def test_as_many_side_by_side_as_fit_and_at_least_one_each():
    assert side_by_side(HALF, TWO) == 4
    assert side_by_side(WHOLE, TWO) == 2
    assert side_by_side(100 * 1024, TWO) == 2  # too large is tried all the same, alone on a GPU
    assert side_by_side(HALF, []) == 1


def test_runs_spread_over_gpus_before_they_share_one_and_the_next_has_to_wait():
    with ExitStack() as runs:
        taken = [gpus._take(HALF, TWO, runs) for _ in range(5)]
    assert taken == [*TWO, *TWO, None]


def test_what_a_run_starts_has_the_same_gpu():
    with claimed(CUDA, WHOLE, TWO[:1]), claimed(CUDA, WHOLE, TWO[:1]) as again:
        assert again is None and os.environ[gpus.VISIBLE] == "GPU-aaaa"


def test_the_process_sees_the_one_it_took_and_afterwards_what_it_saw_before(monkeypatch):
    with claimed(CUDA, WHOLE, TWO[1:]):
        assert os.environ[gpus.VISIBLE] == "GPU-bbbb"
    assert gpus.VISIBLE not in os.environ
    monkeypatch.setenv(gpus.VISIBLE, "0,1")
    with claimed(CUDA, WHOLE, TWO):
        assert os.environ[gpus.VISIBLE] == "GPU-aaaa"
    assert os.environ[gpus.VISIBLE] == "0,1"


def test_a_run_too_many_waits_until_another_ends(monkeypatch, capsys):
    first = ExitStack()
    gpus._take(WHOLE, TWO[:1], first)
    looked = []
    monkeypatch.setattr(gpus.time, "sleep", lambda seconds: (looked.append(seconds), first.close()))
    with claimed(CUDA, HALF, TWO[:1]) as gpu:
        assert gpu == TWO[0]
    assert looked == [gpus.PAUSE]
    assert capsys.readouterr().out == "waiting for 10 GiB of a GPU: other runs have them all\n"


def test_a_small_run_fits_beside_a_large_one_of_another_study():
    with ExitStack() as runs:
        assert gpus._take(15 * 1024, TWO[:1], runs) == TWO[0]
        assert gpus._take(8 * 1024, TWO[:1], runs) is None
        assert gpus._take(5 * 1024, TWO[:1], runs) == TWO[0]


def test_the_largest_gpu_is_not_the_only_choice():
    small, large = Gpu(0, "GPU-small", 8192), Gpu(1, "GPU-large", 81920)
    with ExitStack() as runs:
        assert gpus._take(70 * 1024, [small, large], runs) == large
        assert gpus._take(4 * 1024, [small, large], runs) == small


def test_a_share_is_free_again_once_its_process_is_killed(own_folder):
    code = (
        "import tempfile; from segnb.gpus import *; from tests.test_gpus import *\n"
        f"tempfile.tempdir = {str(own_folder.parent)!r}\n"
        "with claimed(CUDA, WHOLE, TWO[:1]): print('taken', flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "taken\n"
        with ExitStack() as locks:
            assert gpus._take(WHOLE, TWO[:1], locks) is None
            other.kill()
            other.wait()
            assert gpus._take(WHOLE, TWO[:1], locks) == TWO[0]
    finally:
        other.kill()
        other.communicate()


@pytest.mark.parametrize("named", ["3", "GPU-bbbb", "MIG-1234", ""])
def test_a_scheduler_that_has_chosen_is_left_alone(monkeypatch, own_folder, named):
    monkeypatch.setenv(gpus.VISIBLE, named)
    with claimed(CUDA, HALF, TWO) as gpu:
        assert gpu is None and os.environ[gpus.VISIBLE] == named
    assert not own_folder.exists()


def test_nothing_happens_on_a_cpu_or_without_nvidia_smi(monkeypatch, own_folder):
    monkeypatch.setenv("PATH", "")
    assert gpus.installed() == []
    for machine, there in ((CPU, TWO), (CUDA, None)):
        with claimed(machine, HALF, there) as gpu:
            assert gpu is None and gpus.VISIBLE not in os.environ
    assert not own_folder.exists()


def test_nvidia_smi_is_asked(monkeypatch, tmp_path):
    script = tmp_path / "nvidia-smi"
    script.write_text("#!/bin/sh\necho '0, GPU-aaaa, 24576'\necho '1, GPU-bbbb, 24576'\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert gpus.installed() == TWO
    monkeypatch.setenv(gpus.VISIBLE, "1")
    assert gpus.installed() == TWO[1:]
    script.write_text("#!/bin/sh\necho 'no driver' >&2; exit 9\n")
    assert gpus.installed() == []


def test_commands_take_a_share_for_a_study_on_a_gpu_and_cost_all_of_one(monkeypatch):
    study = SimpleNamespace(machine=CUDA, preset=preset("quick"))
    monkeypatch.setattr("segnb.rundir.open_study", lambda name: study)
    monkeypatch.setattr(gpus, "installed", lambda: TWO[:1])
    for alone, beside in ((False, TWO[0]), (True, None)):
        with cli._gpu("a study", alone) as gpu, ExitStack() as other:
            assert gpu == TWO[0]
            assert gpus._take(1024, TWO[:1], other) == beside
    with cli._gpu(None) as gpu:  # a notebook that trains nothing
        assert gpu is None


def test_a_folder_that_somebody_put_there_is_refused(own_folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    own_folder.symlink_to(elsewhere)
    with pytest.raises(SegnbError, match="belongs to another user"), claimed(CUDA, HALF, TWO):
        pass
    assert not list(elsewhere.iterdir())
