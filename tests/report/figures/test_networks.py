"""Drawings of the networks: layout, what is new, and the sentences below them."""

from itertools import combinations
from types import SimpleNamespace

import pytest

from segnb.labels import STREET
from segnb.models.registry import VARIANTS
from segnb.presets import preset
from segnb.report.figures.networks import Panel, fcns, flow, gate_panels, gates, ladder, panels, unets
from segnb.report.network_parts import gate_parts, network_parts

FULL = SimpleNamespace(recipe=lambda family: getattr(preset("paper"), family), classes=STREET)
SMALL = SimpleNamespace(recipe=lambda family: getattr(preset("smoke"), family), classes=STREET)

FIGURES = {
    "fcns": lambda: fcns(panels("fcn", FULL)),
    "unets": lambda: unets(panels("unet", FULL)),
    "gates": lambda: gates(gate_panels(FULL)),
    "small fcns": lambda: fcns(panels("fcn", SMALL)),
    "small unets": lambda: unets(panels("unet", SMALL)),
}


def panel(name: str) -> Panel:
    return Panel(name, network_parts(name, 13, 4, 64), ladder)


@pytest.mark.parametrize("name", VARIANTS)
def test_arrows_join_parts_of_the_drawing(name):
    drawn = panel(name)
    assert {end for source, target, _ in drawn.arrows for end in (source, target)} == {*drawn.places}
    assert len({*drawn.places.values()}) == len(drawn.places), "two parts at one place"
    for source, target, factor in drawn.arrows:
        (_, above), (_, below) = drawn.places[source], drawn.places[target]
        assert not factor or below < above  # enlargements go up
    across = [arrow for arrow in drawn.arrows if drawn.places[arrow[0]][1] == drawn.places[arrow[1]][1]]
    assert bool(across) == (VARIANTS[name].family == "fcn" or VARIANTS[name].config.skip)


def test_one_drawing_for_networks_that_look_alike():
    assert [panel.title for panel in panels("fcn", FULL)] == ["FCN-32s", "FCN-16s", "FCN-8s"]
    titles = [panel.title for panel in panels("unet", FULL)]
    assert titles[:4] == ["U-Net", "U-Net, no skips", "Residual U-Net", "Attention residual U-Net"]
    assert titles[4:] == ["Double conv", "Residual block"]


def test_the_parts_of_a_finer_stride_are_new():
    new = panel("FCN16s_vgg16_freeze").marks - panel("FCN32s_vgg16_freeze").marks
    parts = {name for name, *_ in new if name in panel("FCN16s_vgg16_freeze").places}
    assert {"score_pool4", "add_1"} <= parts and not {"head.0", "trunk.features.0"} & parts


def boxes(fig) -> list:
    """Return the outlines of the parts in a drawing, in inches."""
    return [patch.get_extents().transformed(fig.dpi_scale_trans.inverted()) for patch in fig.axes[0].patches]


@pytest.mark.parametrize("name", FIGURES)
def test_parts_keep_a_distance(name):
    fig = FIGURES[name]()
    fig.draw_without_rendering()
    assert not [pair for pair in combinations(boxes(fig), 2) if pair[0].padded(0.045).overlaps(pair[1])]


def test_captions_say_what_differs():
    assert FIGURES["fcns"]().caption.startswith(
        "FCN-32s enlarges by 32; FCN-16s adds the scores of pool4 and enlarges by 2 and 16; FCN-8s adds the"
        " scores of pool4 and pool3 and enlarges by 2, 2 and 8."
    )
    assert "U-Net, no skips: 0 skip connections, 19 convolutions;" in FIGURES["unets"]().caption
    assert "gate 1 computes 1 map of 128×128; gate 2 computes 1 map of 256×256;" in FIGURES["gates"]().caption


def test_a_gate_flows_down_and_keeps_skip_and_signal_apart():
    places = flow(gate_parts("strided", 13, 8, 64))
    assert places["skip"] == (0, 0) and places["below"] == (1, 0)
    assert places["sigmoid"][0] == 0.5 and places["cat"][1] == max(row for _, row in places.values())
    assert places["upconv"][1] > places["gate.from_signal"][1]  # gate 1 does without it
