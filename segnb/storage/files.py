"""Write files so that they are complete or not there, and read them back."""

import errno
import glob
import json
import math
import os
import platform
import re
import secrets
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar

import numpy as np
from filelock import AcquireReturnProxy, FileLock, SoftFileLease, Timeout, lock_descriptor

from segnb.errors import SegnbError, full_disk_told
from segnb.storage.project import iso_now

UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)  # of a damaged .npy or .npz file
# What file systems say that have no such operation: locks (Lustre and NFS, as some are mounted), fsync of a
# folder (CIFS, FUSE), bytes that are reserved.
UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a file for binary writing that takes its name only when it is complete and on disk.

    An exception, or a kill at any moment, leaves what was at `path` before untouched.
    """
    with atomic_path(path) as part, open(part, "wb") as file:
        yield file


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Do the same for code that opens files by name.

    Yields:
        A file to write, which becomes `path` at the end.

    Raises:
        SegnbError: the disk is full.
    """
    with full_disk_told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, f"{path.name}.")
        handle, part = _new_part(path)
        try:
            yield part
            os.fsync(handle)  # of the file, whoever wrote it
            os.replace(part, path)
            _sync_names(path.parent)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)


@contextmanager
def _where_supported(*more: int) -> Iterator[None]:
    """Go on without what a file system does not have, which says so by UNSUPPORTED or `more` codes."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNSUPPORTED.union(more):
            raise


def _new_part(path: Path) -> tuple[int, Path]:
    """Create the file next to `path` that is written first, locked as long as its writer lives.

    Returns:
        Its descriptor and its path.
    """
    while True:
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        # Readable by whom the user's umask lets read, as the file will be: some file systems know no chmod.
        try:
            handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except OSError as error:
            error.filename = str(path)  # which is the name that a user knows
            raise
        try:
            with _where_supported():
                lock_descriptor(handle)
            if os.fstat(handle).st_nlink:
                return handle, part
        except BaseException:
            part.unlink(missing_ok=True)
            os.close(handle)
            raise
        os.close(handle)  # another process swept it away before it was locked


def sweep(folder: Path, stem: str = "") -> None:
    """Remove the part files of killed processes, which nobody has locked.

    Args:
        folder: where to look
        stem: how the names of the files that were being written begin
    """
    for part in folder.glob(f".{glob.escape(stem)}*"):
        if not re.fullmatch(r"\..+\.[a-z0-9_]{8}", part.name):  # as `_new_part` names them
            continue
        with suppress(OSError), open(part, "r+b") as file:  # NFS locks what is open for writing alone
            abandoned = time.time() - os.fstat(file.fileno()).st_mtime > DAY  # where there are no locks
            with _where_supported():
                abandoned = lock_descriptor(file.fileno(), blocking=False)
            if abandoned:
                part.unlink()


def _sync_names(folder: Path) -> None:
    """Without it a renamed file may have its old name again after a power cut."""
    with _where_supported(errno.EBADF, errno.EPERM, errno.EACCES):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def new_array(path: Path, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Create a memory-mapped .npy file of zeros.

    Its bytes are reserved at once, so that a full disk raises OSError here. Later, a write to a page that has
    no place on the disk would end the process.
    """
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file, _where_supported():
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    return array


