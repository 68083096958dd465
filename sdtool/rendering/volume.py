"""Volume rendering of a grid: stratified samples, transmittance, expected coordinate (any device)."""

import torch
import torch.nn.functional as F


def sample_depths(
    distance: torch.Tensor, radius: float, samples: int, generator: torch.Generator | None
) -> torch.Tensor:
    """Stratified depths (N, samples) through the sphere of `radius`; centred without a generator.

    distance: (N,) of the eyes from the origin.
    """
    near = (distance - radius).clamp(min=0.05)[:, None]
    step = (distance[:, None] + radius - near) / samples
    jitter: torch.Tensor | float = 0.5
    if generator is not None:
        jitter = torch.rand(len(distance), samples, generator=generator)
        jitter = jitter.to(distance.device, non_blocking=True)
    return near + (torch.arange(samples, device=distance.device) + jitter) * step


def composite(density: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
    """Weights of the samples: w_i = T_i (1 − exp(−σ_i δ_i)), T_i = exp(−Σ_{j<i} σ_j δ_j).

    density, depth: (..., S). δ of the last sample is the mean spacing. Returns (..., S).
    """
    spacing = torch.diff(depth, dim=-1)
    spacing = torch.cat([spacing, spacing.mean(-1, keepdim=True)], dim=-1)
    absorbed = density * spacing
    alpha = 1 - torch.exp(-absorbed)
    before = F.pad(torch.cumsum(absorbed[..., :-1], dim=-1), (1, 0))
    return alpha * torch.exp(-before)


def render_grid(
    grid: torch.Tensor,
    half_extent: float,
    origins: torch.Tensor,
    directions: torch.Tensor,
    samples: int,
    generator: torch.Generator | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Coverage, expected position and expected attributes of views of a grid.

    grid: (1, 1 + C, n, n, n), density first, over ±half_extent. origins: (N, 3). directions:
    (N, H, W, 3) unit. Returns coverage (N, H, W, 1), Σ w·x (N, H, W, 3) and Σ w·attribute
    (N, H, W, C): premultiplied by the coverage.
    """
    n, height, width, _ = directions.shape
    depth = sample_depths(origins.norm(dim=-1), half_extent * 3**0.5 * 0.9, samples, generator)
    points = (
        origins[:, None, None, None] + directions[:, :, :, None] * depth[:, None, None, :, None]
    )
    value = F.grid_sample(
        grid,
        (points / half_extent).reshape(1, n, height * width, samples, 3),
        mode="bilinear",
        padding_mode="zeros",
        align_corners=True,
    )[0].reshape(-1, n, height, width, samples)
    weight = composite(value[0], depth[:, None, None].expand(n, height, width, samples))
    position = (weight[..., None] * points).sum(-2)
    attributes = (weight * value[1:]).sum(-1).movedim(0, -1)
    return weight.sum(-1, keepdim=True), position, attributes
