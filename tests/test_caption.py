"""The stage caption: what it takes, what it writes, by workers and ranks, run again and killed."""

import json
import os

import pytest
from assets import ASSETS, EXAMPLE
from caption_samples import glb, record
from collection_samples import annotation, write_collection
from glb_samples import container
from killed import kill_at

from sdtool.cli import run

# The stage


@pytest.fixture
def objects(tmp_path):
    path = tmp_path / "filtered" / "objects.jsonl"
    path.parent.mkdir()
    items = [
        {**record("Red Chair", ["chair"], lvis=["chair"]), "uid": "a", "path": "a.glb"},
        {**record("untitled", ["mug", "blue"]), "uid": "b", "path": "b.glb"},
    ]
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def command(capsys, *arguments):
    """(exit code, stdout, stderr) of one command line."""
    code = run(["caption", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_stage_writes_a_line_for_each_object_and_a_rerun_does_nothing(objects, tmp_path, capsys):
    out = tmp_path / "captions"
    code, stdout, _ = command(capsys, objects, "--out", out)
    assert (code, stdout) == (0, f"{out}\n")
    assert {line["uid"]: line["caption"] for line in lines(out / "captions.jsonl")} == {
        "a": "a red chair",
        "b": "a blue mug",
    }
    before = (out / "captions.jsonl").stat().st_mtime_ns
    code, stdout, stderr = command(capsys, objects, "--out", out)
    assert (code, stdout) == (0, f"{out}\n") and "already" in stderr
    assert (out / "captions.jsonl").stat().st_mtime_ns == before
    with open(objects, "a") as file:
        file.write(json.dumps({**record("Lamp"), "uid": "c", "path": "c.glb"}) + "\n")
    assert command(capsys, objects, "--out", out)[0] == 2
    assert command(capsys, objects, "--out", out, "--overwrite")[0] == 0
    assert len(lines(out / "captions.jsonl")) == 3


def test_stage_takes_the_filters_folder_or_meshes(objects, tmp_path, capsys):
    code, stdout, _ = command(capsys, objects.parent, "--out", tmp_path / "c", "--json")
    assert code == 0 and json.loads(stdout)["counts"]["ok"] == 2
    meshes = tmp_path / "meshes" / "kitchen"
    meshes.mkdir(parents=True)
    (meshes / "blue-teapot.glb").write_bytes(b"not read")
    assert command(capsys, meshes.parent, "--out", tmp_path / "d")[0] == 0
    (line,) = lines(tmp_path / "d/captions.jsonl")
    assert (line["uid"], line["caption"]) == ("blue-teapot", "a blue teapot")


def test_stage_takes_an_unfiltered_collection(tmp_path, capsys):
    root = write_collection(tmp_path / "objs", [annotation("u1", "Red Chair"), annotation("u2")])
    assert command(capsys, root, "--out", tmp_path / "c")[0] == 0
    found = {line["uid"]: line["caption"] for line in lines(tmp_path / "c/captions.jsonl")}
    assert found == {"u1": "a red chair", "u2": "a wooden chair"}


def test_an_object_without_words_does_not_end_the_run(objects, tmp_path, capsys):
    with open(objects, "a") as file:
        for uid, path in (("c", "c.glb"), ("d", None), ("e", "e.glb")):
            file.write(json.dumps({**record("03"), "uid": uid, "path": path}) + "\n")
    (objects.parent / "e.glb").write_bytes(container({"asset": {"version": "2.0"}}))
    out = tmp_path / "captions"
    assert command(capsys, objects, "--out", out)[0] == 3
    failures = {f["uid"]: f["reason"] for f in lines(out / "failures.jsonl")}
    assert failures == {"c": "missing-file", "d": "missing-file", "e": "no-words"}
    assert len(lines(out / "captions.jsonl")) == 2
    assert command(capsys, objects, "--out", out)[0] == 3  # and again, as recorded


def test_bad_input_is_named(objects, tmp_path, capsys):
    out = tmp_path / "captions"
    code, stdout, stderr = command(capsys, tmp_path / "absent", "--out", out)
    assert (code, stdout) == (1, "") and "absent" in stderr
    objects.write_text('{"uid": "a", "path": "a.glb"}\nnot json\n')
    code, _, stderr = command(capsys, objects, "--out", out)
    assert code == 1 and "line 2" in stderr
    assert command(capsys, objects, "--out", out, "--method", "guess")[0] == 2
    assert command(capsys, objects)[0] == 2
    assert not out.exists()


def test_a_folder_of_meshes_speaks_through_its_files(tmp_path, capsys):
    asset = {"version": "2.0", "extras": {"title": "Red Bicycle"}}
    glb(tmp_path, "meshes/0290737f64b14b08b87faa644580f3a9.glb", asset=asset)
    glb(tmp_path, "meshes/blue-teapot.glb", asset=asset)
    for mode, expected, code in (
        ("when-needed", ["a red bicycle", "a blue teapot"], 0),
        ("never", ["a blue teapot"], 3),
        ("always", ["a red bicycle", "a blue teapot"], 0),
    ):
        out = tmp_path / mode
        assert command(capsys, tmp_path / "meshes", "--out", out, "--files", mode)[0] == code
        assert [line["caption"] for line in lines(out / "captions.jsonl")] == expected
    by_uid = {line["uid"]: line for line in lines(tmp_path / "always/captions.jsonl")}
    assert by_uid["blue-teapot"]["alternatives"][0]["caption"] == "a red bicycle"
    assert not list(tmp_path.rglob("*.partial*"))


def test_worker_processes_say_the_same(tmp_path, capsys, monkeypatch):
    import sdtool.captioning.method_offline

    for k in range(12):
        asset = {"version": "2.0", "extras": {"title": f"{'Red' if k % 2 else 'Old'} Bicycle"}}
        glb(tmp_path, f"meshes/{k:08x}.glb", asset=asset)
    (tmp_path / "meshes/00000003.glb").write_bytes(b"broken")
    assert command(capsys, tmp_path / "meshes", "--out", tmp_path / "one")[0] == 3
    monkeypatch.setattr(sdtool.captioning.method_offline, "FEW", 0)
    options = ("--out", tmp_path / "two", "--workers", "2")
    assert command(capsys, tmp_path / "meshes", *options)[0] == 3
    for name in ("captions.jsonl", "failures.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert len(lines(tmp_path / "one/captions.jsonl")) == 11


def test_ranks_share_the_work(objects, tmp_path, capsys):
    with open(objects, "a") as file:
        file.write(json.dumps({**record("Old Lamp"), "uid": "c", "path": "c.glb"}) + "\n")
    out = tmp_path / "captions"
    for rank in (1, 0):
        options = ("--rank", rank, "--world-size", 2)
        code, stdout, _ = command(capsys, objects, "--out", out, *options)
        assert (code, stdout) == (0, f"{out / f'rank-0000{rank}'}\n")
    found = [[x["uid"] for x in lines(out / f"rank-0000{k}/captions.jsonl")] for k in (0, 1)]
    assert found == [["a", "c"], ["b"]]
    assert command(capsys, objects, "--out", out, "--rank", 2, "--world-size", 2)[0] == 2


@pytest.mark.slow
def test_a_killed_run_continues_to_the_same_bytes(tmp_path, capsys):
    names = ["Red Chair", "untitled_03", "Old House", "asset_07", "Дом"]
    listing = tmp_path / "objects.jsonl"
    with open(listing, "w") as file:
        for k in range(2_500):
            tags = ["mug", "red", "wooden"] if k % 3 else []
            item = {**record(names[k % 5], tags), "uid": f"{k:06d}", "path": None}
            file.write(json.dumps(item) + "\n")
    arguments = ["caption", str(listing), "--out"]
    alone = ["--workers", "1"]
    assert run([*arguments, str(tmp_path / "whole"), *alone]) == 3
    out = tmp_path / "killed"
    kill_at([*arguments, out, "--workers", "2"], "captioning", 1500)
    ledger = out / "captions.partial"
    assert ledger.is_file() and not (out / "stage.json").exists()
    ready = ledger.read_bytes()
    with open(ledger, "r+b") as file:
        file.truncate(len(ready) - 7)  # and the disk lost a little
    before = ledger.read_bytes().count(b"\n")
    assert 0 < before < 2_500
    assert run([*arguments, str(out), *alone]) == 3
    capsys.readouterr()
    for name in ("captions.jsonl", "failures.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not ledger.exists() and "captions.partial" not in os.listdir(out)


# Real objects


@pytest.mark.skipif(not ASSETS.is_dir(), reason=f"no real assets at {ASSETS}")
def test_real_objects(tmp_path, capsys):
    assert command(capsys, ASSETS, "--out", tmp_path / "c")[0] == 3
    found = {line["uid"]: line["caption"] for line in lines(tmp_path / "c/captions.jsonl")}
    assert found["0290737f64b14b08b87faa644580f3a9"] == "a passarela"
    assert found["822202b6b8594342b632b0a39432642a"] == "a bike"
    assert found["building-small-a"] == "a small building"
    (failure,) = lines(tmp_path / "c/failures.jsonl")  # "CTS 212-1", a tile
    assert (failure["uid"][:4], failure["reason"]) == ("e2ec", "no-words")


@pytest.mark.skipif(not EXAMPLE.is_file(), reason=f"no real annotation at {EXAMPLE}")
def test_a_real_annotation(tmp_path, capsys):
    root = write_collection(tmp_path / "objs", [json.loads(EXAMPLE.read_text(encoding="utf-8"))])
    assert command(capsys, root, "--out", tmp_path / "c")[0] == 0
    (line,) = lines(tmp_path / "c/captions.jsonl")
    assert (line["caption"], line["source"]) == ("a stair", "tags")
    assert line["annotation"] == "Iain Dawson Kew Road Formby"
