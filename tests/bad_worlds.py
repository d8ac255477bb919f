"""Random worlds: files with or without faults, a machine with oddities, and one command.

`make_world` creates the files and chooses machine and command; `live` runs the command in its own process.
"""

import builtins
import ctypes
import errno
import fcntl
import io
import json
import os
import random
import resource
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from io import TextIOWrapper
from pathlib import Path

import numpy as np
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from segnb.cli import data, main, run
from segnb.cli import report as reports
from segnb.data.masks import STREET_CODING
from segnb.errors import one_line
from segnb.labels import CAMVID, STREET
from segnb.pipeline import notebook
from tests.chaos.shim import Fault, Shim
from tests.conftest import CHECKOUT, make_project
from tests.data.broken_files import BROKEN, IDS, NO_CLASS, NOISE, encoded

assert data and run  # imported before the first fork

STUDY = "quick-streets-00000000"
NAMES = ["UNet_NoSkip_256", "FCN8s_vgg16_freeze"]


class Done(BaseException):
    """Raised instead of the start of training."""


@dataclass
class World:
    """A folder of files, a command and the expected outcome.

    arguments: of the command
    process:  whether the command runs in a new interpreter
    refused:  the name in the one-line error if the command is refused as a whole; None if it must not be
    broken:   faulty files, folders and splits
    warned:   harmless files that the command warns about
    oddities: of the machine, which must not change the outcome
    fragile:  faults of the machine after which a command may give up
    """

    folder: Path
    base: Path
    arguments: list[str] = field(default_factory=list)
    refused: str | None = None
    broken: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)
    fragile: list[str] = field(default_factory=list)
    process: bool = False

    def refuse(self, named: str | None) -> None:
        """Add a reason for a refusal; with several reasons, the error may name any of them."""
        if named is not None:
            self.refused = named if self.refused is None else ""

    @property
    def variables(self) -> dict[str, str]:
        return dict(one.split("=", 1) for one in self.oddities if "=" in one)

    def tells(self, text: str, name: str) -> bool:
        """Whether a text contains a name, possibly wrapped or with escaped characters."""
        encoding = self.variables.get("PYTHONIOENCODING", "utf-8")
        flat, named = ("".join(part.split()) for part in (text, name))
        forms = (named, json.dumps(named)[1:-1], named.encode(encoding, "backslashreplace").decode(encoding))
        return any(form in flat for form in forms)

    @property
    def data(self) -> Path:
        return Path(self.folder) / "data"

    @property
    def project(self) -> Path:
        return Path(self.folder) / "project"


# ---- data folders -----------------------------------------------------------------------------------

SPLITS = {
    "train": ("train", "Train", "TRAINING", "train_set", "trn"),
    "val": ("val", "valid", "Validation", "dev"),
    "test": ("test", "Testing", "test2019", "tst"),
}
MISTYPED = ("tset", "test_2", "tesst")
PLACES = {  # of images and masks of a split
    "study": ("{}/images/{}", "{}/labels/{}"),
    "camvid": ("{}/{}", "{}annot/{}"),
    "plain": ("images/{}/{}", "masks/{}/{}"),
    "lyft": ("{}/CameraRGB/{}", "{}/CameraSeg/{}"),
    "carla": ("{}/{}_rgb", "{}/{}_seg"),
}
FRAMES = (
    "{:04d}",
    "F1-{}",
    "日本 {}",
    "<b>{}",
    " {} ",
    "x" * 150 + "{}",
    "%s {}",
    "{{{}}}",
    "$(ls) {}",
    "{}.5",
)
UNPRINTABLE = ("a\nb{}", os.fsdecode(b"caf\xe9{}"), "\x1b[31m{}")
CLASSES = ("Road", "car", "路", "Ünïcode", "<script>", "a_b", "$x$", "Zelle", "नमस्ते", "'", "%", "sky " * 9)
SIZES = ((16, 16), (1, 1), (3, 40), (17, 9), (70, 50))
BAD_TABLES = (
    b"", b"id,name\n", b"id,name\n0,Road\n", b"what,is,this\n0,1,2\n", b"\xff\xfei\0d\0", b"\0" * 50,
    b"id,name\n0,Road\n0,Car\n", b"id,name\n256,Road\n1,Car\n", b'id,name\n0,"Road\n1,Car\n',
    b"id,name\n0,Road,yes,no\n1,Car\n", b"id,name\n0,%s\n1,Car\n" % (b"x" * 300),
    b"id,name\n-1,Road\n1,Car\n",
    b"id;name\n0;Road\n1;Car\n", b"name\nRoad\nCar\n", b"id,name\n0,\n1,Car\n", b"id,name\n0,Car\n1,car\n",
)  # fmt: skip


