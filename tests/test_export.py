"""export: a lift's directory becomes one clean file that says where it came from.

What textures hold is the matter of test_export_textures.py and test_bake.py.
"""

import json
import os
import struct

import numpy as np
import pytest
import trimesh
from export_samples import CANONICAL, COLOR, FACES, V_POS, export, write_run
from validator import validator_reports

from sdtool import __version__
from sdtool.geometry.meshes import face_normals
from sdtool.meshfiles import load_mesh, read_glb


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


PLAIN = ("--texture-size", "0")  # vertex colours
SMALL = ("--texture-size", "64")


def asset(path):
    """The `asset` object of a GLB file."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<I", data, 12)
    return json.loads(data[20 : 20 + length])["asset"]


def test_a_glb_holds_the_canonical_shape_and_its_colours(run, capsys):
    code, stdout, stderr = export(capsys, run, *PLAIN)
    assert (code, stdout) == (0, f"{run / 'model.glb'}\n")
    assert "4 vertices, 4 faces, vertex colours" in stderr
    mesh = read_glb(run / "model.glb")
    np.testing.assert_allclose(mesh.v_pos, CANONICAL, atol=1e-7)
    np.testing.assert_array_equal(mesh.t_pos_idx, FACES)
    np.testing.assert_allclose(mesh.v_color, COLOR, atol=1e-3)  # 16 bits linear, dark ones too
    low, high = mesh.bounds()
    np.testing.assert_allclose(low + high, 0, atol=1e-7)
    assert (high - low).max() == pytest.approx(1)


def test_front_and_outside_stay_where_they_were(run, capsys):
    export(capsys, run, *PLAIN)
    mesh = read_glb(run / "model.glb")
    tip = mesh.v_pos[np.argmax(mesh.v_color[:, 0])]
    assert tip[2] == mesh.v_pos[:, 2].max() and tip[1] == mesh.v_pos[:, 1].min()
    outward = mesh.v_pos[mesh.t_pos_idx].mean(axis=1) - mesh.v_pos.mean(axis=0)
    assert ((face_normals(mesh) * outward).sum(axis=1) > 0).all()


def test_the_colour_in_the_file_is_linear(run, capsys):
    export(capsys, run, *PLAIN)
    data = (run / "model.glb").read_bytes()
    (length,) = struct.unpack_from("<I", data, 12)
    tree = json.loads(data[20 : 20 + length])
    accessor = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    start = 28 + length + tree["bufferViews"][accessor["bufferView"]]["byteOffset"]
    stored = np.frombuffer(data, np.uint16, 16, start).reshape(4, 4)[:, :3] / 65535
    assert stored[1, 0] == pytest.approx(((0.5 + 0.055) / 1.055) ** 2.4, abs=1e-4)
    assert stored[0, 0] == pytest.approx(0.02 / 12.92, abs=1e-4)


@pytest.mark.slow
def test_the_file_says_what_it_is(run, capsys):
    export(capsys, run, *SMALL)
    said = asset(run / "model.glb")
    assert (said["version"], said["generator"]) == ("2.0", f"sdtool {__version__}")
    expected = {"title": "a red arrow", "prompt": "a red arrow", "seed": 7, "sdtool": "0.0.9"}
    assert said["extras"].items() >= (expected | {"agp": "tiny", "preset": "tiny-cpu"}).items()


def test_folders_of_priors_are_named_without_their_place(tmp_path, capsys):
    params = {"prompt": "é", "seed": 0, "agp": str(tmp_path / "mine"), "base": ""}
    inputs = {"agp": {"path": str(tmp_path / "mine"), "digest": "0123456789abcdef"}}
    priors = {"agp": str(tmp_path / "mine"), "base": str(tmp_path / "sd")}
    run = write_run(tmp_path / "run", params=params, priors=priors, inputs=inputs)
    assert export(capsys, run, *SMALL)[0] == 0
    said = asset(run / "model.glb")["extras"]
    assert (said["agp"], said["base"]) == ("mine (0123456789abcdef)", "sd")
    assert str(tmp_path).encode() not in (run / "model.glb").read_bytes()


@pytest.mark.slow
def test_khronos_validator_finds_nothing(run, tmp_path, capsys):
    assert export(capsys, run)[0] == 0
    rng = np.random.default_rng(5)  # a soup with every kind of dirt
    faces = rng.integers(0, 400, (2000, 3)).astype(np.int32)
    color = rng.random((500, 3), np.float32)
    dirty = write_run(tmp_path / "b", rng.random((500, 3), np.float32), faces, color)
    assert export(capsys, dirty, *PLAIN)[0] == 0
    paths = [run / "model.glb", dirty / "model.glb"]
    for number, options in enumerate([("--texture-size", "128"), ("--faces", "500", *PLAIN)]):
        paths.append(tmp_path / f"{number}.glb")
        assert export(capsys, dirty, *options, "--out", paths[-1])[0] == 0
    for report in validator_reports(*paths):
        assert (report["numErrors"], report["numWarnings"]) == (0, 0), report


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".PLY"])
def test_other_formats_hold_the_same_object(run, tmp_path, suffix, capsys):
    out = tmp_path / "new" / f"arrow{suffix}"
    assert export(capsys, run, "--out", out, *PLAIN)[:2] == (0, f"{out}\n")
    mesh = load_mesh(out)
    np.testing.assert_allclose(mesh.v_pos, CANONICAL, atol=1e-6)
    np.testing.assert_array_equal(mesh.t_pos_idx, FACES)
    np.testing.assert_allclose(mesh.v_color, COLOR, atol=0.5 / 255 + 1e-6)
    assert f"sdtool {__version__}: a red arrow".encode() in out.read_bytes()
    assert export(capsys, run, "--out", out, *PLAIN)[2] == f"{out} is already up to date\n"


def test_json_tells_the_counts(run, capsys):
    code, stdout, _ = export(capsys, run, "--json", *PLAIN)
    said = json.loads(stdout)
    size = (run / "model.glb").stat().st_size
    assert (code, said["path"]) == (0, str(run / "model.glb"))
    assert (said["vertices"], said["faces"], said["bytes"]) == (4, 4, size)


# Cleaning


def test_dirt_is_swept_out(tmp_path, capsys):
    v_pos = np.concatenate([[[50, 50, 50]], V_POS, V_POS[:1], [[0, 2, -1]]]).astype(np.float32)
    color = np.concatenate([COLOR[:1], COLOR, COLOR[:1], COLOR[:1]])
    dirt = [[1, 1, 2], [1, 5, 2], [1, 6, 2], [3, 2, 1]]  # 5 = 1 in place; 6 lies between 1 and 2
    faces = np.concatenate([FACES + 1, dirt]).astype(np.int32)
    run = write_run(tmp_path / "run", v_pos, faces, color)
    assert export(capsys, run, *PLAIN)[0] == 0
    mesh = read_glb(run / "model.glb")
    np.testing.assert_allclose(mesh.v_pos, CANONICAL, atol=1e-7)  # not drawn in by (50, 50, 50)
    np.testing.assert_array_equal(mesh.t_pos_idx, FACES)
    np.testing.assert_allclose(mesh.v_color, COLOR, atol=1e-3)


# Again


def test_again_leaves_the_file_alone(run, capsys):
    export(capsys, run, *SMALL)
    path = run / "model.glb"
    os.utime(path, (1, 1))
    code, stdout, stderr = export(capsys, run, *SMALL)
    assert (code, stdout, stderr) == (0, f"{path}\n", f"{path} is already up to date\n")
    assert path.stat().st_mtime == 1
    assert json.loads(export(capsys, run, *SMALL, "--json")[1])["reused"] is True


@pytest.mark.parametrize("name", ["model.glb", "model.obj", "model.ply"])
def test_our_own_older_file_is_replaced_and_no_other(run, tmp_path, name, capsys):
    path = tmp_path / name
    export(capsys, run, "--out", path, *SMALL)
    write_run(run, v_pos=V_POS * np.float32([1, 2, 1]))
    assert export(capsys, run, "--out", path, *SMALL)[0] == 0
    assert load_mesh(path).bounds()[1, 1] == pytest.approx(0.1)
    trimesh.creation.box().export(path)
    before = path.read_bytes()
    code, stdout, stderr = export(capsys, run, "--out", path, *SMALL)
    assert (code, stdout) == (2, "") and str(path) in stderr and "--overwrite" in stderr
    assert path.read_bytes() == before
    assert export(capsys, run, "--out", path, *SMALL, "--overwrite")[0] == 0
    assert load_mesh(path).bounds()[1, 1] == pytest.approx(0.1)
    assert [p.name for p in tmp_path.iterdir() if p.suffix == path.suffix] == [name]


# Refusals


@pytest.mark.parametrize(
    "name, hint", [("a.fbx", ".glb, .obj, .ply"), ("plain", ".glb"), ("there.glb", "directory")]
)
def test_a_name_that_cannot_be_written(run, tmp_path, name, hint, capsys):
    (tmp_path / "there.glb").mkdir()
    code, _, stderr = export(capsys, run, "--out", tmp_path / name)
    assert code == 2 and name in stderr and hint in stderr


@pytest.mark.parametrize(
    "options, hint",
    [(["--texture-size", "7"], "at least 32"), (["--faces", "2"], "at least 4")],
)
def test_sizes_that_make_no_sense(run, options, hint, capsys):
    code, stdout, stderr = export(capsys, run, *options)
    assert (code, stdout) == (2, "") and options[0] in stderr and hint in stderr
    assert not (run / "model.glb").exists()


def refused(capsys, run, *words):
    """Export must fail with one sentence that holds `words` and the cure, and write nothing."""
    code, stdout, stderr = export(capsys, run)
    assert (code, stdout) == (1, "") and stderr.count("\n") == 1
    for word in (str(run), "sdtool lift", *words):
        assert word in stderr, stderr
    assert not (run / "model.glb").exists()


def test_what_is_no_finished_lift(tmp_path, capsys):
    refused(capsys, tmp_path / "absent", "does not exist")
    refused(capsys, tmp_path, "stage.json")
    refused(capsys, write_run(tmp_path / "other", stage="render-ccm"), "render-ccm")
    unfinished = write_run(tmp_path / "unfinished")
    (unfinished / "stage.json").rename(unfinished / "stage.partial.json")
    refused(capsys, unfinished, "unfinished", "a red arrow")


@pytest.mark.parametrize("name", ["shape.safetensors", "material.safetensors"])
def test_a_missing_or_broken_file_is_named(run, name, capsys):
    whole = (run / name).read_bytes()
    for broken in (whole[:-5], b"", b"\xff" * 40):
        (run / name).write_bytes(broken)
        refused(capsys, run, name, "cannot be read")
    (run / name).unlink()
    refused(capsys, run, name, "missing")


@pytest.mark.parametrize(
    "change, words",
    [
        ({"v_pos": np.where(V_POS == 4, np.nan, V_POS).astype(np.float32)}, ["NaN"]),
        ({"v_pos": np.where(V_POS == 4, np.inf, V_POS).astype(np.float32)}, ["infinite"]),
        ({"color": np.where(COLOR == 0.75, np.nan, COLOR).astype(np.float32)}, ["NaN", "colour"]),
        ({"faces": np.zeros((0, 3), np.int32)}, ["no triangles"]),
        ({"faces": FACES + 1}, ["index"]),
        ({"faces": FACES.astype(np.float32)}, ["t_pos_idx"]),
        ({"v_pos": V_POS[:, :2].copy()}, ["v_pos"]),
        ({"v_pos": np.ones((4, 3), np.float32)}, ["no size"]),
        ({"color": COLOR[:3].copy()}, ["3 colours for 4 vertices"]),
    ],
)
def test_a_shape_that_cannot_be_shown(tmp_path, change, words, capsys):
    refused(capsys, write_run(tmp_path / "run", **change), *words)


def test_only_slivers_are_nothing(tmp_path, capsys):
    run = write_run(tmp_path / "run", faces=np.array([[0, 1, 1], [2, 3, 3]], np.int32))
    code, _, stderr = export(capsys, run)
    assert code == 1 and "no triangle that has an area" in stderr and "--seed" in stderr


def test_what_cannot_be_written_is_known_before_the_work(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sdtool.exporting.decimation.decimate", None)  # what would come first
    (tmp_path / "file").write_text("")
    (tmp_path / "mine.glb").write_text("mine")
    (tmp_path / "my-color.png").write_text("mine")
    for name, hint in (
        ("file/a.glb", "file/a.glb cannot be written"),
        ("mine.glb", "sdtool did not write"),
        ("my.obj", "my-color.png"),
    ):
        code, _, stderr = export(capsys, run, "--out", tmp_path / name, "--texture-size", 64)
        assert code == 2 and hint in stderr and ".tmp" not in stderr and "--out" in stderr
    left = sorted(path.name for path in tmp_path.iterdir() if path != run)
    assert left == ["file", "mine.glb", "my-color.png"]
