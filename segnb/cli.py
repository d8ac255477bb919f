"""The command line: `segnb report` for everything, and the single steps that the Snakefile calls."""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from segnb import __version__
from segnb.runtime import processes
from segnb.errors import SegnbError
from segnb.errors import FULL
from segnb.storage.locks import held
from segnb.storage.project import root
from segnb.storage.atomic import write_json, write_text
from segnb.params import ReportParams, StudyParams, parse_seeds

GRACE = 8  # seconds for Snakemake and its jobs when they are stopped; others kill after ten


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 1 (`claims_diff`, `verify`: 2) after a line on stderr: what is wrong and what to do."""
    options = _parser().parse_args(arguments)
    try:
        with processes.stoppable():
            return options.command(options) or 0
    except SegnbError as error:
        print(f"segnb: {error}", file=sys.stderr)
        return options.trouble
    except KeyboardInterrupt as stopped:
        print("segnb: stopped; the same command goes on from here", file=sys.stderr)
        return 143 if isinstance(stopped, processes.Terminated) else 130
    except BrokenPipeError:  # who reads, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in FULL:
            raise
        place = error.filename or root()
        print(
            f"segnb: the disk of {place} is full; free some of it, and the same command goes on",
            file=sys.stderr,
        )
        return options.trouble


def report(options: argparse.Namespace) -> int:
    """Settle the study, let Snakemake do what is missing, and say where the report is."""
    from segnb.pipeline import gpus
    from segnb.pipeline import resources
    from segnb.models.registry import parse_variants
    from segnb.study.create import create_study

    variants = parse_variants(options.variants)
    seeds = parse_seeds(options.seeds) if options.seeds else None
    params = _study_params(options)
    if options.offline:
        os.environ["SEGNB_OFFLINE"] = "1"
    _announce(params, options.offline)
    study = create_study(params)
    seeds = seeds or list(range(study.preset.seeds))
    study.ask(variants, seeds)
    budget = resources.budget(study, variants, options.jobs)
    print(
        f"study {study.name}: {len(variants)} variants, seeds {seeds}, on {study.machine.device_name}\n"
        f"  {study.machine.threads} thread(s) a run, {budget.jobs} run(s) side by side,"
        f" {study.machine.precision}; trunk weights: {study.weights.source}"
    )
    os.environ[gpus.SHARED] = str(budget.runs_per_gpu)
    for warning in study.warnings:
        print(f"  warning: {warning}")
    for size in study.sizes():  # before anything is trained, so that a bad file is met first
        for split in study.settled["data"]["counts"]:
            study.split(split, size)
    status = _run_engine(
        [
            *("snakemake", "--nolock"),
            *("--snakefile", str(root() / "Snakefile"), "--directory", str(root())),
            *("--profile", str(root() / "profiles" / "local")),
            *budget.arguments(study.machine.threads),
            "--config",
            f"study={study.name}",
            f"variants={','.join(variants)}",
            f"seeds={','.join(map(str, seeds))}",
        ],
    )
    if status:
        raise SegnbError(
            "the report was not finished; the lines above name the step and its log."
            " What is done is kept: the same command goes on from there"
        )
    _print_ranking(study, variants, seeds)
    print(f"\nreport: {root() / 'report' / 'index.html'}")
    return 0


def _run_engine(arguments: list[str]) -> int:
    """Exit code of Snakemake, of which only one runs in a project folder at a time, and none without us.

    arguments: a module, which is snakemake, and what it is called with

    Raises SegnbError if a report is being made in this folder already.
    """
    from segnb.storage.project import runs_folder

    # Snakemake's own lock outlives a kill and would have to be removed by hand; this one does not.
    with held(runs_folder() / ".lock", "making a report") as lock:
        process = subprocess.Popen(
            [sys.executable, "-m", "segnb.runtime.processes", str(os.getpid()), *arguments],
            # What there was to fetch has been fetched: no run shall wait for a network again.
            env=os.environ | {"SEGNB_OFFLINE": "1"},
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
    from segnb.presets import preset
    from segnb.models.pretrained import SOURCES

    weights = params.weights or preset(params.preset).weights
    if weights == "random":
        return
    if offline:
        told = "; without weights that are there already the trunk is random" if weights == "auto" else ""
        print(f"OFFLINE: nothing is fetched{told}")
        return
    names = list(SOURCES) if weights == "auto" else [n for n in SOURCES if n == weights.removesuffix("+fc6")]
    if any(SOURCES[name].state() != "not fetched" for name in names):
        return
    for name in names[:1]:
        source = SOURCES[name]
        print(f"trunk weights: {name} is looked for ({source.megabytes} MB to fetch), {source.what}")


def _print_ranking(study, variants: list[str], seeds: list[int]) -> None:
    from segnb.evaluation.scores import ranking

    table = ranking(study.measured(",".join(variants), ",".join(map(str, seeds))))
    print(f"\n{'test mIoU':<30}{'mean':>7}{'seeds':>7}")
    for name, row in table.iterrows():
        print(f"{name:<30}{row.miou:>7.3f}{row.seeds:>7.0f}")


def arrays(options: argparse.Namespace) -> None:
    """Make the cached arrays of one size, and all that tests of networks of that size need."""
    from segnb.data import shifts
    from segnb.study.study import open_study

    study = open_study(options.study)
    counts = {name: len(study.split(name, options.size)) for name in ("train", "val", "test")}
    study.visibility(options.size)
    if options.size == study.recipe("unet").size:  # what claim U14 asks of U-Nets
        for kind in shifts.KINDS:
            study.shifted(kind, options.size)
    if options.done:
        write_json(Path(options.done), counts)
    print(f"{study.settled['data']['name']} at {options.size} px: {counts}")


def data_check(options: argparse.Namespace) -> int:
    """Look at every file of a data folder: what is in it, and what is wrong with it; 1 if anything is."""
    from segnb.data.tools import check, prepare

    report = check.look(options.path)
    print(report.json() if options.json else report.table(shutil.get_terminal_size().columns))
    if options.fix:
        print(prepare.fix(report, options.fix), file=sys.stderr)
    return int(not report.sound)  # of the folder itself, of which a cleaned copy says nothing


def data_prepare(options: argparse.Namespace) -> None:
    """Split a data folder and write it at one size in the study's layout; stopped, it goes on from there."""
    from segnb.data.tools.prepare import prepare

    print(prepare(options.path, options.dest, options.size, options.seed, options.by))


