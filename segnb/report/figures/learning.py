"""Learning curves of finished runs and of a run in training."""

import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.ticker import MaxNLocator

from segnb.claims.wording import sentence
from segnb.report.figures.axes import inches_of_names, legend_of_networks, name_ends, plain_log
from segnb.report.figures.findings import names
from segnb.report.figures.style import Picture, figure, style_of
from segnb.runtime.processes import in_jupyter


def _mean_over_seeds(histories: list[pd.DataFrame]) -> pd.DataFrame:
    """Average per epoch, up to the last epoch that all seeds reached; after it, the mean would jump."""
    last = min(len(history) for history in histories)
    return pd.concat([history.iloc[:last] for history in histories]).groupby("epoch").mean()


def _drawn(histories: dict[str, list[pd.DataFrame]]) -> Picture:
    """Draw the range of the seeds as a band and their mean as a line; a curve may end before others."""
    means = {label: _mean_over_seeds(seeds) for label, seeds in histories.items()}
    many = len(histories) > 1
    tall = max(2.2, inches_of_names(histories)) if many else 2.2
    fig = Picture(height=2 * tall + (1.0 if many else 1.3))
    axes = fig.subplots(2, 2, sharex=True, sharey="row")
    for number, (label, seeds) in enumerate(histories.items()):
        style, mean = style_of(label), means[label]
        step = max(1, len(mean) // 5)  # networks have their markers at different epochs
        for ax, column in zip(axes.flat, ("train_loss", "val_loss", "train_miou", "val_miou"), strict=True):
            if len(seeds) > 1:
                ends = pd.concat(seeds).groupby("epoch")[column].agg(["min", "max"])
                ax.fill_between(ends.index, ends["min"], ends["max"], color=style.colour, alpha=0.25, lw=0)
            how = {"lw": 2, "ms": 6, "markevery": (number % step, step), "clip_on": False}
            ax.plot(mean.index, mean[column], **style.line, **how)
    for ax, title in zip(axes.flat, ("Training", "Validation"), strict=False):
        ax.set_title(title)
    axes[0, 0].set_ylabel("cross-entropy loss (nats)")
    axes[1, 0].set_ylabel("mIoU (1 is perfect)")
    values = np.concatenate([line.get_ydata() for ax in axes[0] for line in ax.lines])
    if np.nanmin(values) > 0 and np.nanmax(values) > 4 * np.nanmin(values):
        plain_log(axes[0, 0])
        axes[0, 0].set_ylabel("cross-entropy loss (nats, log scale)")
    axes[1, 0].set_ylim(bottom=0)
    for ax in axes[1]:
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
    if many:
        for ax, column in zip(axes[:, 1], ("val_loss", "val_miou"), strict=True):
            lines = {label: mean[column].dropna() for label, mean in means.items()}
            name_ends(ax, {label: (line.index[-1], line.iloc[-1]) for label, line in lines.items()}, tall)
    else:
        legend_of_networks(fig, histories)
    return fig


@figure
def learning_curves(histories: dict[str, list[pd.DataFrame]]) -> Picture:
    """Draw loss and mIoU per epoch, in training and validation.

    With several seeds, a band goes from the lowest to the highest, and a line is their mean.

    Args:
        histories: {label: [history of each seed]}; a history has a row per epoch, at least one, and the
            columns of `segnb.training.loop.fit`
    """
    fig = _drawn(histories)
    texts = []
    for label, seeds in histories.items():
        best = np.mean([history["val_miou"].max() for history in seeds])
        epochs = " or ".join(map(str, sorted({len(history) for history in seeds})))
        texts.append(f"{label} {best:.3f} in {epochs} epoch{'s' * (epochs != '1')}")
    counts = sorted({len(seeds) for seeds in histories.values()})
    several = counts[-1] > 1
    return fig.described(
        "Learning curves of loss and mIoU, training next to validation. Best validation mIoU"
        f"{' (mean over seeds)' if several else ''}: {'; '.join(texts)}.",
        f"{sentence(best_epochs(histories))} A curve that still rises at its end could improve with more"
        " epochs; a validation loss that rises again shows overfitting. Training scores are computed while"
        " the weights change, validation scores after each epoch."
        + (
            " Bands go from the lowest to the highest seed, and lines are their mean up to the last epoch of"
            " all seeds."
            f" n: {' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} seeds per network."
            if several
            else " There are no error bars, because each network has one seed."
        ),
    ).shows(histories, "val:*", "epochs")


@figure
def study_curves(histories: dict[str, list[pd.DataFrame]]) -> Picture:
    """Draw the study's own learning curves, from `segnb.audit.scores.learning_curves`."""
    best = [f"{name} {run.val_miou.max():.3f} in {len(run)} epochs" for name, (run,) in histories.items()]
    fig = _drawn(histories)
    fig.axes[2].set_ylabel("mIoU by the study's metric")
    return fig.described(
        "The study's learning curves of loss and mIoU, training next to validation. Best validation mIoU by"
        f" the study's metric: {'; '.join(best)}.",
        f"In the study, {best_epochs(histories)}. These are the study's own curves, read off its"
        " charts to about ±0.002. Its mIoU is by another metric than ours (“The study's reported scores”"
        " explains it), so compare shapes and losses, not mIoU. A line is interpolated, or ends, where"
        " another line hides it.",
    )


def best_epochs(histories: dict[str, list[pd.DataFrame]]) -> str:
    """Say, as half a sentence, where the validation mIoU is highest and how many runs are best at their end.

    histories: {label: a history per run, with the columns epoch and val_miou}
    """
    lines = {label: [run.set_index("epoch")["val_miou"] for run in runs] for label, runs in histories.items()}
    best = pd.Series({label: np.mean([line.max() for line in runs]) for label, runs in lines.items()})
    each = [line for runs in lines.values() for line in runs]
    if len(each) == 1:
        last = f"epoch {each[0].idxmax()} of {each[0].index[-1]}"
        return f"{best.index[0]} has its highest validation mIoU, {best.max():.3f}, after {last}"
    mean = ", mean over seeds," if len(each) > len(best) else ""
    rising = sum(line.idxmax() == line.index[-1] for line in each)
    return (
        f"the highest validation mIoU{mean} is {best.max():.3f} ({names(best, best.max())}); {rising} of"
        f" {len(each)} runs {'is' if rising == 1 else 'are'} best after the last epoch"
    )


class LiveCurves:
    """Progress of a training run: a line per epoch, and in Jupyter also curves that are redrawn in place."""

    def __init__(self, epochs: int):
        self.epochs = epochs
        self.printed = 0
        self.watched = in_jupyter()

    def update(self, rows: list[dict]) -> None:
        """Show the history up to now: one dict per epoch, as `segnb.training.loop.fit` passes it."""
        if self.watched and rows:
            data, metadata = learning_curves({"this run": [pd.DataFrame(rows)]}).bundle(drawing=False)
            display(
                data, metadata=metadata, raw=True, display_id=f"curves {id(self)}", update=self.printed > 0
            )
        for row in rows[self.printed :]:
            print(
                f"epoch {row['epoch']:>{len(str(self.epochs))}}/{self.epochs}"
                f"  loss {row['train_loss']:.3f} (val {row['val_loss']:.3f})"
                f"  mIoU {row['train_miou']:.3f} (val {row['val_miou']:.3f})  {row['seconds']:.1f} s",
                flush=True,
            )
        self.printed = len(rows)
