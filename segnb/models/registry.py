"""The registry of networks: name, label, family, look and configuration of each. It imports no torch.

To add a network, add an entry to _NETWORKS. Its name is the identifier everywhere: parameter, folder, table
row. `segnb.models.build` makes the network itself.
"""

from dataclasses import dataclass
from typing import ClassVar

from segnb.errors import SegnbError

# ---- configurations -----------------------------------------------------------------------------------

# The choices as plain names, because the parts themselves need torch; tests hold both lists together.
FCN_STRIDES = (8, 16, 32)
UNET_BLOCKS = ("double", "residual")
UNET_GATES = ("none", "additive", "strided", "class")


@dataclass(frozen=True)
class FCNConfig:
    """What tells one FCN from another; see `segnb.models.fcn`."""

    family: ClassVar[str] = "fcn"

    stride: int = 8  # 32, 16 or 8 input pixels per cell of the finest score that is fused
    freeze_trunk: bool = False  # True: the trunk is a fixed feature extractor
    classes: int = 13
    width: int = 64  # the head has 64 × width channels: 4096, as fc6, at full size; the trunk keeps its size
    dropout: float = 0.5  # whole channels of the head

    def __post_init__(self):
        if self.stride not in FCN_STRIDES:
            raise SegnbError(f"FCN stride={self.stride!r} does not exist: choose from 32, 16, 8")
        if self.classes < 1 or self.width < 1:
            raise SegnbError(f"FCN classes={self.classes}, width={self.width}: both must be at least 1")


@dataclass(frozen=True)
class UNetConfig:
    """What tells one U-Net from another; see `segnb.models.unet`."""

    family: ClassVar[str] = "unet"

    block: str = "double"  # one of UNET_BLOCKS
    skip: bool = True  # False: no concatenation, and decoder blocks take the narrower input
    gate: str = "none"  # on every skip, one of UNET_GATES
    classes: int = 13
    width: int = 64  # channels of the first level; each level down doubles them, 16 × width at the bottom

    def __post_init__(self):
        for field, value, choices in ("block", self.block, UNET_BLOCKS), ("gate", self.gate, UNET_GATES):
            if value not in choices:
                raise SegnbError(f"U-Net {field}={value!r} is unknown: choose from {', '.join(choices)}")
        if self.gate != "none" and not self.skip:
            raise SegnbError(f"U-Net gate={self.gate!r} has no skip to gate: set skip=True or gate='none'")
        if self.classes < 1 or self.width < 2:  # a gate works on half the width
            raise SegnbError(f"U-Net classes={self.classes}, width={self.width}: use at least 1 and 2")


