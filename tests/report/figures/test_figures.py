"""Every figure with one network and with many, one seed and several, and classes that are not there."""

import base64
import io
import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from segnb.audit import example
from segnb.labels import STREET
from segnb.models.registry import VARIANTS
from segnb.report.figures import axes, learning, style
from segnb.report.figures.audit import class_dots, slopes, two_scores, worked_example
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
from segnb.report.figures.learning import LiveCurves, _mean_over_seeds, learning_curves
from segnb.report.figures.scores import class_scores, cost_quality, score_bars
from segnb.report.figures.style import Picture

SIZE = 32
MANY = [variant.label for variant in VARIANTS.values()]
FCN = [variant.label for variant in VARIANTS.values() if variant.family == "fcn"]
UNET = [label for label in MANY if label not in FCN]
STUDY = [variant.label for variant in VARIANTS.values() if not variant.extension]
draw = np.random.default_rng(0)
labels = np.repeat(np.repeat(draw.integers(0, 4, (6, 8, 8)), 4, 1), 4, 2).astype(np.uint8)  # classes 0 to 3
images = draw.integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)
kept = {
    "names": np.array([f"test {i}" for i in range(6)]),
    "images": images,
    "labels": labels,
    "predictions": np.where(draw.random(labels.shape) < 0.25, 7, labels).astype(np.uint8),
}


def history(epochs: int = 3, seed: int = 0) -> pd.DataFrame:
    values = np.random.default_rng(seed).random((epochs, 4))
    frame = pd.DataFrame(values, columns=["train_loss", "val_loss", "train_miou", "val_miou"])
    return frame.assign(epoch=range(1, epochs + 1), seconds=1.5)


def scores(names: list[str], seeds: int) -> pd.DataFrame:
    """Made-up test scores; with a single image there is no interval."""
    frame = pd.DataFrame({"miou": np.linspace(0.3, 0.9, len(names))}, index=names)
    frame["low"], frame["high"] = frame.miou - 0.05, frame.miou + 0.05
    frame["loss"] = 1 - frame.miou
    frame["predict_seconds"], frame["train_seconds"], frame["parameters"] = 0.01, 0.03, 1_500_000
    for column in ("miou", "loss"):
        frame[f"seeds_{column}"] = [[value + 0.01 * k for k in range(seeds)] for value in frame[column]]
    return frame


