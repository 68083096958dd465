"""What a surface starts from: a sphere, an ellipsoid, somebody's mesh, or another lift."""

import sys
from pathlib import Path

import numpy as np
import torch

from sdtool.errors import InputError, MissingDependencyError, ObjectError, UsageError
from sdtool.geometry import open3d_tools
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import Mesh
from sdtool.lifting.lift_files import read_lift
from sdtool.lifting.scenes import implicit_to_sdf
from sdtool.shapes.grids import grid_points

AXES = {"sphere": (0.35, 0.35, 0.35), "ellipsoid": (0.25, 0.3, 0.4)}
"""Half axes along x, y and z, where the finished object will have its longest side near 1."""
STARTS = ("density", *AXES)


def check_start(init: str) -> None:
    """UsageError unless `init` is a name of `STARTS`, a file or a finished lift."""
    if init in STARTS or Path(init).is_file():
        return
    if not Path(init).is_dir():
        names = ", ".join(STARTS)
        raise UsageError(
            f"--init {init} does not exist; name a mesh file, a lift's directory or one of {names}",
            "--init",
        )
    read_lift(init)


def initial_sdf(
    init: str, resolution: int, half_extent: float, surface_points: str = ""
) -> torch.Tensor:
    """(n, n, n) float32 signed distance at the corners (z, y, x) of a grid over ±half_extent.

    n = resolution + 1. init: a name of `AXES`; a mesh file in glTF axes (+Y up, its front to +Z), which
    is centred and scaled to a longest side of 1; or a lift's directory: its density if it has one, else
    its mesh, as they stand there. surface_points: as `load_mesh` has it. The ellipsoid's distance is exact
    at its surface only.
    """
    points = grid_points(resolution + 1, half_extent)
    if init in AXES:
        axes = torch.tensor(AXES[init])
        length = (points / axes).norm(dim=-1)
        slope = (points / axes**2).norm(dim=-1).clamp(min=1e-6)
        return torch.where(length > 1e-3, length * (length - 1) / slope, -min(AXES[init]))
    if Path(init).is_dir():
        lifted = read_lift(init)
        if lifted.inside is not None:
            return implicit_to_sdf(
                lifted.inside(points.view(-1, 3).numpy()).reshape(points.shape[:3]), half_extent
            )
        return torch.from_numpy(_distance_to(lifted.mesh, init, points.numpy()))
    from sdtool.meshfiles import load_mesh

    try:
        mesh = to_canonical(load_mesh(Path(init), normals=False, surface_points=surface_points))
    except ObjectError as error:
        bare = error.reason == "no-triangles" and not surface_points
        cure = "; if it is points, add --surface-points poisson" if bare else ""
        raise InputError(f"--init {init} cannot be used: {error}{cure}") from None
    return torch.from_numpy(_distance_to(mesh, init, points.numpy()))


def _distance_to(mesh: Mesh, path: str, points: np.ndarray) -> np.ndarray:
    """(…,) float32 signed distance of points (…, 3) to a mesh; path: its name in errors."""
    distance = _signed_distance(points.reshape(-1, 3), mesh.v_pos, mesh.t_pos_idx)
    if not (distance < 0).any():
        raise InputError(
            f"--init {path} encloses no space at this resolution; close its holes, turn its faces "
            "outward, or raise tet_resolution with --set"
        )
    return distance.reshape(points.shape[:-1])


def _signed_distance(points: np.ndarray, v_pos: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(P,) float32, by libigl; by Open3D if only that is installed, which is said on stderr."""
    try:
        return by_winding(points, v_pos, faces)
    except ImportError:
        pass
    try:
        distance = open3d_tools.signed_distance(points, v_pos, faces)
    except MissingDependencyError:
        raise MissingDependencyError(
            "--init with a mesh needs the package libigl; install it with: pip install 'sdtool[init]'"
        ) from None
    print(
        "libigl is not installed: Open3D measures the distance to the mesh, which is right for closed "
        "meshes without overlaps (pip install 'sdtool[init]' for all others)",
        file=sys.stderr,
    )
    return distance


def by_winding(points: np.ndarray, v_pos: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(P,) float32 by libigl; inside is where the surface winds around a point (Barill et al. 2018),
    which holes and overlapping parts hardly disturb. ImportError without libigl."""
    import igl

    given = points.astype(np.float64), v_pos.astype(np.float64), faces.astype(np.int64)
    winding = igl.fast_winding_number(given[1], given[2], given[0])
    length = np.sqrt(igl.point_mesh_squared_distance(*given)[0])
    # libigl's own signed_distance scales by 1 - 2·winding: three times too far within overlaps.
    return np.where(np.abs(winding) > 0.5, -length, length).astype(np.float32)
