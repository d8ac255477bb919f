"""What a scene is made of: weather, camera and road as drawn, and the street before and after its bend.

Street coordinates: x metres ahead of the camera, y to the left of the road's middle. Traffic keeps to
the right, so the camera drives at y < 0.
"""

from dataclasses import dataclass

import numpy as np

from segnb.data.streets.objects import near, pick
from segnb.data.streets.shapes import Centreline, Soup

BEHIND, AHEAD = -12.0, 120.0  # the part of the street that is built
KERB = 0.13  # height of the pavement


@dataclass
class Weather:
    """Light and air. Colours are linear RGB radiances; sun: unit vector towards the sun."""

    sun: np.ndarray
    sun_colour: np.ndarray
    zenith: np.ndarray
    horizon: np.ndarray
    cloud_cover: float  # 0..1, share of the sky
    cloud_colour: np.ndarray
    softness: float  # radius of the light source in radians: sharp or soft shadows
    fog: float  # 1/m
    wetness: float  # 0..1
    lit_windows: float  # 0..1
    lights_on: bool


@dataclass
class Camera:
    """Pinhole camera in street coordinates; angles in radians, yaw to the left, pitch up."""

    position: np.ndarray
    yaw: float
    pitch: float
    roll: float
    field_of_view: float  # across the picture's width; pictures are square
    squeeze: float  # vertical over horizontal scale: square pictures are often squeezed from wide ones


@dataclass
class Road:
    """Measures of the road. Half widths and positions in metres; sides are +1 (left) and -1 (right)."""

    lane: float
    lanes: int  # each way
    parking: float  # width of the parking lane each side, or 0
    verge: float  # grass between kerb and pavement, or 0
    pavement: float
    junction: float | None  # x of the crossing road's middle, or None
    crossing: float  # half width of the crossing road

    @property
    def half(self) -> float:
        return self.lane * self.lanes + self.parking

    @property
    def plots(self) -> float:
        """Distance from the middle of the road to where plots begin."""
        return self.half + self.verge + self.pavement


def draw_weather(rng) -> Weather:
    """A time of day and a sky, with the sun anywhere around."""
    kinds = ["clear", "cloudy", "overcast", "sunset", "dusk", "fog"]
    kind = str(rng.choice(kinds, p=[0.3, 0.2, 0.15, 0.17, 0.1, 0.08]))
    azimuth = rng.uniform(-np.pi, np.pi)
    elevation = np.radians(rng.uniform(*{"sunset": (5, 16), "dusk": (4, 20)}.get(kind, (18, 65))))
    level = np.cos(elevation)
    sun = np.array([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)])
    sun_colour, zenith, horizon = {
        "clear": ((3.0, 2.8, 2.4), (0.20, 0.38, 0.80), (0.62, 0.74, 0.88)),
        "cloudy": ((2.2, 2.1, 1.9), (0.28, 0.42, 0.70), (0.70, 0.76, 0.82)),
        "overcast": ((0.55, 0.55, 0.55), (0.62, 0.66, 0.70), (0.80, 0.82, 0.84)),
        "sunset": ((2.6, 1.7, 0.85), (0.42, 0.42, 0.46), (1.00, 0.74, 0.44)),
        "dusk": ((0.28, 0.22, 0.24), (0.10, 0.14, 0.26), (0.38, 0.34, 0.36)),
        "fog": ((0.4, 0.4, 0.38), (0.66, 0.69, 0.71), (0.74, 0.75, 0.76)),
    }[kind]
    cover = {"clear": (0, 0.35), "overcast": (0.7, 1), "fog": (0.9, 1)}.get(kind, (0.2, 0.7))
    wet = rng.random() < {"clear": 0.12, "overcast": 0.5, "sunset": 0.5}.get(kind, 0.3)
    haze = {"fog": (0.010, 0.028), "dusk": (0.0005, 0.003)}.get(kind, (0.0003, 0.004))
    return Weather(
        sun=sun,
        sun_colour=np.array(sun_colour) * rng.normal(1, 0.12),
        zenith=near(rng, zenith, 0.12),
        horizon=np.array(horizon) * rng.normal(1, 0.05, 3),
        cloud_cover=rng.uniform(*cover),
        cloud_colour=np.array(horizon) * rng.uniform(0.75, 1.15) * (0.6 + 0.6 * np.mean(zenith)),
        softness={"clear": 0.01, "cloudy": 0.03, "sunset": 0.03, "dusk": 0.2}.get(kind, 0.25),
        fog=rng.uniform(*haze),
        wetness=rng.uniform(0.15, 0.55) if wet else 0.0,
        lit_windows=rng.uniform(0.15, 0.5) if kind == "dusk" else 0.0,
        lights_on=bool(kind in ("dusk", "fog") or rng.random() < 0.2),
    )


