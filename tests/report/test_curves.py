"""Curves of the evidence, from a made-up study: each against the same thing computed plainly."""

import numpy as np
import pytest

from segnb.claims.effects import Effects
from segnb.evaluation.scores import scores
from segnb.labels import STREET
from segnb.metrics import boundaries, confusion, objects
from segnb.report import curves
from segnb.report.figures.claims import chosen, pictures
from segnb.report.figures.evidence import convergence, sizes, stride_bounds, trimap
from segnb.report.figures.gates import attention, class_attention, worth
from segnb.report.figures.style import Picture
from segnb.study.study import Run, of_family
from tests.claims.examples import claim, part
from tests.conftest import make_project
from tests.synthetic_study import make_study

NAMES = [
    "FCN32s_vgg16_freeze",
    "FCN8s_vgg16_freeze",
    "UNet_Standard_256",
    "UNet_NoSkip_256",
    "AttentionUNet_256",
    "ClassAttentionResidualUNet_256",
]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two seeds of six networks, twelve test images."""
    with pytest.MonkeyPatch.context() as patch:
        folder = make_project(tmp_path_factory.mktemp("curves") / "project")
        patch.setenv("SEGNB_ROOT", str(folder))
        yield make_study(folder, seeds=2, variants=NAMES, images=12)


@pytest.fixture(scope="module")
def runs(study):
    return study.measured()


def seeds(runs, variant):
    return [run for run in runs if run.variant == variant]


def miou(run) -> float:
    return float(confusion.mean_iou(run.test()["confusion"].sum(0)))


def test_a_network_has_one_interval_in_all_chapters(study, runs):
    table = scores(runs)[["miou", "low", "high"]]
    bounds = curves.stride_bounds(study, of_family(runs, "fcn"))[["miou", "low", "high"]].to_numpy(float)
    np.testing.assert_array_equal(bounds, table.loc[NAMES[:2]].to_numpy())
    clean = curves.shifted_scores(runs)["U-Net"].loc["clean", ["value", "low", "high"]]
    assert clean.tolist() == pytest.approx(table.loc["UNet_Standard_256"].tolist())


def test_one_image_has_no_interval(runs):
    (run, *_) = runs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(run), "test", lambda run: {"names": ["only"]})
        (row,) = curves.with_interval([run], [{"hits": np.array([3.0])}], lambda hits: hits / 4).itertuples()
    assert row.value == 0.75 and np.isnan(row.low)


def test_curves_by_distance(runs):
    by_network = curves.trimap_curves(of_family(runs, "unet"))
    assert list(by_network)[:2] == ["U-Net", "U-Net, no skips"] and len(by_network) == 4
    files = [run.boundary() for run in seeds(runs, "UNet_Standard_256")]
    names = ("trimap_hits", "trimap_truth")
    plain = np.mean(
        [boundaries.trimap(**{name: one[name].sum(0) for name in names}) for one in files], axis=0
    )
    curve = by_network["U-Net"]
    assert curve["value"].to_numpy() == pytest.approx(plain)
    assert (curve["low"] <= curve["value"]).all() and (curve["value"] <= curve["high"]).all()
    assert curve.index[0] == "0–1" and curve.index[-1].endswith("+")
    assert trimap(by_network).axes


def test_curves_by_size(runs):
    by_network = curves.size_curves(of_family(runs, "unet"))
    curve = by_network["U-Net"]
    size = runs[0].recipe.size
    assert curve.attrs["size"] == size and curve.attrs["ends"] == objects.pixel_ends(size)
    tables = [run.objects() for run in seeds(runs, "UNet_Standard_256")]
    area = tables[0]["area"]
    assert curve["area"].is_monotonic_increasing and len(curve) <= len(curves.SIZE_BINS) + 1
    smallest = area < curves.SIZE_BINS[np.digitize(area.min(), curves.SIZE_BINS)]
    plain = np.mean([table["found"][smallest].mean() for table in tables])
    assert curve["value"].iloc[0] == pytest.approx(plain)
    assert sizes(by_network).axes


def test_curves_by_sight(runs):
    by_network = curves.sight_curves(seeds(runs, "UNet_Standard_256"))
    tables = [run.objects() for run in seeds(runs, "UNet_Standard_256")]
    plain = np.mean([table["found"][table["visible"] <= 0.5].mean() for table in tables])
    assert by_network["U-Net"]["value"]["mostly hidden"] == pytest.approx(plain)


def test_gains_by_class_come_in_order(runs):
    gains = curves.class_gains(runs, "UNet_Standard_256", "UNet_NoSkip_256")
    assert gains["value"].is_monotonic_decreasing
    ious = [
        [confusion.class_iou(run.test()["confusion"].sum(0)) for run in seeds(runs, name)]
        for name in ("UNet_Standard_256", "UNet_NoSkip_256")
    ]
    plain = np.mean(ious[0], axis=0) - np.mean(ious[1], axis=0)
    assert gains["value"][list(STREET.names)].to_numpy() == pytest.approx(plain)
    assert curves.class_gains(runs, "UNet_Standard_256", "ResidualUNet_256").empty


def test_stride_bounds_stand_beside_the_scores(study, runs):
    frame = curves.stride_bounds(study, of_family(runs, "fcn"))
    assert list(frame.index) == ["FCN-32s frozen", "FCN-8s frozen"]
    assert list(frame["stride"]) == [32, 8]
    assert 0 < frame["bound"].iloc[0] < frame["bound"].iloc[1] < 1  # finer grids keep more
    means = [np.mean([miou(run) for run in seeds(runs, name)]) for name in NAMES[:2]]
    assert list(frame["miou"]) == pytest.approx(means)
    assert curves.stride_bounds(study, []).empty
    assert stride_bounds(frame).axes


def test_what_gates_are_worth(runs):
    levels = curves.gate_levels(runs)
    assert list(levels) == ["Attention U-Net", "Class attention residual U-Net"]
    frame = levels["Attention U-Net"]
    assert list(frame.index) == ["level 1", "level 2", "level 3", "level 4", "all levels"]
    group = seeds(runs, "AttentionUNet_256")
    lost = [miou(run) - confusion.mean_iou(run.gates()["neutral_confusion"][-1].sum(0)) for run in group]
    assert frame["value"]["all levels"] == pytest.approx(np.mean(lost))
    assert frame["spread"]["level 2"] == pytest.approx(
        np.mean([run.gates()["std"][:, 1].mean() for run in group])
    )
    assert worth(levels).axes


def test_gate_maps_of_one_and_of_all_classes(runs):
    maps, images = curves.gate_maps(runs)
    assert list(maps) == ["Attention U-Net"] and attention(maps, images).axes
    by_network, images = curves.gate_maps(runs, by_class=True)
    (maps,) = by_network.values()
    assert list(by_network) == ["Class attention residual U-Net"]
    assert class_attention(maps, images, STREET).axes
    assert curves.gate_maps(seeds(runs, "UNet_Standard_256")) == ({}, {})


def test_shifted_scores_begin_with_the_same_streets_as_they_are(runs):
    shifted = curves.shifted_scores(runs)
    assert list(shifted)[0] == "U-Net"  # FCNs have no shifted scores
    frame = shifted["U-Net"]
    group = seeds(runs, "UNet_Standard_256")
    assert list(frame.index) == ["clean", "fog", "night", "noise", "occlusion"]
    assert frame["value"]["clean"] == pytest.approx(np.mean([miou(run) for run in group]))
    night = [confusion.mean_iou(run.shifts()["confusion"][1].sum(0)) for run in group]
    assert frame["value"]["night"] == pytest.approx(np.mean(night))


def test_shifted_scenes_may_be_fewer_than_the_test_images(runs, monkeypatch):
    whole = Run.shifts
    monkeypatch.setattr(Run, "shifts", lambda run: whole(run) | {"confusion": whole(run)["confusion"][:, :4]})
    frame = curves.shifted_scores(runs)["U-Net"]
    group = [run for run in runs if run.variant == "UNet_Standard_256"]
    first = [confusion.mean_iou(run.test()["confusion"][:4].sum(0)) for run in group]
    assert frame.value["clean"] == pytest.approx(np.mean(first))
    assert (
        (frame.low <= frame.value).all() and (frame.value <= frame.high).all() and frame.attrs["images"] == 4
    )


def test_the_first_scene_is_shown_under_each_condition(study, runs, monkeypatch):
    split = study.split("test", 64)
    monkeypatch.setattr(type(study), "shifted", lambda study, kind, size: split)
    shown = curves.shifted_street(study, curves.shifted_scores(runs))
    assert list(shown) == ["clean", "fog", "night", "noise", "occlusion"]
    assert all(np.array_equal(image, split.images[0]) for image in shown.values())
    assert curves.shifted_street(study, {}) == {}  # as of photographs


def test_gradient_ratios_are_means_of_logarithms(runs):
    by_network = curves.gradient_ratios(runs, epochs=2)
    tables = [run.gradients() for run in seeds(runs, "UNet_Standard_256")]
    ratios = [table[(table["layer"] == "down2.0") & (table["epoch"] <= 2)]["ratio"] for table in tables]
    plain = np.exp(np.mean([np.log(one).mean() for one in ratios]))
    frame = by_network["U-Net"]
    assert frame["value"]["down2.0"] == pytest.approx(plain)
    assert list(frame.index)[0] == "down1.0"
    assert (frame["low"] <= frame["value"]).all() and (frame["value"] <= frame["high"]).all()


def test_histories_are_of_seeds_in_common(runs):
    by_network = curves.histories(runs, "UNet_Standard_256", "UNet_NoSkip_256")
    assert {label: list(one) for label, one in by_network.items()} == {
        "U-Net": [0, 1],
        "U-Net, no skips": [0, 1],
    }
    assert convergence(by_network, 0.9).axes
    assert curves.histories(runs, "UNet_Standard_256", "ResidualUNet_256") == {}


def test_without_files_everything_is_empty(runs):
    """As of runs that an older version tested."""
    files = ("boundary_path", "objects_path", "gates_path", "shifts_path", "gradients_path")
    for run in runs:
        for name in files:
            getattr(run, name).rename(getattr(run, name).with_suffix(".away")) if getattr(
                run, name
            ).exists() else 0
    try:
        assert curves.trimap_curves(runs) == {} == curves.sight_curves(runs)
        assert curves.size_curves(runs) == {}
        assert curves.gate_levels(runs) == {} == curves.shifted_scores(runs)
        assert curves.gradient_ratios(runs, 3) == {} and curves.gate_maps(runs) == ({}, {})
    finally:
        for run in runs:
            for away in run.path.glob("*.away"):
                path = next(p for p in (getattr(run, name) for name in files) if p.stem == away.stem)
                away.rename(path)


# --- the figures of a claim, from files ---


def as_measured(metric: str, plus: str, minus: str, **changes):
    return part("", metric, plus=(plus,), minus=(minus,), **changes)


def test_a_claim_shows_the_images_that_its_rule_picks(study, runs):
    parts = (
        as_measured("train_seconds", "UNet_Standard_256", "UNet_NoSkip_256"),
        as_measured("miou", "UNet_Standard_256", "UNet_NoSkip_256"),
    )
    effects = Effects(study)
    chart, images = pictures(claim(contrasts=parts), effects)  # the decisive one has none
    assert "image by image" in chart.alt.lower()
    frame = effects.by_image(parts[1])
    for word, row in chosen(frame).iterrows():
        assert f"{word} " in images.alt and row["name"] in images.alt
    assert {text for ax in images.axes for text in [ax.get_title(loc="left")]} >= {"U-Net", "U-Net, no skips"}


def test_a_claim_of_which_nothing_was_measured_has_no_figure(study):
    missing = claim(decisive=None, contrasts=(part(estimate=None, missing="no study"),))
    (drawn,) = pictures(missing, Effects(study))
    assert isinstance(drawn, Picture) and not drawn.axes


def test_related_studies_have_no_images_here(study):
    elsewhere = claim(contrasts=(as_measured("miou", "streets-car:a", "UNet_NoSkip_256"),))
    drawn = pictures(elsewhere, Effects(study))
    assert len(drawn) == 1
