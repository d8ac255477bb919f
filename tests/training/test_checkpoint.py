"""Checkpoints: training resumes from one of two, and never with the wrong weights."""

import shutil
import tracemalloc
import weakref

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from segnb.errors import SegnbError
from segnb.storage import files as files_module
from segnb.storage.checksums import sha256
from segnb.study.study import Run
from segnb.training import checkpoint, loop
from segnb.training.checkpoint import Progress
from tests.training.test_loop import trained


def flip(path) -> None:
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def stopped_in(tmp_path, epoch: int) -> Run:
    """Return a run whose process died in that epoch."""

    def stop(rows):
        if len(rows) == epoch - 1:
            raise KeyboardInterrupt

    if epoch == 1:  # before the first call of `stop`
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(loop, "train_one_epoch", lambda *given: stop([]))
            trained(tmp_path / "run")
        return Run(tmp_path / "run" / "UNet_Standard_256" / "seed0")

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", stop)
    return Run(tmp_path / "run" / "UNet_Standard_256" / "seed0")


def epochs_trained(monkeypatch) -> list:
    """Return a list that grows by one with each further epoch."""
    seen, train = [], loop.train_one_epoch
    monkeypatch.setattr(loop, "train_one_epoch", lambda *given: (seen.append(1), train(*given))[1])
    return seen


def same(run: Run, other: Run) -> bool:
    timed = ["seconds", "train_seconds"]
    return run.model_path.read_bytes() == other.model_path.read_bytes() and run.history().drop(
        columns=timed
    ).equals(other.history().drop(columns=timed))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Run:
    return trained(tmp_path_factory.mktemp("whole"))


def test_a_flipped_byte_costs_one_epoch_and_no_number(tmp_path, whole, monkeypatch, capsys):
    run = stopped_in(tmp_path, epoch=3)
    assert run.last_path.exists() and run.previous_path.exists()
    flip(run.last_path)
    seen = epochs_trained(monkeypatch)
    trained(tmp_path / "run")
    assert len(seen) == 2 and same(run, whole)
    assert "last.pt: damaged file (SHA-256 differs). Resuming from previous.pt" in capsys.readouterr().out


def test_killed_between_the_two_generations_no_epoch_is_lost(tmp_path, whole, monkeypatch):
    run = stopped_in(tmp_path, epoch=3)
    run.last_path.rename(run.previous_path)
    seen = epochs_trained(monkeypatch)
    trained(tmp_path / "run")
    assert len(seen) == 1 and same(run, whole)


def test_two_damaged_generations_are_refused_by_name(tmp_path):
    run = stopped_in(tmp_path, epoch=3)
    flip(run.last_path), flip(run.previous_path)
    with pytest.raises(SegnbError, match=r"last.pt: damaged file .* Delete .*seed0 to train this run from"):
        trained(tmp_path / "run")
    assert not run.done and not run.model_path.exists()


def test_a_finished_run_keeps_nothing_to_go_on_from(whole):
    assert sorted(path.name for path in whole.path.iterdir()) == [
        ".lock",
        "done.json",
        "gradients.csv",
        "history.csv",
        "model.safetensors",
    ]
    assert load_file(whole.model_path)["down1.0.weight"].shape == (4, 3, 3, 3)  # O, I, H, W
    assert whole.summary["model_sha256"] == sha256(whole.model_path)


def test_a_run_killed_right_after_it_had_finished_is_tidied(tmp_path):
    run = trained(tmp_path / "run")
    for path in (run.last_path, run.previous_path, run.best_path(2)):
        path.touch()
    trained(tmp_path / "run")
    assert not [path for path in run.path.iterdir() if path.name.startswith(("last", "previous", "best"))]


def test_history_is_that_of_the_state_it_goes_on_from(tmp_path, whole):
    run = stopped_in(tmp_path, epoch=3)
    run.path.joinpath("history.csv").write_text("epoch,train_loss\n1,0.5\n2,")
    run.gradients_path.unlink()
    trained(tmp_path / "run")
    assert same(run, whole) and run.gradients().equals(whole.gradients())


def test_an_earlier_state_finds_its_own_best_weights(tmp_path):
    """On a GPU, an epoch that is trained again may no longer be the best."""
    run, layer = Run(tmp_path / "A" / "seed0"), nn.Linear(2, 2)
    progress = Progress(run)
    progress.save_best(1, layer)
    first = sha256(run.best_path(1))
    progress.save({"rows": [1]})
    with torch.no_grad():
        layer.weight += 1
    progress.save_best(2, layer)
    progress.save({"rows": [1, 2]})
    assert [path.name for path in run.best_paths()] == ["best-1.safetensors", "best-2.safetensors"]
    flip(run.last_path)

    again = Progress(run)
    assert again.load("cpu")["rows"] == [1]
    again.save({"rows": [1, 2]})  # this time epoch 2 was not the best
    assert [path.name for path in run.best_paths()] == ["best-1.safetensors"]
    again.keep_best()
    assert sha256(run.model_path) == first

    flip(run.best_path(1))
    with pytest.raises(SegnbError, match="best-1.safetensors: missing or damaged file"):
        again.keep_best()
    assert sha256(run.model_path) == first


