"""export for printers and phones: each format as a reader sees it that shares nothing with the writer."""

import json
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from export_samples import COLOR, FACES, V_POS, export, write_run
from print_readers import read_stl, read_three_mf, read_usdz, stored_files
from shape_samples import box, icosphere

from sdtool import __version__
from sdtool.errors import UsageError
from sdtool.exporting.model_files import is_ours
from sdtool.exporting.palette import few_colors
from sdtool.exporting.sizes import metres
from sdtool.geometry import open3d_tools
from sdtool.geometry.ccm import turned_z_up
from sdtool.geometry.meshes import Mesh, Texture, merge
from sdtool.meshfiles import load_mesh, write_glb

# The arrow of test_export is 2 wide, 0.5 high and 5 deep, so with 80 mm of height 320 × 80 × 800 mm.
SIZE = np.array([320, 80, 800])
VOLUME = 1 / 3 * 0.5 * (2 * 0.5) * 5 * 160**3  # of a pyramid: a third of its back times its depth


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def made(capsys, run, name, *options):
    """The file that `sdtool export` wrote; its path."""
    out = run.parent / name
    code, stdout, stderr = export(capsys, run, "--out", out, *options)
    assert (code, stdout) == (0, f"{out}\n"), stderr
    return out


# Lengths


@pytest.mark.parametrize(
    "text, expected",
    [
        ("80mm", 0.08),
        ("8cm", 0.08),
        ("0.08m", 0.08),
        ("3in", 0.0762),
        (".5 IN", 0.0127),
        ("2e1mm", 0.02),
    ],
)
def test_lengths_have_units(text, expected):
    assert metres(text, "--height") == pytest.approx(expected)


@pytest.mark.parametrize(
    "text, hint",
    [
        ("80", "no unit; write 80mm"),
        ("tall", "such as 80mm"),
        ("-3mm", "such as"),
        ("8ft", "such as"),
    ]
    + [("0mm", "beyond"), ("1e9m", "beyond"), ("nanmm", "such as"), ("", "such as")],
)
def test_what_is_no_length_is_refused(text, hint):
    with pytest.raises(UsageError, match=hint) as caught:
        metres(text, "--height")
    assert caught.value.options == ("--height",)


# The same object in every format


def test_up_is_up_and_the_front_is_in_front_for_slicers():
    assert turned_z_up(np.array([1.0, 2, 3])).tolist() == [1, -3, 2]
    assert np.linalg.det(turned_z_up(np.eye(3))) == pytest.approx(1)


def test_an_stl_is_the_glb_in_millimetres(run, capsys):
    mesh = read_stl(made(capsys, run, "a.stl", "--height", "80mm"))
    np.testing.assert_allclose(mesh.bounds, [[0, 0, 0], SIZE[[0, 2, 1]]], rtol=1e-6)
    assert mesh.is_watertight and mesh.volume == pytest.approx(VOLUME)
    glb = load_mesh(made(capsys, run, "a.glb", "--height", "8cm", "--texture-size", 0))
    low = glb.bounds()[0]
    expected = turned_z_up((glb.v_pos - low) * 1000) + [0, 800, 0]
    found = mesh.vertices[np.lexsort(mesh.vertices.T)]
    np.testing.assert_allclose(found, expected[np.lexsort(expected.T)], atol=1e-3)
    tip = mesh.vertices[
        np.argmin(mesh.vertices[:, 1])
    ]  # the front: at the bed's near side, on the bed
    assert tip == pytest.approx([160, 0, 0], abs=1e-4)
    data = (run.parent / "a.stl").read_bytes()
    assert data.startswith(f"sdtool {__version__}: a red arrow ".encode())
    normals = np.frombuffer(data[84:], np.dtype([("n", "<f4", 3), ("r", "V38")]))["n"]
    np.testing.assert_allclose(normals, mesh.face_normals, atol=1e-5)


def test_an_stl_without_a_height_has_the_models_own_numbers(run, capsys):
    mesh = read_stl(made(capsys, run, "a.STL"))
    np.testing.assert_allclose(mesh.extents, [0.4, 1, 0.1], rtol=1e-6)


