"""What is painted of a file: pieces of surface, and the sheets (sets of textures) that they share."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sdtool.errors import ObjectError
from sdtool.geometry.cameras import rotate_y
from sdtool.geometry.meshes import Texture


@dataclass(frozen=True, eq=False)
class Piece:
    """A surface with one set of texture coordinates: a primitive of a glTF mesh, a material of an OBJ.

    placed: (N, V, 3) float64, where its vertices stand in the scene, for each place in which the file shows
    it. faces: (F, 3) int32. v_uv: (V, 2) float32 glTF coordinates, or None. sheet: which set of textures it
    wears; pieces of one material wear one. v_cut: (V, 2) float32 coordinates in the image that cuts holes
    into its sheet (`Model.cutouts`), or None.
    """

    placed: np.ndarray
    faces: np.ndarray
    v_uv: np.ndarray | None
    sheet: int
    v_cut: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Layout:
    """The texture coordinates of a piece on its new sheet.

    faces: (F, 3) int32, in the order of the piece's. v_uv: (V, 2) float32 in [0, 1]. origin: (V,) int32,
    which vertex of the piece each one is; None where the piece keeps its own coordinates.
    """

    faces: np.ndarray
    v_uv: np.ndarray
    origin: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Paint:
    """The images of a sheet, (S, S, 3) uint8 each, as `sdtool.geometry.surfaces.BakedTextures` has them;
    base_color is (S, S, 4) where the former image had holes. metallic_roughness: None for plain colours."""

    base_color: np.ndarray
    metallic_roughness: np.ndarray | None = None


class Model(Protocol):
    """A file that is painted: of `sdtool.texturing.gltf_model` or `sdtool.texturing.obj_model`."""

    @property
    def pieces(self) -> list[Piece]:
        """All that stands in the scene."""

    @property
    def sheets(self) -> list[str]:
        """The names of the materials, one for each sheet."""

    @property
    def cutouts(self) -> list[Texture | None]:
        """For each sheet the former image whose alpha cuts or blends it; None where it is solid."""

    def outputs(self, pbr: bool) -> tuple[str, ...]:
        """The names of the files that `painted` makes, the model first."""

    def painted(self, layouts: list[Layout], paints: list[Paint]) -> dict[str, bytes]:
        """The file with new textures, and those beside it: name → bytes. A layout for each piece, a paint
        for each sheet."""


def canonical(pieces: list[Piece], yaw: float, name: str) -> list[np.ndarray]:
    """For each piece (N, V, 3) float32: its places in the space in which priors know objects.

    yaw: degrees by which the scene is turned about +Y first (its front at +Z moves toward +X). The box of all
    faces is centred, its longest side 1 (`sdtool.geometry.ccm.to_canonical`). ObjectError ``no-triangles``,
    ``non-finite`` or ``zero-extent``; name: of the file.
    """
    if not pieces:
        raise ObjectError("no-triangles", f"{name} holds no triangles")
    corners = []
    for piece in pieces:
        used = piece.placed[:, np.unique(piece.faces)].reshape(-1, 3)
        corners += [used.min(axis=0), used.max(axis=0)]
    if not np.isfinite(corners).all():
        raise ObjectError("non-finite", f"{name} has NaN or infinite vertex positions")
    middle = (np.min(corners, axis=0) + np.max(corners, axis=0)) / 2
    scale = float((np.max(corners, axis=0) - np.min(corners, axis=0)).max())
    if not scale > 0:
        raise ObjectError("zero-extent", f"{name} has no size: all its vertices coincide")
    near = [(piece.placed - middle) / scale for piece in pieces]
    with np.errstate(all="ignore"):  # vertices that no face uses may be anything
        turned = [rotate_y(a.reshape(-1, 3), np.radians(yaw)).reshape(a.shape) for a in near]
    seen = [a[:, np.unique(p.faces)].reshape(-1, 3) for a, p in zip(turned, pieces, strict=True)]
    low = np.min([some.min(axis=0) for some in seen], axis=0)
    high = np.max([some.max(axis=0) for some in seen], axis=0)
    return [((a - (low + high) / 2) / (high - low).max()).astype(np.float32) for a in turned]
