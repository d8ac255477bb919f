"""The exported HTML: self-contained, accessible, in order; and what refuses to become HTML."""

import base64
import hashlib
import io
import json
import re
from pathlib import Path
from urllib.parse import unquote

import nbformat
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from segnb.claims.verdicts import Verdict
from segnb.errors import SegnbError
from segnb.labels import STREET
from segnb.report import claim_blocks
from segnb.report.figures.images import class_legend
from segnb.report.html import FOLDER, SVG, unbroken
from segnb.report.html.anchors import text_of
from segnb.report.image_matrix import matrix
from segnb.report.report import LONG, SCRIPTS, export_page

EVIL = '<script>alert("x")</script>'


def drawn(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png")
    return buffer.getvalue()


def display(data: dict, **metadata: dict) -> nbformat.NotebookNode:
    return new_output("display_data", data, metadata=metadata)


def picture(**meta: str) -> nbformat.NotebookNode:
    """40×30 pixels, as a notebook holds them: with line breaks."""
    data = base64.encodebytes(drawn(np.zeros((30, 40), np.uint8))).decode()
    return display({"image/png": data, "text/plain": "<Figure size 40x30>"}, **{"image/png": meta})


def html(text: str) -> nbformat.NotebookNode:
    return display({"text/html": text, "text/plain": "a table"})


def stream(text: str, name: str = "stdout") -> nbformat.NotebookNode:
    return new_output("stream", name=name, text=text)


def code(source: str, *outputs: nbformat.NotebookNode, tags: tuple[str, ...] = ()) -> nbformat.NotebookNode:
    return new_code_cell(source, outputs=list(outputs), execution_count=1, metadata={"tags": list(tags)})


def save(path: Path, *cells: nbformat.NotebookNode | str) -> Path:
    cells = [new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    for number, cell in enumerate(cells):
        cell.id = str(number)  # as in every other notebook
    nbformat.write(new_notebook(cells=cells), path)
    return path


FRAME = pd.DataFrame(
    {
        "mIoU": [0.41, 0.473],
        "interval": ["[0.38, 0.44]", "–"],
        "note": ["first", "a longer remark, of many words"],
    },
    index=["FCN32s_vgg16_freeze", "UNet_Standard_256"],
)


# A PNG whose header is whole, but whose pixels are missing.
CUT = base64.b64encode(base64.b64decode(picture().data["image/png"])[:-30]).decode()
KEY = [{"label": "FCN <8s>", "colour": "#112233", "marker": "o", "frozen": True}]


@pytest.fixture(scope="module")
def chapters(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("chapters")
    styled = FRAME.style.set_uuid("same").set_caption("Scores").to_html()
    bar = "50%|█████     | 1/2 [00:01<00:01,  1.0it/s]"
    claims = save(
        folder / "claims.ipynb",
        "# Claims\n\nSee [curves](fcn.ipynb#The-curves), [below](#Same-heading).",
        "[nowhere](#gone), [lost](x.ipynb)",
        code("seeds = [0]", tags=("parameters",)),
        code("seeds = [0, 1]", tags=("injected-parameters",)),
        "## Same heading\n\n[a paper](https://example.org/paper)",
        code("styled", html(styled)),
        code("f'{1}'", stream("<b>printed</b>\n"), stream(bar, "stderr")),
        code("drop_me", stream("dropped"), tags=("remove_cell",)),
        code("input_only", stream("kept\n"), tags=("remove_input",)),
    )
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}, "text/plain": "Slider()"}
    fcn = save(
        folder / "fcn.ipynb",
        "# FCN\n\n## The curves",
        code("draw()", picture(alt='Curves of "two" networks', caption="Loss & mIoU", key=KEY)),
        "## Same heading\n\n### Deeper",
        code("styled", html(styled)),
        code("frame", html(FRAME.to_html())),
        code("train()", stream("".join(f"epoch {i}\n" for i in range(40))), stream("a warning\n", "stderr")),
        code("1 < 2", new_output("execute_result", {"text/plain": "<not html>"}, execution_count=1)),
        code("widget", display(widget)),
    )
    return [claims, fcn]


def report(notebooks: list[Path], out: Path, **changes) -> BeautifulSoup:
    arguments = {
        "title": "A report",
        "subtitle": "on streets",
        "facts": {"Preset": "quick"},
        "warnings": ["backbone weights are random"],
        "pages": [("FCN8s, seed 0", Path("train/FCN8s/seed 0.html"))],
    }
    assert export_page(notebooks, out, **(arguments | changes)) == out
    return BeautifulSoup(out.read_text(encoding="utf-8"), "html5lib")


def report_of(folder: Path, *cells: nbformat.NotebookNode | str) -> BeautifulSoup:
    return report([save(folder / "a.ipynb", "# A", *cells)], folder / "index.html")


@pytest.fixture(scope="module")
def page(chapters: list[Path], tmp_path_factory) -> BeautifulSoup:
    return report(chapters, tmp_path_factory.mktemp("page") / "index.html")


def test_nothing_is_loaded_from_outside(page: BeautifulSoup) -> None:
    for tag in page.find_all(True):
        for name in ("src", "srcset", "poster", "data", "action", "xlink:href"):
            assert tag.get(name, "data:").startswith("data:"), tag
        if tag.name == "a":
            assert not tag["href"].startswith(("//", "http:", "javascript:"))
        else:
            assert "href" not in tag.attrs, tag
        assert "url(" not in tag.get("style", "")
    assert not any(re.search(r"url\(|@import|//", style.string) for style in page.find_all("style"))
    (script,) = page.find_all("script")
    assert not re.search(r"https?:|\bimport\b|fetch|//\w", script.string)
    policy = page.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    digest = base64.b64encode(hashlib.sha256(script.string.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert f"script-src 'sha256-{digest}'" in policy  # the browser refuses every other


def test_pictures_have_alt_size_and_caption(page: BeautifulSoup) -> None:
    (image,) = page.find_all("img")
    assert image["alt"] == 'Curves of "two" networks'
    assert (image["width"], image["height"]) == ("40", "30")
    assert image["src"].startswith("data:image/png;base64,") and "\n" not in image["src"]
    figure = image.find_parent("figure")
    assert figure.figcaption.get_text() == "Figure 1. Loss & mIoU"
    (name,) = figure.find_all("li")  # which a phone shows
    assert name.get_text() == "FCN <8s>" and name.i["style"] == "border-top: 3px dashed #112233"


def test_ids_are_unique_and_anchors_land(page: BeautifulSoup) -> None:
    """Also where two tables have the same id: the second goes without."""
    ids = [tag["id"] for tag in page.find_all(id=True)]
    assert len(ids) == len(set(ids))
    assert [table.get("id") for table in page.find_all("table")] == ["T_same", None, None]
    for link in page.select("a[href^='#']"):
        assert link["href"][1:] in ids, link


def test_links_between_notebooks_become_links_in_the_page(page: BeautifulSoup) -> None:
    links = {link.get_text(): link["href"] for link in page.main.find_all("a")}
    assert links["curves"] == "#fcn-the-curves"
    assert links["below"] == "#claims-same-heading"
    assert "nowhere" not in links and "lost" not in links and "nowhere" in page.main.get_text()
    assert links["a paper"] == "https://example.org/paper"
    assert links["FCN8s, seed 0"] == "train/FCN8s/seed%200.html"


def test_outline_and_contents(page: BeautifulSoup) -> None:
    headings = [(h.name, h.get_text(), h.get("id")) for h in page.find_all(re.compile("^h[1-6]$"))]
    outline = [
        ("h2", "Claims", "claims"),
        ("h3", "Same heading", "claims-same-heading"),
        ("h2", "FCN", "fcn"),
        ("h3", "The curves", "fcn-the-curves"),
        ("h3", "Same heading", "fcn-same-heading"),
        ("h4", "Deeper", "fcn-deeper"),
        ("h2", "Training runs", "training-runs"),
    ]
    assert headings == [("h1", "A report", None), *outline]
    contents = [f"#{anchor}" for level, _, anchor in outline if level != "h4"]
    assert [link["href"] for link in page.select("nav ol a")] == contents
    assert [article["aria-labelledby"] for article in page.find_all("article")] == ["claims", "fcn"]


@pytest.mark.filterwarnings("error")  # such as one of cells that share an id
def test_anchors_do_not_depend_on_the_order(chapters: list[Path], tmp_path: Path, page) -> None:
    turned = report(chapters[::-1], tmp_path / "turned.html")
    anchors, again = ({link["href"] for link in one.select("nav ol a")} for one in (page, turned))
    assert anchors == again


def test_code_is_folded_but_there(page: BeautifulSoup) -> None:
    for block in page.select("div.highlight"):
        fold = block.find_parent("details")
        assert fold and not fold.has_attr("open")
    summaries = [summary.get_text() for summary in page.select("details.code > summary")]
    assert summaries[:3] == ["Parameters of this run", "Code", "Code"]
    text = page.main.get_text()
    assert "draw()" in text
    assert "drop_me" not in text and "dropped" not in text
    assert "input_only" not in text and "kept" in text


def test_printed_text_is_escaped_and_stderr_is_left_out(page: BeautifulSoup) -> None:
    printed = [pre.get_text().strip() for pre in page.select("pre.printed")]
    assert {"<b>printed</b>", "<not html>", "Slider()"} <= {*printed}  # a widget's text, and no widget state
    assert not any("it/s" in text or "warning" in text for text in printed)
    assert not page.find("script", type=True)
    summaries = [log.summary.get_text() for log in page.select("details.log")]
    assert summaries == ["Printed output, 40 lines"]


def test_tables_scroll_and_numbers_align(page: BeautifulSoup) -> None:
    for table in page.find_all("table"):
        assert table.parent["class"] == ["table"] and table.parent["tabindex"] == "0"
        assert not table.has_attr("border")
        cells = table.select("thead th")
        assert [cell.get_text().strip() for cell in cells] == ["", "mIoU", "interval", "note"]
        assert ["number" in cell.get("class", []) for cell in cells] == [False, True, True, False]
        assert table.tbody.find("th").get_text() == "FCN32s_vgg16_freeze"
    assert page.table.parent["aria-label"] == "Table 1. Scores" == page.table.caption.get_text()


def test_names_and_intervals_stay_on_one_line(tmp_path: Path) -> None:
    assert unbroken("FCN-8s & U-Net, a U-Nets-like <b> (−1.2 to 3.4)") == (
        '<span class="name">FCN-8s</span> &amp; <span class="name">U-Net</span>, a'
        ' <span class="name">U-Nets</span>-like &lt;b&gt; <span class="name">(−1.2 to 3.4)</span>'
    )
    frame = pd.DataFrame({"Residual U-Net": ["1"]}, ["FCN-8s fine-tuned <b>"])
    head, row = report_of(tmp_path, code("a", html(frame.to_html()))).select("th:has(.name)")
    assert [name.get_text() for name in head.select(".name")] == ["U-Net"]
    assert [name.get_text() for name in row.select(".name")] == ["FCN-8s", "fine-tuned"]
    assert row.get_text() == "FCN-8s fine-tuned <b>"


def test_an_empty_corner_is_the_head_of_nothing(tmp_path: Path) -> None:
    columns = pd.MultiIndex.from_tuples([("pixels", "a"), ("pixels", "b"), ("images", "a")])
    for rows, corner in ((["x", "y"], "th"), (["x"], "td")):  # of two rows it gets a button that sorts them
        styled = pd.DataFrame([[1, 2, 3]] * len(rows), rows, columns).style.to_html()
        above, below = report_of(tmp_path, code("a", html(styled))).select("thead tr")
        assert [cell.name for cell in above.find_all(["td", "th"])] == ["td", "th", "th"]
        assert [cell.name for cell in below.find_all(["td", "th"])] == [corner, "th", "th", "th"]


@pytest.mark.parametrize(("name", "named"), [("Traffic sign", False), ("FCN-8s fine-tuned", True)])
def test_a_column_of_long_names_is_not_squeezed(tmp_path: Path, name: str, named: bool) -> None:
    table = f"<table><tbody><tr><th>{name}</th><td>1</td></tr></tbody></table>"
    cell = report_of(tmp_path, code("x", html(table))).select_one("tbody th")
    assert ("named" in cell["class"]) is named


def test_a_long_table_is_folded_under_its_number_of_rows(tmp_path: Path) -> None:
    def table(rows: int) -> str:
        group = '<tr class="group"><th colspan="2">all</th></tr>'
        return f"<table><tbody>{group}{'<tr><th>a</th><td>1</td></tr>' * rows}</tbody></table>"

    claim = f'<details class="claim" id="claim-F1"><summary>s</summary>{table(LONG + 1)}</details>'
    page = report_of(tmp_path, code("x", html(table(LONG) + table(LONG + 1) + claim)))
    short, long, inside = page.select(".table")
    assert short.find_parent("details") is None
    assert long.parent["class"] == ["more"] and not long.parent.has_attr("open")
    assert [text_of(tag) for tag in page.select(".more > summary")] == [f"Table 2: {LONG + 1} rows"]
    assert inside.parent["class"] == ["claim"]
    verdicts = table(LONG + 1).replace("<table>", '<table class="verdicts">')
    assert not report_of(tmp_path, code("x", html(verdicts))).select(".more")


def test_text_from_data_is_inert(chapters: list[Path], tmp_path: Path) -> None:
    page = report(
        chapters,
        tmp_path / "index.html",
        title=EVIL,
        subtitle=EVIL,
        facts={EVIL: EVIL},
        warnings=[EVIL, "one & two"],
        pages=[(EVIL, Path("a.html"))],
    )
    assert len(page.find_all("script")) == 1 and "alert" not in page.script.string
    for place in ("title", "h1", ".subtitle", ".facts dt", ".facts dd", ".runs a"):
        assert page.select_one(place).get_text() == EVIL
    warnings = [warning.get_text() for warning in page.select(".warnings p")]
    assert warnings == [f"Warning. {EVIL}", "Warning. one & two"]


def test_page_is_navigable(page: BeautifulSoup) -> None:
    assert page.html["lang"] == "en"
    assert page.find("meta", {"name": "viewport"})
    assert page.body.find("a")["href"] == "#main" and page.main["id"] == "main"
    for landmark in ("nav", "header", "main", "footer"):
        assert len(page.find_all(landmark)) == 1, landmark
    assert page.select_one(".warnings").find_parent("header")
    assert "segnb" in page.footer.get_text() and "licence" in page.footer.get_text()


def test_one_notebook_as_a_page_links_back(chapters: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "train" / "seed0.html"
    assert export_page([chapters[1]], out, title="FCN8s, seed 0", home="../index.html") == out
    page = BeautifulSoup(out.read_text(encoding="utf-8"), "html5lib")
    assert page.h1.get_text() == "FCN8s, seed 0"
    assert page.select_one("nav a")["href"] == "../index.html"
    assert not page.select(".warnings, .facts, .runs")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (picture(), "image without alt text. Add alt"),
        (picture(alt="  "), "image without alt text. Add alt"),
        (html('<img src="data:image/png;base64,AAAA">'), "image without alt text"),
        ("![](data:image/png;base64,AAAA)", "image without alt text"),
        ("![a street](street.png)", "loads 'street.png' from outside"),
        ("![a street](https://example.org/street.png)", "loads 'https://example.org/street.png'"),
        (html('<script src="https://example.org/x.js"></script>'),
         "<script> does not work in an offline file"),
        (html('</div></article><svg><use href="x.svg#a"></svg>'), "loads 'x.svg#a' from outside"),
        (html('<img alt="a" src="data:," srcset="a.png 2x">'), "loads 'a.png 2x' from outside"),
        (html('<meta http-equiv="refresh" content="0;url=//example.org">'),
         "<meta> does not work in an offline file"),
        (html("<style>a {background: url(https://example.org/x)}</style>"), "a style loads something"),
        (html('<p style="background: url(//example.org/x)">a</p>'), "a style loads something"),
        (display({"image/svg+xml": "<svg/>"}), ".* Display it as PNG"),
        *[
            (display({"image/png": data}), "damaged image. Execute the notebook again")
            for data in ("", "A", "AAAA", CUT)
        ],
        (new_output("error", ename="ValueError", evalue="no\nway", traceback=[]),
         "ValueError: no. Fix the cell"),
    ],
)  # fmt: skip
def test_what_would_spoil_the_file_stops_the_export(cell, message: str, tmp_path: Path) -> None:
    cell = cell if isinstance(cell, str) else code("p", cell)
    out = tmp_path / "index.html"
    out.write_text("the report of yesterday")
    with pytest.raises(SegnbError, match=f"a.ipynb: cell 2: {message}") as raised:
        report_of(tmp_path, cell)
    assert "\n" not in str(raised.value)
    assert out.read_text() == "the report of yesterday"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ipynb", "index.html"]


@pytest.mark.parametrize(
    "content", [None, "", "{", "[]", "{}", '{"cells": 3, "nbformat": 4, "nbformat_minor": 5}']
)
def test_missing_or_damaged_notebook(content: str | None, tmp_path: Path) -> None:
    notebook = tmp_path / "gone.ipynb"
    if content is not None:
        notebook.write_text(content)
    with pytest.raises(
        SegnbError, match="gone.ipynb: (no such|not a readable) notebook.*make report"
    ) as raised:
        report([notebook], tmp_path / "index.html")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "index.html").exists()


def test_a_local_picture_is_put_into_the_file_and_a_title_before_it(tmp_path: Path) -> None:
    (tmp_path / "street.png").write_bytes(drawn(np.zeros((2, 2), np.uint8)))
    notebook = save(tmp_path / "a_street.ipynb", "## A section, ![a street](street.png)")
    page = report([notebook], tmp_path / "index.html")
    assert page.img["src"].startswith("data:image/png;base64,") and page.img["alt"] == "a street"
    assert page.main.h2.get_text() == "A street" and page.main.h3.get_text() == "A section, "


def test_every_part_of_the_script_is_in_it_with_names_of_its_own(page: BeautifulSoup) -> None:
    for name in SCRIPTS:
        assert (FOLDER / name).read_text() in page.script.string
    assert page.script.string.count("\n{\n") >= len(SCRIPTS) - 1
    assert {path.name for path in FOLDER.glob("*.js")} == set(SCRIPTS)
    assert len(page.style.string) + len(page.script.string) < 50_000


def test_a_figure_is_its_drawing(tmp_path: Path) -> None:
    data, metadata = class_legend(STREET).bundle()
    claim = Verdict("F1", kind="audit", word="supported", reason="r")
    block = claim_blocks.block(claim, [class_legend(STREET)])
    outputs = display(data, **metadata), picture(alt="a photograph"), html(block.data)
    shown, photograph, claimed = report_of(tmp_path, code("x", *outputs)).select("figure.picture")
    for figure in (shown, claimed):
        kind, drawing = figure.img["src"].split(",", 1)
        assert kind == "data:image/svg+xml" and unquote(drawing) == data[SVG]
    assert photograph.img["src"].startswith("data:image/png;")


def test_a_caption_for_readers_of_the_notebook_is_not_in_the_page_twice(tmp_path: Path) -> None:
    fig = class_legend(STREET).described("colours", "The colours of classes.")
    data, metadata = fig.bundle()
    caption, how = fig.below()._repr_html_()
    outputs = display(data, **metadata), display({"text/html": caption}, **{"text/html": how})
    pages = [report_of(tmp_path, code("x", *shown)) for shown in (outputs, outputs[:1])]
    assert str(pages[0].main) == str(pages[1].main)
    assert pages[0].main.get_text().count("The colours of classes.") == 1


def test_a_matrix_is_a_figure_with_a_number(tmp_path: Path) -> None:
    maps = np.zeros((1, 8, 8), np.uint8)
    photos = maps[..., None].repeat(3, -1)
    predictions = {"names": np.array(["7"]), "images": photos, "labels": maps, "predictions": maps}
    page = report_of(tmp_path, code("m", html(matrix({"U-Net": predictions}, STREET).data)))
    figure = page.select_one("figure.matrix")
    assert figure.figcaption.get_text().startswith("Figure 1. The share of wrong pixels is 0.0% (U-Net).")
    assert not page.main.find("style")
    assert json.loads(figure["data-key"])["classes"][0]["name"] == "Unlabeled"


def test_links_lead_to_claims_wherever_they_stand(tmp_path: Path) -> None:
    fold = '<details class="claim" id="claim-F1"><summary>s</summary></details>'
    table = (
        '<a href="fcn.ipynb#claim-F1">F1</a> <a href="unet.ipynb#claim-F1">again</a>'
        ' <a href="fcn.ipynb#claim-F9">F9</a>'
    )
    outputs = {"claims": table, "fcn": fold, "unet": fold + '<a href="#claim-F1">here</a>'}
    notebooks = [
        save(tmp_path / f"{name}.ipynb", "# A", code("t", html(text))) for name, text in outputs.items()
    ]
    page = report(notebooks, tmp_path / "index.html")
    assert [claim.get("id") for claim in page.select("details.claim")] == ["claim-F1", None]
    links = {link.get_text(): link["href"] for link in page.main.find_all("a")}
    assert links["F1"] == links["again"] == links["here"] == "#claim-F1"
    assert "F9" not in links
