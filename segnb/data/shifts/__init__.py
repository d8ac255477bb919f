"""The test streets under other conditions, and how much of each thing on them is in sight.

    images, labels = shifted(120, cache, "fog", size=128)
    visible, numbers, labels = visibility(120, cache, size=128)

The street of each test scene is drawn again and then seen in dense fog, by night, by a noisy sensor, or
with more things on it that stand in the way. Fog, night and noise leave the ground truth as it is; what
stands in the way changes it. Networks are tested on these scenes and never trained on them.

`segnb.data.dataset.Data` shows them in its own view. Nothing here loads torch, for which the processes that
render have no use. File: conditions.py (fog, noise, night, what stands in the way, what is in sight).
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
MOST = 120  # scenes of a kind; more would cost every run of a study more time in testing than they tell

Arrays = tuple[np.ndarray, ...]


def shifted(count: int, cache: Path, kind: str, size: int) -> Arrays:
    """Return the first test scenes under other conditions.

    Args:
        count: how many; scene i shows the street of the clean test split's scene i
        cache: where they are kept; they are rendered on the first call, which may take a minute
        kind: one of `KINDS`
        size: pixels a side

    Returns:
        Images, uint8 (count, size, size, 3), and labels, uint8 (count, size, size).

    Raises:
        ValueError: for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: {kind!r} is unknown; choose from {', '.join(KINDS)}")
    jobs = [(kind, index, size) for index in range(count)]
    path = _folder(cache, size) / f"{kind}-{count}.npz"
    return _made_once(path, f"test scenes, {kind}", render_shifted, jobs)


def visibility(count: int, cache: Path, size: int) -> Arrays:
    """Return how much of the thing at a pixel is in sight, which thing it is, and the labels.

    uint8, uint16 and uint8 (count, size, size). For each pixel of a thing in the clean test split: the share
    of the object's silhouette that nothing hides, times 255, at least 1, and its number in the scene; 0 at
    all other pixels. Of a sign on its post, plate and post count apart, as they do in the labels. Only what
    lies within the picture counts: a car that its edge cuts off has 255 if nothing else hides it. Rendered on
    the first call and kept in `cache`.
    """
    jobs = [(index, size) for index in range(count)]
    path = _folder(cache, size) / f"visibility-{count}.npz"
    return _made_once(path, "what is in sight", render_visibility, jobs)


def _folder(cache: Path, size: int) -> Path:
    return cache / f"shifts-{digest()}" / str(size)  # the same for all presets and views of the streets


def _made_once(path: Path, title: str, task: Callable, jobs: list[tuple]) -> Arrays:
    """Return the arrays that `task` gives for all jobs, stacked; rendered on the first call."""

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
    """16 hex digits that change when a shifted scene might."""
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
    """Render what is in sight in test scene `index`, see `in_sight`; each (size, size)."""
    return in_sight(streets.draw("test", index)[0].scene(), size)
