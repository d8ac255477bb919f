"""The metric audit: claims M1 and M2, decided from the study's own published numbers.

The study's headline score is not the mean of its class IoUs; here the two are held against each other.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from segnb import measures
from segnb.summary import label

READING_ERROR = 0.003  # of the published class IoUs, which are read off bar charts


def kendall_tau_b(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation of two scores of the same things, -1 to 1 (Kendall 1945).

    tau_b = (concordant - discordant) / sqrt((pairs - ties in a) · (pairs - ties in b))

    NaN when one of them ties everywhere, since then there is no ranking.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    order_a, order_b = np.sign(a[:, None] - a), np.sign(b[:, None] - b)  # (n, n): who is above whom
    untied = np.sqrt((order_a**2).sum() * (order_b**2).sum())
    return float((order_a * order_b).sum() / untied) if untied else np.nan


def swaps(scores: pd.DataFrame, tolerance: float = READING_ERROR) -> pd.DataFrame:
    """Pairs that as_published ranks one way and miou the other, both by more than `tolerance`.

    scores: indexed by name, columns as_published and miou

    Returns a row a pair: above and below (names, as published), published_gap (> 0), miou_gap (< 0).
    """
    rows = []
    for above, first in scores.iterrows():
        for below, second in scores.iterrows():
            published_gap = first.as_published - second.as_published
            miou_gap = first.miou - second.miou
            if published_gap > tolerance and miou_gap < -tolerance:
                rows.append((above, below, published_gap, miou_gap))
    return pd.DataFrame(rows, columns=["above", "below", "published_gap", "miou_gap"])


def published_scores() -> pd.DataFrame:
    """The study's own numbers by variant: as_published (as it prints) and miou (mean of its class IoUs)."""
    table = measures.published()
    return pd.DataFrame({"as_published": table["reported_test_miou"], "miou": table["mean_of_class_iou"]})


class Verdict(NamedTuple):
    word: str  # supported, refuted, inconclusive or not measured
    reason: str  # half a sentence with the numbers


def verdict_m1(published: pd.DataFrame) -> Verdict:
    """M1, "the published mIoU is the mean class IoU of the test set", decided from the published numbers.

    Refuted where a reported score differs from the mean of the class IoUs by more than the reading error.
    """
    gap = (published.as_published - published.miou).abs()
    off = gap[gap > READING_ERROR]
    if off.empty:
        return Verdict(
            "supported", f"all {len(gap)} scores equal the mean of their class IoUs within {READING_ERROR}"
        )
    return Verdict(
        "refuted",
        f"for {len(off)} of {len(gap)} networks the reported score is not the mean of the class IoUs;"
        f" they differ by {off.min():.3f} to {off.max():.3f}, and the reading error is {READING_ERROR}",
    )


def verdict_m2(published: pd.DataFrame) -> Verdict:
    """M2, "the ranking survives the correction", decided from the published numbers.

    Refuted when a pair swaps by more than the reading error in both scores.
    """
    pairs = swaps(published)
    tau = f"Kendall's tau-b is {kendall_tau_b(published.as_published, published.miou):.2f}"
    if pairs.empty:
        return Verdict("supported", f"no pair of networks swaps beyond ±{READING_ERROR}; {tau}")
    told = "; ".join(
        f"{label(pair.above)} is above {label(pair.below)} as published and below it by class means"
        for pair in pairs.itertuples()
    )
    return Verdict("refuted", f"{told}, beyond ±{READING_ERROR} in both scores. {tau}")


def rankings_agree(scores: pd.DataFrame) -> str:
    """One sentence on how far the two scores rank our own networks alike; "" for fewer than two."""
    if len(scores) < 2:
        return ""
    pairs = swaps(scores)
    told = ", ".join(f"{label(pair.above)} and {label(pair.below)}" for pair in pairs.itertuples())
    return (
        f"For the {len(scores)} networks trained here Kendall's tau-b between the two rankings is"
        f" {kendall_tau_b(scores.as_published, scores.miou):.2f};"
        + (f" pairs that swap beyond ±{READING_ERROR}: {told}." if told else " no pair swaps.")
        + (
            " That is one training of each, so it is inconclusive for the kinds of network."
            if scores.seeds.min() == 1
            else ""
        )
    )
