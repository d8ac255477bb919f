import pytest
import torch

from segnb.audit.scores import published
from segnb.errors import SegnbError
from segnb.models.build import build, parameter_groups
from segnb.models.fcn import FCN
from segnb.models.registry import VARIANTS, parse_variants
from segnb.models.unet import UNet

FCNS = [
    "FCN32s_vgg16_freeze",
    "FCN32s_vgg16_finetune",
    "FCN16s_vgg16_freeze",
    "FCN16s_vgg16_finetune",
    "FCN8s_vgg16_freeze",
    "FCN8s_vgg16_finetune",
]
STUDY_UNETS = ["UNet_Standard_256", "UNet_NoSkip_256", "ResidualUNet_256", "AttentionResidualUNet_256"]
EXTENSIONS = [
    "AttentionUNet_256",
    "AttentionResidualUNet_StridedGate_256",
    "ClassAttentionResidualUNet_256",
]
UNETS = STUDY_UNETS + EXTENSIONS


def test_the_registry_is_the_study_in_its_order_and_then_the_extensions():
    assert list(VARIANTS) == FCNS + STUDY_UNETS + EXTENSIONS
    assert [variant.family for variant in VARIANTS.values()] == ["fcn"] * 6 + ["unet"] * 7
    assert [name for name, variant in VARIANTS.items() if variant.extension] == EXTENSIONS


def test_what_is_no_extension_has_published_scores():
    assert set(published().index) == set(FCNS + STUDY_UNETS)


def test_every_variant_is_told_apart_and_described():
    every = list(VARIANTS.values())
    for field in ("name", "label", "summary", "config"):
        assert len({getattr(variant, field) for variant in every}) == len(every), field
    for variant in every:
        assert variant.summary[0].isupper() and variant.summary.endswith("."), variant.name


@pytest.mark.parametrize("name", FCNS + UNETS)
def test_build_scales_the_network_and_not_the_trunk(name):
    with torch.device("meta"):
        small, full = build(name, classes=5, width=16), build(name)
    assert isinstance(small, FCN if name in FCNS else UNet)
    assert (small.config.classes, small.config.width) == (5, 16)
    counts = [
        sum(p.numel() for n, p in m.named_parameters() if n.startswith("trunk.")) for m in (small, full)
    ]
    assert counts == ([14_714_688] * 2 if name in FCNS else [0, 0])
    if name in FCNS:
        assert small.head[0].out_channels == 1024
        assert small.trunk.frozen == name.endswith("_freeze")


def test_an_unknown_name_lists_the_choices():
    with pytest.raises(
        SegnbError, match="'UNet' is unknown: choose from FCN32s.*ClassAttentionResidualUNet_256$"
    ):
        build("UNet")


@pytest.mark.parametrize(
    "text, names",
    [
        ("all", FCNS + UNETS),
        ("fcn", FCNS),
        ("study", FCNS + STUDY_UNETS),
        (" unet ", UNETS),
        ("ResidualUNet_256, FCN8s_vgg16_freeze", ["FCN8s_vgg16_freeze", "ResidualUNet_256"]),
        ("unet,UNet_NoSkip_256,", UNETS),
        ("ClassAttentionResidualUNet_256,study", FCNS + STUDY_UNETS + ["ClassAttentionResidualUNet_256"]),
    ],
)
def test_names_families_and_all_are_parsed(text, names):
    assert parse_variants(text) == names


@pytest.mark.parametrize("text, named", [("fcn,UNet_Standart_256", "'UNet_Standart_256'"), (" , ", "empty")])
def test_what_cannot_be_parsed_is_an_error_that_lists_the_choices(text, named):
    with pytest.raises(SegnbError, match=f"{named}.*choose from all, study, fcn, unet, FCN32s"):
        parse_variants(text)


@pytest.mark.parametrize("name", FCNS + UNETS)
def test_parameter_groups_hold_every_trained_parameter_once(name):
    with torch.device("meta"):
        model = build(name, width=2)
    groups = parameter_groups(model, learning_rate=1e-3, trunk_learning_rate=1e-5)
    held = [p for group in groups for p in group["params"]]
    assert len(held) == len(set(held))
    assert set(held) == {p for p in model.parameters() if p.requires_grad}
    rates = {group["name"]: group["lr"] for group in groups}
    assert rates == ({"trunk": 1e-5, "network": 1e-3} if name.endswith("_finetune") else {"network": 1e-3})
