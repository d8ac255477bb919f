"""The explorer: what it computes, and what its controls do to what the browser is sent."""

import asyncio
import io
import json
import re
import shutil
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from segnb.data import reading
from segnb.data.masks import STREET_CODING
from segnb.data.splits import Pair
from segnb.errors import SegnbError
from segnb.evaluation import ablation, evaluate, gates
from segnb.evaluation.scores import image_miou
from segnb.explorer import album as album_module
from segnb.explorer import board, widget
from segnb.explorer.album import overview, taken_apart
from segnb.explorer.inside import Inside, part
from segnb.labels import IGNORE_INDEX, STREET, ClassMap
from segnb.models.build import build
from segnb.runtime.machine import Machine
from segnb.storage.checksums import sha256
from segnb.storage.files import read_json, write_json
from segnb.study.study import Study
from segnb.training import checkpoint
from tests.conftest import make_project
from tests.synthetic_study import make_study

PLAIN, GATED, CLASSY = "UNet_Standard_256", "AttentionUNet_256", "ClassAttentionResidualUNet_256"
SIZE, WIDTH = 64, 4


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three U-Nets of 30 test images, one with two seeds, whose networks were drawn and never trained."""
    with pytest.MonkeyPatch.context() as patch:
        folder = make_project(tmp_path_factory.mktemp("explored") / "project")
        patch.setenv("SEGNB_ROOT", str(folder))
        made = make_study(folder, seeds=1, variants=[PLAIN, GATED, CLASSY], images=30)
        make_study(folder, seeds=2, variants=[PLAIN], images=30)
        settled = read_json(made.path / "study.json")
        settled["preset"]["unet"]["width"] = WIDTH
        write_json(made.path / "study.json", settled)
        for run in made.finished():
            torch.manual_seed(len(run.variant) + run.seed)
            model = build(run.variant, len(STREET), WIDTH)
            torch.nn.init.normal_(model.score.weight, std=30)  # otherwise all is about equally likely
            checkpoint.save_model(run.model_path, model)
            done = read_json(run.path / "done.json")
            write_json(run.path / "done.json", done | {"model_sha256": sha256(run.model_path)})
        yield Study(made.path)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """As in all tests, which share a process."""
    monkeypatch.setattr(ablation, "usable_cores", lambda: 1)


@pytest.fixture
def runs(study):
    return study.finished()


@pytest.fixture
def album(runs):
    return album_module.Album(runs)


@pytest.fixture
def state(study, album):
    return widget.Explorer(study.name)


@pytest.fixture
def networks(state):
    return widget.Networks(state)


@pytest.fixture
def inside(state):
    return Inside(state)


def png(picture: Image.Image, **how) -> bytes:
    file = io.BytesIO()
    picture.save(file, **({"format": "PNG"} | how))
    return file.getvalue()


def photograph(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


# ---- finding images ---------------------------------------------------------------------------------


def test_the_worst_images_are_those_with_most_wrong_pixels(album, runs):
    wrong = (album.predicted(runs[0]) != np.stack([album.scene(i).labels[SIZE] for i in range(30)])).mean(
        (1, 2)
    )
    found = album.worst(runs[:1])
    assert [i for _, i in found] == np.argsort(-wrong, kind="stable").tolist()
    assert found[0][0] == f"{album.names[found[0][1]]}: {100 * wrong.max():.1f} % wrong"
    both = album.wrong(runs[:2])
    assert both == pytest.approx((album.wrong(runs[:1]) + album.wrong(runs[1:2])) / 2)
    typical = album.typical(runs)
    assert (album.wrong(runs) < album.wrong(runs)[typical]).sum() == 15


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
    shares = np.array([(album.scene(i).labels[SIZE] == car).mean() for i in range(len(album))])
    found = album.with_class(car)
    assert {i for _, i in found} == set(np.flatnonzero(shares)) and len(found) > 10
    listed = [shares[i] for _, i in found]
    assert listed == sorted(listed, reverse=True)


def test_data_that_have_changed_leave_the_images_that_runs_kept(study, runs, monkeypatch):
    whole = album_module.Album(runs)
    settled = study.settings | {"data": study.settings["data"] | {"digest": "0" * 16}}
    monkeypatch.setattr(Study, "settings", settled)
    album = album_module.Album(runs)
    assert len(album) == 24 and "has changed" in album.note and "24 images" in album.note
    number = int(album.index[5])
    assert number != 5 and album.names[5] == whole.names[number]
    assert (album.scene(5).images[SIZE] == whole.scene(number).images[SIZE]).all()
    assert album.wrong(runs)[5] == whole.wrong(runs)[number]
    assert (album.predicted(runs[0])[5] == whole.predicted(runs[0])[number]).all()


def test_scores_of_one_image_leave_out_what_nobody_labelled():
    truth = np.array([[0, 0], [1, IGNORE_INDEX]], np.uint8)
    guess = np.array([[0, 1], [1, 1]], np.uint8)
    assert album_module.wrong_share(truth, guess) == pytest.approx(1 / 3)
    assert image_miou(truth, guess, 13) == pytest.approx(1 / 2)  # 1 of 2 each
    assert album_module.wrong_share(np.full((2, 2), IGNORE_INDEX, np.uint8), guess) == 0


# ---- runs -------------------------------------------------------------------------------------------


def test_the_study_is_named_and_so_are_others_with_runs(study, capsys):
    other = study.path.parent / "of-my-own" / PLAIN / "seed0"
    other.mkdir(parents=True)
    try:
        (other / "done.json").touch()
        album_module.tested(study.name)
    finally:
        shutil.rmtree(other.parents[1])
    told = f"study {study.name}, 1 network of the study and 2 extensions; there are also of-my-own (1 run)\n"
    assert capsys.readouterr().out == told


def test_runs_that_nobody_tested_are_tested_and_named(study, monkeypatch, capsys):
    gone = study.run(GATED, 0)
    monkeypatch.setattr(type(gone), "predicted_path", property(lambda run: run.path / f"{run.variant}.none"))
    monkeypatch.setattr(evaluate, "measure", lambda run: (run.predicted_path.touch(), None)[1])
    try:
        assert len(album_module.tested(study.name)) == 4
        assert "testing Attention U-Net, seed 0 for the first time" in capsys.readouterr().out
    finally:
        for file in study.path.rglob("*.none"):
            file.unlink()


def test_a_run_that_cannot_be_tested_is_left_out(study, monkeypatch, capsys):
    def fail(run):
        raise SegnbError("no data")

    monkeypatch.setattr(evaluate, "measure", fail)
    path = study.run(GATED, 0).predicted_path
    path.rename(path.with_suffix(".away"))
    try:
        assert [run.variant for run in album_module.tested(study.name)] == [PLAIN, PLAIN, CLASSY]
    finally:
        path.with_suffix(".away").rename(path)
    assert "Attention U-Net, seed 0 is left out: no data" in capsys.readouterr().out


def test_without_runs_each_part_says_what_to_do(project, capsys):
    empty = widget.Explorer("latest")
    empty.networks()
    empty.inside()
    told = capsys.readouterr().out
    assert told.count("make report") == 3


def test_a_study_from_a_gpu_is_explored_on_the_cpu(monkeypatch):
    there = Machine("cuda", "a GPU", 1, "fp16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    here = ablation.here(SimpleNamespace(machine=there))
    assert (here.device, here.precision) == ("cpu", "fp32")


# ---- skips and gates off ----------------------------------------------------------------------------


def blocks_see(model, images) -> dict[int, torch.Tensor]:
    """What arrives at the block of each level on the way up."""
    seen = {}
    handles = [
        getattr(model, f"up{level}").block.register_forward_pre_hook(
            lambda block, inputs, level=level: seen.update({level: inputs[0].clone()})
        )
        for level in gates.LEVELS
    ]
    with torch.inference_mode():
        model(images)
    for handle in handles:
        handle.remove()
    return seen


def test_a_skip_that_is_off_is_its_mean_over_the_image_without_the_padding():
    size = 20  # padded to 32
    model = build(PLAIN, 13, WIDTH).eval()
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    before = blocks_see(model, images)
    with ablation.without(model, size, skips=(2,)):
        off = blocks_see(model, images)
    skip, below = off[2].chunk(2, dim=1)
    mean = before[2].chunk(2, dim=1)[0][..., :10, :10].mean((2, 3), keepdim=True)  # cells of 2 px
    assert torch.allclose(skip, mean.expand_as(skip))
    assert torch.equal(below, before[2].chunk(2, dim=1)[1])
    assert torch.equal(off[3], before[3]) and not torch.equal(off[1], before[1])  # only what comes after
    assert all(torch.equal(one, before[level]) for level, one in blocks_see(model, images).items())


def test_a_gate_that_is_off_is_its_mean_and_the_others_work(runs):
    run = next(run for run in runs if run.variant == GATED)
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    whole, off = ablation.predict(run, image), ablation.predict(run, image, gated=(4,))
    assert off.maps[4] == pytest.approx(whole.maps[4].mean(), abs=1e-6)
    assert np.ptp(off.maps[3]) > 0 and whole.maps[1].shape == (1, SIZE, SIZE)
    again = ablation.predict(run, image)
    assert torch.equal(again.probabilities, whole.probabilities)
    assert not torch.equal(off.probabilities, whole.probabilities)
    assert whole.probabilities.sum(0) == pytest.approx(1, abs=1e-5)
    assert (whole.confidence == (whole.probabilities.amax(0) * 255).round().numpy()).all()


def test_of_an_fcn_the_fused_scores_are_switched_off():
    assert ablation.skip_levels("FCN8s_vgg16_freeze") == (4, 5)
    assert ablation.skip_levels("FCN16s_vgg16_freeze") == (5,)
    assert ablation.skip_levels("FCN32s_vgg16_freeze") == ablation.skip_levels("UNet_NoSkip_256") == ()
    assert ablation.gate_levels(GATED) == gates.LEVELS and not ablation.gate_levels(PLAIN)
    model = build("FCN16s_vgg16_finetune", 3, 1).eval()
    torch.nn.init.normal_(model.score_pool4.weight)  # it starts at zero
    scores = []
    handle = model.up_to_image.register_forward_pre_hook(lambda layer, inputs: scores.append(inputs[0]))
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        model(images)
        with ablation.without(model, 64, skips=(5,)):
            model(images)
    handle.remove()
    lost = scores[0] - scores[1]  # what varies of pool4's score
    assert lost.abs().max() > 0 and lost.mean((2, 3)) == pytest.approx(0, abs=1e-3 * float(lost.abs().max()))


# ---- one's own picture ------------------------------------------------------------------------------


def test_an_own_picture_is_squeezed_as_in_training(tmp_path):
    picture = photograph(90, 50)
    files = [tmp_path / name for name in ("image.png", "labels.png")]
    picture.save(files[0])
    Image.fromarray(np.zeros((50, 90), np.uint8)).save(files[1])
    trained_on, _ = reading.read(Pair("image", *files), 32, STREET_CODING)
    scene = album_module.own_picture("mine.png", files[0].read_bytes(), [32, 64])
    assert (scene.images[32] == trained_on).all() and scene.images[64].shape == (64, 64, 3)
    assert scene.told.startswith("90×50 pixels, squeezed to 32×32 and 64×64, as in training.")
    assert scene.aspect == 1.8 and scene.number is None and not scene.labels
    assert "resized to 32×32" in album_module.own_picture("a", png(photograph(40, 40)), [32]).told


def test_an_own_picture_is_turned_as_its_camera_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    scene = album_module.own_picture("mine.jpg", png(photograph(80, 40), format="JPEG", exif=exif), [32])
    assert scene.told.startswith("40×80")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_an_own_picture_may_have_any_usual_kind_of_pixels(mode):
    content = png(photograph(32, 32).convert(mode), format="JPEG" if mode == "CMYK" else "PNG")
    assert album_module.own_picture("mine", content, [32]).images[32].shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"hello", "no PNG or JPEG"),
        (b"", "no PNG or JPEG"),
        (png(photograph(8, 8), format="GIF"), "no PNG or JPEG"),
        (png(photograph(32, 32))[:600], "cannot be decoded"),
        (png(Image.fromarray(np.zeros((8, 8), np.uint16))), "8 bits"),
        (png(Image.new("1", (20_000, 20_000))), "cannot be decoded"),  # a decompression bomb
        (bytes(album_module.LARGEST_FILE + 1), "larger than 8 MiB"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(content, told):
    with pytest.raises(SegnbError, match=told) as raised:
        album_module.own_picture("evil\n\x1bname", content, [32])
    assert "\n" not in str(raised.value) and str(raised.value).startswith("evil")


# ---- the board --------------------------------------------------------------------------------------


def test_the_board_is_sent_pictures_and_panels_together():
    shown = board.Board(STREET, label="Test")
    assert len(shown.palette) == len(shown.scale) == 3 * 256 and shown.names == list(STREET.names)
    image, labels = np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 7, np.uint8)
    sent = []
    shown.send_state = lambda key=None: sent.append(set(key))
    panels = [
        board.network_panel("A", labels, labels, "note"),
        board.changed_panel("B", labels > 0),
        board.map_panel("C", np.full((2, 2), 0.5), 4, 2),
    ]
    shown.show({4: image}, {4: labels}, panels)
    assert sent == [{"pictures", "panels"}]
    assert shown.pictures[0]["truth"] == labels.tobytes() and len(shown.pictures[0]["image"]) == 48
    assert shown.panels[1]["mask"] == b"\1" * 16 and shown.panels[2]["values"] == b"\x80" * 4
    shown.show({4: image}, {}, panels[:1])
    assert "truth" not in shown.pictures[0]


def test_a_dropped_file_arrives_and_other_messages_do_not():
    shown, taken = board.Board(STREET), []
    shown.on_file(lambda name, content: taken.append((name, content)))
    message = {"content": {"data": {"method": "custom", "content": {"kind": "file", "name": "a"}}}}
    shown._handle_msg(message | {"buffers": [memoryview(b"xy")]})
    shown._handle_msg(message | {"buffers": []})
    shown._handle_msg(
        {"content": {"data": {"method": "custom", "content": {"kind": "other"}}}, "buffers": [b""]}
    )
    assert taken == [("a", b"xy")]


def test_what_runs_in_the_browser_loads_nothing():
    for file in (board.Board._esm, board.Board._css):
        assert not re.search(r"https?:|\bimport\b|@import|url\(|eval|innerHTML", str(file))


def test_the_table_shows_markup_as_it_is_written():
    classes = ClassMap(("<b>", "c"), ("#000000", '"><i>'))
    table = board.probability_table({"<i>": np.array([0.7, 0.3])}, classes, 0)
    assert "&lt;b&gt;" in table and "&lt;i&gt;" in table and '"><i>' not in table.replace('"></i>', "")
    assert "70 %" in table and "30 %" in table and "(ground truth)" in table


# ---- the controls -----------------------------------------------------------------------------------


def titles(shown: board.Board) -> list[str]:
    return [panel["title"] for panel in shown.panels]


def test_all_networks_are_shown_at_once_with_their_errors(networks, state):
    assert titles(networks.board) == ["U-Net", "Attention U-Net", "Class attention residual U-Net"]
    wrong = state.album.wrong([state.runs[0]])[state.scene.number]
    assert networks.board.panels[0]["note"] == f"{100 * wrong:.1f} % wrong"
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
    assert f">{100 * chances.max():.0f} %</td>" in shown
    truth = STREET.names[state.scene.labels[SIZE][0, -1]]
    assert re.search(rf"{truth}<br>\(ground truth\)", shown)
    before = shown
    networks.after.click()
    assert networks.table.value != before  # of the same point in the next image


def test_every_network_is_asked_once_about_a_picture(networks, state, monkeypatch):
    """What a click costs is the first one's; views of what is there cost nothing."""
    asked = []
    predict = ablation.predict
    monkeypatch.setattr(ablation, "predict", lambda run, image: (asked.append(run), predict(run, image))[1])
    networks.board.point = [0.2, 0.2]
    assert asked == list(networks.runs.values())
    networks.board.point = [0.7, 0.3]
    networks.board.view = board.VIEWS.index("confidence")
    networks.after.click()
    networks.before.click()  # pictures of a moment ago are kept
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
    networks.seed.value = 1  # has the first alone, which stays hidden
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
    networks.one.value, networks.other.value = "Attention U-Net", "U-Net"
    assert "differ" in networks.image.options[0][0]
    assert networks.of.layout.display == "none" and networks.one.layout.display is None
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
    assert networks.board.said == "text.png: no PNG or JPEG file; choose a picture" and state.scene is own
    networks.back.click()
    assert state.scene.number is not None and inside.board.pictures[0]["truth"]
    assert networks.back.layout.display == "none"


