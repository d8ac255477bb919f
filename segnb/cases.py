"""A claim with what was found of it: its verdict, and what more seeds would bring."""

from dataclasses import dataclass, field

import numpy as np

from segnb import statistics
from segnb.audit import scores
from segnb.claims import Claim
from segnb.contrasts import Finding

POWER_AT = (3, 5, 10)  # seeds for which the chance of a decision is told


@dataclass
class Case:
    """A claim with what was found of its parts, and the outcome of its tests among those of its family.

    decision: None where nothing is tested, as nothing has an error
    """

    claim: Claim
    findings: list[Finding]
    decision: statistics.Decision | None = None

    @property
    def deciding(self) -> list[Finding]:
        return [found for found in self.findings if found.part.decides]

    @property
    def measured(self) -> list[Finding]:
        return [found for found in self.deciding if not found.missing]

    @property
    def counted(self) -> list[Finding]:
        """Deciding parts that are exact."""
        return [found for found in self.measured if found.effect is None]

    @property
    def tested(self) -> list[Finding]:
        """Deciding parts that have an error."""
        return [found for found in self.measured if found.effect is not None]

    @property
    def trained(self) -> list[Finding]:
        """Those whose error is one of training."""
        return [found for found in self.tested if found.repeats == "seeds"]

    @property
    def missing(self) -> list[str]:
        """Why deciding parts are missing, each reason once."""
        return list(dict.fromkeys(found.missing for found in self.deciding if found.missing))

    @property
    def one_seed(self) -> bool:
        return any(found.effect.seeds < 2 for found in self.trained)

    @property
    def broken(self) -> list[Finding]:
        """Counted parts that are not as the claim says."""
        return [found for found in self.counted if self.lead(found) < 0]

    def lead(self, found: Finding) -> float:
        """How far the estimate lies on the claim's side of where it would be wrong."""
        if self.claim.kind == "≈":
            return self.claim.margin - abs(found.estimate)
        return found.estimate - found.part.threshold or -np.inf  # at the threshold is not above it

    @property
    def verdict(self) -> str:
        if self.claim.kind == "audit":
            return audited(self.claim).word
        if self.broken or (self.decision and self.decision.word == "refuted"):
            return "refuted"
        if self.missing:
            return "not measured"
        return self.decision.word if self.decision else "supported"  # without a test all of it is counted


def question(claim: Claim, findings: list[Finding]) -> tuple[str, list[statistics.Effect], list[float]]:
    """What `segnb.statistics` is asked about parts: kind, effects, and the margin of each."""
    margins = [claim.margin if claim.kind == "≈" else found.part.threshold for found in findings]
    return "≈" if claim.kind == "≈" else ">", [found.effect for found in findings], margins


def p_values(claim: Claim, found: Finding) -> tuple[float, float]:
    """p for and against of one part alone, corrected for nothing; NaN where it cannot be tested."""
    return statistics.evidence(*question(claim, [found]))


def audited(claim: Claim) -> scores.Verdict:
    return {"M1": scores.verdict_m1, "M2": scores.verdict_m2}[claim.id](scores.published_scores())


# ---- how many seeds --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outlook:
    """What more seeds would bring if effects and spreads stay as they are.

    needed: seeds at which the claim would be decided with a chance of 80 %; None: no number that is known
    images: False where it takes more test images, or a clearer effect, whatever the seeds
    power:  chance of a decision by number of seeds; empty where seeds have no part in it
    """

    needed: int | None = None
    images: bool = True
    power: dict[str, float] = field(default_factory=dict)


def outlook(case: Case, claims: int) -> Outlook:
    """claims: how many of the family are tested."""
    if not case.trained or case.missing or not all(found.effect.testable for found in case.trained):
        return Outlook()
    asked = question(case.claim, case.trained)
    needed = statistics.seeds_needed(*asked, claims=claims)
    return Outlook(
        needed,
        needed is not None or statistics.images_suffice(*asked, claims=claims),
        {str(seeds): statistics.power(*asked, seeds=seeds, claims=claims) for seeds in POWER_AT},
    )
