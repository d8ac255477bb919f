"""Checked parameters of the notebooks and the command line.

An unknown name, or a value of the wrong type, is an error that lists the choices. Papermill by itself only
warns of unknown names, and guesses types.
"""

import ast
import re
from collections.abc import Callable
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from segnb import presets
from segnb.errors import SegnbError
from segnb.models.registry import FAMILIES, parse_variants, variant_named
from segnb.runtime.machine import PRECISIONS

# Multiplied by the 1,000,003 of `segnb.training.loop`, it still fits into the 63 bits of torch's generators.
LARGEST_SEED = 9_000_000_000_000


class Params(BaseModel):
    """Base of all parameter sets; an int is accepted as a float, and nothing else is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def check(cls, values: dict[str, Any]) -> Self:
        """Return the validated set.

        Raises:
            SegnbError: one line about the first invalid parameter.
        """
        try:
            return cls(**values)
        except ValidationError as errors:
            first = errors.errors()[0]
            name = first["loc"][0]
            if first["type"] == "extra_forbidden":
                choices = ", ".join(cls.model_fields)
                raise SegnbError(f"unknown parameter {name!r} (expected one of {choices})") from None
            description = cls.model_fields[name].description
            raise SegnbError(f"invalid {name} {first['input']!r} (expected the {description})") from None

    @classmethod
    def from_attributes(cls, options: Any) -> Self:
        """Return the validated set of an object's attributes, such as those of parsed options."""
        return cls.check({name: getattr(options, name) for name in cls.model_fields})

    @classmethod
    def from_notebook(cls, namespace: dict[str, Any]) -> Self:
        """Return the parameters of the running notebook: call it as `from_notebook(globals())`.

        Values come from the namespace. Names also come from the source of the parameters cells, which begin
        with "# Parameters" like the cell that papermill injects: in the namespace, a misspelt parameter looks
        like any other variable once cells are run twice.
        """
        names = set(cls.model_fields) | _assigned_last(namespace.get("In", []))
        return cls.check({name: namespace[name] for name in names if name in namespace})


def assigned(source: str) -> list[str]:
    """Return the names assigned at the top level of Python source, in order; [] if it is not Python."""
    try:
        nodes = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    except SyntaxError:
        return []
    return [target.id for node in nodes for target in node.targets if isinstance(target, ast.Name)]


def _assigned_last(cells: list[str]) -> set[str]:
    """Return the names assigned in the last parameters cell, and in the own one if papermill wrote the last.

    Cells before these were replaced: they may have failed, or have names that were corrected since. A
    notebook's own cell has comments, papermill's has none.
    """
    series: list[str] = []
    for source in reversed(cells):
        if source.lstrip().startswith("# Parameters"):
            series.append(source)
        elif series:
            break
    own = [any("#" in line for line in source.splitlines()[1:]) for source in series[:2]]
    return {name for source in series[: 2 if own == [False, True] else 1] for name in assigned(source)}


def _known(find: Callable[[Any], Any]) -> AfterValidator:
    """Return a validator that keeps the value, or raises the SegnbError of `find`."""
    return AfterValidator(lambda value: (find(value), value)[1])


class StudyParams(Params):
    """Parameters of a study; runs can be compared if these, the machine and the code are the same."""

    preset: Annotated[str, _known(presets.preset)] = Field(
        "quick", description=f"size of the study: {', '.join(presets.PRESETS)}"
    )
    data: str = Field(
        "streets",
        description="data: rendered scenes (streets, streets-false-colours, streets-car, streets-drives,"
        " streets-drives-interleaved), or a folder as PATH or LAYOUT:PATH, such as lyft:PATH",
    )
    epochs: int | None = Field(None, ge=1, description="number of epochs, an integer from 1")
    learning_rate: float | None = Field(
        None, gt=0, description="peak learning rate of U-Nets and of the FCN head, a number above 0"
    )
    backbone_learning_rate: float | None = Field(
        None, gt=0, description="peak learning rate of a fine-tuned VGG16 backbone, a number above 0"
    )
    weights: str | None = Field(
        None,
        description="backbone weights: auto, imagenet, imagenet+fc6, hed, random, or a VGG16 file",
    )
    precision: str | None = Field(
        None,
        description=f"precision: auto or, if the device supports it, {', '.join(PRECISIONS['cuda'])}",
    )


class RunParams(StudyParams):
    """Parameters of a run, which are those of train.ipynb."""

    variant: Annotated[str, _known(variant_named)] = Field(
        "UNet_Standard_256", description="name of a network in segnb.models.registry"
    )
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description=f"seed, an integer from 0 to {LARGEST_SEED:,}")
    study: str | None = Field(
        None, description="name of the study that the run must belong to, or None for any"
    )

    def shared(self) -> StudyParams:
        """Return the parameters that all runs of the study share."""
        return StudyParams.from_attributes(self)


class ViewParams(Params):
    """Parameters of explore.ipynb and status.ipynb, which show a whole study."""

    study: str = Field("latest", description="name of a folder under runs/, or latest")


class ReportParams(ViewParams):
    """Parameters of a chapter of the report, such as unet.ipynb."""

    variants: Annotated[str, _known(parse_variants)] = Field(
        "all",
        description=f"networks: all, study (those of the study), {', '.join(FAMILIES)},"
        " or comma-separated names",
    )
    seeds: Annotated[str | int, _known(lambda seeds: seeds == "all" or parse_seeds(seeds))] = Field(
        "all", description="seeds: all, or a comma-separated list such as 0,1,2"
    )


def parse_seeds(text: str | int) -> list[int]:
    """Return the seeds of a list such as "0,2", sorted, each once.

    Raises:
        SegnbError: it is not a comma-separated list of integers from 0 to LARGEST_SEED.
    """
    number = r" *\d{1,13} *"  # int() itself refuses thousands of digits
    seeds = re.fullmatch(f"{number}(,{number})*", str(text)) and {int(part) for part in str(text).split(",")}
    if not seeds or max(seeds) > LARGEST_SEED:
        raise SegnbError(
            f"invalid seeds {str(text)[:80]!r} (expected comma-separated integers from 0 to {LARGEST_SEED:,},"
            " such as 0,1,2)"
        )
    return sorted(seeds)