def test_switches_show_before_and_after_and_what_changed(inside, state):
    assert album_module.named(inside.run.value) == "Attention U-Net, seed 0"  # one with gates comes first
    assert titles(inside.board) == ["As trained", "Gate 1", "Gate 2", "Gate 3", "Gate 4"]
    assert inside.board.said == "Nothing is switched off."
    inside.switches["skip", 1].value = False
    assert titles(inside.board)[:3] == ["As trained", "Switched off", "What changed"]
    before, after, changed = inside.board.panels[:3]
    different = np.frombuffer(before["classes"], np.uint8) != np.frombuffer(after["classes"], np.uint8)
    assert different.any() and changed["mask"] == different.tobytes()
    assert changed["note"] == f"{100 * different.mean():.1f} %"
    told = re.fullmatch(
        r"Without skip 1: ([\d.]+ %) of the pixels get another class; before mIoU (\S+), (\S+ %) wrong, after"
        r" mIoU (\S+), (\S+ %) wrong\.",
        inside.board.said,
    )
    assert told and told[1] == changed["note"] and before["note"] == f"mIoU {told[2]}, {told[3]} wrong"
    truth = state.scene.labels[SIZE]
    guess = np.frombuffer(after["classes"], np.uint8).reshape(SIZE, SIZE)
    assert float(told[4]) == pytest.approx(image_miou(truth, guess, 13), abs=5e-4)
    inside.switches["gate", 2].value = False
    assert inside.board.said.startswith("Without skip 1, gate 2:")
    inside.all_on.click()
    assert inside.board.said == "Nothing is switched off."


