"""The feature cache of a frozen backbone: equal results, limits, sharing and clearing."""

import multiprocessing
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from segnb.cli.__main__ import main
from segnb.data.batches import Split
from segnb.errors import SegnbError
from segnb.models.build import build
from segnb.presets import PRESETS
from segnb.runtime.machine import Machine
from segnb.storage import feature_folder
from segnb.study.study import Run
from segnb.training import feature_cache
from segnb.training.loop import fit

CPU = Machine("cpu", "any", threads=1, precision="fp32")
RECIPE = replace(PRESETS["smoke"].fcn, size=48, epochs=3, learning_rate=1e-3)


def split(count: int, seed: int = 0, size: int = 48) -> Split:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 3, (count, size, size), np.uint8)
    labels[:, : size // 2] = 1
    images = np.repeat(labels[..., None] * 80, 3, -1).astype(np.uint8)
    return Split(images, labels, [f"{i}" for i in range(count)])


def frozen(stride=8, seed=0):
    torch.manual_seed(seed)
    return build(f"FCN{stride}s_vgg16_freeze", width=1)


def entries(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def cached(folder, model=None, data=None, mirror=True, machine=CPU):
    return feature_cache.cached(model or frozen(), data or split(3), mirror, folder, machine, 2)


# ---- contents ------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_batch_is_what_the_trunk_gives_for_each_view(tmp_path):
    model, data = frozen(), split(3)
    flips = np.array([False, True, True])
    taps, labels = cached(tmp_path, model, data).batch(np.array([2, 0]), flips, CPU)
    images, expected_labels = data.batch(np.array([2, 0]), flips, CPU)
    assert torch.equal(labels, expected_labels)
    for found, expected in zip(taps, model.features(images), strict=True):
        assert found.dtype == torch.float32 and found.shape == expected.shape
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)  # half precision
    assert not torch.equal(taps.pool3[0], taps.pool3[0].flip(-1))  # an image and its flip differ


def test_bf16_activations_are_kept_without_loss(tmp_path):
    half = replace(CPU, precision="bf16")
    model, data = frozen(), split(2)
    taps, _ = cached(tmp_path, model, data, machine=half).batch(np.arange(2), np.zeros(2, bool), half)
    images, _ = data.batch(np.arange(2), np.zeros(2, bool), half)
    with torch.no_grad(), half.autocast():
        expected = model.features(images).pool4.float()
    # Exact, except for tiny values, which half precision stores in steps of 6e-8.
    torch.testing.assert_close(taps.pool4, expected, rtol=0, atol=3e-8)
    assert (taps.pool4 == expected)[expected > 6.2e-5].all()


def test_only_the_taps_that_a_stride_reads_are_loaded(tmp_path):
    kept = cached(tmp_path, frozen(32))
    taps, _ = kept.batch(np.arange(2), np.zeros(3, bool), CPU)
    assert (
        taps.pool3 is None and taps.pool4 is None and taps.pool5.shape == (2, feature_cache.CHANNELS[2], 2, 2)
    )


def test_strides_share_a_copy_and_weights_data_views_and_settings_do_not(tmp_path):
    cached(tmp_path)
    first = entries(tmp_path)
    for stride in (16, 32):
        cached(tmp_path, frozen(stride))
    assert entries(tmp_path) == first and len(first) == 1
    others = [
        {"model": frozen(seed=1)},
        {"data": split(3, seed=1)},
        {"mirror": False},
        {"machine": replace(CPU, channels_last=False)},
    ]
    for count, other in enumerate(others, start=2):
        cached(tmp_path, **other)
        assert len(entries(tmp_path)) == count


def test_what_is_there_is_not_computed_again(tmp_path, monkeypatch, capsys):
    cached(tmp_path)
    assert "6 views computed" in capsys.readouterr().out
    monkeypatch.setattr(feature_cache, "_compute", lambda *_: pytest.fail("computed again"))
    cached(tmp_path)
    assert not capsys.readouterr().out


# ---- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [32, 8])
def test_training_agrees_with_the_path_through_the_trunk(tmp_path, stride):
    def trained(name, cache):
        run = Run(tmp_path / name / f"FCN{stride}s_vgg16_freeze" / "seed0")
        fit(frozen(stride), split(6), split(3, 1), RECIPE, 0, run, CPU, feature_cache=cache)
        return run.history()

    plain, kept = trained("plain", None), trained("kept", tmp_path / "features")
    for column in ("train_loss", "val_loss"):
        np.testing.assert_allclose(kept[column], plain[column], atol=1e-3)
        assert plain[column].iloc[-1] < plain[column].iloc[0]  # the comparison is not empty
    assert len(entries(tmp_path / "features")) == 2  # train and val


@pytest.mark.parametrize("name", ["FCN32s_vgg16_finetune", "UNet_NoSkip_256"])
def test_what_has_no_frozen_trunk_keeps_nothing(tmp_path, name):
    torch.manual_seed(0)
    run = Run(tmp_path / "study" / name / "seed0")
    model = build(name, width=2)
    recipe = replace(RECIPE, epochs=1)
    fit(model, split(2), split(2, 1), recipe, 0, run, CPU, feature_cache=tmp_path / "features")
    assert run.done and not (tmp_path / "features").exists()


# ---- limits --------------------------------------------------------------------------------------


def test_the_longest_unused_makes_room_and_what_never_fits_is_not_kept(tmp_path, monkeypatch, capsys):
    cached(tmp_path)
    size = next(iter(feature_cache.entries(tmp_path).values()))
    cells = (64, 16, 4)  # of 48 px, padded to 64
    views, images, each = 2, 3, 2  # bytes
    assert size == views * images * each * np.dot(feature_cache.CHANNELS, cells)
    assert size == sum(np.load(f).nbytes for f in tmp_path.glob("*/*.npy"))
    monkeypatch.setattr(feature_cache, "LIMIT", 2 * size)
    first = entries(tmp_path)[0]
    cached(tmp_path, frozen(seed=1))
    cached(tmp_path)  # used again, so the other entry is now the least recently used
    cached(tmp_path, frozen(seed=2))
    assert len(entries(tmp_path)) == 2 and first in entries(tmp_path)
    capsys.readouterr()
    monkeypatch.setattr(feature_cache, "LIMIT", size - 1)
    before = entries(tmp_path)
    assert cached(tmp_path, frozen(seed=3)) is None
    assert "do not fit" in capsys.readouterr().out and entries(tmp_path) == before
    run = Run(tmp_path / "study" / "FCN32s_vgg16_freeze" / "seed0")
    monkeypatch.setattr(feature_cache, "LIMIT", 0)
    fit(frozen(32), split(2), split(2, 1), replace(RECIPE, epochs=1), 0, run, CPU, feature_cache=tmp_path)
    assert run.done  # training works nevertheless


def test_a_full_disk_is_an_error_before_anything_is_dropped(tmp_path, monkeypatch):
    cached(tmp_path)
    before = entries(tmp_path)
    monkeypatch.setattr(
        feature_cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=feature_cache.SPARE)
    )
    with pytest.raises(SegnbError, match="features of the frozen trunk take 0.0 GB, and the disk of"):
        cached(tmp_path, frozen(seed=1), split(30))
    assert entries(tmp_path) == before


