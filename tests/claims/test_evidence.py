"""Measures of runs and what is made of them: by hand, by another route, and where a file is gone."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from segnb.claims.claim import Contrast
from segnb.claims.effects import COSTS, Effects, share_variance
from segnb.claims.ledger import LEDGER
from segnb.claims.metrics import COMMON, METRICS, ImageCounts, early_epoch
from segnb.claims.related_studies import Missing
from segnb.metrics.confusion import class_iou, mean_iou
from segnb.storage.files import read_json, write_json
from tests.conftest import make_project
from tests.synthetic_study import DISTANCES, make_study

UNET, NO_SKIP, GATED = "UNet_Standard_256", "UNet_NoSkip_256", "AttentionResidualUNet_256"
FCN = [f"FCN{stride}s_vgg16_{trunk}" for stride in (32, 16, 8) for trunk in ("freeze", "finetune")]
pytestmark = pytest.mark.usefixtures("few_draws")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = make_project(tmp_path_factory.mktemp("evidence") / "project")
    return make_study(folder, seeds=2, images=12)


def measured(name: str, *runs) -> ImageCounts | float:
    return METRICS[name].of(*runs)


def total(run) -> np.ndarray:
    return run.test()["confusion"].sum(0)


# --- image counts ---


def test_a_share_by_hand():
    counted = ImageCounts(
        {"won": np.array([1, 0, 3]), "all": np.array([2, 4, 4])}, lambda won, all: won / all.astype(float)
    )
    assert counted.value() == 0.4  # 4 of 10, not the mean of 1/2, 0 and 3/4
    assert counted.by_image().tolist() == [0.5, 0, 0.75]


# --- measures ---


def test_every_measure_of_the_ledger_is_there():
    asked = {contrast.metric for claim in LEDGER.values() for contrast in claim.contrasts}
    assert asked <= {*METRICS, *COSTS}


def test_iou_of_classes(study):
    run = study.run(UNET, 0)
    iou = dict(zip(study.classes.names, class_iou(total(run)), strict=True))
    thin = ("Fence", "Pedestrian", "Pole", "Roadline", "Traffic sign")
    assert measured("iou:Car", run).value() == pytest.approx(iou["Car"])
    assert measured("miou:thin", run).value() == pytest.approx(np.mean([iou[name] for name in thin]))
    others = np.mean([iou[name] for name in iou if name not in thin])
    assert measured("miou:thin-others", run).value() == pytest.approx(
        np.mean([iou[name] for name in thin]) - others
    )
    assert COMMON == (
        *("Building", "Fence", "Pedestrian", "Pole", "Road"),
        *("Sidewalk", "Vegetation", "Car", "Traffic sign"),
    )
    assert measured("miou:common", run).value() == pytest.approx(np.mean([iou[name] for name in COMMON]))


def test_a_class_that_the_label_set_lacks(study):
    with pytest.raises(Missing, match="no class Bicyclist"):
        measured("iou:Bicyclist", study.run(UNET, 0))


def test_boundaries_by_distance(study):
    run = study.run(UNET, 0)
    by_distance = [measured(f"boundary_f1:{px}", run).value() for px in DISTANCES]
    assert by_distance == sorted(by_distance) and by_distance[0] > 0
    assert measured("boundary_f1", run).value() == pytest.approx(np.mean(by_distance))
    found = {name: array.sum(0) for name, array in run.boundary().items()}
    assert measured("edge_distance", run).value() == found["edge_distance_sum"] / found["edge_count"]
    ratio = found["length_predicted"].sum() / found["length_truth"].sum()
    assert ratio < 1 and measured("roughness", run).value() == pytest.approx(-np.log(ratio))


def test_objects_by_size_and_sight(study):
    run = study.run(UNET, 0)
    table = run.objects()
    lower, upper = np.quantile(table["area"], (1 / 3, 2 / 3))
    small, large = table[table["area"] <= lower], table[table["area"] > upper]
    assert measured("recall:small", run).value() == (small["recalled"] >= small["pixels"] / 2).mean()
    ratio = large["recalled"] / large["union"]
    assert measured("object_iou:large", run).value() == pytest.approx(ratio.mean())
    hidden = table[table["visible"] <= 0.5]
    seen = table[table["visible"] > 0.95]
    assert len(hidden) and len(seen)
    assert measured("recall:hidden-seen", run).value() == pytest.approx(
        hidden["found"].mean() - seen["found"].mean()
    )


def test_gates(study):
    run = study.run(GATED, 0)
    without = run.gates()["neutral_confusion"].sum(1)  # (L + 1, C, C)
    for place, level in enumerate(("1", "2", "3", "4", "all")):
        lost = mean_iou(total(run)) - mean_iou(without[place])
        assert measured(f"lost:{level}", run).value() == pytest.approx(lost)
    assert measured("gate_variation:2", run).value() == pytest.approx(run.gates()["std"][:, 1].mean())
    with pytest.raises(Missing, match="U-Net, seed 0, has no gates.npz"):
        measured("lost:1", study.run(UNET, 0))


def test_shifts_pair_with_the_first_images(study, tmp_path):
    run = study.run(UNET, 0)
    shifted = run.shifts()["confusion"]
    clean = run.test()["confusion"]
    assert measured("shift:fog", run).value() == pytest.approx(
        mean_iou(shifted[0].sum(0)) - mean_iou(clean.sum(0))
    )
    fewer = type(run)(tmp_path / UNET / "seed0")
    shutil.copytree(run.path, fewer.path)
    fewer.write_arrays(fewer.shifts_path, kinds=np.array(["night"]), confusion=shifted[1:2, :5])
    assert measured("shift:night", fewer).value() == pytest.approx(
        mean_iou(shifted[1, :5].sum(0)) - mean_iou(clean[:5].sum(0))
    )
    assert np.isnan(measured("shift:night", fewer).by_image()[5:]).all()
    with pytest.raises(Missing, match="no scenes with fog"):
        measured("shift:fog", fewer)


class Fixed:
    """A run of which only these are looked at."""

    def __init__(self, confusion=None, curve=()):
        self.confusion, self.curve = confusion, curve


@pytest.fixture
def by_hand(monkeypatch):
    monkeypatch.setattr("segnb.claims.metrics._confusion", lambda run: run.confusion)
    monkeypatch.setattr("segnb.claims.metrics._curve", lambda run: np.array(run.curve, float))


def two_classes(*hits: tuple[int, int]) -> Fixed:
    """Two images a call, ten pixels of each of two classes, so many of them right."""
    return Fixed(np.array([[[a, 10 - a], [10 - b, b]] for a, b in hits]))


def test_who_is_best(by_hand):
    mine = two_classes((9, 9), (5, 5), (8, 8), (9, 1))
    other = two_classes((8, 8), (9, 9), (8, 8), (1, 9))
    worst = two_classes((1, 1), (1, 1), (1, 1), (1, 1))
    # Won, lost, and two ties: the last, mirrored, has the same mean over classes.
    assert measured("best:images", mine, other, worst).value() == (1 + 0 + 1 / 2 + 1 / 2) / 4
    assert measured("best:images", mine, other, worst).cases == 4
    left, right = (
        two_classes((9, 5), (9, 5)),
        two_classes((5, 9), (5, 9)),
    )  # IoU 18/30, 10/22 and 10/22, 18/30
    assert measured("best:classes", left, right).value() == 1 / 2
    assert measured("best:classes", left, right).cases == 2
    assert measured("best:seeds", worst, mine, other) == 0.0


def test_a_class_without_truth_is_nobodys(by_hand):
    mine, other = (Fixed(np.array([[[hits, 10 - hits], [0, 0]]])) for hits in (9, 8))
    assert measured("best:classes", mine, other).value() == 1.0


def test_epochs_to_converge(by_hand):
    slow, fast = Fixed(curve=[0.1, 0.2, 0.3, 0.4]), Fixed(curve=[0.3, 0.5, 0.6, 0.8])
    goal = 0.9 * 0.4
    assert measured("epochs", slow, fast) == pytest.approx(3 + (goal - 0.3) / 0.1)
    assert measured("epochs", fast, slow) == pytest.approx(1 + (goal - 0.3) / 0.2)
    assert measured("epochs", Fixed(curve=[0.5, 0.5]), slow) == 1.0


def test_early_in_training(by_hand):
    assert [early_epoch(epochs) for epochs in (2, 3, 5, 6, 15)] == [1, 1, 1, 2, 3]
    run = Fixed(curve=[0.1, 0.2, 0.3, 0.4, 0.5, 0.7])
    assert measured("val:early", run) == 0.2 and measured("val:final", run) == 0.7
    assert measured("val:rise", run) == pytest.approx(0.5)
    with pytest.raises(Missing, match="one epoch"):
        measured("val:rise", Fixed(curve=[0.4]))


def test_gradients_of_the_encoder_in_the_first_epochs(study):
    run = study.run(UNET, 1)
    table = run.gradients()
    logs = [
        np.log10(row.ratio)
        for row in table.itertuples()
        if row.epoch <= 3 and (row.layer.startswith("down") or row.layer.startswith("bottom"))
    ]
    assert len(logs) == 15 < len(table)
    assert measured("gradient", run) == pytest.approx(np.mean(logs))
    by_stage = [
        measured(f"gradient:{stage}", run) for stage in ("down1", "down2", "down3", "down4", "bottom")
    ]
    assert np.mean(by_stage) == pytest.approx(np.mean(logs)) and by_stage == sorted(by_stage, reverse=True)


# --- contrasts ---


def test_an_effect_is_the_difference_of_means_over_seeds(study):
    found = Effects(study).measure(Contrast("", "miou", (UNET,), (NO_SKIP,)))
    means = [np.mean([mean_iou(total(study.run(name, seed))) for seed in (0, 1)]) for name in (UNET, NO_SKIP)]
    assert found.estimate == pytest.approx(means[0] - means[1]) and found.estimate > 0.05
    assert found.effect.seeds == 2 and found.effect.images == 12
    assert found.effect.pooled_dof == 6  # seven networks of the family, two seeds
    low, high = found.effect.interval()
    assert low < found.estimate < high


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


def test_only_common_seeds_count(study, tmp_path):
    folder = tmp_path / "project"
    copy = make_study(make_project(folder), seeds=2, images=4, variants=[UNET, NO_SKIP])
    shutil.rmtree(copy.run(NO_SKIP, 0).path)
    found = Effects(copy).measure(Contrast("", "miou", (UNET,), (NO_SKIP,)))
    assert found.effect.seeds == 1
    assert found.effect.by_seed[0] == pytest.approx(
        mean_iou(total(copy.run(UNET, 1))) - mean_iou(total(copy.run(NO_SKIP, 1)))
    )
    one = Effects(copy, seeds="0").measure(Contrast("", "miou", (UNET,), (NO_SKIP,)))
    assert one.missing == "U-Net, no skips has not been trained and tested"


def test_a_measure_without_a_value_is_missing(tmp_path):
    study = make_study(make_project(tmp_path / "project"), seeds=2, images=4, variants=[UNET, NO_SKIP])
    run = study.run(NO_SKIP, 1)
    run.write_arrays(
        run.boundary_path,
        **run.boundary() | {"length_predicted": np.zeros_like(run.boundary()["length_predicted"])},
    )
    found = Effects(study).measure(Contrast("", "roughness", (UNET,), (NO_SKIP,)))
    assert found.missing.endswith("of U-Net, no skips has no value on these test images")
    assert found.estimate is None and found.effect is None


def test_costs_are_shares_by_round(study):
    effects = Effects(study)
    tuned, frozen = "FCN8s_vgg16_finetune", "FCN8s_vgg16_freeze"
    memory = effects.measure(Contrast("", "memory_mib", (tuned,), (frozen,)))
    assert memory.estimate == pytest.approx(500 / 300 - 1) and memory.effect is None and not memory.repeats
    seconds = effects.measure(Contrast("", "train_seconds", (tuned,), (frozen,)))
    cost = study.cost()["train_samples"]
    ratios = [np.median(a) / np.median(b) - 1 for a, b in zip(cost[tuned], cost[frozen], strict=True)]
    np.testing.assert_allclose(seconds.effect.by_seed, ratios)
    assert seconds.repeats == "rounds" and len(ratios) == 5
    # A slow round is slow for both: the ratio varies less than the seconds do.
    assert np.std(ratios) / 2 < 3 * 0.01


def test_costs_without_rounds_are_missing(tmp_path):
    study = make_study(make_project(tmp_path / "project"), seeds=1, images=2, variants=[UNET, GATED])
    part = Contrast("", "train_seconds", (GATED,), (UNET,))
    table = read_json(study.cost_path)
    for row in table["variants"].values():
        del row["train_samples"]  # as versions before wrote it
    write_json(study.cost_path, table)
    assert "not measured in rounds" in Effects(study).measure(part).missing
    study.cost_path.unlink()
    assert "cost of Attention" in Effects(study).measure(part).missing


def test_a_share_of_one_is_no_certainty(study):
    part = Contrast("", "best:images", ("FCN8s_vgg16_finetune",), rivals=("FCN32s_vgg16_finetune",))
    found = Effects(study).measure(part)
    assert found.estimate == 1.0 and found.effect.seed_sd == 0
    assert found.effect.image_se == pytest.approx(np.sqrt(14 / 16 * 2 / 16 / 16))
    assert found.effect.testable and found.high95 == 1.0 > found.low95
    assert share_variance(0.5, 96) == pytest.approx(0.25 / 100)


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


# --- companions ---


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A study, and its companion of cars against the rest, where gates are worth ten points of skill."""
    folder = make_project(tmp_path_factory.mktemp("companions") / "project")
    few = {"seeds": 2, "images": 8, "variants": [UNET, "AttentionUNet_256"]}
    study = make_study(folder, **few)
    effects = {"AttentionUNet_256": 0.8}
    cars = make_study(folder, effects=effects, data="streets-car", label_set="car", **few)
    return study, cars


