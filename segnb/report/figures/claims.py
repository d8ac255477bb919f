"""The two figures of a claim: paired differences of its parts, and the images that a rule picks from them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import offset_copy

from segnb.claims.effects import Effects, MeasuredContrast
from segnb.claims.verdicts import Verdict
from segnb.claims.wording import effect, full_name, signed
from segnb.claims.wording import percent as percent_of
from segnb.labels import ClassMap
from segnb.models.registry import label
from segnb.report.figures.axes import name_rows, note, wrapped
from segnb.report.figures.images import mistaken
from segnb.report.figures.label_maps import inches_of_classes, legend_of_classes, picture_rows, short
from segnb.report.figures.style import (
    INK,
    QUIET,
    NetworkStyle,
    Picture,
    figure,
    percent,
    style_of,
)

BAND = "#e9edf2"  # of a margin
ROWS = 12  # parts of one unit in a figure; more would be a wall of lines
HEAD = 0.75  # of a row: the heading of a group


def grouped(contrasts: Sequence[MeasuredContrast]) -> dict[str, list[tuple[str, int]]]:
    """Group contrasts under what they have in common: {heading: [(name of the row, position)]}.

    Headings are the contrasts and rows what is measured, or the other way round: whichever takes fewer.
    """
    names = [(contrast.label, contrast.words) for contrast in contrasts]
    by_label = len({networks for networks, _ in names}) <= len({words for _, words in names})
    groups: dict[str, list[tuple[str, int]]] = {}
    for place, (networks, words) in enumerate(names):
        head, row = (networks, words) if by_label else (words, networks)
        groups.setdefault(head, []).append((row, place))
    return groups


def shown(parts: list[MeasuredContrast]) -> list[int]:
    """Positions of the parts that a figure has room for: of each unit the first, deciding ones in front."""
    order = sorted(range(len(parts)), key=lambda i: not parts[i].decides)
    kept: dict[str, list[int]] = {}
    for i in order:
        kept.setdefault(parts[i].unit, []).append(i)
    return [i for group in kept.values() for i in sorted(group[:ROWS])]


def _rows(
    parts: list[MeasuredContrast], which: list[int]
) -> tuple[dict[int, tuple[float, str]], dict[float, str]]:
    """Where the parts of one unit stand, {position: (y, name)}, and the headings above them, {y: heading}."""
    places, heads, y = {}, {}, 0.0
    for head, rows in grouped(parts).items():
        kept = [(name, i) for name, i in rows if i in which]
        if kept:
            heads[y] = head
            y += HEAD
        for name, i in kept:
            places[i] = y, name
            y += 1
    return places, heads


@figure
def differences(parts: list[MeasuredContrast], kind: str, by_image: dict[int, pd.DataFrame]) -> Picture:
    """Each part's paired difference with its intervals and seeds, beside how it is spread over the images.

    parts:    measured parts of one claim, one panel a unit
    kind:     of the claim: with "≈" the margin is drawn as a band around zero
    by_image: {position of a part: column difference, an image a row}; parts without images are left out
    """
    drawn = shown(parts)
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
        name_rows(line[0], [wrapped(name, 26) for name in names], y)
        compared = any(parts[i].minus for i in places)
        line[0].set_xlabel(", ".join(filter(None, ("difference" if compared else "", unit))))
        full = bool(by_image) and any(i in by_image for i in places)
        if full:
            line[1].set_xlabel("of single images")
        elif by_image:
            line[1].set_axis_off()
        for ax in line[: 1 + full]:
            ax.axvline(0, color=INK, lw=1.2, zorder=1)
            ax.grid(False, axis="y")
            ax.tick_params(axis="y", length=0)
            ax.spines["left"].set_visible(False)
            ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    told = [f"{full_name(parts[i])}: {effect(parts[i])}" for i in drawn]
    spread = [
        f"{full_name(parts[i])} is above zero in"
        f" {percent((parts[i].scale * frame.difference > 0).mean(), 0)} of {len(frame)} images"
        for i, frame in by_image.items()
        if parts[i].minus
    ]
    return fig.described(
        f"Paired differences with their intervals. {'; '.join(told)}."
        + (f" Image by image: {'; '.join(spread)}." if spread else ""),
        _caption([parts[i] for i in drawn], kind, list(map(len, by_image.values())), len(parts) - len(drawn)),
    )


def _style(part: MeasuredContrast) -> NetworkStyle:
    """That of the network which is said to be better, where it is one."""
    return style_of(label(part.plus[0])) if len(part.plus) == 1 else NetworkStyle(QUIET, "o")


def _heading(ax, y: float, text: str) -> None:
    """A line of text across the figure, over the rows that follow."""
    ax.annotate(
        text,
        (0.01, y),
        xycoords=("figure fraction", "data"),
        va="center",
        weight="bold",
        annotation_clip=False,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    ).set_in_layout(False)


def _estimate(ax, y: float, part: MeasuredContrast) -> None:
    """A part's dot, its interval, and its seeds beneath."""
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
    """A dot an image, the middle half of them as a bar, the median as a tick, and the share above zero."""
    values = part.scale * frame.difference.to_numpy()
    heights = y + np.random.default_rng(0).uniform(-0.22, 0.22, len(values))
    ax.plot(values, heights, ".", ms=4, color=_style(part).colour, mec="none", alpha=0.35)
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    ax.plot([low, high], [y, y], color=INK, lw=2.4, solid_capstyle="butt")
    ax.plot(median, y, "|", color=INK, ms=13, mew=2.4)
    if not part.minus:  # a level is above zero everywhere
        return
    share = f"{percent((values > 0).mean(), 0)} above 0"
    note(ax, 0.99, y - 0.3, share, transform=ax.get_yaxis_transform(), ha="right", va="center")


