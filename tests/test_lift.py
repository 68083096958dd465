"""lift: through the command line with the bundled prior, its exact restart, its guard, a real corgi."""

import json
import subprocess
import sys
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from killed import CODE, kill_at
from PIL import Image
from safetensors.torch import load_file

from sdtool import cli
from sdtool.errors import InputError, SdtoolError, UsageError
from sdtool.evaluating.solids import corgi_facts, corgi_faults
from sdtool.geometry.cameras import ViewRange, orbit
from sdtool.geometry.meshes import Mesh
from sdtool.io.files import read_json
from sdtool.lifting import config, dmtet, loop, pictures, presets
from sdtool.lifting.config import LiftPlan, Phase
from sdtool.lifting.folders import folder_of
from sdtool.lifting.guidance import Guidance
from sdtool.lifting.initial import AXES, initial_sdf
from sdtool.lifting.lift_files import read_lift
from sdtool.lifting.painting import ColorScene
from sdtool.lifting.rehearsal import is_light, rehearse
from sdtool.lifting.scenes import (
    DensityScene,
    RunningBox,
    SurfaceScene,
    VanishedError,
    density_to_sdf,
    implicit_to_sdf,
    without_crumbs,
)
from sdtool.meshfiles import read_glb, write_glb
from sdtool.shapes.density import DensityShape
from sdtool.shapes.dmtet import DMTetShape
from sdtool.shapes.grids import grid_points, total_variation

WHOLE_TURN = pictures.FRAMES  # before `conftest.py` shortens it

SMALL_PLAN = LiftPlan(
    phases=(
        Phase("coarse", "density", steps=10, lr=0.4, size=32, views=2, lambda_ori=(0.0, 0.3)),
        Phase("geometry", "surface", steps=6, lr=0.002, views=1),
        Phase("color", "color", steps=4, lr=0.05, views=1, sees="rgb", lambda_align=(0.0, 0.0)),
    ),
    tet_resolution=16,
    samples=24,
)
SMALL = f"""
from sdtool import cli
from sdtool.lifting import presets
from sdtool.lifting.config import LiftPlan, Phase
presets.PRESETS["dmtet"]["preview"] = {SMALL_PLAN!r}
loop = __import__("sdtool.lifting.loop").lifting.loop
loop.CHECKPOINT_EVERY = 5
"""


SMALL_LIFT = ["lift", "a corgi", "--preset", "preview", "--out"]


