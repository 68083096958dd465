"""GLB files: what glTF allows is read right."""

import base64

import numpy as np
import pytest
from glb_samples import CORNER, CORNER_FACES, Sample, corner
from refused import refused

from sdtool.geometry.meshes import face_normals, linear_to_srgb
from sdtool.meshfiles import read_glb


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
