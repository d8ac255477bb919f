"""The two figures of a claim: its comparisons with their differences, and images chosen by a rule."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import offset_copy

from segnb.claims.effects import Effects
from segnb.claims.verdicts import MeasuredContrast, Verdict
from segnb.claims.wording import counted, effect, full_name, signed, with_unit
from segnb.claims.wording import percent as level_in_percent
from segnb.labels import ClassMap
from segnb.models.registry import label
from segnb.report.figures.axes import inches_of_classes, legend_of_classes, name_rows, note, picture_rows
from segnb.report.figures.findings import comparisons, has_band
from segnb.report.figures.images import wrong_share
from segnb.report.figures.style import (
    INK,
    QUIET,
    NetworkStyle,
    Picture,
    figure,
    percent,
    short,
    style_of,
    wrapped,
)

BAND = "#e9edf2"  # colour of a margin
ROWS = 12  # most comparisons of one unit in a figure
SIZE = r" \([^)]*px per side[^)]*\)"  # of objects, in names; the table of the claim has it
HEAD = 0.75  # height of the heading of a group, in rows


def grouped(contrasts: Sequence[MeasuredContrast]) -> dict[str, list[tuple[str, int]]]:
    """Group comparisons by networks or by metric, whichever gives fewer groups.

    Returns:
        {heading: [(name of the row, position)]}
    """
    names = [(contrast.label, contrast.words) for contrast in contrasts]
    by_label = len({networks for networks, _ in names}) <= len({words for _, words in names})
    groups: dict[str, list[tuple[str, int]]] = {}
    for place, (networks, words) in enumerate(names):
        head, row = (networks, words) if by_label else (words, networks)
        groups.setdefault(head, []).append((row, place))
    return groups


def with_room(parts: list[MeasuredContrast]) -> list[int]:
    """Return the positions of the comparisons that fit into a figure: per unit, first the deciding."""
    order = sorted(range(len(parts)), key=lambda i: not parts[i].decides)
    by_unit: dict[str, list[int]] = {}
    for i in order:
        by_unit.setdefault(parts[i].unit, []).append(i)
    return [i for group in by_unit.values() for i in sorted(group[:ROWS])]


def _rows(
    parts: list[MeasuredContrast], which: list[int]
) -> tuple[dict[int, tuple[float, str]], dict[float, str]]:
    """Place the comparisons of one unit, {position: (y, name)}, and the headings above them, {y: heading}."""
    places, heads, y = {}, {}, 0.0
    for head, group in grouped(parts).items():
        rows = [(name, i) for name, i in group if i in which]
        if rows:
            heads[y] = head
            y += HEAD
        for name, i in rows:
            places[i] = y, name
            y += 1
    return places, heads


@figure
def differences(parts: list[MeasuredContrast], kind: str, by_image: dict[int, pd.DataFrame]) -> Picture:
    """Draw the difference of each comparison with its interval and seeds, and its values on single images.

    Args:
        parts: measured comparisons of one claim, one panel per unit
        kind: kind of the claim; with "≈", the margin is a band around zero
        by_image: {position of a comparison: frame with a column difference and a row per image}; without the
            comparisons that have no images
    """
    drawn = with_room(parts)
    units = list(dict.fromkeys(parts[i].unit for i in drawn))
    panels = [_rows(parts, [i for i in drawn if parts[i].unit == unit]) for unit in units]
    by_image = {i: frame for i, frame in by_image.items() if i in drawn and len(frame)}
    heights = [0.5 * (len(places) + HEAD * len(heads)) + 0.8 for places, heads in panels]
    fig = Picture(height=sum(heights) + 0.1)
    shape = {"width_ratios": [3, 2] if by_image else [1], "height_ratios": heights}
    axes = fig.subplots(len(units), 1 + bool(by_image), squeeze=False, sharey="row", **shape)
    for line, unit, (places, heads) in zip(axes, units, panels, strict=True):
        for i, (y, _) in places.items():
            _estimate(line[0], y, parts[i])
            _margin(line[0], y, parts[i], kind)
            if i in by_image:
                _spread(line[1], y, parts[i], by_image[i])
        for y, head in heads.items():
            _heading(line[0], y, head)
        y, names = zip(*places.values(), strict=True)
        name_rows(line[0], [wrapped(re.sub(SIZE, "", name), 26) for name in names], y)
        compared = all(parts[i].minus for i in places)  # not of levels
        line[0].set_xlabel(" in ".join(filter(None, (compared and "difference", unit))) or "value")
        full = any(i in by_image for i in places)
        if full:
            line[1].set_xlabel("on single images")
        elif by_image:
            line[1].set_axis_off()
        for ax in line[: 1 + full]:
            ax.axvline(0, color=INK, lw=1.2, zorder=1)
            ax.grid(False, axis="y")
            ax.tick_params(axis="y", length=0)
            ax.spines["left"].set_visible(False)
            ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    values = [f"{full_name(parts[i])}: {effect(parts[i])}" for i in drawn]
    spread = [
        f"{full_name(parts[i])} is above zero in"
        f" {percent((parts[i].scale * frame.difference > 0).mean(), 0)} of {len(frame)} images"
        for i, frame in by_image.items()
        if parts[i].minus
    ]
    return fig.described(
        f"Comparisons with their intervals. {'; '.join(values)}."
        + (f" Image by image: {'; '.join(spread)}." if spread else ""),
        _caption({i: parts[i] for i in drawn}, kind, by_image, len(parts) - len(drawn)),
    )


def _style(part: MeasuredContrast) -> NetworkStyle:
    """Return the style of the first network, or a neutral style if there are several."""
    return style_of(label(part.plus[0])) if len(part.plus) == 1 else NetworkStyle(QUIET, "o")


def _heading(ax, y: float, text: str) -> None:
    """Write a heading across the figure."""
    ax.set_zorder(1)  # above the axes of single images, whose background would cover the heading
    ax.annotate(
        wrapped(text, 74),
        (0.01, y),
        xycoords=("figure fraction", "data"),
        va="center",
        weight="bold",
        annotation_clip=False,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    ).set_in_layout(False)


def _estimate(ax, y: float, part: MeasuredContrast) -> None:
    """Draw the estimate of a comparison, its interval, and its seeds below."""
    style, scale = _style(part), part.scale
    if part.low is not None:
        ends = [scale * part.low, scale * part.high]
        ax.plot(ends, [y, y], color=style.colour, lw=3, solid_capstyle="butt")
    edge = {"mew": 1.8} if style.frozen else {"mec": "white", "mew": 1.2}
    ax.plot(scale * part.estimate, y, **style.point, **edge, ms=9, zorder=3)
    above = offset_copy(ax.transData, ax.figure, 0, 8, "points")
    note(ax, scale * part.estimate, y, signed(part.estimate, part), transform=above, ha="center")
    seeds = part.by_seed
    if len(seeds) > 1:
        rings = {"ms": 5, "mfc": "white", "mec": INK, "mew": 1, "zorder": 2}
        ax.plot(scale * np.array(seeds), [y + 0.24] * len(seeds), "o", **rings)


def _spread(ax, y: float, part: MeasuredContrast, frame: pd.DataFrame) -> None:
    """Draw a dot per image, their interquartile range, their median, and the share above zero."""
    values = part.scale * frame.difference.to_numpy()
    heights = y + np.random.default_rng(0).uniform(-0.22, 0.22, len(values))
    ax.plot(values, heights, ".", ms=4, color=_style(part).colour, mec="none", alpha=0.35)
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    ax.plot([low, high], [y, y], color=INK, lw=2.4, solid_capstyle="butt")
    ax.plot(median, y, "|", color=INK, ms=13, mew=2.4)
    if not part.minus:  # a level is always above zero
        return
    share = f"{percent((values > 0).mean(), 0)} above 0"
    note(ax, 0.99, y - 0.3, share, transform=ax.get_yaxis_transform(), ha="right", va="center")


def _margin(ax, y: float, part: MeasuredContrast, kind: str) -> None:
    """Draw the band of an equivalence, or the limit of a difference."""
    if has_band(part, kind):
        edge = part.scale * part.margin
        ax.fill_betweenx([y - 0.5, y + 0.5], -edge, edge, color=BAND, lw=0, zorder=0)
    elif part.threshold:
        place = part.scale * part.threshold
        ax.plot([place, place], [y - 0.5, y + 0.5], color=QUIET, ls=(0, (3, 2)), lw=1.4, zorder=1)


def _caption(
    drawn: dict[int, MeasuredContrast], kind: str, by_image: dict[int, pd.DataFrame], left_out: int
) -> str:
    """Say what only this figure shows; the first chapter explains once what all figures of claims share.

    drawn, by_image: comparisons and their images by position, see `differences`
    """
    parts = list(drawn.values())
    bounded = [part for part in parts if part.low is not None]
    seeds = max(len(part.by_seed) for part in parts)
    sentences = [comparisons(parts, kind)]
    if any(has_band(part, kind) for part in parts):
        sentences.append("The grey band is the margin of the claim.")
    if any(part.threshold for part in parts):
        sentences.append("The dashed line is the limit of the claim.")
    if bounded:
        level, one_seed = level_in_percent(bounded[0].level), seeds <= 1
        # An error of 0 over images can also be an estimate.
        of_images = {bool(part.image_se) or i in by_image for i, part in drawn.items() if part in bounded}
        over = f" over {'' if one_seed else 'seeds and '}test images"
        if of_images != {True}:
            images_too = ", and over test images if the metric has values for them"
            over = " over seeds" + images_too * (True in of_images)
        decide = "them" if all(part.decides for part in bounded) else "those of the deciding comparisons"
        rest = (
            "they do not include variation between training runs"
            if one_seed
            else f"the verdict rests on {decide}"
        )
        sentences.append(f"Lines are {level} confidence intervals{over}; {rest}.")
    elif not any(part.repeats for part in parts):
        sentences.append("It is counted and has no error.")
    if any(part.repeats == "rounds" and part.by_seed for part in parts):
        sentences.append("For times, a ring compares one round, and the mark the medians of all rounds.")
    if left_out:
        are = "comparison is" if left_out == 1 else "comparisons are"
        sentences.append(f"{left_out} more {are} in the table only.")
    rounds = all(part.repeats == "rounds" for part in parts if part.by_seed)
    sizes = [counted(seeds, "round" if rounds else "seed")] if seeds else []
    if images := [len(frame) for frame in by_image.values()]:
        least, most = min(images), max(images)
        sizes.append(counted(most, "test image") if least == most else f"{least} to {most} test images")
    if sizes:
        sentences.append(f"n: {', '.join(sizes)}.")
    return " ".join(filter(None, sentences))


def chosen(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the images with the largest, median and smallest difference, indexed by that word.

    Of two images in the middle, the median is the one with the larger difference. Images with equal
    differences are in the order of their numbers. Images without a difference are left out.
    """
    order = frame.dropna(subset="difference").sort_values(
        ["difference", "index"], ascending=[False, True], kind="stable"
    )
    if len(order) < 3:
        return order.iloc[:0]
    rows = order.iloc[[0, (len(order) - 1) // 2, len(order) - 1]].set_axis(["largest", "median", "smallest"])
    rows.attrs["images"] = len(order)  # for the caption
    return rows


@figure
def examples(
    rows: pd.DataFrame,
    part: MeasuredContrast,
    pictures: np.ndarray,
    labels: np.ndarray,
    guesses: dict[str, np.ndarray],
    classes: ClassMap,
    seed: int,
) -> Picture:
    """Draw the images of `chosen`: image, ground truth, and the predictions of both networks.

    Args:
        rows: columns name, index, difference; indexed by the reason for the choice
        part: the comparison of which the rows have the differences
        pictures: uint8 (N, S, S, 3); `rows["index"]` are positions in it
        labels: uint8 (N, S, S)
        guesses: {label of a network: uint8 (N, S, S)} of two networks
        classes: label set of labels and guesses
        seed: seed of the predictions
    """
    seen = classes.seen(*(maps[rows["index"]] for maps in (labels, *guesses.values())))
    drawn, texts, shares = [], [], []
    for why, row in rows.iterrows():
        i, gain = row["index"], signed(row.difference, part)
        name = f"{why}: {gain}\n{short(row['name'], 20)}"
        drawn.append((name, [pictures[i], labels[i], *(guess[i] for guess in guesses.values())]))
        shares.append([percent(wrong_share(labels[i], guess[i])) for guess in guesses.values()])
        texts.append(f"{why} {with_unit(gain, part.unit)} in {row['name']}, {' and '.join(shares[-1])} wrong")
    titles = [wrapped(title, 19) for title in ("Image", "Ground truth", *guesses)]
    fig, axes = picture_rows(drawn, titles, 0.45 + inches_of_classes(seen, classes), classes=classes)
    for ax, share in zip(axes[:, 2:].flat, np.ravel(shares), strict=True):
        ax.set_xlabel(f"{share} wrong", labelpad=3)
    legend_of_classes(fig, seen, classes)
    first, second = guesses
    ends = " to ".join(dict.fromkeys(signed(rows.difference[why], part) for why in ("smallest", "largest")))
    return fig.described(
        f"Three test images with ground truth and the predictions of {first} and {second}. Difference:"
        f" {'; '.join(texts)}.",
        f"The difference ({full_name(part)}) is {with_unit(ends, part.unit)} in these three images, which"
        f" have the smallest, median and largest of the {rows.attrs.get('images', len(labels))} test images"
        f" in which it can be computed. n: 3 images, seed {seed}.",
    )


def pictures(claim: Verdict, effects: Effects) -> list[Picture]:
    """Return the figures of a claim.

    Images are of the decisive comparison, or of the first comparison of two networks if that one has none.
    """
    parts = claim.measured_contrasts
    by_image = {i: effects.by_image(parts[i]) for i in with_room(parts)}
    drawn = [differences(parts, claim.kind, by_image)]
    order = sorted(by_image, key=lambda i: (parts[i] is not claim.decisive_contrast, not parts[i].decides, i))
    place = next((i for i in order if _is_pair(parts[i]) and len(chosen(by_image[i]))), None)
    if place is None:
        return drawn
    part, seed = parts[place], effects.seeds(parts[place])[0]
    frame = by_image[place]
    if part.at_most:  # negated, so that values are as printed
        part = replace(part, weight=-part.weight, scale=-part.scale)
        frame = frame.assign(difference=-frame.difference)
    runs = [effects.runs()[name, seed] for name in (*part.plus, *part.minus)]
    split = effects.study.split("test", runs[0].recipe.size)
    guesses = {label(run.variant): run.predicted() for run in runs}
    rows = chosen(frame)
    drawn.append(examples(rows, part, split.images, split.labels, guesses, effects.study.classes, seed))
    return drawn


def _is_pair(part: MeasuredContrast) -> bool:
    """Return whether a comparison has one network of the study on each side."""
    networks = [*part.plus, *part.minus]
    return len(part.plus) == len(part.minus) == 1 and not any(":" in network for network in networks)
