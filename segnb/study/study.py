"""A study and its runs, as they lie on disk: what a report reads. Creating them is `segnb.study.create`.

runs/<study>/study.json    what all runs of the study share
runs/<study>/grid.json     variants and seeds that the last report asked for
runs/<study>/cost.json     parameters, FLOPs, seconds and memory per variant
runs/<study>/claims.json   every claim with its numbers and verdict
runs/<study>/<variant>/seed<k>/   one run, see `segnb.storage.run_folder`
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from segnb.errors import SegnbError
from segnb.labels import LABEL_SETS, ClassMap
from segnb.models.registry import VARIANTS, parse_variants
from segnb.params import parse_seeds
from segnb.presets import Preset, Recipe
from segnb.runtime.machine import Machine
from segnb.storage.files import read_json, write_json
from segnb.storage.project import cache_folder, iso_now, runs_folder
from segnb.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from segnb.data.batches import Split
    from segnb.data.dataset import Data
    from segnb.models.pretrained import Weights

NO_SCORES = (
    "Preset smoke only shows that every part runs. Its networks have learnt next to nothing, so no score and"
    " no verdict here means anything; 'make report' trains preset quick."
)


@dataclass(frozen=True)
class Study:
    """A study's folder: runs that share data, preset, precision, threads, trunk weights and code."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def settings(self) -> dict:
        """study.json: keys request, preset, data, weights, machine, code, versions."""
        return read_json(self.path / "study.json")

    @property
    def preset(self) -> Preset:
        return Preset.from_dict(self.settings["preset"])

    def recipe(self, family: str) -> Recipe:
        """The recipe of "fcn" or "unet" as it is trained here."""
        recipe = self.preset.recipe(family)
        given = self.settings["request"].get("backbone_learning_rate") is not None
        if self.settings["weights"]["source"] == "random" and not given:
            # A backbone that knows nothing has to learn as fast as the head on top of it.
            recipe = replace(recipe, backbone_learning_rate=recipe.learning_rate)
        return recipe

    @property
    def classes(self) -> ClassMap:
        data = self.settings["data"]
        if "classes" not in data:  # as old versions wrote it
            return LABEL_SETS[data["label_set"]]
        return ClassMap.from_dict(data["classes"])

    @property
    def machine(self) -> Machine:
        known = self.settings["machine"]  # an old version knew less
        return Machine(**{field: known[field] for field in Machine.__dataclass_fields__ if field in known})

    @property
    def weights(self) -> "Weights":
        """The trunk's weights, as they were resolved when the study was created."""
        from segnb.models.pretrained import Weights  # for torch: who only looks at runs goes without

        weights = self.settings["weights"]
        return Weights(
            weights["source"], Path(weights["file"]) if weights["file"] else None, weights["sha256"]
        )

    @cached_property
    def data(self) -> "Data":
        """The data source. Raises SegnbError if it is no longer what the study was created with."""
        from segnb.data.dataset import open_data  # for torch, as above

        data = open_data(self.settings["request"]["data"], self.preset, cache_folder())
        if data.digest != self.settings["data"]["digest"]:
            raise SegnbError(
                f"the data of study {self.name} has changed since it was created;"
                " run 'make report' again for a study of the data as it is now"
            )
        return data

    def split(self, name: str, size: int) -> "Split":
        """Images and labels of "train", "val" or "test" at `size` pixels a side."""
        return self.data.split(cache_folder(), name, size)

    def visibility(self, size: int) -> tuple[np.ndarray, np.ndarray] | tuple[()]:
        """See `segnb.data.dataset.Data.visibility`."""
        return self.data.visibility(cache_folder(), size)

    def shifted(self, kind: str, size: int) -> "Split | None":
        """See `segnb.data.dataset.Data.shifted`."""
        return self.data.shifted(cache_folder(), kind, size)

    def sizes(self) -> list[int]:
        """The sides, in pixels, at which the study needs its data."""
        return sorted({self.preset.fcn.size, self.preset.unet.size})

    @property
    def warnings(self) -> list[str]:
        """What a reader must know before believing a number; the report repeats each on top."""
        scores = [NO_SCORES] if self.preset.name == "smoke" else []
        lost = [
            f"{run.variant}, seed {run.seed}, is left out of all scores: {run.diverged['error']}."
            for run in self.diverged()
        ]
        return [*scores, *lost, *self.settings["data"].get("notes", []), *self.settings["warnings"]]

    def run(self, variant: str, seed: int) -> "Run":
        return Run(self.path / variant / f"seed{seed}")

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

    def finished(self, variants: str = "all", seeds: str | int = "all") -> list["Run"]:
        """Finished runs in the order of the study, those asked for."""
        wanted = self.seeds() if seeds == "all" else parse_seeds(seeds)
        runs = [self.run(variant, seed) for variant in parse_variants(variants) for seed in wanted]
        return [run for run in runs if run.done]

    def diverged(self) -> list["Run"]:
        """Runs that were given up, as their losses left the numbers that mean anything."""
        marks = sorted(self.path.glob("*/seed*/diverged.json"))
        return [self.run(mark.parents[1].name, int(mark.parent.name[4:])) for mark in marks]

    def measured(self, variants: str = "all", seeds: str | int = "all") -> list["Run"]:
        """Those of them that have been tested: what a report can show."""
        return [run for run in self.finished(variants, seeds) if run.confusion_path.exists()]

    @property
    def claims_path(self) -> Path:
        """claims.json: every claim with its numbers and verdict, see `segnb.claims.decide`."""
        return self.path / "claims.json"

    @property
    def cost_path(self) -> Path:
        return self.path / "cost.json"

    def cost(self) -> pd.DataFrame:
        """One row per variant (index), columns as of `segnb.evaluation.cost`; empty if not measured."""
        if not self.cost_path.exists():
            return pd.DataFrame()
        return pd.DataFrame.from_dict(read_json(self.cost_path)["variants"], orient="index")


