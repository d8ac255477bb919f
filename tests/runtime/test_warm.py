"""Steps that a process forks which has loaded what they need; here it loads next to nothing."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from segnb.runtime import warm
from segnb.runtime.processes import STEP, WARM, environment
from tests.conftest import CHECKOUT
from tests.processes import PATIENCE, gone, pids_in, until

# `python -m processes PID steps FILE WHAT`: says who it is, and ends as it is told.
STEPS = """
import os, signal, subprocess, sys, time
with open(sys.argv[1], "a") as file:
    print(os.getpid(), file=file)
given, loaded = os.environ.get("GIVEN"), "uuid" in sys.modules
print(__name__, __spec__.name, sys.argv[2:], os.getcwd(), given, loaded, flush=True)
exec(sys.argv[2])
"""


@pytest.fixture(scope="module", autouse=True)
def forking(tmp_path_factory):
    folder = tmp_path_factory.mktemp("steps")
    for module in ("steps", "snakemake"):
        (folder / f"{module}.py").write_text(STEPS)
    with environment({"PYTHONPATH": f"{CHECKOUT}:{folder}"}), warm.started(["uuid"]):
        yield


@pytest.fixture
def begin(tmp_path):
    """Starts a step that runs some code; its pid is the first line of the file `begin.pids`."""
    begun = []

    def start(code: str, module: str = "steps", **variables) -> subprocess.Popen:
        command = [sys.executable, "-m", "segnb.runtime.processes", str(os.getpid()), module]
        process = subprocess.Popen(
            [*command, str(start.pids), code],
            cwd=tmp_path,
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    start.pids = tmp_path / "pids"
    yield start
    for process in begun:
        process.kill()
        process.communicate()


def test_a_step_is_a_fork_with_arguments_folder_environment_and_outputs_of_its_own(begin, tmp_path):
    step = begin("print('to stderr', file=sys.stderr); sys.exit(3)", GIVEN="yes")
    printed, errors = step.communicate(timeout=PATIENCE)
    expected = f"__main__ steps [\"print('to stderr', file=sys.stderr); sys.exit(3)\"] {tmp_path} yes True\n"
    assert (step.returncode, printed, errors) == (3, expected, "to stderr\n")
    assert pids_in(begin.pids, 1) != [step.pid]


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ("", 0),
        ("sys.exit('in words')", 1),
        ("1 / 0", 1),
        ("import atexit; atexit.register(print, 'at exit')", 0),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_it_ends_as_the_step_does(begin, code, left):
    step = begin(code)
    printed, errors = step.communicate(timeout=PATIENCE)
    assert step.returncode == left
    assert ("at exit" in printed) == ("at exit" in code)
    assert ("in words\n" == errors) == ("in words" in code)
    assert ("ZeroDivisionError" in errors) == ("1 / 0" in code)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_it(begin, number):
    step = begin(
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(7))\n"
        "print('ready', flush=True)\ntime.sleep(1000)"
    )
    assert "ready\n" in iter(step.stdout.readline, "")
    step.send_signal(number)
    assert step.wait(PATIENCE) == 7


def test_a_killed_step_takes_it_along_with_all_below_it(begin):
    step = begin(
        "child = subprocess.Popen(['sleep', '1000'])\n"
        "with open(sys.argv[1], 'a') as file:\n    print(child.pid, file=file)\n"
        "time.sleep(1000)"
    )
    family = pids_in(begin.pids, 2)
    step.kill()
    step.wait()
    assert until(lambda: all(map(gone, family)))


def test_it_says_of_which_step_it_is(begin):
    printed, _ = begin(f"print(os.environ[{STEP!r}])").communicate(timeout=PATIENCE)
    assert printed.splitlines()[1].startswith(f"steps {begin.pids} print")


def test_without_it_the_step_loads_what_it_needs_itself(begin):
    step = begin("", **{WARM: "gone"})
    step.communicate(timeout=PATIENCE)
    assert step.returncode == 0 and pids_in(begin.pids, 1) == [step.pid]


def test_snakemake_is_no_step_so_a_report_with_nothing_to_do_loads_nothing(begin):
    snakemake = begin("", module="snakemake")
    printed, _ = snakemake.communicate(timeout=PATIENCE)
    assert printed.endswith(" False\n") and pids_in(begin.pids, 1) == [snakemake.pid]


def test_at_the_end_nobody_is_left(tmp_path):
    def servers():
        return [one for one in psutil.Process().children() if one.cmdline()[-1:] == ["json"]]

    with warm.started(["json"]):
        assert until(servers)  # a process has its command line a moment after its start
        (server,) = servers()
        step = subprocess.Popen(
            [sys.executable, "-m", "segnb.runtime.processes", str(os.getpid()), "steps"]
            + [str(tmp_path / "pids"), "time.sleep(1000)"],
            stdout=subprocess.DEVNULL,
        )
        pids = pids_in(tmp_path / "pids", 1)
        assert psutil.Process(pids[0]).ppid() == server.pid
    assert until(lambda: gone(server.pid) and gone(pids[0]))
    assert step.wait(PATIENCE) < 0
