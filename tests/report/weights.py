"""Bytes of a report by kind. What exceeds a limit grew by half since the limit was set."""

import base64
import io
import re

from PIL import Image

# In the report of 13 networks and three seeds of 2026-11: 17 KB per figure without its images, 0.07 bytes per
# pixel of an image, and 45 KB of script and style. The tiny images of a smoke report are mostly header and
# palette.
FIGURE, PIXEL, HEADER = 25_000, 0.11, 150
SCRIPT_AND_STYLE = 60_000


def weigh(report: str) -> None:
    """Check that no kind of content in an HTML report takes more than it should."""
    figures = re.findall(r'src="data:image/svg\+xml,([^"]*)"', report)
    images = re.findall(r"data:image/(\w+);base64,([\w+/=]*)", report)
    lines = sum(map(len, figures)) - sum(len(image) for figure in figures for image in contained(figure))
    pixels = sum(size(image) for _, image in images)
    assert len(figures) >= 30 and len(images) >= 30
    assert lines / len(figures) < FIGURE
    assert sum(len(image) for _, image in images) < PIXEL * pixels + HEADER * len(images)
    assert {kind for kind, _ in images} == {"webp"}
    shell = re.sub(r'src="data:[^"]*"', "", report)  # drawings have styles of their own
    parts = re.findall(r"<style>.*?</style>|<script>.*?</script>", shell, re.S)
    assert sum(map(len, parts)) < SCRIPT_AND_STYLE


def contained(figure: str) -> list[str]:
    return re.findall(r"base64,([\w+/=]*)", figure)


def size(image: str) -> int:
    width, height = Image.open(io.BytesIO(base64.b64decode(image))).size
    return width * height
