"""How much of each thing in a picture nothing hides."""

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from segnb.data.streets.scene import Scene
from segnb.data.streets.tracing import SKY, Tracer, camera_rays, majority
from segnb.labels import STREET

THINGS = tuple(STREET.id(name) for name in STREET.things)


def in_sight(scene: Scene, size: int) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel of a thing the share of it that is in sight × 255, at least 1; and the labels.

    Both uint8 (size, size). The share is counted in rays: those that end on the object, of those that
    would if it were alone on the street. First hits only, so its far side counts for nothing.
    """
    origins, directions = camera_rays(scene.camera, size)
    triangle, distance, _, _ = Tracer(scene).cast(origins, directions)
    solid = triangle >= 0
    labels = np.where(solid, scene.labels[triangle], np.uint8(SKY))
    objects = np.where(solid, scene.objects[triangle], 0)
    mask = majority(labels.reshape(-1, 4), distance.reshape(-1, 4))

    counted = (scene.objects.max() + 1, len(STREET))
    seen, alone = np.zeros((2, *counted), np.int64)
    np.add.at(seen, (objects, labels), 1)
    np.add.at(alone, silhouettes(scene, origins, directions), 1)
    share = np.minimum(seen / np.maximum(alone, 1), 1)  # a ray along an edge may find one and miss the other

    # Of the rays that bear the pixel's label, the object of most; a tie goes to the nearest.
    mine = labels.reshape(-1, 4) == mask[:, None]
    candidates = np.where(mine, objects.reshape(-1, 4), -1)
    votes = (candidates[:, :, None] == candidates[:, None, :]).sum(2)
    score = np.where(mine, votes + 1 / (2 + np.minimum(distance.reshape(-1, 4), 1e6)), -1)
    chosen = np.take_along_axis(candidates, score.argmax(1)[:, None], 1)[:, 0]
    visible = np.clip(np.round(255 * share[chosen, mask]), 1, 255).astype(np.uint8)
    visible[~np.isin(mask, THINGS)] = 0
    return visible.reshape(size, size), mask.reshape(size, size)


def silhouettes(scene: Scene, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Objects and labels of all first hits: one entry for each pair of a ray and a thing in its way, as if
    the thing were alone."""
    kept = np.flatnonzero(np.isin(scene.labels, THINGS))
    ray, found = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    if len(kept):
        rays = EmbreeScene()
        TriangleMesh(rays, scene.world[kept])
        travelled, todo = np.zeros(len(origins), np.float32), np.arange(len(origins))
        while len(todo):  # on through everything, surface by surface
            start = origins[todo] + directions[todo] * travelled[todo, None]
            hit = rays.run(start, directions[todo], output=True)
            met = hit["primID"] >= 0
            todo = todo[met]
            travelled[todo] += hit["tfar"][met] + 2e-3
            ray.append(todo)
            found.append(kept[hit["primID"][met]])
    ray, found = np.concatenate(ray), np.concatenate(found)
    # Surfaces came in order of distance: the first of each ray and object is the one that is seen.
    _, first = np.unique(ray * (scene.objects.max() + 1) + scene.objects[found], return_index=True)
    return scene.objects[found[first]], scene.labels[found[first]]
