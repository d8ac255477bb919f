"""Figures of attention gates: their maps, the mIoU lost without them, scores under shifted conditions."""

from functools import partial
from itertools import chain

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from segnb.claims.wording import counted, sentence
from segnb.evaluation.scores import class_counts
from segnb.labels import ClassMap
from segnb.report.figures.axes import (
    inches_of_names,
    legend_of_networks,
    name_ends,
    network_points,
    panel,
    picture_rows,
    scale_below,
)
from segnb.report.figures.findings import extremes, points, same_signs
from segnb.report.figures.images import OPEN, evenly, marked
from segnb.report.figures.style import FAINT, INK, SMALL, WIDTH, Picture, error_bars, figure, short, wrapped

SCALE = {"cmap": OPEN, "vmin": 0, "vmax": 1}
VALUE = "gate value (0 is closed, 1 is open)"
LOSS = partial(points, sign=False)  # prints a level


def _levels(gates: dict[str, np.ndarray], i: int) -> list[np.ndarray]:
    """Return the gate maps of stored image i, one array per level: float32 (M, h, w)."""
    return [gates[f"maps{k}"][i].astype(np.float32) for k in gates["levels"]]


def _titles(first: str, levels: list[np.ndarray]) -> list[str]:
    return [first, *(f"Level {k}" for k in range(1, len(levels) + 1))]


@figure
def attention(gates: dict[str, dict[str, np.ndarray]], saved: dict[str, np.ndarray]) -> Picture:
    """Draw gate maps of two stored images: a row per image and network, a column per level.

    Args:
        gates: {label: result of `Run.gates()`} of networks with one map per level
        saved: result of `Run.predictions()` for the same images
    """
    pairs = [(i, label) for i in evenly(len(saved["names"]), 2) for label in gates]
    maps = [[level.mean(0) for level in _levels(gates[label], i)] for i, label in pairs]
    rows = [
        (wrapped(label, 15), [saved["images"][i], *levels])
        for (i, label), levels in zip(pairs, maps, strict=True)
    ]
    fig, axes = picture_rows(rows, _titles("Image", maps[0]), 1.05, 0.2, **SCALE)
    for ax, level in zip(axes[:, 1:].flat, chain(*maps), strict=True):
        ax.set_xlabel(f"{level.mean():.2f} ± {level.std():.2f}", labelpad=3, fontsize=SMALL)
    texts, means = [], {}
    for (i, label), levels in zip(pairs, maps, strict=True):
        name = saved["names"][i]
        means |= {f"{label}, level {k}, {name}": level.mean() for k, level in enumerate(levels, start=1)}
        texts.append(f"{label}, {name}: mean {', '.join(f'{level.mean():.2f}' for level in levels)}")
    scale_below(fig, axes.flat, axes[0, 1].images[0], VALUE)
    return fig.described(
        f"Maps of the attention gates per level, finest first, for {len(rows)} pairs of image and network."
        f" {'; '.join(texts)}.",
        f"The mean of a map is {extremes(pd.Series(means), thing='maps')}. A gate lets the skip through where"
        " its map is bright and blocks it where the map is dark. Below each map are its mean and standard"
        " deviation (±); a gate with the same value everywhere selects nothing. n:"
        f" {counted(len(rows) // len(gates), 'image')}, evenly spaced over the stored images, and the first"
        " seed of each network.",
    ).shows(gates, "gate_*", "let_through")


@figure
def class_attention(gates: dict[str, np.ndarray], saved: dict[str, np.ndarray], classes: ClassMap) -> Picture:
    """Draw class gates on one image: a row per class, a column per level.

    The image is the stored image with the most classes in its ground truth. The classes are up to five of
    these, evenly spaced from the most to the fewest pixels.
    """
    counts = class_counts(saved["labels"], len(classes))
    i = int((counts > 0).sum(1).argmax())
    present = [k for k in np.argsort(-counts[i], kind="stable") if counts[i, k]]
    chosen = [present[k] for k in evenly(len(present), 5)]
    maps = _levels(gates, i)
    rows, texts = [], []
    inside, outside = {}, {}
    for k in chosen:
        name = "\n".join(short(part, 16) for part in wrapped(classes.names[k], 16).split("\n")[:2])
        where = saved["labels"][i] == k
        rows.append((name, [marked(saved["images"][i], where, INK), *(level[k] for level in maps)]))
        texts.append(f"{classes.names[k]} {', '.join(f'{level[k].mean():.2f}' for level in maps)}")
        if not where.all():
            inside[classes.names[k]] = maps[0][k][where].mean()
            outside[classes.names[k]] = maps[0][k][~where].mean()
    fig, axes = picture_rows(rows, _titles("The class", maps), 1.0, **SCALE)
    scale_below(fig, axes.flat, axes[0, 1].images[0], VALUE)
    return fig.described(
        f"Maps of the class gates for {len(chosen)} classes in {saved['names'][i]}, a column per level,"
        f" finest first. Means: {'; '.join(texts)}.",
        f"{class_contrast(inside, outside)} Each class has its own gate, trained to be bright"
        " on the class; in the left column, the pixels of the class are black. The image is the stored image"
        " with the most classes, and the classes are evenly spaced from the largest to the smallest.",
    )


