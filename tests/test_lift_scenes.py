"""The steps of a lift: their views, the guard against steps that fail, and scenes from phase to phase."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from lift_samples import SMALL_PLAN

from sdtool.errors import SdtoolError
from sdtool.geometry.cameras import ViewRange, orbit
from sdtool.lifting import dmtet, loop
from sdtool.lifting.config import Phase
from sdtool.lifting.guidance import Guidance
from sdtool.lifting.painting import ColorScene
from sdtool.lifting.rehearsal import rehearse
from sdtool.lifting.scenes import (
    DensityScene,
    RunningBox,
    SurfaceScene,
    VanishedError,
    density_to_sdf,
    implicit_to_sdf,
    without_crumbs,
)
from sdtool.shapes.density import DensityShape
from sdtool.shapes.dmtet import DMTetShape
from sdtool.shapes.grids import grid_points, total_variation

# Steps and their randomness


def test_views_of_a_step_are_spread_and_repeatable():
    view_range = ViewRange(distance=1.8)
    c2w, generator = loop.step_views(view_range, 4, seed=3, phase=1, step=7)
    azimuth = np.sort(np.arctan2(c2w[:, 0, 3], c2w[:, 2, 3]))
    np.testing.assert_allclose(np.diff(azimuth), np.pi / 2, atol=1e-5)
    again, same = loop.step_views(view_range, 4, seed=3, phase=1, step=7)
    assert (c2w == again).all()
    assert torch.equal(torch.randn(3, generator=generator), torch.randn(3, generator=same))
    other, _ = loop.step_views(view_range, 4, seed=3, phase=1, step=8)
    assert not (c2w == other).all()


def test_running_box_averages_every_tenth_step():
    box = RunningBox()
    ones, threes = torch.ones(2, 3), torch.full((2, 3), 3.0)
    box.update(lambda: ones)
    for _ in range(9):
        assert torch.equal(box.update(lambda: threes), ones)
    expected = 0.7 * ones + 0.3 * threes
    torch.testing.assert_close(box.update(lambda: threes), expected)


# The guard


class BrokenPrior:
    """A prior whose answers are not numbers while `broken` lasts."""

    sample_size, channels, takes_maps, device = 8, 4, True, torch.device("cpu")
    alphas_cumprod = torch.linspace(0.99, 0.01, 100)

    def __init__(self, broken: range):
        self.calls, self.broken = 0, broken

    def fitted(self, prompt, ending=""):
        return prompt + ending, ""

    fitted_normal = fitted

    def encode_text(self, prompts):
        return torch.zeros(len(prompts), 2, 4)

    def encode_map(self, ccm):
        return ccm

    def add_noise(self, x, noise, t):
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        return a.sqrt() * x + (1 - a).sqrt() * noise

    def predict_noise(self, x, t, text, c2w=None):
        self.calls += 1
        return x * (float("nan") if self.calls in self.broken else 0.5)


def run_guarded(broken: range, out, steps: int = 25) -> tuple[DensityScene, list[dict]]:
    prior = BrokenPrior(broken)
    phase = Phase("coarse", "density", steps=steps, lr=0.01, size=8, views=1)
    scene = DensityScene(0.6, 8)
    loop.optimise(
        scene, Guidance(prior, prior, "a corgi", lambda_ori=0.0), phase, ViewRange(),
        number=0, seed=0, start=0, out=out, on_step=lambda step, loss: None,
    )  # fmt: skip
    return scene, [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_non_finite_step_rolls_back_and_goes_on(tmp_path):
    scene, log = run_guarded(range(23, 24), tmp_path)
    steps = [line["step"] for line in log if "step" in line]
    assert steps == [*range(1, 23), *range(21, 26)]  # step 23 failed; step 20 was the last good one
    assert sum("rollback" in line for line in log) == 1
    assert all(torch.isfinite(p).all() for p in scene.parameters())


def test_a_second_non_finite_step_stops_with_a_clear_message(tmp_path):
    with pytest.raises(SdtoolError, match="failed twice at step"):
        run_guarded(range(10, 1000), tmp_path)


def test_nothing_left_is_an_error_and_not_a_result():
    empty = DensityShape()
    with torch.no_grad():
        empty.field.grids[0].fill_(-50)
    with pytest.raises(VanishedError):
        density_to_sdf(empty, 16)
    with pytest.raises(VanishedError):
        SurfaceScene(DMTetShape(torch.ones(9, 9, 9), 0.6)).render(orbit(0, 0, 1.8), 0.8, 16)


def test_what_is_looked_at_every_tenth_step_ends_with_the_same_bits(tmp_path, monkeypatch):
    """As on an accelerator, with a failure in the fourth step after a look; until the next one the shape goes
    on as numbers."""
    scenes, logs, finite = [], [], []
    render = DensityScene.render

    def spy(self, *rest):
        finite.append(bool(torch.isfinite(self.shape.raw()).all()))
        return render(self, *rest)

    monkeypatch.setattr(DensityScene, "render", spy)
    for every in (1, 10):
        monkeypatch.setattr(loop, "look_every", lambda device, every=every: every)
        broken = range(24, 25)
        (tmp_path / str(every)).mkdir()
        scene, log = run_guarded(broken, tmp_path / str(every), steps=27)
        scenes.append(scene.state_dict())
        logs.append([line | {"seconds": 0} for line in log])
    assert logs[0] == logs[1] and any("rollback" in line for line in logs[0])
    assert len(finite) == 27 + 4 + 27 + 7 and all(finite)  # steps, and those that were done again
    assert all(torch.equal(scenes[0][name], scenes[1][name]) for name in scenes[0])


def test_a_shape_of_which_nothing_is_seen_is_found_when_it_is_looked_at(tmp_path):
    unread = loop.Unread(tmp_path / "log.jsonl")
    one = torch.ones(())
    for step, extent in ((1, one), (2, one * torch.nan), (3, one)):
        unread.add({"step": step}, {"norm": one, "loss": step * one, "ori": one, "extent": extent})
    assert unread.read() == (1.0, 1, "nothing is seen of the shape any more")
    assert (tmp_path / "log.jsonl").read_text() == '{"step": 1, "ori": 1.0}\n'
    assert unread.read() == (None, 0, "")


def test_a_box_that_is_read_again_goes_on_counting():
    box, other = RunningBox(), RunningBox()
    for _ in range(7):
        box.update(lambda: torch.ones(2, 3))
    other.load_state_dict(box.state_dict())
    assert other.steps == 7 and int(other.age) == 7


def test_a_rehearsal_looks_through_the_narrowest_of_the_fields_of_view(monkeypatch):
    """There a shape covers most pixels, and most rays meet it."""
    plan, seen = replace(SMALL_PLAN, phases=SMALL_PLAN.phases[:1] * 2), []
    wide = replace(plan.phases[0], fov=(20.0, 60.0))
    plan = replace(plan, phases=(plan.phases[0], wide))
    render = DensityScene.render
    monkeypatch.setattr(
        DensityScene,
        "render",
        lambda self, c2w, fov, *rest: seen.append(fov) or render(self, c2w, fov, *rest),
    )
    prior = BrokenPrior(range(0))
    guidance = Guidance(prior, prior, "a corgi", lambda_ori=0.0)
    rehearse(dmtet, plan, guidance, ViewRange(fov=45.0), SMALL_PLAN)
    assert np.degrees(seen) == pytest.approx([45.0, 20.0])


# From phase to phase


def test_the_surface_continues_the_density():
    shape = DensityShape()
    with torch.no_grad():
        shape.field.grids[0].fill_(6.0)
    before = density_to_sdf(shape, 32)
    scene = SurfaceScene(DMTetShape(before, 0.6))
    v_pos, faces = scene.shape.surface()
    radius = v_pos.norm(dim=1)
    assert len(faces) > 100
    # raw = 6 + 4 (1 − 2r / 0.35), and the level is where 8 · softplus(raw) · 0.1 = ln 2
    level = np.log(np.expm1(np.log(2) / (8 * 0.1)))
    expected = 0.35 / 2 * (1 - (level - 6) / 4)
    assert abs(radius.mean().item() - expected) < 0.01
    assert radius.std() < 0.006


def test_scenes_render_maps_of_the_same_form():
    c2w = orbit(np.array([0.0, 2.0]), 0.2, 1.8)
    generator = torch.Generator().manual_seed(0)
    coarse = DensityScene(0.6, 32)
    maps = coarse.render(c2w, 0.785, 16, generator)
    surface = SurfaceScene(DMTetShape(grid_points(17, 0.6).norm(dim=-1) - 0.3, 0.6))
    maps |= {f"surface {k}": v for k, v in surface.render(c2w, 0.785, 16, generator).items()}
    v_pos, faces = surface.shape.surface()
    maps |= ColorScene(v_pos, faces, 0.6).render(c2w, 0.785, 16)
    assert len(maps) == 5
    for name, image in maps.items():
        assert image.shape == (2, 4, 16, 16), name
        coverage = (image[:, 3] + 1) / 2
        assert coverage.min() >= -1e-5 and coverage.max() <= 1 + 1e-5, name
        assert coverage[:, 8, 8].min() > 0.9 and coverage[:, 0, 0].max() < 0.01, name
        if name != "ccm":  # a density's haze may lie outside the running box
            assert (image[:, :3].abs() <= coverage[:, None] + 1e-3).all(), name
    # in the middle of the front view the sphere's front is seen: ccm z near 1, normal toward +z
    assert (maps["surface ccm"][0, 2, 8, 8] + 1) / 2 > 0.9
    assert maps["surface normal"][0, 2, 8, 8] > 0.8
    assert (maps["ccm"][0, 2, 8, 8] + 1) / 2 > 0.8 and maps["normal"][0, 2, 8, 8] > 0.8


def test_what_no_prior_looks_at_is_not_rendered():
    c2w, scene = orbit(np.array([0.0, 2.0]), 0.2, 1.8), DensityScene(0.6, 16)
    pulls = {}
    for scene.base_looks in (True, False):
        scene.box = RunningBox()
        maps = scene.render(c2w, 0.785, 16, torch.Generator().manual_seed(0))
        assert set(maps) == ({"ccm", "normal"} if scene.base_looks else {"ccm"})
        loss = maps["ccm"].square().sum()
        pulls[scene.base_looks] = [loss, *torch.autograd.grad(loss, list(scene.parameters()))]
    for whole, alone in zip(pulls[True], pulls[False], strict=True):
        assert torch.allclose(whole, alone, rtol=1e-4, atol=1e-4)
    assert set(scene.render(c2w, 0.785, 16)) == {"ccm", "normal"}  # people look at all of it


def test_penalties_are_of_the_shape_that_was_rendered():
    c2w = orbit(np.array([0.0, 2.0]), 0.2, 1.8)
    density = DensityScene(0.6, 16)
    surface = SurfaceScene(DMTetShape(grid_points(17, 0.6).norm(dim=-1) - 0.3, 0.6))
    color = ColorScene(*surface.shape.surface(), 0.6)
    expected = {
        density: density.shape.total_variation,
        surface: surface.shape.roughness,
        color: lambda: total_variation(color.field.composed()),
    }
    for scene, fresh in expected.items():
        for parameter in scene.parameters():
            parameter.data.normal_(0, 0.01, generator=torch.Generator().manual_seed(0))
        scene.render(c2w, 0.785, 16, torch.Generator().manual_seed(0))
        found = scene.penalties()["smooth"]()
        assert found > 0 and torch.equal(found, fresh())


def test_crumbs_are_left_out_and_parts_are_not():
    points = grid_points(49, 0.6)
    large = (points - torch.tensor([0.2, 0.0, 0.0])).norm(dim=-1) - 0.3
    part = (points + torch.tensor([0.4, 0.0, 0.0])).norm(dim=-1) - 0.1
    crumb = (points + torch.tensor([0.4, 0.4, 0.0])).norm(dim=-1) - 0.035
    both = torch.minimum(large, part)
    v_pos, faces = SurfaceScene(DMTetShape(torch.minimum(both, crumb), 0.6)).shape.surface()
    kept, kept_faces = without_crumbs(v_pos, faces)
    assert v_pos[:, 1].min() < -0.4 and kept[:, 1].min() > -0.31
    assert kept[:, 0].min() < -0.45 and kept_faces.max() == len(kept) - 1
    sdf = implicit_to_sdf(-torch.minimum(both, crumb).numpy(), 0.6)
    assert sdf[24, 24, 8] < 0 < sdf[24, 8, 8]  # the middles of the part and of the crumb
