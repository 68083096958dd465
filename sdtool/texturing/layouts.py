"""Which texture coordinates can be painted on, and new ones where they cannot.

A texel must show one place of the surface only. So the coordinates of a sheet stay if they lie in [0, 1],
do not overlap, and give every part of the surface its share; else all pieces of that sheet are
unwrapped together (`sdtool.exporting.unwrapping`).
"""

import numpy as np

from sdtool.errors import ObjectError
from sdtool.exporting.unwrapping import unwrap
from sdtool.geometry.meshes import Mesh, triangle_areas
from sdtool.rendering import kernels
from sdtool.texturing.pieces import Layout, Piece

BESIDE = 1e-3  # of the square: rounding of exporters
MEASURED = 1024  # pixels a side by which overlaps are measured
OVERLAP = 0.02  # of the coordinates' own area
LEAST_USED = 0.01  # of the square
COARSER, SQUEEZED = 16, 0.02
"""Faces whose texels are more than so many times as wide as the sheet's average; and the share of the
surface that may be such."""


def lay_out(
    pieces: list[Piece], own: list[np.ndarray], sheets: int, size: int
) -> tuple[list[Layout], list[str]]:
    """A layout for each piece; and for each sheet why its coordinates did not do, "" if they stay.

    own: (V, 3) of each piece, where it is painted. size: pixels a side of a sheet. ObjectError ``no-charts``
    if a surface cannot be unwrapped.
    """
    layouts: dict[int, Layout] = {}
    reasons = []
    for sheet in range(sheets):
        here = [k for k, piece in enumerate(pieces) if piece.sheet == sheet]
        some, places = [pieces[k] for k in here], [own[k] for k in here]
        reasons.append(unfit(some, places))
        if reasons[-1]:
            found = _unwrapped(some, places, size)
        else:
            found = [Layout(p.faces, np.asarray(p.v_uv).clip(0, 1)) for p in some]
        layouts |= dict(zip(here, found, strict=True))
    return [layouts[k] for k in range(len(pieces))], reasons


def unfit(pieces: list[Piece], own: list[np.ndarray]) -> str:
    """Why the texture coordinates of the pieces of one sheet cannot be painted on; "" if they can."""
    if any(piece.v_uv is None for piece in pieces):
        return "some of it has no texture coordinates"
    corners = np.concatenate([np.asarray(p.v_uv, np.float64)[p.faces] for p in pieces])
    if not np.isfinite(corners).all() or corners.min() < -BESIDE or corners.max() > 1 + BESIDE:
        return "its texture coordinates leave the square from 0 to 1"
    flat = corners.reshape(-1, 2)
    padded = np.concatenate([flat, np.zeros((len(flat), 1))], axis=1)
    faces = np.arange(len(flat), dtype=np.int32).reshape(-1, 3)
    on_sheet = triangle_areas(padded, faces)
    total = float(on_sheet.sum())
    if total < LEAST_USED:
        return "its texture coordinates use less than a hundredth of the square"
    clip = np.ones((len(flat), 4), np.float32)
    clip[:, :2], clip[:, 2] = 2 * flat - 1, 0
    covered = float((kernels.rasterize(clip, faces, MEASURED, MEASURED)[..., 3] > 0).mean())
    if total > covered * (1 + OVERLAP) + 4 / MEASURED**2:
        return "its texture coordinates overlap"
    in_space = np.concatenate(
        [triangle_areas(o, p.faces) for o, p in zip(own, pieces, strict=True)]
    )
    coarse = on_sheet * COARSER**2 < in_space * (total / max(float(in_space.sum()), 1e-30))
    if in_space[coarse].sum() > SQUEEZED * in_space.sum():
        return "its texture coordinates squeeze some of it into points"
    return ""


def _unwrapped(pieces: list[Piece], own: list[np.ndarray], size: int) -> list[Layout]:
    """The pieces on one new sheet. Vertices that stand at one place are one while it is cut, whatever their
    normals; faces without an area take any place of their vertices."""
    offsets = np.cumsum([0, *map(len, own)])
    used = np.concatenate(
        [p.faces.astype(np.int64) + offset for p, offset in zip(pieces, offsets, strict=False)]
    )
    places, point = np.unique(
        np.concatenate(own) + np.float32(0), axis=0, return_inverse=True, equal_nan=False
    )
    corners = point.reshape(-1)[used]  # (F, 3)
    solid = triangle_areas(places.astype(np.float64), corners) > 0
    if not solid.any():
        raise ObjectError("no-charts", "no triangle of it has an area")
    kept, number = np.unique(corners[solid], return_inverse=True)
    mesh = Mesh(places[kept].astype(np.float32), number.reshape(-1, 3).astype(np.int32))
    origin, v_uv, faces = unwrap(mesh, size)
    at = np.zeros(len(places), np.int64)  # any new vertex of each place
    at[kept[origin]] = np.arange(len(origin))
    new = at[corners]
    new[solid] = faces
    layouts, start = [], 0
    for piece in pieces:
        some = new[start : start + len(piece.faces)]
        start += len(piece.faces)
        pairs = piece.faces.astype(np.int64) * len(v_uv) + some
        which, numbers = np.unique(pairs, return_inverse=True)
        layouts.append(
            Layout(
                numbers.reshape(-1, 3).astype(np.int32),
                v_uv[which % len(v_uv)],
                (which // len(v_uv)).astype(np.int32),
            )
        )
    return layouts
