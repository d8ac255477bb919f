"""Tables of the report: styled tables with captions, or None if there is nothing to show.

Rows are named by the labels of networks.
"""

import html
from collections.abc import Iterable
from dataclasses import replace

import pandas as pd
from pandas.io.formats.style import Styler

from segnb.audit.metric import FAILING, by_run
from segnb.audit.scores import READING_ERROR, published, published_scores, study_scores, with_study
from segnb.claims.claim import LIMITS, MARGINS
from segnb.claims.verdicts import DECIDED, StudyVerdicts
from segnb.claims.wording import counted, goal, half_widths, needed
from segnb.labels import STREET
from segnb.models.registry import VARIANTS, label
from segnb.presets import preset
from segnb.report.figures.findings import few, tied_in_time
from segnb.report.figures.style import percent, signed
from segnb.report.html import about
from segnb.study.study import Run, Study, by_variant


def table(
    name: str,
    frame: pd.DataFrame,
    caption: str,
    formats: str | dict = "{}",
    networks: Iterable[str] = (),
    metrics: Iterable[str] = (),
) -> Styler | None:
    """Style a frame as a table of the report; markup in its cells stays text.

    Args:
        name: Name in the table's anchor; see `segnb.report.html.about`, also for networks and metrics.
        frame: Cells; NaN becomes a dash.
        caption: Text above the table.
        formats: For all columns, or by column.
        networks: Labels of the networks for which the table is evidence.
        metrics: Metrics for which the table is evidence.
    """
    if frame.empty:
        return None
    style = Styler(frame.rename_axis(None), uuid=name, cell_ids=False)  # pandas' own uuid is random
    style = style.format(formats, na_rep="–", escape="html")
    style = style.format_index(escape="html").format_index(escape="html", axis=1)
    style = style.set_table_attributes(f'data-about="{html.escape(about(name, networks, metrics))}"')
    return style.set_caption(html.escape(caption, quote=False))  # it may name classes, which come from data


def networks(runs: list[Run]) -> Styler | None:
    """Describe each network and its training."""
    rows = {}
    for name, group in by_variant(runs).items():
        done = pd.DataFrame([run.summary for run in group])
        variant = VARIANTS[name]
        rows[label(name)] = {
            "description": f"Additional network. {variant.summary}" if variant.extension else variant.summary,
            "seeds": len(group),
            "epochs": _range(done.epochs),
            "best epoch": _range(done.best_epoch),
            "minutes": f"{done.seconds.median() / 60:.1f}",
        }
    additional = any(VARIANTS[run.variant].extension for run in runs)
    frozen = any(VARIANTS[run.variant].frozen for run in runs)
    return table(
        "networks",
        pd.DataFrame.from_dict(rows, orient="index"),
        f"This chapter covers {counted(len(rows), 'network')} and {counted(len(runs), 'run')}. An epoch is"
        " one pass over all training images. The best epoch has the highest validation mIoU, and its weights"
        " are kept. Minutes are the median training time of a run."
        + (
            " Frozen networks train fast because the features of their backbone are cached; the cost table"
            " measures training without this cache."
            if frozen
            else ""
        )
        + (" The study reports no scores for additional networks." if additional else ""),
    )


def _range(values: pd.Series) -> str:
    low, high = values.min(), values.max()
    return f"{low}" if low == high else f"{low}–{high}"


def scores(ranked: pd.DataFrame) -> Styler | None:
    """Show the scores of each network.

    Args:
        ranked: From `segnb.evaluation.scores`, in the order of the rows.
    """
    here = pd.DataFrame(
        {
            "test mIoU": ranked.miou.map("{:.3f}".format),
            "95% CI": [_interval(row) for row in ranked.itertuples()],
            "seeds": ranked.seeds,
            "study's metric": ranked.as_published.map("{:.3f}".format, na_action="ignore"),
        }
    ).rename(index=label)
    there = study_scores().reindex(here.index).map("{:.3f}".format, na_action="ignore")
    names = {"miou": "test mIoU", "as_published": "study's metric"}
    there = there.fillna("not published")[list(names)].rename(columns=names)
    frame = pd.concat({"trained here": here, "in the study": there}, axis=1)
    low, high = ranked.miou.min(), ranked.miou.max()
    spread = f"is {low:.3f}" if len(ranked) == 1 else f"ranges from {low:.3f} to {high:.3f}"
    return table(
        "scores",
        frame,
        f"The test mIoU {spread}. The study's metric scores the same predictions in another"
        " way, and the study's test images resemble its training images; the chapter “The study's reported"
        " scores” explains both. Do not compare its numbers with those of this report.",
        networks=frame.index,
        metrics=["miou"],
    )


def _interval(row) -> str | float:
    return f"{row.low:.3f} to {row.high:.3f}" if row.low == row.low else float("nan")


