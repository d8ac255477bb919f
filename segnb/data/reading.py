"""Pictures on disk: a folder's pairs of images and masks, checked and read.

Which files those are: `segnb.data.layouts`; what masks mean: `masks`; what is trained on: `splits`. Whatever
is wrong with a file or folder is a `SegnbError` of one line that names it and says what to do.
"""

import hashlib
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from segnb.data import layouts, splits
from segnb.data.layouts import IMAGE_FORMATS, LABEL_FORMATS, Listing
from segnb.data.masks import STREET_CODING, UNKNOWN, Coding, require_file
from segnb.data.splits import Pair
from segnb.errors import SegnbError
from segnb.storage.checksums import Sums

AT_ONCE = 64  # pairs that are decoded and wait to be taken
# Pillow warns of damage beside the pixels, as in EXIF, in two lines that name no file. Set once: around each
# file it would not be safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True)
class Folder:
    """A data folder that may be trained on: listing, and its pairs by split."""

    listing: Listing
    pairs: dict[str, list[Pair]]

    @property
    def coding(self) -> Coding:
        return self.listing.coding


def find(path: Path, named: str | None = None, seed: int = 0) -> Folder:
    """The pairs of a data folder by split, each sorted by name; see `layouts.look` and `splits.split`.

    Of the contents only the first pair of each split is read, so that masks of another kind are refused at
    once; `read` checks the others.

    Raises SegnbError as those two and `read` do, and for two files of one name, an image without labels and
    the reverse.
    """
    listing = layouts.look(path, named)
    if fault := next(listing.faults(), None):
        raise SegnbError(fault[1])
    pairs = splits.split(listing, seed)
    for part in pairs.values():
        _sound(part[0], listing.coding)
    return Folder(listing, pairs)


# ---- one file ---------------------------------------------------------------------------------------


def decode(path: Path, formats: dict) -> Image.Image:
    """The whole picture, in memory.

    Raises SegnbError where `path` is no sound file of one of `formats`, and for what can be taken for more
    than one picture: an animation, or pixels that EXIF says are to be turned, of which nobody knows whether
    who drew the labels saw them turned.
    """
    require_file(path)
    try:
        with Image.open(path, formats=list(formats)) as picture:
            frames = getattr(picture, "n_frames", 1) if picture.format == "PNG" else 1
            picture.load()  # `verify` would let a file through that ends half way
            turned = picture.getexif().get(ExifTags.Base.Orientation)
    except PermissionError:
        raise SegnbError(f"{path}: no permission to read it; allow it with chmod u+r") from None
    except UnidentifiedImageError:
        wanted, length = " or ".join(formats), path.stat().st_size
        raise SegnbError(f"{path}: no {wanted} file ({length} bytes); replace or remove it") from None
    # A damaged file surfaces as OSError, SyntaxError, ValueError, struct.error or zlib.error, depending
    # on the decoder and on which byte is wrong; an absurd size as DecompressionBombError.
    except Exception as error:
        raise SegnbError(f"{path}: cannot be decoded ({error}); copy it again, or remove the pair") from error
    if frames > 1:
        raise SegnbError(f"{path}: is an animation of {frames} pictures; save the one that is meant")
    if turned in range(2, 9):
        raise SegnbError(
            f"{path}: is to be shown turned or mirrored (EXIF orientation {turned}); save it as it is to be"
            " seen, without that mark, and see that image and labels still fit"
        )
    return picture


def _bits(path: Path) -> int:
    """Bits a channel of a sound PNG or JPEG file. Pillow cuts 16 to 8, and stretches 2 and 4 to 0 … 255."""
    with open(path, "rb") as file:
        head = file.read(25)
    return head[24] if head.startswith(b"\x89PNG") else 8


def read_image(path: Path) -> Image.Image:
    """An RGB picture at its own size. Raises SegnbError as `decode` does, and for pixels that are no RGB."""
    return as_rgb(path, decode(path, IMAGE_FORMATS))


