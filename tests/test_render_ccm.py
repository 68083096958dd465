"""The command render-ccm: what it writes, from which side, and that views depend on seed and uid alone."""

import json
from pathlib import Path

import numpy as np
import pytest
from ccm_samples import contents, positions, read_shard, render, spoil, write_objects
from PIL import Image

from sdtool.geometry.cameras import ViewRange, azimuth_elevation, random_views, world_to_clip
from sdtool.geometry.ccm import decode_map, to_canonical
from sdtool.geometry.meshes import Mesh
from sdtool.io.files import read_json, read_jsonl, write_jsonl
from sdtool.io.objects import object_rng
from sdtool.meshfiles import load_mesh, write_glb

pytestmark = pytest.mark.usefixtures("in_a_folder")


# What it writes


@pytest.mark.slow
def test_a_folder_with_defaults_as_the_readme_writes_it(capsys):
    write_objects("objs")
    assert render("./objs", "--out", "ccm/", quick=False) == 0
    assert capsys.readouterr().out == "ccm\n"
    names = ["ccm-00000.safetensors", "index.jsonl", "preview.png", "stage.json"]
    assert list(contents(Path("ccm"))) == names
    tensors, metadata = read_shard("ccm/ccm-00000.safetensors")
    assert {name: (t.shape, str(t.dtype)) for name, t in tensors.items()} == {
        "ccm": ((3 * 16, 4, 64, 64), "float16"),
        "c2w": ((3 * 16, 4, 4), "float32"),
        "object": ((3 * 16,), "int32"),
    }
    assert json.loads(metadata["uids"]) == ["ball", "brick", "plank"]
    assert json.loads(metadata["failures"]) == []
    camera = {"fov": 45, "elevation": [-10, 45], "factor": [0.9, 1.1], "distance": 1.5}
    assert json.loads(metadata["camera"]) == camera
    assert tensors["object"].tolist() == [0] * 16 + [1] * 16 + [2] * 16
    record = read_json("ccm/stage.json")
    assert record["stage"] == "render-ccm" and record["counts"] == {"ok": 3, "failed": 0}
    assert record["params"]["seed"] == 0 and "workers" not in record["params"]


def test_maps_have_the_form_that_the_prior_learns():
    write_objects("objs")
    assert render("objs", "--out", "out", "--maps", "ccm,rgb,normal") == 0
    tensors, _ = read_shard("out/ccm-00000.safetensors")
    coverage = (tensors["ccm"][:, 3].astype(np.float32) + 1) / 2
    for name in ("ccm", "rgb", "normal"):
        image = tensors[name].astype(np.float32)
        assert np.array_equal(image[:, 3], tensors["ccm"][:, 3])
        assert (abs(image[:, :3]) <= coverage[:, None] + 1e-3).all()  # premultiplied
        assert (
            image[:, :3][np.broadcast_to(coverage[:, None] == 0, image[:, :3].shape)] == 0
        ).all()
    assert set(np.unique(coverage)) <= {0, 0.25, 0.5, 0.75, 1}  # 2 × 2 samples
    assert (coverage.mean(axis=(1, 2)) > 0.05).all()


def test_a_listing_is_rendered_with_its_uids_and_relative_paths():
    write_objects("lists/glbs")
    uids = ["Öpaque/uid:1", "b", "c"]
    paths = ["glbs/plank.glb", "glbs/ball.glb", "glbs/brick.glb"]
    lines = [{"uid": uid, "path": path} for uid, path in zip(uids, paths, strict=True)]
    write_jsonl("lists/objects.jsonl", lines)
    assert render("lists/objects.jsonl", "--out", "one") == 0
    assert render("lists", "--out", "two") == 0
    tensors, metadata = read_shard("one/ccm-00000.safetensors")
    assert json.loads(metadata["uids"]) == uids
    assert (
        contents(Path("one"))["ccm-00000.safetensors"]
        == contents(Path("two"))["ccm-00000.safetensors"]
    )
    expected = random_views(object_rng(0, "Öpaque/uid:1"), 3, ViewRange())
    assert np.array_equal(tensors["c2w"][:3], expected)


