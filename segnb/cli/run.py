"""`segnb run` and `segnb status`, which import no torch: one `segnb run` waits next to each kernel."""

import argparse
import contextlib
import sys
from pathlib import Path

from segnb.cli import add_command
from segnb.pipeline import notebook, resources
from segnb.pipeline.status import look, text
from segnb.study.study import Run, open_study


def add_commands(commands) -> None:
    parser = add_command(commands, run)
    parser.add_argument("notebook", metavar="NOTEBOOK", type=Path, help="notebook to execute")
    parser.add_argument("out", metavar="OUT", type=Path, help="executed notebook, with all outputs")
    parameters = parser.add_mutually_exclusive_group(required=True)
    parameters.add_argument(
        "-f",
        dest="file",
        type=Path,
        metavar="FILE",
        help="JSON or YAML file of parameters, such as params.json",
    )
    parameters.add_argument(
        "-y", dest="yaml", metavar="YAML", help="parameters as text, such as 'variants: unet'"
    )
    parser.add_argument("--log", type=Path, help="file for the notebook's output (default: stderr)")
    parser = add_command(commands, status)
    parser.add_argument(
        "study", nargs="?", default="latest", metavar="STUDY", help="folder under runs/ (default: latest)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with all details")


def run(options: argparse.Namespace) -> int:
    """Execute a notebook with checked parameters.

    OUT appears once all cells are executed. A failure prints one line and the last lines of the log.

    Exit codes:
      1         a parameter is wrong, or OUT cannot be written
      3         a cell raised an exception
      4         a cell ran out of memory
      5         the kernel died
      7         the kernel did not start
      130, 143  interrupted

    Examples:
      segnb run notebooks/train.ipynb out.ipynb -y '{variant: UNet_NoSkip_256, seed: 1}'
      segnb run notebooks/unet.ipynb out.ipynb -y 'variants: unet' --log unet.log
    """
    try:
        with _step(options.out.resolve(), options.log):
            parameters = notebook.read_parameters(options.file, options.yaml)
            trains = isinstance(parameters.get("study"), str) and "variant" in parameters
            with resources.claimed(open_study(parameters["study"]).machine if trains else None):
                notebook.run(options.notebook, options.out, parameters, options.log)
    except notebook.Failure as failure:
        last_lines = f"\n{notebook.tail(options.log)}" if options.log else ""
        # In a single write, because other processes print to the same stderr.
        print(f"segnb: {failure}{last_lines}", file=sys.stderr)
        return failure.code
    return 0


def _step(out: Path, log: Path | None) -> contextlib.AbstractContextManager:
    """Record a failure in the run's folder if the notebook trains a run of a study."""
    if out.name == "train.ipynb" and (out.parent.parent.parent / "study.json").exists():
        return Run(out.parent).step("train", log)
    return contextlib.nullcontext()


def status(options: argparse.Namespace) -> int:
    """Show progress and failures of a study's runs.

    The exit code is 1 if a run failed or diverged.

    Examples:
      segnb status              the latest study
      segnb status --json       with all details, for programs
      watch segnb status        again every two seconds
    """
    grid = look(options.study)
    print(grid.json() if options.json else text(grid))
    return int(bool(grid.of("failed", "diverged")))
