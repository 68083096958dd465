"""What an AGP knows, on maps it has not seen: cameras, words, and the loss at every noise level."""

import math

import numpy as np
import torch

from sdtool.geometry.cameras import AnyRange, ViewRange, azimuth_elevation, orbit, turntable
from sdtool.priors.prior import Prior

AZIMUTHS = 8
TIMES = (0.3, 0.5, 0.7, 0.85)
"""Noise levels, as shares of the schedule, at which candidates are compared."""

BANDS, HALVES = 5, 2
"""The loss is measured in so many bands of the schedule, at a time of each half of a band."""


def turntable_cameras(
    count: int = AZIMUTHS, elevation: float = 15.0, view_range: AnyRange | None = None
) -> torch.Tensor:
    """(count, 4, 4) float32 cameras around the object, the first in front; elevation in degrees.

    view_range: where the prior's training cameras stood (their distance counts).
    """
    return torch.from_numpy(turntable(count, view_range or ViewRange(), elevation))


def camera_ring(c2w: torch.Tensor, count: int = AZIMUTHS) -> torch.Tensor:
    """Cameras (N, 4, 4) → (N, count, 4, 4): turned about +Y by k·360°/count; k = 0 is itself."""
    views = c2w.cpu().numpy()
    azimuth, elevation = azimuth_elevation(views)
    distance = np.linalg.norm(views[:, :3, 3], axis=1)
    turned = [orbit(azimuth + k * 2 * math.pi / count, elevation, distance) for k in range(count)]
    return torch.from_numpy(np.stack(turned, axis=1))


def view_identification(
    prior: Prior,
    maps: torch.Tensor,
    c2w: torch.Tensor,
    text: torch.Tensor,
    *,
    generator: torch.Generator,
    times: tuple[float, ...] = TIMES,
    batch: int = 64,
) -> float:
    """The share of maps whose true camera, among 8 azimuths, predicts their noise best.

    mean over maps x of [argmin_k Σ_t ‖ε̂(x_t, t, text, camera_k) − ε‖² = 0], where camera_k is the true
    one turned by k·45° about +Y; every candidate gets the same noise ε. Chance is 1/8.
    maps: (N, 4, h, w) CCMs the prior has not seen. c2w: (N, 4, 4) their cameras. text: (N, L, C)
    their captions.
    """
    error = candidate_errors(
        prior, maps, text[:, None], camera_ring(c2w), generator=generator, times=times, batch=batch
    )
    return share_of_first(error)


def text_identification(
    prior: Prior,
    maps: torch.Tensor,
    c2w: torch.Tensor,
    texts: torch.Tensor,
    *,
    generator: torch.Generator,
    times: tuple[float, ...] = TIMES,
    batch: int = 64,
) -> float:
    """The share of maps whose true text, among K, predicts their noise best.

    mean over maps x of [argmin_k Σ_t ‖ε̂(x_t, t, text_k, camera) − ε‖² = 0]; every candidate gets the
    same noise ε. Chance is 1/K. maps: (N, 4, h, w). c2w: (N, 4, 4). texts: (N, K, L, C), the true
    one first.
    """
    error = candidate_errors(
        prior, maps, texts, c2w[:, None], generator=generator, times=times, batch=batch
    )
    return share_of_first(error)


@torch.no_grad()
def candidate_errors(
    prior: Prior,
    maps: torch.Tensor,
    texts: torch.Tensor,
    c2w: torch.Tensor,
    *,
    generator: torch.Generator,
    times: tuple[float, ...] = TIMES,
    batch: int = 64,
) -> torch.Tensor:
    """(N, K) float32: Σ_t of the mean of (ε̂ − ε)² for each of K candidates.

    maps: (N, 4, h, w). texts: (N, K or 1, L, C). c2w: (N, K or 1, 4, 4). A map's candidates share
    its noise.
    """
    device, count = prior.device, max(texts.shape[1], c2w.shape[1])
    clean = prior.encode_map(maps).to(device)
    error = torch.zeros(len(maps) * count, device=device)
    for level in times:
        noise = torch.randn(clean.shape, generator=generator).to(device)
        for part in torch.arange(len(error)).split(batch):
            one, which = part // count, part % count
            text = texts[one, which % texts.shape[1]].to(device)
            camera = c2w[one, which % c2w.shape[1]].to(device)
            t = torch.full((len(part),), int(level * (len(prior.alphas_cumprod) - 1)))
            part, one, t = part.to(device), one.to(device), t.to(device)
            guess = prior.predict_noise(prior.add_noise(clean[one], noise[one], t), t, text, camera)
            error[part] += (guess - noise[one]).square().mean(dim=(1, 2, 3))
    return error.view(-1, count)


def share_of_first(error: torch.Tensor) -> float:
    """(N, K) errors → the share of rows whose first is the least; k that tie count 1/k each."""
    best = error == error.min(dim=1, keepdim=True).values
    return (best[:, 0] / best.sum(dim=1)).mean().item()


@torch.no_grad()
def band_losses(
    prior: Prior,
    maps: torch.Tensor,
    c2w: torch.Tensor,
    text: torch.Tensor,
    *,
    generator: torch.Generator,
    bands: int = BANDS,
    batch: int = 64,
) -> dict[str, float]:
    """The training loss on unseen maps, for each band of the schedule: {"0-199": loss, …}.

    mean over maps x, t and ε of (prediction(x_t, t, text, camera) − target)², where the prediction is
    of ε, v or x as the prior's own is; two t of each band for each map, one drawn from its lower half
    and one from its upper. maps: (N, 4, h, w). c2w: (N, 4, 4). text: (N, L, C).
    """
    device, last = prior.device, len(prior.alphas_cumprod)
    clean, losses = prior.encode_map(maps).to(device), {}
    for band in range(bands):
        low, high = band * last // bands, (band + 1) * last // bands
        errors = []
        for half in range(HALVES):
            share = (half + torch.rand(len(clean), generator=generator)) / HALVES
            times = low + (share * (high - low)).long()
            noise = torch.randn(clean.shape, generator=generator).to(device)
            for part in torch.arange(len(clean)).split(batch):
                t, x, e = times[part].to(device), clean[part.to(device)], noise[part.to(device)]
                guess = prior.predict(
                    prior.add_noise(x, e, t), t, text[part].to(device), c2w[part].to(device)
                )
                error = (guess - prior.target(x, e, t)).square().mean(dim=(1, 2, 3))
                errors.append(error.cpu())
        losses[f"{low}-{high - 1}"] = torch.cat(errors).mean().item()
    return losses
