"""Object recall: which objects of the ground truth a prediction finds, by size and visibility.

An **object** is a connected component of a thing class (`ClassMap.things`) in the labels. Pixels that touch
at a corner are connected, and two cars that touch in the image are one object. If the renderer numbers the
things, components with the same number, such as a car behind a pole, are pieces of one object. An object is
**found** if at least half of its pixels are predicted as its class. The bonnet of the recording car, which
street datasets label as a car at the same place of every image, is no object.

`components` makes a table with one row per object. `binned` sums it by image, so that a bootstrap can weight
the images before `confusion.ratio` computes a score from the total.
"""

import numpy as np
import pandas as pd
from scipy import ndimage, sparse

from segnb.labels import IGNORE_INDEX
from segnb.metrics.confusion import ratio

FOUND = 0.5  # share of an object's pixels that must be recalled
BONNET = 0.5  # share of the lowest row of an image that only the bonnet of the recording car covers
# Smaller components, in pixels, are remains of an object between leaves or railings.
SMALLEST = 4
# Sizes are bounded by the cells of the strides 8, 16 and 32 px, because an object within one cell of a
# network's finest scores is hard to resolve. (A third of all objects has 4 to 11 px; even perfect scores at
# stride 8 find 1% of them.) Sides are in px, for an image of CELLS_OF px per side.
CELLS, CELLS_OF = (8, 16, 32), 224
SIZES = ("tiny", "small", "medium", "large")
SIDES = dict(zip(SIZES, ("below 8", "8–16", "16–32", "32 or more"), strict=True))  # for readers
# Upper ends of the size bins, as shares of the image. Just below the square, so that 8×8 px is small.
AREAS = tuple(float(np.nextafter(side**2 / CELLS_OF**2, 0)) for side in CELLS)
VISIBILITIES = ("mostly hidden", "partly hidden", "in full sight")
VISIBLE = (0.5, 0.95)  # upper ends of the visibility bins: visible share of an object

# Connects a pixel with its eight neighbours in the same image, but not with the images before and after it.
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
    """Make a table of the objects in the ground truth, sorted by image and class.

    Args:
        labels: uint8 (N, S, S), class ids, or IGNORE_INDEX for void
        predictions: uint8 (N, S, S), class ids; void pixels of the labels are left out
        things: ids of the classes whose objects count
        visible: uint8 (N, S, S), at each pixel of an object 255 × its visible share, elsewhere 0; None if
            unknown
        numbers: uint16 (N, S, S), the number of the thing at each pixel within its image, 0 without a thing;
            components that share a number are one object. None if unknown
        smallest: minimum pixels of an object

    Returns:
        One row per object with the columns
            image, class: index of the image and id of the class
            pixels, area: size in px, and as a share of the image, 0 to 1
            visible: visible share, 0 to 1, mean over the pixels (touching objects are one component); NaN if
                unknown
            recalled: pixels of the object that are predicted as its class
            union: pixels of the object and of all predicted components of its class that overlap it
            found: whether recalled / pixels ≥ 0.5
            iou: recalled / union, 0 to 1
            intact: whether it is found, by at most as many predicted components as it has pieces, none of
                which overlaps another object
    """
    guess = np.where(labels == IGNORE_INDEX, IGNORE_INDEX, predictions)
    # Without thing classes, an empty mask gives an empty table with all columns.
    parts = [(c, labels == c, guess == c) for c in things] or [(0, *np.zeros((2, *labels.shape), bool))]
    tables = [_components(truth, mask, visible, numbers).assign(**{"class": c}) for c, truth, mask in parts]
    table = pd.concat(tables, ignore_index=True).sort_values(["image", "class"])
    table = table[(table["pixels"] >= smallest) & (table["lowest"] < BONNET)]
    table["area"] = table["pixels"] / labels[0].size
    table["found"] = table["recalled"] >= FOUND * table["pixels"]
    table["iou"] = table["recalled"] / table["union"]
    table["intact"] = table["found"] & table["whole"]
    order = ["image", "class", "pixels", "area", "visible", "recalled", "union", "found", "iou", "intact"]
    return table[order].reset_index(drop=True)


def _joined(pieces: np.ndarray, count: int, numbers: np.ndarray) -> np.ndarray:
    """Return the object of each piece, from 0: pieces of an image with the same number are one object."""
    at = np.flatnonzero((pieces > 0) & (numbers > 0))
    thing = at // pieces[0].size * (1 << 16) + numbers.ravel()[at]  # unique over all images
    _, thing = np.unique(thing, return_inverse=True)
    # A graph whose nodes are the pieces, then the things; each pixel links its piece with its thing.
    links = sparse.coo_array(
        (np.ones(len(at)), (pieces.ravel()[at] - 1, count + thing)), (count + len(at), count + len(at))
    )
    _, group = sparse.csgraph.connected_components(links, directed=False)
    return np.unique(group[:count], return_inverse=True)[1]


