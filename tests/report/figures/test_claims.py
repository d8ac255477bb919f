"""The two figures of a claim: what they pick, show and say."""

import numpy as np
import pandas as pd

from segnb.labels import STREET
from segnb.report.figures.claims import chosen, differences, examples, shown
from tests.report.figures.made_up import BY_IMAGE, EXACT, GUESSES, LONG, THREE, all_labels, images, part

PARTS = [part(f"FCN-8s − FCN-{k}s, fine-tuned", metric=m) for m in ("miou", "miou:thin") for k in (32, 16)]

FIGURES = {
    "differences": lambda: differences(PARTS, ">", BY_IMAGE),
    "differences without images": lambda: differences([part()], ">", {}),
    "equivalence": lambda: differences([part(margin=0.01, by_seed=(0.02,))], "≈", {}),
    "above a threshold": lambda: differences([part(threshold=0.02)], ">", {}),
    "several units": lambda: differences(
        [*PARTS, part(metric="edge_distance", unit="px", scale=1), EXACT], ">", BY_IMAGE
    ),
    "many": lambda: differences([part(metric=f"m{i}") for i in range(20)], "≈", {}),
    "exact": lambda: differences([EXACT], "exact", {}),
    "examples": lambda: examples(THREE, part(), images, all_labels, GUESSES, STREET, 0),
    "examples of long names": lambda: examples(
        THREE.assign(name="a/file/name/as/some/tools/make/them_000019_10"),
        part(),
        images,
        all_labels,
        GUESSES,
        LONG,
        0,
    ),
}


def test_images_are_chosen_by_rule():
    found = pd.DataFrame(
        {"name": list("abcdef"), "index": range(6), "difference": [0.1, 0.3, -0.2, 0.3, np.nan, 0.0]}
    )
    rows = chosen(found)
    assert rows["name"].to_dict() == {"largest": "b", "median": "a", "smallest": "c"}  # b before its equal d
    assert chosen(found.iloc[:2]).empty


def test_a_figure_shows_deciding_parts_first():
    parts = [part(decides=False) for _ in range(12)] + [part(), part(unit="px")]
    assert shown(parts) == [*range(11), 12, 13]


def test_the_caption_says_what_is_drawn():
    fig = FIGURES["equivalence"]()
    assert "within the grey band two networks count as equal" in fig.caption
    assert "With one seed" in fig.caption and "single seeds" not in fig.caption
    assert "8 more parts are in the table only" in FIGURES["many"]().caption
    assert "dashed line" in FIGURES["above a threshold"]().caption
    assert (
        "67 % of 60 images" in FIGURES["differences"]().alt or "of 60 images" in FIGURES["differences"]().alt
    )


def test_examples_say_how_they_were_picked():
    fig = FIGURES["examples"]()
    assert "largest +10.0 points of mIoU in test 0003, 0.0 %" in fig.alt
    assert "Picked by rule" in fig.caption and "seed 0" in fig.caption
