"""What a folder holds: models, also behind links, and files that nobody reads."""

import json
import os

import pytest
from glb_samples import corner
from shut_folders import LISTING, LOOKING, run_as_anyone, shut
from touched import touch

from sdtool.cli import run
from sdtool.errors import InputError
from sdtool.evaluating.assets import find_assets
from sdtool.filtering.first_pass import Listings
from sdtool.io.folders import say_unread, survey, unread_kind
from sdtool.io.objects import iter_objects


def uids(folder):
    return [item.uid for item in iter_objects(folder)]


def test_files_of_other_kinds_are_counted_once_and_named(tmp_path):
    touch(tmp_path, "a.glb", "b.FBX", "c.fbx", "d/e.blend", "d/f.zip", "g.usdz", "h.tar.gz")
    touch(tmp_path, "a.bin", "a.png", "LICENSE", "b.mtl", "n.txt", ".x.fbx", "v1.2", "a.blend1")
    found = survey(tmp_path)
    assert [path.name for path in found.models] == ["a.glb"]
    said = ".fbx (2), .blend (1), .blend1 (1), .tar.gz (1), .usdz (1), .zip (1)"
    assert say_unread(found.unread) == f"7 files of kinds that sdtool does not read: {said}"
    (tmp_path / "a.glb").unlink()
    with pytest.raises(InputError, match=r"holds no objects.*it holds 7 files of kinds"):
        uids(tmp_path)


@pytest.mark.parametrize(
    "name", ["a.fbx", "a.DAE", "a.3ds", "a.x3d", "a.step", "a.c4d", "a.glb.gz"]
)
def test_kinds_that_are_not_read(name):
    assert unread_kind(name) == "." + name.lower().partition(".")[2]


def test_a_linked_file_keeps_its_name_and_a_linked_folder_is_walked_once(tmp_path):
    touch(tmp_path, "blobs/0123", "disk/chair.glb", "disk/deep/mug.glb", "objs/own.glb")
    (tmp_path / "objs/link.glb").symlink_to("../blobs/0123")
    (tmp_path / "objs/lost.glb").symlink_to("nowhere")
    (tmp_path / "objs/lost.txt").symlink_to("nowhere")
    (tmp_path / "objs/a").symlink_to("../disk")
    (tmp_path / "objs/b").symlink_to("../disk")
    (tmp_path / "disk/deep/loop").symlink_to("..")
    (tmp_path / "disk/up").symlink_to("../objs")
    found = list(iter_objects(tmp_path / "objs"))
    assert [item.uid for item in found] == ["chair", "mug", "link", "lost", "own"]
    assert found[2].path == str(tmp_path.resolve() / "objs/link.glb")
    (tmp_path / "again").symlink_to("objs")  # a folder that is a link itself
    assert uids(tmp_path / "again") == [item.uid for item in found]


def test_uids_without_inner_endings(tmp_path):
    touch(tmp_path, "a/chair.gltf.glb", "a/b.GLTF")
    assert uids(tmp_path) == ["b", "chair"]
    touch(tmp_path, "a/mug.gltf.glb", "c/chair.obj")
    assert uids(tmp_path) == ["b", "chair.gltf", "mug", "chair"]
    touch(tmp_path, "c/b.obj")
    assert uids(tmp_path)[0] == "a/b.GLTF"


def test_stages_count_what_they_do_not_read_and_name_links_to_nowhere(tmp_path, capsys):
    touch(tmp_path, "objs/a.fbx", "objs/b.fbx")
    corner().save(tmp_path / "objs" / "box.glb")
    (tmp_path / "objs" / "lost_chair_A.glb").symlink_to("nowhere")  # a name that says what it is
    said = "2 files of kinds that sdtool does not read: .fbx (2)"
    more = {
        "render-ccm": ["--views", "1", "--size", "8", "--workers", "1"],
        "caption": ["--workers", "1"],
        "filter-objaverse": ["--inspect", "--workers", "1"],
    }
    for stage, options in more.items():
        out = tmp_path / stage
        code = run([stage, str(tmp_path / "objs"), "--out", str(out), *options])
        assert capsys.readouterr().err.count(said) == 1, stage
        counts = json.loads((out / "stage.json").read_text())["counts"]
        assert counts["not read"] == 2
        if stage != "filter-objaverse":
            failure = json.loads((out / "failures.jsonl").read_text())
            assert (code, failure["uid"], failure["reason"]) == (3, "lost_chair_A", "missing-file")
            assert "is a link to a file that does not exist" in failure["message"]
        if stage == "filter-objaverse":
            lines = map(json.loads, (out / "rejected.jsonl").read_text().splitlines())
            assert "no-file" in {line["uid"]: line["rules"] for line in lines}["lost_chair_A"]


