"""The audit of the study's scores: claims M1, M2, M3 and U32, and the study's metric on our own runs.

The score that the study reports is not the mean of its class IoUs. The study's own numbers decide the claims.
The same comparison on our runs shows that the metric (`as_published_score`) makes the difference. M3 looks at
the frames that were tested on.
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
from segnb.metrics.confusion import as_published_score, class_iou, confusion, mean_iou
from segnb.models.registry import label
from segnb.stats.bootstrap import image_interval
from segnb.study.study import Run, by_variant

READING_ERROR = 0.003  # of the study's class IoUs, which are read off bar charts
LITTLE = 0.1  # "little" background (U32) is at most this share of the pixels
FAILING = 0.1  # a class fails below this test IoU: nine in ten pixels of it, or taken for it, are wrong


def kendall_tau_b(a, b) -> float:
    """Return the rank correlation of two scores of the same things, −1 to 1 (Kendall 1945).

    It is NaN if all values of one score are equal, because then there is no ranking.
    """
    return float(kendalltau(a, b, variant="b").statistic)


def swaps(scores: pd.DataFrame, tolerance: float = READING_ERROR) -> pd.DataFrame:
    """Return the pairs that as_published and miou rank in opposite order, each by more than `tolerance`.

    Returns:
        One row per pair: above and below (names, by as_published), published_gap (> 0), miou_gap (< 0).
        `attrs` has the tolerance: that of the study's scores, which are read off charts, or 0.
    """
    rows = [
        (above.Index, below.Index, above.as_published - below.as_published, above.miou - below.miou)
        for above, below in permutations(scores.itertuples(), 2)
    ]
    pairs = pd.DataFrame(rows, columns=["above", "below", "published_gap", "miou_gap"])
    pairs.attrs["tolerance"] = tolerance
    return pairs[(pairs.published_gap > tolerance) & (pairs.miou_gap < -tolerance)].reset_index(drop=True)


# --- the study's numbers ---


def published() -> pd.DataFrame:
    """Return the study's own results, from 0 to 1.

    Returns:
        One row per variant. reported_test_miou: see `as_published_score`, three decimals. Unlabeled …
        Traffic sign: test IoU per class, read off bar charts to about ±0.003; 0 if no bar is drawn.
        mean_of_class_iou: the mean of these thirteen, three decimals.
    """
    return pd.read_csv(Path(__file__).with_name("published.csv"), index_col="variant")


def published_scores() -> pd.DataFrame:
    """Return the study's scores per variant: as_published (as reported), miou (mean of its class IoUs)."""
    names = {"reported_test_miou": "as_published", "mean_of_class_iou": "miou"}
    return published()[list(names)].rename(columns=names)


def published_shares() -> pd.DataFrame:
    """Return pixel_share and image_share, 0 to 1, per class of the study's 2,000 training images."""
    return pd.read_csv(Path(__file__).with_name("published_shares.csv"), index_col="class")


def lyft_frames() -> pd.DataFrame:
    """List the 5,000 frames of the public data set, with the study's probable split.

    The rule is inferred from the 25 frames whose names are known; the study gives only numbers (2,000, 500).

    Returns:
        One row per frame, sorted by name (the index): drive, number in it, split ("train", "test" or "").
    """
    drives = pd.read_csv(Path(__file__).with_name("lyft_drives.csv"), comment="#")
    rows = [
        (drive.name.format(number), drive.drive, number)
        for drive in drives.itertuples(index=False)
        for number in range(drive.first, drive.last + 1)
    ]
    frames = pd.DataFrame(rows, columns=["name", "drive", "number"]).set_index("name").sort_index()
    digit = frames.number % 10
    frames["split"] = np.where(digit <= 3, "train", "")
    frames.loc[frames.index[digit >= 8][1::2], "split"] = "test"
    return frames


class Outcome(NamedTuple):
    """Verdict on an audit claim."""

    word: str  # supported, refuted, inconclusive or not measured
    reason: str  # with the numbers, without capital letter and full stop


