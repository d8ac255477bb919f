"""The tables of the metric audit: both scores of every run, pairs that swap, and sixteen pixels."""

import pandas as pd
from pandas.io.formats.style import Styler

from segnb.audit import published
from segnb.audit.example import Example, bits
from segnb.audit.scores import FAILING, READING_ERROR, by_run, published_scores
from segnb.labels import STREET
from segnb.models.registry import label
from segnb.report.tables import table
from segnb.study.study import Run

FORMATS = {"difference": "{:+.3f}", "failing": "{:.3g}"}


def every_run(runs: list[Run]) -> Styler:
    """Both scores of every run, a row each, beside the study's own of the same network.

    Networks come in the study's order, then those that it does not have. Where there are several seeds, a
    row with their means follows; a network that was not trained here has one row.
    """
    study, ours = published_scores(), by_run(runs)
    study["failing"] = (published.published()[list(STREET.names)] < FAILING).sum(axis=1)
    ours["failing"] = ours.failing.map(len).astype(float)  # a mean over seeds need not be whole
    parts = []
    for name in dict.fromkeys([*study.index, *ours.variant]):
        found = ours[ours.variant == name]
        rows = found[study.columns].set_axis([f"{label(name)}, seed {seed}" for seed in found.seed])
        if len(rows) > 1:
            rows.loc[f"{label(name)}, mean"] = rows.mean()
        if rows.empty:
            rows.loc[label(name)] = float("nan")
        parts.append(rows.assign(variant=name))
    here = pd.concat(parts)
    there = study.reindex(here.variant).set_axis(here.index)
    frame = pd.concat({"published numbers": _told(there), "trained here": _told(here)}, axis=1)
    return table(
        frame,
        "Each network's score as the study computes it, and the mean of its class IoUs, which is the dataset"
        f" mIoU. Failing: how many classes have a test IoU below {FAILING}. The class means of the published"
        f" numbers are read off bar charts, to about ±{READING_ERROR}.",
        {column: FORMATS.get(column[1], "{:.3f}") for column in frame},
    )


def _told(scores: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "as published": scores.as_published,
            "class mean": scores.miou,
            "difference": scores.as_published - scores.miou,
            "failing": scores.failing,
        }
    )


def swaps(pairs: pd.DataFrame) -> Styler | None:
    """Pairs from `audit.swaps`."""
    frame = pairs.assign(above=pairs.above.map(label), below=pairs.below.map(label))
    frame.columns = ["above, as published", "below, as published", "gap as published", "gap by class mean"]
    frame.index = range(1, len(frame) + 1)
    formats = {"gap as published": "{:+.3f}", "gap by class mean": "{:+.3f}"}
    return table(
        frame,
        f"Pairs that the two scores rank in opposite order, beyond ±{READING_ERROR} in both.",
        formats,
    )


def worked_example(example: Example) -> Styler:
    """The pixels of an example, a row each, and under each row of pixels its sums."""

    def numbered(number: int) -> str:
        return f"{number} ({bits(number)})"

    rows = {}
    for line, pixels in example.pixels.groupby("row"):
        for place, one in enumerate(pixels.itertuples(), 1):
            rows[f"row {line + 1}, pixel {place}"] = {
                "truth": f"{STREET.names[one.truth]} {numbered(one.truth)}",
                "prediction": f"{STREET.names[one.guess]} {numbered(one.guess)}",
                "AND": numbered(one.both_bits),
                "OR": numbered(one.any_bits),
                "AND / OR": "",
            }
        sums = example.sums.loc[line]
        rows[f"row {line + 1}, sum"] = {
            "truth": "",
            "prediction": "",
            "AND": f"{sums.both_bits:.0f}",
            "OR": f"{sums.any_bits:.0f}",
            "AND / OR": f"{sums.ratio:.3f}",
        }
    return table(
        pd.DataFrame(rows).T,
        "The example pixel by pixel: class, id and, in brackets, the id's bits. The score as published is the"
        f" mean of the ratios of the rows, {example.as_published:.3f}; the mean class IoU of the same pixels"
        f" is {example.miou:.3f}.",
    )
