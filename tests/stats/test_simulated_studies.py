"""Effects, decisions and power in simulated studies whose effects are known.

`pytest -m long -s tests/stats/test_simulated_studies.py` simulates thousands of studies and prints the rates.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest

from segnb.stats.bootstrap import image_weights, resample
from segnb.stats.decisions import POWER, decide, interval, power, seeds_needed
from segnb.stats.effect import Effect, effect
from tests.stats.examples import made


@dataclass(frozen=True)
class World:
    """A source of simulated studies in which no two variants differ; standard deviations in any unit.

    seed_sd:  of each variant between seeds, in addition to the effect of a seed on all variants
    tie:      share of this variance that the variants of one half of the family share
    image_sd: of an image's score for one variant, the same for all seeds
    both_sd:  of an image's score for one variant and seed
    heavy:    whether seeds have the tails of Student's t with 3 degrees of freedom
    """

    seed_sd: tuple[float, ...] = (1,) * 7
    tie: float = 0.0
    images: int = 80
    image_sd: float = 4.0
    both_sd: float = 4.0
    heavy: bool = False

    def halves(self) -> np.ndarray:
        """Return the half of each variant, 0 or 1: (V,)."""
        return np.arange(len(self.seed_sd)) * 2 // len(self.seed_sd)

    def contrasts(self) -> np.ndarray:
        """Return coefficients (K, V): neighbours, first and last, both halves, and two gains."""
        rows, half = np.eye(len(self.seed_sd)), self.halves().argmax()
        means = rows[half:].mean(0) - rows[:half].mean(0)
        gains = (rows[-1] - rows[half - 1]) - (rows[half] - rows[0])
        return np.vstack([rows[1:] - rows[:-1], rows[-1] - rows[0], means, gains])

    def variances(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the true seed and image variances of each comparison: (K,), (K,)."""
        c, half = self.contrasts(), self.halves()
        alike = np.where(half[:, None] == half, self.tie, 0.0) + (1 - self.tie) * np.eye(len(half))
        seed = np.einsum("kv,vw,kw->k", c, alike * np.outer(self.seed_sd, self.seed_sd), c)
        an_image = (c**2).sum(1) / self.images if self.images else 0 * seed
        return seed + an_image * self.both_sd**2, an_image * self.image_sd**2

    def errors(self, seeds: int) -> np.ndarray:
        """Return the true standard error of each comparison: (K,)."""
        seed, image = self.variances()
        return np.sqrt(seed / seeds + image)

    def study(self, rng: np.random.Generator, seeds: int, count: int | None = None) -> list[Effect]:
        """Simulate a study and return the effects of its first `count` comparisons."""

        def drawn(shape: tuple[int, int]) -> np.ndarray:
            return rng.standard_t(3, shape) / np.sqrt(3) if self.heavy else rng.normal(size=shape)

        shape = (len(self.seed_sd), seeds)
        noise = np.sqrt(1 - self.tie) * drawn(shape) + np.sqrt(self.tie) * drawn((2, seeds))[self.halves()]
        values = np.array(self.seed_sd)[:, None] * noise + rng.normal(0, 3, seeds)
        draws = None
        if self.images:  # skewed, as errors are
            scores = rng.normal(0, 9, self.images) + np.zeros((*shape, 1))  # (V, S, N)
            scores += self.image_sd * (rng.exponential(size=(shape[0], 1, self.images)) - 1)
            scores += self.both_sd * (rng.exponential(size=(*shape, self.images)) - 1)
            scores += values[..., None]
            values, draws = scores.mean(2), scores @ weights(self.images).T / self.images
        return [effect(values, draws, c, self.images) for c in self.contrasts()[:count]]


@cache
def weights(images: int) -> np.ndarray:
    return image_weights(images, 250, key="simulated")


UNEQUAL = (1, 1, 1, 1, 1, 2, 3)
WORLDS = {
    "equal": World(),
    "equal, seeds only": World(images=0),
    "unequal": World(UNEQUAL, image_sd=2, both_sd=2),
    "unequal, seeds only": World(UNEQUAL, images=0),
    "one unsteady, seeds only": World((1, 1, 1, 1, 1, 1, 5), images=0),
    "heavy tails": World(heavy=True, image_sd=2, both_sd=2),
    "heavy tails, unequal, seeds only": World(UNEQUAL, images=0, heavy=True),
    "tied halves": World((0.5, 0.5, 0.5, 1.5, 1.5, 1.5), tie=0.7, image_sd=2, both_sd=2),
    "mostly images": World((0.3,) * 7, image_sd=6, both_sd=6),
}


