"""Layouts of data folders, detected automatically or named as in "lyft:PATH".

    study     {train,test}/{images,labels}/NAME.png; PATH may also be a folder that contains one dataset_NNN
              of this form
    camvid    train, trainannot, val, valannot (Badrinarayanan et al. 2017), and test, testannot
    lyft      CameraRGB/N.png and CameraSeg/N.png in each of dataA … dataE (Lyft-Udacity challenge)
    carla     NAME_rgb.png and NAME_seg.png, or folders rgb and seg, of one or more recordings
    plain     images/NAME.png and masks/NAME.png, with a classes.csv; folders in both are drives

In each layout, folders called train, val and test, or similar (`segnb.data.folders`), are splits. If there is
no test, segnb tests on val. In each layout, a `classes.csv` in the folder defines the classes of the masks
(`segnb.data.masks`). Images are PNG or JPEG, masks PNG.
"""

import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from segnb.data.folders import (
    Key,
    Unlistable,
    by_split,
    drives,
    files_of,
    folders_below,
    folders_of,
    relative_to,
    split_named,
)
from segnb.data.masks import CAMVID_CODING, FILE, STREET_CODING, Coding, read_coding
from segnb.errors import SegnbError

IMAGE_FORMATS = {"PNG": (".png",), "JPEG": (".jpg", ".jpeg")}  # {Pillow's name: suffixes}
LABEL_FORMATS = {"PNG": (".png",)}  # JPEG would change the ids
PREPARING = ".preparing"  # marks a folder that `segnb.data.tools.prepare` has not finished


class Place(NamedTuple):
    """Two folders whose files form pairs by name. A layout leaves the name of a split in the drive."""

    drive: str
    images: Path
    labels: Path
    image_end: str = ""  # the end of a file's stem, such as _rgb
    label_end: str = ""
    split: str = ""


@dataclass(frozen=True)
class Layout:
    """A way of keeping images and masks in folders.

    Args:
        name: the part before the colon in lyft:PATH
        fits: whether a folder has this layout
        places: the folders of its files
        coding: the coding of its masks (`segnb.data.masks`); None if it needs a classes.csv
        timed: whether the frames of a folder follow each other in time
        expected: the contents of such a folder, for error messages
    """

    name: str
    fits: Callable[[Path], bool]
    places: Callable[[Path], Iterator[Place]]
    coding: Coding | None
    timed: bool = False
    expected: str = ""


@dataclass(frozen=True)
class Listing:
    """The files of a data folder, none of them opened yet.

    Args:
        images, labels: files by frame
        duplicates: (file, the file of the same frame that counts instead)
        assumed: whether the coding is that of the layout, for want of a classes.csv
        notes: sentences about decisions that the data leave open
    """

    path: Path
    layout: Layout
    coding: Coding
    images: dict[Key, Path]
    labels: dict[Key, Path]
    places: list[Place]
    duplicates: list[tuple[Path, Path]] = field(default_factory=list)
    assumed: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def pairs(self) -> list[Key]:
        """Frames with an image and a mask, sorted."""
        return sorted(self.images.keys() & self.labels.keys())

    @cached_property
    def drives(self) -> dict[Key, str]:
        """Drive of each of these frames, see `folders.drives`."""
        return drives(self.pairs, self.layout.timed)

    def faults(self) -> Iterator[tuple[str, str, list[Path]]]:
        """Yield the files that form no pair: kind ("same-name" or "no-partner"), message, files."""
        for file, other in self.duplicates:
            message = f"{file}: same frame as {other.name} (expected one file per frame). Remove one of them."
            yield "same-name", message, [file, other]
        places = {(place.split, place.drive): place for place in self.places}
        for key in sorted(self.images.keys() ^ self.labels.keys()):
            place = places[key.split, key.drive]
            if key in self.images:
                file, what, partner = self.images[key], "image", "mask"
                missing = f"{place.labels / key.name}{place.label_end}.png"
            else:
                file, what, partner = self.labels[key], "mask", "image"
                missing = f"{place.images / key.name}{place.image_end}.png or .jpg"
            message = f"{file}: {what} without {partner} (expected {missing}). Add it, or remove this file."
            yield "no-partner", message, [file]


# ---- the layouts ------------------------------------------------------------------------------------


def _study_root(path: Path) -> Path:
    """Return the folder itself, or the only dataset_NNN in it. Raises SegnbError if there are several."""
    if _is_split(path):
        return path
    roots = [home for home in folders_of(path) if home.name.startswith("dataset_") and _is_split(home)]
    if len(roots) > 1:
        names = ", ".join(home.name for home in roots[:9]) + " …" * (len(roots) > 9)
        raise SegnbError(
            f"{path}: {len(roots)} data sets, {names} (expected one). Name one of these folders."
        )
    return roots[0] if roots else path


