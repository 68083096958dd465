"""The ways to distil a score, against closed forms with Gaussians as the prior."""

import pytest
import torch

from sdtool import cli
from sdtool.lifting import distillation, presets, sds
from sdtool.lifting.told import Told

ZERO, ONE = (torch.full((1, 1, 1), value, dtype=torch.float64) for value in (0.0, 1.0))


class Gaussians:
    """The exact denoiser of N(μ, σ²), where the text is μ: ε̂ = √(1−ᾱ)·(x_t − √ᾱμ)/(ᾱσ² + 1 − ᾱ)."""

    def __init__(self, spread: float = 0.5, steps: int = 1000):
        beta = torch.linspace(1e-4, 0.02, steps, dtype=torch.float64)
        self.alphas_cumprod = torch.cumprod(1 - beta, dim=0)
        self.spread, self.calls = spread, 0

    def add_noise(self, x, noise, t):
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        return a.sqrt() * x + (1 - a).sqrt() * noise

    def predict_noise(self, x, t, text, c2w=None):
        self.calls += 1
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        return (1 - a).sqrt() * (x - a.sqrt() * text.view(-1, 1, 1, 1)) / self.variance(a)

    def variance(self, a):
        return a * self.spread**2 + 1 - a

    def on_path(self, x, a, mean=0.0):
        """Where the exact probability flow brings a clean x at ᾱ: it keeps its place in the Gaussian."""
        return a.sqrt() * mean + self.variance(a).sqrt() / self.spread * (x - mean)


def given(prior):
    x = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = torch.tensor([150, 400, 800])
    a = prior.alphas_cumprod[t].view(-1, 1, 1, 1)
    return Told(prior, ONE, ZERO), x.requires_grad_(), t, a


def gradient(name, told, x, t, scale, weighting="one_minus_alpha"):
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    loss = distillation.distill(name, told, x, t, noise, scale, weighting)
    return torch.autograd.grad(loss, x)[0], noise


def test_sds_is_score_distillation_itself():
    told, x, t, _ = given(Gaussians())
    found, noise = gradient("sds", told, x, t, 7.0)
    loss = sds.sds_loss(told.prior, x, t, noise, ONE, ZERO, 7.0)
    assert torch.equal(found, torch.autograd.grad(loss, x)[0])


def test_csd_pulls_by_the_classifier_alone():
    """ε_c − ε_u = −√(ᾱ(1−ᾱ))·μ/v of two Gaussians of one spread, whatever x and the noise are."""
    told, x, t, a = given(Gaussians())
    found, _ = gradient("csd", told, x, t, 3.0)
    pull = -3.0 * (1 - a) * (a * (1 - a)).sqrt() / told.prior.variance(a)
    assert torch.allclose(found, pull.expand_as(x))


def test_inversion_follows_the_exact_path():
    told, x, t, a = given(Gaussians())
    clean = x.detach()
    errors = [
        (told.inverted(clean, t, steps, 0) - told.prior.on_path(clean, a)).abs().max()
        for steps in (10, 40, 160)
    ]
    assert errors[0] > 2.5 * errors[1] and errors[1] > 2.5 * errors[2] and errors[2] < 0.06
    toward = told.inverted(clean, t, 400, 1)
    assert torch.allclose(toward, told.prior.on_path(clean, a, 1.0), atol=0.06)


def test_ism_compares_two_points_of_one_path(monkeypatch):
    monkeypatch.setattr("sdtool.lifting.ism.STRIDE", 0.005)
    told, x, t, a = given(Gaussians())
    found, _ = gradient("ism", told, x, t, 2.0)
    prior, s = told.prior, t - 50
    before = prior.alphas_cumprod[s].view(-1, 1, 1, 1)
    x_s, x_t = prior.on_path(x.detach(), before), prior.on_path(x.detach(), a)
    without = prior.predict_noise(x_t, t, ZERO)
    guided = without + 2.0 * (prior.predict_noise(x_t, t, ONE) - without)
    expected = (1 - a) * (guided - prior.predict_noise(x_s, s, ZERO))
    assert torch.allclose(found, expected, atol=0.03)
    assert torch.equal(found, gradient("ism", told, x, t, 2.0)[0])  # no noise is drawn


def test_sdi_takes_the_noise_that_the_path_had(monkeypatch):
    monkeypatch.setattr("sdtool.lifting.sdi.STEPS", 200)
    told, x, t, a = given(Gaussians())
    found, _ = gradient("sdi", told, x, t, 1.0)
    prior, clean = told.prior, x.detach()
    x_t = prior.on_path(clean, a, -1.0)  # guided by −1: the mean of 2·ε_u − ε_c
    kappa = (x_t - a.sqrt() * clean) / (1 - a).sqrt()
    expected = (1 - a) * (prior.predict_noise(x_t, t, ONE) - kappa)
    assert torch.allclose(found, expected, atol=0.05)


@pytest.mark.parametrize("name", [name for name in distillation.NAMES if name != "vsd"])
def test_each_moves_a_sample_toward_the_prompt(name):
    told, _, _, _ = given(Gaussians())
    x = torch.full((2, 1, 2, 2), -2.0, dtype=torch.float64, requires_grad=True)
    adam, generator = torch.optim.Adam([x], lr=0.05), torch.Generator().manual_seed(0)
    for _ in range(100):
        t = sds.sample_t(2, (0.1, 0.9), 1000, generator)
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        adam.zero_grad()
        distillation.distill(name, told, x, t, noise, 3.0, "one_minus_alpha").backward()
        adam.step()
    assert x.detach().min() > 0


@pytest.mark.parametrize(
    ("name", "two", "plain", "once"),  # passes: guided in two, with a scale of 1, guided in one
    [("sds", 2, 1, 1), ("csd", 2, 2, 2), ("ism", 7, 6, 6), ("sdi", 12, 11, 6)],
)
def test_a_step_takes_as_many_passes_as_the_page_says(name, two, plain, once):
    class Counting(Gaussians):
        passes = 0

        def predict_noise(self, x, t, text, c2w=None, guidance=None):
            self.passes += len(x)
            return 0 * x

    for scale, one_pass, expected in ((7.5, False, two), (1.0, False, plain), (7.5, True, once)):
        prior = Counting()
        told = Told(prior, ONE, ZERO, one_pass=one_pass)
        x = torch.zeros(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
        noise, t = torch.ones_like(x), torch.tensor([800])
        distillation.distill(name, told, x, t, noise, scale, "one_minus_alpha")
        assert prior.passes == expected


def test_the_option_sets_all_phases_and_a_setting_one(capsys):
    plan = presets.distilled_by(presets.TINY_CPU, "ism")
    assert {phase.distill for phase in plan.phases} == {"ism"}
    assert (
        cli.run(["lift", "--distill", "csd", "--set", "coarse.distill=sdi", "--print-config"]) == 0
    )
    told = capsys.readouterr().out
    assert told.count('distill = "csd"') == 3 and told.count('distill = "sdi"') == 1
    assert cli.run(["lift", "a corgi", "--set", "coarse.distill=dds"]) == 2
    assert "distill is not one of sds, csd, ism, sdi, vsd" in capsys.readouterr().err