def test_a_good_generation_is_not_replaced_by_a_damaged_one(tmp_path):
    progress = Progress(Run(tmp_path / "A" / "seed0"))
    for count in (1, 2):
        progress.save({"rows": list(range(count))})
    flip(progress.run.last_path)
    again = Progress(progress.run)
    assert again.load("cpu")["rows"] == [0]
    again.save({"rows": [0, 5]})
    flip(again.run.last_path)
    assert Progress(again.run).load("cpu")["rows"] == [0]


def test_a_second_process_does_not_train_the_same_run(tmp_path, monkeypatch):
    monkeypatch.setattr(files_module, "PATIENCE", 0.1)
    run = Run(tmp_path / "run" / "UNet_Standard_256" / "seed0")
    with run.at_work("training"):
        assert run.trainer()["what"] == "training UNet_Standard_256, seed 0"
        with pytest.raises(SegnbError, match="is already training UNet_Standard_256, seed 0"):
            trained(tmp_path / "run")
    assert run.trainer() is None and not run.last_path.exists()


def test_why_a_step_failed_is_remembered_until_it_succeeds_and_being_stopped_is_no_failure(tmp_path):
    run = Run(tmp_path / "A" / "seed0")
    with pytest.raises(KeyboardInterrupt), run.step("train"):
        raise KeyboardInterrupt
    assert run.failure is None
    with pytest.raises(SegnbError), run.step("train", tmp_path / "train.log"):
        raise SegnbError("the kernel died\nand more")
    assert run.failure["step"] == "train" and run.failure["error"] == r"the kernel died\nand more"
    assert run.failure["log"] == str(tmp_path / "train.log") and run.failure["when"][:2] == "20"
    with run.step("train"):
        assert run.failure is None
    assert run.failure is None


def test_a_run_in_its_first_epoch_can_be_read(tmp_path):
    run = stopped_in(tmp_path, epoch=1)
    assert run.last_path.exists() and run.history().empty
    run.history_path.write_text("epoch,val")
    assert run.history().empty


@pytest.mark.parametrize("name", ["history.csv", "gradients.csv"])
@pytest.mark.parametrize("damage", ["cut", "empty", "flipped"])
def test_tables_of_a_finished_run_are_as_they_were_or_refused_by_name(tmp_path, whole, name, damage):
    run = Run(shutil.copytree(whole.path, tmp_path / "A" / "seed0"))
    assert run.history().equals(whole.history()) and run.gradients().equals(whole.gradients())
    path = run.path / name
    content = path.read_bytes()
    changed = content[:-1] + bytes([content[-1] ^ 1])
    path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "flipped": changed}[damage])
    with pytest.raises(
        SegnbError, match=f"{name}: the file is damaged. Delete .*seed0 and run 'make report'"
    ):
        run.history() if name == "history.csv" else run.gradients()


@pytest.mark.parametrize("damage", ["cut", "empty"])
def test_a_damaged_measure_is_named_with_what_writes_it_again(tmp_path, damage):
    run = Run(tmp_path / "A" / "seed0")
    run.write_arrays(run.confusion_path, confusion=np.ones((3, 2, 2)))
    content = run.confusion_path.read_bytes()
    run.confusion_path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    with pytest.raises(
        SegnbError, match="test_confusion.npz: the file is damaged. Run 'segnb measure .*seed0'"
    ):
        run.test()


def test_a_state_is_in_memory_once_while_it_is_read(tmp_path):
    path = tmp_path / "last.pt"
    checkpoint.save_state(path, {"w": torch.ones(10**6)})
    tracemalloc.start()  # counts bytes objects, but not tensors
    checkpoint.load_state(path, "cpu")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * path.stat().st_size


def test_a_state_is_gone_before_training_resumes(tmp_path, monkeypatch):
    class State(dict):  # a plain dict has no weak references
        pass

    states, load, train = [], Progress.load, loop.train_one_epoch

    def loaded(progress, device):
        state = State(load(progress, device))
        states.append(weakref.ref(state))
        return state

    def train_one_epoch(*given):
        assert states[0]() is None
        return train(*given)

    stopped_in(tmp_path, epoch=2)
    monkeypatch.setattr(Progress, "load", loaded)
    monkeypatch.setattr(loop, "train_one_epoch", train_one_epoch)
    assert trained(tmp_path / "run").done and states


def test_weights_of_another_network_are_refused_by_name(tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoint.save_model(path, nn.Linear(2, 3))
    with pytest.raises(SegnbError, match=r"model\.safetensors"):
        checkpoint.load_model(path, nn.Linear(2, 4))
