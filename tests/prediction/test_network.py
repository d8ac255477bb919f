"""A trained network as a function of an image."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import segnb
from segnb import prediction
from segnb.data import reading
from segnb.data.masks import STREET_CODING
from segnb.data.splits import Pair
from segnb.errors import SegnbError
from segnb.evaluation import evaluate
from segnb.labels import STREET
from segnb.prediction import resized
from tests.conftest import CHECKOUT
from tests.data.broken_files import encoded, refusal, turned

from .conftest import SIZE, photograph


def test_an_image_of_the_input_size_is_predicted_as_in_the_evaluation(run, network):
    pixels = np.array(photograph(SIZE, SIZE))
    expected = evaluate.predict(run, pixels)
    classes, confidence = network.segment(pixels)
    assert (classes == expected.classes).all() and (confidence == expected.confidence).all()
    assert len(np.unique(classes)) > 2


@pytest.mark.parametrize("size", [(200, 90), (90, 200), (40, 30), (200, 7), (1, 1)])
def test_an_image_of_any_size_is_squeezed_as_in_training_and_its_mask_has_its_own_size(
    network, tmp_path, monkeypatch, size
):
    seen, predict = [], evaluate.predict
    monkeypatch.setattr(evaluate, "predict", lambda run, image: predict(run, seen.append(image) or image))
    picture = photograph(*size)
    files = [tmp_path / name for name in ("image.png", "labels.png")]
    picture.save(files[0])
    Image.new("L", size).save(files[1])
    mask, probabilities = network(picture), network.probabilities(picture)
    trained_on, _ = reading.read(Pair("image", *files), SIZE, STREET_CODING)
    assert (seen[0] == trained_on).all()
    assert mask.shape == size[::-1] and mask.dtype == np.uint8
    assert probabilities.shape == (len(STREET), *size[::-1]) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    assert (probabilities.argmax(0) == mask).all()


@pytest.mark.parametrize("strip", [500, 10**6])
@pytest.mark.parametrize(("height", "width"), [(90, 70), (70, 200)])
def test_probabilities_are_interpolated_bilinearly_whatever_the_strips(monkeypatch, strip, height, width):
    monkeypatch.setattr(prediction, "STRIP", strip)
    small = torch.rand(3, SIZE, SIZE, generator=torch.manual_seed(0))
    whole = torch.full((3, height, width), torch.nan)
    for rows, part in resized(small, height, width):
        whole[:, rows] = part
        assert part[0].numel() <= strip
    expected = F.interpolate(small[None], (height, width), mode="bilinear")[0]
    torch.testing.assert_close(whole, expected, atol=1e-5, rtol=0)


def test_an_image_below_the_input_size_gets_means_of_probabilities():
    small = torch.rand(3, SIZE, SIZE, generator=torch.manual_seed(0))
    ((_, point),) = resized(small, 1, 1)
    torch.testing.assert_close(point[:, 0, 0], small.mean((1, 2)), atol=0.05, rtol=0)


def test_a_path_an_image_and_an_array_are_the_same(network, tmp_path):
    picture = photograph(90, 50)
    picture.save(tmp_path / "photo.png")
    inputs = [tmp_path / "photo.png", str(tmp_path / "photo.png"), picture, np.array(picture)]
    masks = [network(image) for image in inputs]
    assert all((mask == masks[0]).all() for mask in masks)
    grey, palette = picture.convert("L"), picture.quantize(9)
    assert (network(grey) == network(grey.convert("RGB"))).all()
    assert (network(palette) == network(palette.convert("RGB"))).all()


def test_an_image_is_turned_upright(network, tmp_path):
    (tmp_path / "turned.png").write_bytes(encoded(photograph(90, 50), exif=turned(6)))
    upright = photograph(90, 50).transpose(Image.Transpose.ROTATE_270)
    with Image.open(tmp_path / "turned.png") as opened:
        for mask in (network(tmp_path / "turned.png"), network(opened)):
            assert mask.shape == (90, 50) and (mask == network(upright)).all()


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (np.zeros((9, 9, 3)), "an array float64 (9, 9, 3)"),
        (np.zeros((9, 9), np.uint8), "an array uint8 (9, 9)"),
        (np.zeros((3, 9, 9), np.uint8), "an array uint8 (3, 9, 9)"),
        (np.zeros((0, 9, 3), np.uint8), "an array uint8 (0, 9, 3)"),
        (Image.new("I;16", (9, 9)), "unsupported pixel mode I;16"),
        (None, "of type NoneType"),
        ("none.png", "cannot be read"),
    ],
)
def test_what_is_no_image_is_refused(network, image, kind):
    assert kind in refusal(network, image)


# ---- segnb.load ---------------------------------------------------------------------------------------


def test_a_network_is_loaded_by_folder_or_name(run, monkeypatch):
    study = run.study.name
    monkeypatch.chdir(run.path.parent)
    names = [run.path, "seed0", f"{study}/{run.variant}/seed0", f"runs/{study}/{run.variant}/seed0"]
    for name in [*names, f"latest/{run.variant}/seed0", "latest"]:
        network = segnb.load(name)
        assert network.run.path == run.path and network.classes == STREET and network.size == SIZE


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "unknown run 'nothing' (expected the folder of a run, STUDY/VARIANT/seedN, or latest)"),
        ("segnb", "unknown run"),
        (".", "unknown run '.'"),
        ("a/b/c/d", "unknown run"),
        ("latest/UNet_Standard_256/seed7", "or choose one of UNet_Standard_256 with seed0."),
        ("latest/UNet/seed0", "not a finished run. Run 'make report' to train it, or choose one of"),
    ],
)
def test_an_unknown_run_is_refused(run, name, words):
    assert words in refusal(segnb.load, name)


def test_a_run_of_an_unknown_study_is_refused(run):
    with pytest.raises(SegnbError, match="unknown study 'other'"):
        segnb.load("other/UNet_Standard_256/seed0")


def test_an_unfinished_diverged_or_damaged_run_is_refused(run):
    begun, other = run.study.run(run.variant, 1), run.study.run(run.variant, 2)
    begun.path.mkdir()
    assert "not a finished run. Run 'make report'" in refusal(segnb.load, begun.path)
    begun.diverge(3, "the loss was not a number. Try learning rate 0.001.")
    assert "not a finished run. the loss was not a number" in refusal(segnb.load, begun.path)
    other.path.mkdir()
    other.model_path.write_bytes(b"")
    (other.path / "done.json").write_bytes((run.path / "done.json").read_bytes())
    assert f"{other.model_path}: missing or damaged file" in refusal(segnb.load, other.path)
    other.model_path.unlink()
    assert f"{other.model_path}: missing or damaged file" in refusal(segnb.load, other.path)
    for folder in (begun, other):
        for file in folder.path.iterdir():
            file.unlink()
        folder.path.rmdir()


def test_without_any_finished_run_there_is_no_latest(project):
    with pytest.raises(SegnbError, match="no finished run yet"):
        segnb.load("latest")


def test_a_network_leaves_the_settings_of_torch_as_they_were(run, tmp_path):
    photograph(90, 50).save(tmp_path / "photo.png")
    script = tmp_path / "script.py"
    script.write_text(
        """
import sys, torch, segnb
from segnb.evaluation import evaluate
kinds = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
settings = lambda: (
    torch.get_num_threads(),
    torch.are_deterministic_algorithms_enabled(),
    torch.utils.deterministic.fill_uninitialized_memory,
    [kind.fp32_precision for kind in kinds],
)
torch.set_num_threads(3)
before, inside, predict = settings(), [], evaluate.predict
evaluate.usable_cores = lambda: 2
evaluate.predict = lambda *args: inside.append(settings()) or predict(*args)
network = segnb.load(sys.argv[1])
assert settings() == before, settings()
network(sys.argv[2])
assert settings() == before, settings()
assert [now[:3] for now in inside] == [(2, True, False)] and before[1:3] == (False, True), (inside, before)
"""
    )
    command = [sys.executable, script, run.path, tmp_path / "photo.png"]
    env = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    process = subprocess.run(command, env=env, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


def test_importing_segnb_imports_nothing_heavy():
    code = "import sys, segnb; segnb.load; sys.exit(bool({'numpy', 'torch', 'PIL'} & {*sys.modules}))"
    env = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    assert subprocess.run([sys.executable, "-c", code], env=env).returncode == 0
