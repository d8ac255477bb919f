"""`segnb measure`, `segnb cost` and `segnb verify`: commands for finished runs."""

import argparse
import time
from pathlib import Path

from segnb.cli.options import RUN, add_command, add_report_options
from segnb.evaluation.cost import measure as measure_cost
from segnb.evaluation.evaluate import measure as evaluate_run
from segnb.models.registry import parse_variants
from segnb.pipeline.resources import claimed_for, timed_in_parallel
from segnb.storage.files import write_json
from segnb.study.reproduce import verify as repeat
from segnb.study.study import open_run, open_study


def add_commands(commands) -> None:
    evaluation = add_command(commands, measure)
    evaluation.add_argument("run", metavar="RUN", help=RUN)
    evaluation.add_argument(
        "--log", type=Path, help="file with this command's output, which 'segnb status' names after a failure"
    )
    add_command(commands, verify, trouble=2).add_argument("run", metavar="RUN", help=RUN)
    add_report_options(add_command(commands, cost), "study", "variants")


def measure(options: argparse.Namespace) -> None:
    """Evaluate a finished run on the test images.

    Writes scores, boundaries, objects and, for networks that have them, gates and ablations into the run's
    folder.
    """
    run = open_run(options.run)
    with run.step("measure", options.log), claimed_for(run.study.machine):
        evaluate_run(run)


def cost(options: argparse.Namespace) -> None:
    """Measure the time and memory of networks.

    Networks are timed in alternation, so that they can be compared. On a CPU with several threads per run,
    and on a GPU, nothing else should run meanwhile.
    """
    study = open_study(options.study)
    clock = time.process_time if timed_in_parallel(study.machine) else time.perf_counter
    with claimed_for(study.machine):
        rows = measure_cost(study, parse_variants(options.variants), clock)
    write_json(study.cost_path, {"machine": study.settings["machine"], "variants": rows})


def verify(options: argparse.Namespace) -> int:
    """Repeat a finished run and compare it bit for bit.

    Trains and evaluates the run again in a temporary folder, which takes as long as the run did.

    Exit codes:
      0  all files are the same
      1  some files differ
      2  the run could not be repeated
    """
    same, remarks = repeat(open_run(options.run))
    for name, is_same in same.items():
        print(f"{name:<22} {'same' if is_same else 'differs'}")
    print(*remarks, sep="\n")
    differ = list(same.values()).count(False)
    print(f"{differ} of {len(same)} files differ" if differ else "all files are the same, bit for bit")
    return int(bool(differ))
