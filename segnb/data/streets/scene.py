"""The parts of a scene: weather, camera and road, and the street before and after it is bent.

In street coordinates, x is metres ahead of the camera and y metres to the left of the middle of the road.
Traffic keeps to the right, so the camera drives at y < 0.
"""

from dataclasses import dataclass

import numpy as np

from segnb.data.streets import materials as m
from segnb.data.streets import objects as o
from segnb.data.streets.objects import near, pick
from segnb.data.streets.shapes import Centreline, Soup, ball, box, sheet

BEHIND, AHEAD = -12.0, 120.0  # x of both ends of the street
KERB = 0.13  # height of the pavement


@dataclass
class Weather:
    """Light and air. Colours are linear RGB radiances; `sun` is a unit vector towards the sun."""

    sun: np.ndarray
    sun_colour: np.ndarray
    zenith: np.ndarray
    horizon: np.ndarray
    cloud_cover: float  # share of the sky, 0..1
    cloud_colour: np.ndarray
    softness: float  # radius of the light source in radians; larger means softer shadows
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
    field_of_view: float  # horizontal; images are square
    squeeze: float  # vertical over horizontal scale; square images are often squeezed from wide ones


@dataclass
class Road:
    """Measures of a road. Widths and positions are in metres; sides are +1 (left) and -1 (right)."""

    lane: float
    lanes: int  # per direction
    parking: float  # width of the parking lane on each side, or 0
    verge: float  # grass between kerb and pavement, or 0
    pavement: float
    junction: float | None  # x of the crossing road's middle, or None
    crossing: float  # half width of the crossing road

    @property
    def half(self) -> float:
        """Half the width of the carriageway."""
        return self.lane * self.lanes + self.parking

    @property
    def plots(self) -> float:
        """Distance from the middle of the road to the plots."""
        return self.half + self.verge + self.pavement


def draw_weather(rng) -> Weather:
    """Draw a time of day and a sky, with the sun in any direction."""
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
    """Draw a road of one or two lanes per direction, with or without parking lane, verge and junction."""
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
    """Draw a camera behind the windscreen of a car (sometimes a lorry) in a right-hand lane."""
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
    """Everything that an image needs. The arrays have one entry per triangle.

    Args:
        flat: corners in street coordinates, for textures
        world: the same corners after the street is bent, for rays
        labels, colours, materials, seeds: see `Soup`
        objects: number of the object of each triangle, see `Soup.arrays`; 0 for ground, ways and horizon
        weather: light and air
        camera: its place and lens
    """

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
    """A street before it is bent. Its weather can still be changed, and things can be added.

    Args:
        near: everything in street coordinates
        far: the horizon, in world coordinates
        line: the centre line, along which `scene` bends the street
    """

    road: Road
    weather: Weather
    camera: Camera
    near: Soup
    far: Soup
    line: Centreline

    def scene(self) -> Scene:
        """Return the street bent along its line. The object added last has the highest number."""
        near_side, far_side = self.near.arrays(), self.far.arrays()
        flat, *attributes = (np.concatenate(pair) for pair in zip(near_side, far_side, strict=True))
        world = np.concatenate([self.line.bend(near_side[0]), far_side[0]])
        return Scene(flat, world, *attributes, self.weather, self.camera)


def stretches(road: Road, margin: float) -> list[tuple[float, float]]:
    """Return the parts of the street, (from, to), for roadside things: all but the junction."""
    if road.junction is None:
        return [(BEHIND, AHEAD)]
    reach = road.crossing + margin
    return [(BEHIND, road.junction - reach), (road.junction + reach, AHEAD)]


TARS = [(0.11, 0.11, 0.115), (0.16, 0.16, 0.16), (0.22, 0.21, 0.20), (0.08, 0.08, 0.085)]
STONES = [(0.34, 0.33, 0.31), (0.26, 0.25, 0.24), (0.42, 0.39, 0.34), (0.30, 0.22, 0.18)]


