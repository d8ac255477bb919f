"""Vehicles, people and plants: each function builds one thing as a Soup that stands on the origin.

x is the forward direction of the thing, y its left and z up, in metres. `rng` draws its appearance.
"""

import numpy as np

from segnb.data.streets import materials as m
from segnb.data.streets.shapes import Soup, ball, box, boxes, hexahedron, quads, tubes
from segnb.labels import STREET

BUILDING, FENCE, OTHER, PEDESTRIAN, POLE = (
    STREET.id(name) for name in ("Building", "Fence", "Other", "Pedestrian", "Pole")
)
ROADLINE, ROAD, SIDEWALK, VEGETATION, CAR, WALL, SIGN = (
    STREET.id(name) for name in ("Roadline", "Road", "Sidewalk", "Vegetation", "Car", "Wall", "Traffic sign")
)
BLACK, STEEL, WHITE = (0.02, 0.02, 0.022), (0.28, 0.29, 0.30), (0.75, 0.75, 0.73)


def pick(rng, choices):
    """Return one of `choices`, which may be of any type."""
    return choices[rng.integers(len(choices))]


def near(rng, colour, spread=0.15):
    """Return a colour close to `colour`, with brightness and hue jittered by the relative `spread`."""
    return np.clip(np.array(colour) * rng.normal(1, spread) * rng.normal(1, 0.4 * spread, 3), 0.015, 0.9)


def masonry(rng):
    """Return a colour of plaster, brick or stone.

    Buildings and walls share these colours, so colour alone does not distinguish them.
    """
    base = pick(rng, [
        (0.45, 0.40, 0.32), (0.55, 0.52, 0.47), (0.30, 0.13, 0.09), (0.24, 0.16, 0.12), (0.50, 0.38, 0.22),
        (0.33, 0.33, 0.34), (0.20, 0.21, 0.23), (0.52, 0.30, 0.20), (0.62, 0.60, 0.56), (0.30, 0.34, 0.38),
    ])  # fmt: skip
    return near(rng, base, 0.2)


# ---- vehicles


CAR_COLOURS = [
    (0.70, 0.70, 0.70), (0.02, 0.02, 0.025), (0.15, 0.16, 0.17), (0.40, 0.41, 0.42), (0.45, 0.02, 0.02),
    (0.03, 0.07, 0.30), (0.10, 0.22, 0.40), (0.60, 0.42, 0.03), (0.04, 0.16, 0.07), (0.32, 0.26, 0.18),
    (0.50, 0.16, 0.03), (0.10, 0.06, 0.05),
]  # fmt: skip


def car(rng, kind: str, lights: bool) -> Soup:
    """Build a vehicle of class Car.

    Args:
        rng: generator
        kind: saloon, hatch, offroad, van or lorry
        lights: whether its lamps are on
    """
    length, width, height, belt, bonnet, boot = {
        "saloon": (4.6, 1.8, 1.45, 0.92, 1.25, 0.75),
        "hatch": (4.0, 1.75, 1.5, 0.95, 1.0, 0.15),
        "offroad": (4.7, 1.9, 1.8, 1.1, 1.1, 0.1),
        "van": (5.2, 2.0, 2.2, 1.2, 0.7, 0.02),
        "lorry": (7.5, 2.3, 3.0, 1.3, 0.2, 5.3),
    }[kind]
    length, width, height = (v * rng.uniform(0.94, 1.06) for v in (length, width, height))
    paint = near(rng, pick(rng, CAR_COLOURS))
    rear, front, half = -length / 2, length / 2, width / 2
    car = Soup()
    body = hexahedron((rear + 0.05, front - 0.02, -half, half), (rear, front, -half, half), 0.25, 0.6)
    car.add(body, CAR, paint, m.LACQUER)
    narrow = 0.94 * half
    upper = hexahedron((rear, front, -half, half), (rear + 0.1, front - 0.18, -narrow, narrow), 0.6, belt)
    car.add(upper, CAR, paint, m.LACQUER)
    rake = {"van": 0.45, "lorry": 0.1}.get(kind, 0.65)
    cabin = (rear + boot, front - bonnet, -narrow, narrow)
    lean = 0.1 if kind in ("van", "lorry", "offroad") else 0.45
    roof = (cabin[0] + lean, cabin[1] - rake, -0.78 * half, 0.78 * half)
    car.add(hexahedron(cabin, roof, belt, height - 0.06), CAR, (0.03, 0.035, 0.04), m.GLASS)
    car.add(hexahedron(roof, roof, height - 0.06, height), CAR, paint, m.LACQUER)
    if kind == "van":  # closed sides behind the doors
        car.add(box(rear + 0.03, 0.6, -half, half, belt - 0.1, height), CAR, paint, m.LACQUER)
    if kind == "lorry":
        load = near(rng, pick(rng, CAR_COLOURS))
        car.add(box(rear, front - 2.2, -half - 0.08, half + 0.08, 0.8, height + 0.4), CAR, load, m.LACQUER)
    wheel = 0.32 if kind != "lorry" else 0.45
    hubs = np.array([[x * 0.31 * length, y, wheel] for x in (-1, 1) for y in (-half + 0.16, half - 0.16)])
    outward = np.sign(hubs[:, 1:2]) * (0, 0.19, 0)
    car.add(tubes(hubs, hubs + outward, wheel, sides=10), CAR, BLACK)
    car.add(tubes(hubs + outward, hubs + 1.08 * outward, 0.55 * wheel, sides=8), CAR, STEEL)
    lamps = [[0, y * (half - 0.22), 0.68] for y in (-1, 1)]
    beam = 2.5 if lights else 0.25
    head, tail = lamps + np.array([front - 0.04, 0, 0]), lamps + np.array([rear + 0.03, 0, 0.08])
    car.add(boxes(head, (0.1, 0.3, 0.14)), CAR, (1.0, 0.95, 0.8), m.LAMP, beam)
    car.add(boxes(tail, (0.1, 0.26, 0.16)), CAR, (0.7, 0.02, 0.02), m.LAMP, beam / 2)
    car.add(boxes([[front, 0, 0.42], [rear, 0, 0.45]], (0.06, 0.5, 0.12)), CAR, WHITE)
    return car


