"""Checks of pixels: masks that were interpolated, and images that are nearly the same."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from segnb.data import layouts, pixels, reading, splits
from segnb.data.layouts import IMAGE_FORMATS, LABEL_FORMATS, Listing
from segnb.data.masks import Coding
from segnb.data.splits import Pair
from segnb.data.tools.check_report import KINDS, Counts, Finding, Report, finding, size_list
from segnb.errors import SegnbError
from segnb.labels import IGNORE_INDEX
from segnb.runtime.pool import progress
from segnb.storage.checksums import Sums

# ---- masks ---------------------------------------------------------------------------------------

# Shares of real masks (CamVid, Lyft-Udacity, CARLA) as they are, or resized by nearest neighbour to widths
# from 74 to 1600 pixels: at most 0.10. Resized bilinearly, bicubically or by Lanczos: at least 0.46.
# Bilinearly without antialiasing: at least 0.21, but for shrinking to a third, which takes nearly, or just,
# the pixels that nearest neighbour would. CARLA's saved as JPEG of quality 90: at least 0.39.
SOFT = 0.2
FEWEST = 50  # boundaries, below which a share says nothing


def _ramps(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Of each climb or fall by two or more along the rows of (H, W), at once or step by step: the first value
    in between, where there is one; and how many there are."""
    slope = np.pad(np.sign(np.diff(values)), ((0, 0), (1, 1)))  # (H, W+1), flat at both ends of a row
    turns = slope[:, 1:] != slope[:, :-1]  # (H, W)
    first = np.flatnonzero(turns & (slope[:, 1:] != 0))
    last = np.flatnonzero(turns & (slope[:, :-1] != 0))  # of the same ramps in the same order
    flat = values.ravel()
    high = np.abs(flat[last] - flat[first]) > 1
    first, last = first[high], last[high]
    return flat[first[last - first > 1] + 1], len(first)


def soft_share(values: np.ndarray) -> float:
    """Share of class boundaries that pass through values in between, 0 to 1, as interpolation makes them.

    values: uint8 or int16 (H, W), as stored: ids, or any number that stands for a colour

    A boundary between 2 and 9 is hard where 2 and 9 are neighbours, along a row or a column, and soft where a
    5 lies between them. A strip of class 5 that is one pixel wide does that too, but seldom; and where all
    that lies in between is one value, it may be a line somebody drew, so that the share is 0. With three ids
    in a row (0, 1, 2) interpolation cannot be told from that.
    """
    values = np.ascontiguousarray(values, np.int16)
    between, boundaries = zip(_ramps(values), _ramps(np.ascontiguousarray(values.T)), strict=True)
    inner = np.concatenate(between)
    if sum(boundaries) < FEWEST or len(np.unique(inner)) < 2:
        return 0.0
    return len(inner) / sum(boundaries)


def stored(mask: Image.Image) -> list[np.ndarray]:
    """What may have been interpolated, (H, W) each: ids of one channel or of several, or sums of colours."""
    pixels = np.asarray(mask)
    if mask.mode == "P":  # numbers that may be ids, or stand for colours in any order
        palette = np.array(mask.getpalette("RGB") + [0] * 768, np.uint8)[:768].reshape(256, 3)
        return [pixels, _one_channel(palette[pixels])]
    return [pixels if pixels.ndim == 2 else _one_channel(pixels[..., : 1 if mask.mode == "LA" else 3])]


def _one_channel(colours: np.ndarray) -> np.ndarray:
    ids = not colours[..., 1:].any() or (colours == colours[..., :1]).all()
    return colours[..., 0] if ids else colours.sum(-1, dtype=np.int16)


# ---- images ------------------------------------------------------------------------------------

BITS = 128
# Bits that may differ between pictures that count as nearly the same. Pictures of CamVid and CARLA saved as
# JPEG of quality 30, shrunk by half, a tenth brighter, noisy, or cut by a fiftieth at each side were up to 12
# from what they had been; frames of CamVid a fifteenth of a second apart up to 15, half of them up to 5; a
# second apart nine in ten of them 17 and more, and of different drives all of them 27 and more.
NEAR = 12
ROWS = 16  # compared with all others at once: 10 MB for 100,000 pictures


def difference_hash(image: Image.Image) -> np.ndarray:
    """uint64 (2,): whether brightness rises, to the right and downwards, between 8 × 8 places of a picture.

    The difference hash of Krawetz ("Kind of like that", hackerfactor.com 2013) in both directions. It tells a
    picture saved, scaled or exposed again, and the frame after it, from another place. It knows nothing of a
    picture that was turned, mirrored or cut, and does not tell apart two that are of one even colour.
    """
    grey = np.asarray(image.convert("L").resize((9, 9), Image.Resampling.BOX), np.int16)
    rises = np.stack([grey[:-1, 1:] > grey[:-1, :-1], grey[1:, :-1] > grey[:-1, :-1]])
    return np.packbits(rises).view(np.uint64)


