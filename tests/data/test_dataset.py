"""Data sets by name: rendered streets, other views of them, and folders; and their cache."""

import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from segnb.data import streets
from segnb.data.dataset import VIEWS, Data, cars_alone, false_colours, open_data
from segnb.errors import SegnbError
from segnb.labels import CAR, IGNORE_INDEX, LABEL_SETS, STREET
from segnb.presets import PRESETS

SIZE = 32


@pytest.fixture
def smoke(monkeypatch):
    """The smoke preset with a list of the scenes rendered, without worker processes."""
    drawn = []

    def render(split, count, size):
        drawn.append((split, size))
        return original(split, count, size, processes=1, progress=False)

    original = streets.render
    monkeypatch.setattr(streets, "render", render)
    return PRESETS["smoke"], drawn


def test_false_colours_keep_every_contrast_and_can_be_undone():
    draw = np.random.default_rng(0)
    colours = draw.integers(0, 256, (500, 3)).astype(np.uint8)
    seen = false_colours(colours)
    assert seen.shape == colours.shape and seen.dtype == np.uint8
    apart = [np.linalg.norm(np.diff(x.astype(float), axis=0), axis=1) for x in (colours, seen)]
    assert np.allclose(*apart)
    again = seen
    for _ in range(5):  # a symmetry of the cube: here it comes round after six times
        again = false_colours(again)
    assert np.array_equal(again, colours)
    assert not np.array_equal(false_colours(seen), colours)


def test_false_colours_turn_greys_into_colours():
    grey = np.repeat(np.array([[0], [80], [255]], np.uint8), 3, 1)
    assert false_colours(grey).tolist() == [[255, 0, 255], [175, 80, 175], [0, 255, 0]]


def test_cars_alone_are_a_label_set_of_two():
    labels = np.arange(len(STREET), dtype=np.uint8)
    alone = cars_alone(labels)
    assert alone.dtype == np.uint8
    assert [LABEL_SETS["car"].names[i] for i in alone] == ["Rest"] * 10 + ["Car"] + ["Rest"] * 2


def test_views_show_the_scenes_of_the_streets_and_render_them_once(smoke, tmp_path):
    preset, drawn = smoke
    plain, wrong, car = (open_data(name, preset) for name in VIEWS)
    scenes = plain.split(tmp_path, "test", SIZE)
    coloured, cars = (data.split(tmp_path, "test", SIZE) for data in (wrong, car))
    assert drawn == [("test", SIZE)]
    assert np.array_equal(coloured.images, false_colours(scenes.images))
    assert np.array_equal(coloured.labels, scenes.labels)
    assert np.array_equal(cars.images, scenes.images)
    assert np.array_equal(cars.labels == 1, scenes.labels == STREET.id("Car"))
    assert plain.names == wrong.names == car.names
    assert scenes.names == coloured.names == cars.names


def test_every_view_is_a_data_set_of_its_own(smoke):
    found = {name: open_data(name, smoke[0]) for name in VIEWS}
    assert [data.name for data in found.values()] == list(VIEWS)
    assert len({data.digest for data in found.values()}) == len(VIEWS)
    assert {name: data.classes.key for name, data in found.items()} == {
        "streets": "street", "streets-false-colours": "street", "streets-car": "car",
    }  # fmt: skip
    assert all(len(data.digest) == 16 for data in found.values())


def test_a_view_that_does_something_else_has_another_digest(smoke, monkeypatch):
    before = open_data("streets-car", smoke[0]).digest
    other = VIEWS["streets-car"].__class__("cars", CAR, labels=lambda labels: (labels == 4).astype(np.uint8))
    monkeypatch.setitem(VIEWS, "streets-car", other)
    assert open_data("streets-car", smoke[0]).digest != before


def test_an_unknown_name_lists_all_choices(smoke):
    with pytest.raises(SegnbError) as caught:
        open_data("street", smoke[0])
    message = str(caught.value)
    assert "\n" not in message and message.startswith("unknown data 'street' (expected a folder, or one of")
    assert all(f'"{name}"' in message for name in VIEWS)


# ---- the cache -----------------------------------------------------------------------------------


