"""What a change of the code asks Snakemake for: a dry run in a finished study, after a file was changed."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segnb.models.registry import VARIANTS as REGISTRY
from segnb.pipeline import resources
from segnb.report import CHAPTERS
from segnb.runtime.pool import PROCESSES
from segnb.study.study import Study
from tests.conftest import CHECKOUT
from tests.synthetic_study import make_study

VARIANTS = ["FCN8s_vgg16_freeze", "UNet_Standard_256"]
AGAIN = {"measure", "claims", "chapter", "report"}  # rules, after a change of the evaluation
BEGIN = 1_600_000_000  # when the code was written, in seconds


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A project with code of its own and a finished study, each step of it later than the one before."""
    project = tmp_path_factory.mktemp("snakefile")
    for name in ("segnb", "notebooks", "profiles"):
        shutil.copytree(CHECKOUT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "Snakefile", project)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGNB_ROOT", str(project))
        study = make_study(project, 1, variants=VARIANTS, images=2)
        for path in project.rglob("*"):
            os.utime(path, (BEGIN, BEGIN))
        runs = [study.run(variant, 0) for variant in VARIANTS]
        made = [study.path / f"{kind}-{size}.json" for kind in ("data", "scenes") for size in study.sizes()]
        made += [run.path / "train.ipynb" for run in runs]
        made += [path for run in runs for path in run.path.glob("*.npz")]
        made += [study.cost_path, study.claims_path]
        made += [study.path / "chapters" / f"{name}.ipynb" for name in CHAPTERS]
        for age, path in enumerate([*made, project / "report" / "index.html"], 1):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            os.utime(path, (BEGIN + age,) * 2)
    return project


def call(project: Path, *options: str, variants: str = ",".join(VARIANTS), seeds: str = "0"):
    """Call Snakemake for a report of the study and return the finished process."""
    (study,) = (project / "runs").iterdir()
    config = [f"study={study.name}", f"variants={variants}", f"seeds={seeds}"]
    command = [sys.executable, "-m", "snakemake", *options, "--cores", "1", "--profile", "profiles/local"]
    env = os.environ | {"SEGNB_ROOT": str(project), "PYTHONPATH": str(CHECKOUT)}
    return subprocess.run(
        [*command, "--config", *config], cwd=project, env=env, capture_output=True, text=True
    )


def engine(project: Path, *options: str, seeds: str = "0") -> str:
    """Call Snakemake for a report of the study and return what it prints."""
    done = call(project, *options, seeds=seeds)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def print_details(project: Path) -> None:
    """Remove the messages of rules: of a job with one, Snakemake prints neither resources nor priority."""
    rules = (project / "Snakefile").read_text()
    (project / "Snakefile").write_text(re.sub(r"    message:\n.*\n", "", rules))


def asked_for(project: Path, changed: str, seeds: str = "0", added: str = "") -> set[str]:
    """Return the rules whose jobs a report needs after that file of the code got a new time and more text."""
    path = project / "segnb" / changed
    before = path.read_text(encoding="utf-8")
    path.write_text(before + added, encoding="utf-8")
    try:
        plan = engine(project, "--dry-run", seeds=seeds)
    finally:
        path.write_text(before, encoding="utf-8")
        os.utime(path, (BEGIN, BEGIN))
    return set(re.findall(r"^(\w+) +\d+$", plan, re.M)) - {"total"}


@pytest.mark.parametrize(
    ("changed", "added", "rules"),
    [
        (
            "training/loop.py",
            "new = 1",
            set(),
        ),  # the digest in a study's name covers it: nothing is trained again
        ("metrics/confusion.py", "new = 1", AGAIN),
        ("metrics/confusion.py", "# new", {"chapter", "report"}),  # the digest of the evaluation stays
        ("models/registry.py", "", {"chapter", "report"}),
    ],
)
def test_a_change_asks_for_what_it_makes_and_all_that_follows(finished, changed, added, rules):
    assert asked_for(finished, changed, added=added) == rules


def test_the_recorded_digest_decides_on_an_evaluation_and_no_time_of_a_file(finished):
    (study,) = map(Study, (finished / "runs").iterdir())
    run = study.run(VARIANTS[0], 0)
    before, age = run.test(), run.confusion_path.stat().st_mtime
    for code, rules in (("another", AGAIN), (before["code"], set())):
        run.write_arrays(run.confusion_path, **before | {"code": np.array(code)})
        os.utime(run.confusion_path, (age, age))
        assert asked_for(finished, "training/loop.py") == rules


def test_another_set_of_files_than_snakemake_noted_repeats_no_evaluation(finished, tmp_path):
    """As after a change of version: the notes in .snakemake/metadata list fewer files."""
    project = tmp_path / "project"
    shutil.copytree(finished, project)
    engine(project, "--touch", "--forceall")
    assert any(project.glob(".snakemake/metadata/*"))
    extra = project / "segnb" / "evaluation" / "extra.txt"  # no code, so the digest stays
    extra.touch()
    os.utime(extra, (BEGIN, BEGIN))
    assert asked_for(project, "training/loop.py") == set()


