"""The VGG16 backbone: its outputs, loading weights, and the scale of its activations."""

from copy import deepcopy

import pytest
import torch
from safetensors.torch import save_file

from segnb.data import streets
from segnb.data.batches import normalise
from segnb.errors import SegnbError
from segnb.models.fcn import CHANNELS, FCN, STRIDES, TAPS, VGG16, Taps, load_trunk, tap_scales
from segnb.models.pretrained import Weights, resolve_weights
from segnb.models.registry import FCNConfig

from .base import images


@pytest.fixture(scope="module")
def trunk():
    torch.manual_seed(0)
    return VGG16()


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


@torch.no_grad()
def test_an_input_step_comes_before_the_first_convolution_and_its_padding(trunk):
    shifted = deepcopy(trunk)
    shifted.input_scale.fill_(2.0)
    shifted.input_shift.fill_(-1.0)
    for found, wanted in zip(shifted(images()), trunk(2 * images() - 1), strict=True):
        assert torch.equal(found, wanted)


# ---- loading weights -----------------------------------------------------------------------------


@pytest.fixture
def settled(trunk, tmp_path):
    """Weights from a file with torchvision's names, classifier included."""
    state = {f"features.{name}": value for name, value in trunk.features.state_dict().items()}
    save_file({**state, "classifier.0.weight": torch.zeros(2, 2)}, tmp_path / "vgg.safetensors")
    return resolve_weights(str(tmp_path / "vgg.safetensors"))


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


@pytest.mark.parametrize("change", ["smaller", "missing"])
def test_a_file_of_another_network_is_refused_by_name(trunk, tmp_path, change):
    state = {f"features.{name}": value for name, value in trunk.features.state_dict().items()}
    if change == "smaller":
        state["features.0.weight"] = torch.zeros(1)
    else:
        del state["features.28.bias"]
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(SegnbError, match="other.safetensors: not a readable VGG16 file"):
        load_trunk(resolve_weights(str(tmp_path / "other.safetensors")))


# ---- scale of activations ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def street():
    scenes, _ = streets.render("train", 2, 64, processes=1)
    return normalise(torch.from_numpy(scenes))


@torch.no_grad()
@pytest.mark.parametrize("louder", [1, 64])
def test_scaled_taps_of_a_street_have_a_size_of_about_one(trunk, street, louder):
    scaled = deepcopy(trunk)
    scaled.features[0].weight *= louder
    scales = tap_scales(scaled)
    assert torch.equal(scales.log2(), scales.log2().round())  # exact in any precision
    for tap, scale in zip(scaled(street), scales, strict=True):
        assert 0.3 < (scale * tap).square().mean().sqrt() < 3


def test_scales_follow_the_weights_and_nothing_else(trunk):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = tap_scales(trunk)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(1)
    assert torch.equal(first, tap_scales(trunk))


@torch.no_grad()
def test_fc6_becomes_the_7_by_7_convolution(trunk, tmp_path):
    """On 7×7 cells, the head's first layer equals VGG's fully connected layer in the middle cell."""
    torch.manual_seed(0)
    fc6 = torch.nn.Linear(512 * 7 * 7, 64)  # 4096 in a real file; the head here has the width of this file
    state = {f"features.{name}": value for name, value in trunk.features.state_dict().items()}
    classifier = {"classifier.0.weight": fc6.weight.data, "classifier.0.bias": fc6.bias.data}
    file = tmp_path / "vgg.safetensors"
    save_file(state | classifier, file)
    found = resolve_weights(str(file))
    weights = Weights("imagenet+fc6", found.file, found.sha256)
    model = FCN(FCNConfig(stride=32, width=1), weights)
    pool5 = model.features(images(224, 224, count=1)).pool5
    hidden = model.head[0](model.tap_scale[-1] * pool5)
    torch.testing.assert_close(hidden[:, :, 3, 3], fc6(pool5.flatten(1)), rtol=1e-3, atol=1e-4)
    with pytest.raises(SegnbError, match="a head of 64 channels only, not of 128"):
        FCN(FCNConfig(stride=32, width=2), weights)
