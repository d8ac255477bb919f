"""Procedural street scenes with exact masks of the thirteen classes.

    image, mask = render_scene("train", 0, size=256)
    images, masks = render("train", count=300, size=128)

A scene depends on (split, index) alone. With the same package versions it is the same on every machine, in
any order and with any number of processes. The size changes the resolution, not the street.

Files: shapes.py (triangles) -> objects.py and structures.py (things) -> scene.py and roadside.py (a street);
materials.py (textures) and tracing.py (rays, light, lens) turn it into an image.
"""

import importlib.metadata
from pathlib import Path

import numpy as np

from segnb.data.streets import scene
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
    """Raise ValueError if there is no such split, or if the size is not an integer of at least 32."""
    if split not in SPLITS:
        raise ValueError(f"split: {split!r} is unknown; choose from {', '.join(SPLITS)}")
    if size != int(size) or size < SMALLEST:
        raise ValueError(f"size: {size} pixels will not do; choose a whole number of at least {SMALLEST}")


def render_scene(split: str, index: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Render a scene.

    Args:
        split: train, val or test, which never share a scene
        index: 0, 1, …
        size: pixels per side, at least 32

    Returns:
        Image, uint8 (size, size, 3) RGB, and labels, uint8 (size, size) with ids 0 to 12.

    Raises:
        ValueError: for an unknown split, a negative index or a size below 32.
    """
    check(split, size)
    street, sensor, _ = draw(split, index)
    return take_picture(Tracer(street.scene()), int(size), sensor)


def draw(split: str, index: int) -> tuple[scene.Street, np.random.Generator, np.random.Generator]:
    """Draw the street of a scene; return it with one generator for its image and one for changes to it.

    Raises:
        ValueError: for a negative index.
    """
    if index < 0:
        raise ValueError(f"index: {index} is negative; scenes are numbered from 0")
    seed = np.random.SeedSequence([VERSION, SPLITS.index(split), index])
    # Separate streams, so that the number of rays (the size) does not change the street.
    street, sensor, change = (np.random.default_rng(s) for s in seed.spawn(3))
    return draw_street(street), sensor, change


def draw_street(rng) -> scene.Street:
    """Draw a random street. All randomness comes from `rng`, a numpy Generator."""
    weather, road = scene.draw_weather(rng), scene.draw_road(rng)
    camera = scene.draw_camera(rng, road)
    street, far = Soup(), Soup()
    scene.lay_ground(rng, street, road)
    scene.mark_road(rng, street, road)
    drive_cars(rng, street, road, weather.lights_on)
    furnish_pavement(rng, street, road)
    build_plots(rng, street, road)
    scene.add_own_car(rng, street, camera)
    scene.frame_horizon(rng, far)
    curves = rng.normal(0, 1 / 180, 2) if rng.random() < 0.6 else (0.0, 0.0)
    rise = rng.uniform(0, 0.0006) if rng.random() < 0.3 else 0.0
    line = Centreline(np.clip(curves, -1 / 90, 1 / 90), (8.0, rng.uniform(30, 60), 100.0), rise)
    return scene.Street(road, weather, camera, street, far, line)


def render(
    split: str, count: int, size: int, processes: int | None = None, progress: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Render scenes 0 to count - 1 of a split.

    Args:
        split: train, val or test
        count: number of scenes, at least 1
        size: pixels per side, at least 32
        processes: worker processes of one thread each (default: one per usable core); the result does not
            depend on it
        progress: whether to show a bar on a terminal, and a line per tenth of the scenes elsewhere

    Returns:
        Images, uint8 (count, size, size, 3), and labels, uint8 (count, size, size).

    Raises:
        ValueError: for an unknown split, a count or processes below 1, or a size below 32.
        SegnbError: if a worker process dies.
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
    """Return 16 hex digits that change whenever a scene might change; the key of caches.

    They cover the code of this package, the class names and the versions of numpy, trimesh and embreex, but
    not the size.
    """
    sources = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "trimesh", "embreex")]
    return fingerprint(sources, versions + list(STREET.names))
