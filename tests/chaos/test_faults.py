"""Whatever happens to a step at whatever write: nothing looks finished that is not, and the second try ends
with the same numbers bit for bit.

    make chaos                                       # all of them
    pytest -m "" tests/chaos -k "epoch2-torn"

Three are in every run of the test suite. A fault is told by where it strikes, what it is, and a seed that
draws the action: "train-unet-epoch2-torn-0".
"""

import random
import re

import pytest

from tests.chaos.compare import differences, half_done
from tests.chaos.shim import KINDS, Fault
from tests.chaos.stages import EPOCHS, STAGES

PHASES = {"train-unet": 2, "train-fcn": 1}  # seeds of each kind in each part of a training
SEEDS = {
    "create": 3,
    "read": 4,
    "render": 2,
    "shift": 2,
    "features": 3,
    "measure-unet": 3,
    "measure-fcn": 3,
    "cost": 1,
    "claims": 1,
    "notebook": 1,
    "export": 2,
}
PARTS = ["begin", *(f"epoch{number}" for number in range(1, EPOCHS + 1))]
EVERY = [
    *((step, "", kind, seed) for step, seeds in SEEDS.items() for kind in KINDS for seed in range(seeds)),
    *(
        (step, part, kind, seed)
        for step, seeds in PHASES.items()
        for part in PARTS
        for kind in KINDS
        for seed in range(seeds)
    ),
]
assert {step for step, *_ in EVERY} == set(STAGES)
# Those that `make test` tries: a training that resumes, a disk that fills up, a step that never returns.
ALWAYS = {
    ("train-unet", "epoch2", "power_loss", 0),
    ("features", "", "disk_full", 0),
    ("measure-unet", "", "die_after", 0),
}
assert ALWAYS < set(EVERY)


def case(*one):
    name = "-".join(str(part) for part in one if part != "")
    return pytest.param(*one, id=name, marks=[] if one in ALWAYS else pytest.mark.chaos)


@pytest.mark.parametrize(("step", "part", "kind", "seed"), [case(*one) for one in EVERY])
def test_a_fault_costs_the_epoch_in_progress_and_nothing_else(stage, step, part, kind, seed, record_property):
    record_property("fault", (step, kind))
    phase = part.replace("begin", "")
    numbers = [
        number
        for number, (when, action, _) in enumerate(stage.actions(step))
        if when == phase and action in KINDS[kind]
    ]
    number = random.Random(f"{step} {part} {kind} {seed}").choice(numbers)
    print("strikes at", number, stage.actions(step)[number])
    with stage.copy(step) as project:
        first = stage.perform(step, project, Fault(kind, number, seed))
        print("ended with", first.code, {**first.told, "actions": len(first.told["actions"])})
        if kind == "disk_full":
            assert first.told["error"] == "SegnbError" and one_line(first.told["text"])
        elif kind == "io_error":
            assert first.code in (0, 1)
        else:
            assert first.told["struck"] == kind and first.code < 0
        assert half_done(project, stage.before(step), stage.after(step)) == []
        looked = stage.perform("look", project)
        assert looked.code == 0, looked

        second = stage.perform(step, project)
        assert second.code == 0, second
        assert differences(project, stage.after(step)) == []
        if step.startswith("train"):
            begun = first.told.get("epochs", 0)
            assert second.told.get("epochs", 0) <= EPOCHS - max(begun - 1, 0)


def one_line(text: str) -> bool:
    return bool(re.fullmatch(r"[^\n]+", text))
