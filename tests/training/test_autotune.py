"""The settings of a machine: timed once per preset, stored, or set by the user."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from segnb.errors import SegnbError
from segnb.models.build import build
from segnb.presets import PRESETS
from segnb.runtime.machine import Machine, threads_of_one_run
from segnb.storage.files import read_json
from segnb.training import autotune
from segnb.training.autotune import choose, resolve_machine, try_out
from segnb.training.loop import train_step

SMOKE = PRESETS["smoke"]
PLAIN = Machine("cpu", "any", 1, "fp32", channels_last=False, fused=False)


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (4, 1), (8, 2), (64, 16)])
def test_threads_of_one_run(cores, threads):
    assert threads_of_one_run(cores) == threads


@pytest.fixture
def timed(monkeypatch):
    """Make trials take the seconds that a function returns; return the list of tried settings."""

    def use(seconds, start=0.0):
        tried = []

        def trial(settings, preset):
            tried.append(settings)
            found = seconds(settings)
            return {"failed": "crashed"} if found is None else {"unet": found, "fcn": 0.0, "start": start}

        monkeypatch.setattr(autotune, "try_out", trial)
        return tried

    return use


@pytest.mark.parametrize(
    ("half", "precision"),
    [
        (0.5, "bf16"),
        (0.9, "fp32"),  # too small a gain for fewer digits
        (20.0, "fp32"),  # a CPU that emulates it
        (None, "fp32"),  # a process that crashed
    ],
)
def test_half_precision_has_to_save_a_fifth(timed, half, precision):
    timed(lambda m: half if m.precision == "bf16" else 1.0)
    assert choose(PLAIN, SMOKE)[0].precision == precision


def test_layout_and_optimiser_are_those_that_are_faster(timed):
    timed(lambda m: 1.0 + 0.1 * m.channels_last - 0.1 * m.fused)
    found, trials = choose(PLAIN, SMOKE)
    assert found == replace(PLAIN, fused=True)
    assert [t["unet"] for t in trials][:2] == [1.0, 1.1]


def test_half_precision_is_tried_in_channels_last_even_where_fp32_is_not_faster_in_it(timed):
    tried = timed(lambda m: 0.2 if m.precision == "bf16" else 1.0 + m.channels_last)
    found, _ = choose(PLAIN, SMOKE)
    assert (found.precision, found.channels_last) == ("bf16", True)
    assert all(m.channels_last for m in tried if m.precision == "bf16")


def test_on_a_gpu_the_fewest_digits_that_pay_are_taken(timed):
    seconds = {"fp32": 1.0, "tf32": 0.5, "bf16": 0.3, "fp16": 0.29}
    timed(lambda m: seconds[m.precision])
    assert choose(replace(PLAIN, device="cuda"), SMOKE)[0].precision == "bf16"


@pytest.mark.parametrize(
    ("epochs", "compiled_step", "tried", "chosen"),
    [
        (1, 0.5, False, False),  # 8 images at 2 per second: nothing to gain
        (400, 0.5, True, True),  # 3200 images, half the time saved
        (400, 0.999, True, False),  # saves 2 s and takes a minute to start
        (400, None, True, False),  # no compiler
    ],
)
def test_compilation_has_to_repay_its_start(tmp_path, monkeypatch, epochs, compiled_step, tried, chosen):
    asked = []

    def trial(settings, preset):
        asked.append(settings.compile)
        step = compiled_step if settings.compile else 1.0
        start = 60.0 if settings.compile else 1.0
        return {"failed": "no compiler"} if step is None else {"unet": step, "fcn": 0.0, "start": start}

    monkeypatch.setattr(autotune, "try_out", trial)
    preset = replace(SMOKE, unet=replace(SMOKE.unet, epochs=epochs))
    assert resolve_machine(tmp_path, preset).compile == chosen
    assert any(asked) == tried
    count = len(asked)
    assert resolve_machine(tmp_path, preset).compile == chosen and len(asked) == count  # stored
    assert (
        not resolve_machine(tmp_path, SMOKE).compile and len(asked) == count
    )  # a short run of the same size


def test_a_machine_on_which_nothing_works_is_an_error(timed):
    timed(lambda m: None)
    with pytest.raises(SegnbError, match="cpu: trial step failed .crashed"):
        choose(PLAIN, SMOKE)


def test_it_is_tried_once_a_preset_and_kept(tmp_path, timed):
    tried = timed(lambda m: 0.5 if m.precision == "bf16" else 1.0)
    first = resolve_machine(tmp_path, SMOKE)
    count = len(tried)
    assert resolve_machine(tmp_path, SMOKE) == first and len(tried) == count
    assert resolve_machine(tmp_path, PRESETS["quick"]) and len(tried) > count
    assert [len(entry["trials"]) for entry in read_json(tmp_path / "machine.json").values()][0] == count


def test_what_another_process_found_in_the_meantime_stays(tmp_path, monkeypatch):
    """Another process times quick while this one times smoke."""

    def trial(settings, preset):
        if preset is SMOKE and settings == first:
            resolve_machine(tmp_path, PRESETS["quick"])
        return {"unet": 1.0, "fcn": 0.0, "start": 0.0}

    monkeypatch.setattr(autotune, "try_out", lambda *_: {"unet": 1.0, "fcn": 0.0, "start": 0.0})
    first = replace(resolve_machine(tmp_path / "other", SMOKE), channels_last=False, fused=False)
    monkeypatch.setattr(autotune, "try_out", trial)
    resolve_machine(tmp_path, SMOKE)
    assert len(read_json(tmp_path / "machine.json")) == 2


def test_a_forced_precision_tries_nothing(tmp_path, timed):
    tried = timed(lambda m: 1.0)
    assert resolve_machine(tmp_path, SMOKE, "fp32").precision == "fp32"
    assert not tried and not (tmp_path / "machine.json").exists()


def test_a_trial_step_gives_seconds_and_a_hopeless_one_the_reason():
    tiny = replace(SMOKE.unet, size=32, width=2)
    preset = replace(SMOKE, unet=tiny, fcn=tiny)
    found = try_out(PLAIN, preset)  # in another process
    assert found.keys() == {"unet", "fcn", "start"} and min(found.values()) > 0
    with pytest.raises(RuntimeError, match="nonsense"):
        autotune._time_steps(replace(PLAIN, device="nonsense"), [tiny, tiny])


def test_a_trial_that_crashes_is_told_by_its_last_line(monkeypatch):
    crash = "import sys; print('why', file=sys.stderr); sys.exit(3)"
    run = subprocess.run
    monkeypatch.setattr(
        autotune.subprocess, "run", lambda command, **how: run([sys.executable, "-c", crash], **how)
    )
    assert try_out(PLAIN, SMOKE) == {"failed": "why"}


def test_a_trial_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(autotune, "PATIENCE", 0.01)
    assert try_out(PLAIN, SMOKE) == {"failed": "no result after 0.01 s"}


def test_half_precision_learns_what_fp32_learns():
    """The first losses agree within 3%; fp16 uses the loss scaler, on CPUs as well."""

    def losses(precision):
        settings = Machine("cpu", "any", 1, precision)
        torch.manual_seed(0)
        model = settings.place(build("UNet_Standard_256", width=4)).train()
        optimizer, scaler = settings.adam([{"params": model.parameters(), "lr": 1e-3}]), settings.scaler()
        images = torch.randn(4, 3, 32, 32).to(memory_format=torch.channels_last)
        labels = torch.arange(4 * 32 * 32).view(4, 32, 32) // 512
        return [train_step(model, images, labels, optimizer, scaler, settings)[0].item() for _ in range(5)]

    expected = losses("fp32")
    assert expected[-1] < expected[0]
    for precision in ("bf16", "fp16"):
        found = losses(precision)
        assert found == pytest.approx(expected, rel=0.03) and found != expected
