"""What Open3D does for sdtool, if it is installed: distances, surfaces of points, repairs.

Its wheels need the library libusb-1.0 and do not bring it. The package `libusb-package` does, and is
loaded first, so that a machine without it will do. The CPU build (`open3d-cpu`) is enough.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from sdtool.errors import MissingDependencyError, ObjectError
from sdtool.geometry.cleaning import clean, fill_holes
from sdtool.geometry.edges import edge_uses, turned_alike
from sdtool.geometry.meshes import Mesh

INSTALL = "pip install 'sdtool[open3d]'"
FEWEST = 16  # points of which a surface is made
NEIGHBOURS = 16  # points that tell how a surface lies at one of them
DEPTH = 8  # of the octree of screened Poisson: cells of 1/256 of the box
REACH = 4.0  # spacings of the points beyond which a surface is made up
RADII = (1.0, 2.0, 4.0)  # of pivoting balls, in spacings
ROUNDS = 3  # of filling holes and of mending edges
RAYS = 11  # that vote about one point


@cache
def library(purpose: str) -> Any:
    """The module open3d. purpose: what needs it, for the MissingDependencyError."""
    try:
        try:
            import libusb_package

            ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
        except (ImportError, OSError):  # then the system's own will do, if there is one
            pass
        import open3d
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            f"{purpose} needs the package Open3D, which cannot be loaded ({error}); install it with: "
            f"{INSTALL}"
        ) from None
    open3d.utility.set_verbosity_level(open3d.utility.VerbosityLevel.Error)
    return open3d


def signed_distance(points: np.ndarray, v_pos: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(P,) float32 signed distance of points (P, 3) to a mesh, negative inside.

    Inside is where most of some rays cross the surface an odd number of times: right for closed
    surfaces that do not overlap.
    """
    open3d = library("the signed distance to a mesh")
    scene = open3d.t.geometry.RaycastingScene()
    core = open3d.core
    scene.add_triangles(
        core.Tensor(np.ascontiguousarray(v_pos, np.float32)),
        core.Tensor(np.ascontiguousarray(faces, np.uint32)),
    )
    asked = core.Tensor(np.ascontiguousarray(points, np.float32))
    return scene.compute_signed_distance(asked, nsamples=RAYS).numpy().astype(np.float32)


# Points


@dataclass(frozen=True, eq=False)
class Points:
    """Points of a surface. v_pos (N, 3) float32; v_normal (N, 3) float32 and v_color (N, 3) float32
    sRGB-encoded in [0, 1], or None."""

    v_pos: np.ndarray
    v_normal: np.ndarray | None = None
    v_color: np.ndarray | None = None


def surface_of(points: Points, method: str, name: str) -> Mesh:
    """The surface that points lie on; vertices have the colour of the nearest point.

    method: "poisson", screened Poisson (Kazhdan and Hoppe 2013), closed where there are points around it
    and cut off where there are none; or "pivot", rolling balls (Bernardini et al. 1999), through the points
    themselves, with holes where they are sparse. Normals that are missing are estimated, made to agree
    with each other, and turned outward. name: of the file, in errors.

    ObjectError reasons: ``too-few-points``, ``non-finite``, ``no-surface``.
    """
    open3d = library("a surface of points (--surface-points)")
    if not np.isfinite(points.v_pos).all():
        raise ObjectError("non-finite", f"{name} has NaN or infinite points")
    v_pos, first = np.unique(points.v_pos.astype(np.float64), axis=0, return_index=True)
    size = float(np.ptp(v_pos, axis=0).max()) if len(v_pos) else 0.0
    if len(v_pos) < FEWEST or not size > 0:
        said = f"{name} has {len(v_pos)} different points; a surface needs {FEWEST}"
        raise ObjectError("too-few-points", said)
    middle = v_pos.mean(axis=0)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector((v_pos - middle) / size))
    given = None if points.v_normal is None else points.v_normal[first].astype(np.float64)
    _add_normals(open3d, cloud, given)
    spacing = float(np.median(np.asarray(cloud.compute_nearest_neighbor_distance())))
    try:
        if method == "poisson":
            depth = int(np.clip(round(np.log2(1 / spacing)), 5, DEPTH))
            # One thread, so that the same points give the same bytes.
            made, _ = open3d.geometry.TriangleMesh.create_from_point_cloud_poisson(
                cloud, depth=depth, n_threads=1
            )
        else:
            radii = open3d.utility.DoubleVector([spacing * r for r in RADII])
            made = open3d.geometry.TriangleMesh.create_from_point_cloud_ball_pivoting(cloud, radii)
    except RuntimeError as error:
        raise ObjectError("no-surface", f"{name}: no surface was found ({error})") from None
    found, faces = np.asarray(made.vertices), np.asarray(made.triangles).astype(np.int32)
    if len(found) == 0 or len(faces) == 0:
        raise ObjectError("no-surface", f"{name}: no surface was found through its points")
    from scipy.spatial import cKDTree

    away, nearest = cKDTree(np.asarray(cloud.points)).query(found)
    reach = REACH * max(spacing, 0.5**depth) if method == "poisson" else np.inf
    faces = faces[(away <= reach)[faces].all(axis=1)]
    used, corner = np.unique(faces, return_inverse=True)
    color = None if points.v_color is None else points.v_color[first][nearest[used]]
    v_pos = (found[used] * size + middle).astype(np.float32)
    return Mesh(v_pos, corner.reshape(-1, 3).astype(np.int32), color)