def moved(part: Effect, by: float) -> Effect:
    return replace(part, by_seed=part.by_seed + by)


def family(rng: np.random.Generator, parts: list[Effect], unit: np.ndarray, nulls: bool) -> tuple[dict, dict]:
    """Return claims of one to three comparisons, and the true verdict of each ("" exactly at the margin).

    unit:  true standard error of each comparison with three seeds, (K,)
    nulls: whether all claims are at their margin; otherwise a third is, and half are true by 3 to 30 errors
    """
    claims, truth = {}, {}
    for i in range(12):
        kind, places = ">≈"[i % 4 == 0], rng.choice(len(parts), 1 + i % 3, replace=False)
        lead = 3 * 10 ** rng.random() * (0 if nulls or i % 3 == 0 else -1 if i % 6 == 1 else 1)
        # The other comparisons are far on the claim's side.
        leads = np.array([lead, *[15.0] * (len(places) - 1)]) * unit[places]
        margin = 40 * unit[places] if kind == "≈" else 0 * unit[places]
        effects = [
            moved(parts[k], m * (kind == "≈") - by if kind == "≈" else by)
            for k, m, by in zip(places, margin, leads, strict=True)
        ]
        claims[str(i)] = kind, effects, margin
        truth[str(i)] = "supported" if lead > 0 else "refuted" if lead < 0 else ""
    return claims, truth


def simulate(world: World, seeds: int, studies: int) -> dict[str, np.ndarray]:
    """Return rates over simulated studies with `seeds` seeds.

    covered:   the 95% interval of a comparison contains the true effect, (K,)
    at margin: a claim exactly at its margin is decided, in a family of such claims
    any:       any claim of such a family is decided
    wrong:     share of wrong decisions in a mixed family
    power:     share of true and false claims of a mixed family that are decided
    """
    rng, rates = np.random.default_rng(seeds), []
    for _ in range(studies):
        parts = world.study(rng, seeds)
        nulls, _ = family(rng, parts, world.errors(3), nulls=True)
        decided = [one.word != "inconclusive" for one in decide(nulls).values()]
        mixed, truth = family(rng, parts, world.errors(3), nulls=False)
        words = {name: one.word for name, one in decide(mixed).items() if one.word != "inconclusive"}
        wrong = sum(word != truth[name] for name, word in words.items())
        rates.append(
            {
                "covered": [low < 0 < high for low, high in (part.interval() for part in parts)],
                "at margin": np.mean(decided),
                "any": any(decided),
                "wrong": wrong / max(len(words), 1),
                "power": (len(words) - wrong) / sum(map(bool, truth.values())),
            }
        )
    return {name: np.mean([study[name] for study in rates], axis=0) for name in rates[0]}


def chance(rate: float, studies: int) -> float:
    """Return the allowed error of a rate over `studies` studies: 3.5 standard errors."""
    return 3.5 * np.sqrt(rate * (1 - rate) / studies)


# Lowest coverage: a network that varies three times as much as the networks in its pool.
LEAST = {3: 0.88, 5: 0.91, 10: 0.93}
DECIDED = {3: 0.75, 5: 0.88, 10: 0.96}  # share of claims 3 to 30 errors from their margin


def check(name: str, seeds: int, studies: int) -> dict[str, np.ndarray]:
    """Compare the rates that the module promises with simulated studies."""
    found = simulate(WORLDS[name], seeds, studies)
    least = 0.93 if name.startswith("equal") else LEAST[seeds]
    assert found["covered"].min() > least - chance(least, studies)
    assert 0.93 < found["covered"].mean() < 0.98 + chance(0.98, 2 * studies)
    assert found["wrong"] < 0.05 and found["at margin"] < 0.05
    assert found["any"] < 0.05 + chance(0.05, studies)
    assert found["power"] > DECIDED[seeds]
    return found


@pytest.mark.parametrize(
    "name, seeds",
    [
        ("equal", 3),
        ("unequal", 3),
        ("heavy tails, unequal, seeds only", 3),
        ("unequal", 5),
        ("tied halves", 10),
    ],
)
def test_error_rates_and_power(name, seeds):
    check(name, seeds, 100)