def data_get(options: argparse.Namespace) -> None:
    """Fetch a public data set by name, checked by its SHA-256, or list those that there are."""
    from segnb.data.tools import download

    if options.name:
        download.get(options.name, options.destination)
    else:
        print(download.listing())


def run(options: argparse.Namespace) -> int:
    """Execute a notebook with checked parameters; OUT appears once it is finished.

    A failure is reported in one line, with the last lines of the log. Exit codes: 1 a wrong parameter, 3 a
    cell's exception, 4 out of memory, 5 a dead kernel, 7 a kernel that did not start, 130 and 143 stopped.
    """
    from segnb.pipeline import notebook

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
    """Claim a GPU for what runs inside if the study is on one; see `segnb.pipeline.gpus`."""
    from segnb.pipeline import gpus
    from segnb.study.study import open_study

    if isinstance(study, str) and open_study(study).machine.device == "cuda":
        return gpus.claimed()
    return contextlib.nullcontext()


def verify(options: argparse.Namespace) -> int:
    """Repeat a finished run, and say whether the same comes out, bit for bit.

    Exit code 0: the same. 1: something differs. 2: it could not be repeated.
    """
    from segnb.study.study import Run
    from segnb.study.reproduce import verify as repeat

    same, remarks = repeat(Run(Path(options.run).resolve()))
    for name, is_same in same.items():
        print(f"{name:<22} {'same' if is_same else 'differs'}")
    print(*remarks, sep="\n")
    differ = list(same.values()).count(False)
    print(f"{differ} of {len(same)} files differ" if differ else "the same, bit for bit")
    return int(bool(differ))


