"""The language of the ledger: claims, contrasts of networks, and metrics that belong together."""

from dataclasses import dataclass, replace

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


BOUNDARY = ("boundary_iou", "boundary_f1")
ENCODER = ("down1", "down2", "down3", "down4", "bottom")  # of a U-Net
PIXELS = tuple(f"{name}:{distance}" for name in BOUNDARY for distance in (1, 2, 3))
F1_PIXELS = tuple(name for name in PIXELS if "f1" in name)


def shown(*groups: tuple[Contrast, ...]) -> tuple[Contrast, ...]:
    """Contrasts that stand next to the verdict and do not decide."""
    return tuple(replace(contrast, decides=False) for group in groups for contrast in group)
