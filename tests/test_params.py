"""Parameters: unknown and mistyped ones are errors that name the choices."""

import pytest
import torch

from segnb.data import splits
from segnb.data.batches import MEAN, STD
from segnb.errors import SegnbError
from segnb.labels import LABEL_SETS
from segnb.models.build import build
from segnb.models.registry import VARIANTS
from segnb.params import ReportParams, RunParams, parse_seeds
from segnb.presets import PRESETS, preset
from segnb.runtime.machine import Machine


def test_defaults_are_the_quick_preset_on_streets():
    params = RunParams.check({})
    assert (params.preset, params.data, params.variant, params.seed) == (
        "quick",
        "streets",
        "UNet_Standard_256",
        0,
    )


def test_an_int_serves_for_a_float():
    assert RunParams.check({"learning_rate": 1}).learning_rate == 1.0


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"lerning_rate": 0.1}, "'lerning_rate' is unknown; choose from preset, data, epochs"),
        ({"seed": "0"}, "'seed': input should be a valid integer, got '0'"),
        ({"seed": -1}, "'seed'"),
        ({"epochs": 0}, "'epochs'"),
        ({"epochs": 2.5}, "'epochs'"),
        ({"learning_rate": -1.0}, "'learning_rate'"),
        ({"variant": None}, "'variant'"),
    ],
)
def test_bad_values_are_named_in_one_line(values, told):
    with pytest.raises(SegnbError) as error:
        RunParams.check(values)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_notebook_takes_its_values_from_the_namespace():
    cells = ["", "# Parameters\nseed = 1", "from segnb.params import RunParams"]
    assert RunParams.from_notebook({"In": cells, "seed": 1, "history": [1, 2]}).seed == 1


def test_an_injected_unknown_name_is_an_error():
    cells = ["", "# Parameters\nseed = 1", "# Parameters\nsede = 2", "run"]
    with pytest.raises(SegnbError, match="'sede' is unknown"):
        RunParams.from_notebook({"In": cells, "seed": 1, "sede": 2})


def test_a_mended_typo_is_forgotten_when_cells_are_run_again():
    cells = ["", "# Parameters\nsede = 1", "check", "# Parameters\nseed = 1", "check"]
    assert RunParams.from_notebook({"In": cells, "sede": 1, "seed": 1}).seed == 1


def test_report_parameters_accept_one_seed_as_papermill_guesses_it():
    assert ReportParams.check({"seeds": 0}).seeds == 0


@pytest.mark.parametrize(("text", "seeds"), [("0", [0]), (2, [2]), ("3,1,1", [1, 3])])
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "0,-1", "0;1"])
def test_bad_seeds(text):
    with pytest.raises(SegnbError, match="whole numbers"):
        parse_seeds(text)


def test_an_unknown_preset_lists_the_choices():
    with pytest.raises(SegnbError, match="smoke, quick, standard, paper"):
        preset("fast")


def test_override_changes_both_families_and_nothing_else():
    changed = preset("quick").override(3, None)
    assert (changed.fcn.epochs, changed.unet.epochs) == (3, 3)
    assert changed.fcn.learning_rate == PRESETS["quick"].fcn.learning_rate
    assert preset("quick").override(None, None) == PRESETS["quick"]


def test_paper_is_the_published_recipe():
    paper = PRESETS["paper"]
    assert paper.train + paper.val == 2000 and paper.val == 400 and paper.test == 500
    assert splits.VALIDATION_SHARE == 0.2
    assert (MEAN, STD) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (paper.fcn.size, paper.unet.size) == (224, 256)
    assert (paper.fcn.epochs, paper.unet.epochs) == (15, 50)
    for recipe in (paper.fcn, paper.unet):
        assert (recipe.width, recipe.batch_size, recipe.schedule, recipe.mirror) == (64, 8, "constant", False)
        assert recipe.learning_rate == recipe.trunk_learning_rate == 1e-4
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
