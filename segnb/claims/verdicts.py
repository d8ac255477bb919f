"""Comparisons with their numbers, claims with their verdicts, and all verdicts of a study, as in claims.json.

A verdict is supported, refuted, inconclusive, not measurable at this size, or not measured. It is computed by
the rules below and the tests of `segnb.stats.decisions`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from segnb.claims.claim import FLOOR, Claim, Contrast
from segnb.claims.related_studies import origin
from segnb.stats.effect import Effect
from segnb.storage.files import in_markdown

UNMEASURABLE = "not measurable at this size"
WORDS = ("supported", "refuted", "inconclusive", UNMEASURABLE, "not measured")
DECIDED = WORDS[:2]
RULES = {
    "larger": "A claim that something is larger is supported if the interval of every deciding comparison"
    " lies above its threshold (zero unless stated otherwise). It is refuted if one of these intervals lies"
    " below.",
    "equal": "A claim that nothing changes is supported if the interval of every deciding comparison lies"
    " within ±margin. It is refuted if one of these intervals lies outside. Finding no difference is not"
    " enough: a study that is too small finds none.",
    "family": "The level of the intervals is chosen so that, if tests are fixed before results, on average at"
    " most 5% of the supported and refuted claims are decided wrongly. If R of the m tested claims of a"
    " family are decided, the level is 1 − 0.05 R/m (Benjamini and Yekutieli 2005). If several"
    " comparisons decide a claim, one of them refutes it only after a correction for their number, which"
    " widens its interval.",
    "counted": "Counted numbers (parameters, operations, bytes, reported scores) have no error and need no"
    " interval. Times are shown in addition and do not decide.",
    "floor": "A claim on a share that would be inconclusive is not measurable at this size if there is no"
    f" room for a difference: the share is below {100 * FLOOR:.0f}% even for the better network, above"
    f" {100 - 100 * FLOOR:.0f}% even for the worse network, or below {100 * FLOOR:.0f}% even for perfect"
    " scores at the networks' strides.",
    "one seed": "With one seed, a claim about trained networks is inconclusive: its interval covers the"
    " choice of test images but not the variation between runs. A comparison with a limit, or with a study"
    " of other data, takes three seeds.",
}


@dataclass(frozen=True)
class MeasuredContrast(Contrast):
    """A comparison with its numbers, as in claims.json; None stands for a missing number.

    words, unit, scale: the name of the metric; a printed number is the value times `scale`, in `unit`. If the
                claim states an upper limit, value and scale are negative.
    margin:     of a claim of equivalence
    low, high:  the interval that decides, see `segnb.stats.decisions.interval`; a share's ends at 0 and 1
    level:      of the interval, 0 to 1; all claims of a family have the same
    se, dof:    standard error and degrees of freedom of the interval and of p
    image_se:   the part of `se` that is due to images
    p_for, p_against: of this comparison alone
    missing:    the reason why there is no number; "" otherwise
    floor:      the reason why there is no room for a difference, see `Effects.floor`; "" otherwise
    effect:     the tested effect; not written to files
    """

    words: str = ""
    unit: str = ""
    scale: float = 1
    margin: float | None = None
    estimate: float | None = None
    seeds: int = 0
    by_seed: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    se: float | None = None
    dof: float | None = None
    seed_sd: float | None = None
    image_se: float | None = None
    p_for: float | None = None
    p_against: float | None = None
    missing: str = ""
    floor: str = ""
    effect: Effect | None = field(default=None, compare=False, repr=False)

    @property
    def identity(self) -> tuple[str, str, str, bool]:
        """What is the same in two studies. The metric's words tell an earlier definition of it apart."""
        return self.label, self.metric, self.words, self.at_most

    @property
    def compares_networks(self) -> bool:
        """Whether it is a difference of networks."""
        # A comparison from results/ has no networks, but the label of a difference has a minus.
        return bool(self.minus) or " − " in self.label

    @property
    def is_level(self) -> bool:
        """Whether it compares a value of one network with a limit."""
        return bool(self.threshold) and not self.compares_networks

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval."""
        return None if self.low is None else (self.high - self.low) / 2

    @property
    def short_unit(self) -> str:
        """The unit without the metric, such as "points" for "points of mIoU"."""
        return self.unit.partition(" of ")[0]


@dataclass(frozen=True)
class Verdict(Claim):
    """A claim with measured comparisons and its verdict.

    word:       the verdict, one of `WORDS`
    reason:     a few sentences with the numbers and the rule that gave the verdict
    headline:   the decisive comparison as text; "" without one
    p_for, p_against: see `segnb.stats.decisions.Decision`
    seeds:      the smallest number of seeds of any comparison; 0 if nothing was trained
    seeds_needed, power, images_suffice: see `segnb.stats.decisions.Outlook`
    command:    a command that would measure or decide the claim, or computes it again
    decisive:   position of the comparison that the reason names
    """

    contrasts: tuple[MeasuredContrast, ...] = ()
    word: str = "not measured"
    reason: str = ""
    headline: str = ""
    p_for: float | None = None
    p_against: float | None = None
    seeds: int = 0
    seeds_needed: int | None = None
    power: dict[str, float] = field(default_factory=dict)
    images_suffice: bool = True
    command: str = ""
    decisive: int | None = None

    @property
    def decisive_contrast(self) -> MeasuredContrast | None:
        return None if self.decisive is None else self.contrasts[self.decisive]

    @property
    def measured_contrasts(self) -> list[MeasuredContrast]:
        return [contrast for contrast in self.contrasts if contrast.estimate is not None]

    @property
    def level(self) -> float:
        """The level of the claim's intervals, 0 to 1."""
        return next((contrast.level for contrast in self.contrasts if contrast.low is not None), 0.95)

    @property
    def widest(self) -> list[MeasuredContrast]:
        """The deciding comparison with the widest interval, for each unit."""
        known = [part for part in self.deciding if part.half_width is not None and part.seeds > 1]
        known.sort(key=lambda contrast: contrast.half_width)
        return list({contrast.short_unit: contrast for contrast in known}.values())  # the last of each unit

    @property
    def test(self) -> tuple:
        """What decides the claim: kind, margin, and the deciding comparisons with their limits.

        Older files contain tests of earlier versions.
        """
        parts = {(*contrast.identity, contrast.threshold) for contrast in self.deciding}
        return self.kind, self.margin, parts

    # ---- deciding comparisons --------------------------------------------------------------------------

    @property
    def deciding(self) -> list[MeasuredContrast]:
        return [contrast for contrast in self.contrasts if contrast.decides]

    @property
    def trained(self) -> list[MeasuredContrast]:
        """Deciding comparisons that vary between runs, including unmeasured ones."""
        return [contrast for contrast in self.deciding if contrast.repeats == "seeds"]

    @property
    def tested(self) -> list[MeasuredContrast]:
        """Measured deciding comparisons that vary between runs."""
        return [contrast for contrast in self.trained if not contrast.missing]

    @property
    def counted(self) -> list[MeasuredContrast]:
        """Measured deciding comparisons that are exact."""
        return [part for part in self.deciding if part.repeats != "seeds" and not part.missing]

    @property
    def missing(self) -> list[str]:
        """The reasons why deciding comparisons are missing, without duplicates."""
        return list(dict.fromkeys(contrast.missing for contrast in self.deciding if contrast.missing))

    @property
    def floors(self) -> list[str]:
        """The reasons why deciding comparisons that do not pass leave no room, without duplicates."""
        fail = [part for part in self.deciding if part.low is None or part.low <= self.limit(part)]
        return list(dict.fromkeys(part.floor for part in fail if part.floor))

    @property
    def few_seeds(self) -> bool:
        """Whether a deciding comparison has too few seeds for a test; unknown in a claim from a file."""
        return any(contrast.effect and contrast.effect.few_seeds for contrast in self.tested)

    @property
    def broken(self) -> list[MeasuredContrast]:
        """Counted comparisons that contradict the claim."""
        return [contrast for contrast in self.counted if self.lead(contrast) < 0]

    def limit(self, contrast: MeasuredContrast) -> float:
        """Return the limit of a comparison: its threshold, or the margin of equivalence."""
        return self.margin if self.kind == "≈" else contrast.threshold

    def lead(self, contrast: MeasuredContrast) -> float:
        """Return how far the estimate lies on the claim's side of the limit."""
        if self.kind == "≈":
            return self.margin - abs(contrast.estimate)
        return contrast.estimate - contrast.threshold or -np.inf  # a value at the threshold is not above it

    def question(self, contrasts: Iterable[MeasuredContrast]) -> tuple[str, list[Effect], list[float]]:
        """Return the arguments of `segnb.stats.decisions.evidence`: kind, effects and margins."""
        contrasts = list(contrasts)
        effects = [contrast.effect for contrast in contrasts]
        return "≈" if self.kind == "≈" else ">", effects, [self.limit(contrast) for contrast in contrasts]


