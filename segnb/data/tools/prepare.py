"""Write a data folder again, in the study's layout: brought to one size, or cleaned.

    prepare("lyft:path/to/data", Path("frames256"), size=256)
    fix(check.look("path/to/data"), Path("cleaned"))

The source is never changed. The copy holds {train,val,test}/{images,labels}/NAME.png, a classes.csv, and
prepared.json, which says what it was made from. Each file is whole or not
there, and until all are there `layouts.look` refuses the folder. The same call again goes on from there.
"""

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image

from segnb import __version__
from segnb.data import layouts, masks, reading, splits
from segnb.data.layouts import PREPARING, Key, Listing
from segnb.data.masks import Coding
from segnb.data.splits import Pair
from segnb.data.tools import check
from segnb.data.tools.check_report import SCHEMA, Finding, Report
from segnb.errors import SegnbError
from segnb.labels import IGNORE_INDEX, ClassMap
from segnb.runtime.pool import progress
from segnb.storage.files import atomic_path, held, to_json, write_json, write_text

DONE = "prepared.json"  # takes the place of PREPARING
LEFT_OUT = "left_out.json"
SMALLEST, LARGEST = 32, 4096  # pixels a side
LONGEST = 200  # bytes of a file name that are kept; file systems bear 255

Pairs = dict[str, list[Pair]]
Write = Callable[[Pair, Path, Path], None]  # a pair to the files that its image and its labels become


# ---- the two ways -----------------------------------------------------------------------------------


def prepare(data: str, dest: Path, size: int, seed: int = 0, by: str | None = None) -> str:
    """Split a data folder and write its frames at `size` × `size` pixels; returns what was done, a sentence.

    seed, by: as for `splits.split`; with `by`, a split that the data bring is given up for a new one

    Images are resized bilinearly and masks by nearest neighbour, and a frame that is not square is squeezed
    whole into the square, just as `reading.read` does when it is trained on: training at `size` gives the
    same numbers from the copy as from the source, frame by frame and in the same order.

    Raises SegnbError as `layouts.look` and `splits.split` do; for whatever `check.inspect` calls an error,
    before anything is written; for a folder that holds anything else, and where writing fails.
    """
    if not SMALLEST <= size <= LARGEST:
        raise SegnbError(f"size: {size} pixels will not do; choose a number from {SMALLEST} to {LARGEST}")
    listing = layouts.look(*layouts.parse(data))
    pairs = splits.split(_unsplit(listing) if by else listing, seed, by)
    settings = {"command": "prepare", "size": size, "seed": seed, "by": by, "pillow": PIL.__version__}
    if _begun(dest, listing, settings):
        source = _source(reading.digest(pairs), listing.coding)
    else:
        report = check.inspect(listing, pairs)
        if errors := report.of("error"):
            more = f" (one of {len(errors)} errors)" if len(errors) > 1 else ""
            raise SegnbError(
                f"{errors[0].message}{more}; 'segnb data check' lists all, and its --fix leaves it out"
            )
        source = _source(report.digest or reading.digest(pairs), listing.coding)

    def write(pair: Pair, image: Path, labels: Path) -> None:
        for pixels, file in zip(reading.read(pair, size, listing.coding), (image, labels), strict=True):
            _save(pixels, file)

    _write_all(dest, settings | {"source": source}, listing, pairs, write)
    return f"{dest}: {_told(pairs)}, {size}×{size} pixels{_notes(listing, pairs)}"


def fix(report: Report, dest: Path) -> str:
    """Write a copy without what `report` calls errors; returns what was done, a sentence.

    Images are copied as they are, masks become one channel of class ids. A pair with an unsound file is left
    out, and so is a picture that a later split has too (the test's are kept, training's go); left_out.json
    lists them. What was interpolated is not mended: which class a pixel had cannot be known.

    Raises SegnbError where a split is left empty, for a folder that holds anything else, and where writing
    fails.
    """
    listing = report.listing
    pairs, left_out = _sound(report)
    settings = {"command": "check --fix"}
    _begun(dest, listing, settings)
    source = _source(reading.digest(pairs), listing.coding)

    def write(pair: Pair, image: Path, labels: Path) -> None:
        with atomic_path(image) as part:
            shutil.copyfile(pair.image, part)
        _save(reading.read_labels(pair.label, listing.coding), labels)

    _write_all(dest, settings | {"source": source}, listing, pairs, write, left_out)
    left = f"{len(left_out)} ({LEFT_OUT} there says what and why)"
    return f"{dest}: {_told(pairs)}; left out: {left}{_notes(listing, pairs)}"


