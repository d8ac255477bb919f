"""Tables and sentences: names from data stay text, and columns and captions are right."""

from types import SimpleNamespace

import pandas as pd
import pytest

from segnb.labels import ClassMap
from segnb.presets import PRESETS
from segnb.report import tables, text
from segnb.report.figures.images import class_legend
from tests.claims.examples import claim, verdicts

HOSTILE = "<script>alert(1)</script> & $\\frac$"
SHOWN = "&lt;script&gt;alert(1)&lt;/script&gt; &amp; $\\frac$"


def test_a_table_shows_markup_as_it_is_written():
    frame = pd.DataFrame({HOSTILE: [HOSTILE, 1.0]}, index=[HOSTILE, "b"])
    page = tables.table("a", frame, HOSTILE).to_html()
    assert "<script>" not in page and page.count(SHOWN) == 4


def test_a_table_is_the_same_each_time():
    frame = pd.DataFrame({"a": [1]})
    assert tables.table("a", frame, "").to_html() == tables.table("a", frame, "").to_html()


def test_a_sentence_keeps_its_emphasis_and_no_html(monkeypatch):
    shown = []
    monkeypatch.setattr(text, "display", shown.append)
    text.say(f"*Classes:* {HOSTILE}")
    text.say("")
    assert [one.data for one in shown] == [f"*Classes:* {SHOWN}"]


@pytest.mark.parametrize("name", [HOSTILE, "$", "$a$ and $b", "\\alpha"])
def test_names_are_drawn_as_they_are_and_never_as_formulas(name):
    drawn = class_legend(ClassMap((name, "Road"), ("#000000", "#ffffff")))
    assert name in drawn.alt and drawn.png().startswith(b"\x89PNG")


def test_recipes_are_next_to_those_of_the_study():
    settings = {"data": {"counts": {"train": 200}}}
    frame = tables.recipes(SimpleNamespace(preset=PRESETS["quick"], settings=settings)).data
    families, sides = ("FCN", "U-Net"), ("here", "in the study")
    assert frame.columns.tolist() == [f"{a}, {b}" for a in families for b in sides]
    assert frame.loc["training images"].tolist() == ["200", "1,600"] * 2
    assert frame.loc["image side, px"].tolist() == ["224", "224", "128", "256"]
    assert frame.loc["channels"].tolist() == [
        "256 in the head",
        "4096 in the head",
        "16 at the first level",
        "64 at the first level",
    ]
    assert frame.loc["epochs"].tolist() == ["3", "15", "20", "at most 50"]


def test_what_would_change_the_verdicts_leaves_out_what_seeds_cannot():
    few = {"seeds": 3, "seeds_needed": 1234, "power": {"3": 0.1, "5": 0.5}}
    never = few | {"seeds_needed": None, "power": {"3": 0.0, "5": 0.0}}
    counted = claim("M1", power={})
    claims = claim("F1", "inconclusive", **few), counted, claim("F2", "inconclusive", **never)
    table = tables.open_questions(verdicts(*claims))
    assert table.caption.startswith("Of 2 claims that depend on training, 2 are not decided.")
    frame = table.data
    assert frame.index.tolist() == ["F1", "F2"]
    assert frame["seeds needed"].tolist() == ["1,234", "> 1,000"]
    assert frame["half-width"].tolist() == ["±2.7 points"] * 2 and frame["claimed"].iloc[0] == "above zero"
    assert frame["chance with 5 seeds"].tolist() == ["50%", "0%"]
    assert tables.open_questions(verdicts(counted)) is None
