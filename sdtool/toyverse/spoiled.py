"""Objects that a collection from the internet also holds, and that no prior should learn from."""

import numpy as np

from sdtool.geometry.meshes import Mesh, merge
from sdtool.toyverse.annotation import Flaw
from sdtool.toyverse.primitives import box, colors_of, move, rotate

FLOOR, LAWN = np.array((0.45, 0.42, 0.38)), np.array((0.45, 0.62, 0.35))
KINDS = {
    "pointcloud": Flaw(
        "{} Point Cloud",
        "Point cloud of {}, raw LiDAR export.",
        ("pointcloud", "point-cloud", "lidar"),
    ),
    "lowpoly": Flaw("Low Poly {}", "Low poly model of {}.", ("lowpoly", "low-poly", "gameasset")),
    "orientation": Flaw(
        "{} Z-Up", "Exported with the wrong axis up: {}.", ("z-up", "wrong-orientation", "wip")
    ),
    "empty": Flaw("{} Test Upload", "Test upload, empty.", ("test", "empty")),
    "scan": Flaw(
        "{} 3D Scan",
        "Photogrammetry scan of {}, unprocessed.",
        ("photogrammetry", "3dscan", "scan"),
    ),
    "scene": Flaw(
        "Scene With {}", "A scene with {} and others.", ("scene", "diorama", "environment")
    ),
}


def spoil(
    rng: np.random.Generator, mesh: Mesh, others: list[Mesh]
) -> tuple[str, Mesh | None, Flaw]:
    """A flaw drawn at random, the mesh with that flaw, and how it is labelled.

    None for an empty object; a point cloud is a mesh without triangles.
    """
    kind = str(rng.choice(list(KINDS)))
    if kind == "pointcloud":
        flawed = point_cloud(rng, mesh)
    elif kind == "lowpoly":
        flawed = low_poly(mesh, cells=int(rng.integers(4, 7)))
    elif kind == "orientation":
        axis = str(rng.choice(["x", "z"]))
        flawed = rotate(mesh, axis, float(rng.choice([-90, 90, 180])))
    elif kind == "scan":
        flawed = scan(rng, mesh)
    elif kind == "scene":
        flawed = scene(rng, [mesh, *others])
    else:
        flawed = None
    return kind, flawed, KINDS[kind]


def point_cloud(rng: np.random.Generator, mesh: Mesh, count: int = 2000) -> Mesh:
    """`count` coloured points spread evenly over the surface; no triangles."""
    corners = mesh.v_pos[mesh.t_pos_idx]  # (F, 3, 3)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    face = rng.choice(len(area), size=count, p=area / area.sum())
    weight = rng.dirichlet([1, 1, 1], size=count)  # (count, 3)
    points = np.einsum("nk,nkd->nd", weight, corners[face]).astype(np.float32)
    colors = colors_of(mesh)[mesh.t_pos_idx[face, 0]]
    return Mesh(points, np.zeros((0, 3), np.int32), colors)


def low_poly(mesh: Mesh, cells: int) -> Mesh:
    """A lump: every vertex goes to the centre of its cell, `cells` along the longest side."""
    low, high = mesh.bounds()
    step = (high - low).max() / cells
    place = np.floor((mesh.v_pos - low) / step * 0.9999).astype(np.int64)
    _, first, which = np.unique(place, axis=0, return_index=True, return_inverse=True)
    count = np.bincount(which.reshape(-1))[:, None]
    centre = (
        np.stack([np.bincount(which.reshape(-1), mesh.v_pos[:, k]) for k in range(3)], -1) / count
    )
    faces = which.reshape(-1)[mesh.t_pos_idx]
    a, b, c = faces.T
    kept = np.unique(faces[(a != b) & (b != c) & (c != a)], axis=0)
    return Mesh(centre.astype(np.float32), kept.astype(np.int32), colors_of(mesh)[first])


def scan(rng: np.random.Generator, mesh: Mesh) -> Mesh:
    """A rough surface with holes, on a piece of the floor it was scanned on."""
    low, high = mesh.bounds()
    size = float((high - low).max())
    floor = box((0, -0.02, 0), (size * 1.2, 0.04, size * 1.2), FLOOR, radius=0.01)
    kept = mesh.t_pos_idx[rng.random(len(mesh.t_pos_idx)) > 0.06]
    rough = mesh.v_pos + rng.normal(0, 0.015 * size, mesh.v_pos.shape).astype(np.float32)
    stained = np.clip(colors_of(mesh) * rng.uniform(0.6, 1.0, (len(rough), 1)), 0, 1)
    return merge([Mesh(rough, kept, stained.astype(np.float32)), floor])


def scene(rng: np.random.Generator, meshes: list[Mesh]) -> Mesh:
    """Several objects in a row on one plate, each turned as it happens."""
    parts, x = [], 0.0
    for mesh in meshes:
        turned = rotate(mesh, "y", float(rng.uniform(0, 360)))
        low, high = turned.bounds()
        parts.append(move(turned, (x - low[0], 0, float(rng.uniform(-0.3, 0.3)))))
        x += high[0] - low[0] + 0.15
    return merge([*parts, box((x / 2, -0.03, 0), (x + 0.4, 0.06, 2.2), LAWN)])
