"""A study with one untrained U-Net, and a photograph."""

import numpy as np
import pytest
from PIL import Image

from segnb.evaluation import evaluate
from segnb.prediction import Network, load
from tests.conftest import make_project
from tests.synthetic_study import add_networks, make_study

SIZE = 64  # of the network's input


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Return a run of the only study of a project folder."""
    folder = make_project(tmp_path_factory.mktemp("used") / "project")
    study = make_study(folder, seeds=1, variants=["UNet_Standard_256"], images=2)
    return add_networks(study, width=4).run("UNet_Standard_256", 0)


@pytest.fixture
def run(trained, monkeypatch):
    monkeypatch.setenv("SEGNB_ROOT", str(trained.study.path.parents[1]))
    monkeypatch.setattr(evaluate, "usable_cores", lambda: 1)  # as in all tests, which share a process
    return trained


@pytest.fixture
def network(run) -> Network:
    return load(run.path)


def photograph(width: int, height: int) -> Image.Image:
    """Return an image with large and small forms."""
    coarse = np.random.default_rng(1).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
