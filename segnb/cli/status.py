"""`segnb status`."""

import argparse

from segnb.cli.options import add_command
from segnb.pipeline.status import look, text

EXAMPLES = """\
segnb status              the latest study
segnb status --json       with all details, for programs
watch segnb status        again every two seconds
"""


def add_commands(commands) -> None:
    parser = add_command(commands, status, examples=EXAMPLES)
    parser.add_argument("name", nargs="?", metavar="STUDY", help="folder name under runs/ (default: latest)")
    parser.add_argument("--study", default="latest", help="the same as STUDY")
    parser.add_argument("--json", action="store_true", help="print JSON, with all details")


def status(options: argparse.Namespace) -> int:
    """Show progress and failures of a study's runs.

    The exit code is 1 if a run failed or diverged.
    """
    grid = look(options.name or options.study)
    print(grid.json() if options.json else text(grid))
    return int(bool(grid.of("failed", "diverged")))
