"""Images, masks and classes.csv, written as `segnb.data.reading` and `segnb.data.masks` read them."""

import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from segnb.data import masks
from segnb.labels import IGNORE_INDEX, ClassMap
from segnb.storage.files import atomic_path, write_text


def save_png(pixels: np.ndarray, file: Path, texts: dict[str, str] | None = None) -> None:
    """Write an image (H, W, 3) or a map (H, W), uint8, as a PNG file that contains texts by name."""
    about = PngInfo()
    for name, text in (texts or {}).items():
        about.add_text(name, text)
    with atomic_path(file) as part:
        # Four times as fast as Pillow's default level; files of photographs are 1/15 larger.
        Image.fromarray(pixels).save(part, format="PNG", compress_level=1, pnginfo=about)


def write_classes(path: Path, classes: ClassMap) -> None:
    """Write the classes.csv of masks of class ids, from which `read_coding` reads the same label set."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(masks.COLUMNS)
    # An empty column would have the usual marks of the names, so "no" is written out.
    for i, (name, colour) in enumerate(zip(classes.names, classes.colours, strict=True)):
        marks = ["yes" if name in marked else "no" for marked in (classes.thin, classes.things)]
        rows.writerow([i, colour, name, *marks])
    if classes.void:
        rows.writerow([IGNORE_INDEX, "", "void", "", ""])
    write_text(path, text.getvalue())
