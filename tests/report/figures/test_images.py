"""Figures of the data and of predictions."""

import io

import numpy as np
from PIL import Image

from segnb.labels import CAMVID, CAR, STREET
from segnb.report.figures.images import (
    class_legend,
    class_masks,
    class_places,
    class_shares,
    images_with_labels,
    marked,
    predictions,
    side_by_side,
)
from tests.report.figures.made_up import (
    FCN,
    LONG,
    MANY,
    ONE_WORD,
    SIZE,
    UNET,
    beside,
    heat,
    images,
    kept,
    labels,
    lowercase,
    named,
    share_tables,
)

FIGURES = {
    "images_with_labels": lambda: images_with_labels(images, labels, STREET),
    "one image": lambda: images_with_labels(images[:1], labels[:1], STREET),
    "class_legend": lambda: class_legend(STREET),
    "class_masks": lambda: class_masks(images[0], labels[0], STREET),
    "class_shares": lambda: class_shares(*share_tables()),
    "class_places": lambda: class_places(heat, STREET),
    "predictions": lambda: predictions(kept, "U-Net", STREET, "all images"),
    "side by side": lambda: beside(FCN),
    "side by side, U-Nets": lambda: beside(UNET),
    "side by side, long names": lambda: beside(MANY),
    "side by side, one": lambda: beside(["U-Net"]),
    "pictures and label maps": lambda: side_by_side(
        [("Image", images[0]), ("Ground truth", labels[0])],
        [0, 1, 2, 3],
        STREET,
        {"wrong": "#000000"},
    ).described(
        "An image next to its labels, as a caller would say.",
        "How to read it, which the caller says as well.",
    ),
    "shares of long names": lambda: class_shares(*(named(frame, LONG) for frame in share_tables())),
    "legend of long names": lambda: class_legend(LONG),
    "legend of long words": lambda: class_legend(ONE_WORD),
    "legend of photographs": lambda: class_legend(CAMVID),
    "legend of two": lambda: class_legend(CAR),
    "masks of long words": lambda: class_masks(images[0], labels[0], ONE_WORD),
    "places of long names": lambda: class_places(heat, LONG),
    "labels of long names": lambda: images_with_labels(images, labels, LONG),
    "predictions of long names": lambda: predictions(lowercase(kept), MANY[-2], LONG, "all images"),
    "shares of a narrow range": lambda: class_shares(*(frame.clip(lower=0.2) for frame in share_tables())),
}


def test_masks_say_what_is_absent():
    fig = class_masks(images[0], np.full((SIZE, SIZE), 7, np.uint8), STREET)
    panels = {ax.get_title(loc="left").strip(): ax for ax in fig.axes}
    assert [text.get_text() for text in panels["Road"].texts] == ["100.0%"]
    assert [text.get_text() for text in panels["Car"].texts] == ["absent"]
    assert "Absent: Unlabeled" in fig.alt


def test_marked_pixels_have_the_colour_and_the_rest_is_pale():
    where = np.array([[True, False], [False, False]])
    painted = marked(np.zeros((2, 2, 3), np.uint8), where, "#336699")
    assert painted[0, 0].tolist() == [0x33, 0x66, 0x99] and painted[1, 1].tolist() == [167] * 3


def test_labels_are_drawn_pixel_by_pixel():
    """Blending neighbours would invent colours that belong to no class."""
    plain = labels[:1] % 3  # of classes without marks
    fig = images_with_labels(images[:1], plain, STREET)
    shown = np.asarray(Image.open(io.BytesIO(fig.png())).convert("RGB"))
    place = fig.axes[1].get_position()
    rows = slice(round((1 - place.y1) * len(shown)) + 6, round((1 - place.y0) * len(shown)) - 6)
    columns = slice(round(place.x0 * shown.shape[1]) + 6, round(place.x1 * shown.shape[1]) - 6)
    seen = {tuple(colour) for colour in shown[rows, columns].reshape(-1, 3)}
    assert seen == {tuple(STREET.palette[i]) for i in np.unique(plain)}


def test_a_class_that_is_everywhere_is_in_the_middle_of_the_image():
    assert f"{STREET.names[0]} 50%" in class_places(np.ones((13, 4, 4)), STREET).alt
