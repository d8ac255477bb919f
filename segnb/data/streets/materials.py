"""Materials: procedural patterns that give the look and the holes of a surface by position.

All patterns come from two tiles of noise that repeat after 512 texels, so a texture costs one look-up per
point. Colours are linear RGB albedos, 0..1.
"""

import numpy as np

(
    PLAIN, ASPHALT, PAVING, GRASS, FOLIAGE, HILL, BRICK, FACADE, CONCRETE, PLANKS, ROOF, PAINT,
    LACQUER, GLASS, LAMP, CHAIN, BARS, CLOTH, LANTERN,
) = range(19)  # fmt: skip

SEE_THROUGH = (FOLIAGE, CHAIN, BARS)  # materials with holes
TEXELS = 512


def noise_tiles() -> tuple[np.ndarray, np.ndarray]:
    """Return white noise and cloud-like (1/f) noise, float32 (512, 512), both uniform in 0..1."""
    white = np.random.default_rng(13).random((TEXELS, TEXELS))
    frequency = np.hypot(np.fft.fftfreq(TEXELS)[:, None], np.fft.rfftfreq(TEXELS)[None])
    frequency[0, 0] = 1
    # A spectrum steeper than 1/f looks like clouds, stains and terrain. Ranks make each threshold a share.
    cloud = np.fft.irfft2(np.fft.rfft2(white - 0.5) / frequency**1.6, (TEXELS, TEXELS))
    rank = np.empty(cloud.size, np.float32)
    rank[np.argsort(cloud, axis=None, kind="stable")] = np.linspace(0, 1, cloud.size, dtype=np.float32)
    return white.astype(np.float32), rank.reshape(cloud.shape)


WHITE, CLOUD = noise_tiles()


def look_up(tile: np.ndarray, u: np.ndarray, v: np.ndarray, texels_per_metre: float) -> np.ndarray:
    """Return the nearest texels of a noise tile at surface coordinates u, v (metres)."""
    i = np.floor(u * texels_per_metre).astype(np.int32) & (TEXELS - 1)
    j = np.floor(v * texels_per_metre).astype(np.int32) & (TEXELS - 1)
    return tile[i, j]


def cubes(point: np.ndarray, edge: float) -> np.ndarray:
    """Return white noise in space: the value of the cube of `edge` metres around each point (n, 3)."""
    x, y, z = np.floor(point.T / edge).astype(np.int32)
    return WHITE[(x + 37 * z) & (TEXELS - 1), (y + 91 * z) & (TEXELS - 1)]


def off_line(t: np.ndarray, period) -> np.ndarray:
    """Return the distance of t to the nearest multiple of `period`."""
    return np.abs(t - period * np.round(t / period))


def is_hole(material, seed, point, u, v, distance) -> np.ndarray:
    """Return whether rays pass through at hits on see-through materials.

    Wires and bars grow with distance, by a fixed angle at any image size. Otherwise wires thinner than a
    pixel would turn distant fences into label noise.

    Args:
        material, seed, u, v, distance: (n,)
        point: (n, 3)
    """
    hole = np.zeros(len(material), bool)
    grown = 0.002 * distance
    chain, bars, leaves = material == CHAIN, material == BARS, material == FOLIAGE
    cell = 0.16 + 0.14 * seed
    wire = np.minimum(off_line(u + v, cell), off_line(u - v, cell))
    hole[chain] = (wire > 0.016 + grown)[chain]
    hole[bars] = (off_line(u, 0.13 + 0.12 * seed) > 0.018 + grown)[bars]
    # Leaves come in clumps, and distant crowns have no holes.
    openness = (0.33 + 0.17 * seed[leaves]) * np.clip(1 - distance[leaves] / 80, 0, 1)
    hole[leaves] = 0.5 * cubes(point[leaves], 0.3) + 0.5 * cubes(point[leaves], 0.1) < openness
    return hole


