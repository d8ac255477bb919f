"""Executed notebooks to HTML: one file that needs no network, readable on a phone, in print, light and dark.

nbconvert and the template `segnb/` turn each notebook into a fragment. The fragment is then made fit to
share a page: headings one level down, anchors unique, links between notebooks turned into links within the
page, tables wrapped. `page.html.j2` puts the fragments between header and footer.

What would spoil the file (a failed cell, a picture without a description, anything loaded from outside)
stops the export instead of getting into it.

What a notebook can say about its cells:
- the tag `hide` drops a cell, `hide-input` only its code; `parameters` cells are labelled as such
- display(figure, metadata={"image/png": {"alt": ..., "caption": ...}}); only the caption may be left out
- table cells may have the classes `good`, `bad` and `quiet`, coloured for light and dark
- `<style scoped>` is for JupyterLab and is dropped; `<details class="claim">` has the looks of the page
- what `segnb.figures.style` shows brings its drawing along (SVG), which the page offers for download
- the table of `segnb.matrix` stays as it is, and gets its controls from the script

The script adds what a page without one can do without: sorting and CSV of tables, larger figures and their
files, the controls of a matrix, a filter of verdicts. It takes what it needs from what is shown.
"""

import base64
import hashlib
import re
import struct
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import jinja2
import nbformat
from bs4 import BeautifulSoup, Tag
from markupsafe import Markup
from nbconvert.exporters import HTMLExporter
from traitlets.config import Config

from segnb import __version__
from segnb.errors import SegnbError
from segnb.figures.style import SVG
from segnb.files import write_text
from segnb.html.pictures import compact_source

LICENCE = "MIT"
TEMPLATE = Path(__file__).parent / "segnb"

# The page's one script: what the others are made with, and then what each is for.
SCRIPTS = ("tools.js", "page.js", "tables.js", "pictures.js", "matrix.js")

# The best form of an output first. Widgets are left out: without a kernel they are dead, and what they
# leave beside them (a picture, a line of text) is shown instead.
SHOWN = ("text/html", "text/markdown", "image/png", "text/plain")

# nbconvert writes this where a picture has no description.
NO_ALT = "No description has been provided for this image"

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
PAGE_IDS = ("main", "training-runs")
PROGRESS = re.compile(r"\d+%\|.*|.*\b(it/s|s/it)\b.*|\s*")
LOADS = re.compile(r"@import|url\((?!\s*[\"']?\s*(data:|#))", re.IGNORECASE)
NUMBER = re.compile(r"[+\-−±<>≤≥≈~×]?\s*\d[\d.,\s]*(e[+-]?\d+)?\s*(%|×|[a-zA-Zµ]{1,3})?")
NO_VALUE = {"", "–", "—", "-", "nan", "n/a", "None"}


# --- one notebook: read it, refuse it, render it ---


def _read(notebook: Path) -> nbformat.NotebookNode:
    """The executed notebook. Raises SegnbError when it is missing, unreadable or has a failed cell."""
    if not notebook.is_file():
        raise SegnbError(f"{notebook} is missing; run 'make report' to execute it")
    try:
        nb = nbformat.read(notebook, as_version=4)
        cells = list(nb.cells)
    except Exception as error:  # nbformat raises half a dozen kinds, AttributeError among them
        reason = str(error).strip().split("\n")[0][:120]
        raise SegnbError(
            f"{notebook} is no readable notebook ({reason}); delete it and run 'make report' again"
        ) from None

    if any("injected-parameters" in cell.metadata.get("tags", []) for cell in cells):
        for cell in cells:  # what a run was given stands for what it would have taken
            if "parameters" in (tags := cell.metadata.get("tags", [])):
                tags.append("hide")
    for number, cell in enumerate(cells, 1):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                reason = f"{output.ename}: {output.evalue}".split("\n")[0]
                raise SegnbError(
                    f"{notebook}: cell {number} ended in {reason}; mend it and execute the notebook again"
                )
            if "hide" not in cell.metadata.get("tags", []):
                _check_picture(output, f"{notebook}: cell {number}")
    return nb


def _check_picture(output: nbformat.NotebookNode, where: str) -> None:
    data = output.get("data", {})
    form = next((form for form in SHOWN if form in data), "")
    other = next((form for form in data if form.startswith("image/") and form != "image/png"), "")
    if form in ("", "text/plain") and other:
        raise SegnbError(f"{where} shows a picture as {other}; show it as PNG")
    if form == "image/png" and not str(output.metadata.get("image/png", {}).get("alt", "")).strip():
        raise SegnbError(
            f"{where} shows a picture without a description;"
            ' use display(figure, metadata={"image/png": {"alt": "what it shows"}})'
        )


