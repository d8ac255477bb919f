"""Batches: every image once, in an order of seed and epoch alone, with horizontal flips."""

import numpy as np
import torch

from segnb.data.batches import MEAN, STD, Split, in_order, normalise, shuffled
from segnb.runtime.machine import Machine

CPU = Machine("cpu", "any", threads=1, precision="fp32")


def split(count: int, seed: int = 0, size: int = 32) -> Split:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 3, (count, size, size), np.uint8)
    images = np.repeat(labels[..., None] * 80, 3, -1).astype(np.uint8)
    return Split(images, labels, [f"{i}" for i in range(count)])


def test_normalise_is_torchvision_s_formula():
    images = torch.randint(0, 256, (2, 4, 5, 3), dtype=torch.uint8)
    wanted = (images.permute(0, 3, 1, 2) / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[
        :, None, None
    ]
    assert torch.allclose(normalise(images), wanted, atol=1e-5)


def test_in_order_drops_no_image():
    sizes = [len(images) for images, _ in in_order(split(10), 4, CPU)]
    assert sizes == [4, 4, 2]


def test_shuffled_shows_every_image_once_and_depends_on_seed_and_epoch_alone():
    data = Split(
        np.arange(10, dtype=np.uint8)[:, None, None, None].repeat(3, -1).repeat(32, 1).repeat(32, 2),
        np.arange(10, dtype=np.uint8)[:, None, None].repeat(32, 1).repeat(32, 2),
        [""] * 10,
    )

    def order(seed, epoch):
        batches = shuffled(data, 4, CPU, seed, epoch, mirror=True)
        return [int(i) for _, labels in batches for i in labels[:, 0, 0]]

    assert sorted(order(0, 1)) == list(range(10))
    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2) and order(0, 1) != order(1, 1)


def test_mirror_turns_image_and_labels_together_and_about_half_of_them():
    data = split(200)
    turned = 0
    originals = {labels.tobytes() for labels in data.labels}
    for images, labels in shuffled(data, 8, CPU, 0, 1, mirror=True):
        grey = images[:, 0] * STD[0] + MEAN[0]
        assert torch.allclose(grey, labels * (80 / 255), atol=1e-5)
        turned += sum(label.byte().numpy().tobytes() not in originals for label in labels)
    assert 70 < turned < 130


def test_without_mirror_no_image_is_turned():
    originals = {labels.tobytes() for labels in split(20).labels}
    for _, labels in shuffled(split(20), 8, CPU, 0, 1, mirror=False):
        assert all(label.byte().numpy().tobytes() in originals for label in labels)
