"""Predictions of all networks on the same test images, as groups of images that fill the page.

Each prediction is a small image in exact class colours. In the report, html/segnb/matrix.js reads the classes
from these colours to show errors, a single class, or one image over another, so classes with the same colour
are indistinguishable there. JupyterLab shows the images alone.
"""

import numpy as np
import pandas as pd
from IPython.display import HTML
from PIL import Image

from segnb.claims.wording import counted, listed
from segnb.evaluation.scores import image_miou, image_mious, predictions_on, typical_and_worst
from segnb.labels import ClassMap
from segnb.models.registry import label
from segnb.report.figures.images import evenly, wrong_pixels, wrong_share
from segnb.report.figures.style import FOUND, MISSED, WRONG, percent
from segnb.report.html import embedded, fill
from segnb.report.text import sizes_caveat
from segnb.storage.files import to_json
from segnb.study.study import Run

# The networks of `glance`, whose predictions differ most to the eye.
GLANCE = "FCN32s_vgg16_finetune", "FCN8s_vgg16_finetune", "UNet_NoSkip_256", "UNet_Standard_256"
SHOWN = 8  # images of `matrix`; with 13 networks at 224 px they take about half a megabyte


def matrix(predictions: dict[str, dict[str, np.ndarray]], classes: ClassMap) -> HTML | None:
    """Show SHOWN evenly spaced test images, each with its ground truth, predictions and their scores.

    Args:
        predictions: `Run.predictions()` of the same test images by label of the network; sizes may differ.
        classes: Names and colours.

    Returns:
        The matrix, of which the first two images are not folded; None without networks.
    """
    if not predictions:
        return None
    stored = len(next(iter(predictions.values()))["names"])
    rule = f"The images are evenly spaced over the {stored} stored test images."
    if stored == 1:
        rule = "This is the only stored test image."
    images = {int(i): "" for i in evenly(stored, SHOWN)}
    unfolded = min(2, len(images))
    more = counted(len(images) - unfolded, "more image")
    return _matrix(predictions, classes, images, rule, unfolded, more)


def glance(by_variant: dict[str, list[Run]], classes: ClassMap) -> HTML | None:
    """Show one typical test image with the predictions of the networks in GLANCE, on one line.

    Args:
        by_variant: Evaluated runs by variant; the first of each is shown.
        classes: Names and colours.

    Returns:
        The matrix; None if none of the networks has been evaluated.
    """
    runs = {name: by_variant[name][0] for name in GLANCE if name in by_variant}
    if not runs:
        return None
    mious = image_mious([*runs.values()])
    typical, worst, _ = typical_and_worst(mious)
    image = [*typical, worst][0]  # a single test image is the worst one
    predictions = {label(name): predictions_on(run, [image]) for name, run in runs.items()}
    rule = (
        f"Of {len(mious)} test images, it is the one whose mIoU, averaged over these networks, is closest to"
        " the median."
        if typical
        else "It is the only test image with labels."
    )
    first = next(iter(runs.values()))
    rule = f"{rule} {sizes_caveat(first.study, [*runs.values()])}".rstrip()
    lead = f"A typical test image, its ground truth and the predictions of {counted(len(runs), 'network')}."
    return _matrix(predictions, classes, {0: ""}, rule, 1, "", name="glance", lead=lead)


def examples(by_variant: dict[str, list[Run]], classes: ClassMap) -> HTML | None:
    """Show two typical test images and the worst one, larger, and folded the worst image of each network.

    Args:
        by_variant: Evaluated runs by variant, of one image size; the first of each is shown.
        classes: Names and colours.

    Returns:
        The matrix; None without runs.
    """
    if not by_variant:
        return None
    mious = image_mious([group[0] for group in by_variant.values()])
    means = mious.mean(axis=1)
    typical, worst, own = typical_and_worst(mious)
    images = {i: f"typical, mean mIoU {means[i]:.3f}" for i in typical}
    images[worst] = f"the worst, mean mIoU {means[worst]:.3f}"
    images |= {i: f"the worst of {listed(list(map(label, names)))}" for i, names in own.items()}
    ones = "ones are" if len(typical) > 1 else "one is"
    rule = (
        f"A rule chooses the images by their mIoU, averaged over {counted(mious.shape[1], 'network')}: of"
        f" {counted(len(means), 'test image')}, the typical {ones} closest to the median,"
        f" {means.median():.3f}, and the worst one has the lowest."
        if typical
        else "This is the only test image with labels."
    )
    predictions = {label(name): predictions_on(group[0], list(images)) for name, group in by_variant.items()}
    chosen = dict(enumerate(images.values()))
    more = f"The worst image of each network ({counted(len(own), 'more image')})"
    return _matrix(predictions, classes, chosen, rule, len(typical) + 1, more, name="examples")


