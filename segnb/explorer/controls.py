"""What the explorer's controls are made of."""

import asyncio
import html
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ipywidgets as widgets
import numpy as np

from segnb.errors import SegnbError
from segnb.explorer.board import VIEWS, Board
from segnb.labels import ClassMap

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


def view_controls(board: Board, classes: ClassMap) -> widgets.Box:
    """What the browser does alone."""
    view, only = dropdown("Show", VIEWS), dropdown("Only class", ["all classes", *classes.names])
    for control, trait in (view, "view"), (only, "only"):
        widgets.jslink((control, "index"), (board, trait))
    return row(view, only)


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


@contextmanager
def at_work(board: Board) -> Iterator[None]:
    """What goes wrong is a sentence on the board; what was being done is no longer."""
    try:
        yield
    except SegnbError as error:
        board.said = str(error)
    finally:
        board.busy = ""


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