def _margin(ax, y: float, part: MeasuredContrast, kind: str) -> None:
    """The band of an equivalence, or the line that a difference has to be beyond."""
    if kind == "≈" and part.margin:
        edge = part.scale * part.margin
        ax.fill_betweenx([y - 0.5, y + 0.5], -edge, edge, color=BAND, lw=0, zorder=0)
    elif part.threshold:
        place = part.scale * part.threshold
        ax.plot([place, place], [y - 0.5, y + 0.5], color=QUIET, ls=(0, (3, 2)), lw=1.4, zorder=1)


def _caption(parts: list[MeasuredContrast], kind: str, images: list[int], left_out: int) -> str:
    """images: how many there are of each part whose images are drawn"""
    bounded = [part for part in parts if part.low is not None]
    seeds = max(len(part.by_seed) for part in parts)
    compared = any(part.minus for part in parts)
    told = [f"Right of zero {'the first network of a row has more' if compared else 'is more than none'}"]
    if bounded:
        told.append(
            f"a thick line is the {percent_of(bounded[0].level)} interval, off which the verdict is read;"
            " where it crosses zero, the sign of the difference is open"
        )
    if seeds > 1:
        rounds = all(part.repeats == "rounds" for part in parts if part.by_seed)
        told.append(f"small rings are the {seeds} single {'rounds of timing' if rounds else 'seeds'}")
    if kind == "≈":
        told.append("within the grey band two networks count as equal")
    if compared and not all(part.minus for part in parts):
        told.append("a row of one network shows its level")
    if any(part.threshold for part in parts):
        told.append("the dashed line is the limit that the claim goes by")
    if images:
        many = f"{min(images)}" if len({*images}) == 1 else f"{min(images)} to {max(images)}"
        told.append(f"to the right each dot is one of {many} test images, the bar the middle half of them")
    caption = f"{'; '.join(told)}."
    if bounded and seeds <= 1 and any(part.repeats == "seeds" for part in parts):
        caption += (
            " With one seed the interval is for these two networks on new images, which is not the claim."
        )
    if left_out:
        caption += f" {left_out} more parts are in the table only."
    return caption


