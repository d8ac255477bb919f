"""Notebooks run by papermill in a project without runs: messages on parameters and missing runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT, execute, make_project

CHAPTERS = sorted(
    path.stem for path in (CHECKOUT / "notebooks").glob("*.ipynb") if "Chapter(" in path.read_text()
)


@pytest.fixture
def empty(tmp_path) -> Path:
    return make_project(tmp_path / "empty")


def papermill(project: Path, notebook: str, *arguments: str, cwd: Path | None = None):
    out = project / f"executed-{notebook}.ipynb"
    done = subprocess.run(
        [sys.executable, "-m", "papermill", str(CHECKOUT / "notebooks" / f"{notebook}.ipynb"), str(out)]
        + [*arguments, "--no-progress-bar"],
        cwd=cwd or project,
        env=os.environ | {"SEGNB_ROOT": str(project)},
        capture_output=True,
        text=True,
    )
    return done, out


@pytest.mark.parametrize("notebook", ["train", "dataset"])
def test_an_unknown_notebook_parameter_fails_and_lists_the_choices(empty, notebook):
    done, _ = papermill(empty, notebook, "-p", "sede", "1")
    assert done.returncode != 0
    assert "unknown parameter 'sede' (expected one of" in done.stderr


def test_an_unknown_variant_lists_the_choices(empty):
    done, _ = papermill(empty, "train", "-p", "preset", "smoke", "-p", "variant", "UNet")
    assert done.returncode != 0
    assert "UNet_NoSkip_256" in done.stderr


@pytest.mark.usefixtures("warm_kernels")
@pytest.mark.parametrize("notebook", [*CHAPTERS, "explore", "status"])
def test_without_any_run_a_notebook_says_what_to_do(empty, notebook):
    out = empty / "out.ipynb"
    done = execute(CHECKOUT / "notebooks" / f"{notebook}.ipynb", out, empty)
    output = done.stderr + (out.read_text() if out.exists() else "")
    assert "make report" in output