def bonnet(rng, height: float, dip: float) -> Soup:
    """Build the recording car around a camera at `height` metres.

    Its bonnet is in view. Its cabin is behind the camera and casts a shadow. The rim of the bonnet is `dip`
    radians below the horizon, with corners lower than its middle.
    """
    colour = near(rng, pick(rng, CAR_COLOURS + 8 * [BLACK]))
    reach = rng.uniform(1.5, 1.9)  # camera to rim
    drop = reach * np.tan(dip)  # camera height above the rim
    crown = rng.uniform(0.03, 0.10)
    x, y = np.meshgrid(np.linspace(0.3, 1, 9), np.linspace(-1, 1, 17), indexing="ij")
    edge = 1 - 0.16 * np.abs(y) ** 2.5  # rounded corners
    scoop = pick(rng, [0.0, 0.0, 0.02]) * (np.abs(y) < 0.35)
    z = height - drop - crown * y**2 - 0.25 * np.clip(x - 0.8, 0, 1) ** 2 + 0.1 * (1 - x) + scoop
    grid = np.stack([x * reach * edge, 1.7 * y, z], -1)
    own = Soup()
    own.add(quads_of(grid), CAR, colour, m.LACQUER)
    rim = grid[-1]
    skirt = np.stack([rim, rim - (0.0, 0, 0.7)])
    own.add(quads_of(skirt), CAR, colour, m.LACQUER)
    own.add(box(-3.0, -0.7, -0.85, 0.85, 0.3, height + 0.1), CAR, colour, m.LACQUER)
    return own


def quads_of(grid: np.ndarray) -> np.ndarray:
    """Return the triangles of a surface from a grid of its points (rows, columns, 3)."""
    return quads(grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:])


# ---- people


def person(rng) -> Soup:
    """Build a walking or standing person, 1.2 to 1.95 m tall."""
    who = Soup()
    hues = [
        (0.5, 0.04, 0.04), (0.04, 0.08, 0.3), (0.6, 0.58, 0.55), (0.03, 0.03, 0.035), (0.5, 0.38, 0.05),
        (0.05, 0.22, 0.09), (0.35, 0.12, 0.3), (0.18, 0.15, 0.12), (0.1, 0.25, 0.35), (0.55, 0.25, 0.1),
    ]  # fmt: skip
    top, legs = near(rng, pick(rng, hues)), near(rng, pick(rng, hues[:4] + hues[7:8]))
    skin = near(rng, pick(rng, [(0.55, 0.35, 0.26), (0.40, 0.24, 0.16), (0.12, 0.07, 0.05)]))
    hair = near(rng, pick(rng, [(0.03, 0.02, 0.02), (0.15, 0.08, 0.04), (0.4, 0.3, 0.15), (0.3, 0.3, 0.3)]))
    stride, girth = rng.uniform(0.02, 0.32), rng.uniform(0.9, 1.25)
    feet = np.array([[stride, 0.1, 0.04], [-stride, -0.1, 0.04]])
    hips = np.array([[0, 0.1, 0.88], [0, -0.1, 0.88]])
    who.add(tubes(feet, hips, 0.075, 0.1 * girth), PEDESTRIAN, legs, m.CLOTH)
    who.add(boxes(feet + (0.06, 0, 0.02), (0.27, 0.1, 0.1)), PEDESTRIAN, BLACK)
    if rng.random() < 0.25:  # skirt or long coat
        coat = tubes((0, 0, 0.42), (0, 0, 1.0), 0.27 * girth, 0.19 * girth, sides=8)
        who.add(coat, PEDESTRIAN, top, m.CLOTH)
    w, d = 0.2 * girth, 0.13 * girth
    trunk = hexahedron((-d, d, -0.8 * w, 0.8 * w), (-d, d, -1.1 * w, 1.1 * w), 0.85, 1.45)
    who.add(trunk, PEDESTRIAN, top, m.CLOTH)
    shoulders = np.array([[0, 1.15 * w, 1.4], [0, -1.15 * w, 1.4]])
    swing = rng.uniform(-0.3, 0.3)
    hands = np.array([[swing, 1.5 * w, 0.85], [-swing, -1.5 * w, 0.85]])
    who.add(tubes(shoulders, hands, 0.06, 0.05), PEDESTRIAN, top, m.CLOTH)
    who.add(ball(hands[0], 0.06, 0), PEDESTRIAN, skin)
    who.add(tubes((0, 0, 1.42), (0, 0, 1.55), 0.06), PEDESTRIAN, skin)
    who.add(ball((0, 0, 1.64), (0.11, 0.1, 0.14), 1), PEDESTRIAN, skin)
    who.add(ball((-0.025, 0, 1.68), (0.125, 0.12, 0.135), 0), PEDESTRIAN, hair)
    if rng.random() < 0.35:
        who.add(box(-d - 0.18, -d, -0.15, 0.15, 0.98, 1.42), PEDESTRIAN, near(rng, pick(rng, hues)), m.CLOTH)
    out = Soup()
    out.put(who, scale=rng.uniform(0.95, 1.1) if rng.random() < 0.88 else rng.uniform(0.68, 0.8))
    return out


