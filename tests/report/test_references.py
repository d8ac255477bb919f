"""Citations and the list of works: each leads to the other, in notebooks, report and documentation."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from segnb.report.html.anchors import works
from tests.conftest import CHECKOUT
from tests.report.test_html import report_of

CITED = re.compile("|".join(work.pattern for work in works()))
# What looks like a citation: "Long et al. 2015", "Benjamini and Hochberg (1995)", "(Rubin 1981)".
NAME = r"[A-Z][a-zà-ž]+(?:-[A-Z][a-z]+)?"
LIKE_ONE = re.compile(
    rf"{NAME} et al\.,? \(?(?:19|20)\d\d|{NAME}(?:, {NAME})* and {NAME} \(?(?:19|20)\d\d"
    rf"|{NAME} \((?:19|20)\d\d\)|[(;] ?{NAME} (?:19|20)\d\d\)"
)


def strings(path: Path) -> str:
    """The strings of a module, without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    statements = [node.value for node in nodes if isinstance(node, ast.Expr)]
    constants = [node for node in nodes if isinstance(node, ast.Constant) and node not in statements]
    return "\n".join(node.value for node in constants if isinstance(node.value, str))


def markdown(path: Path) -> str:
    return "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")


READERS = {  # of all that a reader of the report or the documentation sees
    "notebooks/*.ipynb": markdown,
    "segnb/**/*.py": strings,
    "segnb/**/*.j2": Path.read_text,
    "segnb/claims/ledger/*.toml": Path.read_text,
    "docs/*.md": Path.read_text,
    "README.md": Path.read_text,
}
TEXTS = {
    str(path.relative_to(CHECKOUT)): read(path)
    for pattern, read in READERS.items()
    for path in CHECKOUT.glob(pattern)
    if path.name != "style.md"  # it has examples
}


def test_every_citation_has_an_entry():
    for place, text in TEXTS.items():
        missing = [match[0] for match in LIKE_ONE.finditer(text) if not CITED.search(match[0] + ")")]
        assert not missing, f"{place}: add the work to segnb/report/works.toml"


def test_every_entry_is_cited():
    everything = "\n".join(TEXTS.values())
    assert [work.anchor for work in works() if not re.search(work.pattern, everything)] == []


def test_every_entry_has_a_link_that_lasts():
    study, *others = works()
    assert study.link.startswith("https://github.com/")
    for work in others:
        assert re.match(r"https://(doi\.org/10\.|arxiv\.org/abs/)\S+$", work.link), work.anchor
    assert [work.surnames for work in others] == sorted(work.surnames for work in others)
    assert len({work.anchor for work in works()}) == len(works())


def test_the_documentation_lists_them():
    page = TEXTS["docs/index.md"]
    for work in works()[1:]:
        assert f"- {work.by} ({work.year}): [{work.title}]({work.link}), {work.venue}.\n" in page


def test_a_page_links_its_citations_and_lists_their_works_alone(tmp_path):
    text = "As in Long et al. (2015), and Rubin 1981; [He et al. 2016](https://example.org), `Smyth 2004`."
    page = report_of(tmp_path, text)
    links = {link.get_text(): link["href"] for link in page.select("main p a")}
    assert links["Long et al. (2015)"] == "#ref-long-2015" and links["Rubin 1981"] == "#ref-rubin-1981"
    entries = page.select(".references li")
    assert [entry["id"] for entry in entries] == ["ref-long-2015", "ref-rubin-1981"]
    assert "Fully Convolutional Networks" in entries[0].get_text()
    assert page.select("nav ol a")[-1]["href"] == "#references"


@pytest.mark.parametrize("text", ["In Berlin 2015 it rained.", "`Rubin 1981`"])
def test_a_page_that_cites_nothing_has_no_list(tmp_path, text):
    assert not report_of(tmp_path, text).select(".references, #references")
