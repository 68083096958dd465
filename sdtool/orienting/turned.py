"""An object under several turns about +Y: its maps as they would be if that turn were the right one."""

from dataclasses import dataclass

import numpy as np

from sdtool.errors import ObjectError
from sdtool.geometry.cameras import ViewRange, orbit, rotate_y
from sdtool.geometry.ccm import to_canonical
from sdtool.io.objects import ObjectRecord
from sdtool.meshfiles import load_mesh
from sdtool.rendering.maps import render_maps

FIRST_AZIMUTH = 20.0
ELEVATION = 15.0
"""Degrees: where the first camera stands, a little to the side of what may be the front."""


@dataclass(frozen=True)
class TurnSettings:
    """turns: how many turns are compared, evenly around. views: cameras of each, evenly around.

    size: pixels a side. camera: where the cameras of the AGP's training stood.
    """

    turns: int = 4
    views: int = 4
    size: int = 64
    supersample: int = 4
    camera: ViewRange = ViewRange()

    def degrees(self) -> list[float]:
        """The turns, in degrees from +Z toward +X: 0 first."""
        return [k * 360 / self.turns for k in range(self.turns)]


def turned_maps(
    settings: TurnSettings, entry: tuple[int, ObjectRecord]
) -> tuple[np.ndarray, np.ndarray]:
    """CCMs (turns, views, 4, S, S) float32 and cameras (turns, views, 4, 4) float32 of one object.

    The cameras turn with the object: view v shows the same side of it at every turn, and what differs
    is which coordinates the map has, and where the camera says that it stands. ObjectError if the file
    cannot be used.
    """
    _, item = entry
    if item.path is None:
        raise ObjectError("missing-file", f"{item.uid} has no file in its collection")
    mesh = load_mesh(item.path)
    azimuth = np.radians(FIRST_AZIMUTH) + np.arange(settings.views) * (2 * np.pi / settings.views)
    fov, elevation = np.radians(settings.camera.fov), np.radians(ELEVATION)
    maps, cameras = [], []
    for angle in np.radians(settings.degrees()):
        turned = to_canonical(mesh.with_positions(rotate_y(mesh.v_pos, float(angle))))
        c2w = orbit(azimuth + angle, elevation, np.asarray(settings.camera.distance))
        shown = render_maps(turned, c2w, fov, settings.size, ("ccm",), settings.supersample)
        maps.append(shown["ccm"].transpose(0, 3, 1, 2))
        cameras.append(c2w)
    return np.stack(maps), np.stack(cameras)
