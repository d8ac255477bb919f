"""Drives: their two splits, and streets with a moving camera and moving cars."""

from dataclasses import replace

import numpy as np
import pytest

from segnb.audit import scores
from segnb.data import drives
from segnb.data.dataset import DRIVES, open_data
from segnb.data.streets import objects
from segnb.labels import STREET
from segnb.presets import PRESETS

SIZE = 48


# ---- splits -----------------------------------------------------------------------------------------


@pytest.fixture(params=PRESETS.values(), ids=list(PRESETS))
def counts(request):
    return {split: getattr(request.param, split) for split in ("train", "val", "test")}


def both(counts) -> tuple[dict, dict]:
    return tuple(drives.plan(**counts, interleaved=way) for way in (True, False))


def test_both_splits_test_the_same_frames_and_train_on_as_many(counts):
    between, apart = both(counts)
    assert between["test"] == apart["test"]
    for plan in (between, apart):
        assert {split: len(set(frames)) for split, frames in plan.items()} == counts
        assert all(frames == sorted(frames) for frames in plan.values())
        assert len({frame for frames in plan.values() for frame in frames}) == sum(counts.values())
    # The numbers of drives and frames are the same; only the drives differ.
    numbers = [sorted(number for _, number in plan["train"]) for plan in (between, apart)]
    assert numbers[0] == numbers[1]
    assert len({drive for drive, _ in between["train"]}) == len({drive for drive, _ in apart["train"]})


def test_by_drive_no_drive_lies_on_two_sides_and_interleaved_all_do(counts):
    between, apart = (
        {split: {drive for drive, _ in frames} for split, frames in plan.items()} for plan in both(counts)
    )
    assert not apart["train"] & apart["test"] and not apart["val"] & (apart["train"] | apart["test"])
    assert between["train"] == between["test"] >= between["val"]


def test_what_follows_a_test_frame_is_never_left_out(counts):
    between, _ = both(counts)
    last = {drive: number for drive, number in between["test"]}
    seen = set(between["train"] + between["val"])
    for drive, number in between["test"]:
        assert (drive, number + 1) in seen or number == last[drive]


def test_the_published_recipe_has_the_rule_of_the_study():
    between, _ = both({"train": 1600, "val": 400, "test": 500})
    seen = {number for _, number in between["train"] + between["val"]}
    assert seen == {number for number in range(100) if number % 10 < 4}
    assert {number % 10 for _, number in between["test"]} == {9}
    study = scores.lyft_frames()
    assert set(study.number[study.split == "train"] % 10) == {0, 1, 2, 3}


# ---- a drive ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two() -> list[drives.Drive]:
    return [drives.draw(0), drives.draw(3)]


def test_the_camera_goes_on_and_cars_with_it(two):
    for drive in two:
        way = np.array([drive.way(number) for number in range(100)])
        assert way[0] == 0 and (np.diff(way) > 0).all()
        start, end = drive.scene(0), drive.scene(99)
        assert np.linalg.norm(end.camera.position - start.camera.position) > 10
        still = len(drive.still.labels)
        assert np.array_equal(start.world[:still], end.world[:still])
        assert set(end.labels[still:]) == {objects.CAR}


def test_nothing_stands_or_drives_where_the_camera_goes(two):
    for drive in two:
        lane = drive.still.camera.position[1]
        for number in range(0, 100, 9):
            moved = drive.moving.flat[..., 0] + (drive.pull * drive.way(number))[:, None]
            apart = moved[drive.pull != 1] - drive.way(number)  # without the bonnet
            beside = np.abs(drive.moving.flat[drive.pull != 1][..., 1] - lane) < 1.2
            assert not (beside & (np.abs(apart) < 3)).any()
        standing = drive.still.flat[drive.still.labels == objects.PEDESTRIAN]
        road = np.abs(drive.still.flat[drive.still.labels == objects.ROADLINE][..., 1]).max()
        assert not ((np.abs(standing[..., 1]) < 0.5 * road) & (standing[..., 0] < 60)).any()


def test_the_carriageway_has_no_gap_between_blocks(two):
    for drive in two:
        corners = drive.still.flat[drive.still.labels == objects.ROAD]
        x, y = corners[..., 0], corners[..., 1]
        under = (y.min(1) < -0.5) & (y.max(1) > 0.5) & (x.min(1) > -20)
        pieces = sorted(zip(x[under].min(1), x[under].max(1), strict=True))
        reached = pieces[0][0]
        for start, end in pieces:
            assert start < reached + 0.01
            reached = max(reached, end)
        assert reached > drive.way(99) + 100


def test_a_frame_is_a_function_of_drive_and_number_and_neighbours_are_alike(two):
    other, before = two[1].picture(51, SIZE), two[0].picture(50, SIZE)
    image, labels = two[0].picture(51, SIZE)
    (again,) = drives.render([(0, 51)], SIZE, processes=1, progress=False)
    assert np.array_equal(image, again[0]) and np.array_equal(labels, again[1])
    assert image.shape == (SIZE, SIZE, 3) and image.dtype == labels.dtype == np.uint8
    changed = [(labels != one).mean() for _, one in (before, other)]
    assert 0 < changed[0] < 0.15 < changed[1]
    # One exposure per drive, new noise per frame.
    assert abs(image.mean() - before[0].mean()) < 3
    assert not np.array_equal(image[:9], before[0][:9])


def test_a_negative_drive_is_refused():
    with pytest.raises(ValueError, match="^index: -1 is negative"):
        drives.draw(-1)


# ---- as data ----------------------------------------------------------------------------------------------


def test_drives_are_data_whose_test_frames_are_rendered_once(tmp_path, monkeypatch):
    asked = []

    def render(frames, size, title):
        asked.append((title, len(frames)))
        blank = np.zeros((size, size, 3), np.uint8), np.full((size, size), len(asked), np.uint8)
        return iter([blank] * len(frames))

    monkeypatch.setattr(drives, "render", render)
    apart, between = (open_data(name, PRESETS["smoke"]) for name in DRIVES)
    tests = [data.split(tmp_path, "test", SIZE) for data in (between, apart)]
    assert asked == [("test frames of drives", 6)]
    assert np.array_equal(tests[0].labels, tests[1].labels) and tests[0].names == tests[1].names
    assert between.split(tmp_path, "train", SIZE).names != apart.split(tmp_path, "train", SIZE).names
    assert tests[0].names[:2] == ["drive 000/0009", "drive 000/0019"]
    assert "between training frames" in between.notes[0] and not apart.notes
    assert apart.digest != between.digest and apart.classes is between.classes is STREET
    for data in (apart, between):
        assert data.shifted(tmp_path, "fog", SIZE) is None and data.visibility(tmp_path, SIZE) == ()


def test_other_counts_are_other_data():
    few = replace(PRESETS["smoke"], test=5)
    assert open_data("streets-drives", few).digest != open_data("streets-drives", PRESETS["smoke"]).digest
