"""From a data source to batches: a uint8 cache on disk, then whole batches normalised on the device.

Sources are rendered streets or a folder in the study's layout; everything downstream sees `Split`.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from segnb.classes import LABEL_SETS
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


@dataclass(frozen=True)
class Data:
    """A data set before it is read: what it is called, what identifies it, how to make a split."""

    name: str  # "streets", or the folder's name
    origin: str  # a sentence for the report
    digest: str  # 16 hex digits over everything that shapes the pixels, but for their size
    counts: dict[str, int]  # images by split
    label_set: str  # a name in `segnb.classes.LABEL_SETS`
    # (split, size) -> images, labels; may take minutes
    make: Callable[[str, int], tuple[np.ndarray, np.ndarray]] = field(repr=False)
    names: dict[str, list[str]] = field(repr=False)

    def folder(self, cache: Path, size: int) -> Path:
        return cache / f"{self.name}-{self.digest}" / str(size)

    def split(self, cache: Path, name: str, size: int) -> Split:
        """One split at `size` pixels a side; made and cached on the first call."""
        folder = self.folder(cache, size)
        paths = {kind: folder / f"{name}_{kind}.npy" for kind in ("images", "labels")}
        ready = folder / f"{name}.json"  # written last: without it the arrays do not count
        if not ready.exists():
            images, labels = self.make(name, size)
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
    if not Path(data).is_dir():
        raise SegnbError(f'data {data!r} is neither "streets" nor a folder; name a dataset_NNN folder')
    return _folder(Path(data).resolve())


def _streets(preset: Preset) -> Data:
    counts = {"train": preset.train, "val": preset.val, "test": preset.test}
    digest = hashlib.sha256(f"{streets.digest()} {counts}".encode()).hexdigest()[:16]
    return Data(
        name="streets",
        origin="rendered street scenes (segnb.data.streets)",
        digest=digest,
        counts=counts,
        label_set="street",
        make=lambda split, size: streets.render(split, counts[split], size),
        names={split: [f"{split} {i:04d}" for i in range(n)] for split, n in counts.items()},
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
        make=lambda split, size: folders.load(pairs[split], size, classes),
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
