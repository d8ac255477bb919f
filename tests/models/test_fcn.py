"""FCNs: strides, scores, upsampling, and frozen or fine-tuned backbones."""

from copy import deepcopy
from dataclasses import replace
from functools import lru_cache

import pytest
import torch
import torch.nn.functional as F

from segnb.models.build import parameter_groups
from segnb.models.fcn import FCN, FromFeatures, Taps, Upsampling, tap_scales
from segnb.models.registry import FCNConfig

from .base import CLASSES, ModelTester, backward, images, names


def step(model):
    """Make one step of the optimiser and return the weights before it."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = torch.optim.Adam(parameter_groups(model, learning_rate=1e-3, backbone_learning_rate=1e-4))
    backward(model)
    optimiser.step()
    return before, optimiser


@pytest.mark.usefixtures("narrow")
class FCNTester(ModelTester):
    width = 2
    padding = (0, 3, 0, 29)  # to 96 × 96


class TestFrozen(FCNTester):
    @pytest.fixture(params=names(family="fcn", frozen=True))
    def name(self, request):
        return request.param

    def test_the_trunk_is_left_alone(self, model):
        before, optimiser = step(model)
        for name, after in model.named_parameters():
            assert torch.equal(before[name], after) == name.startswith("trunk."), name
        held = {p for group in optimiser.param_groups for p in group["params"]}
        assert held.isdisjoint(model.trunk.parameters())
        assert [group["name"] for group in optimiser.param_groups] == ["network"]

    def test_the_trunk_stays_in_eval_and_keeps_no_graph(self, model):
        model.train()
        assert model.head.training
        assert not any(module.training for module in model.trunk.modules())
        assert not any(tap.requires_grad for tap in model.features(images().requires_grad_()))

    def test_kept_features_give_the_same_logits(self, model):
        model.eval()
        odd = images(67, 93)
        rest = FromFeatures(model, (67, 93))
        assert torch.equal(rest(model.features(odd)), model(odd))
        trained = {parameter for parameter in rest.parameters() if parameter.requires_grad}
        assert trained == {parameter for parameter in model.parameters() if parameter.requires_grad}


class TestFinetuned(FCNTester):
    @pytest.fixture(params=names(family="fcn", frozen=False))
    def name(self, request):
        return request.param

    def test_every_weight_moves_the_trunk_at_its_own_rate(self, model):
        before, optimiser = step(model)
        for name, after in model.named_parameters():
            # Adam's first step has the size of the learning rate.
            rate = 1e-4 if name.startswith("trunk.") else 1e-3
            assert (after - before[name]).abs().max().item() == pytest.approx(rate, rel=0.02), name
        assert [(g["name"], g["lr"]) for g in optimiser.param_groups] == [("trunk", 1e-4), ("network", 1e-3)]

    def test_the_trunk_follows_train_and_eval(self, model):
        assert model.train().trunk.training
        assert not model.eval().trunk.training

    def test_it_starts_where_the_frozen_one_starts(self, model):
        torch.manual_seed(0)
        frozen = FCN(replace(model.config, freeze_trunk=True)).state_dict()
        assert all(torch.equal(value, frozen[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("factor", [2, 8, 16, 32])
def test_upsampling_is_a_transposed_convolution(factor):
    """The matrix product has the values and gradients of torch's transposed convolution."""
    torch.manual_seed(0)
    up = Upsampling(3, factor)
    torch.nn.init.normal_(up.weight)
    torch.nn.init.normal_(up.bias)
    scores = torch.randn(2, 3, 4, 5, requires_grad=True)
    expected = F.conv_transpose2d(scores, up.weight, up.bias, stride=factor, padding=factor // 2)
    torch.testing.assert_close(up(scores), expected)
    weights = torch.randn_like(expected)
    wanted = torch.autograd.grad((weights * expected).sum(), [scores, *up.parameters()])
    found = torch.autograd.grad((weights * up(scores)).sum(), [scores, *up.parameters()])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("factor", [2, 8, 16, 32])
def test_upsampling_starts_as_bilinear_interpolation_of_each_class(factor):
    scores = images(5, 6)
    up = Upsampling(3, factor)
    expected = F.interpolate(scores, scale_factor=factor, mode="bilinear", align_corners=False)
    logits = up(scores)
    assert logits.shape == expected.shape
    inside = slice(factor // 2, -factor // 2)  # at the border, one pads with zeros and the other repeats
    torch.testing.assert_close(logits[..., inside, inside], expected[..., inside, inside])
    assert all(p.requires_grad for p in up.parameters())


# With zero finer scores, each network is a chain of these upsamplings.
CHAINS = {32: [32], 16: [2, 16], 8: [2, 2, 8]}


@lru_cache
def drawn(stride):
    torch.manual_seed(0)
    return FCN(FCNConfig(stride=stride, freeze_trunk=True, width=2)).eval()


@pytest.fixture(params=CHAINS)
def network(request):
    return deepcopy(drawn(request.param))


def upsampled(score, factors):
    for factor in factors:
        score = Upsampling(CLASSES, factor)(score)
    return score


@torch.no_grad()
def test_without_finer_scores_it_is_its_chain_of_upsamplings(network):
    for name, parameter in network.named_parameters():
        if name.startswith(("score_pool3.", "score_pool4.")):
            parameter.zero_()
    taps = network.features(images(96, 64))
    score = network.head(network.tap_scale[-1] * taps.pool5)
    logits = network.decode(taps, (96, 64))
    assert torch.equal(logits, upsampled(score, CHAINS[network.config.stride]))
    # Bilinear interpolation in two steps differs from one step, so an untrained 16s is not exactly a 32s.
    gap = (logits - upsampled(score, CHAINS[32])).abs().max() / score.abs().max()
    assert (gap > 0.05) == (network.config.stride != 32)


@torch.no_grad()
@pytest.mark.parametrize("size, grid", [((96, 32), (3, 1)), ((67, 93), (3, 3))])
def test_no_more_is_padded_than_five_halvings_need(network, size, grid):
    assert network.features(images(*size)).pool5.shape == (2, 512, *grid)


@torch.no_grad()
def test_each_stride_reads_its_own_poolings(network):
    for name, parameter in network.named_parameters():
        if name.startswith("score_pool"):  # which starts at zero
            torch.nn.init.normal_(parameter)
    taps = network.features(images())
    logits = network.decode(taps, (64, 64))
    read = {
        tap
        for tap in taps._fields
        if not torch.equal(network.decode(taps._replace(**{tap: 2 * getattr(taps, tap)}), (64, 64)), logits)
    }
    assert (
        read == {32: {"pool5"}, 16: {"pool5", "pool4"}, 8: {"pool5", "pool4", "pool3"}}[network.config.stride]
    )


@torch.no_grad()
def test_a_fused_score_lands_where_its_pixels_are():
    """The score of one pool3 cell appears in the logits around the centre of that cell's 8×8 pixels."""
    network = deepcopy(drawn(8))
    torch.nn.init.normal_(network.score_pool3.weight)
    taps = network.features(images())
    marked = taps.pool3.clone()
    marked[:, :, 2, 5] += 1
    change = network.decode(taps._replace(pool3=marked), (64, 64)) - network.decode(taps, (64, 64))
    weight = change[0].abs().sum(0)  # (H, W)
    weight = weight / weight.sum()
    places = torch.arange(64) + 0.5
    assert (weight.sum(1) @ places).item() == pytest.approx(2.5 * 8, abs=0.01)
    assert (weight.sum(0) @ places).item() == pytest.approx(5.5 * 8, abs=0.01)


@torch.no_grad()
def test_scales_multiply_the_taps_before_they_are_scored(network):
    taps = network.features(images())
    plain = network.decode(taps, (64, 64))
    network.tap_scale /= 2
    doubled = Taps(*(2 * tap for tap in taps))
    assert torch.equal(network.decode(doubled, (64, 64)), plain)


def test_every_fused_score_learns_from_the_first_step():
    """One step at the study's learning rate gives each finer score a fair magnitude.

    The score starts at zero. After the step it is more than a hundredth of the coarse score, but does not
    exceed it. Adam changes each weight by about the learning rate, so the score grows with the tap; without
    scaling, that of the second network would be a hundred times larger.
    """
    for louder in (1, 100):
        network = deepcopy(drawn(8))
        network.trunk.features[0].weight.data *= louder
        network.tap_scale.copy_(tap_scales(network.trunk))
        pool3, pool4, pool5 = (
            s * t for s, t in zip(network.tap_scale, network.features(images()), strict=True)
        )
        coarse = network.eval().head(pool5).std()
        fused = {network.score_pool3: pool3, network.score_pool4: pool4}
        assert not any(score(tap).any() for score, tap in fused.items())
        optimiser = torch.optim.Adam(parameter_groups(network, 1e-4, 1e-4))
        backward(network)
        optimiser.step()
        for score, tap in fused.items():
            assert 0.01 < score(tap).std() / coarse < 1
