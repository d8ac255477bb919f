"""Skips and gates switched off: what a network then sees, and what stays as it is."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from segnb.evaluation import ablation, gates
from segnb.models.build import build
from segnb.runtime.machine import Machine

PLAIN, GATED = "UNet_Standard_256", "AttentionUNet_256"
SIZE, WIDTH = 64, 4


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


def test_a_study_from_a_gpu_is_explored_on_the_cpu(monkeypatch):
    there = Machine("cuda", "a GPU", 1, "fp16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    here = ablation.here(SimpleNamespace(machine=there))
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
    assert torch.equal(off[3], before[3]) and not torch.equal(off[1], before[1])  # only what comes after
    assert all(torch.equal(one, before[level]) for level, one in blocks_see(model, images).items())


def test_a_gate_that_is_off_is_its_mean_and_the_others_work(monkeypatch):
    run = SimpleNamespace(study=SimpleNamespace(machine=Machine("cpu", "any", 1, "fp32")))
    torch.manual_seed(0)
    model = build(GATED, 13, WIDTH).eval()
    monkeypatch.setattr(ablation, "network", lambda run: model)
    monkeypatch.setattr(ablation, "usable_cores", lambda: 1)  # as in all tests, which share a process
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
