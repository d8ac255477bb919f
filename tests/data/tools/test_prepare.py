"""segnb.data.tools.prepare: copies have the pixels of their source, are complete, and can be resumed."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segnb.data import layouts, reading
from segnb.data.layouts import PREPARING
from segnb.data.masks import read_coding
from segnb.data.splits import Pair
from segnb.data.tools import check, prepare
from segnb.errors import SegnbError
from segnb.labels import CAMVID, CAR, IGNORE_INDEX, STREET, ClassMap
from segnb.stats.bootstrap import blocks_of
from segnb.storage.files import holder
from tests.data.broken_files import refusal

from .conftest import SHARED, add, image, labels, mask, picture, save, soften, state

SIZE = 32


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eight and three frames in CamVid's layout, with void."""
    for split, count in (("train", 8), ("val", 3)):
        for i in range(count):
            save(picture(i + 20 * count), tmp_path / "photos" / split / f"{i}.png")
            save(mask(i) % np.uint8(12), tmp_path / "photos" / f"{split}annot" / f"{i}.png")
    return tmp_path / "photos"


def contents(folder: Path) -> dict:
    return {path: content for path, (_, _, content) in state(folder).items()}


def assert_same_frames(source: reading.Folder, copy: reading.Folder, size: int) -> None:
    assert copy.listing.coding.classes == replace(
        source.listing.coding.classes, key=copy.listing.coding.classes.key
    )
    assert list(copy.pairs) == list(source.pairs)
    for split, pairs in source.pairs.items():
        ours = reading.stream(copy.pairs[split], size, copy.listing.coding)
        theirs = reading.stream(pairs, size, source.listing.coding)
        for (pixels, ids), (source_pixels, source_ids) in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(pixels, source_pixels)
            np.testing.assert_array_equal(ids, source_ids)


# ---- the same pixels --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["data", "drives", "photos"])
def test_a_copy_trains_like_its_source(kind, request, tmp_path):
    source = request.getfixturevalue(kind)
    summary = prepare.prepare(str(source), tmp_path / "copy", SIZE)
    assert f"{SIZE}×{SIZE} pixels\nnote: Without a classes.csv, masks are read as" in summary
    copy = reading.find(tmp_path / "copy")
    assert copy.listing.layout.name == "study"
    assert_same_frames(reading.find(source), copy, SIZE)
    for pair in copy.pairs["train"]:
        with Image.open(pair.image) as pixels, Image.open(pair.label) as ids:
            assert (pixels.format, pixels.mode, pixels.size) == ("PNG", "RGB", (SIZE, SIZE))
            assert (ids.format, ids.mode, ids.size) == ("PNG", "L", (SIZE, SIZE))
    assert (tmp_path / "copy" / "classes.csv").exists() and not copy.listing.assumed
    assert check.look(str(tmp_path / "copy")).sound


@pytest.mark.parametrize("name", ["camvid", "carla_mini", "lyft_raw"])
def test_a_copy_of_real_data_trains_like_its_source(name, tmp_path):
    if not SHARED.is_dir():
        pytest.skip("no shared data")
    source = SHARED / name
    if name == "camvid":  # a slice of it
        source = tmp_path / "slice"
        for split in ("train", "val"):
            (source / split).mkdir(parents=True)
            (source / f"{split}annot").mkdir()
            for file in sorted((SHARED / name / split).glob("*.png"))[::40]:
                (source / split / file.name).symlink_to(file)
                (source / f"{split}annot" / file.name).symlink_to(SHARED / name / f"{split}annot" / file.name)
    prepare.prepare(str(source), tmp_path / "copy", 128)
    assert_same_frames(reading.find(source), reading.find(tmp_path / "copy"), 128)


def test_the_source_is_left_alone(drives, tmp_path):
    before = state(drives)
    prepare.prepare(str(drives), tmp_path / "copy", SIZE)
    assert state(drives) == before


def test_it_says_what_it_was_made_from(drives, tmp_path):
    prepare.prepare(f"lyft:{drives}", tmp_path / "copy", SIZE, seed=3, by="blocks")
    record = json.loads((tmp_path / "copy" / "prepared.json").read_text())
    assert record["path"] == str(drives) and record["layout"] == "lyft"
    assert (record["size"], record["seed"], record["by"]) == (SIZE, 3, "blocks")
    assert record["pairs"] == {"train": 10, "val": 5, "test": 5}


