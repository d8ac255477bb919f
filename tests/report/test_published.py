"""The report in docs/: it shows the verdicts of the study that the README names, and is small."""

import re

import pytest
from bs4 import BeautifulSoup

from segnb.claims import saved
from segnb.report.report import PUBLISHED
from tests.conftest import CHECKOUT
from tests.report.weights import weigh

REPORT = CHECKOUT / PUBLISHED


@pytest.fixture(scope="module")
def text() -> str:
    return REPORT.read_text(encoding="utf-8")


def test_it_shows_the_saved_verdicts(text):
    """If not, run `make report` and `segnb claims --publish`."""
    (name,) = set(re.findall(r"From `results/([^`]+)`", (CHECKOUT / "README.md").read_text()))
    verdicts = saved.read(CHECKOUT / "results" / name)
    page = BeautifulSoup(text, "html.parser")
    assert verdicts.study in page.get_text()
    words = {claim.id: claim.word for claim in verdicts.claims}
    blocks = page.select("details.claim")
    assert {block["id"].removeprefix("claim-"): word(block.summary) for block in blocks} == words
    rows = page.select("table.verdicts tbody tr:not(.group)")
    assert {row.th.get_text(strip=True): word(row) for row in rows} == words


def word(tag) -> str:
    """Return a verdict without its symbol."""
    return re.sub(r"^[^a-z]+", "", tag.select_one(".verdict").get_text())


def test_it_is_small_and_needs_nothing_else(text):
    assert REPORT.stat().st_size <= 6e6
    assert not re.search(r"/(work|tmp|home|root|Users)/", text)
    assert not re.findall(r'href="(?!#|https://|data:)[^"]+"', text)
    weigh(text)
