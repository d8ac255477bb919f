"""The types of the ledger: claims, comparisons of networks and limits."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

POINT = 0.01  # margin of equivalence: one point of mIoU, recall or IoU
SHARE = 0.10  # margin of equivalence of costs: a tenth
NOTICEABLE = 0.02  # a noticeable gain: two points of mIoU
FLOOR = 0.10  # if both shares are below FLOOR or above 1 - FLOOR, there is no room for a difference


class Limit(NamedTuple):
    """The limit that stands for an absolute word of the study, and the side on which the word is true.

    at_most: whether the word is true up to `value`, or from `value`
    claim:   the condition as a clause
    why:     the reason for the value
    """

    value: float
    at_most: bool
    claim: str
    why: str


# From the meaning of the words, written with results of earlier runs known (docs/methods.md).
LIMITS = {
    "completely misses": Limit(
        0.10,
        True,
        "recall of objects is at most 10%",
        "Nine of ten objects are missed; a lucky hit does not refute the claim.",
    ),
    "struggles": Limit(
        0.50, True, "recall of objects is at most half", "At least as many objects are missed as found."
    ),
    "often misses": Limit(
        0.50, True, "recall of objects is at most half", "Often means half of the time or more."
    ),
    "okay": Limit(0.50, False, "recall of objects is at least half", "More objects are found than missed."),
    "a good job": Limit(0.50, False, "recall of objects is at least half", "No less than okay."),
    "localises poorly": Limit(
        0.50,
        True,
        "mean IoU of the objects found is at most half",
        "PASCAL VOC (Everingham et al. 2010) counts an object as detected above an IoU of 0.5.",
    ),
    "crisp": Limit(
        2.0,
        True,
        "transitions across edges are at most 2 px wide",
        "One pixel on each side; a mask cannot be more precise.",
    ),
    "blurry": Limit(4.0, False, "transitions across edges are at least 4 px wide", "Twice as wide as crisp."),
    "no improvement": Limit(
        POINT, True, "the gain is at most 1 point", "A convention: smaller gains rarely decide a choice."
    ),
    "not huge": Limit(
        0.10,
        True,
        "the gain is at most 10 points of mIoU",
        "Five times a noticeable gain; chosen after an earlier study had shown gains of 3 and 10 points.",
    ),
    "no vanishing": Limit(
        2.0,
        True,
        "gradients fall by at most 2 decades",
        "A layer with a hundredth of the gradient still trains; vanishing gradients shrink with every level.",
    ),
    "focuses": Limit(
        0.70,
        False,
        "the AUC is at least 0.7",
        "Acceptable discrimination (Hosmer and Lemeshow 2000); 0.5 is chance.",
    ),
    "little": Limit(
        0.10, True, "at most a tenth of the pixels", "Nine of ten pixels then belong to other classes."
    ),
}

# Words that a threshold or margin of comparisons stands for: the condition as a clause, and the reason.
MARGINS = {
    "noticeably": ("the gain is more than 2 points of mIoU", "Twice the margin of equality."),
    "much clearer": (
        "the gains differ by more than 2 points of mIoU",
        "As for “noticeably”; chosen after F10 had shown 1.6 points.",
    ),
    "achieves thanks to, brings back": (
        "the loss without the part is more than 1 point of mIoU",
        "The same margin as for no improvement.",
    ),
    "consistently": ("best on more than half of the images", "Best more often than not; chance is a third."),
    "does not matter": ("scores differ by at most 1 point", "The same margin as for no improvement."),
    "little overhead": ("costs rise by at most a tenth", "A convention: it rarely needs another machine."),
}


# Column of cost.json: its name, and the column with the samples of each round if it was timed.
COSTS = {
    "parameters": ("parameters", None),
    "gflops": ("operations per prediction", None),
    "train_gflops": ("operations per training step", None),
    "memory_mib": ("peak memory of a training step", None),
    "train_seconds": ("training seconds per image", "train_samples"),
    "predict_seconds": ("prediction seconds per image", "predict_samples"),
}


@dataclass(frozen=True)
class Contrast:
    """A comparison of networks on one metric, on the same test images and with the same seeds.

    Its value is the mean over seeds of (sum over `plus` - sum over `minus`) · weight.

    metric:    a name in `segnb.claims.metrics.METRICS`, or a column of cost.json, for which the value is
               (plus - minus) / minus
    plus, minus: variants; "streets-car:UNet_Standard_256" is a variant of a related study
    rivals:    variants that the metric compares the network with, and that are not in the sum
    threshold: the value must exceed it
    decides:   whether the verdict rests on the comparison; otherwise it is only shown
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
        """Whether the claim states an upper limit.

        If so, weight and threshold are negative: the negative value must exceed the negative limit.
        """
        return self.weight < 0

    @property
    def repeats(self) -> str:
        """How the value varies: with "seeds", with "rounds" of timings, or "" for counted numbers."""
        if self.metric not in COSTS:
            return "seeds"
        return "rounds" if COSTS[self.metric][1] else ""

    @property
    def networks(self) -> tuple[str, ...]:
        return (*self.plus, *self.minus, *self.rivals)


@dataclass(frozen=True)
class Claim:
    """A sentence of the study, or a null hypothesis of ours, and the comparisons that decide it.

    section:  of the ledger, see `segnb.claims.ledger.SECTIONS`
    kind:     ">", every deciding comparison lies above its threshold; "≈", each lies within ±margin (the
              ledger sets it for every claim with a margin);
              "exact", like ">" for counted numbers; "audit", decided from the study's own tables;
              "none", not measured here
    measured: the metrics and the comparisons that decide; for kind "none", the reason why nothing is measured
    caveat:   a sentence that follows the verdict "supported"
    origin:   "stated" by the study, "implied" by a statement, or "ours": a null hypothesis of segnb
    quote, place: the study's own words, with " … " between places, and their places in the study; from
              `study.toml`, which lists the claims that test a sentence; "" for a null hypothesis of ours
    """

    id: str
    section: str = field(default="", kw_only=True)
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
        """F, U or M: the chapter of the claim."""
        return self.id[0]

    @property
    def corrected_with(self) -> str:
        """The group of claims that are corrected for multiple tests, and counted, together.

        Our null hypotheses form separate groups, so that they cannot change a verdict on the study.
        """
        return f"{self.family}, ours" if self.origin == "ours" else self.family


BOUNDARY = ("boundary_iou", "boundary_f1")
ENCODER = ("down1", "down2", "down3", "down4", "bottom")  # of a U-Net
# Boundary metrics at each distance in px, by name.
PIXELS = tuple(f"{name}:{distance}" for name in BOUNDARY for distance in (1, 2, 3))
F1_PIXELS = tuple(name for name in PIXELS if "f1" in name)


def against(word: str, contrasts: tuple[Contrast, ...]) -> tuple[Contrast, ...]:
    """Compare networks, or differences of networks, with the limit of a word of the study (`LIMITS`)."""
    limit = LIMITS[word]
    sign = -1 if limit.at_most else 1
    return tuple(replace(contrast, weight=sign, threshold=sign * limit.value) for contrast in contrasts)


def secondary(*groups: tuple[Contrast, ...]) -> tuple[Contrast, ...]:
    """Return the comparisons marked as secondary: shown, but not deciding."""
    return tuple(replace(contrast, decides=False) for group in groups for contrast in group)
