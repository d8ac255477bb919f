"""Folder listings of a data set, which raise an error for a folder that cannot be read.

A folder that is silently skipped would change what networks are trained and tested on.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from segnb.errors import SegnbError


class Unlistable(SegnbError):
    """A folder that cannot be listed for another reason than permissions. `layouts.look` adds the remedy."""


DEPTH = 4  # levels of folders below PATH that are searched


def list_folder(folder: Path, wanted: Callable[[os.DirEntry], bool] = bool) -> list[Path]:
    """Return the wanted entries of a folder, sorted, without hidden ones.

    Raises:
        SegnbError: if permissions forbid listing the folder.
        Unlistable: if it cannot be listed for another reason.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(folder / e.name for e in entries if not e.name.startswith(".") and wanted(e))
    except PermissionError:
        raise SegnbError(
            f"{folder}: permission denied (expected a folder that can be listed). Run 'chmod u+rx' on it."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a null byte
        raise Unlistable(f"{folder}: cannot be listed ({getattr(error, 'strerror', error)})") from None


def files_of(folder: Path, formats: dict) -> list[Path]:
    """Return the entries that have a suffix of `formats`, sorted.

    An entry that is no file is returned too; reading it raises the error.
    """
    suffixes = [suffix for of_format in formats.values() for suffix in of_format]
    return list_folder(folder, lambda entry: os.path.splitext(entry.name)[1].lower() in suffixes)


def folders_of(folder: Path) -> list[Path]:
    """Return the folders in a folder, without the system folders of macOS archives and Linux disks."""
    system = ("__MACOSX", "lost+found")
    return list_folder(folder, lambda entry: entry.name not in system and is_folder(entry))


def is_folder(entry: os.DirEntry) -> bool:
    """Return whether an entry is a folder, or a link to one.

    Raises:
        SegnbError: for a broken link without a suffix, which may have pointed to a folder.
    """
    if not entry.is_symlink():
        return entry.is_dir()
    if not os.path.exists(entry.path) and not os.path.splitext(entry.name)[1]:
        raise SegnbError(f"{entry.path}: broken link (expected a folder or file). Fix or remove it.")
    return os.path.isdir(entry.path)


def folders_below(path: Path, depth: int = DEPTH) -> Iterator[Path]:
    """Yield the folder and the folders below it, down to `depth`, the nearest first.

    Each folder comes once, even if several links point to it: the same frames must not be used for training
    and for testing.
    """
    level, seen = [path], set()
    for left in range(depth, -1, -1):
        deeper = []
        for folder in level:
            if (place := os.path.realpath(folder)) not in seen:
                seen.add(place)
                yield folder
                deeper += folders_of(folder) if left else []
        level = deeper


def relative_to(folder: Path, path: Path) -> str:
    """Return the path of `folder` below `path` with slashes; "" for `path` itself."""
    return "" if folder == path else folder.relative_to(path).as_posix()
