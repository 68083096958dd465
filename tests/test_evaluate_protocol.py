"""evaluate --protocol: the lists, Janus rates, what is missing, McNemar's test, and how all is said."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from caption_models import write_clip
from orient_models import write_orient_anything
from report_samples import CALIBRATION, report
from shape_samples import box

from sdtool.cli import run as sdtool
from sdtool.errors import InputError
from sdtool.evaluating import saying
from sdtool.evaluating.assets import category_of
from sdtool.evaluating.janus_lines import lines
from sdtool.evaluating.janus_rates import run
from sdtool.evaluating.people import Heard
from sdtool.evaluating.protocol import Protocol, judge_id, load
from sdtool.evaluating.results import (
    CONSISTENT,
    FAILED,
    INCONSISTENT,
    SYMMETRIC,
    UNJUDGED,
    Evaluated,
    Rate,
)
from sdtool.evaluating.statistics import mcnemar
from sdtool.io.files import read_json
from sdtool.io.prompts import prompts_in
from sdtool.lifting.folders import slug
from sdtool.meshfiles import write_glb

ROOT = Path(__file__).parent.parent
OF = {"y": CONSISTENT, "n": INCONSISTENT, "f": FAILED, "s": SYMMETRIC, "u": UNJUDGED}
LIST = Protocol("own", ("a cat", "a dog", "a fox", "an owl", "a car"))


def table(outcome):
    return "\n".join(lines(outcome))


def results(method, **said):
    """Results of a method: prompt's last word → verdicts, by seed."""
    return [
        Evaluated(f"{word}{k}", method, f"{method}/{word}{k}", f"A {word}.", "", OF[sign], seed=k)
        for word, signs in said.items()
        for k, sign in enumerate(signs)
    ]


OURS = results("ours", cat="y", dog="y", fox="n", car="y")
OURS += [replace(one, prompt="an owl") for one in results("ours", owl="f")]
THEIRS = results("theirs", cat="n", dog="n", fox="n", car="u", bus="y")


# The lists


@pytest.mark.parametrize("name", ["toyverse-80", "open-80"])
def test_a_list_has_eighty_prompts_that_file_names_can_spell(name):
    found = load(name).prompts
    assert len({slug(prompt) for prompt in found}) == len(found) == 80
    assert prompts_in(load(name).text()) == list(found)


def test_the_toyverse_list_is_that_of_the_example_and_all_of_known_kinds():
    example = ROOT / "examples" / "consistency_prompts.txt"
    assert prompts_in(example.read_text(encoding="utf-8")) == list(load("toyverse-80").prompts)
    assert all(map(category_of, load("toyverse-80").prompts))


@pytest.mark.parametrize("clash", ["The corgi!", "?!"])
def test_prompts_that_no_file_name_tells_apart_are_refused(clash):
    with pytest.raises(InputError, match=f"{re.escape(repr(clash))} hardly"):
        load("own", ["a corgi", "a cat", clash])


