"""Notebooks in kernels of their own: finished whole, failing in one line, leaving nothing behind."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from papermill.exceptions import PapermillExecutionError

from segnb.cli import main
from segnb.errors import SegnbError
from segnb.pipeline import notebook
from segnb.pipeline.notebook import CELL, DEATH, MEMORY, START, Failure
from tests.conftest import CHECKOUT
from tests.processes import PATIENCE, gone, pids_in, until

WAITS = """
import os, subprocess, time
print("before it was killed", flush=True)
with open(pids, "w") as file:
    file.write("".join(f"{pid}\\n" for pid in (os.getpid(), subprocess.Popen(["sleep", "1000"]).pid)))
time.sleep(1000)
"""


def make_notebook(path: Path, *cells: str) -> Path:
    parameters = "# Parameters\nname = 'x'\ncount = 1"
    made = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    made += [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    return path


def fails(folder: Path, *cells: str) -> Failure:
    """How a notebook of these cells fails; what there was of its output before has to stay."""
    out = folder / "out.ipynb"
    out.write_text("of before")
    with pytest.raises(Failure) as raised:
        notebook.run(make_notebook(folder / "in.ipynb", *cells), out, {}, folder / "log")
    assert out.read_text() == "of before"
    assert "\n" not in str(raised.value)
    return raised.value


def segnb(*arguments, **env: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "segnb.cli", *map(str, arguments)]
    env = os.environ | {"PYTHONPATH": str(CHECKOUT)} | env
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)


# -- what is finished --------------------------------------------------------------------------------------


def test_the_executed_notebook_is_there_with_its_parameters_and_outputs(tmp_path):
    out, log = tmp_path / "made" / "out.ipynb", tmp_path / "logs" / "log"
    source = make_notebook(tmp_path / "in {x}.ipynb", "print(name, count)", "import sys\nsys.executable")
    notebook.run(source, out, {"name": "it's", "count": 3}, log)
    done = nbformat.read(out, 4)
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    assert outputs[0].text == "it's 3\n"
    assert outputs[1].data["text/plain"] == repr(sys.executable)  # whichever kernels are installed
    assert done.metadata.papermill.output_path == str(out)
    assert os.listdir(out.parent) == ["out.ipynb"]
    assert log.read_text() == "it's 3\n"


def test_the_kernel_has_sockets_instead_of_ports_and_has_the_allocators_settings(tmp_path):
    seen = (
        "import ipykernel, os\nprint(ipykernel.get_connection_info(), os.environ['MALLOC_TRIM_THRESHOLD_'])"
    )
    notebook.run(make_notebook(tmp_path / "in.ipynb", seen), tmp_path / "out.ipynb", {}, tmp_path / "log")
    log = (tmp_path / "log").read_text()
    assert '"transport": "ipc"' in log and f" {notebook.ALLOCATOR['MALLOC_TRIM_THRESHOLD_']}\n" in log


def test_what_a_notebook_has_started_ends_with_it(tmp_path):
    started = "import subprocess\nprint(subprocess.Popen(['sleep', '1000'], start_new_session={}).pid)"
    source = make_notebook(tmp_path / "in.ipynb", *map(started.format, (False, True)))
    notebook.run(source, tmp_path / "out.ipynb", {}, tmp_path / "log")
    pids = [int(line) for line in (tmp_path / "log").read_text().splitlines() if line.isdigit()]
    assert len(pids) == 2 and all(map(gone, pids))


# -- parameters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"rate": 1e-05, "name": null}',
        "rate: 1.0e-05\nname:",
        "{rate: 1.0e-5, name: }",
        "{rate: 1e-5, name: }",
        "rate: 100.E-7\nname:",
    ],
)
def test_parameters_are_json_or_yaml_in_a_file_or_as_text(tmp_path, text):
    (tmp_path / "params").write_text(text)
    assert notebook.read_parameters(tmp_path / "params", None) == {"rate": 1e-05, "name": None}
    assert notebook.read_parameters(None, text) == {"rate": 1e-05, "name": None}


def test_text_that_only_begins_like_a_number_is_text():
    assert notebook.read_parameters(None, "{data: 1e5_frames, study: 12e, seed: 3}") == {
        "data": "1e5_frames",
        "study": "12e",
        "seed": 3,
    }


@pytest.mark.parametrize("text", ["a: [", "[1, 2]", "seed", "1: 2", "a: !!python/object/apply:os.getpid []"])
def test_what_is_no_parameters_is_one_line(text):
    with pytest.raises(SegnbError) as raised:
        notebook.read_parameters(None, text)
    assert "\n" not in str(raised.value)


def test_a_parameter_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(SegnbError, match="nowhere.json"):
        notebook.read_parameters(tmp_path / "nowhere.json", None)


@pytest.mark.parametrize(
    ("name", "parameters", "wrong"),
    [
        ("train", {"sede": 1}, "unknown parameter 'sede' (expected one of preset, data"),
        (
            "train",
            {"seed": "1"},
            "invalid seed '1' (expected the seed, an integer from 0",
        ),
        ("claims", {"seed": 1}, "unknown parameter 'seed' (expected one of study, variants, seeds"),
        ("fcn", {"study": 1}, "invalid study 1 (expected the name of a folder under runs/"),
        ("explore", {"seeds": "0"}, "unknown parameter 'seeds' (expected one of study)"),
        ("status", {"variants": "unet"}, "unknown parameter 'variants' (expected one of study)"),
        ("train", {"preset": "quik"}, "unknown preset 'quik' (expected one of smoke"),
        ("train", {"variant": "UNet"}, "unknown variant 'UNet' (expected one of FCN32s_vgg16_freeze"),
        ("claims", {"variants": "UNet"}, "variants: unknown name 'UNet' (expected one or more of all"),
        ("claims", {"seeds": "0;1"}, "invalid seeds '0;1' (expected comma-separated integers"),
    ],
)
def test_each_notebook_is_asked_for_its_own_parameters(tmp_path, name, parameters, wrong):
    with pytest.raises(SegnbError, match=re.escape(wrong)):
        notebook.run(CHECKOUT / "notebooks" / f"{name}.ipynb", tmp_path / "made" / "out.ipynb", parameters)
    assert not os.listdir(tmp_path)  # nothing was started


def test_every_notebook_that_has_parameters_says_which():
    for path in (CHECKOUT / "notebooks").glob("*.ipynb"):
        with pytest.raises(SegnbError, match="unknown parameter 'sede' .expected one of"):
            notebook.check(path, {"sede": 1})


def test_a_notebook_of_ones_own_has_those_of_its_parameters_cell(tmp_path):
    source = make_notebook(tmp_path / "in.ipynb", "other = 1")
    notebook.check(source, {"name": "y", "count": 2})
    with pytest.raises(SegnbError, match="unknown parameter 'other' .expected one of name, count"):
        notebook.check(source, {"other": 2})


@pytest.mark.parametrize("content", [None, "no JSON", "[]", '{"cells": 1}'])
def test_what_is_no_notebook_is_named(tmp_path, content):
    path = tmp_path / "in.ipynb"
    if content:
        path.write_text(content)
    with pytest.raises(SegnbError, match="in.ipynb") as raised:
        notebook.check(path, {})
    assert "\n" not in str(raised.value)


# -- what fails, each for real -----------------------------------------------------------------------------


def test_exit_codes_are_those_that_are_documented():
    page = (CHECKOUT / "docs" / "usage.md").read_text(encoding="utf-8")
    for code, cause in (
        (CELL, "a cell raised"),
        (MEMORY, "a cell ran out"),
        (DEATH, "the kernel died"),
        (START, "the kernel did not start"),
    ):
        assert f"\n| {code} | {cause}" in page
    assert (CELL, MEMORY, DEATH, START) == (3, 4, 5, 7)


def test_an_exception_is_told_with_its_cell_and_its_traceback_is_in_the_log(tmp_path):
    failure = fails(tmp_path, "print('so far')", "def f():\n    raise ValueError('no\\nway')\nf()")
    part = tmp_path / ".out.ipynb"
    assert (failure.code, str(failure)) == (CELL, f"ValueError: no (cell In [3] of {part})")
    assert "so far" in part.read_text()  # to look closer
    lines = notebook.tail(tmp_path / "log").splitlines()
    assert len(lines) == 10 and all(line.startswith("    ") for line in lines)
    assert "    ValueError: no" in lines and "\x1b" not in (tmp_path / "log").read_text()


def test_an_error_of_ours_speaks_for_itself(tmp_path):
    failure = fails(tmp_path, "from segnb.errors import SegnbError\nraise SegnbError('this is bad; do that')")
    assert (failure.code, str(failure)) == (CELL, "this is bad; do that")
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_no_memory_left_is_told_apart(tmp_path):
    failure = fails(tmp_path, "bytearray(10**18)")
    assert failure.code == MEMORY and str(failure).startswith("out of memory: ") and "JOBS=1" in str(failure)


class OutOfMemoryError(RuntimeError):
    """As CUDA's, for which there has to be a GPU."""


