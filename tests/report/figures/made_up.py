"""Made-up data for figures: one network and many, one seed and several, absent classes."""

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from skimage.color import colorconv

from segnb.labels import STREET, ClassMap
from segnb.models.registry import VARIANTS
from segnb.report.figures.images import side_by_side
from segnb.report.figures.style import Picture
from tests.claims.examples import part

SIZE = 32
MANY = [variant.label for variant in VARIANTS.values()]
FCN = [variant.label for variant in VARIANTS.values() if variant.family == "fcn"]
UNET = [label for label in MANY if label not in FCN]
GATED = [variant.label for variant in VARIANTS.values() if getattr(variant.config, "gate", "none") != "none"]
STUDY = [variant.label for variant in VARIANTS.values() if not variant.extension]
draw = np.random.default_rng(0)
labels = np.repeat(np.repeat(draw.integers(0, 4, (6, 8, 8)), 4, 1), 4, 2).astype(np.uint8)  # classes 0 to 3
images = draw.integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)
kept = {
    "names": np.array([f"test {i}" for i in range(3)]),
    "images": images[:3],
    "labels": labels[:3],
    "predictions": np.where(draw.random(labels.shape) < 0.25, 7, labels).astype(np.uint8)[:3],
}


def history(epochs: int = 3, seed: int = 0) -> pd.DataFrame:
    values = np.random.default_rng(seed).random((epochs, 4))
    frame = pd.DataFrame(values, columns=["train_loss", "val_loss", "train_miou", "val_miou"])
    return frame.assign(epoch=range(1, epochs + 1), seconds=1.5)


def scores(names: list[str], seeds: int) -> pd.DataFrame:
    """Return made-up test scores."""
    frame = pd.DataFrame({"miou": np.linspace(0.3, 0.9, len(names))}, index=names)
    frame["low"], frame["high"] = frame.miou - 0.05, frame.miou + 0.05
    frame["loss"] = 1 - frame.miou
    frame["predict_seconds"], frame["train_seconds"], frame["parameters"] = 0.01, 0.03, 1_500_000
    frame["predict_samples"] = [[[0.009], [0.01], [0.011]]] * len(names)
    for column in ("miou", "loss"):
        frame[f"seeds_{column}"] = [[value + 0.01 * k for k in range(seeds)] for value in frame[column]]
    return frame


