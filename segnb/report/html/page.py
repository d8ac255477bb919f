"""Executed notebooks as one HTML file that works offline, on phones, in print, and in light and dark mode.

nbconvert renders the notebooks as articles (`segnb.report.html.notebook`). This module prepares the articles
for one page: it wraps tables, adds anchors, numbers and links (`segnb.report.html.anchors`), and folds long
tables. `page.html.j2` adds header, contents and footer.

Table cells may have the classes `good`, `bad` and `quiet`, coloured for light and dark mode. `<style scoped>`
is for JupyterLab and is dropped. `<details class="claim">` is styled by the page.

The script adds conveniences: sorting and CSV of tables, larger figures and their files, the controls of a
matrix, a filter by verdict. It reads everything that it needs from the page.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from bs4 import BeautifulSoup, Tag
from bs4.dammit import EntitySubstitution
from bs4.formatter import HTMLFormatter

from segnb import __version__
from segnb.report.html import FOLDER, UNBROKEN, shell, unbroken
from segnb.report.html.anchors import link, text_of
from segnb.report.html.notebook import render
from segnb.report.html.references import cite
from segnb.storage.files import write_text

LICENCE = "MIT"

# Parts of the page's script: helpers first, then one part per feature.
SCRIPTS = ("tools.js", "page.js", "tables.js", "pictures.js", "matrix.js")

NUMBER = re.compile(r"[+\-−±<>≤≥≈~×]?\s*\d[\d.,\s]*(e[+-]?\d+)?\s*(%|×|[a-zA-Zµ]{1,3})?")
LONG = 25  # rows of a table that is not folded
NAME = 12  # letters of a row name that a narrow column need not break
NO_VALUE = {"", "–", "—", "-", "nan", "n/a", "None"}


# --- articles of one page ---


def _is_number(cell: Tag) -> bool:
    parts = re.split(r"±|\[|\]|\(|\)|…| to |\s–\s|,\s", text_of(cell))
    parts = [part.strip() for part in parts if part.strip()]
    return bool(parts) and all(NUMBER.fullmatch(part) for part in parts)


def _mark(tag: Tag, name: str) -> None:
    tag["class"] = [*tag.get("class", []), name]


def _tidy_table(table: Tag) -> None:
    """Wrap the table so that it scrolls inside its own box, and mark its columns by their contents."""
    del table["border"]
    rows = [row.find_all(["th", "td"], recursive=False) for row in table.find_all("tr")]
    width = max((sum(int(cell.get("colspan", 1)) for cell in row) for row in rows), default=0)
    # Only rows with one cell per column can be read by position.
    full = [row for row in rows if row and len(row) == width]
    for column in zip(*full, strict=True):
        body = [cell for cell in column if not cell.find_parent("thead") and text_of(cell) not in NO_VALUE]
        if body and all(cell.name == "td" and _is_number(cell) for cell in body):
            for cell in column:
                _mark(cell, "number")
    named = any(len(text_of(row[0])) > NAME for row in full)
    for row in full:
        _mark(row[0], "first")
        if named:
            _mark(row[0], "named")
    for text in table.find_all(string=UNBROKEN):  # a narrow column would break them
        if "name" not in text.parent.get("class", []):
            text.replace_with(BeautifulSoup(unbroken(text), "html.parser"))
    for cell in table.find_all("td"):
        if len(text_of(cell)) > 30:
            _mark(cell, "long")
    # If there are rows to sort, tables.js turns the corner of the last head row into a button.
    sorts = len(table.select("tbody > tr:not(.group)")) > 1
    for cell in table.select(f"thead tr{':not(:last-child)' if sorts else ''} > th"):
        if not text_of(cell):
            cell.name = "td"  # the corner above the row names heads no column
    if width > 9:
        _mark(table, "wide")
    # Focusable, so that the keyboard can scroll it.
    attributes = {"class": "table", "role": "group", "tabindex": "0"}
    table.wrap(BeautifulSoup().new_tag("div", attrs=attributes))


def _fold_long_tables(soup: BeautifulSoup) -> None:
    """Fold tables of more than `LONG` rows under their number and their number of rows.

    The table of verdicts, which a reader comes for, stays open.
    """
    for box in soup.select(".table:not(:has(> table.verdicts))"):
        count = len(box.select("tbody > tr:not(.group)"))
        if count > LONG and not box.find_parent("details"):
            box.wrap(fold := soup.new_tag("details", attrs={"class": "more"}))
            fold.insert(0, summary := soup.new_tag("summary"))
            summary.string = f"{text_of(box.select_one('.itself'))}: {count} rows"


def _articles(paths: list[Path]) -> BeautifulSoup:
    """Render notebooks as the articles of one page."""
    soup = render(paths)
    for style in soup.find_all("style"):
        if style.has_attr("scoped") or not (style.string or "").strip():
            style.decompose()  # the style that pandas adds to plain tables
    for table in soup.find_all("table"):
        _tidy_table(table)
    for image in soup.find_all("img"):  # the page is there and answers long before all of them are drawn
        image["loading"], image["decoding"] = "lazy", "async"
    link(soup)
    _fold_long_tables(soup)
    return soup


def _contents(soup: BeautifulSoup) -> list[dict]:
    """List chapters with their sections, from the headings of the first two levels."""
    entries: list[dict] = []
    for heading in soup.find_all(["h2", "h3"], id=True):
        entry = {"id": heading["id"], "text": text_of(heading), "sections": []}
        (entries if heading.name == "h2" else entries[-1]["sections"]).append(entry)
    return entries


# --- the page ---


class _Formatter(HTMLFormatter):
    """Output of attributes with < and > as they are, which the many of a drawing make shorter."""

    def attribute_value(self, value: str) -> str:
        return value.replace("&", "&amp;")


def _script() -> str:
    """Join the parts into one script; all but the first are in blocks of their own, for separate names."""
    tools, *parts = [(FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS]
    return "\n".join([tools, *(f"{{\n{part}}}" for part in parts)])


def export_page(
    notebooks: list[Path], out: Path, *, title: str, pages: Sequence[tuple[str, Path]] = (), **head
) -> Path:
    """Join executed notebooks of one folder into one self-contained file, one article per notebook.

    Args:
        notebooks: Executed notebooks in order; image files are looked up next to the first.
        out: File to write, once everything is ready.
        title: Heading of the page.
        pages: Label and address, relative to `out`, of each executed training notebook.
        head: Further contents of the head. subtitle: line below the title. facts: preset, data, seeds and so
            on, {name: value}. warnings: sentences that qualify all numbers. home: address of the report
            relative to `out`, for a link back to it.

    Returns:
        `out`.

    Raises:
        SegnbError: A notebook is missing, unreadable or has a failed cell, an image has no alt text, or
            something would be loaded from outside the file. An earlier file stays unchanged.
    """
    soup, script = _articles(notebooks), _script()
    references = cite(soup)
    contents = _contents(soup)
    if pages:
        contents.append({"id": "training-runs", "text": "Training runs", "sections": []})
    if references:
        contents.append({"id": "references", "text": "References", "sections": []})
    html = (
        shell()
        .get_template("page.html.j2")
        .render(
            head,
            title=title,
            pages=[(label, quote(Path(href).as_posix())) for label, href in pages],
            articles=soup.decode(formatter=_Formatter(EntitySubstitution.substitute_xml)),
            references=references,
            contents=contents,
            style=(FOLDER / "page.css").read_text(encoding="utf-8"),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            version=__version__,
            licence=LICENCE,
        )
    )
    write_text(out, html)
    return out