def _step(out: Path, log: Path | None) -> contextlib.AbstractContextManager:
    """Where the notebook is a run's own, its failure is remembered in the run's folder."""
    if out.name == "train.ipynb" and (out.parents[2] / "study.json").exists():
        from segnb.study.study import Run

        return Run(out.parent).step("train", log)
    return contextlib.nullcontext()


def measure(options: argparse.Namespace) -> None:
    """Test one finished run: its scores, boundaries, objects and, where there are any, gates."""
    from segnb.evaluation.evaluate import measure as measure_run
    from segnb.study.study import Run

    run = Run(Path(options.run).resolve())
    if not run.done:
        raise SegnbError(f"{run.path} is not a finished run; train it first ('make report' does)")
    with run.step("measure", options.log), _gpu(run.study.name):
        measure_run(run)


def cost(options: argparse.Namespace) -> None:
    """Measure what variants cost, all in one go so that they can be compared."""
    from segnb.evaluation.cost import measure as measure_cost
    from segnb.models.registry import parse_variants
    from segnb.study.study import open_study

    study = open_study(options.study)
    with _gpu(study.name):
        rows = measure_cost(study, parse_variants(options.variants))
    write_json(study.cost_path, {"machine": study.settled["machine"], "variants": rows})


def claims(options: argparse.Namespace) -> None:
    """Print every claim with its verdict, computed from the tested runs of a study."""
    found = _verdicts(options.study, options.variants, options.seeds)
    from segnb.claims import saved

    if options.out:
        write_json(Path(options.out), saved.as_dict(found))
    if options.publish is not None:
        name = f"{options.publish or found.preset + '-' + found.data['name']}.json"
        readme = root() / "README.md"
        kept = saved.from_dict(saved.trimmed(found))
        text = saved.in_readme(readme.read_text(), kept, name)
        saved.write(found, root() / "results" / name)
        write_text(readme, text)
    print(json.dumps(saved.as_dict(found), indent=2) if options.json else saved.listing(found))


def claims_diff(options: argparse.Namespace) -> int:
    """Say what differs between the verdicts of two studies: what they were made of, verdicts, effects.

    Exit code 0: every claim has the same verdict in both. 1: some differ. 2: one of the two cannot be read,
    or they are of other data or another preset.
    """
    from segnb.claims import saved

    both = [
        saved.read(Path(one)) if one.endswith(".json") else _verdicts(one) for one in (options.a, options.b)
    ]
    if not options.anyway:
        saved.check_comparable(*both)
    differ, text = saved.differences(*both)
    print(text)
    return int(differ)


def _verdicts(study: str, variants: str = "all", seeds: str = "all"):
    """The verdicts of a study, by name."""
    # Small matrix products, beside other work: threads that wait for each other take many times as long.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from segnb.claims.decide import decide
    from segnb.study.study import open_study

    return decide(open_study(study), variants, seeds)


def status(options: argparse.Namespace) -> int:
    """Say how far the runs of a study are, and what failed; 1 if a run has failed."""
    from segnb.pipeline.status import look, text

    grid = look(options.name or options.study)
    print(grid.json() if options.json else text(grid))
    return int(bool(grid.of("failed")))


def export(options: argparse.Namespace) -> None:
    """Join executed chapters into one HTML file, with the training notebooks and claims.json beside it."""
    from segnb.report.report import export_study
    from segnb.study.study import open_study

    params = ReportParams.check({name: getattr(options, name) for name in ReportParams.model_fields})
    out = export_study(params, [Path(path) for path in options.chapters], Path(options.out))
    verdicts = open_study(params.study).claims_path
    if verdicts.exists():
        write_text(out.parent / "claims.json", verdicts.read_text())
    print(out)


