"""`segnb claims` and `segnb claims diff`."""

import argparse
import re
import sys
from pathlib import Path

from segnb.claims import compare, findings, saved
from segnb.claims.decide import decide
from segnb.claims.verdicts import StudyVerdicts
from segnb.cli import add_command, add_options
from segnb.errors import SegnbError
from segnb.params import ReportParams
from segnb.report.report import PUBLISHED, publish_study
from segnb.storage import root
from segnb.storage.files import to_json, write_json, write_text
from segnb.study.study import open_study


def add_commands(commands) -> None:
    listing = add_command(commands, claims)
    add_options(listing, ReportParams)
    listing.add_argument("--json", action="store_true", help="print JSON, with all numbers")
    listing.add_argument("--out", metavar="FILE", help="file to write the same JSON to")
    listing.add_argument(
        "--publish",
        nargs="?",
        const="",
        metavar="NAME",
        help="store the verdicts in results/NAME.json (default NAME: PRESET-DATA) and update README.md,"
        " docs/claims.md and docs/performance.md, which show the stored study that decides most claims by"
        " today's tests. If that is this study, also store the report in docs/report/",
    )
    comparison = add_command(listing.add_subparsers(metavar="diff"), claims_diff, "diff", trouble=2)
    for name in ("a", "b"):
        comparison.add_argument(
            name, metavar=name.upper(), help="name of a study, or a file: claims.json or results/NAME.json"
        )
    comparison.add_argument("--anyway", action="store_true", help="compare even if data or presets differ")


def claims(options: argparse.Namespace) -> None:
    """Print the verdict on each claim.

    Verdicts are computed from the evaluated runs of a study. Each claim has a line with its verdict, the
    effect that decides, and the number of seeds that a decision needs.

    Examples:
      segnb claims                                    the latest study
      segnb claims --study NAME --json > claims.json  with all numbers
      segnb claims diff NAME results/OTHER.json       compared with a reference study
    """
    verdicts = decide(open_study(options.study), options.variants, options.seeds)
    if options.out:
        write_json(Path(options.out), saved.as_dict(verdicts))
    if options.publish is not None:
        _publish(verdicts, options)
    print(to_json(saved.as_dict(verdicts), indent=2) if options.json else saved.listing(verdicts))


def _publish(verdicts: StudyVerdicts, options: argparse.Namespace) -> None:
    """Store verdicts, and write the pages again for the stored study that decides most claims."""
    stem = options.publish.removesuffix(".json") or f"{verdicts.preset}-{verdicts.data['name']}"
    if not re.fullmatch(r"\w[\w.-]*", stem):
        raise SegnbError(f"invalid name {stem!r} for --publish (expected letters, digits and . _ -)")
    name = f"{stem}.json"
    trimmed = saved.from_dict(saved.trimmed(verdicts))
    file = root() / "results" / name
    if file.exists():
        saved.read(file)  # raises an error for a file with other contents, which stays
    stored = saved.stored() | {name: trimmed}  # without the study that this file contained before
    rivals = saved.references(stored, without=verdicts)
    # If another study decides as many, the published one comes first.
    shown, lead = max(({name: trimmed} | rivals).items(), key=lambda pair: saved.settled(pair[1]))
    others = list(saved.references(stored, without=lead).values())
    new = {
        saved.PERFORMANCE_PAGE: lambda old: saved.in_performance(old, stored),
        saved.CLAIMS_PAGE: lambda old: saved.in_page(saved.in_list(old, stored), lead, shown, others),
        "README.md": lambda old: findings.in_readme(old, lead, shown, others),
    }
    # All before the first is written, because a page may lack its marks.
    pages = {page: text(_text(root() / page)) for page, text in new.items()}
    saved.write(verdicts, file)
    for page, text in pages.items():
        write_text(root() / page, text)
    print(f"updated: {', '.join([f'results/{name}', *pages])}", file=sys.stderr)
    if lead is not trimmed:
        done = f"unchanged, because {lead.study} decides more. The other pages compare the two."
    elif publish_study(ReportParams.from_attributes(options)):
        done = "updated"
    else:
        done = "unchanged, because this study has no report on these networks and seeds."
        done += " Run 'make report' before."
    print(f"{PUBLISHED}: {done}", file=sys.stderr)


def claims_diff(options: argparse.Namespace) -> int:
    """Compare two studies and say whether they agree.

    Two studies agree if no effect differs by more than chance and no claim is supported in one study and
    refuted in the other. The output has the settings, verdicts and effects of both.

    Exit codes:
      0  the studies agree
      1  the studies do not agree
      2  a study cannot be read, or data or presets differ
    """
    both = [
        saved.read(Path(name)) if name.endswith(".json") else decide(open_study(name))
        for name in (options.a, options.b)
    ]
    if not options.anyway:
        compare.check_comparable(*both)
    agree, text = compare.differences(*both)
    print(text)
    return int(not agree)


def _text(page: Path) -> str:
    """Return the text of a page; "" if it does not exist."""
    return page.read_text(encoding="utf-8") if page.exists() else ""
