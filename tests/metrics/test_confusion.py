"""Confusion and scores compared with counts by hand, sets in NumPy and torchmetrics' Jaccard index."""

import numpy as np
import pytest
import torch
from torchmetrics import JaccardIndex

from segnb.labels import IGNORE_INDEX
from segnb.metrics import confusion

from .maps import counted, random_maps


def miou_by_sets(labels, predictions, classes: int) -> float:
    """Compute the mean IoU of the classes in the ground truth by counting sets of pixels."""
    truth, guess = np.asarray(labels), np.asarray(predictions)
    ious = []
    for c in range(classes):
        if (truth == c).any():
            both = ((truth == c) & (guess == c)).sum()
            either = ((truth == c) | (guess == c)).sum()
            ious.append(both / either)
    return float(np.mean(ious))


# Confusion.


def test_confusion_by_hand():
    labels = torch.tensor([[[0, 0], [1, 1]], [[2, 2], [2, 0]]])
    predictions = torch.tensor([[[0, 1], [1, 1]], [[2, 0], [2, 0]]])
    counts = confusion.confusion(labels, predictions, 3)
    assert counts.dtype == torch.int64
    assert counts.tolist() == [[[1, 1, 0], [0, 2, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 0], [1, 0, 2]]]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_confusion_counts_every_pixel_of_its_image(device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    labels, predictions = random_maps(5)
    counts = confusion.confusion(labels.to(device), predictions.to(device), 13)
    assert counts.device.type == device and counts.shape == (5, 13, 13)
    for image in range(5):
        expected = np.zeros((13, 13), int)
        np.add.at(expected, (labels[image].numpy(), predictions[image].numpy()), 1)
        np.testing.assert_array_equal(counts[image].cpu(), expected)


def test_confusion_of_bytes():
    # 40 images × 13 × 13 cells exceed uint8, the type of the labels.
    labels, predictions = random_maps(40)
    counts = confusion.confusion(labels.to(torch.uint8), predictions.to(torch.uint8), 13)
    assert torch.equal(counts, confusion.confusion(labels, predictions, 13))


@pytest.mark.parametrize("which", ["labels", "predictions"])
@pytest.mark.parametrize("wrong", [-1, 13, 254])
def test_ids_outside_the_classes_are_refused(which, wrong):
    maps = dict(zip(("labels", "predictions"), random_maps(2), strict=True))
    maps[which][0, 0, 0] = wrong
    with pytest.raises(ValueError, match=rf"{which} hold ids .*{wrong}.*classes are 0 to 12"):
        confusion.confusion(**maps, classes=13)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_most_likely_class_is_argmax_and_the_first_of_equals(kind, layout):
    logits = torch.randn(2, 13, 9, 7).to(kind).to(memory_format=layout)
    logits[0, 3:9, 2, 2] = 10.0
    found = confusion.most_likely(logits)
    assert torch.equal(found, logits.argmax(1)) and found[0, 2, 2] == 3


def test_void_is_in_no_count_and_a_prediction_cannot_be_it():
    labels = torch.tensor([[[0, 1], [IGNORE_INDEX, IGNORE_INDEX]], [[1, 1], [1, 1]]])
    predictions = torch.tensor([[[0, 0], [0, 1]], [[1, 0], [1, 1]]])
    found = confusion.confusion(labels, predictions, 2)
    assert found.tolist() == [[[1, 0], [1, 0]], [[0, 0], [1, 3]]]
    with pytest.raises(ValueError, match="predictions hold ids"):
        confusion.confusion(labels, torch.full_like(labels, IGNORE_INDEX), 2)


def test_confusion_refuses_other_shapes_and_logits():
    labels, predictions = random_maps(2)
    with pytest.raises(ValueError, match="must both be"):
        confusion.confusion(labels, predictions[:1], 13)
    with pytest.raises(ValueError, match="must both be"):
        confusion.confusion(labels[0], predictions[0], 13)
    with pytest.raises(ValueError, match="float32"):
        confusion.confusion(labels, predictions.float(), 13)


# Scores.


def test_scores_by_hand():
    counts = np.array([[3, 1], [2, 4]])
    assert confusion.class_iou(counts).tolist() == pytest.approx([3 / 6, 4 / 7])
    assert confusion.mean_iou(counts) == pytest.approx((3 / 6 + 4 / 7) / 2)
    assert confusion.pixel_accuracy(counts) == pytest.approx(7 / 10)


def test_all_wrong_is_zero():
    labels, _ = random_maps(3)
    counts = counted(labels, (labels + 1) % 13, 13)
    assert confusion.mean_iou(counts) == confusion.pixel_accuracy(counts) == 0


def test_absent_class_is_left_out_but_its_pixels_cost_others():
    #          predicted: 0  1  2
    counts = np.array([[4, 0, 2], [0, 6, 0], [0, 0, 0]])  # class 2 is predicted and not in the ground truth
    iou = confusion.class_iou(counts)
    assert iou[:2].tolist() == pytest.approx([4 / 6, 1]) and np.isnan(iou[2])
    assert confusion.mean_iou(counts) == pytest.approx((4 / 6 + 1) / 2)


def test_nothing_counted_is_nan():
    assert np.isnan(confusion.mean_iou(np.zeros((3, 3)))) and np.isnan(
        confusion.pixel_accuracy(np.zeros((3, 3)))
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("absent", [(), (4,), (0, 7, 12)])
def test_mean_iou_equals_set_counting(seed, absent):
    labels, predictions = random_maps(4, seed=seed)
    for c in absent:
        labels[labels == c] = 1
    counts = counted(labels, predictions, 13)
    assert not counts[list(absent)].sum()
    assert confusion.mean_iou(counts) == pytest.approx(miou_by_sets(labels, predictions, 13), abs=1e-12)
    assert confusion.pixel_accuracy(counts) == pytest.approx(float((labels == predictions).float().mean()))


def test_class_iou_agrees_with_jaccard_index():
    labels, predictions = random_maps(6)
    oracle = JaccardIndex(task="multiclass", num_classes=13, average="none")
    for image in range(6):  # accumulated over all images
        oracle.update(predictions[image], labels[image])
    ours = confusion.class_iou(counted(labels, predictions, 13))
    assert not np.isnan(ours).any()
    np.testing.assert_allclose(ours, oracle.compute().numpy(), rtol=1e-6)


def test_scores_of_a_stack_are_those_of_its_matrices():
    stack = confusion.confusion(*random_maps(4), 13).numpy()
    for score in (confusion.class_iou, confusion.mean_iou, confusion.pixel_accuracy):
        np.testing.assert_array_equal(score(stack), np.array([score(counts) for counts in stack]))


# Division.


def test_ratio_has_no_value_where_there_is_nothing_to_divide_by():
    np.testing.assert_array_equal(confusion.ratio([3, 0, 2], [4, 0, 0]), [0.75, np.nan, np.nan])
    np.testing.assert_array_equal(
        confusion.ratio([1, 1], [2, 4], where=np.array([True, False])), [0.5, np.nan]
    )
    assert confusion.ratio(1, 2) == 0.5


def test_pixels_of_classes_are_enough_for_every_iou():
    counts = np.random.default_rng(0).integers(0, 90, (5, 4, 4))
    counts[:3, 2] = 0  # no ground truth in three images, but predicted
    counts[0] = 0
    pixels = confusion.class_pixels(counts)
    np.testing.assert_array_equal(confusion.iou(pixels), confusion.class_iou(counts))
    total = confusion.iou(pixels.sum(0))
    np.testing.assert_array_equal(total, confusion.class_iou(counts.sum(0)))
    assert confusion.class_mean(total) == confusion.mean_iou(counts.sum(0))
