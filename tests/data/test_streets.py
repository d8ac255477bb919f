"""Street scenes: reproducible, with exact masks, and with all thirteen classes."""

import subprocess
import sys

import numpy as np
import pytest

from segnb.data import streets
from segnb.data.streets import materials, objects, shapes, tracing
from segnb.data.streets.scene import Scene
from segnb.labels import STREET

FENCE, WALL = STREET.id("Fence"), STREET.id("Wall")
SIZE, COUNT = 64, 24


@pytest.fixture(scope="module")
def sample():
    """The first train scenes: images (24, 64, 64, 3) and labels (24, 64, 64)."""
    return streets.render("train", COUNT, SIZE, processes=1, progress=False)


@pytest.fixture(scope="module")
def pixels(sample):
    """Number of pixels per scene and class, (24, 13)."""
    return np.stack([np.bincount(mask.ravel(), minlength=len(STREET)) for mask in sample[1]])


def test_shapes_types_and_ids(sample):
    images, labels = sample
    assert images.shape == (COUNT, SIZE, SIZE, 3) and images.dtype == np.uint8
    assert labels.shape == (COUNT, SIZE, SIZE) and labels.dtype == np.uint8
    assert labels.max() < len(STREET)


def test_the_same_scene_twice_is_the_same_whatever_came_between(sample):
    image, mask = streets.render_scene("train", 5, SIZE)
    assert np.array_equal(image, sample[0][5])
    assert np.array_equal(mask, sample[1][5])


def test_processes_do_not_change_the_result(sample):
    images, labels = streets.render("train", 3, SIZE, processes=2, progress=False)
    assert np.array_equal(images, sample[0][:3])
    assert np.array_equal(labels, sample[1][:3])


def test_splits_and_indices_are_different_scenes():
    masks = [streets.render_scene(split, index, 48)[1] for split in streets.SPLITS for index in (0, 1)]
    for i, a in enumerate(masks):
        for b in masks[:i]:
            assert (a != b).mean() > 0.05


def test_size_changes_the_resolution_and_not_the_street():
    for index in range(3):
        small, large = (streets.render_scene("train", index, size)[1] for size in (64, 128))
        # Compare each small pixel with the four large ones that it covers: they differ only along edges.
        same = (large == small.repeat(2, 0).repeat(2, 1)).mean()
        assert same > 0.88
        shares = [np.bincount(m.ravel(), minlength=len(STREET)) / m.size for m in (small, large)]
        assert np.abs(shares[0] - shares[1]).max() < 0.02


def test_every_class_occurs_and_thin_ones_often_enough(pixels):
    present = (pixels >= 5).mean(0)
    assert (pixels.sum(0) > 0).all()
    for name in ("Unlabeled", "Road", "Car", "Roadline", "Vegetation"):
        assert present[STREET.id(name)] >= 0.9, name
    for name in (*STREET.thin, "Other", "Sidewalk", "Building"):
        assert present[STREET.id(name)] >= 0.6, name
    assert present[STREET.id("Wall")] >= 0.4


@pytest.mark.parametrize(
    "name, least, most",
    [
        ("Unlabeled", 22, 42), ("Building", 3, 14), ("Fence", 0.6, 4), ("Other", 0.4, 3),
        ("Pedestrian", 0.25, 2), ("Pole", 0.6, 3), ("Roadline", 0.6, 3), ("Road", 14, 30),
        ("Sidewalk", 3, 13), ("Vegetation", 5, 19), ("Car", 10, 24), ("Wall", 0.4, 4),
        ("Traffic sign", 0.15, 1.5),
    ],
)  # fmt: skip
def test_class_shares_are_near_the_real_set(pixels, name, least, most):
    percent = 100 * pixels[:, STREET.id(name)].sum() / pixels.sum()
    assert least < percent < most


def test_pictures_are_exposed_and_show_what_the_mask_says(sample):
    images, labels = sample
    assert ((images.mean((1, 2, 3)) > 40) & (images.mean((1, 2, 3)) < 200)).all()
    assert (images.std((1, 2, 3)) > 15).all()
    # Colours change where labels change, unless the mask is shifted against its image.
    grey = images.astype(float).mean(-1)
    jump = np.abs(np.diff(grey, axis=2))
    border = np.diff(labels.astype(int), axis=2) != 0
    aligned = jump[border].mean()
    shifted = jump[np.roll(border, 3, axis=2)].mean()
    assert aligned > 1.5 * shifted
    assert aligned > 2 * jump[~border].mean()


def test_what_is_put_in_at_once_is_one_object():
    wheel, car, street = (shapes.Soup() for _ in range(3))
    wheel.add(shapes.ball((0, 0, 0), 1, 0), 10, (0, 0, 0))
    car.put(wheel)
    car.put(wheel, x=3)
    street.add(shapes.sheet((0, 0, 0), (1, 0, 0), (0, 1, 0)), 7, (0, 0, 0))
    street.put(car)
    street.put(car, x=9)
    street.add(shapes.sheet((0, 0, 0), (1, 0, 0), (0, 1, 0)), 7, (0, 0, 0))
    assert street.arrays()[-1].tolist() == [0] * 2 + [1] * 40 + [2] * 40 + [0] * 2


