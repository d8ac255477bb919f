"""A corpus of files that are not images or not masks, and of valid files that look odd.

`test_bad_input` tries each of them in every way by which segnb reads files.
"""

import io
import os
import re
import socket
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from segnb.errors import SegnbError

SIZE = 16  # pixels per side of all files here

with tempfile.NamedTemporaryFile() as locked:
    os.chmod(locked.name, 0)
    unprivileged = pytest.mark.skipif(os.access(locked.name, os.R_OK), reason="root may read everything")


def refusal(action: Callable, *arguments, **options) -> str:
    """Return the message of the SegnbError that `action` raises: one line, with a remedy."""
    with pytest.raises(SegnbError) as caught:
        action(*arguments, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and has_remedy(message)
    return message


def has_remedy(message: str) -> bool:
    """Return whether a message ends with a sentence that follows what is wrong."""
    return re.search(r"\. ['A-Z]", message) is not None and message.endswith(".")


# ---- PNG files byte by byte -------------------------------------------------------------------------


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *chunks: bytes) -> bytes:
    """A PNG file.

    Args:
        bits: per channel
        colour: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA
        rows: each begins with its filter, 0
        chunks: further ones, before the pixels
    """
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def flat(bits: int, colour: int, value: int = 0, *chunks: bytes) -> bytes:
    """A PNG file of `SIZE` × `SIZE` pixels with one value in each channel."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    line = int(f"{value:0{bits}b}" * SIZE * channels, 2).to_bytes(SIZE * channels * bits // 8, "big")
    return png(SIZE, SIZE, bits, colour, (b"\0" + line) * SIZE, *chunks)


def encoded(picture: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, format=format, **options)
    return file.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def mask_of(*pixel: int) -> bytes:
    """A mask with one colour, (red, green, blue), or one id, (id,), everywhere."""
    return encoded(
        Image.new("RGB" if len(pixel) == 3 else "L", (SIZE, SIZE), pixel if pixel[1:] else pixel[0])
    )


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8))
IDS = Image.fromarray(np.random.default_rng(1).integers(0, 13, (SIZE, SIZE), np.uint8))
TWO = {"save_all": True, "append_images": [Image.new("RGB", (SIZE, SIZE), "red")]}

# ---- ways to spoil a file ---------------------------------------------------------------------------

Spoil = Callable[[Path], object]


def instead(make: Spoil) -> Spoil:
    def spoil(path: Path) -> None:
        path.unlink()
        make(path)

    return spoil


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """Change one byte of a PNG file's pixels."""
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 12] ^= 0xFF
    path.write_bytes(content)


