"""evaluate: whose judgement the report names, whose answers are refused, and what nobody looked at."""

import json
import shutil
from pathlib import Path

import pytest
from report_samples import key
from sdtool.stages import evaluate as evaluate_stage
from shape_samples import box
from shut_folders import LISTING, LOOKING, shut

from sdtool import __version__
from sdtool.cli import run as sdtool
from sdtool.evaluating import evaluation
from sdtool.evaluating.measuring import JUDGE
from sdtool.io import stage_record
from sdtool.io.files import read_json
from sdtool.meshfiles import reading, write_glb

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


def answer(file, /, **more):
    """A file with a person's answer, of the fox if nothing else is said."""
    one = {"path": "ours/fox.glb", "method": "ours", "prompt": "a fox", "answer": "yes"} | more
    text = json.dumps({"sdtool": "0", "sheet": "x", "answers": [one]})
    Path(file).write_text(text, encoding="utf-8")
    return file


PROTOCOL = ("--protocol", "own", "--prompts", "list.txt")


# Who judges


def test_a_judge_of_ones_own_has_its_own_name(models, evaluate):
    shutil.copytree(JUDGE, "mine")
    heard = "--answers", answer("ann.json"), "--answers", answer("judge in mine.json")
    code, said = evaluate(models, *PROTOCOL, *heard, "--judge", "./mine/", "--out", "own")
    assert code == 0 and "judge in mine and ann: " in said
    protocol = read_json("own/protocol.json")
    assert protocol["judged_by"] == "judge in mine"
    assert f"judge {protocol['judge']} in mine" in said
    found = read_json("own/evaluation.json")
    people = {"ann", "judge in mine.json"}  # two of one name are told apart
    assert found["judges"]["answers"].keys() == {"judge in mine", *people}
    page = Path("own/index.html").read_text(encoding="utf-8")
    assert "judge in mine" in page and f"judge {protocol['judge']} in mine" in page
    for text in (said, json.dumps(found), json.dumps(protocol), page):
        assert "bundled judge" not in text
    code, said = evaluate(models, *PROTOCOL, "--answers", "ann.json", "--out", "usual")
    assert code == 0 and "bundled judge and a person: " in said
    assert read_json("usual/protocol.json")["judged_by"] == "bundled judge"


# Whose answers are refused


