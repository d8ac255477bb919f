"""`segnb report`, `segnb study` and `segnb export`."""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from segnb.cli import add_command, add_options
from segnb.errors import SegnbError
from segnb.evaluation.scores import ranking
from segnb.models.registry import parse_variants
from segnb.params import ReportParams, StudyParams, parse_seeds
from segnb.pipeline import resources
from segnb.report.text import counted
from segnb.runtime import processes, warm
from segnb.storage import root, runs_folder
from segnb.storage.files import held, write_text
from segnb.study.create import create_study
from segnb.study.study import Study, open_study

# The modules that the steps of a report and the kernels of its notebooks load, in addition to segnb's rooms.
LOADED = ["torchmetrics", "ipykernel.kernelapp", "matplotlib_inline.backend_inline"]
ROOMS = ("cli", "claims", "evaluation", "models", "report", "training")
STUDY = "study", "Runs are compared only if all of these are the same."  # options of that kind
GRACE = 8  # seconds for Snakemake and its jobs to end when interrupted; schedulers kill after ten


def add_commands(commands) -> None:
    everything = add_command(commands, report)
    add_options(everything.add_argument_group(*STUDY), StudyParams)
    runs = everything.add_argument_group("runs")
    add_options(runs, ReportParams, "variants")
    runs.add_argument("--seeds", help="comma-separated seeds, such as 0,1,2 (default: from the preset)")
    runs.add_argument(
        "--jobs", type=int, help="runs in parallel, memory permitting (default: as many as fit)"
    )
    runs.add_argument("--offline", action="store_true", help="download nothing")
    add_options(add_command(commands, study).add_argument_group(*STUDY), StudyParams)
    page = add_command(commands, export)
    page.add_argument(
        "chapters", metavar="CHAPTER", nargs="+", help="executed notebooks, in the order of the report"
    )
    add_options(page, ReportParams)
    page.add_argument("--out", default="report/index.html", help="HTML file (default: report/index.html)")


def report(options: argparse.Namespace) -> int:
    """Train what is missing and build the report.

    The report is report/index.html. You can interrupt the command at any time; run it again to resume.

    Examples:
      segnb report                                preset quick, all networks, seed 0
      segnb report --preset smoke                 check in minutes that everything works
      segnb report --seeds 0,1,2 --variants unet  the U-Nets, three seeds per network
      segnb report --data path/to/folder          your own images and masks
    """
    variants = parse_variants(options.variants)
    seeds = parse_seeds(options.seeds) if options.seeds else None
    if options.jobs is not None and options.jobs < 1:
        raise SegnbError(f"invalid jobs {options.jobs} (expected an integer from 1)")
    params = StudyParams.from_attributes(options)
    if options.offline:
        os.environ["SEGNB_OFFLINE"] = "1"
    study = create_study(params)
    seeds = seeds or list(range(study.preset.seeds))
    budget = resources.budget(study, variants, options.jobs)
    os.environ[resources.JOBS] = str(budget.jobs)
    _describe(study, variants, seeds, budget.jobs)
    warnings = study.warnings
    for warning in warnings:
        print(f"  warning: {warning}")
    for size in study.sizes():  # before any training, so that an unreadable file is reported first
        for split in study.settings["data"]["counts"]:
            study.split(split, size)
    engine = [
        *("snakemake", "--nolock"),
        *("--snakefile", str(root() / "Snakefile"), "--directory", str(root())),
        *("--profile", str(root() / "profiles" / "local")),
        *budget.arguments(study.machine.threads),
        "--config",
        f"study={study.name}",
        f"variants={','.join(variants)}",
        f"seeds={','.join(map(str, seeds))}",
    ]
    # Snakemake's own lock outlives a kill and has to be removed by hand; this one does not.
    with held(runs_folder() / ".lock", "making a report") as lock, warm.started(LOADED + modules()):
        study.ask(variants, seeds)
        status = _run_engine(engine, lock)
        new = [warning for warning in study.warnings if warning not in warnings] if status else []
        if new:  # Runs diverged. All others are trained, and the second call leaves the diverged ones out.
            print(*(f"  warning: {warning}" for warning in new), sep="\n", flush=True)
            status = _run_engine(engine, lock)
    if status:
        raise SegnbError(
            "the report is not finished: a step failed; the lines above name it and its log."
            " Fix the cause, then run the same command to resume."
        )
    _print_ranking(study, variants, seeds)
    print(f"\nreport: {root() / 'report' / 'index.html'}")
    return 0


def modules() -> list[str]:
    """Return the names of the modules of segnb that the steps of a report load."""
    package = Path(__file__).parents[1]
    files = [file for room in ROOMS for file in sorted((package / room).rglob("[!_]*.py"))]
    return [".".join(file.relative_to(package.parent).with_suffix("").parts) for file in files]


def _run_engine(arguments: list[str], lock: int) -> int:
    """Run Snakemake, which ends with this process, and return its exit code.

    Args:
        arguments: a module, which is snakemake, and its arguments
        lock: descriptor of the project's lock; Snakemake holds it too, because it outlives a killed parent by
            a moment
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "segnb.runtime.processes", str(os.getpid()), *arguments],
        # Everything has been downloaded by now: no run waits for the network.
        env=os.environ | {"SEGNB_OFFLINE": "1", processes.STEP: "1"},
        pass_fds=[lock],
        start_new_session=True,  # Ctrl-C does not reach it; it is stopped below
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        # Halt it until its jobs have ended, or it would start others and print failures.
        process.send_signal(signal.SIGSTOP)
        raise
    finally:
        processes.stop(process, GRACE)


def _describe(study: Study, variants: list[str], seeds: list[int], jobs: int) -> None:
    """Print the settings of a report that is about to be built."""
    machine = study.machine
    print(f"study {study.name}")
    print(
        f"  {counted(len(variants), 'network')},"
        f" seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}"
    )
    print(f"  {machine.device_name}, {machine.precision}")
    print(f"  {counted(jobs, 'run')} in parallel, {counted(machine.threads, 'thread')} per run")
    print(f"  backbone weights: {study.weights.source}", flush=True)


def _print_ranking(study: Study, variants: list[str], seeds: list[int]) -> None:
    table = ranking(study.measured(",".join(variants), ",".join(map(str, seeds))))
    print(f"\n{'test mIoU':<30}{'mean':>7}{'seeds':>7}")
    for name, row in table.iterrows():
        print(f"{name:<30}{row.miou:>7.3f}{row.seeds:>7.0f}")


def study(options: argparse.Namespace) -> None:
    """Create a study and print its name.

    Call it once before Snakemake on a cluster. Nothing is created if the study exists.

    Examples:
      STUDY=$(segnb study --preset paper)
      snakemake --profile profiles/slurm --config study=$STUDY variants=unet seeds=0,1
    """
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for the name alone
        name = create_study(StudyParams.from_attributes(options)).name
    print(name)


def export(options: argparse.Namespace) -> None:
    """Join executed chapters into one HTML file.

    claims.json goes into the same folder, and a page per training notebook into its folder training.
    """
    from segnb.report.report import export_study  # imports nbconvert, which `segnb report` does without

    params = ReportParams.from_attributes(options)
    out = export_study(params, [Path(path) for path in options.chapters], Path(options.out))
    verdicts = open_study(params.study).claims_path
    if verdicts.exists():
        write_text(out.parent / "claims.json", verdicts.read_text(encoding="utf-8"))
    print(out)
