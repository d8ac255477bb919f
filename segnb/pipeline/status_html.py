"""The status of a study's runs in a notebook: a table that follows them, or one that stays as it is."""

import os
import threading
import time

from IPython.display import HTML
from ipywidgets import HTML as Widget
from markupsafe import escape

from segnb.errors import SegnbError, one_line
from segnb.pipeline.status import (
    MOST_LISTED,
    MOST_SEEDS,
    STATES,
    Grid,
    advice,
    epochs,
    look,
    progress,
    remaining,
    summary,
)
from segnb.report.html import shell

EVERY = 2.0  # seconds between two looks


def html(grid: Grid) -> str:
    """Return the grid as HTML for light and dark pages; what the study's files say stays text."""
    environment = shell()
    environment.globals |= {
        function.__name__: function for function in (advice, epochs, progress, remaining, summary)
    }
    environment.filters["line"] = one_line
    return environment.get_template("status.html.j2").render(
        grid=grid,
        STATES=STATES,
        now=time.strftime("%H:%M:%S"),
        cells=len(grid.seeds) <= MOST_SEEDS,
        most=MOST_LISTED,
    )


def live(name: str = "latest") -> Widget | HTML:
    """Show the grid of a study, drawn again every two seconds until no run is left or the widget is closed.

    A study has one such widget per kernel: another call, as when a cell is run twice, closes the one before.
    Where nobody watches (papermill, nbconvert) it is drawn once, as HTML that needs no kernel.
    """
    if "JPY_SESSION_NAME" not in os.environ:  # as in `segnb.report.figures.learning.LiveCurves`
        return HTML(_page(name)[0])
    if name in _widgets:
        _widgets.pop(name).close()
    page, over = _page(name)
    widget = _widgets[name] = Widget(page)
    if not over:
        threading.Thread(target=_refresh, args=(widget, name), daemon=True, name=f"status of {name}").start()
    return widget


_widgets: dict[str, Widget] = {}


def _page(name: str) -> tuple[str, bool]:
    """The page as of now, and whether it will stay so. Without a study, a sentence on what to do."""
    try:
        grid = look(name)
    except SegnbError as error:
        return str(escape(error)), True
    return html(grid), not grid.ahead


def _refresh(widget: Widget, name: str) -> None:
    over = False
    while not over and widget.comm is not None:  # None: closed
        time.sleep(EVERY)
        try:
            page, over = _page(name)
        except Exception as error:  # or the table would stand still without a word
            page, over = f"{escape(repr(error))}: run the cell again", True
        widget.value = page