@dataclass(frozen=True, kw_only=True)
class StudyVerdicts:
    """The verdicts on all claims of a study, with its data, seeds and settings.

    schema:   1 in older files: decided by Holm's correction, with 95% intervals that did not decide
    data:     name, origin, digest and counts, as in study.json; for rendered scenes also truth, a digest of
              the ground truth of the test images by size in pixels
    settings: of the preset
    command:  repeats the study
    scores:   by network: test mIoU of each seed (miou), estimated minutes of one training at the machine's
              timed speed (minutes), and memory of a training step (memory_mib); see `segnb.evaluation.cost`
    decided:  number of seeds, as text: expected number of decided claims; empty if unknown
    """

    schema: int = 2
    study: str
    preset: str
    date: str
    data: dict
    seeds: list[int]
    networks: list[str] = field(default_factory=list)
    machine: str
    weights: str = ""
    code: str = ""
    settings: dict
    command: str
    rules: dict = field(default_factory=dict)
    scores: dict[str, dict] = field(default_factory=dict)
    decided: dict[str, float] = field(default_factory=dict)
    claims: tuple[Verdict, ...]

    @property
    def levels(self) -> dict[str, float]:
        """The level of the intervals by family, for families with tested claims."""
        tested = [claim for claim in self.claims if claim.tested and claim.p_for is not None]
        return {claim.corrected_with: claim.level for claim in tested}

    @property
    def by_id(self) -> dict[str, Verdict]:
        return {claim.id: claim for claim in self.claims}

    @property
    def images(self) -> str:
        """The images of the study in Markdown, such as "photographs (CamVid)"."""
        return in_markdown(origin(self.data))

    @property
    def several_seeds(self) -> bool:
        """Whether any claim rests on more than one seed."""
        return any(claim.seeds > 1 for claim in self.claims)

    def overlaps(self, other: "StudyVerdicts") -> bool:
        """Return whether both rest on common runs: they are of one study and have a seed in common."""
        return self.study == other.study and not {*self.seeds}.isdisjoint(other.seeds)

    def on_other_data(self, other: "StudyVerdicts") -> bool:
        """Return whether the other study has the same preset and other data."""
        return self.preset == other.preset and self.data["name"] != other.data["name"]

    def count(self, *words: str) -> int:
        """Count the claims with one of these verdicts."""
        return sum(claim.word in words for claim in self.claims)
