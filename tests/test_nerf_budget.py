"""A radiance field within a budget of samples: parts that are computed again, what a rehearsal says, and the
model of a step's memory against what lives."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from live_bytes import LiveBytes
from nerf_samples import FRONT_AND_RIGHT, LOOK, Nothing
from other_device import DEVICE, Elsewheres

from sdtool.bench.gpu import nerf_memory
from sdtool.errors import SdtoolError, UsageError
from sdtool.lifting import loop, nerf, rehearsal
from sdtool.lifting.config import override
from sdtool.lifting.presets import NERF_PAPER, NERF_PREVIEW, NERF_TINY_CPU, PAPER
from sdtool.lifting.radiance import RadianceScene
from sdtool.lifting.rehearsal import rehearse
from sdtool.rendering.recomputed import recomputed

PLAN = replace(NERF_PAPER, log2_table=12, finest=64, samples=64)
KINDS = {
    "normals": {},
    "shaded": {"shading": (0.0, 1.0, 0.0), "orient_over": "rays"},
    "albedo": {"orient": (0.0, 0.0)},
}


def scene_of(budget: int, samples: int = 64, **phase) -> RadianceScene:
    """Of the preset paper's coarse phase, with a budget."""
    plan = replace(PLAN, samples=samples)
    return RadianceScene(plan, replace(PLAN.phases[0], samples_budget=budget, **phase), "cpu")


def rendered(scene, size=16, generator=0):
    """Maps, penalties and the gradients of a sum of both."""
    maps = scene.render(FRONT_AND_RIGHT, 0.8, size, torch.Generator().manual_seed(generator))
    found = scene.penalties()
    total = sum((value * (1 + torch.arange(value.shape[1], device=value.device)).view(-1, 1, 1)).sum()
                for value in maps.values())  # fmt: skip
    (total + sum(found.values())).backward()
    gradients = {name: p.grad for name, p in scene.named_parameters()}
    return maps | found, gradients


# Parts


@pytest.mark.parametrize("kind", KINDS)
def test_parts_give_the_values_and_gradients_of_the_whole(kind):
    """Also of the orientation loss, and of the box."""
    whole, parts = scene_of(10**6, **KINDS[kind]), scene_of(200, **KINDS[kind])
    (values, gradients), (others, theirs) = rendered(whole), rendered(parts)
    assert whole.load[1] == 1 and parts.load[1] > 3 and whole.load[0] == parts.load[0] > 500
    assert set(values) == set(others) and ("orient" in values) == (kind != "albedo")
    for name, value in values.items():
        assert torch.allclose(value, others[name], atol=1e-6), name
    for name, gradient in gradients.items():
        assert gradient.abs().max() > 0, name
        close = (gradient - theirs[name]).abs().max() <= 1e-5 * gradient.abs().max()
        assert close, name
    assert torch.equal(whole.box.corners, parts.box.corners)


def test_parts_are_the_same_without_gradients():
    images = [scene_of(budget).render(FRONT_AND_RIGHT, 0.8, 12) for budget in (10**6, 150)]
    for name, image in images[0].items():
        assert torch.allclose(image, images[1][name], atol=1e-6), name


def test_the_budget_bounds_what_lives_in_a_step():
    """Twice the rays cost their pictures and 12 bytes a sample, not a sample's graph."""
    peaks, loads = [], []
    for size in (12, 20):
        scene = scene_of(1000, samples=128)
        with LiveBytes() as live:
            rendered(scene, size)
        peaks.append(live.peak)
        loads.append(scene.load[0])
    more = loads[1] - loads[0]
    assert more > 1000 and peaks[1] - peaks[0] < 0.5 * nerf_memory.HELD[True] * more


def test_what_is_recomputed_may_ask_for_gradients_itself():
    """f = Σ (d/dx x³)² · a = Σ 9 x⁴ a: df/da = 9 x⁴, df/dx = 36 x³ a; and what needs none gets none."""
    a, x, still = (
        torch.tensor(v, requires_grad=n) for v, n in (([2.0, 3.0], True), ([1.0, 2.0], True), ([1.0], False))
    )  # fmt: skip
    calls = []

    def run():
        calls.append(torch.is_grad_enabled())
        with torch.enable_grad():
            at = x if x.requires_grad else x.detach().requires_grad_()
            (slope,) = torch.autograd.grad((at**3).sum(), at, create_graph=True)
        return (slope.square() * a).sum(), torch.tensor(5)

    value, count = recomputed(run, (a, x, still))
    assert value.item() == 9 * (2 + 16 * 3) and count.item() == 5 and calls == [False]
    value.backward()
    assert calls == [False, True]
    assert a.grad.tolist() == [9.0, 144.0] and x.grad.tolist() == [72.0, 36 * 8 * 3]
    assert still.grad is None


@pytest.mark.slow
def test_parts_stay_on_their_device():
    """A pretended one; they are what they are on the CPU."""
    here, _ = rendered(scene_of(60), size=8)
    with Elsewheres():
        scene = RadianceScene(PLAN, replace(PLAN.phases[0], samples_budget=60), DEVICE)
        maps, gradients = rendered(scene, size=8)
        assert scene.load[1] > 2
        assert all(g is not None and g.device == DEVICE for g in gradients.values())
        for name in set(here) - {
            "backdrop"
        }:  # a list as an index has no values on a pretended device
            assert torch.allclose(maps[name].cpu(), here[name], atol=1e-4), name


