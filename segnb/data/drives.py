"""Drives along rendered streets: a camera that moves, cars that move, ten frames a second.

    frames = plan(240, 60, 200, interleaved=True)  # by split: (drive, number) of each frame
    for image, mask in render(frames["test"], size=128): ...

Frames of one drive show the same street, so a test frame whose neighbours were trained on is hardly new.
`plan` gives two splits with the same test frames: *interleaved*, in which training frames lie between them,
as they seem to in the study (`segnb.audit.scores`), and *by drive*, in which they are as many frames of other
drives. What a network scores more in the first is what the leak is worth.

A street is made of blocks, each built as a scene of `segnb.data.streets` is, from one crossing to the next.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from math import ceil
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from segnb.data import streets
from segnb.data.streets import objects, roadside, scene
from segnb.data.streets.scene import BEHIND, Road, Scene
from segnb.data.streets.shapes import Centreline, Soup
from segnb.data.streets.tracing import Tracer, take_picture
from segnb.runtime.pool import at_work
from segnb.storage.checksums import fingerprint

RATE = 10  # frames a second, as in the Lyft-Udacity set
TENS = 10  # of frames in a drive, at most: a hundred frames, as most of that set's drives have
# At this pace the shares of the classes move by 1.1 points from one frame to the next and by 4.9 in ten
# frames (half the sum over classes, ten drives at 64 px); in the Lyft-Udacity set by 1.0 and 5.0.
SPEEDS = (1.5, 4.5)  # metres a second
STREAM = len(streets.SPLITS)  # second word of a drive's seed; a scene has its split's number there
SIGHT = 160.0  # metres ahead of the camera beyond which cars are left out

Frame = tuple[int, int]  # drive, and number in it


# ---- which frames -----------------------------------------------------------------------------------------


def plan(train: int, val: int, test: int, interleaved: bool) -> dict[str, list[Frame]]:
    """Return the frames of each split, sorted; the test frames are the same in both ways.

    By the rule that fits the study's frames, those whose number ends in 9 are tested on and those that end
    in 0 to 3 are for training and validation. Where fewer than four to a test frame are wanted, those that
    end in 3 go first: what follows a test frame stays longest. Every so many of them, in order, validate.
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
    """So many of the items, evenly spaced; all of them if there are no more."""
    count = min(count, len(items))
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


def name(frame: Frame) -> str:
    """The frame's name, which begins with its drive's: "drive 007/0019"."""
    return f"drive {frame[0]:03}/{frame[1]:04}"


# ---- a drive ----------------------------------------------------------------------------------------------


