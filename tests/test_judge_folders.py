"""evaluate --judge: folders that hold no whole judge are named, with what is wrong and what helps."""

import json
import math
import os
import shutil

import pytest
from safetensors.torch import load_file, save_file
from shape_samples import box

from sdtool.cli import run
from sdtool.evaluating.calibrating import main as calibrate
from sdtool.evaluating.measuring import JUDGE
from sdtool.evaluating.viewnet import ViewNet
from sdtool.meshfiles import write_glb

CURE = "draw them anew with: python -m sdtool.evaluating.calibrating --out mine"


@pytest.fixture
def evaluate(in_a_folder, capsys):
    """(exit code, stderr) of `sdtool evaluate` of a box by the judge in the folder mine, a copy."""
    shutil.copytree(JUDGE, "mine")
    write_glb("box.glb", box([0, 0, 0], [1, 1, 2]))

    def call():
        code = run(["evaluate", "box.glb", "--judge", "mine", "--out", "out"])
        return code, capsys.readouterr().err

    return call


def without(name):
    """The bundled judge's lines without one of their tables."""
    lines = json.loads((JUDGE / "calibration.json").read_text(encoding="utf-8"))
    lines["calibration"].pop(name)
    return json.dumps(lines)


def with_measure(**changed):
    lines = json.loads((JUDGE / "calibration.json").read_text(encoding="utf-8"))
    lines["calibration"]["measures"][0] |= changed
    return json.dumps(lines)


@pytest.mark.parametrize(
    "text, told",
    [
        ("{}", "lacks 'calibration' of a judge's lines"),
        ('{"calibration": {}}', "lacks 'measures' of a judge's lines"),
        (without("caught"), "lacks 'caught' of a judge's lines"),
        ("[]", "holds no lines of a judge"),
        (with_measure(caught=None), "holds no lines of a judge"),
        (with_measure(threshold="low"), "holds no lines of a judge"),
        (with_measure(measure="luck"), "holds no lines of a judge"),
        (with_measure(measure="soundness"), "holds no lines of a judge (it knows soundness twice)"),
        (with_measure(threshold=math.nan), "holds no lines of a judge (a line is nan)"),
        (
            with_measure(kept="no"),
            "holds no lines of a judge (whether view agreement is kept is 'no')",
        ),
        (
            with_measure(caught={"count": 9, "of": 3}),
            "holds no lines of a judge (a rate is 9 of 3)",
        ),
        (with_measure(caught={"count": math.inf, "of": 3}), "holds no lines of a judge"),
        ("{", "is not valid JSON"),
    ],
)
def test_lines_that_are_none_are_named_with_the_cure(evaluate, tmp_path, text, told):
    (tmp_path / "mine/calibration.json").write_text(text, encoding="utf-8")
    code, said = evaluate()
    assert code == 1 and f"mine/calibration.json {told}" in said and CURE in said
    assert "unexpected" not in said and not (tmp_path / "out").exists()


def test_weights_that_do_not_fit_are_told_with_the_first(evaluate, tmp_path):
    ViewNet(["corgi", "cat"], 40, 64).save(tmp_path / "other", {})
    shutil.copy("other/judge.safetensors", "mine")
    code, said = evaluate()
    assert code == 1 and "mine holds no judge (judge.safetensors does not fit judge.json: " in said
    assert "features.0.down.weight is [40, 4, 3, 3] and should be [20, 4, 3, 3], and so on" in said
    assert "put there the weights and the judge.json of one training" in said


def test_a_judge_whose_facts_lack_one_is_told_so(evaluate, tmp_path):
    facts = json.loads((tmp_path / "mine/judge.json").read_text(encoding="utf-8"))
    facts.pop("width")
    (tmp_path / "mine/judge.json").write_text(json.dumps(facts), encoding="utf-8")
    code, said = evaluate()
    assert code == 1 and "mine holds no judge (judge.json lacks 'width')" in said


def test_weights_that_are_no_numbers_are_told(evaluate, tmp_path):
    weights = load_file(tmp_path / "mine/judge.safetensors")
    weights["side.bias"][0] = math.nan
    save_file(weights, tmp_path / "mine/judge.safetensors")
    code, said = evaluate()
    assert code == 1 and "side.bias of judge.safetensors holds what is no number" in said


def test_a_folder_that_is_none_is_told(evaluate, tmp_path):
    shutil.rmtree("mine")
    assert "mine does not exist; name the folder of a judge" in evaluate()[1]
    (tmp_path / "mine").write_text("")
    assert "mine is no folder; name the folder of a judge" in evaluate()[1]


@pytest.mark.parametrize("missing", ["folder", "assets"])
def test_lines_that_cannot_be_drawn_are_one_sentence_with_the_cure(in_a_folder, capsys, missing):
    if missing == "assets":
        shutil.copytree(JUDGE, "mine")
    with pytest.raises(SystemExit) as ended:
        calibrate(["--out", "mine", "--assets", "gone"])
    said = capsys.readouterr().err
    assert ended.value.code == 1 and said.count("\n") == 1 and said.startswith("calibrating: ")
    told = f"copy the bundled one, {JUDGE}" if missing == "folder" else "gone does not exist"
    assert told in said
    assert missing == "assets" or not os.path.exists("mine")
