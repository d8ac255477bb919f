"""Drives along rendered streets, with a moving camera and moving cars, at ten frames per second.

    frames = plan(240, 60, 200, interleaved=True)  # by split: (drive, number) of each frame
    for image, mask in render(frames["test"], size=128): ...

Frames of one drive show the same street, so a test frame next to training frames is hardly new. `plan` makes
two splits with the same test frames. In the *interleaved* split, training frames lie between test frames, as
they seem to in the study (`segnb.audit.scores`). In the split *by drive*, the same number of training frames
comes from other drives. The difference between a network's two scores is the effect of the leak.

A street consists of blocks from one crossing to the next. Each is built like a scene of `segnb.data.streets`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from math import ceil
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from segnb.data import streets
from segnb.data.streets import objects, scene
from segnb.data.streets.scene import BEHIND, Road, Scene
from segnb.data.streets.shapes import Centreline, Soup
from segnb.data.streets.tracing import Tracer, take_picture
from segnb.runtime.pool import at_work
from segnb.storage.checksums import fingerprint

RATE = 10  # frames per second, as in the Lyft-Udacity set
TENS = 10  # tens of frames per drive, at most: 100 frames, as in most drives of that set
# At this speed the class shares change by 1.1 points from one frame to the next and by 4.9 points in ten
# frames (half the sum over classes, ten drives at 64 px). In the Lyft-Udacity set they change by 1.0 and 5.0.
SPEEDS = (1.5, 4.5)  # metres per second
STREAM = len(streets.SPLITS)  # second word of a drive's seed, where a scene has the number of its split
SIGHT = 160.0  # metres ahead of the camera; cars farther away are not rendered

Frame = tuple[int, int]  # drive, and number of the frame in it


# ---- splits -----------------------------------------------------------------------------------------


def plan(train: int, val: int, test: int, interleaved: bool) -> dict[str, list[Frame]]:
    """Return the frames of each split, sorted. The test frames do not depend on `interleaved`.

    The rule fits the study's frames: numbers that end in 9 are for testing, and numbers that end in 0 to 3
    for training and validation. If fewer than four of these are needed per test frame, numbers that end in 3
    are dropped first, so the frames right after a test frame stay longest. Validation frames are evenly
    spaced among them.

    Args:
        train, val, test: the numbers of frames
        interleaved: whether training frames come from the drives of the test frames

    Returns:
        {split: (drive, number) of each frame}.
    """
    tens = max(test, ceil((train + val) / 4))
    drives = max(2, ceil(tens / TENS))
    starts = sorted((i % drives, 10 * (i // drives)) for i in range(tens))
    tested = [(drive, ten + 9) for drive, ten in _evenly(starts, test)]
    seen: list[Frame] = []
    for digit in range(4):
        seen += [(drive, ten + digit) for drive, ten in _evenly(starts, train + val - len(seen))]
    seen.sort()
    validated = _evenly(seen, val)
    trained = sorted(set(seen) - set(validated))
    if not interleaved:
        trained = [(drives + drive, number) for drive, number in trained]
        own = ceil(val * drives / (train + val))
        validated = _evenly([(2 * drives + drive, number) for drive, number in seen if drive < own], val)
    return {"train": trained, "val": validated, "test": tested}


def _evenly(items: list, count: int) -> list:
    """Return `count` evenly spaced items, or all items if there are fewer."""
    count = min(count, len(items))
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


def name(frame: Frame) -> str:
    """Return the name of a frame, which begins with its drive: "drive 007/0019"."""
    return f"drive {frame[0]:03}/{frame[1]:04}"


# ---- a drive ----------------------------------------------------------------------------------------------


@dataclass
class Drive:
    """A street that is built once, with the cars that move on it.

    Args:
        still: everything that does not move, and the camera at the first frame
        moving: the bonnet of the recording car and all cars in the lanes, at the first frame
        pull: metres that each triangle of `moving` travels per metre of the camera
        line: the centre line of the street
        speed: mean speed of the camera in metres per second
        phase: of the camera's changing speed, in radians
        seed: of the camera's sensor
    """

    still: Scene
    moving: Scene
    pull: np.ndarray
    line: Centreline
    speed: float
    phase: float
    seed: list[int]

    def way(self, number: int) -> float:
        """Return the metres that the camera has travelled at a frame, at 0.4 to 1.6 times the mean speed."""
        swing = np.sin(0.25 * np.pi * number / RATE + self.phase) - np.sin(self.phase)
        return self.speed * (number / RATE + 0.8 * swing)

    def scene(self, number: int) -> Scene:
        """Return the scene at a frame, with cars and camera in their places."""
        way, still, moving = self.way(number), self.still, self.moving
        start = still.camera
        place = start.position + (way, 0, 0)
        ahead = self.line.bend(place + (0.5, 0, 0)) - self.line.bend(place - (0.5, 0, 0))
        camera = replace(
            start,
            position=self.line.bend(place),
            yaw=start.yaw + np.arctan2(ahead[1], ahead[0]),
            pitch=start.pitch + np.arctan2(ahead[2], np.hypot(*ahead[:2])),
        )
        # Textures depend on `flat`, which does not move, so a car keeps its stains.
        moved = moving.flat + np.float32([1, 0, 0]) * (self.pull * np.float32(way))[:, None, None]
        ahead_of = moved[:, 0, 0] - place[0]
        there = np.flatnonzero((ahead_of > BEHIND) & (ahead_of < SIGHT))
        both = {
            part: np.concatenate([getattr(still, part), getattr(moving, part)[there]])
            for part in ("flat", "labels", "colours", "materials", "seeds", "objects")
        }
        world = np.concatenate([still.world, self.line.bend(moved[there])])
        return replace(still, world=world, camera=camera, **both)

    def picture(self, number: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Render a frame: image uint8 (size, size, 3) and labels uint8 (size, size)."""
        camera, frame = (np.random.default_rng([*self.seed, *which]) for which in ((0,), (1, number)))
        # Exposure, white balance and lens are drawn once per drive, sensor noise once per frame.
        sensor = SimpleNamespace(
            lognormal=camera.lognormal, uniform=camera.uniform, standard_normal=frame.standard_normal
        )
        return take_picture(Tracer(self.scene(number)), size, sensor)


