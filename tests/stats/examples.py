"""Effects that are made up, and what a claim's own data say of them."""

import numpy as np

from segnb.stats.decisions import decide
from segnb.stats.effect import Effect

VALUES = np.array([[0.50, 0.52, 0.54], [0.40, 0.44, 0.42], [0.31, 0.30, 0.29]])


def made(estimate=0.1, seed_variance=0.01, image_variance=0.0, seeds=3, images=0, pooled=None, dof=None):
    """Return an effect with this size and these variances; `pooled` and `dof` describe the family."""
    own = seed_variance if seeds > 1 else np.nan
    pooled = own if pooled is None else pooled
    return Effect(np.full(seeds, estimate), own, pooled, dof or seeds - 1, image_variance, images)


def verdict(kind: str, parts: list[Effect], margin=0.0) -> tuple[str, float, float]:
    """Return verdict, p for and p against of a claim on its own."""
    return decide({"": (kind, parts, margin)})[""][:3]
