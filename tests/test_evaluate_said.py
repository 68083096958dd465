"""evaluate: whose judgement the report names, whose answers are refused, and what nobody looked at."""

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
