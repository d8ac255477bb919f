"""The effect of a contrast of networks, with images and seeds as two sources of chance.

A difference between networks is measured on N test images with networks of S seeds, the same images and
seeds on both sides. Images are *crossed* with seeds: a hard image is hard for every seed. So

    SE² = seed variance / S + image variance

where the seed variance is that of the difference from one seed to the next on these images, and the image
variance is what all seeds share. The second comes from the bootstrap (`segnb.stats.bootstrap`), in which one
weighting of the images serves all seeds and both sides. A bootstrap of the mean over seeds also holds 1/S
of what is peculiar to an image *and* a seed; the spread over seeds holds it already, so it is taken off.
The degrees of freedom lie between those of the two parts: 1/dof = share of the seeds in SE² / (S - 1) +
share of the images / (N - 1). Welch's formula has the squares of the shares, which three seeds estimate
too badly: its intervals are too narrow.

**Whose seeds.** Three seeds tell a variance badly, and a pool of the family's residuals is right only where
all variances are equal and seeds tie no two networks closer than others. So the pool counts as `LENT` more
seeds beside the contrast's own, in the variance and in its degrees of freedom (Smyth 2004, section 3). That
is the one error of an effect: its interval, its p and the seeds that it takes all rest on it.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit  # of Student's t; scipy.stats.t takes 40 times as long

LENT = 2  # seeds that the pool is worth; with more, intervals of one unsteady network cover too little


def standard_error(seed_part, seed_dof, image_part, image_dof):
    """Return the standard error and degrees of freedom of a mean whose variance has two parts."""
    total = seed_part + image_part
    share = seed_part / np.maximum(total, np.finfo(float).tiny)
    return np.sqrt(total), 1 / (share / seed_dof + (1 - share) / image_dof)


def moderated(own, own_dof: int, pooled, pooled_dof: int):
    """Return a variance that leans on the pool's (Smyth 2004, section 3), and its degrees of freedom."""
    lent = min(LENT, pooled_dof - own_dof)  # the pool has no more to lend than the rest of the family
    return (own_dof * own + lent * pooled) / (own_dof + lent), own_dof + lent


@dataclass(frozen=True)
class Effect:
    """A contrast of networks, in the unit of the metric.

    by_seed:         (S,) the contrast at each seed, on all test images
    seed_variance:   of the contrast from one seed to the next; NaN with one seed
    pooled_variance: the same, had all networks of the family one variance about variant and seed
    pooled_dof:      degrees of freedom of the pool; S - 1 where there is nothing to pool
    image_variance:  of the mean over seeds, from images alone; 0 for a metric that has none. With one seed
                     that over test images, seeds fixed.
    images:          how many independent ones (of drives: blocks of frames); 0 for a metric that has none
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
    def image_dof(self) -> int:
        return max(self.images - 1, 1)  # any will do where there is no image part

    @property
    def testable(self) -> bool:
        """Whether there are two seeds and anything varies: all the same in three runs is not certainty."""
        return self.seeds > 1 and self.se > 1e-9 * np.abs(self.by_seed).max()

    def error(self) -> tuple[float, float]:
        """Return the standard error and its degrees of freedom.

        With one seed the error is that over test images, seeds fixed; NaN without images too.
        """
        if self.seeds == 1:
            return (self.image_se, self.image_dof) if self.images else (np.nan, np.nan)
        variance, dof = moderated(self.seed_variance, self.seeds - 1, self.pooled_variance, self.pooled_dof)
        se, dof = standard_error(variance / self.seeds, dof, self.image_variance, self.image_dof)
        return float(se), float(dof)

    @property
    def se(self) -> float:
        return self.error()[0]

    @property
    def dof(self) -> float:
        return self.error()[1]

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return (low, high) by Student's t."""
        se, dof = self.error()
        half = stdtrit(dof, (1 + level) / 2) * se
        return float(self.estimate - half), float(self.estimate + half)


def effect(values: np.ndarray, draws: np.ndarray | None, coefficients: np.ndarray, images: int = 0) -> Effect:
    """Estimate the contrast Σ coefficient · value, with what chance adds.

    Args:
        values: (V, S), a row per variant of the family, a column per seed.
        draws: (V, S, B), the same under B weightings of the images; None for a metric without images.
        coefficients: (V,), such as 1 and -1; 0 for a variant that only lends its residuals to the pool.
        images: how many there are, wherever there are draws.

    Raises:
        ValueError: for shapes that do not fit and for values that are not finite.
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
