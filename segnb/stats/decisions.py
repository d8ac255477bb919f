"""From effects to words: tests of a claim by its own seeds, and Holm's correction among its family.

α is 0.05. `>` is tested both ways, so its p is twice the one-sided one, and "supported" means that the 95 %
interval lies above the margin; nominally this is wrong in 2.5 % of studies of an effect that is exactly the
margin, which leaves room for what normal theory gets wrong. `≈` is supported by two one-sided tests
(Schuirmann 1987), a 90 % interval within ±margin, and refuted by a 95 % interval outside. Holm (1979) holds α
for a whole family of claims, for "supported" and for "refuted" apart.

A claim has two hurdles: alone by its own seeds, among its family with the help of the family's pool of seeds
(`segnb.stats.effect`). tests/stats/test_statistics.py measures all of this in simulated studies, and what other
formulations would do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from segnb.stats.effect import Effect

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


@dataclass(frozen=True)
class Decision:
    """The word on a claim among those of its family, and its p, alone and corrected.

    support, against:           p for and against by the claim's own seeds, see `evidence`
    support_holm, against_holm: Holm's correction of the p that the pool gives, or the p alone if larger
    """

    word: str
    support: float
    against: float
    support_holm: float
    against_holm: float


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