def ious(names: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(draw.random((13, len(names))), index=STREET.names, columns=names)
    frame.loc["Pedestrian"] = np.nan
    frame.loc["mIoU"] = frame.mean()
    return frame


def both_scores(names: list[str], seeds: int) -> pd.DataFrame:
    """Return made-up scores in the form of `audit.panels`; the first network swaps with the second."""
    frame = pd.DataFrame({"miou": np.linspace(0.3, 0.9, len(names))}, index=names)
    frame["as_published"] = 0.5 + frame.miou / 2
    frame.loc[names[:1], "as_published"] += 0.03
    for column in ("miou", "as_published"):
        frame[f"seeds_{column}"] = [[value + 0.01 * k for k in range(seeds)] for value in frame[column]]
    return frame


def class_comparison(names: list[str], seeds: int) -> dict[str, pd.DataFrame]:
    """Return made-up class IoUs in the form of `audit.class_comparison`; NaN without pedestrians."""
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
    """Draw one image next to made-up predictions, with a description as callers write it."""
    panels = [("Image", images[1]), ("Ground truth", labels[1])]
    panels += [(f"{name}\n12.3% wrong", labels[1]) for name in names]
    fig = side_by_side(panels, STREET.seen(labels[1]), STREET, {})
    alt = f"One made-up image, its ground truth, and its prediction by {', '.join(names)}."
    return fig.described(alt, "The same made-up image through every one of the networks.")


# Linear RGB as seen with one kind of cone missing (Machado, Oliveira and Fernandes 2009).
SIGHT = {
    "all three": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "no red": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no green": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no blue": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def lab(colour: str, sight) -> np.ndarray:
    """Return a colour in CIELAB under D65, where distances match perceived differences."""
    to_xyz = colorconv.xyz_from_rgb  # of linear RGB
    linear = np.linalg.solve(to_xyz, colorconv.rgb2xyz(to_rgb(colour)))
    return colorconv.xyz2lab(to_xyz @ np.clip(np.array(sight) @ linear, 0, 1))


all_labels = np.repeat(np.repeat(draw.integers(0, 13, (6, 8, 8)), 4, 1), 4, 2).astype(np.uint8)
gated = {"names": np.array([f"test {i:04d}" for i in range(6)]), "images": images, "labels": all_labels}


def curve(index, start: float = 0.3, rise: float = 0.05) -> pd.DataFrame:
    value = start + rise * np.arange(len(index))
    frame = pd.DataFrame({"value": value, "low": value - 0.03, "high": value + 0.03}, index=list(index))
    return frame.assign(by_seed=[[mean - 0.02, mean, mean + 0.02] for mean in value])


def curves(names: list[str], index, **columns) -> dict[str, pd.DataFrame]:
    return {name: curve(index, 0.3 + 0.013 * k).assign(**columns) for k, name in enumerate(names)}


def by_size(ends: list[int], area: list[float] | None = None) -> dict[str, pd.DataFrame]:
    frames = curves(FCN, range(6), area=area or AREA)
    for frame in frames.values():
        frame.attrs |= {"ends": ends, "size": 224}
    return frames


def gates(maps: int) -> dict[str, np.ndarray]:
    return {
        "levels": np.arange(1, 5),
        **{f"maps{k + 1}": draw.random((6, maps, SIZE >> k, SIZE >> k)).astype(np.float16) for k in range(4)},
    }


EXACT = part(
    "Attention U-Net − U-Net",
    "parameters",
    unit="% of parameters",
    low=None,
    high=None,
    by_seed=(),
    estimate=0.0113,
)
BY_IMAGE = {
    i: pd.DataFrame({"name": "test", "index": range(60), "difference": draw.normal(0.02, 0.05, 60)})
    for i in range(3)
}
THREE = pd.DataFrame(
    {"name": ["test 0003", "test 0000", "test 0005"], "index": [3, 0, 5], "difference": [0.1, 0.0, -0.08]},
    index=["largest", "median", "smallest"],
)
GUESSES = {"U-Net": all_labels, "Attention residual U-Net, strided gate": np.roll(all_labels, 1, 1)}
BINS = ["0–1", "1–2", "2–3", "3–5", "5–8", "8–13", "13–21", "21+"]
AREA = [20, 45, 100, 250, 600, 3000]
KINDS = ["clean", "fog", "night", "noise", "occlusion"]
STREETS = dict.fromkeys(KINDS, images[0])


def histories(seeds: int, final: float = 0.5) -> dict[int, pd.DataFrame]:
    epoch = np.arange(1, 13)
    return {
        k: pd.DataFrame({"epoch": epoch, "val_miou": final * (1 - np.exp(-epoch / (3 + k)))})
        for k in range(seeds)
    }


LONG = ClassMap(tuple(f"a class that has a name of many words {i:02d}" for i in range(13)), STREET.colours)
ONE_WORD = ClassMap(
    tuple(f"{'aclassnamewithoutanyspaceinit' * 2}"[:38] + f"{i:02d}" for i in range(13)), STREET.colours
)
LEVELS = [*(f"level {k}" for k in range(1, 5)), "all levels"]


def named(frame: pd.DataFrame, classes: ClassMap) -> pd.DataFrame:
    """Replace the class names of STREET."""
    return frame.rename(index=dict(zip(STREET.names, classes.names, strict=True)))


def unknown(frames: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Remove the intervals, as with a single image, and one value."""
    frames = {label: frame.assign(low=np.nan, high=np.nan) for label, frame in frames.items()}
    next(iter(frames.values())).iloc[-1, 0] = np.nan
    return frames


def stopped(seeds: int) -> dict[str, list[pd.DataFrame]]:
    """Return histories of all networks, each with a different number of epochs."""
    return {label: [history(6 + i, seed=10 * i + k) for k in range(seeds)] for i, label in enumerate(MANY)}


def worths(names: list[str]) -> dict[str, pd.DataFrame]:
    spread = [0.1, 0.2, 0.1, 0.05, np.nan]
    return {name: curve(LEVELS, 0.01).assign(spread=spread) for name in names}


def lowercase(kept: dict) -> dict:
    return kept | {"names": np.array([f"a/file/name/as/some/tools/make/them_{i:06d}_10" for i in range(3)])}


def with_attrs(frames: dict[str, pd.DataFrame], attrs: dict) -> dict[str, pd.DataFrame]:
    for frame in frames.values():
        frame.attrs.update(attrs)
    return frames


def overlaps(texts) -> list[tuple[str, str]]:
    """Return pairs of texts that overlap, in a figure with a computed layout."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    assert boxes
    return [
        (text, other)
        for i, (text, box) in enumerate(boxes)
        for other, near in boxes[i + 1 :]
        if box.overlaps(near)
    ]
