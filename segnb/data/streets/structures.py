"""Poles, fences, buildings and street furniture: each function builds one thing as a Soup on the origin.

x is the forward direction of the thing, y its left and z up, in metres. `rng` draws its appearance.
"""

import numpy as np

from segnb.data.streets import materials as m
from segnb.data.streets import objects as o
from segnb.data.streets.objects import masonry, near, pick
from segnb.data.streets.shapes import Soup, ball, box, boxes, gable, hexahedron, sheet, tubes

# ---- poles, signs, lights


def lamp_post(rng, style: int) -> Soup:
    """Build a street lamp whose arm points along +x."""
    post = Soup()
    tone = [(0.25, 0.26, 0.27), (0.06, 0.08, 0.07), (0.38, 0.38, 0.36)][style % 3]
    height, reach = [(7.5, 1.6), (4.2, 0.0), (9.0, 2.4)][style % 3]
    post.add(tubes((0, 0, 0), (0, 0, height), 0.11, 0.07, sides=8), o.POLE, tone)
    post.add(tubes((0, 0, 0), (0, 0, 0.9), 0.16, 0.14, sides=8), o.POLE, tone)
    if reach:
        post.add(tubes((0, 0, height - 0.05), (reach, 0, height + 0.3), 0.055), o.POLE, tone)
        head = box(reach - 0.4, reach + 0.35, -0.15, 0.15, height + 0.2, height + 0.38)
        post.add(head, o.POLE, tone, m.LANTERN)
    else:
        post.add(ball((0, 0, height + 0.2), 0.27, 1), o.POLE, o.WHITE, m.LANTERN)
    return post


def utility_pole(rng) -> Soup:
    """Build a wooden pole with cross-arms."""
    pole = Soup()
    wood = near(rng, (0.16, 0.11, 0.08))
    pole.add(tubes((0, 0, 0), (0, 0, 8.5), 0.15, 0.11, sides=8), o.POLE, wood, m.CLOTH)
    for z in (7.6, 8.2):
        pole.add(box(-0.06, 0.06, -1.0, 1.0, z, z + 0.13), o.POLE, wood)
    return pole


def road_sign(rng) -> Soup:
    """Build a traffic sign on a post that faces -x: round, triangular, square, octagonal or a large board."""
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
    sign.add(tubes((0, 0, 0), (0, 0, height + 0.2), 0.05), o.POLE, (0.32, 0.33, 0.34))

    def disc(x, r, n, turn):
        angle = turn + np.linspace(0, 2 * np.pi, n + 1)
        rim = np.stack([np.full(n + 1, x), r * np.sin(angle), height + r * np.cos(angle)], -1)
        centre = np.broadcast_to((x, 0.0, height), (n, 3))
        return np.stack([centre, rim[:-1], rim[1:]], 1)

    if kind == 5 and rng.random() < 0.6:  # direction board
        colour = pick(rng, [blue, green, white])
        board = box(-0.1, -0.07, -0.9, 0.9, height - 0.3, height + 0.6)
        sign.add(board, o.SIGN, colour)
        bars = np.array([[-0.11, 0.1, height + 0.22], [-0.11, -0.1, height - 0.05]])
        sign.add(boxes(bars, (0.02, 1.0, 0.1)), o.SIGN, white if colour is not white else blue)
        return sign
    turn = np.pi / sides if kind in (3, 5) else 0.0
    sign.add(disc(-0.07, radius, sides, turn), o.SIGN, outer)
    sign.add(disc(-0.08, radius * 0.72, sides, turn), o.SIGN, inner)
    mark = o.BLACK if kind in (0, 1, 2) else white
    sign.add(boxes([[-0.09, 0, height]], (0.01, 0.28 if kind in (3, 5) else 0.1, 0.12)), o.SIGN, mark)
    return sign


