"""From comparisons to effects: computed in another way, and with missing parts."""

import shutil
from collections import Counter
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from segnb.claims import by_image
from segnb.claims.claim import Contrast
from segnb.claims.effects import Effects, Score
from segnb.claims.ledger import LEDGER
from segnb.metrics.confusion import mean_iou
from segnb.metrics.objects import AREAS
from segnb.models.registry import VARIANTS
from segnb.storage.files import read_json, write_json
from tests.claims.examples import total
from tests.conftest import make_project
from tests.synthetic_study import make_study

UNET, NO_SKIP, GATED = "UNet_Standard_256", "UNet_NoSkip_256", "AttentionResidualUNet_256"
FCN = [f"FCN{stride}s_vgg16_{trunk}" for stride in (32, 16, 8) for trunk in ("freeze", "finetune")]
pytestmark = pytest.mark.usefixtures("few_draws")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = make_project(tmp_path_factory.mktemp("evidence") / "project")
    return make_study(folder, seeds=2, images=12)


def test_an_effect_is_the_difference_of_means_over_seeds(study):
    measured = Effects(study).measure(Contrast("", "miou", (UNET,), (NO_SKIP,)))
    means = [np.mean([mean_iou(total(study.run(name, seed))) for seed in (0, 1)]) for name in (UNET, NO_SKIP)]
    assert measured.estimate == pytest.approx(means[0] - means[1]) and measured.estimate > 0.05
    assert measured.effect.seeds == 2 and measured.effect.images == 12
    family = [name for name, variant in VARIANTS.items() if variant.family == "unet"]
    assert measured.effect.pooled_dof == len(family) - 1  # two seeds of each


def test_a_difference_of_differences_with_its_weight(study):
    plus = ("FCN8s_vgg16_finetune", "FCN32s_vgg16_freeze")
    minus = ("FCN8s_vgg16_freeze", "FCN32s_vgg16_finetune")
    effects = Effects(study)
    mean = {name: np.mean([mean_iou(total(study.run(name, s))) for s in (0, 1)]) for name in FCN}
    gain = {
        stride: mean[f"FCN{stride}s_vgg16_finetune"] - mean[f"FCN{stride}s_vgg16_freeze"]
        for stride in (8, 32)
    }
    whole = effects.measure(Contrast("", "miou", plus, minus))
    third = effects.measure(Contrast("", "miou", plus, minus, weight=1 / 3))
    assert whole.estimate == pytest.approx(gain[8] - gain[32])
    assert third.estimate == pytest.approx(whole.estimate / 3)
    assert third.effect.image_se == pytest.approx(whole.effect.image_se / 3)


def test_prepared_scores_are_the_same_and_read_each_file_once(study, monkeypatch):
    """Also with more runs than the files that are kept: here those of one seed."""
    contrasts = [contrast for claim in LEDGER.values() for contrast in claim.contrasts][::6]
    expected = [Effects(study).measure(contrast) for contrast in contrasts]
    read, original = Counter(), by_image._read.__wrapped__

    def counted(run, name, changed):
        read[run, name] += 1
        return original(run, name, changed)

    monkeypatch.setattr(by_image, "_read", lru_cache(maxsize=8 * len(VARIANTS))(counted))
    prepared = Effects(study)
    prepared.prepare(contrasts)
    assert len(read) > 2 * len(VARIANTS) and set(read.values()) == {1}
    assert [prepared.measure(contrast) for contrast in contrasts] == expected


