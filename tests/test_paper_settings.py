"""The settings of the preset `paper` do what their sources do: Fantasia3D and SweetDreamer's authors."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sdtool.geometry.cameras import ViewRange, orbit
from sdtool.lifting import loop, presets, sds
from sdtool.lifting.guidance import NOT_WANTED, Guidance
from sdtool.lifting.radiance import RadianceScene
from sdtool.lifting.scenes import DensityScene
from sdtool.priors.agp import fresh_agp
from sdtool.priors.fresh import fresh_base

COARSE, FINE, MATERIAL = presets.PAPER.phases
NERF_COARSE, NERF_FINE = presets.NERF_PAPER.phases
CAMERAS = torch.from_numpy(orbit([0.0, 1.5], [0.2, 0.2], [2.0, 2.0]))


@pytest.fixture(scope="module")
def priors():
    base = fresh_base(["a red corgi"], size=16, width=8)
    return base, fresh_agp(base, torch.Generator().manual_seed(0))


def maps(size=16):
    """Random maps of two views."""
    generator = torch.Generator().manual_seed(0)
    names = ("ccm", "normal", "rgb")
    return {name: torch.rand(2, 4, size, size, generator=generator) * 2 - 1 for name in names}


def asked(monkeypatch, priors, phase, progress):
    """What each prior's term of a step is given: a list of (prior, range of t, scale, weighting)."""
    found, ranges = [], []
    monkeypatch.setattr(sds, "sample_t", lambda n, r, *_: ranges.append(r) or torch.full((n,), 500))

    def loss(prior, x, t, noise, text, empty, scale, **more):
        assert more["rescale"] == (phase.rescale if prior is priors[0] else 0.0)
        found.append((prior, ranges[-1], scale, more["weighting"]))
        return x.sum() * 0

    monkeypatch.setattr(sds, "sds_loss", loss)
    generator = torch.Generator().manual_seed(0)
    Guidance(*priors, "a red corgi").loss(maps(), CAMERAS, phase, progress, 1.0, generator)
    return found


@pytest.mark.parametrize(
    ("progress", "highest"), [(0.0, 0.98), (0.075, 0.74), (0.15, 0.5), (1.0, 0.5)]
)
def test_materials_see_high_noise_at_the_start_only(monkeypatch, priors, progress, highest):
    ((prior, (low, high), scale, weighting),) = asked(monkeypatch, priors, MATERIAL, progress)
    assert prior is priors[0] and (scale, weighting, low) == (50.0, "sqrt_alpha", 0.02)
    assert high == pytest.approx(highest)


@pytest.mark.parametrize(
    ("phase", "step", "highest"),
    [(NERF_COARSE, 2500, 0.74), (NERF_COARSE, 5000, 0.5), (NERF_FINE, 4000, 0.5)],
)
def test_noise_falls_over_the_steps_that_the_authors_name(
    monkeypatch, priors, phase, step, highest
):
    for _, (_, high), _, _ in asked(monkeypatch, priors, phase, step / phase.steps):
        assert high == pytest.approx(highest)


def test_both_priors_are_guided_as_strongly_in_the_second_stage(monkeypatch, priors):
    found = asked(monkeypatch, priors, NERF_FINE, 0.5)
    assert [prior for prior, *_ in found] == [priors[1], priors[0]]
    assert [scale for _, _, scale, _ in found] == [100.0, 100.0]


# What is not wanted


def test_bases_of_an_open_vocabulary_are_told_what_is_not_wanted(priors):
    base, agp = priors
    told = []

    def telling(prior, name):
        spy = SimpleNamespace(device=prior.device, fitted=prior.fitted)
        spy.fitted_normal = prior.fitted_normal
        spy.encode_text = lambda texts: told.append((name, texts)) or prior.encode_text(texts)
        return spy

    def negatives(**options):
        told.clear()
        Guidance(telling(base, "base"), telling(agp, "agp"), "a red corgi", **options)
        return [(name, texts[0]) for name, texts in told[::2]]  # of each, the negative comes first

    normal, color = NOT_WANTED["normal"], NOT_WANTED["rgb"]
    assert "monochrome" in color and "monochrome" not in normal
    assert negatives(open_words=True) == [("base", normal), ("base", color), ("agp", "")]
    assert negatives() == [("base", ""), ("base", ""), ("agp", "")]
    for words in (True, False):
        found = negatives(negative="ugly", open_words=words)
        assert found == [("base", "ugly"), ("base", "ugly"), ("agp", "ugly")]


