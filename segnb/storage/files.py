"""Files that are complete or absent, JSON, locks between processes, and parts of Markdown files."""

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
from segnb.storage import iso_now

# Errors that a damaged .npy or .npz file raises.
UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)
# Errors of file systems that lack an operation: locks (some mounts of Lustre and NFS), fsync of a folder
# (CIFS, FUSE), reserving bytes.
UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a file for binary writing that gets its name only when it is complete and on disk.

    After an exception, or a kill at any moment, the previous file at `path` is unchanged.
    """
    with atomic_path(path) as part, open(part, "wb") as file:
        yield file


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Do what `atomic` does, for code that opens files by name.

    Yields:
        The path of a file to write, which becomes `path` at the end.

    Raises:
        SegnbError: the disk is full.
    """
    if path.is_dir():  # also "." and "/", which have no name
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path.absolute()))
    with full_disk_told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, f"{path.name}.")
        handle, part = _new_part(path)
        try:
            yield part
            os.fsync(handle)  # also works for data written through another descriptor
            os.replace(part, path)
            _sync_names(path.parent)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)


@contextmanager
def _where_supported(*more: int) -> Iterator[None]:
    """Skip an operation that the file system lacks: it raises an error of UNSUPPORTED or `more`."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNSUPPORTED.union(more):
            raise


def _new_part(path: Path) -> tuple[int, Path]:
    """Create the temporary file that becomes `path`, locked as long as its writer lives.

    Returns:
        Its descriptor and its path.
    """
    while True:
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        # Permissions follow the user's umask from the start, because some file systems lack chmod.
        try:
            handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except OSError as error:
            error.filename = str(path)  # the name that a user knows
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
        os.close(handle)  # another process removed it before it was locked


def sweep(folder: Path, stem: str = "") -> None:
    """Remove the temporary files of killed processes, which no process has locked.

    Args:
        folder: folder to clean
        stem: beginning of the names of the files that were being written
    """
    for part in folder.glob(f".{glob.escape(stem)}*"):
        if not re.fullmatch(r"\..+\.[a-z0-9_]{8}", part.name):  # not a name of `_new_part`
            continue
        with suppress(OSError), open(part, "r+b") as file:  # NFS locks only files that are open for writing
            abandoned = time.time() - os.fstat(file.fileno()).st_mtime > DAY  # the rule if there are no locks
            with _where_supported():
                abandoned = lock_descriptor(file.fileno(), blocking=False)
            if abandoned:
                part.unlink()


def _sync_names(folder: Path) -> None:
    """Flush a folder to disk; otherwise a renamed file may have its old name again after a power failure."""
    with _where_supported(errno.EBADF, errno.EPERM, errno.EACCES):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def new_array(path: Path, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Create a memory-mapped .npy file of zeros.

    Its bytes are reserved at once, so that a full disk raises OSError here. Later, a write to a page without
    space on the disk would kill the process.
    """
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file, _where_supported():
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    return array


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, see `to_json`."""
    write_text(path, to_json(value, indent=2) + "\n")


def to_json(value: Any, **layout: Any) -> str:
    """Return a value as JSON.

    All code uses this function, because `json` writes NaN, which is not JSON. Numbers that are not finite
    become null, as does None; other values that JSON lacks become strings.

    Args:
        value: of dicts, lists, tuples, strings and numbers, including those of NumPy
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


class JsonObject(dict):
    """An object of a JSON file; if a key is missing, the file is damaged."""

    path: Path | None = None  # no argument, because dataclasses.asdict copies it like any dict

    def __missing__(self, key: str) -> NoReturn:
        raise _damaged(self.path, f"it has no {key!r}")


def _damaged(path: Path | None, why: object) -> SegnbError:
    return SegnbError(f"{path}: the file is damaged ({why}). Delete it and run 'make report'.")


def read_json(path: Path) -> JsonObject:
    """Read a JSON file that contains an object, as all JSON files of segnb do.

    Raises:
        SegnbError: the file is missing or damaged; also later, on access to a missing key.
    """

    def with_path(entries: dict) -> JsonObject:
        content = JsonObject(entries)
        content.path = path
        return content

    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_hook=with_path)
    except FileNotFoundError:
        raise SegnbError(f"{path}: the file is missing. Run 'make report' to create it.") from None
    except (ValueError, RecursionError, IsADirectoryError) as error:
        raise _damaged(path, error) from None
    if not isinstance(content, JsonObject):
        raise _damaged(path, "it contains no object")
    return content