@pytest.mark.long
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("name", WORLDS)
def test_error_rates_and_power_in_thousands_of_studies(name, seeds):
    found = check(name, seeds, 1000)
    rates = "; ".join(f"{key} {100 * found[key]:.1f}" for key in ("at margin", "any", "wrong", "power"))
    covered = [f"{100 * rate(found['covered']):.1f}" for rate in (np.mean, np.min, np.max)]
    print(f"\n{name}, {seeds} seeds: covered {covered[0]} ({covered[1]} to {covered[2]}); {rates}")


@pytest.fixture
def many_studies(monkeypatch):
    """Simulate more studies than a report does, so that `power` is precise to a point."""
    monkeypatch.setattr("segnb.stats.decisions.STUDIES", 4000)


def decided_alone(world: World, seeds: int, studies: int, truth: float, margin: float, level: float) -> float:
    """Return the share of studies that decide a claim on the first comparison at this level."""
    rng, kind = np.random.default_rng(0), "≈" if margin else ">"
    parts = [moved(world.study(rng, seeds, 1)[0], truth) for _ in range(studies)]
    ends = [interval(part, level, kind, margin) for part in parts]
    if kind == ">":
        return np.mean([low > 0 or high < 0 for low, high in ends])
    return np.mean([-margin < low <= high < margin or low > margin or high < -margin for low, high in ends])


@pytest.mark.parametrize("level", [0.95, 0.99])
@pytest.mark.parametrize("truth, margin", [(3.2, 0.0), (0.0, 3.2)])
def test_power_and_seeds_needed_are_what_studies_find(many_studies, truth, margin, level):
    world, studies = WORLDS["equal"], 250
    seed, image = (part[0] for part in world.variances())
    part = made(truth, seed, image, 10**4, world.images, seed, 6 * (10**4 - 1))
    claim = "≈" if margin else ">", [part], margin
    needed = seeds_needed(*claim, level)
    assert power(*claim, needed, level) >= POWER > power(*claim, needed - 1, level)
    for seeds in (3, needed):
        near = pytest.approx(power(*claim, seeds, level), abs=0.02 + chance(0.5, studies))
        assert decided_alone(world, seeds, studies, truth, margin, level) == near


# A metric that is not a mean over images: mIoU with rare classes.

SHOWN = np.array([1, 1, 0.6, 0.3, 0.1])  # share of the images that show a class
SIZE = np.array([5, 3, 1, 0.3, 0.1])


def street_study(rng, images: int, seeds: int, both_sd: float) -> Effect:
    """Simulate the difference in mIoU between two networks of which the second is better."""
    shape, n = (images, len(SHOWN)), images
    pixels = SIZE * np.exp(rng.normal(0, 0.8, shape)) * (rng.random(shape) < SHOWN)
    pixels[0] = np.maximum(pixels[0], 1e-3)  # every class is in the test set
    logit = (
        rng.normal(0, 0.6, shape)
        + rng.normal(0, 0.3, (2, 1, *shape))
        + np.array([1, 1.3]).reshape(2, 1, 1, 1)
    )
    logit = logit + rng.normal(0, 0.05, (2, seeds, 1, 1)) + rng.normal(0, both_sd, (2, seeds, *shape))
    hits = pixels / (1 + np.exp(-logit))  # (2, S, N, C)
    stray = (pixels - hits).sum(-1, keepdims=True) * SIZE / SIZE.sum()

    def miou(sums):
        return (sums[..., 0, :] / sums[..., 1, :]).mean(-1)

    counts = np.stack([hits, pixels + stray], axis=-2)  # (2, S, N, 2, C)
    values = miou(counts.sum(2))
    draws = np.array([[resample({"sums": run}, miou, weights(n)) for run in side] for side in counts])
    return effect(values, draws, [-1, 1], n)


@pytest.mark.long
@pytest.mark.parametrize("both_sd", [0.3, 1.5])
@pytest.mark.parametrize("images", [50, 150])
@pytest.mark.parametrize("seeds", [3, 10])
def test_intervals_for_miou_with_rare_classes(seeds, images, both_sd):
    studies, rng = 1000, np.random.default_rng([seeds, images])
    found = [street_study(rng, images, seeds, both_sd) for _ in range(studies)]
    truth = np.mean([one.estimate for one in found])
    covered = np.mean([low < truth < high for low, high in (one.interval() for one in found)])
    se = np.sqrt(np.mean([one.se**2 for one in found])) / np.std([one.estimate for one in found])
    print(
        f"\nmIoU, {images} images, {seeds} seeds, {both_sd}: covered {100 * covered:.1f}, SE / true {se:.3f}"
    )
    assert 0.93 - chance(0.93, studies) < covered < 0.97 + chance(0.97, studies)
