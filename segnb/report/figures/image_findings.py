"""First sentences of captions of figures of images and classes; see `findings`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from segnb.labels import ClassMap
from segnb.report.figures.findings import names, sentence
from segnb.report.figures.style import percent


def largest_class(labels: np.ndarray, classes: ClassMap, images: str) -> str:
    """Say how many classes the images show and which covers most of their pixels.

    Args:
        labels: uint8 label maps
        images: words for them, such as "12 images"
    """
    counts = np.bincount(labels.ravel(), minlength=256)[: len(classes)]
    if not counts.any():
        return ""
    shares = pd.Series(counts / labels.size, classes.names)
    label, several = names(shares, shares.max(), 3, "classes")
    cover = f"{label} {'cover' if several else 'covers'} most, {percent(shares.max())} of the pixels"
    show = "shows" if images.startswith(("this", "1 ")) else "show"
    return sentence(f"{images} {show} {(counts > 0).sum()} of {len(classes)} classes; {cover}")


def heights(centres: dict[str, float]) -> str:
    """Say which class is highest and which lowest: {name: mean distance from the top edge, 0 to 1}."""
    values = pd.Series(centres, dtype=float).dropna()
    if values.empty:
        return ""
    if len(values) == 1:
        return sentence(
            f"{values.index[0]} is on average {percent(values.iloc[0], 0)} of the image height below the top"
        )
    high, low = (names(values, value, 2, "classes")[0] for value in (values.min(), values.max()))
    return sentence(
        f"{high} is highest in the image, on average {percent(values.min(), 0)} of the height below the top,"
        f" and {low} lowest, {percent(values.max(), 0)}"
    )


def least_alike(pixels: pd.DataFrame) -> str:
    """Say for which class the sources differ most, by ratio; with one source, which class is most common.

    pixels: share of pixels, a row per class, a column per source
    """
    shares = pixels.where(pixels > 0).dropna(how="all")
    if shares.empty:
        return ""
    if shares.shape[1] == 1:
        line = shares.iloc[:, 0]
        return sentence(f"{line.idxmax()} covers most pixels, {percent(line.max())}")
    name = (shares.max(axis=1) / shares.min(axis=1)).idxmax()
    row = shares.loc[name].dropna()
    ends = [f"{percent(row[source], 2)} of the pixels in {source}" for source in (row.idxmin(), row.idxmax())]
    return sentence(f"the sources differ most for {name}: {' and '.join(ends)}")


def wrong_pixels(label: str, shares: Sequence[float]) -> str:
    """Say which share of the pixels is wrong; shares are 0 to 1, one per image."""
    ends = list(dict.fromkeys(percent(value) for value in (min(shares), max(shares))))
    per = "of the pixels of each image" if len(shares) > 1 else "of the pixels of this image"
    return sentence(f"{label} predicts the wrong class for {' to '.join(ends)} {per}")


def fewest_wrong(shares: dict[str, float]) -> str:
    """Say which networks have the fewest and the most wrong pixels, {label: share, 0 to 1}."""
    values = pd.Series(shares, dtype=float)
    if len(values) == 1:
        return sentence(
            f"{values.index[0]} predicts the wrong class for {percent(values.iloc[0])} of the pixels"
        )
    ends = [f"{percent(value)} ({names(values, value, 3)[0]})" for value in (values.min(), values.max())]
    if ends[0] == ends[1]:
        return sentence(f"the share of wrong pixels is {ends[0]}")
    return sentence(f"the share of wrong pixels ranges from {' to '.join(ends)}")
