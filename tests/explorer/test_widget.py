"""All networks on one image: effects of the controls on the data for the browser."""

import json
import re

import pytest

from segnb.errors import SegnbError
from segnb.evaluation import evaluate
from segnb.explorer import board, widget
from segnb.labels import STREET

from .conftest import SIZE, photograph, png, titles


def test_without_runs_each_part_says_what_to_do(project, capsys):
    empty = widget.Explorer("latest")
    empty.networks()
    empty.inside()
    told = capsys.readouterr().out
    assert told.count("make report") == 3


def test_all_networks_are_shown_at_once_with_their_errors(networks, state):
    assert titles(networks.board) == ["U-Net", "Attention U-Net", "Class attention residual U-Net"]
    wrong = state.album.wrong([state.runs[0]])[state.scene.number]
    assert networks.board.panels[0]["note"] == f"{100 * wrong:.1f}% wrong"
    assert networks.board.pictures[0]["truth"] == state.scene.labels[SIZE].tobytes()
    networks.seed.value = 1
    assert titles(networks.board) == ["U-Net"]


def test_confidence_comes_once_it_is_asked_for(networks, state):
    assert all("confidence" not in panel for panel in networks.board.panels)
    networks.board.view = board.VIEWS.index("confidence")
    run = state.runs[0]
    expected = (state.scene.probabilities(run).amax(0) * 255).round().byte().numpy()
    assert networks.board.panels[0]["confidence"] == expected.tobytes()
    networks.after.click()
    assert all("confidence" in panel for panel in networks.board.panels)


def test_a_click_asks_every_network_about_that_pixel(networks, state):
    networks.board.point = [0.999, 0.0]
    shown = networks.table.value
    assert all(f">{title}<" in shown for title in titles(networks.board))
    chances = state.scene.at(state.runs[0], 0.999, 0.0)
    assert chances == pytest.approx(state.scene.probabilities(state.runs[0])[:, 0, -1].numpy())
    assert f">{100 * chances.max():.0f}%</td>" in shown
    truth = STREET.names[state.scene.labels[SIZE][0, -1]]
    assert re.search(rf"{truth}<br>\(ground truth\)", shown)
    before = shown
    networks.after.click()
    assert networks.table.value != before  # the same point of the next image


def test_every_network_is_asked_once_about_a_picture(networks, state, monkeypatch):
    """Only the first click on an image runs the networks; other views need no prediction."""
    asked = []
    predict = evaluate.predict
    monkeypatch.setattr(evaluate, "predict", lambda run, image: (asked.append(run), predict(run, image))[1])
    networks.board.point = [0.2, 0.2]
    assert asked == list(networks.runs.values())
    networks.board.point = [0.7, 0.3]
    networks.board.view = board.VIEWS.index("confidence")
    networks.after.click()
    networks.before.click()  # the last images are cached
    assert len(asked) == 2 * len(networks.runs)


def test_only_the_networks_that_are_ticked_are_shown_and_asked(networks, state):
    everyone = list(networks.runs)
    assert networks.chooser.titles == ("Networks shown: 3 of 3",)
    drawn = []
    networks.board.observe(drawn.append, "panels")
    networks.all_of_them.value = False
    assert networks.board.panels == [] and len(drawn) == 1
    networks.board.point = [0.2, 0.2]
    assert networks.table.value == "" and not any(run in state.scene.known for run in state.runs)
    networks.boxes[everyone[1]].value = True
    assert titles(networks.board) == everyone[1:2]
    assert networks.chooser.titles == ("Networks shown: 1 of 3",)
    assert [title for title in everyone if f">{title}<" in networks.table.value] == everyone[1:2]
    assert networks.runs[everyone[1]] in state.scene.known
    assert networks.runs[everyone[0]] not in state.scene.known
    networks.seed.value = 1  # only the first network has seed 1, and it stays hidden
    assert titles(networks.board) == [] and networks.chooser.titles == ("Networks shown: 0 of 1",)
    networks.all_of_them.value = True
    assert titles(networks.board) == everyone[:1]


