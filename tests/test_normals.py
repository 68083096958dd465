"""Normals that files bring along: read, moved with their surface, drawn; flat where there are none."""

import numpy as np
import pytest
from glb_samples import CORNER, CORNER_FACES, Sample, matrices
from view_samples import box as written_box

from sdtool.geometry.cameras import orbit
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import Mesh, face_normals, merge, vertex_normals
from sdtool.geometry.normals import creased_normals, explicit_normals
from sdtool.meshfiles import load_mesh, read_glb, write_glb
from sdtool.rendering.maps import render_maps
from sdtool.viewing.subjects import read_subject

CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
CUBE_FACES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
     [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]], np.int32
)  # fmt: skip
TILTED = np.array([[0, 0.6, 0.8]], np.float32).repeat(4, axis=0)


def ball(rings=12, around=24):
    """(V, 3) and (F, 3) of a unit sphere."""
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, around + 1), np.linspace(0, np.pi, rings + 1))
    point = np.stack([np.sin(v) * np.sin(u), np.cos(v), np.sin(v) * np.cos(u)], -1).reshape(-1, 3)
    a = (np.arange(rings)[:, None] * (around + 1) + np.arange(around)).reshape(-1)
    below = a + around + 1
    faces = np.concatenate([np.stack([a, below, below + 1], 1), np.stack([a, below + 1, a + 1], 1)])
    return point.astype(np.float32), faces.astype(np.int32)


def seen_from_the_front(mesh, size=48):
    """(P, 3) normals of the pixels that show the mesh whole, and (P, 3) their canonical places."""
    camera = orbit(np.zeros(1), np.zeros(1), np.array([2.5]))
    canonical = to_canonical(mesh)
    maps = render_maps(canonical, camera, np.radians(40), size, ("normal", "ccm"), 1)
    whole = maps["normal"][..., 3] == 1
    return maps["normal"][whole][:, :3], maps["ccm"][whole][:, :3]


def test_the_file_s_normals_are_drawn(tmp_path):
    point, faces = ball()
    soup = point[faces].reshape(-1, 3)  # no two triangles share a vertex
    sample = Sample()
    sample.primitive(soup, vertex={"NORMAL": soup})
    normal, place = seen_from_the_front(read_glb(sample.save(tmp_path / "a.glb")))
    np.testing.assert_allclose(normal, place, atol=0.03)


def test_a_primitive_without_normals_is_flat(tmp_path):
    sample = Sample()
    sample.primitive(CUBE, CUBE_FACES)
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    assert len(mesh.v_pos) == 8 and not mesh.v_normal.any()
    normal, _ = seen_from_the_front(mesh)
    assert len(normal) > 200
    np.testing.assert_allclose(normal, np.tile([0, 0, 1], (len(normal), 1)), atol=1e-6)


@pytest.mark.parametrize("suffix", ["obj", "ply", "off", "stl"])
def test_a_cube_of_any_format_is_flat_and_a_ball_is_round(tmp_path, suffix):
    import trimesh

    trimesh.Trimesh(CUBE, CUBE_FACES, process=False).export(tmp_path / f"cube.{suffix}")
    normal, _ = seen_from_the_front(load_mesh(tmp_path / f"cube.{suffix}"))
    np.testing.assert_allclose(normal, np.tile([0, 0, 1], (len(normal), 1)), atol=1e-6)
    if suffix != "stl":  # whose triangles are all apart
        trimesh.creation.icosphere(3).export(tmp_path / f"ball.{suffix}")
        normal, place = seen_from_the_front(load_mesh(tmp_path / f"ball.{suffix}"))
        np.testing.assert_allclose(normal, place, atol=0.06)


def test_normals_turn_with_their_surface(tmp_path):
    scale, turn = [1, 1, 4], [0, np.sin(np.pi / 4), 0, np.cos(np.pi / 4)]  # 90° about +Y
    sample = Sample()
    sample.primitive(CORNER, CORNER_FACES, vertex={"NORMAL": TILTED})
    sample.tree["nodes"] = [{"mesh": 0, "scale": scale}]
    stretched = np.array([0, 0.6, 0.8 / 4]) / np.hypot(0.6, 0.2)
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    np.testing.assert_allclose(mesh.v_normal, [stretched] * 4, atol=1e-6)
    sample.tree["nodes"] = [{"mesh": 0, "rotation": turn}]
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    np.testing.assert_allclose(mesh.v_normal, [[0.8, 0.6, 0]] * 4, atol=1e-6)
    sample.tree["nodes"] = [{"mesh": 0, "scale": [1, 1, -1]}]  # mirrored: outside stays outside
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    np.testing.assert_allclose(mesh.v_normal, [[0, 0.6, -0.8]] * 4, atol=1e-6)


