"""From runs to the curves that the evidence is drawn as: by distance to an edge, by size, by class, by level.

Every curve comes with the 95 % CI over test images, seeds fixed, of `segnb.stats.bootstrap`.
A function gives an empty result where the files that it needs were not written.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from segnb.evaluation.scores import scores
from segnb.metrics import boundaries, objects
from segnb.metrics.confusion import class_iou, mean_iou, ratio
from segnb.models.registry import VARIANTS, label
from segnb.stats.bootstrap import interval
from segnb.study.study import Run, Study, by_variant

# Ends of the bins by area that `size_curves` draws: those of small, medium and large, and one within each.
SIZE_BINS = tuple(end * times for end in objects.AREAS for times in (1, 2))


def with_interval(
    group: list[Run], sums: list[dict[str, np.ndarray]], reduce: Callable[..., np.ndarray]
) -> pd.DataFrame:
    """Tabulate the mean of a metric over seeds, with its interval.

    Args:
        group: runs of which any has the names of the test images.
        sums: per seed arrays (N, ...) whose sums over images `reduce` takes by name, giving (...) or (K,).
        reduce: see `segnb.stats.bootstrap.resample`.

    Returns:
        Columns value, low, high; NaN for one image. `attrs` has how many images and seeds there are.
    """
    values = [reduce(**{name: one.sum(0) for name, one in arrays.items()}) for arrays in sums]
    names = group[0].test()["names"]
    low, high = interval(sums, reduce, names)
    columns = {"value": np.mean(values, axis=0), "low": low, "high": high}
    frame = pd.DataFrame({name: np.atleast_1d(column) for name, column in columns.items()})
    frame.attrs.update(images=len(names), seeds=len(sums))  # which the caption names
    return frame


def if_empty(found, sentence: str) -> str:
    """The sentence where there is nothing to draw, "" otherwise."""
    return "" if len(found) else sentence


def _groups(runs: list[Run], file: str) -> Iterator[tuple[str, list[Run], list]]:
    """Yield label, runs of each seed, and what `Run.<file>()` reads of each, of those that have that file."""
    there = [run for run in runs if getattr(run, f"{file}_path").exists()]
    for name, group in by_variant(there).items():
        yield label(name), group, [getattr(run, file)() for run in group]


# --- of every network ---


def trimap_curves(runs: list[Run]) -> dict[str, pd.DataFrame]:
    """IoU by distance from the nearest true edge, {label: value, low, high; indexed by the bin in words}."""
    names = ("trimap_hits", "trimap_truth", "trimap_predicted")
    curves = {}
    for network, group, files in _groups(runs, "boundary"):
        sums = [{name: one[name] for name in names} for one in files]
        curve = with_interval(group, sums, boundaries.trimap)
        curves[network] = curve.set_axis(_bins_in_words(files[0]["trimap_edges"]))
    return curves


def _bins_in_words(edges: np.ndarray) -> list[str]:
    """Half-open bins of distances in words: (0, 1, 3, inf) -> 0–1, 1–3, 3+."""
    pairs = zip(edges[:-1], edges[1:], strict=True)
    return [f"{low:g}–{high:g}" if np.isfinite(high) else f"{low:g}+" for low, high in pairs]


def size_curves(runs: list[Run]) -> dict[str, pd.DataFrame]:
    """Recall of objects by size, {label: area, value, low, high}.

    area: px, the median of the bin's objects; bins without any are left out. Networks that were tested at one
    size have the same bins. `attrs` of a curve: "ends", see `objects.pixel_ends`, and "size" of the images.
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
    """Recall of objects by how much of each is in sight, {label: value, low, high; indexed by words}.

    Empty where nobody knows how much is in sight, as in photographs.
    """
    curves = {}
    for network, group, tables in _groups(runs, "objects"):
        if np.isfinite(tables[0]["visible"]).any():
            curve = _recall_by(group, tables, "visible", objects.VISIBLE)
            curves[network] = curve.set_axis(objects.VISIBILITIES)
    return curves


def _recall_by(group: list[Run], tables: list[pd.DataFrame], column: str, edges: tuple) -> pd.DataFrame:
    images = len(group[0].test()["names"])
    sums = [objects.binned(table, table[column], edges, images) for table in tables]
    counted = [{"found": one["found"], "count": one["count"]} for one in sums]
    return with_interval(group, counted, lambda found, count: ratio(found, count))


# --- of pairs and families ---


def class_gains(runs: list[Run], plus: str, minus: str) -> pd.DataFrame:
    """IoU by class of one variant minus that of another: value, low, high; indexed by class, best first.

    Only seeds that both have. Classes in no test image are left out.
    """
    pairs = _paired(runs, plus, minus)
    if not pairs:
        return pd.DataFrame()
    sums = [{"one": one.test()["confusion"], "other": other.test()["confusion"]} for one, other in pairs]
    gains = with_interval(runs, sums, lambda one, other: class_iou(one) - class_iou(other))
    gains.index = pd.Index(runs[0].study.classes.names, name="class")
    return gains.dropna(subset="value").sort_values("value", ascending=False)


def _paired(runs: list[Run], plus: str, minus: str) -> list[tuple[Run, Run]]:
    """(run of plus, run of minus) of each seed that both have."""
    here = {(run.variant, run.seed): run for run in runs}
    seeds = sorted(seed for variant, seed in here if variant == plus)
    return [(here[plus, seed], here[minus, seed]) for seed in seeds if (minus, seed) in here]


