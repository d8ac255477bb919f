"""Claims on the attention gates of U-Nets."""

from segnb.claims.claim import F1_PIXELS, POINT, SHARE, Claim, Contrast, against, secondary
from segnb.claims.ledger.unet import RESIDUAL, UNET, alone, pair
from segnb.claims.related_studies import CARS
from segnb.models.registry import VARIANTS

GATED, GATED_RESIDUAL = "AttentionUNet_256", "AttentionResidualUNet_256"
STRIDED, CLASS_GATED = "AttentionResidualUNet_StridedGate_256", "ClassAttentionResidualUNet_256"
GATE_PAIRS = ((GATED, UNET), (GATED_RESIDUAL, RESIDUAL))
HIDDEN = ("recall:mostly hidden", "recall:in full sight")
THIN_OR_CARS = ("Pedestrian", "Pole", "Traffic sign", "Fence", "Car")


def gates(*metrics: str) -> tuple[Contrast, ...]:
    """Compare networks with and without gates on each metric, in both pairs."""
    return tuple(
        contrast for metric in metrics for plus, minus in GATE_PAIRS for contrast in pair(plus, minus, metric)
    )


def each_gate(*networks: str, metric: str, levels: tuple) -> tuple[Contrast, ...]:
    """Take a metric of each gate, or of all gates at once."""
    return tuple(
        Contrast(
            f"{VARIANTS[name].label}, "
            + ("all gates at once" if level == "all" else f"gate of level {level}"),
            f"{metric}:{level}",
            (name,),
        )
        for name in networks
        for level in levels
    )


