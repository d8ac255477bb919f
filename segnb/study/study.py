"""A study and its runs on disk, which a report reads; `segnb.study.create` creates them.

runs/<study>/study.json    settings that all runs of the study share
runs/<study>/grid.json     variants and seeds that the last report asked for
runs/<study>/cost.json     parameters, FLOPs, seconds and memory per variant
runs/<study>/claims.json   every claim with its numbers and verdict
runs/<study>/<variant>/seed<k>/   one run, see `segnb.storage.run_folder`
"""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from segnb.errors import SegnbError
from segnb.labels import ClassMap
from segnb.models.registry import VARIANTS, parse_variants
from segnb.params import parse_seeds
from segnb.presets import Preset, Recipe
from segnb.runtime.machine import Machine
from segnb.storage import cache_folder, iso_now, runs_folder
from segnb.storage.files import read_json, write_json
from segnb.storage.run_folder import RunFolder, file_named

if TYPE_CHECKING:
    from segnb.data.batches import Split
    from segnb.data.dataset import Data
    from segnb.models.pretrained import Weights

NO_SCORES = (
    "Preset smoke only checks that every part runs. Its networks have learned next to nothing, so scores and"
    " verdicts mean nothing. 'make report' trains preset quick."
)


@dataclass(frozen=True)
class Study:
    """The folder of a study, whose runs share data, preset, machine settings, backbone weights and code."""

    path: Path

    claims_path = file_named("claims.json")  # see `segnb.claims.decide`
    cost_path = file_named("cost.json")
    _asked_path = file_named("grid.json")

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def settings(self) -> dict:
        """Content of study.json: request, preset, data, weights, machine, code, versions, warnings."""
        return read_json(self.path / "study.json")

    @property
    def preset(self) -> Preset:
        """The preset, with the parameters of the study."""
        return Preset.from_dict(self.settings["preset"])

    def recipe(self, family: str) -> Recipe:
        """Return the recipe of "fcn" or "unet" in this study."""
        return self.preset.recipe(family)

    @property
    def classes(self) -> ClassMap:
        """The label set of the data."""
        return ClassMap.from_dict(self.settings["data"]["classes"])

    @property
    def machine(self) -> Machine:
        """The hardware settings of all runs."""
        known = self.settings["machine"]  # old versions wrote fewer fields
        return Machine(**{field: known[field] for field in Machine.__dataclass_fields__ if field in known})

    @property
    def weights(self) -> "Weights":
        """The backbone weights that were resolved when the study was created."""
        from segnb.models.pretrained import Weights  # imports torch, unnecessary to read runs

        weights = self.settings["weights"]
        return Weights(
            weights["source"], Path(weights["file"]) if weights["file"] else None, weights["sha256"]
        )

    @cached_property
    def data(self) -> "Data":
        """The data source; raises SegnbError if the data have changed since the study was created."""
        from segnb.data.dataset import open_data  # imports torch, as above

        data = open_data(self.settings["request"]["data"], self.preset, cache_folder())
        if data.digest != self.settings["data"]["digest"]:
            raise SegnbError(
                f"study {self.name}: its data have changed since it was created. Run 'make report' for a"
                " study of the current data."
            )
        return data

    @property
    def is_rendered(self) -> bool:
        """Whether segnb renders the images; a user's folder may have the name of such data."""
        data = self.settings["request"]["data"]
        return Path(data).name == data  # a folder has its full path

    def split(self, name: str, size: int) -> "Split":
        """Return images and labels of "train", "val" or "test" at `size` pixels per side."""
        return self.data.split(cache_folder(), name, size)

    def visibility(self, size: int) -> tuple[np.ndarray, np.ndarray] | tuple[()]:
        """Return visibility in the test images, see `segnb.data.dataset.Data.visibility`."""
        return self.data.visibility(cache_folder(), size)

    def shifted(self, kind: str, size: int) -> "Split | None":
        """Return test images with a shift, see `segnb.data.dataset.Data.shifted`."""
        return self.data.shifted(cache_folder(), kind, size)

    def sizes(self) -> list[int]:
        """Return the sizes of the study's images, in pixels per side."""
        return sorted({self.preset.fcn.size, self.preset.unet.size})

    @property
    def warnings(self) -> list[str]:
        """Sentences that a reader needs before any number; the report begins with them."""
        scores = [NO_SCORES] if self.preset.name == "smoke" else []
        diverged = [
            f"{run.variant}, seed {run.seed}, is left out of all scores: {run.diverged['error']}."
            for run in self.diverged()
        ]
        return [*scores, *diverged, *self.settings["data"].get("notes", []), *self.settings["warnings"]]

    def run(self, variant: str, seed: int) -> "Run":
        """Return a run of the study, which need not exist."""
        return Run(self.path / variant / f"seed{seed}")

    def ask(self, variants: list[str], seeds: list[int]) -> None:
        """Record which runs a report asks for, for `segnb status`."""
        write_json(self._asked_path, {"variants": variants, "seeds": seeds, "when": iso_now()})

    @property
    def asked(self) -> dict | None:
        """Content of grid.json: variants, seeds and when (ISO time) of the last report, or None."""
        return read_json(self._asked_path) if self._asked_path.exists() else None

    def seeds(self) -> list[int]:
        """Return the seeds with at least one finished run."""
        return sorted({run.seed for run in self.begun() if run.done})

    def begun(self) -> list["Run"]:
        """Return the runs that have a folder, without copies such as seed0-old."""
        return [run for path in sorted(self.path.glob("*/seed*")) if _is_run(run := Run(path))]

    def finished(self, variants: str = "all", seeds: str | int = "all") -> list["Run"]:
        """Return the finished runs of these variants and seeds, in the order of the study."""
        numbers = self.seeds() if seeds == "all" else parse_seeds(seeds)
        runs = [self.run(variant, seed) for variant in parse_variants(variants) for seed in numbers]
        return [run for run in runs if run.done]

    def diverged(self) -> list["Run"]:
        """Return the runs whose training diverged and was ended."""
        return [run for run in self.begun() if (run.path / "diverged.json").exists()]

    def measured(self, variants: str = "all", seeds: str | int = "all") -> list["Run"]:
        """Return the finished runs that have been evaluated, which a report can show."""
        return [run for run in self.finished(variants, seeds) if run.confusion_path.exists()]

    def cost(self) -> pd.DataFrame:
        """Return one row per variant, columns as in `segnb.evaluation.cost`; empty if not measured."""
        if not self.cost_path.exists():
            return pd.DataFrame()
        return pd.DataFrame.from_dict(read_json(self.cost_path)["variants"], orient="index")


