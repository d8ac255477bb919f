"""Predictions of all networks on the same test images, in one table that scrolls.

Each cell is a small PNG in exact class colours. In the report, html/segnb/matrix.js reads the classes from
these colours to show errors, a single class, or one image over another, so classes with the same colour are
indistinguishable there. JupyterLab shows the table alone.
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
from segnb.report.text import counted
from segnb.storage.files import to_json

SHOWN = 8  # images; with 13 networks at 224 px they take about half a megabyte


class Cell(NamedTuple):
    """One image of the table; `source` is "" if no prediction is stored."""

    source: str
    alt: str
    wrong: str = ""
    miou: str = ""


class Row(NamedTuple):
    name: str
    photo: Cell
    truths: list[Cell]  # one per image size of the networks, the largest first
    guesses: list[Cell]


def matrix(
    predictions: dict[str, dict[str, np.ndarray]], classes: ClassMap, images: Sequence[int] | None = None
) -> HTML | None:
    """Show one row per test image: the image, its ground truth and the predictions with their scores.

    Args:
        predictions: `Run.predictions()` by label of the network; sizes may differ.
        classes: Names and colours.
        images: Positions among the images of the first network; by default SHOWN, evenly spaced. The images
            of other networks are matched by name.

    Returns:
        The table; None without networks.
    """
    if not predictions:
        return None
    names = [str(name) for name in next(iter(predictions.values()))["names"]]
    rows = evenly(len(names), SHOWN) if images is None else images
    maps = (arrays[name] for arrays in predictions.values() for name in ("labels", "predictions"))
    key = {
        "classes": [
            {"id": i, "name": classes.names[i], "colour": classes.colours[i]} for i in classes.seen(*maps)
        ],
        "marks": {"wrong": WRONG, "missed": MISSED, "found": FOUND},
    }
    return HTML(
        shell()
        .get_template("matrix.html.j2")
        .render(
            labels=list(predictions),
            rows=[_row(names[i], predictions, classes) for i in rows],
            classes=key["classes"],
            counted=counted,
            key=to_json(key),
        )
    )


def _row(name: str, predictions: dict[str, dict[str, np.ndarray]], classes: ClassMap) -> Row:
    places = {label: np.flatnonzero(arrays["names"] == name)[:1] for label, arrays in predictions.items()}
    available = [(predictions[label], int(place[0])) for label, place in places.items() if len(place)]
    by_size = {arrays["labels"].shape[-1]: (arrays, i) for arrays, i in reversed(available)}
    sizes = sorted(by_size, reverse=True)
    largest, place = by_size[sizes[0]]
    return Row(
        name,
        Cell(photo(largest["images"][place]), f"Image {name}, without prediction"),
        [
            Cell(painted(arrays["labels"][i], classes), f"Ground truth of {name}")
            for arrays, i in map(by_size.get, sizes)
        ],
        [
            _guess(label, name, predictions[label], int(place[0]), classes) if len(place) else Cell("", "")
            for label, place in places.items()
        ],
    )


def _guess(label: str, name: str, arrays: dict[str, np.ndarray], i: int, classes: ClassMap) -> Cell:
    truth, guess = arrays["labels"][i], arrays["predictions"][i]
    wrong = percent(float(mistaken(truth, guess).mean()))
    alt = f"Prediction of {label} on {name}: {wrong} wrong"
    return Cell(painted(guess, classes), alt, wrong, f"{image_miou(truth, guess, len(classes)):.3f}")


def painted(labels: np.ndarray, classes: ClassMap) -> str:
    """Encode a label map, uint8 (S, S), as the address of a PNG in class colours; void is grey."""
    ids, places = np.unique(labels, return_inverse=True)
    picture = Image.fromarray(places.reshape(labels.shape).astype(np.uint8))
    picture.putpalette(classes.paint(ids).tobytes())
    return _address(picture, "png", optimize=True)


def photo(image: np.ndarray) -> str:
    """Encode an image, uint8 (S, S, 3), as the address of a JPEG."""
    return _address(Image.fromarray(image), "jpeg", quality=90)


def _address(picture: Image.Image, form: str, **how) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format=form, **how)
    return f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode()}"
