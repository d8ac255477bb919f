"""What a study's networks make of one picture: found, predicted, taken apart. `segnb.explorer` shows it.

A picture comes at every size that one of the networks takes, and networks of different sizes are compared
pixel by pixel at the larger one, by nearest neighbour.
"""

import io
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from segnb.data.reading import IMAGE_FORMATS
from segnb.errors import SegnbError, one_line
from segnb.evaluation import ablation, evaluate
from segnb.labels import IGNORE_INDEX
from segnb.metrics import confusion
from segnb.models import registry
from segnb.report.figures.gates import OPEN
from segnb.report.figures.images import coloured, marked, mistaken, side_by_side
from segnb.report.figures.style import MISSED, WRONG, Picture, percent
from segnb.report.text import counted, network_count
from segnb.study import study
from segnb.study.study import Run, Study, open_study

# ---- the runs ---------------------------------------------------------------------------------------


def evaluated_runs(study: str) -> list[Run]:
    """The finished runs of a study; those that nobody has tested yet are tested first, which is said.

    None, and a printed sentence on what to do, where there is no such study yet. A run that cannot be tested
    is left out, with a sentence why.
    """
    try:
        found = open_study(study)
    except SegnbError as error:
        print(error)
        return []
    runs = found.finished()
    print(f"study {found.name}, {network_count(runs) or 'without a finished run'}{_others(found)}")
    ready = []
    for run in runs:
        try:
            # Runs of older versions lack the second.
            if not (run.confusion_path.exists() and run.predicted_path.exists()):
                print(f"testing {named(run)} for the first time, which may take minutes …", flush=True)
                evaluate.measure(run)
            ready.append(run)
        except SegnbError as error:
            print(f"{named(run)} is left out: {error}")
    return ready


def _others(study: Study) -> str:
    """The other studies that have finished runs, in words: one's own training may have become the latest."""
    folders = {done.parents[2] for done in study.path.parent.glob("*/*/seed*/done.json")} - {study.path}
    counts = {folder: len(list(folder.glob("*/seed*/done.json"))) for folder in sorted(folders)}
    told = [f"{folder.name} ({counted(count, 'run')})" for folder, count in counts.items()]
    return f"; there are also {', '.join(told)}" if told else ""


def named(run: Run) -> str:
    return f"{registry.label(run.variant)}, seed {run.seed}"


# ---- pictures ---------------------------------------------------------------------------------------


@dataclass(eq=False)
class Scene:
    """One picture at every size that is needed, {pixels a side: array}.

    images: uint8 (S, S, 3) RGB
    labels: uint8 (S, S) of class ids; empty where nobody knows the ground truth
    number: position among the test images; None for one's own picture
    told:   a sentence on how it came to its sizes; "" for test images
    aspect: width over height before it was squeezed into a square
    """

    name: str
    images: dict[int, np.ndarray]
    labels: dict[int, np.ndarray] = field(default_factory=dict)
    number: int | None = None
    told: str = ""
    aspect: float = 1.0
    known: dict[Run, Tensor] = field(default_factory=dict, repr=False)  # probabilities of runs so far

    def probabilities(self, run: Run) -> Tensor:
        """Return what a run's network gives each class, float (C, S, S), computed once per picture."""
        if run not in self.known:
            self.known[run] = evaluate.predict(run, self.images[run.recipe.size]).probabilities
        return self.known[run]

    def at(self, run: Run, x: float, y: float) -> np.ndarray:
        """Return the same at one point, (C,): x and y from 0 to 1, from the upper left corner."""
        return at_point(self.probabilities(run), x, y).numpy()

    def truth_at(self, x: float, y: float) -> int | None:
        """Return the class there, at the largest size, or None where nobody knows it."""
        found = int(at_point(self.labels[max(self.labels)], x, y)) if self.labels else IGNORE_INDEX
        return None if found == IGNORE_INDEX else found


def at_point(maps, x: float, y: float):
    """Return the values of maps (..., S, S) at a point: x and y from 0 to 1, from the upper left corner."""
    size = maps.shape[-1]
    row, column = (min(int(part * size), size - 1) for part in (y, x))
    return maps[..., row, column]


LARGEST_FILE = 8 * 2**20  # bytes: what Jupyter's connection takes in one message is 10 MiB
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")  # 8 bits a channel or fewer


