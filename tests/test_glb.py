"""GLB files: what is written can be read again, what glTF allows is read right, what is broken is
refused with a named reason."""

import base64
import json
import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from assets import ASSETS
from glb_samples import CORNER, CORNER_FACES, Sample, container, corner
from validator import validator_reports

from sdtool.errors import ObjectError
from sdtool.geometry.meshes import Mesh, face_normals, linear_to_srgb, vertex_normals
from sdtool.meshfiles import load_mesh, read_glb, write_glb
from sdtool.meshfiles.limits import Limits

HERE = Path(__file__).parent


def refused(path):
    """(reason, message) of the ObjectError that reading `path` raises."""
    with pytest.raises(ObjectError) as caught:
        load_mesh(path)
    assert str(path) in str(caught.value)
    return caught.value.reason, str(caught.value)


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
        write_glb(tmp_path / "soup.glb", soup(50, rng), double_sided=True),
        write_glb(tmp_path / "large.glb", soup(30_000, rng)),
        write_glb(tmp_path / "degenerate.glb", degenerate),
    ]
    for report in validator_reports(*files):
        assert (report["numErrors"], report["numWarnings"]) == (0, 0), report


# What glTF allows


@pytest.mark.parametrize(
    "node, expected",
    [
        ({"translation": [1, 2, 3]}, [2, 2, 3]),
        ({"scale": [2, 3, 4]}, [2, 0, 0]),
        ({"rotation": [0, 0, np.sqrt(0.5), np.sqrt(0.5)]}, [0, 1, 0]),  # 90° about Z: x → y
        ({"rotation": [-np.sqrt(0.5), 0, 0, np.sqrt(0.5)], "translation": [0, 5, 0]}, [1, 5, 0]),
        # Column-major: the fourth column is the translation.
        ({"matrix": [0, 0, -1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 10, 20, 30, 1]}, [10, 20, 29]),
        ({"scale": [2, 2, 2], "translation": [1, 0, 0]}, [3, 0, 0]),  # scaled first, then moved
    ],
)
def test_node_transforms(tmp_path, node, expected):
    mesh = read_glb(corner(**node).save(tmp_path / "a.glb"))
    np.testing.assert_allclose(mesh.v_pos[1], expected, atol=1e-6)  # vertex 1 was (1, 0, 0)


def test_transforms_of_parents_apply_from_the_outside(tmp_path):
    sample = corner()
    sample.tree["nodes"] = [
        {"children": [1], "translation": [1, 0, 0]},
        {"children": [2], "scale": [10, 10, 10]},
        {"mesh": 0, "translation": [0, 1, 0]},
    ]
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    np.testing.assert_allclose(mesh.v_pos[1], [10 * 1 + 1, 10 * 1, 0])


@pytest.mark.parametrize("scale", [[1, 1, 1], [-1, 1, 1], [-1, -2, 1], [-1, -1, -1]])
def test_mirroring_keeps_faces_outward(tmp_path, scale):
    mesh = read_glb(corner(scale=scale).save(tmp_path / "a.glb"))
    a, b, c = (mesh.v_pos[mesh.t_pos_idx[:, k]] for k in range(3))
    volume = np.einsum("fi,fi->", a, np.cross(b, c)) / 6
    assert volume == pytest.approx(1 * 2 * 3 / 6 * abs(np.prod(scale)))


def test_only_the_default_scene_is_read_and_instances_are_repeated(tmp_path):
    sample = corner()
    sample.tree["nodes"] = [{"mesh": 0, "translation": [x, 0, 0]} for x in (0, 10, 500)]
    sample.tree["scenes"] = [{"nodes": [2]}, {"nodes": [0, 1]}]
    sample.tree["scene"] = 1
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    assert len(mesh.t_pos_idx) == 8
    np.testing.assert_allclose(mesh.bounds(), [[0, 0, 0], [11, 2, 3]])


