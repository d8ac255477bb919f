"""Numbers and anchors of figures and tables, links to them, and links between figures and claims."""

import re

import nbformat
import pytest
from bs4 import BeautifulSoup

from segnb.report import claim_blocks, tables
from segnb.report.figures.style import Picture, figure
from tests.claims.examples import claim, part
from tests.conftest import CHECKOUT
from tests.report.test_html import FRAME, code, display, html, report, report_of, save

PAIR = ("U-Net", "U-Net, no skips")


@figure
def drawn(names: list[str], metric: str) -> Picture:
    fig = Picture()
    fig.subplots()
    return fig.described("A drawing", "Something is seen.").shows(names, metric)


def shown(*args) -> nbformat.NotebookNode:
    data, metadata = drawn(*args).bundle(drawing=False)
    return display(data, **metadata)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> BeautifulSoup:
    folder = tmp_path_factory.mktemp("numbers")
    part_of_iou = part(metric="iou:Car", label="a")
    blocks = [
        claim_blocks.block(claim("U1", contrasts=(part(), part_of_iou)), [drawn(PAIR, "iou:*")]),
        claim_blocks.block(claim("M1", kind="audit", contrasts=(), decisive=None)),
    ]
    claims = save(
        folder / "claims.ipynb",
        "# Claims\n\n[Another chapter](unet.ipynb#fig-drawn) shows it, and [no figure](#fig-gone) is plain.",
        code("table", html(tables.table("scores", FRAME, "Some scores.", metrics=["M1"]).to_html())),
        "## Plain\n\ntext",
        code("frame", html(FRAME.to_html())),
    )
    unet = save(
        folder / "unet.ipynb",
        "# U-Net\n\n[The figures](#fig-drawn), [the table](claims.ipynb#table-scores), [U1](#claim-U1)",
        code("a", shown(PAIR, "miou"), shown(PAIR[:1], "miou")),
        *[code("b", html(block.data)) for block in blocks],
        code("c", shown(PAIR, "recall:*")),
    )
    return report([claims, unet], folder / "index.html")


def captions(page: BeautifulSoup) -> dict[str, str]:
    """What figures and tables say below or above them, by anchor."""
    items = page.select("main :is(figure, .table)")
    return {item["id"]: item.find(["caption", "figcaption"]).get_text() for item in items}


def test_figures_and_tables_are_numbered_in_the_order_of_the_page(page):
    assert captions(page) == {
        "table-claims-scores": "Table 1. Some scores. Claim: M1.",
        "table-claims-plain": "Table 2",
        "fig-unet-drawn": "Figure 1. Something is seen. Claim: U1.",
        "fig-unet-drawn-2": "Figure 2. Something is seen.",
        "table-u1-comparisons": captions(page)["table-u1-comparisons"],
        "fig-u1-drawn": "Figure 3. Something is seen. Claim: U1.",
        "fig-unet-drawn-3": "Figure 4. Something is seen.",
    }
    assert captions(page)["table-u1-comparisons"].startswith("Table 3. U1 rests on")


def test_a_number_shows_its_address_and_anchors_do_not_depend_on_the_order(page):
    for item in page.select("main :is(figure, .table)"):
        assert item.select_one("a.itself")["href"] == f"#{item['id']}"
    assert not page.select("[data-about], [data-compares]")
    for table in page.select(".table"):
        assert table["aria-label"].startswith("Table")


def test_text_names_figures_by_their_numbers(page):
    links = {link.get_text(): link["href"] for link in page.select(".prose a")}
    assert links == {
        "Figure 1": "#fig-unet-drawn",
        "Table 1": "#table-claims-scores",
        "U1": "#claim-U1",
    }
    assert "no figure is plain" in page.get_text()


def test_several_figures_of_one_name_are_named_together(tmp_path):
    cells = [shown(PAIR, "miou")] * 3
    page = report_of(tmp_path, "[the figures](#fig-drawn)", code("a", *cells))
    assert page.select_one(".prose a").get_text() == "Figures 1 to 3"


def test_a_claim_links_to_the_figures_that_show_its_metric_and_networks(page):
    rows = {
        block["id"]: {row.dt.get_text(): row.dd for row in block.select("dl > div")}
        for block in page.select("details.claim")
    }
    evidence = {name: facts["Shown in"].get_text() for name, facts in rows.items()}
    assert evidence == {"claim-U1": "Figure 1, Table 3, Figure 3", "claim-M1": "Table 1"}


NOTEBOOKS = {
    path.name: nbformat.read(path, 4)
    for path in (CHECKOUT / "notebooks").glob("*.ipynb")
    if path.stem not in ("explore", "status")  # no pages
}
FIGURE_LINK = re.compile(r"\[[^\]]+\]\(([\w.]*)#(?:fig|table)-([\w-]+)\)")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_text_of_a_notebook_links_to_the_figures_that_it_shows(name):
    """Each figure that the text speaks of is a link, to a function that the notebook calls."""
    for cell in NOTEBOOKS[name].cells:
        if cell.cell_type != "markdown" or "remove_cell" in cell.metadata.get("tags", []):
            continue
        for file, made in FIGURE_LINK.findall(cell.source):
            cells = NOTEBOOKS[file or name].cells
            calls = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
            assert re.search(rf"\b{made.replace('-', '_')}\b", calls), f"{name}: nothing shows {made}"
        plain = FIGURE_LINK.sub("", cell.source)
        unlinked = re.findall(r"\b(?:[Tt]he|first|second|[Tt]his) (?:figure|table)s?\b.*", plain)
        assert not unlinked, f"{name}: link to the figure or table, [the figure](#fig-name)"
