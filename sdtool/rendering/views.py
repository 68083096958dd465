"""From an object's file to its random views: what `sdtool render-ccm` does with each object."""

from dataclasses import dataclass

import numpy as np

from sdtool.errors import ObjectError
from sdtool.geometry.cameras import ViewRange, random_views, rotate_y
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import Mesh
from sdtool.io.objects import object_rng
from sdtool.meshfiles import load_mesh
from sdtool.meshfiles.limits import Limits
from sdtool.rendering.maps import render_maps


@dataclass(frozen=True)
class ViewSettings:
    """What all objects share. size: pixels a side. supersample: samples a pixel, a side."""

    views: int
    size: int
    supersample: int
    camera: ViewRange
    maps: tuple[str, ...]
    random_yaw: bool
    seed: int
    limits: Limits


def canonical_object(
    settings: ViewSettings, uid: str, path: str | None, yaw: float = 0.0
) -> tuple[Mesh, np.ndarray]:
    """Load an object: its mesh in canonical space, and its cameras (views, 4, 4).

    The cameras depend on seed and uid alone. yaw: degrees by which the object is turned, about +Y
    and from +Z toward +X, before anything else. ObjectError if the file cannot be used.
    """
    if path is None:
        raise ObjectError("missing-file", f"{uid} has no file in its collection")
    shaded = any(name in settings.maps for name in ("rgb", "normal"))
    mesh = load_mesh(path, settings.limits, textures="rgb" in settings.maps, normals=shaded)
    if yaw:
        mesh = _turned(mesh, np.radians(yaw))
    mesh = to_canonical(mesh)
    rng = object_rng(settings.seed, uid)
    c2w = random_views(rng, settings.views, settings.camera)
    if settings.random_yaw:
        mesh = to_canonical(_turned(mesh, rng.uniform(-np.pi, np.pi)))
    return mesh, c2w


def _turned(mesh: Mesh, angle: float) -> Mesh:
    """The mesh turned about +Y by `angle` radians, with its normals."""
    normal = None if mesh.v_normal is None else rotate_y(mesh.v_normal, angle)
    return mesh.with_positions(rotate_y(mesh.v_pos, angle), normal)


def render_object(settings: ViewSettings, mesh: Mesh, c2w: np.ndarray) -> dict[str, np.ndarray]:
    """The object's maps, by the CPU: name → (views, size, size, 4) float32, as `render_maps`."""
    fov = np.radians(settings.camera.fov)
    return render_maps(mesh, c2w, fov, settings.size, settings.maps, settings.supersample)
