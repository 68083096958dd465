"""Cameras: the one place where view angles become matrices.

Conventions: glTF axes (right-handed, +Y up, objects face +Z); OpenGL cameras that look down −Z.
Azimuth 0 sees the object's front (camera on +Z) and grows toward +X; elevation grows upward. Angles
are radians here and degrees at the command line. All arrays are numpy float32; rays may also be torch's.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sdtool.errors import InputError

if TYPE_CHECKING:
    import torch

REFERENCE_DISTANCE = 1.5
"""Where a sphere of diameter 1 nearly fills a 45° view; the paper's factors 0.9–1.1 multiply it."""

WITHIN = 0.97
"""Of half a picture: how far from its middle a model may reach."""


@dataclass(frozen=True)
class ViewRange:
    """Where random cameras stand (paper, section 3.1): degrees, and factors of `distance`."""

    fov: float = 45.0
    elevation: tuple[float, float] = (-10.0, 45.0)
    factor: tuple[float, float] = (0.9, 1.1)
    distance: float = REFERENCE_DISTANCE


@dataclass(frozen=True)
class OrthographicRange:
    """Where cameras without perspective stand: degrees, and factors of `distance`.

    scale: the world units that a side of the image shows. What is seen does not depend on the
    distance, which is only what a prior is told in `c2w`.
    """

    scale: float = 1.0
    elevation: tuple[float, float] = (-90.0, 90.0)
    factor: tuple[float, float] = (1.0, 1.0)
    distance: float = REFERENCE_DISTANCE
    model: str = "orthographic"


AnyRange = ViewRange | OrthographicRange


def view_range(fields: dict[str, Any]) -> AnyRange:
    """The cameras from the fields that a file keeps of them; what is missing takes its default.

    A file that names no model has perspective cameras. InputError if it names an unknown one.
    """
    model = fields.get("model", "perspective")
    if model not in ("perspective", "orthographic"):
        raise InputError(
            f"cameras of the model {model!r} are unknown here; a newer sdtool reads them"
        )
    kind: type[AnyRange] = OrthographicRange if model == "orthographic" else ViewRange
    known: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v
        for k, v in fields.items()
        if k in kind.__dataclass_fields__
    }
    return kind(**known)


