"""First sentences of captions: what a figure shows, with numbers computed from the data that it draws.

Values are compared as they are printed: names whose printed values are equal share a place. No sentence calls
a difference significant. Where a figure has intervals, its sentence says which of them overlap or exclude
zero. A function returns "" if nothing finite is drawn.
"""

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from segnb.claims.wording import listed
from segnb.models.registry import FAMILY_NAMES
from segnb.report.figures.style import family_of, percent
from segnb.report.text import counted

FAMILIES = FAMILY_NAMES | {"": "other networks"}
MOST_NAMES = 3  # that a sentence lists; more are counted


def names(values: pd.Series, target: float, digits: int, thing: str = "networks") -> tuple[str, bool]:
    """Return the names of the values that print like `target`, and whether there are several."""
    equal = list(values.index[np.isclose(values.round(digits), round(target, digits))])
    if 1 < len(equal) == len(values) > 2:
        return f"all {len(equal)} {thing}", True
    return few(equal, thing), len(equal) > 1


def few(names: list[str], thing: str = "networks") -> str:
    """List the names, or count them if there are many."""
    return listed(names) if len(names) <= MOST_NAMES else f"{len(names)} {thing}"


def sentence(text: str) -> str:
    """Return the text with a capital letter and a full stop; "" for none."""
    return f"{text[0].upper()}{text[1:]}." if text else ""


def points(difference: float, sign: str = "+") -> str:
    """Print a difference of shares in points, with its sign; a level, with sign "", has only a minus."""
    text = f"{100 * difference:{sign}.1f}".replace("-", "−")
    return text.lstrip("+−") if not float(text.lstrip("+−")) else text


def every(number: int) -> str:
    """Return "both" for 2, and "all 3" for 3."""
    return "both" if number == 2 else f"all {number}"


