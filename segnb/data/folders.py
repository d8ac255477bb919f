"""List folders of a data set; what must not be read is refused, because it must not be missed."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from segnb.errors import SegnbError


class Unlistable(SegnbError):
    """A folder that cannot be listed, for another reason than permissions."""


DEPTH = 4  # folders below PATH that are looked into


def list_folder(folder: Path, wanted: Callable[[os.DirEntry], bool] = bool) -> list[Path]:
    """What is wanted of a folder, sorted, without hidden files. Raises SegnbError where it cannot be listed:
    what must not be read must not be missed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(folder / e.name for e in entries if not e.name.startswith(".") and wanted(e))
    except PermissionError:
        raise SegnbError(f"{folder}: no permission to list it; allow it with chmod u+rx") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte
        raise Unlistable(f"{folder}: cannot be listed ({getattr(error, 'strerror', error)})") from None


def files_of(folder: Path, formats: dict) -> list[Path]:
    """Whatever has a suffix of `formats`, also what is no file: who opens it will say so."""
    suffixes = [suffix for of_format in formats.values() for suffix in of_format]
    return list_folder(folder, lambda one: os.path.splitext(one.name)[1].lower() in suffixes)


def folders_of(folder: Path) -> list[Path]:
    """Those in a folder, but for what macOS adds to an archive and Linux to a disk."""
    return list_folder(folder, lambda one: one.name not in ("__MACOSX", "lost+found") and is_folder(one))


def is_folder(entry: os.DirEntry) -> bool:
    """Raises SegnbError for a link that leads nowhere and, having no suffix, may have been to a folder."""
    if not entry.is_symlink():
        return entry.is_dir()
    if not os.path.exists(entry.path) and not os.path.splitext(entry.name)[1]:
        raise SegnbError(f"{entry.path}: is a link that leads nowhere; mend or remove it")
    return os.path.isdir(entry.path)


def folders_below(path: Path, depth: int = DEPTH) -> Iterator[Path]:
    """The folder and those in it, down to `depth`, the nearest first; each once, whatever links lead there:
    the same frames must not be counted twice, once for training and once for testing."""
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
    return "" if folder == path else folder.relative_to(path).as_posix()
