"""`segnb COMMAND`: everything in one (`segnb report`), and the single steps that the Snakefile calls."""

import argparse
import os
import sys
from importlib import import_module

from segnb import __version__
from segnb.errors import SegnbError, full_disk_told
from segnb.runtime import processes

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
    options = _parser(arguments).parse_args(arguments)
    try:
        with processes.stoppable(), full_disk_told():
            return options.command(options) or 0
    except SegnbError as error:
        print(f"segnb: {error}", file=sys.stderr)
        return options.trouble
    except KeyboardInterrupt as stopped:
        if processes.STEP not in os.environ:  # or the report of which it is a step says so
            print("segnb: stopped; run the same command again to resume", file=sys.stderr)
        return 143 if isinstance(stopped, processes.Terminated) else 130
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


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
