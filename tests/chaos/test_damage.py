"""Files that were whole once and are not any more: a flipped byte, an end cut off, a file gone.

What can be made again is, or the older generation serves; what cannot is refused in one line.
"""

import random
from pathlib import Path

import pytest

from tests.chaos.compare import differences
from tests.chaos.shim import Fault
from tests.chaos.stages import UNET
from tests.chaos.test_faults import one_line

RUN = f"runs/smoke-streets-*/{UNET}/seed0"


def flip(path: Path) -> None:
    """One bit, anywhere."""
    content, draw = bytearray(path.read_bytes()), random.Random(path.name)
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


def harm(project: Path, how, *patterns: str) -> None:
    for pattern in patterns:
        for path in sorted(project.glob(pattern)) or pytest.fail(f"there is no {pattern}"):
            how(path)


def stopped(stage, project: Path) -> None:
    """Train, and die in the third epoch before anything of it is kept."""
    number = next(n for n, (phase, *_) in enumerate(stage.actions("train-unet")) if phase == "epoch3")
    assert stage.perform("train-unet", project, Fault("die_before", number)).told["epochs"] == 3


def damaged(where: str, *ways):
    return [pytest.param(where, way, id=f"{Path(where).name}-{way.__name__}") for way in ways]


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("where", "how"),
    [
        *damaged(f"{RUN}/last.pt", flip, cut, empty, remove),
        *damaged(f"{RUN}/previous.pt", flip, cut),
        *damaged(f"{RUN}/history.csv", cut, empty, remove),
        *damaged(f"{RUN}/gradients.csv", cut, empty),
    ],
)
def test_a_training_goes_on_from_what_is_sound(stage, where, how, record_property):
    record_property("fault", ("damage", f"{Path(where).name} {how.__name__}"))
    with stage.copy("train-unet") as project:
        stopped(stage, project)
        harm(project, how, where)
        assert stage.perform("look", project).code == 0
        second = stage.perform("train-unet", project)
        assert second.code == 0, second
        assert second.told["epochs"] == (2 if where.endswith("last.pt") else 1)
        assert differences(project, stage.after("train-unet")) == []


@pytest.mark.chaos
@pytest.mark.parametrize("how", [flip, cut, remove])
def test_best_weights_that_are_damaged_never_become_a_model(stage, how, record_property):
    record_property("fault", ("damage", f"best weights {how.__name__}"))
    with stage.copy("train-unet") as project:
        stopped(stage, project)
        harm(project, how, f"{RUN}/best-*.safetensors")
        second = stage.perform("train-unet", project)
        assert second.told["error"] == "SegnbError" and one_line(second.told["text"])
        assert "best-" in second.told["text"] and "Delete" in second.told["text"]


@pytest.mark.chaos
def test_two_damaged_generations_are_refused_in_one_line(stage, record_property):
    record_property("fault", ("damage", "last.pt and previous.pt flip"))
    with stage.copy("train-unet") as project:
        stopped(stage, project)
        harm(project, flip, f"{RUN}/last.pt", f"{RUN}/previous.pt")
        second = stage.perform("train-unet", project)
        assert second.told["error"] == "SegnbError" and one_line(second.told["text"])
        assert "last.pt" in second.told["text"] and "Delete" in second.told["text"]


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("where", "how", "step"),
    [
        *((*one.values, "measure-unet") for one in damaged(f"{RUN}/model.safetensors", flip, cut, remove)),
        *((*one.values, "measure-unet") for one in damaged(f"{RUN}/done.json", cut, empty)),
        *((*one.values, "look") for one in damaged(f"{RUN}/model.safetensors", flip, cut, remove)),
        *((*one.values, "look") for one in damaged(f"{RUN}/done.json", cut, empty)),
        *((*one.values, "look") for one in damaged(f"{RUN}/history.csv", cut, empty, remove)),
        *((*one.values, "look") for one in damaged(f"{RUN}/gradients.csv", empty, remove)),
        *((*one.values, "look") for one in damaged("runs/smoke-streets-*/study.json", cut, empty)),
        *((*one.values, "claims") for one in damaged("runs/smoke-streets-*/cost.json", cut, empty)),
        *((*one.values, "claims") for one in damaged(f"{RUN}/test_confusion.npz", cut, empty, flip)),
        *((*one.values, "look") for one in damaged(f"{RUN}/boundary.npz", cut, empty, flip, remove)),
        *((*one.values, "claims") for one in damaged(f"{RUN}/gates.npz", cut, empty)),
    ],
    ids=lambda value: value.__name__ if callable(value) else Path(value).name,
)
def test_what_was_finished_and_is_damaged_is_refused_in_one_line(stage, where, how, step, record_property):
    record_property("fault", ("damage", f"{Path(where).name} {how.__name__}"))
    with stage.copy("claims" if step != "measure-unet" else step) as project:
        harm(project, how, where)
        found = stage.perform(step, project)
        if how is flip and found.code == 0:  # a bit of an archive that nobody reads, such as a date
            whole = stage.before("claims") if step == "look" else stage.after(step)
            assert differences(project, whole) == []
            return
        assert found.code == 1, found
        assert found.told["error"] == "SegnbError" and one_line(found.told["text"]), found.told["where"]


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("where", "how", "step"),
    [
        ("cache/folder-*/48/train_images.npy", cut, "train-fcn"),
        ("cache/folder-*/48/train_labels.npy", empty, "train-fcn"),
        ("cache/folder-*/48/val_images.npy", remove, "train-fcn"),
        ("cache/folder-*/48/train.json", cut, "train-fcn"),
        ("cache/sums.json", cut, "train-fcn"),
        ("cache/features/*/pool3.npy", cut, "train-fcn"),
        ("cache/features/*/pool5.npy", remove, "train-fcn"),
        ("cache/features/*/done.json", cut, "train-fcn"),
        ("cache/shifts-*/48/visibility-2.npz", cut, "measure-unet"),
        ("cache/shifts-*/48/noise-2.npz", empty, "measure-unet"),
    ],
    ids=lambda value: value.__name__ if callable(value) else Path(value).name,
)
def test_a_damaged_cache_is_made_again(stage, where, how, step, record_property):
    record_property("fault", ("damage", f"{Path(where).parent.name}/{Path(where).name} {how.__name__}"))
    with stage.copy(step) as project:
        harm(project, how, where)
        found = stage.perform(step, project)
        assert found.code == 0, found
        assert differences(project, stage.after(step)) == []


def test_a_flipped_byte_costs_an_epoch(stage, record_property):
    """The one of these that is tried every time."""
    test_a_training_goes_on_from_what_is_sound(stage, f"{RUN}/last.pt", flip, record_property)
