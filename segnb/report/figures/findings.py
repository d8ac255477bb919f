"""First sentences of captions: what a figure shows, with numbers computed from the data that it draws.

Values are compared as they are printed: names whose printed values are equal share a place, as in
"0.10 (A and B) to 0.30 (C)". No sentence calls a difference significant. Where a figure has intervals, its
sentence says which of them overlap or exclude zero.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from segnb.claims.verdicts import MeasuredContrast
from segnb.claims.wording import counted, effect, every, listed, printed, sentence, signed, with_unit
from segnb.models import registry
from segnb.report.figures.style import BY_LABEL

MOST_NAMES = 3  # that a sentence lists; more are counted
Show = Callable[[float], str]  # prints a value


def names(values: pd.Series, target: float, show: Show = "{:.3f}".format, thing: str = "networks") -> str:
    """Return the names of the values that print like `target`."""
    equal = [name for name, value in values.items() if show(value) == show(target)]
    return f"all {len(equal)} {thing}" if len(equal) == len(values) > 2 else few(equal, thing)


def few(names: list[str], thing: str = "networks") -> str:
    """List the names, or count them if there are many."""
    return listed(names) if len(names) <= MOST_NAMES else f"{len(names)} {thing}"


def extremes(values: pd.Series, show: Show = "{:.2f}".format, thing: str = "networks") -> str:
    """Print the lowest and the highest value with their names, "0.10 (A) to 0.30 (B)"; once if equal."""
    texts = (f"{show(end)} ({names(values, end, show, thing)})" for end in (values.min(), values.max()))
    return " to ".join(dict.fromkeys(texts))


def points(difference: float, sign: bool = True) -> str:
    """Print a difference of shares in points, with its sign; without `sign`, as of a level, only a minus."""
    return printed(100 * difference, 1, sign)


def by_family(labels: Iterable[str]) -> dict[str, list[str]]:
    """Group labels by the family of their network: {"FCNs": [...], "U-Nets": [...]}."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(registry.FAMILIES[BY_LABEL[label].family], []).append(label)
    return groups


def tied_in_time(table: pd.DataFrame, timed: str, least: bool = True) -> list[str]:
    """Return the network with the least (or most) time, and those whose rounds of timing overlap with its.

    table: indexed by network; columns {timed}_seconds and {timed}_samples, a list of timings per round
    """
    seconds = table[f"{timed}_seconds"]
    low, high = (table[f"{timed}_samples"].map(end) for end in (np.min, np.max))
    first = seconds.idxmin() if least else seconds.idxmax()
    close = low <= high[first] if least else high >= low[first]
    return [name for name in table.index if close[name] or name == first]


# ---- curves ----------------------------------------------------------------------------------------------


def widest_gap(curves: dict[str, pd.DataFrame], metric: str, where: Callable[[object], str]) -> str:
    """Say at which position the networks of a family differ most, and from which value to which.

    Args:
        curves: {label: frame with a column value}, all with the same index
        metric: name of the values, which are from 0 to 1
        where: words for a position of the index
    """
    values = pd.DataFrame({label: curve["value"] for label, curve in curves.items()})
    if values.shape[1] == 1:
        line = values.iloc[:, 0].rename(where)
        return sentence(f"the {metric} of {values.columns[0]} is {extremes(line, thing='positions')}")
    (family,) = by_family(curves)
    family = f"two {family}" if values.shape[1] == 2 else family  # perhaps not all of the report
    row = values.loc[(values.max(axis=1) - values.min(axis=1)).idxmax()].dropna()
    if f"{row.min():.2f}" == f"{row.max():.2f}":
        return sentence(f"the {metric} of the {family} differs by less than 0.01 everywhere")
    return sentence(f"the {metric} of the {family} differs most {where(row.name)}: {extremes(row)}")


def same_signs(by_seed: Iterable[Sequence[float]], of: str) -> str:
    """Say how many values have the same sign in all seeds, as the end of a sentence; "" with one seed.

    Intervals over test images are not counted: they do not cover the choice of the seeds.

    Args:
        by_seed: for each value, one number per seed
        of: what the values are, in the plural
    """
    signs = [np.sign(seeds) for seeds in by_seed]
    counts = {len(seeds) for seeds in signs}
    if min(counts) < 2:
        return ""
    same = sum(abs(seeds.sum()) == len(seeds) for seeds in signs)
    seeds = every(*counts) if len(counts) == 1 else "all"
    return f"; {seeds} seeds agree on the sign of {same} of {len(signs)} {of}"


