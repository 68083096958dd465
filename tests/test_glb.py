"""GLB files: what is written can be read again, and what other programs wrote as they do."""

import json
import struct

import numpy as np
import pytest
from assets import ASSETS
from glb_samples import CORNER, CORNER_FACES, container, corner
from refused import refused
from validator import validator_reports

from sdtool.errors import ObjectError
from sdtool.geometry.meshes import Mesh, vertex_normals
from sdtool.meshfiles import load_mesh, read_glb, write_glb


def soup(count, rng):
    """A random mesh of `count` triangles in which every vertex is used."""
    v_pos = rng.normal(size=(3 * count, 3)).astype(np.float32)
    faces = rng.permutation(3 * count).reshape(-1, 3).astype(np.int32)
    return Mesh(v_pos, faces, rng.uniform(size=(3 * count, 3)).astype(np.float32))


# Written and read again


@pytest.mark.parametrize("count", [5, 30_000])  # 16-bit and 32-bit indices
def test_round_trip_is_exact_but_for_colour_quantisation(tmp_path, count):
    mesh = soup(count, np.random.default_rng(count))
    again = read_glb(write_glb(tmp_path / "a.glb", mesh))
    assert again.v_pos.dtype == np.float32 and again.t_pos_idx.dtype == np.int32
    np.testing.assert_array_equal(again.v_pos, mesh.v_pos)
    np.testing.assert_array_equal(again.t_pos_idx, mesh.t_pos_idx)
    # A step of linear light is 1/65535; sRGB is steepest at black, where it is 12.92 times as much.
    np.testing.assert_allclose(again.v_color, mesh.v_color, atol=12.92 / 65535)


def test_all_8_bit_colours_survive(tmp_path):
    levels = np.arange(256, dtype=np.float32)[:, None].repeat(3, axis=1) / 255
    v_pos = np.random.default_rng(0).normal(size=(256, 3)).astype(np.float32)
    faces = np.stack([np.arange(256), np.roll(np.arange(256), 1), np.roll(np.arange(256), 2)], 1)
    mesh = Mesh(v_pos, faces.astype(np.int32), levels)
    again = read_glb(write_glb(tmp_path / "a.glb", mesh))
    np.testing.assert_array_equal(np.rint(again.v_color * 255), np.rint(levels * 255))


def test_written_colours_are_linear(tmp_path):
    path = write_glb(tmp_path / "a.glb", Mesh(CORNER, CORNER_FACES, np.full((4, 3), 0.5, "f4")))
    data = path.read_bytes()
    tree = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    view = tree["bufferViews"][tree["accessors"][2]["bufferView"]]
    start = len(data) - tree["buffers"][0]["byteLength"] + view["byteOffset"]
    color = np.frombuffer(data, np.uint16, 4, start)
    linear = ((0.5 + 0.055) / 1.055) ** 2.4
    assert color.tolist() == [round(linear * 65535)] * 3 + [65535]


def test_asset_says_who_wrote_it_and_from_what(tmp_path):
    mesh = Mesh(CORNER, CORNER_FACES)
    extras = {"prompt": "a corgi – “été”", "seed": 7}
    path = write_glb(tmp_path / "a.glb", mesh, name="corgi", extras=extras)
    data = path.read_bytes()
    tree = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    assert tree["asset"]["extras"] == extras
    assert tree["asset"]["generator"].startswith("sdtool ")
    assert tree["nodes"][0]["name"] == "corgi"
    assert write_glb(tmp_path / "b.glb", mesh, name="corgi", extras=extras).read_bytes() == data


def test_a_mesh_without_colour_comes_back_white_as_gltf_says(tmp_path):
    again = read_glb(write_glb(tmp_path / "a.glb", Mesh(CORNER, CORNER_FACES)))
    np.testing.assert_array_equal(again.v_color, np.ones((4, 3)))


def test_an_unusable_mesh_is_not_written(tmp_path):
    broken = CORNER.copy()
    broken[1, 1] = np.inf
    for v_pos, faces, reason in [
        (broken, CORNER_FACES, "non-finite"),
        (broken, CORNER_FACES[2:3], "non-finite"),  # in a vertex that no face uses
        (CORNER, CORNER_FACES + 1, "bad-index"),
        (CORNER, CORNER_FACES[:0], "no-triangles"),
    ]:
        with pytest.raises(ObjectError) as caught:
            write_glb(tmp_path / "a.glb", Mesh(v_pos, faces))
        assert caught.value.reason == reason
    assert list(tmp_path.iterdir()) == []


