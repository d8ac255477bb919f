"""Pictures on disk: a folder's pairs of images and masks, checked and read.

Which files those are: `segnb.data.layouts`; what masks mean: `masks` and `pixels`; what is trained on:
`splits`. Whatever is wrong with a file or folder is a `SegnbError` of one line that names it and says what to
do.
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
from segnb.data.masks import Coding, require_file
from segnb.data.pixels import bits_of, to_labels
from segnb.data.splits import Pair
from segnb.errors import SegnbError
from segnb.storage.checksums import Sums

LARGEST = 2 * Image.MAX_IMAGE_PIXELS  # of a picture, beyond which Pillow refuses it
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

    @property
    def notes(self) -> list[str]:
        """What a reader has to know of labels and split, a sentence each."""
        return notes(self.listing, self.pairs)


def notes(listing: Listing, pairs: dict[str, list[Pair]]) -> list[str]:
    return [*listing.notes, *splits.on_two_sides(pairs, {key.split for key in listing.pairs})]


def find(path: Path, named: str | None = None, seed: int = 0) -> Folder:
    """The pairs of a data folder by split, each sorted by name; see `layouts.look` and `splits.split`.

    Of the contents only the first pair of each split is read, so that masks of another kind, or of another
    label set than the layout's, are refused at once; `read` checks the others.

    Raises SegnbError as those two and `read` do, and for two files of one name, an image without labels and
    the reverse.
    """
    listing = layouts.look(path, named)
    if fault := next(listing.faults(), None):
        raise SegnbError(fault[1])
    pairs = splits.split(listing, seed)
    firsts = [_sound(part[0], listing.coding)[1] for part in pairs.values()]
    if listing.assumed and (fault := contradiction(listing, firsts)):
        raise SegnbError(fault)
    return Folder(listing, pairs)


GROUND = ("Road", "Roadline", "Sidewalk", "Car")  # and the bonnet of the car that carries the camera
# Of the lowest fifth of a frame these cover 97 % and more in CARLA's, 90 % in all but one of a hundred of
# CamVid's, and 18 % at most where CamVid's ids are read as CARLA's; 2 % there in the middle.
LEAST_GROUND = 0.1


def contradiction(listing: Listing, masks: list[np.ndarray]) -> str:
    """What is wrong with a label set that the layout alone says, going by masks, uint8 (H, W) of ids; or "".

    Both sets are of streets, seen from a car: what lies at the bottom must be what a car drives on.
    """
    classes = listing.coding.classes
    lowest = [ids[-max(1, len(ids) // 5) :].ravel() for ids in masks]
    counts = np.bincount(np.concatenate([*lowest, np.zeros(0, np.uint8)]), minlength=256)[: len(classes)]
    ground = counts[[classes.id(name) for name in GROUND if name in classes.names]].sum()
    if ground >= LEAST_GROUND * counts.sum():  # also where nothing is labelled there
        return ""
    most = [classes.names[i] for i in np.argsort(-counts, kind="stable")[:2] if counts[i]]
    return (
        f"{listing.path}: has no classes.csv, and read as those of the layout {listing.layout.name} its ids"
        f" put {' and '.join(most)} where the street should be; name the ids in a classes.csv (CARLA's:"
        " docs/classes-carla-*.csv)"
    )


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
    except (Image.DecompressionBombError, MemoryError):
        raise SegnbError(
            f"{path}: has more pixels than can be read at once (here, {LARGEST:,}); cut image and mask into"
            " tiles, or make both smaller"
        ) from None
    # A damaged file surfaces as OSError, SyntaxError, ValueError, struct.error or zlib.error, depending
    # on the decoder and on which byte is wrong.
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


def read_image(path: Path) -> Image.Image:
    """An RGB picture at its own size. Raises SegnbError as `decode` does, and for pixels that are no RGB."""
    return as_rgb(path, decode(path, IMAGE_FORMATS))


def as_rgb(path: Path, image: Image.Image) -> Image.Image:
    """What `read_image` does once `path` is decoded."""
    bits, mode = bits_of(path), image.mode
    if mode == "RGBA" and image.getextrema()[3] == (255, 255):  # as CARLA saves its frames
        image = image.convert("RGB")
    if image.mode != "RGB" or bits != 8:
        raise SegnbError(f"{path}: pixels are {bits}-bit {mode}, not 8-bit RGB; convert the image to that")
    return image


def read_labels(path: Path, coding: Coding) -> np.ndarray:
    """The class ids of a mask at its own size, see `pixels.to_labels`. Raises as that and `decode` do."""
    return to_labels(path, decode(path, LABEL_FORMATS), coding)


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
