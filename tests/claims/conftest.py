"""A study of three seeds and its verdicts, shared by the tests of claims."""

import pytest

from segnb.claims.decide import decide
from segnb.claims.verdicts import StudyVerdicts
from segnb.stats import bootstrap
from segnb.stats.decisions import Outlook
from segnb.study.study import Study
from tests.claims.examples import by_id
from tests.conftest import make_project
from tests.synthetic_study import make_study


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Study:
    """Three seeds of every network, with the effects of `synthetic_study.SKILL`."""
    return make_study(make_project(tmp_path_factory.mktemp("claims") / "project"), images=16)


def quickly_decided(study: Study, **asked) -> StudyVerdicts:
    """Decide with fewer draws and simulated studies than in a report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "DRAWS", 200)
        patch.setattr("segnb.stats.decisions.STUDIES", 200)
        bootstrap.image_weights.cache_clear()
        decided = decide(study, **asked)
        bootstrap.image_weights.cache_clear()
    return decided


@pytest.fixture(scope="session")
def verdicts(study) -> StudyVerdicts:
    """The verdicts of this study."""
    return quickly_decided(study)


@pytest.fixture(scope="session")
def one_seed(study) -> StudyVerdicts:
    """The verdicts of the study's first seed."""
    return quickly_decided(study, seeds="0")


@pytest.fixture(scope="session")
def claims(verdicts) -> dict[str, dict]:
    """The same by id, as in claims.json."""
    return by_id(verdicts)


@pytest.fixture
def without_outlook(monkeypatch, verdicts):
    """Decide without computing the seeds needed, which takes half of the time."""
    monkeypatch.setattr("segnb.claims.decide.outlook", lambda *question, level: Outlook())