def test_things_are_objects_of_their_own_and_grounds_are_none():
    scene = streets.draw("train", 0)[0].scene()
    things = np.isin(scene.labels, [STREET.id(name) for name in STREET.things])
    assert (scene.objects[things] > 0).all()
    ground = np.isin(scene.labels, [STREET.id(name) for name in ("Road", "Roadline", "Sidewalk")])
    assert (scene.objects[ground] == 0).all()
    for one in np.unique(scene.objects[things]):
        corners = scene.flat[scene.objects == one].reshape(-1, 3)
        assert (np.ptp(corners, axis=0) < 13).all()  # nothing on a street is larger than a lorry


def test_what_is_put_in_later_leaves_the_rest_as_it_was():
    plain, more = (streets.draw("train", 1)[0] for _ in range(2))
    more.near.put(objects.person(np.random.default_rng(0)), 9.0, 0.0)
    before, after = plain.scene(), more.scene()
    new = after.objects > before.objects.max()
    assert set(after.labels[new]) == {STREET.id("Pedestrian")}
    for name in ("flat", "world", "labels", "colours", "materials", "seeds", "objects"):
        assert np.array_equal(getattr(before, name), getattr(after, name)[~new]), name


@pytest.mark.parametrize("name", ["CHAIN", "BARS"])
def test_rays_pass_between_the_wires_of_a_fence(name):
    """A fence 5 m away in front of a wall 8 m away: some rays hit the wire, the others the wall."""
    scene = streets.draw_street(np.random.default_rng(0))
    soup = shapes.Soup()
    soup.add(shapes.sheet((5, -4, -4), (0, 8, 0), (0, 0, 8)), FENCE, (1, 1, 1), getattr(materials, name), 0.5)
    soup.add(shapes.sheet((8, -9, -9), (0, 18, 0), (0, 0, 18)), WALL, (1, 1, 1))
    triangles, *attributes = soup.arrays()
    tracer = tracing.Tracer(Scene(triangles, triangles, *attributes, scene.weather, scene.camera))
    rng = np.random.default_rng(1)
    rays = np.concatenate([np.ones((4000, 1)), rng.uniform(-0.5, 0.5, (4000, 2))], 1).astype(np.float32)
    _, labels, distance = tracer.radiance(np.zeros_like(rays), rays, rng)
    assert set(np.unique(labels)) == {FENCE, WALL}
    assert 0.1 < (labels == FENCE).mean() < 0.6
    assert np.allclose(distance, np.where(labels == FENCE, 5, 8), atol=0.01)


def test_far_fences_close_up():
    u, v = np.random.default_rng(0).uniform(0, 3, (2, 9000))
    material, seed, point = np.full(9000, materials.CHAIN), np.full(9000, 0.5), np.zeros((9000, 3))
    near, far = (materials.is_hole(material, seed, point, u, v, np.full(9000, d)).mean() for d in (5.0, 90.0))
    assert near > 0.5
    assert far < 0.1


def test_most_rays_name_the_pixel_and_the_nearest_hit_settles_a_tie():
    labels = np.array([[7, 7, 7, 5], [7, 7, 5, 5], [0, 5, 7, 7]], np.uint8)
    distance = np.array([[9, 9, 9, 2], [9, 9, 2, 2], [np.inf, 1, 8, 8]], np.float32)
    assert tracing.majority(labels, distance).tolist() == [7, 5, 7]


def test_digest_is_stable_and_follows_code_but_not_comments():
    assert streets.digest() == streets.digest()
    assert len(streets.digest()) == 16 and int(streets.digest(), 16) >= 0
    base = streets.fingerprint(["def f():\n    return 1\n"], ["numpy 2"])
    remark = 'def f():\n    """Says one."""\n    # one\n    return 1\n'
    assert streets.fingerprint([remark], ["numpy 2"]) == base
    assert streets.fingerprint(["def f():\n    return 2\n"], ["numpy 2"]) != base
    assert streets.fingerprint(["def f():\n    return 1\n"], ["numpy 3"]) != base


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: streets.render_scene("training", 0, 64), "split"),
        (lambda: streets.render_scene("train", -1, 64), "index"),
        (lambda: streets.render_scene("train", 0, 31), "size"),
        (lambda: streets.render("train", 1, 64.0), "size"),
        (lambda: streets.render("train", 0, 64), "count"),
        (lambda: streets.render("train", 1, 64, processes=0), "processes"),
    ],
)
def test_bad_arguments_are_named_in_one_line(call, name):
    with pytest.raises(ValueError, match=f"^{name}[=:]") as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_dead_worker_is_an_error_and_no_endless_wait(tmp_path):
    """In a script without a main guard, each worker runs the script again and dies."""
    script = tmp_path / "script.py"
    script.write_text("from segnb.data import streets\nstreets.render('train', 4, 32, processes=2)\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "SegnbError: a process that renders scenes died" in done.stderr
