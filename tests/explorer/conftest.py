"""A study of untrained networks for the explorer, and the explorer's parts."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from segnb.evaluation import evaluate
from segnb.explorer import board, widget
from segnb.explorer.album import Album
from segnb.explorer.inside import Inside
from segnb.labels import STREET
from segnb.models.build import build
from segnb.storage.checksums import sha256
from segnb.storage.files import read_json, write_json
from segnb.study.study import Study
from segnb.training import checkpoint
from tests.conftest import make_project
from tests.synthetic_study import make_study

PLAIN, GATED, CLASSY = "UNet_Standard_256", "AttentionUNet_256", "ClassAttentionResidualUNet_256"
SIZE, WIDTH = 64, 4


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return a study of three untrained U-Nets with 30 test images; one network has two seeds."""
    with pytest.MonkeyPatch.context() as patch:
        folder = make_project(tmp_path_factory.mktemp("explored") / "project")
        patch.setenv("SEGNB_ROOT", str(folder))
        made = make_study(folder, seeds=1, variants=[PLAIN, GATED, CLASSY], images=30)
        make_study(folder, seeds=2, variants=[PLAIN], images=30)
        settled = read_json(made.path / "study.json")
        settled["preset"]["unet"]["width"] = WIDTH
        write_json(made.path / "study.json", settled)
        for run in made.finished():
            torch.manual_seed(len(run.variant) + run.seed)
            model = build(run.variant, len(STREET), WIDTH)
            torch.nn.init.normal_(model.score.weight, std=30)  # so that probabilities differ between classes
            checkpoint.save_model(run.model_path, model)
            done = read_json(run.path / "done.json")
            write_json(run.path / "done.json", done | {"model_sha256": sha256(run.model_path)})
        yield Study(made.path)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Use one thread, as in all tests, which share a process."""
    monkeypatch.setattr(evaluate, "usable_cores", lambda: 1)


@pytest.fixture
def runs(study):
    return study.finished()


@pytest.fixture
def album(runs):
    return Album(runs)


@pytest.fixture
def state(study, album):
    return widget.Explorer(study.name)


@pytest.fixture
def networks(state):
    return widget.Networks(state)


@pytest.fixture
def inside(state):
    return Inside(state)


def png(picture: Image.Image, **how) -> bytes:
    file = io.BytesIO()
    picture.save(file, **({"format": "PNG"} | how))
    return file.getvalue()


def photograph(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def titles(shown: board.Board) -> list[str]:
    return [panel["title"] for panel in shown.panels]
