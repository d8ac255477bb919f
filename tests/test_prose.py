"""The check of phrases finds what `docs/style.md` replaces, and nothing else."""

import pytest

from tests import prose

SENTENCES = [
    ("It takes 3 seconds an image.", ["seconds an image"]),
    ("It takes 3 seconds per image, and a network is trained.", []),
    ("A file is told apart, and beside it lies another.", ["is told", "told apart", "beside"]),
    ("Inside, besides `beside`, 95% of it.", []),
    ("The 95 % interval of the trunk's colour map.", ["5 %", "trunk"]),
    ("The color is gray; cmap.color= is matplotlib's.", ["color", "gray"]),
]


@pytest.mark.parametrize(("sentence", "phrases"), SENTENCES)
@pytest.mark.parametrize("suffix", ["md", "py", "ipynb"])
def test_phrases_are_found_in_prose_of_every_kind(tmp_path, monkeypatch, sentence, phrases, suffix):
    monkeypatch.setattr(prose, "CHECKOUT", tmp_path)
    cells = [{"cell_type": "markdown", "source": [sentence]}]
    text = {
        "md": sentence + "\n\n```\nbeside\n```\n",
        "py": f"beside = 1  # {sentence}\nprint({sentence!r})\n",
        "ipynb": prose.json.dumps({"cells": cells}),
    }[suffix]
    (tmp_path / f"a.{suffix}").write_text(text)
    lines = list(prose.findings(tmp_path / f"a.{suffix}"))
    found = [line.split(": ")[1].split(" (")[0].strip("'\"") for line in lines]
    assert sorted(found) == sorted(phrases * (2 if suffix == "py" else 1))
