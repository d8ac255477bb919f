"""The files that name versions agree with each other, and the tree is fit to be published."""

import re
import subprocess
import tomllib

import nbformat
import pytest

import segnb
from segnb.params import StudyParams
from tests.conftest import CHECKOUT

NOTEBOOKS = sorted((CHECKOUT / "notebooks").glob("*.ipynb"))


def test_environment_yml_has_the_versions_of_pyproject():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    wanted = set(project["dependencies"]).union(*project["optional-dependencies"].values())
    found = set(re.findall(r"- ([\w-]+==\S+)", (CHECKOUT / "environment.yml").read_text()))
    assert found == wanted


def test_every_dependency_is_pinned_exactly():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    every = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    loose = [pin for pin in every if not re.fullmatch(r"[\w-]+==[\w.]+", pin)]
    assert not loose


def test_every_file_of_the_package_that_is_no_module_is_installed():
    tools = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]
    package = CHECKOUT / "segnb"
    patterns = tools["setuptools"]["package-data"]["segnb"]
    installed = {path for pattern in patterns for path in package.glob(pattern)}
    files = {path for path in package.rglob("*.*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert files <= installed and all(list(package.glob(pattern)) for pattern in patterns)


def test_version_is_the_same_everywhere():
    assert f"## {segnb.__version__}" in (CHECKOUT / "CHANGELOG.md").read_text()
    assert f"version: {segnb.__version__}" in (CHECKOUT / "CITATION.cff").read_text()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_sources_carry_no_outputs_and_define_nothing(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
            assert not re.search(r"^\s*(class|def) ", cell.source, re.M), cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_begin_with_a_title_and_say_what_their_sections_are(path):
    cells = nbformat.read(path, as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "markdown"]
    assert sources[0].startswith("# ")
    sections = re.findall(r"^## (.+)$", "\n".join(sources), re.M)
    links = re.findall(r"\[(.+?)\]\(#(.+?)\)", sources[1]) if len(sections) > 2 else []
    assert links == [(name, name.replace(" ", "-")) for name in sections] or len(sections) <= 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_is_explained_where_it_is_set(path):
    (cell,) = (
        c for c in nbformat.read(path, as_version=4).cells if "parameters" in c.metadata.get("tags", [])
    )
    lines = [line for line in cell.source.splitlines() if " = " in line]
    assert lines and cell.source.startswith("# Parameters")
    for line in lines:
        assert re.fullmatch(r"\w+ = .+?  # \S.{8,}", line), line


def test_every_setting_of_a_study_can_be_given_to_make():
    given = {name: f"some-{name}" for name in StudyParams.model_fields}
    command = ["make", "-n", "report", *(f"{name.upper()}={value}" for name, value in given.items())]
    planned = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    for name, value in given.items():
        assert f'--{name.replace("_", "-")} "{value}"' in planned


def test_make_help_prints_every_target_that_has_a_sentence():
    makefile = (CHECKOUT / "Makefile").read_text()
    printed = subprocess.run(
        ["make", "help"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout
    for target in re.findall(r"^([a-z-]+):.*## ", makefile, re.M):
        assert f"make {target} " in printed


def test_make_clean_leaves_no_mark_of_data_that_it_removes(tmp_path):
    study = tmp_path / "runs" / "study"
    study.mkdir(parents=True)
    for name in ("study.json", "cost.json", "data-64.json", "scenes-64.json"):
        (study / name).touch()
    subprocess.run(
        ["make", "-f", CHECKOUT / "Makefile", "clean"], cwd=tmp_path, capture_output=True, check=True
    )
    assert sorted(path.name for path in study.iterdir()) == ["cost.json", "study.json"]
