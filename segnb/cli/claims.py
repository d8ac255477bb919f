"""`segnb claims` and `segnb claims diff`."""

import argparse
from pathlib import Path

from segnb.claims import saved
from segnb.claims.decide import decide
from segnb.claims.verdicts import StudyVerdicts
from segnb.cli.options import add_command, add_report_options
from segnb.storage.files import to_json, write_json, write_text
from segnb.storage.project import root
from segnb.study.study import open_study


def add_commands(commands) -> None:
    judged = add_command(commands, claims)
    add_report_options(judged)
    judged.add_argument("--json", action="store_true", help="print all that is known, as JSON")
    judged.add_argument("--out", help="a file to write that to as well")
    judged.add_argument(
        "--publish",
        nargs="?",
        const="",
        metavar="NAME",
        help="keep the verdicts in results/NAME.json and in README.md's table (default NAME: PRESET-DATA)",
    )
    compared = add_command(judged.add_subparsers(metavar="diff"), claims_diff, "diff", trouble=2)
    for name in ("a", "b"):
        compared.add_argument(
            name, metavar=name.upper(), help="a study, or a file: claims.json, results/….json"
        )
    compared.add_argument("--anyway", action="store_true", help="studies of other data or presets, too")


def claims(options: argparse.Namespace) -> None:
    """Print every claim with its verdict, computed from the evaluated runs of a study."""
    verdicts = _verdicts(options.study, options.variants, options.seeds)
    if options.out:
        write_json(Path(options.out), saved.as_dict(verdicts))
    if options.publish is not None:
        name = f"{options.publish or verdicts.preset + '-' + verdicts.data['name']}.json"
        readme = root() / "README.md"
        trimmed = saved.from_dict(saved.trimmed(verdicts))
        text = saved.in_readme(readme.read_text(encoding="utf-8"), trimmed, name)
        saved.write(verdicts, root() / "results" / name)
        write_text(readme, text)
    print(to_json(saved.as_dict(verdicts), indent=2) if options.json else saved.listing(verdicts))


def claims_diff(options: argparse.Namespace) -> int:
    """Say what differs between the verdicts of two studies: what they were made of, verdicts, effects.

    Exit code 0: every claim has the same verdict in both. 1: some differ. 2: one of the two cannot be read,
    or they are of other data or another preset.
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
    """The verdicts of a study, by name."""
    return decide(open_study(study), variants, seeds)
