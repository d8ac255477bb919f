"""Effects, decisions and power by hand, against SciPy, and in simulated studies whose effects are known.

`pytest -m long -s tests/stats/test_statistics.py` simulates thousands of studies and prints the rates.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from scipy import stats

from segnb.stats.bootstrap import image_weights, resample
from segnb.stats.decisions import ALPHA, POWER, decide, evidence, holm, outlook, p_values, power, seeds_needed
from segnb.stats.effect import LENT, Effect, effect

VALUES = np.array([[0.50, 0.52, 0.54], [0.40, 0.44, 0.42], [0.31, 0.30, 0.29]])


def made(estimate=0.1, seed_variance=0.01, image_variance=0.0, seeds=3, images=0, pooled=None, dof=None):
    """An effect of given size and variances; `pooled` and `dof` are those of the family."""
    own = seed_variance if seeds > 1 else np.nan
    pooled = own if pooled is None else pooled
    return Effect(np.full(seeds, estimate), own, pooled, dof or seeds - 1, image_variance, images)


def verdict(kind: str, parts: list[Effect], margin=0.0) -> tuple[str, float, float]:
    """What a claim's own data say, were it the only one: the word, p for and p against."""
    support, against = evidence(kind, parts, margin)
    word = "supported" if support < ALPHA else "refuted" if against < ALPHA else "inconclusive"
    return word, support, against


@pytest.fixture(autouse=True)
def many_studies(monkeypatch):
    """More simulated studies than a report takes, so that tests can hold `power` to a point."""
    monkeypatch.setattr("segnb.stats.decisions.STUDIES", 20_000)


# Images.


def test_images_alone_give_the_standard_error_of_a_mean():
    scores = np.random.default_rng(1).exponential(size=50)
    weights = image_weights(50, 20000, key="")
    draws = resample({"score": scores}, lambda score: score / 50, weights)
    one = effect([[scores.mean()]], draws[None, None], [1], images=50)
    assert one.se == pytest.approx(stats.sem(scores), rel=0.02)
    assert one.dof == 49
    low, high = stats.ttest_1samp(scores, 0).confidence_interval()
    assert one.interval() == pytest.approx((low, high), rel=0.02)


def test_what_is_peculiar_to_an_image_and_a_seed_counts_once():
    """Nothing but such noise: the spread over seeds holds all of it, and the images add nothing."""
    scores = np.random.default_rng(2).normal(size=(8, 400))  # (S, N)
    draws = scores @ image_weights(400, 4000, key="").T / 400
    one = effect(scores.mean(1)[None], draws[None], [1], images=400)
    assert draws.mean(0).std() == pytest.approx(1 / np.sqrt(8 * 400), rel=0.1)  # the plain bootstrap
    assert one.image_se < 0.3 / np.sqrt(8 * 400)


# Effect.


def test_effect_is_a_paired_t_test_over_seeds():
    pair = effect(VALUES, None, [1, -1, 0])
    paired = stats.ttest_rel(VALUES[0], VALUES[1])
    assert pair.by_seed == pytest.approx([0.10, 0.08, 0.12]) and pair.estimate == pytest.approx(0.10)
    assert (pair.seeds, pair.dof, pair.images, pair.image_se) == (3, 2, 0, 0)
    assert pair.seed_sd == pytest.approx(0.02) and pair.se == pytest.approx(0.02 / np.sqrt(3))
    assert verdict(">", [pair])[1] == pytest.approx(paired.pvalue)
    assert pair.interval() == pytest.approx(tuple(paired.confidence_interval()))


def test_pool_is_the_residual_of_variant_and_seed():
    pair = effect(VALUES, None, [1, -1, 0])
    rows, columns = np.indices(VALUES.shape)
    design = np.hstack([rows.reshape(-1, 1) == np.arange(3), columns.reshape(-1, 1) == np.arange(1, 3)])
    _, squares, rank, _ = np.linalg.lstsq(design.astype(float), VALUES.ravel(), rcond=None)
    assert pair.pooled_dof == VALUES.size - rank == 4
    assert pair.pooled_variance == pytest.approx(2 * squares[0] / 4)


