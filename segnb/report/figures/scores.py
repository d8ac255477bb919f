"""Figures of scores and costs, by network or class."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from segnb.report.figures.axes import (
    inches_of_names,
    name_ends,
    name_rows,
    network_bars,
    network_points,
    row_names,
    single_runs,
    wrapped,
)
from segnb.report.figures.style import INK, SMALL, WIDTH, Picture, figure, sample, style_of
from segnb.report.text import with_interval


@figure
def score_bars(scores: pd.DataFrame) -> Picture:
    """Bars of test mIoU and test loss, one row a network.

    scores: indexed by label; columns miou, low, high (interval), loss, and seeds_miou, seeds_loss:
            lists with a value a seed
    """
    fig = Picture(height=0.42 * len(scores) + 0.85)
    axes = fig.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    for ax, column, room in zip(axes, ("miou", "loss"), (1.17, 1.3), strict=True):
        network_bars(ax, scores, column, 0.62)
        name_rows(ax, map(wrapped, scores.index))
        seeds = scores[f"seeds_{column}"]
        several = single_runs(ax, seeds, 0.2, marker="o", ms=4.5, mfc="white", mec=INK, mew=1)
        ends = np.fmax(scores[column], seeds.map(max))
        if column == "miou":
            ends = np.fmax(ends, scores["high"])
        for y, (end, value) in enumerate(zip(ends, scores[column], strict=True)):
            ax.text(end + 0.02 * ends.max(), y, f"{value:.3f}", va="center", fontsize=SMALL)
        ax.set_xlim(0, room * ends.max() or 1)
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes[0].set_xlabel("test mIoU, 1 is perfect")
    axes[1].set_xlabel("test loss, nats")
    told = [f"{label} {with_interval(row)}" for label, row in scores.iterrows()]
    return fig.described(
        f"Bars of test mIoU with 95 % intervals and of test loss. mIoU: {'; '.join(told)}.",
        "Black lines: 95 % interval for these very networks on new images of the same kind; another"
        " training is not in it."
        + (" Dots: single seeds, of which the bar is the mean." if several else "")
        + (" Hatched: frozen trunk." if any(style_of(label).frozen for label in scores.index) else "")
        + sample([scores]),
    )


@figure
def class_scores(iou: pd.DataFrame) -> Picture:
    """Heat map of test IoU: a row a class (and the mean), a column a network; NaN where a class is absent."""
    classes, inches = row_names(iou.index)
    left = max(len(line) for name in classes for line in name.split("\n")) * 0.075
    upright = (WIDTH - 0.2 - left) / len(iou.columns) < 0.75  # inches; names that do not fit are turned
    fig = Picture(height=inches * len(iou) + (2.1 if upright else 1.3))
    ax = fig.subplots()
    sns.heatmap(
        iou,
        vmin=0,
        vmax=1,
        cmap=mpl.colormaps["YlGnBu"].with_extremes(bad="#eceef0"),
        annot=True,
        fmt=".2f",
        annot_kws={"fontsize": SMALL},
        linewidths=0.8,
        cbar=False,
        xticklabels=[wrapped(label, 24 if upright else 12) for label in iou.columns],
        yticklabels=classes,
        ax=ax,
    )
    for y, x in np.argwhere(iou.isna()):
        ax.text(x + 0.5, y + 0.5, "–", ha="center", va="center", fontsize=SMALL)
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.tick_params("x", rotation=90 if upright else 0)
    ax.tick_params("y", rotation=0)
    ax.set(xlabel="", ylabel="")
    ax.grid(False)
    if "mIoU" in iou.index:
        mean = iou.index.get_loc("mIoU")
        ax.axhline(mean, color=INK, lw=1.2)
        for text in ax.texts:
            text.set_weight("bold" if text.get_position()[1] > mean else "normal")
    best = iou.max(axis=1)
    told = ", ".join(f"{name} {value:.2f}" for name, value in best.items() if not np.isnan(value))
    absent = ", ".join(name for name, value in best.items() if np.isnan(value))
    return fig.described(
        f"Heat map of test IoU by class for {'; '.join(iou.columns)}. Best of them by class: {told}."
        + (f" Not in the test images: {absent}." if absent else ""),
        "IoU by class, from 0 (light) to 1 (dark, perfect): along a row, which network is better at a class;"
        " down a column, what a network is bad at. Without intervals."
        + (" A dash: the class is in no test image." if absent else "")
        + sample([iou]),
    )


@figure
def cost_quality(table: pd.DataFrame) -> Picture:
    """Quality against cost, one point a network.

    table: indexed by label; columns miou, low, high, predict_seconds, train_seconds, parameters
    """
    tall = max(2.4, inches_of_names(table.index))
    fig = Picture(height=tall + 0.75)
    axes = fig.subplots(1, 3, sharey=True)
    units = {
        "predict_seconds": ("predicting,\nms an image", 1e3),
        "train_seconds": ("training,\nms an image", 1e3),
        "parameters": ("parameters,\nmillions", 1e-6),
    }
    drawn = table.rename(columns={"miou": "value"})
    drawn = drawn.assign(**{column: factor * table[column] for column, (_, factor) in units.items()})
    curves = {label: drawn.loc[[label]] for label in drawn.index}
    for ax, (column, (title, _)) in zip(axes, units.items(), strict=True):
        ends = network_points(ax, curves, x=column, size=8.5)
        ax.set(xlabel=title, xlim=(0, 1.12 * drawn[column].max()))
        ax.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    axes[0].set_ylabel("test mIoU, 1 is perfect")
    axes[0].margins(y=0.1)
    name_ends(axes[-1], ends, tall)
    told = [
        f"{label} {row.miou:.3f} at {1e3 * row.predict_seconds:.1f} ms and {row.parameters / 1e6:.2f} million"
        for label, row in table.iterrows()
    ]
    return fig.described(
        "Test mIoU against time to predict an image, time to train on one, and parameters."
        f" mIoU at prediction time and parameters: {'; '.join(told)}.",
        "Up and to the left is better"
        + ("; mIoU does not begin at 0 here" if axes[0].get_ylim()[0] > 0 else "")
        + ". Lines: 95 % interval for these networks"
        f" on new images.{sample([table])}",
    )
