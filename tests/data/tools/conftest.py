"""Folders of pictures that the tools check and copy."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import CHECKOUT

SHARED = CHECKOUT.parent / "shared" / "data"
NEAREST, BILINEAR = Image.Resampling.NEAREST, Image.Resampling.BILINEAR


def picture(seed: int, height: int = 36, width: int = 48) -> np.ndarray:
    """Return blobs of random colours, uint8 (H, W, 3), very different for each seed."""
    blobs = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    return np.array(Image.fromarray(blobs).resize((width, height), BILINEAR))


def mask(seed: int, height: int = 36, width: int = 48) -> np.ndarray:
    """Return blocks of at least 4 × 4 pixels, uint8 (H, W), with every class of STREET."""
    blocks = np.random.default_rng(seed).permutation(np.arange(63, dtype=np.uint8) % 13).reshape(7, 9)
    return np.array(Image.fromarray(blocks).resize((width, height), NEAREST))


def save(pixels: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def add(folder: Path, name: str, seed: int) -> None:
    save(picture(seed), folder / "images" / f"{name}.png")
    save(mask(seed), folder / "labels" / f"{name}.png")


def image(data: Path, name: str = "0003", split: str = "train") -> Path:
    return data / split / "images" / f"{name}.png"


def labels(data: Path, name: str = "0003", split: str = "train") -> Path:
    return data / split / "labels" / f"{name}.png"


def soften(path: Path) -> None:
    # Twelve times the pixels, so that there are boundaries enough to judge by.
    big = Image.open(path).resize((240, 180), NEAREST).resize((200, 150), BILINEAR)
    big.save(path)
    photo = path.parent.with_name("images") / path.name
    Image.open(photo).resize((200, 150)).save(photo)


def state(folder: Path) -> dict:
    """Return inode, time of change and content of all files in a folder."""
    return {
        path.relative_to(folder): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A valid folder in the study's layout: ten training pairs, two of which validate, and three for test."""
    for i in range(10):
        add(tmp_path / "data" / "train", f"{i:04d}", i)
    for i in range(10, 13):
        add(tmp_path / "data" / "test", f"{i:04d}", i)
    return tmp_path / "data"


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    """Five drives of four frames in Lyft's layout; ids in the red channel."""
    for drive in "ABCDE":
        for i in range(4):
            seed = ord(drive) + 10 * i
            save(picture(seed), tmp_path / "drives" / f"data{drive}" / "CameraRGB" / f"{i}.png")
            ids = mask(seed)
            red = np.stack([ids, 0 * ids, 0 * ids], -1)
            save(red, tmp_path / "drives" / f"data{drive}" / "CameraSeg" / f"{i}.png")
    return tmp_path / "drives"
