"""Figures of scores and costs, by network or class."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from segnb.report.figures.axes import class_rows, inches_of_names, name_ends, wrapped
from segnb.report.figures.style import INK, SMALL, WIDTH, Picture, figure, look, sample


@figure
def score_bars(scores: pd.DataFrame) -> Picture:
    """Bars of test mIoU and test loss, one row a network.

    scores: indexed by label; columns miou, low, high (interval), loss, and seeds_miou, seeds_loss:
            lists with a value a seed
    """
    fig = Picture(height=0.42 * len(scores) + 0.85)
    left, right = fig.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    rows = np.arange(len(scores))
    reach = np.nanmax(scores[["high", "miou"]].to_numpy())
    for ax, column in ((left, "miou"), (right, "loss")):
        for y, (label, row) in zip(rows, scores.iterrows(), strict=True):
            one = look(label)
            ax.barh(
                y,
                row[column],
                height=0.62,
                color=one.fill,
                edgecolor=one.colour,
                lw=1.5,
                hatch="////" if one.frozen else None,
            )
            seeds = row[f"seeds_{column}"]
            if len(seeds) > 1:
                ax.plot(seeds, [y + 0.2] * len(seeds), "o", ms=4.5, mfc="white", mec=INK, mew=1)
            end = max([row[column], *seeds])
            if column == "miou" and not np.isnan(row.low):
                for colour, thick in (("white", 3.6), (INK, 1.6)):  # the white edge shows it on dark bars
                    ax.plot([row.low, row.high], [y, y], color=colour, lw=thick, marker="|", ms=8, mew=thick)
                end = max(end, row.high)
            room = 0.02 * (reach if column == "miou" else scores["loss"].max())
            ax.text(end + room, y, f"{row[column]:.3f}", va="center", fontsize=SMALL)
    left.set(
        yticks=rows,
        yticklabels=map(wrapped, scores.index),
        xlabel="test mIoU, 1 is perfect",
        xlim=(0, 1.17 * reach),
    )
    loss_reach = max(max(seeds) for seeds in scores["seeds_loss"])
    right.set(xlabel="test loss, nats", xlim=(0, 1.3 * loss_reach))
    left.invert_yaxis()
    for ax in (left, right):
        ax.grid(False, axis="y")
        ax.tick_params(axis="y", length=0)
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    several = max(map(len, scores["seeds_miou"])) > 1
    told = [_with_interval(label, row) for label, row in scores.iterrows()]
    return fig.described(
        f"Bars of test mIoU with 95 % intervals and of test loss. mIoU: {'; '.join(told)}.",
        "Black lines: 95 % interval for these very networks on new images of the same kind; another"
        " training is not in it."
        + (" Dots: single seeds, of which the bar is the mean." if several else "")
        + (" Hatched: frozen trunk." if any(look(label).frozen for label in scores.index) else "")
        + sample([scores]),
    )


def _with_interval(label: str, row) -> str:
    interval = "" if np.isnan(row.low) else f" ({row.low:.3f} to {row.high:.3f})"
    return f"{label} {row.miou:.3f}{interval}"


@figure
def class_scores(iou: pd.DataFrame) -> Picture:
    """Heat map of test IoU: a row a class (and the mean), a column a network; NaN where a class is absent."""
    classes, inches = class_rows(iou.index)
    left = max(len(line) for name in classes for line in name.split("\n")) * 0.075
    upright = (WIDTH - 0.2 - left) / len(iou.columns) < 0.75  # inches; names that do not fit are turned
    fig = Picture(height=inches * len(iou) + (2.1 if upright else 1.3))
    ax = fig.subplots()
    colours = mpl.colormaps["YlGnBu"].with_extremes(bad="#eceef0")
    ax.imshow(iou, aspect="auto", cmap=colours, vmin=0, vmax=1)
    for (y, x), value in np.ndenumerate(iou.to_numpy()):
        text = "–" if np.isnan(value) else f"{value:.2f}"
        weight = "bold" if iou.index[y] == "mIoU" else "normal"
        ax.text(
            x,
            y,
            text,
            ha="center",
            va="center",
            fontsize=SMALL,
            weight=weight,
            color="white" if value > 0.66 else INK,
        )
    names = [wrapped(label, 24 if upright else 12) for label in iou.columns]
    ax.set(xticks=range(len(names)), yticks=range(len(iou)))
    ax.set_xticklabels(names, fontsize=SMALL, rotation=90 if upright else 0)
    ax.set_yticklabels(classes)
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.grid(False)
    ax.set_frame_on(False)
    ax.hlines(np.arange(len(iou) + 1) - 0.5, -0.5, len(names) - 0.5, color="white", lw=1.5)
    if "mIoU" in iou.index:
        ax.axhline(list(iou.index).index("mIoU") - 0.5, color=INK, lw=1.2)
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
    for ax, (column, (title, unit)) in zip(axes, units.items(), strict=True):
        for label, row in table.iterrows():
            one, x = look(label), row[column] * unit
            if not np.isnan(row.low):
                ax.plot([x, x], [row.low, row.high], color=one.colour, lw=1.2, zorder=1)
            # Marks that lie on each other stay apart: hollow ones let the others through.
            fill, edge = ("none", one.colour) if one.frozen else (one.colour, "white")
            thick = 1.8 if one.frozen else 0.7
            ax.plot(x, row.miou, one.marker, mfc=fill, mec=edge, mew=thick, ms=8.5, clip_on=False)
        ax.set(xlabel=title, xlim=(0, 1.12 * table[column].max() * unit))
        ax.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    axes[0].set_ylabel("test mIoU, 1 is perfect")
    axes[0].margins(y=0.1)
    name_ends(axes[-1], {label: (row.parameters / 1e6, row.miou) for label, row in table.iterrows()}, tall)
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
