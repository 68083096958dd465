"""The mesh type and the checks that every mesh passes on its way in."""

import numpy as np
import pytest
from shape_samples import box, icosphere, quad

from sdtool.errors import ObjectError
from sdtool.geometry.meshes import (
    Mesh,
    Texture,
    face_normals,
    linear_to_srgb,
    merge,
    srgb_to_linear,
    validate,
)


def test_bounds_are_those_of_the_vertices_that_faces_use():
    mesh = box([1, 2, 3], [4, 6, 8])
    stray = np.concatenate([mesh.v_pos, [[99, np.nan, -99]]]).astype(np.float32)
    assert np.array_equal(Mesh(stray, mesh.t_pos_idx).bounds(), [[1, 2, 3], [4, 6, 8]])


def test_with_positions_is_a_new_mesh_in_float32():
    mesh = quad([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    moved = mesh.with_positions(mesh.v_pos.astype(np.float64) + 1)
    assert moved.v_pos.dtype == np.float32 and moved.t_pos_idx is mesh.t_pos_idx
    assert np.array_equal(moved.v_pos, mesh.v_pos + 1) and mesh.v_pos.max() == 1
    with pytest.raises(AttributeError):
        mesh.v_pos = moved.v_pos


@pytest.mark.parametrize(
    "v_pos, faces, reason",
    [
        ([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.zeros((0, 3)), "no-triangles"),
        ([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 3]], "bad-index"),
        ([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, -1]], "bad-index"),
        ([[0, 0, 0], [1, 0, 0], [0, np.nan, 0]], [[0, 1, 2]], "non-finite"),
        ([[0, 0, 0], [1, 0, 0], [0, np.inf, 0]], [[0, 1, 2]], "non-finite"),
        ([[5, 5, 5], [5, 5, 5], [5, 5, 5]], [[0, 1, 2]], "zero-extent"),
    ],
)
def test_unusable_meshes_are_refused_by_name(v_pos, faces, reason):
    mesh = Mesh(np.array(v_pos, np.float32), np.array(faces, np.int32))
    with pytest.raises(ObjectError, match="it.glb") as error:
        validate(mesh, "it.glb")
    assert error.value.reason == reason


def test_a_flat_mesh_and_a_nan_that_no_face_uses_are_fine():
    flat = quad([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    assert validate(flat, "flat") is flat
    stray = Mesh(np.concatenate([flat.v_pos, [[np.nan] * 3]]).astype(np.float32), flat.t_pos_idx)
    assert validate(stray, "stray") is stray


def test_merge_joins_meshes_and_greys_the_colourless():
    one, two = box([0, 0, 0], [1, 1, 1]), icosphere(0)
    assert merge([one, two]).v_color is None
    red = Mesh(two.v_pos, two.t_pos_idx, np.tile(np.float32([1, 0, 0]), (12, 1)))
    both = merge([one, red, one])
    assert both.v_pos.shape == (8 + 12 + 8, 3) and both.v_pos.dtype == np.float32
    assert both.t_pos_idx.shape == (12 + 20 + 12, 3) and both.t_pos_idx.dtype == np.int32
    for part, first_vertex, first_face in ((one, 0, 0), (two, 8, 12), (one, 20, 32)):
        faces = both.t_pos_idx[first_face : first_face + len(part.t_pos_idx)]
        assert np.array_equal(faces - first_vertex, part.t_pos_idx)
        assert np.array_equal(both.v_pos[faces], part.v_pos[part.t_pos_idx])
    assert (both.v_color[:8] == 0.5).all() and (both.v_color[8:20] == [1, 0, 0]).all()


def test_bounds_of_far_vertices_are_exact_and_nan_is_seen():
    """An extent beyond float32 is no extent of zero, and no warning."""
    v_pos = np.array([[-3e38, 0, 0], [3e38, 0, 0], [0, 1, 0]], np.float32)
    mesh = Mesh(v_pos, np.array([[0, 1, 2]], np.int32))
    with np.errstate(all="raise"):
        assert validate(mesh, "far") is mesh
    assert np.array_equal(mesh.bounds(), np.float32([[-3e38, 0, 0], [3e38, 1, 0]]))


def checked(side, wrap=("repeat", "repeat")):
    """A texture whose pixels are all `side`."""
    return Texture(np.full((side, side, 4), side, np.uint8), wrap)


def test_merge_joins_textures_and_counts_the_same_one_once():
    flat = quad([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    a, b, c = checked(1), checked(2), checked(3)
    uv = np.arange(8, dtype=np.float32).reshape(4, 2)

    def wearing(textures, numbers):
        numbers = np.array(numbers, np.int32)
        return Mesh(flat.v_pos, flat.t_pos_idx, None, uv, numbers, textures)

    joined = merge([wearing((a, b), [1, -1]), flat, wearing((b, c), [0, 1]), wearing((a,), [0, 0])])
    assert joined.textures == (a, b, c)
    assert joined.t_texture.tolist() == [1, -1, -1, -1, 1, 2, 0, 0]
    assert joined.t_texture.dtype == np.int32 and joined.v_uv.dtype == np.float32
    assert np.array_equal(joined.v_uv, np.concatenate([uv, uv * 0, uv, uv]))
    moved = joined.with_positions(joined.v_pos + 1)
    assert moved.textures is joined.textures and moved.v_uv is joined.v_uv
    assert merge([flat, flat]).v_uv is None and merge([flat, flat]).textures == ()


def test_merging_one_mesh_gives_that_mesh():
    flat = quad([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    assert merge([flat]) is flat


def test_face_normals_of_a_box_and_of_a_degenerate_face():
    mesh = box([0, 0, 0], [2, 3, 4])
    faces = np.concatenate([mesh.t_pos_idx, [[0, 0, 1]]]).astype(np.int32)
    normals = face_normals(Mesh(mesh.v_pos, faces))
    sides = [[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]]
    assert np.array_equal(normals[:12], np.repeat(sides, 2, axis=0))
    assert np.array_equal(normals[12], [0, 0, 0])


def test_srgb_has_its_standard_values_and_inverse():
    """IEC 61966-2-1: 0.5 is 0.21404 in linear light; 0.04045 is the end of the straight part."""
    assert np.allclose(srgb_to_linear(np.array([0, 0.04045, 0.5, 1])),
                       [0, 0.04045 / 12.92, ((0.5 + 0.055) / 1.055) ** 2.4, 1])  # fmt: skip
    assert abs(srgb_to_linear(np.array(0.5)) - 0.21404) < 1e-5
    values = np.linspace(0, 1, 1001)
    assert np.allclose(linear_to_srgb(srgb_to_linear(values)), values, atol=1e-6)
    assert (np.diff(linear_to_srgb(values)) > 0).all()
    for convert in (srgb_to_linear, linear_to_srgb):  # what is out of range is limited first
        assert np.allclose(convert(np.array([-1.0, 2.0])), [0, 1])
