"""Rendering of a scene to an image and its mask: rays, sky, light, lens and sensor.

Embree traces the rays, and NumPy shades arrays of hits. Each pixel has four rays. Their mean is its colour
and their majority its label, so a mask contains classes only and no mixtures.
"""

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from segnb.data.streets import materials as m
from segnb.data.streets.scene import Camera, Scene, Weather
from segnb.labels import STREET

SKY = STREET.id("Unlabeled")
LAYERS = 8  # see-through surfaces that a ray can cross; the next one is solid


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return dot products of vectors (n, 3) with (n, 3) or (3,), without BLAS, which may use threads."""
    return a[:, 0] * b[..., 0] + a[:, 1] * b[..., 1] + a[:, 2] * b[..., 2]


def normals_of(triangles: np.ndarray) -> np.ndarray:
    """Return the unit normals (n, 3) of triangles (n, 3, 3)."""
    a, b = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    n = np.cross(a, b)
    return n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-9)


class Tracer:
    """A scene prepared for rays."""

    def __init__(self, scene: Scene):
        self.scene = scene
        self.rays = EmbreeScene()
        TriangleMesh(self.rays, scene.world)
        # Wire fences cast no shadow, because it would be solid. Crowns do cast solid shadows.
        self.opaque = ~np.isin(scene.materials, (m.CHAIN, m.BARS))
        self.normals = normals_of(scene.world)
        flat = normals_of(scene.flat)
        across = np.maximum(np.hypot(flat[:, 0], flat[:, 1]), 1e-9)
        self.level = np.abs(flat[:, 2]) > 0.75  # floor-like triangles take (x, y) as surface coordinates
        self.along = np.stack([-flat[:, 1] / across, flat[:, 0] / across], -1)

    def locate(self, triangle, b, c):
        """Return street coordinates (n, 3) and surface coordinates u, v (metres) of barycentric hits."""
        p, q, r = (self.scene.flat[triangle, k] for k in range(3))
        point = p + b[:, None] * (q - p) + c[:, None] * (r - p)
        level, along = self.level[triangle], self.along[triangle]
        u = np.where(level, point[:, 0], point[:, 0] * along[:, 0] + point[:, 1] * along[:, 1])
        v = np.where(level, point[:, 1], point[:, 2])
        return point, u, v

    def cast(self, origins: np.ndarray, directions: np.ndarray):
        """Return the first solid hit of each ray. Rays continue through the holes of leaves and fences.

        Returns:
            Triangle int32 (n,), -1 for the sky, distance float32 (n,), and two barycentric coordinates,
            float32 (n,) each.
        """
        n = len(origins)
        triangle, distance = np.full(n, -1, np.int32), np.full(n, np.inf, np.float32)
        b, c = np.zeros((2, n), np.float32)
        travelled = np.zeros(n, np.float32)
        todo = np.arange(n)
        for layer in range(LAYERS):
            start = origins[todo] + directions[todo] * travelled[todo, None]
            hit = self.rays.run(start, directions[todo], output=True)
            found = hit["primID"] >= 0
            todo, tri = todo[found], hit["primID"][found]
            triangle[todo], b[todo], c[todo] = tri, hit["u"][found], hit["v"][found]
            distance[todo] = travelled[todo] + hit["tfar"][found]
            porous = np.isin(self.scene.materials[tri], m.SEE_THROUGH)
            todo, tri = todo[porous], tri[porous]
            if layer == LAYERS - 1 or not len(todo):
                break
            point, u, v = self.locate(tri, b[todo], c[todo])
            hole = m.is_hole(self.scene.materials[tri], self.scene.seeds[tri], point, u, v, distance[todo])
            todo = todo[hole]
            triangle[todo] = -1
            travelled[todo] = distance[todo] + 2e-3
        return triangle, distance, b, c

    def radiance(self, origins, directions, rng, mirrors: bool = True):
        """Return linear RGB (n, 3) along rays, their labels (n,) and distances (n,), with one reflection."""
        scene, weather = self.scene, self.scene.weather
        triangle, distance, b, c = self.cast(origins, directions)
        colour = np.empty((len(origins), 3), np.float32)
        above = triangle < 0
        colour[above] = sky(weather, directions[above])
        labels = np.full(len(origins), SKY, np.uint8)
        i = np.flatnonzero(~above)
        tri, far, ray = triangle[i], distance[i], directions[i]
        labels[i] = scene.labels[tri]
        point, u, v = self.locate(tri, b[i], c[i])
        albedo, mirror, glow = m.surface(
            scene.materials[tri], scene.colours[tri], scene.seeds[tri], point, u, v,
            weather.wetness, weather.lit_windows,
        )  # fmt: skip
        normal = self.normals[tri]
        normal = np.where((dot(normal, ray) > 0)[:, None], -normal, normal)
        place = origins[i] + ray * far[:, None] + normal * 0.01
        lit = self.sunlight(place, normal, rng)
        # Skylight from above, and light that the ground reflects from below.
        up = (0.5 + 0.5 * normal[:, 2])[:, None]
        skylight = 0.55 * (weather.zenith + weather.horizon)
        bounce = 0.12 * (weather.sun_colour * max(weather.sun[2], 0.1) + skylight)
        light = lit[:, None] * weather.sun_colour + up * skylight + (1 - up) * bounce
        seen = albedo * light + glow
        if mirrors:
            j = np.flatnonzero(mirror > 0.02)
            seen[j] = self.mirrored(place[j], ray[j], normal[j], mirror[j], seen[j], tri[j], rng)
        clear = np.exp(-weather.fog * far)[:, None]
        colour[i] = seen * clear + haze(weather, ray) * (1 - clear)
        return colour, labels, distance

    def sunlight(self, place, normal, rng) -> np.ndarray:
        """Return the cosine of the sun's angle on each surface, 0 in shadow.

        Directions are spread over the disc of the sun.
        """
        weather = self.scene.weather
        spread = rng.standard_normal((len(place), 3), np.float32) * np.float32(weather.softness)
        towards = weather.sun.astype(np.float32) + spread
        towards /= np.sqrt(dot(towards, towards))[:, None]
        cosine = np.maximum(dot(normal, towards), 0)
        facing = np.flatnonzero(cosine > 0)
        blocker = self.rays.run(place[facing], towards[facing], output=True)["primID"]
        cosine[facing[(blocker >= 0) & self.opaque[blocker]]] = 0
        return cosine

    def mirrored(self, place, ray, normal, mirror, seen, tri, rng) -> np.ndarray:
        """Return the surface colour `seen` mixed with its reflection, which is stronger at grazing angles."""
        facing = -dot(ray, normal)
        share = mirror + (1 - mirror) * np.minimum(1, 4 * mirror) * (1 - np.clip(facing, 0, 1)) ** 5
        ground = self.scene.materials[tri] < m.GRASS
        bumpy = np.where(ground, 0.02, 0.0)[:, None] * rng.standard_normal(place.shape, np.float32)
        bumpy[:, 2] *= 0.3
        facet = normal + bumpy.astype(np.float32)
        bounced = ray - 2 * dot(ray, facet)[:, None] * facet
        bounced[ground, 2] = np.abs(bounced[ground, 2]) + 0.01
        bounced /= np.sqrt(dot(bounced, bounced))[:, None]
        # Only wet ground reflects the street; lacquer and glass reflect the sky, darker towards the horizon.
        picture = sky(self.scene.weather, bounced)
        picture *= np.clip(0.35 + 3 * bounced[:, 2:], 0.2, 1)
        if ground.any():
            picture[ground] = self.radiance(place[ground], bounced[ground], rng, mirrors=False)[0]
        return seen * (1 - share[:, None]) + np.minimum(picture, 3) * share[:, None]


def haze(weather: Weather, directions: np.ndarray) -> np.ndarray:
    """Return the colour (n, 3) of the air at the horizon, brighter towards the sun."""
    towards = np.clip(dot(directions, weather.sun), 0, 1)[:, None]
    return (weather.horizon * (0.9 + 0.35 * towards**4)).astype(np.float32)


def sky(weather: Weather, directions: np.ndarray) -> np.ndarray:
    """Return the radiance (n, 3) of the sky: gradient, clouds, and the sun with its glow."""
    up = np.clip(directions[:, 2], 0, 1)
    blend = np.sqrt(up)[:, None]
    colour = haze(weather, directions) * (1 - blend) + weather.zenith.astype(np.float32) * blend
    u, v = directions[:, 0] / (up + 0.12), directions[:, 1] / (up + 0.12)
    puffs = 0.7 * m.look_up(m.CLOUD, u, v, 55) + 0.3 * m.look_up(m.CLOUD, u, v, 17)
    cover = np.clip((puffs - (1 - weather.cloud_cover)) * 4, 0, 1) * np.clip(up * 6, 0.15, 1)
    tone = weather.cloud_colour.astype(np.float32) * (0.75 + 0.5 * puffs[:, None])
    colour += (tone - colour) * (0.85 * cover)[:, None]
    towards = np.clip(dot(directions, weather.sun), 0, 1)
    glare = 0.25 * towards**12 + 0.8 * towards**150 + 8.0 * (towards > 0.9994)
    return (colour + (glare * (1 - 0.6 * cover))[:, None] * weather.sun_colour * 0.5).astype(np.float32)


def camera_rays(camera: Camera, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return origins and unit directions, float32 (size·size·4, 3): four rays per pixel, row by row."""
    steps = ((np.arange(2 * size) + 0.5) / size - 1).reshape(size, 2)
    half = np.tan(camera.field_of_view / 2)
    right, down = np.broadcast_arrays(steps[None, :, None, :], steps[:, None, :, None])
    right, down = right.reshape(-1) * half, down.reshape(-1) * half * camera.squeeze
    c, s = np.cos(camera.roll), np.sin(camera.roll)
    right, down = c * right - s * down, s * right + c * down
    c, s = np.cos(camera.pitch), np.sin(camera.pitch)
    ahead, up = c + s * down, s - c * down
    c, s = np.cos(camera.yaw), np.sin(camera.yaw)
    directions = np.stack([c * ahead + s * right, s * ahead - c * right, up], -1)
    directions = (directions / np.sqrt(dot(directions, directions))[:, None]).astype(np.float32)
    origins = np.broadcast_to(camera.position.astype(np.float32), directions.shape)
    return np.ascontiguousarray(origins), directions


