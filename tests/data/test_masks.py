"""segnb/data/masks.py: the meaning of masks, and valid and invalid classes.csv files."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segnb.data import reading
from segnb.data.masks import CAMVID_CODING, STREET_CODING, UNKNOWN, read_coding
from segnb.errors import SegnbError
from segnb.labels import CAMVID, IGNORE_INDEX, STREET
from tests.conftest import CHECKOUT
from tests.data.broken_files import NO_FILE, refusal

NEWER = CHECKOUT / "docs" / "classes-carla-0.9.14.csv"


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a classes.csv, text or bytes, and returns its path."""

    def written(content: str | bytes):
        path = tmp_path / "classes.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


@pytest.fixture
def read(write):
    return lambda content: read_coding(write(content))


# ---- the two that come with a layout ----------------------------------------------------------------


def test_street_ids_are_themselves_and_nothing_else_is_known():
    ids = STREET_CODING.from_values(np.arange(256, dtype=np.uint8))
    assert ids[:13].tolist() == list(range(13))
    assert (ids[13:] == UNKNOWN).all()


def test_a_colour_nearly_right_is_no_class():
    pixels = np.array([[[70, 70, 70], [70, 70, 71]], [[0, 0, 0], [255, 255, 255]]], np.uint8)
    assert STREET_CODING.from_colours(pixels).tolist() == [[1, UNKNOWN], [0, UNKNOWN]]


def test_camvid_s_eleven_is_void():
    assert CAMVID_CODING.from_values(np.uint8([0, 10, 11, 12])).tolist() == [0, 10, IGNORE_INDEX, UNKNOWN]
    assert (CAMVID_CODING.from_colours(np.zeros((2, 2, 3), np.uint8)) == UNKNOWN).all()


# ---- a classes.csv ----------------------------------------------------------------------------------


def test_the_file_of_the_module_s_first_lines(read):
    coding = read(
        "id,colour,name,thin,thing\n"
        "0,#464646,Building,,\n"
        "1,#dc143c,Pedestrian,yes,yes\n"
        "2,#ff0000,Pedestrian,yes,yes\n"
        "255,,void,,\n"
    )
    classes = coding.classes
    assert classes.names == ("Building", "Pedestrian")
    assert classes.colours == ("#464646", "#dc143c")  # the first of the two
    assert classes.thin == classes.things == ("Pedestrian",)
    assert classes.void and classes.key == "own"
    assert coding.values == {0: 0, 1: 1, 2: 1, 255: IGNORE_INDEX}
    assert coding.colours == {(70, 70, 70): 0, (220, 20, 60): 1, (255, 0, 0): 1}


def test_classes_are_numbered_as_they_first_appear(read):
    coding = read("id,name\n9,Car\n3,Road\n4,Car\n0,Sky\n")
    assert coding.classes.names == ("Car", "Road", "Sky")
    assert coding.from_values(np.uint8([0, 3, 4, 9, 1])).tolist() == [2, 1, 0, 0, UNKNOWN]


@pytest.mark.parametrize("word", ["void", "Void", "VOID"])
def test_void_is_no_class_however_it_is_written(read, word):
    coding = read(f"id,name\n0,Road\n1,Car\n7,{word}\n8,{word}\n")
    assert coding.classes.names == ("Road", "Car") and coding.classes.void
    assert coding.values[7] == coding.values[8] == IGNORE_INDEX
    assert not read("id,name\n0,Road\n1,Car\n").classes.void


def test_colours_alone_are_enough(read):
    coding = read("colour,name\n#000001,Road\n#000002,Car\n#000003,void\n")
    assert coding.values == {}
    assert (coding.from_values(np.arange(256, dtype=np.uint8)) == UNKNOWN).all()
    pixels = np.array([[0, 0, 1], [0, 0, 2], [0, 0, 3], [0, 0, 4]], np.uint8)
    assert coding.from_colours(pixels).tolist() == [0, 1, IGNORE_INDEX, UNKNOWN]


def test_columns_in_any_order_and_short_rows(read):
    coding = read("thing,name,id\nyes,Car,1\n,Road,0\n")
    assert coding.classes.names == ("Car", "Road") and coding.classes.things == ("Car",)
    assert read("id,name,thin\n0,Road\n1,Car\n").classes.thin == ()


@pytest.mark.parametrize("word, said", [("yes", 1), ("YES", 1), ("true", 1), ("1", 1), ("no", 0), ("0", 0)])
def test_how_yes_is_said(read, word, said):
    coding = read(f"id,name,thin,thing\n0,Cable,{word},\n1,Road,no,no\n")
    assert coding.classes.thin == ("Cable",) * said


