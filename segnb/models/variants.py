"""Name -> network: the one registry. The name is the identifier everywhere: parameter, folder, table row."""

from dataclasses import dataclass, replace

from torch import nn

from segnb.errors import SegnbError
from segnb.models.fcn import FCN, FCNConfig
from segnb.models.unet import UNet, UNetConfig
from segnb.weights import Weights


@dataclass(frozen=True)
class Variant:
    """One network.

    name:      the identifier everywhere
    label:     a few words for legends and table rows
    family:    "fcn" or "unet", which share a recipe
    summary:   one sentence for readers
    config:    at full size; `build` sets classes and width
    extension: not one of the study's, which only talks about it or mixes it up with another
    """

    name: str
    label: str
    summary: str
    config: FCNConfig | UNetConfig
    extension: bool = False

    @property
    def family(self) -> str:
        return "fcn" if isinstance(self.config, FCNConfig) else "unet"


def by_name(*variants: Variant) -> dict[str, Variant]:
    return {variant.name: variant for variant in variants}


# The networks of the study in its order, then the extensions.
VARIANTS = by_name(
    Variant(
        "FCN32s_vgg16_freeze",
        "FCN-32s frozen",
        "A fixed VGG16 scores each 32×32 pixels once, and one learned upsampling brings the scores back.",
        FCNConfig(stride=32, freeze_trunk=True),
    ),
    Variant(
        "FCN32s_vgg16_finetune",
        "FCN-32s fine-tuned",
        "FCN-32s whose VGG16 trunk is trained along with the head.",
        FCNConfig(stride=32, freeze_trunk=False),
    ),
    Variant(
        "FCN16s_vgg16_freeze",
        "FCN-16s frozen",
        "FCN-32s on a fixed VGG16, with scores of the finer pool4 added on the way up.",
        FCNConfig(stride=16, freeze_trunk=True),
    ),
    Variant(
        "FCN16s_vgg16_finetune",
        "FCN-16s fine-tuned",
        "FCN-16s whose VGG16 trunk is trained along with the head.",
        FCNConfig(stride=16, freeze_trunk=False),
    ),
    Variant(
        "FCN8s_vgg16_freeze",
        "FCN-8s frozen",
        "FCN-16s on a fixed VGG16, with scores of the still finer pool3 added on the way up.",
        FCNConfig(stride=8, freeze_trunk=True),
    ),
    Variant(
        "FCN8s_vgg16_finetune",
        "FCN-8s fine-tuned",
        "FCN-8s whose VGG16 trunk is trained along with the head.",
        FCNConfig(stride=8, freeze_trunk=False),
    ),
    Variant(
        "UNet_Standard_256",
        "U-Net",
        "An encoder and a decoder of four levels, with each encoder level handed across to the decoder.",
        UNetConfig(),
    ),
    Variant(
        "UNet_NoSkip_256",
        "U-Net, no skips",
        "The U-Net without the hand-overs, so that everything passes through the coarsest level.",
        UNetConfig(skip=False),
    ),
    Variant(
        "ResidualUNet_256",
        "Residual U-Net",
        "The U-Net with a learned shortcut around each of its nine blocks.",
        UNetConfig(block="residual"),
    ),
    Variant(
        "AttentionResidualUNet_256",
        "Attention residual U-Net",
        "The residual U-Net with a learned map on each hand-over that says where it is let through.",
        UNetConfig(block="residual", gate="additive"),
    ),
    Variant(
        "AttentionUNet_256",
        "Attention U-Net",
        "The U-Net with a learned map on each hand-over, to judge gates without residual blocks.",
        UNetConfig(gate="additive"),
        extension=True,
    ),
    Variant(
        "AttentionResidualUNet_StridedGate_256",
        "Attention residual U-Net, strided gate",
        "The residual U-Net with the study's first gate, which compares the two sides on the coarser grid.",
        UNetConfig(block="residual", gate="strided"),
        extension=True,
    ),
    Variant(
        "ClassAttentionResidualUNet_256",
        "Class attention residual U-Net",
        "The residual U-Net with a map for each class on each hand-over, which the study suggests and never"
        " tries.",
        UNetConfig(block="residual", gate="class"),
        extension=True,
    ),
)


def variant_named(name: str) -> Variant:
    """The variant of that name. Raises SegnbError that lists the choices."""
    if name not in VARIANTS:
        raise SegnbError(f"variant {name!r} is unknown: choose from {', '.join(VARIANTS)}")
    return VARIANTS[name]


def build(name: str, classes: int = 13, width: int = 64, weights: Weights | None = None) -> nn.Module:
    """The network of that name: images, float (N, 3, H, W), ImageNet-normalised -> logits (N, classes, H, W).

    width:   64 is the published size; it scales U-Nets and the FCN head, never the VGG16 trunk
    weights: settled trunk weights, see `resolve_weights`; None is random. U-Nets have no trunk and ignore it.

    Initialised from torch's generator as it stands. Raises SegnbError for an unknown name.
    """
    config = replace(variant_named(name).config, classes=classes, width=width)
    return FCN(config, weights) if isinstance(config, FCNConfig) else UNet(config)


def parse_variants(text: str) -> list[str]:
    """Names from a parameter: a comma-separated list of names and of the words below, in any mixture.

    "all", "study" (without the extensions), "fcn", "unet" (each of a family)

    Returns each name once, in the order of VARIANTS. Raises SegnbError for anything unknown, or for nothing.
    """
    asked = {word.strip() for word in text.split(",") if word.strip()}
    choices = ["all", "study", "fcn", "unet", *VARIANTS]
    if not asked or asked - set(choices):
        what = ", ".join(map(repr, sorted(asked - set(choices)))) or "empty"
        raise SegnbError(f"variants: {what} is unknown: choose from {', '.join(choices)}")
    return [name for name, variant in VARIANTS.items() if asked & _words(variant)]


def _words(variant: Variant) -> set[str]:
    """What `parse_variants` knows the variant by."""
    return {"all", variant.family, variant.name} | (set() if variant.extension else {"study"})


def parameter_groups(model: nn.Module, learning_rate: float, trunk_learning_rate: float) -> list[dict]:
    """What to hand to an optimiser: a "trunk" group, if it is trained, and a "network" group for all else.

    Frozen parameters are in neither, so that the optimiser holds no state for them.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    trunk = [p for name, p in trained.items() if name.startswith("trunk.")]
    network = [p for name, p in trained.items() if not name.startswith("trunk.")]
    groups = [
        {"name": "trunk", "params": trunk, "lr": trunk_learning_rate},
        {"name": "network", "params": network, "lr": learning_rate},
    ]
    return [group for group in groups if group["params"]]
