"""From a data source to batches: a uint8 cache on disk, then whole batches normalised on the device.

Sources are rendered streets, the same streets seen differently (`VIEWS`), or a folder in the study's layout;
everything downstream sees `Split`.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from segnb.classes import LABEL_SETS, STREET
from segnb.data import folders, streets
from segnb.errors import SegnbError
from segnb.files import atomic, fingerprint, read_json, write_json
from segnb.machine import Machine
from segnb.presets import Preset

SPLITS = ("train", "val", "test")
# ImageNet's channel means and deviations (RGB, 0..1), the normalisation of the study and of its trunk.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Split:
    """images uint8 (N, S, S, 3) RGB, labels uint8 (N, S, S) ids, names (N,); memory-mapped."""

    images: np.ndarray
    labels: np.ndarray
    names: list[str]

    def __len__(self) -> int:
        return len(self.names)

    def batch(
        self, chosen: np.ndarray, flips: np.ndarray, machine: Machine
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised images, float (B, 3, S, S), and labels, long (B, S, S).

        chosen: indices (B,); flips: bool (N,), which images of the split are mirrored
        """
        images = _mirrored(torch.from_numpy(self.images[chosen]).to(machine.device), flips[chosen])
        return machine.arrange(normalise(images)), self.label_batch(chosen, flips, machine)

    def label_batch(self, chosen: np.ndarray, flips: np.ndarray, machine: Machine) -> torch.Tensor:
        """The labels alone."""
        return _mirrored(torch.from_numpy(self.labels[chosen]).to(machine.device), flips[chosen]).long()


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
    label_set: str = "street"
    images: Callable[[np.ndarray], np.ndarray] = np.asarray
    labels: Callable[[np.ndarray], np.ndarray] = np.asarray


VIEWS = {
    "streets": View("rendered street scenes"),
    "streets-false-colours": View("rendered street scenes in false colours", images=false_colours),
    "streets-car": View("rendered street scenes, cars against the rest", "car", labels=cars_alone),
}


@dataclass(frozen=True)
class Data:
    """A data set before it is read: what it is called, what identifies it, how to make a split."""

    name: str  # a name in `VIEWS`, or the folder's name
    origin: str  # a sentence for the report
    digest: str  # 16 hex digits over everything that shapes the pixels, but for their size
    counts: dict[str, int]  # images by split
    label_set: str  # a name in `segnb.classes.LABEL_SETS`
    # (cache folder, split, size) -> images, labels; may take minutes
    make: Callable[[Path, str, int], tuple[np.ndarray, np.ndarray]] = field(repr=False)
    names: dict[str, list[str]] = field(repr=False)
    view: View | None = None  # how rendered streets are seen; None: not rendered

    def folder(self, cache: Path, size: int) -> Path:
        return cache / f"{self.name}-{self.digest}" / str(size)

    def split(self, cache: Path, name: str, size: int) -> Split:
        """One split at `size` pixels a side; made and cached on the first call."""
        folder = self.folder(cache, size)
        paths = {kind: folder / f"{name}_{kind}.npy" for kind in ("images", "labels")}
        ready = folder / f"{name}.json"  # written last: without it the arrays do not count
        if not ready.exists():
            images, labels = self.make(cache, name, size)
            for kind, array in (("images", images), ("labels", labels)):
                with atomic(paths[kind]) as file:
                    np.save(file, array)
            write_json(ready, {"names": self.names[name], "size": size})
        arrays = {kind: np.load(path, mmap_mode="r") for kind, path in paths.items()}
        return Split(**arrays, names=read_json(ready)["names"])


def open_data(data: str, preset: Preset) -> Data:
    """The data source of that name or path. Raises SegnbError if the folder is missing or unsound."""
    if data == "streets":
        return _streets(preset)
    if data in VIEWS:
        return _seen(_streets(preset), data)
    if not Path(data).is_dir():
        choices = ", ".join(f'"{name}"' for name in VIEWS)
        raise SegnbError(f"data {data!r} is neither {choices} nor a folder; name one of them")
    return _folder(Path(data).resolve())


