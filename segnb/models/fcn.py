"""FCN-32s, FCN-16s and FCN-8s: a VGG16 backbone, a head, and learned upsampling.

Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015, section 4.
The head is the study's: a 7×7 convolution (fc6) and a 1×1 convolution to the classes. The paper has another
1×1 convolution (fc7) between them.

The backbone computes features on coarse grids. The head turns its coarsest features into scores, one per
class and cell, and learned upsampling brings the scores to the size of the image, where they are the logits.
The **stride** is the number in a network's name, the side of a cell in pixels: FCN-32s has one score per
32×32 pixels. FCN-16s and FCN-8s add scores of finer features on the way up.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segnb.errors import SegnbError
from segnb.models.pretrained import Weights, read_weights, unreadable
from segnb.models.registry import FCNConfig

# ---- backbone ---------------------------------------------------------------------------------------


class Taps(NamedTuple):
    """The outputs of the last three poolings, finest first; an FCN scores one, two or all three."""

    pool3: Tensor  # (N, 256, H/8, W/8)
    pool4: Tensor  # (N, 512, H/16, W/16)
    pool5: Tensor  # (N, 512, H/32, W/32)


TAPS = Taps._fields
STRIDES = (8, 16, 32)  # input pixels per feature cell
CHANNELS = (256, 512, 512)  # of each tap


class VGG16(nn.Module):
    """VGG16 without its three fully connected layers, initialised at random; `load_trunk` loads weights.

    Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
    table 1, configuration D: thirteen 3×3 convolutions and five max-poolings.

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
    try:
        # Buffers that the file lacks keep their 1 and 0; the file's classifier is not loaded.
        missing = trunk.load_state_dict(state, strict=False).missing_keys
        if missing := [name for name in missing if name.startswith("features.")]:
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


# ---- head and upsampling ------------------------------------------------------------------------------


def bilinear_kernel(factor: int) -> Tensor:
    """Return the kernel with which a transposed convolution of stride `factor` interpolates bilinearly.

    Away from the border the result equals `F.interpolate(mode="bilinear", align_corners=False)`.

    Returns:
        float (2·factor, 2·factor), weights 0 to 1
    """
    offsets = torch.arange(2 * factor) + 0.5 - factor  # from the centre of the input cell, in output pixels
    tent = 1 - offsets.abs() / factor
    return torch.outer(tent, tent)


