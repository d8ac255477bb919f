"""segnb reads any file of a data folder, or rejects it in one line that names the file.

A corpus of broken files (`broken_files`) is tried in every way by which segnb reads a user's files: as a
folder, as a stream, through the cache, by `segnb report`, `segnb data check` and `segnb data prepare`.
Hypothesis then generates further files.
"""

import os
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from segnb.cli import report as report_commands
from segnb.cli.__main__ import main
from segnb.data import reading
from segnb.data.dataset import open_data
from segnb.data.masks import STREET_CODING, read_coding
from segnb.data.splits import Pair
from segnb.data.tools import check, prepare
from segnb.errors import SegnbError, one_line
from segnb.labels import IGNORE_INDEX
from segnb.presets import PRESETS
from tests.conftest import make_dataset
from tests.data.broken_files import (
    BROKEN,
    NEITHER,
    NOISE,
    SIZE,
    SOUND,
    VALID,
    encoded,
    has_remedy,
    refusal,
    unprivileged,
)


@pytest.fixture(autouse=True)
def patience():
    """End a test that waits for ever."""

    def late(*_):
        raise TimeoutError("this hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """Five training pairs and three of test, without a fault."""
    return make_dataset(tmp_path_factory.mktemp("sound") / "dataset_016", train=5, size=SIZE)


@pytest.fixture
def data(sound, tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # no power is cut here
    return shutil.copytree(sound, tmp_path / "dataset_016")


def break_pair(pair: Pair, case: str) -> tuple[Path, str]:
    """Break one file of the pair.

    Returns:
        The file that an error names, and what it says.
    """
    broken = BROKEN[case]
    broken.make(getattr(pair, broken.kind))
    return pair.label if "of another size" in case else getattr(pair, broken.kind), broken.words


def one_clear_line(message: str, file: Path, words: str = "") -> None:
    """Assert that a message is one line, begins with the file, contains `words`, and ends with a remedy."""
    assert len(message.splitlines()) == 1 and message.isprintable()
    assert message.startswith(f"{one_line(str(file))}: ") and words in message
    assert has_remedy(message) and len(message) < 450 + 2 * len(str(file))


def leftovers(cache: Path) -> list[str]:
    """Return the files that a cache should not contain: arrays without their record, temporary files."""
    files = [path for path in cache.rglob("*") if path.is_file()]
    whole = {path.with_suffix("") for path in files if path.suffix == ".json"}
    arrays = [path for path in files if path.suffix == ".npy"]
    lost = [path for path in arrays if path.with_name(path.name.rpartition("_")[0]) not in whole]
    hidden = [path for path in files if path.name[0] == "." and path.suffix != ".lock"]
    return [path.name for path in lost + hidden]


# ---- the doors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", BROKEN)
def test_a_folder_is_refused_for_its_first_file_before_anything_else_is_read(data, case):
    file, words = break_pair(reading.find(data).pairs["test"][0], case)
    one_clear_line(refusal(reading.find, data), file, words)


@pytest.mark.parametrize("case", BROKEN)
def test_a_stream_gives_what_comes_before_the_broken_pair_and_a_cache_is_not_half_there(data, tmp_path, case):
    pairs = reading.find(data).pairs["train"]
    file, words = break_pair(pairs[1], case)  # not the first, which alone is read at once
    frames = reading.stream(pairs, SIZE, STREET_CODING)
    next(frames)
    one_clear_line(refusal(next, frames), file, words)

    def everything():
        source = open_data(str(data), PRESETS["smoke"], tmp_path / "cache")
        for split in source.names:
            source.split(tmp_path / "cache", split, SIZE)

    one_clear_line(refusal(everything), file)
    assert leftovers(tmp_path / "cache") == [] and not list(tmp_path.rglob("*.npy"))


@pytest.fixture
def report(project, capsys, monkeypatch) -> Callable[[str], str]:
    """Return what `segnb report --data DATA` prints on stderr when it fails before any training."""
    monkeypatch.setattr(report_commands, "_run_engine", lambda *_: pytest.fail("training would begin"))
    monkeypatch.setenv("SEGNB_OFFLINE", "1")  # `report` sets it, too; here it is undone
    options = ["--preset", "smoke", "--weights", "random", "--precision", "fp32", "--offline", "--jobs", "1"]

    def run(data: str) -> str:
        assert main(["report", "--data", data, *options]) == 1
        said = capsys.readouterr().err
        assert said.startswith("segnb: ") and said.endswith("\n") and "Traceback" not in said
        return said.removeprefix("segnb: ").removesuffix("\n")

    return run


@pytest.mark.parametrize(
    "case", [*(f"image: {name}" for name in NEITHER), "image: 16-bit RGB", "label: 16-bit RGB"]
)
def test_the_command_line_says_it_in_one_line_and_trains_nothing(project, data, report, case):
    file, words = break_pair(reading.find(data).pairs["train"][1], case)
    one_clear_line(report(str(data)), file, words)
    assert leftovers(project / "cache") == []
    assert not list(project.rglob("done.json")) and not list(project.rglob("*.pt"))


@pytest.mark.parametrize("case", BROKEN)
def test_check_lists_it_and_prepare_writes_nothing(data, tmp_path, case):
    file, words = break_pair(reading.find(data).pairs["test"][2], case)
    found = check.look(str(data))
    (error,) = found.of("error")
    assert error.kind == BROKEN[case].finding and error.files[0] == str(file)
    one_clear_line(error.message, file, words if error.kind != "interpolated" else "Make the mask again")
    message = refusal(prepare.prepare, str(data), tmp_path / "copy", 32)
    assert message.startswith(error.message) and not (tmp_path / "copy").exists()


# ---- further ways in --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SOUND)
def test_what_looks_odd_and_is_sound_is_read(data, name):
    pair = reading.find(data).pairs["train"][1]
    for file, content in zip((pair.image, pair.label), SOUND[name], strict=True):
        file.write_bytes(content)
    image, labels = reading.read(pair, SIZE, STREET_CODING)
    assert image.shape == (SIZE, SIZE, 3) and labels.max() <= 12
    if "palette" in name:
        assert (labels == 7).all()


def test_damage_next_to_the_pixels_is_not_printed(tmp_path):
    caption = struct.pack("<HHII", 0x010E, 2, 10**6, 26)  # of a million characters, which are not there
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + caption + bytes(4)
    (tmp_path / "x.jpg").write_bytes(encoded(NOISE, "JPEG", exif=exif))
    with pytest.warns(UserWarning):
        Image.open(tmp_path / "x.jpg").getexif().get(0x0112)
    code = f"from segnb.data import reading; reading.read_image(reading.Path({str(tmp_path / 'x.jpg')!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_splits_that_were_read_before_the_broken_file_stay_whole(data, tmp_path):
    reading.find(data).pairs["test"][1].image.write_bytes(b"")
    cache = tmp_path / "cache"
    source = open_data(str(data), PRESETS["smoke"], cache)
    assert len(source.split(cache, "train", SIZE)) == 4
    first = refusal(source.split, cache, "test", SIZE)
    assert refusal(source.split, cache, "test", SIZE) == first  # as clear the second time
    assert leftovers(cache) == []
    assert {path.name for path in cache.rglob("*.npy")} == {"train_images.npy", "train_labels.npy"}


def test_the_corpus_would_notice_what_is_left(tmp_path):
    for name in ("test_images.npy", "train_images.npy", "train.json", ".test_labels.npy.x1", ".test.lock"):
        (tmp_path / name).touch()
    assert sorted(leftovers(tmp_path)) == [".test_labels.npy.x1", "test_images.npy"]


# ---- permissions ------------------------------------------------------------------------------------


@unprivileged
@pytest.mark.parametrize("kind", ["image", "label"])
def test_a_file_that_may_not_be_read(data, report, kind):
    pair = reading.find(data).pairs["train"][1]
    file = getattr(pair, kind)
    file.chmod(0)
    one_clear_line(
        refusal(reading.read, pair, SIZE, STREET_CODING), file, "permission denied (expected a readable file)"
    )
    one_clear_line(report(str(data)), file, "Permission denied")


# ---- names ------------------------------------------------------------------------------------------

ESCAPES = "a\nb \x1b[31mred\x1b[0m \x07 \r\u2028\u202e"


def test_an_error_is_one_line_that_commands_no_terminal():
    error = SegnbError(f"{ESCAPES}: bad. Fix it.")
    assert str(error) == f"{error}" == r"a\nb \x1b[31mred\x1b[0m \x07 \r\u2028\u202e: bad. Fix it."
    assert error.args[0].startswith(ESCAPES)
    assert str(SegnbError("plain × text … ü 日本\u3000語")) == "plain × text … ü 日本\u3000語"
    assert str(SegnbError(os.fsdecode(b"caf\xe9.png"))) == r"caf\udce9.png"


def test_names_of_all_kinds_go_through_the_command_line_harmlessly(data, report):
    odd = data.rename(data.with_name(f"my {ESCAPES} data"))
    file = next((odd / "test" / "images").iterdir())
    file.write_bytes(b"")
    one_clear_line(report(str(odd)), file, "0 bytes (expected PNG or JPEG)")
    shutil.copy(odd / "test" / "labels" / "0001.png", file)
    for kind in ("images", "labels"):
        (odd / "test" / kind / "0001.png").rename(odd / "test" / kind / "new\nline.png")
    said = report(str(odd))
    one_clear_line(said, odd / "test" / "images" / "new\nline.png", "name with line breaks")


def test_good_data_with_odd_names_is_read(data, tmp_path):
    odd = data.rename(data.with_name("dataset_ü \n (copy) <b>"))
    for kind in ("images", "labels"):
        (odd / "test" / kind / "0001.png").rename(odd / "test" / kind / " 日本 <script>.png")
    source = open_data(str(odd), PRESETS["smoke"], tmp_path / "cache")
    split = source.split(tmp_path / "cache", "test", SIZE)
    assert " 日本 <script>" in split.names and len(split) == 3


@pytest.mark.parametrize(
    "data", ["", "lyft:", "no such folder", "no\nsuch\x1b[31m", "lyft:nowhere", "study:a\0b"]
)
def test_a_folder_that_is_not_there(report, data):
    said = report(data)
    assert len(said.splitlines()) == 1 and said.isprintable()
    assert "data " in said and (repr(data)[1:-1] in said or data in ("", "lyft:"))


# ---- whatever hypothesis makes up -------------------------------------------------------------------


def quickly(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def reads_or_refuses(file: Path, action: Callable, *arguments) -> None:
    """Assert that an action returns, or raises a SegnbError of one line about the file."""
    try:
        action(*arguments)
    except SegnbError as error:
        message = str(error)
        assert len(message.splitlines()) == 1 and message.isprintable(), message
        assert message.startswith(str(file)), message


a_place = st.floats(0, 1, exclude_max=True)


@quickly(150)
@given(st.binary(max_size=300), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a"]))
@example(b"", b"")
def test_any_bytes_as_a_picture(tmp_path, data, start):
    file = tmp_path / "x.png"
    file.write_bytes(start + data)
    reads_or_refuses(file, reading.read_image, file)
    reads_or_refuses(file, reading.read_labels, file, STREET_CODING)


@quickly(300)
@given(
    st.integers(0, len(VALID) - 1),
    st.lists(st.tuples(a_place, st.integers(1, 255)), max_size=6),
    a_place | st.just(1.0),
    st.booleans(),
)
def test_a_mutated_picture(tmp_path, which, flips, end, fix):
    """fix: whether the checksums of a PNG are corrected, so that the decoder reads on"""
    data = bytearray(VALID[which])
    for place, change in flips:
        data[int(place * len(data))] ^= change
    if fix and data.startswith(b"\x89PNG"):
        at = 8
        while at + 12 <= len(data):
            stop = at + 8 + int.from_bytes(data[at : at + 4], "big")
            data[stop : stop + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : stop]))[
                : max(0, len(data) - stop)
            ]
            at = stop + 4
    file = tmp_path / "x.png"
    file.write_bytes(data[: int(end * len(data))])
    reads_or_refuses(file, reading.read_image, file)
    reads_or_refuses(file, reading.read_labels, file, STREET_CODING)


WORDS = ["", *"0 1 255 256 #000000 #ffffff Road Car void yes no".split(), '"', "\n", "\x1b", "ü"]
cells = st.sampled_from(WORDS) | st.text(max_size=5)
tables = st.lists(st.lists(cells, max_size=6), max_size=6).map(
    lambda table: "\n".join(",".join(row) for row in table)
)
HEADERS = ["", "id,name\n", "id,colour,name,thin,thing\n", "colour,name\r\n", "\ufeffname,id\n"]


@quickly(200)
@given(
    st.binary(max_size=200)
    | st.builds(
        lambda head, rest: (head + rest).encode(), st.sampled_from(HEADERS), tables | st.text(max_size=60)
    )
)
def test_any_bytes_as_a_classes_csv(tmp_path, data):
    file = tmp_path / "classes.csv"
    file.write_bytes(data)
    reads_or_refuses(file, read_coding, file)


names = st.sampled_from(["void", "Road", "Car", "Sky", "Bicyclist", "Other"]) | st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=6
).map(str.strip).filter(lambda name: name and name.lower() != "void")


@st.composite
def label_sets(draw) -> list[tuple[int | None, tuple | None, str]]:
    """Draw rows of a valid classes.csv: (id, colour, name), with different ids and colours."""
    ids = draw(st.lists(st.integers(0, 255), unique=True, min_size=2, max_size=12))
    colours = draw(st.lists(st.tuples(*[st.integers(0, 255)] * 3), unique=True, max_size=len(ids)))
    alike = {}
    named = [alike.setdefault(name.lower(), name) for name in draw(st.lists(names, min_size=12, max_size=12))]
    if len({*named[: len(ids)]} - {"void"}) < 2:
        named[:2] = ["Road", "Car"]
    return [(i, colours[n] if n < len(colours) else None, named[n]) for n, i in enumerate(ids)]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@quickly(100)
@given(label_sets(), st.data())
def test_any_mask_of_any_label_set_survives_being_written(tmp_path, rows, data):
    table = tmp_path / "classes.csv"
    lines = [
        f"{i},{'#{:02x}{:02x}{:02x}'.format(*colour) if colour else ''},{quoted(name)}\n"
        for i, colour, name in rows
    ]
    table.write_text("id,colour,name\n" + "".join(lines), encoding="utf-8")
    read = read_coding(table)
    number = {name: i for i, name in enumerate(read.classes.names)} | {"void": IGNORE_INDEX}
    assert len({*read.classes.colours}) == len(read.classes)
    shape = (data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6)))
    picks = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=36, max_size=36)))
    picks = picks[: shape[0] * shape[1]].reshape(shape)
    wanted = np.array([number[name] for _, _, name in rows])[picks]
    values = np.array([i for i, _, _ in rows], np.uint8)[picks]
    masks = {"grey": values, "red": np.stack([values, 0 * values, 0 * values], -1)}
    if all(rows[pick][1] for pick in picks.flat):
        masks["colours"] = np.array([rows[pick][1] for pick in picks.flat], np.uint8).reshape(*shape, 3)
    for form, mask in masks.items():
        Image.fromarray(mask).save(tmp_path / "x.png")
        try:
            found = reading.read_labels(tmp_path / "x.png", read)
        except SegnbError as error:  # only where a red mask is a colour mask as well
            assert form != "grey" and not mask[..., 1:].any() and "contradict each other" in str(error)
            continue
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, wanted, form)
