"""segnb/data/folders.py: splits and drives from the names of folders and frames."""

import pytest

from segnb.data.folders import Key, by_split, drives, split_meant, split_named
from segnb.errors import SegnbError


@pytest.mark.parametrize(
    "split, folders",
    [
        ("train", "train Train TRAIN training Training_set train2017 train-data trainset train_images"),
        ("val", "val valid Validation VALIDATE val2017 valid_data dev"),
        ("test", "test Testing test_set TEST tst test-split"),
        (None, "tset trian mon rain trail tests test_2 training1 my_train latest devil value contest 2017"),
    ],
)
def test_names_of_splits(split, folders):
    assert {split_named(folder) for folder in folders.split()} == {split}


@pytest.mark.parametrize(
    "folder, split",
    [("tset", "test"), ("Trian", "train"), ("vaild", "val"), ("tests", "test"), ("test_2", "test"),
     ("train-a", "train"), ("mon", None), ("town01", None), ("dataA", None)],
)  # fmt: skip
def test_names_that_are_nearly_of_a_split(folder, split):
    assert split_meant(folder) == split


def sides(tmp_path, folders: str):
    return by_split(tmp_path, [(tmp_path / one, one) for one in folders.split()])


@pytest.mark.parametrize(
    "folders, keys, sentences",
    [
        ("Training valid TEST/a/b", [("train", ""), ("val", ""), ("test", "a/b")], []),
        ("x/train x/test/1", [("train", "x"), ("test", "x/1")], []),
        ("train val", [("train", ""), ("test", "")], ["There is no test folder, so segnb tests on val"]),
        (
            "train/1 train/2",
            [("", "1"), ("", "2")],
            ["All frames are in a folder for train, so segnb chooses"],
        ),
        (
            "train test more",
            [("train", ""), ("test", ""), None],
            ["The folder more is not used, because it is not in"],
        ),
        ("mon tue rain", [("", "mon"), ("", "tue"), ("", "rain")], []),
        ("test_1 test_2", [("", "test_1"), ("", "test_2")], []),
    ],
)
def test_folders_give_the_split(tmp_path, folders, keys, sentences):
    result, notes = sides(tmp_path, folders)
    assert result == keys
    assert [words in note for words, note in zip(sentences, notes, strict=True)] == [True] * len(sentences)


@pytest.mark.parametrize(
    "folders, words",
    [
        (
            "train tset",
            "tset: unclear whether this is the split test (expected the names",
        ),
        ("train test vaild", "vaild: unclear whether this is the split val (expected"),
        ("train_1 train_2 test_1", "train_1: unclear whether this is the split train (expected"),
        ("val test", ": a folder for test and val, but not for train (expected a split for all frames, or"),
        ("train mon", ": a folder for train, but not for val or test (expected a split for all frames, or"),
        ("test mon tue", ": a folder for test, but not for train (expected a split for all frames, or"),
    ],
)
def test_what_leaves_open_who_is_tested_on_is_refused(tmp_path, folders, words):
    with pytest.raises(SegnbError) as caught:
        sides(tmp_path, folders)
    assert words in str(caught.value) and len(str(caught.value).splitlines()) == 1


# Names of frames, with the folder before a slash, and the drive of each.
NAMES = {
    "Lyft-Udacity, in slices": {
        f"data{'ABCDE'[i % 5]}/{drive}{i}": drive[:-1]
        for drive in ("02_00_", "02_01_", "F1-", "F10-")
        for i in range(10)
    },
    "Lyft-Udacity, one slice": {
        f"{drive}{i}": drive[:-1] for drive in ("02_00_", "02_01_", "F1-") for i in range(10, 14)
    },
    "CamVid": {
        **{f"0001TP_00{i}": "0001TP" for i in range(6690, 6900, 30)},
        **{f"0006R0_f0{i}": "0006R0_f" for i in range(1000, 1200, 30)},
        **{f"0016E5_0{i}": "0016E5" for i in range(7959, 7979, 2)},
    },
    "Cityscapes": {
        **{f"aachen_{i:06}_000019": "aachen" for i in range(9)},
        **{f"bochum_000000_{i:06}": "bochum_000000" for i in range(313, 9000, 999)},
        **{f"ulm{i:06}": "ulm" for i in range(9)},
    },
    "one recording": {f"frame_{i:04}": "" for i in range(9)},
    "folders that count again": {f"{day}/cam_{i}": day for day in ("mon", "tue") for i in range(9)},
    "folders, two views each": {
        f"{day}/{view}_{i}": day for day in ("mon", "tue") for view in ("front", "rear") for i in range(9)
    },
    "several cameras": {f"{i:06}_cam{c}": "" for i in range(9) for c in range(3)},
    "folders that count on": {f"{day}/{i + 9 * n}": day for n, day in enumerate("abc") for i in range(9)},
    "slices of patients": {f"patient{p}_slice{i}": f"patient{p}_slice" for p in range(4) for i in range(5)},
    "check sums": {f"{'abcdef'[i % 6]}{i * 7919 % 1000}{'fedbca'[i % 5]}{'z' * i}7": "" for i in range(12)},
    "words": dict.fromkeys(["kitchen", "hall", "roof"], ""),
    "the split in the name": {f"ADE_{s}_{i:04}": "" for s in ("train", "val") for i in range(9)},
}  # fmt: skip


@pytest.mark.parametrize("case", NAMES)
def test_drives_by_name(case):
    wanted = {Key("", *name.rpartition("/")[::2]): drive for name, drive in NAMES[case].items()}
    assert drives(wanted) == wanted
    assert drives(reversed(list(wanted))) == wanted


def test_frames_without_a_drive_s_name_are_one_drive_where_they_follow_each_other():
    keys = [Key("", "", f"{i:04}") for i in range(9)]
    assert {*drives(keys).values()} == {""} and {*drives(keys, timed=True).values()} == {"."}
