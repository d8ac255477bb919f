"""The folders that runs write and reports read: the only code that knows their file names.

    runs/machine.json                     settings of this machine (segnb.machine)
    runs/<study>/study.json               what all runs of the study share
    runs/<study>/cost.json                parameters, FLOPs, seconds and memory by variant
    runs/<study>/claims.json              every claim with its numbers and verdict
    runs/<study>/grid.json                variants and seeds that the last report asked for
    runs/<study>/<variant>/seed<k>/       one run:
        params.json  provenance.json  history.csv  gradients.csv  model.safetensors  done.json  train.ipynb
        last.pt  previous.pt  best-<epoch>.safetensors (while it is trained)
        failed.json (until a step that failed succeeds)  .lock (of the process at work on it)
        predicted.npz  predictions.npz  boundary.npz  objects.npz  test_confusion.npz
        gates.npz (networks with gates)  shift_confusion.npz (U-Nets on rendered scenes)

A run is finished when `done.json` is there, which is written last, and measured when `test_confusion.npz` is,
likewise; nothing else says so.
"""

import hashlib
import io
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from segnb.classes import LABEL_SETS, ClassMap
from segnb.errors import SegnbError, one_line
from segnb.files import (
    UNREADABLE,
    atomic,
    fingerprint,
    held,
    holder,
    iso_now,
    read_json,
    root,
    sha256,
    sweep,
    write_json,
    write_text,
)
from segnb.machine import Machine
from segnb.params import RunParams, StudyParams, parse_seeds
from segnb.presets import FULL_WIDTH, Preset, Recipe, preset
from segnb.provenance import provenance, resumed

if TYPE_CHECKING:  # torch takes seconds to import; a report that only reads files goes without
    from segnb.data.batches import Split
    from segnb.data.sources import Data
    from segnb.weights import Weights

# The code whose change makes the numbers of a run different; that of the data is in the data's digest.
TRAINING_CODE = ("data/batches.py", "machine.py", "models", "features.py", "training.py", "measures.py")

NO_SCORES = (
    "Preset smoke only shows that every part runs. Its networks have learnt next to nothing, so no score and"
    " no verdict here means anything; 'make report' trains preset quick."
)


def runs_folder() -> Path:
    return root() / "runs"


def cache_folder() -> Path:
    return root() / "cache"


def feature_cache() -> Path:
    """Where features of frozen trunks are kept, see `segnb.features`."""
    return cache_folder() / "features"


def code_digest() -> str:
    """16 hex digits over the training code, see `fingerprint`."""
    package = Path(__file__).parent
    files = [f for part in TRAINING_CODE for f in sorted({package / part, *(package / part).glob("*.py")})]
    return fingerprint([file.read_text(encoding="utf-8") for file in files if file.is_file()], [])


