"""texture: what is kept of a file that is painted, and that each place of it gets the colour asked for."""

import json
import struct

import numpy as np
import pytest
import torch
from glb_samples import Sample, corner, draco_sample
from shape_samples import box, icosphere
from validator import validator_reports

from sdtool import cli
from sdtool.errors import InputError
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import srgb_to_linear
from sdtool.io.files import read_json
from sdtool.io.images import png_bytes
from sdtool.lifting.painting import ColorScene
from sdtool.lifting.presets import PRESETS
from sdtool.lifting.rehearsal import _advice
from sdtool.meshfiles import load_mesh, write_glb
from sdtool.texturing import mesh_scene
from sdtool.texturing.layouts import lay_out, unfit
from sdtool.texturing.mesh_scene import MeshScene
from sdtool.texturing.pieces import Piece
from sdtool.texturing.run import plan_for

SIZE = 128
SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
QUAD = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


class Places:
    """A scene whose colour is the canonical place + 1/2."""

    v_pos = torch.zeros(1, 3)

    @staticmethod
    def color_at(points):
        return points + 0.5


def tree_of(path):
    data = path.read_bytes()
    length = struct.unpack("<I", data[12:16])[0]
    return json.loads(data[20 : 20 + length])


def painted(path, out, size=SIZE, yaw=0.0):
    """Paint a file by `Places` into the folder `out`; what was said of its sheets, and the files."""
    made = MeshScene(path, yaw, size)
    layouts, reasons = made.laid_out
    files = made.model.painted(layouts, made.paints(Places()))
    out.mkdir(exist_ok=True)
    for name, data in files.items():
        (out / name).write_bytes(data)
    assert set(files) == set(made.model.outputs(False))
    return reasons, [out / name for name in files]


def colors_of_faces(mesh):
    """(F, 3) sRGB-encoded colours of the texels in the middle of the faces of a read mesh."""
    middle = mesh.v_uv[mesh.t_pos_idx].mean(axis=1)
    found = np.empty((len(middle), 3))
    for k, (s, t) in enumerate(middle):
        image = mesh.textures[mesh.t_texture[k]].image
        found[k] = image[int(t * len(image)), int(s * len(image)), :3] / 255
    tint = np.ones(3) if mesh.v_color is None else mesh.v_color[mesh.t_pos_idx].min(axis=(0, 1))
    return found * srgb_to_linear(tint)


def assert_painted(path, places=None, off=0.02):
    """The middle of every face has the colour of its canonical place, or of those that are given."""
    mesh = load_mesh(path, textures=True)
    if places is None:
        places = to_canonical(mesh).v_pos[mesh.t_pos_idx].mean(axis=1)
    np.testing.assert_allclose(colors_of_faces(mesh), places + 0.5, atol=off)


def same_surface(path, other):
    a, b = load_mesh(path), load_mesh(other)
    np.testing.assert_array_equal(a.v_pos[a.t_pos_idx], b.v_pos[b.t_pos_idx])
    if (a.v_normal != 0).any():
        np.testing.assert_array_equal(a.v_normal[a.t_pos_idx], b.v_normal[b.t_pos_idx])


# Which coordinates stay


def piece(uv, faces=QUAD, sheet=0):
    v_pos = np.concatenate([SQUARE, np.zeros((4, 1), np.float32)], axis=1)[: len(uv)]
    return Piece(v_pos[None].astype(np.float64), faces, None if uv is None else uv, sheet)


@pytest.mark.parametrize(
    "uvs, why",
    [
        ([SQUARE], ""),
        ([SQUARE * [0.5, 1], SQUARE * [0.5, 1] + [0.5, 0]], ""),
        ([SQUARE * 0.3 + 0.1], ""),
        ([SQUARE, SQUARE * 0.3], "overlap"),  # two parts of one material on one place
        ([SQUARE * 1.5], "leave the square"),
        ([SQUARE + [1, 0]], "leave the square"),
        ([SQUARE * 0.01 + 0.5], "less than a hundredth"),  # a palette's
        ([SQUARE, SQUARE * 0], "into points"),
        ([SQUARE * [[1], [1], [np.nan], [1]]], "leave the square"),
    ],
)
def test_coordinates_stay_if_each_texel_shows_one_place(uvs, why):
    pieces = [piece(uv.astype(np.float32)) for uv in uvs]
    found = unfit(pieces, [p.placed[0] for p in pieces])
    assert why in found and bool(found) == bool(why)
    assert "no texture coordinates" in unfit(
        [*pieces, Piece(pieces[0].placed, QUAD, None, 0)], [pieces[0].placed[0]] * (len(pieces) + 1)
    )


