"""HTML of the report: templates here, notebooks and pages in the modules of this folder."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from segnb.storage.files import to_json

FOLDER = Path(__file__).parent / "segnb"

# Names and intervals that no line may break. Browsers break at hyphens, whatever the style says.
UNBROKEN = re.compile(r"\b(?:U-Nets?|FCN-\d+s|fine-tun(?:ed|ing))\b|\([−\d.]+ to [−\d.]+\)")


def unbroken(text: str) -> Markup:
    """Return the text as HTML that keeps names such as U-Net, and intervals, on one line."""
    plain, names = UNBROKEN.split(text), UNBROKEN.findall(text)
    pieces = [Markup('<span class="name">{}</span>').format(name) for name in names]
    return Markup("").join(piece for pair in zip(plain, [*pieces, ""], strict=True) for piece in pair)


@cache  # which keeps the compiled templates
def shell() -> jinja2.Environment:
    """Return the environment that loads the templates, with the filter `unbroken`; callers add globals."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["about"] = about
    environment.filters["unbroken"] = unbroken
    return environment


def about(name: str, subject: str = "", networks: Iterable[str] = (), metrics: Iterable[str] = ()) -> str:
    """Describe a figure or table for `segnb.report.html.anchors`: its attribute `data-about`, as JSON.

    Args:
        name: Name of the function that makes it; its anchor in the page contains the name.
        subject: What tells figures of the same name in a chapter apart, such as a network.
        networks: Labels of the networks that it shows.
        metrics: Metrics that it shows: names in `segnb.claims.metrics` or columns of cost.json, in which *
            stands for any text, or ids of claims without comparisons.
    """
    return to_json({"name": name, "subject": subject, "networks": list(networks), "metrics": list(metrics)})
