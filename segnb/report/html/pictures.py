"""Make pictures smaller for the page."""

import base64
import io
import re

import numpy as np
from nbconvert.preprocessors import Preprocessor
from PIL import Image

WORTH_IT = 50_000  # bytes; smaller pictures stay as they are
FLAT = 1 / 2000  # a colour that covers this share of a picture keeps its exact value
EMBEDDED = re.compile(r"(data:image/png;base64,)([A-Za-z0-9+/=]+)")


def compact(png: bytes) -> bytes:
    """The picture in at most 256 colours, about a third of the size; as it was if that gains nothing.

    Colours that cover much (the ground, lines, classes) stay exact; what varies, as in photographs, is
    rounded to the rest (median cut, Heckbert 1982). Transparent pictures stay as they are.
    """
    if len(png) < WORTH_IT:
        return png
    with Image.open(io.BytesIO(png)) as picture:
        if picture.convert("RGBA").getextrema()[3][0] < 255:
            return png
        pixels = np.asarray(picture.convert("RGB"))
    colours = pixels @ np.array([1 << 16, 1 << 8, 1])
    values, counts = np.unique(colours, return_counts=True)
    flat = values[counts >= FLAT * colours.size][:192]  # room for others is left
    varied = ~np.isin(colours, flat)
    places = np.searchsorted(flat, colours).astype(np.uint8)
    palette = np.stack([flat >> 16, flat >> 8 & 255, flat & 255], axis=1).astype(np.uint8).tobytes()
    if varied.any():
        rounded = Image.fromarray(pixels[varied][None]).quantize(256 - len(flat), dither=Image.Dither.NONE)
        places[varied] = len(flat) + np.asarray(rounded)[0]
        palette += bytes(rounded.getpalette())
    smaller = Image.fromarray(places)
    smaller.putpalette(palette)
    buffer = io.BytesIO()
    smaller.save(buffer, format="png")
    return min(png, buffer.getvalue(), key=len)


class CompactPictures(Preprocessor):
    """Shrink the PNGs of a notebook's outputs, also those in HTML, and note the size of each that has none.

    Sizes are in CSS pixels, so that the page does not jump while pictures are decoded.
    """

    def preprocess_cell(self, cell, resources, index):
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                png = base64.b64decode(data["image/png"])
                with Image.open(io.BytesIO(png)) as picture:
                    width, height = picture.size
                size = {"width": width, "height": height}
                output.metadata["image/png"] = size | output.metadata.get("image/png", {})
                data["image/png"] = base64.b64encode(compact(png)).decode()
            if "text/html" in data:
                data["text/html"] = EMBEDDED.sub(_compact_source, data["text/html"])
        return cell, resources


def _compact_source(source: re.Match) -> str:
    return source[1] + base64.b64encode(compact(base64.b64decode(source[2]))).decode()
