"""The metrics of runs: computed by hand, in another way, and without a file."""

import shutil

import numpy as np
import pytest

from segnb.claims import by_image
from segnb.claims.by_image import ImageCounts
from segnb.claims.metrics import COMMON, METRICS, early_epoch
from segnb.claims.related_studies import Missing
from segnb.metrics.confusion import class_iou, class_pixels, mean_iou
from segnb.storage.files import write_json
from segnb.study.study import Study
from tests.claims.examples import total
from tests.conftest import make_project
from tests.synthetic_study import DISTANCES, make_study

UNET, GATED = "UNet_Standard_256", "AttentionResidualUNet_256"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = make_project(tmp_path_factory.mktemp("metrics") / "project")
    return make_study(folder, seeds=2, images=12, variants=[UNET, GATED])


def measured(name: str, *runs) -> ImageCounts | float:
    return METRICS[name].of(*runs)


@pytest.mark.parametrize(
    ("things", "reason"),
    [
        ([], "marks no class of countable objects"),
        (["Car", "Pole"], "the test images contain no object of Car, Pole"),
    ],
)
@pytest.mark.parametrize("name", ["recall:small", "object_iou:large", "recall:in full sight"])
def test_without_an_object_the_reason_is_said(study, tmp_path, things, reason, name):
    copy = Study(shutil.copytree(study.path, tmp_path / "runs" / study.name))
    settings = copy.settings
    settings["data"]["classes"]["things"] = things
    write_json(copy.path / "study.json", settings)
    run = copy.run(UNET, 0)
    table = run.objects()
    run.write_arrays(run.objects_path, **{column: table[column][:0].to_numpy() for column in table})
    with pytest.raises(Missing, match=reason):
        measured(name, run)


def test_a_share_by_hand():
    counted = ImageCounts(
        {"won": np.array([1, 0, 3]), "all": np.array([2, 4, 4])}, lambda won, all: won / all.astype(float)
    )
    assert counted.value() == 0.4  # 4 of 10, not the mean of 1/2, 0 and 3/4
    assert counted.by_image().tolist() == [0.5, 0, 0.75]


@pytest.mark.parametrize(("images", "least"), [(4, 2), (16, 8), (40, 10)])
def test_an_interval_needs_half_of_the_images_or_ten(images, least):
    def counted(some: int) -> ImageCounts:
        return ImageCounts({"hits": (np.arange(images) < some).astype(int)}, lambda hits: hits)

    assert counted(least).contributing().sum() == least
    with pytest.raises(Missing, match=f"only {least - 1} of {images} test images count, too few"):
        counted(least - 1).contributing()


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
    arrays = {name: array.sum(0) for name, array in run.boundary().items()}
    assert measured("edge_distance", run).value() == arrays["edge_distance_sum"] / arrays["edge_count"]
    ratio = arrays["length_predicted"] / arrays["length_truth"]
    assert ratio < 1 and measured("roughness", run).value() == ratio


def test_objects_by_size_and_sight(study):
    run = study.run(UNET, 0)
    table = run.objects()
    px = table["area"] * 224**2
    small, large = table[(px >= 64) & (px < 256)], table[px >= 1024]
    assert measured("recall:small", run).value() == (small["recalled"] >= small["pixels"] / 2).mean()
    found_small = small["iou"][small["found"]]
    assert measured("found_iou:small", run).value() == pytest.approx(found_small.mean())
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


def test_parts_switched_off(study):
    run = study.run(GATED, 0)
    arrays = run.ablation()
    for name, without in zip(arrays["names"], arrays["confusion"], strict=True):
        lost = mean_iou(total(run)) - mean_iou(without.sum(0))
        assert measured(f"lost:{name}", run).value() == pytest.approx(lost) and lost > 0
    with pytest.raises(Missing, match="U-Net has no signal:mean"):
        measured("lost:signal:mean", study.run(UNET, 0))


def test_near_and_far_from_edges(study):
    run = study.run(UNET, 0)
    assert measured("near-far", run).value() == pytest.approx(
        measured("near", run).value() - measured("far", run).value()
    )
    arrays = run.boundary()  # bins 0–1 and 1–2 px are near, 8+ is far
    hits, truth = (arrays[f"trimap_{name}"].sum((0, 2)) for name in ("hits", "truth"))
    assert measured("near", run).value() == pytest.approx(hits[:2].sum() / truth[:2].sum())