def test_only_common_seeds_count(study, tmp_path):
    folder = tmp_path / "project"
    copy = make_study(make_project(folder), seeds=2, images=4, variants=[UNET, NO_SKIP])
    shutil.rmtree(copy.run(NO_SKIP, 0).path)
    measured = Effects(copy).measure(Contrast("", "miou", (UNET,), (NO_SKIP,)))
    assert measured.effect.seeds == 1
    assert measured.effect.by_seed[0] == pytest.approx(
        mean_iou(total(copy.run(UNET, 1))) - mean_iou(total(copy.run(NO_SKIP, 1)))
    )
    one = Effects(copy, seeds="0").measure(Contrast("", "miou", (UNET,), (NO_SKIP,)))
    assert one.missing == "U-Net, no skips has not been trained and evaluated"
    copy.run(NO_SKIP, 0).diverge(3, "the training diverged in epoch 3 of 10")
    one = Effects(copy, seeds="0").measure(Contrast("", "miou", (UNET,), (NO_SKIP,)))
    assert one.missing == "U-Net, no skips diverged in training"
    reason = f"{NO_SKIP}, seed 0, is left out of all scores: the training diverged in epoch 3 of 10."
    assert copy.warnings == [reason]


def test_a_measure_without_a_value_is_missing(tmp_path):
    study = make_study(make_project(tmp_path / "project"), seeds=2, images=4, variants=[UNET, NO_SKIP])
    run = study.run(NO_SKIP, 1)
    no_length = np.zeros_like(run.boundary()["length_truth"])
    run.write_arrays(run.boundary_path, **run.boundary() | {"length_truth": no_length})
    measured = Effects(study).measure(Contrast("", "roughness", (UNET,), (NO_SKIP,)))
    assert measured.missing.endswith("of U-Net, no skips has no value on these test images")
    assert measured.estimate is None and measured.effect is None


@pytest.mark.parametrize("count", [1, 12])
def test_an_interval_needs_half_of_few_images(tmp_path, count):
    study = make_study(make_project(tmp_path / "project"), seeds=2, images=16, variants=[UNET, NO_SKIP])
    for run in study.measured():
        table = run.objects()
        table["found"] &= table["image"] < count
        run.write_arrays(run.objects_path, **{name: table[name].to_numpy() for name in table})
    measured = Effects(study).measure(Contrast("", "found_iou:small", (UNET,), threshold=0.5))
    few = "only 1 of 16 test images count, too few for an interval"
    assert measured.missing == (few if count == 1 else "")
    if count == 12:  # only images in which the network finds small objects are independent observations
        tables = [study.run(UNET, seed).objects() for seed in (0, 1)]
        small = [(AREAS[0] < table.area) & (table.area <= AREAS[1]) & table.found for table in tables]
        images = [table.image[rows].nunique() for table, rows in zip(tables, small, strict=True)]
        assert measured.effect.images == min(images) <= 12


def test_costs_are_shares_and_times_are_medians(study):
    effects = Effects(study)
    tuned, frozen = "FCN8s_vgg16_finetune", "FCN8s_vgg16_freeze"
    memory = effects.measure(Contrast("", "memory_mib", (tuned,), (frozen,)))
    assert memory.estimate == pytest.approx(500 / 300 - 1) and memory.effect is None and not memory.repeats
    table = study.cost()
    seconds = effects.measure(Contrast("", "train_seconds", (tuned,), (frozen,)))
    assert seconds.estimate == pytest.approx(table.train_seconds[tuned] / table.train_seconds[frozen] - 1)
    assert seconds.effect is None and seconds.low is None and seconds.repeats == "rounds"
    rounds = zip(table.train_samples[tuned], table.train_samples[frozen], strict=True)
    assert seconds.by_seed == pytest.approx([np.median(a) / np.median(b) - 1 for a, b in rounds])


@pytest.mark.parametrize("gone, reason", [("train_seconds", "not measured"), ("", "cost of Attention")])
def test_costs_that_are_missing(tmp_path, gone, reason):
    study = make_study(make_project(tmp_path / "project"), seeds=1, images=2, variants=[UNET, GATED])
    table = read_json(study.cost_path)
    for row in table["variants"].values():
        row.pop(gone, None)
    write_json(study.cost_path, table if gone else {"variants": {}})
    assert reason in Effects(study).measure(Contrast("", "train_seconds", (GATED,), (UNET,))).missing