FOCUS = Contrast(
    "",
    "miou",
    ("streets-car:AttentionUNet_256", UNET),
    ("streets-car:UNet_Standard_256", "AttentionUNet_256"),
)


def test_a_companion_is_a_study_of_other_data(pair):
    study, cars = pair
    found = Effects(study).measure(FOCUS)
    gains = [
        np.mean([mean_iou(total(one.run("AttentionUNet_256", s))) for s in (0, 1)])
        - np.mean([mean_iou(total(one.run(UNET, s))) for s in (0, 1)])
        for one in (cars, study)
    ]
    assert found.estimate == pytest.approx(gains[0] - gains[1]) and found.estimate > 0.05
    assert found.effect.pooled_dof == 3  # of the four networks


def test_the_same_images_weigh_the_same_in_both(pair):
    study, cars = pair
    effects = Effects(study)
    here, there = (effects._weights(side, 0) for side in (UNET, f"streets-car:{UNET}"))
    assert here is there
    alone = Effects(make_other_names(cars))._weights(UNET, 0)
    assert not np.array_equal(alone, here)


def make_other_names(study):
    run = study.run(UNET, 0)
    arrays = run.test()
    copy = type(study)(study.path.with_name("other"))
    shutil.copytree(study.path, copy.path)
    arrays["names"] = np.array([f"photograph {i}" for i in range(len(arrays["names"]))])
    copy.run(UNET, 0).write_arrays(copy.run(UNET, 0).confusion_path, **arrays)
    return copy


def test_a_companion_of_another_preset_or_size_is_none(pair, tmp_path):
    study, cars = pair
    settled = read_json(cars.path / "study.json")
    fewer = settled | {"data": settled["data"] | {"counts": settled["data"]["counts"] | {"train": 8}}}
    shutil.rmtree(cars.path.with_name("other"), ignore_errors=True)
    try:
        write_json(cars.path / "study.json", fewer)
        told = Effects(study).measure(FOCUS).missing
        assert "trained on 8 images and these scenes on 240" in told
        for key, value in (
            ("preset", {}),
            ("code", "other"),
            ("versions", {}),
            ("weights", {"source": "random"}),
        ):
            write_json(cars.path / "study.json", settled | {key: value})
            assert "no study of the scenes with cars" in Effects(study).measure(FOCUS).missing
    finally:
        write_json(cars.path / "study.json", settled)
    assert "only a study of the rendered streets" in Effects(cars).measure(FOCUS).missing
