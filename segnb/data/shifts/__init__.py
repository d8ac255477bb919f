"""Test scenes under other conditions, and the visible share of each object in the test scenes.

    images, labels = shifted(120, cache, "fog", size=128)
    visible, numbers, labels = visibility(120, cache, size=128)

Each test scene is drawn again in dense fog, at night, with a noisy sensor, or with additional objects that
occlude others. Fog, night and noise do not change the ground truth; occlusion does. Networks are tested on
these scenes and never trained on them.

`segnb.data.dataset.Data` applies its view to them. Nothing here imports torch, which rendering processes do
not need. File: conditions.py (fog, noise, night, occlusion, visibility).
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from segnb.data import streets
from segnb.data.shifts.conditions import NightTracer, clutter, in_fog, in_sight, noisy
from segnb.data.streets.tracing import Tracer, take_picture
from segnb.runtime.pool import at_work
from segnb.storage.checksums import fingerprint
from segnb.storage.files import UNREADABLE, atomic, made_once

KINDS = ("fog", "night", "noise", "occlusion")
MOST = 120  # scenes per kind; more would lengthen the evaluation of every run for little information

Arrays = tuple[np.ndarray, ...]


def shifted(count: int, cache: Path, kind: str, size: int) -> Arrays:
    """Return the first test scenes under other conditions.

    Args:
        count: number of scenes; scene i shows the street of scene i of the test split
        cache: folder of the rendered scenes; the first call renders them, which may take a minute
        kind: one of `KINDS`
        size: pixels per side

    Returns:
        Images, uint8 (count, size, size, 3), and labels, uint8 (count, size, size).

    Raises:
        ValueError: for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: {kind!r} is unknown; choose from {', '.join(KINDS)}")
    jobs = [(kind, index, size) for index in range(count)]
    return _made_once(cache, size, f"{kind}-{count}", f"test scenes, {kind}", render_shifted, jobs)


def visibility(count: int, cache: Path, size: int) -> Arrays:
    """Return the visible share and the number of the object at each pixel of the test split, and the labels.

    The visible share is the part of an object's silhouette that nothing hides. Plate and post of a sign have
    separate shares, as they have separate labels. Only the part of an object inside the image counts, so a
    car that is cut off by the edge of the image and otherwise free has 255. The first call renders the scenes
    and keeps them in `cache`.

    Returns:
        The share × 255, uint8, which is at least 1 at pixels of things; the object's number in its scene,
        uint16; and the labels, uint8; each (count, size, size). Share and number are 0 at other pixels.
    """
    jobs = [(index, size) for index in range(count)]
    return _made_once(cache, size, f"visibility-{count}", "what is in sight", render_visibility, jobs)


def _made_once(cache: Path, size: int, name: str, title: str, task: Callable, jobs: list[tuple]) -> Arrays:
    """Return the stacked arrays of `task` for all jobs, which the first call renders."""
    path = cache / f"shifts-{digest()}" / str(size) / f"{name}.npz"  # presets and views share it

    def read() -> Arrays | None:
        try:
            with np.load(path) as arrays:
                return tuple(arrays[name] for name in arrays.files)
        except UNREADABLE:
            return None

    def make() -> None:
        with at_work(task, jobs, title) as results, atomic(path) as file:
            np.savez(file, *map(np.stack, zip(*results, strict=True)))

    return made_once(path.parent / f".{path.stem}.lock", read, make)


def digest() -> str:
    """Return 16 hex digits that change whenever a shifted scene might change."""
    sources = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))]
    return fingerprint(sources, [streets.digest()])


def render_shifted(kind: str, index: int, size: int) -> Arrays:
    """Render test scene `index` under other conditions.

    Returns:
        Image, uint8 (size, size, 3), and labels, uint8 (size, size).
    """
    street, sensor, change = streets.draw("test", index)
    if kind == "night":
        return take_picture(NightTracer(street), size, sensor)
    if kind == "fog":
        street = in_fog(street, change)
    if kind == "occlusion":
        clutter(street, change)
    image, labels = take_picture(Tracer(street.scene()), size, sensor)
    return noisy(image, change) if kind == "noise" else image, labels


def render_visibility(index: int, size: int) -> Arrays:
    """Render visible shares, object numbers and labels of test scene `index`, see `in_sight`."""
    return in_sight(streets.draw("test", index)[0].scene(), size)
