"""The report: the executed chapters of a study as one page, and one page per training run.

A page is one HTML file that works offline, on phones, in print, and in light and dark mode. nbconvert renders
notebooks as articles (`segnb.report.html.notebook`). This module prepares the articles for one page: it wraps
tables, adds anchors, numbers and links (`segnb.report.html.anchors`), and folds long tables. `page.html.j2`
adds header, contents and footer.

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
from segnb.claims.related_studies import origin
from segnb.claims.saved import of_runs
from segnb.claims.wording import counted
from segnb.models.pretrained import SOURCES
from segnb.models.registry import VARIANTS
from segnb.params import ReportParams
from segnb.report import CHAPTERS
from segnb.report.html import FOLDER, UNBROKEN, fill, unbroken
from segnb.report.html.anchors import cite, link, new_tag, text_of
from segnb.report.html.notebook import render
from segnb.report.text import image_counts, network_count
from segnb.storage import root
from segnb.storage.files import write_text
from segnb.study.provenance import check
from segnb.study.study import Run, Study, open_study

PUBLISHED = "docs/report/index.html"  # the report that the README links

# Parts of the page's script: helpers first, then one part per feature.
SCRIPTS = ("tools.js", "page.js", "tables.js", "pictures.js", "matrix.js")

NUMBER = re.compile(r"[+\-−±<>≤≥≈~×]?\s*\d[\d.,\s]*(e[+-]?\d+)?\s*(%|×|[a-zA-Zµ]{1,3})?")
LONG = 25  # rows of a table that is not folded
NAME = 12  # letters of a row name that a narrow column need not break
NO_VALUE = {"", "–", "—", "-", "nan", "n/a", "None"}


# --- the report of a study ---


def publish_study(params: ReportParams) -> bool:
    """Write the report of a study, without the pages of its runs, to PUBLISHED.

    Returns:
        Whether it is written: if its chapters are executed, on these networks and seeds.
    """
    study = open_study(params.study)
    chapters = [study.path / "chapters" / f"{name}.ipynb" for name in CHAPTERS]
    runs = study.measured(params.variants, params.seeds)
    executed = all(chapter.exists() for chapter in chapters) and of_runs(study, runs) is not None
    if executed:
        export_study(params, chapters, root() / PUBLISHED, alone=True)
    return executed


def export_study(params: ReportParams, chapters: list[Path], out: Path, alone: bool = False) -> Path:
    """Write the report and, next to it, one page per training notebook.

    Args:
        params: Study, networks and seeds.
        chapters: Executed chapters, in the order of the report.
        out: File to write.
        alone: Whether to write the report only.

    Returns:
        `out`.
    """
    study = open_study(params.study)
    runs = study.measured(params.variants, params.seeds)
    check(study, runs)
    pages = out.parent / "training"
    for old in pages.glob("*-seed*.html"):  # of another study
        old.unlink()
    links = []
    for run in (run for run in runs if run.notebook_path.exists() and not alone):
        page = pages / f"{run.variant}-seed{run.seed}.html"
        title = f"{VARIANTS[run.variant].label}, seed {run.seed}"
        export_page([run.notebook_path], page, title=title, home=f"../{out.name}")
        links.append((title, page.relative_to(out.parent)))
    return export_page(
        chapters,
        out,
        # The classes of a user's folder need not be those of a street.
        title=f"{'S' if study.classes.key == 'own' else 'Street-scene s'}egmentation: which claims hold?",
        subtitle="The FCNs and U-Nets of a student's course report, trained and evaluated again",
        facts=facts(study, runs),
        warnings=study.warnings,
        pages=links,
    )


def facts(study: Study, runs: list[Run]) -> dict[str, str]:
    """Summarise data, settings, machine and software of a study.

    Returns:
        {name: value}, as the end of the page shows them.
    """
    settings, machine = study.settings, study.machine
    fcn, unet = study.preset.fcn, study.preset.unet
    seeds = sorted({run.seed for run in runs})
    days = sorted({run.provenance["started"][:10] for run in runs})
    source = settings["weights"]["source"]
    known = SOURCES.get(source.removesuffix("+fc6"))
    return {
        "Data": f"{origin(settings['data'])}: {image_counts(study)}",
        "Preset": f"{study.preset.name}: FCN {fcn.size} px, head of {64 * fcn.width} channels,"
        f" {counted(fcn.epochs, 'epoch')}; U-Net {unet.size} px, width {unet.width},"
        f" {counted(unet.epochs, 'epoch')}",
        "Runs": f"{network_count(runs)}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
        if runs
        else "none yet",
        "Backbone weights": f"{source}: {known.what}" if known else source,
        "Machine": f"{machine.device_name}, {counted(machine.threads, 'thread')} per run, {machine.precision}"
        + "".join(f", {name}={value}" for name, value in machine.environment.items()),
        "Trained": " to ".join(dict.fromkeys([days[0], days[-1]])) if days else "nothing yet",
        "Software": f"segnb {__version__}, torch {settings['versions']['torch']}",
    }


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
    table.wrap(new_tag("div", class_="table", role="group", tabindex="0"))


def _fold_long_tables(soup: BeautifulSoup) -> None:
    """Fold tables of more than `LONG` rows under their number and their number of rows.

    The table of verdicts, which a reader comes for, stays open.
    """
    for box in soup.select(".table:not(:has(> table.verdicts))"):
        count = len(box.select("tbody > tr:not(.group)"))
        if count > LONG and not box.find_parent("details"):
            fold = box.wrap(new_tag("details", class_="more"))
            fold.insert(0, new_tag("summary", f"{text_of(box.select_one('.itself'))}: {count} rows"))


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
    html = fill(
        "page.html.j2",
        title=title,
        pages=[(label, quote(Path(href).as_posix())) for label, href in pages],
        articles=soup.decode(formatter=_Formatter(EntitySubstitution.substitute_xml)),
        references=references,
        contents=_contents(soup),
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        version=__version__,
        **head,
    )
    write_text(out, html)
    return out