def traffic_light(rng, reach: float, state: int) -> Soup:
    """Build a traffic light on a post that faces -x.

    Args:
        rng: generator
        reach: metres of an arm towards +y with a second light; 0 for no arm
        state: 0 red, 1 yellow, 2 green
    """
    light = Soup()
    dark = (0.05, 0.055, 0.05)
    tall = 5.6 if reach else 3.0
    light.add(tubes((0, 0, 0), (0, 0, tall), 0.09, sides=8), o.POLE, (0.2, 0.21, 0.21))
    places = [(-0.16, 0.0, 2.7)]
    if reach:
        light.add(tubes((0, 0, tall - 0.1), (0, reach, tall + 0.1), 0.07, 0.05), o.POLE, (0.2, 0.21, 0.21))
        places.append((-0.16, reach - 0.2, tall))
    case = pick(rng, [dark, dark, (0.5, 0.36, 0.03)])
    for x, y, z in places:
        light.add(box(x - 0.12, x + 0.14, y - 0.19, y + 0.19, z - 0.55, z + 0.55), o.SIGN, case)
        for k, hue in enumerate([(1, 0.08, 0.05), (1, 0.55, 0.03), (0.05, 0.9, 0.35)]):
            on = 3.0 if k == state else 0.03
            lamp = boxes([[x - 0.13, y, z + 0.34 - 0.34 * k]], (0.04, 0.22, 0.22))
            light.add(lamp, o.SIGN, hue, m.LAMP, on)
    return light


# ---- along the edge of a plot: x runs along the edge, from 0 to `length`


def fence(rng, length: float) -> Soup:
    """Build a see-through fence: chain-link, upright bars, pickets, or a guard rail on posts."""
    line = Soup()
    kind = pick(rng, ["chain", "chain", "bars", "bars", "pickets", "rail"])
    seed = rng.uniform(0, 1)
    pieces = max(1, int(length / 2.5))
    x = np.linspace(0, length, pieces + 1)
    foot, up = np.stack([x, 0 * x, 0 * x], -1), np.array([0.0, 0, 1])
    steel = near(rng, pick(rng, [o.STEEL, (0.1, 0.11, 0.1), (0.04, 0.1, 0.06), (0.45, 0.45, 0.44)]))

    def rails(*heights, thick=0.05):
        for z in heights:
            line.add(box(0, length, -thick / 2, thick / 2, z - thick / 2, z + thick / 2, 2.5), o.FENCE, steel)

    if kind == "chain":
        tall = rng.uniform(1.7, 3.4)
        line.add(tubes(foot, foot + up * tall, 0.045, sides=5), o.FENCE, steel)
        rails(tall - 0.03, 0.08)
        line.add(sheet((0, 0, 0), (length, 0, 0), up * tall, pieces), o.FENCE, steel, m.CHAIN, seed)
    elif kind == "bars":
        tall = rng.uniform(1.1, 2.3)
        line.add(boxes(foot + up * tall / 2, (0.08, 0.08, tall + 0.1)), o.FENCE, steel)
        rails(tall - 0.05, 0.15)
        line.add(sheet((0, 0, 0.1), (length, 0, 0), up * (tall - 0.1), pieces), o.FENCE, steel, m.BARS, seed)
    elif kind == "pickets":
        steel = near(rng, pick(rng, [o.WHITE, (0.25, 0.16, 0.1), (0.12, 0.2, 0.22)]))
        tall = rng.uniform(0.8, 1.3)
        slats = np.arange(0.1, length, 0.24)
        slats = slats[:, None] * (1, 0, 0) + (0, 0, tall / 2)
        line.add(boxes(slats, (0.13, 0.03, tall)), o.FENCE, steel)
        rails(0.75 * tall, 0.3 * tall, thick=0.07)
    else:
        line.add(boxes(foot + up * 0.4, (0.12, 0.12, 0.8)), o.FENCE, steel)
        rails(0.72, thick=0.22)
        rails(0.38, thick=0.1)
    return line


def wall(rng, length: float) -> Soup:
    """Build a solid free-standing wall with a coping, high or low."""
    line = Soup()
    material = pick(rng, [m.BRICK, m.CONCRETE, m.CONCRETE, m.PLANKS])
    tall = rng.uniform(0.7, 1.2) if rng.random() < 0.25 else rng.uniform(1.7, 3.2)
    colour = near(rng, (0.25, 0.17, 0.1)) if material == m.PLANKS else masonry(rng)
    line.add(box(0, length, -0.12, 0.12, 0, tall, 2.5), o.WALL, colour, material, rng.uniform(0, 1))
    coping = box(0, length, -0.18, 0.18, tall, tall + 0.1, 2.5)
    line.add(coping, o.WALL, near(rng, np.array(colour) * 0.9), m.CONCRETE)
    return line


