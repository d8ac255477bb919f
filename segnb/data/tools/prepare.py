"""Copies of a data folder in the study's layout, resized or without faulty files.

    prepare("lyft:path/to/data", Path("frames256"), size=256)
    fix(check.look("path/to/data"), Path("cleaned"))

The source is never changed. A copy contains {train,val,test}/{images,labels}/[DRIVE/]NAME.png, a classes.csv
and a prepared.json that names the source. Each file is either complete or absent, and `layouts.look` rejects
the folder until all files exist. If an interrupted call is repeated, it writes only the missing files.
"""

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import PIL

from segnb import __version__
from segnb.data import layouts, masks, reading, splits
from segnb.data.folders import NO_TEST, drives
from segnb.data.layouts import PREPARING, Key, Listing
from segnb.data.pictures import save_png, write_classes
from segnb.data.splits import Pair
from segnb.data.tools import check
from segnb.data.tools.check_report import SCHEMA, Finding, Report
from segnb.errors import SegnbError
from segnb.runtime.pool import progress
from segnb.stats.bootstrap import blocks_of
from segnb.storage.files import atomic_path, held, to_json, write_json, write_text

DONE = "prepared.json"  # replaces PREPARING
LEFT_OUT = "left_out.json"
SMALLEST, LARGEST = 32, 4096  # pixels per side
LONGEST = 200  # bytes of a name; file systems allow 255

Pairs = dict[str, list[Pair]]
Write = Callable[[Pair, Path, Path], None]  # writes a pair to two files


# ---- resized and cleaned copies ---------------------------------------------------------------------


def prepare(
    data: str,
    dest: Path,
    size: int,
    seed: int = 0,
    by: str | None = None,
    counts: dict[str, int] | None = None,
) -> str:
    """Split a data folder and write its frames at `size`×`size` pixels.

    Frames are resized as `reading.read` does for training: images bilinearly, masks by nearest neighbour,
    and a frame that is not square is squeezed into the square. So training at `size` gives the same numbers
    from the copy as from the source, frame by frame and in the same order.

    Args:
        data: the source, which may name its layout as in "lyft:PATH"
        dest: the folder of the copy
        size: pixels per side, 32 to 4096
        seed: of the split
        by: as for `splits.split`; if given, it replaces a split that comes with the data
        counts: the number of frames to keep of each named split, evenly spaced; None keeps all

    Returns:
        A summary, with a line per note.

    Raises:
        SegnbError: if a split has fewer frames than `counts` asks for; as `layouts.look` and `splits.split`
            do; for any error of `check.inspect`, before anything is written; if `dest` contains something
            else, and if writing fails.
    """
    if not SMALLEST <= size <= LARGEST:
        raise SegnbError(
            f"invalid size {size} (expected {SMALLEST} to {LARGEST} pixels per side). Choose another size."
        )
    listing = layouts.look(*layouts.parse(data))
    frames = _unsplit(listing) if by else listing
    pairs = splits.split(frames, seed, by)
    pairs = {split: _evenly(part, split, (counts or {}).get(split)) for split, part in pairs.items()}
    settings = {"command": "prepare", "size": size, "seed": seed, "by": by, "pillow": PIL.__version__}
    settings |= {"counts": counts or None}
    if _begun(dest, listing, settings):
        digest = reading.digest(pairs)
    else:
        report = check.inspect(listing, pairs)
        if errors := report.of("error"):
            total = f"This is 1 of {len(errors)} errors. " if len(errors) > 1 else ""
            raise SegnbError(
                f"{errors[0].message} {total}'segnb data check --json' lists all errors; --fix writes a copy"
                " without the faulty files."
            )
        digest = report.digest  # not None, because all files can be read

    def write(pair: Pair, image: Path, labels: Path) -> None:
        for pixels, file in zip(reading.read(pair, size, listing.coding), (image, labels), strict=True):
            save_png(pixels, file)

    names = _write_all(dest, settings, digest, listing, pairs, write)
    return _summary(dest, frames, pairs, names, f", {size}×{size} pixels")


def fix(report: Report, dest: Path) -> str:
    """Write a copy of a data folder without the errors of its report, and return a summary.

    Images are copied unchanged, masks become one channel of class ids. Pairs with an invalid file are left
    out. If an image is in several splits, it stays in the last one, so training loses it to validation and
    test. left_out.json lists these pairs. Interpolated masks are left out too, because the original class of
    their pixels is unknown.

    Raises:
        SegnbError: for an empty split, ids that do not fit the layout, other files in `dest`, failed writing.
    """
    listing = report.listing
    pairs, left_out = _sound(report)
    settings = {"command": "check --fix"}
    _begun(dest, listing, settings)

    def write(pair: Pair, image: Path, labels: Path) -> None:
        with atomic_path(image) as part:
            shutil.copyfile(pair.image, part)
        save_png(reading.read_labels(pair.label, listing.coding), labels)

    names = _write_all(dest, settings, reading.digest(pairs), listing, pairs, write, left_out)
    return _summary(dest, listing, pairs, names, f"; left out: {len(left_out)} (reasons in its {LEFT_OUT})")


