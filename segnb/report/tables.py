"""The tables of the report: numbers in, styled table with a caption out; None where there is nothing to show.

Rows go by a network's label; captions say what the columns mean.
"""

import pandas as pd
from pandas.io.formats.style import Styler

from segnb.audit.scores import FAILING, READING_ERROR, by_run, published, published_scores
from segnb.claims.verdicts import StudyVerdicts
from segnb.claims.wording import can_tell, goal, needed
from segnb.labels import STREET
from segnb.models.registry import VARIANTS, label
from segnb.presets import preset
from segnb.study.study import Run, Study, by_variant


def table(frame: pd.DataFrame, caption: str, formats: str | dict = "{}") -> Styler | None:
    """A frame as a table: `formats` for all columns or by column; NaN becomes a dash, and markup is shown as
    it is written."""
    if frame.empty:
        return None
    style = Styler(frame.rename_axis(None), cell_ids=False).format(formats, na_rep="–", escape="html")
    return style.format_index(escape="html").format_index(escape="html", axis=1).set_caption(caption)


def networks(runs: list[Run]) -> Styler | None:
    """What was trained: a row a network, with its identifier and a sentence."""
    rows = {}
    for name, group in by_variant(runs).items():
        done = pd.DataFrame([run.summary for run in group])
        kind = VARIANTS[name]
        rows[label(name)] = {
            "identifier": name,
            "what it is": f"Extension. {kind.summary}" if kind.extension else kind.summary,
            "seeds": len(group),
            "epochs": _range(done.epochs),
            "best epoch": _range(done.best_epoch),
            "minutes": f"{done.seconds.median() / 60:.1f}",
        }
    extended = any(VARIANTS[run.variant].extension for run in runs)
    frozen = any(VARIANTS[run.variant].frozen for run in runs)
    return table(
        pd.DataFrame.from_dict(rows, orient="index"),
        "The networks of this chapter. An epoch is one pass over all training images; the best one is that"
        " of highest validation mIoU, and its weights are kept. Minutes of training: mean over seeds."
        + (
            " A frozen trunk's are few because it is computed once; the costs below are without."
            if frozen
            else ""
        )
        + (" Extension: a network for which the study gives no scores." if extended else ""),
    )


def _range(values: pd.Series) -> str:
    low, high = values.min(), values.max()
    return f"{low}" if low == high else f"{low}–{high}"


def scores(found: pd.DataFrame) -> Styler | None:
    """A row a network from `segnb.evaluation.scores`, in its order."""
    frame = pd.DataFrame(
        {
            "test mIoU": found.miou.map("{:.3f}".format),
            "95 % interval": [_interval(row) for row in found.itertuples()],
            "seeds": found.seeds,
            "as published": found.as_published.map("{:.3f}".format, na_action="ignore"),
            "identifier": found.index,
        }
    ).rename(index=label)
    return table(
        frame,
        "Test mIoU: from one confusion matrix over all test images, mean over seeds. The interval is for"
        " these very networks on new images. As published: the study's own score of the same predictions.",
    )


def _interval(row) -> str | float:
    return f"{row.low:.3f} to {row.high:.3f}" if row.low == row.low else float("nan")


def class_ious(ious: pd.DataFrame) -> Styler | None:
    """IoU by class from `segnb.evaluation.scores.class_ious`, a column a network."""
    return table(
        ious.rename(columns=label),
        "Test IoU by class, mean over seeds; the last row is the mean of the rows above it, which is the"
        " mIoU. A dash: no test image shows the class, and it is left out of the mean.",
        "{:.3f}",
    )


def costs(cost: pd.DataFrame, names: list[str]) -> Styler | None:
    """What each network costs, from `Study.cost()`."""
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
    return table(
        frame,
        "Cost of a network. Trained: parameters that learning changes. GFLOPs: billions of floating-point"
        " operations to predict one image, a multiply-add counted as two. Predict and train: median"
        " milliseconds an image, in batches, nothing cached. Memory: peak of a training step.",
    )


def recipes(study: Study) -> Styler | None:
    """How the networks of this study were trained, beside the published recipe."""
    columns = {}
    for name, chosen in {"published": preset("paper"), "this study": study.preset}.items():
        for family, of in {"FCN": chosen.fcn, "U-Net": chosen.unet}.items():
            columns[f"{family}, {name}"] = {
                "image side, px": f"{of.size}",
                "channels": f"{64 * of.width} in the head" if family == "FCN" else f"{of.width} at first",
                "epochs": f"{of.epochs}" if of.patience is None else f"at most {of.epochs}",
                "images a batch": f"{of.batch_size}",
                "learning rate": f"{of.learning_rate:g}",
                "of a fine-tuned trunk": f"{of.backbone_learning_rate:g}" if family == "FCN" else None,
                "schedule": of.schedule,
                "mirrored": "half of the images" if of.mirror else "no",
                "weights kept": "best validation mIoU",
            }
    order = ["FCN, this study", "FCN, published", "U-Net, this study", "U-Net, published"]
    return table(
        pd.DataFrame(columns)[order],
        "How networks are trained: Adam on the cross-entropy. Channels of a U-Net: at its first level, twice"
        " as many at each below. One-cycle: the learning rate rises to its value and falls again.",
    )


def open_questions(ledger: StudyVerdicts) -> Styler | None:
    """What would change the verdicts: of each claim that seeds can decide, how many it would take."""
    rows = {
        claim.id: {
            "verdict": claim.word,
            "seeds here": f"{claim.seeds}",
            "can tell": can_tell(claim),
            "has to lie": goal(claim, claim.decisive_contrast),
            "seeds to decide": needed(claim),
        }
        | {f"chance with {n}": f"{100 * chance:.0f} %" for n, chance in claim.power.items()}
        for claim in ledger.claims
        if claim.power
    }
    return table(
        pd.DataFrame.from_dict(rows, orient="index"),
        "What would change the verdicts: the chance that so many seeds decide a claim, as supported or"
        " refuted, if effect and spread stay as they are. Can tell: half the width of the widest deciding"
        " interval; where that is more than a margin of equivalence, the claim could not be supported."
        " Seeds to decide: those for a chance of 80 %. Claims that rest on counted numbers are left out.",
    )


def shares(pixels: pd.DataFrame, images: pd.DataFrame) -> Styler | None:
    """Shares of pixels and of images by class, 0 to 1 in, per cent out; a column a source."""
    frame = pd.concat({"% of pixels": 100 * pixels, "% of images": 100 * images}, axis=1)
    formats = {column: "{:.2f}" if column[0] == "% of pixels" else "{:.0f}" for column in frame}
    return table(
        frame,
        "How much of each class there is: its share of all pixels, and the share of images that show it at"
        " all."
        + (
            " The study's data: the published counts over its 2,000 training images."
            if "study's data" in pixels
            else ""
        ),
        formats,
    )


FORMATS = {"difference": "{:+.3f}", "failing": "{:.3g}"}


def every_run(runs: list[Run]) -> Styler:
    """Both scores of every run, a row each, beside the study's own of the same network.

    Networks come in the study's order, then those that it does not have. Where there are several seeds, a
    row with their means follows; a network that was not trained here has one row.
    """
    study, ours = published_scores(), by_run(runs)
    study["failing"] = (published()[list(STREET.names)] < FAILING).sum(axis=1)
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
    columns = {"as_published": "as published", "miou": "class mean", "difference": "difference"}
    told = scores.assign(difference=scores.as_published - scores.miou)
    return told[[*columns, "failing"]].rename(columns=columns)


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
