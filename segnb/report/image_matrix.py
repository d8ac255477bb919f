"""The same test images through every network, in one table that scrolls.

Each cell is a small PNG in exactly the class colours. The report (html/segnb/matrix.js) reads the
classes back from it and shows errors, one class alone, or one picture over another, all from this same data.
Classes that share a colour cannot be told apart there. In JupyterLab the table is all there is.
"""

import base64
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from IPython.display import HTML
from PIL import Image

from segnb.evaluation.scores import image_miou
from segnb.labels import ClassMap
from segnb.report.figures.images import evenly, mistaken
from segnb.report.figures.style import FOUND, MISSED, WRONG, percent
from segnb.report.html import shell
from segnb.storage.files import to_json

SHOWN = 8  # images; at 13 networks of 224 pixels they take about half a megabyte


class Cell(NamedTuple):
    """What a network made of an image; `source` is "" where it kept no prediction of it."""

    source: str
    alt: str
    wrong: str = ""
    miou: str = ""


class Row(NamedTuple):
    name: str
    photo: Cell
    truths: list[Cell]  # one for each size that networks predict at, the largest first
    guesses: list[Cell]


def matrix(
    kept: dict[str, dict[str, np.ndarray]], classes: ClassMap, images: Sequence[int] | None = None
) -> HTML | None:
    """A row an image: the image, its ground truth, and what each network made of it; None without networks.

    kept:   {label: what `Run.predictions()` gives}; sizes may differ, images are matched by name
    images: positions among those of the first network; by default SHOWN of them, spread evenly

    Under each prediction stand the share of its pixels that are wrong and the mIoU of that image alone.
    """
    if not kept:
        return None
    names = [str(name) for name in next(iter(kept.values()))["names"]]
    chosen = evenly(len(names), SHOWN) if images is None else images
    seen = classes.seen(*(one[maps] for one in kept.values() for maps in ("labels", "predictions")))
    key = {
        "classes": [{"id": i, "name": classes.names[i], "colour": classes.colours[i]} for i in seen],
        "marks": {"wrong": WRONG, "missed": MISSED, "found": FOUND},
    }
    return HTML(
        shell()
        .get_template("matrix.html.j2")
        .render(
            labels=list(kept),
            rows=[_row(names[i], kept, classes) for i in chosen],
            classes=key["classes"],
            key=to_json(key),
        )
    )


def _row(name: str, kept: dict[str, dict[str, np.ndarray]], classes: ClassMap) -> Row:
    places = {label: np.flatnonzero(one["names"] == name)[:1] for label, one in kept.items()}
    showing = [(kept[label], int(place[0])) for label, place in places.items() if len(place)]
    by_size = {one["labels"].shape[-1]: (one, i) for one, i in reversed(showing)}
    sizes = sorted(by_size, reverse=True)
    best, place = by_size[sizes[0]]
    return Row(
        name,
        Cell(photo(best["images"][place]), f"The test image {name}"),
        [
            Cell(painted(one["labels"][i], classes), f"Ground truth of {name}")
            for one, i in map(by_size.get, sizes)
        ],
        [
            _guess(label, name, kept[label], int(place[0]), classes) if len(place) else Cell("", "")
            for label, place in places.items()
        ],
    )


def _guess(label: str, name: str, one: dict[str, np.ndarray], i: int, classes: ClassMap) -> Cell:
    truth, guess = one["labels"][i], one["predictions"][i]
    wrong = percent(float(mistaken(truth, guess).mean()))
    alt = f"{label} on {name}: {wrong} wrong"
    return Cell(painted(guess, classes), alt, wrong, f"{image_miou(truth, guess, len(classes)):.3f}")


def painted(labels: np.ndarray, classes: ClassMap) -> str:
    """A label map, uint8 (S, S), as the address of a PNG in the class colours; IGNORE_INDEX is grey."""
    ids, places = np.unique(labels, return_inverse=True)
    picture = Image.fromarray(places.reshape(labels.shape).astype(np.uint8))
    picture.putpalette(classes.paint(ids).tobytes())
    return _address(picture, "png", optimize=True)


def photo(image: np.ndarray) -> str:
    """An image, uint8 (S, S, 3), as the address of a JPEG."""
    return _address(Image.fromarray(image), "jpeg", quality=90)


def _address(picture: Image.Image, form: str, **how) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format=form, **how)
    return f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode()}"
