import pytest
import torch

from segnb.errors import SegnbError
from segnb.models.attention import class_gate_loss
from segnb.models.registry import VARIANTS, UNetConfig

from .base import CLASSES, ModelTester, images, make

WIDTH = 8
LEVELS = [(67, 93), (34, 47), (17, 24), (9, 12)]  # an odd image and its levels, finest first


class UNetTester(ModelTester):
    width = WIDTH
    padding = (0, 3, 0, 13)  # to 80 × 96
    maps = 0  # a level, of the gates
    skips = True

    def test_gates_are_maps_between_nought_and_one_at_each_level(self, model):
        with torch.no_grad():
            logits, gates = model.eval()(images(67, 93), return_gates=True)
            assert torch.equal(logits, model(images(67, 93)))
        assert [gate.shape for gate in gates] == [(2, self.maps, *level) for level in LEVELS if self.maps]
        for gate in gates:
            assert 0 < gate.min() < gate.max() < 1

    def test_only_skips_lead_around_the_bottom(self, model):
        model.bottom.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
        with torch.no_grad():
            one, other = model.eval()(images(seed=1)), model(images(seed=2))
        assert torch.equal(one, other) != self.skips

    @pytest.mark.parametrize("size, bottom", [((48, 80), (3, 5)), ((67, 93), (5, 6))])
    def test_no_more_is_padded_than_four_halvings_need(self, model, size, bottom):
        shapes = []
        model.bottom.register_forward_hook(lambda module, inputs, output: shapes.append(output.shape))
        model(images(*size))
        assert shapes == [(2, 16 * WIDTH, *bottom)]


class TestUNet(UNetTester):
    name = "UNet_Standard_256"
    parameters = 31_038_413


class TestUNetNoSkip(UNetTester):
    name = "UNet_NoSkip_256"
    parameters = 27_904_973
    skips = False


class TestResidualUNet(UNetTester):
    name = "ResidualUNet_256"
    parameters = 32_437_133


class TestAttentionResidualUNet(UNetTester):
    name = "AttentionResidualUNet_256"
    parameters = 32_786_737
    maps = 1


class TestAttentionUNet(UNetTester):
    name = "AttentionUNet_256"
    parameters = 31_388_017
    maps = 1


class TestStridedGate(UNetTester):
    name = "AttentionResidualUNet_StridedGate_256"
    parameters = 33_483_057
    maps = 1


class TestClassAttentionResidualUNet(UNetTester):
    name = "ClassAttentionResidualUNet_256"
    # AttentionResidualUNet's 32,786,737, and for each gate, on F = 64, 128, 256 or 512 channels, twelve more
    # outputs of psi with F / 2 weights and a bias, and a mixing of 13 F: 12 · (480 + 4) + 13 · 960 = 18,288.
    parameters = 32_805_025
    maps = CLASSES

    def test_the_loss_of_its_maps_reaches_all_that_they_come_from(self, model):
        _, gates = model.train()(images(), return_gates=True)
        class_gate_loss(gates, torch.randint(CLASSES, (2, 64, 64))).backward()
        behind = ("up1.gate.mixing", "up1.block.", "score.")  # what only follows the finest map
        for name, parameter in model.named_parameters():
            if name.startswith(behind):
                assert parameter.grad is None, name
            else:
                assert parameter.grad.isfinite().all() and parameter.grad.any(), name


@pytest.mark.parametrize("name", [name for name, v in VARIANTS.items() if v.family == "unet"])
def test_a_network_says_whether_its_maps_belong_to_classes(name):
    assert make(name, WIDTH).has_class_gates == (name == "ClassAttentionResidualUNet_256")


GATED = [
    ("UNet_Standard_256", "AttentionUNet_256"),
    ("ResidualUNet_256", "AttentionResidualUNet_256"),
    ("ResidualUNet_256", "AttentionResidualUNet_StridedGate_256"),
    ("ResidualUNet_256", "ClassAttentionResidualUNet_256"),
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


@pytest.mark.parametrize("name", ["AttentionResidualUNet_256", "ClassAttentionResidualUNet_256"])
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


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"block": "dense"}, "block='dense' is unknown: choose from double, residual"),
        ({"gate": "soft"}, "gate='soft' is unknown: choose from none, additive, strided, class"),
        ({"skip": False, "gate": "additive"}, "no skip to gate"),
        ({"width": 1}, "width=1"),
        ({"classes": 0}, "classes=0"),
    ],
)
def test_a_wrong_config_is_an_error(wrong, message):
    with pytest.raises(SegnbError, match=message):
        UNetConfig(**wrong)
