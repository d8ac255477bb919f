"""Conversion of the pixels of a mask file to class ids.

    stored as        read as
    grey, 8 bits     ids
    grey, 16 bits    ids, which must be below 256
    RGB              colours, or ids: all three channels are equal (grey that a tool saved as RGB), or green
                     and blue are empty (files of CARLA and Lyft-Udacity)
    palette          its indices as ids, its colours, or ids that a tool packed into its colours
    alpha            transparent pixels are void, opaque ones are read as above; partly transparent pixels
                     are an error

The valid ids and colours are those of a `Coding`. The id 255 is an ordinary id, and void only if the coding
says so. If a file can be read in two ways with different results, it is an error.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from segnb.data.masks import STREET_CODING, UNKNOWN, Coding
from segnb.errors import SegnbError
from segnb.labels import IGNORE_INDEX

_WIDE = ("I;16", "I;16B", "I")  # Pillow's modes of 16-bit grey
RANGES = 5  # ranges of ids that an error lists


def to_labels(path: Path, mask: Image.Image, coding: Coding) -> np.ndarray:
    """Return the class ids of a decoded mask.

    Args:
        path: of the file, for error messages and for its bit depth
        mask: the decoded file
        coding: the ids and colours that stand for classes

    Returns:
        uint8 (H, W): a class id or IGNORE_INDEX for each pixel.

    Raises:
        SegnbError: for pixels of another kind, for an id or colour of no class, if ids and colours
            contradict each other, for partly transparent pixels, and for transparent pixels if the label set
            has no void.
    """
    require_channels(path, mask)
    pixels = np.asarray(mask)
    hidden = _hidden(path, mask, coding)
    if mask.mode in ("LA", "RGBA"):
        pixels = pixels[..., 0] if mask.mode == "LA" else pixels[..., :3]
    visible = pixels[~hidden]  # (N, …)
    if mask.mode == "P":
        ids = _from_palette(path, coding, visible, np.array(mask.getpalette("RGB"), np.uint8).reshape(-1, 3))
    elif visible.ndim == 1:
        ids = _known(path, coding, visible)
    else:
        ids = _from_channels(path, coding, visible)
    labels = np.full(hidden.shape, IGNORE_INDEX, np.uint8)
    labels[~hidden] = ids
    return labels


def require_channels(path: Path, mask: Image.Image) -> None:
    """Raise SegnbError if a mask has neither 8-bit channels, 16-bit grey nor a palette."""
    bits = bits_of(path)
    whole = mask.mode in ("L", "LA", "RGB", "RGBA") and bits == 8
    if not (whole or mask.mode == "P" or (mask.mode in _WIDE and bits == 16)):
        raise SegnbError(
            f"{path}: pixels are {bits}-bit {mask.mode} (expected 8-bit channels, 16-bit grey or a palette)."
            " Save the ids as one 8-bit channel."
        )


def bits_of(path: Path) -> int:
    """Return the bits per channel of a valid PNG or JPEG file.

    Pillow hides them: it cuts 16 bits to 8 and stretches 2 and 4 bits to 0 … 255.
    """
    with open(path, "rb") as file:
        head = file.read(25)
    return head[24] if head.startswith(b"\x89PNG") else 8


def _hidden(path: Path, mask: Image.Image, coding: Coding) -> np.ndarray:
    """Return the transparent, hence unlabelled, pixels: bool (H, W)."""
    if mask.mode in ("LA", "RGBA"):
        alpha = np.asarray(mask)[..., -1]
    elif "transparency" in mask.info and mask.mode not in _WIDE:
        alpha = np.asarray(mask.convert("RGBA"))[..., 3]
    else:
        return np.zeros(mask.size[::-1], bool)
    hidden = alpha == 0
    partly = np.count_nonzero(~hidden & (alpha < 255))
    if partly or hidden.all():
        what = f"{partly} of {alpha.size} pixels are partly" if partly else "every pixel is"
        raise SegnbError(
            f"{path}: {what} transparent (expected opaque pixels, and transparent ones for void only). Save"
            " the mask without alpha, or make only void pixels transparent."
        )
    if hidden.any() and not coding.classes.void:
        raise SegnbError(
            f"{path}: {hidden.sum()} of {alpha.size} pixels are transparent, but the label set has no void."
            " Add a row for void to classes.csv (such as '255,void'), or save the mask without alpha."
        )
    return hidden


def _from_palette(path: Path, coding: Coding, numbers: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return the class ids (N,) of palette indices.

    A tool that packs a mask of ids or colours into a palette numbers them in the order in which they come.
    Such an index may look like an id and still mean nothing, so the palette must not contradict it.
    """
    used, place = np.unique(numbers, return_inverse=True)
    readings = [coding.from_values(used)]
    if used[-1] < len(palette):  # otherwise the palette lacks the colour of some pixels
        readings.append(coding.from_colours(palette[used]))
        ids, count = ids_in_channels(palette[used]), len(used)
        # A palette may look like ids by chance. A packed palette has only the colours of the mask. Black and
        # white do not count, because tools display 0 and 1 with them.
        packed = int(used[-1]) == count - 1 and not palette[count:].any()
        plain = ids is not None and ids.tolist() == [0, 255]
        if ids is not None and ((packed and not plain) or (readings[0] == UNKNOWN).any()):
            readings.append(coding.from_values(ids))
    agreed = _agreed(path, readings)
    return _known(path, coding, numbers) if agreed is None else agreed[place]


