"""The picture board of the explorer: one picture as several networks see it, side by side, in the browser.

It gets label maps and paints them itself (board.js), so that another view of what is there asks no kernel.
Clicks, arrow keys and dropped files come back.
"""

from collections.abc import Callable
from pathlib import Path

import anywidget
import numpy as np
import traitlets as t

from segnb.labels import ClassMap
from segnb.report.figures.gates import OPEN
from segnb.report.figures.predictions import coloured
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
