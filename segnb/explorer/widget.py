"""The explorer's two parts: all networks on one picture, and one network taken apart.

What is shown is computed by `segnb.explorer.album` and `segnb.evaluation.ablation` and painted by
`segnb.explorer.board`. A change of view happens in the browser; the kernel is asked for another image, for
probabilities, and for a network with parts switched off.
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

NOTHING = "There is no finished run to look at: run 'make report' or notebooks/train.ipynb."
ALL, WORST, DIFFER, WITH = "all, in their order", "worst first", "most different first", "with a class"
THUMBS = 12  # at once


# ---- all networks on one picture --------------------------------------------------------------------


class Networks:
    """Controls that find an image, the board of all networks, and their probabilities at the crosshair."""

    def __init__(self, state: "Explorer"):
        self.state, self.album, self.classes = state, state.album, state.classes
        self.paused = False
        seeds = sorted({run.seed for run in state.runs})
        self.seed = board.dropdown("Seed", seeds)
        self.find = board.dropdown("Find images", [ALL, WORST, DIFFER, WITH])
        self.of, self.one, self.other = (
            board.dropdown(text, (), board.LONG) for text in ("Worst for", "Between", "and")
        )
        self.kind = board.dropdown("Class", [(name, i) for i, name in enumerate(self.classes.names)])
        self.image = board.dropdown("Image")
        self.before, self.after = board.button("Previous image"), board.button("Next image")
        self.back = board.button("Back to the test images")
        self.square = board.checkbox("Square, as the networks see it", False)
        self.all_of_them = board.checkbox("all", True)
        self.boxes: dict[str, widgets.Checkbox] = {}  # whether a network is shown, by its title
        self.chooser = widgets.Accordion(layout={"width": "98%"})
        self.board = board.Board(self.classes, label="All networks", takes=album.LARGEST_FILE)
        self.table = widgets.HTML()
        note = [widgets.HTML(html.escape(self.album.note))] if self.album.note else []
        several = [self.seed] if len(seeds) > 1 else []
        self.box = widgets.VBox(
            [
                *note,
                board.row(*several, self.find, self.of, self.one, self.other, self.kind),
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
        for control in (self.find, self.of, self.one, self.other, self.kind):
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
        """Show the networks that were trained with the chosen seed."""
        of_seed = [run for run in self.state.runs if run.seed == self.seed.value]
        self.runs = {registry.label(run.variant): run for run in of_seed}
        names = list(self.runs)
        self.of.options = [("mean of all networks", ""), *((name, name) for name in names)]
        self.one.options = self.other.options = names
        for control, position in ((self.of, 0), (self.one, 0), (self.other, len(names) - 1)):
            control.index = position
        hidden = {name for name, box in self.boxes.items() if not box.value}
        self.boxes = {name: board.checkbox(name, name not in hidden) for name in names}
        for box in self.boxes.values():
            box.observe(self.state.one_thread(self.draw), "value")
        self.chooser.children = [board.row(self.all_of_them, *self.boxes.values())]
        self.list_images()

    def of_seed(self, _=None) -> None:
        self.offer_networks()
        self.draw()

    def show_all_or_none(self, _=None) -> None:
        self.paused = True  # one drawing for all of them
        for box in self.boxes.values():
            box.value = self.all_of_them.value
        self.paused = False
        self.draw()

    @property
    def shown(self) -> dict[str, Run]:
        """The networks that are ticked, by title."""
        return {title: run for title, run in self.runs.items() if self.boxes[title].value}

    def list_images(self, _=None) -> None:
        """The images in the order asked for, the first of them chosen."""
        how = self.find.value
        for control, when in ((self.of, WORST), (self.one, DIFFER), (self.other, DIFFER), (self.kind, WITH)):
            board.hide(control, how != when)
        runs = self.runs
        with self.board.at_work():
            if how == WORST:
                found = self.album.worst([runs[self.of.value]] if self.of.value else list(runs.values()))
            elif how == DIFFER:
                found = self.album.most_different(runs[self.one.value], runs[self.other.value])
            elif how == WITH:
                found = self.album.with_class(self.kind.value)
            else:
                found = [(name, i) for i, name in enumerate(self.album.names)]
            if not found:
                raise SegnbError(f"No test image shows {self.classes.names[self.kind.value]}.")
            self.image.options = found
            self.image.index = 0
            self.show_thumbs()

    def step(self, by: int) -> None:
        """To the next or the one before, round the ends."""
        self.image.index = (self.image.index + by) % len(self.image.options)

    def pick(self, _=None) -> None:
        """A thumbnail was chosen."""
        if self.board.picked >= 0:
            self.image.index = self.image.index // THUMBS * THUMBS + self.board.picked
            self.choose()

    def choose(self, _=None) -> None:
        self.show_thumbs()
        self.state.scene = self.album.scene(self.image.value)

    def show_thumbs(self) -> None:
        """Those among which the chosen image is."""
        start = self.image.index // THUMBS * THUMBS
        some = self.image.options[start : start + THUMBS]
        with self.board.hold_sync():
            self.board.thumbs = [board.thumb(text, self.album.image(i)) for text, i in some]
            self.board.picked = self.image.index - start

    def take(self, name: str, content: bytes) -> None:
        """One's own picture in place of a test image."""
        with self.board.at_work():
            self.state.scene = album.own_picture(name, content, self.album.sizes)
            self.board.picked = -1

    def shape(self, _=None) -> None:
        self.state.aspect = 1.0 if self.square.value else self.state.scene.aspect

    # -- showing it --

    def draw(self, _=None) -> None:
        if self.paused:
            return
        scene = self.state.scene
        self.chooser.titles = (f"Networks shown: {len(self.shown)} of {len(self.runs)}",)
        board.hide(self.back, scene.number is not None)
        board.hide(self.square, scene.aspect == 1)
        self.shape()
        self.board.said = scene.told
        with self.board.at_work():
            if scene.number is None or board.VIEWS[self.board.view] == "confidence":
                self.ask_all()
            panels = [self.panel(title, run) for title, run in self.shown.items()]
            self.board.show(scene.images, scene.labels, panels)
        self.ask()
        self.in_idle_moments()

    def panel(self, title: str, run: Run) -> dict:
        scene = self.state.scene
        known = evaluate.Prediction(scene.known[run], {}) if run in scene.known else None
        sure = known.confidence if known else None
        if scene.number is None:
            return board.network_panel(title, known.classes, sure)
        wrong = percent(self.album.wrong([run])[scene.number])
        return board.network_panel(title, self.album.predicted(run)[scene.number], sure, f"{wrong} wrong")

    def ask_all(self) -> None:
        """Have every network's probabilities of the picture, and say so while they are computed."""
        for number, (title, run) in enumerate(self.shown.items(), start=1):
            if run not in self.state.scene.known:
                self.board.busy = f"asking {title}, {number} of {len(self.shown)} …"
                self.state.scene.probabilities(run)

    def ask(self, _=None) -> None:
        """Every network's probabilities at the crosshair."""
        self.table.value = ""
        if len(self.board.point) == 2 and self.shown:
            with self.board.at_work():
                self.ask_all()
                point, scene = self.board.point, self.state.scene
                rows = {title: scene.at(run, *point) for title, run in self.shown.items()}
                self.table.value = board.probability_table(rows, self.classes, scene.truth_at(*point))

    def in_idle_moments(self) -> None:
        """Where a person watches, ask the networks before they do: one at a time, between other requests."""
        scene, loop = self.state.scene, self.state.one_thread.loop
        if loop is None or "JPY_SESSION_NAME" not in os.environ:  # see figures.learning.LiveCurves
            return

        def ask_one() -> None:
            todo = [run for run in self.shown.values() if run not in scene.known]
            if todo and scene is self.state.scene:
                with suppress(SegnbError):  # said once somebody asks
                    scene.probabilities(todo[0])
                    loop.call_later(0.05, ask_one)

        loop.call_later(0.5, ask_one)