def verdict(name: str, published: pd.DataFrame | None = None) -> Outcome:
    """Decide M1, M2, M3 or U32 from the study's own numbers, by default `published_scores`."""
    scores = published_scores() if published is None else published
    decide = {"M1": _mean_of_classes, "M2": _same_ranking, "U32": _background}
    return new_frames(lyft_frames()) if name == "M3" else decide[name](scores)


def _background(_: pd.DataFrame) -> Outcome:
    """Decide U32."""
    unlabeled = published_shares().pixel_share["Unlabeled"]
    return Outcome(
        "supported" if unlabeled <= LITTLE else "refuted",
        f"{100 * unlabeled:.1f}% of the study's pixels are Unlabeled; “little” means at most"
        f" {100 * LITTLE:.0f}%",
    )


def _mean_of_classes(published: pd.DataFrame) -> Outcome:
    """Decide M1."""
    gap = (published.as_published - published.miou).abs()
    off = gap[gap > READING_ERROR]
    if off.empty:
        return Outcome("supported", f"all {len(gap)} reported scores equal mIoU to within {READING_ERROR}")
    return Outcome(
        "refuted",
        f"for {len(off)} of {len(gap)} networks, the reported score is not the mean of the class IoUs: the"
        f" two differ by {off.min():.3f} to {off.max():.3f}, and the reading error is {READING_ERROR}",
    )


def _same_ranking(published: pd.DataFrame) -> Outcome:
    """Decide M2."""
    pairs = swaps(published)
    tau = f"Kendall's tau-b is {kendall_tau_b(published.as_published, published.miou):.2f}"
    if pairs.empty:
        return Outcome("supported", f"no two networks change places by more than {READING_ERROR}; {tau}")
    swapped = "; ".join(
        f"{label(pair.above)} is above {label(pair.below)} by reported score and below it by mIoU"
        for pair in pairs.itertuples()
    )
    return Outcome("refuted", f"{swapped}, by more than {READING_ERROR} in both scores. {tau}")


def new_frames(frames: pd.DataFrame) -> Outcome:
    """Decide M3 from frames as from `lyft_frames`."""
    training, test = (frames[frames.split == split] for split in ("train", "test"))
    known = test.drive.isin(training.drive)
    following = pd.MultiIndex.from_arrays([test.drive, test.number + 1])
    next_in_training = following.isin(pd.MultiIndex.from_frame(training[["drive", "number"]])).sum()
    shared = test.drive[known].nunique()
    return Outcome(
        "refuted" if known.any() else "supported",
        f"{shared} of {frames.drive.nunique()} drives have both training and test frames, and for"
        f" {next_in_training} of {len(test)} test frames the next frame of the same drive is in training. The"
        " study's frames are inferred, by a rule that fits all 25 frames whose names are known",
    )


# --- our own runs ---


def by_run(runs: list[Run]) -> pd.DataFrame:
    """Tabulate both scores of every run, in the order of `runs`.

    Returns:
        One row per run: variant and seed; as_published (NaN if `as_published_score` is) and miou of the same
        test predictions; failing: names of the classes in the test images with an IoU below FAILING.
    """
    rows = []
    for run in runs:
        test = run.test()
        iou = class_iou(test["confusion"].sum(0))
        failing = [name for name, value in zip(run.study.classes.names, iou, strict=True) if value < FAILING]
        rows.append((run.variant, run.seed, float(test["as_published"]), float(np.nanmean(iou)), failing))
    return pd.DataFrame(rows, columns=["variant", "seed", "as_published", "miou", "failing"])


def panels(runs: list[Run]) -> dict[str, pd.DataFrame]:
    """Return both scores for the figures: the study's and, if there are runs, ours.

    Returns:
        {title: one row per network, indexed by label}: as_published and miou, in ours means over seeds;
        seeds_as_published and seeds_miou: one value per run, empty for the study; attrs: the tolerance
    """
    published = published_scores()
    for column in ("as_published", "miou"):
        published[f"seeds_{column}"] = [[] for _ in published.index]
    ours = _scored(runs).groupby("variant", sort=False)[["as_published", "miou"]]
    ours = ours.mean().join(ours.agg(list).add_prefix("seeds_"))
    published.attrs["tolerance"], ours.attrs["tolerance"] = READING_ERROR, 0
    both = {"reported by the study": published} | ({"trained here": ours} if len(ours) else {})
    return {title: frame.rename(index=label).rename_axis(None) for title, frame in both.items()}


