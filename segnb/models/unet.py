"""U-Nets, which differ only in their blocks, skip connections and gates.

Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI
2015, section 2; here with padded convolutions and batch normalisation (BN). Residual blocks in a U-Net
follow Zhang, Liu and Wang, "Road Extraction by Deep Residual U-Net", 2018. Gates are in
`segnb.models.attention`.

The encoder halves height and width at each level and doubles the channels, down to the bottom (the
bottleneck). The decoder reverses this. A **skip connection** (skip) hands the encoder's features of a level
to the decoder, which concatenates them with its own, so that fine detail need not pass through the bottom. A
**gate** multiplies a skip by a map between 0 and 1.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segnb.models.attention import GATES
from segnb.models.registry import UNetConfig

# ---- parts ------------------------------------------------------------------------------------------


def two_convolutions(inputs: int, outputs: int) -> list[nn.Module]:
    """Make conv 3×3, BN, ReLU, conv 3×3, BN. The convolutions have no bias, as BN would subtract it again."""
    return [
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class DoubleConv(nn.Sequential):
    """Two 3×3 convolutions, each with BN and ReLU: (N, inputs, H, W) -> (N, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(*two_convolutions(inputs, outputs), nn.ReLU(inplace=True))


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions plus a 1×1 shortcut: (N, inputs, H, W) -> (N, outputs, H, W).

    He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 3.2, equation 2. The
    shortcut of every block is a projection, because every block changes the number of channels.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.residual = nn.Sequential(*two_convolutions(inputs, outputs))
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel_size=1, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.residual(x) + self.shortcut(x))


BLOCKS = {"double": DoubleConv, "residual": ResidualBlock}


# ---- assembly ---------------------------------------------------------------------------------------


class Up(nn.Module):
    """One level of the decoder: upsample, gate the skip, concatenate, convolve.

    `forward` takes the features of the level below, (N, 2F, H/2, W/2), and the encoder's features of this
    level, the skip (N, F, H, W). It returns features (N, F, H, W) and the gate maps, (N, 1 or classes, H,
    W), or None without a gate.

    Args:
        channels: F
        config: block, skip and gate
    """

    def __init__(self, channels: int, config: UNetConfig):
        super().__init__()
        block = BLOCKS[config.block]
        self.upconv = nn.ConvTranspose2d(2 * channels, channels, kernel_size=2, stride=2)
        self.gate = GATES[config.gate](channels, config.classes)
        self.concatenate = config.skip
        self.block = block(2 * channels if config.skip else channels, channels)

    def forward(self, below: Tensor, skip: Tensor) -> tuple[Tensor, Tensor | None]:
        x, maps = self.upconv(below), None  # x: (N, F, H, W)
        if self.gate is not None:
            maps = self.gate(skip, below, raised=x)  # (N, 1 or classes, H, W)
            skip = skip * self.gate.per_channel(maps)  # (N, F, H, W)
        if self.concatenate:
            x = torch.cat([skip, x], dim=1)  # (N, 2F, H, W)
        return self.block(x), maps  # (N, F, H, W)


class UNet(nn.Module):
    """A U-Net of five levels: images (N, 3, H, W) -> logits (N, classes, H, W), both float.

    Images are ImageNet-normalised, and H and W are arbitrary. Images are padded at the bottom and on the
    right to a multiple of 16, and the logits are cropped. So each level has exactly half the height and
    width of the level above, and each skip has the size of the decoder's features. The padding is zero after
    normalisation, which is the mean colour. The study's size 256 needs no padding.

    `forward(images, return_gates=True)` returns (logits, gates). gates[k] is the gate map of level k + 1,
    finest first: float (N, 1, h, w) in (0, 1) with h = ceil(H / 2**k) and w = ceil(W / 2**k). If
    `has_class_gates`, it is (N, classes, h, w), and channel c belongs to class c. Without gates the tuple
    is empty.

    Args:
        config: width w (channels of the first level), block, skip, gate and number of classes
    """

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        block, w = BLOCKS[config.block], config.width
        self.down1 = block(3, w)
        self.down2 = block(w, 2 * w)
        self.down3 = block(2 * w, 4 * w)
        self.down4 = block(4 * w, 8 * w)
        self.bottom = block(8 * w, 16 * w)
        self.up4 = Up(8 * w, config)
        self.up3 = Up(4 * w, config)
        self.up2 = Up(2 * w, config)
        self.up1 = Up(w, config)
        self.score = nn.Conv2d(w, config.classes, kernel_size=1)

    @property
    def has_class_gates(self) -> bool:
        """Whether each gate map belongs to a class and must be trained with `class_gate_loss`."""
        return self.config.gate == "class"

    def forward(self, images: Tensor, return_gates: bool = False) -> Tensor | tuple[Tensor, tuple]:
        height, width = images.shape[-2:]
        x = F.pad(images, (0, -width % 16, 0, -height % 16))  # (N, 3, H, W), H and W now multiples of 16

        d1 = self.down1(x)  # (N, w, H, W)
        d2 = self.down2(F.max_pool2d(d1, 2))  # (N, 2w, H/2, W/2)
        d3 = self.down3(F.max_pool2d(d2, 2))  # (N, 4w, H/4, W/4)
        d4 = self.down4(F.max_pool2d(d3, 2))  # (N, 8w, H/8, W/8)
        bottom = self.bottom(F.max_pool2d(d4, 2))  # (N, 16w, H/16, W/16)
        u4, g4 = self.up4(bottom, d4)  # (N, 8w, H/8, W/8)
        u3, g3 = self.up3(u4, d3)  # (N, 4w, H/4, W/4)
        u2, g2 = self.up2(u3, d2)  # (N, 2w, H/2, W/2)
        u1, g1 = self.up1(u2, d1)  # (N, w, H, W)

        logits = self.score(u1)[..., :height, :width]  # (N, classes, H, W) of the unpadded images
        if not return_gates:
            return logits
        gates = [gate for gate in (g1, g2, g3, g4) if gate is not None]
        # -(-a // b) is a / b rounded up. Each map is cropped to the cells that overlap the unpadded image.
        return logits, tuple(g[..., : -(-height // 2**k), : -(-width // 2**k)] for k, g in enumerate(gates))
