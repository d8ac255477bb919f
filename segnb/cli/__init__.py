"""`segnb COMMAND`: everything in one (`segnb report`), and the single steps that the Snakefile calls."""

import argparse
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from io import TextIOWrapper
from typing import TextIO

from segnb import __version__
from segnb.errors import SegnbError, full_disk_told, refused
from segnb.runtime import processes
from segnb.storage.project import cache_folder

# The module of each command. No other is imported: torch takes seconds, and half of the commands need none.
COMMANDS = {
    **dict.fromkeys(("report", "study", "export"), "report"),
    "run": "run",
    **dict.fromkeys(("measure", "cost", "verify"), "evaluate"),
    **dict.fromkeys(("data", "arrays", "weights", "cache"), "data"),
    "claims": "claims",
    "status": "status",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0, or that of the command. After an error it is 1 (`claims diff` and `verify`: 2), with
        one line on stderr that says what is wrong and what to do.
    """
    # Small matrix products, next to other work: threads that wait for each other take many times as long.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is imported, by a command's module
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        os.getcwd()
    except FileNotFoundError:  # the folder has been removed, and libraries do not load without one
        os.chdir(os.sep)
    for stream in (sys.stdout, sys.stderr):  # a sign that the terminal lacks is told by its number
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with redirect_stdout(_Heard(sys.stdout)), redirect_stderr(_Heard(sys.stderr)):
        try:
            return _run(_parser(arguments).parse_args(arguments))
        finally:
            sys.stdout.flush()


def _run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    try:
        with (
            processes.stoppable(),
            full_disk_told(),
            processes.environment(processes.homes(cache_folder)),
        ):
            return options.command(options) or 0
    except SegnbError as error:
        told = error
    except OSError as error:
        told = refused(error)
        if told is None:
            raise
    except KeyboardInterrupt as stopped:
        if processes.STEP not in os.environ:  # or the report of which it is a step says so
            print("segnb: stopped; run the same command again to resume", file=sys.stderr)
        return 143 if isinstance(stopped, processes.Terminated) else 130
    print(f"segnb: {told}", file=sys.stderr)
    return options.trouble


class _Heard:
    """An output whose reader, such as head, may have seen enough: the command goes on, its code stands."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            return self._unheard(len(text))

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._unheard()

    def _unheard(self, length: int = 0) -> int:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        return length


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    """The parser of the command that the arguments begin with, or of all commands."""
    parser = argparse.ArgumentParser(prog="segnb", description=__doc__)
    parser.add_argument("--version", action="version", version=f"segnb {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    first = arguments[0] if arguments else ""
    every = [] if first == "--version" else dict.fromkeys(COMMANDS.values())
    for module in [COMMANDS[first]] if first in COMMANDS else every:
        import_module(f"segnb.cli.{module}").add_commands(commands)
    return parser
