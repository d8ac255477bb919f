"""Data sets: rendered streets in one of `VIEWS`, rendered `DRIVES`, or a folder.

Each is cached on disk as uint8 arrays, once per size. All runs and processes map the same files into memory,
as a `segnb.data.batches.Split`.
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
from segnb.runtime.pool import at_work
from segnb.storage.checksums import Sums, fingerprint
from segnb.storage.files import UNREADABLE, atomic, atomic_path, made_once, new_array, read_json, write_json

KINDS = ("images", "labels")
Frames = Iterator[tuple[np.ndarray, np.ndarray]]  # image uint8 (S, S, 3), labels uint8 (S, S)


def false_colours(images: np.ndarray) -> np.ndarray:
    """Return RGB images (..., 3) in colours that no street has, by a symmetry of the colour cube.

    The mapping keeps all distances between colours, and with them all contrasts. The axis from black to
    white, along which photographs vary most, becomes that from magenta to green.
    """
    red, green, blue = np.moveaxis(images, -1, 0)
    return np.stack([255 - blue, red, 255 - green], -1)


def cars_alone(labels: np.ndarray) -> np.ndarray:
    """Return labels of STREET as labels of CAR: 1 for Car, 0 for the rest."""
    return (labels == STREET.id("Car")).astype(np.uint8)


@dataclass(frozen=True)
class View:
    """A view of the rendered streets: a label set, and functions of their images and labels."""

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
    "streets-drives-interleaved": "drives along rendered streets, with test frames between training frames",
}
BETWEEN = (
    "Test frames lie between training frames of the same drive, on purpose. Scores do not show how well the"
    " networks do on other drives."
)
RENDERED = (*VIEWS, *DRIVES)  # names of data without a folder


@dataclass(frozen=True)
class Data:
    """A data set that is read on demand.

    Args:
        name: a name in `RENDERED`, or the name of the folder
        origin: a phrase for the report, such as "rendered street scenes"
        digest: 16 hex digits that identify the pixels, at any size
        classes: the label set
        names: of the images, by split
        frames: a function of (cache folder, split, size) that yields the frames of a split
        notes: sentences for a reader about the masks and the split
        view: of the rendered streets; None for drives and folders
    """

    name: str
    origin: str
    digest: str
    classes: ClassMap
    names: dict[str, list[str]] = field(repr=False)
    frames: Callable[[Path, str, int], Frames] = field(repr=False)
    notes: tuple[str, ...] = ()
    view: View | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Number of images by split."""
        return {split: len(names) for split, names in self.names.items()}

    def folder(self, cache: Path, size: int) -> Path:
        """Return the folder of the cached arrays of a size."""
        return cache / f"{self.name}-{self.digest}" / str(size)

    def split(self, cache: Path, name: str, size: int) -> Split:
        """Return a split at `size`×`size` pixels.

        The first call makes and caches it, which may take minutes. Meanwhile other processes wait. Frames go
        to disk one by one, so a data set may be larger than memory.

        Raises:
            SegnbError: if all its pixels are void.
        """
        folder = self.folder(cache, size)
        split = made_once(
            folder / f".{name}.lock",
            read=lambda: self._read(folder, name, size),
            make=lambda: self._write(cache, folder, name, size),
        )
        if not any((labels != IGNORE_INDEX).any() for labels in split.labels):  # stops at the first label
            why = {"train": "learn from", "val": "choose weights by", "test": "score"}[name]
            raise SegnbError(
                f"{self.origin}: every pixel of the {name} split is void at {size}×{size} pixels (expected"
                f" labels to {why}). Label some of its {self.counts[name]} masks, or split the data again."
            )
        return split

    def _read(self, folder: Path, name: str, size: int) -> Split | None:
        """Return the cached split, or None if it is missing or incomplete."""
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
        """Return the first 120 test scenes (or all) under other conditions; None for drives and folders.

        Scene i shows the street of scene i of the test split. The first call renders the scenes and keeps
        them in `cache`, which may take a minute.

        Args:
            cache: folder of the rendered scenes
            kind: one of `shifts.KINDS`
            size: pixels per side

        Raises:
            ValueError: for an unknown kind.
        """
        if self.view is None:
            return None
        if kind not in shifts.KINDS:
            raise ValueError(f"kind: {kind!r} is unknown; choose from {', '.join(shifts.KINDS)}")
        count = min(shifts.MOST, self.counts["test"])
        jobs = [(kind, index, size) for index in range(count)]
        path = _shifts_folder(cache, size) / f"{kind}-{count}.npz"
        images, labels = _rendered_once(path, f"test scenes, {kind}", shifts.render_shifted, jobs)
        return Split(self.view.images(images), self.view.labels(labels), self.names["test"][:count])

    def visibility(self, cache: Path, size: int) -> tuple[np.ndarray, np.ndarray] | tuple[()]:
        """Return the visible share and the number of each object of this label set, see `shifts.in_sight`.

        uint8 and uint16 (N, size, size); an empty tuple for drives and folders. The first call renders the
        test scenes and keeps them in `cache`.
        """
        if self.view is None:
            return ()
        jobs = [(index, size) for index in range(self.counts["test"])]
        path = _shifts_folder(cache, size) / f"visibility-{len(jobs)}.npz"
        visible, numbers, labels = _rendered_once(path, "what is in sight", shifts.render_visibility, jobs)
        things = np.isin(self.view.labels(labels), [self.classes.id(name) for name in self.classes.things])
        return np.where(things, visible, 0), np.where(things, numbers, 0)