def _picture_size(output: nbformat.NotebookNode) -> tuple[int, int]:
    """Width and height in CSS pixels, so that the page does not jump while pictures are decoded."""
    meta = output.metadata.get("image/png", {})
    if "width" in meta and "height" in meta:
        return meta["width"], meta["height"]
    head = base64.b64decode("".join(output.data["image/png"][:64].split())[:32])
    return struct.unpack(">II", head[16:24])  # the PNG header: two big-endian integers


def _without_progress(text: str) -> str:
    """The lines of stderr that are not a progress bar."""
    lines = re.split(r"[\r\n]+", text)
    return "\n".join(line for line in lines if not PROGRESS.fullmatch(line))


def _render(nb: nbformat.NotebookNode, notebook: Path) -> BeautifulSoup:
    """The notebook as a fragment of HTML. Raises SegnbError for anything that it would load from outside."""
    exporter = HTMLExporter(
        config=Config(
            NbConvertBase={"display_data_priority": SHOWN},
            CoalesceStreamsPreprocessor={"enabled": True},
        ),
        template_name="segnb",
        extra_template_basedirs=[str(TEMPLATE.parent)],
        filters={
            "picture_size": _picture_size,
            "svg": lambda output: "".join(output.data.get(SVG, "").split()),
            "without_progress": _without_progress,
            "strip_ansi": "nbconvert.filters.strip_ansi",
        },
        embed_images=True,
        exclude_anchor_links=True,
    )
    html, _ = exporter.from_notebook_node(nb, {"metadata": {"path": str(notebook.resolve().parent)}})
    soup = BeautifulSoup(html, "html.parser")

    for tag in soup.find_all(True):
        problem = ""
        source = tag.get("src") or tag.get("srcset") or tag.get("poster") or tag.get("xlink:href") or ""
        if tag.name == "img" and tag.get("alt", "").strip() in ("", NO_ALT):
            problem = "shows a picture without a description; give its <img> an alt text"
        elif tag.name in ("script", "link", "iframe", "object", "embed", "base", "form"):
            problem = f"holds a <{tag.name}>, which a file without a network cannot use; remove it"
        elif source and not source.startswith(("data:", "#")):
            problem = f"loads {source[:80]!r} from outside; put the picture beside the notebook or into it"
        elif LOADS.search(tag.get("style", "") + (str(tag.string) if tag.name == "style" else "")):
            problem = "has a style that loads something from outside; remove it"
        if problem:
            cell = tag.find_parent(attrs={"data-cell": True})
            raise SegnbError(f"{notebook}: cell {cell['data-cell']} {problem}")
    return soup


# --- one chapter: a fragment that can share a page with others ---


@dataclass
class Chapter:
    """A notebook on its way into a page.

    id:      anchor of its title
    soup:    its HTML
    anchors: what a link in a notebook may call a heading or an id in an output -> its anchor in the page
    """

    name: str  # the notebook's file name
    id: str
    soup: BeautifulSoup
    anchors: dict[str, str]

    @property
    def html(self) -> Markup:
        return Markup(str(self.soup))


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "section"


def _free(name: str, taken: set[str]) -> str:
    """The name, or the name with the first number that makes it unique; taken from now on."""
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name}-{number}"
    taken.add(unique)
    return unique


def _text(tag: Tag) -> str:
    return " ".join(tag.get_text().split())


def _separate_ids(soup: BeautifulSoup, taken: set[str]) -> dict[str, str]:
    """Rename the ids of outputs that the page has already; the rules that pandas writes for them follow.

    Returns what the chapter's own name for each is in the page, the first of several that are alike.
    """
    anchors: dict[str, str] = {}
    for output in soup.find_all(class_=["output", "prose"]):
        for tag in output.find_all(id=True):
            old, tag["id"] = tag["id"], _free(tag["id"], taken)
            anchors.setdefault(old, tag["id"])
            for style in output.find_all("style") if tag["id"] != old else []:
                style.string = re.sub(rf"#{re.escape(old)}(?![\w-])", f"#{tag['id']}", str(style.string))
    return anchors


