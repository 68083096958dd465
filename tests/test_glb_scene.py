"""Where a GLB file's meshes stand: instances, skins, morph targets, all computed by hand."""

import numpy as np
import pytest
from glb_samples import CORNER, CORNER_FACES, Sample, corner, matrices, translation

from sdtool.errors import ObjectError
from sdtool.geometry.meshes import Mesh
from sdtool.meshfiles import read_glb
from sdtool.meshfiles.limits import Limits

QUARTER_Z = [0, 0, np.sqrt(0.5), np.sqrt(0.5)]  # quaternion of 90° about Z: x → y


def reason(path, **options):
    """The reason of the ObjectError that reading `path` raises."""
    with pytest.raises(ObjectError) as caught:
        read_glb(path, **options)
    assert str(path) in str(caught.value)
    return caught.value.reason


def volume(mesh):
    """The signed volume: positive where a closed surface faces outward."""
    a, b, c = (mesh.v_pos[mesh.t_pos_idx[:, k]].astype(np.float64) for k in range(3))
    return np.einsum("fi,fi->", a, np.cross(b, c)) / 6


# Instances


def instanced(attributes, **node):
    sample = corner(**node)
    numbers = {
        name: sample.accessor(values, **({"normalized": True} if values.dtype.kind == "i" else {}))
        for name, values in attributes.items()
    }
    sample.tree["nodes"][0]["extensions"] = {"EXT_mesh_gpu_instancing": {"attributes": numbers}}
    sample.tree["extensionsRequired"] = ["EXT_mesh_gpu_instancing"]
    return sample


def test_instances_are_placed_by_node_times_translation_rotation_scale(tmp_path):
    sample = instanced(
        {
            "TRANSLATION": np.float32([[10, 0, 0], [0, 20, 0], [0, 0, 0]]),
            "ROTATION": np.float32([[0, 0, 0, 1], QUARTER_Z, [0, 0, 0, 1]]),
            "SCALE": np.float32([[1, 1, 1], [3, 1, 1], [1, -1, 1]]),
        },
        translation=[0, 0, 100],
    )
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    found = mesh.v_pos.reshape(3, 4, 3)
    np.testing.assert_allclose(found[0], CORNER + [10, 0, 100], atol=1e-5)
    # (1, 0, 0) is scaled to (3, 0, 0), turned to (0, 3, 0), moved to (0, 23, 100).
    np.testing.assert_allclose(found[1, 1], [0, 23, 100], atol=1e-5)
    np.testing.assert_allclose(found[1, 2], [-2, 20, 100], atol=1e-5)
    np.testing.assert_allclose(found[2], CORNER * [1, -1, 1] + [0, 0, 100], atol=1e-5)
    assert mesh.t_pos_idx.min(axis=1).reshape(3, 4).min(axis=1).tolist() == [0, 4, 8]
    for k, size in enumerate([1, 3, 1]):  # the mirrored one faces outward, too
        one = Mesh(mesh.v_pos, mesh.t_pos_idx[4 * k : 4 * k + 4])
        assert volume(one) == pytest.approx(size, rel=1e-4)


def test_instances_may_lack_attributes_and_be_turned_by_normalised_integers(tmp_path):
    quarter = np.rint(np.array([QUARTER_Z]) * 32767).astype(np.int16)
    mesh = read_glb(instanced({"ROTATION": quarter}).save(tmp_path / "a.glb"))
    np.testing.assert_allclose(mesh.v_pos[1], [0, 1, 0], atol=1e-4)


def test_colours_are_repeated_with_their_instances(tmp_path):
    sample = instanced({"TRANSLATION": np.float32([[0, 0, 0], [9, 0, 0]])})
    levels = np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3)
    sample.tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"] = sample.accessor(levels)
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    np.testing.assert_array_equal(mesh.v_color[:4], mesh.v_color[4:])
    assert len(np.unique(mesh.v_color)) == 12


