"""The figures of the evidence: described, uncut, legible; and what they pick, spread and compute."""

import numpy as np
import pandas as pd

from segnb.labels import STREET
from segnb.models.registry import VARIANTS
from segnb.report.figures.claims import chosen, differences, examples, shown
from segnb.report.figures.evidence import (
    convergence,
    gain_by_class,
    gradients,
    sight,
    sizes,
    stride_bounds,
    trimap,
)
from segnb.report.figures.gates import attention, class_attention, shifts, worth
from tests.claims.examples import part

MANY = [variant.label for variant in VARIANTS.values()]
UNET = [variant.label for variant in VARIANTS.values() if variant.family == "unet"]
SIZE = 32
draw = np.random.default_rng(0)
labels = np.repeat(np.repeat(draw.integers(0, 13, (6, 8, 8)), 4, 1), 4, 2).astype(np.uint8)
images = draw.integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)
kept = {"names": np.array([f"test {i:04d}" for i in range(6)]), "images": images, "labels": labels}


def curve(index, start: float = 0.3, rise: float = 0.05) -> pd.DataFrame:
    value = start + rise * np.arange(len(index))
    return pd.DataFrame({"value": value, "low": value - 0.03, "high": value + 0.03}, index=list(index))


def curves(names: list[str], index, **columns) -> dict[str, pd.DataFrame]:
    return {name: curve(index, 0.3 + 0.013 * k).assign(**columns) for k, name in enumerate(names)}


def by_size(thirds: tuple[float, float]) -> dict[str, pd.DataFrame]:
    found = curves(MANY, range(6), area=AREA)
    for frame in found.values():
        frame.attrs["thirds"] = thirds
    return found


def gates(maps: int) -> dict[str, np.ndarray]:
    return {
        "levels": np.arange(1, 5),
        **{f"maps{k + 1}": draw.random((6, maps, SIZE >> k, SIZE >> k)).astype(np.float16) for k in range(4)},
    }


EXACT = part(
    "Attention U-Net − U-Net",
    unit="% of parameters",
    low95=None,
    high95=None,
    low90=None,
    high90=None,
    by_seed=(),
    repeats="",
    estimate=0.0113,
)
PARTS = [part(f"FCN-8s − FCN-{k}s, fine-tuned", metric=m) for m in ("miou", "miou:thin") for k in (32, 16)]
BY_IMAGE = {
    i: pd.DataFrame({"name": "test", "index": range(60), "difference": draw.normal(0.02, 0.05, 60)})
    for i in range(3)
}
THREE = pd.DataFrame(
    {"name": ["test 0003", "test 0000", "test 0005"], "index": [3, 0, 5], "difference": [0.1, 0.0, -0.08]},
    index=["largest", "median", "smallest"],
)
GUESSES = {"U-Net": labels, "Attention residual U-Net, strided gate": np.roll(labels, 1, 1)}
BINS = ["0–1", "1–2", "2–3", "3–5", "5–8", "8–13", "13–21", "21+"]
AREA = [0.0004, 0.0009, 0.002, 0.005, 0.012, 0.06]
KINDS = ["clean", "fog", "night", "noise", "occlusion"]


def histories(seeds: int, final: float = 0.5) -> dict[int, pd.DataFrame]:
    epoch = np.arange(1, 13)
    return {
        k: pd.DataFrame({"epoch": epoch, "val_miou": final * (1 - np.exp(-epoch / (3 + k)))})
        for k in range(seeds)
    }


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
    "examples": lambda: examples(THREE, part(), images, labels, GUESSES, STREET, 0),
    "trimap": lambda: trimap(curves(MANY, BINS)),
    "trimap of one": lambda: trimap(curves(["U-Net"], BINS)),
    "sizes": lambda: sizes(by_size((0.001, 0.01))),
    "sizes without room": lambda: sizes(by_size((0.00041, 0.2))),
    "sight": lambda: sight(curves(UNET, ["mostly hidden", "partly hidden", "in full sight"])),
    "gains": lambda: gain_by_class(
        curve(STREET.names, -0.2, 0.03), "Class attention residual U-Net", "Attention residual U-Net", STREET
    ),
    "stride_bounds": lambda: stride_bounds(
        pd.DataFrame(
            {"stride": 32, "miou": 0.3, "low": 0.28, "high": 0.32, "bound": [0.5, 0.5, 0.7, 0.7, 0.85, 0.85]},
            index=MANY[:6],
        )
    ),
    "convergence": lambda: convergence({"U-Net": histories(3), "U-Net, no skips": histories(3, 0.3)}, 0.9),
    "convergence of one seed": lambda: convergence(
        {"U-Net": histories(1), "U-Net, no skips": histories(1)}, 0.9
    ),
    "gradients": lambda: gradients(
        curves(["U-Net", "U-Net, no skips"], [f"down{k}.block.{j}" for k in range(1, 5) for j in (0, 3)])
    ),
    "attention": lambda: attention(dict.fromkeys(["Attention U-Net", UNET[3]], gates(1)), kept),
    "class_attention": lambda: class_attention(gates(13), kept, STREET),
    "worth": lambda: worth(
        {
            name: curve([*(f"level {k}" for k in range(1, 5)), "all levels"], 0.01).assign(
                spread=[0.1, 0.2, 0.1, 0.05, np.nan]
            )
            for name in UNET[3:]
        }
    ),
    "shifts": lambda: shifts(curves(UNET[:5], KINDS), dict.fromkeys(KINDS, images[0])),
}


def test_no_data_gives_no_picture():
    empty = [
        differences([], ">", {}),
        trimap({}),
        sizes({}),
        gain_by_class(pd.DataFrame(), "a", "b", STREET),
        stride_bounds(pd.DataFrame()),
        convergence({}, 0.9),
        attention({}, {}),
        shifts({}, {}),
    ]
    assert not any(fig.axes for fig in empty)


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


def test_convergence_marks_the_first_epoch_at_the_goal():
    """0.9 of the lower final score, 0.3 · (1 - e^-4) = 0.2945, is 0.265, where the better is in epoch 3."""
    fig = convergence({"U-Net": histories(1), "U-Net, no skips": histories(1, 0.3)}, 0.9)
    assert "U-Net, seed 0: epoch 3; U-Net, no skips, seed 0: epoch 7" in fig.alt


def test_words_of_sizes_stand_only_where_there_is_room():
    words = {"small", "medium", "large"}
    for name, told in (("sizes", words), ("sizes without room", {"medium"})):
        for ax in FIGURES[name]().axes:
            assert {text.get_text() for text in ax.texts} & words == told
