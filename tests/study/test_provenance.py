"""Where runs come from, what differs between them, and what must not be compared."""

import json
import os
import platform
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from packaging.requirements import Requirement

from segnb import cli
from segnb.claims import saved
from segnb.claims.decide import decide
from segnb.errors import SegnbError
from segnb.report.provenance import _facts, identifiers, sentence, table
from segnb.storage.files import write_json
from segnb.study import provenance
from segnb.study.study import Run
from tests import vulnerabilities
from tests.conftest import CHECKOUT, make_project
from tests.synthetic_study import make_study

VARIANTS = ["UNet_Standard_256", "UNet_NoSkip_256"]


# ---- one run ---------------------------------------------------------------------------------------------


def git(folder, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "code.py").write_text("x = 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


def test_a_clean_checkout_is_its_commit(checkout):
    (checkout / "note.txt").write_text("git does not know it")
    found = provenance.code_state(checkout)
    assert found["commit"] == git(checkout, "rev-parse", "HEAD")
    assert found["dirty"] is False and found["changed_files"] == [] and found["diff_sha256"] is None


def test_what_was_changed_is_named_and_has_a_digest(checkout):
    (checkout / "code.py").write_text("x = 2\n")
    first = provenance.code_state(checkout)
    assert first["dirty"] is True and first["changed_files"] == ["code.py"]
    assert re.fullmatch("[0-9a-f]{64}", first["diff_sha256"])
    git(checkout, "add", ".")  # staged or not, the files are the same
    git(checkout, "config", "color.ui", "always")
    git(checkout, "config", "diff.external", "echo anything")
    assert provenance.code_state(checkout) == first
    (checkout / "code.py").write_text("x = 3\n")
    assert provenance.code_state(checkout)["diff_sha256"] != first["diff_sha256"]


@pytest.mark.parametrize("where", ["no checkout", "inside another one", "no git"])
def test_without_a_checkout_of_its_own_only_the_version_is_known(tmp_path, checkout, monkeypatch, where):
    folder = {"no checkout": tmp_path, "inside another one": checkout / "site-packages"}.get(where, checkout)
    folder.mkdir(exist_ok=True)
    if where == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    found = provenance.code_state(folder)
    assert found.pop("segnb") and set(found.values()) == {None}


def test_another_repository_that_git_is_told_of_is_not_recorded(checkout, tmp_path, monkeypatch):
    before = provenance.code_state(checkout)
    other = tmp_path / "other"
    git(tmp_path, "clone", "--quiet", str(checkout), str(other))
    git(other, "commit", "--quiet", "--allow-empty", "-m", "second")
    for name in ("GIT_DIR", "GIT_COMMON_DIR"):
        monkeypatch.setenv(name, str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other / ".git" / "objects"))
    for tree in (other, checkout):
        monkeypatch.setenv("GIT_WORK_TREE", str(tree))
        assert provenance.code_state(checkout) == before


def test_a_checkout_of_another_user_is_its_commit_as_well(checkout, monkeypatch):
    before, run = provenance.code_state(checkout), subprocess.run
    owned = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}  # git's own, for its tests
    assert run(["git", "-C", checkout, "status"], env=os.environ | owned, capture_output=True).returncode
    monkeypatch.setattr(
        provenance.subprocess, "run", lambda command, env, **how: run(command, env=env | owned, **how)
    )
    assert before["commit"] and provenance.code_state(checkout) == before


def test_packages_are_all_that_segnb_needs_with_versions():
    found = provenance.installed()
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    for pin in project["dependencies"]:
        name, version = pin.split("==")
        assert found[name] == version
    assert {"ipython", "pyzmq", "sympy"} <= found.keys()  # needed by what is needed
    assert "pytest" not in found and "segnb" not in found


def test_a_record_says_everything_without_torch_or_pandas():
    code = (
        "import sys, json; from segnb.study import provenance\n"
        "class S: name = 's'; settings = {'data': {'digest': 'd'}, 'weights': {'sha256': 'w'}, 'machine':"
        " {'device': 'cpu', 'threads': 1}, 'preset': {}, 'code': 'c', 'versions': {}}\n"
        "found = provenance.provenance(S)\n"
        "assert not {'torch', 'pandas'} & sys.modules.keys()\n"
        "print(json.dumps(found))"
    )
    found = json.loads(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )
    assert found["data"] == {"digest": "d"} and found["weights"] == {"sha256": "w"}
    assert found["machine"]["threads"] == 1 and found["code"] == "c" and found["study"] == "s"
    assert found["packages"]["numpy"] == np.__version__ and "numpy" not in found["unlocked"]
    assert found["python"] == platform.python_version() and found["processor"]
    assert platform.node() not in json.dumps(found)