def test_pool_lends_no_more_than_there_is():
    pair = effect(VALUES, None, [1, -1, 0])  # one more residual a seed: 2 degrees of freedom to lend
    se, dof = pair.error(pooled=True)
    assert dof == pytest.approx(4)
    assert se**2 * 3 == pytest.approx((2 * pair.seed_variance + 2 * pair.pooled_variance) / 4)
    large = made(seed_variance=0.01, pooled=0.04, dof=12)
    se, dof = large.error(pooled=True)
    assert dof == pytest.approx(2 + LENT)
    assert se**2 * 3 == pytest.approx((2 * 0.01 + LENT * 0.04) / (2 + LENT))


@pytest.mark.parametrize(
    "values, coefficients", [(VALUES[:2], [1, -1]), (VALUES, [1, 0, 0])], ids=["pair alone", "no contrast"]
)
def test_nothing_to_pool(values, coefficients):
    one = effect(values, None, coefficients)
    assert one.pooled_variance == one.seed_variance and one.pooled_dof == 2
    assert one.error(pooled=True) == one.error()


def test_degrees_of_freedom_lie_between_seeds_and_images():
    assert made(seed_variance=0.03, image_variance=0.01, images=100).dof == pytest.approx(
        1 / (0.5 / 2 + 0.5 / 99)
    )
    assert made(seed_variance=0.0, image_variance=0.01, images=100).dof == pytest.approx(99)
    assert made(seed_variance=0.03).dof == pytest.approx(2)


def test_one_seed_has_an_interval_and_no_verdict():
    one = made(0.5, image_variance=1e-4, seeds=1, images=100)
    assert one.interval() == pytest.approx((0.5 - 0.01984, 0.5 + 0.01984), abs=1e-4)
    assert np.isnan(one.seed_sd) and not one.testable
    assert verdict(">", [one])[0] == verdict("≈", [one], 9)[0] == "inconclusive"
    assert np.isnan(verdict(">", [one])[1])
    assert np.isnan(power(">", [one])) and seeds_needed(">", [one]) is None


def test_one_seed_without_images_has_no_interval():
    assert np.isnan(made(seeds=1).interval()).all()


def test_three_equal_values_are_not_certainty():
    same = effect([[3, 3, 3], [5, 5, 5]], None, [-1, 1])
    assert verdict(">", [same])[0] == verdict("≈", [same], 9)[0] == "inconclusive"


@pytest.mark.parametrize(
    "values, draws, coefficients, images, message",
    [
        (VALUES[0], None, [1], 0, "must be"),
        (VALUES, None, [1, -1], 0, "must be"),
        (VALUES, np.zeros((3, 2, 9)), [1, -1, 0], 9, "draws"),
        (VALUES, np.zeros((3, 3, 9)), [1, -1, 0], 0, "draws"),
        (VALUES * np.nan, None, [1, -1, 0], 0, "not finite"),
        (VALUES, np.full((3, 3, 9), np.nan), [1, -1, 0], 9, "not finite"),
    ],
)
def test_values_that_do_not_fit(values, draws, coefficients, images, message):
    with pytest.raises(ValueError, match=message):
        effect(values, draws, coefficients, images)


# Tests and verdicts.


def test_p_against_scipy():
    pair = effect(VALUES, None, [1, -1, 0])
    differences = VALUES[0] - VALUES[1]
    for margin in (0.0, 0.09, 0.2):
        above = stats.ttest_1samp(differences, margin, alternative="greater").pvalue
        below = stats.ttest_1samp(differences, margin, alternative="less").pvalue
        error = pair.error()
        assert p_values(">", pair.estimate, *error, margin) == pytest.approx((2 * above, 2 * below))
        within, outside = p_values("≈", pair.estimate, *error, margin)
        assert within == pytest.approx(below)  # the effect is far above -margin
        assert outside == pytest.approx(min(1, 2 * above))


@pytest.mark.parametrize("estimate", np.linspace(-2, 2, 21))
def test_words_are_what_the_intervals_say(estimate):
    one = made(estimate, seed_variance=0.1, image_variance=0.02, images=50)
    low, high = one.interval(0.95)
    word = "supported" if low > 0.4 else "refuted" if high < 0.4 else "inconclusive"
    assert verdict(">", [one], 0.4)[0] == word
    low90, high90 = one.interval(0.90)
    outside = low > 1 or high < -1
    word = "supported" if -1 < low90 and high90 < 1 else "refuted" if outside else "inconclusive"
    assert verdict("≈", [one], 1.0)[0] == word