def lay_ground(rng, street: Soup, road: Road) -> None:
    """Add the carriageway, kerbs, verges, pavements, the crossing road, and the open land around."""
    tar = near(rng, pick(rng, TARS))
    stone = near(rng, pick(rng, STONES))
    grass, seed = near(rng, (0.09, 0.13, 0.035), 0.2), rng.uniform(0, 1)

    def strip(x0, x1, y0, y1, z, label, colour, material):
        if x1 > x0 and y1 > y0:
            pieces = int(np.ceil((x1 - x0) / 3))
            shape = sheet((x0, y0, z), (x1 - x0, 0, 0), (0, y1 - y0, 0), pieces)
            street.add(shape, label, colour, material, seed)

    strip(BEHIND, AHEAD + 60, -road.half, road.half, 0, o.ROAD, tar, m.ASPHALT)
    strip(BEHIND - 150, BEHIND, -90, 90, -0.01, o.ROAD, tar, m.ASPHALT)
    if road.junction is not None:
        x0, x1 = road.junction - road.crossing, road.junction + road.crossing
        strip(x0, x1, -90, 90, -0.005, o.ROAD, tar, m.ASPHALT)
    for side in (1, -1):
        for x0, x1 in stretches(road, 0.0):
            kerb = road.half + 0.15
            edge = kerb + road.verge
            far = road.plots
            border = box(x0, x1, *sorted((side * road.half, side * kerb)), -0.05, KERB + 0.005, 3)
            street.add(border, o.SIDEWALK, near(rng, stone, 0.1), m.CONCRETE, seed)
            strip(x0, x1, *sorted((side * kerb, side * edge)), KERB, o.VEGETATION, grass, m.GRASS)
            strip(x0, x1, *sorted((side * edge, side * far)), KERB, o.SIDEWALK, stone, m.PAVING)
            if road.junction is not None:  # the pavement turns the corner along the crossing road
                near_end = x1 < road.junction
                a, b = (x1 - 2.5, x1) if near_end else (x0, x0 + 2.5)
                strip(a, b, *sorted((side * far, side * 90)), KERB, o.SIDEWALK, stone, m.PAVING)
                wall_x = b if near_end else a
                face = sheet((wall_x, side * road.half, -0.05), (0, side * 80, 0), (0, 0, KERB + 0.05))
                street.add(face, o.SIDEWALK, stone, m.CONCRETE, seed)
    ground = sheet((BEHIND, -95, -0.06), (AHEAD + 60 - BEHIND, 0, 0), (0, 190, 0), 60)
    street.add(ground, o.VEGETATION, grass, m.GRASS)


def mark_road(rng, street: Soup, road: Road) -> None:
    """Add lane lines, edge lines, stop lines and zebra crossings, as sheets just above the asphalt."""
    white, yellow = near(rng, (0.72, 0.72, 0.70), 0.1), near(rng, (0.62, 0.40, 0.04), 0.1)
    wear, width = rng.uniform(0.2, 1.0), rng.uniform(0.13, 0.2)
    stops = stretches(road, 2.0)

    def stripe(x0, x1, y0, y1, colour):
        pieces = int(np.ceil((x1 - x0) / 3))
        shape = sheet((x0, y0, 0.012), (x1 - x0, 0, 0), (0, y1 - y0, 0), pieces)
        street.add(shape, o.ROADLINE, colour, m.PAINT, wear)

    def line(y, colour, dash=None):
        for x0, x1 in stops:
            if dash is None:
                stripe(x0, x1, y - width / 2, y + width / 2, colour)
            else:
                on, off = dash
                for x in np.arange(x0, min(x1, 90), on + off):
                    stripe(x, min(x + on, x1), y - width / 2, y + width / 2, colour)

    dash = pick(rng, [(3.0, 3.0), (3.0, 5.0), (2.0, 2.5)])
    middle = rng.choice(["double", "solid", "dashed", "half"], p=[0.4, 0.2, 0.3, 0.1])
    colour = yellow if rng.random() < 0.55 else white
    for y, pattern in {
        "double": [(0.17, None), (-0.17, None)],
        "solid": [(0.0, None)],
        "dashed": [(0.0, dash)],
        "half": [(0.17, None), (-0.17, dash)],
    }[middle]:
        line(y, colour, pattern)
    for k in range(1, road.lanes):
        line(k * road.lane, white, dash)
        line(-k * road.lane, white, dash)
    if road.parking and rng.random() < 0.6:
        for side in (1, -1):
            line(side * road.lanes * road.lane, white)
    elif rng.random() < 0.4:
        for side in (1, -1):
            line(side * (road.half - 0.3), pick(rng, [white, yellow]))
    zebras = []
    if road.junction is not None:
        zebras = [road.junction - road.crossing - 3.2, road.junction + road.crossing + 0.7]
        stripe(zebras[0] - 1.6, zebras[0] - 1.1, -road.half, 0, white)
    elif rng.random() < 0.3:
        zebras = [rng.uniform(10, 40)]
    if rng.random() < 0.75:
        for x in zebras:
            for y in np.arange(-road.half + 0.4, road.half - 0.4, 1.0):
                stripe(x, x + 2.5, y, y + 0.5, white)


