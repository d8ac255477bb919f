"""Checks of pixels: masks that were interpolated, and images that are nearly the same."""

import numpy as np
from PIL import Image

from segnb.data import reading

# ---- masks ---------------------------------------------------------------------------------------

# Shares of real masks (CamVid, Lyft-Udacity, CARLA) as they are, or resized by nearest neighbour to widths
# from 74 to 1600 pixels: at most 0.10. Resized bilinearly, bicubically or by Lanczos: at least 0.46.
# Bilinearly without antialiasing: at least 0.21, but for shrinking to a third, which takes nearly, or just,
# the pixels that nearest neighbour would. CARLA's saved as JPEG of quality 90: at least 0.39.
SOFT = 0.2
FEWEST = 50  # boundaries, below which a share says nothing


def _ramps(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Of each climb or fall by two or more along the rows of (H, W), at once or step by step: the first value
    in between, where there is one; and how many there are."""
    slope = np.pad(np.sign(np.diff(values)), ((0, 0), (1, 1)))  # (H, W+1), flat at both ends of a row
    turns = slope[:, 1:] != slope[:, :-1]  # (H, W)
    first = np.flatnonzero(turns & (slope[:, 1:] != 0))
    last = np.flatnonzero(turns & (slope[:, :-1] != 0))  # of the same ramps in the same order
    flat = values.ravel()
    high = np.abs(flat[last] - flat[first]) > 1
    first, last = first[high], last[high]
    return flat[first[last - first > 1] + 1], len(first)


def soft_share(values: np.ndarray) -> float:
    """Share of class boundaries that pass through values in between, 0 to 1, as interpolation makes them.

    values: uint8 or int16 (H, W), as stored: ids, or any number that stands for a colour

    A boundary between 2 and 9 is hard where 2 and 9 are neighbours, along a row or a column, and soft where a
    5 lies between them. A strip of class 5 that is one pixel wide does that too, but seldom; and where all
    that lies in between is one value, it may be a line somebody drew, so that the share is 0. With three ids
    in a row (0, 1, 2) interpolation cannot be told from that.
    """
    values = np.ascontiguousarray(values, np.int16)
    between, boundaries = zip(_ramps(values), _ramps(np.ascontiguousarray(values.T)), strict=True)
    inner = np.concatenate(between)
    if sum(boundaries) < FEWEST or len(np.unique(inner)) < 2:
        return 0.0
    return len(inner) / sum(boundaries)


def stored(mask: Image.Image) -> list[np.ndarray]:
    """What may have been interpolated, (H, W) each: ids, those in the red channel, or sums of colours."""
    pixels = np.asarray(mask)
    if mask.mode == "P":  # numbers that may be ids, or stand for colours in any order
        palette = np.array(mask.getpalette("RGB") + [0] * 768, np.uint8)[:768].reshape(256, 3)
        return [pixels, _one_channel(palette[pixels])]
    return [pixels if pixels.ndim == 2 else _one_channel(pixels[..., :3])]


def _one_channel(colours: np.ndarray) -> np.ndarray:
    return colours.sum(-1, dtype=np.int16) if colours[..., 1:].any() else colours[..., 0]


# ---- images ------------------------------------------------------------------------------------

BITS = 128
# Bits that may differ between pictures that count as nearly the same. Pictures of CamVid and CARLA saved as
# JPEG of quality 30, shrunk by half, a tenth brighter, noisy, or cut by a fiftieth at each side were up to 12
# from what they had been; frames of CamVid a fifteenth of a second apart up to 15, half of them up to 5; a
# second apart nine in ten of them 17 and more, and of different drives all of them 27 and more.
NEAR = 12
ROWS = 16  # compared with all others at once: 10 MB for 100,000 pictures


def difference_hash(image: Image.Image) -> np.ndarray:
    """uint64 (2,): whether brightness rises, to the right and downwards, between 8 × 8 places of a picture.

    The difference hash of Krawetz ("Kind of like that", hackerfactor.com 2013) in both directions. It tells a
    picture saved, scaled or exposed anew, and the frame after it, from another place. It knows nothing of a
    picture that was turned, mirrored or cut, and does not tell apart two that are of one even colour.
    """
    grey = np.asarray(image.convert("L").resize((9, 9), Image.Resampling.BOX), np.int16)
    rises = np.stack([grey[:-1, 1:] > grey[:-1, :-1], grey[1:, :-1] > grey[:-1, :-1]])
    return np.packbits(rises).view(np.uint64)


def nearest(hashes: np.ndarray, contents: np.ndarray, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each picture the most alike of those before it that are within `NEAR`, the first one of equals, as
    indices (N,), -1 where there is none: among those of other splits, and of its own.

    hashes: uint64 (N, 2); contents: (N,), equal where pictures are the same to the last pixel, which does not
    count here; ranks: (N,) of the splits, ascending

    All pairs are compared, a few rows at a time: 5 · 10⁹ of them, for 100,000 pictures, take half a minute.
    """
    other, own = np.full((2, len(hashes)), -1)
    left, right = np.ascontiguousarray(hashes.T)

    def compare(start: int) -> None:
        i = np.arange(start, min(start + ROWS, len(hashes)))
        j = np.arange(i[-1] + 1)
        apart = np.bitwise_count(left[i, None] ^ left[j]) + np.bitwise_count(right[i, None] ^ right[j])
        some = np.count_nonzero(apart <= NEAR, axis=1) > 1  # itself is always there
        i, apart = i[some, None], apart[some]
        apart[(j >= i) | (contents[j] == contents[i])] = BITS
        for found, wanted in ((other, ranks[j] != ranks[i]), (own, ranks[j] == ranks[i])):
            distance = np.where(wanted, apart, BITS)
            best = distance.argmin(1)
            near = distance[np.arange(len(best)), best] <= NEAR
            found[i[near, 0]] = best[near]

    for _ in reading.several(compare, range(0, len(hashes), ROWS)):
        pass
    return other, own
