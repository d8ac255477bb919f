"""Objects: which of those in the ground truth a prediction finds, by how large and how visible they are.

An object is a connected component of a thing class (`ClassMap.things`) in the labels, neighbours at corners
included: two cars that touch in the picture are one. It is found when at least half of its pixels are
predicted as its class. Each is a row of a table (`components`), of which `binned` makes sums by image, so
that a bootstrap can weigh the images before `confusion.ratio` makes a score of the total.
"""

import numpy as np
import pandas as pd
from scipy import ndimage

from segnb.labels import IGNORE_INDEX
from segnb.metrics.confusion import ratio

FOUND = 0.5  # the share of an object that has to be recalled
# Pixels below which a component is no object but what is left of one between leaves or railings. Counted in,
# a third of all objects had three pixels or fewer, and "small" meant invisible.
SMALLEST = 4
SIZES = ("small", "medium", "large")  # the bins of `size_bins`
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
    smallest: int = SMALLEST,
) -> pd.DataFrame:
    """A row an object of the ground truth, by image and class.

    labels, predictions: uint8 (N, S, S) ids; where the labels are IGNORE_INDEX, the prediction is ignored
    things:              ids of the classes whose objects are counted
    smallest:            pixels that an object has at least
    visible:             uint8 (N, S, S), 255 × the share of the object that is in sight, at its pixels; 0
                         where there is none. None where nobody knows

    image, class  index and id
    pixels, area  how large it is, in px and as a share of the image, 0 to 1
    visible       share that is in sight, 0 to 1, mean over its pixels (it may consist of several that touch);
                  NaN if unknown
    recalled      its pixels that are predicted as its class
    union         pixels of it and of all predicted components of its class that overlap it
    found, iou    whether recalled / pixels ≥ 0.5; recalled / union
    """
    guess = np.where(labels == IGNORE_INDEX, IGNORE_INDEX, predictions)
    # With no thing there is an empty table, of the background's no objects.
    parts = [(c, labels == c, guess == c) for c in things] or [(0, *np.zeros((2, *labels.shape), bool))]
    tables = [_components(truth, found, visible).assign(**{"class": c}) for c, truth, found in parts]
    table = pd.concat(tables, ignore_index=True).sort_values(["image", "class"])
    table = table[table["pixels"] >= smallest]
    table["area"] = table["pixels"] / labels[0].size
    table["found"] = table["recalled"] >= FOUND * table["pixels"]
    table["iou"] = table["recalled"] / table["union"]
    order = ["image", "class", "pixels", "area", "visible", "recalled", "union", "found", "iou"]
    return table[order].reset_index(drop=True)


def _components(truth: np.ndarray, guess: np.ndarray, visible: np.ndarray | None) -> pd.DataFrame:
    """The objects of one class: truth, guess bool (N, S, S)."""
    objects, count = ndimage.label(truth, WITHIN_IMAGE)
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
    predicted = np.bincount(guesses.ravel(), minlength=guess_count + 1)[pairs % (guess_count + 1)]
    touched = np.bincount(pairs // (guess_count + 1), predicted, minlength=count).astype(np.int64)

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
        }
    )


def size_bins(area: np.ndarray) -> tuple[float, float]:
    """Upper ends of small and of medium: the areas below which a third, and two thirds, of all objects lie.

    area: of the objects of a whole test split, whatever their class. It is a matter of the ground truth
    alone, so all runs that were tested at one size have the same ends, and nothing needs to be kept.
    """
    lower, upper = np.quantile(area, (1 / 3, 2 / 3)) if len(area) else (np.nan, np.nan)
    return float(lower), float(upper)


def binned(
    table: pd.DataFrame, values: np.ndarray, ends: tuple[float, ...], images: int
) -> dict[str, np.ndarray]:
    """Sums by image and bin, each float64 (images, len(ends) + 1): found (how many), iou and count.

    table:  rows of `components`, all or some
    values: what they are binned by, (rows,); a row whose value is NaN is left out
    ends:   upper ends, inclusive, of all bins but the last; () for one bin that holds all
    """
    values = np.asarray(values, float)
    known = ~np.isnan(values)
    table, bins = table[known], np.digitize(values[known], ends, right=True)
    cells = table["image"].to_numpy() * (len(ends) + 1) + bins

    def summed(column: np.ndarray) -> np.ndarray:
        total = np.bincount(cells, column, minlength=images * (len(ends) + 1))
        return total.reshape(images, len(ends) + 1)

    ones = np.ones(len(table))
    return {"found": summed(table["found"]), "iou": summed(table["iou"]), "count": summed(ones)}
