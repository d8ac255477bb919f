"""Conditions of a street: fog, a noisy sensor, night and occlusion; and the visible share of its objects.

Each test scene is drawn again in dense fog, at night, with a noisy sensor, or with additional objects that
occlude others. Fog, night and noise do not change the ground truth; occlusion does. Networks are tested on
these scenes and never trained on them.

`segnb.data.dataset.Data` caches the scenes and applies its view to them. Nothing here imports torch, which
rendering processes do not need.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from segnb.data import streets
from segnb.data.streets import materials as m
from segnb.data.streets import objects as o
from segnb.data.streets import structures as s
from segnb.data.streets.scene import KERB, Camera, Road, Scene, Street
from segnb.data.streets.shapes import Soup, box, boxes
from segnb.data.streets.tracing import SKY, Tracer, camera_rays, dot, majority, take_picture
from segnb.labels import STREET
from segnb.storage.checksums import fingerprint

KINDS = ("fog", "night", "noise", "occlusion")
MOST = 120  # scenes per kind; more would lengthen the evaluation of every run for little information
THINGS = tuple(STREET.id(name) for name in STREET.things)


def digest() -> str:
    """Return 16 hex digits that change whenever a shifted scene might change."""
    return fingerprint([Path(__file__).read_text(encoding="utf-8")], [streets.digest()])


def render_shifted(kind: str, index: int, size: int) -> tuple[np.ndarray, ...]:
    """Render test scene `index` under other conditions.

    Returns:
        Image, uint8 (size, size, 3), and labels, uint8 (size, size).
    """
    street, sensor, change = streets.draw("test", index)
    if kind == "night":
        return take_picture(NightTracer(street), size, sensor)
    if kind == "fog":
        street = in_fog(street, change)
    if kind == "occlusion":
        clutter(street, change)
    image, labels = take_picture(Tracer(street.scene()), size, sensor)
    return noisy(image, change) if kind == "noise" else image, labels


def render_visibility(index: int, size: int) -> tuple[np.ndarray, ...]:
    """Render visible shares, object numbers and labels of test scene `index`, see `in_sight`."""
    return in_sight(streets.draw("test", index)[0].scene(), size)


def in_fog(street: Street, rng) -> Street:
    """Return the street in fog, in which contrast falls to 2% within about 40 to 65 m.

    In foggy training scenes it falls to 2% within 140 to 390 m.
    """
    white = np.array((0.64, 0.65, 0.66)) * rng.normal(1, 0.03, 3)
    thick = replace(
        street.weather,
        sun_colour=np.full(3, 0.25),
        zenith=white,
        horizon=white,
        cloud_cover=0.0,
        cloud_colour=white,
        softness=0.3,
        fog=rng.uniform(0.06, 0.10),
        lit_windows=0.0,
        lights_on=True,
    )
    return replace(street, weather=thick)


def noisy(image: np.ndarray, rng) -> np.ndarray:
    """Return the image with the noise of a sensor in very little light, uint8 (size, size, 3).

    Photon noise grows with the square root of the light, and read noise is constant (Foi et al. 2008,
    "Practical Poissonian-Gaussian noise modeling"). Both are added before the tone curve, which brightens
    dark areas.
    """
    light = (image / 255) ** 2.2
    light = light + rng.standard_normal(light.shape) * np.sqrt(0.03 * light + 0.02**2)
    return np.round(np.clip(light, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)


class NightTracer(Tracer):
    """Tracer of a street at night, lit by street lamps, windows and the camera car's headlamps.

    The light of all lamps takes the place of the sun.
    """

    def __init__(self, street: Street):
        glow = np.array((0.016, 0.014, 0.016))
        dark = replace(
            street.weather,
            sun=np.array((0.0, 0.0, -1.0)),
            sun_colour=np.array((0.60, 0.48, 0.33)),
            zenith=np.array((0.006, 0.008, 0.015)),
            horizon=glow,
            cloud_colour=glow,
            lit_windows=0.35,
            lights_on=True,
        )
        scene = replace(street, weather=dark).scene()
        super().__init__(light_lamps(scene, street.road))
        lanterns = scene.materials == m.LANTERN
        posts = np.unique(scene.objects[lanterns])
        self.lamps = [scene.world[lanterns & (scene.objects == post)].mean((0, 1)) for post in posts]
        self.opaque &= ~np.isin(scene.objects, posts)  # otherwise a lamp would shadow itself

    def sunlight(self, place, normal, rng) -> np.ndarray:
        """Return the light of all lamps on surfaces. At each place only the strongest lamp casts a shadow."""
        total, strongest = self.headlamps(place, normal), np.zeros(len(place), np.float32)
        towards = np.zeros_like(place)
        for lamp in self.lamps:
            way = lamp - place
            square = dot(way, way)
            steep = np.maximum(way[:, 2], 0)  # lamps shine downwards
            light = 25 * np.maximum(dot(way, normal), 0) * steep / square**2
            total += light
            closer = light > strongest
            strongest[closer], towards[closer] = light[closer], way[closer]
        lit = np.flatnonzero(strongest > 0.003)
        distance = np.sqrt(dot(towards[lit], towards[lit]))
        hit = self.rays.run(place[lit], towards[lit] / distance[:, None], output=True)
        between = (hit["primID"] >= 0) & (hit["tfar"] < distance) & self.opaque[hit["primID"]]
        total[lit[between]] -= strongest[lit[between]]
        return total

    def headlamps(self, place, normal) -> np.ndarray:
        """Return the dipped beam of the recording car, from above its front bumper."""
        camera = self.scene.camera
        ahead = np.float32((np.cos(camera.yaw), np.sin(camera.yaw), 0))
        source = camera.position.astype(np.float32) * (1, 1, 0) + np.float32((0, 0, 0.7)) + 2.2 * ahead
        way = (place - source).astype(np.float32)
        square = np.maximum(dot(way, way), 1)
        way /= np.sqrt(square)[:, None]
        along, aside = dot(way, ahead), way[:, 0] * ahead[1] - way[:, 1] * ahead[0]
        # The beam is wide and flat, and cut off slightly above the horizon.
        beam = np.exp(-((aside / 0.35) ** 2) - (np.maximum(way[:, 2] + 0.01, 0) / 0.05) ** 2) * (along > 0)
        # It is aimed far ahead, so less of it falls on the ground in front of the bumper.
        return 60 * beam * np.maximum(-dot(way, normal), 0) / (square + 25)


def light_lamps(scene: Scene, road: Road) -> Scene:
    """Return the scene with street lamps and lamps of moving cars on, and lamps of parked cars off."""
    lantern, lamp = scene.materials == m.LANTERN, (scene.materials == m.LAMP) & (scene.labels == o.CAR)
    middle = scene.flat.mean(1)
    moving = np.abs(middle[:, 1]) < road.lane * road.lanes
    if road.junction is not None:
        moving |= np.abs(middle[:, 0] - road.junction) < road.crossing
    seeds = np.where(lamp, np.where(moving, 2.0, 0.01), np.where(lantern, 3.0, scene.seeds))
    return replace(
        scene,
        materials=np.where(lantern, np.uint8(m.LAMP), scene.materials),
        colours=np.where(lantern[:, None], np.float32((1.0, 0.75, 0.42)), scene.colours),
        seeds=seeds.astype(np.float32),
    )


def hoarding(rng) -> Soup:
    """Build a board on feet, 2 to 3.5 m long along x, with a poster or of planks. Class Other."""
    board = Soup()
    half, tall = rng.uniform(1.0, 1.75), rng.uniform(1.8, 2.4)
    material = o.pick(rng, [m.PLANKS, m.PLAIN])
    colour = o.near(rng, o.pick(rng, o.CAR_COLOURS))
    board.add(box(-half, half, -0.04, 0.04, 0.15, tall), o.OTHER, colour, material, rng.uniform(0, 1))
    feet = [[x, 0, 0.1] for x in (-0.8 * half, 0.8 * half)]
    board.add(boxes(feet, (0.12, 0.7, 0.2)), o.OTHER, o.STEEL)
    return board


def clutter(street: Street, rng) -> None:
    """Add 9 to 15 vehicles, people, poles and boards 5 to 14 m ahead, most of them in front of other things.

    None overlaps another thing or lies beyond the pavement, so there are fewer if there is no room.
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
    """Return the places of things worth hiding, 9 to 50 m ahead: street coordinates (n, 2)."""
    _, labels, *_, objects = street.near.arrays()
    numbers = np.unique(objects[np.isin(labels, THINGS) & (objects > 0)])
    place = footprints(street.near)[numbers - 1]
    middle = (place[:, :2] + place[:, 2:]) / 2
    away = middle - street.camera.position[:2]
    turn = np.arctan2(away[:, 1], away[:, 0]) - street.camera.yaw
    distance = np.hypot(*away.T)
    return middle[(distance > 9) & (distance < 50) & (np.abs(turn) < 0.5 * street.camera.field_of_view)]


