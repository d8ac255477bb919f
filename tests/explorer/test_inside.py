"""One network with switches: effects of its controls on the data for the browser."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from segnb.evaluation import ablation, evaluate
from segnb.evaluation.scores import image_miou
from segnb.explorer.album import named
from segnb.explorer.inside import part
from segnb.labels import STREET

from .conftest import CLASSY, PLAIN, SIZE, titles


def test_switches_show_before_and_after_and_what_changed(inside, state):
    assert named(inside.run.value) == "Attention U-Net, seed 0"  # one with gates comes first
    assert titles(inside.board) == ["As trained", "Gate 1", "Gate 2", "Gate 3", "Gate 4"]
    assert inside.board.said == "Nothing is switched off."
    inside.switches["skip", 1].value = False
    assert titles(inside.board)[:3] == ["As trained", "Switched off", "Changed pixels"]
    before, after, changed = inside.board.panels[:3]
    different = np.frombuffer(before["classes"], np.uint8) != np.frombuffer(after["classes"], np.uint8)
    assert different.any() and changed["mask"] == different.tobytes()
    assert changed["note"] == f"{100 * different.mean():.1f}%"
    numbers = re.fullmatch(
        r"Without skip 1, the class changes for ([\d.]+%) of the pixels\. Before: mIoU (\S+), (\S+%) wrong\."
        r" After: mIoU (\S+), (\S+%) wrong\.",
        inside.board.said,
    )
    assert (
        numbers
        and numbers[1] == changed["note"]
        and before["note"] == f"mIoU {numbers[2]}, {numbers[3]} wrong"
    )
    truth = state.scene.labels[SIZE]
    guess = np.frombuffer(after["classes"], np.uint8).reshape(SIZE, SIZE)
    assert float(numbers[4]) == pytest.approx(image_miou(truth, guess, 13), abs=5e-4)
    gate = inside.switches["gate", 1]
    assert gate.disabled  # it has nothing to let through
    gate.value = False
    assert "gate" not in inside.board.said
    gate.value = True
    inside.switches["gate", 2].value = False
    assert inside.board.said.startswith("Without skip 1, gate 2, the class changes for")
    inside.all_on.click()
    assert inside.board.said == "Nothing is switched off." and not gate.disabled


def test_the_maps_are_those_of_the_gates_of_the_chosen_class(inside, state):
    inside.run.value = next(run for run in state.runs if run.variant == CLASSY)
    assert inside.kind.layout.display is None
    inside.kind.value = STREET.id("Car")
    maps = evaluate.predict(inside.run.value, state.scene.images[SIZE]).maps
    for level, panel in zip(ablation.LEVELS, inside.board.panels[1:], strict=True):
        assert panel["title"] == f"Gate {level}, Car" and panel["cell"] == 2 ** (level - 1)
        values = (maps[level][STREET.id("Car")] * 255).round().astype(np.uint8)
        assert panel["values"] == values.tobytes() and panel["width"] == SIZE >> (level - 1)
    inside.all_off.click()
    assert inside.board.said.startswith("Without skip 1, skip 2, skip 3, skip 4, the class")


def test_switches_are_those_that_the_network_has(inside, state):
    inside.run.value = next(run for run in state.runs if run.variant == PLAIN)
    shown = {key for key, control in inside.switches.items() if control.layout.display is None}
    assert shown == {("skip", level) for level in ablation.LEVELS}
    assert titles(inside.board) == ["As trained"]
    assert inside.switches["skip", 1].description == "Skip 1, full resolution"
    assert inside.switches["skip", 3].description == "Skip 3, 1/4 resolution"
    assert part(SimpleNamespace(variant="FCN8s_vgg16_freeze"), "skip", 4) == "pool3"
