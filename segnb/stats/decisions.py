"""From effects to verdicts: one standard error per comparison and one interval level per family.

A ">" claim is supported if the interval of every comparison lies above its margin, and refuted if one lies
below. A "≈" claim is supported if all intervals lie within ±margin, and refuted if one lies outside. Each p
is two-sided and uses the same standard error as the interval (`segnb.stats.effect`), so p and interval always
agree.

α is 0.05. On average, at most a share α of the decided claims of a family is decided wrongly (Benjamini and
Hochberg 1995). If R of m tested claims are decided, all intervals of the family have the level 1 - αR/m
(false coverage rate, Benjamini and Yekutieli 2005), so the verdict can be read off them. One comparison of
several is enough to refute a claim. Its p against is therefore multiplied by their number (Bonferroni), and
an interval on the wrong side of the margin is widened accordingly, up to the margin at most.

tests/stats/test_simulated_studies.py checks this in simulated studies.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr

from segnb.stats.effect import Effect, moderated, standard_error

ALPHA = 0.05


def p_values(kind: str, estimate, se, dof, margin: float = 0.0) -> tuple:
    """Compute two-sided p for and against one comparison, also over arrays.

    Args:
        kind: ">" (the effect is above the margin) or "≈" (it is within ±margin).
        estimate, se, dof: of the effect; NaN if it cannot be tested.
        margin: in the unit of the metric.
    """
    low, high = (margin, np.inf) if kind == ">" else (-margin, margin)

    def below(limit: float):
        """Return the two-sided p for "the effect is below the limit"; above 1 if the estimate is above it."""
        return 2 * stdtr(dof, (estimate - limit) / se)

    def above(limit: float):
        return 2 * stdtr(dof, (limit - estimate) / se)

    return np.maximum(above(low), below(high)), np.minimum(below(low), above(high))


def combine(p: Sequence[tuple]) -> tuple:
    """Combine `p_values` of the comparisons of a claim, also over arrays.

    All comparisons must pass, so the p for is the largest, and NaN if one cannot be tested. One failure is
    enough, so the p against is the smallest, times the number of comparisons (Bonferroni).
    """
    support, against = zip(*p, strict=True)
    return np.minimum(1, np.max(support, axis=0)), np.minimum(1, len(p) * np.fmin.reduce(against, axis=0))


def evidence(kind: str, effects: Sequence[Effect | None], margin=0.0) -> tuple[float, float]:
    """Compute p for and p against a claim.

    Args:
        kind: see `p_values`.
        effects: of the comparisons that must all hold; None for an unmeasured comparison.
        margin: one number, or one per comparison, such as 0 for "above" and 0.02 for "noticeably above".
    """
    p = []
    for effect, limit in zip(effects, np.broadcast_to(margin, len(effects)), strict=True):
        known = effect is not None and effect.testable
        estimate, se, dof = (effect.estimate, *effect.error()) if known else (np.nan,) * 3
        p.append(p_values(kind, estimate, se, dof, limit))
    return tuple(map(float, combine(p)))


def level_of(p: Iterable[float]) -> float:
    """Return the level of a family's intervals: 1 - αR/m if R of its m tested claims are decided.

    If none is decided, R is taken as 1; if none is tested, the level is 1 - α.

    Args:
        p: of each claim, the smaller of p for and p against; NaN if it is not tested
    """
    tested = np.sort([value for value in p if not np.isnan(value)])
    steps = np.arange(1, len(tested) + 1) / max(len(tested), 1)
    passed = np.flatnonzero(tested <= ALPHA * steps)
    return float(1 - ALPHA * (steps[passed.max(initial=0)] if len(tested) else 1))


class Decision(NamedTuple):
    """The verdict on a claim, its p for and against, and the level of the family's intervals."""

    word: str
    p_for: float
    p_against: float
    level: float


def decide(claims: dict[str, tuple[str, list[Effect | None], list[float]]]) -> dict[str, Decision]:
    """Decide the claims of one family together.

    Args:
        claims: by name, the arguments of `evidence`: kind, effects and margins.
    """
    tested = {name: evidence(*claim) for name, claim in claims.items()}
    level = level_of(np.fmin(*pair) for pair in tested.values())
    alpha = 1 - level + 1e-12  # the p that sets the level passes
    decisions = {}
    for name, (p_for, p_against) in tested.items():
        word = "supported" if p_for <= alpha else "refuted" if p_against <= alpha else "inconclusive"
        decisions[name] = Decision(word, p_for, p_against, level)
    return decisions


