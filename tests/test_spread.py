"""make spread: how far differences move over the seeds, and a table that is what was measured."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from segnb import cli, spread
from segnb.data.sources import open_data
from segnb.files import read_json
from segnb.machine import ALLOCATOR, Machine
from segnb.models.variants import build
from segnb.presets import PRESETS
from segnb.spread import ARMS, MARKS, NETWORKS, PAIRS, differences, measure, moved, shuffled, table, verdict
from tests.conftest import CHECKOUT

CPU = Machine("cpu", "any", threads=1, precision="fp32")
TINY = replace(PRESETS["smoke"].unet, size=32)


def scores(**by_network: list[float]) -> dict[str, np.ndarray]:
    """In the order of NETWORKS: a(ttention), u (plain), r(esidual), b(oth)."""
    return {name: np.array(by_network[key]) for name, key in zip(NETWORKS, "aurb", strict=True)}


def test_the_order_of_networks_is_that_of_the_pairs():
    assert NETWORKS == (
        "AttentionUNet_256",
        "UNet_Standard_256",
        "ResidualUNet_256",
        "AttentionResidualUNet_256",
    )
    assert all({more, less} <= set(NETWORKS) for more, less in PAIRS)


def test_the_spread_is_the_root_of_the_mean_variance():
    apart = differences(scores(u=[0, 0, 0], a=[1, 2, 3], r=[5, 5, 5], b=[5, 5, 5]))
    assert apart.tolist() == [[1, 2, 3], [5, 5, 5], [0, 0, 0], [4, 3, 2]]
    assert moved(apart) == pytest.approx(np.sqrt((1 + 0 + 0 + 1) / 4))


def test_what_is_shared_shows_below_the_shuffled_range():
    luck = np.random.default_rng(1).normal(0, 1, 6)
    together = scores(u=luck, a=luck + 1, r=luck + 5, b=luck + 6)
    low, high = shuffled(together)
    assert moved(differences(together)) == pytest.approx(0) and 0 < low < high
    assert "differ more steadily" in verdict(moved(differences(together)), (low, high))
    against = scores(u=luck, a=-luck, r=-luck, b=luck)
    assert "differ less steadily" in verdict(moved(differences(against)), shuffled(against))


def test_networks_that_share_nothing_lie_within_the_range_19_times_in_20():
    draw, inside = np.random.default_rng(2), 0
    for _ in range(60):
        apart = dict(zip(NETWORKS, draw.normal(0, 1, (4, 6)), strict=True))
        low, high = shuffled(apart)
        inside += low <= moved(differences(apart)) <= high
    assert 51 <= inside < 60  # 57 expected; of 60 draws with 0.95 fewer than 51 come once in 500


def test_weights_of_its_own_are_no_other_network_s_nor_another_seed_s():
    def first(name: str, seed: int, own: bool) -> torch.Tensor:
        torch.manual_seed(seed)
        model = build(name, 13, 8)
        if own:
            spread.of_its_own(name, seed)(model)
        return model.state_dict()["down1.0.weight"]

    plain, gated = "UNet_Standard_256", "AttentionUNet_256"
    assert torch.equal(first(plain, 0, False), first(gated, 0, False))
    assert not torch.equal(first(plain, 0, True), first(gated, 0, True))
    assert not torch.equal(first(plain, 0, True), first(plain, 1, True))
    assert not torch.equal(first(plain, 0, True), first(plain, 0, False))
    assert torch.equal(first(plain, 0, True), first(plain, 0, True))
    own, usual = (first(plain, 0, answer).std().item() for answer in (True, False))
    assert own == pytest.approx(usual, rel=0.2)


def test_a_tiny_measurement_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    data = open_data("streets", replace(PRESETS["smoke"], train=3, val=1, test=2))
    said = []

    def again() -> dict:
        return json.loads(json.dumps(measure(data, TINY, 2, CPU, tmp_path, said.append)))

    found = again()
    assert said[0] == "seed 0, same initial weights: Attention U-Net …" and len(said) == 16
    assert found["miou"].keys() == ARMS.keys()
    for arm in ARMS:
        assert found["miou"][arm].keys() == set(NETWORKS)
        assert all(len(one) == 2 and 0 < min(one) and max(one) < 1 for one in found["miou"][arm].values())
    assert found["miou"]["shared"] != found["miou"]["own"]

    def fail(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr("segnb.training.train_one_epoch", fail)
    assert again()["miou"] == found["miou"]
    assert table(found).count("\n| ") == 7


def test_the_command_writes_results_and_the_page(project, monkeypatch, capsys):
    for folder in ("docs", "results"):
        shutil.copytree(CHECKOUT / folder, project / folder)
    page, kept = project / "docs" / "spread.md", project / "results" / "spread.json"
    before, found = page.read_text(), read_json(kept)
    asked = []
    monkeypatch.setattr(spread, "measure", lambda *arguments: (asked.append(arguments), found)[1])
    monkeypatch.setattr("segnb.machine.settle", lambda runs, preset: CPU)
    for name, value in ALLOCATOR.items():  # otherwise the command begins again with them
        monkeypatch.setenv(name, value)
    page.write_text(before.replace("No gain shows", "A gain shows"))
    kept.unlink()
    assert cli.main(["spread"]) in (None, 0)
    assert page.read_text() == before and read_json(kept) == found
    assert "No gain shows" in capsys.readouterr().out
    data, recipe, seeds, machine, _ = asked[0]
    assert (data.name, recipe, seeds, machine) == ("streets", PRESETS["quick"].unet, spread.SEEDS, CPU)


def test_the_page_shows_what_was_measured():
    found = read_json(CHECKOUT / "results" / "spread.json")
    shown = (CHECKOUT / "docs" / "spread.md").read_text().partition(MARKS[0])[2].partition(MARKS[1])[0]
    assert table(found) == shown.strip()
    assert "No gain shows" in shown  # what the page says below it rests on this
