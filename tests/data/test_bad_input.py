"""Whatever lies in a data folder, segnb reads it or refuses it in one line that names the file.

A corpus of broken files goes every way that a user's files go: one pair, a stream of them, a cache, and
`segnb report`; then hypothesis makes up what nobody thought of.
"""

import io
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from segnb import cli
from segnb.data import reading
from segnb.data.dataset import open_data
from segnb.data.masks import STREET_CODING, read_coding
from segnb.data.splits import Pair
from segnb.errors import SegnbError, one_line
from segnb.labels import IGNORE_INDEX
from segnb.presets import PRESETS
from tests.conftest import make_dataset

SIZE = 16  # pixels a side of all good files here


@pytest.fixture(autouse=True)
def patience():
    """Nothing here takes long, but for what waits for ever."""

    def late(*_):
        raise TimeoutError("this hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


# ---- PNG files byte by byte -------------------------------------------------------------------------


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *chunks: bytes) -> bytes:
    """colour: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA; rows: each begins with its filter, 0"""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def rows(width: int, height: int, bits: int, channels: int, value: int) -> bytes:
    """Rows of one value in each channel."""
    line = int(f"{value:0{bits}b}" * width * channels, 2).to_bytes(-(-width * channels * bits // 8), "big")
    return (b"\0" + line) * height


def flat(bits: int, colour: int, value: int = 0, *chunks: bytes) -> bytes:
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    return png(SIZE, SIZE, bits, colour, rows(SIZE, SIZE, bits, channels, value), *chunks)


def encoded(picture: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, **options)
    return file.getvalue()


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8))
IDS = Image.fromarray(np.random.default_rng(1).integers(0, 13, (SIZE, SIZE), np.uint8))


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


# ---- the corpus -------------------------------------------------------------------------------------


def content(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data)


def instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        path.unlink()
        make(path)

    return spoil


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def bind(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # an address has to be short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


TWO = {"save_all": True, "append_images": [Image.new("RGB", (SIZE, SIZE), "red")]}

# Neither an image nor a mask: what becomes of the file, and what is said after its path.
NEITHER = {
    "zero bytes": (content(b""), "file (0 bytes); replace or remove it"),
    "text": (content(b"hello"), "file (5 bytes); replace or remove it"),
    "half a PNG": (halve, ""),
    "a PNG that ends in its signature": (content(b"\x89PNG\r\n"), "file (6 bytes); replace or remove it"),
    "a header of 30,000 × 30,000": (content(png(30000, 30000, 8, 2, b"")), "cannot be decoded (Image size"),
    "a header and no pixels": (content(png(SIZE, SIZE, 8, 2, b"")), "cannot be decoded"),
    "no width": (content(png(0, SIZE, 8, 2, b"\0")), "file (66 bytes); replace"),
    "a wrong check sum": (content(flat(8, 0).replace(b"IDAT", b"IDAU")), "file (70 bytes); replace"),
    "compressed text of 100 MB": (
        content(flat(8, 2, 0, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8))))),
        "cannot be decoded",
    ),
    "an animated GIF": (content(encoded(NOISE, format="GIF", **TWO)), "file ("),
    "an animated PNG": (content(encoded(NOISE, format="PNG", **TWO)), "is an animation of 2 pictures; save"),
    "a TIFF": (content(encoded(NOISE, format="TIFF")), "file ("),
    "a WebP": (content(encoded(NOISE, format="WEBP", lossless=True)), "file ("),
    "a PDF": (content(encoded(NOISE, format="PDF")), "file ("),
    "a folder": (instead(Path.mkdir), "is a directory, pipe or device, no file; remove or replace it"),
    "a pipe": (instead(os.mkfifo), "is a directory, pipe or device, no file"),
    "a socket": (instead(bind), "is a directory, pipe or device, no file"),
    "a device": (instead(lambda path: path.symlink_to("/dev/zero")), "is a directory, pipe or device, no"),
    "a link to a folder": (instead(lambda path: path.symlink_to(".")), "is a directory, pipe or device, no"),
    "a link to nothing": (instead(lambda path: path.symlink_to("gone")), "cannot be read (No such file"),
    "a link to itself": (instead(lambda path: path.symlink_to(path.name)), "cannot be read (Too many levels"),
}
NO_IMAGE = {
    "16-bit RGB": (content(flat(16, 2, 300)), "pixels are 16-bit RGB, not 8-bit RGB; convert the image"),
    "16-bit RGBA": (content(flat(16, 6, 65535)), "pixels are 16-bit RGBA, not 8-bit RGB; convert"),
    "16-bit grey": (content(flat(16, 0, 300)), "pixels are 16-bit I;16, not 8-bit RGB; convert the image"),
    "1-bit": (content(flat(1, 0, 1)), "pixels are 1-bit 1, not 8-bit RGB; convert the image to that"),
    "grey": (content(flat(8, 0, 1)), "pixels are 8-bit L, not 8-bit RGB"),
    "grey and alpha": (content(flat(8, 4, 1)), "pixels are 8-bit LA, not 8-bit RGB"),
    "with a palette": (
        content(encoded(NOISE.quantize(9), format="PNG")),
        "pixels are 4-bit P, not 8-bit RGB",
    ),
    "see-through": (content(flat(8, 6, 254)), "pixels are 8-bit RGBA, not 8-bit RGB"),
    "CMYK JPEG": (content(encoded(NOISE.convert("CMYK"), format="JPEG")), "pixels are 8-bit CMYK, not 8-bit"),
    "grey JPEG": (content(encoded(NOISE.convert("L"), format="JPEG")), "pixels are 8-bit L, not 8-bit RGB"),
    "half a JPEG": (content(encoded(NOISE, format="JPEG")[:400]), "cannot be decoded"),
    "a JPEG to be turned": (
        content(encoded(NOISE, format="JPEG", exif=turned(6))),
        "is to be shown turned or mirrored (EXIF orientation 6); save it as it is to be seen",
    ),
    "a PNG to be mirrored": (
        content(encoded(NOISE, format="PNG", exif=turned(2))),
        "is to be shown turned or mirrored (EXIF orientation 2)",
    ),
    "of another size": (content(encoded(NOISE.resize((9, 9)), format="PNG")), ""),
}
NO_MASK = {
    "16-bit grey": (content(flat(16, 0, 7)), "pixels are 16-bit I;16; save the ids as one 8-bit channel"),
    "16-bit RGB": (content(flat(16, 2, 7)), "pixels are 16-bit RGB; save the ids as one 8-bit channel"),
    "1-bit": (content(flat(1, 0, 1)), "pixels are 1-bit 1; save the ids as one 8-bit channel"),
    "2-bit grey": (content(flat(2, 0, 0)), "pixels are 2-bit L; save the ids as one 8-bit channel"),
    "4-bit grey": (content(flat(4, 0, 0)), "pixels are 4-bit L; save the ids as one 8-bit channel"),
    "grey and alpha": (content(flat(8, 4, 1)), "pixels are 8-bit LA; save the ids as one 8-bit channel"),
    "a JPEG": (content(encoded(IDS, format="JPEG")), "no PNG file ("),
    "a mask to be turned": (
        content(encoded(IDS, format="PNG", exif=turned(8))),
        "is to be shown turned or mirrored (EXIF orientation 8)",
    ),
    "a photograph": (
        content(encoded(NOISE, format="PNG")),
        "a colour mask in which 256 pixels have colours of",
    ),
    "id 200": (content(flat(8, 0, 200)), "holds id 200, which none of the 13 classes has; renumber the mask"),
    "id 13 in red": (
        content(png(SIZE, SIZE, 8, 2, (b"\0" + b"\x0d\0\0" * SIZE) * SIZE)),
        "holds id 13, which none of the 13 classes has",
    ),
    "a palette of one colour for all": (
        content(flat(8, 3, 7, chunk(b"PLTE", bytes(3 * 256)))),
        "holds ids that mean one thing and colours that mean another; save the ids",
    ),
    "a palette too short": (content(flat(8, 3, 200, chunk(b"PLTE", bytes(3)))), "holds id 200, which"),
    "of another size": (content(encoded(IDS.resize((9, 9)), format="PNG")), "labels are 9×9 pixels but"),
}
CASES = {
    f"{kind}: {name}": (kind, spoil, words)
    for kind, cases in (("image", NEITHER | NO_IMAGE), ("label", NEITHER | NO_MASK))
    for name, (spoil, words) in cases.items()
}

