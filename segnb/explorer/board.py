"""Image board of the explorer: one image with the predictions of several networks, in the browser.

The board receives label maps and paints them in the browser (panels.js, board.js), so that a change of view
needs no kernel. It sends back clicks, arrow keys and dropped files. When a control is used, it checks whether
the kernel answers within a second.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import numpy as np
import traitlets as t

from segnb.errors import SegnbError, one_line
from segnb.explorer.album import Scene
from segnb.labels import ClassMap
from segnb.report.figures.images import coloured
from segnb.report.figures.style import FOUND, MISSED, WRONG

THUMB = 72  # most pixels per side of a thumbnail
VIEWS = ("prediction", "errors", "confidence")


def _bytes(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values, np.uint8).tobytes()


def panel(kind: str, title: str, note: str, size: int, **maps: np.ndarray | None) -> dict:
    """Return a panel of the board.

    Args:
        kind: "network", "changed" or "map"
        title: title of the panel
        note: text below the title
        size: pixels per side of the image
        maps: classes (S, S) of a network, and confidence, the probability of the predicted class × 255; None
            as long as they are not known; mask (S, S) of the changed pixels; values (h, w) of a map × 255
    """
    known = {name: _bytes(values) for name, values in maps.items() if values is not None}
    return {"kind": kind, "title": title, "note": note, "size": size} | known


def thumb(text: str, image: np.ndarray) -> dict:
    """Return a thumbnail with its text; image is uint8 (S, S, 3), of which rows and columns are skipped."""
    small = image[:: -(-len(image) // THUMB), :: -(-len(image) // THUMB)]
    return {"text": text, "size": len(small), "image": _bytes(small)}


class Turns:
    """Runs handlers in the thread of the kernel's cells, and networks in one other thread.

    JupyterLab lets a kernel handle the messages of each widget in a separate thread (subshells), so a click
    could interrupt a drawing. Without an event loop, as in a script, everything runs at once in one thread.
    """

    def __init__(self):
        self._home = threading.get_ident()
        self._asked: dict[str, asyncio.Task] = {}
        self._worker = ThreadPoolExecutor(1)
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:  # not in a kernel
            self.loop = None

    def __call__(self, act: Callable[..., None]) -> Callable[..., None]:
        """Return a handler that runs at once in this thread, and is queued from another thread."""

        def handle(*arguments) -> None:
            if self.loop is None or threading.get_ident() == self._home:
                act(*arguments)
            else:
                self.loop.call_soon_threadsafe(act, *arguments)

        return handle

    def ask(self, asker: str, answer: Coroutine[Any, Any, None]) -> None:
        """Start an answer, which cancels the unfinished answer to the same asker."""
        if self.loop is None:
            try:
                answer.send(None)  # `compute` does not wait, so the answer ends here
            except StopIteration:
                return
        if asker in self._asked:
            self._asked[asker].cancel()
        task = self._asked[asker] = self.loop.create_task(answer)
        task.add_done_callback(lambda done: done.cancelled() or done.result())  # the loop logs an exception

    async def compute(self, work: Callable[[], Any]) -> Any:
        """Return the result of work that takes time; handlers run meanwhile.

        Raises:
            SegnbError: the work failed, for instance because another program fills the GPU.
        """
        try:
            return work() if self.loop is None else await self.loop.run_in_executor(self._worker, work)
        except SegnbError:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {one_line(str(error))}"
            raise SegnbError(f"{why}. Choose fewer networks, or restart the kernel.") from error

    def wait(self, work: Callable[[], Any]) -> Any:
        """Return the result of work that runs networks; handlers wait too."""
        return self._worker.submit(work).result()


class Board(anywidget.AnyWidget):
    """Panels of one image, with a crosshair at the same point of each.

    Attributes:
        label: name for screen readers
        names: names of the classes
        palette: RGB of ids 0 to 255
        scale: RGB of the values 0 to 255 of a map
        marks: {wrong, missed, found, changed: colour}
        pictures: [{size, image: RGB, truth: ids, if known}], one for each size of a panel
        heading: title of the image and the text below it
        panels: see `panel`; the image and its ground truth come before them
        view: position in VIEWS
        only: 0, or 1 + id of the only class to show
        strength: opacity of the overlay, 0 to 1
        across: least width of a panel, in pixels
        aspect: width / height in which the image is shown
        point: [x, y], each 0 to 1 from the upper left corner; empty without a crosshair
        pending: {title of a panel: text in place of what is not known yet}
        answers: {point, values: {title of a network: probabilities by class}}, of the known networks
        thumbs: thumbnails
        picked: position of the chosen thumbnail; -1 for none
        said: sentence from the kernel, which screen readers read aloud
        busy: sentence on work in progress, shown in place of `said`
        takes: largest size of a dropped file, in bytes; 0 if the board accepts no files
    """

    _esm = "".join(Path(__file__).with_name(name).read_text("utf-8") for name in ("panels.js", "board.js"))
    _css = Path(__file__).with_name("board.css")

    label = t.Unicode().tag(sync=True)
    names = t.List(t.Unicode()).tag(sync=True)
    palette = t.Bytes().tag(sync=True)
    scale = t.Bytes().tag(sync=True)
    marks = t.Dict().tag(sync=True)
    pictures = t.List().tag(sync=True)
    heading = t.List(t.Unicode(), ["Image", ""]).tag(sync=True)
    panels = t.List().tag(sync=True)
    view = t.Int(0, min=0, max=len(VIEWS) - 1).tag(sync=True)
    only = t.Int(0, min=0).tag(sync=True)
    strength = t.Float(0.7, min=0, max=1).tag(sync=True)
    across = t.Int(150).tag(sync=True)
    aspect = t.Float(1.0).tag(sync=True)
    point = t.List(t.Float()).tag(sync=True)
    pending = t.Dict().tag(sync=True)
    answers = t.Dict().tag(sync=True)
    thumbs = t.List().tag(sync=True)
    picked = t.Int(-1).tag(sync=True)
    said = t.Unicode().tag(sync=True)
    busy = t.Unicode().tag(sync=True)
    takes = t.Int(0).tag(sync=True)

    def __init__(self, classes: ClassMap, **traits):
        super().__init__(
            names=list(classes.names),
            palette=_bytes(classes.paint(np.arange(256, dtype=np.uint8))),
            scale=_bytes(coloured(np.arange(256) / 255)),
            marks={"wrong": WRONG, "missed": MISSED, "found": FOUND, "changed": MISSED},
            **traits,
        )

    def show(self, scene: Scene, sizes: Iterable[int], panels: list[dict]) -> None:
        """Show another image with its panels.

        Args:
            scene: the image
            sizes: pixels per side of the panels
            panels: see `panel`
        """
        pictures = [
            {"size": size, "image": _bytes(scene.images[size])}
            | ({"truth": _bytes(scene.labels[size])} if scene.labels else {})
            for size in sizes
        ]
        with self.hold_sync():
            self.pictures, self.panels, self.heading = pictures, panels, [scene.title, scene.name]

    def listen(self, turns: Turns, take: Callable[[str, bytes], None] | None = None) -> None:
        """Reply to the browser's messages when it is their turn, so that the browser sees delays.

        Args:
            turns: when messages are handled
            take: called with the name and content of each file that the user drops on the board or chooses
        """

        @turns
        def received(widget, content: dict, buffers: list) -> None:
            if content.get("kind") == "there?":
                self.send({"kind": "here"})
            elif content.get("kind") == "file" and take and len(buffers) == 1:
                take(str(content.get("name", "")), bytes(buffers[0]))

        self.on_msg(received)

    def view_controls(self) -> widgets.Box:
        """Return the controls that need no kernel."""
        view, only = dropdown("Show", VIEWS), dropdown("Only class", ["all classes", *self.names])
        for control, trait in (view, "view"), (only, "only"):
            widgets.jslink((control, "index"), (self, trait))
        return row(view, only)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Show an error as a sentence on the board."""
        try:
            yield
        except SegnbError as error:
            self.said = str(error)


LONG = "30em"  # width of a list of networks


def dropdown(description: str, options=(), width: str = "23em") -> widgets.Dropdown:
    """Return a list to choose from."""
    layout = {"width": width, "max_width": "98%"}
    style = {"description_width": "7em"}
    return widgets.Dropdown(options=options, description=description, layout=layout, style=style)


def button(description: str) -> widgets.Button:
    """Return a button."""
    return widgets.Button(description=description, layout={"width": "auto"})


def checkbox(description: str, ticked: bool) -> widgets.Checkbox:
    """Return a checkbox."""
    layout = {"width": "auto", "margin": "0 1em 0 0"}
    return widgets.Checkbox(ticked, description=description, indent=False, layout=layout)


def hide(control: widgets.Widget, whether: bool) -> None:
    """Hide or show a control."""
    control.layout.display = "none" if whether else None


def row(*children: widgets.Widget) -> widgets.Box:
    """Return a row of controls that wraps."""
    return widgets.Box(children, layout={"flex_flow": "row wrap", "align_items": "center"})
