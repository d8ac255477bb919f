"""More things on a street, near the camera and before others."""

import numpy as np

from segnb.data.shifts.sight import THINGS
from segnb.data.streets import materials as m
from segnb.data.streets import objects as o
from segnb.data.streets import structures as s
from segnb.data.streets.scene import KERB, Camera, Street
from segnb.data.streets.shapes import Soup, box, boxes


def hoarding(rng) -> Soup:
    """Board on feet, 2 to 3.5 m long along x: a poster, or planks around a building site. Class Other."""
    board = Soup()
    half, tall = rng.uniform(1.0, 1.75), rng.uniform(1.8, 2.4)
    material = o.pick(rng, [m.PLANKS, m.PLAIN])
    colour = o.near(rng, o.pick(rng, o.CAR_COLOURS))
    board.add(box(-half, half, -0.04, 0.04, 0.15, tall), o.OTHER, colour, material, rng.uniform(0, 1))
    feet = [[x, 0, 0.1] for x in (-0.8 * half, 0.8 * half)]
    board.add(boxes(feet, (0.12, 0.7, 0.2)), o.OTHER, o.STEEL)
    return board


def clutter(street: Street, rng) -> None:
    """Put 9 to 15 vehicles, people, poles and boards 5 to 14 m ahead, most of them before other things.

    Fewer where there is no room: none stands in another thing, nor behind the pavement.
    """
    road, places = street.road, footprints(street.near)
    things = targets(street)
    wanted = rng.integers(9, 16)
    for _ in range(200):
        if wanted == 0:
            break
        x, y = line_of_sight(rng, street.camera, things)
        on_road = abs(y) < road.half
        thing, heading = (in_the_road if on_road else on_the_pavement)(rng, y)
        one = Soup()
        one.put(thing, x, y, 0.0 if on_road else KERB, heading + rng.normal(0, 0.06))
        place = footprints(one)
        if abs(y) < road.plots - 0.4 and not overlaps(place[0], places):
            street.near.parts.extend(one.parts)
            places = np.concatenate([places, place])
            wanted -= 1


def targets(street: Street) -> np.ndarray:
    """Where the things stand that are worth hiding, 9 to 50 m ahead: street coordinates (n, 2)."""
    _, labels, *_, objects = street.near.arrays()
    numbers = np.unique(objects[np.isin(labels, THINGS) & (objects > 0)])
    place = footprints(street.near)[numbers - 1]
    middle = (place[:, :2] + place[:, 2:]) / 2
    away = middle - street.camera.position[:2]
    turn = np.arctan2(away[:, 1], away[:, 0]) - street.camera.yaw
    distance = np.hypot(*away.T)
    return middle[(distance > 9) & (distance < 50) & (np.abs(turn) < 0.5 * street.camera.field_of_view)]


def line_of_sight(rng, camera: Camera, things: np.ndarray) -> tuple[float, float]:
    """Street coordinates x, y of a place that the camera sees, two times out of three before a thing."""
    distance = rng.uniform(5, 14)
    turn = camera.yaw + rng.uniform(-0.45, 0.45) * camera.field_of_view
    if len(things) and rng.random() < 0.67:
        away = things[rng.integers(len(things))] - camera.position[:2]
        distance = min(distance, 0.7 * np.hypot(*away))
        turn = np.arctan2(away[1], away[0]) + rng.normal(0, 0.4) / distance  # a step to either side
    return distance * np.cos(turn), camera.position[1] + distance * np.sin(turn)


def in_the_road(rng, y: float) -> tuple[Soup, float]:
    """Something that stands or walks on the carriageway, and its heading."""
    if rng.random() < 0.4:
        return o.person(rng), rng.uniform(-np.pi, np.pi)
    kind = str(rng.choice(["van", "saloon", "hatch", "offroad"], p=[0.4, 0.2, 0.2, 0.2]))
    return o.car(rng, kind, False), 0.0 if y < 0 else np.pi


def on_the_pavement(rng, y: float) -> tuple[Soup, float]:
    """Something that stands or walks on the pavement, and its heading."""
    kind = str(rng.choice(["person", "sign", "lamp", "post", "board"], p=[0.3, 0.15, 0.1, 0.1, 0.35]))
    inward = -np.sign(y) * np.pi / 2
    if kind == "person":
        return o.person(rng), rng.uniform(-np.pi, np.pi)
    if kind == "sign":
        return s.road_sign(rng), 0.0
    if kind == "lamp":
        return s.lamp_post(rng, int(rng.integers(3))), inward
    if kind == "post":
        return s.utility_pole(rng), 0.0
    return hoarding(rng), o.pick(rng, [0.0, inward])


def footprints(soup: Soup) -> np.ndarray:
    """Where the objects of a soup stand, up to 2.5 m above the ground: float (objects, 4), the least x and
    y and the greatest."""
    triangles, *_, objects = soup.arrays()
    low = (objects > 0) & (triangles[..., 2].min(1) < 2.5)
    corners = triangles[low][..., :2]
    least = np.full((objects.max() + 1, 2), np.inf)
    most = -least
    np.minimum.at(least, objects[low], corners.min(1))
    np.maximum.at(most, objects[low], corners.max(1))
    return np.concatenate([least, most], 1)[1:]


def overlaps(place: np.ndarray, taken: np.ndarray) -> bool:
    """Whether a footprint (4,) meets one of others (n, 4)."""
    return bool(((place[:2] < taken[:, 2:]) & (taken[:, :2] < place[2:])).all(1).any())
