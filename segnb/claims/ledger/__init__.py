"""The ledger: each claim of the study as data.

To add a claim, add an entry to `FCN_CLAIMS` or `UNET_CLAIMS` and show it in a cell of that notebook:
`chapter.show_claims("U16")`. A claim has contrasts of networks, each in a metric (`segnb.claims.metrics`);
`segnb.claims.decide` decides it. Sentences are the study's, in our words.

Each entry adds one to the family (F or U) whose claims are decided together. The level of the family's
intervals changes with it, so that another claim can become inconclusive, or be decided.
"""

from segnb.claims.claim import Claim
from segnb.claims.ledger.fcn import FCN_CLAIMS
from segnb.claims.ledger.unet import UNET_CLAIMS

# The audit of the published metric decides these, see `segnb.audit.scores`.
AUDIT_CLAIMS = (
    Claim(
        "M1",
        "the metric",
        "The published mIoU is the mean class IoU of the test set.",
        "The published scores against the means of the published class IoUs, beyond the error of reading"
        " them off bar charts.",
        kind="audit",
    ),
    Claim(
        "M2",
        "the metric",
        "The ranking of the networks survives the correction of the metric.",
        "Kendall's tau-b between the two published rankings, and each pair that swaps beyond the reading"
        " error in both scores.",
        kind="audit",
    ),
)

LEDGER: dict[str, Claim] = {claim.id: claim for claim in FCN_CLAIMS + UNET_CLAIMS + AUDIT_CLAIMS}
