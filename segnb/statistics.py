"""How sure a difference is: images and seeds as two sources of chance, tests, and the seeds that it takes.

A difference between networks is measured on N test images with networks of S seeds, the same images and
seeds on both sides. Images are *crossed* with seeds: a hard image is hard for every seed. So

    SE² = seed variance / S + image variance

where the seed variance is that of the difference from one seed to the next on these images, and the image
variance is what all seeds share. The second comes from a Bayesian bootstrap (Rubin 1981), in which one
weighting of the images serves all seeds and both sides. A bootstrap of the mean over seeds also holds 1/S
of what is peculiar to an image *and* a seed; the spread over seeds holds it already, so it is taken off.
The degrees of freedom lie between those of the two parts: 1/dof = share of the seeds in SE² / (S - 1) +
share of the images / (N - 1). Welch's formula has the squares of the shares, which three seeds estimate
too badly: its intervals are too narrow.

**Whose seeds.** An interval, and a claim's own test, rest on the seeds of that very contrast and on no
other network's. A pool of the family's residuals has more degrees of freedom, but is right only if all
variances are equal and seeds tie no two networks closer than others. Three seeds cannot show that: a test
that pools unless variances plainly differ lets too much pass, and one strict enough gains nothing. Holm's
correction is another matter, as far out in the tails two degrees of freedom decide nothing at all. There
the pool helps: it counts as `LENT` more seeds in the variance and in its degrees of freedom (Smyth 2004,
section 3). So a claim has two hurdles: alone by its own seeds, among its family with the pool's help.

**Error rates.** α is 0.05. `>` is tested both ways, so its p is twice the one-sided one, and "supported"
means that the 95 % interval lies above the margin; nominally this is wrong in 2.5 % of studies of an effect
that is exactly the margin, which leaves room for what normal theory gets wrong. `≈` is supported by two
one-sided tests (Schuirmann 1987), a 90 % interval within ±margin, and refuted by a 95 % interval outside.
Holm (1979) holds α for a whole family of claims, for "supported" and for "refuted" apart.

tests/stats/test_statistics.py measures all of this, and what other formulations would do, in simulated
studies.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import stdtr, stdtrit  # of Student's t; scipy.stats.t takes 40 times as long

ALPHA = 0.05
LENT = 2  # seeds that the pool is worth; with more, one unsteady network could cost the family its α
POWER = 0.8  # a study with this chance of a decision has seeds enough
MOST_SEEDS = 1000


# --- images ---


def image_weights(images: int, draws: int = 2000, *, key: str) -> np.ndarray:
    """Weights (draws, images) of a Bayesian bootstrap; each row is above 0 and has mean 1.

    key: what the test images are, such as their digest; the same key gives the same weights
    """
    if images < 2:
        raise ValueError(f"{images} image says nothing about others: test on at least 2")
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
    return np.random.default_rng(seed).dirichlet(np.ones(images), draws) * images


def resampled(
    statistics: np.ndarray, weights: np.ndarray, reduce: Callable[[np.ndarray], np.ndarray]
) -> tuple[float, np.ndarray]:
    """A measure of one run and what it would be under each weighting of the images.

    statistics: (N, ...), what an image adds
    weights:    (draws, N), see `image_weights`
    reduce:     from sums over images (..., as in statistics) to the measure, over leading axes too

    Returns the measure and an array (draws,).
    """
    if len(statistics) != weights.shape[1]:
        raise ValueError(f"{len(statistics)} images and weights for {weights.shape[1]}")
    counts = np.asarray(statistics, np.float64)
    return float(reduce(counts.sum(0))), np.asarray(reduce(np.tensordot(weights, counts, 1)))


# --- effect ---


def _error(seed_part, seed_dof, image_part, image_dof):
    """Standard error and degrees of freedom of a mean whose variance has two parts."""
    total = seed_part + image_part
    share = seed_part / np.maximum(total, np.finfo(float).tiny)
    return np.sqrt(total), 1 / (share / seed_dof + (1 - share) / image_dof)


def _moderated(own, own_dof: int, pooled, pooled_dof: int):
    """A variance that leans on the pool's (Smyth 2004, section 3), and its degrees of freedom."""
    lent = min(LENT, pooled_dof - own_dof)  # the pool has no more to lend than the rest of the family
    return (own_dof * own + lent * pooled) / (own_dof + lent), own_dof + lent