def focus(metric: str) -> tuple[Contrast, ...]:
    """Compare the gain from gates with two classes, cars and the rest, with the gain with all classes."""
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
        "Attention gates add at most a tenth to parameters, operations and memory.",
        "Increase through gates in parameters, operations and bytes, which are counted: within ±10% each,"
        " in both pairs. All comparisons decide. The median seconds per image of training and of"
        " prediction are shown.",
        gates("parameters", "gflops", "memory_mib") + secondary(gates("train_seconds", "predict_seconds")),
        margin=SHARE,
    ),
    Claim(
        "U9",
        "Attention gates bring no significant improvement here.",
        "Test mIoU with gates minus without, at most 1 point; a loss is no improvement either. Both pairs"
        " decide; the networks of a pair differ only in their gates. The study's own pair, which differs in"
        " residual blocks too, is shown.",
        against("no improvement", gates("miou"))
        + secondary(against("no improvement", pair(GATED_RESIDUAL, UNET, "miou"))),
    ),
    Claim(
        "U10",
        "Attention gates sharpen boundaries.",
        "Boundary F1 (mean over 1, 2 and 3 px) with gates minus without. Both pairs decide. F1 at each"
        " distance is shown.",
        gates("boundary_f1") + secondary(gates(*F1_PIXELS)),
    ),
    Claim(
        "U11",
        "With dense labels there is no irrelevant region for gates to filter out.",
        "Test mIoU lost if a gate is replaced by its mean over the image, for each gate alone and for all"
        " gates at once, within ±1 point. All comparisons decide, in both gated networks. The standard"
        " deviation of the gate's values within an image is shown. How open a gate is says nothing,"
        " because later weights can undo its scale.",
        each_gate(GATED_RESIDUAL, GATED, metric="lost", levels=(1, 2, 3, 4, "all"))
        + secondary(each_gate(GATED_RESIDUAL, GATED, metric="gate_variation", levels=(1, 2, 3, 4))),
        margin=POINT,
        origin="implied",
    ),
    Claim(
        "U12",
        "It does not matter where the gating signal is taken.",
        "Test mIoU with the gating signal taken before the up-convolution (strided gate) minus after it,"
        " within ±1 point.",
        pair(STRIDED, GATED_RESIDUAL, "miou"),
        margin=POINT,
        origin="ours",
    ),
    Claim(
        "U13",
        "One gate per class would help, most for overlapping or occluded classes.",
        "“Would help”: test mIoU with one gate per class minus one gate. “Most”: the gain in recall of"
        " objects that are less than half visible, minus the gain for fully visible objects. Both comparisons"
        " decide. The gains themselves are shown, and the gain on thin classes, which the study does not"
        " mention here. The study only says that such gates “might” help; this is segnb's design of them, and"
        " another could do better.",
        pair(CLASS_GATED, GATED_RESIDUAL, "miou", "recall:hidden-seen")
        + secondary(
            pair(CLASS_GATED, GATED_RESIDUAL, "miou:thin-others", "miou:thin", *HIDDEN, "recall:small"),
            pair(CLASS_GATED, GATED_RESIDUAL, *(f"iou:{name}" for name in THIN_OR_CARS)),
        ),
    ),
    Claim(
        "U14",
        "Attention gates generalise better under clutter.",
        "Test mIoU with gates minus without on cluttered and occluded scenes, minus the same difference"
        " on clean scenes. Both pairs decide. Fog, night and noise are shown.",
        gates("shift:occlusion") + secondary(gates("shift:fog", "shift:night", "shift:noise")),
    ),
    Claim(
        "U15",
        "With many classes attention is spread thin; for one class it can focus.",
        "Gain in the IoU of Car from gates with two classes, cars and the rest, minus the gain with all"
        " classes on the same scenes. Both pairs decide. The same difference for mIoU is shown; with two"
        " classes, mIoU is a mean over other classes and can rise less.",
        focus("iou:Car") + secondary(focus("miou")),
        origin="implied",
    ),
    Claim(
        "U25",
        "Gates ignore what does not matter and concentrate on what does.",
        "How well a gate's values separate the pixels of cars from all others in networks with two"
        " classes, where only cars matter: area under the ROC curve, mean over levels, at least 0.7. Both"
        " gated networks decide. Each image with stored gate maps and a car counts once. The bonnet of the"
        " recording car does not count, because the row of a pixel tells it apart.",
        against("focuses", alone("gate_auc", *(gated for gated, _ in GATE_PAIRS), of=f"{CARS}:")),
    ),
    Claim(
        "U26",
        "Gates need no extra labels or complex training.",
        "There is nothing to measure: segnb trains the study's gates with the same loss and the"
        " same labels as the rest of the network. Only the class gates of U13 have a loss of their"
        " own.",
        kind="none",
    ),
    Claim(
        "U27",
        "Gates learn attention during training, without heuristics for regions of interest.",
        "There is nothing to measure: none of the networks receives regions of interest. Methods that do"
        " are not part of the study.",
        kind="none",
    ),
    Claim(
        "U28",
        "Gates generalise better where objects vary in appearance.",
        "This needs test scenes with object models, colours and textures that no training scene has. The"
        " renderer draws training and test scenes from the same set.",
        kind="none",
    ),
    Claim(
        "U29",
        "Gates use the decoder's context to decide which features pass.",
        "Test mIoU lost if the gating signal comes from another image of the batch: above zero, because the"
        " sentence says that gates use the signal and not how much it brings. Both gated networks decide. The"
        " loss with the signal replaced by its mean over the image is shown. A network that is trained"
        " without the signal could lose less.",
        alone("lost:signal:shuffled", GATED, GATED_RESIDUAL)
        + secondary(alone("lost:signal:mean", GATED, GATED_RESIDUAL)),
    ),
    Claim(
        "U30",
        "Gates select the important parts of a skip.",
        "Test mIoU lost if all gates are replaced by their means over the image, which pass all parts of a"
        " skip alike: above zero, because the sentence does not say how much the selection brings. U11 tests"
        " the same loss against 1 point. Both gated networks decide. A network that is trained without gates"
        " could lose less (U9). The share of a skip's energy (its sum of squares) that its gate lets through"
        " is shown, mean over levels. It decides nothing, because later weights can undo a constant scale.",
        each_gate(GATED, GATED_RESIDUAL, metric="lost", levels=("all",))
        + secondary(alone("let_through", GATED, GATED_RESIDUAL)),
    ),
    Claim(
        "U31",
        "Skips alone keep the detail of a dense task.",
        "Boundary F1 (mean over 1, 2 and 3 px) and mIoU of the thin classes, with gates minus without,"
        " at most 1 point. All comparisons decide, in both pairs.",
        against("no improvement", gates("boundary_f1", "miou:thin")),
    ),
    Claim(
        "U32",
        "Every pixel is part of a class, and there is little background to ignore.",
        "Share of Unlabeled pixels in the study's own training images, at most a tenth.",
        kind="audit",
    ),
    Claim(
        "U33",
        "With many classes attention is spread thin, and no region stands out.",
        "How evenly a gate's values are spread over the image (their entropy as a share of the largest"
        " possible entropy, mean over levels), with all classes minus with two classes, cars and the rest."
        " Both gated networks decide. Each image with stored gate maps counts once.",
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
