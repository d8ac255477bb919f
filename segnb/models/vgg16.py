"""VGG16, the backbone of the FCNs.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
table 1, configuration D: thirteen 3×3 convolutions and five max-poolings. The three fully connected layers
are left out. `segnb.models.pretrained` fetches and checks the weights.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from segnb.models.pretrained import Weights, read_weights, unreadable

# The outputs of the backbone (the taps), finest first.
TAPS = ("pool3", "pool4", "pool5")
STRIDES = (8, 16, 32)  # input pixels per feature cell
CHANNELS = (256, 512, 512)


class Taps(NamedTuple):
    """The outputs of the last three poolings, finest first; an FCN scores one, two or all three."""

    pool3: Tensor  # (N, 256, H/8, W/8)
    pool4: Tensor  # (N, 512, H/16, W/16)
    pool5: Tensor  # (N, 512, H/32, W/32)


class VGG16(nn.Module):
    """Convolutions and poolings of VGG16, initialised at random; `load_trunk` loads weights.

    `forward` takes images, float (N, 3, H, W), normalised with the ImageNet mean and standard deviation,
    and returns `Taps`. H and W should be multiples of 32, as in `FCN`, which pads; otherwise the poolings
    round down.

    Args:
        frozen: True makes the backbone a fixed feature extractor. Its parameters get no gradients, no
            activations are stored for them, and `train()` leaves it in eval mode.

    Attributes:
        input_scale, input_shift: buffers (3, 1, 1), by default 1 and 0. The first convolution sees
            images · scale + shift, which adapts the images to weights trained with another normalisation.
    """

    def __init__(self, frozen: bool = False):
        import torchvision  # here, because the import takes seconds

        super().__init__()
        # On the meta device first, so that the classifier's 124 million unused weights take no memory.
        with torch.device("meta"):
            features = torchvision.models.vgg16(weights=None, init_weights=False).features
        self.features = features.to_empty(device=torch.get_default_device())
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):  # as torchvision initialises its VGGs
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        self.register_buffer("input_scale", torch.ones(3, 1, 1))
        self.register_buffer("input_shift", torch.zeros(3, 1, 1))
        self.frozen = frozen
        self.requires_grad_(not frozen)
        self.train(not frozen)

    def train(self, mode: bool = True) -> "VGG16":
        """Set training mode; a frozen backbone stays in eval mode."""
        return super().train(mode and not self.frozen)

    def forward(self, images: Tensor) -> Taps:
        x, pooled = images * self.input_scale + self.input_shift, []  # x: (N, 3, H, W)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            for layer in self.features:
                x = layer(x)  # each pooling halves H and W; channels grow to 64, 128, 256, 512, 512
                if isinstance(layer, nn.MaxPool2d):
                    pooled.append(x)
        return Taps(*pooled[-len(TAPS) :])  # pool1 and pool2 are not scored


def load_trunk(weights: Weights | None = None, frozen: bool = False) -> VGG16:
    """Build a backbone and load its weights.

    All sources draw equally many numbers from torch's generator, so the layers initialised after the backbone
    do not depend on the source.

    Args:
        weights: from `segnb.models.pretrained.resolve_weights`. None and "random" initialise from the current
            state of torch's generator.
        frozen: see `VGG16`.

    Raises:
        SegnbError: if the file is missing, has changed since it was resolved, or contains no VGG16.
    """
    trunk = VGG16(frozen)
    if weights is None or weights.file is None:
        return trunk
    state = read_weights(weights)
    wanted = trunk.state_dict()
    try:
        # Buffers that the file lacks keep their 1 and 0; the file's classifier is not loaded.
        trunk.load_state_dict(wanted | {name: state[name] for name in wanted.keys() & state.keys()})
        if missing := [name for name in wanted if name.startswith("features.") and name not in state]:
            raise RuntimeError(f"{missing[0]} is missing")
    except RuntimeError as error:
        raise unreadable(weights, error) from error
    return trunk


@torch.no_grad()
def tap_scales(trunk: VGG16) -> Tensor:
    """Return the factors that bring each tap of a natural image to a root mean square (RMS) of about 1.

    The RMS of a tap depends on the weights: 0.2 for random ones, 15 for pool3 of HED. Without scaling, the
    1×1 scores of a weak tap hardly contribute at first, and those of a strong tap take epochs to shrink at a
    small learning rate.

    The RMS is computed on noise, so that the factors depend neither on the data nor on the seed. The noise is
    grey and has the 1/f amplitude spectrum of natural images and ImageNet's mean and standard deviation. On
    street scenes the scaled taps have an RMS of 1 within a factor of about two. Powers of two are exact in
    floating point and do not depend on the rounding of the machine.

    Returns:
        float (3,): powers of two for pool3, pool4 and pool5
    """
    if trunk.input_scale.is_meta:  # a network built for its shapes alone
        return torch.ones(len(TAPS), device="meta")
    side = 128
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    frequency[0, 0] = np.inf  # makes the mean of the noise 0, which is ImageNet's after normalisation
    spectrum = np.fft.fft2(np.random.default_rng(0).standard_normal((side, side))) / frequency
    noise = np.fft.ifft2(spectrum).real  # (side, side)
    noise = torch.from_numpy(noise / noise.std()).float().to(trunk.input_scale.device)
    taps = trunk(noise.expand(1, 3, side, side))
    rms = torch.stack([tap.square().mean().sqrt() for tap in taps])
    return torch.exp2(-torch.log2(rms).round())
