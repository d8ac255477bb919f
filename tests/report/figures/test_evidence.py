"""Figures of the evidence: marks, names and computed values."""

import numpy as np
import pandas as pd
import pytest

from segnb.labels import STREET
from segnb.report.figures.evidence import (
    convergence,
    gain_by_class,
    gradients,
    sight,
    sizes,
    stride_bounds,
    trimap,
)
from tests.report.figures.made_up import BINS, FCN, LONG, UNET, by_size, curve, curves, histories, unknown

FIGURES = {
    "trimap": lambda: trimap(curves(FCN, BINS)),
    "trimap of U-Nets": lambda: trimap(curves(UNET, BINS)),
    "trimap of one": lambda: trimap(curves(["U-Net"], BINS)),
    "sizes": lambda: sizes(by_size([64, 256, 1024])),
    "sizes without room": lambda: sizes(by_size([21, 22, 9000])),
    "sight": lambda: sight(curves(UNET, ["mostly hidden", "partly hidden", "in full sight"])),
    "gains": lambda: gain_by_class(
        curve(STREET.names, -0.2, 0.03), "Class attention residual U-Net", "Attention residual U-Net", STREET
    ),
    "stride_bounds": lambda: stride_bounds(
        pd.DataFrame(
            {"stride": 32, "miou": 0.3, "low": 0.28, "high": 0.32, "bound": [0.5, 0.5, 0.7, 0.7, 0.85, 0.85]},
            index=FCN,
        )
    ),
    "convergence": lambda: convergence({"U-Net": histories(3), "U-Net, no skips": histories(3, 0.3)}, 0.9),
    "convergence of one seed": lambda: convergence(
        {"U-Net": histories(1), "U-Net, no skips": histories(1)}, 0.9
    ),
    "gradients": lambda: gradients(
        curves(["U-Net", "U-Net, no skips"], [f"down{k}.block.{j}" for k in range(1, 5) for j in (0, 3)])
    ),
    "trimap without": lambda: trimap(unknown(curves(FCN, BINS))),
    "sight of one": lambda: sight(curves(["U-Net"], ["hidden", "partly", "all"])),
    "gains of long names": lambda: gain_by_class(curve(LONG.names, -0.2, 0.03), UNET[-1], UNET[-2], LONG),
    "a network beyond its bound": lambda: stride_bounds(
        pd.DataFrame({"miou": 0.7, "low": 0.65, "high": 0.75, "bound": 0.5}, index=FCN[:2])
    ),
    "one bound": lambda: stride_bounds(
        pd.DataFrame({"miou": 0.3, "low": np.nan, "high": np.nan, "bound": 0.5}, index=FCN[:1])
    ),
    "gradients of one": lambda: gradients(curves(["U-Net"], ["down1", "down2"])),
    "gradients of a narrow range": lambda: gradients({"U-Net": curve(["down1", "down2"], 0.0021, 0.005)}),
    "sizes of a narrow range": lambda: sizes(by_size([200, 250, 1024], [*np.linspace(150, 300, 6)])),
    "convergence of two seeds": lambda: convergence(
        {"U-Net": histories(2), "U-Net, no skips": histories(2, 0.3)}, 0.9
    ),
    "convergence of five seeds": lambda: convergence(
        {"U-Net": histories(5), "U-Net, no skips": histories(5, 0.3)}, 0.9
    ),
}


def test_convergence_marks_the_epoch_that_the_claim_counts():
    """The goal is 0.9 of the lower final score: 0.9 · 0.3 · (1 − e^−4) = 0.265."""
    fig = convergence({"U-Net": histories(1), "U-Net, no skips": histories(1, 0.3)}, 0.9)
    assert "U-Net, seed 0: epoch 2.3; U-Net, no skips, seed 0: epoch 6.5" in fig.alt


@pytest.mark.parametrize("seeds", [1, 2, 3, 4, 5])
def test_convergence_leaves_no_panel_empty(seeds):
    fig = convergence({"U-Net": histories(seeds), "U-Net, no skips": histories(seeds, 0.3)}, 0.9)
    assert [bool(ax.lines) for ax in fig.axes[:seeds]] == [True] * seeds
    legends = [ax.get_legend() for ax in fig.axes[seeds:]]
    assert all(legends) and len([*legends, *fig.legends]) == 1


def test_gains_show_every_seed():
    fig = FIGURES["gains"]()
    assert "all 3 seeds agree on the sign of" in fig.caption and "rings are single seeds" in fig.caption
    rings = [line for line in fig.axes[0].lines if line.get_markersize() == 4]
    assert sum(len(line.get_xdata()) for line in rings) == 3 * len(STREET.names)


def test_only_intervals_over_images_are_called_error_bars():
    """“How to read a verdict” says that all error bars outside figures of claims cover the test images."""
    assert "lines extend from the lowest to the highest seed" in FIGURES["gradients"]().caption
    assert "Error bars" not in FIGURES["gradients"]().caption


def test_each_panel_has_tick_labels_and_sizes_are_plain_numbers():
    panels = FIGURES["convergence"]().axes
    assert all(ax.xaxis.get_tick_params()["labelbottom"] for ax in panels[:3])
    fig = sizes(by_size([64, 256, 1024]))
    fig.draw_without_rendering()
    printed = [text.get_text() for text in fig.axes[-1].get_xticklabels()]
    assert "1,000" in printed and not any("e" in text for text in printed)


def test_words_of_sizes_stand_only_where_there_is_room():
    words = {"tiny", "small", "medium", "large"}
    for name, expected in (("sizes", words), ("sizes without room", {"medium"})):
        for ax in FIGURES[name]().axes:
            assert {text.get_text() for text in ax.texts} & words == expected


def test_sizes_are_given_in_pixels():
    fig = FIGURES["sizes"]()
    assert "strides 8, 16 and 32: 64, 256 and 1,024 px in images of 224×224 px." in fig.caption
    assert "(px, log scale)" in fig.axes[-1].get_xlabel() and "224×224 px" in fig.axes[0].get_title("left")
