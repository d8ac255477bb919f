"""Fixtures shared by all tests: a project folder of their own, and a tiny data set."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does, before NumPy comes

import numpy as np
import pytest
import torch
from PIL import Image

from segnb.storage.project import share_code

pytest.register_assert_rewrite("tests.models.base")  # so that the shared tester's failures show values

CHECKOUT = Path(__file__).parents[1]

REPORT = "tests/notebooks/test_report.py"  # shares `reported` with the tests in tests/browser

# A network of each kind that a step, a chapter or a claim treats in its own way: trunks that share frozen
# features and one that learns, a U-Net with skips and without, residual blocks, a gate, and a gate a class.
REPORTED = (
    "FCN32s_vgg16_freeze",
    "FCN8s_vgg16_freeze",
    "FCN8s_vgg16_finetune",
    "UNet_Standard_256",
    "UNet_NoSkip_256",
    "ResidualUNet_256",
    "AttentionResidualUNet_256",
    "ClassAttentionResidualUNet_256",
)

os.environ["SEGNB_OFFLINE"] = "1"  # nothing is fetched
# Tests stop processes by Ctrl-C, which what a script starts in the background ignores, children included.
signal.signal(signal.SIGINT, signal.default_int_handler)
# One thread, as in a run: on a busy machine two are many times slower, and bits depend on the number.
torch.set_num_threads(1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Of the processes of `make test`, one gets all tests of a file, and one all that use `reported`.

    The groups that xdist has for this (`--dist loadgroup`) do nothing under pytest 9.2, whose ids they cannot
    write to.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFixture(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "the report" if file.startswith("tests/browser/") or file == REPORT else file

    return ByFixture(config, log)


def make_project(folder: Path) -> Path:
    """A project folder that shares this checkout's code and has runs, cache and report of its own."""
    folder.mkdir(exist_ok=True)
    share_code(CHECKOUT, folder)
    return folder


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """An empty project folder that segnb takes for the checkout."""
    folder = make_project(tmp_path / "project")
    monkeypatch.setenv("SEGNB_ROOT", str(folder))
    return folder


def segnb(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    """The command line, at work in a project folder."""
    return subprocess.run(
        [sys.executable, "-m", "segnb.cli", *arguments],
        cwd=project,
        env=os.environ | {"SEGNB_ROOT": str(project)},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def warm_kernels():
    """Notebooks of a module's tests (`execute`) start from one process that has loaded what they need."""
    from segnb.cli import report
    from segnb.runtime import warm

    with warm.started(report.LOADED + report.modules()):
        yield


def execute(notebook: Path, out: Path, project: Path) -> subprocess.CompletedProcess:
    """Run a notebook with its own parameters, as a step of a report does."""
    return subprocess.run(
        [sys.executable, "-m", "segnb.runtime.processes", str(os.getpid()), "segnb.cli", "run"]
        + [str(notebook), str(out), "-y", "{}"],
        env=os.environ | {"SEGNB_ROOT": str(project)},
        capture_output=True,
        text=True,
    )


def make_reported(folder: Path) -> Path:
    """A project folder in which `make report` has been run on preset smoke for `REPORTED`.

    Beside it `report` is a copy of what came out, for who comes after a test that made it anew.
    """
    done = segnb(
        make_project(folder), "report", "--preset", "smoke", "--jobs", "2", "--variants", ",".join(REPORTED)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "stdout").write_text(done.stdout)
    shutil.copytree(folder / "report", folder.parent / "report")
    return folder


@pytest.fixture(scope="session")
def reported(tmp_path_factory) -> Path:
    """The one project folder with a whole report in it, which takes minutes to make: see `make_reported`."""
    return make_reported(tmp_path_factory.mktemp("engine") / "project")


@pytest.fixture(scope="module")
def few_draws():
    """Claims weighed with fewer draws of the bootstrap than a report takes."""
    from segnb.stats import bootstrap

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "DRAWS", 200)
        bootstrap.image_weights.cache_clear()
        yield
        bootstrap.image_weights.cache_clear()


def make_dataset(folder: Path, train: int = 10, test: int = 3, size: int = 48) -> Path:
    """A folder in the study's layout: stripes of three classes, coloured by class, with noise."""
    draw = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        for kind in ("images", "labels"):
            (folder / split / kind).mkdir(parents=True)
        for index in range(count):
            labels = np.full((size, size), 7, np.uint8)
            labels[: draw.integers(10, 30)] = 0
            labels[:, : draw.integers(5, 20)] = 9
            images = labels[..., None] * np.array([20, 10, 25], np.uint8) + draw.integers(
                0, 9, (size, size, 3)
            )
            Image.fromarray(images.astype(np.uint8)).save(folder / split / "images" / f"{index:04d}.png")
            Image.fromarray(labels).save(folder / split / "labels" / f"{index:04d}.png")
    return folder


@pytest.fixture
def dataset(tmp_path) -> Path:
    return make_dataset(tmp_path / "dataset_048")
