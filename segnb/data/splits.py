"""Which frames are trained on, which choose the best epoch, and which are tested on.

A split that comes with the data stays. Otherwise a fifth is for testing, and a fifth of the rest, or of what
the data call train, for validation: whole drives (`Listing.drives`) where there are at least three, the end
of each where there are fewer (frames that follow each other show nearly the same, and must not lie on both
sides), and frames by name where nothing says that they follow each other.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from segnb.data.layouts import Listing
from segnb.data.names import SPLITS, UNNAMED, Key
from segnb.errors import SegnbError

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.2  # of what is not tested on, as in the study


class Pair(NamedTuple):
    """One image and its label map; `name` is the drive, a slash and the file name without suffix."""

    name: str
    image: Path
    label: Path


def pair(listing: Listing, key: Key) -> Pair:
    name = "/".join(filter(None, (listing.drives[key], key.name)))
    return Pair(name, listing.images[key], listing.labels[key])


def split(listing: Listing, seed: int = 0, by: str | None = None) -> dict[str, list[Pair]]:
    """The pairs of a listing by split: "train", "val" and "test", each sorted by name.

    by: "drives", "blocks" (of time) or "names", for frames that come without a split; None: what fits the
        frames, see above

    Frames without partner are left out. What comes out depends on names and seed alone; by name, a frame
    that is added later moves hardly any other from one side to the other.

    Raises SegnbError where a split would be empty.
    """
    keys = listing.pairs
    train, val, test = ([key for key in keys if key.split == name] for name in SPLITS)
    if loose := [key for key in keys if not key.split]:
        way = by or usual(listing, loose)
        train, test = WAYS[way](loose, TEST_SHARE, seed, listing.drives, 2)
    else:
        way = usual(listing, train)
    if not val:
        train, val = WAYS[way](train, VALIDATION_SHARE, seed, listing.drives, 1)
    parts = dict(zip(SPLITS, (train, val, test), strict=True))
    if empty := next((name for name, part in parts.items() if not part), None):
        pairs = "1 pair leaves" if len(keys) == 1 else f"{len(keys)} pairs leave"
        raise SegnbError(f"{listing.path}: {pairs} none for the split {empty!r}; add images, or drives")
    return {
        name: sorted((pair(listing, key) for key in part), key=lambda one: one.name)
        for name, part in parts.items()
    }


def usual(listing: Listing, keys: list[Key]) -> str:
    """How these frames are split where nobody says: "drives", "blocks" or "names"."""
    drives = {listing.drives[key] for key in keys}
    return "drives" if len(drives) > 2 else "blocks" if any(drives) else "names"


def on_two_sides(pairs_by_split: dict[str, list[Pair]], given: set[str]) -> list[str]:
    """A sentence where a drive is trained on and tested on, or validates, as far as names tell; or none.

    given: the splits that come with the data
    """
    frames = {split: _by_drive(pairs) for split, pairs in pairs_by_split.items()}
    for split, before in (("test", ("train", "val")), ("val", ("train",))):
        shared = set()
        for drive, some in frames.get(split, {}).items():
            others = set().union(*(frames.get(name, {}).get(drive, ()) for name in before))
            # The same numbers again are another recording, in a folder of the same name.
            if others and len(some & others) <= min(len(some), len(others)) / 2:
                shared.add(drive)
        if shared:
            count = sum(len(frames[split][drive]) for drive in shared)
            names = ", ".join(sorted(shared - {UNNAMED})[:3]) + ", …" * (len(shared) > 3)
            why = (
                "as the data's own split has it ('segnb data prepare --by drives' makes another)"
                if split in given
                else "because there are too few to be kept apart"
            )
            return [
                f"Drives on two sides, going by names: {count} of {len(pairs_by_split[split])} in {split}"
                f" are frames of a drive that is also trained on{f' ({names})' if names else ''}, {why}."
                " Scores do not tell how the networks do on other drives."
            ]
    return []


def _by_drive(pairs: list[Pair]) -> dict[str, set[str]]:
    frames: dict[str, set[str]] = {}
    for one in pairs:
        drive, _, name = one.name.rpartition("/")
        if drive:
            frames.setdefault(drive, set()).add(name)
    return frames


def _hashed(text: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{text}".encode("utf-8", "surrogateescape")).digest()


def _by_name(keys: list[Key], share: float, seed: int, *_) -> tuple[list[Key], list[Key]]:
    """The rest, and a share of the keys, at least one of two: those whose names hash lowest."""
    if len(keys) < 2:
        return keys, []
    # A folder's own name is in the key; where there is none, it is the file's name alone.
    ranked = sorted(keys, key=lambda key: _hashed("/".join(filter(None, (key.drive, key.name))), seed))
    chosen = set(ranked[: max(1, round(share * len(keys)))])
    return [key for key in keys if key not in chosen], [key for key in keys if key in chosen]


def _whole(
    keys: list[Key], share: float, seed: int, drives: dict[Key, str], left: int
) -> tuple[list[Key], list[Key]]:
    """Whole drives, drawn by their names, until there is that share of the frames. left: drives to remain."""
    frames: dict[str, list[Key]] = {}
    for key in keys:
        frames.setdefault(drives[key], []).append(key)
    wanted, taken = share * len(keys), []
    # One that is much too large comes last: it would leave little to train on.
    order = sorted(frames, key=lambda drive: (len(frames[drive]) > 1.5 * wanted, _hashed(drive, seed)))
    while len(order) > left:
        # One drive more only if that comes nearer to the share.
        if taken and len(taken) + len(frames[order[0]]) / 2 > wanted:
            break
        taken += frames[order.pop(0)]
    return [key for drive in order for key in frames[drive]], taken


def _blocks(
    keys: list[Key], share: float, seed: int, drives: dict[Key, str], left: int
) -> tuple[list[Key], list[Key]]:
    """The end of each drive, in the order of its numbers."""
    rest, ends = [], []
    for drive in sorted({drives[key] for key in keys}):
        frames = sorted((key for key in keys if drives[key] == drive), key=lambda key: _in_time(key.name))
        start = len(frames) - max(1, round(share * len(frames)))
        rest += frames[:start]
        ends += frames[start:]
    return rest, ends


def _in_time(name: str) -> list:
    """Sorts 9 before 10."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name))]


# Each gives the rest, and the share that is set aside.
WAYS: dict[str, Callable[..., tuple[list[Key], list[Key]]]] = {
    "drives": _whole,
    "blocks": _blocks,
    "names": _by_name,
}