# ---- the notebook -----------------------------------------------------------------------------------


class Explorer(t.HasTraits):
    """What all parts of the notebook share: one picture, in whichever part it was chosen.

    scene:  the picture
    aspect: width over height in which it is shown
    """

    scene = t.Instance(Scene, allow_none=True)
    aspect = t.Float(1.0)

    def __init__(self, study: str):
        """study: a folder name under runs/, or "latest". Runs nobody has tested yet are tested."""
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
        """Display all networks on one picture, above it what stays of it without a kernel."""
        if not self.runs:
            print(NOTHING)
            return
        show(album.overview(self.album, self.first))
        self._show(Networks(self))

    def inside(self) -> None:
        """Display one network on the same picture, with switches for its skips and gates."""
        if not self.runs:
            print(NOTHING)
        elif not self.parted:
            print("No network of this study has skips or gates that could be switched off.")
        else:
            try:
                show(album.taken_apart(self.album, self.first, self.parted_first))
            except SegnbError as error:  # of a damaged network; another may be chosen
                print(error)
            self._show(Inside(self))

    def _show(self, shown: Networks | Inside) -> None:
        """Its crosshair moves with those of the other parts."""
        self._boards[type(shown).__name__] = shown.board
        boards = list(self._boards.values())
        for one, other in zip(boards, boards[1:], strict=False):
            widgets.jslink((one, "point"), (other, "point"))
        display(shown.box)
