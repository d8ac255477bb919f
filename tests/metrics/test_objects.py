"""Objects compared with cases by hand and with scikit-image's labelling."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from skimage.measure import label, regionprops

from segnb.labels import IGNORE_INDEX, LABEL_SETS
from segnb.metrics import objects
from segnb.metrics.confusion import ratio

unpadded = partial(objects.components, smallest=1)  # the cases are drawn small


def components(labels, predictions, things, *others) -> pd.DataFrame:
    """Make the table of images with another row of class 0 below, so that no object is a bonnet."""
    below = ((0, 0), (0, 1), (0, 0))
    maps = [one if one is None else np.pad(one, below) for one in (labels, predictions, *others)]
    return unpadded(maps[0], maps[1], things, *maps[2:])


def maps(*rows: str) -> np.ndarray:
    """Make a label map (1, H, W) from digits; "." is class 0 and "v" is IGNORE_INDEX."""
    ids = {".": 0, "v": IGNORE_INDEX} | {str(i): i for i in range(10)}
    return np.array([[[ids[one] for one in row] for row in rows]], np.uint8)


def test_what_is_too_small_to_be_an_object_is_not_counted():
    labels = maps("11.111", "....1.", "111...")
    found = objects.components(labels, labels, [1])
    assert found["pixels"].tolist() == [objects.SMALLEST]


@pytest.mark.parametrize("things", [[], [3]])  # the label set has no things, or the images contain none
@pytest.mark.parametrize("visible", [None, np.full((2, 3, 8), 255, np.uint8)])
def test_without_a_thing_there_is_a_table_without_rows_that_can_be_binned(things, visible):
    labels = np.repeat(maps("11....22", "11.vv.22", "..1....."), 2, axis=0)
    found = components(labels, labels, things, visible)
    assert len(found) == 0
    like = components(labels, labels, [1, 2], visible)
    assert found.dtypes.to_dict() == like.dtypes.to_dict()
    sums = objects.binned(found, found["visible"], objects.VISIBLE, 2)
    assert {name: array.tolist() for name, array in sums.items()} == dict.fromkeys(sums, [[0.0] * 3] * 2)


def test_objects_by_hand():
    labels = maps(
        "11....22",
        "11....22",
        "..1.....",
        "........",
        "1....222",
        "......2.",
    )
    predictions = maps(
        "11......",
        "111.....",
        "........",
        ".......2",
        ".11..222",
        "........",
    )
    found = components(labels, predictions, [1, 2])
    assert found["class"].tolist() == [1, 1, 2, 2] and (found["image"] == 0).all()
    # The first object includes its corner neighbour: 5 pixels, 4 of them recalled, and one predicted outside.
    assert found["pixels"].tolist() == [5, 1, 4, 4]
    assert found["recalled"].tolist() == [4, 0, 0, 3]
    assert found["union"].tolist() == [6, 1, 4, 5]
    assert found["found"].tolist() == [True, False, False, True]
    np.testing.assert_allclose(found["iou"], [4 / 6, 0, 0, 3 / 5])
    np.testing.assert_allclose(found["area"], np.array([5, 1, 4, 4]) / 56)  # with the row below
    assert found["visible"].isna().all()


def test_half_an_object_is_found_and_less_is_not():
    labels, predictions = maps("1111", "....", "1111"), maps("11..", "....", "1...")
    assert components(labels, predictions, [1])["found"].tolist() == [True, False]


def test_components_that_share_a_number_are_one_object():
    labels = np.concatenate([maps("11.11.1"), maps("11.11.1")])
    numbers = np.zeros(labels.shape, np.uint16)
    numbers[0] = [[7, 7, 0, 7, 9, 0, 9]]  # a thing in two pieces, of which one touches a piece of another
    numbers[1] = [[3, 3, 0, 4, 4, 0, 0]]  # no number is shared, and the last pixel has none
    found = components(labels, labels, [1], None, numbers)
    assert found[["image", "pixels"]].values.tolist() == [[0, 5], [1, 2], [1, 2], [1, 1]]
    assert found["intact"].all()  # in as many pieces as it has
    apart = components(labels[1:], labels[1:], [1])
    assert (
        found.iloc[1:].fillna(0).drop(columns="image").values.tolist()
        == apart.fillna(0).drop(columns="image").values.tolist()
    )


def test_an_object_in_two_pieces_is_not_intact_in_three():
    labels, numbers = maps("1111.11"), np.full((1, 1, 7), 5, np.uint16)
    assert not components(labels, maps("11.1.11"), [1], None, numbers)["intact"].any()
    assert components(labels, maps("1111111"), [1], None, numbers)["intact"].all()  # across what hides it


@pytest.mark.parametrize("numbers", [None, "joined"])
def test_the_bonnet_of_the_recording_car_is_no_object(numbers):
    labels = maps("11....11", "........", "..1111..")
    if numbers:  # the bonnet behind a wiper
        labels, numbers = maps("11....11", "........", "11..1..1"), maps("22....33", "........", "44..4..4")
    found = unpadded(labels, labels, [1], numbers=numbers)
    assert found["pixels"].tolist() == [2, 2] and found["found"].all()
    less = maps("11....11", "........", "..111...")
    assert unpadded(less, less, [1])["pixels"].tolist() == [2, 2, 3]


def test_objects_are_scikit_image_s_regions():
    draw = np.random.default_rng(0)
    labels = draw.choice([0, 1, 2, IGNORE_INDEX], (6, 25, 25), p=[0.5, 0.25, 0.2, 0.05]).astype(np.uint8)
    predictions = np.where(draw.random(labels.shape) < 0.7, labels, draw.integers(0, 3, labels.shape))
    predictions = np.where(predictions == IGNORE_INDEX, 1, predictions).astype(np.uint8)
    found = components(labels, predictions, [1, 2])
    rows = []
    for image, (truth, guess) in enumerate(zip(labels, predictions, strict=True)):
        guess = np.where(truth == IGNORE_INDEX, 0, guess)
        for c in (1, 2):
            guesses = label(guess == c, connectivity=2)
            for region in regionprops(label(truth == c, connectivity=2)):
                inside = np.zeros(truth.shape, bool)
                inside[tuple(region.coords.T)] = True
                touching = np.isin(guesses, np.unique(guesses[inside & (guess == c)])) & (guesses > 0)
                recalled = (inside & (guess == c)).sum()
                rows.append((image, c, region.num_pixels, recalled, (inside | touching).sum()))
    columns = ["image", "class", "pixels", "recalled", "union"]
    assert sorted(map(tuple, found[columns].to_numpy())) == sorted(rows)
    assert list(found[["image", "class"]].itertuples(index=False)) == sorted(
        found[["image", "class"]].itertuples(index=False)
    )


def test_visible_is_the_mean_over_what_is_known():
    labels = maps("11..", "...1")
    visible = np.zeros(labels.shape, np.uint8)
    visible[0, 0, :2] = 255, 51
    found = components(labels, labels, [1], visible)
    np.testing.assert_allclose(found["visible"], [0.6, np.nan])


@pytest.mark.parametrize(
    ("size", "ends"), [(224, [64, 256, 1024]), (128, [21, 84, 335]), (512, [335, 1338, 5350])]
)
def test_sizes_are_cells_of_the_strides(size, ends):
    assert objects.pixel_ends(size) == ends
    pixels = np.array([1, *(px + step for px in ends for step in (-1, 0))])
    bins = np.digitize(pixels / size**2, objects.AREAS, right=True)
    assert [objects.SIZES[i] for i in bins] == [
        *("tiny", "tiny", "small", "small", "medium", "medium", "large")
    ]


def test_sums_by_image_and_bin_by_hand():
    table = pd.DataFrame(
        {
            "image": [0, 0, 2, 2],
            "found": [True, False, True, True],
            "iou": [0.5, 0.25, 1.0, 0.75],
            "area": [0.1, 0.1, 0.2, np.nan],
        }
    )
    sums = objects.binned(table, table["area"], (0.1, 0.2), 3)
    assert sums["count"].tolist() == [[2, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert sums["found"].tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert sums["iou"].tolist() == [[0.75, 0, 0], [0, 0, 0], [0, 1, 0]]
    total = {name: values.sum(0) for name, values in sums.items()}
    np.testing.assert_array_equal(ratio(total["found"], total["count"]), [0.5, 1, np.nan])
    np.testing.assert_array_equal(ratio(total["iou"], total["count"]), [0.375, 1, np.nan])
    assert objects.binned(table, table["iou"], (), 3)["count"].tolist() == [[2], [0], [2]]


@pytest.mark.parametrize("name", LABEL_SETS)
def test_every_label_set_says_what_its_things_are(name):
    classes = LABEL_SETS[name]
    assert classes.things and set(classes.things) <= set(classes.names)
    assert not {"Road", "Sky", "Building", "Vegetation"} & set(classes.things)


def test_an_object_is_intact_in_one_piece_that_is_no_other_s():
    labels = maps("1111.", ".....", "11.11", ".....", "1111.")
    predictions = maps("11.11", ".....", "11111", ".....", "1111.")
    found = components(labels, predictions, [1])
    assert found["found"].all()  # split in two, merged with a neighbour (both), intact
    assert found["intact"].tolist() == [False, False, False, True]


def test_parts_of_which_at_most_half_is_correct_are_false():
    labels = maps("111..", "111..", "....v")
    predictions = maps("11.22", "1.1..", "..2.2")
    found = objects.false_parts(labels, predictions, 3)  # 2, 2 and 2; the last is void
    assert found["false_parts"].tolist() == [3] and found["pixels"].tolist() == [14]
    assert objects.false_parts(labels, labels, 3)["false_parts"].tolist() == [0]
    labels, predictions = (
        maps("1.1..", "111.."),
        maps("11.1.", "11.11"),
    )  # of class 1: 3 of 4 correct, and 0 of 3
    assert objects.false_parts(labels, predictions, 2)["false_parts"].tolist() == [3 + 2]
    half = maps("1....", "1....")
    assert objects.false_parts(half, maps("11...", "11..."), 2)["false_parts"].tolist() == [4]
