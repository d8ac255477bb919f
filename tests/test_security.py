"""Nothing that comes from outside is run: no pickle, no markup, no shell command in a name.

Single tables, sentences, figures and the page have tests of their own (test_tables, test_claim_blocks,
test_html); here hostile names go the whole way.
"""

import os
import pickle
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup

from segnb.cli.__main__ import main
from segnb.errors import SegnbError
from segnb.evaluation import scores
from segnb.models import pretrained
from segnb.params import StudyParams
from segnb.pipeline import status, status_html
from segnb.report import provenance, tables, text
from segnb.report.report import facts
from segnb.storage.files import read_json, write_json
from segnb.study.create import create_study
from segnb.study.study import Run, open_study
from segnb.training import checkpoint
from tests.conftest import CHECKOUT, make_dataset, make_project
from tests.synthetic_study import make_study

SCRIPT = "<script>alert(1)</script>"
COMMANDS = "$(touch pwned)", "; touch pwned #", "`touch pwned`", "' ; touch pwned ; '"


# ---- pickles ---------------------------------------------------------------------------------------------


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.fixture
def bomb(tmp_path):
    """One that works; afterwards none has gone off."""
    tried = tmp_path / "tried"
    pickle.loads(pickle.dumps(Bomb(tried)))  # noqa: S301
    assert tried.exists()
    marker = tmp_path / "marker"
    yield Bomb(marker)
    assert not marker.exists()


def refused(call, name: str) -> None:
    with pytest.raises(SegnbError) as raised:
        call()
    assert name in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("write", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb))])
def test_a_pickle_for_trunk_weights_is_refused(tmp_path, bomb, write):
    path = tmp_path / "vgg16.pth"
    write({"features.0.weight": bomb}, path)
    refused(lambda: pretrained.read_weights(pretrained.resolve_weights(str(path))), "vgg16.pth")


def test_a_pickle_for_training_state_is_refused_with_the_right_check_sum_too(tmp_path, bomb):
    path = tmp_path / "last.pt"
    checkpoint.save_state(path, {"model": bomb})
    refused(lambda: checkpoint.load_state(path, "cpu"), "last.pt")


def test_a_pickle_for_weights_of_a_run_is_refused(tmp_path, bomb):
    path = tmp_path / "model.safetensors"
    torch.save({"weight": bomb}, path)
    refused(lambda: checkpoint.load_model(path, torch.nn.Linear(1, 1)), "model.safetensors")


@pytest.mark.parametrize("kind", ["array", "whole file"])
def test_a_pickle_for_measures_of_a_run_is_refused(tmp_path, bomb, kind):
    run = Run(tmp_path / "study" / "UNet_Standard_256" / "seed0")
    run.path.mkdir(parents=True)
    if kind == "array":
        np.savez(run.confusion_path, confusion=np.array([bomb], object))
    else:
        run.confusion_path.write_bytes(pickle.dumps(bomb))
    refused(run.test, "test_confusion.npz")


