"""What manifold3d does for sdtool, if it is installed: bodies united, cut and capped without new faults.

It takes closed, oriented meshes (edges of four faces and parts that overlap are fine), and what it gives is
closed, oriented and a manifold. It mends nothing: what is open is refused.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from sdtool.errors import MissingDependencyError
from sdtool.geometry.cleaning import NO_AREA
from sdtool.geometry.edges import edge_faults
from sdtool.geometry.meshes import Mesh, triangle_areas
from sdtool.geometry.parts import submesh

INSTALL = "pip install 'sdtool[print]'"
SHORT = 1e-6  # of the longest side: edges that are no longer than this go
INSIDE = (
    0.5  # of a cavity's volume that lies within other bodies; less: it is a body turned inside out
)


def library(purpose: str) -> Any:
    """The module manifold3d. purpose: what needs it, for the MissingDependencyError."""
    try:
        import manifold3d
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            f"{purpose} needs the package manifold3d, which cannot be loaded ({error}); install it with: "
            f"{INSTALL}"
        ) from None
    return manifold3d


def united(mesh: Mesh) -> tuple[Mesh, int] | None:
    """One closed surface around all the parts of a mesh, and of how many; None if it is not closed.

    Parts that overlap become one, faces within others go; parts inside out are turned, but for those within
    others, which are cavities and stay. Colours are interpolated where faces are cut. A part that overlaps
    itself stays so.
    """
    lib = library("export --repair")
    solid = _solid(lib, mesh)
    if solid is None:
        return None
    parts, colored = solid.decompose(), mesh.v_color is not None
    bodies = [part for part in parts if part.volume() > 0]
    turned = [_turned(lib, part, colored) for part in parts if part.volume() < 0]
    low, high = mesh.bounds().astype(np.float64)
    size = float((high - low).max())
    areas = triangle_areas(mesh.v_pos.astype(np.float64), mesh.t_pos_idx)
    sound = edge_faults(mesh.t_pos_idx) == (0, 0) and areas.min() > NO_AREA * size**2
    if sound and len(bodies) == len(parts) == 1:
        return mesh, 1
    whole = lib.Manifold.batch_boolean(bodies, lib.OpType.Add)
    outside = []
    for part in turned:
        if (whole ^ part).volume() > INSIDE * part.volume():
            whole = whole - part
        else:
            outside.append(part)
    made = lib.Manifold.batch_boolean([whole, *outside], lib.OpType.Add).simplify(SHORT * size)
    return _mesh(made, colored), len(bodies) + len(turned)


def cut_below(mesh: Mesh, height: float) -> Mesh | None:
    """The mesh above the plane y = height, closed there by a flat face; None if it is not closed."""
    lib = library("export --flat-base")
    solid = _solid(lib, mesh)
    if solid is None:
        return None
    return _mesh(solid.trim_by_plane((0.0, 1.0, 0.0), height), mesh.v_color is not None)


def cap(border: np.ndarray) -> np.ndarray | None:
    """Triangles (n − 2, 3) int64 between the corners (n, 3) of a hole's border, in its turn; None where its
    shadow on the plane that it lies closest to crosses itself."""
    lib = library("export --repair")
    if len(border) == 3:
        return np.array([[0, 1, 2]])
    points = border.astype(np.float64) - border.mean(axis=0)
    normal = np.cross(points, np.roll(points, -1, axis=0)).sum(axis=0)
    if not np.linalg.norm(normal) > 1e-12 * (np.ptp(points, axis=0).max() ** 2):
        return None
    normal /= np.linalg.norm(normal)
    side = np.cross(normal, np.eye(3)[np.argmin(np.abs(normal))])
    side /= np.linalg.norm(side)
    flat = np.stack([points @ side, points @ np.cross(normal, side)], axis=1)
    made = np.asarray(lib.triangulate([flat]), np.int64)
    x, y = flat.T
    (ax, bx, cx), (ay, by, cy) = x[made].T, y[made].T
    areas = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    whole = float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
    if len(made) != len(border) - 2 or (areas < -1e-9 * whole).any():
        return None
    return made


def _solid(lib: Any, mesh: Mesh) -> Any:
    """The Manifold of a mesh, with its colours; None if it is none."""
    values = mesh.v_pos if mesh.v_color is None else np.hstack([mesh.v_pos, mesh.v_color])
    rows = np.ascontiguousarray(values, np.float32)
    faces = np.ascontiguousarray(mesh.t_pos_idx, np.uint32)
    # Faces of one number may be merged where they lie in a plane, and lose what colours end between them.
    numbers = np.arange(len(faces), dtype=np.uint32)
    solid = lib.Manifold(lib.Mesh(rows, faces, face_id=numbers))
    return None if solid.status() != lib.Error.NoError or solid.is_empty() else solid


def _turned(lib: Any, part: Any, colored: bool) -> Any:
    """The same surface, the other way round."""
    found = _mesh(part, colored)
    return _solid(lib, replace(found, t_pos_idx=np.ascontiguousarray(found.t_pos_idx[:, ::-1])))


def _mesh(solid: Any, colored: bool) -> Mesh:
    """A Mesh; where the library has a vertex once for each of its colours, the first of them is taken."""
    found = solid.to_mesh()
    rows = np.asarray(found.vert_properties, np.float32)
    same = np.arange(len(rows))
    same[np.asarray(found.merge_from_vert, np.int64)] = np.asarray(found.merge_to_vert, np.int64)
    faces = same[np.asarray(found.tri_verts, np.int64)].astype(np.int32)
    color = np.clip(rows[:, 3:6], 0, 1) if colored else None
    mesh = Mesh(np.ascontiguousarray(rows[:, :3]), faces, color)
    return submesh(mesh, faces) if len(faces) else mesh