def made_up(frames, count: int) -> Data:
    names = {"train": [f"{i}" for i in range(count)]}
    return Data("made_up", "nowhere", "0" * 16, STREET, names, frames)


def test_a_cache_is_filled_frame_by_frame_however_large_it_is(tmp_path):
    count, size = 60, 256

    def frames(cache, split, size):
        for i in range(count):
            yield np.full((size, size, 3), i, np.uint8), np.full((size, size), i % 13, np.uint8)

    tracemalloc.start()
    split = made_up(frames, count).split(tmp_path, "train", size)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert split.images.shape == (count, size, size, 3) and isinstance(split.images, np.memmap)
    assert [int(image[0, 0, 0]) for image in split.images] == list(range(count))
    assert most < 8 * size * size * 4  # a few frames, not sixty


def test_a_cache_that_could_not_be_filled_is_not_there(tmp_path):
    calls = []

    def frames(cache, split, size):
        calls.append(1)
        yield np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.uint8)
        if len(calls) == 1:
            raise SegnbError("0002.png: cannot be decoded")
        yield np.ones((size, size, 3), np.uint8), np.ones((size, size), np.uint8)

    data = made_up(frames, 2)
    with pytest.raises(SegnbError, match="0002.png"):
        data.split(tmp_path, "train", SIZE)
    left = [path.name for path in data.folder(tmp_path, SIZE).iterdir()]
    assert left == [".train.lock"]
    assert data.split(tmp_path, "train", SIZE).labels[1].all() and len(calls) == 2


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_without_a_labelled_pixel_is_refused_and_one_pixel_is_enough(tmp_path, split):
    void = np.full((SIZE, SIZE), IGNORE_INDEX, np.uint8)
    labelled = void.copy()
    labelled[-1, -1] = 3

    def data(digest: str, last: np.ndarray) -> Data:
        def frames(cache, name, size):
            return ((np.zeros((size, size, 3), np.uint8), labels) for labels in (void, last))

        return Data("made_up", "nowhere", digest, STREET, {split: ["0", "1"]}, frames)

    assert len(data("sound", labelled).split(tmp_path, split, SIZE)) == 2
    for _ in range(2):  # the second time it is cached
        with pytest.raises(
            SegnbError, match=f"^nowhere: every pixel of the {split} split is void at {SIZE}×"
        ):
            data("void", void).split(tmp_path, split, SIZE)


def test_processes_that_want_the_same_cache_wait_for_the_first(tmp_path):
    calls = []

    def frames(cache, split, size):
        calls.append(1)
        time.sleep(0.2)
        yield np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.uint8)

    data = made_up(frames, 1)
    with ThreadPoolExecutor(4) as pool:  # flock distinguishes file descriptors, even within a process
        splits = list(pool.map(lambda _: data.split(tmp_path, "train", SIZE), range(4)))
    assert len(calls) == 1 and all(len(split) == 1 for split in splits)


def test_check_sums_are_remembered_until_a_file_changes(dataset, tmp_path, smoke):
    from segnb.storage import checksums

    data = open_data(str(dataset), smoke[0], tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checksums, "sha256", lambda path: pytest.fail(f"{path} was read again"))
        assert open_data(str(dataset), smoke[0], tmp_path).digest == data.digest
    one = dataset / "train" / "images" / "0000.png"
    one.write_bytes(one.read_bytes() + b"\0")
    assert open_data(str(dataset), smoke[0], tmp_path).digest != data.digest
    for damaged in ("{damaged", "[1, 2]", '{"a": 1}'):
        (tmp_path / "sums.json").write_text(damaged)
        assert len(open_data(str(dataset), smoke[0], tmp_path).digest) == 16


def test_a_folder_brings_its_own_classes(dataset, smoke, tmp_path):
    (dataset / "classes.csv").write_text("id,name,thing\n0,Ground,\n7,Sky,\n9,Car,yes\n")
    data = open_data(f"study:{dataset}", smoke[0])
    assert data.classes.names == ("Ground", "Sky", "Car") and data.classes.things == ("Car",)
    assert set(np.unique(data.split(tmp_path, "test", SIZE).labels)) <= {0, 1, 2}