@dataclass(frozen=True)
class Effect:
    """A contrast of networks, in the unit of the measure.

    by_seed:         (S,) the contrast at each seed, on all test images
    seed_variance:   of the contrast from one seed to the next; NaN with one seed
    pooled_variance: the same, had all networks of the family one variance about variant and seed
    pooled_dof:      degrees of freedom of the pool; S - 1 where there is nothing to pool
    image_variance:  of the mean over seeds, from images alone; 0 for a measure that has none. With one seed
                     that of these very networks on new images.
    images:          how many; 0 for a measure that has none
    """

    by_seed: np.ndarray
    seed_variance: float
    pooled_variance: float
    pooled_dof: int
    image_variance: float
    images: int

    @property
    def estimate(self) -> float:
        return float(self.by_seed.mean())

    @property
    def seeds(self) -> int:
        return len(self.by_seed)

    @property
    def seed_sd(self) -> float:
        return float(np.sqrt(self.seed_variance))

    @property
    def image_se(self) -> float:
        return float(np.sqrt(self.image_variance))

    @property
    def testable(self) -> bool:
        """Whether there are two seeds and anything varies: all the same in three runs is not certainty."""
        return self.seeds > 1 and self.se > 1e-9 * np.abs(self.by_seed).max()

    def error(self, pooled: bool = False) -> tuple[float, float]:
        """Standard error and degrees of freedom, from this contrast's own seeds or with the pool's help.

        With one seed the error is that of these very networks on new images; NaN without images too.
        """
        image_dof = max(self.images - 1, 1)  # any will do where there is no image part
        if self.seeds == 1:
            return (self.image_se, image_dof) if self.images else (np.nan, np.nan)
        variance, seed_dof = self.seed_variance, self.seeds - 1
        if pooled:
            variance, seed_dof = _moderated(variance, seed_dof, self.pooled_variance, self.pooled_dof)
        se, dof = _error(variance / self.seeds, seed_dof, self.image_variance, image_dof)
        return float(se), float(dof)

    @property
    def se(self) -> float:
        return self.error()[0]

    @property
    def dof(self) -> float:
        return self.error()[1]

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """(low, high) by Student's t."""
        se, dof = self.error()
        half = stdtrit(dof, (1 + level) / 2) * se
        return float(self.estimate - half), float(self.estimate + half)


def effect(values: np.ndarray, draws: np.ndarray | None, coefficients: np.ndarray, images: int = 0) -> Effect:
    """The contrast Σ coefficient · value, with what chance adds.

    values:       (V, S), a row a variant of the family, a column a seed
    draws:        (V, S, B), the same under B weightings of the images; None for a measure without images
    coefficients: (V,), such as 1 and -1; 0 for a variant that only lends its residuals to the pool
    images:       how many there are, wherever there are draws

    Raises ValueError for shapes that do not fit and for values that are not finite.
    """
    values, coefficients = np.asarray(values, np.float64), np.asarray(coefficients, np.float64)
    if values.ndim != 2 or coefficients.shape != values.shape[:1]:
        raise ValueError(f"values {values.shape} must be (V, S) and coefficients {coefficients.shape} (V,)")
    if draws is not None and (np.shape(draws)[:2] != values.shape or images < 2):
        raise ValueError(f"draws {np.shape(draws)} must be {(*values.shape, 'B')}, of 2 images or more")
    if not np.isfinite(values).all() or (draws is not None and not np.isfinite(draws).all()):
        raise ValueError("values are missing or not finite: leave the variant out, or call it not measured")
    variants, seeds = values.shape
    by_seed = coefficients @ values
    own = by_seed.var(ddof=1) if seeds > 1 else np.nan
    pooled, pooled_dof = own, seeds - 1
    # Seeds cancel in a contrast that sums to zero; in any other they do not, and nothing can be pooled.
    if seeds > 1 and variants > 2 and np.isclose(coefficients.sum(), 0):
        residuals = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
        pooled_dof = (variants - 1) * (seeds - 1)
        pooled = (coefficients @ coefficients) * (residuals**2).sum() / pooled_dof
    image = 0.0 if draws is None else _image_variance(np.tensordot(coefficients, draws, 1), images)
    return Effect(by_seed, float(own), float(pooled), pooled_dof, image, images if draws is not None else 0)


