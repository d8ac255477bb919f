"""Check of a data folder: every file, interpolated masks, and images that are in it twice."""

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

# Soft shares of real masks (CamVid, Lyft-Udacity, CARLA), original or resized by nearest neighbour to widths
# of 74 to 1600 pixels: at most 0.10. Resized bilinearly, bicubically or by Lanczos: at least 0.46. Bilinearly
# without antialiasing: at least 0.21, except for shrinking to a third, which nearly equals nearest neighbour.
# CARLA's saved as JPEG of quality 90: at least 0.39.
SOFT = 0.2
FEWEST = 50  # boundaries that a share needs to mean something


def _ramps(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Find ramps along the rows of (H, W): rises and falls by two or more, in one step or in several.

    Returns:
        The first intermediate value of each ramp that has one, and the number of all ramps.
    """
    slope = np.pad(np.sign(np.diff(values)), ((0, 0), (1, 1)))  # (H, W+1), 0 at both ends of a row
    turns = slope[:, 1:] != slope[:, :-1]  # (H, W)
    first = np.flatnonzero(turns & (slope[:, 1:] != 0))
    last = np.flatnonzero(turns & (slope[:, :-1] != 0))  # same ramps, same order
    flat = values.ravel()
    high = np.abs(flat[last] - flat[first]) > 1
    first, last = first[high], last[high]
    return flat[first[last - first > 1] + 1], len(first)


def soft_share(values: np.ndarray) -> float:
    """Return the share of class boundaries with intermediate values, which interpolation creates.

    A boundary between 2 and 9 along a row or column is hard if 2 and 9 are neighbours, and soft if a 5 is
    between them. A strip of class 5 that is one pixel wide also makes a soft boundary, but rarely. If all
    intermediate values are the same, they may be a drawn line, so the share is 0. Therefore interpolation
    between only three consecutive ids (0, 1, 2) is not detected.

    Args:
        values: uint8 or int16 (H, W) as stored: ids, or numbers that stand for colours

    Returns:
        0 to 1.
    """
    values = np.ascontiguousarray(values, np.int16)
    intermediate, ramps = zip(_ramps(values), _ramps(np.ascontiguousarray(values.T)), strict=True)
    inner = np.concatenate(intermediate)
    if sum(ramps) < FEWEST or len(np.unique(inner)) < 2:
        return 0.0
    return len(inner) / sum(ramps)


def stored(mask: Image.Image) -> list[np.ndarray]:
    """Return the values that may have been interpolated, (H, W) each: ids, or sums of colour channels."""
    values = np.asarray(mask)
    if mask.mode == "P":  # indices are ids, or stand for colours in any order
        palette = np.array(mask.getpalette("RGB") + [0] * 768, np.uint8)[:768].reshape(256, 3)
        return [values, _one_channel(palette[values])]
    return [values if values.ndim == 2 else _one_channel(values[..., : 1 if mask.mode == "LA" else 3])]


def _one_channel(colours: np.ndarray) -> np.ndarray:
    """Return ids, or sums of channels, (...), of colours (..., 3)."""
    ids = pixels.ids_in_channels(colours)
    return colours.sum(-1, dtype=np.int16) if ids is None else ids


# ---- images ------------------------------------------------------------------------------------

BITS = 128
# Bits by which nearly equal images may differ. Images of CamVid and CARLA differ by up to 12 bits from copies
# that are saved as JPEG of quality 30, half as large, 10% brighter, noisy, or cut by 2% at each side. In
# CamVid, frames 1/15 s apart differ by up to 15 bits (half of them by up to 5), 90% of frames 1 s apart by at
# least 17, and all frames of different drives by at least 27.
NEAR = 12
ROWS = 16  # compared with all others at once; 10 MB for 100,000 images


def difference_hash(image: Image.Image) -> np.ndarray:
    """Return whether brightness rises to the right, and downwards, at 8 × 8 places of an image.

    This is the difference hash of Krawetz ("Kind of like that", hackerfactor.com 2013) in both directions.
    Copies that are compressed, scaled or brightened, and consecutive frames, have similar hashes, unlike
    images of other places. Rotated, mirrored and cropped copies are not recognised, and all images of one
    uniform colour have the same hash.

    Returns:
        uint64 (2,), one bit per place and direction.
    """
    grey = np.asarray(image.convert("L").resize((9, 9), Image.Resampling.BOX), np.int16)
    rises = np.stack([grey[:-1, 1:] > grey[:-1, :-1], grey[1:, :-1] > grey[:-1, :-1]])
    return np.packbits(rises).view(np.uint64)


def nearest(hashes: np.ndarray, contents: np.ndarray, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the most similar earlier image of each image, in other splits and in its own split.

    Identical images and images that differ by more than `NEAR` bits do not count. Of equally similar images
    the first counts. All pairs are compared; the 5 · 10⁹ pairs of 100,000 images take half a minute.

    Args:
        hashes: uint64 (N, 2)
        contents: (N,), equal for images with identical pixels
        ranks: of the splits, (N,), ascending

    Returns:
        Two arrays of indices (N,), -1 for an image without a similar one: of other splits, and of its own.
    """
    other, own = np.full((2, len(hashes)), -1)
    left, right = np.ascontiguousarray(hashes.T)

    def compare(start: int) -> None:
        i = np.arange(start, min(start + ROWS, len(hashes)))
        j = np.arange(i[-1] + 1)
        apart = np.bitwise_count(left[i, None] ^ left[j]) + np.bitwise_count(right[i, None] ^ right[j])
        some = np.count_nonzero(apart <= NEAR, axis=1) > 1  # every image is near itself
        i, apart = i[some, None], apart[some]
        apart[(j >= i) | (contents[j] == contents[i])] = BITS
        for result, candidates in ((other, ranks[j] != ranks[i]), (own, ranks[j] == ranks[i])):
            distance = np.where(candidates, apart, BITS)
            best = distance.argmin(1)
            near = distance[np.arange(len(best)), best] <= NEAR
            result[i[near, 0]] = best[near]

    for _ in reading.several(compare, range(0, len(hashes), ROWS)):
        pass
    return other, own


# ---- a pair -----------------------------------------------------------------------------------------


@dataclass
class _Facts:
    """Facts about a pair; None if its file is invalid."""

    findings: list[Finding] = field(default_factory=list)
    size: tuple[int, int] | None = None  # of the image, (width, height)
    labels: np.ndarray | None = None  # pixels per class id, int64 (256,)
    ids: np.ndarray | None = None  # of the mask, uint8 (H, W)
    content: bytes = b""  # SHA-256 of the decoded image
    hash: np.ndarray | None = None  # of the image, see `difference_hash`

    @contextmanager
    def noting(self, kind: str, *files: Path) -> Iterator[None]:
        """Turn a SegnbError into a finding."""
        try:
            yield
        except SegnbError as error:
            self.findings.append(finding(kind, str(error), *files))


def _inspect(pair: Pair, coding: Coding, sums: Sums) -> _Facts:
    facts = _Facts()
    image = mask = None
    with facts.noting("unreadable", pair.image):
        image = reading.decode(pair.image, IMAGE_FORMATS)
        sums.of(pair.image)  # while the system has the file in memory; the digest needs it later
    with facts.noting("unreadable", pair.label):
        mask = reading.decode(pair.label, LABEL_FORMATS)
        sums.of(pair.label)
    if image is not None:
        with facts.noting("wrong-pixels", pair.image):
            rgb = reading.as_rgb(pair.image, image)
            content = hashlib.sha256(repr(rgb.size).encode())
            content.update(np.asarray(rgb).data)
            facts.size, facts.content, facts.hash = rgb.size, content.digest(), difference_hash(rgb)
    if mask is not None:
        _inspect_mask(facts, pair.label, mask, coding)
    if image is not None and mask is not None:
        with facts.noting("size-differs", pair.label, pair.image):
            reading.same_size(pair, image.size, mask.size)
    return facts


def _inspect_mask(facts: _Facts, path: Path, mask: Image.Image, coding: Coding) -> None:
    with facts.noting("wrong-pixels", path):
        pixels.require_channels(path, mask)
        share = max(soft_share(values) for values in stored(mask))
        if share > SOFT:  # its ids would only raise errors that follow from this one
            message = (
                f"{path}: {share:.0%} of class boundaries have intermediate values, as after interpolation or"
                f" JPEG compression (expected at most {SOFT:.0%}). Make the mask again: resize it by nearest"
                " neighbour and save it as PNG."
            )
            facts.findings.append(finding("interpolated", message, path))
            return
        with facts.noting("unknown-ids", path):
            facts.ids = pixels.to_labels(path, mask, coding)
            facts.labels = np.bincount(facts.ids.ravel(), minlength=256)
            if not np.delete(facts.labels, IGNORE_INDEX).any():
                message = f"{path}: every pixel is void (expected some labels). Label it, or remove the pair."
                facts.findings.append(finding("no-labels", message, path))


# ---- the folder -------------------------------------------------------------------------------------


def look(data: str) -> Report:
    """Check all files of a data folder, split as for training.

    Args:
        data: the folder, which may name its layout as in "lyft:PATH"

    Raises:
        SegnbError: as `layouts.look` does, if there is nothing to check.
    """
    listing = layouts.look(*layouts.parse(data))
    try:
        pairs, known = splits.split(listing), []
    except SegnbError as error:
        pairs = {"all": [splits.pair(listing, key) for key in listing.pairs]}
        known = [finding("no-split", str(error), listing.path)]
    return inspect(listing, pairs, known)


def inspect(listing: Listing, pairs: dict[str, list[Pair]], known: Iterable[Finding] = ()) -> Report:
    """Decode and compare all pairs of a listing; `known` are findings about it so far."""
    findings = [*known, *(finding(kind, message, *files) for kind, message, files in listing.faults())]
    counts = {split: Counts(len(part)) for split, part in pairs.items()}
    jobs = [(split, pair) for split, part in pairs.items() for pair in part]
    sums, images, masks = Sums(), [], []
    results = reading.several(lambda job: _inspect(job[1], listing.coding, sums), jobs)
    for (split, pair), facts in zip(jobs, progress(results, "checking", len(jobs), "pair"), strict=True):
        findings += facts.findings
        if facts.hash is not None:
            counts[split].sizes[facts.size] += 1
            images.append((split, pair.image, facts.content, facts.hash))
        if facts.labels is not None:
            counts[split].pixels += facts.labels
            counts[split].pictures += facts.labels > 0
            if pair is pairs[split][0]:  # the masks that `reading.find` examines
                masks.append(facts.ids)
    if listing.assumed and (message := reading.contradiction(listing, masks)):
        findings.append(finding("other-ids", message, listing.path))
    findings += [*_repeats(images, list(pairs)), *_gaps(listing, counts)]
    try:
        digest = reading.digest(pairs, sums)  # valid files are not read again
    except SegnbError:
        digest = None
    order = list(KINDS)
    findings.sort(key=lambda fault: order.index(fault.kind))
    return Report(listing, pairs, counts, findings, digest, reading.notes(listing, pairs))


def _repeats(images: list[tuple[str, Path, bytes, np.ndarray]], order: list[str]) -> Iterator[Finding]:
    """Yield findings about images that occur twice, or nearly.

    Args:
        images: split, file, content and hash of each
        order: of the splits, training first
    """
    if not images:
        return
    names, files, contents, hashes = zip(*images, strict=True)
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
        message = (
            f"{files[i]} ({names[i]}): nearly the same image as {files[other]} ({names[other]}); {apart}"
            f" of {BITS} bits of their hashes differ (expected more than {NEAR}). Look at both. Remove one,"
            " or split again with 'segnb data prepare --by blocks'."
        )
        yield finding("nearly-leaked", message, files[i], files[other])
    for rank, name in enumerate(order):
        similar = np.flatnonzero((in_own >= 0) & (ranks == rank))
        if len(similar):
            first, second = files[in_own[similar[0]]], files[similar[0]]
            repeat = "repeats" if len(similar) == 1 else "repeat"
            message = (
                f"{name}: {len(similar)} of {names.count(name)} images nearly {repeat} an earlier one, such"
                f" as {second} after {first}. Remove some; otherwise confidence intervals over images are too"
                " narrow."
            )
            yield finding("nearly-repeated", message, first, second)


def _same(names: list[str], files: list[Path]) -> Finding:
    """Make the finding about an image in several files."""
    if len(set(names)) == 1:
        message = (
            f"{files[1]}: same image as {files[0]}, one of {len(files)} copies in {names[0]} (expected one)."
            " Keep one of them."
        )
        return finding("repeated", message, *files)
    other = next(i for i, name in enumerate(names) if name != names[0])
    message = (
        f"{files[other]} ({names[other]}): same image as {files[0]} ({names[0]}), so it is in two splits."
        " Remove one of them ('segnb data check --fix' does), or split again with 'segnb data prepare --by"
        " blocks'."
    )
    return finding("leaked", message, *files)


def _gaps(listing: Listing, counts: dict[str, Counts]) -> Iterator[Finding]:
    """Yield findings about splits without labels, classes without pixels, and several sizes."""
    for split, count in counts.items():
        if count.pixels[IGNORE_INDEX] and not np.delete(count.pixels, IGNORE_INDEX).any():
            message = f"{listing.path}: every pixel of {split} is void. Label some of it, or split again."
            yield finding("no-split", message)
    for i, name in enumerate(listing.coding.classes.names):
        empty = [split for split, count in counts.items() if count.pixels.any() and not count.pixels[i]]
        if empty:
            message = (
                f"{name}: no pixel in {', '.join(empty)} (expected some in each split). Add images that show"
                " this class; otherwise it is not learned, or gets no score."
            )
            yield finding("empty-class", message)
    sizes = sum((count.sizes for count in counts.values()), Counter())
    if len(sizes) > 1:
        message = (
            f"{listing.path}: images of {len(sizes)} sizes, {size_list(sizes)}. Crop them to one shape if the"
            " shape matters, because training squeezes each image into a square."
        )
        yield finding("many-sizes", message, listing.path)
