"""Part of the explorer for all networks on one image."""

import html
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import ipywidgets as widgets
import traitlets as t

from segnb.errors import SegnbError
from segnb.evaluation import evaluate
from segnb.explorer import album, board
from segnb.explorer.album import Scene
from segnb.models import registry
from segnb.report.figures.style import percent
from segnb.runtime.processes import in_jupyter
from segnb.study.study import Run

ALL, WORST, DIFFER, WITH = "all, in order", "worst first", "most different first", "with a class"
THUMBS = 12  # thumbnails at once
OWN = -1  # position of the user's image in the list, among the positions of test images
FEW = 6  # networks shown at first
FIRST = (  # the networks shown at first, if they are there: they differ in stride, skips and gates
    "FCN32s_vgg16_finetune",
    "FCN16s_vgg16_finetune",
    "FCN8s_vgg16_finetune",
    "UNet_Standard_256",
    "UNet_NoSkip_256",
    "AttentionUNet_256",
)


class Networks:
    """Controls that choose an image and networks, and the board of these networks.

    Args:
        state: the `Explorer` whose image and aspect are shown
    """

    def __init__(self, state):
        self.state, self.album, self.classes = state, state.album, state.classes
        self.paused = False
        self.own: Scene | None = None
        seeds = sorted({run.seed for run in state.runs})
        self.seed = board.dropdown("Seed", seeds)
        self.find = board.dropdown("Find images", [ALL, WORST, DIFFER, WITH])
        self.of, self.first, self.second = (
            board.dropdown(text, (), board.LONG) for text in ("Worst for", "Between", "and")
        )
        self.kind = board.dropdown("Class", [(name, i) for i, name in enumerate(self.classes.names)])
        self.image = board.dropdown("Image")
        self.before, self.after = board.button("Previous image"), board.button("Next image")
        self.square = board.checkbox("Square, as the networks see it", False)
        self.boxes: dict[str, widgets.Checkbox] = {}  # by title; ticked if the network is shown
        self.chooser = widgets.Accordion(layout={"width": "98%"})
        self.more = board.button("")
        self.board = board.Board(self.classes, label="All networks", takes=album.LARGEST_FILE)
        note = [widgets.HTML(html.escape(self.album.note))] if self.album.note else []
        several = [self.seed] if len(seeds) > 1 else []
        self.box = widgets.VBox(
            [
                *note,
                board.row(*several, self.find, self.of, self.first, self.second, self.kind),
                board.row(self.image, self.before, self.after, self.square),
                board.row(self.board.view_controls(), self.more),
                self.chooser,
                self.board,
            ]
        )
        self.offer_networks()
        self.list_images()
        turn = state.turns
        self.seed.observe(turn(self.of_seed), "value")
        for control in (self.find, self.of, self.first, self.second, self.kind):
            control.observe(turn(self.list_images), "value")
        self.image.observe(turn(self.choose), "value")
        self.before.on_click(turn(lambda _: self.step(-1)))
        self.after.on_click(turn(lambda _: self.step(1)))
        self.square.observe(turn(self.shape), "value")
        self.more.on_click(turn(self.show_more))
        self.board.observe(turn(self.draw), "view")
        self.board.observe(turn(self.ask), "point")
        self.board.observe(turn(self.pick), "picked")
        self.board.listen(turn, self.take)
        state.observe(self.draw, "scene")
        t.dlink((state, "aspect"), (self.board, "aspect"))
        self.draw()
        self.board.said = f"{state.scene.name} is shown first: its share of wrong pixels is the median."

    # -- choosing networks --

    def offer_networks(self) -> None:
        """Offer the networks that were trained with the chosen seed."""
        of_seed = [run for run in self.state.runs if run.seed == self.seed.value]
        self.runs = {registry.label(run.variant): run for run in of_seed}
        names = list(self.runs)
        self.of.options = [("mean of all networks", ""), *((name, name) for name in names)]
        self.first.options = self.second.options = names
        for control, position in ((self.of, 0), (self.first, 0), (self.second, len(names) - 1)):
            control.index = position
        ticks = {name: box.value for name, box in self.boxes.items()}
        few = self.few()
        self.boxes = {name: board.checkbox(name, ticks.get(name, name in few)) for name in names}
        for box in self.boxes.values():
            box.observe(self.state.turns(self.draw), "value")
        self.chooser.children = [board.row(*self.boxes.values())]

    def few(self) -> list[str]:
        """Return the titles of the networks that are shown at first."""
        return sorted(self.runs, key=lambda title: self.runs[title].variant not in FIRST)[:FEW]

    def of_seed(self, _=None) -> None:
        """Change to the networks of another seed."""
        with self.pause():
            self.offer_networks()
        self.list_images()
        self.draw()

    def show_more(self, _=None) -> None:
        """Tick all networks, or only the networks shown at first if all have a tick."""
        wanted = self.few() if len(self.ticked) == len(self.runs) else self.runs
        with self.pause():
            for title, box in self.boxes.items():
                box.value = title in wanted
        self.draw()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Change several controls and show nothing of it yet."""
        self.paused = True
        try:
            yield
        finally:
            self.paused = False

    @property
    def ticked(self) -> dict[str, Run]:
        """Networks with a tick, by title."""
        return {title: run for title, run in self.runs.items() if self.boxes[title].value}

    # -- choosing an image --

    def list_images(self, _=None) -> None:
        """List the images in the chosen order and choose the first of them; at first, the typical image."""
        if self.paused:
            return
        how, runs = self.find.value, self.runs
        for control, when in (self.of, WORST), (self.first, DIFFER), (self.second, DIFFER), (self.kind, WITH):
            board.hide(control, how != when)
        self.board.said = ""
        with self.board.errors():
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
            opened = not self.image.options
            self.offer_images(images, self.state.scene.number if opened else images[0][1])

    def offer_images(self, images: list[tuple[str, int]], chosen: int) -> None:
        """Offer images, after the user's image, and choose one of them."""
        own = [(f"your image: {self.own.name}", OWN)] if self.own else []
        with self.pause():
            self.image.options = own + images
            self.image.value = chosen
        self.choose()

    def step(self, by: int) -> None:
        """Choose the next (1) or previous (-1) image; after the last image comes the first."""
        self.image.index = (self.image.index + by) % len(self.image.options)

    def pick(self, _=None) -> None:
        """Choose the image of a thumbnail."""
        if self.board.picked >= 0:
            self.image.index = self.image.index // THUMBS * THUMBS + self.board.picked

    def choose(self, _=None) -> None:
        """Show the chosen image in all parts."""
        if not self.paused:
            self.show_thumbs()
            self.state.scene = self.own if self.image.value == OWN else self.album.scene(self.image.value)

    def show_thumbs(self) -> None:
        """Show the thumbnails around the chosen image."""
        start = self.image.index // THUMBS * THUMBS
        options = self.image.options[start : start + THUMBS]
        own = self.own and self.own.images[min(self.album.sizes)]
        with self.board.hold_sync():
            self.board.thumbs = [
                board.thumb(text, own if i == OWN else self.album.image(i)) for text, i in options
            ]
            self.board.picked = self.image.index - start

    def take(self, name: str, content: bytes) -> None:
        """Add a user's image to the list and show it."""
        self.board.said = ""  # so that the same sentence again is a change, which the browser hears of
        with self.board.errors():
            self.own = album.own_picture(name, content, self.album.sizes)
            self.offer_images([option for option in self.image.options if option[1] != OWN], OWN)

    def shape(self, _=None) -> None:
        """Set the aspect in which the image is shown."""
        self.state.aspect = 1.0 if self.square.value else self.state.scene.aspect

    # -- showing it --

    def draw(self, _=None) -> None:
        """Draw the image with the networks that have a tick."""
        if self.paused:
            return
        scene, shown, count = self.state.scene, len(self.ticked), len(self.runs)
        self.chooser.titles = (f"Networks shown: {shown} of {count}",)
        self.more.description = f"Show {FEW} networks" if shown == count else f"Show all {count} networks"
        board.hide(self.more, count <= FEW and shown == count)
        board.hide(self.square, scene.aspect == 1)
        self.shape()
        self.board.said = scene.resizing
        self.ask()

    def ask(self, _=None) -> None:
        """Answer what the networks predict for the image, and at the crosshair."""
        self.state.turns.ask("networks", self.answer())

    async def answer(self) -> None:
        """Show what is known, and complete it network by network.

        In Jupyter, the probabilities that nobody has asked for are computed afterwards, to have them ready.
        """
        scene, runs = self.state.scene, self.ticked
        asked = self.board.point or scene.number is None or board.VIEWS[self.board.view] == "confidence"
        missing = {
            title: run
            for title, run in runs.items()
            if (asked and run not in scene.known) or not (scene.number is None or self.album.has_read(run))
        }
        pending = dict.fromkeys(missing, "waiting …")
        self.board.busy = ""
        self.board.pending = dict(pending)
        self.show()
        for number, (title, run) in enumerate(missing.items(), start=1):
            self.board.busy = f"Running {title} (network {number} of {len(missing)}) …"
            self.board.pending = pending | {title: "running …"}
            try:
                await self.state.turns.compute(partial(self.predict, scene, run, asked))
                del pending[title]
            except SegnbError as error:
                self.board.said, pending[title] = str(error), "cannot be run"
            self.show()
            self.board.pending = dict(pending)
        self.board.busy = ""
        if in_jupyter():
            for run in runs.values():
                with suppress(SegnbError):  # shown when the user asks for the probabilities
                    await self.state.turns.compute(partial(scene.probabilities, run))

    def predict(self, scene: Scene, run: Run, asked: bool) -> None:
        """Read or compute what a panel shows."""
        if scene.number is not None:
            self.album.predicted(run)
        if asked:
            scene.probabilities(run)

    def show(self) -> None:
        """Show what is known of the image."""
        scene, point = self.state.scene, self.board.point
        panels = [self.panel(title, run) for title, run in self.ticked.items()]
        self.board.show(scene, scene.images, panels)
        known = [item for item in self.ticked.items() if point and item[1] in scene.known]
        values = {title: scene.at(run, *point).round(4).tolist() for title, run in known}
        self.board.answers = {"point": point, "values": values}

    def panel(self, title: str, run: Run) -> dict:
        """Return the panel of a network, as far as its prediction is known."""
        scene = self.state.scene
        prediction = evaluate.Prediction(scene.known[run], {}) if run in scene.known else None
        classes, confidence = (prediction.classes, prediction.confidence) if prediction else (None, None)
        note = ""
        if scene.number is not None:
            classes = self.album.predicted(run)[scene.number] if self.album.has_read(run) else None
            note = f"{percent(self.album.wrong([run])[scene.number])} wrong"
        maps = {"classes": classes, "confidence": confidence}
        return board.panel("network", title, note, run.recipe.size, **maps)