def line_of_sight(rng, camera: Camera, things: np.ndarray) -> tuple[float, float]:
    """Return street coordinates x, y of a place in view, two times out of three in front of a thing."""
    distance = rng.uniform(5, 14)
    turn = camera.yaw + rng.uniform(-0.45, 0.45) * camera.field_of_view
    if len(things) and rng.random() < 0.67:
        away = things[rng.integers(len(things))] - camera.position[:2]
        distance = min(distance, 0.7 * np.hypot(*away))
        turn = np.arctan2(away[1], away[0]) + rng.normal(0, 0.4) / distance  # a step to either side
    return distance * np.cos(turn), camera.position[1] + distance * np.sin(turn)


def in_the_road(rng, y: float) -> tuple[Soup, float]:
    """Build something that stands or walks on the carriageway; return it and its heading."""
    if rng.random() < 0.4:
        return o.person(rng), rng.uniform(-np.pi, np.pi)
    kind = str(rng.choice(["van", "saloon", "hatch", "offroad"], p=[0.4, 0.2, 0.2, 0.2]))
    return o.car(rng, kind, False), 0.0 if y < 0 else np.pi


def on_the_pavement(rng, y: float) -> tuple[Soup, float]:
    """Build something that stands or walks on the pavement; return it and its heading."""
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
    """Return the bounding boxes of objects as seen from above, without parts more than 2.5 m high.

    float (objects, 4): least x, least y, greatest x, greatest y.
    """
    triangles, *_, objects = soup.arrays()
    low = (objects > 0) & (triangles[..., 2].min(1) < 2.5)
    corners = triangles[low][..., :2]
    least = np.full((objects.max() + 1, 2), np.inf)
    most = -least
    np.minimum.at(least, objects[low], corners.min(1))
    np.maximum.at(most, objects[low], corners.max(1))
    return np.concatenate([least, most], 1)[1:]