def bind(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # an address has to be short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


# ---- the corpus -------------------------------------------------------------------------------------


class Broken(NamedTuple):
    """A broken file of a pair.

    kind: "image" or "label"
    spoil: a function that breaks the file, or its broken content
    words: the error after the file's name
    finding: the kind of the finding in `segnb data check`
    """

    kind: str
    spoil: Spoil | bytes
    words: str
    finding: str

    def make(self, path: Path) -> None:
        path.write_bytes(self.spoil) if isinstance(self.spoil, bytes) else self.spoil(path)


NO_FILE = "a directory, pipe or device (expected a file). Remove or replace it."
# Neither an image nor a mask.
NEITHER = {
    "zero bytes": (b"", "unknown file format, 0 bytes (expected PNG"),
    "text": (b"hello", "unknown file format, 5 bytes (expected PNG"),
    "half a PNG": (halve, ""),
    "a flipped byte": (flip, "cannot be decoded"),
    "a PNG that ends in its signature": (b"\x89PNG\r\n", "unknown file format, 6 bytes (expected PNG"),
    "a header of 30,000 × 30,000": (
        png(30000, 30000, 8, 2, b""),
        "too many pixels to read at once (expected",
    ),
    "a header and no pixels": (png(SIZE, SIZE, 8, 2, b""), "cannot be decoded"),
    "no width": (png(0, SIZE, 8, 2, b"\0"), "unknown file format, 66 bytes (expected"),
    "a wrong check sum": (flat(8, 0).replace(b"IDAT", b"IDAU"), "unknown file format, 70 bytes (expected"),
    "compressed text of 100 MB": (
        flat(8, 2, 0, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8)))),
        "cannot be decoded",
    ),
    "an animated GIF": (encoded(NOISE, "GIF", **TWO), "bytes (expected PNG"),
    "an animated PNG": (encoded(NOISE, **TWO), "animation of 2 images (expected one image). Save"),
    "a BMP": (encoded(NOISE, "BMP"), "bytes (expected PNG"),
    "a TIFF": (encoded(NOISE, "TIFF"), "bytes (expected PNG"),
    "a WebP": (encoded(NOISE, "WEBP", lossless=True), "bytes (expected PNG"),
    "a PDF": (encoded(NOISE, "PDF"), "bytes (expected PNG"),
    "a folder": (instead(Path.mkdir), NO_FILE),
    "a pipe": (instead(os.mkfifo), NO_FILE),
    "a socket": (instead(bind), NO_FILE),
    "a device": (instead(lambda path: path.symlink_to("/dev/zero")), NO_FILE),
    "a link to a folder": (instead(lambda path: path.symlink_to(".")), NO_FILE),
    "a link to nothing": (instead(lambda path: path.symlink_to("gone")), "cannot be read (No such file"),
    "a link to itself": (instead(lambda path: path.symlink_to(path.name)), "cannot be read (Too many levels"),
}
NO_IMAGE = {
    "half a JPEG": (encoded(NOISE, "JPEG")[:400], "cannot be decoded"),
    "a JPEG to be turned": (
        encoded(NOISE, "JPEG", exif=turned(6)),
        "EXIF orientation 6, so viewers rotate or mirror the pixels (expected 1 or none). Save the image up",
    ),
    "a PNG to be mirrored": (
        encoded(NOISE, exif=turned(2)),
        "EXIF orientation 2, so viewers rotate or mirror",
    ),
}
NOT_RGB = {
    "16-bit RGB": (flat(16, 2, 300), "16-bit RGB"),
    "16-bit RGBA": (flat(16, 6, 65535), "16-bit RGBA"),
    "16-bit grey": (flat(16, 0, 300), "16-bit I;16"),
    "1-bit": (flat(1, 0, 1), "1-bit 1"),
    "grey": (flat(8, 0, 1), "8-bit L"),
    "grey and alpha": (flat(8, 4, 1), "8-bit LA"),
    "with a palette": (encoded(NOISE.quantize(9)), "4-bit P"),
    "see-through": (flat(8, 6, 254), "8-bit RGBA"),
    "CMYK JPEG": (encoded(NOISE.convert("CMYK"), "JPEG"), "8-bit CMYK"),
    "grey JPEG": (encoded(NOISE.convert("L"), "JPEG"), "8-bit L"),
}
NO_MASK = {
    "a JPEG": (encoded(IDS, "JPEG"), "bytes (expected PNG). Replace or remove it."),
    "a mask to be turned": (encoded(IDS, exif=turned(8)), "EXIF orientation 8, so viewers rotate or mirror"),
}
NO_CHANNEL = {
    "16-bit RGB": (flat(16, 2, 7), "16-bit RGB"),
    "1-bit": (flat(1, 0, 1), "1-bit 1"),
    "2-bit grey": (flat(2, 0, 0), "2-bit L"),
    "4-bit grey": (flat(4, 0, 0), "4-bit L"),
    "16-bit grey and alpha": (flat(16, 4, 7), "16-bit RGBA"),
}
NO_CLASS = {
    "id 13": (mask_of(13), "unknown class id 13 (expected 0 to 12). Add the id to classes.csv, or renumber"),
    "id 255": (
        mask_of(255),
        "unknown class id 255 (expected 0 to 12). Add the id to classes.csv, or renumber",
    ),
    "id 13 in red": (mask_of(13, 0, 0), "unknown class id 13 (expected 0 to 12). Add the id to classes.csv"),
    "id 300 in 16 bits": (flat(16, 0, 300), "unknown class id 300 (expected 0 to 12). Add the id"),
    "id 13 in three channels": (mask_of(13, 13, 13), "unknown class id 13 (expected 0 to 12). Add the id"),
    "half transparent": (
        flat(8, 4, 1),
        "256 of 256 pixels are partly transparent (expected opaque pixels, and transparent ones for void",
    ),
    "transparent throughout": (flat(8, 6, 0), "every pixel is transparent (expected opaque pixels, and"),
    "a colour of no class": (
        mask_of(99, 64, 128),
        "256 of 256 pixels have an unknown colour, the first #634080 (expected the colours of the classes)",
    ),
    "a palette of one colour for all": (
        flat(8, 3, 7, chunk(b"PLTE", bytes(3 * 256))),
        "ids and colours contradict each other (expected the same classes from both). Save the ids",
    ),
    "a palette too short": (flat(8, 3, 200, chunk(b"PLTE", bytes(3))), "unknown class id 200 (expected"),
}
RGB, CHANNEL = (
    "pixels are {} (expected 8-bit RGB). Convert the image.",
    "pixels are {} (expected 8-bit channels, 16-bit grey or a palette). Save the ids as one 8-bit channel.",
)
BROKEN = {
    f"{kind}: {name}": Broken(kind, spoil, words.format(rest), finding)
    for kind, cases, words, finding in (
        ("image", NEITHER | NO_IMAGE, "{}", "unreadable"),
        ("image", NOT_RGB, RGB, "wrong-pixels"),
        ("label", NEITHER | NO_MASK, "{}", "unreadable"),
        ("label", NO_CHANNEL, CHANNEL, "wrong-pixels"),
        ("label", NO_CLASS, "{}", "unknown-ids"),
    )
    for name, (spoil, rest) in cases.items()
} | {
    "label: a photograph": Broken(
        "label", encoded(NOISE), "256 of 256 pixels have an unknown colour", "interpolated"
    ),
    "image: of another size": Broken(
        "image", encoded(NOISE.resize((9, 9))), "size 16×16 (expected 9×9, the size of", "size-differs"
    ),
    "label: of another size": Broken(
        "label",
        encoded(IDS.crop((0, 0, 9, 9)).point([7] * 256)),
        "size 9×9 (expected 16×16, the size of",
        "size-differs",
    ),
}

