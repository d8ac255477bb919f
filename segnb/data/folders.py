"""Folders of images and labels: find the pairs, check them, read them.

The study's layout:                                           CamVid's:
    PATH/train/images/NAME.png    RGB, PNG or JPEG                PATH/train/NAME.png
    PATH/train/labels/NAME.png    one channel of class ids, PNG   PATH/trainannot/NAME.png
    PATH/test/images/…, PATH/test/labels/…                        PATH/val/…, PATH/valannot/…

A fifth of the training images is set aside by name for validation, and CamVid's `val` serves as the test
split. Whatever is wrong with a file or folder is a `SegnbError` of one line that names it and says what to
do.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from segnb.classes import LABEL_SETS, VOID, ClassMap
from segnb.errors import SegnbError

VALIDATION_SHARE = 0.2  # of the training images, as in the study
IMAGE_FORMATS = {"PNG": (".png",), "JPEG": (".jpg", ".jpeg")}  # Pillow's name: suffixes
LABEL_FORMATS = {"PNG": (".png",)}  # JPEG would change the ids


@dataclass(frozen=True)
class Layout:
    """Where a kind of data set keeps its files, relative to its folder, and which labels they hold."""

    label_set: str  # a name in `segnb.classes.LABEL_SETS`
    train: tuple[str, str]  # folders of images and labels
    test: tuple[str, str]


STUDY = Layout("street", ("train/images", "train/labels"), ("test/images", "test/labels"))
CAMVID = Layout("camvid", ("train", "trainannot"), ("val", "valannot"))


def layout(path: Path) -> Layout:
    """The layout of a data folder, recognised by looking."""
    return CAMVID if (path / "trainannot").is_dir() else STUDY


@dataclass(frozen=True)
class Pair:
    """One image and its label map; `name` is their file name without the suffix."""

    name: str
    image: Path
    label: Path


def _decode(path: Path, formats: dict) -> Image.Image:
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


def _sound(pair: Pair, classes: ClassMap) -> tuple[Image.Image, Image.Image]:
    """Image and labels of a pair at their own size, decoded to the end and checked. Raises as `read` does."""
    image, label = _decode(pair.image, IMAGE_FORMATS), _decode(pair.label, LABEL_FORMATS)
    if image.mode != "RGB":
        raise SegnbError(f"{pair.image}: pixels are {image.mode}, not 8-bit RGB; convert the image to that")
    if label.mode in ("RGB", "RGBA"):
        raise SegnbError(
            f"{pair.label}: a colour mask ({label.mode}) instead of one channel of ids; raw CARLA and Lyft "
            "masks carry the id in the red channel: save that channel alone, with Pillow "
            "Image.open(mask).getchannel('R').save(mask)"
        )
    if label.mode not in ("L", "P"):
        raise SegnbError(f"{pair.label}: pixels are {label.mode}; save the ids as one 8-bit channel")
    if image.size != label.size:
        raise SegnbError(
            f"{pair.label}: labels are {label.width}×{label.height} pixels but {pair.image} is "
            f"{image.width}×{image.height}; give both the same size (labels by nearest neighbour)"
        )
    ids = np.asarray(label)
    highest, last = ids[ids != classes.void].max(initial=0), len(classes) - 1
    if highest > last:
        raise SegnbError(
            f"{pair.label}: holds id {highest}, but the {len(classes)} classes end at id {last}; "
            "renumber the mask, or choose the label set that it was drawn with"
        )
    return image, label


def read(pair: Pair, size: int, classes: ClassMap) -> tuple[np.ndarray, np.ndarray]:
    """Decode a pair and bring it to `size` × `size` pixels.

    Returns image, uint8 (size, size, 3) RGB 0–255, and labels, uint8 (size, size) of ids below
    `len(classes)`, or VOID. A frame that already has the size is returned untouched; otherwise the image is
    resized bilinearly (antialiased when it shrinks) and the labels by nearest neighbour, which makes
    up no ids. A frame that is not square is squeezed into the square without keeping its aspect: the
    study trained on squares, and cropping would lose pixels that it counts.

    Raises SegnbError for a file that is unreadable, damaged or of another format, image and labels of
    different sizes, an image that is not 8-bit RGB, labels that are not one 8-bit channel, and ids
    that `classes` does not have.
    """
    image, label = _sound(pair, classes)
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
        label = label.resize((size, size), Image.Resampling.NEAREST)
    ids = np.array(label)
    if classes.void is not None:
        ids[ids == classes.void] = VOID
    return np.array(image), ids


def load(pairs: list[Pair], size: int, classes: ClassMap) -> tuple[np.ndarray, np.ndarray]:
    """Read the pairs of one split, several at a time (Pillow decodes outside Python's lock).

    Returns images, uint8 (N, size, size, 3), and labels, uint8 (N, size, size), in the order of
    `pairs`. Shows its progress where a person watches a terminal. Raises SegnbError like `read`, for
    the first bad pair in that order.
    """
    images = np.empty((len(pairs), size, size, 3), np.uint8)
    labels = np.empty((len(pairs), size, size), np.uint8)

    def fill(i: int) -> None:
        images[i], labels[i] = read(pairs[i], size, classes)

    with ThreadPoolExecutor() as pool:
        done = pool.map(fill, range(len(pairs)))
        for _ in tqdm(done, desc="reading", total=len(pairs), unit="pair", disable=None):  # None: no terminal
            pass
    return images, labels


def digest(pairs_by_split: dict[str, list[Pair]]) -> str:
    """16 hexadecimal digits that change with any split, name or byte of the data, but not with its place.

    The SHA-256 of a listing with one line a pair: split, name, and the SHA-256 of both files.
    Raises SegnbError for a file that cannot be read.
    """
    listing = hashlib.sha256()
    for split in sorted(pairs_by_split):
        for pair in sorted(pairs_by_split[split], key=lambda pair: pair.name):
            sums = [hashlib.sha256(_bytes(file)).hexdigest() for file in (pair.image, pair.label)]
            listing.update("\0".join([split, pair.name, *sums]).encode() + b"\n")
    return listing.hexdigest()[:16]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SegnbError(f"{path}: cannot be read ({error.strerror}); mend it or remove the pair") from None


def find(path: Path, seed: int = 0) -> dict[str, list[Pair]]:
    """The pairs of a data folder by split: 'train', 'val' and 'test', each sorted by name.

    A fifth of the training images, and at least one, becomes 'val': those whose names hash lowest
    together with `seed`. So the choice depends on names and seed alone, and a picture that is added
    later moves hardly any other from one side to the other.

    Files with other suffixes and hidden files are passed over. Of the contents only the first pair of
    each folder is read, so that masks of another kind are refused at once; `read` checks the others.

    Raises SegnbError for a folder that is missing or empty, two files of one name, an image without
    labels and the reverse, a single training image (validation needs one too), and as `read` does.
    """
    form = layout(path)
    classes = LABEL_SETS[form.label_set]
    learning, test = _pairs(path, form.train), _pairs(path, form.test)
    if len(learning) < 2:
        raise SegnbError(f"{learning[0].image}: the only training image; add another for validation")
    for first in (learning[0], test[0]):
        _sound(first, classes)
    ranked = sorted(learning, key=lambda pair: hashlib.sha256(f"{seed}/{pair.name}".encode()).digest())
    val = set(ranked[: max(1, round(VALIDATION_SHARE * len(learning)))])
    return {
        "train": [pair for pair in learning if pair not in val],
        "val": [pair for pair in learning if pair in val],
        "test": test,
    }


def _pairs(path: Path, places: tuple[str, str]) -> list[Pair]:
    """The pairs of one split, sorted by name; places: its folders of images and labels."""
    image_folder, label_folder = (path / place for place in places)
    images = _by_name(image_folder, IMAGE_FORMATS)
    labels = _by_name(label_folder, LABEL_FORMATS)
    for name in sorted(images.keys() ^ labels.keys()):
        if name in images:
            missing = label_folder / f"{name}.png"
            raise SegnbError(f"{images[name]}: has no labels; add {missing} or remove the image")
        missing = image_folder / f"{name}.png"
        raise SegnbError(f"{labels[name]}: has no image; add {missing} (or .jpg) or remove the labels")
    return [Pair(name, images[name], labels[name]) for name in sorted(images)]


def _by_name(folder: Path, formats: dict) -> dict[str, Path]:
    """The files of a folder that have a suffix of `formats`, by name without that suffix."""
    suffixes = [suffix for of_format in formats.values() for suffix in of_format]
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise SegnbError(
            f"{folder}: cannot be listed ({error.strerror}); "
            "point to a folder that holds train/images, train/labels, test/images and test/labels,"
            " or to CamVid with train, trainannot, val and valannot"
        ) from None
    found = {}
    for file in files:
        if file.suffix.lower() not in suffixes or file.name.startswith("."):
            continue
        if file.stem in found:
            raise SegnbError(f"{file}: {found[file.stem].name} has the same name; remove one of the two")
        found[file.stem] = file
    if not found:
        raise SegnbError(f"{folder}: holds no {' or '.join(suffixes)} file; put the {folder.name} there")
    return found