def test_the_maps_are_those_of_the_gates_of_the_chosen_class(inside, state):
    inside.run.value = next(run for run in state.runs if run.variant == CLASSY)
    assert inside.kind.layout.display is None
    inside.kind.value = STREET.id("Car")
    found = ablation.predict(inside.run.value, state.scene.images[SIZE]).maps
    for level, panel in zip(gates.LEVELS, inside.board.panels[1:], strict=True):
        assert panel["title"] == f"Gate {level}, Car" and panel["cell"] == 2 ** (level - 1)
        values = (found[level][STREET.id("Car")] * 255).round().astype(np.uint8)
        assert panel["values"] == values.tobytes() and panel["width"] == SIZE >> (level - 1)
    inside.all_off.click()
    assert inside.board.said.startswith("Without skip 1, skip 2, skip 3, skip 4:")


def test_switches_are_those_that_the_network_has(inside, state):
    inside.run.value = next(run for run in state.runs if run.variant == PLAIN)
    shown = {key for key, control in inside.switches.items() if control.layout.display is None}
    assert shown == {("skip", level) for level in gates.LEVELS}
    assert titles(inside.board) == ["As trained"]
    assert inside.switches["skip", 3].description == "Skip 3 on (4 px)"
    assert part(SimpleNamespace(variant="FCN8s_vgg16_freeze"), "skip", 4) == "pool3"


