"""The ledger: each claim of the study as data. To add a claim is to add an entry.

A claim has parts (`segnb.parts`), each a contrast of networks in a measure (`segnb.evidence`), which
`segnb.verdicts` weighs. Sentences are the study's, in our words.
"""

from dataclasses import dataclass, replace

from segnb.companions import FALSE_COLOURS, PHOTOGRAPHS
from segnb.parts import (
    BOUNDARY,
    CLASS_GATED,
    ENCODER,
    F1_PIXELS,
    GATED,
    GATED_RESIDUAL,
    NO_SKIP,
    PIXELS,
    RESIDUAL,
    STRIDED,
    STRIDES,
    UNET,
    Part,
    best_of_three,
    each_gate,
    focus,
    gain_elsewhere,
    gain_over,
    gates,
    pair,
    shown,
    strides,
    tuning,
)

POINT = 0.01  # the margin of equivalence: one point of mIoU, recall or IoU
SHARE = 0.10  # of seconds, memory, parameters and operations
NOTICEABLE = 0.02  # two points of mIoU


@dataclass(frozen=True)
class Claim:
    """A sentence of the study and what decides it.

    kind:     ">", every deciding part lies above its threshold; "≈", every one within ±margin;
              "exact", as ">" for numbers that are counted; "audit", decided from the published table
    measured: what is measured, and which parts decide
    caveat:   a sentence to go with the word "supported"
    """

    id: str
    section: str
    sentence: str
    measured: str
    parts: tuple[Part, ...] = ()
    kind: str = ">"
    margin: float | None = None
    caveat: str = ""

    @property
    def family(self) -> str:
        """F, U or M: the claims among which Holm's correction is made."""
        return self.id[0]


# ---- the ledger ------------------------------------------------------------------------------------------

