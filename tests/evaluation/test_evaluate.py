"""Evaluation: the files that `segnb measure` writes, and that their numbers agree."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from segnb.cli.__main__ import main
from segnb.data import shifts
from segnb.data.batches import Split
from segnb.data.dataset import Data
from segnb.errors import SegnbError
from segnb.evaluation import ablation
from segnb.evaluation import evaluate as evaluate_module
from segnb.evaluation.evaluate import measure, most_alike
from segnb.labels import IGNORE_INDEX, STREET
from segnb.metrics import boundaries, objects
from segnb.metrics import confusion as confusion_module
from segnb.models.build import build
from segnb.params import RunParams
from segnb.study.create import create_study
from segnb.study.study import Run
from segnb.training import checkpoint, evaluation_digest
from segnb.training.loop import evaluate

GATED, PLAIN, FCN = "AttentionUNet_256", "UNet_Standard_256", "FCN8s_vgg16_freeze"


@pytest.fixture
def study(project, dataset):
    """A study on a folder of images, with two cars in each test image."""
    for file in (dataset / "test" / "labels").glob("*.png"):
        labels = np.array(Image.open(file))
        labels[2:12, 2:16], labels[30:33, 40:44] = STREET.id("Car"), STREET.id("Car")
        Image.fromarray(labels).save(file)
    return create_study(RunParams.check({"preset": "smoke", "data": str(dataset)}).shared())


@pytest.fixture
def rendered(monkeypatch):
    """The study as if rendered: conditions change nothing, and two fifths of each car are visible."""
    monkeypatch.setattr(Data, "shifted", lambda data, cache, kind, size: data.split(cache, "test", size))

    def visibility(data, cache, size):
        cars = data.split(cache, "test", size).labels == STREET.id("Car")
        return np.where(cars, 102, 0).astype("u1"), np.zeros(cars.shape, "u2")

    monkeypatch.setattr(Data, "visibility", visibility)


def finished(study, variant: str) -> Run:
    """A run with an untrained network."""
    run = study.run(variant, 0)
    torch.manual_seed(0)
    checkpoint.save_model(run.model_path, build(variant, 13, study.recipe("unet").width))
    run.finish({"best_epoch": 1})
    return run


def contents(run: Run) -> dict[str, dict[str, np.ndarray]]:
    return {path.name: dict(np.load(path)) for path in sorted(run.path.glob("*.npz"))}


def test_the_most_alike_training_image_lends_its_labels(study, monkeypatch):
    """Labels copied from equal training images are right, and a run on drives stores their confusion."""
    seen = study.split("train", 64)
    order = [3, 0, 2]
    again = Split(seen.images[order] // 2 + 1, seen.labels[order], ["a", "b", "c"])
    dark = Split(seen.images // 2, seen.labels, seen.names)
    assert np.array_equal(most_alike(dark, again), seen.labels[order])
    run = finished(study, PLAIN)
    measure(run)
    assert "copied" not in run.test() and run.test()["code"] == evaluation_digest()
    monkeypatch.setattr(evaluate_module, "DRIVES", [study.settings["data"]["name"]])
    measure(run)
    test = run.test()
    assert np.array_equal(test["copied"].sum((1, 2)), test["confusion"].sum((1, 2)))


def test_all_files_tell_one_story(study):
    run = finished(study, PLAIN)
    measure(run)
    assert [one.path for one in study.measured()] == [run.path]
    labels = study.split("test", 64).labels
    predicted, confusion = run.predicted(), run.test()["confusion"]
    again = confusion_module.confusion(torch.from_numpy(np.array(labels)), torch.from_numpy(predicted), 13)
    np.testing.assert_array_equal(again.numpy(), confusion)
    shown = run.predictions()
    np.testing.assert_array_equal(predicted[shown["index"]], shown["predictions"])

    names = ("false_parts", "iou_hits", "f1_truth", "length_predicted", "trimap_truth", "edge_count")
    kept = run.boundary()
    assert kept["distances"].tolist() == [1, 2, 3] and kept["trimap_edges"][-1] == np.inf
    found = boundaries.statistics(study.split("test", 64).images, labels, predicted, 13)
    found |= boundaries.between(labels, predicted, [STREET.id(name) for name in STREET.things])
    found |= objects.false_parts(labels, predicted, 13)
    assert found.keys() | {"softness_sum", "softness_count", "softness_edges"} == kept.keys() - {
        "distances",
        "trimap_edges",
    }
    for name in names:
        np.testing.assert_array_equal(kept[name], found[name])
    # Each pixel is in one bin of the trimap, so the bins add up to the confusion matrix.
    np.testing.assert_array_equal(kept["trimap_hits"].sum(1), np.diagonal(confusion, axis1=1, axis2=2))
    np.testing.assert_array_equal(kept["trimap_truth"].sum(1), confusion.sum(2))
    assert (kept["softness_edges"] > 0).all()

    table = run.objects()
    assert len(table) == 6 and set(table["class"]) == {STREET.id("Car")}
    assert table["pixels"].sum() == (labels == STREET.id("Car")).sum()
    assert table["visible"].isna().all()
    sums = objects.binned(table, table["area"], objects.AREAS, len(labels))
    assert sums["count"].sum() == 6
    # The network has no gates, and the scenes are not rendered.
    assert not run.gates_path.exists() and not run.shifts_path.exists()


def test_a_network_with_gates_on_rendered_scenes_has_all_there_is(study, rendered):
    run = finished(study, GATED)
    measure(run)
    kept, confusion = run.gates(), run.test()["confusion"]
    assert kept["std"].shape == (3, 4, 1)
    assert kept["neutral_confusion"].shape == (5, 3, 13, 13)
    assert (kept["neutral_confusion"].sum((2, 3)) == confusion.sum((1, 2))).all()
    assert [kept[f"maps{level}"].shape[1:] for level in kept["levels"]] == [
        (1, 64, 64),
        (1, 32, 32),
        (1, 16, 16),
        (1, 8, 8),
    ]
    assert len(kept["maps1"]) == len(kept["index"]) == 3

    shifted = run.shifts()
    assert shifted["kinds"].tolist() == list(shifts.KINDS)
    for one in shifted["confusion"]:
        np.testing.assert_array_equal(one, confusion)
    np.testing.assert_allclose(run.objects()["visible"], 102 / 255)


def test_an_fcn_has_no_gates_and_is_not_tested_under_other_conditions(study, rendered, narrow):
    run = finished(study, FCN)
    measure(run)
    assert run.boundary()["iou_hits"].shape == (3, 3, 13)
    np.testing.assert_allclose(run.objects()["visible"], [102 / 255] * 6)
    assert not run.gates_path.exists() and not run.shifts_path.exists()
    assert run.objects()["reachable"].tolist() == [True, False] * 3  # a stride of 8 px loses the small car
    assert run.ablation()["names"].tolist() == ["pool3", "pool4"]


def test_measuring_again_writes_the_same_numbers(study, rendered):
    run = finished(study, GATED)
    assert main(["measure", str(run.path)]) == 0
    first = contents(run)
    assert main(["measure", str(run.path)]) == 0
    second = contents(run)
    assert first.keys() == second.keys() and len(first) == 8
    for name, arrays in first.items():
        for key, values in arrays.items():
            np.testing.assert_array_equal(values, second[name][key], err_msg=f"{name}: {key}")


def test_measuring_does_not_disturb_the_predictions(study):
    """Hooks and callbacks only observe: counts are those of a plain evaluation."""
    run = finished(study, "ClassAttentionResidualUNet_256")
    measure(run)
    study.machine.apply()
    torch.manual_seed(0)
    model = study.machine.place(build(run.variant, 13, study.recipe("unet").width))
    plain = evaluate(model, study.split("test", 64), study.recipe("unet").batch_size, study.machine)
    np.testing.assert_array_equal(plain.confusion.numpy(), run.test()["confusion"])
    assert run.gates()["std"].shape == (3, 4, 13)


def test_a_run_that_was_stopped_while_measured_does_not_count_as_measured(study, monkeypatch):
    run = finished(study, GATED)
    with monkeypatch.context() as patch:
        patch.setattr(ablation, "neutral_confusion", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main(["measure", str(run.path)]) == 130
    assert study.measured() == [] and run.boundary_path.exists()
    assert not list(run.path.glob(".*.npz*"))
    measure(run)
    assert len(study.measured()) == 1


def test_what_is_missing_is_named_with_the_command_that_writes_it(study):
    run = finished(study, PLAIN)
    for read in (run.test, run.predictions, run.predicted, run.boundary, run.objects, run.gates, run.shifts):
        with pytest.raises(SegnbError, match=f"missing. Run 'segnb measure {run.path}' to write it"):
            read()
    run.write_gradients([{"epoch": 1, "layer": "down1.0", "ratio": ratio} for ratio in (np.inf, 0.25, 0.0)])
    assert run.gradients().to_dict("records") == [{"epoch": 1, "layer": "down1.0", "ratio": 0.25}]


def test_a_run_that_is_not_finished_is_refused(study, capsys):
    assert main(["measure", str(study.run(PLAIN, 0).path)]) == 1
    assert "not a finished run. Run 'make report' to train it." in capsys.readouterr().err


def test_the_folder_of_no_run_is_refused_however_short_its_path(project, capsys):
    assert main(["measure", "/tmp"]) == 1
    assert "unknown run '/tmp' (expected the folder of a run" in capsys.readouterr().err


def test_pixels_that_nobody_labelled_are_in_no_file(study, monkeypatch):
    """If half of each image is void, all counts are those of the other half."""
    split = study.split("test", 64)
    labels = np.array(split.labels)
    labels[:, 32:] = IGNORE_INDEX
    monkeypatch.setattr(type(study), "split", lambda *_: replace(split, labels=labels))
    run = finished(study, GATED)
    measure(run)
    known = 3 * 32 * 64
    assert run.test()["confusion"].sum() == known
    assert run.boundary()["trimap_truth"].sum() == known
    assert run.gates()["neutral_confusion"].sum() == 5 * known
    assert run.objects()["pixels"].sum() == (labels == STREET.id("Car")).sum()
