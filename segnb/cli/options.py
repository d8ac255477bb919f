"""Options that several commands share, and how a command is added."""

import argparse
from collections.abc import Callable

from segnb.params import ReportParams, StudyParams


def add_command(among, function: Callable, name: str = "", *, trouble: int = 1) -> argparse.ArgumentParser:
    """Add a command that calls `function` with its options, described by the function's docstring.

    Args:
        among: subparsers to add it to
        name: of the command, if it is not the function's
        trouble: exit code after an error
    """
    told = function.__doc__ or ""  # python -OO leaves none
    parser = among.add_parser(name or function.__name__, help=told.partition("\n")[0], description=told)
    parser.set_defaults(command=function, trouble=trouble)
    return parser


def add_study_options(parser: argparse.ArgumentParser) -> None:
    """Add one option per field of StudyParams."""
    for name, field in StudyParams.model_fields.items():
        kind = {int | None: int, float | None: float}.get(field.annotation, str)
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=kind, default=field.default, help=field.description)


def add_report_options(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add those options that choose a study, its variants and seeds; all of them if none is named."""
    for name in names or ReportParams.model_fields:
        field = ReportParams.model_fields[name]
        parser.add_argument(f"--{name}", default=field.default, help=field.description)
