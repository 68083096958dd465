"""3D Gaussians as splats: projected, sorted by depth, composited front to back, with gradients.

The projection is the one of EWA splatting (Zwicker et al. 2001), as 3D Gaussian splatting has it (Kerbl et
al. 2023, section 4), in torch. What a pixel adds up, and the gradients of that, is numba's on the CPU, in
float64 (`sdtool.rendering.splat_kernels`); tensors of other devices are copied there and back.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch

from sdtool.rendering import splat_kernels

BLUR = 0.1
"""Variance in pixels² that is added to every footprint, about a pixel's own (Mip-Splatting, Yu et al. 2024):
a splat between pixel centres is still seen."""
NEAR = 0.05
"""Splats that are nearer to the eye's plane, in units, are not drawn."""


class Footprints(NamedTuple):
    """Splats on the screens of N views: center (N, G, 2) in pixels, whole numbers at pixel centres; conic
    (N, G, 3), inverse covariance; opacity (N, G); order (N, G) int64, nearest first."""

    center: torch.Tensor
    conic: torch.Tensor
    opacity: torch.Tensor
    order: torch.Tensor


def rotations(quaternion: torch.Tensor) -> torch.Tensor:
    """(G, 3, 3) of quaternions (G, 4), w first, of any length above 0. Columns are the turned axes."""
    w, x, y, z = torch.nn.functional.normalize(quaternion, dim=-1).unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def project(
    points: torch.Tensor,
    axes: torch.Tensor,
    opacity: torch.Tensor,
    c2w: np.ndarray,
    fov: float | np.ndarray,
    size: int,
) -> Footprints:
    """Gaussians on the screens of cameras c2w (N, 4, 4), size pixels a side.

    points: (G, 3) centres. axes: (G, 3, 3) M with covariance M Mᵀ: rotation times standard deviations.
    opacity: (G,) in [0, 1]. fov: radians, of all views or (N,).
    """
    pose = torch.from_numpy(np.asarray(c2w, np.float64)).to(points, non_blocking=True)
    tangent = np.tan(0.5 * np.broadcast_to(np.asarray(fov, np.float64), len(c2w)))
    focal = torch.from_numpy(0.5 * size / tangent).to(points, non_blocking=True)[:, None]
    turn = pose[:, None, :3, :3]  # the world's to the camera's axes by its transpose
    x, y, z = ((points - pose[:, None, :3, 3])[..., None] * turn).sum(-2).unbind(-1)  # (N, G)
    depth = (-z).clamp(min=NEAR)
    u, v = x / depth, -y / depth
    middle = 0.5 * size - 0.5
    center = torch.stack([focal * u + middle, focal * v + middle], dim=-1)
    # the rows of the perspective's Jacobian (Zwicker et al., equation 29), in the world's axes
    right, up, back = turn.unbind(-1)  # (N, 1, 3)
    scale = (focal / depth)[..., None]
    across, down = scale * (right + u[..., None] * back), scale * (-up + v[..., None] * back)
    across = (across[..., None] * axes).sum(-2)  # (N, G, 3): along the splat's own axes
    down = (down[..., None] * axes).sum(-2)
    xx, yy = across.square().sum(-1) + BLUR, down.square().sum(-1) + BLUR
    xy = (across * down).sum(-1)
    conic = torch.stack([yy, -xy, xx], dim=-1) / (xx * yy - xy * xy)[..., None]
    seen = torch.where(-z > NEAR, opacity, torch.zeros_like(z))
    return Footprints(center, conic, seen, depth.detach().argsort(dim=-1, stable=True))


def splat(found: Footprints, features: torch.Tensor, size: int) -> torch.Tensor:
    """Images (N, size, size, C) of features (N, G, C): Σ w·feature, w = α · Π (1 − α of what is nearer).

    A feature of 1 gives the coverage; what else there is, is premultiplied by it.
    """
    return _Composited.apply(size, found.order, *found[:3], features)


class _Composited(torch.autograd.Function):
    @staticmethod
    def forward(ctx, size, order, *given):
        order, arrays = order.cpu().numpy(), [_doubles(one) for one in given]
        views, channels = len(order), given[3].shape[-1]
        image = np.zeros((views, size, size, channels))
        clear = np.ones((views, size, size))
        _for_each(
            lambda n: splat_kernels.composite(
                order[n], *(one[n] for one in arrays), image[n], clear[n]
            ),
            views,
        )
        ctx.kept = order, arrays, image
        return torch.from_numpy(image).to(given[3])

    @staticmethod
    def backward(ctx, pull):
        order, arrays, image = ctx.kept
        like, pull = pull, _doubles(pull)
        behind, clear = (pull * image).sum(-1), np.ones(image.shape[:3])
        found = [np.zeros_like(one) for one in arrays]
        _for_each(
            lambda n: splat_kernels.pull_back(
                order[n], *(one[n] for one in arrays), pull[n], behind[n], clear[n],
                *(one[n] for one in found),
            ),
            len(order),
        )  # fmt: skip
        return None, None, *(torch.from_numpy(one).to(like) for one in found)


def _doubles(given: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(given.detach().cpu().numpy(), dtype=np.float64)


def _for_each(work, views: int) -> None:
    """Each view by itself, so that no sum depends on how many threads there are."""
    threads = min(views, torch.get_num_threads())
    if threads < 2:
        for n in range(views):
            work(n)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(views)))


def density_grid(
    points: torch.Tensor,
    axes: torch.Tensor,
    opacity: torch.Tensor,
    half: float,
    n: int,
    wider: float = 0.0,
) -> np.ndarray:
    """(n, n, n) float64 sum of all Gaussians times their opacities, at the corners (z, y, x) of a grid over
    ±half; points, axes, opacity as in `project`. wider: standard deviation, in units, of a blur, without
    which the grid may miss thin ones."""
    m = _doubles(axes)
    covariance = m @ m.transpose(0, 2, 1) + np.eye(3) * wider**2
    grid = np.zeros((n, n, n))
    reach = 3 * np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    splat_kernels.fill(
        _doubles(points), np.linalg.inv(covariance), reach, _doubles(opacity), half, grid
    )
    return grid
