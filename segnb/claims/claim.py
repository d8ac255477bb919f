"""What the ledger is written in: claims, and contrasts of networks in few words."""

from dataclasses import dataclass, replace

from segnb.claims.related_studies import CARS
from segnb.models.registry import VARIANTS

POINT = 0.01  # the margin of equivalence: one point of mIoU, recall or IoU
SHARE = 0.10  # of seconds, memory, parameters and operations
NOTICEABLE = 0.02  # two points of mIoU


@dataclass(frozen=True)
class Contrast:
    """Some networks minus others in one metric, on the same test images and with the same seeds.

    The mean over seeds of (sum over `plus` - sum over `minus`) · weight.

    metric:    a name in `segnb.claims.metrics.METRICS`, or a column of cost.json of which
               the contrast is (plus - minus) / minus
    plus, minus: variants; "streets-car:UNet_Standard_256" is that of a related study
    rivals:    variants that a metric of comparison looks at without being part of the sum
    threshold: what the contrast has to exceed, where that is not 0
    decides:   False: shown next to the verdict, no part of it
    """

    label: str
    metric: str
    plus: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()
    weight: float = 1.0
    rivals: tuple[str, ...] = ()
    threshold: float = 0.0
    decides: bool = True

    @property
    def networks(self) -> tuple[str, ...]:
        return (*self.plus, *self.minus, *self.rivals)


@dataclass(frozen=True)
class Claim:
    """A sentence of the study and what decides it.

    kind:     ">", every deciding contrast lies above its threshold; "≈", every one within ±margin;
              "exact", as ">" for numbers that are counted; "audit", decided from the published table
    measured: what is measured, and which contrasts decide
    caveat:   a sentence to go with the word "supported"
    """

    id: str
    section: str = ""
    sentence: str = ""
    measured: str = ""
    contrasts: tuple[Contrast, ...] = ()
    kind: str = ">"
    margin: float | None = None
    caveat: str = ""

    @property
    def family(self) -> str:
        """F, U or M: the claims among which Holm's correction is made."""
        return self.id[0]


# ---- networks, and contrasts of them ---------------------------------------------------------------------

TRUNKS = {"freeze": "frozen", "finetune": "fine-tuned"}
STRIDES = (32, 16, 8)
UNET, NO_SKIP, RESIDUAL = "UNet_Standard_256", "UNet_NoSkip_256", "ResidualUNet_256"
GATED, GATED_RESIDUAL = "AttentionUNet_256", "AttentionResidualUNet_256"
STRIDED, CLASS_GATED = "AttentionResidualUNet_StridedGate_256", "ClassAttentionResidualUNet_256"
GATE_PAIRS = ((GATED, UNET), (GATED_RESIDUAL, RESIDUAL))


def fcn(stride: int, trunk: str) -> str:
    return f"FCN{stride}s_vgg16_{trunk}"


def pair(plus: str, minus: str, *names: str) -> tuple[Contrast, ...]:
    """One network minus another, in each of some metrics."""
    label = f"{VARIANTS[plus].label} − {VARIANTS[minus].label}"
    return tuple(Contrast(label, name, (plus,), (minus,)) for name in names)


def strides(plus: int, minus: int, *names: str) -> tuple[Contrast, ...]:
    """FCN of one stride minus another, frozen and fine-tuned apart, in each of some metrics."""
    return tuple(
        Contrast(f"FCN-{plus}s − FCN-{minus}s, {word}", name, (fcn(plus, trunk),), (fcn(minus, trunk),))
        for name in names
        for trunk, word in TRUNKS.items()
    )


def tuning(stride: int, *names: str) -> tuple[Contrast, ...]:
    """Fine-tuned minus frozen, at one stride."""
    return tuple(
        Contrast(
            f"FCN-{stride}s, fine-tuned − frozen", name, (fcn(stride, "finetune"),), (fcn(stride, "freeze"),)
        )
        for name in names
    )


def gates(*names: str) -> tuple[Contrast, ...]:
    """With gates minus without, in both pairs."""
    return tuple(
        contrast for name in names for plus, minus in GATE_PAIRS for contrast in pair(plus, minus, name)
    )


def shown(*groups: tuple[Contrast, ...]) -> tuple[Contrast, ...]:
    """Contrasts that stand next to the verdict and do not decide."""
    return tuple(replace(contrast, decides=False) for group in groups for contrast in group)


def gain_over(finer: int, coarser: int) -> Contrast:
    plus = (fcn(finer, "finetune"), fcn(coarser, "freeze"))
    minus = (fcn(finer, "freeze"), fcn(coarser, "finetune"))
    return Contrast(f"gain of FCN-{finer}s − gain of FCN-{coarser}s", "miou", plus, minus)


def gain_elsewhere(label: str, here: str, there: str, strides: tuple[int, ...] = STRIDES) -> Contrast:
    """The gain from fine-tuning in one study minus that in another, mean over strides."""
    tuned, frozen = ([fcn(stride, trunk) for stride in strides] for trunk in ("finetune", "freeze"))
    plus = [here + name for name in tuned] + [there + name for name in frozen]
    minus = [here + name for name in frozen] + [there + name for name in tuned]
    return Contrast(label, "miou:common", tuple(plus), tuple(minus), weight=1 / len(strides))


def focus(metric: str) -> tuple[Contrast, ...]:
    """The gain from gates on cars against the rest minus the gain on all classes."""
    return tuple(
        Contrast(
            f"gain from gates, cars alone − all classes: {VARIANTS[gated].label}",
            metric,
            (f"{CARS}:{gated}", plain),
            (f"{CARS}:{plain}", gated),
        )
        for gated, plain in GATE_PAIRS
    )


def best_of_three(metric: str) -> tuple[Contrast, ...]:
    """How often FCN-8s is the best of the three, against half of the time."""
    return tuple(
        Contrast(
            f"FCN-8s best of the three, {word}",
            metric,
            (fcn(8, trunk),),
            rivals=(fcn(16, trunk), fcn(32, trunk)),
            threshold=0.5,
        )
        for trunk, word in TRUNKS.items()
    )


def each_gate(*networks: str, metric: str, levels: tuple) -> tuple[Contrast, ...]:
    return tuple(
        Contrast(
            f"{VARIANTS[name].label}, " + ("all gates at once" if level == "all" else f"gate {level}"),
            f"{metric}:{level}",
            (name,),
        )
        for name in networks
        for level in levels
    )


BOUNDARY = ("boundary_iou", "boundary_f1")
ENCODER = ("down1", "down2", "down3", "down4", "bottom")  # of a U-Net
PIXELS = tuple(f"{name}:{distance}" for name in BOUNDARY for distance in (1, 2, 3))
F1_PIXELS = tuple(name for name in PIXELS if "f1" in name)
