"""The study's numbers for figures and tables of networks, including numbers from its charts."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from segnb.audit.scores import published, published_scores
from segnb.labels import STREET
from segnb.models.registry import VARIANTS, label


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


def printed_scores(labels: Iterable[str]) -> pd.DataFrame:
    """Return the study's scores of networks as cells of a table, by the name of the metric."""
    cells = study_scores().map("{:.3f}".format, na_action="ignore").fillna("not published")
    names = {"miou": "test mIoU", "as_published": "study's metric"}
    return cells.reindex(labels)[list(names)].rename(columns=names)


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
