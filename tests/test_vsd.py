"""Variational score distillation: closed forms with Gaussians, φ of real UNets, and lifts that go on."""

import sys
from dataclasses import replace

import pytest
import torch

from sdtool import cli
from sdtool.errors import SdtoolError
from sdtool.geometry.cameras import ViewRange
from sdtool.io.files import read_jsonl
from sdtool.lifting import distillation, dmtet, loop, nerf, presets, vsd
from sdtool.lifting.config import Phase
from sdtool.lifting.guidance import Guidance
from sdtool.lifting.scenes import DensityScene
from sdtool.lifting.told import Told
from sdtool.priors.agp import fresh_agp
from sdtool.priors.color import fresh_color
from sdtool.priors.fresh import fresh_base
from sdtool.priors.guided import fresh_guided
from sdtool.priors.split import split
from sdtool.priors.traced import traced

pytest.importorskip("peft")
from sdtool.priors.lora import fresh_adapter, fresh_phi, library  # noqa: E402

TIME = 400


class Line(torch.nn.Module):
    """The exact denoiser of N(μ, σ²) at one time, a linear layer of (x_t, 1): see test_distillation.py."""

    def __init__(self, mean: float, spread: float):
        super().__init__()
        beta = torch.linspace(1e-4, 0.02, 1000)
        self.alphas_cumprod = torch.cumprod(1 - beta, dim=0)
        a = self.alphas_cumprod[TIME]
        slope = (1 - a).sqrt() / (a * spread**2 + 1 - a)
        self.layer = torch.nn.Linear(2, 1, bias=False).requires_grad_(False)
        self.layer.weight.copy_(torch.stack([slope, -slope * a.sqrt() * mean])[None])

    def add_noise(self, x, noise, t):
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        return a.sqrt() * x + (1 - a).sqrt() * noise

    def predict_noise(self, x, t, text, c2w=None):
        return self.layer(torch.stack([x, torch.ones_like(x)], dim=-1)).squeeze(-1)


def learning(lr):
    """A prior of N(1, 0.5²) with φ, as it is told."""
    torch.manual_seed(0)  # peft draws from the global generator
    phi = Line(1.0, 0.5)
    config = library().LoraConfig(r=1, lora_alpha=1, target_modules=["layer"])
    library().inject_adapter_in_model(config, phi)
    return Told(Line(1.0, 0.5), torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), phi=vsd.Phi(phi, lr))


def step(told, mean, spread, generator, scale=1.0):
    """One residual of views that are drawn from N(mean, spread²): (residual, x_t)."""
    x = mean + spread * torch.randn(2, 1, 32, 32, generator=generator)
    noise = torch.randn(x.shape, generator=generator)
    t = torch.full((2,), TIME)
    return vsd.residual(told, x, t, noise, scale), told.prior.add_noise(x, noise, t)


# The residual


def test_the_residual_is_the_difference_of_two_scores():
    """φ learns N(−0.5, 0.8²), of which the views are; the prior has N(1, 0.5²)."""
    told, generator = learning(0.02), torch.Generator().manual_seed(1)
    weights = told.prior.layer.weight.clone()
    first, _ = step(told, -0.5, 0.8, generator)
    assert torch.equal(first, torch.zeros_like(first))  # φ begins as the prior
    for _ in range(200):
        step(told, -0.5, 0.8, generator)
    told.phi.optimiser.param_groups[0]["lr"] = 0.001
    for _ in range(100):
        found, x_t = step(told, -0.5, 0.8, generator)
    expected = told.prior.predict_noise(x_t, None, None) - Line(-0.5, 0.8).predict_noise(
        x_t, None, None
    )
    assert expected.abs().mean() > 0.3
    assert torch.allclose(found, expected, atol=0.06), (found - expected).abs().max()
    assert torch.equal(told.prior.layer.weight, weights)


def test_nothing_pulls_views_that_the_prior_would_draw():
    """Where SDS's residual has the size of a draw of noise."""
    told, generator = learning(0.001), torch.Generator().manual_seed(1)
    for _ in range(50):
        found, _ = step(told, 1.0, 0.5, generator)
    assert found.abs().max() < 0.1


def test_it_moves_a_sample_toward_the_prior():
    told, generator = learning(0.03), torch.Generator().manual_seed(1)
    x = torch.full((2, 1, 4, 4), -2.0, requires_grad=True)
    adam, t = torch.optim.Adam([x], lr=0.05), torch.full((2,), TIME)
    for _ in range(150):
        noise = torch.randn(x.shape, generator=generator)
        adam.zero_grad()
        loss = distillation.distill("vsd", told, x, t, noise, 1.0, "one_minus_alpha")
        loss.backward()
        adam.step()
    assert x.detach().mean() > 0.5


