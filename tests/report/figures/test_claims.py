"""The two figures of a claim: their images, contents and texts."""

import nbformat
import numpy as np
import pandas as pd

from segnb.labels import STREET
from segnb.report.claim_blocks import RULES_PLACE
from segnb.report.figures.claims import chosen, differences, examples, with_room
from tests.conftest import CHECKOUT
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
    frame = pd.DataFrame(
        {"name": list("abcdef"), "index": range(6), "difference": [0.1, 0.3, -0.2, 0.3, np.nan, 0.0]}
    )
    rows = chosen(frame)
    assert rows["name"].to_dict() == {"largest": "b", "median": "a", "smallest": "c"}  # b before its equal d
    assert chosen(frame.iloc[:2]).empty


def test_a_figure_shows_deciding_parts_first():
    parts = [part(decides=False) for _ in range(12)] + [part(), part(unit="px")]
    assert with_room(parts) == [*range(11), 12, 13]


def test_the_caption_says_what_is_drawn():
    caption = FIGURES["equivalence"]().caption
    assert "The grey band is the margin of the claim." in caption
    assert "over test images; they do not include variation between training runs." in caption
    assert caption.endswith("n: 1 seed.")
    assert "8 more comparisons are in the table only." in FIGURES["many"]().caption
    assert "dashed line is the limit of the claim" in FIGURES["above a threshold"]().caption
    assert "97.5%" in caption.replace(" %", "%") and "over seeds and test images" in FIGURES["many"]().caption
    fig = FIGURES["differences"]()
    assert fig.caption.endswith("60 test images.") and "% of 60 images" in fig.alt


def test_the_caption_says_what_the_intervals_cover():
    """An error of 0 over images is an estimate if the comparison has images, and otherwise there is none."""
    of_seeds = part(metric="epochs", image_se=0.0)
    cases = (
        ([of_seeds, of_seeds], {}, "intervals over seeds; "),
        ([of_seeds, of_seeds], BY_IMAGE, "intervals over seeds and test images; "),
        (
            [part(), of_seeds],
            {},
            "intervals over seeds, and over test images if the metric has values for them; ",
        ),
    )
    for parts, by_image, words in cases:
        assert words in differences(parts, ">", by_image).caption


def test_a_level_that_is_only_shown_has_no_band_and_no_difference():
    shown = {"margin": 0.01, "minus": (), "decides": False, "unit": "", "scale": 1}
    fig = differences([part(margin=0.01), part(**shown)], "≈", {})
    assert [len(ax.collections) for ax in fig.axes] == [1, 0]
    assert [ax.get_xlabel() for ax in fig.axes] == ["difference in points of mIoU", "value"]


def test_a_share_is_100_percent_only_without_exception():
    images = pd.DataFrame({"name": "test", "index": range(300), "difference": [0.1] * 299 + [-0.1]})
    for frame, words in ((images, ">99%"), (images.iloc[:-1], "100%")):
        fig = differences([part()], ">", {0: frame})
        assert f"above zero in {words} of" in fig.alt
        assert f"{words} above 0" in [text.get_text() for text in fig.axes[1].texts]


def test_headings_are_complete():
    """The background of the axes of single images covered the end of a long heading."""
    networks = "Attention residual U-Net, strided gate − Attention residual U-Net"
    fig = differences([part(networks), part(f"{networks} and words, words and more words")], ">", BY_IMAGE)
    fig.draw_without_rendering()
    left, *others = fig.axes
    headings = [text for text in left.texts if text.get_weight() == "bold"]
    assert headings
    for heading in headings:
        assert heading.get_window_extent().x1 < fig.bbox.x1
        for ax in others:
            assert not ax.bbox.overlaps(heading.get_window_extent()) or ax.zorder < left.zorder


def test_the_caption_says_how_a_mark_of_times_is_formed():
    timed = part(metric="train_seconds", low=None, high=None)
    assert "the mark the medians of all rounds" in differences([timed], "exact", {}).caption
    assert "medians" not in FIGURES["differences"]().caption


def test_the_caption_leaves_out_what_all_figures_of_claims_share():
    """The first chapter says it once, in the section to which every block links."""
    shared = ("Right of zero", "test image", "interquartile range", "rings")
    for name in ("differences", "equivalence", "above a threshold", "many"):
        assert not any(words in FIGURES[name]().caption for words in ("Right of zero", "quartile", "rings"))
    notebook = nbformat.read(CHECKOUT / "notebooks" / RULES_PLACE.partition("#")[0], as_version=4)
    (section,) = [
        cell.source for cell in notebook.cells if cell.source.startswith("## How to read a verdict")
    ]
    assert all(words in section for words in shared)


def test_examples_say_how_they_were_picked():
    fig = FIGURES["examples"]()
    assert "largest +10.0 points of mIoU in test 0003, 0.0%" in fig.alt
    assert ") is −8.0 to +10.0 points of mIoU in these three images, " in fig.caption
    assert (
        "the smallest, median and largest of the 6 test images in which it can be computed" in fig.caption
        and "seed 0" in fig.caption
    )
