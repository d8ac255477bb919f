"""Export of a trained network to ONNX, for programs without PyTorch.

The file contains the normalisation and the softmax: images, uint8 (N, S, S, 3) RGB -> probabilities, float32
(N, classes, S, S). S is the input size of the network, into which an image has to be squeezed.
"""

import importlib.util
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from segnb.data.batches import normalise
from segnb.errors import SegnbError
from segnb.evaluation import evaluate
from segnb.storage.files import atomic_path, to_json
from segnb.study.study import Run

NEEDED = ("onnx", "onnxscript")  # packages of the extra "onnx"


class Probabilities(nn.Module):
    """A network with normalisation and softmax: bytes (N, S, S, 3) -> probabilities (N, classes, S, S)."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(normalise(images)).softmax(1)


def export(run: Run, path: Path) -> None:
    """Write the network of a finished run to an ONNX file, in fp32.

    Raises:
        SegnbError: the name does not end in .onnx, packages are missing, or the weights are damaged.
    """
    if path.suffix.lower() != ".onnx":
        raise SegnbError(f"{path}: unknown format (expected a name that ends in .onnx). Choose another name.")
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise SegnbError(
            f"missing packages {' and '.join(missing)}. Run \"pip install -e '.[onnx]'\" in the checkout of"
            " segnb."
        )
    machine = replace(evaluate.here(run.study), device="cpu", precision="fp32", channels_last=False)
    facts = {"run": f"{run.study.name}/{run.variant}/seed{run.seed}"}
    facts |= {"classes": to_json(run.study.classes.names)}
    write_onnx(evaluate.load(run, machine), run.recipe.size, facts, path)


def write_onnx(model: nn.Module, size: int, facts: dict[str, str], path: Path) -> None:
    """Write a network in eval mode to an ONNX file.

    Args:
        model: the network, on the CPU
        size: side of its input in pixels
        facts: stored as metadata of the file
        path: the file
    """
    images = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch, about itself
        program = torch.onnx.export(
            Probabilities(model).eval(),
            (images,),
            dynamo=True,
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            verbose=False,
        )
    program.model.metadata_props.update(facts)
    with atomic_path(path) as part:
        program.save(part)
