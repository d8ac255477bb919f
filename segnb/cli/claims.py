"""`segnb claims` and `segnb claims diff`."""

import argparse
from pathlib import Path

from segnb.claims import findings, saved
from segnb.claims.decide import decide
from segnb.claims.verdicts import StudyVerdicts
from segnb.cli.options import add_command, add_report_options
from segnb.storage.files import to_json, write_json, write_text
from segnb.storage.project import root
from segnb.study.study import open_study


def add_commands(commands) -> None:
    judged = add_command(commands, claims)
    add_report_options(judged)
    judged.add_argument("--json", action="store_true", help="print everything as JSON")
    judged.add_argument("--out", help="file to write the JSON to")
    judged.add_argument(
        "--publish",
        nargs="?",
        const="",
        metavar="NAME",
        help="save the verdicts as results/NAME.json and update the table in docs/claims.md and the findings"
        " in README.md (default NAME: PRESET-DATA)",
    )
    compared = add_command(judged.add_subparsers(metavar="diff"), claims_diff, "diff", trouble=2)
    for name in ("a", "b"):
        compared.add_argument(
            name, metavar=name.upper(), help="study, or file such as claims.json or results/….json"
        )
    compared.add_argument(
        "--anyway", action="store_true", help="compare studies with different data or presets as well"
    )


def claims(options: argparse.Namespace) -> None:
    """Print every claim with its verdict, computed from the evaluated runs of a study."""
    verdicts = _verdicts(options.study, options.variants, options.seeds)
    if options.out:
        write_json(Path(options.out), saved.as_dict(verdicts))
    if options.publish is not None:
        name = f"{options.publish or verdicts.preset + '-' + verdicts.data['name']}.json"
        trimmed = saved.from_dict(saved.trimmed(verdicts))
        pages = {
            root() / page: write(_text(root() / page), trimmed, name)
            for page, write in ((saved.CLAIMS_PAGE, saved.in_page), ("README.md", findings.in_readme))
        }
        saved.write(verdicts, root() / "results" / name)
        for page, text in pages.items():
            write_text(page, text)
    print(to_json(saved.as_dict(verdicts), indent=2) if options.json else saved.listing(verdicts))


def claims_diff(options: argparse.Namespace) -> int:
    """Compare the origin, verdicts and effects of two studies.

    Exit code 0: all verdicts are the same. 1: some differ. 2: a study cannot be read, or the two have
    different data or presets.
    """
    both = [
        saved.read(Path(name)) if name.endswith(".json") else _verdicts(name)
        for name in (options.a, options.b)
    ]
    if not options.anyway:
        saved.check_comparable(*both)
    differ, text = saved.differences(*both)
    print(text)
    return int(differ)


def _verdicts(study: str, variants: str = "all", seeds: str = "all") -> StudyVerdicts:
    """Return the verdicts of a study, by name."""
    return decide(open_study(study), variants, seeds)


def _text(page: Path) -> str:
    """Return the text of a page; "" if it does not exist."""
    return page.read_text(encoding="utf-8") if page.exists() else ""
