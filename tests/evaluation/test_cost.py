"""Cost: counts against hand-worked ones, and what makes two networks differ in it."""

import numpy as np
import pytest

from segnb.evaluation import cost
from segnb.params import StudyParams
from segnb.study.create import create_study


@pytest.fixture
def rows(project, dataset, monkeypatch):
    monkeypatch.setattr(cost, "ROUNDS", 2)
    study = create_study(StudyParams.check({"preset": "smoke", "data": str(dataset)}))
    names = ["FCN8s_vgg16_freeze", "FCN8s_vgg16_finetune", "UNet_Standard_256", "UNet_NoSkip_256"]
    return cost.measure(study, names)


def test_cost(rows):
    assert list(rows)[0] == "FCN8s_vgg16_freeze" and len(rows) == 4
    frozen, tuned = rows["FCN8s_vgg16_freeze"], rows["FCN8s_vgg16_finetune"]
    assert tuned["parameters"] == frozen["parameters"] == tuned["trained_parameters"]
    assert frozen["parameters"] - frozen["trained_parameters"] == 14_714_688  # the VGG16 trunk
    assert tuned["gflops"] == frozen["gflops"]
    # The trunk's gradients, Adam's two moments and its activations are what freezing saves.
    assert tuned["memory_mib"] - frozen["memory_mib"] > 3 * 4 * 14_714_688 / 2**20
    plain, no_skip = rows["UNet_Standard_256"], rows["UNet_NoSkip_256"]
    assert plain["gflops"] > no_skip["gflops"] and plain["memory_mib"] > no_skip["memory_mib"]
    for row in rows.values():
        assert 0 < row["predict_seconds"] < row["train_seconds"] < 10
        assert 10 < row["resident_mib"] < 4096
        for timed in ("train", "predict"):
            rounds = row[f"{timed}_samples"]
            assert [len(one) for one in rounds] == [cost.REPEATS] * 2
            assert row[f"{timed}_seconds"] == np.median(rounds)
    # Gradients and moments of the trunk have to lie somewhere, whoever counts.
    assert tuned["resident_mib"] - frozen["resident_mib"] > 2 * 4 * 14_714_688 / 2**20


def test_memory_that_the_parent_once_had_is_not_the_child_s(project, dataset):
    study = create_study(StudyParams.check({"preset": "smoke", "data": str(dataset)}))
    alone = cost._resident(study, "UNet_NoSkip_256")
    # Freed, and yet resident in this process when it forks: more than the network takes, in pieces that
    # the allocator keeps.
    pieces = [np.ones(100_000 // 8) for _ in range(6000)]
    del pieces[::2], pieces[:-1]
    assert cost._resident(study, "UNet_NoSkip_256") < alone + 100


def test_what_is_told_of_timing_rests_on_ten_steps():
    assert cost.ROUNDS * cost.REPEATS >= 10
