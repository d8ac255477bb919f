"""The machine's settings: tried once, kept, and forced when asked."""

import pytest
import torch

from segnb import machine
from segnb.files import read_json
from segnb.machine import Machine, settle, threads_of_one_run, time_precisions


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (4, 1), (8, 2), (64, 16)])
def test_threads_of_one_run(cores, threads):
    assert threads_of_one_run(cores) == threads


@pytest.mark.parametrize(
    ("seconds", "precision"),
    [
        ({"fp32": 1.0, "bf16": 0.5}, "bf16"),
        ({"fp32": 1.0, "bf16": 0.9}, "fp32"),  # not worth its rounding
        ({"fp32": 1.0, "bf16": 20.0}, "fp32"),  # a CPU that emulates it
        ({"fp32": 1.0}, "fp32"),  # a process that crashed
    ],
)
def test_precision_is_chosen_by_trying_and_kept(tmp_path, monkeypatch, seconds, precision):
    monkeypatch.delenv("SEGNB_PRECISION")
    calls = []
    monkeypatch.setattr(machine, "time_precisions", lambda *_: calls.append(1) or seconds)
    first, again = settle(tmp_path), settle(tmp_path)
    assert first == again and first.precision == precision
    assert len(calls) == 1
    assert next(iter(read_json(tmp_path / "machine.json").values()))["seconds_a_step"] == seconds


def test_forcing_a_precision_tries_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGNB_PRECISION", "bf16")
    monkeypatch.setattr(machine, "time_precisions", lambda *_: pytest.fail("tried"))
    assert settle(tmp_path).precision == "bf16"


def test_a_trial_step_gives_seconds():
    assert 0 < time_precisions("cpu", 1)["fp32"] < 60


def test_a_trial_that_cannot_run_names_the_device():
    from segnb.errors import SegnbError

    with pytest.raises(SegnbError, match="trial training step on nonsense failed"):
        time_precisions("nonsense", 1)


def test_apply_sets_threads_and_determinism():
    before = torch.get_num_threads()
    try:
        Machine("cpu", "x", 1, "fp32").apply()
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(False)
