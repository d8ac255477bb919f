"""Procedural street scenes with exact masks of the thirteen classes.

    image, mask = render_scene("train", 0, size=256)
    images, masks = render("train", count=300, size=128)

A scene depends on (split, index) alone. With the same package versions it is the same on every machine, in
any order and with any number of processes. The size changes the resolution, not the street.

Files: shapes.py (triangles) -> objects.py and structures.py (things) -> scene.py (ground, light) -> this file
(a street); materials.py (textures) and tracing.py (rays, light, lens) turn it into an image.
"""

import importlib.metadata
from pathlib import Path

import numpy as np

from segnb.data.streets import materials as m
from segnb.data.streets import objects as o
from segnb.data.streets import scene
from segnb.data.streets import structures as s
from segnb.data.streets.objects import near, pick
from segnb.data.streets.scene import KERB, Road, stretches
from segnb.data.streets.shapes import Centreline, Soup, sheet
from segnb.data.streets.tracing import Tracer, take_picture
from segnb.labels import STREET
from segnb.runtime.pool import at_work
from segnb.storage.checksums import fingerprint

SPLITS = ("train", "val", "test")
SMALLEST = 32
VERSION = 1  # first word of every scene's seed


def check(split: str, size: int) -> None:
    """Raise ValueError if there is no such split, or if the size is not an integer of at least 32."""
    if split not in SPLITS:
        raise ValueError(f"split: {split!r} is unknown; choose from {', '.join(SPLITS)}")
    if not isinstance(size, int | np.integer) or size < SMALLEST:
        raise ValueError(f"size: {size} pixels will not do; choose a whole number of at least {SMALLEST}")


def render_scene(split: str, index: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Render a scene.

    Args:
        split: train, val or test, which never share a scene
        index: 0, 1, …
        size: pixels per side, at least 32

    Returns:
        Image, uint8 (size, size, 3) RGB, and labels, uint8 (size, size) with ids 0 to 12.

    Raises:
        ValueError: for an unknown split, a negative index or a size below 32.
    """
    check(split, size)
    street, sensor, _ = draw(split, index)
    return take_picture(Tracer(street.scene()), int(size), sensor)


def draw(split: str, index: int) -> tuple[scene.Street, np.random.Generator, np.random.Generator]:
    """Draw the street of a scene; return it with one generator for its image and one for changes to it.

    Raises:
        ValueError: for a negative index.
    """
    if index < 0:
        raise ValueError(f"index: {index} is negative; scenes are numbered from 0")
    seed = np.random.SeedSequence([VERSION, SPLITS.index(split), index])
    # Separate streams, so that the number of rays (the size) does not change the street.
    street, sensor, change = (np.random.default_rng(s) for s in seed.spawn(3))
    return draw_street(street), sensor, change


def draw_street(rng) -> scene.Street:
    """Draw a random street. All randomness comes from `rng`, a numpy Generator."""
    weather, road = scene.draw_weather(rng), scene.draw_road(rng)
    camera = scene.draw_camera(rng, road)
    street, far = Soup(), Soup()
    scene.lay_ground(rng, street, road)
    scene.mark_road(rng, street, road)
    drive_cars(rng, street, road, weather.lights_on)
    furnish_pavement(rng, street, road)
    build_plots(rng, street, road)
    scene.add_own_car(rng, street, camera)
    scene.frame_horizon(rng, far)
    curves = rng.normal(0, 1 / 180, 2) if rng.random() < 0.6 else (0.0, 0.0)
    rise = rng.uniform(0, 0.0006) if rng.random() < 0.3 else 0.0
    line = Centreline(np.clip(curves, -1 / 90, 1 / 90), (8.0, rng.uniform(30, 60), 100.0), rise)
    return scene.Street(road, weather, camera, street, far, line)


def render(
    split: str, count: int, size: int, processes: int | None = None, progress: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Render scenes 0 to count - 1 of a split.

    Args:
        split: train, val or test
        count: number of scenes, at least 1
        size: pixels per side, at least 32
        processes: worker processes of one thread each (default: one per usable core); the result does not
            depend on it
        progress: whether to show a bar on a terminal, and a line per tenth of the scenes elsewhere

    Returns:
        Images, uint8 (count, size, size, 3), and labels, uint8 (count, size, size).

    Raises:
        ValueError: for an unknown split, a count or processes below 1, or a size below 32.
        SegnbError: if a worker process dies.
    """
    check(split, size)
    if count < 1:
        raise ValueError(f"count: {count} scenes cannot be rendered; ask for at least 1")
    images = np.empty((count, size, size, 3), np.uint8)
    labels = np.empty((count, size, size), np.uint8)
    jobs = [(split, index, size) for index in range(count)]
    with at_work(render_scene, jobs, f"{split} scenes", processes, progress) as scenes:
        for i, (image, mask) in enumerate(scenes):
            images[i], labels[i] = image, mask
    return images, labels


def digest() -> str:
    """Return 16 hex digits that change whenever a scene might change; the key of caches.

    They cover the code of this package, the class names and the versions of numpy, trimesh and embreex, but
    not the size.
    """
    sources = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "trimesh", "embreex")]
    return fingerprint(sources, versions + list(STREET.names))