def spoiled_meshes():
    """Name → (V, 3) positions and (F, 3) faces."""
    ball = icosphere(1)
    fan = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [-1, 0, -1]], np.float32)
    open_box = box((-1, -1, -1), (1, 2, 1))
    twice = np.concatenate([ball.t_pos_idx, ball.t_pos_idx[:6, ::-1]])
    split = ball.v_pos[ball.t_pos_idx.reshape(-1)]
    flat = np.concatenate([ball.t_pos_idx, [[0, 0, 1], [2, 2, 2]]]).astype(np.int32)
    return {
        "three faces at one edge": (fan, np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]], np.int32)),
        "open": (open_box.v_pos, open_box.t_pos_idx[2:]),
        "faces there twice": (ball.v_pos, twice.astype(np.int32)),
        "no two faces share a vertex": (
            split,
            np.arange(len(split), dtype=np.int32).reshape(-1, 3),
        ),
        "faces without an area": (ball.v_pos, flat),
    }


@pytest.mark.parametrize("name", spoiled_meshes())
def test_a_surface_of_any_kind_is_unwrapped_and_stays_what_it_was(name):
    v_pos, faces = spoiled_meshes()[name]
    given = Piece(v_pos[None].astype(np.float64), faces, None, 0)
    (layout,), (reason,) = lay_out([given], [v_pos], 1, SIZE)
    assert "no texture coordinates" in reason
    np.testing.assert_array_equal(layout.origin[layout.faces], faces)
    assert layout.v_uv.min() >= 0 and layout.v_uv.max() <= 1
    assert unfit([Piece(given.placed, layout.faces, layout.v_uv, 0)], [v_pos[layout.origin]]) == ""


# glTF


def two_materials():
    """A file with a hierarchy, two meshes, one of them in two places, two materials, and much beside."""
    made = Sample()
    cube, ball = box((-1, 0, -1), (1, 1, 1)), icosphere(1)
    uv = np.abs(ball.v_pos[:, :2])  # all quarters on one
    red = np.tile(np.array([[1, 0, 0]], np.float32), (len(cube.v_pos), 1))
    weight = np.arange(len(cube.v_pos), dtype=np.uint8)[:, None].repeat(3, axis=1)
    made.primitive(
        cube.v_pos, cube.t_pos_idx.reshape(-1).astype(np.uint16), color=red, material=0,
        vertex={"_WEAR": weight},
    )  # fmt: skip
    made.tree["meshes"] += [{"name": "Ball", "primitives": [], "extras": {"a": 1}}]
    made.primitive(
        ball.v_pos, ball.t_pos_idx.reshape(-1).astype(np.uint32), mesh=1, material=1,
        vertex={"TEXCOORD_0": uv, "NORMAL": ball.v_pos * 2},
        targets=[{"POSITION": made.accessor(np.ones_like(ball.v_pos))}],
    )  # fmt: skip
    made.tree["nodes"] = [
        {"name": "root", "children": [1, 2, 3], "extras": {"b": 2}},
        {"name": "seat", "mesh": 0},
        {"name": "left", "mesh": 1, "translation": [0, 2, 0]},
        {"name": "right", "mesh": 1, "translation": [4, 2, 0], "scale": [-1, 1, 1]},
    ]
    made.tree["cameras"] = [{"type": "perspective", "perspective": {"yfov": 1, "znear": 0.1}}]
    made.tree["materials"] = [
        {"name": "Wood", "doubleSided": True, "emissiveFactor": [1, 1, 1]},
        {
            "name": "Steel",
            "pbrMetallicRoughness": {"metallicFactor": 1, "baseColorFactor": [0.1, 0.2, 0.3, 0.5]},
            "alphaMode": "BLEND",
            "normalTexture": {"index": 0},
        },
    ]
    made.tree["images"] = [{"uri": "data:image/png;base64,iVBORw0KGgo="}]
    made.tree["textures"] = [{"source": 0}]
    return made


