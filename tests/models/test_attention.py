import pytest
import torch

from segnb.models.attention import AdditiveGate, StridedGate

CHANNELS = 4


@pytest.fixture
def signals():
    torch.manual_seed(0)
    return {
        "skip": torch.randn(2, CHANNELS, 8, 6),
        "below": torch.randn(2, 2 * CHANNELS, 4, 3),
        "raised": torch.randn(2, CHANNELS, 8, 6),
    }


def affine(convolution, pixels):
    """A convolution that covers its whole input, as a plain matrix product."""
    return convolution.weight.flatten(1) @ pixels.flatten() + convolution.bias


@torch.no_grad()
def test_the_additive_gate_follows_its_formula(signals):
    gate = AdditiveGate(CHANNELS)
    row, column = 5, 2
    signal, skip = (signals[name][1, :, row, column] for name in ("raised", "skip"))
    joined = torch.relu(affine(gate.from_signal, signal) + affine(gate.from_skip, skip))
    expected = torch.sigmoid(affine(gate.psi, joined))
    torch.testing.assert_close(gate(**signals)[1, :, row, column], expected)


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
    # Half a pixel from the coarse centre each way: weights 3/4 and 1/4 along each axis.
    weights = torch.outer(torch.tensor([0.75, 0.25]), torch.tensor([0.75, 0.25]))
    torch.testing.assert_close(fine[1, 1], (weights * coarse[:2, :2]).sum())


@pytest.mark.parametrize("make, used", [(AdditiveGate, "raised"), (StridedGate, "below")])
@torch.no_grad()
def test_a_gate_takes_its_signal_from_one_place(make, used, signals):
    torch.manual_seed(0)
    gate = make(CHANNELS)
    before = gate(**signals)
    changed = {name for name in signals if not torch.equal(gate(**{**signals, name: -signals[name]}), before)}
    assert changed == {"skip", used}