def _from_channels(path: Path, coding: Coding, pixels: np.ndarray) -> np.ndarray:
    """Return the class ids (N,) of RGB pixels, uint8 (N, 3), that are colours or hold ids."""
    readings = [coding.from_colours(pixels)]
    if (ids := ids_in_channels(pixels)) is not None:
        readings.append(coding.from_values(ids))
    if (agreed := _agreed(path, readings)) is not None:
        return agreed
    if ids is not None:
        return _known(path, coding, ids)
    unknown = readings[0] == UNKNOWN
    count, colour = unknown.sum(), "#{:02x}{:02x}{:02x}".format(*pixels[unknown][0])
    expected = "the colours of the classes" if coding.colours else "ids"
    raise SegnbError(
        f"{path}: {count} of {unknown.size} pixels have an unknown colour, the first {colour} (expected"
        f" {expected}). Add a row per colour to classes.csv. If the mask contains mixtures of class colours,"
        " resize the original again by nearest neighbour."
    )


def ids_in_channels(colours: np.ndarray) -> np.ndarray | None:
    """Return the ids (...) that RGB pixels, uint8 (..., 3), hold in red alone or in three equal channels.

    None if they hold neither.
    """
    alone = not colours[..., 1:].any()
    return colours[..., 0] if alone or (colours == colours[..., :1]).all() else None


def _agreed(path: Path, readings: list[np.ndarray]) -> np.ndarray | None:
    """Return the reading without unknown pixels, or None if every reading has some.

    Raises:
        SegnbError: if two complete readings differ.
    """
    complete = [reading for reading in readings if not (reading == UNKNOWN).any()]
    if any((reading != complete[0]).any() for reading in complete[1:]):
        raise SegnbError(
            f"{path}: ids and colours contradict each other (expected the same classes from both). Save the"
            " ids as one 8-bit channel without a palette, or keep only ids or only colours in classes.csv."
        )
    return complete[0] if complete else None


def _known(path: Path, coding: Coding, values: np.ndarray) -> np.ndarray:
    """Return the class ids of stored values, (N,) integers.

    Raises:
        SegnbError: for a value of no class.
    """
    ids = coding.from_values(np.minimum(values, 255).astype(np.uint8))
    unknown = values[(ids == UNKNOWN) | (values > 255)]
    if unknown.size:
        largest, hint = unknown.max(), ""
        if largest == 255:
            hint = " If 255 marks unlabelled pixels, name it 'void'."
        elif coding is STREET_CODING:
            hint = " For CARLA 0.9.10 and later, use docs/classes-carla-*.csv."
        expected = _ranges(coding.values) or "colours"
        raise SegnbError(
            f"{path}: unknown class id {largest} (expected {expected}). Add the id to classes.csv, or"
            f" renumber the mask.{hint}"
        )
    return ids


def _ranges(ids: Iterable[int]) -> str:
    """Return ids as text, such as "0 to 12, 255"; "…" replaces all but the first `RANGES`."""
    order = np.array(sorted(ids), int)
    texts = []
    for group in np.split(order, np.flatnonzero(np.diff(order) > 1) + 1):
        texts += [f"{group[0]} to {group[-1]}"] if len(group) > 2 else map(str, group)
    return ", ".join([*texts[:RANGES], "…"] if len(texts) > RANGES else texts)