def _shifts_folder(cache: Path, size: int) -> Path:
    return cache / f"shifts-{shifts.digest()}" / str(size)  # presets and views share it


def _rendered_once(path: Path, title: str, task: Callable, jobs: list[tuple]) -> tuple[np.ndarray, ...]:
    """Return the stacked arrays of `task` for all jobs, which the first call renders."""

    def read() -> tuple[np.ndarray, ...] | None:
        try:
            with np.load(path) as arrays:
                return tuple(arrays[name] for name in arrays.files)
        except UNREADABLE:
            return None

    def make() -> None:
        with at_work(task, jobs, title) as results, atomic(path) as file:
            np.savez(file, *map(np.stack, zip(*results, strict=True)))

    return made_once(path.parent / f".{path.stem}.lock", read, make)


def open_data(data: str, preset: Preset, cache: Path | None = None) -> Data:
    """Open a data set by name or path.

    Args:
        data: a name in `RENDERED`, or a folder, which may name its layout as in "lyft:PATH"
        preset: the numbers of rendered scenes
        cache: folder that keeps the checksums of a folder's files

    Raises:
        SegnbError: if the folder is missing or invalid.
    """
    if data in VIEWS:
        return _streets(preset, data)
    if data in DRIVES:
        return _drives(preset, data)
    path, named = layouts.parse(data)
    if not os.path.isdir(path):  # unlike Path.is_dir it accepts any name
        choices = ", ".join(f'"{name}"' for name in RENDERED)
        raise SegnbError(f"unknown data {data!r} (expected a folder, or one of {choices}). Check the name.")
    return _folder(path.resolve(), named, cache)


def _streets(preset: Preset, name: str) -> Data:
    """Open the rendered streets in one of `VIEWS`. All views share the same rendered scenes."""
    view, plain = VIEWS[name], name == "streets"
    counts = {"train": preset.train, "val": preset.val, "test": preset.test}
    digest = hashlib.sha256(f"{streets.digest()} {counts}".encode())
    if not plain:
        # The digest contains the view's results for some colours and all labels instead of its code.
        colours, ids = np.arange(15, dtype=np.uint8).reshape(5, 3), np.arange(len(STREET), dtype=np.uint8)
        digest = hashlib.sha256(f"{digest.hexdigest()[:16]} {name}".encode())
        digest.update(view.images(colours).tobytes() + view.labels(ids).tobytes())

    def render(_: Path, split: str, size: int) -> Frames:
        return zip(*streets.render(split, counts[split], size), strict=True)

    def see(cache: Path, split: str, size: int) -> Frames:
        scenes = _streets(preset, "streets").split(cache, split, size)
        return zip(map(view.images, scenes.images), map(view.labels, scenes.labels), strict=True)

    return Data(
        name=name,
        origin=view.origin,
        digest=digest.hexdigest()[:16],
        classes=view.classes,
        names={split: [f"{split} {i:04d}" for i in range(n)] for split, n in counts.items()},
        frames=render if plain else see,
        view=view,
    )


def _drives(preset: Preset, name: str) -> Data:
    """Open the rendered drives in one of their splits. Both share the same rendered test frames."""
    interleaved = name == "streets-drives-interleaved"
    frames = drives.plan(preset.train, preset.val, preset.test, interleaved)

    def render(cache: Path, split: str, size: int) -> Frames:
        if split == "test" and interleaved:
            shared = _drives(preset, "streets-drives").split(cache, split, size)
            return zip(shared.images, shared.labels, strict=True)
        return drives.render(frames[split], size, f"{split} frames of drives")

    return Data(
        name=name,
        origin=DRIVES[name],
        digest=hashlib.sha256(f"{drives.digest()} {frames}".encode()).hexdigest()[:16],
        classes=STREET,
        names={split: [drives.name(frame) for frame in part] for split, part in frames.items()},
        frames=render,
        notes=(BETWEEN,) if interleaved else (),
    )


def _folder(path: Path, named: str | None, cache: Path | None) -> Data:
    """Open a data folder."""
    listing, pairs = reading.find(path, named)
    classes = listing.coding.classes
    # The digest covers the code that reads the files, because it shapes the pixels too.
    code = [Path(module.__file__).read_text(encoding="utf-8") for module in (masks, pixels, reading)]
    sums = Sums(cache / "sums.json" if cache else None)
    coding = repr((listing.coding.values, listing.coding.colours, classes.as_dict()))
    digest = fingerprint(code, [reading.digest(pairs, sums), f"pillow {version('pillow')}", coding])
    sums.keep()

    def frames(cache: Path, split: str, size: int) -> Frames:
        read = reading.stream(pairs[split], size, listing.coding)
        # disable=None: no bar unless stderr is a terminal
        yield from tqdm(read, desc=f"reading {split}", total=len(pairs[split]), unit="pair", disable=None)

    return Data(
        # Short, because names of folders begin with it and file systems allow 255 bytes.
        name="".join(c if c.isalnum() or c in "_." else "_" for c in path.name)[:40] or "data",
        origin=(
            f"the folder {one_line(path.name)} (layout {listing.layout.name}"
            f"{', label set assumed from the layout' * listing.assumed})"
        ),
        digest=digest,
        classes=classes,
        names={split: [pair.name for pair in pairs[split]] for split in pairs},
        frames=frames,
        notes=tuple(map(one_line, reading.notes(listing, pairs))),
    )
