"""Decisions and power by hand and against SciPy."""

import numpy as np
import pytest
from scipy import stats

from segnb.stats.decisions import (
    ALPHA,
    POWER,
    decide,
    evidence,
    interval,
    level_of,
    outlook,
    p_values,
    power,
    seeds_needed,
)
from segnb.stats.effect import effect
from tests.stats.examples import VALUES, made, verdict


@pytest.fixture
def many_studies(monkeypatch):
    """Simulate more studies than a report does, so that `power` is precise to a point."""
    monkeypatch.setattr("segnb.stats.decisions.STUDIES", 20_000)


def test_one_seed_has_an_interval_and_no_verdict():
    one = made(0.5, image_variance=1e-4, seeds=1, images=100)
    assert one.interval() == pytest.approx((0.5 - 0.01984, 0.5 + 0.01984), abs=1e-4)
    assert np.isnan(one.seed_sd) and not one.testable
    assert verdict(">", [one])[0] == verdict("≈", [one], 9)[0] == "inconclusive"
    assert np.isnan(verdict(">", [one])[1])
    assert np.isnan(power(">", [one])) and seeds_needed(">", [one]) is None


def test_two_seeds_are_too_few_unless_the_family_lends_its_variance():
    alone, pooled = (made(0.5, 1e-4, 1e-6, 2, images=100, dof=dof) for dof in (1, 12))
    assert alone.few_seeds and verdict(">", [alone])[0] == "inconclusive" and np.isnan(power(">", [alone]))
    assert not pooled.few_seeds and verdict(">", [pooled])[0] == "supported"
    assert verdict(">", [made(0.5, 1e-4, 1e-6, 3, images=100)])[0] == "supported"
    clear = [made(5.0, 1e-4, dof=dof) for dof in (2, 12)]
    assert [seeds_needed(">", [one]) for one in clear] == [3, 2] and seeds_needed(">", clear) == 3


def test_three_equal_values_are_not_certainty():
    same = effect([[3, 3, 3], [5, 5, 5]], None, [-1, 1])
    assert verdict(">", [same])[0] == verdict("≈", [same], 9)[0] == "inconclusive"


def test_p_against_scipy():
    pair = effect(VALUES[:2], None, [1, -1])
    differences = VALUES[0] - VALUES[1]
    for margin in (0.0, 0.09, 0.2):
        above = stats.ttest_1samp(differences, margin, alternative="greater").pvalue
        below = stats.ttest_1samp(differences, margin, alternative="less").pvalue
        error = pair.error()
        assert p_values(">", pair.estimate, *error, margin) == pytest.approx((2 * above, 2 * below))
        within, outside = p_values("≈", pair.estimate, *error, margin)
        assert within == pytest.approx(2 * below)  # the effect is far above -margin
        assert outside == pytest.approx(2 * above)


def read_off(kind: str, margin: float, intervals: list[tuple[float, float]]) -> str:
    """Return the verdict that a reader can read off the intervals."""
    bottom, top = (margin, np.inf) if kind == ">" else (-margin, margin)
    if all(bottom < low and high < top for low, high in intervals):
        return "supported"
    outside = any(high < bottom or low > top for low, high in intervals)
    return "refuted" if outside else "inconclusive"


def some_claim(draw: np.random.Generator, kind: str) -> tuple:
    """Return a claim of one to nine comparisons near its margin, with and without images."""
    shift, seeds = draw.choice([-4, 0, 4, 30]), int(draw.choice([2, 3, 5]))
    sizes = [shift + draw.normal(), draw.gamma(1, 2), draw.choice([0, 0.2])]
    effects = [made(*sizes, seeds, 50, draw.gamma(3), 40) for _ in range(draw.integers(1, 10))]
    return kind, effects, 0.0 if kind == ">" else 7.0


def test_the_word_is_what_the_intervals_say():
    draw, words = np.random.default_rng(0), []
    for _ in range(60):
        claims = {str(i): some_claim(draw, ">≈"[i % 2]) for i in range(8)}
        for name, found in decide(claims).items():
            kind, effects, margin = claims[name]
            shown = [interval(one, found.level, kind, margin, len(effects)) for one in effects]
            assert read_off(kind, margin, shown) == found.word
            for one, (low, high) in zip(
                effects, shown, strict=True
            ):  # and no interval is narrower than its level
                assert low <= one.interval(found.level)[0] and high >= one.interval(found.level)[1]
            words.append((kind, found.word))
    assert min(words.count(one) for one in {*words}) > 20 and len({*words}) == 6


