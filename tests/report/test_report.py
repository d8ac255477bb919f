"""The report of a study: its own runs, each with a page."""

import nbformat
import pytest
from bs4 import BeautifulSoup

from segnb.params import ReportParams
from segnb.report.report import export_study
from tests.synthetic_study import make_study

VARIANTS = ["UNet_Standard_256", "ResidualUNet_256"]


@pytest.fixture
def study(project):
    made = make_study(project, 2, variants=VARIANTS, images=2)
    for variant in VARIANTS:
        for seed in (0, 1):
            save(made.run(variant, seed).notebook_path)
    return made


def save(path):
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A")]), path)
    return path


def test_a_report_links_a_page_for_each_of_its_runs_and_for_no_other(study, tmp_path):
    out = tmp_path / "report" / "index.html"
    for variants, seeds in ((",".join(VARIANTS), "0"), ("ResidualUNet_256", "0,1")):
        params = ReportParams(study=study.name, variants=variants, seeds=seeds)
        assert export_study(params, [save(tmp_path / "claims.ipynb")], out) == out
        wanted = {f"training/{v}-seed{s}.html" for v in variants.split(",") for s in seeds.split(",")}
        page = BeautifulSoup(out.read_text(encoding="utf-8"), "html5lib")
        assert {link["href"] for link in page.select(".runs a")} == wanted
        assert {f"training/{path.name}" for path in out.parent.glob("training/*")} == wanted
        assert (
            f"seed{'s' * (seeds != '0')} {seeds.replace(',', ', ')}" in page.select_one(".facts").get_text()
        )
