"""Fixtures shared by all tests: a separate project folder, and a tiny data set."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported, as in the command line
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # tests compare bits, which differ on a GPU

import numpy as np
import pytest
import torch
from PIL import Image

from segnb.storage import share_code

pytest.register_assert_rewrite("tests.models.base")  # so that failures of the shared tester show values

CHECKOUT = Path(__file__).parents[1]

REPORT = "tests/notebooks/test_report.py"  # shares `reported` with the tests in tests/browser

# Frozen FCNs, which share features, and U-Nets: with and without skips, with residual blocks, with a gate,
# and with a gate per class. They are more than the explorer shows at first. Unit tests train, evaluate and
# draw fine-tuned FCNs, which take longest.
REPORTED = (
    "FCN32s_vgg16_freeze",
    "FCN8s_vgg16_freeze",
    "UNet_Standard_256",
    "UNet_NoSkip_256",
    "ResidualUNet_256",
    "AttentionResidualUNet_256",
    "ClassAttentionResidualUNet_256",
)

os.environ["SEGNB_OFFLINE"] = "1"  # nothing is fetched
# Tests stop processes by Ctrl-C, which processes that a script starts in the background ignore, with their
# children.
signal.signal(signal.SIGINT, signal.default_int_handler)
# One thread, as in a run. On a busy machine two threads are many times slower, and the last bits depend on
# the number.
torch.set_num_threads(1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Give all tests of a file to one process of `make test`, and all tests that use `reported` to one.

    The groups of xdist (`--dist loadgroup`) have no effect under pytest 9.2, because they cannot change its
    ids.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFixture(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "the report" if file.startswith("tests/browser/") or file == REPORT else file

    return ByFixture(config, log)


def make_project(folder: Path) -> Path:
    """Make a project folder with this checkout's code and its own runs, cache and report."""
    folder.mkdir(exist_ok=True)
    share_code(CHECKOUT, folder)
    return folder


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """An empty project folder, which segnb uses in place of the checkout."""
    folder = make_project(tmp_path / "project")
    monkeypatch.setenv("SEGNB_ROOT", str(folder))
    return folder


def segnb(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run the command line in a project folder."""
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
    """Make a project folder with the report of `make report` for `REPORTED`, on preset smoke.

    The folder `report` next to it is a copy of the report, for tests that run after one that made it again.
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
    """The only project folder with a complete report, which takes minutes; see `make_reported`."""
    return make_reported(tmp_path_factory.mktemp("engine") / "project")


def narrow_backbone(patch: pytest.MonkeyPatch) -> None:
    """Give VGG16 a sixteenth of its channels: a network is built in milliseconds instead of a second."""
    from torchvision.models import vgg

    from segnb.models import fcn
    from segnb.training import feature_cache

    patch.setitem(vgg.cfgs, "D", [c if c == "M" else c // 16 for c in vgg.cfgs["D"]])
    for module in (fcn, feature_cache):
        patch.setattr(module, "CHANNELS", tuple(c // 16 for c in module.CHANNELS))


@pytest.fixture
def narrow(monkeypatch) -> None:
    narrow_backbone(monkeypatch)


@pytest.fixture(scope="module")
def few_draws():
    """Decide claims with fewer bootstrap draws than a report."""
    from segnb.stats import bootstrap

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "DRAWS", 200)
        bootstrap.image_weights.cache_clear()
        yield
        bootstrap.image_weights.cache_clear()


def make_dataset(folder: Path, train: int = 10, test: int = 3, size: int = 48) -> Path:
    """Make a folder in the study's layout: stripes of three classes, coloured by class, with noise."""
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