FCN_CLAIMS = (
    Claim(
        "F1",
        "FCN: strides",
        "mIoU rises from FCN-32s to FCN-16s to FCN-8s under the same settings.",
        "Test mIoU; both steps decide, with a frozen and with a fine-tuned trunk.",
        strides(16, 32, "miou") + strides(8, 16, "miou"),
    ),
    Claim(
        "F2",
        "FCN: strides",
        "FCN-32s misses small objects.",
        "Recall of objects by size, FCN-8s minus FCN-32s: small ones decide, medium and large are shown.",
        strides(8, 32, "recall:small") + shown(strides(8, 32, "recall:medium", "recall:large")),
    ),
    Claim(
        "F3",
        "FCN: strides",
        "FCN-32s draws rough and blurry boundaries.",
        "Boundary IoU and boundary F1 at 1, 2 and 3 px, FCN-8s minus FCN-32s; all decide.",
        strides(8, 32, *PIXELS),
    ),
    Claim(
        "F4",
        "FCN: strides",
        "FCN-16s handles medium objects better than FCN-32s.",
        "Recall and IoU of medium objects; both decide.",
        strides(16, 32, "recall:medium", "object_iou:medium"),
    ),
    Claim(
        "F5",
        "FCN: strides",
        "FCN-16s draws smoother boundaries than FCN-32s.",
        "Boundary F1 (mean over 1, 2 and 3 px), and how much closer the contours' length, as |log ratio|,"
        " comes to the true one; both decide. F1 at each distance is shown.",
        strides(16, 32, "boundary_f1") + strides(32, 16, "roughness") + shown(strides(16, 32, *F1_PIXELS)),
    ),
    Claim(
        "F6",
        "FCN: strides",
        "FCN-8s is best for small and medium objects and for boundaries.",
        "Recall of small and of medium objects, IoU of medium ones, boundary IoU and F1 (means over 1, 2 and"
        " 3 px), FCN-8s minus each of the others; all decide.",
        tuple(
            part
            for other in (16, 32)
            for part in strides(8, other, "recall:small", "recall:medium", "object_iou:medium", *BOUNDARY)
        ),
    ),
    Claim(
        "F7",
        "FCN: frozen or fine-tuned",
        "Freezing the trunk makes training faster.",
        "Seconds an image of a training step, same loop, nothing cached: what fine-tuning adds, as a share"
        " of the frozen step's; every stride decides. Timed in rounds over all networks, so rounds, not"
        " seeds, are repeated.",
        tuple(part for stride in STRIDES for part in tuning(stride, "train_seconds")),
    ),
    Claim(
        "F8",
        "FCN: frozen or fine-tuned",
        "Freezing the trunk takes less memory.",
        "Peak memory of a training step: what fine-tuning adds, as a share of the frozen step's. On a GPU"
        " the allocator's peak; on a CPU the bytes of parameters, gradients, optimiser and saved"
        " activations, which decide, and the peak resident size of the process, which is shown.",
        tuple(part for stride in STRIDES for part in tuning(stride, "memory_mib"))
        + shown(*(tuning(stride, "resident_mib") for stride in STRIDES)),
        kind="exact",
    ),
    Claim(
        "F9",
        "FCN: frozen or fine-tuned",
        "Fine-tuning gives noticeably better results.",
        "Test mIoU, fine-tuned minus frozen, against 2 points; every stride decides.",
        tuple(replace(part, threshold=NOTICEABLE) for stride in STRIDES for part in tuning(stride, "miou")),
    ),
    Claim(
        "F10",
        "FCN: frozen or fine-tuned",
        "FCN-8s gains more from fine-tuning than FCN-16s and FCN-32s do.",
        "Difference of two differences of test mIoU; both comparisons decide.",
        (gain_over(8, 16), gain_over(8, 32)),
    ),
    Claim(
        "F11",
        "FCN: frozen or fine-tuned",
        "For FCN-32s and FCN-16s the gain from fine-tuning is small early in training.",
        "Final gain minus the gain after a fifth of the epochs (rounded up), from validation mIoU; both"
        " strides decide. The two gains are shown. Only seeds are repeated: validation scores are kept"
        " without images.",
        tuning(32, "val:rise")
        + tuning(16, "val:rise")
        + shown(*(tuning(stride, "val:early", "val:final") for stride in (32, 16))),
    ),
    Claim(
        "F12",
        "FCN: frozen or fine-tuned",
        "Fine-tuning helps more the further the data are from ImageNet.",
        "Gain in test mIoU over the classes that all data have in common, mean over strides: on scenes in"
        " false colours minus on the same scenes, and on scenes minus on photographs (CamVid), with as many"
        " training images and steps; both decide.",
        (
            gain_elsewhere("false colours − rendered", f"{FALSE_COLOURS}:", ""),
            gain_elsewhere("rendered − photographs", "", f"{PHOTOGRAPHS}:"),
        ),
        caveat="This is consistent with the claim and no proof: the data differ in more than their distance.",
    ),
    Claim(
        "F13",
        "FCN: strides",
        "FCN-8s is consistently the best of the three.",
        "Share of the test images and of the classes in which it is, against one half; both decide, frozen"
        " and fine-tuned. The share of the seeds is shown: a few wins in a row prove nothing.",
        best_of_three("best:images") + best_of_three("best:classes") + shown(best_of_three("best:seeds")),
    ),
    Claim(
        "F14",
        "FCN: strides",
        "FCN-32s does fine on big, obvious objects.",
        "Recall of large objects and IoU of Road, Building and Car, FCN-8s minus FCN-32s, within 1 point;"
        " all decide.",
        strides(8, 32, "recall:large", "iou:Road", "iou:Building", "iou:Car"),
        kind="≈",
        margin=POINT,
    ),
    Claim(
        "F15",
        "FCN: strides",
        "FCN-16s still struggles with the smallest details.",
        "Recall of small objects, boundary IoU and F1 at 1 px, FCN-8s minus FCN-16s; all decide.",
        strides(8, 16, "recall:small", "boundary_iou:1", "boundary_f1:1"),
    ),
)