def test_maps_of_gates():
    gate, where = np.array([[0.9, 0.8], [0.2, 0.1]]), np.array([[True, False], [True, False]])
    assert by_image.auc(gate, where) == 3 / 4  # of the pairs of a pixel inside and a pixel outside
    assert np.isnan(by_image.auc(gate, np.zeros((2, 2), bool)))
    assert by_image.auc(gate, np.array([[1, 0], [np.nan, 0]])) == 1
    cars = np.array([[1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0]], bool)
    seen = by_image.without_bonnet(cars)
    assert np.isnan(seen[3, 1:3]).all() and np.nansum(seen) == 3 and not np.isnan(seen[:3]).any()
    cars[3, 2] = False  # less than half of the lowest row: a car that the image cuts off
    assert by_image.without_bonnet(cars)[3].tolist() == [0, 1, 0, 0]
    assert by_image.evenness(np.full((4, 4), 0.3)) == pytest.approx(1)
    assert by_image.evenness(np.array([[1.0, 0, 0, 0]])) == 0


def test_what_older_versions_did_not_measure_is_told(study, tmp_path):
    old = type(study.run(UNET, 0))(tmp_path / UNET / "seed0")
    shutil.copytree(study.run(UNET, 0).path, old.path)
    sums = {name: array for name, array in old.boundary().items() if name != "false_parts"}
    old.write_arrays(old.boundary_path, **sums)
    with pytest.raises(Missing, match="was evaluated by an older segnb, without 'false_parts'"):
        measured("false_parts", old)


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
    with pytest.raises(Missing, match="not evaluated on scenes with fog"):
        measured("shift:fog", fewer)


class Fixed:
    """A run with a confusion matrix and a curve only."""

    def __init__(self, confusion=None, curve=()):
        self.confusion, self.curve = confusion, curve


@pytest.fixture
def by_hand(monkeypatch):
    monkeypatch.setattr("segnb.claims.metrics.pixels_of", lambda run: class_pixels(run.confusion))
    monkeypatch.setattr("segnb.claims.metrics._curve", lambda run: np.array(run.curve, float))


def two_classes(*hits: tuple[int, int]) -> Fixed:
    """Images with ten pixels of each of two classes, and the number of correct pixels of each."""
    return Fixed(np.array([[[a, 10 - a], [10 - b, b]] for a, b in hits]))


def test_who_is_best(by_hand):
    mine = two_classes((9, 9), (5, 5), (8, 8), (9, 1))
    other = two_classes((8, 8), (9, 9), (8, 8), (1, 9))
    worst = two_classes((1, 1), (1, 1), (1, 1), (1, 1))
    # Won, lost, and two ties: the last, mirrored, has the same mean over classes.
    assert measured("best:images", mine, other, worst).value() == (1 + 0 + 1 / 2 + 1 / 2) / 4
    void = [Fixed(np.concatenate([one.confusion, np.zeros((1, 2, 2), int)])) for one in (mine, other)]
    assert measured("best:images", *void).value() == (1 + 0 + 1 / 2 + 1 / 2) / 4
    # IoU 18/30, 10/22 and 10/22, 18/30.
    left, right = two_classes((9, 5), (9, 5)), two_classes((5, 9), (5, 9))
    assert measured("best:classes", left, right).value() == 1 / 2
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
    assert measured("epochs:own", fast) == pytest.approx(3 + (0.9 * 0.8 - 0.6) / 0.2)


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
    early = [(row.layer.split(".")[0], np.log10(row.ratio)) for row in table.itertuples() if row.epoch <= 3]
    logs = [ratio for stage, ratio in early if stage.startswith("down") or stage == "bottom"]
    assert len(logs) == 15 < len(table)
    # Relative to the decoder's last block: smaller gradients everywhere change nothing.
    logs = np.array(logs) - np.mean([ratio for stage, ratio in early if stage == "up1"])
    assert measured("gradient", run) == pytest.approx(np.mean(logs))
    by_stage = [
        measured(f"gradient:{stage}", run) for stage in ("down1", "down2", "down3", "down4", "bottom")
    ]
    assert np.mean(by_stage) == pytest.approx(np.mean(logs)) and by_stage == sorted(by_stage, reverse=True)
