"""Boundary metrics compared with cases by hand, slow loops, scipy and scikit-image."""

import inspect

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from skimage.measure import perimeter_crofton
from skimage.segmentation import find_boundaries

from segnb.labels import IGNORE_INDEX
from segnb.metrics import boundaries
from segnb.metrics.boundaries import DISTANCES, TRIMAP
from segnb.metrics.confusion import confusion, mean_iou

from .maps import CLASSES, scenes


def cut(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return np.where(labels == IGNORE_INDEX, IGNORE_INDEX, predictions)


def total(found: dict, *names: str) -> dict:
    return {name: found[name].sum(0) for name in names}


def reduced(reducer, found: dict):
    """Apply a reducer to the totals that its parameters name."""
    return reducer(**total(found, *inspect.signature(reducer).parameters))


@pytest.mark.parametrize("ids", [(0, 63, 64, 127, 128), (254, 64, 1, 253, 0)])
@pytest.mark.parametrize("void", [False, True])
def test_what_a_class_counts_does_not_depend_on_its_id_nor_on_how_many_classes_there_are(ids, void):
    images, labels, predictions = scenes(void=void)
    number = np.full(IGNORE_INDEX + 1, IGNORE_INDEX, np.uint8)
    number[:CLASSES] = ids
    few = boundaries.statistics(images, labels, predictions, CLASSES)
    many = boundaries.statistics(images, number[labels], number[predictions], IGNORE_INDEX)
    assert few.keys() == many.keys()
    for name, counts in few.items():
        of_these = many[name][..., ids] if counts.ndim > 1 else many[name]
        np.testing.assert_array_equal(of_these, counts, name)
        assert many[name].sum() == pytest.approx(counts.sum())  # no neighbour is of another class


# -- boundary IoU --------------------------------------------------------------------------------------


@pytest.mark.parametrize("void", [False, True])
def test_bands_are_each_class_s_mask_less_its_erosion(void):
    """Compute bands as in the authors' code: d erosions by 3×3, with a border of zeros around the image."""
    _, labels, _ = scenes(void=void)
    for d, band in zip(DISTANCES, boundaries.bands(labels), strict=True):
        for one, found in zip(labels, band, strict=True):
            wanted = np.zeros(one.shape, bool)
            for c in range(CLASSES):
                # The mask may continue in void pixels, so it does not end there.
                known = ndimage.binary_erosion(
                    (one == c) | (one == IGNORE_INDEX), np.ones((3, 3)), d, border_value=0
                )
                wanted |= (one == c) & ~known
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("void", [False, True])
def test_boundary_iou_is_that_of_the_masks(void):
    images, labels, predictions = scenes(void=void)
    found = boundaries.statistics(images, labels, predictions, CLASSES)
    guess = cut(labels, predictions)

    def ring(maps, c, d):
        mask = (maps == c) | (maps == IGNORE_INDEX)
        eroded = [ndimage.binary_erosion(one, np.ones((3, 3)), d, border_value=0) for one in mask]
        return (maps == c) & ~np.array(eroded)

    for i, d in enumerate(DISTANCES):
        ious = []
        for c in range(CLASSES):
            truth, guessed = ring(labels, c, d), ring(guess, c, d)
            assert found["iou_hits"][:, i, c].tolist() == (truth & guessed).sum((1, 2)).tolist()
            if truth.any():
                ious.append((truth & guessed).sum() / (truth | guessed).sum())
        assert reduced(boundaries.boundary_iou, found)[i] == pytest.approx(np.mean(ious))


# -- boundary F1 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("void", [False, True])
def test_boundary_f1_is_that_of_distance_maps(void):
    images, labels, predictions = scenes(void=void)
    found = boundaries.statistics(images, labels, predictions, CLASSES)
    guess = cut(labels, predictions)

    def boundary(one, c):
        """Find the pixels of class c next to another class with scikit-image, void left out."""
        known = one != IGNORE_INDEX
        return find_boundaries((one == c) | ~known, connectivity=1, mode="inner") & (one == c)

    def met(of, to, d):
        if not to.any():
            return 0
        return (of & (ndimage.distance_transform_edt(~to) <= d)).sum()

    for i, d in enumerate(DISTANCES):
        scores = []
        for c in range(CLASSES):
            counts = np.zeros(4)  # predicted and correct, predicted, true and found, true
            for image, (one, other) in enumerate(zip(labels, guess, strict=True)):
                true, guessed = boundary(one, c), boundary(other, c)
                now = met(guessed, true, d), guessed.sum(), met(true, guessed, d), true.sum()
                assert found["f1_precision_hits"][image, i, c] == now[0]
                assert found["f1_recall_hits"][image, i, c] == now[2]
                counts += now
            precision, recall = counts[0] / counts[1], counts[2] / counts[3]
            scores.append(2 * precision * recall / (precision + recall))
        assert reduced(boundaries.boundary_f1, found)[i] == pytest.approx(np.mean(scores))


def test_boundary_f1_by_hand():
    # Two halves, and the predicted edge is two pixels further right: no pixel has its class within 1 px …
    labels, predictions = np.zeros((2, 1, 6, 12), np.uint8)
    labels[..., 6:], predictions[..., 8:] = 1, 1
    found = boundaries.statistics(np.zeros((1, 6, 12, 3), np.uint8), labels, predictions, 2)
    # … and all have it within 2 px.
    assert reduced(boundaries.boundary_f1, found).tolist() == [0, 1, 1]


def test_a_class_that_is_never_predicted_scores_0_and_one_that_is_not_there_is_left_out():
    labels, predictions = np.zeros((2, 1, 8, 8), np.uint8)
    labels[0, :, 4:] = 1
    predictions[0, :, 4:] = 2  # class 2 is not in the ground truth, class 1 not in the prediction
    found = boundaries.statistics(np.zeros((1, 8, 8, 3), np.uint8), labels, predictions, 4)
    assert reduced(boundaries.boundary_f1, found).tolist() == [0.5] * 3
    assert reduced(boundaries.boundary_iou, found).tolist() == [0.5] * 3


# -- contours ------------------------------------------------------------------------------------------


def all_lengths(maps: np.ndarray) -> np.ndarray:
    return boundaries.lengths(maps.astype(np.uint8), np.ones(maps.shape, bool))


def test_lengths_are_skimage_s_perimeters():
    y, x = np.mgrid[:60, :60]
    shapes = {
        "disc": (y - 30) ** 2 + (x - 28) ** 2 <= 20**2,
        "box": (abs(y - 30) <= 9) & (abs(x - 20) <= 13),
        "diamond": abs(y - 30) + abs(x - 30) <= 17,
    }
    found = all_lengths(np.stack(list(shapes.values())))
    assert found == pytest.approx([perimeter_crofton(one, directions=4) for one in shapes.values()], rel=1e-9)
    assert found[0] == pytest.approx(2 * np.pi * 20, rel=0.05)
    upper = y[None] < 30
    half = boundaries.lengths(shapes["disc"][None].astype(np.uint8), upper)
    rest = boundaries.lengths(shapes["disc"][None].astype(np.uint8), ~upper)
    assert half == pytest.approx(np.pi * 20, rel=0.05) and rest == pytest.approx(half, rel=0.05)


def test_a_staircase_of_large_steps_is_longer_than_a_slope():
    y, x = np.mgrid[:160, :160]
    slope, stairs = (y > x), (y // 16 > x // 16)
    crossings = [np.diff(one, axis=axis).sum() for one in (slope, stairs) for axis in (0, 1)]
    assert sum(crossings[:2]) == pytest.approx(sum(crossings[2:]), rel=0.15)
    long = all_lengths(np.stack([slope, stairs]))
    assert boundaries.roughness(long[1], long[0]) > 1.15


def test_roughness_compares_contours_that_match_and_no_missing_or_invented_ones():
    truth = np.zeros((1, 64, 64), np.uint8)
    truth[0, :, 32:] = 1  # an edge of 64 px
    y, x = np.mgrid[:64, :64]
    teeth = (x >= 32 + 2 * (y // 4 % 2)).astype(np.uint8)[None]  # the same edge with teeth of 2 px
    missing, invented = truth.copy(), truth.copy()
    missing[0, 10:20, 4:14] = 2  # an object that `truth` lacks as a prediction
    invented[0, 40:50, 50:60] = 3

    def rough(labels, guess):
        found = boundaries.statistics(np.zeros((1, 64, 64, 3), np.uint8), labels, guess, 4)
        return reduced(boundaries.roughness, found)

    assert rough(truth, teeth) > 1.2 and rough(teeth, truth) < 1 / 1.2
    assert rough(missing, truth) == rough(truth, invented) == rough(missing, invented) == 1
    assert np.isnan(rough(truth, np.zeros_like(truth)))  # no contour, so none that matches


# -- distance, gradient, trimap ------------------------------------------------------------------------


@pytest.mark.parametrize("void", [False, True])
def test_edges_distances_and_trimap_against_loops(void):
    images, labels, predictions = scenes(count=2, size=20, void=void)
    found = boundaries.statistics(images, labels, predictions, CLASSES)
    guess = cut(labels, predictions)

    def edge_pixels(one):
        inside = range(len(one))
        around = ((0, 1), (1, 0), (0, -1), (-1, 0))
        return [
            (y, x)
            for y in inside
            for x in inside
            if any(
                one[y, x] != one[y + v, x + u] and IGNORE_INDEX not in (one[y, x], one[y + v, x + u])
                for v, u in around
                if y + v in inside and x + u in inside
            )
        ]

    hits, truths = np.zeros((2, len(TRIMAP) - 1, CLASSES), int)
    for image, (one, other) in enumerate(zip(labels, guess, strict=True)):
        true, guessed = edge_pixels(one), edge_pixels(other)
        nearest = [min(np.hypot(y - v, x - u) for v, u in guessed) for y, x in true]
        assert found["edge_count"][image] == len(true)
        assert found["edge_distance_sum"][image] == pytest.approx(sum(nearest))
        for (y, x), label in np.ndenumerate(one):
            if label == IGNORE_INDEX:
                continue
            distance = min(np.hypot(y - v, x - u) for v, u in true)
            b = next(b for b in range(len(TRIMAP) - 1) if TRIMAP[b] <= distance < TRIMAP[b + 1])
            truths[b, label] += 1
            hits[b, label] += label == other[y, x]
    np.testing.assert_array_equal(found["trimap_hits"].sum(0), hits)
    np.testing.assert_array_equal(found["trimap_truth"].sum(0), truths)


def test_trimap_and_distance_by_hand():
    # The edge between columns 5 and 6 is predicted one column to the right: column 6 is wrong, and an edge
    # pixel.
    labels, predictions = np.zeros((2, 1, 8, 12), np.uint8)
    labels[..., 6:], predictions[..., 7:] = 1, 1
    found = boundaries.statistics(np.zeros((1, 8, 12, 3), np.uint8), labels, predictions, 2)
    curve = reduced(boundaries.trimap, found)
    # Columns 5 and 6 are at distance 0, and column 5 is correct.
    assert curve[:4].tolist() == [0.5, 1, 1, 1] and np.isnan(curve[5:]).all()
    # Column 5 is one pixel from the predicted edge (columns 6 and 7), column 6 is on it.
    assert reduced(boundaries.edge_distance, found) == 0.5


def test_without_a_predicted_edge_the_distance_is_the_diagonal_and_without_a_true_one_there_is_none():
    labels, predictions = np.zeros((2, 1, 6, 8), np.uint8)
    images = np.zeros((1, 6, 8, 3), np.uint8)
    labels[..., 4:] = 1
    found = boundaries.statistics(images, labels, predictions, 2)
    assert reduced(boundaries.edge_distance, found) == pytest.approx(10)
    assert np.isnan(reduced(boundaries.edge_agreement, found))
    found = boundaries.statistics(images, predictions, labels, 2)
    assert np.isnan(reduced(boundaries.edge_distance, found))
    assert found["trimap_truth"].sum() == 48 and found["trimap_truth"][0, -1, 0] == 48


def test_gradient_ranks_are_scipy_s():
    images, labels, _ = scenes(size=20)
    images[0, :8] = 7  # many pixels without gradient share a rank
    ranks = boundaries.gradient_ranks(images)
    for image, rank in zip(images, ranks, strict=True):
        grey = image.sum(-1).astype(float)
        strength = np.hypot(*(ndimage.sobel(grey, axis, mode="nearest") for axis in (0, 1))).round()
        wanted = (stats.rankdata(strength).reshape(strength.shape) - 0.5) / strength.size
        np.testing.assert_allclose(rank, wanted)
        assert rank.mean() == pytest.approx(0.5)


def test_edges_that_follow_the_image_agree_with_it_and_others_do_not():
    _, labels, _ = scenes(count=6, size=48)
    images = np.repeat(labels[..., None] * 50, 3, -1)
    right = boundaries.statistics(images, labels, labels, CLASSES)
    anywhere = boundaries.statistics(images, labels, np.roll(labels, 17, 1), CLASSES)
    assert reduced(boundaries.edge_agreement, right) > reduced(boundaries.edge_agreement, anywhere) + 0.2


# -- all of them ---------------------------------------------------------------------------------------

REDUCERS = (
    boundaries.boundary_iou,
    boundaries.boundary_f1,
    boundaries.roughness,
    boundaries.edge_distance,
    boundaries.edge_agreement,
    boundaries.trimap,
)


@pytest.mark.parametrize("reducer", REDUCERS, ids=lambda reducer: reducer.__name__)
def test_reducers_take_the_totals_of_many_draws_at_once(reducer):
    images, labels, predictions = scenes()
    found = boundaries.statistics(images, labels, predictions, CLASSES)
    weights = np.random.default_rng(0).dirichlet(np.ones(len(labels)), 6)
    names = inspect.signature(reducer).parameters
    draws = reducer(**{name: np.tensordot(weights, found[name], 1) for name in names})
    for weight, draw in zip(weights, draws, strict=True):
        alone = reducer(**{name: np.tensordot(weight, found[name], 1) for name in names})
        np.testing.assert_allclose(draw, alone)


def test_a_perfect_prediction_is_perfect_and_void_is_nobody_s():
    images, labels, predictions = scenes(void=True)
    perfect = boundaries.statistics(images, labels, np.where(labels == IGNORE_INDEX, 4, labels), CLASSES)
    assert (reduced(boundaries.boundary_iou, perfect) == 1).all()
    assert (reduced(boundaries.boundary_f1, perfect) == 1).all()
    assert reduced(boundaries.edge_distance, perfect) == 0 and reduced(boundaries.roughness, perfect) == 1
    other = np.where(labels == IGNORE_INDEX, 2, predictions)
    found = [boundaries.statistics(images, labels, guess, CLASSES) for guess in (predictions, other)]
    for name in found[0]:
        np.testing.assert_array_equal(found[0][name], found[1][name])


def test_statistics_are_those_of_each_image_alone():
    images, labels, predictions = scenes(count=boundaries.CHUNK + 2)
    every = boundaries.statistics(images, labels, predictions, CLASSES)
    last = boundaries.statistics(images[-1:], labels[-1:], predictions[-1:], CLASSES)
    for name, values in every.items():
        assert len(values) == len(labels)
        np.testing.assert_array_equal(values[-1:], last[name])


def test_maps_of_different_pixels_are_refused():
    images, labels, predictions = scenes()
    with pytest.raises(ValueError, match="different sizes"):
        boundaries.statistics(images, labels, predictions[:2], CLASSES)


# -- stride --------------------------------------------------------------------------------------------


def test_a_stride_leaves_cells_whole_and_loses_what_is_smaller():
    labels = np.zeros((1, 32, 32), np.uint8)
    labels[0, :, 16:] = 1  # an edge between cells: nothing is lost
    np.testing.assert_array_equal(boundaries.at_stride(labels, 8, 3), labels)
    assert mean_iou(boundaries.stride_bound(labels, 8, 3)[0]) == 1
    labels[0, 3, 3] = 2  # one pixel of 64 never has the highest score
    assert (boundaries.at_stride(labels, 8, 3) != labels).sum() == 1
    counts = boundaries.stride_bound(labels, 8, 3)[0]
    assert counts[2].tolist() == [1, 0, 0] and counts.sum() == 32 * 32


def test_a_finer_stride_leaves_more_and_stride_1_everything():
    _, labels, _ = scenes(count=9, size=45, void=True)  # 45 is no multiple of any stride
    left = [mean_iou(boundaries.stride_bound(labels, stride, CLASSES).sum(0)) for stride in (16, 8, 4, 1)]
    assert left == sorted(left) and left[0] < 0.9 and left[-1] == 1
    assert boundaries.stride_bound(labels, 16, CLASSES).sum() == (labels != IGNORE_INDEX).sum()


def test_the_shares_of_cells_leave_more_than_their_most_frequent_class():
    _, labels, _ = scenes(count=6, size=48)
    cells = labels.reshape(6, 6, 8, 6, 8).swapaxes(2, 3).reshape(6, 6, 6, 64)
    frequent = np.stack([(cells == c).sum(-1) for c in range(CLASSES)]).argmax(0)
    raised = torch.from_numpy(frequent.repeat(8, 1).repeat(8, 2))
    plain = confusion(torch.from_numpy(labels), raised, CLASSES).sum(0).numpy()
    assert mean_iou(boundaries.stride_bound(labels, 8, CLASSES).sum(0)) > mean_iou(plain)


def test_edges_between_things_are_those_of_two_things():
    labels = np.zeros((1, 4, 8), np.uint8)
    labels[0, :2, :4], labels[0, :2, 4:], labels[0, 3, :2] = 1, 2, 1  # two touch, one is alone
    nothing, right = np.zeros_like(labels), labels
    assert boundaries.between(labels, right, [1, 2])["between_count"].tolist() == [4]
    assert boundaries.between(labels, right, [1, 2])["between_hits"].tolist() == [4]
    assert boundaries.between(labels, nothing, [1, 2])["between_hits"].tolist() == [0]
    assert boundaries.between(labels, right, [1])["between_count"].tolist() == [0]
