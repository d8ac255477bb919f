"""The claims on U-Nets: skips, residual blocks and attention gates."""

from segnb.claims.claim import BOUNDARY, ENCODER, F1_PIXELS, PIXELS, POINT, SHARE, Claim, Contrast, shown
from segnb.claims.related_studies import CARS
from segnb.models.registry import VARIANTS

UNET, NO_SKIP, RESIDUAL = "UNet_Standard_256", "UNet_NoSkip_256", "ResidualUNet_256"
GATED, GATED_RESIDUAL = "AttentionUNet_256", "AttentionResidualUNet_256"
STRIDED, CLASS_GATED = "AttentionResidualUNet_StridedGate_256", "ClassAttentionResidualUNet_256"
GATE_PAIRS = ((GATED, UNET), (GATED_RESIDUAL, RESIDUAL))
HIDDEN = ("recall:mostly hidden", "recall:in full sight")
THIN_OR_CARS = ("Pedestrian", "Pole", "Traffic sign", "Fence", "Car")


def pair(plus: str, minus: str, *names: str) -> tuple[Contrast, ...]:
    """Contrast one network with another, in each of some metrics."""
    label = f"{VARIANTS[plus].label} − {VARIANTS[minus].label}"
    return tuple(Contrast(label, name, (plus,), (minus,)) for name in names)


def gates(*names: str) -> tuple[Contrast, ...]:
    """Contrast networks with gates and without, in both pairs."""
    return tuple(
        contrast for name in names for plus, minus in GATE_PAIRS for contrast in pair(plus, minus, name)
    )


def each_gate(*networks: str, metric: str, levels: tuple) -> tuple[Contrast, ...]:
    """Take a metric of each gate of some networks, or of all gates at once."""
    return tuple(
        Contrast(
            f"{VARIANTS[name].label}, " + ("all gates at once" if level == "all" else f"gate {level}"),
            f"{metric}:{level}",
            (name,),
        )
        for name in networks
        for level in levels
    )


def focus(metric: str) -> tuple[Contrast, ...]:
    """Contrast the gain from gates on cars against the rest with the gain on all classes."""
    return tuple(
        Contrast(
            f"gain from gates, cars alone − all classes: {VARIANTS[gated].label}",
            metric,
            (f"{CARS}:{gated}", plain),
            (f"{CARS}:{plain}", gated),
        )
        for gated, plain in GATE_PAIRS
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
        "Share that gates add, in both pairs, to parameters, operations and bytes, which are counted; each"
        " within 10 %; all decide. Median seconds an image of training and of prediction are shown.",
        gates("parameters", "gflops", "memory_mib") + shown(gates("train_seconds", "predict_seconds")),
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
        each_gate(GATED_RESIDUAL, GATED, metric="lost", levels=(1, 2, 3, 4, "all"))
        + shown(each_gate(GATED_RESIDUAL, GATED, metric="gate_variation", levels=(1, 2, 3, 4))),
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
            pair(CLASS_GATED, GATED_RESIDUAL, "miou:thin", *HIDDEN, "recall:small"),
            pair(CLASS_GATED, GATED_RESIDUAL, *(f"iou:{name}" for name in THIN_OR_CARS)),
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