def by_family(labels: Iterable[str]) -> dict[str, list[str]]:
    """Group labels by the family of their network: {"FCNs": [...], "U-Nets": [...]}."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(FAMILIES[family_of(label)], []).append(label)
    return groups


# ---- scores ----------------------------------------------------------------------------------------------


def highest(scores: pd.DataFrame) -> str:
    """Say which network of each family has the highest mIoU, and how far it is above the second.

    Families are not compared, because their images differ in size.

    scores: indexed by label; columns miou, low, high
    """
    groups = by_family(scores.dropna(subset="miou").index)
    sentences = []
    for family, labels in groups.items():
        rows = scores.loc[labels].sort_values("miou", ascending=False, kind="stable")
        best, value = rows.iloc[0], f"{rows.miou.max():.3f}"
        label, several = names(rows.miou, best.miou, 3)
        of = f"of the {family}, " if len(groups) > 1 else ""
        if len(rows) == 1:
            text = f"{label} has an mIoU of {value}"
        elif f"{rows.miou.min():.3f}" == value:
            text = f"the {len(rows)} {family} have the same mIoU, {value}"
        elif several:
            text = f"{of}{label} have the highest mIoU, {value}"
        else:
            second = rows.iloc[1]
            lead = points(best.miou - second.miou).lstrip("+")
            text = f"{of}{label} has the highest mIoU, {value}, {lead} points above {second.name}"
            if np.isfinite([best.low, second.high]).all():
                text += f"; their intervals {'' if second.high >= best.low else 'do not '}overlap"
        sentences.append(sentence(text))
    return " ".join(sentences)


def hardest_classes(iou: pd.DataFrame) -> str:
    """Say on which classes every network scores 0, or which class has the lowest best IoU.

    iou: a row per class, a column per network; a row "mIoU" is left out
    """
    best = iou.drop(index="mIoU", errors="ignore").max(axis=1).dropna()
    if best.empty:
        return ""
    several = iou.shape[1] > 1
    nothing = list(best.index[best.round(2) == 0])
    if nothing:
        which = f" ({listed(nothing)})" if len(nothing) <= MOST_NAMES else ""
        who = f"{every(iou.shape[1])} networks have" if several else f"{iou.columns[0]} has"
        return sentence(f"{who} an IoU of 0.00 for {len(nothing)} of {len(best)} classes{which}")
    whose = "the best IoU of any network" if several else f"the IoU of {iou.columns[0]}"
    low, high = (names(best, value, 2, "classes")[0] for value in (best.min(), best.max()))
    if low == high:
        return sentence(f"{whose} is {best.max():.2f} for {low}")
    return sentence(
        f"{whose} is lowest for {low}, {best.min():.2f}, and highest for {high}, {best.max():.2f}"
    )


def tied_in_time(table: pd.DataFrame, timed: str, least: bool = True) -> list[str]:
    """Return the network with the least (or most) time, and those whose rounds of timing overlap with its.

    table: indexed by network; columns {timed}_seconds, and {timed}_samples except in older versions
    """
    seconds = table[f"{timed}_seconds"]
    rounds = table.get(f"{timed}_samples", seconds)
    low, high = rounds.map(np.min), rounds.map(np.max)
    first = seconds.idxmin() if least else seconds.idxmax()
    close = low <= high[first] if least else high >= low[first]
    return [name for name in table.index if close[name] or name == first]


def cost(table: pd.DataFrame) -> str:
    """Say which network has the highest mIoU and which predicts fastest.

    table: indexed by label; columns miou and predict_seconds, and predict_samples if rounds were timed
    """
    rows = table.dropna(subset=["miou", "predict_seconds"])
    if rows.empty:
        return ""
    milliseconds = 1e3 * rows.predict_seconds
    best, several = names(rows.miou, rows.miou.max(), 3)
    fastest, many = names(milliseconds, milliseconds.min(), 1)
    tied = tied_in_time(rows, "predict")
    score, fast = f"{rows.miou.max():.3f}", f"{milliseconds.min():.1f} ms"
    if len(rows) == 1:
        return sentence(f"{best} has an mIoU of {score} and predicts an image in {fast}")
    takes = "" if several or many else f", and takes {milliseconds[best]:.1f} ms to predict an image"
    if len(tied) > 1 and "predict_samples" in rows:
        return sentence(
            f"{best} {'have' if several else 'has'} the highest mIoU, {score}{takes}; no network is clearly"
            f" fastest, because the rounds of timing of {few(tied)} overlap"
        )
    if best == fastest and not several:
        return sentence(f"{best} has the highest mIoU, {score}, and predicts an image fastest, in {fast}")
    return sentence(
        f"{best} {'have' if several else 'has'} the highest mIoU, {score}{takes};"
        f" {fastest} {'predict an image in' if many else 'needs the least time,'} {fast}"
    )


# ---- curves ----------------------------------------------------------------------------------------------


def widest_gap(curves: dict[str, pd.DataFrame], metric: str, where: Callable[[object], str]) -> str:
    """Say at which position the networks of each family differ most, and from which value to which.

    Args:
        curves: {label: frame with a column value}, all of a family with the same index
        metric: name of the values, which are from 0 to 1
        where: words for a position of the index
    """
    sentences = []
    for family, labels in by_family(curves).items():
        values = pd.DataFrame({label: curves[label]["value"] for label in labels}).dropna(axis=1, how="all")
        if values.empty:
            continue
        if values.shape[1] == 1:
            (label,), line = values.columns, values.iloc[:, 0]
            low, high = f"{line.min():.2f}", f"{line.max():.2f}"
            text = f"the {metric} of {label} is {low} {where(line.idxmin())}"
            sentences.append(sentence(text + (f" and {high} {where(line.idxmax())}" if low != high else "")))
            continue
        gaps = (values.max(axis=1) - values.min(axis=1))[values.count(axis=1) > 1]
        if not len(gaps):
            continue
        row = values.loc[gaps.idxmax()].dropna()
        low, high = f"{row.min():.2f}", f"{row.max():.2f}"
        if low == high:
            sentences.append(sentence(f"the {metric} of the {family} differs by less than 0.01 everywhere"))
            continue
        ends = [f"{value:.2f} ({names(row, value, 2)[0]})" for value in (row.min(), row.max())]
        sentences.append(
            sentence(f"the {metric} of the {family} differs most {where(row.name)}: {' to '.join(ends)}")
        )
    return " ".join(sentences)


def same_signs(by_seed: Iterable[Sequence[float]], of: str) -> str:
    """Say how many values have the same sign in all seeds, as part of a sentence; "" with one seed.

    Intervals over test images are not counted: they do not cover the choice of the seeds.

    Args:
        by_seed: for each value, one number per seed
        of: what the values are, in the plural
    """
    signs = [np.sign(seeds) for seeds in by_seed if np.isfinite(seeds).all()]
    counts = [len(seeds) for seeds in signs]
    if not counts or min(counts) < 2:
        return ""
    same = sum(abs(seeds.sum()) == len(seeds) for seeds in signs)
    seeds = every(counts[0]) if len({*counts}) == 1 else "all"
    return f"{seeds} seeds agree on the sign of {same} of {len(signs)} {of}"


def class_gain(frame: pd.DataFrame, plus: str, minus: str) -> str:
    """Say on which class two networks differ most, and on how many classes all seeds agree.

    frame: indexed by class; columns value, by_seed: IoU of `plus` minus that of `minus`
    """
    gains = frame["value"].dropna()
    if gains.empty:
        return ""
    name = gains.abs().idxmax()
    text = f"{plus} differs most from {minus} on {name}, by {points(gains[name])} points of IoU"
    return sentence("; ".join(filter(None, (text, same_signs(frame["by_seed"], "differences")))))


def share_of_bound(frame: pd.DataFrame) -> str:
    """Say which shares of the bounds of their strides the networks reach.

    frame: indexed by label; columns miou and bound
    """
    shares = (frame.miou / frame.bound).replace([np.inf, -np.inf], np.nan).dropna()
    if shares.empty:
        return ""
    low, high = (
        f"{percent(value, 0)} ({names(shares, value, 2)[0]})" for value in (shares.min(), shares.max())
    )
    of = "of the mIoU of a perfect prediction at the same stride"
    if low != high:
        return sentence(f"the networks reach {low} to {high} {of}")
    label, several = names(shares, shares.max(), 2)
    return sentence(f"{label} {'reach' if several else 'reaches'} {percent(shares.max(), 0)} {of}")


def first_at_goal(epochs: dict[str, Sequence[float]]) -> str:
    """Say which network is first at the goal with most seeds, and at which epoch the networks are on average.

    epochs: {label: epoch for each seed, NaN if the goal is never reached}
    """
    table = pd.DataFrame(epochs, dtype=float).dropna(how="all")
    if table.empty:
        return ""
    if table.shape[1] == 1:
        label, mean = table.columns[0], table.iloc[:, 0].mean()
        return sentence(f"{label} reaches the dashed line at epoch {mean:.1f} on average")
    means = [f"{table[label].mean():.1f} for {label}" for label in table if table[label].notna().any()]
    mean = f"; the mean epoch is {listed(means)}"
    earliest = table.eq(table.min(axis=1), axis=0)
    wins = earliest[earliest.sum(axis=1) == 1].sum()
    label, several = names(wins, wins.max(), 0)
    if several:
        return sentence(f"no network is at the dashed line first with more seeds than another{mean}")
    return sentence(
        f"{label} is at the dashed line first with {wins.max()} of {counted(len(table), 'seed')}{mean}"
    )


def strongest_layer(ratios: dict[str, pd.DataFrame]) -> str:
    """Say in which layer the ratios of gradient to weights differ most between networks, and by which factor.

    ratios: {label: frame indexed by layer with a column value above 0}
    """
    values = pd.DataFrame({label: frame["value"] for label, frame in ratios.items()}, dtype=float)
    values = values.where(values > 0).dropna(how="all")
    if values.empty:
        return ""
    if values.shape[1] == 1:
        line = values.iloc[:, 0].dropna()
        return sentence(
            f"the ratio of {values.columns[0]} is smallest in {layer_words(line.idxmin())}, {line.min():.2g},"
            f" and largest in {layer_words(line.idxmax())}, {line.max():.2g}"
        )
    row = values.loc[(values.max(axis=1) / values.min(axis=1)).idxmax()].dropna()
    high, low = f"{row.max():.2g}", f"{row.min():.2g}"
    times = float(high) / float(low)  # of the printed values, so that a reader finds the same
    ends = f"{high} ({row.idxmax()}) is {times:.1f} times {low} ({row.idxmin()})"
    return sentence(f"the networks differ most in {layer_words(row.name)}: {ends}")


LAYER = re.compile(r"(?:(down|up)(\d)|(bottom))\.(?:block\.)?(0|3|upconv)")
PARTS = {
    "0": ("1st", "first convolution"),
    "3": ("2nd", "second convolution"),
    "upconv": ("up", "up-convolution"),
}


def layer_words(name: str, short: bool = False) -> str:
    """Name a layer of a U-Net in words: "down4.0" is the first convolution of encoder level 4."""
    if (match := LAYER.fullmatch(name)) is None:
        return {"score": "output" if short else "the output layer"}.get(name, name)
    coder = {"down": "encoder", "up": "decoder", None: "bottom"}[match[1]]
    few, many = PARTS[match[4]]
    if short:
        return " ".join(filter(None, (coder, match[2], few)))
    return f"the {many} of {f'{coder} level {match[2]}' if match[2] else 'the coarsest level'}"


def best_epochs(histories: dict[str, list[pd.DataFrame]]) -> str:
    """Say which network has the highest validation mIoU, and how many runs are best in their last epoch.

    histories: {label: a history per run, with the columns epoch and val_miou}
    """
    lines = {
        label: [history.set_index("epoch")["val_miou"].dropna() for history in runs]
        for label, runs in histories.items()
    }
    lines = {label: known for label, runs in lines.items() if (known := [line for line in runs if len(line)])}
    if not lines:
        return ""
    best = pd.Series({label: np.mean([line.max() for line in runs]) for label, runs in lines.items()})
    each = [line for runs in lines.values() for line in runs]
    if len(each) == 1:
        last = f"epoch {each[0].idxmax()} of {each[0].index[-1]}"
        return sentence(f"{best.index[0]} has its highest validation mIoU, {best.max():.3f}, after {last}")
    label, several = names(best, best.max(), 3)
    verb = "have" if several else "has"
    if len(best) > 1 and f"{best.min():.3f}" == f"{best.max():.3f}":
        label, verb = f"{every(len(best))} networks", "have the same"
    else:
        verb = f"{verb} the"
    mean = " (mean over seeds)" if len(each) > len(best) else ""
    rising = sum(line.idxmax() == line.index[-1] for line in each)
    return sentence(
        f"{label} {verb} highest validation mIoU, {best.max():.3f}{mean};"
        f" {rising} of {len(each)} runs {'is' if rising == 1 else 'are'} best after the last epoch"
    )
