"""Where the project's folders are, and writing a file so that it is whole or not there."""

import ast
import errno
import fcntl
import glob
import hashlib
import json
import os
import platform
import re
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, TypeVar

from segnb.errors import SegnbError

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")
FULL = {errno.ENOSPC, errno.EDQUOT}
UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)  # of a damaged .npy or .npz file
PATIENCE = 5  # seconds that a lock is waited for: as long as a process whose parent was killed takes to end


def root() -> Path:
    """The project folder: $SEGNB_ROOT, else the checkout that this module lies in.

    Never the working directory: a notebook may be started from anywhere.
    """
    folder = Path(os.environ.get("SEGNB_ROOT") or Path(__file__).parents[1]).resolve()
    if not (folder / "notebooks").is_dir():
        raise SegnbError(
            f"no notebooks/ in {folder}; install segnb with 'pip install -e .' from its checkout,"
            " or set SEGNB_ROOT to the checkout"
        )
    return folder


def share_code(source: Path, folder: Path) -> None:
    """Make `folder` a project that works with another's code, and has runs, cache and report of its own."""
    for name in ("notebooks", "segnb", "profiles", "Snakefile"):
        (folder / name).symlink_to(source / name)


def iso_now() -> str:
    """Local time with its offset from UTC, as ISO 8601 has it: "2026-01-31T23:59:59+0100"."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a file for binary writing that takes its name only once it is complete and on disk.

    An exception, or a kill at any moment, leaves what was at `path` before untouched.
    """
    with atomic_path(path) as part, open(part, "wb") as file:
        yield file


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """The same for who opens files by name: a file to write, which becomes `path` at the end.

    Raises SegnbError if the disk is full.
    """
    with full_disk_told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, f"{path.name}.")
        handle, name = _new_part(path)
        try:
            yield Path(name)
            os.fsync(handle)  # of the file, whoever wrote it
            os.fchmod(handle, 0o644)  # mkstemp is private; a shared folder of runs must stay readable
            os.replace(name, path)
            _sync_names(path.parent)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)


@contextmanager
def full_disk_told(path: Path) -> Iterator[None]:
    """SegnbError instead of the system's words if the disk has no room for `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise SegnbError(
            f"{path} cannot be written, the disk is full; free some of it, and the same command goes on"
        ) from None


def _new_part(path: Path) -> tuple[int, str]:
    """A file in the making beside `path`: its handle and name. It is locked as long as its writer lives."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, name
        os.close(handle)  # another process took it for left behind before it was locked


def sweep(folder: Path, stem: str = "") -> None:
    """Remove what killed processes left of files whose names begin with `stem`: what nobody has locked."""
    for part in folder.glob(f".{glob.escape(stem)}*"):
        if not re.fullmatch(r"\..+\.[a-z0-9_]{8}", part.name):  # as `_new_part` calls them
            continue
        with suppress(OSError), open(part) as file:
            if _taken(file, fcntl.LOCK_EX):
                part.unlink()


def _sync_names(folder: Path) -> None:
    """Without it a renamed file may have its old name again after a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def new_array(path: Path, shape: tuple[int, ...], dtype: type) -> "np.ndarray":
    """A memory-mapped .npy file of zeros to fill.

    Its bytes are reserved at once: on a full disk this raises OSError, where a write to memory that has no
    place on the disk ends the process.
    """
    import numpy as np

    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    return array


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time between the two ends, the others wait; the lock goes with its process."""
    with full_disk_told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path, "w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def made_once(lock: Path, read: Callable[[], T | None], make: Callable[[], None]) -> T:
    """What `read` finds; while that is None, one process makes it and the others wait for it."""
    found = read()
    if found is None:
        with locked(lock):
            found = read()  # by who had the lock before
            if found is None:
                make()
                found = read()
    return found


@contextmanager
def held(path: Path, what: str) -> Iterator[TextIO]:
    """The same, but who comes second is refused: SegnbError says which process is at work on what.

    what: told to the second, such as "training UNet_Standard_256, seed 0"

    Gives the lock's file; a child that inherits it holds the lock too.
    """
    with full_disk_told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path, "a+")
    with lock:
        until = time.monotonic() + PATIENCE
        while not _taken(lock, fcntl.LOCK_EX):
            if time.monotonic() > until:
                other = holder(path)
                who = "process {pid} on {host} is {what}".format(**other) if other else "another is at work"
                raise SegnbError(f"{who} already ({path}); wait for it or stop it")
            time.sleep(0.1)
        told = {"pid": os.getpid(), "host": platform.node(), "since": iso_now(), "what": what}
        with full_disk_told(path):
            lock.truncate(0)
            lock.write(json.dumps(told))
            lock.flush()
        yield lock


def holder(path: Path) -> dict | None:
    """Who has it from `held`: pid, host, since (ISO time), what. None: nobody."""
    try:
        with open(path) as lock:
            if _taken(lock, fcntl.LOCK_SH):
                return None
            try:
                return dict(json.loads(lock.read()))
            except ValueError:  # taken this moment, and nothing told yet
                return {}
    except FileNotFoundError:
        return None


def _taken(lock, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_text(path: Path, text: str) -> None:
    with atomic(path) as file:
        file.write(text.encode())


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


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Raises SegnbError that names a missing or damaged file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise SegnbError(f"{path} is missing; run 'make report' to make it") from None
    except json.JSONDecodeError as error:
        raise SegnbError(f"{path} is damaged ({error}); delete it and run 'make report' again") from None


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Sums:
    """SHA-256 of files, remembered in a JSON file by name, size and time of change, because a data set of
    gigabytes is asked for at the start of every run.

    path: where they are kept; None remembers nothing
    """

    def __init__(self, path: Path | None = None):
        self.path, self.new = path, False
        self.known: dict[str, list] = {}
        if path is not None and path.exists():
            with suppress(OSError, ValueError, TypeError):  # nothing that could not be summed up anew
                self.known = dict(json.loads(path.read_text()))

    def of(self, file: Path) -> str:
        """Hexadecimal SHA-256. Raises SegnbError where the file cannot be read."""
        try:
            state = file.stat()
            key = [state.st_size, state.st_mtime_ns]
            name = os.fsencode(file.absolute()).decode("utf-8", "backslashreplace")
            entry = self.known.get(name)
            if isinstance(entry, list) and entry[:2] == key:
                return entry[2]
            found = sha256(file)
        except OSError as error:
            raise SegnbError(
                f"{file}: cannot be read ({error.strerror}); mend it or remove the pair"
            ) from None
        self.known[name], self.new = [*key, found], True
        return found

    def keep(self) -> None:
        if self.path is not None and self.new:
            write_text(self.path, json.dumps(self.known))


def fingerprint(sources: list[str], versions: list[str]) -> str:
    """16 hex digits of SHA-256 over Python sources, less comments and docstrings, and over `versions`."""
    documented = ast.Module | ast.FunctionDef | ast.ClassDef
    digest = hashlib.sha256()
    for source in sources:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, documented) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        digest.update(ast.unparse(tree).encode() + b"\0")
    for version in versions:
        digest.update(version.encode() + b"\0")
    return digest.hexdigest()[:16]
