"""Triangle shapes, collections of them, and the line that a street follows. All lengths are in metres.

A shape is a float array (triangles, 3 corners, 3 coordinates) in street coordinates: x along the street, y
to the left, z up. Each triangle stores its own corners. A street has about 20,000 triangles, and without
indices shapes are joined and moved by plain array operations.
"""

from dataclasses import dataclass, field
from functools import cache

import numpy as np


def quads(a, b, c, d) -> np.ndarray:
    """Return quadrilaterals a-b-c-d, each corner (3,) or (..., 3), as triangles (2n, 3, 3)."""
    return np.stack([a, b, c, a, c, d], -2, dtype=float).reshape(-1, 3, 3)


def sheet(corner, along, across, pieces: int = 1) -> np.ndarray:
    """Return a parallelogram from `corner`, spanned by the vectors `along` and `across`.

    It is cut into `pieces` along, because only corners follow the bend of a street and edges stay straight.
    """
    along, across = np.asarray(along, float), np.asarray(across, float)
    cuts = np.asarray(corner, float) + along * (np.arange(pieces + 1) / pieces)[:, None]
    return quads(cuts[:-1], cuts[1:], cuts[1:] + across, cuts[:-1] + across)


def hexahedron(bottom, top, z0: float, z1: float) -> np.ndarray:
    """Return the solid between two rectangles (x0, x1, y0, y1), `bottom` at height z0 and `top` at z1."""
    ring = [[0, 2], [1, 2], [1, 3], [0, 3]]
    low = np.array([[bottom[i], bottom[j], z0] for i, j in ring])
    high = np.array([[top[i], top[j], z1] for i, j in ring])
    low_next, high_next = low[[1, 2, 3, 0]], high[[1, 2, 3, 0]]
    sides = quads(low, low_next, high_next, high)
    return np.concatenate([sides, quads(*high), quads(*low)])


# Sides and top, (6, 3, 3), and ends, (4, 3, 3), of the box from 0 to 1 on each axis.
X, Y, Z = np.eye(3)
SIDES = np.concatenate([sheet(0 * X, X, Z), sheet(Y, X, Z), sheet(Z, X, Y)])
ENDS = np.concatenate([sheet(0 * X, Y, Z), sheet(X, Y, Z)])


def box(x0, x1, y0, y1, z0, z1, piece: float = np.inf) -> np.ndarray:
    """Return an axis-parallel box without underside, cut along x into pieces of at most `piece` metres."""
    n = max(1, int(np.ceil((x1 - x0) / piece)))
    size, corner = np.array([x1 - x0, y1 - y0, z1 - z0]), np.array([x0, y0, z0])
    shell = SIDES
    if n > 1:
        shell = np.tile(SIDES, (n, 1, 1, 1))
        shell[..., 0] = (shell[..., 0] + np.arange(n)[:, None, None]) / n
        shell = shell.reshape(-1, 3, 3)
    return np.concatenate([shell, ENDS]) * size + corner


def boxes(centres, size) -> np.ndarray:
    """Return equal boxes of `size` (3,) around `centres` (n, 3)."""
    one = (np.concatenate([SIDES, ENDS]) - 0.5) * np.asarray(size, float)
    return (np.asarray(centres, float)[:, None, None] + one).reshape(-1, 3, 3)


def tubes(start, end, radius, end_radius=None, sides: int = 6) -> np.ndarray:
    """Return round bars from `start` to `end`, each (3,) or (n, 3), closed at the end; radii may taper."""
    start, end = np.atleast_2d(np.asarray(start, float)), np.atleast_2d(np.asarray(end, float))
    axis = end - start
    x, y, z = (axis / np.sqrt((axis**2).sum(-1, keepdims=True))).T
    # Two vectors at right angles to the axis, without a special case (Duff et al. 2017).
    s = np.where(z < 0, -1.0, 1.0)
    a = -1 / (s + z)
    u = np.array([1 + s * x * x * a, s * x * y * a, -s * x]).T
    v = np.array([x * y * a, s + y * y * a, -y]).T
    turn = (np.arange(sides + 1) * (2 * np.pi / sides))[:, None, None]
    rim = np.cos(turn) * u + np.sin(turn) * v
    low, high = start + rim * radius, end + rim * (radius if end_radius is None else end_radius)
    lid = np.stack(np.broadcast_arrays(high[:-1], high[1:], end), 2)
    return np.concatenate([quads(low[:-1], low[1:], high[1:], high[:-1]), lid.reshape(-1, 3, 3)])


def gable(x0, x1, y0, y1, z0, z1) -> np.ndarray:
    """Return a gable roof over a rectangle, with eaves at z0 and a ridge along x at z1."""
    ym = (y0 + y1) / 2
    a, b, c, d = (np.array(p, float) for p in ((x0, y0, z0), (x1, y0, z0), (x1, y1, z0), (x0, y1, z0)))
    r0, r1 = np.array([x0, ym, z1]), np.array([x1, ym, z1])
    return np.concatenate([quads(a, b, r1, r0), quads(c, d, r0, r1), [[a, r0, d]], [[b, r1, c]]])


