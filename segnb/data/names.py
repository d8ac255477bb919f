"""What the names of folders and frames say: which split they are of, and which drive.

Frames of one drive that follow each other show nearly the same, so a drive must not lie on two sides.
"""

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from segnb.errors import SegnbError

SPLITS = ("train", "val", "test")
_WORDS = {
    **dict.fromkeys(("train", "training", "trainset", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "valset", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "testset", "tst"), "test"),
}
_AFTER = r"[-_ ]?(set|data|split|images|(19|20)\d\d)"  # as in train_set, or COCO's train2017
# Says nothing of a drive: one of several cameras on a car, and the split.
_ASIDE = re.compile(
    rf"(?i)[-_. ]*(camera|cam|view)[-_. ]?\d+|(?<![^\W\d_])({'|'.join(_WORDS)})(?![^\W\d_])[-_. ]*"
)
UNNAMED = "."  # the drive of frames that follow each other in a folder without a name of its own


class Key(NamedTuple):
    """Which frame a file belongs to. split: "train", "val", "test", or "" where the layout names none;
    drive: the folder of one recording, "" where there is but one; name: file name without suffix."""

    split: str
    drive: str
    name: str


def split_named(folder: str) -> str | None:
    """The split that people call so, in capitals or not; None for any other name."""
    name = folder.lower()
    return _WORDS.get(name) or _WORDS.get(re.sub(f"{_AFTER}$", "", name))


def split_meant(folder: str, typed: bool = True) -> str | None:
    """The split that a name nearly is: of its first word (test_2) or, where `typed`, mistyped (tset)."""
    name = folder.lower()
    word = re.split(r"[\W_\d]", name)[0]
    near = difflib.get_close_matches(name, _WORDS, 1, 0.75) if typed else []
    return _WORDS.get(word) or _WORDS.get(near[0] if near else "")


def by_split(path: Path, folders: list[tuple[Path, str]]) -> tuple[list[tuple[str, str] | None], list[str]]:
    """The split and drive that names of folders say, None for those left out; and what was decided here.

    folders: each one, and the part of its path that may name both

    Raises SegnbError where names leave open what is tested on: frames that somebody set aside for testing
    must not be trained on.
    """
    found: list[tuple[str, str]] = []
    for _, place in folders:
        parts = place.split("/")
        at = next((i for i, part in enumerate(parts) if split_named(part)), None)
        rest = "/".join(part for i, part in enumerate(parts) if i != at)
        found.append(("" if at is None else split_named(parts[at]), rest))
    given = {split for split, _ in found} - {""}
    others = [folder for folder, (split, _) in zip(folders, found, strict=True) if not split]
    meant = {
        folder: split
        for folder, place in others
        for part in place.split("/")
        if (split := split_meant(part, typed=bool(given)))
    }
    if meant and len(given | {*meant.values()}) > 1:
        folder, split = next(iter(meant.items()))
        raise SegnbError(
            f"{folder}: may be meant for {split}; call folders of a split train, val and test, and move"
            " others elsewhere"
        )
    if not given:
        return found, []
    if len(given) == 1 and not others:
        told = f"All frames are in a folder for {given.pop()}, so which are tested on is decided here."
        return [("", drive) for _, drive in found], [told]
    if "train" not in given or len(given) == 1:
        lacks = "none for train" if "train" not in given else "none for val or test"
        raise SegnbError(
            f"{path}: has a folder for {' and '.join(sorted(given))}, but {lacks}; name all folders by their"
            " split, or none"
        )
    # Without the path, which would get into a published report.
    left = [folder.relative_to(path).as_posix() for folder, _ in others]
    notes = [f"{folder} is left out: it is in none of train, val and test." for folder in left]
    if "test" not in given:
        notes.append("There is no test folder, so val is tested on, and a part of train validates.")
        found = [(split.replace("val", "test"), drive) for split, drive in found]
    return [side if side[0] else None for side in found], notes


def drives(keys: Iterable[Key], timed: bool = False) -> dict[Key, str]:
    """The drive of each frame: its folder, or what its name begins with; "" where nothing says.

    Where folders hold slices of the same drives, as the five of Lyft-Udacity do, names count. Where every
    folder begins to number anew, folders count.

    timed: whether frames of a folder follow each other anyway
    """
    keys = list(keys)
    begun = dict(zip(keys, _beginnings([key.name for key in keys]), strict=True))
    folders = defaultdict(set)
    for key, beginning in begun.items():
        folders[beginning].add(key.drive)
    sliced = any(len(some) > 1 for some in folders.values()) and (
        len({key.name for key in keys}) > 0.75 * len(keys)
    )
    if len(folders) > 1 and (sliced or len({key.drive for key in keys}) == 1):
        return {key: begun[key] or UNNAMED * timed for key in keys}
    return {key: key.drive or UNNAMED * timed for key in keys}


def _beginnings(names: list[str]) -> list[str]:
    """What stands before the number that counts the frames of a drive: F1 of F1-12, aachen of aachen_4_19.

    That is the last number of a name, or one further in front where most names would stand alone: Cityscapes
    numbers short takes within a town, of which one frame each is labelled. Names that are made alike by no
    two, such as check sums, say nothing.
    """
    parts = [re.split(r"(\d+)", _ASIDE.sub("", name)) for name in names]  # text, number, text, …
    alike = [tuple(part[::2]) for part in parts]
    if 2 * len({*alike}) > len(names):
        return [""] * len(names)
    ends = [len(part) - 2 for part in parts]  # the place of that number; -1: there is none
    changed = True
    while changed:
        changed = False
        takes = defaultdict(list)
        for i, (part, end) in enumerate(zip(parts, ends, strict=True)):
            if end > 1:
                takes[alike[i], end, tuple(part[: end - 2])].append(i)
        for some in takes.values():
            if 2 * len({tuple(parts[i][: ends[i]]) for i in some}) > len(some):
                changed = True
                for i in some:
                    ends[i] -= 2
    return ["".join(part[: max(end, 0)]).rstrip(" _-.") for part, end in zip(parts, ends, strict=True)]
