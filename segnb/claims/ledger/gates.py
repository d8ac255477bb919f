"""The claims on the attention gates of U-Nets."""

from segnb.claims.claim import F1_PIXELS, POINT, SHARE, Claim, Contrast, shown
from segnb.claims.ledger.unet import RESIDUAL, UNET, levels, lost, pair
from segnb.claims.related_studies import CARS
from segnb.models.registry import VARIANTS

GATED, GATED_RESIDUAL = "AttentionUNet_256", "AttentionResidualUNet_256"
STRIDED, CLASS_GATED = "AttentionResidualUNet_StridedGate_256", "ClassAttentionResidualUNet_256"
GATE_PAIRS = ((GATED, UNET), (GATED_RESIDUAL, RESIDUAL))
HIDDEN = ("recall:mostly hidden", "recall:in full sight")
THIN_OR_CARS = ("Pedestrian", "Pole", "Traffic sign", "Fence", "Car")


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


GATE_CLAIMS = (
    Claim(
        "U8",
        "U-Net: attention gates",
        "Attention gates cost little.",
        "Share that gates add, in both pairs, to parameters, operations and bytes, which are counted; each"
        " within 10 %; all decide. Median seconds per image of training and of prediction are shown.",
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
        origin="implied",
    ),
    Claim(
        "U12",
        "U-Net: attention gates",
        "Where the gating signal is taken does not matter.",
        "Test mIoU, signal before the up-convolution (strided gate) minus after it, within 1 point.",
        pair(STRIDED, GATED_RESIDUAL, "miou"),
        kind="≈",
        margin=POINT,
        origin="ours",
    ),
    Claim(
        "U13",
        "U-Net: attention gates",
        "One gate per class would help, most for overlapping or occluded classes.",
        "One gate a class minus one gate: test mIoU (it helps), and its gain in recall of objects less than"
        " half in sight beyond that of objects in full sight (most for those); both decide. The gains"
        " themselves, and that in thin classes, of which the study says nothing here, are shown.",
        pair(CLASS_GATED, GATED_RESIDUAL, "miou", "recall:hidden-seen")
        + shown(
            pair(CLASS_GATED, GATED_RESIDUAL, "miou:thin-others", "miou:thin", *HIDDEN, "recall:small"),
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
        origin="implied",
    ),
    Claim(
        "U25",
        "U-Net: attention gates",
        "Gates ignore what does not matter and concentrate on what does.",
        "Where cars are told from the rest, only cars matter: how well a gate's values tell the pixels of"
        " cars from all others (area under the ROC curve, mean over levels), at least 0.7; both gated"
        " networks decide. Each image whose maps a run keeps counts once.",
        levels("focuses", "gate_auc", *(gated for gated, _ in GATE_PAIRS), of=f"{CARS}:"),
    ),
    Claim(
        "U26",
        "U-Net: attention gates",
        "Gates need no extra labels or complex training.",
        "True by construction, so nothing is measured: the study's gates are trained here by the same loss on"
        " the same labels as the rest of the network. Only the class gates of U13 have a loss of their own.",
        kind="none",
    ),
    Claim(
        "U27",
        "U-Net: attention gates",
        "Gates learn attention during training, without heuristics for regions of interest.",
        "True by construction, so nothing is measured: no network here is told of regions. Methods that are"
        " told of them are not part of the study.",
        kind="none",
    ),
    Claim(
        "U28",
        "U-Net: attention gates",
        "Gates generalise better where objects vary in appearance.",
        "Test scenes with models, colours and textures of objects that no training scene has would tell; the"
        " renderer draws both from the same.",
        kind="none",
    ),
    Claim(
        "U29",
        "U-Net: attention gates",
        "Gates decide by the decoder's context what passes.",
        "Test mIoU lost when the gating signal is that of another image of the batch, more than 1 point; both"
        " gated networks decide. The signal's mean over the image in its place is shown.",
        lost("signal:shuffled", GATED, GATED_RESIDUAL) + shown(lost("signal:mean", GATED, GATED_RESIDUAL)),
    ),
    Claim(
        "U30",
        "U-Net: attention gates",
        "Gates pass only the important part of a skip.",
        "Share of a skip's energy (its sum of squares) that its gate lets through, mean over levels, at most"
        " half; both gated networks decide. Later weights can undo a constant scale, so this says how much is"
        " held back and not what that is worth; for that see U11.",
        levels("only key features", "let_through", GATED, GATED_RESIDUAL),
    ),
    Claim(
        "U31",
        "U-Net: attention gates",
        "Skips alone keep the detail of a dense task.",
        "Boundary F1 (mean over 1, 2 and 3 px) and mIoU of the thin classes, with gates minus without,"
        " within 1 point; all decide, in both pairs.",
        gates("boundary_f1", "miou:thin"),
        kind="≈",
        margin=POINT,
    ),
    Claim(
        "U32",
        "U-Net: attention gates",
        "Every pixel is part of a class, and there is little background to ignore.",
        "Share of the pixels of the study's own training images that are Unlabeled, at most a tenth.",
        kind="audit",
    ),
    Claim(
        "U33",
        "U-Net: attention gates",
        "With many classes attention is spread thin, and no region stands out.",
        "How evenly a gate's values are spread over the image (their entropy as a share of the largest"
        " possible, mean over levels), on all classes minus on cars alone; both gated networks decide. Each"
        " image whose maps a run keeps counts once.",
        tuple(
            Contrast(
                f"{VARIANTS[gated].label}, all classes − cars alone",
                "gate_spread",
                (gated,),
                (f"{CARS}:{gated}",),
            )
            for gated, _ in GATE_PAIRS
        ),
    ),
)
