"""The same street in other light and air: fog, a noisy sensor, night."""

from dataclasses import replace

import numpy as np

from segnb.data.streets import materials as m
from segnb.data.streets import objects as o
from segnb.data.streets.scene import Road, Scene, Street, Weather
from segnb.data.streets.tracing import Tracer, dot


def in_fog(street: Street, rng) -> Street:
    """The street in fog in which contrast falls to 2 % within some 40 to 65 m; in the training scenes that
    are foggy it takes 140 to 390 m."""
    white = np.array((0.64, 0.65, 0.66)) * rng.normal(1, 0.03, 3)
    thick = Weather(
        sun=street.weather.sun,
        sun_colour=np.full(3, 0.25),
        zenith=white,
        horizon=white,
        cloud_cover=0.0,
        cloud_colour=white,
        softness=0.3,
        fog=rng.uniform(0.06, 0.10),
        wetness=street.weather.wetness,
        lit_windows=0.0,
        lights_on=True,
    )
    return replace(street, weather=thick)


def noisy(image: np.ndarray, rng) -> np.ndarray:
    """The picture as a sensor in very little light would have taken it, uint8 like `image`.

    Photon noise grows with the root of the light and read noise is always there (Foi et al. 2008, "Practical
    Poissonian-Gaussian noise modeling"), so both are added before the tone curve, which lifts the dark.
    """
    light = (image / 255) ** 2.2
    light = light + rng.standard_normal(light.shape) * np.sqrt(0.03 * light + 0.02**2)
    return np.round(np.clip(light, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)


class NightTracer(Tracer):
    """A street by night: under street lamps, in the light of one's own headlamps, with lit windows.

    What the day's scene calls the sun is here the light of all lamps.
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
        self.opaque &= ~np.isin(scene.objects, posts)  # a lamp would stand in its own light

    def sunlight(self, place, normal, rng) -> np.ndarray:
        """Light of all lamps on surfaces. Only the strongest one of each place throws a shadow."""
        total, strongest = self.headlamps(place, normal), np.zeros(len(place), np.float32)
        towards = np.zeros_like(place)
        for lamp in self.lamps:
            way = lamp - place
            square = dot(way, way)
            steep = np.maximum(way[:, 2], 0)  # lamps shine down: all that is above them stays dark
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
        """Dipped beam of the recording car, from above its front bumper."""
        camera = self.scene.camera
        ahead = np.float32((np.cos(camera.yaw), np.sin(camera.yaw), 0))
        source = camera.position.astype(np.float32) * (1, 1, 0) + np.float32((0, 0, 0.7)) + 2.2 * ahead
        way = (place - source).astype(np.float32)
        square = np.maximum(dot(way, way), 1)
        way /= np.sqrt(square)[:, None]
        along, aside = dot(way, ahead), way[:, 0] * ahead[1] - way[:, 1] * ahead[0]
        # Wide and flat: cut off a little above the horizon.
        beam = np.exp(-((aside / 0.35) ** 2) - (np.maximum(way[:, 2] + 0.01, 0) / 0.05) ** 2) * (along > 0)
        # Aimed far ahead: less of it falls on the ground before the bumper.
        return 60 * beam * np.maximum(-dot(way, normal), 0) / (square + 25)


def light_lamps(scene: Scene, road: Road) -> Scene:
    """The scene with its street lamps and the lamps of moving cars switched on, those of parked ones off."""
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