@dataclass(frozen=True)
class Study:
    """A study's folder: runs that share data, preset, precision, threads, trunk weights and code."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def settled(self) -> dict:
        """study.json: keys request, preset, data, weights, machine, code, versions."""
        return read_json(self.path / "study.json")

    @property
    def preset(self) -> Preset:
        shared = dict(self.settled["preset"])
        recipes = {family: Recipe(**shared.pop(family)) for family in ("fcn", "unet")}
        return Preset(**shared, **recipes)

    def recipe(self, family: str) -> Recipe:
        """The recipe of "fcn" or "unet" as it is trained here."""
        recipe = self.preset.recipe(family)
        if self.weights.source == "random":
            # A trunk that knows nothing has to learn as fast as the head on top of it.
            recipe = replace(recipe, trunk_learning_rate=recipe.learning_rate)
        return recipe

    @property
    def classes(self) -> ClassMap:
        data = self.settled["data"]
        if "classes" not in data:  # as old versions wrote it
            return LABEL_SETS[data["label_set"]]
        return ClassMap.from_dict(data["classes"])

    @property
    def machine(self) -> Machine:
        return Machine(**{field: self.settled["machine"][field] for field in Machine.__dataclass_fields__})

    @property
    def weights(self) -> "Weights":
        """The trunk's weights, as they were resolved when the study was settled."""
        from segnb.weights import Weights

        found = self.settled["weights"]
        return Weights(found["source"], Path(found["file"]) if found["file"] else None, found["sha256"])

    @cached_property
    def data(self) -> "Data":
        """The data source. Raises SegnbError if it is no longer what the study was settled with."""
        from segnb.data.sources import open_data

        data = open_data(self.settled["request"]["data"], self.preset, cache_folder())
        if data.digest != self.settled["data"]["digest"]:
            raise SegnbError(
                f"the data of study {self.name} has changed since it was settled;"
                " run 'make report' again for a study of the data as it is now"
            )
        return data

    def split(self, name: str, size: int) -> "Split":
        """Images and labels of "train", "val" or "test" at `size` pixels a side."""
        return self.data.split(cache_folder(), name, size)

    def visibility(self, size: int) -> np.ndarray | None:
        """See `segnb.data.shifts.visibility`, for the test split."""
        from segnb.data import shifts

        return shifts.visibility(self.data, cache_folder(), size)

    def shifted(self, kind: str, size: int) -> "Split | None":
        """See `segnb.data.shifts.shifted`."""
        from segnb.data import shifts

        return shifts.shifted(self.data, cache_folder(), kind, size)

    def sizes(self) -> list[int]:
        """The sides, in pixels, at which the study needs its data."""
        return sorted({self.preset.fcn.size, self.preset.unet.size})

    @property
    def warnings(self) -> list[str]:
        """What a reader must know before believing a number; the report repeats each on top."""
        return [*([NO_SCORES] if self.preset.name == "smoke" else []), *self.settled["warnings"]]

    def run(self, variant: str, seed: int) -> "RunDir":
        return RunDir(self.path / variant / f"seed{seed}")

    def ask(self, variants: list[str], seeds: list[int]) -> None:
        """Remember which runs are wanted, for `segnb status`."""
        write_json(self.path / "grid.json", {"variants": variants, "seeds": seeds, "when": iso_now()})

    @property
    def asked(self) -> dict | None:
        """The runs that were wanted last: variants, seeds, when (ISO time). None: never asked for."""
        path = self.path / "grid.json"
        return read_json(path) if path.exists() else None

    def seeds(self) -> list[int]:
        """Seeds of which at least one run is finished."""
        return sorted({int(done.parent.name[4:]) for done in self.path.glob("*/seed*/done.json")})

    def finished(self, variants: str = "all", seeds: str | int = "all") -> list["RunDir"]:
        """Finished runs in the order of the study, those asked for."""
        from segnb.models.variants import parse_variants

        wanted = self.seeds() if seeds == "all" else parse_seeds(seeds)
        runs = [self.run(variant, seed) for variant in parse_variants(variants) for seed in wanted]
        return [run for run in runs if run.done]

    def measured(self, variants: str = "all", seeds: str | int = "all") -> list["RunDir"]:
        """Those of them that have been tested: what a report can show."""
        return [run for run in self.finished(variants, seeds) if run.confusion_path.exists()]

    @property
    def claims_path(self) -> Path:
        """claims.json: every claim with its numbers and verdict, see `segnb.verdicts`."""
        return self.path / "claims.json"

    @property
    def cost_path(self) -> Path:
        return self.path / "cost.json"

    def cost(self) -> pd.DataFrame:
        """One row a variant (index), columns as `segnb.cost.measure` gives them; empty if not measured."""
        if not self.cost_path.exists():
            return pd.DataFrame()
        return pd.DataFrame.from_dict(read_json(self.cost_path)["variants"], orient="index")


def open_study(name: str = "latest") -> Study:
    """The study of that folder name, or the one settled last. Raises SegnbError if there is none."""
    found = sorted(runs_folder().glob("*/study.json"), key=lambda path: path.stat().st_mtime)
    if name == "latest":
        if not found:
            raise SegnbError(
                "there is no study in runs/ yet; run 'make report' or notebooks/train.ipynb first"
            )
        return Study(found[-1].parent)
    if not (runs_folder() / name / "study.json").exists():
        choices = ", ".join(path.parent.name for path in found) or "none yet; run 'make report' first"
        raise SegnbError(f"study {name!r} is not in runs/; choose from {choices}")
    return Study(runs_folder() / name)