# ---- splits and names -------------------------------------------------------------------------------


def test_the_seed_moves_drives(drives, tmp_path):
    chosen = set()
    for seed in range(4):
        prepare.prepare(str(drives), tmp_path / str(seed), SIZE, seed=seed)
        chosen.add(reading.find(tmp_path / str(seed)).pairs["test"][0].name)
    assert len(chosen) > 1


def test_counts_keep_evenly_spaced_frames(data, tmp_path):
    prepare.prepare(str(data), tmp_path / "all", SIZE)
    told = prepare.prepare(str(data), tmp_path / "copy", SIZE, counts={"train": 4, "test": 1})
    assert "pairs: train 4, val 2, test 1" in told
    names = {
        place: sorted(path.name for path in (tmp_path / place / "train" / "images").iterdir())
        for place in ("all", "copy")
    }
    assert names["copy"] == [names["all"][i] for i in (1, 3, 5, 7)]
    assert "pairs: train 4," in prepare.prepare(  # finished, so it is only read
        str(data), tmp_path / "copy", SIZE, counts={"train": 4, "test": 1}
    )
    with pytest.raises(SegnbError, match=r"counts \{'train': 4, 'test': 1\} \(expected None\)"):
        prepare.prepare(str(data), tmp_path / "copy", SIZE)


@pytest.mark.parametrize("count", [0, -1, 9])
def test_a_split_keeps_one_frame_to_all(data, tmp_path, count):
    with pytest.raises(SegnbError, match=rf"cannot keep {count} pairs of train \(expected 1 to 8\)"):
        prepare.prepare(str(data), tmp_path / "copy", SIZE, counts={"train": count})
    assert not (tmp_path / "copy").exists()


def test_by_gives_up_a_split_that_the_data_bring(photos, tmp_path):
    # 0 to 7 in train and 0 to 2 in val are names of two splits: each counts as a drive, cut in time.
    prepare.prepare(str(photos), tmp_path / "copy", SIZE, by="blocks")
    names = {split: [p.name for p in pairs] for split, pairs in reading.find(tmp_path / "copy").pairs.items()}
    assert names == {
        "train": ["test/0", *(f"train/{i}" for i in range(5))],
        "val": ["test/1", "train/5"],
        "test": ["test/2", "train/6", "train/7"],
    }


def test_by_blocks_cuts_once_where_names_are_unique(data, tmp_path):
    prepare.prepare(str(data), tmp_path / "copy", SIZE, by="blocks")
    found = reading.find(tmp_path / "copy").pairs
    order = [pair.name for pairs in found.values() for pair in pairs]
    assert order == [f"{i:04d}" for i in range(13)] and len(found["test"]) == 3


@pytest.mark.parametrize(
    "by, words",
    [
        (None, "The data come with this split; 'segnb data prepare --by drives' makes another."),
        ("names", "'segnb data prepare --by drives' separates them."),
        ("drives", ""),
    ],
)
def test_a_note_about_drives_does_not_blame_the_data_for_a_split_by_option(tmp_path, by, words):
    for split, start in (("train", 0), ("test", 4)):
        for k, drive in enumerate(("rec1", "rec2", "rec3")):
            for i in range(start, start + 4):
                add(tmp_path / "data" / split, f"{drive}-{i}", 10 * k + i)
    note = prepare.prepare(str(tmp_path / "data"), tmp_path / "copy", SIZE, by=by).rpartition("note: ")[2]
    assert words in note if words else "Judging by names" not in note
    assert ("The data come with" in note) == (by is None)


def test_a_note_about_folders_of_the_data_is_not_repeated_for_a_split_by_option(tmp_path):
    for split, names in (("train", "abc"), ("val", "de")):
        for drive in names:
            for i in range(3):
                add(tmp_path / "data" / split, f"{drive}-{i}", 10 * ord(drive) + i)
    told = [
        prepare.prepare(str(tmp_path / "data"), tmp_path / str(by), SIZE, by=by) for by in (None, "drives")
    ]
    assert ["There is no test folder" in one for one in told] == [True, False]


def frames(drives: Iterable, *names: object) -> list[str]:
    return [f"{drive}/{name}" for drive in drives for name in names]


