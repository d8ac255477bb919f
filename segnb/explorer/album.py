"""Images of a study with the predictions of its networks: search, prediction, ablation.

An image is available at every input size of the networks. Networks of different sizes are compared pixel by
pixel at the larger size, by nearest neighbour.
"""

import io
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from torch import Tensor

from segnb.data.pictures import read_photograph
from segnb.data.reading import squeezed
from segnb.errors import SegnbError, one_line
from segnb.evaluation import evaluate
from segnb.metrics import confusion
from segnb.models import registry
from segnb.report.figures.style import percent
from segnb.report.text import counted, network_count
from segnb.study.create import check_device
from segnb.study.study import Run, Study, open_study

# ---- the runs ---------------------------------------------------------------------------------------


def evaluated_runs(study: str) -> list[Run]:
    """Return the finished runs of a study. Runs without an evaluation are evaluated first.

    Progress and problems are printed. If there is no such study, the result is empty and the printed sentence
    says what to do. Runs that cannot be evaluated are left out.
    """
    try:
        opened = open_study(study)
    except SegnbError as error:
        print(error)
        return []
    runs = opened.finished()
    print(f"Study {opened.name}: {network_count(runs) or 'no finished run'}.{_others(opened)}")
    for warning in opened.warnings:
        print(f"Warning: {warning}")
    evaluated = []
    for run in runs:
        try:
            if not run.confusion_path.exists():
                check_device(opened)
                print(f"Evaluating {named(run)}. This can take minutes.", flush=True)
                evaluate.measure(run)
            evaluated.append(run)
        except SegnbError as error:
            print(f"Skipping {named(run)}: {error}")
    return evaluated


def _others(study: Study) -> str:
    """Name the other studies with finished runs, because the latest study may be an own training run."""
    folders = {done.parents[2] for done in study.path.parent.glob("*/*/seed*/done.json")} - {study.path}
    counts = {folder.name: len(Study(folder).finished()) for folder in sorted(folders)}
    studies = [f"{name} ({counted(count, 'run')})" for name, count in counts.items() if count]
    return f" Other studies with finished runs: {', '.join(studies)}." if studies else ""


def named(run: Run) -> str:
    """Name a run, such as "U-Net, seed 0"."""
    return f"{registry.label(run.variant)}, seed {run.seed}"


# ---- images ---------------------------------------------------------------------------------------


@dataclass(eq=False)
class Scene:
    """One image at every input size of the networks.

    Attributes:
        name: name of the image
        images: {pixels per side: uint8 (S, S, 3) RGB}
        labels: {pixels per side: uint8 (S, S) of class ids}; empty without ground truth
        number: position among the test images; None for a user's image
        resizing: sentence on how the image was resized; "" for test images
        aspect: width / height before the image was squeezed into a square
        known: probabilities of the runs that have predicted the image
    """

    name: str
    images: dict[int, np.ndarray]
    labels: dict[int, np.ndarray] = field(default_factory=dict)
    number: int | None = None
    resizing: str = ""
    aspect: float = 1.0
    known: dict[Run, Tensor] = field(default_factory=dict, repr=False)

    @property
    def title(self) -> str:
        """The title of the image where it is shown."""
        return "Your image" if self.number is None else "Image"

    def probabilities(self, run: Run) -> Tensor:
        """Return the class probabilities of a run's network, float (C, S, S), computed once per image."""
        if run not in self.known:
            self.known[run] = evaluate.predict(run, self.images[run.recipe.size]).probabilities
        return self.known[run]

    def at(self, run: Run, x: float, y: float) -> np.ndarray:
        """Return the class probabilities at a point, (C,); x and y are 0 to 1 from the upper left corner."""
        size = run.recipe.size
        row, column = (min(int(part * size), size - 1) for part in (y, x))
        return self.probabilities(run)[:, row, column].numpy()


LARGEST_FILE = 8 * 2**20  # bytes; a message of Jupyter has at most 10 MiB


def own_picture(name: str, content: bytes, sizes: Collection[int]) -> Scene:
    """Return an image file at the input sizes of the networks, squeezed into squares as in training.

    The image is rotated according to its EXIF data, and transparency is dropped.

    Args:
        name: name of the file
        content: its bytes, PNG or JPEG
        sizes: pixels per side

    Raises:
        SegnbError: The file is too large, or is not an image of this kind.
    """
    name = one_line(name)
    if len(content) > LARGEST_FILE:
        raise SegnbError(f"{name}: the file is larger than {LARGEST_FILE >> 20} MiB. Choose a smaller file.")
    picture = read_photograph(io.BytesIO(content), name)
    width, height = picture.size
    images = {size: squeezed(picture, size) for size in sorted(sizes)}
    how = "squeezed" if width != height else "resized"
    to = " and ".join(f"{size}×{size}" for size in images)
    resizing = (
        f"The image has {width}×{height} pixels and was {how} to {to}, as in training. Errors are not shown,"
        " because there is no ground truth."
    )
    return Scene(name, images, resizing=resizing, aspect=width / height)


