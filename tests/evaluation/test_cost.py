"""Cost: counts by hand, differences between networks, and the order of timings.

No test compares two times of the real clock, because a busy machine can slow any step.
"""

from itertools import count

import numpy as np
import pytest

from segnb.evaluation import cost
from segnb.models.registry import VARIANTS
from segnb.params import StudyParams
from segnb.study.create import create_study

TRUNK = 14_714_688  # parameters of VGG16 without its classifier
NAMES = ["FCN8s_vgg16_freeze", "FCN8s_vgg16_finetune", "UNet_Standard_256", "UNet_NoSkip_256"]


@pytest.fixture
def study(project, dataset):
    return create_study(StudyParams.check({"preset": "smoke", "data": str(dataset)}))


def test_counts_and_memory_are_those_of_the_networks(study, monkeypatch):
    monkeypatch.setattr(cost, "ROUNDS", 1)
    rows = cost.measure(study, NAMES)
    assert list(rows) == NAMES
    frozen, tuned, plain, no_skip = rows.values()
    assert tuned["parameters"] == frozen["parameters"] == tuned["trained_parameters"]
    assert frozen["parameters"] - frozen["trained_parameters"] == TRUNK
    assert tuned["gflops"] == frozen["gflops"]
    assert frozen["gflops"] < frozen["train_gflops"] < tuned["train_gflops"] / 2 < 1.5 * tuned["gflops"]
    # A frozen backbone saves its gradients, Adam's two moments and its activations.
    assert tuned["memory_mib"] - frozen["memory_mib"] > 3 * 4 * TRUNK / 2**20
    assert plain["gflops"] > no_skip["gflops"] and plain["memory_mib"] > no_skip["memory_mib"]
    for row in rows.values():
        for timed in ("train", "predict"):
            samples = np.array(row[f"{timed}_samples"])
            assert samples.shape == (1, 1) and (samples > 0).all()
            assert row[f"{timed}_seconds"] == np.median(samples)


def test_rounds_pass_over_all_variants_and_times_are_those_of_the_clock(study, monkeypatch):
    """On a clock where the n-th step of all takes n seconds."""
    variants, done, clock = NAMES[2:], [], [0]

    steps = count(1)

    class SlowBench(cost.Bench):
        def __init__(self, model, *settings):
            super().__init__(model, *settings)
            self.name = next(name for name in variants if VARIANTS[name].config.skip == model.config.skip)

        def work(self, kind):
            done.append((self.name, kind, next(steps)))
            clock[0] += done[-1][2]

        def step(self):
            self.work("train")

        def forward(self):
            self.work("predict")

    monkeypatch.setattr(cost, "Bench", SlowBench)
    monkeypatch.setattr(cost, "_flops", lambda work: 0)
    monkeypatch.setattr(cost, "_step_memory", lambda bench: 0)
    rows = cost.measure(study, variants, clock=lambda: clock[0])
    one_round = [(name, kind) for name in variants for kind in ("train", "predict")]
    calls = 2  # the first is the warm-up
    assert [call[:2] for call in done] == [pair for pair in one_round for _ in range(calls)] * cost.ROUNDS
    batch = study.recipe("unet").batch_size
    for name, kind in one_round:
        seconds = [second for *pair, second in done if pair == [name, kind]]
        timed = np.array(seconds).reshape(cost.ROUNDS, calls)[:, 1:] / batch
        np.testing.assert_allclose(rows[name][f"{kind}_samples"], timed)
        assert rows[name][f"{kind}_seconds"] == pytest.approx(np.median(timed))


def test_on_a_gpu_steps_fill_a_tenth_of_a_second_after_as_long_a_warm_up():
    """Steps of 50 ms on a cold card, 10 ms on a warm one, and now and then one of 50 ms."""
    clock, calls = [0.0], count()

    def work():
        number = next(calls)
        clock[0] += 0.05 if number < 2 or number % 7 == 0 else 0.01

    assert cost._seconds(work, "cuda", lambda: clock[0]) == pytest.approx(0.01)
    assert 2 * cost.GPU_SECONDS <= clock[0] < 2 * (cost.GPU_SECONDS + 0.05)
