import dataclasses
import io
import urllib.error
import urllib.request

import pytest
import torch

from segnb.errors import SegnbError
from segnb.files import sha256
from segnb.models import vgg16
from segnb.models.vgg16 import CHANNELS, STRIDES, TAPS, VGG16, Taps, Weights, load_trunk, resolve_weights

from .base import images


@pytest.fixture(scope="module")
def trunk():
    torch.manual_seed(0)
    return VGG16()


@pytest.fixture
def no_network(monkeypatch):
    """Any attempt to reach it is recorded, and fails as on a machine without one."""
    attempts = []

    def refuse(url, timeout):
        attempts.append(timeout)
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return attempts


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty torch cache; the place of the ImageNet file in it."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path / "checkpoints" / "vgg16-397923af.pth"


@pytest.fixture(scope="module")
def published(trunk):
    """Bytes of a file laid out like torchvision's, classifier included."""
    state = {f"features.{name}": value for name, value in trunk.features.state_dict().items()}
    stream = io.BytesIO()
    torch.save({**state, "classifier.0.weight": torch.zeros(2, 2)}, stream)
    return stream.getvalue()


@pytest.fixture
def digest(published, tmp_path, monkeypatch):
    """Makes `published` the file that is expected."""
    (tmp_path / "copy").write_bytes(published)
    monkeypatch.setattr(vgg16, "IMAGENET_SHA256", sha256(tmp_path / "copy"))
    return vgg16.IMAGENET_SHA256


# ---- the trunk -----------------------------------------------------------------------------------


def test_it_has_the_thirteen_convolutions_of_vgg16(trunk):
    assert sum(p.numel() for p in trunk.parameters()) == 14_714_688
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in trunk.features) == 13


@torch.no_grad()
def test_taps_keep_the_contract(trunk):
    taps = trunk(images(96, 64))
    assert Taps._fields == TAPS
    for tap, stride, channels in zip(taps, STRIDES, CHANNELS, strict=True):
        assert tap.shape == (2, channels, 96 // stride, 64 // stride)
    # The third, fourth and fifth pooling of torchvision's list of layers.
    for tap, last in zip(taps, (16, 23, 30), strict=True):
        assert torch.equal(tap, trunk.features[: last + 1](images(96, 64)))


@torch.no_grad()
def test_random_weights_keep_activations_alive(trunk):
    for tap in trunk(images()):
        assert 0.01 < tap.std() < 100


def test_frozen_it_asks_for_no_gradient_and_stays_in_eval():
    frozen = VGG16(frozen=True).train()
    assert not any(p.requires_grad for p in frozen.parameters())
    assert not any(module.training for module in frozen.modules())
    assert not any(tap.requires_grad for tap in frozen(images().requires_grad_()))


# ---- where weights come from ---------------------------------------------------------------------


def test_random_asks_for_nothing(no_network):
    assert resolve_weights("random") == Weights("random")
    assert not no_network


def test_an_unknown_name_lists_the_choices():
    with pytest.raises(SegnbError, match="'imagnet' is unknown: choose from auto, imagenet, random"):
        resolve_weights("imagnet")


def test_offline_auto_is_random_with_a_warning_and_touches_no_network(no_network, cache):
    weights = resolve_weights("auto", offline=True)
    assert (weights.source, weights.file, weights.sha256) == ("random", None, None)
    assert "random weights" in weights.warning
    assert cache.name in weights.warning
    assert "OFFLINE" in weights.warning  # the remedy
    assert not no_network


def test_auto_with_a_failing_download_is_random_with_a_warning(no_network, cache):
    weights = resolve_weights("auto")
    assert weights.source == "random"
    assert "no route to host" in weights.warning
    assert "check the network" in weights.warning
    assert no_network == [15]  # tried once, and not for ever
    assert not list(cache.parent.iterdir())


@pytest.mark.parametrize("offline, reason", [(True, "OFFLINE"), (False, "no route to host")])
def test_imagenet_that_cannot_be_had_is_an_error_of_one_line(no_network, offline, reason):
    with pytest.raises(SegnbError, match=reason) as caught:
        resolve_weights("imagenet", offline)
    assert "\n" not in str(caught.value)


def test_imagenet_is_fetched_once_and_then_found(monkeypatch, cache, published, digest):
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: io.BytesIO(published))
    weights = resolve_weights("imagenet")
    assert weights == Weights("imagenet", cache, digest)
    assert cache.read_bytes() == published
    assert list(cache.parent.iterdir()) == [cache]  # no part is left behind
    assert resolve_weights("auto", offline=True) == weights


def test_what_arrives_damaged_is_not_kept(monkeypatch, cache, published, digest):
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: io.BytesIO(published[:-1]))
    with pytest.raises(SegnbError, match="arrived damaged"):
        resolve_weights("imagenet")
    assert not list(cache.parent.iterdir())


def test_a_damaged_file_in_the_cache_is_named(cache):
    cache.parent.mkdir()
    cache.write_bytes(b"not what torchvision publishes")
    with pytest.raises(SegnbError, match=f"{cache} is damaged .* delete it"):
        resolve_weights("imagenet", offline=True)
    assert "is damaged" in resolve_weights("auto").warning


# ---- loading them --------------------------------------------------------------------------------


@pytest.fixture
def settled(cache, published, digest):
    cache.parent.mkdir()
    cache.write_bytes(published)
    return resolve_weights("imagenet", offline=True)


def test_a_trunk_is_filled_from_its_file(settled, trunk):
    torch.manual_seed(1)
    loaded = load_trunk(settled, frozen=True)
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, trunk.state_dict()[name]), name
    assert not any(p.requires_grad for p in loaded.parameters())


def test_what_follows_a_trunk_does_not_depend_on_its_source(settled):
    draws = []
    for weights in (None, Weights("random"), settled):
        torch.manual_seed(1)
        load_trunk(weights)
        draws.append(torch.rand(4))
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(draws[0], draws[2])


def test_random_trunks_follow_the_seed():
    first = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        first.append(load_trunk(Weights("random")).features[0].weight)
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])


def test_a_file_that_changed_since_it_was_settled_is_an_error(settled):
    data = bytearray(settled.file.read_bytes())
    data[len(data) // 2] ^= 1
    settled.file.write_bytes(data)
    with pytest.raises(SegnbError, match="has changed"):
        load_trunk(settled)


def test_a_file_that_is_gone_or_is_no_vgg16_is_an_error(settled, tmp_path):
    with pytest.raises(SegnbError, match="nowhere.pth is not a readable"):
        load_trunk(dataclasses.replace(settled, file=tmp_path / "nowhere.pth"))
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "garbage.pth").write_bytes(b"garbage")
    for name in ("other.pth", "garbage.pth"):
        file = tmp_path / name
        with pytest.raises(SegnbError, match=f"{name} is not a readable"):
            load_trunk(Weights("imagenet", file, sha256(file)))
