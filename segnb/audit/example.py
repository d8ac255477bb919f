"""How the published way of scoring counts, on sixteen pixels that can be checked by hand."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch

from segnb.labels import STREET
from segnb.metrics import confusion
from segnb.metrics.published_score import as_published_score

# Two rows of pixels from left to right, a strip of sky and houses above a street.
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
    """Two rows of pixels, scored in both ways by the functions that score the runs.

    truth, guess: uint8 (2, W), ids of STREET
    """

    truth: np.ndarray
    guess: np.ndarray

    def __len__(self) -> int:  # of which there is a figure
        return self.truth.size

    @cached_property
    def pixels(self) -> pd.DataFrame:
        """A row a pixel, from the upper left: row, truth, guess (ids), both_bits (AND), any_bits (OR)."""
        columns = {"truth": self.truth, "guess": self.guess}
        columns |= {"both_bits": self.truth & self.guess, "any_bits": self.truth | self.guess}
        row = np.repeat(np.arange(len(self.truth)), self.truth.shape[1])
        return pd.DataFrame({"row": row} | {name: ids.ravel().astype(int) for name, ids in columns.items()})

    @cached_property
    def sums(self) -> pd.DataFrame:
        """A row a row of pixels: both_bits and any_bits summed, and their ratio."""
        sums = self.pixels.groupby("row")[["both_bits", "any_bits"]].sum()
        return sums.assign(ratio=sums.both_bits / sums.any_bits)

    @cached_property
    def as_published(self) -> float:
        return as_published_score(self.truth[None], self.guess[None], len(STREET))

    @cached_property
    def confusion(self) -> np.ndarray:
        """Counts (C, C) of the pixels, truth by row."""
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
        """IoU by name of the classes in the truth."""
        return pd.Series(confusion.class_iou(self.confusion), STREET.names).dropna()


def bits(number: int) -> str:
    """An id as the published way sees it: 6 -> "0110"."""
    return f"{number:04b}"


def worked_example() -> Example:
    """A street of two rows: what is common is right, and four classes of one pixel each are missed."""
    maps = ([[STREET.id(name) for name in row] for row in rows] for rows in (TRUTH, GUESS))
    return Example(*(np.array(ids, np.uint8) for ids in maps))


def sentence(example: Example) -> str:
    """What the pixels show, in sentences."""
    pixels, missed = example.pixels, example.ious[example.ious == 0]
    wrong = pixels[pixels.truth != pixels.guess]
    mild = wrong.loc[(wrong.both_bits / wrong.any_bits).idxmax()]
    truth, guess = (f"{STREET.names[one]} ({one} = {bits(one)})" for one in (mild.truth, mild.guess))
    return (
        f"{np.trace(example.confusion)} of {len(pixels)} pixels are right ({100 * example.accuracy:.0f} %),"
        f" and {len(missed)} of {len(example.ious)} classes are never found ({', '.join(missed.index)}): the"
        f" mean class IoU is {example.miou:.3f}. The published way gives {example.as_published:.3f}. In it"
        f" {truth} taken for {guess} is {mild.both_bits}/{mild.any_bits} right, because the numbers share"
        " those bits, and a row is judged as a whole, so that what is right in it covers for what is missed."
    )
