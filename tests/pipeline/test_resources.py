"""What jobs are said to need, held against what was measured."""

import json
from types import SimpleNamespace

import pytest
import torch

from segnb.models.build import build
from segnb.models.registry import VARIANTS
from segnb.pipeline import resources
from segnb.pipeline.resources import budget, costing, preparing, step_mib, training
from segnb.presets import PRESETS, preset
from segnb.runtime.machine import Machine
from tests.conftest import CHECKOUT

# MiB by which two training steps in fp32 made a process grow; two cores of an AMD EPYC, torch 2.14.1.
MEASURED = {
    ("smoke", "ClassAttentionResidualUNet_256"): 82,
    ("smoke", "FCN8s_vgg16_finetune"): 680,
    ("quick", "ClassAttentionResidualUNet_256"): 315,
    ("quick", "FCN8s_vgg16_finetune"): 935,
    ("standard", "ClassAttentionResidualUNet_256"): 3821,
    ("standard", "FCN32s_vgg16_finetune"): 2575,
}
# The same on an NVIDIA H100 80GB, torch 2.11.0, with batches of preset paper: MiB that CUDA's allocator had
# taken at the peak of sixteen steps, and milliseconds an image of the last twelve.
ON_GPU = {
    ("bf16", "UNet_Standard_256"): (2246, 1.44),
    ("bf16", "AttentionResidualUNet_StridedGate_256"): (3166, 2.58),
    ("bf16", "FCN32s_vgg16_finetune"): (2996, 0.95),
    ("fp32", "AttentionResidualUNet_256"): (7196, 12.82),
    ("fp32", "FCN8s_vgg16_finetune"): (4208, 4.81),
    ("tf32", "ClassAttentionResidualUNet_256"): (5072, 3.49),
    ("fp16", "ClassAttentionResidualUNet_256"): (3060, 2.85),
}
CPU = Machine("cpu", "a CPU", 1, "fp32")
CUDA = Machine("cuda", "a GPU", 1, "bf16")


def study(name="quick", machine=CPU, **counts):
    """What the estimates read of a study."""
    chosen = preset(name)
    seen = {"train": chosen.train, "val": chosen.val, "test": chosen.test} | counts
    return SimpleNamespace(recipe=chosen.recipe, machine=machine, settings={"data": {"counts": seen}})


@pytest.mark.parametrize(("name", "variant"), MEASURED)
def test_a_step_takes_what_is_said_and_not_much_less(name, variant):
    family = VARIANTS[variant].family
    said = step_mib(preset(name).recipe(family), family, half=False)
    assert MEASURED[name, variant] <= said <= 2 * MEASURED[name, variant] + resources.STEP


@pytest.mark.parametrize(("precision", "variant"), ON_GPU)
def test_time_on_a_gpu_is_on_the_safe_side_and_memory_is_about_what_was_measured(precision, variant):
    mib, milliseconds = ON_GPU[precision, variant]
    family = VARIANTS[variant].family
    recipe = preset("paper").recipe(family)
    said = resources.CUDA + step_mib(recipe, family, half=precision in ("bf16", "fp16"))
    assert mib < said < 3 * mib + resources.CUDA
    said = 1000 * resources._step(recipe, variant) / resources.GPU_PACE
    assert 10 * milliseconds < said  # on the safe side, for a GPU that is much slower


@pytest.mark.parametrize("machine", [CPU, CUDA], ids=["cpu", "cuda"])
@pytest.mark.parametrize("variant", ["ClassAttentionResidualUNet_256", "FCN32s_vgg16_finetune"])
def test_a_run_has_memory_for_a_checkpoint(machine, variant):
    asked, family = study("paper", machine), VARIANTS[variant].family
    recipe = asked.recipe(family)
    with torch.device("meta"):
        network = build(variant, 13, recipe.width)
    checkpoint = 3 * 4 * sum(parameter.numel() for parameter in network.parameters()) / 2**20
    rest = resources.CUDA if machine == CUDA else step_mib(recipe, family, half=False)
    room = training(asked, variant)["mem_mb"] - resources.PROCESSES - rest
    assert checkpoint <= room < 1.3 * checkpoint