def class_ious(ious: pd.DataFrame) -> Styler | None:
    """Show the IoU of each class, one column per network.

    Args:
        ious: From `segnb.evaluation.scores.class_ious`.
    """
    if ious.empty:
        return None
    means = ious.iloc[:-1].mean(axis=1)  # the last row is the mIoU
    several = "Over all networks, " if ious.shape[1] > 1 else ""
    absent = " A dash marks a class that no test image shows; it does not count in the mIoU."
    frame, theirs = with_study(ious)
    return table(
        "class_ious",
        frame,
        f"{several}{means.idxmax()} has the highest mean IoU, {means.max():.3f}, and {means.idxmin()} the"
        f" lowest, {means.min():.3f}. Cells are means over seeds. The last row, the mIoU, is the mean of the"
        f" rows above it.{absent if ious.isna().any(axis=None) else ''}{theirs}",
        "{:.3f}",
        networks=map(label, ious.columns),
        metrics=["iou:*", "miou"],
    )


COSTS = ("parameters", "gflops", "predict_seconds", "train_seconds", "memory_mib")  # columns of cost.json


def costs(cost: pd.DataFrame, names: list[str]) -> Styler | None:
    """Show the size, operations, time and memory of each network.

    Args:
        cost: From `Study.cost()`.
        names: Networks to show, if they have a cost.
    """
    cost = cost.loc[[name for name in names if name in cost.index]]
    if cost.empty:
        return None
    frame = pd.DataFrame(
        {
            "parameters": cost.parameters.map("{:,.0f}".format),
            "trained": cost.trained_parameters.map("{:,.0f}".format),
            "GFLOPs": cost.gflops.map("{:.2f}".format),
            "predict, ms": (1e3 * cost.predict_seconds).map("{:.1f}".format),
            "train, ms": (1e3 * cost.train_seconds).map("{:.1f}".format),
            "memory, MiB": cost.memory_mib.map("{:,.0f}".format),
        }
    ).rename(index=label)
    tied = tied_in_time(cost.rename(index=label), "train", least=False)
    most = f"{1e3 * cost.train_seconds.max():.1f} ms per image"
    alone = f"{tied[0]} takes the most time to train, {most}."
    several = f"Training takes up to {most}; the rounds of timing of {few(tied)} overlap."
    return table(
        "costs",
        frame,
        f"{several if len(tied) > 1 else alone} The column “trained” counts the parameters that training"
        " changes. GFLOPs are billions of floating-point operations to predict one image, with a multiply-add"
        " counted as two. Times are medians of the rounds, per image, in batches and without caches. Memory"
        " is the peak of a training step. The study published no costs.",
        networks=frame.index,
        metrics=COSTS,
    )


def recipes(study: Study) -> Styler | None:
    """Compare how networks are trained here and in the study."""
    columns, paper = {}, preset("paper")
    here = replace(study.preset, train=study.settings["data"]["counts"]["train"])
    for family in ("FCN", "U-Net"):
        for place, chosen in {"here": here, "in the study": paper}.items():
            fcn = family == "FCN"
            recipe = chosen.fcn if fcn else chosen.unet
            channels = f"{64 * recipe.width} in the head" if fcn else f"{recipe.width} at the first level"
            backbone = f"{recipe.backbone_learning_rate:g}" if fcn else None
            columns[f"{family}, {place}"] = {
                "training images": f"{chosen.train:,}",
                "image side, px": f"{recipe.size}",
                "channels": channels,
                "epochs": f"{recipe.epochs}" if recipe.patience is None else f"at most {recipe.epochs}",
                "batch size": f"{recipe.batch_size}",
                "learning rate": f"{recipe.learning_rate:g}",
                "learning rate of a fine-tuned backbone": backbone,
                "schedule": recipe.schedule,
                "horizontal flips": "half of the images" if recipe.mirror else "no",
                "weights kept": "best validation mIoU",
            }
    frame = pd.DataFrame(columns)
    epochs = frame.loc["epochs"]
    return table(
        "recipes",
        frame,
        f"Number of epochs: FCNs {epochs['FCN, here']} here and {epochs['FCN, in the study']} in the study,"
        f" U-Nets {epochs['U-Net, here']} and {epochs['U-Net, in the study']}. All networks minimise the"
        " cross-entropy with Adam (Kingma and Ba 2015). A U-Net has twice as many channels at each level"
        " below the first. In a one-cycle schedule (Smith 2018), the learning rate rises to the given value"
        " and falls again.",
    )


def limits() -> Styler | None:
    """Show the limit that each absolute word of the study stands for, and why."""
    words = MARGINS | {word: (limit.claim, limit.why) for word, limit in LIMITS.items()}
    rows = {f"“{word}”": {"limit": limit, "reason": why} for word, (limit, why) in words.items()}
    return table(
        "limits",
        pd.DataFrame.from_dict(rows, orient="index"),
        f"{len(rows)} words stand for a limit. A claim with such a word is supported if the"
        " interval of the value satisfies the limit.",
    )


