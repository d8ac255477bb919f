"""Locks between processes. A lock is released when its process ends, however that happens."""

import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from filelock import AcquireReturnProxy, FileLock, Timeout

from segnb.errors import SegnbError, full_disk_told
from segnb.storage.project import iso_now

T = TypeVar("T")
PATIENCE = 5  # seconds to wait for a lock: as long as a process whose parent was killed takes to end
GLANCE = 0.05  # seconds in which another process that only looks at a lock has let go of it again


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time into the block; the others wait."""
    with _acquire(path):
        yield


def made_once(lock: Path, read: Callable[[], T | None], make: Callable[[], None]) -> T:
    """Return what `read` gives. While that is None, one process calls `make` and the others wait for it."""
    value = read()
    if value is None:
        with locked(lock):
            value = read()  # made by the previous holder of the lock
            if value is None:
                make()
                value = read()
    return value


@contextmanager
def held(path: Path, what: str) -> Iterator[int]:
    """Let one process at a time into the block; refuse a second one.

    Args:
        path: the lock file; the facts about its holder go to a side file next to it
        what: the work in progress, for the message to a second process: "training UNet_Standard_256, seed 0"

    Yields:
        The lock's file descriptor. A child process that inherits it holds the lock as well.

    Raises:
        SegnbError: another process holds the lock; names its pid, host and work.
    """
    descriptors: list[int] = []
    try:
        lock = _acquire(path, timeout=PATIENCE, on_acquired=descriptors.append)
    except Timeout:
        other = holder(path)
        who = "process {pid} on {host} is {what}".format(**other) if other else "another process is at work"
        raise SegnbError(f"{who} already ({path}); wait for it or stop it") from None
    facts = {"pid": os.getpid(), "host": platform.node(), "since": iso_now(), "what": what}
    with lock:
        try:
            with full_disk_told(path):
                _side(path).write_text(json.dumps(facts))
            yield descriptors[0]
        finally:
            with suppress(OSError):
                _side(path).unlink(missing_ok=True)


def holder(path: Path) -> dict | None:
    """Return the facts about the process that has a lock from `held`: pid, host, since (ISO time) and what.

    They are {} while the holder writes them. None: nobody holds the lock.
    """
    if not _side(path).exists():  # asked first, because a study has thousands of locks that nobody holds
        return None
    try:
        with FileLock(path, timeout=GLANCE, poll_interval=GLANCE / 5):
            return None
    except Timeout:
        with suppress(OSError, ValueError):
            return dict(json.loads(_side(path).read_text()))
        return {}


def _side(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _acquire(path: Path, **options: Any) -> AcquireReturnProxy:
    with full_disk_told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path, **options).acquire()
