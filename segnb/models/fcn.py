"""FCN-32s, FCN-16s and FCN-8s on a VGG16 trunk.

Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015, section 4.
The head is the study's: a 7×7 convolution and a 1×1 to the classes, without the 1×1 fc7 between them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segnb.errors import SegnbError
from segnb.models.pretrained import Weights, read_weights
from segnb.models.registry import FCNConfig
from segnb.models.vgg16 import CHANNELS, TAPS, Taps, load_trunk, tap_scales


def bilinear_kernel(factor: int) -> Tensor:
    """The weights with which a transposed convolution of stride `factor` interpolates: (2·factor, 2·factor).

    Away from the border it equals `F.interpolate(mode="bilinear", align_corners=False)`.
    """
    offsets = torch.arange(2 * factor) + 0.5 - factor  # distance of each output pixel from the input's centre
    tent = 1 - offsets.abs() / factor
    return torch.outer(tent, tent)


class Upsampling(nn.ConvTranspose2d):
    """Learned upsampling of scores, (N, K, h, w) -> (N, K, factor·h, factor·w), that starts as bilinear.

    A transposed convolution in which every class may draw on every other (a full K×K kernel), but begins with
    itself alone. `factor` is even.
    """

    def __init__(self, classes: int, factor: int):
        # Kernel 2f, stride f, padding f/2: each output cell covers its input cell, so grids stay aligned.
        super().__init__(classes, classes, kernel_size=2 * factor, stride=factor, padding=factor // 2)
        with torch.no_grad():
            self.weight.zero_()
            self.weight[range(classes), range(classes)] = bilinear_kernel(factor)
            self.bias.zero_()

    def forward(self, scores: Tensor) -> Tensor:
        # Never in half precision: bf16 has 8 bits for a bilinear weight.
        with torch.autocast(scores.device.type, enabled=False):
            return self._as_matrix_product(scores.float())

    def _as_matrix_product(self, scores: Tensor) -> Tensor:
        """What nn.ConvTranspose2d computes, in half the time or less on a CPU for factors from 16 on.

        With a kernel of twice the stride, an output pixel hears from 2×2 cells: those around the corner of
        cells that it is nearest to. So each corner's f×f pixels are one product of 4K scores and a matrix.
        """
        (n, k, h, w), f = scores.shape, self.stride[0]
        padded = F.pad(scores, (1, 1, 1, 1))
        corners = [padded[:, :, y : y + h + 1, x : x + w + 1] for y in (0, 1) for x in (0, 1)]
        cells = torch.cat(corners, dim=1).permute(0, 2, 3, 1)  # (N, h + 1, w + 1, 4K)
        # The cell above a corner reaches it with the lower half of its kernel: hence the flips.
        halves = self.weight.view(k, k, 2, f, 2, f).flip(2, 4)  # from, to, half and row, half and column
        matrix = halves.permute(2, 4, 0, 1, 3, 5).reshape(4 * k, k * f * f)
        pixels = (cells.reshape(-1, 4 * k) @ matrix).view(n, h + 1, w + 1, k, f, f)
        image = pixels.permute(0, 3, 1, 4, 2, 5).reshape(n, k, (h + 1) * f, (w + 1) * f)
        edge = f // 2
        return image[..., edge:-edge, edge:-edge] + self.bias.view(-1, 1, 1)


def fused_score(channels: int, classes: int) -> nn.Conv2d:
    """The 1×1 score of a finer tap. It starts at zero, as in section 4.2 of the paper: a finer network begins
    as the coarser one, and no random score has to be unlearned first."""
    score = nn.Conv2d(channels, classes, kernel_size=1)
    nn.init.zeros_(score.weight)
    nn.init.zeros_(score.bias)
    return score


class FCN(nn.Module):
    """images, float (N, 3, H, W), ImageNet-normalised -> logits, float (N, classes, H, W), for any H and W.

    weights: what the trunk starts from, see `segnb.models.pretrained.resolve_weights`; None is random.

    Each tap is multiplied by a constant before it is scored (`tap_scales`), as in all-at-once training by
    Shelhamer, Long and Darrell, TPAMI 2017, section 4.3: every score then learns from the first epoch on.

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
            self.score_pool4 = fused_score(pool4, classes)
            self.up_to_16 = Upsampling(classes, 2)
        if config.stride <= 8:
            self.score_pool3 = fused_score(pool3, classes)
            self.up_to_8 = Upsampling(classes, 2)
        self.up_to_image = Upsampling(classes, config.stride)
        self.register_buffer("tap_scale", tap_scales(self.trunk))  # of pool3, pool4, pool5
        if weights is not None and weights.with_fc6:
            self._start_from_fc6(weights)

    @torch.no_grad()
    def _start_from_fc6(self, weights: Weights) -> None:
        """VGG's first fully connected layer reads 7×7 cells of pool5, so it is a 7×7 convolution."""
        layer, state = self.head[0], read_weights(weights)
        weight, bias = state["classifier.0.weight"], state["classifier.0.bias"]
        if layer.out_channels != len(bias):
            raise SegnbError(
                f"weights={weights.source!r} fit a head of {len(bias)} channels only, not of"
                f" {layer.out_channels}: use width 64 (preset paper), or weights without +fc6"
            )
        layer.weight.copy_(weight.view_as(layer.weight) / self.tap_scale[-1])
        layer.bias.copy_(bias)

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the taps that are scored."""
        return {32: TAPS[2:], 16: TAPS[1:], 8: TAPS}[self.config.stride]

    def features(self, images: Tensor) -> Taps:
        """The trunk's taps of the padded images. With a frozen trunk they can be computed once and kept."""
        height, width = images.shape[-2:]
        return self.trunk(F.pad(images, (0, -width % 32, 0, -height % 32)))

    def decode(self, taps: Taps, size: tuple[int, int]) -> Tensor:
        """Taps of `features` -> logits (N, classes, *size), where `size` is (H, W) of the images."""
        stride, (scale3, scale4, scale5) = self.config.stride, self.tap_scale
        score = self.head(scale5 * taps.pool5)  # (N, K, H/32, W/32)
        if stride <= 16:
            score = self.up_to_16(score) + self.score_pool4(scale4 * taps.pool4)  # (N, K, H/16, W/16)
        if stride <= 8:
            score = self.up_to_8(score) + self.score_pool3(scale3 * taps.pool3)  # (N, K, H/8, W/8)
        logits = self.up_to_image(score)  # (N, K, H, W) of the padded images
        return logits[..., : size[0], : size[1]]

    def forward(self, images: Tensor) -> Tensor:
        return self.decode(self.features(images), images.shape[-2:])


class FromFeatures(nn.Module):
    """An FCN whose trunk has been computed before: taps of `FCN.features` -> logits (N, classes, *size).

    It shares the FCN's parameters, and trains what is left to train of them.
    """

    def __init__(self, fcn: FCN, size: tuple[int, int]):
        super().__init__()
        self.fcn, self.size = fcn, size

    def forward(self, taps: Taps) -> Tensor:
        return self.fcn.decode(taps, self.size)