def test_evaluation_asks_for_its_test_scenes_and_training_does_not(finished):
    (study,) = map(Study, (finished / "runs").iterdir())
    marks = [study.path / f"scenes-{size}.json" for size in study.sizes()]
    ages = [mark.stat().st_mtime for mark in marks]
    for mark in marks:
        mark.unlink()
    rules = asked_for(finished, "metrics/confusion.py", added="new = 1")
    assert rules == {"scenes", *AGAIN}
    for mark, age in zip(marks, ages, strict=True):
        mark.touch()
        os.utime(mark, (age, age))


def test_missing_marks_of_images_repeat_no_finished_run(finished, tmp_path):
    """After `make clean`, one more seed trains and evaluates that seed only."""
    project = tmp_path / "project"
    shutil.copytree(finished, project)
    engine(project, "--touch", "--forceall")  # notes that the chapters show one seed
    marks = [mark for kind in ("data", "scenes") for mark in project.glob(f"runs/*/{kind}-*.json")]
    for mark in marks:
        mark.unlink()
    plan = engine(project, "--dry-run", seeds="0,1")
    counts = dict(re.findall(r"^(\w+) +(\d+)$", plan, re.M))
    assert len(marks) >= 2 and counts["data"] == counts["scenes"] == str(len(marks) // 2)
    assert (counts["train"], counts["measure"]) == ("2", "2")  # a run of each network


def test_networks_that_were_timed_before_are_timed_again_with_memory_for_them(finished, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(finished, project)
    (study,) = map(Study, (project / "runs").iterdir())
    cost = json.loads(study.cost_path.read_text())
    cost["variants"]["Gone"] = cost["variants"][VARIANTS[0]]  # no longer in the registry, so not timed
    study.cost_path.write_text(json.dumps(cost))
    print_details(project)
    options = "--dry-run", "--printshellcmds", "--forcerun", "cost"
    plan = call(project, *options, variants=VARIANTS[1]).stdout
    (job,) = re.findall(r"^rule cost:\n.*?segnb.cli cost.*?$", plan, re.M | re.S)
    assert job.endswith(f"--variants {','.join(VARIANTS)}")
    assert f"mem_mb={resources.costing(study, VARIANTS)['mem_mb']}," in job


def test_what_diverged_is_not_tried_again_and_nothing_waits_for_it(finished):
    (study,) = map(Study, (finished / "runs").iterdir())
    for variant in VARIANTS:
        study.run(variant, 1).diverge(1, "the training diverged in epoch 1")
    assert asked_for(finished, "training/loop.py", seeds="0,1") == set()


def test_trainings_go_seed_by_seed_and_the_longest_of_a_seed_first(finished, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(finished, project)
    print_details(project)
    options = "--dry-run", "--forceall", "--printshellcmds"
    plan = call(project, *options, variants="all", seeds="4,0,7").stdout
    jobs = re.findall(
        r"^rule train:\n.*?wildcards: variant=(\w+), seed=(\d+)\n.*?priority: (\d+)$", plan, re.M | re.S
    )
    assert len(jobs) == 3 * len(REGISTRY)
    jobs.sort(key=lambda job: -int(job[2]))
    order = [(seed, REGISTRY[name].trains_longest) for name, seed, _ in jobs]
    longest = sum(variant.trains_longest for variant in REGISTRY.values())
    rest = len(REGISTRY) - longest
    assert order == [(seed, first) for seed in "047" for first in [True] * longest + [False] * rest]
    before = re.findall(r"^rule (?:data|scenes):\n.*?priority: (\d+)$", plan, re.M | re.S)
    assert before and min(map(int, before)) > max(int(job[2]) for job in jobs)
    assert f"{PROCESSES}=1 exec " in plan  # scenes are rendered with the threads of a run
    chapters = re.findall(
        r"^rule chapter:\n.*?wildcards: chapter=(\w+)\n(?:    priority: (1)\n)?", plan, re.M | re.S
    )
    assert {name for name, first in chapters if first} == {"fcn", "unet"} and len(chapters) == len(CHAPTERS)


def test_variants_and_seeds_are_read_as_segnb_report_reads_them(finished):
    plan = call(finished, "--dry-run", "--forceall", variants="unet", seeds="2,0")
    unets = [name for name, variant in REGISTRY.items() if variant.family == "unet"]
    assert re.search(rf"^train +{2 * len(unets)}$", plan.stdout, re.M), plan.stdout + plan.stderr
    for wrong, message in (
        ({"variants": "UNet"}, "variants: unknown name 'UNet' (expected one or more of all, study, "),
        ({"seeds": "0,x"}, "invalid seeds '0,x' (expected comma-separated integers from 0 to "),
    ):
        done = call(finished, "--dry-run", **wrong)
        assert done.returncode == 1 and f"\n{message}" in done.stdout + done.stderr
