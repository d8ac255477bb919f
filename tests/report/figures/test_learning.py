"""Learning curves of finished runs and of a run in training."""

import numpy as np
import pytest

from segnb.audit import scores
from segnb.report.figures import learning
from segnb.report.figures.learning import LiveCurves, _mean_over_seeds, learning_curves, study_curves
from tests.report.figures.made_up import MANY, UNET, history, stopped

FIGURES = {
    "curves": lambda: learning_curves({label: [history(seed=k) for k in range(3)] for label in MANY}),
    "one curve": lambda: learning_curves({"U-Net": [history(1)]}),
    "unequal seeds": lambda: learning_curves({"U-Net": [history(5), history(2)]}),
    "curves of all": lambda: learning_curves(stopped(3)),
    "curves of all, one seed": lambda: learning_curves(stopped(1)),
    "curves of a U-Net or two": lambda: learning_curves({label: [history()] for label in UNET[:2]}),
    "the study's FCNs": lambda: study_curves(scores.learning_curves("fcn")),
    "the study's U-Nets": lambda: study_curves(scores.learning_curves("unet")),
}


def test_the_curves_of_the_study_are_called_its_own():
    caption = FIGURES["the study's FCNs"]().caption
    assert caption.startswith("In the study, the highest validation mIoU is 0.891 (FCN-8s fine-tuned);")


def test_means_stop_where_the_first_seed_does():
    """The bold line would jump if it averaged fewer and fewer seeds."""
    one, other = history(5), history(2, seed=1)
    mean = _mean_over_seeds([one, other])
    assert list(mean.index) == [1, 2]
    assert mean.val_miou[2] == pytest.approx((one.val_miou[1] + other.val_miou[1]) / 2)


def test_live_curves_print_each_epoch_once(capsys, monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    rows = history(3).to_dict("records")
    live = LiveCurves(3)
    for epoch in (1, 2, 3):
        live.update(rows[:epoch])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[2].startswith("epoch 3/3  loss ")
    assert f"val {rows[2]['val_miou']:.3f}" in lines[2]
    LiveCurves(12).update(rows)  # a resumed or finished run has all its rows at once
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_live_curves_redraw_in_place_where_a_person_watches(capsys, monkeypatch):
    shown = []
    monkeypatch.setenv("JPY_SESSION_NAME", "train.ipynb")
    monkeypatch.setattr(learning, "display", lambda data, **how: shown.append(how))
    live = LiveCurves(2)
    for epoch in (1, 2):
        live.update(history(2).to_dict("records")[:epoch])
    assert [how["update"] for how in shown] == [False, True]
    LiveCurves(2).update(history(2).to_dict("records"))  # another run of the same notebook
    first, second, other = (how["display_id"] for how in shown)
    assert first == second != other
    assert all(how["metadata"]["image/png"]["alt"] for how in shown)
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_a_band_has_the_range_of_the_seeds_and_a_line_their_mean():
    seeds = [history(5, k) for k in range(3)]
    fig = learning_curves({"U-Net": seeds})
    columns = "train_loss", "val_loss", "train_miou", "val_miou"
    for ax, column in zip(fig.axes, columns, strict=True):
        (line,), (band,) = ax.lines, ax.collections
        values = np.array([seed[column] for seed in seeds])
        assert np.allclose(line.get_ydata(), values.mean(0))
        corners = band.get_paths()[0].vertices
        for epoch, low, high in zip(line.get_xdata(), values.min(0), values.max(0), strict=True):
            at = corners[corners[:, 0] == epoch, 1]
            assert np.isclose(at.min(), low) and np.isclose(at.max(), high)
