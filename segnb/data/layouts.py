"""Where data sets keep their files: the layouts, recognised by looking, or named as in "lyft:PATH".

    study     {train,test}/{images,labels}/NAME.png; PATH may also be the folder that holds one dataset_NNN
              of this form
    camvid    train, trainannot, val, valannot (Badrinarayanan et al. 2017), and test, testannot
    lyft      CameraRGB/N.png and CameraSeg/N.png in each of dataA … dataE (Lyft-Udacity challenge)
    carla     NAME_rgb.png and NAME_seg.png, or folders rgb and seg, of one or more recordings
    plain     images/NAME.png and masks/NAME.png, with a classes.csv; folders in both are drives

In all of them folders called train, val and test, or what people call these otherwise (`segnb.data.names`),
are splits. Where there is no test, val is tested on. A `classes.csv` in the folder says what masks hold in
any of them (`segnb.data.masks`). Images are PNG or JPEG, masks PNG.
"""

import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from segnb.data.folders import Unlistable, files_of, folders_below, folders_of, list_folder, relative_to
from segnb.data.masks import CAMVID_CODING, FILE, STREET_CODING, Coding, read_coding
from segnb.data.names import Key, by_split, drives, split_named
from segnb.errors import SegnbError

IMAGE_FORMATS = {"PNG": (".png",), "JPEG": (".jpg", ".jpeg")}  # Pillow's name: suffixes
LABEL_FORMATS = {"PNG": (".png",)}  # JPEG would change the ids
PREPARING = ".preparing"  # lies in a folder that `segnb.data.tools.prepare` has begun and not finished


class Place(NamedTuple):
    """Two folders whose files pair up by name. A layout leaves the name of a split in the drive."""

    split: str
    drive: str
    images: Path
    labels: Path
    image_end: str = ""  # what follows the name before the suffix, such as _rgb
    label_end: str = ""


@dataclass(frozen=True)
class Layout:
    """A way of keeping images and masks in folders.

    Args:
        name: before the colon, as in lyft:PATH
        looks: whether a folder is of this kind
        places: where its files are
        coding: what its masks hold (`segnb.data.masks`); None where only a classes.csv can say
        timed: whether frames follow each other as they were driven
        expected: what such a folder holds, for error messages
    """

    name: str
    looks: Callable[[Path], bool]
    places: Callable[[Path], Iterator[Place]]
    coding: Coding | None
    timed: bool = False
    expected: str = ""


@dataclass(frozen=True)
class Listing:
    """What a folder holds, before anything is opened.

    images, labels: files by frame; doubles: (file, the one of the same name that counts instead)
    assumed: whether the layout alone, and no classes.csv, says what masks hold
    notes: what was decided here for want of a word from the data, a sentence each
    """

    path: Path
    layout: Layout
    coding: Coding
    images: dict[Key, Path]
    labels: dict[Key, Path]
    places: list[Place]
    doubles: list[tuple[Path, Path]] = field(default_factory=list)
    assumed: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def pairs(self) -> list[Key]:
        """The frames that have an image and a mask, sorted."""
        return sorted(self.images.keys() & self.labels.keys())

    @cached_property
    def drives(self) -> dict[Key, str]:
        """The drive of each of them, see `names.drives`."""
        return drives(self.pairs, self.layout.timed)

    def faults(self) -> Iterator[tuple[str, str, list[Path]]]:
        """List what cannot be a pair: kind ("same-name" or "no-partner"), message and files of each."""
        for file, other in self.doubles:
            yield "same-name", f"{file}: {other.name} has the same name; remove one of the two", [file, other]
        expected = {(place.split, place.drive): place for place in self.places}
        for key in sorted(self.images.keys() ^ self.labels.keys()):
            place = expected[key.split, key.drive]
            if key in self.images:
                file, partner = self.images[key], "labels"
                missing = f"{place.labels / key.name}{place.label_end}.png"
            else:
                file, partner = self.labels[key], "image"
                missing = f"{place.images / key.name}{place.image_end}.png (or .jpg)"
            yield "no-partner", f"{file}: has no {partner}; add {missing} or remove this file", [file]


# ---- the five ---------------------------------------------------------------------------------------


def _study_root(path: Path) -> Path:
    """The folder itself, or the only dataset_NNN in it. Raises SegnbError where there are several."""
    if _is_split(path):
        return path
    inside = [one for one in folders_of(path) if one.name.startswith("dataset_") and _is_split(one)]
    if len(inside) > 1:
        names = ", ".join(one.name for one in inside[:9]) + " …" * (len(inside) > 9)
        raise SegnbError(f"{path}: holds {len(inside)} data sets, {names}; point to one of them")
    return inside[0] if inside else path


