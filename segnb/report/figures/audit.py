"""Figures of the metric audit: both scores, both rankings, sixteen pixels, and class IoUs."""

from itertools import groupby
from math import comb

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle

from segnb.audit.metric import Example, bits
from segnb.audit.scores import swaps
from segnb.claims.wording import sentence
from segnb.labels import STREET
from segnb.report.figures.axes import dot_rows, grid, name_rows, note, single_runs
from segnb.report.figures.findings import points
from segnb.report.figures.style import (
    QUIET,
    SMALL,
    STUDY,
    WRONG,
    Picture,
    figure,
    intervals,
    percent,
    row_names,
    signed,
    style_of,
    wrapped,
)

MIOU, AS_PUBLISHED = "#1a5fb4", "#6b7a00"  # the two metrics; no network has these colours
PALE = "#a9c6ea"  # class IoUs, whose mean has the colour MIOU
SCORES = {
    "mIoU": {"marker": "o", "ms": 8, "color": MIOU},
    "study's metric": {"marker": "D", "ms": 7, "mfc": "none", "color": AS_PUBLISHED, "mew": 1.8},
}
CLASS_IOUS = {
    "reported by the study": STUDY,
    "measured here": {"marker": "o", "ms": 5.5, "color": MIOU, "zorder": 3},
}


@figure
def two_scores(panels: dict[str, pd.DataFrame]) -> Picture:
    """Draw the score by the study's metric and the mIoU, joined by a line, a row per network.

    Args:
        panels: {title: frame indexed by label; columns as_published, miou, and seeds_as_published, seeds_miou
            (lists with one value per run)}, see `segnb.audit.metric.panels`; drawn next to each other
    """
    labels = list(dict.fromkeys(label for frame in panels.values() for label in frame.index))
    fig = Picture(height=0.36 * len(labels) + 1.25)
    axes = fig.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    several = False
    for ax, (title, frame) in zip(axes, panels.items(), strict=True):
        drawn = frame.reindex(labels)
        for y in np.flatnonzero(drawn["miou"].isna()):
            note(ax, 0.5, y, "no score", ha="center", va="center", color=QUIET)
        dot_rows(ax, drawn[["miou", "as_published"]].set_axis(list(SCORES), axis=1), SCORES.values())
        for column, shift, colour in (("miou", 0.32, MIOU), ("as_published", -0.32, AS_PUBLISHED)):
            how = {"marker": "|", "ms": 5, "mew": 1.2, "color": colour}
            several |= single_runs(ax, drawn[f"seeds_{column}"], shift, **how)
        ax.set(title=title, xlim=(0, 1), xlabel="score (1 is perfect)")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    texts = []
    for title, frame in panels.items():
        each = [f"{label} {row.as_published:.3f} and {row.miou:.3f}" for label, row in frame.iterrows()]
        texts.append(f"{title}, {len(frame)} networks: {'; '.join(each)}")
    return fig.described(
        f"Dot plot of two scores, the study's metric and mIoU, for {len(labels)} networks."
        f" {'. '.join(texts)}.",
        f"{gaps(panels)} Both scores are of the same predictions: the longer the line, the larger"
        " the effect of the metric."
        + (" Small ticks are single runs, and marks are their means." if several else ""),
    ).shows(labels, "M1")


def gaps(panels: dict[str, pd.DataFrame]) -> str:
    """Say how far the study's metric is from the mIoU, from the least to the largest difference."""
    texts = []
    for title, frame in panels.items():
        gap = frame.as_published - frame.miou
        ends = dict.fromkeys(signed(value) for value in (gap.min(), gap.max()))
        several = frame.seeds_miou.map(len).max() > 1
        texts.append(f"{' to '.join(ends)} ({title}{', means over seeds' if several else ''})")
    return sentence(f"the study's metric minus mIoU is {' and '.join(texts)}")