def test_without_phi_it_is_refused():
    with pytest.raises(ValueError, match="no one has begun"):
        step(Told(Line(1.0, 0.5), torch.zeros(1, 1, 1), torch.zeros(1, 1, 1)), 0.0, 1.0, None)


# φ of UNets


@pytest.fixture(scope="module")
def base():
    base = fresh_base(["a red corgi"], size=8, width=8)
    generator = torch.Generator().manual_seed(5)
    for parameter in base.unet.parameters():
        parameter.data.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return base


def priors_of(base):
    guided = fresh_guided(base)
    guided.unet.conv_out.weight.data.add_(0.01)
    return {
        "base": base,
        "guided": guided,
        "agp": fresh_agp(base, torch.Generator().manual_seed(0)),
        "color": fresh_color(base),
        "adapter": fresh_adapter(base, 2, torch.Generator().manual_seed(0)),
    }


def told_of(prior, phi):
    text, empty = prior.encode_text(["a red corgi"]), prior.encode_text([""])
    ccm = torch.zeros(2, 4, 8, 8) if prior.has_ccm else None
    c2w = torch.eye(4).expand(2, 4, 4)
    return Told(prior, text, empty, c2w, ccm=ccm, one_pass=prior.is_guided, phi=phi)


@pytest.mark.slow
def test_phi_of_every_prior_begins_as_the_prior_and_learns_and_leaves_it_alone(base):
    x = 0.5 * torch.ones(2, 4, 8, 8)
    noise, t = (
        torch.randn(x.shape, generator=torch.Generator().manual_seed(0)),
        torch.tensor([300, 700]),
    )
    for name, prior in priors_of(base).items():
        before = {key: value.clone() for key, value in prior.unet.state_dict().items()}
        with traced(prior):
            phi = vsd.Phis().of(name, prior, Phase("coarse", "density", 1, 0.1, vsd_lr=0.01))
            told = told_of(prior, phi)
            first = vsd.residual(told, x, t, noise, 1.0)
            assert first.abs().max() < 1e-5, name
            x_t = prior.add_noise(x, noise, t)
            errors = [(phi.learn(told, x_t, t, noise) - noise).square().mean() for _ in range(2)]
            assert errors[-1] < errors[0], name
        after = prior.unet.state_dict()
        assert all(torch.equal(value, after[key]) for key, value in before.items()), name
        assert not any(p.requires_grad for p in prior.parameters())


def test_phi_sees_the_camera_and_shares_the_memory_of_a_base_that_does_not(base):
    phi = vsd.Phi(fresh_phi(base, 2, torch.Generator().manual_seed(0)), 0.01)
    told = told_of(base, phi)
    x, t = torch.zeros(2, 4, 8, 8), torch.tensor([300, 700])
    turned = torch.eye(4).repeat(2, 1, 1)
    turned[:, 0, 0] = turned[:, 2, 2] = -1
    for _ in range(2):  # the perceptron's last layer is zero before its first step
        phi.learn(told, x, t, torch.ones_like(x))
    with torch.no_grad():
        text = told.text.expand(2, -1, -1)
        seen = [phi.prior.predict_noise(x, t, text, c2w) for c2w in (told.c2w, turned)]
    assert not torch.equal(*seen)
    here = {p.data_ptr() for p in base.unet.parameters()}
    own = [p for p in phi.prior.unet.parameters() if p.data_ptr() not in here]
    assert {id(p) for p in own} == {id(p) for _, p in phi.named}


def test_in_half_precision_phi_is_float32(base):
    from copy import deepcopy

    half = deepcopy(base).to(torch.bfloat16)
    told = told_of(half, vsd.Phis().of("base", half, Phase("coarse", "density", 1, 0.1)))
    assert {p.dtype for _, p in told.phi.named} == {torch.float32}
    x, t = torch.ones(2, 4, 8, 8), torch.tensor([300, 700])
    before = [p.clone() for _, p in told.phi.named]
    found = vsd.residual(told, x, t, torch.randn(x.shape), 3.0)
    assert found.dtype == torch.float32 and torch.isfinite(found).all()
    assert any(not torch.equal(a, p) for a, (_, p) in zip(before, told.phi.named, strict=True))


# Lifts


def lifted(guidance, out, until=None, start=0, phase_more=None):
    """A scene after a phase, or until a step of it, or from there on."""
    phase = Phase("coarse", "density", steps=4, lr=0.02, views=2, size=8, distill="vsd",
                  vsd_lr=0.01, **(phase_more or {}))  # fmt: skip
    out.mkdir(exist_ok=True)
    scene, adam = DensityScene(0.6, 8), None
    if start:
        _, tensors, adam = loop.load(out)
        scene.load_state_dict(tensors)
    loop.optimise(
        scene, guidance, phase, ViewRange(), number=0, seed=3, start=start, adam=adam, out=out,
        on_step=lambda *_: None, until=until,
    )  # fmt: skip
    return scene.state_dict() | guidance.phis.state()