class Upsampling(nn.ConvTranspose2d):
    """Learned upsampling of scores, (N, K, h, w) -> (N, K, factor·h, factor·w), bilinear at first.

    A transposed convolution (Long et al. 2015, section 3.3). Its kernel connects every class with every
    other, but at first each class depends on itself alone.

    Args:
        classes: K
        factor: even
    """

    def __init__(self, classes: int, factor: int):
        # Kernel 2f, stride f, padding f/2: each input cell is centred on its f×f output pixels.
        super().__init__(classes, classes, kernel_size=2 * factor, stride=factor, padding=factor // 2)
        with torch.no_grad():
            self.weight.zero_()
            self.weight[range(classes), range(classes)] = bilinear_kernel(factor)
            self.bias.zero_()

    def forward(self, scores: Tensor) -> Tensor:
        # Always in fp32: bf16 has 8 bits of precision, too few for bilinear weights.
        with torch.autocast(scores.device.type, enabled=False):
            return self._as_matrix_product(scores.float())

    def _as_matrix_product(self, scores: Tensor) -> Tensor:
        """Compute what nn.ConvTranspose2d does, on a CPU in at most half the time for factors from 16 up.

        The kernel is twice the stride, so an output pixel depends on 2×2 input cells, which meet in one
        corner. The f×f output pixels around a corner depend on the same cells: they are the product of
        those cells' 4K scores and a matrix (4K, K·f·f).
        """
        (n, k, h, w), f = scores.shape, self.stride[0]
        padded = F.pad(scores, (1, 1, 1, 1))  # (N, K, h + 2, w + 2); corners on the border have cells outside
        corners = [padded[:, :, y : y + h + 1, x : x + w + 1] for y in (0, 1) for x in (0, 1)]
        cells = torch.cat(corners, dim=1).permute(0, 2, 3, 1)  # (N, h + 1, w + 1, 4K)
        # The cell above a corner reaches the corner with the lower half of its kernel, hence the flips.
        halves = self.weight.view(k, k, 2, f, 2, f).flip(2, 4)  # from, to, half, row, half, column
        # The four pairs of halves are in the order of the four corners, so rows match the columns of `cells`.
        matrix = halves.permute(2, 4, 0, 1, 3, 5).reshape(4 * k, k * f * f)
        pixels = (cells.reshape(-1, 4 * k) @ matrix).view(n, h + 1, w + 1, k, f, f)
        image = pixels.permute(0, 3, 1, 4, 2, 5).reshape(n, k, (h + 1) * f, (w + 1) * f)
        edge = f // 2  # the border corners' pixels are half outside the image
        return image[..., edge:-edge, edge:-edge] + self.bias.view(-1, 1, 1)


def fused_score(channels: int, classes: int) -> nn.Conv2d:
    """Make the 1×1 convolution that scores a finer tap, initialised with zeros (section 4.2).

    The finer network then starts as the coarser one and need not unlearn random scores.
    """
    score = nn.Conv2d(channels, classes, kernel_size=1)
    nn.init.zeros_(score.weight)
    nn.init.zeros_(score.bias)
    return score


class FCN(nn.Module):
    """A fully convolutional network: images (N, 3, H, W) -> logits (N, classes, H, W), both float.

    Images are ImageNet-normalised, and H and W are arbitrary. Images are padded at the bottom and on the
    right to a multiple of 32, and the logits are cropped. So no pooling drops a row, and the sizes of pool3,
    pool4 and pool5 differ by exact factors of two. (The paper pads by 100 pixels and crops at each fusion.)
    The padding is zero after normalisation, which is the mean colour. The study's sizes 224 and 256 need no
    padding.

    Each tap is multiplied by a constant before it is scored (`tap_scales`), as in all-at-once training
    (Shelhamer, Long and Darrell, TPAMI 2017, section 4.3). So all scores learn from the first epoch on.

    Args:
        config: stride, width, number of classes, and whether the backbone is frozen.
        weights: backbone weights, from `segnb.models.pretrained.resolve_weights`; None is random.

    Raises:
        SegnbError: if the weights cannot be loaded, or if fc6 is to be loaded into a head of another width.
    """

    def __init__(self, config: FCNConfig, weights: Weights | None = None):
        super().__init__()
        self.config = config
        classes, hidden = config.classes, 64 * config.width
        pool3, pool4, pool5 = CHANNELS
        self.trunk = load_trunk(weights, frozen=config.freeze_trunk)
        self.head = nn.Sequential(
            nn.Conv2d(pool5, hidden, kernel_size=7, padding=3),  # fc6; the padding keeps the grid
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
        self.register_buffer("tap_scale", tap_scales(self.trunk))  # (3,), for pool3, pool4, pool5
        if weights is not None and weights.with_fc6:
            self._start_from_fc6(weights)

    @torch.no_grad()
    def _start_from_fc6(self, weights: Weights) -> None:
        """Load VGG's first fully connected layer into the head (section 3.1).

        That layer reads 7×7 cells of pool5, so it is a 7×7 convolution. It was trained on pool5 as it is, and
        the head reads pool5 multiplied by its scale, so the weights are divided by the scale.
        """
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
        """Names of the taps that are scored, finest first."""
        return {32: TAPS[2:], 16: TAPS[1:], 8: TAPS}[self.config.stride]

    def features(self, images: Tensor) -> Taps:
        """Compute the backbone's taps for images (N, 3, H, W), padded to multiples of 32.

        The taps of a frozen backbone never change; `segnb.training.feature_cache` computes them once.
        """
        height, width = images.shape[-2:]
        return self.trunk(F.pad(images, (0, -width % 32, 0, -height % 32)))

    def decode(self, taps: Taps, size: tuple[int, int]) -> Tensor:
        """Compute logits from taps.

        Args:
            taps: from `features`, or from the cache, where taps that are not scored are None
            size: (H, W) of the images before padding

        Returns:
            float (N, classes, H, W)
        """
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
    """The layers of an FCN above its backbone: taps of `FCN.features` -> logits (N, classes, *size).

    It shares the FCN's parameters, so training it trains the FCN, except for the frozen backbone.

    Args:
        fcn: the network
        size: (H, W) of the images in pixels
    """

    def __init__(self, fcn: FCN, size: tuple[int, int]):
        super().__init__()
        self.fcn, self.size = fcn, size

    def forward(self, taps: Taps) -> Tensor:
        return self.fcn.decode(taps, self.size)
