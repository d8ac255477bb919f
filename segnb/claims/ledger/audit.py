"""The claims that the audit of the published metric decides."""

from segnb.claims.claim import Claim

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