# ---- things on a street ------------------------------------------------------------------------------

# Things on one line (kerb, lane, pavement …) are placed with gaps larger than they are. So nothing overlaps,
# and no test for overlap is needed.


def deal(rng, start: float, stop: float, gaps: tuple[float, float]):
    """Yield ascending positions from start to stop, `gaps` = (least, most) metres apart."""
    x = start + rng.uniform(0, gaps[1] - gaps[0])
    while x < stop:
        yield x
        x += rng.uniform(*gaps)


def drive_cars(rng, street: Soup, road: Road, lights: bool) -> None:
    """Add moving cars in the lanes and parked cars at the kerbs."""
    kinds, weights = ["saloon", "hatch", "offroad", "van", "lorry"], [0.36, 0.26, 0.2, 0.12, 0.06]

    def park(x, y, heading, lit):
        kind = str(rng.choice(kinds, p=weights))
        street.put(o.car(rng, kind, lit), x, y, heading=heading + rng.normal(0, 0.015))

    def is_clear(x, reach):
        return road.junction is None or abs(x - road.junction) > road.crossing + reach

    traffic = rng.uniform(9, 26)
    for lane in range(road.lanes):
        y = (lane + 0.5) * road.lane
        for x in deal(rng, rng.uniform(10, 20), 105, (10, 10 + 2 * traffic)):
            park(x, -y + rng.normal(0, 0.15), 0.0, lights)
        for x in deal(rng, rng.uniform(6, 18), 105, (10, 10 + 2 * traffic)):
            park(x, y + rng.normal(0, 0.15), np.pi, lights)
    if road.parking:
        fullness = rng.uniform(0.2, 0.9)
        for side in (1, -1):
            y = side * (road.half - 1.1)
            for x in deal(rng, -4, 75, (8.2, 9.5)):
                if rng.random() < fullness and is_clear(x, 7) and (side > 0 or x > 4):
                    park(x, y + rng.normal(0, 0.08), 0.0 if side < 0 else np.pi, False)
    if road.junction is not None and rng.random() < 0.7:
        side = pick(rng, [1, -1])
        for y in deal(rng, road.half + 5, 45, (9, 25)):
            x = road.junction + side * road.crossing / 2
            park(x, side * y, side * np.pi / 2, lights)