R = range
FEW, MANY = [f"{i:04}" for i in R(5)], [f"{i:08}" for i in R(20)]
NAMES = {  # {case: layout and names of frames}
    "rec, rec-2": ("plain", frames(["rec", *(f"rec-{k}" for k in R(2, 31))], *FEW[:2])),
    "town 1": ("plain", frames([f"town {k}" for k in R(30)], *FEW[:2])),
    "town1": ("plain", frames([f"town{k}" for k in R(30)], *FEW[:2])),
    "dates": ("plain", frames([f"2026-01-{k:02}" for k in R(1, 31)], *FEW[:2])),
    "dates with dots": ("plain", frames([f"2026.01.{k}" for k in R(1, 31)], *FEW[:2])),
    "numbers": ("plain", frames(R(1, 31), *R(1, 4))),
    "rgb and seg": ("plain", frames(["rgb", "seg", "left_seg", *(f"road {k}" for k in R(9))], *FEW[:2])),
    "numbers with zeros": ("plain", frames([f"{k:02}" for k in R(1, 31)], *FEW[:2])),
    "kitti": ("plain", frames([f"2011_09_26_drive_{k:04}_sync/image_02/data" for k in R(9)], *FEW)),
    "kitti-step": ("plain", frames([f"{k:04}" for k in R(21)], *[f"{i:06}" for i in R(6)])),
    "kitti-step, split": ("study", [
        f"{'test' if k % 3 else 'train'}/{k:04}/{i:06}" for k in R(21) for i in R(6)]),
    "umlauts in frames": ("plain", frames(["ulm", "bonn"], *[f"{c}{i}" for c in "äz" for i in R(1, 13)])),
    "umlauts": ("plain", frames(["köln", "bonn", "münchen", "berlin", "nürnberg", "ulm", "zürich"], *FEW)),
    "chinese": ("plain", frames(["北京", "上海", "广州", "深圳", "成都", "重庆"], *FEW)),
    "weather": ("plain", frames([f"{w}/rec{k}" for w in ("night", "rain", "sun") for k in R(4)], *FEW)),
    "check sums": ("plain", [
        f"rec{k}/{(i * 7919 + k * 104729) * 2654435761 % 2**32:08x}" for k in R(12) for i in R(6)]),
    "words": ("plain", frames([3 * c for c in "abcdefghijkl"], *[3 * c for c in "qwertz"])),
    "brackets": ("plain", frames(["", "ulm"], *[f"frame ({i})" for i in R(1, 31)])),
    "cameras": ("plain", frames([f"session_{k}/cam0" for k in R(1, 8)], *R(12))),
    "splits": ("plain", frames([f"session_{k}" for k in R(1, 8)], *[f"train_{i}" for i in R(12)])),
    "seconds": ("plain", [f"rec{k}/{1600000000 + k * 1000 + i}.{i:06}" for k in R(1, 8) for i in R(9)]),
    "two drives": ("plain", frames(["town", "harbour"], *MANY)),
    "no drives": ("plain", [f"/{i * 2654435761 % 2**32:08x}" for i in R(1, 30)]),
    "split": ("study", [f"{split}//{i}" for split in ("train", "test") for i in R(12)]),
    "drives, split": ("study", [
        *frames([f"train/{c}" for c in "abcdef"], *FEW), *frames([f"test/{c}" for c in "ghijk"], *FEW)]),
    "lyft, one drive": ("lyft", [f"data{'ABCDE'[i % 5]}/{i}" for i in R(100)]),
    "lyft": ("lyft", [f"data{'ABCDE'[i % 5]}/F{k}-{i}" for k in R(1, 13) for i in R(9)]),
    "lyft, slices": ("lyft", [f"data{'ABCDE'[i % 5]}/02_{k:02}_{i}" for k in R(12) for i in R(9)]),
    "carla": ("carla", frames([f"Town0{k}" for k in R(1, 8)], *MANY[:9])),
    "carla, one drive": ("carla", frames([""], *MANY)),
}  # fmt: skip
PLACES = {
    "plain": ("images/{}/{}.png", "masks/{}/{}.png"),
    "lyft": ("{}/CameraRGB/{}.png", "{}/CameraSeg/{}.png"),
    "carla": ("{}/rgb/{}.png", "{}/seg/{}.png"),
}