def test_decoded_points_project_onto_their_own_pixels():
    """Of a written shard alone, with the camera of its header: what reads it later relies on this."""
    write_objects("objs")
    assert render("objs", "--out", "out", "--size", 32, "--views", 4, "--supersample", 1,
                  "--fov", 40, "--workers", 1, quick=False) == 0  # fmt: skip
    tensors, metadata = read_shard("out/ccm-00000.safetensors")
    matrices = world_to_clip(tensors["c2w"], np.radians(json.loads(metadata["camera"])["fov"]))
    uids = json.loads(metadata["uids"])
    row, column = np.mgrid[0:32, 0:32]
    for image, index, matrix in zip(tensors["ccm"], tensors["object"], matrices, strict=True):
        value, coverage = decode_map(image.transpose(1, 2, 0).astype(np.float64))
        low, high = to_canonical(load_mesh(f"objs/{uids[index]}.glb")).bounds()
        hit = coverage[..., 0] == 1
        points = positions(value[hit], low, high)
        clip = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ matrix.T
        screen = (clip[:, :2] / clip[:, 3:] + 1) / 2 * 32 - 0.5
        assert hit.sum() > 30
        assert abs(screen[:, 0] - column[hit]).max() < 0.02
        assert abs(screen[:, 1] - row[hit]).max() < 0.02


def test_cameras_follow_the_options():
    write_objects("objs", ["ball"])
    assert render("objs", "--out", "out", "--elevation", 20, 30, "--distance", 2, "--jitter", 0.25,
                  "--views", 60, "--size", 4, quick=False) == 0  # fmt: skip
    c2w = read_shard("out/ccm-00000.safetensors")[0]["c2w"]
    elevation = np.degrees(azimuth_elevation(c2w)[1])
    distance = np.linalg.norm(c2w[:, :3, 3], axis=1)
    assert 20 <= elevation.min() < 21 and 29 < elevation.max() <= 30.001
    assert 1.5 <= distance.min() < 1.6 and 2.4 < distance.max() <= 2.5


def test_shards_hold_so_many_objects_each():
    write_objects("objs")
    assert render("objs", "--out", "out", "--shard-size", 2) == 0
    shards = [read_shard(f"out/ccm-0000{k}.safetensors") for k in (0, 1)]
    assert [json.loads(m["uids"]) for _, m in shards] == [["ball", "brick"], ["plank"]]
    assert [t["object"].tolist() for t, _ in shards] == [[0] * 3 + [1] * 3, [0] * 3]


@pytest.mark.slow
def test_the_preview_has_a_row_of_four_views_for_each_object():
    write_objects("objs")
    assert render("objs", "--out", "out", "--views", 5, "--size", 16, quick=False) == 0
    with Image.open("out/preview.png") as picture:
        assert picture.size == (12 * (64 + 2) - 2, 64)  # three objects side by side
        assert "at random" in picture.text["Title"]
    assert render("objs", "--out", "few", "--previews", 1) == 0
    with Image.open("few/preview.png") as picture:
        assert picture.size == (4 * (64 + 2) - 2, 64)
        pixels = np.asarray(picture)
        assert (pixels[:, 3 * 66 :] == 255).all()  # only three views were rendered
        assert (pixels[:, :64] != 255).any()
    assert render("objs", "--out", "none", "--previews", 0) == 0
    assert not Path("none/preview.png").exists()


def test_the_index_names_every_object_s_rows():
    spoil(write_objects("objs"))
    assert render("objs", "--out", "out", "--shard-size", 2) == 3
    lines = list(read_jsonl("out/index.jsonl"))
    assert [line["uid"] for line in lines] == ["ball", "brick", "plank"]
    for line in lines:
        tensors, metadata = read_shard(Path("out") / line["shard"])
        rows = tensors["object"][line["row"] : line["row"] + line["views"]]
        assert [json.loads(metadata["uids"])[k] for k in rows] == [line["uid"]] * 3


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--maps", "ccm,depth"], "--maps 'ccm,depth': name some of ccm, rgb, normal"),
        (["--maps", " , "], "--maps"),
        (["--random-yaw"], "--random-yaw would spoil"),
        (["--maps", "rgb,ccm", "--random-yaw"], "--random-yaw would spoil"),
        (["--elevation", "45", "-10"], "--elevation needs two angles"),
        (["--elevation", "0", "90"], "--elevation needs two angles"),
        (["--views", "0"], "--views"),
        (["--fov", "180"], "--fov"),
    ],
)
def test_wrong_options_are_named_before_anything_is_written(options, complaint, capsys):
    write_objects("objs", ["ball"])
    assert render("objs", "--out", "out", *options, quick=False) == 2
    assert complaint in capsys.readouterr().err and not Path("out").exists()


