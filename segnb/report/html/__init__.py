"""HTML of the report: templates, and images as `data:` addresses; notebooks and links have modules here."""

import base64
import io
import re
from collections.abc import Iterable
from pathlib import Path

import jinja2
from markupsafe import Markup
from PIL import Image

from segnb.errors import one_line
from segnb.storage.files import to_json

FOLDER = Path(__file__).parent / "segnb"

# MIME type under which a notebook stores the drawing next to the PNG. JupyterLab ignores types that it does
# not know and shows the PNG; the report shows the drawing.
SVG = "application/vnd.segnb.svg"

QUALITY = 80  # of photographs; next to each other, enlarged four times, they look like the originals
FEW = 64  # colours; images with more of them are photographs or heat maps
TINY = 64  # pixels; a smaller image is enlarged so much that compression would show

# Names and intervals that no line may break. Browsers break at hyphens, whatever the style says.
UNBROKEN = re.compile(r"\b(?:U-Nets?|FCN-\d+s|fine-tun(?:ed|ing))\b|\([−\d.]+ to [−\d.]+\)")


def unbroken(text: str) -> Markup:
    """Return the text as HTML that keeps names such as U-Net, and intervals, on one line."""
    plain, names = UNBROKEN.split(text), UNBROKEN.findall(text)
    pieces = [Markup('<span class="name">{}</span>').format(name) for name in names]
    return Markup("").join(piece for pair in zip(plain, [*pieces, ""], strict=True) for piece in pair)


def about(name: str, networks: Iterable[str] = (), metrics: Iterable[str] = ()) -> str:
    """Describe a figure or table for `segnb.report.html.anchors`: its attribute `data-about`, as JSON.

    Args:
        name: Name of the function that makes it; its anchor in the page contains the name.
        networks: Labels of the networks that it shows.
        metrics: Metrics that it shows: names in `segnb.claims.metrics` or columns of cost.json, in which *
            stands for any text, or ids of claims without comparisons.
    """
    return to_json({"name": name, "networks": list(networks), "metrics": list(metrics)})


TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
TEMPLATES.globals["about"] = about
TEMPLATES.filters |= {"unbroken": unbroken, "line": one_line}


def fill(template: str, **values) -> str:
    """Fill a template with values."""
    return TEMPLATES.get_template(template).render(values)


def webp(picture: Image.Image) -> bytes:
    """Return an image as WebP: exact if it is tiny or has few colours, such as label maps; else small."""
    exact = _webp(picture, lossless=True, exact=True)
    if picture.mode == "P" or picture.getcolors(FEW) or min(picture.size) < TINY:
        return exact
    return min(exact, _webp(picture, quality=QUALITY), key=len)


def _webp(picture: Image.Image, **how) -> bytes:
    file = io.BytesIO()
    picture.save(file, "webp", method=4, **how)
    return file.getvalue()


def embedded(picture: Image.Image) -> str:
    """Return an image as a `data:` address."""
    return f"data:image/webp;base64,{base64.b64encode(webp(picture)).decode()}"


def address(svg: str) -> str:
    """Return a drawing as a `data:` address that an attribute in double quotes can contain."""
    return "data:image/svg+xml," + svg.translate({ord(letter): f"%{ord(letter):02X}" for letter in '%#"'})