def class_gain(frame: pd.DataFrame, plus: str, minus: str) -> str:
    """Say on which class two networks differ most, and on how many classes all seeds agree.

    frame: indexed by class; columns value, by_seed: IoU of `plus` minus that of `minus`
    """
    gains = frame["value"]
    name = gains.abs().idxmax()
    text = f"{plus} differs most from {minus} on {name}, by {points(gains[name])} points of IoU"
    return sentence(text + same_signs(frame["by_seed"], "differences"))


def first_at_goal(epochs: dict[str, Sequence[float]]) -> str:
    """Say which network is first at the goal with most seeds, and at which epoch the networks are on average.

    epochs: {label: epoch for each seed} of two networks
    """
    table = pd.DataFrame(epochs)
    means = [f"{epoch:.1f} for {label}" for label, epoch in table.mean().items()]
    mean = f"; the mean epoch is {listed(means)}"
    earliest = table.eq(table.min(axis=1), axis=0)
    wins = earliest[earliest.sum(axis=1) == 1].sum()
    if wins.nunique() == 1:
        return sentence(f"no network is at the dashed line first with more seeds than another{mean}")
    most = f"{wins.max()} of {counted(len(table), 'seed')}"
    return sentence(f"{wins.idxmax()} is at the dashed line first with {most}{mean}")


def strongest_layer(ratios: dict[str, pd.DataFrame]) -> str:
    """Say in which layer the ratios of gradient to weights differ most between networks, and by which factor.

    ratios: {label: frame indexed by layer with a column value above 0}
    """
    values = pd.DataFrame({label: frame["value"] for label, frame in ratios.items()})
    if values.shape[1] == 1:
        line = values.iloc[:, 0].rename(layer_words)
        return sentence(f"the ratio of {values.columns[0]} is {extremes(line, '{:.2g}'.format, 'layers')}")
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


# ---- claims ----------------------------------------------------------------------------------------------


def comparisons(parts: list[MeasuredContrast], kind: str) -> str:
    """Give the value of one measured comparison of a claim, or the places of the intervals of several."""
    differences = [part for part in parts if part.minus]
    if len(parts) == 1:
        return sentence(f"the {'difference' if differences else 'value'} is {effect(parts[0])}")
    decide = [part for part in parts if part.decides]
    limited = decide or [part for part in parts if part.minus or part.threshold]  # others have no limit
    deciding = "deciding " if decide and len(decide) < len(parts) else ""
    places = _intervals([_place(part, kind) for part in limited if part.low is not None], deciding)
    if differences:
        above = sum(part.scale * part.estimate > 0 for part in differences)
        unbounded = f"the difference is above zero in {above} of {len(differences)} comparisons"
        return sentence(places or unbounded)
    levels = [part for part in parts if part.unit == parts[0].unit]
    levels.sort(key=lambda part: part.scale * part.estimate)
    ends = dict.fromkeys(signed(level.estimate, level) for level in (levels[0], levels[-1]))
    text = f"the values are {with_unit(' to '.join(ends), levels[0].unit)}"
    return sentence("; ".join(filter(None, (text, places))))


def has_band(part: MeasuredContrast, kind: str) -> bool:
    """Return whether the margin of a claim applies: not to a level that is only shown with a claim of "≈"."""
    return kind == "≈" and bool(part.margin) and (part.decides or bool(part.minus))


def _place(part: MeasuredContrast, kind: str) -> str:
    """Say where an interval lies: by the band of an equivalence, or else by the limit of the claim."""
    low, high = sorted([part.scale * part.low, part.scale * part.high])
    if not has_band(part, kind):
        limit, name = part.scale * part.threshold, "the limit" if part.threshold else "zero"
        # An interval that ends at the limit leaves open on which side it lies.
        return f"{'above' if low > limit else 'below' if high < limit else 'on both sides of'} {name}"
    edge = abs(part.scale) * part.margin
    if -edge <= low and high <= edge:
        return "within the band"
    return "outside the band" if low > edge or high < -edge else "partly in the band"


def _intervals(places: list[str], deciding: str) -> str:
    """Say where intervals lie; places that decide nothing are not counted if others do.

    `deciding` stands before the number, for figures that draw more intervals than those counted.
    """
    counts = Counter(places)
    if len(counts) < 2:
        one = f"the {deciding}interval is"
        which = one if len(places) == 1 else f"{every(len(places))} {deciding}intervals are"
        return f"{which} {places[0]}" if places else ""
    sides = [f"{n} {'is' if n == 1 else 'are'} {place}" for place, n in counts.items()]
    return f"of {len(places)} {deciding}intervals, {listed(sides)}"
