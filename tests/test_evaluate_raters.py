"""evaluate: what raters said of objects and lifts, blind, and that the docs say so of it."""

import json
from collections import Counter
from pathlib import Path

import numpy as np

from sdtool.evaluating import sampled
from sdtool.evaluating.judges import ANSWERS, IN_ANSWERS, Judges, compared
from sdtool.evaluating.results import CONSISTENT, INCONSISTENT, SYMMETRIC, UNTOLD, Rate

DOCS = (Path(__file__).parents[1] / "docs" / "evaluation.md").read_text()
FLAT = " ".join(DOCS.split())
ROWS = json.loads(Path(__file__).with_name("blind_answers.json").read_text())
"""Of each object or lift the verdict of the bundled judge, and what three raters said; of real models also
what a fourth said who saw them at 64 pixels."""
OBJECTS = [row for row in ROWS if "object" in row]
LIFTS = [row for row in ROWS if "lift" in row]
REAL = ("character-pack-adventures", "city-builder-bits", "kenney")
JUDGE = "judge"


def votes(row: dict) -> dict[str, str]:
    """Who said what of it, of `ANSWERS`."""
    raters = {f"rater {k}": IN_ANSWERS[said] for k, said in enumerate(row["raters"])}
    return raters | {JUDGE: UNTOLD if row["verdict"] == SYMMETRIC else row["verdict"]}


def most(row: dict) -> str:
    """What two of the three raters or all said; that it cannot be told where each said something else."""
    answer, times = Counter(IN_ANSWERS[said] for said in row["raters"]).most_common(1)[0]
    return answer if times > 1 else UNTOLD


def of(rows: list[dict], name: str) -> str:
    """Of how many of those of which they say something they say that it is inconsistent."""
    said = [votes(row)[name] for row in rows]
    return f"{said.count(INCONSISTENT)} of {len(said) - said.count(UNTOLD)}"


def objects(real: bool, spoiled: bool) -> list[dict]:
    return [
        row for row in OBJECTS if (row["source"] in REAL) == real and bool(row["flaw"]) == spoiled
    ]


def agreed(rows: list[dict]) -> tuple[Judges, Judges]:
    """How far all agree, and the raters alone."""
    said = [votes(row) for row in rows]
    alone = [{name: one for name, one in vote.items() if name != JUDGE} for vote in said]
    return compared(said), compared(alone)


