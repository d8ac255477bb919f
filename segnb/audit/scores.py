"""The audit: claims M1 to M3, and what the study's way of scoring does to our own runs.

The study's headline score is not the mean of its class IoUs. Here the two are held against each other in
its published numbers, which decides the claims, and in every run of ours, which shows that it is the
formula (`as_published_score`) that makes the difference. M3 asks which frames the scores are of.
"""

from itertools import permutations
from math import comb
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.stats import kendalltau

from segnb.labels import STREET, ClassMap
from segnb.metrics.confusion import class_iou, confusion, mean_iou
from segnb.metrics.published_score import as_published_score
from segnb.models.registry import label
from segnb.stats.bootstrap import image_interval
from segnb.study.study import Run, by_variant

READING_ERROR = 0.003  # of the published class IoUs, which are read off bar charts
LITTLE = 0.1  # a share up to which there is little of something (U32)
FAILING = 0.1  # a class below this test IoU fails: of the pixels of it or taken for it nine in ten are wrong


def kendall_tau_b(a, b) -> float:
    """Rank correlation of two scores of the same things, -1 to 1 (Kendall 1945).

    NaN when one of them ties everywhere, since then there is no ranking.
    """
    return float(kendalltau(a, b, variant="b").statistic)


def swaps(scores: pd.DataFrame, tolerance: float = READING_ERROR) -> pd.DataFrame:
    """Pairs that as_published ranks one way and miou the other, both by more than `tolerance`.

    scores: indexed by name, columns as_published and miou

    Returns a row a pair: above and below (names, as published), published_gap (> 0), miou_gap (< 0).
    """
    rows = [
        (above.Index, below.Index, above.as_published - below.as_published, above.miou - below.miou)
        for above, below in permutations(scores.itertuples(), 2)
    ]
    pairs = pd.DataFrame(rows, columns=["above", "below", "published_gap", "miou_gap"])
    return pairs[(pairs.published_gap > tolerance) & (pairs.miou_gap < -tolerance)].reset_index(drop=True)


# --- the published numbers ---


def published() -> pd.DataFrame:
    """The study's own results, one row a variant (the index), all numbers from 0 to 1.

    reported_test_miou:  the test score that the study prints, three decimals (see `as_published_score`)
    Unlabeled … Traffic sign: test IoU of each class, read off the study's bar charts to about ±0.003;
                         0 where no bar is drawn
    mean_of_class_iou:   the mean of those thirteen, three decimals
    """
    return pd.read_csv(Path(__file__).with_name("published.csv"), index_col="variant")


def published_scores() -> pd.DataFrame:
    """The study's own numbers by variant: as_published (as it prints) and miou (mean of its class IoUs)."""
    names = {"reported_test_miou": "as_published", "mean_of_class_iou": "miou"}
    return published()[list(names)].rename(columns=names)


def published_shares() -> pd.DataFrame:
    """pixel_share and image_share, 0 to 1, by class in the study's 2,000 training images."""
    return pd.read_csv(Path(__file__).with_name("published_shares.csv"), index_col="class")


def lyft_frames() -> pd.DataFrame:
    """The 5,000 frames of the public set, a row each, sorted by name (the index): drive, number, and split.

    split: "train" or "test" by the rule that fits all 25 frames of the study whose names are known, "" for
    the others. The rule is inferred: the study gives only the numbers of its frames, 2,000 and 500.
    """
    drives = pd.read_csv(Path(__file__).with_name("lyft_drives.csv"), comment="#")
    rows = [
        (one.name.format(number), one.drive, number)
        for one in drives.itertuples(index=False)
        for number in range(one.first, one.last + 1)
    ]
    frames = pd.DataFrame(rows, columns=["name", "drive", "number"]).set_index("name").sort_index()
    digit = frames.number % 10
    frames["split"] = np.where(digit <= 3, "train", "")
    frames.loc[frames.index[digit >= 8][1::2], "split"] = "test"
    return frames


class Outcome(NamedTuple):
    word: str  # supported, refuted, inconclusive or not measured
    reason: str  # half a sentence with the numbers