def test_a_3mf_has_the_glbs_shape_and_colours(run, capsys):
    mesh, colors, metadata, unit = read_three_mf(made(capsys, run, "a.3mf", "--height", "80mm"))
    assert unit == "millimeter" and (metadata["Title"], metadata["Application"]) == (
        "a red arrow",
        f"sdtool {__version__}",
    )
    assert json.loads(metadata["Description"])["seed"] == 7
    np.testing.assert_allclose(mesh.bounds, [[0, 0, 0], SIZE[[0, 2, 1]]], rtol=1e-5)
    assert mesh.is_watertight and mesh.volume == pytest.approx(VOLUME, rel=1e-5)
    np.testing.assert_array_equal(mesh.faces, FACES)
    np.testing.assert_allclose(colors / 255, COLOR[FACES], atol=0.5 / 255 + 1e-6)
    text = zipfile.ZipFile(run.parent / "a.3mf").read("3D/3dmodel.model").decode()
    assert '<m:color color="#FF0000FF"' in text  # Bambu Studio reads this prefix, and capitals


def test_a_3mf_without_a_height_takes_a_unit_for_a_metre(run, capsys):
    mesh = read_three_mf(made(capsys, run, "a.3mf"))[0]
    np.testing.assert_allclose(mesh.extents, [400, 1000, 100], rtol=1e-5)


def test_a_usdz_obeys_the_rules_and_shows_what_the_glb_shows(run, capsys):
    from pxr import Usd, UsdGeom, UsdValidation

    path = made(capsys, run, "a.usdz", "--height", "8cm", "--texture-size", 64)
    assert next(iter(stored_files(path))).endswith(".usdc")
    stage = Usd.Stage.Open(str(path))
    every = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    assert len(every) > 20 and not UsdValidation.ValidationContext(every).Validate(stage)
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1 and UsdGeom.GetStageUpAxis(stage) == "Y"
    assert stage.GetDefaultPrim().GetPath() == "/Model"
    mesh, images = read_usdz(path)
    half = SIZE / 2000
    np.testing.assert_allclose(
        mesh.bounds(), [[-half[0], 0, -half[2]], [half[0], 2 * half[1], half[2]]], rtol=1e-5
    )
    glb = load_mesh(
        made(capsys, run, "a.glb", "--height", "8cm", "--texture-size", 64), textures=True
    )
    np.testing.assert_allclose(mesh.v_pos, glb.v_pos + [0, half[1], 0], atol=1e-6)
    np.testing.assert_array_equal(mesh.t_pos_idx, glb.t_pos_idx)
    np.testing.assert_allclose(mesh.v_uv, glb.v_uv, atol=1e-6)
    np.testing.assert_array_equal(mesh.textures[0].image, glb.textures[0].image)
    assert images["roughness"].shape == images["metallic"].shape == (64, 64)
    assert images["normal"].shape == (64, 64, 3) and (images["metallic"] == 0).all()


