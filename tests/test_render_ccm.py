"""The command render-ccm: what it writes, what it says of bad objects, and that it can be killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from killed import CODE, StandingClock, kill_at
from PIL import Image
from safetensors import safe_open
from shape_samples import box, icosphere

from sdtool.cli import run
from sdtool.errors import InputError
from sdtool.geometry.cameras import ViewRange, azimuth_elevation, random_views, world_to_clip
from sdtool.geometry.ccm import decode_map, positions, to_canonical
from sdtool.geometry.meshes import Mesh, merge
from sdtool.io.files import read_json, read_jsonl, write_jsonl
from sdtool.io.objects import object_rng
from sdtool.meshfiles import load_mesh, write_glb
from sdtool.rendering import collection
from sdtool.runtime.progress import Bar
from sdtool.training.data import Views

QUICK = ["--size", "16", "--views", "3", "--supersample", "2", "--workers", "1"]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_objects(folder, names=("ball", "brick", "plank"), **more):
    """Write a coloured GLB for each name, off-centre and of any size; return the folder."""
    shapes = {
        "ball": icosphere(2, radius=3.0),
        "brick": box([1, 2, 3], [2, 4, 7]),
        "plank": box([-10, -1, -4], [-2, 0, -2]),
    }
    for name in names:
        mesh = shapes[name]
        color = np.random.default_rng(0).uniform(0, 1, mesh.v_pos.shape).astype(np.float32)
        write_glb(Path(folder) / f"{name}.glb", Mesh(mesh.v_pos, mesh.t_pos_idx, color))
    return Path(folder)


def render(*arguments, quick=True):
    """The exit code of `sdtool render-ccm …`, small and in this process unless told otherwise."""
    return run(["render-ccm", *map(str, arguments), *(QUICK if quick else [])])


def read_shard(path):
    """(tensors, metadata) of a shard, pixels as (N, H, W, 4) float32."""
    with safe_open(path, "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, file.metadata()


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.*"))}


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


@pytest.mark.slow
def test_two_workers_write_the_same_bytes_as_one():
    write_objects("objs")
    assert render("objs", "--out", "one", "--shard-size", 1) == 0
    arguments = ["objs", "--out", "two", "--shard-size", 1, *QUICK[:-1], 2]
    assert render(*arguments, quick=False) == 0
    assert contents(Path("one")) == contents(Path("two"))


def test_ranks_write_the_shards_of_a_single_run_and_are_read_as_one(capsys, monkeypatch):
    write_objects("objs")
    assert render("objs", "--out", "one", "--shard-size", 1) == 0
    many = ["objs", "--out", "many", "--shard-size", 1, "--world-size", 2]
    assert render(*many, "--rank", 1) == 0
    assert "rank 1 of 2: many/rank-00001" in capsys.readouterr().err
    with pytest.raises(InputError, match="lacks rank 0 of 2"):
        Views([Path("many")], ["ccm"], dict.fromkeys(("ball", "brick", "plank"), ["x"]))
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    assert render("objs", "--out", "many", "--shard-size", 1) == 0
    shards = {p.name: p.read_bytes() for p in Path("many").glob("rank-*/*.safetensors")}
    assert shards == {p.name: p.read_bytes() for p in Path("one").glob("*.safetensors")}
    captions = {"ball": ["a ball"], "brick": ["a brick"], "plank": ["a plank"]}
    one, both = (Views([Path(n)], ["ccm"], captions) for n in ("one", "many"))
    assert one.uids == both.uids and np.array_equal(one.maps([0, 4, 8]), both.maps([0, 4, 8]))


def test_more_ranks_than_shards_leave_some_with_nothing():
    write_objects("objs")
    assert render("objs", "--out", "out", "--world-size", 2, "--rank", 1) == 0
    assert read_json("out/rank-00001/stage.json")["counts"] == {"ok": 0, "failed": 0}
    assert render("objs", "--out", "out", "--world-size", 2, "--rank", 0) == 0
    views = Views([Path("out")], ["ccm"], {"ball": ["a ball"]})
    assert len(views) == 3


def test_the_index_names_every_object_s_rows():
    spoil(write_objects("objs"))
    assert render("objs", "--out", "out", "--shard-size", 2) == 3
    lines = list(read_jsonl("out/index.jsonl"))
    assert [line["uid"] for line in lines] == ["ball", "brick", "plank"]
    for line in lines:
        tensors, metadata = read_shard(Path("out") / line["shard"])
        rows = tensors["object"][line["row"] : line["row"] + line["views"]]
        assert [json.loads(metadata["uids"])[k] for k in rows] == [line["uid"]] * 3


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


# Pictures for the base prior


@pytest.mark.parametrize("text", ["", "uid,degrees\n", "\n\n"])
def test_a_yaw_fix_without_a_line_is_named(text, capsys):
    write_objects("objs")
    Path("yaw.csv").write_text(text)
    assert render("objs", "--out", "out", "--yaw-fix", "yaw.csv") == 1
    assert "yaw.csv holds no line of uid,degrees" in capsys.readouterr().err


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


# Bad objects


def spoil(folder):
    """A torn file, an empty one, and a mesh without any extent, among the good ones."""
    whole = (folder / "ball.glb").read_bytes()
    (folder / "cut.glb").write_bytes(whole[: len(whole) // 2])
    (folder / "nil.glb").write_bytes(b"")
    (folder / "dot.obj").write_text("v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n")


def test_bad_objects_are_lines_with_a_reason_and_the_others_are_rendered(capsys):
    spoil(write_objects("objs"))
    assert render("objs", "--out", "out", "--shard-size", 4) == 3
    assert capsys.readouterr().out == "out\n"
    failures = list(read_jsonl("out/failures.jsonl"))
    assert [f["uid"] for f in failures] == ["cut", "dot", "nil"]
    assert [f["reason"] for f in failures] == ["truncated-file", "zero-extent", "empty-file"]
    assert all(f"{f['uid']}." in f["message"] for f in failures)
    assert read_json("out/stage.json")["counts"] == {"ok": 3, "failed": 3}
    tensors, metadata = read_shard("out/ccm-00000.safetensors")
    uids = json.loads(metadata["uids"])
    assert [uids[k] for k in tensors["object"]] == ["ball"] * 3 + ["brick"] * 3
    assert [f["uid"] for f in json.loads(metadata["failures"])] == ["cut", "dot"]
    before = contents(Path("out"))
    assert render("objs", "--out", "out", "--shard-size", 4) == 3  # a rerun still says so
    assert contents(Path("out")) == before


def test_an_object_without_a_file_is_one_failure_and_has_a_caption():
    write_objects("glbs", ["ball"])
    lines = [{"uid": "ball", "path": "glbs/ball.glb"}, {"uid": "b", "name": "Chair", "path": None}]
    write_jsonl("objects.jsonl", lines)
    assert render("objects.jsonl", "--out", "out") == 3
    (failure,) = read_jsonl("out/failures.jsonl")
    assert (failure["uid"], failure["reason"]) == ("b", "missing-file")
    assert run(["caption", "objects.jsonl", "--out", "captions"]) == 0
    captions = {line["uid"]: line["caption"] for line in read_jsonl("captions/captions.jsonl")}
    assert captions == {"ball": "a ball", "b": "a chair"}


def test_if_no_object_is_usable_it_fails_and_tries_again(capsys):
    lines = [{"uid": u, "path": f"glbs/{u}.glb"} for u in ("ball", "brick")]
    write_jsonl("objects.jsonl", lines)  # the collection is not mounted yet
    for _ in range(2):
        assert render("objects.jsonl", "--out", "out") == 1
        stdout, stderr = capsys.readouterr()
        assert stdout == "" and "none of the 2 objects" in stderr and "2 missing-file" in stderr
        assert len(list(read_jsonl("out/failures.jsonl"))) == 2
        assert not Path("out/stage.json").exists() and not list(Path("out").glob("*.safetensors"))
    write_objects("glbs")
    assert render("objects.jsonl", "--out", "out") == 0
    assert not Path("out/failures.jsonl").exists()


def test_nothing_to_render_is_said(capsys):
    Path("empty").mkdir()
    assert render("empty", "--out", "out") == 1
    assert "empty holds no objects" in capsys.readouterr().err and not Path("out").exists()


rendered = collection._render


def render_or_sleep(settings, job):
    """What a worker does here: with the object "heavy" it sleeps for ever."""
    if job.uid == "heavy":
        threading.Event().wait()
    return rendered(settings, job)


@pytest.mark.slow
def test_an_object_that_takes_too_long_costs_itself_only(capsys, monkeypatch):
    write_objects("objs", ["ball", "brick"])
    write_glb("objs/heavy.glb", icosphere(1))
    clock, settled = StandingClock(), []
    monkeypatch.setattr("sdtool.runtime.engine.time", clock)
    monkeypatch.setattr(collection, "_render", render_or_sleep)
    advance = Bar.advance

    def advanced(self, *args, **options):
        settled.append(self)
        if len(settled) == 2:  # the others are done
            clock.now = 2.5
        advance(self, *args, **options)

    monkeypatch.setattr(Bar, "advance", advanced)
    options = [*QUICK[:-2], "--workers", 2, "--timeout", 2]
    assert render("objs", "--out", "out", *options, quick=False) == 3
    (failure,) = read_jsonl("out/failures.jsonl")
    assert (failure["uid"], failure["reason"]) == ("heavy", "timeout")
    assert "2 seconds" in failure["message"]
    assert read_json("out/stage.json")["counts"] == {"ok": 2, "failed": 1}


def test_limits_are_options():
    write_objects("objs")
    assert render("objs", "--out", "out", "--max-triangles", 100) == 3
    failures = {f["uid"]: f["reason"] for f in read_jsonl("out/failures.jsonl")}
    assert failures == {"ball": "too-large"}  # of 320 triangles


# Reruns and kills


def test_a_rerun_does_nothing_and_says_so(capsys):
    write_objects("objs")
    assert render("objs", "--out", "out") == 0
    before = {p: p.stat().st_mtime_ns for p in Path("out").iterdir()}
    capsys.readouterr()
    assert render("objs", "--out", "out", "--workers", 2) == 0  # workers change no result
    stdout, stderr = capsys.readouterr()
    assert stdout == "out\n" and "already rendered" in stderr
    assert {p: p.stat().st_mtime_ns for p in Path("out").iterdir()} == before


def test_a_rerun_with_other_options_is_refused_unless_overwritten(capsys):
    write_objects("objs")
    assert render("objs", "--out", "out") == 0
    assert render("objs", "--out", "out", "--seed", 5) == 2
    assert "seed: 0 there, 5 now" in capsys.readouterr().err
    assert render("objs", "--out", "out", "--seed", 5, "--overwrite") == 0
    assert read_json("out/stage.json")["params"]["seed"] == 5
    write_objects("objs", ["ball"])
    (Path("objs") / "new.glb").write_bytes((Path("objs") / "ball.glb").read_bytes())
    assert render("objs", "--out", "out", "--seed", 5) == 2
    assert "its input objects has changed" in capsys.readouterr().err


def test_an_overwritten_unfinished_run_renders_every_shard_anew():
    write_objects("objs")
    assert render("objs", "--out", "out", "--shard-size", 1) == 0
    record = read_json("out/stage.json")
    Path("out/stage.json").unlink()  # as if it had been killed
    Path("out/stage.partial.json").write_text(json.dumps({**record, "outputs": []}))
    Path("out/notes.txt").write_text("mine")
    assert render("objs", "--out", "out", "--seed", 5, "--overwrite") == 0
    assert render("objs", "--out", "fresh", "--seed", 5) == 0
    assert {n: b for n, b in contents(Path("out")).items() if n.endswith("s")} == {
        n: b for n, b in contents(Path("fresh")).items() if n.endswith("s")
    }
    assert Path("out/notes.txt").exists()


def test_the_shards_may_lie_in_the_folder_of_the_objects():
    write_objects("objs")
    for _ in range(2):
        assert render("objs", "--out", "objs/ccm") == 0


NOTED = """
import pathlib, sdtool.runtime.progress as ours

