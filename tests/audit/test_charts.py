"""The study's numbers that only its charts show."""

import numpy as np
import pytest

from segnb.audit.scores import learning_curves, published_scores, study_scores
from segnb.models.registry import VARIANTS, label


@pytest.mark.parametrize("family", ["fcn", "unet"])
def test_the_study_has_a_curve_of_each_network_that_it_trained(family):
    curves = learning_curves(family)
    ours = [v.label for v in VARIANTS.values() if v.family == family and not v.extension]
    assert list(curves) == ours
    for (history,) in curves.values():
        assert list(history.epoch) == list(range(1, len(history) + 1))
        inside = history.loc[history.val_miou.first_valid_index() : history.val_miou.last_valid_index()]
        assert inside.val_miou.notna().all()
        assert history[["train_miou", "val_miou"]].stack().dropna().between(0, 1).all()
        assert history.train_loss.iloc[0] > 2 * history.train_loss.dropna().iloc[-1] > 0


def test_curves_end_near_the_score_that_the_study_reports():
    reported = published_scores().as_published
    for (history,), name in zip(
        learning_curves("fcn").values(), (n for n in VARIANTS if "FCN" in n), strict=True
    ):
        assert history.val_miou.iloc[-1] == pytest.approx(reported[name], abs=0.005)  # test and validation


def test_scores_that_the_study_did_not_publish_are_missing():
    study = study_scores()
    assert list(study.index) == [label(name) for name in VARIANTS]
    additional = [v.label for v in VARIANTS.values() if v.extension]
    assert study.loc[additional].isna().all(axis=None)
    assert study.drop(additional)[["miou", "as_published"]].notna().all(axis=None)
    assert list(study.loss.dropna().index) == [
        v.label for v in VARIANTS.values() if v.family == "unet" and not v.extension
    ]
    assert study.loss["U-Net, no skips"] > 10 * study.loss["U-Net"]
    assert np.isfinite(study.miou["U-Net"])
