"""Reading of a data folder: its pairs of images and masks, checked and decoded.

`layouts` finds the files, `splits` assigns them to training, validation and test, and `masks` and `pixels`
turn masks into class ids. Anything wrong with a file or folder raises a `SegnbError` of one line, with the
name of the file and the remedy.
"""

import hashlib
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from segnb.data import layouts, splits
from segnb.data.layouts import IMAGE_FORMATS, LABEL_FORMATS, Listing
from segnb.data.masks import Coding, require_file
from segnb.data.pixels import bits_of, to_labels
from segnb.data.splits import Pair
from segnb.errors import SegnbError
from segnb.storage.checksums import Sums

LARGEST = 2 * Image.MAX_IMAGE_PIXELS  # pixels per image that Pillow reads
AT_ONCE = 64  # pairs that are decoded ahead
# Pillow warns of damage outside the pixels, such as in EXIF, in two lines without the file's name. The filter
# is set once, because setting it around each file would not be safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class Folder(NamedTuple):
    """A data folder that networks can be trained on: its listing, and its pairs by split."""

    listing: Listing
    pairs: dict[str, list[Pair]]


def notes(listing: Listing, pairs: dict[str, list[Pair]]) -> list[str]:
    """Return sentences for a reader about the masks and the split."""
    return [*listing.notes, *splits.on_two_sides(pairs, {key.split for key in listing.pairs})]


def find(path: Path, named: str | None = None) -> Folder:
    """Find the pairs of a data folder by split, each split sorted by name.

    Only the first pair of each split is decoded, so that an error in all masks appears at once. `read` checks
    the other pairs.

    Args:
        path: the folder
        named: the name of its layout; None: detected

    Raises:
        SegnbError: as `layouts.look`, `splits.split` and `read` do; also for two files of the same frame, an
            image without a mask, a mask without an image, and ids that do not fit the layout.
    """
    listing = layouts.look(path, named)
    if fault := next(listing.faults(), None):
        raise SegnbError(fault[1])
    pairs = splits.split(listing)
    masks = [_decoded(part[0], listing.coding)[1] for part in pairs.values()]
    if listing.assumed and (fault := contradiction(listing, masks)):
        raise SegnbError(fault)
    return Folder(listing, pairs)


GROUND = ("Road", "Roadline", "Sidewalk", "Car")  # and the bonnet of the car that carries the camera
# The share of these classes in the lowest fifth of a frame: at least 97% in CARLA, at least 90% in 99 of 100
# frames of CamVid. If CamVid's ids are read as CARLA's, it is at most 18%, with a median of 2%.
LEAST_GROUND = 0.1


