"""View-identification accuracy: does an AGP know from where a canonical coordinate map was seen?"""

import math

import numpy as np
import torch

from sdtool.cameras import ViewRange, azimuth_elevation, orbit, turntable
from sdtool.priors.prior import Prior

AZIMUTHS = 8


def turntable_cameras(
    count: int = AZIMUTHS, elevation: float = 15.0, look: ViewRange | None = None
) -> torch.Tensor:
    """(count, 4, 4) float32 cameras around the object, the first in front; elevation in degrees.

    look: where the prior's training cameras stood (their distance counts).
    """
    return torch.from_numpy(turntable(count, look or ViewRange(), elevation))


def camera_ring(c2w: torch.Tensor, count: int = AZIMUTHS) -> torch.Tensor:
    """Cameras (N, 4, 4) → (N, count, 4, 4): turned about +Y by k·360°/count; k = 0 is itself."""
    views = c2w.cpu().numpy()
    azimuth, elevation = azimuth_elevation(views)
    distance = np.linalg.norm(views[:, :3, 3], axis=1)
    turned = [orbit(azimuth + k * 2 * math.pi / count, elevation, distance) for k in range(count)]
    return torch.from_numpy(np.stack(turned, axis=1))


@torch.no_grad()
def view_identification(
    prior: Prior,
    maps: torch.Tensor,
    c2w: torch.Tensor,
    text: torch.Tensor,
    *,
    generator: torch.Generator,
    times: tuple[float, ...] = (0.3, 0.5, 0.7, 0.85),
    batch: int = 64,
) -> float:
    """The share of maps whose true camera, among 8 azimuths, predicts their noise best.

    maps: (N, 4, h, w) CCMs the prior has not seen. c2w: (N, 4, 4) their cameras. text: (N, L, C)
    their captions. times: noise levels as shares of the schedule; every candidate gets the same
    noise. If k candidates tie for the best each counts 1/k: who ignores the camera gets 1/8.
    """
    ring = camera_ring(c2w).flatten(0, 1).to(prior.device)
    error = torch.zeros(len(ring), device=prior.device)
    maps, text = maps.to(prior.device), text.to(prior.device)
    for level in times:
        noise = torch.randn(maps.shape, generator=generator).to(prior.device)
        for part in torch.arange(len(ring), device=prior.device).split(batch):
            one = part // AZIMUTHS
            t = torch.full_like(part, int(level * (len(prior.alphas_cumprod) - 1)))
            noisy = prior.add_noise(maps[one], noise[one], t)
            guess = prior.predict_noise(noisy, t, text[one], ring[part])
            error[part] += (guess - noise[one]).square().mean(dim=(1, 2, 3))
    error = error.view(-1, AZIMUTHS)
    best = error == error.min(dim=1, keepdim=True).values
    return (best[:, 0] / best.sum(dim=1)).mean().item()
