"""The verdict on a claim, and all verdicts of a study: what claims.json holds.

Supported, refuted, inconclusive or not measured; every word is computed, by the rules below and the tests of
`segnb.stats.decisions`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from segnb.claims.claim import Claim
from segnb.claims.effects import MeasuredContrast
from segnb.stats.decisions import Outlook
from segnb.stats.effect import Effect

WORDS = ("supported", "refuted", "inconclusive", "not measured")
DECIDED = WORDS[:2]
RULES = {
    "larger": "A claim that something is larger is supported when the 95 % interval of every deciding part"
    " lies above its threshold (zero, unless it says otherwise), and refuted when one lies below, corrected"
    " for the number of parts.",
    "equal": "A claim that nothing changes is supported when the 90 % interval of every deciding part lies"
    " within ±margin, and refuted when a 95 % interval, corrected for the number of parts, lies outside."
    " That no difference was found is not enough: a study that is too small finds none.",
    "family": "It must also pass Holm's correction over all claims on FCNs, or over all on U-Nets, that were"
    " tested.",
    "counted": "Numbers that are counted (parameters, operations, bytes, published scores) have no error and"
    " need no p.",
    "one seed": "With one seed a claim about trained networks is inconclusive: an interval is then about"
    " these very networks on new images, which is not the claim.",
}
RULES_OF_KIND = {
    ">": ("larger", "family"),
    "≈": ("equal", "family"),
    "exact": ("counted",),
    "audit": ("counted",),
}


@dataclass(frozen=True)
class Verdict(Claim):
    """A claim of which every contrast has been measured, and what follows.

    word:       one of `WORDS`
    reason:     a few sentences with the numbers and the rule that gave the word
    headline:   the decisive contrast in words; "" where there is none
    p, p_against: for and against by the claim's own seeds
    p_holm, p_against_holm: the same among its family, see `segnb.stats.decisions.Decision`
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
    p: float | None = None
    p_holm: float | None = None
    p_against: float | None = None
    p_against_holm: float | None = None
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
        names = RULES_OF_KIND[self.kind] + ("one seed",) * (self.seeds == 1)
        return " ".join(RULES[name] for name in names)

    @property
    def p_of_word(self) -> float | None:
        """The corrected p of the side on which the verdict lies."""
        return self.p_against_holm if self.word == "refuted" else self.p_holm

    # ---- what decides ----------------------------------------------------------------------------------

    @property
    def deciding(self) -> list[MeasuredContrast]:
        return [contrast for contrast in self.contrasts if contrast.decides]

    @property
    def counted(self) -> list[MeasuredContrast]:
        """Deciding contrasts that are exact."""
        return [contrast for contrast in self.deciding if not contrast.missing and not contrast.repeats]

    @property
    def tested(self) -> list[MeasuredContrast]:
        """Deciding contrasts that have an error."""
        return [contrast for contrast in self.deciding if not contrast.missing and contrast.repeats]

    @property
    def trained(self) -> list[MeasuredContrast]:
        """Those whose error is one of training."""
        return [contrast for contrast in self.tested if contrast.repeats == "seeds"]

    @property
    def missing(self) -> list[str]:
        """Why deciding contrasts are missing, each reason once."""
        return list(dict.fromkeys(contrast.missing for contrast in self.deciding if contrast.missing))

    @property
    def one_seed(self) -> bool:
        return any(contrast.seeds < 2 for contrast in self.trained)

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

    data:     name, origin, digest and counts, as in study.json
    settings: of the preset; None in files of older versions
    decided:  how many claims so many seeds are expected to decide; empty where nothing is known of it
    """

    schema: int = 1
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
    def by_id(self) -> dict[str, Verdict]:
        return {claim.id: claim for claim in self.claims}

    def count(self, *words: str) -> int:
        """Return how many claims have one of these verdicts."""
        return sum(claim.word in words for claim in self.claims)