def open_study(name: str = "latest") -> Study:
    """Open the study of that folder name.

    Args:
        name: a folder under runs/, or "latest": the study that `make report` was called for last, or where it
            never was, the one created last of those that have a run. A training that begins, or a report that
            is refused, does not change which one that is.

    Raises:
        SegnbError: if it does not exist.
    """
    studies = sorted((Study(path.parent) for path in runs_folder().glob("*/study.json")), key=_last_use)
    if name == "latest":
        if not studies:
            raise SegnbError(
                "there is no study in runs/ yet; run 'make report' or notebooks/train.ipynb first"
            )
        return studies[-1]
    if not (runs_folder() / name / "study.json").exists():
        choices = ", ".join(study.name for study in studies) or "none yet; run 'make report' first"
        raise SegnbError(f"study {name!r} is not in runs/; choose from {choices}")
    return Study(runs_folder() / name)


def _last_use(study: Study) -> tuple[float, bool, float]:
    """When a report asked for it, in seconds (0: never), whether it has a run, and when it was created."""
    grid, begun = study.path / "grid.json", any(study.path.glob("*/seed*"))
    created = (study.path / "study.json").stat().st_mtime
    return grid.stat().st_mtime if grid.exists() else 0, begun, created


@dataclass(frozen=True)
class Run(RunFolder):
    """One training of a study."""

    @property
    def study(self) -> Study:
        return Study(self.path.parents[1])

    @property
    def family(self) -> str:
        return VARIANTS[self.variant].family

    @property
    def recipe(self) -> Recipe:
        """How a network of its family is trained in the study."""
        return self.study.recipe(self.family)


def of_family(runs: list[Run], family: str) -> list[Run]:
    """Return the runs of the "fcn" or "unet" family."""
    return [run for run in runs if run.variant in VARIANTS and run.family == family]


def by_variant(runs: list[Run]) -> dict[str, list[Run]]:
    """Return {name: [run of each seed]} in the order in which the variants come."""
    names = dict.fromkeys(run.variant for run in runs)
    return {name: [run for run in runs if run.variant == name] for name in names}