@pytest.mark.parametrize("refused", [LOOKING, (*LOOKING, *LISTING)])
def test_stages_name_the_folders_that_they_may_not_look_into(
    tmp_path, capsys, monkeypatch, refused
):
    (tmp_path / "objs/shut/deep").mkdir(parents=True)
    touch(tmp_path, "objs/shut/mug.glb", "objs/shut/deep/cup.glb", "other/shut/mug.glb")
    corner().save(tmp_path / "objs" / "box.glb")
    corner().save(tmp_path / "objs" / "chair.glb")
    table = tmp_path / "table.json"
    table.write_text('{"box": 0, "chair": 90}')
    shut(monkeypatch, *refused)
    more = {
        "render-ccm": ["--views", "1", "--size", "8", "--workers", "1"],
        "caption": ["--workers", "1"],
        "filter-objaverse": ["--workers", "1"],
        "orient": ["--by", "table", "--table", str(table), "--workers", "1"],
    }
    said = f"{tmp_path / 'objs/shut'} cannot be read (Permission denied); what it holds is left out"
    for stage, options in more.items():
        out = tmp_path / stage
        assert run([stage, str(tmp_path / "objs"), "--out", str(out), *options]) == 0
        assert capsys.readouterr().err.count(said) == 1, stage
        counts = json.loads((out / "stage.json").read_text())["counts"]
        assert (counts["ok"], counts["failed"], counts["folders not read"]) == (2, 0, 1)
        assert run([stage, str(tmp_path / "objs"), "--out", str(out), *options]) == 0
        said_again = capsys.readouterr().err
        assert "redoes it, and tries again the 1 folder that could not be read then" in said_again
    with pytest.raises(InputError, match=r"other holds no objects.*shut cannot be read \(Perm"):
        uids(tmp_path / "other")