def _told(pairs: Pairs) -> str:
    return "pairs: " + ", ".join(f"{split} {len(part)}" for split, part in pairs.items())


def _notes(listing: Listing, pairs: Pairs) -> str:
    """What a copy keeps of the source's doubts, a line each: its classes.csv and split look certain."""
    return "".join(f"\nnote: {note}" for note in reading.notes(listing, pairs))


def _source(digest: str, told: Coding) -> str:
    """16 hex digits of the files and of what their masks mean."""
    meaning = repr((told.values, told.colours, told.classes.as_dict()))
    return sha256(f"{digest} {meaning}".encode()).hexdigest()[:16]


def _unsplit(listing: Listing) -> Listing:
    """The same without a split; where two splits have frames of one name, each counts as a drive."""
    keys = listing.images.keys() | listing.labels.keys()
    twice = len({(key.drive, key.name) for key in keys}) < len(keys)

    def loose(key: Key) -> Key:
        drive = "/".join(filter(None, (key.split, key.drive))) if twice else key.drive
        return Key("", drive, key.name)

    files = [{loose(key): file for key, file in found.items()} for found in (listing.images, listing.labels)]
    return replace(listing, images=files[0], labels=files[1])


def _sound(report: Report) -> tuple[Pairs, list[dict[str, Any]]]:
    """The pairs that may be trained on, and for the others their files and why they are left out."""
    reasons: dict[str, list[Finding]] = {}  # by file
    for one in report.of("error"):
        if one.kind == "no-split":
            raise SegnbError(one.message)
        # Of a "same-name", the second file is the one that counts; "leaked" is decided below.
        for file in {"leaked": (), "same-name": one.files[:1]}.get(one.kind, one.files):
            reasons.setdefault(file, []).append(one)
    rank = {
        str(pair.image): rank
        for rank, part in enumerate(report.pairs.values())
        for pair in part
        if not {str(pair.image), str(pair.label)} & reasons.keys()
    }
    for one in report.of("error"):
        if one.kind == "leaked":
            there = [file for file in one.files if file in rank]
            last = max((rank[file] for file in there), default=0)
            for file in there:
                if rank[file] < last:
                    reasons.setdefault(file, []).append(one)
    kept: Pairs = {}
    left_out = []
    for split, part in report.pairs.items():
        kept[split] = []
        for pair in part:
            files = [str(pair.image), str(pair.label)]
            why = dict.fromkeys(one for file in files for one in reasons.pop(file, []))
            if why:
                left_out.append(_entry(files, why))
            else:
                kept[split].append(pair)
        if not kept[split]:
            raise SegnbError(
                f"{report.listing.path}: what is wrong leaves no pair of {split}; mend some of it"
            )
    left_out += [_entry([file], why) for file, why in reasons.items()]  # those without partner
    return kept, left_out


def _entry(files: list[str], why: Any) -> dict[str, Any]:
    return {"files": files, "why": [{"kind": one.kind, "message": one.message} for one in why]}


# ---- writing, and going on --------------------------------------------------------------------------


def _begun(dest: Path, listing: Listing, settings: dict[str, Any]) -> bool:
    """Whether the folder is a copy with these settings, begun or finished.

    Raises SegnbError for one with other settings, or that holds something else, or the source.
    """
    here, there = dest.resolve(), listing.path
    if here == there or here in there.parents or there in here.parents:
        raise SegnbError(f"{dest}: the copy and its source {there} lie in each other; choose another folder")
    if _is_copy(dest, settings):
        return True
    try:
        # Killed at its very start it leaves the marker's unfinished file.
        others = [path for path in dest.iterdir() if PREPARING not in path.name] if dest.exists() else []
    except OSError as error:
        raise SegnbError(f"{dest}: cannot be listed ({error.strerror}); choose another folder") from None
    if others:
        raise SegnbError(f"{dest}: is not empty and no copy to go on with; choose another folder")
    return False