def test_without_scenes_all_root_nodes_count(tmp_path):
    sample = corner()
    sample.tree["nodes"] = [{"children": [1], "scale": [2, 2, 2]}, {"mesh": 0}, {"mesh": 0}]
    del sample.tree["scenes"], sample.tree["scene"]
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    assert len(mesh.t_pos_idx) == 8 and mesh.bounds()[1].tolist() == [2, 4, 6]


STRIP = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0], [2, 0, 0], [2, 1, 0]], np.float32)


@pytest.mark.parametrize(
    "mode, positions, order, faces",
    [
        (5, STRIP, None, [[0, 1, 2], [2, 1, 3], [2, 3, 4], [4, 3, 5]]),
        # Repeated vertices stitch strips together and are no triangles; the turn keeps its beat.
        (5, STRIP, [0, 1, 2, 2, 3, 3, 4, 5], [[0, 1, 2], [4, 3, 5]]),
        (6, STRIP, [0, 4, 5, 3, 1], [[0, 4, 5], [0, 5, 3], [0, 3, 1]]),
        (4, STRIP, None, [[0, 1, 2], [3, 4, 5]]),
        (4, STRIP, [0, 2, 1, 5, 4], [[0, 2, 1]]),  # an unfinished triangle is left out
    ],
)
def test_strips_fans_and_missing_indices(tmp_path, mode, positions, order, faces):
    sample = Sample()
    sample.primitive(positions, order, mode=mode)
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    np.testing.assert_array_equal(mesh.v_pos[mesh.t_pos_idx], positions[np.array(faces)])


def test_a_strip_faces_one_way(tmp_path):
    sample = Sample()
    sample.primitive(STRIP, mode=5)
    normals = face_normals(read_glb(sample.save(tmp_path / "a.glb")))
    np.testing.assert_allclose(normals, np.tile([0, 0, -1], (4, 1)))


def test_points_and_lines_are_ignored(tmp_path):
    sample = corner()
    for mode in (0, 1, 2, 3):
        sample.primitive(CORNER + 100, [0, 1, 2, 3], mode=mode)
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    np.testing.assert_array_equal(mesh.v_pos, CORNER)
    only_points = Sample()
    only_points.primitive(CORNER, mode=0)
    assert refused(only_points.save(tmp_path / "points.glb"))[0] == "no-triangles"


def test_primitives_sharing_vertices_keep_only_their_own(tmp_path):
    sample = Sample()
    shared = sample.accessor(CORNER)
    sample.primitive(shared, CORNER_FACES[:1])
    sample.primitive(shared, CORNER_FACES[3:])
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    np.testing.assert_array_equal(mesh.v_pos, CORNER[[0, 1, 2, 1, 2, 3]])
    np.testing.assert_array_equal(mesh.t_pos_idx, [[0, 2, 1], [3, 4, 5]])


def test_interleaved_attributes(tmp_path):
    sample = Sample()
    rows = np.zeros(4, [("noise", "<f4"), ("position", "<f4", 3), ("color", "u1", 4)])
    rows["noise"], rows["position"], rows["color"] = 99, CORNER, [255, 0, 51, 255]
    view = sample.view(rows.tobytes(), byteStride=rows.itemsize)
    common = {"bufferView": view, "count": 4}
    sample.tree["accessors"] = [
        {**common, "byteOffset": 4, "componentType": 5126, "type": "VEC3"},
        {**common, "byteOffset": 16, "componentType": 5121, "type": "VEC4", "normalized": True},
    ]
    sample.primitive(0, CORNER_FACES, color=1)
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    np.testing.assert_array_equal(mesh.v_pos, CORNER)
    expected = linear_to_srgb(np.tile([1.0, 0.0, 0.2], (4, 1)))
    np.testing.assert_allclose(mesh.v_color, expected, atol=1e-6)


@pytest.mark.parametrize("base", ["zeros", "array"])
def test_sparse_accessor(tmp_path, base):
    sample = Sample()
    before = np.zeros((4, 3), np.float32) if base == "zeros" else CORNER * 7
    number = sample.accessor(before)
    accessor = sample.tree["accessors"][number]
    if base == "zeros":
        del accessor["bufferView"]
    accessor["sparse"] = {
        "count": 3,
        "indices": {"bufferView": sample.view(bytes([1, 2, 3])), "componentType": 5121},
        "values": {"bufferView": sample.view(CORNER[1:].tobytes())},
    }
    sample.primitive(number, CORNER_FACES)
    np.testing.assert_array_equal(read_glb(sample.save(tmp_path / "a.glb")).v_pos, CORNER)