def test_instances_are_counted_before_they_are_made(tmp_path):
    """A few bytes may ask for billions of triangles."""
    sample = corner()
    sample.tree["accessors"].append({"componentType": 5126, "type": "VEC3", "count": 200_000})
    sample.tree["nodes"] = [
        {"mesh": 0, "extensions": {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": 2}}}}
        for _ in range(100)
    ]
    sample.tree["scenes"] = [{"nodes": list(range(100))}]
    path = sample.save(tmp_path / "a.glb")
    assert reason(path) == "too-large"
    assert reason(path, limits=Limits(triangles=10**12)) == "too-large"  # instances have a limit
    some = instanced({"TRANSLATION": np.zeros((10, 3), np.float32)}).save(tmp_path / "b.glb")
    assert len(read_glb(some, Limits(instances=10, triangles=40)).t_pos_idx) == 40
    assert reason(some, limits=Limits(instances=9)) == "too-large"
    assert reason(some, limits=Limits(triangles=39)) == "too-large"


@pytest.mark.parametrize(
    "attributes",
    [
        {"TRANSLATION": np.zeros((2, 3), "f4"), "SCALE": np.ones((3, 3), "f4")},
        {"TRANSLATION": np.zeros((2, 2), "f4")},
        {"ROTATION": np.zeros((2, 4), "f4")},
    ],
)
def test_impossible_instances_are_refused(tmp_path, attributes):
    assert reason(instanced(attributes).save(tmp_path / "a.glb")) == "corrupt-file"


def test_hidden_nodes_are_left_out_with_their_children(tmp_path):
    sample = corner(children=[1], extensions={"KHR_node_visibility": {"visible": False}})
    sample.tree["nodes"] += [{"mesh": 0, "translation": [5, 0, 0]}, {"mesh": 0, "scale": [2, 2, 2]}]
    sample.tree["scenes"][0]["nodes"] = [0, 2]
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    np.testing.assert_array_equal(mesh.v_pos, CORNER * 2)


# Skins

BAR = np.array([[0, 0, 0], [0, 1, 0], [0, 2, 0], [1, 1, 0]], np.float32)
BAR_FACES = [[0, 1, 3], [1, 2, 3]]
BAR_JOINTS = np.array([[0, 1, 0, 0]] * 4, np.uint8)
BAR_WEIGHTS = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]], np.float32)
BOUND = [np.eye(4), translation(0, -1, 0)]  # the second joint was bound at (0, 1, 0)


def skinned(knee, joints=BAR_JOINTS, weights=BAR_WEIGHTS, inverse=BOUND, **mesh_node):
    """A bar along Y of two joints, the second at its middle, turned there by `knee`."""
    sample = Sample()
    sample.primitive(BAR, BAR_FACES, vertex={"JOINTS_0": joints, "WEIGHTS_0": weights})
    sample.tree["nodes"] = [
        {"mesh": 0, "skin": 0, **mesh_node},
        {"children": [2]},
        {"translation": [0, 1, 0], "rotation": knee},
    ]
    sample.tree["scenes"][0]["nodes"] = [0, 1]
    sample.tree["skins"] = [{"joints": [1, 2]}]
    if inverse is not None:
        sample.tree["skins"][0]["inverseBindMatrices"] = sample.accessor(matrices(*inverse))
    return sample


def test_a_skin_whose_joints_stand_as_bound_gives_the_bind_pose(tmp_path):
    mesh = read_glb(skinned([0, 0, 0, 1]).save(tmp_path / "a.glb"))
    np.testing.assert_allclose(mesh.v_pos, BAR, atol=1e-6)


def test_a_bent_knee_moves_what_hangs_on_it(tmp_path):
    mesh = read_glb(skinned(QUARTER_Z).save(tmp_path / "a.glb"))
    # About (0, 1, 0): the end (0, 2, 0) goes to (−1, 1, 0), the side (1, 1, 0) to (0, 2, 0).
    expected = [[0, 0, 0], [0, 1, 0], [-1, 1, 0], [0, 2, 0]]
    np.testing.assert_allclose(mesh.v_pos, expected, atol=1e-6)