def _evenly(pairs: list[Pair], split: str, count: int | None) -> list[Pair]:
    """Return `count` evenly spaced pairs; all if it is None."""
    if count is None:
        return pairs
    if not 1 <= count <= len(pairs):
        raise SegnbError(
            f"cannot keep {count} pairs of {split} (expected 1 to {len(pairs)}). Choose another number."
        )
    return [pairs[(2 * i + 1) * len(pairs) // (2 * count)] for i in range(count)]


def _summary(dest: Path, listing: Listing, pairs: Pairs, names: dict[str, list[str]], more: str) -> str:
    """Return a line about the copy, and a line per note about the source."""
    numbers = ", ".join(f"{split} {len(part)}" for split, part in pairs.items())
    notes = reading.notes(listing, pairs)
    if not _same_blocks(pairs, names):
        notes.append("In the copy, frames have another order in time, so confidence intervals may differ.")
    return "\nnote: ".join([f"{dest}: pairs: {numbers}{more}", *notes])


def _unsplit(listing: Listing) -> Listing:
    """Return the listing without its split. If names repeat in two splits, each split becomes a drive."""
    keys = listing.images.keys() | listing.labels.keys()
    repeated = len({(key.drive, key.name) for key in keys}) < len(keys)

    def unsplit(files: dict[Key, Path]) -> dict[Key, Path]:
        drive = {key: "/".join(filter(None, (key.split * repeated, key.drive))) for key in files}
        return {Key("", drive[key], key.name): file for key, file in files.items()}

    notes = [note for note in listing.notes if note != NO_TEST]
    return replace(listing, images=unsplit(listing.images), labels=unsplit(listing.labels), notes=notes)


def _sound(report: Report) -> tuple[Pairs, list[dict[str, Any]]]:
    """Return the valid pairs, and files and reasons of the others."""
    reasons: dict[str, list[Finding]] = defaultdict(list)  # by file
    for error in report.of("error"):
        if error.kind in ("no-split", "other-ids"):  # about the whole folder
            raise SegnbError(error.message)
        # The second file of "same-name" stays. "leaked" is decided below.
        for file in {"leaked": (), "same-name": error.files[:1]}.get(error.kind, error.files):
            reasons[file].append(error)
    rank = {
        str(pair.image): rank
        for rank, part in enumerate(report.pairs.values())
        for pair in part
        if not {str(pair.image), str(pair.label)} & reasons.keys()
    }
    for error in report.of("error"):
        if error.kind == "leaked":
            copies = {file: rank[file] for file in error.files if file in rank}
            for file in copies:
                if copies[file] < max(copies.values()):
                    reasons[file].append(error)
    pairs: Pairs = {}
    left_out = []
    for split, part in report.pairs.items():
        pairs[split] = []
        for pair in part:
            files = [str(pair.image), str(pair.label)]
            why = dict.fromkeys(error for file in files for error in reasons.pop(file, []))
            if why:
                left_out.append(_entry(files, why))
            else:
                pairs[split].append(pair)
        if not pairs[split]:
            raise SegnbError(
                f"{report.listing.path}: no valid pair in {split} (expected at least one). Fix some of them."
            )
    left_out += [_entry([file], why) for file, why in reasons.items()]  # files without partner
    return pairs, left_out


def _entry(files: list[str], why: Any) -> dict[str, Any]:
    return {"files": files, "why": [{"kind": error.kind, "message": error.message} for error in why]}


# ---- writing and resuming ---------------------------------------------------------------------------


def _begun(dest: Path, listing: Listing, settings: dict[str, Any]) -> bool:
    """Return whether the folder is a copy with these settings, finished or not.

    Raises:
        SegnbError: if it is a copy with other settings, contains something else, or overlaps the source.
    """
    copy, source = dest.resolve(), listing.path
    if copy.is_relative_to(source) or source.is_relative_to(copy):
        raise SegnbError(
            f"{dest}: overlaps the source {source} (expected a separate folder). Choose another folder."
        )
    if _is_copy(dest, settings):
        return True
    try:
        # A process that is killed at once leaves a temporary file of the marker.
        others = [path for path in dest.iterdir() if PREPARING not in path.name] if dest.exists() else []
    except OSError as error:
        raise SegnbError(f"{dest}: cannot be listed ({error.strerror}). Choose another folder.") from None
    if others:
        raise SegnbError(
            f"{dest}: not empty (expected an empty folder, or an unfinished copy). Choose another folder."
        )
    return False


def _is_copy(dest: Path, settings: dict[str, Any]) -> bool:
    """Return whether the folder has the record of a copy; raise SegnbError if its settings are others."""
    file = next((dest / name for name in (PREPARING, DONE) if (dest / name).exists()), None)
    if file is None:
        return False
    try:
        record = dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise SegnbError(f"{file}: damaged. Remove the folder and prepare it again.") from None
    for name, value in settings.items():
        if record.get(name) != value:
            what = f"{name} {record.get(name)} (expected {value})"
            if name == "source":
                what = "other files, splits or classes (expected those of the source)"
            raise SegnbError(f"{dest}: prepared with {what}. Choose another folder, or remove this one.")
    return True


def _write_all(
    dest: Path,
    settings: dict[str, Any],
    digest: str,
    listing: Listing,
    pairs: Pairs,
    write: Write,
    left_out: list | None = None,
) -> dict[str, list[str]]:
    """Write the missing files of a copy, and last its record; return the files' names."""
    coding, names = listing.coding, _file_names(pairs)
    meaning = repr((coding.values, coding.colours, coding.classes.as_dict()))
    record = settings | {"source": sha256(f"{digest} {meaning}".encode()).hexdigest()[:16]}
    jobs = [(split, *job) for split, part in pairs.items() for job in zip(names[split], part, strict=True)]

    def write_missing(job: tuple[str, str, Pair]) -> None:
        split, name, pair = job
        suffix = ".png" if "size" in record else pair.image.suffix.lower()  # without resizing, a copy
        image, labels = dest / split / "images" / f"{name}{suffix}", dest / split / "labels" / f"{name}.png"
        if not (image.exists() and labels.exists()):  # files are complete, and the marker names their source
            write(pair, image, labels)

    lock = dest.resolve().with_name(f".{dest.resolve().name}.lock")
    try:
        with held(lock, f"preparing {dest}"):
            if _is_copy(dest, record) and not (dest / PREPARING).exists():
                return names
            write_text(dest / PREPARING, to_json(record))  # no data set while it exists
            for _ in progress(reading.several(write_missing, jobs), "preparing", len(jobs), "pair"):
                pass
            write_classes(dest / masks.FILE, coding.classes)
            if left_out is not None:
                write_json(dest / LEFT_OUT, {"schema": SCHEMA, "left_out": left_out})
            counts = {split: len(part) for split, part in pairs.items()}
            source = {"path": str(listing.path), "layout": listing.layout.name}
            write_json(dest / DONE, record | source | {"pairs": counts, "segnb": __version__})
            (dest / PREPARING).unlink()
    except OSError as error:
        raise SegnbError(
            f"{error.filename or dest}: cannot be written ({error.strerror or error}). Free space or grant"
            " permission, then repeat the command to resume."
        ) from None
    return names


def _file_names(pairs: Pairs) -> dict[str, list[str]]:
    """Return DRIVE/NAME of each pair, or NAME, unique in its split (even if case is ignored).

    Sorted names have the order of the pairs, on which training depends. `drives` finds the same drives in
    them and `blocks_of` the same blocks, on which intervals depend. Otherwise drives begin with numbers, and
    so do frames: with one for all that begin alike (F1, F2, …), or with their own.
    """
    order = sorted((pair.name, split) for split, part in pairs.items() for pair in part)
    starts = [re.fullmatch(r"(?:(.*)/)?([^/\d]*).*", name, re.DOTALL).groups("") for name, _ in order]
    found: dict[str, list[str]] = {}
    first = {key: i for i, start in reversed([*enumerate(starts)]) for key in (start, start[0])}
    for of_frames, of_drives in product(range(3), (False, True)):  # which numbers frames and drives get
        keys = []
        for i, (name, split) in enumerate(order):
            drive, _, file = name.rpartition("/")
            if drive:  # a folder a.png would count as an image, and rgb or a_seg as CARLA's
                plain = re.sub(r"\.|(?<=_rgb)$|(?<=_seg)$|(?<=^rgb)$|(?<=^seg)$", "-", drive)
                drive = f"{first[drive]:06}-" * of_drives + _safe(plain, "drive")
            number = ("", f"{first[starts[i]]:06}-", f"{i:06}-")[of_frames]
            keys.append(Key(split, drive, number + _safe(file, "_")))
        names = ["/".join(filter(None, key[1:])) for key in keys]
        copy = {split: [n for k, n in zip(keys, names, strict=True) if k.split == split] for split in pairs}
        lower = {Key(*map(str.lower, key)) for key in keys}
        unique = len(lower) == len(keys) and len({key.drive for key in lower}) == len({*dict(starts)})
        same = names == sorted(names) and drives(keys) == {key: key.drive for key in keys}
        if unique and same:
            found = found or copy
            if _same_blocks(pairs, copy):
                return copy
    return found or copy


def _same_blocks(pairs: Pairs, names: dict[str, list[str]]) -> bool:
    blocks = ((blocks_of([pair.name for pair in pairs[split]]), blocks_of(names[split])) for split in pairs)
    return all((source == copy).all() for source, copy in blocks)


def _safe(name: str, otherwise: str) -> str:
    """Return an ASCII name. What sorts before digits becomes a hyphen: "x (1)" stays before "x (10)"."""
    safe = re.sub(r"[^A-Za-z0-9._-]", lambda match: "-" if match[0] < "0" else "_", name)
    return safe[-LONGEST:].lstrip(".-") or otherwise
