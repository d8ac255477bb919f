"""Attention gates compared with their formulas, and the loss of class gates."""

import math

import pytest
import torch
import torch.nn.functional as F

from segnb.models.attention import AdditiveGate, ClassGate, StridedGate, class_gate_loss

from .base import images, make

CHANNELS = 4
CLASSES = 3
V = 255  # void


@pytest.fixture
def signals():
    torch.manual_seed(0)
    return {
        "skip": torch.randn(2, CHANNELS, 8, 6),
        "below": torch.randn(2, 2 * CHANNELS, 4, 3),
        "raised": torch.randn(2, CHANNELS, 8, 6),
    }


def affine(convolution, pixels):
    """Compute a convolution that covers its whole input as a matrix product."""
    return convolution.weight.flatten(1) @ pixels.flatten() + convolution.bias


@pytest.mark.parametrize("gate, maps", [(AdditiveGate(CHANNELS), 1), (ClassGate(CHANNELS, CLASSES), CLASSES)])
@torch.no_grad()
def test_the_additive_gates_follow_their_formula_with_one_map_or_one_per_class(gate, maps, signals):
    row, column = 5, 2
    signal, skip = (signals[name][1, :, row, column] for name in ("raised", "skip"))
    joined = torch.relu(affine(gate.from_signal, signal) + affine(gate.from_skip, skip))
    found = gate(**signals)
    assert found.shape == (2, maps, 8, 6)
    torch.testing.assert_close(found[1, :, row, column], torch.sigmoid(affine(gate.psi, joined)))


