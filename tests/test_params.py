"""Parameters: unknown and mistyped ones are errors that name the choices."""

import pytest

from segnb.errors import SegnbError
from segnb.models.registry import FAMILIES
from segnb.params import LARGEST_SEED, ReportParams, RunParams, ViewParams, parse_seeds
from segnb.presets import PRESETS
from segnb.runtime.machine import PRECISIONS


def test_every_parameter_has_a_default_and_a_description():
    for kind in (RunParams, ReportParams, ViewParams):
        assert kind.check({}) == kind()
        assert all(field.description for field in kind.model_fields.values())


def test_descriptions_name_the_choices_that_there_are():
    descriptions = {name: field.description for name, field in RunParams.model_fields.items()}
    assert all(name in descriptions["preset"] for name in PRESETS)
    assert all(name in descriptions["precision"] for names in PRECISIONS.values() for name in names)
    assert all(name in ReportParams.model_fields["variants"].description for name in FAMILIES)


def test_an_int_serves_for_a_float():
    assert RunParams.check({"learning_rate": 1}).learning_rate == 1.0


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"lerning_rate": 0.1}, "unknown parameter 'lerning_rate' (expected one of preset, data, epochs"),
        ({"seed": "0"}, "invalid seed '0' (expected the seed, an integer from 0 to 9,000,000,000,000)"),
        ({"seed": -1}, "invalid seed -1 (expected the seed, an integer from 0"),
        ({"seed": 9_000_000_000_001}, "(expected the seed, an integer from 0 to 9,000,000,000,000)"),
        ({"learning_rate": float("inf")}, "invalid learning_rate inf (expected the peak learning rate"),
        ({"epochs": 0}, "invalid epochs 0"),
        ({"epochs": 2.5}, "invalid epochs 2.5"),
        ({"learning_rate": -1.0}, "invalid learning_rate -1.0 (expected the peak learning rate of"),
        ({"variant": None}, "invalid variant None"),
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
    with pytest.raises(SegnbError, match="unknown parameter 'sede'"):
        RunParams.from_notebook({"In": cells, "seed": 1, "sede": 2})


def test_a_mended_typo_is_forgotten_when_cells_are_run_again():
    cells = ["", "# Parameters\nsede = 1", "check", "# Parameters\nseed = 1", "check"]
    assert RunParams.from_notebook({"In": cells, "sede": 1, "seed": 1}).seed == 1


@pytest.mark.parametrize(
    "bad", ['study = "latest  # a name', "sede = 1  # a seed", "sede = 1  # a\nseed = 2"]
)
def test_a_parameters_cell_that_was_replaced_does_not_count(bad):
    cells = ["", f"# Parameters\n{bad}", "# Parameters\nseed = 1  # a seed", "check"]
    assert RunParams.from_notebook({"In": cells, "sede": 1, "seed": 1}).seed == 1
    injected = [cells[0], cells[2], f"# Parameters\n{bad.split('  #')[0]}", "# Parameters\nseed = 1", "check"]
    assert RunParams.from_notebook({"In": injected, "sede": 1, "seed": 1}).seed == 1


def test_a_typo_in_a_parameters_cell_below_which_papermill_put_one_is_an_error():
    cells = ["", "# Parameters\nsede = 1  # a seed", "# Parameters\nseed = 2", "check"]
    with pytest.raises(SegnbError, match="unknown parameter 'sede'"):
        RunParams.from_notebook({"In": cells, "seed": 2, "sede": 1})


def test_report_parameters_accept_one_seed_as_papermill_guesses_it():
    assert ReportParams.check({"seeds": 0}).seeds == 0


@pytest.mark.parametrize(
    ("text", "seeds"), [("0", [0]), (2, [2]), ("3,1,1", [1, 3]), ("9000000000000", [LARGEST_SEED])]
)
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "0,-1", "0;1", "0,9000000000001", "9" * 20, "9" * 5000])
def test_bad_seeds(text):
    with pytest.raises(SegnbError, match="comma-separated integers from 0 to 9,000,000,000,000") as refused:
        parse_seeds(text)
    assert len(str(refused.value)) < 200