# What looks odd and is as good as any: the bytes of an image, the bytes of a mask.
GOOD = {
    "interlaced": [encoded(one, format="PNG", interlace=1) for one in (NOISE, IDS)],
    "garbage after the end": [encoded(one, format="PNG") + b"\xff" * 999 for one in (NOISE, IDS)],
    "a broken colour profile": [
        flat(8, 2, 3, chunk(b"iCCP", b"x\0\0nonsense")),
        flat(8, 0, 3, chunk(b"iCCP", b"x\0\0nonsense")),
    ],
    "long text": [flat(8, colour, 3, chunk(b"tEXt", b"a\0" + b"b" * 10**6)) for colour in (2, 0)],
    "EXIF that says upright": [encoded(one, format="PNG", exif=turned(1)) for one in (NOISE, IDS)],
    "EXIF of no meaning": [encoded(one, format="PNG", exif=turned(0)) for one in (NOISE, IDS)],
    "a JPEG named .png, ids in four bits of a palette": [
        encoded(NOISE, format="JPEG"),
        flat(4, 3, 7, chunk(b"PLTE", bytes(range(100, 148)))),
    ],
    "opaque, red of four channels": [encoded(NOISE.convert("RGBA"), format="PNG"), flat(8, 2, 0)],
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """Five training pairs and three of test, without a fault."""
    return make_dataset(tmp_path_factory.mktemp("sound") / "dataset_016", train=5, size=SIZE)


@pytest.fixture
def data(sound, tmp_path) -> Path:
    return shutil.copytree(sound, tmp_path / "dataset_016")


@pytest.fixture
def pair(data, monkeypatch) -> Pair:
    """A training pair, and not the first, which alone is read at once."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # no power is cut here
    return reading.find(data).pairs["train"][1]


def spoilt(pair: Pair, case: str) -> tuple[Path, str]:
    """Spoils one file of the pair. Returns it, and what is to be said."""
    kind, spoil, words = CASES[case]
    spoil(getattr(pair, kind))
    named = pair.label if "of another size" in case else getattr(pair, kind)
    return named, words


def refusal(action: Callable, *arguments) -> str:
    with pytest.raises(SegnbError) as caught:
        action(*arguments)
    return str(caught.value)


def one_clear_line(message: str, file: Path, words: str = "") -> None:
    """Is one line, begins with the file, holds `words`, and says what to do."""
    assert len(message.splitlines()) == 1 and message.isprintable()
    assert message.startswith(f"{one_line(str(file))}: ") and words in message
    assert "; " in message and len(message) < 450 + 2 * len(str(file))


@pytest.mark.parametrize("case", CASES)
def test_a_pair_with_a_broken_file_is_refused(pair, case):
    file, words = spoilt(pair, case)
    one_clear_line(refusal(reading.read, pair, SIZE, STREET_CODING), file, words)


@pytest.mark.parametrize("name", GOOD)
def test_what_looks_odd_and_is_good_is_read(pair, name):
    for file, data in zip((pair.image, pair.label), GOOD[name], strict=True):
        file.write_bytes(data)
    image, labels = reading.read(pair, SIZE, STREET_CODING)
    assert image.shape == (SIZE, SIZE, 3) and labels.max() <= 12
    if "palette" in name:
        assert (labels == 7).all()


def test_what_is_broken_beside_the_pixels_is_not_told_on_stderr(tmp_path):
    entry = struct.pack(
        "<HHII", 0x010E, 2, 10**6, 26
    )  # a caption of a million characters, which are not there
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    (tmp_path / "x.jpg").write_bytes(encoded(NOISE, format="JPEG", exif=exif))
    with pytest.warns(UserWarning):
        Image.open(tmp_path / "x.jpg").getexif().get(0x0112)
    code = f"from segnb.data import folders; folders.read_image(folders.Path({str(tmp_path / 'x.jpg')!r}))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


@pytest.mark.parametrize("case", CASES)
def test_a_broken_first_file_is_met_before_anything_is_read(data, case):
    first = reading.find(data).pairs["test"][0]
    file, words = spoilt(first, case)
    one_clear_line(refusal(reading.find, data), file, words)


def leftovers(cache: Path) -> list[str]:
    """What a cache should not hold: arrays that do not count, files that were to become something."""
    files = [path for path in cache.rglob("*") if path.is_file()]
    whole = {path.with_suffix("") for path in files if path.suffix == ".json"}
    arrays = [path for path in files if path.suffix == ".npy"]
    lost = [path for path in arrays if path.with_name(path.name.rpartition("_")[0]) not in whole]
    hidden = [path for path in files if path.name[0] == "." and path.suffix != ".lock"]
    return [path.name for path in lost + hidden]


@pytest.mark.parametrize("case", CASES)
def test_a_broken_file_leaves_no_half_of_a_cache(data, pair, tmp_path, case):
    file, words = spoilt(pair, case)
    cache = tmp_path / "cache"

    def everything():
        source = open_data(str(data), PRESETS["smoke"], cache)
        for split in source.names:
            source.split(cache, split, SIZE)

    one_clear_line(refusal(everything), file)
    assert leftovers(cache) == []
    assert not list(cache.rglob("*.npy"))


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


def test_a_stream_gives_what_comes_before_the_broken_pair(data):
    pairs = reading.find(data).pairs["train"]
    pairs[2].image.write_bytes(b"")
    frames = reading.stream(pairs, SIZE, STREET_CODING)
    assert len([next(frames) for _ in range(2)]) == 2
    one_clear_line(refusal(next, frames), pairs[2].image)


def report(data: str, capsys, monkeypatch) -> str:
    """What `segnb report` says on stderr before it gives up; nothing may be trained."""
    monkeypatch.setattr(cli, "_run_engine", lambda command: pytest.fail("training would begin"))
    monkeypatch.setenv("SEGNB_OFFLINE", "1")  # `report` sets it, too; here it is undone
    options = ["--preset", "smoke", "--weights", "random", "--precision", "fp32", "--offline", "--jobs", "1"]
    assert cli.main(["report", "--data", data, *options]) == 1
    said = capsys.readouterr().err
    assert said.startswith("segnb: ") and said.endswith("\n") and "Traceback" not in said
    return said.removeprefix("segnb: ").removesuffix("\n")


@pytest.mark.parametrize(
    "case", [f"image: {name}" for name in NEITHER] + ["image: 16-bit RGB", "label: 16-bit RGB"]
)
def test_the_command_line_says_it_in_one_line_and_trains_nothing(
    project, data, pair, capsys, monkeypatch, case
):
    file, words = spoilt(pair, case)
    said = report(str(data), capsys, monkeypatch)
    one_clear_line(said, file, words)
    assert leftovers(project / "cache") == []
    assert not list(project.rglob("done.json")) and not list(project.rglob("*.pt"))


# ---- permissions ------------------------------------------------------------------------------------

with tempfile.NamedTemporaryFile() as locked:
    os.chmod(locked.name, 0)
    unprivileged = pytest.mark.skipif(os.access(locked.name, os.R_OK), reason="root may read everything")


@unprivileged
@pytest.mark.parametrize("kind", ["image", "label"])
def test_a_file_that_may_not_be_read(project, data, pair, capsys, monkeypatch, kind):
    file = getattr(pair, kind)
    file.chmod(0)
    one_clear_line(refusal(reading.read, pair, SIZE, STREET_CODING), file, "no permission to read it; allow")
    one_clear_line(report(str(data), capsys, monkeypatch), file, "Permission denied")


@unprivileged
def test_a_classes_csv_that_may_not_be_read(data):
    (data / "classes.csv").write_text("id,name\n0,Road\n1,Car\n")
    (data / "classes.csv").chmod(0)
    one_clear_line(refusal(reading.find, data), data / "classes.csv", "Permission denied")


# ---- names ------------------------------------------------------------------------------------------

ESCAPES = "a\nb \x1b[31mred\x1b[0m \x07 \r\u2028\u202e"


def test_an_error_is_one_line_that_commands_no_terminal():
    error = SegnbError(f"{ESCAPES}: is bad; mend it")
    assert str(error) == f"{error}" == r"a\nb \x1b[31mred\x1b[0m \x07 \r\u2028\u202e: is bad; mend it"
    assert error.args[0].startswith(ESCAPES)
    assert str(SegnbError("plain × text … ü 日本\u3000語")) == "plain × text … ü 日本\u3000語"
    assert str(SegnbError(os.fsdecode(b"caf\xe9.png"))) == r"caf\udce9.png"


def test_names_of_all_kinds_go_through_the_command_line_harmlessly(project, data, capsys, monkeypatch):
    odd = data.rename(data.with_name(f"my {ESCAPES} data"))
    file = next((odd / "test" / "images").iterdir())
    file.write_bytes(b"")
    one_clear_line(report(str(odd), capsys, monkeypatch), file, "(0 bytes)")
    shutil.copy(odd / "test" / "labels" / "0001.png", file)
    for kind in ("images", "labels"):
        (odd / "test" / kind / "0001.png").rename(odd / "test" / kind / "new\nline.png")
    said = report(str(odd), capsys, monkeypatch)
    one_clear_line(said, odd / "test" / "images" / "new\nline.png", "line break")


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
def test_a_folder_that_is_not_there(project, capsys, monkeypatch, data):
    said = report(data, capsys, monkeypatch)
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
    """Anything but a result or a clear line about the file is an error of ours."""
    try:
        action(*arguments)
    except SegnbError as error:
        message = str(error)
        assert len(message.splitlines()) == 1 and message.isprintable(), message
        assert message.startswith(str(file)), message


def valid_files() -> list[bytes]:
    palette = IDS.copy()
    palette.putpalette(list(range(39)))
    return [
        encoded(NOISE, format="PNG"),
        encoded(NOISE, format="PNG", interlace=1, exif=turned(1), icc_profile=b"x" * 200),
        encoded(NOISE.convert("RGBA"), format="PNG"),
        encoded(NOISE, format="PNG", **TWO),
        encoded(IDS, format="PNG"),
        encoded(palette, format="PNG", transparency=b"\0" * 13),
        flat(16, 2, 300),
        flat(4, 0, 7),
        encoded(NOISE, format="JPEG", exif=turned(1)),
        encoded(NOISE, format="JPEG", progressive=True, quality=95),
        encoded(NOISE.convert("CMYK"), format="JPEG"),
        encoded(NOISE, format="MPO", **TWO),
    ]


VALID = valid_files()
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
def test_a_mutated_picture(tmp_path, which, flips, end, mend):
    """mend: whether a PNG's check sums are set right, so that what they guard is reached"""
    data = bytearray(VALID[which])
    for place, change in flips:
        data[int(place * len(data))] ^= change
    if mend and data.startswith(b"\x89PNG"):
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


cells = st.sampled_from(
    [
        "",
        "0",
        "1",
        "255",
        "256",
        "#000000",
        "#ffffff",
        "Road",
        "Car",
        "void",
        "yes",
        "no",
        '"',
        "\n",
        "\x1b",
        "ü",
    ]
) | st.text(max_size=5)
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
    """Rows of a sound classes.csv: (id, colour, name) with ids and colours of their own."""
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
            assert form != "grey" and not mask[..., 1:].any() and "mean another" in str(error)
            continue
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, wanted, form)
