"""The study's metric on sixteen pixels that can be checked by hand."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch

from segnb.labels import STREET
from segnb.metrics import confusion
from segnb.metrics.confusion import as_published_score

# Two rows of pixels from left to right: sky, trees and houses above a street.
TRUTH = (
    ("Unlabeled", "Unlabeled", "Vegetation", "Vegetation", "Traffic sign", "Pole", "Building", "Building"),
    ("Road", "Road", "Roadline", "Road", "Pedestrian", "Road", "Car", "Car"),
)
GUESS = (
    ("Unlabeled", "Unlabeled", "Vegetation", "Vegetation", "Vegetation", "Building", "Building", "Building"),
    ("Road", "Road", "Road", "Road", "Road", "Road", "Car", "Car"),
)


@dataclass(frozen=True)
class Example:
    """Rows of pixels, scored by the functions that score the runs.

    Attributes:
        truth: ground truth (rows, W), uint8 ids of STREET.
        guess: prediction, of the same shape.
    """

    truth: np.ndarray
    guess: np.ndarray

    def __len__(self) -> int:  # `figure` draws nothing for an empty argument
        return self.truth.size

    @cached_property
    def pixels(self) -> pd.DataFrame:
        """Table with one line per pixel, from the upper left.

        Columns: row, truth and guess (ids), both_bits (their AND), any_bits (their OR).
        """
        columns = {"truth": self.truth, "guess": self.guess}
        columns |= {"both_bits": self.truth & self.guess, "any_bits": self.truth | self.guess}
        row = np.repeat(np.arange(len(self.truth)), self.truth.shape[1])
        return pd.DataFrame({"row": row} | {name: ids.ravel().astype(int) for name, ids in columns.items()})

    @cached_property
    def sums(self) -> pd.DataFrame:
        """Sums of both_bits and any_bits per row of pixels, and their ratio."""
        sums = self.pixels.groupby("row")[["both_bits", "any_bits"]].sum()
        return sums.assign(ratio=sums.both_bits / sums.any_bits)

    @cached_property
    def as_published(self) -> float:
        """Score by the study's metric."""
        return as_published_score(self.truth[None], self.guess[None], len(STREET))

    @cached_property
    def confusion(self) -> np.ndarray:
        """Counts of the pixels (C, C), with one row per class of the ground truth."""
        maps = (torch.from_numpy(ids[None]) for ids in (self.truth, self.guess))
        return confusion.confusion(*maps, len(STREET)).numpy().sum(0)

    @property
    def miou(self) -> float:
        return float(confusion.mean_iou(self.confusion))

    @property
    def accuracy(self) -> float:
        return float(confusion.pixel_accuracy(self.confusion))

    @property
    def ious(self) -> pd.Series:
        """IoU by name, of the classes in the ground truth."""
        return pd.Series(confusion.class_iou(self.confusion), STREET.names).dropna()


def bits(number: int) -> str:
    """Return an id in binary: 6 -> "0110"."""
    return f"{number:04b}"


def worked_example() -> Example:
    """Return two rows of pixels: common classes are right, and four classes of one pixel each are missed."""
    maps = ([[STREET.id(name) for name in row] for row in rows] for rows in (TRUTH, GUESS))
    return Example(*(np.array(ids, np.uint8) for ids in maps))


def sentence(example: Example) -> str:
    """Say how both scores come about."""
    pixels, missed = example.pixels, example.ious[example.ious == 0]
    wrong = pixels[pixels.truth != pixels.guess]
    mildest = wrong.loc[(wrong.both_bits / wrong.any_bits).idxmax()]
    truth, guess = (f"{STREET.names[i]} ({i} = {bits(i)})" for i in (mildest.truth, mildest.guess))
    return (
        f"{len(missed)} classes are never found: {', '.join(missed.index)}. The study's metric counts"
        f" {truth} taken for {guess} as {mildest.both_bits}/{mildest.any_bits} right, because the numbers"
        " share these bits. It also scores each row as a whole, so that many right pixels outweigh the missed"
        " classes."
    )