def majority(values: np.ndarray, distance: np.ndarray, counted=True) -> np.ndarray:
    """Return the value of most rays of a pixel, (pixels, rays) to (pixels,); a tie goes to the nearest.

    Args:
        values: labels or numbers of objects
        distance: of the hits
        counted: the rays whose value may be chosen, bool
    """
    votes = (values[:, :, None] == values[:, None, :]).sum(2)
    score = np.where(counted, votes + 1 / (2 + np.minimum(distance, 1e6)), -1)
    return np.take_along_axis(values, score.argmax(1)[:, None], 1)[:, 0]


def develop(rng, colour: np.ndarray) -> np.ndarray:
    """Return linear RGB (h, w, 3) as uint8, with exposure, white balance, vignette, tone curve and noise."""
    brightness = colour.mean(-1)
    # Exposure compensates the brightness of the scene only in part: dusk stays darker than noon.
    key = np.exp(np.log(brightness + 0.02).mean())
    exposure = 0.21 / key**0.75 * rng.lognormal(0, 0.2)
    colour = colour * exposure * rng.lognormal(0, 0.04, 3)
    h, w = brightness.shape
    y, x = np.linspace(-1, 1, h)[:, None, None], np.linspace(-1, 1, w)[None, :, None]
    colour = colour * (1 - rng.uniform(0, 0.18) * (x**2 + y**2))
    # Filmic curve (a common rational fit), which increases contrast in dark parts and compresses bright ones.
    curve = colour * (2.51 * colour + 0.03) / (colour * (2.43 * colour + 0.59) + 0.14)
    value = np.clip(curve, 0, 1) ** (1 / 2.2)
    value = value + rng.standard_normal(value.shape) * rng.uniform(0.003, 0.013)
    return np.round(np.clip(value, 0, 1) * 255).astype(np.uint8)


def take_picture(tracer: Tracer, size: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """Render the tracer's scene: image uint8 (size, size, 3) and labels uint8 (size, size)."""
    origins, directions = camera_rays(tracer.scene.camera, size)
    colour, labels, distance = tracer.radiance(origins, directions, rng)
    mask = majority(labels.reshape(-1, 4), distance.reshape(-1, 4)).reshape(size, size)
    mean = colour.reshape(-1, 4, 3)
    # Clipping before averaging avoids stair steps at the edge of a bright lamp.
    return develop(rng, np.minimum(mean, 4).mean(1).reshape(size, size, 3)), mask