def test_images_are_found_and_gone_through(networks, state):
    assert networks.board.picked >= 0 and networks.image.value == state.scene.number
    networks.find.value = widget.WORST
    worst = state.album.worst(list(networks.runs.values()))
    assert list(networks.image.options) == worst and state.scene.number == worst[0][1]
    assert [one["text"] for one in networks.board.thumbs] == [text for text, _ in worst[: widget.THUMBS]]
    networks.before.click()
    assert state.scene.number == worst[-1][1] and networks.board.picked == (len(worst) - 1) % widget.THUMBS
    networks.after.click()
    networks.board.picked = 3
    assert state.scene.number == worst[3][1]
    networks.of.value = "Attention U-Net"
    assert list(networks.image.options) == state.album.worst([networks.runs["Attention U-Net"]])
    networks.find.value = widget.DIFFER
    networks.first.value, networks.second.value = "Attention U-Net", "U-Net"
    assert "differ" in networks.image.options[0][0]
    assert networks.of.layout.display == "none" and networks.first.layout.display is None
    networks.find.value = widget.WITH
    networks.kind.value = STREET.id("Car")
    assert list(networks.image.options) == state.album.with_class(STREET.id("Car"))


def test_a_class_that_no_image_shows_is_said(networks, state, monkeypatch):
    monkeypatch.setattr(type(state.album), "with_class", lambda album, kind: [])
    shown = state.scene
    networks.find.value = widget.WITH
    assert networks.board.said == "No test image shows Unlabeled." and state.scene is shown


def test_an_own_picture_takes_the_place_of_the_image_in_every_part(networks, inside, state):
    networks.board.point = [0.5, 0.5]
    networks.take("mine.png", png(photograph(90, 50)))
    for shown in (networks.board, inside.board):
        assert "truth" not in shown.pictures[0] and shown.aspect == 1.8
        assert shown.panels[0]["note"] == "" and shown.panels[0]["confidence"]
    assert "squeezed to 64×64" in networks.board.said and "ground truth" not in networks.table.value
    networks.square.value = True
    assert networks.board.aspect == inside.board.aspect == 1
    own = state.scene
    networks.take("text.png", b"hello")
    assert (
        networks.board.said == "text.png: not a PNG or JPEG file. Choose another file." and state.scene is own
    )
    networks.back.click()
    assert state.scene.number is not None and inside.board.pictures[0]["truth"]
    assert networks.back.layout.display == "none"


def test_a_damaged_network_is_a_sentence_on_the_board(networks, state, monkeypatch, capsys):
    def damaged(run):
        raise SegnbError("model.safetensors is damaged")

    monkeypatch.setattr(evaluate, "network", damaged)
    networks.board.point = [0.5, 0.5]
    assert networks.board.said == "model.safetensors is damaged" and networks.board.busy == ""
    monkeypatch.setattr(widget, "display", lambda box: None)
    state.inside()
    assert capsys.readouterr().out == "model.safetensors is damaged\n"


def test_every_control_says_what_it_is(networks, inside):
    def every(box):
        return [
            deep
            for child in box.children
            for deep in (every(child) if hasattr(child, "children") else [child])
        ]

    for control in every(networks.box) + every(inside.box):
        assert (
            getattr(control, "description", "") or getattr(control, "label", "") or control is networks.table
        )


def test_each_part_shows_its_picture_before_its_widget(state, monkeypatch):
    shown = []
    monkeypatch.setattr(widget, "show", lambda fig: shown.append(fig.alt))
    monkeypatch.setattr(widget, "display", lambda box: shown.append(box))
    state.networks()
    state.inside()
    assert [isinstance(one, str) for one in shown] == [True, False, True, False]
    style = str(board.Board._css)  # hides the figure if the widget is there
    assert ".jp-OutputArea-child:has(+ .jp-OutputArea-child .segnb-board)" in style
    json.dumps(shown[0])