def surface(material, colour, seed, point, u, v, wetness: float, lit_windows: float):
    """Return albedo (n, 3), share of mirrored light (n,), 0..1, and emitted light (n, 3) of hits.

    Args:
        material, seed, u, v: (n,)
        colour: (n, 3)
        point: (n, 3), in street coordinates
        wetness: share of the ground under puddles, 0..1
        lit_windows: share of windows that are lit, 0..1
    """
    shade = np.ones(len(material), np.float32)
    mirror = np.zeros(len(material), np.float32)
    glow = np.zeros((len(material), 3), np.float32)
    albedo = colour.copy()
    fine, coarse = look_up(WHITE, u, v, 16), look_up(CLOUD, u, v, 9)

    def each(*kinds):
        index = np.flatnonzero(np.isin(material, kinds))
        return index, u[index], v[index], seed[index]

    i, a, b, s = each(ASPHALT)
    patch = look_up(CLOUD, a, b, 12)
    shade[i] = 0.72 + 0.3 * coarse[i] + 0.25 * fine[i]
    shade[i] *= np.where(patch > 0.86, 0.72, np.where(patch < 0.1, 1.2, 1))  # repaired patches
    shade[i] *= np.where(np.abs(coarse[i] - 0.5) < 0.008, 0.6, 1)  # cracks
    i, a, b, s = each(PAVING)
    slab = 0.4 + 0.9 * s
    row = np.floor(b / slab)
    shift = a + 0.5 * slab * (row % 2)
    shade[i] = 0.8 + 0.16 * coarse[i] + 0.2 * look_up(WHITE, np.floor(shift / slab), row, 1)
    shade[i] *= np.where(np.minimum(off_line(shift, slab), off_line(b, slab)) < 0.025, 0.72, 1)
    i, a, b, s = each(GRASS)
    shade[i] = 0.45 + 0.55 * coarse[i] + 0.45 * fine[i]
    dry = look_up(CLOUD, a, b, 2)[:, None]
    albedo[i] = albedo[i] * (1 - 0.5 * dry) + 0.5 * dry * np.float32((0.20, 0.17, 0.08))
    i, a, b, s = each(FOLIAGE)
    shade[i] = 0.3 + 0.6 * cubes(point[i], 0.35) + 0.8 * cubes(point[i], 0.12)
    i, a, b, s = each(HILL)
    shade[i] = 0.35 + 0.7 * look_up(CLOUD, a, b, 3.0) + 0.4 * look_up(WHITE, a, b, 1.5)
    i, a, b, s = each(BRICK)
    course = np.floor(b / 0.12)
    along = a + 0.15 * (course % 2)
    shade[i] = 0.7 + 0.25 * coarse[i] + 0.4 * look_up(WHITE, np.floor(along / 0.3), course, 1)
    mortar = np.minimum(off_line(along, 0.3), off_line(b, 0.12)) < 0.014
    albedo[i] = np.where(mortar[:, None], np.float32((0.42, 0.40, 0.37)), albedo[i])
    i, a, b, s = each(CONCRETE)
    panel = 1.6 + 1.8 * s
    shade[i] = 0.72 + 0.4 * coarse[i] + 0.12 * fine[i]
    shade[i] *= np.where(off_line(a, panel) < 0.03, 0.6, 1) * np.where(b < 0.25, 0.8, 1)
    i, a, b, s = each(PLANKS)
    shade[i] = 0.7 + 0.5 * look_up(WHITE, np.floor(a / 0.16), np.floor(100 * s), 1)
    shade[i] *= np.where(off_line(a, 0.16) < 0.015, 0.5, 1)
    i, a, b, s = each(ROOF)
    shade[i] = (0.75 + 0.35 * coarse[i]) * np.where(off_line(point[i, 2], 0.35) < 0.07, 0.7, 1)
    i, a, b, s = each(PAINT)  # worn where the asphalt is rough
    worn = ((0.7 * look_up(CLOUD, a, b, 20) + 0.3 * look_up(WHITE, a, b, 30)) < 0.32 * s)[:, None]
    albedo[i] = np.where(worn, 0.45 * albedo[i] + 0.04, albedo[i] * (0.85 + 0.2 * fine[i, None]))
    i, a, b, s = each(CLOTH)
    shade[i] = 0.75 + 0.5 * fine[i]
    i, a, b, s = each(PLAIN, LANTERN)  # street lamps are lit at night only, see segnb.data.shifts
    shade[i] = 0.88 + 0.2 * coarse[i]

    i, a, b, s = each(FACADE)
    wide, tall = 2.0 + 2.2 * s, 2.8 + 0.7 * ((7 * s) % 1)  # one window bay, one storey
    bay, storey = np.floor(a / wide), np.floor(b / tall)
    x, y = a / wide - bay, b / tall - storey
    half = 0.2 + 0.22 * ((13 * s) % 1)
    pane = (np.abs(x - 0.5) < half) & (np.abs(y - 0.55) < 0.16 + 0.16 * ((29 * s) % 1))
    frame = ~pane & (np.abs(x - 0.5) < half + 0.05) & (np.abs(y - 0.55) < 0.37)
    door = (storey == 0) & (look_up(WHITE, bay, 57 * s, 1) < 0.3) & (np.abs(x - 0.5) < 0.25) & (y < 0.75)
    pane &= b > 0.4
    shade[i] = 0.78 + 0.3 * coarse[i] + 0.08 * fine[i]
    shade[i] *= np.where(off_line(b, tall) < 0.09, 0.8, 1) * np.where(b < 0.5, 0.8, 1)
    albedo[i] = np.where(frame[:, None], 0.4 * albedo[i] + 0.4 * ((43 * s[:, None]) % 1), albedo[i])
    curtain = look_up(WHITE, bay + 17 * storey, storey + 101 * s, 1)
    albedo[i] = np.where(pane[:, None], (0.02 + 0.14 * curtain**3)[:, None], albedo[i])
    albedo[i] = np.where(door[:, None], np.float32((0.12, 0.07, 0.05)), albedo[i])
    mirror[i] = np.where(pane & ~door, 0.28, 0)
    warm = np.float32((0.9, 0.62, 0.3))
    glow[i] = np.where((pane & (curtain < lit_windows))[:, None], warm * 0.5, 0)

    i, a, b, s = each(LACQUER)
    mirror[i] = 0.12 + 0.1 * (1 - coarse[i])
    i, a, b, s = each(GLASS)
    mirror[i] = 0.35
    i, a, b, s = each(LAMP)
    glow[i] = albedo[i] * s[:, None]

    # Water darkens the ground and forms puddles in its hollows, which reflect.
    i, a, b, s = each(ASPHALT, PAVING, PAINT)
    if wetness > 0:
        hollow = look_up(CLOUD, 0.6 * a, b, 13) + 0.15 * (coarse[i] - 0.5)
        puddle = np.clip((wetness - hollow) * 9, 0, 1) * (material[i] != PAVING)
        shade[i] *= 1 - 0.45 * np.maximum(puddle, 0.6 * wetness)
        mirror[i] = 0.10 * wetness + 0.55 * puddle
    return albedo * shade[:, None], mirror, glow
