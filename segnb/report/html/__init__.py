"""HTML of the report: templates here, notebooks and pages in the modules of this folder."""

from functools import cache
from pathlib import Path

import jinja2

FOLDER = Path(__file__).parent / "segnb"


@cache  # which keeps the compiled templates
def shell() -> jinja2.Environment:
    """Return the environment that loads the templates; callers add filters and globals."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
