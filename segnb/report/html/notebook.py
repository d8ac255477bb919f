"""Executed notebooks, joined and rendered by nbconvert, with checks of their outputs.

A notebook controls its rendering as follows:
- the tag `remove_cell` drops a cell, `remove_input` only its code; `parameters` cells are labelled
- display(figure, metadata={"image/png": {"alt": ..., "caption": ...}}) describes an image; the caption is
  optional
- `segnb.report.figures.style.show` adds an SVG, which the page shows instead of the image, and the caption as
  an output of its own, which the page drops
- the page drops stderr, which has progress bars and warnings of libraries; the log of the step has it
"""

import base64
import io
import re
import warnings
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup, Tag
from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from nbformat.v4 import new_notebook
from PIL import Image
from traitlets.config import Config

from segnb.errors import SegnbError
from segnb.report.html import FOLDER, SVG, address

# The best form of an output first. Widgets are not in it: they need a kernel, so their image or text is used.
FORMS = ("text/html", "text/markdown", "image/png", "text/plain")

# nbconvert writes this if an image has no description.
NO_ALT = "No description has been provided for this image"

FORBIDDEN = ("script", "link", "iframe", "object", "embed", "base", "form", "meta")
LOADS = re.compile(r"@import|url\((?!\s*[\"']?\s*(data:|#))", re.IGNORECASE)


def _read(path: Path) -> NotebookNode:
    """Read an executed notebook and record the origin of each cell in its metadata.

    Raises:
        SegnbError: The notebook is missing or unreadable, or has a failed cell.
    """
    if not path.is_file():
        raise SegnbError(f"{path}: no such notebook. Run 'make report' to execute it.")
    try:
        nb = nbformat.read(path, as_version=4)
        cells = list(nb.cells)
    except Exception as error:  # nbformat raises half a dozen kinds, AttributeError among them
        reason = str(error).strip().split("\n")[0][:120]
        raise SegnbError(
            f"{path}: not a readable notebook ({reason}). Delete it and run 'make report' again."
        ) from None

    injected = any("injected-parameters" in cell.metadata.get("tags", []) for cell in cells)
    for number, cell in enumerate(cells, 1):
        cell.metadata |= {"notebook": str(path), "place": f"{path}: cell {number}"}
        if injected and "parameters" in (tags := cell.metadata.get("tags", [])):
            tags.append("remove_cell")  # the injected parameters replace the defaults
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                reason = f"{output.ename}: {output.evalue}".split("\n")[0]
                raise SegnbError(
                    f"{cell.metadata.place}: {reason}. Fix the cell and execute the notebook again."
                )
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if not _is_caption(output)]
    return nb


def _is_caption(output: NotebookNode) -> bool:
    """Return whether an output is the caption below a picture, which has it in its metadata as well."""
    return "caption" in output.get("metadata", {}).get("text/html", {})


def _merged(paths: list[Path]) -> NotebookNode:
    """Join notebooks into one notebook."""
    notebooks = [_read(path) for path in paths]
    cells = [cell for nb in notebooks for cell in nb.cells]
    for index, cell in enumerate(cells):
        cell.id = str(index)  # ids are unique in a notebook, not between notebooks
    merged = new_notebook(cells=cells)
    for nb in notebooks:
        merged.metadata |= nb.metadata  # the language, for the colours of code
    return merged


def render(paths: list[Path]) -> BeautifulSoup:
    """Render notebooks as HTML, one article each.

    Raises:
        SegnbError: A notebook cannot be read, an image has no alt text, or something would be loaded from
            outside.
    """
    exporter = HTMLExporter(
        config=Config(
            NbConvertBase={"display_data_priority": FORMS},
            CoalesceStreamsPreprocessor={"enabled": True},
            TagRemovePreprocessor={
                "remove_cell_tags": {"remove_cell"},
                "remove_input_tags": {"remove_input"},
            },
        ),
        preprocessors=[_describe_pictures],
        template_name="segnb",
        extra_template_basedirs=[str(FOLDER.parent)],
        embed_images=True,
        exclude_anchor_links=True,
    )
    folder = str(paths[0].resolve().parent)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Your element with mimetype")  # of widgets, see FORMS
        html, _ = exporter.from_notebook_node(_merged(paths), {"metadata": {"path": folder}})
    soup = BeautifulSoup(html, "html.parser")
    # The check is made on the HTML that a browser gets, not on its sources.
    for tag in soup.find_all(True):
        if problem := _problem(tag):
            cell = tag.find_previous(attrs={"data-place": True})  # an output may have closed its own cell
            raise SegnbError(f"{cell['data-place']}: {problem}")
    for cell in soup.find_all(attrs={"data-place": True}):
        del cell["data-place"]
    return soup


def _problem(tag: Tag) -> str:
    """Say why a self-contained file cannot contain the tag, and what to do; "" if it can."""
    names = ("src", "srcset", "poster", "xlink:href", *(("href",) if tag.name != "a" else ()))
    sources = [tag[name] for name in names if not (tag.get(name) or "#").startswith(("data:", "#"))]
    if tag.name == "img" and tag.get("alt", "").strip() in ("", NO_ALT):
        return (
            "image without alt text. Add alt to its <img>, or use"
            ' display(figure, metadata={"image/png": {"alt": "a description"}}).'
        )
    if tag.name in FORBIDDEN:
        return f"<{tag.name}> does not work in an offline file. Remove it."
    if sources:
        return f"loads {sources[0][:80]!r} from outside. Put the image next to the notebook or into it."
    if LOADS.search(tag.get("style", "") + (str(tag.string) if tag.name == "style" else "")):
        return "a style loads something from outside. Remove it."
    return ""


def _describe_pictures(nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
    """Give each image of a notebook's outputs its address and its size.

    Sizes are in CSS pixels, so that the page does not jump while images are decoded. Every image has to be
    available as PNG.
    """
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            data, place = output.get("data", {}), cell.metadata.place
            picture = next((form for form in data if form.startswith("image/")), "")
            if picture and not any(form in data for form in FORMS if form != "text/plain"):
                raise SegnbError(f"{place}: image as {picture} (expected image/png). Display it as PNG.")
            if "image/png" not in data:
                continue
            png = "".join(data["image/png"].split())
            try:
                picture = Image.open(io.BytesIO(base64.b64decode(png)))
                width, height = picture.size
                picture.verify()
            except (OSError, SyntaxError, ValueError):  # of Pillow and of base64
                raise SegnbError(f"{place}: damaged image. Execute the notebook again.") from None
            source = address(data[SVG]) if SVG in data else f"data:image/png;base64,{png}"
            shown = {"width": width, "height": height, "alt": "", "caption": ""}
            output.metadata["image/png"] = shown | output.metadata.get("image/png", {}) | {"source": source}
    return nb, resources