def span(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def test_each_was_seen_by_all_raters_and_once():
    assert len({row["object"] for row in OBJECTS}) == len(OBJECTS) == 360
    keys = [(row["experiment"], row["rep"], row["lambda_align"], row["lift"]) for row in LIFTS]
    assert len(set(keys)) == len(LIFTS) == 246
    assert all(len(row["raters"]) == 3 for row in ROWS)
    assert {votes(row)[JUDGE] for row in ROWS} == set(ANSWERS)


def test_what_raters_see_of_known_objects_is_what_the_docs_say():
    names = "rater 0", "rater 1", "rater 2"
    for name, real in (("toys and compositions", False), ("real models", True)):
        bad, good = (objects(real, spoiled) for spoiled in (True, False))
        cells = [", ".join(of(rows, one) for one in names) for rows in (bad, good)]
        cells += [of(bad, JUDGE), of(good, JUDGE)]
        assert f"| {name} | {' | '.join(cells)} |" in DOCS
    caught = [
        of([row for row in objects(real, True) if most(row) == answer], JUDGE)
        for answer in (INCONSISTENT, CONSISTENT)
        for real in (False, True)
    ]
    said = (
        "Of the flaws that at least two saw the judge caught {} at toys and compositions, {} at real "
        "models; of the spoiled ones that at least two called consistent {} and {}."
    )
    assert said.format(*caught) in FLAT
    turned = [row for row in objects(False, True) if row["flaw"] == "wrong-way"]
    seen = sum(most(row) == INCONSISTENT for row in turned)
    assert f"two of the raters saw {seen} of {len(turned)}" in FLAT


def test_what_a_rater_sees_at_the_size_that_the_judge_sees_is_what_the_docs_say():
    assert all(("at_64" in row) == (row["source"] in REAL) for row in OBJECTS)
    bad, good = ([row["at_64"] for row in objects(True, spoiled)] for spoiled in (True, False))
    cells = [f"{said.count('no')} of {len(said) - said.count('unsure')}" for said in (bad, good)]
    assert "called {} spoiled ones inconsistent and {} sound ones".format(*cells) in FLAT


def test_how_far_raters_and_judge_agree_is_what_the_docs_say():
    both, alone = agreed(OBJECTS)
    with_judge = [pair for pair in both.pairs if JUDGE in (pair.first, pair.second)]
    said = (
        "Of the objects the raters agree with each other by a Cohen's kappa of {} where both told "
        "(Fleiss' {:.2f}), with the judge by {}"
    )
    spans = span([one.kappa for one in alone.pairs]), span([one.kappa for one in with_judge])
    assert said.format(spans[0], alone.fleiss, spans[1]) in FLAT
    own = [row for row in LIFTS if row["experiment"] == "80 prompts"]
    spans = []
    for rows in (LIFTS, own):
        both, alone = agreed(rows)
        with_judge = [pair for pair in both.pairs if JUDGE in (pair.first, pair.second)]
        spans += [
            span([one.kappa_of_three for one in pairs]) for pairs in (alone.pairs, with_judge)
        ]
    said = (
        'With "cannot be told" as a third answer, the kappas of all lifts are {} among raters and {} with '
        "the judge, of those of the 80 prompts {} and {}"
    )
    assert said.format(*spans) in FLAT
    noes = [sum(one == "no" for one in row["raters"]) for row in LIFTS]
    assert sorted(noes)[-2:] == [0, 1]  # one rater of one lift


def test_the_tables_of_lifts_are_what_was_said():
    def counted(rows: list[dict], name: str | None) -> str:
        said = Counter(most(row) if name is None else votes(row)[name] for row in rows)
        return ", ".join(str(said[answer]) for answer in ANSWERS)

    def lifts(experiment: str, **facts) -> list[dict]:
        own = [row for row in LIFTS if row["experiment"] == experiment]
        return [row for row in own if all(row[key] == value for key, value in facts.items())]

    for rep in ("dmtet", "nerf"):
        for weight, name in ((1.0, "with the AGP"), (0.0, "without it")):
            rows = lifts("80 prompts", rep=rep, lambda_align=weight)
            cells = f"{counted(rows, JUDGE)} | {counted(rows, None)}"
            assert f"| `{rep}` {name} | {cells} |" in DOCS
    for weight, name in ((1.0, "1"), (0.015, "0.015"), (0.0, "none")):
        rows = lifts("weights", lambda_align=weight)
        assert f"| {name} | {counted(rows, None)} | {counted(rows, JUDGE)} |" in DOCS
    assert CONSISTENT == ANSWERS[0]


def widths(rater: int, draws: int) -> tuple[float, float, float]:
    """Of 40 answers of a rater, drawn at random from all on objects: the mean width of the interval that
    these and the judge's verdicts give, that of the answers alone, and how often the first holds the
    rater's rate of all."""
    said = [row["raters"][rater] for row in OBJECTS]
    judged = [votes(row)[JUDGE] for row in OBJECTS]
    whole = Rate(said.count("no"), len(said) - said.count("unsure")).share
    rng, found = np.random.default_rng(rater), []
    for _ in range(draws):
        seen = rng.permutation(len(said))[:40]
        strata = []
        for verdict in ANSWERS:
            heard = [said[k] for k in seen if judged[k] == verdict]
            strata.append(sampled.Stratum(judged.count(verdict), *map(heard.count, sampled.SAID)))
        low, high = sampled.janus_rate(strata).interval
        heard = [said[k] for k in seen]
        alone = Rate(heard.count("no"), len(heard) - heard.count("unsure")).interval
        found.append((high - low, alone[1] - alone[0], low <= whole <= high))
    return tuple(np.mean(found, axis=0))


def in_percent(shares: tuple[float, ...]) -> str:
    """From the least to the most; one number where these are the same."""
    ends = dict.fromkeys(f"{100 * end:.0f}" for end in (min(shares), max(shares)))
    return " to ".join(ends)


def test_what_forty_answers_and_the_verdicts_say_is_what_the_docs_say(monkeypatch):
    monkeypatch.setattr(sampled, "DRAWS", 2000)
    with_judge, alone, held = zip(*(widths(rater, 200) for rater in range(3)), strict=True)
    spans = [in_percent(some) for some in (with_judge, alone, held)]
    assert f"intervals of {spans[0]} points on average, the answers alone {spans[1]}" in FLAT
    assert f"all 360 in {spans[2]}% of all draws" in FLAT