@pytest.mark.slow
def test_a_continued_run_ends_with_the_same_bits(tmp_path):
    """Also with a budget that makes parts."""
    phase = replace(PLAN.phases[0], steps=54, size=8, views=2, samples_budget=150)

    def optimised(scene, **options):
        options = {"start": 0, "adam": None, "strength": 1.0} | options
        loop.optimise(
            scene, Nothing(), phase, LOOK, number=0, seed=3, out=tmp_path,
            on_step=lambda *_: None, **options,
        )  # fmt: skip
        return scene

    whole = optimised(RadianceScene(PLAN, phase, "cpu"))
    assert whole.load[1] > 1
    place, tensors, adam = loop.load(tmp_path)  # of step 50
    assert place["step"] == 50
    plan = replace(PLAN, phases=(phase,))
    scene = nerf.restored_scene(0, tensors, plan, torch.device("cpu"))
    optimised(scene, start=50, adam=adam)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, scene.state_dict()[name]), name


# Settings


def test_the_presets_that_were_there_have_no_budget():
    """So that their lifts keep their bytes."""
    for plan in (NERF_TINY_CPU, NERF_PREVIEW):
        assert all(phase.samples_budget == 0 for phase in plan.phases)
    assert all(phase.samples_budget > 0 for phase in NERF_PAPER.phases)


@pytest.mark.parametrize(
    "setting, words",
    [
        ("coarse.least_alpha=1", "least_alpha is a share below 1"),
        ("coarse.least_transmittance=1.0", "least_transmittance is a share below 1"),
        ("fine.samples_budget=-1", "it should look like"),
    ],
)
def test_what_cannot_be_is_named(setting, words):
    with pytest.raises(UsageError, match=words):
        override(NERF_PAPER, [setting])


# Rehearsal


class Priors(Nothing):
    """Like `Nothing`; notes the scenes' maps, or has no memory."""

    def __init__(self, error: Exception | None = None):
        self.error, self.seen = error, []

    def loss(self, maps, *rest):
        if self.error:
            raise self.error
        self.seen.append(maps)
        return super().loss(maps, *rest)


def small_paper(**phase) -> object:
    phases = tuple(
        replace(one, size=size, views=2, **phase) for one, size in zip(PLAN.phases, (8, 12), strict=True)
    )  # fmt: skip
    return replace(PLAN, phases=phases)


def test_a_rehearsal_fills_the_budget_and_foresees_a_finished_object(monkeypatch, capsys):
    """The full steps are as heavy as a budget can be without parts."""
    scenes, made = [], nerf.rehearsal_scene

    def rehearsal_scene(*given):
        scenes.append(made(*given))
        return scenes[-1]

    monkeypatch.setattr(nerf, "rehearsal_scene", rehearsal_scene)
    priors, plan = Priors(), small_paper(samples_budget=400)
    assert rehearse(nerf, plan, priors, LOOK, NERF_PREVIEW) == ""
    assert len(priors.seen) == 2
    for scene in scenes:
        samples, parts = scene.load
        assert (samples, parts) == (400, 1)
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in said] == ["rehearsed coarse", "rehearsed fine"]
    assert "million samples a step of a finished object, at most 0.00 million at once" in said[0]


def test_a_finished_object_is_foreseen_as_it_is():
    """The ball's rays: π 0.35² of the picture's plane, in some 40 of 512 steps each."""
    phase = replace(NERF_PAPER.phases[0], size=24, views=4)
    scene = nerf.rehearsal_scene(
        None, phase, replace(NERF_PAPER, log2_table=8), torch.device("cpu")
    )
    c2w, generator = loop.step_views(LOOK, phase.views, 0, 0, 0)
    said = scene.foresee(c2w, math.radians(45), phase.size, generator)
    expected = nerf_memory.cost(NERF_PAPER, phase).samples
    assert float(said.split()[0]) * 1e6 == pytest.approx(expected, rel=0.5)
    assert scene.load == (0, 0) and scene.empty.fraction == 1  # nothing of it stays


def test_a_small_step_is_rehearsed_whole():
    """All of its steps, where the budget allows more than there are."""
    plan = small_paper()
    scene = nerf.rehearsal_scene(None, plan.phases[0], plan, torch.device("cpu"))
    scene.render(FRONT_AND_RIGHT, 0.8, 8)
    steps = scene._steps(*scene._rays(FRONT_AND_RIGHT, 0.8, 8)).sum()
    assert scene.load == (int(steps), 1) and scene.empty.fraction == 1


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory."), MemoryError()])
def test_what_to_lower_is_named(error):
    with pytest.raises(SdtoolError) as caught:
        rehearse(nerf, small_paper(), Priors(error), LOOK, NERF_PREVIEW)
    said = str(caught.value)
    assert said.startswith("the coarse phase needs more memory than this machine has")
    assert "coarse.samples_budget, coarse.views or coarse.size with --set" in said
    assert "--precision fp16" in said
    with pytest.raises(RuntimeError, match="something else"):
        rehearse(nerf, small_paper(), Priors(RuntimeError("something else")), LOOK, NERF_PREVIEW)