def test_a_run_that_is_resumed_elsewhere_says_so(monkeypatch):
    facts = dict.fromkeys(("segnb", "changed_files", "python", "platform", "unlocked"))
    record = facts | {"processor": "A", "commit": "0" * 40, "started": "1", "machine": {"device": "cpu"}}
    for processor in ("A", "B", "A"):
        monkeypatch.setattr(provenance, "cpu_name", lambda name=processor: name)
        before, record = record, provenance.resumed(record)
        assert record == before | {"resumed": record["resumed"]}
    assert [set(entry) for entry in record["resumed"]] == [{"commit", "processor", "started"}] * 3
    assert provenance.in_turn(record, "processor") == ["A", "B", "A"]
    assert provenance.in_turn(record, "commit")[0] == "0" * 40
    assert provenance.in_turn({}, "processor") == []
    assert _facts(record)["processor"] == "A, then B, then A"


# ---- requirements.lock -----------------------------------------------------------------------------------


def test_the_lock_has_the_pins_of_pyproject_and_a_hash_for_every_line():
    text = (CHECKOUT / "requirements.lock").read_text()
    blocks = re.split(r"\n(?=[a-z0-9])", text)[1:]
    assert len(blocks) > 100
    pins = {}
    for block in blocks:
        pin = Requirement(block.splitlines()[0].rstrip(" \\"))
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), block[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", block), block[:80]
        pins.setdefault(pin.name, []).append(str(pin.specifier))
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    for wanted in map(Requirement, project["dependencies"]):
        assert pins[wanted.name] == [str(wanted.specifier)]
    assert "://" not in text and not re.search(r"^-", text, re.M)  # no index, no place of one machine


def test_what_is_installed_is_held_against_the_lock(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "# by hand\na==1.0 \\\n    --hash=sha256:00\n    # via b\n"
        "b==2 ; python_version < '3' \\\n    --hash=sha256:00\n"
        "B==3 ; python_version >= '3' \\\n    --hash=sha256:00\n"
    )
    versions = {"a": "1.0", "b": "2", "c": "1"}
    assert provenance.differs_from_lock(versions, lock) == {"b": ["2", "3"], "c": ["1", None]}
    assert provenance.differs_from_lock({"a": "1.0"}, lock) == {}
    assert provenance.differs_from_lock({"a": "1.0"}, tmp_path / "none") is None


def test_an_unsafe_package_fails_lint_with_its_name_and_what_mends_it(capsys):
    found = [
        {"name": "good", "version": "1", "vulns": []},
        {
            "name": "bad",
            "version": "2",
            "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"], "aliases": ["CVE-1"]}],
        },
    ]
    assert vulnerabilities.tell("the.lock", found) == 1
    assert "bad 2 is unsafe (PYSEC-1, CVE-1); mended in 2.1" in capsys.readouterr().out
    assert vulnerabilities.tell("the.lock", found[:1]) == 0
    assert "1 packages audited, none known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("", "ConnectionError: no route"),
        ('{"dependencies": [{"name": "a", "skip_reason": "not found"}]}', "no word on any of its 1 packages"),
    ],
)
def test_without_a_network_it_says_that_nothing_was_audited(monkeypatch, capsys, answer, told):
    done = subprocess.CompletedProcess([], 1, answer, "Traceback\nConnectionError: no route\n")
    monkeypatch.setattr(vulnerabilities.subprocess, "run", lambda *_, **__: done)
    assert vulnerabilities.main("the.lock") == 0
    out = capsys.readouterr().out
    assert out.startswith("not audited: the.lock") and told in out and out.count("\n") == 1


# ---- runs that are compared ------------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Four runs of two networks, with records as provenance writes them."""
    folder = make_project(tmp_path / "project")
    monkeypatch.setenv("SEGNB_ROOT", str(folder))
    found = make_study(folder, seeds=2, variants=VARIANTS, images=4, epochs=2)
    for run in found.measured():
        write(run)
    return found


def write(run: Run, **changes) -> None:
    settings = run.study.settings
    record = {
        **{"segnb": "0.1.0", "commit": "c" * 40, "dirty": False, "changed_files": [], "diff_sha256": None},
        **{"python": "3.11.7", "platform": "Linux", "processor": "a chip"},
        **{"packages": {"numpy": "2", "pillow": "13"}, "unlocked": {}},
        **{name: settings[name] for name in ("preset", "data", "weights", "machine", "code", "versions")},
        "started": "2026-11-20T10:00:00+0000",
    }
    write_json(run.path / "provenance.json", record | changes)


def test_runs_alike_are_one_sentence_and_no_table(study):
    runs = study.measured()
    assert table(runs) is None
    told = sentence(runs)
    assert told.startswith(f"Study `{runs[0].study.name}` on data set `")
    assert "4 runs, started on 2026-11-20. All runs have in common: " in told
    for fact in ("commit cccccccccccc", "uncommitted changes none", "Python 3.11.7", "processor a chip"):
        assert fact in told
    assert "differ" not in told
    assert identifiers(runs).data["identifier"]["U-Net, no skips"] == "UNet_NoSkip_256"
    assert identifiers([]) is None
    assert sentence([]) == ""