# Cameras


def test_cameras_stray_sideways_and_keep_their_direction():
    c2w, generator = CAMERAS.numpy().repeat(200, axis=0), torch.Generator().manual_seed(0)
    moved, fov = loop.strayed(c2w, 0.7, MATERIAL, generator)
    assert np.array_equal(moved[:, :3, :3], c2w[:, :3, :3])
    local = np.einsum("nji,nj->ni", c2w[:, :3, :3], moved[:, :3, 3] - c2w[:, :3, 3])
    bound = 2 * 0.2 / 3  # cameras at distance 2
    assert abs(local[:, 2]).max() < 1e-6  # neither nearer nor farther
    assert 0.95 * bound < abs(local[:, :2]).max() <= bound * (1 + 1e-6)
    assert abs(local[:, :2].mean(axis=0)).max() < 0.1 * bound
    found, low, high = np.degrees(fov), 25.71, 45.0  # of 400 views
    assert found.shape == (400,) and low <= found.min() < low + 0.2
    assert high - 0.2 < found.max() <= high


def test_fields_of_view_are_drawn_for_each_view_in_the_authors_range():
    generator, c2w = torch.Generator().manual_seed(0), CAMERAS.numpy()
    for phase, low, high in ((NERF_COARSE, 35, 45), (NERF_FINE, 44, 46)):
        drawn = [loop.strayed(c2w, 0.7, phase, generator) for _ in range(100)]
        assert all(same is c2w for same, _ in drawn)
        found = np.degrees([fov for _, fov in drawn])  # (100, 2)
        assert abs(np.corrcoef(found.T)[0, 1]) < 0.3
        assert low <= found.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < found.max() <= high


def test_a_lift_renders_from_the_cameras_that_strayed(tmp_path, monkeypatch, priors):
    phase = replace(
        presets.TINY_CPU.phases[0], steps=3, size=8, views=1, fov=(20.0, 30.0), shift=0.3
    )
    scene, seen = DensityScene(0.6, 8), []
    render = scene.render

    def spy(c2w, fov, size, generator=None):
        seen.append((c2w, fov))
        return render(c2w, fov, size, generator)

    monkeypatch.setattr(scene, "render", spy)
    told = {"number": 0, "seed": 0, "start": 0, "out": tmp_path}
    guidance = Guidance(*priors, "a red corgi")
    loop.optimise(scene, guidance, phase, ViewRange(), on_step=lambda step, loss: None, **told)
    assert all(math.radians(20) <= fov <= math.radians(30) for _, (fov,) in seen)
    for step, (c2w, _) in enumerate(seen):
        plain, _ = loop.step_views(ViewRange(), 1, 0, 0, step)
        assert np.array_equal(c2w[:, :3, :3], plain[:, :3, :3]) and not np.array_equal(c2w, plain)


def test_a_phase_without_a_range_keeps_the_cameras_and_draws_nothing():
    generator, c2w = torch.Generator().manual_seed(0), CAMERAS.numpy()
    before = generator.get_state()
    same, fov = loop.strayed(c2w, 0.7, COARSE, generator)
    assert same is c2w and fov == 0.7
    assert torch.equal(generator.get_state(), before)


# Normals


def shown(priors, phase, normal, seed=0):
    """What the base is shown of normals, in the phase."""
    generator = torch.Generator().manual_seed(seed)
    return Guidance(*priors, "a red corgi")._base_image({"normal": normal}, phase, generator)


def test_each_view_of_normals_is_turned_about_x_and_then_y(priors):
    normal = maps()["normal"]
    found = shown(priors, COARSE, normal)
    tilt, turn = (2 * torch.rand(2, 2, generator=torch.Generator().manual_seed(0)) - 1) * math.pi
    assert (tilt[0], turn[0]) != (tilt[1], turn[1])
    for view in range(2):
        rows = normal[view, :3].reshape(3, -1)
        c, s = math.cos(tilt[view]), math.sin(tilt[view])
        rows = torch.tensor([[1, 0, 0], [0, c, -s], [0, s, c]]) @ rows
        c, s = math.cos(turn[view]), math.sin(turn[view])
        rows = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ rows
        assert torch.allclose(found[view, :3].reshape(3, -1), rows, atol=1e-5)


