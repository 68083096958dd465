"""Canonical coordinate maps (paper, section 3.1): normalisation, the four-channel latent form, and back.

The functions work on numpy arrays and torch tensors alike (plain operators only), except where said.
A *map* has four channels: 0–2 are (2·value − 1)·coverage, 3 is 2·coverage − 1; the background is
(0, 0, 0, −1). The value is a canonical coordinate here; the same form holds colours and normals.
"""

import numpy as np

from sdtool.geometry.meshes import Mesh


def to_canonical(mesh: Mesh) -> Mesh:
    """Centre the tight bounding box at the origin; scale uniformly so that its longest side is 1."""
    low, high = mesh.bounds().astype(np.float64)
    v_pos = np.empty_like(mesh.v_pos)
    np.subtract(mesh.v_pos, (low + high) / 2, out=v_pos, casting="same_kind")  # in float64
    v_pos /= (high - low).max()
    return mesh.with_positions(v_pos, mesh.v_normal)


def turned_z_up(points: np.ndarray) -> np.ndarray:
    """Positions or directions (..., 3) of our axes in those of printing: +Z up, the front toward −Y.

    A quarter turn about x, so what is right-handed stays so: (x, y, z) becomes (x, −z, y).
    """
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([x, -z, y], axis=-1)


def turned_y_up(points: np.ndarray) -> np.ndarray:
    """The inverse of `turned_z_up`: of Blender's axes, in which a glTF's front looks toward −Y."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([x, z, -y], axis=-1)


def turned_crm(points: np.ndarray) -> np.ndarray:
    """Positions (..., 3) of our axes in those of CRM's maps, and back: it is its own inverse.

    There +z is up, the front looks toward +y, and +x is to the left of who sees the front.
    """
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([-x, z, y], axis=-1)


def canonical_coordinates(points, low, high):
    """Positions (..., 3) → canonical coordinates in [0, 1], each axis on its own (anisotropic).

    low, high: (3,) box corners. A flat axis (no extent) maps to 0.5 at its plane.
    """
    extent = high - low
    flat = extent < 1e-6
    return (points - low + 0.5 * flat) / (extent + flat)


def encode_map(value, coverage):
    """value (..., 3) in [0, 1] (not premultiplied), coverage (..., 1) in [0, 1] → map (..., 4)."""
    color = (2 * value - 1) * coverage
    alpha = 2 * coverage - 1
    if isinstance(color, np.ndarray):
        return np.concatenate([color, alpha], axis=-1)
    import torch

    return torch.cat([color, alpha], dim=-1)


def decode_map(image):
    """Map (..., 4) → value (..., 3) in [0, 1] and coverage (..., 1) in [0, 1]; value 0.5 where empty."""
    coverage = (image[..., 3:] + 1) / 2
    coverage = coverage.clip(0, 1)
    value = (image[..., :3] / coverage.clip(1e-3, None) + 1) / 2
    return value.clip(0, 1), coverage


def downsample(image: np.ndarray, factor: int) -> np.ndarray:
    """Average (N, H, W, C) over factor×factor blocks. Maps are premultiplied, so this is exact."""
    n, h, w, c = image.shape
    return image.reshape(n, h // factor, factor, w // factor, factor, c).mean(axis=(2, 4))