T = TypeVar("T")
PATIENCE = 5  # seconds to wait for a lock; a process whose parent was killed ends in less
GLANCE = 0.05  # seconds; a process that only tests a lock holds it for less
LEASE = 30  # seconds for which a lock file without a refresh is valid, if the file system has no locks
DAY = 24 * 60 * 60  # seconds; no file takes so long to write


def locked(path: Path, **options: Any) -> AcquireReturnProxy:
    """Let one process at a time into the `with` block; the others wait.

    If the file system has no locks, a file next to `path` replaces them, which the holder keeps refreshing.

    Args:
        path: lock file
        options: of filelock
    """
    with full_disk_told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _where_supported():
            return FileLock(path, fallback_to_soft=False, **options).acquire()
        # Reached only if the file system has no locks.
        if options.pop("on_acquired", None):  # there is no descriptor; the last holder may just have died
            options["timeout"] += LEASE
        return SoftFileLease(f"{path}.lease", lease_duration=LEASE, **options).acquire()


def made_once(lock: Path, read: Callable[[], T | None], make: Callable[[], None]) -> T:
    """Return the result of `read`; while it is None, one process calls `make` and the others wait."""
    if (value := read()) is None:
        with locked(lock):
            if (value := read()) is None:  # otherwise, the previous holder of the lock made it
                make()
                value = read()
    return value


@contextmanager
def held(path: Path, what: str) -> Iterator[int]:
    """Let one process at a time into the block, and refuse a second one.

    Args:
        path: lock file; facts about its holder are written to a file next to it
        what: the work in progress, for the message to a second process: "training UNet_Standard_256, seed 0"

    Yields:
        The lock's file descriptor. A child process that inherits it holds the lock as well. If the file
        system has no locks, it is the descriptor of stderr, which every child has.

    Raises:
        SegnbError: another process holds the lock; the message names its pid, host and work.
    """
    descriptors: list[int] = []
    try:
        lock = locked(path, timeout=PATIENCE, on_acquired=descriptors.append)
    except Timeout:
        other = holder(path)
        who = "process {pid} on {host} is already {what}".format(**other) if other else "in use by a process"
        raise SegnbError(f"{path}: {who}. Wait for it, or stop it.") from None
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
    """Return facts about the process that holds a lock of `held`: pid, host, since (ISO time) and what.

    The result is {} while the holder writes them, and None if no process holds the lock.
    """
    if not _side(path).exists():  # checked first, because a study has thousands of free locks
        return None
    try:
        with locked(path, timeout=GLANCE, poll_interval=GLANCE / 5):
            return None
    except Timeout:
        pass
    except OSError:  # another user's folder, or a read-only disk: the lock can still be tested
        with suppress(OSError), open(path, "rb") as file:
            if lock_descriptor(file.fileno(), blocking=False):
                return None
    with suppress(OSError, ValueError):
        return dict(json.loads(_side(path).read_text(encoding="utf-8")))
    return {}


def _side(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def in_markdown(name: str) -> str:
    """Return a name, which may be that of a file or class, as Markdown that shows it unchanged."""
    name = re.sub(r"[]\\`*_[~$|@]|(?<=\\)[()]|^[-+=#]|:(?=//)|(?<=www)\.", r"\\\g<0>", name)
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", name)


def markdown_table(head: list[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table of a head and rows, whose cells are Markdown."""
    first, *others = (f"| {' | '.join(row)} |" for row in (head, *rows))
    return "\n".join([first, "|---" * len(head) + "|", *others])


def between(text: str, marks: tuple[str, str], new: str, name: str = "README.md") -> str:
    """Return a text with `new` between its two marks, or raise SegnbError if a mark is missing."""
    before, first, rest = text.partition(marks[0])
    _, last, after = rest.partition(marks[1])
    if not first or not last:
        raise SegnbError(f"{name}: no place for generated text. Add the two marks {marks[0]} and {marks[1]}.")
    return f"{before}{first}\n{new}\n{last}{after}"
