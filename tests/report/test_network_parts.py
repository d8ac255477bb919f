"""The parts of a drawing are those of the network."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segnb.models.attention import AdditiveGate, StridedGate
from segnb.models.build import build
from segnb.models.registry import VARIANTS, UNetConfig
from segnb.models.unet import BLOCKS, UNet, Up
from segnb.report.network_parts import block_parts, gate_parts, network_parts, trace

CLASSES, WIDTH, SIDE = 7, 4, 64


def parts_of(name: str):
    return network_parts(name, CLASSES, WIDTH, SIDE)


def kernels(layers) -> Counter:
    return Counter("{}×{}".format(*layer.kernel_size) for layer in layers)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_network_is_drawn_with_its_convolutions_channels_skips_and_gates(name):
    with torch.device("meta"):
        network = build(name, CLASSES, WIDTH)
    modules, parts, config = list(network.modules()), parts_of(name).values(), network.config
    ups = [layer for layer in modules if isinstance(layer, nn.ConvTranspose2d)]
    drawn = Counter(kernel.split("\n")[0] for part in parts if part.kind != "up" for kernel in part.kernels)
    assert drawn == kernels(layer for layer in modules if isinstance(layer, nn.Conv2d))
    assert Counter(part.words for part in parts if part.kind == "up") == Counter(
        f"×{up.stride[0]}" for up in ups
    )
    is_gate = [isinstance(module, (AdditiveGate, StridedGate)) for module in modules]
    assert sum(part.kind == "gate" for part in parts) == sum(is_gate)
    *_, result = parts
    assert (result.channels, result.side) == (CLASSES, SIDE)
    joined = [part for part in parts if part.kind in ("block", "merge") and len(part.reads) > 1]
    if config.family == "fcn":
        assert [part.words for part in joined] == ["+"] * {32: 0, 16: 1, 8: 2}[config.stride]
        stages = [(part.words, part.channels, part.side) for part in parts if part.kind == "stage"]
        assert stages[-3:] == [
            ("pool3", 256, SIDE // 8),
            ("pool4", 512, SIDE // 16),
            ("pool5", 512, SIDE // 32),
        ]
        assert [part.channels for part in parts if part.kernels == ("7×7",)] == [64 * WIDTH]
    else:
        ladder = [WIDTH * 2**k for k in (0, 1, 2, 3, 4, 3, 2, 1, 0)]
        assert [part.channels for part in parts if part.kind == "block"] == ladder
        assert len(joined) == 4 * config.skip


def test_networks_differ_in_their_drawings_as_in_their_layers():
    drawings = {name: parts_of(name) for name in VARIANTS}
    for name, variant in VARIANTS.items():
        for other in VARIANTS:
            same = VARIANTS[other].config in (
                variant.config,
                replace(variant.config, freeze_trunk=not variant.frozen) if variant.family == "fcn" else None,
            )
            alike = drawings[name] == drawings[other]
            gated = "none" not in (variant.gate, VARIANTS[other].gate)  # `gate_parts` shows what is in a gate
            assert alike == same or gated, (name, other)


class Deeper(UNet):
    """A U-Net with a further level."""

    def __init__(self, config: UNetConfig):
        super().__init__(config)
        self.below = BLOCKS[config.block](16 * config.width, 32 * config.width)
        self.up5 = Up(16 * config.width, config)

    def forward(self, images):
        features = [images]
        for down in (self.down1, self.down2, self.down3, self.down4, self.bottom):
            features.append(down(F.max_pool2d(features[-1], 2) if features[1:] else features[-1]))
        x = self.below(F.max_pool2d(features[-1], 2))
        for up, skip in zip((self.up5, self.up4, self.up3, self.up2, self.up1), features[:0:-1], strict=True):
            x, _ = up(x, skip)
        return self.score(x)


def test_a_further_level_is_drawn():
    with torch.device("meta"):
        network = Deeper(UNetConfig(width=WIDTH, classes=CLASSES))
    parts = trace(network, (3, SIDE, SIDE), whole=True)
    blocks = [(part.channels, part.side) for part in parts.values() if part.kind == "block"]
    assert blocks[5] == (32 * WIDTH, SIDE // 32) and len(blocks) == 11
    assert parts["up5.block"].reads == ("bottom", "up5.upconv")


def test_gates_read_the_signal_where_the_study_says():
    first, second, by_class = (
        gate_parts(kind, CLASSES, 8, SIDE) for kind in ("strided", "additive", "class")
    )
    assert first["gate.from_signal"].reads == ("below",) and first["gate.from_skip"].kernels == (
        "2×2\nstride 2",
    )
    assert second["gate.from_signal"].reads == by_class["gate.from_signal"].reads == ("upconv",)
    maps = [(parts["sigmoid"].channels, parts["sigmoid"].side) for parts in (first, second, by_class)]
    assert maps == [(1, SIDE // 2), (1, SIDE), (CLASSES, SIDE)]
    assert first["interpolate"].words == "×2" and by_class["conv2d"].reads == ("sigmoid",)
    for parts in (first, second, by_class):
        assert parts["cat"].reads == ("mul", "upconv") and parts["mul"].reads[0] == "skip"


def test_only_the_residual_block_has_a_shortcut():
    sums = {kind: [p.reads for p in block_parts(kind, 4, SIDE).values() if p.words == "+"] for kind in BLOCKS}
    assert sums == {"double": [], "residual": [("residual.3", "shortcut.0")]}