def interval(
    effect: Effect, level: float, kind: str = "", margin: float = 0.0, contrasts: int = 1
) -> tuple[float, float]:
    """Return the interval from which the verdict can be read off.

    Args:
        effect: of one comparison.
        level: of the family, see `level_of`.
        kind, margin: of the claim that the comparison decides; kind "" if it is only shown.
        contrasts: number of comparisons that decide the claim.
    """
    low, high = effect.interval(level)
    wide = effect.interval(1 - (1 - level) / contrasts)
    if kind == "≈" and low > margin:
        low = max(wide[0], margin)
    bottom = -margin if kind == "≈" else margin
    if kind and high < bottom:
        high = min(wide[1], bottom)
    return low, high


POWER = 0.8  # chance of a decision from which a number of seeds is sufficient
SEEDS = (3, 5, 10)  # numbers of seeds for which the chance of a decision is reported
MOST_SEEDS = 1000
STUDIES = 1000  # simulated; the standard error of a power of 0.8 is 1.3 points


def power(kind: str, effects: list[Effect], margin=0.0, seeds: int = 3, level: float = 1 - ALPHA) -> float:
    """Estimate the chance that a study with `seeds` seeds decides a claim, either way, on the same images.

    The same arguments give the same number.

    Args:
        kind, effects, margin: see `segnb.stats.decisions.evidence`.
        seeds: number of seeds of the simulated studies, at least 2.
        level: of the family's intervals.

    Returns:
        0 to 1; NaN if no comparison can be tested. If some cannot, the others can only refute the claim.
    """
    if not any(effect.testable for effect in effects):
        return np.nan
    margins = np.broadcast_to(margin, len(effects))
    studies = [_studies(effect, seeds, stream) for stream, effect in enumerate(effects)]
    p = combine([p_values(kind, *study, limit) for study, limit in zip(studies, margins, strict=True)])
    return float((np.fmin(*p) <= 1 - level).mean())


def _studies(effect: Effect, seeds: int, stream: int) -> tuple:
    """Simulate studies with `seeds` seeds: estimate, SE and degrees of freedom of each, (STUDIES,)."""
    if not effect.testable:
        return (np.full(STUDIES, np.nan),) * 3
    lenders = effect.pooled_dof // (effect.seeds - 1)  # degrees of freedom per seed in the pool
    variance, _ = moderated(effect.seed_variance, effect.seeds - 1, effect.pooled_variance, effect.pooled_dof)
    draw = np.random.default_rng(stream)

    def estimated(variance: float, dof: int) -> np.ndarray:
        """Draw the estimate of a variance in each study."""
        return variance * draw.chisquare(dof, STUDIES) / dof

    noise = draw.normal(0, np.sqrt(variance / seeds + effect.image_variance), STUDIES)
    image_part = estimated(effect.image_variance, effect.image_dof)
    own_dof = seeds - 1
    own = estimated(variance, own_dof)
    rest = estimated(effect.pooled_variance, max((lenders - 1) * own_dof, 1))
    pooled = (own + (lenders - 1) * rest) / lenders
    seed_variance, seed_dof = moderated(own, own_dof, pooled, lenders * own_dof)
    se, dof = standard_error(seed_variance / seeds, seed_dof, image_part, effect.image_dof)
    return effect.estimate + noise, se, dof


def seeds_needed(kind: str, effects: list[Effect], margin=0.0, level: float = 1 - ALPHA) -> int | None:
    """Return the smallest number of seeds with a `power` of `POWER`; None if above `MOST_SEEDS`."""
    pooled = all(effect.pooled_dof > effect.seeds - 1 for effect in effects)
    counts = range(2 if pooled else 3, MOST_SEEDS + 1)  # see `Effect.few_seeds`; power grows with the seeds
    first = bisect_left(counts, True, key=lambda seeds: power(kind, effects, margin, seeds, level) >= POWER)
    return counts[first] if first < len(counts) else None


class Outlook(NamedTuple):
    """The effect of more seeds, if effects and spreads stay the same.

    seeds_needed:   see the function of that name
    images_suffice: False if no number of seeds is enough on these test images
    power:          chance of a decision by number of seeds, as text; empty if it does not depend on seeds
    """

    seeds_needed: int | None = None
    images_suffice: bool = True
    power: dict[str, float] = {}


def outlook(kind: str, effects: list[Effect], margin=0.0, level: float = 1 - ALPHA) -> Outlook:
    """Compute the effect of more seeds on a claim; see `power` for the arguments."""
    if not any(effect.testable for effect in effects):
        return Outlook()
    claim = kind, effects, margin
    needed = seeds_needed(*claim, level)
    return Outlook(
        needed,
        needed is not None or power(*claim, 10**6, level) >= POWER,
        {str(seeds): power(*claim, seeds, level) for seeds in SEEDS},
    )
