"""Specks and crumbs beside a model: no part of it, they would move it off the middle of every view."""

from dataclasses import replace

import numpy as np

from sdtool.geometry.meshes import Mesh
from sdtool.geometry.parts import connected_parts

SPECK = 0.02
"""Of the body's longest side: what is smaller is no wider than a pixel of a view."""
CRUMB, GAP = 0.08, 0.03
"""The same of what floats: smaller than `CRUMB`, and outside the box of the body by `GAP` or more."""


def without_specks(mesh: Mesh) -> tuple[Mesh, int]:
    """The mesh without its specks, and how many there were: connected parts smaller than `SPECK` that reach
    out of the box of the body, and those smaller than `CRUMB` that float outside of it. What is small
    inside of it, as an eye, or touches it, as an ear, stays. The body is all that stays.

    Vertices at one place are one. The mesh itself where there is none, or where a position is not finite.
    """
    faces = mesh.t_pos_idx
    if len(faces) < 2 or not np.isfinite(mesh.v_pos).all():
        return mesh, 0
    part = connected_parts(faces, len(mesh.v_pos))[1][faces[:, 0]]
    if (part == part[0]).all():
        return mesh, 0
    place = np.unique(mesh.v_pos, axis=0, return_inverse=True)[1].reshape(-1)
    part = connected_parts(place[faces], len(place))[1][place[faces[:, 0]]]
    part = np.unique(part, return_inverse=True)[1].reshape(-1)
    low, high = _boxes(mesh.v_pos[faces], part)
    specks = ~_body(low, high)
    if not specks.any():
        return mesh, 0
    kept = ~specks[part]
    texture = None if mesh.t_texture is None else mesh.t_texture[kept]
    return replace(mesh, t_pos_idx=faces[kept], t_texture=texture), int(specks.sum())


def _body(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(P,) bool: the largest part, and again and again what is near what is found, or large beside it."""
    size = (high - low).max(axis=1)
    body = np.arange(len(size)) == size.argmax()
    while True:
        whole = (high[body].max(axis=0) - low[body].min(axis=0)).max()
        large, wide = size >= CRUMB * whole, size >= SPECK * whole
        near = wide & (_beyond(low, high, body, False) < GAP * whole)
        inside = _beyond(low, high, body, True) <= 0
        grown = body | near | inside
        if (
            grown == body
        ).all():  # of what floats only then, that its size is told beside all that is near
            grown = body | large
        if (grown == body).all():
            return body
        body = grown


def _beyond(low: np.ndarray, high: np.ndarray, body: np.ndarray, far: bool) -> np.ndarray:
    """(P,) how far parts are out of the box of the body, by their far ends (far) or by their near
    ends, as wholes; 0 or less of what is not."""
    least, most = low[body].min(axis=0), high[body].max(axis=0)
    ends = (low, high) if far else (high, low)
    return np.maximum(least - ends[0], ends[1] - most).max(axis=1)


def _boxes(corners: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corners (P, 3) float64 of parts, from those of their faces (F, 3, 3)."""
    order = np.argsort(part, kind="stable")
    starts = np.searchsorted(part[order], np.arange(part.max() + 1))
    corners = corners[order].astype(np.float64)
    low = np.minimum.reduceat(corners.min(axis=1), starts)
    return low, np.maximum.reduceat(corners.max(axis=1), starts)
