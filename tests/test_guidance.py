"""What the priors are told and shown: sides in prompts, normals as latents, turned normals."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sdtool.geometry.cameras import orbit, rotate_y
from sdtool.lifting import presets, sds
from sdtool.lifting.config import override
from sdtool.lifting.guidance import Guidance, _turned
from sdtool.lifting.presets import TINY_CPU
from sdtool.lifting.prompts import SIDES, Prompts, side_of
from sdtool.priors.agp import fresh_agp
from sdtool.priors.fresh import fresh_base

TEXTS = [f"a red corgi, {side}" for side in SIDES] + ["ugly"]
PHASE = replace(TINY_CPU.phases[1], ori_every=1)


@pytest.fixture(scope="module")
def priors():
    base = fresh_base(TEXTS, size=16, width=8)
    return base, fresh_agp(base, torch.Generator().manual_seed(0))


def cameras(azimuth, elevation) -> torch.Tensor:
    """Cameras at angles in degrees."""
    angles = np.radians(np.broadcast_arrays(azimuth, elevation))
    return torch.from_numpy(orbit(*angles, np.full(len(angles[0]), 2.0)))


def test_the_side_that_a_camera_sees():
    around = cameras([0, 40, -40, 50, -90, 130, 140, 180, -140], 10.0)
    assert side_of(around).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert side_of(cameras([0, 90, 180], 70.0)).tolist() == [3, 3, 3]


def test_prompts_name_the_side(priors):
    base, _ = priors
    told = Prompts(base, "a red corgi", by_view=True, negative="ugly")
    c2w = cameras([180, 0], 0.0)
    with torch.no_grad():
        expected = base.encode_text(["a red corgi, back view", "a red corgi, front view"])
        assert torch.allclose(told.at(c2w), expected, atol=1e-6)
        assert torch.equal(told.empty, base.encode_text(["ugly"]))
        plain = Prompts(base, "a red corgi", by_view=False, in_words=base.fitted_normal)
        assert torch.equal(plain.at(c2w), base.encode_text(["a red corgi, normal map"]))
        assert torch.equal(plain.empty, base.encode_text([""]))


def test_normals_turn_as_positions_do():
    normals = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    turned = _turned(normals, torch.tensor(0.7))
    rows = normals.movedim(1, -1).reshape(-1, 3).numpy()
    expected = rotate_y(rows, 0.7).reshape(2, 4, 4, 3)
    np.testing.assert_allclose(turned.movedim(1, -1).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("sees", ["normal", "normal_latent"])
def test_the_base_is_shown_what_the_phase_says(priors, sees):
    phase = replace(PHASE, sees=sees)
    guidance = Guidance(*priors, "a red corgi")
    normal = torch.rand(2, 4, 32, 32, requires_grad=True)
    shown = guidance._base_image({"normal": normal}, phase, torch.Generator())
    expected = torch.nn.functional.avg_pool2d(normal, 2)  # a pixel base has no VAE to pass
    assert torch.allclose(shown, expected, atol=1e-6)
    turned = replace(phase, normal_turn=180.0)
    other = guidance._base_image({"normal": normal}, turned, torch.Generator().manual_seed(1))
    assert torch.equal(other[:, 1], shown[:, 1]) and torch.equal(other[:, 3], shown[:, 3])
    assert not torch.allclose(other[:, 0], shown[:, 0], atol=0.05)
    length = (shown[:, 0].square() + shown[:, 2].square()).sqrt()
    assert torch.allclose((other[:, 0].square() + other[:, 2].square()).sqrt(), length, atol=1e-5)


def test_both_priors_pull_with_their_weights(priors):
    maps = {name: torch.rand(2, 4, 16, 16) * 2 - 1 for name in ("ccm", "normal")}
    c2w = cameras([0, 90], 10.0)

    def pull(progress=0.5, **weights):
        for value in maps.values():
            value.requires_grad_(True).grad = None
        guidance = Guidance(*priors, "a red corgi", by_view=True, **weights)
        generator = torch.Generator().manual_seed(0)
        loss, sizes = guidance.loss(maps, c2w, PHASE, progress, 1.0, generator)
        loss.backward()
        return sizes, {k: v.grad for k, v in maps.items()}

    sizes, both = pull()
    assert sizes.keys() == {"align", "ori"} and all(math.isfinite(v) for v in sizes.values())
    sizes, alone = pull(lambda_ori=0.0)
    assert sizes.keys() == {"align"} and alone["normal"] is None
    assert torch.equal(alone["ccm"], both["ccm"])  # the same noise, whatever the base does after it
    _, twice = pull(lambda_ori=0.0, lambda_align=2.0)
    assert torch.allclose(twice["ccm"], 2 * alone["ccm"], atol=1e-6)
    sizes, led = pull(lambda_align=0.0)
    assert sizes.keys() == {"ori"} and led["ccm"] is None and led["normal"].abs().sum() > 0


def asked(monkeypatch, priors, phase, progress, **weights):
    """What each prior is asked in a step, a list of (prior, levels of noise, side), and the weighted sum."""
    found, levels = [], []
    monkeypatch.setattr(sds, "sample_t", lambda n, r, *_: levels.append(r) or torch.full((n,), 9))

    def loss(prior, x, *_, **__):
        found.append((prior, levels[-1], x.shape[-1]))
        return x.sum() * 0 + 1

    monkeypatch.setattr(sds, "sds_loss", loss)
    maps = {name: torch.rand(2, 4, 16, 16) * 2 - 1 for name in ("ccm", "normal")}
    guidance = Guidance(*priors, "a red corgi", **weights)
    generator = torch.Generator().manual_seed(0)
    total, _ = guidance.loss(maps, cameras([0, 90], 10.0), phase, progress, 1.0, generator)
    return found, float(total)


def test_noise_levels_are_drawn_in_a_falling_band(monkeypatch, priors):
    phase = replace(PHASE, t_low=0.1, t_high=(0.9, 0.2), t_until=1.0, t_band=0.2)
    for progress, (low, high) in {0.0: (0.7, 0.9), 0.5: (0.35, 0.55), 1.0: (0.1, 0.2)}.items():
        for _, levels, _ in asked(monkeypatch, priors, phase, progress)[0]:
            assert levels == pytest.approx((low, high))
    ((_, levels, _), *_), _ = asked(monkeypatch, priors, replace(phase, t_band=0.0), 0.0)
    assert levels == (0.1, 0.9)


def test_a_base_that_is_asked_at_every_third_step_has_three_times_the_weight(monkeypatch, priors):
    base, agp = priors
    phase = replace(PHASE, steps=30, ori_every=3, lambda_ori=(0.1, 0.1), lambda_align=(1.0, 1.0))
    for step in range(30):
        found, total = asked(monkeypatch, priors, phase, step / 30)
        due = step % 3 == 0
        assert [prior for prior, *_ in found] == ([agp, base] if due else [agp])
        assert total == pytest.approx(1.3 if due else 1.0)
        if step < 3:  # alone it leads at every step
            found, total = asked(monkeypatch, priors, phase, step / 30, lambda_align=0.0)
            assert [prior for prior, *_ in found] == [base] and total == pytest.approx(1.0)


def test_without_an_agp_a_phase_keeps_its_own_weight_if_that_is_more_or_it_asks_none(priors):
    alone, beside = (Guidance(*priors, "a red corgi", lambda_align=factor) for factor in (0.0, 1.0))
    colours = presets.with_color_prior(presets.NERF_TINY_CPU).phases[1]
    assert (alone.base_weight(colours, 0.0), alone.base_weight(colours, 0.5)) == (3.0, 3.0)
    (material,) = override(presets.PAPER, ["material.lambda_ori=[0.5, 2]"]).phases[2:]
    for guidance in (alone, beside):  # no AGP is asked there
        assert [guidance.base_weight(material, share) for share in (0.0, 0.5)] == [0.5, 2.0]
    coarse = presets.PAPER.phases[0]  # (0, 1): the AGP alone at first
    assert [alone.base_weight(coarse, share) for share in (0.0, 0.5)] == [1.0, 1.0]
    assert [beside.base_weight(coarse, share) for share in (0.0, 0.5)] == [0.0, 1.0]
    halved = Guidance(*priors, "a red corgi", lambda_align=0.0, lambda_ori=0.5)
    assert halved.base_weight(coarse, 0.0) == 0.5 and halved.base_weight(colours, 0.0) == 1.5


def test_a_phase_can_show_the_priors_less(monkeypatch, priors):
    found, total = asked(monkeypatch, priors, replace(PHASE, latent=8), 0.5)
    assert [side for *_, side in found] == [8, 8]
    assert total == pytest.approx(4.4)  # (1 + 0.1) · (16/8)²: what there is less of weighs more
    found, total = asked(monkeypatch, priors, PHASE, 0.5)
    assert [side for *_, side in found] == [16, 16] and total == pytest.approx(1.1)
    image = torch.rand(1, 4, 32, 32)
    expected = torch.nn.functional.avg_pool2d(image, 4)
    assert torch.allclose(priors[0].encode_image(image, 8), expected, atol=1e-6)
