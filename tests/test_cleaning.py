"""Cleaning: slivers and doubles, connected parts, holes."""

import numpy as np
import pytest
import trimesh
from shape_samples import box, icosphere

from sdtool.geometry.cleaning import clean, fill_holes
from sdtool.geometry.meshes import Mesh, merge
from sdtool.geometry.parts import largest_parts

V_POS = np.array([[-1, 2, -1], [1, 2, -1], [0, 2.5, -1], [0, 2, 4]], np.float32)
FACES = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], np.int32)


def test_clean_keeps_both_sides_of_a_sheet_and_small_parts():
    sheet = Mesh(V_POS, np.array([[0, 1, 3], [0, 3, 1], [1, 3, 0]], np.int32))
    np.testing.assert_array_equal(
        clean(sheet).t_pos_idx, np.array([[0, 1, 2], [0, 2, 1]], np.int32)
    )
    small = V_POS * np.float32(1e-4) + np.float32(0.1)
    both = Mesh(np.concatenate([V_POS, small]), np.concatenate([FACES, FACES + 4]))
    assert len(clean(both).t_pos_idx) == 8
    assert clean(both).v_color is None


# Parts


def boxes(*sides):
    """Cubes with these sides, 2 apart, each in the colour of its number."""
    made = []
    for k, side in enumerate(sides):
        cube = box([2 * k] * 3, [2 * k + side] * 3)
        made.append(Mesh(cube.v_pos, cube.t_pos_idx, np.full((8, 3), k / 10, np.float32)))
    return merge(made)


def sides(mesh):
    """The sides of the cubes of a mesh, in their order."""
    return [np.ptp(v[:, 0]) for v in mesh.v_pos.reshape(-1, 8, 3)]


def test_crumbs_go_and_parts_stay():
    mesh = boxes(0.09, 1, 0.11, 0.5)  # areas 0.0081, 1, 0.0121, 0.25 of the largest
    kept = largest_parts(mesh)
    np.testing.assert_allclose(sides(kept), [1, 0.11, 0.5], rtol=1e-5)
    np.testing.assert_array_equal(kept.v_color[::8, 0], np.float32([0.1, 0.2, 0.3]))
    np.testing.assert_allclose(sides(largest_parts(mesh, crumb=0.02)), [1, 0.5], rtol=1e-5)


@pytest.mark.parametrize("count, expected", [(1, [1]), (2, [1, 0.5]), (9, [0.09, 1, 0.11, 0.5])])
def test_so_many_of_the_largest(count, expected):
    kept = largest_parts(boxes(0.09, 1, 0.11, 0.5), count)
    np.testing.assert_allclose(sides(kept), expected, rtol=1e-5)


def test_one_part_is_left_as_it_is():
    mesh = icosphere(1)
    assert largest_parts(mesh) is mesh


# Holes


def solid(mesh):
    return trimesh.Trimesh(mesh.v_pos, mesh.t_pos_idx, process=False)


def test_holes_are_closed_and_turned_outward():
    whole = box([0, 0, 0], [1, 2, 3])
    color = np.linspace(0, 1, 24, dtype=np.float32).reshape(8, 3)
    opened = Mesh(whole.v_pos, whole.t_pos_idx[4:], color)  # without x = 0 and x = 1
    assert not solid(opened).is_watertight
    closed = fill_holes(opened)
    assert solid(closed).is_watertight and solid(closed).is_winding_consistent
    assert solid(closed).volume == pytest.approx(6)
    np.testing.assert_array_equal(closed.t_pos_idx[:8], opened.t_pos_idx)
    assert len(closed.v_color) == len(closed.v_pos) > 8
    low, high = color.min(axis=0), color.max(axis=0)
    assert ((closed.v_color[8:] > low) & (closed.v_color[8:] < high)).all()


def test_two_holes_that_touch_are_two():
    ball = icosphere(2)
    around = np.nonzero((ball.t_pos_idx == ball.t_pos_idx[0, 0]).any(axis=1))[0]
    pair = [
        around[0],
        next(f for f in around if len(np.intersect1d(*ball.t_pos_idx[[around[0], f]])) == 1),
    ]
    opened = Mesh(ball.v_pos, np.delete(ball.t_pos_idx, pair, axis=0))
    closed = fill_holes(opened)
    assert len(closed.t_pos_idx) == len(opened.t_pos_idx) + 6
    assert solid(closed).is_watertight and solid(closed).is_winding_consistent


def test_what_is_closed_stays():
    ball = icosphere(2)
    closed = fill_holes(ball)
    np.testing.assert_array_equal(closed.t_pos_idx, ball.t_pos_idx)
    np.testing.assert_array_equal(closed.v_pos, ball.v_pos)
