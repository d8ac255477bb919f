"""The cache of a frozen backbone's features: pool3, pool4 and pool5 of every view, on disk.

A **view** is an image or its horizontal flip. Features are stored in half precision (fp16), which is exact
for bf16 activations from 6e-5 up and has three significant digits of fp32 ones. Only training uses the
cache; `segnb.evaluation.cost` times networks without it.
"""

import hashlib
import math
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from segnb.data.batches import Split
from segnb.errors import SegnbError, full_disk_told
from segnb.models.fcn import CHANNELS, FCN, STRIDES, TAPS, Taps
from segnb.runtime.machine import Machine
from segnb.storage.files import locked, new_array, read_json, write_json
from segnb.training import code_digest

LIMIT = 16 * 10**9  # bytes, maximum size of the cache
SPARE = 10**9  # bytes of the disk that stay free for runs and their checkpoints


@dataclass(frozen=True)
class FeatureSplit(Split):
    """A split whose batches have features in place of images.

    Args:
        taps: by name, float16 (views, N, h, w, C), memory-mapped; view 0 is the image, view 1 its horizontal
            flip
    """

    taps: dict[str, np.ndarray]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images, in pixels."""
        return self.labels.shape[1:]

    def batch(self, chosen: np.ndarray, flips: np.ndarray, machine: Machine) -> tuple[Taps, torch.Tensor]:
        """Return the features and labels of a batch.

        Args:
            chosen: indices of the images, (B,)
            flips: bool (N,), whether to flip each image of the split
            machine: sets the device

        Returns:
            Taps, each float (B, C, h, w), or None for a tap that the network does not score; and labels, long
            (B, S, S).
        """
        views = flips[chosen].astype(int)
        taps = {
            # NHWC in memory with the axes permuted to NCHW is PyTorch's channels_last.
            name: torch.from_numpy(tap[views, chosen]).to(machine.device).float().permute(0, 3, 1, 2)
            for name, tap in self.taps.items()
        }
        return Taps(*map(taps.get, TAPS)), self.label_batch(chosen, flips, machine)


def cached(
    model: FCN, split: Split, mirror: bool, folder: Path, machine: Machine, batch_size: int
) -> FeatureSplit | None:
    """Return the features of a split, from the cache or computed.

    The key of an entry consists of the backbone's weights, the images, the code and the machine's settings,
    so FCN-32s, FCN-16s and FCN-8s with the same backbone weights share one entry. If several processes need
    the same entry, one computes it and the others wait.

    Args:
        model: an FCN with a frozen backbone
        split: the images
        mirror: True includes the horizontal flips
        folder: of the cache
        machine: device and precision
        batch_size: images per forward pass

    Returns:
        The features; None if they are larger than LIMIT or beyond the range of fp16. Both depend on data and
        weights alone. A full disk raises an error instead, because training without the cache would change
        the last digits of a run's numbers.

    Raises:
        SegnbError: if the disk is too full.
    """
    entry = folder / _key(model, split, mirror, machine)
    with locked(folder / ".lock"):
        taps = _load(entry, model)
        if taps is None:
            if not _fill(entry, model, split, mirror, machine, batch_size):
                return None
            taps = _load(entry, model)
        (entry / "done.json").touch()  # its time is that of the last use
    return FeatureSplit(split.images, split.labels, split.names, taps)


def _fill(entry: Path, model: FCN, split: Split, mirror: bool, machine: Machine, batch_size: int) -> bool:
    """Compute an entry of the cache; print the reason and return False if it is too large or beyond fp16."""
    size = sum(2 * math.prod(shape) for shape in _shapes(split, mirror).values())  # two bytes per value
    if size > LIMIT:
        print(f"features of the frozen trunk are not kept: {size / 1e9:.1f} GB do not fit", flush=True)
        return False
    _make_room(entry.parent, size)
    start = time.perf_counter()
    try:
        with full_disk_told(entry):
            sound = _compute(model, split, mirror, entry, machine, batch_size)
    except BaseException:
        shutil.rmtree(entry, ignore_errors=True)  # free the disk, which may be full
        raise
    if not sound:
        shutil.rmtree(entry)
        print("features of the frozen trunk are not kept: too large for half precision", flush=True)
        return False
    write_json(entry / "done.json", {"bytes": size, "seconds": time.perf_counter() - start})
    print(
        f"features of the frozen trunk: {(1 + mirror) * len(split)} views computed in"
        f" {time.perf_counter() - start:.0f} s and kept, {size / 1e6:.1f} MB in cache/{entry.parent.name}",
        flush=True,
    )
    return True


def _load(entry: Path, model: FCN) -> dict[str, np.ndarray] | None:
    """Open the taps that the network scores; remove an incomplete entry and return None."""
    try:
        read_json(entry / "done.json")
        return {name: np.load(entry / f"{name}.npy", mmap_mode="r") for name in model.reads}
    except (SegnbError, OSError, ValueError):
        shutil.rmtree(entry, ignore_errors=True)
        return None


def entries(folder: Path) -> dict[Path, int]:
    """Return the size of each entry of the cache in bytes, least recently used first."""
    done = sorted(folder.glob("*/done.json"), key=lambda path: path.stat().st_mtime)
    return {path.parent: read_json(path)["bytes"] for path in done}


def clear(folder: Path) -> None:
    """Remove all entries. A run that is training keeps its memory-mapped files until it ends."""
    if folder.exists():
        with locked(folder / ".lock"):
            for entry in folder.iterdir():
                if entry.is_dir():
                    shutil.rmtree(entry)


def _key(model: FCN, split: Split, mirror: bool, machine: Machine) -> str:
    """Return 16 hex digits of SHA-256 over everything that the features depend on."""
    digest = hashlib.sha256(repr((mirror, asdict(machine), torch.__version__, code_digest())).encode())
    for name, tensor in sorted(model.trunk.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy())
    digest.update(np.ascontiguousarray(split.images))
    return digest.hexdigest()[:16]


def _shapes(split: Split, mirror: bool) -> dict[str, tuple[int, ...]]:
    """Return the shape (views, N, h, w, C) of each tap's array."""
    height, width = (-(-side // 32) * 32 for side in split.labels.shape[1:])  # padded as FCN pads
    return {
        name: (1 + mirror, len(split), height // stride, width // stride, channels)
        for name, stride, channels in zip(TAPS, STRIDES, CHANNELS, strict=True)
    }


def _make_room(folder: Path, size: int) -> None:
    """Remove entries until `size` bytes fit: incomplete ones, then the least recently used.

    Raises:
        SegnbError: if the disk would be too full even with an empty cache; nothing is removed then.
    """
    sizes = entries(folder)
    free = shutil.disk_usage(folder).free + sum(sizes.values())
    if size + SPARE > free:
        raise SegnbError(
            f"features of the frozen trunk take {size / 1e9:.1f} GB, and the disk of {folder} has"
            f" {free / 1e9:.1f} GB for them: free {(size + SPARE - free) / 1e9:.1f} GB"
        )
    for rest in folder.iterdir():
        if rest.is_dir() and rest not in sizes:
            shutil.rmtree(rest)
    for entry in list(sizes):
        if sum(sizes.values()) + size <= LIMIT and size + SPARE <= shutil.disk_usage(folder).free:
            return
        del sizes[entry]
        shutil.rmtree(entry)


@torch.no_grad()
def _compute(model: FCN, split: Split, mirror: bool, folder: Path, machine: Machine, batch_size: int) -> bool:
    """Compute the features and write them to `folder`; return False if one exceeds the range of fp16."""
    folder.mkdir(parents=True)
    files = {
        name: new_array(folder / f"{name}.npy", shape, np.float16)
        for name, shape in _shapes(split, mirror).items()
    }
    for view in range(1 + mirror):
        flips = np.full(len(split), bool(view))
        for start in range(0, len(split), batch_size):
            chosen = np.arange(start, min(start + batch_size, len(split)))
            images, _ = split.batch(chosen, flips, machine)
            with machine.autocast():
                taps = model.features(images)
            for name, tap in zip(TAPS, taps, strict=True):
                half = tap.half()
                if not half.isfinite().all():
                    return False
                files[name][view, chosen] = half.permute(0, 2, 3, 1).cpu().numpy()
    for file in files.values():
        file.flush()
    return True
