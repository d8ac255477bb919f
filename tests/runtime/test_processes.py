"""Processes that end when they should: each is started, killed or stopped, and looked for."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from segnb.runtime import processes
from tests.conftest import CHECKOUT
from tests.processes import PATIENCE, gone, pids_in, until

# Starts a sleeper below itself and one that it loses, whose parent is gone; then its code.
FAMILY = """
import os, signal, subprocess, sys, time
from segnb.runtime import processes

def tell(*pids):
    with open(sys.argv[1], "a") as file:
        file.write("".join(f"{pid}\\n" for pid in pids))

def sleepers():
    child = subprocess.Popen(["sleep", "1000"])
    lost = subprocess.run("sleep 1000 >&- 2>&- & echo $!", shell=True, stdout=subprocess.PIPE).stdout
    tell(os.getpid(), child.pid, int(lost))
"""


def start(code: str, *arguments, **options) -> subprocess.Popen:
    env = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    return subprocess.Popen([sys.executable, "-c", FAMILY + code, *map(str, arguments)], env=env, **options)


@pytest.fixture
def pids(tmp_path):
    """A file for pids, all of which are ended when the test is over."""
    file = tmp_path / "pids"
    yield file
    for pid in file.read_text().split() if file.exists() else ():
        if not gone(int(pid)):
            os.kill(int(pid), signal.SIGKILL)


WATCHED = "processes.end_with_parent(os.getppid()); sleepers(); time.sleep(1000)"
PARENT = (
    f"subprocess.Popen([sys.executable, '-c', {FAMILY + WATCHED!r}, sys.argv[1]], start_new_session=True)"
)


def test_a_killed_parent_takes_along_all_that_its_child_started(pids):
    parent = start(f"{PARENT}; time.sleep(1000)", pids)
    family = pids_in(pids, 3)
    assert not any(map(gone, family))
    parent.kill()
    parent.wait()
    assert until(lambda: all(map(gone, family)))


def test_a_parent_that_leaves_counts_as_well(pids):
    assert start(f"{PARENT}; time.sleep(1)", pids).wait() == 0
    assert until(lambda: all(map(gone, pids_in(pids, 3))))


def test_while_the_parent_is_there_nothing_ends():
    code = "processes.end_with_parent(os.getppid()); time.sleep(4 * processes.EVERY); print('done')"
    assert start(code, stdout=subprocess.PIPE).communicate()[0] == b"done\n"


def test_a_parent_that_was_gone_before_is_noticed():
    child = start("processes.end_with_parent(int(sys.argv[1])); time.sleep(1000)", os.getppid())
    assert child.wait(PATIENCE) == -signal.SIGKILL


def test_a_module_is_run_as_python_would(tmp_path):
    (tmp_path / "said.py").write_text(
        "import sys\nprint(__name__, __spec__.name, sys.argv[1:], sys.modules['__main__'].__spec__.name)\n"
        "sys.exit(3)\n"
    )
    command = [sys.executable, "-m", "segnb.runtime.processes", str(os.getpid()), "said", "-a", "b c"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": f"{tmp_path}:{CHECKOUT}"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (3, "__main__ said ['-a', 'b c'] said\n")


def test_stopping_asks_first_and_kills_what_stays(pids):
    leave = (
        "signal.signal(signal.SIGTERM, lambda *_: (tell(0), sys.exit(5)))\n"
        "stubborn = 'import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(1000)'\n"
        "tell(subprocess.Popen([sys.executable, '-c', stubborn]).pid)\n"
        "time.sleep(1)\nsleepers()\ntime.sleep(1000)"
    )
    child = start(leave, pids, start_new_session=True)
    family = pids_in(pids, 4)
    processes.stop(child, 1)
    assert child.returncode == 5
    assert until(lambda: all(map(gone, family)))
    assert pids_in(pids, 5)[-1] == 0  # it was asked


def test_stopping_does_not_wait_for_what_is_halted(pids):
    child = start("sleepers(); time.sleep(1000)", pids, start_new_session=True)
    family = pids_in(pids, 3)
    child.send_signal(signal.SIGSTOP)
    assert until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_STOPPED)
    processes.stop(child, 1000)  # it would take as long
    assert child.returncode == -signal.SIGKILL
    assert until(lambda: all(map(gone, family)))


def test_stopping_what_has_ended_keeps_its_exit_code():
    child = start("sys.exit(7)")
    child.wait()
    processes.stop(child, 1000)
    assert child.returncode == 7


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGTERM, processes.Terminated), (signal.SIGINT, KeyboardInterrupt)]
)
def test_signals_are_exceptions_and_the_second_is_ignored(number, kind):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    cleaned = []
    with pytest.raises(KeyboardInterrupt) as raised, processes.stoppable():
        try:
            os.kill(os.getpid(), number)
            time.sleep(PATIENCE)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            cleaned.append(True)
    assert raised.type is kind and cleaned
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_signal_out_of_which_a_library_has_made_an_error_is_still_a_signal():
    with pytest.raises(processes.Terminated), processes.stoppable():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(PATIENCE)
        except KeyboardInterrupt as stopped:
            raise ValueError(f"cannot read: {stopped!r}") from None
    with pytest.raises(ValueError, match="without any"), processes.stoppable():
        raise ValueError("without any signal")


def test_a_signal_that_is_ignored_from_outside_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with processes.stoppable():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("home", ["file", "none"])
def test_without_a_home_libraries_keep_their_things_in_the_cache(tmp_path, monkeypatch, home):
    (tmp_path / "file").touch()
    for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR", "IPYTHONDIR", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MPLCONFIGDIR", "mine")
    monkeypatch.setenv("HOME", str(tmp_path / "file") if home == "file" else "/proc/none")
    found = processes.homes(lambda: tmp_path / "cache")
    assert "MPLCONFIGDIR" not in found
    assert {Path(found[name]).parts[-2:] for name in ("IPYTHONDIR", "TORCH_HOME")} == {
        ("home", "ipythondir"),
        ("home", "torch_home"),
    }
    assert found["XDG_CACHE_HOME"] == str(tmp_path / "cache" / "home")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert processes.homes(lambda: pytest.fail("needs no cache")) == {}
