"""A study of untrained networks for the explorer, and the explorer's parts."""

import pytest

from segnb.evaluation import evaluate
from segnb.explorer import Explorer, board
from segnb.explorer.album import Album
from segnb.explorer.inside import Inside
from segnb.explorer.networks import Networks
from tests.conftest import make_project
from tests.synthetic_study import add_networks, make_study

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
        yield add_networks(made, WIDTH)


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
    return Explorer(study.name)


@pytest.fixture
def networks(state):
    return Networks(state)


@pytest.fixture
def inside(state):
    return Inside(state)


def titles(shown: board.Board) -> list[str]:
    return [panel["title"] for panel in shown.panels]
