"""Figures of scores and costs per network and class."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from segnb.claims.wording import sentence
from segnb.report.figures.axes import (
    inches_of_names,
    name_ends,
    name_rows,
    network_bars,
    network_points,
    single_runs,
)
from segnb.report.figures.findings import by_family, extremes, few, names, points, tied_in_time
from segnb.report.figures.style import (
    INK,
    SMALL,
    STUDY,
    WIDTH,
    Picture,
    error_bars,
    figure,
    row_names,
    sample,
    style_of,
    wrapped,
)
from segnb.report.text import with_interval


@figure
def score_bars(scores: pd.DataFrame, study: pd.DataFrame) -> Picture:
    """Draw bars of test mIoU and test loss, one row per network.

    Args:
        scores: indexed by label; columns miou, low, high (interval), loss, and seeds_miou, seeds_loss (lists
            with one value per seed)
        study: the study's values, from `segnb.audit.scores.study_scores`
    """
    study = study.reindex(scores.index)
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
        ax.plot(study[column], np.arange(len(scores)) + 0.37, ls="", **STUDY, zorder=4)
        ax.set_xlim(0, np.fmax(room * ends.max() or 1, 1.04 * study[column].max()))
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes[0].set_xlabel("test mIoU (1 is perfect)")
    axes[1].set_xlabel("test loss (nats)")
    values = [f"{label} {with_interval(row)}" for label, row in scores.iterrows()]
    reading = " A high mIoU and a low loss are better."
    if any(style_of(label).frozen for label in scores.index):
        reading += " Hatched bars are networks with a frozen backbone."
    if several:
        reading += " Dots are single seeds, and each bar is their mean."
    published = bool(study[["miou", "loss"]].notna().any(axis=None))
    theirs = published * (
        " Diamonds are the study's values on its own images, with the mean of its class IoUs as mIoU; where a"
        " bar has none, the study published no value. Do not compare them with the scores of this report;"
        " “The study's reported scores” says why."
    )
    return fig.described(
        f"Bars of test mIoU with 95% confidence intervals and of test loss. mIoU: {'; '.join(values)}."
        f"{theirs}",
        f"{highest(scores)}{reading}{theirs}{error_bars([scores])}",
    ).shows(scores.index, "miou", "best:*")


def highest(scores: pd.DataFrame) -> str:
    """Say which network of each family has the highest mIoU, and how far it is above the second.

    Families are not compared, because their images differ in size.

    scores: indexed by label; columns miou, low, high
    """
    groups = by_family(scores.dropna(subset="miou").index)
    sentences = []
    for family, labels in groups.items():
        rows = scores.loc[labels].sort_values("miou", ascending=False, kind="stable")
        best, second = rows.iloc[0], rows.iloc[:2].iloc[-1]  # the same if there is only one
        of = f" of the {family}" if len(groups) > 1 else ""
        text = f"the highest mIoU{of} is {best.miou:.3f} ({names(rows.miou, best.miou)})"
        if lead := round(best.miou, 3) - round(second.miou, 3):  # as printed
            text += f", {points(lead, sign=False)} points above {second.name}"
            if np.isfinite([best.low, second.high]).all():
                text += f"; their intervals {'' if second.high >= best.low else 'do not '}overlap"
        sentences.append(sentence(text))
    return " ".join(sentences)


@figure
def class_scores(iou: pd.DataFrame) -> Picture:
    """Draw a heat map of test IoU: a row per class, and the last row for their mean, a column per network.

    iou: NaN if no test image shows the class
    """
    classes, inches = row_names(iou.index)
    left = max(len(line) for name in classes for line in name.split("\n")) * 0.075
    upright = (WIDTH - 0.2 - left) / len(iou.columns) < 0.75  # inches; longer names are rotated
    fig = Picture(height=inches * len(iou) + (2.1 if upright else 1.3))
    ax = fig.subplots()
    sns.heatmap(
        iou,
        vmin=0,
        vmax=1,
        cmap=mpl.colormaps["YlGnBu"].with_extremes(bad="#eceef0"),
        annot=iou.map(lambda value: f"{value:.3f}".removeprefix("0" if upright else "")),
        fmt="",
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
    mean = len(iou) - 1
    ax.axhline(mean, color=INK, lw=1.2)
    for text in ax.texts:
        text.set_weight("bold" if text.get_position()[1] > mean else "normal")
    best = iou.max(axis=1)
    values = ", ".join(f"{name} {value:.3f}" for name, value in best.items() if not np.isnan(value))
    absent = ", ".join(name for name, value in best.items() if np.isnan(value))
    span = extremes(best.iloc[:-1].dropna(), thing="classes")
    return fig.described(
        f"Heat map of test IoU per class for {'; '.join(iou.columns)}. Best IoU of each class: {values}."
        + (f" Not in the test images: {absent}." if absent else ""),
        f"The best IoU of a class is {span}. Darker cells are better: compare networks along a row and"
        " classes down a column."
        + (" A dash marks a class that no test image shows." if absent else "")
        + f" The heat map has no error bars.{sample([iou])}",
    ).shows(iou.columns, "iou:*", "miou:thin", "miou:thin-others", "best:classes")


@figure
def cost_quality(table: pd.DataFrame) -> Picture:
    """Draw quality against cost, one point per network.

    Args:
        table: indexed by label; columns miou, low, high, predict_seconds and train_seconds (per image),
            parameters
    """
    tall = max(2.4, inches_of_names(table.index))
    fig = Picture(height=tall + 0.75)
    axes = fig.subplots(1, 3, sharey=True)
    units = {
        "predict_seconds": ("prediction,\nms per image", 1e3),
        "train_seconds": ("training,\nms per image", 1e3),
        "parameters": ("parameters,\nmillions", 1e-6),
    }
    drawn = table.rename(columns={"miou": "value"})
    drawn = drawn.assign(**{column: factor * table[column] for column, (_, factor) in units.items()})
    curves = {label: drawn.loc[[label]] for label in drawn.index}
    for ax, (column, (title, _)) in zip(axes, units.items(), strict=True):
        ends = network_points(ax, curves, x=column, size=8.5)
        ax.set(xlabel=title, xlim=(0, 1.12 * drawn[column].max()))
        ax.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
        ax.margins(y=0.1)
    axes[0].set_ylabel("test mIoU (1 is perfect)")
    name_ends(axes[-1], ends, tall)
    values = [
        f"{label} {row.miou:.3f} at {1e3 * row.predict_seconds:.1f} ms and {row.parameters / 1e6:.2f} million"
        for label, row in table.iterrows()
    ]
    return fig.described(
        "Test mIoU against prediction time per image, training time per image, and number of parameters."
        f" mIoU at prediction time and parameters: {'; '.join(values)}.",
        f"{cost(table)} Networks toward the upper left are better"
        + ("; the mIoU axis does not start at 0." if axes[0].get_ylim()[0] > 0 else ".")
        + " Times are medians of the rounds of timing."
        + error_bars([table]),
    ).shows(table.index, "predict_seconds", "train_seconds", "parameters")


def cost(table: pd.DataFrame) -> str:
    """Say which network has the highest mIoU and which predicts fastest.

    table: indexed by label; columns miou, predict_seconds, predict_samples
    """
    milliseconds = 1e3 * table.predict_seconds
    best, tied = table.miou.max(), tied_in_time(table, "predict")
    least = f"{milliseconds.min():.1f} ms ({names(milliseconds, milliseconds.min(), '{:.1f}'.format)})"
    speed = f"the least time to predict an image is {least}"
    if len(tied) > 1:
        speed = f"no network is clearly fastest, because the rounds of timing of {few(tied)} overlap"
    return sentence(f"the highest mIoU is {best:.3f} ({names(table.miou, best)}); {speed}")
