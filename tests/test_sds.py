"""Score distillation against closed forms, with a Gaussian as the prior."""

import pytest
import torch

from sdtool.lifting import schedules, sds


class GaussianPrior:
    """The exact denoiser of N(mean, spread²): ε̂ is known in closed form.

    x_t ~ N(√ᾱ·μ, ᾱσ² + 1 − ᾱ), and ε̂ = −√(1 − ᾱ)·∇log p(x_t). The text is the mean: (N, 1, 1).
    """

    def __init__(self, spread: float, steps: int = 1000):
        beta = torch.linspace(1e-4, 0.02, steps, dtype=torch.float64)
        self.alphas_cumprod = torch.cumprod(1 - beta, dim=0)
        self.spread = spread
        self.calls = []

    def add_noise(self, x, noise, t):
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        return a.sqrt() * x + (1 - a).sqrt() * noise

    def predict_noise(self, x, t, text, c2w=None):
        self.calls.append((len(x), c2w))
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        mean = text.view(-1, 1, 1, 1)
        return (1 - a).sqrt() * (x - a.sqrt() * mean) / (a * self.spread**2 + 1 - a)


def means(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1)


def test_descent_pulls_to_the_mean_of_the_prior():
    prior, generator = GaussianPrior(spread=0.1), torch.Generator().manual_seed(0)
    x = torch.full((4, 1, 2, 2), -3.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([x], lr=0.05)
    tail = []
    for step in range(800):
        t = sds.sample_t(4, (0.02, 0.98), 1000, generator)
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        loss = sds.sds_loss(prior, x, t, noise, means(0.7), means(0.7), 1.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step >= 600:
            tail.append(x.detach().mean().item())
    assert sum(tail) / len(tail) == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_rescaled_guidance_has_the_spread_of_the_conditional_noise(share):
    prior, generator = GaussianPrior(spread=0.5), torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, 4, 4, generator=generator, dtype=torch.float64)
    text = torch.randn(3, 2, 4, 4, generator=generator, dtype=torch.float64)  # a mean each pixel
    prior.predict_noise = lambda x, t, both, c2w=None: x + both.view(x.shape)
    t, flat = torch.tensor([400, 10, 900]), text.reshape(3, 1, -1)
    plain = sds.guided_noise(prior, x, t, flat, 0 * flat, 7.0)
    found = sds.guided_noise(prior, x, t, flat, 0 * flat, 7.0, rescale=share)
    spread = [one.std(dim=(1, 2, 3)) for one in (found, x + text, plain)]
    assert torch.allclose(spread[0], share * spread[1] + (1 - share) * spread[2])
    assert torch.allclose(found / found.norm(), plain / plain.norm()) == (share == 0.0)
    assert torch.allclose(found[1] / found[1].norm(), plain[1] / plain[1].norm())


def test_guidance_moves_the_fixed_point_beyond_the_conditional_mean():
    # N(0, σ²) without text, N(1, σ²) with it: ε̂ is linear in the mean, so s acts like N(s, σ²)
    prior = GaussianPrior(spread=0.5)
    x, t = torch.zeros(1, 1, 1, 1, dtype=torch.float64), torch.tensor([400])
    guided = sds.guided_noise(prior, x, t, means(1.0), means(0.0), 3.0)
    assert torch.allclose(guided, prior.predict_noise(x, t, means(3.0)))


@pytest.mark.parametrize("weighting", ["one_minus_alpha", "sqrt_alpha"])
def test_the_gradient_is_weight_times_noise_residual(weighting):
    prior, generator = GaussianPrior(spread=0.3), torch.Generator().manual_seed(1)
    x = torch.randn(3, 2, 4, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    t = torch.tensor([20, 500, 979])
    loss = sds.sds_loss(prior, x, t, noise, means(1.0), means(0.2), 7.0, weighting=weighting)
    loss.backward()
    x_t = prior.add_noise(x.detach(), noise, t)
    eps_u = prior.predict_noise(x_t, t, means(0.2).expand(3, 1, 1))
    eps_c = prior.predict_noise(x_t, t, means(1.0).expand(3, 1, 1))
    a = prior.alphas_cumprod[t].view(-1, 1, 1, 1)
    weight = {"one_minus_alpha": 1 - a, "sqrt_alpha": a.sqrt() * (1 - a)}[weighting]
    expected = weight * (eps_u + 7.0 * (eps_c - eps_u) - noise)
    assert torch.allclose(x.grad, expected, rtol=0, atol=1e-12)
    assert loss.item() == pytest.approx(0.5 * expected.square().sum().item())


def test_both_halves_come_in_one_call_and_see_the_camera():
    prior = GaussianPrior(spread=0.3)
    x = torch.zeros(2, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    c2w = torch.arange(32.0).view(2, 4, 4)
    sds.sds_loss(prior, x, torch.tensor([5, 6]), x.detach(), means(1), means(0), 2.0, c2w=c2w)
    ((count, cameras),) = prior.calls
    assert count == 4
    assert torch.equal(cameras, torch.cat([c2w, c2w]))


def test_weightings_have_their_values():
    a = torch.tensor([1.0, 0.64, 0.0])
    assert torch.allclose(sds.one_minus_alpha(a), torch.tensor([0.0, 0.36, 1.0]))
    assert torch.allclose(sds.sqrt_alpha(a), torch.tensor([0.0, 0.8 * 0.36, 0.0]))


def test_times_stay_in_their_range_and_fill_it():
    generator = torch.Generator().manual_seed(0)
    t = sds.sample_t(20000, (0.02, 0.5), 1000, generator)
    assert (t.min().item(), t.max().item()) == (20, 500)
    assert t.float().mean().item() == pytest.approx(260, abs=5)
    assert sds.sample_t(3, (1.0, 1.0), 1000, generator).tolist() == [999] * 3
    with pytest.raises(ValueError, match="lower"):
        sds.sample_t(1, (0.6, 0.5), 1000, generator)


def test_schedules():
    falling = schedules.linear(0.98, 0.5, end=0.8)
    assert falling(0.0) == 0.98
    assert falling(0.4) == pytest.approx(0.74)
    assert falling(0.8) == falling(1.0) == pytest.approx(0.5)
    late = schedules.linear(10.0, 20.0, begin=0.5)
    assert late(0.3) == 10.0 and late(0.75) == pytest.approx(15.0)
    first_quarter = schedules.step([20.0, 1.0], [0.25])
    assert [first_quarter(p) for p in (0.0, 0.24, 0.25, 1.0)] == [20.0, 20.0, 1.0, 1.0]
    with pytest.raises(ValueError):
        schedules.step([1.0, 2.0], [])
    with pytest.raises(ValueError):
        schedules.linear(0.0, 1.0, begin=1.0, end=1.0)