def same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.slow
def test_a_continued_lift_ends_with_the_same_bits_and_leaves_the_priors_alone(base, tmp_path):
    """Of both priors, of which the base is asked later. What another lift has taught is forgotten."""
    agp = fresh_agp(base, torch.Generator().manual_seed(0))
    before = {k: v.clone() for p in (base, agp) for k, v in p.unet.state_dict().items()}
    late = {"lambda_ori": (0.0, 1.0)}
    guidance = Guidance(base, agp, "a red corgi")
    whole = lifted(guidance, tmp_path / "a", phase_more=late)
    assert {name.split("/")[0] for name in whole if "/value/" in name} == {"agp", "base"}
    lines = list(read_jsonl(tmp_path / "a" / "log.jsonl"))
    assert ["phi_base" in line for line in lines] == ["ori" in line for line in lines]
    assert all(line["phi_agp"] > 0 for line in lines) and "phi_base" in lines[-1]
    lifted(Guidance(base, agp, "a red corgi"), tmp_path / "b", until=2, phase_more=late)
    same(whole, lifted(guidance, tmp_path / "b", start=2, phase_more=late))
    same(before, {k: v for p in (base, agp) for k, v in p.unet.state_dict().items()})


def test_a_step_that_fails_takes_phi_back_too(base, tmp_path, monkeypatch):
    """It counts its steps as if it had never seen the views of those that were taken back."""
    agp = fresh_agp(base, torch.Generator().manual_seed(0))
    guidance, asked = Guidance(base, agp, "a red corgi", lambda_ori=0.0), []
    loss = guidance.loss

    def broken(*args):
        total, sizes = loss(*args)
        asked.append(guidance.phis.state()["agp/step/unet.conv_in.lora_A.default.weight"].item())
        return total * (float("nan") if len(asked) == 2 else 1.0), sizes

    monkeypatch.setattr(guidance, "loss", broken)
    lifted(guidance, tmp_path)
    assert asked == [1, 2, 1, 2, 3, 4]


def test_the_option_is_refused_without_peft_before_anything_is_done(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    out = tmp_path / "no"
    assert cli.run(["lift", "a corgi", "--distill", "vsd", "--out", str(out)]) == 1
    said = capsys.readouterr().err
    assert "--distill vsd needs the package peft: pip install 'sdtool[lora]'" in said
    assert not out.exists()
    assert cli.run(["lift", "--distill", "vsd", "--print-config"]) == 0
    assert capsys.readouterr().out.count('distill = "vsd"') == 4


def test_settings_of_phi_can_be_changed():
    from sdtool.lifting.config import override

    plan = presets.TINY_CPU
    changed = override(plan, ["coarse.vsd_rank=8", "coarse.vsd_lr=1e-4"])
    found = changed.phases[0]
    assert (found.vsd_rank, found.vsd_lr) == (8, 0.0001)
    with pytest.raises(SdtoolError, match="it should look like 4"):
        override(plan, ["coarse.vsd_rank=0"])


@pytest.mark.slow
def test_every_phase_of_both_representations_has_its_phi(base, tmp_path):
    """Of each prior that it asks, also where priors compute in two halves."""
    of = priors_of(base)
    priors = [base, of["agp"], of["color"]]
    guidance = Guidance(*priors[:2], "a red corgi", color=priors[2])
    found = []
    with split(priors, None, torch.get_num_threads()):
        for rep, name in ((dmtet, "dmtet"), (nerf, "nerf")):
            plan = presets.distilled_by(
                presets.with_color_prior(presets.PRESETS[name]["preview"]), "vsd"
            )
            plan = replace(plan, tet_resolution=8, samples=8, log2_table=8, levels=4)
            scene = rep.first_scene(plan, torch.device("cpu"))
            for number, phase in enumerate(plan.phases):
                scene = rep.next_scene(scene, phase, plan) if number else scene
                phase = replace(phase, steps=1, size=8, views=1, lambda_ori=(1.0, 1.0))
                loop.optimise(
                    scene, guidance, phase, ViewRange(), number=number, seed=0, start=0, out=tmp_path,
                    on_step=lambda *_: None,
                )  # fmt: skip
                assert all(torch.isfinite(p).all() for p in scene.parameters())
                found.append((phase.name, *sorted(guidance.phis.made)))
    assert found == [
        ("coarse", "agp", "base"), ("geometry", "agp", "base"), ("color", "color"),
        ("coarse", "agp", "base"), ("fine", "agp", "color"),
    ]  # fmt: skip
