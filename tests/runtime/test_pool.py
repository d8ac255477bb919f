"""Worker processes: the same results in the same order, and none that outlives who asked."""

import subprocess
import sys
import time

import psutil
import pytest

from segnb.runtime import pool
from segnb.runtime.pool import at_work, progress
from tests.conftest import CHECKOUT

SLOW = """
import sys, time
from segnb.runtime.pool import at_work
if __name__ == "__main__":
    with at_work(time.sleep, [(0.1,)] * 600, "naps", processes=2) as naps:
        for i, _ in enumerate(naps):
            if i == 3:
                print("at work", flush=True)
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_jobs(processes):
    with at_work(pow, [(2, i) for i in range(20)], "powers", processes, verbose=False) as results:
        assert list(results) == [2**i for i in range(20)]


@pytest.mark.parametrize(("most", "started"), [(None, 8), ("3", 3), ("1", None)])
def test_a_step_that_shares_the_machine_has_fewer_workers(monkeypatch, most, started):
    class Pool(pool.ProcessPoolExecutor):
        def __init__(self, processes, *others):
            asked.append(processes)
            super().__init__(1, *others)

    asked = []
    monkeypatch.setattr(pool, "usable_cores", lambda: 8)
    monkeypatch.setattr(pool, "ProcessPoolExecutor", Pool)
    if most:
        monkeypatch.setenv(pool.PROCESSES, most)
    with at_work(pow, [(2, i) for i in range(60)], "powers", verbose=False) as results:
        assert list(results) == [2**i for i in range(60)]
    assert asked == ([started] if started else [])


def test_where_there_can_be_no_processes_this_one_does_the_work(monkeypatch, capsys):
    def no_semaphores(*_):
        raise FileNotFoundError(2, "No such file or directory")  # of /dev/shm

    monkeypatch.setattr(pool, "ProcessPoolExecutor", no_semaphores)
    with at_work(pow, [(2, i) for i in range(4)], "powers", 2, verbose=False) as results:
        assert list(results) == [1, 2, 4, 8]
    assert capsys.readouterr().err.startswith(
        "powers: using a single process, because no other can be started"
    )


def test_workers_end_with_a_parent_that_was_killed(tmp_path):
    script = tmp_path / "naps.py"
    script.write_text(SLOW)
    parent = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, env={"PYTHONPATH": "."}
    )
    assert parent.stdout.readline() == "at work\n"
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) >= 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs(children, timeout=10)
    try:
        assert not alive
    finally:
        for process in alive:
            process.kill()


def test_a_stopped_loop_leaves_no_worker(tmp_path):
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(KeyboardInterrupt):
        with at_work(time.sleep, [(0.01,)] * 100, "naps", 2, verbose=False) as naps:
            next(naps)
            raise KeyboardInterrupt
    new = [c for c in psutil.Process().children(recursive=True) if c.pid not in before]
    assert not [c for c in new if "spawn_main" in " ".join(c.cmdline())]


def test_progress_is_a_line_every_tenth_where_nobody_watches(capsys):
    assert list(progress(range(25), "checking", 25, "pair")) == list(range(25))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10 and lines[0] == "checking: 3 of 25 pairs" and lines[-1].startswith("checking: 25")
    assert list(progress([], "checking", 0, "pair")) == []