def test_a_gltf_file_keeps_all_but_its_looks(tmp_path):
    path = two_materials().save(tmp_path / "two.glb")
    reasons, (out,) = painted(path, tmp_path / "out")
    assert "no texture" in reasons[0] and "overlap" in reasons[1]
    before, after = tree_of(path), tree_of(out)
    for kind in ("nodes", "scenes", "scene", "cameras", "asset"):
        assert after[kind] == before[kind]
    assert [{**m, "primitives": 0} for m in after["meshes"]] == [
        {**m, "primitives": 0} for m in before["meshes"]
    ]
    assert after["accessors"][: len(before["accessors"])] == before["accessors"]
    cube, ball = (m["primitives"][0]["attributes"] for m in after["meshes"])
    assert set(cube) == {"POSITION", "_COLOR_0", "_WEAR", "TEXCOORD_0"}
    assert set(ball) == {"POSITION", "NORMAL", "TEXCOORD_0", "TEXCOORD_1"}
    wear = after["accessors"][cube["_WEAR"]]
    assert after["bufferViews"][wear["bufferView"]]["byteStride"] == 4 and wear["normalized"]
    same_surface(path, out)
    wood, steel = after["materials"]
    assert wood["name"] == "Wood" and wood["doubleSided"] and "emissiveFactor" not in wood
    assert steel["pbrMetallicRoughness"]["baseColorFactor"] == [1, 1, 1, 0.5]
    assert steel["pbrMetallicRoughness"]["metallicFactor"] == 0
    assert steel["normalTexture"] == {"index": 0, "texCoord": 1}  # its own coordinates, behind
    assert len(after["textures"]) == 3 and after["images"][0]["mimeType"] == "image/png"
    moved = after["meshes"][1]["primitives"][0]["targets"][0]["POSITION"]
    assert after["accessors"][moved]["count"] == after["accessors"][ball["POSITION"]]["count"]


def test_painting_again_keeps_the_coordinates_that_painting_gave(tmp_path):
    path = two_materials().save(tmp_path / "two.glb")
    _, (first,) = painted(path, tmp_path / "first")
    reasons, (second,) = painted(first, tmp_path / "second")
    assert reasons == ["", ""]
    assert tree_of(first)["accessors"] == tree_of(second)["accessors"]


def test_the_validator_finds_no_error_in_painted_files(tmp_path):
    made = two_materials()
    made.tree["materials"][1].pop("normalTexture")
    for kind in ("images", "textures"):
        made.tree.pop(kind)
    _, files = painted(made.save(tmp_path / "two.glb"), tmp_path / "out")
    (report,) = validator_reports(*files)
    assert report["numErrors"] == report["numWarnings"] == 0, report


def test_copies_of_a_mesh_look_as_the_first_one(tmp_path):
    path = two_materials().save(tmp_path / "two.glb")
    _, (out,) = painted(path, tmp_path / "out")
    mesh = load_mesh(out, textures=True)
    middle = to_canonical(mesh).v_pos[mesh.t_pos_idx].mean(axis=1)
    each = (len(middle) - 12) // 2  # the box, then twice the ball; the second is mirrored at x = 2
    middle[12 + each :] = middle[12 : 12 + each]
    assert_painted(out, middle, off=0.05)
    made = MeshScene(path, 0.0, SIZE)
    stand, look, faces = made._seen()
    assert len(faces) == 12 + 2 * each and (stand[-1] != look[-1]).any()
    np.testing.assert_allclose(look[-42:], stand[-84:-42])
    assert stand.abs().max() <= 0.5


def test_coordinates_that_serve_are_kept_with_every_array(tmp_path):
    made = Sample()
    v_pos = np.concatenate([SQUARE, SQUARE[:, :1] * 0.2], axis=1)
    half = (SQUARE * [32767, 65535]).astype(np.uint16)
    made.primitive(v_pos, QUAD.reshape(-1).astype(np.uint8), vertex={"TEXCOORD_0": half})
    made.tree["meshes"].append({"primitives": []})  # of no scene, in the same material
    made.primitive(v_pos, mesh=1, material=0)
    made.tree["meshes"][0]["primitives"][0]["material"] = 0
    made.tree["materials"] = [{"name": "both"}]
    path = made.save(tmp_path / "a.glb")
    reasons, (out,) = painted(path, tmp_path / "out")
    assert reasons == [""]
    assert_painted(out)
    before, after = tree_of(path), tree_of(out)
    assert after["accessors"] == before["accessors"]
    assert after["meshes"][0]["primitives"][0] == {
        **before["meshes"][0]["primitives"][0],
        "material": 1,
    }
    assert after["meshes"][1] == before["meshes"][1] and after["materials"][0] == {"name": "both"}
    assert [m["name"] for m in after["materials"]] == ["both", "both"]


