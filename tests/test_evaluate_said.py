"""evaluate: whose judgement the report names, whose answers are refused, and what nobody looked at."""

import os
from pathlib import Path

import pytest
from shape_samples import box

from sdtool.cli import run as sdtool
from sdtool.io.files import read_json
from sdtool.meshfiles import write_glb

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_toys")]


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A fox and a taxi below "ours", in the working directory, and a list of their prompts."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("fox", "taxi")):
        Path("ours").mkdir(exist_ok=True)
        write_glb(f"ours/{name}.glb", box([0, 0, 0], [1, 1, 2 + number]))
    Path("list.txt").write_text("a fox\na taxi\n", encoding="utf-8")
    return Path("ours")


@pytest.fixture
def evaluate(capsys):
    """(exit code, stderr) of `sdtool evaluate …`."""

    def call(*words):
        code = sdtool(["evaluate", *map(str, words)])
        return code, capsys.readouterr().err

    return call


# What may not be read


@pytest.fixture
def shut(monkeypatch):
    """Nobody may list a folder of this name, or look at what lies in it, as if it were not root's."""

    def denied(name, function):
        def call(path=".", *given, **options):
            parts = () if isinstance(path, int) else Path(os.fsdecode(path)).parts
            if "shut" in (parts[:-1] if "stat" in name else parts):
                raise PermissionError(13, "Permission denied", os.fsdecode(path))
            return function(path, *given, **options)

        return call

    for name in ("listdir", "scandir", "stat", "lstat"):
        monkeypatch.setattr(os, name, denied(name, getattr(os, name)))


def test_a_folder_that_may_not_be_read_is_named_and_all_else_evaluated(models, evaluate, request):
    write_glb("ours/deep/shut/owl.glb", box([0, 0, 0], [1, 1, 2]))
    write_glb("shut/owl.glb", box([0, 0, 0], [1, 1, 2]))
    request.getfixturevalue("shut")
    code, said = evaluate(models, "--out", "out")
    assert code == 0 and said.count("ours/deep/shut cannot be read (Permission denied)") == 1
    assert [one["name"] for one in read_json("out/evaluation.json")["assets"]] == ["fox", "taxi"]
    code, said = evaluate(models, "--out", "out")
    assert code == 0 and "already evaluated" in said and "ours/deep/shut cannot be read" in said
    for path in ("shut", "ours/deep"):
        code, said = evaluate(path, "--out", "other")
        assert code == 1 and f"{path} holds neither a lift nor a model that can be read" in said
    assert not Path("other").exists()


# Tables


def test_a_file_and_a_link_to_it_count_once(models, evaluate):
    Path("ours/again.glb").symlink_to("fox.glb")
    Path("theirs").mkdir()
    Path("theirs/fox.glb").symlink_to("../ours/fox.glb")
    table = Path("table.csv")

    def told(first, second):
        rows = "file,prompt,method,seed", "ours/fox.glb,a fox,{},{}", "ours/again.glb,{},{},{}"
        text = "\n".join(rows).format(*first, *second)
        table.write_text(text, encoding="utf-8")
        return evaluate("--table", table, "--out", "out", "--overwrite")

    for first, second in (
        (("ours", 0), ("a fox", "ours", 0)),
        (("", ""), ("A fox!", "", "")),
        (("", 1), ("a fox", "ours", 1)),
    ):
        code, said = told(first, second)
        assert code == 1 and "row 3 names the same file as row 2, through a link" in said
        assert not Path("out").exists()
    for second in (("a fox", "ours", 1), ("a fox", "theirs", 0), ("a wolf", "ours", 0)):
        assert told(("ours", 0), second)[0] == 0
        assert len(read_json("out/evaluation.json")["assets"]) == 2
    table.write_text("file,prompt\nours/fox.glb,a fox\ntheirs/fox.glb,a fox\n", encoding="utf-8")
    assert evaluate("--table", table, "--out", "out", "--overwrite")[0] == 0  # methods by folder
