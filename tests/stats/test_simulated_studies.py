"""Effects, decisions and power in simulated studies whose effects are known.

`pytest -m long -s tests/stats/test_simulated_studies.py` simulates thousands of studies and prints the rates.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from scipy import stats

from segnb.stats.bootstrap import image_weights, resample
from segnb.stats.decisions import ALPHA, POWER, decide, evidence, power, seeds_needed
from segnb.stats.effect import Effect, effect
from tests.stats.examples import made, verdict


@pytest.fixture(autouse=True)
def many_studies(monkeypatch):
    """More simulated studies than a report takes, so that tests can hold `power` to a point."""
    monkeypatch.setattr("segnb.stats.decisions.STUDIES", 20_000)


@dataclass(frozen=True)
class World:
    """Where simulated studies come from, in which no two variants differ; standard deviations in any unit.

    seed_sd:  of each variant from seed to seed, beside what a seed does to all variants alike
    tie:      share of that variance that the variants of one half of the family have in common
    image_sd: of an image's score for one variant, for all seeds alike
    both_sd:  of an image's score for one variant and seed
    """

    seed_sd: tuple[float, ...]
    tie: float = 0.0
    images: int = 80
    image_sd: float = 4.0
    both_sd: float = 4.0

    def halves(self) -> np.ndarray:
        """(V,) 0 or 1."""
        return np.arange(len(self.seed_sd)) * 2 // len(self.seed_sd)

    def contrasts(self) -> np.ndarray:
        """(K, V): each variant with the next, first with last, half with half, and a gain with a gain."""
        rows, half = np.eye(len(self.seed_sd)), self.halves().argmax()
        means = rows[half:].mean(0) - rows[:half].mean(0)
        gains = (rows[-1] - rows[half - 1]) - (rows[half] - rows[0])
        return np.vstack([rows[1:] - rows[:-1], rows[-1] - rows[0], means, gains])

    def variances(self) -> tuple[np.ndarray, np.ndarray]:
        """(K,), (K,): true seed and image variance of each contrast."""
        c, half = self.contrasts(), self.halves()
        alike = np.where(half[:, None] == half, self.tie, 0.0) + (1 - self.tie) * np.eye(len(half))
        seed = np.einsum("kv,vw,kw->k", c, alike * np.outer(self.seed_sd, self.seed_sd), c)
        an_image = (c**2).sum(1) / self.images if self.images else 0 * seed
        return seed + an_image * self.both_sd**2, an_image * self.image_sd**2

    def study(self, rng: np.random.Generator, seeds: int) -> list[Effect]:
        """The effects, one a contrast, that one simulated study finds."""
        shape = (len(self.seed_sd), seeds)
        noise = np.sqrt(1 - self.tie) * rng.normal(size=shape)
        noise += np.sqrt(self.tie) * rng.normal(size=(2, seeds))[self.halves()]
        values = np.array(self.seed_sd)[:, None] * noise + rng.normal(0, 3, seeds)
        draws = None
        if self.images:  # skewed, as errors are
            scores = rng.normal(0, 9, self.images) + np.zeros((*shape, 1))  # (V, S, N)
            scores += self.image_sd * (rng.exponential(size=(shape[0], 1, self.images)) - 1)
            scores += self.both_sd * (rng.exponential(size=(*shape, self.images)) - 1)
            scores += values[..., None]
            values, draws = scores.mean(2), scores @ weights(self.images).T / self.images
        return [effect(values, draws, c, self.images) for c in self.contrasts()]


@cache
def weights(images: int) -> np.ndarray:
    return image_weights(images, 250, key="simulated")


WORLDS = {
    "equal": World((1,) * 7),
    "equal, seeds only": World((1,) * 7, images=0),
    "unequal": World((1, 1, 1, 1, 1, 2, 3), image_sd=2, both_sd=2),
    "unequal, seeds only": World((1, 1, 1, 1, 1, 2, 3), images=0),
    "one unsteady, seeds only": World((1, 1, 1, 1, 1, 1, 5), images=0),
    "tied halves": World((0.5, 0.5, 0.5, 1.5, 1.5, 1.5), tie=0.7, image_sd=2, both_sd=2),
    "mostly images": World((0.3,) * 7, image_sd=6, both_sd=6),
}


def moved(part: Effect, by: float) -> Effect:
    return replace(part, by_seed=part.by_seed + by)


def supported(kind: str, part: Effect, margin: float = 0.0) -> bool:
    return verdict(kind, [part], margin)[0] == "supported"


def simulate(world: World, seeds: int, studies: int) -> dict[str, np.ndarray]:
    """What share of simulated studies of `seeds` seeds come to which end.

    covered:   (K,) the 95 % interval of a contrast holds the truth
    above:     (K,) `>` is supported though the effect is exactly the margin
    within:    (K,) `≈` is supported though the effect is exactly the margin
    any above, any within: the same of any of K claims decided as a family, every other of which is true
    power >, power ≈: (K,) a claim is supported, alone, whose effect is 5 standard errors from its margin
    """
    rng = np.random.default_rng(seeds)
    seed_part, image_part = world.variances()
    errors = np.sqrt(seed_part / seeds + image_part)
    found = []
    for _ in range(studies):
        parts = world.study(rng, seeds)
        pairs = list(zip(parts, errors, strict=True))
        one = {
            "covered": [low < 0 < high for low, high in (part.interval() for part in parts)],
            "above": [supported(">", part) for part in parts],
            "within": [supported("≈", moved(part, 30 * se), 30 * se) for part, se in pairs],
            "power >": [supported(">", moved(part, 5 * se)) for part, se in pairs],
            "power ≈": [supported("≈", part, 5 * se) for part, se in pairs],
        }
        true = [15 * se * (i % 2) for i, se in enumerate(errors)]
        above = {i: (">", [moved(part, true[i])], 0) for i, part in enumerate(parts)}
        within = {i: ("≈", [moved(p, 30 * se - true[i])], 30 * se) for i, (p, se) in enumerate(pairs)}
        for name, claims in (("above", above), ("within", within)):
            wrong = any(one[name][::2])  # what is not supported alone is not in a family
            one[f"any {name}"] = wrong and any(
                decision.word == "supported" for i, decision in decide(claims).items() if not true[i]
            )
        found.append(one)
    return {name: np.mean([one[name] for one in found], axis=0) for name in found[0]}


def chance(rate: float, studies: int) -> float:
    """How far a rate found in so many studies may be off: 3.5 standard errors."""
    return 3.5 * np.sqrt(rate * (1 - rate) / studies)


def planned(world: World, seeds: int, kind: str) -> list[float]:
    """(K,) what `power` says of the claims of `simulate`, from the true effects and variances."""
    many, dof = 10**4, len(world.seed_sd) - 1
    powers = []
    for seed, image in zip(*world.variances(), strict=True):
        distance = 5 * np.sqrt(seed / seeds + image)
        part = made(distance * (kind == ">"), seed, image, many, world.images, seed, dof * (many - 1))
        powers.append(power(kind, [part], distance * (kind == "≈"), seeds))
    return powers


def check(world: World, seeds: int, studies: int) -> dict[str, np.ndarray]:
    """Hold what the module promises against simulated studies, for each contrast by itself."""
    found = simulate(world, seeds, studies)
    assert found["covered"].min() > 0.93 - chance(0.93, studies)
    assert found["covered"].max() < 0.97 + chance(0.97, studies)
    for name in ("above", "within", "any above", "any within"):
        assert np.max(found[name]) < 0.05 + chance(0.05, studies), name
    for kind in (">", "≈"):
        near = pytest.approx(planned(world, seeds, kind), abs=0.02 + chance(0.5, studies))
        assert found[f"power {kind}"] == near, kind
    return found


@pytest.mark.parametrize("name, seeds", [("equal", 3), ("unequal", 3), ("tied halves", 5)])
def test_error_rates_and_power(name, seeds):
    check(WORLDS[name], seeds, 200)


def spread(found: np.ndarray) -> str:
    return f"{100 * np.min(found):5.1f} to {100 * np.max(found):5.1f}"


@pytest.mark.long
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("name", WORLDS)
def test_error_rates_and_power_in_thousands_of_studies(name, seeds):
    found = check(WORLDS[name], seeds, 2500)
    rows = "; ".join(f"{key} {spread(values)}" for key, values in found.items())
    print(f"\n{name}, {seeds} seeds: {rows}; mean covered {100 * found['covered'].mean():.1f}")


@pytest.mark.long
@pytest.mark.parametrize("kind, claims", [(">", 1), (">", 12), ("≈", 1), ("≈", 12)])
def test_seeds_needed_are_enough_and_no_more(kind, claims):
    """In a family whose other claims never hold, so that Holm's correction is at its strictest."""
    world, studies = WORLDS["equal"], 1500
    seed, image = (part[0] for part in world.variances())
    truth, margin = (3.2, 0.0) if kind == ">" else (0.0, 3.2)
    part = made(truth, seed, image, 10**4, world.images, seed, 6 * (10**4 - 1))
    needed = seeds_needed(kind, [part], margin, claims)
    rng, decided = np.random.default_rng(0), []
    for seeds in (needed - 1, needed):
        count = 0
        for _ in range(studies):
            one = moved(world.study(rng, seeds)[0], truth)
            alone = evidence(kind, [one], margin)
            pooled = evidence(kind, [one], margin, pooled=True)
            count += any(max(p, claims * q) < ALPHA for p, q in zip(alone, pooled, strict=True))
        decided.append(count / studies)
    print(f"\n{kind} among {claims}: {needed} seeds decide {decided[1]:.3f}, one less {decided[0]:.3f}")
    assert decided[0] < POWER + chance(POWER, studies)
    assert decided[1] > POWER - chance(POWER, studies)