def open_study(name: str = "latest") -> Study:
    """Open a study by the name of its folder.

    Args:
        name: a folder under runs/, or "latest": the study of the last `make report` or, before any report,
            the newest study that has a run. Neither a run that begins nor a report that is refused changes
            the latest study.

    Raises:
        SegnbError: the study does not exist.
    """
    studies = sorted((Study(path.parent) for path in runs_folder().glob("*/study.json")), key=_last_use)
    if name == "latest":
        if not studies:
            raise SegnbError("runs/: no study yet. Run 'make report' or notebooks/train.ipynb first.")
        return studies[-1]
    if not (runs_folder() / name / "study.json").exists():
        if not studies:
            raise SegnbError(f"unknown study {name!r}: runs/ has no study yet. Run 'make report' first.")
        raise SegnbError(
            f"unknown study {name!r} (expected one of {', '.join(study.name for study in studies)})"
        )
    return Study(runs_folder() / name)


def _last_use(study: Study) -> tuple[float, bool, float]:
    """Return the time of the last report (0: none), whether a run exists, and the creation time."""
    grid, begun = study._asked_path, any(study.path.glob("*/seed*"))
    created = (study.path / "study.json").stat().st_mtime
    return grid.stat().st_mtime if grid.exists() else 0, begun, created


@dataclass(frozen=True)
class Run(RunFolder):
    """A run of a study."""

    @property
    def name(self) -> str:
        """STUDY/VARIANT/seedN, which `open_run` takes."""
        return f"{self.study.name}/{self.variant}/{self.path.name}"

    @property
    def study(self) -> Study:
        """The study that the run belongs to."""
        return Study(self.path.parent.parent)

    @property
    def family(self) -> str:
        """The family of its network, "fcn" or "unet"."""
        return VARIANTS[self.variant].family

    @property
    def recipe(self) -> Recipe:
        """The recipe of its family in the study."""
        return self.study.recipe(self.family)


def _is_run(run: Run) -> bool:
    return run.variant in VARIANTS and run.path.name.removeprefix("seed").isdecimal()


def of_family(runs: list[Run], family: str) -> list[Run]:
    """Return the runs of the "fcn" or "unet" family."""
    return [run for run in runs if run.family == family]


def by_variant(runs: list[Run]) -> dict[str, list[Run]]:
    """Return {variant: [run of each seed]}, in the order of the runs."""
    names = dict.fromkeys(run.variant for run in runs)
    return {name: [run for run in runs if run.variant == name] for name in names}


def open_run(name: str) -> Run:
    """Open a finished run.

    Args:
        name: its folder, "STUDY/VARIANT/seedN" with a study as in `open_study`, or "latest": the run that
            finished last, in any study

    Raises:
        SegnbError: the run does not exist, has diverged or is not finished.
    """
    if name == "latest":
        marks = sorted(runs_folder().glob("*/*/seed*/done.json"), key=lambda mark: mark.stat().st_mtime)
        if not (finished := [run for mark in marks if _is_run(run := Run(mark.parent))]):
            raise SegnbError("runs/: no finished run yet. Run 'make report' or notebooks/train.ipynb first.")
        return finished[-1]
    run = Run(Path(os.path.realpath(name)))
    if not (run.study.path / "study.json").exists():  # not a folder, so a name
        parts = name.removeprefix("runs/").strip("/").split("/")
        if len(parts) == 3 and not run.path.exists():
            run = Run(open_study(parts[0]).path / parts[1] / parts[2])
    if not (run.study.path / "study.json").exists() or (run.done and not _is_run(run)):
        raise SegnbError(
            f"unknown run {name!r} (expected the folder of a run, STUDY/VARIANT/seedN, or latest). Check the"
            " name."
        )
    if not run.done:
        remedy = "Run 'make report' to train it"
        if others := run.study.finished():
            seeds = ", ".join(f"seed{seed}" for seed in run.study.seeds())
            remedy += f", or choose one of {', '.join(by_variant(others))} with {seeds}"
        raise SegnbError(
            f"{run.path}: not a finished run. {run.diverged['error'] if run.diverged else remedy + '.'}"
        )
    return run
