"""Each notebook by itself: run twice in one kernel, with bad parameters, and in a project without runs.

The chapters show a synthetic study; the explorer needs real networks (tests/notebooks/test_report.py).
"""

import ast
import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import nbformat
import pytest

from segnb.errors import SegnbError
from segnb.params import assigned
from segnb.study.study import Study
from tests.conftest import CHECKOUT, execute, make_dataset, make_project
from tests.synthetic_study import make_study

CHAPTERS = sorted(
    path.stem for path in (CHECKOUT / "notebooks").glob("*.ipynb") if "Chapter(" in path.read_text()
)
VARIANTS = ["FCN32s_vgg16_freeze", "FCN8s_vgg16_finetune", "UNet_Standard_256", "AttentionUNet_256"]
# Figures are made but not printed, which takes long. The chapters of `reported` print theirs.
BLANK = """
from segnb.report.figures.style import Picture
Picture.png, Picture.svg = (lambda self: b""), (lambda self: "")
"""


@pytest.fixture
def empty(tmp_path) -> Path:
    return make_project(tmp_path / "empty")


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    folder = make_project(tmp_path_factory.mktemp("twice") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGNB_ROOT", str(folder))
        return make_study(folder, 1, variants=VARIANTS, images=6, preset="smoke", epochs=2)


def twice(name: str, folder: Path, **changes: str) -> Path:
    """Write a notebook that runs all cells twice.

    Args:
        changes: `name="value"` for assignments in the source that get another value
    """
    notebook = nbformat.read(CHECKOUT / "notebooks" / f"{name}.ipynb", 4)
    for before, after in changes.items():
        (cell,) = (cell for cell in notebook.cells if f"\n{before} = " in cell.source)
        lines = cell.source.splitlines()
        cell.source = "\n".join(
            f"{before} = {after}" if line.startswith(f"{before} = ") else line for line in lines
        )
    again = json.loads(json.dumps(notebook.cells))
    for number, cell in enumerate(again):
        cell["id"] = f"again-{number}"
    notebook.cells += [nbformat.from_dict(cell) for cell in again]
    for cell in notebook.cells:
        cell.metadata.pop("tags", None)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(BLANK))
    nbformat.write(notebook, path := folder / f"{name}.ipynb")
    return path


@pytest.mark.usefixtures("warm_kernels")
@pytest.mark.parametrize("name", [*CHAPTERS, "status"])
def test_every_cell_can_be_run_twice(study, tmp_path, name):
    done = execute(twice(name, tmp_path), tmp_path / "out.ipynb", study.path.parents[1])
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("warm_kernels")
def test_every_cell_of_a_training_can_be_run_twice(empty, tmp_path):
    data = repr(str(make_dataset(tmp_path / "dataset_048")))
    notebook = twice("train", tmp_path, preset='"smoke"', seed="7", data=data)
    done = execute(notebook, tmp_path / "out.ipynb", empty)
    assert done.returncode == 0, done.stderr
    assert list(empty.glob("runs/smoke-*/UNet_Standard_256/seed7/done.json"))


@pytest.mark.parametrize("path", sorted((CHECKOUT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_no_cell_overwrites_an_import_which_an_earlier_cell_needs_again(path):
    code = "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")
    imports = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not {alias.asname or alias.name for node in imports for alias in node.names} & set(assigned(code))


def first_cells(name: str, injected: str = "") -> None:
    """Run the parameters of a notebook, those that papermill would inject, and the cell after them."""
    cells = nbformat.read(CHECKOUT / "notebooks" / f"{name}.ipynb", 4).cells
    parameters, first = [cell.source for cell in cells if cell.cell_type == "code"][:2]
    sources = [parameters, f"# Parameters\n{injected}"]
    namespace = {"In": sources}
    for source in (*sources, first):
        exec(source, namespace)  # noqa: S102  (a notebook of this checkout)


def test_papermill_fails_at_a_bad_parameter_and_prints_the_choices(empty):
    notebook = CHECKOUT / "notebooks" / "train.ipynb"
    done = subprocess.run(
        [sys.executable, "-m", "papermill", notebook, empty / "out.ipynb", "-p", "sede", "1"],
        cwd=empty,
        env=os.environ | {"SEGNB_ROOT": str(empty)},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "unknown parameter 'sede' (expected one of" in done.stderr


@pytest.mark.parametrize(
    ("notebook", "injected", "told"),
    [
        (name, "sede = 1", "unknown parameter 'sede' .expected one of")
        for name in [*CHAPTERS, "train", "explore"]
    ]
    + [("train", 'preset = "smoke"\nvariant = "UNet"', "UNet_NoSkip_256")],
)
def test_a_bad_parameter_is_refused_with_the_choices(empty, monkeypatch, notebook, injected, told):
    monkeypatch.setenv("SEGNB_ROOT", str(empty))
    with pytest.raises(SegnbError, match=told):
        first_cells(notebook, injected)


@pytest.mark.usefixtures("warm_kernels")
@pytest.mark.parametrize("notebook", ["claims", "status"])
def test_without_any_run_a_notebook_says_what_to_do(empty, notebook):
    out = empty / "out.ipynb"
    done = execute(CHECKOUT / "notebooks" / f"{notebook}.ipynb", out, empty)
    cells = nbformat.read(out, 4).cells if out.exists() else []
    outputs = [output for cell in cells for output in cell.get("outputs", [])]  # the source says it too
    assert "make report" in done.stderr + json.dumps(outputs)


@pytest.mark.parametrize("notebook", [*CHAPTERS, "explore"])
def test_without_any_run_the_first_cells_of_a_notebook_say_what_to_do(empty, monkeypatch, capsys, notebook):
    monkeypatch.setenv("SEGNB_ROOT", str(empty))
    with pytest.raises(SegnbError) if notebook in CHAPTERS else nullcontext() as raised:
        first_cells(notebook)
    assert "make report" in (str(raised.value) if raised else capsys.readouterr().out)