def test_normals_of_skins_and_morph_targets(tmp_path):
    turn = np.diag([1.0, 1, 1, 1])
    turn[:3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]  # 90° about +Y
    sample = Sample()
    joints, weights = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.float32)
    weights[:, 0] = 1
    vertex = {"NORMAL": TILTED, "JOINTS_0": joints, "WEIGHTS_0": weights}
    sample.primitive(CORNER, CORNER_FACES, vertex=vertex)
    bind = sample.accessor(matrices(np.eye(4)))
    sample.tree["skins"] = [{"joints": [1], "inverseBindMatrices": bind}]
    sample.tree["nodes"] = [{"mesh": 0, "skin": 0}, {"matrix": turn.T.reshape(-1).tolist()}]
    sample.tree["scenes"] = [{"nodes": [0, 1]}]
    mesh = read_glb(sample.save(tmp_path / "skin.glb"))
    np.testing.assert_allclose(mesh.v_normal, [[0.8, 0.6, 0]] * 4, atol=1e-6)
    sample = Sample()
    offset = sample.accessor(TILTED[:, [2, 1, 0]] - TILTED)
    more = {"targets": [{"NORMAL": offset}]}
    sample.primitive(CORNER, CORNER_FACES, vertex={"NORMAL": TILTED}, **more)
    sample.tree["meshes"][0]["weights"] = [1]
    mesh = read_glb(sample.save(tmp_path / "morph.glb"))
    np.testing.assert_allclose(mesh.v_normal, [[0.8, 0.6, 0]] * 4, atol=1e-6)


def test_normals_that_cannot_be_used_cost_themselves_alone(tmp_path):
    broken = TILTED.copy()
    broken[0], broken[1, 0] = 0, np.nan
    for normal, known in ((broken, [0, 0, 1, 1]), (TILTED[:3], [0] * 4), (TILTED[:, :2], [0] * 4)):
        sample = Sample()
        sample.primitive(CORNER, CORNER_FACES, vertex={"NORMAL": np.ascontiguousarray(normal)})
        mesh = read_glb(sample.save(tmp_path / "a.glb"))
        assert mesh.v_normal.any(axis=1).tolist() == list(map(bool, known))
    sample = Sample()
    packed = np.rint(TILTED * 127).astype(np.int8)
    sample.primitive(CORNER, CORNER_FACES, vertex={"NORMAL": packed})
    mesh = read_glb(sample.save(tmp_path / "a.glb"))
    np.testing.assert_allclose(mesh.v_normal, TILTED, atol=0.01)


def test_parts_with_and_without_normals_are_joined():
    plain, own = Mesh(CORNER, CORNER_FACES), Mesh(CORNER, CORNER_FACES, v_normal=TILTED)
    joined = merge([plain, own])
    np.testing.assert_array_equal(joined.v_normal[:4], vertex_normals(plain))
    np.testing.assert_array_equal(joined.v_normal[4:], TILTED)
    assert merge([plain, plain]).v_normal is None
    assert to_canonical(own).v_normal is TILTED and own.with_positions(CORNER).v_normal is None


def test_creases_and_explicit_normals():
    assert not creased_normals(Mesh(CUBE, CUBE_FACES)).v_normal.any()
    point, faces = ball()
    assert creased_normals(Mesh(point, faces)).v_normal[30:-30].any(axis=1).all()
    split = explicit_normals(creased_normals(Mesh(CUBE, CUBE_FACES)))
    assert len(split.v_pos) == 8 + 36
    np.testing.assert_allclose(
        split.v_normal[split.t_pos_idx], face_normals(split)[:, None].repeat(3, 1)
    )
    np.testing.assert_array_equal(split.v_pos[split.t_pos_idx], CUBE[CUBE_FACES])


def test_without_normals_they_are_not_read(tmp_path):
    path = written_box(tmp_path / "box.glb")
    assert load_mesh(path, normals=False).v_normal is None
    np.testing.assert_allclose(load_mesh(path).v_normal, vertex_normals(load_mesh(path)), atol=1e-6)


def test_a_page_shows_a_flat_cube_flat(tmp_path):
    import trimesh

    trimesh.Trimesh(CUBE, CUBE_FACES, process=False).export(tmp_path / "cube.obj")
    (tmp_path / "shown.glb").write_bytes(read_subject(tmp_path / "cube.obj").glb)
    shown = read_glb(tmp_path / "shown.glb")
    np.testing.assert_allclose(
        shown.v_normal[shown.t_pos_idx[:, 0]], face_normals(shown), atol=1e-6
    )


def test_a_mesh_with_normals_is_written_with_them(tmp_path):
    path = write_glb(tmp_path / "a.glb", Mesh(CORNER, CORNER_FACES, v_normal=TILTED))
    np.testing.assert_allclose(read_glb(path).v_normal, TILTED, atol=1e-6)