def contradiction(listing: Listing, masks: list[np.ndarray]) -> str:
    """Return what is wrong with the label set of the layout, judging by masks; "" if nothing is.

    Both label sets are for streets seen from a car, so the bottom of a frame should show ground or a car.

    Args:
        listing: of a folder without a classes.csv
        masks: uint8 (H, W) of class ids each
    """
    classes = listing.coding.classes
    lowest = [ids[-max(1, len(ids) // 5) :].ravel() for ids in masks]
    counts = np.bincount(np.concatenate([*lowest, np.zeros(0, np.uint8)]), minlength=256)[: len(classes)]
    ground = counts[[classes.id(name) for name in GROUND if name in classes.names]].sum()
    if ground >= LEAST_GROUND * counts.sum():  # true also if nothing is labelled there
        return ""
    frequent = [classes.names[i] for i in np.argsort(-counts, kind="stable")[:2] if counts[i]]
    expected = [name for name in GROUND if name in classes.names]
    return (
        f"{listing.path}: without a classes.csv, the ids of the layout {listing.layout.name} put"
        f" {' and '.join(frequent)} where the street should be (expected one of {', '.join(expected)}). Name"
        " the ids in a classes.csv (for CARLA, use docs/classes-carla-*.csv)."
    )


# ---- one file ---------------------------------------------------------------------------------------


def decode(path: Path, formats: dict) -> Image.Image:
    """Decode a file to the last pixel.

    Args:
        path: of the file
        formats: its possible formats, `IMAGE_FORMATS` or `LABEL_FORMATS`

    Raises:
        SegnbError: for a file that is unreadable, damaged or of another format, and for one whose content is
            ambiguous. That is an animation, or an image with an EXIF orientation: its mask may have been
            drawn on the rotated or on the unrotated image.
    """
    require_file(path)
    try:
        with Image.open(path, formats=list(formats)) as picture:
            frames = getattr(picture, "n_frames", 1) if picture.format == "PNG" else 1
            picture.load()  # `verify` would accept a truncated file
            orientation = picture.getexif().get(ExifTags.Base.Orientation)
    except PermissionError:
        raise SegnbError(
            f"{path}: permission denied (expected a readable file). Run 'chmod u+r' on it."
        ) from None
    except UnidentifiedImageError:
        expected, length = " or ".join(formats), path.stat().st_size
        raise SegnbError(
            f"{path}: unknown file format, {length} byte{'s' * (length != 1)} (expected {expected})."
            " Replace or remove it."
        ) from None
    except (Image.DecompressionBombError, MemoryError):
        raise SegnbError(
            f"{path}: too many pixels to read at once (expected at most {LARGEST:,}, and enough memory). Cut"
            " image and mask into tiles, or reduce both."
        ) from None
    # The type of the error depends on the decoder and the damaged byte: OSError, SyntaxError, ValueError,
    # struct.error or zlib.error.
    except Exception as error:
        raise SegnbError(
            f"{path}: cannot be decoded ({error}). Copy it again, or remove the pair."
        ) from error
    if frames > 1:
        raise SegnbError(
            f"{path}: animation of {frames} images (expected one image). Save the right one as a file."
        )
    if orientation in range(2, 9):
        raise SegnbError(
            f"{path}: EXIF orientation {orientation}, so viewers rotate or mirror the pixels (expected 1 or"
            " none). Save the image upright without that tag, and check that image and mask still match."
        )
    return picture


def read_image(path: Path) -> Image.Image:
    """Read an RGB image at its original size.

    Raises:
        SegnbError: as `decode` and `as_rgb` do.
    """
    return as_rgb(path, decode(path, IMAGE_FORMATS))


def as_rgb(path: Path, image: Image.Image) -> Image.Image:
    """Return the decoded image as RGB, without an opaque alpha channel.

    Raises:
        SegnbError: for pixels that are not 8-bit RGB.
    """
    bits, mode = bits_of(path), image.mode
    if mode == "RGBA" and image.getextrema()[3] == (255, 255):  # CARLA saves frames like this
        image = image.convert("RGB")
    if image.mode != "RGB" or bits != 8:
        raise SegnbError(f"{path}: pixels are {bits}-bit {mode} (expected 8-bit RGB). Convert the image.")
    return image


def read_labels(path: Path, coding: Coding) -> np.ndarray:
    """Read the class ids of a mask at its original size: uint8 (H, W).

    Raises:
        SegnbError: as `decode` and `pixels.to_labels` do.
    """
    return to_labels(path, decode(path, LABEL_FORMATS), coding)


# ---- a pair -----------------------------------------------------------------------------------------


def _decoded(pair: Pair, coding: Coding) -> tuple[Image.Image, np.ndarray]:
    """Return image and labels of a pair at their original size. Raises as `read` does."""
    image, labels = read_image(pair.image), read_labels(pair.label, coding)
    same_size(pair, image.size, labels.shape[::-1])
    return image, labels


def same_size(pair: Pair, image: tuple[int, int], labels: tuple[int, int]) -> None:
    """Raise SegnbError if the (width, height) of image and labels differ."""
    if image != labels:
        raise SegnbError(
            f"{pair.label}: size {labels[0]}×{labels[1]} (expected {image[0]}×{image[1]}, the size of"
            f" {pair.image}). Resize one of them; a mask by nearest neighbour only."
        )


def read(pair: Pair, size: int, coding: Coding) -> tuple[np.ndarray, np.ndarray]:
    """Read a pair and resize it to `size` × `size` pixels.

    The image is resized bilinearly (antialiased if it shrinks), the mask by nearest neighbour, which creates
    no new ids. A frame that already has the size stays as it is. A frame that is not square is squeezed into
    the square: the study trained on squares, and cropping would lose pixels that count.

    Returns:
        Image, uint8 (size, size, 3) RGB 0 to 255, and labels, uint8 (size, size): class ids or IGNORE_INDEX.

    Raises:
        SegnbError: if image and mask differ in size, and as `read_image` and `read_labels` do.
    """
    image, labels = _decoded(pair, coding)
    if labels.shape != (size, size):
        labels = np.array(Image.fromarray(labels).resize((size, size), Image.Resampling.NEAREST))
    return squeezed(image, size), labels


def squeezed(image: Image.Image, size: int) -> np.ndarray:
    """Return an RGB image as networks of input size `size` are trained with it, uint8 (size, size, 3)."""
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.array(image)


def several(task: Callable, items: Iterable) -> Iterator[Any]:
    """Yield task(item) for each item in order, computed in threads.

    Pillow decodes without Python's lock. At most `AT_ONCE` results are computed ahead, so memory does not
    grow with the data.
    """
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
    """Yield `read` of each pair in order, up to the first one for which it raises SegnbError."""
    return several(lambda pair: read(pair, size, coding), pairs)


def digest(pairs_by_split: dict[str, list[Pair]], sums: Sums | None = None) -> str:
    """Return 16 hexadecimal digits that identify splits, names and bytes of the data, wherever they are.

    They begin the SHA-256 of a list with one line per pair: split, name, and the SHA-256 of both files.

    Args:
        pairs_by_split: the pairs
        sums: remembers the SHA-256 of files that have not changed since they were last read

    Raises:
        SegnbError: for a file that cannot be read.
    """
    sums = sums or Sums()
    listing = hashlib.sha256()
    for split in sorted(pairs_by_split):
        for pair in sorted(pairs_by_split[split], key=lambda pair: pair.name):
            both = [sums.of(require_file(file)) for file in (pair.image, pair.label)]
            listing.update("\0".join([split, pair.name, *both]).encode("utf-8", "surrogateescape") + b"\n")
    return listing.hexdigest()[:16]
