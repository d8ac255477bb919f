"""Building networks by name, and the parameter groups of their optimisers."""

import pytest
import torch

from segnb.models.build import build, parameter_groups
from segnb.models.fcn import FCN
from segnb.models.registry import VARIANTS
from segnb.models.unet import UNet

VGG16_PARAMETERS = 14_714_688
# At 13 classes and width 64. The tests also cover networks that are not listed.
PARAMETERS = {
    "FCN32s_vgg16_freeze": 118_224_730,
    "FCN32s_vgg16_finetune": 118_224_730,
    "FCN16s_vgg16_freeze": 117_714_948,
    "FCN16s_vgg16_finetune": 117_714_948,
    "FCN8s_vgg16_freeze": 117_591_214,
    "FCN8s_vgg16_finetune": 117_591_214,
    "UNet_Standard_256": 31_038_413,
    "UNet_NoSkip_256": 27_904_973,
    "ResidualUNet_256": 32_437_133,
    "AttentionResidualUNet_256": 32_786_737,
    "AttentionUNet_256": 31_388_017,
    "AttentionResidualUNet_StridedGate_256": 33_483_057,
    # AttentionResidualUNet's, plus for each gate, with F = 64, 128, 256 or 512 channels, twelve more outputs
    # of psi with F / 2 weights and a bias, and a mixing of 13 F: 12 · (480 + 4) + 13 · 960 = 18,288.
    "ClassAttentionResidualUNet_256": 32_805_025,
}


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS)
def variant(request):
    return request.param


def test_a_full_network_has_the_published_parameters_and_build_scales_all_but_the_backbone(variant):
    with torch.device("meta"):  # on the meta device, which has shapes but no memory
        small, full = build(variant.name, classes=5, width=16), build(variant.name)
    count = sum(p.numel() for p in full.parameters())
    assert count == PARAMETERS.get(variant.name, count)
    fcn = variant.family == "fcn"
    assert isinstance(small, FCN if fcn else UNet)
    assert (small.config.classes, small.config.width) == (5, 16)
    for model in (small, full):
        trunk = [p.numel() for name, p in model.named_parameters() if name.startswith("trunk.")]
        assert sum(trunk) == fcn * VGG16_PARAMETERS
    if fcn:
        assert small.head[0].out_channels == 1024
        assert small.trunk.frozen == variant.frozen


def test_parameter_groups_hold_every_trained_parameter_once(variant):
    with torch.device("meta"):
        model = build(variant.name, width=2)
    groups = parameter_groups(model, learning_rate=1e-3, backbone_learning_rate=1e-5)
    held = [p for group in groups for p in group["params"]]
    assert len(held) == len(set(held))
    assert set(held) == {p for p in model.parameters() if p.requires_grad}
    trunk = {"trunk": 1e-5} if variant.family == "fcn" and not variant.frozen else {}
    assert {group["name"]: group["lr"] for group in groups} == {**trunk, "network": 1e-3}
