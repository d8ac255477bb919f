"""Tables of test scores, from the confusion matrices that runs keep; and what labels alone tell."""

import numpy as np
import pandas as pd
import torch

from segnb.metrics import confusion
from segnb.stats.bootstrap import image_interval
from segnb.study.study import Run, by_variant, of_family

COLUMNS = ["miou", "seeds", "low", "high", "as_published", "loss", "seeds_miou", "seeds_loss"]


def scores(runs: list[Run]) -> pd.DataFrame:
    """Test scores by variant (the index), in the order in which the variants come.

    miou:         dataset mIoU, mean over seeds
    seeds:        how many there are
    low, high:    95 % interval, see `segnb.stats.bootstrap.image_interval`
    as_published: the study's own score of the same predictions, mean over seeds
    loss:         mean cross-entropy a pixel, mean over seeds
    seeds_miou, seeds_loss: lists with a value a seed

    `attrs["images"]`: how many test images they are of, at most
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
    """The numeric columns of `scores`, the highest mIoU first."""
    return scores(runs)[COLUMNS[:5]].sort_values("miou", ascending=False, kind="stable")


def spreads(runs: list[Run]) -> pd.DataFrame:
    """Compare how far mIoU spreads between networks with how far it spreads between seeds, per family.

    A benchmark tells networks apart if the ratio is well above 1 (Isensee et al. 2024, nnU-Net Revisited).

    Returns:
        A row per family that has two networks with two seeds: the standard deviations `networks`, of
        the means over seeds, and `seeds`, pooled over networks; and their `ratio`.
    """
    rows = {}
    for name in ("fcn", "unet"):
        seeds = [np.array(mious) for mious in scores(of_family(runs, name)).seeds_miou if len(mious) > 1]
        if len(seeds) > 1:
            networks = np.std([mious.mean() for mious in seeds], ddof=1)
            pooled = np.sqrt(sum(((m - m.mean()) ** 2).sum() for m in seeds) / sum(len(m) - 1 for m in seeds))
            rows[name] = {
                "networks": networks,
                "seeds": pooled,
                "ratio": float(confusion.ratio(networks, pooled)),
            }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["networks", "seeds", "ratio"])


def class_ious(runs: list[Run]) -> pd.DataFrame:
    """Test IoU, mean over seeds: a row a class and a last one "mIoU", a column a variant.

    NaN for a class that no test image shows. The column's class IoUs average to its mIoU.
    """
    columns = {}
    for name, group in by_variant(runs).items():
        ious = [confusion.class_iou(run.test()["confusion"].sum(0)) for run in group]
        mean = np.mean(ious, axis=0)
        columns[name] = [*mean, np.nanmean(mean)]
    names = [*runs[0].study.classes.names, "mIoU"] if runs else []
    return pd.DataFrame(columns, index=pd.Index(names, name="class"))


def image_miou(truth: np.ndarray, guess: np.ndarray, classes: int) -> float:
    """mIoU of one image alone, (S, S) each, over the classes that its ground truth shows."""
    maps = (torch.from_numpy(one[None].astype(np.int64)) for one in (truth, guess))
    return float(confusion.mean_iou(confusion.confusion(*maps, classes)[0].numpy()))


def worst_images(run: Run, count: int = 3) -> dict[str, np.ndarray]:
    """The test images that a run gets most wrong, in the form of `Run.predictions()`, worst first.

    By the share of their labelled pixels that are wrong; of equal ones the earlier image first.
    """
    worst = np.argsort(confusion.pixel_accuracy(run.test()["confusion"]), kind="stable")[:count]
    split = run.study.split("test", run.recipe.size)
    return {
        "names": np.array(split.names)[worst],
        "images": split.images[worst],
        "labels": split.labels[worst],
        "predictions": run.predicted()[worst],
    }


def class_counts(labels: np.ndarray, classes: int) -> np.ndarray:
    """Pixels by class of each image: labels uint8 (N, S, S) to int64 (N, classes)."""
    return np.stack([np.bincount(one.ravel(), minlength=classes)[:classes] for one in labels])


def class_shares(labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Share of all pixels, and share of the images that show the class at all: both (classes,), 0 to 1."""
    counts = class_counts(labels, classes)
    return counts.sum(0) / counts.sum(), (counts > 0).mean(0)


def class_heat(labels: np.ndarray, classes: int) -> np.ndarray:
    """Share of the images whose pixel there is of the class: labels (N, S, S) to float (classes, S, S)."""
    return np.stack([(labels == i).mean(0) for i in range(classes)])
