"""Decisions and power by hand and against SciPy."""

import numpy as np
import pytest
from scipy import stats

from segnb.stats.decisions import ALPHA, POWER, decide, evidence, holm, outlook, p_values, power, seeds_needed
from segnb.stats.effect import effect
from tests.stats.examples import VALUES, made, verdict


@pytest.fixture
def many_studies(monkeypatch):
    """More simulated studies than a report takes, to hold `power` to a point."""
    monkeypatch.setattr("segnb.stats.decisions.STUDIES", 20_000)


def test_one_seed_has_an_interval_and_no_verdict():
    one = made(0.5, image_variance=1e-4, seeds=1, images=100)
    assert one.interval() == pytest.approx((0.5 - 0.01984, 0.5 + 0.01984), abs=1e-4)
    assert np.isnan(one.seed_sd) and not one.testable
    assert verdict(">", [one])[0] == verdict("≈", [one], 9)[0] == "inconclusive"
    assert np.isnan(verdict(">", [one])[1])
    assert np.isnan(power(">", [one])) and seeds_needed(">", [one]) is None


def test_three_equal_values_are_not_certainty():
    same = effect([[3, 3, 3], [5, 5, 5]], None, [-1, 1])
    assert verdict(">", [same])[0] == verdict("≈", [same], 9)[0] == "inconclusive"


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
    assert many["1"].p == alone["bare"].p < ALPHA < many["1"].p_holm
    assert decide({"worse": (">", [made(-3.0)], 0)})["worse"].word == "refuted"


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("truth", [0.0, 0.05, 0.1, 0.2])
def test_power_of_a_pair_is_that_of_the_t_test(many_studies, seeds, truth):
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
