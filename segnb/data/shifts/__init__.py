"""The test streets under other conditions, and how much of each thing on them is in sight.

    fog = shifted(data, cache, "fog", size=128)
    visible = visibility(data, cache, size=128)

The street of each test scene is drawn again and then seen in dense fog, by night, by a noisy sensor, or
with more things on it that stand in the way. Fog, night and noise leave the ground truth as it is; what
stands in the way changes it. Networks are tested on these scenes and never trained on them.

Files: conditions.py (fog, noise, night), clutter.py (what stands in the way), sight.py (what is in sight).
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segnb.data import streets
from segnb.data.batches import Split
from segnb.data.shifts.conditions import NightTracer, clutter, in_fog, in_sight, noisy
from segnb.data.streets.tracing import Tracer, take_picture
from segnb.runtime.pool import at_work
from segnb.storage.checksums import fingerprint
from segnb.storage.files import UNREADABLE, atomic, made_once

if TYPE_CHECKING:  # it loads torch, for which the processes that render have no use
    from segnb.data.batches import Split
    from segnb.data.dataset import Data

KINDS = ("fog", "night", "noise", "occlusion")
MOST = 120  # scenes of a kind; more would cost every run of a study more time in testing than they tell


def shifted(data: "Data", cache: Path, kind: str, size: int) -> "Split | None":
    """The first 120 test scenes of `data` (all, if it has fewer) under other conditions; None for a folder.

    kind: fog, night, noise or occlusion; size: pixels a side. Scene i shows the street of the clean test
    split's scene i. Rendered on the first call and kept in `cache`; may take a minute.
    Raises ValueError on an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: {kind!r} is unknown; choose from {', '.join(KINDS)}")
    if data.view is None:
        return None

    count = min(MOST, data.counts["test"])

    def render() -> dict[str, np.ndarray]:
        jobs = [(kind, index, size) for index in range(count)]
        images, labels = zip(*_all_of(render_shifted, jobs, f"test scenes, {kind}"), strict=True)
        return {"images": np.stack(images), "labels": np.stack(labels)}

    arrays = _kept(cache, f"{kind}-{count}", size, render)
    images, labels = data.view.images(arrays["images"]), data.view.labels(arrays["labels"])
    return Split(images, labels, data.names["test"][:count])


def visibility(data: "Data", cache: Path, size: int) -> np.ndarray | None:
    """How much of the thing that a pixel shows is in sight, uint8 (N, size, size); None for a folder.

    For each pixel of a thing in the clean test split: the share of the object's silhouette that nothing
    hides, times 255, at least 1; 0 at all other pixels. Of a sign on its post, plate and post count
    apart, as they do in the labels. Only what lies within the picture counts: a car that is cut off by its
    edge and otherwise free has 255. Rendered on the first call and kept in `cache`.
    """
    if data.view is None:
        return None
    count = data.counts["test"]

    def render() -> dict[str, np.ndarray]:
        jobs = [(index, size) for index in range(count)]
        pairs = _all_of(render_visibility, jobs, "what is in sight")
        visible, labels = (np.stack(arrays) for arrays in zip(*pairs, strict=True))
        return {"visible": visible, "labels": labels}

    arrays = _kept(cache, f"visibility-{count}", size, render)
    things = [data.classes.id(name) for name in data.classes.things]
    return np.where(np.isin(data.view.labels(arrays["labels"]), things), arrays["visible"], 0)


def _all_of(task: Callable, jobs: list[tuple], title: str) -> list:
    with at_work(task, jobs, title) as results:
        return list(results)


def _kept(cache: Path, name: str, size: int, make: Callable[[], dict[str, np.ndarray]]) -> dict:
    """The arrays of that name, made on the first call. They are those of the plain streets: a scene is the
    same whatever the preset, and its views are made from it."""
    path = cache / f"shifts-{digest()}" / str(size) / f"{name}.npz"

    def write() -> None:
        with atomic(path) as file:
            np.savez(file, **make())

    return made_once(path.parent / f".{name}.lock", read=lambda: _read(path), make=write)


def _read(path: Path) -> dict[str, np.ndarray] | None:
    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except UNREADABLE:
        return None


def digest() -> str:
    """16 hex digits that change when a shifted scene might."""
    sources = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))]
    return fingerprint(sources, [streets.digest()])


def render_shifted(kind: str, index: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Test scene `index` under other conditions: image uint8 (size, size, 3), labels uint8 (size, size)."""
    street, sensor, change = streets.draw("test", index)
    if kind == "fog":
        return take_picture(Tracer(in_fog(street, change).scene()), size, sensor)
    if kind == "night":
        return take_picture(NightTracer(street), size, sensor)
    if kind == "occlusion":
        clutter(street, change)
        return take_picture(Tracer(street.scene()), size, sensor)
    image, labels = take_picture(Tracer(street.scene()), size, sensor)
    return noisy(image, change), labels


def render_visibility(index: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """What is in sight in test scene `index`, and its labels; both uint8 (size, size)."""
    return in_sight(streets.draw("test", index)[0].scene(), size)