def _scored(runs: list[Run]) -> pd.DataFrame:
    """Return the rows of `by_run` that have both scores."""
    return by_run(runs).dropna(subset="as_published")


def rankings_agree(runs: list[Run]) -> str:
    """Say how far the two scores rank our own networks alike; "" for fewer than two networks."""
    table = _scored(runs)
    means = table.groupby("variant", sort=False)[["as_published", "miou"]].mean()
    if len(means) < 2:
        return ""
    seeds = [rows.set_index("variant") for _, rows in table.groupby("seed")]
    taus = [f"{kendall_tau_b(rows.as_published, rows.miou):.2f}" for rows in seeds if len(rows) > 1]
    pairs, of_seeds = swaps(means, 0), [swaps(rows, 0) for rows in seeds]  # nothing is read off charts
    examples = []
    for pair in pairs.sort_values("miou_gap").head(3).itertuples():
        times = sum(((rows.above == pair.above) & (rows.below == pair.below)).any() for rows in of_seeds)
        examples.append(
            f"{label(pair.above)} is above {label(pair.below)} by the study's metric and below it by mIoU"
            + (f" (in {times} of {len(seeds)} seeds)" if len(seeds) > 1 else "")
        )
    return (
        f"For the {len(means)} networks trained here, Kendall's tau-b between the two rankings is"
        f" {kendall_tau_b(means.as_published, means.miou):.2f}"
        + (f" in the means over seeds and {', '.join(taus)} in the single seeds. " if len(taus) > 1 else ". ")
        + (
            f"{len(pairs)} of {comb(len(means), 2)} pairs change{'s' * (len(pairs) == 1)}"
            f" places{'; these three differ most in mIoU' if len(pairs) > 3 else ''}: {'; '.join(examples)}."
            if examples
            else "No pair changes places."
        )
        + " With one seed per network, this is inconclusive." * (len(seeds) == 1)
    )


def inflation(runs: list[Run]) -> str:
    """Say by how much the study's metric exceeds mIoU in our runs, and whether it hides failing classes.

    The failing classes of the run with most of them are corrected in its stored predictions. The metric hides
    them if it then gains less than half of what mIoU gains. "" without runs.
    """
    table = _scored(runs)
    if table.empty:
        no_score = "The study's metric has no score for these predictions, because all class numbers are 0."
        return no_score if runs else ""
    gap = _between(table.as_published - table.miou)
    which = "the only run" if len(table) == 1 else f"the {len(table)} runs"
    text = f"In {which} here, the study's metric is {gap} the mIoU of the same predictions."
    count = table.failing.map(len)
    if not count.any():
        return f"{text} No class has a test IoU below {FAILING}, so it hides no failing class."
    order = table.assign(count=count).sort_values(["count", "as_published"], ascending=False, kind="stable")
    worst, run = order.iloc[0], runs[order.index[0]]
    text += (
        f" {label(worst.variant)}, seed {worst.seed}, reaches {worst.as_published:.3f} although"
        f" {worst['count']} of its classes {'has' if worst['count'] == 1 else 'have'} an IoU below {FAILING}"
        f" ({', '.join(worst.failing)})."
    )
    published, miou, images = _gained(run, worst.failing)
    if not miou > 0:
        return text  # the stored predictions show none of them
    share = published / miou
    return (
        f"{text} If every pixel of these classes were right on the {images} test images with stored"
        f" predictions, mIoU would rise by {miou:.3f} and the study's metric by {published:.3f},"
        f" {100 * share:.0f}% of that. So the metric {'hides' if share < 0.5 else 'does not hide'} failing"
        " classes here."
    )