def _image_variance(draws: np.ndarray, images: int) -> float:
    """Variance that images add to the mean over seeds, apart from what they add to a single seed: (S, B)."""
    total = draws.mean(0).var(ddof=1)
    peculiar = (draws - draws.mean(0)).var(1, ddof=1).sum() / (len(draws) - 1) if len(draws) > 1 else 0.0
    # Dirichlet(1, …, 1) gives a mean the variance s²/N · (N - 1)/(N + 1).
    return float(max(total - peculiar / len(draws), 0.0) * (images + 1) / (images - 1))


# --- tests ---


def _t(effect: Effect, margin: float, pooled: bool) -> tuple[float, float]:
    """Student's t of the effect against the margin, and its degrees of freedom; NaN without a test."""
    se, dof = effect.error(pooled)
    return ((effect.estimate - margin) / se, dof) if effect.testable else (np.nan, np.nan)


def p_above(effect: Effect, margin: float = 0.0, pooled: bool = False) -> float:
    """One-sided p against "the effect is at most the margin"; NaN where nothing can be tested.

    pooled: whether the pool helps, as for Holm's correction, here and below
    """
    t, dof = _t(effect, margin, pooled)
    return float(stdtr(dof, -t))


def p_below(effect: Effect, margin: float = 0.0, pooled: bool = False) -> float:
    """One-sided p against "the effect is at least the margin"."""
    t, dof = _t(effect, margin, pooled)
    return float(stdtr(dof, t))


def p_within(effect: Effect, margin: float, pooled: bool = False) -> float:
    """p against "the effect is `margin` or more from zero": the larger of two one-sided tests."""
    return float(np.maximum(p_above(effect, -margin, pooled), p_below(effect, margin, pooled)))


def p_outside(effect: Effect, margin: float, pooled: bool = False) -> float:
    """Two-sided p against "the effect is within ±margin"."""
    nearer = np.minimum(p_above(effect, margin, pooled), p_below(effect, -margin, pooled))
    return float(np.minimum(1, 2 * nearer))


def evidence(kind: str, parts: list[Effect], margin=0.0, pooled: bool = False) -> tuple[float, float]:
    """p for and p against a claim.

    kind:   ">" (every part is above the margin) or "≈" (every part is within ±margin)
    margin: a number, or one a part; 2 points for "noticeably above", 0 for "above"

    All parts must pass, so the p for is the largest; one that fails is enough, so the p against is the
    smallest, times the number of parts (Bonferroni). Both are NaN where a part cannot be tested.
    """
    pairs = list(zip(parts, np.broadcast_to(margin, len(parts)), strict=True))
    if kind == ">":
        support = [2 * p_above(part, m, pooled) for part, m in pairs]
        against = [2 * p_below(part, m, pooled) for part, m in pairs]
    elif kind == "≈":
        support = [p_within(part, m, pooled) for part, m in pairs]
        against = [p_outside(part, m, pooled) for part, m in pairs]
    else:
        raise ValueError(f"kind {kind!r} is neither > nor ≈")
    return float(np.minimum(1, np.max(support))), float(np.minimum(1, len(parts) * np.min(against)))


def _word(support: float, against: float) -> str:
    return "supported" if support < ALPHA else "refuted" if against < ALPHA else "inconclusive"


def verdict(kind: str, parts: list[Effect], margin=0.0) -> tuple[str, float, float]:
    """What a claim's own data say, were it the only one: the word, p for and p against, see `evidence`."""
    support, against = evidence(kind, parts, margin)
    return _word(support, against), support, against


def holm(p: dict[str, float]) -> dict[str, float]:
    """p corrected for their number (Holm 1979); those that are NaN stay so and do not count."""
    corrected, worst = dict(p), 0.0
    tested = sorted((name for name in p if not np.isnan(p[name])), key=p.get)
    for rank, name in enumerate(tested):
        worst = max(worst, min(1.0, (len(tested) - rank) * p[name]))
        corrected[name] = worst
    return corrected


@dataclass(frozen=True)
class Decision:
    """A claim among those of its family: the word and its p, alone and corrected.

    support, against:           p for and against by the claim's own seeds, see `evidence`
    support_holm, against_holm: Holm's correction of the p that the pool gives, or the p alone if larger
    """

    word: str
    support: float
    against: float
    support_holm: float
    against_holm: float


