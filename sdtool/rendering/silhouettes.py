"""Where silhouettes lie between pixels, in plain torch on any device.

The same walk over the surface as the CPU's in `sdtool.rendering.kernels`, for all pairs of pixels at
once. nvdiffrast's own antialiasing looks at one face only, and loses the gradient of silhouettes
whose faces are smaller than a pixel.
"""

import torch

from sdtool.rendering.face_ids import from_tensor


def neighbours(faces: torch.Tensor, vertices: int) -> torch.Tensor:
    """(F, 3) int64: the face across edge k (from vertex k to k + 1), or −1 at a border.

    faces: (F, 3) integers below `vertices`. Where more than two faces meet, they pair up in order.
    Faces that name a vertex twice have no neighbours.
    """
    faces = faces.long()
    # every half edge, numbered 3 · face + k, by the two vertices of its edge
    following = faces.roll(-1, 1)
    whole = (faces != following).all(1)[:, None].expand(-1, 3).reshape(-1)
    key = torch.minimum(faces, following) * vertices + torch.maximum(faces, following)
    half = torch.nonzero(whole)[:, 0]
    key, order = key.reshape(-1)[half].sort(stable=True)
    half = half[order]
    # half edges of one edge now stand together: the second, fourth … pairs up with the one before
    place = torch.arange(len(key), device=key.device)
    begins = torch.ones_like(key, dtype=torch.bool)
    begins[1:] = key[1:] != key[:-1]
    first = torch.where(begins, place, 0).cummax(0).values if len(key) else place
    second = torch.nonzero((place - first) % 2 == 1)[:, 0]
    across = torch.full((faces.numel(),), -1, dtype=torch.int64, device=faces.device)
    across[half[second]] = half[second - 1] // 3
    across[half[second - 1]] = half[second] // 3
    return across.reshape(-1, 3)


def silhouette_pairs(
    pos: torch.Tensor, faces: torch.Tensor, rast: torch.Tensor, max_steps: int
) -> tuple[torch.Tensor, ...]:
    """Neighbouring pixels between which the nearer surface ends.

    pos: (N, V, 4) clip. rast: (N, H, W, 4). Returns int64 (P,) each: view, near pixel, far pixel
    (flat indices within the view), the silhouette edge's two vertices, axis (0 = x, 1 = y).
    """
    _, height, width, _ = rast.shape
    # perspective division: pixel coordinates of the vertices that lie before the eye
    w = pos[..., 3:].double()
    valid = w[..., 0] > 1e-8
    size = torch.tensor([width, height], dtype=torch.float64).to(pos.device, non_blocking=True)
    screen = (pos[..., :2].double() / torch.where(w > 1e-8, w, 1.0) + 1) * 0.5 * size - 0.5
    across, faces = neighbours(faces, pos.shape[1]), faces.long()
    ids, depth = from_tensor(rast[..., 3], len(faces)), rast[..., 2]
    found = []
    for axis, dim in ((0, 2), (1, 1)):
        # pairs of pixels along the axis that show different faces
        count = rast.shape[dim] - 1
        here, there = ids.narrow(dim, 0, count), ids.narrow(dim, 1, count)
        view, row, column = torch.nonzero(here != there, as_tuple=True)
        row2, column2 = row + axis, column + 1 - axis
        # the nearer surface is the one that may end between them
        a, b = ids[view, row, column], ids[view, row2, column2]
        in_front = depth[view, row, column] <= depth[view, row2, column2]
        first = (b == 0) | ((a != 0) & in_front)
        face = torch.where(first, a, b) - 1
        x, y = torch.where(first, column, column2), torch.where(first, row, row2)
        # its silhouette edge, if the walk toward the other pixel meets one
        start, level = (x, y) if axis == 0 else (y, x)
        ends = _walk(
            screen, valid, faces, across, view, face, start.double(), level.double(),
            torch.where(first, 1.0, -1.0).double(), axis, max_steps,
        )  # fmt: skip
        one, two = row * width + column, row2 * width + column2
        near, far = torch.where(first, one, two), torch.where(first, two, one)
        kept = torch.nonzero(ends[:, 0] >= 0)[:, 0]
        rows = torch.stack([view, near, far, *ends.unbind(1), torch.full_like(view, axis)])
        found.append(rows[:, kept])
    return torch.cat(found, dim=1).unbind(0)


def _walk(
    screen, valid, faces, across, view, face, start, level, direction, axis: int, max_steps: int
) -> torch.Tensor:
    """Follow the surface from P pixel centres one pixel along `axis` until its silhouette.

    (P, 2) vertices of the silhouette edge met within one pixel, or −1. A line leaves a face through
    the edge that lies farthest ahead, so that it cannot turn back.
    """
    ends = torch.full((len(view), 2), -1, dtype=torch.int64, device=view.device)
    side = _area(screen, faces, view, face)
    at = torch.arange(len(view), device=view.device)  # the walks that still go on
    for _ in range(max_steps):
        if len(at) == 0:
            break
        # the edge through which the line leaves the face: of those that it crosses, the farthest ahead
        seen, here = view[at], face[at]
        corners = faces[here]
        points = screen[seen[:, None], corners]  # (P, 3, 2)
        along, off = points[..., axis], points[..., 1 - axis] - level[at, None]
        along2, off2 = along.roll(-1, 1), off.roll(-1, 1)
        crossed = (off < 0) != (off2 < 0)
        share = off / torch.where(crossed, off - off2, 1.0)
        ahead = (along + (along2 - along) * share - start[at, None]) * direction[at, None]
        best, edge = torch.where(crossed, ahead, -torch.inf).max(1)
        going = valid[seen[:, None], corners].all(1) & torch.isfinite(best) & (best <= 1)
        # is it a silhouette, a border or where the surface folds back?
        beyond = across[here, edge]
        folds = _area(screen, faces, seen, beyond.clamp(min=0)) * side[at] <= 0
        stops = (beyond < 0) | folds
        # then it counts if the line meets it ahead and crosses it steeply; else on to the next face
        run = (along2 - along).gather(1, edge[:, None])[:, 0].abs()
        rise = (off2 - off).gather(1, edge[:, None])[:, 0].abs()
        met = going & stops & (best >= 0) & (rise >= run)
        pair = torch.stack([edge, (edge + 1) % 3], dim=1)
        ends[at[met]] = corners.gather(1, pair)[met]
        going = going & ~stops
        face = face.index_copy(0, at[going], beyond[going])
        at = at[going]
    return ends


def _area(screen, faces, view, face) -> torch.Tensor:
    """(P,) twice the signed screen area of faces in their views."""
    a, b, c = screen[view[:, None], faces[face]].unbind(1)
    return (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