def _components(
    truth: np.ndarray, guess: np.ndarray, visible: np.ndarray | None, numbers: np.ndarray | None
) -> pd.DataFrame:
    """Make the rows of one class from its masks; truth, guess: bool (N, S, S).

    In addition to columns of `components`, a row has
        lowest: share of the lowest row of the image that the object covers
        whole: whether the object is intact if it is found
    """
    objects, pieces = ndimage.label(truth, WITHIN_IMAGE)
    joined = np.arange(pieces) if numbers is None else _joined(objects, pieces, numbers)  # (pieces,)
    count = joined.max(initial=-1) + 1
    objects = np.concatenate([[0], joined + 1])[objects]
    guesses, guess_count = ndimage.label(guess, WITHIN_IMAGE)
    at = np.flatnonzero(objects)  # indices of the objects' pixels, (P,)
    of = objects.ravel()[at] - 1  # object of each pixel, from 0
    overlap = guesses.ravel()[at]  # predicted component at each pixel, 0 without one

    pixels = np.bincount(of, minlength=count)
    recalled = np.bincount(of, overlap > 0, minlength=count).astype(np.int64)
    image = np.zeros(count, np.int64)
    image[of] = at // truth[0].size
    # Each overlapping pair of an object and a predicted component counts once.
    pairs = np.unique(of[overlap > 0] * (guess_count + 1) + overlap[overlap > 0])
    true, predicted = np.divmod(pairs, guess_count + 1)
    sizes = np.bincount(guesses.ravel(), minlength=guess_count + 1)[predicted]
    touched = np.bincount(true, sizes, minlength=count).astype(np.int64)
    shared = np.bincount(predicted, minlength=guess_count + 1)[predicted] > 1  # with another object
    merged = np.bincount(true, shared, minlength=count) > 0

    lowest = at % truth[0].size >= truth[0].size - truth.shape[2]  # pixels in the lowest row
    share = np.full(count, np.nan)
    if visible is not None:
        shares = np.asarray(visible).ravel()[at]
        known = np.bincount(of, shares > 0, minlength=count)
        share = ratio(np.bincount(of, shares / 255, minlength=count), known)
    return pd.DataFrame(
        {
            "image": image,
            "pixels": pixels,
            "lowest": np.bincount(of, lowest, minlength=count) / truth.shape[2],
            "visible": share,
            "recalled": recalled,
            "union": pixels + touched - recalled,
            "whole": (np.bincount(true, minlength=count) <= np.bincount(joined, minlength=count)) & ~merged,
        }
    )


def false_parts(labels: np.ndarray, predictions: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """Count the pixels in false parts.

    A **false part** is a connected component of a prediction of which at most half is correct, as an object
    is found if at least half of it is. With "nothing of it is correct", a single lucky pixel would clear a
    large blob, and coarse networks would seem clean. Void pixels are left out.

    Args:
        labels, predictions: uint8 (N, S, S)
        classes: number of classes

    Returns:
        false_parts: int64 (N,), pixels of each image in false parts
        pixels: int64 (N,), labelled pixels of each image
    """
    labelled = labels != IGNORE_INDEX
    false = np.zeros(len(labels), np.int64)
    for c in range(classes):
        parts, count = ndimage.label((predictions == c) & labelled, WITHIN_IMAGE)
        correct, size = (np.bincount(of.ravel(), minlength=count + 1) for of in (parts[labels == c], parts))
        wrong = 2 * correct <= size
        wrong[0] = False  # the background is no part
        false += wrong[parts].sum((1, 2))
    return {"false_parts": false, "pixels": labelled.sum((1, 2))}


def pixel_ends(size: int) -> list[int]:
    """Return the minimum pixels of small, medium and large objects in an image of `size` px per side."""
    return [int(np.ceil(side**2 * size**2 / CELLS_OF**2)) for side in CELLS]


def binned(
    table: pd.DataFrame,
    values: np.ndarray,
    ends: tuple[float, ...],
    images: int,
    columns: tuple[str, ...] = ("found", "iou"),
) -> dict[str, np.ndarray]:
    """Sum columns of the table by image and bin.

    Args:
        table: rows of `components`
        values: (rows,), the value that selects the bin; rows with NaN are left out
        ends: upper ends, inclusive, of all bins except the last; () for a single bin
        images: number of images
        columns: to sum

    Returns:
        The sum of each column, and "count", the number of rows; each float64 (images, len(ends) + 1)
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