def _matrix(
    predictions: dict[str, dict[str, np.ndarray]],
    classes: ClassMap,
    images: dict[int, str],
    rule: str,
    unfolded: int,
    more: str,
    name: str = "matrix",
    lead: str = "",
) -> HTML:
    """Fill the template.

    Args:
        predictions: See `matrix`.
        classes: Names and colours.
        images: Positions among the images, with the reasons why they were chosen.
        rule: Sentence on the choice of the images.
        unfolded: Number of images that are not folded.
        more: Heading of the folded images.
        name: Of the figure. In "examples", images are about 200 pixels wide, in others about 120.
        lead: First sentence of the caption; by default, which network has the fewest wrong pixels.
    """
    maps = (arrays[name] for arrays in predictions.values() for name in ("labels", "predictions"))
    seen = [{"id": i, "name": classes.names[i], "colour": classes.colours[i]} for i in classes.seen(*maps)]
    marks = {"wrong": WRONG, "missed": MISSED, "found": FOUND}
    rows = [_row(i, why, predictions, classes) for i, why in images.items()]
    wrong = pd.DataFrame({cell["label"]: cell["wrong"] for cell in row["guesses"]} for row in rows[:unfolded])
    return HTML(
        fill(
            "matrix.html.j2",
            rows=rows,
            unfolded=unfolded,
            more=more,
            name=name,
            finding=wrong_pixels(wrong.mean().dropna()),
            rule=rule,
            classes=seen,
            percent=percent,
            lead=lead,
            key=to_json({"classes": seen, "marks": marks}),
        )
    )


def _row(i: int, why: str, predictions: dict[str, dict[str, np.ndarray]], classes: ClassMap) -> dict:
    """Return test image i with its cells, each with source and alt of an image.

    Returns:
        name; why it was chosen, "" for no reason of its own; photo; truths, one per image size of the
        networks, the largest first; guesses, one per network, with label, miou and wrong, the share of wrong
        pixels, 0 to 1; both are NaN without labelled pixels.
    """
    by_size: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # image and ground truth
    guesses = []
    for network, arrays in predictions.items():
        name = arrays["names"][i]
        image, truth, guess = (arrays[key][i] for key in ("images", "labels", "predictions"))
        by_size.setdefault(len(truth), (image, truth))
        miou = image_miou(truth, guess, len(classes))
        wrong = np.nan if np.isnan(miou) else wrong_share(truth, guess)
        share = "no label" if np.isnan(miou) else f"{percent(wrong)} wrong"
        cell = {"source": painted(guess, classes), "alt": f"Prediction of {network} on {name}: {share}"}
        guesses.append(cell | {"label": network, "wrong": wrong, "miou": miou})
    maps = [by_size[size] for size in sorted(by_size, reverse=True)]
    source = embedded(Image.fromarray(maps[0][0]))
    photo = {"source": source, "alt": f"Image {name}, without prediction"}
    truths = [{"source": painted(truth, classes), "alt": f"Ground truth of {name}"} for _, truth in maps]
    return {"name": str(name), "why": why, "photo": photo, "truths": truths, "guesses": guesses}


def painted(labels: np.ndarray, classes: ClassMap) -> str:
    """Encode a label map, uint8 (S, S), as the address of an exact image in class colours; void is grey."""
    ids, places = np.unique(labels, return_inverse=True)
    picture = Image.fromarray(places.reshape(labels.shape).astype(np.uint8))
    picture.putpalette(classes.paint(ids).tobytes())
    return embedded(picture)