def _is_copy(dest: Path, settings: dict[str, Any]) -> bool:
    """Whether there is a record of a copy. Raises SegnbError if it was made with other settings."""
    file = next((dest / name for name in (PREPARING, DONE) if (dest / name).exists()), None)
    if file is None:
        return False
    try:
        record = dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise SegnbError(f"{file}: is damaged; remove the folder and prepare it again") from None
    for name, value in settings.items():
        if record.get(name) != value:
            was = f"{name} {record.get(name)}, and not {value}"
            if name == "source":
                was = "other files, splits or classes than the source has now"
            raise SegnbError(f"{dest}: was prepared with {was}; choose another folder, or remove this one")
    return True


def _write_all(
    dest: Path,
    told: dict[str, Any],
    listing: Listing,
    pairs: Pairs,
    write: Write,
    left_out: list | None = None,
) -> None:
    names = _file_names(pairs)
    jobs = [(split, *job) for split, part in pairs.items() for job in zip(names[split], part, strict=True)]

    def write_missing(job: tuple[str, str, Pair]) -> None:
        split, name, pair = job
        suffix = ".png" if "size" in told else pair.image.suffix.lower()  # at its own size it is copied
        image, labels = dest / split / "images" / f"{name}{suffix}", dest / split / "labels" / f"{name}.png"
        if not (image.exists() and labels.exists()):  # each is whole, and the marker says from what
            write(pair, image, labels)

    lock = dest.resolve().with_name(f".{dest.resolve().name}.lock")
    try:
        with held(lock, f"preparing {dest}"):
            if _is_copy(dest, told) and not (dest / PREPARING).exists():
                return
            write_text(dest / PREPARING, to_json(told))  # until it is gone the folder is no data set
            for _ in progress(reading.several(write_missing, jobs), "preparing", len(jobs), "pair"):
                pass
            for part in [*dest.glob("*/*/.*"), *dest.glob(".*.*")]:  # what a kill left
                part.unlink()
            write_classes(dest / masks.FILE, listing.coding.classes)
            if left_out is not None:
                write_json(dest / LEFT_OUT, {"schema": SCHEMA, "left_out": left_out})
            counts = {split: len(part) for split, part in pairs.items()}
            where = {"path": str(listing.path), "layout": listing.layout.name}
            write_json(dest / DONE, told | where | {"pairs": counts, "segnb": __version__})
            (dest / PREPARING).unlink()
    except OSError as error:
        what = error.filename or dest
        raise SegnbError(
            f"{what}: cannot be written ({error.strerror or error}); make room or allow it, and the same"
            " command goes on"
        ) from None


def _file_names(pairs: Pairs) -> dict[str, list[str]]:
    """A name a pair, unique in its split (also where case does not count) and safe on any file system.

    Sorted they stay in the order of the pairs, on which a training depends; where names alone do not, all
    are numbered.
    """
    plain = {split: [_safe(_short(pair.name)) for pair in part] for split, part in pairs.items()}
    if all(part == sorted(part) and len({*map(str.lower, part)}) == len(part) for part in plain.values()):
        return plain
    return {split: [f"{i:06}-{name}" for i, name in enumerate(names)] for split, names in plain.items()}


def _short(name: str) -> str:
    """Without the drive where the file's own name begins with it."""
    drive, _, file = name.rpartition("/")
    return file if file.startswith(drive) else name


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name.replace("/", "-"))[-LONGEST:].lstrip(".-") or "_"


def _save(pixels: np.ndarray, file: Path) -> None:
    with atomic_path(file) as part:
        # Four times as fast as Pillow's usual level; photographs take a fifteenth more room.
        Image.fromarray(pixels).save(part, format="PNG", compress_level=1)


def write_classes(path: Path, classes: ClassMap) -> None:
    """A classes.csv for masks of one channel of class ids; `read_coding` finds the same label set in it."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(masks.COLUMNS)
    # "no" is written out: a column that is empty throughout would mean what is usual for the names.
    for i, (name, colour) in enumerate(zip(classes.names, classes.colours, strict=True)):
        marks = ["yes" if name in marked else "no" for marked in (classes.thin, classes.things)]
        rows.writerow([i, colour, name, *marks])
    if classes.void:
        rows.writerow([IGNORE_INDEX, "", "void", "", ""])
    write_text(path, text.getvalue())
