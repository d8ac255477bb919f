"""Where data sets keep their files: five layouts, recognised by looking, or named as in "lyft:PATH".

    study     {train,test}/{images,labels}/NAME.png; a val folder if there is one; PATH may also be the folder
              that holds one dataset_NNN of this form
    camvid    train, trainannot, val, valannot (Badrinarayanan et al. 2017); val is the test split
    lyft      CameraRGB/N.png and CameraSeg/N.png in each of dataA … dataE (Lyft-Udacity challenge)
    carla     NAME_rgb.png and NAME_seg.png, or folders rgb and seg, of one or more recordings
    plain     images/NAME.png and masks/NAME.png, with a classes.csv

A `classes.csv` in the folder says what masks hold in any of them (`segnb.data.coding`). Images are PNG or
JPEG, masks PNG.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from segnb.data.coding import CAMVID_CODING, FILE, STREET_CODING, Coding, read_coding
from segnb.errors import SegnbError

IMAGE_FORMATS = {"PNG": (".png",), "JPEG": (".jpg", ".jpeg")}  # Pillow's name: suffixes
LABEL_FORMATS = {"PNG": (".png",)}  # JPEG would change the ids
DEPTH = 4  # folders below PATH that are looked into: links in a circle end there
EXPECTED = (
    "train/images, train/labels, test/images and test/labels; CamVid's train, trainannot, val and valannot;"
    " dataA/CameraRGB and dataA/CameraSeg; NAME_rgb.png with NAME_seg.png; or images, masks and a classes.csv"
)


class Key(NamedTuple):
    """Which frame a file belongs to. split: "train", "val", "test", or "" where the layout names none;
    drive: the folder of one recording, "" where there is but one; name: file name without suffix."""

    split: str
    drive: str
    name: str


class Place(NamedTuple):
    """Two folders whose files pair up by name."""

    split: str
    drive: str
    images: Path
    labels: Path
    image_end: str = ""  # what follows the name before the suffix, such as _rgb
    label_end: str = ""


@dataclass(frozen=True)
class Layout:
    """looks: whether a folder is of this kind; places: where its files are; coding: what its masks hold,
    None where only a classes.csv can say; timed: frames follow each other as they were driven."""

    name: str
    looks: Callable[[Path], bool]
    places: Callable[[Path], Iterator[Place]]
    coding: Coding | None
    timed: bool = False


@dataclass(frozen=True)
class Listing:
    """What a folder holds, before anything is opened.

    images, labels: files by frame; doubles: (file, the one of the same name that counts instead)
    """

    path: Path
    layout: Layout
    coding: Coding
    images: dict[Key, Path]
    labels: dict[Key, Path]
    places: list[Place]
    doubles: list[tuple[Path, Path]] = field(default_factory=list)

    def lone(self) -> list[tuple[Path, Path]]:
        """Files without partner, each with the one that is missing, in the order of their frames."""
        expected = {(place.split, place.drive): place for place in self.places}
        found = []
        for key in sorted(self.images.keys() ^ self.labels.keys()):
            place = expected[key.split, key.drive]
            if key in self.images:
                found.append((self.images[key], place.labels / f"{key.name}{place.label_end}.png"))
            else:
                found.append((self.labels[key], place.images / f"{key.name}{place.image_end}.png"))
        return found


# ---- the five ---------------------------------------------------------------------------------------


def _study_root(path: Path) -> Path:
    """The folder itself, or the only dataset_NNN in it."""
    inside = [one for one in _folders(path) if one.name.startswith("dataset_") and _is_split(one)]
    return inside[0] if len(inside) == 1 and not _is_split(path) else path


def _is_split(path: Path) -> bool:
    return (path / "train" / "images").is_dir() or (path / "test" / "images").is_dir()


def _study_places(path: Path) -> Iterator[Place]:
    path = _study_root(path)
    splits = ("train", "val", "test") if (path / "val").is_dir() else ("train", "test")
    for split in splits:
        yield Place(split, "", path / split / "images", path / split / "labels")


def _camvid_places(path: Path) -> Iterator[Place]:
    yield Place("train", "", path / "train", path / "trainannot")
    yield Place("test", "", path / "val", path / "valannot")


def _lyft_places(path: Path) -> Iterator[Place]:
    for folder in _below(path):
        if folder.name == "CameraRGB":
            yield Place("", _relative(folder.parent, path), folder, folder.parent / "CameraSeg")


def _carla_places(path: Path) -> Iterator[Place]:
    for folder in _below(path):
        kind = re.fullmatch(r"(.*_)?rgb", folder.name)
        if kind:
            labels = folder.with_name(f"{kind[1] or ''}seg")
            yield Place("", _relative(folder.with_name((kind[1] or "").rstrip("_")), path), folder, labels)
        elif any(file.stem.endswith("_rgb") for file in _files(folder, IMAGE_FORMATS)):
            yield Place("", _relative(folder, path), folder, folder, "_rgb", "_seg")


def _plain_places(path: Path) -> Iterator[Place]:
    masks = path / ("masks" if (path / "masks").is_dir() else "labels")
    drives = [folder for folder in _folders(path / "images") if any(_files(folder, IMAGE_FORMATS))]
    for folder in drives:
        yield Place("", folder.name, folder, masks / folder.name)
    if not drives or any(_files(path / "images", IMAGE_FORMATS)):
        yield Place("", "", path / "images", masks)


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("study", lambda path: _is_split(_study_root(path)), _study_places, STREET_CODING),
        Layout("camvid", lambda path: (path / "trainannot").is_dir(), _camvid_places, CAMVID_CODING),
        Layout("lyft", lambda path: any(_lyft_places(path)), _lyft_places, STREET_CODING, timed=True),
        Layout("carla", lambda path: any(_carla_places(path)), _carla_places, STREET_CODING, timed=True),
        Layout("plain", lambda path: (path / "images").is_dir(), _plain_places, None),
    )
}


# ---- from a folder to its files ---------------------------------------------------------------------


def parse(data: str) -> tuple[Path, str | None]:
    """ "lyft:PATH" to the path and the layout's name; a plain path to itself and None."""
    name, colon, rest = data.partition(":")
    if colon and name in LAYOUTS and not Path(data).exists():
        return Path(rest), name
    return Path(data), None


