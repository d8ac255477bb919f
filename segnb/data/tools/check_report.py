"""Result of a data folder's check: findings and counts, as a table for people and as JSON."""

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

SHOWN = 3  # findings per kind in the table; JSON has all
SCHEMA = 1  # of the JSON; increases if a key changes its meaning or is removed
KINDS = {  # {kind of finding: severity}
    "no-split": "error",  # too few pairs for training, validation and test, or a split that is all void
    "no-partner": "error",  # an image without mask, or a mask without image
    "same-name": "error",  # two files of the same frame
    "unreadable": "error",  # empty, truncated, damaged, of another format, or without permission to read
    "wrong-pixels": "error",  # an image that is not 8-bit RGB, or a mask without 8-bit channels
    "size-differs": "error",  # image and mask differ in size
    "unknown-ids": "error",  # ids or colours of no class, or a palette that contradicts its ids
    "other-ids": "error",  # ids that do not fit the layout, see `reading.contradiction`
    "interpolated": "error",  # a mask with values between ids, see `check.soft_share`
    "leaked": "error",  # the same image in two splits
    "nearly-leaked": "warning",  # nearly the same image in two splits, see `check.difference_hash`
    "repeated": "warning",  # the same image several times in a split
    "nearly-repeated": "warning",  # nearly the same image several times in a split
    "no-labels": "warning",  # a mask of void only
    "empty-class": "warning",  # a class without pixels in a split
    "many-sizes": "warning",  # images of several sizes
}


@dataclass(frozen=True)
class Finding:
    """A fault of a data folder.

    Args:
        kind: one of `KINDS`
        files: affected files, the one in the message first
        message: one line with the file or split, the fault and the remedy
    """

    kind: str
    files: tuple[str, ...]
    message: str

    @property
    def severity(self) -> str:
        """ "error" or "warning"."""
        return KINDS[self.kind]


def finding(kind: str, message: str, *files: Path) -> Finding:
    """Make a finding; control codes in its message are escaped."""
    return Finding(kind, tuple(map(str, files)), one_line(message))


@dataclass
class Counts:
    """Counts of the valid files of a split.

    Args:
        pairs: number of pairs, including invalid ones
        sizes: {(width, height): number of images}
        pixels: number of pixels by class id or IGNORE_INDEX, int64 (256,)
        pictures: number of masks with such pixels, int64 (256,)
    """

    pairs: int
    sizes: Counter = field(default_factory=Counter)
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    pictures: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))


@dataclass(frozen=True)
class Report:
    """Result of `check.inspect`.

    Args:
        pairs: by split; under "all" if they cannot be split
        counts: by split
        digest: as `reading.digest` makes it; None if a file cannot be read
        notes: sentences about decisions that the data leave open, and about drives in two splits
    """

    listing: Listing
    pairs: dict[str, list[Pair]]
    counts: dict[str, Counts]
    findings: list[Finding]
    digest: str | None
    notes: list[str] = field(default_factory=list)

    def of(self, severity: str) -> list[Finding]:
        """Return the findings of a severity."""
        return [finding for finding in self.findings if finding.severity == severity]

    @property
    def sound(self) -> bool:
        """Whether there are no errors; warnings do not count."""
        return not self.of("error")

    def json(self) -> str:
        """Return everything as JSON. A class's share is of labelled pixels, void's of all pixels."""
        classes = self.listing.coding.classes
        findings = [{"severity": finding.severity} | asdict(finding) for finding in self.findings]
        content = {
            "schema": SCHEMA,
            "path": str(self.listing.path),
            "layout": self.listing.layout.name,
            "digest": self.digest,
            "notes": self.notes,
            "classes": classes.as_dict(),
            "splits": {split: _split_dict(counts, classes) for split, counts in self.counts.items()},
            "errors": len(self.of("error")),
            "warnings": len(self.of("warning")),
            "findings": findings,
        }
        return to_json(content, indent=2)

    def table(self, width: int = 80) -> str:
        """Return a table for people.

        Args:
            width: characters per line, at least 70; only long file names exceed it
        """
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
    """Return each class's share of the labelled pixels, and last void's share of all pixels, 0 to 1."""
    labelled, void = counts.pixels[: len(classes)], counts.pixels[IGNORE_INDEX]
    total = labelled.sum()
    return [*(labelled / max(total, 1)).tolist(), float(void / max(total + void, 1))]


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def size_list(sizes: Counter) -> str:
    """Return the three most frequent sizes as text, each with its number of images."""
    if len(sizes) == 1:
        return _size(*sizes)
    frequent = [f"{_size(size)} ({n})" for size, n in sizes.most_common(3)]
    return ", ".join([*frequent, f"{len(sizes) - 3} more"] if len(sizes) > 3 else frequent)


def _head(report: Report, width: int) -> list[str]:
    classes = report.listing.coding.classes
    void = " and void" if classes.void else ""
    pairs = sum(counts.pairs for counts in report.counts.values())
    rows = [f"{'split':<8}{'pairs':>8}   image sizes"]
    for split, counts in report.counts.items():
        rows.append(f"{split:<8}{counts.pairs:>8}   {size_list(counts.sizes)}")
    plural = "s" * (pairs != 1)
    summary = f"layout {report.listing.layout.name}, {pairs} pair{plural}, {len(classes)} classes{void}"
    notes = [line for note in report.notes for line in _wrapped(f"note: {note}", report, width, "")]
    return [str(report.listing.path), summary, *notes, "", *rows]


def _class_lines(report: Report) -> list[str]:
    """Return a line per class: its share of the pixels of each split, and the number of its images."""
    classes, counts = report.listing.coding.classes, report.counts.values()
    shares = [_shares(count, classes) for count in counts]
    splits_ = "".join(f"{split:>8}" for split in report.counts)
    wide = max(len(splits_), 21)
    lines = [f"{'':<20}{'% of labelled pixels':>{wide}}  {'images with it':>{wide}}"]
    lines.append(f"{'class':<20}{splits_:>{wide}}  {splits_:>{wide}}")
    rows = [*enumerate(classes.names), *([(IGNORE_INDEX, "void (% of all)")] if classes.void else [])]
    for i, name in rows:
        share = "".join(f"{_percent(part[-1 if i == IGNORE_INDEX else i]):>8}" for part in shares)
        images = "".join(f"{count.pictures[i]:>8}" for count in counts)
        lines.append(f"{name if len(name) < 20 else name[:18] + '…':<20}{share:>{wide}}  {images:>{wide}}")
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:.2f}" if share >= 5e-5 else "<0.01" if share else "0"


def _finding_lines(report: Report, width: int) -> list[str]:
    lines = []
    for kind, group in groupby(report.findings, key=lambda finding: finding.kind):
        findings = list(group)
        lines.append(f"{KINDS[kind]}: {kind}, {len(findings)}")
        for finding in findings[:SHOWN]:
            lines += _wrapped(finding.message, report, width, "  ")
        if len(findings) > SHOWN:
            lines.append(f"  … and {len(findings) - SHOWN} more (--json lists all)")
    if not lines:
        return ["no errors and no warnings" + "; read the notes above" * bool(report.notes)]
    numbers = {severity: len(report.of(severity)) for severity in ("error", "warning")}
    return [*lines, "", " and ".join(f"{n} {severity}{'s' * (n != 1)}" for severity, n in numbers.items())]


def _wrapped(text: str, report: Report, width: int, indent: str) -> list[str]:
    """Return the lines of a message, in which paths are relative to the data folder."""
    text = one_line(text).replace(one_line(f"{report.listing.path}/"), "")
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