def decide(claims: dict[str, tuple[str, list[Effect], float]]) -> dict[str, Decision]:
    """Decide the claims {name: (kind, parts, margin)} of one family together."""
    alone = {name: evidence(*claim) for name, claim in claims.items()}
    pooled = {name: evidence(*claim, pooled=True) for name, claim in claims.items()}
    holms = [holm({name: p[side] for name, p in pooled.items()}) for side in (0, 1)]
    decisions = {}
    for name, p in alone.items():
        support, against = (float(np.maximum(p[side], holms[side][name])) for side in (0, 1))
        decisions[name] = Decision(_word(support, against), *p, support, against)
    return decisions


# --- seeds that it takes ---


def power(kind: str, parts: list[Effect], margin=0.0, seeds: int = 3, claims: int = 1) -> float:
    """Chance, 0 to 1, that a study with so many seeds decides the claim, either way, on the same images.

    claims: how many the family has; the claim is then held to the first and strictest step of Holm's
            correction, so that the chance counts on no other claim

    It is the chance *if effects and variances are what this study estimates*, which a few seeds do badly;
    it is for planning, and says nothing about how sure a verdict is. The estimate is normal given the
    variances, and those are averaged over their own distributions. Parts count as independent. NaN where
    a part cannot be tested.
    """
    support, spared = 1.0, 1.0
    for part, m in zip(parts, np.broadcast_to(margin, len(parts)), strict=True):
        if not part.testable:
            return np.nan
        passes, fails = _part_power(kind, part, float(m), seeds, claims, len(parts))
        support, spared = support * passes, spared * (1 - fails)
    return float(support + 1 - spared)


def _part_power(
    kind: str, part: Effect, margin: float, seeds: int, claims: int, parts: int
) -> tuple[float, float]:
    """Chances that one part passes, and that it refutes the claim."""
    lenders = part.pooled_dof // (part.seeds - 1)  # degrees of freedom a seed in the pool
    own_dof, pooled_dof = seeds - 1, lenders * (seeds - 1)
    variance, _ = _moderated(part.seed_variance, part.seeds - 1, part.pooled_variance, part.pooled_dof)
    own = variance * _chi_square(own_dof, 0)
    rest = part.pooled_variance * _chi_square(max(pooled_dof - own_dof, 1), 1)
    helped, helped_dof = _moderated(own, own_dof, (own + (lenders - 1) * rest) / lenders, pooled_dof)
    image_dof = max(part.images - 1, 1)
    image = part.image_variance * _chi_square(image_dof, 2)
    alone = _error(own / seeds, own_dof, image, image_dof)
    among = _error(helped / seeds, helped_dof, image, image_dof)
    true_se = np.sqrt(variance / seeds + part.image_variance)

    def reach(alpha: float) -> np.ndarray:
        """How far beyond a threshold the estimate must be, under each draw of the variances."""
        alpha = min(alpha, 0.5)
        tails = ((alone, alpha), (among, alpha / claims))
        return np.maximum(*(-stdtrit(dof, tail) * se for (se, dof), tail in tails))

    def below(bound: np.ndarray) -> np.ndarray:
        return stats.norm.cdf((bound - part.estimate) / true_se)

    far = reach(ALPHA / 2 / parts)
    if kind == ">":
        passes, fails = 1 - below(margin + reach(ALPHA / 2)), below(margin - far)
    else:
        near = reach(ALPHA)
        passes = np.maximum(below(margin - near) - below(near - margin), 0)
        fails = 1 - below(margin + far) + below(-margin - far)
    return float(passes.mean()), float(fails.mean())


def _chi_square(dof: int, stream: int, size: int = 500) -> np.ndarray:
    """χ²/dof at evenly spaced probabilities, in an order of its own for each stream: (size,)."""
    order = np.random.default_rng(stream).permutation(size)
    return stats.chi2.ppf((order + 0.5) / size, dof) / dof


def seeds_needed(kind: str, parts: list[Effect], margin=0.0, claims: int = 1) -> int | None:
    """The fewest seeds whose `power` is `POWER`; None beyond `MOST_SEEDS`, and where nothing can be tested.

    `images_suffice` tells whether it is for want of images that there is no number.
    """

    counts = range(2, MOST_SEEDS + 1)  # more seeds, more power
    first = bisect_left(counts, True, key=lambda seeds: power(kind, parts, margin, seeds, claims) >= POWER)
    return counts[first] if first < len(counts) else None


def images_suffice(kind: str, parts: list[Effect], margin=0.0, claims: int = 1) -> bool:
    """Whether any number of seeds would do with these images; if not, it takes more images (or the effect
    is at the margin, where nothing decides). False where nothing can be tested."""
    return power(kind, parts, margin, 10**6, claims) >= POWER
