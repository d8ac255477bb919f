"""The study's metric next to mIoU, on sixteen pixels that can be checked by hand and on our own runs."""

from math import comb
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from segnb.audit.scores import READING_ERROR, published, published_scores, swaps
from segnb.labels import STREET, ClassMap
from segnb.metrics.confusion import class_iou, confusion, mean_iou, pixel_accuracy
from segnb.metrics.published_score import as_published_score
from segnb.models.registry import VARIANTS, label
from segnb.stats.bootstrap import image_interval
from segnb.storage.files import in_markdown
from segnb.study.study import Run, by_variant

FAILING = 0.1  # a class fails below this test IoU: nine in ten pixels of it, or taken for it, are wrong

# Two rows of pixels from left to right: sky, trees and houses above a street.
TRUTH = (
    ("Unlabeled", "Unlabeled", "Vegetation", "Vegetation", "Traffic sign", "Pole", "Building", "Building"),
    ("Road", "Road", "Roadline", "Road", "Pedestrian", "Road", "Car", "Car"),
)
GUESS = (
    ("Unlabeled", "Unlabeled", "Vegetation", "Vegetation", "Vegetation", "Building", "Building", "Building"),
    ("Road", "Road", "Road", "Road", "Road", "Road", "Car", "Car"),
)


# --- sixteen pixels ---


class Example(NamedTuple):
    """Rows of pixels, scored by the functions that score the runs.

    truth:        ground truth (rows, W), uint8 ids of STREET
    guess:        prediction, of the same shape
    pixels:       one line per pixel, from the upper left: row, truth and guess (ids), both_bits (their AND),
                  any_bits (their OR)
    sums:         sums of both_bits and any_bits per row of pixels, and their ratio
    as_published: score by the study's metric
    miou, accuracy: mIoU, and share of right pixels
    ious:         IoU by name, of the classes in the ground truth
    """

    truth: np.ndarray
    guess: np.ndarray
    pixels: pd.DataFrame
    sums: pd.DataFrame
    as_published: float
    miou: float
    accuracy: float
    ious: pd.Series


def bits(number: int) -> str:
    """Return an id in binary: 6 -> "0110"."""
    return f"{number:04b}"


def worked_example() -> Example:
    """Return two rows of pixels: common classes are right, and four classes of one pixel each are missed."""
    maps = ([[STREET.id(name) for name in row] for row in rows] for rows in (TRUTH, GUESS))
    truth, guess = (np.array(ids, np.uint8) for ids in maps)
    columns = {"row": np.indices(truth.shape)[0], "truth": truth, "guess": guess}
    columns |= {"both_bits": truth & guess, "any_bits": truth | guess}
    pixels = pd.DataFrame({name: ids.ravel().astype(int) for name, ids in columns.items()})
    sums = pixels.groupby("row")[["both_bits", "any_bits"]].sum()
    batch = truth[None], guess[None]
    counts = confusion(*map(torch.from_numpy, batch), len(STREET)).numpy().sum(0)  # (C, C)
    return Example(
        truth,
        guess,
        pixels,
        sums=sums.assign(ratio=sums.both_bits / sums.any_bits),
        as_published=as_published_score(*batch, len(STREET)),
        miou=float(mean_iou(counts)),
        accuracy=float(pixel_accuracy(counts)),
        ious=pd.Series(class_iou(counts), STREET.names).dropna(),
    )


def example_sentence(example: Example) -> str:
    """Say how both scores come about."""
    pixels, missed = example.pixels, example.ious[example.ious == 0]
    wrong = pixels[pixels.truth != pixels.guess]
    mildest = wrong.loc[(wrong.both_bits / wrong.any_bits).idxmax()]
    truth, guess = (f"{STREET.names[i]} ({i} = {bits(i)})" for i in (mildest.truth, mildest.guess))
    return (
        f"{len(missed)} classes are never found: {', '.join(missed.index)}. The study's metric counts"
        f" {truth} taken for {guess} as {mildest.both_bits}/{mildest.any_bits} right, because the numbers"
        " share these bits. It also scores each row as a whole, so that many right pixels outweigh the missed"
        " classes."
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
    ranked = [rows for rows in (means, *seeds) if len(rows) > 1]
    taus = [rows.as_published.corr(rows.miou, method="kendall") for rows in ranked]  # NaN without a ranking
    if np.isnan(taus[0]):
        return f"The {len(means)} networks trained here have equal scores, which give no ranking."
    mean, *taus = ["none" if np.isnan(tau) else f"{tau:.2f}" for tau in taus]
    pairs, of_seeds = swaps(means, 0), [swaps(rows, 0) for rows in seeds]  # nothing is read off charts
    families = [(VARIANTS[pair.above].family, VARIANTS[pair.below].family) for pair in pairs.itertuples()]
    across = " Each of them consists of an FCN and a U-Net." * all(one != other for one, other in families)
    examples = []
    for pair in pairs.sort_values("miou_gap").head(3).itertuples():
        times = sum(((rows.above == pair.above) & (rows.below == pair.below)).any() for rows in of_seeds)
        examples.append(
            f"{label(pair.above)} is above {label(pair.below)} by the study's metric and below it by mIoU"
            + (f" (in {times} of {len(seeds)} seeds)" if len(seeds) > 1 else "")
        )
    return (
        f"For the {len(means)} networks trained here, Kendall's tau-b between the two rankings is {mean}"
        + (f" in the means over seeds and {', '.join(taus)} in the single seeds. " if len(taus) > 1 else ". ")
        + (
            f"{len(pairs)} of {comb(len(means), 2)} pairs change{'s' * (len(pairs) == 1)}"
            f" places{'; these three differ most in mIoU' if len(pairs) > 3 else ''}: {'; '.join(examples)}."
            + across
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
        f" ({', '.join(map(in_markdown, worst.failing))})."
    )
    published, miou, images = _gained(run, worst.failing)
    share = published / miou if miou > 0 else np.nan
    if np.isnan(share):
        return text  # the stored predictions show none of them, or have no score by the study's metric
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
            f" {len(classes)} other classes ({', '.join(map(in_markdown, classes.names))}), so the two are"
            " not compared."
        )
    frames = class_comparison(runs)
    if not frames:
        return "The study has class IoUs for none of the networks trained here."
    taus = [frame.published.corr(frame.measured, method="kendall") for frame in frames.values()]
    taus = [tau for tau in taus if not np.isnan(tau)]
    means = pd.concat(frames)[["published", "measured"]].groupby(level=1).mean()
    widest = (means.measured - means.published).dropna().sort_values(key=abs, ascending=False).head(3)
    gaps = ", ".join(
        f"{name} ({means.measured[name]:.2f} here, {means.published[name]:.2f} in the study)"
        for name in widest.index
    )
    ends = dict.fromkeys(f"{tau:.2f}" for tau in (min(taus), max(taus))) if taus else ()
    agree = (
        "Kendall's tau-b between the class IoUs of the study and those measured here is"
        f" {' to '.join(ends)} (1 means the same order of classes)."
        if ends
        else "The class IoUs measured here are equal, which gives no order of classes to compare."
    )
    where = " in the mean over networks" if len(frames) > 1 else ""
    return f"{agree} The classes that differ most{where}: {gaps}."
