"""FCN-32s, FCN-16s and FCN-8s on a VGG16 trunk.

Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015, section 4.
The head is the study's: a 7×7 convolution and a 1×1 to the classes, without the 1×1 fc7 between them.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segnb.errors import SegnbError
from segnb.models.vgg16 import CHANNELS, STRIDES, Taps, Weights, load_trunk


@dataclass(frozen=True)
class FCNConfig:
    """stride: 32, 16 or 8, input pixels per cell of the finest score that is fused."""

    stride: int = 8
    freeze_trunk: bool = False  # True: the trunk is a fixed feature extractor
    classes: int = 13
    width: int = 64  # the head has 64 × width channels: 4096, as fc6, at full size; the trunk keeps its size
    dropout: float = 0.5  # whole channels of the head
    # Constants on the features before they are scored, for a trunk whose activations differ in size between
    # strides (all-at-once training in Shelhamer et al., TPAMI 2017). The study's recipe has none.
    pool4_scale: float = 1.0
    pool3_scale: float = 1.0

    def __post_init__(self):
        if self.stride not in STRIDES:
            raise SegnbError(f"FCN stride={self.stride!r} does not exist: choose from 32, 16, 8")
        if self.classes < 1 or self.width < 1:
            raise SegnbError(f"FCN classes={self.classes}, width={self.width}: both must be at least 1")


def bilinear_kernel(factor: int) -> Tensor:
    """The weights with which a transposed convolution of stride `factor` interpolates: (2·factor, 2·factor).

    Away from the border it equals `F.interpolate(mode="bilinear", align_corners=False)`.
    """
    offsets = torch.arange(2 * factor) + 0.5 - factor  # distance of each output pixel from the input's centre
    tent = 1 - offsets.abs() / factor
    return torch.outer(tent, tent)


class Upsampling(nn.ConvTranspose2d):
    """Learned upsampling of scores, (N, K, h, w) -> (N, K, factor·h, factor·w), that starts as bilinear.

    Every class may draw on every other (a full K×K kernel), but begins with itself alone.
    """

    def __init__(self, classes: int, factor: int):
        # Kernel 2f, stride f, padding f/2: each output cell covers its input cell, so grids stay aligned.
        super().__init__(classes, classes, kernel_size=2 * factor, stride=factor, padding=factor // 2)
        with torch.no_grad():
            self.weight.zero_()
            self.weight[range(classes), range(classes)] = bilinear_kernel(factor)
            self.bias.zero_()

    def forward(self, scores: Tensor) -> Tensor:
        # Always fp32: bf16 has 8 bits for a bilinear weight, and large kernels in it are slow on a CPU
        # (a step of FCN-32s at 128 px took twice as long).
        with torch.autocast(scores.device.type, enabled=False):
            return super().forward(scores.float())


class FCN(nn.Module):
    """images, float (N, 3, H, W), ImageNet-normalised -> logits, float (N, classes, H, W), for any H and W.

    weights: what the trunk starts from, see `segnb.models.vgg16.resolve_weights`; None is random.

    Images are padded below and to the right to a multiple of 32 and the logits cropped: no pooling then drops
    a row, and pool3, pool4 and pool5 are exact halves of each other. (The paper pads by 100 and crops at each
    fusion instead.) Zeros after normalisation are the mean colour. The study's 224 and 256 need no padding.
    """

    def __init__(self, config: FCNConfig, weights: Weights | None = None):
        super().__init__()
        self.config = config
        classes, hidden = config.classes, 64 * config.width
        pool3, pool4, pool5 = CHANNELS
        self.trunk = load_trunk(weights, frozen=config.freeze_trunk)
        self.head = nn.Sequential(
            nn.Conv2d(pool5, hidden, kernel_size=7, padding=3),  # fc6; padding keeps the grid
            nn.ReLU(inplace=True),
            nn.Dropout2d(config.dropout),
            nn.Conv2d(hidden, classes, kernel_size=1),
        )
        if config.stride <= 16:
            self.score_pool4 = nn.Conv2d(pool4, classes, kernel_size=1)
            self.up_to_16 = Upsampling(classes, 2)
        if config.stride <= 8:
            self.score_pool3 = nn.Conv2d(pool3, classes, kernel_size=1)
            self.up_to_8 = Upsampling(classes, 2)
        self.up_to_image = Upsampling(classes, config.stride)

    def features(self, images: Tensor) -> Taps:
        """The trunk's taps of the padded images. With a frozen trunk they can be computed once and kept."""
        height, width = images.shape[-2:]
        return self.trunk(F.pad(images, (0, -width % 32, 0, -height % 32)))

    def decode(self, taps: Taps, size: tuple[int, int]) -> Tensor:
        """Taps of `features` -> logits (N, classes, *size), where `size` is (H, W) of the images."""
        c = self.config
        score = self.head(taps.pool5)  # (N, K, H/32, W/32)
        if c.stride <= 16:
            score = self.up_to_16(score) + self.score_pool4(c.pool4_scale * taps.pool4)  # (N, K, H/16, W/16)
        if c.stride <= 8:
            score = self.up_to_8(score) + self.score_pool3(c.pool3_scale * taps.pool3)  # (N, K, H/8, W/8)
        logits = self.up_to_image(score)  # (N, K, H, W) of the padded images
        return logits[..., : size[0], : size[1]]

    def forward(self, images: Tensor) -> Tensor:
        return self.decode(self.features(images), images.shape[-2:])