def _is_split(path: Path) -> bool:
    return any(split_named(home.name) and os.path.isdir(home / "images") for home in folders_of(path))


def _study_places(path: Path) -> Iterator[Place]:
    for home in folders_of(_study_root(path)):
        kinds = {folder.name for folder in folders_of(home)} & {"images", "labels", "masks"}
        if kinds or split_named(home.name):
            labels = "masks" if "masks" in kinds and "labels" not in kinds else "labels"
            yield from _nested(home / "images", home / labels, home.name)


def _nested(images: Path, labels: Path, within: str = "") -> Iterator[Place]:
    """Yield the drives in a folder of images and a folder of masks with the same subfolders."""
    names = {
        relative_to(folder, home)
        for home in (images, labels)
        if os.path.isdir(home)
        for folder in folders_below(home)
        if files_of(folder, IMAGE_FORMATS)
    }
    for drive in sorted(names or {""}):
        yield Place("/".join(filter(None, (within, drive))), images / drive, labels / drive)


def _camvid_places(path: Path) -> Iterator[Place]:
    for name in sorted({folder.name.removesuffix("annot") for folder in folders_of(path)}):
        if os.path.isdir(path / f"{name}annot"):
            yield Place(name, path / name, path / f"{name}annot")


def _lyft_places(path: Path) -> Iterator[Place]:
    kinds = [folder for folder in folders_below(path) if folder.name in ("CameraRGB", "CameraSeg")]
    for home in dict.fromkeys(folder.parent for folder in kinds if folder != path):
        yield Place(relative_to(home, path), home / "CameraRGB", home / "CameraSeg")


def _carla_places(path: Path) -> Iterator[Place]:
    places = []
    for folder in folders_below(path):
        kind = re.fullmatch("(.*_|)(rgb|seg)", folder.name, re.DOTALL)
        if kind and folder != path:
            camera, home = kind[1], folder.parent
            drive = relative_to(home / camera.rstrip("_"), path)
            places.append(Place(drive, home / f"{camera}rgb", home / f"{camera}seg"))
        elif any(file.stem.endswith(("_rgb", "_seg")) for file in files_of(folder, IMAGE_FORMATS)):
            places.append(Place(relative_to(folder, path), folder, folder, "_rgb", "_seg"))
    yield from dict.fromkeys(places)


def _has_images(path: Path) -> bool:
    return os.path.isdir(path / "images")


def _is_carla(path: Path) -> bool:
    plain = _has_images(path) and any(os.path.isdir(path / name) for name in ("masks", "labels"))
    return not plain and any(_carla_places(path))


def _plain_places(path: Path) -> Iterator[Place]:
    called_labels = not os.path.isdir(path / "masks") and os.path.isdir(path / "labels")
    yield from _nested(path / "images", path / ("labels" if called_labels else "masks"))


_ALL = (
    Layout(
        "study",
        lambda path: _is_split(_study_root(path)),
        _study_places,
        STREET_CODING,
        expected="train/images, train/labels, test/images and test/labels",
    ),
    Layout(
        "camvid",
        lambda path: any(split_named(place.drive) for place in _camvid_places(path)),
        _camvid_places,
        CAMVID_CODING,
        expected="CamVid's train, trainannot, val and valannot",
    ),
    Layout(
        "lyft",
        lambda path: any(_lyft_places(path)),
        _lyft_places,
        STREET_CODING,
        timed=True,
        expected="dataA/CameraRGB and dataA/CameraSeg",
    ),
    Layout("carla", _is_carla, _carla_places, STREET_CODING, True, "NAME_rgb.png with NAME_seg.png"),
    Layout("plain", _has_images, _plain_places, None, expected="images, masks and a classes.csv"),
)
LAYOUTS = {layout.name: layout for layout in _ALL}
EXPECTED = "; or ".join(layout.expected for layout in _ALL)


# ---- from a folder to its files ---------------------------------------------------------------------


def parse(data: str) -> tuple[Path, str | None]:
    """Return the path and the name of the layout, which is None unless `data` begins with it.

    Raises:
        SegnbError: if the path is empty; it would mean the working directory.
    """
    name, colon, rest = data.partition(":")
    named = colon and name in LAYOUTS and not os.path.exists(data)
    path = rest if named else data
    if not path:
        raise SegnbError(f"invalid data {data!r} (expected PATH or LAYOUT:PATH). Name a folder.")
    # A shell does not expand the ~ in DATA=~/frames.
    return Path(path if os.path.exists(path) else os.path.expanduser(path)), name if named else None


