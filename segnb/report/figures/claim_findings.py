"""First sentences of captions of figures of claims; see `findings`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from segnb.claims.effects import MeasuredContrast
from segnb.claims.wording import effect, listed, signed
from segnb.report.figures.findings import every, sentence

UNDECIDED = "on both sides", "partly"  # beginnings of places of intervals


def comparisons(parts: list[MeasuredContrast], kind: str) -> str:
    """Give the value of one comparison of a claim, or the places of the intervals of several."""
    parts = [part for part in parts if part.estimate is not None]
    differences = [part for part in parts if part.minus]
    if len(parts) == 1:
        return sentence(f"the {'difference' if differences else 'level'} is {effect(parts[0])}")
    limited = [part for part in parts if part.minus or part.threshold or part.decides]  # others are levels
    places = intervals([_place(part, kind) for part in limited if part.low is not None], "comparisons")
    if differences:
        above = sum(part.scale * part.estimate > 0 for part in differences)
        unbounded = f"the difference is above zero in {above} of {len(differences)} comparisons"
        return sentence(places or unbounded)
    levels = [part for part in parts if part.unit == parts[0].unit]
    if not levels:
        return ""
    levels.sort(key=lambda part: part.scale * part.estimate)
    lowest, highest = signed(levels[0].estimate, levels[0]), replace(levels[-1], low=None, high=None)
    return sentence("; ".join(filter(None, (f"the levels are {lowest} to {effect(highest)}", places))))


def has_band(part: MeasuredContrast, kind: str) -> bool:
    """Return whether the margin of a claim applies: not to a level that is only shown with a claim of "≈"."""
    return kind == "≈" and bool(part.margin) and (part.decides or bool(part.minus))


def _place(part: MeasuredContrast, kind: str) -> str:
    """Say where an interval lies: by the band of an equivalence, or else by the limit of the claim."""
    low, high = sorted([part.scale * part.low, part.scale * part.high])
    if not has_band(part, kind):
        return side_of(low, high, part.scale * part.threshold, "the limit" if part.threshold else "zero")
    edge = abs(part.scale) * part.margin
    if -edge <= low and high <= edge:
        return "within the band"
    return "outside the band" if low > edge or high < -edge else "partly in the band"


def intervals(places: Sequence[str], of: str) -> str:
    """Say where intervals lie, as part of a sentence; "" without intervals.

    Args:
        places: such as "above zero", one per interval; places that begin like `UNDECIDED` decide nothing, so
            they are not counted if others do
        of: what has an interval, in the plural
    """
    counts = Counter(places)
    if len(counts) < 2:
        which = "the interval is" if len(places) == 1 else f"{every(len(places))} intervals are"
        return f"{which} {places[0]}" if places else ""
    sides = [f"{place} for {n}" for place, n in counts.items() if not place.startswith(UNDECIDED)]
    return f"the interval is {listed(sides)} of {len(places)} {of}"


def side_of(low: float, high: float, limit: float = 0.0, name: str = "zero") -> str:
    """Say on which side of a limit an interval lies; an interval that ends at it leaves that open."""
    return f"{'above' if low > limit else 'below' if high < limit else 'on both sides of'} {name}"