def test_each_kind_of_phase_names_its_own():
    for plan, number, first in (
        (PAPER, 0, "tet_resolution, coarse.views"),
        (NERF_TINY_CPU, 1, "samples, fine.views"),
        (NERF_PAPER, 1, "fine.samples_budget, fine.views"),
    ):
        assert f"lower {first}" in rehearsal._advice(plan, plan.phases[number], NERF_PREVIEW)


# The model


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_of_the_render_is_what_lives(kind):
    """What is held until the backward pass and what lives at most in it, a sample and a ray."""
    measured = []
    for size, samples in ((16, 64), (16, 128), (32, 64)):
        scene = scene_of(10**9, samples, **KINDS[kind])
        scene.box.steps = 1  # no look at the empty space, no box: all steps are samples
        scene.box.corners[1] += 1
        with LiveBytes() as live:
            maps = scene.render(FRONT_AND_RIGHT, 0.8, size, torch.Generator().manual_seed(0))
            held = live.now
            live.forget()
            (
                sum(v.square().sum() for v in maps.values()) + sum(scene.penalties().values())
            ).backward()
            measured.append((scene.load[0], held, live.peak))
    (one, *first), (two, *second), (three, *third) = measured
    for k, mode in enumerate(("held", "peak")):
        slope = (second[k] - first[k]) / (two - one)
        expected = (nerf_memory.HELD, nerf_memory.PEAK)[k][kind != "albedo"]
        assert slope == pytest.approx(expected, rel=0.06), mode
    rays = (third[0] - first[0] - (three - one) * (second[0] - first[0]) / (two - one)) / (
        2 * (32**2 - 16**2)
    )
    assert rays == pytest.approx(nerf_memory.PIXEL[kind != "albedo"], rel=0.1)


def test_the_model_of_parts_is_what_lives():
    """12 bytes a sample, the pictures' graph, and one part's samples at most."""
    scene = scene_of(1500, 128)
    scene.box.steps = 1
    scene.box.corners[1] += 1
    with LiveBytes() as live:
        rendered(scene, 16)
    phase = replace(scene.phase, size=16, views=2)
    _, most = nerf_memory.render_bytes(phase, scene.load[0], 1500)
    table = nerf_memory.shape_bytes(scene.plan) / nerf_memory.TABLES * 5
    assert scene.load[1] > 10 and 0.6 * most < live.peak < most + table


def test_the_shape_is_counted_by_its_table():
    scene = scene_of(1000)
    numbers = scene.field.field.grid.table.numel()
    assert nerf_memory.shape_bytes(scene.plan) == nerf_memory.TABLES * 4 * numbers


def test_a_step_of_paper_stays_below_24_gb():
    for phase in NERF_PAPER.phases:
        budget = nerf_memory.cost(NERF_PAPER, phase, samples=phase.samples_budget)
        usual, worst = (nerf_memory.cost(NERF_PAPER, phase, samples=n) for n in (None, 7e7))
        assert budget.parts == 1 and worst.parts > 10
        assert max(usual.peak, worst.peak, budget.peak) < 24e9


def test_the_documented_table_is_the_models():
    page = (Path(__file__).parent.parent / "docs" / "gpu.md").read_text(encoding="utf-8")
    for line in nerf_memory.table(NERF_PAPER):
        assert line in page.splitlines(), line


@pytest.mark.slow
def test_the_priors_are_counted_on_networks_without_values():
    from torch.utils.flop_counter import FlopCounterMode

    from sdtool.bench.stable_diffusion import sd21_unet, sd_vae

    with torch.device("meta"):
        unet, vae = (m.half().requires_grad_(False) for m in (sd21_unet(), sd_vae()))
        assert sum(p.numel() for p in unet.parameters()) == pytest.approx(
            nerf_memory.UNET, rel=1e-3
        )
        assert sum(p.numel() for p in vae.parameters()) == pytest.approx(nerf_memory.VAE, rel=1e-3)
        latent, text = torch.empty(1, 4, 64, 64).half(), torch.empty(1, 77, 1024).half()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            unet(latent, torch.zeros(1), encoder_hidden_states=text)
        assert counter.get_total_flops() == pytest.approx(nerf_memory.LATENT_WORK, rel=0.01)
        picture = torch.empty(1, 3, 512, 512).half().requires_grad_()
        with LiveBytes() as live, FlopCounterMode(display=False) as counter:
            before = live.now
            encoded = vae.encode(picture).latent_dist.mean
            held = live.now - before
            encoded.sum().backward()
        assert counter.get_total_flops() == pytest.approx(nerf_memory.PICTURE_WORK, rel=0.01)
        weights = sum(p.numel() for p in vae.encoder.parameters()) * 2
        assert held - weights == pytest.approx(nerf_memory.PICTURE, rel=0.06)
