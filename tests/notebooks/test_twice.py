"""Every cell of a notebook can be run twice in one kernel, as by a reader who runs all cells again.

The notebooks show a synthetic study; the explorer needs real networks (tests/notebooks/test_report.py).
"""

import json
import subprocess
from pathlib import Path

import nbformat
import pytest

from segnb.study.study import Study
from tests.conftest import CHECKOUT, execute, make_project
from tests.notebooks.test_parameters import CHAPTERS
from tests.synthetic_study import make_study

pytestmark = pytest.mark.usefixtures("warm_kernels")
VARIANTS = ["FCN32s_vgg16_freeze", "FCN8s_vgg16_finetune", "UNet_Standard_256", "AttentionUNet_256"]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    folder = make_project(tmp_path_factory.mktemp("twice") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGNB_ROOT", str(folder))
        return make_study(folder, 1, variants=VARIANTS, images=6, preset="smoke", epochs=2)


def run_twice(name: str, project: Path, folder: Path) -> subprocess.CompletedProcess:
    """Run a notebook with all cells twice; a training is a smoke run with another seed."""
    notebook = nbformat.read(CHECKOUT / "notebooks" / f"{name}.ipynb", 4)
    once = "\n".join(cell.source for cell in notebook.cells)
    assert name != "train" or ('preset = "quick"' in once and "seed = 0" in once)
    again = json.loads(json.dumps(notebook.cells))
    for number, cell in enumerate(again):
        cell["id"] = f"again-{number}"
    notebook.cells += [nbformat.from_dict(cell) for cell in again]
    for cell in notebook.cells:
        cell.source = cell.source.replace('preset = "quick"', 'preset = "smoke"')
        cell.source = cell.source.replace("seed = 0", "seed = 7")
        cell.metadata.pop("tags", None)
    twice = folder / f"{name}.ipynb"
    nbformat.write(notebook, twice)
    return execute(twice, folder / "out.ipynb", project)


@pytest.mark.parametrize("name", [*CHAPTERS, "status"])
def test_every_cell_can_be_run_twice(study, tmp_path, name):
    done = run_twice(name, study.path.parents[1], tmp_path)
    assert done.returncode == 0, done.stderr


def test_every_cell_of_a_training_can_be_run_twice(tmp_path):
    project = make_project(tmp_path / "project")
    done = run_twice("train", project, tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(project.glob("runs/smoke-streets-*/UNet_Standard_256/seed7/done.json"))
