"""What claims are made of: contrasts of networks, written with few words.

A part is a measure of some networks minus that of others, on the same test images and with the same seeds.
"""

from dataclasses import dataclass, replace

from segnb.companions import CARS
from segnb.models.registry import VARIANTS


@dataclass(frozen=True)
class Part:
    """One contrast: mean over seeds of (sum over `plus` - sum over `minus`) · weight.

    measure:   a name in `segnb.evidence.MEASURES`, or a column of cost.json (see `segnb.evaluation.cost`), of
               which the contrast is (plus - minus) / minus
    plus, minus: variants; "streets-car:UNet_Standard_256" is that of a companion study
    rivals:    variants that a measure of comparison looks at without being part of the sum
    threshold: what the contrast has to exceed, where that is not 0
    decides:   False: shown beside the verdict, no part of it
    """

    label: str
    measure: str
    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()
    weight: float = 1.0
    rivals: tuple[str, ...] = ()
    threshold: float = 0.0
    decides: bool = True


# ---- networks, and contrasts of them ---------------------------------------------------------------------

TRUNKS = {"freeze": "frozen", "finetune": "fine-tuned"}
STRIDES = (32, 16, 8)
UNET, NO_SKIP, RESIDUAL = "UNet_Standard_256", "UNet_NoSkip_256", "ResidualUNet_256"
GATED, GATED_RESIDUAL = "AttentionUNet_256", "AttentionResidualUNet_256"
STRIDED, CLASS_GATED = "AttentionResidualUNet_StridedGate_256", "ClassAttentionResidualUNet_256"
GATE_PAIRS = ((GATED, UNET), (GATED_RESIDUAL, RESIDUAL))


def fcn(stride: int, trunk: str) -> str:
    return f"FCN{stride}s_vgg16_{trunk}"


def pair(plus: str, minus: str, *names: str) -> tuple[Part, ...]:
    """One network minus another, in each of some measures."""
    label = f"{VARIANTS[plus].label} − {VARIANTS[minus].label}"
    return tuple(Part(label, name, (plus,), (minus,)) for name in names)


def strides(plus: int, minus: int, *names: str) -> tuple[Part, ...]:
    """FCN of one stride minus another, frozen and fine-tuned apart, in each of some measures."""
    return tuple(
        Part(f"FCN-{plus}s − FCN-{minus}s, {word}", name, (fcn(plus, trunk),), (fcn(minus, trunk),))
        for name in names
        for trunk, word in TRUNKS.items()
    )


def tuning(stride: int, *names: str) -> tuple[Part, ...]:
    """Fine-tuned minus frozen, at one stride."""
    return tuple(
        Part(
            f"FCN-{stride}s, fine-tuned − frozen", name, (fcn(stride, "finetune"),), (fcn(stride, "freeze"),)
        )
        for name in names
    )


def gates(*names: str) -> tuple[Part, ...]:
    """With gates minus without, in both pairs."""
    return tuple(part for name in names for plus, minus in GATE_PAIRS for part in pair(plus, minus, name))


def shown(*groups: tuple[Part, ...]) -> tuple[Part, ...]:
    """Parts that stand beside the verdict and do not decide."""
    return tuple(replace(part, decides=False) for group in groups for part in group)


def gain_over(finer: int, coarser: int) -> Part:
    plus = (fcn(finer, "finetune"), fcn(coarser, "freeze"))
    minus = (fcn(finer, "freeze"), fcn(coarser, "finetune"))
    return Part(f"gain of FCN-{finer}s − gain of FCN-{coarser}s", "miou", plus, minus)


def gain_elsewhere(label: str, here: str, there: str, strides: tuple[int, ...] = STRIDES) -> Part:
    """The gain from fine-tuning in one study minus that in another, mean over strides."""
    tuned, frozen = ([fcn(stride, trunk) for stride in strides] for trunk in ("finetune", "freeze"))
    plus = [here + name for name in tuned] + [there + name for name in frozen]
    minus = [here + name for name in frozen] + [there + name for name in tuned]
    return Part(label, "miou:common", tuple(plus), tuple(minus), weight=1 / len(strides))


def focus(measure: str) -> tuple[Part, ...]:
    """The gain from gates on cars against the rest minus the gain on all classes."""
    return tuple(
        Part(
            f"gain from gates, cars alone − all classes: {VARIANTS[gated].label}",
            measure,
            (f"{CARS}:{gated}", plain),
            (f"{CARS}:{plain}", gated),
        )
        for gated, plain in GATE_PAIRS
    )


def best_of_three(measure: str) -> tuple[Part, ...]:
    """How often FCN-8s is the best of the three, against half of the time."""
    return tuple(
        Part(
            f"FCN-8s best of the three, {word}",
            measure,
            (fcn(8, trunk),),
            rivals=(fcn(16, trunk), fcn(32, trunk)),
            threshold=0.5,
        )
        for trunk, word in TRUNKS.items()
    )


def each_gate(*networks: str, measure: str, levels: tuple) -> tuple[Part, ...]:
    return tuple(
        Part(
            f"{VARIANTS[name].label}, " + ("all gates at once" if level == "all" else f"gate {level}"),
            f"{measure}:{level}",
            (name,),
        )
        for name in networks
        for level in levels
    )


BOUNDARY = ("boundary_iou", "boundary_f1")
ENCODER = ("down1", "down2", "down3", "down4", "bottom")  # of a U-Net
PIXELS = tuple(f"{name}:{distance}" for name in BOUNDARY for distance in (1, 2, 3))
F1_PIXELS = tuple(name for name in PIXELS if "f1" in name)