@pytest.mark.slow
def test_killed_and_continued_equals_uninterrupted(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(presets.PRESETS["dmtet"], "preview", SMALL_PLAN)
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 5)
    assert cli.run([*SMALL_LIFT, str(tmp_path / "a")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'a'}\n"
    log = tmp_path / "b" / "log.jsonl"
    kill_at([*SMALL_LIFT, tmp_path / "b"], 'lifting "a corgi"', 8, code=SMALL + CODE)
    assert len(log.read_text().splitlines()) == 8  # the log before the bar
    assert not (tmp_path / "b" / "stage.json").exists()
    assert cli.run([*SMALL_LIFT, str(tmp_path / "b")]) == 0
    assert "continuing at the coarse phase" in capsys.readouterr().err
    for name in ("shape.safetensors", "material.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    steps = [json.loads(line) for line in log.read_text().splitlines()]
    assert [s["step"] for s in steps if s["phase"] == "coarse"] == list(range(1, 11))
    for name in ("views.png", "turntable.webp", "previews/coarse-0010.png"):
        assert (tmp_path / "b" / name).stat().st_size > 500
    assert cli.run([*SMALL_LIFT, str(tmp_path / "b")]) == 0
    assert "already lifted" in capsys.readouterr().err
    assert cli.run([*SMALL_LIFT, str(tmp_path / "b"), "--seed", "1"]) == 2
    assert "seed: 0 there, 1 now" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lift", "  "], "the prompt is empty"),
        (["lift", "a corgi", "--preset", "nope"], "'nope' is not one of 'tiny-cpu'"),
        (["lift", "a corgi", "--lambda-ori", "0", "--lambda-align", "0"], "nothing guides"),
        (["lift", "a corgi", "--environment", "sky.hdr"], "add --appearance pbr"),
    ],
)
def test_wrong_usage_is_one_sentence(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.run(arguments) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# Settings and many prompts


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


QUICK = ["--preset", "preview", "--set", "tet_resolution=16", "--set", "samples=16"]
QUICK += [part for name, steps in (("coarse", 8), ("geometry", 1), ("color", 1))
          for part in ("--set", f"{name}.steps={steps}", "--set", f"{name}.views=1")]  # fmt: skip

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
        "is neither a mesh file, a lift's directory nor one of density" in capsys.readouterr().err
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


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_many_prompts_get_a_directory_each(workers, tmp_path, capsys):
    wishes = tmp_path / "wishes.txt"
    wishes.write_text("a corgi\n# not this one\n\na red chair  # but this\nA corgi!\na corgi\n")
    out = tmp_path / "runs"
    mine = folder_of("A corgi!", out, is_shared=True)
    mine.mkdir(parents=True)
    (mine / "mine.txt").write_text("a stranger's file")
    command = ["lift", "--prompts", str(wishes), "--out", str(out), "--set", "coarse.lr=0.2"]
    assert cli.run([*command, "--workers", workers, *QUICK]) == 3
    said = capsys.readouterr()
    assert said.out == f"{out}\n" and '"A corgi!" failed: ' in said.err
    assert "is not empty and sdtool did not write it" in said.err
    for name, prompt in (("a-corgi", "a corgi"), ("a-red-chair", "a red chair")):
        assert read_json(out / name / "stage.json")["params"]["prompt"] == prompt
    assert (mine / "mine.txt").read_text() == "a stranger's file"
    assert cli.run([*command, "--workers", "1", *QUICK]) == 3
    assert capsys.readouterr().err.count("is already lifted") == 2


def test_prompts_are_given_in_one_way(tmp_path, capsys):
    empty = tmp_path / "empty.txt"
    empty.write_text("# nothing\n")
    assert cli.run(["lift", "--prompts", str(empty)]) == 1
    assert "holds no prompt; write one a line" in capsys.readouterr().err
    assert cli.run(["lift", "a corgi", "--prompts", str(empty)]) == 2
    assert "not both" in capsys.readouterr().err


def test_missing_agp_is_named(capsys, tmp_path):
    assert cli.run(["lift", "a corgi", "--agp", "nowhere", "--out", str(tmp_path / "x")]) == 1
    assert "nowhere is not an AGP" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does")
def test_what_does_not_fit_into_memory_fails_before_the_first_step(tmp_path):
    out = tmp_path / "run"
    command = ["lift", "a corgi", "--set", "tet_resolution=200", "--out", str(out)]
    code = f"""
import psutil, resource
import sdtool.lifting.run
from sdtool import cli
resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + 2**30,) * 2)
cli.main({command!r})
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "the geometry phase needs more memory" in ended.stderr
    assert "try --preset preview" in ended.stderr and "Traceback" not in ended.stderr
    assert not (out / "log.jsonl").exists()


# What covers the shape


@pytest.mark.slow
def test_a_physically_based_material_is_lifted_and_exported(tmp_path, capsys):
    light = tmp_path / "sky.hdr"
    pixels = np.tile(np.array([[96, 128, 160, 128]], np.uint8), (32, 1))
    light.write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 4 +X 8\n" + pixels.tobytes())
    run = tmp_path / "run"
    command = ["lift", "a corgi", "--init", "sphere", "--appearance", "pbr", "--out", str(run)]
    command += [*QUICK, "--set", "color.steps=4", "--set", "detail=0.5"]
    assert cli.run([*command, "--environment", str(light)]) == 0
    lifted = read_lift(run)
    surface = lifted.material(lifted.mesh.v_pos)
    assert np.abs(surface.base_color - lifted.mesh.v_color).max() < 1e-5
    assert surface.roughness.shape == surface.metallic.shape == (len(lifted.mesh.v_pos),)
    assert np.ptp(surface.base_color) > 0 and surface.detail.shape == surface.base_color.shape
    capsys.readouterr()
    assert cli.run([*command]) == 2
    assert "settings.environment" in capsys.readouterr().err
    out = tmp_path / "model.glb"
    assert cli.run(["export", str(run), "--out", str(out), "--texture-size", "64"]) == 0
    assert read_glb(out).t_pos_idx.shape[0] > 100


@pytest.mark.slow
def test_the_preset_paper_has_surfaces_of_two_resolutions_and_a_material(tmp_path):
    command = ["lift", "a corgi", "--preset", "paper", "--out", str(tmp_path / "run")]
    for phase, size in (("coarse", 32), ("fine", 32), ("material", 48)):
        command += [part for name, value in (("steps", 1), ("views", 1), ("size", size))
                    for part in ("--set", f"{phase}.{name}={value}")]  # fmt: skip
    assert (
        cli.run(
            [
                *command,
                "--set",
                "tet_resolution=12",
                "--set",
                "log2_table=12",
                "--set",
                "sdf_table=12",
            ]
        )
        == 0
    )
    lifted = read_lift(tmp_path / "run")
    length = lifted.mesh.v_pos.max(axis=0) - lifted.mesh.v_pos.min(axis=0)
    np.testing.assert_allclose(length, [0.5, 0.6, 0.8], atol=0.06)  # the ellipsoid
    surface = lifted.material(lifted.mesh.v_pos)
    assert (surface.metallic == 0).all() and surface.detail is None


def test_an_environment_that_is_missing_is_named_before_anything_is_begun(tmp_path, capsys):
    command = ["lift", "a corgi", "--init", "sphere", "--appearance", "pbr", *QUICK]
    command += ["--environment", str(tmp_path / "no.hdr"), "--out", str(tmp_path / "run")]
    assert cli.run(command) == 2
    said = capsys.readouterr().err
    assert "--environment" in said and "no.hdr is no file; name an .hdr picture" in said
    assert not (tmp_path / "run").exists()


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


def test_only_plans_that_need_little_go_without_a_rehearsal():
    for plans in presets.PRESETS.values():
        assert {name for name, plan in plans.items() if not is_light(plan)} == {
            "paper"
        } & plans.keys()
    assert not is_light(config.override(presets.TINY_CPU, ["tet_resolution=200"]))
    assert not is_light(config.override(presets.TINY_CPU, ["color.views=16"]))


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


# The whole thing, as the README shows it


@pytest.mark.slow
def test_a_corgi_is_a_corgi(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "FRAMES", WHOLE_TURN)
    out = tmp_path / "corgi"
    assert cli.run(["lift", "a corgi", "--rep", "dmtet", "--out", str(out)]) == 0
    assert Image.open(out / "turntable.webp").n_frames == 36
    plain = ["--out", str(tmp_path / "plain.glb"), "--texture-size", "0"]
    assert cli.run(["export", str(out), *plain]) == 0
    mesh = read_glb(tmp_path / "plain.glb")
    assert cli.run(["export", str(out), "--out", str(tmp_path / "corgi.glb")]) == 0
    textured = read_glb(tmp_path / "corgi.glb", textures=True)
    image = textured.textures[0].image
    row, column = (textured.v_uv[:, ::-1] * len(image)).astype(int).clip(0, len(image) - 1).T
    texels = image[row, column, :3].mean(0) / 255
    np.testing.assert_allclose(texels, mesh.v_color.mean(0), atol=0.06)
    assert not corgi_faults(corgi_facts(mesh))


def test_presets_are_complete():
    scenes = {"paper": ["surface", "surface", "material"]}
    for name, plan in presets.PRESETS["dmtet"].items():
        assert isinstance(plan, LiftPlan)
        wanted = scenes.get(name, ["density", "surface", "color"])
        assert [phase.scene for phase in plan.phases] == wanted, name
    assert presets.PRESETS["nerf"].keys() == presets.PRESETS["dmtet"].keys()
    for plan in presets.PRESETS["nerf"].values():
        assert [phase.scene for phase in plan.phases] == ["radiance", "radiance"]
