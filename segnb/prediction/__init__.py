"""A trained network with its normalisation, for images of any size.

A network sees an image as it saw its training images: squeezed into a square of its input size. Its
probabilities are then interpolated bilinearly to the size of the image. On CamVid, U-Nets of preset quick
have twice the mIoU that they have on frames in their own size (docs/decisions.md).
"""

import importlib.util
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor, nn

from segnb.data.batches import normalise
from segnb.data.pictures import as_photograph, read_photograph
from segnb.data.reading import squeezed
from segnb.errors import SegnbError
from segnb.evaluation import evaluate
from segnb.storage.files import atomic_path, to_json
from segnb.study.provenance import check
from segnb.study.study import Run, open_run

EXPECTED = "a path, an image of Pillow, or an array uint8 (H, W, 3) in RGB"
STRIP = 2**20  # pixels whose probabilities are in memory at once

AnyImage = str | os.PathLike | Image.Image | np.ndarray


class Network:
    """A trained network: image of any size -> class ids, uint8 (H, W).

    An image is the path of a PNG or JPEG file, an image of Pillow, or an array, uint8 (H, W, 3) RGB. H and W
    are those of the upright image, if a camera has stored how to turn it.

    Attributes:
        run: the run that trained it
        classes: the label set; `classes.names[i]` is the name of id i
        size: side of its input in pixels
    """

    def __init__(self, run: Run):
        check(run.study, [run])  # a moved run would have another label set
        self.run, self.classes, self.size = run, run.study.classes, run.recipe.size
        with settings_of(run):
            evaluate.network(run)  # raises for weights that are missing or damaged

    def __call__(self, image: AnyImage) -> np.ndarray:
        """Return the most probable class of each pixel: ids, uint8 (H, W).

        Raises:
            SegnbError: the image cannot be read, or is of another kind.
        """
        return self.segment(image)[0]

    def segment(self, image: AnyImage) -> tuple[np.ndarray, np.ndarray]:
        """Return class ids and the confidence in them, the probability × 255: both uint8 (H, W)."""
        height, width, strips = self._strips(image)
        classes, confidence = (np.empty((height, width), np.uint8) for _ in range(2))
        for rows, strip in strips:
            most, ids = strip.max(0)
            classes[rows], confidence[rows] = ids, (most * 255).round()
        return classes, confidence

    def probabilities(self, image: AnyImage) -> np.ndarray:
        """Return the probability of each class at each pixel, float32 (classes, H, W), 0 to 1."""
        height, width, strips = self._strips(image)
        whole = np.empty((len(self.classes), height, width), np.float32)
        for rows, strip in strips:
            whole[:, rows] = strip
        return whole

    def _strips(self, image: AnyImage) -> tuple[int, int, Iterator[tuple[slice, Tensor]]]:
        """Return the height and width of an image, and its probabilities, see `resized`."""
        picture = as_picture(image)
        with settings_of(self.run):
            probabilities = evaluate.predict(self.run, squeezed(picture, self.size)).probabilities
        return picture.height, picture.width, resized(probabilities, picture.height, picture.width)


@contextmanager
def settings_of(run: Run) -> Iterator[None]:
    """Compute with the settings of a run's study, on all cores, and then restore those of the process.

    PyTorch keeps the number of threads, for instance, once for all code of a process.
    """
    threads = torch.get_num_threads()
    exact = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    precisions = {
        kind: kind.fp32_precision for kind in (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    }
    try:
        evaluate.here(run.study).apply()
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(exact, warn_only=warns)
        torch.utils.deterministic.fill_uninitialized_memory = filled
        for kind, precision in precisions.items():
            # Only if it differs, because a precision that is set no longer follows PyTorch's default.
            if kind.fp32_precision != precision:
                kind.fp32_precision = precision


def load(run: str | os.PathLike) -> Network:
    """Load a trained network; see `segnb.load`."""
    return Network(open_run(os.fspath(run)))


def as_picture(image: AnyImage) -> Image.Image:
    """Return an image as an upright RGB image of Pillow.

    Raises:
        SegnbError: a file cannot be read, or an image is of another kind.
    """
    if isinstance(image, str | os.PathLike):
        return read_photograph(Path(image))
    if isinstance(image, Image.Image):
        return as_photograph(ImageOps.exif_transpose(image), "image")
    if isinstance(image, np.ndarray):
        if image.dtype == np.uint8 and image.shape[2:] == (3,) and image.size:
            return as_photograph(Image.fromarray(image), "image")
        kind = f"an array {image.dtype} {image.shape}"
    else:
        kind = f"of type {type(image).__name__}"
    raise SegnbError(f"image: {kind} (expected {EXPECTED}). Convert it.")


def resized(probabilities: Tensor, height: int, width: int) -> Iterator[tuple[slice, Tensor]]:
    """Yield probabilities at another size in strips of rows, so that memory does not grow with the image.

    They are averaged along a side that shrinks, and interpolated bilinearly along a side that grows.

    Args:
        probabilities: float (C, S, S)
        height, width: size of the image in pixels

    Yields:
        The rows of a strip, and its probabilities, float (C, h, width).
    """
    size = probabilities.shape[-1]
    least = (min(size, height), min(size, width))
    if least != (size, size):
        probabilities = F.interpolate(probabilities[None], least, mode="bilinear", antialias=True)[0]
    if least == (height, width):
        yield slice(height), probabilities
        return
    # Positions of pixel centres, where -1 and 1 are the edges of the image.
    y, x = ((torch.arange(count) * 2 + 1) / count - 1 for count in (height, width))
    high = max(1, STRIP // width)
    for top in range(0, height, high):
        rows = slice(top, top + high)
        grid = torch.stack(torch.meshgrid(x, y[rows], indexing="xy"), -1)[None]
        yield rows, F.grid_sample(probabilities[None], grid, padding_mode="border", align_corners=False)[0]


# ---- ONNX, for programs without PyTorch -------------------------------------------------------------


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
    if missing := [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]:
        raise SegnbError(
            f"missing packages {' and '.join(missing)}. Run \"pip install -e '.[onnx]'\" in the checkout of"
            " segnb."
        )
    machine = replace(evaluate.here(run.study), device="cpu", precision="fp32", channels_last=False)
    facts = {"run": run.name, "classes": to_json(run.study.classes.names)}
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