@cache
def _unit_ball(detail: int) -> np.ndarray:
    import trimesh  # takes a second, and most importers of this module draw nothing

    return np.asarray(trimesh.creation.icosphere(subdivisions=detail).triangles, float)


def ball(centre, radii, detail: int = 1, bumps=None) -> np.ndarray:
    """Return an ellipsoid.

    Args:
        centre: (3,)
        radii: a number, or (3,)
        detail: 0, 1 or 2, for 20, 80 or 320 triangles
        bumps: generator that roughens the surface by up to a quarter of the radius (tree crowns), or None
    """
    unit = _unit_ball(detail)
    if bumps is not None:
        waves, phase = bumps.normal(0, 3.5, (3, 3)), bumps.uniform(0, 6.3, 3)
        unit = unit * (1 + 0.08 * np.sin(np.einsum("tcx,xw->tcw", unit, waves) + phase).sum(-1))[..., None]
    return unit * np.asarray(radii, float) + np.asarray(centre, float)


@dataclass
class Soup:
    """Triangles in parts. A part has one class, one colour, one material and one seed.

    All parts of one `put` are one object: a car with its wheels, a sign with its post.

    Args:
        parts: (triangles (n, 3, 3), class id, RGB albedo 0..1, material id, seed 0..1, object or None) each
    """

    parts: list = field(default_factory=list)

    def add(self, triangles, label: int, colour, material: int = 0, seed: float = 0.0) -> None:
        """Add a part. Its seed distinguishes it from others of the material (window size, stains)."""
        self.parts.append((triangles, label, colour, material, seed, None))

    def put(self, thing: "Soup", x=0.0, y=0.0, z=0.0, heading=0.0, scale=1.0) -> None:
        """Add all parts of `thing` as one object, scaled, turned left by `heading` and moved to (x, y, z).

        The heading is in radians.
        """
        one = object()
        c, s = scale * np.cos(heading), scale * np.sin(heading)
        for triangles, *rest, _ in thing.parts:
            px, py = triangles[..., 0], triangles[..., 1]
            moved = np.empty_like(triangles)
            moved[..., 0] = c * px - s * py + x
            moved[..., 1] = s * px + c * py + y
            moved[..., 2] = scale * triangles[..., 2] + z
            self.parts.append((moved, *rest, one))

    def arrays(self):
        """Return the attributes of all triangles.

        Returns:
            Triangles float32 (n, 3, 3), classes uint8 (n,), colours float32 (n, 3), materials uint8 (n,),
            seeds float32 (n,) and objects int32 (n,), numbered from 1 in the order of `put`; 0 for `add`.
        """
        triangles, labels, colours, materials, seeds, objects = zip(*self.parts, strict=True)
        numbers = {None: 0}
        numbered = [numbers.setdefault(one, len(numbers)) for one in objects]
        counts = [len(t) for t in triangles]
        return (
            np.concatenate(triangles).astype(np.float32),
            np.repeat(np.array(labels, np.uint8), counts),
            np.repeat(np.array(colours, np.float32), counts, axis=0),
            np.repeat(np.array(materials, np.uint8), counts),
            np.repeat(np.array(seeds, np.float32), counts),
            np.repeat(np.array(numbered, np.int32), counts),
        )


class Centreline:
    """The line that a street follows in the world: straight at the camera, then two gentle arcs.

    It is straight behind x = -40 m and beyond x = 400 m.

    Args:
        curvatures: of the two arcs, in 1/m
        borders: three x of the arcs' ends, in metres
        rise: the street climbs by rise · (x - 12)² beyond x = 12 m
    """

    def __init__(self, curvatures=(0.0, 0.0), borders=(10.0, 50.0, 90.0), rise: float = 0.0):
        self.x = np.arange(-40.0, 401.0)
        curvature = np.zeros_like(self.x)
        curvature[(self.x >= borders[0]) & (self.x < borders[1])] = curvatures[0]
        curvature[(self.x >= borders[1]) & (self.x < borders[2])] = curvatures[1]
        self.heading = np.cumsum(curvature)
        steps = np.stack([np.cos(self.heading), np.sin(self.heading)], -1)
        self.xy = np.cumsum(steps, axis=0)
        self.xy -= self.xy[40]
        self.rise = rise

    def bend(self, points: np.ndarray) -> np.ndarray:
        """Return the world coordinates of street coordinates, both (..., 3); float32."""
        x, y, z = points[..., 0], points[..., 1], points[..., 2]
        heading = np.interp(x, self.x, self.heading)
        inside = np.clip(x, self.x[0], self.x[-1])
        cx = np.interp(x, self.x, self.xy[:, 0]) + (x - inside) * np.cos(heading)
        cy = np.interp(x, self.x, self.xy[:, 1]) + (x - inside) * np.sin(heading)
        climb = self.rise * np.clip(x - 12, 0, 120) ** 2
        world = [cx - y * np.sin(heading), cy + y * np.cos(heading), z + climb]
        return np.stack(world, -1).astype(np.float32)
