"""From effects to words: one error per contrast, one level per family, and the interval that decides.

`>` is supported where the interval of every contrast lies above its margin, and refuted where that of one
lies below; `≈` is supported where all lie within ±margin, and refuted where one lies outside. Every p is
two-sided and comes from the error that the interval has (`segnb.stats.effect`), so the two never disagree.

α is 0.05. Of the claims of a family that are decided, at most a share α is decided wrongly on average
(Benjamini and Hochberg 1995). With R of m tested claims decided, all intervals of the family are at the level
1 - αR/m (false coverage rate, Benjamini and Yekutieli 2005), and so the word can be read off them. One
contrast of several is enough to refute a claim, so its p against is multiplied by their number (Bonferroni),
and an interval that lies on the wrong side of the margin is widened accordingly, up to the margin at most.

tests/stats/test_simulated_studies.py measures all of this in simulated studies.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr

from segnb.stats.effect import Effect, moderated, standard_error

ALPHA = 0.05


def p_values(kind: str, estimate, se, dof, margin: float = 0.0) -> tuple:
    """Compute two-sided p for and against one contrast; over arrays too.

    Args:
        kind: ">" (the effect is above the margin) or "≈" (it is within ±margin).
        estimate, se, dof: of the effect; NaN for what cannot be tested.
        margin: in the unit of the metric.

    Raises:
        ValueError: for another kind.
    """
    low, high = {">": (margin, np.inf), "≈": (-margin, margin)}.get(kind, (None, None))
    if low is None:
        raise ValueError(f"kind {kind!r} is neither > nor ≈")

    def below(limit: float):
        """Two-sided p against "the effect is at least the limit", for an effect below it."""
        return 2 * stdtr(dof, (estimate - limit) / se)

    def above(limit: float):
        return 2 * stdtr(dof, (limit - estimate) / se)

    return np.maximum(above(low), below(high)), np.minimum(below(low), above(high))


def combine(p: Sequence[tuple]) -> tuple:
    """Combine `p_values` of the contrasts of a claim; over arrays too.

    All contrasts must pass, so the p for is the largest, and NaN where one cannot be tested. One that fails
    is enough, so the p against is the smallest, times the number of contrasts (Bonferroni).
    """
    support, against = zip(*p, strict=True)
    return np.minimum(1, np.max(support, axis=0)), np.minimum(1, len(p) * np.fmin.reduce(against, axis=0))


def evidence(kind: str, effects: Sequence[Effect | None], margin=0.0) -> tuple[float, float]:
    """Compute p for and p against a claim.

    Args:
        kind: see `p_values`.
        effects: of the contrasts that all have to hold; None for one that has not been measured.
        margin: one number, or one per contrast; 2 points for "noticeably above", 0 for "above".
    """
    p = []
    for effect, limit in zip(effects, np.broadcast_to(margin, len(effects)), strict=True):
        known = effect is not None and effect.testable
        p.append(p_values(kind, *((effect.estimate, *effect.error()) if known else [np.nan] * 3), limit))
    return tuple(map(float, combine(p)))


def level_of(p: Iterable[float]) -> float:
    """Return the level of a family's intervals: 1 - αR/m where R of its m tested claims are decided."""
    tested = np.sort([one for one in p if not np.isnan(one)])
    steps = np.arange(1, len(tested) + 1) / max(len(tested), 1)
    passed = np.flatnonzero(tested <= ALPHA * steps)
    return float(1 - ALPHA * (steps[passed.max(initial=0)] if len(tested) else 1))


class Decision(NamedTuple):
    """The word on a claim of a family, its p for and against, and the level of the family's intervals."""

    word: str
    p_for: float
    p_against: float
    level: float


def decide(claims: dict[str, tuple[str, list[Effect | None], float]]) -> dict[str, Decision]:
    """Decide the claims {name: (kind, effects, margins)} of one family together."""
    found = {name: evidence(*claim) for name, claim in claims.items()}
    level = level_of(np.fmin(*p) for p in found.values())
    alpha = 1 - level + 1e-12  # a p that sets the level passes it
    decisions = {}
    for name, (p_for, p_against) in found.items():
        word = "supported" if p_for <= alpha else "refuted" if p_against <= alpha else "inconclusive"
        decisions[name] = Decision(word, p_for, p_against, level)
    return decisions


