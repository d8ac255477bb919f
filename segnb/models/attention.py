"""Gates on the skips of a U-Net: maps between 0 and 1 that say where a skip is let through.

Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018, section 2.
Each gate is called as gate(skip, below, raised) and returns M maps, one, or one a class:
    skip    the encoder's features at this level          (N, F, H, W)
    below   the decoder's features one level down         (N, 2F, H/2, W/2)
    raised  the same after the up-convolution             (N, F, H, W)
    ->      the maps, strictly in (0, 1) up to rounding   (N, M, H, W)
`below` and `raised` are the two places from which the gating signal can be taken; a gate uses one of them.
gate.per_channel(maps) is what the skip is multiplied by: (N, F, H, W), or (N, 1, H, W) for all channels.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segnb.labels import IGNORE_INDEX


class AdditiveGate(nn.Module):
    """sigmoid(psi(relu(Wg·raised + Wx·skip))): signal after the up-convolution, where sizes already agree.

    channels: F, of the skip; maps: M. No batch normalisation inside.
    """

    def __init__(self, channels: int, maps: int = 1):
        super().__init__()
        self.from_signal = nn.Conv2d(channels, channels // 2, kernel_size=1)  # Wg
        self.from_skip = nn.Conv2d(channels, channels // 2, kernel_size=1)  # Wx
        self.psi = nn.Conv2d(channels // 2, maps, kernel_size=1)

    def logits(self, skip: Tensor, raised: Tensor) -> Tensor:
        joined = F.relu(self.from_signal(raised) + self.from_skip(skip))  # (N, F/2, H, W)
        return self.psi(joined)  # (N, M, H, W)

    def forward(self, skip: Tensor, below: Tensor, raised: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(skip, raised))  # (N, 1, H, W)

    def per_channel(self, maps: Tensor) -> Tensor:
        return maps  # one for all channels


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

    def per_channel(self, maps: Tensor) -> Tensor:
        return maps  # one for all channels


class ClassGate(AdditiveGate):
    """An `AdditiveGate` with one map per class, of which each channel of the skip takes a mixture.

    channels: F, of the skip
    classes:  K

    The study suggests gates by class and says no more, so this form is ours:
    - Nothing in the sum itself gives map k to class k. `class_gate_loss` does, and has to be trained along;
      without it the maps are interchangeable, and their names empty.
    - K maps meet F channels in K groups, channel f in group f mod K. Groups are soft, because nobody knows
      beforehand which channels serve which class: row f of the softmax of `mixing` says how much of each
      map goes into the gate of channel f. It starts at OWN_SHARE for the own group, not at all of it, where
      the softmax would hardly learn any more. With F < K the classes from F on start without a group.
    - The softmax makes the mixture convex, so that the gate of a channel lies in (0, 1) as its maps do.
    """

    OWN_SHARE = 0.9

    def __init__(self, channels: int, classes: int):
        super().__init__(channels, maps=classes)
        mixing = torch.zeros(channels, classes)
        own = torch.arange(channels)
        # exp(logit) : (K - 1) = OWN_SHARE : the rest. A single class has all of it, whatever its logit.
        mixing[own, own % classes] = math.log(self.OWN_SHARE / (1 - self.OWN_SHARE) * max(classes - 1, 1))
        self.mixing = nn.Parameter(mixing)

    def forward(self, skip: Tensor, below: Tensor, raised: Tensor) -> Tensor:
        # A sigmoid in bf16 is 1 from a logit of about 6 on, and `class_gate_loss` could not lower that pixel.
        return torch.sigmoid(self.logits(skip, raised).float())  # (N, K, H, W)

    def per_channel(self, maps: Tensor) -> Tensor:
        shares = self.mixing.softmax(dim=1)  # (F, K), rows sum to 1
        return F.conv2d(maps, shares[:, :, None, None])  # (N, F, H, W)


# What makes a gate of each kind from the skip's channels and the number of classes.
GATES = {
    "none": lambda channels, classes: None,
    "additive": lambda channels, classes: AdditiveGate(channels),
    "strided": lambda channels, classes: StridedGate(channels),
    "class": lambda channels, classes: ClassGate(channels, classes),
}

# ---- what ties the maps of a ClassGate to the classes --------------------------------------------------

# Of `class_gate_loss` beside the cross-entropy: the customary weight of auxiliary losses (GoogLeNet 0.3,
# PSPNet 0.4), not tuned.
CLASS_GATE_WEIGHT = 0.4

EPSILON = torch.finfo(torch.float32).eps  # the step from 1 to the next float; keeps logarithms finite


def class_gate_loss(gates: tuple[Tensor, ...], labels: Tensor) -> Tensor:
    """How far each map is from showing where its class is: binary cross-entropy, a float32 scalar from 0 up.

    gates:  what a `UNet` with `has_class_gates` returns, finest first: gates[k] is (N, K, h, w) in [0, 1],
            of any float type, with h = ceil(H / 2**k)
    labels: long (N, H, W), ids 0 … K - 1, IGNORE_INDEX where nothing is labelled

    The target of a cell of 2**k × 2**k pixels is the share of each class among its labelled pixels, not the
    most frequent class alone, which at the coarse levels would never be a pole. Void pixels, and those of a
    cell beyond the image, are left out; a cell without any other does not count. Mean over cells and classes
    of each level, then over levels, so that the finest, with three quarters of the cells, does not decide
    alone. 0 where all is void.
    """
    classes, coarsest = gates[0].shape[1], 2 ** (len(gates) - 1)
    height, width = labels.shape[-2:]
    labels = F.pad(labels, (0, -width % coarsest, 0, -height % coarsest), value=IGNORE_INDEX)
    one_hot = torch.eye(IGNORE_INDEX + 1, classes, device=labels.device)  # the row of IGNORE_INDEX is all 0
    area = F.embedding(labels, one_hot).movedim(-1, 1)  # (N, K, H, W), in memory as channels_last maps are
    known = (labels != IGNORE_INDEX).float()[:, None]  # (N, 1, H, W)
    losses = []
    for k, gate in enumerate(gates):
        if k:  # means of equal parts: exact over all 2**k × 2**k pixels
            area, known = F.avg_pool2d(area, 2), F.avg_pool2d(known, 2)
        maps, (h, w) = gate.float(), gate.shape[-2:]
        labelled = known[..., :h, :w]  # (N, 1, h, w)
        shares = area[..., :h, :w] / labelled.clamp(min=EPSILON)  # (N, K, h, w)
        # share · log(map) + (1 - share) · log(1 - map); F.binary_cross_entropy is slower on a CPU
        likelihood = torch.lerp((1 + EPSILON - maps).log(), (maps + EPSILON).log(), shares).sum(dim=1)
        counts = (labelled[:, 0] > 0).float()  # (N, h, w)
        losses.append(-(likelihood * counts).sum() / (classes * counts.sum()).clamp(min=1))
    return torch.stack(losses).mean()
