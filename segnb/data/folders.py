"""Pictures on disk: a folder's pairs of images and masks, checked and read.

Which files those are: `segnb.data.layouts`; what masks mean: `coding`; what is trained on: `splits`. Whatever
is wrong with a file or folder is a `SegnbError` of one line that names it and says what to do.
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from segnb.classes import VOID
from segnb.data import layouts, splits
from segnb.data.coding import UNKNOWN, Coding
from segnb.data.layouts import IMAGE_FORMATS, LABEL_FORMATS, Listing
from segnb.data.splits import Pair
from segnb.errors import SegnbError
from segnb.files import Sums

AT_ONCE = 64  # pairs that are decoded and wait to be taken


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
    for file, other in listing.doubles:
        raise SegnbError(f"{file}: {other.name} has the same name; remove one of the two")
    for file, missing in listing.lone():
        what, partner = ("image", "labels") if file in listing.images.values() else ("labels", "image")
        other = f"{missing} (or .jpg)" if partner == "image" else missing
        raise SegnbError(f"{file}: has no {partner}; add {other} or remove the {what}")
    pairs = splits.split(listing, seed)
    for part in pairs.values():
        _sound(part[0], listing.coding)
    return Folder(listing, pairs)


# ---- one file ---------------------------------------------------------------------------------------


def decode(path: Path, formats: dict) -> Image.Image:
    """The whole picture, in memory. Raises SegnbError where `path` is no sound file of one of `formats`."""
    try:
        with Image.open(path, formats=list(formats)) as picture:
            picture.load()  # `verify` would let a file through that ends half way
            return picture
    except PermissionError:
        raise SegnbError(f"{path}: no permission to read it; allow it with chmod u+r") from None
    except UnidentifiedImageError:
        wanted, length = " or ".join(formats), path.stat().st_size
        raise SegnbError(f"{path}: no {wanted} file ({length} bytes); replace or remove it") from None
    # A damaged file surfaces as OSError, SyntaxError, ValueError, struct.error or zlib.error, depending
    # on the decoder and on which byte is wrong; an absurd size as DecompressionBombError.
    except Exception as error:
        raise SegnbError(f"{path}: cannot be decoded ({error}); copy it again, or remove the pair") from error


def read_image(path: Path) -> Image.Image:
    """An RGB picture at its own size. Raises SegnbError as `decode` does, and for pixels that are no RGB."""
    image = decode(path, IMAGE_FORMATS)
    if image.mode == "RGBA" and image.getextrema()[3] == (255, 255):  # as CARLA saves its frames
        return image.convert("RGB")
    if image.mode != "RGB":
        raise SegnbError(f"{path}: pixels are {image.mode}, not 8-bit RGB; convert the image to that")
    return image


def read_labels(path: Path, coding: Coding) -> np.ndarray:
    """uint8 (H, W) of class ids, or VOID, at the mask's own size.

    Masks of one 8-bit channel hold the values that `coding` knows. Those of three or four hold its colours,
    or, where green and blue are empty, values in the red channel (raw CARLA, Lyft-Udacity).

    Raises SegnbError as `decode` does, for other kinds of pixels, and for values that stand for no class.
    """
    mask = decode(path, LABEL_FORMATS)
    if mask.mode in ("L", "P"):
        return _known(path, coding, np.asarray(mask))
    if mask.mode not in ("RGB", "RGBA"):
        raise SegnbError(f"{path}: pixels are {mask.mode}; save the ids as one 8-bit channel")
    pixels = np.asarray(mask)[..., :3]
    ids = coding.from_colours(pixels) if coding.colours else np.full(pixels.shape[:2], UNKNOWN, np.int16)
    strange = ids == UNKNOWN
    if not strange.any():
        return ids.astype(np.uint8)
    if not pixels[..., 1:].any():
        return _known(path, coding, pixels[..., 0])
    many, colour = strange.sum(), "#{:02x}{:02x}{:02x}".format(*pixels[strange][0])
    raise SegnbError(
        f"{path}: a colour mask in which {many} pixels have colours of no class, the first {colour}; give"
        " each colour a row in classes.csv, or, if there are colours between colours, resize the masks anew by"
        " nearest neighbour"
    )


def _known(path: Path, coding: Coding, values: np.ndarray) -> np.ndarray:
    ids = coding.from_values(values)
    strange = values[ids == UNKNOWN]
    if strange.size:
        last = len(coding.classes) - 1
        known = {value: one for value, one in coding.values.items() if one != VOID}
        plain = known == {i: i for i in range(last + 1)}
        told = f"the {last + 1} classes end at id {last}" if plain else "classes.csv has no row for that"
        raise SegnbError(
            f"{path}: holds id {strange.max()}, but {told}; renumber the mask, or name its ids in classes.csv"
        )
    return ids.astype(np.uint8)


# ---- a pair -----------------------------------------------------------------------------------------


def _sound(pair: Pair, coding: Coding) -> tuple[Image.Image, np.ndarray]:
    """Image and labels of a pair at their own size, decoded to the end and checked. Raises as `read` does."""
    image, labels = read_image(pair.image), read_labels(pair.label, coding)
    height, width = labels.shape
    if image.size != (width, height):
        raise SegnbError(
            f"{pair.label}: labels are {width}×{height} pixels but {pair.image} is "
            f"{image.width}×{image.height}; give both the same size (labels by nearest neighbour)"
        )
    return image, labels


def read(pair: Pair, size: int, coding: Coding) -> tuple[np.ndarray, np.ndarray]:
    """Decode a pair and bring it to `size` × `size` pixels.

    Returns image, uint8 (size, size, 3) RGB 0–255, and labels, uint8 (size, size) of class ids, or VOID. A
    frame that already has the size is returned untouched; otherwise the image is resized bilinearly
    (antialiased when it shrinks) and the labels by nearest neighbour, which makes up no ids. A frame that is
    not square is squeezed into the square without keeping its aspect: the study trained on squares, and
    cropping would lose pixels that it counts.

    Raises SegnbError for a file that is unreadable, damaged or of another format, image and labels of
    different sizes, an image that is not 8-bit RGB, and masks that `read_labels` refuses.
    """
    image, labels = _sound(pair, coding)
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
        labels = np.asarray(Image.fromarray(labels).resize((size, size), Image.Resampling.NEAREST))
    return np.array(image), np.array(labels)


def stream(pairs: list[Pair], size: int, coding: Coding) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`read` for each pair in order, several at a time (Pillow decodes outside Python's lock), few ahead of
    what is taken, so that memory does not grow with the data.

    Raises SegnbError like `read`, for the first bad pair in that order.
    """
    todo = iter(pairs)
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(read, pair, size, coding) for pair in islice(todo, AT_ONCE)]
        while waiting:
            try:
                yield waiting.pop(0).result()
            except BaseException:
                for one in waiting:
                    one.cancel()
                raise
            waiting += [pool.submit(read, pair, size, coding) for pair in islice(todo, 1)]


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
            both = [sums.of(file) for file in (pair.image, pair.label)]
            listing.update("\0".join([split, pair.name, *both]).encode("utf-8", "surrogateescape") + b"\n")
    return listing.hexdigest()[:16]
