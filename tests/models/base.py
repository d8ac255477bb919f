"""Tests that every network has to pass. A subclass names the networks and inherits the tests."""

from copy import deepcopy
from functools import lru_cache

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from segnb.models.build import build
from segnb.models.registry import VARIANTS

CLASSES = 13


def names(**wanted):
    """Return the names of the variants with these properties, such as family="fcn"."""
    return [name for name, v in VARIANTS.items() if all(getattr(v, key) == wanted[key] for key in wanted)]


@lru_cache(maxsize=8)  # initialising VGG16 and computing its scales takes half a second
def _made(name, width, seed, classes):
    torch.manual_seed(seed)
    return build(name, classes=classes, width=width)


def make(name, width, seed=0, classes=CLASSES):
    """Return a network initialised with that seed; the caller may change it."""
    torch.manual_seed(seed)
    return deepcopy(_made(name, width, seed, classes))


def images(height=64, width=64, count=2, seed=1):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


def backward(model, seed=2):
    """Make one forward and backward pass in training mode."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (2, 64, 64), generator=generator)
    F.cross_entropy(model.train()(images()), labels).backward()


class ModelTester:
    """Tests of one network; a subclass has a fixture `name` with its networks."""

    width: int  # of the small networks that the tests use
    padding: tuple[int, int, int, int]  # left, right, top, bottom of an image of 67 × 93

    @pytest.fixture
    def model(self, name):
        return make(name, self.width)

    def test_logits_have_the_size_of_the_images_and_the_classes_asked_for(self, name):
        model = make(name, self.width, classes=5).eval()
        for size in [(32, 32), (67, 93), (33, 47)]:
            with torch.no_grad():
                logits = model(images(*size, count=1))
            assert logits.shape == (1, 5, *size)
            assert logits.isfinite().all()

    def test_an_odd_size_is_padded_below_and_to_the_right(self, model):
        odd = images(67, 93, count=1)
        with torch.no_grad():
            expected = model.eval()(F.pad(odd, self.padding))[..., :67, :93]
            assert torch.equal(model(odd), expected)

    def test_every_trained_parameter_gets_a_gradient_and_no_other(self, model):
        backward(model)
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad.isfinite().all(), name
                assert parameter.grad.any(), name
            else:
                assert parameter.grad is None, name

    def test_saved_and_loaded_it_gives_the_same_logits(self, name, model, tmp_path):
        model.train()(images())  # so that the running statistics are not those of a new network
        save_file(model.state_dict(), tmp_path / "model.safetensors")
        other = make(name, self.width, seed=9).eval()
        with torch.no_grad():
            expected = model.eval()(images())
            assert not torch.equal(other(images()), expected)
            other.load_state_dict(load_file(tmp_path / "model.safetensors"))
            assert torch.equal(other(images()), expected)

    def test_a_seed_settles_the_weights(self, name, model):
        torch.manual_seed(0)
        again = build(name, CLASSES, self.width).state_dict()
        other = make(name, self.width, seed=9).state_dict()
        assert all(torch.equal(value, again[key]) for key, value in model.state_dict().items())
        assert not all(torch.equal(value, other[key]) for key, value in model.state_dict().items())

    def test_eval_repeats_itself_and_differs_from_training(self, model):
        with torch.no_grad():
            trained = model.train()(images())
            first, second = model.eval()(images()), model(images())
        assert torch.equal(first, second)
        assert not torch.allclose(first, trained)

    def test_memory_format_does_not_change_the_logits(self, model):
        model.eval()
        with torch.no_grad():
            expected = model(images())
            model.to(memory_format=torch.channels_last)
            logits = model(images().to(memory_format=torch.channels_last))
        torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-5)