def ious(names: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(draw.random((13, len(names))), index=STREET.names, columns=names)
    frame.loc["Pedestrian"] = np.nan
    frame.loc["mIoU"] = frame.mean()
    return frame


def both_scores(names: list[str], seeds: int) -> pd.DataFrame:
    """Made-up scores as of `audit.panels`; the first network swaps with the second."""
    frame = pd.DataFrame({"miou": np.linspace(0.3, 0.9, len(names))}, index=names)
    frame["as_published"] = 0.5 + frame.miou / 2
    frame.loc[names[:1], "as_published"] += 0.03
    for column in ("miou", "as_published"):
        frame[f"seeds_{column}"] = [[value + 0.01 * k for k in range(seeds)] for value in frame[column]]
    return frame


def class_comparison(names: list[str], seeds: int) -> dict[str, pd.DataFrame]:
    """Made-up class IoUs as of `audit.class_comparison`, without pedestrians; no interval for one seed."""
    frames = {}
    for name in names:
        frame = pd.DataFrame(draw.random((13, 2)), index=STREET.names, columns=["published", "measured"])
        frame.loc["Pedestrian", "measured"] = np.nan
        frame["low"], frame["high"] = frame.measured - 0.1, frame.measured + 0.05
        frame["seeds"] = [[value] * seeds for value in frame.measured]
        frames[name] = frame if seeds > 1 else without_interval(frame)
    return frames


def without_interval(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(low=np.nan, high=np.nan)


def share_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    pixels = pd.DataFrame(draw.random((13, 3)), index=STREET.names, columns=["train", "test", "study"])
    pixels.loc["Wall"] = 0.0
    return pixels, (pixels > 0).astype(float)


heat = np.stack([(labels == i).mean(0) for i in range(13)])


def beside(names: list[str]) -> Picture:
    """Made-up predictions of one image beside it; what such a picture shows its caller says."""
    panels = [("Image", images[1]), ("Ground truth", labels[1])]
    panels += [(f"{name}\n12.3 % wrong", labels[1]) for name in names]
    fig = side_by_side(panels, STREET.seen(labels[1]), STREET, {})
    told = f"One made-up image, its ground truth, and its prediction by {', '.join(names)}."
    return fig.described(told, "The same made-up image through every one of the networks.")


FIGURES = {
    "images_with_labels": lambda: images_with_labels(images, labels, STREET),
    "one image": lambda: images_with_labels(images[:1], labels[:1], STREET),
    "class_legend": lambda: class_legend(STREET),
    "class_masks": lambda: class_masks(images[0], labels[0], STREET),
    "class_shares": lambda: class_shares(*share_tables()),
    "class_places": lambda: class_places(heat, STREET),
    "curves": lambda: learning_curves({label: [history(seed=k) for k in range(3)] for label in MANY}),
    "one curve": lambda: learning_curves({"U-Net": [history(1)]}),
    "unequal seeds": lambda: learning_curves({"U-Net": [history(5), history(2)]}),
    "score_bars": lambda: score_bars(scores(MANY, 3)),
    "one bar": lambda: score_bars(without_interval(scores(["U-Net"], 1))),
    "class_scores": lambda: class_scores(ious(UNET)),
    "class_scores of many": lambda: class_scores(ious(MANY)),
    "one column": lambda: class_scores(ious(["U-Net"])),
    "predictions": lambda: predictions(kept, "U-Net", STREET),
    "side by side": lambda: beside(FCN),
    "side by side, U-Nets": lambda: beside(UNET),
    "side by side, long names": lambda: beside(MANY),
    "side by side, one": lambda: beside(["U-Net"]),
    "cost_quality": lambda: cost_quality(scores(MANY, 1)),
    "two_scores": lambda: two_scores({"a": both_scores(STUDY, 1), "b": both_scores(MANY, 3)}),
    "one score": lambda: two_scores({"a": both_scores(STUDY, 0), "b": both_scores(["U-Net"], 1)}),
    "slopes": lambda: slopes({"published numbers": both_scores(MANY, 1)}),
    "two slopes": lambda: slopes(
        {"published numbers": both_scores(STUDY, 1), "trained here": both_scores(MANY[::-1], 3)}
    ),
    "class_dots": lambda: class_dots(class_comparison(STUDY, 3)),
    "class_dots of a family": lambda: class_dots(class_comparison(FCN, 1)),
    "class_dots of one": lambda: class_dots(class_comparison(["U-Net"], 1)),
    "worked_example": lambda: worked_example(example.worked_example()),
    "one point": lambda: cost_quality(without_interval(scores(["U-Net"], 1))),
}


@pytest.mark.parametrize(
    "draw_it",
    [
        lambda: learning_curves({}),
        lambda: learning_curves({"U-Net": [pd.DataFrame()]}),
        lambda: score_bars(scores([], 1)),
        lambda: class_scores(pd.DataFrame()),
        lambda: cost_quality(pd.DataFrame()),
        lambda: class_dots({}),
    ],
)
def test_no_data_gives_no_picture(draw_it, capsys):
    fig = draw_it()
    assert not fig.axes
    style.show(fig)
    assert capsys.readouterr().out == ""


def overlaps(texts) -> list[tuple[str, str]]:
    """Pairs of texts that lie on each other, in a picture that has been laid out."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    assert boxes
    return [
        (one, other)
        for i, (one, box) in enumerate(boxes)
        for other, beside in boxes[i + 1 :]
        if box.overlaps(beside)
    ]


def test_pictures_leave_no_open_figures():
    from matplotlib import pyplot

    learning_curves({"U-Net": [history()]}).png()
    assert pyplot.get_fignums() == []


def test_bundle_is_a_sharp_png_with_its_description():
    fig = class_legend(STREET)
    data, metadata = fig.bundle()
    png = base64.b64decode(data["image/png"])
    told = metadata["image/png"]
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    pixels = int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
    assert pixels[0] == 2 * told["width"] and abs(pixels[1] - 2 * told["height"]) <= 1
    assert told["alt"] == fig.alt and "12 Traffic sign" in told["alt"]
    json.dumps([data, metadata])  # as notebooks are stored


def test_alt_text_tells_the_numbers():
    assert "FCN-8s frozen 0.300 (0.250 to 0.350)" in score_bars(scores(["FCN-8s frozen"], 1)).alt
    fig = class_scores(ious(["U-Net"]))
    assert "Not in the test images: Pedestrian." in fig.alt
    wrong = (kept["labels"][0] != kept["predictions"][0]).mean()
    assert f"{100 * wrong:.1f} % in test 0" in predictions(kept, "U-Net", STREET).alt


def test_means_stop_where_the_first_seed_does():
    """Averaging over fewer and fewer seeds would make the bold line jump."""
    one, other = history(5), history(2, seed=1)
    mean = _mean_over_seeds([one, other])
    assert list(mean.index) == [1, 2]
    assert mean.val_miou[2] == pytest.approx((one.val_miou[1] + other.val_miou[1]) / 2)


def test_each_network_has_a_look_of_its_own():
    looks = {label: style.style_of(label) for label in MANY}
    assert len({*looks.values(), style.style_of("a network of another study")}) == len(MANY) + 1
    assert all(looks[label].frozen == ("frozen" in label) for label in MANY)
    for family in (FCN, UNET):
        told_apart = {(looks[label].marker, looks[label].frozen) for label in family}
        assert len(told_apart) == len(family)  # without any colour


# What is left of linear RGB to someone who lacks one kind of cone: Machado, Oliveira and Fernandes 2009.
SIGHT = {
    "all three": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "no red": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no green": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no blue": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def lab(colour: str, sight) -> np.ndarray:
    """A colour as CIELAB under D65, in which distances are about as large as they look."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(sight) @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.maximum(np.array(to_xyz) @ seen / [0.9505, 1, 1.089], 0.008856))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_stay_apart_for_colour_blind_readers(sight):
    colours = sorted({style.style_of(label).colour for label in MANY})
    seen = {colour: lab(colour, SIGHT[sight]) for colour in colours}
    for i, one in enumerate(colours):
        for other in colours[i + 1 :]:
            assert np.linalg.norm(seen[one] - seen[other]) > 12, (one, other)


@pytest.mark.parametrize(
    ("label", "width", "lines"),
    [
        ("U-Net", 12, ["U-Net"]),
        ("Class attention residual U-Net", 24, ["Class attention", "residual U-Net"]),  # not U-Net alone
        ("FCN-32s fine-tuned", 12, ["FCN-32s", "fine-tuned"]),
        ("Attention residual U-Net", 24, ["Attention residual U-Net"]),
        ("Unbreakable-and-longer", 5, ["Unbreakable-and-longer"]),
    ],
)
def test_labels_are_wrapped_into_lines_of_about_the_same_length(label, width, lines):
    assert axes.wrapped(label, width).split("\n") == lines


def test_masks_say_what_is_absent():
    fig = class_masks(images[0], np.full((SIZE, SIZE), 7, np.uint8), STREET)
    panels = {ax.get_title(loc="left").strip(): ax for ax in fig.axes}
    assert [text.get_text() for text in panels["Road"].texts] == ["100.0 %"]
    assert [text.get_text() for text in panels["Car"].texts] == ["absent"]
    assert "Absent: Unlabeled" in fig.alt


def test_marked_pixels_have_the_colour_and_the_rest_is_pale():
    where = np.array([[True, False], [False, False]])
    painted = marked(np.zeros((2, 2, 3), np.uint8), where, "#336699")
    assert painted[0, 0].tolist() == [0x33, 0x66, 0x99] and painted[1, 1].tolist() == [165] * 3


def test_live_curves_print_each_epoch_once(capsys, monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    rows = history(3).to_dict("records")
    live = LiveCurves(3)
    for epoch in (1, 2, 3):
        live.update(rows[:epoch])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[2].startswith("epoch 3/3  loss ")
    assert f"val {rows[2]['val_miou']:.3f}" in lines[2]
    LiveCurves(12).update(rows)  # a run that goes on, or is shown again, comes with all its rows
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_live_curves_redraw_in_place_where_a_person_watches(capsys, monkeypatch):
    shown = []

    class Handle:
        def update(self, data, **how):
            shown.append(how)

    def display(data, **how):
        shown.append(how)
        return Handle()

    monkeypatch.setenv("JPY_SESSION_NAME", "train.ipynb")
    monkeypatch.setattr(learning, "display", display)
    live = LiveCurves(2)
    for epoch in (1, 2):
        live.update(history(2).to_dict("records")[:epoch])
    assert [how.get("display_id") for how in shown] == [True, None]
    assert all(how["metadata"]["image/png"]["alt"] for how in shown)
    assert len(capsys.readouterr().out.splitlines()) == 2


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
