"""`segnb report` before its engine starts: what is wrong is one line, and nothing is begun."""

import os
import re
from types import SimpleNamespace

import pytest

from segnb.cli import main, report
from segnb.pipeline import resources
from segnb.storage.files import held

OPTIONS = ["report", "--preset", "smoke", "--variants", "UNet_NoSkip_256"]


@pytest.fixture(autouse=True)
def no_engine(project, monkeypatch):
    """No engine is started; `report` sets this variable, which is unset again."""
    engine = SimpleNamespace(Popen=lambda *_, **__: pytest.fail("started the engine"))
    monkeypatch.setattr(report, "subprocess", engine)
    monkeypatch.setenv(resources.SHARED, "1")
    (project / "runs").mkdir()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--preset", "fast"], "preset 'fast' is unknown; choose from smoke"),
        (["--data", "nowhere"], "data 'nowhere' is neither"),
        (["--variants", "UNet"], "choose from"),
        (["--seeds", "x"], "whole numbers"),
        (["--epochs", "0"], "'epochs'"),
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


def test_two_reports_at_once_in_one_folder_are_refused(project, dataset, capsys):
    with held(project / "runs" / ".lock", "making a report"):
        assert main([*OPTIONS, "--data", str(dataset)]) == 1
    told = rf"^segnb: process {os.getpid()} on .+ is making a report already"
    assert re.search(told, capsys.readouterr().err, re.M)
