"""The parts of a network as a drawing shows them, traced from the network itself.

A network is built without memory (on torch's meta device) and traced: its operations, which of them reads
which, and the shapes of their results. So a changed network has a changed drawing.
"""

import operator
from dataclasses import dataclass, replace
from functools import cache

import torch
import torch.nn.functional as F
from torch import fx, nn

from segnb.models.attention import GATES
from segnb.models.build import build
from segnb.models.fcn import Upsampling
from segnb.models.registry import UNetConfig, variant_named
from segnb.models.unet import BLOCKS, Up

BLOCK_TYPES = tuple(BLOCKS.values())
GATE_TYPES = tuple({type(gate) for make in GATES.values() if (gate := make(2, 2)) is not None})
CONCATENATE = "concatenate"
MERGES = {operator.add: "+", operator.mul: "×", torch.cat: CONCATENATE}
FUNCTIONS = {"relu": "ReLU", "sigmoid": "sigmoid", "interpolate": "×{}", "conv2d": "mixture"}


@dataclass(frozen=True)
class Part:
    """Operations of a network that a drawing shows as one.

    Attributes:
        kind: "input", "stage" (of VGG16), "block", "layer", "gate", "function", "merge", "pool" or "up"
        words: name of an input or a stage, function, symbol of a merge, or factor of "pool" and "up"
        kernels: of its convolutions, such as ("3×3", "3×3")
        channels: of its result
        side: of its result, in cells
        reads: names of the parts whose results it reads
    """

    kind: str
    words: str
    kernels: tuple[str, ...]
    channels: int
    side: int
    reads: tuple[str, ...]


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, name: str) -> bool:
        return isinstance(m, Upsampling) or super().is_leaf_module(m, name)


class _Results(fx.Interpreter):
    """Stores the result of every operation, which has a shape and no memory."""

    def run_node(self, n: fx.Node):
        n.meta["result"] = super().run_node(n)
        return n.meta["result"]

    def call_module(self, target, args, kwargs):
        module = self.fetch_attr(target)
        if isinstance(module, Upsampling):  # it turns autocast off, which the meta device does not know
            return nn.ConvTranspose2d.forward(module, *args)
        return super().call_module(target, args, kwargs)


def trace(network: nn.Module, *shapes: tuple[int, ...], whole: bool, **settings) -> dict[str, Part]:
    """Return the parts of a network by name, in the order of computation.

    Args:
        network: on the meta device
        shapes: (C, H, W) of each input
        whole: whether a block or a gate is one part; otherwise its layers, activations and sums are parts
        settings: further arguments of `forward`
    """
    graph = _Tracer().trace(network, settings)
    inputs = [torch.empty(1, *shape, device="meta") for shape in shapes]
    _Results(fx.GraphModule(network, graph)).run(*inputs, *settings.values())
    parts: dict[str, Part] = {}
    part_of: dict[fx.Node, str] = {}
    for node in graph.nodes:
        if not isinstance(node.meta["result"], torch.Tensor) or node.op in ("get_attr", "output"):
            continue
        reads = tuple(dict.fromkeys(part_of[n] for n in node.all_input_nodes if n in part_of))
        if node.op == "placeholder" or reads:  # anything else depends on parameters alone
            part_of[node] = _add(parts, node, reads, network, whole)
    readers = {name: [n for n, part in parts.items() if name in part.reads] for name in parts}
    for name, by in readers.items():
        if parts[name].words == CONCATENATE and by and {parts[n].kind for n in by} == {"block"}:
            for reader in by:  # a block that reads several parts concatenates them
                parts[reader] = replace(parts[reader], reads=parts[name].reads)
            del parts[name]
    return parts


