"""The button at the end of train.ipynb."""

import numpy as np
import pytest

from segnb import explorer
from segnb.errors import SegnbError
from segnb.evaluation import evaluate
from segnb.explorer import predictions_button, validation_images
from segnb.metrics import confusion
from segnb.report.figures.images import wrong_share


class Place:
    """What the button has shown below it."""

    def __init__(self):
        self.shown = []

    def update(self, what, **how):
        self.shown.append(what if isinstance(what, dict) else what.data)


@pytest.fixture
def press(monkeypatch):
    """Press the button of a run, and return what is below it, below that, and the button."""

    def press(run):
        shown = []

        def display(what, display_id=False):
            shown.append(Place() if display_id else what)
            return shown[-1]

        monkeypatch.setattr(explorer, "display", display)
        monkeypatch.setenv("JPY_SESSION_NAME", "train.ipynb")
        predictions_button(run)
        button, place, below = shown
        button.click()
        return place, below, button

    return press


def test_a_press_shows_predictions_and_says_how_far_it_is(press, runs):
    place, below, button = press(runs[0])
    *texts, figure = place.shown
    count = len(runs[0].study.split("val", runs[0].recipe.size))
    assert "Loading U-Net, seed 0" in texts[0] and f"{count} of {count} validation images" in texts[-1]
    assert "image/png" in figure and figure["text/plain"].startswith("U-Net, seed 0: 3 images")
    assert "Red pixels have another class than the ground truth" in below.shown[-1]
    assert not button.disabled


def test_the_images_are_the_best_the_median_and_the_worst(runs):
    run = runs[0]
    split = run.study.split("val", run.recipe.size)
    wrong = [
        wrong_share(truth, evaluate.predict(run, np.array(image)).classes)
        for image, truth in zip(split.images, split.labels, strict=True)
    ]
    saved, count = validation_images(run, lambda text: None)
    shares = [
        wrong_share(truth, guess) for truth, guess in zip(saved["labels"], saved["predictions"], strict=True)
    ]
    assert count == len(split) and shares == pytest.approx(
        [min(wrong), sorted(wrong)[(count - 1) // 2], max(wrong)]
    )
    assert all(name in split.names for name in saved["names"])


def test_images_without_labels_are_not_chosen(runs, monkeypatch):
    counts, accuracy = [], confusion.pixel_accuracy

    def first_unlabelled(matrices):
        counts.append(len(matrices))
        return np.where(np.arange(len(matrices)) < len(matrices) - 2, np.nan, accuracy(matrices))

    monkeypatch.setattr(confusion, "pixel_accuracy", first_unlabelled)
    split = runs[0].study.split("val", runs[0].recipe.size)
    saved, _ = validation_images(runs[0], lambda text: None)
    assert counts[0] > 2 and set(saved["names"]) == set(split.names[-2:])


def test_a_damaged_network_is_a_sentence_below_the_button(press, runs, monkeypatch):
    def damaged(run):
        raise SegnbError("model.safetensors is <damaged>")

    monkeypatch.setattr(evaluate, "network", damaged)
    place, _, button = press(runs[0])
    assert "model.safetensors is &lt;damaged&gt;" in place.shown[-1] and not button.disabled


def test_the_button_is_shown_to_people_only(runs, monkeypatch):
    shown = []
    monkeypatch.setattr(explorer, "display", lambda what, **how: shown.append(what))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    predictions_button(runs[0])
    assert shown == []
    monkeypatch.setenv("JPY_SESSION_NAME", "train.ipynb")
    predictions_button(runs[0])
    assert shown[0].description == "Show predictions"
