"""Computations of the explorer: search of images, a user's image, figures for readers without a kernel."""

import shutil

import numpy as np
import pytest
from PIL import Image

from segnb.data import reading
from segnb.data.masks import STREET_CODING
from segnb.data.splits import Pair
from segnb.errors import SegnbError
from segnb.evaluation import evaluate
from segnb.evaluation.scores import image_miou
from segnb.explorer import overview, taken_apart
from segnb.explorer.album import LARGEST_FILE, Album, evaluated_runs, own_picture
from segnb.labels import IGNORE_INDEX, STREET
from segnb.report.figures.images import wrong_share
from segnb.report.text import network_count
from segnb.study.study import Study
from tests.data.broken_files import encoded
from tests.prediction.conftest import photograph

from .conftest import CLASSY, GATED, PLAIN, SIZE


def test_the_worst_images_are_those_with_most_wrong_pixels(album, runs):
    wrong = (album.predicted(runs[0]) != np.stack([album.scene(i).labels[SIZE] for i in range(30)])).mean(
        (1, 2)
    )
    worst = album.worst(runs[:1])
    assert [i for _, i in worst] == np.argsort(-wrong, kind="stable").tolist()
    assert worst[0][0] == f"{album.names[worst[0][1]]}: {100 * wrong.max():.1f}% wrong"
    both = album.wrong(runs[:2])
    assert both == pytest.approx((album.wrong(runs[:1]) + album.wrong(runs[1:2])) / 2)
    typical = album.typical(runs)
    assert (album.wrong(runs) < album.wrong(runs)[typical]).sum() == 15


def test_an_image_without_labels_is_neither_typical_nor_the_worst(album, runs):
    unlabelled = {run: counts.copy() for run, counts in album._confusions.items()}
    best = album.worst(runs)[-1][1]
    for counts in unlabelled.values():
        counts[np.arange(30) != best] = 0
    album._confusions = unlabelled
    assert album.typical(runs) == best == album.worst(runs)[0][1]
    assert album.worst(runs)[1][0].endswith(": 0.0% wrong")
    for counts in unlabelled.values():
        counts[best] = 0
    assert album.typical(runs) in range(30)


def test_networks_of_two_sizes_are_compared_at_the_larger(album, runs):
    small, large = np.zeros((2, 2, 2), np.uint8), np.zeros((2, 4, 4), np.uint8)
    small[1, 0, 1] = 3
    large[1, :2, 2:] = 3  # the same quarter
    large[1, 3, 0] = 3
    album._predicted = {runs[0]: small, runs[1]: large}
    assert album.differing(runs[0], runs[1]).tolist() == [0, 1 / 16]
    assert [i for _, i in album.most_different(runs[0], runs[1])] == [1, 0]


def test_images_with_a_class_are_all_that_show_it(album):
    car = STREET.id("Car")
    shares = np.array([(album.scene(i).labels[SIZE] == car).mean() for i in range(len(album.names))])
    found = album.with_class(car)
    assert {i for _, i in found} == set(np.flatnonzero(shares)) and len(found) > 10
    listed = [shares[i] for _, i in found]
    assert listed == sorted(listed, reverse=True)


def test_data_that_have_changed_leave_the_images_that_runs_kept(study, runs, monkeypatch):
    whole = Album(runs)
    settled = study.settings | {"data": study.settings["data"] | {"digest": "0" * 16}}
    monkeypatch.setattr(Study, "settings", settled)
    album = Album(runs)
    assert len(album.names) == 24 and album.note.startswith(
        "Only the 24 images that the runs stored are available: "
    )
    assert album.note.endswith(".") and not album.note.endswith("..")
    number = int(album.index[5])
    assert number != 5 and album.names[5] == whole.names[number]
    assert (album.scene(5).images[SIZE] == whole.scene(number).images[SIZE]).all()
    assert album.wrong(runs)[5] == whole.wrong(runs)[number]
    assert (album.predicted(runs[0])[5] == whole.predicted(runs[0])[number]).all()


