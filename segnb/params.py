"""What is asked for, checked: the parameters of each notebook and of the command line.

An unknown name or a value of the wrong type is an error that lists the choices; papermill itself
only warns of an unknown name and guesses types.
"""

import ast
import re
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segnb.errors import SegnbError
from segnb.models.registry import FAMILIES
from segnb.presets import PRESETS
from segnb.runtime.machine import PRECISIONS

# Times the 1,000,003 of `segnb.training.loop` it still fits into the 63 bits of torch's generators.
LARGEST_SEED = 9_000_000_000_000


class Params(BaseModel):
    """Base of all parameter sets. Strict: an int serves for a float, nothing else is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def check(cls, values: dict[str, Any]) -> Self:
        """The validated set. Raises SegnbError, one line for the first thing that is wrong."""
        try:
            return cls(**values)
        except ValidationError as errors:
            first = errors.errors()[0]
            name = first["loc"][0]
            if first["type"] == "extra_forbidden":
                choices = ", ".join(cls.model_fields)
                raise SegnbError(f"parameter {name!r} is unknown; choose from {choices}") from None
            told = first["msg"][0].lower() + first["msg"][1:]
            hint = cls.model_fields[name].description if name in cls.model_fields else ""
            raise SegnbError(f"parameter {name!r}: {told}, got {first['input']!r} ({hint})") from None

    @classmethod
    def from_attributes(cls, options: Any) -> Self:
        """Return the validated set of those values that are attributes of an object, such as options."""
        return cls.check({name: getattr(options, name) for name in cls.model_fields})

    @classmethod
    def from_notebook(cls, namespace: dict[str, Any]) -> Self:
        """The parameters of the running notebook: call it as `from_notebook(globals())`.

        Values come from the namespace; names also from the source of the parameters cells (those
        that begin with "# Parameters", as papermill's injected one does), because the namespace
        cannot tell a misspelt parameter from any other variable when cells are run twice.
        """
        names = set(cls.model_fields) | _assigned_last(namespace.get("In", []))
        return cls.check({name: namespace[name] for name in names if name in namespace})


def assigned(source: str) -> list[str]:
    """Return the names that are assigned at the top level of a source, in their order."""
    nodes = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    return [target.id for node in nodes for target in node.targets if isinstance(target, ast.Name)]


def _assigned_last(cells: list[str]) -> set[str]:
    """Return the names in the latest unbroken run of parameters cells among the executed ones."""
    names: set[str] = set()
    started = False
    for source in reversed(cells):
        if source.lstrip().startswith("# Parameters"):
            started = True
            names |= set(assigned(source))
        elif started:
            break
    return names


class StudyParams(Params):
    """What makes a study: every run with the same values, machine and code can be compared."""

    preset: str = Field("quick", description=", ".join(PRESETS))
    data: str = Field(
        "streets",
        description='"streets", "streets-false-colours", "streets-car", "streets-drives",'
        ' "streets-drives-interleaved", or the path of a data set folder,'
        ' which may name its layout: "lyft:PATH"',
    )
    epochs: int | None = Field(None, ge=1, description="a whole number from 1, or None for the preset's")
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="highest learning rate of U-Nets and of the FCN head, above 0; None for the preset's",
    )
    backbone_learning_rate: float | None = Field(
        None,
        gt=0,
        description="highest learning rate of a fine-tuned VGG16 backbone, above 0; None for the preset's",
    )
    weights: str | None = Field(
        None,
        description="auto, imagenet, imagenet+fc6, hed, random or the path of a VGG16 file;"
        " None for the preset's",
    )
    precision: str | None = Field(
        None,
        description=f"auto, or of {', '.join(PRECISIONS['cuda'])} what the device has; None for the preset's",
    )


class RunParams(StudyParams):
    """One training: the parameters of train.ipynb."""

    variant: str = Field("UNet_Standard_256", description="a name from segnb.models.registry")
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description=f"a whole number from 0 to {LARGEST_SEED:,}")
    study: str | None = Field(None, description="the study that this run must belong to, or None for any")

    def shared(self) -> StudyParams:
        """What all runs of the study have in common."""
        return StudyParams.from_attributes(self)


class ReportParams(Params):
    """One chapter of the report: the parameters of dataset, fcn, unet and claims.ipynb."""

    study: str = Field("latest", description='a folder name under runs/, or "latest"')
    variants: str = Field(
        "all", description=f"all, study, {', '.join(FAMILIES)} or names of networks, separated by commas"
    )
    seeds: str | int = Field("all", description='"all" that are there, or whole numbers with commas between')


def parse_seeds(text: str | int) -> list[int]:
    """'0,2' -> [0, 2]. Raises SegnbError for anything but whole numbers from 0 to LARGEST_SEED."""
    number = r" *\d{1,13} *"  # int() itself refuses thousands of digits
    seeds = re.fullmatch(f"{number}(,{number})*", str(text)) and {int(part) for part in str(text).split(",")}
    if not seeds or max(seeds) > LARGEST_SEED:
        raise SegnbError(
            f"seeds {str(text)[:80]!r}: whole numbers from 0 to {LARGEST_SEED:,} with commas between are"
            " meant, such as 0,1,2"
        )
    return sorted(seeds)