def chosen(frame: pd.DataFrame) -> pd.DataFrame:
    """The images of largest, median and smallest difference: rows of `frame`, indexed by that word.

    The median is that of the image in the middle when the images are in order; of two in the middle, the
    upper one. Equal differences go by the image's number. Images without a difference do not take part.
    """
    order = frame.dropna(subset="difference").sort_values(
        ["difference", "index"], ascending=[False, True], kind="stable"
    )
    if len(order) < 3:
        return order.iloc[:0]
    return order.iloc[[0, (len(order) - 1) // 2, len(order) - 1]].set_axis(["largest", "median", "smallest"])


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
    """The images that `chosen` picked: image, ground truth, and the predictions of both networks.

    rows:     name, index, difference; indexed by why the image was picked
    pictures: uint8 (N, S, S, 3), labels uint8 (N, S, S), of which `rows.index` are shown
    guesses:  {label of a network: uint8 (N, S, S)}, two of them
    seed:     of the predictions
    """
    seen = classes.seen(*(maps[rows["index"]] for maps in (labels, *guesses.values())))
    drawn, told, shares = [], [], []
    for why, row in rows.iterrows():
        i, gain = row["index"], signed(row.difference, part)
        name = f"{why}: {gain}\n{short(row['name'], 20)}"
        drawn.append((name, [pictures[i], labels[i], *(guess[i] for guess in guesses.values())]))
        shares.append([percent(mistaken(labels[i], guess[i]).mean()) for guess in guesses.values()])
        told.append(f"{why} {gain} {part.unit} in {row['name']}, {' and '.join(shares[-1])} wrong")
    titles = [wrapped(title, 19) for title in ("Image", "Ground truth", *guesses)]
    fig, axes = picture_rows(drawn, titles, 0.45 + inches_of_classes(seen, classes), classes=classes)
    for ax, share in zip(axes[:, 2:].flat, np.ravel(shares), strict=True):
        ax.set_xlabel(f"{share} wrong", labelpad=3)
    legend_of_classes(fig, seen, classes)
    one, other = guesses
    return fig.described(
        f"Three test images with ground truth and the predictions of {one} and {other}. Difference:"
        f" {'; '.join(told)}.",
        f"Picked by rule, not by hand: those of {len(labels)} test images in which the difference"
        f" {part.label}, {part.words}, is largest, in the middle and smallest. The predictions are of"
        f" seed {seed}.",
    )


def pictures(claim: Verdict, effects: Effects) -> tuple[list[Picture], list[str]]:
    """The figures of a claim, and sentences on what is not shown.

    Images are shown for the contrast that decides, or else for the first that compares two networks.
    """
    parts = claim.measured_contrasts
    by_image = {i: effects.by_image(parts[i]) for i in shown(parts)}
    drawn = [differences(parts, claim.kind, by_image)]
    order = sorted(by_image, key=lambda i: (parts[i] is not claim.decisive_contrast, not parts[i].decides, i))
    place = next((i for i in order if _is_pair(parts[i]) and len(chosen(by_image[i]))), None)
    if place is None:
        return drawn, []
    part, seed = parts[place], effects.seeds(parts[place])[0]
    frame = by_image[place]
    if part.at_most:  # from here on as it is printed
        part = replace(part, weight=-part.weight, scale=-part.scale)
        frame = frame.assign(difference=-frame.difference)
    runs = [effects.runs()[name, seed] for name in (*part.plus, *part.minus)]
    if not all(run.predicted_path.exists() for run in runs):
        return drawn, ["Images are left out, because not every run kept its predictions of all test images."]
    split = effects.study.split("test", runs[0].recipe.size)
    guesses = {label(run.variant): run.predicted() for run in runs}
    rows = chosen(frame)
    drawn.append(examples(rows, part, split.images, split.labels, guesses, effects.study.classes, seed))
    return drawn, []


def _is_pair(part: MeasuredContrast) -> bool:
    """Whether a part sets one network of the study against another of the same family."""
    networks = [*part.plus, *part.minus]
    return len(part.plus) == len(part.minus) == 1 and not any(":" in network for network in networks)
