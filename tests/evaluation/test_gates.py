"""Gate maps compared with arithmetic by hand, and the loss without them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from segnb.data.batches import Split, in_order
from segnb.evaluation import ablation
from segnb.labels import IGNORE_INDEX
from segnb.metrics.confusion import mean_iou
from segnb.models.registry import UNetConfig
from segnb.models.unet import UNet
from segnb.runtime.machine import Machine
from segnb.training.loop import criterion, evaluate

CPU = Machine("cpu", "any", threads=1, precision="fp32")
CLASSES = 4
SIZE = 40  # no multiple of 16, so maps have a padding outside the image


def network(gate: str) -> UNet:
    torch.manual_seed(0)
    return UNet(UNetConfig(gate=gate, classes=CLASSES, width=4)).eval()


def trained(gate: str) -> UNet:
    """A network that distinguishes classes, with gate maps steep enough to matter."""
    model = network(gate)
    for level in ablation.LEVELS:
        getattr(model, f"up{level}").gate.psi.weight.data.mul_(20)
    optimizer = torch.optim.Adam(model.train().parameters(), 0.02)
    images, labels = next(in_order(split(), 3, CPU))
    for _ in range(30):
        optimizer.zero_grad()
        criterion(model(images), labels).backward()
        optimizer.step()
    return model.eval()


def split(count: int = 3, size: int = SIZE) -> Split:
    draw = np.random.default_rng(0)
    labels = np.kron(draw.integers(0, CLASSES, (count, size // 8, size // 8)), np.ones((8, 8))).astype(
        np.uint8
    )
    labels[0, 3:8, 2:20] = IGNORE_INDEX
    return Split(draw.integers(0, 256, (count, size, size, 3), np.uint8), labels, list("abc"[:count]))


def watched(model: UNet, data: Split, batch_size: int = 2) -> dict:
    openness = ablation.Openness(data.labels.shape[1], np.array([0, 2]))
    with ablation.watched(model, ablation.LEVELS, openness.see, openness.weigh):
        evaluate(model, data, batch_size, CPU)
    return openness.statistics()


def maps_of(model: UNet, data: Split) -> list[np.ndarray]:
    """Return the gate maps of the network itself, one array per level."""
    images, _ = next(in_order(data, len(data), CPU))
    with torch.no_grad():
        return [gate.numpy() for gate in model(images, return_gates=True)[1]]


@pytest.mark.parametrize("gate", ["additive", "strided", "class"])
def test_openness_is_that_of_the_maps_which_the_network_returns(gate):
    model, data = network(gate), split()
    found, maps = watched(model, data), maps_of(model, data)
    assert found["levels"].tolist() == [1, 2, 3, 4]
    for i, one in enumerate(maps):
        np.testing.assert_allclose(found["std"][:, i], one.std((2, 3)), rtol=1e-3)
        np.testing.assert_allclose(found[f"maps{i + 1}"], one[[0, 2]], rtol=1e-3)
    assert found["passed"].shape == (3,) and (found["passed"] > 0).all() and (found["passed"] < 1).all()


def test_a_gate_of_one_value_lets_its_square_through():
    model, data = network("additive"), split()
    for level in ablation.LEVELS:  # psi sees nothing, so each map is sigmoid of the bias
        gate = getattr(model, f"up{level}").gate
        gate.psi.weight.data.zero_()
        gate.psi.bias.data.fill_(-float(level))
    squares = np.mean([(1 / (1 + np.exp(level))) ** 2 for level in ablation.LEVELS])
    assert watched(model, data)["passed"] == pytest.approx(squares, rel=1e-5)


def test_a_gate_that_only_scales_loses_nothing_without_its_map():
    model, data = network("additive"), split()
    for level in ablation.LEVELS:  # psi sees nothing, so each map is sigmoid of the bias
        getattr(model, f"up{level}").gate.psi.weight.data.zero_()
    whole = evaluate(model, data, 2, CPU).confusion.numpy()
    without = ablation.neutral_confusion(model, data, 2, CPU)
    assert without.shape == (5, 3, CLASSES, CLASSES)
    for one in without:
        np.testing.assert_array_equal(one, whole)
    assert np.ptp(watched(model, data)["std"]) < 1e-6


@pytest.mark.parametrize("gate", ["additive", "strided", "class"])
def test_without_its_map_a_level_s_gate_is_the_mean_over_the_image(gate):
    """The result equals that of a network whose gates are constants with the same mean."""
    model, data = trained(gate), split()
    without = ablation.neutral_confusion(model, data, 2, CPU)
    whole = evaluate(model, data, 2, CPU).confusion.numpy()
    assert any((one != whole).any() for one in without)

    class Constant(torch.nn.Module):
        def __init__(self, gate, means):
            super().__init__()
            self.gate, self.means = gate, torch.from_numpy(means)

        def forward(self, skip, below, raised):
            return self.means[:, :, None, None].expand(-1, -1, *skip.shape[-2:])

        def per_channel(self, maps):
            return self.gate.per_channel(maps)

    for i, maps in enumerate(maps_of(model, data)):
        up = getattr(model, f"up{i + 1}")
        gate_there = up.gate
        up.gate = Constant(gate_there, maps.mean((2, 3)))
        wanted = evaluate(model, data, len(data), CPU).confusion.numpy()
        up.gate = gate_there
        np.testing.assert_array_equal(without[i], wanted)
    np.testing.assert_array_equal(evaluate(model, data, 2, CPU).confusion.numpy(), whole)


class Bright(torch.nn.Module):
    """Channel 0 is 1 everywhere, channel 1 is the brightness, the others are 0."""

    def forward(self, images):
        ones = torch.ones_like(images[:, :1])
        return torch.cat([ones, images.mean(1, keepdim=True), torch.zeros_like(images[:, :2])], 1)


class OpenWhereBright(torch.nn.Module):
    def forward(self, skip, below, raised):
        return torch.sigmoid(100 * skip[:, 1:2])

    def per_channel(self, maps):
        return maps


class SkipAlone(torch.nn.Module):
    def forward(self, joined):
        return joined[:, : joined.shape[1] // 2]


def test_a_network_that_sees_by_its_gate_alone_loses_what_the_map_told():
    model, data = network("additive"), split(2, 32)
    labels = np.zeros((2, 32, 32), np.uint8)
    labels[:, :, 8:] = 1  # three quarters
    data = replace(data, images=(labels * 255)[..., None].repeat(3, -1), labels=labels)
    model.down1, model.up1.gate, model.up1.block = Bright(), OpenWhereBright(), SkipAlone()
    model.score.weight.data.zero_()
    model.score.bias.data = torch.tensor([0.0, -0.5, -9, -9])
    model.score.weight.data[1, 0] = 1  # class 1 where the gate passes more than half

    assert mean_iou(evaluate(model, data, 2, CPU).confusion.numpy().sum(0)) == 1
    left = mean_iou(ablation.neutral_confusion(model, data, 2, CPU).sum(1))
    # With the first level's gate at its mean of 0.75, class 1 is predicted everywhere: IoUs of 0 and 3/4.
    assert left.tolist() == [0.375, 1, 1, 1, 0.375]


def test_hooks_are_gone_afterwards_even_after_an_error():
    model, data = network("additive"), split(1)

    def see(level, maps):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), ablation.watched(model, ablation.LEVELS, see):
        evaluate(model, data, 1, CPU)
    evaluate(model, data, 1, CPU)


def test_half_precision_goes_through():
    half = replace(CPU, precision="bf16")
    for gate in ("additive", "strided", "class"):
        model, data = network(gate), split(2, 32)
        openness = ablation.Openness(32, np.array([0]))
        with ablation.watched(model, ablation.LEVELS, openness.see, openness.weigh):
            evaluate(model, data, 2, half)
        found = openness.statistics()
        means = [found[f"maps{level}"].astype(float).mean() for level in ablation.LEVELS]
        assert 0 < min(means) < max(means) < 1
        without, known = ablation.neutral_confusion(model, data, 2, half), data.labels != IGNORE_INDEX
        assert without.sum() == 5 * known.sum()
