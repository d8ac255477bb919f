"""Pictures of data, of learning and of predictions. `segnb.charts` draws scores and costs.

Means and intervals are computed by the caller: what is drawn is what is given.
"""

import os
from itertools import product

import matplotlib as mpl
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import offset_copy

from segnb.classes import VOID, ClassMap
from segnb.picture import (
    INK,
    QUIET,
    SMALL,
    WIDTH,
    WRONG,
    Picture,
    bare,
    figure,
    inches_of_classes,
    inches_of_names,
    label_panel,
    legend_of_classes,
    legend_of_networks,
    look,
    marks,
    name_ends,
    panel,
    pattern,
    percent,
    plain_log,
    short,
    wrapped,
)
from segnb.picture import say as say  # notebooks take what they need from here
from segnb.picture import show as show

# --- data ---


@figure
def images_with_labels(
    images: np.ndarray, labels: np.ndarray, classes: ClassMap, columns: int = 4
) -> Picture:
    """A contact sheet: images uint8 (N, S, S, 3), each above its labels uint8 (N, S, S) in class colours."""
    count = len(images)
    columns = min(columns, count)
    blocks = -(-count // columns)
    side = WIDTH / columns
    seen = classes.seen(labels)
    fig = Picture(height=2 * blocks * side + 0.1 + inches_of_classes(seen, classes))
    axes = fig.subplots(2 * blocks, columns, squeeze=False)
    for ax in axes.flat[:]:
        bare(ax)
    for i in range(count):
        row, column = 2 * (i // columns), i % columns
        for ax in axes[row : row + 2, column]:
            ax.set_axis_on()
        panel(axes[row, column], images[i])
        label_panel(axes[row + 1, column], labels[i], classes)
    legend_of_classes(fig, seen, classes)
    return fig.described(
        f"{count} images, each above its labels painted in class colours."
        f" Classes to be seen: {', '.join(classes.names[i] for i in seen)}.",
        f"Each of the {count} images with its labels beneath: look for what the labels leave out or get"
        " wrong, which no network can learn.",
    )


@figure
def class_legend(classes: ClassMap) -> Picture:
    """The classes with their ids and colours."""
    columns = max(1, min(4, 76 // (max(map(len, classes.names)) + 7)))
    rows = -(-len(classes) // columns)
    fig = Picture(height=0.36 * rows + 0.1)
    ax = fig.subplots()
    bare(ax)
    ax.set(xlim=(0, columns), ylim=(rows, 0))
    for i, (name, colour) in enumerate(zip(classes.names, classes.colours, strict=True)):
        x, y = i // rows, i % rows + 0.5
        ax.plot(x + 0.06, y, "s", ms=14, mfc=colour, mec=QUIET, mew=0.6)
        if pattern(classes, i):
            for right, up in product((-4, 0, 4), repeat=2):
                spot = offset_copy(ax.transData, fig, right, up, "points")
                ax.plot(x + 0.06, y, transform=spot, **marks(classes, i))
        ax.text(x + 0.17, y, f"{i}  {name}", va="center", fontsize=11)
    named = ", ".join(f"{i} {name}" for i, name in enumerate(classes.names))
    marked_too = any(pattern(classes, i) for i in range(len(classes)))
    return fig.described(
        f"Legend of the {len(classes)} classes by id: {named}.",
        "The classes with their ids and colours, which are the same in every picture."
        + (" Dots and strokes tell apart what looks alike to some readers." if marked_too else ""),
    )


@figure
def class_masks(image: np.ndarray, labels: np.ndarray, classes: ClassMap) -> Picture:
    """One image (S, S, 3) taken apart: its labels (S, S), then one binary mask a class."""
    columns = 5
    rows = -(-(len(classes) + 2) // columns)
    fig = Picture(height=rows * (WIDTH / columns + 0.28))
    axes = fig.subplots(rows, columns).ravel()
    panel(axes[0], image, "Image")
    label_panel(axes[1], labels, classes, "All classes")
    shares = np.bincount(labels.ravel(), minlength=len(classes))[: len(classes)] / labels.size
    for i, ax in enumerate(axes[2 : len(classes) + 2]):
        panel(ax, labels == i, f"    {short(classes.names[i], 11)}", cmap="gray_r", vmin=-0.06, vmax=1.15)
        ax.plot(
            0.05,
            1.095,
            "s",
            ms=7,
            mfc=classes.colours[i],
            mec=QUIET,
            mew=0.6,
            transform=ax.transAxes,
            clip_on=False,
        )
        text = percent(shares[i]) if shares[i] >= 0.0005 else "< 0.1 %" if shares[i] else "absent"
        ax.text(
            0.97,
            0.05,
            text,
            transform=ax.transAxes,
            ha="right",
            fontsize=SMALL,
            color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.85},
        )
    for ax in axes[len(classes) + 2 :]:
        bare(ax)
    present = ", ".join(f"{classes.names[i]} {percent(shares[i])}" for i in np.argsort(-shares) if shares[i])
    absent = ", ".join(classes.names[i] for i in range(len(classes)) if not shares[i])
    return fig.described(
        f"An image, its labels, and a black-on-white mask for each class. Shares of the pixels: {present}."
        + (f" Absent: {absent}." if absent else ""),
        "The same image taken apart: black is where the class is, the number its share of the pixels.",
    )


@figure
def class_places(heat: np.ndarray, classes: ClassMap) -> Picture:
    """Where in the image each class lives: heat (C, S, S), share of images with the class at that pixel."""
    columns = 5
    rows = -(-(len(classes) + 1) // columns)
    fig = Picture(height=rows * (WIDTH / columns + 0.2) + 0.75)
    axes = fig.subplots(rows, columns).ravel()
    for i, (ax, one) in enumerate(zip(axes, heat, strict=False)):
        peak = one.max()
        panel(ax, one / peak if peak else one, short(classes.names[i]), cmap="viridis", vmin=0, vmax=1)
        ax.text(
            0.96,
            0.05,
            f"max {percent(peak, 0 if peak >= 0.1 else 1)}" if peak else "absent",
            transform=ax.transAxes,
            ha="right",
            fontsize=SMALL,
            color="white",
            bbox={"facecolor": "black", "edgecolor": "none", "pad": 1.5, "alpha": 0.55},
        )
    for ax in axes[len(classes) :]:
        bare(ax)
    bar = fig.colorbar(axes[0].images[0], ax=list(axes), location="bottom", aspect=45, shrink=0.6)
    bar.set_label("share of images with the class here, relative to its own maximum")
    centres = []
    for name, one in zip(classes.names, heat, strict=True):
        if one.max():
            down = (one.sum(1) @ np.arange(len(one))) / one.sum() / len(one)
            centres.append(f"{name} {100 * down:.0f} %")
    return fig.described(
        "A heat map a class of where in the image it lies. Mean height, from the top edge down: "
        + ", ".join(centres)
        + ".",
        "Bright is where the class is most often; each map has its own scale, with its maximum printed.",
    )


# --- training and test ---


def _mean_over_seeds(histories: list[pd.DataFrame]) -> pd.DataFrame:
    """Mean by epoch, up to the last epoch that every seed reached; beyond it the mean would jump."""
    last = min(len(history) for history in histories)
    return pd.concat([history.iloc[:last] for history in histories]).groupby("epoch").mean()


@figure
def curves(histories: dict[str, list[pd.DataFrame]]) -> Picture:
    """Learning curves, {label: [history of each seed]}: loss and mIoU, training and validation.

    A history has a row an epoch and the columns of `segnb.training.fit`. With several seeds each is
    drawn thin and their mean bold.
    """
    histories = {label: [h for h in seeds if len(h)] for label, seeds in histories.items()}
    histories = {label: seeds for label, seeds in histories.items() if seeds}
    if not histories:
        return Picture()
    many = len(histories) > 1
    tall = max(2.2, inches_of_names(histories)) if many else 2.2
    fig = Picture(height=2 * tall + (1.0 if many else 1.3))
    axes = fig.subplots(2, 2, sharex=True, sharey="row")
    for number, (label, seeds) in enumerate(histories.items()):
        one, mean = look(label), _mean_over_seeds(seeds)
        step = max(1, len(mean) // 5)  # each network has its markers at epochs of its own, as far as they go
        for ax, column in zip(axes.flat, ("train_loss", "val_loss", "train_miou", "val_miou"), strict=True):
            for history in seeds if len(seeds) > 1 else []:
                ax.plot(history["epoch"], history[column], color=one.colour, lw=0.8, alpha=0.5)
            ax.plot(
                mean.index,
                mean[column],
                color=one.colour,
                ls=one.line,
                lw=2,
                marker=one.marker,
                mfc=one.fill,
                ms=6,
                markevery=(number % step, step),
                clip_on=False,
            )
    for ax, title in zip(axes.flat, ("Training", "Validation"), strict=False):
        ax.set_title(title)
    axes[0, 0].set_ylabel("cross-entropy loss, nats")
    axes[1, 0].set_ylabel("mIoU, 1 is perfect")
    values = np.concatenate([line.get_ydata() for ax in axes[0] for line in ax.lines])
    if values.min() > 0 and values.max() > 4 * values.min():
        plain_log(axes[0, 0])
        axes[0, 0].set_ylabel("cross-entropy loss, nats (log scale)")
    axes[1, 0].set_ylim(bottom=0)
    for ax in axes[1]:
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
    if max(len(h) for seeds in histories.values() for h in seeds) == 1:
        axes[0, 0].set_xlim(0.5, 1.5)
    if many:
        means = {label: _mean_over_seeds(seeds) for label, seeds in histories.items()}
        for ax, column in zip(axes[:, 1], ("val_loss", "val_miou"), strict=True):
            ax.set_ylim(ax.get_ylim())  # lines to the names change it no more
            name_ends(
                ax, {label: (mean.index[-1], mean[column].iloc[-1]) for label, mean in means.items()}, tall
            )
    else:
        legend_of_networks(fig, histories)
    told = []
    for label, seeds in histories.items():
        best = np.mean([history["val_miou"].max() for history in seeds])
        epochs = " or ".join(sorted({str(len(history)) for history in seeds}))
        told.append(f"{label} {best:.3f} in {epochs} epochs")
    several = any(len(seeds) > 1 for seeds in histories.values())
    return fig.described(
        f"Learning curves of loss and mIoU, training beside validation. Best validation mIoU"
        f"{' (mean over seeds)' if several else ''}: {'; '.join(told)}.",
        "Training scores are taken while the weights still change, validation scores after each epoch. A line"
        " that still rises at its end was not done; a validation loss that rises again is overfitting."
        + (
            " Thin lines are single seeds, bold ones their mean, as far as all seeds go."
            if several
            else " One seed each, so that no spread is drawn."
        ),
    )


class LiveCurves:
    """What a training shows of itself: a line an epoch, and curves that redraw where a person watches.

    Jupyter's server names the session in the kernel's environment; papermill and nbclient start
    kernels without it, so that a batch run leaves plain lines and spends no time on drawing.
    """

    def __init__(self, epochs: int):
        self.epochs = epochs
        self.printed = 0
        self.watched = "JPY_SESSION_NAME" in os.environ
        self.handle = None

    def update(self, rows: list[dict]) -> None:
        """Show the history so far: one dict an epoch, as `segnb.training.fit` hands it over."""
        if self.watched and rows:
            data, metadata = curves({"this run": [pd.DataFrame(rows)]}).bundle(drawing=False)
            if self.handle is None:
                self.handle = display(data, metadata=metadata, raw=True, display_id=True)
            else:
                self.handle.update(data, metadata=metadata, raw=True)
        for row in rows[self.printed :]:
            print(
                f"epoch {row['epoch']:>{len(str(self.epochs))}}/{self.epochs}"
                f"  loss {row['train_loss']:.3f} (val {row['val_loss']:.3f})"
                f"  mIoU {row['train_miou']:.3f} (val {row['val_miou']:.3f})  {row['seconds']:.1f} s",
                flush=True,
            )
        self.printed = len(rows)


# --- predictions ---


def pale(image: np.ndarray) -> np.ndarray:
    """The image, uint8 (S, S, 3), in light greys, for colours to be laid over."""
    grey = image.mean(-1, keepdims=True).repeat(3, -1)
    return (255 - (255 - grey) * 0.35).astype(np.uint8)


def evenly(count: int, wanted: int) -> np.ndarray:
    """At most `wanted` indices spread over 0 … count - 1, each once; none of nothing."""
    return np.unique(np.linspace(0, max(count - 1, 0), min(wanted, count)).round().astype(int))


def mistaken(truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Where a prediction is wrong: bool (S, S). Where nothing is labelled it cannot be."""
    return (truth != guess) & (truth != VOID)


@figure
def predictions(kept: dict[str, np.ndarray], label: str, classes: ClassMap, wanted: int = 3) -> Picture:
    """A network at work: image, ground truth, prediction and errors of some test images.

    kept: what `RunDir.predictions()` gives; images are taken from it evenly
    """
    rows = evenly(len(kept["names"]), wanted)
    seen = classes.seen(kept["labels"][rows], kept["predictions"][rows])
    fig = Picture(height=len(rows) * (WIDTH / 4 + 0.12) + 0.3 + inches_of_classes(seen, classes))
    axes = fig.subplots(len(rows), 4, squeeze=False)
    shares = []
    for line, i in zip(axes, rows, strict=True):
        image, truth, guess = kept["images"][i], kept["labels"][i], kept["predictions"][i]
        wrong = mistaken(truth, guess)
        shares.append(wrong.mean())
        panel(line[0], image)
        line[0].set_ylabel(short(str(kept["names"][i]), 20), fontsize=SMALL)
        label_panel(line[1], truth, classes)
        label_panel(line[2], guess, classes)
        panel(line[3], marked(image, wrong))
        line[3].set_title(f"{percent(wrong.mean())} wrong", pad=4, color=WRONG)
    for ax, title in zip(axes[0], ("Image", "Ground truth", "Prediction"), strict=False):
        ax.set_title(title, pad=4)
    fig.suptitle(label, x=0.01, ha="left", fontsize=11.5, weight="bold")
    legend_of_classes(fig, seen, classes)
    chosen = f"{len(rows)} test images"
    if len(rows) < len(kept["names"]):
        chosen = f"{len(rows)} of {len(kept['names'])} kept test images, evenly spread"
    told = ", ".join(f"{percent(share)} in {kept['names'][i]}" for share, i in zip(shares, rows, strict=True))
    return fig.described(
        f"{label}: {len(rows)} test images with ground truth, prediction and errors. Wrong pixels: {told}.",
        f"{label} on {chosen}. Red pixels got another class than the ground truth's; above them stands their"
        " share of the image.",
    )


def marked(image: np.ndarray, where: np.ndarray, colour: str = WRONG) -> np.ndarray:
    """The image, uint8 (S, S, 3), in light greys, with the pixels of `where`, bool (S, S), in one colour."""
    painted = pale(image)
    painted[where] = np.round(255 * np.array(mpl.colors.to_rgb(colour)))
    return painted


def coloured(values: np.ndarray, scale: str) -> np.ndarray:
    """Values from 0 to 1, (S, S), in the colours of one of matplotlib's scales, uint8 (S, S, 3)."""
    return mpl.colormaps[scale](values, bytes=True)[..., :3]


@figure
def side_by_side(
    panels: list[tuple[str, np.ndarray]], seen: list[int], classes: ClassMap, extra: dict[str, str]
) -> Picture:
    """Pictures, uint8 (S, S, 3), or label maps, uint8 (S, S), beneath titles; the caller describes them.

    seen:  ids of classes for the legend
    extra: {text: colour} beside them
    """
    columns = 3 if len(panels) <= 6 or len(panels) == 9 else 4  # nine panels fill three rows
    rows = -(-len(panels) // columns)
    titles = ["\n".join(wrapped(part, 80 // columns) for part in title.split("\n")) for title, _ in panels]
    lines = max(title.count("\n") + 1 for title in titles)
    legend = inches_of_classes(seen, classes, extra)
    fig = Picture(height=rows * (WIDTH / columns + 0.2 * lines) + 0.2 + legend)
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(panels) :]:
        bare(ax)
    for ax, title, (_, picture) in zip(axes, titles, panels, strict=False):
        if picture.ndim == 2:
            label_panel(ax, picture, classes, title)
        else:
            panel(ax, picture, title)
    legend_of_classes(fig, seen, classes, extra)
    return fig
