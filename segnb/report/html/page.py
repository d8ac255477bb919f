"""Executed notebooks to HTML: one file that needs no network, readable on a phone, in print, light and dark.

nbconvert renders the notebooks as articles (`segnb.report.html.notebook`), which are made fit to share a page
here: headings one level down, unique anchors, links between notebooks turned into links within the page,
tables wrapped. `page.html.j2` adds header, contents and footer.

Table cells may have the classes `good`, `bad` and `quiet`, coloured for light and dark; `<style scoped>` is
for JupyterLab and is dropped; `<details class="claim">` has the looks of the page; the table of
`segnb.report.image_matrix` stays as it is, and gets its controls from the script.

The script adds what a page without one can do without: sorting and CSV of tables, larger figures and their
files, the controls of a matrix, a filter of verdicts. It takes what it needs from what is shown.
"""

import base64
import hashlib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from bs4 import BeautifulSoup, Tag

from segnb import __version__
from segnb.report.html import FOLDER, shell
from segnb.report.html.notebook import render
from segnb.storage.files import write_text

LICENCE = "MIT"

# The page's one script: what the others are made with, and then what each is for.
SCRIPTS = ("tools.js", "page.js", "tables.js", "pictures.js", "matrix.js")

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
PAGE_IDS = ("main", "training-runs")
NUMBER = re.compile(r"[+\-−±<>≤≥≈~×]?\s*\d[\d.,\s]*(e[+-]?\d+)?\s*(%|×|[a-zA-Zµ]{1,3})?")
NO_VALUE = {"", "–", "—", "-", "nan", "n/a", "None"}


# --- articles: what lets them share a page ---


def _text(tag: Tag) -> str:
    return " ".join(tag.get_text().split())


def _is_number(cell: Tag) -> bool:
    parts = re.split(r"±|\[|\]|\(|\)|…| to |\s–\s|,\s", _text(cell))
    parts = [part.strip() for part in parts if part.strip()]
    return bool(parts) and all(NUMBER.fullmatch(part) for part in parts)


def _mark(tag: Tag, name: str) -> None:
    tag["class"] = [*tag.get("class", []), name]


def _tidy_table(table: Tag) -> None:
    """Wrap the table so that it scrolls inside its own box; mark its columns by what is in them."""
    del table["border"]
    rows = [row.find_all(["th", "td"], recursive=False) for row in table.find_all("tr")]
    width = max((sum(int(cell.get("colspan", 1)) for cell in row) for row in rows), default=0)
    # Only rows in which every column has its own cell can be read by position.
    full = [row for row in rows if row and len(row) == width]
    for column in zip(*full, strict=True):
        body = [cell for cell in column if not cell.find_parent("thead") and _text(cell) not in NO_VALUE]
        if body and all(cell.name == "td" and _is_number(cell) for cell in body):
            for cell in column:
                _mark(cell, "number")
    for row in full:
        _mark(row[0], "first")
    for cell in table.find_all("td"):
        if len(_text(cell)) > 30:
            _mark(cell, "long")
    # Where there is something to sort, tables.js makes a button of the last row's corner.
    sorts = len(table.select("tbody > tr:not(.group)")) > 1
    for cell in table.select(f"thead tr{':not(:last-child)' if sorts else ''} > th"):
        if not _text(cell):
            cell.name = "td"  # the corner above the names of the rows is the head of nothing
    if width > 9:
        _mark(table, "wide")
    # Focusable, or the keyboard cannot scroll it.
    label = _text(table.caption) if table.caption else "Table"
    attributes = {"class": "table", "role": "group", "tabindex": "0", "aria-label": label}
    table.wrap(BeautifulSoup().new_tag("div", attrs=attributes))


