"""All networks on one image: effects of the controls on the data for the browser."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from segnb.errors import SegnbError
from segnb.evaluation import evaluate
from segnb.explorer import Explorer, board
from segnb.explorer import networks as part
from segnb.explorer.networks import Networks
from segnb.labels import STREET
from segnb.models import registry
from tests.data.broken_files import encoded
from tests.prediction.conftest import photograph

from .conftest import SIZE, titles


def test_all_networks_are_shown_at_once_with_their_errors(networks, state):
    assert titles(networks.board) == ["U-Net", "Attention U-Net", "Class attention residual U-Net"]
    wrong = state.album.wrong([state.runs[0]])[state.scene.number]
    assert networks.board.panels[0]["note"] == f"{100 * wrong:.1f}% wrong"
    assert networks.board.pictures[0]["truth"] == state.scene.labels[SIZE].tobytes()
    networks.seed.value = 1
    assert titles(networks.board) == ["U-Net"]


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


def test_images_are_found_and_gone_through(networks, state):
    assert networks.board.picked >= 0 and networks.image.value == state.scene.number
    networks.find.value = part.WORST
    worst = state.album.worst(list(networks.runs.values()))
    assert list(networks.image.options) == worst and state.scene.number == worst[0][1]
    assert [one["text"] for one in networks.board.thumbs] == [text for text, _ in worst[: part.THUMBS]]
    networks.before.click()
    assert state.scene.number == worst[-1][1] and networks.board.picked == (len(worst) - 1) % part.THUMBS
    networks.after.click()
    networks.board.picked = 3
    assert state.scene.number == worst[3][1]
    networks.of.value = "Attention U-Net"
    assert list(networks.image.options) == state.album.worst([networks.runs["Attention U-Net"]])
    networks.find.value = part.DIFFER
    networks.first.value, networks.second.value = "Attention U-Net", "U-Net"
    assert "differ" in networks.image.options[0][0]
    assert networks.of.layout.display == "none" and networks.first.layout.display is None
    networks.find.value = part.WITH
    networks.kind.value = STREET.id("Car")
    assert list(networks.image.options) == state.album.with_class(STREET.id("Car"))


def test_a_class_that_no_image_shows_is_said(networks, state, monkeypatch):
    monkeypatch.setattr(type(state.album), "with_class", lambda album, kind: [])
    shown = state.scene
    networks.find.value = part.WITH
    assert networks.board.said == "No test image shows Unlabeled." and state.scene is shown
    networks.find.value = part.WORST  # its first image may be the one that is shown
    assert "No test image" not in networks.board.said


def test_confidence_comes_once_it_is_asked_for(networks, state):
    assert all("confidence" not in panel for panel in networks.board.panels)
    networks.board.view = board.VIEWS.index("confidence")
    run = state.runs[0]
    expected = (state.scene.probabilities(run).amax(0) * 255).round().byte().numpy()
    assert networks.board.panels[0]["confidence"] == expected.tobytes()
    networks.after.click()
    assert all("confidence" in panel for panel in networks.board.panels)


def test_a_click_asks_every_network_about_that_pixel(networks, state):
    assert networks.board.answers["values"] == {}
    networks.board.point = [0.999, 0.0]
    answers = networks.board.answers
    assert answers["point"] == [0.999, 0.0]
    assert list(answers["values"]) == titles(networks.board)
    chances = state.scene.at(state.runs[0], 0.999, 0.0)
    assert chances == pytest.approx(state.scene.probabilities(state.runs[0])[:, 0, -1].numpy())
    assert answers["values"][titles(networks.board)[0]] == pytest.approx(chances, abs=1e-4)
    networks.after.click()
    assert networks.board.answers["values"] != answers["values"]  # the same point of the next image


def test_only_the_networks_that_are_ticked_are_shown_and_asked(networks, state):
    everyone = list(networks.runs)
    assert networks.chooser.titles == ("Networks shown: 3 of 3",)
    assert networks.more.layout.display == "none"
    for box in networks.boxes.values():
        box.value = False
    assert networks.board.panels == [] and networks.chooser.titles == ("Networks shown: 0 of 3",)
    networks.board.point = [0.2, 0.2]
    assert networks.board.answers["values"] == {} and not any(run in state.scene.known for run in state.runs)
    networks.boxes[everyone[1]].value = True
    assert titles(networks.board) == everyone[1:2]
    assert list(networks.board.answers["values"]) == everyone[1:2]
    assert networks.runs[everyone[1]] in state.scene.known
    assert networks.runs[everyone[0]] not in state.scene.known
    networks.seed.value = 1  # only the first network has seed 1, and it stays hidden
    assert titles(networks.board) == [] and networks.chooser.titles == ("Networks shown: 0 of 1",)
    drawn = []
    networks.chooser.observe(drawn.append, "titles")
    networks.more.click()
    assert titles(networks.board) == everyone[:1] and len(drawn) == 1


def test_six_networks_are_shown_at_first(networks):
    everyone = {variant.label: SimpleNamespace(variant=name) for name, variant in registry.VARIANTS.items()}
    networks.runs = everyone
    few = networks.few()
    assert {everyone[title].variant for title in few} == set(part.FIRST) and len(few) == part.FEW
    networks.runs = {title: run for title, run in everyone.items() if run.variant != part.FIRST[0]}
    assert len(networks.few()) == part.FEW  # another network takes the free place


def test_all_networks_are_a_click_away_and_back(networks, monkeypatch):
    monkeypatch.setattr(part, "FEW", 2)
    networks.boxes = {}
    networks.offer_networks()
    networks.draw()
    everyone, few = list(networks.runs), networks.few()
    assert titles(networks.board) == [title for title in everyone if title in few] and len(few) == 2
    assert networks.more.description == "Show all 3 networks" and networks.more.layout.display is None
    networks.more.click()
    assert titles(networks.board) == everyone and networks.more.description == "Show 2 networks"
    networks.more.click()
    assert len(titles(networks.board)) == 2


def test_an_own_picture_takes_the_place_of_the_image_in_every_part(networks, inside, state):
    networks.board.point = [0.5, 0.5]
    networks.take("mine.png", encoded(photograph(90, 50)))
    for shown in (networks.board, inside.board):
        assert "truth" not in shown.pictures[0] and shown.aspect == 1.8
        assert shown.panels[0]["note"] == "" and shown.panels[0]["confidence"]
        assert shown.heading == ["Your image", "mine.png"]
    assert "squeezed to 64×64" in networks.board.said
    networks.square.value = True
    assert networks.board.aspect == inside.board.aspect == 1
    own = state.scene
    networks.take("text.png", b"hello")
    assert (
        networks.board.said == "text.png: not a PNG or JPEG file. Choose another file." and state.scene is own
    )


def test_an_own_picture_is_an_entry_of_the_list(networks, inside, state):
    networks.take("mine.png", encoded(photograph(90, 50)))
    assert networks.image.label == networks.board.thumbs[0]["text"] == "your image: mine.png"
    assert networks.board.picked == 0
    networks.board.picked = 1  # back to the test images
    assert state.scene.number == 0 and inside.board.pictures[0]["truth"]
    assert networks.board.heading == ["Image", state.scene.name]
    networks.find.value = part.WORST
    assert state.scene.number is not None and networks.image.index == 1
    networks.before.click()
    assert state.scene.name == "mine.png"
    networks.take("other.png", encoded(photograph(50, 50)))
    assert state.scene.name == "other.png"
    assert [i for _, i in networks.image.options].count(part.OWN) == 1


def test_a_damaged_network_is_a_sentence_and_the_others_answer(networks, state, monkeypatch):
    healthy, broken = evaluate.network, state.runs[0]

    def network(run):
        if run == broken:
            raise SegnbError("model.safetensors is damaged")
        return healthy(run)

    monkeypatch.setattr(evaluate, "network", network)
    networks.board.point = [0.5, 0.5]
    assert networks.board.said == "model.safetensors is damaged" and networks.board.busy == ""
    first, *others = networks.runs
    assert networks.board.pending == {first: "cannot be run"}
    assert list(networks.board.answers["values"]) == others


def in_a_kernel(study, story) -> None:
    """Run a story(state, networks), with an event loop as in a kernel."""

    async def cell():
        state = Explorer(study.name)
        networks = Networks(state)
        await settled(state)
        await story(state, networks)
        await settled(state)

    asyncio.run(cell())


async def settled(state) -> None:
    await asyncio.wait(state.turns._asked.values())


async def until(condition) -> None:
    """Let handlers run until a condition is true."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("this did not happen")


