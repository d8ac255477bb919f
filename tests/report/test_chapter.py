"""A chapter's reference studies."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from segnb.claims import saved
from segnb.report.chapter import Chapter
from segnb.storage.files import write_json
from tests.claims.examples import claim, verdicts


@pytest.mark.parametrize("seeds, expected", [(3, ["other"]), (1, ["mine", "other"])])
def test_a_study_is_its_own_reference_only_with_one_seed(seeds, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("SEGNB_ROOT", str(tmp_path))
    (tmp_path / "notebooks").mkdir()
    for name in ("mine", "other"):
        write_json(tmp_path / "results" / f"{name}.json", saved.as_dict(verdicts(study=name)))
    chapter = Chapter.__new__(Chapter)
    chapter.study = SimpleNamespace(name="mine")
    chapter.verdicts = verdicts(replace(claim("U1"), seeds=seeds))
    assert sorted(study.study for study in chapter.saved) == expected
