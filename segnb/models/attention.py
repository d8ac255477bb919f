"""Gates on the skips of a U-Net: maps between 0 and 1 that say where a skip is let through.

Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018, section 2.
Each gate is called as gate(skip, below, raised) and returns one map for all channels of the skip:
    skip    the encoder's features at this level          (N, F, H, W)
    below   the decoder's features one level down         (N, 2F, H/2, W/2)
    raised  the same after the up-convolution             (N, F, H, W)
    ->      the gate, strictly in (0, 1) up to rounding   (N, 1, H, W)
`below` and `raised` are the two places from which the gating signal can be taken; a gate uses one of them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AdditiveGate(nn.Module):
    """sigmoid(psi(relu(Wg·raised + Wx·skip))): signal after the up-convolution, where sizes already agree.

    channels: F, of the skip. No batch normalisation inside.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.from_signal = nn.Conv2d(channels, channels // 2, kernel_size=1)  # Wg
        self.from_skip = nn.Conv2d(channels, channels // 2, kernel_size=1)  # Wx
        self.psi = nn.Conv2d(channels // 2, 1, kernel_size=1)

    def forward(self, skip: Tensor, below: Tensor, raised: Tensor) -> Tensor:
        joined = F.relu(self.from_signal(raised) + self.from_skip(skip))  # (N, F/2, H, W)
        return torch.sigmoid(self.psi(joined))  # (N, 1, H, W)


class StridedGate(nn.Module):
    """The same sum on the coarse grid: signal before the up-convolution, the skip brought down to meet it.

    channels: F, of the skip. This is the form of the paper; the gate is interpolated back up.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.from_signal = nn.Conv2d(2 * channels, channels // 2, kernel_size=1)  # Wg
        self.from_skip = nn.Conv2d(channels, channels // 2, kernel_size=2, stride=2)  # Wx
        self.psi = nn.Conv2d(channels // 2, 1, kernel_size=1)

    def forward(self, skip: Tensor, below: Tensor, raised: Tensor) -> Tensor:
        joined = F.relu(self.from_signal(below) + self.from_skip(skip))  # (N, F/2, H/2, W/2)
        gate = torch.sigmoid(self.psi(joined))  # (N, 1, H/2, W/2)
        return F.interpolate(gate, size=skip.shape[-2:], mode="bilinear", align_corners=False)


GATES = {"none": None, "additive": AdditiveGate, "strided": StridedGate}
