"""What stands on a street: each function builds one thing as a Soup, standing on the origin.

x is the thing's forward direction, y its left, z up; metres. `rng` draws its looks.
"""

import numpy as np

from segnb.labels import STREET
from segnb.data.streets import materials as m
from segnb.data.streets.shapes import Soup, ball, box, boxes, gable, hexahedron, quads, sheet, tubes

BUILDING, FENCE, OTHER, PEDESTRIAN, POLE = (
    STREET.id(name) for name in ("Building", "Fence", "Other", "Pedestrian", "Pole")
)
ROADLINE, ROAD, SIDEWALK, VEGETATION, CAR, WALL, SIGN = (
    STREET.id(name) for name in ("Roadline", "Road", "Sidewalk", "Vegetation", "Car", "Wall", "Traffic sign")
)
BLACK, STEEL, WHITE = (0.02, 0.02, 0.022), (0.28, 0.29, 0.30), (0.75, 0.75, 0.73)


def pick(rng, choices):
    """One of `choices`, whatever their type."""
    return choices[rng.integers(len(choices))]


def near(rng, colour, spread=0.15):
    """A colour close to `colour`: brightness and hue jittered by the relative `spread`."""
    return np.clip(np.array(colour) * rng.normal(1, spread) * rng.normal(1, 0.4 * spread, 3), 0.015, 0.9)