def test_a_damaged_network_is_a_sentence_on_the_board(networks, state, monkeypatch, capsys):
    def damaged(run):
        raise SegnbError("model.safetensors is damaged")

    monkeypatch.setattr(ablation, "network", damaged)
    networks.board.point = [0.5, 0.5]
    assert networks.board.said == "model.safetensors is damaged" and networks.board.busy == ""
    monkeypatch.setattr(widget, "display", lambda box: None)
    state.inside()
    assert capsys.readouterr().out == "model.safetensors is damaged\n"


def test_handlers_run_one_after_the_other_in_the_thread_of_the_cells():
    ran = []

    async def cell():
        turn = board.OneThread()
        act = turn(lambda name: ran.append((name, threading.get_ident())))
        other = threading.Thread(target=act, args=("from another thread",))
        other.start()
        other.join()
        assert not ran
        act("from this one")
        await asyncio.sleep(0)

    asyncio.run(cell())
    assert ran == [(name, threading.get_ident()) for name in ("from this one", "from another thread")]


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


# ---- without a kernel -------------------------------------------------------------------------------


def test_pictures_stand_in_for_both_parts(state):
    fig = overview(state.album, state.first)
    wrong = state.album.wrong(state.runs[:1])[state.first.number]
    assert f"U-Net {100 * wrong:.1f} %" in fig.alt and state.first.name in fig.alt
    assert len(fig.axes) >= 5 and fig.png()
    taken = taken_apart(state.album, state.first, state.parted_first)
    assert "Attention U-Net, seed 0" in taken.alt and "Gate 4: mean" in taken.alt and taken.png()


def test_each_part_shows_its_picture_before_its_widget(state, monkeypatch):
    shown = []
    monkeypatch.setattr(widget, "show", lambda fig: shown.append(fig.alt))
    monkeypatch.setattr(widget, "display", lambda box: shown.append(box))
    state.networks()
    state.inside()
    assert [isinstance(one, str) for one in shown] == [True, False, True, False]
    style = str(board.Board._css)  # which hides the one where there is the other
    assert ".jp-OutputArea-child:has(+ .jp-OutputArea-child .segnb-board)" in style
    json.dumps(shown[0])
