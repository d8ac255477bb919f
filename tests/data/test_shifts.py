"""Shifted scenes: their changes to image and labels; and the visible share of objects."""

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from segnb.data import shifts, streets
from segnb.data.dataset import VIEWS, cars_alone, false_colours, open_data
from segnb.data.shifts import clutter, footprints, in_sight, light_lamps, noisy, overlaps
from segnb.data.streets import materials, shapes, structures, tracing
from segnb.data.streets.scene import Camera, Scene
from segnb.labels import STREET
from segnb.presets import PRESETS
from segnb.runtime import pool

CAR, PERSON, POLE, SIGN, FENCE, WALL, ROAD = (
    STREET.id(name) for name in ("Car", "Pedestrian", "Pole", "Traffic sign", "Fence", "Wall", "Road")
)
SIZE, COUNT = 64, 4


# ---- visible shares


def board(x, y0, y1, label, material=materials.PLAIN) -> shapes.Soup:
    """Build an upright sheet across the view, x metres ahead, from y0 to y1 (left is positive), 2 m tall."""
    soup = shapes.Soup()
    soup.add(shapes.sheet((x, y0, -1), (0, y1 - y0, 0), (0, 0, 2)), label, (0.5, 0.5, 0.5), material, 0.5)
    return soup


def look(*things: shapes.Soup, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Return visible shares and labels of things, as `numbered` does."""
    visible, _, labels = numbered(*things, size=size)
    return visible, labels


def numbered(*things: shapes.Soup, size: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `in_sight` of things without a street, from the origin along x, 90 degrees wide."""
    soup = shapes.Soup()
    soup.add(shapes.sheet((0, -200, -50), (400, 0, 0), (0, 400, 0)), ROAD, (0.1, 0.1, 0.1))
    for thing in things:
        soup.put(thing)
    triangles, *attributes = soup.arrays()
    camera = Camera(np.zeros(3), 0.0, 0.0, 0.0, np.pi / 2, 1.0)
    weather = streets.draw("test", 0)[0].weather
    return in_sight(Scene(triangles, triangles, *attributes, weather, camera), size)


def test_a_thing_alone_is_all_in_sight_and_the_rest_is_nothing():
    visible, labels = look(board(5, -2, 2, CAR), board(9, -8, -5, WALL))
    assert {*np.unique(labels)} >= {CAR, WALL, ROAD}
    assert (visible[labels == CAR] == 255).all()
    assert (visible[labels != CAR] == 0).all()
    assert visible.dtype == labels.dtype == np.uint8


def test_half_hidden_behind_a_wall_is_half_in_sight():
    visible, labels = look(board(5, -2, 2, CAR), board(2.5, -2, 0, WALL))
    assert abs(visible[labels == CAR].astype(int) - 128).max() <= 3


def test_a_thing_hides_another_of_its_class():
    visible, labels = look(board(8, -4, 4, CAR), board(4, -2, 1, CAR))  # the nearer one hides 6 m of 8
    behind, before = np.unique(visible[labels == CAR])
    assert before == 255
    assert abs(int(behind) - 64) <= 3


def test_pieces_of_a_thing_have_its_number_and_another_thing_has_another():
    visible, numbers, labels = numbered(
        board(8, -4, 4, CAR), board(6, -0.5, 0.5, WALL), board(4, -1.7, -1, CAR)
    )
    cars = np.where(labels == CAR, numbers, 0)
    across = [int(number) for number, _ in itertools.groupby(cars[32]) if number]
    assert (
        len(across) == 4 and len(set(across)) == 2
    )  # the far car in three pieces, the near one in front of it
    assert sorted(map(across.count, set(across))) == [1, 3]
    assert not numbers[labels != CAR].any() and numbers.dtype == np.uint16


def test_the_far_side_of_a_thing_hides_nothing():
    soup = shapes.Soup()
    soup.add(shapes.box(4, 8, -1, 1, -1, 1), CAR, (0.5, 0.5, 0.5))
    soup.add(shapes.box(5, 7, -0.5, 0.5, 1, 2), CAR, (0.5, 0.5, 0.5))
    visible, labels = look(soup)
    assert (visible[labels == CAR] == 255).all()


def test_a_sign_does_not_hide_its_own_post():
    sign = board(5, -1, 1, SIGN)
    sign.add(shapes.tubes((5.2, 0, -4), (5.2, 0, 3), 0.4), POLE, (0.5, 0.5, 0.5))
    visible, labels = look(sign)
    assert (labels == POLE).any() and (labels == SIGN).any()
    assert (visible[(labels == POLE) | (labels == SIGN)] == 255).all()


def test_plate_and_post_are_in_sight_apart():
    sign = board(5, -1, 1, SIGN)
    sign.add(shapes.tubes((5.2, 0, -4), (5.2, 0, -1), 0.4), POLE, (0.5, 0.5, 0.5))
    visible, labels = look(sign, board(2.5, -2, 0, WALL))
    assert abs(visible[labels == SIGN].astype(int) - 128).max() <= 3
    # A wall across the view hides all of the plate, and of the post what is above -2.08 m: 1.08 m of 3 m.
    visible, labels = look(sign, board(2.5, -9, 9, WALL))
    assert not (labels == SIGN).any()
    assert abs(visible[labels == POLE].astype(int) - 255 * 1.92 / 3).max() < 8


def test_what_the_picture_cuts_off_does_not_count():
    visible, labels = look(board(5, 3, 20, CAR))
    assert (labels == CAR).any()
    assert (visible[labels == CAR] == 255).all()


def test_what_is_hardly_in_sight_is_not_out_of_sight():
    gap = shapes.Soup()
    gap.add(shapes.sheet((2.4, 2.2, -1), (0, 0.5, 0), (0, 0, 1.3)), WALL, (0.5, 0.5, 0.5))
    visible, labels = look(board(5, -5, 5, CAR), board(2.5, -2.5, 2.48, WALL), gap, size=256)
    assert (labels == CAR).any()
    assert (visible[labels == CAR] == 1).all()


def test_a_fence_hides_what_its_wires_cover():
    visible, labels = look(board(5, -2, 2, PERSON), board(3, -3, 3, FENCE, materials.CHAIN))
    seen = visible[labels == PERSON]
    assert len(np.unique(seen)) == 1
    assert 100 < seen[0] < 230


def test_the_share_is_that_of_each_thing_rendered_alone():
    """Compare with the simple way: one scene per thing, all rays."""
    scene = streets.draw("test", 3)[0].scene()
    visible, _, labels = in_sight(scene, SIZE)
    rays = tracing.camera_rays(scene.camera, SIZE)
    hit = tracing.Tracer(scene).cast(*rays)[0]
    things = np.isin(scene.labels, [CAR, PERSON, POLE, SIGN])
    expected = set()
    for one in np.unique(scene.objects[things & (np.bincount(hit[hit >= 0], minlength=len(things)) > 0)]):
        mine = np.flatnonzero(scene.objects == one)
        parts = {
            name: getattr(scene, name)[mine]
            for name in ("flat", "world", "labels", "colours", "materials", "seeds", "objects")
        }
        alone = tracing.Tracer(replace(scene, **parts)).cast(*rays)[0]
        for label in np.unique(scene.labels[mine]):
            here = (scene.objects == one) & (scene.labels == label)
            would = (scene.labels[mine][alone[alone >= 0]] == label).sum()
            if would:
                share = here[hit[hit >= 0]].sum() / would
                expected.add(int(np.clip(round(255 * share), 1, 255)))
    found = np.unique(visible[visible > 0])
    assert len(found) > 10
    assert {int(v) for v in found} <= expected
    assert np.array_equal(labels, streets.render_scene("test", 3, SIZE)[1])
    assert np.array_equal(visible > 0, np.isin(labels, [CAR, PERSON, POLE, SIGN]))


# ---- other conditions


@pytest.fixture(scope="module")
def clean():
    """The first test scenes: images (4, 64, 64, 3) and labels (4, 64, 64)."""
    return streets.render("test", COUNT, SIZE, processes=1, progress=False)


@pytest.fixture(scope="module")
def changed():
    """Images and labels of the same scenes, by kind of shift that does not change the street."""
    kinds = [kind for kind in shifts.KINDS if kind != "occlusion"]
    scenes = {kind: [shifts.render_shifted(kind, i, SIZE) for i in range(COUNT)] for kind in kinds}
    return {
        kind: tuple(np.stack(arrays) for arrays in zip(*pairs, strict=True)) for kind, pairs in scenes.items()
    }


@pytest.mark.parametrize("kind", ["fog", "night", "noise"])
def test_light_air_and_sensor_change_every_picture_and_no_label(kind, clean, changed):
    images, labels = changed[kind]
    assert images.shape == clean[0].shape and images.dtype == labels.dtype == np.uint8
    assert np.array_equal(labels, clean[1])
    apart = np.abs(images.astype(int) - clean[0]).mean((1, 2, 3))
    assert (apart > 12).all()
    # The image still has contrast.
    assert (images.std((1, 2, 3)) > 12).all()


def test_fog_takes_the_contrast_of_what_is_far(clean, changed):
    """Compare rows above and below the horizon, where the street ends."""
    middle = slice(SIZE * 3 // 8, SIZE // 2)
    contrast = [images[:, middle].std((1, 2, 3)).mean() for images in (clean[0], changed["fog"][0])]
    assert contrast[1] < 0.6 * contrast[0]


def test_night_is_dark_with_lights_in_it(clean, changed):
    day, night = clean[0].mean(-1), changed["night"][0].mean(-1)
    assert night.mean() < 0.6 * day.mean()
    assert ((night.mean((1, 2)) > 25) & (night.mean((1, 2)) < 100)).all()
    assert (night.max((1, 2)) > 200).all()


def test_street_lamps_are_lit_and_parked_cars_are_not():
    street = streets.draw("test", 0)[0]
    scene = street.scene()
    lit = light_lamps(scene, street.road)
    lanterns = scene.materials == materials.LANTERN
    assert lanterns.any() and (scene.labels[lanterns] == POLE).all()
    assert (lit.materials[lanterns] == materials.LAMP).all() and (lit.seeds[lanterns] > 1).all()
    lamps = (scene.materials == materials.LAMP) & (scene.labels == CAR)
    beside = np.abs(scene.flat.mean(1)[:, 1]) > street.road.half + 1
    beside &= np.abs(scene.flat.mean(1)[:, 0] - (street.road.junction or 1e9)) > street.road.crossing
    assert (lit.seeds[lamps & beside] < 0.1).all()
    others = ~lanterns & ~lamps
    assert np.array_equal(lit.seeds[others], scene.seeds[others])
    assert np.array_equal(lit.labels, scene.labels)


def test_a_street_lamp_lights_the_ground_below_it_but_not_behind_a_wall():
    street = streets.draw("test", 0)[0]
    soup = shapes.Soup()
    soup.add(shapes.sheet((-50, -50, 0), (100, 0, 0), (0, 100, 0)), ROAD, (0.5, 0.5, 0.5))
    soup.put(structures.lamp_post(np.random.default_rng(0), 1), 20.0, 20.0)
    soup.put(board(0, -20, 20, WALL), 22.0, 20.0, 1.0)
    tracer = shifts.NightTracer(replace(street, near=soup, line=shapes.Centreline()))
    place = np.array([[17.5, 20, 0.01], [22.5, 20, 0.01], [-20, -20, 0.01]], np.float32)
    up = np.tile(np.float32((0, 0, 1)), (3, 1))
    light = tracer.sunlight(place, up, np.random.default_rng(0))
    assert light[0] > 0.2
    assert light[0] > 20 * light[1] and light[0] > 20 * light[2]


def test_noise_is_no_blur_and_no_tint():
    grey = np.full((200, 200, 3), 128, np.uint8)
    seen = noisy(grey, np.random.default_rng(0)).astype(float)
    assert seen.std() > 15
    light = (seen / 255) ** 2.2
    assert np.allclose(light.mean((0, 1)), (128 / 255) ** 2.2, atol=0.005)
    assert abs(np.corrcoef(seen[:, :-1].ravel(), seen[:, 1:].ravel())[0, 1]) < 0.02
    dark, bright = (noisy(np.full_like(grey, v), np.random.default_rng(0)).std() for v in (40, 200))
    assert dark > bright  # after the tone curve


def test_clutter_hides_more_and_changes_the_truth_only_where_it_stands():
    new_share, before, after = [], [], []
    for index in range(COUNT):
        plain, fuller = (streets.draw("test", index)[0] for _ in range(2))
        clutter(fuller, streets.draw("test", index)[2])
        scenes = [street.scene() for street in (plain, fuller)]
        rays = tracing.camera_rays(scenes[0].camera, SIZE)
        hits = [tracing.Tracer(scene).cast(*rays)[0] for scene in scenes]
        labels = [np.where(hit < 0, 0, scene.labels[hit]) for hit, scene in zip(hits, scenes, strict=True)]
        new = (hits[1] >= 0) & (scenes[1].objects[hits[1]] > scenes[0].objects.max())
        assert np.array_equal(labels[0][~new], labels[1][~new])
        new_share.append(new.mean())
        # The visible share of each thing of the original scene, before and after.
        for found, scene in ((before, scenes[0]), (after, scenes[1])):
            visible, *_ = in_sight(scene, SIZE)
            found.append(visible[visible > 0].astype(float).mean())
    assert max(new_share) < 0.6
    assert np.mean(new_share) > 0.08
    assert np.mean(after) < np.mean(before)


def test_nothing_is_put_into_another_thing():
    street, _, change = streets.draw("test", 1)
    before = len(footprints(street.near))
    clutter(street, change)
    places = footprints(street.near)
    assert len(places) >= before + 4
    for number in range(before, len(places)):
        assert not overlaps(places[number], np.delete(places, number, 0))


def test_footprints_meet_or_do_not():
    places = np.array([[0.0, 0, 2, 2], [5, 5, 6, 6]])
    assert overlaps(np.array([1.0, 1, 3, 3]), places)
    assert not overlaps(np.array([2.5, 0, 4, 9]), places)
    assert not overlaps(np.array([1.0, 3, 5.5, 4]), places)


# ---- as data


@pytest.fixture
def few(monkeypatch):
    """Two test scenes rendered without worker processes, and the list of rendered scenes."""
    drawn = []
    original = shifts.render_shifted

    def render_shifted(kind, index, size):
        drawn.append((kind, index))
        return original(kind, index, size)

    monkeypatch.setattr(pool, "usable_cores", lambda: 1)
    monkeypatch.setattr(shifts, "render_shifted", render_shifted)
    return replace(PRESETS["smoke"], train=1, val=1, test=2), drawn


def test_shifted_scenes_are_rendered_once_for_all_views(few, tmp_path):
    preset, drawn = few
    plain, wrong, car = (open_data(name, preset) for name in VIEWS)
    fog = plain.shifted(tmp_path, "fog", 32)
    assert fog.images.shape == (2, 32, 32, 3) and fog.names == plain.names["test"]
    assert np.array_equal(wrong.shifted(tmp_path, "fog", 32).images, false_colours(fog.images))
    assert np.array_equal(car.shifted(tmp_path, "fog", 32).labels, cars_alone(fog.labels))
    assert np.array_equal(plain.shifted(tmp_path, "fog", 32).images, fog.images)
    assert drawn == [("fog", 0), ("fog", 1)]


def test_no_more_scenes_than_it_takes(few, tmp_path, monkeypatch):
    monkeypatch.setattr(shifts, "MOST", 1)
    assert len(open_data("streets", few[0]).shifted(tmp_path, "noise", 32)) == 1


def test_visibility_is_that_of_the_test_split_and_of_its_things(few, tmp_path):
    plain, car = (open_data(name, few[0]) for name in ("streets", "streets-car"))
    labels = plain.split(tmp_path, "test", 32).labels
    visible, numbers = plain.visibility(tmp_path, 32)
    assert (visible.dtype, numbers.dtype) == (np.uint8, np.uint16)
    for array, cars in zip((visible, numbers), car.visibility(tmp_path, 32), strict=True):
        assert np.array_equal(array > 0, np.isin(labels, [CAR, PERSON, POLE, SIGN]))
        assert np.array_equal(cars, np.where(labels == CAR, array, 0))


def test_a_folder_has_no_streets_to_draw_again(dataset, few, tmp_path):
    data = open_data(str(dataset), few[0])
    assert data.shifted(tmp_path, "fog", 32) is None
    assert data.visibility(tmp_path, 32) == ()


def test_an_unknown_kind_lists_the_choices(few, tmp_path):
    with pytest.raises(
        ValueError, match="^kind: 'rain' is unknown; choose from fog, night, noise, occlusion$"
    ):
        open_data("streets", few[0]).shifted(tmp_path, "rain", 32)


def test_shifts_have_a_digest_of_their_own():
    assert shifts.digest() == shifts.digest() != streets.digest()


def test_processes_that_render_load_no_torch():
    code = "import sys, segnb.data.shifts; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
