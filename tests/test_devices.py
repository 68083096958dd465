"""A lift follows its priors to another device: a pretended one here (`other_device`), and a GPU where
there is one."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from other_device import DEVICE, WAITS, Elsewhere, Elsewheres
from prior_samples import write_deepfloyd
from safetensors.torch import load_file

from sdtool.errors import UsageError
from sdtool.geometry.cameras import ViewRange
from sdtool.lifting import dmtet, lift_priors, loop, nerf, radiance, scenes
from sdtool.lifting.config import override
from sdtool.lifting.guidance import Guidance
from sdtool.lifting.presets import PRESETS, painted_as, starting_from
from sdtool.lifting.run import Lift
from sdtool.priors.agp import fresh_agp
from sdtool.priors.loading import load_agp, load_base
from sdtool.rendering import kernels, raster
from sdtool.runtime.devices import choose_device, visible_gpus

SHORT = [
    "coarse.steps=3", "geometry.steps=2", "color.steps=3", "color.views=2", "coarse.size=16",
    "tet_resolution=16", "samples=16",
]  # fmt: skip
SHORT_NERF = [
    "coarse.steps=4", "fine.steps=4", "coarse.size=16", "fine.size=24", "samples=16", "skip_from=2",
    "tet_resolution=24",
]  # fmt: skip
KINDS = {
    "density, colours": ("density", "color"),
    "ellipsoid, material": ("ellipsoid", "pbr"),
    "radiance field": (),
}


def short_lift(kind: str) -> Lift:
    """Eight steps through all phases."""
    rep = "nerf" if kind == "radiance field" else "dmtet"
    short = PRESETS[rep]["preview"]
    if rep == "nerf":
        short = override(short, SHORT_NERF)
    else:
        init, appearance = KINDS[kind]
        short = painted_as(override(starting_from(short, init), SHORT), appearance)
    return Lift(rep, "tiny", "", "preview", short, 1.0, 1.0, 1.0, True, "", 0, True)


def assert_same_lift(ours, theirs, tolerance: float, once: float = 0.0) -> None:
    """Both lifts in these directories went the same way. once: what one of the losses may differ by, where a
    vertex whose gradient is nothing but rounding has taken one of Adam's first steps to another side."""
    logs = [
        [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        for out in (ours, theirs)
    ]
    assert len(logs[0]) == len(logs[1]) == 8
    apart = []
    for mine, other in zip(*logs, strict=True):
        assert {"align", "ori"} & set(mine) == {"align", "ori"} & set(other)
        names = {"align", "ori"} & set(mine)
        apart += [abs(other[name] - mine[name]) / max(abs(mine[name]), 1e-9) for name in names]
    *others, most = sorted(apart)
    assert max(others) < tolerance and most < max(tolerance, once), apart
    shapes = [load_file(out / "shape.safetensors") for out in (ours, theirs)]
    for end in ("amin", "amax"):
        corners = [getattr(shape["v_pos"], end)(0) for shape in shapes]
        assert torch.allclose(*corners, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_lift_stays_on_its_device(kind, tmp_path, monkeypatch):
    """Nothing of it mixes devices, and it computes what it computes on the CPU."""
    lifting, adam = short_lift(kind), torch.optim.Adam
    monkeypatch.setattr(nerf, "VIEWS", 4)  # from which a field's surface is looked for
    lifting(("a corgi", tmp_path / "cpu"))
    monkeypatch.setattr(torch.optim, "Adam", lambda *a, fused, **k: adam(*a, **k, foreach=False))
    base, agp = load_base("tiny"), load_agp("tiny")
    with Elsewheres():
        priors = base.to(DEVICE), agp.to(DEVICE)
        monkeypatch.setattr(lift_priors, "_priors", lambda *_: (*priors, None))
        lifting(("a corgi", tmp_path / "other"))
    assert_same_lift(tmp_path / "cpu", tmp_path / "other", 1e-3, once=5e-3)
    assert json.loads((tmp_path / "other" / "stage.json").read_text())["device"] == str(DEVICE)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_a_lift_on_a_gpu_goes_the_same_way(kind, tmp_path):
    if not torch.accelerator.is_available():
        pytest.skip("no accelerator")
    lifting = short_lift(kind)
    lifting(("a corgi", tmp_path / "cpu"))
    device = str(torch.accelerator.current_accelerator())
    replace(lifting, device=device)(("a corgi", tmp_path / "gpu"))
    assert_same_lift(tmp_path / "cpu", tmp_path / "gpu", 0.05)


def on_its_own(pos, faces, size):
    """What is visible, by numba but as if the device had found it, as nvdiffrast and Warp do."""
    clip, triangles = pos.detach().inner.numpy(), faces.inner.numpy()
    return Elsewhere(
        torch.from_numpy(np.stack([kernels.rasterize(view, triangles, *size) for view in clip]))
    )


WHOLE = {
    "steps": 6,
    "views": 2,
    "size": 16,
    "lambda_ori": (1.0, 1.0),
    "normal_turn": 180.0,
    "ori_every": 1,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_step_waits_for_its_device(kind, tmp_path, monkeypatch):
    """Between looks at the numbers nothing is copied to the CPU, and no copy to the device is waited for.

    With a base that takes pictures, Perp-Neg, cameras that stray, and updates of the box and of empty space.
    """
    assert loop.LOOK_EVERY == 10
    for module, name, value in (
        (loop, "LOOK_EVERY", 4), (scenes, "BOX_EVERY", 2),
        (radiance, "OCCUPANCY_EVERY", 3), (raster, "_visible", on_its_own),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    plan, rep = short_lift(kind).plan, nerf if kind == "radiance field" else dmtet
    monkeypatch.setattr(loop, "save", lambda *_: None)  # of every 50th step
    adam = torch.optim.Adam
    monkeypatch.setattr(torch.optim, "Adam", lambda *a, fused, **k: adam(*a, **k, foreach=False))
    base = load_base(write_deepfloyd(tmp_path / "base"))
    agp = fresh_agp(base, torch.Generator().manual_seed(0))
    with Elsewheres():
        priors = base.to(DEVICE), agp.to(DEVICE)
        guidance = Guidance(*priors, "a corgi", by_view=True, perp_neg=True)
        scene = rep.first_scene(plan, DEVICE)
        for number, phase in enumerate(plan.phases):
            scene = rep.next_scene(scene, phase, plan) if number else scene
            phase = replace(phase, **WHOLE, turns="view", fov=(35.0, 45.0), shift=0.05)
            counted = []
            WAITS.clear()

            def count(step, loss, counted=counted):
                counted.append((step, WAITS["fetched"], WAITS["sent"], loss))
                WAITS.clear()

            loop.optimise(
                scene, guidance, phase, ViewRange(), number=number, seed=0, start=0, out=tmp_path,
                on_step=count,
            )  # fmt: skip
            steps, fetched, sent, losses = zip(*counted, strict=True)
            assert steps == (1, 2, 3, 4, 5, 6) and not any(sent), (phase.name, sent)
            assert fetched == (0, 0, 0, 1, 0, 1), (phase.name, fetched)
            assert losses[:3] == (None,) * 3 and losses[3] is not None
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6] * len(plan.phases)
    assert all(line.get("ori", 0.0) > 0 for line in lines)


def test_what_would_wait_is_counted():
    with Elsewheres():
        there = torch.arange(4.0).to(DEVICE, non_blocking=True)
        WAITS.clear()
        there + torch.ones(()), there.mul_(2), torch.zeros(4, device=DEVICE)
        assert not sum(WAITS.values())
        assert there.sum().item() == 12 and bool(there[0] == 0)
        there.cpu(), torch.ones(2).to(DEVICE), torch.nonzero(there), there[there > 1], there[[0, 1]]
        assert WAITS == {"fetched": 3, "sent": 2, "sized": 2}


def test_mixing_devices_is_refused_by_the_pretended_one():
    with Elsewheres():
        there = torch.ones(3).to(DEVICE)
        with pytest.raises(RuntimeError, match="two devices"):
            there + torch.ones(3)
        assert torch.equal((there + 1).cpu(), torch.full((3,), 2.0))
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()


@pytest.mark.parametrize("name", ["meta", "nothing", "xla"])
def test_a_device_that_cannot_compute_here_is_refused_in_a_sentence(name):
    with pytest.raises(UsageError) as refused:
        choose_device(name)
    said = str(refused.value)
    assert said.startswith(f"--device {name} cannot be used here (") and said.endswith("; try cpu")
    assert len(said) < 350 and ". " not in said


def test_gpus_are_counted_where_there_are_any():
    assert visible_gpus(torch.device("cpu")) == ()