def _add_normals(open3d: Any, cloud: Any, given: np.ndarray | None) -> None:
    """Unit normals of a cloud around the origin: those of its file, or those that its shape gives."""
    if given is not None and np.isfinite(given).all():
        length = np.linalg.norm(given, axis=1, keepdims=True)
        if (length > 0).all():
            cloud.normals = open3d.utility.Vector3dVector(given / length)
            return
    cloud.estimate_normals(open3d.geometry.KDTreeSearchParamKNN(NEIGHBOURS))
    cloud.orient_normals_consistent_tangent_plane(NEIGHBOURS)
    normal, v_pos = np.asarray(cloud.normals), np.asarray(cloud.points)
    if np.einsum("ij,ij->i", normal, v_pos).sum() < 0:
        cloud.normals = open3d.utility.Vector3dVector(-normal)


# Repairs


@dataclass(frozen=True)
class Repair:
    """What was done to a mesh. edges: that more than two faces had, of which `removed` faces went.
    filled: faces that fill holes. left: edges that still have one face, or more than two."""

    edges: int
    removed: int
    filled: int
    left: int

    def __str__(self) -> str:
        left = f"; {self.left} edges could not be mended" if self.left else ""
        return (
            f"{self.edges} edges of more than two faces lost {self.removed} faces, "
            f"{self.filled} faces fill holes{left}"
        )


def repair(mesh: Mesh) -> tuple[Mesh, Repair]:
    """The mesh without edges that more than two faces have, and without holes, as far as possible.

    Vertices that are used stay as they are, with their colours. Faces that fill a hole join vertices
    of its border; where that does not work, they fan around a new one. Where holes were filled, all
    faces turn as most do.
    """
    open3d = library("export --repair")
    edges = removed = filled = 0
    for _ in range(ROUNDS):  # what fills a hole may be one face too many elsewhere
        before = len(mesh.t_pos_idx)
        if crowded := _edges_with(mesh.t_pos_idx)[1]:
            mesh = clean(_thinned(open3d, mesh))
        edges, removed = edges + crowded, removed + before - len(mesh.t_pos_idx)
        before = len(mesh.t_pos_idx)
        if _edges_with(mesh.t_pos_idx)[0]:
            mesh = clean(_closed(open3d, mesh))
        filled += len(mesh.t_pos_idx) - before
        if not sum(_edges_with(mesh.t_pos_idx)):
            break
    return mesh, Repair(edges, removed, filled, sum(_edges_with(mesh.t_pos_idx)))


def _thinned(open3d: Any, mesh: Mesh) -> Mesh:
    """The mesh without the smallest faces of edges that more than two have."""
    legacy = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(mesh.v_pos.astype(np.float64)),
        open3d.utility.Vector3iVector(mesh.t_pos_idx),
    )
    legacy.remove_non_manifold_edges()
    return Mesh(mesh.v_pos, np.asarray(legacy.triangles).astype(np.int32), mesh.v_color)


def _closed(open3d: Any, mesh: Mesh) -> Mesh:
    """The mesh with its holes filled; where two touch, the first round fills one of them."""
    faces, before = mesh.t_pos_idx, len(mesh.t_pos_idx)
    for _ in range(ROUNDS):
        left = _edges_with(faces)[0]
        faces = _filled(open3d, mesh, faces)
        if _edges_with(faces)[0] in (0, left):
            break
    # A diagonal of a hole may be an edge that two faces have already: there a fan is better.
    fits = ~_crowded(faces)
    fits[:before] = True
    made = Mesh(mesh.v_pos, faces[fits], mesh.v_color)
    return fill_holes(made) if _edges_with(made.t_pos_idx)[0] else made


def _filled(open3d: Any, mesh: Mesh, faces: np.ndarray) -> np.ndarray:
    """The faces, and after them those that fill holes between the same vertices."""
    core, (low, high) = open3d.core, mesh.bounds()
    v_pos = np.ascontiguousarray(mesh.v_pos, np.float32)
    holed = open3d.t.geometry.TriangleMesh(
        core.Tensor(v_pos), core.Tensor(np.ascontiguousarray(faces, np.int32))
    )
    closed = holed.fill_holes(hole_size=float(4 * np.linalg.norm(high - low)))
    made = closed.triangle.indices.numpy().astype(np.int32)
    if len(closed.vertex.positions) != len(v_pos) or (made[: len(faces)] != faces).any():
        return faces
    return turned_alike(made)


def _crowded(faces: np.ndarray) -> np.ndarray:
    """(F,) whether a face has an edge that more than two have."""
    edge, uses, _ = edge_uses(faces)
    crowded: np.ndarray = (uses[edge] > 2).reshape(-1, 3).any(axis=1)
    return crowded


def _edges_with(faces: np.ndarray) -> tuple[int, int]:
    """How many edges have one face, and how many have more than two."""
    _, uses, _ = edge_uses(faces)
    return int((uses == 1).sum()), int((uses > 2).sum())