def overlaps(place: np.ndarray, taken: np.ndarray) -> bool:
    """Return whether a bounding box (4,) overlaps one of others (n, 4)."""
    return bool(((place[:2] < taken[:, 2:]) & (taken[:, :2] < place[2:])).all(1).any())


def in_sight(scene: Scene, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the visible share and the number of the object at each pixel, and the labels.

    The visible share is the part of an object's silhouette that nothing hides. Plate and post of a sign have
    separate shares, as they have separate labels. Only the part of an object inside the image counts, so a
    car that is cut off by the edge of the image and otherwise free has 255.

    The share is a ratio of numbers of rays: rays that end on the object, divided by rays that would end on
    it if it were alone on the street. Only the first hit of a ray counts, so the far side of the object does
    not.

    Returns:
        The share × 255, uint8, which is at least 1 at pixels of things; the object's number, uint16; and the
        labels, uint8; each (size, size). Share and number are 0 at other pixels.
    """
    origins, directions = camera_rays(scene.camera, size)
    triangle, distance, _, _ = Tracer(scene).cast(origins, directions)
    distance, solid = distance.reshape(-1, 4), triangle >= 0
    labels = np.where(solid, scene.labels[triangle], np.uint8(SKY))
    objects = np.where(solid, scene.objects[triangle], 0)
    mask = majority(labels.reshape(-1, 4), distance)

    counted = (scene.objects.max() + 1, len(STREET))
    seen, alone = np.zeros((2, *counted), np.int64)
    np.add.at(seen, (objects, labels), 1)
    np.add.at(alone, silhouettes(scene, origins, directions), 1)
    share = np.minimum(seen / np.maximum(alone, 1), 1)  # at an edge a ray may hit in only one of the two

    # The object of a pixel is that of most rays with the pixel's label; a tie goes to the nearest.
    mine = labels.reshape(-1, 4) == mask[:, None]
    chosen = majority(np.where(mine, objects.reshape(-1, 4), -1), distance, mine)
    visible = np.clip(np.round(255 * share[chosen, mask]), 1, 255).astype(np.uint8)
    other = ~np.isin(mask, THINGS)
    visible[other] = 0
    numbers = np.where(other, 0, chosen).astype(np.uint16)
    return tuple(array.reshape(size, size) for array in (visible, numbers, mask))


def silhouettes(scene: Scene, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return objects and labels of the first hits of each ray on each thing, as if the thing were alone."""
    kept = np.flatnonzero(np.isin(scene.labels, THINGS))
    ray, found = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    if len(kept):
        rays = EmbreeScene()
        TriangleMesh(rays, scene.world[kept])
        travelled, todo = np.zeros(len(origins), np.float32), np.arange(len(origins))
        while len(todo):  # each ray continues through one surface after another
            start = origins[todo] + directions[todo] * travelled[todo, None]
            hit = rays.run(start, directions[todo], output=True)
            met = hit["primID"] >= 0
            todo = todo[met]
            travelled[todo] += hit["tfar"][met] + 2e-3
            ray.append(todo)
            found.append(kept[hit["primID"][met]])
    ray, found = np.concatenate(ray), np.concatenate(found)
    # Hits are in order of distance, so the first one of a ray on an object is its visible surface.
    _, first = np.unique(ray * (scene.objects.max() + 1) + scene.objects[found], return_index=True)
    return scene.objects[found[first]], scene.labels[found[first]]