def on_gpu():
    raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize(
    "allocate", [lambda: np.ones(10**17), lambda: torch.ones(10**17), on_gpu], ids=["numpy", "torch", "cuda"]
)
def test_no_memory_left_is_recognised_whoever_says_it(tmp_path, allocate):
    with pytest.raises((MemoryError, RuntimeError)) as raised:
        allocate()
    error = PapermillExecutionError(0, 3, "", raised.type.__name__, str(raised.value), [])
    assert notebook._cell_failed(error, tmp_path / "part", io.StringIO()).code == MEMORY


@pytest.mark.parametrize(
    ("cell", "how"),
    [
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
            "ended by SIGKILL, as the system does when",
        ),
        ("import os\nos._exit(4)", "exit code 4"),
    ],
)
def test_a_dead_kernel_is_told_with_how_it_died(tmp_path, cell, how):
    failure = fails(tmp_path, cell)
    assert failure.code == DEATH and f"in.ipynb: the kernel died, {how}" in str(failure)


def test_a_kernel_that_does_not_start_is_told_with_what_it_said(tmp_path, monkeypatch):
    (tmp_path / "ipykernel_launcher.py").write_text("raise SystemExit('broken installation')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    failure = fails(tmp_path)
    assert failure.code == START and "in.ipynb: the kernel did not start (Kernel died before" in str(failure)
    assert "broken installation" in notebook.tail(tmp_path / "log")


def test_a_kernel_that_does_not_answer_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    (tmp_path / "ipykernel_launcher.py").write_text("import time\ntime.sleep(1000)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(notebook, "START_SECONDS", 2)
    failure = fails(tmp_path)
    assert failure.code == START and "did not start (Kernel didn't respond in 2 seconds)" in str(failure)


def test_a_long_name_of_the_temporary_folder_leaves_room_for_sockets(tmp_path, monkeypatch):
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setattr(notebook.tempfile, "tempdir", str(long))
    notebook.run(make_notebook(tmp_path / "in.ipynb", "1"), tmp_path / "out.ipynb", {}, tmp_path / "log")
    assert not list(long.iterdir())


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SegnbError, match="file.*: cannot be written"):
        notebook.run(
            make_notebook(tmp_path / "in.ipynb"), tmp_path / "file" / "out.ipynb", {}, tmp_path / "log"
        )


def test_a_folder_in_place_of_the_output_is_told_before_anything_is_executed(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(SegnbError, match="out: is a folder .expected a file"):
        notebook.run(make_notebook(tmp_path / "in.ipynb", "1"), tmp_path / "out", {}, tmp_path / "log")
    assert not (tmp_path / "log").exists()


# -- what is stopped ---------------------------------------------------------------------------------------


class Running:
    """`segnb run` at work: its folders, and the pids of the kernel and of a process that this started."""

    def __init__(self, folder: Path):
        folder.mkdir()
        self.out, self.temporary = folder / "out.ipynb", folder / "tmp"
        self.temporary.mkdir()
        self.out.write_text("of before")
        source = make_notebook(folder / "in.ipynb", f"pids = {str(folder / 'pids')!r}{WAITS}")
        options = ("-f", folder / "params", "--log", folder / "log")
        (folder / "params").write_text("{}")
        self.process = segnb("run", source, self.out, *options, TMPDIR=str(self.temporary))
        self.file = folder / "pids"

    def ready(self) -> "Running":
        self.pids = pids_in(self.file, 2)
        return self

    def left(self) -> tuple[int, str]:
        """The exit code and what was said, once the processes are gone; the output has to be as before."""
        said = self.process.communicate(timeout=PATIENCE)[1]
        assert until(lambda: all(map(gone, self.pids)))
        assert self.out.read_text() == "of before"
        return self.process.returncode, said


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Five of them side by side."""
    folder = tmp_path_factory.mktemp("run")
    found = [Running(folder / str(number)) for number in range(5)]
    yield iter(found)
    for one in found:
        one.process.kill()
        one.process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_all_of_it_in_good_order(running, number, code):
    run = next(running).ready()
    run.process.send_signal(number)
    assert run.left() == (code, "segnb: interrupted. Run the same command to resume.\n")
    assert not os.listdir(run.temporary)


def test_a_killed_runner_takes_its_kernel_along(running):
    run = next(running).ready()
    run.process.kill()
    assert run.left() == (-signal.SIGKILL, "")


def test_a_killed_kernel_is_told_and_what_it_started_is_ended(running):
    run = next(running).ready()
    os.kill(run.pids[0], signal.SIGKILL)
    code, said = run.left()
    assert code == DEATH and "in.ipynb: the kernel died, ended by SIGKILL" in said.splitlines()[0]
    assert "    before it was killed" in said.splitlines()[1:]
    assert not os.listdir(run.temporary)


def test_a_kernel_that_is_stopped_from_elsewhere_is_told_as_well(running):
    run = next(running).ready()
    os.kill(run.pids[0], signal.SIGTERM)
    code, said = run.left()
    assert code == DEATH and "ended by SIGTERM" in said


# -- where it is a training of a study ---------------------------------------------------------------------


def test_an_executed_notebook_outside_of_any_study_may_have_a_short_path(capsys):
    assert main(["run", "notebooks/train.ipynb", "/tmp/train.ipynb", "-y", "no parameters"]) == 1
    assert "no parameters" in capsys.readouterr().err


def test_a_run_remembers_why_it_failed_until_it_succeeds(tmp_path):
    run = tmp_path / "study" / "UNet_NoSkip_256" / "seed0"
    run.mkdir(parents=True)
    (tmp_path / "study" / "study.json").write_text("{}")
    for cell, code in (("1 / 0", CELL), ("1", 0)):
        source = make_notebook(tmp_path / "in.ipynb", cell)
        process = segnb("run", source, run / "train.ipynb", "-y", "{}", "--log", run / "train.log")
        said = process.communicate(timeout=2 * PATIENCE)[1]
        assert process.returncode == code, said
        failed = run / "failed.json"
        assert failed.exists() == bool(code)
        if code:
            kept = json.loads(failed.read_text())
            assert kept["step"] == "train" and kept["error"].startswith("ZeroDivisionError: division by zero")
            assert kept["log"] == str(run / "train.log")
    assert (run / "train.ipynb").exists()