@pytest.mark.parametrize("layout, names", NAMES.values(), ids=NAMES.keys())
def test_a_copy_has_the_drives_and_the_order_of_its_source(tmp_path, layout, names):
    source = tmp_path / "source"
    for i, name in enumerate(names):
        drive, _, file = name.rpartition("/")
        split, _, rest = drive.partition("/")
        places = PLACES.get(layout) or (
            f"{split}/images/{rest}/{{1}}.png",
            f"{split}/labels/{rest}/{{1}}.png",
        )
        save(picture(i, 8, 8), source / places[0].format(drive, file).lstrip("/"))
        save(np.full((8, 8), i % 3, np.uint8), source / places[1].format(drive, file).lstrip("/"))
    (source / "classes.csv").write_text("id,name\n0,Road\n1,Car\n2,Pole\n")
    found = reading.find(source)
    prepare.prepare(str(source), tmp_path / "copy", SIZE)
    prepare.fix(check.look(str(source)), tmp_path / "clean")
    for copy in (reading.find(tmp_path / "copy"), reading.find(tmp_path / "clean")):
        assert_same_frames(found, copy, SIZE)
        for split, pairs in found.pairs.items():
            blocks = [blocks_of([pair.name for pair in part]) for part in (pairs, copy.pairs[split])]
            np.testing.assert_array_equal(*blocks)


def named(*names: str) -> dict[str, list[Pair]]:
    return {"train": [Pair(name, Path("i"), Path("l")) for name in sorted(names)]}


def test_names_are_safe_unique_and_in_order():
    def names(*of: str) -> list[str]:
        return prepare._file_names(named(*of))["train"]

    assert names("0001", "0002", "town1/drive 2/7") == ["0001", "0002", "town1-drive-2/7"]
    assert names("x (1)", "x (10)", "x (2)") == ["x--1-", "x--10-", "x--2-"]  # "x__1_" would follow "x__10_"
    assert names("./1", "./2") == ["drive/1", "drive/2"]
    assert names("rec.png/1", "rec/1") == ["rec-png/1", "rec/1"]  # rec.png would count as an image
    # The same on a file system that knows no case, and the same once they are safe.
    for first, second in (("a", "A"), ("a b", "a-b")):
        for numbered in (names(first, second), names(f"{first}/1", f"{second}/1")):
            assert [name[:7] for name in numbered] == ["000000-", "000001-"]
    # Drives with numbers stay in order among frames without a drive.
    assert names("rec-2/1", "rec/2/1") == ["000000-rec-2/1", "000001-rec-2/1"]
    assert names("0", "a b/1", "a-b/1", "z") == ["0", "000001-a-b/1", "000002-a-b/1", "z"]
    # Names of so few frames would stand for the drives F and G.
    assert names("F1/F1-12", "F2/F2-7", "G1/G1-5", "G2/G2-3")[3] == "G2/000003-G2-3"


def test_numbered_names_keep_frames_in_time_and_a_copy_says_if_they_do_not(tmp_path):
    def kept(*of: str) -> bool:
        return prepare._same_blocks(named(*of), prepare._file_names(named(*of)))

    assert kept(*(f"{drive}/{c}{i}" for drive in "ab" for c in "Ff" for i in R(1, 13)))
    # A frame "1A" is before "1a", and both have a number of their own.
    mixed = [f"{drive}/{i}{c}" for drive in "ab" for i in R(1, 13) for c in "Aa"]
    assert not kept(*mixed)
    for i, name in enumerate(mixed):
        for kind, pixels in (("images", picture(i, 8, 8)), ("masks", np.full((8, 8), i % 3, np.uint8))):
            save(pixels, tmp_path / "source" / kind / f"{name}.png")
    (tmp_path / "source" / "classes.csv").write_text("id,name\n0,Road\n1,Car\n2,Pole\n")
    text = prepare.prepare(str(tmp_path / "source"), tmp_path / "copy", SIZE)
    assert "note: In the copy, frames have another order in time" in text


@pytest.mark.parametrize("name", ["../up", ".hidden", "-rf", "ü/é", "x" * 300, "a\\b", "con:1", "a/b./c"])
def test_any_name_becomes_a_plain_one(name):
    (safe,) = prepare._file_names(named(name))["train"]
    for part in safe.split("/"):
        assert part.isascii() and 0 < len(part) <= prepare.LONGEST and not set(part) & set("\\: ")
        assert not part.startswith((".", "-"))
    assert safe.count("/") == ("/" in name)