def class_contrast(inside: dict[str, float], outside: dict[str, float]) -> str:
    """Say which class gate differs most between its class and the rest: mean values at level 1, 0 to 1."""
    gaps = (pd.Series(inside) - pd.Series(outside)).dropna()
    if gaps.empty:
        return ""
    name = gaps.idxmax()
    if gaps[name] < 0.01:
        return "At level 1, no gate is on average more open on its class than elsewhere."
    return sentence(
        f"at level 1, the gate of {name} has a mean value of {inside[name]:.2f} on the class and"
        f" {outside[name]:.2f} elsewhere" + (", the largest difference" if len(gaps) > 1 else "")
    )


def _spread(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the variation within an image as values without intervals, without the row of all levels."""
    return frame[["spread"]].iloc[:-1].set_axis(["value"], axis=1).assign(low=np.nan, high=np.nan)


@figure
def worth(levels: dict[str, pd.DataFrame]) -> Picture:
    """Draw the mIoU lost without each gate, and its variation; `segnb.report.curves.gate_levels`."""
    names = max((frame.index for frame in levels.values()), key=len)
    fig = Picture(height=3.3 + 0.22 * -(-len(levels) // 3))
    left, right = fig.subplots(1, 2)
    lost = {label: 100 * frame[["value", "low", "high"]] for label, frame in levels.items()}
    network_points(left, lost, 0.16, size=4.5)  # larger marks hide the error bars
    network_points(right, {label: _spread(frame) for label, frame in levels.items()}, 0.16)
    top = np.nanmax([frame["spread"].max() for frame in levels.values()])
    left.axhline(0, color=INK, lw=1.2, zorder=1)
    left.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names])
    left.set(title="mIoU lost without the gate", ylabel="points of mIoU")
    right.set_xticks(range(len(names) - 1), [name.replace(" ", "\n") for name in names[:-1]])
    right.set(title="variation within an image", ylabel="standard deviation", ylim=(0, 1.1 * top or 1))
    legend_of_networks(fig, levels)
    values = "; ".join(f"{label} {', '.join(map(LOSS, frame['value']))}" for label, frame in levels.items())
    return fig.described(
        "Points of mIoU lost if the gate of a level, or of all levels, is replaced by its mean over the"
        f" image: {values}.",
        f"{gate_losses(levels)} On the left, a gate is replaced by its mean over the image, so"
        " that it selects nothing. On the right, a standard deviation of 0 means that the gate has the same"
        f" value everywhere in an image.{error_bars(levels.values())}",
    ).shows(levels, *(f"lost:{level}" for level in (1, 2, 3, 4, "all")), "gate_variation:*")


def gate_losses(levels: dict[str, pd.DataFrame]) -> str:
    """Say which gate is worth most and least, and for how many gates all seeds agree.

    levels: {label: frame indexed by level, columns value, by_seed: mIoU lost without the gate}
    """
    cells = pd.concat({label: frame[["value", "by_seed"]] for label, frame in levels.items()})
    losses = cells["value"].set_axis(map(", ".join, cells.index))
    agreement = same_signs(cells["by_seed"], "losses")
    return sentence(f"the loss in points of mIoU is {extremes(losses, LOSS, 'gates')}{agreement}")


@figure
def shifts(scores: dict[str, pd.DataFrame], images: dict[str, np.ndarray]) -> Picture:
    """Draw one street under each condition, and below it the scores under each condition.

    Args:
        scores: `segnb.report.curves.shifted_scores` of networks with and without gates
        images: {condition: uint8 (S, S, 3)}, "clean" first
    """
    kinds = list(next(iter(scores.values())).index)
    tall = max(2.6, inches_of_names(scores))
    heights = WIDTH / len(kinds) + 0.3, tall + 0.6
    fig = Picture(height=sum(heights))
    top, bottom = fig.subfigures(2, 1, height_ratios=heights)
    for ax, kind in zip(top.subplots(1, len(kinds)), kinds, strict=True):
        panel(ax, images[kind], kind)
    ax = bottom.subplots()
    ends = network_points(ax, scores, 0.11)
    for place in np.arange(len(kinds) - 1) + 0.5:
        ax.axvline(place, color=FAINT, lw=1)
    ax.set_xticks(range(len(kinds)), kinds)
    ax.set(ylabel="test mIoU (1 is perfect)", xlim=(-0.5, len(kinds) - 0.5))
    ax.grid(False, axis="x")
    ax.yaxis.set_major_locator(MaxNLocator(6))
    name_ends(ax, {label: (len(kinds) - 0.5, y) for label, (_, y) in ends.items()}, tall)
    values = "; ".join(
        f"{label}: {', '.join(f'{kind} {value:.3f}' for kind, value in frame['value'].items())}"
        for label, frame in scores.items()
    )
    return fig.described(
        f"One street under each condition ({', '.join(kinds)}), and the test mIoU of networks with and"
        f" without gates under each. {values}.",
        f"{largest_drop(scores)} A network's loss is the distance from its clean score down to"
        " its score under the condition; the mIoU axis does not start at 0. The images show the first street"
        f" of the test set, and no network saw such conditions in training.{error_bars(scores.values())}",
    ).shows(scores, "shift:*")


def largest_drop(scores: dict[str, pd.DataFrame]) -> str:
    """Say under which condition mIoU falls most on average, and by how much for which network.

    scores: {label: frame indexed by condition, the first of them clean, with a column value}
    """
    values = pd.DataFrame({label: frame["value"] for label, frame in scores.items()})
    drops = values.iloc[0] - values.iloc[1:]
    kind = drops.mean(axis=1).idxmax()
    row = drops.loc[kind]
    if row.mean() <= 0:
        return "On average, mIoU falls under no condition."
    return sentence(f"{kind} costs most points of mIoU: {extremes(row, LOSS)}")
