"""Claims on U-Nets: skip connections and residual blocks."""

from segnb.claims.claim import BOUNDARY, ENCODER, PIXELS, POINT, Claim, Contrast, against, secondary
from segnb.models.registry import VARIANTS

UNET, NO_SKIP, RESIDUAL = "UNet_Standard_256", "UNet_NoSkip_256", "ResidualUNet_256"


def pair(plus: str, minus: str, *metrics: str) -> tuple[Contrast, ...]:
    """Compare two networks on each metric."""
    label = f"{VARIANTS[plus].label} − {VARIANTS[minus].label}"
    return tuple(Contrast(label, metric, (plus,), (minus,)) for metric in metrics)


def alone(metric: str, *networks: str, of: str = "", threshold: float = 0.0) -> tuple[Contrast, ...]:
    """Take a metric of each network; `of` is "streets-car:" for networks of that related study."""
    return tuple(
        Contrast(VARIANTS[name].label, metric, (of + name,), threshold=threshold) for name in networks
    )


SKIP_CLAIMS = (
    Claim(
        "U1",
        "Skip connections raise quality.",
        "Test mIoU with skips minus without.",
        pair(UNET, NO_SKIP, "miou"),
    ),
    Claim(
        "U2",
        "Without skips boundaries are soft or missing.",
        "Boundary IoU and F1 (means over 1, 2 and 3 px), with skips minus without, and the width of the"
        " soft-max transition across true edges, without skips minus with. All comparisons decide. Each"
        " distance is shown, and the share of true edges without any transition.",
        pair(UNET, NO_SKIP, *BOUNDARY)
        + pair(NO_SKIP, UNET, "softness")
        + secondary(pair(UNET, NO_SKIP, *PIXELS), pair(NO_SKIP, UNET, "missing_edges")),
    ),
    Claim(
        "U3",
        "Without skips small objects are often missed.",
        "Recall of small objects without skips, at most half. The recall with skips is shown, which can be"
        " below half too, and the gain from skips for each object size.",
        against("often misses", alone("recall:small", NO_SKIP))
        + secondary(
            against("often misses", alone("recall:small", UNET)),
            pair(UNET, NO_SKIP, "recall:small", "recall:medium", "recall:large"),
        ),
    ),
    Claim(
        "U4",
        "Without skips predictions do not align with the shapes of the input.",
        "Mean distance from true to predicted edges, without skips minus with, and agreement of predicted"
        " edges with the gradients of the image, with skips minus without. Both metrics decide.",
        pair(NO_SKIP, UNET, "edge_distance") + pair(UNET, NO_SKIP, "edge_agreement"),
    ),
    Claim(
        "U5",
        "Skip connections ease the flow of gradients.",
        "Mean log10 of the gradient-to-weight ratio over the layers of encoder and bottleneck, relative to"
        " the decoder's last block, in the first 3 epochs, on the same batches, with skips minus without."
        " Each level is shown, because skips can raise the ratio in outer levels and lower it in inner ones,"
        " which they bypass. The interval covers seeds only.",
        pair(UNET, NO_SKIP, "gradient")
        + secondary(pair(UNET, NO_SKIP, *(f"gradient:{stage}" for stage in ENCODER))),
    ),
    Claim(
        "U6",
        "Skip connections speed up convergence.",
        "Epochs until validation mIoU reaches 90% of the lower of the two final values, without skips"
        " minus with. Every run reaches this value; the network with the higher final score reaches it"
        " before it has finished learning. The epochs until each network reaches 90% of its own final value"
        " are shown. The interval covers seeds only.",
        pair(NO_SKIP, UNET, "epochs") + secondary(pair(NO_SKIP, UNET, "epochs:own")),
    ),
    Claim(
        "U16",
        "The U-Net captures and segments small objects more accurately than the U-Net without skips.",
        "Recall and IoU of small objects, with skips minus without. Both metrics decide.",
        pair(UNET, NO_SKIP, "recall:small", "object_iou:small"),
    ),
    Claim(
        "U17",
        "Without skips small objects are localised poorly.",
        "Mean IoU of the small objects that the U-Net without skips finds, at most one half, and lower than"
        " with skips. Both decide, because at this size a mask that is one pixel too large has an IoU of"
        " barely one half.",
        against("localises poorly", alone("found_iou:small", NO_SKIP))
        + pair(UNET, NO_SKIP, "found_iou:small"),
    ),
    Claim(
        "U18",
        "Skips preserve the structure of objects.",
        "Share of medium and large objects that are found in one piece and apart from their neighbours:"
        " by no more predicted parts than the object has, none of which lies on another object. With skips"
        " minus without; both sizes decide.",
        pair(UNET, NO_SKIP, "intact:medium", "intact:large"),
    ),
    Claim(
        "U19",
        "Skips separate different objects more clearly.",
        "Share of the true edges between objects of two classes that have a predicted edge within 1 px,"
        " with skips minus without.",
        pair(UNET, NO_SKIP, "between"),
    ),
    Claim(
        "U20",
        "Skips bring back lost detail.",
        "Test mIoU that the U-Net loses if every skip is replaced by its mean over the image, more than 1"
        " point. The residual U-Net is shown. A trained network without its skips can score lower than one"
        " that is trained without them (U1).",
        alone("lost:skips", UNET, threshold=POINT)
        + secondary(alone("lost:skips", RESIDUAL, threshold=POINT)),
    ),
    Claim(
        "U21",
        "Vanishing gradients are not a huge concern in a U-Net of four levels.",
        "Decades by which the gradient-to-weight ratio falls from the decoder's last block to the weakest"
        " stage of encoder and bottleneck, without skips, at most 2. The U-Net with skips is shown. The"
        " interval covers seeds only.",
        against("no vanishing", alone("gradient:fall", NO_SKIP))
        + secondary(against("no vanishing", alone("gradient:fall", UNET))),
    ),
    Claim(
        "U22",
        "Without skips thin objects disappear.",
        "Test mIoU of the thin classes, with skips minus without.",
        pair(UNET, NO_SKIP, "miou:thin"),
    ),
    Claim(
        "U23",
        "Skips make results more coherent.",
        "Share of pixels in false parts, without skips minus with. A false part is a connected part of a"
        " prediction of which at most half is correct.",
        pair(NO_SKIP, UNET, "false_parts"),
    ),
    Claim(
        "U24",
        "Without skips segmentations are blurry.",
        "Width of the soft-max transition across true edges without skips, at least 4 px. Without skips"
        " minus with is shown.",
        against("blurry", alone("softness", NO_SKIP)) + secondary(pair(NO_SKIP, UNET, "softness")),
    ),
)

RESIDUAL_CLAIMS = (
    Claim(
        "U7",
        "Residual blocks change little in a U-Net of four levels.",
        "Test mIoU, residual U-Net minus U-Net, within ±1 point.",
        pair(RESIDUAL, UNET, "miou"),
        margin=POINT,
        origin="ours",
    ),
)
