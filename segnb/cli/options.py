"""Options that several commands share, and the way a command is added."""

import argparse
import inspect
import textwrap
from collections.abc import Callable

from segnb.cli import SUMMARIES
from segnb.params import ReportParams, StudyParams

WIDTH = 80  # columns of a command's description
RUN = "folder of a run, STUDY/VARIANT/seedN, or latest (the run that finished last)"


def add_command(
    among, function: Callable, name: str = "", *, examples: str = "", trouble: int = 1
) -> argparse.ArgumentParser:
    """Add a command that calls `function` with its options.

    Its help begins with the command's line in `segnb.cli`, because Python has no docstrings under
    -OO.

    Args:
        among: subparsers to add it to
        name: of the command, if it is not the function's
        examples: lines at the end of the help, printed as they are
        trouble: exit code after an error
    """
    first, _, rest = inspect.cleandoc(function.__doc__ or "").partition("\n\n")
    known = SUMMARIES.get(function.__name__.replace("_", " ")) or SUMMARIES.get(name)
    summary = known or first.removesuffix(".")
    paragraphs = [f"{summary}.", *rest.split("\n\n")]
    parser = among.add_parser(
        name or function.__name__,
        help=summary,
        description="\n\n".join(map(_filled, paragraphs)).strip(),
        epilog=examples and "examples:\n" + textwrap.indent(inspect.cleandoc(examples), "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=function, trouble=trouble)
    return parser


def _filled(paragraph: str) -> str:
    """Wrap a paragraph of help, but not a list, whose lines are indented."""
    return paragraph if "\n  " in paragraph else textwrap.fill(paragraph, WIDTH)


def add_study_options(parser: argparse.ArgumentParser) -> None:
    """Add one option per field of StudyParams."""
    group = parser.add_argument_group("study", "Runs are compared only if all of these are the same.")
    for name, field in StudyParams.model_fields.items():
        kind = {int | None: int, float | None: float}.get(field.annotation, str)
        option = f"--{name.replace('_', '-')}"
        default = "from the preset" if field.default is None else field.default
        text = f"{field.description} (default: {default})"
        group.add_argument(option, type=kind, default=field.default, help=text)


def add_report_options(parser, *names: str) -> None:
    """Add the options that choose a study, its variants and its seeds, or only those of these names."""
    for name in names or ReportParams.model_fields:
        field = ReportParams.model_fields[name]
        text = f"{field.description} (default: {field.default})"
        parser.add_argument(f"--{name}", default=field.default, help=text)
