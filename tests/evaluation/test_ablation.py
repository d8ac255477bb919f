"""Ablations of skips and gates: the replaced values, and that nothing else changes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from segnb.data.batches import Split
from segnb.evaluation import ablation, evaluate
from segnb.models.build import build
from segnb.models.registry import UNetConfig
from segnb.models.unet import UNet
from segnb.runtime.machine import Machine
from segnb.training import loop

PLAIN, GATED = "UNet_Standard_256", "AttentionUNet_256"
SIZE, WIDTH = 64, 4


def blocks_see(model, images) -> dict[int, torch.Tensor]:
    """Record the input of the block at each level of the decoder."""
    seen = {}
    handles = [
        getattr(model, f"up{level}").block.register_forward_pre_hook(
            lambda block, inputs, level=level: seen.update({level: inputs[0].clone()})
        )
        for level in ablation.LEVELS
    ]
    with torch.inference_mode():
        model(images)
    for handle in handles:
        handle.remove()
    return seen


def test_a_study_from_a_gpu_is_explored_on_the_cpu(monkeypatch):
    there = Machine("cuda", "a GPU", 1, "fp16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    here = evaluate.here(SimpleNamespace(machine=there))
    assert (here.device, here.precision) == ("cpu", "fp32")


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
    assert torch.equal(off[3], before[3]) and not torch.equal(off[1], before[1])  # only later layers change
    assert all(torch.equal(one, before[level]) for level, one in blocks_see(model, images).items())


def test_a_gate_that_is_off_is_its_mean_and_the_others_work(monkeypatch):
    study = SimpleNamespace(machine=Machine("cpu", "any", 1, "fp32"))
    run = SimpleNamespace(study=study, variant=GATED)
    torch.manual_seed(0)
    model = build(GATED, 13, WIDTH).eval()
    monkeypatch.setattr(evaluate, "network", lambda run: model)
    monkeypatch.setattr(evaluate, "usable_cores", lambda: 1)  # as in all tests, which share a process
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    whole, off = evaluate.predict(run, image), evaluate.predict(run, image, gated=(4,))
    assert off.maps[4] == pytest.approx(whole.maps[4].mean(), abs=1e-6)
    assert np.ptp(off.maps[3]) > 0 and whole.maps[1].shape == (1, SIZE, SIZE)
    again = evaluate.predict(run, image)
    assert torch.equal(again.probabilities, whole.probabilities)
    assert not torch.equal(off.probabilities, whole.probabilities)
    assert whole.probabilities.sum(0) == pytest.approx(1, abs=1e-5)
    assert (whole.confidence == (whole.probabilities.amax(0) * 255).round().numpy()).all()


def test_of_an_fcn_the_fused_scores_are_switched_off(narrow):
    assert ablation.skip_levels("FCN8s_vgg16_freeze") == (4, 5)
    assert ablation.skip_levels("FCN16s_vgg16_freeze") == (5,)
    assert ablation.skip_levels("FCN32s_vgg16_freeze") == ablation.skip_levels("UNet_NoSkip_256") == ()
    assert ablation.gate_levels(GATED) == ablation.LEVELS
    assert not ablation.gate_levels(PLAIN) and not ablation.gate_levels("FCN16s_vgg16_freeze")
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
    lost = scores[0] - scores[1]  # the varying part of pool4's score
    assert lost.abs().max() > 0 and lost.mean((2, 3)) == pytest.approx(0, abs=1e-3 * float(lost.abs().max()))


@pytest.fixture
def split() -> Split:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    return Split(images, draw.integers(0, 3, (4, SIZE, SIZE), dtype=np.uint8), list("abcd"))


@pytest.mark.parametrize("gate", ["additive", "strided"])
@pytest.mark.parametrize("kind", ["mean", "shuffled"])
def test_gates_get_another_signal_and_their_own_skip(gate, kind):
    size = 20  # padded to 32
    torch.manual_seed(0)
    model = UNet(UNetConfig(gate=gate, classes=3, width=WIDTH)).eval()
    images, signals, skips = torch.randn(3, 3, size, size), [], []
    gated = model.up4.gate  # the first, so that no other gate has changed what it gets
    for part, seen in ((gated.from_signal, signals), (gated.from_skip, skips)):
        part.register_forward_pre_hook(lambda layer, inputs, seen=seen: seen.append(inputs[0].clone()))
    with torch.inference_mode():
        before = model(images)
        with ablation.signalled(model, size, kind):
            model(images)
        after = model(images)
    own, other, _ = signals
    side = 2 if gate == "strided" else 3  # cells of the image without the padding
    mean = own[..., :side, :side].mean((2, 3), keepdim=True).expand_as(own)
    torch.testing.assert_close(other, mean if kind == "mean" else own[[2, 0, 1]])
    assert torch.equal(skips[0], skips[1])
    assert torch.equal(before, after)  # the hooks are removed


@pytest.mark.parametrize(
    ("variant", "parts"),
    [
        ("UNet_NoSkip_256", []),
        (PLAIN, ["skips"]),
        (GATED, ["skips", "signal:shuffled", "signal:mean"]),
    ],
)
def test_a_network_is_tested_without_each_of_its_parts(variant, parts, split):
    torch.manual_seed(0)
    model = build(variant, 3, WIDTH).eval()
    with torch.no_grad():  # or one class would win everywhere
        model.score.bias -= model(torch.randn(2, 3, SIZE, SIZE)).mean((0, 2, 3))
    for level in ablation.gate_levels(variant):  # an untrained gate is almost flat
        gate = getattr(model, f"up{level}").gate
        gate.from_signal.weight.data.mul_(20)
        gate.psi.weight.data.mul_(20)
    cpu = Machine("cpu", "any", 1, "fp32")
    found = ablation.confusions(variant, model, split, 2, cpu)
    assert list(found.get("names", [])) == parts
    whole = loop.evaluate(model, split, 2, cpu).confusion.numpy()
    for confusion in found.get("confusion", []):
        assert confusion.sum() == whole.sum() and (confusion != whole).any()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_an_fcn_without_a_score_is_the_same_while_it_predicts_and_alone(stride, precision, split):
    torch.manual_seed(0)
    variant = f"FCN{stride}s_vgg16_freeze"
    model, levels = build(variant, 3, 1).eval(), ablation.skip_levels(variant)
    for level in levels:  # the score starts at zero
        torch.nn.init.normal_(getattr(model, f"score_{ablation.FUSED[level]}").weight)
    with torch.no_grad():  # or one class would win everywhere
        model.head[-1].bias -= model(torch.randn(2, 3, SIZE, SIZE)).mean((0, 2, 3))
    cpu = Machine("cpu", "any", 1, precision)
    unfused = ablation.Unfused(levels, model, split, cpu)
    with model.trunk.register_forward_hook(unfused.see):
        whole = loop.evaluate(model, split, 3, cpu).confusion.numpy()  # a batch of 3 images and one of 1
    found = unfused.statistics()
    assert list(found.get("names", [])) == [ablation.FUSED[level] for level in levels]
    for level, confusion in zip(levels, found.get("confusion", []), strict=True):
        with ablation.without(model, SIZE, [level]):
            alone = loop.evaluate(model, split, 3, cpu).confusion.numpy()
        np.testing.assert_array_equal(confusion, alone)
        assert (confusion != whole).any()
