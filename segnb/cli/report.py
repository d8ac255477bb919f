"""`segnb report`, `segnb study` and `segnb export`."""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from segnb.cli.options import add_command, add_report_options, add_study_options
from segnb.errors import SegnbError
from segnb.evaluation.scores import ranking
from segnb.models.pretrained import SOURCES
from segnb.models.registry import parse_variants
from segnb.params import ReportParams, StudyParams, parse_seeds
from segnb.pipeline import resources
from segnb.presets import preset
from segnb.report.report import export_study
from segnb.runtime import processes, warm
from segnb.storage.files import held, write_text
from segnb.storage.project import root, runs_folder
from segnb.study.create import create_study
from segnb.study.study import Study, open_study

# What the steps of a report and the kernels of its notebooks load, besides segnb's rooms.
LOADED = ["torchmetrics", "ipykernel.kernelapp", "matplotlib_inline.backend_inline"]
ROOMS = ("cli", "claims", "evaluation", "models", "report", "training")
GRACE = 8  # seconds for Snakemake and its jobs when they are stopped; others kill after ten


def add_commands(commands) -> None:
    everything = add_command(commands, report)
    add_study_options(everything)
    add_report_options(everything, "variants")
    everything.add_argument("--seeds", help="comma-separated seeds, e.g. 0,1,2 (default: from the preset)")
    everything.add_argument(
        "--jobs", type=int, help="runs side by side, memory permitting (default: as many as fit)"
    )
    everything.add_argument("--offline", action="store_true", help="fetch nothing")
    add_study_options(add_command(commands, study))
    joined = add_command(commands, export)
    joined.add_argument("chapters", nargs="+", help="executed notebooks in the order of the report")
    add_report_options(joined)
    joined.add_argument("--out", default="report/index.html")


def report(options: argparse.Namespace) -> int:
    """Settle the study, let Snakemake do what is missing, and say where the report is."""
    variants = parse_variants(options.variants)
    seeds = parse_seeds(options.seeds) if options.seeds else None
    if options.jobs is not None and options.jobs < 1:
        raise SegnbError(f"jobs {options.jobs}: a whole number from 1 is meant, or none for as many as fit")
    params = StudyParams.from_attributes(options)
    if options.offline:
        os.environ["SEGNB_OFFLINE"] = "1"
    _announce(params, options.offline)
    study = create_study(params)
    seeds = seeds or list(range(study.preset.seeds))
    budget = resources.budget(study, variants, options.jobs)
    os.environ[resources.SHARED] = str(budget.runs_per_gpu)
    print(
        f"study {study.name}: {len(variants)} variants, seeds {seeds}, on {study.machine.device_name}\n"
        f"  {study.machine.threads} thread(s) a run, {budget.jobs} run(s) side by side,"
        f" {study.machine.precision}; trunk weights: {study.weights.source}"
    )
    told = study.warnings
    for warning in told:
        print(f"  warning: {warning}")
    for size in study.sizes():  # before anything is trained, so that a bad file is met first
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
    with warm.started(LOADED + modules()):
        status = _run_engine(engine, lambda: study.ask(variants, seeds))
        new = [warning for warning in study.warnings if warning not in told] if status else []
        if new:  # of what diverged
            print(*(f"  warning: {warning}" for warning in new), sep="\n", flush=True)
            status = _run_engine(engine)  # the others have been trained, and it leaves these out now
    if status:
        raise SegnbError(
            "the report was not finished; the lines above name the step and its log."
            " What is done is kept: the same command goes on from there"
        )
    _print_ranking(study, variants, seeds)
    print(f"\nreport: {root() / 'report' / 'index.html'}")
    return 0


def modules() -> list[str]:
    """Return the names of the modules of segnb that steps load."""
    package = Path(__file__).parents[1]
    files = [file for room in ROOMS for file in sorted((package / room).rglob("[!_]*.py"))]
    return [".".join(file.relative_to(package.parent).with_suffix("").parts) for file in files]


def _run_engine(arguments: list[str], begin: Callable[[], None] = lambda: None) -> int:
    """Exit code of Snakemake, of which only one runs in a project folder at a time, and none without us.

    arguments: a module, which is snakemake, and what it is called with
    begin: is called once nothing is left that refuses the report

    Raises SegnbError if a report is being made in this folder already.
    """
    # Snakemake's own lock outlives a kill and would have to be removed by hand; this one does not.
    with held(runs_folder() / ".lock", "making a report") as lock:
        begin()
        process = subprocess.Popen(
            [sys.executable, "-m", "segnb.runtime.processes", str(os.getpid()), *arguments],
            # What there was to fetch has been fetched: no run shall wait for a network again.
            env=os.environ | {"SEGNB_OFFLINE": "1", processes.STEP: "1"},
            pass_fds=[lock],  # Snakemake holds it too: it is there a moment longer than a killed us
            start_new_session=True,  # out of reach of Ctrl-C; it is stopped from here
        )
        try:
            return process.wait()
        except KeyboardInterrupt:
            # Halted until its jobs have ended, or it would start others and tell of failures.
            process.send_signal(signal.SIGSTOP)
            raise
        finally:
            processes.stop(process, GRACE)


def _announce(params: StudyParams, offline: bool) -> None:
    """Say what is about to be fetched before it is."""
    weights = params.weights or preset(params.preset).weights
    if weights == "random":
        return
    if offline:
        told = "; without weights that are there already the trunk is random" if weights == "auto" else ""
        print(f"OFFLINE: nothing is fetched{told}")
        return
    names = list(SOURCES) if weights == "auto" else [n for n in SOURCES if n == weights.removesuffix("+fc6")]
    if names and all(SOURCES[name].state() == "not fetched" for name in names):
        source = SOURCES[names[0]]
        print(f"trunk weights: {names[0]} is looked for ({source.megabytes} MB to fetch), {source.what}")


def _print_ranking(study: Study, variants: list[str], seeds: list[int]) -> None:
    table = ranking(study.measured(",".join(variants), ",".join(map(str, seeds))))
    print(f"\n{'test mIoU':<30}{'mean':>7}{'seeds':>7}")
    for name, row in table.iterrows():
        print(f"{name:<30}{row.miou:>7.3f}{row.seeds:>7.0f}")


def study(options: argparse.Namespace) -> None:
    """Settle a study and print its name: what a Snakemake call on a cluster needs first."""
    with contextlib.redirect_stdout(sys.stderr):  # what settling has to say; the output is the name alone
        name = create_study(StudyParams.from_attributes(options)).name
    print(name)


def export(options: argparse.Namespace) -> None:
    """Join executed chapters into one HTML file, with the training notebooks and claims.json beside it."""
    params = ReportParams.from_attributes(options)
    out = export_study(params, [Path(path) for path in options.chapters], Path(options.out))
    verdicts = open_study(params.study).claims_path
    if verdicts.exists():
        write_text(out.parent / "claims.json", verdicts.read_text(encoding="utf-8"))
    print(out)
