"""The bootstrap over test images: weights, draws and intervals, by hand and against theory."""

import numpy as np
import pytest

from segnb.metrics.confusion import class_iou, mean_iou
from segnb.stats import bootstrap
from segnb.stats.bootstrap import (
    blocks_of,
    count_blocks,
    image_interval,
    image_weights,
    resample,
    scope_of,
    weights_of,
)
from segnb.stats.effect import effect

NAMES = [f"test {i}" for i in range(12)]


@pytest.fixture
def counts() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 50, (12, 3, 3))


def of_accuracies(hits: np.ndarray) -> np.ndarray:
    """Return confusion matrices of images with 100 pixels of one class, by correct pixels: (N, 2, 2)."""
    counts = np.zeros((len(hits), 2, 2), int)
    counts[:, 1, 1], counts[:, 1, 0] = hits, 100 - hits
    return counts


def test_weights_are_the_same_for_the_same_images():
    weights = image_weights(30, 100, key="abc")
    assert weights.shape == (100, 30) and weights.min() > 0
    assert np.allclose(weights.mean(1), 1)
    image_weights.cache_clear()
    assert np.array_equal(weights, image_weights(30, 100, key="abc"))
    assert not np.array_equal(weights, image_weights(30, 100, key="other"))
    with pytest.raises(ValueError, match="read-only"):
        weights[0] = 0  # others share them


def test_draws_are_the_metric_of_weighted_sums(counts, monkeypatch):
    weights = image_weights(12, 5, key="")
    by_hand = [mean_iou(sum(w * one for w, one in zip(row, counts, strict=True))) for row in weights]
    assert np.allclose(resample({"confusion": counts}, mean_iou, weights), by_hand)
    monkeypatch.setattr(bootstrap, "AT_ONCE", 20)  # as where classes are many: a few draws at a time
    assert np.allclose(resample({"confusion": counts}, mean_iou, weights), by_hand, atol=1e-15)


def test_a_class_in_one_image_stays_in_every_draw():
    counts = np.zeros((20, 2, 2), int)
    counts[:, 0, 0], counts[7, 1, 1] = 50, 1
    names = list(map(str, range(20)))
    assert image_interval([counts], names, mean_iou) == (1, 1)
    counts[7] = [[50, 0], [1, 0]]  # and always wrong: no draw may forget it, which would give 1
    assert image_interval([counts], names, mean_iou)[1] <= 0.5


def test_the_interval_holds_the_estimate_and_repeats(counts):
    low, high = image_interval([counts], NAMES, mean_iou)
    assert 0 < low < mean_iou(counts.sum(0)) < high < 1
    assert image_interval([counts], NAMES, mean_iou) == (low, high)
    assert image_interval([counts], NAMES[::-1], mean_iou) != (low, high)


def test_the_interval_has_the_width_that_theory_gives(monkeypatch):
    # With one true class the mIoU is the weighted mean of the images' accuracies, and the variance of
    # a Dirichlet(1, …, 1) mean is known: Σ(x − x̄)² / (N (N + 1)).
    monkeypatch.setattr(bootstrap, "DRAWS", 20_000)
    hits = np.random.default_rng(0).integers(40, 100, 50)
    x = hits / 100
    spread = np.sqrt(((x - x.mean()) ** 2).sum() / (50 * 51))
    low, high = image_interval([of_accuracies(hits)], list(map(str, range(50))), mean_iou)
    image_weights.cache_clear()
    assert low == pytest.approx(x.mean() - 1.96 * spread, abs=0.05 * spread)
    assert high == pytest.approx(x.mean() + 1.96 * spread, abs=0.05 * spread)


def test_it_narrows_with_images():
    hits = np.random.default_rng(0).integers(40, 95, 320)

    def width(images: int) -> float:
        low, high = image_interval([of_accuracies(hits[:images])], list(map(str, range(images))), mean_iou)
        return high - low

    assert 2.5 < width(20) / width(320) < 6.5  # sixteen times the images: about a quarter of the width


def test_images_are_drawn_alike_for_all_seeds(counts):
    """Seeds are crossed with images: failures of two seeds on the same images do not average out."""
    one = image_interval([counts], NAMES, mean_iou)
    assert image_interval([counts, counts], NAMES, mean_iou) == pytest.approx(one)
    low, high = image_interval([counts, counts[::-1]], NAMES, mean_iou)
    assert high - low < one[1] - one[0]


def test_classes_have_intervals_of_their_own():
    counts = [np.zeros((12, 3, 3), int) for _ in range(2)]
    for one in counts:
        one[:, 0, :] = np.random.default_rng(3).integers(1, 50, (12, 3))  # only class 0 is in the truth
    intervals = np.array(image_interval(counts, NAMES, class_iou))  # (2, C)
    assert tuple(intervals[:, 0]) == pytest.approx(image_interval(counts, NAMES, mean_iou))
    assert np.isnan(intervals[:, 1:]).all()


def test_one_image_has_no_interval(counts):
    assert np.isnan(image_interval([counts[:1]], NAMES[:1], mean_iou)).all()
    assert np.shape(image_interval([counts[:1]], NAMES[:1], class_iou)) == (2, 3)


FIVE = [f"drive {i}/{k}" for i in range(5) for k in range(3)]


@pytest.mark.parametrize(
    "names, blocks, text",
    [
        (["test 0000", "test 0001"], [0, 1], ""),
        ([f"a/{i}" for i in (9, 10, 8, 7)], [2, 3, 1, 0], "4 runs of consecutive frames"),
        (
            [f"a/{i}" for i in range(10)],
            [0, 0, 1, 1, 2, 2, 3, 3, 4, 4],
            "other frames of the same drive, but not other drives",
        ),
        ([f"{d}/{i}" for d in "ab" for i in range(5)], list(range(10)), "other frames of the same 2 drives"),
        (FIVE, [i // 3 for i in range(15)], "come from 5 drives. The bootstrap weights whole drives"),
    ],
)
def test_frames_of_a_drive_are_weighted_in_blocks(names, blocks, text):
    assert list(blocks_of(names)) == blocks and count_blocks(names) == max(blocks) + 1
    assert text in scope_of(names) and bool(text) == bool(scope_of(names))
    weights = weights_of(names)
    for block in set(blocks):
        alike = weights[:, np.flatnonzero(np.array(blocks) == block)]
        assert (alike == alike[:, :1]).all()
    assert len(np.unique(weights[0])) == max(blocks) + 1


@pytest.mark.parametrize("drive, low, high", [("", 0.3, 0.6), ("drive/", 0.83, 0.97)])
def test_blocks_cover_where_neighbours_resemble_each_other(drive, low, high):
    """101 frames with a correlation of 0.9 between neighbours; as independent images, coverage is too low."""
    scores = np.random.default_rng(0).normal(size=(500, 101))
    scores[:, 0] /= np.sqrt(1 - 0.9**2)
    for i in range(1, 101):
        scores[:, i] += 0.9 * scores[:, i - 1]
    names = [f"{drive}{i:04d}" for i in range(101)]
    weights = weights_of(names)[:400]
    draws = scores @ weights.T / weights.sum(1)  # (500, 400)
    found = [
        effect([[s.mean()]], d[None, None], [1], count_blocks(names))
        for s, d in zip(scores, draws, strict=True)
    ]
    covered = np.mean([ends[0] < 0 < ends[1] for ends in (one.interval() for one in found)])
    assert low < covered < high
