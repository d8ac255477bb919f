"""The status of a study's runs in a notebook, as a widget that refreshes or as static HTML."""

import threading
import time

from IPython.display import HTML
from ipywidgets import HTML as Widget
from markupsafe import escape

from segnb.errors import SegnbError
from segnb.pipeline import status
from segnb.report.html import fill
from segnb.runtime.processes import in_jupyter

EVERY = 2.0  # seconds between two updates


def html(grid: status.Grid) -> str:
    """Return the grid as HTML for light and dark pages; text from the study's files is escaped."""
    return fill("status.html.j2", grid=grid, status=status, now=time.strftime("%H:%M:%S"))


def live(name: str = "latest") -> Widget | HTML:
    """Show the grid of a study, updated every two seconds until no run is left or the widget is closed.

    A study has one widget per kernel: calling this again, as when a cell is run twice, closes the previous
    one. In papermill and nbconvert, where nobody watches, the result is static HTML.
    """
    if not in_jupyter():
        return HTML(_page(name)[0])
    if name in _widgets:
        _widgets.pop(name).close()
    page, final = _page(name)
    widget = _widgets[name] = Widget(page)
    if not final:
        threading.Thread(target=_refresh, args=(widget, name), daemon=True, name=f"status of {name}").start()
    return widget


_widgets: dict[str, Widget] = {}


def _page(name: str) -> tuple[str, bool]:
    """Return the current page, and whether it is final. Without a study, the page says what to do."""
    try:
        grid = status.look(name)
    except SegnbError as error:
        return str(escape(error)), True
    return html(grid), not grid.ahead


def _refresh(widget: Widget, name: str) -> None:
    final = False
    while not final and widget.comm is not None:  # None: closed
        time.sleep(EVERY)
        try:
            page, final = _page(name)
        except Exception as error:  # or the table would stop without a message
            page, final = f"{escape(repr(error))}. Run the cell again.", True
        widget.value = page