def test_all_parts_must_pass_and_one_is_enough_against():
    well, so_so, badly = made(5.0), made(0.06), made(-5.0)
    assert verdict(">", [well, well])[0] == "supported"
    assert verdict(">", [well, so_so])[0] == "inconclusive"
    assert verdict(">", [well, badly])[0] == "refuted"
    assert evidence(">", [well, so_so])[0] == evidence(">", [so_so])[0]
    assert evidence(">", [well, badly])[1] == 2 * evidence(">", [badly])[1]  # Bonferroni over the comparisons
    assert verdict("≈", [well, so_so], [6, 1])[0] == "supported"  # one margin per comparison
    assert verdict("≈", [well, so_so], 1)[0] == "refuted"


def test_a_part_that_cannot_be_tested_leaves_the_claim_open():
    for unknown in (made(5.0, seeds=1), None):
        assert verdict(">", [made(5.0), unknown])[0] == "inconclusive"
        assert verdict(">", [made(-5.0), unknown])[0] == "refuted"  # one comparison is enough to refute


@pytest.mark.parametrize(
    "ps, decided",
    [([], 0), ([0.2], 1), ([0.01, 0.02, 0.9], 2), ([0.04, 0.045, 0.049], 3), ([0.03, 0.2, np.nan], 1)],
)
def test_level_by_hand(ps, decided):
    tested = max(sum(p < 1 for p in ps), 1)
    assert level_of(ps) == pytest.approx(1 - ALPHA * max(decided, 1) / tested if ps else 0.95)


def test_the_more_claims_are_decided_the_narrower_are_all_intervals():
    clear, bare = (">", [made(3.0)], 0), (">", [made(0.26)], 0)  # p of the second is just below 0.05
    alone = decide({"bare": bare})
    assert alone["bare"].word == "supported" and alone["bare"].level == 0.95
    few = decide({"bare": bare} | {str(i): (">", [made(0.0)], 0) for i in range(9)})
    assert few["bare"].word == "inconclusive" and few["bare"].level == 0.995
    many = decide({"bare": bare} | {str(i): clear for i in range(9)})
    assert many["bare"].word == "supported" and many["bare"].level == 0.95
    assert many["bare"].p_for == alone["bare"].p_for


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("truth", [0.0, 0.05, 0.1, 0.2])
def test_power_of_a_pair_is_that_of_the_t_test(many_studies, seeds, truth):
    one = made(truth, seed_variance=0.01)
    bound, shift = stats.t.ppf(0.975, seeds - 1), truth * np.sqrt(seeds) / 0.1
    exact = stats.nct.sf(bound, seeds - 1, shift) + stats.nct.cdf(-bound, seeds - 1, shift)
    assert power(">", [one], seeds=seeds) == pytest.approx(exact, abs=0.01)


def test_power_is_the_same_whenever_it_is_asked():
    one = made(0.1, image_variance=1e-4, images=60, pooled=0.01, dof=12)
    assert power(">", [one, one], seeds=5, level=0.99) == power(">", [one, one], seeds=5, level=0.99)


def test_more_seeds_more_parts_a_higher_level():
    one = made(0.1, image_variance=1e-4, images=60, pooled=0.01, dof=12)
    chances = [power(">", [one], seeds=seeds) for seeds in (2, 3, 5, 10, 30)]
    assert chances == sorted(chances) and chances[-1] > POWER
    assert power(">", [one, one], seeds=10) < power(">", [one], seeds=10)
    assert power(">", [one], seeds=10, level=0.995) < power(">", [one], seeds=10)
    needed = seeds_needed(">", [one])
    assert power(">", [one], seeds=needed) >= POWER > power(">", [one], seeds=needed - 1)
    assert seeds_needed(">", [one], level=0.995) > needed


def test_an_effect_on_either_side_of_the_margin_is_decided():
    assert seeds_needed(">", [made(-0.5)]) == seeds_needed(">", [made(0.5)])
    assert seeds_needed("≈", [made(0.0)], 0.5) < 10 and seeds_needed("≈", [made(1.0)], 0.5) < 10
    assert seeds_needed("≈", [made(0.5)], 0.5) is None  # on the margin


def test_a_comparison_that_never_varies_leaves_the_others_to_refute():
    same = effect([[3, 3, 3], [5, 5, 5]], None, [-1, 1])
    refuted = made(-0.5)
    assert power(">", [refuted, same]) == pytest.approx(power(">", [refuted, refuted]), abs=0.2) != 0
    assert outlook(">", [refuted, same]).seeds_needed is not None
    assert power(">", [made(0.5), same]) < 0.05 and outlook(">", [same]).power == {}


def test_images_can_be_too_few():
    one = made(0.1, seed_variance=0.01, image_variance=0.01, images=60)
    assert outlook(">", [one]).seeds_needed is None and not outlook(">", [one]).images_suffice
    rare = made(0.001, seed_variance=0.01)
    assert outlook(">", [rare]).seeds_needed is None and outlook(">", [rare]).images_suffice
