"""Views of a model as if it had other proportions along its height: a larger head, shorter legs, a waist."""

import numpy as np
import torch
from torch.nn import functional

KNOTS = 5  # heights between which proportions change gradually
SPREAD = 0.28  # of the logarithms of proportions at these heights
SIZES = (0.8, 1.15)  # of the whole, as a factor


def proportions(rng: np.random.Generator, count: int, rows: int) -> np.ndarray:
    """(count, 2, rows) factors by which models become wider and taller, of each row of a picture."""
    at, knots = np.linspace(0, KNOTS - 1, rows), np.arange(KNOTS)
    drawn = rng.normal(0, SPREAD, (count * 2, KNOTS))
    along = np.exp([np.interp(at, knots, one) for one in drawn]).reshape(count, 2, rows)
    along[:, 1] *= (1 / along[:, 1]).mean(1, keepdims=True)  # the whole stays as tall
    return along * rng.uniform(*SIZES, (count, 2, 1))


def reshaped(
    views: torch.Tensor, factors: np.ndarray, room: np.ndarray | float = 1.0
) -> torch.Tensor:
    """Views (B, N, H, W, 4 or more) of models that are wider and taller by these factors (B, 2, H), of each
    row of the result, about the middle of the picture, and no larger than the share `room` of the picture,
    of all or (B,). All sides of a model alike; what follows the normals moves along. Exact for a far, level
    camera, but for the normals where the width changes.
    """
    if not len(views):
        return views
    count, sides, height, width, channels = views.shape
    seen = views[..., 3] > 0.05
    across, down = _places(width, views.device), _places(height, views.device)
    most = torch.as_tensor(room, device=views.device).float()
    wide = (seen.any(2).any(1) * across.abs()).amax(-1).clamp(0.2, 0.98) / most
    tall = (seen.any(3).any(1) * down.abs()).amax(-1).clamp(0.2, 0.98) / most
    scale = torch.from_numpy(factors).float().to(views.device)
    narrower, rate = (1 / scale).unbind(1)
    narrower = torch.maximum(narrower, wide[:, None])
    mean = rate.mean(1, keepdim=True)
    rate = rate * torch.maximum(mean, tall[:, None]) / mean
    # from the picture's middle, where row 0 is at the first half of a step
    above = (rate.cumsum(1) - rate / 2) * 2 / height - rate.mean(1, keepdim=True)
    grid = torch.stack(
        [across * narrower[..., None], above[..., None].expand(-1, -1, width)], dim=-1
    )
    flat = views.permute(0, 1, 4, 2, 3).reshape(count, sides * channels, height, width)
    found = functional.grid_sample(flat, grid, align_corners=False)
    found = found.view(count, sides, channels, height, width)
    normal = found[:, :, :3]
    turned = normal * torch.stack([narrower, rate, narrower], 1)[:, None, :, :, None]
    length = _length(turned).clamp(min=1e-6)
    normal = turned * (_length(normal) / length)
    return torch.cat([normal, found[:, :, 3:]], dim=2).permute(0, 1, 3, 4, 2).contiguous()


def off_middle(
    rng: np.random.Generator, views: torch.Tensor, azimuths: torch.Tensor, pixels: float
) -> torch.Tensor:
    """Views (N, H, W, C) of one model as if it stood so many pixels off the axis of the camera's round, to
    a side drawn at random, and up to half as many higher or lower; it moves to and fro, once a turn.

    azimuths: (N,) radians. What leaves a picture comes in again on its other side: see `room`.
    """
    phase, up = rng.uniform(0, 2 * np.pi), round(rng.uniform(-0.5, 0.5) * pixels)
    moves = (pixels * torch.cos(azimuths + phase)).round().int().tolist()
    return torch.stack([one.roll((up, x), (0, 1)) for one, x in zip(views, moves, strict=True)])


def _length(vectors: torch.Tensor) -> torch.Tensor:
    """(…, 1, H, W) lengths of (…, 3, H, W); `Tensor.norm` takes twenty times as long on a CPU."""
    x, y, z = vectors.unbind(-3)
    return (x * x + y * y + z * z).sqrt().unsqueeze(-3)


def _places(count: int, device: torch.device) -> torch.Tensor:
    """(count,) places of pixels in [−1, 1]."""
    return (torch.arange(count, device=device) + 0.5) / count * 2 - 1