@torch.no_grad()
def test_the_strided_gate_follows_its_formula_on_the_coarse_grid(signals):
    gate = StridedGate(CHANNELS)
    coarse = torch.empty(4, 3)
    for row in range(4):
        for column in range(3):
            patch = signals["skip"][1, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            signal = affine(gate.from_signal, signals["below"][1, :, row, column])
            coarse[row, column] = torch.sigmoid(
                affine(gate.psi, torch.relu(signal + affine(gate.from_skip, patch)))
            )
    fine = gate(**signals)[1, 0]
    assert fine.shape == (8, 6)
    torch.testing.assert_close(fine[0, 0], coarse[0, 0])  # the corner repeats
    # A fine centre is a quarter of a coarse cell from the coarse one: weights 3/4 and 1/4 along each axis.
    weights = torch.outer(torch.tensor([0.75, 0.25]), torch.tensor([0.75, 0.25]))
    torch.testing.assert_close(fine[1, 1], (weights * coarse[:2, :2]).sum())


@torch.no_grad()
def test_each_channel_starts_mostly_in_the_group_of_one_class():
    maps = torch.zeros(1, CLASSES, 2, 2)
    maps[:, 0], maps[:, 1], maps[:, 2] = 0.2, 0.6, 1.0
    gate = ClassGate(CHANNELS, CLASSES).per_channel(maps)
    # 90% of the map of the channel's own class, 5% of each other one; channel 3 is in the first group again.
    expected = [0.9 * 0.2 + 0.05 * 1.6, 0.9 * 0.6 + 0.05 * 1.2, 0.9 * 1.0 + 0.05 * 0.8, 0.26]
    assert gate.shape == (1, CHANNELS, 2, 2)
    for channel, value in enumerate(expected):
        torch.testing.assert_close(gate[0, channel], torch.full((2, 2), value))


@torch.no_grad()
def test_channels_mix_the_maps_by_the_softmax_of_what_is_learned():
    gate = ClassGate(2, CLASSES)
    gate.mixing.copy_(torch.tensor([[1.0, 2.0, 6.0], [4.0, 4.0, 8.0]]).log())
    maps = torch.tensor([0.9, 0.3, 0.6]).view(1, CLASSES, 1, 1)
    expected = [(0.9 + 2 * 0.3 + 6 * 0.6) / 9, (4 * 0.9 + 4 * 0.3 + 8 * 0.6) / 16]
    torch.testing.assert_close(gate.per_channel(maps).flatten(), torch.tensor(expected))


@torch.no_grad()
def test_a_single_class_has_every_channel_to_itself():
    maps = torch.rand(2, 1, 8, 6)
    torch.testing.assert_close(ClassGate(CHANNELS, 1).per_channel(maps), maps.expand(2, CHANNELS, 8, 6))


@torch.no_grad()
def test_in_bf16_the_maps_of_classes_are_still_float32(signals):
    """In bf16, maps would round to 1 from a logit of about 6, where their loss has no gradient."""
    gate = ClassGate(CHANNELS, CLASSES)
    gate.psi.bias.fill_(10)
    with torch.autocast("cpu", torch.bfloat16):
        maps = gate(**signals)
        assert gate.per_channel(maps).dtype == torch.bfloat16
    assert maps.dtype == torch.float32 and maps.max() < 1


@pytest.mark.parametrize(
    "make_gate, used",
    [
        (AdditiveGate, "raised"),
        (StridedGate, "below"),
        (lambda channels: ClassGate(channels, CLASSES), "raised"),
    ],
)
@torch.no_grad()
def test_a_gate_takes_its_signal_from_one_place(make_gate, used, signals):
    torch.manual_seed(0)
    gate = make_gate(CHANNELS)
    before = gate(**signals)
    changed = {name for name in signals if not torch.equal(gate(**{**signals, name: -signals[name]}), before)}
    assert changed == {"skip", used}


# ---- loss of class gates ---------------------------------------------------------------------------------


def maps_of(*levels):
    """Make the gates of two classes from one map of class 0 per level; class 1 has the complement."""
    first = [torch.tensor(level)[None] for level in levels]
    return tuple(torch.stack([one, 1 - one], dim=1) for one in first)


def entropy(share, value):
    """Return the binary cross-entropy of a map's value in a cell with that share of the class."""
    return -share * math.log(value) - (1 - share) * math.log(1 - value)


def test_the_loss_of_maps_by_hand():
    """A 3×3 image at two levels: 2×2 cells reach beyond its edge, and one pixel is void."""
    labels = torch.tensor([[[0, 0, 1], [1, V, 1], [0, 0, 1]]])
    fine = [[0.9, 0.6, 0.2], [0.4, 0.7, 0.1], [0.8, 0.5, 0.3]]
    coarse = [[0.7, 0.2], [0.6, 0.3]]
    loss = class_gate_loss(maps_of(fine, coarse), labels)
    # With two classes, both have the same entropy in a cell, so the mean equals that of one class.
    right = [(1, 0.9), (1, 0.6), (0, 0.2), (0, 0.4), (0, 0.1), (1, 0.8), (1, 0.5), (0, 0.3)]  # 0.7 is void
    level1 = sum(entropy(*cell) for cell in right) / 8
    # First cell: two of three labelled pixels are of class 0. The others contain two pixels and one of the
    # image.
    level2 = sum(entropy(*cell) for cell in [(2 / 3, 0.7), (0, 0.2), (1, 0.6), (0, 0.3)]) / 4
    assert loss.item() == pytest.approx((level1 + level2) / 2, rel=1e-6)


def test_an_image_of_nothing_but_void_has_no_loss_and_no_gradient():
    gates = tuple(torch.full((1, 2, 4 // 2**k, 4 // 2**k), 0.5, requires_grad=True) for k in range(2))
    loss = class_gate_loss(gates, torch.full((1, 4, 4), V))
    loss.backward()
    assert loss.item() == 0 and not any(gate.grad.any() for gate in gates)


@pytest.mark.parametrize("size", [(48, 32), (37, 50)])
def test_it_is_the_cross_entropy_of_torch_over_shares_counted_one_by_one(size):
    torch.manual_seed(0)
    labels = torch.randint(CLASSES, (2, *size))
    labels[torch.rand(labels.shape) < 0.3] = V
    labels[:, 16:32, :16] = V  # whole cells are void at every level
    gates, losses = [], []
    for side in (1, 2, 4, 8):
        h, w = (math.ceil(length / side) for length in size)
        gates.append(torch.rand(2, CLASSES, h, w))
        for image, row, column in torch.cartesian_prod(torch.arange(2), torch.arange(h), torch.arange(w)):
            cell = labels[image, row * side : (row + 1) * side, column * side : (column + 1) * side]
            known = cell[cell != V]
            if len(known):
                shares = torch.bincount(known, minlength=CLASSES) / len(known)
                value = F.binary_cross_entropy(gates[-1][image, :, row, column], shares)
                losses.append((side, value.item()))
    levels = [[value for at, value in losses if at == side] for side in (1, 2, 4, 8)]
    expected = sum(sum(level) / len(level) for level in levels) / 4
    assert class_gate_loss(tuple(gates), labels).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_maps_of_exactly_nought_and_one_have_a_finite_loss_and_gradient(dtype):
    gate = torch.tensor([[[[0.0, 1.0]], [[0.0, 1.0]]]], dtype=dtype, requires_grad=True)
    loss = class_gate_loss((gate,), torch.tensor([[[0, 1]]]))
    loss.backward()
    assert loss.dtype == torch.float32 and loss.isfinite()
    assert gate.grad.isfinite().all()


def test_a_logit_feels_how_far_its_map_is_from_the_share_however_sure_it_is():
    logits = torch.tensor([-12.0, -1.0, 0.0, 3.0, 12.0], requires_grad=True)
    gate = torch.sigmoid(logits).view(1, 1, 1, 5)
    labels = torch.tensor([[[0, 0, V, V, V]]])  # with a single class its share is 1 in every labelled cell
    class_gate_loss((gate,), labels).backward()
    expected = (torch.sigmoid(logits.detach()) - 1) * torch.tensor([1, 1, 0, 0, 0]) / 2
    torch.testing.assert_close(logits.grad, expected, rtol=0.03, atol=1e-6)


def test_training_with_it_gives_each_class_its_map():
    """Without that loss, nothing would assign a map to a class."""
    model = make("ClassAttentionResidualUNet_256", width=8, classes=CLASSES).train()
    labels = torch.zeros(2, 32, 32, dtype=torch.long)
    labels[:, :, 10:], labels[:, 20:, 10:] = 1, 2
    pictures = images(32, 32) * 0.1 + F.one_hot(labels, CLASSES).movedim(-1, 1)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(40):
        loss = class_gate_loss(model(pictures, return_gates=True)[1], labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        finest = model(pictures, return_gates=True)[1][0]
    assert (finest.argmax(1) == labels).float().mean() > 0.9
