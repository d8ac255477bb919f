"""Claims that compare with a study of other data."""

import os
import shutil

import numpy as np
import pytest

from segnb.claims.claim import Contrast
from segnb.claims.decide import decide
from segnb.claims.effects import Effects
from segnb.claims.related_studies import COMPANIONS
from segnb.errors import SegnbError
from segnb.metrics.confusion import mean_iou
from segnb.stats.bootstrap import weights_of
from segnb.storage.files import read_json, write_json
from tests.claims.examples import total
from tests.conftest import make_project
from tests.synthetic_study import make_study

UNET = "UNet_Standard_256"
pytestmark = pytest.mark.usefixtures("few_draws")


FOCUS = Contrast(
    "",
    "miou",
    ("streets-car:AttentionUNet_256", UNET),
    ("streets-car:UNet_Standard_256", "AttentionUNet_256"),
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A study, and a related study with cars and the rest, in which gates add ten points of skill."""
    folder = make_project(tmp_path_factory.mktemp("companions") / "project")
    few = {"seeds": 2, "images": 8, "variants": [UNET, "AttentionUNet_256"]}
    study = make_study(folder, **few)
    effects = {"AttentionUNet_256": 0.8}
    cars = make_study(folder, effects=effects, data="streets-car", label_set="car", **few)
    return study, cars


def test_a_companion_is_a_study_of_other_data(pair):
    study, cars = pair
    measured = Effects(study).measure(FOCUS)
    gains = [
        np.mean([mean_iou(total(one.run("AttentionUNet_256", s))) for s in (0, 1)])
        - np.mean([mean_iou(total(one.run(UNET, s))) for s in (0, 1)])
        for one in (cars, study)
    ]
    assert measured.estimate == pytest.approx(gains[0] - gains[1]) and measured.estimate > 0.05
    assert measured.effect.pooled_dof == 3  # of the four networks


def test_the_same_images_weigh_the_same_in_both(pair):
    study, cars = pair
    effects = Effects(study)
    here, there = (weights_of(effects._names(side, 0)) for side in (UNET, f"streets-car:{UNET}"))
    assert here is there
    alone = weights_of(Effects(make_other_names(cars))._names(UNET, 0))
    assert not np.array_equal(alone, here)


def make_other_names(study):
    run = study.run(UNET, 0)
    arrays = run.test()
    copy = type(study)(study.path.with_name("other"))
    shutil.copytree(study.path, copy.path)
    arrays["names"] = np.array([f"photograph {i}" for i in range(len(arrays["names"]))])
    copy.run(UNET, 0).write_arrays(copy.run(UNET, 0).confusion_path, **arrays)
    return copy


def evaluate_by(run, code: str) -> None:
    run.write_arrays(run.confusion_path, **run.test() | {"code": np.array(code)})


def test_runs_that_different_versions_evaluated_are_not_compared(tmp_path):
    folder = make_project(tmp_path / "project")
    few = {"seeds": 2, "images": 8, "variants": [UNET, "AttentionUNet_256"]}
    study, cars = make_study(folder, **few), make_study(folder, data="streets-car", label_set="car", **few)
    for run in cars.measured():
        evaluate_by(run, "0123456789abcdef")
    reason = Effects(study).measure(FOCUS).missing
    assert reason == f"another version of segnb evaluated the study of {COMPANIONS['streets-car']}"
    for run in study.measured()[1:]:
        evaluate_by(run, "0123456789abcdef")
    odd = study.measured()[0]
    with pytest.raises(SegnbError, match=f"{odd.path}: must not be compared .* another version of segnb"):
        decide(study)
    evaluate_by(odd, "0123456789abcdef")
    assert not Effects(study).measure(FOCUS).missing and decide(study).claims
    gated = cars.run("AttentionUNet_256", 0)
    shutil.rmtree(cars.run("AttentionUNet_256", 1).path)
    shutil.rmtree(gated.path)
    gated.diverge(3, "the training diverged in epoch 3 of 10")
    where = COMPANIONS["streets-car"]
    assert Effects(study).measure(FOCUS).missing == f"Attention U-Net diverged in training on {where}"


def test_a_companion_of_another_preset_or_size_is_none(pair, tmp_path):
    study, cars = pair
    settled = read_json(cars.path / "study.json")
    fewer = settled | {"data": settled["data"] | {"counts": settled["data"]["counts"] | {"train": 8}}}
    shutil.rmtree(cars.path.with_name("other"), ignore_errors=True)
    try:
        write_json(cars.path / "study.json", fewer)
        reason = Effects(study).measure(FOCUS).missing
        assert "has 8 training images and this study has 240" in reason
        whole = cars.path.with_name("whole")  # an older study that fits
        shutil.copytree(cars.path, whole)
        write_json(whole / "study.json", settled)
        os.utime(whole / "study.json", (0, 0))
        assert not Effects(study).measure(FOCUS).missing
        shutil.rmtree(whole)
        changes = {"preset": {}}, {"code": "other"}, {"versions": {}}, {"weights": {"source": "random"}}
        for change in changes:
            write_json(cars.path / "study.json", settled | change)
            assert (
                "there is no study of the scenes with two classes, cars and the rest with the same preset"
                in Effects(study).measure(FOCUS).missing
            )
    finally:
        write_json(cars.path / "study.json", settled)
    assert "only studies of the rendered streets" in Effects(cars).measure(FOCUS).missing
