"""Attention gates on the skips of a U-Net: maps in (0, 1) by which the skips are multiplied.

Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018, section 2.

A gate compares the skip with a **gating signal**, features of the decoder that cover a larger part of the
image. It is called as gate(skip, below, raised) and returns M maps, one for all channels or one per class:
    skip    the encoder's features at this level               (N, F, H, W)
    below   the decoder's features, one level down             (N, 2F, H/2, W/2)
    raised  `below` after the up-convolution                   (N, F, H, W)
    ->      the gate maps, strictly in (0, 1) up to rounding   (N, M, H, W)
The gating signal is either `below` or `raised`, depending on the gate. gate.per_channel(maps) returns the
factor by which the skip is multiplied: (N, F, H, W), or (N, 1, H, W) for all channels alike.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segnb.labels import IGNORE_INDEX


class AdditiveGate(nn.Module):
    """The study's gate: sigmoid(psi(relu(Wg·raised + Wx·skip))).

    The gating signal is taken after the up-convolution, where it has the size of the skip. There is no batch
    normalisation.

    Args:
        channels: F, the channels of the skip
        maps: M
    """

    def __init__(self, channels: int, maps: int = 1):
        super().__init__()
        self.from_signal = nn.Conv2d(channels, channels // 2, kernel_size=1)  # Wg
        self.from_skip = nn.Conv2d(channels, channels // 2, kernel_size=1)  # Wx
        self.psi = nn.Conv2d(channels // 2, maps, kernel_size=1)

    def logits(self, skip: Tensor, raised: Tensor) -> Tensor:
        """Compute the gate maps before the sigmoid, (N, M, H, W)."""
        joined = F.relu(self.from_signal(raised) + self.from_skip(skip))  # (N, F/2, H, W)
        return self.psi(joined)  # (N, M, H, W)

    def forward(self, skip: Tensor, below: Tensor, raised: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(skip, raised))  # (N, M, H, W)

    def per_channel(self, maps: Tensor) -> Tensor:
        """Return the factor of the skip: the one map, for all channels."""
        return maps  # (N, 1, H, W)


class StridedGate(nn.Module):
    """The gate of the paper, which works at half the resolution of the skip.

    The gating signal is taken before the up-convolution, and the skip is convolved with stride 2 to match
    it. The map is interpolated bilinearly to the size of the skip.

    Args:
        channels: F, the channels of the skip
    """

    def __init__(self, channels: int):
        super().__init__()
        self.from_signal = nn.Conv2d(2 * channels, channels // 2, kernel_size=1)  # Wg
        self.from_skip = nn.Conv2d(channels, channels // 2, kernel_size=2, stride=2)  # Wx
        self.psi = nn.Conv2d(channels // 2, 1, kernel_size=1)

    def forward(self, skip: Tensor, below: Tensor, raised: Tensor) -> Tensor:
        joined = F.relu(self.from_signal(below) + self.from_skip(skip))  # (N, F/2, H/2, W/2)
        gate = torch.sigmoid(self.psi(joined))  # (N, 1, H/2, W/2)
        return F.interpolate(gate, size=skip.shape[-2:], mode="bilinear", align_corners=False)  # (N, 1, H, W)

    def per_channel(self, maps: Tensor) -> Tensor:
        """Return the factor of the skip: the one map, for all channels."""
        return maps  # (N, 1, H, W)


class ClassGate(AdditiveGate):
    """An `AdditiveGate` with one map per class; the gate of each channel is a mixture of the maps.

    The study suggests a gate per class without details, so this design is ours:

    - Map k belongs to class k because `class_gate_loss` trains it to. Without that loss the maps would be
      interchangeable.
    - Each of the F channels starts in one of K groups: channel f in group f mod K. Groups are soft,
      because it is unknown beforehand which channels serve which class. Row f of softmax(`mixing`) contains
      the shares of the K maps in the gate of channel f. The share of the channel's own group starts at
      OWN_SHARE; at 1 the softmax would hardly learn. If F < K, classes from F up start without a channel.
    - The mixture is convex, so the gate of a channel is in (0, 1), as its maps are.

    Args:
        channels: F, the channels of the skip
        classes: K
    """

    OWN_SHARE = 0.9

    def __init__(self, channels: int, classes: int):
        super().__init__(channels, maps=classes)
        mixing = torch.zeros(channels, classes)
        own = torch.arange(channels)
        # The other logits are 0, so exp(logit) / (K - 1) = OWN_SHARE / (1 - OWN_SHARE). A single class has a
        # share of 1 at any logit.
        mixing[own, own % classes] = math.log(self.OWN_SHARE / (1 - self.OWN_SHARE) * max(classes - 1, 1))
        self.mixing = nn.Parameter(mixing)

    def forward(self, skip: Tensor, below: Tensor, raised: Tensor) -> Tensor:
        # In bf16 the sigmoid of about 6 is 1: no gradient, so `class_gate_loss` could not lower such a pixel.
        return torch.sigmoid(self.logits(skip, raised).float())  # (N, K, H, W)

    def per_channel(self, maps: Tensor) -> Tensor:
        """Return the factor of the skip: for each channel its mixture of the class maps."""
        shares = self.mixing.softmax(dim=1)  # (F, K), rows sum to 1
        return F.conv2d(maps, shares[:, :, None, None])  # (N, F, H, W)


# Each kind of gate by name, made from the channels of the skip (F) and the number of classes (K).
GATES = {
    "none": lambda channels, classes: None,
    "additive": lambda channels, classes: AdditiveGate(channels),
    "strided": lambda channels, classes: StridedGate(channels),
    "class": lambda channels, classes: ClassGate(channels, classes),
}

# ---- loss of class gates ------------------------------------------------------------------------------

# The weight of `class_gate_loss` in the sum with the cross-entropy. Auxiliary losses usually have such a
# weight (GoogLeNet 0.3, PSPNet 0.4); it is not tuned.
CLASS_GATE_WEIGHT = 0.4

EPSILON = torch.finfo(torch.float32).eps  # added to the arguments of logarithms, to keep them finite


def class_gate_loss(gates: tuple[Tensor, ...], labels: Tensor) -> Tensor:
    """Compute the binary cross-entropy between class gate maps and ground truth.

    A cell of level k + 1 covers 2**k × 2**k pixels. Its target is the share of each class among the
    labelled pixels of the cell. The most frequent class alone would not do: at coarse levels it would never
    be a thin object such as a pole. Void pixels and pixels outside the image are left out, and a cell
    without labelled pixels does not count.

    The loss is the mean over cells and classes of each level, then over levels. A mean over all cells would
    depend mostly on the finest level, which has three quarters of the cells.

    Args:
        gates: the second result of a `UNet` with `has_class_gates`, finest first: gates[k] is (N, K, h, w) in
            [0, 1], of any float type, with h = ceil(H / 2**k)
        labels: long (N, H, W), ids 0 to K - 1, or IGNORE_INDEX for void

    Returns:
        float32 scalar from 0 up, in nats per cell and class; 0 if all pixels are void
    """
    classes, coarsest = gates[0].shape[1], 2 ** (len(gates) - 1)
    height, width = labels.shape[-2:]
    labels = F.pad(labels, (0, -width % coarsest, 0, -height % coarsest), value=IGNORE_INDEX)
    one_hot = torch.eye(IGNORE_INDEX + 1, classes, device=labels.device)  # all 0 for void
    area = F.embedding(labels, one_hot).movedim(-1, 1)  # (N, K, H, W), channels_last in memory
    known = (labels != IGNORE_INDEX).float()[:, None]  # (N, 1, H, W)
    losses = []
    for k, gate in enumerate(gates):
        if k:  # a mean of means is exact here, as all parts are of equal size
            area, known = F.avg_pool2d(area, 2), F.avg_pool2d(known, 2)
        maps, (h, w) = gate.float(), gate.shape[-2:]
        labelled = known[..., :h, :w]  # (N, 1, h, w)
        shares = area[..., :h, :w] / labelled.clamp(min=EPSILON)  # (N, K, h, w)
        # share · log(map) + (1 - share) · log(1 - map); F.binary_cross_entropy is slower on a CPU.
        likelihood = torch.lerp((1 + EPSILON - maps).log(), (maps + EPSILON).log(), shares).sum(dim=1)
        counts = (labelled[:, 0] > 0).float()  # (N, h, w), 1 for a cell that counts
        losses.append(-(likelihood * counts).sum() / (classes * counts.sum()).clamp(min=1))
    return torch.stack(losses).mean()
