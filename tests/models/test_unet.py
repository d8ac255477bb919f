"""U-Nets: skips, gates and blocks."""

from dataclasses import replace

import pytest
import torch

from segnb.models.attention import class_gate_loss
from segnb.models.registry import VARIANTS

from .base import CLASSES, ModelTester, images, make, names

WIDTH = 8
LEVELS = [(67, 93), (34, 47), (17, 24), (9, 12)]  # an odd image and its levels, finest first


class TestUNets(ModelTester):
    width = WIDTH
    padding = (0, 3, 0, 13)  # to 80 × 96

    @pytest.fixture(params=names(family="unet"))
    def name(self, request):
        return request.param

    def test_gates_are_maps_between_nought_and_one_at_each_level(self, model):
        with torch.no_grad():
            logits, gates = model.eval()(images(67, 93), return_gates=True)
            assert torch.equal(logits, model(images(67, 93)))
        maps = {"none": 0, "class": CLASSES}.get(model.config.gate, 1)
        assert [gate.shape for gate in gates] == [(2, maps, *level) for level in LEVELS if maps]
        for gate in gates:
            assert 0 < gate.min() < gate.max() < 1

    def test_a_network_says_whether_its_maps_belong_to_classes(self, model):
        assert model.has_class_gates == (model.config.gate == "class")

    def test_only_skips_lead_around_the_bottom(self, model):
        model.bottom.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
        with torch.no_grad():
            one, other = model.eval()(images(seed=1)), model(images(seed=2))
        assert torch.equal(one, other) != model.config.skip

    @pytest.mark.parametrize("size, bottom", [((48, 80), (3, 5)), ((67, 93), (5, 6))])
    def test_no_more_is_padded_than_four_halvings_need(self, model, size, bottom):
        shapes = []
        model.bottom.register_forward_hook(lambda module, inputs, output: shapes.append(output.shape))
        with torch.no_grad():
            model(images(*size))
        assert shapes == [(2, 16 * WIDTH, *bottom)]


def test_the_loss_of_class_maps_reaches_all_that_they_come_from():
    model = make("ClassAttentionResidualUNet_256", WIDTH)
    _, gates = model.train()(images(), return_gates=True)
    class_gate_loss(gates, torch.randint(CLASSES, (2, 64, 64))).backward()
    behind = ("up1.gate.mixing", "up1.block.", "score.")  # what only follows the finest map
    for name, parameter in model.named_parameters():
        if name.startswith(behind):
            assert parameter.grad is None, name
        else:
            assert parameter.grad.isfinite().all() and parameter.grad.any(), name


UNETS = {VARIANTS[name].config: name for name in names(family="unet")}
GATED = [
    (UNETS[plain], gated)
    for config, gated in UNETS.items()
    if (plain := replace(config, gate="none")) != config and plain in UNETS
]


@pytest.mark.parametrize("plain_name, gated_name", GATED)
@torch.no_grad()
def test_with_its_gates_forced_open_it_is_the_network_without_gates(plain_name, gated_name):
    plain, gated = make(plain_name, WIDTH).eval(), make(gated_name, WIDTH, seed=5).eval()
    missing, unexpected = gated.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert all(".gate." in name for name in missing)
    assert not torch.allclose(gated(images()), plain(images()), atol=1e-3)
    for up in (gated.up1, gated.up2, gated.up3, gated.up4):
        up.gate.psi.bias.fill_(100)  # its sigmoid is 1 in float32
    # Shares of a mixture add up to 1 but for rounding; a single map is exact.
    tolerance = 1e-5 if gated.has_class_gates else 0
    torch.testing.assert_close(gated(images()), plain(images()), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", [gated for _, gated in GATED])
@torch.no_grad()
def test_with_its_gates_forced_shut_everything_passes_the_bottom(name):
    model = make(name, WIDTH).eval()
    for up in (model.up1, model.up2, model.up3, model.up4):
        up.gate.psi.bias.fill_(-1000)  # its sigmoid is 0 in float32
    model.bottom.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
    assert torch.equal(model(images(seed=1)), model(images(seed=2)))


@torch.no_grad()
def test_a_residual_block_is_its_shortcut_plus_its_convolutions():
    block = make("ResidualUNet_256", WIDTH).eval().down2
    x = torch.randn(2, WIDTH, 8, 8)
    block.residual[-1].weight.zero_()  # the last BN: nothing is added to the shortcut
    assert torch.equal(block(x), block.shortcut(x).relu())
    block.residual[-1].bias.fill_(3)
    torch.testing.assert_close(block(x), (block.shortcut(x) + 3).relu())
