"""How many seeds it takes to decide a claim: studies are simulated and held to the rule of `segnb.stats.decisions`.

Effects and variances are taken to be what this study estimates, which a few seeds do badly; the answer is for
planning, and says nothing about how sure a verdict is. Contrasts of a claim count as independent.
"""

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from segnb.stats.decisions import ALPHA, combine, p_values
from segnb.stats.effect import Effect, moderated, standard_error

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
