"""texture: what the priors see of a mesh, OBJ files, what cannot be painted, and the whole command."""

import numpy as np
import pytest
import torch
from glb_samples import corner
from shape_samples import icosphere
from texture_samples import SIZE, assert_painted, painted, same_surface, tree_of, two_materials

from sdtool import cli
from sdtool.errors import InputError
from sdtool.io.files import read_json
from sdtool.lifting.painting import ColorScene
from sdtool.lifting.presets import PRESETS
from sdtool.lifting.rehearsal import _advice
from sdtool.meshfiles import load_mesh, write_glb
from sdtool.texturing import mesh_scene
from sdtool.texturing.mesh_scene import MeshScene
from sdtool.texturing.run import plan_for

# What the priors see


def test_yaw_turns_the_mesh_for_the_priors_only(tmp_path):
    path = corner().save(tmp_path / "corner.glb")  # 1 along x, 3 along z
    plain, turned = (MeshScene(path, yaw, SIZE).places[0][0] for yaw in (0.0, 90.0))
    np.testing.assert_allclose(np.ptp(plain, axis=0), [1 / 3, 2 / 3, 1], atol=1e-6)
    np.testing.assert_allclose(np.ptp(turned, axis=0), [1, 2 / 3, 1 / 3], atol=1e-6)
    front = plain[:, 2].argmax()
    assert turned[front, 0] == pytest.approx(0.5)  # what faced +Z faces +X
    _, (out,) = painted(path, tmp_path / "out", yaw=90.0)
    same_surface(path, out)


def test_the_priors_see_a_large_mesh_with_fewer_faces(tmp_path, monkeypatch):
    ball = icosphere(3)
    write_glb(tmp_path / "ball.glb", ball)
    monkeypatch.setattr(mesh_scene, "MOST_FACES", 300)
    made = MeshScene(tmp_path / "ball.glb", 0.0, SIZE)
    stand, look, faces = made._seen()
    assert 100 < len(faces) <= 300 < len(ball.t_pos_idx) and torch.equal(stand, look)
    np.testing.assert_allclose(stand.norm(dim=1), 0.5, atol=0.01)  # vertices of the mesh itself
    assert len(made.laid_out[0][0].faces) == len(ball.t_pos_idx)


def test_faces_are_lit_from_both_sides_and_look_colours_up_elsewhere():
    v_pos = torch.tensor([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0, 0.5, 0]])
    faces = torch.tensor([[0, 2, 1]], dtype=torch.int32)  # it looks away from a camera at +Z
    scene = ColorScene(v_pos, faces, 0.6, 8)
    c2w = np.eye(4, dtype=np.float32)[None]
    c2w[0, 2, 3] = 1.5
    with torch.no_grad():
        dark = scene.render(c2w, 0.8, 16)["rgb"][0, :3, 8, 8]
        scene.two_sided = True
        light = scene.render(c2w, 0.8, 16)["rgb"][0, :3, 8, 8]
        scene.field.grids[-1][..., 7] = 5.0  # white far to the right
        same = scene.render(c2w, 0.8, 16)["rgb"][0, :3, 8, 8]
        scene.v_asked = torch.full((3, 3), 0.6)
        elsewhere = scene.render(c2w, 0.8, 16)["rgb"][0, :3, 8, 8]
    assert (light > dark).all() and torch.allclose(light, same) and (elsewhere > same).all()
    assert not any("asked" in name for name in scene.state_dict())


# OBJ

OBJ = b"""# a comment
mtllib old.mtl
o Table
v 0 0 0
v 2 0 0
v 2 1 0
v 0 1 0
v 0 0 1
vt 0 0
vt 1 0
vt 1 1
vt 0 1
vn 0 0 1
g top
usemtl Oak
f 1/1/1 2/2/1 3/3/1 4/4/1
usemtl Iron
f 1 4 5
vt 0.5 0.5
f -5 -1 -4
s off
usemtl Oak
"""


def test_an_obj_keeps_its_lines_and_gets_another_library(tmp_path):
    kept = OBJ[: OBJ.index(b"usemtl Iron")]
    (tmp_path / "a table.obj").write_bytes(kept)
    reasons, files = painted(tmp_path / "a table.obj", tmp_path / "out")
    assert reasons == [""] and [f.name for f in files] == [
        "a table.obj", "a_table-painted-0-color.png", "a_table-painted.mtl",
    ]  # fmt: skip
    assert files[0].read_bytes() == kept.replace(b"old.mtl", b"a_table-painted.mtl")
    assert_painted(files[0], off=0.02)
    assert not load_mesh(files[0], textures=True).lost


