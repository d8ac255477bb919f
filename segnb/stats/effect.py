"""The effect of a comparison of networks, with images and seeds as two sources of chance.

A difference between networks is measured on N test images with S seeds per network; images and seeds are the
same on both sides. Images are *crossed* with seeds: a hard image is hard for every seed. Therefore

    SE² = seed variance / S + image variance

The seed variance is the variance of the difference between seeds on these images. The image variance is the
part that all seeds share. It comes from the bootstrap (`segnb.stats.bootstrap`), in which one weighting of
the images serves all seeds and both sides. A bootstrap of the mean over seeds also includes 1/S of the
interaction of image and seed, which the seed variance already contains, so this part is subtracted.

The degrees of freedom lie between those of the two parts: 1/dof = share of the seeds in SE² / (S - 1) + share
of the images / (N - 1). Welch's formula uses the squares of the shares, which three seeds estimate too badly:
its intervals are too narrow.

**Pooling.** Three seeds estimate a variance badly. A pool of the family's residuals is right only if all
variances are equal and no two networks vary together with the seed. The pool therefore counts as `LENT` seeds
in addition to the comparison's own, both in the variance and in its degrees of freedom (Smyth 2004, section
3). Interval, p and number of seeds needed all rest on this standard error.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit  # quantile of Student's t; scipy.stats.t takes 40 times as long

LENT = 2  # weight of the pool in seeds; more make intervals of unstable networks too narrow


def standard_error(seed_part, seed_dof, image_part, image_dof):
    """Return standard error and degrees of freedom of a mean whose variance has two parts."""
    total = seed_part + image_part
    share = seed_part / np.maximum(total, np.finfo(float).tiny)
    return np.sqrt(total), 1 / (share / seed_dof + (1 - share) / image_dof)


def moderated(own, own_dof: int, pooled, pooled_dof: int):
    """Return a variance moderated by the pool (Smyth 2004, section 3), and its degrees of freedom."""
    dof = min(own_dof + LENT, pooled_dof)  # the pool cannot count more than the rest of the family
    return (own_dof * own + (dof - own_dof) * pooled) / dof, dof


@dataclass(frozen=True)
class Effect:
    """The effect of a comparison of networks, in the unit of the metric.

    by_seed:         the effect at each seed on all test images, (S,)
    seed_variance:   variance of the effect between seeds; NaN with one seed
    pooled_variance: the same if all networks of the family had one residual variance
    pooled_dof:      degrees of freedom of the pool; S - 1 without a pool
    image_variance:  variance of the mean over seeds due to images; 0 for a metric without images. With one
                     seed, the variance over test images, seeds fixed.
    images:          number of independent images (for drives, blocks) that contribute; 0 for a metric
                     without images
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
        return max(self.images - 1, 1)  # without an image part, the value does not matter

    @property
    def few_seeds(self) -> bool:
        """Whether its variance between seeds is too uncertain for a test.

        One degree of freedom gives a variance of almost zero too often, and the images' degrees of freedom
        then hide it: intervals at 95% would contain the true effect in only 91% of cases.
        """
        return self.pooled_dof < 2

    @property
    def testable(self) -> bool:
        """Whether seeds are enough and the effect varies; equal values in all runs are not certainty."""
        return not self.few_seeds and self.se > 1e-9 * np.abs(self.by_seed).max()

    def error(self) -> tuple[float, float]:
        """Return the standard error and its degrees of freedom.

        With one seed, it is the error over test images, seeds fixed; NaN if there are no images either.
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
        """Return (low, high) from Student's t."""
        se, dof = self.error()
        half = stdtrit(dof, (1 + level) / 2) * se
        return float(self.estimate - half), float(self.estimate + half)


def effect(values: np.ndarray, draws: np.ndarray | None, coefficients: np.ndarray, images: int = 0) -> Effect:
    """Estimate the effect Σ coefficient · value and its variances.

    Args:
        values: (V, S), one row per variant of the family, one column per seed.
        draws: (V, S, B), the values under B weightings of the images; None for a metric without images.
        coefficients: (V,), such as 1 and -1; 0 for a variant that only adds residuals to the pool.
        images: number of independent images that contribute, if there are draws.

    Raises:
        ValueError: if the shapes do not fit or values are not finite.
    """
    values, coefficients = np.asarray(values, np.float64), np.asarray(coefficients, np.float64)
    if values.ndim != 2 or coefficients.shape != values.shape[:1]:
        raise ValueError(
            f"values {values.shape} and coefficients {coefficients.shape} (expected (V, S) and (V,))"
        )
    if draws is not None and (np.shape(draws)[:2] != values.shape or images < 2):
        raise ValueError(
            f"draws {np.shape(draws)} of {images} images (expected {(*values.shape, 'B')}, at least 2 images)"
        )
    if not np.isfinite(values).all() or (draws is not None and not np.isfinite(draws).all()):
        raise ValueError("values are missing or not finite. Leave the variant out or mark it as not measured")
    variants, seeds = values.shape
    by_seed = coefficients @ values
    own = by_seed.var(ddof=1) if seeds > 1 else np.nan
    pooled, pooled_dof = own, seeds - 1
    # The effect of a seed cancels only if the coefficients sum to zero; otherwise nothing can be pooled.
    if seeds > 1 and variants > 2 and np.isclose(coefficients.sum(), 0):
        residuals = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
        pooled_dof = (variants - 1) * (seeds - 1)
        pooled = (coefficients @ coefficients) * (residuals**2).sum() / pooled_dof
    image = 0.0 if draws is None else _image_variance(np.tensordot(coefficients, draws, 1), images)
    return Effect(by_seed, float(own), float(pooled), pooled_dof, image, images if draws is not None else 0)


def _image_variance(draws: np.ndarray, images: int) -> float:
    """Return the variance of the mean over seeds that is due to images shared by all seeds.

    Args:
        draws: (S, B), the effect at each seed under each weighting of the images.
    """
    total = draws.mean(0).var(ddof=1)
    peculiar = (draws - draws.mean(0)).var(1, ddof=1).sum() / (len(draws) - 1) if len(draws) > 1 else 0.0
    # Under Dirichlet(1, …, 1), a mean has the variance s²/N · (N - 1)/(N + 1).
    return float(max(total - peculiar / len(draws), 0.0) * (images + 1) / (images - 1))
