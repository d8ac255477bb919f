"""The command itself: what it lists, what it imports, and how it ends."""

import argparse
import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from segnb.cli import COMMANDS, add_command, main
from segnb.data.shifts import KINDS
from segnb.errors import SegnbError
from segnb.runtime import processes
from segnb.runtime.processes import STEP, Terminated
from segnb.storage.files import write_json
from segnb.study.study import Study
from tests.conftest import CHECKOUT, make_project
from tests.synthetic_study import SIZE, make_study


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    listed = {line.split()[0]: line for line in lines if line.startswith("  ")}
    assert all(listed[name].endswith(f"  {line}") for name, (_, line) in COMMANDS.items())
    assert max(map(len, lines)) <= 80
    assert {line.split()[1] for line in lines if line.startswith("  segnb ")} <= set(COMMANDS)  # examples


def test_arrays_caches_the_splits_or_what_evaluation_reads(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SEGNB_ROOT", str(project := make_project(tmp_path / "project")))
    make_study(project, 0, images=2)
    made = []
    monkeypatch.setattr(Study, "split", lambda study, name, size: made.append(name) or [1])
    monkeypatch.setattr(Study, "visibility", lambda study, size: made.append("visibility") or [[1, 2]])
    monkeypatch.setattr(Study, "shifted", lambda study, kind, size: made.append(kind))
    arguments = ["arrays", "--study", "latest", "--size", str(SIZE)]
    assert main(arguments) == 0 and made == ["train", "val", "test"]
    made.clear()
    assert main([*arguments, "--evaluation"]) == 0 and made == ["visibility", *KINDS]
    assert str({"visibility": 2, **dict.fromkeys(KINDS, 0)}) in capsys.readouterr().out
    made.clear()
    assert main([*arguments, "--size", "32"]) == 1 and not made
    assert f"invalid size 32 (expected {SIZE})" in capsys.readouterr().err
    monkeypatch.setattr(Study, "sizes", lambda study: [32, SIZE])
    assert main([*arguments, "--evaluation", "--size", "32"]) == 0
    assert made == ["visibility"]  # 32 px is no U-Net's size


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_found_in_its_module(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    out = capsys.readouterr().out
    assert end.value.code == 0 and out.startswith(f"usage: segnb {command} ")
    assert f"\n\n{COMMANDS[command][1]}.\n" in out


@pytest.mark.parametrize(
    ("command", "unneeded"),
    [
        ("status", "torch"),
        ("--version", "torch"),
        ("--help", "torch"),
        ("run --help", "torch"),
        ("report --help", "nbconvert"),  # the page is written by a step of its own
    ],
)
def test_a_command_imports_no_more_than_it_needs(project, command, unneeded):
    make_study(project, 1, variants=["UNet_NoSkip_256"], images=2)
    code = (
        "import sys\nfrom segnb.cli import main\n"
        "try: main(sys.argv[1:])\n"
        f"finally: sys.exit(3 if {unneeded!r} in sys.modules else 0)"
    )
    env = os.environ | {"SEGNB_ROOT": str(project)}
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout, done.stderr


@pytest.fixture
def ending(monkeypatch):
    """Let `segnb status` end with an exception; return its exit code."""

    def run(error: BaseException) -> int:
        def look(name):
            raise error

        monkeypatch.setattr("segnb.cli.run.look", look)
        return main(["status"])

    return run


def test_an_error_is_one_line(ending, capsys):
    assert ending(SegnbError("this is bad; do that")) == 1
    assert capsys.readouterr().err == "segnb: this is bad; do that\n"


@pytest.mark.parametrize(("interrupt", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_who_was_started_by_a_user_says_that_it_was_stopped_and_a_step_is_silent(
    ending, capsys, monkeypatch, interrupt, code
):
    monkeypatch.delenv(STEP, raising=False)
    assert ending(interrupt()) == code
    assert capsys.readouterr().err == "segnb: interrupted. Run the same command to resume.\n"
    monkeypatch.setenv(STEP, "1")
    assert ending(interrupt()) == code
    assert capsys.readouterr().err == ""


def test_a_command_may_be_interrupted_while_its_modules_load(capsys, monkeypatch):
    def loading(modules):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)

    monkeypatch.delenv(STEP, raising=False)
    monkeypatch.setattr(processes, "load", loading)
    assert main(["status"]) == 130
    assert capsys.readouterr().err == "segnb: interrupted. Run the same command to resume.\n"


def test_a_full_disk_is_one_line_that_names_the_file(ending, capsys):
    assert ending(OSError(errno.ENOSPC, "full", "runs/x")) == 1
    told = capsys.readouterr().err
    assert told.startswith("segnb: runs/x: cannot be written, the disk is full") and told.count("\n") == 1
    with pytest.raises(PermissionError):
        ending(PermissionError(13, "no"))


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.EACCES, "SEGNB_ROOT"),
        (errno.EROFS, "SEGNB_ROOT"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENAMETOOLONG, "shorter"),
        (errno.EFBIG, "ulimit -f"),
        *[(code, "another place") for code in (errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)],
    ],
)
def test_what_the_system_refuses_is_one_line(ending, capsys, code, remedy):
    assert ending(OSError(code, os.strerror(code), "runs/x")) == 1
    told = capsys.readouterr().err
    assert (
        told.startswith(f"segnb: runs/x: {os.strerror(code)}. ") and remedy in told and told.count("\n") == 1
    )