# ---- plants


LEAVES = [
    (0.05, 0.11, 0.025), (0.08, 0.14, 0.03), (0.03, 0.07, 0.025), (0.13, 0.15, 0.03), (0.17, 0.10, 0.03),
    (0.15, 0.05, 0.03), (0.06, 0.10, 0.02), (0.05, 0.09, 0.045),
]  # fmt: skip


def tree(rng, kind: str, detail: int = 1) -> Soup:
    """Build a tree of kind broad, column, conifer or palm, 4 to 11 m tall, all of class Vegetation."""
    plant = Soup()
    bark = near(rng, (0.13, 0.09, 0.06))
    leaf = near(rng, pick(rng, LEAVES), 0.2)
    openness = rng.uniform(0, 1)

    def crown(shape):
        plant.add(shape, VEGETATION, leaf * rng.uniform(0.85, 1.2), m.FOLIAGE, openness)

    if kind == "broad":
        stem, size = rng.uniform(2.2, 3.2), rng.uniform(1.2, 2.7)
        plant.add(tubes((0, 0, 0), (0, 0, stem + size), 0.16, 0.08), VEGETATION, bark, m.CLOTH)
        for _ in range(8):
            offset = rng.normal(0, 0.55, 3) * (1, 1, 0.6) * size + (0, 0, stem + 0.8 * size)
            offset[2] = max(offset[2], stem + 0.5 * size)
            crown(ball(offset, size * rng.uniform(0.35, 0.75), detail, rng))
    elif kind == "column":
        stem, size = rng.uniform(0.4, 1.0), rng.uniform(0.7, 1.1)
        tall = rng.uniform(5, 9)
        plant.add(tubes((0, 0, 0), (0, 0, stem + 1), 0.14, 0.1), VEGETATION, bark, m.CLOTH)
        for z in (0.3, 0.5, 0.72):
            shape = (size * (1.15 - 0.6 * abs(z - 0.4)), size * (1.15 - 0.6 * abs(z - 0.4)), 0.28 * tall)
            crown(ball((rng.normal(0, 0.1), 0, stem + z * tall), shape, detail, rng))
    elif kind == "conifer":
        tall, wide = rng.uniform(6, 11), rng.uniform(1.3, 2.2)
        plant.add(tubes((0, 0, 0), (0, 0, 1.6), 0.15), VEGETATION, bark, m.CLOTH)
        for k in range(4):
            z = 0.9 + 0.22 * tall * k
            crown(tubes((0, 0, z), (0, 0, z + 0.34 * tall), wide * (1 - 0.22 * k), 0.05, sides=9))
    else:
        tall = rng.uniform(5, 9)
        sway = rng.normal(0, 0.4)
        plant.add(tubes((0, 0, 0), (sway, 0, tall), 0.2, 0.12), VEGETATION, bark, m.CLOTH)
        for angle in np.arange(9) * 0.7 + rng.uniform(0, 1):
            out = np.array([np.cos(angle), np.sin(angle), 0])
            side = np.array([-np.sin(angle), np.cos(angle), 0]) * 0.28
            tip, knee = (sway, 0, tall) + out * 2.3 - (0, 0, 1.1), (sway, 0, tall) + out * 1.2 + (0, 0, 0.35)
            stalk = np.array([sway, 0, tall])
            frond = np.stack([np.stack([stalk - side, stalk + side]), np.stack([knee - side, knee + side])])
            crown(np.concatenate([quads_of(frond), [[knee - side, knee + side, tip]]]))
    return plant


def bush(rng) -> Soup:
    """Build a bush of two or three blobs, about a metre high."""
    plant = Soup()
    leaf = near(rng, pick(rng, LEAVES), 0.2)
    for _ in range(rng.integers(2, 4)):
        size = rng.uniform(0.4, 0.75)
        place = (*rng.normal(0, 0.35, 2), 0.6 * size)
        plant.add(ball(place, size, 1, rng), VEGETATION, near(rng, leaf, 0.1), m.FOLIAGE, 0.2)
    return plant
