"""Objects: which of those in the ground truth a prediction finds, by how large and how visible they are.

An object is a connected component of a thing class (`ClassMap.things`) in the labels, neighbours at corners
included: two cars that touch in the picture are one. Components that show pieces of the same thing, such as a
car behind a pole, are one object where the renderer says so. An object is found when at least half of its
pixels are predicted as its class. Each is a row of a table (`components`), of which `binned` makes sums per
image, so that a bootstrap can weigh the images before `confusion.ratio` makes a score of the total.
"""

import numpy as np
import pandas as pd
from scipy import ndimage, sparse

from segnb.labels import IGNORE_INDEX
from segnb.metrics.confusion import ratio

FOUND = 0.5  # the share of an object that has to be recalled
# Pixels below which a component is no object but what is left of one between leaves or railings.
SMALLEST = 4
# Sizes follow the cells of the strides, 8, 16 and 32 px, not what sizes there are: an object within one cell
# of a network's finest scores is what its stride can hardly tell. (A third of all objects has 4 to 11 px, of
# which even perfect scores at stride 8 find 1 %.) All are px a side, of an image of CELLS_OF px a side.
CELLS, CELLS_OF = (8, 16, 32), 224
SIZES = ("tiny", "small", "medium", "large")
SIDES = dict(zip(SIZES, ("below 8", "8–16", "16–32", "32 or more"), strict=True))  # in words
# Ends of the bins, as shares of the image: just below, as an object of 8 × 8 px is small.
AREAS = tuple(float(np.nextafter(side**2 / CELLS_OF**2, 0)) for side in CELLS)
VISIBILITIES = ("mostly hidden", "partly hidden", "in full sight")
VISIBLE = (0.5, 0.95)  # ends of the bins of that name: the share of an object that is in sight

# Eight neighbours in the same image and none in the one before or behind it: all images of an array at once.
WITHIN_IMAGE = np.zeros((3, 3, 3), bool)
WITHIN_IMAGE[1] = True


def components(
    labels: np.ndarray,
    predictions: np.ndarray,
    things: list[int],
    visible: np.ndarray | None = None,
    numbers: np.ndarray | None = None,
    smallest: int = SMALLEST,
) -> pd.DataFrame:
    """A row an object of the ground truth, by image and class.

    labels, predictions: uint8 (N, S, S) ids; where the labels are IGNORE_INDEX, the prediction is ignored
    things:              ids of the classes whose objects are counted
    smallest:            pixels that an object has at least
    visible:             uint8 (N, S, S), 255 × the share of the object that is in sight, at its pixels; 0
                         where there is none. None where nobody knows
    numbers:             uint16 (N, S, S), which thing of the image a pixel shows, 0 for none: components that
                         share a number are one object. None where nobody knows

    image, class  index and id
    pixels, area  how large it is, in px and as a share of the image, 0 to 1
    visible       share that is in sight, 0 to 1, mean over its pixels (it may consist of several that touch);
                  NaN if unknown
    recalled      its pixels that are predicted as its class
    union         pixels of it and of all predicted components of its class that overlap it
    found, iou    whether recalled / pixels ≥ 0.5; recalled / union
    intact        whether it is found, by no more predicted components than it has pieces, none of which
                  overlaps another object
    """
    guess = np.where(labels == IGNORE_INDEX, IGNORE_INDEX, predictions)
    # With no thing there is an empty table, of the background's no objects.
    parts = [(c, labels == c, guess == c) for c in things] or [(0, *np.zeros((2, *labels.shape), bool))]
    tables = [_components(truth, found, visible, numbers).assign(**{"class": c}) for c, truth, found in parts]
    table = pd.concat(tables, ignore_index=True).sort_values(["image", "class"])
    table = table[table["pixels"] >= smallest]
    table["area"] = table["pixels"] / labels[0].size
    table["found"] = table["recalled"] >= FOUND * table["pixels"]
    table["iou"] = table["recalled"] / table["union"]
    table["intact"] = table["found"] & table["whole"]
    order = ["image", "class", "pixels", "area", "visible", "recalled", "union", "found", "iou", "intact"]
    return table[order].reset_index(drop=True)


