"""The explorer's two parts: all networks on one image, and one network with parts switched off.

`segnb.explorer.album` and `segnb.evaluation.ablation` compute the content, and `segnb.explorer.board` draws
it. Changes of view happen in the browser. Another image, probabilities, and networks with parts switched off
need the kernel.
"""

import html
import os
from contextlib import suppress

import ipywidgets as widgets
import traitlets as t
from IPython.display import display

from segnb.errors import SegnbError
from segnb.evaluation import ablation, evaluate
from segnb.explorer import album, board
from segnb.explorer.album import Album, Scene
from segnb.explorer.inside import Inside
from segnb.models import registry
from segnb.report.figures.style import percent, show
from segnb.study.study import Run

NOTHING = "There are no finished runs to explore. Run 'make report' or notebooks/train.ipynb first."
ALL, WORST, DIFFER, WITH = "all, in order", "worst first", "most different first", "with a class"
THUMBS = 12  # thumbnails at once


# ---- all networks on one image --------------------------------------------------------------------


class Networks:
    """Controls that choose an image, the board of all networks, and their probabilities at the crosshair."""

    def __init__(self, state: "Explorer"):
        self.state, self.album, self.classes = state, state.album, state.classes
        self.paused = False
        seeds = sorted({run.seed for run in state.runs})
        self.seed = board.dropdown("Seed", seeds)
        self.find = board.dropdown("Find images", [ALL, WORST, DIFFER, WITH])
        self.of, self.first, self.second = (
            board.dropdown(text, (), board.LONG) for text in ("Worst for", "Between", "and")
        )
        self.kind = board.dropdown("Class", [(name, i) for i, name in enumerate(self.classes.names)])
        self.image = board.dropdown("Image")
        self.before, self.after = board.button("Previous image"), board.button("Next image")
        self.back = board.button("Back to the test images")
        self.square = board.checkbox("Square, as the networks see it", False)
        self.all_of_them = board.checkbox("all", True)
        self.boxes: dict[str, widgets.Checkbox] = {}  # by title; ticked if the network is shown
        self.chooser = widgets.Accordion(layout={"width": "98%"})
        self.board = board.Board(self.classes, label="All networks", takes=album.LARGEST_FILE)
        self.table = widgets.HTML()
        note = [widgets.HTML(html.escape(self.album.note))] if self.album.note else []
        several = [self.seed] if len(seeds) > 1 else []
        self.box = widgets.VBox(
            [
                *note,
                board.row(*several, self.find, self.of, self.first, self.second, self.kind),
                board.row(self.image, self.before, self.after, self.back, self.square),
                self.board.view_controls(),
                self.chooser,
                self.board,
                self.table,
            ]
        )
        self.offer_networks()
        if state.scene.number is not None:
            self.image.value = state.scene.number
            self.show_thumbs()
        turn = state.one_thread
        self.seed.observe(turn(self.of_seed), "value")
        for control in (self.find, self.of, self.first, self.second, self.kind):
            control.observe(turn(self.list_images), "value")
        self.image.observe(turn(self.choose), "value")
        self.before.on_click(turn(lambda _: self.step(-1)))
        self.after.on_click(turn(lambda _: self.step(1)))
        self.back.on_click(turn(self.choose))
        self.square.observe(turn(self.shape), "value")
        self.all_of_them.observe(turn(self.show_all_or_none), "value")
        self.board.observe(turn(self.draw), "view")
        self.board.observe(turn(self.ask), "point")
        self.board.observe(turn(self.pick), "picked")
        self.board.on_file(turn(self.take))
        state.observe(self.draw, "scene")
        t.dlink((state, "aspect"), (self.board, "aspect"))
        self.draw()

    # -- choosing an image --

    def offer_networks(self) -> None:
        """Offer the networks that were trained with the chosen seed."""
        of_seed = [run for run in self.state.runs if run.seed == self.seed.value]
        self.runs = {registry.label(run.variant): run for run in of_seed}
        names = list(self.runs)
        self.of.options = [("mean of all networks", ""), *((name, name) for name in names)]
        self.first.options = self.second.options = names
        for control, position in ((self.of, 0), (self.first, 0), (self.second, len(names) - 1)):
            control.index = position
        hidden = {name for name, box in self.boxes.items() if not box.value}
        self.boxes = {name: board.checkbox(name, name not in hidden) for name in names}
        for box in self.boxes.values():
            box.observe(self.state.one_thread(self.draw), "value")
        self.chooser.children = [board.row(self.all_of_them, *self.boxes.values())]
        self.list_images()

    def of_seed(self, _=None) -> None:
        """Change to the networks of another seed."""
        self.offer_networks()
        self.draw()

    def show_all_or_none(self, _=None) -> None:
        """Tick or untick all networks, and draw once."""
        self.paused = True
        for box in self.boxes.values():
            box.value = self.all_of_them.value
        self.paused = False
        self.draw()

    @property
    def ticked(self) -> dict[str, Run]:
        """Networks with a tick, by title."""
        return {title: run for title, run in self.runs.items() if self.boxes[title].value}

    def list_images(self, _=None) -> None:
        """List the images in the chosen order and choose the first of them."""
        how = self.find.value
        for control, when in (
            (self.of, WORST),
            (self.first, DIFFER),
            (self.second, DIFFER),
            (self.kind, WITH),
        ):
            board.hide(control, how != when)
        runs = self.runs
        with self.board.at_work():
            if how == WORST:
                images = self.album.worst([runs[self.of.value]] if self.of.value else list(runs.values()))
            elif how == DIFFER:
                images = self.album.most_different(runs[self.first.value], runs[self.second.value])
            elif how == WITH:
                images = self.album.with_class(self.kind.value)
            else:
                images = [(name, i) for i, name in enumerate(self.album.names)]
            if not images:
                raise SegnbError(f"No test image shows {self.classes.names[self.kind.value]}.")
            self.image.options = images
            self.image.index = 0
            self.show_thumbs()

    def step(self, by: int) -> None:
        """Choose the next (1) or previous (-1) image; after the last image comes the first."""
        self.image.index = (self.image.index + by) % len(self.image.options)

    def pick(self, _=None) -> None:
        """Choose the image of a thumbnail."""
        if self.board.picked >= 0:
            self.image.index = self.image.index // THUMBS * THUMBS + self.board.picked
            self.choose()

    def choose(self, _=None) -> None:
        """Show the chosen image in all parts."""
        self.show_thumbs()
        self.state.scene = self.album.scene(self.image.value)

    def show_thumbs(self) -> None:
        """Show the thumbnails around the chosen image."""
        start = self.image.index // THUMBS * THUMBS
        options = self.image.options[start : start + THUMBS]
        with self.board.hold_sync():
            self.board.thumbs = [board.thumb(text, self.album.image(i)) for text, i in options]
            self.board.picked = self.image.index - start

    def take(self, name: str, content: bytes) -> None:
        """Show a user's image in place of a test image."""
        with self.board.at_work():
            self.state.scene = album.own_picture(name, content, self.album.sizes)
            self.board.picked = -1

    def shape(self, _=None) -> None:
        """Set the aspect in which the image is shown."""
        self.state.aspect = 1.0 if self.square.value else self.state.scene.aspect

    # -- showing it --

    def draw(self, _=None) -> None:
        """Draw the image with the networks that have a tick."""
        if self.paused:
            return
        scene = self.state.scene
        self.chooser.titles = (f"Networks shown: {len(self.ticked)} of {len(self.runs)}",)
        board.hide(self.back, scene.number is not None)
        board.hide(self.square, scene.aspect == 1)
        self.shape()
        self.board.said = scene.resizing
        with self.board.at_work():
            if scene.number is None or board.VIEWS[self.board.view] == "confidence":
                self.ask_all()
            panels = [self.panel(title, run) for title, run in self.ticked.items()]
            self.board.show(scene.images, scene.labels, panels)
        self.ask()
        self.in_idle_moments()

    def panel(self, title: str, run: Run) -> dict:
        """Return the panel of a network, with its confidence if that is computed."""
        scene = self.state.scene
        prediction = evaluate.Prediction(scene.known[run], {}) if run in scene.known else None
        confidence = prediction.confidence if prediction else None
        if scene.number is None:
            return board.network_panel(title, prediction.classes, confidence)
        note = f"{percent(self.album.wrong([run])[scene.number])} wrong"
        return board.network_panel(title, self.album.predicted(run)[scene.number], confidence, note)

    def ask_all(self) -> None:
        """Compute every network's probabilities for the image, and show the progress."""
        for number, (title, run) in enumerate(self.ticked.items(), start=1):
            if run not in self.state.scene.known:
                self.board.busy = f"Running {title} ({number} of {len(self.ticked)}) …"
                self.state.scene.probabilities(run)

    def ask(self, _=None) -> None:
        """Show every network's probabilities at the crosshair."""
        self.table.value = ""
        if len(self.board.point) == 2 and self.ticked:
            with self.board.at_work():
                self.ask_all()
                point, scene = self.board.point, self.state.scene
                rows = {title: scene.at(run, *point) for title, run in self.ticked.items()}
                self.table.value = board.probability_table(rows, self.classes, scene.truth_at(*point))

    def in_idle_moments(self) -> None:
        """In Jupyter, compute probabilities in advance, one network at a time, between other requests."""
        scene, loop = self.state.scene, self.state.one_thread.loop
        if loop is None or "JPY_SESSION_NAME" not in os.environ:  # see figures.learning.LiveCurves
            return

        def ask_one() -> None:
            missing = [run for run in self.ticked.values() if run not in scene.known]
            if missing and scene is self.state.scene:
                with suppress(SegnbError):  # shown when the user asks for the probabilities
                    scene.probabilities(missing[0])
                    loop.call_later(0.05, ask_one)

        loop.call_later(0.5, ask_one)


# ---- the notebook -----------------------------------------------------------------------------------


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
        self.one_thread = board.OneThread()
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
        show(album.overview(self.album, self.first))
        self._show(Networks(self))

    def inside(self) -> None:
        """Display one network on the same image, with switches for its skips and gates."""
        if not self.runs:
            print(NOTHING)
        elif not self.parted:
            print("No network of this study has skips or gates to switch off.")
        else:
            try:
                show(album.taken_apart(self.album, self.first, self.parted_first))
            except SegnbError as error:  # a network is damaged; the user can choose another
                print(error)
            self._show(Inside(self))

    def _show(self, part: Networks | Inside) -> None:
        """Display a part, and link its crosshair to the crosshairs of the other parts."""
        self._boards[type(part).__name__] = part.board
        boards = list(self._boards.values())
        for first, second in zip(boards, boards[1:], strict=False):
            widgets.jslink((first, "point"), (second, "point"))
        display(part.box)
