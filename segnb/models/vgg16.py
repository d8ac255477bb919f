"""The VGG16 trunk of the FCNs: what it promises, where its weights come from, how it is frozen.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
configuration D: thirteen 3×3 convolutions and five poolings. The three fully connected layers are left out.
"""

import http.client
import os
import pickle
import shutil
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torchvision
from torch import Tensor, nn

from segnb.errors import SegnbError
from segnb.files import sha256

# The feature contract: whoever reads the trunk may rely on these, in this order.
TAPS = ("pool3", "pool4", "pool5")
STRIDES = (8, 16, 32)  # input pixels per feature cell
CHANNELS = (256, 512, 512)

# torchvision has two ImageNet files. This is the one trained on images normalised with the ImageNet mean and
# standard deviation; IMAGENET1K_FEATURES expects 0–255 images that are only shifted, so it does not fit here.
IMAGENET_URL = torchvision.models.VGG16_Weights.IMAGENET1K_V1.url
IMAGENET_SHA256 = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"
DOWNLOAD_TIMEOUT = 15  # seconds of silence, not of downloading, after which the network counts as absent


class Taps(NamedTuple):
    """The outputs of the last three poolings, finest first."""

    pool3: Tensor  # (N, 256, H/8, W/8)
    pool4: Tensor  # (N, 512, H/16, W/16)
    pool5: Tensor  # (N, 512, H/32, W/32)


class VGG16(nn.Module):
    """Convolutions and poolings of VGG16, randomly initialised; `load_trunk` fills them.

    forward: images, float (N, 3, H, W), normalised with the ImageNet mean and standard deviation -> Taps.
    The poolings round sides that are not multiples of 32 down; `FCN` pads so that this never happens.

    frozen: no parameter asks for a gradient, no activation is kept for one, and `train()` leaves it in eval.
    """

    def __init__(self, frozen: bool = False):
        super().__init__()
        # Built without memory first: the 124 million weights of the unused classifier are never allocated.
        with torch.device("meta"):
            features = torchvision.models.vgg16(weights=None, init_weights=False).features
        self.features = features.to_empty(device=torch.get_default_device())
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):  # as torchvision starts its VGGs
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        self.frozen = frozen
        self.requires_grad_(not frozen)
        self.train(not frozen)

    def train(self, mode: bool = True) -> "VGG16":
        return super().train(mode and not self.frozen)

    def forward(self, images: Tensor) -> Taps:
        x, pooled = images, []
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            for layer in self.features:
                x = layer(x)
                if isinstance(layer, nn.MaxPool2d):
                    pooled.append(x)
        return Taps(*pooled[-len(TAPS) :])


# ---- weights: settled once by name, then handed to every network that needs them --------------------


@dataclass(frozen=True)
class Weights:
    """What a trunk starts from. Settled before any network is built, and recorded with the run.

    source:  "imagenet" (ImageNet classification) or "random"
    file:    the file to read, None for random
    sha256:  its digest, checked again at every load; None for random
    warning: what the user should know about this choice, or None
    """

    source: str
    file: Path | None = None
    sha256: str | None = None
    warning: str | None = None


def download(url: str, file: Path, wanted: str) -> None:
    """Fetch `url` into `file`, which appears only once it is whole and has the SHA-256 `wanted`.

    Raises SegnbError for anything that goes wrong: no network, a silent server, a full disk, other content.
    """
    part = file.with_name(f"{file.name}.{os.getpid()}.part")  # runs side by side do not share it
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT) as reply, open(part, "wb") as stream:
            print(f"fetching {url}", flush=True)  # 528 MB, in a notebook too: nobody waits in the dark
            shutil.copyfileobj(reply, stream)
        found = sha256(part)
        if found != wanted:
            raise SegnbError(f"{url} arrived damaged (SHA-256 {found[:12]}…): try again")
        os.replace(part, file)
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "reason", error)
        folder = str(file.parent).replace(str(Path.home()), "~")  # reports that quote this are passed on
        raise SegnbError(
            f"{file.name} could not be fetched ({why}): check the network, or put it into {folder}"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def resolve_random(offline: bool) -> Weights:
    return Weights("random")


def resolve_imagenet(offline: bool) -> Weights:
    # Where torchvision itself keeps it, so that a copy from another project is found.
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(IMAGENET_URL).name
    if file.exists():
        found = sha256(file)
        if found != IMAGENET_SHA256:
            raise SegnbError(f"{file} is damaged (SHA-256 {found[:12]}…): delete it and fetch it again")
    elif offline:
        raise SegnbError(f"{file.name} is not in torch's cache and may not be fetched: run without OFFLINE")
    else:
        download(IMAGENET_URL, file, IMAGENET_SHA256)
    return Weights("imagenet", file, IMAGENET_SHA256)


def resolve_auto(offline: bool) -> Weights:
    """ImageNet weights where they can be had; otherwise random ones, and a warning that says so."""
    try:
        return resolve_imagenet(offline)
    except SegnbError as error:
        return Weights(
            "random",
            warning="The VGG16 trunk starts from random weights, so FCN scores, frozen ones above all, are "
            f"no match for published ones ({error})",
        )


# The one list of weight sources. A new one is a function here and, if its file is laid out in another way, a
# reader in READERS.
RESOLVERS = {"auto": resolve_auto, "imagenet": resolve_imagenet, "random": resolve_random}


def resolve_weights(name: str, offline: bool = False) -> Weights:
    """Settle a weight source by name: "auto", "imagenet" or "random".

    Fetches torchvision's VGG16 file (528 MB) if the name asks for it, it is not in torch's cache yet and
    `offline` is false. "auto" falls back to random weights with a `warning`; "imagenet" raises SegnbError
    instead, and so does an unknown name.
    """
    if name not in RESOLVERS:
        raise SegnbError(f"weights={name!r} is unknown: choose from {', '.join(RESOLVERS)}")
    return RESOLVERS[name](offline)


def read_imagenet(file: Path) -> dict[str, Tensor]:
    """The trunk's part of a torchvision VGG16 file: state dict of `VGG16.features`."""
    state = torch.load(file, map_location="cpu", weights_only=True)
    prefix = "features."
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


READERS = {"imagenet": read_imagenet}


def load_trunk(weights: Weights | None = None, frozen: bool = False) -> VGG16:
    """A trunk that starts from settled weights; None and "random" mean torch's generator as it stands.

    The generator is used up alike for every source, so what is initialised after the trunk does not depend on
    it. Raises SegnbError if the file is gone, changed since it was settled, or not a VGG16.
    """
    trunk = VGG16(frozen)
    if weights is None or weights.source == "random":
        return trunk
    try:
        if sha256(weights.file) != weights.sha256:
            raise SegnbError(f"{weights.file} has changed since it was chosen: choose the weights again")
        trunk.features.load_state_dict(READERS[weights.source](weights.file))
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise SegnbError(f"{weights.file} is not a readable VGG16 file ({reason}): fetch it again") from error
    return trunk
