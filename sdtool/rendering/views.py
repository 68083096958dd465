"""From an object's file to its random views: what `sdtool render-ccm` does with each object."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sdtool.errors import ObjectError
from sdtool.geometry.cameras import AnyRange, ViewRange, random_views, rotate_y
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import Mesh
from sdtool.io.objects import object_rng
from sdtool.meshfiles import load_mesh
from sdtool.meshfiles.limits import Limits
from sdtool.rendering.maps import render_maps

MIN_COVERAGE = 0.002
"""Of the maps of one object: 8 pixels of 64 × 64. A rod fills so much that is 200 times as long as thick."""


class MapSettings(Protocol):
    """What is known of the maps of a collection, wherever they come from: see `ViewSettings`."""

    @property
    def size(self) -> int: ...

    @property
    def camera(self) -> AnyRange: ...

    @property
    def maps(self) -> tuple[str, ...]: ...

    @property
    def min_coverage(self) -> float: ...


@dataclass(frozen=True)
class ViewSettings:
    """What all objects share. size: pixels a side. supersample: samples a pixel, a side.

    min_coverage: share of the pixels, over all views of an object, that have to show it.
    surface_points: as `load_mesh` has it.
    """

    views: int
    size: int
    supersample: int
    camera: ViewRange
    maps: tuple[str, ...]
    random_yaw: bool
    seed: int
    limits: Limits
    min_coverage: float = MIN_COVERAGE
    surface_points: str = ""


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
    textured = "rgb" in settings.maps
    mesh = load_mesh(path, settings.limits, textured, shaded, settings.surface_points)
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


def check_coverage(settings: MapSettings, uid: str, maps: dict[str, np.ndarray]) -> None:
    """ObjectError ``too-little-visible`` if maps (N, S, S, 4) show less of the object than they should.

    Something far away, be it a speck, has then made the rest too small: the box of an object decides
    about its size in a view.
    """
    coverage = float((next(iter(maps.values()))[..., 3].mean(dtype=np.float64) + 1) / 2)
    if coverage < settings.min_coverage:
        raise ObjectError(
            "too-little-visible",
            f"{uid} fills {coverage:.4%} of its views, under the least share of "
            f"{settings.min_coverage:.4%} (--min-coverage): it is very thin, or a part of it lies far "
            "away from the rest",
        )


def render_object(settings: ViewSettings, mesh: Mesh, c2w: np.ndarray) -> dict[str, np.ndarray]:
    """The object's maps, by the CPU: name → (views, size, size, 4) float32, as `render_maps`."""
    fov = np.radians(settings.camera.fov)
    return render_maps(mesh, c2w, fov, settings.size, settings.maps, settings.supersample)
