"""Button of train.ipynb that shows predictions of the network that was trained."""

import html
from collections.abc import Callable

import numpy as np
import torch
from IPython.display import HTML, DisplayHandle, display

from segnb.errors import SegnbError
from segnb.evaluation import evaluate
from segnb.explorer import board
from segnb.explorer.board import Turns
from segnb.metrics import confusion
from segnb.models import registry
from segnb.report.figures.images import predictions
from segnb.runtime.processes import in_jupyter
from segnb.study.study import Run
from segnb.training import loop

RULE = "the validation images with the fewest, the median and the most wrong pixels"


def predictions_button(run: Run) -> None:
    """Display a button that shows predictions of a run, if a person works with the notebook.

    A batch run displays nothing, because nobody can press the button.
    """
    if in_jupyter():
        button = board.button("Show predictions")
        display(button)
        PredictionsButton(run, button, display(HTML(""), display_id=True))


class PredictionsButton:
    """Predictions of a run, shown at `place` when the button is pressed.

    Args:
        run: a finished run
        button: the button
        place: the output below the button
    """

    def __init__(self, run: Run, button, place: DisplayHandle):
        self.run, self.button, self.place = run, button, place
        self.turns = Turns()
        self.say = self.turns(self._say)
        button.on_click(self.turns(lambda _: self.turns.ask("predictions", self.answer())))

    def _say(self, text: str) -> None:
        self.place.update(HTML(f'<p role="status">{html.escape(text)}</p>'))

    async def answer(self) -> None:
        """Predict the validation images and show three of them."""
        label = f"{registry.label(self.run.variant)}, seed {self.run.seed}"
        self.button.disabled = True
        self.say(f"Loading {label} …")
        try:
            saved, count = await self.turns.compute(lambda: validation_images(self.run, self.say))
            sample = f"{RULE}, of {count}" if count > len(saved["names"]) else "all validation images"
            figure = predictions(saved, label, self.run.study.classes, sample=sample)
            data, metadata = figure.bundle()
            self.place.update(data, metadata=metadata, raw=True)
        except SegnbError as error:
            self.say(str(error))
        finally:
            self.button.disabled = False


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
    order = np.argsort(-confusion.pixel_accuracy(evaluated.confusion.numpy()), kind="stable")
    chosen = order[np.unique([0, (len(order) - 1) // 2, len(order) - 1])]
    return {
        "names": np.array(split.names)[chosen],
        "images": split.images[chosen],
        "labels": split.labels[chosen],
        "predictions": np.concatenate(parts)[chosen],
    }, len(split)