# ---- as a process ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """A project folder whose status is more than a pipe holds, and has exit code 1."""
    folder = make_project(tmp_path_factory.mktemp("odd") / "project")
    run = make_study(folder, 1, variants=["UNet_NoSkip_256"], images=2).run("UNet_NoSkip_256", 0)
    write_json(run.path / "failed.json", {"step": "train", "error": "Größe " + 100_000 * "x", "log": None})
    return folder


def status_of(project, *prefix: str, **env: str) -> subprocess.CompletedProcess:
    command = [*prefix, sys.executable, "-m", "segnb.cli", "status"]
    env = os.environ | {"SEGNB_ROOT": str(project), "PYTHONPATH": str(CHECKOUT)} | env
    return subprocess.run(command, env=env, capture_output=True)


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"PYTHONIOENCODING": "ascii"}, rb"\u2717 failed"),
        ({"PYTHONIOENCODING": "latin-1"}, b"Gr\xf6\xdfe"),
        (
            {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""},
            rb"Gr\xf6\xdfe",
        ),
        ({"HOME": "/proc/none", "XDG_CACHE_HOME": ""}, "✗ failed".encode()),
    ],
)
def test_whatever_the_environment_it_says_the_same(failed, env, told):
    done = status_of(failed, **{"PYTHONIOENCODING": "utf-8"} | env)
    assert (done.returncode, done.stderr) == (1, b"") and told in done.stdout


def test_a_working_directory_that_is_gone(failed, tmp_path):
    """MKL, which comes with torch, does not load there."""
    script = f"rmdir {tmp_path}; {sys.executable} -m segnb.cli data check /none"
    env = os.environ | {"SEGNB_ROOT": str(failed), "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(["bash", "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("segnb: /none: cannot be listed") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("jobs", ["0", "-5"])
def test_fewer_than_one_run_at_a_time_are_refused(jobs, project, capsys):
    assert main(["report", "--jobs", jobs]) == 1
    assert capsys.readouterr().err.startswith(f"segnb: invalid jobs {jobs} (expected an integer from 1)")


def test_a_command_without_its_docstring_is_a_command(capsys):
    """As under python -OO."""
    parser = argparse.ArgumentParser()
    add_command(parser.add_subparsers(), lambda options: None, "look")
    assert parser.parse_args(["look"]).trouble == 1


@pytest.mark.parametrize("arguments", ["status", "status --json", "status 2>&1"])
def test_a_reader_that_has_gone_changes_no_exit_code(failed, arguments):
    script = f"{sys.executable} -m segnb.cli {arguments} | head -1; echo ${{PIPESTATUS[0]}}"
    env = os.environ | {"SEGNB_ROOT": str(failed), "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True)
    assert done.stdout.splitlines()[1:] == ["1"] and done.stderr == ""