def settle(params: StudyParams, known: Machine | None = None) -> Study:
    """The study of these parameters on this machine; its study.json is written on the first call.

    known: settings to take as they are: a job on a cluster has fewer cores than where its study was settled

    Looks for (and, unless SEGNB_OFFLINE=1, fetches) the trunk weights, and tries out the precision
    if this machine has not done so yet.
    """
    import torch

    from segnb import machine
    from segnb.data.layouts import parse
    from segnb.data.sources import open_data
    from segnb.models.vgg16 import load_trunk
    from segnb.weights import resolve_weights

    chosen = preset(params.preset).override(params.epochs, params.learning_rate)
    data = open_data(params.data, chosen, cache_folder())
    asked = params.weights or chosen.weights
    if asked.endswith("+fc6") and chosen.fcn.width != FULL_WIDTH:
        raise SegnbError(
            f"weights={asked!r} need an FCN head of full width, which preset {chosen.name} does not"
            " have: use preset paper, or weights without +fc6"
        )
    weights = resolve_weights(asked, os.environ.get("SEGNB_OFFLINE") == "1")
    if weights.is_users:
        load_trunk(weights)  # somebody's own file is looked into before anything is trained
    settings = known or machine.settle(runs_folder(), chosen, params.precision or chosen.precision)
    identity = {
        "preset": chosen.as_dict(),
        "data": data.digest,
        "weights": {"source": weights.source, "sha256": weights.sha256},
        "machine": {key: value for key, value in asdict(settings).items() if key != "device_name"},
        "code": code_digest(),
        "versions": {name: version(name) for name in ("torch", "torchvision", "numpy")},
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    study = Study(runs_folder() / f"{params.preset}-{data.name}-{digest}")
    path = study.path / "study.json"
    request = params.model_dump()
    if data.view is None:  # a folder
        place, named = parse(params.data)
        request["data"] = f"{named}:{place.resolve()}" if named else str(place.resolve())
    if weights.is_users:
        request["weights"] = str(weights.file)
    # Written anew each time: "latest" is the study settled last, and a folder of data, or of weights, may
    # have moved since, which does not make it another study. What was warned of at first stays true.
    warnings = [weights.warning] if weights.warning else []
    if path.exists():
        warnings = study.settled["warnings"] or warnings
    write_json(
        path,
        identity
        | {
            "request": request,
            "data": {
                "name": data.name,
                "origin": data.origin,
                "label_set": data.classes.key,
                "classes": data.classes.as_dict(),
                "digest": data.digest,
                "counts": data.counts,
            },
            "weights": {
                "source": weights.source,
                "sha256": weights.sha256,
                "file": str(weights.file) if weights.file else None,
            },
            "machine": asdict(settings) | {"system": platform.platform(), "torch": torch.__version__},
            "warnings": warnings,
        },
    )
    return Study(study.path)  # read anew


@dataclass(frozen=True)
class RunDir:
    """One training's folder: <study>/<variant>/seed<k>/."""

    path: Path

    @property
    def variant(self) -> str:
        return self.path.parent.name

    @property
    def seed(self) -> int:
        return int(self.path.name.removeprefix("seed"))

    @property
    def study(self) -> Study:
        return Study(self.path.parents[1])

    @property
    def recipe(self) -> Recipe:
        """How a network of its family is trained in the study."""
        from segnb.models.variants import VARIANTS

        return self.study.recipe(VARIANTS[self.variant].family)

    # -- while training ------------------------------------------------------------------------------
    @property
    def last_path(self) -> Path:
        """State after the last epoch; see `segnb.checkpoint.Progress`, which writes these."""
        return self.path / "last.pt"

    @property
    def previous_path(self) -> Path:
        """State after the epoch before."""
        return self.path / "previous.pt"

    def best_path(self, epoch: int) -> Path:
        """Weights of an epoch that was the best until then."""
        return self.path / f"best-{epoch}.safetensors"

    def best_paths(self) -> list[Path]:
        """Those that are there."""
        return sorted(self.path.glob("best-*.safetensors"))

    @property
    def model_path(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def notebook_path(self) -> Path:
        return self.path / "train.ipynb"

    def begin(self, params: RunParams) -> None:
        """Write what the run is and where it comes from; one that goes on elsewhere adds that to it."""
        path = self.path / "provenance.json"
        if not path.exists():
            write_json(self.path / "params.json", params.model_dump())
            write_json(path, provenance(self.study))
        elif not self.done:
            write_json(path, resumed(read_json(path)))

    def write_history(self, rows: list[dict]) -> None:
        write_text(self.history_path, pd.DataFrame(rows).to_csv(index=False))

    def write_gradients(self, rows: list[dict]) -> None:
        write_text(self.gradients_path, pd.DataFrame(rows).to_csv(index=False))

    def finish(self, summary: dict) -> None:
        """Mark the run as finished; nothing is written to it by training afterwards."""
        written = [path for path in (self.history_path, self.gradients_path) if path.exists()]
        tables = {path.name: sha256(path) for path in written}
        told = {"model_sha256": sha256(self.model_path), "tables": tables}
        write_json(self.path / "done.json", summary | told)
        self.tidy()

    def tidy(self) -> None:
        """Remove what a finished run was to go on from: optimiser state is twice as large as the network."""
        for path in (self.last_path, self.previous_path, *self.best_paths()):
            path.unlink(missing_ok=True)

    # -- who is at work on it, and what went wrong -------------------------------------------------------
    @property
    def lock_path(self) -> Path:
        return self.path / ".lock"

    @contextmanager
    def at_work(self, doing: str) -> Iterator[None]:
        """One process at a time, training or testing; what killed ones left is removed first.

        doing: "training" or "testing"

        Raises SegnbError if another process is at work on this run.
        """
        with held(self.lock_path, f"{doing} {self.variant}, seed {self.seed}"):
            sweep(self.path)
            yield

    def trainer(self) -> dict | None:
        """The process at work on this run: pid, host, since, what ("training …", "testing …"); or None."""
        return holder(self.lock_path)

    @property
    def _failed_path(self) -> Path:
        return self.path / "failed.json"

    @contextmanager
    def step(self, name: str, log: Path | None = None) -> Iterator[None]:
        """Remember why a step ("train", "measure") of this run fails, until it succeeds; see `failure`."""
        self._failed_path.unlink(missing_ok=True)
        try:
            yield
        except Exception as error:  # not for being stopped, which is no failure
            told = one_line(str(error).strip() or type(error).__name__)
            with suppress(SegnbError, OSError):  # on a full disk the error itself matters more
                write_json(
                    self._failed_path,
                    {"step": name, "error": told, "log": str(log) if log else None, "when": iso_now()},
                )
            raise

    @property
    def failure(self) -> dict | None:
        """The step that failed last: step, error (one line), log (its path, or None), when (ISO time)."""
        return read_json(self._failed_path) if self._failed_path.exists() else None

    # -- afterwards ----------------------------------------------------------------------------------
    @property
    def done(self) -> bool:
        return (self.path / "done.json").exists()

    @property
    def summary(self) -> dict:
        """done.json: best_epoch, best_val_miou, epochs, seconds, model_sha256; tables, SHA-256 by name."""
        return read_json(self.path / "done.json")

    @property
    def provenance(self) -> dict:
        """provenance.json, as `segnb.provenance.provenance` makes it."""
        return read_json(self.path / "provenance.json")

    @property
    def history_path(self) -> Path:
        return self.path / "history.csv"

    def history(self) -> pd.DataFrame:
        """A row an epoch, as `segnb.training.fit` writes them; empty before the first epoch's end.

        Raises SegnbError if the run is finished and the file is not what it was then.
        """
        return self._table(self.history_path)

    @property
    def gradients_path(self) -> Path:
        return self.path / "gradients.csv"

    def gradients(self) -> pd.DataFrame:
        """A row a convolution and epoch: epoch, layer, ratio of its gradient's norm to its weight's.

        Raises SegnbError as `history` does, and for runs of older versions, which have none.
        """
        if not self.gradients_path.exists():
            raise SegnbError(
                f"{self.gradients_path} is missing, as in runs of older versions; delete {self.path} and run"
                " 'make report' to train it again"
            )
        return self._table(self.gradients_path)

    def _table(self, path: Path) -> pd.DataFrame:
        try:
            content = path.read_bytes() if path.exists() else b""
            known = self.summary.get("tables", {}) if self.done else {}  # none in older versions
            if path.name in known and hashlib.sha256(content).hexdigest() != known[path.name]:
                raise ValueError
            return pd.read_csv(io.BytesIO(content)) if content else pd.DataFrame()
        except ValueError:  # as pandas' own are
            if not self.done:  # training writes it anew when it goes on
                return pd.DataFrame()
            raise SegnbError(
                f"{path} is damaged; delete {self.path} and run 'make report' to train it again"
            ) from None

    # -- what `segnb measure` writes, by test image in the order of their names ------------------------
    @property
    def confusion_path(self) -> Path:
        return self.path / "test_confusion.npz"

    @property
    def predictions_path(self) -> Path:
        return self.path / "predictions.npz"

    @property
    def predicted_path(self) -> Path:
        return self.path / "predicted.npz"

    @property
    def boundary_path(self) -> Path:
        return self.path / "boundary.npz"

    @property
    def objects_path(self) -> Path:
        return self.path / "objects.npz"

    @property
    def gates_path(self) -> Path:
        return self.path / "gates.npz"

    @property
    def shifts_path(self) -> Path:
        return self.path / "shift_confusion.npz"

    def write_arrays(self, path: Path, **arrays: np.ndarray) -> None:
        with atomic(path) as file:
            np.savez_compressed(file, **arrays)

    def test(self) -> dict[str, np.ndarray]:
        """confusion int64 (N, C, C), truth by row; names (N,); loss and as_published, scalars."""
        return self._arrays(self.confusion_path)

    def predictions(self) -> dict[str, np.ndarray]:
        """For K test images spread evenly: index (K,), names (K,), images uint8 (K, S, S, 3),
        labels, predictions uint8 (K, S, S), confidence uint8 (K, S, S): soft-max maximum × 255."""
        return self._arrays(self.predictions_path)

    def predicted(self) -> np.ndarray:
        """The classes predicted for every test image, uint8 (N, S, S)."""
        return self._arrays(self.predicted_path)["classes"]

    def boundary(self) -> dict[str, np.ndarray]:
        """distances (D,) and trimap_edges (B + 1,), px; and the sums of each image, (N, …), that
        `segnb.boundaries.statistics` and `segnb.softness.Softness` give."""
        return self._arrays(self.boundary_path)

    def objects(self) -> pd.DataFrame:
        """A row an object of the ground truth, columns as `segnb.objects.components` gives them."""
        return pd.DataFrame(self._arrays(self.objects_path))

    def gates(self) -> dict[str, np.ndarray]:
        """What `segnb.gates.Openness` gives, index (K,) of the images whose maps are kept, and
        neutral_confusion int64 (L + 1, N, C, C), see `segnb.gates.neutral_confusion`."""
        return self._arrays(self.gates_path)

    def shifts(self) -> dict[str, np.ndarray]:
        """kinds (K,) and confusion int64 (K, N', C, C) of the first N' test scenes under each of them."""
        return self._arrays(self.shifts_path)

    def _arrays(self, path: Path) -> dict[str, np.ndarray]:
        if not path.exists():
            raise SegnbError(f"{path} is missing; run 'segnb measure {self.path}' to write it")
        try:
            with np.load(path) as arrays:
                return dict(arrays)
        except UNREADABLE:
            raise SegnbError(
                f"{path} is damaged; run 'segnb measure {self.path}' to write it again"
            ) from None


def settle_run(params: RunParams) -> RunDir:
    """The folder of one run, its study settled.

    Raises SegnbError if the run was asked for as part of a study and would land in another one, because
    code, data or machine changed in between.
    """
    import torch

    known = open_study(params.study).machine if params.study else None
    here = "cuda" if known and torch.cuda.is_available() else "cpu"
    if known and known.device != here:
        raise SegnbError(
            f"study {params.study} trains on {known.device}, and torch finds only {here} here: start the run"
            f" where there is {known.device}, or settle a study of this machine ('segnb study')"
        )
    study = settle(params.shared(), known)
    if params.study not in (None, study.name):
        raise SegnbError(
            f"this run belongs to study {params.study}, but code, data or machine have changed since that was"
            f" settled (it would now be {study.name}); run 'make report' again"
        )
    return study.run(params.variant, params.seed)