def _between(gap: pd.Series) -> str:
    """Put differences into words, as in "0.100 to 0.200 above"."""
    low, high = gap.round(3).min() + 0.0, gap.round(3).max() + 0.0  # adding 0 turns "-0.000" into zero
    if low < 0 < high:
        return f"between {-low:.3f} below and {high:.3f} above"
    near, far = sorted([abs(low), abs(high)])
    return f"{near:.3f}{f' to {far:.3f}' if near < far else ''} {'below' if low < 0 else 'above'}"


def _gained(run: Run, names: list[str]) -> tuple[float, float, int]:
    """Return what a run's score by the study's metric and its mIoU gain if some classes are corrected.

    The third number is that of the images with stored predictions, on which both are computed.
    """
    classes, stored = run.study.classes, run.predictions()
    truth, guess = stored["labels"], stored["predictions"]
    corrected = np.where(np.isin(truth, [classes.id(name) for name in names]), truth, guess)
    before, after = (_both_scores(truth, maps, classes) for maps in (guess, corrected))
    return *(after - before), len(truth)


def _both_scores(truth: np.ndarray, guess: np.ndarray, classes: ClassMap) -> np.ndarray:
    """Return the score by the study's metric and the mIoU of label maps (N, H, W), both from 0 to 1."""
    counts = confusion(torch.from_numpy(truth), torch.from_numpy(guess), len(classes)).numpy().sum(0)
    return np.array([as_published_score(truth, guess, len(classes)), mean_iou(counts)])


# --- class IoUs ---


def class_comparison(runs: list[Run]) -> dict[str, pd.DataFrame]:
    """Put the class IoUs of the study next to ours.

    Returns:
        {label: one row per class} for the networks of the study; empty for other classes. published;
        measured (mean over seeds, NaN if no test image shows the class); low and high (see
        `segnb.stats.bootstrap.image_interval`); seeds: a list of one value per run.
    """
    if not runs or runs[0].study.classes.names != STREET.names:
        return {}
    by_class = published()[list(STREET.names)]
    frames = {}
    for name, group in by_variant(runs).items():
        if name in by_class.index:
            tests = [run.test() for run in group]
            confusions = [test["confusion"] for test in tests]
            seeds = np.stack([class_iou(counts.sum(0)) for counts in confusions])  # (seeds, C)
            low, high = image_interval(confusions, tests[0]["names"], class_iou)
            numbers = {"measured": seeds.mean(0), "low": low, "high": high, "seeds": list(seeds.T)}
            frames[label(name)] = pd.DataFrame({"published": by_class.loc[name]} | numbers)
    return frames


def class_agreement(runs: list[Run]) -> str:
    """Say how far the class IoUs of the study and ours agree, or why they are not compared."""
    if not runs:
        return ""
    classes = runs[0].study.classes
    if classes.names != STREET.names:
        return (
            f"The study has class IoUs for its {len(STREET)} classes. The images here are labelled with"
            f" {len(classes)} other classes ({', '.join(classes.names)}), so the two are not compared."
        )
    frames = class_comparison(runs)
    if not frames:
        return "The study has class IoUs for none of the networks trained here."
    both = [frame.dropna(subset="measured") for frame in frames.values()]
    taus = [kendall_tau_b(frame.published, frame.measured) for frame in both]
    means = pd.concat(frames)[["published", "measured"]].groupby(level=1).mean()
    widest = (means.measured - means.published).dropna().sort_values(key=abs, ascending=False).head(3)
    gaps = ", ".join(
        f"{name} ({means.measured[name]:.2f} here, {means.published[name]:.2f} in the study)"
        for name in widest.index
    )
    ends = [f"{min(taus):.2f}", f"{max(taus):.2f}"]
    return (
        "Kendall's tau-b between the class IoUs of the study and those measured here is"
        f" {ends[0] if len(taus) == 1 else ' to '.join(ends)} (1 means the same order of classes)."
        f" The classes that differ most{' in the mean over networks' if len(frames) > 1 else ''}: {gaps}."
    )
