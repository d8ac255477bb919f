"""Predictions for image files, written to a folder.

    OUT/masks/NAME.png         class ids, 8-bit grey
    OUT/confidence/NAME.png    probability of that class × 255, 8-bit grey
    OUT/overlays/NAME.jpg      the image with class colours on it
    OUT/colours/NAME.png       class colours, RGB; on request
    OUT/classes.csv            ids, colours and names, as data folders have them
    OUT/predictions.json       the network, and the version of segnb in the last call

Together with the images in OUT/images, this is a data folder in the layout `plain`. Each file is complete or
absent. The confidence of an image is written last, and contains what its results depend on. So a later call
predicts only what is missing, and a mask that a user has corrected stays.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from segnb import __version__
from segnb.data.folders import Unlistable, files_of, folders_below
from segnb.data.layouts import IMAGE_FORMATS
from segnb.data.masks import FILE, require_file
from segnb.data.pictures import read_photograph, save_png, write_classes
from segnb.errors import SegnbError
from segnb.prediction import Network
from segnb.storage.checksums import sha256
from segnb.storage.files import atomic_path, read_json, to_json, write_json

RECORD = "predictions.json"
TEXT = "segnb"  # name of the text in a confidence file, JSON: `_facts` and the pixels per class
LONGEST = 240  # bytes of a file name; file systems allow 255, and a temporary name is longer
DEEPEST = 64  # levels of folders below an input


class Photograph(NamedTuple):
    """An image file and its name in the output: its path below the input folder, without suffix."""

    file: Path
    name: Path


class Result(NamedTuple):
    """The pixels per class of a predicted image, (classes,), and whether an earlier call predicted it."""

    pixels: np.ndarray
    earlier: bool


def listed(inputs: Iterable[Path], out: Path) -> tuple[list[Photograph], list[SegnbError]]:
    """List image files, and those of folders and the folders below them.

    Hidden files, files with other suffixes, and the output folder are left out of a folder.

    Returns:
        The images, each once, and what is wrong with other inputs: a missing file, a folder without images,
        a second image of the same name, an image in the output folder, or in a folder with the name of the
        result of another image.
    """
    photographs: dict[str, Photograph] = {}  # by name in lower case, as some file systems see it
    errors = []

    def refuse(one: Photograph, why: str) -> None:
        errors.append(SegnbError(f"{one.file}: {why}, or choose another output folder for it."))

    for given in inputs:
        try:
            for one in _below(given, out):
                if len(os.fsencode(one.file.name)) > LONGEST:
                    long = f"{one.file}: name too long (expected at most {LONGEST} bytes). Rename the file."
                    errors.append(SegnbError(long))
                    continue
                first = photographs.setdefault(str(one.name).lower(), one)
                if os.path.realpath(first.file) != os.path.realpath(one.file):
                    same = f"same name as {first.file} (expected one image per name)"
                    refuse(one, f"{same}. Rename one of them")
        except SegnbError as error:
            errors.append(error)
    results = {f"{name}{suffix}" for name in photographs for suffix in (".png", ".jpg")}
    for name, one in [*photographs.items()]:
        if any(str(folder).lower() in results for folder in one.name.parents):
            del photographs[name]
            refuse(one, "its folder has the name of the result of another image. Rename the folder")
    return list(photographs.values()), errors


def _below(given: Path, out: Path) -> Iterator[Photograph]:
    """Yield the image file, or the image files below the folder."""
    if _inside(given, out):
        raise SegnbError(f"{given}: in the output folder {out}. Choose another output folder.")
    if not os.path.isdir(given):  # unlike Path.is_dir it accepts any name
        yield Photograph(given, Path(given.stem))
        return
    empty = True
    try:
        for folder in folders_below(given, DEEPEST):
            if not _inside(folder, out):
                for file in files_of(folder, IMAGE_FORMATS):
                    if os.path.isdir(file):  # `folders_below` yields it too
                        continue
                    empty = False
                    yield Photograph(file, file.relative_to(given).with_suffix(""))
    except Unlistable as error:
        raise SegnbError(f"{error}. Choose another folder.") from None
    if empty:
        suffixes = ", ".join(suffix for of_format in IMAGE_FORMATS.values() for suffix in of_format)
        raise SegnbError(f"{given}: contains no images (expected {suffixes}). Choose another folder.")


def _inside(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def check_free(out: Path, network: Network) -> None:
    """Raise SegnbError unless a folder is missing, empty, or has predictions of the same network."""
    if (out / RECORD).exists():
        try:
            record = read_json(out / RECORD)
        except SegnbError:
            raise SegnbError(f"{out / RECORD}: damaged. Remove the folder, or choose another one.") from None
        if record.get("model_sha256") != network.run.summary["model_sha256"]:
            raise SegnbError(
                f"{out}: contains predictions of another network, {record.get('run')}. Choose another folder."
            )
    elif out.exists() and any(not path.name.startswith(f".{RECORD}.") for path in out.iterdir()):
        raise SegnbError(
            f"{out}: not empty (expected a new folder, or predictions of the same network). Choose another"
            " folder."
        )


def predict(
    network: Network, photographs: Iterable[Photograph], out: Path, colours: bool = False
) -> Iterator[Result | SegnbError]:
    """Predict images and write the results, except for images that an earlier call has predicted.

    Args:
        network: the network
        photographs: from `listed`
        out: the folder, see `check_free`
        colours: whether to write masks in class colours as well

    Yields:
        For each image its result, or the reason why it cannot be read.

    Raises:
        SegnbError: a file cannot be written.
    """
    begun = False
    for photograph in photographs:
        try:
            facts = _facts(network, photograph.file, colours)
            paths = _paths(out, photograph.name, colours)
            pixels = _earlier(paths, facts)
            picture = read_photograph(photograph.file) if pixels is None else None
        except SegnbError as error:
            yield error
            continue
        if not begun:  # not before the first image, so that a mistyped name leaves no folder
            record = {"run": network.run.name, "model_sha256": network.run.summary["model_sha256"]}
            write_json(out / RECORD, record | {"size": network.size, "segnb": __version__})
            write_classes(out / FILE, network.classes)
            begun = True
        if picture is not None:
            pixels = _write(network, picture, paths, facts)
        yield Result(pixels, earlier=picture is None)


def _facts(network: Network, file: Path, colours: bool) -> dict:
    """Return what the results of an image depend on; raise SegnbError if it is no file."""
    image = None
    with suppress(OSError):  # `read_photograph` says why a file cannot be read
        image = sha256(require_file(file))
    model = network.run.summary["model_sha256"]
    return {"image_sha256": image, "model_sha256": model, "colours": colours}


def _paths(out: Path, name: Path, colours: bool) -> dict[str, Path]:
    """Return the files of an image in the order in which they are written."""
    suffixes = {"colours": ".png"} if colours else {}
    suffixes |= {"overlays": ".jpg", "masks": ".png", "confidence": ".png"}
    # A name may contain dots.
    return {kind: (out / kind / name).with_name(name.name + suffix) for kind, suffix in suffixes.items()}


def _earlier(paths: dict[str, Path], facts: dict) -> np.ndarray | None:
    """Return the pixels per class that an earlier call predicted; None if a result is missing or differs."""
    sizes = set()
    try:
        for path in paths.values():
            with Image.open(path) as result:
                sizes.add(result.size)
        known = json.loads(result.info[TEXT])
        pixels = known.pop("pixels")
    except Exception:  # each damage raises its own error
        return None
    # Older versions of segnb also stored their version.
    return np.array(pixels) if facts.items() <= known.items() and len(sizes) == 1 else None


def _write(network: Network, picture: Image.Image, paths: dict[str, Path], facts: dict) -> np.ndarray:
    """Predict an image, write its files, and return the number of pixels of each class."""
    classes, confidence = network.segment(picture)
    painted = network.classes.paint(classes)
    pixels = np.bincount(classes.ravel(), minlength=len(network.classes))
    paths["confidence"].unlink(missing_ok=True)  # of another image of this name, whose results end here
    if "colours" in paths:
        save_png(painted, paths["colours"])
    overlay = Image.blend(picture, Image.fromarray(painted), 0.5)
    with atomic_path(paths["overlays"]) as part:
        overlay.save(part, format="JPEG", quality=90)
    save_png(classes, paths["masks"])
    save_png(confidence, paths["confidence"], {TEXT: to_json(facts | {"pixels": pixels.tolist()})})
    return pixels
