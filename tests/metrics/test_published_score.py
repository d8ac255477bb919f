"""The reported score compared with its formula, bit by bit, and with cases by hand."""

import numpy as np
import pytest
import torch

from segnb.labels import IGNORE_INDEX
from segnb.metrics.published_score import as_published_score

from .maps import random_maps


def published_formula(labels, predictions) -> float:
    """Compute the mean over all rows of pixels of Σ(label AND prediction) / Σ(label OR prediction)."""
    ratios = []
    for truth, guess in zip(np.asarray(labels), np.asarray(predictions), strict=True):
        for row in range(truth.shape[0]):
            intersection = (truth[row] & guess[row]).sum()
            union = truth[row].sum() + guess[row].sum() - intersection
            if union > 0:
                ratios.append(intersection / union)
    return float(np.mean(ratios))


@pytest.mark.parametrize("images", [1, 8, 20])  # part of a batch, a full batch, two and a part
def test_it_is_the_formula(images):
    labels, predictions = random_maps(images, seed=images)
    labels[:, :5] = predictions[:, :5] = 0  # sky rows
    score = as_published_score(labels, predictions)
    assert score == pytest.approx(published_formula(labels, predictions), abs=1e-6)
    stored = labels.numpy().astype(np.uint8)
    stored.flags.writeable = False  # like memory-mapped arrays
    assert as_published_score(stored, predictions.numpy()) == score


def test_the_score_by_hand():
    # Row 1: 7 & 6 = 6 and 12 & 12 = 12 of 7 + 12 = 19 … 18 / 19; row 2: 8 & 7 = 0 of 15; row 3 is sky.
    labels = torch.tensor([[[7, 12], [8, 0], [0, 0]]])
    predictions = torch.tensor([[[6, 12], [7, 0], [0, 0]]])
    assert as_published_score(labels, predictions) == pytest.approx((18 / 19 + 0 / 15) / 2)


def test_it_without_any_foreground_is_not_a_number():
    sky = torch.zeros(2, 4, 4, dtype=torch.long)
    assert np.isnan(as_published_score(sky, sky))


@pytest.mark.parametrize("classes", [2, 13, 50])
def test_it_does_not_look_at_the_number_of_classes(classes):
    labels, predictions = random_maps(2)
    score = as_published_score(labels, predictions, classes)
    assert score == pytest.approx(published_formula(labels, predictions), abs=1e-6)


def test_it_refuses_maps_of_other_shapes():
    labels, predictions = random_maps(9)
    for wrong in (predictions[:8], predictions[:, :12], predictions[0]):
        with pytest.raises(ValueError, match="must both be"):
            as_published_score(labels, wrong)


def test_unlabelled_pixels_count_as_id_0_in_both():
    labels, predictions = random_maps(3)
    labels[:, 3:9, 5:20] = IGNORE_INDEX
    known = labels != IGNORE_INDEX
    score = as_published_score(labels, predictions)
    assert score == as_published_score(labels * known, predictions * known)
    assert score == pytest.approx(published_formula(labels * known, predictions * known), abs=1e-6)
