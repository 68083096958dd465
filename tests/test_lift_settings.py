"""What a lift is told before its first step: presets, settings, and the shape that it starts from."""

import tomllib

import numpy as np
import pytest
import torch
import trimesh
from lift_samples import QUICK
from safetensors.torch import load_file

from sdtool import cli
from sdtool.errors import InputError, UsageError
from sdtool.geometry.meshes import Mesh
from sdtool.lifting import config, presets
from sdtool.lifting.config import LiftPlan
from sdtool.lifting.initial import AXES, initial_sdf
from sdtool.lifting.rehearsal import is_light
from sdtool.meshfiles import write_glb
from sdtool.shapes.dmtet import DMTetShape

# Presets and settings


def test_presets_are_complete():
    scenes = {"paper": ["surface", "surface", "material"]}
    for name, plan in presets.PRESETS["dmtet"].items():
        assert isinstance(plan, LiftPlan)
        wanted = scenes.get(name, ["density", "surface", "color"])
        assert [phase.scene for phase in plan.phases] == wanted, name
    assert presets.PRESETS["nerf"].keys() == presets.PRESETS["dmtet"].keys()
    for plan in presets.PRESETS["nerf"].values():
        assert [phase.scene for phase in plan.phases] == ["radiance", "radiance"]


def test_only_plans_that_need_little_go_without_a_rehearsal():
    for plans in presets.PRESETS.values():
        assert {name for name, plan in plans.items() if not is_light(plan)} == {
            "paper"
        } & plans.keys()
    assert not is_light(config.override(presets.TINY_CPU, ["tet_resolution=200"]))
    assert not is_light(config.override(presets.TINY_CPU, ["color.views=16"]))


def test_settings_change_a_phase_or_the_plan():
    plan = config.override(
        presets.TINY_CPU,
        ["coarse.steps=7", "tet_resolution = 32", "color.t_high=[0.9, 0.5]", "geometry.sees=rgb"],
    )
    assert [phase.steps for phase in plan.phases] == [7, 60, 80] and plan.tet_resolution == 32
    assert plan.phases[2].t_high == (0.9, 0.5) and plan.phases[1].sees == "rgb"
    assert config.override(plan, []) == plan != presets.TINY_CPU
    off = config.override(presets.PAPER, ["sdf_table=0", "fine.subdivide=0"])
    assert (off.sdf_table, off.phases[1].subdivide) == (0, 0)
    unbounded = config.override(presets.NERF_PAPER, ["coarse.samples_budget=0"])
    assert [phase.samples_budget for phase in unbounded.phases] == [0, 1 << 22]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("coarse.steps", "has no value; write it like coarse.steps=500"),
        ("fine.steps=5", "fine is not one of coarse, geometry, color"),
        ("coarse.stepps=5", "stepps is not one of steps, lr, views"),
        ("steps=5", "steps is not one of tet_resolution, sdf_table, samples, half_extent"),
        ("coarse.steps=0", "it should look like 120, a whole number of 1 or more"),
        ("coarse.steps=1.5", "it should look like 120"),
        ("coarse.steps=true", "it should look like 120"),
        ("coarse.lr=-0.1", "it should look like 0.1"),
        ("coarse.lr=nan", "it should look like 0.1"),
        ("coarse.t_high=0.5", "it should look like [0.98, 0.4]"),
        ("coarse.t_high=[0.5, 0.01]", "go from t_low, 0.02, up to at most 1"),
        ("coarse.sees=depth", "sees is not one of normal, normal_latent, rgb"),
        ("coarse.weighting=flat", "weighting is not one of one_minus_alpha, sqrt_alpha"),
        ("half_extent=0", "half_extent must be above 0"),
        ("processes=3", "processes is 1 or 2"),
        ("passes=0", "it should look like 1"),
        ("coarse.t_band=1.5", "t_band is a share of the noise schedule, at most 1"),
        ("coarse.ori_every=0", "it should look like 4"),
        ("coarse.latent=12", "latent is a multiple of 8, or 0 for the priors' own size"),
    ],
)
def test_wrong_settings_are_named(setting, words, capsys):
    assert cli.run(["lift", "a corgi", "--set", setting]) == 2
    said = capsys.readouterr().err
    assert f"--set {setting}" in said and words in said


