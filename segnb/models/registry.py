"""The registry of networks: name, label, configuration and colour of each. It does not import torch.

To add a network, add an entry to _NETWORKS. Its name identifies it in parameters, folders and tables.
`segnb.models.build` builds the network.
"""

from dataclasses import dataclass
from typing import ClassVar

from segnb.errors import SegnbError

# ---- configurations -----------------------------------------------------------------------------------

# The choices by name, because the parts need torch. A test checks that names and parts agree.
FCN_STRIDES = (8, 16, 32)
UNET_BLOCKS = ("double", "residual")
UNET_GATES = ("none", "additive", "strided", "class")


@dataclass(frozen=True)
class FCNConfig:
    """Configuration of an FCN; see `segnb.models.fcn`."""

    family: ClassVar[str] = "fcn"

    stride: int = 8  # input pixels per cell of the finest score, one of FCN_STRIDES
    freeze_trunk: bool = False  # True: the backbone is a fixed feature extractor
    classes: int = 13
    width: int = 64  # the head has 64 × width channels, 4096 at full width as in VGG's fc6
    dropout: float = 0.5  # share of the head's channels that are dropped in training

    def __post_init__(self):
        if self.stride not in FCN_STRIDES:
            raise SegnbError(f"FCN: invalid stride={self.stride!r} (expected 32, 16 or 8)")
        if self.classes < 1 or self.width < 1:
            raise SegnbError(f"FCN: invalid classes={self.classes}, width={self.width} (expected 1 or more)")


@dataclass(frozen=True)
class UNetConfig:
    """Configuration of a U-Net; see `segnb.models.unet`."""

    family: ClassVar[str] = "unet"

    block: str = "double"  # one of UNET_BLOCKS
    skip: bool = True  # False: no skip connections, so each decoder block has half as many input channels
    gate: str = "none"  # on each skip, one of UNET_GATES
    classes: int = 13
    width: int = 64  # channels of the first level; each level down has twice as many, the bottom 16 × width

    def __post_init__(self):
        for field, value, choices in ("block", self.block, UNET_BLOCKS), ("gate", self.gate, UNET_GATES):
            if value not in choices:
                raise SegnbError(f"U-Net: unknown {field}={value!r} (expected one of {', '.join(choices)})")
        if self.gate != "none" and not self.skip:
            raise SegnbError(f"U-Net: gate={self.gate!r} without a skip. Set skip=True or gate='none'.")
        if self.classes < 1 or self.width < 2:  # a gate has half as many channels
            raise SegnbError(
                f"U-Net: invalid classes={self.classes}, width={self.width} (expected 1 or more, 2 or more)"
            )


# ---- networks -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """A network of the registry.

    Args:
        name: identifier, also of folders
        label: a few words for legends and table rows
        summary: one sentence for tables
        config: at full size; `segnb.models.build.build` sets classes and width
        colour: hexadecimal RGB, the same in every figure
        marker: matplotlib's, the same in every figure
        extension: True for an additional network: the study only suggests it, or confounds it with another
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
        """The family, whose networks share a recipe: "fcn" or "unet"."""
        return self.config.family

    @property
    def frozen(self) -> bool:
        """Whether its backbone is a fixed feature extractor; figures draw it dashed and hollow."""
        return getattr(self.config, "freeze_trunk", False)

    @property
    def gate(self) -> str:
        """The gate on each of its skips, one of UNET_GATES."""
        return getattr(self.config, "gate", "none")

    @property
    def trains_longest(self) -> bool:
        """Whether its runs are among the longest of its family: with a fine-tuned backbone, or with gates."""
        return not self.frozen if self.family == "fcn" else self.gate != "none"


def _fcn(stride: int, summary: str, colour: str, marker: str) -> tuple[Variant, Variant]:
    """Return an FCN with a frozen backbone, which the summary describes, and one with a fine-tuned backbone.

    Their names are such as FCN32s_vgg16_freeze and FCN32s_vgg16_finetune.
    """
    name, label = f"FCN{stride}s_vgg16", f"FCN-{stride}s"
    frozen, tuned = FCNConfig(stride, freeze_trunk=True), FCNConfig(stride)
    tuned_summary = f"{label} with a fine-tuned VGG16 backbone, trained along with the head."
    return (
        Variant(f"{name}_freeze", f"{label} frozen", summary, frozen, colour, marker),
        Variant(f"{name}_finetune", f"{label} fine-tuned", tuned_summary, tuned, colour, marker),
    )


