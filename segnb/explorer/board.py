"""The picture board of the explorer: one picture as several networks see it, side by side, in the browser.

It gets label maps and paints them itself (board.js), so that another view of what is there asks no kernel.
Clicks, arrow keys and dropped files come back.
"""

import asyncio
import html
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anywidget
import ipywidgets as widgets
import numpy as np
import traitlets as t

from segnb.errors import SegnbError
from segnb.labels import ClassMap
from segnb.report.figures.gates import OPEN
from segnb.report.figures.images import coloured
from segnb.report.figures.style import FOUND, MISSED, WRONG

THUMB = 72  # pixels a side at most
VIEWS = ("prediction", "errors", "confidence")


def _bytes(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values, np.uint8).tobytes()


def network_panel(title: str, classes: np.ndarray, confidence: np.ndarray | None = None, note="") -> dict:
    """What a network says of the picture: classes and confidence, uint8 (S, S)."""
    panel = {"kind": "network", "title": title, "note": note, "size": len(classes)}
    sent = {"classes": classes} | ({} if confidence is None else {"confidence": confidence})
    return panel | {name: _bytes(values) for name, values in sent.items()}


def changed_panel(title: str, changed: np.ndarray, note="") -> dict:
    """Where something is: bool (S, S)."""
    size = len(changed)
    return {"kind": "changed", "title": title, "note": note, "size": size, "mask": _bytes(changed)}


def map_panel(title: str, values: np.ndarray, size: int, cell: int, note="") -> dict:
    """Values from 0 to 1, (h, w), of cells of cell × cell pixels, on a picture of `size` pixels a side."""
    told = {"kind": "map", "title": title, "note": note, "size": size, "cell": cell, "width": len(values[0])}
    return told | {"values": _bytes((values * 255).round())}