def test_the_printed_config_is_toml_and_holds_the_settings(capsys):
    assert cli.run(["lift", "--preset", "preview", "--set", "color.lr=0.25", "--print-config"]) == 0
    found = tomllib.loads(capsys.readouterr().out)["set"]
    assert found["color"]["lr"] == 0.25 and found["coarse"]["steps"] == 80
    assert found["tet_resolution"] == 32


# What a lift starts from


@pytest.mark.parametrize("log2_table", [0, 14])
@pytest.mark.parametrize("name", ["sphere", "ellipsoid"])
def test_a_surface_starts_as_a_ball(name, log2_table):
    """Of direct values, and of a hash grid, which begins as nothing that is added to it."""
    sdf = initial_sdf(name, 48, 0.6)
    v_pos, faces = DMTetShape(sdf, 0.6, log2_table=log2_table).surface()
    axes = torch.tensor(AXES[name])
    assert torch.allclose((v_pos / axes).norm(dim=-1), torch.ones(len(v_pos)), atol=0.02)
    assert sdf.dtype == torch.float32 and sdf[24, 24, 24] < -0.2 and sdf[0, 0, 0] > 0.3


def test_a_surface_starts_as_a_mesh_even_if_it_has_a_hole(tmp_path):
    made = trimesh.creation.box((2.0, 4.0, 1.0))
    whole = Mesh(made.vertices.astype(np.float32) + 3, made.faces.astype(np.int32))
    torn = Mesh(whole.v_pos, whole.t_pos_idx[1:])  # one of twelve faces is missing
    for mesh in (whole, torn):
        path = write_glb(tmp_path / "box.glb", mesh)
        sdf = initial_sdf(str(path), 40, 0.6)
        v_pos, _ = DMTetShape(sdf, 0.6).surface()
        assert sdf[20, 20, 20] < -0.1  # 1 × 0.5 × 0.25 around the origin
        if mesh is whole:
            assert sdf[20, 20, 20].item() == pytest.approx(-0.125, abs=1e-5)
            size = v_pos.amax(0) - v_pos.amin(0)
            assert torch.allclose(size, torch.tensor([0.5, 1.0, 0.25]), atol=0.02)


def test_a_start_that_cannot_work_is_named(tmp_path, capsys):
    assert cli.run(["lift", "x", "--init", str(tmp_path / "no.glb"), "--out", str(tmp_path)]) == 2
    assert (
        "does not exist; name a mesh file, a lift's directory or one of density"
        in capsys.readouterr().err
    )
    plane = Mesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32))
    path = write_glb(tmp_path / "plane.glb", plane)
    with pytest.raises(InputError, match="encloses no space at this resolution"):
        initial_sdf(str(path), 16, 0.6)
    (tmp_path / "torn.glb").write_bytes(b"glTF")
    with pytest.raises(InputError, match="torn.glb cannot be used"):
        initial_sdf(str(tmp_path / "torn.glb"), 16, 0.6)
    head = "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
    (tmp_path / "scan.ply").write_text(f"{head}end_header\n0 0 0\n")
    with pytest.raises(InputError, match="if it is points, add --surface-points poisson"):
        initial_sdf(str(tmp_path / "scan.ply"), 16, 0.6)


@pytest.mark.slow
def test_a_lift_from_a_mesh_has_surface_phases_only(tmp_path):
    plan = presets.starting_from(presets.TINY_CPU, "sphere")
    assert [phase.scene for phase in plan.phases] == ["surface", "surface", "color"]
    assert presets.starting_from(presets.TINY_CPU, "density") == presets.TINY_CPU
    with pytest.raises(UsageError, match="work on surfaces only"):
        presets.starting_from(presets.PAPER, "density")
    command = ["lift", "a ball", "--init", "sphere", "--out", str(tmp_path / "ball"), *QUICK]
    assert cli.run([*command, "--set", "geometry.subdivide=1"]) == 0
    v_pos = load_file(tmp_path / "ball" / "shape.safetensors")["v_pos"]
    radius = v_pos.norm(dim=-1)
    assert 0.2 < radius.min() and radius.max() < 0.5 and len(v_pos) > 1000