def _streets(preset: Preset) -> Data:
    counts = {"train": preset.train, "val": preset.val, "test": preset.test}
    digest = hashlib.sha256(f"{streets.digest()} {counts}".encode()).hexdigest()[:16]
    return Data(
        name="streets",
        origin=f"{VIEWS['streets'].origin} (segnb.data.streets)",
        digest=digest,
        counts=counts,
        label_set=VIEWS["streets"].label_set,
        make=lambda cache, split, size: streets.render(split, counts[split], size),
        names={split: [f"{split} {i:04d}" for i in range(n)] for split, n in counts.items()},
        view=VIEWS["streets"],
    )


def _seen(plain: Data, name: str) -> Data:
    """The same scenes in another view, made from the rendered ones so that they are rendered once."""
    view = VIEWS[name]
    # What the view does to some colours and to every label tells its code apart.
    colours, ids = np.arange(15, dtype=np.uint8).reshape(5, 3), np.arange(len(STREET), dtype=np.uint8)
    digest = hashlib.sha256(f"{plain.digest} {name}".encode())
    digest.update(view.images(colours).tobytes() + view.labels(ids).tobytes())

    def make(cache: Path, split: str, size: int) -> tuple[np.ndarray, np.ndarray]:
        scenes = plain.split(cache, split, size)
        return view.images(scenes.images), view.labels(scenes.labels)

    return replace(
        plain,
        name=name,
        origin=f"{view.origin} (segnb.data.streets)",
        digest=digest.hexdigest()[:16],
        label_set=view.label_set,
        make=make,
        view=view,
    )


def _folder(path: Path) -> Data:
    form = folders.layout(path)
    classes = LABEL_SETS[form.label_set]
    pairs = folders.find(path)
    # What reads the files shapes the pixels as well.
    code = Path(folders.__file__).read_text(encoding="utf-8")
    shaped = [folders.digest(pairs), f"pillow {version('pillow')}", *classes.names, str(classes.void)]
    return Data(
        name="".join(c if c.isalnum() or c in "_." else "_" for c in path.name),
        origin=f"the folder {path.name}",
        digest=fingerprint([code], shaped),
        counts={split: len(pairs[split]) for split in SPLITS},
        label_set=form.label_set,
        make=lambda cache, split, size: folders.load(pairs[split], size, classes),
        names={split: [pair.name for pair in pairs[split]] for split in SPLITS},
    )


def normalise(images: torch.Tensor) -> torch.Tensor:
    """uint8 (N, H, W, 3) to float (N, 3, H, W) in channels_last memory, by ImageNet's statistics."""
    mean = torch.tensor(MEAN, device=images.device) * 255
    std = torch.tensor(STD, device=images.device) * 255
    # NHWC seen as NCHW is what channels_last means: no copy here.
    return ((images.float() - mean) / std).permute(0, 3, 1, 2)


def _mirrored(pictures: torch.Tensor, flips: np.ndarray) -> torch.Tensor:
    """Pictures (B, H, W, ...) with those turned left to right that `flips` (B,) names."""
    if flips.any():
        flip = torch.from_numpy(flips).to(pictures.device).view(-1, *[1] * (pictures.ndim - 1))
        pictures = torch.where(flip, pictures.flip(2), pictures)
    return pictures


def in_order(split: Split, batch_size: int, machine: Machine) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of (images float (B, 3, S, S), labels long (B, S, S)) in file order, the last one short.

    `split` may also be a `segnb.features.FeatureSplit`; then features stand in the place of images.
    """
    unturned = np.zeros(len(split), bool)
    for start in range(0, len(split), batch_size):
        yield split.batch(np.arange(start, min(start + batch_size, len(split))), unturned, machine)


def shuffled(
    split: Split, batch_size: int, machine: Machine, seed: int, epoch: int, mirror: bool
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The same in an order, and with mirrored images, that only (seed, epoch) decide."""
    draw = np.random.default_rng([seed, epoch])
    order = draw.permutation(len(split))
    flips = draw.random(len(split)) < 0.5 if mirror else np.zeros(len(split), bool)
    for start in range(0, len(order), batch_size):
        yield split.batch(order[start : start + batch_size], flips, machine)