def test_the_mask_is_0_and_1_for_bases_other_than_ours(priors, monkeypatch):
    normal, straight = maps()["normal"], replace(COARSE, normal_turn=0.0)
    assert torch.equal(shown(priors, straight, normal)[:, 3], normal[:, 3])  # it takes maps
    monkeypatch.setattr(type(priors[0]), "takes_maps", False)
    found = shown(priors, straight, normal)
    assert torch.allclose(found[:, 3], (normal[:, 3] + 1) / 2)
    assert torch.equal(found[:, :3], normal[:, :3])


# Radiance fields


@pytest.mark.parametrize(
    ("phase", "step", "weight"),
    [(NERF_COARSE, 0, 10), (NERF_COARSE, 2500, 505), (NERF_COARSE, 5000, 1000)]
    + [(NERF_FINE, 0, 10), (NERF_FINE, 2000, 505), (NERF_FINE, 9999, 1000)],
)
def test_the_orientation_loss_rises_as_the_authors_let_it(phase, step, weight):
    found = {"orient": torch.tensor(1.0), "sparse": torch.tensor(5.0)}
    assert phase.penalty(found, step / phase.steps).item() == pytest.approx(weight)


def test_the_orientation_loss_is_a_mean_over_the_rays_that_hit(monkeypatch):
    plan = replace(presets.NERF_PREVIEW, samples=32)
    phase, c2w = replace(plan.phases[0], orient=(1.0, 1.0)), CAMERAS.numpy()
    found = {}
    for over in ("rays", "hits"):
        scene = RadianceScene(plan, replace(phase, orient_over=over), "cpu")
        # empty space but for a ball: most rays hit nothing
        monkeypatch.setattr(scene.empty, "occupied", lambda points: points.norm(dim=-1) < 0.2)
        maps = scene.render(c2w, math.radians(45), 12, torch.Generator().manual_seed(0))
        found[over] = scene.penalties()["orient"]
    hit = int((maps["ccm"][:, 3] > -1).sum())
    assert 0 < hit < 2 * 144 / 3
    # Σ / rays · rays · views / hits
    assert found["hits"].item() == pytest.approx(found["rays"].item() * 2 * 144 * 2 / hit, rel=1e-4)


def test_networks_learn_at_a_tenth_of_the_encodings_rate_with_decay():
    plan = replace(presets.NERF_PREVIEW, log2_table=8)
    scene = RadianceScene(plan, NERF_COARSE, "cpu")
    optimiser = loop.new_optimiser(scene, NERF_COARSE)
    assert isinstance(optimiser, torch.optim.AdamW)
    encoding, networks = optimiser.param_groups
    assert (encoding["lr"], networks["lr"], encoding["weight_decay"]) == (0.01, 0.001, 0.01)
    assert [p.data_ptr() for p in encoding["params"]] == [scene.field.field.grid.table.data_ptr()]
    count = sum(p.numel() for p in scene.parameters())
    assert sum(p.numel() for p in encoding["params"] + networks["params"]) == count
    background = {p.data_ptr() for p in scene.background.parameters()}
    assert background < {p.data_ptr() for p in networks["params"]}
    # a step without a gradient: w ← w (1 − lr · decay)
    before = [p.detach().clone() for p in (encoding["params"][0], networks["params"][0])]
    for p in scene.parameters():
        p.grad = torch.zeros_like(p)
    optimiser.step()
    for p, old, rate in zip(
        (encoding["params"][0], networks["params"][0]), before, (0.01, 0.001), strict=True
    ):
        assert torch.allclose(p, old * (1 - rate * 0.01), rtol=1e-6, atol=0)
    plain = loop.new_optimiser(scene, presets.NERF_TINY_CPU.phases[0])
    assert type(plain) is torch.optim.Adam and len(plain.param_groups) == 1
    assert [id(p) for p in plain.param_groups[0]["params"]] == [id(p) for p in scene.parameters()]


def test_guidance_is_rescaled_for_the_base_alone(monkeypatch, priors):
    assert NERF_COARSE.rescale == NERF_FINE.rescale == 0.5
    asked(monkeypatch, priors, NERF_FINE, 0.5)  # which looks at it


def test_radiance_fields_are_shown_as_albedo():
    assert NERF_COARSE.shading == NERF_FINE.shading == (1.0, 0.0, 0.0)


def test_what_the_other_presets_do_is_as_it_was():
    for name in ("tiny-cpu", "preview"):
        for plans in presets.PRESETS.values():
            for phase in plans[name].phases:
                assert (
                    replace(phase, t_until=0.7, turns="step", orient_until=1.0, orient_over="rays")
                    == phase
                )