def test_all_parts_must_pass_and_one_is_enough_against():
    well, so_so, badly = made(5.0), made(0.06), made(-5.0)
    assert verdict(">", [well, well])[0] == "supported"
    assert verdict(">", [well, so_so])[0] == "inconclusive"
    assert verdict(">", [well, badly])[0] == "refuted"
    assert evidence(">", [well, so_so])[0] == evidence(">", [so_so])[0]
    assert evidence(">", [well, badly])[1] == 2 * evidence(">", [badly])[1]  # Bonferroni over the parts
    assert verdict("≈", [well, so_so], [6, 1])[0] == "supported"  # a margin a part
    assert verdict("≈", [well, so_so], 1)[0] == "refuted"


def test_a_part_that_cannot_be_tested_leaves_the_claim_open():
    assert verdict(">", [made(5.0), made(5.0, seeds=1)])[0] == "inconclusive"


def test_an_unknown_kind():
    with pytest.raises(ValueError, match="neither > nor ≈"):
        verdict("<", [made()])


def test_holm_by_hand():
    corrected = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005, "open": np.nan})
    assert np.isnan(corrected.pop("open"))
    assert corrected == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert holm({"a": 0.7, "b": 0.6}) == {"a": 1.0, "b": 1.0}


def test_a_family_has_two_hurdles():
    clear = made(3.0, pooled=0.01, dof=12)
    bare = made(0.26, pooled=0.01, dof=12)  # by its own seeds p is just below 0.05
    lucky = made(0.26, pooled=1.0, dof=12)  # its seeds agree far better than the family's
    alone = decide({"bare": (">", [bare], 0)})
    assert alone["bare"].word == "supported"
    assert decide({"lucky": (">", [lucky], 0)})["lucky"].word == "inconclusive"
    many = decide({"clear": (">", [clear], 0)} | {str(i): (">", [bare], 0) for i in range(19)})
    assert many["clear"].word == "supported" and many["1"].word == "inconclusive"
    assert many["1"].support == alone["bare"].support < ALPHA < many["1"].support_holm
    assert decide({"worse": (">", [made(-3.0)], 0)})["worse"].word == "refuted"


# Power.


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("truth", [0.0, 0.05, 0.1, 0.2])
def test_power_of_a_pair_is_that_of_the_t_test(seeds, truth):
    one = made(truth, seed_variance=0.01)
    bound, shift = stats.t.ppf(0.975, seeds - 1), truth * np.sqrt(seeds) / 0.1
    exact = stats.nct.sf(bound, seeds - 1, shift) + stats.nct.cdf(-bound, seeds - 1, shift)
    assert power(">", [one], seeds=seeds) == pytest.approx(exact, abs=0.01)


def test_power_is_the_same_whenever_it_is_asked():
    one = made(0.1, image_variance=1e-4, images=60, pooled=0.01, dof=12)
    assert power(">", [one, one], seeds=5, claims=3) == power(">", [one, one], seeds=5, claims=3)


def test_more_seeds_more_parts_more_claims():
    one = made(0.1, image_variance=1e-4, images=60, pooled=0.01, dof=12)
    chances = [power(">", [one], seeds=seeds) for seeds in (2, 3, 5, 10, 30)]
    assert chances == sorted(chances) and chances[-1] > POWER
    assert power(">", [one, one], seeds=10) < power(">", [one], seeds=10)
    assert power(">", [one], seeds=10, claims=12) < power(">", [one], seeds=10)
    needed = seeds_needed(">", [one])
    assert power(">", [one], seeds=needed) >= POWER > power(">", [one], seeds=needed - 1)
    assert seeds_needed(">", [one], claims=12) > needed


def test_an_effect_on_either_side_of_the_margin_is_decided():
    assert seeds_needed(">", [made(-0.5)]) == seeds_needed(">", [made(0.5)])
    assert seeds_needed("≈", [made(0.0)], 0.5) < 10 and seeds_needed("≈", [made(1.0)], 0.5) < 10
    assert seeds_needed("≈", [made(0.5)], 0.5) is None  # on the margin


def test_images_can_be_too_few():
    one = made(0.1, seed_variance=0.01, image_variance=0.01, images=60)
    assert outlook(">", [one]).needed is None and not outlook(">", [one]).images_suffice
    rare = made(0.001, seed_variance=0.01)
    assert outlook(">", [rare]).needed is None and outlook(">", [rare]).images_suffice


# Simulated studies.


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
