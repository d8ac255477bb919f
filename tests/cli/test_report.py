"""`segnb report` before its engine starts: what is wrong is one line, and nothing is begun."""

import contextlib
import os
import re
from types import SimpleNamespace

import pytest

from segnb.cli import main, report
from segnb.pipeline import resources
from segnb.storage import files
from segnb.storage.files import held
from segnb.study.study import open_study
from tests.synthetic_study import make_study

OPTIONS = ["report", "--preset", "smoke", "--variants", "UNet_NoSkip_256"]


@pytest.fixture(autouse=True)
def no_engine(project, monkeypatch):
    """No engine is started; `report` sets this variable, which is unset again."""
    engine = SimpleNamespace(Popen=lambda *_, **__: pytest.fail("started the engine"))
    monkeypatch.setattr(report, "subprocess", engine)
    monkeypatch.setenv(resources.JOBS, "1")
    monkeypatch.setattr(files, "PATIENCE", 0.2)
    (project / "runs").mkdir()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--preset", "fast"], "unknown preset 'fast' (expected one of smoke"),
        (["--data", "nowhere"], "unknown data 'nowhere'"),
        (["--variants", "UNet"], "variants: unknown name 'UNet' (expected one or more of all"),
        (["--seeds", "x"], "invalid seeds 'x' (expected comma-separated integers"),
        (["--seeds", "12345678901234567890"], "integers from 0 to 9,000,000,000,000"),
        (["--learning-rate", "inf"], "invalid learning_rate inf (expected the peak learning rate"),
        (["--epochs", "0"], "invalid epochs 0 (expected the number of epochs, an integer from 1)"),
    ],
)
def test_bad_input_is_one_line(project, capsys, arguments, told):
    assert main([*OPTIONS, *arguments]) == 1
    err = capsys.readouterr().err
    assert told in err and err.startswith("segnb: ") and err.count("\n") == 1
    assert not list(project.glob("runs/*/study.json"))


def test_a_bad_file_is_one_line_before_anything_is_trained(project, dataset, capsys):
    (dataset / "test" / "labels" / "0002.png").write_bytes(b"")
    assert main([*OPTIONS, "--data", str(dataset)]) == 1
    err = capsys.readouterr().err
    assert "0002.png" in err and err.count("\n") == 1
    assert not list(project.glob("runs/*/UNet*"))


@pytest.mark.parametrize("diverges", [True, False])
def test_what_diverges_is_told_once_and_left_out_and_what_fails_fails(
    project, dataset, capsys, monkeypatch, diverges
):
    calls = []

    def engine(arguments: list[str], lock: int) -> int:
        calls.append(arguments)
        if diverges:
            open_study().run("UNet_NoSkip_256", 0).diverge(1, "the training diverged in epoch 1 of 1")
        return int(len(calls) == 1)

    monkeypatch.setattr(report, "_run_engine", engine)
    assert main([*OPTIONS, "--data", str(dataset)]) == int(not diverges)
    out, err = capsys.readouterr()
    assert len(calls) == 1 + diverges and len({*map(tuple, calls)}) == 1
    told = (
        "warning: UNet_NoSkip_256, seed 0, is left out of all scores: the training diverged in epoch 1 of 1."
    )
    assert out.count(told) == int(diverges) and ("the report is not finished" in err) != diverges


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("why", ["a bad file", "another report"])
def test_a_report_that_is_refused_is_not_the_latest(project, dataset, why, asked):
    before = make_study(project, 1, variants=["UNet_NoSkip_256"], images=2)
    if asked:
        before.ask(["UNet_NoSkip_256"], [0])
    bad = why == "a bad file"
    if bad:
        (dataset / "test" / "labels" / "0002.png").write_bytes(b"")
    with contextlib.nullcontext() if bad else held(project / "runs" / ".lock", "making a report"):
        assert main([*OPTIONS, "--data", str(dataset)]) == 1
    assert open_study().name == before.name


def test_two_reports_at_once_in_one_folder_are_refused(project, dataset, capsys):
    with held(project / "runs" / ".lock", "making a report"):
        assert main([*OPTIONS, "--data", str(dataset)]) == 1
    told = rf"^segnb: .+/runs/\.lock: process {os.getpid()} on .+ is already making a report"
    assert re.search(told, capsys.readouterr().err, re.M)