@pytest.mark.parametrize(
    "change, told",
    [
        ({"path": "ours/owl.glb"}, "the answers are of other assets: ours/owl.glb"),
        ({"prompt": "a wolf"}, "has another prompt now"),
        ({"digest": "0" * 16}, "has another picture now"),
        ({"answer": "maybe"}, "is 'maybe'"),
        (None, "is not valid JSON"),
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_answers_that_are_refused_are_named_by_their_file(models, evaluate, change, told, alone):
    Path("people").mkdir()
    bob = Path("people/bob.json")
    bob.write_text("{") if change is None else answer(bob, **change)
    heard = [] if alone else ["--answers", answer("ann.json")]
    code, said = evaluate(models, *heard, "--answers", bob, "--out", "out")
    assert code == 1 and told in said and "people/bob.json" in said and "ann.json" not in said


def test_answers_of_models_that_are_gone_are_left_out_and_all_others_count(models, evaluate):
    for name in ("owl", "cow"):
        write_glb(f"ours/{name}.glb", box([0, 0, 0], [1, 1, 4]))
    answer("ann.json")
    text = read_json("ann.json")
    first = text["answers"][0]
    for name in ("taxi", "owl", "cow"):
        one = {"path": f"ours/{name}.glb", "prompt": f"a {name}", "answer": "no"}
        text["answers"].append(first | one)
    text["asked"] = [[one["path"], one["method"]] for one in text["answers"]]
    Path("ann.json").write_text(json.dumps(text), encoding="utf-8")
    Path("ours/owl.glb").unlink()
    Path("ours/cow.glb").write_text("no model any more")
    code, said = evaluate(models, "--answers", "ann.json", "--out", "out")
    left = (
        "left out of what a person said, as there is nothing to be seen of it now: 2 of 4 answers"
    )
    assert code == 3 and said.count(f"{left} (ours/cow.glb, ours/owl.glb)\n") == 1
    (found,) = read_json("out/evaluation.json")["janus_by_people"]["a person"]["methods"].values()
    assert (found["answers"], found["of"], found["share"]) == (2, 2, 0.5)
    page = Path("out/index.html").read_text(encoding="utf-8").replace("<wbr>", "")
    assert "in no rate: 2 of 4 answered\n(ours/cow.glb, ours/owl.glb)." in page
    assert "1 of 2" in page  # the person's own rate, without the cow


def seen(out, file):
    """A file with the answer yes to all that the page of `out` asks."""
    shown = key((out / "human.html").read_text(encoding="utf-8"))["shown"]
    names = "path", "method", "prompt", "digest"
    given = [{name: one[name] for name in names} | {"answer": "yes"} for one in shown]
    asked = [[one["path"], one["method"], one["digest"]] for one in shown]
    text = {"sdtool": "0", "sheet": "x", "answers": given, "asked": asked}
    Path(file).write_text(json.dumps(text), encoding="utf-8")
    return text


def heard(out):
    """Method → what it says of the Janus rate by the answers of a person."""
    return read_json(out / "evaluation.json")["janus_by_people"]["a person"]["methods"]


def test_answers_are_of_the_same_models_however_their_folder_is_called(models, evaluate):
    assert evaluate(models, *PROTOCOL, "--human", "--out", "out")[0] == 0
    text = seen(Path("out"), "ann.json")
    for name, out in ((models.absolute(), "by-path"), ("moved/deep", "by-picture")):
        if out == "by-picture":
            Path("moved").mkdir()
            models.rename("moved/deep")
            Path("moved/deep/late").mkdir()
            write_glb("moved/deep/late/fox.glb", box([0, 0, 0], [1, 2, 9]))
        code, said = evaluate(name, *PROTOCOL, "--answers", "ann.json", "--out", out)
        assert code == 0 and "left out" not in said, said
        (found,) = heard(Path(out)).values()
        later = {"not_on_the_sheet": 1} if out == "by-picture" else {}
        assert (found["answers"], found["of"]) == (2, 2) and later.items() <= found.items()
    shutil.copytree("moved/deep", "again/deep")  # of each picture two: nobody knows which was seen
    command = "moved/deep", "again/deep", *PROTOCOL, "--answers", "ann.json", "--out", "both"
    code, said = evaluate(*command)
    assert code == 1 and "the answers are of other assets" in said
    for one in text["answers"]:
        one["prompt"] = "a wolf"
    Path("ann.json").write_text(json.dumps(text), encoding="utf-8")
    code, said = evaluate("moved/deep", "--answers", "ann.json", "--out", "other")
    assert code == 1 and "has another prompt now" in said


WRONG = {"other": {"path": "ours/owl.glb"}, "prompt": {"prompt": "a wolf"}}


@pytest.mark.parametrize("change", WRONG)
def test_answers_are_refused_before_anything_is_measured(models, evaluate, monkeypatch, change):
    assert evaluate(models, "--out", "out")[0] == 0
    kept = {name: Path("out", name).read_bytes() for name in ("stage.json", "measured.jsonl")}
    write_glb("ours/cow.glb", box([0, 0, 0], [1, 1, 4]))
    monkeypatch.setattr(evaluation, "measure_asset", lambda *_, **__: 1 / 0)
    answer("ann.json", **WRONG[change])
    for out in ("out", "fresh"):
        assert evaluate(models, "--answers", "ann.json", "--out", out)[0] == 1
    assert {name: Path("out", name).read_bytes() for name in kept} == kept
    assert not Path("fresh").exists() and not Path("out/stage.partial.json").exists()


def test_a_report_is_whole_though_answers_are_refused_when_all_is_measured(models, evaluate):
    assert evaluate(models, "--out", "out")[0] == 0
    write_glb("ours/cow.glb", box([0, 0, 0], [1, 1, 4]))
    answer("ann.json", path="ours/owl.glb", digest="0" * 16)  # it may look like the cow
    code, said = evaluate(models, "--answers", "ann.json", "--out", "out")
    assert code == 1 and "ann.json: the answers are of other assets" in said
    assert said.rstrip().endswith("; the report is written without answers")
    assert len(read_json("out/evaluation.json")["assets"]) == 3
    assert Path("out/stage.json").exists() and not Path("out/stage.partial.json").exists()


def test_a_copy_of_answers_is_named(models, evaluate):
    twice = "--answers", answer("ann.json"), "--answers", answer("copy.json")
    third = "--answers", answer("bob.json", answer="no")
    code, said = evaluate(models, *twice, *third, "--out", "out")
    assert code == 0 and said.count("copy and ann hold the same answers; if they are one") == 1
    assert "bob and" not in said.replace("judge and bob", "").replace("ann and bob", "")


# What is said on the terminal


def test_names_and_prompts_move_nothing_on_the_terminal(models, evaluate):
    bad, red = "ours\x1b[2J", "\x1b[31mred\ttheirs\nours: consistent 2 of 2"
    models.rename(bad)
    Path("list.txt").write_text("a fox\x07\na taxi\x1b[2J\na yak\x9b\n", encoding="utf-8")
    Path("table.csv").write_text(
        f'file,prompt,method\n"{bad}/fox.glb",a fox\x07,{bad}\n"{bad}/taxi.glb","a taxi\x1b[2J","{red}"\n',
        encoding="utf-8",
    )
    seen = {"path": f"{bad}/fox.glb", "method": bad, "prompt": "a fox\x07"}
    heard = "--answers", answer("an\x1bn.json", **seen), "--answers", answer("bob.json", **seen)
    code, said = evaluate("--table", "table.csv", *PROTOCOL, *heard, "--out", "out")
    assert code == 0 and r"ours\x1b[2J against \x1b[31mred theirs ours: consi" in said, said
    assert r"\x1b[2J, with the answers of an\x1bn: Janus rate" in said
    assert r"no result of 2 prompts: a taxi\x1b[2J; a yak\x9b" in said
    assert all(line.isprintable() for line in said.split("\n")), said
    row = next(line for line in said.split("\n") if line.startswith(r"ours\x1b[2J  "))
    head = next(line for line in said.split("\n") if line.startswith("method "))
    column = head.index("Janus rate")
    assert row[column - 2 : column] == "  " and row[column] != " "
    Path(bad, "fox.glb").unlink()
    code, said = evaluate(Path(bad, "fox.glb"), "--out", "other")
    assert code == 1 and r"ours\x1b[2J/fox.glb" in said and "\x1b" not in said


def test_a_page_holds_no_control_characters(models, evaluate):
    Path("table.csv").write_text("file,prompt\nours/fox.glb,a\x01 fox\x7f\x9b\n", encoding="utf-8")
    assert evaluate("--table", "table.csv", "--human", "--out", "out")[0] == 0
    page = Path("out/index.html").read_text(encoding="utf-8")
    assert r"a\x01 fox\x7f\x9b" in page
    assert not any(ord(c) < 32 and c not in "\n\t" or 127 <= ord(c) < 160 for c in page)


def test_many_failures_are_counted(models, evaluate):
    for number in range(25):
        Path(f"ours/x{number}.glb").write_text("no model")
    code, said = evaluate(models, "--out", "out")
    assert code == 3 and sum(line.startswith("ours/x") for line in said.splitlines()) == 20
    assert "\nand 5 more, all of them listed in evaluation.json and index.html\n" in said


def test_the_page_says_by_which_command_it_was_written(models, evaluate):
    heard = "--answers", answer("ann.json"), "--answers", answer("bob b.json")
    assert evaluate(models, *PROTOCOL, *heard, "--out", "out")[0] == 0
    page = Path("out/index.html").read_text(encoding="utf-8")
    command = "evaluate ours --prompts list.txt --protocol own --answers ann.json --answers "
    assert f"sdtool {command}&#39;bob b.json&#39;</code>" in page


# Who has measured


def test_what_another_sdtool_has_measured_is_measured_again(models, evaluate, monkeypatch):
    with monkeypatch.context() as patch:
        for module in (evaluation, stage_record, evaluate_stage):
            patch.setattr(module, "__version__", "0.0.9")
        assert evaluate(models, "--out", "out")[0] == 0
        assert "already evaluated" in evaluate(models, "--out", "out")[1]
        before = Path("out/measured.jsonl").read_text()
    Path("out/calibration.json").write_text("lines of another sdtool")
    code, said = evaluate(models, "--out", "out")
    told = (
        f"out was measured by sdtool 0.0.9, and this is {__version__}: everything is measured again"
    )
    assert code == 0 and told in said
    after = Path("out/measured.jsonl").read_text()
    keys = [{json.loads(line)["asset"] for line in text.splitlines()} for text in (before, after)]
    assert len(keys[0]) == len(keys[1]) == 2 and not keys[0] & keys[1]
    assert read_json("out/stage.json")["sdtool"] == __version__
    assert not Path("out/calibration.json").exists()
    assert "already evaluated" in evaluate(models, "--out", "out")[1]


# What is gone from a finished folder


def test_pictures_that_are_gone_are_written_again(models, evaluate):
    assert evaluate(models, "--out", "out")[0] == 0
    pictures = sorted(Path("out/pictures").iterdir())
    wanted = [one.read_bytes() for one in pictures]
    pictures[0].unlink()
    code, said = evaluate(models, "--human", "--out", "out")
    assert code == 0 and "new, have changed or lack their picture: 1; gone: 0" in said
    assert [one.read_bytes() for one in pictures] == wanted
    assert len(list(Path("out/human").iterdir())) == 2
    assert len(Path("out/measured.jsonl").read_text().splitlines()) == 2
    assert "already evaluated" in evaluate(models, "--out", "out")[1]
    pictures[0].write_bytes(wanted[0][:-20])
    code, said = evaluate(models, "--human", "--out", "out")
    assert code == 1 and "is not a whole PNG; remove it and evaluate again" in said
    pictures[0].unlink()
    assert evaluate(models, "--human", "--out", "out")[0] == 0
    assert [one.read_bytes() for one in pictures] == wanted


@pytest.mark.parametrize("line", ["{", '{"path": "x"}', "[" * 100_000])
def test_a_broken_line_of_measures_is_named_with_the_cure(models, evaluate, line):
    assert evaluate(models, "--out", "out")[0] == 0
    kept = Path("out/measured.jsonl").read_text()
    Path("out/measured.jsonl").write_text(f"{line}\n{kept}")
    code, said = evaluate(models, "--out", "out")
    assert code == 1 and "out/measured.jsonl" in said and "remove that line, and the same" in said
    assert "unexpected" not in said and Path("out/stage.json").exists()
    assert evaluate(models, "--out", "out", "--overwrite")[0] == 0
    assert sorted(Path("out/measured.jsonl").read_text().split("\n")) == sorted(kept.split("\n"))


# Who is asked what


def test_the_page_of_a_protocol_asks_about_its_prompts_only(models, evaluate):
    write_glb("ours/owl.glb", box([0, 0, 0], [1, 1, 4]))
    heard = "--answers", answer("ann.json")
    assert evaluate(models, *PROTOCOL, "--human", *heard, "--out", "out")[0] == 0
    found = key(Path("out/human.html").read_text(encoding="utf-8"))
    assert {one["path"] for one in found["shown"]} == {"ours/fox.glb", "ours/taxi.glb"}
    told = read_json("out/protocol.json")
    assert told["methods"]["ours"]["janus by people"]["a person"]["of"] == 2
    assert told["differences by people"] == {"a person": []}


# What nobody looked at


MEASURING = {"read": (reading, "_near"), "measured": (evaluation, "measure_asset")}


@pytest.mark.parametrize("where", MEASURING)
def test_what_memory_ran_out_for_is_no_failure_and_tried_again(
    models, evaluate, monkeypatch, where
):
    command = models, *PROTOCOL, "--human", "--answers", answer("ann.json"), "--out", "out"
    answer("ann.json", path="ours/taxi.glb", prompt="a taxi")
    module, name = MEASURING[where]
    whole = getattr(module, name)

    def short(*given, **options):
        if "taxi" in str(given):
            raise MemoryError
        return whole(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, short)
        code, said = evaluate(*command)
    assert code == 3 and "ours/taxi.glb: not looked at: " in said
    assert "ours: 1 result was not looked at" in said
    assert "the same command tries them again" in said
    counted = read_json("out/protocol.json")["methods"]["ours"]
    assert (counted["failed"], counted["not looked at"], counted["missing"]) == (0, 1, [])
    assert counted["consistent"]["of"] + counted["cannot be told"] == 1
    found = read_json("out/evaluation.json")
    assert [one["verdict"] for one in found["assets"]][1] == "not looked at"
    page = Path("out/index.html").read_text(encoding="utf-8")
    assert "1 more not looked at" in page and "0 failed, 1 not looked at; 0 of 2" in page
    assert len(list(Path("out/human").glob("*.png"))) == 1
    assert read_json("out/stage.json")["counts"]["failed"] == 0
    code, said = evaluate(*command)
    assert code == 0 and "not looked at" not in said
    counted = read_json("out/protocol.json")["methods"]["ours"]
    assert (counted["failed"], counted["not looked at"]) == (0, 0)
    assert len(list(Path("out/human").glob("*.png"))) == 2


# What may not be read


@pytest.mark.parametrize("refused", [LOOKING, (*LOOKING, *LISTING)])
def test_a_folder_that_may_not_be_read_is_named_and_all_else_evaluated(
    models, evaluate, monkeypatch, refused
):
    write_glb("ours/deep/shut/owl.glb", box([0, 0, 0], [1, 1, 2]))
    write_glb("shut/owl.glb", box([0, 0, 0], [1, 1, 2]))
    Path("ours/owl.fbx").touch()
    shut(monkeypatch, *refused)
    code, said = evaluate(models, "--out", "out")
    assert code == 0 and said.count("ours/deep/shut cannot be read (Permission denied)") == 1
    found = read_json("out/evaluation.json")
    assert [one["name"] for one in found["assets"]] == ["fox", "taxi"]
    left_out = {"files": {".fbx": 1}, "folders": {"ours/deep/shut": "Permission denied"}}
    assert found["not_read"] == left_out
    counts = read_json("out/stage.json")["counts"]
    assert (counts["not read"], counts["folders not read"]) == (1, 1)
    page = Path("out/index.html").read_text(encoding="utf-8").replace("<wbr>", "")
    assert "ours/deep/shut cannot be read (Permission denied)" in page and ".fbx (1)" in page
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
    ):
        code, said = told(first, second)
        assert code == 1 and "row 3 names the same file as row 2, through a link" in said
        assert not Path("out").exists()
    code, said = told(("", 1), ("a fox", "ours", 1))
    assert code == 1 and "row 2 has no method, as others have" in said
    for second in (("a fox", "ours", 1), ("a fox", "theirs", 0), ("a wolf", "ours", 0)):
        assert told(("ours", 0), second)[0] == 0
        assert len(read_json("out/evaluation.json")["assets"]) == 2
    table.write_text("file,prompt\nours/fox.glb,a fox\ntheirs/fox.glb,a fox\n", encoding="utf-8")
    assert evaluate("--table", table, "--out", "out", "--overwrite")[0] == 0  # methods by folder
