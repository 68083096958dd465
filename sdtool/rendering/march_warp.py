"""The marcher of `sdtool.rendering.marching` by NVIDIA Warp: a thread a ray, on CUDA devices and on the CPU.

Candidates are counted, then written where the sums of the counts say. Values are those of torch's own
marcher; each ray takes only what is occupied, so that empty space costs no round.
"""

import torch

from sdtool.rendering.march_warp_kernels import kernels
from sdtool.rendering.steps import Rays, Steps
from sdtool.runtime import warp_module


def candidates(rays: Rays, alive: torch.Tensor, window: int) -> Steps:
    """As `sdtool.rendering.marching.Marcher.candidates`."""
    near, far, count, step = rays.way
    chosen, cells = alive.to(torch.int32), rays.grid.cells.view(torch.uint8)
    found = torch.zeros(len(alive), dtype=torch.int32, device=alive.device)
    numbers = (step, rays.grid.half_extent, 1 / rays.grid.width, rays.first, rays.begun, window)
    given = [rays.origins, rays.directions, near, far, count, cells, chosen, *numbers]
    warp_module.launch(kernels().count, (len(alive),), [*given, rays.following, found])
    end = found.cumsum(0)
    total = int(end[-1])
    ray = torch.empty(total, dtype=torch.int32, device=alive.device)
    depth, spacing = near.new_empty(total), near.new_empty(total)
    begins = (end - found).to(torch.int32)
    given += [rays.following, begins, ray, depth, spacing]
    warp_module.launch(kernels().write, (len(alive),), given)
    return Steps(ray, depth, spacing)


def seen(
    rays: Rays, steps: Steps, absorbed: torch.Tensor, limit: float, least: torch.Tensor
) -> torch.Tensor:
    """As `sdtool.rendering.marching.Marcher.seen`: a thread a ray walks along its samples."""
    keep = torch.zeros(len(absorbed), dtype=torch.uint8, device=absorbed.device)
    ray, counts = torch.unique_consecutive(steps.ray, return_counts=True)
    begins = torch.cat([counts.new_zeros(1), counts.cumsum(0)]).to(torch.int32)
    given = [absorbed, ray, begins, least.reshape(1), limit, rays.carried, keep]
    warp_module.launch(kernels().stop, (len(ray),), given)
    return torch.nonzero(keep)[:, 0]
