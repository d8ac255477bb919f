"""`segnb run`, `measure`, `cost` and `verify`: one step of one run, or of all."""

import argparse
import contextlib
import sys
from pathlib import Path

from segnb.cli.options import add_command, add_report_options
from segnb.errors import SegnbError
from segnb.evaluation.cost import measure as measure_cost
from segnb.evaluation.evaluate import measure as evaluate_run
from segnb.models.registry import parse_variants
from segnb.pipeline import notebook, resources
from segnb.storage.files import write_json
from segnb.study.reproduce import verify as repeat
from segnb.study.study import Run, open_study


def add_commands(commands) -> None:
    ran = add_command(commands, run)
    ran.add_argument("notebook", type=Path)
    ran.add_argument("out", type=Path)
    given = ran.add_mutually_exclusive_group(required=True)
    given.add_argument("-f", dest="file", type=Path, metavar="FILE", help="parameters, such as params.json")
    given.add_argument("-y", dest="yaml", metavar="YAML", help="the same as text: 'variants: unet'")
    ran.add_argument("--log", type=Path, help="file for the notebook's output (default: stderr)")
    evaluated = add_command(commands, measure)
    evaluated.add_argument("run", help="a folder such as runs/STUDY/VARIANT/seed0")
    evaluated.add_argument("--log", type=Path, help="file that its output goes to, named if it fails")
    add_command(commands, verify, trouble=2).add_argument(
        "run", help="a folder such as runs/STUDY/VARIANT/seed0"
    )
    add_report_options(add_command(commands, cost), "study", "variants")


def run(options: argparse.Namespace) -> int:
    """Execute a notebook with checked parameters; OUT appears once it is finished.

    A failure is reported in one line, with the last lines of the log. Exit codes: 1 a wrong parameter, 3 a
    cell's exception, 4 out of memory, 5 a dead kernel, 7 a kernel that did not start, 130 and 143 stopped.
    """
    try:
        with _step(options.out.resolve(), options.log):
            parameters = notebook.read_parameters(options.file, options.yaml)
            with _gpu(parameters.get("study") if "variant" in parameters else None):  # of a training
                notebook.run(options.notebook, options.out, parameters, options.log)
    except notebook.Failure as failure:
        last = f"\n{notebook.tail(options.log)}" if options.log else ""
        print(f"segnb: {failure}{last}", file=sys.stderr)  # at once, for others may print there too
        return failure.code
    return 0


def _gpu(study: str | None) -> contextlib.AbstractContextManager:
    """Claim a GPU for what runs inside if the study is on one; see `segnb.pipeline.resources`."""
    if isinstance(study, str) and open_study(study).machine.device == "cuda":
        return resources.claimed()
    return contextlib.nullcontext()


def _step(out: Path, log: Path | None) -> contextlib.AbstractContextManager:
    """Where the notebook is a run's own, its failure is remembered in the run's folder."""
    if out.name == "train.ipynb" and (out.parents[2] / "study.json").exists():
        return Run(out.parent).step("train", log)
    return contextlib.nullcontext()


def measure(options: argparse.Namespace) -> None:
    """Test one finished run: its scores, boundaries, objects and, where there are any, gates."""
    run = Run(Path(options.run).resolve())
    if not run.done:
        raise SegnbError(f"{run.path} is not a finished run; train it first ('make report' does)")
    with run.step("measure", options.log), _gpu(run.study.name):
        evaluate_run(run)


def cost(options: argparse.Namespace) -> None:
    """Measure what variants cost, all in one go so that they can be compared."""
    study = open_study(options.study)
    with _gpu(study.name):
        rows = measure_cost(study, parse_variants(options.variants))
    write_json(study.cost_path, {"machine": study.settings["machine"], "variants": rows})


def verify(options: argparse.Namespace) -> int:
    """Repeat a finished run, and say whether the same comes out, bit for bit.

    Exit code 0: the same. 1: something differs. 2: it could not be repeated.
    """
    same, remarks = repeat(Run(Path(options.run).resolve()))
    for name, is_same in same.items():
        print(f"{name:<22} {'same' if is_same else 'differs'}")
    print(*remarks, sep="\n")
    differ = list(same.values()).count(False)
    print(f"{differ} of {len(same)} files differ" if differ else "the same, bit for bit")
    return int(bool(differ))
