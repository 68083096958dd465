"""Repeated parts, whatever they are parts of: a detail that is seen once more from another side, where the
object's own symmetry does not put it."""

import numpy as np
import torch
from torch.nn import functional

PATCH = 18  # pixels a side of a detail, of 64
DETAILS = 3  # of each view, those of most relief
SCALES = (1.0, 0.75, 0.55)
APART = 2  # views of twelve, at least, between a detail and its copy
SMOOTH = 9  # pixels: what is broader than that is the shape of the whole, not a detail
STRONG = 40.0  # relief, a sum of squares over a detail; what has less is plain
OWN, TURNED = 0.75, 0.9  # alike: from then on views are a mirror pair, and a turn changes nothing


def repeated_parts(views: np.ndarray) -> float:
    """How well the most distinctive details of some side are found again on another one, in [0, 1].

    views: (N, 64, 64, 4) of `views.normal_views`, N evenly around. Normals less their local mean are the
    relief; a detail is a square of it. What it is like elsewhere is the normalised cross-correlation ρ
    with the views at least 60° away, at three sizes, weighted by how much relief it has:

        repeated = max over details d of  min(1, e_d / STRONG) · max over other sides, places, sizes of ρ

    Not compared are a view and its mirror partner in the best plane of symmetry; and what a turn by less
    than half a circle maps onto itself has no repeated parts but by nature: 0.
    """
    seen = torch.from_numpy(np.ascontiguousarray(views)).permute(0, 3, 1, 2)
    count = len(seen)
    turns = range(1, count // 2)
    alike = _alike(seen, seen)
    own = alike.diagonal().clamp(min=1e-6)
    alike = alike / torch.sqrt(own[:, None] * own)
    places = torch.arange(count)
    if max(alike[places, (places + turn) % count].mean() for turn in turns) > TURNED:
        return 0.0
    partner = _mirror_partners(seen, own)
    cover = functional.avg_pool2d(seen[:, 3:], SMOOTH, 1, SMOOTH // 2)
    mean = functional.avg_pool2d(seen[:, :3], SMOOTH, 1, SMOOTH // 2) / cover.clamp(min=0.1)
    relief = (seen[:, :3] - mean) * seen[:, 3:]
    energy = functional.avg_pool2d(relief.square().sum(1, keepdim=True), PATCH, 1) * PATCH**2
    details, weights, origin = _details(relief, energy)
    if not len(details):
        return 0.0
    best = torch.zeros(len(details))
    between = (origin[:, None] - places).abs()
    between = torch.minimum(between, count - between)
    allowed = between >= APART
    if partner is not None:
        allowed &= (partner[origin][:, None] - places).abs() % count > 1
    for scale in SCALES:
        size = round(PATCH * scale)
        small = functional.interpolate(details, (size, size), mode="bilinear", antialias=True)
        small = small / small.flatten(1).norm(dim=1)[:, None, None, None].clamp(min=1e-6)
        found = functional.conv2d(relief, small)
        there = functional.avg_pool2d(relief.square().sum(1, keepdim=True), size, 1) * size**2
        rho = (found / there.sqrt().clamp(min=(STRONG / 4 * scale) ** 0.5)).amax(dim=(2, 3))
        best = torch.maximum(best, torch.where(allowed.T, rho, 0).amax(0))
    return float((best * weights).max())


def _details(relief: torch.Tensor, energy: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """(D, 3, PATCH, PATCH) details of most relief, their weights (D,) and the views (D,) they are of."""
    found, weights, origin = [], [], []
    energy = energy.clone()
    for view in range(len(relief)):
        for _ in range(DETAILS):
            value, place = energy[view, 0].flatten().max(0)
            if value < STRONG / 4:
                break
            y, x = divmod(int(place), energy.shape[-1])
            found.append(relief[view, :, y : y + PATCH, x : x + PATCH])
            weights.append(min(1.0, float(value) / STRONG))
            origin.append(view)
            near = PATCH // 2
            energy[view, 0, max(0, y - near) : y + near, max(0, x - near) : x + near] = 0
    if not found:
        return torch.zeros(0), torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    return torch.stack(found), torch.tensor(weights), torch.tensor(origin)


def _alike(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(N, M) how alike views (N, 4, H, W) and (M, 4, H, W) are, as in `measures.repetition`, half size."""
    a, b = (functional.avg_pool2d(views, 2) for views in (a, b))
    dots = (a[:, None, :3] * b[None, :, :3]).sum(2).clamp(min=0).sum((-1, -2))
    either = torch.maximum(a[:, None, 3], b[None, :, 3]).sum((-1, -2))
    return dots / either.clamp(min=1e-6)


def _mirror_partners(seen: torch.Tensor, own: torch.Tensor) -> torch.Tensor | None:
    """(N,) the view that each view mirrors in the best plane of symmetry; None if there is none."""
    count = len(seen)
    mirrored = seen.flip(3) * torch.tensor([-1.0, 1, 1, 1])[None, :, None, None]
    alike = _alike(seen, mirrored) / torch.sqrt(own[:, None] * own)
    places = torch.arange(count)
    means = torch.stack([alike[places, (s - places) % count].mean() for s in range(count)])
    best = int(means.argmax())
    return (best - places) % count if means[best] > OWN else None
