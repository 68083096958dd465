"""A torch-only rasteriser for small meshes: slow, plain, and what the fast backends are compared with."""

import torch


def rasterize(pos: torch.Tensor, faces: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The same contract as `sdtool.rendering.raster.rasterize`, by testing every pixel with every face.

    Memory grows with pixels × faces. Runs on any device; differentiable in `pos`.
    """
    height, width = size
    rows = (2 * torch.arange(height, device=pos.device, dtype=pos.dtype) + 1) / height - 1
    columns = (2 * torch.arange(width, device=pos.device, dtype=pos.dtype) + 1) / width - 1
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    pixel = torch.stack([x, y, torch.ones_like(x)], dim=-1)  # (H, W, 3)
    views = []
    for clip in pos:
        corner = clip[faces.long()]  # (F, 3, 4)
        plane = corner[..., [0, 1, 3]]
        a, b = plane.roll(-1, 1), plane.roll(-2, 1)
        # torch.linalg.cross may fuse and round: a face without area would get one
        normal = a.roll(-1, 2) * b.roll(-2, 2) - a.roll(-2, 2) * b.roll(-1, 2)  # (F, 3, 3)
        det = (normal[:, 0] * plane[:, 0]).sum(-1)  # (F,)
        edge = torch.einsum("hwc,fkc->hwfk", pixel, normal) / det[:, None]
        total = edge.sum(-1)
        depth = torch.einsum("hwfk,fk->hwf", edge, corner[..., 2])
        inside = (edge >= 0).all(-1) & (total > 0) & (depth.abs() <= 1) & (det != 0)
        depth = torch.where(inside, depth, torch.full_like(depth, torch.inf))
        nearest, face = depth.min(-1)
        hit = torch.isfinite(nearest)
        chosen = edge.gather(2, face[..., None, None].expand(-1, -1, 1, 3))[:, :, 0]
        weight = chosen / chosen.sum(-1, keepdim=True)
        value = torch.stack([weight[..., 0], weight[..., 1], nearest, face + 1.0], dim=-1)
        views.append(torch.where(hit[..., None], value, torch.zeros_like(value)))
    return torch.stack(views)
