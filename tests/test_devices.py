"""A lift follows its priors to another device: a pretended one here (`other_device`), and a GPU where
there is one."""

import json
from dataclasses import replace

import pytest
import torch
from other_device import DEVICE, Elsewheres
from safetensors.torch import load_file

from sdtool.lifting import nerf, run
from sdtool.lifting.config import override
from sdtool.lifting.presets import PRESETS, painted_as, starting_from
from sdtool.lifting.run import Lift
from sdtool.priors.loading import load_agp, load_base
from sdtool.runtime.devices import visible_gpus

SHORT = [
    "coarse.steps=3", "geometry.steps=2", "color.steps=3", "color.views=2", "coarse.size=16",
    "tet_resolution=16", "samples=16",
]  # fmt: skip
SHORT_NERF = [
    "coarse.steps=4", "fine.steps=4", "coarse.size=16", "fine.size=24", "samples=16",
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


def assert_same_lift(ours, theirs, tolerance: float) -> None:
    """Both lifts in these directories went the same way."""
    logs = [
        [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        for out in (ours, theirs)
    ]
    assert len(logs[0]) == len(logs[1]) == 8
    for mine, other in zip(*logs, strict=True):
        for name in {"align", "ori"} & set(mine):
            assert other[name] == pytest.approx(mine[name], rel=tolerance)
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
        monkeypatch.setattr(run, "_priors", lambda *_: priors)
        lifting(("a corgi", tmp_path / "other"))
    assert_same_lift(tmp_path / "cpu", tmp_path / "other", 1e-3)
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


def test_mixing_devices_is_refused_by_the_pretended_one():
    with Elsewheres():
        there = torch.ones(3).to(DEVICE)
        with pytest.raises(RuntimeError, match="two devices"):
            there + torch.ones(3)
        assert torch.equal((there + 1).cpu(), torch.full((3,), 2.0))
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()


def test_gpus_are_counted_where_there_are_any():
    assert visible_gpus(torch.device("cpu")) == ()
