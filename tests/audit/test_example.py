"""Sixteen pixels worked out by hand, scored in both ways."""

import pytest
import torch
from torchmetrics.segmentation import MeanIoU

from segnb.audit.metric import bits, example_sentence, worked_example
from segnb.metrics.published_score import as_published_score


@pytest.fixture(scope="module")
def example():
    return worked_example()


def test_example_is_scored_by_what_scores_the_runs(example):
    metric = MeanIoU(num_classes=13)
    metric.update(torch.tensor(example.guess[None]).long(), torch.tensor(example.truth[None]).long())
    assert example.as_published == metric.compute().item()
    assert example.as_published == as_published_score(example.truth[None], example.guess[None])
    assert example.as_published == pytest.approx(example.sums.ratio.mean())


def test_example_by_hand(example):
    """Upper row: 9 + 9 + 8 + 1 + 1 + 1 of 9 + 9 + 13 + 5 + 1 + 1; lower: 7·4 + 6 + 4 + 10·2 of 7·6 + 10·2."""
    assert example.sums.both_bits.tolist() == [29, 58] and example.sums.any_bits.tolist() == [38, 62]
    assert example.as_published == pytest.approx((29 / 38 + 58 / 62) / 2)
    assert example.accuracy == 12 / 16
    assert example.ious.to_dict() == pytest.approx(
        {"Unlabeled": 1, "Building": 2 / 3, "Vegetation": 2 / 3, "Road": 4 / 6, "Car": 1}
        | dict.fromkeys(("Traffic sign", "Pole", "Roadline", "Pedestrian"), 0)
    )
    assert example.miou == pytest.approx(4 / 9)
    assert example.as_published > example.accuracy > example.miou  # or it would show nothing


def test_example_pixels_are_the_bits_of_the_ids(example):
    sign = example.pixels.iloc[4]
    assert (sign.row, sign.truth, sign.guess) == (0, 12, 9)
    assert [bits(number) for number in sign[["truth", "guess", "both_bits", "any_bits"]]] == [
        "1100",
        "1001",
        "1000",
        "1101",
    ]
    assert len(example.pixels) == 16


def test_example_sentence_tells_its_numbers(example):
    text = example_sentence(example)
    assert text.startswith("4 classes are never found: Pedestrian, Pole, Roadline, Traffic sign.")
    assert "Roadline (6 = 0110) taken for Road (7 = 0111) as 6/7 right" in text