@pytest.mark.parametrize("stage", ["caption", "render-ccm", "filter-objaverse", "crm"])
def test_links_into_a_folder_that_is_shut_end_nothing(tmp_path, stage):
    for name in ("objs/box", "vault/cup", "vault/in/mug"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        corner().save(tmp_path / f"{name}.glb")
    (tmp_path / "objs/more").symlink_to(tmp_path / "vault/in")
    (tmp_path / "objs/cup.glb").symlink_to(tmp_path / "vault/cup.glb")
    more = {"render-ccm": "--views 1 --size 8", "crm": "--layout crm --size 256 --supersample 1"}
    options = more.get(stage, "").split()
    stage = "render-ccm" if stage == "crm" else stage
    command = [stage, tmp_path / "objs", "--out", tmp_path / "out", "--workers", "1", *options]
    (tmp_path / "vault").chmod(0)
    try:
        code, said = run_as_anyone(*command)
        assert f"{tmp_path / 'objs/more'} cannot be read (Permission denied)" in said
        counts = json.loads((tmp_path / "out/stage.json").read_text())["counts"]
        assert (counts["ok"], counts["folders not read"]) == (1, 1)
        if stage != "filter-objaverse":
            failure = json.loads((tmp_path / "out/failures.jsonl").read_text())
            assert (code, failure["uid"], failure["reason"]) == (3, "cup", "unreadable-file")
            assert "cup.glb cannot be read (Permission denied)" in failure["message"]
        (tmp_path / "vault").chmod(0o644)
        code, said = run_as_anyone(
            "caption", tmp_path / "vault", "--out", tmp_path / "no", "--debug"
        )
        assert code == 1 and "Traceback" in said and "stdout" not in said
    finally:
        (tmp_path / "vault").chmod(0o755)


def test_files_that_may_not_be_read_are_told_with_the_cure(tmp_path):
    objs = tmp_path / "objs"
    touch(objs, "glb.glb", "obj.obj", "gltf.gltf", "part.bin")
    corner().save(objs / "box.glb")
    tree = {
        "asset": {"version": "2.0"},
        "buffers": [{"uri": "part.bin", "byteLength": 36}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "nodes": [{"mesh": 0}],
    }
    (objs / "needs.gltf").write_text(json.dumps(tree))
    touch(objs, "shut/part.bin")
    tree["buffers"][0]["uri"] = "shut/part.bin"
    (objs / "deep.gltf").write_text(json.dumps(tree))
    for name in ("glb.glb", "obj.obj", "gltf.gltf", "part.bin"):
        (objs / name).chmod(0)
    small = "--views", "1", "--size", "8", "--workers", "1"
    (objs / "shut").chmod(0)
    assert run_as_anyone("render-ccm", objs, "--out", tmp_path / "ccm", *small)[0] == 3
    (objs / "shut").chmod(0o755)
    lines = map(json.loads, (tmp_path / "ccm/failures.jsonl").read_text().splitlines())
    cure = "cannot be read (Permission denied); change its permissions, or those of its folder"
    assert {line["uid"]: (line["reason"], line["message"]) for line in lines} == {
        **{n: ("unreadable-file", f"{objs / n}.{n} {cure}") for n in ("glb", "gltf", "obj")},
        "needs": ("unreadable-file", f"{objs}/part.bin, which {objs}/needs.gltf needs, {cure}"),
        "deep": (
            "unreadable-file",
            f"{objs}/shut/part.bin, which {objs}/deep.gltf needs, {cure}",
        ),
    }


def test_assets_to_evaluate_behind_links(tmp_path):
    touch(tmp_path, "blobs/0123", "rev/mine/box.glb", "disk/a/mug.glb")
    (tmp_path / "rev/mine/toy.glb").symlink_to("../../blobs/0123")
    (tmp_path / "rev/mine/lost.glb").symlink_to("nowhere")
    (tmp_path / "rev/mine/gone.txt").symlink_to("nowhere")
    (tmp_path / "rev/disk").symlink_to("../disk")
    (tmp_path / "disk/loop").symlink_to("../rev")
    found = find_assets([tmp_path / "rev"])
    expected = {"box": "mine", "lost": "mine", "toy": "mine", "mug": "a"}
    assert {asset.name: asset.method for asset in found} == expected
    (one,) = find_assets([tmp_path / "rev/mine/toy.glb"])
    assert (one.name, one.method) == ("toy", "toy")


def test_a_link_to_itself_ends_nothing(tmp_path, capsys):
    (tmp_path / "a.glb").symlink_to("a.glb")
    corner().save(tmp_path / "b.glb")
    assert [asset.name for asset in find_assets([tmp_path])] == ["a", "b"]
    small = ["--views", "1", "--size", "8", "--workers", "1"]
    assert run(["render-ccm", str(tmp_path), "--out", str(tmp_path / "c"), *small]) == 3
    assert f"1 object failed; {tmp_path}/c/failures.jsonl says why" in capsys.readouterr().err
    failure = json.loads((tmp_path / "c" / "failures.jsonl").read_text())
    assert (failure["uid"], failure["reason"]) == ("a", "unreadable-file")


def test_what_is_named_as_a_model_and_is_no_file_is_counted(tmp_path):
    corner().save(tmp_path / "a.glb")
    os.mkfifo(tmp_path / "b.glb")
    found = survey(tmp_path)
    assert [path.name for path in found.models] == ["a.glb"]
    assert say_unread(found.unread) == (
        "1 file of kinds that sdtool does not read: .glb that is no file (1)"
    )


def test_what_the_system_refuses_has_a_cure(tmp_path, capsys):
    (tmp_path / "objs").mkdir()
    corner().save(tmp_path / "objs/a.glb")
    (tmp_path / "turn").symlink_to("turn")
    assert run(["caption", str(tmp_path / "objs"), "--out", str(tmp_path / "turn/out")]) == 1
    said = (
        "Too many levels of symbolic links; it is a link that leads back to itself: name the file"
    )
    assert f"sdtool: {tmp_path / 'turn/out'}: {said}" in capsys.readouterr().err
    (tmp_path / "shut").mkdir(0o555)
    code, said = run_as_anyone("caption", tmp_path / "objs", "--out", tmp_path / "shut/out")
    assert (code, said) == (
        1,
        f"sdtool: {tmp_path / 'shut/out'}: Permission denied; have what is read readable for you, and the "
        "folder of what is written writable\n",
    )


def test_a_link_to_itself_hides_no_file_beside_it(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "turn.glb").symlink_to("turn.glb")
    for number in range(20):  # folders are listed in no known order
        (folder / f"{number}.glb").write_bytes(b"glTF")
    listings = Listings()
    assert all(listings.has(str(folder / f"{number}.glb")) for number in range(20))
    assert not listings.has(str(folder / "turn.glb"))