def test_what_differs_is_in_the_table_with_its_runs_and_markup_is_text(study):
    changed = study.run("UNet_NoSkip_256", 1)
    write(
        changed,
        commit="d" * 40,
        dirty=True,
        changed_files=["<b>a.py</b>"],
        diff_sha256="e" * 64,
        packages={"numpy": "2", "pillow": "12"},
        unlocked={"pillow": ["12", "13"]},
        started="2026-11-22T10:00:00+0000",
    )
    runs = study.measured()
    rows = table(runs).data["runs"]
    assert set(rows.index) == {
        "commit",
        "uncommitted changes",
        "packages",
        "packages not as in requirements.lock",
    }
    assert "dddddddddddd: UNet_NoSkip_256 seed 1" in rows["commit"]
    assert "UNet_Standard_256 seeds 0 and 1, UNet_NoSkip_256 seed 0" in rows["commit"]
    assert "<b>a.py</b> (eeeeeeee)" in rows["uncommitted changes"]
    assert rows["packages"].endswith("pillow 12: UNet_NoSkip_256 seed 1") and "numpy" not in rows["packages"]
    assert rows["packages not as in requirements.lock"].endswith("pillow: UNet_NoSkip_256 seed 1")
    told = sentence(runs)
    assert (
        "started from 2026-11-20 to 2026-11-22" in told
        and "commit; uncommitted changes; packages not as in requirements.lock; packages" in told
    )
    shown = table(runs).to_html()
    assert "&lt;b&gt;a.py" in shown and "<b>" not in shown


def test_a_run_without_git_hides_no_difference(study):
    write(study.run("UNet_Standard_256", 0), commit=None, dirty=None, changed_files=None, diff_sha256=None)
    runs = study.measured()
    rows = table(runs).data["runs"]
    assert list(rows.index) == ["commit"] and "not known: UNet_Standard_256 seed 0" in rows["commit"]
    assert "uncommitted changes" not in sentence(runs)


@pytest.mark.parametrize(
    ("fact", "change", "told"),
    [
        ("data", {"digest": "other"}, "data: other instead of"),
        ("weights", {"source": "random", "sha256": None}, "weights source: random instead of hed"),
        ("code", "1" * 16, "code: 1111111111111111 instead of 0000000000000000"),
        ("machine", {"precision": "bf16"}, "machine precision: bf16 instead of fp32"),
        ("preset", {"train": 7}, "preset train: 7 instead of"),
    ],
)
def test_a_run_of_another_study_is_refused_by_name(study, fact, change, told):
    run, settings = study.run("UNet_NoSkip_256", 1), study.settings
    write(run, **{fact: settings[fact] | change if isinstance(change, dict) else change})
    with pytest.raises(SegnbError, match="seed1: must not be compared") as raised:
        decide(study)
    assert told in str(raised.value) and "\n" not in str(raised.value)


def test_a_run_of_another_processor_may_be_compared(study):
    machine = study.settings["machine"] | {"device_name": "another chip", "system": "another"}
    write(study.run("UNet_NoSkip_256", 1), machine=machine)
    provenance.check(study, study.measured())


def test_a_run_of_another_program_has_no_record_and_may_be_compared(study):
    runs = study.measured()
    assert provenance.record(runs[0]) == runs[0].provenance
    runs[0].provenance_path.unlink()
    assert provenance.record(runs[0]) == {}
    provenance.check(study, runs)


def test_studies_of_other_data_or_presets_are_compared_only_when_told_to(study, tmp_path, capsys):
    found = saved.as_dict(decide(study))
    other = json.loads(json.dumps(found))
    other["data"] |= {"name": "camvid", "digest": "1234"}
    epochs = json.loads(json.dumps(found))
    epochs["settings"]["unet"]["epochs"] = 99
    for name, content in (("a", found), ("data", other), ("epochs", epochs)):
        write_json(tmp_path / f"{name}.json", content)
    a = str(tmp_path / "a.json")
    assert cli.main(["claims", "diff", a, a]) == 0
    for name, told in (
        ("data", "data name: streets instead of camvid"),
        ("epochs", "preset unet epochs: 2 inst"),
    ):
        capsys.readouterr()
        assert cli.main(["claims", "diff", a, str(tmp_path / f"{name}.json")]) == 2
        out, err = capsys.readouterr()
        assert told in err and "--anyway" in err and err.count("\n") == 1 and not out
        assert cli.main(["claims", "diff", a, str(tmp_path / f"{name}.json"), "--anyway"]) == 0