def test_scores_of_one_image_leave_out_what_nobody_labelled():
    truth = np.array([[0, 0], [1, IGNORE_INDEX]], np.uint8)
    guess = np.array([[0, 1], [1, 1]], np.uint8)
    assert wrong_share(truth, guess) == pytest.approx(1 / 3)
    assert image_miou(truth, guess, 13) == pytest.approx(1 / 2)  # 1 of 2 each
    assert wrong_share(np.full((2, 2), IGNORE_INDEX, np.uint8), guess) == 0


def test_the_study_is_named_and_so_are_others_with_runs(study, capsys):
    other = study.path.parent / "of-my-own" / PLAIN / "seed0"
    other.mkdir(parents=True)
    try:
        (other / "done.json").touch()
        evaluated_runs(study.name)
    finally:
        shutil.rmtree(other.parents[1])
    networks = network_count(study.finished())
    others = "Other studies with finished runs: of-my-own (1 run)."
    assert capsys.readouterr().out == f"Study {study.name}: {networks}. {others}\n"


def test_runs_that_nobody_tested_are_tested_and_named(study, monkeypatch, capsys):
    gone = study.run(GATED, 0)
    monkeypatch.setattr(type(gone), "confusion_path", property(lambda run: run.path / f"{run.variant}.none"))
    monkeypatch.setattr(evaluate, "measure", lambda run: run.confusion_path.touch())
    try:
        assert len(evaluated_runs(study.name)) == 4
        assert "Evaluating Attention U-Net, seed 0. This can take minutes." in capsys.readouterr().out
    finally:
        for file in study.path.rglob("*.none"):
            file.unlink()


def test_a_run_that_cannot_be_tested_is_left_out(study, monkeypatch, capsys):
    def fail(run):
        raise SegnbError("no data")

    monkeypatch.setattr(evaluate, "measure", fail)
    path = study.run(GATED, 0).confusion_path
    path.rename(path.with_suffix(".away"))
    try:
        assert [run.variant for run in evaluated_runs(study.name)] == [PLAIN, PLAIN, CLASSY]
    finally:
        path.with_suffix(".away").rename(path)
    assert "Skipping Attention U-Net, seed 0: no data" in capsys.readouterr().out


def test_an_own_picture_is_squeezed_as_in_training(tmp_path):
    picture = photograph(90, 50)
    files = [tmp_path / name for name in ("image.png", "labels.png")]
    picture.save(files[0])
    Image.fromarray(np.zeros((50, 90), np.uint8)).save(files[1])
    trained_on, _ = reading.read(Pair("image", *files), 32, STREET_CODING)
    scene = own_picture("mine.png", files[0].read_bytes(), [32, 64])
    assert (scene.images[32] == trained_on).all() and scene.images[64].shape == (64, 64, 3)
    expected = "The image has 90×50 pixels and was squeezed to 32×32 and 64×64, as in training."
    assert scene.resizing.startswith(expected)
    assert scene.aspect == 1.8 and scene.number is None and not scene.labels
    assert "resized to 32×32" in own_picture("a", encoded(photograph(40, 40)), [32]).resizing


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"hello", "not a PNG or JPEG file"), (bytes(LARGEST_FILE + 1), "larger than 8 MiB")],
)
def test_what_is_no_picture_is_refused_in_one_line(content, problem):
    """tests/data/test_pictures.py has all other kinds."""
    with pytest.raises(SegnbError, match=problem) as raised:
        own_picture("evil\n\x1bname", content, [32])
    assert "\n" not in str(raised.value) and str(raised.value).startswith("evil")


def test_pictures_stand_in_for_both_parts(state):
    fig = overview(state.album, state.first)
    wrong = state.album.wrong(state.runs[:1])[state.first.number]
    assert f"U-Net {100 * wrong:.1f}%" in fig.alt and state.first.name in fig.alt
    assert fig.caption.startswith("The share of wrong pixels is ")
    assert len(fig.axes) >= 5 and fig.png()
    taken = taken_apart(state.album, state.first, state.parted_first)
    assert "Attention U-Net, seed 0" in taken.alt and "Gate 4: mean" in taken.alt and taken.png()
    assert taken.caption.startswith(
        "Switching off all skips of Attention U-Net, seed 0 changes the class of "
    )