def own_picture(name: str, content: bytes, sizes: Collection[int]) -> Scene:
    """A PNG or JPEG file as the networks see it: squeezed into squares as `folders.read` does for training.

    Turned as its EXIF says, transparency dropped. Raises SegnbError for a file that is no such picture.
    """
    name = one_line(name)
    if len(content) > LARGEST_FILE:
        raise SegnbError(f"{name}: larger than {LARGEST_FILE >> 20} MiB; make it smaller")
    try:
        with Image.open(io.BytesIO(content), formats=list(IMAGE_FORMATS)) as opened:
            opened.load()
            picture = ImageOps.exif_transpose(opened)
    except UnidentifiedImageError:
        raise SegnbError(f"{name}: no {' or '.join(IMAGE_FORMATS)} file; choose a picture") from None
    except Exception as error:  # as each decoder stumbles, see `folders.decode`
        raise SegnbError(f"{name}: cannot be decoded ({error}); choose another picture") from None
    if picture.mode not in MODES:
        raise SegnbError(f"{name}: has pixels of kind {picture.mode}; save it with 8 bits a channel")
    picture = picture.convert("RGB")
    width, height = picture.size
    images = {
        size: np.array(picture.resize((size, size), Image.Resampling.BILINEAR)) for size in sorted(sizes)
    }
    how = "squeezed" if width != height else "resized"
    to = " and ".join(f"{size}×{size}" for size in images)
    told = f"{width}×{height} pixels, {how} to {to}, as in training. There is no ground truth, so no errors."
    return Scene(name, images, told=told, aspect=width / height)


def resampled(maps: np.ndarray, size: int) -> np.ndarray:
    """Maps (..., S, S) at `size` pixels a side, by nearest neighbour."""
    if maps.shape[-1] == size:
        return maps
    nearest = ((np.arange(size) + 0.5) * maps.shape[-1] / size).astype(int)
    return maps[..., nearest[:, None], nearest]