def test_known_names_are_thin_and_things_where_the_columns_say_nothing(read):
    text = "id,name{}\n0,Pole{}\n1,Car{}\n2,Road{}\n3,Cable{}\n"
    for filler in ([""] * 5, [",thin,thing", ",,", ",,", ",,", ",,"]):
        classes = read(text.format(*filler)).classes
        assert classes.thin == ("Pole",) and classes.things == ("Pole", "Car")
    classes = read(text.format(",thin", ",", ",", ",", ",yes")).classes
    assert classes.thin == ("Cable",) and classes.things == ("Pole", "Car")
    small = read("id,name\n0,road\n1,car\n2,TRAFFIC SIGN\n3,cart\n").classes
    assert small.thin == ("TRAFFIC SIGN",) and small.things == ("car", "TRAFFIC SIGN")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace(",", " ,  ").encode(),
        lambda text: text.replace("\n", "\n\n").encode(),
        lambda text: text.rstrip("\n").encode(),
        lambda text: b'"id","colour","name"\n"0","#464646","Road"\n"1","","Car"\n',
    ],
    ids=["BOM", "CRLF", "CR", "spaces", "empty lines", "no last newline", "quotes"],
)
def test_ways_in_which_programs_write_csv(read, change):
    plain = "id,colour,name\n0,#464646,Road\n1,,Car\n"
    assert read(change(plain)) == read(plain)


def test_a_name_may_hold_commas_quotes_markup_and_any_script(read):
    names = ["Kerb, raised", 'so-called "sky"', "<script>alert(1)</script>", "横断歩道", "Fußweg & Co"]
    rows = "".join(f'{i},"{name.replace(chr(34), chr(34) * 2)}"\n' for i, name in enumerate(names))
    assert read(f"id,name\n{rows}").classes.names == tuple(names)


def test_all_thirteen_are_the_study_s_in_the_study_s_order(read):
    rows = [f"{i + 40},{name}\n" for i, name in enumerate(reversed(STREET.names))]
    coding = read("id,name\n" + "".join(rows))
    assert coding.classes is STREET
    assert coding.values == {52 - i: i for i in range(13)}
    void = read("id,name\n255,void\n" + "".join(rows)).classes
    assert void.void and void.as_dict() == STREET.as_dict() | {"void": True}
    assert read("id,name\n" + "".join(rows[1:])).classes.key == "own"


def test_colours_that_nobody_gave_differ_from_all_others(read):
    # Bicyclist is CamVid's and Other the study's; both are painted alike there.
    names = ["Bicyclist", "Other", *(f"thing {i}" for i in range(250))]
    colours = read("id,name\n" + "".join(f"{i},{name}\n" for i, name in enumerate(names))).classes.colours
    assert len(set(colours)) == len(names)
    assert "#808080" not in colours  # void's
    assert dict(zip(names, colours, strict=True))["Bicyclist"] == "#0b6e66"
    taken = read("id,colour,name\n0,#75608a,Tram\n1,,Road\n").classes.colours  # Road's own, given away
    assert taken[0] == "#75608a" != taken[1]
    usual = read("id,name\n0,Road\n1,Car\n").classes.colours
    assert usual == tuple(STREET.colours[STREET.id(name)] for name in ("Road", "Car"))


def test_255_classes_are_the_most(read):
    rows = [f"{i},class {i}\n" for i in range(256)]
    coding = read("id,name\n" + "".join(rows[:255]))
    assert len(coding.classes) == 255
    assert coding.from_values(np.uint8([254, 255])).tolist() == [254, UNKNOWN]
    with pytest.raises(SegnbError, match=r"the number of classes is 256 \(expected 2 to 255, not"):
        read("id,name\n" + "".join(rows))