# What other formulations would do.


def half_width(variance: float, dof: float) -> float:
    return stats.t.ppf(0.975, dof) * np.sqrt(variance)


def others(part: Effect) -> dict[str, float]:
    """Half of the 95 % interval of other formulations, for a measure without images."""
    own, pool, seeds = part.seed_variance, part.pooled_variance, part.seeds
    rest = part.pooled_dof - (seeds - 1)
    ratio = own / ((part.pooled_dof * pool - (seeds - 1) * own) / rest)
    widths = {"own": half_width(own / seeds, seeds - 1), "pooled": half_width(pool / seeds, part.pooled_dof)}
    for level in (0.05, 0.2):  # the pool, unless the contrast's own seeds vary more: an F test
        plainly = stats.f.sf(ratio, seeds - 1, rest) < level
        widths[f"pooled unless p < {level}"] = widths["own" if plainly else "pooled"]
    return widths


@pytest.mark.long
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("name", ["equal, seeds only", "unequal, seeds only", "tied halves"])
def test_a_pooled_variance_covers_too_little_or_gains_nothing(name, seeds):
    world, studies = replace(WORLDS[name], images=0), 3000
    rng, covered, width = np.random.default_rng(seeds), {}, {}
    for _ in range(studies):
        parts = world.study(rng, seeds)
        for rule in (tables := [others(part) for part in parts])[0]:
            half = np.array([table[rule] for table in tables])
            covered.setdefault(rule, []).append(
                [abs(p.estimate) < h for p, h in zip(parts, half, strict=True)]
            )
            width.setdefault(rule, []).append(half)
    covered = {rule: np.mean(hits, axis=0) for rule, hits in covered.items()}
    for rule, rate in covered.items():
        print(
            f"\n{name}, {seeds} seeds, {rule}: {spread(rate)}, mean width {np.mean(width[rule]):.2f}", end=""
        )
    assert covered["own"].min() > 0.95 - chance(0.95, studies)
    if name != "equal, seeds only":  # whatever else covers is no narrower
        for rule, rate in covered.items():
            assert rate.min() < 0.93 or np.mean(width[rule]) > 0.98 * np.mean(width["own"])


# A measure that is no mean: dataset mIoU of classes of which some are rare.

SHOWN = np.array([1, 1, 0.6, 0.3, 0.1])  # share of the images that show a class
SIZE = np.array([5, 3, 1, 0.3, 0.1])


def street_study(rng, images: int, seeds: int, both_sd: float) -> Effect:
    """The difference in mIoU that a study finds between two networks of which the second hits more."""
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
