"""make bench: each benchmark measures something, and the page shows the last results."""

from dataclasses import asdict, replace

import pytest
from torch import nn

from benchmarks import training_speed
from benchmarks.__main__ import SPEED_MARKS, speed_table
from benchmarks.training_speed import SMP, UNET, alternately, frozen_epoch, plain, steps, whole_training
from segnb.presets import PRESETS
from segnb.runtime.machine import Machine
from segnb.storage.files import read_json
from tests.conftest import CHECKOUT

CPU = Machine("cpu", "any", threads=1, precision="fp32")
TINY = PRESETS["smoke"]


@pytest.fixture
def one_round(monkeypatch):
    """Time each alternative once after the warm-up."""
    monkeypatch.setattr(training_speed, "alternately", lambda work, rounds=1: alternately(work, 1))


def test_turns_are_taken_and_the_first_does_not_count():
    order, answers = [], {"a": iter([9.0, 1.0, 3.0, 2.0]), "b": iter([9.0, 5.0, 5.0, 7.0])}
    work = {name: lambda name=name: order.append(name) or next(answers[name]) for name in answers}
    assert alternately(work, rounds=3) == {"a": 2.0, "b": 5.0}
    assert order == ["a", "b"] * 4


def test_a_step_s_operations_are_three_forwards():
    side = training_speed.Timed(UNET, TINY.unet, CPU)
    counted, products = side.gflops(), []

    def count(layer, inputs, output):  # each weight once for each cell, of the input if that is the smaller
        cells = (output if isinstance(layer, nn.Conv2d) else inputs[0])[0, 0].numel()
        products.append(cells * layer.weight.numel())

    for layer in side.model.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(count)
    side.model(side.images[:1])
    assert counted == pytest.approx(3 * 2 * sum(products) / 1e9)  # two operations per multiply-add
    doubled = training_speed.Timed(UNET, replace(TINY.unet, size=128), CPU)
    assert doubled.gflops() == pytest.approx(4 * side.gflops(), rel=1e-6)


def test_steps_are_compared_with_smp(one_round):
    pytest.importorskip("segmentation_models_pytorch", reason="pip install -e '.[bench]' brings it")
    results = steps(TINY, CPU)
    assert set(results) == {"plain", "segnb", "smp", "wide"}
    assert results["plain"]["gflops"] == results["segnb"]["gflops"] != results["smp"]["gflops"]
    assert all(side["ms_an_image"] > 0 for side in results.values())


def test_a_frozen_epoch_is_timed_with_and_without_kept_features(one_round):
    results = frozen_epoch(TINY, CPU, images=8)
    assert set(results) == {"with", "without", "making"} and all(value > 0 for value in results.values())


def test_a_whole_training_its_epochs_and_its_bare_steps_are_timed(one_round):
    results = whole_training(TINY, CPU, epochs=2)
    assert set(results) == {"training", "its_steps", "train_epochs", "train_steps"}
    assert all(value > 0 for value in results.values())


def test_memory_is_that_of_a_process_of_its_own():
    larger = replace(TINY.unet, size=128)
    small, large = (training_speed.peak_memory(UNET, recipe, CPU) for recipe in (TINY.unet, larger))
    assert 2**20 < small < large


def test_the_plain_side_makes_no_choice():
    chosen = plain(replace(CPU, precision="bf16", compile=True))
    assert (chosen.precision, chosen.channels_last, chosen.fused, chosen.compile) == (
        "fp32",
        False,
        False,
        False,
    )


@pytest.fixture
def results():
    return {
        "preset": "quick",
        "machine": asdict(CPU),
        "cores": 2,
        "torch": "2",
        "date": "2000-01-01",
        "steps": {
            "plain": {"ms_an_image": 30.0, "gflops": 3.0},
            "segnb": {"ms_an_image": 20.0, "gflops": 3.0},
            "smp": {"ms_an_image": 40.0, "gflops": 12.0},
            "wide": {"ms_an_image": 100.0, "gflops": 48.0},
        },
        "frozen_epoch": {"without": 0.2, "with": 0.02, "making": 0.3},
        "frozen_epoch_fp32": {"without": 0.2, "with": 0.02, "making": 0.3},
        "whole_training": {"training": 10.4, "its_steps": 10.0, "train_epochs": 9.0, "train_steps": 8.0},
        "memory": {"U-Net, plain loop": 2**30, SMP: 2**31},
    }


def test_the_table_says_what_is_reached_and_what_is_missed(results):
    rows = {
        line.split("|")[1].strip(): line
        for line in speed_table(results).splitlines()
        if line.startswith("| ")
    }
    assert "| 1.50 | ≥ 2 (missed) |" in rows["U-Net step: plain fp32 loop / segnb"]
    rate = "operations per second: U-Net of {} / smp.Unet(vgg16), same loop"
    assert "150 / 300 GFLOP/s (20.0 and 40.0 ms per image)" in rows[rate.format("the preset's width")]
    assert "480 / 300 GFLOP/s" in rows[rate.format("width 64")]
    assert "| 10.00 | ≥ 10 (reached) |" in rows["frozen FCN-8s epoch, fp32: without / with cached features"]
    assert "| 1.04 | ≤ 1.05 (reached) |" in rows["whole U-Net training / its steps alone"]
    assert "(missed)" in rows["its training epochs / forward, backward and optimiser steps alone"]
    assert "| 2.00 |" in rows[f"peak memory of training: {SMP} / U-Net, plain loop"]


def test_the_page_shows_the_last_measurement():
    page = (CHECKOUT / "docs" / "performance.md").read_text()
    shown = page.partition(SPEED_MARKS[0])[2].partition(SPEED_MARKS[1])[0].strip()
    assert shown == speed_table(read_json(CHECKOUT / "results" / "bench.json"))
