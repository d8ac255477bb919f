"""Studies: created once, opened by their runs, and told apart by what changes numbers."""

import json
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from segnb.cli import main, trained
from segnb.errors import SegnbError
from segnb.models import registry
from segnb.models.fcn import VGG16
from segnb.models.pretrained import Weights
from segnb.models.registry import UNetConfig, Variant
from segnb.params import RunParams, StudyParams
from segnb.presets import preset
from segnb.report.report import facts
from segnb.storage.files import write_json
from segnb.study import create
from segnb.study.create import begin_run, create_study, open_run
from segnb.study.provenance import identity, provenance, unlike
from segnb.study.study import NO_SCORES, open_study
from segnb.study.study import open_run as open_finished_run
from segnb.training import autotune


def study_of(dataset, **changes):
    return create_study(StudyParams.check({"preset": "smoke", "data": str(dataset)} | changes))


def run_params(study, /, **changes):
    return RunParams(**study.settings["request"] | {"study": study.name} | changes)


def test_the_same_request_is_the_same_study_and_another_is_another(project, dataset):
    first = study_of(dataset)
    assert study_of(dataset).name == first.name
    changes = {"epochs": 2}, {"learning_rate": 0.1}, {"backbone_learning_rate": 0.1}
    assert len({first.name, *(study_of(dataset, **change).name for change in changes)}) == 4


def test_latest_is_the_study_that_a_report_asked_for_last(project, dataset):
    first, second = study_of(dataset), study_of(dataset, epochs=2)
    assert open_study().name == second.name  # created last
    first.ask(["UNet_Standard_256"], [0])
    assert open_study().name == first.name
    run = open_run(run_params(second))
    begin_run(run, run_params(second))
    study_of(dataset, epochs=3)
    assert open_study().name == first.name  # whatever began or was created since


def test_a_run_opens_its_study_and_writes_nothing_to_it(project, dataset, monkeypatch):
    study = study_of(dataset)
    before = (study.path / "study.json").read_bytes(), (study.path / "study.json").stat().st_mtime_ns
    monkeypatch.setattr(create, "resolve_weights", lambda *_: pytest.fail("looked for weights"))
    monkeypatch.setattr(create, "resolve_machine", lambda *_: pytest.fail("timed the machine"))
    assert open_run(run_params(study)).study == study
    after = (study.path / "study.json").read_bytes(), (study.path / "study.json").stat().st_mtime_ns
    assert after == before


@pytest.mark.parametrize(("changed", "named"), [({"code": "0" * 16}, "code"), ({"versions": {}}, "versions")])
def test_a_run_of_a_study_of_other_code_or_versions_is_refused(project, dataset, changed, named):
    study = study_of(dataset)
    write_json(study.path / "study.json", study.settings | changed)
    with pytest.raises(
        SegnbError, match=f"study {study.name}: this run no longer belongs to it, because {named} changed"
    ):
        open_run(run_params(study))


def test_other_words_for_the_same_study_refuse_none_of_its_runs(project, dataset):
    study = study_of(dataset)
    words = {"epochs": study.preset.unet.epochs, "weights": "random", "precision": "fp32"}
    assert study_of(f"study:{dataset}", **words).settings == study.settings
    assert open_run(run_params(study)).study == study


def test_a_run_of_other_parameters_than_its_study_is_refused(project, dataset):
    study = study_of(dataset)
    with pytest.raises(SegnbError, match="no longer belongs to it, because epochs changed"):
        open_run(run_params(study, epochs=7))


def test_the_backbone_has_a_learning_rate_of_its_own(project, dataset):
    plain, head, both = (
        study_of(dataset, **rates).recipe("fcn")
        for rates in ({}, {"learning_rate": 0.1}, {"learning_rate": 0.1, "backbone_learning_rate": 0.2})
    )
    # Weights of preset smoke are random: its backbone learns as fast as the head, unless a rate is given.
    assert plain.backbone_learning_rate == plain.learning_rate != 0.1
    assert (head.learning_rate, head.backbone_learning_rate) == (0.1, 0.1)
    assert (both.learning_rate, both.backbone_learning_rate) == (0.1, 0.2)
    asked = preset("smoke").fcn.backbone_learning_rate  # a rate that is asked for is not that of no rate
    slow = study_of(dataset, backbone_learning_rate=asked)
    assert slow != study_of(dataset) and slow.recipe("fcn").backbone_learning_rate == asked
    assert plain.backbone_learning_rate != asked


def test_a_network_that_has_changed_since_its_run_began_is_refused(project, dataset, monkeypatch):
    study = study_of(dataset)
    name = "UNet_Standard_256"
    params = run_params(study, variant=name)
    begin_run(open_run(params), params)
    old = registry.VARIANTS[name]
    monkeypatch.setitem(
        registry.VARIANTS, name, Variant(name, "Other words", "Other.", old.config, "#000000", "x")
    )
    assert open_run(params).provenance_path.exists()  # a label, a summary and a look change nothing
    changed = UNetConfig(block="residual")
    monkeypatch.setitem(registry.VARIANTS, name, Variant(name, "U", "U.", changed, "#000000", "x"))
    with pytest.raises(SegnbError, match=f"another configuration of {name}. Delete that folder"):
        open_run(params)