def orbit(azimuth: np.ndarray, elevation: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Camera-to-world matrices that look at the origin.

    azimuth, elevation: (N,) radians (elevation strictly inside ±90°). distance: (N,) world units.
    Returns (N, 4, 4) float32.
    """
    azimuth, elevation, distance = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(a, np.float64)) for a in (azimuth, elevation, distance))
    )
    back = np.stack(  # the camera's +z axis: from the origin to the eye
        [
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
            np.cos(elevation) * np.cos(azimuth),
        ],
        axis=-1,
    )
    right = np.cross(np.array([0.0, 1.0, 0.0]), back)
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    up = np.cross(back, right)
    c2w = np.zeros((len(azimuth), 4, 4), np.float32)
    c2w[:, :3, 0], c2w[:, :3, 1], c2w[:, :3, 2] = right, up, back
    c2w[:, :3, 3] = back * distance[:, None]
    c2w[:, 3, 3] = 1.0
    return c2w


def azimuth_elevation(c2w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of `orbit`'s angles: (N,) azimuth in (−π, π] and (N,) elevation, radians."""
    eye = c2w[:, :3, 3]
    return np.arctan2(eye[:, 0], eye[:, 2]), np.arctan2(eye[:, 1], np.hypot(eye[:, 0], eye[:, 2]))


def projection(fov: float | np.ndarray, near: float = 0.1, far: float = 100.0) -> np.ndarray:
    """(4, 4) float32 perspective matrix for a square image; `fov` is the full angle in radians.

    (N, 4, 4) for fields of view (N,). The y row is negated so that row 0 of a rasterised image is its
    top (rasterisers put y_clip = −1 into row 0).
    """
    scale = 1.0 / np.tan(0.5 * np.asarray(fov))
    matrix = np.zeros((*scale.shape, 4, 4), np.float32)
    matrix[..., 0, 0], matrix[..., 1, 1] = scale, -scale
    matrix[..., 2, 2], matrix[..., 2, 3] = (
        -(far + near) / (far - near),
        -2 * far * near / (far - near),
    )
    matrix[..., 3, 2] = -1
    return matrix


def world_to_clip(c2w: np.ndarray, fov: float | np.ndarray) -> np.ndarray:
    """(N, 4, 4) float32 matrices M with clip = M @ (x, y, z, 1), for `c2w` (N, 4, 4).

    fov: radians, of all views or (N,).
    """
    return (projection(fov) @ _world_to_camera(c2w)).astype(np.float32)


def orthographic_to_clip(
    c2w: np.ndarray, scale: float, near: float = 0.1, far: float = 100.0
) -> np.ndarray:
    """As `world_to_clip`, of cameras without perspective; a side of the image shows `scale` world units."""
    matrix = np.diag([2 / scale, -2 / scale, -2 / (far - near), 1.0])
    matrix[2, 3] = -(far + near) / (far - near)
    return (matrix.astype(np.float32) @ _world_to_camera(c2w)).astype(np.float32)


def _world_to_camera(c2w: np.ndarray) -> np.ndarray:
    rotation, eye = c2w[:, :3, :3], c2w[:, :3, 3]
    w2c = np.zeros_like(c2w)
    w2c[:, :3, :3] = rotation.transpose(0, 2, 1)
    w2c[:, :3, 3] = -np.einsum("nji,nj->ni", rotation, eye)
    w2c[:, 3, 3] = 1.0
    return w2c


def points_of_depth(depth: np.ndarray, c2w: np.ndarray, views: AnyRange) -> np.ndarray:
    """Where the surface lies that a camera sees: (S, S, 3) float32, in the world of `c2w` (4, 4).

    depth: (S, S) float32, along the view's axis, at the pixel centres; row 0 is the image's top.
    """
    size = len(depth)
    step = (np.arange(size, dtype=np.float64) + 0.5) / size * 2 - 1
    if isinstance(views, OrthographicRange):
        half = np.full_like(depth, 0.5 * views.scale, np.float64)
    else:
        half = depth * np.tan(0.5 * np.radians(views.fov))
    local = np.stack([step * half, -step[:, None] * half, -depth], axis=-1)
    return (local @ c2w[:3, :3].T.astype(np.float64) + c2w[:3, 3]).astype(np.float32)


def pixel_rays(c2w: np.ndarray, fov: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Ray origins (N, 3) and unit directions (N, size, size, 3) through the pixel centres, float32."""
    step = (np.arange(size) + 0.5) / size * 2 - 1
    tangent = np.tan(0.5 * fov)
    x, y = np.meshgrid(step * tangent, -step * tangent)
    local = np.stack([x, y, -np.ones_like(x)], axis=-1)
    local /= np.linalg.norm(local, axis=-1, keepdims=True)
    directions = np.einsum("nij,hwj->nhwi", c2w[:, :3, :3], local)
    return c2w[:, :3, 3].copy(), directions.astype(np.float32)


def rays_on(
    device: "torch.device | str", c2w: np.ndarray, fov: float | np.ndarray, size: int
) -> "tuple[torch.Tensor, torch.Tensor]":
    """`pixel_rays` as torch tensors, computed on `device`, which nothing waits for: only the cameras are
    copied. fov: radians, of all views or (N,)."""
    import torch

    numbers = np.concatenate([c2w[:, :3].reshape(-1, 12), np.zeros((len(c2w), 1))], axis=1)
    numbers[:, 12] = np.tan(0.5 * np.asarray(fov))
    given = torch.from_numpy(numbers).to(device, non_blocking=True)  # (N, 13) float64
    pose, tangent = given[:, :12].view(-1, 3, 4, 1, 1), given[:, 12:, None]
    step = (torch.arange(size, dtype=torch.float64, device=device) + 0.5) / size * 2 - 1
    x, y = step[None] * tangent, -step[:, None] * tangent  # (N, 1, size), (N, size, 1)
    length = (x * x + y * y + 1).sqrt()
    local = x / length, y / length, -1 / length
    directions = [
        pose[:, i, 0] * local[0] + pose[:, i, 1] * local[1] + pose[:, i, 2] * local[2]
        for i in range(3)
    ]
    return pose[:, :, 3, 0, 0].float(), torch.stack(directions, dim=-1).float()


def random_views(rng: np.random.Generator, count: int, views: AnyRange) -> np.ndarray:
    """(count, 4, 4) float32 random cameras: azimuth uniform, elevation and distance in `views`."""
    azimuth = rng.uniform(-np.pi, np.pi, count)
    elevation = np.radians(rng.uniform(*views.elevation, count))
    return orbit(azimuth, elevation, views.distance * rng.uniform(*views.factor, count))


def turntable(count: int, views: AnyRange, elevation: float = 15.0) -> np.ndarray:
    """(count, 4, 4) float32 cameras evenly around the object, the first in front; degrees."""
    azimuth = np.arange(count) * (2 * np.pi / count)
    return orbit(azimuth, np.radians(elevation), np.asarray(views.distance))


def scale_within(points: np.ndarray, c2w: np.ndarray, fov: float) -> float:
    """The largest factor in (0, 1] by which points (V, 3), scaled about the origin, lie within every view.

    c2w: (N, 4, 4) of cameras that look at the origin from one distance; fov: radians. Cameras moved away
    from 1 to 1 / factor times their distance see the same of the points as they are.
    """
    distance, half = np.linalg.norm(c2w[0, :3, 3]), fov / 2
    far = points[np.linalg.norm(points, axis=1) > WITHIN * distance * np.sin(half)]
    if not len(far):  # no other point can be cut
        return 1.0
    turned = far @ c2w[:, :3, :3]  # (N, F, 3) in the cameras' frames
    slope = WITHIN * np.tan(half)
    # a point (x, y, z), scaled by s, is within where s|x| and s|y| ≤ slope · (distance − s z)
    room = np.abs(turned[..., :2]).max(axis=-1) + slope * turned[..., 2]
    return float(min(1.0, slope * distance / max(room.max(), 1e-6)))


def rotate_y(v_pos: np.ndarray, angle: float) -> np.ndarray:
    """Turn positions (V, 3) about +Y by `angle` radians (a front at +Z moves toward +X)."""
    c, s = np.cos(angle), np.sin(angle)
    return (v_pos @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])).astype(np.float32)
