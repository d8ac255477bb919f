"""Runs that the tests of the audit share."""

import pytest

from tests.audit.examples import MISSED, NAMES, made_run, street


@pytest.fixture(scope="module")
def runs():
    """Three networks, one of them additional, with two seeds; the second misses three classes."""
    missed = {"UNet_NoSkip_256": MISSED}
    return [
        made_run(name, seed, *street(seed, 0.8 - 0.1 * i, missed.get(name, ())))
        for i, name in enumerate(NAMES)
        for seed in (0, 1)
    ]
