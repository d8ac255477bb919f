"""What a street lies on and ends in: carriageway, markings, pavements, open land and the horizon."""

import numpy as np

from segnb.data.streets import materials as m
from segnb.data.streets import objects as o
from segnb.data.streets.objects import near, pick
from segnb.data.streets.scene import AHEAD, BEHIND, KERB, Road, stretches
from segnb.data.streets.shapes import Soup, ball, box, sheet

TARS = [(0.11, 0.11, 0.115), (0.16, 0.16, 0.16), (0.22, 0.21, 0.20), (0.08, 0.08, 0.085)]
STONES = [(0.34, 0.33, 0.31), (0.26, 0.25, 0.24), (0.42, 0.39, 0.34), (0.30, 0.22, 0.18)]


def lay_ground(rng, street: Soup, road: Road) -> None:
    """Carriageway, kerbs, verges, pavements, the crossing road, and the open land around."""
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
    """Lane lines, edge lines, stop lines and zebra crossings, as thin sheets just above the asphalt."""
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
    if middle == "double":
        line(0.17, colour)
        line(-0.17, colour)
    elif middle == "solid":
        line(0.0, colour)
    elif middle == "dashed":
        line(0.0, colour, dash)
    else:
        line(0.17, colour)
        line(-0.17, colour, dash)
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


def frame_horizon(rng, far: Soup) -> None:
    """What closes the view, in world coordinates: wooded hills all around and sometimes a skyline."""
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
