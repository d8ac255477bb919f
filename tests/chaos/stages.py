"""What a report does, in steps as small as they get, each to be run in a process of its own by `perform`.

The steps follow each other in one project folder, which holds two studies: rendered streets, on which an
attention U-Net is trained, and a folder of pictures, on which a frozen FCN is.
"""

import functools
import hashlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import torch
import torchmetrics  # noqa: F401  what segnb imports late is there before processes are forked
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from segnb import params, presets, training
from segnb.claims.decide import decide
from segnb.cli import main
from segnb.data import dataset, shifts, streets
from segnb.errors import SegnbError
from segnb.evaluation import cost, evaluate
from segnb.models.build import build
from segnb.models.registry import VARIANTS
from segnb.pipeline.notebook import run as run_notebook
from segnb.report.report import export_study
from segnb.runtime import pool, processes
from segnb.stats import bootstrap
from segnb.storage import feature_folder, root, runs_folder
from segnb.study import create
from segnb.study.study import Run, Study, open_study
from segnb.training import autotune, feature_cache, loop
from tests.chaos.shim import Fault, Shim
from tests.conftest import narrow_backbone

SIZE, EPOCHS = 48, 3
UNET, FROZEN = "AttentionUNet_256", "FCN8s_vgg16_freeze"
STUDIES = {"streets": UNET, "folder": FROZEN}


# -- the steps -------------------------------------------------------------------------------------------


def asked_for(data: str) -> params.StudyParams:
    place = "streets" if data == "streets" else str(root().parents[1] / "folder")
    return params.StudyParams(preset="smoke", data=place, epochs=EPOCHS, precision="auto")


def study_of(data: str) -> Study:
    return next(study for path in runs_folder().glob(f"smoke-{data}-*") if (study := Study(path)).settings)


def run_of(data: str) -> Run:
    return study_of(data).run(STUDIES[data], 0)


def create_one(data: str) -> None:
    create.create_study(asked_for(data))


def arrays(data: str) -> None:
    for name in ("train", "val", "test"):
        study_of(data).split(name, SIZE)


def shift() -> None:
    study = study_of("streets")
    study.visibility(SIZE)
    for kind in shifts.KINDS:
        study.shifted(kind, SIZE)


def network(data: str) -> torch.nn.Module:
    study = study_of(data)
    kind = VARIANTS[STUDIES[data]]
    study.machine.apply()
    torch.manual_seed(0)
    return build(kind.name, len(study.classes), study.recipe(kind.family).width, study.weights)


def cache_features() -> None:
    study = study_of("folder")
    train = study.split("train", SIZE)
    feature_cache.cached(network("folder"), train, True, feature_folder(), study.machine, 4)


def train(data: str) -> None:
    """As train.ipynb does."""
    run = create.open_run(params.RunParams(**asked_for(data).model_dump(), variant=STUDIES[data], seed=0))
    study, recipe = run.study, run.study.recipe(VARIANTS[run.variant].family)
    splits = study.split("train", SIZE), study.split("val", SIZE)
    model = network(data)
    create.begin_run(run, params.RunParams(**asked_for(data).model_dump(), variant=run.variant, seed=0))
    loop.fit(model, *splits, recipe, 0, run, study.machine, feature_cache=feature_folder())


def command(*arguments: str) -> None:
    if main(list(arguments)):
        raise SegnbError(f"segnb {arguments[0]} has failed")


def chapter(name: str) -> Path:
    """An executed notebook as small as it gets, beside the project."""
    made = root().parent / f"{name}.ipynb"
    cells = [
        new_markdown_cell(f"# {name}"),
        new_code_cell("1", outputs=[new_output("stream", text="1\n")], execution_count=1),
    ]
    if not made.exists():
        nbformat.write(new_notebook(cells=cells), made)
    return made


def executed() -> None:
    """As `segnb run` executes train.ipynb, with a kernel."""
    run_notebook(chapter("training"), run_of("streets").notebook_path, {})


def export() -> None:
    out = root() / "report" / "index.html"
    chapters = [chapter(name) for name in ("one", "two")]
    export_study(params.ReportParams(study=study_of("streets").name), chapters, out)


