"""evaluate: rates with their intervals, how far a person agrees, and whose answers count."""

import json
import math
from dataclasses import replace

import pytest
from PIL import Image
from report_samples import SAID, answers_of, evaluated, key

from sdtool.errors import InputError
from sdtool.evaluating.answer_files import read_answers
from sdtool.evaluating.answers import Agreement, agreement
from sdtool.evaluating.human import write_sheet
from sdtool.evaluating.results import Rate, percent

# Rates


def test_wilsons_interval_against_known_values():
    assert Rate(8, 10).interval == pytest.approx((0.490, 0.943), abs=5e-4)
    assert Rate(0, 10).interval == pytest.approx((0, 0.278), abs=5e-4)
    assert Rate(10, 10).interval == pytest.approx((0.722, 1), abs=5e-4)
    assert Rate(0, 3).interval[0] == 0 and Rate(3, 3).interval[1] == 1
    assert Rate(0, 0).interval == (0, 1) and math.isnan(Rate(0, 0).share)


def test_only_none_is_0_percent_and_only_all_is_100():
    assert str(Rate(199, 200)) == "199 of 200: >99% (97% to >99%)"
    assert str(Rate(1, 300)) == "1 of 300: <1% (<1% to 2%)"
    assert str(Rate(0, 300)) == "0 of 300: 0% (0% to 1%)"
    assert str(Rate(300, 300)) == "300 of 300: 100% (99% to 100%)"
    assert [percent(share) for share in (0.005, 0.125, 0.994, 0.995)] == [
        "1%",
        "13%",
        "99%",
        ">99%",
    ]
    assert percent(math.nan) == "–"


# Agreement


def test_kappa_against_a_sum_by_hand():
    found = Agreement({}, Rate(0, 0), both_yes=20, only_automatic=5, only_person=10, both_no=15)
    # 35 of 50 agree; by chance 25/50·30/50 + 25/50·20/50 = 0.5
    assert found.agreed == Rate(35, 50) and found.kappa == pytest.approx((0.7 - 0.5) / (1 - 0.5))
    assert Agreement({}, Rate(0, 0), 7, 0, 0, 5).kappa == 1
    assert Agreement({}, Rate(0, 0), 0, 6, 6, 0).kappa == -1
    assert math.isnan(Agreement({}, Rate(0, 0), 9, 0, 0, 0).kappa)  # nothing but yes
    assert math.isnan(Agreement({}, Rate(0, 0), 0, 0, 0, 0).kappa)


def test_agreement_counts_what_both_judged(tmp_path):
    assets = evaluated(tmp_path)
    found = agreement(assets, answers_of(assets, SAID))
    assert found.rates == {"zebrafish": Rate(1, 3), "quokka": Rate(2, 4)}
    assert found.symmetric == Rate(1, 1) and found.unsure == 1 and found.unanswered == 1
    counts = found.both_yes, found.only_automatic, found.only_person, found.both_no
    assert counts == (2, 1, 1, 1)
    # 3 of 5 agree; by chance 3/5·3/5 + 2/5·2/5 = 13/25
    assert found.kappa == pytest.approx((3 / 5 - 13 / 25) / (1 - 13 / 25))


def test_answers_of_other_assets_are_refused(tmp_path):
    assets = evaluated(tmp_path)
    foreign = [{"path": "elsewhere/dog", "method": "quokka", "prompt": "", "answer": "yes"}]
    with pytest.raises(InputError, match=r"elsewhere/dog.*evaluate the folders"):
        agreement(assets, foreign)
    with pytest.raises(InputError, match="quokka/house"):  # it failed: nobody saw it
        agreement(assets, answers_of(assets, {("quokka", "house"): "no"}))


def test_answers_of_what_has_nothing_to_show_are_left_out(tmp_path):
    assets = evaluated(tmp_path)
    answers = answers_of(assets, SAID | {("quokka", "house"): "yes"})  # it failed since
    answers += [{"path": "gone/dog", "method": "quokka", "prompt": "", "answer": "unsure"}]
    found = agreement(assets, answers)
    without = agreement(assets, answers_of(assets, SAID))
    assert found.left_out == ("gone/dog", "runs/quokka/house") and found.given == 10
    assert found.rates == {"zebrafish": Rate(1, 3), "quokka": Rate(2, 3)}  # whose house is in none
    kept = {"rates": without.rates, "left_out": (), "given": 8}
    assert replace(found, **kept) == without
    assert found.said_left_out("ann") == (
        "left out of what ann said, as there is nothing to be seen of it now: 2 of 10 answers "
        "(gone/dog, runs/quokka/house)"
    )
    assert without.said_left_out("ann") == ""
    changed = [replace(one, prompt="a wolf") if one.name == "dog" else one for one in assets]
    with pytest.raises(InputError, match="has another prompt now"):
        agreement(changed, answers)


