"""`segnb status`."""

import argparse

from segnb.cli.options import add_command
from segnb.pipeline.status import look, text


def add_commands(commands) -> None:
    seen = add_command(commands, status)
    seen.add_argument("name", nargs="?", metavar="STUDY", help="a folder under runs/ (default: the latest)")
    seen.add_argument("--study", default="latest", help="the same")
    seen.add_argument("--json", action="store_true", help="print all that is known, as JSON")


def status(options: argparse.Namespace) -> int:
    """Say how far the runs of a study are, and what failed; 1 if a run has failed or diverged."""
    grid = look(options.name or options.study)
    print(grid.json() if options.json else text(grid))
    return int(bool(grid.of("failed", "diverged")))