def as_rgb(path: Path, image: Image.Image) -> Image.Image:
    """What `read_image` does once `path` is decoded."""
    bits, mode = _bits(path), image.mode
    if mode == "RGBA" and image.getextrema()[3] == (255, 255):  # as CARLA saves its frames
        image = image.convert("RGB")
    if image.mode != "RGB" or bits != 8:
        raise SegnbError(f"{path}: pixels are {bits}-bit {mode}, not 8-bit RGB; convert the image to that")
    return image


def read_labels(path: Path, coding: Coding) -> np.ndarray:
    """uint8 (H, W) of class ids, or IGNORE_INDEX, at the mask's own size.

    Masks of one 8-bit channel hold the values that `coding` knows. Those of three or four hold its colours,
    or, where green and blue are empty, values in the red channel (raw CARLA, Lyft-Udacity). Masks with a
    palette hold either: values as numbers of colours, or the colours.

    Raises SegnbError as `decode` does, for other kinds of pixels, for values that stand for no class, and for
    pixels that say one thing by value and another by colour.
    """
    return as_labels(path, decode(path, LABEL_FORMATS), coding)


def as_labels(path: Path, mask: Image.Image, coding: Coding) -> np.ndarray:
    """What `read_labels` does once `path` is decoded."""
    require_channels(path, mask)
    pixels = np.asarray(mask)
    if mask.mode == "L":
        return _known(path, coding, pixels)
    if mask.mode == "P":
        return _from_palette(path, coding, pixels, np.array(mask.getpalette("RGB"), np.uint8).reshape(-1, 3))
    pixels = pixels[..., :3]
    readings = _readings(coding, pixels)
    if whole := _agreed(path, readings):
        return whole[0].astype(np.uint8)
    if not pixels[..., 1:].any():
        return _known(path, coding, pixels[..., 0])
    strange = readings[0] == UNKNOWN
    many, colour = strange.sum(), "#{:02x}{:02x}{:02x}".format(*pixels[strange][0])
    raise SegnbError(
        f"{path}: a colour mask in which {many} pixels have colours of no class, the first {colour}; give"
        " each colour a row in classes.csv, or, if there are colours between colours, resize the masks anew"
        " by nearest neighbour"
    )


def require_channels(path: Path, mask: Image.Image) -> None:
    """Raise SegnbError if a mask has neither 8-bit channels nor a palette."""
    bits = _bits(path)
    if mask.mode not in ("L", "P", "RGB", "RGBA") or (mask.mode != "P" and bits != 8):
        raise SegnbError(f"{path}: pixels are {bits}-bit {mask.mode}; save the ids as one 8-bit channel")