def furnish_pavement(rng, street: Soup, road: Road) -> None:
    """Add lamps, trees, signs and furniture along the kerb, and people on the pavement behind them."""
    style = int(rng.integers(3))
    kerb = road.half + 0.15 + max(road.verge / 2, 0.65)
    walk = (road.half + max(road.verge, 0.8) + 0.75, road.plots - 0.35)
    species = pick(rng, ["broad", "broad", "column", "conifer", "palm"])
    greenery = rng.uniform(0.02, 0.45)
    for side in (1, -1):
        for x0, x1 in stretches(road, 1.0):
            barrier = pick(rng, 10 * [None] + 8 * [s.fence] + 2 * [s.wall])
            if barrier is not None:  # between carriageway and pavement
                length = min(rng.uniform(15, 60), x1 - x0)
                low = 0.62 if barrier is s.fence else 0.4
                squat = Soup([(shape * (1, 1, low), *rest) for shape, *rest in barrier(rng, length).parts])
                x = x0 + rng.random() * (x1 - x0 - length)
                street.put(squat, x, side * (road.half + 0.3), KERB)
            lamp_due = max(x0, -2.0) + rng.uniform(0, 9)
            for x in deal(rng, max(x0, -2.0) + 0.8, min(x1, 100), (2.6, 5.0)):
                y = side * kerb
                if x > lamp_due:
                    street.put(s.lamp_post(rng, style), x, y, KERB, -side * np.pi / 2)
                    lamp_due = x + rng.uniform(16, 30)
                    continue
                chance = rng.random()
                if chance < greenery and x > 5:
                    plant = o.tree(rng, species, detail(x))
                    street.put(plant, x, y, KERB, scale=rng.uniform(0.6, 0.95))
                elif chance < greenery + 0.20:
                    street.put(s.road_sign(rng), x, y, KERB, 0.0 if side < 0 or rng.random() < 0.4 else np.pi)
                elif chance < greenery + 0.46:
                    turn = np.pi if side < 0 else 0.0
                    street.put(s.furniture(rng), x, y, KERB, turn + rng.normal(0, 0.05))
                elif chance < greenery + 0.50:
                    street.put(o.bush(rng), x, y, KERB, scale=0.7)
            if rng.random() < 0.35 and road.pavement > 2.8 and min(x1, 40) - x0 > 12:
                x = rng.uniform(max(x0, 2) + 4, min(x1, 40) - 2)
                street.put(s.bus_stop(rng), x, side * (road.plots - 0.95), KERB, 0.0 if side > 0 else np.pi)
            if rng.random() < 0.2:
                for x in deal(rng, max(x0, 2.0), min(x1, 90), (22, 30)):
                    street.put(s.utility_pole(rng), x, side * (road.plots + 0.25), KERB)
    crowd = rng.uniform(4, 16)
    for side in (1, -1):
        for x0, x1 in stretches(road, 0.0):
            for x in deal(rng, max(x0, 5.0), min(x1, 48), (1.0, 1.0 + crowd)):
                y = side * rng.uniform(*walk)
                street.put(o.person(rng), x, y, KERB, pick(rng, [0.0, np.pi]) + rng.normal(0, 0.4))
    if road.junction is not None:
        line_up_junction(rng, street, road)


def line_up_junction(rng, street: Soup, road: Road) -> None:
    """Add traffic lights at the corners, and people on the crossing in front of the junction."""
    if rng.random() < 0.75:
        state, reach = int(rng.integers(3)), pick(rng, [0.0, 0.0, road.half * 0.75])
        x = road.junction - road.crossing - 0.6
        street.put(s.traffic_light(rng, reach, state), x, -road.half - 0.5, KERB)
        street.put(s.traffic_light(rng, 0.0, state), x, road.half + 0.5, KERB)
        far = road.junction + road.crossing + 0.6
        street.put(s.traffic_light(rng, reach, state), far, -road.half - 0.5, KERB)
    if rng.random() < 0.6:
        for y in deal(rng, -road.half, road.half, (1.0, 5.0)):
            x = road.junction - road.crossing - rng.uniform(1.0, 2.6)
            street.put(o.person(rng), x, y, 0.0, pick(rng, [1, -1]) * np.pi / 2 + rng.normal(0, 0.2))


def detail(x: float) -> int:
    """Return the level of detail of crowns at a distance: 2 near, 0 far."""
    return 2 if 0 < x < 10 else 1 if x < 35 else 0


def build_plots(rng, street: Soup, road: Road) -> None:
    """Add plots on both sides: houses, blocks, walled and fenced yards, parks, paved courts."""
    district = pick(rng, ["suburb", "suburb", "town", "town", "works", "works", "park"])
    chances = {  # house, block, walled yard, fenced yard, park, court
        "suburb": [0.34, 0.08, 0.16, 0.19, 0.15, 0.08],
        "town": [0.10, 0.46, 0.14, 0.10, 0.05, 0.15],
        "works": [0.06, 0.24, 0.24, 0.28, 0.08, 0.10],
        "park": [0.07, 0.05, 0.14, 0.26, 0.38, 0.10],
    }[district]
    for side in (1, -1):
        for x0, x1 in stretches(road, 2.7):
            while x1 - x0 > 6:
                length = min(rng.uniform(9, 24), x1 - x0)
                kind = str(rng.choice(["house", "block", "walled", "fenced", "park", "court"], p=chances))
                plot = Soup()
                fill_plot(rng, plot, kind, length - 0.6, detail(x0))
                # A plot is drawn for the left side and mirrored for the right side.
                place = (x0, side * road.plots, 0)
                street.parts += [(shape * (1, side, 1) + place, *rest) for shape, *rest in plot.parts]
                x0 += length


