"""What notebooks call: the explorer of explore.ipynb, and the button of train.ipynb.

The explorer has two parts: all networks on one image, and one network with parts switched off.
`segnb.explorer.album` and `segnb.evaluation.ablation` compute the content, and `segnb.explorer.board` draws
it. Changes of view happen in the browser. Another image, probabilities, and networks with parts switched off
need the kernel, which runs one network after the other (`segnb.explorer.board.Turns`).
"""

import html
from collections.abc import Callable
from functools import partial

import ipywidgets as widgets
import numpy as np
import torch
import traitlets as t
from IPython.display import HTML, display

from segnb.errors import SegnbError
from segnb.evaluation import ablation, evaluate
from segnb.explorer import album, board
from segnb.explorer.album import Album, Scene, named
from segnb.explorer.board import Turns
from segnb.explorer.inside import Inside
from segnb.explorer.networks import Networks
from segnb.metrics import confusion
from segnb.models import registry
from segnb.report.figures.images import (
    coloured,
    marked,
    mistaken,
    predictions,
    side_by_side,
    wrong_pixels,
    wrong_share,
)
from segnb.report.figures.style import MISSED, WRONG, Picture, percent
from segnb.runtime.processes import in_jupyter
from segnb.study import study
from segnb.study.study import Run
from segnb.training import loop

NOTHING = "There are no finished runs to explore. Run 'make report' or notebooks/train.ipynb first."


class Explorer(t.HasTraits):
    """State that all parts of the notebook share: the chosen image.

    Attributes:
        scene: the image
        aspect: width / height in which the image is shown
    """

    scene = t.Instance(Scene, allow_none=True)
    aspect = t.Float(1.0)

    def __init__(self, study: str):
        """Open a study and evaluate its runs that have no evaluation yet.

        study: a folder name under runs/, or "latest"
        """
        super().__init__()
        self.turns = Turns()
        self.runs = album.evaluated_runs(study)
        self._boards: dict[str, board.Board] = {}
        if self.runs:
            self.album = Album(self.runs)
            self.classes = self.album.classes
            self.parted = [run for run in self.runs if ablation.skip_levels(run.variant)]
            gated = [run for run in self.parted if ablation.gate_levels(run.variant)]
            self.parted_first = next(iter(gated or self.parted), None)
            self.first = self.album.scene(self.album.typical(self.runs))
            self.scene = self.first

    def networks(self) -> None:
        """Display all networks on one image, after a figure for readers without a kernel."""
        if not self.runs:
            print(NOTHING)
            return
        self._show(Networks, lambda: overview(self.album, self.first))

    def inside(self) -> None:
        """Display one network on the same image, with switches for its skips and gates."""
        if not self.runs:
            print(NOTHING)
        elif not self.parted:
            print("No network of this study has skips or gates to switch off.")
        else:
            figure = partial(taken_apart, self.album, self.first, self.parted_first)
            self._show(Inside, lambda: self.turns.wait(figure))

    def _show(self, make: type[Networks] | type[Inside], figure: Callable[[], Picture]) -> None:
        """Display a part after its figure, and link its crosshair to the crosshairs of the other parts.

        The figure is for readers without a kernel. It is drawn when the part can be used already.
        """
        before = display(HTML("<p>Opening the explorer …</p>"), display_id=True)
        below = display(HTML(""), display_id=True)
        part = make(self)
        self._boards[make.__name__] = part.board
        boards = list(self._boards.values())
        for first, second in zip(boards, boards[1:], strict=False):
            widgets.jslink((first, "point"), (second, "point"))
        display(part.box)
        try:
            drawn = figure()
            data, metadata = drawn.bundle()
            before.update(data, metadata=metadata, raw=True)
            below.update(drawn.below())
        except SegnbError as error:  # a network is damaged; the user can choose another
            before.update(HTML(f"<p>{html.escape(str(error))}</p>"))


# ---- figures for readers without a kernel ----------------------------------------------------------


def overview(album: Album, scene: Scene) -> Picture:
    """Draw the errors of every network on one test image, for the first seed of each."""
    image, truth = (kind[max(kind)] for kind in (scene.images, scene.labels))
    panels = [("Image", image), ("Ground truth", truth)]
    shares = {}
    for name, runs in study.by_variant(album.runs).items():
        size, label = runs[0].recipe.size, registry.label(name)
        wrong = mistaken(scene.labels[size], album.predicted(runs[0])[scene.number])
        shares[label] = album.wrong(runs[:1])[scene.number]
        panels.append((f"{label}\n{percent(shares[label])} wrong", marked(scene.images[size], wrong)))
    values = "; ".join(f"{label} {percent(share)}" for label, share in shares.items())
    fig = side_by_side(panels, album.classes.seen(truth), album.classes, {"wrong": WRONG})
    return fig.described(
        f"{scene.name}, its ground truth, and the errors of each network. Wrong pixels: {values}.",
        f"{wrong_pixels(shares)} Red pixels are wrong. {scene.name} is the test image of median difficulty,"
        " by the mean share of wrong pixels over all networks. With a running kernel, the explorer replaces"
        " this figure.",
    )


