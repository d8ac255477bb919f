"""`segnb measure`, `cost` and `verify`: what is done with runs that are trained."""

import argparse
from pathlib import Path

from segnb.cli.options import add_command, add_report_options
from segnb.errors import SegnbError
from segnb.evaluation.cost import measure as measure_cost
from segnb.evaluation.evaluate import measure as evaluate_run
from segnb.models.registry import parse_variants
from segnb.pipeline.resources import claimed_for
from segnb.storage.files import write_json
from segnb.study.reproduce import verify as repeat
from segnb.study.study import Run, open_study


def add_commands(commands) -> None:
    evaluated = add_command(commands, measure)
    evaluated.add_argument("run", help="a folder such as runs/STUDY/VARIANT/seed0")
    evaluated.add_argument("--log", type=Path, help="file that its output goes to, named if it fails")
    add_command(commands, verify, trouble=2).add_argument(
        "run", help="a folder such as runs/STUDY/VARIANT/seed0"
    )
    add_report_options(add_command(commands, cost), "study", "variants")


def measure(options: argparse.Namespace) -> None:
    """Test one finished run: its scores, boundaries, objects and, where there are any, gates."""
    run = Run(Path(options.run).resolve())
    if not run.done:
        told = run.diverged["error"] if run.diverged else "train it first ('make report' does)"
        raise SegnbError(f"{run.path} is not a finished run; {told}")
    with run.step("measure", options.log), claimed_for(run.study.machine):
        evaluate_run(run)


def cost(options: argparse.Namespace) -> None:
    """Measure what variants cost, all in one go so that they can be compared."""
    study = open_study(options.study)
    with claimed_for(study.machine):
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