def test_no_code_asks_numpy_or_torch_for_pickles():
    sources = [*CHECKOUT.glob("segnb/**/*.py"), *CHECKOUT.glob("notebooks/*.ipynb"), CHECKOUT / "Snakefile"]
    assert len(sources) > 50
    loads = []
    for path in sources:
        text = path.read_text(encoding="utf-8")
        assert "allow_pickle" not in text, path
        loads += re.findall(r"torch\.load\(.*", text)
    assert len(loads) >= 2 and all("weights_only=True" in load for load in loads), loads


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("import pickle; pickle.loads(b'')", "S301"),
        ("import subprocess; subprocess.run('ls', shell=True)", "S602"),
        ("import os; os.system('ls')", "S605"),
        ("import yaml; yaml.load('')", "S506"),
        ("eval('1')", "S307"),
    ],
)
def test_lint_refuses_code_that_would(line, rule):
    command = [sys.executable, "-m", "ruff", "check", "--stdin-filename", "segnb/new.py", "-"]
    done = subprocess.run(command, input=line + "\n", cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 1 and rule in done.stdout


# ---- names -----------------------------------------------------------------------------------------------


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A finished study whose folder, data, classes and failures have hostile names."""
    folder = make_project(tmp_path / "project")
    monkeypatch.setenv("SEGNB_ROOT", str(folder))
    monkeypatch.chdir(folder)
    # A folder's name has no "/", so it cannot close a tag; everything else can be in it.
    name = f"{''.join(COMMANDS)}<script>alert(1)<"
    study = make_study(folder, seeds=1, variants=["UNet_NoSkip_256"], images=4, epochs=2, name=name)
    path = study.path / "study.json"
    settled = read_json(path)
    settled["data"] |= {"name": SCRIPT, "origin": f"the folder {SCRIPT}"}
    settled["data"]["classes"]["names"][:2] = [SCRIPT, COMMANDS[0]]
    settled["warnings"] = [SCRIPT]
    settled["machine"]["device_name"] = SCRIPT
    write_json(path, settled)
    run = study.run("UNet_NoSkip_256", 0)
    write_json(run.path / "provenance.json", read_json(run.path / "provenance.json") | {"python": SCRIPT})
    broken = study.run("UNet_Standard_256", 0)
    write_json(
        broken.path / "failed.json",
        {"step": "train", "error": f"{SCRIPT}\x1b[31m", "log": f"{study.path}/a.log", "when": "2026"},
    )
    yield open_study(name)
    assert not list(tmp_path.rglob("pwned"))


def test_no_name_becomes_markup_in_the_report(hostile, tmp_path, monkeypatch):
    from segnb.report.report import export_page
    from tests.report.test_html import code, html, save

    said = []
    monkeypatch.setattr(text, "display", said.append)
    runs = hostile.measured()
    for sentence in (
        text.data_sentence(hostile),
        text.scope_sentence(hostile, runs),
        provenance.sentence(runs),
        *hostile.warnings,
    ):
        text.say(sentence)
    shown = [tables.class_ious(scores.class_ious(runs)), tables.scores(scores.ranking(runs))]
    cells = ["# Chapter", *(one.data for one in said), *(code("a", html(one.to_html())) for one in shown)]
    out = export_page(
        [save(tmp_path / "chapter.ipynb", *cells)],
        tmp_path / "index.html",
        title="A report",
        subtitle="of hostile names",
        facts=facts(hostile, runs),
        warnings=hostile.warnings,
        pages=[],
    )
    page = BeautifulSoup(out.read_text(), "html5lib")
    assert [tag for tag in page.find_all("script") if "alert" in tag.get_text()] == []
    assert page.get_text().count(SCRIPT) >= 6  # data, scope, record, warnings and the class, as written


def test_status_shows_names_as_text_and_commands_as_one_word(hostile, capsys):
    grid = status.look(hostile.name)
    page = BeautifulSoup(status_html.html(grid), "html5lib")
    assert not page.find("script") and SCRIPT in page.get_text()
    assert main(["status", hostile.name]) == 1
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and SCRIPT in printed
    (path,) = re.findall(r"^    (?:ls -l|tail -n \d+) (.*)$", printed, re.M)
    assert shlex.split(path) == [f"runs/{hostile.name}/UNet_Standard_256/seed0"]


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    profile = ("--profile", str(CHECKOUT / "profiles" / "local"))
    command = [sys.executable, "-m", "snakemake", "--nolock", "--cores", "1", *profile, *arguments]
    environment = os.environ | {"SEGNB_ROOT": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_a_study_with_a_command_for_a_name_is_one_word_to_the_shell(tmp_path):
    command = "$(touch pwned)`touch pwned`"
    folder = make_project(tmp_path / "project")
    study = make_study(folder, seeds=1, variants=["UNet_NoSkip_256"], images=4, epochs=2, name=command)
    wanted = ("variants=UNet_NoSkip_256", "seeds=0")
    done = snakemake(folder, "--dry-run", "--printshellcmds", "--config", f"study={study.name}", *wanted)
    lines = re.findall(r"^Shell command: exec (.*)$", done.stdout, re.M)
    assert len(lines) >= 6, done.stderr  # four chapters, the claims and the report
    for line in lines:  # by the shell that would run it, in the project's folder
        told = ["sh", "-c", f"printf '%s\\n' {line}"]
        shown = subprocess.run(told, cwd=folder, capture_output=True, text=True)
        assert shown.returncode == 0 and command in (shown.stdout or (study.path / "claims.log").read_text())
    assert not list(tmp_path.rglob("pwned"))


def test_a_study_that_is_not_there_is_no_command_either(tmp_path):
    folder = make_project(tmp_path / "project")
    command = "' ; touch pwned ; '; touch pwned #"
    done = snakemake(folder, "--dry-run", "--config", f"study={command}", "variants=all", "seeds=0")
    assert done.returncode == 1 and "unknown study" in done.stdout + done.stderr
    assert not list(tmp_path.rglob("pwned"))


def test_data_with_a_command_for_a_name_are_settled_prepared_and_run_nothing(tmp_path, monkeypatch):
    folder = make_project(tmp_path / "project")
    monkeypatch.setenv("SEGNB_ROOT", str(folder))
    data = make_dataset(tmp_path / "made").rename(tmp_path / f"{''.join(COMMANDS)}<script>alert(1)<")
    asked = {"preset": "smoke", "precision": "fp32", "weights": "random"}
    study = create_study(StudyParams.check(asked | {"data": str(data)}))
    wanted = ("variants=UNet_NoSkip_256", "seeds=0")
    target = f"runs/{study.name}/data-64.json"
    done = snakemake(folder, target, "--config", f"study={study.name}", *wanted)  # through a real shell
    assert done.returncode == 0, done.stderr
    assert (folder / target).exists() and re.search(r"at 64 px: {'train': [1-9]", done.stdout + done.stderr)
    assert not list(tmp_path.rglob("pwned"))
