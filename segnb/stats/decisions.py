"""From effects to words: tests of a claim by its own seeds, and Holm's correction among its family.

α is 0.05. `>` is tested both ways, so its p is twice the one-sided one, and "supported" means that the 95 %
interval lies above the margin; nominally this is wrong in 2.5 % of studies of an effect that is exactly the
margin, which leaves room for what normal theory gets wrong. `≈` is supported by two one-sided tests
(Schuirmann 1987), a 90 % interval within ±margin, and refuted by a 95 % interval outside. Holm (1979) holds α
for a whole family of claims, for "supported" and for "refuted" apart.

A claim has two hurdles: alone by its own seeds, among its family with the help of the family's pool of seeds
(`segnb.stats.effect`). tests/stats/test_simulated_studies.py measures all of this in simulated studies, and
what other formulations would do.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr

from segnb.stats.effect import Effect, moderated, standard_error

ALPHA = 0.05


def p_values(kind: str, estimate, se, dof, margin: float = 0.0) -> tuple:
    """Compute p for and p against one contrast, before any correction; over arrays too.

    Args:
        kind: ">" (the effect is above the margin) or "≈" (it is within ±margin).
        estimate, se, dof: of the effect; NaN for what cannot be tested.
        margin: in the unit of the metric.

    Returns:
        For ">", two-sided p of both directions. For "≈", p of two one-sided tests against "the effect is
        `margin` or more from zero", and two-sided p against "the effect is within ±margin".

    Raises:
        ValueError: for another kind.
    """

    def below(limit: float):
        """One-sided p against "the effect is at least the limit"."""
        return stdtr(dof, (estimate - limit) / se)

    def above(limit: float):
        """One-sided p against "the effect is at most the limit"."""
        return stdtr(dof, -((estimate - limit) / se))

    if kind == ">":
        return 2 * above(margin), 2 * below(margin)
    if kind == "≈":
        outside = np.minimum(1, 2 * np.minimum(above(margin), below(-margin)))
        return np.maximum(above(-margin), below(margin)), outside
    raise ValueError(f"kind {kind!r} is neither > nor ≈")


def combine(p: Sequence[tuple]) -> tuple:
    """Combine `p_values` of the contrasts of a claim; over arrays too.

    All contrasts must pass, so the p for is the largest; one that fails is enough, so the p against is the
    smallest, times the number of contrasts (Bonferroni). Both are NaN where a contrast cannot be tested.
    """
    support, against = zip(*p, strict=True)
    return np.minimum(1, np.max(support, axis=0)), np.minimum(1, len(p) * np.min(against, axis=0))


def evidence(kind: str, effects: list[Effect], margin=0.0, pooled: bool = False) -> tuple[float, float]:
    """Compute p for and p against a claim.

    Args:
        kind: see `p_values`.
        effects: of the contrasts that all have to hold.
        margin: one number, or one per contrast; 2 points for "noticeably above", 0 for "above".
        pooled: whether the pool helps, as for Holm's correction.
    """
    p = []
    for effect, limit in zip(effects, np.broadcast_to(margin, len(effects)), strict=True):
        error = effect.error(pooled) if effect.testable else (np.nan, np.nan)
        p.append(p_values(kind, effect.estimate, *error, limit))
    return tuple(map(float, combine(p)))


def holm(p: dict[str, float]) -> dict[str, float]:
    """Correct p for their number (Holm 1979); those that are NaN stay so and do not count."""
    corrected, worst = dict(p), 0.0
    tested = sorted((name for name in p if not np.isnan(p[name])), key=p.get)
    for rank, name in enumerate(tested):
        worst = max(worst, min(1.0, (len(tested) - rank) * p[name]))
        corrected[name] = worst
    return corrected


class Decision(NamedTuple):
    """The word on a claim among those of its family, and its p, alone and corrected.

    p, p_against:           p for and against by the claim's own seeds, see `evidence`
    p_holm, p_against_holm: Holm's correction of the p that the pool gives, or the p alone if larger
    """

    word: str
    p: float
    p_against: float
    p_holm: float
    p_against_holm: float


def decide(claims: dict[str, tuple[str, list[Effect], float]]) -> dict[str, Decision]:
    """Decide the claims {name: (kind, effects, margins)} of one family together."""
    alone = {name: evidence(*claim) for name, claim in claims.items()}
    pooled = {name: evidence(*claim, pooled=True) for name, claim in claims.items()}
    holms = [holm({name: p[side] for name, p in pooled.items()}) for side in (0, 1)]
    decisions = {}
    for name, p in alone.items():
        support, against = (float(np.maximum(p[side], holms[side][name])) for side in (0, 1))
        word = "supported" if support < ALPHA else "refuted" if against < ALPHA else "inconclusive"
        decisions[name] = Decision(word, *p, support, against)
    return decisions


POWER = 0.8  # a study with this chance of a decision has seeds enough
SEEDS = (3, 5, 10)  # numbers of seeds for which the chance of a decision is printed
MOST_SEEDS = 1000
STUDIES = 1000  # that are simulated: a power of 0.8 is good to 1.3 points


def power(kind: str, effects: list[Effect], margin=0.0, seeds: int = 3, claims: int = 1) -> float:
    """Estimate the chance that a study of so many seeds decides a claim, either way, on the same images.

    The same arguments give the same number.

    Args:
        kind, effects, margin: see `segnb.stats.decisions.evidence`.
        seeds: of the simulated studies, at least 2.
        claims: how many the family has; the claim is then held to the first and strictest step of Holm's
            correction, so that the chance counts on no other claim.

    Returns:
        0 to 1; NaN where a contrast cannot be tested.
    """
    if not all(effect.testable for effect in effects):
        return np.nan
    alone, among = [], []
    for stream, (effect, limit) in enumerate(
        zip(effects, np.broadcast_to(margin, len(effects)), strict=True)
    ):
        estimates, own, helped = _studies(effect, seeds, stream)
        alone.append(p_values(kind, estimates, *own, limit))
        among.append(p_values(kind, estimates, *helped, limit))
    sides = zip(combine(alone), combine(among), strict=True)
    supported, refuted = (np.maximum(own, claims * corrected) < ALPHA for own, corrected in sides)
    return float((supported | refuted).mean())


def _studies(effect: Effect, seeds: int, stream: int) -> tuple:
    """Draw what studies of so many seeds would measure.

    Returns:
        Estimates (STUDIES,), and (SE, dof) of each: by its own seeds, and with the pool's help.
    """
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
    helped, dof = moderated(own, own_dof, (own + (lenders - 1) * rest) / lenders, lenders * own_dof)
    errors = (standard_error(own / seeds, own_dof, *image), standard_error(helped / seeds, dof, *image))
    return effect.estimate + noise, *errors


def seeds_needed(kind: str, effects: list[Effect], margin=0.0, claims: int = 1) -> int | None:
    """Return the fewest seeds of which `power` is `POWER`; None beyond `MOST_SEEDS`."""
    counts = range(2, MOST_SEEDS + 1)  # more seeds, more power
    first = bisect_left(counts, True, key=lambda seeds: power(kind, effects, margin, seeds, claims) >= POWER)
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


def outlook(kind: str, effects: list[Effect], margin=0.0, claims: int = 1) -> Outlook:
    """Tell what more seeds would bring to a claim; see `power`."""
    if not effects or not all(effect.testable for effect in effects):
        return Outlook()
    claim = kind, effects, margin
    needed = seeds_needed(*claim, claims)
    return Outlook(
        needed,
        needed is not None or power(*claim, 10**6, claims) >= POWER,
        {str(seeds): power(*claim, seeds, claims) for seeds in SEEDS},
    )
