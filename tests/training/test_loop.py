"""Loop, checkpoints and run folders: interrupted runs have the same numbers bit for bit."""

import json
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from segnb.data.batches import in_order, shuffled
from segnb.errors import SegnbError
from segnb.evaluation.evaluate import load, measure
from segnb.labels import IGNORE_INDEX
from segnb.metrics.confusion import confusion
from segnb.models.build import build
from segnb.models.registry import VARIANTS
from segnb.params import LARGEST_SEED, RunParams, StudyParams
from segnb.presets import PRESETS
from segnb.runtime.machine import Machine
from segnb.study.create import begin_run, create_study
from segnb.study.study import Run
from segnb.training import checkpoint, loop
from segnb.training.loop import criterion, evaluate, fit, stops_early, train_one_epoch
from tests.data.test_batches import split

CPU = Machine("cpu", "any", threads=1, precision="fp32")
RECIPE = replace(PRESETS["smoke"].unet, size=32, epochs=3)
WIDTH = 4  # of U-Nets


def made(variant: str) -> nn.Module:
    return build(variant, 13, 1 if VARIANTS[variant].family == "fcn" else WIDTH)


def trained(
    folder, on_epoch=lambda rows: None, variant="UNet_Standard_256", seed=0, machine=CPU, recipe=RECIPE
) -> Run:
    torch.manual_seed(seed)
    run = Run(folder / variant / f"seed{seed}")
    kept = folder.parent / "features"
    fit(made(variant), split(10), split(4, 1), recipe, seed, run, machine, on_epoch, kept)
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Uninterrupted runs, each trained once: whole(variant, precision)."""

    @cache
    def run(variant="UNet_Standard_256", precision="fp32") -> Run:
        folder = tmp_path_factory.mktemp("whole") / "study"
        return trained(folder, variant=variant, machine=replace(CPU, precision=precision))

    return run


def timeless(run: Run) -> pd.DataFrame:
    """Return the history without its times."""
    rows = run.history()
    return rows[[column for column in rows if "seconds" not in column]]


# -- loop ----------------------------------------------------------------------------------------------


class Table(nn.Module):
    """Fixed logits: always class 1, with probability e / (e + 2)."""

    def forward(self, images):
        logits = torch.zeros(len(images), 3, *images.shape[2:])
        logits[:, 1] = 1
        return logits


def test_evaluate_counts_and_averages_over_uneven_batches():
    data = split(5)
    found = evaluate(Table(), data, 2, CPU)
    share = (data.labels == 1).mean()
    assert found.loss == pytest.approx(math.log(math.e + 2) - share, abs=1e-5)
    assert found.confusion.shape == (5, 3, 3)
    assert found.confusion.sum() == data.labels.size
    assert found.confusion[:, :, [0, 2]].sum() == 0
    assert found.miou == pytest.approx(share / 3)


def test_one_batch_golden_run():
    """The first loss is near that of a uniform guess, and training lowers it far below."""
    torch.manual_seed(0)
    model, data = build("UNet_Standard_256", 13, 8), split(4)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    losses = [
        train_one_epoch(model, in_order(data, 4, CPU), optimizer, scheduler, CPU.scaler(), CPU)["train_loss"]
        for _ in range(30)
    ]
    assert losses[0] == pytest.approx(math.log(13), abs=0.5)
    assert losses[-1] < 0.5 * losses[0]


def test_void_pixels_are_in_no_loss_and_no_score():
    data = split(4)
    labels = data.labels.copy()
    labels[:, :8] = IGNORE_INDEX
    found = evaluate(Table(), replace(data, labels=labels), 3, CPU)
    share = (labels[:, 8:] == 1).mean()
    assert found.loss == pytest.approx(math.log(math.e + 2) - share, abs=1e-5)
    assert found.confusion.sum() == labels[:, 8:].size
    model = nn.Conv2d(3, 3, 1)
    still = torch.optim.SGD(model.parameters(), lr=0.0), torch.optim.lr_scheduler.ConstantLR
    scheduler = still[1](still[0], 1.0)
    batches = in_order(replace(data, labels=labels), 3, CPU)
    seen = train_one_epoch(model, batches, still[0], scheduler, CPU.scaler(), CPU)
    assert seen["train_loss"] == pytest.approx(
        evaluate(model, replace(data, labels=labels), 2, CPU).loss, rel=1e-6
    )


def test_a_batch_of_nothing_but_void_spoils_no_loss():
    data = split(5)
    labels = data.labels.copy()
    labels[4] = IGNORE_INDEX
    found = evaluate(Table(), replace(data, labels=labels), 2, CPU)  # the last batch contains only that image
    share = (labels[:4] == 1).mean()
    assert found.loss == pytest.approx(math.log(math.e + 2) - share, abs=1e-5)


def test_criterion_is_the_mean_over_pixels():
    logits = torch.zeros(2, 13, 4, 4)
    assert criterion(logits, torch.zeros(2, 4, 4, dtype=torch.long)).item() == pytest.approx(math.log(13))


def test_train_loss_and_miou_are_those_of_the_predictions_made_while_learning():
    model, data = nn.Sequential(nn.Conv2d(3, 3, 1)), split(5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)  # weights do not change
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    seen = train_one_epoch(model, in_order(data, 2, CPU), optimizer, scheduler, CPU.scaler(), CPU)
    found = evaluate(model, data, 2, CPU)
    assert seen["train_loss"] == pytest.approx(found.loss, rel=1e-6)
    assert seen["train_miou"] == pytest.approx(found.miou, abs=1e-9)


def test_early_stopping_needs_both_loss_and_miou_to_stand_still():
    epochs = [(1.0, 0.1), (0.9, 0.1), (0.9, 0.2), (0.8995, 0.2005), (0.95, 0.1), (0.1, 0.9)]
    rows = [{"val_loss": loss, "val_miou": miou} for loss, miou in epochs]
    stops = [stops_early(rows[:count], replace(RECIPE, patience=2)) for count in range(7)]
    assert stops == [False, False, False, False, False, True, False]


def test_without_patience_nothing_stops_early():
    assert not stops_early([{"val_loss": 1.0, "val_miou": 0.0}] * 50, replace(RECIPE, patience=None))


# -- run folders ---------------------------------------------------------------------------------------


def test_same_seed_same_numbers_and_another_seed_other_numbers(tmp_path, whole):
    first, again, other = whole(), trained(tmp_path / "b"), trained(tmp_path / "c", seed=1)
    assert timeless(first).equals(timeless(again))
    assert first.model_path.read_bytes() == again.model_path.read_bytes()
    assert first.model_path.read_bytes() != other.model_path.read_bytes()


def test_the_largest_seed_trains(tmp_path):
    assert trained(tmp_path / "largest", seed=LARGEST_SEED, recipe=replace(RECIPE, epochs=1)).done


@pytest.mark.parametrize(
    ("variant", "precision"),
    [
        ("UNet_Standard_256", "fp32"),
        ("FCN8s_vgg16_finetune", "fp32"),
        ("FCN16s_vgg16_freeze", "fp32"),  # on cached features
        ("ClassAttentionResidualUNet_256", "bf16"),
        ("UNet_NoSkip_256", "fp16"),  # with a loss scaler, which has a state
    ],
)
def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path, whole, variant, precision):
    machine = replace(CPU, precision=precision)

    def stop_in_second_epoch(rows):
        if len(rows) == 2:
            raise KeyboardInterrupt

    unbroken = whole(variant, precision)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", stop_in_second_epoch, variant, machine=machine)
    broken = Run(tmp_path / "parts" / variant / "seed0")
    assert not broken.done and broken.last_path.exists() and len(broken.history()) == 2
    resumed = trained(tmp_path / "parts", variant=variant, machine=machine)
    assert timeless(resumed).equals(timeless(unbroken))
    assert resumed.gradients().equals(unbroken.gradients())
    assert resumed.model_path.read_bytes() == unbroken.model_path.read_bytes()
    assert resumed.done and not resumed.last_path.exists()


def test_a_cell_stopped_in_the_first_epoch_and_run_again_starts_from_the_initial_weights(
    tmp_path, whole, monkeypatch
):
    run = Run(tmp_path / "parts" / "UNet_Standard_256" / "seed0")
    torch.manual_seed(0)
    model = build("UNet_Standard_256", 13, WIDTH)
    again = (model, split(10), split(4, 1), RECIPE, 0, run, CPU)

    def stop_half_way(model, batches, *rest):
        train_one_epoch(model, [next(batches)], *rest)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "train_one_epoch", stop_half_way)
        fit(*again)
    fit(*again)  # the same model after one more batch
    assert run.model_path.read_bytes() == whole().model_path.read_bytes()


def test_a_finished_run_is_not_trained_again(whole):
    run = whole()
    before = run.model_path.stat().st_mtime_ns, run.history().to_csv()
    seen = []
    trained(run.path.parents[1], seen.append)
    assert (run.model_path.stat().st_mtime_ns, run.history().to_csv()) == before
    assert len(seen) == 1 and len(seen[0]) == RECIPE.epochs


@pytest.mark.parametrize("rate", [1e8, 1e4, math.inf])
def test_a_training_that_diverges_stops_in_one_line_is_marked_and_not_tried_again(tmp_path, rate):
    seen = []
    recipe = replace(RECIPE, learning_rate=rate, schedule="constant")
    with pytest.raises(SegnbError, match="^the training diverged in epoch 1 of 3 .training loss") as told:
        trained(tmp_path, seen.append, recipe=recipe)
    assert f"LEARNING_RATE={min(rate / 10, 0.01):g}" in str(told.value)
    run = Run(tmp_path / "UNet_Standard_256" / "seed0")
    assert not run.done and run.diverged["epoch"] == 1 and run.diverged["error"] == str(told.value)
    assert len(run.history()) == len(seen[-1]) == 1  # reported like any other epoch
    kept = {path.name for path in run.path.iterdir()}
    assert kept - {".lock"} == {"diverged.json", "history.csv", "gradients.csv"}  # no checkpoint, no weights
    with pytest.raises(SegnbError, match="diverged in epoch 1 .*; to train this run again, delete .*seed0"):
        trained(tmp_path, seen.append, recipe=recipe)


@pytest.mark.parametrize(
    ("train_loss", "val_loss", "lost"),
    [(2.5, 2.6, False), (2.5, 50.0, False), (999.0, 3.0, False)]
    + [(1001.0, 3.0, True), (math.nan, 3.0, True), (2.5, math.nan, True), (2.5, math.inf, True)],
)
def test_what_counts_as_diverged(train_loss, val_loss, lost):
    row = {"epoch": 2, "train_loss": train_loss, "val_loss": val_loss}
    optimizer = torch.optim.Adam([{"params": [torch.zeros(1)]}, {"params": [torch.ones(1)]}])  # two rates
    told = loop._divergence(row, RECIPE, optimizer, replace(CPU, precision="bf16"))
    assert bool(told) == lost
    assert not lost or told.endswith("LEARNING_RATE=0.0002 BACKBONE_LEARNING_RATE=1e-05, or PRECISION=fp32")


def test_the_kept_weights_are_those_of_the_best_epoch(whole):
    run = whole()
    model = build("UNet_Standard_256", 13, WIDTH)
    checkpoint.load_model(run.model_path, model)
    found = evaluate(model, split(4, 1), RECIPE.batch_size, CPU).miou
    assert found == pytest.approx(run.history()["val_miou"].max(), abs=1e-6)
    assert run.summary["best_val_miou"] == run.history()["val_miou"].max()


def test_gradient_ratios_are_those_of_the_steps(tmp_path):
    """For one batch, ‖gradient‖ / ‖weight‖ of each layer equals that of the same step by hand."""
    recipe = replace(RECIPE, epochs=1, batch_size=10, mirror=False)
    run = Run(tmp_path / "UNet_Standard_256" / "seed0")
    torch.manual_seed(0)
    model = build("UNet_Standard_256", 13, WIDTH)
    by_hand = build("UNet_Standard_256", 13, WIDTH)
    by_hand.load_state_dict(model.state_dict())
    fit(model, split(10), split(4, 1), recipe, 0, run, CPU)
    images, labels = next(shuffled(split(10), 10, CPU, 0, 1, False))
    criterion(CPU.place(by_hand).train()(images), labels).backward()
    found = run.gradients()
    assert set(found["epoch"]) == {1} and len(found) == 9 * 2 + 4 + 1  # blocks, up-convolutions, score
    after = dict(model.named_modules())
    for row in found.itertuples():
        gradient = dict(by_hand.named_modules())[row.layer].weight.grad.norm()
        assert row.ratio == pytest.approx(float(gradient / after[row.layer].weight.detach().norm()), rel=1e-3)


def test_frozen_layers_have_no_gradients_and_kept_features_change_no_name(whole):
    layers = set(whole("FCN16s_vgg16_freeze").gradients()["layer"])
    assert layers == {"head.0", "head.3", "score_pool4", "up_to_16", "up_to_image"}


def test_frozen_trunk_is_bitwise_unchanged_by_training(whole):
    torch.manual_seed(0)
    fresh, kept = made("FCN16s_vgg16_freeze"), made("FCN16s_vgg16_freeze")
    run = whole("FCN16s_vgg16_freeze")
    checkpoint.load_model(run.model_path, kept)
    for name, value in fresh.trunk.state_dict().items():
        assert torch.equal(value, kept.trunk.state_dict()[name]), name
    changed = [n for n, v in fresh.state_dict().items() if not torch.equal(v, kept.state_dict()[n])]
    assert changed and not any(name.startswith(("trunk.", "tap_scale")) for name in changed)


# -- checkpoints and files -----------------------------------------------------------------------------


def test_a_measured_run_has_everything_a_report_needs(project, dataset):
    study = create_study(StudyParams(preset="smoke", data=str(dataset)))
    run, recipe = study.run("UNet_Standard_256", 0), study.recipe("unet")
    params = RunParams.check({"preset": "smoke", "data": str(dataset)})
    begin_run(run, params)
    torch.manual_seed(0)
    model = build(params.variant, 13, recipe.width)
    fit(model, study.split("train", 64), study.split("val", 64), recipe, 0, run, study.machine)
    measure(run)
    assert [r.path for r in study.measured()] == [run.path]
    test, shown = run.test(), run.predictions()
    assert test["confusion"].shape == (3, 13, 13) and test["confusion"].sum() == 3 * 64 * 64
    assert 0 <= test["as_published"] <= 1 and test["loss"] > 0
    # The stored predictions and the counts agree.
    again = confusion(torch.tensor(shown["labels"]), torch.tensor(shown["predictions"]), 13)
    assert np.array_equal(again.numpy(), test["confusion"][shown["index"]])
    assert next(load(run).parameters()).dtype == torch.float32
    assert json.loads((run.path / "params.json").read_text())["variant"] == "UNet_Standard_256"
    recorded = json.loads((run.path / "provenance.json").read_text())
    assert recorded["data"]["digest"] == study.data.digest
    assert recorded["packages"]["torch"] == study.settings["versions"]["torch"]
