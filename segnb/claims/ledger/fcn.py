"""The claims on FCNs: strides, and trunks that are frozen or fine-tuned."""

from segnb.claims.claim import BOUNDARY, F1_PIXELS, NOTICEABLE, PIXELS, POINT, Claim, Contrast, level, shown
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


def levels(word: str, stride: int, *names: str) -> tuple[Contrast, ...]:
    """Hold FCNs of a stride, frozen and fine-tuned, against what an absolute word means."""
    return tuple(
        level(word, f"FCN-{stride}s, {tuned}", name, fcn(stride, trunk))
        for name in names
        for trunk, tuned in TRUNKS.items()
    )


def lost(stride: int, layer: str) -> tuple[Contrast, ...]:
    """Take what FCNs of a stride lose without the scores of a finer layer, beyond a point."""
    return tuple(
        Contrast(f"FCN-{stride}s, {tuned}", f"lost:{layer}", (fcn(stride, trunk),), threshold=POINT)
        for trunk, tuned in TRUNKS.items()
    )


def not_huge(*at: int) -> tuple[Contrast, ...]:
    """Hold the gain from fine-tuning, at each of some strides, against what would be huge."""
    sides = {stride: (fcn(stride, "finetune"), fcn(stride, "freeze")) for stride in at}
    return tuple(
        level("not huge", f"FCN-{stride}s, fine-tuned − frozen", "miou", tuned, minus=(frozen,))
        for stride, (tuned, frozen) in sides.items()
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
        "Recall of small objects of FCN-32s, at most 10 %, frozen and fine-tuned; both decide. FCN-8s minus"
        " FCN-32s, by size, is shown.",
        levels("completely misses", 32, "recall:small")
        + shown(strides(8, 32, "recall:small", "recall:medium", "recall:large")),
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
        " step's; every stride decides. The median seconds per image of a step, same loop, nothing cached,"
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
        "FCN-32s is okay with big, obvious objects.",
        "Recall of large objects of FCN-32s, at least half, frozen and fine-tuned; both decide. FCN-8s minus"
        " FCN-32s in that recall and in the IoU of Road, Building and Car is shown.",
        levels("okay", 32, "recall:large")
        + shown(strides(8, 32, "recall:large", "iou:Road", "iou:Building", "iou:Car")),
    ),
    Claim(
        "F15",
        "FCN: strides",
        "FCN-16s can still struggle with the smallest details.",
        "Recall of small objects of FCN-16s, at most half, frozen and fine-tuned; both decide. What FCN-8s"
        " has more of it, and of boundary IoU and F1 at 1 px, is shown.",
        levels("struggles", 16, "recall:small")
        + shown(strides(8, 16, "recall:small", "boundary_iou:1", "boundary_f1:1")),
    ),
    Claim(
        "F16",
        "FCN: strides",
        "FCN-8s does a good job of detecting small and medium objects.",
        "Recall of small and of medium objects of FCN-8s, at least half, frozen and fine-tuned; all decide."
        " FCN-8s minus the others is shown.",
        levels("a good job", 8, "recall:small", "recall:medium")
        + shown(
            strides(8, 16, "recall:small", "recall:medium"), strides(8, 32, "recall:small", "recall:medium")
        ),
    ),
    Claim(
        "F17",
        "FCN: strides",
        "FCN-32s misses details above all around object boundaries.",
        "What FCN-8s is ahead of FCN-32s in mIoU of the pixels within 3 px of a true edge, minus the same of"
        " those beyond 8 px; frozen and fine-tuned, both decide.",
        strides(8, 32, "near-far") + shown(strides(8, 32, "near", "far")),
    ),
    Claim(
        "F18",
        "FCN: strides",
        "FCN-8s is more precise above all in outlining object boundaries.",
        "As F17, of FCN-8s minus FCN-16s.",
        strides(8, 16, "near-far") + shown(strides(8, 16, "near", "far")),
    ),
    Claim(
        "F19",
        "FCN: strides",
        "FCN-16s gives cleaner maps than FCN-32s.",
        "Share of the pixels in specks, which are connected parts of a prediction without a single right"
        " pixel, FCN-32s minus FCN-16s; frozen and fine-tuned, both decide.",
        strides(32, 16, "specks"),
    ),
    Claim(
        "F20",
        "FCN: strides",
        "The features of pool3 and pool4 are what gives FCN-8s its accuracy.",
        "Test mIoU that FCN-8s loses when the scores of pool3, or of pool4, are replaced by their mean over"
        " the image, more than 1 point each; frozen and fine-tuned, all decide. Pool4 of FCN-16s is shown.",
        lost(8, "pool3") + lost(8, "pool4") + shown(lost(16, "pool4")),
    ),
    Claim(
        "F21",
        "FCN: strides",
        "FCN-32s creates blurry segmentations.",
        "Width of the soft-max transition across true edges, at least 4 px, frozen and fine-tuned; both"
        " decide. FCN-32s minus FCN-8s is shown. Skewed, the other half of the sentence, has no agreed"
        " measure.",
        levels("blurry", 32, "softness") + shown(strides(32, 8, "softness")),
    ),
    Claim(
        "F22",
        "FCN: strides",
        "FCN-8s draws crisp boundary outlines.",
        "Width of the soft-max transition across true edges, at most 2 px, frozen and fine-tuned; both"
        " decide. What the other strides have more is shown.",
        levels("crisp", 8, "softness") + shown(strides(16, 8, "softness"), strides(32, 8, "softness")),
    ),
    Claim(
        "F23",
        "FCN: frozen or fine-tuned",
        "A frozen trunk is limited because its features were learned for classification.",
        "A study has one set of trunk weights, so nothing here tells what they were learned for from how good"
        " they are. Two studies with WEIGHTS=imagenet and another choice would be a start.",
        kind="none",
    ),
    Claim(
        "F24",
        "FCN: frozen or fine-tuned",
        "Fine-tuning takes more compute.",
        "Operations of a training step, forwards and backwards: what fine-tuning adds, as a share of the"
        " frozen step's; every stride decides.",
        tuning("train_gflops"),
        kind="exact",
    ),
    Claim(
        "F25",
        "FCN: frozen or fine-tuned",
        "For FCN-32s and FCN-16s the gain from fine-tuning is not huge.",
        "Test mIoU, fine-tuned minus frozen, at most 10 points; both strides decide. FCN-8s is shown.",
        not_huge(32, 16) + shown(not_huge(8)),
    ),
    Claim(
        "F26",
        "FCN: frozen or fine-tuned",
        "Fine-tuning helps FCN-8s to use the high-resolution features.",
        "Test mIoU that FCN-8s loses without the scores of pool3, fine-tuned minus frozen.",
        tuning("lost:pool3", at=(8,)) + shown(tuning("lost:pool4", at=(8,))),
    ),
)
