"""HTML of the report: its templates here, notebooks and pages in the modules of this folder."""

from pathlib import Path

import jinja2

FOLDER = Path(__file__).parent / "segnb"


def shell() -> jinja2.Environment:
    """Loads templates by name; filters and globals are the caller's to add."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
