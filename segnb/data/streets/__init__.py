"""Procedural street scenes with exact masks of the thirteen classes.

    image, mask = render_scene("train", 0, size=256)
    images, masks = render("train", count=300, size=128)

A scene is a function of (split, index) alone: the same on every machine with the same package versions,
whatever the order, the process count or the other scenes. Its size changes the resolution, not the street.

Files: shapes.py (triangles) -> objects.py and structures.py (things) -> scene.py and roadside.py (a street);
materials.py (textures) and tracing.py (rays, light, lens) turn it into a picture.
"""

import importlib.metadata
from pathlib import Path

import numpy as np

from segnb.data.streets import objects, scene
from segnb.data.streets.roadside import build_plots, drive_cars, furnish_pavement
from segnb.data.streets.shapes import Centreline, Soup
from segnb.data.streets.tracing import Tracer, take_picture
from segnb.labels import STREET
from segnb.runtime.pool import at_work
from segnb.storage.checksums import fingerprint

SPLITS = ("train", "val", "test")
SMALLEST = 32
VERSION = 1  # first word of every scene's seed


def check(split: str, size: int) -> None:
    """ValueError in one line if there is no such split or the size is not a whole number >= 32."""
    if split not in SPLITS:
        raise ValueError(f"split: {split!r} is unknown; choose from {', '.join(SPLITS)}")
    if size != int(size) or size < SMALLEST:
        raise ValueError(f"size: {size} pixels will not do; choose a whole number of at least {SMALLEST}")


def render_scene(split: str, index: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """One scene: image uint8 (size, size, 3) RGB and labels uint8 (size, size), ids 0..12.

    split: train, val or test, which never share a scene; index: 0, 1, ...; size: pixels, at least 32.
    Raises ValueError on an unknown split, a negative index or a size below 32.
    """
    check(split, size)
    street, sensor, _ = draw(split, index)
    return take_picture(Tracer(street.scene()), int(size), sensor)


def draw(split: str, index: int) -> tuple[scene.Street, np.random.Generator, np.random.Generator]:
    """The street of a scene, the generator of its picture, and a third one for whatever is done to it.

    Raises ValueError on a negative index.
    """
    if index < 0:
        raise ValueError(f"index: {index} is negative; scenes are numbered from 0")
    seed = np.random.SeedSequence([VERSION, SPLITS.index(split), index])
    # Streams apart, so that the number of rays (the size) cannot change the street.
    street, sensor, change = (np.random.default_rng(s) for s in seed.spawn(3))
    return draw_street(street), sensor, change


def draw_street(rng) -> scene.Street:
    """One random street. All randomness comes from `rng`, a numpy Generator."""
    weather, road = scene.draw_weather(rng), scene.draw_road(rng)
    camera = scene.draw_camera(rng, road)
    street, far = Soup(), Soup()
    scene.lay_ground(rng, street, road)
    scene.mark_road(rng, street, road)
    drive_cars(rng, street, road, weather.lights_on)
    furnish_pavement(rng, street, road)
    build_plots(rng, street, road)
    if rng.random() < 0.9:
        # The picture's lowest tenth or so shows the bonnet, whatever the lens.
        rim = rng.uniform(0.54, 0.78) * np.tan(camera.field_of_view / 2) * camera.squeeze
        own = objects.bonnet(rng, camera.position[2], np.arctan(rim) - camera.pitch)
        street.put(own, 0.0, camera.position[1], heading=camera.yaw)
    scene.frame_horizon(rng, far)
    curves = rng.normal(0, 1 / 180, 2) if rng.random() < 0.6 else (0.0, 0.0)
    rise = rng.uniform(0, 0.0006) if rng.random() < 0.3 else 0.0
    line = Centreline(np.clip(curves, -1 / 90, 1 / 90), (8.0, rng.uniform(30, 60), 100.0), rise)
    return scene.Street(road, weather, camera, street, far, line)


def render(
    split: str, count: int, size: int, processes: int | None = None, progress: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Scenes 0..count-1 of a split: images uint8 (count, size, size, 3), labels uint8 (count, size, size).

    processes: worker processes of one thread each, by default one a usable core; the result does not
    depend on it. progress: a bar on a terminal, a line every tenth of the way elsewhere.
    Raises ValueError on an unknown split, a count or processes below 1, or a size below 32, and SegnbError
    if a worker process dies.
    """
    check(split, size)
    if count < 1:
        raise ValueError(f"count: {count} scenes cannot be rendered; ask for at least 1")
    images = np.empty((count, size, size, 3), np.uint8)
    labels = np.empty((count, size, size), np.uint8)
    jobs = [(split, index, size) for index in range(count)]
    with at_work(render_scene, jobs, f"{split} scenes", processes, progress) as scenes:
        for i, (image, mask) in enumerate(scenes):
            images[i], labels[i] = image, mask
    return images, labels


def digest() -> str:
    """16 hex digits that change when a scene might: this package's code, the class names and the versions
    of numpy, trimesh and embreex. The size is not in it. Serves as the key of caches."""
    sources = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "trimesh", "embreex")]
    return fingerprint(sources, versions + list(STREET.names))