def test_faces_of_an_obj_without_coordinates_get_their_own(tmp_path):
    (tmp_path / "table.obj").write_bytes(OBJ)
    reasons, files = painted(tmp_path / "table.obj", tmp_path / "out")
    assert reasons[0] == "" and "no texture coordinates" in reasons[1]
    text = files[0].read_bytes()
    assert [
        line for line in text.split(b"\n") if line[:2] in (b"v ", b"vn", b"o ", b"g ", b"s ")
    ] == [line for line in OBJ.split(b"\n") if line[:2] in (b"v ", b"vn", b"o ", b"g ", b"s ")]
    assert b"f 1/1/1 2/2/1 3/3/1 4/4/1\n" in text
    assert text.index(b"vt 0.5 0.5") < text.index(b"f ")  # the fifth, as before
    a, b = load_mesh(tmp_path / "table.obj"), load_mesh(files[0])
    np.testing.assert_array_equal(a.v_pos[a.t_pos_idx], b.v_pos[b.t_pos_idx])
    assert_painted(files[0])


# What cannot be painted


@pytest.mark.parametrize(
    "name, data, said",
    [
        ("a.glb", b"nothing", "does not begin as a GLB"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\n", "holds no triangles"),
        ("a.obj", b"v 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\n", "no size"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "no triangle of it has an area"),
    ],
)
def test_what_cannot_be_painted_is_said(name, data, said, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=said):
        made = MeshScene(tmp_path / name, 0.0, SIZE)
        assert made.places and made.laid_out


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["a.ply", "a chair"], "not one of .glb"),
        (["a.glb", "a chair"], "does not exist"),
        (["c.obj", "a chair"], "is a folder"),
        (["a.glb", " "], "the prompt is empty"),
        (["b.obj", "a chair", "--environment", "x.hdr"], "--appearance pbr"),
        (["b.obj", "a chair", "--set", "samples=3"], "samples is not one of log2_table"),
        (["b.obj", "a chair", "--preset", "paper", "--color-prior", "tiny"], "--preset paper"),
        (["b.obj", "a chair"], "holds no triangles"),
    ],
)
def test_errors_name_the_cure(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b.obj").write_text("v 0 0 0\n")
    (tmp_path / "c.obj").mkdir()
    assert cli.run(["texture", *arguments]) in (1, 2)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


# The whole command


@pytest.mark.slow
def test_a_mesh_is_painted_and_an_interrupted_run_goes_on(tmp_path, monkeypatch, capsys):
    path = two_materials().save(tmp_path / "two.glb")
    small = ["--texture-size", "64", "--set", "color.steps=4", "--set", "color.views=1"]
    command = ["texture", str(path), "a chair", *small, "--out"]
    assert cli.run([*command, str(tmp_path / "whole")]) == 0
    said = capsys.readouterr().err
    assert "Wood: unwrapped anew, for some of it has no texture coordinates" in said
    record = read_json(tmp_path / "whole" / "stage.json")
    assert record["stage"] == "texture" and record["params"]["mesh"] == "two.glb"
    assert record["outputs"][:3] == ["two.glb", "views.png", "turntable.webp"]
    same_surface(path, tmp_path / "whole" / "two.glb")

    from sdtool.lifting import loop

    def stopped(*args, **options):
        optimise(*args, **options, until=2)
        raise KeyboardInterrupt

    optimise = loop.optimise
    with monkeypatch.context() as patch:
        patch.setattr(loop, "optimise", stopped)
        assert cli.run([*command, str(tmp_path / "twice")]) == 130
    assert cli.run([*command, str(tmp_path / "twice")]) == 0
    assert "continuing at the color phase, step 2" in capsys.readouterr().err
    once, twice = (tmp_path / name / "two.glb" for name in ("whole", "twice"))
    assert once.read_bytes() == twice.read_bytes()
    assert cli.run([*command, str(tmp_path / "twice")]) == 0
    assert "is already painted" in capsys.readouterr().err
    assert cli.run([*command, str(tmp_path / "twice"), "--yaw", "90"]) == 2


def test_a_material_has_roughness_and_metal(tmp_path):
    (tmp_path / "t.obj").write_bytes(OBJ)
    two_materials().save(tmp_path / "two.glb")
    plan = plan_for("tiny-cpu", "pbr", color=False, environment="neutral")
    assert [phase.scene for phase in plan.phases] == ["material"]
    for name in ("t.obj", "two.glb"):
        made = MeshScene(tmp_path / name, 0.0, 32)
        mesh = made.finished(made.first_scene(plan, torch.device("cpu")), None, tmp_path / "out")
        assert len(mesh.t_pos_idx) and not mesh.lost
        assert {f.name for f in (tmp_path / "out").iterdir()} >= set(made.model.outputs(True))
    library = (tmp_path / "out" / "t-painted.mtl").read_text()
    assert "newmtl Oak" in library and "map_Pr t-painted-1-roughness.png" in library
    tree = tree_of(tmp_path / "out" / "two.glb")
    surface = tree["materials"][1]["pbrMetallicRoughness"]
    assert surface["metallicRoughnessTexture"] == {"index": 4, "texCoord": 0}
    assert "metallicFactor" not in surface and len(tree["samplers"]) == 1


def test_the_advice_where_memory_lacks_names_no_size_of_a_shape():
    plan = plan_for("paper", "", color=False, environment="neutral")
    said = _advice(plan, plan.phases[0], PRESETS["dmtet"]["preview"])
    assert "lower material.views or material.size with --set" in said and "cells" not in said