def open_questions(ledger: StudyVerdicts) -> Styler | None:
    """Show how many seeds would decide each claim that depends on training."""
    claims = [claim for claim in ledger.claims if claim.power]
    rows = {
        claim.id: {
            "verdict": claim.word,
            "seeds": f"{claim.seeds}",
            "half-width": half_widths(claim),
            "claimed": goal(claim, claim.decisive_contrast),
            "seeds needed": needed(claim),
        }
        | {f"chance with {n} seeds": percent(chance, 0) for n, chance in claim.power.items()}
        for claim in claims
    }
    undecided = sum(claim.word not in DECIDED for claim in claims)
    return table(
        "open_questions",
        pd.DataFrame.from_dict(rows, orient="index"),
        f"Of {counted(len(claims), 'claim')} that depend on training, {undecided} are not decided. The"
        " chance is the probability that this number of seeds supports or refutes the claim if effect and"
        " spread stay the same; the seeds needed give a chance of 80%, and “more images” means that no number"
        " does. The half-width is that of the widest deciding interval: if it exceeds the margin of a claim"
        " of equality, that claim cannot be supported.",
    )


def shares(pixels: pd.DataFrame, images: pd.DataFrame) -> Styler | None:
    """Show how much of each class there is.

    Args:
        pixels: Share of the labelled pixels, 0 to 1, by class; one column per source.
        images: Share of the images that show the class, 0 to 1, likewise.
    """
    frame = pd.concat({"% of labelled pixels": 100 * pixels, "% of images": 100 * images}, axis=1)
    formats = {column: "{:.2f}" if column[0] == "% of labelled pixels" else "{:.0f}" for column in frame}
    source = pixels.columns[0]
    largest = pixels[source].idxmax()
    return table(
        "shares",
        frame,
        f"{largest} covers the most labelled pixels, {100 * pixels[source].max():.0f}% of the {source}"
        " split. The columns on the right show the share of images in which a class appears."
        + (
            " The study's data are the 2,000 images with which it trained (1,600) and validated (400)."
            if "study's data" in pixels
            else ""
        ),
        formats,
        metrics=["U32"] if "study's data" in pixels else [],
    )


FORMATS = {"difference": signed, "failing": "{:.3g}"}


def every_run(runs: list[Run]) -> Styler:
    """Show both scores of every run, next to the study's scores of the same network.

    Networks are in the study's order, additional networks last. If there are several seeds, a row with their
    means follows. A network without runs has one row.
    """
    study, ours = published_scores(), by_run(runs)
    gap = study.as_published - study.miou
    study["failing"] = (published()[list(STREET.names)] < FAILING).sum(axis=1)
    ours["failing"] = ours.failing.map(len).astype(float)  # a mean over seeds need not be whole
    parts = []
    for name in dict.fromkeys([*study.index, *ours.variant]):
        own = ours[ours.variant == name]
        rows = own[study.columns].set_axis([f"{label(name)}, seed\u00a0{seed}" for seed in own.seed])
        if len(rows) > 1:
            rows.loc[f"{label(name)}, mean"] = rows.mean()
        if rows.empty:
            rows.loc[label(name)] = float("nan")
        parts.append(rows.assign(variant=name))
    here = pd.concat(parts)
    reported = study.reindex(here.variant).set_axis(here.index)
    frame = pd.concat({"in the study": _both_scores(reported), "trained here": _both_scores(here)}, axis=1)
    return table(
        "every_run",
        frame,
        f"In the study's results, its metric is {gap.min():.3f} to {gap.max():.3f} above the mIoU. “Failing”"
        f" counts classes with a test IoU below {FAILING}. The study's mIoU is the mean of class IoUs read"
        f" off its bar charts, to about ±{READING_ERROR}.",
        {column: FORMATS.get(column[1], "{:.3f}") for column in frame},
        metrics=["M1"],
    )


def _both_scores(scores: pd.DataFrame) -> pd.DataFrame:
    columns = {"as_published": "study's metric", "miou": "mIoU", "difference": "difference"}
    scores = scores.assign(difference=scores.as_published - scores.miou)
    return scores[[*columns, "failing"]].rename(columns=columns)


def swaps(pairs: pd.DataFrame, where: str) -> Styler | None:
    """Show pairs of networks that the two scores rank in opposite order.

    Args:
        pairs: From `segnb.audit.scores.swaps`.
        where: Words for the source of the scores, such as "the study".
    """
    frame = pairs.assign(above=pairs.above.map(label), below=pairs.below.map(label))
    error = pairs.attrs["tolerance"]
    gaps = {"published_gap": "gap by the study's metric", "miou_gap": "gap by mIoU"}
    ranks = {"above": "above by the study's metric", "below": "below by the study's metric"}
    frame = frame.rename(columns=ranks | gaps)
    frame.index = range(1, len(frame) + 1)
    return table(
        "swaps",
        frame,
        f"In {where}, {counted(len(frame), 'pair')} of networks {'has' if len(frame) == 1 else 'have'}"
        f" opposite orders by the two scores{f', with gaps beyond ±{error} in both' if error else ''}.",
        dict.fromkeys(gaps.values(), signed),
        metrics=["M2"],
    )