def test_weights_blend_matrices_linearly(tmp_path):
    half = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0.25, 0.75, 0, 0], [0.5, 0.5, 0, 0]], "f4")
    mesh = read_glb(skinned(QUARTER_Z, weights=half).save(tmp_path / "a.glb"))
    np.testing.assert_allclose(mesh.v_pos[2], [0.75 * -1, 0.25 * 2 + 0.75 * 1, 0], atol=1e-6)
    np.testing.assert_allclose(mesh.v_pos[3], [0.5 * 1 + 0, 0.5 * 1 + 0.5 * 2, 0], atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integer_weights_and_wide_joints(tmp_path, dtype):
    weights = np.rint(BAR_WEIGHTS * np.iinfo(dtype).max).astype(dtype)
    joints = BAR_JOINTS.astype(dtype)
    mesh = read_glb(skinned(QUARTER_Z, joints, weights).save(tmp_path / "a.glb"))
    np.testing.assert_allclose(mesh.v_pos[2], [-1, 1, 0], atol=1e-6)


def test_the_node_of_a_skinned_mesh_does_not_move_it_but_its_skeleton_does(tmp_path):
    sample = skinned([0, 0, 0, 1], translation=[100, 0, 0], scale=[7, 7, 7])
    np.testing.assert_allclose(read_glb(sample.save(tmp_path / "a.glb")).v_pos, BAR, atol=1e-6)
    sample.tree["nodes"][1]["scale"] = [2, 2, 2]
    sample.tree["nodes"].append({"children": [1], "translation": [0, 0, 3]})
    sample.tree["scenes"][0]["nodes"] = [0, 3]
    mesh = read_glb(sample.save(tmp_path / "b.glb"))
    np.testing.assert_allclose(mesh.v_pos, BAR * 2 + [0, 0, 3], atol=1e-6)


def test_weights_are_normalised_and_a_vertex_without_any_follows_its_first_joint(tmp_path):
    weights = BAR_WEIGHTS * np.float32([[3], [2], [0], [0.1]])
    joints = BAR_JOINTS.copy()
    joints[2] = [1, 0, 0, 0]
    mesh = read_glb(skinned(QUARTER_Z, joints, weights).save(tmp_path / "a.glb"))
    np.testing.assert_allclose(mesh.v_pos[[0, 2]], [[0, 0, 0], [-1, 1, 0]], atol=1e-6)


def test_eight_joints_a_vertex(tmp_path):
    sample = skinned(QUARTER_Z, weights=np.float32([[0.5, 0, 0, 0]] * 4))
    attributes = sample.tree["meshes"][0]["primitives"][0]["attributes"]
    attributes["JOINTS_1"] = sample.accessor(np.uint8([[0, 0, 0, 1]] * 4))
    attributes["WEIGHTS_1"] = sample.accessor(np.float32([[0, 0, 0, 0.5]] * 4))
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    # Half stays at (0, 2, 0), half turns to (−1, 1, 0).
    np.testing.assert_allclose(mesh.v_pos[2], [-0.5, 1.5, 0], atol=1e-6)


def test_without_inverse_bind_matrices_vertices_are_in_the_joints_frame(tmp_path):
    mesh = read_glb(skinned([0, 0, 0, 1], inverse=None).save(tmp_path / "a.glb"))
    np.testing.assert_allclose(mesh.v_pos[[0, 2]], [[0, 0, 0], [0, 3, 0]], atol=1e-6)


def test_a_mirrored_skeleton_keeps_faces_outward(tmp_path):
    sample = Sample()
    zero = np.zeros((4, 4), np.uint8)
    one = np.float32([[1, 0, 0, 0]] * 4)
    sample.primitive(CORNER, CORNER_FACES, vertex={"JOINTS_0": zero, "WEIGHTS_0": one})
    sample.tree["nodes"] = [{"mesh": 0, "skin": 0}, {"scale": [-2, 1, 1]}]
    sample.tree["scenes"][0]["nodes"] = [0, 1]
    sample.tree["skins"] = [{"joints": [1]}]
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    assert volume(mesh) == pytest.approx(2)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["skins"][0].update(joints=[]),
        lambda t: t["skins"][0].update(joints=[1, 9]),
        lambda t: t["skins"][0].update(joints=[1]),  # a vertex follows the second
        lambda t: t["skins"][0].update(joints=[1, 2, 2]),  # two matrices for three joints
        lambda t: t["skins"][0].update(inverseBindMatrices=0),
        lambda t: t["nodes"][0].update(skin=3),
        lambda t: t["meshes"][0]["primitives"][0]["attributes"].pop("WEIGHTS_0"),
        lambda t: t["meshes"][0]["primitives"][0]["attributes"].update(JOINTS_0=0),
        lambda t: t["meshes"][0]["primitives"][0]["attributes"].update(WEIGHTS_0=0),
    ],
)
def test_broken_skins_are_refused(tmp_path, change):
    sample = skinned([0, 0, 0, 1])
    change(sample.tree)
    assert reason(sample.save(tmp_path / "a.glb")) == "corrupt-file"


def test_joints_of_weight_zero_may_be_anything(tmp_path):
    joints = BAR_JOINTS.copy()
    joints[:, 2:] = 255
    mesh = read_glb(skinned([0, 0, 0, 1], joints).save(tmp_path / "a.glb"))
    np.testing.assert_allclose(mesh.v_pos, BAR, atol=1e-6)


# Morph targets


@pytest.mark.parametrize("where", ["mesh", "node"])
def test_default_weights_of_morph_targets_move_vertices(tmp_path, where):
    sample = corner()
    up, out = np.zeros((4, 3), np.float32), np.zeros((4, 3), np.float32)
    up[3], out[1] = [0, 8, 0], [100, 0, 0]
    targets = [{"POSITION": sample.accessor(up)}, {"POSITION": sample.accessor(out)}]
    sample.tree["meshes"][0]["primitives"][0]["targets"] = targets
    sample.tree["meshes"][0]["weights"] = [0.25, 0] if where == "mesh" else [1, 1]
    if where == "node":  # the node's weights count instead of the mesh's
        sample.tree["nodes"][0]["weights"] = [0.25, 0]
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    expected = CORNER.copy()
    expected[3] += [0, 0.25 * 8, 0]
    np.testing.assert_allclose(mesh.v_pos, expected)


def test_a_morph_target_of_another_length_is_refused(tmp_path):
    sample = corner()
    number = sample.accessor(np.zeros((3, 3), np.float32))
    sample.tree["meshes"][0]["primitives"][0]["targets"] = [{"POSITION": number}]
    sample.tree["meshes"][0]["weights"] = [1]
    assert reason(sample.save(tmp_path / "a.glb")) == "corrupt-file"


# Size


def test_deep_trees_and_many_nodes_take_no_recursion(tmp_path):
    sample = corner(translation=[1, 0, 0])
    depth = 5000
    sample.tree["nodes"] = [
        {"children": [k + 1], "translation": [0, 1, 0]} for k in range(depth)
    ] + [{"mesh": 0}]
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    np.testing.assert_allclose(mesh.v_pos, CORNER + [0, depth, 0])
