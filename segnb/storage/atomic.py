"""Write files so that they are complete or not there, and read them back."""

import glob
import json
import os
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import lock_descriptor

from segnb.errors import SegnbError, full_disk_told

UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)  # of a damaged .npy or .npz file


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


def _new_part(path: Path) -> tuple[int, str]:
    """Create the file next to `path` that is written first, locked as long as its writer lives.

    Returns:
        Its descriptor and its name.
    """
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        lock_descriptor(handle)
        if os.fstat(handle).st_nlink:
            return handle, name
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
        with suppress(OSError), open(part) as file:
            if lock_descriptor(file.fileno(), blocking=False):
                part.unlink()


def _sync_names(folder: Path) -> None:
    """Without it a renamed file may have its old name again after a power cut."""
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
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    return array


def write_text(path: Path, text: str) -> None:
    """Write a text file, complete or not at all."""
    with atomic(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, complete or not at all; values that JSON does not know become strings."""
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises SegnbError that names a missing or damaged one."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise SegnbError(f"{path} is missing; run 'make report' to make it") from None
    except json.JSONDecodeError as error:
        raise SegnbError(f"{path} is damaged ({error}); delete it and run 'make report' again") from None