def _name_headings(soup: BeautifulSoup, stem: str, taken: set[str]) -> tuple[str, dict[str, str]]:
    """Move headings one level down and give each an anchor; returns the title's, and all by their text.

    Anchors come from the file name and the heading's text, never from a position, so that a link
    from elsewhere survives a new chapter.
    """
    first = soup.find(HEADINGS)
    if first is None or first.name != "h1":
        title = soup.new_tag("h1")
        title.string = stem.replace("_", " ").capitalize()
        soup.insert(0, title)

    chapter, anchors = "", {}
    for heading in soup.find_all(HEADINGS):
        heading.name = f"h{min(int(heading.name[1]) + 1, 6)}"
        if not chapter:
            chapter = heading["id"] = _free(_slug(stem), taken)
        elif not heading.get("id"):
            heading["id"] = _free(f"{chapter}-{_slug(_text(heading))}", taken)
        anchors.setdefault(_text(heading).replace(" ", "-"), heading["id"])  # Jupyter's own rule
    return chapter, anchors


def _is_number(cell: Tag) -> bool:
    parts = re.split(r"±|\[|\]|\(|\)|…| to |\s–\s|,\s", _text(cell))
    parts = [part.strip() for part in parts if part.strip()]
    return bool(parts) and all(NUMBER.fullmatch(part) for part in parts)


def _mark(cell: Tag, name: str) -> None:
    cell["class"] = [*cell.get("class", []), name]


def _join_index_names(table: Tag) -> None:
    """pandas gives the names of the index a header row of their own; move them into the gaps above."""
    head = [row.find_all("th") for row in table.select("thead > tr")]
    if len(head) < 2 or len(head[-1]) != len(head[-2]):
        return
    above, names = head[-2:]
    if all(not _text(one) or not _text(other) for one, other in zip(above, names, strict=True)):
        for one, other in zip(above, names, strict=True):
            if _text(other):
                one.string = _text(other)
        names[0].parent.decompose()


def _break_at_underscores(cell: Tag, soup: BeautifulSoup) -> None:
    """Let the long names of the variants wrap where they are joined, not anywhere."""
    for text in cell.find_all(string=lambda string: "_" in string):
        *heads, tail = text.split("_")
        pieces = [piece for head in heads for piece in (f"{head}_", soup.new_tag("wbr"))]
        text.replace_with(*pieces, tail)


def _tidy_table(table: Tag, soup: BeautifulSoup) -> None:
    """Wrap the table so that it scrolls inside its own box; mark its columns by what is in them."""
    del table["border"]
    _join_index_names(table)
    rows = [row.find_all(["th", "td"], recursive=False) for row in table.find_all("tr")]
    width = max((sum(int(cell.get("colspan", 1)) for cell in row) for row in rows), default=0)
    # Only rows in which every column has its own cell can be read by position.
    full = [row for row in rows if len(row) == width]
    for column in range(width):
        body = [row[column] for row in full if row[column].find_parent("thead") is None]
        body = [cell for cell in body if _text(cell) not in NO_VALUE]
        if body and all(cell.name == "td" and _is_number(cell) for cell in body):
            for row in full:
                _mark(row[column], "number")
    for row in filter(None, full):
        _mark(row[0], "first")
        _break_at_underscores(row[0], soup)
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
    for row in table.find_all("tr", style=True):
        del row["style"]  # pandas aligns every header to the right

    caption = table.find("caption")
    label = _text(caption) if caption else "Table"
    # Focusable, or the keyboard cannot scroll it.
    box = {"class": "table", "role": "group", "tabindex": "0", "aria-label": label}
    table.wrap(soup.new_tag("div", attrs=box))


def _legible(style: str) -> str:
    """CSS rules in which each coloured ground has its own ink; the page's would be light in the dark."""

    def with_ink(rule: re.Match) -> str:
        background = re.search(r"background(-color)?\s*:\s*(?!transparent|none|inherit)", rule[1])
        ink = re.search(r"(^|[;\s])color\s*:", rule[1])
        return f"{{{rule[1].rstrip().rstrip(';')}; color: #1c2127;}}" if background and not ink else rule[0]

    return re.sub(r"\{([^{}]*)\}", with_ink, style)


