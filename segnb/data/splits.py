"""Which frames are trained on, which choose the best epoch, and which are tested on.

A split that comes with the data stays. Otherwise a fifth is for testing, and a fifth of the rest for
validation: whole drives where there are at least three, the end of each drive where there are fewer (frames
that follow each other show nearly the same, and must not lie on both sides), and frames by name where nothing
says that they follow each other.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from segnb.data.layouts import SPLITS, Key, Listing
from segnb.errors import SegnbError

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.2  # of what is not tested on, as in the study


class Pair(NamedTuple):
    """One image and its label map; `name` is the drive and the file name without suffix."""

    name: str
    image: Path
    label: Path


def pair(listing: Listing, key: Key) -> Pair:
    name = f"{key.drive}/{key.name}" if key.drive else key.name
    return Pair(name, listing.images[key], listing.labels[key])


def split(listing: Listing, seed: int = 0, by: str | None = None) -> dict[str, list[Pair]]:
    """The pairs of a listing by split: "train", "val" and "test", each sorted by name.

    by: "drives", "blocks" (of time) or "names", for frames that come without a split; None: what fits the
        layout, see above

    Frames without partner are left out. What comes out depends on names and seed alone; by name, a frame
    that is added later moves hardly any other from one side to the other.

    Raises SegnbError where a split would be empty.
    """
    keys = sorted(listing.images.keys() & listing.labels.keys())
    given = {name: [key for key in keys if key.split == name] for name in SPLITS}
    loose = [key for key in keys if not key.split]
    if loose:
        parts = WAYS[by or usual(listing)](loose, seed)
    elif given["val"]:
        parts = [given["train"], given["val"], given["test"]]
    else:
        train, val = _by_name(given["train"], VALIDATION_SHARE, seed)
        parts = [train, val, given["test"]]
    for name, part in zip(SPLITS, parts, strict=True):
        if not part:
            raise SegnbError(
                f"{listing.path}: {len(keys)} pairs leave none for the split {name!r}; add images, or drives"
            )
    named = [sorted((pair(listing, key) for key in part), key=lambda one: one.name) for part in parts]
    return dict(zip(SPLITS, named, strict=True))


def usual(listing: Listing) -> str:
    """How the frames of a listing are split where nobody says: "drives", "blocks" or "names"."""
    if len({key.drive for key in listing.images.keys() & listing.labels.keys()}) >= 3:
        return "drives"
    return "blocks" if listing.layout.timed else "names"


def _hashed(text: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{text}".encode("utf-8", "surrogateescape")).digest()


def _by_name(keys: list[Key], share: float, seed: int) -> tuple[list[Key], list[Key]]:
    """The rest, and a share of the keys, at least one of two: those whose names hash lowest."""
    if len(keys) < 2:
        return keys, []
    # A drive's own name is in the key; where there is none, it is the file's name alone.
    ranked = sorted(keys, key=lambda key: _hashed("/".join(filter(None, (key.drive, key.name))), seed))
    chosen = set(ranked[: max(1, round(share * len(keys)))])
    return [key for key in keys if key not in chosen], [key for key in keys if key in chosen]


def _names(keys: list[Key], seed: int) -> list[list[Key]]:
    rest, test = _by_name(keys, TEST_SHARE, seed)
    train, val = _by_name(rest, VALIDATION_SHARE, seed)
    return [train, val, test]


def _drives(keys: list[Key], seed: int) -> list[list[Key]]:
    """Whole drives, drawn by their names, until each side has its share of the frames."""
    drives = sorted({key.drive for key in keys}, key=lambda drive: _hashed(drive, seed))
    if len(drives) < 3:
        return [keys, [], []]
    frames = {drive: [key for key in keys if key.drive == drive] for drive in drives}
    wanted = {"test": TEST_SHARE * len(keys), "val": VALIDATION_SHARE * (1 - TEST_SHARE) * len(keys)}
    taken: dict[str, list[Key]] = {"test": [], "val": []}
    for name, others in (("test", 2), ("val", 1)):  # drives that have to be left for the splits after it
        while len(drives) > others:
            # One drive more only if that comes nearer to the share.
            if taken[name] and len(taken[name]) + len(frames[drives[0]]) / 2 > wanted[name]:
                break
            taken[name] += frames[drives.pop(0)]
    return [[key for drive in drives for key in frames[drive]], taken["val"], taken["test"]]


def _blocks(keys: list[Key], seed: int) -> list[list[Key]]:
    """Of each drive, in the order of its numbers: first training, then validation, at the end testing."""
    parts: list[list[Key]] = [[], [], []]
    for drive in sorted({key.drive for key in keys}):
        frames = sorted((key for key in keys if key.drive == drive), key=lambda key: _in_time(key.name))
        test = max(1, round(TEST_SHARE * len(frames)))
        val = max(1, round(VALIDATION_SHARE * (len(frames) - test)))
        train = max(0, len(frames) - test - val)
        parts[0] += frames[:train]
        parts[1] += frames[train : train + val]
        parts[2] += frames[train + val :]
    return parts


def _in_time(name: str) -> list:
    """Sorts 9 before 10."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name))]


WAYS: dict[str, Callable[[list[Key], int], list[list[Key]]]] = {
    "drives": _drives,
    "blocks": _blocks,
    "names": _names,
}
