"""Make a body of a surface: closed, a manifold, without parts that overlap.

By manifold3d, or else by Open3D if that alone is installed: docs/exporting.md has what each of them did
with damaged shapes and real models.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sdtool.errors import MissingDependencyError
from sdtool.geometry import manifolds, open3d_tools
from sdtool.geometry.cleaning import fill_holes, weld_nearby
from sdtool.geometry.edges import edge_faults, thinned, turned_alike, without_sheets
from sdtool.geometry.meshes import Mesh, triangle_areas
from sdtool.geometry.parts import submesh

LOSS = 0.02  # of a side: what is said
ROUNDS = 4  # what fills a hole may be one face too many elsewhere


@dataclass(frozen=True)
class Mended:
    """What was done. removed, filled: faces; united: how many parts became one surface, 0 if it is not
    closed; left: edges that lie open still; lost: of its width, height and depth, the shares that went
    with what had no thickness."""

    removed: int
    filled: int
    united: int
    left: int
    lost: tuple[float, ...] = (0.0, 0.0, 0.0)

    def __str__(self) -> str:
        said = f"{self.removed} faces removed, {self.filled} faces fill holes"
        if self.united > 1:
            said += f", {self.united} parts united"
        sides = zip(self.lost, ("width", "height", "depth"), strict=True)
        if gone := [f"{share:.0%} of the {side}" for share, side in sides if share > LOSS]:
            said += f"; with sheets, which have no thickness, went {' and '.join(gone)}"
        return said + (f"; {self.left} edges still lie open" if self.left else "")


def repairer() -> Callable[[Mesh], tuple[Mesh, object]]:
    """What repairs a mesh here, and says as text what it did. MissingDependencyError if nothing can."""
    purpose = "export --repair"
    try:
        manifolds.library(purpose)
        return mended
    except MissingDependencyError as error:
        try:
            open3d_tools.library(purpose)
            return open3d_tools.repair
        except MissingDependencyError as other:
            raise MissingDependencyError(f"{error}; or {other}") from None


def mended(mesh: Mesh) -> tuple[Mesh, Mended]:
    """The mesh as a closed body, as far as possible. Colours stay."""
    removed = filled = 0
    size = _size(mesh)
    if opened := edge_faults(without_sheets(mesh.t_pos_idx))[0]:
        joined = weld_nearby(
            mesh
        )  # parts that only touch should not be joined: it must close something
        if 2 * edge_faults(without_sheets(joined.t_pos_idx))[0] <= opened:
            mesh = joined
    for _ in range(ROUNDS):
        before = len(mesh.t_pos_idx)
        mesh = replace(mesh, t_pos_idx=turned_alike(without_sheets(mesh.t_pos_idx)))
        areas = triangle_areas(mesh.v_pos.astype(np.float64), mesh.t_pos_idx)
        mesh = submesh(mesh, thinned(mesh.t_pos_idx, areas))
        removed += before - len(mesh.t_pos_idx)
        if not edge_faults(mesh.t_pos_idx)[0]:
            break
        before = len(mesh.t_pos_idx)
        mesh = fill_holes(mesh, manifolds.cap)
        filled += len(mesh.t_pos_idx) - before
    left = edge_faults(mesh.t_pos_idx)[0]
    found = None if left else manifolds.united(mesh)
    mesh, united = (mesh, 0) if found is None else found
    lost = 1 - _size(mesh) / np.maximum(size, np.finfo(float).tiny)
    return mesh, Mended(removed, filled, united, left, tuple(lost.tolist()))


def _size(mesh: Mesh) -> np.ndarray:
    """(3,) float64: of what has faces; zeros where nothing has."""
    used = mesh.v_pos[np.unique(mesh.t_pos_idx)].astype(np.float64)
    return np.ptp(used, axis=0) if len(used) else np.zeros(3)
