"""A chapter's seeds and reference studies."""

from dataclasses import replace

import pytest

from segnb.claims import saved
from segnb.errors import SegnbError
from segnb.params import ReportParams
from segnb.report.chapter import Chapter
from segnb.storage.files import write_json
from tests.claims.examples import claim, verdicts
from tests.synthetic_study import make_study


@pytest.mark.parametrize("seeds, expected", [(3, ["other"]), (1, ["mine", "other"])])
def test_a_study_is_its_own_reference_only_with_one_seed(seeds, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("SEGNB_ROOT", str(tmp_path))
    (tmp_path / "notebooks").mkdir()
    for name in ("mine", "other"):
        write_json(tmp_path / "results" / f"{name}.json", saved.as_dict(verdicts(study=name)))
    chapter = Chapter.__new__(Chapter)
    chapter.verdicts = verdicts(replace(claim("U1"), seeds=seeds), study="mine")
    assert sorted(study.study for study in chapter.saved) == expected


def test_seeds_without_a_run_are_named_with_those_that_have_one(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGNB_ROOT", str(tmp_path))
    (tmp_path / "notebooks").mkdir()
    study = make_study(tmp_path, 2, variants=["UNet_Standard_256"], images=2, preset="smoke", epochs=1)
    with pytest.raises(SegnbError, match=r"^seeds 5: no evaluated run \(this study has seeds 0, 1\). Choose"):
        Chapter(ReportParams(seeds=5), "unet")
    assert Chapter(ReportParams(seeds=5), "fcn").runs == []  # says that no FCN is trained
    assert [run.seed for run in Chapter(ReportParams(seeds="1,5")).runs] == [1]
    write_json(study.run("UNet_Standard_256", 5).path / "diverged.json", {"error": "loss is NaN"})
    assert Chapter(ReportParams(seeds="5")).runs == []  # says why, as a warning
