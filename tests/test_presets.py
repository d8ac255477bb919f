"""Presets: what the published recipe is, and what can be changed in one."""

import json

import pytest
import torch

from segnb.data import splits
from segnb.data.batches import MEAN, STD
from segnb.errors import SegnbError
from segnb.labels import LABEL_SETS
from segnb.models.build import build
from segnb.models.registry import VARIANTS
from segnb.presets import PRESETS, Preset, preset
from segnb.runtime.machine import Machine


def test_an_unknown_preset_lists_the_choices():
    with pytest.raises(SegnbError, match=f"unknown preset 'fast' .expected one of {', '.join(PRESETS)}"):
        preset("fast")


@pytest.mark.parametrize("chosen", PRESETS.values(), ids=PRESETS)
def test_a_preset_is_read_again_from_what_a_study_keeps(chosen):
    assert PRESETS[chosen.name] is chosen
    assert Preset.from_dict(json.loads(json.dumps(chosen.as_dict()))) == chosen


def test_override_changes_both_families_and_nothing_else():
    changed = preset("quick").override(epochs=3, learning_rate=None)
    assert (changed.fcn.epochs, changed.unet.epochs) == (3, 3)
    assert changed.fcn.learning_rate == PRESETS["quick"].fcn.learning_rate
    assert preset("quick").override(epochs=None) == PRESETS["quick"]


def test_paper_is_the_published_recipe():
    paper = PRESETS["paper"]
    assert paper.train + paper.val == 2000 and paper.val == 400 and paper.test == 500
    assert splits.VALIDATION_SHARE == 0.2
    assert (MEAN, STD) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (paper.fcn.size, paper.unet.size) == (224, 256)
    assert (paper.fcn.epochs, paper.unet.epochs) == (15, 50)
    for recipe in (paper.fcn, paper.unet):
        assert (recipe.width, recipe.batch_size, recipe.schedule, recipe.mirror) == (64, 8, "constant", False)
        assert recipe.learning_rate == recipe.backbone_learning_rate == 1e-4
    assert (paper.fcn.patience, paper.unet.patience, paper.unet.min_delta) == (None, 5, 1e-3)
    assert all(len(LABEL_SETS["street"]) == variant.config.classes == 13 for variant in VARIANTS.values())


def test_paper_trains_with_plain_adam():
    optimizer = Machine("cpu", "any", 1, "fp32").adam([{"params": [torch.zeros(1, requires_grad=True)]}])
    assert type(optimizer) is torch.optim.Adam
    settings = optimizer.param_groups[0]
    assert (settings["betas"], settings["eps"], settings["weight_decay"]) == ((0.9, 0.999), 1e-8, 0)


def test_paper_s_fcn_is_the_published_one():
    with torch.device("meta"):
        model = build("FCN8s_vgg16_finetune", width=PRESETS["paper"].fcn.width)
    seven, relu, dropout, score = model.head
    assert (seven.in_channels, seven.out_channels, seven.kernel_size) == (512, 4096, (7, 7))
    assert isinstance(relu, torch.nn.ReLU)
    assert type(dropout) is torch.nn.Dropout2d and dropout.p == 0.5
    assert (score.in_channels, score.out_channels, score.kernel_size) == (4096, 13, (1, 1))
    ups = [layer for layer in model.modules() if isinstance(layer, torch.nn.ConvTranspose2d)]
    assert sorted(up.stride[0] for up in ups) == [2, 2, 8]
    assert all(up.kernel_size == (2 * up.stride[0],) * 2 for up in ups)


def test_paper_s_unet_is_the_published_one():
    with torch.device("meta"):
        model = build("UNet_Standard_256", width=PRESETS["paper"].unet.width)
    downs = [model.down1, model.down2, model.down3, model.down4, model.bottom]
    assert [down[0].out_channels for down in downs] == [64, 128, 256, 512, 1024]
    for down in downs:
        kinds = [type(layer) for layer in down]
        assert kinds == 2 * [torch.nn.Conv2d, torch.nn.BatchNorm2d, torch.nn.ReLU]
        assert all(layer.bias is None and layer.kernel_size == (3, 3) for layer in (down[0], down[3]))
