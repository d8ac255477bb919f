"""Where pictures come from: rendered streets, seen in one of `VIEWS`, rendered `DRIVES`, or a folder.

Each becomes a uint8 cache on disk, made once for each size and shared by all runs and processes as
memory-mapped arrays; everything downstream sees `segnb.data.batches.Split`.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
from tqdm import tqdm

from segnb.data import drives, layouts, masks, pixels, reading, shifts, streets
from segnb.data.batches import Split
from segnb.errors import SegnbError, one_line
from segnb.labels import CAR, IGNORE_INDEX, STREET, ClassMap
from segnb.presets import Preset
from segnb.storage.checksums import Sums, fingerprint
from segnb.storage.files import UNREADABLE, atomic_path, made_once, new_array, read_json, write_json

KINDS = ("images", "labels")
Frames = Iterator[tuple[np.ndarray, np.ndarray]]  # image uint8 (S, S, 3), labels uint8 (S, S)


def false_colours(images: np.ndarray) -> np.ndarray:
    """RGB (..., 3) to colours that no street has: a symmetry of the colour cube, so nothing is lost.

    Distances between colours, and with them all contrasts, stay as they are; but black to white, along
    which photographs vary most, becomes magenta to green.
    """
    red, green, blue = np.moveaxis(images, -1, 0)
    return np.stack([255 - blue, red, 255 - green], -1)


def cars_alone(labels: np.ndarray) -> np.ndarray:
    """Labels of STREET to those of the label set "car": 1 is Car, 0 the rest."""
    return (labels == STREET.id("Car")).astype(np.uint8)


@dataclass(frozen=True)
class View:
    """A way to see the rendered streets: what becomes of their images and of their labels."""

    origin: str
    classes: ClassMap = STREET
    images: Callable[[np.ndarray], np.ndarray] = np.asarray
    labels: Callable[[np.ndarray], np.ndarray] = np.asarray


VIEWS = {
    "streets": View("rendered street scenes"),
    "streets-false-colours": View("rendered street scenes in false colours", images=false_colours),
    "streets-car": View("rendered street scenes, cars against the rest", CAR, labels=cars_alone),
}
DRIVES = {
    "streets-drives": "drives along rendered streets, split by drive",
    "streets-drives-interleaved": "drives along rendered streets, tested between the frames of training",
}
BETWEEN = (
    "Test frames lie between frames of training of the same drive, on purpose: scores do not tell how the"
    " networks do on other drives."
)
RENDERED = (*VIEWS, *DRIVES)  # names of data that are no folder


@dataclass(frozen=True)
class Data:
    """A data set before it is read: what it is called, what identifies it, how to make a split."""

    name: str  # a name in `RENDERED`, or the folder's name
    origin: str  # a sentence for the report
    digest: str  # 16 hex digits over everything that shapes the pixels, but for their size
    classes: ClassMap
    names: dict[str, list[str]] = field(repr=False)  # of the images, by split
    frames: Callable[[Path, str, int], Frames] = field(repr=False)  # of (cache folder, split, size)
    notes: tuple[str, ...] = ()  # what a reader has to know of labels and split, a sentence each
    view: View | None = None  # how rendered streets are seen; None: drives, or a folder

    @property
    def counts(self) -> dict[str, int]:
        return {split: len(names) for split, names in self.names.items()}

    def folder(self, cache: Path, size: int) -> Path:
        return cache / f"{self.name}-{self.digest}" / str(size)

    def split(self, cache: Path, name: str, size: int) -> Split:
        """One split at `size` pixels a side; made and cached on the first call, which may take minutes.

        Processes that want it at the same time wait for the first. Frames go to disk as they come, so that
        a data set may be larger than memory. Raises SegnbError if none of its pixels is labelled.
        """
        folder = self.folder(cache, size)
        split = made_once(
            folder / f".{name}.lock",
            read=lambda: self._read(folder, name, size),
            make=lambda: self._write(cache, folder, name, size),
        )
        if not any((labels != IGNORE_INDEX).any() for labels in split.labels):  # the first tells, as a rule
            why = {"train": "learn from", "val": "choose weights by", "test": "score"}[name]
            raise SegnbError(
                f"{self.origin}: every pixel of the {name} split is void at {size} pixels a side, so there is"
                f" nothing to {why}; label some of its {self.counts[name]} masks, or split the data again"
            )
        return split

    def _read(self, folder: Path, name: str, size: int) -> Split | None:
        """What is cached; None if it is not there whole."""
        shape = (self.counts[name], size, size)
        try:
            names = read_json(folder / f"{name}.json")["names"]  # written last
            images, labels = (np.load(folder / f"{name}_{kind}.npy", mmap_mode="r") for kind in KINDS)
        except (SegnbError, *UNREADABLE):
            return None
        return Split(images, labels, names) if (images.shape, labels.shape) == ((*shape, 3), shape) else None

    def _write(self, cache: Path, folder: Path, name: str, size: int) -> None:
        shape = (self.counts[name], size, size)
        image_path, label_path = (folder / f"{name}_{kind}.npy" for kind in KINDS)
        with atomic_path(image_path) as image_file, atomic_path(label_path) as label_file:
            images = new_array(image_file, (*shape, 3), np.uint8)
            labels = new_array(label_file, shape, np.uint8)
            for i, (image, ids) in enumerate(self.frames(cache, name, size)):
                images[i], labels[i] = image, ids
            images.flush()
            labels.flush()
        write_json(folder / f"{name}.json", {"names": self.names[name], "size": size})

    def shifted(self, cache: Path, kind: str, size: int) -> Split | None:
        """Return the first 120 test scenes (or all) under other conditions, see `shifts.shifted`.

        None for drives and folders. Raises ValueError on an unknown kind.
        """
        if self.view is None:
            return None
        count = min(shifts.MOST, self.counts["test"])
        images, labels = shifts.shifted(count, cache, kind, size)
        return Split(self.view.images(images), self.view.labels(labels), self.names["test"][:count])

    def visibility(self, cache: Path, size: int) -> tuple[np.ndarray, np.ndarray] | tuple[()]:
        """Return how much of each thing of this label set is in sight, and its number: `shifts.visibility`.

        uint8 and uint16 (N, size, size); nothing for drives and folders.
        """
        if self.view is None:
            return ()
        visible, numbers, labels = shifts.visibility(self.counts["test"], cache, size)
        things = np.isin(self.view.labels(labels), [self.classes.id(name) for name in self.classes.things])
        return np.where(things, visible, 0), np.where(things, numbers, 0)


def open_data(data: str, preset: Preset, cache: Path | None = None) -> Data:
    """The data source of that name or path, which may carry the name of its layout: "lyft:PATH".

    cache: folder in which the check sums of a folder's files are remembered

    Raises SegnbError if the folder is missing or unsound.
    """
    if data in VIEWS:
        return _streets(preset, data)
    if data in DRIVES:
        return _drives(preset, data)
    path, named = layouts.parse(data)
    if not os.path.isdir(path):  # unlike Path.is_dir it bears any name
        choices = ", ".join(f'"{name}"' for name in RENDERED)
        raise SegnbError(f"data {data!r} is neither {choices} nor a folder; name one of them")
    return _folder(path.resolve(), named, cache)


def _streets(preset: Preset, name: str) -> Data:
    """Open the rendered streets in one of `VIEWS`; all are made from scenes that are rendered once."""
    view, plain = VIEWS[name], name == "streets"
    counts = {"train": preset.train, "val": preset.val, "test": preset.test}
    digest = hashlib.sha256(f"{streets.digest()} {counts}".encode())
    if not plain:
        # What the view does to some colours and to every label tells its code apart.
        colours, ids = np.arange(15, dtype=np.uint8).reshape(5, 3), np.arange(len(STREET), dtype=np.uint8)
        digest = hashlib.sha256(f"{digest.hexdigest()[:16]} {name}".encode())
        digest.update(view.images(colours).tobytes() + view.labels(ids).tobytes())

    def render(_: Path, split: str, size: int) -> Frames:
        return zip(*streets.render(split, counts[split], size), strict=True)

    def see(cache: Path, split: str, size: int) -> Frames:
        scenes = _streets(preset, "streets").split(cache, split, size)
        return map(lambda image, ids: (view.images(image), view.labels(ids)), scenes.images, scenes.labels)

    return Data(
        name=name,
        origin=f"{view.origin} (segnb.data.streets)",
        digest=digest.hexdigest()[:16],
        classes=view.classes,
        names={split: [f"{split} {i:04d}" for i in range(n)] for split, n in counts.items()},
        frames=render if plain else see,
        view=view,
    )


def _drives(preset: Preset, name: str) -> Data:
    """Open the rendered drives in one of their splits; both have the same test frames, rendered once."""
    frames = drives.plan(preset.train, preset.val, preset.test, interleaved=name != "streets-drives")

    def render(cache: Path, split: str, size: int) -> Frames:
        if split == "test" and name != "streets-drives":
            shared = _drives(preset, "streets-drives").split(cache, split, size)
            return zip(shared.images, shared.labels, strict=True)
        return drives.render(frames[split], size, f"drives of {split}")

    return Data(
        name=name,
        origin=f"{DRIVES[name]} (segnb.data.drives)",
        digest=hashlib.sha256(f"{drives.digest()} {frames}".encode()).hexdigest()[:16],
        classes=STREET,
        names={split: [drives.name(frame) for frame in one] for split, one in frames.items()},
        frames=render,
        notes=(BETWEEN,) if name != "streets-drives" else (),
    )


def _folder(path: Path, named: str | None, cache: Path | None) -> Data:
    found = reading.find(path, named)
    classes, pairs = found.coding.classes, found.pairs
    # What finds, reads and names the files shapes the pixels as well.
    code = [Path(module.__file__).read_text(encoding="utf-8") for module in (masks, pixels, reading)]
    sums = Sums(cache / "sums.json" if cache else None)
    told = repr((found.coding.values, found.coding.colours, classes.as_dict()))
    digest = fingerprint(code, [reading.digest(pairs, sums), f"pillow {version('pillow')}", told])
    sums.keep()

    def frames(cache: Path, split: str, size: int) -> Frames:
        read = reading.stream(pairs[split], size, found.coding)
        # None: only where a person watches a terminal
        yield from tqdm(read, desc=f"reading {split}", total=len(pairs[split]), unit="pair", disable=None)

    return Data(
        # Begins names of folders, of which file systems bear 255 bytes.
        name="".join(c if c.isalnum() or c in "_." else "_" for c in path.name)[:40] or "data",
        origin=(
            f"the folder {one_line(path.name)} (layout {found.listing.layout.name}"
            f"{', label set assumed from it' * found.listing.assumed})"
        ),
        digest=digest,
        classes=classes,
        names={split: [pair.name for pair in pairs[split]] for split in pairs},
        frames=frames,
        notes=tuple(map(one_line, found.notes)),
    )
