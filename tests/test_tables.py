"""Tables and sentences show what data say and run none of it: names of classes and files are a user's."""

import pandas as pd
import pytest

from segnb import figures, picture, tables
from segnb.classes import ClassMap

HOSTILE = "<script>alert(1)</script> & $\\frac$"
SHOWN = "&lt;script&gt;alert(1)&lt;/script&gt; &amp; $\\frac$"


def test_a_table_shows_markup_as_it_is_written():
    frame = pd.DataFrame({HOSTILE: [HOSTILE, 1.0]}, index=[HOSTILE, "b"])
    page = tables.table(frame, "of names").to_html()
    assert "<script>" not in page and page.count(SHOWN) == 3


def test_a_sentence_keeps_its_emphasis_and_no_html(monkeypatch):
    shown = []
    monkeypatch.setattr(picture, "display", shown.append)
    picture.say(f"*Classes:* {HOSTILE}")
    picture.say("")
    assert [one.data for one in shown] == [f"*Classes:* {SHOWN}"]


@pytest.mark.parametrize("name", [HOSTILE, "$", "$a$ and $b", "\\alpha"])
def test_names_are_drawn_as_they_are_and_never_as_formulas(name):
    drawn = figures.class_legend(ClassMap((name, "Road"), ("#000000", "#ffffff")))
    assert name in drawn.alt and drawn.png().startswith(b"\x89PNG")
