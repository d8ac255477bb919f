"""From a name in the registry to its network, and to the parameter groups that an optimiser needs."""

from dataclasses import replace

from torch import nn

from segnb.models.fcn import FCN
from segnb.models.pretrained import Weights
from segnb.models.registry import FCNConfig, variant_named
from segnb.models.unet import UNet


def build(name: str, classes: int = 13, width: int = 64, weights: Weights | None = None) -> nn.Module:
    """The network of that name: images, float (N, 3, H, W), ImageNet-normalised -> logits (N, classes, H, W).

    width:   64 is the published size; it scales U-Nets and the FCN head, never the VGG16 trunk
    weights: settled trunk weights, see `resolve_weights`; None is random. U-Nets have no trunk and ignore it.

    Initialised from torch's generator as it stands. Raises SegnbError for an unknown name.
    """
    config = replace(variant_named(name).config, classes=classes, width=width)
    return FCN(config, weights) if isinstance(config, FCNConfig) else UNet(config)


def parameter_groups(model: nn.Module, learning_rate: float, backbone_learning_rate: float) -> list[dict]:
    """What to hand to an optimiser: a "trunk" group, if it is trained, and a "network" group for all else.

    Frozen parameters are in neither, so that the optimiser holds no state for them.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    trunk = [p for name, p in trained.items() if name.startswith("trunk.")]
    network = [p for name, p in trained.items() if not name.startswith("trunk.")]
    groups = [
        {"name": "trunk", "params": trunk, "lr": backbone_learning_rate},
        {"name": "network", "params": network, "lr": learning_rate},
    ]
    return [group for group in groups if group["params"]]