def test_vertex_normals_are_averaged_by_area_and_always_of_length_one():
    # Vertex 0 lies in a triangle of area 1 facing +Z and one of area 2 facing +X.
    v_pos = np.array([[0, 0, 0], [2, 0, 0], [0, 1, 0], [0, 0, 4], [9, 9, 9]], np.float32)
    mesh = Mesh(v_pos, np.array([[0, 1, 2], [0, 2, 3], [0, 0, 1]], np.int32))
    normals = vertex_normals(mesh)
    np.testing.assert_allclose(normals[0], np.array([2, 0, 1]) / np.sqrt(5), atol=1e-6)
    np.testing.assert_allclose(normals[4], [0, 1, 0])  # no face: any direction will do
    back_to_back = Mesh(v_pos, np.array([[0, 1, 2], [0, 2, 1]], np.int32))
    for each in (mesh, back_to_back):
        np.testing.assert_allclose(np.linalg.norm(vertex_normals(each), axis=1), 1, atol=1e-6)


def test_khronos_validator_finds_nothing(tmp_path):
    rng = np.random.default_rng(3)
    degenerate = Mesh(CORNER, np.array([[0, 2, 1], [0, 1, 3], [3, 3, 3]], np.int32))
    files = [
        write_glb(tmp_path / "corner.glb", Mesh(CORNER, CORNER_FACES), extras={"prompt": "é"}),
        write_glb(tmp_path / "soup.glb", soup(50, rng)),
        write_glb(tmp_path / "large.glb", soup(30_000, rng)),
        write_glb(tmp_path / "degenerate.glb", degenerate),
    ]
    for report in validator_reports(*files):
        assert (report["numErrors"], report["numWarnings"]) == (0, 0), report


# Files from elsewhere


@pytest.mark.skipif(not ASSETS.is_dir(), reason=f"no folder of real objects at {ASSETS}")
def test_real_objects_agree_with_trimesh():
    import trimesh

    paths = sorted(ASSETS.glob("*/*.glb"))
    assert paths
    for path in paths:
        mesh = load_mesh(path)
        scene = trimesh.load_scene(path, skip_materials=True)
        parts = [g for g in scene.dump() if isinstance(g, trimesh.Trimesh)]
        assert len(mesh.t_pos_idx) == sum(len(p.faces) for p in parts), path
        low = np.min([p.bounds[0] for p in parts], axis=0)
        high = np.max([p.bounds[1] for p in parts], axis=0)
        size = (high - low).max()
        np.testing.assert_allclose(mesh.bounds(), [low, high], atol=1e-6 * size)


@pytest.mark.parametrize("length", range(4))
def test_chunks_that_nobody_padded(tmp_path, length):
    sample = corner()
    sample.tree["buffers"] = [{"byteLength": len(sample.binary)}]
    text = json.dumps(sample.tree).encode()
    text += b" " * (length - len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(sample.binary), b"BIN\0") + sample.binary
    path = tmp_path / "a.glb"
    path.write_bytes(b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks)
    np.testing.assert_array_equal(read_glb(path).v_pos, CORNER)


def test_json_with_a_mark_before_it_zeros_behind_it_or_names_in_latin_1(tmp_path):
    sample = corner(name="café")
    sample.tree["buffers"] = [{"byteLength": len(sample.binary)}]
    text = json.dumps(sample.tree, ensure_ascii=False)
    texts = b"\xef\xbb\xbf" + text.encode(), text.encode() + b"\0" * 3, text.encode("latin-1")
    for number, one in enumerate(texts):
        (tmp_path / f"{number}.glb").write_bytes(container(one, sample.binary))
        np.testing.assert_array_equal(read_glb(tmp_path / f"{number}.glb").v_pos, CORNER)


def test_an_unknown_required_extension_of_looks_alone_refuses_nothing(tmp_path):
    name, use = "KHR_techniques_webgl", {"KHR_techniques_webgl": {"technique": 0}}
    sample = corner()
    sample.tree["extensionsRequired"] = [name]
    sample.tree["materials"] = [{"extensions": use}]
    sample.tree["extensions"] = {name: {"techniques": [{"program": 0}]}}
    path = tmp_path / "a.glb"
    np.testing.assert_array_equal(read_glb(sample.save(path)).v_pos, CORNER)
    for kind in ("meshes", "nodes", "accessors", "bufferViews"):  # there, who knows what it does
        sample.tree[kind][0]["extensions"] = use
        assert refused(sample.save(path))[0] == "unsupported-extension"
        del sample.tree[kind][0]["extensions"]
    primitive = sample.tree["meshes"][0]["primitives"][0]
    primitive["extensions"] = use
    assert refused(sample.save(path))[0] == "unsupported-extension"


@pytest.mark.parametrize("wrong", ["all", -16, 4, 10**6])
def test_a_wrong_length_in_the_header_matters_to_nobody_if_all_is_there(tmp_path, wrong):
    data = bytearray(corner().data())
    wrong = -len(data) if wrong == "all" else wrong
    data[8:12] = struct.pack("<I", len(data) + wrong)
    (tmp_path / "a.glb").write_bytes(data + b"appended" * (wrong < 0))
    np.testing.assert_array_equal(read_glb(tmp_path / "a.glb").v_pos, CORNER)
    (tmp_path / "a.glb").write_bytes(data[:-1])
    assert refused(tmp_path / "a.glb")[0] == "truncated-file"
