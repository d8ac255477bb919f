"""The whole engine on the smoke preset: every notebook run by papermill, and the finished report."""

import os
import re
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup

from segnb.claims.ledger import LEDGER
from segnb.claims.saved import read
from segnb.evaluation import scores
from segnb.models.registry import FAMILIES, VARIANTS
from segnb.study.study import open_study
from tests.conftest import CHECKOUT, REPORTED, segnb
from tests.notebooks.test_notebooks import CHAPTERS, twice


@pytest.fixture(scope="module")
def project(reported):
    return reported


@pytest.fixture
def study(project, monkeypatch):
    monkeypatch.setenv("SEGNB_ROOT", str(project))
    return open_study()


@pytest.fixture(scope="module")
def page(project) -> BeautifulSoup:
    return BeautifulSoup((project / "report" / "index.html").read_text(), "html5lib")


def trained_at(study) -> dict[str, int]:
    return {str(run.path): run.model_path.stat().st_mtime_ns for run in study.measured()}


def test_all_that_was_asked_for_is_trained_tested_and_printed(project, study):
    assert [run.variant for run in study.measured()] == list(REPORTED)
    printed = (project / "stdout").read_text()
    for name in REPORTED:
        assert re.search(rf"^{name}\s+0\.\d{{3}}\s+1$", printed, re.M)
    assert printed.rstrip().endswith("index.html")
    assert list(study.cost().index) == list(REPORTED)


def test_a_second_seed_and_another_network_train_only_themselves_and_all_costs_stay(project, study):
    trained, other = "UNet_Standard_256", "FCN16s_vgg16_freeze"
    plan = subprocess.run(
        [sys.executable, "-m", "snakemake", "--dry-run", "--nolock", "--printshellcmds", "--cores", "1"]
        + ["--snakefile", project / "Snakefile", "--directory", project]
        + ["--config", f"study={study.name}", f"variants={trained},{other}", "seeds=0,1"],
        env=os.environ | {"SEGNB_ROOT": str(project)},
        capture_output=True,
        text=True,
    )
    counts = dict(re.findall(r"^(\w+) +(\d+)$", plan.stdout, re.M))  # Snakemake prints them twice
    wanted = {"train": 3, "measure": 3, "cost": 1, "claims": 1, "report": 1, "chapter": len(CHAPTERS)}
    assert {rule: int(count) for rule, count in counts.items() if rule != "total"} == wanted, plan
    runs = re.findall(r"run notebooks/train.ipynb runs/[^/]+/(\w+)/seed(\d)/", plan.stdout)
    assert sorted(runs) == [(other, "0"), (other, "1"), (trained, "1")]
    (timed,) = re.findall(r"segnb.cli cost .* --variants (\S+)", plan.stdout)
    assert timed.split(",") == sorted([*REPORTED, other])


def test_frozen_trunks_of_one_seed_are_computed_once(project, study):
    assert len(list((project / "cache" / "features").glob("*/done.json"))) == 2  # training and validation
    logs = [
        (study.run(name, 0).path / "train.log").read_text() for name in REPORTED if name.endswith("freeze")
    ]
    assert sum("features of the frozen trunk: 16 views computed" in log for log in logs) == 1


def test_nothing_half_finished_is_left(study):
    assert not list(study.path.rglob("last.pt"))
    assert {path.name for path in study.path.rglob(".*") if path.is_file()} == {".lock"}  # one per run


def test_every_picture_in_the_report_says_what_it_shows(page):
    pictures = page.find_all("img")
    assert len(pictures) >= 15
    assert all(len(picture.get("alt", "")) > 20 for picture in pictures)


def test_every_variant_is_in_the_report_and_its_training_is_linked(project, page):
    text = page.get_text()
    for name in REPORTED:
        assert VARIANTS[name].label in text
        link = page.find("a", href=f"training/{name}-seed0.html")
        assert link and (project / "report" / link["href"]).exists()


def test_every_anchor_lands(page):
    ids = {tag["id"] for tag in page.find_all(id=True)}
    for link in page.find_all("a", href=re.compile("^#.")):
        assert link["href"][1:] in ids, link


def test_figures_and_tables_have_numbers_and_claims_link_to_theirs(page):
    items = page.select("main :is(figure, .table, .matrix)")
    numbers = [item.select_one(f"a.itself[href='#{item['id']}']").get_text() for item in items]
    for kind in ("Figure", "Table"):
        own = [number for number in numbers if number.startswith(kind)]
        assert own == [f"{kind} {place}" for place in range(1, len(own) + 1)] and len(own) > 5
    assert page.select_one(".prose a[href='#fig-claims-overview']").get_text() == "Figure 2"
    for claim in page.select("details.claim"):
        evidence = {link["href"] for link in claim.select("dl a[href^='#']")}
        assert evidence >= {f"#{item['id']}" for item in claim.select("figure, .table")}, claim["id"]
        for item in page.select(f"main :is(figcaption, caption) .claims a[href='#{claim['id']}']"):
            assert f"#{item.find_parent(id=re.compile('^(fig|table)-'))['id']}" in evidence
    entries = {entry["id"] for entry in page.select(".references li")}
    assert len(entries) > 10 and all(page.select(f"article a[href='#{entry}']") for entry in entries)


def test_chapters_are_there_with_claims_first(page):
    ids = [article["aria-labelledby"] for article in page.find("main").find_all("article")]
    assert ids[0] == "claims" and sorted(ids) == CHAPTERS
    assert len(page.find_all("h1")) == 1


def test_each_claim_stands_in_the_chapter_of_its_family(page):
    for family, chapter in (("F", "fcn"), ("U", "unet"), ("M", "audit")):
        there = page.find("article", attrs={"aria-labelledby": chapter}).select("details.claim")
        names = [name for name, claim in LEDGER.items() if claim.family == family]
        assert sorted(block["id"] for block in there) == sorted(f"claim-{name}" for name in names)


def test_scores_lie_where_those_of_the_stored_smoke_study_lie(study):
    """Within five standard deviations over seeds, which all networks of a family share."""
    stored = read(CHECKOUT / "results" / "smoke-streets.json").scores
    found = scores.ranking(study.measured()).miou
    for family in FAMILIES:
        names = [name for name in REPORTED if VARIANTS[name].family == family]
        sd = np.sqrt(np.mean([np.var(stored[name]["miou"], ddof=1) for name in names]))
        for name in names:
            assert found[name] == pytest.approx(np.mean(stored[name]["miou"]), abs=5 * sd), name


def test_a_second_call_trains_nothing_and_draws_nothing(project, study):
    before = trained_at(study)
    html = (project / "report" / "index.html").stat().st_mtime_ns
    again = segnb(project, "report", "--preset", "smoke", "--jobs", "2", "--variants", ",".join(REPORTED))
    assert again.returncode == 0, again.stderr
    assert trained_at(study) == before
    assert (project / "report" / "index.html").stat().st_mtime_ns == html


def test_every_cell_of_the_explorer_can_be_run_twice_from_another_folder_and_keeps_an_image(
    project, tmp_path
):
    (elsewhere := tmp_path / "elsewhere").mkdir()
    out = tmp_path / "executed.ipynb"
    done = subprocess.run(
        [sys.executable, "-m", "papermill", twice("explore", tmp_path), out, "--no-progress-bar"],
        cwd=elsewhere,
        env=os.environ | {"SEGNB_ROOT": str(project)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    outputs = [output for cell in nbformat.read(out, 4).cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