def add_own_car(rng, street: Soup, camera: Camera) -> None:
    """Add the recording car, whose bonnet is in view in nine of ten streets."""
    if rng.random() < 0.9:
        # The lowest tenth of the image, roughly, shows the bonnet, whatever the lens.
        rim = rng.uniform(0.54, 0.78) * np.tan(camera.field_of_view / 2) * camera.squeeze
        car = o.bonnet(rng, camera.position[2], np.arctan(rim) - camera.pitch)
        street.put(car, 0.0, camera.position[1], heading=camera.yaw)


def frame_horizon(rng, far: Soup) -> None:
    """Add the horizon, in world coordinates: wooded hills all around, and sometimes a skyline."""
    angle = np.linspace(0, 2 * np.pi, 241)
    for radius, tallest in ((125, rng.uniform(5, 24)), (230, rng.uniform(0, 34))):
        waves = sum(np.sin(k * angle + rng.uniform(0, 6.3)) / k for k in (1, 2, 3, 5, 7))
        ragged = rng.uniform(0, 0.25, 241) + 0.12 * np.sin(50 * angle + rng.uniform(0, 6))
        top = np.clip(tallest * (0.5 + 0.3 * waves) * (1 + ragged), -1, None)
        top[-1] = top[0]
        rim = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(241, -4.0)], -1)
        colour = near(rng, (0.05, 0.08, 0.035), 0.2)
        crest = rim * (1.06, 1.06, 0) + top[:, None] * (0, 0, 1)
        far.add(o.quads_of(np.stack([rim, crest])), o.VEGETATION, colour, m.HILL)
    land = sheet((-260, -260, -0.3), (520, 0, 0), (0, 520, 0))
    far.add(land, o.VEGETATION, near(rng, (0.08, 0.11, 0.04), 0.15), m.GRASS)
    if rng.random() < 0.35:
        for _ in range(int(rng.integers(4, 16))):
            turn, r = rng.uniform(-0.9, 0.9), rng.uniform(110, 145)
            x, y, w, tall = r * np.cos(turn), r * np.sin(turn), rng.uniform(5, 12), rng.uniform(6, 24)
            tower = box(x - w, x + w, y - w, y + w, -1, tall)
            far.add(tower, o.BUILDING, o.masonry(rng), m.FACADE, rng.uniform(0, 1))
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(5, 30))):
            turn, r = rng.uniform(-1.1, 1.1), rng.uniform(85, 140)
            size = rng.uniform(2, 4.5)
            x, y = r * np.cos(turn), r * np.sin(turn)
            crown = ball((x, y, size), (size, size, 1.5 * size), 1, rng)
            far.add(crown, o.VEGETATION, near(rng, pick(rng, o.LEAVES)), m.FOLIAGE)
