"""Differentiable rasterisation: nvdiffrast's three primitives, in torch, on any device.

What is visible and where silhouettes are has no gradient: numba finds it on the CPU; elsewhere
nvdiffrast or Warp finds what is visible, the first that can be loaded, and else numba for it, on the
CPU; and Warp finds silhouettes, or else torch. Torch computes barycentrics and blending, so that
gradients reach the clip positions.
"""

import numpy as np
import torch

from sdtool.rendering import kernels, nvdiffrast_backend, silhouettes, warp_backend
from sdtool.rendering.face_ids import from_tensor
from sdtool.runtime import warp_module

SNAPS = ("nvdiffrast",)
"""Backends that move vertices to a grid of 1/16 pixel before they ask what is visible."""


def backend_for(device: torch.device) -> str:
    """Who finds what is visible for tensors on `device`: "numba", "nvdiffrast" or "warp"."""
    if device.type == "cpu":
        return "numba"
    if nvdiffrast_backend.can_be_loaded():
        return "nvdiffrast"
    return "warp" if warp_module.runs_on(device) else "numba"


def _visible(pos: torch.Tensor, faces: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(N, H, W, 4) float32 without gradients, where `pos` is."""
    backend = backend_for(pos.device)
    if backend == "nvdiffrast":
        return nvdiffrast_backend.rasterize(pos.detach().float(), faces, size)
    if backend == "warp":
        return warp_backend.rasterize(pos.detach(), faces, size)
    clip, triangles = pos.detach().cpu().numpy(), faces.cpu().numpy()
    views = np.stack([kernels.rasterize(view, triangles, *size) for view in clip])
    return torch.from_numpy(views).to(pos.device)


def rasterize(pos: torch.Tensor, faces: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Visibility and barycentrics of N views.

    pos: (N, V, 4) float32 clip positions. faces: (F, 3) int32. size: (H, W).
    Returns (N, H, W, 4) float32 (u, v, z/w, face id + 1), zero where empty; u, v, z/w carry
    gradients to `pos`. Row 0 is y_clip = −1 (the image's top with `sdtool.geometry.cameras.projection`).
    """
    height, width = size
    rast = _visible(pos, faces, size)
    if not pos.requires_grad:
        return rast
    view, row, column = torch.nonzero(rast[..., 3] > 0, as_tuple=True)
    face = from_tensor(rast[view, row, column, 3], len(faces)) - 1
    corner = pos.reshape(-1, 4)[faces.long()[face] + view[:, None] * pos.shape[1]]  # (P, 3, 4)
    x = (2 * column.to(pos.dtype) + 1) / width - 1
    y = (2 * row.to(pos.dtype) + 1) / height - 1
    pixel = torch.stack([x, y, torch.ones_like(x)], dim=-1)  # (P, 3)
    plane = torch.cat([corner[..., :2], corner[..., 3:]], dim=-1)  # (x, y, w)
    edge = torch.stack([_edge(plane, k, pixel) for k in range(3)], dim=-1)  # (P, 3)
    weight = edge / edge.sum(-1, keepdim=True)
    if backend_for(pos.device) in SNAPS:
        weight = _inside(weight)
    depth = (weight * corner[..., 2]).sum(-1) / (weight * corner[..., 3]).sum(-1)
    ids = rast[view, row, column, 3]
    values = torch.stack([weight[:, 0], weight[:, 1], depth, ids.to(pos.dtype)], dim=-1)
    flat = (view * height + row) * width + column
    empty = torch.zeros(rast.numel() // 4, 4, dtype=pos.dtype, device=pos.device)
    return empty.index_copy(0, flat, values).reshape(rast.shape)


def _inside(weight: torch.Tensor) -> torch.Tensor:
    """Barycentrics (P, 3) of points that may lie beyond their face, moved into it.

    A backend that snaps vertices shows faces where they are not: up to 14% of the pixels of a fine
    surface at 64×64 get weights outside [−0.05, 1.05]. u and v are clamped to [0, 1] and scaled to a
    sum of at most 1, as nvdiffrast does with its own; what was clamped has no gradient.
    """
    first = weight[:, :2].clamp(0, 1)
    first = first / first.sum(-1, keepdim=True).clamp(min=1)
    return torch.cat([first, 1 - first.sum(-1, keepdim=True)], dim=-1)


def _edge(plane: torch.Tensor, k: int, pixel: torch.Tensor) -> torch.Tensor:
    """Homogeneous edge function opposite to vertex k: (v_{k+1} × v_{k+2}) · pixel, in (x, y, w)."""
    a, b = plane[:, (k + 1) % 3], plane[:, (k + 2) % 3]
    return (torch.linalg.cross(a, b) * pixel).sum(-1)


def interpolate(attributes: torch.Tensor, rast: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Vertex attributes (V, C) or (N, V, C) at every pixel: (N, H, W, C), zero where empty.

    Gradients reach the attributes and, through u and v of `rast`, the positions.
    """
    n, height, width, _ = rast.shape
    view, row, column = torch.nonzero(rast[..., 3] > 0, as_tuple=True)
    picked = rast[view, row, column]
    face = faces.long()[from_tensor(picked[:, 3], len(faces)) - 1]
    if attributes.dim() == 3:
        face = face + (view * attributes.shape[1])[:, None]
        attributes = attributes.reshape(-1, attributes.shape[-1])
    u, v = picked[:, 0:1], picked[:, 1:2]
    a, b, c = (attributes.index_select(0, face[:, k]) for k in range(3))
    value = c + u * (a - c) + v * (b - c)
    flat = (view * height + row) * width + column
    image = value.new_zeros(n * height * width, attributes.shape[-1])
    return image.index_copy(0, flat, value).reshape(n, height, width, -1)


def antialias(
    image: torch.Tensor,
    rast: torch.Tensor,
    pos: torch.Tensor,
    faces: torch.Tensor,
    max_steps: int = 64,
) -> torch.Tensor:
    """Blend neighbouring pixels across silhouettes, so that coverage has a gradient in `pos`.

    image: (N, H, W, C). Between two pixel centres the silhouette lies at distance t from the nearer
    surface's pixel; if t > ½ the far pixel takes t − ½ of the near colour, else the near pixel takes
    ½ − t of the far one. The silhouette is searched by walking over the surface for up to
    `max_steps` faces: looking at one face only, as nvdiffrast does, loses the gradient when faces
    are smaller than a pixel. Each edge counts along the axis that it crosses steeply.
    """
    n, height, width, channels = image.shape
    view, near, far, first, second, axis = _silhouettes(pos, faces, rast, max_steps)
    if len(view) == 0:
        return image
    points = pos.reshape(-1, 4)
    a = _screen(points[first + view * pos.shape[1]], width, height)
    b = _screen(points[second + view * pos.shape[1]], width, height)
    start = torch.stack([near % width, near // width], dim=-1).to(pos.dtype)
    direction = torch.sign(far - near).to(pos.dtype)
    along = axis[:, None]
    level = start.gather(1, 1 - along) - a.gather(1, 1 - along)
    slope = (b - a).gather(1, 1 - along)
    slope = torch.where(slope.abs() < 1e-8, torch.full_like(slope, 1e-8), slope)
    reach = a.gather(1, along) + (b - a).gather(1, along) * level / slope
    t = ((reach - start.gather(1, along))[:, 0] * direction).clamp(0, 1)[:, None]
    near, far = near + view * height * width, far + view * height * width
    flat = image.reshape(-1, channels)
    difference = flat[near] - flat[far]
    blended = flat.index_add(0, far, (t - 0.5).clamp(min=0) * difference)
    blended = blended.index_add(0, near, (t - 0.5).clamp(max=0) * difference)
    return blended.reshape(image.shape)


def _silhouettes(pos, faces, rast, max_steps: int) -> tuple[torch.Tensor, ...]:
    """As `sdtool.rendering.silhouettes.silhouette_pairs`, on the CPU by numba."""
    if pos.device.type != "cpu":
        by = warp_backend if warp_module.runs_on(pos.device) else silhouettes
        return by.silhouette_pairs(pos.detach(), faces, rast.detach(), max_steps)
    triangles, clip, ids = faces.numpy(), pos.detach().numpy(), rast.detach().numpy()
    across = kernels.neighbours(triangles, pos.shape[1])
    found = [
        kernels.silhouette_pairs(one, triangles, across, image, max_steps)
        for one, image in zip(clip, ids, strict=True)
    ]
    view = torch.from_numpy(np.repeat(np.arange(len(found)), [len(pairs) for pairs in found]))
    return view, *torch.from_numpy(np.concatenate(found).astype(np.int64)).unbind(-1)


def _screen(points: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Clip positions (P, 4) → pixel coordinates (P, 2), where pixel centres are whole numbers."""
    x = (points[:, 0] / points[:, 3] + 1) * (0.5 * width) - 0.5
    y = (points[:, 1] / points[:, 3] + 1) * (0.5 * height) - 0.5
    return torch.stack([x, y], dim=-1)