def test_answers_of_what_has_changed_since_are_refused(tmp_path):
    assets = evaluated(tmp_path)
    sheet = key(write_sheet(tmp_path, assets, seed=3).read_text(encoding="utf-8"))
    answers = [
        {**{name: one[name] for name in ("path", "method", "prompt", "digest")}, "answer": "no"}
        for one in sheet["shown"]
    ]
    found = agreement(assets, answers, tmp_path)
    assert found.rates == {"zebrafish": Rate(0, 4), "quokka": Rate(0, 4)}
    cat = next(one for one in assets if one.path == "runs/zebrafish/cat")
    with Image.open(tmp_path / cat.picture) as picture:
        picture.load()
    picture.save(tmp_path / cat.picture)  # the same, without the texts that nobody sees
    assert agreement(assets, answers, tmp_path) == found
    Image.new("RGB", (128, 48), "white").save(tmp_path / cat.picture)  # lifted again
    told = r"changed since: 1 of 9; runs/zebrafish/cat \(zebrafish\) has another picture.*new sheet"
    with pytest.raises(InputError, match=told):
        agreement(assets, answers, tmp_path)
    old = [{name: one[name] for name in one if name != "digest"} for one in answers]
    assert agreement(assets, old, tmp_path) == found  # of an older sheet
    renamed = [replace(one, prompt="a wolf") if one.name == "dog" else one for one in assets]
    for some in (answers, old):
        with pytest.raises(InputError, match=r"of 9; .*/dog .* has another prompt now"):
            agreement(renamed, some, tmp_path)
    spaced = [replace(one, prompt=f" {one.prompt}\n") for one in assets]
    assert agreement(spaced, old, tmp_path) == found


ONE = {"path": "runs/a", "method": "A", "prompt": "a dog", "answer": "yes"}


@pytest.mark.parametrize(
    "text, told",
    [
        ("{", "not valid JSON"),
        ("[]", "does not hold a sheet's answers"),
        ('{"answers": []}', "does not hold a sheet's answers"),
        ([{**ONE, "method": 3}], "answer 1 lacks"),
        ([ONE, "yes"], "answer 2 lacks"),
        ([{**ONE, "digest": 7}], "answer 1 lacks"),
        ([{**ONE, "answer": "maybe"}], "answer 1 is 'maybe'"),
        ([ONE, {**ONE, "answer": "no"}], "answers twice for runs/a"),
        ([{**ONE, "digest": ""}], "answer 1 has '' for the digest of its picture"),
        ([{**ONE, "digest": "A" * 16}], "for the digest of its picture"),
        ({"asked": "abc"}, "what was asked is no list of paths and methods"),
        ({"asked": None}, "what was asked is no list"),
        ({"asked": [[1, 2, 3]]}, "what was asked is no list"),
        ({"asked": [["runs/a"]]}, "what was asked is no list"),
        ({"asked": ["runs/a"]}, "what was asked is no list"),
        ({"asked": [["runs/a", "A", ""]]}, "what was asked is no list"),
        ({"asked": []}, "answers for runs/a (A), which is not in its list of what was asked"),
        ({"asked": [["runs/a", "B"]]}, "answers for runs/a (A), which is not in its list"),
        ("[" * 100_000, "nested too deeply"),
        (f'{{"answers": {"9" * 5000}}}', "not valid JSON"),
    ],
)
def test_a_file_that_holds_no_answers_is_one_sentence(text, told, tmp_path):
    path = tmp_path / "answers.json"
    if not isinstance(text, str):
        more = text if isinstance(text, dict) else {"answers": text}
        text = json.dumps({"sdtool": "0.1.0", "sheet": "ab", "answers": [ONE]} | more)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_answers(path)
    assert str(error.value).startswith(str(path)) and told in str(error.value)


def test_what_was_asked_may_name_the_pictures(tmp_path):
    path = tmp_path / "answers.json"
    asked = [["runs/a", "A", "0" * 16], ["runs/b", "A", "1" * 16]]
    whole = {"sdtool": "0.1.0", "sheet": "ab", "answers": [ONE], "asked": asked}
    path.write_text(json.dumps(whole), encoding="utf-8")
    found = read_answers(path)
    assert found.asked == {("runs/a", "A"), ("runs/b", "A")}
    assert found.seen == {("runs/a", "A"): "0" * 16, ("runs/b", "A"): "1" * 16}
    whole["asked"] = [one[:2] for one in asked]
    path.write_text(json.dumps(whole), encoding="utf-8")
    assert (read_answers(path).asked, read_answers(path).seen) == (found.asked, {})
