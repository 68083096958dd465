"""texture: what is kept of a glTF file, and that each place of it gets the colour asked for."""

import json

import numpy as np
import pytest
from glb_samples import Sample, draco_sample
from shape_samples import icosphere
from texture_samples import (
    QUAD,
    SIZE,
    SQUARE,
    assert_painted,
    painted,
    same_surface,
    tree_of,
    two_materials,
)
from validator import validator_reports

from sdtool.errors import InputError
from sdtool.geometry.ccm import to_canonical
from sdtool.io.images import png_bytes
from sdtool.meshfiles import load_mesh
from sdtool.texturing.mesh_scene import MeshScene


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
