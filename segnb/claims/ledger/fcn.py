"""Claims on FCNs: strides, and frozen or fine-tuned backbones."""

from segnb.claims.claim import (
    BOUNDARY,
    F1_PIXELS,
    NOTICEABLE,
    PIXELS,
    POINT,
    Claim,
    Contrast,
    against,
    secondary,
)
from segnb.claims.related_studies import FALSE_COLOURS, PHOTOGRAPHS

TRUNKS = {"freeze": "frozen", "finetune": "fine-tuned"}
STRIDES = (32, 16, 8)
OBJECTS = ("recall:small", "recall:medium", "object_iou:medium")


def fcn(stride: int, trunk: str) -> str:
    """Return the name of an FCN in the registry."""
    return f"FCN{stride}s_vgg16_{trunk}"


def strides(plus: int, minus: int, *metrics: str) -> tuple[Contrast, ...]:
    """Compare two strides on each metric, once with frozen and once with fine-tuned backbones."""
    return tuple(
        Contrast(f"FCN-{plus}s − FCN-{minus}s, {word}", metric, (fcn(plus, trunk),), (fcn(minus, trunk),))
        for metric in metrics
        for trunk, word in TRUNKS.items()
    )


def tuning(*metrics: str, at: tuple[int, ...] = STRIDES, threshold: float = 0.0) -> tuple[Contrast, ...]:
    """Compare fine-tuned with frozen backbones on each metric, at each of the strides `at`."""
    return tuple(
        Contrast(
            f"FCN-{stride}s, fine-tuned − frozen",
            metric,
            (fcn(stride, "finetune"),),
            (fcn(stride, "freeze"),),
            threshold=threshold,
        )
        for stride in at
        for metric in metrics
    )


def both(stride: int, *metrics: str, threshold: float = 0.0) -> tuple[Contrast, ...]:
    """Take each metric of the FCNs of one stride, frozen and fine-tuned."""
    return tuple(
        Contrast(f"FCN-{stride}s, {word}", metric, (fcn(stride, trunk),), threshold=threshold)
        for metric in metrics
        for trunk, word in TRUNKS.items()
    )


def gain_over(finer: int, coarser: int) -> Contrast:
    """Compare the gains from fine-tuning at two strides, which must differ noticeably."""
    plus = (fcn(finer, "finetune"), fcn(coarser, "freeze"))
    minus = (fcn(finer, "freeze"), fcn(coarser, "finetune"))
    label = f"gain of FCN-{finer}s − gain of FCN-{coarser}s"
    return Contrast(label, "miou", plus, minus, threshold=NOTICEABLE)


def gain_elsewhere(label: str, here: str, there: str) -> Contrast:
    """Compare the gains from fine-tuning in two studies, as means over strides."""
    tuned, frozen = ([fcn(stride, trunk) for stride in STRIDES] for trunk in ("finetune", "freeze"))
    plus = [here + name for name in tuned] + [there + name for name in frozen]
    minus = [here + name for name in frozen] + [there + name for name in tuned]
    return Contrast(label, "miou:common", tuple(plus), tuple(minus), weight=1 / len(STRIDES))


def best_of_three(metric: str) -> tuple[Contrast, ...]:
    """Compare how often FCN-8s is the best of the three with one half."""
    return tuple(
        Contrast(
            f"FCN-8s best of the three, {word}",
            metric,
            (fcn(8, trunk),),
            rivals=(fcn(16, trunk), fcn(32, trunk)),
            threshold=0.5,
        )
        for trunk, word in TRUNKS.items()
    )