def _joined(pieces: np.ndarray, count: int, numbers: np.ndarray) -> np.ndarray:
    """Return the object, from 0, of each of `count` pieces: those that share a number in an image are one."""
    at = np.flatnonzero((pieces > 0) & (numbers > 0))
    thing = at // pieces[0].size * (1 << 16) + numbers.ravel()[at]
    _, thing = np.unique(thing, return_inverse=True)
    links = sparse.coo_array(
        (np.ones(len(at)), (pieces.ravel()[at] - 1, count + thing)), (count + len(at), count + len(at))
    )
    _, group = sparse.csgraph.connected_components(links, directed=False)
    return np.unique(group[:count], return_inverse=True)[1]


def _components(
    truth: np.ndarray, guess: np.ndarray, visible: np.ndarray | None, numbers: np.ndarray | None
) -> pd.DataFrame:
    """The objects of one class: truth, guess bool (N, S, S)."""
    objects, pieces = ndimage.label(truth, WITHIN_IMAGE)
    joined = np.arange(pieces) if numbers is None else _joined(objects, pieces, numbers)
    count = joined.max(initial=-1) + 1
    objects = np.concatenate([[0], joined + 1])[objects]
    guesses, guess_count = ndimage.label(guess, WITHIN_IMAGE)
    at = np.flatnonzero(objects)  # their pixels
    of = objects.ravel()[at] - 1  # whose they are
    also = guesses.ravel()[at]  # the predicted component there, 0 for none

    pixels = np.bincount(of, minlength=count)
    recalled = np.bincount(of, also > 0, minlength=count).astype(np.int64)
    image = np.zeros(count, np.int64)
    image[of] = at // truth[0].size
    # Each pair of an object and a predicted component that overlap, once.
    pairs = np.unique(of[also > 0] * (guess_count + 1) + also[also > 0])
    one, other = np.divmod(pairs, guess_count + 1)
    predicted = np.bincount(guesses.ravel(), minlength=guess_count + 1)[other]
    touched = np.bincount(one, predicted, minlength=count).astype(np.int64)
    shared = np.bincount(other, minlength=guess_count + 1)[other] > 1  # with another object
    merged = np.bincount(one, shared, minlength=count) > 0

    share = np.full(count, np.nan)
    if visible is not None:
        sight = np.asarray(visible).ravel()[at]
        known = np.bincount(of, sight > 0, minlength=count)
        share = ratio(np.bincount(of, sight / 255, minlength=count), known)
    return pd.DataFrame(
        {
            "image": image,
            "pixels": pixels,
            "visible": share,
            "recalled": recalled,
            "union": pixels + touched - recalled,
            "whole": (np.bincount(one, minlength=count) <= np.bincount(joined, minlength=count)) & ~merged,
        }
    )


def specks(labels: np.ndarray, predictions: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """Pixels of each image in specks, and all that are labelled: int64 (N,) specks and pixels.

    A speck is a connected component of a prediction without a single right pixel. Where the labels are
    IGNORE_INDEX, the prediction is ignored. labels, predictions: uint8 (N, S, S)
    """
    labelled = labels != IGNORE_INDEX
    found = np.zeros(len(labels), np.int64)
    for c in range(classes):
        parts, count = ndimage.label((predictions == c) & labelled, WITHIN_IMAGE)
        right = np.bincount(parts[labels == c], minlength=count + 1) > 0
        right[0] = True  # what is of no part
        found += (~right[parts]).sum((1, 2))
    return {"specks": found, "pixels": labelled.sum((1, 2))}


def pixel_ends(size: int) -> list[int]:
    """Return the fewest pixels of a small, a medium and a large object in an image of `size` px a side."""
    return [int(np.ceil(side**2 * size**2 / CELLS_OF**2)) for side in CELLS]


def binned(
    table: pd.DataFrame,
    values: np.ndarray,
    ends: tuple[float, ...],
    images: int,
    columns: tuple[str, ...] = ("found", "iou"),
) -> dict[str, np.ndarray]:
    """Sums of columns by image and bin, each float64 (images, len(ends) + 1), and count.

    table:   rows of `components`, all or some
    values:  what they are binned by, (rows,); a row whose value is NaN is left out
    ends:    upper ends, inclusive, of all bins but the last; () for one bin that holds all
    """
    values = np.asarray(values, float)
    known = ~np.isnan(values)
    table, bins = table[known], np.digitize(values[known], ends, right=True)
    cells = table["image"].to_numpy() * (len(ends) + 1) + bins

    def summed(column: np.ndarray) -> np.ndarray:
        total = np.bincount(cells, column, minlength=images * (len(ends) + 1))
        return total.reshape(images, len(ends) + 1)

    ones = np.ones(len(table))
    return {name: summed(table[name]) for name in columns} | {"count": summed(ones)}