class Album:
    """All test images of a study with the predictions of its runs, and ways to find an image.

    Attributes:
        index: position of each image among the test images
        note: sentence for the reader if the study's data are missing, so only stored images are available
    """

    def __init__(self, runs: list[Run]):
        self.runs, self.study = runs, runs[0].study
        self.classes = self.study.classes
        self.note = ""
        sizes = {run.recipe.size: run for run in runs}  # one run per size
        names = runs[0].test()["names"]
        self.index = np.arange(len(names))
        try:
            parts = {size: vars(self.study.split("test", size)) for size in sizes}
        except SegnbError as error:
            parts = {size: run.predictions() for size, run in sizes.items()}
            self.index = next(iter(parts.values()))["index"]
            reason = str(error).rstrip(".")
            self.note = f"Only the {len(self.index)} images that the runs stored are available: {reason}."
        self._images = {size: part["images"] for size, part in parts.items()}
        self._labels = {size: part["labels"] for size, part in parts.items()}
        self.names = [str(names[i]) for i in self.index]
        self.sizes = list(sizes)
        self._predicted: dict[Run, np.ndarray] = {}

    @lru_cache(maxsize=4)  # noqa: B019 - an album lives as long as its kernel
    def scene(self, i: int) -> Scene:
        """Return image i at all sizes."""
        images, labels = (
            {size: np.array(arrays[i]) for size, arrays in kind.items()}
            for kind in (self._images, self._labels)
        )
        return Scene(self.names[i], images, labels, number=i)

    def image(self, i: int) -> np.ndarray:
        """Return image i at the smallest size, uint8 (S, S, 3)."""
        return self._images[min(self.sizes)][i]

    def predicted(self, run: Run) -> np.ndarray:
        """Return the predicted classes of a run, uint8 (N, S, S), and keep them in memory."""
        if run not in self._predicted:
            self._predicted[run] = run.predicted()[self.index]
        return self._predicted[run]

    def has_read(self, run: Run) -> bool:
        """Return whether the predicted classes of a run are in memory."""
        return run in self._predicted

    # -- finding ---------------------------------------------------------------------------------------

    @cached_property
    def _confusions(self) -> dict[Run, np.ndarray]:
        return {run: run.test()["confusion"][self.index] for run in self.runs}

    def wrong(self, runs: list[Run]) -> np.ndarray:
        """Return the share of wrong pixels among the labelled ones, mean over runs: (N,), 0 to 1.

        It is 0 for an image without labels, as in `segnb.report.figures.images.wrong_share`.
        """
        return np.nan_to_num(
            np.mean([1 - confusion.pixel_accuracy(self._confusions[run]) for run in runs], 0)
        )

    def differing(self, first: Run, second: Run) -> np.ndarray:
        """Return the share of pixels for which two runs predict different classes: (N,), 0 to 1."""
        small, large = sorted((self.predicted(run) for run in (first, second)), key=np.size)
        size = large.shape[-1]
        nearest = ((np.arange(size) + 0.5) * small.shape[-1] / size).astype(int)
        return (small[:, nearest[:, None], nearest] != large).mean((1, 2))

    def typical(self, runs: list[Run]) -> int:
        """Return the image with the median share of wrong pixels among those with labels, if any has some."""
        order = np.argsort(self.wrong(runs), kind="stable")
        labelled = order[self._confusions[runs[0]].sum((1, 2))[order] > 0]
        order = labelled if len(labelled) else order
        return int(order[len(order) // 2])

    def worst(self, runs: list[Run]) -> list[tuple[str, int]]:
        """Return (description, image) of all images, from the most to the fewest wrong pixels."""
        return self._ranked(self.wrong(runs), "wrong")

    def most_different(self, first: Run, second: Run) -> list[tuple[str, int]]:
        """Return (description, image) of all images, from the most to the fewest differing pixels."""
        return self._ranked(self.differing(first, second), "differ")

    def with_class(self, kind: int) -> list[tuple[str, int]]:
        """Return (description, image) of the images that show a class, from the most to the fewest pixels."""
        pixels = self._confusions[self.runs[0]].sum(-1)  # (N, C), of the ground truth
        shares = pixels[:, kind] / pixels.sum(-1).clip(min=1)
        return [(text, i) for text, i in self._ranked(shares, self.classes.names[kind]) if shares[i]]

    def _ranked(self, values: np.ndarray, unit: str) -> list[tuple[str, int]]:
        order = np.argsort(-values, kind="stable")
        return [(f"{self.names[i]}: {percent(values[i])} {unit}", int(i)) for i in order]
