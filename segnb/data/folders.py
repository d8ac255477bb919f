"""Folders of a data set: listings, and the splits and drives that names of folders and frames stand for.

A listing raises an error for a folder that cannot be read: to skip it silently would change what networks are
trained and tested on. Consecutive frames of a drive are nearly the same, so a drive should be in one split
only.
"""

import difflib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from segnb.errors import SegnbError

DEPTH = 4  # levels of folders below PATH that are searched
SPLITS = ("train", "val", "test")
_WORDS = {
    **dict.fromkeys(("train", "training", "trainset", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "valset", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "testset", "tst"), "test"),
}
_AFTER = r"[-_ ]?(set|data|split|images|(19|20)\d\d)"  # as in train_set, or COCO's train2017
# Parts of a name that do not belong to the drive: the number of a camera, and the split.
_ASIDE = re.compile(
    rf"(?i)[-_. ]*(camera|cam|view)[-_. ]?\d+|(?<![^\W\d_])({'|'.join(_WORDS)})(?![^\W\d_])[-_. ]*"
)
NO_TEST = "There is no test folder, so segnb tests on val and validates on a part of train."
UNNAMED = "."  # the drive of consecutive frames in a folder without a name


# ---- listings ----------------------------------------------------------------------------------------


class Unlistable(SegnbError):
    """A folder that cannot be listed for another reason than permissions. `layouts.look` adds the remedy."""


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


# ---- names ------------------------------------------------------------------------------------------


class Key(NamedTuple):
    """The frame that a file belongs to.

    Args:
        split: "train", "val", "test", or "" if the layout names none
        drive: the folder of a recording; "" if there is only one
        name: the file name without suffix
    """

    split: str
    drive: str
    name: str


def split_named(folder: str) -> str | None:
    """Return the split that a name stands for, in upper or lower case; None for any other name."""
    name = folder.lower()
    return _WORDS.get(name) or _WORDS.get(re.sub(f"{_AFTER}$", "", name))


def split_meant(folder: str, typed: bool = True) -> str | None:
    """Return the split that a name may stand for, by its first word (test_2) or despite a typo (tset).

    Typos count only if `typed`.
    """
    name = folder.lower()
    word = re.split(r"[\W_\d]", name)[0]
    near = difflib.get_close_matches(name, _WORDS, 1, 0.75) if typed else []
    return _WORDS.get(word) or _WORDS.get(near[0] if near else "")


def by_split(path: Path, folders: list[tuple[Path, str]]) -> tuple[list[tuple[str, str] | None], list[str]]:
    """Return split and drive of each folder, None for a folder that is not used, and notes for a reader.

    Args:
        path: the data folder
        folders: each with the part of its path that may name split and drive

    Raises:
        SegnbError: if the names leave open what to test on, because frames that were set aside for testing
            must not be used for training.
    """
    keys: list[tuple[str, str]] = []
    for _, place in folders:
        parts = place.split("/")
        at = next((i for i, part in enumerate(parts) if split_named(part)), None)
        drive = "/".join(part for i, part in enumerate(parts) if i != at)
        keys.append(("" if at is None else split_named(parts[at]), drive))
    splits = {split for split, _ in keys} - {""}
    others = [folder for folder, (split, _) in zip(folders, keys, strict=True) if not split]
    similar = {
        folder: split
        for folder, place in others
        for part in place.split("/")
        if (split := split_meant(part, typed=bool(splits)))
    }
    if similar and len(splits | {*similar.values()}) > 1:
        folder, split = next(iter(similar.items()))
        raise SegnbError(
            f"{folder}: unclear whether this is the split {split} (expected the names train, val and test)."
            " Rename the folder, or move it out of the data folder."
        )
    if not splits:
        return keys, []
    if len(splits) == 1 and not others:
        note = f"All frames are in a folder for {splits.pop()}, so segnb chooses the test frames."
        return [("", drive) for _, drive in keys], [note]
    if "train" not in splits or len(splits) == 1:
        missing = "train" if "train" not in splits else "val or test"
        raise SegnbError(
            f"{path}: a folder for {' and '.join(sorted(splits))}, but not for {missing} (expected a split"
            " for all frames, or for none). Rename the folders."
        )
    # Without the path, which should not appear in a published report.
    unused = [folder.relative_to(path).as_posix() for folder, _ in others]
    notes = [
        f"The folder {folder} is not used, because it is not in train, val or test." for folder in unused
    ]
    if "test" not in splits:
        notes.append(NO_TEST)
        keys = [(split.replace("val", "test"), drive) for split, drive in keys]
    return [key if key[0] else None for key in keys], notes


def drives(keys: Iterable[Key], timed: bool = False) -> dict[Key, str]:
    """Return the drive of each frame: its folder, the beginning of its name, or "" if neither names one.

    The beginning counts if folders contain slices of the same drives, as the five of Lyft-Udacity do. The
    folder counts if each folder starts numbering again.

    Args:
        keys: the frames
        timed: whether the frames of a folder follow each other even if no name says so
    """
    keys = list(keys)
    beginnings = dict(zip(keys, _beginnings([key.name for key in keys]), strict=True))
    folders = defaultdict(set)
    for key, beginning in beginnings.items():
        folders[beginning].add(key.drive)
    count_on = len({key.name for key in keys}) > 0.75 * len(keys)
    sliced = count_on and any(len(slices) > 1 for slices in folders.values())
    by_name = len(folders) > 1 and (sliced or len({key.drive for key in keys}) == 1)
    return {key: (beginnings[key] if by_name else key.drive) or UNNAMED * timed for key in keys}


def _beginnings(names: list[str]) -> list[str]:
    """Return the part of each name before its frame number: F1 of F1-12, aachen of aachen_4_19.

    The frame number is the last number of a name. It is an earlier one if most names would otherwise be
    alone in their drive: Cityscapes numbers short takes within a town, and labels one frame of each. If most
    names have a pattern of their own, as check sums do, every beginning is "".
    """
    parts = [re.split(r"(\d+)", _ASIDE.sub("", name)) for name in names]  # text, number, text, …
    patterns = [tuple(part[::2]) for part in parts]
    if 2 * len({*patterns}) > len(names):
        return [""] * len(names)
    ends = [len(part) - 2 for part in parts]  # index of the frame number; -1: there is no number
    changed = True
    while changed:
        changed = False
        takes = defaultdict(list)
        for i, (part, end) in enumerate(zip(parts, ends, strict=True)):
            if end > 1:
                takes[patterns[i], end, tuple(part[: end - 2])].append(i)
        for members in takes.values():
            if 2 * len({tuple(parts[i][: ends[i]]) for i in members}) > len(members):
                changed = True
                for i in members:
                    ends[i] -= 2
    return ["".join(part[: max(end, 0)]).rstrip(" _-.") for part, end in zip(parts, ends, strict=True)]