def test_without_a_path_the_list_is_printed_for_lift(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sdtool(["evaluate", "--protocol", "open-80"]) == 0
    said = capsys.readouterr().out
    assert prompts_in(said) == list(load("open-80").prompts) and "open-80" in said.splitlines()[0]
    assert "12 sides at each elevation of 5° and 25°" in said
    assert list(tmp_path.iterdir()) == []


# Counting


def test_every_prompt_is_accounted_for():
    ours, theirs = run(LIST, OURS + THEIRS, "j").tallies
    assert ours.janus == Rate(1, 4) and ours.consistent == Rate(3, 5)
    assert (ours.untold, ours.failed, ours.missing, ours.foreign) == (0, 1, (), ())
    assert theirs.janus == Rate(3, 3) and theirs.consistent == Rate(0, 4)  # the owl is missing
    assert (theirs.untold, theirs.failed, theirs.missing) == (1, 0, ("an owl",))
    assert theirs.foreign == ("theirs/bus0",)
    for one, count in ((ours, 5), (theirs, 4)):
        assert one.janus.of + one.untold + one.failed == count == 5 - len(one.missing)


def test_methods_are_compared_on_the_prompts_that_both_can_tell():
    (pair,) = run(LIST, OURS + THEIRS, "j").comparisons
    assert (pair.both, pair.only_first, pair.only_second, pair.neither) == (1, 0, 2, 0)
    assert pair.left_out == 2  # the owl and the car
    assert pair.p == mcnemar(0, 2) == 0.5
    three = run(LIST, OURS + THEIRS + results("third", cat="y"), "j")
    assert [(p.first, p.second) for p in three.comparisons] == [
        ("ours", "theirs"), ("ours", "third"), ("theirs", "third"),
    ]  # fmt: skip


def test_seeds_are_paired_in_their_order():
    ours, theirs = results("ours", cat="yn", dog="nn"), results("theirs", cat="ny", dog="n")
    outcome = run(Protocol("own", ("a cat", "a dog")), ours[::-1] + theirs, "j")
    (pair,) = outcome.comparisons
    assert (pair.only_first, pair.only_second, pair.both, pair.left_out) == (1, 1, 1, 1)
    assert [one.most for one in outcome.tallies] == [2, 2]
    assert "up to 2 results of a prompt, which are not independent" in table(outcome)


def test_a_rare_janus_is_not_none():
    outcome = run(Protocol("own", ("a cat",)), results("ours", cat="n" + "y" * 299), "j")
    assert "ours: Janus rate <1% (1 of 300; 95% interval <1% to 2%)" in outcome.sentence(
        outcome.tallies[0]
    )
    assert "<1% (1 of 300)  <1% to 2%" in table(outcome)


def test_missing_seeds_cost_as_much_as_missing_prompts():
    two = Protocol("own", ("a cat", "a dog"))
    gone, few, whole = (
        results("gone", dog="yyyy"),
        results("few", dog="yyyy", cat="y"),
        results("whole", dog="yyyy", cat="yfns"),
    )
    outcome = run(two, gone + few + whole, "j")
    assert [one.consistent for one in outcome.tallies] == [Rate(4, 8), Rate(5, 8), Rate(5, 7)]
    assert [one.fewer for one in outcome.tallies] == [(), ("a cat",), ()]
    assert (
        "few has fewer than 4 results of some prompts, and counts those that are missing: a cat"
        in (table(outcome))
    )
    assert outcome.as_json()["methods"]["few"]["fewer results"] == ["a cat"]


def test_equal_seeds_are_pairs_and_the_others_in_their_order():
    one = Protocol("own", ("a cat",))
    ours, late = results("ours", cat="yn"), replace(results("theirs", cat="n")[0], seed=1)
    (pair,) = run(one, [*ours, late], "j").comparisons
    assert (pair.both, pair.only_second, pair.left_out) == (
        1,
        0,
        1,
    )  # of seed 1; ours of 0 is alone
    (pair,) = run(one, [*ours, replace(late, seed=None)], "j").comparisons
    assert (pair.both, pair.only_second, pair.left_out) == (0, 1, 1)  # the first with the first
    (pair,) = run(one, [*ours, replace(ours[1], path="again"), late], "j").comparisons
    assert (pair.both, pair.left_out) == (1, 2)  # a seed that stands there twice
    apart = [replace(ours[0], seed=7), replace(late, seed=8)]
    assert run(one, apart, "j").comparisons[0].only_second == 1


def test_pairs_that_only_their_order_makes_are_counted_and_named():
    one = Protocol("own", ("a cat",))
    ours = [replace(one, seed=None) for one in results("ours", cat="y" * 9 + "nn")]
    theirs = [replace(one, path=f"theirs/{one.path}") for one in ours]
    theirs = [replace(one, method="theirs") for one in theirs]
    outcome = run(one, ours[::-1] + theirs, "j")
    (pair,) = outcome.comparisons
    assert (pair.both, pair.neither, pair.only_first, pair.only_second) == (
        2,
        9,
        0,
        0,
    )  # cat10 last
    assert outcome.as_json()["comparisons"][0]["by order only"] == 11
    told = "ours against theirs: 11 pairs of several results of a prompt made by their order only"
    assert f"{told}, as their seeds are unknown or differ; name the seeds in a table" in table(
        outcome
    )
    seeded = run(one, results("ours", cat="yn") + results("theirs", cat="yn"), "j")
    single = run(one, ours[:1] + theirs[:1], "j")
    assert "by their order" not in table(seeded) + table(single)


def test_where_nothing_can_be_compared_there_is_no_p():
    outcome = run(LIST, results("ours", cat="y") + results("theirs", dog="y"), "j")
    assert outcome.comparisons[0].p is None
    one = run(LIST, results("ours", cat="y", dog="y") + results("theirs", cat="y"), "j")
    one = replace(one, comparisons=(replace(one.comparisons[0], left_out=1),))
    assert "(1 pair left out)" in table(one)
    assert outcome.as_json()["comparisons"][0]["mcnemar_p"] is None
    assert "ours against theirs: no prompt of which both could be told" in table(outcome)


def test_the_printed_table_names_what_is_missing():
    outcome = run(LIST, OURS + THEIRS, "ab12")
    said = table(outcome).splitlines()
    assert re.fullmatch(r"protocol own \(5 prompts, digest [0-9a-f]+\), judge ab12", said[0])
    assert said[2].split() == "ours 25% (1 of 4) 5% to 70% 3 of 5 0 1 0".split()
    assert "theirs has no result of 1 prompt: an owl" in said
    assert "theirs: 1 of no prompt of the list: theirs/bus0" in said
    assert said[-1].endswith("(2 pairs left out); McNemar's exact p = 0.5")
    assert outcome.sentence(outcome.tallies[0]).startswith(
        "ours: Janus rate 25% (1 of 4; 95% interval 5% to 70%); of 5 results 0 cannot be told, 1 failed; "
        "0 of 5 prompts missing; sdtool "
    )
    nothing = run(LIST, results("none", car="u"), "j")
    assert "nothing told" in table(nothing) and "nan" not in table(nothing)
    assert nothing.as_json()["methods"]["none"]["janus"]["share"] is None


def test_the_headline_counts_as_the_protocols_table_does(tmp_path):
    found = [replace(one, reasons=("it said so",)) for one in OURS + THEIRS]
    found += results("else", bus="yy")
    outcome = run(LIST, found, "ab12")
    told = saying.lines(found, CALIBRATION, Heard({}, {}), None, outcome)
    assert told[0].startswith("ours: consistent 3 of 5: 60%")
    assert told[1].startswith("theirs: consistent 0 of 4: 0%") and "1 not judged" in told[1]
    assert told[2].startswith("else: consistent 0 of 5: 0%")  # all its prompts are missing
    counts = [re.search(r"\d of \d", line)[0] for line in told[:3]]
    table = [
        row.split("  ") for row in told if re.match(r"(ours|theirs|else) +(\d+%|nothing)", row)
    ]
    assert counts == [
        next(c for c in row if re.fullmatch(r"\s*\d of \d", c)).strip() for row in table
    ]
    page = report(tmp_path, found, outcome=outcome)
    chart = re.search(r'<table class="rates".*?</table>', page, re.DOTALL)[0]
    rows = re.findall(r">(\d+) / (\d+)<", chart)
    assert [" of ".join(row) for row in rows] == counts
    assert "1 of them missing" in chart and "5 of them missing" in chart
    plain = saying.lines(found, CALIBRATION, Heard({}, {}), None, None)
    assert plain[1].startswith("theirs: consistent 1 of 4: 25%")


def test_the_sentence_says_which_list_it_was_and_what_is_not_independent():
    ours = results("ours", cat="yyn", dog="yf", fox="u")
    own = Protocol("own", ("a cat", "a dog", "a fox"), "my list.txt")
    outcome = run(own, ours, "ab12")
    said = outcome.sentence(outcome.tallies[0])
    assert (
        "; of 6 results 1 cannot be told, 1 failed; 0 of 3 prompts missing, 2 prompts with" in said
    )
    assert "2 prompts with several results, which are not independent; sdtool" in said
    told = f"protocol own (my list.txt, 3 prompts, digest {own.digest}), judge ab12"
    assert said.endswith(told) and re.fullmatch("[0-9a-f]{8}", own.digest)
    assert Protocol("own", ("a cat", "a dog", "an elk")).digest != own.digest
    found = outcome.as_json()
    assert found["list"] == {"file": "my list.txt", "digest": own.digest}
    assert found["methods"]["ours"]["results"] == 6
    assert found["methods"]["ours"]["prompts with several results"] == 2
    bundled = run(load("open-80"), ours, "ab12")
    assert bundled.sentence(bundled.tallies[0]).endswith("protocol open-80, judge ab12")


def test_the_judge_is_named_by_its_bytes(tmp_path):
    (tmp_path / "judge.json").write_text("{}", encoding="utf-8")
    first = judge_id(tmp_path)
    assert first == judge_id(tmp_path) and len(first) == 8
    assert judge_id(tmp_path, 16, 3) == f"{first} (calibrated with 16, seed 3)"
    (tmp_path / "README.md").write_text("mine", encoding="utf-8")
    assert judge_id(tmp_path) == first
    (tmp_path / "judge.json").write_text("[]", encoding="utf-8")
    assert judge_id(tmp_path) != first


# The command


@pytest.mark.slow
def test_three_judges_judge_two_methods_by_a_protocol(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip")
    write_orient_anything("orient")
    for method, name in (("ours", "fox_seed4"), ("theirs", "suzanne")):
        Path(method).mkdir()
        write_glb(Path(method) / f"{name}.glb", box([0, 0, 0], [1, 1, 2]))
    Path("list.txt").write_text("a fox\na taxi\n", encoding="utf-8")
    command = "evaluate ours theirs --protocol own --prompts list.txt --clip clip --orient orient --out out"
    assert sdtool([*command.split(), "--device", "cpu"]) == 0
    said = capsys.readouterr().err
    assert "ours has no result of 1 prompt: a taxi" in said
    assert "theirs has no result of 2 prompts: a fox; a taxi" in said
    assert "bundled judge and CLIP: " in said and "all of them: Fleiss' kappa" in said
    assert "ours against theirs: no prompt of which both could be told" in said
    counted = read_json("out/protocol.json")
    assert counted["methods"]["theirs"]["not of the list"] == ["theirs/suzanne.glb"]
    assert counted["prompts"] == ["a fox", "a taxi"] and counted["list"]["file"] == "list.txt"
    found = read_json("out/evaluation.json")
    assert [one["of"] for one in found["judges"]["pairs"]] == [0, 0, 0]  # they know nothing
    ours, theirs = found["assets"]
    assert (ours["seed"], theirs["seed"]) == (4, None)
    assert ours["opinions"].keys() == {"bundled judge", "CLIP", "orientation model"}
    assert theirs["opinions"].keys() == {"bundled judge", "orientation model"}  # CLIP has no words
    assert (ours["prompt"], ours["prompt_from"], theirs["prompt"]) == ("a fox", "list", "")
    assert "orientation: has a front" in [one["measure"] for one in ours["findings"]]
    page = Path("out/index.html").read_text(encoding="utf-8")
    for text in (
        'id="protocol"',
        'id="judges"',
        "<li>a taxi</li>",
        "--protocol own",
        "--orient orient",
    ):
        assert text in page
