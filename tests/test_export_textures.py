"""export with textures: the file shows what the lift shows, from every side."""

import io
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import trimesh
from export_samples import CANONICAL, COLOR, FACES, write_run
from PIL import Image
from safetensors.numpy import load_file, save_file
from shape_samples import box, icosphere
from validator import validator_reports

from sdtool.bench import exporting as bench
from sdtool.cli import run as sdtool
from sdtool.exporting.model_files import is_ours, targets
from sdtool.geometry.cameras import orbit, world_to_clip
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import Mesh, merge
from sdtool.lifting.lift_files import read_lift
from sdtool.meshfiles import load_mesh, read_glb
from sdtool.rendering import kernels
from sdtool.rendering.texturing import base_color
from sdtool.rendering.visible import Visible

HALF = 0.6


def creature():
    """A lumpy body with a nose in front (+Z) and one horn on its left (+X): no symmetry."""
    body = icosphere(5, 0.3)
    waves = 1 + 0.06 * np.sin(25 * body.v_pos).prod(axis=1, keepdims=True)
    parts = [body.with_positions(body.v_pos * waves + np.float32([0.03, -0.02, 0.01]))]
    for place in ((0, 0, 0.33), (0.2, 0.25, 0)):
        ball = icosphere(3, 0.12)
        parts.append(ball.with_positions(ball.v_pos + np.float32(place)))
    return merge(parts)


@pytest.fixture(scope="module")
def lift(tmp_path_factory):
    """A run with a colour field of fine patches: finer than the vertices of the exported mesh."""
    rng = np.random.default_rng(2)
    folder, mesh = tmp_path_factory.mktemp("lift") / "run", creature()
    write_run(folder, mesh.v_pos, mesh.t_pos_idx, np.full_like(mesh.v_pos, 0.5))
    field = {"v_color": np.full_like(mesh.v_pos, 0.5)}
    for level, n in enumerate((6, 24)):
        grid = rng.normal(0, 1.5, (1, 3, n, n, n)).astype(np.float32)
        field[f"color.grids.{level}"] = grid
    save_file(field, folder / "material.safetensors", {"half": str(HALF)})
    return folder


@pytest.fixture(scope="module")
def exported(lift, tmp_path_factory):
    """The GLB file of it that is made without any option."""
    path = tmp_path_factory.mktemp("exported") / "model.glb"
    export(lift, "--out", path)
    return path


def export(*arguments):
    assert sdtool(["export", *map(str, arguments)]) == 0


def unlit(mesh, color_of):
    """Base colours (8, 128, 128, 3) from eight sides, NaN beside the mesh; color_of(Visible)."""
    k = np.arange(8)
    c2w = orbit(k * np.pi / 4, np.radians(15 + 25 * (k % 2)), np.full(8, 1.5))
    matrices = world_to_clip(c2w, np.radians(45))
    seen = Visible(mesh, kernels.rasterize_views(mesh.v_pos, mesh.t_pos_idx, matrices, 128, 128))
    image = np.full((8, 128, 128, 3), np.nan)
    image[seen.view, seen.row, seen.column] = color_of(seen)
    return image


def compared(lift, path):
    """Mean colour error where both show something, and the share of pixels where one alone does."""
    lifted = read_lift(lift)
    at = lifted.mesh.v_pos
    one = unlit(
        to_canonical(lifted.mesh), lambda seen: lifted.material(seen.interpolate(at)).base_color
    )
    two = unlit(read_glb(path, textures=True), base_color)
    seen_one, seen_two = np.isfinite(one[..., 0]), np.isfinite(two[..., 0])
    both = seen_one & seen_two
    return np.abs(one - two)[both].mean(), (seen_one ^ seen_two).sum() / seen_one.sum()