COLUMNS = " (expected name, with id or colour or both, and optionally thin and thing, each once). Fix the"
ID = "(expected an integer from 0 to 255). Change the cell."
NAME = "(expected one line of at most 80 characters, or 'void' for unlabelled pixels). Change the cell."
# {fault: (content, error after the path)}.
WRONG = {
    "empty": ("", f": invalid columns ''{COLUMNS}"),
    "blank": ("\n \n", f": invalid columns ''{COLUMNS}"),
    "no rows": ("id,name\n", ": the number of classes is 0 (expected 2 to 255"),
    "one class": ("id,name\n0,Road\n1,void\n", ": the number of classes is 1 (expected 2 to 255"),
    "no name column": ("id,colour\n0,#000000\n", f": invalid columns 'id, colour'{COLUMNS}"),
    "neither column": ("name,thin\nRoad,\n", f": invalid columns 'name, thin'{COLUMNS}"),
    "unknown column": ("id,name,color\n0,Road,#ffffff\n", f": invalid columns 'id, name, color'{COLUMNS}"),
    "capitals": ("ID,Name\n0,Road\n", f": invalid columns 'ID, Name'{COLUMNS}"),
    "semicolons": ("id;name\n0;Road\n", f": invalid columns 'id;name'{COLUMNS}"),
    "column twice": ("id,name,id\n0,Road,1\n", f": invalid columns 'id, name, id'{COLUMNS}"),
    "no header": ("0,Road\n1,Car\n", f": invalid columns '0, Road'{COLUMNS}"),
    "long column": ("x" * 5000 + ",name\n", f": invalid columns '{'x' * 80}…'{COLUMNS}"),
    "no name": ("id,name\n0,Road\n1,\n", f", line 3: invalid name '' {NAME}"),
    "neither id nor colour": ("id,colour,name\n0,,Road\n,,Car\n", ", line 3: 'Car' has neither id nor"),
    "id twice": ("id,name\n0,Road\n0,Car\n", ", line 3: the id 0 stands for 'Road' above (expected one"),
    "colour twice": (
        "colour,name\n#0000ff,Road\n#0000FF,Car\n",
        ", line 3: the colour #0000FF stands for 'Road' above (expected one class per",
    ),
    "id 256": ("id,name\n0,Road\n256,Car\n", f", line 3: invalid id '256' {ID}"),
    "id -1": ("id,name\n-1,Road\n1,Car\n", f", line 2: invalid id '-1' {ID}"),
    "id 1.0": ("id,name\n1.0,Road\n1,Car\n", f", line 2: invalid id '1.0' {ID}"),
    "id in Arabic digits": ("id,name\n٣,Road\n1,Car\n", f", line 2: invalid id '٣' {ID}"),
    "id with leading zeros": ("id,name\n0000001234,Road\n1,Car\n", f", line 2: invalid id '0000001234' {ID}"),
    "colour word": (
        "colour,name\nred,Road\n#000001,Car\n",
        ", line 2: invalid colour 'red' (expected #rrggbb). Change the cell.",
    ),
    "short colour": ("colour,name\n#fff,Road\n", ", line 2: invalid colour '#fff' (expected"),
    "colour triple": ('colour,name\n"0,0,0",Road\n', ", line 2: invalid colour '0,0,0' (expected"),
    "maybe": ("id,name,thin\n0,Road,maybe\n1,Car,\n", ", line 2: invalid thin 'maybe' (expected yes or"),
    "cell too many": ("id,name\n0,Road\n1,Car,yes\n", ", line 3: too many cells (expected as many"),
    "written two ways": ("id,name\n0,Road\n1,Car\n2,road\n", ", line 4: the name 'road' is spelled 'Road'"),
    "line break in a name": ('id,name\n0,"Ro\nad"\n1,Car\n', rf", line 3: invalid name 'Ro\nad' {NAME}"),
    "escape in a name": ("id,name\n0,\x1b[2JRoad\n1,Car\n", rf", line 2: invalid name '\x1b[2JRoad' {NAME}"),
    "nul in a name": ("id,name\n0,Ro\0ad\n1,Car\n", rf", line 2: invalid name 'Ro\x00ad' {NAME}"),
    "long name": (f"id,name\n0,{'x' * 5000}\n1,Car\n", f", line 2: invalid name '{'x' * 80}…' (expected"),
    "quote left open": ('id,name\n0,"Road\n1,Car\n', ", line 3: not valid CSV (unexpected end of data). Fix"),
    "text after a quote": ('id,name\n0,"Road"s\n1,Car\n', ", line 2: not valid CSV ("),
    "UTF-16": ("id,name\n0,Road\n".encode("utf-16"), ": not UTF-8 text (expected CSV in UTF-8). Save"),
    "Latin-1": ("id,name\n0,Straße\n".encode("latin-1"), ": not UTF-8 text (expected"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0", ": not UTF-8 text (expected"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_in_one_line_with_file_and_line(write, case):
    content, words = WRONG[case]
    path = write(content)
    message = refusal(read_coding, path)
    assert message.startswith(f"{path}{words}") and message.isprintable()
    assert len(message) < 400 + len(str(path))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "cannot be read (No such file or directory). Fix or remove it."),
        (lambda path: path.symlink_to(path), "cannot be read (Too many levels of symbolic links). Fix"),
        (Path.mkdir, NO_FILE),
        (os.mkfifo, NO_FILE),  # opening it would wait until somebody writes
    ],
)
def test_what_is_no_file(tmp_path, make, words):
    path = tmp_path / "classes.csv"
    make(path)
    assert refusal(read_coding, path).startswith(f"{path}: {words}")