def write_text(path: Path, text: str) -> None:
    """Write a text file, complete or not at all."""
    with atomic(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, complete or not at all, see `to_json`."""
    write_text(path, to_json(value, indent=2) + "\n")


def to_json(value: Any, **layout: Any) -> str:
    """Write a value as JSON: the only place that does, because `json` alone writes NaN, which JSON has not.

    A number that is not finite becomes null, as `None` does, and what JSON does not know a string.

    Args:
        value: of dicts, lists, tuples, strings and numbers, also NumPy's
        layout: options of `json.dumps`, such as indent
    """
    return json.dumps(_plain(value), default=str, allow_nan=False, **layout)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Kept(dict):
    """An object of a JSON file. A key that it has not is not forgotten in code: the file is damaged."""

    path: Path | None = None

    def __missing__(self, key: str) -> NoReturn:
        raise _damaged(self.path, f"it has no {key!r}")


def _damaged(path: Path | None, why: object) -> SegnbError:
    return SegnbError(f"{path} is damaged ({why}); delete it and run 'make report' again")


def read_json(path: Path) -> Kept:
    """Read a JSON file that holds an object, as all of ours do.

    Raises:
        SegnbError: the file is missing or damaged; later also where a key is asked for that it has not.
    """

    def keep(entries: dict) -> Kept:
        kept = Kept(entries)
        kept.path = path
        return kept

    try:
        kept = json.loads(path.read_text(encoding="utf-8"), object_hook=keep)
    except FileNotFoundError:
        raise SegnbError(f"{path} is missing; run 'make report' to make it") from None
    except (ValueError, RecursionError, IsADirectoryError) as error:
        raise _damaged(path, error) from None
    if not isinstance(kept, Kept):
        raise _damaged(path, "it holds no object")
    return kept


T = TypeVar("T")
PATIENCE = 5  # seconds to wait for a lock: as long as a process whose parent was killed takes to end
GLANCE = 0.05  # seconds in which another process that only looks at a lock has let go of it again
LEASE = 30  # seconds for which a sign of life counts, where a file system has no locks
DAY = 24 * 60 * 60  # seconds; nothing is written for so long


def locked(path: Path, **options: Any) -> AcquireReturnProxy:
    """Let one process at a time into the `with` block; the others wait. options: of filelock.

    Where the file system has no locks, a file next to `path` that its holder keeps touching stands for one.
    """
    with full_disk_told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _where_supported():
            return FileLock(path, fallback_to_soft=False, **options).acquire()
        if options.pop("on_acquired", None):  # there is no descriptor; and a holder may have died just now
            options["timeout"] += LEASE
        return SoftFileLease(f"{path}.lease", lease_duration=LEASE, **options).acquire()


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
        The lock's file descriptor. A child process that inherits it holds the lock as well. Where there are
        no locks it is that of stderr, which every child has.

    Raises:
        SegnbError: another process holds the lock; names its pid, host and work.
    """
    descriptors: list[int] = []
    try:
        lock = locked(path, timeout=PATIENCE, on_acquired=descriptors.append)
    except Timeout:
        other = holder(path)
        who = "process {pid} on {host} is {what}".format(**other) if other else "another process is at work"
        raise SegnbError(f"{who} already ({path}); wait for it or stop it") from None
    facts = {"pid": os.getpid(), "host": platform.node(), "since": iso_now(), "what": what}
    with lock:
        try:
            with full_disk_told(path):
                _side(path).write_text(to_json(facts))
            yield descriptors[0] if descriptors else 2
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
        with locked(path, timeout=GLANCE, poll_interval=GLANCE / 5):
            return None
    except Timeout:
        pass
    except OSError:  # another user's folder, or one on a read-only disk: its locks can be seen all the same
        with suppress(OSError), open(path, "rb") as file:
            if lock_descriptor(file.fileno(), blocking=False):
                return None
    with suppress(OSError, ValueError):
        return dict(json.loads(_side(path).read_text(encoding="utf-8")))
    return {}


def _side(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def markdown_table(head: list[str], rows: Iterable[Iterable[str]]) -> str:
    """Lines of cells, which are Markdown themselves."""
    first, *others = (f"| {' | '.join(row)} |" for row in (head, *rows))
    return "\n".join([first, "|---" * len(head) + "|", *others])


def between(text: str, marks: tuple[str, str], new: str, name: str = "README.md") -> str:
    """A text with `new` between its two marks. Raises SegnbError that names the file if it has none."""
    before, first, rest = text.partition(marks[0])
    _, last, after = rest.partition(marks[1])
    if not first or not last:
        raise SegnbError(f"{name} has no {marks[0]} … {marks[1]} to put the table between; add the two marks")
    return f"{before}{first}\n{new}\n{last}{after}"