def verdict(name: str, published: pd.DataFrame | None = None) -> Outcome:
    """Decide an audit claim, M1, M2, M3 or U32, from the study's own numbers.

    Args:
        name: of the claim.
        published: see `published_scores`, which it is by default.
    """
    scores = published_scores() if published is None else published
    decide = {"M1": _mean_of_classes, "M2": _same_ranking, "U32": _background}
    return new_frames(lyft_frames()) if name == "M3" else decide[name](scores)


def _background(_: pd.DataFrame) -> Outcome:
    """Decide U32."""
    unlabeled = published_shares().pixel_share["Unlabeled"]
    told = f"{100 * unlabeled:.1f} % of the study's pixels are Unlabeled; little is {100 * LITTLE:.0f} %"
    return Outcome("supported" if unlabeled <= LITTLE else "refuted", told)


def _mean_of_classes(published: pd.DataFrame) -> Outcome:
    """Decide M1."""
    gap = (published.as_published - published.miou).abs()
    off = gap[gap > READING_ERROR]
    if off.empty:
        return Outcome(
            "supported", f"all {len(gap)} scores equal the mean of their class IoUs within {READING_ERROR}"
        )
    return Outcome(
        "refuted",
        f"for {len(off)} of {len(gap)} networks the reported score is not the mean of the class IoUs;"
        f" they differ by {off.min():.3f} to {off.max():.3f}, and the reading error is {READING_ERROR}",
    )


def _same_ranking(published: pd.DataFrame) -> Outcome:
    """Decide M2."""
    pairs = swaps(published)
    tau = f"Kendall's tau-b is {kendall_tau_b(published.as_published, published.miou):.2f}"
    if pairs.empty:
        return Outcome("supported", f"no pair of networks swaps beyond ±{READING_ERROR}; {tau}")
    swapped = "; ".join(
        f"{label(pair.above)} is above {label(pair.below)} as published and below it by class means"
        for pair in pairs.itertuples()
    )
    return Outcome("refuted", f"{swapped}, beyond ±{READING_ERROR} in both scores. {tau}")


def new_frames(frames: pd.DataFrame) -> Outcome:
    """Decide M3 from a table such as that of `lyft_frames`."""
    trained, tested = (frames[frames.split == split] for split in ("train", "test"))
    known = tested.drive.isin(trained.drive)
    following = pd.MultiIndex.from_arrays([tested.drive, tested.number + 1])
    next_trained = following.isin(pd.MultiIndex.from_frame(trained[["drive", "number"]])).sum()
    shared = tested.drive[known].nunique()
    return Outcome(
        "refuted" if known.any() else "supported",
        f"{shared} of {frames.drive.nunique()} drives are on both sides, and of {len(tested)} test frames"
        f" {next_trained} have the very next frame of the same drive in training. Which frames the study took"
        " is inferred, by a rule that fits all 25 whose names are known",
    )


# --- our own runs ---


def by_run(runs: list[Run]) -> pd.DataFrame:
    """Both scores of every run, a row a run in the order of `runs`.

    variant, seed; as_published (NaN where `as_published_score` is) and miou (dataset mIoU) of the same test
    predictions; failing: list of the names of classes that are in the test images with an IoU below FAILING
    """
    rows = []
    for run in runs:
        test = run.test()
        iou = class_iou(test["confusion"].sum(0))
        failing = [name for name, value in zip(run.study.classes.names, iou, strict=True) if value < FAILING]
        rows.append((run.variant, run.seed, float(test["as_published"]), float(np.nanmean(iou)), failing))
    return pd.DataFrame(rows, columns=["variant", "seed", "as_published", "miou", "failing"])