def _add(
    parts: dict[str, Part], node: fx.Node, reads: tuple[str, ...], network: nn.Module, whole: bool
) -> str:
    """Add an operation, as a part or to an earlier part, and return the name of the part with its result."""
    _, channels, side, _ = node.meta["result"].shape
    new = Part("", "", (), channels, side, reads)
    if node.op == "placeholder":
        parts[node.name] = replace(new, kind="input", words=node.name)
        return node.name
    module = network.get_submodule(node.target) if node.op == "call_module" else None
    own, first, before = node.target if module else node.name, reads[0], parts[reads[0]]
    kernels = (_kernel(module),) if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) else ()

    for name, (_, kind) in node.meta.get("nn_module_stack", {}).items():
        if whole and issubclass(kind, (*BLOCK_TYPES, *GATE_TYPES)):
            new = replace(new, kind="gate" if issubclass(kind, GATE_TYPES) else "block", kernels=kernels)
            known = parts.get(name, replace(new, kernels=(), reads=()))
            further = tuple(read for read in reads if read not in (name, *known.reads))
            parts[name] = replace(new, kernels=known.kernels + kernels, reads=known.reads + further)
            return name

    if isinstance(module, nn.ConvTranspose2d):
        new = replace(new, kind="up", words=f"×{module.stride[0]}", kernels=kernels)
    elif kernels:
        together = first.rpartition(".")[0] == own.rpartition(".")[0]  # as in a stage of VGG16
        if together and before.kind == "layer" and before.kernels[-1:] == kernels:
            parts[first] = replace(before, kernels=before.kernels + kernels, channels=channels)
            return first
        new = replace(new, kind="layer", kernels=kernels)
    elif isinstance(module, nn.MaxPool2d):  # the end of a stage, which is named after it
        number = 1 + sum(part.kind == "stage" for part in parts.values())
        parts[first] = replace(before, kind="stage", words=f"pool{number}", side=side)
        return first
    elif node.target is F.max_pool2d:
        new = replace(new, kind="pool", words=f"÷{before.side // side}")
    elif node.target in MERGES and len(reads) > 1:
        gate = next((name for name in reads if parts[name].kind == "gate"), "")
        if gate and node.target is operator.mul:  # the skip, gated
            parts[gate] = replace(parts[gate], channels=channels)
            return gate
        new = replace(new, kind="merge", words=MERGES[node.target])
    else:
        function = (module.__class__.__name__ if module else getattr(node.target, "__name__", "")).lower()
        if whole or function not in FUNCTIONS:
            return first  # not drawn, such as normalisation, padding, cropping and constant factors
        new = replace(new, kind="function", words=FUNCTIONS[function].format(side // before.side))
    parts[own] = new
    return own


def _kernel(layer: nn.Conv2d | nn.ConvTranspose2d) -> str:
    stride = layer.stride[0] if isinstance(layer, nn.Conv2d) else 1
    return "{}×{}".format(*layer.kernel_size) + f"\nstride {stride}" * (stride > 1)


@cache  # a chapter and its tests draw a network several times
def network_parts(name: str, classes: int, width: int, side: int) -> dict[str, Part]:
    """Return the parts of a network of the registry for images of `side` pixels."""
    with torch.device("meta"):
        network = build(name, classes, width)
    settings = {"return_gates": False} if variant_named(name).family == "unet" else {}
    return trace(network, (3, side, side), whole=True, **settings)


def block_parts(kind: str, width: int, side: int) -> dict[str, Part]:
    """Return the parts of the block of a U-Net's second level."""
    with torch.device("meta"):
        block = BLOCKS[kind](width, 2 * width)
    return trace(block, (width, side // 2, side // 2), whole=False)


def gate_parts(kind: str, classes: int, width: int, side: int) -> dict[str, Part]:
    """Return the parts of the first level of a U-Net's decoder with a kind of gate, up to its block."""
    with torch.device("meta"):
        level = Up(width, UNetConfig(gate=kind, classes=classes, width=width))
    level.block = nn.Identity()
    return trace(level, (2 * width, side // 2, side // 2), (width, side, side), whole=False)