# Valid files that look odd: the bytes of an image, the bytes of a mask.
SOUND = {
    "interlaced": [encoded(one, interlace=1) for one in (NOISE, IDS)],
    "garbage after the end": [encoded(one) + b"\xff" * 999 for one in (NOISE, IDS)],
    "a broken colour profile": [flat(8, kind, 3, chunk(b"iCCP", b"x\0\0nonsense")) for kind in (2, 0)],
    "long text": [flat(8, kind, 3, chunk(b"tEXt", b"a\0" + b"b" * 10**6)) for kind in (2, 0)],
    "EXIF that says upright": [encoded(one, exif=turned(1)) for one in (NOISE, IDS)],
    "EXIF of no meaning": [encoded(one, exif=turned(0)) for one in (NOISE, IDS)],
    "a JPEG named .png, ids in four bits of a palette": [
        encoded(NOISE, "JPEG"),
        flat(4, 3, 7, chunk(b"PLTE", bytes(range(100, 148)))),
    ],
    "opaque, red of four channels": [encoded(NOISE.convert("RGBA")), flat(8, 2, 0)],
}

# Files for a test to change at random.
PALETTE = IDS.copy()
PALETTE.putpalette(list(range(39)))
VALID = [
    encoded(NOISE),
    encoded(NOISE, interlace=1, exif=turned(1), icc_profile=b"x" * 200),
    encoded(NOISE.convert("RGBA")),
    encoded(NOISE, **TWO),
    encoded(IDS),
    encoded(PALETTE, transparency=b"\0" * 13),
    flat(16, 2, 300),
    flat(4, 0, 7),
    encoded(NOISE, "JPEG", exif=turned(1)),
    encoded(NOISE, "JPEG", progressive=True, quality=95),
    encoded(NOISE.convert("CMYK"), "JPEG"),
    encoded(NOISE, "MPO", **TWO),
]