# ---- networks -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """One network.

    Args:
        name: identifier everywhere
        label: a few words for legends and table rows
        summary: one sentence for readers
        config: at full size; `segnb.models.build.build` sets classes and width
        colour: hexadecimal RGB, in every figure
        marker: of matplotlib, in every figure
        extension: True for a network that the study only talks about, or confounds with another
    """

    name: str
    label: str
    summary: str
    config: FCNConfig | UNetConfig
    colour: str
    marker: str
    extension: bool = False

    @property
    def family(self) -> str:
        """The networks that share a recipe: "fcn" or "unet"."""
        return self.config.family

    @property
    def frozen(self) -> bool:
        """Whether its trunk is a fixed feature extractor; figures draw it dashed and hollow."""
        return getattr(self.config, "freeze_trunk", False)

    @property
    def gate(self) -> str:
        """The gate on each of its skips, one of UNET_GATES."""
        return getattr(self.config, "gate", "none")

    @property
    def trains_longest(self) -> bool:
        """Whether its training is among the longest of its family: with a trained trunk, or with gates."""
        return not self.frozen if self.family == "fcn" else self.gate != "none"


# The networks of the study in its order, then the extensions. FCNs are drawn in orange to brown, darker with
# finer strides, U-Nets in all other hues. Any two colours stay apart for readers who do not see red, green or
# blue, which a test checks; markers tell the members of a family apart without any colour.
_NETWORKS = (
    Variant(
        "FCN32s_vgg16_freeze",
        "FCN-32s frozen",
        "A fixed VGG16 scores each 32×32 pixels once, and one learned upsampling brings the scores back.",
        FCNConfig(stride=32, freeze_trunk=True),
        colour="#e59a2f",
        marker="s",
    ),
    Variant(
        "FCN32s_vgg16_finetune",
        "FCN-32s fine-tuned",
        "FCN-32s whose VGG16 trunk is trained along with the head.",
        FCNConfig(stride=32, freeze_trunk=False),
        colour="#e59a2f",
        marker="s",
    ),
    Variant(
        "FCN16s_vgg16_freeze",
        "FCN-16s frozen",
        "FCN-32s on a fixed VGG16, with scores of the finer pool4 added on the way up.",
        FCNConfig(stride=16, freeze_trunk=True),
        colour="#c4561a",
        marker="^",
    ),
    Variant(
        "FCN16s_vgg16_finetune",
        "FCN-16s fine-tuned",
        "FCN-16s whose VGG16 trunk is trained along with the head.",
        FCNConfig(stride=16, freeze_trunk=False),
        colour="#c4561a",
        marker="^",
    ),
    Variant(
        "FCN8s_vgg16_freeze",
        "FCN-8s frozen",
        "FCN-16s on a fixed VGG16, with scores of the still finer pool3 added on the way up.",
        FCNConfig(stride=8, freeze_trunk=True),
        colour="#6b2a0e",
        marker="o",
    ),
    Variant(
        "FCN8s_vgg16_finetune",
        "FCN-8s fine-tuned",
        "FCN-8s whose VGG16 trunk is trained along with the head.",
        FCNConfig(stride=8, freeze_trunk=False),
        colour="#6b2a0e",
        marker="o",
    ),
    Variant(
        "UNet_Standard_256",
        "U-Net",
        "An encoder and a decoder of four levels, with each encoder level handed across to the decoder.",
        UNetConfig(),
        colour="#19449c",
        marker="o",
    ),
    Variant(
        "UNet_NoSkip_256",
        "U-Net, no skips",
        "The U-Net without the hand-overs, so that everything passes through the coarsest level.",
        UNetConfig(skip=False),
        colour="#6ab8fb",
        marker="X",
    ),
    Variant(
        "ResidualUNet_256",
        "Residual U-Net",
        "The U-Net with a learned shortcut around each of its nine blocks.",
        UNetConfig(block="residual"),
        colour="#1d726f",
        marker="D",
    ),
    Variant(
        "AttentionResidualUNet_256",
        "Attention residual U-Net",
        "The residual U-Net with a learned map on each hand-over that says where it is let through.",
        UNetConfig(block="residual", gate="additive"),
        colour="#0e0837",
        marker="P",
    ),
    Variant(
        "AttentionUNet_256",
        "Attention U-Net",
        "The U-Net with a learned map on each hand-over, to judge gates without residual blocks.",
        UNetConfig(gate="additive"),
        colour="#ac3bf6",
        marker="v",
        extension=True,
    ),
    Variant(
        "AttentionResidualUNet_StridedGate_256",
        "Attention residual U-Net, strided gate",
        "The residual U-Net with the study's first gate, which compares the two sides on the coarser grid.",
        UNetConfig(block="residual", gate="strided"),
        colour="#729da1",
        marker="<",
        extension=True,
    ),
    Variant(
        "ClassAttentionResidualUNet_256",
        "Class attention residual U-Net",
        "The residual U-Net with a map for each class on each hand-over, which the study suggests and never"
        " tries.",
        UNetConfig(block="residual", gate="class"),
        colour="#a3074f",
        marker="s",
        extension=True,
    ),
)

VARIANTS = {variant.name: variant for variant in _NETWORKS}
FAMILIES = tuple(dict.fromkeys(variant.family for variant in VARIANTS.values()))


def label(name: str) -> str:
    """Return a network's label, "UNet_Standard_256" -> "U-Net"; an unknown name stays as it is."""
    return VARIANTS[name].label if name in VARIANTS else name


def variant_named(name: str) -> Variant:
    """The variant of that name. Raises SegnbError that lists the choices."""
    if name not in VARIANTS:
        raise SegnbError(f"variant {name!r} is unknown: choose from {', '.join(VARIANTS)}")
    return VARIANTS[name]


def parse_variants(text: str) -> list[str]:
    """Names from a parameter: a comma-separated list of names and of the words below, in any mixture.

    "all", "study" (without the extensions), "fcn", "unet" (each of a family)

    Returns each name once, in the order of VARIANTS. Raises SegnbError for anything unknown, or for nothing.
    """
    asked = {word.strip() for word in text.split(",") if word.strip()}
    choices = ["all", "study", *FAMILIES, *VARIANTS]
    if not asked or asked - set(choices):
        what = ", ".join(map(repr, sorted(asked - set(choices)))) or "empty"
        raise SegnbError(f"variants: {what} is unknown: choose from {', '.join(choices)}")
    if "study" in asked:
        asked |= {name for name, variant in VARIANTS.items() if not variant.extension}
    return [name for name, variant in VARIANTS.items() if asked & {"all", variant.family, name}]
