"""The command itself: what it lists, what it imports, and how it ends."""

import errno
import os
import subprocess
import sys

import pytest

from segnb.cli import COMMANDS, main, status
from segnb.errors import SegnbError
from segnb.runtime.processes import STEP, Terminated
from tests.synthetic_study import make_study


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("    ")}
    assert listed >= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_found_in_its_module(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0 and capsys.readouterr().out.startswith(f"usage: segnb {command} ")


@pytest.mark.parametrize("arguments", [["status"], ["--version"], ["run", "--help"]], ids=" ".join)
def test_what_only_looks_imports_no_torch(project, arguments):
    make_study(project, 1, variants=["UNet_NoSkip_256"], images=2)
    code = (
        "import sys\nfrom segnb.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: sys.exit(3 if 'torch' in sys.modules else 0)"
    )
    env = os.environ | {"SEGNB_ROOT": str(project)}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout, done.stderr


@pytest.fixture
def ending(monkeypatch):
    """Let `segnb status` end with an exception; return its exit code."""

    def run(error: BaseException) -> int:
        def look(name):
            raise error

        monkeypatch.setattr(status, "look", look)
        return main(["status"])

    return run


def test_an_error_is_one_line(ending, capsys):
    assert ending(SegnbError("this is bad; do that")) == 1
    assert capsys.readouterr().err == "segnb: this is bad; do that\n"


@pytest.mark.parametrize(("signal", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_who_was_started_by_a_user_says_that_it_was_stopped_and_a_step_is_silent(
    ending, capsys, monkeypatch, signal, code
):
    monkeypatch.delenv(STEP, raising=False)
    assert ending(signal()) == code
    assert capsys.readouterr().err == "segnb: stopped; run the same command again to resume\n"
    monkeypatch.setenv(STEP, "1")
    assert ending(signal()) == code
    assert capsys.readouterr().err == ""


def test_a_full_disk_is_one_line_that_names_the_file(ending, capsys):
    assert ending(OSError(errno.ENOSPC, "full", "runs/x")) == 1
    told = capsys.readouterr().err
    assert told.startswith("segnb: runs/x cannot be written, the disk is full") and told.count("\n") == 1
    with pytest.raises(PermissionError):
        ending(PermissionError(13, "no"))
