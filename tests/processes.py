"""Look for processes and wait for them: what several tests of things that are killed or stopped share."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil

PATIENCE = 120  # seconds, on a machine that is busy; alone it takes two


def until(true: Callable[[], object]) -> bool:
    """Return whether it comes true in time."""
    end = time.monotonic() + PATIENCE
    while not (found := true()) and time.monotonic() < end:
        time.sleep(0.05)
    return bool(found)


def pids_in(file: Path, count: int) -> list[int]:
    """Return the pids in a file, once there are so many."""
    assert until(lambda: file.exists() and len(file.read_text().splitlines()) == count)
    return [int(word) for word in file.read_text().split()]


def gone(pid: int) -> bool:
    """Return whether a process has ended, whether or not its parent has noticed."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