@pytest.mark.parametrize(
    "dtype, normalized, divisor",
    [("i1", True, 127), ("u1", True, 255), ("i2", True, 32767), ("u2", True, 65535), ("i2", 0, 1)],
)
def test_quantised_positions(tmp_path, dtype, normalized, divisor):
    info = np.iinfo(dtype)
    grid = np.array([[info.min, 0, 1], [info.max, 0, 1], [0, info.max, 1], [0, 0, 1]], dtype)
    sample = Sample()
    padded = np.zeros((4, 4), dtype)  # rows begin at multiples of four bytes
    padded[:, :3] = grid
    number = sample.accessor(padded, type="VEC3", normalized=bool(normalized))
    sample.tree["bufferViews"][0]["byteStride"] = padded.itemsize * 4
    sample.tree["extensionsRequired"] = ["KHR_mesh_quantization"]
    sample.primitive(number, CORNER_FACES)
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    expected = np.maximum(grid / divisor, -1.0) if normalized else grid
    np.testing.assert_allclose(mesh.v_pos, expected, rtol=1e-6)


def test_data_uri_buffer(tmp_path):
    sample = corner()
    text = base64.b64encode(sample.binary).decode()
    uri = f"data:application/octet-stream;base64,{text}"
    sample.tree["buffers"] = [{"byteLength": len(sample.binary), "uri": uri}]
    sample.binary = b""
    np.testing.assert_array_equal(read_glb(sample.save(tmp_path / "a.glb")).v_pos, CORNER)


# Colour


def test_colour_is_vertex_colour_times_material_in_linear_light(tmp_path):
    sample = Sample()
    linear = np.full((4, 3), [1.0, 0.5, 0.25], np.float32)
    sample.tree["materials"] = [
        {"pbrMetallicRoughness": {"baseColorFactor": [0.5, 0.5, 0.5, 1]}},
        {"extensions": {"KHR_materials_pbrSpecularGlossiness": {"diffuseFactor": [0, 1, 0, 1]}}},
        {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}},
    ]
    sample.primitive(CORNER, CORNER_FACES, color=linear, material=0)
    sample.primitive(CORNER, CORNER_FACES, material=0)
    sample.primitive(CORNER, CORNER_FACES, material=1)
    sample.primitive(CORNER, CORNER_FACES)
    sample.primitive(CORNER, CORNER_FACES, material=2)
    color = read_glb(sample.save(tmp_path / "a.glb")).v_color.reshape(5, 4, 3)
    expected = linear_to_srgb(np.array([[0.5, 0.25, 0.125], [0.5, 0.5, 0.5], [0, 1, 0], [1, 1, 1]]))
    for k in range(4):
        np.testing.assert_allclose(color[k], np.tile(expected[k], (4, 1)), atol=1e-6)
    np.testing.assert_allclose(color[4], 0.5)  # in a texture: unknown, so grey among coloured parts


def test_an_object_with_only_textures_has_no_colour(tmp_path):
    sample = Sample()
    sample.tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
    sample.primitive(CORNER, CORNER_FACES, material=0)
    assert read_glb(sample.save(tmp_path / "a.glb")).v_color is None


# Refused, by name


def changed(path, change):
    """Save the corner after `change(tree)`."""
    sample = corner()
    change(sample.tree)
    return sample.save(path)


def nan_corner():
    sample = Sample()
    broken = CORNER.copy()
    broken[2, 0] = np.nan
    sample.primitive(broken, CORNER_FACES)
    return sample


def test_unknown_required_extensions_are_refused_by_name(tmp_path):
    path = changed(tmp_path / "a.glb", lambda t: t.update(extensionsRequired=["ACME_x"]))
    reason, message = refused(path)
    assert reason == "unsupported-extension" and "ACME_x" in message


