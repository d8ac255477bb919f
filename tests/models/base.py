"""One tester for every network: a subclass names a variant and its size, and inherits the promises."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from segnb.models.build import build

CLASSES = 13


def make(name, width, seed=0, classes=CLASSES):
    torch.manual_seed(seed)
    return build(name, classes=classes, width=width)


def images(height=64, width=64, count=2, seed=1):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


def backward(model, seed=2):
    """One training pass and its gradients."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (2, 64, 64), generator=generator)
    F.cross_entropy(model.train()(images()), labels).backward()


class ModelTester:
    name: str
    parameters: int  # of the published size: thirteen classes, width 64
    width: int  # of the small network that the other tests use
    padding: tuple[int, int, int, int]  # left, right, top, bottom of an image of 67 × 93

    @pytest.fixture
    def model(self):
        return make(self.name, self.width)

    def test_parameter_count_is_the_published_one(self):
        with torch.device("meta"):  # shapes without memory
            model = build(self.name)
        assert sum(p.numel() for p in model.parameters()) == self.parameters

    def test_logits_have_the_size_of_the_images_and_the_classes_asked_for(self):
        model = make(self.name, self.width, classes=5).eval()
        for size in [(64, 64), (32, 32), (67, 93), (33, 47)]:
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

    def test_saved_and_loaded_it_gives_the_same_logits(self, model, tmp_path):
        model.train()(images())  # so that the running statistics are not those of a new network
        save_file(model.state_dict(), tmp_path / "model.safetensors")
        other = make(self.name, self.width, seed=9).eval()
        with torch.no_grad():
            expected = model.eval()(images())
            assert not torch.equal(other(images()), expected)
            other.load_state_dict(load_file(tmp_path / "model.safetensors"))
            assert torch.equal(other(images()), expected)

    def test_a_seed_settles_weights_and_logits(self, model):
        with torch.no_grad():
            logits = [
                m.eval()(images())
                for m in (model, make(self.name, self.width), make(self.name, self.width, seed=9))
            ]
        assert torch.equal(logits[0], logits[1])
        assert not torch.equal(logits[0], logits[2])

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