def interval(
    effect: Effect, level: float, kind: str = "", margin: float = 0.0, contrasts: int = 1
) -> tuple[float, float]:
    """Return the interval from which the verdict is read off.

    Args:
        effect: of one contrast.
        level: of the family, see `level_of`.
        kind, margin: of the claim that the contrast decides; "" for one that is only shown.
        contrasts: how many decide the claim.
    """
    low, high = effect.interval(level)
    wide = effect.interval(1 - (1 - level) / contrasts)
    if kind == "≈" and low > margin:
        low = max(wide[0], margin)
    bottom = -margin if kind == "≈" else margin
    if kind and high < bottom:
        high = min(wide[1], bottom)
    return low, high


POWER = 0.8  # a study with this chance of a decision has seeds enough
SEEDS = (3, 5, 10)  # numbers of seeds for which the chance of a decision is printed
MOST_SEEDS = 1000
STUDIES = 1000  # that are simulated: a power of 0.8 is good to 1.3 points


def power(kind: str, effects: list[Effect], margin=0.0, seeds: int = 3, level: float = 1 - ALPHA) -> float:
    """Estimate the chance that a study of so many seeds decides a claim, either way, on the same images.

    The same arguments give the same number.

    Args:
        kind, effects, margin: see `segnb.stats.decisions.evidence`.
        seeds: of the simulated studies, at least 2.
        level: of the family's intervals.

    Returns:
        0 to 1; NaN where a contrast cannot be tested.
    """
    if not all(effect.testable for effect in effects):
        return np.nan
    margins = np.broadcast_to(margin, len(effects))
    studies = enumerate(zip(effects, margins, strict=True))
    p = combine(
        [p_values(kind, *_studies(effect, seeds, stream), limit) for stream, (effect, limit) in studies]
    )
    return float((np.minimum(*p) <= 1 - level).mean())


def _studies(effect: Effect, seeds: int, stream: int) -> tuple:
    """Draw what studies of so many seeds would measure: estimate, SE and dof of each, (STUDIES,)."""
    lenders = effect.pooled_dof // (effect.seeds - 1)  # degrees of freedom per seed in the pool
    variance, _ = moderated(effect.seed_variance, effect.seeds - 1, effect.pooled_variance, effect.pooled_dof)
    draw = np.random.default_rng(stream)

    def estimated(variance: float, dof: int) -> np.ndarray:
        return variance * draw.chisquare(dof, STUDIES) / dof

    noise = draw.normal(0, np.sqrt(variance / seeds + effect.image_variance), STUDIES)
    image = estimated(effect.image_variance, effect.image_dof), effect.image_dof
    own_dof = seeds - 1
    own = estimated(variance, own_dof)
    rest = estimated(effect.pooled_variance, max((lenders - 1) * own_dof, 1))
    own, dof = moderated(own, own_dof, (own + (lenders - 1) * rest) / lenders, lenders * own_dof)
    return effect.estimate + noise, *standard_error(own / seeds, dof, *image)


def seeds_needed(kind: str, effects: list[Effect], margin=0.0, level: float = 1 - ALPHA) -> int | None:
    """Return the fewest seeds of which `power` is `POWER`; None beyond `MOST_SEEDS`."""
    counts = range(2, MOST_SEEDS + 1)  # more seeds, more power
    first = bisect_left(counts, True, key=lambda seeds: power(kind, effects, margin, seeds, level) >= POWER)
    return counts[first] if first < len(counts) else None


class Outlook(NamedTuple):
    """What more seeds would bring if effects and spreads stay as they are.

    needed:        see `seeds_needed`
    images_suffice: False where it takes more test images, or a clearer effect, whatever the seeds
    power:         chance of a decision by number of seeds, as text; empty where seeds have no part in it
    """

    needed: int | None = None
    images_suffice: bool = True
    power: dict[str, float] = {}


def outlook(kind: str, effects: list[Effect], margin=0.0, level: float = 1 - ALPHA) -> Outlook:
    """Tell what more seeds would bring to a claim; see `power`."""
    if not effects or not all(effect.testable for effect in effects):
        return Outlook()
    claim = kind, effects, margin
    needed = seeds_needed(*claim, level)
    return Outlook(
        needed,
        needed is not None or power(*claim, 10**6, level) >= POWER,
        {str(seeds): power(*claim, seeds, level) for seeds in SEEDS},
    )
