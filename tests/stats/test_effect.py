"""Effects by hand and against SciPy."""

import numpy as np
import pytest
from scipy import stats

from segnb.stats.bootstrap import image_weights, resample
from segnb.stats.effect import effect
from tests.stats.examples import VALUES, made, verdict


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
    """With this noise alone, the seed variance contains all of it and images add nothing."""
    scores = np.random.default_rng(2).normal(size=(8, 400))  # (S, N)
    draws = scores @ image_weights(400, 4000, key="").T / 400
    one = effect(scores.mean(1)[None], draws[None], [1], images=400)
    assert draws.mean(0).std() == pytest.approx(1 / np.sqrt(8 * 400), rel=0.1)  # the plain bootstrap
    assert one.image_se < 0.3 / np.sqrt(8 * 400)


def test_effect_is_a_paired_t_test_over_seeds():
    pair = effect(VALUES[:2], None, [1, -1])
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
    se, dof = pair.error()
    assert dof == pytest.approx(4)
    assert se**2 * 3 == pytest.approx((2 * pair.seed_variance + 2 * pair.pooled_variance) / 4)
    large = made(seed_variance=0.01, pooled=0.04, dof=12)
    se, dof = large.error()
    assert dof == pytest.approx(2 + 2)  # its own, and two of the pool
    assert se**2 * 3 == pytest.approx((2 * 0.01 + 2 * 0.04) / (2 + 2))


@pytest.mark.parametrize(
    "values, coefficients", [(VALUES[:2], [1, -1]), (VALUES, [1, 0, 0])], ids=["pair alone", "no contrast"]
)
def test_nothing_to_pool(values, coefficients):
    one = effect(values, None, coefficients)
    assert one.pooled_variance == one.seed_variance and one.pooled_dof == 2
    assert one.error() == pytest.approx((np.sqrt(one.seed_variance / 3), 2))


def test_degrees_of_freedom_lie_between_seeds_and_images():
    assert made(seed_variance=0.03, image_variance=0.01, images=100).dof == pytest.approx(
        1 / (0.5 / 2 + 0.5 / 99)
    )
    assert made(seed_variance=0.0, image_variance=0.01, images=100).dof == pytest.approx(99)
    assert made(seed_variance=0.03).dof == pytest.approx(2)


def test_one_seed_without_images_has_no_interval():
    assert np.isnan(made(seeds=1).interval()).all()


@pytest.mark.parametrize(
    "values, draws, coefficients, images, message",
    [
        (VALUES[0], None, [1], 0, "expected"),
        (VALUES, None, [1, -1], 0, "expected"),
        (VALUES, np.zeros((3, 2, 9)), [1, -1, 0], 9, "draws"),
        (VALUES, np.zeros((3, 3, 9)), [1, -1, 0], 0, "draws"),
        (VALUES * np.nan, None, [1, -1, 0], 0, "not finite"),
        (VALUES, np.full((3, 3, 9), np.nan), [1, -1, 0], 9, "not finite"),
    ],
)
def test_values_that_do_not_fit(values, draws, coefficients, images, message):
    with pytest.raises(ValueError, match=message):
        effect(values, draws, coefficients, images)
