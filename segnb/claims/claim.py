"""The language of the ledger: claims, contrasts of networks, and metrics that belong together."""

from dataclasses import dataclass, replace
from typing import NamedTuple

POINT = 0.01  # the margin of equivalence: one point of mIoU, recall or IoU
SHARE = 0.10  # of seconds, memory, parameters and operations
NOTICEABLE = 0.02  # two points of mIoU
FLOOR = 0.10  # a share below it on both sides, or above 1 - FLOOR, leaves no room for a difference


class Limit(NamedTuple):
    """What an absolute word of the study is taken to mean: a level, and on which side of it the word is true.

    claim: the level that a claim asserts to be at most, or at least, `value`
    """

    value: float
    at_most: bool
    claim: str
    why: str


# Chosen from what the words mean, not from results.
LIMITS = {
    "completely misses": Limit(
        0.10,
        True,
        "recall of objects at most 10 %",
        "Of ten objects nine go; a hit by luck is no refutation.",
    ),
    "struggles": Limit(0.50, True, "recall of objects at most half", "As many are missed as found, or more."),
    "often misses": Limit(0.50, True, "recall of objects at most half", "Often is half of the time or more."),
    "okay": Limit(0.50, False, "recall of objects at least half", "More are found than missed."),
    "a good job": Limit(0.50, False, "recall of objects at least half", "No less than okay."),
    "localises poorly": Limit(
        0.50,
        True,
        "IoU of the objects that are found at most half",
        "Above 0.5 PASCAL VOC counts a detection.",
    ),
    "crisp": Limit(
        2.0,
        True,
        "transitions across edges at most 2 px wide",
        "One pixel on either side: no mask can say less.",
    ),
    "blurry": Limit(4.0, False, "transitions across edges at least 4 px wide", "Twice as wide as crisp."),
    "not huge": Limit(
        0.10,
        True,
        "a gain of at most 10 points of mIoU",
        "Five times what is noticeable; chosen after an earlier study had shown gains of 3 and 10 points.",
    ),
    "no vanishing": Limit(
        2.0,
        True,
        "gradients that fall by at most 2 decades",
        "A hundredth still trains; vanishing goes on by level.",
    ),
    "focuses": Limit(
        0.70,
        False,
        "AUC of at least 0.7",
        "Acceptable discrimination (Hosmer and Lemeshow 2000); 0.5 is chance.",
    ),
    "only key features": Limit(
        0.50, True, "at most half of the energy let through", "More is held back than sent on."
    ),
    "little": Limit(
        0.10, True, "at most a tenth of the pixels", "As for a floor: what is left is nine in ten."
    ),
}


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
    def at_most(self) -> bool:
        """Whether the claim is that the level or difference is no larger than the limit.

        Then it is the negative that has to exceed the negative limit: weight and threshold are below 0.
        """
        return self.weight < 0

    @property
    def networks(self) -> tuple[str, ...]:
        return (*self.plus, *self.minus, *self.rivals)


@dataclass(frozen=True)
class Claim:
    """A sentence of the study, or a question of ours, and what decides it.

    kind:     ">", every deciding contrast lies above its threshold; "≈", every one within ±margin;
              "exact", as ">" for numbers that are counted; "audit", decided from the study's own tables;
              "none", not measured here
    measured: what is measured, and which contrasts decide; of kind "none" why nothing is
    caveat:   a sentence to go with the word "supported"
    origin:   "stated" by the study, "implied" by what it states, or "ours": a question that it does not ask
    quote, place: the study's own words, " … " between sentences of several places, and where they stand;
              from `study.toml`, which says which claims test a sentence; "" where the question is ours
    """

    id: str
    section: str = ""
    sentence: str = ""
    measured: str = ""
    contrasts: tuple[Contrast, ...] = ()
    kind: str = ">"
    margin: float | None = None
    caveat: str = ""
    origin: str = "stated"
    quote: str = ""
    place: str = ""

    @property
    def family(self) -> str:
        """F, U or M: the chapter that the claim belongs to."""
        return self.id[0]

    @property
    def corrected_with(self) -> str:
        """The claims among which the correction for many tests is made, and which are counted together.

        Questions of ours stand apart, so that none of them costs a sentence of the study its verdict.
        """
        return f"{self.family}, ours" if self.origin == "ours" else self.family


BOUNDARY = ("boundary_iou", "boundary_f1")
ENCODER = ("down1", "down2", "down3", "down4", "bottom")  # of a U-Net
PIXELS = tuple(f"{name}:{distance}" for name in BOUNDARY for distance in (1, 2, 3))
F1_PIXELS = tuple(name for name in PIXELS if "f1" in name)


def level(word: str, label: str, metric: str, *plus: str, minus: tuple[str, ...] = ()) -> Contrast:
    """Hold a level of a network, or a difference, against what one of the study's `LIMITS` means."""
    limit = LIMITS[word]
    sign = -1 if limit.at_most else 1
    return Contrast(label, metric, plus, minus, weight=sign, threshold=sign * limit.value)


def shown(*groups: tuple[Contrast, ...]) -> tuple[Contrast, ...]:
    """Contrasts that stand next to the verdict and do not decide."""
    return tuple(replace(contrast, decides=False) for group in groups for contrast in group)