def _is_split(path: Path) -> bool:
    return any(split_named(one.name) and os.path.isdir(one / "images") for one in folders_of(path))


def _study_places(path: Path) -> Iterator[Place]:
    for home in folders_of(_study_root(path)):
        kinds = {one.name for one in folders_of(home)} & {"images", "labels", "masks"}
        if kinds or split_named(home.name):
            labels = "masks" if "masks" in kinds and "labels" not in kinds else "labels"
            yield from _nested(home / "images", home / labels, home.name)


def _nested(images: Path, labels: Path, within: str = "") -> Iterator[Place]:
    """The folders of pictures in two that are built alike; each is a drive."""
    found = {
        relative_to(folder, home)
        for home in (images, labels)
        if os.path.isdir(home)
        for folder in folders_below(home)
        if files_of(folder, IMAGE_FORMATS)
    }
    for drive in sorted(found or {""}):
        yield Place("", "/".join(filter(None, (within, drive))), images / drive, labels / drive)


def _camvid_places(path: Path) -> Iterator[Place]:
    for name in sorted({one.name.removesuffix("annot") for one in folders_of(path)}):
        if os.path.isdir(path / f"{name}annot"):
            yield Place("", name, path / name, path / f"{name}annot")


def _lyft_places(path: Path) -> Iterator[Place]:
    kinds = [folder for folder in folders_below(path) if folder.name in ("CameraRGB", "CameraSeg")]
    for home in dict.fromkeys(folder.parent for folder in kinds if folder != path):
        yield Place("", relative_to(home, path), home / "CameraRGB", home / "CameraSeg")


def _carla_places(path: Path) -> Iterator[Place]:
    found = []
    for folder in folders_below(path):
        kind = re.fullmatch("(.*_|)(rgb|seg)", folder.name, re.DOTALL)
        if kind and folder != path:
            camera, home = kind[1], folder.parent
            drive = relative_to(home / camera.rstrip("_"), path)
            found.append(Place("", drive, home / f"{camera}rgb", home / f"{camera}seg"))
        elif any(file.stem.endswith(("_rgb", "_seg")) for file in files_of(folder, IMAGE_FORMATS)):
            found.append(Place("", relative_to(folder, path), folder, folder, "_rgb", "_seg"))
    yield from dict.fromkeys(found)


def _is_carla(path: Path) -> bool:
    return not _is_plain(path) and any(_carla_places(path))


def _is_plain(path: Path) -> bool:
    return os.path.isdir(path / "images") and any(os.path.isdir(path / name) for name in ("masks", "labels"))


def _plain_places(path: Path) -> Iterator[Place]:
    labelled = not os.path.isdir(path / "masks") and os.path.isdir(path / "labels")
    yield from _nested(path / "images", path / ("labels" if labelled else "masks"))


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
    Layout(
        "carla",
        _is_carla,
        _carla_places,
        STREET_CODING,
        timed=True,
        expected="NAME_rgb.png with NAME_seg.png",
    ),
    Layout(
        "plain",
        lambda path: os.path.isdir(path / "images"),
        _plain_places,
        None,
        expected="images, masks and a classes.csv",
    ),
)
LAYOUTS = {layout.name: layout for layout in _ALL}
EXPECTED = "; or ".join(layout.expected for layout in _ALL)


# ---- from a folder to its files ---------------------------------------------------------------------


def parse(data: str) -> tuple[Path, str | None]:
    """ "lyft:PATH" to the path and the layout's name; a plain path to itself and None.

    Raises SegnbError where there is no path, which would be the working directory.
    """
    name, colon, rest = data.partition(":")
    named = colon and name in LAYOUTS and not os.path.exists(data)
    path = rest if named else data
    if not path:
        raise SegnbError("data is empty; name a folder, as in PATH or lyft:PATH")
    # A shell leaves the ~ of DATA=~/frames as it is.
    return Path(path if os.path.exists(path) else os.path.expanduser(path)), name if named else None