def hedge(rng, length: float) -> Soup:
    """Build a clipped hedge."""
    line = Soup()
    tall = rng.uniform(0.6, 1.6)
    leaf = near(rng, pick(rng, o.LEAVES[:4]))
    x = np.arange(0.5, length, 1.0)
    for s in x:
        shape = ball((s, rng.normal(0, 0.05), 0.5 * tall), (0.75, 0.45, 0.56 * tall), 1, rng)
        line.add(shape, o.VEGETATION, leaf * rng.uniform(0.9, 1.1), m.FOLIAGE, 0.1)
    return line


# ---- buildings: x along the street from 0 to `length`, the front at y = 0, the depth towards +y


def house(rng, length: float, depth: float, storeys: int, gabled: bool) -> Soup:
    """Build a building with windows and a flat or gabled roof, sometimes with balconies or a canopy."""
    block = Soup()
    colour, seed = masonry(rng), rng.uniform(0, 1)
    tall = storeys * (2.8 + 0.7 * ((7 * seed) % 1)) + 0.4
    block.add(box(0, length, 0, depth, 0, tall, 5), o.BUILDING, colour, m.FACADE, seed)
    slate = [(0.22, 0.08, 0.05), (0.08, 0.08, 0.09), (0.16, 0.11, 0.08), (0.25, 0.25, 0.24)]
    tiles = near(rng, pick(rng, slate))
    if gabled:
        over = 0.4
        roof = gable(-over, length + over, -over, depth + over, tall - 0.05, tall + 0.3 * depth)
        block.add(roof, o.BUILDING, tiles, m.ROOF)
        if rng.random() < 0.6:
            cx = rng.uniform(0.15, 0.85) * length
            stack = box(cx, cx + 0.7, 0.5 * depth, 0.5 * depth + 0.7, tall, tall + 0.3 * depth + 1.0)
            block.add(stack, o.BUILDING, masonry(rng), m.BRICK)
    else:
        cornice = box(-0.15, length + 0.15, -0.15, depth, tall - 0.3, tall + 0.35, 5)
        block.add(cornice, o.BUILDING, near(rng, colour), m.CONCRETE, seed)
        if rng.random() < 0.4:
            cx = rng.uniform(0.2, 0.7) * length
            block.add(box(cx, cx + 3, 2, 5, tall, tall + 2), o.BUILDING, near(rng, colour), m.CONCRETE)
    trim = near(rng, (0.5, 0.49, 0.46), 0.3)
    if storeys > 2 and rng.random() < 0.4:
        tall_storey = (tall - 0.4) / storeys
        for x in np.arange(1.5, length - 2.5, 5.0):
            for k in range(1, storeys):
                z = k * tall_storey
                block.add(box(x, x + 2.4, -1.1, 0, z - 0.15, z + 0.9), o.BUILDING, trim, m.CONCRETE)
    elif rng.random() < 0.5:  # canopy or shop front
        x0 = rng.uniform(0, 0.4) * length
        x1 = x0 + rng.uniform(0.3, 0.6) * length
        canopy = hexahedron((x0, x1, -1.3, 0), (x0, x1, -0.5, 0), 2.6, 2.95)
        block.add(canopy, o.BUILDING, near(rng, pick(rng, o.CAR_COLOURS)))
        block.add(box(x0, x1, -0.06, 0, 0.5, 2.4), o.BUILDING, (0.03, 0.035, 0.04), m.GLASS)
    return block


# ---- street furniture, class Other


