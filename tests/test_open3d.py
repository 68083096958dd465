"""What Open3D does: distances, surfaces of objects that are only points, repairs.

Most of these tests skip where Open3D is not installed.
"""

import builtins
import importlib.util
import json
import sys

import numpy as np
import pytest
import trimesh
from export_samples import write_run
from glb_samples import container

from sdtool.cli import run
from sdtool.errors import MissingDependencyError, ObjectError
from sdtool.geometry import open3d_tools
from sdtool.geometry.meshes import Mesh
from sdtool.geometry.open3d_tools import Points, repair, surface_of
from sdtool.lifting import initial
from sdtool.meshfiles import load_mesh
from sdtool.meshfiles.limits import Limits
from sdtool.meshfiles.points import read_points

needs_open3d = pytest.mark.skipif(
    importlib.util.find_spec("open3d") is None, reason="Open3D is not installed"
)
needs_igl = pytest.mark.skipif(importlib.util.find_spec("igl") is None, reason="no libigl")
AXES = np.array([0.5, 0.3, 0.4])


def ball(radius=0.5, level=3, centre=(0, 0, 0)):
    """(V, 3) float32 and (F, 3) int32 of a sphere."""
    made = trimesh.creation.icosphere(level, radius=radius)
    return (
        (np.asarray(made.vertices) + centre).astype(np.float32),
        np.asarray(made.faces, np.int32),
    )


def cloud(count=800, seed=0):
    """(N, 3) points of an ellipsoid with the half axes `AXES`, and their normals."""
    points = np.random.default_rng(seed).normal(size=(count, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    normal = points / AXES
    return (points * AXES).astype(np.float32), normal / np.linalg.norm(normal, axis=1)[:, None]


def write_ply(path, points, color=False):
    head = "ply\nformat ascii 1.0\n" + f"element vertex {len(points)}\n"
    head += "".join(f"property float {axis}\n" for axis in "xyz")
    head += "".join(f"property uchar {name}\n" for name in ("red", "green", "blue")) * color
    rows = [" ".join(f"{x:.6f}" for x in p) + " 255 0 0" * color for p in points]
    path.write_text(head + "end_header\n" + "\n".join(rows) + "\n")
    return path


def write_point_glb(path, points, **node):
    """A GLB with one primitive of mode POINTS."""
    low, high = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    accessor = {"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": len(points)}
    tree = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, **node}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "mode": 0}]}],
        "accessors": [{**accessor, "min": low, "max": high}],
        "bufferViews": [{"buffer": 0, "byteLength": points.nbytes}],
        "buffers": [{"byteLength": points.nbytes}],
    }
    path.write_bytes(container(tree, points.tobytes()))
    return path


# Distances

ASKED = np.random.default_rng(1).uniform(-0.7, 0.7, (4000, 3)).astype(np.float32)


@needs_igl
def test_libigl_s_distance_is_exact_where_parts_overlap():
    """Two balls of radius 0.3 around (∓0.1, 0, 0); a third one that is the first again."""
    parts = [ball(0.3, 4, (x, 0, 0)) for x in (-0.1, 0.1, -0.1)]
    v_pos = np.concatenate([v for v, _ in parts])
    faces = np.concatenate([f + n * len(v) for n, (v, f) in enumerate(parts)])
    distance = initial.by_winding(ASKED, v_pos, faces)
    away = [np.linalg.norm(ASKED - [x, 0, 0], axis=1) - 0.3 for x in (-0.1, 0.1)]
    to_surface = np.minimum(*np.abs(away))  # whichever ball's, also within the other one
    inside = np.minimum(*away) < 0
    clear = to_surface > 0.01
    assert np.abs(np.abs(distance) - to_surface).max() < 2e-3
    assert ((distance < 0) == inside)[clear].all()


@needs_open3d
def test_open3d_s_distance_is_that_of_a_closed_ball():
    distance = open3d_tools.signed_distance(ASKED, *ball(0.5, 4))
    assert np.abs(distance - (np.linalg.norm(ASKED, axis=1) - 0.5)).max() < 2e-3