def look(path: Path, named: str | None = None) -> Listing:
    """List a data folder, in the named layout or in the one that it looks like.

    Hidden files and files with other suffixes are passed over. Nothing is opened but `classes.csv`.

    Raises SegnbError for a folder that is missing, of no layout, of two, or of several data sets; for one of
    images or masks that is missing, empty or must not be read; for a link that leads nowhere, a file name
    that cannot be printed, and a classes.csv that is missing where it is needed, or unsound.
    """
    try:
        return _listing(path.resolve() if os.path.exists(path) else path, named)
    except Unlistable as error:
        raise SegnbError(f"{error}; point to a folder that holds {EXPECTED}") from None


def _listing(path: Path, named: str | None) -> Listing:
    list_folder(path)  # says what is wrong with the folder itself
    if any(os.path.exists(home / PREPARING) for home in (path, _study_root(path))):
        raise SegnbError(f"{path}: is half prepared; give the command that prepared it again, or remove it")
    layout = LAYOUTS[named] if named else _recognised(path)
    coding, notes = layout.coding, []
    places = list(layout.places(path))
    root = _study_root(path) if layout.name == "study" else path
    if stated := next((home / FILE for home in (root, path) if os.path.lexists(home / FILE)), None):
        coding = read_coding(stated)
    else:
        used = {folder for place in places for folder in (place.images, place.labels)}
        between = {home for folder in used for home in (folder, *folder.parents) if path in home.parents}
        for home in sorted(between):
            if os.path.lexists(home / FILE):
                raise SegnbError(f"{home / FILE}: is too deep to count for all of {path}; move it there")
    if coding is None:
        raise SegnbError(
            f"{path / FILE}: is missing; write one that names the classes, such as the lines 'id,name',"
            " '0,Road', '1,Car' (what it may say stands in the README)"
        )
    if not places:
        raise SegnbError(f"{path}: is not of the layout {named!r}; point to a folder that holds {EXPECTED}")
    if not stated:
        first, last = coding.classes.names[0], coding.classes.names[-1]
        notes.append(
            f"Without a classes.csv, masks are read as the {len(coding.classes)} classes that go with folders"
            f" of the layout {layout.name}, from {first} (0) to {last} ({len(coding.classes) - 1}). Where"
            " they mean something else, add a classes.csv."
        )
    sides, decided = by_split(path, [(place.images, place.drive) for place in places])
    notes += decided
    sorted_out = [(place, side) for place, side in zip(places, sides, strict=True) if side]
    places = [place._replace(split=split, drive=drive) for place, (split, drive) in sorted_out]
    if layout.name == "camvid":
        notes += [
            f"The folder {one.name} is left out: there is no {one.name}annot."
            for one in folders_of(path)
            if split_named(one.name) and one not in {place.images for place in places}
        ]
    listing = Listing(path, layout, coding, {}, {}, places, assumed=not stated, notes=notes)
    for place in places:
        _list_into(listing.images, listing.doubles, place, place.images, place.image_end, IMAGE_FORMATS)
        _list_into(listing.labels, listing.doubles, place, place.labels, place.label_end, LABEL_FORMATS)
    return listing


def _recognised(path: Path) -> Layout:
    """The layout that all of a folder has. Raises SegnbError where it has none, or frames of another one."""
    alike = [layout for layout in LAYOUTS.values() if layout.looks(path)]
    if not alike:
        raise SegnbError(f"{path}: is no data set that segnb knows; point to a folder that holds {EXPECTED}")
    first, *others = alike
    taken = {folder for place in first.places(path) for folder in (place.images, place.labels)}
    for other in others:
        for place in other.places(path):
            if not taken & {place.images, *place.images.parents}:
                raise SegnbError(
                    f"{path}: looks like {first.name}, but {place.images} like {other.name}; move one of them"
                    f" elsewhere, or name the one that is meant, as in {first.name}:{path}"
                )
    return first


def _list_into(found: dict, doubles: list, place: Place, folder: Path, end: str, formats: dict) -> None:
    """The files of one folder that end in `end` and a suffix of `formats`, by frame."""
    empty = True
    for file in files_of(folder, formats):
        if not file.stem.endswith(end):
            continue
        empty = False
        # Names are printed, written to tables and shown in the report.
        if any(unicodedata.category(c) in ("Cc", "Cs") for c in place.drive + file.name):
            raise SegnbError(f"{file}: has a name with a line break, control code or broken UTF-8; rename it")
        key = Key(place.split, place.drive, file.stem.removesuffix(end))
        if key in found:
            doubles.append((file, found[key]))
        else:
            found[key] = file
    if empty:
        suffixes = " or ".join(suffix for of_format in formats.values() for suffix in of_format)
        raise SegnbError(f"{folder}: holds no {end}{suffixes} file; put the {folder.name} there")
