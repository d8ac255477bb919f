"""A finished run that is repeated and compared with itself."""

import os
import re
import shutil

import numpy as np
import pytest

from segnb import cli
from segnb.errors import SegnbError
from segnb.params import RunParams
from segnb.storage.files import read_json, write_json
from segnb.study import reproduce
from segnb.study.create import begin_run, create_study
from segnb.study.study import Run
from tests.conftest import make_project


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of preset smoke with the files that training and testing leave."""
    folder = make_project(tmp_path_factory.mktemp("verify") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGNB_ROOT", str(folder))
        params = RunParams.check({"preset": "smoke", "precision": "fp32", "variant": "UNet_NoSkip_256"})
        run = create_study(params.shared()).run(params.variant, 0)
        begin_run(run, params)
        run.write_history([{"epoch": 1, "val_loss": 0.25, "seconds": 3.0, "train_seconds": 2.0}])
        run.model_path.write_bytes(bytes(100))
        run.finish({"best_epoch": 1, "best_val_miou": 0.5, "epochs": 1, "seconds": 3.0})
        run.write_arrays(run.confusion_path, confusion=np.ones((6, 13, 13), int))
    return run


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    """A copy of it; "repeating" it, whose parts are tested elsewhere, copies what the original left."""
    project = make_project(tmp_path / "project")
    shutil.copytree(finished.path.parents[3] / "runs", project / "runs")
    monkeypatch.setenv("SEGNB_ROOT", str(project))
    again = []

    def execute(folder, run, params, tested):
        assert (params.variant, params.seed, tested) == ("UNet_NoSkip_256", 0, True)
        assert run.path.is_relative_to(folder) and (folder / "segnb" / "cli").exists()
        assert (folder / "cache").samefile(project / "cache")
        shutil.copytree(finished.path, run.path)
        again.append(folder)
        assert os.environ["SEGNB_OFFLINE"] == "1" and os.environ["SEGNB_ROOT"] == str(folder)

    monkeypatch.setattr(reproduce, "_execute", execute)
    copy = Run(project / finished.path.relative_to(finished.path.parents[3]))
    yield copy
    assert not any(folder.exists() for folder in again)  # removed afterwards
    assert os.environ["SEGNB_ROOT"] == str(project)


def test_the_same_run_is_the_same_in_all_files(run, capsys):
    assert cli.main(["verify", str(run.path)]) == 0
    out = capsys.readouterr().out
    for name in ("model.safetensors", "history.csv", "test_confusion.npz"):
        assert re.search(rf"^{re.escape(name)} +same$", out, re.M)
    assert out.endswith("all files are the same, bit for bit\n")


def test_durations_do_not_count_and_a_digit_does(run, capsys):
    before = run.history_path.read_text()
    run.history_path.write_text(before.replace("3.0", "99").replace("2.0", "98"))
    assert cli.main(["verify", str(run.path)]) == 0
    run.history_path.write_text(before.replace("0.25", "0.250000001"))
    capsys.readouterr()
    assert cli.main(["verify", str(run.path)]) == 1
    out = capsys.readouterr().out
    assert re.search(r"^history.csv +differs$", out, re.M) and "1 of 3 files differ" in out
    assert "best validation mIoU 0.500000, repeated 0.500000" in out


@pytest.mark.parametrize("name", ["model.safetensors", "test_confusion.npz", "history.csv"])
def test_a_damaged_file_is_a_difference(run, capsys, name):
    content = bytearray((run.path / name).read_bytes())
    content[len(content) // 2 :] = b""
    (run.path / name).write_bytes(content)
    assert cli.main(["verify", str(run.path)]) == 1
    assert re.search(rf"^{re.escape(name)} +differs$", capsys.readouterr().out, re.M)


@pytest.mark.parametrize(
    ("what", "value", "told"),
    [
        ("code", "1" * 16, "Check out commit"),
        ("data", None, "Restore the data."),
        ("versions", {"torch": "1.0", "torchvision": "1", "numpy": "1"}, "Install torch==1.0"),
        ("machine", None, "Repeat it on"),
    ],
)
def test_what_would_be_another_study_is_not_repeated(run, capsys, what, value, told):
    for path in (run.study.path / "study.json", run.path / "provenance.json"):
        content = read_json(path)
        if what == "data":
            value = content["data"] | {"digest": "of other pictures"}
        if what == "machine":
            value = content["machine"] | {"threads": 64}
        write_json(path, content | {what: value})
    assert cli.main(["verify", str(run.path)]) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1
    assert (
        "cannot be repeated here, because it would belong to another study" in err
        and what in err
        and told in err
    )


def test_other_circumstances_are_named(run, capsys):
    path = run.path / "provenance.json"
    entry = {"commit": "d" * 40, "processor": "a newer chip", "started": "2026-11-20T10:00:00+0000"}
    record = read_json(path) | {"processor": "an older chip", "resumed": [entry]}
    write_json(path, record | {"packages": record["packages"] | {"pillow": "1.0"}})
    assert cli.main(["verify", str(run.path)]) == 0
    out = capsys.readouterr().out
    assert "trained on an older chip, then a newer chip: results need not be the same" in out
    assert re.search(r"^other packages: pillow [\d.]+ instead of 1.0$", out, re.M)
    assert "a commit other than dddddddddddd" in out


def test_a_run_that_is_not_finished_or_was_moved_is_refused(run, capsys):
    moved = run.path.with_name("seed5")
    shutil.copytree(run.path, moved)
    assert cli.main(["verify", str(moved)]) == 2
    assert "contains UNet_NoSkip_256, seed 0. Move it" in capsys.readouterr().err
    (run.path / "done.json").unlink()
    assert cli.main(["verify", str(run.path)]) == 2
    assert "not a finished run" in capsys.readouterr().err


def test_a_repetition_that_fails_says_why(tmp_path, project):
    folder = make_project(tmp_path / "elsewhere")
    params = RunParams.check({"preset": "smoke"})
    with pytest.raises(SegnbError, match="the repetition failed.*unknown study 's'") as raised:
        reproduce._execute(folder, Run(folder / "runs/s/UNet_Standard_256/seed0"), params, False)
    assert "\n" not in str(raised.value)