@needs_open3d
@needs_igl
def test_with_holes_libigl_is_right_more_often_than_open3d():
    """Why it is the default: a box without its lid."""
    box = trimesh.creation.box((1, 0.6, 0.8)).subdivide().subdivide()
    v_pos = np.asarray(box.vertices, np.float32)
    faces = np.asarray(box.faces[box.triangles_center[:, 1] < 0.2999], np.int32)
    inside = (np.abs(ASKED) < np.array([0.5, 0.3, 0.4])).all(axis=1)
    rates = {}
    for measure in (initial.by_winding, open3d_tools.signed_distance):
        distance = measure(ASKED, v_pos, faces)
        clear = np.abs(distance) > 0.02
        rates[measure] = ((distance < 0) == inside)[clear].mean()
    assert rates[initial.by_winding] > 0.99 > 0.95 > rates[open3d_tools.signed_distance]


def hide(monkeypatch, *names):
    """Make these packages impossible to import."""
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] in names:
            raise ImportError(f"No module named {name!r}")
        return real(name, *args, **kwargs)

    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    open3d_tools.library.cache_clear()


@needs_open3d
def test_without_libigl_open3d_measures_and_that_is_said(monkeypatch, capsys):
    hide(monkeypatch, "igl")
    distance = initial._signed_distance(ASKED[:50], *ball())
    assert np.abs(distance - (np.linalg.norm(ASKED[:50], axis=1) - 0.5)).max() < 0.01
    assert "libigl is not installed: Open3D measures" in capsys.readouterr().err


def test_without_either_the_cure_is_named(monkeypatch):
    hide(monkeypatch, "igl", "open3d")
    with pytest.raises(MissingDependencyError, match=r"pip install 'sdtool\[init\]'"):
        initial._signed_distance(ASKED[:5], *ball())
    with pytest.raises(MissingDependencyError, match=r"pip install 'sdtool\[open3d\]'"):
        surface_of(Points(cloud(50)[0]), "poisson", "x")
    open3d_tools.library.cache_clear()


def test_commands_say_before_their_work_that_open3d_is_missing(monkeypatch, tmp_path, capsys):
    hide(monkeypatch, "open3d")
    path = write_ply(tmp_path / "points.ply", cloud(20)[0])
    out = ["--out", str(tmp_path / "out")]
    write_run(tmp_path / "run")
    for command in (
        ["render-ccm", str(tmp_path), *out, "--surface-points", "poisson"],
        ["lift", "a ball", "--init", str(path), *out, "--surface-points", "pivot"],
    ):
        assert run(command) != 0
        assert "pip install 'sdtool[open3d]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    open3d_tools.library.cache_clear()


# Points


def test_points_are_read_from_ply_and_glb(tmp_path):
    points, _ = cloud(40)
    found = read_points(write_ply(tmp_path / "a.ply", points, color=True), Limits())
    assert np.allclose(found.v_pos, points, atol=1e-6) and found.v_normal is None
    assert (found.v_color == [1, 0, 0]).all()
    path = write_point_glb(tmp_path / "a.glb", points, translation=[1, 2, 3], scale=[2, 2, 2])
    found = read_points(path, Limits())
    assert np.allclose(found.v_pos, points * 2 + [1, 2, 3], atol=1e-6)
    with pytest.raises(ObjectError, match="40 elements, over the limit of 30"):
        read_points(path, Limits(triangles=10))
    with pytest.raises(ObjectError, match="a.ply has 40 points, over the limit of 30"):
        read_points(tmp_path / "a.ply", Limits(triangles=10))


def test_points_are_refused_unless_asked_for(tmp_path):
    for path in (
        write_ply(tmp_path / "a.ply", cloud(40)[0]),
        write_point_glb(tmp_path / "a.glb", cloud(40)[0]),
    ):
        with pytest.raises(ObjectError) as caught:
            load_mesh(path)
        assert caught.value.reason == "no-triangles"


@needs_open3d
@pytest.mark.parametrize("method", ["poisson", "pivot"])
@pytest.mark.parametrize("given", [True, False])
def test_the_surface_of_points_is_the_one_they_lie_on(method, given):
    points, normal = cloud()
    red = np.tile(np.float32([1, 0, 0]), (len(points), 1))
    made = surface_of(Points(points, normal if given else None, red), method, "x")
    assert np.abs(np.linalg.norm(made.v_pos / AXES, axis=1) - 1).max() < 0.05
    mesh = trimesh.Trimesh(made.v_pos, made.t_pos_idx, process=False)
    outward = np.einsum("ij,ij->i", mesh.face_normals, mesh.triangles_center)
    assert (outward > 0).mean() > 0.97
    assert mesh.area == pytest.approx(1.981, rel=0.05)  # of the ellipsoid
    assert (made.v_color == [1, 0, 0]).all()
    again = surface_of(Points(points, normal if given else None, red), method, "x")
    assert np.array_equal(made.v_pos, again.v_pos)


