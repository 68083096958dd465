"""Files that stages hand each other: whole or not there at all, JSON, tensors, and their digests."""

import numpy as np
import pytest
from safetensors.numpy import load_file
from stage_samples import names, run_stage

from sdtool.errors import InputError, ObjectError
from sdtool.io import files
from sdtool.io.files import read_json, read_jsonl
from sdtool.io.stage_record import digest

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