STRIDE_CLAIMS = (
    Claim(
        "F1",
        "mIoU rises from FCN-32s to FCN-16s to FCN-8s under the same settings.",
        "Test mIoU of FCN-16s minus FCN-32s and of FCN-8s minus FCN-16s, with frozen and with fine-tuned"
        " backbones. All four comparisons decide.",
        strides(16, 32, "miou") + strides(8, 16, "miou"),
    ),
    Claim(
        "F2",
        "FCN-32s completely misses small objects.",
        "Recall of small objects with FCN-32s, at most 10%; frozen and fine-tuned both decide. An object in"
        " the middle of a larger predicted area of its class counts as found. FCN-8s minus FCN-32s is shown"
        " for each object size.",
        against("completely misses", both(32, "recall:small"))
        + secondary(strides(8, 32, "recall:small", "recall:medium", "recall:large")),
    ),
    Claim(
        "F3",
        "FCN-32s draws rough and blurry boundaries.",
        "Boundary IoU and boundary F1 at 1, 2 and 3 px, FCN-8s minus FCN-32s. All comparisons decide.",
        strides(8, 32, *PIXELS),
    ),
    Claim(
        "F4",
        "FCN-16s handles medium objects better than FCN-32s.",
        "Recall and IoU of medium objects, FCN-16s minus FCN-32s, frozen and fine-tuned. All comparisons"
        " decide.",
        strides(16, 32, "recall:medium", "object_iou:medium"),
    ),
    Claim(
        "F5",
        "FCN-16s draws smoother boundaries than FCN-32s.",
        "Boundary F1 (mean over 1, 2 and 3 px), FCN-16s minus FCN-32s, and the length of predicted contours"
        " as a share of the true length, where both are within 3 px of each other, FCN-32s minus FCN-16s: a"
        " smoother contour is shorter. Both metrics decide, because a contour that cuts corners is shorter"
        " too. F1 at each distance is shown.",
        strides(16, 32, "boundary_f1")
        + strides(32, 16, "roughness")
        + secondary(strides(16, 32, *F1_PIXELS)),
    ),
    Claim(
        "F6",
        "FCN-8s is best for small and medium objects and for boundaries.",
        "Recall of small and of medium objects, IoU of medium objects, boundary IoU and boundary F1"
        " (means over 1, 2 and 3 px), FCN-8s minus each of the other two. All comparisons decide.",
        strides(8, 16, *OBJECTS, *BOUNDARY) + strides(8, 32, *OBJECTS, *BOUNDARY),
    ),
    Claim(
        "F13",
        "FCN-8s is consistently the best of the three.",
        "Share of test images on which FCN-8s is the best, above one half; frozen and fine-tuned both"
        " decide. The shares of classes and of seeds are shown. They do not decide, because classes are"
        " not a sample and a few wins in a row prove nothing.",
        best_of_three("best:images") + secondary(best_of_three("best:classes"), best_of_three("best:seeds")),
    ),
    Claim(
        "F14",
        "FCN-32s is okay with big, obvious objects.",
        "Recall of large objects with FCN-32s, at least half; frozen and fine-tuned both decide. Roads and"
        " buildings are no objects, because segnb cannot count them; their IoU and that of Car, which"
        " contains the bonnet of the recording car, are shown. So are the recall that perfect scores at this"
        " stride would have, and FCN-8s minus FCN-32s in recall.",
        against("okay", both(32, "recall:large"))
        + secondary(
            both(32, "ceiling:large", "iou:Road", "iou:Building", "iou:Car"),
            strides(8, 32, "recall:large"),
        ),
    ),
    Claim(
        "F15",
        "FCN-16s can still struggle with the smallest details.",
        "Recall of small objects with FCN-16s, at most half; frozen and fine-tuned both decide. The recall"
        " that perfect scores at this stride would have is shown: if it is below half, the stride alone"
        " decides. FCN-8s minus FCN-16s is shown for recall and for boundary IoU and F1 at 1 px.",
        against("struggles", both(16, "recall:small"))
        + secondary(
            both(16, "ceiling:small"), strides(8, 16, "recall:small", "boundary_iou:1", "boundary_f1:1")
        ),
    ),
    Claim(
        "F16",
        "FCN-8s does a good job of detecting small and medium objects.",
        "Recall of small and of medium objects with FCN-8s, at least half, frozen and fine-tuned. All"
        " comparisons decide. The recall that perfect scores at this stride would have is shown, and FCN-8s"
        " minus the other two.",
        against("a good job", both(8, "recall:small", "recall:medium"))
        + secondary(
            both(8, "ceiling:small", "ceiling:medium"),
            strides(8, 16, "recall:small", "recall:medium"),
            strides(8, 32, "recall:small", "recall:medium"),
        ),
    ),
    Claim(
        "F17",
        "FCN-32s loses more to FCN-8s around object boundaries than far from them.",
        "FCN-8s minus FCN-32s in pixel accuracy less than 3 px from a true edge, minus the same difference"
        " 8 px or more from any true edge, in points; frozen and fine-tuned both decide. The accuracies of"
        " FCN-32s are shown: far from edges it has fewer errors that FCN-8s could avoid.",
        strides(8, 32, "near-far") + secondary(strides(8, 32, "near", "far"), both(32, "near", "far")),
    ),
    Claim(
        "F18",
        "FCN-8s gains more over FCN-16s around object boundaries than far from them.",
        "FCN-8s minus FCN-16s in pixel accuracy less than 3 px from a true edge, minus the same difference"
        " 8 px or more from any true edge, in points; frozen and fine-tuned both decide. The accuracies of"
        " FCN-16s are shown: far from edges it has fewer errors that FCN-8s could avoid.",
        strides(8, 16, "near-far") + secondary(strides(8, 16, "near", "far"), both(16, "near", "far")),
    ),
    Claim(
        "F19",
        "FCN-16s gives cleaner maps than FCN-32s.",
        "Share of pixels in false parts, FCN-32s minus FCN-16s; frozen and fine-tuned both decide. A false"
        " part is a connected part of a prediction of which at most half is correct.",
        strides(32, 16, "false_parts"),
    ),
    Claim(
        "F20",
        "FCN-8s owes its accuracy to the features of pool3 and pool4.",
        "Test mIoU that FCN-8s loses if the scores of pool3, or of pool4, are replaced by their mean over"
        " the image: more than 1 point for each layer, frozen and fine-tuned. All comparisons decide."
        " Pool4 of FCN-16s is shown. A trained network without these scores can score lower than one that is"
        " trained without them (F1).",
        both(8, "lost:pool3", "lost:pool4", threshold=POINT)
        + secondary(both(16, "lost:pool4", threshold=POINT)),
    ),
    Claim(
        "F21",
        "FCN-32s creates blurry segmentations.",
        "Width of the soft-max transition across true edges, at least 4 px; frozen and fine-tuned both"
        " decide. The width with FCN-8s is shown, and FCN-32s minus FCN-8s. “Skewed”, the other half of the"
        " sentence, has no agreed metric.",
        against("blurry", both(32, "softness"))
        + secondary(against("blurry", both(8, "softness")), strides(32, 8, "softness")),
    ),
    Claim(
        "F22",
        "FCN-8s draws crisp boundary outlines.",
        "Width of the soft-max transition across true edges, at most 2 px; frozen and fine-tuned both"
        " decide. A predicted mask does not show this width, so the distance from true to predicted edges is"
        " shown too. So are the widths of the other two strides minus that of FCN-8s.",
        against("crisp", both(8, "softness"))
        + secondary(both(8, "edge_distance"), strides(16, 8, "softness"), strides(32, 8, "softness")),
    ),
)

