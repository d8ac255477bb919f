"""The scores that the study reports, its other numbers, and claims M1, M2, M3 and U32, which they decide.

The score that the study reports is not the mean of its class IoUs; `segnb.audit.metric` shows that its metric
makes the difference. M3 looks at the frames that were tested on.
"""

from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from segnb.labels import STREET
from segnb.models.registry import VARIANTS, label

READING_ERROR = 0.003  # of the study's class IoUs, which are read off bar charts
LITTLE = 0.1  # "little" background (U32) is at most this share of the pixels


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


def learning_curves(family: str) -> dict[str, list[pd.DataFrame]]:
    """Return the study's learning curves of a family, in the form of the histories of our runs.

    Returns:
        {label: [one row per epoch]}: epoch, train_loss, val_loss, train_miou, val_miou. Losses are in nats,
        and mIoU is by the study's metric. Hidden values are interpolated, or NaN at the ends.
    """
    table = pd.read_csv(Path(__file__).with_name("published_curves.csv"), comment="#")
    curves = {name: rows.drop(columns="variant") for name, rows in table.groupby("variant")}
    return {
        variant.label: [curves[name].reset_index(drop=True).interpolate(limit_area="inside")]
        for name, variant in VARIANTS.items()
        if variant.family == family and name in curves
    }


def study_scores() -> pd.DataFrame:
    """Return the study's scores of all networks; NaN where it published none.

    Returns:
        Indexed by label: as_published and miou, see `published_scores`, and loss on the test images in nats.
    """
    losses = pd.read_csv(Path(__file__).with_name("published_losses.csv"), comment="#", index_col="variant")
    return published_scores().join(losses).reindex(list(VARIANTS)).rename(index=label)


def with_study(ious: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Put the study's class IoUs next to ours, if the classes are the same.

    Args:
        ious: from `segnb.evaluation.scores.class_ious`

    Returns:
        Columns (label, "here") and, for networks of the study, (label, "study"); and a sentence on the
        latter, which begins with a space.
    """
    study = published().rename(columns={"mean_of_class_iou": ious.index[-1]})
    columns = {}
    for name, ours in ious.items():
        columns[label(name), "here"] = ours
        if tuple(ious.index[:-1]) == STREET.names and name in study.index:
            columns[label(name), "study"] = study.loc[name, list(ious.index)]
    text = " The columns “study” are read off its bar charts; its images are others."
    text += " It published none for additional networks." * (len(columns) < 2 * ious.shape[1])
    return pd.DataFrame(columns), text * (len(columns) > ious.shape[1])


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


# --- verdicts ---


class Outcome(NamedTuple):
    """Verdict on an audit claim."""

    word: str  # supported or refuted: the study's numbers leave nothing open
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
        f"{100 * unlabeled:.1f}% of the study's pixels are Unlabeled, the class that includes the sky;"
        f" “little” means at most {100 * LITTLE:.0f}%",
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
    tau = f"Kendall's tau-b is {published.as_published.corr(published.miou, method='kendall'):.2f}"
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
