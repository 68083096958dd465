"""Texts of any editor, and file names of any encoding."""

import codecs
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from glb_samples import corner
from PIL import Image

from sdtool.captioning.names import clean_name
from sdtool.cli import run
from sdtool.errors import InputError
from sdtool.filtering.rules import read_rules
from sdtool.filtering.sources import Source
from sdtool.filtering.table_files import read_table
from sdtool.io.captions import read_captions
from sdtool.io.files import read_json, read_jsonl, text_of
from sdtool.io.images import png_bytes, write_png
from sdtool.io.names import readable
from sdtool.io.yaw_fix import read_yaw_fix
from sdtool.meshfiles import load_mesh, write_glb
from sdtool.training.data import held_out

LATIN = os.fsdecode(b"caf\xe9")  # what a zip from Windows makes of café


def by_editor(path, text):
    """Write a text in every way that editors have; yield after each."""
    crlf = text.replace("\n", "\r\n")
    yield path.write_bytes(text.encode())
    yield path.write_bytes(codecs.BOM_UTF8 + crlf.encode())
    yield path.write_bytes(text.replace("\n", "\r").encode())
    yield path.write_bytes(codecs.BOM_UTF16_LE + crlf.encode("utf-16-le"))
    yield path.write_bytes(codecs.BOM_UTF16_BE + crlf.encode("utf-16-be"))
    yield path.write_bytes(crlf.encode("utf-16-le"))  # as iconv and some exports leave it
    yield path.write_bytes(text.encode("utf-16-be"))


def test_texts_of_all_editors_are_one_text(tmp_path):
    for _ in by_editor(tmp_path / "a.txt", "été\nzwei\n"):
        assert text_of(tmp_path / "a.txt") == "été\nzwei\n"
    for _ in by_editor(tmp_path / "a.json", '{"é":\n 1}\n'):
        assert read_json(tmp_path / "a.json") == {"é": 1}
    lines = '{"uid": "é"}\n\n{"uid": "b"}\n'
    for number, _ in enumerate(by_editor(tmp_path / "a.jsonl", lines)):
        if number != 2:  # JSON lines end with a line feed
            assert [one["uid"] for one in read_jsonl(tmp_path / "a.jsonl")] == ["é", "b"]
    (tmp_path / "a.jsonl").write_bytes(codecs.BOM_UTF16_LE + b"x")
    with pytest.raises(InputError, match="line 1"):
        list(read_jsonl(tmp_path / "a.jsonl"))


def test_a_pointer_of_git_lfs_is_no_text(tmp_path):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    reads = {"txt": text_of, "json": read_json, "jsonl": lambda p: list(read_jsonl(p)),
             "csv": lambda p: list(read_table(p)), "parquet": read_table, "yaw": read_yaw_fix,
             "ndjson": lambda p: list(read_table(p)), "toml": read_rules}  # fmt: skip
    for ending, read in reads.items():
        path = tmp_path / f"a.{ending}"
        path.write_bytes(pointer)
        with pytest.raises(InputError, match="git lfs pull"):
            read(path)


def test_yaw_tables_of_spreadsheets(tmp_path):
    path = tmp_path / "y.csv"
    for text in ("uid,degrees\na,90\nb,-1.5\n", "UID; Degrees\na;90\nb;-1.5\n", "a\t90\nb\t-1.5\n"):
        for _ in by_editor(path, text):
            assert read_yaw_fix(path) == {"a": 90.0, "b": -1.5}
    path.write_text('"a,b",90\n')
    assert read_yaw_fix(path) == {"a,b": 90.0}


def test_rules_and_options_of_all_editors(tmp_path, capsys):
    for _ in by_editor(tmp_path / "r.toml", '[[rule]]\nname = "a"\ntags = ["b"]\n'):
        assert [rule.name for rule in read_rules(tmp_path / "r.toml")] == ["a"]
    for _ in by_editor(tmp_path / "c.toml", "views = 2\n"):
        options = ["--config", str(tmp_path / "c.toml"), "--out", str(tmp_path / "c")]
        assert run(["render-ccm", str(tmp_path / "none"), *options]) == 1
        assert "none does not exist" in capsys.readouterr().err


def test_annotations_with_a_mark(tmp_path):
    for name, text in (("a.json", '{"x": {"name": "Red Chair"}}'), ("a.jsonl", '{"uid": "x"}\n')):
        (tmp_path / name).write_bytes(codecs.BOM_UTF8 + text.encode())
        (item,) = next(Source(tmp_path / name).units()).read()
        assert item.uid == "x"
    (tmp_path / "a.jsonl").write_bytes(codecs.BOM_UTF16_LE + '{"uid": "x"}'.encode("utf-16-le"))
    with pytest.raises(InputError, match="UTF-16"):
        list(Source(tmp_path / "a.jsonl").units())


