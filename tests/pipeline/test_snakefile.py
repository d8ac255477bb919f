"""What a change of the code asks Snakemake for: a dry run in a finished study, after a file was touched."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from segnb.report import CHAPTERS
from segnb.study.study import Study
from tests.conftest import CHECKOUT
from tests.synthetic_study import make_study

VARIANTS = ["FCN8s_vgg16_freeze", "UNet_Standard_256"]
BEGIN = 1_600_000_000  # when the code was written, in seconds


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A project with code of its own and a finished study, each step of it later than the one before."""
    project = tmp_path_factory.mktemp("snakefile")
    for name in ("segnb", "notebooks", "profiles"):
        shutil.copytree(CHECKOUT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "Snakefile", project)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGNB_ROOT", str(project))
        study = make_study(project, 1, variants=VARIANTS, images=2)
        for path in project.rglob("*"):
            os.utime(path, (BEGIN, BEGIN))
        runs = [study.run(variant, 0) for variant in VARIANTS]
        made = [study.path / f"{kind}-{size}.json" for kind in ("data", "scenes") for size in study.sizes()]
        made += [run.path / "train.ipynb" for run in runs]
        made += [path for run in runs for path in run.path.glob("*.npz")]
        made += [study.cost_path, study.claims_path]
        made += [study.path / "chapters" / f"{name}.ipynb" for name in CHAPTERS]
        for age, path in enumerate([*made, project / "report" / "index.html"], 1):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            os.utime(path, (BEGIN + age,) * 2)
    return project


def asked_for(project: Path, touched: str, seeds: str = "0") -> set[str]:
    """Return the rules whose jobs a report needs after that file of the code was touched."""
    path = project / "segnb" / touched
    assert path.exists()
    (study,) = (project / "runs").iterdir()
    config = [f"study={study.name}", f"variants={','.join(VARIANTS)}", f"seeds={seeds}"]
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", "--profile", "profiles/local"]
    env = os.environ | {"SEGNB_ROOT": str(project), "PYTHONPATH": str(CHECKOUT)}
    path.touch()
    done = subprocess.run(
        [*command, "--config", *config], cwd=project, env=env, capture_output=True, text=True
    )
    os.utime(path, (BEGIN, BEGIN))
    assert done.returncode == 0, done.stdout + done.stderr
    return set(re.findall(r"^(\w+) +\d+$", done.stdout, re.M)) - {"total"}


@pytest.mark.parametrize(
    ("touched", "rules"),
    [
        ("training/loop.py", set()),  # the digest in a study's name covers it: no study is trained again
        ("metrics/confusion.py", {"measure", "claims", "chapter", "report"}),
        ("models/registry.py", {"chapter", "report"}),
    ],
)
def test_a_change_asks_for_what_it_makes_and_all_that_follows(finished, touched, rules):
    assert asked_for(finished, touched) == rules


def test_evaluation_asks_for_its_test_scenes_and_training_does_not(finished):
    (study,) = map(Study, (finished / "runs").iterdir())
    marks = [study.path / f"scenes-{size}.json" for size in study.sizes()]
    ages = [mark.stat().st_mtime for mark in marks]
    for mark in marks:
        mark.unlink()
    assert asked_for(finished, "metrics/confusion.py") == {"scenes", "measure", "claims", "chapter", "report"}
    for mark, age in zip(marks, ages, strict=True):
        mark.touch()
        os.utime(mark, (age, age))


def test_what_diverged_is_not_tried_again_and_nothing_waits_for_it(finished):
    (study,) = map(Study, (finished / "runs").iterdir())
    for variant in VARIANTS:
        study.run(variant, 1).diverge(1, "the training diverged in epoch 1")
    assert asked_for(finished, "training/loop.py", seeds="0,1") == set()
