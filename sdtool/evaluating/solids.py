"""Facts about a mesh by geometry alone, and what a corgi must show: of a lift of one, on any device."""

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import Mesh


def slice_fill(mesh: Mesh, height: float, n: int = 96) -> np.ndarray:
    """(n, n) bool [z, x]: the solid cross-section at `height` (a share of the mesh's height).

    Cells of the plane are inside if a ray toward +x crosses the surface an odd number of times.
    The square spans the mesh's bounding box in x and z.
    """
    low, high = mesh.bounds().astype(float)
    y = low[1] + height * (high[1] - low[1]) + 1.234e-7
    tri = mesh.v_pos[mesh.t_pos_idx].astype(float)
    above = tri[..., 1] > y
    cut = tri[above.any(1) & ~above.all(1)]
    segments = []
    for t in cut:
        points = []
        for a, b in ((0, 1), (1, 2), (2, 0)):
            if (t[a, 1] > y) != (t[b, 1] > y):
                s = (y - t[a, 1]) / (t[b, 1] - t[a, 1])
                points.append((t[a] + s * (t[b] - t[a]))[[0, 2]])
        segments.append(points)
    rows = low[2] + (np.arange(n) + 0.5) / n * (high[2] - low[2]) + 3.21e-7
    columns = low[0] + (np.arange(n) + 0.5) / n * (high[0] - low[0])
    filled = np.zeros((n, n), bool)
    for (x0, z0), (x1, z1) in segments:
        hit = np.nonzero((rows > min(z0, z1)) & (rows <= max(z0, z1)))[0]
        crossing = x0 + (rows[hit] - z0) / (z1 - z0) * (x1 - x0) if len(hit) else []
        for row, x in zip(hit, crossing, strict=True):
            filled[row] ^= columns > x
    return filled


def voxels(mesh: Mesh, n: int = 48) -> np.ndarray:
    """(n, n, n) bool [y, z, x] over the bounding box."""
    return np.stack([slice_fill(mesh, (k + 0.5) / n, n) for k in range(n)])


def pieces(section: np.ndarray, share: float = 0.02) -> int:
    """Separate pieces of a cross-section, without specks below `share` of its filled area."""
    labels, count = ndimage.label(section)
    sizes = np.bincount(labels.ravel())[1 : count + 1]
    return int((sizes >= share * max(sizes.sum(), 1)).sum())


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def largest_component_share(mesh: Mesh) -> float:
    """The share of the surface area in the largest connected component."""
    faces = mesh.t_pos_idx.astype(np.int64)
    # vertices at one place are one vertex: exporters may split them
    _, place = np.unique(mesh.v_pos.round(6), axis=0, return_inverse=True)
    faces = place.ravel()[faces]
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    n = faces.max() + 1
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(n, n))
    _, label = connected_components(graph, directed=False)
    a, b, c = (mesh.v_pos[mesh.t_pos_idx[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    per = np.bincount(label[faces[:, 0]], weights=area)
    return float(per.max() / per.sum())


def corgi_facts(mesh: Mesh) -> dict[str, float]:
    """What a corgi of one head, two ears and four legs shows; of its colours, if it has any.

    largest_component: share of the area. legs: pieces of the section at 12% of the height. ears_in_front:
    share of the topmost vertices with z > 0. mirror_x, mirror_z: overlap with its mirror image, left and
    right, front and back; mirror_lead: by how much the first is larger. red, and what it is more than green,
    and green than blue: means over the vertices.
    """
    mesh = to_canonical(mesh)
    low, high = mesh.bounds()
    top = mesh.v_pos[mesh.v_pos[:, 1] > low[1] + 0.95 * (high[1] - low[1])]
    solid = voxels(mesh)
    facts: dict[str, float] = {
        "largest_component": largest_component_share(mesh),
        "legs": pieces(slice_fill(mesh, 0.12)),
        "ears_in_front": float((top[:, 2] > 0).mean()),
        "mirror_x": overlap(solid, solid[:, :, ::-1]),
        "mirror_z": overlap(solid, solid[:, ::-1, :]),
    }
    facts["mirror_lead"] = facts["mirror_x"] - facts["mirror_z"]
    if mesh.v_color is not None:
        red, green, blue = map(float, mesh.v_color.mean(axis=0))
        facts |= {"red": red, "red_over_green": red - green, "green_over_blue": green - blue}
    return facts


CORGI = {
    "largest_component": (0.95, 1.0),
    "legs": (4, 4),
    "ears_in_front": (0.9, 1.0),
    "mirror_lead": (0.2, 2.0),
    "red": (0.5, 1.0),  # it is ginger
    "red_over_green": (1e-3, 1.0),
    "green_over_blue": (1e-3, 1.0),
}
"""Between what the facts of a lifted corgi lie."""
