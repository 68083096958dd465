"""Repairs: damaged shapes become closed bodies of the volume that they stood for."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from shape_samples import box, icosphere

from sdtool.bench.repairs import repairs
from sdtool.errors import MissingDependencyError
from sdtool.exporting.repairing import mended, repairer
from sdtool.exporting.soundness import soundness
from sdtool.exporting.sources import weld
from sdtool.geometry import manifolds
from sdtool.geometry.edges import edge_faults, thinned, turned_alike, without_sheets
from sdtool.geometry.meshes import Mesh, merge

UNIT = box([0, 0, 0], [1, 1, 1])
BALL = icosphere(3)
VOLUME = trimesh.Trimesh(BALL.v_pos, BALL.t_pos_idx).volume


def moved(mesh, *by):
    return mesh.with_positions(mesh.v_pos + np.float32(by))


def inside_out(mesh):
    return replace(mesh, t_pos_idx=mesh.t_pos_idx[:, ::-1].copy())


def without(mesh, gone):
    return replace(mesh, t_pos_idx=mesh.t_pos_idx[~gone])


def damaged():
    """Name → (a damaged mesh, the volume it stood for, how far a repair may miss it)."""
    rng = np.random.default_rng(0)
    middle = BALL.v_pos[BALL.t_pos_idx].mean(axis=1)
    count = len(BALL.t_pos_idx)
    turned = np.where((rng.random(count) < 0.1)[:, None], BALL.t_pos_idx[:, ::-1], BALL.t_pos_idx)
    fin = np.array([[*BALL.t_pos_idx[0][:2], len(BALL.v_pos)]], np.int32)
    above = np.append(BALL.v_pos, [[0, 0.8, 0]], axis=0).astype(np.float32)
    return {
        "half a ball": (without(BALL, middle[:, 1] > 0), VOLUME / 2, 0.1),
        "a ball with holes": (without(BALL, rng.random(count) < 0.05), VOLUME, 0.01),
        "a box without its lid": (without(UNIT, np.arange(12) > 9), 1, 1e-6),
        "faces turned over": (replace(BALL, t_pos_idx=turned), VOLUME, 1e-6),
        "inside out": (inside_out(BALL), VOLUME, 1e-6),
        "a fin": (Mesh(above, np.append(BALL.t_pos_idx, fin, axis=0)), VOLUME, 1e-6),
        "the same box twice": (merge([UNIT, UNIT]), 1, 1e-6),
        "boxes that overlap": (merge([UNIT, moved(UNIT, 0.5, 0.5, 0.5)]), 2 - 0.125, 1e-6),
        "boxes that share a wall": (weld(merge([UNIT, moved(UNIT, 1, 0, 0)])), 2, 1e-6),
        "boxes that share an edge": (weld(merge([UNIT, moved(UNIT, 1, 1, 0)])), 2, 1e-6),
        "a hollow box": (
            merge([UNIT, inside_out(box([0.2] * 3, [0.8] * 3))]),
            1 - 0.6**3,
            1e-6,
        ),
        "two boxes, one inside out": (merge([UNIT, inside_out(moved(UNIT, 2, 0, 0))]), 2, 1e-6),
        "a vertex on one side of an edge": (with_a_vertex_on_one_side(), 1, 1e-6),
    }


def with_a_vertex_on_one_side():
    """A box of which one face at the edge from vertex 0 to vertex 1 is cut in two, the other is not."""
    cut = next(k for k, f in enumerate(UNIT.t_pos_idx) if {0, 1} <= set(f.tolist()))
    face, rest = UNIT.t_pos_idx[cut], np.delete(UNIT.t_pos_idx, cut, axis=0)
    halves = [np.where(face == end, len(UNIT.v_pos), face) for end in (0, 1)]
    middle = UNIT.v_pos[:2].mean(axis=0, keepdims=True)
    return Mesh(
        np.append(UNIT.v_pos, middle, axis=0), np.append(rest, halves, axis=0).astype(np.int32)
    )


@pytest.mark.parametrize("name", damaged())
def test_what_is_damaged_becomes_a_closed_body(name):
    mesh, volume, miss = damaged()[name]
    made, done = mended(mesh)
    assert edge_faults(made.t_pos_idx) == (0, 0) and done.left == 0, done
    solid = trimesh.Trimesh(made.v_pos, made.t_pos_idx, process=False)
    assert solid.is_watertight and solid.is_winding_consistent
    assert solid.volume == pytest.approx(volume, rel=miss)


def test_what_is_sound_is_left_alone():
    made, done = mended(BALL)
    assert made.v_pos is BALL.v_pos or np.array_equal(made.v_pos, BALL.v_pos)
    assert np.array_equal(made.t_pos_idx, BALL.t_pos_idx)
    assert str(done) == "0 faces removed, 0 faces fill holes"


def test_colours_come_through_and_what_was_done_is_told():
    red, blue = (np.tile(np.float32(c), (8, 1)) for c in ([1, 0, 0], [0, 0, 1]))
    boxes = [replace(UNIT, v_color=red), replace(moved(UNIT, 0.5, 0.5, 0.5), v_color=blue)]
    made, done = mended(merge(boxes))
    assert str(done) == "0 faces removed, 0 faces fill holes, 2 parts united"
    low = (made.v_pos == 0).any(axis=1)
    assert (made.v_color[low] == [1, 0, 0]).all() and made.v_color[~low, 2].max() == 1
    lidless = without(boxes[0], np.arange(12) > 9)
    assert (mended(lidless)[0].v_color == [1, 0, 0]).all() and mended(lidless)[1].filled == 2


def test_a_sheet_is_closed_without_a_thickness_which_the_report_says():
    sheet = Mesh(UNIT.v_pos, UNIT.t_pos_idx[:2])
    made, done = mended(sheet)
    assert (done.filled, done.left) == (2, 0)
    found = soundness(made, 1.0)
    assert found.watertight and found.volume == found.walls.thinnest == 0


def test_caps_lie_in_the_plane_of_the_hole_whatever_its_outline():
    """An L of area 0.75, in the plane x = y."""
    outline = np.array([[0, 0], [1, 0], [1, 0.5], [0.5, 0.5], [0.5, 1], [0, 1]])
    border = np.stack([outline[:, 0] / 2**0.5, outline[:, 0] / 2**0.5, outline[:, 1]], axis=1)
    made = manifolds.cap(border)
    solid = trimesh.Trimesh(border, made, process=False)
    assert len(made) == 4 and solid.area == pytest.approx(0.75)
    assert np.ptp(solid.face_normals, axis=0) == pytest.approx([0, 0, 0], abs=1e-9)
    crossing = border[[0, 1, 3, 2, 4, 5]]
    assert manifolds.cap(np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]])) is None
    found = manifolds.cap(crossing)
    assert found is None or len(found) == 4


def test_a_cut_leaves_a_flat_face_below():
    made = manifolds.cut_below(moved(BALL, 0, 0.5, 0), 0.25)
    solid = trimesh.Trimesh(made.v_pos, made.t_pos_idx, process=False)
    assert solid.is_watertight and solid.bounds[0, 1] == pytest.approx(0.25)
    flat = solid.face_normals[:, 1] < -1 + 1e-6
    assert solid.area_faces[flat].sum() == pytest.approx(np.pi * (0.5**2 - 0.25**2), rel=0.03)
    assert manifolds.cut_below(without(UNIT, np.arange(12) > 9), 0.5) is None


# The parts of it


def test_a_wall_for_both_its_sides_stays_once_where_it_closes_the_rest():
    """A box with a lid that is there twice, by another of its corners a billionth away; a box that is all
    twice; and a box with a pane on its edge, which goes."""
    lid, walls = UNIT.t_pos_idx[:2], UNIT.t_pos_idx
    for faces in (np.concatenate([walls, lid[:, ::-1]]), np.concatenate([walls, walls[:, ::-1]])):
        found = without_sheets(faces)
        assert len(found) == 12 and edge_faults(found) == (0, 0)
        moved_apart = UNIT.v_pos[faces].reshape(-1, 3) * np.float32(1 + 1e-7)
        made, done = mended(Mesh(moved_apart, np.arange(len(moved_apart)).reshape(-1, 3)))
        solid = trimesh.Trimesh(made.v_pos, made.t_pos_idx, process=False)
        assert solid.is_watertight and abs(solid.volume) == pytest.approx(1, rel=1e-5)
        assert (done.filled, done.left) == (0, 0) and "thickness" not in str(done)
    edge = walls[0, :2]
    far = UNIT.v_pos[edge] + np.float32([0, 0, 3]) * np.sign(UNIT.v_pos[edge].mean())
    pane = np.array([[edge[0], edge[1], 8], [edge[1], 9, 8]], np.int32)
    both = Mesh(
        np.concatenate([UNIT.v_pos, far]),
        np.concatenate([walls, pane, pane[:, ::-1]]).astype(np.int32),
    )
    made, done = mended(both)
    assert len(made.t_pos_idx) == 12 and "of the depth" in str(done)


def test_faces_back_to_back_go_in_pairs():
    a, b = [0, 1, 2], [2, 1, 0]
    for faces, left in (([a, b], 0), ([a, a, b], 1), ([a, [1, 2, 0]], 2), ([[1, 0, 2], a, b], 1)):
        assert len(without_sheets(np.array(faces, np.int32))) == left
    assert np.array_equal(without_sheets(UNIT.t_pos_idx), UNIT.t_pos_idx)


def test_faces_turn_as_most_of_their_part_do():
    two = merge([BALL, moved(inside_out(BALL), 2, 0, 0)]).t_pos_idx
    torn = two.copy()
    torn[::9] = torn[::9, ::-1]
    made = turned_alike(torn)
    start = np.argmin(made, axis=1)[:, None]
    turned = np.take_along_axis(made, (start + np.arange(3)) % 3, axis=1)
    start = np.argmin(two, axis=1)[:, None]
    assert np.array_equal(turned, np.take_along_axis(two, (start + np.arange(3)) % 3, axis=1))
    moebius = np.array([[0, 1, 2], [1, 3, 2], [2, 3, 4], [3, 0, 4], [4, 0, 1]], np.int32)
    assert turned_alike(moebius).shape == (5, 3)


def test_of_faces_that_do_not_pair_off_the_smallest_goes_or_what_hangs_loose():
    faces = np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4]], np.int32)
    assert thinned(faces, np.array([1.0, 2, 0.5])).tolist() == [[0, 1, 2], [1, 0, 3]]
    fin = np.append(UNIT.t_pos_idx, [[*UNIT.t_pos_idx[0][:2], 8]], axis=0)
    assert np.array_equal(thinned(fin, np.append(np.ones(12), 9)), UNIT.t_pos_idx)
    pair = np.append(faces, [[1, 0, 5]], axis=0)
    assert len(thinned(pair, np.ones(4))) == 4


# Without the library


def test_open3d_serves_where_it_alone_is_installed(monkeypatch):
    from sdtool.geometry import open3d_tools

    monkeypatch.setitem(sys.modules, "manifold3d", None)
    monkeypatch.setattr(open3d_tools, "library", lambda purpose: None)
    assert repairer() is open3d_tools.repair
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "manifold3d", None)
    monkeypatch.setitem(sys.modules, "open3d", None)
    open3d_tools.library.cache_clear()
    with pytest.raises(MissingDependencyError) as caught:
        repairer()
    open3d_tools.library.cache_clear()
    assert "sdtool[print]" in str(caught.value) and "sdtool[open3d]" in str(caught.value)


def test_the_bench_compares_both_ways(tmp_path):
    trimesh.creation.box().export(tmp_path / "box.stl")
    shape, whole, ours, theirs = (list(c.cells) for c in repairs(tmp_path, [str(tmp_path)]).columns)
    row = shape.index("two boxes that share a wall")
    assert whole[row] == ours[row] == "2.000" and (theirs[row] == "not installed" or theirs[row])
    assert shape[-1].startswith("1 models of ") and ours[-1].startswith("1 closed, ")
