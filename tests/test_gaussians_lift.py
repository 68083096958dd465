"""lift --rep gaussians: splats on a ball against closed forms, their file and mesh, their exact restart."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from sdtool import cli
from sdtool.errors import UsageError
from sdtool.geometry.cameras import ViewRange, orbit
from sdtool.lifting import gaussians, loop, presets
from sdtool.lifting.config import override
from sdtool.lifting.lift_files import read_lift
from sdtool.lifting.run import OUTPUTS, Lift
from sdtool.lifting.scenes import DensityScene, VanishedError
from sdtool.lifting.splat_file import SPLATS, write_splats
from sdtool.lifting.splat_surface import surface_of
from sdtool.meshfiles import read_glb
from sdtool.shapes.grids import grid_points

LOOK = ViewRange(distance=1.5)
PLAN = override(presets.GAUSSIANS_TINY_CPU, ["tet_resolution=24", "splats=1500"])
COARSE, GEOMETRY, COLOR = PLAN.phases
FRONT = orbit(np.zeros(1), np.zeros(1), np.full(1, 1.5))
RADIUS = 0.35


def ball(plan=PLAN, phase=GEOMETRY) -> gaussians.GaussianScene:
    sdf = grid_points(plan.tet_resolution + 1, plan.half_extent).norm(dim=-1) - RADIUS
    return gaussians.seeded(sdf, phase, plan, torch.device("cpu"))


def test_splats_are_spread_over_the_surface_and_lie_flat_on_it():
    scene = ball()
    points = scene.points().detach()
    assert points.shape == (1500, 3)
    radius = points.norm(dim=-1)
    assert (radius - RADIUS).abs().max() < 0.01
    cosine = (scene.normals() * points).sum(-1) / radius  # outward
    assert cosine.min() > 0.97
    for axis in range(3):  # as many to either side
        assert (points[:, axis] > 0).float().mean() == pytest.approx(0.5, abs=0.03)
    spacing = (4 * np.pi * RADIUS**2 / 1500) ** 0.5
    width = scene.deviations().detach().amax(-1).median()
    assert 0.5 * spacing < width < spacing


def test_maps_of_a_ball():
    scene = ball()
    scene.render(FRONT, 0.8, 31, torch.Generator())  # a step of training finds the box
    maps = {name: one[0].detach() for name, one in scene.render(FRONT, 0.8, 31).items()}
    assert list(maps) == ["ccm", "normal", "rgb"]
    coverage = (maps["ccm"][3] + 1) / 2
    assert coverage[15, 15] > 0.98 and coverage[0, 0] == 0
    # seen from the front its middle is the front's: coordinates (½, ½, 1), the normal +z
    for name in ("ccm", "normal"):
        np.testing.assert_allclose(maps[name][:, 15, 15], [0, 0, 1, 1], atol=0.06)
    lit = 0.5 * (0.6 + 0.4 / np.hypot(1, 0.7))  # grey under the headlight
    np.testing.assert_allclose(maps["rgb"][:3, 15, 15], 2 * lit - 1, atol=0.03)
    # x of the map grows to the right, y upward (row 0 is the top)
    right, up = maps["ccm"][0, 15], maps["ccm"][1, :, 15]
    assert right[19] > 0.1 > -0.1 > right[11] and up[11] > 0.1 > -0.1 > up[19]
    fine = (scene.render(FRONT, 0.8, 96)["ccm"][0, 3].detach() + 1) / 2
    area = fine.mean() * (2 * 1.5 * np.tan(0.4)) ** 2  # of the disc, at the eye's distance
    seen = RADIUS * 1.5 / np.sqrt(1.5**2 - RADIUS**2)  # a ball's outline, which splats stand over
    assert np.pi * seen**2 < area < 1.15 * np.pi * seen**2


def test_normals_look_outward_from_every_side():
    scene = ball()
    c2w = orbit(np.array([0.0, np.pi]), np.zeros(2), np.full(2, 1.5))
    normal = scene.render(c2w, 0.8, 15)["normal"][:, :3, 7, 7]
    np.testing.assert_allclose(normal.detach(), [[0, 0, 1], [0, 0, -1]], atol=0.1)


def test_where_the_base_does_not_look_only_coordinates_are_rendered():
    scene = ball()
    scene.base_looks = False
    assert list(scene.render(FRONT, 0.8, 8, torch.Generator())) == ["ccm"]


@pytest.mark.parametrize("phase", [GEOMETRY, COLOR])
def test_the_last_phase_moves_colours_alone(phase):
    scene = ball(phase=phase)
    maps = scene.render(FRONT, 0.8, 16, torch.Generator())
    looked = sum(one.square().sum() for one in maps.values())
    (looked + phase.penalty(scene.penalties(), 0.5)).backward()
    moved = {name for name, one in scene.named_parameters() if one.grad is not None}
    assert moved == ({"color"} if phase is COLOR else {"shift", "stretch", "turn", "fade"})
    assert all(torch.isfinite(one.grad).all() for one in scene.parameters() if one.requires_grad)


def test_smoothness_is_the_difference_to_the_neighbours():
    scene = ball(phase=COLOR)
    assert scene.penalties()["smooth"]() == 0
    with torch.no_grad():
        scene.color += 1  # alike everywhere
        assert scene.penalties()["smooth"]() == pytest.approx(0, abs=1e-10)
        scene.color[7] += 3
    asked = (scene.neighbours == 7).any(1).sum()  # each of eight sees 3/8 more; itself, 3 less
    wanted = (9 + asked * (3 / 8) ** 2) / 1500
    assert scene.penalties()["smooth"]().item() == pytest.approx(float(wanted), rel=1e-4)


# What is written


def test_the_mesh_is_the_splats_surface_in_their_colours(tmp_path):
    scene = ball()
    with torch.no_grad():  # red where x > 0, else blue
        sign = torch.sign(scene.seeds[:, :1])
        scene.color.copy_(torch.cat([4 * sign, torch.full_like(sign, -4.0), -4 * sign], dim=1))
    mesh = gaussians.finished(scene, LOOK, tmp_path)
    radius = np.linalg.norm(mesh.v_pos, axis=1)
    assert np.abs(radius / RADIUS - 1).max() < 0.03
    assert len(mesh.t_pos_idx) == 2 * len(mesh.v_pos) - 4  # closed, without a handle
    right = mesh.v_pos[:, 0] > 0.08
    np.testing.assert_allclose(mesh.v_color[right].mean(0), [0.98, 0.02, 0.02], atol=0.03)
    np.testing.assert_allclose(mesh.v_color[mesh.v_pos[:, 0] < -0.08, 2], 0.98, atol=0.05)
    assert {path.name for path in tmp_path.iterdir()} == {
        "shape.safetensors", "material.safetensors", SPLATS,
    }  # fmt: skip


def test_thin_parts_keep_their_thickness():
    """A plate of three cells: across it there is another layer of splats, which must not pull."""
    grid = grid_points(PLAN.tet_resolution + 1, PLAN.half_extent)
    edges = grid.abs() - torch.tensor([0.3, 0.075, 0.3])
    outside, inside = edges.clamp(min=0).norm(dim=-1), edges.amax(-1).clamp(max=0)
    scene = gaussians.seeded(outside + inside, GEOMETRY, PLAN, torch.device("cpu"))
    mesh = gaussians.rough_mesh(scene, PLAN, LOOK)
    middle = np.abs(mesh.v_pos[:, [0, 2]]).max(axis=1) < 0.2
    np.testing.assert_allclose(np.abs(mesh.v_pos[middle, 1]), 0.075, atol=0.01)


def test_splats_are_read_back_by_another_reader(tmp_path):
    rng = np.random.default_rng(0)
    points, normals = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    color, opacity = rng.uniform(size=(5, 3)), np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    deviations, turns = rng.uniform(0.01, 0.1, (5, 3)), rng.normal(size=(5, 4))
    write_splats(tmp_path / SPLATS, points, normals, color, opacity, deviations, turns)
    cloud = trimesh.load(tmp_path / SPLATS)
    np.testing.assert_allclose(cloud.vertices, points, atol=1e-6)
    found = cloud.metadata["_ply_raw"]["vertex"]["data"]
    assert found.dtype.names == (
        "x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity",
        "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3",
    )  # fmt: skip
    assert {found.dtype[name].str for name in found.dtype.names} == {"<f4"}

    def column(*names):
        return np.stack([found[name] for name in names], axis=1).astype(np.float64)

    np.testing.assert_allclose(column("nx", "ny", "nz"), normals, atol=1e-6)
    shown = 0.5 + 0.28209479177387814 * column("f_dc_0", "f_dc_1", "f_dc_2")  # as viewers do
    np.testing.assert_allclose(shown, color, atol=1e-6)
    np.testing.assert_allclose(1 / (1 + np.exp(-found["opacity"])), opacity, atol=2e-6)
    np.testing.assert_allclose(np.exp(column("scale_0", "scale_1", "scale_2")), deviations, 1e-5)
    turn = column("rot_0", "rot_1", "rot_2", "rot_3")
    np.testing.assert_allclose(np.linalg.norm(turn, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(turn * turns, np.abs(turn * turns) * np.sign(turns * turn))
    np.testing.assert_allclose(turn / turn[:, :1], turns / turns[:, :1], rtol=1e-4)


def test_what_has_vanished_is_said():
    scene = ball()
    with torch.no_grad():
        scene.fade.fill_(-100.0)
    with pytest.raises(VanishedError, match="have vanished"):
        surface_of(scene.splats(), PLAN)
    scene.render(FRONT, 0.8, 8, torch.Generator())
    assert not torch.isfinite(scene.extent())  # which the loop finds when it looks


# Through the shared loop


class Nothing:
    """Priors that ask for nothing, so that a run is its scene alone."""

    device = torch.device("cpu")

    def base_weight(self, phase, progress):
        return 1.0

    def loss(self, maps, c2w, phase, progress, strength, generator):
        maps = {"ccm": maps["ccm"]} if phase.scene == "density" else maps
        wanted = torch.randn(maps["ccm"].shape, generator=generator)
        looked = sum((one - wanted).square().sum() for one in maps.values())
        return looked, {"align": torch.ones(())}


def test_every_phase_continues_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 2)
    plan = override(PLAN, ["splats=150", "tet_resolution=12", "samples=8"])

    def optimised(scene, number, **options):
        phase = replace(plan.phases[number], steps=5, size=8, views=2)
        options = {"start": 0, "adam": None, "strength": 1.0} | options
        loop.optimise(
            scene, Nothing(), phase, LOOK, number=number, seed=3, out=tmp_path,
            on_step=lambda *_: None, **options,
        )  # fmt: skip
        return scene

    cpu = torch.device("cpu")
    scene = gaussians.first_scene(plan, cpu)
    for number, phase in enumerate(plan.phases):
        scene = gaussians.next_scene(scene, phase, plan) if number else scene
        began = {name: one.clone() for name, one in scene.state_dict().items()}
        whole = optimised(scene, number)
        place, tensors, adam = loop.load(tmp_path)
        assert (place["phase"], place["step"]) == (number, 4)
        again = gaussians.restored_scene(number, tensors, plan, cpu)
        optimised(again, number, start=4, adam=adam)
        state = whole.state_dict()
        assert any(not torch.equal(one, began[name]) for name, one in state.items())
        for name, value in state.items():
            assert torch.equal(value, again.state_dict()[name]), (phase.name, name)


def test_a_coarse_density_is_followed_by_as_many_splats_as_asked_for():
    scene = gaussians.first_scene(PLAN, torch.device("cpu"))
    assert isinstance(scene, DensityScene)
    splats = gaussians.next_scene(scene, GEOMETRY, PLAN)
    assert len(splats.seeds) == 1500
    rehearsed = gaussians.rehearsal_scene(None, GEOMETRY, PLAN, torch.device("cpu"))
    assert len(rehearsed.seeds) == 1500
    assert gaussians.rehearsal_scene(
        rehearsed, COLOR, PLAN, torch.device("cpu")
    ).color.requires_grad


def test_there_is_at_least_one_splat():
    with pytest.raises(UsageError, match="splats"):
        override(presets.GAUSSIANS_PREVIEW, ["splats=0"])


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--init", "sphere"], "splats are seeded on the coarse density; use --rep dmtet"),
        (["--appearance", "pbr"], "splats have plain colours of their own"),
        (["--preset", "paper"], "there is none of --rep gaussians; it has tiny-cpu, preview"),
    ],
)
def test_what_it_cannot_do_is_one_sentence(extra, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["lift", "a corgi", "--rep", "gaussians", *extra]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_other_stages_take_its_result_as_any_other(tmp_path):
    mesh = gaussians.finished(ball(), LOOK, tmp_path)
    record = {"stage": "lift", "sdtool": "0.0.9", "params": {"prompt": "a ball", "seed": 0}}
    (tmp_path / "stage.json").write_text(json.dumps(record), encoding="utf-8")
    lifted = read_lift(tmp_path)
    np.testing.assert_array_equal(lifted.mesh.v_pos, mesh.v_pos)
    np.testing.assert_allclose(lifted.material(mesh.v_pos).base_color, mesh.v_color, atol=1e-4)
    glb = tmp_path / "ball.glb"
    assert cli.run(["export", str(tmp_path), "--out", str(glb), "--texture-size", "0"]) == 0
    assert len(read_glb(glb).t_pos_idx) > 100


def test_its_record_names_the_splats():
    given = ("tiny", "", "preview", PLAN, 1.0, 1.0, 1.0, True, "", 0, False)
    assert Lift("gaussians", *given).outputs == (*OUTPUTS, SPLATS)
    assert Lift("dmtet", *given).outputs == OUTPUTS
