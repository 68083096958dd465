"""Objects that stages work on: folders and listings of them, their random numbers, and those that fail."""

import subprocess
import sys

import numpy as np
import pytest
from stage_samples import names
from touched import touch

from sdtool.errors import InputError, ObjectError
from sdtool.io import files
from sdtool.io.failures import error_of, failure, failure_line, failures_file, write_failures
from sdtool.io.files import read_jsonl
from sdtool.io.objects import ObjectRecord, iter_objects, object_rng

# Collections of objects


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


# Failures


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
