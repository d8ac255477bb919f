"""Curves of the evidence figures: metrics by distance to an edge, by object size, by class and by level.

Every curve has a 95% confidence interval over test images, with seeds fixed (`segnb.stats.bootstrap`). The
result of a function is empty if the files that it needs do not exist.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pandas as pd

from segnb.evaluation.scores import scores
from segnb.metrics import boundaries, objects
from segnb.metrics.confusion import class_iou, mean_iou, ratio
from segnb.models.registry import VARIANTS, label
from segnb.stats.bootstrap import interval
from segnb.study.study import Run, Study, by_variant

# Upper ends of the area bins of `size_curves`: the limits of small, medium and large, and twice each limit.
SIZE_BINS = tuple(end * times for end in objects.AREAS for times in (1, 2))


def with_interval(
    group: list[Run], sums: list[dict[str, np.ndarray]], reduce: Callable[..., np.ndarray]
) -> pd.DataFrame:
    """Tabulate the mean of a metric over seeds, with its interval.

    Args:
        group: Runs on the same test images.
        sums: Per seed, arrays (N, ...) by name; `reduce` takes their sums over the N images.
        reduce: Function of these sums that returns a scalar or (K,), see `segnb.stats.bootstrap.resample`.

    Returns:
        Columns value, low, high, by_seed (a list with one value per seed); low and high are NaN for one
        image. `attrs` has the numbers of images and seeds.
    """
    values = [reduce(**{name: counts.sum(0) for name, counts in arrays.items()}) for arrays in sums]
    images = len(next(iter(sums[0].values())))
    names = group[0].test()["names"][:images]  # shifted scenes are the first test scenes
    low, high = interval(sums, reduce, names)
    columns = {"value": np.mean(values, axis=0), "low": low, "high": high}
    frame = pd.DataFrame({name: np.atleast_1d(column) for name, column in columns.items()})
    frame["by_seed"] = np.stack(values, axis=-1).reshape(len(frame), -1).tolist()
    frame.attrs.update(images=len(names), seeds=len(sums))  # for the caption
    return frame


def _groups(runs: list[Run], file: str) -> Iterator[tuple[str, list[Run], list]]:
    """Yield the label, the runs with that file, and the result of `Run.<file>()` for each, by network."""
    with_file = [run for run in runs if getattr(run, f"{file}_path").exists()]
    for name, group in by_variant(with_file).items():
        yield label(name), group, [getattr(run, file)() for run in group]


# --- of every network ---


def trimap_curves(runs: list[Run]) -> dict[str, pd.DataFrame]:
    """Return the pixel accuracy by distance from the nearest true edge.

    Returns:
        {label: columns value, low, high}, indexed by bins such as "1–3" (px).
    """
    names = ("trimap_hits", "trimap_truth")
    curves = {}
    for network, group, files in _groups(runs, "boundary"):
        sums = [{name: arrays[name] for name in names} for arrays in files]
        ends = pairwise(files[0]["trimap_edges"])
        bins = [f"{low:g}–{high:g}" if np.isfinite(high) else f"{low:g}+" for low, high in ends]
        curves[network] = with_interval(group, sums, boundaries.trimap).set_axis(bins)
    return curves


def size_curves(runs: list[Run]) -> dict[str, pd.DataFrame]:
    """Return the recall of objects by size.

    Returns:
        {label: columns area, value, low, high}. The area is the median of the objects in a bin, in px; empty
        bins are left out. Networks evaluated at the same image size have the same bins. `attrs` has "ends"
        (see `objects.pixel_ends`) and "size" of the images.
    """
    curves = {}
    for network, group, tables in _groups(runs, "objects"):
        if not len(area := tables[0]["area"]):
            continue
        size = group[0].recipe.size
        middle = area.groupby(np.digitize(area, SIZE_BINS, right=True)).median()
        curve = _recall_by(group, tables, "area", SIZE_BINS)
        curves[network] = curve.loc[middle.index].assign(area=middle * size**2)
        curves[network].attrs |= {"ends": objects.pixel_ends(size), "size": size}
    return curves


def sight_curves(runs: list[Run]) -> dict[str, pd.DataFrame]:
    """Return the recall of objects by their visible share.

    Returns:
        {label: columns value, low, high}, indexed by `objects.VISIBILITIES`; empty if the visible share is
        unknown, as in photographs.
    """
    curves = {}
    for network, group, tables in _groups(runs, "objects"):
        if np.isfinite(tables[0]["visible"]).any():
            curve = _recall_by(group, tables, "visible", objects.VISIBLE)
            curves[network] = curve.set_axis(objects.VISIBILITIES)
    return curves


def _recall_by(group: list[Run], tables: list[pd.DataFrame], column: str, edges: tuple) -> pd.DataFrame:
    images = len(group[0].test()["names"])
    sums = [objects.binned(table, table[column], edges, images, ("found",)) for table in tables]
    return with_interval(group, sums, lambda found, count: ratio(found, count))


# --- of pairs and families ---


def class_gains(runs: list[Run], plus: str, minus: str) -> pd.DataFrame:
    """Return the class IoUs of variant `plus` minus those of variant `minus`.

    Returns:
        Columns value, low, high, indexed by class, the largest gain first. Only common seeds count; classes
        that no test image shows are left out.
    """
    by_seed = {(run.variant, run.seed): run for run in runs}
    seeds = sorted(seed for variant, seed in by_seed if variant == plus)
    pairs = [(by_seed[plus, seed], by_seed[minus, seed]) for seed in seeds if (minus, seed) in by_seed]
    if not pairs:
        return pd.DataFrame()
    sums = [{"plus": a.test()["confusion"], "minus": b.test()["confusion"]} for a, b in pairs]
    gains = with_interval(runs, sums, lambda plus, minus: class_iou(plus) - class_iou(minus))
    gains.index = pd.Index(runs[0].study.classes.names, name="class")
    return gains.dropna(subset="value").sort_values("value", ascending=False)


def stride_bounds(study: Study, runs: list[Run]) -> pd.DataFrame:
    """Return the scores of runs of FCNs and the best possible score at their stride.

    Returns:
        Columns stride, miou (mean over seeds), low, high (interval), bound (mIoU of perfect scores on the
        grid of the stride, see `boundaries.stride_bound`), indexed by label; empty without runs.
    """
    if not runs:
        return pd.DataFrame()
    table = scores(runs)
    strides = [VARIANTS[name].config.stride for name in table.index]
    labels = np.asarray(study.split("test", study.recipe("fcn").size).labels)
    bounds = {
        stride: float(mean_iou(boundaries.stride_bound(labels, stride, len(study.classes)).sum(0)))
        for stride in set(strides)
    }
    columns = {"stride": strides, **table[["miou", "low", "high"]], "bound": [bounds[s] for s in strides]}
    return pd.DataFrame(columns).rename(index=label).rename_axis(None)


def gate_levels(runs: list[Run]) -> dict[str, pd.DataFrame]:
    """Return the mIoU that is lost without the gates of each level, and the spread of the gates.

    Returns:
        {label: columns value, low, high, spread}, indexed by level, the finest first, then "all levels". The
        value is the mIoU lost when each gate map is replaced by its mean over the image. The spread is the
        mean standard deviation of the gate's values within an image, 0 to 1; NaN in the last row.
    """
    levels = {}
    for network, group, files in _groups(runs, "gates"):
        sums = [  # neutral: (N, L + 1, C, C)
            {"own": run.test()["confusion"], "neutral": np.moveaxis(arrays["neutral_confusion"], 0, 1)}
            for run, arrays in zip(group, files, strict=True)
        ]
        frame = with_interval(group, sums, _lost)
        spread = np.mean([arrays["std"].mean((0, 2)) for arrays in files], axis=0)
        frame["spread"] = [*spread, np.nan]
        levels[network] = frame.set_axis([*(f"level {k}" for k in files[0]["levels"]), "all levels"])
    return levels


def _lost(own: np.ndarray, neutral: np.ndarray) -> np.ndarray:
    return np.asarray(mean_iou(own))[..., None] - mean_iou(neutral)


def shifted_scores(runs: list[Run]) -> dict[str, pd.DataFrame]:
    """Return the mIoU on the shifted test sets.

    Returns:
        {label: columns value, low, high}, indexed by condition; "clean", the unchanged scenes, comes first.
    """
    curves = {}
    for network, group, files in _groups(runs, "shifts"):
        sums = []
        for run, arrays in zip(group, files, strict=True):
            clean = run.test()["confusion"][: arrays["confusion"].shape[1]]
            sums.append({"confusion": np.stack([clean, *arrays["confusion"]], axis=1)})  # (N, K + 1, C, C)
        frame = with_interval(group, sums, mean_iou)
        curves[network] = frame.set_axis(["clean", *map(str, files[0]["kinds"])])
    return curves


def shifted_street(study: Study, scores: dict[str, pd.DataFrame]) -> dict[str, np.ndarray]:
    """Return the first test scene under each condition of `shifted_scores`, {kind: uint8 (S, S, 3)}."""
    kinds = list(next(iter(scores.values())).index) if scores else []
    size = study.recipe("unet").size
    splits = [study.split("test", size) if kind == "clean" else study.shifted(kind, size) for kind in kinds]
    return {kind: np.asarray(split.images[0]) for kind, split in zip(kinds, splits, strict=True)}


def gate_maps(runs: list[Run], by_class: bool = False) -> tuple[dict[str, dict], dict[str, np.ndarray]]:
    """Return the gate maps of the first seed of each network, and their images.

    Args:
        runs: Evaluated runs.
        by_class: Choose networks with one map per class instead of one map per level.

    Returns:
        `Run.gates()` by label, and `Run.predictions()` of the first network.
    """
    gates, predictions = {}, {}
    for name, group in by_variant([run for run in runs if run.gates_path.exists()]).items():
        maps = group[0].gates()
        if (maps["maps1"].shape[1] > 1) == by_class:
            gates[label(name)] = maps
            predictions = predictions or group[0].predictions()
    return gates, predictions


def histories(runs: list[Run], *variants: str) -> dict[str, dict[int, pd.DataFrame]]:
    """Return training histories by network and seed, {label: {seed: history}}, for common seeds only."""
    by_seed = {name: {run.seed: run.history() for run in runs if run.variant == name} for name in variants}
    common = set.intersection(*(set(seeds) for seeds in by_seed.values()))
    if not common:
        return {}
    return {label(name): {seed: seeds[seed] for seed in sorted(common)} for name, seeds in by_seed.items()}


def gradient_ratios(runs: list[Run], epochs: int) -> dict[str, pd.DataFrame]:
    """Return the ratio of gradient to weight norms by layer over the first `epochs`.

    Returns:
        {label: columns value, low, high}, indexed by layer in the order of the forward pass. The value is the
        geometric mean over epochs and seeds; low and high are the lowest and highest seed.
    """
    ratios = {}
    for network, _, tables in _groups(runs, "gradients"):
        seeds = []
        for table in tables:
            table = table[table["epoch"] <= epochs]
            seeds.append(np.log10(table["ratio"]).groupby(table["layer"], sort=False).mean())
        table = pd.concat(seeds, axis=1)
        ratios[network] = 10 ** pd.DataFrame(
            {"value": table.mean(axis=1), "low": table.min(axis=1), "high": table.max(axis=1)}
        )
    return ratios