def _chapter(notebook: Path, taken: set[str]) -> Chapter:
    """The notebook as a chapter whose anchors are not in `taken`, which grows by them."""
    soup = _render(_read(notebook), notebook)
    for style in soup.find_all("style"):
        if style.has_attr("scoped"):
            style.decompose()  # how pandas wants plain tables to look; the page has its own way
        else:
            style.string = _legible(str(style.string or ""))
    for tag in soup.find_all(style=True):
        tag["style"] = _legible(f"{{{tag['style']}}}")[1:-1]
    for table in soup.find_all("table"):
        if not table.find_parent(class_="matrix"):
            _tidy_table(table, soup)
    for image in soup.find_all("img", src=True):
        image["src"] = compact_source(image["src"])
    own = _separate_ids(soup, taken)
    chapter, headings = _name_headings(soup, notebook.stem, taken)
    return Chapter(notebook.name, chapter, soup, headings | own)


# --- the page ---


def _link(chapters: list[Chapter], taken: set[str]) -> None:
    """Point links between and within notebooks at the page; what leads nowhere in it becomes plain text."""
    by_name = {chapter.name: chapter for chapter in reversed(chapters)}
    for chapter in chapters:
        for link in chapter.soup.find_all("a", href=True):
            url = urlsplit(link["href"])
            file, anchor = unquote(url.path).rsplit("/", 1)[-1], unquote(url.fragment)
            if url.scheme or url.netloc or (file and not file.endswith(".ipynb")):
                continue
            target = by_name.get(file) if file else chapter
            found = target and (target.anchors.get(anchor) or (anchor if anchor in taken else ""))
            if target and not found and not anchor:
                found = target.id
            if found:
                link["href"] = f"#{found}"
            else:
                link.unwrap()


def _contents(chapters: list[Chapter]) -> list[dict]:
    """Chapters with their sections, from the headings of the first two levels."""
    entries = []
    for chapter in chapters:
        for heading in chapter.soup.find_all(["h2", "h3"]):
            entry = {"id": heading["id"], "text": _text(heading), "sections": []}
            if heading.name == "h2":
                entries.append(entry)
            else:
                entries[-1]["sections"].append(entry)
    return entries


def _script() -> str:
    """The parts as one script, each but the first in a block, so that a name is its own."""
    tools, *parts = [(TEMPLATE / name).read_text(encoding="utf-8") for name in SCRIPTS]
    return "\n".join([tools, *(f"{{\n{part}}}" for part in parts)])


def _page(
    notebooks: list[Path],
    out: Path,
    title: str,
    subtitle: str = "",
    facts: dict[str, str] | None = None,
    warnings: list[str] | None = None,
    pages: list[tuple[str, Path]] | None = None,
    home: str = "",
) -> Path:
    """Write the page. Everything is ready before the file is touched."""
    taken = set(PAGE_IDS)
    chapters = [_chapter(notebook, taken) for notebook in notebooks]
    _link(chapters, taken)
    contents = _contents(chapters)
    if pages:
        contents.append({"id": "training-runs", "text": "Training runs", "sections": []})

    script = _script()
    shell = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATE), autoescape=True)
    html = shell.get_template("page.html.j2").render(
        title=title,
        subtitle=subtitle,
        facts=facts,
        warnings=warnings,
        pages=[(label, quote(Path(href).as_posix())) for label, href in pages or []],
        home=home,
        chapters=chapters,
        contents=contents,
        style=Markup((TEMPLATE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        version=__version__,
        licence=LICENCE,
    )
    write_text(out, html)
    return out


def export_report(
    notebooks: list[Path],
    out: Path,
    *,
    title: str,
    subtitle: str,
    facts: dict[str, str],
    warnings: list[str],
    pages: list[tuple[str, Path]],
) -> Path:
    """Join executed notebooks, a chapter each in the given order, into one self-contained HTML file.

    facts:    what the report was made from (preset, data, seeds …), shown below the title
    warnings: what the reader must know before believing a number, shown above everything else
    pages:    (label, address relative to `out`) of the executed training notebooks

    Returns `out`. Raises SegnbError, and leaves an earlier file as it was, when a notebook is missing,
    unreadable or has a failed cell, when a picture has no alt text, or when something would be loaded
    from outside the file.
    """
    return _page(notebooks, out, title, subtitle, facts, warnings, pages)


def export_page(notebook: Path, out: Path, *, title: str, home: str) -> Path:
    """One executed notebook as its own HTML file, with a link back to the report at `home`.

    home: address of the report relative to `out`

    Returns `out`; raises as `export_report` does.
    """
    return _page([notebook], out, title, home=home)