@pytest.mark.parametrize(
    "classes",
    [
        CAMVID,
        CAR,
        replace(STREET, void=True),
        ClassMap(("Pole", "a, b", 'say "c"'), ("#000001", "#000002", "#000003")),
        ClassMap(("Car", "Pole"), ("#9c7a5b", "#8fd3ea"), thin=("Car",), void=True),
    ],
)
def test_classes_read_back_the_same(classes, tmp_path):
    prepare.write_classes(tmp_path / "classes.csv", classes)
    coding = read_coding(tmp_path / "classes.csv")
    assert coding.classes == replace(classes, key=coding.classes.key)
    assert coding.values == {i: i for i in range(len(classes))} | (
        {IGNORE_INDEX: IGNORE_INDEX} if classes.void else {}
    )


# ---- interrupted and resumed --------------------------------------------------------------------------


def stop_after(count: int, monkeypatch) -> None:
    """Raise KeyboardInterrupt when `count` files have been written."""
    save_one, left = prepare.save_png, iter(range(count))

    def once(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        save_one(*arguments)

    monkeypatch.setattr(prepare, "save_png", once)


@pytest.mark.parametrize("count", [0, 1, 9, 25])
def test_an_interrupted_copy_is_resumed(data, tmp_path, monkeypatch, count):
    prepare.prepare(str(data), tmp_path / "whole", SIZE)
    with monkeypatch.context() as patch:
        stop_after(count, patch)
        with pytest.raises(KeyboardInterrupt):
            prepare.prepare(str(data), tmp_path / "copy", SIZE)
    assert "unfinished copy." in refusal(layouts.look, tmp_path / "copy")
    before = {path: one for path, one in state(tmp_path / "copy").items() if path.suffix == ".png"}
    assert len(before) == count
    monkeypatch.setattr(check, "inspect", None)  # a checked source is not checked again
    prepare.prepare(str(data), tmp_path / "copy", SIZE)
    after = state(tmp_path / "copy")
    pairs = [path for path in before if path.parent.with_name("labels") / path.name in before]
    assert all(after[path] == before[path] for path in pairs)
    assert contents(tmp_path / "copy") == contents(tmp_path / "whole")


def test_a_copy_whose_process_was_killed_is_resumed(data, tmp_path):
    for i in range(100, 180):
        add(data / "train", f"{i:04d}", i)
    prepare.prepare(str(data), tmp_path / "whole", 256)
    copy = tmp_path / "copy"
    code = f"""from pathlib import Path; from segnb.data.tools.prepare import prepare
prepare({str(data)!r}, Path({str(copy)!r}), 256)"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    patience = time.monotonic() + 60
    while len(list(copy.glob("train/images/0*.png"))) < 5 and time.monotonic() < patience:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "unfinished copy." in refusal(layouts.look, copy)
    prepare.prepare(str(data), copy, 256)
    assert contents(copy) == contents(tmp_path / "whole")


def test_what_a_kill_left_is_cleared(data, tmp_path, monkeypatch):
    stop_after(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare(str(data), tmp_path / "copy", SIZE)
    monkeypatch.undo()
    (tmp_path / "copy" / "train" / "images" / ".0009.png.abcd1234").write_bytes(b"half")
    (tmp_path / "copy" / ".prepared.json.abcd1234").write_bytes(b"half")
    prepare.prepare(str(data), tmp_path / "copy", SIZE)
    assert not [path for path in (tmp_path / "copy").rglob(".*")]


def test_a_kill_before_the_marker_leaves_nothing_in_the_way(data, tmp_path):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / f".{PREPARING}.abcd1234").touch()
    prepare.prepare(str(data), tmp_path / "copy", SIZE)
    assert reading.find(tmp_path / "copy").listing.layout.name == "study"
    assert not [path for path in (tmp_path / "copy").rglob(".*")]


def test_finished_it_does_nothing_again(data, tmp_path):
    first = prepare.prepare(str(data), tmp_path / "copy", SIZE)
    before = state(tmp_path / "copy")
    assert prepare.prepare(str(data), tmp_path / "copy", SIZE) == first
    assert state(tmp_path / "copy") == before


def test_other_settings_or_files_are_refused(data, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    prepare.prepare(str(data), copy, SIZE)
    before = state(copy)
    assert "prepared with size 32 (expected 64)." in refusal(prepare.prepare, str(data), copy, 64)
    assert "prepared with seed 0 (expected 1)." in refusal(prepare.prepare, str(data), copy, SIZE, 1)
    assert "command prepare (expected check --fix)." in refusal(prepare.fix, check.look(str(data)), copy)
    save(picture(99), image(data))
    assert "other files, splits or classes" in refusal(prepare.prepare, str(data), copy, SIZE)
    assert state(copy) == before


def test_other_files_are_refused_half_way(data, tmp_path, monkeypatch):
    stop_after(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare(str(data), tmp_path / "copy", SIZE)
    monkeypatch.undo()
    save(picture(99), image(data))
    before = state(tmp_path / "copy")
    assert "other files, splits or classes" in refusal(prepare.prepare, str(data), tmp_path / "copy", SIZE)
    assert state(tmp_path / "copy") == before


def test_a_damaged_record_is_named(data, tmp_path):
    prepare.prepare(str(data), tmp_path / "copy", SIZE)
    (tmp_path / "copy" / "prepared.json").write_text("{")
    assert "prepared.json: damaged. Remove" in refusal(prepare.prepare, str(data), tmp_path / "copy", SIZE)


def test_one_process_at_a_time_prepares_a_folder(data, tmp_path, monkeypatch):
    copy, holders, save_one = tmp_path / "copy", [], prepare.save_png
    lock = tmp_path / ".copy.lock"
    monkeypatch.setattr(prepare, "save_png", lambda *args: (holders.append(holder(lock)), save_one(*args)))
    prepare.prepare(str(data), copy, SIZE)
    assert {other["what"] for other in holders} == {f"preparing {copy}"}
    assert holder(lock) is None


# ---- where nothing may be written -------------------------------------------------------------------


def test_a_bad_source_says_how_many_errors_there_are(data, tmp_path):
    labels(data, "0001").unlink()
    save(mask(2) + np.uint8(1), labels(data, "0002"))
    message = refusal(prepare.prepare, str(data), tmp_path / "copy", SIZE)
    assert message.startswith(f"{image(data, '0001')}: image without mask")
    assert "This is 1 of 2 errors. 'segnb data check --json' lists all errors; --fix writes a copy" in message


@pytest.mark.parametrize("size", [0, -1, 31, 5000])
def test_absurd_sizes(data, tmp_path, size):
    assert refusal(prepare.prepare, str(data), tmp_path / "copy", size).startswith(f"invalid size {size} (")


def test_other_peoples_folders_are_left_alone(data, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    assert "full: not empty (expected" in refusal(prepare.prepare, str(data), tmp_path / "full", SIZE)
    assert list((tmp_path / "full").iterdir()) == [tmp_path / "full" / "thesis.txt"]
    assert "cannot be listed" in refusal(prepare.prepare, str(data), tmp_path / "full" / "thesis.txt", SIZE)


@pytest.mark.parametrize("inside", [".", "copy", "train/copy", ".."])
def test_copy_and_source_apart(data, inside):
    before = state(data)
    assert ": overlaps the source " in refusal(prepare.prepare, str(data), data / inside, SIZE)
    assert state(data) == before


def test_a_full_disk(data, tmp_path, monkeypatch):
    def full(pixels, file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))

    monkeypatch.setattr(prepare, "save_png", full)
    message = refusal(prepare.prepare, str(data), tmp_path / "copy", SIZE)
    assert message.startswith(f"{tmp_path / 'copy'}") and "No space left" in message
    monkeypatch.undo()
    prepare.prepare(str(data), tmp_path / "copy", SIZE)


# ---- cleaned ----------------------------------------------------------------------------------------


@pytest.fixture
def spoilt(data) -> Path:
    """The folder with a fault of most kinds, all of them in training pairs."""
    for i in range(20, 30):
        add(data / "train", f"{i:04d}", i)
    names = [pair.name for pair in check.look(str(data)).pairs["train"]]
    image(data, names[0]).write_bytes(b"")
    labels(data, names[1]).unlink()
    save(mask(3) + np.uint8(1), labels(data, names[2]))
    save(mask(4, 18, 24), labels(data, names[3]))
    shutil.copy(image(data, "0011", "test"), image(data, names[4]))
    Image.open(image(data, names[5])).save(image(data, names[5]).with_suffix(".jpg"))
    soften(labels(data, names[6]))
    return data


def test_a_cleaned_copy_is_sound_and_says_what_it_lacks(spoilt, tmp_path):
    before, report = state(spoilt), check.look(str(spoilt))
    summary = prepare.fix(report, tmp_path / "clean")
    assert state(spoilt) == before
    names = {split: [pair.name for pair in pairs] for split, pairs in report.pairs.items()}
    clean = check.look(str(tmp_path / "clean"))
    assert clean.sound and "left out: 7 (reasons in its left_out.json)" in summary
    kept = {split: [pair.name for pair in pairs] for split, pairs in clean.pairs.items()}
    assert kept["val"] == names["val"] and kept["test"] == names["test"]
    left_out = json.loads((tmp_path / "clean" / "left_out.json").read_text())["left_out"]
    gone = {Path(file).stem for one in left_out for file in one["files"]}
    doubled = next(Path(one["files"][0]) for one in left_out if one["why"][0]["kind"] == "same-name")
    assert kept["train"] == [name for name in names["train"] if name not in gone or name == doubled.stem]
    assert doubled.suffix == ".png"  # the .jpg, which counts, is kept
    assert sorted(one["why"][0]["kind"] for one in left_out) == sorted(
        ["unreadable", "no-partner", "unknown-ids", "size-differs", "leaked", "same-name", "interpolated"]
    )
    assert all(one["why"][0]["message"] for one in left_out)


def test_a_cleaned_copy_has_the_images_as_they_were_and_class_ids(drives, tmp_path):
    (drives / "dataA" / "CameraSeg" / "3.png").unlink()
    report = check.look(str(drives))
    prepare.fix(report, tmp_path / "clean")
    found = reading.find(tmp_path / "clean")
    for split, pairs in report.pairs.items():
        for source, copy in zip(pairs, found.pairs[split], strict=True):
            assert copy.image.read_bytes() == source.image.read_bytes()
            with Image.open(copy.label) as ids:
                assert ids.mode == "L"
                np.testing.assert_array_equal(ids, reading.read_labels(source.label, report.listing.coding))


def test_of_one_picture_in_all_splits_the_test_keeps_it(data, tmp_path):
    pairs = check.look(str(data)).pairs
    for split in ("train", "val"):
        shutil.copy(pairs["test"][0].image, pairs[split][0].image)
    prepare.fix(check.look(str(data)), tmp_path / "clean")
    kept = reading.find(tmp_path / "clean").pairs
    assert [len(kept[split]) for split in ("train", "val", "test")] == [7, 1, 3]


def test_a_copy_that_cannot_be_tested_with_is_not_lost_to_a_bad_mask(data, tmp_path):
    # The test's own pair is unsound, so training may keep the picture.
    shutil.copy(image(data, "0011", "test"), image(data))
    labels(data, "0011", "test").write_bytes(b"")
    prepare.fix(check.look(str(data)), tmp_path / "clean")
    kept = reading.find(tmp_path / "clean").pairs
    assert [len(kept[split]) for split in ("train", "val", "test")] == [8, 2, 2]


def test_cleaning_that_leaves_nothing(data, tmp_path):
    for name in ("0010", "0011", "0012"):
        labels(data, name, "test").write_bytes(b"")
    message = refusal(prepare.fix, check.look(str(data)), tmp_path / "clean")
    assert "no valid pair in test (expected" in message and not (tmp_path / "clean").exists()


def test_ids_that_do_not_fit_the_layout_are_not_copied(data, tmp_path):
    for file in data.glob("*/labels/*.png"):
        save(np.full((36, 48), 9, np.uint8), file)  # vegetation where the street should be
    message = refusal(prepare.fix, check.look(str(data)), tmp_path / "clean")
    assert "without a classes.csv, the ids of the layout study put" in message
    assert not (tmp_path / "clean").exists()


def test_interrupted_cleaning_is_resumed(spoilt, tmp_path, monkeypatch):
    report = check.look(str(spoilt))
    prepare.fix(report, tmp_path / "whole")
    stop_after(5, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        prepare.fix(report, tmp_path / "copy")
    monkeypatch.undo()
    assert "unfinished copy." in refusal(layouts.look, tmp_path / "copy")
    prepare.fix(report, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(tmp_path / "whole")