def taken_apart(album: Album, scene: Scene, run: Run) -> Picture:
    """Draw the predictions of one network on one test image with and without its skips, and its gate maps."""
    size, classes = run.recipe.size, album.classes
    image, truth = scene.images[size], scene.labels[size]
    whole = evaluate.predict(run, image)
    flat = evaluate.predict(run, image, skips=ablation.skip_levels(run.variant))
    changed = whole.classes != flat.classes
    shares = [percent(wrong_share(truth, prediction.classes)) for prediction in (whole, flat)]
    panels = [
        ("Image", image),
        ("Ground truth", truth),
        (f"As trained\n{shares[0]} wrong", whole.classes),
        (f"All skips off\n{shares[1]} wrong", flat.classes),
        (f"Changed pixels\n{percent(changed.mean())}", marked(image, changed, MISSED)),
    ]
    means = {level: maps.mean(0) for level, maps in whole.maps.items()}
    for level, mean in means.items():
        title = f"Gate {level}" + " (mean)" * (len(whole.maps[level]) > 1)
        cell = 2 ** (level - 1)  # pixels of the image per side of a value
        values = mean.repeat(cell, 0).repeat(cell, 1)[:size, :size]
        panels.append((f"{title}\n{mean.mean():.2f} ± {mean.std():.2f}", coloured(values)))
    network = named(run)
    seen = classes.seen(truth, whole.classes, flat.classes)
    gates = " Gate maps are bright where the gate lets the skip through." if means else ""
    fig = side_by_side(panels, seen, classes, {"changed": MISSED})
    return fig.described(
        f"{network} on {scene.name}: {shares[0]} of the pixels are wrong as trained and {shares[1]} with"
        f" every skip replaced by its mean over the image; {percent(changed.mean())} change."
        + "".join(f" Gate {level}: mean {mean.mean():.2f}." for level, mean in means.items()),
        f"Switching off all skips of {network} changes the class of {percent(changed.mean())} of the pixels:"
        f" {shares[0]} are wrong before and {shares[1]} after. A skip that is off has each channel replaced"
        f" by its mean over the image.{gates} With a running kernel, the explorer replaces this figure.",
    )


# ---- the button of train.ipynb -------------------------------------------------------------------------

RULE = "the validation images with the fewest, the median and the most wrong pixels"


def predictions_button(run: Run) -> None:
    """Display a button that shows predictions of a run below it, if a person works with the notebook.

    A batch run displays nothing, because nobody can press the button.
    """
    if not in_jupyter():
        return
    button, turns = board.button("Show predictions"), Turns()
    display(button)
    place, caption = (display(HTML(""), display_id=True) for _ in range(2))

    @turns
    def say(text: str) -> None:
        place.update(HTML(f'<p role="status">{html.escape(text)}</p>'))

    async def answer() -> None:
        """Predict the validation images and show three of them."""
        label = named(run)
        button.disabled = True
        caption.update(HTML(""))
        say(f"Loading {label} …")
        try:
            saved, count = await turns.compute(lambda: validation_images(run, say))
            sample = f"{RULE}, of {count}" if count > len(saved["names"]) else "all validation images"
            figure = predictions(saved, label, run.study.classes, sample)
            data, metadata = figure.bundle()
            place.update(data, metadata=metadata, raw=True)
            caption.update(figure.below())
        except SegnbError as error:
            say(str(error))
        finally:
            button.disabled = False

    button.on_click(turns(lambda _: turns.ask("predictions", answer())))


def validation_images(run: Run, say: Callable[[str], None]) -> tuple[dict[str, np.ndarray], int]:
    """Return three validation images with predictions, as `Run.predictions` does, and the number of images.

    The images have the fewest, the median and the most wrong pixels. Test images would be no choice here: who
    looks at them while choosing settings can no longer test with them.

    Args:
        run: a finished run
        say: called with a sentence on the progress
    """
    recipe, machine = run.recipe, evaluate.here(run.study)
    split = run.study.split("val", recipe.size)
    model = evaluate.network(run)
    parts: list[np.ndarray] = []

    def see(logits: torch.Tensor) -> None:
        parts.append(confusion.most_likely(logits).byte().cpu().numpy())
        say(f"Predicted {sum(map(len, parts))} of {len(split)} validation images …")

    evaluated = loop.evaluate(model, split, recipe.batch_size, machine, see)
    correct = confusion.pixel_accuracy(evaluated.confusion.numpy())
    order = np.argsort(-correct, kind="stable")  # images without labels, which are NaN, come last
    order = order[: max(np.isfinite(correct).sum(), 1)]
    chosen = order[np.unique([0, (len(order) - 1) // 2, len(order) - 1])]
    return {
        "names": np.array(split.names)[chosen],
        "images": split.images[chosen],
        "labels": split.labels[chosen],
        "predictions": np.concatenate(parts)[chosen],
    }, len(split)
