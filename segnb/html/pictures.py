"""Pictures made smaller for the page."""

import base64
import io

import numpy as np
from PIL import Image

WORTH_IT = 50_000  # bytes; smaller pictures stay as they are
FLAT = 1 / 2000  # a colour that covers this share of a picture keeps its exact value


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


def compact_source(source: str) -> str:
    """The same for the address of an embedded picture, "data:image/png;base64,…"; others stay as they are."""
    head, _, data = source.partition(",")
    if head != "data:image/png;base64":
        return source
    return f"{head},{base64.b64encode(compact(base64.b64decode(data))).decode()}"