def test_what_make_bench_measured_is_within_what_is_said():
    found = json.loads((CHECKOUT / "results" / "bench.json").read_text())
    recipes, half = preset(found["preset"]), found["machine"]["precision"] in ("bf16", "fp16")
    for what, family in (("U-Net, segnb", "unet"), ("FCN-8s fine-tuned", "fcn")):
        assert found["memory"][what] / 2**20 <= step_mib(recipes.recipe(family), family, half)


@pytest.mark.parametrize("name", PRESETS)
def test_every_job_of_every_preset_gets_memory_and_a_time_that_clusters_allow(name):
    for machine in (CPU, CUDA):
        asked = study(name, machine)
        needs = [need(asked, variant) for need in (training, resources.testing) for variant in VARIANTS]
        needs += [costing(asked, list(VARIANTS)), preparing(asked, 4), resources.SMALL]
        assert all(resources.PROCESSES < need["mem_mb"] < 64 * 1024 for need in needs)
        assert all(0 < need["runtime"] <= resources.LONGEST for need in needs)


def test_more_images_take_longer_but_no_more_memory():
    few, many = (training(study(train=n), "UNet_Standard_256") for n in (100, 10_000))
    assert many["runtime"] > few["runtime"] and many["mem_mb"] == few["mem_mb"]


def test_runs_fill_the_cores_as_far_as_memory_goes(monkeypatch):
    asked, variants = study(), ["UNet_Standard_256", "FCN8s_vgg16_finetune"]
    one = training(asked, variants[0])["mem_mb"]
    monkeypatch.setattr(resources, "usable_cores", lambda: 8)
    for available, jobs in ((100 * one, 8), (3 * one, 3), (one // 2, 1)):
        monkeypatch.setattr(resources, "available_mib", lambda there=available: there)
        assert budget(asked, variants).jobs == jobs
        assert budget(asked, variants, jobs=2).jobs == min(2, jobs)
    assert budget(asked, variants).arguments(threads=2) == [
        "--cores",
        "2",
        "--resources",
        f"mem_mb={one // 2}",
        "aside=1",
    ]


@pytest.mark.parametrize(("jobs", "expected"), [(None, (2, "gpu=2")), (1, (1, "gpu=1")), (5, (5, "gpu=5"))])
def test_a_gpu_has_one_run_unless_more_are_asked_for(monkeypatch, jobs, expected):
    monkeypatch.setattr(resources, "usable_cores", lambda: 64)
    monkeypatch.setattr(resources, "available_mib", lambda: 10**6)
    monkeypatch.setattr(resources, "available", lambda: ["0", "1"])
    found = budget(study("quick", CUDA), ["UNet_Standard_256"], jobs)
    assert (found.jobs, found.arguments(1)[-1]) == expected
    assert found.arguments(4)[:2] == ["--cores", str(4 * (found.jobs + 1))]  # for a step without a GPU


@pytest.mark.parametrize(
    ("device", "threads", "parallel"), [("cpu", 1, True), ("cpu", 2, False), ("cuda", 1, False)]
)
def test_networks_are_timed_in_parallel_with_other_steps_on_one_thread_of_a_cpu(device, threads, parallel):
    assert resources.timed_in_parallel(Machine(device, "any", threads, "fp32")) == parallel


def test_a_gpu_that_nobody_lists_has_one_run(monkeypatch):
    monkeypatch.setattr(resources, "available", list)
    assert budget(study("quick", CUDA), ["UNet_Standard_256"]).jobs == 1


@pytest.mark.parametrize(
    ("file", "told", "mib"),
    [
        ("memory.max", ["max", str(2**30)], 1024),  # version 2: of this group, of the one around it
        ("memory.max", ["max"], 5120),
        ("memory.limit_in_bytes", [str(2**30), "9223372036854771712"], 1024),  # version 1
        ("memory.limit_in_bytes", ["9223372036854771712"], 5120),
        ("", [], 5120),
    ],
)
def test_a_container_s_limit_counts_as_memory(monkeypatch, file, told, mib):
    monkeypatch.setattr(resources.psutil, "virtual_memory", lambda: SimpleNamespace(available=5 * 2**30))
    monkeypatch.setattr(resources, "control_group", lambda _, name: told if name == file else [])
    assert resources.available_mib() == mib
