"""Score distillation sampling (Poole et al. 2023, DreamFusion, eq. 3): a prior as a loss.

The prior is an argument: anything with `alphas_cumprod` (T,), `add_noise(x, noise, t)` and
`predict_noise(x, t, text, c2w)`, of a colour prior with `ccm=` besides.
"""

import torch


def one_minus_alpha(alpha_bar: torch.Tensor) -> torch.Tensor:
    """w(t) = 1 − ᾱ_t (DreamFusion's σ²; SweetDreamer; Fantasia3D's coarse geometry)."""
    return 1 - alpha_bar


def sqrt_alpha(alpha_bar: torch.Tensor) -> torch.Tensor:
    """w(t) = √ᾱ_t·(1 − ᾱ_t) (Fantasia3D's fine geometry: weaker at high noise)."""
    return alpha_bar.sqrt() * (1 - alpha_bar)


Against = tuple[torch.Tensor, torch.Tensor]
"""Embeddings (N, K, L, D) of what each sample is held off, and weights (N, K)."""

WEIGHTINGS = {"one_minus_alpha": one_minus_alpha, "sqrt_alpha": sqrt_alpha}


def sample_t(
    count: int, t_range: tuple[float, float], steps: int, generator: torch.Generator
) -> torch.Tensor:
    """(count,) int64 times on the CPU, uniform over t_range = (lower, upper), shares of `steps`.

    generator: a CPU generator.
    """
    lower, upper = t_range
    if not 0 <= lower <= upper <= 1:
        raise ValueError(f"a range of times needs 0 ≤ lower ≤ upper ≤ 1, not {lower} and {upper}")
    first = min(int(lower * steps), steps - 1)
    last = max(first, min(int(upper * steps), steps - 1))
    return torch.randint(first, last + 1, (count,), generator=generator)


@torch.no_grad()
def guided_noise(
    prior,
    x_t: torch.Tensor,
    t: torch.Tensor,
    text: torch.Tensor,
    empty: torch.Tensor | None,
    scale: float,
    c2w: torch.Tensor | None = None,
    rescale: float = 0.0,
    against: Against | None = None,
    ccm: torch.Tensor | None = None,
) -> torch.Tensor:
    """Classifier-free guidance (Ho & Salimans 2022) in its standard form: ε_u + s·(ε_c − ε_u).

    rescale: φ, which multiplies it by φ·std(ε_c)/std(ε) + 1 − φ, with the deviation within each sample
    (Lin et al. 2024, equations 15 and 16). against: negative prompts by Perp-Neg (Armandpour et al. 2023,
    section 3): with δ = ε_c − ε_u, and δ_k likewise of each, δ gives way to δ − Σ w_k · δ_k⊥, where δ_k⊥
    is the component of δ_k perpendicular to δ.

    x_t: (N, C, h, w). t: (N,). text, empty: (N, L, D), or (1, L, D) for all. c2w: (N, 4, 4), and ccm:
    (N, 4, h, w) for a colour prior, given to each part. One call of the prior on a batch of (2 + K) · N; on
    N alone where `answers_guided` holds and `empty` is None, or s is 1. Returns (N, C, h, w), without
    gradient.
    """
    n = len(x_t)
    where = {} if ccm is None else {"ccm": ccm}
    if empty is None:
        scales = torch.full((n,), float(scale), device=x_t.device)
        told = text.expand(n, -1, -1)
        return prior.predict_noise(x_t, t, told, c2w, guidance=scales, **where)
    if scale == 1 and against is None:  # ε_c itself, of which nothing is left to rescale
        return prior.predict_noise(x_t, t, text.expand(n, -1, -1), c2w, **where)
    texts = [empty.expand(n, -1, -1), text.expand(n, -1, -1)]
    if against is not None:
        texts += against[0].unbind(1)
    parts = len(texts)
    cameras = None if c2w is None else torch.cat([c2w] * parts)
    where = {} if ccm is None else {"ccm": torch.cat([ccm] * parts)}
    guess = prior.predict_noise(
        torch.cat([x_t] * parts), torch.cat([t] * parts), torch.cat(texts), cameras, **where
    )
    without, with_text, *others = guess.chunk(parts)
    toward = with_text - without
    for k, other in enumerate(others):
        assert against is not None
        away = perpendicular(other - without, with_text - without)
        toward = toward - against[1][:, k].view(-1, 1, 1, 1) * away
    guided = without + scale * toward
    if not rescale:
        return guided
    spread, wider = (one.std(dim=(1, 2, 3), keepdim=True) for one in (with_text, guided))
    return guided * (rescale * spread / wider.clamp(min=1e-8) + 1 - rescale)


def answers_guided(
    prior, negative: str, rescale: float = 0.0, against: Against | None = None
) -> bool:
    """Whether one pass of the prior is the guided prediction: it was distilled for that, and the guidance
    is plain: nothing is said not to be wanted, and nothing is rescaled."""
    return not negative and not rescale and against is None and getattr(prior, "is_guided", False)


def perpendicular(part: torch.Tensor, to: torch.Tensor) -> torch.Tensor:
    """The component of `part` (N, ...) that is perpendicular to `to` (N, ...), within each sample."""
    dims = tuple(range(1, part.dim()))
    along = (part * to).sum(dims, keepdim=True)
    return part - along / to.square().sum(dims, keepdim=True).clamp(min=1e-12) * to


def sds_loss(
    prior,
    x: torch.Tensor,
    t: torch.Tensor,
    noise: torch.Tensor,
    text: torch.Tensor,
    empty: torch.Tensor | None,
    scale: float,
    *,
    c2w: torch.Tensor | None = None,
    weighting: str = "one_minus_alpha",
    rescale: float = 0.0,
    against: Against | None = None,
    ccm: torch.Tensor | None = None,
) -> torch.Tensor:
    """A scalar whose gradient with respect to x is w(t)·(ε̂ − ε).

    x: (N, C, h, w) in the prior's own space, clean, with gradient. t: (N,) int64. noise: like x.
    weighting: a name of `WEIGHTINGS`. rescale, against, ccm: of the guidance, see `guided_noise`. The loss is
    ½‖x − target‖², summed over the batch, with the target x − w·(ε̂ − ε) held fixed: its value is half
    the squared size of that gradient. The Jacobian of the UNet is left out, as in DreamFusion.
    """
    t, noise = (given.to(x.device, non_blocking=True) for given in (t, noise))
    x_t = prior.add_noise(x.detach(), noise, t)
    guess = guided_noise(prior, x_t, t, text, empty, scale, c2w, rescale, against, ccm)
    return pulled(x, guess - noise, prior.alphas_cumprod[t], weighting)


def pulled(
    x: torch.Tensor, residual: torch.Tensor, alpha_bar: torch.Tensor, weighting: str
) -> torch.Tensor:
    """½‖x − target‖² with target = x − w(t)·residual held fixed: a scalar whose gradient is w(t)·residual.

    x, residual: (N, C, h, w). alpha_bar: (N,), of the times that w is taken at. weighting: a name of
    `WEIGHTINGS`.
    """
    weight = WEIGHTINGS[weighting](alpha_bar).view(-1, 1, 1, 1)
    target = (x - weight * residual).detach()
    return 0.5 * (x - target).square().sum()