def test_optional_and_harmless_extensions_are_ignored(tmp_path):
    sample = corner()
    sample.tree["extensionsUsed"] = ["ACME_x", "KHR_materials_unlit", "KHR_texture_transform"]
    sample.tree["extensionsRequired"] = ["KHR_materials_unlit", "KHR_texture_transform"]
    sample.tree["extensions"] = {"ACME_x": {"anything": [1, None, {}]}}
    sample.tree["images"] = [{"uri": "not/there.png"}]
    np.testing.assert_array_equal(read_glb(sample.save(tmp_path / "a.glb")).v_pos, CORNER)


def test_external_buffer_is_named(tmp_path):
    (tmp_path / "mesh.bin").write_bytes(b"\0" * 999)  # it is there, and is not looked at
    (tmp_path / "in").mkdir()
    for uri in ("../mesh.bin", "file:///etc/passwd", "http://localhost/x.bin"):
        buffers = [{"byteLength": 99, "uri": uri}]
        path = changed(tmp_path / "in/a.glb", lambda t, buffers=buffers: t.update(buffers=buffers))
        reason, message = refused(path)
        assert reason == "external-buffer" and uri in message


def test_a_buffer_beside_a_glb_is_read(tmp_path):
    sample = corner()
    buffers = [{"byteLength": len(sample.binary), "uri": "mesh.bin"}]
    (tmp_path / "mesh.bin").write_bytes(sample.binary)
    (tmp_path / "a.glb").write_bytes(container({**sample.tree, "buffers": buffers}))
    np.testing.assert_array_equal(read_glb(tmp_path / "a.glb").v_pos, CORNER)
    (tmp_path / "mesh.bin").write_bytes(sample.binary[:-1])
    assert refused(tmp_path / "a.glb")[0] == "truncated-file"
    (tmp_path / "mesh.bin").unlink()
    assert refused(tmp_path / "a.glb")[0] == "missing-buffer"


@pytest.mark.parametrize(
    "reason, change",
    [
        ("node-cycle", lambda t: t["nodes"][0].update(children=[0])),
        ("node-cycle", lambda t: t["scenes"][0].update(nodes=[0, 0])),
        ("bad-index", lambda t: t["accessors"][0].update(count=3)),
        ("no-triangles", lambda t: t["scenes"][0].update(nodes=[])),
        ("no-triangles", lambda t: t["accessors"][1].update(count=0)),
        ("zero-extent", lambda t: t["nodes"][0].update(scale=[0, 0, 0])),
        ("too-large", lambda t: t["accessors"][0].update(count=10**9)),
        ("non-finite", lambda t: t["nodes"][0].update(translation=[float("nan"), 0, 0])),
        ("non-finite", lambda t: t["nodes"][0].update(scale=[1e300, 1, 1])),
        ("corrupt-file", lambda t: t["nodes"][0].update(rotation=[0, 0, 0, 0])),
        ("corrupt-file", lambda t: t["nodes"][0].update(matrix=[1, 2, 3])),
        ("corrupt-file", lambda t: t["nodes"][0].update(mesh=5)),
        ("corrupt-file", lambda t: t["nodes"][0].update(mesh=-1)),
        ("corrupt-file", lambda t: t["accessors"][0].update(count=5)),
        ("corrupt-file", lambda t: t["accessors"][0].update(byteOffset=4)),
        ("corrupt-file", lambda t: t["accessors"][0].update(byteOffset=-4)),
        ("corrupt-file", lambda t: t["accessors"][0].update(componentType=5130)),
        ("corrupt-file", lambda t: t["accessors"][0].update(type="MAT4")),
        ("corrupt-file", lambda t: t["accessors"][1].update(type="VEC2", count=6)),
        ("corrupt-file", lambda t: t["bufferViews"][0].update(byteLength=10**6)),
        ("corrupt-file", lambda t: t["bufferViews"][0].update(byteStride=4)),
        ("corrupt-file", lambda t: t.update(buffers=[{"byteLength": 10**6}])),
        ("corrupt-file", lambda t: t.update(meshes="none")),
        ("corrupt-file", lambda t: t["meshes"][0]["primitives"][0].update(mode=9)),
    ],
)
def test_each_fault_has_its_reason(tmp_path, reason, change):
    assert refused(changed(tmp_path / "a.glb", change))[0] == reason