@figure
def slopes(panels: dict[str, pd.DataFrame]) -> Picture:
    """Draw the rankings of networks by the two scores, best on top, joined by lines.

    Networks with equal scores are in the order of the other score, so that a tie never looks like a swap.

    Args:
        panels: {title: frame indexed by label; columns as_published and miou}, the study's first; a panel
            with one network has no ranking and is left out
    """
    panels = {title: frame for title, frame in panels.items() if len(frame) > 1}
    ways = (("as_published", "study's metric"), ("miou", "mIoU"))
    columns = []  # of the chart: (title, heading, scores by label with the best first)
    for title, frame in panels.items():
        for (column, head), (other, _) in zip(ways, ways[::-1], strict=True):
            columns.append((title, head, frame.sort_values([column, other], ascending=False)[column]))
    pairs = {title: swaps(frame, frame.attrs.get("tolerance", 0)) for title, frame in panels.items()}
    swapped = {title: {*swap.above, *swap.below} for title, swap in pairs.items()}

    most = max(map(len, panels.values()))
    names = {label: wrapped(label, 20) for frame in panels.values() for label in frame.index}
    fig = Picture(height=(0.37 if "\n" in "".join(names.values()) else 0.31) * most + 1.0)
    ax = fig.subplots()
    opposite = ax.twinx()
    places = [k + 1.1 * (k // 2) for k in range(len(columns))]  # with room for scores between two panels
    for k, (title, head, scores) in enumerate(columns):
        offset = {"textcoords": "offset points", "va": "center_baseline", "fontsize": SMALL}
        offset |= {"xytext": (8, 0), "ha": "left"} if k % 2 else {"xytext": (-8, 0), "ha": "right"}
        for y, (label, score) in enumerate(scores.items()):
            bold = label in swapped[title]
            ax.annotate(f"{score:.3f}", (places[k], y), weight="bold" if bold else "normal", **offset)
            if k % 2 == 0:
                end = columns[k + 1][2].index.get_loc(label)
                how = {"lw": 2.8 if bold else 1.2, "ms": 7, "clip_on": False}
                ax.plot(places[k : k + 2], [y, end], **style_of(label).line, **how)
        ax.annotate(head, (places[k], -0.9), **(offset | {"xytext": (-12 if k % 2 else 12, 0)}))
        if k % 2 == 0:
            ax.text(sum(places[k : k + 2]) / 2, -1.45, title, ha="center", weight="bold")
    for side, (title, _, scores) in ((ax, columns[0]), (opposite, columns[-1])):
        side.set(ylim=(most - 0.6, -1.8), yticks=range(len(scores)))
        side.set_yticklabels([names[label] for label in scores.index])
        for label, text in zip(scores.index, side.get_yticklabels(), strict=True):
            text.set(fontsize=SMALL, weight="bold" if label in swapped[title] else "normal")
        side.tick_params(length=0, pad=44)  # room for the scores
        side.grid(False)
        side.set_frame_on(False)
    ax.set(xlim=(-0.05, places[-1] + 0.05), xticks=[])
    texts = [f"{title}, {head}: {'; '.join(scores.index)}" for title, head, scores in columns]
    counts = [f"{title} {len(swap)}" for title, swap in pairs.items()]
    return fig.described(
        "Slope chart of networks ranked by the study's metric and by mIoU. Pairs that swap:"
        f" {', '.join(counts)}. Best first: {'. '.join(texts)}.",
        f"{swapped_pairs(panels)} The best network is on top, and networks of these pairs are in bold.",
    ).shows([], "M2")


def swapped_pairs(panels: dict[str, pd.DataFrame]) -> str:
    """Say how many pairs of networks swap places; reported scores have to differ by the reading error."""
    texts, read = [], []
    for title, frame in panels.items():
        tolerance = frame.attrs.get("tolerance", 0)
        texts.append(f"{len(swaps(frame, tolerance))} of {comb(len(frame), 2)} pairs of networks ({title})")
        read += [title] if tolerance else []
    error = f" A pair {read[0]} has to differ by more than the reading error in both scores." if read else ""
    return f"{' and '.join(texts)} swap places.{error}"


@figure
def class_dots(comparison: dict[str, pd.DataFrame]) -> Picture:
    """Draw reported and measured class IoUs, a panel per network and a row per class.

    The classes are in the order of their reported IoU.

    Args:
        comparison: {label: frame indexed by class; columns published, measured, low, high, seeds}, see
            `segnb.audit.metric.class_comparison`
    """
    published = pd.DataFrame({label: frame.published for label, frame in comparison.items()})
    order = published.mean(axis=1).sort_values(ascending=False, kind="stable").index
    _, inches = row_names(order)
    lines = -(-len(comparison) // (3 if max(map(len, order)) > 20 else 5))
    columns = -(-len(comparison) // lines)
    fig = Picture(height=lines * ((inches - 0.05) * len(order) + 0.95) + 0.25)
    axes = grid(fig, len(comparison), columns, sharex=True, sharey=True)
    several = absent = False
    for ax, (label, frame) in zip(axes, comparison.items(), strict=True):
        frame = frame.loc[order]
        dot_rows(ax, frame[["published", "measured"]].set_axis(list(CLASS_IOUS), axis=1), CLASS_IOUS.values())
        ax.hlines(range(len(frame)), frame["low"], frame["high"], color=MIOU, lw=1.6, clip_on=False)
        several |= single_runs(ax, frame["seeds"], 0.34, marker="|", ms=4, color=MIOU)
        absent |= frame["measured"].isna().any()
        ax.set_title(wrapped(label, 15), fontsize=SMALL)
        ax.set(xlim=(-0.04, 1.04), xticks=[0, 0.5, 1], xticklabels=["0", ".5", "1"])
        ax.tick_params(labelbottom=True)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    texts = []
    for label, frame in comparison.items():
        both = frame.dropna(subset="measured")
        apart = (both.measured - both.published).abs().nlargest(3).index
        each = [f"{name} {both.published[name]:.2f} and {both.measured[name]:.2f}" for name in apart]
        texts.append(f"{label}, largest differences: {', '.join(each)}")
    return fig.described(
        f"Dot plot of IoU per class, reported by the study and measured here. {'. '.join(texts)}.",
        f"{lower_classes(comparison)} The two IoUs of a row are from different test images."
        + (" Ticks below the dots are single runs, and dots are their means." if several else "")
        + (" Rows without a dot are classes that no test image shows." if absent else "")
        + intervals(comparison.values()),
    )


def lower_classes(comparison: dict[str, pd.DataFrame]) -> str:
    """Say for how many pairs of network and class the measured IoU is below the reported IoU."""
    both = pd.concat(comparison.values()).dropna(subset=["published", "measured"])
    gap = both.measured - both.published
    return sentence(
        f"the measured IoU is below the reported IoU in {(gap < 0).sum()} of {len(gap)} pairs of network and"
        f" class; the median difference is {points(gap.median())} points"
    )


@figure
def worked_example(example: Example) -> Picture:
    """Draw the pixels of an example with ids, bits, AND and OR, the ratio of each row, and the class IoUs."""
    numbers = example.sums.index
    fig = Picture(height=2.0 * len(numbers) + 0.22 * len(example.ious) + 1.4)
    upper, lower = fig.subfigures(2, 1, height_ratios=[2.0 * len(numbers), 0.22 * len(example.ious) + 1.4])
    for row, ax in zip(numbers, upper.subplots(len(numbers), 1), strict=True):
        _bitwise(ax, example.pixels[example.pixels.row == row], example.sums.loc[row])
    _honest(lower.subplots(), example)
    texts = []
    for row in numbers:
        mistakes = [
            f"{STREET.names[pixel.truth]} {pixel.truth} ({bits(pixel.truth)}) predicted as"
            f" {STREET.names[pixel.guess]} {pixel.guess} ({bits(pixel.guess)}), AND {pixel.both_bits}, OR"
            f" {pixel.any_bits}"
            for pixel in example.pixels[example.pixels.row == row].itertuples()
            if pixel.truth != pixel.guess
        ]
        texts.append(f"Row {row + 1}: {'; '.join(mistakes)}; {_ratio(example.sums.loc[row])}")
    ious = ", ".join(f"{name} {value:.2f}" for name, value in example.ious.items())
    return fig.described(
        f"{len(numbers)} rows of {example.truth.shape[1]} pixels with the bits of their class ids."
        f" {'. '.join(texts)}. Class IoU of the same pixels: {ious}. mIoU {example.miou:.3f}, right pixels"
        f" {example.accuracy:.3f}, study's metric {example.as_published:.3f}.",
        f"{missed_classes(example)} Red frames mark wrong pixels. The study's metric divides the sum of the"
        " ANDs by the sum of the ORs in each row and averages the rows. The bars score the same pixels.",
    )


def missed_classes(example: Example) -> str:
    """Say how the two scores differ although some classes are never found."""
    missed = (example.ious == 0).sum()
    return sentence(
        f"the study's metric is {example.as_published:.3f} and mIoU is {example.miou:.3f}; {missed} of"
        f" {len(example.ious)} classes have an IoU of 0 and {percent(example.accuracy, 0)} of the pixels are"
        " right"
    )


def _bitwise(ax, pixels: pd.DataFrame, sums: pd.Series) -> None:
    """Draw a row of pixels, each as a column of ground truth, prediction, AND and OR."""
    width = len(pixels)
    ids = pixels[["truth", "guess", "both_bits", "any_bits"]].to_numpy().T
    shades = ids.copy()
    shades[2:] = len(STREET)  # AND and OR are no classes
    how = {"annot": np.vectorize("{0}\n{0:04b}".format)(ids), "fmt": "", "annot_kws": {"fontsize": SMALL}}
    how |= {"linewidths": 0.6, "linecolor": QUIET, "cbar": False, "xticklabels": False}
    colours = ListedColormap([*STREET.colours, "white"])
    names = ["ground truth", "prediction", "AND", "OR"]
    sns.heatmap(shades, vmin=0, vmax=len(STREET), cmap=colours, yticklabels=names, ax=ax, **how)
    for x in np.flatnonzero(ids[0] != ids[1]):
        ax.add_patch(Rectangle((x, 0), 1, 4, fill=False, ec=WRONG, lw=2.4, zorder=3, clip_on=False))
        for text in ax.texts[2 * width + x :: width]:
            text.set_weight("bold")
    for number, group in groupby(range(width), list(ids[0]).__getitem__):
        ax.text(np.mean([*group]) + 0.5, -0.12, STREET.names[number], ha="center", fontsize=SMALL)
    for y, number in ((2.5, sums.both_bits), (3.5, sums.any_bits)):
        ax.text(width + 0.1, y, f"sum {number:.0f}", va="center")
    ax.text(width + 0.1, 1, _ratio(sums, "\n"), va="center", weight="bold", color=AS_PUBLISHED)
    ax.tick_params("y", length=0, rotation=0)
    ax.grid(False)
    ax.set(xlim=(-0.05, width + 1.15), ylim=(4.05, -0.5))


def _ratio(sums: pd.Series, between: str = " ") -> str:
    return f"{sums.both_bits:.0f}/{sums.any_bits:.0f}{between}= {sums.ratio:.3f}"


def _honest(ax, example: Example) -> None:
    """Draw bars of the class IoUs, and below them of their mean, the right pixels and the study's metric."""
    whole = [
        ("mIoU", example.miou, MIOU),
        ("right pixels", example.accuracy, QUIET),
        ("study's metric", example.as_published, AS_PUBLISHED),
    ]
    bars = [(name, value, PALE) for name, value in example.ious.items()] + whole
    places = [y + 0.5 * (y >= len(example.ious)) for y in range(len(bars))]
    names, values, colours = zip(*bars, strict=True)
    drawn = ax.barh(places, values, 0.66, color=colours)
    for text in ax.bar_label(drawn, fmt="%.3f", padding=4, fontsize=SMALL)[-len(whole) :]:
        text.set_weight("bold")
    name_rows(ax, names, places)
    ax.set(xlim=(0, 1.1), xlabel="score", xticks=[0, 0.2, 0.4, 0.6, 0.8, 1])