def look(path: Path, named: str | None = None) -> Listing:
    """List a data folder in the named layout or, without a name, in the one that it has.

    Skips hidden files and files with other suffixes, and opens no file but `classes.csv`.

    Raises:
        SegnbError: for a folder that is missing, has no layout or two, or contains several data sets; for a
            folder of images or masks that is missing, empty or unreadable; for a broken link, a file name
            that cannot be printed, and a classes.csv that is invalid, or missing in a layout that needs one.
    """
    try:
        return _listing(path.resolve() if os.path.exists(path) else path, named)
    except Unlistable as error:
        expected = LAYOUTS[named].expected if named else EXPECTED
        raise SegnbError(f"{error}. Name a folder that contains {expected}.") from None


def _listing(path: Path, named: str | None) -> Listing:
    root = _study_root(path)
    if any(os.path.exists(home / PREPARING) for home in (path, root)):
        raise SegnbError(
            f"{path}: unfinished copy. Repeat the command that prepares it, or remove the folder."
        )
    layout = LAYOUTS[named] if named else _recognised(path)
    coding, notes = layout.coding, []
    places = list(layout.places(path))
    homes = (root, path) if layout.name == "study" else (path,)
    if table := next((home / FILE for home in homes if os.path.lexists(home / FILE)), None):
        coding = read_coding(table)
    else:
        ends = {folder for place in places for folder in (place.images, place.labels)}
        between = {home for folder in ends for home in (folder, *folder.parents) if path in home.parents}
        for home in sorted(between):
            if os.path.lexists(home / FILE):
                raise SegnbError(f"{home / FILE}: below the data folder (expected in {path}). Move it there.")
        if coding is None:
            raise SegnbError(
                f"{path / FILE}: missing (expected in the layout {layout.name}). Create it, with lines such"
                " as 'id,name', '0,Road', '1,Car' (see docs/data.md)."
            )
        first, last = coding.classes.names[0], coding.classes.names[-1]
        notes.append(
            f"Without a classes.csv, masks are read as the {len(coding.classes)} classes of the layout"
            f" {layout.name}, from {first} (0) to {last} ({len(coding.classes) - 1}). If the masks mean"
            " something else, add a classes.csv."
        )
    if not places:
        raise SegnbError(
            f"{path}: not in the layout {layout.name} (expected {layout.expected}). Name another folder."
        )
    keys, decisions = by_split(path, [(place.images, place.drive) for place in places])
    notes += decisions
    used = [(place, key) for place, key in zip(places, keys, strict=True) if key]
    places = [place._replace(split=split, drive=drive) for place, (split, drive) in used]
    if layout.name == "camvid":
        notes += [
            f"The folder {folder.name} is not used, because {folder.name}annot is missing."
            for folder in folders_of(path)
            if split_named(folder.name) and folder not in {place.images for place in places}
        ]
    listing = Listing(path, layout, coding, {}, {}, places, assumed=not table, notes=notes)
    for place in places:
        _list_into(listing.images, listing.duplicates, place, place.images, place.image_end, IMAGE_FORMATS)
        _list_into(listing.labels, listing.duplicates, place, place.labels, place.label_end, LABEL_FORMATS)
    return listing


def _recognised(path: Path) -> Layout:
    """Return the layout of all frames. Raises SegnbError for an unknown layout, and for two layouts."""
    fitting = [layout for layout in LAYOUTS.values() if layout.fits(path)]
    if not fitting:
        raise SegnbError(f"{path}: unknown layout (expected {EXPECTED}). Name another folder.")
    first, *others = fitting
    known = {folder for place in first.places(path) for folder in (place.images, place.labels)}
    for other in others:
        for place in other.places(path):
            if not known & {place.images, *place.images.parents}:
                raise SegnbError(
                    f"{path}: two layouts, {first.name}, and {other.name} in {place.images} (expected one)."
                    f" Move one of them elsewhere, or name the layout, as in {first.name}:{path}."
                )
    return first


def _list_into(files: dict, duplicates: list, place: Place, folder: Path, end: str, formats: dict) -> None:
    """Add the files of a folder that end in `end` and a suffix of `formats` to `files`, by frame."""
    frames = [file for file in files_of(folder, formats) if file.stem.endswith(end)]
    if not frames:
        names = " or ".join(f"NAME{end}{suffix}" for of_format in formats.values() for suffix in of_format)
        raise SegnbError(f"{folder}: contains no frames (expected {names}). Add them, or remove the folder.")
    for file in frames:
        # Names are printed, written to tables and shown in the report.
        if any(unicodedata.category(c) in ("Cc", "Cs") for c in place.drive + file.name):
            raise SegnbError(f"{file}: name with line breaks, control codes or broken UTF-8. Rename it.")
        key = Key(place.split, place.drive, file.stem.removesuffix(end))
        if (first := files.setdefault(key, file)) is not file:
            duplicates.append((file, first))
