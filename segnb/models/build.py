"""Building a network by its name in the registry, and the parameter groups of its optimiser."""

from dataclasses import replace

from torch import nn

from segnb.models.fcn import FCN
from segnb.models.pretrained import Weights
from segnb.models.registry import FCNConfig, variant_named
from segnb.models.unet import UNet


def build(name: str, classes: int = 13, width: int = 64, weights: Weights | None = None) -> nn.Module:
    """Build a network: images, float (N, 3, H, W), ImageNet-normalised -> logits (N, classes, H, W).

    Layers are initialised at random, from the current state of torch's generator.

    Args:
        name: of a network in `segnb.models.registry.VARIANTS`
        classes: number of classes
        width: channels of a U-Net's first level; the head of an FCN has 64 × width channels. The study's
            networks have width 64. The VGG16 backbone does not depend on it.
        weights: backbone weights, from `segnb.models.pretrained.resolve_weights`; None is random. U-Nets have
            no backbone and ignore them.

    Raises:
        SegnbError: for an unknown name, and for weights that cannot be loaded.
    """
    config = replace(variant_named(name).config, classes=classes, width=width)
    return FCN(config, weights) if isinstance(config, FCNConfig) else UNet(config)


def parameter_groups(model: nn.Module, learning_rate: float, backbone_learning_rate: float) -> list[dict]:
    """Return the parameter groups for an optimiser.

    Frozen parameters are in no group, so the optimiser stores no state for them.

    Args:
        model: an `FCN` or a `UNet`
        learning_rate: of all parameters outside the backbone
        backbone_learning_rate: of a fine-tuned backbone

    Returns:
        A group named `trunk` for the backbone, if it is trained, and a group named `network` for all other
        parameters.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    trunk = [p for name, p in trained.items() if name.startswith("trunk.")]
    network = [p for name, p in trained.items() if not name.startswith("trunk.")]
    groups = [
        {"name": "trunk", "params": trunk, "lr": backbone_learning_rate},
        {"name": "network", "params": network, "lr": learning_rate},
    ]
    return [group for group in groups if group["params"]]
