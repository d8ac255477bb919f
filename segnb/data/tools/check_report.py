"""What a check of a data folder found: findings, counts, and both as a table for people and as JSON."""

import textwrap
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from segnb.data.layouts import Listing
from segnb.data.splits import Pair
from segnb.errors import one_line
from segnb.labels import IGNORE_INDEX, ClassMap
from segnb.storage.files import to_json

SHOWN = 3  # findings of one kind in the table; JSON has all
SCHEMA = 1  # of the JSON; goes up when a key changes its meaning or goes away
KINDS = {  # what may be found: how bad it is
    "no-split": "error",  # too few pairs for training, validation and test, or a split that is all void
    "no-partner": "error",  # an image without labels, or labels without image
    "same-name": "error",  # two files that would be the same frame
    "unreadable": "error",  # empty, cut short, damaged, of another format, or not to be read
    "wrong-pixels": "error",  # an image that is not 8-bit RGB, a mask that has no 8-bit channels
    "size-differs": "error",  # image and mask are not of one size
    "unknown-ids": "error",  # ids or colours that stand for no class, or a palette that contradicts its ids
    "other-ids": "error",  # ids that are not those of the layout, see `reading.contradiction`
    "interpolated": "error",  # a mask with ids between ids, see `check.soft_share`
    "leaked": "error",  # one picture in two splits
    "nearly-leaked": "warning",  # nearly one picture in two splits, see `check.difference_hash`
    "repeated": "warning",  # one picture several times in a split
    "nearly-repeated": "warning",  # nearly
    "no-labels": "warning",  # a mask that is nothing but void
    "empty-class": "warning",  # a class that a split does not show
    "many-sizes": "warning",  # images of several sizes
}


@dataclass(frozen=True)
class Finding:
    """kind: one of `KINDS`; files: those it is about, the first one first; message: one line that names the
    file or split, what is wrong, and the remedy."""

    kind: str
    files: tuple[str, ...]
    message: str

    @property
    def severity(self) -> str:
        return KINDS[self.kind]


def finding(kind: str, message: str, *files: Path) -> Finding:
    return Finding(kind, tuple(map(str, files)), one_line(message))


@dataclass
class Counts:
    """What the sound files of one split hold.

    pairs: how many there are, sound or not; sizes: {(width, height): images}
    pixels, pictures: int64 (256,): by class id or IGNORE_INDEX, how many there are and how many show it
    """

    pairs: int
    sizes: Counter = field(default_factory=Counter)
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    pictures: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))


@dataclass(frozen=True)
class Report:
    """What `check.inspect` found.

    pairs: by split; "all" alone where they cannot be split
    digest: as `reading.digest` makes it; None where a file cannot be read
    notes: what was decided for want of a word from the data, and drives on two sides, a sentence each
    """

    listing: Listing
    pairs: dict[str, list[Pair]]
    counts: dict[str, Counts]
    findings: list[Finding]
    digest: str | None
    notes: list[str] = field(default_factory=list)

    def of(self, severity: str) -> list[Finding]:
        return [one for one in self.findings if one.severity == severity]

    @property
    def sound(self) -> bool:
        """Whether there is no error; there may be warnings."""
        return not self.of("error")

    def as_dict(self) -> dict[str, Any]:
        """All that is known, for JSON. Shares are of the labelled pixels, void's is of all."""
        classes = self.listing.coding.classes
        found = [{"severity": one.severity} | asdict(one) for one in self.findings]
        return {
            "schema": SCHEMA,
            "path": str(self.listing.path),
            "layout": self.listing.layout.name,
            "digest": self.digest,
            "notes": self.notes,
            "classes": classes.as_dict(),
            "splits": {split: _split_dict(counts, classes) for split, counts in self.counts.items()},
            "errors": len(self.of("error")),
            "warnings": len(self.of("warning")),
            "findings": found,
        }

    def json(self) -> str:
        return to_json(self.as_dict(), indent=2)

    def table(self, width: int = 80) -> str:
        """For people, in lines of at most `width` characters, 70 or more, but for longer file names."""
        width = max(width, 70)
        lines = [*_head(self, width), "", *_class_lines(self), "", *_finding_lines(self, width)]
        return "\n".join(one_line(line).rstrip() for line in lines)