def look(path: Path, named: str | None = None) -> Listing:
    """List a data folder, in the named layout or in the first that it looks like.

    Hidden files and files with other suffixes are passed over. Nothing is opened but `classes.csv`.

    Raises SegnbError for a folder that is missing or of no layout, one of images or masks that is missing or
    empty, and a classes.csv that is missing where it is needed, or unsound.
    """
    path = path.resolve() if path.exists() else path
    _entries(path)  # says what is wrong with the folder itself
    layout = LAYOUTS[named] if named else next((one for one in LAYOUTS.values() if one.looks(path)), None)
    if layout is None:
        raise SegnbError(f"{path}: is no data set that segnb knows; point to a folder that holds {EXPECTED}")
    coding = layout.coding
    for home in (_study_root(path), path) if layout.name == "study" else (path,):
        if (home / FILE).is_file():
            coding = read_coding(home / FILE)
            break
    if coding is None:
        raise SegnbError(
            f"{path / FILE}: is missing; write one that names the classes, such as the lines 'id,name',"
            " '0,Road', '1,Car' (what it may say stands in the README)"
        )
    places = list(layout.places(path))
    if not places:
        raise SegnbError(f"{path}: is not of the layout {named!r}; point to a folder that holds {EXPECTED}")
    listing = Listing(path, layout, coding, {}, {}, places)
    for place in places:
        _list_into(listing.images, listing.doubles, place, place.images, place.image_end, IMAGE_FORMATS)
        _list_into(listing.labels, listing.doubles, place, place.labels, place.label_end, LABEL_FORMATS)
    return listing


def _list_into(found: dict, doubles: list, place: Place, folder: Path, end: str, formats: dict) -> None:
    """The files of one folder that end in `end` and a suffix of `formats`, by frame."""
    empty = True
    _entries(folder)
    for file in _files(folder, formats):
        if not file.stem.endswith(end):
            continue
        empty = False
        key = Key(place.split, place.drive, file.stem.removesuffix(end))
        if key in found:
            doubles.append((file, found[key]))
        else:
            found[key] = file
    if empty:
        suffixes = " or ".join(suffix for of_format in formats.values() for suffix in of_format)
        raise SegnbError(f"{folder}: holds no {end}{suffixes} file; put the {folder.name} there")


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise SegnbError(
            f"{folder}: cannot be listed ({error.strerror}); point to a folder that holds {EXPECTED}"
        ) from None


def _files(folder: Path, formats: dict) -> list[Path]:
    """Files with a suffix of `formats`, sorted; none where the folder is missing or must not be read."""
    suffixes = [suffix for of_format in formats.values() for suffix in of_format]
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    return [one for one in entries if one.suffix.lower() in suffixes and not one.name.startswith(".")]


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))
    except OSError:
        return []


def _below(path: Path, depth: int = DEPTH) -> Iterator[Path]:
    """The folder and those in it, down to `depth`, each before what it holds."""
    yield path
    if depth:
        for folder in _folders(path):
            yield from _below(folder, depth - 1)


def _relative(folder: Path, path: Path) -> str:
    return "" if folder == path else folder.relative_to(path).as_posix()