STAGES: dict[str, Callable[[], None]] = {
    "create": lambda: [create_one(data) for data in STUDIES],
    "read": lambda: arrays("folder"),
    "render": lambda: arrays("streets"),
    "shift": shift,
    "features": cache_features,
    "train-unet": lambda: train("streets"),
    "train-fcn": lambda: train("folder"),
    "measure-unet": lambda: evaluate.measure(run_of("streets")),
    "measure-fcn": lambda: evaluate.measure(run_of("folder")),
    "cost": lambda: command("cost", "--study", study_of("streets").name, "--variants", UNET),
    "claims": lambda: command(
        *("claims", "--study", study_of("streets").name, "--out", str(study_of("streets").claims_path))
    ),
    "notebook": executed,
    "export": export,
}


# -- reading what is there ---------------------------------------------------------------------------------


def look() -> None:
    """Read all that a report reads, and believe nothing that says it is finished."""
    for data, variant in STUDIES.items():
        if not list(runs_folder().glob(f"smoke-{data}-*/study.json")):
            continue
        study = study_of(data)
        run = study.run(variant, 0)
        assert open_study(study.name).asked is None
        assert run.trainer() is None, "a process that is gone is at work"
        assert run.failure is None or run.failure["error"]
        assert len(run.history()) <= EPOCHS
        study.cost()
        for found in study.finished():
            evaluate.load(found)
            assert len(found.history()) == found.summary["epochs"] == EPOCHS
            assert len(found.gradients()), "a finished run without gradients"
        for found in study.measured():
            for read in (found.test, found.predictions, found.predicted, found.boundary, found.objects):
                read()
            if data == "streets":
                found.gates(), found.shifts()
        if study.measured() and study.cost_path.exists():
            decide(study)
    for entry in feature_cache.entries(feature_folder()):
        assert feature_cache._load(entry, network("folder")) is not None, f"{entry} is not whole"


# -- a process that does one ------------------------------------------------------------------------------


def perform(stage: str, project: Path, report: Path, fault: Fault | None = None, workers_too=False) -> None:
    """Do a step in this process, which is there for nothing else, on a disk that fails.

    report: a JSON file, outside of the project, that says what was done: actions (see `Shim`), epochs begun,
            struck by the fault, done, or error: the name of its class, its text and where it came from

    workers_too: scenes are rendered by two processes, as in a report, and not by this one

    Exit code 0, 1 after an error, 3 when it was stopped by a signal.
    """
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # ignored in what a script starts in the background
    os.environ |= {"SEGNB_ROOT": str(project), "SEGNB_OFFLINE": "1", "OPENBLAS_NUM_THREADS": "1"}
    torch.set_num_threads(1)
    sys.stdout = sys.stderr = open(os.devnull, "w")
    shrink(workers_too)
    shim = Shim(project, report, fault)
    epochs: list[int] = []

    def counted(train_one_epoch):
        @functools.wraps(train_one_epoch)
        def one_epoch(*arguments):
            epochs.append(1)
            shim.told["epochs"] = len(epochs)
            shim.phase = f"epoch{len(epochs)}"
            return train_one_epoch(*arguments)

        return one_epoch

    loop.train_one_epoch = counted(loop.train_one_epoch)
    shim.install()
    try:
        with processes.stoppable():
            (look if stage == "look" else STAGES[stage])()
    except KeyboardInterrupt:
        os._exit(3)
    except Exception as error:
        shim.tell(error=type(error).__name__, text=str(error), where=traceback.format_exc().splitlines())
        os._exit(1)
    shim.tell(done=True)


def shrink(workers_too: bool) -> None:
    """Make everything that is computed small: pictures, networks, trials, draws."""
    smoke = presets.PRESETS["smoke"]
    recipes = {family: replace(smoke.recipe(family), size=SIZE) for family in ("fcn", "unet")}
    presets.PRESETS["smoke"] = replace(smoke, train=2, val=1, test=2, **recipes)
    shifts.KINDS = evaluate.KINDS = ("noise",)
    for module in (training, dataset, shifts, streets):
        module.fingerprint = plain_fingerprint
    bootstrap.DRAWS, cost.ROUNDS = 50, 1
    autotune.try_out = lambda *_: {"start": 0.1, "unet": 0.1, "fcn": 0.1}
    feature_cache.SPARE = 0  # the disks that are filled here are smaller than what it leaves free
    pool.usable_cores, pool.WORTH_IT = (lambda: 1 + workers_too), 1
    narrow_backbone(pytest.MonkeyPatch())  # never undone: the process is there for one step


def plain_fingerprint(code: list[str], versions: list[str]) -> str:
    """Of the code as it is: leaving comments out takes as long as an epoch."""
    return hashlib.sha256(repr((code, versions)).encode()).hexdigest()[:16]