def nearest(hashes: np.ndarray, contents: np.ndarray, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each picture the most alike of those before it that are within `NEAR`, the first one of equals, as
    indices (N,), -1 where there is none: among those of other splits, and of its own.

    hashes: uint64 (N, 2); contents: (N,), equal where pictures are the same to the last pixel, which does not
    count here; ranks: (N,) of the splits, ascending

    All pairs are compared, a few rows at a time: 5 · 10⁹ of them, for 100,000 pictures, take half a minute.
    """
    other, own = np.full((2, len(hashes)), -1)
    left, right = np.ascontiguousarray(hashes.T)

    def compare(start: int) -> None:
        i = np.arange(start, min(start + ROWS, len(hashes)))
        j = np.arange(i[-1] + 1)
        apart = np.bitwise_count(left[i, None] ^ left[j]) + np.bitwise_count(right[i, None] ^ right[j])
        some = np.count_nonzero(apart <= NEAR, axis=1) > 1  # itself is always there
        i, apart = i[some, None], apart[some]
        apart[(j >= i) | (contents[j] == contents[i])] = BITS
        for found, wanted in ((other, ranks[j] != ranks[i]), (own, ranks[j] == ranks[i])):
            distance = np.where(wanted, apart, BITS)
            best = distance.argmin(1)
            near = distance[np.arange(len(best)), best] <= NEAR
            found[i[near, 0]] = best[near]

    for _ in reading.several(compare, range(0, len(hashes), ROWS)):
        pass
    return other, own


# ---- a pair -----------------------------------------------------------------------------------------


@dataclass
class _Seen:
    """What is kept of a pair: ids is its label map, labels int64 (256,) the pixels of each id; None where a
    file is unsound."""

    findings: list[Finding] = field(default_factory=list)
    size: tuple[int, int] | None = None
    labels: np.ndarray | None = None
    ids: np.ndarray | None = None
    content: bytes = b""
    hash: np.ndarray | None = None

    @contextmanager
    def noting(self, kind: str, *files: Path) -> Iterator[None]:
        try:
            yield
        except SegnbError as error:
            self.findings.append(finding(kind, str(error), *files))


def _see(pair: Pair, coding: Coding, sums: Sums) -> _Seen:
    seen = _Seen()
    image = mask = None
    with seen.noting("unreadable", pair.image):
        image = reading.decode(pair.image, IMAGE_FORMATS)
        sums.of(pair.image)  # now that the file is in memory; the digest asks for it
    with seen.noting("unreadable", pair.label):
        mask = reading.decode(pair.label, LABEL_FORMATS)
        sums.of(pair.label)
    if image is not None:
        with seen.noting("wrong-pixels", pair.image):
            _see_image(seen, reading.as_rgb(pair.image, image))
    if mask is not None:
        _see_mask(seen, pair.label, mask, coding)
    if image is not None and mask is not None:
        with seen.noting("size-differs", pair.label, pair.image):
            reading.same_size(pair, image.size, mask.size)
    return seen


def _see_image(seen: _Seen, image: Image.Image) -> None:
    seen.size = image.size
    content = hashlib.sha256(repr(image.size).encode())
    content.update(np.asarray(image).data)
    seen.content, seen.hash = content.digest(), difference_hash(image)


def _see_mask(seen: _Seen, path: Path, mask: Image.Image, coding: Coding) -> None:
    with seen.noting("wrong-pixels", path):
        pixels.require_channels(path, mask)
        share = max(soft_share(values) for values in stored(mask))
        if share > SOFT:  # then nothing else that its ids say is worth a line
            message = (
                f"{path}: {share:.0%} of its class boundaries pass through values in between, as in a mask"
                " resized with interpolation or saved as JPEG; make it again, by nearest neighbour and as PNG"
            )
            seen.findings.append(finding("interpolated", message, path))
            return
        with seen.noting("unknown-ids", path):
            seen.ids = pixels.to_labels(path, mask, coding)
            seen.labels = np.bincount(seen.ids.ravel(), minlength=256)
            if not np.delete(seen.labels, IGNORE_INDEX).any():
                message = f"{path}: every pixel is void; label it, or remove the pair"
                seen.findings.append(finding("no-labels", message, path))


# ---- the whole --------------------------------------------------------------------------------------


def look(data: str) -> Report:
    """Look at a data folder, which may carry the name of its layout as in "lyft:PATH", and at all its files,
    split as training would split them.

    Raises SegnbError where there is nothing to look at: as `layouts.look` does.
    """
    listing = layouts.look(*layouts.parse(data))
    found = []
    try:
        pairs = splits.split(listing)
    except SegnbError as error:
        pairs = {"all": [splits.pair(listing, key) for key in listing.pairs]}
        found.append(finding("no-split", str(error), listing.path))
    return inspect(listing, pairs, found)


def inspect(listing: Listing, pairs: dict[str, list[Pair]], found: Iterable[Finding] = ()) -> Report:
    """Decode the pairs of a listing, all splits, and compare them. found: what is wrong with it already."""
    findings = [*found, *(finding(kind, told, *files) for kind, told, files in listing.faults())]
    counts = {split: Counts(len(part)) for split, part in pairs.items()}
    jobs = [(split, pair) for split, part in pairs.items() for pair in part]
    sums, whole, firsts = Sums(), [], []
    read = reading.several(lambda job: _see(job[1], listing.coding, sums), jobs)
    for (split, pair), seen in zip(jobs, progress(read, "checking", len(jobs), "pair"), strict=True):
        findings += seen.findings
        if seen.hash is not None:
            counts[split].sizes[seen.size] += 1
            whole.append((split, pair.image, seen.content, seen.hash))
        if seen.labels is not None:
            counts[split].pixels += seen.labels
            counts[split].pictures += seen.labels > 0
            if pair is pairs[split][0]:  # those by which training judges
                firsts.append(seen.ids)
    if listing.assumed and (told := reading.contradiction(listing, firsts)):
        findings.append(finding("other-ids", told, listing.path))
    findings += [*_repeats(whole, list(pairs)), *_classes(listing, counts), *_sizes(listing, counts)]
    try:
        digest = reading.digest(pairs, sums)  # reads none again that was sound
    except SegnbError:
        digest = None
    order = list(KINDS)
    findings.sort(key=lambda one: order.index(one.kind))
    return Report(listing, pairs, counts, findings, digest, reading.notes(listing, pairs))


def _repeats(whole: list[tuple[str, Path, bytes, np.ndarray]], order: list[str]) -> Iterator[Finding]:
    """Pictures that are there twice, and nearly. order: of the splits, the one trained on first."""
    if not whole:
        return
    names, files, contents, hashes = zip(*whole, strict=True)
    groups = defaultdict(list)
    for i, content in enumerate(contents):
        groups[content].append(i)
    for group in groups.values():
        if len(group) > 1:
            yield _same([names[i] for i in group], [files[i] for i in group])
    _, same = np.unique(np.array(contents), return_inverse=True)
    ranks = np.array([order.index(name) for name in names])
    in_others, in_own = nearest(np.array(hashes), same, ranks)
    for i in np.flatnonzero(in_others >= 0):
        other = in_others[i]
        apart = np.bitwise_count(hashes[i] ^ hashes[other]).sum()
        told = (
            f"{files[i]} ({names[i]}): is nearly {files[other]} ({names[other]}), {apart} of {BITS} bits"
            " apart; look at both, and leave one out or split again with 'segnb data prepare --by blocks'"
        )
        yield finding("nearly-leaked", told, files[i], files[other])
    for rank, name in enumerate(order):
        alike = np.flatnonzero((in_own >= 0) & (ranks == rank))
        if len(alike):
            first, second = files[in_own[alike[0]]], files[alike[0]]
            told = (
                f"{name}: {len(alike)} of {names.count(name)} pictures nearly repeat one before them, such as"
                f" {first} and {second}; thin them out, or take intervals over pictures for too narrow"
            )
            yield finding("nearly-repeated", told, first, second)


def _same(names: list[str], files: list[Path]) -> Finding:
    """One picture in several files."""
    if len(set(names)) == 1:
        told = f"{files[1]}: is the same picture as {files[0]} ({len(files)} of them in {names[0]}); keep one"
        return finding("repeated", told, *files)
    other = next(i for i, name in enumerate(names) if name != names[0])
    told = (
        f"{files[other]} ({names[other]}): is the same picture as {files[0]} ({names[0]}); leave one of them"
        " out ('segnb data check --fix' does), or split again with 'segnb data prepare --by blocks'"
    )
    return finding("leaked", told, *files)


def _classes(listing: Listing, counts: dict[str, Counts]) -> Iterator[Finding]:
    for split, one in counts.items():
        if one.pixels[IGNORE_INDEX] and not np.delete(one.pixels, IGNORE_INDEX).any():
            told = f"{listing.path}: every pixel of {split} is void; label some of it, or split again"
            yield finding("no-split", told)
    for i, name in enumerate(listing.coding.classes.names):
        empty = [split for split, one in counts.items() if one.pixels.any() and not one.pixels[i]]
        if empty:
            told = (
                f"{name}: no pixel of {', '.join(empty)} is of this class, so it is not learnt there, or gets"
                " no score; add pictures that show it"
            )
            yield finding("empty-class", told)


def _sizes(listing: Listing, counts: dict[str, Counts]) -> Iterator[Finding]:
    sizes = sum((one.sizes for one in counts.values()), Counter())
    if len(sizes) > 1:
        told = (
            f"{listing.path}: images are of {len(sizes)} sizes, {size_list(sizes)}; training squeezes each"
            " into a square, so cut them to one shape where that matters"
        )
        yield finding("many-sizes", told, listing.path)
