"""render-ccm: what it says of bad objects, of slow ones, and of images that are not there."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from ccm_samples import QUICK, contents, read_shard, render, spoil, write_objects
from killed import StandingClock
from shape_samples import box, icosphere

from sdtool.cli import run
from sdtool.geometry.meshes import Mesh, merge
from sdtool.io.files import read_json, read_jsonl, write_jsonl
from sdtool.meshfiles import write_glb
from sdtool.rendering import collection
from sdtool.runtime.progress import Bar

pytestmark = pytest.mark.usefixtures("in_a_folder")


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