def test_a_file_that_may_not_be_read(write, monkeypatch):
    path = write("id,name\n0,Road\n1,Car\n")

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(path), "read_text", denied)
    assert refusal(read_coding, path) == f"{path}: cannot be read (Permission denied). Fix or remove it."


# ---- a newer CARLA ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "tags", "named"),
    [
        # CityScapesPalette.h: up to 0.9.13 the study's, and ten more, of which 13 is the sky
        ("0.9.10", 23, dict(enumerate(STREET.names)) | {13: "Unlabeled"}),
        # 1 road, 11 sky, 12 pedestrian, 14 car, 24 road line
        ("0.9.14", 29, {1: "Road", 11: "Unlabeled", 12: "Pedestrian", 14: "Car", 24: "Roadline"}),
    ],
)
def test_the_file_for_a_newer_carla_reads_to_the_study_s_thirteen(version, tags, named):
    coding = read_coding(NEWER.with_name(f"classes-carla-{version}.csv"))
    assert coding.classes is STREET and sorted(coding.values) == list(range(tags))
    assert {tag: STREET.names[coding.values[tag]] for tag in named} == named
    for tag, colour in tagged(version).items():  # each means the same by number and by colour
        assert coding.values[tag] == coding.colours[colour]
    assert coding.colours[128, 64, 128] == STREET.id("Road") and coding.colours[0, 0, 142] == STREET.id("Car")
    # Colours mean the same in all versions, such as those of the study's own.
    both = coding.colours.keys() & STREET_CODING.colours.keys()
    assert len(both) >= 10 and all(coding.colours[c] == STREET_CODING.colours[c] for c in both)


def test_the_file_for_the_study_s_carla_says_what_the_layouts_assume():
    coding = read_coding(NEWER.with_name("classes-carla-0.8.csv"))
    assert coding.classes is STREET and coding.values == STREET_CODING.values
    assert coding.colours.items() <= STREET_CODING.colours.items()


def tagged(version: str) -> dict[int, tuple]:
    """The colour of each tag in the file for a version of CARLA; no two have the same."""
    with NEWER.with_name(f"classes-carla-{version}.csv").open(encoding="utf-8", newline="") as file:
        colours = {int(row["id"]): tuple(bytes.fromhex(row["colour"][1:])) for row in csv.DictReader(file)}
    assert len({*colours.values()}) == len(colours)
    return colours


def forms(tags: np.ndarray, colours: dict[int, tuple]) -> dict[str, np.ndarray]:
    """Masks as CARLA and those who use it save them: one channel, red of three or four, colours."""
    raw = np.zeros((*tags.shape, 4), np.uint8)
    raw[..., 0], raw[..., 3] = tags, 255
    painted = np.zeros((*tags.shape, 3), np.uint8)
    for tag, colour in colours.items():
        painted[tags == tag] = colour
    return {"one channel": tags, "red of three": raw[..., :3], "red of four": raw, "colours": painted}


def test_masks_of_a_newer_carla_decode_alike_in_every_form(tmp_path):
    coding = read_coding(NEWER)
    tags = np.arange(30, dtype=np.uint8).reshape(5, 6) % 29
    wanted = [[coding.values[int(tag)] for tag in line] for line in tags]
    for name, mask in forms(tags, tagged("0.9.14")).items():
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(reading.read_labels(tmp_path / f"{name}.png", coding), wanted, name)
        with pytest.raises(SegnbError):  # and by the old numbers they are not taken for something else
            reading.read_labels(tmp_path / f"{name}.png", STREET_CODING)


def test_what_a_newer_carla_wants_is_said_where_its_ids_are_met(tmp_path):
    Image.fromarray(np.full((4, 4), 24, np.uint8)).save(tmp_path / "24.png")
    with pytest.raises(
        SegnbError, match=r"unknown class id 24 .*For CARLA 0.9.10 and later, use docs/classes-carla-\*.csv\."
    ):
        reading.read_labels(tmp_path / "24.png", STREET_CODING)
    with pytest.raises(SegnbError) as caught:
        reading.read_labels(tmp_path / "24.png", CAMVID_CODING)
    assert "CARLA" not in str(caught.value)


def test_camvid_s_own_names_keep_their_colours(read):
    rows = "".join(f"{i},{name}\n" for i, name in enumerate(CAMVID.names))
    classes = read("id,name\n11,void\n" + rows).classes
    assert (classes.names, classes.colours) == (CAMVID.names, CAMVID.colours)
    assert (classes.thin, classes.things, classes.void) == (CAMVID.thin, CAMVID.things, True)
