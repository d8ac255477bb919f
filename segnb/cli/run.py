"""`segnb run`. It imports no torch: there is one such process next to each kernel."""

import argparse
import contextlib
import sys
from pathlib import Path

from segnb.cli.options import add_command
from segnb.pipeline import notebook, resources
from segnb.study.study import Run, open_study


def add_commands(commands) -> None:
    ran = add_command(commands, run)
    ran.add_argument("notebook", type=Path)
    ran.add_argument("out", type=Path)
    given = ran.add_mutually_exclusive_group(required=True)
    given.add_argument("-f", dest="file", type=Path, metavar="FILE", help="parameters, such as params.json")
    given.add_argument("-y", dest="yaml", metavar="YAML", help="the same as text: 'variants: unet'")
    ran.add_argument("--log", type=Path, help="file for the notebook's output (default: stderr)")


def run(options: argparse.Namespace) -> int:
    """Execute a notebook with checked parameters; OUT appears once it is finished.

    A failure is reported in one line, with the last lines of the log. Exit codes: 1 a wrong parameter, 3 a
    cell's exception, 4 out of memory, 5 a dead kernel, 7 a kernel that did not start, 130 and 143 stopped.
    """
    try:
        with _step(options.out.resolve(), options.log):
            parameters = notebook.read_parameters(options.file, options.yaml)
            trains = isinstance(parameters.get("study"), str) and "variant" in parameters
            with resources.claimed_for(open_study(parameters["study"]).machine if trains else None):
                notebook.run(options.notebook, options.out, parameters, options.log)
    except notebook.Failure as failure:
        last = f"\n{notebook.tail(options.log)}" if options.log else ""
        print(f"segnb: {failure}{last}", file=sys.stderr)  # at once, for others may print there too
        return failure.code
    return 0


def _step(out: Path, log: Path | None) -> contextlib.AbstractContextManager:
    """Where the notebook is a run's own, its failure is remembered in the run's folder."""
    if out.name == "train.ipynb" and (out.parents[2] / "study.json").exists():
        return Run(out.parent).step("train", log)
    return contextlib.nullcontext()