def draw_road(rng) -> Road:
    """A road of one or two lanes each way, with or without parking lane, verge and junction."""
    lanes = int(rng.choice([1, 2], p=[0.87, 0.13]))
    junction = rng.uniform(16, 60) if rng.random() < 0.45 else None
    return Road(
        lane=rng.uniform(2.7, 3.4),
        lanes=lanes,
        parking=pick(rng, [0.0, 0.0, 0.0, 2.2]),
        verge=pick(rng, [0.0, 0.0, 0.0, rng.uniform(1.0, 2.0)]),
        pavement=rng.uniform(2.8, 7.0),
        junction=junction,
        crossing=rng.uniform(3.4, 5.5),
    )


def draw_camera(rng, road: Road) -> Camera:
    """A camera behind the windscreen of a car (now and then a lorry) in one of the right-hand lanes."""
    lane = rng.integers(road.lanes)
    y = -(lane + 0.5) * road.lane + rng.normal(0, 0.25)
    yaw = rng.normal(0, 3) if rng.random() < 0.85 else rng.uniform(-22, 22)
    return Camera(
        position=np.array([0.0, y, rng.uniform(1.3, 1.75) if rng.random() < 0.88 else rng.uniform(1.9, 2.4)]),
        yaw=np.radians(yaw),
        pitch=np.radians(rng.normal(-2.2, 1.6)),
        roll=np.radians(rng.normal(0, 0.7)),
        field_of_view=np.radians(rng.uniform(62, 92)),
        squeeze=rng.uniform(1.0, 1.25),
    )


@dataclass
class Scene:
    """Everything a picture needs. Triangle arrays are parallel; `flat` are the corners in street
    coordinates (for textures), `world` the same after the street's bend (for rays). `objects`: which
    triangles belong together, see `Soup.arrays`; 0 for ground, ways and horizon."""

    flat: np.ndarray
    world: np.ndarray
    labels: np.ndarray
    colours: np.ndarray
    materials: np.ndarray
    seeds: np.ndarray
    objects: np.ndarray
    weather: Weather
    camera: Camera


@dataclass
class Street:
    """A drawn street before it is bent: one can still change its weather or put more things on it.

    near: what stands in street coordinates; far: the horizon, in world coordinates
    """

    road: Road
    weather: Weather
    camera: Camera
    near: Soup
    far: Soup
    line: Centreline

    def scene(self) -> Scene:
        """The street bent along its line. What was put in last has the highest object numbers."""
        near_side, far_side = self.near.arrays(), self.far.arrays()
        flat, *attributes = (np.concatenate(pair) for pair in zip(near_side, far_side, strict=True))
        world = np.concatenate([self.line.bend(near_side[0]), far_side[0]])
        return Scene(flat, world, *attributes, self.weather, self.camera)


def stretches(road: Road, margin: float) -> list[tuple[float, float]]:
    """The parts of the street, (from, to), on which roadside things stand: all but the junction."""
    if road.junction is None:
        return [(BEHIND, AHEAD)]
    reach = road.crossing + margin
    return [(BEHIND, road.junction - reach), (road.junction + reach, AHEAD)]