def test_a_yaw_table_of_other_objects_is_said(tmp_path, capsys):
    (tmp_path / "o").mkdir()
    corner().save(tmp_path / "o" / "a.glb")
    (tmp_path / "y.csv").write_text("a,90\nb,1\nc,1\nd,1\ne,1\n")
    options = [
        "--views",
        "1",
        "--size",
        "8",
        "--workers",
        "1",
        "--yaw-fix",
        str(tmp_path / "y.csv"),
    ]
    assert run(["render-ccm", str(tmp_path / "o"), "--out", str(tmp_path / "c"), *options]) == 0
    said = "4 of its 5 uids are of no object here (b, c, d, …), which turns nothing"
    assert capsys.readouterr().err.count(said) == 1
    (tmp_path / "y.csv").write_text("a,90\n")
    assert run(["render-ccm", str(tmp_path / "o"), "--out", str(tmp_path / "d"), *options]) == 0
    assert "no object here" not in capsys.readouterr().err


def test_names_that_are_no_utf8_are_readable():
    assert readable(LATIN) == "café" and readable("a corgi – été") == "a corgi – été"
    assert readable(os.fsdecode("é".encode())) == "é"
    assert readable("smile \ud83d") == "smile " and readable(os.fsdecode(b"\x80 \x81")) == "€ "
    assert clean_name(LATIN + "_v2.blend") == "café"


def test_captions_have_only_what_a_tokenizer_takes(tmp_path):
    line = {"uid": LATIN, "caption": f"a {LATIN}", "alternatives": ["\ud83d", "b"]}
    (tmp_path / "c.jsonl").write_text(json.dumps(line))
    assert read_captions(tmp_path / "c.jsonl") == {LATIN: ["a café", "b"]}


def test_a_file_of_such_a_name_goes_all_the_way(tmp_path):
    objects = tmp_path / "o"
    objects.mkdir()
    corner().save(objects / f"{LATIN}.glb")
    small = ["--views", "1", "--size", "8", "--workers", "1"]
    assert run(["render-ccm", str(objects), "--out", str(tmp_path / "c"), *small]) == 0
    assert run(["caption", str(objects), "--out", str(tmp_path / "p"), "--workers", "1"]) == 0
    assert read_captions(tmp_path / "p") == {LATIN: ["a café", "café"]}
    filtering = ["--inspect", "--workers", "1", "--out", str(tmp_path / "f")]
    assert run(["filter-objaverse", str(objects), *filtering]) == 0
    (line,) = read_jsonl(tmp_path / "f" / "rejected.jsonl")
    assert line["uid"] == LATIN
    assert held_out([LATIN, "b"])


def test_such_names_in_pictures_models_and_on_stdout(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((1, 1, 3)), Title=LATIN)
    assert Image.open(tmp_path / "a.png").text["Title"] == "café"
    assert png_bytes(np.zeros((1, 1, 3), np.uint8), Title=LATIN)
    path = write_glb(
        tmp_path / f"{LATIN}.glb", load_mesh(corner().save(tmp_path / "a.glb")), name=LATIN
    )
    assert len(load_mesh(path).t_pos_idx) == 4
    code = "import sys; from sdtool.cli import main; main(sys.argv[1:])"
    page = tmp_path / f"{LATIN}.html"
    command = [sys.executable, "-c", code, "view", path, "--out", page, "--no-browser"]
    environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == 0 and done.stdout == os.fsencode(page) + b"\n", done.stderr
    assert Path(page).is_file()


def test_prompts_of_all_editors(tmp_path):
    from sdtool.io.prompts import read_prompts

    for _ in by_editor(tmp_path / "p.txt", "# my wishes\na corgi\n\na café # later\na corgi\n"):
        assert read_prompts(tmp_path / "p.txt") == ["a corgi", "a café"]


def test_a_comment_is_a_line_of_its_own_or_stands_between_blanks():
    from sdtool.io.prompts import prompts_in

    whole = ["a jersey with #10 on it", "a C# textbook", "a sign that says '#'"]
    lines = ["#of it all", " \t# also", "a cat  # unseen", "a dog\t#\tseen # twice", "a cat #"]
    assert prompts_in("\n".join([*lines, *whole])) == ["a cat", "a dog", *whole]


def test_prompts_of_no_file(tmp_path):
    from sdtool.io.prompts import read_prompts

    for path, said in ((tmp_path, "is a folder"), (tmp_path / "none", "does not exist")):
        with pytest.raises(InputError, match=f"--prompts {path} {said}; name a file"):
            read_prompts(path)