TUNING_CLAIMS = (
    Claim(
        "F7",
        "Freezing the backbone makes training faster.",
        "Operations per training step, which are counted: the increase through fine-tuning as a share of"
        " the frozen network's step. All strides decide. The median seconds per image of a step are shown,"
        " measured with the same loop and without a cache.",
        tuning("train_gflops") + secondary(tuning("train_seconds")),
        kind="exact",
    ),
    Claim(
        "F8",
        "Freezing the backbone takes less memory.",
        "Peak memory of a training step: the increase through fine-tuning as a share of the frozen"
        " network's step. On a GPU it is the allocator's peak; on a CPU, the bytes of parameters,"
        " gradients, optimiser state and saved activations.",
        tuning("memory_mib"),
        kind="exact",
    ),
    Claim(
        "F9",
        "Fine-tuning gives noticeably better results.",
        "Test mIoU, fine-tuned minus frozen, more than 2 points. All strides decide.",
        tuning("miou", threshold=NOTICEABLE),
    ),
    Claim(
        "F10",
        "FCN-8s gains much more from fine-tuning than FCN-16s and FCN-32s do.",
        "Gain in test mIoU from fine-tuning, FCN-8s minus FCN-16s and FCN-8s minus FCN-32s: more than 2"
        " points each. Both comparisons decide.",
        (gain_over(8, 16), gain_over(8, 32)),
    ),
    Claim(
        "F11",
        "For FCN-32s and FCN-16s, fine-tuning gains less early in training than at its end.",
        "Gain in validation mIoU from fine-tuning at the end of training, minus the gain after a fifth of"
        " the epochs (rounded up). Both strides decide. The two gains are shown. The interval covers seeds"
        " only, because validation scores are not stored per image.",
        tuning("val:rise", at=(32, 16)) + secondary(tuning("val:early", "val:final", at=(32, 16))),
    ),
    Claim(
        "F12",
        "Fine-tuning helps more the further the data are from ImageNet.",
        "Gain in test mIoU from fine-tuning over the classes that all data sets share, mean over strides:"
        " scenes in false colours minus the same scenes, and scenes minus photographs (CamVid). The number"
        " of training images and steps is the same. Both comparisons decide.",
        (
            gain_elsewhere("false colours − rendered", f"{FALSE_COLOURS}:", ""),
            gain_elsewhere("rendered − photographs", "", f"{PHOTOGRAPHS}:"),
        ),
        caveat=(
            "This is consistent with the claim but does not prove it: the data differ in more than their"
            " distance from ImageNet."
        ),
    ),
    Claim(
        "F23",
        "A frozen backbone is limited because its features were learned for classification.",
        "A study uses one set of backbone weights, so it cannot separate the task that the weights were"
        " learned for from their quality. Two studies, one with WEIGHTS=imagenet and one with other"
        " weights, would be a start.",
        kind="none",
    ),
    Claim(
        "F24",
        "Fine-tuning takes more compute.",
        "Operations per training step, forward and backward: the increase through fine-tuning as a share"
        " of the frozen network's step. All strides decide.",
        tuning("train_gflops"),
        kind="exact",
    ),
    Claim(
        "F25",
        "For FCN-32s and FCN-16s the gain from fine-tuning is not huge.",
        "Test mIoU, fine-tuned minus frozen, at most 10 points. Both strides decide. FCN-8s is shown.",
        against("not huge", tuning("miou", at=(32, 16)))
        + secondary(against("not huge", tuning("miou", at=(8,)))),
    ),
    Claim(
        "F26",
        "Fine-tuning helps FCN-8s to use the high-resolution features.",
        "Test mIoU that FCN-8s loses without the scores of pool3, fine-tuned minus frozen. The same for"
        " pool4 is shown. F10 compares networks that are trained without these scores.",
        tuning("lost:pool3", at=(8,)) + secondary(tuning("lost:pool4", at=(8,))),
    ),
)
