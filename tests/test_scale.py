"""Three made-up runs stand in for a thousand; what is extrapolated is held against what is written."""

import json
from dataclasses import replace

import pytest
import torch

from segnb import checkpoint, scale
from segnb.files import read_json
from segnb.made_up import make_study
from segnb.models.variants import build, parameter_groups
from segnb.presets import PRESETS
from tests.conftest import CHECKOUT

NAMES = ["UNet_NoSkip_256"]
SMALL = replace(PRESETS["smoke"], test=6)


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A project in which one network has one run that was drawn and two that repeat it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda file: None)
        project = scale.project_in(tmp_path_factory.mktemp("scale"))
        study = make_study(project, 1, variants=NAMES, images=4)
    scale.grow(study, NAMES, 1, 3)
    return study, scale.commands(project, study, NAMES, 3)


def test_a_grid_grows_by_links_and_is_complete(grown):
    study, _ = grown
    runs = [study.run("UNet_NoSkip_256", seed) for seed in range(3)]
    assert all(run.done and run.confusion_path.exists() for run in runs)
    assert len({run.confusion_path.stat().st_ino for run in runs}) == 1


def test_every_command_is_timed(grown):
    _, found = grown
    assert set(found) == {"plan, all to do", "plan, nothing to do", "status", "ranking", "claims"}
    for name, one in found.items():
        assert 0 < one["cpu_seconds"] and 0 < one["seconds"], name
        assert 2**24 < one["peak_bytes"] < 2**33, name
    assert found["status"]["peak_bytes"] < found["claims"]["peak_bytes"]  # which brings torch


def test_a_command_that_fails_says_what_it_printed(tmp_path):
    with pytest.raises(RuntimeError, match="no such thing"):
        scale.timed(tmp_path, "-c", "raise SystemExit('no such thing')")


def test_memory_is_that_of_the_command_and_not_of_who_calls_it(tmp_path):
    ballast = torch.ones(2**26)  # 256 MiB
    assert scale.timed(tmp_path, "-c", "pass")["peak_bytes"] < 2**26 < ballast.nbytes


@pytest.mark.parametrize("name", ["UNet_Standard_256", "FCN8s_vgg16_freeze"])
def test_bytes_while_training_are_those_of_the_files(tmp_path, name):
    model = build(name, 13, 8)
    optimizer = torch.optim.Adam(parameter_groups(model, 1e-3, 1e-3))
    for one in model.parameters():
        one.grad = torch.zeros_like(one) if one.requires_grad else None
    optimizer.step()
    state = tmp_path / "last.pt"
    checkpoint.save_state(state, {"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    best = tmp_path / "best.safetensors"
    checkpoint.save_model(best, model)
    written = 2 * state.stat().st_size + 2 * best.stat().st_size
    assert scale.training_bytes(model) == pytest.approx(written, rel=0.05)


def test_bytes_of_a_run_grow_with_its_test_images_and_gates():
    few = scale.run_bytes("UNet_Standard_256", SMALL, 2)
    more = scale.run_bytes("UNet_Standard_256", replace(SMALL, test=12), 2)
    gated = scale.run_bytes("AttentionUNet_256", SMALL, 2)
    assert few["model"] == more["model"] < gated["model"]
    assert few["rest"] < more["rest"] <= 2 * few["rest"]
    # Six images are kept, with maps of 64, 32, 16 and 8 cells a side, two bytes a cell.
    assert gated["rest"] - few["rest"] == 6 * 2 * (64**2 + 32**2 + 16**2 + 8**2)


def test_rates_of_data_are_measured():
    found = scale.data_rates(SMALL, 1, 8, 500)
    assert all(value > 0 for value in found.values())
    assert found["cache_bytes_unet"] == 64 * 64 * 4
    assert found["feature_bytes"] == 2 * (8 * 8 * 256 + 4 * 4 * 512 + 2 * 2 * 512)


def test_tables_say_what_was_found():
    one = {"seconds": 12.34, "cpu_seconds": 5.6, "peak_bytes": 200 * 2**20}
    commands = ("plan, all to do", "plan, nothing to do", "status", "ranking", "claims")
    found = {
        "preset": "paper",
        "machine": "a made-up machine",
        "cores": 2,
        "date": "2000-01-01",
        "test_images": 500,
        "runs": {"65": dict.fromkeys(commands, one), "1001": dict.fromkeys(commands, one)},
        "bytes": {name: {"model": 470 * 10**6, "rest": 10**7, "training": 10**9} for name in scale.WEIGHED},
        "data": {
            "render_seconds": 0.36,
            "check_seconds": 0.01,
            "prepare_seconds": 0.02,
            "compare_seconds": 2e-9,
            "cache_bytes_fcn": 200_704,
            "cache_bytes_unet": 262_144,
            "feature_bytes": 652_288,
        },
    }
    told = scale.table(json.loads(json.dumps(found)))
    assert "| `segnb status` | 12.3 (5.6) s, 200 MiB | 12.3 (5.6) s, 200 MiB |" in told
    assert "1,001 runs" in told
    assert "| FCN-8s fine-tuned | 470 MB | 10.0 MB | 480 GB | 1.0 GB |" in told
    planned = scale.plan(found, read_json(CHECKOUT / "results" / "bench.json"))
    assert "| rendering, once, one core | 360 ms | 10.0 h |" in planned
    assert "| cache on disk, 256 px | 262 kB | 26.2 GB |" in planned
    assert "65 runs on 8 GPUs are 9 rounds, 90% of" in planned


def test_readme_and_plan_show_the_last_measurement():
    found = read_json(CHECKOUT / "results" / "scale.json")
    bench = read_json(CHECKOUT / "results" / "bench.json")
    for path, told in (("README.md", scale.table(found)), ("docs/scale.md", scale.plan(found, bench))):
        text = (CHECKOUT / path).read_text()
        assert text.partition(scale.MARKS[0])[2].partition(scale.MARKS[1])[0].strip() == told, path


def test_a_thousand_paper_runs_fit_on_a_disk_of_a_terabyte():
    found = read_json(CHECKOUT / "results" / "scale.json")["bytes"]
    assert all(1000 * (one["model"] + one["rest"]) < 10**12 for one in found.values())