def test_answers_fill_in_network_by_network(study, monkeypatch):
    go = threading.Semaphore(0)
    predict = evaluate.predict
    monkeypatch.setattr(evaluate, "predict", lambda *which: (go.acquire(timeout=60), predict(*which))[1])

    async def story(state, networks):
        everyone = list(networks.runs)
        networks.board.point = [0.5, 0.5]
        for answered in range(3):
            await until(lambda: networks.board.busy.endswith(f"(network {answered + 1} of 3) …"))  # noqa: B023
            assert list(networks.board.answers["values"]) == everyone[:answered]
            running, *waiting = everyone[answered:]
            pending = {running: "running …"} | dict.fromkeys(waiting, "waiting …")
            assert networks.board.pending == pending
            go.release()
        await settled(state)
        assert list(networks.board.answers["values"]) == everyone
        assert networks.board.busy == "" and networks.board.pending == {}

        networks.take("mine.png", encoded(photograph(40, 40)))  # the panels too
        await until(lambda: networks.board.pending.get(everyone[0]) == "running …")
        assert "classes" not in networks.board.panels[-1]
        go.release(30)

    in_a_kernel(study, story)


def test_a_new_question_cancels_the_old_one(study, monkeypatch):
    go, ran = threading.Semaphore(0), []
    predict = evaluate.predict

    def slow(run, image):
        ran.append((run, image.tobytes()))
        go.acquire(timeout=60)
        return predict(run, image)

    monkeypatch.setattr(evaluate, "predict", slow)

    async def story(state, networks):
        first = state.scene
        networks.board.point = [0.5, 0.5]
        await until(lambda: len(ran) == 1)  # the first network is at work …
        networks.after.click()
        await until(lambda: networks.board.heading[1] != first.name)  # … and the next image is there already
        go.release(10)
        await settled(state)
        assert [image == first.images[SIZE].tobytes() for _, image in ran] == [True, False, False, False]
        assert networks.board.busy == "" and list(networks.board.answers["values"]) == list(networks.runs)

    in_a_kernel(study, story)
