"""The claims on FCNs: strides, and trunks that are frozen or fine-tuned."""

from segnb.claims.claim import BOUNDARY, F1_PIXELS, NOTICEABLE, PIXELS, POINT, Claim, Contrast, shown
from segnb.claims.related_studies import FALSE_COLOURS, PHOTOGRAPHS

TRUNKS = {"freeze": "frozen", "finetune": "fine-tuned"}
STRIDES = (32, 16, 8)
OBJECTS = ("recall:small", "recall:medium", "object_iou:medium")


def fcn(stride: int, trunk: str) -> str:
    """Name an FCN of the registry."""
    return f"FCN{stride}s_vgg16_{trunk}"


def strides(plus: int, minus: int, *names: str) -> tuple[Contrast, ...]:
    """Contrast FCNs of two strides, frozen and fine-tuned apart, in each of some metrics."""
    return tuple(
        Contrast(f"FCN-{plus}s − FCN-{minus}s, {word}", name, (fcn(plus, trunk),), (fcn(minus, trunk),))
        for name in names
        for trunk, word in TRUNKS.items()
    )


def tuning(*names: str, at: tuple[int, ...] = STRIDES, threshold: float = 0.0) -> tuple[Contrast, ...]:
    """Contrast fine-tuned with frozen, at each of some strides, in each of some metrics."""
    sides = {stride: ((fcn(stride, "finetune"),), (fcn(stride, "freeze"),)) for stride in at}
    return tuple(
        Contrast(f"FCN-{stride}s, fine-tuned − frozen", name, *sides[stride], threshold=threshold)
        for stride in at
        for name in names
    )


def gain_over(finer: int, coarser: int) -> Contrast:
    """Contrast the gain from fine-tuning at one stride with that at another."""
    plus = (fcn(finer, "finetune"), fcn(coarser, "freeze"))
    minus = (fcn(finer, "freeze"), fcn(coarser, "finetune"))
    return Contrast(f"gain of FCN-{finer}s − gain of FCN-{coarser}s", "miou", plus, minus)


def gain_elsewhere(label: str, here: str, there: str) -> Contrast:
    """Contrast the gain from fine-tuning in one study with that in another, mean over strides."""
    tuned, frozen = ([fcn(stride, trunk) for stride in STRIDES] for trunk in ("finetune", "freeze"))
    plus = [here + name for name in tuned] + [there + name for name in frozen]
    minus = [here + name for name in frozen] + [there + name for name in tuned]
    return Contrast(label, "miou:common", tuple(plus), tuple(minus), weight=1 / len(STRIDES))


def best_of_three(metric: str) -> tuple[Contrast, ...]:
    """Contrast how often FCN-8s is the best of the three with half of the time."""
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
        strides(8, 16, *OBJECTS, *BOUNDARY) + strides(8, 32, *OBJECTS, *BOUNDARY),
    ),
    Claim(
        "F7",
        "FCN: frozen or fine-tuned",
        "Freezing the trunk makes training faster.",
        "Operations of a training step, which are counted: what fine-tuning adds, as a share of the frozen"
        " step's; every stride decides. The median seconds an image of a step, same loop, nothing cached,"
        " are shown.",
        tuning("train_gflops") + shown(tuning("train_seconds")),
        kind="exact",
    ),
    Claim(
        "F8",
        "FCN: frozen or fine-tuned",
        "Freezing the trunk takes less memory.",
        "Peak memory of a training step: what fine-tuning adds, as a share of the frozen step's. On a GPU"
        " the allocator's peak; on a CPU the bytes of parameters, gradients, optimiser state and saved"
        " activations.",
        tuning("memory_mib"),
        kind="exact",
    ),
    Claim(
        "F9",
        "FCN: frozen or fine-tuned",
        "Fine-tuning gives noticeably better results.",
        "Test mIoU, fine-tuned minus frozen, against 2 points; every stride decides.",
        tuning("miou", threshold=NOTICEABLE),
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
        tuning("val:rise", at=(32, 16)) + shown(tuning("val:early", "val:final", at=(32, 16))),
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
        "Share of the test images in which it is, against one half; both decide, frozen and fine-tuned. The"
        " shares of the classes and of the seeds are shown: classes are no sample, and a few wins in a row"
        " prove nothing.",
        best_of_three("best:images") + shown(best_of_three("best:classes"), best_of_three("best:seeds")),
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
