"""Images and drawings as `data:` addresses, which a page contains."""

import base64
import io

from PIL import Image

# MIME type under which a notebook stores the drawing next to the PNG. JupyterLab ignores types that it does
# not know and shows the PNG; the report shows the drawing.
SVG = "application/vnd.segnb.svg"

QUALITY = 80  # of photographs; next to each other, enlarged four times, they look like the originals
FEW = 64  # colours; images with more of them are photographs or heat maps
TINY = 64  # pixels; a smaller image is enlarged so much that compression would show


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
    for letter in ("%", "#", '"'):
        svg = svg.replace(letter, f"%{ord(letter):02X}")
    return f"data:image/svg+xml,{svg}"