UNET_CLAIMS = (
    Claim(
        "U1",
        "U-Net: skips",
        "Skip connections raise quality.",
        "Test mIoU with skips minus without.",
        pair(UNET, NO_SKIP, "miou"),
    ),
    Claim(
        "U2",
        "U-Net: skips",
        "Without skips boundaries are soft or missing.",
        "Boundary IoU and F1 (means over 1, 2 and 3 px), with skips minus without, and the width of the"
        " soft-max transition across true edges, without minus with; all decide. Each distance and the share"
        " of true edges without any transition are shown.",
        pair(UNET, NO_SKIP, *BOUNDARY)
        + pair(NO_SKIP, UNET, "softness")
        + shown(pair(UNET, NO_SKIP, *PIXELS), pair(NO_SKIP, UNET, "missing_edges")),
    ),
    Claim(
        "U3",
        "U-Net: skips",
        "Without skips small objects are missed.",
        "Recall of small objects, with skips minus without.",
        pair(UNET, NO_SKIP, "recall:small") + shown(pair(UNET, NO_SKIP, "recall:medium", "recall:large")),
    ),
    Claim(
        "U4",
        "U-Net: skips",
        "Without skips predictions do not align with the shapes of the input.",
        "Mean distance from true edges to predicted ones, without skips minus with, and agreement of"
        " predicted edges with the gradients of the image, with minus without; both decide.",
        pair(NO_SKIP, UNET, "edge_distance") + pair(UNET, NO_SKIP, "edge_agreement"),
    ),
    Claim(
        "U5",
        "U-Net: skips",
        "Skip connections ease the flow of gradients.",
        "Mean log10 of the ratio of gradient to weight over the encoder's layers in the first 3 epochs, on"
        " the same batches, with skips minus without. Each level of the encoder is shown. Only seeds are"
        " repeated.",
        pair(UNET, NO_SKIP, "gradient")
        + shown(pair(UNET, NO_SKIP, *(f"gradient:{stage}" for stage in ENCODER))),
    ),
    Claim(
        "U6",
        "U-Net: skips",
        "Skip connections speed up convergence.",
        "Epochs until validation mIoU reaches 90 % of the lower of the two final values, without skips minus"
        " with. Only seeds are repeated. Measured against the lower final value, every training gets there"
        " by its last epoch, so none is censored.",
        pair(NO_SKIP, UNET, "epochs"),
    ),
    Claim(
        "U7",
        "U-Net: residual blocks",
        "Residual blocks change little in a net of four levels.",
        "Test mIoU, residual U-Net minus U-Net, within 1 point.",
        pair(RESIDUAL, UNET, "miou"),
        kind="≈",
        margin=POINT,
    ),
    Claim(
        "U8",
        "U-Net: attention gates",
        "Attention gates cost little.",
        "Share that gates add, in both pairs, to parameters, operations and memory, which are counted, and"
        " to seconds an image of training and of prediction, which are timed; each within 10 %; all decide.",
        gates("parameters", "gflops", "memory_mib", "train_seconds", "predict_seconds"),
        kind="≈",
        margin=SHARE,
    ),
    Claim(
        "U9",
        "U-Net: attention gates",
        "Attention gates bring no significant improvement here.",
        "Test mIoU with gates minus without, within 1 point; both pairs decide.",
        gates("miou"),
        kind="≈",
        margin=POINT,
    ),
    Claim(
        "U10",
        "U-Net: attention gates",
        "Attention gates sharpen boundaries.",
        "Boundary F1 (mean over 1, 2 and 3 px) with gates minus without; both pairs decide. F1 at each"
        " distance is shown.",
        gates("boundary_f1") + shown(gates(*F1_PIXELS)),
    ),
    Claim(
        "U11",
        "U-Net: attention gates",
        "With dense labels there is nothing to ignore, so gates stay open.",
        "Test mIoU lost when a gate is replaced by its mean over the image, each gate alone and all at once,"
        " within 1 point; all decide, in both gated networks. The standard deviation of a gate's values"
        " within an image is shown; how open a gate is says nothing, as later weights can undo its scale.",
        each_gate(GATED_RESIDUAL, GATED, measure="lost", levels=(1, 2, 3, 4, "all"))
        + shown(each_gate(GATED_RESIDUAL, GATED, measure="gate_variation", levels=(1, 2, 3, 4))),
        kind="≈",
        margin=POINT,
    ),
    Claim(
        "U12",
        "U-Net: attention gates",
        "Where the gating signal is taken does not matter.",
        "Test mIoU, signal before the up-convolution (strided gate) minus after it, within 1 point.",
        pair(STRIDED, GATED_RESIDUAL, "miou"),
        kind="≈",
        margin=POINT,
    ),
    Claim(
        "U13",
        "U-Net: attention gates",
        "One gate per class would help, most for small, overlapping or occluded classes.",
        "One gate a class minus one gate: test mIoU (it helps), its gain in the thin classes beyond that in"
        " the others, and its gain in recall of objects less than half in sight beyond that of objects in"
        " full sight (most for those); all three decide. The gains themselves are shown.",
        pair(CLASS_GATED, GATED_RESIDUAL, "miou", "miou:thin-others", "recall:hidden-seen")
        + shown(
            pair(
                CLASS_GATED,
                GATED_RESIDUAL,
                "miou:thin",
                "recall:mostly hidden",
                "recall:in full sight",
                "recall:small",
            ),
            pair(
                CLASS_GATED,
                GATED_RESIDUAL,
                *(f"iou:{name}" for name in ("Pedestrian", "Pole", "Traffic sign", "Fence", "Car")),
            ),
        ),
    ),
    Claim(
        "U14",
        "U-Net: attention gates",
        "Attention gates generalise better under clutter.",
        "Test mIoU with gates minus without on cluttered and occluded scenes, minus the same on clean ones;"
        " both pairs decide. Fog, night and noise are shown.",
        gates("shift:occlusion") + shown(gates("shift:fog", "shift:night", "shift:noise")),
    ),
    Claim(
        "U15",
        "U-Net: attention gates",
        "With many classes attention is spread thin; for one class it can focus.",
        "Gain in test mIoU from gates where cars are told from the rest, minus the gain on all classes of"
        " the same scenes; both pairs decide. The same for the IoU of Car is shown.",
        focus("miou") + shown(focus("iou:Car")),
    ),
)

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