def stride_bounds(study: Study, runs: list[Run]) -> pd.DataFrame:
    """FCN scores beside the best that any network of that stride could reach.

    Indexed by label: stride, miou (mean over seeds), low, high (interval), bound (mIoU of perfect
    scores on the stride's grid, see `boundaries.stride_bound`). Empty without FCNs.
    """
    groups = {name: group for name, group in by_variant(runs).items() if VARIANTS[name].family == "fcn"}
    if not groups:
        return pd.DataFrame()
    table = scores([run for group in groups.values() for run in group])
    labels = np.asarray(study.split("test", study.recipe("fcn").size).labels)
    strides = {name: VARIANTS[name].config.stride for name in groups}
    bounds = {
        stride: float(mean_iou(boundaries.stride_bound(labels, stride, len(study.classes)).sum(0)))
        for stride in set(strides.values())
    }
    rows = {}
    for name in groups:
        score = dict(table.loc[name, ["miou", "low", "high"]])
        rows[label(name)] = {"stride": strides[name], **score, "bound": bounds[strides[name]]}
    return pd.DataFrame.from_dict(rows, orient="index")


def gate_levels(runs: list[Run]) -> dict[str, pd.DataFrame]:
    """What gates do, by level: {label: value, low, high (mIoU lost with the level's gate at its image mean),
    spread (mean within-image standard deviation of the gate's values, 0 to 1; NaN in the last row)}.

    Indexed by level in words, finest first; the last row is all levels at once.
    """
    levels = {}
    for network, group, files in _groups(runs, "gates"):
        sums = [  # neutral: (N, L + 1, C, C)
            {"own": run.test()["confusion"], "neutral": np.moveaxis(one["neutral_confusion"], 0, 1)}
            for run, one in zip(group, files, strict=True)
        ]
        frame = with_interval(group, sums, _lost)
        spread = np.mean([one["std"].mean((0, 2)) for one in files], axis=0)
        frame["spread"] = [*spread, np.nan]
        levels[network] = frame.set_axis([*(f"level {k}" for k in files[0]["levels"]), "all levels"])
    return levels


def _lost(own: np.ndarray, neutral: np.ndarray) -> np.ndarray:
    return np.asarray(mean_iou(own))[..., None] - mean_iou(neutral)


def shifted_scores(runs: list[Run]) -> dict[str, pd.DataFrame]:
    """mIoU on the shifted test sets, {label: value, low, high}; indexed by kind, "clean" first.

    Clean is the same networks on the same streets as they are.
    """
    curves = {}
    for network, group, files in _groups(runs, "shifts"):
        sums = []
        for run, one in zip(group, files, strict=True):
            clean = run.test()["confusion"][: one["confusion"].shape[1]]
            sums.append({"confusion": np.stack([clean, *one["confusion"]], axis=1)})  # (N, K + 1, C, C)
        frame = with_interval(group, sums, lambda confusion: mean_iou(confusion))
        curves[network] = frame.set_axis(["clean", *map(str, files[0]["kinds"])])
    return curves


def shifted_street(study: Study, scores: dict[str, pd.DataFrame]) -> dict[str, np.ndarray]:
    """The first test scene under each condition of `shifted_scores`: {kind: uint8 (S, S, 3)}."""
    kinds = list(next(iter(scores.values())).index) if scores else []
    size = study.recipe("unet").size
    splits = {
        kind: study.split("test", size) if kind == "clean" else study.shifted(kind, size) for kind in kinds
    }
    return {kind: np.asarray(split.images[0]) for kind, split in splits.items() if split is not None}


def gate_maps(runs: list[Run], by_class: bool = False) -> tuple[dict[str, dict], dict[str, np.ndarray]]:
    """Gates of networks with one map a level, or with one a class: {label: what `Run.gates()` gives}.

    Of the first seed of each; and the images that they were shown, as `Run.predictions()` gives them.
    """
    gates, kept = {}, {}
    for name, group in by_variant([run for run in runs if run.gates_path.exists()]).items():
        found = group[0].gates()
        if (found["maps1"].shape[1] > 1) == by_class:
            gates[label(name)] = found
            kept = kept or group[0].predictions()
    return gates, kept


def histories(runs: list[Run], *variants: str) -> dict[str, dict[int, pd.DataFrame]]:
    """Histories of networks by seed, {label: {seed: history}}, of seeds that all of them have."""
    found = {name: {run.seed: run.history() for run in runs if run.variant == name} for name in variants}
    common = set.intersection(*(set(seeds) for seeds in found.values()))
    if not common:
        return {}
    return {label(name): {seed: seeds[seed] for seed in sorted(common)} for name, seeds in found.items()}


def gradient_ratios(runs: list[Run], epochs: int) -> dict[str, pd.DataFrame]:
    """Gradient-to-weight ratio by layer over the first `epochs`, {label: value, low, high}.

    Mean over epochs and seeds, of logarithms; low and high are the lowest and highest seed. Indexed by layer,
    in the order in which an image passes them.
    """
    ratios = {}
    for network, _, tables in _groups(runs, "gradients"):
        seeds = []
        for table in tables:
            table = table[(table["epoch"] <= epochs) & (table["ratio"] > 0)]
            seeds.append(np.log10(table["ratio"]).groupby(table["layer"], sort=False).mean())
        table = pd.concat(seeds, axis=1)
        ratios[network] = 10 ** pd.DataFrame(
            {"value": table.mean(axis=1), "low": table.min(axis=1), "high": table.max(axis=1)}
        )
    return ratios