def glb(path):
    """(JSON tree, [image (H, W, C)], attribute → (V, C) float32) of a GLB file."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<I", data, 12)
    tree = json.loads(data[20 : 20 + length])

    def view(index):
        place = tree["bufferViews"][index]
        start = 28 + length + place["byteOffset"]
        return data[start : start + place["byteLength"]]

    images = [
        np.asarray(Image.open(io.BytesIO(view(i["bufferView"])))) for i in tree.get("images", [])
    ]
    attributes = {}
    for name, index in tree["meshes"][0]["primitives"][0]["attributes"].items():
        raw = view(tree["accessors"][index]["bufferView"])
        count = tree["accessors"][index]["count"]
        attributes[name] = np.frombuffer(raw, np.float32).reshape(count, -1)
    return tree, images, attributes


# From every side


@pytest.mark.slow
@pytest.mark.parametrize("faces, error, coverage", [(0, 0.004, 0), (5000, 0.006, 0.01)])
def test_the_file_shows_what_the_lift_shows(lift, tmp_path, faces, error, coverage):
    path = tmp_path / "model.glb"
    export(lift, "--faces", faces, "--out", path, "--texture-size", 512)
    mesh = read_glb(path)
    assert len(mesh.t_pos_idx) == (faces or 20480 + 2 * 1280)
    low, high = mesh.bounds()
    np.testing.assert_allclose(low + high, 0, atol=1e-6)
    assert (high - low).max() == pytest.approx(1, abs=1e-6)
    difference, uncovered = compared(lift, path)
    assert difference < error and uncovered <= coverage, (difference, uncovered)


@pytest.mark.slow
def test_textures_show_more_than_vertex_colours(lift, tmp_path):
    options = ["--faces", 3000, "--out"]
    export(lift, *options, tmp_path / "fine.glb")
    export(lift, *options, tmp_path / "plain.glb", "--texture-size", 0)
    textured, plain = (compared(lift, tmp_path / f"{n}.glb")[0] for n in ("fine", "plain"))
    assert textured < 0.3 * plain, (textured, plain)


@pytest.mark.slow
def test_a_turned_file_would_be_found_out(lift, exported, tmp_path):
    turned = write_run(tmp_path / "turned")
    whole = load_file(lift / "shape.safetensors")
    whole["v_pos"] = np.ascontiguousarray(whole["v_pos"] * np.float32([-1, 1, -1]))  # back to front
    save_file(whole, turned / "shape.safetensors")
    material = (lift / "material.safetensors").read_bytes()
    (turned / "material.safetensors").write_bytes(material)
    assert compared(turned, exported)[1] > 0.05


@pytest.mark.slow
def test_the_bench_of_exporting_says_what_each_part_took(tmp_path, monkeypatch):
    for name, value in (("DETAIL", 5), ("FACES", 2000), ("SIZE", 128)):
        monkeypatch.setattr(bench, name, value)
    table = bench.exporting(tmp_path)
    assert table.title == "export to 2,000 faces and textures of 128²"
    seconds = [float(cell) for cell in table.columns[1].cells]
    assert seconds[-1] == pytest.approx(sum(seconds[:-1]), abs=0.05)


# What is in the file


def test_a_glb_has_a_physically_based_material(lift, tmp_path):
    path = tmp_path / "model.glb"
    export(lift, "--out", path, "--texture-size", 256, "--faces", 4000)
    tree, (color, channels, normal), attributes = glb(path)
    (material,) = tree["materials"]
    surface = material["pbrMetallicRoughness"]
    assert surface["baseColorTexture"]["index"] == 0
    assert surface["metallicRoughnessTexture"]["index"] == 1
    assert material["normalTexture"]["index"] == 2 and not material["doubleSided"]
    assert surface.get("metallicFactor", 1) == surface.get("roughnessFactor", 1) == 1
    assert color.shape == channels.shape == normal.shape == (256, 256, 3)
    np.testing.assert_array_equal(channels[0, 0], [255, round(0.8 * 255), 0])
    assert normal[..., 2].min() > 128 and np.ptp(normal[..., 0]) > 10
    assert set(attributes) == {"POSITION", "NORMAL", "TANGENT", "TEXCOORD_0"}
    assert len(attributes["TANGENT"]) == len(attributes["POSITION"]) < 4000


@pytest.mark.slow
def test_khronos_validator_finds_nothing(lift, exported, tmp_path):
    paths = [exported, *(tmp_path / f"{k}.glb" for k in (1, 2))]
    export(lift, "--out", paths[1], "--faces", 500, "--texture-size", 64)
    export(write_run(tmp_path / "arrow"), "--out", paths[2])
    for report in validator_reports(*paths):
        assert (report["numErrors"], report["numWarnings"]) == (0, 0), report


@pytest.mark.slow
def test_a_lift_without_a_field_bakes_its_vertex_colours(tmp_path):
    path = tmp_path / "model.glb"
    export(write_run(tmp_path / "arrow"), "--out", path, "--texture-size", 512)
    mesh = read_glb(path, textures=True)
    np.testing.assert_allclose(
        np.unique(mesh.v_pos, axis=0), np.unique(CANONICAL, axis=0), atol=1e-6
    )

    arrow = Mesh(CANONICAL.astype(np.float32), FACES, COLOR)
    difference = np.abs(unlit(arrow, base_color) - unlit(mesh, base_color))
    assert np.nanmean(difference) < 0.002


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(lift, tmp_path):
    options = ["--faces", "6000", "--texture-size", "256"]
    export(lift, "--out", tmp_path / "one.glb", *options)
    command = [sys.executable, "-m", "sdtool.cli", "export", str(lift), *options]
    environment = os.environ | {"PYTHONHASHSEED": "77", "OMP_NUM_THREADS": "2"}
    subprocess.run([*command, "--out", str(tmp_path / "two.glb")], check=True, env=environment)
    assert (tmp_path / "one.glb").read_bytes() == (tmp_path / "two.glb").read_bytes()


# Other formats


@pytest.mark.slow
def test_an_obj_has_its_material_and_images(lift, tmp_path):
    options = ["--faces", 4000, "--texture-size", 256, "--out"]
    export(lift, *options, tmp_path / "model.glb")
    export(lift, *options, tmp_path / "a b.obj")
    made = {path.name for path in tmp_path.iterdir()}
    images = {f"a_b-{kind}.png" for kind in ("color", "roughness", "metallic", "normal")}
    assert made == {"model.glb", "a b.obj", "a_b.mtl"} | images  # many readers cut names at spaces
    assert made == {"model.glb"} | {path.name for path in targets(tmp_path / "a b.obj", True)}
    words = dict(line.split(" ", 1) for line in (tmp_path / "a_b.mtl").read_text().splitlines())
    assert words["map_Kd"] == "a_b-color.png" and words["norm"] == "a_b-normal.png"
    assert words["map_Pr"] == "a_b-roughness.png" and words["map_Pm"] == "a_b-metallic.png"
    _, (color, channels, normal), _ = glb(tmp_path / "model.glb")
    for name, image in (("color", color), ("normal", normal), ("roughness", channels[..., 1])):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"a_b-{name}.png")), image)
    # the same surface, closed, with the same texture coordinates
    loaded = trimesh.load_mesh(tmp_path / "a b.obj", process=False)
    mesh = read_glb(tmp_path / "model.glb", textures=True)
    np.testing.assert_allclose(loaded.vertices[loaded.faces], mesh.v_pos[mesh.t_pos_idx], atol=1e-5)
    uv = loaded.visual.uv[loaded.faces]
    np.testing.assert_allclose(uv * [1, -1] + [0, 1], mesh.v_uv[mesh.t_pos_idx], atol=1e-5)
    assert loaded.visual.material.image.size == (256, 256)
    ours = load_mesh(tmp_path / "a b.obj", textures=True)
    np.testing.assert_array_equal(ours.textures[0].image[..., :3], color)
    np.testing.assert_allclose(ours.v_uv[ours.t_pos_idx], mesh.v_uv[mesh.t_pos_idx], atol=1e-5)
    np.testing.assert_allclose(
        ours.v_normal[ours.t_pos_idx], mesh.v_normal[mesh.t_pos_idx], atol=1e-4
    )
    text = (tmp_path / "a b.obj").read_text()
    assert text.count("\nv ") == text.count("\nvn ") < text.count("\nvt ")
    positions = [line.split()[1:] for line in text.splitlines() if line.startswith("v ")]
    corners = [line.split()[1:] for line in text.splitlines() if line.startswith("f ")]
    faces = np.array([[int(c.split("/")[0]) - 1 for c in line] for line in corners])
    assert trimesh.Trimesh(np.array(positions, float), faces, process=False).is_watertight


@pytest.mark.slow
def test_files_beside_an_obj_are_not_replaced_either(lift, tmp_path, capsys):
    out = tmp_path / "model.obj"
    options = ["--out", out, "--faces", 1000, "--texture-size", 64]
    (tmp_path / "model.mtl").write_text("newmtl mine\n")
    assert sdtool(["export", *map(str, [lift, *options])]) == 2
    assert "model.mtl" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model.mtl"]
    export(lift, *options, "--overwrite")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(before) == 6 and all(is_ours(p, data) for p, data in before.items())
    export(lift, *options)
    assert "already up to date" in capsys.readouterr().err
    (tmp_path / "model-normal.png").unlink()
    export(lift, *options[:-1], 128)  # ours are replaced, and what is missing is made
    assert Image.open(tmp_path / "model-normal.png").size == (128, 128)
    Image.new("RGB", (64, 64)).save(tmp_path / "model-color.png")
    assert sdtool(["export", *map(str, [lift, *options])]) == 2
    assert "model-color.png" in capsys.readouterr().err


def test_a_ply_of_few_faces_has_the_colours_of_the_field(lift, tmp_path):
    path = tmp_path / "model.ply"
    export(lift, "--faces", 8000, "--out", path)
    mesh = load_mesh(path)
    assert len(mesh.t_pos_idx) == 8000
    lifted = read_lift(lift)
    low, high = lifted.mesh.bounds()
    points = mesh.v_pos * (high - low).max() + (low + high) / 2
    error = np.abs(lifted.material(points.astype(np.float32)).base_color - mesh.v_color)
    assert error.mean() < 0.01  # the points of few faces lie beside the surface


# Parts and holes


def test_parts_and_holes(tmp_path):
    sides = box([0, 0, 0], [1, 1, 1])
    opened = Mesh(sides.v_pos, sides.t_pos_idx[2:])
    crumb = box([2, 0, 0], [2.05, 0.05, 0.05])
    small = box([0, 2, 0], [0.5, 2.5, 0.5])
    mesh = merge([opened, crumb, small])
    run = write_run(tmp_path / "run", mesh.v_pos, mesh.t_pos_idx, mesh.v_pos * 0 + 0.5)
    counts = {}
    for name, options in {
        "default": [],
        "one": ["--components", 1],
        "all": ["--components", 9],
        "closed": ["--fill-holes", "--components", 1],
    }.items():
        path = tmp_path / f"{name}.ply"
        export(run, "--out", path, *options)
        counts[name] = len(load_mesh(path).t_pos_idx)
    assert counts == {"default": 22, "one": 10, "all": 34, "closed": 14}
    closed = load_mesh(tmp_path / "closed.ply")
    assert trimesh.Trimesh(closed.v_pos, closed.t_pos_idx, process=False).is_watertight


# The material of a lift


def test_the_material_is_the_field_of_the_lift(lift):
    lifted = read_lift(lift)
    material = load_file(lift / "material.safetensors")
    points = np.float32([[HALF, HALF, HALF], [-HALF, HALF, -HALF]])  # corners of the grids
    surface = lifted.material(points)
    raw = np.stack(
        [
            sum(material[f"color.grids.{k}"][0, :, -1, -1, -1] for k in (0, 1)),
            sum(material[f"color.grids.{k}"][0, :, 0, -1, 0] for k in (0, 1)),  # (z, y, x)
        ]
    )
    np.testing.assert_allclose(surface.base_color, 1 / (1 + np.exp(-raw)), atol=1e-5)
    np.testing.assert_array_equal(surface.roughness, np.float32([0.8, 0.8]))
    np.testing.assert_array_equal(surface.metallic, [0, 0])
    assert surface.detail is None


def test_a_damaged_field_is_named(lift, tmp_path, capsys):
    run = write_run(tmp_path / "run")
    for damage in (np.nan, 0):
        grid = np.full((1, 3, 6, 6, 6), damage, np.float32)
        tensors = {"v_color": COLOR, "color.grids.0": grid if damage else grid[0]}
        save_file(tensors, run / "material.safetensors", {"half": "0.6"})
        assert sdtool(["export", str(run)]) == 1
        said = capsys.readouterr().err
        assert "color.grids.0" in said and "sdtool lift" in said


def test_a_field_without_levels_is_named(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    save_file({"v_color": COLOR}, run / "material.safetensors", {"half": "0.6"})
    assert sdtool(["export", str(run)]) == 1
    said = capsys.readouterr().err
    assert "holds no color.grids.0" in said and "sdtool lift" in said