def thumb(text: str, image: np.ndarray) -> dict:
    """A small picture to choose: uint8 (S, S, 3), of which so many rows and columns are left out."""
    small = image[:: -(-len(image) // THUMB), :: -(-len(image) // THUMB)]
    return {"text": text, "size": len(small), "image": _bytes(small)}


class Board(anywidget.AnyWidget):
    """Panels of one picture with a crosshair at the same point of each.

    label:   what a screen reader calls it
    names, palette: of the classes; palette is RGB of ids 0 to 255
    pictures: [{size, image: RGB, truth: ids, if known}], one for each size of a panel
    panels:  see the functions above; the picture and its ground truth are put before them
    view, only, strength, across: which of VIEWS; 0 or one more than the only class to show; opacity of what
             is laid over, 0 to 1; pixels that a panel is wide at least
    aspect:  width over height in which the picture is shown
    point:   [x, y], each 0 to 1 from the upper left corner; empty without a crosshair
    thumbs, picked: small pictures to choose from, and the position of the chosen one; -1: none
    said, busy: sentences from the kernel, which screen readers read out; `busy` stands before the other
    takes:   bytes that a dropped file may have; 0: none are taken
    """

    _esm = Path(__file__).with_name("board.js")
    _css = Path(__file__).with_name("board.css")

    label = t.Unicode().tag(sync=True)
    names = t.List(t.Unicode()).tag(sync=True)
    palette = t.Bytes().tag(sync=True)
    scale = t.Bytes().tag(sync=True)
    marks = t.Dict().tag(sync=True)
    pictures = t.List().tag(sync=True)
    panels = t.List().tag(sync=True)
    view = t.Int(0, min=0, max=len(VIEWS) - 1).tag(sync=True)
    only = t.Int(0, min=0).tag(sync=True)
    strength = t.Float(0.7, min=0, max=1).tag(sync=True)
    across = t.Int(150).tag(sync=True)
    aspect = t.Float(1.0).tag(sync=True)
    point = t.List(t.Float()).tag(sync=True)
    thumbs = t.List().tag(sync=True)
    picked = t.Int(-1).tag(sync=True)
    said = t.Unicode().tag(sync=True)
    busy = t.Unicode().tag(sync=True)
    takes = t.Int(0).tag(sync=True)

    def __init__(self, classes: ClassMap, **traits):
        super().__init__(
            names=list(classes.names),
            palette=_bytes(classes.paint(np.arange(256, dtype=np.uint8))),
            scale=_bytes(coloured(np.arange(256) / 255, OPEN)),
            marks={"wrong": WRONG, "missed": MISSED, "found": FOUND, "changed": MISSED},
            **traits,
        )

    def show(self, images: dict[int, np.ndarray], labels: dict[int, np.ndarray], panels: list[dict]) -> None:
        """Another picture, uint8 (S, S, 3) and (S, S) by size, and what is said of it."""
        pictures = [
            {"size": size, "image": _bytes(image)}
            | ({"truth": _bytes(labels[size])} if size in labels else {})
            for size, image in images.items()
        ]
        with self.hold_sync():
            self.pictures, self.panels = pictures, panels

    def on_file(self, take: Callable[[str, bytes], None]) -> None:
        """take(name, content) is called with each file that is dropped on the board or chosen."""

        def received(widget, content: dict, buffers: list) -> None:
            if content.get("kind") == "file" and len(buffers) == 1:
                take(str(content.get("name", "")), bytes(buffers[0]))

        self.on_msg(received)

    def view_controls(self) -> widgets.Box:
        """Return the controls whose changes the browser shows without a kernel."""
        view, only = dropdown("Show", VIEWS), dropdown("Only class", ["all classes", *self.names])
        for control, trait in (view, "view"), (only, "only"):
            widgets.jslink((control, "index"), (self, trait))
        return row(view, only)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Turn an error into a sentence on the board; what was being done is no longer."""
        try:
            yield
        except SegnbError as error:
            self.said = str(error)
        finally:
            self.busy = ""


LONG = "30em"  # a list of names of networks
CHIP = "display: inline-block; width: 10px; height: 10px; border: 1px solid"
BAR = 60  # pixels of a certainty
CELL = f"padding: 2px 8px; min-width: {BAR}px; vertical-align: bottom"
WORTH = 0.01  # probability from which a class is worth a number


def dropdown(description: str, options=(), width: str = "23em") -> widgets.Dropdown:
    layout = {"width": width, "max_width": "98%"}
    style = {"description_width": "7em"}
    return widgets.Dropdown(options=options, description=description, layout=layout, style=style)


def button(description: str) -> widgets.Button:
    return widgets.Button(description=description, layout={"width": "auto"})


def checkbox(description: str, ticked: bool) -> widgets.Checkbox:
    layout = {"width": "auto", "margin": "0 1em 0 0"}
    return widgets.Checkbox(ticked, description=description, indent=False, layout=layout)


def hide(control: widgets.Widget, whether: bool) -> None:
    control.layout.display = "none" if whether else None


def row(*children: widgets.Widget) -> widgets.Box:
    return widgets.Box(children, layout={"flex_flow": "row wrap", "align_items": "center"})


class OneThread:
    """Handlers that run one after the other in the thread that made this, in which a kernel runs its cells.

    JupyterLab has a kernel handle the messages of each widget in a thread of its own (subshells), so that a
    click would come in the middle of a drawing.
    """

    def __init__(self):
        self._home = threading.get_ident()
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:  # not in a kernel
            self.loop = None

    def __call__(self, act: Callable[..., None]) -> Callable[..., None]:
        """The same, at once in this thread and in its turn from another."""

        def handle(*arguments) -> None:
            if self.loop is None or threading.get_ident() == self._home:
                act(*arguments)
            else:
                self.loop.call_soon_threadsafe(act, *arguments)

        return handle


def probability_table(rows: dict[str, np.ndarray], classes: ClassMap, truth: int | None) -> str:
    """HTML: a row a network, a column a class that any of them gives a chance; {title: (C,), 0 to 1}."""
    values = np.stack(list(rows.values()))
    shown = [i for i in range(len(classes)) if values[:, i].max() >= WORTH or i == truth]

    def cell(share: float, best: bool) -> str:
        text = f"{100 * share:.0f} %" if share >= WORTH else ""
        # The bar is a tint that any text colour is legible on, in a light theme and in a dark one.
        tint = "rgb(70 140 220 / 45%)"
        bar = f"linear-gradient({tint}, {tint}) no-repeat 0 / {BAR * share:.0f}px"
        weight = "bold" if best else "normal"
        return f'<td style="background: {bar}; font-weight: {weight}; text-align: right; {CELL}">{text}</td>'

    def head(i: int) -> str:
        mark = "<br>(ground truth)" if i == truth else ""
        chip = f"{CHIP}; background: {html.escape(classes.colours[i])}"
        name = html.escape(classes.names[i])
        return f'<th scope="col" style="text-align: right; {CELL}"><i style="{chip}"></i> {name}{mark}</th>'

    lines = [
        f'<tr><th scope="row" style="text-align: left; {CELL}">{html.escape(title)}</th>'
        + "".join(cell(line[i], i == line.argmax()) for i in shown)
        + "</tr>"
        for title, line in rows.items()
    ]
    told = f"Class probabilities at the crosshair: the highest bold, those below {100 * WORTH:g} % left out"
    return (
        '<div style="overflow-x: auto"><table><caption style="text-align: left; white-space: nowrap">'
        f"{told}</caption><thead><tr><td></td>{''.join(map(head, shown))}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
