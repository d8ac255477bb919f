"""HTML of the report: its templates here, notebooks and pages in the modules of this folder."""

from functools import cache
from pathlib import Path

import jinja2

FOLDER = Path(__file__).parent / "segnb"


@cache  # with the templates that it has compiled
def shell() -> jinja2.Environment:
    """Loads templates by name; filters and globals are the caller's to add."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
