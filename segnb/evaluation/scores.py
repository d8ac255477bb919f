"""Tables of test scores, from the confusion matrices of runs, and statistics of the labels."""

import numpy as np
import pandas as pd
import torch

from segnb.metrics import confusion
from segnb.stats.bootstrap import image_interval
from segnb.study.study import Run, by_variant, of_family

COLUMNS = ["miou", "seeds", "low", "high", "as_published", "loss", "seeds_miou", "seeds_loss"]


def scores(runs: list[Run]) -> pd.DataFrame:
    """Make a table of test scores, one row per variant (the index), in the order of the runs.

    Returns:
        A table with the columns
            miou: mIoU, mean over seeds, 0 to 1
            seeds: number of seeds
            low, high: 95% confidence interval, see `segnb.stats.bootstrap.image_interval`
            as_published: reported score of the same predictions, mean over seeds, 0 to 1
            loss: mean cross-entropy in nats per pixel, mean over seeds
            seeds_miou, seeds_loss: lists with one value per seed
        `attrs["images"]` is the number of test images (the largest, if runs differ).
    """
    rows, images = {}, 0
    for name, group in by_variant(runs).items():
        tests = [run.test() for run in group]
        confusions = [test["confusion"] for test in tests]
        images = max([images, *map(len, confusions)])
        mious = [float(confusion.mean_iou(counts.sum(0))) for counts in confusions]
        losses = [float(test["loss"]) for test in tests]
        low, high = image_interval(confusions, tests[0]["names"], confusion.mean_iou)
        rows[name] = {
            "miou": np.mean(mious),
            "seeds": len(group),
            "low": low,
            "high": high,
            "as_published": np.mean([float(test["as_published"]) for test in tests]),
            "loss": np.mean(losses),
            "seeds_miou": mious,
            "seeds_loss": losses,
        }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS).rename_axis("variant")
    frame.attrs["images"] = images
    return frame


def ranking(runs: list[Run]) -> pd.DataFrame:
    """Return the first five columns of `scores`, sorted by mIoU, highest first."""
    return scores(runs)[COLUMNS[:5]].sort_values("miou", ascending=False, kind="stable")


def spreads(runs: list[Run]) -> pd.DataFrame:
    """Compute for each family the spread of mIoU between networks and between seeds.

    A benchmark distinguishes networks if the ratio is well above 1 (Isensee et al. 2024, nnU-Net Revisited).

    Returns:
        One row per family with at least two networks of two or more seeds, and the columns
            networks: standard deviation of the networks' means over seeds
            seeds: standard deviation over seeds, pooled over networks
            ratio: networks / seeds
    """
    rows = {}
    for name in ("fcn", "unet"):
        seeds = [np.array(mious) for mious in scores(of_family(runs, name)).seeds_miou if len(mious) > 1]
        if len(seeds) > 1:
            networks = np.std([mious.mean() for mious in seeds], ddof=1)
            pooled = np.sqrt(sum(((m - m.mean()) ** 2).sum() for m in seeds) / sum(len(m) - 1 for m in seeds))
            rows[name] = networks, pooled, float(confusion.ratio(networks, pooled))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["networks", "seeds", "ratio"])


def class_ious(runs: list[Run]) -> pd.DataFrame:
    """Make a table of the test IoU, mean over seeds: one row per class, one column per variant.

    The last row, "mIoU", is the mean of the column. A class without test pixels is NaN.
    """
    columns = {}
    for name, group in by_variant(runs).items():
        ious = [confusion.class_iou(run.test()["confusion"].sum(0)) for run in group]
        mean = np.mean(ious, axis=0)
        columns[name] = [*mean, np.nanmean(mean)]
    names = [*runs[0].study.classes.names, "mIoU"] if runs else []
    return pd.DataFrame(columns, index=pd.Index(names, name="class"))


def image_miou(truth: np.ndarray, guess: np.ndarray, classes: int) -> float:
    """Compute the mIoU of one image over the classes in its ground truth; truth, guess: (S, S)."""
    maps = (torch.from_numpy(ids[None].astype(np.int64)) for ids in (truth, guess))
    return float(confusion.mean_iou(confusion.confusion(*maps, classes)[0].numpy()))


def image_mious(runs: list[Run]) -> pd.DataFrame:
    """Make a table of the mIoU of single test images: a row per image, a column per variant, the first seed.

    The mean is over the classes in the ground truth of the image; an image without any is NaN.
    """
    first = {name: group[0].test() for name, group in by_variant(runs).items()}
    return pd.DataFrame({name: confusion.mean_iou(test["confusion"]) for name, test in first.items()})


def typical_and_worst(mious: pd.DataFrame) -> tuple[list[int], int, dict[int, list[str]]]:
    """Choose images by their mIoU, averaged over networks; of equal images, the first.

    Args:
        mious: From `image_mious`.

    Returns:
        The two images closest to the median, the image with the lowest mIoU, and the images on which a single
        network has its lowest mIoU, with these networks; no image comes twice.
    """
    means = mious.mean(axis=1).dropna()
    worst = int(means.idxmin())
    rest = (means - means.median()).abs().drop(worst)
    typical = [int(i) for i in rest.sort_values(kind="stable").index[:2]]
    own: dict[int, list[str]] = {}
    for name, lowest in mious.idxmin().items():
        if lowest not in [*typical, worst]:
            own.setdefault(int(lowest), []).append(name)
    return typical, worst, own


def predictions_on(run: Run, images: list[int]) -> dict[str, np.ndarray]:
    """Return test images with their predictions, in the form of `Run.predictions()`."""
    split = run.study.split("test", run.recipe.size)
    return {
        "names": np.array(split.names)[images],
        "images": split.images[images],
        "labels": split.labels[images],
        "predictions": run.predicted()[images],
    }


def class_counts(labels: np.ndarray, classes: int) -> np.ndarray:
    """Count the pixels of each class in each image: labels uint8 (N, S, S) -> int64 (N, classes)."""
    return np.stack([np.bincount(image.ravel(), minlength=classes)[:classes] for image in labels])


def class_shares(labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each class's share of the labelled pixels, and of the images: both (classes,), 0 to 1."""
    counts = class_counts(labels, classes)
    return counts.sum(0) / counts.sum(), (counts > 0).mean(0)


def class_heat(labels: np.ndarray, classes: int) -> np.ndarray:
    """Compute for each position the share of images with a class there: (N, S, S) -> (classes, S, S)."""
    return np.stack([(labels == i).mean(0) for i in range(classes)])