@pytest.mark.parametrize(
    "reason, data",
    [
        ("empty-file", b""),
        ("truncated-file", b"glTF"),
        ("wrong-kind", b"<!DOCTYPE html><title>404: Not Found</title>"),
        ("corrupt-file", container(b"{not json}")),
        ("corrupt-file", container(b"[" * 100_000)),
        ("corrupt-file", container(b"[1]")),
        ("truncated-file", container({"asset": {}})[:-4]),
        ("no-triangles", container({"asset": {"version": "2.0"}})),
        ("unsupported-version", container({"asset": {}}, version=1)),
    ],
)  # fmt: skip
def test_each_broken_container_has_its_reason(tmp_path, reason, data):
    path = tmp_path / "a.glb"
    path.write_bytes(data)
    assert refused(path)[0] == reason


@pytest.mark.parametrize("depth", [100, 700, 800, 850, 900, 950, 1100, 50_000])
def test_values_of_any_depth(tmp_path, depth):
    """The JSON reader gives up at some depth; just below it, naming the value must not fail."""
    text = json.dumps(corner().tree).replace("5126", "[" * depth + "]" * depth).encode()
    (tmp_path / "a.glb").write_bytes(container(text))
    assert refused(tmp_path / "a.glb")[0] == "corrupt-file"


def test_limits_are_checked_before_anything_is_made(tmp_path):
    path = corner().save(tmp_path / "a.glb")
    size = path.stat().st_size
    text = int.from_bytes(path.read_bytes()[12:16], "little")
    exact = Limits(file_bytes=size, json_bytes=text, triangles=4, instances=1)
    assert len(load_mesh(path, exact).t_pos_idx) == 4
    for name in ("file_bytes", "json_bytes", "triangles", "instances"):
        limits = replace(exact, **{name: getattr(exact, name) - 1})
        with pytest.raises(ObjectError) as caught:
            load_mesh(path, limits)
        assert caught.value.reason == "too-large", name


def test_a_huge_accessor_without_data_takes_no_memory(tmp_path):
    """glTF lets an accessor without a bufferView stand for any number of zeros."""
    sample = corner()
    sample.tree["accessors"][0].update(count=29_000_000)
    del sample.tree["accessors"][0]["bufferView"]
    sample.tree["accessors"].append({"componentType": 5121, "type": "VEC4", "count": 29_000_000})
    sample.tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"] = 2
    sample.tree["meshes"][0]["primitives"] *= 50
    path = sample.save(tmp_path / "a.glb")
    tracemalloc.start()
    assert refused(path)[0] == "zero-extent"
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_a_data_uri_is_decoded_once(tmp_path):
    sample = corner()
    text = base64.b64encode(sample.binary + b"\0" * 30_000).decode()
    sample.tree["buffers"] = [{"byteLength": 99, "uri": f"data:;base64,{text}"}]
    sample.tree["meshes"][0]["primitives"] *= 20
    sample.binary = b""
    path = sample.save(tmp_path / "a.glb")
    assert len(load_mesh(path, Limits(decoded_bytes=31_000)).t_pos_idx) == 80
    with pytest.raises(ObjectError) as caught:
        load_mesh(path, Limits(decoded_bytes=29_000))
    assert caught.value.reason == "too-large"


def test_files_that_are_none(tmp_path):
    assert refused(tmp_path / "absent.glb")[0] == "missing-file"
    (tmp_path / "folder.glb").mkdir()
    assert refused(tmp_path / "folder.glb")[0] == "unreadable-file"
    assert refused(nan_corner().save(tmp_path / "nan.glb"))[0] == "non-finite"
    assert refused(tmp_path / "a.fbx")[0] == "unsupported-format"


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