@pytest.mark.parametrize("name", ["a.stl", "a.3mf", "a.usdz"])
def test_again_leaves_the_file_alone_and_foreign_ones_are_not_replaced(run, name, capsys):
    small = ("--texture-size", 32) if name.endswith("usdz") else ()
    path = made(capsys, run, name, *small)
    assert export(capsys, run, "--out", path, *small)[2].endswith("is already up to date\n")
    data = path.read_bytes()
    assert is_ours(path, data) and not is_ours(path, data[: len(data) // 2] * (name != "a.stl"))
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("3D/3dmodel.model", '<metadata name="Application">PrusaSlicer</metadata>')
    code, _, stderr = export(capsys, run, "--out", path, *small)
    assert code == 2 and "sdtool did not write" in stderr


# Colours


def test_few_colours_are_the_means_of_what_they_stand_for():
    rng = np.random.default_rng(0)
    centres = np.array([[0.9, 0.1, 0.1], [0.1, 0.2, 0.8], [0.9, 0.9, 0.9]])
    which = rng.integers(0, 3, 600)
    color = centres[which] + rng.uniform(-0.05, 0.05, (600, 3))
    few = few_colors(color, np.ones(600), 3)
    assert len(np.unique(few, axis=0)) == 3
    np.testing.assert_allclose(few, centres[which], atol=0.02)
    assert len(np.unique(few_colors(color[:5], np.ones(5), 16), axis=0)) <= 5


def test_colors_leaves_so_many_and_one_to_a_face(run, capsys):
    colors = read_three_mf(made(capsys, run, "a.3mf", "--colors", 2))[1]
    assert len(np.unique(colors.reshape(-1, 3), axis=0)) == 2
    assert (colors == colors[:, :1]).all()


# Mesh files


def two_toned(folder):
    """A GLB of a cube, half as high as it is wide: white above, red below, by texture; stands at x = 10."""
    cube = box([10, 0, 0], [12, 1, 2])
    image = np.array([[[255, 0, 0, 255], [255, 255, 255, 255]]], np.uint8)
    corners = cube.v_pos[cube.t_pos_idx]
    above = (corners[..., 1] == 1).all(axis=1)
    v_uv = np.repeat(np.where(above, 0.75, 0.25), 3)[:, None] * [1, 0] + [0, 0.5]
    seams = np.arange(36, dtype=np.int32).reshape(-1, 3)
    textured = Mesh(
        corners.reshape(-1, 3), seams, None, v_uv.astype(np.float32), np.zeros(12, np.int32),
        (Texture(image, nearest=True),),
    )  # fmt: skip
    return textured, folder / "cube.glb"


def test_a_mesh_file_keeps_its_size_and_the_colour_of_each_side(tmp_path, capsys, monkeypatch):
    textured, path = two_toned(tmp_path)
    write_glb(path, box([10, 0, 0], [12, 1, 2]))
    monkeypatch.setattr("sdtool.exporting.sources.load_mesh", lambda *_, **__: textured)
    mesh, colors, metadata, _ = read_three_mf(made(capsys, path, "b.3mf"))
    assert metadata["Title"] == "cube" and mesh.is_watertight and len(mesh.vertices) == 8
    np.testing.assert_allclose(mesh.extents, [2000, 2000, 1000])
    above = mesh.face_normals[:, 2] > 0.5
    assert (colors[above] == 255).all() and (colors[~above] == [255, 0, 0]).all()
    kept = load_mesh(made(capsys, path, "b.glb", "--texture-size", 32))
    np.testing.assert_allclose(kept.bounds(), [[10, 0, 0], [12, 1, 2]])
    made_high = load_mesh(made(capsys, path, "b.obj", "--texture-size", 32, "--height", "50cm"))
    np.testing.assert_allclose(made_high.bounds(), [[5, 0, 0], [6, 0.5, 1]])


def test_repair_keeps_small_parts_of_a_file_and_colours_that_end_within_a_plane(
    tmp_path, capsys, monkeypatch
):
    """A cuboid of two halves without the wall between them, red and white, and an eye on it."""
    left, right = box([0, 0, 0], [1, 1, 1]), box([1, 0, 0], [2, 1, 1])
    halves = [
        Mesh(h.v_pos[h.t_pos_idx].reshape(-1, 3), np.arange(36, dtype=np.int32).reshape(-1, 3))
        for h in (left, right)
    ]
    eye = box([0.4, 0.4, 0.98], [0.45, 0.45, 1.02])
    colored = [
        replace(mesh, v_color=np.tile(np.float32(c), (len(mesh.v_pos), 1)))
        for mesh, c in zip([*halves, eye], ([1, 0, 0], [1, 1, 1], [0, 0, 1]), strict=True)
    ]
    path = write_glb(tmp_path / "halves.glb", merge(colored))
    mesh, colors, _, _ = read_three_mf(made(capsys, path, "b.3mf", "--repair"))
    assert mesh.is_watertight and mesh.volume == pytest.approx(1e9 * (2 + 0.05**2 * 0.02), rel=1e-6)
    middle = mesh.triangles_center
    for color, here in (
        ([255, 0, 0], (middle[:, 0] < 999) & (middle[:, 1] > 25)),
        ([255, 255, 255], middle[:, 0] > 1001),
        ([0, 0, 255], middle[:, 1] < 15),
    ):
        assert here.any() and (colors[here] == color).all(), color


def test_a_mesh_file_is_repaired_and_cut_for_printing(tmp_path, capsys):
    boxes = merge([box([0, 0, 0], [1, 1, 1]), box([0.5, 0.5, 0.5], [1.5, 1.5, 1.5])])
    path = write_glb(tmp_path / "boxes.glb", Mesh(boxes.v_pos, boxes.t_pos_idx[2:]))
    out = tmp_path / "a.stl"
    sized = ("--height", "30mm", "--flat-base", "7.5mm", "--out", out)
    code, _, stderr = export(capsys, path, *sized)
    assert code == 2 and "--flat-base needs a closed body" in stderr and "--repair" in stderr
    code, stdout, stderr = export(capsys, path, *sized, "--repair", "--json")
    assert code == 0 and "2 parts united" in stderr and "watertight: yes" in stderr
    body = json.loads(stdout)["body"]
    assert body["watertight"] and body["parts"] == 1 and body["unit"] == "mm"
    mesh = read_stl(out)  # 25 mm to a unit; what is lower than 0.3 of a unit went
    np.testing.assert_allclose(mesh.extents, [37.5, 37.5, 30], rtol=1e-5)
    volume = (2 - 0.125 - 0.3) * 25**3
    assert mesh.is_watertight and mesh.volume == pytest.approx(volume, rel=1e-5)
    assert body["volume"] == pytest.approx(volume, rel=1e-5)
    assert mesh.area_faces[mesh.face_normals[:, 2] < -0.99].sum() > 0.99 * 25**2


def test_the_report_is_told_where_it_was_asked_for(run, capsys):
    plain = ("--texture-size", 0, "--json")
    code, stdout, stderr = export(capsys, run, *plain)
    assert code == 0 and "watertight" not in stderr and "body" not in json.loads(stdout)
    code, stdout, stderr = export(capsys, run, *plain, "--height", "80mm")
    body = json.loads(stdout)["body"]
    assert "watertight: yes" in stderr and body["size"] == pytest.approx(SIZE.tolist())
    assert body["volume"] == pytest.approx(VOLUME, rel=1e-5)


# Refusals


@pytest.mark.parametrize(
    "options, hint",
    [
        (["--out", "a.usdz", "--texture-size", "0"], "AR Quick Look shows no vertex colours"),
        (["--height", "80"], "no unit"),
        (["--height", ""], "--height"),
        (["--flat-base", "1mm"], "add --height"),
        (["--flat-base", "9cm", "--height", "80mm"], "leaves nothing of a height of 80mm"),
        (["--out", "a.stl", "--colors", "3"], "--colors is for a .3mf"),
    ],
)
def test_what_cannot_be_meant(run, tmp_path, monkeypatch, options, hint, capsys):
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = export(capsys, run, *options)
    assert (code, stdout) == (2, "") and hint in stderr
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_what_is_flat_has_no_height(tmp_path, capsys):
    flat = write_run(tmp_path / "flat", V_POS * np.float32([1, 0, 1]))
    code, _, stderr = export(capsys, flat, "--texture-size", 0, "--height", "80mm")
    assert code == 2 and "flat" in stderr and "--height" in stderr


@pytest.mark.parametrize("faces", ["f 1 2 3", "f 1 2 3 4"])
def test_what_encloses_nothing_is_no_body_to_repair(faces, tmp_path, capsys):
    """A triangle, and a square that stands askew, so that its box has a volume."""
    path = tmp_path / "sheet.obj"
    path.write_text(f"v 0 0 0\nv 1 0 1\nv 1 1 2\nv 0 1 1\n{faces}\n")
    out = tmp_path / "sheet.stl"
    code, _, stderr = export(capsys, path, "--repair", "--out", out)
    assert code == 2 and "encloses no volume" in stderr and not out.exists()


def test_a_mesh_file_needs_another_name_to_write(tmp_path, capsys):
    path = write_glb(tmp_path / "ball.glb", icosphere(1))
    for options, hint in (([], "such as ball.3mf"), (["--out", path], "is the file that is read")):
        code, stdout, stderr = export(capsys, path, *options)
        assert (code, stdout) == (2, "") and hint in stderr
    (tmp_path / "none.glb").write_bytes(b"glTF")
    code, _, stderr = export(capsys, tmp_path / "none.glb", "--out", tmp_path / "a.stl")
    assert code == 1 and "none.glb cannot be exported" in stderr


@pytest.mark.parametrize(
    "module, options, extra",
    [
        ("lib3mf", ["--out", "a.3mf"], "print"),
        ("pxr", ["--out", "a.usdz"], "usdz"),
        ("manifold3d", ["--flat-base", "1mm", "--height", "80mm"], "print"),
        ("manifold3d", ["--repair"], "print"),
    ],
)
def test_a_missing_package_is_named_before_the_work(
    run, monkeypatch, module, options, extra, capsys
):
    monkeypatch.chdir(run.parent)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "open3d", None)
    open3d_tools.library.cache_clear()
    code, stdout, stderr = export(capsys, run, *options)
    open3d_tools.library.cache_clear()
    assert (code, stdout) == (1, "") and f"pip install 'sdtool[{extra}]'" in stderr
    assert sorted(p.name for p in run.iterdir()) == sorted(
        ["shape.safetensors", "material.safetensors", "stage.json"]
    )