def _free(text: str, taken: set[str]) -> str:
    """An anchor for the text that the page does not have yet; taken from now on."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = unique = re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "section"
    number = 1
    while unique in taken:
        number += 1
        unique = f"{name}-{number}"
    taken.add(unique)
    return unique


def _name_headings(article: Tag, taken: set[str]) -> dict[str, str]:
    """Move headings one level down and give each an anchor; without a title the file name becomes one.

    Anchors come from the file name and the heading's text, never from a position, so that a link
    from elsewhere survives a new chapter.

    Returns:
        Anchors by what a link in a notebook calls a heading; the title's by "".
    """
    stem = Path(article["data-notebook"]).stem
    first = article.find(HEADINGS)
    if first is None or first.name != "h1":
        article.insert(0, title := BeautifulSoup().new_tag("h1"))
        title.string = stem.replace("_", " ").capitalize()
    anchors: dict[str, str] = {}
    for heading in article.find_all(HEADINGS):
        heading.name = f"h{min(int(heading.name[1]) + 1, 6)}"
        if not heading.get("id"):
            heading["id"] = _free(f"{anchors['']} {_text(heading)}" if anchors else stem, taken)
        anchors.setdefault("", heading["id"])
        anchors.setdefault(_text(heading).replace(" ", "-"), heading["id"])  # Jupyter's own rule
    return anchors


def _link(soup: BeautifulSoup) -> None:
    """Give headings their anchors and point links between and within notebooks at them.

    An id that comes again is dropped, and a link that leads nowhere in the page becomes plain text.
    """
    taken = set(PAGE_IDS)
    for tag in soup.find_all(id=True):
        if tag["id"] in taken:
            del tag["id"]
        else:
            taken.add(tag["id"])
    articles = soup.select("article[data-notebook]")
    names = [Path(article["data-notebook"]).name for article in articles]
    anchors = [_name_headings(article, taken) for article in articles]
    by_name = dict(zip(reversed(names), reversed(anchors), strict=True))  # of two alike the first
    for article, own in zip(articles, anchors, strict=True):
        article.attrs = {"aria-labelledby": own[""]}
        for link in article.find_all("a", href=True):
            url = urlsplit(link["href"])
            file, anchor = unquote(url.path).rsplit("/", 1)[-1], unquote(url.fragment)
            if url.scheme or url.netloc or (file and not file.endswith(".ipynb")):
                continue
            headings = by_name.get(file, {}) if file else own
            place = headings.get(anchor) or (anchor if headings and anchor in taken else "")
            if place:
                link["href"] = f"#{place}"
            else:
                link.unwrap()


def _articles(paths: list[Path]) -> BeautifulSoup:
    """Render notebooks as the articles of one page."""
    soup = render(paths)
    for style in soup.find_all("style"):
        if style.has_attr("scoped") or not (style.string or "").strip():
            style.decompose()  # how pandas wants plain tables to look; the page has its own way
    for table in soup.find_all("table"):
        if not table.find_parent(class_="matrix"):
            _tidy_table(table)
    _link(soup)
    return soup


def _contents(soup: BeautifulSoup) -> list[dict]:
    """List chapters with their sections, from the headings of the first two levels."""
    entries: list[dict] = []
    for heading in soup.find_all(["h2", "h3"], id=True):
        entry = {"id": heading["id"], "text": _text(heading), "sections": []}
        (entries if heading.name == "h2" else entries[-1]["sections"]).append(entry)
    return entries


# --- the page ---


def _script() -> str:
    """The parts as one script, each but the first in a block, so that a name is its own."""
    tools, *parts = [(FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS]
    return "\n".join([tools, *(f"{{\n{part}}}" for part in parts)])


def export_page(
    notebooks: list[Path], out: Path, *, title: str, pages: Sequence[tuple[str, Path]] = (), **head
) -> Path:
    """Join executed notebooks of one folder, one article each in their order, into one self-contained file.

    Args:
        notebooks: Executed notebooks; pictures that they name are looked up next to the first.
        out: File to write, once everything is ready.
        title: Heading of the page.
        pages: Label and address relative to `out` of each executed training notebook.
        head: What else stands above the articles. subtitle: line below the title. facts: what a report was
            made from (preset, data, seeds …), name to value. warnings: what the reader must know before
            believing a number. home: address of the report relative to `out`, for a link back to it.

    Returns:
        `out`.

    Raises:
        SegnbError: A notebook is missing, unreadable or has a failed cell, a picture has no alt text, or
            something would be loaded from outside the file. An earlier file stays as it was.
    """
    soup, script = _articles(notebooks), _script()
    contents = _contents(soup)
    if pages:
        contents.append({"id": "training-runs", "text": "Training runs", "sections": []})
    html = (
        shell()
        .get_template("page.html.j2")
        .render(
            head,
            title=title,
            pages=[(label, quote(Path(href).as_posix())) for label, href in pages],
            articles=str(soup),
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
