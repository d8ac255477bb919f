"""segnb/data/layouts.py: the five layouts, unknown ones, and folders with two of them.

`look` opens no file but classes.csv, so most files here are empty.
"""

import os
from pathlib import Path

import pytest

from segnb.data import layouts, reading
from segnb.data.layouts import LAYOUTS, Key, look, parse
from segnb.labels import CAMVID, STREET
from tests.data.broken_files import refusal, unprivileged

CLASSES = "id,name\n0,Road\n1,Car\n"


def touch(folder: Path, *names: str) -> None:
    """Empty files, and the folders that they are in."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def study(folder: Path, splits=("train", "test")) -> Path:
    for split in splits:
        touch(folder / split, *(f"{kind}/000{i}.png" for kind in ("images", "labels") for i in range(3)))
    return folder


def drive(folder: Path, count: int = 3) -> Path:
    touch(folder, *(f"Camera{kind}/{i}.png" for kind in ("RGB", "Seg") for i in range(count)))
    return folder


def recording(folder: Path, count: int = 3) -> Path:
    touch(folder, *(f"{i:06d}_{kind}.png" for kind in ("rgb", "seg") for i in range(count)))
    return folder


def plain(folder: Path, *names: str) -> Path:
    touch(
        folder, *(f"{kind}/{name}.png" for kind in ("images", "masks") for name in names or ("a", "b", "c"))
    )
    (folder / "classes.csv").write_text(CLASSES)
    return folder


def refuses(path: Path, begin: str) -> None:
    """Assert that looking at the folder raises an error that begins with these words."""
    assert refusal(look, path).startswith(begin)


def drives(listing) -> set[str]:
    return {key.drive for key in listing.images}


def keys(listing) -> set[Key]:
    """Return the frames; each must have an image and a mask."""
    assert listing.images.keys() == listing.labels.keys() and not listing.duplicates
    return set(listing.images)


# ---- the five as they come --------------------------------------------------------------------------


@pytest.mark.parametrize("splits", [("train", "test"), ("train", "val", "test")])
def test_the_study_s(tmp_path, splits):
    found = look(study(tmp_path, splits))
    assert found.layout.name == "study" and found.coding.classes is STREET
    assert keys(found) == {Key(split, "", f"000{i}") for split in splits for i in range(3)}


def test_one_dataset_folder_in_its_parent(tmp_path):
    study(tmp_path / "dataset_224")
    touch(tmp_path, "readme.txt", "dataset_old/notes.txt")
    found = look(tmp_path)
    assert found.layout.name == "study" and len(keys(found)) == 6
    assert found.images[Key("train", "", "0000")] == tmp_path / "dataset_224/train/images/0000.png"


def test_several_dataset_folders_are_named(tmp_path):
    for size in (256, 224):
        study(tmp_path / f"dataset_{size}")
    message = refusal(look, tmp_path)
    assert message == (
        f"{tmp_path}: 2 data sets, dataset_224, dataset_256 (expected one). Name one of these folders."
    )
    assert len(keys(look(tmp_path / "dataset_256"))) == 6
    for i in range(100):
        study(tmp_path / f"dataset_1{i:02d}")
    assert refusal(look, tmp_path).count(" dataset_") == 9


@pytest.mark.parametrize(
    "folders", [{"train": "train", "test": "val"}, {"train": "train", "val": "val", "test": "test"}]
)
def test_camvid_s(tmp_path, folders):
    for folder in folders.values():
        touch(tmp_path, *(f"{folder}{end}/{folder}{i}.png" for end in ("", "annot") for i in range(3)))
    found = look(tmp_path)
    assert found.layout.name == "camvid" and found.coding.classes is CAMVID
    assert {(key.split, key.name[:-1]) for key in keys(found)} == {*folders.items()}


@pytest.mark.parametrize(
    "inside", ["{}", "{0}/{0}", "lyft-udacity-challenge/{0}/{0}", "a b/ü/{}"], ids=lambda text: text
)
def test_lyft_s_five_drives_however_they_were_unpacked(tmp_path, inside):
    for letter in "ABCDE":
        drive(tmp_path / inside.format(f"data{letter}"))
    found = look(tmp_path)
    assert found.layout.name == "lyft" and found.layout.timed and found.coding.classes is STREET
    assert drives(found) == {inside.format(f"data{letter}") for letter in "ABCDE"}
    assert len(keys(found)) == 15


def test_one_drive_alone(tmp_path):
    assert keys(look(drive(tmp_path))) == {Key("", "", str(i)) for i in range(3)}


def test_carla_s_pairs_by_name(tmp_path):
    for name in ("", "rain", "night/town 2"):
        recording(tmp_path / name)
    found = look(tmp_path)
    assert found.layout.name == "carla" and found.layout.timed and found.coding.classes is STREET
    assert drives(found) == {"", "rain", "night/town 2"}
    assert keys(found) == {Key("", name, f"{i:06d}") for name in drives(found) for i in range(3)}


@pytest.mark.parametrize(
    "rgb, seg, named",
    [
        ("rgb", "seg", ""),
        ("front_rgb", "front_seg", "front"),
        ("_rgb", "_seg", ""),
        ("a/rgb", "a/seg", "a"),
        ("a/b_rgb", "a/b_seg", "a/b"),
        ("x\u3000_rgb", "x\u3000_seg", "x\u3000"),
    ],
)
def test_carla_s_pairs_by_folder(tmp_path, rgb, seg, named):
    touch(tmp_path, *(f"{folder}/{i}.png" for folder in (rgb, seg) for i in range(3)))
    found = look(tmp_path)
    assert found.layout.name == "carla"
    assert keys(found) == {Key("", named, str(i)) for i in range(3)}


def test_carla_s_images_may_be_jpegs(tmp_path):
    touch(tmp_path, "1_rgb.jpg", "1_seg.png", "2_rgb.JPEG", "2_seg.PNG")
    assert keys(look(tmp_path)) == {Key("", "", "1"), Key("", "", "2")}


def test_plain_images_and_masks(tmp_path):
    found = look(plain(tmp_path))
    assert found.layout.name == "plain" and not found.layout.timed
    assert found.coding.classes.names == ("Road", "Car")
    assert keys(found) == {Key("", "", name) for name in "abc"}


def test_plain_masks_may_be_called_labels(tmp_path):
    (plain(tmp_path) / "masks").rename(tmp_path / "labels")
    assert len(keys(look(tmp_path))) == 3


def test_plain_folders_are_drives_at_any_depth(tmp_path):
    found = look(plain(tmp_path, "x", "mon/1", "mon/2", "tue/a/1"))
    assert keys(found) == {
        Key("", "", "x"),
        Key("", "mon", "1"),
        Key("", "mon", "2"),
        Key("", "tue/a", "1"),
    }


# ---- splits by the names of folders -----------------------------------------------------------------


def any_layout(folder: Path, layout: str, *homes: str) -> Path:
    """Three frames in each of the folders, as the layout has them."""
    for home in homes:
        names = [f"{home}{i}".replace("/", "_") for i in range(3)]
        ways = {
            "study": [f"{home}/{kind}/{name}" for kind in ("images", "labels") for name in names],
            "camvid": [f"{home}{kind}/{name}" for kind in ("", "annot") for name in names],
            "lyft": [f"{home}/{kind}/{name}" for kind in ("CameraRGB", "CameraSeg") for name in names],
            "carla": [f"{home}/{name}_{kind}" for kind in ("rgb", "seg") for name in names],
            "plain": [f"{kind}/{home}/{name}" for kind in ("images", "masks") for name in names],
        }
        touch(folder, *(f"{file}.png" for file in ways[layout]))
    if layout == "plain":
        (folder / "classes.csv").write_text(CLASSES)
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("names", ["train val test", "train valid test", "Training Validation Testing"])
def test_every_layout_knows_what_people_call_splits(tmp_path, layout, names):
    found = look(any_layout(tmp_path, layout, *names.split()))
    assert found.layout.name == layout
    names_of = {key.split: key.name[:-1] for key in keys(found)}
    assert names_of == dict(zip(("train", "val", "test"), names.split(), strict=True))
    assert not [note for note in found.notes if "classes.csv" not in note]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_refuses_a_near_miss_and_says_what_it_leaves_out(tmp_path, layout):
    near = any_layout(tmp_path / "near", layout, "train", "tset")
    assert (
        "/tset" in (message := refusal(look, near)) and ": unclear whether this is the split test" in message
    )
    if layout == "camvid":
        touch(any_layout(tmp_path / "more", layout, "train", "val"), "test/1.png")
        words = "The folder test is not used, because testannot is missing."
    else:
        any_layout(tmp_path / "more", layout, "train", "test", "more")
        words = "is not used, because it is not in train, val or test."
    found = look(tmp_path / "more")
    assert {key.split for key in keys(found)} == {"train", "test"} and words in " ".join(found.notes)


@pytest.mark.parametrize("layout", ["study", "lyft", "carla", "plain"])
def test_a_train_folder_alone_is_no_split_and_that_is_said(tmp_path, layout):
    found = look(any_layout(tmp_path, layout, "train"))
    assert {key.split for key in keys(found)} == {""}
    assert "All frames are in a folder for train" in found.notes[-1]


def test_towns_in_the_folders_of_a_split_are_its_drives(tmp_path):
    for layout in ("study", "plain"):
        homes = [f"{split}/{town}" for split, town in (("train", "bonn"), ("train", "ulm"), ("test", "bern"))]
        if layout == "study":
            names = [f"{a}/{kind}/{b}/{i}.png" for home in homes for a, _, b in [home.partition("/")]
                     for kind in ("images", "labels") for i in range(3)]  # fmt: skip
            touch(tmp_path / layout, *names)
        else:
            any_layout(tmp_path / layout, layout, *homes)
        found = look(tmp_path / layout)
        assert {(key.split, key.drive) for key in keys(found)} == {tuple(home.split("/")) for home in homes}


def test_what_a_layout_assumes_of_masks_is_said_unless_a_classes_csv_says_it(tmp_path):
    found = look(study(tmp_path))
    assert found.assumed and found.notes == [
        "Without a classes.csv, masks are read as the 13 classes of the layout study, from Unlabeled (0) to"
        " Traffic sign (12). If the masks mean something else, add a classes.csv."
    ]
    (tmp_path / "classes.csv").write_text(CLASSES)
    assert not look(tmp_path).assumed and not look(tmp_path).notes


# ---- classes.csv ------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [study, drive, recording])
def test_a_classes_csv_replaces_what_a_layout_s_masks_mean(tmp_path, make):
    make(tmp_path / "dataset_1" if make is study else tmp_path)
    (tmp_path / "classes.csv").write_text(CLASSES)
    assert look(tmp_path).coding.classes.names == ("Road", "Car")
    if make is study:  # the nearer one counts
        (tmp_path / "dataset_1" / "classes.csv").write_text(CLASSES.replace("Car", "Tram"))
        assert look(tmp_path).coding.classes.names == ("Road", "Tram")


def test_plain_without_classes_csv(tmp_path):
    (plain(tmp_path) / "classes.csv").unlink()
    refuses(tmp_path, f"{tmp_path / 'classes.csv'}: missing (expected in the layout plain). Create it")


@pytest.mark.parametrize("make", [study, drive, recording, plain])
def test_a_classes_csv_that_leads_nowhere_is_not_passed_over(tmp_path, make):
    make(tmp_path)
    (tmp_path / "classes.csv").unlink(missing_ok=True)
    (tmp_path / "classes.csv").symlink_to("gone")
    assert refusal(look, tmp_path).startswith(f"{tmp_path / 'classes.csv'}: cannot be read (No such file")


@pytest.mark.parametrize("place", ["dataA", "dataA/dataA", "dataA/dataA/CameraRGB"])
def test_a_classes_csv_deeper_down_is_not_passed_over(tmp_path, place):
    drive(tmp_path / "dataA" / "dataA")
    (tmp_path / place / "classes.csv").write_text(CLASSES)
    stray = tmp_path / place / "classes.csv"
    assert refusal(look, tmp_path) == (
        f"{stray}: below the data folder (expected in {tmp_path}). Move it there."
    )
    (tmp_path / "classes.csv").write_text(CLASSES)  # somebody has decided
    assert look(tmp_path).coding.classes.names == ("Road", "Car")


# ---- named ------------------------------------------------------------------------------------------


def test_a_name_and_a_path():
    assert parse("lyft:some/where") == (Path("some/where"), "lyft")
    assert parse("some/where") == (Path("some/where"), None)
    assert parse("/some:where") == (Path("/some:where"), None)
    assert parse("carla:C:/x") == (Path("C:/x"), "carla")
    assert parse("lift:x") == (Path("lift:x"), None)  # no layout: a path, which will not be there


def test_a_tilde_is_the_home_folder_unless_a_folder_is_called_so(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert parse("~/frames") == (tmp_path / "frames", None)
    assert parse("lyft:~/frames") == (tmp_path / "frames", "lyft")
    (tmp_path / "~").mkdir()
    assert parse("~") == (Path("~"), None)


def test_a_path_with_a_colon_that_is_there_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drive(tmp_path / "lyft:x")
    assert parse("lyft:x") == (Path("lyft:x"), None)
    assert len(keys(look(parse("lyft:x")[0]))) == 3
    drive(tmp_path / "lyft:x:y")
    assert parse("lyft:lyft:x:y") == (Path("lyft:x:y"), "lyft")


@pytest.mark.parametrize("data", ["", "lyft:", "study:"])
def test_no_path_is_not_the_working_directory(data):
    assert refusal(parse, data) == (f"invalid data {data!r} (expected PATH or LAYOUT:PATH). Name a folder.")


@pytest.mark.parametrize("data", ["x" * 5000, "lyft:" + "x" * 5000, "a\0b", "lyft:a\0b", "\ud800"])
def test_what_cannot_be_a_path_is_a_path_that_is_not_there(data):
    path, _ = parse(data)
    assert not os.path.exists(path)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_named_layout_that_a_folder_does_not_have(tmp_path, name):
    touch(tmp_path, "notes.txt")
    (tmp_path / "classes.csv").write_text(CLASSES)
    message = refusal(look, tmp_path, name)
    assert str(tmp_path) in message and LAYOUTS[name].expected in message
    if name in ("lyft", "carla"):
        assert message.startswith(f"{tmp_path}: not in the layout {name} (expected ")


def test_a_name_decides_where_a_folder_looks_like_two(tmp_path):
    plain(drive(tmp_path))
    for name, images in (("lyft", "CameraRGB"), ("plain", "images")):
        assert {file.parent.name for file in look(tmp_path, name).images.values()} == {images}


# ---- two layouts in one folder ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "first, second, layouts_",
    [
        (study, drive, "study, and lyft in {}/CameraRGB"),
        (study, lambda folder: recording(folder / "more"), "study, and carla in {}/more"),
        (study, plain, "study, and plain in {}/images"),
        (drive, lambda folder: recording(folder / "more"), "lyft, and carla in {}/more"),
        (lambda folder: drive(folder / "dataA").parent, plain, "lyft, and plain in {}/images"),
    ],
)
def test_frames_of_another_layout_are_not_passed_over(tmp_path, first, second, layouts_):
    second(first(tmp_path))
    message = refusal(look, tmp_path)
    assert message.startswith(
        f"{tmp_path}: two layouts, {layouts_.format(tmp_path)} (expected one). Move one of them elsewhere, or"
    )


def test_names_of_files_alone_make_no_second_layout(tmp_path):
    names = ("1_rgb", "2_rgb")
    for kind in ("images", "labels"):
        touch(
            tmp_path / "a", *(f"{split}/{kind}/{name}.png" for split in ("train", "test") for name in names)
        )
    assert look(tmp_path / "a").layout.name == "study"
    assert look(plain(tmp_path / "b", *names)).layout.name == "plain"
    touch(tmp_path / "c", *(f"Camera{kind}/{name}.png" for kind in ("RGB", "Seg") for name in names))
    assert look(tmp_path / "c").layout.name == "lyft"


# ---- halves -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", ["CameraRGB", "CameraSeg"])
def test_a_drive_of_lyft_with_one_of_its_folders_is_not_passed_over(tmp_path, gone):
    for letter in "ABC":
        drive(tmp_path / f"data{letter}")
    folder = tmp_path / "dataB" / gone
    for file in folder.iterdir():
        file.unlink()
    assert (
        refusal(look, tmp_path)
        == f"{folder}: contains no frames (expected NAME.png{' or NAME.jpg or NAME.jpeg' * (gone[-1] == 'B')}"
        "). Add them, or remove the folder."
    )
    folder.rmdir()
    refuses(tmp_path, f"{folder}: cannot be listed (No such file or directory)")


@pytest.mark.parametrize("kind", ["rgb", "seg"])
def test_a_recording_of_carla_with_one_half_is_not_passed_over(tmp_path, kind):
    recording(tmp_path / "a")
    touch(tmp_path / "b", f"1_{kind}.png")
    missing = "seg" if kind == "rgb" else "rgb"
    refuses(tmp_path, f"{tmp_path / 'b'}: contains no frames (expected NAME_{missing}.png")
    (tmp_path / "b" / f"1_{kind}.png").unlink()
    touch(tmp_path / "b", f"{kind}/1.png")
    refuses(tmp_path, f"{tmp_path / 'b'}/{'seg' if kind == 'rgb' else 'rgb'}: cannot be listed")


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_plain_drive_with_one_half_is_not_passed_over(tmp_path, kind):
    plain(tmp_path, "a/1", "b/1")
    touch(tmp_path, f"{kind}/c/1.png")
    other = "masks" if kind == "images" else "images"
    refuses(tmp_path, f"{tmp_path}/{other}/c: cannot be listed")


def test_plain_without_masks_asks_for_masks(tmp_path):
    touch(tmp_path, "images/a.png")
    (tmp_path / "classes.csv").write_text(CLASSES)
    refuses(tmp_path, f"{tmp_path}/masks: cannot be listed (No such file or directory)")


def test_lone_files_name_what_is_missing(tmp_path):
    recording(tmp_path / "a")
    touch(tmp_path / "a", "000007_rgb.jpg", "000008_seg.png")
    home = tmp_path / "a"
    assert list(look(tmp_path).faults()) == [
        (
            "no-partner",
            f"{home}/000007_rgb.jpg: image without mask (expected {home}/000007_seg.png). Add it, or remove"
            " this file.",
            [home / "000007_rgb.jpg"],
        ),
        (
            "no-partner",
            f"{home}/000008_seg.png: mask without image (expected {home}/000008_rgb.png or .jpg). Add it, or"
            " remove this file.",
            [home / "000008_seg.png"],
        ),
    ]


def test_duplicates_name_both(tmp_path):
    plain(tmp_path)
    touch(tmp_path, "images/b.jpg", "images/b.JPEG")
    images = tmp_path / "images"
    (first, message, files), second = look(tmp_path).faults()
    assert (first, files) == ("same-name", [images / "b.jpg", images / "b.JPEG"])
    assert (
        message == f"{images}/b.jpg: same frame as b.JPEG (expected one file per frame). Remove one of them."
    )
    assert second[::2] == ("same-name", [images / "b.png", images / "b.JPEG"])


# ---- what is passed over, and what is not -----------------------------------------------------------


def test_hidden_files_other_suffixes_and_what_systems_add_are_passed_over(tmp_path):
    drive(tmp_path / "dataA")
    touch(tmp_path, "__MACOSX/dataA/CameraRGB/._0.png", "lost+found/x_rgb.png", ".cache/CameraRGB/0.png")
    touch(tmp_path, "dataA/CameraRGB/.0.png", "dataA/CameraRGB/Thumbs.db", "dataA/info.json", "readme")
    assert len(keys(look(tmp_path))) == 3


def test_names_with_spaces_in_any_script_and_with_markup(tmp_path):
    names = 'a b| lead|trail |ü|日本\u3000語|<b>|it\'s|so "x"|-rf|%s{}|a.b.c|😀'.split("|")
    assert {key.name for key in keys(look(plain(tmp_path / "my data ü", *names)))} == set(names)


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\x1b[31mb", "a\tb", "a\x7fb", "a\x85b", "a\udcffb"])
@pytest.mark.parametrize("place", ["file", "drive"])
def test_names_that_cannot_be_printed_are_refused_and_shown_harmlessly(tmp_path, bad, place):
    home = drive(tmp_path / (f"data{bad}" if place == "drive" else "dataA"))
    if place == "file":
        touch(home, f"CameraRGB/{bad}.png", f"CameraSeg/{bad}.png")
    message = refusal(look, tmp_path)
    assert repr(bad)[1:-1] in message and bad not in message
    assert message.endswith(": name with line breaks, control codes or broken UTF-8. Rename it.")


def test_a_folder_above_the_data_may_have_any_name(tmp_path):
    home = tmp_path / "new\nline \x1b[31m red"
    assert len(keys(look(drive(home)))) == 3
    (home / "CameraSeg" / "0.png").rename(home / "CameraSeg" / "9\n.png")
    message = refusal(look, home)
    assert r"new\nline \x1b[31m red/CameraSeg/9\n.png: name with line breaks" in message


# ---- links ------------------------------------------------------------------------------------------


def test_linked_folders_and_files_count_like_others(tmp_path):
    drive(tmp_path / "disk" / "one")
    data = tmp_path / "data"
    drive(data / "dataB")
    (data / "dataA").symlink_to(tmp_path / "disk" / "one")
    (data / "dataB" / "CameraRGB" / "7.png").symlink_to(tmp_path / "disk" / "one" / "CameraRGB" / "0.png")
    touch(data, "dataB/CameraSeg/7.png")
    assert keys(look(data)) == {Key("", "dataA", str(i)) for i in range(3)} | {
        Key("", "dataB", str(i)) for i in (0, 1, 2, 7)
    }
    (tmp_path / "link").symlink_to(data)
    assert keys(look(tmp_path / "link")) == keys(look(data))


@pytest.mark.parametrize("back", [".", "..", "../dataA", "../../data"])
def test_links_in_a_circle_count_nothing_twice(tmp_path, back):
    data = tmp_path / "data"
    for letter in "ABC":
        drive(data / f"data{letter}")
    (data / "dataB" / "back").symlink_to(back)
    assert drives(look(data)) == {"dataA", "dataB", "dataC"}
    assert len(keys(look(data))) == 9


def test_one_folder_under_two_names_counts_once(tmp_path):
    drive(tmp_path / "dataA")
    (tmp_path / "dataZ").symlink_to("dataA")
    assert len(keys(look(tmp_path))) == 3


def test_what_is_reached_by_a_deep_link_first_is_still_found(tmp_path):
    drive(tmp_path / "z" / "dataA")
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c" / "z").symlink_to(tmp_path / "z")
    assert drives(look(tmp_path)) == {"z/dataA"}


@pytest.mark.parametrize("target", ["gone", "dataB"], ids=["nowhere", "itself"])
def test_a_linked_drive_that_is_not_there_is_not_passed_over(tmp_path, target):
    drive(tmp_path / "dataA")
    (tmp_path / "dataB").symlink_to(target)
    assert refusal(look, tmp_path) == (
        f"{tmp_path}/dataB: broken link (expected a folder or file). Fix or remove it."
    )


def test_a_link_to_a_file_that_is_not_there_is_listed_for_who_opens_it(tmp_path):
    drive(tmp_path)
    (tmp_path / "CameraRGB" / "0.png").unlink()
    (tmp_path / "CameraRGB" / "0.png").symlink_to("gone")
    assert len(keys(look(tmp_path))) == 3


# ---- what is no data set ----------------------------------------------------------------------------


def test_an_empty_folder(tmp_path):
    refuses(tmp_path, f"{tmp_path}: unknown layout (expected train/images")


def test_a_missing_folder_and_a_file_and_a_circle(tmp_path):
    refuses(tmp_path / "x", f"{tmp_path}/x: cannot be listed (No such file or directory)")
    touch(tmp_path, "x.zip")
    refuses(tmp_path / "x.zip", f"{tmp_path}/x.zip: cannot be listed (Not a directory)")
    assert refusal(look, Path("a\0b")).startswith(r"a\x00b: cannot be listed (embedded null byte). Name a")
    (tmp_path / "loop").symlink_to("loop")
    assert refusal(look, tmp_path / "loop").startswith(f"{tmp_path}/loop: cannot be listed (Too many levels")


@pytest.mark.parametrize("pointed", ["dataA/CameraRGB", "dataA/CameraSeg"])
def test_pointing_one_folder_too_deep(tmp_path, pointed):
    drive(tmp_path / "dataA")
    refuses(tmp_path / pointed, f"{tmp_path / pointed}: unknown layout (expected")
    touch(tmp_path, "rgb/1.png", "seg/1.png")
    for name in ("rgb", "seg"):
        assert ": unknown layout (expected" in refusal(look, tmp_path / name)
    assert ": not in the layout lyft (" in refusal(look, tmp_path / pointed, "lyft")
    assert ": not in the layout carla (" in refusal(look, tmp_path / "rgb", "carla")


# ---- what must not be read --------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["", "dataB", "dataB/CameraRGB"])
def test_a_folder_that_may_not_be_listed_is_named(tmp_path, monkeypatch, place):
    for letter in "ABC":
        drive(tmp_path / f"data{letter}")
    denied, scan = tmp_path / place, os.scandir

    def scandir(folder):
        if Path(folder) == denied:
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(layouts.os, "scandir", scandir)
    assert refusal(look, tmp_path) == (
        f"{denied}: permission denied (expected a folder that can be listed). Run 'chmod u+rx' on it."
    )


@unprivileged
@pytest.mark.parametrize("mode", [0, 0o400, 0o100], ids=["nothing", "list", "enter"])
@pytest.mark.parametrize("make", [study, drive, recording, plain])
def test_a_folder_that_may_only_be_listed_or_only_be_entered(tmp_path, make, mode):
    data = make(tmp_path / "data")
    data.chmod(mode)
    try:
        assert str(data) in refusal(reading.find, data)  # files may be listed; opening one says it
    finally:
        data.chmod(0o700)


@unprivileged
@pytest.mark.parametrize("mode", [0, 0o400, 0o100], ids=["nothing", "list", "enter"])
def test_a_drive_that_may_only_be_listed_or_only_be_entered(tmp_path, mode):
    for letter in "ABC":
        drive(tmp_path / f"data{letter}")
    (tmp_path / "dataB").chmod(mode)
    try:
        assert str(tmp_path / "dataB") in refusal(look, tmp_path)
    finally:
        (tmp_path / "dataB").chmod(0o700)


# ---- the order in which a disk lists ----------------------------------------------------------------


@pytest.mark.parametrize("make", [study, drive, recording, lambda folder: plain(folder, "a/1", "b/1", "b/2")])
def test_the_order_of_listing_changes_nothing(tmp_path, monkeypatch, make):
    make(tmp_path / "x" if make in (drive, recording) else tmp_path)
    before = look(tmp_path)
    scan = os.scandir

    class Reversed:
        def __init__(self, folder):
            with scan(folder) as entries:
                self.entries = sorted(entries, key=lambda one: one.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(layouts.os, "scandir", Reversed)
    after = look(tmp_path)
    assert list(after.images.items()) == list(before.images.items())
    assert list(after.labels.items()) == list(before.labels.items())