def fill_plot(rng, plot: Soup, kind: str, length: float, fine: int) -> None:
    """Build a plot, with x from 0 to `length` along the street and y from 0 (pavement) to about 30 m."""
    stone = near(rng, (0.3, 0.29, 0.27))
    paved = kind in ("block", "court") or rng.random() < 0.3
    label, material = (o.SIDEWALK, m.PAVING) if paved else (o.VEGETATION, m.GRASS)
    floor_colour = stone if paved else near(rng, (0.09, 0.13, 0.035), 0.2)
    floor = sheet((0, 0, KERB - 0.01), (length + 0.6, 0, 0), (0, 22, 0), max(1, int(length / 4)))
    plot.add(floor, label, floor_colour, material, rng.uniform(0, 1))

    def edge(*choices):
        kind = pick(rng, choices)
        if kind is not None:
            plot.put(kind(rng, length), 0.0, 0.25, KERB - 0.03)

    def plant(count, y0, y1):
        species = ["broad", "broad", "broad", "column", "conifer", "palm"]
        for _ in range(count):
            x, y = rng.uniform(1.5, max(1.6, length - 1.5)), rng.uniform(y0, y1)
            size = rng.uniform(0.7, 1.35)
            tree = o.tree(rng, pick(rng, species), fine if y < 8 else min(fine, 1))
            plot.put(tree, x, y, KERB, scale=size)

    if kind == "house":
        setback = rng.uniform(3.5, 9)
        storeys, wide = int(rng.integers(1, 3)), rng.uniform(0.6, 0.9) * length
        home = s.house(rng, wide, rng.uniform(7, 10), storeys, gabled=True)
        plot.put(home, rng.uniform(0, length - wide), setback, KERB)
        edge(s.fence, s.fence, s.fence, s.wall, s.hedge)
        plant(int(rng.integers(0, 3)), 1.8, setback - 0.8)
        plant(int(rng.integers(1, 4)), 19, 24)
    elif kind == "block":
        storeys = int(rng.integers(2, 6))
        setback = rng.uniform(0.6, 4)
        block = s.house(rng, length + 0.5, rng.uniform(9, 14), storeys, gabled=rng.random() < 0.25)
        plot.put(block, 0, setback, KERB)
        if setback > 2.2:
            edge(s.fence, s.hedge, None, None)
    elif kind == "walled":
        edge(s.wall)
        plant(int(rng.integers(3, 8)), 2.5, 12)
        if rng.random() < 0.4:
            plot.put(s.house(rng, 0.7 * length, 9, int(rng.integers(1, 4)), rng.random() < 0.5), 1, 11, KERB)
    elif kind == "fenced":
        edge(s.fence)
        plant(int(rng.integers(2, 7)), 3, 16)
        for _ in range(int(rng.integers(0, 3))):
            plot.put(s.furniture(rng), rng.uniform(1, length - 1), rng.uniform(1.5, 3), KERB)
        if rng.random() < 0.4:
            plot.put(s.house(rng, 0.8 * length, 12, int(rng.integers(1, 3)), False), 0, 13, KERB)
    elif kind == "park":
        edge(s.hedge, s.hedge, s.fence, s.fence)
        plant(int(rng.integers(4, 11)), 1.8, 18)
        for _ in range(int(rng.integers(0, 5))):
            plot.put(o.bush(rng), rng.uniform(1, length - 1), rng.uniform(1.2, 6), KERB)
    else:
        edge(s.fence, s.fence, None, s.wall)
        for x in deal(rng, 1.5, length - 1, (3.0, 6.0)):
            vehicle = o.car(rng, pick(rng, ["saloon", "hatch", "offroad", "van"]), False)
            plot.put(vehicle, x, 6.0, KERB, np.pi / 2)
        for _ in range(int(rng.integers(1, 4))):
            plot.put(s.furniture(rng), rng.uniform(1, length - 1), rng.uniform(1.2, 2.5), KERB)
        if rng.random() < 0.5:
            plot.put(s.house(rng, 0.9 * length, 10, int(rng.integers(1, 4)), False), 0, 12, KERB)