# The networks of the study in its order, then the additional ones. FCNs are orange to brown, darker for
# finer strides; U-Nets have the other hues. A test checks that readers with any colour blindness can
# distinguish any two colours. Within a family the markers differ as well.
_NETWORKS = (
    *_fcn(
        32,
        "Frozen VGG16 backbone, one score per 32×32 pixels, and one learned upsampling to image size.",
        colour="#e59a2f",
        marker="s",
    ),
    *_fcn(
        16,
        "FCN-32s with a frozen backbone, plus scores of its finer features (pool4).",
        colour="#c4561a",
        marker="^",
    ),
    *_fcn(
        8,
        "FCN-16s with a frozen backbone, plus scores of its still finer features (pool3).",
        colour="#6b2a0e",
        marker="o",
    ),
    Variant(
        "UNet_Standard_256",
        "U-Net",
        "Encoder and decoder of four levels each, with a skip connection at each level.",
        UNetConfig(),
        colour="#19449c",
        marker="o",
    ),
    Variant(
        "UNet_NoSkip_256",
        "U-Net, no skips",
        "U-Net without skip connections: all information passes through the bottleneck.",
        UNetConfig(skip=False),
        colour="#6ab8fb",
        marker="X",
    ),
    Variant(
        "ResidualUNet_256",
        "Residual U-Net",
        "U-Net with residual blocks: a learned shortcut around each of its nine blocks.",
        UNetConfig(block="residual"),
        colour="#1d726f",
        marker="D",
    ),
    Variant(
        "AttentionResidualUNet_256",
        "Attention residual U-Net",
        "Residual U-Net with attention gates, which weight each skip connection pixel by pixel.",
        UNetConfig(block="residual", gate="additive"),
        colour="#0e0837",
        marker="P",
    ),
    Variant(
        "AttentionUNet_256",
        "Attention U-Net",
        "U-Net with attention gates but without residual blocks, to test the gates alone.",
        UNetConfig(gate="additive"),
        colour="#ac3bf6",
        marker="v",
        extension=True,
    ),
    Variant(
        "AttentionResidualUNet_StridedGate_256",
        "Attention residual U-Net, strided gate",
        "Residual U-Net with the study's first version of the gate, at half the resolution of the skip.",
        UNetConfig(block="residual", gate="strided"),
        colour="#729da1",
        marker="<",
        extension=True,
    ),
    Variant(
        "ClassAttentionResidualUNet_256",
        "Class attention residual U-Net",
        "Residual U-Net with one gate map per class on each skip, which the study suggests but does not try.",
        UNetConfig(block="residual", gate="class"),
        colour="#a3074f",
        marker="s",
        extension=True,
    ),
)

VARIANTS = {variant.name: variant for variant in _NETWORKS}
FAMILIES = {"fcn": "FCNs", "unet": "U-Nets"}  # with their names in sentences


def label(name: str) -> str:
    """Return a network's label: "UNet_Standard_256" -> "U-Net". An unknown name is returned unchanged."""
    return VARIANTS[name].label if name in VARIANTS else name


def variant_named(name: str) -> Variant:
    """Return the network of a name.

    Raises:
        SegnbError: for an unknown name; the message lists the known names.
    """
    if name not in VARIANTS:
        raise SegnbError(f"unknown variant {name!r} (expected one of {', '.join(VARIANTS)})")
    return VARIANTS[name]


def parse_variants(text: str) -> list[str]:
    """Return the names of the networks that a parameter selects.

    Args:
        text: comma-separated names of networks or groups: "all", "study" (without the additional networks),
            "fcn", "unet"

    Returns:
        Each name once, in the order of VARIANTS.

    Raises:
        SegnbError: for an unknown name, or if there is no name.
    """
    words = {word.strip() for word in text.split(",") if word.strip()}
    choices = ["all", "study", *FAMILIES, *VARIANTS]
    unknown = sorted(words - set(choices))
    if unknown or not words:
        problem = f"unknown name {', '.join(map(repr, unknown))}" if unknown else "no name"
        raise SegnbError(f"variants: {problem} (expected one or more of {', '.join(choices)})")
    if "study" in words:
        words |= {name for name, variant in VARIANTS.items() if not variant.extension}
    return [name for name, variant in VARIANTS.items() if words & {"all", variant.family, name}]