def _from_palette(path: Path, coding: Coding, pixels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """A tool that packs a mask of ids or colours into a palette numbers them as they come, so the numbers may
    happen to be ids and yet mean nothing: what the palette says must not contradict them."""
    used = np.unique(pixels)
    readings = [coding.from_values(used)]
    if used[-1] < len(palette):  # otherwise there are pixels that have no colour
        colours = palette[used]
        readings += _readings(coding, colours)
        if (colours == colours[:, :1]).all():  # a grey mask, packed
            readings.append(coding.from_values(colours[:, 0]))
    whole = _agreed(path, readings)
    if not whole:
        return _known(path, coding, pixels)
    ids = np.zeros(256, np.uint8)
    ids[used] = whole[0]
    return ids[pixels]


def _readings(coding: Coding, colours: np.ndarray) -> list[np.ndarray]:
    """What colours, uint8 (..., 3), may mean: int16 (...), UNKNOWN where they mean nothing that way."""
    found = [coding.from_colours(colours)]
    if not colours[..., 1:].any():
        found.append(coding.from_values(colours[..., 0]))
    return found


def _agreed(path: Path, readings: list[np.ndarray]) -> list[np.ndarray]:
    """The readings that know every pixel. Raises SegnbError where they differ."""
    whole = [one for one in readings if not (one == UNKNOWN).any()]
    if any((one != whole[0]).any() for one in whole[1:]):
        raise SegnbError(
            f"{path}: holds ids that mean one thing and colours that mean another; save the ids as one 8-bit"
            " channel without a palette, or leave only ids, or only colours, in classes.csv"
        )
    return whole


def _known(path: Path, coding: Coding, values: np.ndarray) -> np.ndarray:
    ids = coding.from_values(values)
    strange = values[ids == UNKNOWN]
    if strange.size:
        newer = " (for CARLA from 0.9.10 on: docs/classes-carla-*.csv)" * (coding is STREET_CODING)
        raise SegnbError(
            f"{path}: holds id {strange.max()}, which none of the {len(coding.classes)} classes has; renumber"
            f" the mask, or name its ids in classes.csv{newer}"
        )
    return ids.astype(np.uint8)


# ---- a pair -----------------------------------------------------------------------------------------


def _sound(pair: Pair, coding: Coding) -> tuple[Image.Image, np.ndarray]:
    """Image and labels of a pair at their own size, decoded to the end and checked. Raises as `read` does."""
    image, labels = read_image(pair.image), read_labels(pair.label, coding)
    same_size(pair, image.size, labels.shape[::-1])
    return image, labels


def same_size(pair: Pair, image: tuple[int, int], labels: tuple[int, int]) -> None:
    """Raises SegnbError where width and height of the two are not the same."""
    if image != labels:
        raise SegnbError(
            f"{pair.label}: labels are {labels[0]}×{labels[1]} pixels but {pair.image} is "
            f"{image[0]}×{image[1]}; give both the same size (labels by nearest neighbour)"
        )


def read(pair: Pair, size: int, coding: Coding) -> tuple[np.ndarray, np.ndarray]:
    """Decode a pair and bring it to `size` × `size` pixels.

    Returns image, uint8 (size, size, 3) RGB 0–255, and labels, uint8 (size, size) of class ids, or
    IGNORE_INDEX. A frame that already has the size is returned untouched; otherwise the image is resized
    bilinearly (antialiased when it shrinks) and the labels by nearest neighbour, which makes up no ids. A
    frame that is not square is squeezed into the square without keeping its aspect: the study trained on
    squares, and cropping would lose pixels that it counts.

    Raises SegnbError for a file that is unreadable, damaged or of another format, image and labels of
    different sizes, an image that is not 8-bit RGB, and masks that `read_labels` refuses.
    """
    image, labels = _sound(pair, coding)
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
        labels = np.asarray(Image.fromarray(labels).resize((size, size), Image.Resampling.NEAREST))
    return np.array(image), np.array(labels)


def several(task: Callable, items: Iterable) -> Iterator[Any]:
    """task(item) for each, in order, several at a time (Pillow decodes outside Python's lock), few ahead of
    what is taken, so that memory does not grow with the data."""
    todo = iter(items)
    pool = ThreadPoolExecutor()
    try:
        waiting = deque(pool.submit(task, item) for item in islice(todo, AT_ONCE))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(task, item) for item in islice(todo, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def stream(pairs: list[Pair], size: int, coding: Coding) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`read` for each pair in order. Raises SegnbError like `read`, for the first bad pair in that order."""
    return several(lambda pair: read(pair, size, coding), pairs)


def digest(pairs_by_split: dict[str, list[Pair]], sums: Sums | None = None) -> str:
    """16 hexadecimal digits that change with any split, name or byte of the data, but not with its place.

    The SHA-256 of a listing with one line a pair: split, name, and the SHA-256 of both files, taken from
    `sums` where a file has not changed since it was last read.
    Raises SegnbError for a file that cannot be read.
    """
    sums = sums or Sums()
    listing = hashlib.sha256()
    for split in sorted(pairs_by_split):
        for pair in sorted(pairs_by_split[split], key=lambda pair: pair.name):
            both = [sums.of(require_file(file)) for file in (pair.image, pair.label)]
            listing.update("\0".join([split, pair.name, *both]).encode("utf-8", "surrogateescape") + b"\n")
    return listing.hexdigest()[:16]