def test_changed_data_is_another_study_and_the_old_one_says_so(project, dataset):
    first = study_of(dataset)
    (dataset / "train" / "images" / "0000.png").write_bytes(
        (dataset / "train" / "images" / "0001.png").read_bytes()
    )
    assert study_of(dataset).name != first.name
    with pytest.raises(SegnbError, match="have changed since"):
        _ = first.data


def test_an_unknown_study_lists_the_choices(project, dataset):
    with pytest.raises(SegnbError, match="Run 'make report'"):
        open_study()
    known = study_of(dataset)
    with pytest.raises(SegnbError, match=known.name):
        open_study("smoke-nothing")


def test_the_precision_can_be_forced_and_makes_another_study(project, dataset):
    first = study_of(dataset)
    assert first.machine.precision == "fp32"
    other = study_of(dataset, precision="bf16")
    assert other.machine.precision == "bf16" and other.name != first.name
    with pytest.raises(SegnbError, match="unsupported precision 'fp8' on .* .expected one of auto, fp32"):
        study_of(dataset, precision="fp8")


def test_fc6_in_a_narrow_head_is_refused_before_anything_is_trained(project, dataset, monkeypatch):
    monkeypatch.setattr(create, "resolve_weights", lambda *_: pytest.fail("looked for 528 MB"))
    with pytest.raises(SegnbError, match="full width, which preset smoke does not have. Use preset paper"):
        study_of(dataset, weights="imagenet+fc6")


def test_a_weights_file_of_the_user_is_looked_into_and_kept_by_its_whole_path(project, dataset, monkeypatch):
    monkeypatch.chdir(dataset.parent)
    torch.save({"features.0.weight": torch.zeros(1)}, "vgg.pth")
    with pytest.raises(SegnbError, match="vgg.pth: not a readable VGG16 file"):
        study_of(dataset, weights="vgg.pth")
    features = VGG16().features.state_dict()
    torch.save({f"features.{name}": value for name, value in features.items()}, "vgg.pth")
    found = study_of(dataset, weights="vgg.pth").settings
    assert found["request"]["weights"] == str(dataset.parent / "vgg.pth")
    assert found["weights"]["source"] == "file vgg.pth"


def test_a_warning_that_comes_later_is_not_lost(project, dataset, monkeypatch):
    assert study_of(dataset, weights="random").settings["warnings"] == []
    monkeypatch.setattr(create, "resolve_weights", lambda *_: Weights("random", warning="no network"))
    assert study_of(dataset, weights="auto").settings["warnings"] == ["no network"]


def test_a_reader_is_told_what_was_assumed_of_the_data(project, dataset):
    scores, assumed = study_of(dataset).warnings
    assert scores == NO_SCORES  # of preset smoke
    assert assumed.startswith("Without a classes.csv, masks are read as the 13 classes")
    (dataset / "classes.csv").write_text("id,name\n" + "".join(f"{i},class {i}\n" for i in range(13)))
    assert study_of(dataset).warnings == [NO_SCORES]


def test_segnb_study_prints_the_name_alone(project, dataset, monkeypatch, capsys):
    def resolved(*_):
        print("trunk weights: random, because")
        return Weights("random")

    monkeypatch.setattr(create, "resolve_weights", resolved)
    assert main(["study", "--preset", "smoke", "--data", str(dataset)]) == 0
    assert capsys.readouterr().out == f"{open_study().name}\n"


def test_a_run_takes_the_settings_of_the_study_that_it_is_asked_for(project, dataset, monkeypatch):
    """As a job on a cluster, which has fewer cores than where its study was created."""
    monkeypatch.setattr(autotune, "usable_cores", lambda: 8)
    study = study_of(dataset)
    assert study.machine.threads == 2
    monkeypatch.setattr(autotune, "usable_cores", lambda: 2)
    assert open_run(run_params(study)).study.settings == study.settings
    alone = open_run(run_params(study, study=None)).study
    assert alone.name != study.name and alone.machine.threads == 1

    written = json.loads((study.path / "study.json").read_text())
    write_json(study.path / "study.json", written | {"machine": written["machine"] | {"device": "cuda"}})
    with pytest.raises(
        SegnbError, match=f"study {study.name}: trains and evaluates on cuda, but torch finds only cpu"
    ):
        open_run(run_params(study))


def test_a_gpu_is_looked_for_once_it_is_claimed(project, dataset, monkeypatch):
    """CUDA reads CUDA_VISIBLE_DEVICES, which the claim sets, only once."""
    order, study = [], study_of(dataset)

    @contextmanager
    def claimed(machine):
        order.append("claimed")
        yield

    def look(study):
        order.append("looked")
        raise SegnbError("no GPU")

    run = study.run("UNet_Standard_256", 0)
    run.path.mkdir(parents=True)
    write_json(run.path / "done.json", {})
    monkeypatch.setattr(trained, "claimed", claimed)
    monkeypatch.setattr(trained, "check_device", look)
    assert main(["measure", str(run.path)]) == main(["cost", "--study", study.name]) == 1
    assert order == ["claimed", "looked"] * 2 and run.failure["error"] == "no GPU"


