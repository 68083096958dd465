"""evaluate: Janus rates from a person's answers on some results and the verdicts on all."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_samples import CALIBRATION, SAID, answers_of, evaluated, report

from sdtool.evaluating import sampled
from sdtool.evaluating.answers import agreement
from sdtool.evaluating.janus_rates import of_list, run
from sdtool.evaluating.people import Person, agreements, janus_rates, read_people
from sdtool.evaluating.protocol import Protocol
from sdtool.evaluating.report import write_report
from sdtool.evaluating.results import Rate, SourceRates
from sdtool.evaluating.sampled import Difference, Stratum, estimates, janus_rate


def test_each_stratum_counts_by_its_size():
    found = janus_rate([Stratum(90, yes=9, no=1), Stratum(10, yes=1, no=4)])
    assert found.share == pytest.approx((90 * 1 / 10 + 10 * 4 / 5) / 100)
    assert (found.answers, found.of) == (15, 100)
    assert str(found).endswith(", by 15 answers and the verdicts on 100")
    assert ", by 1 answer and the verdicts on 2,000" in str(janus_rate([Stratum(2000, no=1)]))
    # of 100: 45 + 6 yes, 0 + 3 no; what the person cannot tell counts for neither
    found = janus_rate([Stratum(90, yes=5, unsure=5), Stratum(10, yes=6, no=3, unsure=1)])
    assert found.share == pytest.approx(3 / (45 + 6 + 3))


def test_all_answered_it_is_the_persons_own_rate():
    found = janus_rate([Stratum(60, yes=57, no=3), Stratum(20, yes=3, no=17)])
    assert found.share == 20 / 80
    assert found.interval == pytest.approx(Rate(20, 80).interval, abs=0.02)


def test_where_nobody_says_no_the_rate_is_0_and_may_be_more():
    found = janus_rate([Stratum(100, yes=30), Stratum(3)])
    assert found.share == 0 and found.interval[0] == 0 and 0.03 < found.interval[1] < 0.12
    found = janus_rate([Stratum(100, no=30)])
    assert found.share == 1 and found.interval[1] == 1
    assert janus_rate([Stratum(300, yes=40)]).interval[1] == pytest.approx(0.07, abs=0.005)


def test_what_nobody_answered_goes_with_the_rest():
    whole = janus_rate([Stratum(103, yes=27, no=3)])
    assert janus_rate([Stratum(100, yes=27, no=3), Stratum(3)]) == whole
    assert janus_rate([Stratum(100, yes=27, no=2), Stratum(0), Stratum(3, no=1)]) == whole
    assert janus_rate([Stratum(100), Stratum(3)]) is None
    assert janus_rate([Stratum(100, unsure=7)]) is None
    assert janus_rate([]) is None


def drawn(rng, caught, blamed, rate=0.15, size=300, answers=40):
    """An estimate and the interval of the answers alone, of results of a method that makes a Janus this
    often, judged by one who catches and blames so many."""
    janus = rng.random(size) < rate
    says = rng.random(size) < np.where(janus, caught, blamed)
    seen = np.arange(size) < answers
    strata = [
        Stratum(
            int((says == verdict).sum()),
            yes=int((seen & ~janus & (says == verdict)).sum()),
            no=int((seen & janus & (says == verdict)).sum()),
        )
        for verdict in (False, True)
    ]
    alone = Rate(int(janus[:answers].sum()), answers).interval
    return janus_rate(strata), alone


@pytest.mark.parametrize(("caught", "blamed"), [(0.9, 0.05), (0.85, 0.27), (0.5, 0.5), (0, 0)])
@pytest.mark.parametrize("rate", [0.05, 0.15])
def test_the_interval_holds_however_often_the_judge_errs(caught, blamed, rate, monkeypatch):
    monkeypatch.setattr(sampled, "DRAWS", 500)
    rng = np.random.default_rng(3)
    found = [drawn(rng, caught, blamed, rate)[0] for _ in range(300)]
    held = np.mean([one.interval[0] <= rate <= one.interval[1] for one in found])
    assert held >= 0.92
    assert np.mean([one.share for one in found]) == pytest.approx(rate, abs=0.015)


def test_a_good_judge_makes_it_narrower_and_a_coin_does_not(monkeypatch):
    monkeypatch.setattr(sampled, "DRAWS", 1000)

    def width(caught, blamed):
        rng = np.random.default_rng(4)
        pairs = [drawn(rng, caught, blamed) for _ in range(100)]
        ours, alone = np.mean(
            [[np.ptp(one.interval), high - low] for one, (low, high) in pairs], axis=0
        )
        return ours / alone

    assert width(0.95, 0.03) < 0.75
    assert 0.95 < width(0.5, 0.5) < 1.15


@pytest.mark.parametrize(("one", "two"), [(0.3, 0.05), (0.2, 0.2)])
def test_the_interval_of_a_difference_holds(one, two, monkeypatch):
    monkeypatch.setattr(sampled, "DRAWS", 1000)
    rng, held = np.random.default_rng(6), []
    for _ in range(300):
        rates = {str(k): drawn(rng, 0.8, 0.2, rate=rate)[0] for k, rate in enumerate((one, two))}
        (found,) = sampled.differences(rates)
        assert found.share == rates["0"].share - rates["1"].share
        held.append(found.interval[0] <= one - two <= found.interval[1])
    assert np.mean(held) >= 0.92


def test_a_difference_in_words():
    found = Difference("ours", "theirs", -0.124, (-0.25, 0.001))
    assert str(found) == "−12 points of Janus rate (−25 to 0)"
    found = Difference("ours", "theirs", 0.0145, (0.0145, 0.146))
    assert str(found) == "+1 point of Janus rate (+1 to +15)"


def test_a_difference_lies_in_its_interval_and_many_are_not_made():
    sure = {"a": janus_rate([Stratum(60, no=60)]), "b": janus_rate([Stratum(60, yes=60)])}
    (found,) = sampled.differences(sure)
    assert found.share == 1 == found.interval[1]
    assert len(sampled.differences(dict.fromkeys("abcde", sure["a"]))) == 10
    assert sampled.differences(dict.fromkeys("abcdef", sure["a"])) == []


def test_what_was_on_no_sheet_is_in_no_rate(tmp_path):
    assets = evaluated(tmp_path)
    answers = answers_of(assets, SAID)
    asked = {(one.path, one.method) for one in assets if one.name != "vase"}
    found = estimates(assets, answers, asked)["zebrafish"]
    assert (found.of, found.later) == (4, 1)
    assert str(found).endswith("; not on the sheet, and not in it: 1")
    assert found.as_json()["not_on_the_sheet"] == 1
    file = tmp_path / "answers.json"
    kept = [one for one in answers if (one["path"], one["method"]) in asked]
    text = {"sdtool": "0", "sheet": "x", "answers": kept, "asked": sorted(map(list, asked))}
    file.write_text(json.dumps(text))
    assert read_people([file], "judge")["a person"].asked == asked
    text.pop("asked")  # as older sheets
    file.write_text(json.dumps(text))
    assert read_people([file], "judge")["a person"].asked is None


def test_several_results_of_a_prompt_make_the_interval_too_sure(tmp_path):
    assets = evaluated(tmp_path)
    told = (
        "; of up to 2 results of a prompt, which are not independent: the interval, and that of a"
    )
    assert told not in str(estimates(assets, answers_of(assets, SAID))["zebrafish"])
    same = [replace(one, prompt="A dog!") if one.name == "cat" else one for one in assets]
    found = estimates(same, answers_of(assets, SAID))["zebrafish"]
    assert found.most == 2 and str(found).endswith(f"{told} difference, is too sure")
    assert found.as_json()["most_results_of_a_prompt"] == 2
    (agreed,) = agreements(
        same, {"a person": Person(tmp_path, answers_of(same, SAID))}, tmp_path
    ).values()
    page = report(tmp_path, same, people={"a person": agreed})
    assert page.count(f"<small>{told[2:]} difference, is too sure</small>") == 2
    nameless = [replace(one, prompt="") for one in assets]
    assert estimates(nameless, answers_of(nameless, SAID))["zebrafish"].most == 1


def test_two_people_whose_files_are_called_alike_are_two(in_a_folder):
    text = json.dumps({"sdtool": "0", "sheet": "x", "answers": []})
    for name in ("x/40.json", "40"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)
    assert len(read_people([Path("x/40.json"), Path("40")], "judge")) == 2


def test_of_each_method_by_what_the_verdicts_are(tmp_path):
    assets = evaluated(tmp_path)
    found = estimates(assets, answers_of(assets, SAID))
    # zebrafish: consistent 3, of which yes, no, unsure; the single answers of the others go with these
    assert found["zebrafish"] == janus_rate([Stratum(5, yes=2, no=2, unsure=1)])
    assert found["quokka"].of == 4 and found["quokka"].answers == 3  # what failed has no picture
    only = {key: said for key, said in SAID.items() if key[0] == "quokka"}
    assert list(estimates(assets, answers_of(assets, only))) == ["quokka"]


def test_a_protocol_counts_its_own_prompts_only(tmp_path):
    assets, own = evaluated(tmp_path), Protocol("own", ("A dog!", "a cat", "a boat"))
    answers = answers_of(assets, SAID)
    assert {one.name for one in of_list(own, assets)} == {"dog", "cat", "boat"}
    agreed = agreements(assets, {"ann": Person(tmp_path, answers)}, tmp_path, own)
    assert agreed["ann"].janus["zebrafish"].of == 3
    outcome = run(own, assets, "1f2e3d4c", by_people=janus_rates(agreed))
    told = outcome.as_json()["methods"]["zebrafish"]["janus by people"]
    assert told == {"ann": agreed["ann"].janus["zebrafish"].as_json()}
    sentences = [outcome.sentence(one) for one in outcome.tallies]
    assert f"with the answers of ann {agreed['ann'].janus['quokka']}; " in sentences[1]
    assert agreed["ann"].rates == agreement(assets, answers).rates  # as before: of all


def test_the_page_and_the_lines_say_so(tmp_path):
    assets = evaluated(tmp_path)
    agreed = agreements(assets, {"ann": Person(tmp_path, answers_of(assets, SAID))}, tmp_path)
    one = agreed["ann"].janus["zebrafish"]
    assert f"Janus rate {one}" in sampled.lines(janus_rates(agreed))[0]
    page = report(tmp_path, assets, people=agreed)
    assert "as this person would find it" in page and "5 of 5" in page
    said = json.loads(json.dumps(sampled.as_json(janus_rates(agreed))))
    assert said["ann"]["methods"]["zebrafish"] == {
        "share": 0.5,
        "interval": [round(end, 4) for end in one.interval],
        "answers": 5,
        "of": 5,
    }
    (apart,) = sampled.differences(agreed["ann"].janus)
    assert (apart.first, apart.second) == ("zebrafish", "quokka")
    assert f"zebrafish against quokka: {apart}" in page
    assert f"with the answers of ann: {apart}" in sampled.lines(janus_rates(agreed))[2]
    assert said["ann"]["differences"] == [apart.as_json()]
    silent = agreements(assets, {"bob": Person(tmp_path, [])}, tmp_path)
    assert "as this person would find it" not in report(tmp_path, assets, people=silent)
    assert sampled.lines(janus_rates(silent)) == [
        "no Janus rate with the answers of bob: no yes or no is of what counts"
    ]


def test_where_most_is_of_kinds_that_the_judge_does_not_know_it_says_how_it_errs_there(tmp_path):
    none = Rate(0, 0)
    of_real = {
        "toys": SourceRates(Rate(9, 10), Rate(1, 20), none, none),
        "real assets: a": SourceRates(Rate(4, 5), Rate(3, 10), none, none),
        "real assets: b": SourceRates(Rate(5, 5), Rate(1, 9), none, none),
    }
    measured, assets = replace(CALIBRATION, sources=of_real), evaluated(tmp_path)
    (said,) = sampled.cautions(assets, measured)
    assert (
        said.startswith("of kinds that the judge has not learnt: 6 of 6 verdicts;")
        and "blamed 4 of 19" in said
    )
    known = [replace(one, rank=2) if one.name in ("dog", "cat") else one for one in assets]
    assert sampled.cautions(known, measured) == []  # 4 of 6 are known
    assert sampled.cautions(assets, CALIBRATION) == []  # nothing is known of real ones
    page = write_report(tmp_path, assets, measured, title="T", command="c").read_text()
    assert said[1:] in page
    agreed = agreements(assets, {"ann": Person(tmp_path, answers_of(assets, SAID))}, tmp_path)
    page = write_report(tmp_path, assets, measured, title="T", command="c", people=agreed)
    assert said[1:] not in page.read_text()