class Album:
    """All test images of a study with what the runs predicted for them, and ways to find one.

    `note` is a sentence for the reader where the study's data are not at hand and only the images are left
    that the runs kept.
    """

    def __init__(self, runs: list[Run]):
        self.runs, self.study = runs, runs[0].study
        self.classes = self.study.classes
        self.note = ""
        sizes = {run.recipe.size: run for run in runs}  # a run of each size
        names = runs[0].test()["names"]
        self.index = np.arange(len(names))  # of each image here, among the test images
        try:
            splits = {size: self.study.split("test", size) for size in sizes}
            self._images = {size: split.images for size, split in splits.items()}
            self._labels = {size: split.labels for size, split in splits.items()}
        except SegnbError as error:
            kept = {size: run.predictions() for size, run in sizes.items()}
            self.index = next(iter(kept.values()))["index"]
            self._images = {size: one["images"] for size, one in kept.items()}
            self._labels = {size: one["labels"] for size, one in kept.items()}
            self.note = f"Only the {len(self.index)} images that the runs kept can be shown: {error}."
        self.names = [str(names[i]) for i in self.index]
        self.sizes = list(sizes)
        self._predicted: dict[Run, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.names)

    @lru_cache(maxsize=4)  # noqa: B019 - an album lives as long as its kernel
    def scene(self, i: int) -> Scene:
        """Test image i of those here."""
        images, labels = (
            {size: np.array(every[i]) for size, every in kind.items()}
            for kind in (self._images, self._labels)
        )
        return Scene(self.names[i], images, labels, number=i)

    def image(self, i: int) -> np.ndarray:
        """Test image i at the smallest size, uint8 (S, S, 3)."""
        return self._images[min(self.sizes)][i]

    def predicted(self, run: Run) -> np.ndarray:
        """The classes that a run predicted, uint8 (N, S, S); kept in memory, a byte a pixel."""
        if run not in self._predicted:
            self._predicted[run] = run.predicted()[self.index]
        return self._predicted[run]

    # -- finding ---------------------------------------------------------------------------------------

    @cached_property
    def _confusions(self) -> dict[Run, np.ndarray]:
        return {run: run.test()["confusion"][self.index] for run in self.runs}

    def wrong(self, runs: list[Run]) -> np.ndarray:
        """The share of each image's labelled pixels that is wrong, mean over runs: (N,), 0 to 1."""
        return np.mean([1 - confusion.pixel_accuracy(self._confusions[run]) for run in runs], 0)

    def differing(self, one: Run, other: Run) -> np.ndarray:
        """The share of each image's pixels to which two runs give different classes: (N,), 0 to 1."""
        guesses = [self.predicted(run) for run in (one, other)]
        size = max(guess.shape[-1] for guess in guesses)
        first, second = (resampled(guess, size) for guess in guesses)
        return (first != second).mean((1, 2))

    def typical(self, runs: list[Run]) -> int:
        """The image on which as many images are better as are worse."""
        return int(np.argsort(self.wrong(runs), kind="stable")[len(self) // 2])

    def worst(self, runs: list[Run]) -> list[tuple[str, int]]:
        """(description, image) of all, those with most wrong pixels first."""
        return self._ranked(self.wrong(runs), "wrong")

    def most_different(self, one: Run, other: Run) -> list[tuple[str, int]]:
        """(description, image) of all, those first on which two runs agree least."""
        return self._ranked(self.differing(one, other), "differ")

    def with_class(self, kind: int) -> list[tuple[str, int]]:
        """(description, image) of those that show a class, those first that show most of it."""
        pixels = self._confusions[self.runs[0]].sum(-1)  # (N, C), of the ground truth
        shares = pixels[:, kind] / pixels.sum(-1).clip(min=1)
        found = self._ranked(shares, self.classes.names[kind])
        return [(text, i) for text, i in found if shares[i]]

    def _ranked(self, values: np.ndarray, what: str) -> list[tuple[str, int]]:
        order = np.argsort(-values, kind="stable")
        return [(f"{self.names[i]}: {percent(values[i])} {what}", int(i)) for i in order]


def wrong_share(truth: np.ndarray, guess: np.ndarray) -> float:
    """Of the labelled pixels, (S, S) each: 0 to 1."""
    known = truth != IGNORE_INDEX
    return float((truth != guess)[known].mean()) if known.any() else 0.0


def overview(album: Album, scene: Scene) -> Picture:
    """Every network's errors on one test image, the first seed of each."""
    image, truth = (kind[max(kind)] for kind in (scene.images, scene.labels))
    panels = [("Picture", image), ("Ground truth", truth)]
    told = []
    for name, runs in study.by_variant(album.runs).items():
        size, label = runs[0].recipe.size, registry.label(name)
        wrong = mistaken(scene.labels[size], album.predicted(runs[0])[scene.number])
        share = percent(album.wrong(runs[:1])[scene.number])
        panels.append((f"{label}\n{share} wrong", marked(scene.images[size], wrong)))
        told.append(f"{label} {share}")
    fig = side_by_side(panels, album.classes.seen(truth), album.classes, {"wrong": WRONG})
    return fig.described(
        f"{scene.name}, its ground truth, and where each network is wrong. Wrong pixels: {'; '.join(told)}.",
        f"Every network's errors on {scene.name}, the image of median difficulty: on half of the test images"
        " more pixels are wrong (mean over networks), on half fewer. With a kernel this picture makes way for"
        " the explorer.",
    )


def taken_apart(album: Album, scene: Scene, run: Run) -> Picture:
    """One network on one test image as trained and with all skips off, and its gates' maps."""
    size, classes = run.recipe.size, album.classes
    image, truth = scene.images[size], scene.labels[size]
    whole = evaluate.predict(run, image)
    flat = evaluate.predict(run, image, skips=ablation.skip_levels(run.variant))
    changed = whole.classes != flat.classes
    shares = [percent(wrong_share(truth, one.classes)) for one in (whole, flat)]
    panels = [
        ("Picture", image),
        ("Ground truth", truth),
        (f"As trained\n{shares[0]} wrong", whole.classes),
        (f"All skips off\n{shares[1]} wrong", flat.classes),
        (f"What changed\n{percent(changed.mean())}", marked(image, changed, MISSED)),
    ]
    means = {level: maps.mean(0) for level, maps in whole.maps.items()}
    for level, mean in means.items():
        title = f"Gate {level}" + " (mean)" * (len(whole.maps[level]) > 1)
        panels.append((f"{title}\n{mean.mean():.2f} ± {mean.std():.2f}", _heat(mean, level, size)))
    network = named(run)
    seen = classes.seen(truth, whole.classes, flat.classes)
    gates = (
        " Gates are dark where they hold the skip back and bright where they let it through." if means else ""
    )
    fig = side_by_side(panels, seen, classes, {"changed": MISSED})
    return fig.described(
        f"{network} on {scene.name}: {shares[0]} of pixels wrong as trained, {shares[1]} with every skip at"
        f" its mean over the image, {percent(changed.mean())} changed."
        + "".join(f" Gate {level}: mean {mean.mean():.2f}." for level, mean in means.items()),
        f"{network} with its skips switched off: each channel that is handed across is replaced by its mean"
        f" over the image.{gates} With a kernel this picture makes way for the switches.",
    )


def _heat(values: np.ndarray, level: int, size: int) -> np.ndarray:
    """A map (h, w) from 0 to 1 in colour, at the pixels of its image, uint8 (S, S, 3)."""
    cell = 2 ** (level - 1)
    pixels = values.repeat(cell, 0).repeat(cell, 1)[:size, :size]
    return coloured(pixels, OPEN)