# Views depend on seed and uid alone


def test_a_subset_gives_the_same_maps():
    write_objects("objs")
    write_objects("some", ["plank"])
    assert render("objs", "--out", "all") == render("some", "--out", "one") == 0
    whole, part = (read_shard(f"{n}/ccm-00000.safetensors")[0] for n in ("all", "one"))
    mine = whole["object"] == 2
    for name in ("ccm", "c2w"):
        assert np.array_equal(whole[name][mine], part[name])
    assert not np.array_equal(whole["c2w"][:3], whole["c2w"][3:6])  # objects differ in their views


def test_the_seed_changes_every_view():
    write_objects("objs")
    assert render("objs", "--out", "a") == render("objs", "--out", "b", "--seed", 1) == 0
    one, other = (read_shard(f"{n}/ccm-00000.safetensors")[0]["c2w"] for n in "ab")
    assert (abs(one - other).max(axis=(1, 2)) > 1e-3).all()


# Orientation


@pytest.mark.parametrize("table", ["ball,0\nplank,90\n", "uid,degrees\nplank,90.0\n"])
def test_a_yaw_fix_turns_an_object_from_the_front_toward_x(table):
    write_objects("objs")
    Path("yaw.csv").write_text(table)
    Path("yaw.jsonl").write_text('{"uid": "plank", "degrees": 90}\n')
    plank = load_mesh("objs/plank.glb")
    x, y, z = plank.v_pos.T
    turned = Mesh(np.stack([z, y, -x], axis=1), plank.t_pos_idx)  # +Z becomes +X
    write_objects("right", ["ball", "brick"])
    write_glb(Path("right/plank.glb"), turned)
    assert render("right", "--out", "expected") == 0
    for name in ("yaw.csv", "yaw.jsonl"):
        assert render("objs", "--out", name[4:], "--yaw-fix", name) == 0
        found, expected = (
            read_shard(f"{n}/ccm-00000.safetensors")[0] for n in (name[4:], "expected")
        )
        assert abs(found["ccm"].astype(float) - expected["ccm"].astype(float)).max() < 0.02
    assert not np.array_equal(found["ccm"][6:], read_shard_of("objs")["ccm"][6:])


def read_shard_of(folder):
    assert render(folder, "--out", f"{folder}-plain") == 0
    return read_shard(f"{folder}-plain/ccm-00000.safetensors")[0]


@pytest.mark.parametrize("text", ["plank\n", "plank,left\n", "a,b,c\n", ",90\n", "plank,nan\n"])
def test_a_yaw_fix_that_is_no_table_is_named(text, capsys):
    write_objects("objs")
    Path("yaw.csv").write_text("ball,0\n" + text)
    assert render("objs", "--out", "out", "--yaw-fix", "yaw.csv") == 1
    assert "yaw.csv, entry 2 is not a uid and an angle" in capsys.readouterr().err
    assert not Path("out").exists()


def test_two_angles_of_one_object_are_named(capsys):
    write_objects("objs")
    Path("yaw.csv").write_text("ball,10\nball,10\nball,90\n")
    assert render("objs", "--out", "out", "--yaw-fix", "yaw.csv") == 1
    assert (
        "yaw.csv, entry 3 turns ball by 90°, and an entry before it by 10°"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("text", ["", "uid,degrees\n", "\n\n"])
def test_a_yaw_fix_without_a_line_is_named(text, capsys):
    write_objects("objs")
    Path("yaw.csv").write_text(text)
    assert render("objs", "--out", "out", "--yaw-fix", "yaw.csv") == 1
    assert "yaw.csv holds no line of uid,degrees" in capsys.readouterr().err


# Pictures for the base prior


def test_random_yaw_turns_objects_and_keeps_them_canonical():
    write_objects("objs")
    options = ["--maps", "rgb,normal", "--views", 2]
    for out, more in (("still", []), ("a", ["--random-yaw"]), ("b", ["--random-yaw"])):
        assert render("objs", "--out", out, *options, *more) == 0
    still, turned, again = (
        read_shard(f"{n}/views-00000.safetensors")[0] for n in ("still", "a", "b")
    )
    assert set(turned) == {"rgb", "normal", "c2w", "object"}
    assert np.array_equal(turned["c2w"], still["c2w"])
    for name in ("rgb", "normal"):
        assert np.array_equal(turned[name], again[name])
        assert not np.array_equal(turned[name], still[name])