def furniture(rng) -> Soup:
    """Build street furniture of class Other: cabinet, bin, bench, planter, kiosk, hydrant, letter box …"""
    thing = Soup()
    kind = rng.integers(9)
    hue = near(rng, pick(rng, o.CAR_COLOURS + 2 * [(0.2, 0.21, 0.2), (0.1, 0.13, 0.1), (0.3, 0.25, 0.2)]))
    if kind == 0:  # switch cabinet
        w, tall = rng.uniform(0.6, 1.6), rng.uniform(1.0, 1.6)
        thing.add(box(-w / 2, w / 2, -0.25, 0.25, 0, tall), o.OTHER, hue)
        thing.add(box(-w / 2 - 0.04, w / 2 + 0.04, -0.29, 0.29, tall, tall + 0.07), o.OTHER, hue * 0.7)
    elif kind == 1:  # wheeled bins
        for x in np.arange(rng.integers(1, 4)) * 0.7:
            tone = near(rng, pick(rng, [hue, (0.03, 0.1, 0.04), (0.05, 0.05, 0.06), (0.4, 0.3, 0.03)]))
            base, rim = (x - 0.22, x + 0.22, -0.25, 0.25), (x - 0.29, x + 0.29, -0.33, 0.33)
            thing.add(hexahedron(base, rim, 0.05, 1.0), o.OTHER, tone)
            thing.add(box(x - 0.31, x + 0.31, -0.36, 0.36, 1.0, 1.1), o.OTHER, tone * 0.7)
    elif kind == 2:  # bench
        wood = near(rng, (0.22, 0.13, 0.07))
        thing.add(boxes([[0, y, 0.45] for y in (-0.2, 0, 0.2)], (1.8, 0.15, 0.06)), o.OTHER, wood)
        thing.add(boxes([[0, 0.3, z] for z in (0.65, 0.85)], (1.8, 0.06, 0.15)), o.OTHER, wood)
        thing.add(boxes([[-0.75, 0, 0.21], [0.75, 0, 0.21]], (0.08, 0.5, 0.42)), o.OTHER, o.STEEL)
    elif kind == 3:  # planter tub; its plant is Vegetation
        tub = tubes((0, 0, 0), (0, 0, 0.75), 0.45, 0.6, sides=8)
        thing.add(tub, o.OTHER, near(rng, (0.4, 0.36, 0.3)), m.CONCRETE)
        thing.put(o.bush(rng), z=0.65, scale=0.8)
    elif kind == 4:  # vending machine or kiosk
        w = rng.uniform(0.9, 1.5)
        thing.add(box(-w / 2, w / 2, -0.4, 0.4, 0, 1.95), o.OTHER, hue, m.LACQUER)
        thing.add(box(-w / 2 + 0.1, w / 2 - 0.3, -0.43, -0.4, 0.7, 1.75), o.OTHER, (0.5, 0.5, 0.55), m.GLASS)
    elif kind == 5:  # advertising pillar
        thing.add(tubes((0, 0, 0), (0, 0, 2.7), 0.6, sides=12), o.OTHER, hue)
        thing.add(tubes((0, 0, 2.7), (0, 0, 3.1), 0.7, 0.2, sides=12), o.OTHER, hue * 0.5)
    elif kind == 6:  # hydrant
        thing.add(tubes((0, 0, 0), (0, 0, 0.7), 0.16, 0.13), o.OTHER, (0.5, 0.06, 0.03))
        thing.add(ball((0, 0, 0.72), 0.15, 1), o.OTHER, (0.5, 0.06, 0.03))
    elif kind == 7:  # letter box on a leg
        thing.add(box(-0.06, 0.06, -0.06, 0.06, 0, 1.0), o.OTHER, o.STEEL)
        thing.add(box(-0.3, 0.3, -0.25, 0.25, 0.85, 1.5), o.OTHER, near(rng, pick(rng, o.CAR_COLOURS[4:8])))
    else:  # crates
        for _ in range(3):
            x, y, a = rng.normal(0, 0.5), rng.normal(0, 0.2), rng.uniform(0.3, 0.5)
            crate = box(x - a, x + a, y - a, y + a, 0, 2 * a)
            thing.add(crate, o.OTHER, near(rng, (0.3, 0.22, 0.13)), m.PLANKS)
    return thing


def bus_stop(rng) -> Soup:
    """Build a bus shelter open towards -y, 3.5 m long, with an advert and a bench. Class Other."""
    stop = Soup()
    tone = near(rng, pick(rng, [o.STEEL, o.BLACK, (0.05, 0.12, 0.2)]))
    feet = np.array([[x, y, 0] for x in (-1.75, 1.75) for y in (-0.6, 0.7)], float)
    stop.add(tubes(feet, feet + (0, 0, 2.4), 0.05), o.OTHER, tone)
    stop.add(box(-1.9, 1.9, -0.8, 0.85, 2.35, 2.5), o.OTHER, tone)
    stop.add(box(-1.75, 0.4, 0.66, 0.7, 0.4, 2.1), o.OTHER, (0.08, 0.1, 0.1), m.GLASS)
    stop.add(box(0.5, 1.7, 0.6, 0.72, 0.3, 2.1), o.OTHER, near(rng, pick(rng, o.CAR_COLOURS)))
    stop.add(box(-1.5, 0.3, 0.3, 0.6, 0.42, 0.5), o.OTHER, near(rng, (0.3, 0.2, 0.1)))
    return stop
