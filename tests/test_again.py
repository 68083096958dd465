"""Objects of which a file could not be opened: the same command tries them again once it can be."""

from pathlib import Path

import pytest
from ccm_samples import QUICK, contents, render
from glb_samples import text_gltf
from killed import kill_at
from render_samples import sides, toy, write_ortho10view
from shape_samples import box
from shut_folders import run_as_anyone

from sdtool.cli import run
from sdtool.io.files import read_json, read_jsonl, write_jsonl
from sdtool.meshfiles import write_glb

pytestmark = pytest.mark.usefixtures("in_a_folder")

UIDS = ("a1", "a2", "a3")  # which say nothing: captions come of what is in the files
COMMANDS = {
    "shards": ["render-ccm", *QUICK, "--shard-size", "2"],
    "crm": "render-ccm --layout crm --size 256 --supersample 1 --workers 1".split(),
    "caption": "caption --files always --workers 1".split(),
    "orient": "orient --turns 2 --views 1 --workers 1 --device cpu".split(),
}
TITLES = {"shards": "rendering", "caption": "reading files"}
TRIED = "tried again: 1 object of which a file could not be opened before, and now can be"


def write_objects():
    for uid, name in zip(UIDS, ("chair", "table", "lamp"), strict=True):
        write_glb(Path("objs", f"{uid}.glb"), box([0, 0, 0], [1, 2, 4]), name=name)
    write_jsonl("objects.jsonl", [{"uid": uid, "path": f"objs/{uid}.glb"} for uid in UIDS])


def made(folder):
    """What a stage wrote, but for its record."""
    return {name: data for name, data in contents(Path(folder)).items() if "stage" not in name}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_might_not_be_read_is_tried_again_by_the_same_command(name, capsys):
    write_objects()
    command, one = [*COMMANDS[name], "objs", "--out"], Path("objs/a2.glb")
    assert run([*command, "whole"]) == 0
    one.chmod(0)
    code, said = run_as_anyone(*command, "out")
    (failure,) = read_jsonl("out/failures.jsonl")
    assert (code, failure["uid"], failure["reason"]) == (3, "a2", "unreadable-file")
    assert failure["file"] == str(one.resolve())
    code, said = run_as_anyone(*command, "out")  # it may still not be read
    assert code == 3 and "--overwrite redoes it" in said and "tried again" not in said
    one.chmod(0o644)
    capsys.readouterr()
    assert run([*command, "out"]) == 0
    assert TRIED in capsys.readouterr().err
    assert made("out") == made("whole")
    assert read_json("out/stage.json")["counts"] == read_json("whole/stage.json")["counts"]
    assert run([*command, "out"]) == 0
    assert "tried again" not in capsys.readouterr().err


@pytest.mark.parametrize("file", ["meta.json", "depth_0001.exr", "color_0001.webp"])
def test_renders_of_others_that_might_not_be_read(file):
    for name in ("one", "two"):
        write_ortho10view(f"theirs/{name}", toy(), sides()[:2], ("ORTHO", 1.1), 32)
    command = ["render-ccm", "theirs", "--from", "ortho10view", "--maps", "ccm,rgb"]
    command += ["--size", "16", "--workers", "1", "--out"]
    (shut,) = Path("theirs/one").glob(file)
    shut.chmod(0)
    assert run_as_anyone(*command, "out")[0] == 3
    (failure,) = read_jsonl("out/failures.jsonl")
    assert (failure["uid"], failure["reason"]) == ("one", "unreadable-file")
    assert f"{file} cannot be read (Permission denied)" in failure["message"]
    shut.chmod(0o644)
    assert run([*command, "out"]) == 0
    assert run([*command, "whole"]) == 0
    assert made("out") == made("whole")


def test_what_else_failed_stays_as_it_is(capsys):
    write_objects()
    Path("objs/a3.glb").write_bytes(Path("objs/a1.glb").read_bytes()[:400])
    Path("objs/a2.glb").rename("a2.glb")  # not mounted yet
    assert render("objects.jsonl", "--out", "out") == 3
    Path("a2.glb").rename("objs/a2.glb")
    capsys.readouterr()
    assert render("objects.jsonl", "--out", "out") == 3
    assert TRIED in capsys.readouterr().err
    assert [line["uid"] for line in read_jsonl("out/failures.jsonl")] == ["a3"]
    assert read_json("out/stage.json")["counts"] == {"ok": 2, "failed": 1}
    assert render("objects.jsonl", "--out", "whole") == 3
    assert made("out") == made("whole")


@pytest.mark.parametrize("uri", ["a 2.bin", "parts/a%202.bin", "parts\\a%202.bin"])
def test_a_buffer_that_was_put_beside_its_model_later(uri, capsys):
    write_objects()
    Path("objs/a2.glb").unlink()
    data = text_gltf(Path("objs/a2.gltf"), uri=uri)
    paths = {"a1": "objs/a1.glb", "a2": "objs/a2.gltf"}
    write_jsonl("objects.jsonl", [{"uid": uid, "path": path} for uid, path in paths.items()])
    assert render("objects.jsonl", "--out", "out") == 3
    assert [line["reason"] for line in read_jsonl("out/failures.jsonl")] == ["missing-buffer"]
    place = Path("objs", "parts" if "parts" in uri else "", "a 2.bin")
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(data)
    capsys.readouterr()
    assert render("objects.jsonl", "--out", "out") == 0
    assert TRIED in capsys.readouterr().err
    assert render("objects.jsonl", "--out", "whole") == 0
    assert made("out") == made("whole")


@pytest.mark.parametrize("name", TITLES)
def test_interrupted_runs_try_them_again_too(name):
    write_objects()
    command = [*COMMANDS[name], "objects.jsonl", "--out"]
    Path("objs/a1.glb").rename("a1.glb")
    kill_at([*command, "out"], TITLES[name], 3 if name == "shards" else 2)
    if name == "shards":  # the first of its two is whole, without that object
        assert Path("out/ccm-00000.safetensors").exists()
    Path("a1.glb").rename("objs/a1.glb")
    assert run([*command, "out"]) == 0
    assert run([*command, "whole"]) == 0
    assert made("out") == made("whole")


@pytest.mark.parametrize("name", TITLES)
def test_one_that_is_killed_as_it_tries_again_goes_on(name):
    write_objects()
    command = [*COMMANDS[name], "objects.jsonl", "--out"]
    Path("objs/a3.glb").rename("a3.glb")
    assert run([*command, "out"]) == 3
    Path("a3.glb").rename("objs/a3.glb")
    kill_at([*command, "out"], TITLES[name], 1)
    assert not Path("out/stage.json").exists()
    assert run([*command, "out"]) == 0
    assert run([*command, "whole"]) == 0
    assert made("out") == made("whole")