def weights(options: argparse.Namespace) -> int:
    """List the sources of trunk weights, fetch one, or verify what is there."""
    from segnb.models.pretrained import SOURCES, fetch

    if options.name not in (None, *SOURCES):
        raise SegnbError(f"weights {options.name!r} cannot be fetched: choose from {', '.join(SOURCES)}")
    asked = [options.name] if options.name else list(SOURCES)
    if options.action == "fetch":
        asked = [fetch(options.name).source]
    states = {name: SOURCES[name].state() for name in asked}
    for name, state in states.items():
        source = SOURCES[name]
        print(f"{name:<9} {state:<12} {source.megabytes:>4} MB  {source.what}; {source.licence}")
        print(f"{'':<9} {source.file}  SHA-256 {source.sha256[:12]}…")
    bad = {"damaged"} if options.action != "verify" or not options.name else {"damaged", "not fetched"}
    for name in [name for name, state in states.items() if state in bad]:
        print(f"segnb: {name} is {states[name]}: run 'segnb weights fetch {name}'", file=sys.stderr)
    return int(any(state in bad for state in states.values()))


def cache(options: argparse.Namespace) -> None:
    """Say how large the cached features of frozen trunks are, or remove them."""
    from segnb.training import feature_cache
    from segnb.storage.project import feature_cache

    folder = feature_cache()
    if options.clear:
        feature_cache.clear(folder)
    sizes = feature_cache.entries(folder).values()
    print(
        f"{folder}: {len(sizes)} sets of features, {sum(sizes) / 1e6:.1f} MB of at most"
        f" {feature_cache.LIMIT / 1e9:.0f} GB; 'segnb cache --clear' removes them"
    )


def _study_params(options: argparse.Namespace) -> StudyParams:
    return StudyParams.check({name: getattr(options, name) for name in StudyParams.model_fields})


def study(options: argparse.Namespace) -> None:
    """Settle a study and print its name: what a Snakemake call on a cluster needs first."""
    from segnb.study.create import create_study

    with contextlib.redirect_stdout(sys.stderr):  # what settling has to say; the output is the name alone
        name = create_study(_study_params(options)).name
    print(name)