def _split_dict(counts: Counts, classes: ClassMap) -> dict[str, Any]:
    labelled, void = counts.pixels[: len(classes)], int(counts.pixels[IGNORE_INDEX])
    shares = _shares(counts, classes)
    return {
        "pairs": counts.pairs,
        "sizes": {_size(size): n for size, n in counts.sizes.most_common()},
        "void": {"pixels": void, "share": shares[-1], "pictures": int(counts.pictures[IGNORE_INDEX])},
        "classes": {
            name: {"pixels": int(labelled[i]), "share": shares[i], "pictures": int(counts.pictures[i])}
            for i, name in enumerate(classes.names)
        },
    }


def _shares(counts: Counts, classes: ClassMap) -> list[float]:
    """Of each class among the labelled pixels, and of void among all, 0 to 1."""
    labelled, void = counts.pixels[: len(classes)], counts.pixels[IGNORE_INDEX]
    every = labelled.sum()
    return [*(labelled / max(every, 1)).tolist(), float(void / max(every + void, 1))]


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def size_list(sizes: Counter) -> str:
    """The most frequent ones, each with how often it is there."""
    if len(sizes) == 1:
        return _size(*sizes)
    told = [f"{_size(size)} ({n})" for size, n in sizes.most_common(3)]
    return ", ".join([*told, f"{len(sizes) - 3} more"] if len(sizes) > 3 else told)


def _head(report: Report, width: int) -> list[str]:
    classes = report.listing.coding.classes
    void = " and void" if classes.void else ""
    pairs = sum(one.pairs for one in report.counts.values())
    rows = [f"{'split':<8}{'pairs':>8}   sizes of images"]
    for split, one in report.counts.items():
        rows.append(f"{split:<8}{one.pairs:>8}   {size_list(one.sizes)}")
    plural = "s" * (pairs != 1)
    told = f"layout {report.listing.layout.name}, {pairs} pair{plural}, {len(classes)} classes{void}"
    notes = [line for note in report.notes for line in _wrapped(f"note: {note}", report, width, "")]
    return [str(report.listing.path), told, *notes, "", *rows]


def _class_lines(report: Report) -> list[str]:
    """A line a class: its share of the pixels of each split, and how many pictures show it."""
    classes, counts = report.listing.coding.classes, report.counts.values()
    shares = [_shares(one, classes) for one in counts]
    splits_ = "".join(f"{split:>8}" for split in report.counts)
    wide = max(len(splits_), 21)
    lines = [f"{'':<20}{'% of labelled pixels':>{wide}}  {'pictures with it':>{wide}}"]
    lines.append(f"{'class':<20}{splits_:>{wide}}  {splits_:>{wide}}")
    rows = [*enumerate(classes.names), *([(IGNORE_INDEX, "void (% of all)")] if classes.void else [])]
    for i, name in rows:
        share = "".join(f"{_percent(one[-1 if i == IGNORE_INDEX else i]):>8}" for one in shares)
        pictures = "".join(f"{one.pictures[i]:>8}" for one in counts)
        lines.append(f"{name if len(name) < 20 else name[:18] + '…':<20}{share:>{wide}}  {pictures:>{wide}}")
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:.2f}" if share >= 5e-5 else "<0.01" if share else "0"


def _finding_lines(report: Report, width: int) -> list[str]:
    lines = []
    for kind, found in groupby(report.findings, key=lambda one: one.kind):
        same = list(found)
        lines.append(f"{KINDS[kind]}: {kind}, {len(same)}")
        for one in same[:SHOWN]:
            lines += _wrapped(one.message, report, width, "  ")
        if len(same) > SHOWN:
            lines.append(f"  … and {len(same) - SHOWN} more; --json lists them all")
    many = Counter(one.severity for one in report.findings)
    totals = " and ".join(
        f"{n} {kind}{'s' * (n != 1)}" for kind in ("error", "warning") for n in [many[kind]]
    )
    if lines:
        return [*lines, "", totals]
    return ["nothing is wrong; mind the notes on top" if report.notes else "nothing is wrong"]


def _wrapped(text: str, report: Report, width: int, indent: str) -> list[str]:
    text = one_line(text).replace(one_line(f"{report.listing.path}/"), "")
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