@needs_open3d
def test_poisson_makes_nothing_up_far_from_the_points():
    points, normal = cloud(3000)
    half = points[:, 1] < 0
    made = surface_of(Points(points[half], normal[half]), "poisson", "x")
    assert made.v_pos[:, 1].max() < 0.1


@needs_open3d
def test_too_few_points_or_none_at_all_are_a_failure_of_that_object():
    for points in (np.zeros((50, 3), np.float32), cloud(15)[0]):
        with pytest.raises(ObjectError) as caught:
            surface_of(Points(points), "poisson", "x")
        assert caught.value.reason == "too-few-points"
    flawed = cloud(50)[0]
    flawed[3] = np.nan
    with pytest.raises(ObjectError, match="NaN"):
        surface_of(Points(flawed), "pivot", "x")


@needs_open3d
@pytest.mark.slow
def test_render_ccm_and_init_take_points(tmp_path, capsys):
    (tmp_path / "objs").mkdir()
    path = write_ply(tmp_path / "objs" / "points.ply", cloud(300)[0], color=True)
    write_point_glb(tmp_path / "objs" / "cloud.glb", cloud(200, 1)[0])
    small = ["--views", "2", "--size", "16", "--workers", "1", "--previews", "0"]
    command = ["render-ccm", str(tmp_path / "objs"), "--out", str(tmp_path / "ccm"), *small]
    assert run(command) == 1 and "2 no-triangles" in capsys.readouterr().err
    assert run([*command, "--overwrite", "--surface-points", "poisson"]) == 0
    record = json.loads((tmp_path / "ccm" / "stage.json").read_text())
    assert record["counts"] == {"ok": 2, "failed": 0}
    assert record["params"]["surface_points"] == "poisson"
    sdf = initial.initial_sdf(str(path), 12, 0.6, "poisson").numpy()
    assert sdf[6, 6, 6] == pytest.approx(-0.3, abs=0.02)  # the middle; y is the shortest axis


# Repairs


@needs_open3d
def test_repair_closes_holes_and_leaves_two_faces_to_an_edge():
    v_pos, faces = ball()
    v_pos = np.concatenate([v_pos, [[0, 0.8, 0]]]).astype(np.float32)
    fin = np.array([[faces[0, 0], faces[0, 1], len(v_pos) - 1]], np.int32)
    color = np.linspace(0, 1, 3 * len(v_pos)).reshape(-1, 3).astype(np.float32)
    torn = Mesh(v_pos, np.concatenate([faces[:-40:1], fin]), color)
    made, done = repair(torn)
    assert (done.edges, done.removed, done.left) == (1, 1, 0)
    assert done.filled > 0 and str(done).startswith("1 edges of more than two faces lost 1 faces")
    mesh = trimesh.Trimesh(made.v_pos, made.t_pos_idx, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.125, rel=0.05)
    where = {tuple(p): c for p, c in zip(v_pos.tolist(), color.tolist(), strict=True)}
    kept = [where.get(tuple(p)) for p in made.v_pos.tolist()]
    assert kept[:600] == made.v_color[:600].tolist()
    whole, nothing = repair(Mesh(*ball()))
    assert np.array_equal(whole.t_pos_idx, ball()[1])
    assert (nothing.edges, nothing.removed, nothing.filled, nothing.left) == (0, 0, 0, 0)


@needs_open3d
@pytest.mark.slow
def test_export_repairs_what_it_writes(tmp_path, capsys):
    v_pos, faces = ball()
    color = np.full_like(v_pos, 0.5)
    lift = write_run(tmp_path / "run", v_pos, faces[10:], color)
    for repaired in (False, True):
        out = tmp_path / f"{repaired}.ply"
        command = ["export", str(lift), "--out", str(out), "--faces", "600"]
        assert run([*command, *["--repair"] * repaired]) == 0
        assert trimesh.load(out, process=False).is_watertight is repaired
    assert "faces fill holes\nrepaired what is left of it with --faces: " in capsys.readouterr().err