def draw(index: int) -> Drive:
    """Draw a drive, which depends on its number alone.

    Raises:
        ValueError: for a negative number.
    """
    if index < 0:
        raise ValueError(f"index: {index} is negative; drives are numbered from 0")
    seed = [streets.VERSION, STREAM, index]
    rng = np.random.default_rng([*seed, 2])
    weather, road = scene.draw_weather(rng), scene.draw_road(rng)
    camera = scene.draw_camera(rng, road)
    camera.yaw = np.clip(camera.yaw, *np.radians((-6, 6)))
    speed, phase = rng.uniform(*SPEEDS), rng.uniform(0, 2 * np.pi)
    reach = speed * (TENS + 1.6)  # upper limit of `Drive.way`

    near, far, lanes = Soup(), Soup(), {lane: Soup() for lane in range(-road.lanes, road.lanes)}
    look, start = int(rng.integers(2**32)), 0.0
    while start < reach:
        corner = replace(road, junction=rng.uniform(16, 60), crossing=rng.uniform(3.4, 5.5))
        end = corner.junction + corner.crossing
        build_block(rng, look, corner, weather.lights_on, near, lanes, start, end)
        start += end - BEHIND
    build_block(rng, look, road, weather.lights_on, near, lanes, start, np.inf)
    curves = np.clip(rng.normal(0, 1 / 180, 2), -1 / 120, 1 / 120) * (rng.random() < 0.6)
    rise = rng.uniform(0, 0.0006) if rng.random() < 0.3 else 0.0
    line = Centreline(curves, (8.0, 30 + reach / 2, 60 + reach), rise)
    # The horizon does not move, so its distance grows with the length of the drive.
    scene.frame_horizon(rng, far)
    middle, wide = line.bend(np.array((reach / 2, 0.0, 0.0))) * (1, 1, 0), 1 + reach / 160
    far.parts = [(shape * wide + middle, *rest) for shape, *rest in far.parts]
    still = scene.Street(road, weather, camera, near, far, line).scene()

    # All cars of a lane have the same speed. Cars ahead are faster than the camera, so it hits none.
    cars, pull = Soup(), []
    for lane, traffic in lanes.items():
        its = rng.uniform(1.0, 1.15) if lane < 0 else -rng.uniform(0.7, 1.3)
        pull += [np.full(len(shape), its) for shape, *_ in traffic.parts]
        cars.parts += traffic.parts
    scene.add_own_car(rng, cars, camera)
    pull += [np.ones(len(shape)) for shape, *_ in cars.parts[len(pull) :]]
    flat, *attributes, numbers = cars.arrays()
    moving = Scene(flat, flat, *attributes, numbers + still.objects.max(), weather, camera)
    return Drive(still, moving, np.concatenate(pull), line, speed, phase, seed)


