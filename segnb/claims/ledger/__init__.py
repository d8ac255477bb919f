"""The ledger: each claim of the study as data.

To add a claim, add an entry to `FCN_CLAIMS` or `UNET_CLAIMS` and show it in a cell of that notebook:
`chapter.show_claims("U16")`. A claim has contrasts of networks, each in a metric (`segnb.claims.metrics`);
`segnb.claims.decide` decides it. Sentences are the study's, in our words.

Each entry adds one to the family (F or U) whose claims are decided together. The level of the family's
intervals changes with it, so that another claim can become inconclusive, or be decided.
"""

from segnb.claims.claim import POINT, Claim, Contrast, shown
from segnb.claims.ledger.fcn import FCN_CLAIMS
from segnb.claims.ledger.unet import UNET_CLAIMS
from segnb.claims.related_studies import DRIVES, INTERLEAVED

LEAK = tuple(
    Contrast(
        f"{label}, split within drives − by drive", "miou", (f"{INTERLEAVED}:{name}",), (f"{DRIVES}:{name}",)
    )
    for label, name in (
        ("U-Net", "UNet_Standard_256"),
        ("FCN-8s, fine-tuned", "FCN8s_vgg16_finetune"),
        ("FCN-8s, frozen", "FCN8s_vgg16_freeze"),
    )
)
COPY = tuple(
    Contrast(
        f"copying the mask of the most alike training frame, split {word}", "copied", (f"{place}:{name}",)
    )
    for word, place in (("within drives", INTERLEAVED), ("by drive", DRIVES))
    for name in ("UNet_Standard_256",)  # of its size
)

# The audit of the study's own numbers decides these, see `segnb.audit.scores`; but for M4.
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
    Claim(
        "M3",
        "the split",
        "The study's test frames are new to its networks.",
        "The drives of the public set's 5,000 frames, split by the rule that fits all 25 frames of the study"
        " whose names are known: which drives are on both sides. The rule is inferred, not the study's word.",
        kind="audit",
    ),
    Claim(
        "M4",
        "the split",
        "A split within drives scores as a split by drive does.",
        "Test mIoU on the same frames of rendered drives, trained on frames between them minus trained on as"
        " many frames of other drives, within 1 point; each network decides. What copying masks would score"
        " is shown: for each test frame the mask of the training frame that looks most alike.",
        LEAK + shown(COPY),
        kind="≈",
        margin=POINT,
    ),
)

LEDGER: dict[str, Claim] = {claim.id: claim for claim in FCN_CLAIMS + UNET_CLAIMS + AUDIT_CLAIMS}
