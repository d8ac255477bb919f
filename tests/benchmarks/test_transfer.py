"""make transfer: common classes, training and test frames, and a table of the results."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import transfer
from benchmarks.__main__ import TRANSFER_MARKS, main, transfer_table
from benchmarks.transfer import MANY, Settings, Varied, in_common, measure, rounds, to_street, trained
from segnb.data.batches import Split
from segnb.errors import SegnbError
from segnb.labels import CAMVID, CAR, IGNORE_INDEX, STREET
from segnb.metrics.confusion import class_iou, mean_iou
from segnb.presets import PRESETS
from segnb.runtime.machine import Machine
from segnb.storage.files import read_json
from segnb.training.checkpoint import load_model
from tests.conftest import CHECKOUT, make_dataset

CPU = Machine("cpu", "any", threads=1, precision="fp32")
TINY = replace(PRESETS["smoke"].unet, size=32)
FEW = replace(TINY, epochs=2)


# --- classes ---


def test_common_classes_go_by_name():
    looked_up = to_street(CAMVID)
    for name in CAMVID.names:
        expected = {"Sky": STREET.id("Unlabeled"), "Bicyclist": IGNORE_INDEX}.get(name)
        assert looked_up[CAMVID.id(name)] == (STREET.id(name) if expected is None else expected), name
    assert looked_up[IGNORE_INDEX] == IGNORE_INDEX
    assert (to_street(STREET)[: len(STREET)] == np.arange(len(STREET))).all()


def test_classes_that_have_nothing_in_common_are_refused():
    with pytest.raises(SegnbError, match="fewer than two") as caught:
        to_street(CAR)
    assert "\n" not in str(caught.value)


def test_paint_on_the_road_is_road_where_no_class_is_paint():
    line, road, pole = (STREET.id(name) for name in ("Roadline", "Road", "Pole"))
    counts = np.zeros((1, 13, 13), np.int64)
    counts[0, road, [road, line, pole]] = 5, 3, 2
    assert in_common(counts, STREET) is counts
    merged = in_common(counts, CAMVID)
    assert class_iou(merged[0])[road] == pytest.approx(0.8)
    assert merged.sum() == counts.sum() and counts[0, road, line] == 3


# --- frames ---


@pytest.mark.parametrize("folds", [3, 4])
def test_folds_are_disjoint_and_test_every_frame_once(folds):
    names = [f"{i:04d}" for i in range(30)]
    turns = rounds(names, 22, Settings(folds=folds), seed=0)
    assert len(turns) == folds
    assert sorted(np.concatenate([test for _, test in turns])) == list(range(30))
    for few, test in turns:
        assert sorted([*few, *test]) == list(range(30))
        assert len(test) in (30 // folds, -(-30 // folds))


def test_folds_depend_on_names_and_seed_alone():
    names = [f"{i:04d}" for i in range(30)]

    def by_name(names: list[str], seed: int) -> list[set[str]]:
        return [{names[i] for i in test} for _, test in rounds(names, 22, Settings(), seed)]

    assert by_name(names, 1) == by_name(names[::-1], 1) == by_name(names, 1)
    assert by_name(names, 1) != by_name(names, 2)


def test_of_many_frames_a_few_are_learnt_from_and_the_test_split_tested_on():
    names = [f"{i:04d}" for i in range(MANY + 1)]
    ((few, test),) = rounds(names, 60, Settings(few=22), seed=0)
    assert len(few) == 22 and few.max() < 60
    assert test.tolist() == list(range(60, MANY + 1))
    ((others, _),) = rounds(names, 60, Settings(few=22), seed=1)
    assert few.tolist() != others.tolist()


def test_varied_scenes_change_their_colours_and_keep_their_labels():
    draw = np.random.default_rng(0)
    images, labels = (
        draw.integers(0, 256, (3, 32, 32, 3), np.uint8),
        draw.integers(0, 13, (3, 32, 32), np.uint8),
    )
    plain, varied = (kind(images, labels, ["a", "b", "c"]) for kind in (Split, Varied))

    def batch(split: Split, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(seed)
        return split.batch(np.array([2, 0]), np.array([True, False, False]), CPU)

    assert torch.equal(batch(varied, 1)[1], batch(plain, 1)[1])  # in order, and mirrored
    assert batch(varied, 1)[0].shape == batch(plain, 1)[0].shape
    assert not torch.equal(batch(varied, 1)[0], batch(plain, 1)[0])
    assert torch.equal(batch(varied, 1)[0], batch(varied, 1)[0])
    assert not torch.equal(batch(varied, 1)[0], batch(varied, 2)[0])


# --- all of it ---


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[dict, Callable[[], dict]]:
    """A tiny measurement from scenes to JSON, and the same again."""
    folder = tmp_path_factory.mktemp("transfer")
    data = make_dataset(folder / "dataset_048")
    settings = Settings(
        data=replace(PRESETS["smoke"], train=3, val=1, test=2),
        scenes=TINY,
        scratch=FEW,
        tuned=FEW,
        seeds=2,
        folds=2,
    )

    def again() -> dict:
        measured = measure(str(data), settings, CPU, folder / "cache")
        return json.loads(json.dumps(measured))

    return again(), again


def test_a_tiny_measurement_from_scenes_to_table(done):
    measured, _ = done
    assert measured["tested_on"] == 13 and measured["learnt_from"] == [6, 7]
    results = measured["results"]
    assert set(results) == {"streets", "scenes", "scratch", "tuned", "gain"}
    for arm in ("scenes", "scratch", "tuned"):
        one = results[arm]
        assert set(one["classes"]) == {"Unlabeled", "Road", "Vegetation"}  # what the stripes show
        assert one["miou"] == pytest.approx(np.mean(one["by_seed"]))
        assert one["miou"] == pytest.approx(np.mean(list(one["classes"].values())))
        assert one["interval"][0] <= one["miou"] <= one["interval"][1]
    gain = np.subtract(results["tuned"]["by_seed"], results["scratch"]["by_seed"])
    assert results["gain"]["by_seed"] == pytest.approx(gain.tolist())
    assert transfer_table(measured).count("\n| Road |") == 1


def test_what_was_trained_is_found_again(done, monkeypatch):
    def fail(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr("segnb.training.loop.train_one_epoch", fail)
    measured, again = done
    assert again()["results"] == measured["results"]


def test_a_network_starts_where_it_is_told(tmp_path):
    draw = np.random.default_rng(0)
    noise = Split(
        draw.integers(0, 256, (2, 32, 32, 3), np.uint8),
        draw.integers(0, 13, (2, 32, 32), np.uint8),
        ["a", "b"],
    )
    still = replace(FEW, learning_rate=1e-9)  # nothing moves but the batch statistics

    def train(start: Path | None, seed: int) -> tuple[Path, dict]:
        begin = partial(load_model, start) if start else None
        what = ["noise", bool(start)]
        file, model = trained(seed, (noise, noise), still, CPU, tmp_path, what, begin, last=True)
        return file, model.state_dict()

    first, weights = train(None, 0)
    (_, tuned), (other, scratch) = train(first, 1), train(None, 1)
    assert other.parent.name == "seed1" != first.parent.name
    assert torch.allclose(tuned["down1.0.weight"], weights["down1.0.weight"], atol=1e-6)
    assert not torch.allclose(scratch["down1.0.weight"], weights["down1.0.weight"], atol=1e-2)


# --- numbers ---


@pytest.mark.parametrize("name", ["streets", "streets-car", "streets-drives"])
def test_streets_are_no_real_frames(name, tmp_path):
    with pytest.raises(SegnbError, match=f"'{name}' are the rendered streets"):
        measure(name, Settings(), CPU, tmp_path)


def counts_of(right: list[int]) -> np.ndarray:
    """One image per number: 10 pixels of Road and 10 of Car, that many of each right and the rest swapped."""
    road, car = STREET.id("Road"), STREET.id("Car")
    counts = np.zeros((len(right), 13, 13), np.int64)
    for one, hits in zip(counts, right, strict=True):
        one[road, [road, car]] = one[car, [car, road]] = hits, 10 - hits
    return counts


def test_the_interval_is_that_of_images_and_seeds():
    better, worse = np.stack([counts_of([9, 8, 9])] * 2), np.stack([counts_of([5, 4, 5])] * 2)
    one = transfer._effect([better, worse], list("xyz"))
    assert one.by_seed == pytest.approx([mean_iou(better[0].sum(0)) - mean_iou(worse[0].sum(0))] * 2)
    assert one.seed_variance == 0 and one.image_variance > 0 and one.images == 3
    other = transfer._effect([np.stack([counts_of([9, 8, 9]), counts_of([6, 5, 6])]), worse], list("xyz"))
    assert other.seed_variance > 0
    narrow, wide = one.interval(), other.interval()
    assert wide[1] - wide[0] > narrow[1] - narrow[0]


@pytest.fixture
def measured():
    def one(miou: float, low: float, high: float, by_seed: list[float], road: float) -> dict:
        return {"miou": miou, "interval": [low, high], "by_seed": by_seed, "classes": {"Road": road}}

    return {
        "data": {"name": "mini", "digest": "0", "counts": {"train": 18, "val": 4, "test": 8}},
        "scheme": "4 folds",
        "learnt_from": [22, 23],
        "tested_on": 30,
        "settings": asdict(Settings()),
        "scenes": {"digest": "1", "counts": {"train": 1500, "val": 60, "test": 200}},
        "machine": asdict(CPU),
        "torch": "2",
        "date": "2000-01-01",
        "results": {
            "streets": one(0.5, 0.45, 0.55, [0.5], 0.9),
            "scenes": one(0.2999, 0.25, 0.35, [0.2999, 0.2999], 0.6),
            "scratch": one(0.25, 0.2, 0.3, [0.24, 0.26], 0.5),
            "tuned": one(0.3, 0.25, 0.35, [0.28, 0.32], 0.4),
            "gain": one(0.05, -0.01, 0.11, [0.04, 0.06], -0.1),
        },
    }


def test_the_table_says_what_is_reached_and_what_is_missed(measured):
    sentence, _, head, _, *rows = transfer_table(measured).splitlines()
    assert "1,500 scenes; 4 folds, tested on 30 frames, 3 seeds" in sentence
    assert head.split(" | ")[1:3] == ["scenes alone", "22 or 23 frames alone"]
    assert rows == [
        "| **mIoU** | 0.300 (0.250 to 0.350) | 0.250 (0.200 to 0.300) | 0.300 (0.250 to 0.350)"
        " | +5.0 (−1.0 to 11.0) |",
        "| per seed | 0.300 0.300 | 0.240 0.260 | 0.280 0.320 | +4.0 +6.0 |",
        "| aim | ≥ 0.30 (missed) |  |  | ≥ 5 (reached) |",
        "| Road | 0.600 | 0.500 | 0.400 | −10.0 |",
    ]


@pytest.mark.parametrize(
    "path", sorted((CHECKOUT / "results").glob("transfer-*.json")), ids=lambda path: path.stem
)
def test_the_page_shows_what_was_measured(path):
    first, last = TRANSFER_MARKS
    page = (CHECKOUT / "docs" / "transfer.md").read_text()
    assert transfer_table(read_json(path)) in page.partition(first)[2].partition(last)[0]


def test_a_wrong_folder_is_one_line(project, capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.__main__.resolve_machine", lambda *_: CPU)
    assert main(["transfer", str(project / "nowhere")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("benchmarks: ") and "nowhere" in error and error.count("\n") == 1