def make_classes(draw: random.Random, layout: str) -> tuple[str, list, int]:
    """Return the kind of label set, its (id, colour or None, name) rows, and the ground row."""
    kind = draw.choice(["street", "few", "few", "many"] + ["assumed"] * 3 * (layout != "plain"))
    if kind in ("street", "assumed"):
        known = CAMVID if layout == "camvid" and kind == "assumed" else STREET
        colours = {i: rgb for rgb, i in STREET_CODING.colours.items()} if kind == "assumed" else {}
        rows = [(i, colours.get(i) if known is STREET else None, name) for i, name in enumerate(known.names)]
        return kind, rows + [(11, None, "void")] * (known is CAMVID), known.id("Road")
    count = draw.randint(2, 5) if kind == "few" else draw.choice([70, 200, 254])
    names = draw.sample(CLASSES, count) if kind == "few" else [f"class {i}" for i in range(count)]
    painted = draw.random() < 0.5
    ids = sorted(draw.sample(range(255), count))
    rows = [
        (i, (i, 1 + n, 255 - n) if painted else None, name)
        for n, (i, name) in enumerate(zip(ids, names, strict=True))
    ]
    return kind, rows + [(255, (0, 0, 9) if painted else None, "void")] * (draw.random() < 0.5), 0


def write_mask(path: Path, form: str, places: np.ndarray, rows: list) -> None:
    ids = np.array([row[0] for row in rows], np.uint8)[places]
    none = np.zeros_like(ids)
    if form == "palette":
        picture = Image.fromarray(ids)
        shades = {i: colour or (9, i, 77) for i, colour, _ in rows}
        picture.putpalette([part for i in range(256) for part in shades.get(i, (9, i, 77))])
    else:
        picture = Image.fromarray(
            {
                "ids": lambda: ids,
                "red": lambda: np.stack([ids, none, none], -1),
                "equal": lambda: np.stack([ids] * 3, -1),
                "alpha": lambda: np.stack([ids, none + 255], -1),
                "red and alpha": lambda: np.stack([ids, none, none, none + 255], -1),
                "16 bits": lambda: ids.astype(np.uint16),
                "colours": lambda: np.array([row[1] for row in rows], np.uint8)[places],
            }[form]()
        )
    picture.save(path)