def _first_line(function) -> str:
    return function.__doc__.splitlines()[0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="segnb", description=__doc__)
    parser.add_argument("--version", action="version", version=f"segnb {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function, name: str = "", among=commands, trouble: int = 1) -> argparse.ArgumentParser:
        name = name or function.__name__
        added = among.add_parser(name, help=_first_line(function), description=function.__doc__)
        added.set_defaults(command=function, trouble=trouble)
        return added

    def study_options(added: argparse.ArgumentParser) -> None:
        fields = StudyParams.model_fields
        added.add_argument("--preset", default=fields["preset"].default, help=fields["preset"].description)
        added.add_argument("--data", default=fields["data"].default, help=fields["data"].description)
        added.add_argument("--epochs", type=int, help=fields["epochs"].description)
        added.add_argument("--learning-rate", type=float, help=fields["learning_rate"].description)
        added.add_argument("--weights", help=fields["weights"].description)
        added.add_argument("--precision", help=fields["precision"].description)

    everything = command(report)
    study_options(everything)
    everything.add_argument(
        "--variants", default="all", help='"all", "study", "fcn", "unet" or names with commas'
    )
    everything.add_argument("--seeds", help="whole numbers with commas between; else the preset's")
    everything.add_argument("--jobs", type=int, help="runs side by side if memory allows; else what fits")
    everything.add_argument("--offline", action="store_true", help="fetch nothing")

    study_options(command(study))

    about = "Data sets: fetch public ones, check a folder, make one of the study's layout from it."
    folders = commands.add_parser("data", help=about, description=about)
    ways = folders.add_subparsers(required=True, metavar="get|check|prepare")
    checked = command(data_check, "check", ways)
    checked.add_argument("path", help="a folder, as PATH or as lyft:PATH, which names its layout")
    checked.add_argument("--json", action="store_true", help="print all that is known, as JSON")
    checked.add_argument("--fix", type=Path, metavar="DEST", help="write a copy there without what is wrong")
    prepared = command(data_prepare, "prepare", ways)
    prepared.add_argument("path", help="a folder, as PATH or as lyft:PATH, which names its layout")
    prepared.add_argument("dest", type=Path, help="a folder to be made")
    prepared.add_argument("--size", type=int, required=True, help="pixels a side")
    prepared.add_argument("--seed", type=int, default=0, help="of the split")
    prepared.add_argument(
        "--by", choices=["drives", "blocks", "names"], help="split anew, whatever split the data bring"
    )
    fetched = command(data_get, "get", ways)
    fetched.add_argument("name", nargs="?", help="camvid or lyft-udacity; left out: list them")
    fetched.add_argument("destination", nargs="?", type=Path, help="a folder to be made; else data/NAME")

    cached = command(arrays)
    cached.add_argument("--study", default="latest")
    cached.add_argument("--size", type=int, required=True, help="pixels a side")
    cached.add_argument("--done", help="a file to write when all splits are there")

    ran = command(run)
    ran.add_argument("notebook", type=Path)
    ran.add_argument("out", type=Path)
    given = ran.add_mutually_exclusive_group(required=True)
    given.add_argument("-f", dest="file", type=Path, metavar="FILE", help="parameters, such as params.json")
    given.add_argument("-y", dest="yaml", metavar="YAML", help="the same as text: 'variants: unet'")
    ran.add_argument("--log", type=Path, help="a file for what the notebook prints; else stderr")

    tested = command(measure)
    tested.add_argument("run", help="a folder such as runs/STUDY/VARIANT/seed0")
    tested.add_argument("--log", type=Path, help="the file that its output goes to, to name if it fails")

    command(verify, trouble=2).add_argument("run", help="a folder such as runs/STUDY/VARIANT/seed0")

    costs = command(cost)
    costs.add_argument("--study", default="latest")
    costs.add_argument("--variants", default="all")

    judged = command(claims)
    judged.add_argument("--study", default="latest")
    judged.add_argument("--variants", default="all")
    judged.add_argument("--seeds", default="all")
    judged.add_argument("--json", action="store_true", help="print all that is known, as JSON")
    judged.add_argument("--out", help="a file to write that to as well")
    judged.add_argument(
        "--publish",
        nargs="?",
        const="",
        metavar="NAME",
        help="keep the verdicts in results/NAME.json and put them into README.md's table;"
        " left out, NAME is PRESET-DATA",
    )
    compared = command(claims_diff, "diff", judged.add_subparsers(metavar="diff"), trouble=2)
    for name in ("a", "b"):
        compared.add_argument(
            name, metavar=name.upper(), help="a study, or a file: claims.json, results/….json"
        )
    compared.add_argument("--anyway", action="store_true", help="studies of other data or presets, too")

    seen = command(status)
    seen.add_argument("name", nargs="?", metavar="STUDY", help="a folder name under runs/; else the latest")
    seen.add_argument("--study", default="latest", help="the same")
    seen.add_argument("--json", action="store_true", help="print all that is known, as JSON")

    sources = command(weights)
    sources.add_argument("action", nargs="?", choices=["list", "fetch", "verify"], default="list")
    sources.add_argument(
        "name", nargs="?", help="imagenet or hed; left out: all, or the first that can be had"
    )

    command(cache).add_argument("--clear", action="store_true", help="remove them")

    joined = command(export)
    joined.add_argument("chapters", nargs="+", help="executed notebooks in the order of the report")
    joined.add_argument("--study", default="latest")
    joined.add_argument("--variants", default="all")
    joined.add_argument("--seeds", default="all")
    joined.add_argument("--out", default="report/index.html")
    return parser


if __name__ == "__main__":
    sys.exit(main())
