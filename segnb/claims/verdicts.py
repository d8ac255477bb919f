"""The verdict on a claim, and all verdicts of a study: what claims.json holds.

Supported, refuted, inconclusive, not measurable at this size, or not measured; every word is computed, by the
rules below and the tests of `segnb.stats.decisions`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from segnb.claims.claim import FLOOR, Claim
from segnb.claims.effects import MeasuredContrast
from segnb.stats.decisions import Outlook
from segnb.stats.effect import Effect

UNMEASURABLE = "not measurable at this size"
WORDS = ("supported", "refuted", "inconclusive", UNMEASURABLE, "not measured")
DECIDED = WORDS[:2]
RULES = {
    "larger": "A claim that something is larger is supported when the interval of every deciding part lies"
    " above its threshold (zero, unless it says otherwise), and refuted when that of one lies below.",
    "equal": "A claim that nothing changes is supported when the interval of every deciding part lies within"
    " ±margin, and refuted when that of one lies outside. That no difference was found is not enough: a study"
    " that is too small finds none.",
    "family": "The level of the intervals is that at which at most 5 % of the verdicts given are wrong on"
    " average: with R of a family's m tested claims decided, 1 − 0.05 R/m (Benjamini and Yekutieli 2005)."
    " One part of several refutes only after correction for their number, for which its interval is widened.",
    "counted": "Numbers that are counted (parameters, operations, bytes, published scores) have no error and"
    " need no interval. Seconds are shown next to them and decide nothing.",
    "floor": "What would be inconclusive is not measurable at this size where a share that decides lies below"
    f" {100 * FLOOR:.0f} % even for the better network, above {100 - 100 * FLOOR:.0f} % even for the worse,"
    f" or below {100 * FLOOR:.0f} % even for perfect scores at their strides: that leaves no room for a"
    " difference.",
    "one seed": "With one seed a claim about trained networks is inconclusive: an interval is then about"
    " these very networks on new images, which is not the claim.",
}
RULES_OF_KIND = {
    ">": ("larger", "family"),
    "≈": ("equal", "family"),
    "exact": ("counted",),
    "audit": ("counted",),
    "none": (),
}


@dataclass(frozen=True)
class Verdict(Claim):
    """A claim of which every contrast has been measured, and what follows.

    word:       one of `WORDS`
    reason:     a few sentences with the numbers and the rule that gave the word
    headline:   the decisive contrast in words; "" where there is none
    p_for, p_against: see `segnb.stats.decisions.Decision`
    seeds:      the fewest of any contrast; 0 where none was trained
    seeds_needed, power: see `segnb.stats.decisions.Outlook`
    command:    what would measure or decide the claim, or computes it again
    decisive:   position of the contrast that the reason names
    outlook:    what more seeds would bring; not written to files
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
    command: str = ""
    decisive: int | None = None
    outlook: Outlook = field(default=Outlook(), compare=False, repr=False)

    @property
    def decisive_contrast(self) -> MeasuredContrast | None:
        return None if self.decisive is None else self.contrasts[self.decisive]

    @property
    def measured_contrasts(self) -> list[MeasuredContrast]:
        return [contrast for contrast in self.contrasts if contrast.estimate is not None]

    @property
    def rules(self) -> str:
        """The rules that the verdict goes by."""
        names = RULES_OF_KIND[self.kind] if self.trained else ("counted",)
        names += ("floor",) * bool(self.floors) + ("one seed",) * (self.seeds == 1)
        return " ".join(RULES[name] for name in names)

    @property
    def level(self) -> float:
        """The level of the claim's intervals, 0 to 1."""
        return next((contrast.level for contrast in self.contrasts if contrast.low is not None), 0.95)

    @property
    def widest(self) -> list[MeasuredContrast]:
        """Deciding contrasts of which the interval is the widest, one a unit: what the claim can tell."""
        widest: dict[str, MeasuredContrast] = {}
        for contrast in sorted(self.deciding, key=lambda one: one.half_width or 0.0):
            if contrast.half_width is not None and contrast.seeds > 1:
                widest[contrast.short_unit] = contrast
        return list(widest.values())

    # ---- what decides ----------------------------------------------------------------------------------

    @property
    def deciding(self) -> list[MeasuredContrast]:
        return [contrast for contrast in self.contrasts if contrast.decides]

    @property
    def trained(self) -> list[MeasuredContrast]:
        """Deciding contrasts that have an error of training, also those that were not measured."""
        return [contrast for contrast in self.deciding if contrast.repeats == "seeds"]

    @property
    def tested(self) -> list[MeasuredContrast]:
        """Those of them that were measured."""
        return [contrast for contrast in self.trained if not contrast.missing]

    @property
    def counted(self) -> list[MeasuredContrast]:
        """Deciding contrasts that are exact."""
        exact = [contrast for contrast in self.deciding if contrast.repeats != "seeds"]
        return [contrast for contrast in exact if not contrast.missing]

    @property
    def missing(self) -> list[str]:
        """Why deciding contrasts are missing, each reason once."""
        return list(dict.fromkeys(contrast.missing for contrast in self.deciding if contrast.missing))

    @property
    def floors(self) -> list[str]:
        """Why deciding contrasts leave no room for a difference, each reason once."""
        return list(dict.fromkeys(contrast.floor for contrast in self.deciding if contrast.floor))

    @property
    def one_seed(self) -> bool:
        return any(contrast.seeds < 2 for contrast in self.tested)

    @property
    def broken(self) -> list[MeasuredContrast]:
        """Counted contrasts that are not as the claim says."""
        return [contrast for contrast in self.counted if self.lead(contrast) < 0]

    def limit(self, contrast: MeasuredContrast) -> float:
        """Return where a contrast makes the claim wrong: its threshold, or the margin of equivalence."""
        return self.margin if self.kind == "≈" else contrast.threshold

    def lead(self, contrast: MeasuredContrast) -> float:
        """Return how far the estimate lies on the claim's side of where it would be wrong."""
        if self.kind == "≈":
            return self.margin - abs(contrast.estimate)
        return contrast.estimate - contrast.threshold or -np.inf  # at the threshold is not above it

    def question(self, contrasts: Iterable[MeasuredContrast]) -> tuple[str, list[Effect], list[float]]:
        """Return what `segnb.stats.decisions.evidence` is asked about contrasts: kind, effects, margins."""
        contrasts = list(contrasts)
        effects = [contrast.effect for contrast in contrasts]
        return "≈" if self.kind == "≈" else ">", effects, [self.limit(contrast) for contrast in contrasts]


@dataclass(frozen=True, kw_only=True)
class StudyVerdicts:
    """The verdicts on all claims, and what they rest on.

    schema:   1: decided by Holm's correction, with 95 % intervals that did not decide
    data:     name, origin, digest and counts, as in study.json
    settings: of the preset; None in files of older versions
    decided:  how many claims so many seeds are expected to decide; empty where nothing is known of it
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
    settings: dict | None = None
    command: str = ""
    rules: dict = field(default_factory=dict)
    decided: dict[str, float] = field(default_factory=dict)
    claims: tuple[Verdict, ...]

    @property
    def levels(self) -> dict[str, float]:
        """The level of the intervals of each family that has any."""
        return {
            claim.corrected_with: claim.level
            for claim in self.claims
            if claim.tested and claim.p_for is not None
        }

    @property
    def by_id(self) -> dict[str, Verdict]:
        return {claim.id: claim for claim in self.claims}

    def count(self, *words: str) -> int:
        """Return how many claims have one of these verdicts."""
        return sum(claim.word in words for claim in self.claims)
