"""The VGG16 trunk of the FCNs: what it promises, how it is filled, how it is frozen.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
configuration D: thirteen 3×3 convolutions and five poolings. The three fully connected layers are left out.
Where its weights come from is in `segnb.models.pretrained`.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from segnb.models.pretrained import Weights, read_weights, unreadable

# The feature contract: whoever reads the trunk may rely on these, in this order.
TAPS = ("pool3", "pool4", "pool5")
STRIDES = (8, 16, 32)  # input pixels per feature cell
CHANNELS = (256, 512, 512)


class Taps(NamedTuple):
    """The outputs of the last three poolings, finest first."""

    pool3: Tensor  # (N, 256, H/8, W/8)
    pool4: Tensor  # (N, 512, H/16, W/16)
    pool5: Tensor  # (N, 512, H/32, W/32)


class VGG16(nn.Module):
    """Convolutions and poolings of VGG16, randomly initialised; `load_trunk` fills them.

    forward: images, float (N, 3, H, W), normalised with the ImageNet mean and standard deviation -> Taps.
    The poolings round sides that are not multiples of 32 down; `FCN` pads so that this never happens.

    input_scale, input_shift: buffers (3, 1, 1), what the first convolution sees is images · scale + shift.
    1 and 0 but for weights that were trained on images normalised in another way.

    frozen: no parameter asks for a gradient, no activation is kept for one, and `train()` leaves it in eval.
    """

    def __init__(self, frozen: bool = False):
        import torchvision  # which takes seconds: only who builds a network needs it

        super().__init__()
        # Built without memory first: the 124 million weights of the unused classifier are never allocated.
        with torch.device("meta"):
            features = torchvision.models.vgg16(weights=None, init_weights=False).features
        self.features = features.to_empty(device=torch.get_default_device())
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):  # as torchvision starts its VGGs
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        self.register_buffer("input_scale", torch.ones(3, 1, 1))
        self.register_buffer("input_shift", torch.zeros(3, 1, 1))
        self.frozen = frozen
        self.requires_grad_(not frozen)
        self.train(not frozen)

    def train(self, mode: bool = True) -> "VGG16":
        return super().train(mode and not self.frozen)

    def forward(self, images: Tensor) -> Taps:
        x, pooled = images * self.input_scale + self.input_shift, []
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            for layer in self.features:
                x = layer(x)
                if isinstance(layer, nn.MaxPool2d):
                    pooled.append(x)
        return Taps(*pooled[-len(TAPS) :])


def load_trunk(weights: Weights | None = None, frozen: bool = False) -> VGG16:
    """A trunk that starts from settled weights; None and "random" mean torch's generator as it stands.

    The generator is used up alike for every source, so what is initialised after the trunk does not depend on
    it. Raises SegnbError if the file is gone, changed since it was settled, or not a VGG16.
    """
    trunk = VGG16(frozen)
    if weights is None or weights.file is None:
        return trunk
    state = read_weights(weights)
    wanted = trunk.state_dict()
    try:
        # Buffers that a file does not name keep their 1 and 0; a classifier that it does name is left out.
        trunk.load_state_dict(wanted | {name: state[name] for name in wanted.keys() & state.keys()})
        if missing := [name for name in wanted if name.startswith("features.") and name not in state]:
            raise RuntimeError(f"{missing[0]} is missing")
    except RuntimeError as error:
        raise unreadable(weights, error) from error
    return trunk


@torch.no_grad()
def tap_scales(trunk: VGG16) -> Tensor:
    """Powers of two, float (3,), that bring the taps of a natural image to a root mean square of about 1.

    Activations differ by a hundredfold between weights (0.2 for random ones, 15 for HED's pool3). A 1×1 score
    of unscaled features starts either mute or so loud that a small learning rate needs epochs to turn it
    down. Measured on grey noise with the 1/f spectrum of natural images, at ImageNet's mean and deviation, so
    that neither data nor seed decide; on street scenes the taps come out within a factor of two or so. A
    power of two changes no digit of a feature and does not follow the rounding of the machine.
    """
    if trunk.input_scale.is_meta:  # shapes without memory: there is nothing to measure
        return torch.ones(len(TAPS), device="meta")
    side = 128
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    frequency[0, 0] = np.inf  # no offset
    spectrum = np.fft.fft2(np.random.default_rng(0).standard_normal((side, side))) / frequency
    noise = np.fft.ifft2(spectrum).real  # (side, side)
    noise = torch.from_numpy(noise / noise.std()).float().to(trunk.input_scale.device)
    taps = trunk(noise.expand(1, 3, side, side))
    rms = torch.stack([tap.square().mean().sqrt() for tap in taps])
    return torch.exp2(-torch.log2(rms).round())
