"""Images outside training: a user's own, and the files that predictions and copies of data consist of.

The images of a data folder (`segnb.data.reading`) must match their masks, so they are refused if that is in
doubt. An own image has no mask. It is turned upright and converted to RGB, whatever its pixels are. Masks and
classes.csv are written as `segnb.data.reading` and `segnb.data.masks` read them.
"""

import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from segnb.data.layouts import IMAGE_FORMATS
from segnb.data.masks import COLUMNS, require_file
from segnb.data.reading import LARGEST
from segnb.errors import SegnbError, one_line
from segnb.labels import IGNORE_INDEX, ClassMap
from segnb.storage.files import atomic_path, write_text

FORMATS = " or ".join(IMAGE_FORMATS)
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")  # Pillow's names; at most 8 bits per channel
LONGEST_SIDE = 65_500  # pixels; JPEG, the format of overlays, has no longer sides


def read_photograph(source: Path | io.BytesIO, name: str = "") -> Image.Image:
    """Read an image at its original size, upright, as RGB.

    Args:
        source: PNG or JPEG, a file or its content
        name: of the image, for error messages; "" is the path

    Raises:
        SegnbError: the file is unreadable, damaged, of another format or too large, contains several images,
            or is grey with more than 8 bits. Colours with 16 bits per channel are reduced to 8.
    """
    name = one_line(name or str(source))
    if isinstance(source, Path):
        require_file(source)
    try:
        with Image.open(source, formats=list(IMAGE_FORMATS)) as opened:
            frames = getattr(opened, "n_frames", 1) if opened.format == "PNG" else 1
            opened.load()
            ImageOps.exif_transpose(opened, in_place=True)
    except PermissionError:
        raise SegnbError(f"{name}: permission denied. Run 'chmod u+r' on it.") from None
    except UnidentifiedImageError:
        raise SegnbError(f"{name}: not a {FORMATS} file. Choose another file.") from None
    except (Image.DecompressionBombError, MemoryError):
        raise SegnbError(
            f"{name}: cannot be decoded, because it has too many pixels (expected at most {LARGEST:,}, and"
            " enough memory). Cut it into tiles, or reduce it."
        ) from None
    except Exception as error:  # each decoder raises its own errors
        raise SegnbError(f"{name}: the image cannot be decoded ({error}). Choose another file.") from None
    if frames > 1:
        raise SegnbError(
            f"{name}: animation of {frames} images (expected one image). Save the right one as a file."
        )
    return as_photograph(opened, name)


def as_photograph(picture: Image.Image, name: str) -> Image.Image:
    """Return a decoded image as RGB, without its alpha channel.

    Raises:
        SegnbError: the image has more than 8 bits per channel, or a side above `LONGEST_SIDE`.
    """
    if picture.mode not in MODES:
        raise SegnbError(
            f"{name}: unsupported pixel mode {picture.mode} (expected at most 8 bits per channel). Save the"
            " image as 8-bit RGB."
        )
    if max(picture.size) > LONGEST_SIDE:
        raise SegnbError(
            f"{name}: a side of {max(picture.size):,} pixels (expected at most {LONGEST_SIDE:,}). Cut it into"
            " tiles, or reduce it."
        )
    return picture if picture.mode == "RGB" else picture.convert("RGB")


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
    rows.writerow(COLUMNS)
    # An empty column would have the usual marks of the names, so "no" is written out.
    for i, (name, colour) in enumerate(zip(classes.names, classes.colours, strict=True)):
        marks = ["yes" if name in marked else "no" for marked in (classes.thin, classes.things)]
        rows.writerow([i, colour, name, *marks])
    if classes.void:
        rows.writerow([IGNORE_INDEX, "", "void", "", ""])
    write_text(path, text.getvalue())
