"""segnb/data/reading.py: finding and reading pairs. Broken files are in test_bad_input."""

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segnb.data import reading
from segnb.data.masks import STREET_CODING
from segnb.data.splits import Pair
from segnb.data.tools import check
from segnb.errors import SegnbError
from segnb.labels import STREET
from tests.conftest import CHECKOUT
from tests.data.broken_files import NOISE, encoded, flat, refusal, turned
from tests.data.tools.conftest import SHARED, save


def add_pair(folder: Path, name: str, height: int = 8, width: int = 8) -> Pair:
    """Add a random pair to FOLDER/images and FOLDER/labels; its pixels depend on the name alone."""
    draw = np.random.default_rng(list(name.encode()))
    image = draw.integers(0, 256, (height, width, 3), np.uint8)
    label = draw.integers(0, len(STREET), (height, width), np.uint8)
    return Pair(
        name,
        save(image, folder / "images" / f"{name}.png"),
        save(label, folder / "labels" / f"{name}.png"),
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A sound folder: ten training pairs and three test pairs."""
    for i in range(10):
        add_pair(tmp_path / "dataset_8" / "train", f"{i:04d}")
    for i in range(10, 13):
        add_pair(tmp_path / "dataset_8" / "test", f"{i:04d}")
    return tmp_path / "dataset_8"


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return add_pair(tmp_path, "0001")


# Splits.


def test_splits_are_disjoint_sorted_and_complete_and_pairs_hold_their_own_files(data):
    found = reading.find(data).pairs
    names = {split: [pair.name for pair in pairs] for split, pairs in found.items()}
    assert {split: len(pairs) for split, pairs in found.items()} == {"train": 8, "val": 2, "test": 3}
    assert all(names[split] == sorted(names[split]) for split in names)
    assert sorted(names["train"] + names["val"]) == [f"{i:04d}" for i in range(10)]
    for pair in [pair for pairs in found.values() for pair in pairs]:
        for file, kind in ((pair.image, "images"), (pair.label, "labels")):
            assert (file.parent.name, file.stem) == (kind, pair.name) and file.is_file()


# What is wrong with a folder.


def test_jpeg_labels_do_not_count_as_labels(data):
    label = data / "train" / "labels" / "0003.png"
    label.rename(label.with_suffix(".jpg"))
    assert "0003.png: image without mask (expected" in refusal(reading.find, data)


@pytest.mark.parametrize("split", ["train", "test"])
def test_first_pair_is_read_so_that_masks_of_another_kind_are_refused_at_once(data, split):
    label = reading.find(data).pairs[split][0].label
    Image.open(label).convert("RGB").point(lambda value: value + 99).save(label)
    assert label.name in refusal(reading.find, data)


# Reading.


def test_same_size_is_returned_untouched(pair):
    image, label = reading.read(pair, 8, STREET_CODING)
    assert image.dtype == label.dtype == np.uint8
    np.testing.assert_array_equal(image, np.asarray(Image.open(pair.image)))
    np.testing.assert_array_equal(label, np.asarray(Image.open(pair.label)))
    image[:], label[:] = 0, 0  # writable, or torch.from_numpy would warn


def test_image_is_averaged_and_labels_are_not(tmp_path):
    rows = np.repeat(np.arange(16) % 2, 16).reshape(16, 16).astype(np.uint8)  # stripes one pixel high
    striped = Pair(
        "s",
        save(np.stack([rows * 255] * 3, -1), tmp_path / "images" / "s.png"),
        save(rows * 12, tmp_path / "labels" / "s.png"),
    )
    image, label = reading.read(striped, 4, STREET_CODING)
    assert image.shape == (4, 4, 3) and label.shape == (4, 4)
    assert 110 <= image.min() and image.max() <= 145  # grey: every stripe has its share
    assert set(np.unique(label)) <= {0, 12}  # nothing in between


def test_oblong_frame_is_squeezed_whole(tmp_path):
    halves = np.zeros((4, 12), np.uint8)
    halves[:, 6:] = 7
    oblong = Pair(
        "o",
        save(np.stack([halves] * 3, -1), tmp_path / "images" / "o.png"),
        save(halves, tmp_path / "labels" / "o.png"),
    )
    image, label = reading.read(oblong, 4, STREET_CODING)
    assert image.shape == (4, 4, 3)
    np.testing.assert_array_equal(label, [[0, 0, 7, 7]] * 4)


def test_several_keeps_the_order_and_few_ahead(monkeypatch):
    monkeypatch.setattr(reading, "AT_ONCE", 3)
    asked = []
    results = reading.several(lambda i: i * i, (asked.append(i) or i for i in range(50)))
    assert [next(results) for _ in range(20)] == [i * i for i in range(20)]
    assert len(asked) <= 20 + 3
    assert list(results) == [i * i for i in range(20, 50)]


def test_several_stops_at_an_error():
    started = []

    def task(i):
        started.append(i)
        if not i:
            raise SegnbError("the first")
        time.sleep(0.02)

    with pytest.raises(SegnbError, match="the first"):
        list(reading.several(task, range(1000)))
    assert len(started) < reading.AT_ONCE  # waiting tasks never start


def test_stream_keeps_the_order_and_equals_reading_one_by_one(data, monkeypatch):
    monkeypatch.setattr(reading, "AT_ONCE", 3)
    pairs = reading.find(data).pairs["train"]
    frames = list(reading.stream(pairs, 6, STREET_CODING))
    assert len(frames) == len(pairs) == 8
    for (image, labels), pair in zip(frames, pairs, strict=True):
        assert image.shape == (6, 6, 3) and labels.shape == (6, 6)
        assert image.dtype == labels.dtype == np.uint8
        alone = reading.read(pair, 6, STREET_CODING)
        np.testing.assert_array_equal(image, alone[0])
        np.testing.assert_array_equal(labels, alone[1])


# Ids that are not the layout's.


def street(folder: Path, bottom: tuple[int, ...], top: tuple[int, ...]) -> Path:
    """Make three training and three test frames, with these ids at the bottom and at the top."""
    for split, first in (("train", 0), ("test", 3)):
        for i in range(first, first + 3):
            label = np.resize(np.uint8(top), (20, 16))
            label[10:] = np.resize(np.uint8(bottom), (10, 16))
            pair = add_pair(folder / split, f"{i:04d}", 20, 16)
            save(label, pair.label)
    return folder


@pytest.mark.parametrize(
    "bottom, top, words",
    [
        ((7, 7, 10), (0, 9), ""),  # the study's: road and cars below sky and trees
        ((3, 3, 4), (0, 1), "put Other and Pedestrian where the street should be"),  # CamVid's
        ((0, 0, 1), (10, 8), "put Unlabeled and Building where"),  # Cityscapes' for training
        ((0,), (0, 1), "put Unlabeled where"),  # cracks
    ],
)
def test_ids_that_contradict_the_label_set_of_a_layout_are_refused_by_training_and_check(
    tmp_path, bottom, top, words
):
    data = street(tmp_path / "data", bottom, top)
    kinds = [one.kind for one in check.look(str(data)).of("error")]
    if not words:
        assert reading.notes(*reading.find(data))[0].startswith("Without a classes.csv") and not kinds
        return
    message = refusal(reading.find, data)
    assert message.startswith(f"{data}: without a classes.csv, the ids of the layout") and words in message
    assert "(expected one of Road, Roadline, Sidewalk, Car). Name the ids" in message
    assert kinds == ["other-ids"]
    (data / "classes.csv").write_text("id,name\n" + "".join(f"{i},class {i}\n" for i in range(13)))
    assert reading.notes(*reading.find(data)) == []


# What is wrong with a file: see also test_bad_input.


def test_wrong_id_is_noticed_where_resizing_would_drop_it(pair):
    label = np.zeros((8, 8), np.uint8)
    label[0, 0] = 99
    save(label, pair.label)
    assert np.asarray(Image.open(pair.label).resize((1, 1), Image.Resampling.NEAREST)).max() == 0
    assert "unknown class id 99" in refusal(reading.read, pair, 1, STREET_CODING)


def test_permission_message(pair, monkeypatch):
    def denied(path, formats):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(reading.Image, "open", denied)
    message = refusal(reading.read, pair, 8, STREET_CODING)
    assert message.startswith(str(pair.image)) and "chmod u+r" in message


def test_the_documented_command_makes_upright_rgb_images(tmp_path):
    page = (CHECKOUT / "docs" / "usage.md").read_text(encoding="utf-8")
    (code,) = re.findall(r'^python (-c "import pathlib.*?")$', page, re.M | re.S)
    folder = tmp_path / "predicted" / "images" / "trip"
    folder.mkdir(parents=True)
    (folder / "turned.1.jpg").write_bytes(encoded(NOISE.crop((0, 0, 16, 9)), "JPEG", exif=turned(6)))
    (folder / "grey.png").write_bytes(flat(8, 0, 1))
    (folder / "faint.png").write_bytes(flat(8, 6, 254))
    for file in folder.iterdir():
        refusal(reading.read_image, file)
    subprocess.run(["sh", "-c", f"{shlex.quote(sys.executable)} {code}"], cwd=tmp_path, check=True)
    found = {file.name: reading.read_image(file) for file in folder.iterdir()}
    assert {image.mode for image in found.values()} == {"RGB"} and len(found) == 3
    assert found["turned.1.jpg"].size == (9, 16)


# Digest.


def test_digest_stays_when_the_folder_moves(data):
    before = reading.digest(reading.find(data).pairs)
    assert len(before) == 16 and set(before) <= set("0123456789abcdef")
    moved = data.rename(data.with_name("elsewhere"))
    found = reading.find(moved).pairs
    assert reading.digest(found) == before
    assert reading.digest(dict(reversed(found.items()))) == before


@pytest.mark.parametrize("kind", ["image", "label"])
def test_digest_notices_one_byte(data, kind):
    found = reading.find(data).pairs
    before = reading.digest(found)
    file = getattr(found["test"][1], kind)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert reading.digest(found) != before


def test_digest_notices_split_and_name(data):
    a, b, c = reading.find(data).pairs["test"]
    renamed = Pair(b.name + "x", b.image, b.label)
    listings = (
        {"train": [a, b], "val": [c]},
        {"train": [a], "val": [b, c]},  # the same files in the same order
        {"train": [a, renamed], "val": [c]},
    )
    assert len({reading.digest(pairs) for pairs in listings}) == 3


def test_digest_names_an_unreadable_file(data):
    found = reading.find(data).pairs
    found["test"][0].label.unlink()
    message = refusal(reading.digest, found)
    assert str(found["test"][0].label) in message and "Fix or remove it." in message


# Real frames, where this machine has them.


def test_real_carla_frames():
    path = SHARED / "carla_mini" / "dataset_224"
    if not path.is_dir():
        pytest.skip("no ../shared/data/carla_mini next to the repository")
    found = reading.find(path).pairs
    assert [len(pairs) for pairs in found.values()] == [18, 4, 8]
    images, labels = map(np.stack, zip(*reading.stream(found["test"], 224, STREET_CODING), strict=True))
    assert images.shape == (8, 224, 224, 3) and labels.shape == (8, 224, 224)
    # The study's statistics: these five are in every picture.
    for name in ("Unlabeled", "Road", "Sidewalk", "Vegetation", "Car"):
        assert (labels == STREET.id(name)).any((1, 2)).all(), name
    assert images.std() > 20
