"""Splits: the frames for training, for validation (the choice of the best epoch) and for testing.

A split that comes with the data stays. Otherwise one fifth of the frames is for testing and one fifth of the
rest for validation. Without a validation split, one fifth of the given training frames validates.

Consecutive frames are nearly the same and should not be in two splits. With at least three drives
(`Listing.drives`), whole drives are set aside; with one or two, the end of each drive; without drives, frames
chosen by name.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from segnb.data.folders import SPLITS, UNNAMED, Key
from segnb.data.layouts import Listing
from segnb.errors import SegnbError
from segnb.stats.bootstrap import drive_of, in_time

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.2  # of the frames that are not for testing, as in the study


class Pair(NamedTuple):
    """An image and its mask; `name` is the drive, a slash and the file name without suffix."""

    name: str
    image: Path
    label: Path


def pair(listing: Listing, key: Key) -> Pair:
    """Return the files of a frame."""
    name = "/".join(filter(None, (listing.drives[key], key.name)))
    return Pair(name, listing.images[key], listing.labels[key])


def split(listing: Listing, seed: int = 0, by: str | None = None) -> dict[str, list[Pair]]:
    """Return the pairs of a listing by split: "train", "val" and "test", each sorted by name.

    Files without partner are skipped. The result depends only on names and seed. If frames are chosen by
    name, adding a frame moves hardly any other to another split.

    Args:
        listing: the frames
        seed: of the choice
        by: "drives", "blocks" (of time) or "names", for frames without a split; None: as described above

    Raises:
        SegnbError: if a split would be empty.
    """

    def set_aside(keys: list[Key], share: float, way: str, left: int) -> tuple[list[Key], list[Key]]:
        chosen = WAYS[way](keys, share, seed, listing.drives, left)
        return [key for key in keys if key not in chosen], [key for key in keys if key in chosen]

    keys = listing.pairs
    train, val, test = ([key for key in keys if key.split == name] for name in SPLITS)
    if unsplit := [key for key in keys if not key.split]:
        way = by or usual(listing, unsplit)
        train, test = set_aside(unsplit, TEST_SHARE, way, 2)
    else:
        way = usual(listing, train)
    if not val:
        train, val = set_aside(train, VALIDATION_SHARE, way, 1)
    parts = dict(zip(SPLITS, (train, val, test), strict=True))
    if empty := next((name for name, part in parts.items() if not part), None):
        pairs = "1 pair leaves" if len(keys) == 1 else f"{len(keys)} pairs leave"
        raise SegnbError(
            f"{listing.path}: {pairs} the split {empty!r} empty (expected one pair per split or more). Add"
            " images, or drives."
        )
    return {
        name: sorted((pair(listing, key) for key in part), key=lambda pair: pair.name)
        for name, part in parts.items()
    }


def usual(listing: Listing, keys: list[Key]) -> str:
    """Return how to split these frames: by "drives", "blocks" or "names"."""
    drives = {listing.drives[key] for key in keys}
    return "drives" if len(drives) > 2 else "blocks" if any(drives) else "names"


def on_two_sides(pairs_by_split: dict[str, list[Pair]], own: set[str]) -> list[str]:
    """Return at most one sentence, about drives that are in two splits, judging by names.

    Args:
        pairs_by_split: the pairs
        own: the splits that come with the data, "" for frames without a split
    """
    frames = {split: _by_drive(pairs) for split, pairs in pairs_by_split.items()}
    for split, before in (("test", ("train", "val")), ("val", ("train",))):
        shared = set()
        for drive, numbers in frames.get(split, {}).items():
            others = set().union(*(frames.get(name, {}).get(drive, ()) for name in before))
            # Equal numbers in two splits mean two recordings in folders of the same name.
            if others and len(numbers & others) <= min(len(numbers), len(others)) / 2:
                shared.add(drive)
        if shared:
            count = sum(len(frames[split][drive]) for drive in shared)
            names = ", ".join(sorted(shared - {UNNAMED})[:3]) + ", …" * (len(shared) > 3)
            why = "There are too few drives to separate them."
            if len({drive_of(pair.name) for part in pairs_by_split.values() for pair in part}) > 2:
                if split in own:
                    why = "The data come with this split; 'segnb data prepare --by drives' makes another."
                elif not own - {""}:  # a user's --by made it
                    why = "'segnb data prepare --by drives' separates them."
            return [
                f"Judging by names, {count} of {len(pairs_by_split[split])} frames in {split} are from drives"
                f" that are also in {' or '.join(before)}{f' ({names})' if names else ''}. {why}"
                " Scores do not show how well the networks do on other drives."
            ]
    return []


def _by_drive(pairs: list[Pair]) -> dict[str, set[str]]:
    frames: dict[str, set[str]] = {}
    for pair in pairs:
        drive, _, name = pair.name.rpartition("/")
        if drive:
            frames.setdefault(drive, set()).add(name)
    return frames


def _hashed(text: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{text}".encode("utf-8", "surrogateescape")).digest()


def _by_name(keys: list[Key], share: float, seed: int, *_) -> set[Key]:
    """Return the share of frames whose names have the lowest hashes, at least one frame of two."""
    if len(keys) < 2:
        return set()
    # Without a drive, the hash depends on the file's name alone.
    ranked = sorted(keys, key=lambda key: _hashed("/".join(filter(None, (key.drive, key.name))), seed))
    return set(ranked[: max(1, round(share * len(keys)))])


def _whole(keys: list[Key], share: float, seed: int, drives: dict[Key, str], left: int) -> set[Key]:
    """Return the frames of whole drives, in the order of their names' hashes, up to the share of the frames.

    At least `left` drives remain.
    """
    frames: dict[str, list[Key]] = {}
    for key in keys:
        frames.setdefault(drives[key], []).append(key)
    wanted, taken = share * len(keys), set()
    # Drives much larger than the share come last, because they would leave little for training.
    order = sorted(frames, key=lambda drive: (len(frames[drive]) > 1.5 * wanted, _hashed(drive, seed)))
    while len(order) > left:
        # Another drive only if it brings the number of frames closer to the share.
        if taken and len(taken) + len(frames[order[0]]) / 2 > wanted:
            break
        taken.update(frames[order.pop(0)])
    return taken


def _blocks(keys: list[Key], share: float, seed: int, drives: dict[Key, str], left: int) -> set[Key]:
    """Return the end of each drive, in the order of its numbers."""
    ends: set[Key] = set()
    for drive in {drives[key] for key in keys}:
        frames = sorted((key for key in keys if drives[key] == drive), key=lambda key: in_time(key.name))
        ends.update(frames[-max(1, round(share * len(frames))) :])
    return ends


# Each returns the frames to set aside.
WAYS: dict[str, Callable[..., set[Key]]] = {
    "drives": _whole,
    "blocks": _blocks,
    "names": _by_name,
}
