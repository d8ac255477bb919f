"""The command `segnb`: `segnb report` does everything, other commands are steps of the Snakefile."""

import argparse
import inspect
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import TextIOWrapper
from typing import TextIO

from segnb import __version__
from segnb.errors import SegnbError, full_disk_told, refused
from segnb.params import Params
from segnb.runtime import processes
from segnb.storage import cache_folder

# {group: {command: (module, what it does)}}. The first sentence of each command's own help is the same.
GROUPS = {
    "Train and report": {
        "report": ("report", "Train what is missing and build the report"),
        "study": ("report", "Create a study and print its name"),
        "run": ("run", "Execute a notebook with checked parameters"),
        "measure": ("trained", "Evaluate a finished run on the test images"),
        "cost": ("trained", "Measure the time and memory of networks"),
        "export": ("report", "Join executed chapters into one HTML file"),
    },
    "Use a trained network": {
        "predict": ("trained", "Write a trained network's predictions for your own images"),
        "export-model": ("trained", "Write a trained network to an ONNX file"),
    },
    "Look and check": {
        "status": ("run", "Show progress and failures of a study's runs"),
        "claims": ("claims", "Print the verdict on each claim"),
        "verify": ("trained", "Repeat a finished run and compare it bit for bit"),
    },
    "Data": {
        "data": ("data", "Download, check or prepare a data set"),
        "arrays": ("data", "Cache the images and masks of a study at one size"),
    },
    "Backbone weights and cache": {
        "weights": ("data", "List, download or verify backbone weights"),
        "cache": ("data", "Show the size of cached features, or remove them"),
    },
}
COMMANDS = {name: entry for group in GROUPS.values() for name, entry in group.items()}

DESCRIPTION = """\
Test a student's report on semantic segmentation: train its networks, evaluate
them, and build an HTML report with a verdict on each of its claims."""
EXAMPLES = """\
examples:
  segnb report --preset smoke  check in 1½ minutes that everything works
  segnb report --seeds 0,1,2   train three seeds per network, build the report
  segnb status                 show the progress of the latest study

Run 'segnb COMMAND --help' for the options of a command."""
RUN = "folder of a run, STUDY/VARIANT/seedN, or latest (the run that finished last)"


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0, or the command's own. After an error it is 1 (`claims diff` and `verify`: 2), with
        one line on stderr that says what is wrong and what to do.
    """
    # For small matrix products next to other work, threads of OpenBLAS would mostly wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when a command's module imports NumPy
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        os.getcwd()
    except FileNotFoundError:  # it was removed, and some libraries do not load without a working directory
        os.chdir(os.sep)
    for stream in (sys.stdout, sys.stderr):  # print characters that the terminal lacks as \xNN
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with redirect_stdout(_Pipe(sys.stdout)), redirect_stderr(_Pipe(sys.stderr)):
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()


def _run(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    trouble = 1
    try:
        with processes.stoppable():
            options = _parser(arguments).parse_args(arguments)  # loads the command's module for seconds
            trouble = options.trouble
            with full_disk_told(), processes.environment(processes.homes(cache_folder)):
                return options.command(options) or 0
    except SegnbError as error:
        problem = error
    except OSError as error:
        problem = refused(error)
        if problem is None:
            raise
    except KeyboardInterrupt as interrupt:
        if processes.STEP not in os.environ:  # a step is silent: its report prints this
            print("segnb: interrupted. Run the same command to resume.", file=sys.stderr)
        return 143 if isinstance(interrupt, processes.Terminated) else 130
    print(f"segnb: {problem}", file=sys.stderr)
    return trouble


class _Pipe:
    """An output stream whose reader, such as `head`, may close it without ending the command."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._perhaps_closed():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._perhaps_closed():
            self._stream.flush()

    @contextmanager
    def _perhaps_closed(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:  # discard this output and all that follows
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    """Return the parser of all commands; only the module of the command in `arguments` is imported.

    Importing torch takes seconds, and half of the commands do without it.
    """
    parser = argparse.ArgumentParser(
        prog="segnb",
        usage="segnb COMMAND [OPTION ...]",
        description=_overview(),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"segnb {__version__}")
    name = next((word for word in arguments if not word.startswith("-")), "")
    if name in COMMANDS:
        commands = parser.add_subparsers(required=True, prog="segnb", help=argparse.SUPPRESS)
        (module,) = processes.load([f"segnb.cli.{COMMANDS[name][0]}"])
        module.add_commands(commands)
    else:
        parser.add_argument("COMMAND", choices=COMMANDS, help=argparse.SUPPRESS)
    return parser


def _overview() -> str:
    """Return what segnb does and its commands by group, one line per command."""
    width = max(map(len, COMMANDS))
    blocks = [DESCRIPTION]
    for title, group in GROUPS.items():
        lines = [f"  {name:<{width}}  {line}" for name, (_, line) in group.items()]
        blocks.append("\n".join([f"{title}:", *lines]))
    return "\n\n".join(blocks)


# ---- options and commands, for the modules of this package ----------------------------------------------


def add_command(among, function: Callable, name: str = "", *, trouble: int = 1) -> argparse.ArgumentParser:
    """Add a command that calls `function` with its options.

    Its help is the function's docstring, whose examples come last.

    Args:
        among: subparsers to add it to
        name: of the command, if it is not the function's
        trouble: exit code after an error
    """
    text, _, examples = (inspect.getdoc(function) or "").partition("\n\nExamples:\n")
    paragraphs = text.split("\n\n")
    parser = among.add_parser(
        name or function.__name__,
        help=paragraphs[0].removesuffix("."),
        description="\n\n".join(map(_filled, paragraphs)),
        epilog=examples and f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=function, trouble=trouble)
    return parser


def _filled(paragraph: str) -> str:
    """Wrap a paragraph of help, but not a list, whose lines are indented."""
    return paragraph if "\n  " in paragraph else textwrap.fill(paragraph, 80)


def add_options(parser, params: type[Params], *names: str) -> None:
    """Add one option per field of a set of parameters, or only those of these names."""
    for name in names or params.model_fields:
        field = params.model_fields[name]
        kind = {int | None: int, float | None: float}.get(field.annotation, str)
        default = "from the preset" if field.default is None else field.default
        text = f"{field.description} (default: {default})"
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=field.default, help=text)