@dataclass
class Drive:
    """A street that is built once, and what moves on it.

    still:  what stands, before the first frame; its camera is that of the first frame
    moving: the recording car's bonnet and all cars in the lanes, where they are at the first frame
    pull:   metres that each triangle of `moving` goes for each metre of the camera
    line:   what the street follows
    speed:  metres a second, mean; phase: of the camera's slowing down and speeding up
    seed:   of what the camera's sensor does
    """

    still: Scene
    moving: Scene
    pull: np.ndarray
    line: Centreline
    speed: float
    phase: float
    seed: list[int]

    def way(self, number: int) -> float:
        """Metres that the camera has come at a frame; its speed goes from 0.4 to 1.6 times the mean."""
        swing = np.sin(0.25 * np.pi * number / RATE + self.phase) - np.sin(self.phase)
        return self.speed * (number / RATE + 0.8 * swing)

    def scene(self, number: int) -> Scene:
        """What there is to see at a frame: everything where it is by then, and the camera."""
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
        # Textures go by `flat`, which stays: a car takes its stains along.
        moved = moving.flat + np.float32([1, 0, 0]) * (self.pull * np.float32(way))[:, None, None]
        ahead_of = moved[:, 0, 0] - place[0]
        there = np.flatnonzero((ahead_of > BEHIND) & (ahead_of < SIGHT))
        both = {
            part: np.concatenate([getattr(still, part), getattr(moving, part)[there]])
            for part in ("flat", "labels", "colours", "materials", "seeds", "objects")
        }
        return Scene(
            world=np.concatenate([still.world, self.line.bend(moved[there])]),
            weather=still.weather,
            camera=camera,
            **both,
        )

    def picture(self, number: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 (size, size, 3) and labels uint8 (size, size) of a frame."""
        camera, frame = (np.random.default_rng([*self.seed, *which]) for which in ((0,), (1, number)))
        # Exposure, white balance and lens are the drive's; what falls on the sensor is new in each frame.
        sensor = SimpleNamespace(
            lognormal=camera.lognormal, uniform=camera.uniform, standard_normal=frame.standard_normal
        )
        return take_picture(Tracer(self.scene(number)), size, sensor)


def draw(index: int) -> Drive:
    """Draw a drive; it is a function of its number alone.

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
    reach = speed * (TENS + 1.6)  # the farthest that the camera may come, see `Drive.way`

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
    # The horizon stays where it is, so it has to stand farther off the longer the way is.
    scene.frame_horizon(rng, far)
    middle, wide = line.bend(np.array((reach / 2, 0.0, 0.0))) * (1, 1, 0), 1 + reach / 160
    far.parts = [(shape * wide + middle, *rest) for shape, *rest in far.parts]
    still = scene.Street(road, weather, camera, near, far, line).scene()

    # All cars of a lane alike; those ahead draw away, so that none is run into.
    cars, pull = Soup(), []
    for lane, traffic in lanes.items():
        its = rng.uniform(1.0, 1.15) if lane < 0 else -rng.uniform(0.7, 1.3)
        pull += [np.full(len(shape), its) for shape, *_ in traffic.parts]
        cars.parts += traffic.parts
    if rng.random() < 0.9:  # as in `streets.draw_street`
        rim = rng.uniform(0.54, 0.78) * np.tan(camera.field_of_view / 2) * camera.squeeze
        bonnet = objects.bonnet(rng, camera.position[2], np.arctan(rim) - camera.pitch)
        cars.put(bonnet, 0.0, camera.position[1], heading=camera.yaw)
        pull += [np.ones(len(shape)) for shape, *_ in bonnet.parts]
    flat, *attributes, numbers = cars.arrays()
    moving = Scene(flat, flat, *attributes, numbers + still.objects.max(), weather, camera)
    return Drive(still, moving, np.concatenate(pull), line, speed, phase, seed)


def build_block(
    rng, look: int, road: Road, lights: bool, near: Soup, lanes: dict[int, Soup], start: float, end: float
) -> None:
    """Build a street up to `end` of its own x; put it on `near` from `start` on, its traffic on `lanes`.

    look: seed of the ground's colours and of the markings, which all blocks share
    """
    block = Soup()
    scene.lay_ground(np.random.default_rng(look), block, road)
    scene.mark_road(np.random.default_rng(look + 1), block, road)
    roadside.drive_cars(rng, block, road, lights)
    roadside.furnish_pavement(rng, block, road)
    roadside.build_plots(rng, block, road)
    things: dict[object, list[np.ndarray]] = {}
    for shape, *_, one in block.parts:
        things.setdefault(one, []).append(shape.reshape(-1, 3))
    middle = {one: np.concatenate(shapes).mean(0) for one, shapes in things.items()}
    first = -np.inf if start == 0 else BEHIND
    for shape, label, *rest, one in block.parts:
        x, y, _ = middle[one]
        if one is None:  # ground, which ends where the block does
            shape = shape[(shape[..., 0].min(1) < end) & (shape[..., 0].max(1) > first)]
            shape = np.stack([np.clip(shape[..., 0], first, end), shape[..., 1], shape[..., 2]], -1)
        elif x > end + 1 or (label == objects.PEDESTRIAN and abs(y) < road.half):
            continue  # nobody stands in the way of the cars
        traffic = lanes.get(int(np.floor(y / road.lane))) if label == objects.CAR else None
        (near if traffic is None else traffic).parts.append((shape + (start, 0, 0), label, *rest, one))


# ---- pictures ---------------------------------------------------------------------------------------------


def render_drive(index: int, numbers: list[int], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Render frames of one drive: images uint8 (n, size, size, 3) and labels uint8 (n, size, size)."""
    drive = draw(index)
    images, labels = zip(*(drive.picture(number, size) for number in numbers), strict=True)
    return np.stack(images), np.stack(labels)


def render(
    frames: list[Frame], size: int, title: str = "drives", processes: int | None = None, progress: bool = True
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Render sorted frames, one after another; a worker process does whole drives, see `streets.render`."""
    streets.check("test", size)
    drives = groupby(frames, key=lambda frame: frame[0])
    jobs = [(drive, [number for _, number in group], size) for drive, group in drives]
    with at_work(render_drive, jobs, title, processes, progress) as rendered:
        for images, labels in rendered:
            yield from zip(images, labels, strict=True)


def digest() -> str:
    """16 hex digits that change when a frame might."""
    return fingerprint([Path(__file__).read_text(encoding="utf-8")], [streets.digest()])
