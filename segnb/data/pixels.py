"""What the pixels of a mask file mean, to class ids.

    stored as        read as
    grey, 8 bits     ids
    grey, 16 bits    ids, which have to be below 256
    RGB              colours; or ids, where all three channels are the same, as a tool makes them of grey, or
                     where green and blue are empty, as in CARLA's own files and Lyft-Udacity's
    palette          ids, which its numbers are; or its colours; or the ids that a tool packed into it
    alpha            with any of them: opaque pixels as without, transparent ones void

A `Coding` says which ids and colours there are; 255 is an id like others, void where the coding says so. A
file that may be read in two ways which differ is refused.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from segnb.data.masks import STREET_CODING, UNKNOWN, Coding
from segnb.errors import SegnbError
from segnb.labels import IGNORE_INDEX

_WIDE = ("I;16", "I;16B", "I")  # modes in which Pillow gives 16-bit grey


def to_labels(path: Path, mask: Image.Image, coding: Coding) -> np.ndarray:
    """uint8 (H, W) of class ids, or IGNORE_INDEX, of a decoded mask.

    Raises SegnbError for other kinds of pixels, values that stand for no class, pixels that mean one thing by
    value and another by colour, and transparent ones that are half so, or where the label set has no void.
    """
    require_channels(path, mask)
    pixels = np.asarray(mask)
    hidden = _hidden(path, mask, coding)
    if mask.mode in ("LA", "RGBA"):
        pixels = pixels[..., 0] if mask.mode == "LA" else pixels[..., :3]
    shown = pixels[~hidden]  # (N, …)
    if mask.mode == "P":
        ids = _from_palette(path, coding, shown, np.array(mask.getpalette("RGB"), np.uint8).reshape(-1, 3))
    elif shown.ndim == 1:
        ids = _known(path, coding, shown)
    else:
        ids = _from_channels(path, coding, shown)
    labels = np.full(hidden.shape, IGNORE_INDEX, np.uint8)
    labels[~hidden] = ids
    return labels


def require_channels(path: Path, mask: Image.Image) -> None:
    """Raise SegnbError if a mask has neither 8-bit channels, 16-bit grey nor a palette."""
    bits = bits_of(path)
    whole = mask.mode in ("L", "LA", "RGB", "RGBA") and bits == 8
    if not (whole or mask.mode == "P" or (mask.mode in _WIDE and bits == 16)):
        raise SegnbError(f"{path}: pixels are {bits}-bit {mask.mode}; save the ids as one 8-bit channel")


def bits_of(path: Path) -> int:
    """Bits a channel of a sound PNG or JPEG file. Pillow cuts 16 to 8, and stretches 2 and 4 to 0 … 255."""
    with open(path, "rb") as file:
        head = file.read(25)
    return head[24] if head.startswith(b"\x89PNG") else 8


def _hidden(path: Path, mask: Image.Image, coding: Coding) -> np.ndarray:
    """bool (H, W): the transparent pixels, which nobody labelled."""
    if mask.mode in ("LA", "RGBA"):
        alpha = np.asarray(mask)[..., -1]
    elif "transparency" in mask.info and mask.mode not in _WIDE:
        alpha = np.asarray(mask.convert("RGBA"))[..., 3]
    else:
        return np.zeros(mask.size[::-1], bool)
    hidden = alpha == 0
    half = np.count_nonzero(~hidden & (alpha < 255))
    if half or hidden.all():
        what = f"{half} of {alpha.size} pixels are half" if half else "every pixel is"
        raise SegnbError(
            f"{path}: {what} transparent; save the mask without alpha, or make only void transparent"
        )
    if hidden.any() and not coding.classes.void:
        raise SegnbError(
            f"{path}: {hidden.sum()} of {alpha.size} pixels are transparent, so of no class; give classes.csv"
            " a row for them (such as '255,void'), or save the mask without alpha"
        )
    return hidden


def _from_palette(path: Path, coding: Coding, numbers: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """A tool that packs a mask of ids or colours into a palette numbers them as they come, so the numbers
    may happen to be ids and yet mean nothing: what the palette says must not contradict them."""
    used, place = np.unique(numbers, return_inverse=True)
    readings = [coding.from_values(used)]
    if used[-1] < len(palette):  # otherwise there are pixels that have no colour
        readings.append(coding.from_colours(palette[used]))
        ids, count = _in_channels(palette[used]), len(used)
        # A palette may happen to look like ids. A packed one holds what the mask holds, and no more; black
        # and white are how tools show 0 and 1.
        packed = int(used[-1]) == count - 1 and not palette[count:].any()
        plain = ids is not None and ids.tolist() == [0, 255]
        if ids is not None and ((packed and not plain) or (readings[0] == UNKNOWN).any()):
            readings.append(coding.from_values(ids))
    agreed = _agreed(path, readings)
    return _known(path, coding, numbers) if agreed is None else agreed[place]


def _from_channels(path: Path, coding: Coding, pixels: np.ndarray) -> np.ndarray:
    readings = [coding.from_colours(pixels)]
    if (ids := _in_channels(pixels)) is not None:
        readings.append(coding.from_values(ids))
    if (agreed := _agreed(path, readings)) is not None:
        return agreed
    if ids is not None:
        return _known(path, coding, ids)
    strange = readings[0] == UNKNOWN
    many, colour = strange.sum(), "#{:02x}{:02x}{:02x}".format(*pixels[strange][0])
    raise SegnbError(
        f"{path}: a colour mask in which {many} of {strange.size} pixels have colours of no class, the first"
        f" {colour}; give each colour a row in classes.csv, or, if there are colours between colours, resize"
        " the masks anew by nearest neighbour"
    )


def _in_channels(colours: np.ndarray) -> np.ndarray | None:
    """The ids (N,) that colours, uint8 (N, 3), hold in red alone or in all three channels; None: neither."""
    alone = not colours[:, 1:].any()
    return colours[:, 0] if alone or (colours == colours[:, :1]).all() else None


def _agreed(path: Path, readings: list[np.ndarray]) -> np.ndarray | None:
    """The reading that knows every pixel; None if none does. Raises SegnbError where two differ."""
    whole = [one for one in readings if not (one == UNKNOWN).any()]
    if any((one != whole[0]).any() for one in whole[1:]):
        raise SegnbError(
            f"{path}: holds ids that mean one thing and colours that mean another; save the ids as one 8-bit"
            " channel without a palette, or leave only ids, or only colours, in classes.csv"
        )
    return whole[0] if whole else None


def _known(path: Path, coding: Coding, values: np.ndarray) -> np.ndarray:
    ids = coding.from_values(np.minimum(values, 255).astype(np.uint8))
    strange = values[(ids == UNKNOWN) | (values > 255)]
    if strange.size:
        most, more = strange.max(), ""
        if most == 255:
            more = "; if 255 marks what nobody labelled, name it 'void' there"
        elif coding is STREET_CODING:
            more = " (for CARLA from 0.9.10 on: docs/classes-carla-*.csv)"
        raise SegnbError(
            f"{path}: holds id {most}, which none of the {len(coding.classes)} classes has; renumber the"
            f" mask, or name its ids in classes.csv{more}"
        )
    return ids