def test_other_code_is_another_entry(tmp_path, monkeypatch):
    cached(tmp_path)
    monkeypatch.setattr(feature_cache, "code_digest", lambda: "changed")
    cached(tmp_path)
    assert len(entries(tmp_path)) == 2


def test_activations_beyond_half_precision_are_not_kept(tmp_path, capsys):
    model = frozen()
    model.trunk.features[0].weight.data *= 1e7
    assert cached(tmp_path, model) is None
    assert "too large for half precision" in capsys.readouterr().out
    assert not entries(tmp_path)


@pytest.mark.parametrize("left", ["no mark", "a damaged file"])
def test_what_a_killed_process_left_is_computed_anew(tmp_path, left):
    cached(tmp_path)
    kept = tmp_path / entries(tmp_path)[0]
    if left == "no mark":
        (kept / "done.json").unlink()
    (kept / "pool5.npy").write_bytes(b"half")
    (tmp_path / "0123456789abcdef").mkdir()  # with a key that may never be needed again
    taps, _ = cached(tmp_path).batch(np.arange(2), np.zeros(3, bool), CPU)
    assert taps.pool5.isfinite().all() and entries(tmp_path) == [kept.name]


def _in_another_process(folder):
    torch.set_num_threads(1)
    cached(folder)


def test_processes_side_by_side_compute_it_once(tmp_path, capfd):
    context = multiprocessing.get_context("fork")  # loading torch again would take seconds
    workers = [context.Process(target=_in_another_process, args=(tmp_path,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert capfd.readouterr().out.count("views computed") == 1 and len(entries(tmp_path)) == 1


def test_the_command_says_its_size_and_clears_it(project, capsys):
    cached(feature_folder(), data=split(48))
    capsys.readouterr()
    assert main(["cache"]) == 0
    assert "1 sets of features, 0.3 MB of at most 16 GB" in capsys.readouterr().out
    assert main(["cache", "--clear"]) == 0
    assert "0 sets" in capsys.readouterr().out and not entries(feature_folder())