def panels(runs: list[Run]) -> dict[str, pd.DataFrame]:
    """Both scores by label, for the charts: the published numbers and, where there are runs, ours.

    Columns as_published and miou, means over seeds in ours, and seeds_as_published and seeds_miou, lists
    with a value a run (empty for the published numbers).
    """
    published = published_scores()
    for column in ("as_published", "miou"):
        published[f"seeds_{column}"] = [[] for _ in published.index]
    ours = _scored(runs).groupby("variant", sort=False)[["as_published", "miou"]]
    ours = ours.mean().join(ours.agg(list).add_prefix("seeds_"))
    both = {"published numbers": published} | ({"trained here": ours} if len(ours) else {})
    return {title: frame.rename(index=label).rename_axis(None) for title, frame in both.items()}


def _scored(runs: list[Run]) -> pd.DataFrame:
    """`by_run` of those that have both scores."""
    return by_run(runs).dropna(subset="as_published")


def rankings_agree(runs: list[Run]) -> str:
    """How far the two scores rank our own networks alike, in sentences; "" for fewer than two networks."""
    found = _scored(runs)
    means = found.groupby("variant", sort=False)[["as_published", "miou"]].mean()
    if len(means) < 2:
        return ""
    seeds = [one.set_index("variant") for _, one in found.groupby("seed")]
    taus = [f"{kendall_tau_b(one.as_published, one.miou):.2f}" for one in seeds if len(one) > 1]
    pairs, each = swaps(means), [swaps(one) for one in seeds]
    told = []
    for pair in pairs.sort_values("miou_gap").head(3).itertuples():
        where = sum(((one.above == pair.above) & (one.below == pair.below)).any() for one in each)
        told.append(
            f"{label(pair.above)} is above {label(pair.below)} as published and below it by mIoU"
            + (f" (so in {where} of {len(seeds)} seeds)" if len(seeds) > 1 else "")
        )
    return (
        f"For the {len(means)} networks trained here Kendall's tau-b between the two rankings is"
        f" {kendall_tau_b(means.as_published, means.miou):.2f}"
        + (f" in the means over seeds and {', '.join(taus)} seed by seed. " if len(taus) > 1 else ". ")
        + (
            f"Of {comb(len(means), 2)} pairs {len(pairs)} swap{'s' * (len(pairs) == 1)} beyond"
            f" ±{READING_ERROR} in both scores{', the widest three' if len(pairs) > 3 else ''}:"
            f" {'; '.join(told)}."
            if told
            else f"No pair swaps beyond ±{READING_ERROR} in both scores."
        )
        + " That is one training of each, so it is inconclusive for the kinds of network." * (len(seeds) == 1)
    )


def inflation(runs: list[Run]) -> str:
    """By how much the published way inflates our own scores, and whether it hides failing classes.

    The second is tried out on the run with most failing classes: on the test images that it kept, every
    pixel of those classes is put right, and both scores are taken again. A score that hides them hardly
    moves; the line is drawn at half of what mIoU gains. "" without runs.
    """
    found = _scored(runs)
    if found.empty:
        none = "The published way has no score for these predictions: all class numbers in them are 0."
        return none if runs else ""
    gap = found.as_published - found.miou
    whose = "the one training" if len(found) == 1 else f"the {len(found)} trainings"
    told = f"The published score of {whose} here is {_between(gap)} the dataset mIoU of the same predictions."
    count = found.failing.map(len)
    if not count.any():
        return f"{told} No class has a test IoU below {FAILING}, so there is none to hide."
    order = found.assign(count=count).sort_values(["count", "as_published"], ascending=False, kind="stable")
    worst, run = order.iloc[0], runs[order.index[0]]
    told += (
        f" {label(worst.variant)}, seed {worst.seed}, scores {worst.as_published:.3f} as published while"
        f" {worst['count']} of its classes have an IoU below {FAILING} ({', '.join(worst.failing)})."
    )
    published, miou, images = _gained(run, worst.failing)
    if not miou > 0:
        return told  # none of them is on the pictures that it kept
    share = published / miou
    return (
        f"{told} If it had found every pixel of them on the {images} test images that it kept, mIoU there"
        f" would rise by {miou:.3f} and the published score by {published:.3f}, {100 * share:.0f} % of that:"
        f" the published way {'hides' if share < 0.5 else 'does not hide'} failing classes here."
    )