def make_data(world: World, draw: random.Random) -> None:
    """Create a data folder, possibly with broken files or a general fault; add it to the arguments."""
    layout = draw.choice([*PLACES])
    kind, rows, ground = make_classes(draw, layout)
    forms = ["ids", "ids", "palette", "red", "equal", "16 bits", "alpha", "red and alpha"]
    form = draw.choice(forms + ["colours"] * 3 * all(row[1] for row in rows))
    words = {split: draw.choice(options) for split, options in SPLITS.items()}
    if layout in ("lyft", "carla") and draw.random() < 0.5:
        words = {"train": "dataA", "val": "dataB", "test": "dataC"}  # not split
    elif draw.random() < 0.4:
        del words[draw.choice(["val", "test"])]
    fault = draw.choice([""] * 9 + ["mistyped", "extra", "table", "no table", "unprintable", "all void"])
    if fault == "mistyped" and "dataA" not in words.values():
        words[draw.choice(["val", "test"])] = world.refused = draw.choice(MISTYPED)
    if fault == "extra" and "dataA" not in words.values():
        words["extra"] = "extra"
        world.warned.append("extra")
    frame = draw.choice(UNPRINTABLE if fault == "unprintable" else FRAMES)
    if fault == "unprintable":
        world.refused = one_line(frame.partition("{")[0])
    void = len(rows) - 1 if rows[-1][2] == "void" else None
    pick, size, pairs = np.random.default_rng(draw.randrange(2**32)), draw.choice(SIZES), {}
    for split, word in words.items():
        for i in range(draw.randint(5, 7) if split == "train" else 3):
            name = frame.format(100 * [*words].index(split) + i)
            image, label = (world.data / place.format(word, name) for place in PLACES[layout])
            image = image.with_name(image.name + draw.choice([".png", ".png", ".jpg", ".PNG"]))
            label = label.with_name(label.name + ".png")
            for path in (image, label):
                path.parent.mkdir(parents=True, exist_ok=True)
            width, height = draw.choice(SIZES) if draw.random() < 0.1 else size
            Image.fromarray(pick.integers(0, 256, (height, width, 3), np.uint8)).save(image)
            places = np.repeat(pick.integers(0, len(rows), (1, width // 3 + 1)), 3, 1)[:, :width].repeat(
                height, 0
            )
            places[-max(1, height // 2) :] = ground
            if void is not None and fault == "all void" and split == "train":
                places[:] = void
            write_mask(label, form, places, rows)
            if split != "extra":
                pairs[image] = label
    if fault == "all void" and void is not None:
        world.broken.append("train")
    if kind != "assumed":
        lines = [f'{i},{"#" + bytes(rgb).hex() if rgb else ""},"{name}"\n' for i, rgb, name in rows]
        (world.data / "classes.csv").write_text("id,colour,name\n" + "".join(lines), encoding="utf-8")
    if fault == "table" or (fault == "no table" and layout == "plain"):
        world.refused, table = "classes.csv", world.data / "classes.csv"
        table.unlink(missing_ok=True)
        if fault == "table":
            spoil = draw.choice([*BAD_TABLES, Path.mkdir, lambda path: path.symlink_to("gone")])
            table.write_bytes(spoil) if isinstance(spoil, bytes) else spoil(table)
    spoil_files(world, draw, pairs, kind == "assumed" and layout != "camvid")
    named = draw.choice(["", "", layout + ":"])
    world.arguments += [f"{named}{world.data}"]
    if draw.random() < 0.06:  # another folder instead
        world.broken, world.warned = [], []
        world.arguments[-1], world.refused = draw.choice(
            [("", "data"), ("lyft:", "data"), (f"{world.data}/gone", "gone"), ("~nobody/x", "/x"),
             ("a\0b", r"a\x00b"), (str(CHECKOUT / "Makefile"), "Makefile"), ("x" * 300, "xxx"),
             ("/dev/null", "null")]
        )  # fmt: skip


def spoil_files(world: World, draw: random.Random, pairs: dict[Path, Path], street: bool) -> None:
    cases = [
        case
        for case, broken in BROKEN.items()
        if street or broken.kind == "image" or case.partition(": ")[2] not in NO_CLASS
    ]
    for image, label in draw.sample([*pairs.items()], draw.choice([0, 0, 1, 2])):
        broken = BROKEN[case := draw.choice(cases)]
        path = image if broken.kind == "image" else label
        if "socket" in case and len(path.name) > 90:  # longer than the system allows
            continue
        path.write_bytes(encoded(NOISE if broken.kind == "image" else IDS))  # `make` may change them
        broken.make(path)
        culprit = label if "of another size" in case else path
        world.broken.append(one_line(culprit.relative_to(world.data).as_posix()))


# ---- commands ---------------------------------------------------------------------------------------


def data_check(world: World, draw: random.Random) -> None:
    world.arguments = ["data", "check"]
    make_data(world, draw)
    world.arguments += draw.choice([[], [], ["--json"]])


PARAMETERS = (  # arguments, and the name in the refusal
    *[(("--epochs", value), "epochs") for value in ("0", "-1", "abc", "1e3", "nan")],
    *[(("--learning-rate", value), "learning_rate") for value in ("nan", "inf", "-1", "0")],
    (("--learning-rate", "x"), "learning-rate"),
    *[(("--seeds", value), "seeds") for value in ("9000000000001", "-1", "1,,2", "0x1", "9" * 5000, "a\nb")],
    *[(("--variants", value), "") for value in ("nonsense", ",", "UNet_NoSkip_256,x", "\x1b[31m")],
    *[(("--weights", value), "weights") for value in ("/gone", "/dev", "/dev/null", "imagenet+fc6", "a\0b")],
    *[(("--precision", value), "precision") for value in ("fp8", "", "FP32")],
    *[(("--jobs", value), "jobs") for value in ("0", "-5", "many")],
    (("--preset", "paper2"), "preset"),
    *[(pair, None) for pair in (
        ("--epochs", "9" * 20), ("--learning-rate", "1e308"), ("--learning-rate", "1e-320"),
        ("--seeds", "0,9000000000000"), ("--jobs", "999999999"), ("--seeds", " 1 , 2 "),
    )],
)  # fmt: skip


def make_report(world: World, draw: random.Random) -> None:
    make_data(world, draw)
    world.arguments = ["report", "--data", *world.arguments, "--preset", "smoke", "--weights", "random"]
    world.arguments += ["--precision", "fp32", "--offline", "--jobs", "1", "--variants", NAMES[0]]
    if draw.random() < 0.4:
        arguments, refused = draw.choice(PARAMETERS)
        world.arguments += arguments
        if refused is not None:  # before or after the data are opened
            sound = world.refused is None and not world.broken
            world.refused, world.broken, world.warned = refused if sound else "", [], []


RUNS = (
    *[(text, None) for text in ("{}", '{"learning_rate": 1e-05}', "seed: 9000000000000", "variant: x")],
    ("seed: -1", "seed"), ("seed: 9000000000001", "seed"), ("seed: 1.0", "seed"), ("seed: [", "YAML"),
    ("sede: 1", "sede"), ("- 1", "names"), ("1: 2", "names"), ("just words", "names"),
    ("epochs: 0", "epochs"), ("learning_rate: .nan", "learning_rate"), ("seed: .inf", "seed"),
    ("preset: [1]", "preset"), ("data: null", "data"), ("? {a: b}\n: c", ""), ("seed: '1'", "seed"),
    ("!!python/object:os.system x", "YAML"),
    ("study: 2024-13-45", "YAML"), ("seed: 2001-01-01", "seed"), ("\x1b[31m: 1", ""),
    ("study: gone\nvariant: x", "gone"), ("a: &a [*a]", ""),
    ("study: 'a\\0b'\nvariant: x", ""), ("epochs: true", "epochs"), ("weights: 3", "weights"),
)  # fmt: skip


def run_notebook(world: World, draw: random.Random) -> None:
    text, world.refused = draw.choice(RUNS)
    given = ["-y", text]
    if draw.random() < 0.5:
        (world.folder / "p.json").write_text(text, encoding="utf-8")
        given = ["-f", str(world.folder / "p.json")]
    source, out = str(world.project / "notebooks" / "train.ipynb"), str(world.folder / "out" / "train.ipynb")
    spoilt = draw.random()
    if spoilt < 0.3:
        source, told = make_chapter(world, draw, draw.choice(["gone", "empty", "text", "folder", "json"]))
        world.refuse(told)
    elif spoilt < 0.4:
        given, world.refused = draw.choice(
            [(["-f", "/gone"], "gone"), (["-f", "/"], ""), (["-f", "/dev/null"], None)]
        )
    elif spoilt < 0.5 and world.refused is None:
        out, world.refused = draw.choice(
            [("/dev/null/x", "/dev/null"), ("/proc/none/x", "/proc/none"), ("/dev", "dev")]
        )
    world.arguments = ["run", source, out, *given]
    if draw.random() < 0.3:
        world.arguments += ["--log", str(world.folder / draw.choice(["log", "logs/ü/log"]))]


DAMAGE: dict[str, bytes | Callable[[Path], object]] = {
    "empty": b"", "text": b"{", "null": b"null", "list": b"[]", "no text": b"\xff\xfe\0", "object": b"{}",
    "deep": b"[" * 100_000, "gone": Path.unlink, "folder": lambda path: (path.unlink(), path.mkdir()),
    "locked": lambda path: path.chmod(0),
}  # fmt: skip
FILES = ("study.json", "grid.json", "cost.json", *(
    f"{NAMES[0]}/seed0/{name}"
    for name in ("done.json", "history.csv", "failed.json", "diverged.json", "provenance.json",
                 "test_confusion.npz", "params.json")
))  # fmt: skip


def spoil_study(world: World, draw: random.Random) -> None:
    """Copy a study and possibly damage one file; a command that needs the file must name it."""
    shutil.copytree(world.base / "study" / "runs", world.project / "runs", dirs_exist_ok=True)
    study = world.project / "runs" / STUDY
    if draw.random() < 0.6:
        path, how = study / draw.choice(FILES), DAMAGE[kind := draw.choice([*DAMAGE])]
        if not path.exists():
            path.write_text("{}")
        path.write_bytes(how) if isinstance(how, bytes) else how(path)
        if path.name == "study.json" and kind not in ("gone", "locked"):
            world.refused = path.name
        else:
            world.fragile.append(f"damaged {path.name}")


STUDIES = (
    ("gone", "gone"),
    ("../x", "x"),
    ("/", ""),
    ("a\0b", r"a\x00b"),
    ("x" * 300, "xxx"),
    ("a\nb", r"a\nb"),
    ("..", ""),
    (STUDY, None),
)


def look_at_status(world: World, draw: random.Random) -> None:
    spoil_study(world, draw)
    world.arguments = ["status", *draw.choice([[], [], ["--json"]])]
    if draw.random() < 0.3:
        named, expected = draw.choice(STUDIES)
        world.refuse(expected)
        world.arguments += [named]


def make_chapter(world: World, draw: random.Random, kind: str) -> tuple[str, str | None]:
    """Write a notebook of this kind; return its path and the name in its refusal."""
    path = world.folder / "chapter.ipynb"
    output = {
        "error": new_output("error", ename="ValueError", evalue="a\nb", traceback=[]),
        "script": new_output("display_data", {"text/html": "<script>1</script>"}),
        "picture": new_output("display_data", {"image/png": "AAAA"}),
        "path": new_output("stream", name="stderr", text="/home/me/x.py:3: UserWarning: told\n"),
        "widget": new_output("display_data", {"application/x-odd": "x"}),
        "bytes": new_output("display_data", {"text/html": "<p>\x1b[31m\0\ud800</p>"}),
    }.get(kind)
    cell = new_code_cell("1", outputs=[output] if output else [], execution_count=1)
    path.write_text(json.dumps(new_notebook(cells=[new_markdown_cell("# A title"), cell])))
    if (how := DAMAGE.get(kind)) is not None:
        path.write_bytes(how) if isinstance(how, bytes) else how(path)
    if kind == "json":
        path.write_text(json.dumps({"cells": 3, "nbformat": 4}))
    return str(path), None if kind in ("sound", "widget", "path") else "chapter"


def export(world: World, draw: random.Random) -> None:
    spoil_study(world, draw)
    kinds = ["sound"] * 6 + [
        "error",
        "script",
        "picture",
        "path",
        "widget",
        "json",
        "gone",
        "empty",
        "folder",
        "deep",
    ]
    chapter, told = make_chapter(world, draw, draw.choice(kinds))
    world.refuse(told)
    world.arguments = ["export", chapter, "--out", str(world.folder / "out" / "index.html"), "--study", STUDY]
    if draw.random() < 0.4:
        option, value, refused = draw.choice(
            [
                *[("--study", *pair) for pair in STUDIES],
                *[("--seeds", value, "seeds") for value in ("x", "-1", "0,,1", "9" * 30)],
                *[("--variants", value, "") for value in ("x", "", "\x1b")],
                *[("--out", value, "") for value in ("/proc/none/x.html", "/dev/null/x", "/dev")],
            ]
        )
        world.arguments += [option, value]
        world.refuse(refused)


MAKERS = (data_check, data_check, make_report, make_report, run_notebook, look_at_status, export)

# ---- machines ---------------------------------------------------------------------------------------

VARIABLES = [
    *[("TZ", value) for value in ("Mars/Phobos", ":bad", "UTC+25", "Asia/Kathmandu")],
    *[("LC_ALL", value) for value in ("C", "xx_YY", "tr_TR.UTF-8")],
    *[("PYTHONIOENCODING", value) for value in ("ascii", "latin-1", "utf-16", "cp437")],
    *[("HOME", value) for value in ("/proc/none", "", "relative", "/dev/null")],
    *[("XDG_CACHE_HOME", value) for value in ("/proc/none", "/dev/null")],
    *[("TMPDIR", value) for value in ("/proc/none", "", "x" * 300)],
    *[("COLUMNS", value) for value in ("0", "1", "abc", "-5", "99999999")],
    *[("PATH", value) for value in ("/proc/none", "")],
    *[("GIT_DIR", value) for value in ("/proc/none", str(CHECKOUT / ".git"))],
    *[("SEGNB_OFFLINE", value) for value in ("", "yes")],
    ("GIT_CEILING_DIRECTORIES", "/"), ("ATEN_CPU_CAPABILITY", "default"), ("ONEDNN_MAX_CPU_ISA", "SSE41"),
    ("ATEN_CPU_CAPABILITY", "nonsense"), ("CUDA_VISIBLE_DEVICES", "nonsense"), ("MPLBACKEND", "nonsense"),
    ("SEGNB_STEP", "1"), ("USER", ""), ("NO_COLOR", "1"), ("SOURCE_DATE_EPOCH", "x"),
    ("MPLCONFIGDIR", "/proc/none"),
]  # fmt: skip


def lack(operation: str, *codes: int) -> Callable[[World, random.Random], None]:
    """Return a change that makes an operation of the file system fail."""
    module = fcntl if operation == "flock" else os

    def change(world: World, draw: random.Random) -> None:
        code, real = draw.choice(codes), getattr(module, operation)

        def no(handle, *rest):
            if operation != "fsync" or os.path.isdir(f"/dev/fd/{handle}"):
                raise OSError(code, os.strerror(code))
            return real(handle, *rest)

        setattr(module, operation, no)

    return change


def read_only(*folders: str) -> Callable[[World, random.Random], None]:
    def change(world: World, draw: random.Random) -> None:
        for name in folders:
            for home, _, _ in os.walk(world.folder / name):
                os.chmod(home, 0o555)  # noqa: S103

    return change


def limit(which: int, *values: int) -> Callable[[World, random.Random], None]:
    return lambda world, draw: resource.setrlimit(which, (value := draw.choice(values), value))


def fold_case(world: World, draw: random.Random) -> None:
    """Ignore the case of names in files that Python opens, as macOS and Windows do."""

    def folded(path):
        if not isinstance(path, str | os.PathLike) or not os.fspath(path) or real_exists(path):
            return path
        home, name = os.path.split(os.fspath(path))
        home = folded(home) if home not in ("", os.sep) else home
        try:
            alike = [one for one in real_list(home or ".") if one.lower() == name.lower()]
        except (OSError, ValueError):
            return path
        return os.path.join(home, alike[0] if alike else name)

    real_list = os.listdir

    def real_exists(path, lstat=os.lstat) -> bool:
        try:
            return bool(lstat(path))
        except (OSError, ValueError):
            return False

    for module, name in (
        (os, "stat"),
        (os, "lstat"),
        (os, "scandir"),
        (os, "open"),
        (os, "mkdir"),
        (io, "open"),
    ):
        real = getattr(module, name)
        fake = lambda path=".", *rest, real=real, **named: real(folded(path), *rest, **named)  # noqa: E731
        setattr(module, name, fake)
    builtins.open = io.open


def disk(kind: str) -> Callable[[World, random.Random], None]:
    def change(world: World, draw: random.Random) -> None:
        fault = Fault(kind, draw.randrange(12))
        Shim(world.folder, world.base / f"{os.getpid()}.shim", fault).install()

    return change


def no_folder(world: World, draw: random.Random) -> None:
    (world.folder / "gone").mkdir()
    os.chdir(world.folder / "gone")
    os.rmdir(world.folder / "gone")


def clock(world: World, draw: random.Random) -> None:
    shift = draw.choice([-1e9, 3e9])
    time.time = lambda real=time.time: real() + shift


ODDITIES: dict[str, Callable[[World, random.Random], object]] = {
    "umask 077": lambda *_: os.umask(0o077),
    "umask 0": lambda *_: os.umask(0),
    "no flock": lack("flock", errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP),
    "no fchmod": lack("fchmod", errno.EPERM, errno.EOPNOTSUPP),
    "no fsync of folders": lack("fsync", errno.EINVAL, errno.EBADF),
    "data read-only": read_only("data"),
    "case-insensitive": fold_case,
    "no working directory": no_folder,
    "no stdin": lambda *_: os.close(0),
    "clock": clock,
}
FRAGILE: dict[str, Callable[[World, random.Random], object]] = {  # after these, a command may give up
    "few file handles": limit(resource.RLIMIT_NOFILE, 16, 64),
    "small files": limit(resource.RLIMIT_FSIZE, 0, 4096),
    "project read-only": read_only("project"),
    "all read-only": read_only("."),
    "umask 777": lambda *_: os.umask(0o777),
    "disk full": disk("disk_full"),
    "disk fails": disk("io_error"),
    "no project": lambda world, _: os.environ.update(SEGNB_ROOT=str(world.folder / "none")),
}


def make_world(seed: int, base: Path) -> World:
    draw = random.Random(seed)
    folder = base / (str(seed) if draw.random() < 0.9 else f"{seed}{'/long' * 10}/{'x' * 200}")
    folder.mkdir(parents=True)
    world = World(folder, base)
    make_project(world.project)
    draw.choice(MAKERS)(world, draw)
    bare = world.arguments[0] not in ("report", "run") and "\0" not in "".join(world.arguments)
    world.process = seed % 40 == 39 and bare
    for _ in range(draw.choice([0, 1, 1, 2])):
        world.oddities.append("=".join(draw.choice(VARIABLES)))
    if draw.random() < 0.5:
        world.oddities.append(draw.choice([*ODDITIES]))
    if draw.random() < 0.2:
        world.fragile.append(draw.choice([*FRAGILE]))
    return world


# ---- running ----------------------------------------------------------------------------------------


def give_up_root() -> None:
    """Drop root's capabilities so that file modes apply to root as well (Linux)."""
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if sys.platform == "linux" and os.geteuid() == 0:
        ctypes.CDLL(None).capset(head, (ctypes.c_uint32 * 6)())


async def begin(*_, **__) -> None:
    raise Done


def live(seed: int, base: Path, pipes: list) -> None:
    """Create a world and its machine, run the command, and exit with its code."""
    world = make_world(seed, base)
    (base / f"{seed}.json").write_text(json.dumps(asdict(world), default=str))
    for handle, pipe in enumerate(pipes, 1):
        os.dup2(pipe.fileno(), handle)
        pipe.close()
    give_up_root()
    os.environ["SEGNB_ROOT"] = str(world.project)
    os.environ |= world.variables
    time.tzset()
    if world.process:
        os.environ["PYTHONPATH"] = str(CHECKOUT)
    draw = random.Random(seed)
    for name in world.oddities + world.fragile:
        (ODDITIES | FRAGILE).get(name, lambda *_: None)(world, draw)
    if world.process:
        os.execv(sys.executable, [sys.executable, "-m", "segnb.cli", *world.arguments])  # noqa: S606
    encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
    sys.stdout = TextIOWrapper(open(1, "wb", closefd=False), encoding)
    sys.stderr = TextIOWrapper(
        open(2, "wb", 0, closefd=False), encoding, "backslashreplace", write_through=True
    )

    def engine(*_) -> None:
        raise Done

    reports._run_engine = engine
    notebook.Kernel.start_kernel = begin
    try:
        code = main(world.arguments)
    except Done:
        code = 0
    sys.exit(code)