def build_block(
    rng, look: int, road: Road, lights: bool, near: Soup, lanes: dict[int, Soup], start: float, end: float
) -> None:
    """Build a block, add its traffic to `lanes` and everything else to `near`.

    Args:
        rng: generator of everything but the ground
        look: seed of the ground's colours and of the markings, which all blocks share
        road: its measures
        lights: whether cars have their lights on
        near: the street so far
        lanes: the traffic so far, by lane
        start: x of the block's origin, in metres
        end: length of the block, in metres
    """
    block = Soup()
    scene.lay_ground(np.random.default_rng(look), block, road)
    scene.mark_road(np.random.default_rng(look + 1), block, road)
    streets.drive_cars(rng, block, road, lights)
    streets.furnish_pavement(rng, block, road)
    streets.build_plots(rng, block, road)
    things: dict[object, list[np.ndarray]] = {}
    for shape, *_, one in block.parts:
        things.setdefault(one, []).append(shape.reshape(-1, 3))
    middle = {one: np.concatenate(shapes).mean(0) for one, shapes in things.items()}
    first = -np.inf if start == 0 else BEHIND
    for shape, label, *rest, one in block.parts:
        x, y, _ = middle[one]
        if one is None:  # the ground is cut at the end of the block
            shape = shape[(shape[..., 0].min(1) < end) & (shape[..., 0].max(1) > first)]
            shape = np.stack([np.clip(shape[..., 0], first, end), shape[..., 1], shape[..., 2]], -1)
        elif x > end + 1 or (label == objects.PEDESTRIAN and abs(y) < road.half):
            continue  # people in the road would be in the way of the cars
        traffic = lanes.get(int(np.floor(y / road.lane))) if label == objects.CAR else None
        (near if traffic is None else traffic).parts.append((shape + (start, 0, 0), label, *rest, one))


# ---- images ---------------------------------------------------------------------------------------------


def render_drive(index: int, numbers: list[int], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Render frames of one drive: images uint8 (n, size, size, 3) and labels uint8 (n, size, size)."""
    drive = draw(index)
    images, labels = zip(*(drive.picture(number, size) for number in numbers), strict=True)
    return np.stack(images), np.stack(labels)


def render(
    frames: list[Frame], size: int, title: str = "drives", processes: int | None = None, progress: bool = True
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the images and labels of sorted frames; a worker process renders whole drives.

    The other arguments are those of `streets.render`.
    """
    streets.check("test", size)
    drives = groupby(frames, key=lambda frame: frame[0])
    jobs = [(drive, [number for _, number in group], size) for drive, group in drives]
    with at_work(render_drive, jobs, title, processes, progress) as rendered:
        for images, labels in rendered:
            yield from zip(images, labels, strict=True)


def digest() -> str:
    """Return 16 hex digits that change whenever a frame might change."""
    return fingerprint([Path(__file__).read_text(encoding="utf-8")], [streets.digest()])