def _between(gap: pd.Series) -> str:
    """Differences in words, as in "0.100 to 0.200 above"."""
    low, high = gap.round(3).min() + 0.0, gap.round(3).max() + 0.0  # adding 0 makes a zero of "-0.000"
    if low < 0 < high:
        return f"between {-low:.3f} below and {high:.3f} above"
    near, far = sorted([abs(low), abs(high)])
    return f"{near:.3f}{f' to {far:.3f}' if near < far else ''} {'below' if low < 0 else 'above'}"


def _gained(run: Run, names: list[str]) -> tuple[float, float, int]:
    """What both scores of a run's saved images gain if all pixels that *are* of some classes were found.

    Returns:
        The gain as published and that of mIoU, and the number of images.
    """
    classes, saved = run.study.classes, run.predictions()
    truth, guess = saved["labels"], saved["predictions"]
    found = np.where(np.isin(truth, [classes.id(name) for name in names]), truth, guess)
    before, after = (_both_scores(truth, one, classes) for one in (guess, found))
    return *(after - before), len(truth)


def _both_scores(truth: np.ndarray, guess: np.ndarray, classes: ClassMap) -> np.ndarray:
    """Score as published and dataset mIoU of label maps (N, H, W): two numbers from 0 to 1."""
    counts = confusion(torch.from_numpy(truth), torch.from_numpy(guess), len(classes)).numpy().sum(0)
    return np.array([as_published_score(truth, guess, len(classes)), mean_iou(counts)])


# --- class IoUs ---


def class_comparison(runs: list[Run]) -> dict[str, pd.DataFrame]:
    """The published class IoUs beside ours, {label: frame} for the networks that the study has.

    Each frame is indexed by class: published; measured (mean over seeds, NaN where no test image shows
    the class); low and high, a 95 % interval for these networks on new images; seeds, a list with a
    value a run. Empty where the classes are not the study's, see `class_agreement`.

    The interval is that of `segnb.stats.bootstrap.image_interval`, class by class.
    """
    if not runs or runs[0].study.classes.names != STREET.names:
        return {}
    by_class = published()[list(STREET.names)]
    frames = {}
    for name, group in by_variant(runs).items():
        if name in by_class.index:
            tests = [run.test() for run in group]
            confusions = [test["confusion"] for test in tests]
            seeds = np.stack([class_iou(one.sum(0)) for one in confusions])  # (seeds, C)
            low, high = image_interval(confusions, tests[0]["names"], class_iou)
            numbers = {"measured": seeds.mean(0), "low": low, "high": high, "seeds": list(seeds.T)}
            frames[label(name)] = pd.DataFrame({"published": by_class.loc[name]} | numbers)
    return frames


def class_agreement(runs: list[Run]) -> str:
    """How far the published class IoUs and ours agree, or why they are not set side by side."""
    if not runs:
        return ""
    classes = runs[0].study.classes
    if classes.names != STREET.names:
        return (
            f"The study's class IoUs are of its {len(STREET)} classes. The images here are labelled with"
            f" {len(classes)} others ({', '.join(classes.names)}), so the two are not set side by side."
        )
    frames = class_comparison(runs)
    if not frames:
        return "The study gives class IoUs for none of the networks trained here."
    taus = []
    for frame in frames.values():
        there = frame.dropna(subset="measured")
        taus.append(kendall_tau_b(there.published, there.measured))
    every = pd.concat(frames)[["published", "measured"]].groupby(level=1).mean()
    widest = (every.measured - every.published).dropna().sort_values(key=abs, ascending=False).head(3)
    gaps = ", ".join(
        f"{name} ({every.measured[name]:.2f} here, {every.published[name]:.2f} published)"
        for name in widest.index
    )
    ends = [f"{min(taus):.2f}", f"{max(taus):.2f}"]
    return (
        "Whether the same classes are hard here as in the study: Kendall's tau-b between published and"
        f" measured class IoUs is {ends[0] if len(taus) == 1 else ' to '.join(ends)} (1 is the same order)."
        f" Furthest apart{' in the means over networks' if len(frames) > 1 else ''}: {gaps}."
    )