def masonry(rng):
    """Colour of plaster, brick or stone, the same for buildings and walls: colour alone must not tell."""
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
    """A vehicle of class Car. kind: saloon, hatch, offroad, van or lorry; lights: lamps are on."""
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
    """The recording car around a camera at `height`: its bonnet in view, its cabin behind (for the shadow).

    The rim of the bonnet is seen `dip` radians below the horizon, its corners lower than its middle.
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
    """Triangles of a surface given as a grid of points (rows, columns, 3)."""
    return quads(grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:])


# ---- people


def person(rng) -> Soup:
    """A walking or standing person, 1.2 to 1.95 m tall."""
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


# ---- poles, signs, lights


def lamp_post(rng, style: int) -> Soup:
    """Street lamp whose arm reaches along +x."""
    post = Soup()
    tone = [(0.25, 0.26, 0.27), (0.06, 0.08, 0.07), (0.38, 0.38, 0.36)][style % 3]
    height, reach = [(7.5, 1.6), (4.2, 0.0), (9.0, 2.4)][style % 3]
    post.add(tubes((0, 0, 0), (0, 0, height), 0.11, 0.07, sides=8), POLE, tone)
    post.add(tubes((0, 0, 0), (0, 0, 0.9), 0.16, 0.14, sides=8), POLE, tone)
    if reach:
        post.add(tubes((0, 0, height - 0.05), (reach, 0, height + 0.3), 0.055), POLE, tone)
        head = box(reach - 0.4, reach + 0.35, -0.15, 0.15, height + 0.2, height + 0.38)
        post.add(head, POLE, tone, m.LANTERN)
    else:
        post.add(ball((0, 0, height + 0.2), 0.27, 1), POLE, WHITE, m.LANTERN)
    return post


def utility_pole(rng) -> Soup:
    """Wooden pole with cross-arms."""
    pole = Soup()
    wood = near(rng, (0.16, 0.11, 0.08))
    pole.add(tubes((0, 0, 0), (0, 0, 8.5), 0.15, 0.11, sides=8), POLE, wood, m.CLOTH)
    for z in (7.6, 8.2):
        pole.add(box(-0.06, 0.06, -1.0, 1.0, z, z + 0.13), POLE, wood)
    return pole


def road_sign(rng) -> Soup:
    """Traffic sign on a post, its face towards -x: round, triangular, square, octagonal or a large board."""
    sign = Soup()
    kind = rng.integers(6)
    height = rng.uniform(2.1, 2.8)
    radius = rng.uniform(0.42, 0.58)
    red, blue, yellow, white = (0.55, 0.02, 0.03), (0.02, 0.10, 0.45), (0.7, 0.45, 0.02), (0.8, 0.8, 0.78)
    green = (0.01, 0.22, 0.12)
    sides, outer, inner = [
        (16, red, white), (3, red, white), (4, yellow, yellow), (8, red, red), (16, blue, blue),
        (4, blue, white),
    ][kind]  # fmt: skip
    sign.add(tubes((0, 0, 0), (0, 0, height + 0.2), 0.05), POLE, (0.32, 0.33, 0.34))

    def disc(x, r, n, turn):
        angle = turn + np.linspace(0, 2 * np.pi, n + 1)
        rim = np.stack([np.full(n + 1, x), r * np.sin(angle), height + r * np.cos(angle)], -1)
        centre = np.broadcast_to((x, 0.0, height), (n, 3))
        return np.stack([centre, rim[:-1], rim[1:]], 1)

    if kind == 5 and rng.random() < 0.6:  # direction board
        colour = pick(rng, [blue, green, white])
        board = box(-0.1, -0.07, -0.9, 0.9, height - 0.3, height + 0.6)
        sign.add(board, SIGN, colour)
        bars = np.array([[-0.11, 0.1, height + 0.22], [-0.11, -0.1, height - 0.05]])
        sign.add(boxes(bars, (0.02, 1.0, 0.1)), SIGN, white if colour is not white else blue)
        return sign
    turn = np.pi / sides if kind in (3, 5) else 0.0
    sign.add(disc(-0.07, radius, sides, turn), SIGN, outer)
    sign.add(disc(-0.08, radius * 0.72, sides, turn), SIGN, inner)
    mark = BLACK if kind in (0, 1, 2) else white
    sign.add(boxes([[-0.09, 0, height]], (0.01, 0.28 if kind in (3, 5) else 0.1, 0.12)), SIGN, mark)
    return sign


def traffic_light(rng, reach: float, state: int) -> Soup:
    """Signal on a post facing -x, a second one on an arm of `reach` metres to +y. state: 0 red .. 2 green."""
    light = Soup()
    dark = (0.05, 0.055, 0.05)
    tall = 5.6 if reach else 3.0
    light.add(tubes((0, 0, 0), (0, 0, tall), 0.09, sides=8), POLE, (0.2, 0.21, 0.21))
    places = [(-0.16, 0.0, 2.7)]
    if reach:
        light.add(tubes((0, 0, tall - 0.1), (0, reach, tall + 0.1), 0.07, 0.05), POLE, (0.2, 0.21, 0.21))
        places.append((-0.16, reach - 0.2, tall))
    case = pick(rng, [dark, dark, (0.5, 0.36, 0.03)])
    for x, y, z in places:
        light.add(box(x - 0.12, x + 0.14, y - 0.19, y + 0.19, z - 0.55, z + 0.55), SIGN, case)
        for k, hue in enumerate([(1, 0.08, 0.05), (1, 0.55, 0.03), (0.05, 0.9, 0.35)]):
            on = 3.0 if k == state else 0.03
            light.add(boxes([[x - 0.13, y, z + 0.34 - 0.34 * k]], (0.04, 0.22, 0.22)), SIGN, hue, m.LAMP, on)
    return light


# ---- plants


LEAVES = [
    (0.05, 0.11, 0.025), (0.08, 0.14, 0.03), (0.03, 0.07, 0.025), (0.13, 0.15, 0.03), (0.17, 0.10, 0.03),
    (0.15, 0.05, 0.03), (0.06, 0.10, 0.02), (0.05, 0.09, 0.045),
]  # fmt: skip


def tree(rng, kind: str, detail: int = 1) -> Soup:
    """Tree of kind broad, column, conifer or palm, 4 to 11 m tall; trunk and crown are Vegetation."""
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
    """Bush of two or three blobs, about a metre high."""
    plant = Soup()
    leaf = near(rng, pick(rng, LEAVES), 0.2)
    for _ in range(rng.integers(2, 4)):
        size = rng.uniform(0.4, 0.75)
        place = (*rng.normal(0, 0.35, 2), 0.6 * size)
        plant.add(ball(place, size, 1, rng), VEGETATION, near(rng, leaf, 0.1), m.FOLIAGE, 0.2)
    return plant


# ---- along the edge of a plot: x runs along the edge, from 0 to `length`


def fence(rng, length: float) -> Soup:
    """See-through fence: chain-link, upright bars, pickets, or a guard rail on posts."""
    line = Soup()
    kind = pick(rng, ["chain", "chain", "bars", "bars", "pickets", "rail"])
    seed = rng.uniform(0, 1)
    pieces = max(1, int(length / 2.5))
    x = np.linspace(0, length, pieces + 1)
    foot, up = np.stack([x, 0 * x, 0 * x], -1), np.array([0.0, 0, 1])
    steel = near(rng, pick(rng, [STEEL, (0.1, 0.11, 0.1), (0.04, 0.1, 0.06), (0.45, 0.45, 0.44)]))

    def rails(*heights, thick=0.05):
        for z in heights:
            line.add(box(0, length, -thick / 2, thick / 2, z - thick / 2, z + thick / 2, 2.5), FENCE, steel)

    if kind == "chain":
        tall = rng.uniform(1.7, 3.4)
        line.add(tubes(foot, foot + up * tall, 0.045, sides=5), FENCE, steel)
        rails(tall - 0.03, 0.08)
        line.add(sheet((0, 0, 0), (length, 0, 0), up * tall, pieces), FENCE, steel, m.CHAIN, seed)
    elif kind == "bars":
        tall = rng.uniform(1.1, 2.3)
        line.add(boxes(foot + up * tall / 2, (0.08, 0.08, tall + 0.1)), FENCE, steel)
        rails(tall - 0.05, 0.15)
        line.add(sheet((0, 0, 0.1), (length, 0, 0), up * (tall - 0.1), pieces), FENCE, steel, m.BARS, seed)
    elif kind == "pickets":
        steel = near(rng, pick(rng, [WHITE, (0.25, 0.16, 0.1), (0.12, 0.2, 0.22)]))
        tall = rng.uniform(0.8, 1.3)
        slats = np.arange(0.1, length, 0.24)
        slats = slats[:, None] * (1, 0, 0) + (0, 0, tall / 2)
        line.add(boxes(slats, (0.13, 0.03, tall)), FENCE, steel)
        rails(0.75 * tall, 0.3 * tall, thick=0.07)
    else:
        line.add(boxes(foot + up * 0.4, (0.12, 0.12, 0.8)), FENCE, steel)
        rails(0.72, thick=0.22)
        rails(0.38, thick=0.1)
    return line


def wall(rng, length: float) -> Soup:
    """Solid free-standing wall with a coping, or a low concrete barrier."""
    line = Soup()
    material = pick(rng, [m.BRICK, m.CONCRETE, m.CONCRETE, m.PLANKS])
    tall = rng.uniform(0.7, 1.2) if rng.random() < 0.25 else rng.uniform(1.7, 3.2)
    colour = near(rng, (0.25, 0.17, 0.1)) if material == m.PLANKS else masonry(rng)
    line.add(box(0, length, -0.12, 0.12, 0, tall, 2.5), WALL, colour, material, rng.uniform(0, 1))
    coping = box(0, length, -0.18, 0.18, tall, tall + 0.1, 2.5)
    line.add(coping, WALL, near(rng, np.array(colour) * 0.9), m.CONCRETE)
    return line


def hedge(rng, length: float) -> Soup:
    """Clipped hedge."""
    line = Soup()
    tall = rng.uniform(0.6, 1.6)
    leaf = near(rng, pick(rng, LEAVES[:4]))
    x = np.arange(0.5, length, 1.0)
    for s in x:
        shape = ball((s, rng.normal(0, 0.05), 0.5 * tall), (0.75, 0.45, 0.56 * tall), 1, rng)
        line.add(shape, VEGETATION, leaf * rng.uniform(0.9, 1.1), m.FOLIAGE, 0.1)
    return line


# ---- buildings: x along the street from 0 to `length`, the front at y = 0, the depth towards +y


def house(rng, length: float, depth: float, storeys: int, gabled: bool) -> Soup:
    """Building with a windowed front, flat or gabled roof, sometimes with balconies or a porch."""
    block = Soup()
    colour, seed = masonry(rng), rng.uniform(0, 1)
    tall = storeys * (2.8 + 0.7 * ((7 * seed) % 1)) + 0.4
    block.add(box(0, length, 0, depth, 0, tall, 5), BUILDING, colour, m.FACADE, seed)
    slate = [(0.22, 0.08, 0.05), (0.08, 0.08, 0.09), (0.16, 0.11, 0.08), (0.25, 0.25, 0.24)]
    tiles = near(rng, pick(rng, slate))
    if gabled:
        over = 0.4
        roof = gable(-over, length + over, -over, depth + over, tall - 0.05, tall + 0.3 * depth)
        block.add(roof, BUILDING, tiles, m.ROOF)
        if rng.random() < 0.6:
            cx = rng.uniform(0.15, 0.85) * length
            stack = box(cx, cx + 0.7, 0.5 * depth, 0.5 * depth + 0.7, tall, tall + 0.3 * depth + 1.0)
            block.add(stack, BUILDING, masonry(rng), m.BRICK)
    else:
        cornice = box(-0.15, length + 0.15, -0.15, depth, tall - 0.3, tall + 0.35, 5)
        block.add(cornice, BUILDING, near(rng, colour), m.CONCRETE, seed)
        if rng.random() < 0.4:
            cx = rng.uniform(0.2, 0.7) * length
            block.add(box(cx, cx + 3, 2, 5, tall, tall + 2), BUILDING, near(rng, colour), m.CONCRETE)
    trim = near(rng, (0.5, 0.49, 0.46), 0.3)
    if storeys > 2 and rng.random() < 0.4:
        tall_storey = (tall - 0.4) / storeys
        for x in np.arange(1.5, length - 2.5, 5.0):
            for k in range(1, storeys):
                z = k * tall_storey
                block.add(box(x, x + 2.4, -1.1, 0, z - 0.15, z + 0.9), BUILDING, trim, m.CONCRETE)
    elif rng.random() < 0.5:  # canopy or shop front
        x0 = rng.uniform(0, 0.4) * length
        x1 = x0 + rng.uniform(0.3, 0.6) * length
        canopy = hexahedron((x0, x1, -1.3, 0), (x0, x1, -0.5, 0), 2.6, 2.95)
        block.add(canopy, BUILDING, near(rng, pick(rng, CAR_COLOURS)))
        block.add(box(x0, x1, -0.06, 0, 0.5, 2.4), BUILDING, (0.03, 0.035, 0.04), m.GLASS)
    return block


# ---- street furniture, class Other


def furniture(rng) -> Soup:
    """Something of class Other beside a road: cabinet, bin, bench, planter, kiosk, hydrant, mail box ..."""
    thing = Soup()
    kind = rng.integers(9)
    hue = near(rng, pick(rng, CAR_COLOURS + 2 * [(0.2, 0.21, 0.2), (0.1, 0.13, 0.1), (0.3, 0.25, 0.2)]))
    if kind == 0:  # switch cabinet
        w, tall = rng.uniform(0.6, 1.6), rng.uniform(1.0, 1.6)
        thing.add(box(-w / 2, w / 2, -0.25, 0.25, 0, tall), OTHER, hue)
        thing.add(box(-w / 2 - 0.04, w / 2 + 0.04, -0.29, 0.29, tall, tall + 0.07), OTHER, hue * 0.7)
    elif kind == 1:  # wheeled bins
        for x in np.arange(rng.integers(1, 4)) * 0.7:
            tone = near(rng, pick(rng, [hue, (0.03, 0.1, 0.04), (0.05, 0.05, 0.06), (0.4, 0.3, 0.03)]))
            base, rim = (x - 0.22, x + 0.22, -0.25, 0.25), (x - 0.29, x + 0.29, -0.33, 0.33)
            thing.add(hexahedron(base, rim, 0.05, 1.0), OTHER, tone)
            thing.add(box(x - 0.31, x + 0.31, -0.36, 0.36, 1.0, 1.1), OTHER, tone * 0.7)
    elif kind == 2:  # bench
        wood = near(rng, (0.22, 0.13, 0.07))
        thing.add(boxes([[0, y, 0.45] for y in (-0.2, 0, 0.2)], (1.8, 0.15, 0.06)), OTHER, wood)
        thing.add(boxes([[0, 0.3, z] for z in (0.65, 0.85)], (1.8, 0.06, 0.15)), OTHER, wood)
        thing.add(boxes([[-0.75, 0, 0.21], [0.75, 0, 0.21]], (0.08, 0.5, 0.42)), OTHER, STEEL)
    elif kind == 3:  # planter tub; its plant is Vegetation
        tub = tubes((0, 0, 0), (0, 0, 0.75), 0.45, 0.6, sides=8)
        thing.add(tub, OTHER, near(rng, (0.4, 0.36, 0.3)), m.CONCRETE)
        thing.put(bush(rng), z=0.65, scale=0.8)
    elif kind == 4:  # vending machine or kiosk
        w = rng.uniform(0.9, 1.5)
        thing.add(box(-w / 2, w / 2, -0.4, 0.4, 0, 1.95), OTHER, hue, m.LACQUER)
        thing.add(box(-w / 2 + 0.1, w / 2 - 0.3, -0.43, -0.4, 0.7, 1.75), OTHER, (0.5, 0.5, 0.55), m.GLASS)
    elif kind == 5:  # advertising pillar
        thing.add(tubes((0, 0, 0), (0, 0, 2.7), 0.6, sides=12), OTHER, hue)
        thing.add(tubes((0, 0, 2.7), (0, 0, 3.1), 0.7, 0.2, sides=12), OTHER, hue * 0.5)
    elif kind == 6:  # hydrant
        thing.add(tubes((0, 0, 0), (0, 0, 0.7), 0.16, 0.13), OTHER, (0.5, 0.06, 0.03))
        thing.add(ball((0, 0, 0.72), 0.15, 1), OTHER, (0.5, 0.06, 0.03))
    elif kind == 7:  # letter box on a leg
        thing.add(box(-0.06, 0.06, -0.06, 0.06, 0, 1.0), OTHER, STEEL)
        thing.add(box(-0.3, 0.3, -0.25, 0.25, 0.85, 1.5), OTHER, near(rng, pick(rng, CAR_COLOURS[4:8])))
    else:  # crates
        for _ in range(3):
            x, y, a = rng.normal(0, 0.5), rng.normal(0, 0.2), rng.uniform(0.3, 0.5)
            crate = box(x - a, x + a, y - a, y + a, 0, 2 * a)
            thing.add(crate, OTHER, near(rng, (0.3, 0.22, 0.13)), m.PLANKS)
    return thing


def bus_stop(rng) -> Soup:
    """Shelter open towards -y, 3.5 m long: posts, roof, glazed back with an advert, bench. Class Other."""
    stop = Soup()
    tone = near(rng, pick(rng, [STEEL, BLACK, (0.05, 0.12, 0.2)]))
    feet = np.array([[x, y, 0] for x in (-1.75, 1.75) for y in (-0.6, 0.7)], float)
    stop.add(tubes(feet, feet + (0, 0, 2.4), 0.05), OTHER, tone)
    stop.add(box(-1.9, 1.9, -0.8, 0.85, 2.35, 2.5), OTHER, tone)
    stop.add(box(-1.75, 0.4, 0.66, 0.7, 0.4, 2.1), OTHER, (0.08, 0.1, 0.1), m.GLASS)
    stop.add(box(0.5, 1.7, 0.6, 0.72, 0.3, 2.1), OTHER, near(rng, pick(rng, CAR_COLOURS)))
    stop.add(box(-1.5, 0.3, 0.3, 0.6, 0.42, 0.5), OTHER, near(rng, (0.3, 0.2, 0.1)))
    return stop
