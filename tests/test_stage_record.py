"""What stages hand each other: atomic files, the stage record, lists of objects, work over many."""

import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from sdtool import __version__
from sdtool.errors import InputError, ObjectError, UsageError
from sdtool.io import files, stage_record
from sdtool.io.failures import error_of, failure, failure_line, failures_file, write_failures
from sdtool.io.files import read_json, read_jsonl
from sdtool.io.lock import LOCK, release_all
from sdtool.io.objects import ObjectRecord, iter_objects, object_rng
from sdtool.io.stage_record import begin, digest


def names(folder):
    """The files below a folder, but for the lock of a stage that is open."""
    found = (p for p in folder.rglob("*") if p.is_file() and p.name != LOCK)
    return sorted(p.relative_to(folder).as_posix() for p in found)


def run_stage(out, *, params=None, inputs=None, overwrite=False, stage="demo", **more):
    """Begin a stage with one parameter, unless told otherwise."""
    params = {"seed": 0} if params is None else params
    return begin(out, stage, params=params, inputs=inputs, overwrite=overwrite, **more)


# Atomic files


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "value.txt"
    with files.atomic_path(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == path.parent and not path.exists()
    assert path.read_text() == "new" and names(tmp_path) == ["deep/value.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_no_temporary(tmp_path, error):
    path = tmp_path / "value.txt"
    path.write_text("old")
    with pytest.raises(error), files.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old" and names(tmp_path) == ["value.txt"]


def test_a_failing_list_leaves_the_old_file(tmp_path):
    def records():
        yield {"uid": "a"}
        raise ObjectError("no-triangles", "the second one")

    path = tmp_path / "objects.jsonl"
    assert files.write_jsonl(path, [{"uid": "z"}]) == 1
    with pytest.raises(ObjectError):
        files.write_jsonl(path, records())
    assert list(read_jsonl(path)) == [{"uid": "z"}] and names(tmp_path) == ["objects.jsonl"]


def test_the_temporary_keeps_the_suffix_and_is_hidden(tmp_path):
    """Writers choose a format by suffix; readers that glob for results must not see it."""
    with files.atomic_path(tmp_path / "ccm-00000.safetensors") as temporary:
        temporary.touch()
        assert temporary.suffix == ".safetensors" and temporary.name.startswith(".")
        assert not list(tmp_path.glob("*-?????.safetensors"))


# JSON


def test_json_carries_paths_numpy_and_any_unicode(tmp_path):
    value = {"path": tmp_path, "n": np.int64(3), "v": np.array([0.5, 1.0]), "text": "é 木 \ud83d"}
    expected = {"path": str(tmp_path), "n": 3, "v": [0.5, 1.0], "text": "é 木 \ud83d"}
    files.write_json(tmp_path / "one.json", value)
    assert read_json(tmp_path / "one.json") == expected
    files.write_jsonl(tmp_path / "two.jsonl", [value])
    files.append_jsonl(tmp_path / "two.jsonl", value)
    assert list(read_jsonl(tmp_path / "two.jsonl")) == [expected, expected]
    assert "é 木" in (tmp_path / "one.json").read_text(encoding="utf-8")


def test_what_json_cannot_hold_is_an_error_not_a_guess(tmp_path):
    with pytest.raises(TypeError, match="set"):
        files.write_json(tmp_path / "x.json", {"a": {1}})
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "third, complaint",
    [
        (b'{"uid": ', "line 3 is not valid JSON"),
        (b"[1, 2]", "line 3 is not a JSON object"),
        (b'{"uid": "\xff"}', "line 3 is not valid JSON .not UTF-8"),
    ],
)
def test_a_broken_line_is_named(tmp_path, third, complaint):
    path = tmp_path / "objects.jsonl"
    path.write_bytes(b'{"uid": "a"}\n\n' + third + b"\n")
    lines = read_jsonl(path)
    assert next(lines) == {"uid": "a"}
    with pytest.raises(InputError, match=complaint) as error:
        next(lines)
    assert str(path) in str(error.value)


def test_a_log_is_trimmed_also_of_a_line_that_a_kill_cut_short(tmp_path):
    def early(line):
        return line["step"] <= 2

    path = tmp_path / "log.jsonl"
    files.trim_jsonl(path, early)
    assert not path.exists()
    whole = b'{"step": 1}\n{"step": 2}\n{"step": 3}\n'
    for tail in (b"", b'{"st', b'{"step": 4, "phase": "co\n', b"\0\0\0", b"\xff"):
        path.write_bytes(whole + tail)
        files.trim_jsonl(path, early)
        assert path.read_bytes() == b'{"step": 1}\n{"step": 2}\n'
    path.write_bytes(b'{"st\n' + whole)
    with pytest.raises(InputError, match="line 1 is not valid JSON"):
        files.trim_jsonl(path, early)
    assert path.read_bytes() == b'{"st\n' + whole


def test_missing_and_broken_files_are_named(tmp_path):
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    for name, complaint in (("bad", "not valid"), ("bytes", "not valid"), ("no", "does not exist")):
        with pytest.raises(InputError, match=f"{name}.json .*{complaint}"):
            read_json(tmp_path / f"{name}.json")
    with pytest.raises(InputError, match="no.jsonl does not exist"):
        list(read_jsonl(tmp_path / "no.jsonl"))


# Tensors


def test_tensors_come_back_whatever_their_layout_and_length(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {
        "object": np.arange(3, dtype=np.int32),
        "ccm": rng.normal(size=(3, 5, 7, 4)).astype(np.float16).transpose(0, 3, 1, 2),
        "c2w": rng.normal(size=(3, 4, 4)).astype(np.float32)[:, ::-1],
        "none": np.zeros((0, 4, 8, 8), np.float16),
    }
    files.write_tensors(tmp_path / "x.safetensors", tensors, {"uids": '["é"]'})
    back = load_file(tmp_path / "x.safetensors")
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype and np.array_equal(back[name], tensor), name


def test_equal_tensors_give_equal_bytes_in_any_order(tmp_path):
    a, b = np.ones(3, np.float32), np.zeros((2, 3), np.float16)
    orders = [
        ({"a": a, "b": b}, {"x": "1", "y": "2", "z": "3"}),
        ({"b": b, "a": a}, {"z": "3", "y": "2", "x": "1"}),
    ]
    contents = []
    for tensors, metadata in orders:
        files.write_tensors(tmp_path / "x.safetensors", tensors, metadata)
        contents.append((tmp_path / "x.safetensors").read_bytes())
    assert contents[0] == contents[1]


# Digests


def test_a_files_digest_follows_its_bytes(tmp_path):
    for name, text in (("a", "one"), ("b", "one"), ("c", "two")):
        (tmp_path / name).write_text(text)
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")


def test_a_folders_digest_follows_names_and_sizes(tmp_path):
    folder = tmp_path / "objs"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.glb").write_bytes(b"1234")
    first = digest(folder)
    (folder / "deep" / "a.glb").write_bytes(b"5678")  # not looked into
    assert digest(folder) == first
    (folder / "deep" / "a.glb").write_bytes(b"56789")
    longer = digest(folder)
    (folder / "deep" / "a.glb").rename(folder / "deep" / "b.glb")
    assert len({first, longer, digest(folder)}) == 3


def test_a_stage_directorys_digest_is_its_records(tmp_path):
    run_stage(tmp_path / "out").finish(counts={"ok": 1}, outputs=[])
    first = digest(tmp_path / "out")
    (tmp_path / "out" / "note.txt").write_text("mine")
    assert digest(tmp_path / "out") == first
    run_stage(tmp_path / "other", params={"seed": 1}).finish(counts={"ok": 1}, outputs=[])
    assert digest(tmp_path / "other") != first
    with pytest.raises(InputError, match="absent does not exist"):
        digest(tmp_path / "absent")


# The stage record


def test_a_stage_is_open_then_done(tmp_path):
    source, out = tmp_path / "in.txt", tmp_path / "out"
    source.write_text("x")
    record = run_stage(
        out, params={"size": (32, 32), "at": out}, inputs={"text": source, "no": None}
    )
    assert not record.is_done and not record.resumed
    assert names(out) == ["stage.partial.json"]
    result = record.finish(counts={"ok": 2, "failed": 1}, outputs=["a.png", out / "b.png"])
    assert (result.path, result.failed) == (out, 1)
    assert names(out) == ["stage.json"]
    assert read_json(out / "stage.json") == {
        "stage": "demo",
        "sdtool": __version__,
        "params": {"size": [32, 32], "at": str(out)},
        "inputs": {"text": {"path": str(source), "digest": digest(source)}},
        "counts": {"ok": 2, "failed": 1},
        "outputs": ["a.png", str(out / "b.png")],
    }


def test_the_same_command_finds_it_done_with_the_same_result(tmp_path):
    first = run_stage(tmp_path / "out").finish(counts={"ok": 1, "failed": 2}, outputs=["x"])
    before = (tmp_path / "out" / "stage.json").stat().st_mtime_ns
    again = run_stage(tmp_path / "out")
    assert again.is_done and not again.resumed
    result = again.result()
    assert (result.path, result.failed) == (first.path, 2)
    assert result.summary == {**first.summary, "reused": True}
    assert (tmp_path / "out" / "stage.json").stat().st_mtime_ns == before


def test_an_interrupted_command_is_resumed_and_its_litter_swept(tmp_path):
    out = tmp_path / "out"
    run_stage(out)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (out / "deep").mkdir()
    for name in (f".a.png.{dead.pid}.tmp.png", f"deep/.b.json.{dead.pid}.tmp.json"):
        (out / name).write_text("half")
    alive = f".c.png.{os.getppid()}.tmp.png"  # another process of the same run is writing it
    for name in (alive, "done.png", ".tmp.png"):
        (out / name).write_text("mine")
    record = run_stage(out)
    assert record.resumed and not record.is_done
    assert names(out) == sorted([alive, ".tmp.png", "done.png", "stage.partial.json"])


@pytest.mark.parametrize("finished", [True, False])
def test_a_difference_is_named(tmp_path, finished):
    source, out = tmp_path / "in.txt", tmp_path / "out"
    source.write_text("x")
    record = run_stage(out, params={"seed": 0, "size": 8}, inputs={"text": source})
    (out / "shard").write_text("work")
    if finished:
        record.finish(counts={}, outputs=[])
    else:
        (out / "shard-0").write_text("made")
    for changed, complaint in (
        ({"seed": 0, "size": 9}, "size: 8 there, 9 now"),
        ({"seed": 0}, "size: 8 there, not given now"),
        ({"seed": 0, "size": 8, "views": 4}, "views: not given there, 4 now"),
    ):
        with pytest.raises(UsageError, match=complaint) as error:
            run_stage(out, params=changed, inputs={"text": source})
        assert "--overwrite" in str(error.value) and str(out) in str(error.value)
    source.write_text("y")
    with pytest.raises(UsageError, match="its input text has changed"):
        run_stage(out, params={"seed": 0, "size": 8}, inputs={"text": source})
    with pytest.raises(UsageError, match="its input text has changed"):
        run_stage(out, params={"seed": 0, "size": 8})


def test_a_command_that_made_nothing_binds_nobody(tmp_path):
    out = tmp_path / "out"
    run_stage(out, params={"seed": 0})
    record = run_stage(out, params={"seed": 1})
    assert not record.resumed and not record.is_done


def test_a_command_that_failed_before_it_made_anything_binds_nobody(tmp_path):
    run_stage(tmp_path / "out")
    record = run_stage(tmp_path / "out", params={"seed": 1}, stage="lift")
    assert not record.is_done and not record.resumed
    assert read_json(tmp_path / "out" / "stage.partial.json")["stage"] == "lift"


def test_overwrite_begins_afresh(tmp_path):
    out = tmp_path / "out"
    run_stage(out).finish(counts={}, outputs=["old.png"])
    (out / "old.png").write_text("old")
    record = run_stage(out, params={"seed": 1}, overwrite=True)
    assert not record.is_done and not record.resumed and names(out) == ["stage.partial.json"]
    assert not run_stage(tmp_path / "new", overwrite=True).is_done  # nothing there is no error


def make(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("x")


@pytest.mark.parametrize("linked", [False, True])
def test_overwrite_removes_what_the_record_lists_and_leaves_the_rest(tmp_path, linked):
    make(tmp_path, "thesis.txt", "elsewhere/precious.txt")
    out = folder = tmp_path / "out"
    if linked:
        folder = tmp_path / "disk"
        folder.mkdir()
        out.symlink_to(folder)
    record = run_stage(out)
    make(out, "glbs/0/a.glb", "ccm-00000.safetensors", "deep/b.png", "absolute.png")
    (out / "linked").symlink_to(tmp_path / "elsewhere")
    (out / "folder").symlink_to(tmp_path / "elsewhere")
    listed = ["glbs", "ccm-00000.safetensors", "deep/b.png", out / "absolute.png", "gone.png"]
    listed += ["../thesis.txt", "glbs/../../thesis.txt", tmp_path / "thesis.txt", ".", ""]
    record.finish(counts={}, outputs=[*listed, "linked/precious.txt", "folder"])
    make(out, "failures.jsonl", "log.jsonl", "checkpoint-000005.safetensors")
    others = ["filtered/stage.json", "model.glb", "ccm-00001.safetensors", "deep/mine.png"]
    make(out, *others)
    record = run_stage(out, params={"seed": 1}, overwrite=True, owned=["ccm-*.safetensors"])
    assert not record.is_done and not record.resumed
    assert names(folder) == sorted([*others, "stage.partial.json"])
    assert not (out / "folder").is_symlink() and out.is_symlink() == linked
    assert (tmp_path / "thesis.txt").exists() and (tmp_path / "elsewhere/precious.txt").exists()
    assert run_stage(out, params={"seed": 1}).resumed  # what others put there hinders nothing


def test_overwrite_of_an_unfinished_run_removes_what_the_stage_would_continue(tmp_path):
    out = tmp_path / "out"
    run_stage(out)
    mine = ["ccm-00000.safetensors", "samples/step-000001.png", "checkpoint.safetensors"]
    make(out, *mine, "log.jsonl", "failures.jsonl", "model.glb", "samples/holiday.png")
    owned = ("ccm-?????.safetensors", "samples/step-*.png")
    assert not run_stage(out, overwrite=True, owned=owned).resumed
    assert names(out) == ["model.glb", "samples/holiday.png", "stage.partial.json"]


def test_a_patient_overwrite_waits_for_the_inputs(tmp_path):
    out = tmp_path / "out"
    run_stage(out).finish(counts={}, outputs=["old.png"])
    make(out, "old.png")
    run_stage(out, params={"seed": 1}, overwrite=True, patient=True)  # and its inputs are bad
    assert names(out) == ["old.png", "stage.json"] and run_stage(out).is_done
    record = run_stage(out, params={"seed": 1}, overwrite=True, patient=True)
    record.clear()
    assert names(out) == ["stage.partial.json"]
    make(out, "new.png")
    record.clear()
    assert names(out) == ["new.png", "stage.partial.json"]
    assert run_stage(out, params={"seed": 1}).resumed


def test_an_out_that_leads_nowhere_is_named(tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "unmounted")
    with pytest.raises(UsageError, match="out is a link to nothing"):
        run_stage(tmp_path / "out", overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_the_stage_did_not_write_is_never_removed(tmp_path, overwrite):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years")
    with pytest.raises(UsageError, match="choose another --out"):
        run_stage(folder, overwrite=overwrite)
    run_stage(tmp_path / "other", stage="lift").finish(counts={}, outputs=[])
    with pytest.raises(UsageError, match="written by lift"):
        run_stage(tmp_path / "other", overwrite=overwrite)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        run_stage(tmp_path / "file", overwrite=overwrite)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "stage.json").write_text("[]")  # of some other program
    with pytest.raises(UsageError, match="something else"):
        run_stage(foreign, overwrite=overwrite)
    assert names(tmp_path) == [
        "file",
        "foreign/stage.json",
        "other/stage.json",
        "thesis/thesis.txt",
    ]


@pytest.mark.parametrize("overwrite", [False, True])
def test_out_may_not_hold_an_input(tmp_path, overwrite):
    run_stage(tmp_path / "out").finish(counts={}, outputs=[])
    (tmp_path / "out" / "objects.jsonl").write_text("{}")
    for source in (tmp_path / "out", tmp_path / "out" / "objects.jsonl"):
        with pytest.raises(UsageError, match="holds the input objects"):
            run_stage(tmp_path / "out", inputs={"objects": source}, overwrite=overwrite)
    assert names(tmp_path) == ["out/objects.jsonl", "out/stage.json"]


def test_out_may_lie_inside_an_input_folder(tmp_path):
    (tmp_path / "a.glb").write_text("x")
    out = tmp_path / "ccm"
    record = run_stage(out, inputs={"objects": tmp_path})
    (out / "shard").write_text("result")
    assert run_stage(out, inputs={"objects": tmp_path}).resumed
    record.finish(counts={}, outputs=[])
    assert run_stage(out, inputs={"objects": tmp_path}).is_done
    (tmp_path / "b.glb").write_text("x")
    with pytest.raises(UsageError, match="its input objects has changed"):
        run_stage(out, inputs={"objects": tmp_path})


def test_failures_are_lines_with_a_named_reason(tmp_path):
    errors = {"a": ObjectError("no-triangles", "a holds no triangles"),
              "b \ud83d": ObjectError("corrupt-file", "b ends early")}  # fmt: skip
    expected = [
        {"uid": "a", "reason": "no-triangles", "message": "a holds no triangles"},
        {"uid": "b \ud83d", "reason": "corrupt-file", "message": "b ends early"},
    ]
    path = tmp_path / "failures.jsonl"
    write_failures(tmp_path, (failure(uid, error) for uid, error in errors.items()))
    assert list(read_jsonl(path)) == expected
    whole = path.read_bytes()
    with failures_file(tmp_path) as file:
        file.writelines(failure_line(uid, error) + b"\n" for uid, error in errors.items())
    assert path.read_bytes() == whole
    back = [error_of(line) for line in read_jsonl(path)]
    assert [(e.reason, str(e)) for e in back] == [(e.reason, str(e)) for e in errors.values()]
    assert error_of({"uid": "c", "bytes": 5}) is None


def test_without_failures_there_is_no_file_of_them(tmp_path):
    (tmp_path / "failures.jsonl").write_text("of an earlier attempt\n")
    with pytest.raises(ValueError), failures_file(tmp_path) as file:
        file.write(b"half")
        raise ValueError
    assert (tmp_path / "failures.jsonl").read_text() == "of an earlier attempt\n"
    write_failures(tmp_path, [])
    assert names(tmp_path) == []


# Collections of objects


def touch(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("x")


def test_a_folder_is_searched_for_meshes(tmp_path):
    touch(tmp_path, "b.glb", "deep/er/a.GLB", "c.obj", "notes.txt", "d.png", "folder.glb/e.stl")
    touch(tmp_path, ".trash/f.glb", "deep/.g.glb.77.tmp.glb")  # hidden: trash, half-written files
    objects = list(iter_objects(tmp_path))
    assert [o.uid for o in objects] == ["b", "c", "a", "e"]  # sorted by path
    assert objects[2].path == str((tmp_path / "deep/er/a.GLB").resolve())


def test_repeated_stems_become_relative_paths(tmp_path):
    touch(tmp_path, "x/chair.glb", "y/chair.glb", "y/mug.glb")
    uids = [o.uid for o in iter_objects(tmp_path)]
    assert uids == ["x/chair.glb", "y/chair.glb", "y/mug.glb"]


def test_a_listing_may_be_a_file_or_its_folder_and_paths_are_relative_to_it(tmp_path):
    touch(tmp_path, "lists/loose.glb")
    lines = [
        {"uid": "one", "path": "../glbs/1.glb", "name": "Chair"},
        {"uid": "two", "path": str(tmp_path / "elsewhere.glb")},
        {"uid": "three", "path": None},  # its collection lists no file
    ]
    files.write_jsonl(tmp_path / "lists" / "objects.jsonl", lines)
    expected = [
        ObjectRecord("one", str(tmp_path.resolve() / "glbs/1.glb"), "Chair"),
        ObjectRecord("two", str(tmp_path.resolve() / "elsewhere.glb"), "two"),  # its uid names it
        ObjectRecord("three", None, "three"),
    ]
    for source in ("lists/objects.jsonl", "lists"):  # the listing, not the loose mesh
        found = iter_objects(tmp_path / source)
        assert [o.as_dict() for o in found] == [o.as_dict() for o in expected]


@pytest.mark.parametrize(
    "line", [{"uid": "b"}, {"path": "b.glb"}, {"uid": 7, "path": "b"}, {"uid": "b", "path": ""}]
)
def test_a_line_without_uid_or_path_is_named(tmp_path, line):
    files.write_jsonl(tmp_path / "objects.jsonl", [{"uid": "a", "path": "a.glb"}, line])
    with pytest.raises(InputError, match="objects.jsonl, object 2 lacks a uid or a path"):
        list(iter_objects(tmp_path))


def test_a_repeated_uid_is_named(tmp_path):
    line = {"uid": "a", "path": "a.glb"}
    files.write_jsonl(tmp_path / "objects.jsonl", [line, {**line, "uid": "b"}, line])
    with pytest.raises(InputError, match="object 3 repeats the uid a"):
        list(iter_objects(tmp_path))


def test_nothing_to_work_on_is_said_with_the_cure(tmp_path):
    (tmp_path / "empty").mkdir()
    touch(tmp_path, "readme.md", "empty.jsonl")
    (tmp_path / "empty.jsonl").write_text("")
    for source, complaint in (
        ("empty", r"holds no objects; expected .glb"),
        ("empty.jsonl", "holds no objects"),
        ("readme.md", "is neither a folder of meshes nor an objects.jsonl"),
        ("absent", "does not exist"),
    ):
        with pytest.raises(InputError, match=f"{source} {complaint}"):
            list(iter_objects(tmp_path / source))


def test_object_rng_depends_on_seed_and_uid_alone():
    def draw(seed, uid):
        return object_rng(seed, uid).integers(2**60)

    np.random.seed(1)
    first = draw(0, "corgi")
    np.random.seed(2)
    other = [draw(1, "corgi"), draw(0, "Corgi"), draw(0, "corgi "), draw(0, ""), draw(0, "\udcff")]
    assert draw(0, "corgi") == first and len({first, *other}) == 6
    code = "from sdtool.io.objects import object_rng; print(object_rng(0, 'corgi').integers(2**60))"
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert int(fresh.stdout) == first


def test_a_difference_deep_inside_is_named_alone(tmp_path):
    def settings(steps):
        return {"settings": {"phases": [{"name": "fine", "steps": steps, "t": [0, 1]}], "half": 1}}

    begin(tmp_path / "a", "lift", params=settings(5)).finish(counts={}, outputs=[])
    with pytest.raises(UsageError, match=r"\(settings.phases.fine.steps: 5 there, 6 now\)"):
        begin(tmp_path / "a", "lift", params=settings(6))
    assert begin(tmp_path / "a", "lift", params=settings(5)).is_done


def test_what_changes_together_is_named_together(tmp_path):
    """One option may change several parameters: the first by name is not always the one it stands for."""
    source = tmp_path / "in.txt"
    source.write_text("x")
    old = {"prior": "tiny", "settings": {"phases": [{"name": "color", "by": "plain"}]}}
    begin(tmp_path / "a", "lift", params=old, inputs={"text": source})
    (tmp_path / "a" / "made").write_text("work")
    new = {"settings": {"phases": [{"name": "color", "by": "pbr"}]}}
    said = r"\(prior: tiny there, not given now; settings.phases.color.by: plain there, pbr now\)"
    with pytest.raises(UsageError, match=said):
        begin(tmp_path / "a", "lift", params=new, inputs={"text": source})
    source.write_text("y")
    with pytest.raises(UsageError, match=r"by: .* now; its input text has changed\)"):
        begin(tmp_path / "a", "lift", params=new, inputs={"text": source})
    many = new | {"size": 8, "seed": 0}
    with pytest.raises(UsageError, match=r"; settings.* pbr now; and 2 more\)"):
        begin(tmp_path / "a", "lift", params=many, inputs={"text": source})


def test_a_command_that_ends_before_it_made_anything_leaves_no_record(tmp_path):
    out = tmp_path / "out"
    run_stage(out)
    assert names(out) == ["stage.partial.json"]
    release_all()
    assert not out.exists()
    run_stage(out, params={"seed": 7})
    (out / "shard").write_text("work")
    release_all()
    assert names(out) == ["shard", "stage.partial.json"], "what is begun is continued"
    assert run_stage(out, params={"seed": 7}).resumed


def test_a_record_that_is_taken_back_while_another_looks_is_no_foreign_file(tmp_path, monkeypatch):
    """Between the two looks of the second process the first one ends."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "stage.partial.json").write_text("{}")
    marks = stage_record._marks

    def ends_meanwhile(folder):
        (folder / "stage.partial.json").unlink(missing_ok=True)
        return marks(folder)

    monkeypatch.setattr(stage_record, "_marks", ends_meanwhile)
    assert not run_stage(out).resumed
    release_all()
    (out / "mine.txt").write_text("foreign")
    with pytest.raises(UsageError, match="sdtool did not write it"):
        run_stage(out)