def test_only_recall_has_a_ceiling(study, monkeypatch):
    """The IoU of a network's own objects is no score of perfect ones, however low it is."""
    effects = Effects(study)
    low = Score(0.01, np.full(50, 0.01))
    monkeypatch.setattr(effects, "score", lambda *args, **options: low)
    sides = ("FCN16s_vgg16_freeze",), ("FCN32s_vgg16_freeze",)
    reason = effects._ceiling(Contrast("", "recall:medium", *sides))
    assert reason == "even perfect scores at these strides find only 1.0% of these objects"
    for metric in ("object_iou:medium", "found_iou:medium", "intact:medium", "between"):
        assert effects._ceiling(Contrast("", metric, *sides)) == ""


@pytest.mark.parametrize(
    ("plus", "minus", "network"),
    [(0.08, 0.02, "U-Net"), (0.95, 0.99, "U-Net"), (0.5, 0.02, ""), (0.99, 0.85, "")],
)
def test_shares_of_both_networks_near_an_end_leave_no_room(study, monkeypatch, plus, minus, network):
    effects, shares = Effects(study), {UNET: plus, NO_SKIP: minus}

    def score(metric, side, seed, drawn=True):
        return Score(shares[side], np.full(50, shares[side]))

    monkeypatch.setattr(effects, "score", score)
    reason = effects.floor(Contrast("", "between", (UNET,), (NO_SKIP,)))
    assert reason.partition(" even for ")[2] == network and bool(reason) == bool(network)


def test_a_share_of_one_is_no_certainty(study):
    part = Contrast("", "best:images", ("FCN8s_vgg16_finetune",), rivals=("FCN32s_vgg16_finetune",))
    measured = Effects(study).measure(part)
    assert measured.estimate == 1.0 and measured.effect.seed_sd == 0
    assert measured.effect.image_se == pytest.approx(
        np.sqrt(12 / 13 * 1 / 13 / 13)
    )  # as if one more image had been lost
    assert replace(measured.effect, by_seed=np.ones(3), pooled_dof=2).testable


def test_images_of_few_drives_count_as_runs(study, tmp_path):
    """The same scores of 12 frames of one drive: five runs, and a larger error."""
    copy = make_study(make_project(tmp_path / "project"), seeds=2, images=12, variants=[UNET, NO_SKIP])
    contrast = Contrast("", "miou", (UNET,), (NO_SKIP,))
    alone = Effects(copy).measure(contrast).effect
    for run in copy.measured():
        arrays = run.test()
        names = np.array([f"drive/{i:04d}" for i in range(12)])
        run.write_arrays(run.confusion_path, **arrays | {"names": names})
    driven = Effects(copy).measure(contrast).effect
    assert (alone.images, driven.images) == (12, 5) and driven.estimate == pytest.approx(alone.estimate)


def test_image_differences_are_means_over_seeds(study):
    contrast = Contrast("", "miou", (UNET,), (NO_SKIP,))
    frame = Effects(study).by_image(contrast)
    assert list(frame["name"]) == [f"test {i:04d}" for i in range(12)]
    confusions = [
        [study.run(name, seed).test()["confusion"][5] for seed in (0, 1)] for name in (UNET, NO_SKIP)
    ]
    by_hand = [np.mean([mean_iou(one) for one in side]) for side in confusions]
    assert frame["difference"][5] == pytest.approx(by_hand[0] - by_hand[1])
    one = Effects(study, seeds="1").by_image(contrast)
    assert one["difference"][5] != frame["difference"][5]


def test_image_differences_leave_out_images_without_the_measure(study):
    effects, contrast = Effects(study), Contrast("", "recall:small", (UNET,), (NO_SKIP,))
    table = study.run(UNET, 0).objects()
    small = table[table["area"] <= np.quantile(table["area"], 1 / 3)]
    frame = effects.by_image(contrast)
    assert sorted(small["image"].unique()) == list(frame["index"])
    for name in ("gradient", "train_seconds", "lost:1"):
        assert effects.by_image(replace(contrast, metric=name)).empty