def test_a_study_of_another_preset_of_the_same_name_gets_no_further_runs(project, dataset):
    """As studies with random weights, whose backbones learned faster than their preset said."""
    study = study_of(dataset)
    written = json.loads((study.path / "study.json").read_text())
    written["preset"]["fcn"]["backbone_learning_rate"] = 1e-4
    write_json(study.path / "study.json", written)
    with pytest.raises(SegnbError, match="no longer belongs to it, because its preset changed"):
        open_run(run_params(study))


def test_what_changes_bits_in_the_environment_makes_another_study(project, dataset, monkeypatch):
    plain = study_of(dataset)
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    other = study_of(dataset)
    assert other.name != plain.name and plain.machine.environment == {}
    assert other.machine.environment == provenance(other)["machine"]["environment"]
    assert other.machine.environment == {"ATEN_CPU_CAPABILITY": "default"}
    differences = unlike(identity(other.settings), identity(plain.settings))
    assert differences == ["machine environment ATEN_CPU_CAPABILITY: default instead of nothing"]
    with pytest.raises(SegnbError, match="ATEN_CPU_CAPABILITY is default in the environment"):
        open_run(run_params(plain)).study.machine.apply()
    assert facts(other, [])["Machine"].endswith(", ATEN_CPU_CAPABILITY=default")


def test_moved_data_is_the_same_study_at_its_new_place(project, dataset, tmp_path):
    first = study_of(dataset)
    (tmp_path / "elsewhere").mkdir()
    moved = study_of(dataset.rename(tmp_path / "elsewhere" / dataset.name))
    assert moved.name == first.name
    assert len(moved.split("test", 64)) == 3


def test_the_first_warning_stays_when_the_engine_settles_the_study_again(project, dataset, monkeypatch):
    def resolved(why):
        monkeypatch.setattr(create, "resolve_weights", lambda *_: Weights("random", warning=why))
        return study_of(dataset).warnings[-1]

    assert resolved("no network") == "no network"
    assert resolved("offline") == "no network"
    assert study_of(dataset).settings["warnings"] == ["no network"]


def test_a_run_that_is_resumed_keeps_its_first_record(project, dataset):
    run = study_of(dataset).run("UNet_Standard_256", 0)
    params = RunParams.check({"preset": "smoke", "data": str(dataset)})
    begin_run(run, params)
    first = run.provenance
    begin_run(run, params)
    resumed = run.provenance
    assert len(resumed.pop("resumed")) == 1 and resumed == first


def test_a_run_that_is_not_resumed_is_not_recorded_as_resumed(project, dataset):
    run = study_of(dataset).run("UNet_Standard_256", 0)
    params = RunParams.check({"preset": "smoke", "data": str(dataset)})
    begin_run(run, params)
    with run.at_work("training"):
        begin_run(run, params)
    run.diverge(1, "the training diverged")
    begin_run(run, params)
    assert "resumed" not in run.provenance


def test_train_validation_and_test_share_no_image(project, dataset):
    study = study_of(dataset)
    parts = [{image.tobytes() for image in study.split(name, 64).images} for name in ("train", "val", "test")]
    assert [len(part) for part in parts] == [8, 2, 3]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_the_cache_is_used_and_a_half_written_one_is_not(project, dataset):
    study = study_of(dataset)
    first = np.array(study.split("test", 64).images)
    folder = study.data.folder(project / "cache", 64)
    np.save(folder / "test_images.npy", np.zeros_like(first))
    assert study.split("test", 64).images.sum() == 0  # from the cache, not from the folder
    (folder / "test.json").unlink()
    assert np.array_equal(study.split("test", 64).images, first)


def test_a_copy_next_to_a_run_is_no_run(project, dataset):
    study = study_of(dataset)
    run = study.run("UNet_Standard_256", 0)
    for folder in (run.path, run.path.with_name("seed0-old")):
        write_json(folder / "diverged.json", {"error": "diverged"})
        write_json(folder / "done.json", {})
    assert study.seeds() == [0] and study.diverged() == [run]
    write_json(study.path / "UNet_Standard_256-old" / "seed0" / "done.json", {})
    assert open_finished_run("latest") == run
    for name in ("UNet_Standard_256/seed0-old", "UNet_Standard_256-old/seed0"):
        with pytest.raises(SegnbError, match="unknown run .*Check the name"):
            open_finished_run(str(study.path / name))


def test_a_folder_without_done_json_is_no_finished_run(project, dataset):
    study = study_of(dataset)
    run = study.run("UNet_Standard_256", 0)
    write_json(run.path / "params.json", {})
    assert not run.done and study.measured() == []