class Bar(ours.Bar):
    def advance(self, *args, **options):
        pid = os.getpid()
        pids = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
        pathlib.Path("helpers").write_text(pids)
        super().advance(*args, **options)

import os
ours.Bar = Bar
"""


def children(pid):
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition, seconds=600):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_killed_run_is_completed_to_the_same_bytes(workers):
    """kill -9 in the middle; the workers must not outlive it, nor may litter stay behind."""
    count = 60
    ball = icosphere(5)
    for k in range(count):
        write_glb(f"objs/{k:03d}.glb", ball.with_positions(ball.v_pos * [1, 1 + k, 1]))
    (Path("objs") / "000.glb").write_bytes(b"bad")
    arguments = ["render-ccm", "objs", "--shard-size", "1", "--size", "32", "--views", "4"]
    arguments += ["--workers", workers]
    out, code = Path("killed"), NOTED + CODE
    pid = kill_at([*arguments, "--out", "killed"], "rendering", 8, workers_too=False, code=code)
    helpers = [int(pid) for pid in Path("helpers").read_text().split()]
    wait_until(lambda: not any(alive(pid) for pid in helpers))
    assert len(helpers) >= (2 if workers == "2" else 0)
    assert 4 <= len(list(out.glob("ccm-*.safetensors"))) < count
    assert not (out / "stage.json").exists() and (out / "stage.partial.json").exists()
    (out / f".ccm-00059.safetensors.{pid}.tmp.safetensors").write_bytes(b"half")
    finished = {p: p.stat().st_mtime_ns for p in out.glob("ccm-*.safetensors")}
    assert run([*arguments, "--out", "killed"]) == 3
    assert {p: p.stat().st_mtime_ns for p in finished} == finished  # what was there is kept
    assert run([*arguments, "--out", "whole"]) == 3
    assert contents(out) == contents(Path("whole"))
    assert len(list(out.iterdir())) == count + 4 and os.getpid() not in helpers


def settled_objects(folder):
    """The numbers of the objects that a run has finished with, of shards of 16."""
    whole = [int(p.stem[-5:]) * 16 + k for p in Path(folder).glob("ccm-*") for k in range(16)]
    parts = Path(folder).glob("parts/*/[0-9]*")
    return {*whole, *(int(p.parent.name) * 16 + int(p.stem) for p in parts)}


@pytest.mark.slow
def test_many_kills_of_four_workers_change_no_byte():
    """kill -9 at random moments, again and again, among good, broken and slow objects."""
    rng = np.random.default_rng(0)
    ball = icosphere(4)
    for k in range(180):
        write_glb(f"objs/{k:03d}.glb", ball.with_positions(ball.v_pos * [1, 1 + k, 1]))
    for k in range(0, 180, 7):
        (Path("objs") / f"{k:03d}.glb").write_bytes(b"bad")
    arguments = ["render-ccm", "objs", "--shard-size", "16", "--workers", "4"]
    command = [sys.executable, "-m", "sdtool.cli", *arguments, "--out", "killed"]
    before = -1
    for _ in range(3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda seen=before: len(settled_objects("killed")) > max(seen, 0))
        time.sleep(rng.uniform(0, 0.3))
        helpers = children(process.pid)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        wait_until(lambda pids=helpers: not any(alive(pid) for pid in pids))
        assert len(settled_objects("killed")) > before
        before = len(settled_objects("killed"))
    alone = [*arguments[:-1], "1"]  # which writes the same bytes, as other tests show
    assert run([*alone, "--out", "killed"]) == 3
    assert run([*alone, "--out", "whole"]) == 3
    assert contents(Path("killed")) == contents(Path("whole"))


@pytest.mark.slow
def test_ray_writes_the_same_bytes(monkeypatch):
    pytest.importorskip("ray", reason="ray is not installed")
    spoil(write_objects("objs"))
    assert render("objs", "--out", "one") == 3
    assert render("objs", "--out", "ray", "--engine", "ray", "--workers", 2, *QUICK[:-2],
                  quick=False) == 3  # fmt: skip
    assert contents(Path("one")) == contents(Path("ray"))


def test_an_object_that_fills_next_to_nothing_of_its_views_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    speck, ball = box([0, 0, 0], [1e-3] * 3), icosphere(2)
    far = Mesh(speck.v_pos + np.float32([100, 0, 0]), speck.t_pos_idx)
    write_glb("objs/good.glb", ball)
    write_glb("objs/stray.glb", merge([ball, far]))
    write_glb("objs/rod.glb", box([0, 0, 0], [1, 0.01, 0.01]))  # thin as it is, it is all there
    assert render("objs", "--out", "ccm", "--size", 64) == 3
    (failure,) = map(json.loads, Path("ccm/failures.jsonl").read_text().splitlines())
    assert (failure["uid"], failure["reason"]) == ("stray", "too-little-visible")
    assert "far away" in failure["message"] and "--min-coverage" in failure["message"]
    assert render("objs", "--out", "all", "--min-coverage", 0) == 0
    assert render("objs", "--out", "none", "--min-coverage", 0.9) == 1


def test_images_that_are_not_read_are_counted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    body = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nvt 0 0\nmtllib a.mtl\nusemtl a\n"
    body += "f 1/1 3/1 2/1\nf 1/1 2/1 4/1\nusemtl b\nf 1/1 4/1 3/1\nf 2/1 3/1 4/1\n"
    Path("objs").mkdir()
    Path("objs/a.obj").write_text(body)
    Path("objs/a.mtl").write_text("newmtl a\nmap_Kd a.png\nnewmtl b\nmap_Kd b.tga\n")
    write_glb("objs/plain.glb", icosphere(1))
    assert render("objs", "--out", "ccm", "--maps", "ccm,rgb") == 0
    said = "2 images of 1 object missing or not readable (a.png (missing), b.tga (missing))"
    assert said in capsys.readouterr().err
    found = [json.loads(line) for line in Path("ccm/index.jsonl").read_text().splitlines()]
    assert {line["uid"]: line.get("images_not_read") for line in found} == {"a": 2, "plain": None}
    assert found[0]["not_read"] == ["a.png (missing)", "b.tga (missing)"]
    assert json.loads(Path("ccm/stage.json").read_text())["counts"]["images not read"] == 2
    Path("objs/a.mtl").write_text("newmtl a\nmap_Kd a.ktx2\n")
    Path("objs/a.ktx2").write_bytes(b"\xabKTX 20\xbb\r\n\x1a\n")
    assert render("objs", "--out", "again", "--maps", "ccm,rgb") == 0
    said = capsys.readouterr().err
    assert "2 images or materials of 1 object missing or not readable" in said
    assert "(a.ktx2 (KTX2), material b (in no .mtl))" in said and "images as PNG" in said
    assert render("objs", "--out", "maps") == 0  # nobody looks at images for maps alone
    assert "images" not in Path("maps/stage.json").read_text()