@pytest.mark.parametrize("uv, why", [(SQUARE, ""), (SQUARE * 2, "leave the square")])
def test_holes_of_the_former_image_stay_holes(uv, why, tmp_path):
    made = Sample()
    v_pos = np.concatenate([SQUARE, np.zeros((4, 1), np.float32)], axis=1)
    made.primitive(v_pos, QUAD, vertex={"TEXCOORD_0": uv.astype(np.float32)}, material=0)
    image = np.full((8, 8, 4), 255, np.uint8)
    image[:4, :, 3] = 0  # the upper half: small t, small y
    made.tree["images"] = [{"mimeType": "image/png", "bufferView": made.view(png_bytes(image))}]
    made.tree["textures"] = [{"source": 0}]
    surface = {"baseColorTexture": {"index": 0}}
    made.tree["materials"] = [{"alphaMode": "MASK", "pbrMetallicRoughness": surface}]
    path = made.save(tmp_path / "leaf.glb")
    (reason,), (out,) = painted(path, tmp_path / "out")
    assert why in reason and bool(why) == bool(reason)
    assert tree_of(out)["materials"][0]["alphaMode"] == "MASK"
    mesh = load_mesh(out, textures=True)
    (texture,) = mesh.textures
    weights = np.array([[8, 1, 1], [1, 8, 1], [1, 1, 8], [5, 3, 2], [2, 2, 6]]) / 10
    corners = [values[mesh.t_pos_idx] for values in (mesh.v_pos[:, 1], mesh.v_uv)]
    heights, places = (np.einsum("wk,fk...->fw...", weights, values) for values in corners)
    s, t = np.moveaxis((places * SIZE).astype(int), -1, 0)
    holes = heights * uv.max() % 1 < 0.5  # as often as the image is there, one above the other
    assert 0 < holes.sum() < holes.size
    np.testing.assert_array_equal(texture.image[t, s, 3], np.where(holes, 0, 255))


def test_a_compressed_primitive_is_unwrapped_without_its_compression(tmp_path):
    ball = icosphere(1)
    path = draco_sample(ball.v_pos, ball.t_pos_idx).save(tmp_path / "packed.glb")
    _, (out,) = painted(path, tmp_path / "out")
    assert "extensionsRequired" not in tree_of(out)
    same_surface(path, out)
    assert_painted(out)


def test_a_skinned_mesh_is_painted_in_its_pose(tmp_path):
    made = Sample()
    ball = icosphere(1)
    joints = np.zeros((len(ball.v_pos), 4), np.uint8)
    made.primitive(
        ball.v_pos, ball.t_pos_idx.reshape(-1).astype(np.uint16),
        vertex={"JOINTS_0": joints, "WEIGHTS_0": joints + np.float32([1, 0, 0, 0])},
    )  # fmt: skip
    made.tree["nodes"] = [{"mesh": 0, "skin": 0}, {"scale": [1, 3, 1], "translation": [0, 9, 0]}]
    made.tree["scenes"] = [{"nodes": [0, 1]}]
    made.tree["skins"] = [{"joints": [1]}]
    for view in made.tree["accessors"]:
        view.pop("normalized", None)
    path = made.save(tmp_path / "skin.glb")
    _, (out,) = painted(path, tmp_path / "out")
    assert tree_of(out)["skins"] == [{"joints": [1]}]
    same_surface(path, out)
    assert_painted(out)


def test_a_gltf_with_files_beside_it_becomes_one_glb(tmp_path):
    made = two_materials()
    (tmp_path / "two.bin").write_bytes(made.binary)
    tree = {**made.tree, "buffers": [{"uri": "two.bin", "byteLength": len(made.binary)}]}
    tree["images"] = [{"uri": "never-there.png"}]
    (tmp_path / "two.gltf").write_text(json.dumps(tree))
    _, (out,) = painted(tmp_path / "two.gltf", tmp_path / "out")
    assert out.name == "two.glb" and "uri" not in tree_of(out)["buffers"][0]
    assert "uri" not in tree_of(out)["images"][0]
    same_surface(tmp_path / "two.gltf", out)


def test_a_damaged_array_is_found_before_any_work(tmp_path):
    made = two_materials()
    made.tree["accessors"][made.tree["meshes"][0]["primitives"][0]["attributes"]["_WEAR"]][
        "count"
    ] = 5
    with pytest.raises(InputError, match="_WEAR does not give every vertex a value"):
        assert MeshScene(made.save(tmp_path / "a.glb"), 0.0, SIZE).model
    made = two_materials()
    made.tree["buffers"] = [{"uri": "away.bin", "byteLength": len(made.binary)}]
    made.binary = b""
    with pytest.raises(InputError, match="away.bin"):
        assert MeshScene(made.save(tmp_path / "b.glb"), 0.0, SIZE).model


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
