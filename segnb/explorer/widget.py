"""The explorer's two parts: all networks on one image, and one network with parts switched off.

`segnb.explorer.album` and `segnb.evaluation.ablation` compute the content, and `segnb.explorer.board` draws
it. Changes of view happen in the browser. Another image, probabilities, and networks with parts switched off
need the kernel, which runs one network after the other (`segnb.explorer.turns`).
"""

import html
from collections.abc import Callable
from functools import partial

import ipywidgets as widgets
import traitlets as t
from IPython.display import HTML, display

from segnb.errors import SegnbError
from segnb.evaluation import ablation
from segnb.explorer import album, board, figures
from segnb.explorer.album import Album, Scene
from segnb.explorer.inside import Inside
from segnb.explorer.networks import Networks
from segnb.explorer.turns import Turns
from segnb.report.figures.style import Picture

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
        self._show(Networks, lambda: figures.overview(self.album, self.first))

    def inside(self) -> None:
        """Display one network on the same image, with switches for its skips and gates."""
        if not self.runs:
            print(NOTHING)
        elif not self.parted:
            print("No network of this study has skips or gates to switch off.")
        else:
            figure = partial(figures.taken_apart, self.album, self.first, self.parted_first)
            self._show(Inside, lambda: self.turns.wait(figure))

    def _show(self, make: type[Networks] | type[Inside], figure: Callable[[], Picture]) -> None:
        """Display a part after its figure, and link its crosshair to the crosshairs of the other parts.

        The figure is for readers without a kernel. It is drawn when the part can be used already.
        """
        before = display(HTML("<p>Opening the explorer …</p>"), display_id=True)
        part = make(self)
        self._boards[make.__name__] = part.board
        boards = list(self._boards.values())
        for first, second in zip(boards, boards[1:], strict=False):
            widgets.jslink((first, "point"), (second, "point"))
        display(part.box)
        try:
            data, metadata = figure().bundle()
            before.update(data, metadata=metadata, raw=True)
        except SegnbError as error:  # a network is damaged; the user can choose another
            before.update(HTML(f"<p>{html.escape(str(error))}</p>"))
